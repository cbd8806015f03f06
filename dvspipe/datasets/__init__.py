"""Labelled recordings as spike tensors: public data sets, folders of recordings and videos, rendered gestures."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from ..base.errors import ConfigError, DataError
from ..base.gestures import GESTURES
from ..base.progress import Progress, ignore_progress
from ..encoding import BinConfig
from ..events import GESTURE_SENSOR
from ..hooks import OpenKind, plugins
from ..results.splits import PARTS, Part
from .augmentation import AugmentConfig, VaryConfig
from .cache import Cache, default_cache
from .config import DataConfig, DataKind
from .folders import folder_config, from_recordings, open_folder, open_labelled
from .mnist import open_mnist, read_mnist
from .public import open_dvs_gesture, open_nmnist
from .samples import DataSet, Sample, count_recordings
from .source import DataSource
from .split import divide_parts
from .tensors import Batch, BatchSettings, SpikeTensors, TensorSettings, plain_batches, training_batches
from .tonic import open_tonic

__all__ = [
    "PARTS",
    "AugmentConfig",
    "Batch",
    "BatchSettings",
    "Cache",
    "DataConfig",
    "DataSet",
    "Part",
    "Sample",
    "SpikeTensors",
    "TensorSettings",
    "VaryConfig",
    "count_recordings",
    "folder_config",
    "from_recordings",
    "open_cache",
    "open_dataset",
    "plain_batches",
    "read_mnist",
    "training_batches",
]


def _open_added(source: DataSource, options: Mapping[str, Any] = {}) -> DataSet:
    """Return a data set of a kind that a plug-in adds; see `LabelledRecordings`.

    Raises:
        ConfigError: If no plug-in has the kind.
    """
    kind = source.config.data
    kinds: Mapping[str, OpenKind] = ChainMap(*plugins().hook.data_kinds())
    if kind not in kinds:
        known = ", ".join(sorted({*get_args(DataKind), *kinds}))
        raise ConfigError(f"data = {kind}: no package that is installed has this kind of data (expected {known})")

    opened = kinds[kind](source.config.root, source.config.seed, options)
    parts: dict[Part, list[Sample]] = {part: [] for part in PARTS}
    for one in opened.recordings:
        parts[one.part].append(Sample(one.name, one.label, one.group, one.load, partial(str, one.version)))

    is_synthetic = opened.synthetic
    data = DataSet(opened.title, opened.classes, opened.sensor, synthetic=is_synthetic, synthetic_test=is_synthetic)
    return data.with_parts(parts)


def _open_gestures(source: DataSource) -> DataSet:
    """Return a folder with the classes of DVS128 Gesture in their order; without a folder, rendered gestures."""
    config = source.config
    if config.root is not None:
        return open_folder(source, GESTURES, GESTURE_SENSOR)
    if config.size or config.roi:
        raise ConfigError("size, roi: need recordings in a folder (found data = gestures without root)")
    return _open_added(source, config.model_dump(include={"train_people", "test_people", "clips"}))


OPENERS: Mapping[str, Callable[[DataSource], DataSet]] = {
    "folder": open_folder,
    "labelled": open_labelled,
    "nmnist": open_nmnist,
    "dvsgesture": open_dvs_gesture,
    "gestures": _open_gestures,
    "mnist": open_mnist,
    "tonic": open_tonic,
}
"""Functions that open a data set, by kind. They return the parts that it has; `open_dataset` draws the others."""


def open_cache(config: DataConfig) -> Cache | None:
    """Return the cache of a configuration, or None if caching is turned off."""
    return None if config.cache == "none" else Cache(config.cache or default_cache())


def open_dataset(
    config: str | Path | DataConfig,
    bins: BinConfig = BinConfig(),
    *,
    progress: Progress = ignore_progress,
) -> DataSet:
    """Open the data set of a configuration, without loading samples.

    Args:
        config: Folder of recordings; or kind, folders, and shares of the parts.
        bins: Steps of the spike tensors, also used by the spike code of images.
        progress: Called with the number of files done and the total; files that are cut into windows are read.

    Raises:
        DataError: If the folder does not have the expected layout, class folders are unknown or empty, a group is in
            two parts, or a part would be empty.
        ConfigError: If `fit` is given without a size, or framing for rendered gestures.

    Example:
        >>> data = open_dataset(DataConfig(data="gestures", train_people=3, test_people=1, clips=1))
        >>> len(data.classes), len(data.test), data.synthetic
        (11, 11, True)
    """
    config = config if isinstance(config, DataConfig) else folder_config(config)
    config.check_kinds(dict(config))
    if config.fit is not None and config.input_size is None:
        raise ConfigError(f"fit = {config.fit}: needs a size to fit recordings to (found size = null)")

    # A folder that is missing now may be what a download creates.
    for name, folder in (("root", config.root), ("test_root", config.test_root)):
        if folder is not None and not folder.is_dir() and not config.download:
            raise DataError(f"{name} = {folder}: no such folder")

    source = DataSource(config, bins, open_cache(config), progress)
    data = OPENERS.get(config.data, _open_added)(source)
    return divide_parts(replace(data, root=config.root), config)
