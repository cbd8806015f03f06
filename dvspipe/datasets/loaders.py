"""PyTorch datasets and data loaders.

Example::

    dataset = SpikeDataset("recordings", steps=20, step_us=15_000, part="train")
    for spikes, labels in loader(dataset, 32, shuffle=True, num_workers=2):
        ...  # uint8 counts [T, B, C, H, W], int64 [B]

`SpikeDataset` has one item per recording, `EventStream` one per window of a recording. `loader` creates a `DataLoader`
of either; errors of recordings arrive unchanged from its workers.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, DistributedSampler, IterableDataset, get_worker_info

from ..base.errors import (
    ConfigError,
    DataError,
    DvspipeError,
    brief,
    count_noun,
)
from ..encoding import BinConfig, BinCounts, encode_stream
from ..events import Events
from ..formats import NO_HINTS, Hints, open_recording
from . import (
    DataConfig,
    DataSet,
    Part,
    Sample,
    SampleEncoder,
    TensorSettings,
    encode_image,
    open_cache,
    open_dataset,
)

__all__ = [
    "EventStream",
    "PaddedBatch",
    "SpikeBatch",
    "SpikeDataset",
    "collate",
    "collate_padded",
    "loader",
    "to_tensor",
]

DIGEST_BYTES = 20

log = logging.getLogger(__name__)

LoadedItem = tuple[Tensor, int]
"""Spikes [T, C, H, W], and their label or start time."""


class SpikeDataset(Dataset[LoadedItem]):
    """PyTorch dataset of labelled recordings as spike tensors, encoded on demand and cached on disk.

    No recording is read before the first access. The workers of a loader share the encoding work. File content is
    checked once per dataset: changes to a file during training are not noticed.

    Args:
        source: Folder of recordings; settings of a data set; or a `DataSet` from `dvspipe.datasets.open_dataset`,
            `from_recordings` or `from_tonic`.
        bins: Binning of the tensors.
        part: `train`, `validation` or `test`, divided like `dvspipe train`; None: all recordings. With
            `views` > 1 in the settings, items of `train` are random variants, drawn with torch's generator.
        complete: Whether tensors cover complete recordings, instead of `steps` steps.
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
        complete: bool = False,
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
        settings = TensorSettings(bins, views, vary=config, complete=complete)
        self._encoder = SampleEncoder(settings, open_cache(config))
        self._shape = bins.shape(data.sensor)

        self._has_warned = torch.zeros((), dtype=torch.bool).share_memory_()
        # Shared by workers to hash each file once; 0: not hashed yet.
        self._digests = torch.zeros((len(self.samples), DIGEST_BYTES), dtype=torch.uint8).share_memory_()

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        bins = self._encoder.settings.bins
        shape = [bins.steps, *self._shape]
        return f"SpikeDataset({count_noun(len(self), 'recording')}, {len(self.classes)} classes, uint8{shape})"

    def __getitem__(self, number: int) -> LoadedItem:
        """Return the spikes [T, C, H, W] of a recording, uint8, and its label.

        Raises:
            IndexError: If `number` is out of range; this ends a loop.
        """
        number = operator.index(number)
        if not -len(self) <= number < len(self):
            raise IndexError(f"SpikeDataset[{number}]: out of range (found {count_noun(len(self), 'recording')})")

        spikes = torch.from_numpy(self._encode(number))
        return (spikes if self.transform is None else self.transform(spikes)), self.samples[number].label

    def _encode(self, number: int) -> np.ndarray[Any, Any]:
        sample = self.samples[number]
        settings = self._encoder.settings
        if sample.code is not None:
            return encode_image(sample, number, settings)

        encoded = self._encoder.encode(sample, self._digest(number))
        self._warn_of_loss(sample, BinCounts(*encoded.counts.tolist()))
        views = encoded.spikes

        if views.shape[-3:] != self._shape:
            raise DataError(f"{sample.name}: comes from another sensor than {self.sensor}")

        # A generator of torch, because loaders give each worker another seed of it.
        chosen = int(torch.randint(len(views), ())) if len(views) > 1 else 0
        view: np.ndarray[Any, Any] = views[chosen]
        return view

    def _warn_of_loss(self, sample: Sample, counts: BinCounts) -> None:
        """Log the first recording of which many events are outside the steps, once for all workers."""
        settings = self._encoder.settings
        lost = None if settings.complete else counts.explain_outside(settings.bins)

        if lost is not None and not self._has_warned:
            self._has_warned.fill_(True)
            log.warning(
                "%s: %s; by = recording divides recordings into steps, complete = True adds steps",
                sample.name,
                lost,
            )

    def _digest(self, number: int) -> str:
        """Return the digest of a recording's tensors in the cache; empty without a cache."""
        known = self._digests[number].numpy()
        if not known.any():
            digest = self._encoder.digest(self.samples[number])
            known[:] = np.frombuffer(bytes.fromhex(digest).ljust(DIGEST_BYTES, b"\0"), np.uint8)
            return digest

        return bytes(known).hex()


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
        Spikes [T, C, H, W] of a window, and its start in microseconds.

    Raises:
        ConfigError: If `by` is `recording`, because its steps depend on the end of the recording.
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
        if self.bins.by == "recording":
            raise ConfigError(
                "by = recording: needs the end of the recording, unknown in a stream (expected by = time)"
            )

        self.recording = recording
        self.hints = hints

    def __repr__(self) -> str:
        recording = self.recording if isinstance(self.recording, Events) else str(self.recording)
        return f"EventStream({recording!r}, {self.bins!r})"

    def __iter__(self) -> Iterator[LoadedItem]:
        worker = get_worker_info()
        first, every = (0, 1) if worker is None else (worker.id, worker.num_workers)
        return islice(self._windows(), first, None, every)

    def _windows(self) -> Iterator[LoadedItem]:
        starts_us: list[int] = []
        steps = encode_stream(self._record_starts(starts_us), self.bins)
        T = self.bins.steps
        while window := [*islice(steps, T)]:
            first_step = window[0]
            spikes = np.zeros((T, *first_step.shape), np.uint8)
            np.stack(window, out=spikes[: len(window)])

            start_us = starts_us[0]
            starts_us[0] += self.bins.tensor_us
            yield torch.from_numpy(spikes), start_us

    def _record_starts(self, starts_us: list[int]) -> Iterator[Events]:
        """Yield the parts of the recording; append the start of the first window."""
        parts: Iterable[Events]
        if isinstance(self.recording, Events):
            parts = [self.recording]
        else:
            parts = open_recording(self.recording, self.hints).chunks()

        for part in parts:
            if not starts_us:
                starts_us += part.t[:1].tolist()
            yield part


