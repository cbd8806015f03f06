"""Adapt a classifier to unlabelled recordings of another sensor by moving the statistics of its batch norms."""

from __future__ import annotations

import copy
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ..base.errors import Brief, CheckpointError, ConfigError, DataError, DvspipeError, count_noun
from ..base.files import check_output
from ..base.progress import NamedStep, Progress, ignore_progress
from ..base.texts import Described, TextTable
from ..checkpoints.checkpoint import save_checkpoint
from ..events import Events
from ..formats import RecordingLike
from ..networks import estimate_norms, find_norms
from ..results import ADAPTED, CHECKPOINT_SUFFIX, AdaptationRecord
from .classifier import Classifier, as_classifier
from .config import InferConfig
from .reading import Reader
from .segments import has_few_events, shows_noise
from .tasks import plan_tasks
from .windows import WindowSpikes

MAX_WINDOWS = 128  # windows that the statistics are estimated from; in gestures, 40 MB
MIN_WINDOWS = 4
STRENGTH = 0.5  # 1 overshoots if the recordings have other proportions of classes
EVEN_CLASSES = 4  # the strength is reduced if the effective number of predicted classes is smaller


@dataclass(frozen=True, eq=False, repr=False)
class Adaptation(Described, Brief):
    """Result of `adapt`.

    Args:
        classifier: Adapted classifier.
        record: Strength, and predicted classes before and after.
        skipped: Errors of recordings that could not be used.
    """

    classifier: Classifier
    record: AdaptationRecord
    skipped: tuple[DvspipeError, ...]

    def describe(self) -> Sequence[str | TextTable]:
        """Return the text of `record`."""
        return self.record.describe()

    def to_record(self) -> AdaptationRecord:
        """Return the record."""
        return self.record

    @property
    def problem(self) -> str:
        """Errors of recordings that could not be used; empty: none."""
        return "; ".join(f"skipped: {error}" for error in self.skipped)


