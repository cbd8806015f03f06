"""Labelled recordings: public data sets, folders of recordings and videos, and rendered gestures; as spike tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..encoding import BinConfig
from ..errors import DataError
from ..synthesis import is_synthetic
from .augmentation import AugmentConfig, VaryConfig
from .cache import Cache, default_cache
from .config import DataConfig
from .folders import open_folder, open_labelled
from .images import open_mnist
from .public import open_dvs_gesture, open_nmnist
from .rendered import open_rendered
from .samples import PARTS, DataSet, Sample, check_split, divide, divided_as, read_split, write_split
from .tensors import Batch, SpikeTensors, plain_batches, training_batches

__all__ = [
    "PARTS",
    "AugmentConfig",
    "Batch",
    "Cache",
    "DataConfig",
    "DataSet",
    "Sample",
    "SpikeTensors",
    "VaryConfig",
    "check_split",
    "default_cache",
    "divide",
    "divided_as",
    "open_cache",
    "open_dataset",
    "plain_batches",
    "read_split",
    "training_batches",
    "write_split",
]

KINDS: dict[str, Callable[[DataConfig, Path, Cache | None, int], DataSet]] = {
    "folder": open_folder,
    "labelled": open_labelled,
    "nmnist": open_nmnist,
    "dvsgesture": open_dvs_gesture,
    "gestures": open_folder,
}
"""What opens a data set that lies in a folder, by its kind."""


def open_cache(config: DataConfig) -> Cache | None:
    """The cache of a configuration, or None where it wants none."""
    return None if config.cache == "none" else Cache(config.cache or default_cache())


def open_dataset(config: DataConfig, seed: int, bins: BinConfig = BinConfig()) -> DataSet:
    """The data set that a configuration describes, with nothing loaded yet.

    Args:
        config: Kind, folder, and shares of the parts.
        seed: Of the division into parts, and of rendered clips.
        bins: Steps of the spike tensors, which the code of images has too.

    Raises:
        DataError: The folder is not laid out as expected, a class folder is unknown, a group is in two parts, or a part
            would be empty.
    """
    if config.kind == "gestures" and config.root is None:
        return open_rendered(config, seed)
    if config.root is None:
        raise DataError(f"data.root is missing: give the folder of the recordings, as in {config.kind} data.root=DIR")
    for folder in (config.root, config.test_root):
        if folder is not None and not folder.is_dir() and not config.download:
            raise DataError(f"{folder}: no such folder")
    if config.kind == "mnist":
        return open_mnist(config, config.root, seed, bins)
    data = KINDS[config.kind](config, config.root, open_cache(config), seed)
    return replace(
        data, synthetic=is_synthetic(config.root), synthetic_test=is_synthetic(config.test_root or config.root)
    )
