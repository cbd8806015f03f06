"""Spike tensors of samples, encoded once and kept on disk and in memory; and batches of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ..encoding import BinConfig, BinCounts, encode_events
from ..errors import ConfigError, DataError, EventError, Remedy
from ..events import Events
from ..parallel import Processes, Progress, ignore_progress, map_items, prefetch
from .augmentation import AugmentConfig, SpikeTensor, VaryConfig, augment, mirrored_labels, mix, vary
from .cache import ARRAYS, Cache
from .samples import Image, Sample
from .shard_files import group_by_shard
from .transforms import TransformConfig, apply_transforms

IN_MEMORY_BYTES = 2 << 30  # of spike tensors that are kept in memory; more are read from the cache in each epoch
PREFETCHED_BATCHES = 4
SHUFFLED_SAMPLES = 2048  # of the shards of a reader, among which the order is random
MEASURED_S, WORTH_PROCESSES_S = 1.0, 8.0  # a process takes some seconds to start
AUGMENT_STREAM = 1
COUNTED = tuple(each.name for each in fields(BinCounts))

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TensorSettings:
    """How samples become spike tensors.

    Args:
        bins: Steps of the tensors, which start at each recording's first event.
        views: Number of variants of each recording: the recording itself, and others changed at random.
        vary: How the other variants are changed.
        seed: Seed of these changes, and of spike codes that draw at random.
        complete: Whether a tensor has as many steps as its recording lasts, instead of `bins.steps`.
    """

    bins: BinConfig
    views: int = 1
    vary: VaryConfig = field(default_factory=VaryConfig)
    seed: int = 0
    complete: bool = False


@dataclass(frozen=True)
class TensorKey:
    """What the spike tensor of a recording depends on.

    Args:
        version: Of the recording.
        bins: Steps of the tensor.
        views: Number of variants.
        vary: How the other variants are changed; None if there are none.
        seed: Seed of these changes; None if there are none.
        complete: Whether the tensor has as many steps as the recording lasts.
    """

    version: str
    bins: BinConfig
    views: int
    vary: VaryConfig | None
    seed: int | None
    complete: bool


class EncodedSample(NamedTuple):
    """A sample as spike tensors.

    Args:
        digest: Where the tensors are in the cache; empty without one.
        spikes: [views, T, C, H, W].
        counts: int64 [len(COUNTED)], the values of `BinCounts` of the recording itself.
    """

    digest: str
    spikes: NDArray[Any]
    counts: NDArray[np.int64]


class Batch(NamedTuple):
    """Spike tensors to train on.

    Args:
        spikes: [B, T, C, H, W], of the dtype of the bins.
        targets: float32 [B, K], the share of each class; one-hot unless recordings are mixed.
        labels: int64 [B], the class with the largest share.
    """

    spikes: SpikeTensor
    targets: NDArray[np.float32]
    labels: NDArray[np.int64]


class SpikeTensors:
    """The spike tensors [views, T, C, H, W] of samples.

    Images are encoded by their spike code at each access; they have one view and are not cached. Tensors in shards are
    read at each access.

    Args:
        samples: At least one.
        settings: Steps and variants.
        cache: Where tensors are kept; None: in memory only.
        jobs: Number of processes that encode, if that takes long.
        progress: Called with the number of samples done and in all.

    Attributes:
        labels: int64 [N].
        shards: Number of samples of each shard, in the order of the samples; None if the samples are in none.

    Raises:
        DataError: A recording is empty or comes from another sensor than the first, a shard has not the expected
            content, or the tensors do not fit in memory.
        DvspipeError: A recording cannot be read; the message names it.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        settings: TensorSettings,
        *,
        cache: Cache | None = None,
        jobs: int = 1,
        progress: Progress | None = None,
    ) -> None:
        if not samples:
            raise DataError("no samples to encode")
        self.labels = np.array([sample.label for sample in samples], np.int64)
        self._samples, self._settings, self._cache = samples, settings, cache
        self._digests: list[str] = []
        self._in_memory: NDArray[Any] | None = None
        self._counts = np.zeros((len(samples), len(COUNTED)), np.int64)
        self.shards: list[int] | None = None
        self._of_images = samples[0].code is not None
        if samples[0].stored is not None:
            self._check_shards(progress)
        elif self._of_images:
            self._counts[:, 0] = [int(np.sum(cast(Image, sample.load()))) for sample in samples]
        else:
            self._encode_all(jobs, progress)

    def _encode_all(self, jobs: int, progress: Progress | None) -> None:
        samples = self._samples
        log.info("encoding %d samples in %d process(es)", len(samples), jobs)
        encode = SampleEncoder(self._settings, self._cache)
        shape: tuple[int, ...] | None = None
        for number, encoded in enumerate(_map_samples(encode, samples, jobs)):
            if shape is None:
                shape = encoded.spikes.shape
                self._in_memory = _allocate(encoded.spikes, len(samples), self._cache)
            if encoded.spikes.shape != shape:
                raise DataError(
                    f"{samples[number].name}: comes from another sensor than {samples[0].name}",
                    Remedy("data.sensor", "WxH", "name the sensor of files that do not store it"),
                )
            if self._in_memory is not None:
                self._in_memory[number] = encoded.spikes
            self._digests.append(encoded.digest)
            self._counts[number] = encoded.counts
            if progress:
                progress(number + 1, len(samples))

    def _check_shards(self, progress: Progress | None) -> None:
        places = [sample.stored for sample in self._samples if sample.stored is not None]
        found = list(group_by_shard(places))
        for number, (shard, _) in enumerate(found):
            if progress:
                progress(number, len(found))
            shard.check()
        self.shards = [count for _, count in found]
        self._counts[:] = [place.counts for place in places]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> NDArray[Any]:
        if (place := self._samples[number].stored) is not None:
            return place.read()[: self._settings.views]
        if self._of_images:
            return encode_image(self._samples[number], number, self._settings)[None]
        if self._in_memory is not None:
            return np.asarray(self._in_memory[number])
        assert self._cache is not None
        stored = self._cache.read(self._digests[number])
        if stored is None:
            raise DataError(f"{self._cache.path(self._digests[number], ARRAYS)}: was removed from the cache; try again")
        return stored["spikes"]

    def encode_transformed(
        self, number: int, transforms: Sequence[TransformConfig], rng: np.random.Generator
    ) -> SpikeTensor:
        """Return the spike tensor [T, C, H, W] of a recording that is read again, after `apply_transforms`.

        Raises:
            ConfigError: The samples are images or in shards, or a transform is wrong.
            DataError: The recording cannot be read, or a transform cannot be applied.
        """
        if self.shards is not None or self._of_images:
            kind = "images" if self._of_images else "spike tensors of shards"
            raise ConfigError(f"augment.tonic: changes events, and the samples are {kind}")
        events = cast(Events, self._samples[number].read_content())
        return encode_events(apply_transforms(events, transforms, rng), self._settings.bins)

    def counts(self) -> list[BinCounts]:
        """Return the event counts of each recording itself; of an image, the sum of its values as `events`."""
        return [BinCounts(*row) for row in self._counts.tolist()]


