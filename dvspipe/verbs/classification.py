"""Verbs that classify recordings, and adapt classifiers to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from ..base.arguments import checked
from ..base.config import as_settings
from ..base.files import check_output
from ..events import Events, SensorSizeLike
from ..formats import NO_HINTS, HintsLike, RecordingLike
from ..inference import InferConfig
from ..inference.config import InferKeywords
from ..parallel import Progress
from ..results import CHECKPOINT_SUFFIX, Prediction

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
    out: str | Path | None = None,
    config: InferConfig | Mapping[str, object] | None = None,
    *,
    strength: float = 0.5,
    overwrite: bool = False,
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
        recordings: Recordings, videos, or folders of these; each is read once, and skipped if it cannot be used. In
            Python also events.
        out: Checkpoint file to write (.safetensors). In Python also None: not written.
        config: Settings of windows and framing, as in the later classification; `stateful` has no effect.
        strength: Share of the shift that is applied, 0 to 1. At 1, the statistics move by the complete difference that
            is not due to chance; this can be too much for a very different sensor. The strength is reduced if few
            classes are predicted, to 0 for a single class.
        overwrite: Replace an existing file.
        sensor: Sensor size, for files that do not store it.
        hints: Other metadata that the files do not store.
        progress: Callback with the finished and total number of recordings.
        named: Settings of `InferConfig` by name.

    Raises:
        ConfigError: If `strength` is not in [0, 1], or the configuration does not fit the network.
        CheckpointError: If the network has no batch norm, or its checkpoint does not contain moments per class.
        DataError: If fewer than 4 windows are not quiet.
        FileError: If the suffix is wrong, or the output exists or cannot be written.
        DvspipeError: If no recording can be used; the error of the first recording.

    Example:
        >>> adaptation = adapt("gesture-synthetic", ["a.aedat4", "b.aedat4"], "mine.safetensors")  # doctest: +SKIP
        >>> adaptation.classifier.predict("c.aedat4").class_name  # doctest: +SKIP
        'hand_clapping'
    """
    from ..inference import adapt_classifier, as_classifier, refuse_module

    file = check_output(out, "a checkpoint", CHECKPOINT_SUFFIX, overwrite=overwrite)
    chosen = as_settings(InferConfig, config, named, adapt)
    sources = _list_sources(recordings)

    # A custom module is refused before its code is loaded.
    if isinstance(checkpoint, str | Path):
        refuse_module(checkpoint)
    adaptation = adapt_classifier(
        as_classifier(checkpoint), sources, chosen, strength=strength, sensor=sensor, hints=hints, progress=progress
    )

    if file is not None:
        adaptation.save(file)
    return adaptation


def _list_sources(recordings: RecordingLike | Sequence[RecordingLike]) -> list[RecordingLike]:
    """Return recordings in memory, and then files, with the files of folders."""
    from ..inference import plan_tasks

    given = [recordings] if isinstance(recordings, str | Path | Events) else recordings
    in_memory = [recording for recording in given if isinstance(recording, Events)]
    paths = [recording for recording in given if not isinstance(recording, Events)]
    return [*in_memory, *(task.source for task in plan_tasks(paths))]
