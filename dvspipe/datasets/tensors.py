"""Spike tensors of samples, encoded once and cached on disk and in memory; and batches for training.

`SpikeTensors` is the sequence of the tensors of a data set: it encodes recordings when it is created (`SampleEncoder`),
and encodes images at each access. `training_batches` yields shuffled and augmented batches of it, `plain_batches` the
original recordings in order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError, DataError, count_noun
from ..base.pool import map_items, prefetch
from ..base.progress import Progress, ignore_progress
from ..encoding import BinConfig, BinCounts
from ..encoding.bins import encode_counted
from ..events import Events
from .augmentation import AugmentConfig, SpikeTensor, VaryConfig, augment, mirrored_labels, vary
from .cache import Cache
from .samples import Image, Sample

IN_MEMORY_BYTES = 2 << 30  # larger data sets are read from the cache in each epoch
PREFETCHED_BATCHES = 4
SERIAL_TRIAL_S = 1.0  # time for which samples are encoded before processes are considered
MIN_PARALLEL_S = 8.0  # starting a process takes some seconds
AUGMENT_STREAM = 1  # last number of the seeds of augmentation, to be independent of other draws
COUNTED = tuple(count.name for count in fields(BinCounts))

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TensorSettings:
    """Settings of encoding samples as spike tensors.

    Args:
        bins: Steps of the tensors; the first step starts at the first event of a recording.
        views: Number of variants of each recording: the original, and `views - 1` random variants.
        vary: Random changes of the variants.
        seed: Seed of the changes, and of random spike codes.
    """

    bins: BinConfig
    views: int = 1
    vary: VaryConfig = field(default_factory=VaryConfig)
    seed: int = 0


class EncodedSample(NamedTuple):
    """Sample encoded as spike tensors.

    Args:
        counts: Values of `BinCounts` for the original recording, int64 [len(COUNTED)].
    """

    digest: str
    spikes: NDArray[Any]
    counts: NDArray[np.int64]


class Batch(NamedTuple):
    """Batch of spike tensors for training.

    Args:
        spikes: Spike tensors [B, T, C, H, W], with the dtype of the bins.
        targets: One-hot labels, float32 [B, K].
        labels: Labels, int64 [B].
    """

    spikes: SpikeTensor
    targets: NDArray[np.float32]
    labels: NDArray[np.int64]


class SpikeTensors:
    """Sequence of the spike tensors [views, T, C, H, W] of samples.

    Images are encoded by their spike code at each access; they have one view and are not cached.

    Args:
        samples: Samples to encode, at least one.
        settings: Steps and variants.
        cache: Cache of the tensors; None: keep them in memory.
        jobs: Number of encoding processes, used if encoding takes long.
        progress: Called with the number of samples done and the total.

    Attributes:
        labels: Labels of the samples, int64 [N].

    Raises:
        DataError: If a recording is empty or its sensor differs from the first sample's sensor.
        DvspipeError: If a recording cannot be read; the message names it.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        settings: TensorSettings,
        *,
        cache: Cache | None = None,
        jobs: int = 1,
        progress: Progress = ignore_progress,
    ) -> None:
        if not samples:
            raise DataError("no samples to encode")

        self.labels = np.array([sample.label for sample in samples], np.int64)
        self._samples = samples
        self._settings = settings
        self._cache = cache
        self._digests: list[str] = []
        self._in_memory: NDArray[Any] | None = None
        self._counts = np.zeros((len(samples), len(COUNTED)), np.int64)

        self._is_images = samples[0].code is not None

        # Images are encoded on demand, and recordings are encoded now.
        if self._is_images:
            self._counts[:, 0] = [int(np.sum(cast(Image, sample.load()))) for sample in samples]
        else:
            self._encode_all(jobs, progress)

    def _encode_all(self, jobs: int, progress: Progress) -> None:
        """Encode all recordings, into memory if they fit, otherwise into the cache."""
        samples = self._samples
        log.info("encoding %s", count_noun(len(samples), "sample"))
        encode = SampleEncoder(self._settings, self._cache)
        shape: tuple[int, ...] | None = None
        for number, encoded in enumerate(_map_samples(encode, samples, jobs)):
            # The first tensor tells the shape of all: a tensor of another shape comes from another sensor.
            if shape is None:
                shape = encoded.spikes.shape
                if self._cache is None or encoded.spikes.nbytes * len(samples) <= IN_MEMORY_BYTES:
                    self._in_memory = np.empty((len(samples), *shape), encoded.spikes.dtype)

            if encoded.spikes.shape != shape:
                raise DataError(
                    f"{samples[number].name}: comes from another sensor than {samples[0].name}"
                    "; use sensor=WxH to set the sensor of files that do not store it"
                )

            if self._in_memory is not None:
                self._in_memory[number] = encoded.spikes
            self._digests.append(encoded.digest)
            self._counts[number] = encoded.counts
            progress(number + 1, len(samples))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> NDArray[Any]:
        if self._is_images:
            return encode_image(self._samples[number], number, self._settings)[None]
        if self._in_memory is not None:
            return np.asarray(self._in_memory[number])

        assert self._cache is not None
        digest = self._digests[number]
        arrays = self._cache.read(digest)
        if arrays is None:
            raise DataError(f"{self._cache.path(digest)}: was removed from the cache; try again")

        return arrays["spikes"]

    def counts(self) -> list[BinCounts]:
        """Return the event counts of each original recording; for an image, `events` is the sum of its values."""
        return [BinCounts(*row) for row in self._counts.tolist()]