def adapt(
    checkpoint: str | Path | Classifier,
    recordings: RecordingLike | Sequence[RecordingLike],
    out: str | Path | None = None,
    config: InferConfig = InferConfig(),
    *,
    strength: float = STRENGTH,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Adaptation:
    """Adapt a trained network to the sensor of unlabelled recordings, in bounded memory.

    The statistics of its batch norms move towards the statistics of the recordings; weights do not change.

    Args:
        checkpoint: Run folder, checkpoint file, name of an included classifier, or hf://USER/NAME. A `Classifier` is
            not changed.
        recordings: Recordings, videos, or folders of these; each is read once, and skipped if it cannot be used.
        out: Checkpoint file to write (.safetensors). Default: not written.
        config: Settings of windows and framing, as in the later classification; `stateful` has no effect.
        strength: Share of the difference that is applied, 0 to 1. At 1, the statistics are the recordings' own. The
            strength is reduced if few classes are predicted, to 0 for a single class.
        overwrite: Replace an existing file.
        progress: Callback with the finished and total number of recordings.

    Raises:
        ConfigError: If `strength` is not in [0, 1], or the configuration does not fit the network.
        CheckpointError: If the network has no batch norm.
        DataError: If fewer than 4 windows show movement.
        FileError: If the suffix is wrong, or the output exists or cannot be written.
        DvspipeError: If no recording can be used; the error of the first recording.

    Example:
        >>> adaptation = adapt("gesture", ["a.aedat4", "b.aedat4"], "mine.safetensors")  # doctest: +SKIP
        >>> adaptation.classifier.predict("c.aedat4").class_name  # doctest: +SKIP
        'hand_clapping'
    """
    file = check_output(out, "a checkpoint", CHECKPOINT_SUFFIX, overwrite=overwrite)
    classifier = as_classifier(checkpoint)
    if not 0 <= strength <= 1:
        raise ConfigError(f"strength = {strength:g}: out of range (expected 0 to 1)")
    if not find_norms(classifier.network):
        raise CheckpointError(f"{classifier.checkpoint}: cannot be adapted, because its network has no batch norm")

    given = [recordings] if isinstance(recordings, str | Path | Events) else recordings
    sources: list[RecordingLike] = [recording for recording in given if isinstance(recording, Events)]
    files = plan_tasks([recording for recording in given if not isinstance(recording, Events)])
    sources += [task.source for task in files]

    # A random sample of the windows that are not quiet: the smallest keys.
    rng = np.random.default_rng(0)
    sample: list[_Window] = []
    skipped: list[DvspipeError] = []
    for number, source in enumerate(sources):
        name = "events" if isinstance(source, Events) else str(source)
        step = NamedStep(progress or ignore_progress, name, number, len(sources))
        try:
            sample = heapq.nsmallest(MAX_WINDOWS, [*sample, *_sample_windows(classifier, source, config, rng, step)])
        except DvspipeError as error:
            skipped.append(error)

    if skipped and len(skipped) == len(sources):
        raise skipped[0]
    if len(sample) < MIN_WINDOWS:
        raise DataError(f"adapt: found {count_noun(len(sample), 'window')} with movement (expected {MIN_WINDOWS})")

    recorded = count_noun(len(sources) - len(skipped), "recording")
    trained_on = f"{classifier.config.trained_on}; {ADAPTED} {count_noun(len(sample), 'window')} of {recorded}"
    noted = classifier.config.model_copy(update={"trained_on": trained_on.removeprefix("; ")})
    adapted = Classifier(noted, copy.deepcopy(classifier.network))

    size = max(1, classifier.max_images // len(sample[0].spikes))
    groups = [sample[first : first + size] for first in range(0, len(sample), size)]
    batches = [cast("WindowSpikes", np.stack([window.spikes for window in group], axis=1)) for group in groups]

    before = _count_classes(adapted, batches)
    applied = strength * _balance(before)
    _move_norms(adapted, batches, applied)
    record = AdaptationRecord(
        checkpoint=classifier.checkpoint or "",
        strength=applied,
        recordings=len(sources) - len(skipped),
        skipped=len(skipped),
        windows=len(sample),
        classes=classifier.config.classes,
        before=tuple(before.tolist()),
        after=tuple(_count_classes(adapted, batches).tolist()),
    )
    if file is not None:
        save_checkpoint(file, adapted.config, adapted.network)
    return Adaptation(adapted, record, tuple(skipped))


class _Window(NamedTuple):
    """Window of a random sample, ordered by a unique random key, and its number in the recording."""

    key: float
    number: int
    spikes: WindowSpikes


def _sample_windows(
    classifier: Classifier, recording: RecordingLike, config: InferConfig, rng: np.random.Generator, progress: Progress
) -> list[_Window]:
    """Return a bounded random sample of the windows of a recording that show more than noise."""
    # Windows by events alone, whatever the later classification is.
    hop_us = None if config.stateful else config.hop_us
    config = classifier.framed(config.model_copy(update={"stateful": False, "hop_us": hop_us, "joints": False}))
    bins = classifier.window_bins(config)
    source = classifier.open(recording, config, progress=NamedStep(progress, "search", 0, 2))
    reader = Reader(source, bins.step_us, NamedStep(progress, "events", 1, 2))

    sample: list[_Window] = []
    counts = []
    for number, window in enumerate(reader.windows(bins, classifier.hop_us(config))):
        counts.append(window.events)
        sample = heapq.nsmallest(MAX_WINDOWS, [*sample, _Window(rng.random(), number, window.spikes)])

    events = np.array(counts, np.int64)
    quiet = shows_noise(events) | has_few_events(events)
    return [window for window in sample if not quiet[window.number]]


def _move_norms(classifier: Classifier, batches: Sequence[WindowSpikes], strength: float) -> None:
    """Move the statistics of all batch norms towards the statistics of windows [T, B, C, H, W], by a share `strength`.

    Moving a norm changes the inputs of all later norms, so each is estimated after the earlier ones have moved: if all
    are estimated at once, later norms overshoot (synthetic clips of a noisy sensor: 18 instead of 31 of 44 right).
    """
    network = classifier.network
    device = next(network.parameters()).device
    spikes = [torch.from_numpy(batch).to(device) for batch in batches]
    for norm in find_norms(network):
        stored = copy.deepcopy(norm)
        estimate_norms(network, spikes, norms=[norm])
        for name in ("running_mean", "running_var"):
            moved = torch.lerp(stored.get_buffer(name), norm.get_buffer(name), strength)
            norm.get_buffer(name).copy_(moved)


def _count_classes(classifier: Classifier, batches: Sequence[WindowSpikes]) -> NDArray[np.int64]:
    """Return the number of windows that are predicted as each class, [K]."""
    labels = np.concatenate([classifier.runner.classify(batch).argmax(axis=1) for batch in batches])
    return np.bincount(labels, minlength=len(classifier.config.classes))


def _balance(counts: NDArray[np.int64]) -> float:
    """Return the factor of the strength, 0 to 1, for the number of predictions per class, [K].

    With few classes, properties shared by all windows, such as the person, cannot be distinguished from the sensor. The
    factor grows linearly with the effective number of classes (exp of the entropy): 0 for one class, 1 for
    min(EVEN_CLASSES, K) classes or more.
    """
    shares = counts[counts > 0] / counts.sum()
    effective = float(np.exp(-np.sum(shares * np.log(shares))))
    return min(1.0, (effective - 1) / (min(EVEN_CLASSES, len(counts)) - 1))