class SpikeBatch(NamedTuple):
    """Batch of a loader; a pair, as every loader of PyTorch yields.

    Args:
        spikes: Spikes [T, B, C, H, W], or [B, T, C, H, W] if batch first; shorter recordings are padded with 0.
        labels: Labels, int64 [B]; for an `EventStream`, the start of each window in microseconds.
    """

    spikes: Tensor
    labels: Tensor


class PaddedBatch(NamedTuple):
    """Batch of recordings of different lengths, from `collate_padded`.

    Args:
        spikes: As in `SpikeBatch`.
        labels: As in `SpikeBatch`.
        lengths: Number of steps of each recording without padding, int64 [B].
    """

    spikes: Tensor
    labels: Tensor
    lengths: Tensor


def to_tensor(events: Events) -> Tensor:
    """Return events as one tensor, for networks and libraries that take event lists.

    Returns:
        int64 [N, 4] with the columns t in microseconds, x, y and p (1 ON, 0 OFF).

    Example:
        >>> to_tensor(Events([0, 5], [3, 4], [1, 1], [True, False], "12x7"))
        tensor([[0, 3, 1, 1],
                [5, 4, 1, 0]])
    """
    columns = (events.t, events.x, events.y, events.p)
    return torch.from_numpy(np.stack([column.astype(np.int64) for column in columns], axis=1))


def collate(items: Sequence[LoadedItem], *, time_first: bool = True) -> SpikeBatch:
    """Collate spike tensors into a batch, padding different numbers of steps: a `collate_fn` for any loader.

    Args:
        items: B pairs of spikes [T, C, H, W] and a label.
        time_first: Whether time is the first axis, as in networks of dvspipe and Norse.

    Raises:
        DataError: If there are no items, an item is not a pair of a tensor and a number, or tensors differ in more than
            their steps.

    Example:
        >>> spikes, labels = collate([(torch.ones(2, 1, 3, 3), 0), (torch.ones(4, 1, 3, 3), 1)])
        >>> spikes.shape, labels
        (torch.Size([4, 2, 1, 3, 3]), tensor([0, 1]))
    """
    for item in items:
        _check_item(item)

    try:
        spikes = pad_sequence([tensor for tensor, _ in items], batch_first=not time_first)
        return SpikeBatch(spikes, torch.tensor([label for _, label in items]))
    except (RuntimeError, TypeError, ValueError) as error:
        pairs = ", ".join(f"({brief(tensor)}, {brief(label)})" for tensor, label in items[:4])
        expected = "expected tensors [T, C, H, W] of one sensor, and numbers as labels"
        raise DataError(f"collate: wrong items (found {pairs or 'none'}, {expected})") from error


def _check_item(item: object) -> None:
    if isinstance(item, tuple | list):
        if len(item) == 2 and isinstance(item[0], Tensor):
            return

        description = f"({', '.join(map(brief, item))})"
    else:
        description = brief(item)

    raise DataError(f"collate: wrong item (found {description}, expected a tensor [T, C, H, W] and a label)")


