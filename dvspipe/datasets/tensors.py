"""Spike tensors of samples, made once, kept on disk and, where they fit, in memory; and batches of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..encoding import BinConfig, BinCounts, encode_events
from ..errors import DataError, DvspipeError
from ..events import Events
from ..parallel import Progress, map_in_processes, prefetch
from .augmentation import AugmentConfig, Spikes, VaryConfig, augment, mirrored_labels, mix, vary
from .cache import Cache
from .samples import Sample

HELD_BYTES = 2 << 30  # of spike tensors that are kept in memory; more are read from the cache in each epoch
BATCHES_AHEAD = 4
TRIED_S, WORTH_PROCESSES_S = 1.0, 8.0  # a process takes some seconds to begin
AUGMENT_STREAM = 1
COUNTED = tuple(field.name for field in fields(BinCounts))

log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """Spike tensors to learn from.

    Args:
        spikes: [B, T, C, H, W], of the dtype of the bins.
        targets: float32 [B, K], the share of each class; all on one where nothing is mixed.
        labels: int64 [B], the class of the largest share.
    """

    spikes: NDArray[Any]
    targets: NDArray[np.float32]
    labels: NDArray[np.int64]


class SpikeTensors:
    """The spike tensors of samples, [views, T, C, H, W] each: of the recording itself, then of changed variants.

    Args:
        samples: At least one. Images have a code, which encodes them at each access; then there is one view, and
            nothing is cached.
        bins: Steps of the tensors, which begin with each recording's first event.
        views: Variants of each sample.
        vary_config: How the others than the first are changed.
        seed: Of these changes.
        cache: Where they are kept; without one, all must fit in memory.
        jobs: Processes that make them, where that takes long.
        progress: Told the number of samples done and in all.

    Raises:
        DataError: A recording is empty or comes from another sensor than the first, or all are too large for memory.
        DvspipeError: A recording cannot be read; the message names it.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        bins: BinConfig,
        *,
        views: int = 1,
        vary_config: VaryConfig = VaryConfig(),
        seed: int = 0,
        cache: Cache | None = None,
        jobs: int = 1,
        progress: Progress | None = None,
    ) -> None:
        if not samples:
            raise DataError("no samples to encode")
        self._cache, self._code, self._seed = cache, samples[0].code, seed
        self.labels = np.array([sample.label for sample in samples], np.int64)
        self._keys: list[str] = []
        self._held: NDArray[Any] | None = None
        self._counts = np.zeros((len(samples), len(COUNTED)), np.int64)
        self._pictures = samples if self._code else ()
        if self._code:
            self._counts[:, 0] = [int(np.sum(sample.load())) for sample in samples]  # type: ignore[arg-type]
            return
        make = partial(_kept, bins=bins, views=views, vary_config=vary_config, seed=seed, cache=cache)
        log.info("encoding %d samples in %d process(es)", len(samples), jobs)
        shape: tuple[int, ...] | None = None
        for number, (key, tensor, counts) in enumerate(_mapped(make, samples, jobs)):
            if shape is None:
                shape = tensor.shape
                self._held = _room(tensor, len(samples), cache)
            if tensor.shape != shape:
                raise DataError(
                    f"{samples[number].name}: comes from another sensor than {samples[0].name}; where the files do not "
                    "name it, data.sensor=WxH does"
                )
            if self._held is not None:
                self._held[number] = tensor
            self._keys.append(key)
            self._counts[number] = counts
            if progress:
                progress(number + 1, len(samples))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> NDArray[Any]:
        if self._code is not None:
            rng = np.random.default_rng([self._seed, number])
            return self._code.encode(self._pictures[number].load(), rng)[None]  # type: ignore[arg-type]
        if self._held is not None:
            return np.asarray(self._held[number])
        assert self._cache is not None
        kept = self._cache.read(self._keys[number])
        if kept is None:
            raise DataError(f"{self._cache.path(self._keys[number], '.npz')}: is gone from the cache; start again")
        return kept["spikes"]

    def counts(self) -> list[BinCounts]:
        """What became of the events of each recording itself; of pictures, the sum of their values."""
        return [BinCounts(*row) for row in self._counts.tolist()]


def training_batches(
    tensors: SpikeTensors,
    size: int,
    config: AugmentConfig,
    classes: Sequence[str],
    seed: int,
    epoch: int,
    *,
    own: Callable[[list[int]], list[int]] | None = None,
    least: int = 1,
) -> Iterator[Batch]:
    """Shuffled batches of one random view of each recording, augmented, made in a thread ahead of their use.

    What is drawn for a recording depends on the seed, the epoch and the recording alone.

    Args:
        tensors: What to learn from.
        size: Recordings per batch; the last one has what is left.
        config: How they are augmented.
        classes: Names.
        seed: Of all draws.
        epoch: Its number.
        own: Which of a batch's recordings are wanted here, where several processes share it; all by default.
        least: A last batch of fewer recordings is left out.
    """
    mirrored = mirrored_labels(classes) if config.flip_horizontal else None
    order = np.random.default_rng([seed, epoch]).permutation(len(tensors))
    make = partial(_training_batch, tensors, config, len(classes), mirrored, seed, epoch)
    whole = (order[start : start + size].tolist() for start in range(0, len(order), size))
    chosen = (numbers for numbers in whole if len(numbers) >= least)
    return prefetch(map(make, map(own, chosen) if own else chosen), BATCHES_AHEAD)


