"""Verbs that classify recordings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from ..base.arguments import checked
from ..base.config import as_settings
from ..events import SensorSizeLike
from ..formats import NO_HINTS, HintsLike, RecordingLike
from ..inference import InferConfig, as_classifier
from ..inference.classifier import InferKeywords
from ..parallel import Progress
from ..results import Prediction

if TYPE_CHECKING:
    from ..inference import Classifier


@checked
def infer(
    checkpoint: Classifier | str | Path,
    recording: RecordingLike,
    config: InferConfig | Mapping[str, object] | None = None,
    *,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    progress: Progress | None = None,
    **named: Unpack[InferKeywords],
) -> Prediction:
    """Classify a recording or video over time; see `Classifier.predict`.

    To classify several recordings, load the classifier once, or use `classify_many`, which writes an output folder.

    Args:
        checkpoint: Classifier, or a checkpoint as in `Classifier.load`.
        recording: File of any readable format, video, or events in memory.
        config: Settings of windows, segments and framing; also a mapping.
        sensor: Sensor size, for a file that does not store it.
        hints: Other metadata that the file does not store.
        progress: Callback with the finished and total time.
        named: Settings of `InferConfig` by name.

    Raises:
        DvspipeError: As in `Classifier.load` and `Classifier.predict`.

    Example:
        >>> infer("gesture-synthetic", "clap.h5", roi="auto").class_name  # doctest: +SKIP
        'hand_clapping'
    """
    chosen = as_settings(InferConfig, config, named, infer)
    return as_classifier(checkpoint).predict(recording, chosen, sensor=sensor, hints=hints, progress=progress)
