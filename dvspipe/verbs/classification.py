"""Verbs that classify recordings, and adapt classifiers to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from ..base.arguments import checked
from ..base.config import as_settings
from ..events import Events, SensorSizeLike
from ..formats import NO_HINTS, HintsLike, RecordingLike
from ..inference import InferConfig
from ..inference.config import InferKeywords
from ..parallel import Progress
from ..results import Prediction

if TYPE_CHECKING:
    from ..inference import Adaptation, Classifier


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
        checkpoint: Run folder, checkpoint file, name of an included classifier, or hf://USER/NAME. In Python also a
            `Classifier`.
        recording: File of any readable format, or video. In Python also events.
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
    from ..inference import as_classifier

    chosen = as_settings(InferConfig, config, named, infer)
    return as_classifier(checkpoint).predict(recording, chosen, sensor=sensor, hints=hints, progress=progress)


@checked
def adapt(
    checkpoint: Classifier | str | Path,
    recordings: RecordingLike | Sequence[RecordingLike],
    config: InferConfig | Mapping[str, object] | None = None,
    *,
    strength: float = 0.5,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    progress: Progress | None = None,
    **named: Unpack[InferKeywords],
) -> Adaptation:
    """Adapt a trained network to the sensor of unlabelled recordings, in bounded memory.

    The statistics of its batch norms move towards the statistics of the recordings; weights do not change.

    Args:
        checkpoint: Run folder, checkpoint file, name of an included classifier, or hf://USER/NAME. In Python also a
            `Classifier`, which is not changed.
        recordings: One or several files; each is read once, and skipped if it cannot be used. In Python also events.
        config: Settings of windows and framing, as in the later classification; `stateful` has no effect.
        strength: Share of the shift that is applied, 0 to 1. At 1, the statistics move by the complete difference that
            is not due to chance; this can be too much for a very different sensor. The strength is reduced if few
            classes are predicted, to 0 for a single class.
        sensor: Sensor size, for files that do not store it.
        hints: Other metadata that the files do not store.
        progress: Callback with the finished and total number of recordings.
        named: Settings of `InferConfig` by name.

    Raises:
        ConfigError: If `strength` is not in [0, 1], or the configuration does not fit the network.
        CheckpointError: If the network has no batch norm, or its checkpoint does not contain moments per class.
        DataError: If fewer than 4 windows are not quiet.
        DvspipeError: If no recording can be used; the error of the first recording.

    Example:
        >>> adaptation = adapt("gesture-synthetic", ["a.aedat4", "b.aedat4"])  # doctest: +SKIP
        >>> adaptation.save("mine.safetensors")  # doctest: +SKIP
    """
    from ..inference import adapt_classifier, as_classifier

    listed = [recordings] if isinstance(recordings, str | Path | Events) else recordings
    chosen = as_settings(InferConfig, config, named, adapt)

    return adapt_classifier(
        as_classifier(checkpoint), listed, chosen, strength=strength, sensor=sensor, hints=hints, progress=progress
    )
