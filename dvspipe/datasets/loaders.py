"""PyTorch data set and loader of spike tensors.

Example::

    dataset = SpikeDataset("recordings", BinConfig(steps=20, step_us=15_000), part="train")
    for spikes, labels in loader(dataset, 32, shuffle=True, num_workers=2):
        ...  # uint8 counts [T, B, C, H, W], int64 [B]
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..base.errors import DataError, count_noun
from ..encoding import BinConfig, BinCounts
from ..results.splits import Part
from . import open_cache, open_dataset
from .config import DataConfig
from .samples import DataSet
from .tensors import SampleEncoder, TensorSettings, encode_image

__all__ = ["SpikeDataset", "collate", "loader"]

log = logging.getLogger(__name__)

LoadedItem = tuple[Tensor, int]
"""Spikes [T, C, H, W] and their label."""


class SpikeDataset(Dataset[LoadedItem]):
    """PyTorch dataset of labelled recordings as spike tensors, encoded on demand and cached on disk.

    No recording is read before the first access. File content is checked once per process: changes to a file during
    training are not noticed.

    Args:
        source: Folder of recordings; settings of a data set; or a `DataSet` from `dvspipe.datasets.open_dataset` or
            `from_recordings`.
        bins: Binning of the tensors.
        part: `train`, `validation` or `test`, divided like `dvspipe train`; None: all recordings. With
            `views` > 1 in the settings, items of `train` are random variants, drawn with torch's generator.

    Attributes:
        classes: Class names; a label is an index into them.
        labels: Labels of the recordings, int64 [N].
        samples: Recordings, with their names and files.

    Raises:
        DataError: If the data set is not usable, or the part has no recordings. At access: if the recording cannot be
            read, is empty, or comes from another sensor; the message names it.

    Example:
        >>> from dvspipe import Events
        >>> from dvspipe.datasets import from_recordings
        >>> events = Events([0, 10, 30], [3, 4, 4], [1, 1, 6], [True, True, False], "12x7")
        >>> dataset = SpikeDataset(from_recordings([(events, 0), (events, 1)]), BinConfig(steps=5, step_us=10))
        >>> spikes, label = dataset[1]
        >>> spikes.shape, spikes.dtype, label, len(dataset)
        (torch.Size([5, 2, 7, 12]), torch.uint8, 1, 2)
    """

    def __init__(
        self, source: str | Path | DataConfig | DataSet, bins: BinConfig = BinConfig(), *, part: Part | None = None
    ) -> None:
        bins = bins.part(BinConfig)
        data = source if isinstance(source, DataSet) else open_dataset(source, bins)
        config = source if isinstance(source, DataConfig) else DataConfig()

        self.samples = data.samples if part is None else data.parts.get(part, ())
        if not self.samples:
            raise DataError(f"{data.title}: no recordings in part {part} (expected one of {', '.join(data.parts)})")

        self.classes = data.classes
        self.sensor = data.sensor
        self.labels = torch.tensor([sample.label for sample in self.samples])

        # Only training sees variants of a recording.
        views = config.views if part == "train" else 1
        self._encode = SampleEncoder(TensorSettings(bins, views, vary=config), open_cache(config))
        self._shape = (bins.steps, *bins.shape(data.sensor))
        self._digests: dict[int, str] = {}
        self._has_warned = False

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        counts = f"{count_noun(len(self), 'recording')}, {len(self.classes)} classes"
        return f"SpikeDataset({counts}, {list(self._shape)})"

    def __getitem__(self, number: int) -> LoadedItem:
        """Return the spikes [T, C, H, W] of a recording, or of one of its random variants, and its label.

        Raises:
            IndexError: If `number` is out of range; this ends a loop.
        """
        sample = self.samples[number]
        settings = self._encode.settings
        if sample.code is not None:
            return torch.from_numpy(encode_image(sample, number, settings)), sample.label

        encoded = self._encode(sample, digest=self._digests.get(number, ""))
        self._digests[number] = encoded.digest
        if encoded.spikes.shape[1:] != self._shape:
            raise DataError(f"{sample.name}: comes from another sensor than {self.sensor}")

        lost = BinCounts(*encoded.counts.tolist()).explain_outside(settings.bins)
        if lost is not None and not self._has_warned:
            self._has_warned = True
            log.warning("%s: %s; by = recording divides recordings into steps", sample.name, lost)

        # A generator of torch, because loaders give each worker another seed of it.
        view = int(torch.randint(settings.views, ())) if settings.views > 1 else 0
        return torch.from_numpy(encoded.spikes[view]), sample.label


def collate(items: Sequence[LoadedItem]) -> tuple[Tensor, Tensor]:
    """Collate spike tensors of one shape into a batch with time first: a `collate_fn` for any loader.

    Args:
        items: B pairs of spikes [T, C, H, W] and a label.

    Returns:
        Spikes [T, B, C, H, W], as networks of dvspipe and Norse take them, and labels, int64 [B].

    Example:
        >>> spikes, labels = collate([(torch.ones(4, 1, 3, 3), 0), (torch.ones(4, 1, 3, 3), 1)])
        >>> spikes.shape, labels
        (torch.Size([4, 2, 1, 3, 3]), tensor([0, 1]))
    """
    return torch.stack([spikes for spikes, _ in items], dim=1), torch.tensor([label for _, label in items])


def loader(
    dataset: Dataset[LoadedItem], batch_size: int = 32, *, shuffle: bool = False, **options: Any
) -> DataLoader[LoadedItem]:
    """Create a `DataLoader` that yields pairs of spikes and labels with time first.

    Args:
        dataset: `SpikeDataset`, or any dataset with the same kind of items.
        batch_size: Batch size B; the last batch may be smaller.
        shuffle: Whether to shuffle the recordings in each epoch, with torch's generator.
        options: Other arguments of `torch.utils.data.DataLoader`, such as `num_workers`, `pin_memory`,
            `persistent_workers`, `sampler`, `drop_last`, `generator` and `multiprocessing_context`. Use `spawn` for
            data sets of videos, because OpenCV does not survive a fork.

    Example:
        >>> from dvspipe import Events
        >>> from dvspipe.datasets import from_recordings
        >>> events = Events([0, 10, 30], [3, 4, 4], [1, 1, 6], [True, True, False], "12x7")
        >>> dataset = SpikeDataset(from_recordings([(events, 0), (events, 1)]), BinConfig(steps=5, step_us=10))
        >>> for spikes, labels in loader(dataset, 2):
        ...     print(spikes.shape, labels)
        torch.Size([5, 2, 2, 7, 12]) tensor([0, 1])
    """
    return DataLoader(dataset, batch_size, shuffle=shuffle, collate_fn=collate, **options)
