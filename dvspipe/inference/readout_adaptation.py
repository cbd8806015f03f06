"""Adapt a classifier to one user by fitting its readout to a few labelled recordings."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..base.arguments import checked
from ..base.config import as_settings
from ..base.errors import Brief, DataError, count_noun
from ..checkpoints.checkpoint import save_checkpoint
from ..events import Events, SensorSizeLike
from ..formats import NO_HINTS, HintsLike
from ..framing import EventSource
from ..parallel import Progress
from ..results import FITTED
from ..rules import find_features, find_readout, fit_readout, read_features, replace_readout, require_linear
from .adaptation import note_training
from .classifier import Classifier
from .config import InferConfig, InferKeywords
from .segments import is_quiet
from .windows import Window


@dataclass(frozen=True, repr=False)
class ReadoutAdaptation(Brief):
    """Result of `adapt_readout`.

    Args:
        classifier: Adapted classifier.
        penalty: Selected ridge penalty (see `rules.fit_readout`); infinite if the readout did not change.
        windows: Number of windows in the fit.
        correct_before: Number of these windows that the original classifier predicts correctly.
        correct_left_out: Number of these windows that are predicted correctly in leave-one-recording-out
            cross-validation of the fit.
    """

    classifier: Classifier
    penalty: float
    windows: int
    correct_before: int
    correct_left_out: int

    def save(self, path: str | Path) -> None:
        """Write the adapted classifier to a checkpoint, atomically.

        Raises:
            FileError: If the file cannot be written.
        """
        save_checkpoint(Path(path), self.classifier.config, self.classifier.network, self.classifier.moments)


@checked
def adapt_readout(
    classifier: Classifier,
    recordings: Sequence[str | Path | Events],
    labels: Sequence[str | int],
    config: InferConfig | Mapping[str, object] | None = None,
    *,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    progress: Progress | None = None,
    **named: Unpack[InferKeywords],
) -> ReadoutAdaptation:
    """Adapt a classifier to one user with a few labelled recordings of any length.

    Only the last linear layer changes, by ridge regression towards its current weights (see `rules.fit_readout`).
    This takes seconds. The samples are the windows of a prediction without quiet windows.

    Args:
        classifier: Classifier; it is not changed.
        recordings: Files, videos, or events in memory.
        labels: Class of each recording, by name or number; not every class is needed.
        config: Windows and framing, as in the later classification; `stateful` has no effect. Also a mapping of keys
            and values.
        sensor: Sensor size, for files that do not store it.
        hints: Other metadata that the files do not store.
        progress: Callback with the finished and total number of recordings.
        named: Settings by name, such as `window_us=500_000`; they take precedence over `config`.

    Raises:
        ConfigError: If the readout of the network spikes, or the configuration does not fit the network.
        DataError: If there are no recordings, a label is unknown, or a recording is too short for a window.
        FileError: If a recording is missing or corrupted.

    Example:
        >>> from pathlib import Path
        >>> from dvspipe import Classifier, adapt_readout
        >>> from dvspipe.synthesis import GestureClip, record_gesture
        >>> classifier = Classifier.load("gesture-films")
        >>> clips = [record_gesture(GestureClip(label, person=0, clip=0, seed=0)) for label in (0, 1)]  # doctest: +SKIP
        >>> adaptation = adapt_readout(classifier, clips, ["hand_clapping", 1])  # doctest: +SKIP
        >>> adaptation.classifier.predict(clips[0]).class_name  # doctest: +SKIP
        'hand_clapping'
        >>> adaptation.save(Path("mine.safetensors"))  # doctest: +SKIP
    """
    network = copy.deepcopy(require_linear(classifier.network))
    numbers = _parse_labels(classifier, recordings, labels)
    windowed = as_settings(InferConfig, config, named, adapt_readout).windowed()

    features: list[Tensor] = []
    for number, recording in enumerate(recordings):
        if progress:
            progress(number, len(recordings))

        source = classifier.open(recording, windowed, sensor=sensor, hints=hints)
        features.append(_extract_features(classifier, source, windowed))

    # All windows of a recording are left out together in the cross-validation, because they are similar.
    counts = torch.tensor([len(rows) for rows in features])
    joined = torch.cat(features)
    truth = torch.tensor(numbers).repeat_interleave(counts)
    before = find_readout(network)
    name = classifier.checkpoint or "the network"
    fit = fit_readout(
        joined,
        truth,
        before,
        recordings=torch.arange(len(features)).repeat_interleave(counts),
        classes=find_features(classifier.moments, truth, classifier.config.classes, name),
        temperature=classifier.config.temperature,
    )

    replace_readout(network, fit.readout)
    note = f"{FITTED} {count_noun(len(joined), 'window')} of {count_noun(len(features), 'recording')}"

    if progress:
        progress(len(recordings), len(recordings))

    return ReadoutAdaptation(
        Classifier(note_training(classifier.config, note), network, moments=classifier.moments),
        fit.penalty,
        len(joined),
        correct_before=int(((joined @ before.T).argmax(1) == truth).sum()),
        correct_left_out=int((fit.left_out.argmax(1) == truth).sum()),
    )


def _parse_labels(classifier: Classifier, recordings: Sequence[object], labels: Sequence[str | int]) -> list[int]:
    """Return the class number of each recording."""
    if not recordings:
        raise DataError("recordings: empty list (found 0, expected at least 1)")
    if len(labels) != len(recordings):
        raise DataError(f"labels: one per recording is needed (found {len(labels)}, expected {len(recordings)})")

    classes = classifier.config.classes
    numbers = []
    for label in labels:
        number = classes.index(label) if isinstance(label, str) and label in classes else label
        if not isinstance(number, int | np.integer) or not 0 <= number < len(classes):
            raise DataError(
                f"labels: unknown class (found {label!r}, expected {', '.join(classes)}, or 0 to {len(classes) - 1})"
            )
        numbers.append(int(number))

    return numbers


def _extract_features(classifier: Classifier, source: EventSource, config: InferConfig) -> Tensor:
    """Return the features [N, F + 1] of windows that are not quiet, or of all windows if all are quiet."""
    collected: list[Tensor] = []
    device = next(classifier.network.parameters()).device

    def collect(windows: Sequence[Window], _logits: NDArray[np.float32]) -> None:
        spikes = torch.from_numpy(np.stack([window.spikes for window in windows], axis=1))
        parts = spikes.split(max(1, classifier.max_images // len(spikes)), dim=1)
        collected.extend(read_features(classifier.network, part.to(device)) for part in parts)

    prediction = classifier.classify(source, config, on_windows=collect)
    features = torch.cat(collected)

    # Which windows are quiet depends on the complete recording, so it is known only now.
    active = torch.from_numpy(~is_quiet(prediction.timeline, config.segments))
    return features[active] if bool(active.any()) else features
