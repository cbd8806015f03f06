"""PyTorch datasets and data loaders.

Example::

    dataset = SpikeDataset("recordings", BinConfig(steps=20, step_us=15_000), part="train")
    for spikes, labels in loader(dataset, 32, shuffle=True, num_workers=2):
        ...  # uint8 counts [T, B, C, H, W], int64 [B]

`SpikeDataset` has one item per recording, `EventStream` one per window of a recording. `loader` creates a `DataLoader`
of either.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from ..base.errors import ConfigError, DataError, count_noun
from ..encoding import BinConfig, BinCounts, encode_stream
from ..events import Events
from ..formats import NO_HINTS, Hints, open_recording
from . import DataConfig, DataSet, Part, SampleEncoder, TensorSettings, encode_image, open_cache, open_dataset

__all__ = ["EventStream", "SpikeBatch", "SpikeDataset", "collate", "loader"]

log = logging.getLogger(__name__)

LoadedItem = tuple[Tensor, int]
"""Spikes [T, C, H, W], and their label or start time."""


class SpikeDataset(Dataset[LoadedItem]):
    """PyTorch dataset of labelled recordings as spike tensors, encoded on demand and cached on disk.

    No recording is read before the first access. File content is checked once per process: changes to a file during
    training are not noticed.

    Args:
        source: Folder of recordings; settings of a data set; or a `DataSet` from `dvspipe.datasets.open_dataset`,
            `from_recordings` or `from_tonic`.
        bins: Binning of the tensors.
        part: `train`, `validation` or `test`, divided like `dvspipe train`; None: all recordings. With
            `views` > 1 in the settings, items of `train` are random variants, drawn with torch's generator.
        transform: Function applied to each tensor [T, C, H, W].

    Attributes:
        classes: Class names; a label is an index into them.
        labels: Labels of the recordings, int64 [N].
        samples: Recordings, with their names and files.

    Raises:
        DataError: If the data set is not usable, or the part has no recordings. At access: if the recording cannot be
            read, is empty, or comes from another sensor; the message names it.

    Example:
        >>> from dvspipe.datasets import from_recordings
        >>> events = Events([0, 10, 30], [3, 4, 4], [1, 1, 6], [True, True, False], "12x7")
        >>> dataset = SpikeDataset(from_recordings([(events, 0), (events, 1)]), BinConfig(steps=5, step_us=10))
        >>> spikes, label = dataset[1]
        >>> spikes.shape, spikes.dtype, label, len(dataset)
        (torch.Size([5, 2, 7, 12]), torch.uint8, 1, 2)
    """

    def __init__(
        self,
        source: str | Path | DataConfig | DataSet,
        bins: BinConfig = BinConfig(),
        *,
        part: Part | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        bins = bins.part(BinConfig)
        data = source if isinstance(source, DataSet) else open_dataset(source, bins)
        config = source if isinstance(source, DataConfig) else DataConfig()

        if part is not None and part not in data.parts:
            raise DataError(f"{data.title}: no part {part} (expected one of {', '.join(data.parts)})")

        self.samples = data.samples if part is None else data.parts[part]
        if not self.samples:
            raise DataError(f"{data.title}: no recordings{f' in the part {part}' if part else ''}")

        self.classes = data.classes
        self.sensor = data.sensor
        self.transform = transform
        self.labels = torch.tensor([sample.label for sample in self.samples])

        # Only training sees variants of a recording.
        views = config.views if part == "train" else 1
        self._encoder = SampleEncoder(TensorSettings(bins, views, vary=config), open_cache(config))
        self._shape = bins.shape(data.sensor)
        self._digests: dict[int, str] = {}
        self._has_warned = False

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        bins = self._encoder.settings.bins
        shape = [bins.steps, *self._shape]
        return f"SpikeDataset({count_noun(len(self), 'recording')}, {len(self.classes)} classes, {shape})"

    def __getitem__(self, number: int) -> LoadedItem:
        """Return the spikes [T, C, H, W] of a recording, and its label.

        Raises:
            IndexError: If `number` is out of range; this ends a loop.
        """
        sample = self.samples[number]
        if sample.code is not None:
            spikes = torch.from_numpy(encode_image(sample, number, self._encoder.settings))
        else:
            spikes = torch.from_numpy(self._draw_view(number))
        return (spikes if self.transform is None else self.transform(spikes)), sample.label

    def _draw_view(self, number: int) -> np.ndarray[Any, Any]:
        """Return the spikes of a recording, or of one of its random variants."""
        sample = self.samples[number]
        if number not in self._digests:
            self._digests[number] = self._encoder.digest(sample)
        encoded = self._encoder.encode(sample, self._digests[number])

        lost = BinCounts(*encoded.counts.tolist()).explain_outside(self._encoder.settings.bins)
        if lost is not None and not self._has_warned:
            self._has_warned = True
            log.warning("%s: %s; by = recording divides recordings into steps", sample.name, lost)

        views = encoded.spikes
        if views.shape[-3:] != self._shape:
            raise DataError(f"{sample.name}: comes from another sensor than {self.sensor}")

        # A generator of torch, because loaders give each worker another seed of it.
        view: np.ndarray[Any, Any] = views[int(torch.randint(len(views), ())) if len(views) > 1 else 0]
        return view


class EventStream(IterableDataset[LoadedItem]):
    """PyTorch iterable dataset of a recording of any length: consecutive windows of T steps, in bounded memory.

    The windows contain all steps of `dvspipe.encode_stream`, including steps without events, so time stays correct for
    a stateful network. The last window is padded with steps of 0. Several workers of a loader alternate between
    windows; each reads the complete recording.

    Args:
        recording: Path of a recording, or events.
        bins: Binning of the windows; `by` must be `time`.
        hints: Metadata that the file lacks.

    Yields:
        Spikes [T, C, H, W] of a window, and the start of its first step in microseconds.

    Raises:
        ConfigError: If `by` is not `time`.
        DvspipeError: If the recording cannot be read, while iterating.

    Example:
        >>> events = Events([100, 110, 175], [3, 4, 4], [1, 1, 6], [True, True, False], "12x7")
        >>> stream = EventStream(events, BinConfig(steps=3, step_us=10))
        >>> [(start_us, int(spikes.sum())) for spikes, start_us in stream]
        [(100, 2), (130, 0), (160, 1)]
    """

    def __init__(
        self,
        recording: str | Path | Events,
        bins: BinConfig = BinConfig(),
        *,
        hints: Hints = NO_HINTS,
    ) -> None:
        self.bins = bins
        if self.bins.by != "time":
            raise ConfigError(f"by = {self.bins.by}: needs a complete recording (expected by = time in a stream)")

        self.recording = recording
        self.hints = hints

    def __iter__(self) -> Iterator[LoadedItem]:
        worker = get_worker_info()
        first, every = (0, 1) if worker is None else (worker.id, worker.num_workers)
        return islice(self._windows(), first, None, every)

    def _windows(self) -> Iterator[LoadedItem]:
        parts: Iterable[Events] = (
            [self.recording]
            if isinstance(self.recording, Events)
            else open_recording(self.recording, self.hints).chunks()
        )
        filled = (part for part in parts if len(part))
        first = next(filled, None)
        if first is None:
            return

        # A window starts where the previous one ends.
        T = self.bins.steps
        start_us = int(first.t[0])
        steps = encode_stream(chain([first], filled), self.bins)
        while window := [*islice(steps, T)]:
            spikes = np.zeros((T, *window[0].shape), window[0].dtype)
            np.stack(window, out=spikes[: len(window)])
            yield torch.from_numpy(spikes), start_us
            start_us += self.bins.tensor_us


class SpikeBatch(NamedTuple):
    """Batch of a loader; a pair, as every loader of PyTorch yields.

    Args:
        spikes: Spikes [T, B, C, H, W], or [B, T, C, H, W] if batch first.
        labels: Labels, int64 [B]; for an `EventStream`, the start of each window in microseconds.
    """

    spikes: Tensor
    labels: Tensor


def collate(items: Sequence[LoadedItem], *, time_first: bool = True) -> SpikeBatch:
    """Collate spike tensors of one shape into a batch: a `collate_fn` for any loader.

    Args:
        items: B pairs of spikes [T, C, H, W] and a label.
        time_first: Whether time is the first axis, as in networks of dvspipe and Norse.

    Example:
        >>> spikes, labels = collate([(torch.ones(4, 1, 3, 3), 0), (torch.ones(4, 1, 3, 3), 1)])
        >>> spikes.shape, labels
        (torch.Size([4, 2, 1, 3, 3]), tensor([0, 1]))
    """
    spikes = torch.stack([tensor for tensor, _ in items], dim=int(time_first))
    return SpikeBatch(spikes, torch.tensor([label for _, label in items]))


def loader(
    dataset: Dataset[LoadedItem],
    batch_size: int = 32,
    *,
    shuffle: bool = False,
    time_first: bool = True,
    **options: Any,
) -> DataLoader[LoadedItem]:
    """Create a `DataLoader` that yields pairs of spikes and labels with time first, the items of the dataset.

    With `time_first=False`, the items equal the items of torch's `DataLoader(dataset)`.

    Args:
        dataset: `SpikeDataset`, `EventStream`, or any dataset with the same kind of items.
        batch_size: Batch size B; the last batch may be smaller.
        shuffle: Whether to shuffle the recordings in each epoch, with torch's generator.
        time_first: Whether batches are [T, B, C, H, W]; otherwise [B, T, C, H, W].
        options: Other arguments of `torch.utils.data.DataLoader`, such as `num_workers`, `pin_memory`,
            `persistent_workers`, `sampler`, `drop_last`, `generator` and `multiprocessing_context`. Use `spawn` for
            data sets of videos, because OpenCV does not survive a fork.

    Example:
        >>> from dvspipe.datasets import from_recordings
        >>> events = Events([0, 10, 30], [3, 4, 4], [1, 1, 6], [True, True, False], "12x7")
        >>> dataset = SpikeDataset(from_recordings([(events, 0), (events, 1)]), BinConfig(steps=5, step_us=10))
        >>> for spikes, labels in loader(dataset, 2):
        ...     print(spikes.shape, labels)
        torch.Size([5, 2, 2, 7, 12]) tensor([0, 1])
    """
    # A `DataLoader` of an iterable dataset refuses `shuffle=False`, too.
    collate_fn = partial(collate, time_first=time_first)
    return DataLoader(dataset, batch_size, shuffle=shuffle or None, collate_fn=collate_fn, **options)