@dataclass(frozen=True)
class BatchSettings:
    """How batches to train on are drawn.

    Args:
        size: B, number of recordings; the last batch of an epoch has the rest.
        augment: How recordings are augmented.
        classes: Names of the classes.
        seed: Seed of all draws.
        processes: Number of processes that train together; a last batch of fewer recordings is left out.
        rank: Which of them draws, from 0; it has its part of every batch, and reads its own shards.
    """

    size: int
    augment: AugmentConfig
    classes: Sequence[str]
    seed: int = 0
    processes: int = 1
    rank: int = 0


def training_batches(tensors: SpikeTensors, settings: BatchSettings, epoch: int) -> Iterator[Batch]:
    """Yield shuffled batches of one random view of each recording, augmented, prefetched in a thread.

    What is drawn for a recording depends only on the seed, the epoch and the recording.

    Args:
        tensors: The recordings.
        settings: Size, augmentation, classes and seed.
        epoch: Number of the epoch.
    """
    mirrored = mirrored_labels(settings.classes) if settings.augment.flip_horizontal else None
    rng, N, size = np.random.default_rng([settings.seed, epoch]), len(tensors), settings.size
    if tensors.shards is None:
        order = rng.permutation(N)
    else:
        order = order_shards(tensors.shards, np.arange(N) % size % settings.processes, rng)
    draw = _BatchDraw(tensors, settings, epoch, mirrored)
    batches = (order[start : start + size].tolist() for start in range(0, N, size))
    own = (batch[settings.rank :: settings.processes] for batch in batches if len(batch) >= settings.processes)
    return prefetch(map(draw.batch, own), PREFETCHED_BATCHES)


