"""Adapt a classifier to unlabelled recordings of another sensor by moving the statistics of its batch norms."""

from __future__ import annotations

import copy
import heapq
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..base.errors import CheckpointError, DataError, count_noun
from ..base.files import check_output
from ..base.progress import NamedStep, Progress, ignore_progress
from ..checkpoints.checkpoint import save_checkpoint
from ..framing import RegionConfig
from ..networks import estimate_norms, find_norms, run_in_pieces
from ..results import CHECKPOINT_SUFFIX
from .classifier import Classifier, as_classifier
from .config import InferConfig
from .reading import Reader
from .segments import has_few_events, shows_noise
from .tasks import plan_tasks
from .windows import WindowSpikes

MAX_WINDOWS = 128  # windows that the statistics are estimated from; in gestures, 40 MB
MIN_WINDOWS = 4
STRENGTH = 0.5  # share of the difference that is applied; 1 overshoots with other proportions of classes
EVEN_CLASSES = 4  # the strength is reduced if the effective number of predicted classes is smaller

log = logging.getLogger(__name__)


def adapt(
    checkpoint: str | Path | Classifier,
    recordings: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    config: RegionConfig = RegionConfig(),
    *,
    overwrite: bool = False,
    progress: Progress = ignore_progress,
) -> Classifier:
    """Adapt a trained network to the sensor of unlabelled recordings, in bounded memory.

    The statistics of its batch norms move half of the way to the statistics of the recordings, less if few classes are
    predicted; weights do not change.

    Args:
        checkpoint: Run folder, checkpoint file, name of an included classifier, or hf://USER/NAME. A `Classifier` is
            not changed.
        recordings: Recordings, videos, or folders of these.
        out: Checkpoint file to write (.safetensors). Default: not written.
        config: Region of interest and fit, as in the later classification.
        overwrite: Replace an existing file.
        progress: Callback with the finished and total number of recordings.

    Raises:
        ConfigError: If the configuration does not fit the network.
        CheckpointError: If the network has no batch norm.
        DataError: If fewer than 4 windows show movement.
        FileError: If a recording cannot be read, the suffix is wrong, or the output exists or cannot be written.

    Example:
        >>> adapted = adapt("gesture", ["a.aedat4", "b.aedat4"], "mine.safetensors")  # doctest: +SKIP
        >>> adapted.predict("c.aedat4").class_name  # doctest: +SKIP
        'hand_clapping'
    """
    file = check_output(out, "a checkpoint", CHECKPOINT_SUFFIX, overwrite=overwrite)
    classifier = as_classifier(checkpoint)
    if not find_norms(classifier.network):
        raise CheckpointError(f"{classifier.checkpoint}: cannot be adapted, because its network has no batch norm")

    tasks = plan_tasks(recordings)
    rng = np.random.default_rng(0)
    sample: list[_Window] = []
    for number, task in enumerate(tasks):
        step = NamedStep(progress, str(task), number, len(tasks))
        windows = _sample_windows(classifier, task.source, config, rng, step)
        sample = heapq.nsmallest(MAX_WINDOWS, [*sample, *windows])

    found = f"{count_noun(len(sample), 'window')} of {count_noun(len(tasks), 'recording')}"
    if len(sample) < MIN_WINDOWS:
        raise DataError(f"adapt: found movement in {found} (expected {MIN_WINDOWS} windows)")

    network = copy.deepcopy(classifier.network)
    size = max(1, classifier.max_images // len(sample[0].spikes))
    spikes = torch.stack([torch.from_numpy(window.spikes) for window in sample], dim=1)
    batches = spikes.to(next(network.parameters()).device).split(size, dim=1)

    labels = torch.cat([run_in_pieces(network, batch).mean(0).argmax(1) for batch in batches])
    strength = STRENGTH * _balance(labels.bincount(minlength=len(classifier.config.classes)).cpu().numpy())
    _move_norms(network, batches, strength)
    log.info("adapted to %s, strength %.2f", found, strength)

    trained_on = f"{classifier.config.trained_on}; adapted to {found}".removeprefix("; ")
    noted = classifier.config.model_copy(update={"trained_on": trained_on})
    if file is not None:
        save_checkpoint(file, noted, network)
    return Classifier(noted, network, None if file is None else str(file))


class _Window(NamedTuple):
    """Window of a random sample, ordered by a unique random key, and its number in the recording."""

    key: float
    number: int
    spikes: WindowSpikes


def _sample_windows(
    classifier: Classifier, recording: Path, config: RegionConfig, rng: np.random.Generator, progress: Progress
) -> list[_Window]:
    """Return a bounded random sample of the windows of a recording that show more than noise."""
    by_events = InferConfig(**config.given, joints=False)
    bins = classifier.window_bins(by_events)
    source = classifier.open(recording, by_events, progress=NamedStep(progress, "search", 0, 2))
    reader = Reader(source, bins.step_us, NamedStep(progress, "events", 1, 2))

    sample: list[_Window] = []
    counts = []
    for number, window in enumerate(reader.windows(bins, classifier.hop_us(by_events))):
        counts.append(window.events)
        sample = heapq.nsmallest(MAX_WINDOWS, [*sample, _Window(rng.random(), number, window.spikes)])

    events = np.array(counts, np.int64)
    quiet = shows_noise(events) | has_few_events(events)
    return [window for window in sample if not quiet[window.number]]


def _move_norms(network: nn.Module, batches: Sequence[Tensor], strength: float) -> None:
    """Move the statistics of all batch norms towards the statistics of windows [T, B, C, H, W], by a share `strength`.

    Moving a norm changes the inputs of all later norms, so each is estimated after the earlier ones have moved: if all
    are estimated at once, later norms overshoot (synthetic clips of a noisy sensor: 18 instead of 31 of 44 right).
    """
    for norm in find_norms(network):
        stored = copy.deepcopy(norm)
        estimate_norms(network, batches, norms=[norm])
        for name in ("running_mean", "running_var"):
            moved = torch.lerp(stored.get_buffer(name), norm.get_buffer(name), strength)
            norm.get_buffer(name).copy_(moved)


def _balance(counts: NDArray[np.int64]) -> float:
    """Return the factor of the strength, 0 to 1, for the number of predictions per class, [K].

    With few classes, properties shared by all windows, such as the person, cannot be distinguished from the sensor. The
    factor grows linearly with the effective number of classes (exp of the entropy): 0 for one class, 1 for
    min(EVEN_CLASSES, K) classes or more.
    """
    shares = counts[counts > 0] / counts.sum()
    effective = float(np.exp(-np.sum(shares * np.log(shares))))
    return min(1.0, (effective - 1) / (min(EVEN_CLASSES, len(counts)) - 1))