def plain_batches(tensors: SpikeTensors, size: int) -> Iterator[NDArray[Any]]:
    """The recordings themselves in their order, [B, T, C, H, W], made in a thread ahead of their use."""
    starts = range(0, len(tensors), size)
    return prefetch(
        (np.stack([tensors[i][0] for i in range(start, min(start + size, len(tensors)))]) for start in starts),
        BATCHES_AHEAD,
    )


def _training_batch(
    tensors: SpikeTensors, config: AugmentConfig, K: int, mirrored: NDArray[np.int64] | None, seed: int, epoch: int,
    chosen: Sequence[int],
) -> Batch:  # fmt: skip
    one_hot = np.eye(K, dtype=np.float32)
    spikes, targets = [], []
    for number in chosen:
        rng = np.random.default_rng([seed, epoch, number, AUGMENT_STREAM])
        own, label = _drawn(tensors, number, config, mirrored, rng)
        target = one_hot[label]
        if config.mix != "none" and rng.random() < 0.5:
            other, other_label = _drawn(tensors, int(rng.integers(len(tensors))), config, mirrored, rng)
            own, share = mix(own, other, config.mix, rng)
            target = np.float32(share) * target + np.float32(1 - share) * one_hot[other_label]
        spikes.append(own)
        targets.append(target)
    joined = np.stack(targets)
    return Batch(np.stack(spikes), joined, joined.argmax(axis=1).astype(np.int64))


def _drawn(
    tensors: SpikeTensors, number: int, config: AugmentConfig, mirrored: NDArray[np.int64] | None,
    rng: np.random.Generator,
) -> tuple[Spikes, int]:  # fmt: skip
    views = tensors[number]
    return augment(views[rng.integers(len(views))], int(tensors.labels[number]), config, rng, mirrored)


def _room(tensor: NDArray[Any], samples: int, cache: Cache | None) -> NDArray[Any] | None:
    """Memory for as many tensors, or None where they are to be read from the cache."""
    size = tensor.nbytes * samples
    if cache is not None and size > HELD_BYTES:
        return None
    try:
        return np.empty((samples, *tensor.shape), tensor.dtype)
    except MemoryError as error:
        raise DataError(
            f"{samples} spike tensors of {tensor.shape} take {size / 1e9:.1f} GB of memory; fewer steps, a larger "
            "downsample, fewer views, or data.cache=DIR need less"
        ) from error


def _mapped(make: Callable[[Sample], Any], samples: Sequence[Sample], jobs: int) -> Iterator[Any]:
    """The results for all samples in their order; in processes where what is left after a while pays for them."""
    began = time.monotonic()
    for number, sample in enumerate(samples):
        spent_s = time.monotonic() - began
        left_s = spent_s / number * (len(samples) - number) if number else 0.0
        if jobs > 1 and spent_s > TRIED_S and left_s > WORTH_PROCESSES_S:
            outcomes = map_in_processes(_Make(make), samples[number:], jobs=jobs, ordered=True)
            yield from (outcome.result() for outcome in outcomes)
            return
        yield make(sample)


@dataclass(frozen=True)
class _Make:
    """Make the tensor of a sample in a worker process."""

    make: Callable[[Sample], Any]

    def __call__(self, sample: Sample, _: Progress) -> Any:
        return self.make(sample)


def _kept(
    sample: Sample, *, bins: BinConfig, views: int, vary_config: VaryConfig, seed: int, cache: Cache | None
) -> tuple[str, NDArray[Any], NDArray[np.int64]]:
    """The key of a sample's tensor, the tensor, and the COUNTED of its events: kept, or made and put there."""
    if cache is None:
        return "", *_encoded(sample, bins, views, vary_config, seed)
    changes = (vary_config.model_dump(), seed) if views > 1 else ()
    key = cache.key(_named(sample, sample.version), bins.model_dump(), views, changes)
    kept = cache.read(key)
    if kept is None:
        spikes, counts = _encoded(sample, bins, views, vary_config, seed)
        kept = {"spikes": spikes, "counts": counts}
        cache.write(key, kept)
    return key, kept["spikes"], kept["counts"]


def _named(sample: Sample, work: Callable[[], Any]) -> Any:
    """The result of some work on a sample; what goes wrong names the sample."""
    try:
        return work()
    except DvspipeError as error:
        message = str(error)
        raise DataError(message if message.startswith(sample.name) else f"{sample.name}: {message}") from error
    except OSError as error:
        raise DataError(f"{sample.name}: cannot be read ({error.strerror or error})") from error


def _encoded(
    sample: Sample, bins: BinConfig, views: int, vary_config: VaryConfig, seed: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    events = _named(sample, sample.load)
    assert isinstance(events, Events)
    if not len(events):
        raise DataError(f"{sample.name}: the recording holds no events")
    start_us, told = int(events.t[0]), list[BinCounts]()
    variants = [encode_events(events, bins, start_us=start_us, tell=told.append)]
    for view in range(1, views):
        changed = vary(events, vary_config, np.random.default_rng([seed, view, len(events), start_us & 0xFFFFFFFF]))
        variants.append(encode_events(changed, bins, start_us=start_us))
    return np.stack(variants), np.array([getattr(told[0], name) for name in COUNTED], np.int64)
