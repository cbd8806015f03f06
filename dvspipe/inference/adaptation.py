"""Adapt a classifier to unlabelled recordings of another sensor by moving the statistics of its batch norms."""

from __future__ import annotations

import copy
import heapq
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..base.errors import Brief, CheckpointError, ConfigError, DataError, DvspipeError, count_noun
from ..base.files import check_output
from ..base.progress import NamedStep, Progress, ignore_progress
from ..base.texts import Described, TextTable
from ..checkpoints.checkpoint import ClassifierConfig, load_config, save_checkpoint, versions
from ..events import Events
from ..formats import RecordingLike
from ..networks import BatchNorm, Network, apply_norms, find_norms, run_in_pieces
from ..results import ADAPTED, CHECKPOINT_SUFFIX, AdaptationRecord, NormShift
from .classifier import Classifier, as_classifier
from .config import InferConfig
from .segments import is_quiet
from .tasks import plan_tasks
from .windows import Window, WindowSpikes

MAX_WINDOWS = 128  # windows to estimate statistics from, with predicted classes as balanced as possible
MAX_WINDOW_BYTES = 256 << 20  # memory of these windows
MIN_WINDOWS = 4  # windows that are not quiet
STRENGTH = 0.5  # 1 overshoots if the recordings have other proportions of classes
log = logging.getLogger(__name__)

EVEN_CLASSES = 4  # the strength is reduced if the effective number of predicted classes is smaller


@dataclass(frozen=True, eq=False, repr=False)
class Adaptation(Described, Brief):
    """Result of `adapt`.

    Args:
        classifier: Adapted classifier.
        record: Shifts of the batch norms, and predicted classes before and after.
        skipped: Errors of recordings that could not be used.
        files: Recordings that are files, also in folders and skipped ones.
    """

    classifier: Classifier
    record: AdaptationRecord
    skipped: tuple[DvspipeError, ...]
    files: tuple[Path, ...]

    def describe(self) -> Sequence[str | TextTable]:
        """Return the text of `record`."""
        return self.record.describe()

    def to_record(self) -> AdaptationRecord:
        """Return the record."""
        return self.record

    @property
    def problem(self) -> str:
        """Number of recordings that could not be used; empty: none."""
        return f"{len(self.skipped)} of {len(self.files)} recordings were skipped" if self.skipped else ""

    def save(self, path: str | Path) -> None:
        """Write the adapted classifier to a checkpoint, atomically.

        Raises:
            FileError: If the file cannot be written.
        """
        save_checkpoint(Path(path), self.classifier.config, self.classifier.network)


def refuse_module(checkpoint: str | Path) -> None:
    """Check that the network of a checkpoint is not a custom module; custom modules cannot be adapted.

    Raises:
        CheckpointError: If the network is a custom module, or the file is not a checkpoint.
    """
    _refuse_module(str(checkpoint), load_config(checkpoint))


def _refuse_module(name: str, config: ClassifierConfig) -> None:
    if config.network.network == "module":
        raise CheckpointError(
            f"{name}: cannot be adapted (found network = module, expected a network of dvspipe with batch norm)"
        )


def check_adaptable(classifier: Classifier, strength: float = STRENGTH) -> None:
    """Check that a classifier can be adapted.

    Raises:
        ConfigError: If `strength` is not in [0, 1].
        CheckpointError: If the network has no batch norm.
    """
    name = classifier.checkpoint or "the classifier"
    if not 0 <= strength <= 1:
        raise ConfigError(f"strength = {strength:g}: out of range (expected 0 to 1)")

    _refuse_module(name, classifier.config)
    if not find_norms(classifier.network):
        kind = classifier.config.network.network
        raise CheckpointError(f"{name}: cannot be adapted (found network = {kind} without batch norm)")


