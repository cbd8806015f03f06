"""A classifier adapted to unlabelled recordings: its batch norms move by what is different about their sensor.

The inputs of a batch norm have other means and variances on another sensor, but also with another mixture of classes.
The checkpoint holds their moments for each class. So the predictions say what this mixture of classes would give on the
sensor of the training, and only the rest of the difference is a shift of the sensor, which the statistics of the norm
follow. Recordings of a single class can therefore be used as well.
"""

from __future__ import annotations

import copy
import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..checkpoints.checkpoint import ClassifierConfig, load_config, save_checkpoint, versions
from ..errors import CheckpointError, ConfigError, DataError, DvspipeError, count_noun
from ..events import Events, SensorSizeLike
from ..formats import NO_HINTS, Hints
from ..framing import EventSource
from ..networks import BatchNorm, ClassMoments, Network, find_norms, measure_norms, mix_moments
from ..parallel import Progress
from ..results import AdaptationRecord, NormShift
from .classifier import Classifier
from .config import InferConfig
from .segments import is_quiet
from .windows import Window, WindowSpikes

MAX_WINDOWS = 128  # that statistics are estimated on, at most as many of each predicted class
MAX_WINDOW_BYTES = 256 << 20  # of these windows
MIN_WINDOWS = 4  # that are not quiet
STRENGTH = 0.5  # 1 follows a distant sensor too far
EVEN_CLASSES = 4  # effective number of predicted classes from which on the strength is not reduced
MAX_GROWTH = 1.4  # of the logarithm of a variance


@dataclass(frozen=True, eq=False)
class Adaptation:
    """A classifier adapted to recordings.

    Args:
        classifier: The adapted classifier.
        record: How far its batch norms moved, and how predictions changed.
        skipped: Why recordings could not be used.
    """

    classifier: Classifier
    record: AdaptationRecord
    skipped: tuple[DvspipeError, ...]

    def save(self, path: str | Path) -> None:
        """Write the adapted classifier as a checkpoint, complete or not at all.

        Raises:
            FileError: The file cannot be written.
        """
        save_checkpoint(Path(path), self.classifier.config, self.classifier.network, self.classifier.moments)


def refuse_module(checkpoint: str | Path) -> None:
    """Check that the network of a checkpoint is not a module of a user, which is not made for that.

    Raises:
        CheckpointError: It is, or the file is not a checkpoint.
    """
    _refuse_module(str(checkpoint), load_config(checkpoint))


def _refuse_module(name: str, config: ClassifierConfig) -> None:
    if config.network.kind == "module":
        raise CheckpointError(f"{name}: cannot be adapted (found network.kind = module, whose layers are not known)")


def check_adaptable(classifier: Classifier, strength: float = STRENGTH) -> None:
    """Check that a classifier can be adapted.

    Raises:
        ConfigError: The strength is not from 0 to 1.
        CheckpointError: The network has no batch norm, or the checkpoint does not have the moments.
    """
    name = classifier.checkpoint or "the classifier"
    if not 0 <= strength <= 1:
        raise ConfigError(f"strength = {strength:g}: out of range (expected 0 to 1)")
    _refuse_module(name, classifier.config)
    if not find_norms(classifier.network):
        kind = classifier.config.network.kind
        raise CheckpointError(f"{name}: cannot be adapted (found a network of kind {kind}, which has no batch norm)")
    if classifier.moments is None:
        raise CheckpointError(
            f"{name}: cannot be adapted (found no moments of its classes, which earlier versions did not write); "
            "train it again"
        )