def collate_padded(items: Sequence[LoadedItem], *, time_first: bool = True) -> PaddedBatch:
    """Collate like `collate`, and also return the number of steps of each recording without padding.

    Example:
        >>> batch = collate_padded([(torch.ones(2, 1, 3, 3), 0), (torch.ones(4, 1, 3, 3), 1)])
        >>> batch.lengths
        tensor([2, 4])
    """
    return PaddedBatch(*collate(items, time_first=time_first), torch.tensor([len(spikes) for spikes, _ in items]))


LoadedBatch = SpikeBatch | PaddedBatch


class Collate(Protocol):
    """`collate`, `collate_padded`, or your own function like them."""

    def __call__(self, items: Sequence[LoadedItem], /, *, time_first: bool) -> LoadedBatch:
        """Return the batch of some items."""


def loader(
    dataset: Dataset[LoadedItem],
    batch_size: int = 32,
    *,
    shuffle: bool = False,
    time_first: bool = True,
    collate_fn: Collate = collate,
    **options: Any,
) -> DataLoader[LoadedItem]:
    """Create a `DataLoader` that yields pairs of spikes and labels with time first, the items of the dataset.

    With `time_first=False` and recordings of equal length, the items equal the items of torch's `DataLoader(dataset)`.

    Errors of recordings keep their type and message, even from workers; torch's `DataLoader` would append the
    message to a traceback. With `torch.distributed`, a `DistributedSampler` divides the recordings among the processes;
    it is `loader.sampler`: call its `set_epoch` before each epoch.

    Args:
        dataset: `SpikeDataset`, `EventStream`, or any dataset with the same kind of items.
        batch_size: Batch size B; the last batch may be smaller.
        shuffle: Whether to shuffle the recordings in each epoch, with torch's generator.
        time_first: Whether batches are [T, B, C, H, W]; otherwise [B, T, C, H, W].
        collate_fn: `collate`, or `collate_padded` to get the lengths of padded recordings, too.
        options: Other arguments of `torch.utils.data.DataLoader`, such as `num_workers`, `pin_memory`,
            `persistent_workers`, `drop_last`, `generator` and `multiprocessing_context`. Use `spawn` for data sets of
            videos, because OpenCV does not survive a fork.

    Example:
        >>> from dvspipe.datasets import from_recordings
        >>> events = Events([0, 10, 30], [3, 4, 4], [1, 1, 6], [True, True, False], "12x7")
        >>> dataset = SpikeDataset(from_recordings([(events, 0), (events, 1)]), BinConfig(steps=5, step_us=10))
        >>> for spikes, labels in loader(dataset, 2):
        ...     print(spikes.shape, labels)
        torch.Size([5, 2, 2, 7, 12]) tensor([0, 1])
    """
    if not hasattr(dataset, "__getitem__"):
        raise DataError(f"loader: found {type(dataset).__name__}, expected a SpikeDataset or another dataset")

    wrapped: Dataset[Any]
    if isinstance(dataset, IterableDataset):
        wrapped = _ErrorYieldingStream(dataset)
    else:
        wrapped = _ErrorReturningDataset(dataset)

        # Without a sampler of the user, each process gets its part of the data set. A `DataLoader` refuses `shuffle`
        # together with a sampler.
        has_own_sampler = "sampler" in options or "batch_sampler" in options
        if not has_own_sampler and torch.distributed.is_initialized():
            drop_last = bool(options.get("drop_last"))
            options["sampler"] = DistributedSampler(wrapped, shuffle=shuffle, drop_last=drop_last)
            shuffle = False

    # Errors of workers travel as values, because torch changes errors that workers raise; see `_Loader`.
    collated = partial(_collate_or_return_error, partial(collate_fn, time_first=time_first))

    return _Loader(wrapped, batch_size, shuffle=shuffle or None, collate_fn=collated, **options)


class _ErrorReturningDataset(Dataset[Any]):
    """Dataset that returns errors instead of raising them, because torch changes errors raised in workers."""

    def __init__(self, dataset: Dataset[LoadedItem]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, number: int) -> LoadedItem | DvspipeError:
        try:
            return self.dataset[number]
        except DvspipeError as error:
            return error


class _ErrorYieldingStream(IterableDataset[Any]):
    """Stream that yields errors instead of raising them."""

    def __init__(self, stream: IterableDataset[LoadedItem]) -> None:
        self.dataset = stream

    def __iter__(self) -> Iterator[LoadedItem | DvspipeError]:
        try:
            yield from self.dataset
        except DvspipeError as error:
            yield error


def _collate_or_return_error(
    collate_items: Callable[[Sequence[LoadedItem]], LoadedBatch], items: Sequence[LoadedItem | DvspipeError]
) -> LoadedBatch | DvspipeError:
    good = []
    for item in items:
        if isinstance(item, DvspipeError):
            return item

        good.append(item)

    return collate_items(good)


class _Loader(DataLoader[Any]):
    """Loader that raises the errors returned by its dataset."""

    def __iter__(self) -> Iterator[LoadedBatch]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, DvspipeError):
                raise batch
            yield batch
