"""How recordings are classified, and the records of what their predictions depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..checkpoints.checkpoint import versions
from ..errors import FileError
from ..events import Events, SensorSize
from ..files import read_bytes
from ..formats import NO_HINTS, Hints
from ..labels import MAX_LABEL_BYTES
from ..results import Dependencies, InferenceRun, Prediction, RecordingFolder, WindowRow
from .classifier import Classifier
from .config import InferConfig
from .labels import find_label_file
from .tasks import Task

Draw = Callable[
    [RecordingFolder, Prediction, tuple[WindowRow, ...], Iterable[Events], SensorSize, Sequence[str]], object
]
"""Makes pictures of a recording, given its folder, prediction, windows, events of the complete pictures, their sensor
and the names of all classes."""


@dataclass(frozen=True)
class ClassifyOptions:
    """How recordings are classified, and what is stored of them.

    Args:
        config: Windows, segments, and how recordings fit the network.
        sensor: The sensor of recordings that do not name it.
        hints: What else their files do not say.
        adapt: Whether the network is adapted to all recordings before it classifies them (see `adapt`).
        labels: A label file, or a folder of them (see `find_label_file`), to compute scores; None without labels.
        out: The output folder (see `OutputFolder`); None stores nothing.
        draw: Makes pictures of each recording in its folder; None makes none. Must be picklable if it leaves this
            process.
    """

    config: InferConfig = field(default_factory=InferConfig)
    sensor: SensorSize | None = None
    hints: Hints = NO_HINTS
    adapt: bool = False
    labels: Path | None = None
    out: Path | None = None
    draw: Draw | None = None

    def record_run(self, classifier: Classifier, tasks: Sequence[Task] = ()) -> InferenceRun:
        """Return the record of a classification by a network with these options.

        Args:
            classifier: The network, before it is adapted.
            tasks: All recordings, which the predictions depend on if the network is adapted to them.

        Raises:
            ConfigError: The configuration does not fit the network.
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
            # without `pose` if it is off: the digest of runs of earlier versions
            settings=framed.model_dump(mode="json", exclude=None if framed.pose else {"pose"}),
            sensor_given=None if self.sensor is None else str(self.sensor),
            hints=tuple(f"{name}={value}" for name, value in asdict(self.hints).items() if value is not None),
            adapted_to=_digest_files([task.source for task in tasks]) if self.adapt else None,
            versions=versions(),
        )

    def find_label_file(self, task: Task) -> Path | None:
        """Return the label file of a recording, None without labels.

        Raises:
            DataError: There is no label file for it.
        """
        return None if self.labels is None else find_label_file(self.labels, task.source, task.name)

    def record_dependencies(self, task: Task, run: InferenceRun) -> Dependencies:
        """Return what the prediction for a recording depends on.

        Raises:
            DataError: There is no label file for it.
            FileError: The recording or its label file is missing or cannot be read.
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
    """Return the SHA-256 of the absolute paths of files, and of the sizes and times of those that can be read."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(str(path.resolve()).encode(errors="surrogateescape"))
        with suppress(OSError):
            status = path.stat()
            digest.update(f" {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
