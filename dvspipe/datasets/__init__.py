"""Labelled recordings as spike tensors: public data sets, folders of recordings and videos, rendered gestures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..base.config import as_settings
from ..base.errors import ConfigError, DataError
from ..encoding import BinConfig
from ..parallel import Progress, ignore_progress
from ..results.splits import PARTS, Part
from .added import open_added
from .augmentation import AugmentConfig, VaryConfig
from .cache import Cache, DecodedEvents, default_cache
from .config import (
    DataConfig,
    DataKind,
    DvsGestureConfig,
    FilesConfig,
    FolderConfig,
    GesturesConfig,
    ImageCode,
    LabelledConfig,
    MnistConfig,
    NmnistConfig,
    PublicConfig,
    RecordingsConfig,
    SourceConfig,
    TonicConfig,
    WindowsConfig,
    parse_data,
)
from .folders import as_data, find_folder, folder_settings, open_folder, open_gestures, open_labelled
from .images import open_mnist
from .mnist import DIGIT_PX, MnistPart, read_mnist
from .public import open_dvs_gesture, open_nmnist
from .recording_list import from_recordings
from .samples import (
    SYNTHESIS,
    DataSet,
    Sample,
    count_recordings,
    divide,
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
    "DecodedEvents",
    "DvsGestureConfig",
    "FilesConfig",
    "FolderConfig",
    "GesturesConfig",
    "ImageCode",
    "LabelledConfig",
    "MnistConfig",
    "MnistPart",
    "NmnistConfig",
    "Part",
    "PublicConfig",
    "RecordingsConfig",
    "Sample",
    "SampleEncoder",
    "SourceConfig",
    "SpikeTensors",
    "Split",
    "TensorSettings",
    "TonicConfig",
    "VaryConfig",
    "WindowsConfig",
    "as_data",
    "check_split",
    "count_recordings",
    "default_cache",
    "divide",
    "encode_image",
    "find_folder",
    "folder_settings",
    "from_recordings",
    "from_tonic",
    "is_synthetic",
    "leave_out_copies",
    "name_samples",
    "open_cache",
    "open_dataset",
    "parse_data",
    "plain_batches",
    "read_mnist",
    "read_split",
    "restore_split",
    "training_batches",
    "version_of_file",
    "write_split",
]


def _open_gestures(source: DataSource[GesturesConfig]) -> DataSet:
    config = source.config
    if config.root is not None:
        return open_gestures(source)

    options = {"train_people": config.train_people, "test_people": config.test_people, "clips": config.clips}
    return open_added(source, "gestures", options)


OPENERS: Mapping[DataKind, Callable[[DataSource[Any]], DataSet]] = {
    "folder": open_folder,
    "labelled": open_labelled,
    "nmnist": open_nmnist,
    "dvsgesture": open_dvs_gesture,
    "gestures": _open_gestures,
    "mnist": open_mnist,
    "tonic": open_tonic,
}
"""Functions that open a data set, by kind."""


def open_cache(config: SourceConfig) -> Cache | None:
    """Return the cache of a configuration, or None if caching is turned off."""
    return None if config.cache == "none" else Cache(config.cache or default_cache())


def open_dataset(
    config: str | Path | DataConfig | Mapping[str, object],
    seed: int = 0,
    bins: BinConfig | Mapping[str, object] | None = None,
    *,
    with_problems: bool = False,
    decoded: DecodedEvents | None = None,
    progress: Progress = ignore_progress,
) -> DataSet:
    """Open the data set of a configuration, without loading samples.

    Args:
        config: Folder of recordings; or kind, folders, and shares of the parts, as a model or a mapping.
        seed: Seed of the division into parts, and of rendered clips.
        bins: Steps of the spike tensors, also used by the spike code of images; a model or a mapping.
        with_problems: Allow unknown and empty class folders; they are then the `problems` of the data set.
        decoded: Decoded events in memory, read and extended; None: keep none.
        progress: Called with the number of files done and the total; files that are cut into windows are read.

    Raises:
        DataError: If the folder does not have the expected layout, class folders are unknown or empty, a group is in
            two parts, or a part would be empty.
        ConfigError: If `config.fit` is set without a size.

    Example:
        >>> data = open_dataset(GesturesConfig(train_people=3, test_people=1, clips=1), seed=0)
        >>> len(data.classes), len(data.test), data.synthetic
        (11, 11, True)
    """
    config = as_data(config)
    bins = as_settings(BinConfig, bins)

    if isinstance(config, FilesConfig) and config.fit is not None and config.target is None:
        raise ConfigError(f"data.fit = {config.fit}: needs a size to fit recordings to (found data.size = null)")

    # A folder that is missing now may be what a download creates.
    downloads = isinstance(config, PublicConfig) and config.download
    folders = {"root": config.root, "test_root": config.test_root if isinstance(config, RecordingsConfig) else None}
    for name, folder in folders.items():
        if folder is not None and not folder.is_dir() and not downloads:
            raise DataError(f"data.{name} = {folder}: no such folder")

    data = OPENERS[config.kind](DataSource(config, seed, bins, open_cache(config), decoded, progress))
    if data.problems and not with_problems:
        raise DataError("; ".join(data.problems))

    return replace(data, root=config.root)