def adapt(
    classifier: Classifier,
    recordings: Sequence[str | Path | Events],
    config: InferConfig = InferConfig(),
    *,
    strength: float = STRENGTH,
    sensor: SensorSizeLike | None = None,
    hints: Hints = NO_HINTS,
    progress: Progress | None = None,
) -> Adaptation:
    """Return a classifier adapted to unlabelled recordings of another sensor, in bounded memory.

    Args:
        classifier: The classifier; it is not changed.
        recordings: Files, or events in memory; each is read once, one that cannot be used is skipped.
        config: The windows, as they will be classified; `stateful` changes nothing here.
        strength: How far the statistics move: 0 not at all, 1 by all of the difference that is not due to chance, which
            can be too much on a sensor very unlike that of the training. Where few classes are predicted it is reduced,
            to nothing for one class.
        sensor: The sensor of recordings that do not name it.
        hints: What else they do not say.
        progress: Called with the number of recordings done and in all.

    Raises:
        ConfigError: The strength is not from 0 to 1, or the configuration does not fit the network.
        CheckpointError: The network has no batch norm, or its checkpoint has no moments of its classes.
        DataError: There are too few windows that are not quiet.

    Example:
        >>> from dvspipe.synthesis import GestureClip, record_gesture
        >>> classifier = Classifier.load("gesture-synthetic")
        >>> named = [GestureClip(label, person=0, clip=0, seed=0) for label in range(11)]
        >>> clips = [record_gesture(clip) for clip in named]  # doctest: +SKIP
        >>> adapted = adapt(classifier, clips).classifier  # doctest: +SKIP
    """
    check_adaptable(classifier, strength)
    config = config.model_copy(update={"stateful": False, "hop_us": None if config.stateful else config.hop_us})
    chosen = _Collector(classifier, config)
    for number, recording in enumerate(recordings):
        opened = partial(classifier.open, recording, config, sensor=sensor, hints=hints)
        chosen.read(opened, _show_part(progress, number, len(recordings)))
    poll = partial(progress, len(recordings), len(recordings)) if progress else None
    fitted = _fit(classifier, chosen.spikes(), strength, poll)
    config_after = classifier.config.model_copy(update={"trained_on": _describe(classifier, chosen)})
    adapted = Classifier(config_after, fitted.network, moments=fitted.moments)
    classes = classifier.config.classes
    record = AdaptationRecord(
        checkpoint=classifier.checkpoint or "",
        network=classifier.digest,
        strength=strength,
        applied=fitted.strength,
        recordings=chosen.recordings,
        skipped=len(chosen.skipped),
        windows=chosen.found,
        used=len(chosen.sample),
        classes=classes,
        before=_count(fitted.before, len(classes)),
        after=_count(fitted.after, len(classes)),
        norms=tuple(_describe_shifts(classifier.network, fitted.network)),
        versions=versions(),
    )
    return Adaptation(adapted, record, tuple(chosen.skipped))


def _show_part(progress: Progress | None, number: int, count: int) -> Progress | None:
    """Return a progress of one recording that reports how many are done."""
    if progress is None:
        return None
    return lambda done, total: progress(number + (min(1.0, max(0.0, done / total)) if total else 0), count)


class _SampledWindow(NamedTuple):
    """A window in a sample; they are ordered by a random key, which no two have in common."""

    key: float
    number: int
    spikes: WindowSpikes


