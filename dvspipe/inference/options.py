"""Options of classification, and records of what predictions depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ..base.config import Settings
from ..base.errors import FileError
from ..base.files import read_bytes
from ..base.labels import MAX_LABEL_BYTES
from ..checkpoints.checkpoint import versions
from ..formats import NO_HINTS, GivenSensor, Hints
from ..framing import RecordingView
from ..results import Dependencies, InferenceRun, Prediction, RecordingFolder, WindowRow
from .classifier import Classifier
from .config import InferConfig
from .labels import find_label_file
from .tasks import Task

Draw = Callable[[RecordingFolder, Prediction, tuple[WindowRow, ...], RecordingView, Sequence[str]], object]
"""Callback that draws pictures of a recording. Arguments: its folder, prediction and windows, its complete pictures,
and all class names."""


class ClassifyOptions(Settings):
    """Options of classification and storage."""

    config: InferConfig = InferConfig()
    """Settings of windows, segments and framing."""
    sensor: GivenSensor = None
    """Sensor size, for files that do not store it."""
    hints: Hints = NO_HINTS
    """Other metadata that the files do not store."""
    adapt: bool = False
    """Whether to adapt the network to all recordings first (see `adapt`)."""
    labels: Path | None = None
    """Label file or folder of label files (see `find_label_file`) to compute scores; None: no scores."""
    out: Path | None = None
    """Output folder (see `OutputFolder`); None: store nothing."""
    draw: Draw | None = None
    """Callback that draws pictures of each recording in its folder; None: no pictures. It must be picklable if worker
    processes are used."""

    def record_run(self, classifier: Classifier, tasks: Sequence[Task] = ()) -> InferenceRun:
        """Create the record of a classification run with these options.

        Args:
            classifier: Classifier before adaptation.
            tasks: All recordings; with `adapt`, every prediction depends on all of them.

        Raises:
            ConfigError: If the configuration does not fit the network.
        """
        framed = classifier.framed(self.config)
        return InferenceRun(
            checkpoint=classifier.checkpoint or "",
            network=classifier.digest,
            trained_on=classifier.config.trained_on,
            classes=classifier.config.classes,
            sensor=str(classifier.config.sensor),
            window_us=classifier.window_bins(self.config).window_us,
            step_us=classifier.config.bins.step_us,
            hop_us=framed.hop_us,
            stateful=framed.stateful,
            settings=framed.model_dump(mode="json"),
            sensor_given=None if self.sensor is None else str(self.sensor),
            hints=tuple(f"{name}={value}" for name, value in self.hints if value is not None),
            adapted_to=_digest_files([task.source for task in tasks]) if self.adapt else None,
            versions=versions(),
        )

    def find_label_file(self, task: Task) -> Path | None:
        """Find the label file of a recording; None if the options have no labels.

        Raises:
            DataError: If the recording has no label file.
        """
        return None if self.labels is None else find_label_file(self.labels, task.source, task.name)

    def record_dependencies(self, task: Task, run: InferenceRun) -> Dependencies:
        """Record what the prediction for a recording depends on: the recording, its label file and the run.

        Raises:
            DataError: If the recording has no label file.
            FileError: If the recording or its label file is missing or cannot be read.
        """
        labels = self.find_label_file(task)
        try:
            status = task.source.stat()
        except OSError as error:
            raise FileError(f"{task.source}: cannot be read ({error.strerror})") from error
        digest = None if labels is None else hashlib.sha256(read_bytes(labels, MAX_LABEL_BYTES)).hexdigest()
        return Dependencies(
            source=str(task.source.resolve()),
            bytes=status.st_size,
            mtime_ns=status.st_mtime_ns,
            run=run.digest,
            labels=digest,
            pictures=self.draw is not None,
        )


def _digest_files(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of absolute paths, and of sizes and modification times of readable files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(str(path.resolve()).encode(errors="surrogateescape"))
        with suppress(OSError):
            status = path.stat()
            digest.update(f" {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