def adapt_classifier(
    classifier: Classifier,
    recordings: Sequence[RecordingLike],
    config: InferConfig,
    *,
    strength: float = STRENGTH,
    progress: Progress | None = None,
) -> Adaptation:
    """Adapt a classifier to unlabelled recordings of another sensor, in bounded memory; see `dvspipe.adapt`."""
    check_adaptable(classifier, strength)
    config = config.windowed()
    collector = _Collector(classifier, config)
    for number, recording in enumerate(recordings):
        name = "events" if isinstance(recording, Events) else str(recording)
        collector.read(recording, NamedStep(progress or ignore_progress, name, number, len(recordings)))

    # Ctrl-C stops the work at a call of the progress, so it is called for each batch, too.
    poll = partial(progress, len(recordings), len(recordings)) if progress else None
    spikes = collector.spikes()
    batches = spikes.split(max(1, classifier.max_images // len(spikes)), dim=1)

    before = _count_predictions(classifier.network, batches, len(classifier.config.classes))
    applied = strength * _balance_factor(before)
    network = copy.deepcopy(classifier.network)
    adapt_norms(network, batches, applied, poll)
    after = _count_predictions(network, batches, len(classifier.config.classes))

    windows = count_noun(len(collector.sample), "window")
    note = f"{ADAPTED} {windows} of {count_noun(collector.recordings, 'recording')}"
    adapted = Classifier(note_training(classifier.config, note), network)

    record = AdaptationRecord(
        checkpoint=classifier.checkpoint or "",
        network=classifier.digest,
        strength=strength,
        applied=applied,
        recordings=collector.recordings,
        skipped=len(collector.skipped),
        windows=collector.found,
        used=len(collector.sample),
        classes=classifier.config.classes,
        before=tuple(before.tolist()),
        after=tuple(after.tolist()),
        norms=tuple(_describe_shifts(classifier.network, network)),
        versions=versions(),
    )
    files = tuple(Path(recording) for recording in recordings if isinstance(recording, str | Path))
    return Adaptation(adapted, record, tuple(collector.skipped), files)


class _SampledWindow(NamedTuple):
    """Window of a random sample, ordered by a random key; keys are unique."""

    key: float
    number: int
    spikes: WindowSpikes


class _Sample:
    """Random sample of windows; if there are more than `max_windows`, random ones of the most frequent class go."""

    def __init__(self, max_windows: int) -> None:
        self._max_windows = max_windows
        self._heaps: dict[int, list[_SampledWindow]] = {}  # heap per predicted class, keeping the largest keys

    def __len__(self) -> int:
        return sum(map(len, self._heaps.values()))

    def __iter__(self) -> Iterator[tuple[int, _SampledWindow]]:
        return ((label, window) for label, heap in sorted(self._heaps.items()) for window in sorted(heap))

    def add(self, label: int, window: _SampledWindow) -> None:
        """Add a window with its predicted class, and drop one if the sample is too large."""
        heapq.heappush(self._heaps.setdefault(label, []), window)
        if len(self) > self._max_windows:
            heapq.heappop(max(self._heaps.values(), key=len))


class _Collector:
    """Samples windows from recordings.

    Attributes:
        sample: Sampled windows.
        found: Number of windows that are not quiet, in all recordings.
        recordings: Number of recordings read.
        skipped: Errors of recordings that could not be used.
    """

    def __init__(self, classifier: Classifier, config: InferConfig) -> None:
        self._classifier = classifier
        self._config = config

        # Two samples exist at once: of all recordings, and of the recording that is read.
        bins = classifier.window_bins(config)
        grid = bins.grid(classifier.config.sensor)
        window_bytes = bins.steps * bins.input_channels * grid.width * grid.height * bins.dtype.itemsize
        self._max_windows = max(MIN_WINDOWS, min(MAX_WINDOWS, MAX_WINDOW_BYTES // (2 * window_bytes)))

        self._rng = np.random.default_rng(0)
        self.sample = _Sample(self._max_windows)
        self.found = 0
        self.recordings = 0
        self.skipped: list[DvspipeError] = []

    def read(self, recording: RecordingLike, progress: Progress) -> None:
        """Sample windows of a recording that are not quiet; quiet windows are known only at its end."""
        sample = _Sample(self._max_windows)
        numbers = itertools.count()

        def add_windows(windows: Sequence[Window], logits: NDArray[np.float32]) -> None:
            for window, label in zip(windows, logits.argmax(1).tolist(), strict=True):
                sample.add(label, _SampledWindow(self._rng.random(), next(numbers), window.spikes))

        try:
            search = NamedStep(progress, "search", 0, 2)
            source = self._classifier.open(recording, self._config, progress=search)
            prediction = self._classifier.classify(
                source, self._config, NamedStep(progress, "classify", 1, 2), add_windows
            )
        except DvspipeError as error:
            self.skipped.append(error)
            return

        quiet = is_quiet(prediction.timeline)
        self.found += int(np.sum(~quiet))
        self.recordings += 1

        for label, sampled in sample:
            if not quiet[sampled.number]:
                self.sample.add(label, sampled)

    def spikes(self) -> Tensor:
        """Return the sampled windows as one tensor, [T, N, C, H, W]; too few windows are an error."""
        if self.skipped and not self.recordings:
            raise self.skipped[0]

        if len(self.sample) < MIN_WINDOWS:
            raise DataError(
                f"too few windows to adapt to (found {count_noun(self.found, 'window')} in "
                f"{count_noun(self.recordings, 'recording')}, without quiet windows, expected at least {MIN_WINDOWS})"
            )

        # Each batch gets windows of all classes: a norm averages the variances of the batches.
        order = np.random.default_rng(0).permutation(len(self.sample))
        spikes = torch.from_numpy(np.stack([window.spikes for _, window in self.sample], axis=1))
        return spikes[:, order]


def adapt_norms(
    network: Network, batches: Sequence[Tensor], strength: float, poll: Callable[[], object] | None = None
) -> None:
    """Move the statistics of all batch norms towards the statistics of windows [T, B, C, H, W], by a share `strength`.

    Moving a norm changes the inputs of all later norms, so the norms are estimated in the order of execution. `poll` is
    called before each batch.
    """
    device = next(network.parameters()).device
    with apply_norms(network) as norms, torch.no_grad():
        for norm in norms:
            stored = copy.deepcopy(norm)

            # Estimate: the cumulative mean over all batches.
            norm.train()
            norm.reset_running_stats()
            norm.momentum = None
            for batch in batches:
                if poll:
                    poll()
                run_in_pieces(network, batch.to(device))
            norm.eval()
            norm.momentum = stored.momentum

            stored_mean, stored_variance = _statistics(stored)
            mean, variance = _statistics(norm)
            norm.running_mean = torch.lerp(stored_mean, mean, strength)
            norm.running_var = torch.lerp(stored_variance, variance, strength)


def _count_predictions(network: Network, batches: Sequence[Tensor], classes: int) -> Tensor:
    """Return the number of windows that are predicted as each class, [K]."""
    device = next(network.parameters()).device
    with torch.no_grad():
        labels = [run_in_pieces(network, batch.to(device)).mean(0).argmax(1).cpu() for batch in batches]
    return torch.bincount(torch.cat(labels), minlength=classes)


def _balance_factor(counts: Tensor) -> float:
    """Return the factor of the strength, in [0, 1], for the number of predictions per class, [K].

    With few classes, properties shared by all windows, such as the person, cannot be distinguished from the sensor. The
    factor grows linearly with the effective number of classes (exp of the entropy): 0 for one class, 1 for
    min(EVEN_CLASSES, K) classes or more.
    """
    effective = float(torch.special.entr(counts.double() / counts.sum()).sum().exp())
    return min(1.0, max(0.0, (effective - 1) / (min(EVEN_CLASSES, len(counts)) - 1)))


def _describe_shifts(source: Network, adapted: Network) -> Iterator[NormShift]:
    for number, (before, after) in enumerate(zip(find_norms(source), find_norms(adapted), strict=True), start=1):
        mean, variance = _statistics(before)
        new_mean, new_variance = _statistics(after)

        # Both are relative to the deviation before: a shift in deviations, and a growth of the deviation as a share.
        deviation = (variance + before.eps).sqrt()
        shift = (new_mean - mean) / deviation
        spread = (new_variance + after.eps).sqrt() / deviation - 1

        yield NormShift(
            name=f"norm{number}",
            mean=float(shift.square().mean().sqrt()),
            deviation=float(spread.square().mean().sqrt()),
        )


def _statistics(norm: BatchNorm) -> tuple[Tensor, Tensor]:
    """Return the running mean and variance of a norm, [channels] each."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var


def note_training(config: ClassifierConfig, note: str) -> ClassifierConfig:
    """Add a note to the training data that a configuration names."""
    trained_on = f"{config.trained_on}; {note}" if config.trained_on else note
    return config.model_copy(update={"trained_on": trained_on})


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
        DataError: If fewer than 4 windows are not quiet.
        FileError: If the suffix is wrong, or the output exists or cannot be written.
        DvspipeError: If no recording can be used; the error of the first recording.

    Example:
        >>> adaptation = adapt("gesture", ["a.aedat4", "b.aedat4"], "mine.safetensors")  # doctest: +SKIP
        >>> adaptation.classifier.predict("c.aedat4").class_name  # doctest: +SKIP
        'hand_clapping'
    """
    file = check_output(out, "a checkpoint", CHECKPOINT_SUFFIX, overwrite=overwrite)
    sources = _list_sources(recordings)

    # A custom module is refused before its code is loaded.
    if isinstance(checkpoint, str | Path):
        refuse_module(checkpoint)
    adaptation = adapt_classifier(as_classifier(checkpoint), sources, config, strength=strength, progress=progress)
    for error in adaptation.skipped:
        log.error("skipped: %s", error)

    if file is not None:
        adaptation.save(file)
    return adaptation


def _list_sources(recordings: RecordingLike | Sequence[RecordingLike]) -> list[RecordingLike]:
    """Return recordings in memory, and then files, with the files of folders."""
    given = [recordings] if isinstance(recordings, str | Path | Events) else recordings
    in_memory = [recording for recording in given if isinstance(recording, Events)]
    paths = [recording for recording in given if not isinstance(recording, Events)]
    return [*in_memory, *(task.source for task in plan_tasks(paths))]