class _Sample:
    """A random sample of windows, in which the predicted classes are as even as the windows allow.

    Args:
        most: Number of windows; if there are more, some of the most frequent class are dropped.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[int, list[_SampledWindow]] = {}  # by predicted class, heaps of those with the largest keys

    def __len__(self) -> int:
        return sum(map(len, self._kept.values()))

    def __iter__(self) -> Iterator[tuple[int, _SampledWindow]]:
        return ((label, kept) for label, heap in sorted(self._kept.items()) for kept in sorted(heap))

    def add(self, label: int, kept: _SampledWindow) -> None:
        """Add a window of a predicted class, and drop one if there are too many."""
        heapq.heappush(self._kept.setdefault(label, []), kept)
        if len(self) > self._most:
            heapq.heappop(max(self._kept.values(), key=len))


class _Collector:
    """Collects windows of recordings.

    Attributes:
        sample: The windows that are kept.
        found: Number of windows that were not quiet.
        recordings: Number of recordings that they come from.
        skipped: Why others could not be used.
    """

    def __init__(self, classifier: Classifier, config: InferConfig) -> None:
        self._classifier = classifier
        self._config = config.model_copy(update={"pose": False})  # only windows of events are collected
        bins, grid = classifier.window_bins(config), classifier.config.bins.grid(classifier.config.sensor)
        window_bytes = bins.steps * bins.channels * grid.width * grid.height * bins.dtype.itemsize
        self._most = max(MIN_WINDOWS, min(MAX_WINDOWS, MAX_WINDOW_BYTES // (2 * window_bytes)))
        self._rng = np.random.default_rng(0)
        self.sample = _Sample(self._most)
        self.found, self.recordings = 0, 0
        self.skipped: list[DvspipeError] = []

    def read(self, opened: Callable[[], EventSource], progress: Progress | None) -> None:
        """Add windows of a recording that are not quiet; which ones are is known at its end."""
        own, seen = _Sample(self._most), itertools.count()

        def keep(windows: Sequence[Window], logits: NDArray[np.float32]) -> None:
            for window, label in zip(windows, logits.argmax(1).tolist(), strict=True):
                own.add(label, _SampledWindow(self._rng.random(), next(seen), window.spikes))

        try:
            prediction = self._classifier.classify(opened(), self._config, progress, keep)
        except DvspipeError as error:
            self.skipped.append(error)
            return
        quiet = is_quiet(prediction.timeline, self._config.segments)
        self.found += int(np.sum(~quiet))
        self.recordings += 1
        for label, kept in own:
            if not quiet[kept.number]:
                self.sample.add(label, kept)

    def spikes(self) -> Tensor:
        """Return the windows, [T, N, C, H, W].

        Raises:
            DvspipeError: No recording could be used.
            DataError: The windows are too few.
        """
        if self.skipped and not self.recordings:
            raise self.skipped[0]
        if len(self.sample) < MIN_WINDOWS:
            raise DataError(
                f"too little to adapt to (found {count_noun(self.found, 'window')} in "
                f"{count_noun(self.recordings, 'recording')}, without quiet ones, expected {MIN_WINDOWS} or more)"
            )
        return torch.from_numpy(np.stack([kept.spikes for _, kept in self.sample], axis=1))


@dataclass(frozen=True, eq=False)
class _Fitted:
    """An adapted network, its moments, the strength, and the labels [N] of the windows before and after."""

    network: Network
    moments: ClassMoments
    strength: float
    before: Tensor
    after: Tensor


def _fit(classifier: Classifier, spikes: Tensor, strength: float, poll: Callable[[], object] | None) -> _Fitted:
    """Return a network whose norms follow windows [T, N, C, H, W].

    A norm sees other inputs once those before it have moved, so that all are measured as often as there are norms.
    """
    assert classifier.moments is not None
    network = copy.deepcopy(classifier.network)
    batches = spikes.split(max(1, classifier.max_images // len(spikes)), dim=1)
    outputs, measured = _measure(network, batches, poll)
    before = outputs.argmax(1)
    strength *= _find_evenness(torch.bincount(before, minlength=outputs.shape[1]).double())
    sources = find_norms(classifier.network)
    moved: list[_AdaptedNorm] = []
    for _ in sources:
        shares = (outputs / classifier.config.temperature).double().softmax(1)
        moved = [
            _move(source, moments, shares, values, strength)
            for source, moments, values in zip(sources, classifier.moments.norms, measured, strict=True)
        ]
        for norm, each in zip(find_norms(network), moved, strict=True):
            norm.running_mean, norm.running_var = each.mean, each.variance
        outputs, measured = _measure(network, batches, poll)
    adapted = ClassMoments(tuple(each.moments for each in moved), classifier.moments.features)
    return _Fitted(network, adapted, strength, before, outputs.argmax(1))


def _find_evenness(counts: Tensor) -> float:
    """Return the share of the strength, 0 to 1, for windows in which classes [K] are predicted so often.

    What windows of one class have in common, such as a person, cannot be told from the sensor. So the share is 0 for
    one class, and 1 from an effective number (exp of the entropy) of EVEN_CLASSES on, or of all if there are fewer.
    """
    effective = float(torch.special.entr(counts / counts.sum()).sum().exp())
    return min(1.0, max(0.0, (effective - 1) / (min(EVEN_CLASSES, len(counts)) - 1)))


def _measure(
    network: Network, batches: Sequence[Tensor], poll: Callable[[], object] | None
) -> tuple[Tensor, list[Tensor]]:
    """Return the logits [N, K] for windows, and the moments [N, 2, channels] of the inputs of each norm.

    Args:
        network: The network.
        batches: The windows, [T, B, C, H, W] each.
        poll: Called before each batch.
    """
    device = next(network.parameters()).device
    parts = []
    for batch in batches:
        if poll:
            poll()
        parts.append(measure_norms(network, batch.to(device)))
    outputs, measured = zip(*parts, strict=True)
    return torch.cat(outputs), [torch.cat(norm) for norm in zip(*measured, strict=True)]


class _AdaptedNorm(NamedTuple):
    """New statistics of a norm, and the moments of the classes on the new sensor."""

    mean: Tensor
    variance: Tensor
    moments: Tensor


def _move(source: BatchNorm, moments: Tensor, shares: Tensor, measured: Tensor, strength: float) -> _AdaptedNorm:
    """Move a norm by the difference between windows and what their classes give on the sensor of the training.

    Args:
        source: The norm of the checkpoint.
        moments: Of the classes, [K, 2, channels].
        shares: Probabilities of the classes of each window, [N, K].
        measured: Moments of each window, [N, 2, channels].
        strength: Share of the difference.
    """
    assert source.running_mean is not None
    assert source.running_var is not None
    mean, variance = source.running_mean.double().cpu(), source.running_var.double().cpu()
    change, deviation = measured - mix_moments(shares, moments), (variance + source.eps).sqrt()
    shift = strength * _estimate(change[:, 0] / deviation) * deviation
    growth = strength * _estimate(change[:, 1]).clamp(-MAX_GROWTH, MAX_GROWTH)
    return _AdaptedNorm(
        (mean + shift).to(source.running_mean),
        (variance * growth.exp()).to(source.running_var),
        moments + torch.stack([shift, growth]),
    )


def _estimate(changes: Tensor) -> Tensor:
    """Return the mean change [channels] less what is due to chance, by the positive-part James-Stein estimator.

    Args:
        changes: Of each window, [N, channels].
    """
    mean = changes.mean(0)
    chance = changes.var(0).sum() / len(changes)
    return mean * (1 - chance / mean.square().sum().clamp(min=1e-30)).clamp(min=0)


def _count(labels: Tensor, classes: int) -> tuple[int, ...]:
    return tuple(torch.bincount(labels, minlength=classes).tolist())


def _describe_shifts(source: Network, adapted: Network) -> Iterator[NormShift]:
    for number, (before, after) in enumerate(zip(find_norms(source), find_norms(adapted), strict=True), start=1):
        assert before.running_mean is not None
        assert before.running_var is not None
        assert after.running_mean is not None
        assert after.running_var is not None
        deviation = (before.running_var + before.eps).sqrt()
        mean = (after.running_mean - before.running_mean) / deviation
        spread = (after.running_var + after.eps).sqrt() / deviation - 1
        yield NormShift(
            name=f"norm{number}",
            mean=float(mean.square().mean().sqrt()),
            deviation=float(spread.square().mean().sqrt()),
        )


def _describe(classifier: Classifier, chosen: _Collector) -> str:
    """Return what an adapted classifier was trained on."""
    windows, recordings = count_noun(len(chosen.sample), "window"), count_noun(chosen.recordings, "recording")
    adapted = f"adapted to {windows} of {recordings}"
    return "; ".join(filter(None, [classifier.config.trained_on, adapted]))