@dataclass(frozen=True)
class BatchSettings:
    """Settings of training batches.

    Args:
        size: Batch size B; the last batch of an epoch may be smaller.
        augment: Augmentation of recordings.
        classes: Class names.
        seed: Seed of all random draws.
        processes: Number of training processes; a last batch with fewer recordings than processes is dropped.
        rank: Index of this process, from 0. It draws its part of every batch.
    """

    size: int
    augment: AugmentConfig
    classes: Sequence[str]
    seed: int = 0
    processes: int = 1
    rank: int = 0


def training_batches(tensors: SpikeTensors, settings: BatchSettings, epoch: int) -> Iterator[Batch]:
    """Yield shuffled, augmented batches with one random view of each recording, prefetched in a thread.

    Random draws for a recording depend only on the seed, the epoch and the recording.

    Args:
        tensors: Spike tensors of the recordings.
        settings: Batch size, augmentation, classes and seed.
        epoch: Index of the epoch.
    """
    mirrored = mirrored_labels(settings.classes) if settings.augment.flip_horizontal else None
    one_hot = np.eye(len(settings.classes), dtype=np.float32)

    def draw(numbers: Sequence[int]) -> Batch:
        spikes: list[SpikeTensor] = []
        labels: list[int] = []
        for number in numbers:
            rng = np.random.default_rng([settings.seed, epoch, number, AUGMENT_STREAM])
            views = tensors[number]
            view = views[rng.integers(len(views))]
            view, label = augment(view, int(tensors.labels[number]), settings.augment, rng, mirrored)
            spikes.append(view)
            labels.append(label)
        return Batch(np.stack(spikes), one_hot[labels], np.array(labels, np.int64))

    # The last batch may be too small to give each process a sample; it is left out.
    N = len(tensors)
    order = np.random.default_rng([settings.seed, epoch]).permutation(N).tolist()
    batches = (order[start : start + settings.size] for start in range(0, N, settings.size))
    own_batches = (batch[settings.rank :: settings.processes] for batch in batches if len(batch) >= settings.processes)
    return prefetch(map(draw, own_batches), PREFETCHED_BATCHES)


