"""A classifier adapted to one user, by a few labelled recordings: only its readout changes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..checkpoints.checkpoint import save_checkpoint
from ..config import as_settings
from ..errors import DataError, count_noun
from ..events import Events, SensorSizeLike
from ..formats import NO_HINTS, Hints
from ..framing import EventSource
from ..learning import find_features, find_readout, fit_readout, read_features, replace_readout, require_linear
from ..parallel import Progress
from .classifier import Classifier
from .config import InferConfig
from .segments import is_quiet
from .windows import Window


@dataclass(frozen=True)
class ReadoutAdaptation:
    """A classifier whose readout was fitted to recordings.

    Args:
        classifier: The adapted classifier.
        penalty: The penalty that was chosen, see `learning.fit_readout`; infinite if the readout is as before.
        windows: Number of windows that it was fitted to.
        correct_before: Number of them whose prediction was right before.
        correct_left_out: The same by a readout that is fitted without the recording of the window.
    """

    classifier: Classifier
    penalty: float
    windows: int
    correct_before: int
    correct_left_out: int

    def save(self, path: str | Path) -> None:
        """Write the adapted classifier as a checkpoint, complete or not at all.

        Raises:
            FileError: The file cannot be written.
        """
        save_checkpoint(Path(path), self.classifier.config, self.classifier.network, self.classifier.moments)


def adapt_readout(
    classifier: Classifier,
    recordings: Sequence[str | Path | Events],
    labels: Sequence[str | int],
    config: InferConfig | Mapping[str, object] = InferConfig(),
    *,
    sensor: SensorSizeLike | None = None,
    hints: Hints = NO_HINTS,
    progress: Progress | None = None,
) -> ReadoutAdaptation:
    """Return a classifier adapted to one user, by a few labelled recordings of any length.

    Only the last linear layer changes, by ridge regression towards its present weights (see
    `learning.fit_readout`), which takes seconds. Windows are those of a prediction, without quiet ones.

    Args:
        classifier: The classifier, which stays as it is.
        recordings: Files, videos, or events in memory.
        labels: The class that each of them shows, by its name or number. Classes may be missing.
        config: Windows, and how recordings fit the network's sensor, as they will be classified; `stateful` changes
            nothing here.
        sensor: The sensor of recordings that do not name it.
        hints: What else they do not say.
        progress: Called with the number of recordings done and in all.

    Raises:
        ConfigError: The readout of the network spikes, or the configuration does not fit the network.
        DataError: There are no recordings, a label is unknown, or a recording has no window.
        FileError: A recording is missing or corrupted.

    Example:
        >>> from pathlib import Path
        >>> from dvspipe import Classifier, adapt_readout
        >>> from dvspipe.synthesis import GestureClip, record_gesture
        >>> classifier = Classifier.load("gesture-synthetic")
        >>> clips = [record_gesture(GestureClip(label, person=0, clip=0, seed=0)) for label in (0, 1)]  # doctest: +SKIP
        >>> adaptation = adapt_readout(classifier, clips, ["hand_clapping", 1])  # doctest: +SKIP
        >>> adaptation.classifier.predict(clips[0]).class_name  # doctest: +SKIP
        'hand_clapping'
        >>> adaptation.save(Path("mine.safetensors"))  # doctest: +SKIP
    """
    network = copy.deepcopy(require_linear(classifier.network))
    numbers = _find_labels(classifier, recordings, labels)
    given = as_settings(InferConfig, config)
    chosen = given.model_copy(update={"stateful": False, "hop_us": None if given.stateful else given.hop_us})
    features: list[Tensor] = []
    for number, recording in enumerate(recordings):
        if progress:
            progress(number, len(recordings))
        source = classifier.open(recording, chosen, sensor=sensor, hints=hints)
        features.append(_read_windows(classifier, source, chosen))
    counts = torch.tensor([len(each) for each in features])
    joined, truth = torch.cat(features), torch.tensor(numbers).repeat_interleave(counts)
    before, name = find_readout(network), classifier.checkpoint or "the network"
    fit = fit_readout(
        joined,
        truth,
        before,
        recordings=torch.arange(len(features)).repeat_interleave(counts),
        classes=find_features(classifier.moments, truth, classifier.config.classes, name),
        temperature=classifier.config.temperature,
    )
    replace_readout(network, fit.readout)
    note = f"readout fitted to {count_noun(len(joined), 'window')} of {count_noun(len(features), 'recording')}"
    trained_on = "; ".join(filter(None, [classifier.config.trained_on, note]))
    adapted = classifier.config.model_copy(update={"trained_on": trained_on})
    if progress:
        progress(len(recordings), len(recordings))
    return ReadoutAdaptation(
        Classifier(adapted, network, moments=classifier.moments),
        fit.penalty,
        len(joined),
        correct_before=int(((joined @ before.T).argmax(1) == truth).sum()),
        correct_left_out=int((fit.left_out.argmax(1) == truth).sum()),
    )


def _find_labels(classifier: Classifier, recordings: Sequence[object], labels: Sequence[str | int]) -> list[int]:
    """Return the number of the class of each recording."""
    for name, given in (("recordings", recordings), ("labels", labels)):
        if isinstance(given, str | Path | Events):
            raise DataError(f"{name}: one alone (found {given!r}, expected a list)")
    if not recordings:
        raise DataError("no recordings to fit the readout to")
    if len(labels) != len(recordings):
        raise DataError(f"{len(labels)} labels for {len(recordings)} recordings (expected one for each)")
    classes = classifier.config.classes
    numbers = []
    for label in labels:
        number = classes.index(label) if isinstance(label, str) and label in classes else label
        if not isinstance(number, int | np.integer) or not 0 <= number < len(classes):
            raise DataError(f"label {label!r}: unknown (expected {', '.join(classes)}, or 0 to {len(classes) - 1})")
        numbers.append(int(number))
    return numbers


def _read_windows(classifier: Classifier, source: EventSource, config: InferConfig) -> Tensor:
    """Return the features [N, F + 1] of the windows of a recording, without quiet ones unless all are."""
    found: list[Tensor] = []
    device = next(classifier.network.parameters()).device

    def keep(windows: Sequence[Window], _logits: NDArray[np.float32]) -> None:
        spikes = torch.from_numpy(np.stack([window.spikes for window in windows], axis=1))
        parts = spikes.split(max(1, classifier.max_images // len(spikes)), dim=1)
        found.extend(read_features(classifier.network, part.to(device)) for part in parts)

    config = config.model_copy(update={"pose": False})  # features are those of events
    prediction = classifier.classify(source, config, on_windows=keep)
    features = torch.cat(found)
    shown = torch.from_numpy(~is_quiet(prediction.timeline, config.segments))
    return features[shown] if bool(shown.any()) else features
