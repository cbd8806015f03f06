"""Labelled recordings as spike tensors: public data sets, folders of recordings and videos, rendered gestures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ..base.errors import ConfigError, DataError
from ..base.gestures import GESTURES
from ..base.progress import Progress, ignore_progress
from ..encoding import BinConfig
from ..events import GESTURE_SENSOR
from ..results.splits import PARTS, Part
from .added import open_added
from .augmentation import AugmentConfig, VaryConfig
from .cache import Cache, default_cache
from .config import DataConfig, DataKind, ImageCode
from .folders import find_folder, folder_config, open_folder, open_labelled
from .mnist import DIGIT_PX, MnistPart, open_mnist, read_mnist
from .public import open_dvs_gesture, open_nmnist
from .recording_list import from_recordings
from .samples import (
    SYNTHESIS,
    DataSet,
    Sample,
    count_recordings,
    divide,
    draw_missing,
    is_synthetic,
    leave_out_copies,
    version_of_file,
)
from .source import DataSource
from .split import Split, check_split, name_samples, read_split, restore_split, write_split
from .tensors import (
    Batch,
    BatchSettings,
    SampleEncoder,
    SpikeTensors,
    TensorSettings,
    encode_image,
    plain_batches,
    training_batches,
)
from .tonic import from_tonic, open_tonic

__all__ = [
    "DIGIT_PX",
    "PARTS",
    "SYNTHESIS",
    "AugmentConfig",
    "Batch",
    "BatchSettings",
    "Cache",
    "DataConfig",
    "DataKind",
    "DataSet",
    "ImageCode",
    "MnistPart",
    "Part",
    "Sample",
    "SampleEncoder",
    "SpikeTensors",
    "Split",
    "TensorSettings",
    "VaryConfig",
    "check_split",
    "count_recordings",
    "default_cache",
    "divide",
    "draw_missing",
    "encode_image",
    "find_folder",
    "folder_config",
    "from_recordings",
    "from_tonic",
    "is_synthetic",
    "leave_out_copies",
    "name_samples",
    "open_cache",
    "open_dataset",
    "plain_batches",
    "read_mnist",
    "read_split",
    "restore_split",
    "training_batches",
    "version_of_file",
    "write_split",
]


def _open_gestures(source: DataSource) -> DataSet:
    """Return a folder with the classes of DVS128 Gesture in their order; without a folder, rendered gestures."""
    config = source.config
    if config.root is not None:
        return open_folder(source, GESTURES, GESTURE_SENSOR)

    options = {"train_people": config.train_people, "test_people": config.test_people, "clips": config.clips}
    return open_added(source, "gestures", options)


OPENERS: Mapping[str, Callable[[DataSource], DataSet]] = {
    "folder": open_folder,
    "labelled": open_labelled,
    "nmnist": open_nmnist,
    "dvsgesture": open_dvs_gesture,
    "gestures": _open_gestures,
    "mnist": open_mnist,
    "tonic": open_tonic,
}
"""Functions that open a data set, by kind."""


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
    _check_framing(config)

    # A folder that is missing now may be what a download creates.
    for name, folder in (("root", config.root), ("test_root", config.test_root)):
        if folder is not None and not folder.is_dir() and not config.download:
            raise DataError(f"{name} = {folder}: no such folder")

    source = DataSource(config, bins, open_cache(config), progress)
    open_kind = OPENERS.get(config.data)
    data = open_added(source, config.data, {}) if open_kind is None else open_kind(source)
    return replace(data, root=config.root)


def _check_framing(config: DataConfig) -> None:
    """Check that there are recordings to frame, and a size to fit them to."""
    if config.fit is not None and config.input_size is None:
        raise ConfigError(f"fit = {config.fit}: needs a size to fit recordings to (found size = null)")
    if config.data == "gestures" and config.root is None and (config.size or config.roi):
        raise ConfigError("size, roi: need recordings in a folder (found data = gestures without root)")