def plain_batches(
    tensors: SpikeTensors, size: int, numbers: Sequence[int] | None = None, progress: Progress = ignore_progress
) -> Iterator[SpikeTensor]:
    """Yield batches [B, T, C, H, W] of the original recordings without augmentation, prefetched in a thread.

    Args:
        tensors: Spike tensors of the recordings.
        size: Batch size B; the last batch may be smaller.
        numbers: Indices of the recordings, in order; None: all recordings.
        progress: Called after each batch is used, with the number of recordings done and the total.

    Raises:
        ConfigError: If the batch size is not above 0.
    """
    if size < 1:
        raise ConfigError(f"batch size {size}: out of range (expected 1 or more)")

    chosen = range(len(tensors)) if numbers is None else numbers
    parts = (chosen[start : start + size] for start in range(0, len(chosen), size))

    def stack(part: Sequence[int]) -> SpikeTensor:
        originals = [tensors[number][0] for number in part]
        return np.stack(originals)

    used = 0
    for batch in prefetch(map(stack, parts), PREFETCHED_BATCHES):
        yield batch
        used += len(batch)
        progress(used, len(chosen))


@dataclass(frozen=True)
class SampleEncoder:
    """Encode samples, or read their tensors from a cache. Picklable.

    Args:
        settings: Steps and variants.
        cache: Cache of the tensors; None: no cache.
    """

    settings: TensorSettings
    cache: Cache | None

    def __call__(self, sample: Sample, _progress: Progress = ignore_progress, digest: str = "") -> EncodedSample:
        """Encode a sample, or read it from the cache; `digest` is its digest if it is known."""
        if self.cache is None:
            return EncodedSample("", **encode_sample(sample, self.settings))

        digest = digest or self._digest(sample, self.cache)
        return EncodedSample(digest, **self.cache.get(digest, lambda: encode_sample(sample, self.settings)))

    def _digest(self, sample: Sample, cache: Cache) -> str:
        # Without variants, nothing random is drawn.
        settings = self.settings
        varied = (settings.views, settings.vary.part(VaryConfig), settings.seed) if settings.views > 1 else None
        return cache.digest(("spikes", sample.read_version(), settings.bins.part(BinConfig), varied))


def _map_samples(encode: SampleEncoder, samples: Sequence[Sample], jobs: int) -> Iterator[EncodedSample]:
    """Encode samples in order; start processes only if the remaining work is worth it."""
    began = time.monotonic()
    for number, sample in enumerate(samples):
        spent_s = time.monotonic() - began
        left_s = spent_s / number * (len(samples) - number) if number else 0.0

        # Starting processes takes seconds, so the first samples show whether they would save any.
        if jobs > 1 and spent_s > SERIAL_TRIAL_S and left_s > MIN_PARALLEL_S:
            outcomes = map_items(encode, samples[number:], jobs=jobs, ordered=True)
            yield from (outcome.result() for outcome in outcomes)
            return
        yield encode(sample)


def encode_sample(sample: Sample, settings: TensorSettings) -> dict[str, NDArray[Any]]:
    """Encode a recording; return `spikes` [views, T, C, H, W] and `counts`, int64 [len(COUNTED)]."""
    events = sample.read_content()
    assert isinstance(events, Events)

    if not len(events):
        raise DataError(f"{sample.name}: contains no events")

    start_us = int(events.t[0])
    bins = settings.bins

    spikes, counts = encode_counted(events, bins, start_us)
    variants = [spikes]

    # Draws depend on the recording, not on its number: the same variants whatever else is in the data set.
    for view in range(1, settings.views):
        rng = np.random.default_rng([settings.seed, view, len(events), start_us & 0xFFFFFFFF])
        varied, _ = encode_counted(vary(events, settings.vary, rng), bins, start_us)
        variants.append(varied)

    counted = np.array([getattr(counts, name) for name in COUNTED], np.int64)
    return {"spikes": np.stack(variants), "counts": counted}


def encode_image(sample: Sample, number: int, settings: TensorSettings) -> NDArray[Any]:
    """Encode an image as spikes [T, C, H, W]; random draws depend on the seed and on `number`."""
    assert sample.code is not None
    rng = np.random.default_rng([settings.seed, number])
    return sample.code.encode(cast(Image, sample.load()), rng)