def order_shards(shards: Sequence[int], owners: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return an order of the samples of shards in which each reader has its own shards, shuffled.

    Shards are shuffled and dealt to the readers. A reader has the samples of its shards in turn, each moved by less
    than SHUFFLED_SAMPLES places at random. If its shards have too few samples, it has the last ones of the others.

    Args:
        shards: Number of samples of each shard; the samples are numbered through.
        owners: int64 [N], which reader has each place of the order, from 0.
        rng: What is drawn depends on it alone.

    Returns:
        int64 [N], each sample once.

    Example:
        >>> order_shards([3, 2], np.array([0, 1, 0, 1, 0]), np.random.default_rng(1)).tolist()
        [1, 3, 2, 4, 0]
    """
    needed = np.bincount(owners)
    ends, dealt = np.cumsum(shards), rng.permutation(len(shards))
    streams = []
    for owner in range(len(needed)):
        ranges = [np.arange(ends[shard] - shards[shard], ends[shard]) for shard in dealt[owner :: len(needed)]]
        own = np.concatenate([np.empty(0, np.int64), *ranges])
        streams.append(own[np.argsort(np.arange(len(own)) + rng.uniform(0, SHUFFLED_SAMPLES, len(own)))])
    left = np.concatenate([own[count:] for own, count in zip(streams, needed, strict=True)])
    order = np.empty(len(owners), np.int64)
    for owner, (own, count) in enumerate(zip(streams, needed, strict=True)):
        missing = max(0, count - len(own))
        order[owners == owner] = np.concatenate([own[:count], left[:missing]])
        left = left[missing:]
    return order


def plain_batches(
    tensors: SpikeTensors, size: int, numbers: Sequence[int] | None = None, progress: Progress = ignore_progress
) -> Iterator[SpikeTensor]:
    """Yield the recordings themselves, [B, T, C, H, W], prefetched in a thread.

    Args:
        tensors: The recordings.
        size: B; the last batch has the rest.
        numbers: Which recordings, in this order; default: all in theirs.
        progress: Called when a batch has been used.
    """
    chosen = range(len(tensors)) if numbers is None else numbers
    parts = (chosen[start : start + size] for start in range(0, len(chosen), size))
    used = 0
    for batch in prefetch((np.stack([tensors[i][0] for i in part]) for part in parts), PREFETCHED_BATCHES):
        yield batch
        used += len(batch)
        progress(used, len(chosen))


@dataclass(frozen=True)
class _BatchDraw:
    """The random draws of an epoch."""

    tensors: SpikeTensors
    settings: BatchSettings
    epoch: int
    mirrored: NDArray[np.int64] | None

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Return a batch of some recordings."""
        one_hot, mixture = np.eye(len(self.settings.classes), dtype=np.float32), self.settings.augment.mix
        spikes: list[SpikeTensor] = []
        targets = []
        for number in numbers:
            rng = np.random.default_rng([self.settings.seed, self.epoch, number, AUGMENT_STREAM])
            own, label = self._augmented(number, rng)
            target = one_hot[label]
            if mixture != "none" and rng.random() < 0.5:
                other, other_label = self._augmented(int(rng.integers(len(self.tensors))), rng)
                own, share = mix(own, other, mixture, rng)
                target = np.float32(share) * target + np.float32(1 - share) * one_hot[other_label]
            spikes.append(own)
            targets.append(target)
        joined = np.stack(targets)
        return Batch(np.stack(spikes), joined, joined.argmax(axis=1).astype(np.int64))

    def _augmented(self, number: int, rng: np.random.Generator) -> tuple[SpikeTensor, int]:
        label, config = int(self.tensors.labels[number]), self.settings.augment
        if config.tonic:
            view = self.tensors.encode_transformed(number, config.tonic, rng)
        else:
            views = self.tensors[number]
            view = views[rng.integers(len(views))]
        return augment(view, label, config, rng, self.mirrored)


def _allocate(tensor: NDArray[Any], samples: int, cache: Cache | None) -> NDArray[Any] | None:
    """Return memory for the tensors of all samples, or None if they are to be read from the cache."""
    size = tensor.nbytes * samples
    if cache is not None and size > IN_MEMORY_BYTES:
        return None
    try:
        return np.empty((samples, *tensor.shape), tensor.dtype)
    except MemoryError as error:
        raise DataError(
            f"{samples} spike tensors of {tensor.shape} do not fit in memory ({size / 1e9:.1f} GB)",
            Remedy("bins.downsample", "FACTOR", "make them smaller"),
            Remedy("bins.steps", "STEPS", "make them shorter"),
            Remedy("data.cache", "DIR", "read them from disk"),
        ) from error


@dataclass(frozen=True)
class SampleEncoder:
    """Encodes samples, or reads their tensors from a cache; picklable.

    Args:
        settings: Steps and variants.
        cache: Where tensors are kept; None: nowhere.
    """

    settings: TensorSettings
    cache: Cache | None

    def __call__(self, sample: Sample, _progress: Progress | None = None) -> EncodedSample:
        """Return the tensors of a sample."""
        return self.encode(sample, self.digest(sample))

    def digest(self, sample: Sample) -> str:
        """Return where the tensors of a sample are in the cache; empty without one."""
        if self.cache is None:
            return ""
        settings, varied = self.settings, self.settings.views > 1
        key = TensorKey(
            version=sample.read_version(),
            bins=settings.bins,
            views=settings.views,
            vary=settings.vary if varied else None,
            seed=settings.seed if varied else None,
            complete=settings.complete,
        )
        return self.cache.digest(key)

    def encode(self, sample: Sample, digest: str) -> EncodedSample:
        """Return the tensors of a sample, whose digest is known."""
        stored = None if self.cache is None else self.cache.read(digest)
        if stored is not None:
            return EncodedSample(digest, stored["spikes"], stored["counts"])
        spikes, counts = encode_sample(sample, self.settings)
        if self.cache is not None:
            self.cache.write(digest, spikes=spikes, counts=counts)
        return EncodedSample(digest, spikes, counts)


def _map_samples(
    encode: Callable[[Sample, Progress], EncodedSample], samples: Sequence[Sample], jobs: int
) -> Iterator[EncodedSample]:
    """Yield the results for all samples in their order; in processes if the remaining work is worth starting them."""
    began = time.monotonic()
    for number, sample in enumerate(samples):
        spent_s = time.monotonic() - began
        left_s = spent_s / number * (len(samples) - number) if number else 0.0
        if jobs > 1 and spent_s > MEASURED_S and left_s > WORTH_PROCESSES_S:
            outcomes = map_items(encode, samples[number:], engine=Processes(jobs), ordered=True)
            yield from (outcome.result() for outcome in outcomes)
            return
        yield encode(sample, ignore_progress)


def encode_sample(sample: Sample, settings: TensorSettings) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the spike tensors [views, T, C, H, W] of a recording, and its counts int64 [len(COUNTED)].

    Raises:
        DataError: The recording cannot be read or is empty.
    """
    events = sample.read_content()
    assert isinstance(events, Events)
    if not len(events):
        raise DataError(f"{sample.name}: contains no events")
    start_us, counts = int(events.t[0]), list[BinCounts]()
    bins = settings.bins
    if settings.complete:
        try:
            bins = bins.for_complete(events)
        except EventError as error:
            raise DataError(f"{sample.name}: {error.message}") from error
    variants = [encode_events(events, bins, start_us=start_us, callback=counts.append)]
    for view in range(1, settings.views):
        rng = np.random.default_rng([settings.seed, view, len(events), start_us & 0xFFFFFFFF])
        variants.append(encode_events(vary(events, settings.vary, rng), bins, start_us=start_us))
    return np.stack(variants), np.array([getattr(counts[0], name) for name in COUNTED], np.int64)


def encode_image(sample: Sample, number: int, settings: TensorSettings) -> NDArray[Any]:
    """Return the spikes [T, C, H, W] of an image by its code, whose draws depend on the seed and its number."""
    assert sample.code is not None
    rng = np.random.default_rng([settings.seed, number])
    return sample.code.encode(cast(Image, sample.load()), rng)
