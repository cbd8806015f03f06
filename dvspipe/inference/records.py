"""Records of predictions, as `dvspipe.results` stores them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from ..checkpoints.checkpoint import versions
from ..errors import FileError
from ..events import SensorSize
from ..files import read_bytes
from ..formats import NO_HINTS, Hints
from ..labels import MAX_LABEL_BYTES
from ..results import Answer, Dependencies, InferenceRun, TimeScores, WindowRow
from .classifier import Classifier, Prediction
from .config import InferConfig
from .labels import LabelledSpan


def record_answer(
    prediction: Prediction,
    *,
    folder: str,
    spans: Sequence[LabelledSpan] | None = None,
    scores: TimeScores | None = None,
    depends_on: Dependencies | None = None,
) -> Answer:
    """Return the record of a prediction.

    Args:
        prediction: The prediction.
        folder: The folder of the recording below the output folder.
        spans: The recording's labels; None without a label file.
        scores: How right the predictions over time are; None without a label file.
        depends_on: What the prediction depends on; None if it is not stored.

    Example:
        >>> prediction = Classifier.load("best.safetensors").predict("recording.h5")  # doctest: +SKIP
        >>> record_answer(prediction, folder="recording").write(Path("answer.json"))  # doctest: +SKIP
    """
    return Answer(
        file=prediction.file,
        folder=folder,
        label=prediction.label,
        class_name=prediction.class_name,
        probability=prediction.probability,
        certain=prediction.certain,
        probabilities=prediction.probabilities,
        events=prediction.events,
        windows=prediction.windows,
        segments=len(prediction.segments),
        t_first_us=prediction.t_first_us,
        t_last_us=prediction.t_last_us,
        rates=prediction.rates,
        picture=str(prediction.picture),
        looked_at=prediction.looked_at,
        classified_us=prediction.classified_us,
        layers=prediction.layers,
        trained_on=prediction.trained_on,
        basis=prediction.basis,
        synthetic=prediction.synthetic,
        labels=None if spans is None else tuple(span.to_row() for span in spans),
        scores=scores,
        depends_on=depends_on,
    )


def record_windows(prediction: Prediction, classes: Sequence[str]) -> tuple[WindowRow, ...]:
    """Return a record for each prediction over time.

    Args:
        prediction: The prediction for a recording.
        classes: Names of all classes.
    """
    timeline = prediction.timeline
    columns = zip(
        timeline.t_start_us.tolist(),
        timeline.t_end_us.tolist(),
        timeline.labels.tolist(),
        timeline.entropies.tolist(),
        timeline.events.tolist(),
        timeline.familiar.tolist(),
        timeline.probabilities.tolist(),
        timeline.intervals_us(prediction.t_first_us, prediction.t_last_us + 1).tolist(),
        strict=True,
    )
    return tuple(
        WindowRow(
            t_start_us=start_us,
            t_end_us=end_us,
            label=label,
            class_name=classes[label],
            probability=row[label],
            entropy=entropy,
            events=events,
            familiar=familiar,
            probabilities=tuple(row),
            t_from_us=from_us,
            t_to_us=to_us,
        )
        for start_us, end_us, label, entropy, events, familiar, row, (from_us, to_us) in columns
    )


def record_run(
    classifier: Classifier, config: InferConfig, *, sensor: SensorSize | None = None, hints: Hints = NO_HINTS
) -> InferenceRun:
    """Return the record of the network and the settings by which recordings are classified.

    Args:
        classifier: The network.
        config: How recordings are classified.
        sensor: The sensor of recordings that do not name it.
        hints: What else they do not say.

    Raises:
        ConfigError: The configuration does not fit the network.
    """
    framed = classifier.framed(config)
    return InferenceRun(
        checkpoint=classifier.checkpoint or "",
        network=classifier.digest,
        trained_on=classifier.config.trained_on,
        classes=classifier.config.classes,
        sensor=str(classifier.config.sensor),
        window_us=classifier.window_bins(config).window_us,
        step_us=classifier.config.bins.step_us,
        hop_us=framed.hop_us,
        stateful=framed.stateful,
        settings=framed.model_dump(mode="json", exclude=None if framed.pose else {"pose"}),  # as before there was pose
        sensor_given=None if sensor is None else str(sensor),
        hints=tuple(f"{name}={value}" for name, value in asdict(hints).items() if value is not None),
        versions=versions(),
    )


def record_dependencies(source: Path, run: InferenceRun, labels: Path | None, *, pictures: bool) -> Dependencies:
    """Return what the answer for a recording depends on.

    Args:
        source: The recording.
        run: The run that classifies it.
        labels: Its label file; None without one.
        pictures: Whether pictures of it are made.

    Raises:
        FileError: A file is missing or cannot be read.
    """
    try:
        status = source.stat()
    except OSError as error:
        raise FileError(f"{source}: cannot be read ({error.strerror})") from error
    digest = None if labels is None else hashlib.sha256(read_bytes(labels, MAX_LABEL_BYTES)).hexdigest()
    return Dependencies(
        source=str(source.resolve()),
        bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        run=run.digest,
        labels=digest,
        pictures=pictures,
    )


def digest_files(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of the absolute paths of files, and of the sizes and times of those that can be read."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(str(path.resolve()).encode(errors="surrogateescape"))
        with suppress(OSError):
            status = path.stat()
            digest.update(f" {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
