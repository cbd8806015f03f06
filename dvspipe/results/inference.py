"""Prediction for a recording, its windows and segments, and the output folder of a classification.

    file                                   record
    run.json                               InferenceRun: network and settings
    predictions.jsonl, predictions.csv     Prediction, a line per recording
    scores.json                            TimeScores, if there are labels
    RECORDING/answer.json                  Prediction
    RECORDING/windows.jsonl, windows.csv   WindowRow, a line per window
    RECORDING/segments.jsonl, segments.csv SegmentRow, a line per segment
    RECORDING/playback.json                Playback, if there are pictures

`OutputFolder` and `RecordingFolder` list the files with their names. A stored prediction is used again while its
`Dependencies` are the same.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, InstanceOf, JsonValue, computed_field

from ..base.errors import FileError, brief, count_noun
from ..base.gestures import GESTURES, OTHER
from ..base.settings import find_differences
from ..base.texts import readable
from .activity import LayerActivity
from .labels import LabelRow
from .scores import TimeScores
from .tables import FileText, Folder, FolderFile, Record, Row, read_rows, write_rows
from .timeline import NO_TIMELINE, Timeline

SHOWN_DIGITS = 12  # digits of a digest in a message, enough to tell networks apart
DECISIVE = frozenset({"network", "settings"})
"""Fields of a run that determine its predictions."""

Basis = Literal["events", "joints and events", "joints"]
"""Inputs of a prediction."""


class InferenceRun(Record):
    """run.json: network and settings of a classification."""

    checkpoint: str
    """Checkpoint, as given."""
    network: str
    """SHA-256 of the network's configuration and weights."""
    trained_on: str
    """Training data of the network."""
    classes: tuple[str, ...]
    """Names of the classes."""
    sensor: str
    """Sensor of the network, WIDTHxHEIGHT."""
    window_us: int
    """Length of a window in microseconds; in stateful runs, time constant of the output average."""
    step_us: int
    """Length of a time step in microseconds."""
    hop_us: int | None
    """Time between predictions in microseconds; None: windows have no fixed length."""
    stateful: bool
    """Whether the network keeps its state throughout a recording, without windows."""
    settings: dict[str, JsonValue]
    """Complete settings, with the metadata that was given for recordings."""
    versions: dict[str, str]
    """Versions of dvspipe and of the libraries that affect its results."""

    @property
    def digest(self) -> str:
        """SHA-256 of everything that determines the predictions."""
        return hashlib.sha256(json.dumps(self._dump_decisive(), sort_keys=True).encode()).hexdigest()

    def difference(self, other: InferenceRun) -> str:
        """Describe the first difference from another run that affects the predictions; empty if there is none."""
        # The digest of the network says nothing to people: name the checkpoint, too.
        if self.network != other.network:
            networks = (f"{run.checkpoint} ({run.network[:SHOWN_DIGITS]})" for run in (self, other))
            return f"network: {', now '.join(networks)}"

        differences = find_differences(self._dump_decisive(), other._dump_decisive())
        return "{}: {}, now {}".format(*differences[0]) if differences else ""

    def _dump_decisive(self) -> dict[str, JsonValue]:
        return self.model_dump(mode="json", include={*DECISIVE})


def describe_training_data(trained_on: str) -> str:
    """Return the label of a network whose training data is synthetic, or partly synthetic; empty for other data.

    Args:
        trained_on: Training data, one part per training, separated by semicolons.

    Example:
        >>> describe_training_data("synthetic gestures, 40 recordings")
        'synthetic training data'
        >>> describe_training_data("synthetic gestures, 40 recordings; then films, 12 recordings")
        'partly synthetic training data'
    """
    parts = trained_on.split("; ")
    if all(part.removeprefix("then ").startswith("synthetic ") for part in parts):
        return "synthetic training data"
    return "partly synthetic training data" if "synthetic " in trained_on else ""


def merge_trainings(trained_on: str) -> str:
    """Return training data without repetitions: a training that continues another one on the same data names it again.

    Example:
        >>> merge_trainings("films, 12 recordings; then films, 12 recordings")
        'films, 12 recordings'
    """
    return "; then ".join(dict.fromkeys(trained_on.split("; then ")))


class Dependencies(Record):
    """Dependencies of a stored prediction; the recording is classified again if they change."""

    source: FileText
    """Absolute path of the recording."""
    bytes: int
    """Size of the recording in bytes."""
    mtime_ns: int
    """Time of its last change, in nanoseconds."""
    run: str
    """Digest of the run."""
    labels: str | None
    """SHA-256 of its label file; None: no label file."""
    pictures: bool
    """Whether its timeline and overlay exist."""

    def satisfies(self, needed: Dependencies) -> bool:
        """Return whether a prediction with these dependencies can be used where `needed` is required."""
        return self in (needed, needed.model_copy(update={"pictures": True}))


class WindowRow(Row):
    """A line of windows.jsonl and a row of windows.csv: the prediction for one window."""

    columns: ClassVar[tuple[str, ...]] = (
        "t_start_us",
        "t_end_us",
        "label",
        "class",
        "probability",
        "entropy",
        "events",
        "familiar",
    )

    t_start_us: int
    """Start of the window in microseconds, inclusive."""
    t_end_us: int
    """End of the window in microseconds, exclusive."""
    label: int
    """Most probable class."""
    class_name: str = Field(validation_alias="class", serialization_alias="class")
    """Name of this class."""
    probability: float
    """Probability of this class, 0 to 1."""
    entropy: float
    """Entropy of the probabilities in bits: 0 if one class is certain, log2 K if all are equal."""
    events: int
    """Number of events in the window."""
    familiar: bool = True
    """Whether the window resembles the training data; true if the checkpoint has no limit."""
    probabilities: tuple[float, ...]
    """Probability of each class."""
    t_from_us: int
    """Start of the time that the prediction applies to, in microseconds."""
    t_to_us: int
    """End of this time, exclusive, in microseconds."""


class SegmentRow(Row):
    """A line of segments.jsonl and a row of segments.csv: part of a recording with one class."""

    columns: ClassVar[tuple[str, ...]] = ("t_start_us", "t_end_us", "label", "class", "probability")

    t_start_us: int
    """Start in microseconds, inclusive."""
    t_end_us: int
    """End in microseconds, exclusive."""
    label: int | None = None
    """Class; None if uncertain."""
    class_name: str = Field(validation_alias="class", serialization_alias="class")
    """Name of the class, or `uncertain`."""
    probability: float | None = None
    """Mean probability of the class in the segment; None if uncertain."""


class EventRates(Record):
    """Event counts of a recording over time."""

    start_us: int | None
    """Start of the first bin in microseconds; None if there are no events."""
    bin_us: int
    """Length of a bin in microseconds."""
    counts: tuple[int, ...]
    """Number of events per bin."""


class LookRow(Record):
    """Region of a recording's frames that the network receives, from a given time on."""

    t_us: int | None
    """Start time in microseconds; None: start of the recording."""
    left: int
    """First column; negative if the region extends beyond the frame."""
    top: int
    """First row."""
    width: int
    """Number of columns."""
    height: int
    """Number of rows."""

    def __str__(self) -> str:
        """Return the region as WIDTHxHEIGHT+LEFT+TOP."""
        return f"{self.width}x{self.height}{self.left:+d}{self.top:+d}"


class Prediction(Row):
    """answer.json, a line of predictions.jsonl and a row of predictions.csv: the prediction for a recording.

    `segments`, `timeline` and `classes` exist only in memory; they are empty after reading from a file.
    """

    columns: ClassVar[tuple[str, ...]] = (
        "file",
        "label",
        "class",
        "probability",
        "certain",
        "t_start_us",
        "t_end_us",
        "reason",
        "events",
        "windows",
        "segment_count",
        "duration_s",
        "basis",
        "region",
    )

    file: FileText
    """Name of the recording."""
    folder: FileText = ""
    """Folder of the recording, below the output folder."""
    label: int
    """Class of the certain segment that lasts longest, other gestures aside; without one, the first guess."""
    class_name: str = Field(validation_alias="class", serialization_alias="class")
    """Name of this class."""
    probability: float
    """Mean probability of this class in the segment, or of the first guess, 0 to 1."""
    certain: bool
    """Whether there is such a segment."""
    t_start_us: int | None = None
    """Start of the segment in microseconds, inclusive; None: nothing is certain."""
    t_end_us: int | None = None
    """End of the segment in microseconds, exclusive; None: nothing is certain."""
    reason: str = ""
    """Why nothing is certain; empty if certain."""
    probabilities: tuple[float, ...]
    """Probability of each class: mean over the windows with enough events."""
    events: int
    """Number of events on the network's sensor: inside the region, and scaled, so fewer than `convert` writes."""
    windows: int
    """Number of windows."""
    t_first_us: int
    """Time of the first event, in microseconds."""
    t_last_us: int
    """Time of the last event, in microseconds."""
    rates: EventRates
    """Event counts over time, as recorded."""
    picture: str = ""
    """Size of the recording's frames, WIDTHxHEIGHT."""
    looked_at: tuple[LookRow, ...] = ()
    """Regions of the frames that the network received, over time."""
    classified_us: int
    """Time processed by the network in microseconds; overlapping windows count separately."""
    layers: tuple[LayerActivity, ...]
    """Activity of each layer of the network."""
    trained_on: str
    """Training data of the network."""
    basis: Basis = "events"
    """Inputs of the prediction; `joints` are from the frames of the video."""
    video: bool = False
    """Whether the recording is a video; its times count from the start of the video."""
    synthetic: bool = False
    """Whether the recording's file says that dvspipe rendered it."""
    warnings: tuple[str, ...] = ()
    """Possible mistakes: a guessed sensor, a repeated GIF, or a region mostly outside the picture."""
    labels: tuple[LabelRow, ...] | None = None
    """Labels of the recording; None: no label file."""
    scores: TimeScores | None = None
    """Scores of the predictions; None: no label file."""
    depends_on: Dependencies | None = None
    """Dependencies of the prediction; None if it is not stored."""
    segments: tuple[SegmentRow, ...] = Field(default=(), exclude=True)
    """Segments: the class over time."""
    timeline: InstanceOf[Timeline] = Field(default=NO_TIMELINE, exclude=True)
    """Predictions over time."""
    classes: tuple[str, ...] = Field(default=(), exclude=True)
    """Names of the classes."""

    def __repr__(self) -> str:
        return (
            f"Prediction({brief(self.file)}, {self.answer} {self.probability:.1%}, "
            f"{count_noun(self.segment_count, 'segment')}, {self.duration_s:.2f} s)"
        )

    @property
    def t_zero_us(self) -> int:
        """Time that people see as 0 s: the start of a video, or the first event of another recording."""
        return 0 if self.video else self.t_first_us

    @property
    def shown_s(self) -> float:
        """Time from `t_zero_us` to the last event, in seconds."""
        return (self.t_last_us - self.t_zero_us) * 1e-6

    @property
    def answer(self) -> str:
        """What was found, in words: a class with its time in seconds since `t_zero_us`, or a first guess."""
        name = readable(self.class_name)
        if self.t_start_us is not None and self.t_end_us is not None:
            start_s = (self.t_start_us - self.t_zero_us) / 1e6
            end_s = (self.t_end_us - self.t_zero_us) / 1e6
            return f"{name}, {start_s:.1f} to {end_s:.1f} s"

        if self.class_name == OTHER:
            return "no gesture"
        return f"no {'gesture' if self.class_name in GESTURES else 'class'} for certain, perhaps {name}"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def segment_count(self) -> int:
        """Number of segments."""
        return len(self.segments)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def duration_s(self) -> float:
        """Time from the first to the last event, in seconds."""
        return (self.t_last_us - self.t_first_us) * 1e-6

    @computed_field  # type: ignore[prop-decorator]
    @property
    def region(self) -> str:
        """First region that the network received, WIDTHxHEIGHT+LEFT+TOP."""
        return str(self.looked_at[0]) if self.looked_at else ""

    def as_stored(self) -> Prediction:
        """Return the prediction as stored in its folder, without `timeline` and `classes`."""
        return self.model_copy(update={"timeline": NO_TIMELINE, "classes": ()})

    def to_windows(self) -> tuple[WindowRow, ...]:
        """Return one row per prediction over time."""
        timeline = self.timeline
        intervals_us = timeline.intervals_us(self.t_first_us, self.t_last_us + 1)
        columns = {
            "t_start_us": timeline.t_start_us,
            "t_end_us": timeline.t_end_us,
            "label": timeline.labels,
            "class_name": np.array(self.classes)[timeline.labels],
            "probability": timeline.probabilities.max(axis=1, initial=0),
            "entropy": timeline.entropies,
            "events": timeline.events,
            "familiar": timeline.familiar,
            "probabilities": timeline.probabilities,
            "t_from_us": intervals_us[:, 0],
            "t_to_us": intervals_us[:, 1],
        }
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return tuple(WindowRow(**dict(zip(columns, row, strict=True))) for row in rows)

    def to_record(self) -> RecordingResult:
        """Return the prediction with its segments, for `dvspipe infer --json`."""
        return RecordingResult(answer=self, segments=self.segments)

    @property
    def has_full_frame(self) -> bool:
        """Whether the network received the complete picture, without a region of interest; true if unknown."""
        return not self.looked_at or self.region == f"{self.picture}+0+0"


class RecordingResult(Record):
    """A line of `dvspipe infer --json`: prediction and segments of a recording."""

    answer: Prediction
    """Prediction for the recording."""
    segments: tuple[SegmentRow, ...]
    """Segments: the class over time."""


class Playback(Record):
    """playback.json: mapping of overlay.webm to recording time."""

    clock_s: tuple[tuple[float, float], ...]
    """Playing times of the overlay, each with the recording time shown then, in seconds since the first event; linear
    in between."""


@dataclass(frozen=True)
class RecordingFolder(Folder):
    """Files of one recording, below the output folder.

    Args:
        path: Folder of the recording.
    """

    answer = FolderFile("answer.json")
    """A `Prediction`; written last, so its presence marks a complete recording."""
    windows = FolderFile("windows.jsonl")
    """A `WindowRow` per line; windows.csv has its columns."""
    segments = FolderFile("segments.jsonl")
    """A `SegmentRow` per line; segments.csv has its columns."""
    overlay = FolderFile("overlay.webm")
    """Video of the events, beside their video if there is one, with the prediction and the region."""
    playback = FolderFile("playback.json")
    """A `Playback`; exists in folders with pictures."""

    def write_rows(self, windows: tuple[WindowRow, ...], segments: tuple[SegmentRow, ...]) -> None:
        """Write windows and segments as JSON Lines and CSV.

        Raises:
            FileError: If the folder cannot be written to.
        """
        write_rows(windows, WindowRow, self.windows)
        write_rows(segments, SegmentRow, self.segments)

    def find(self) -> Prediction | None:
        """Read the prediction with its segments; None if the recording is not complete.

        Raises:
            FileError: If the segments are invalid.
        """
        prediction = Prediction.find(self.answer)
        is_complete = self.windows.is_file() and self.segments.is_file()
        if prediction is None or prediction.depends_on is None or not is_complete:
            return None
        return prediction.model_copy(update={"segments": read_rows(self.segments, SegmentRow)})

    def find_current(self, needed: Dependencies) -> Prediction | None:
        """Read the prediction with its segments; None if it is incomplete or its dependencies changed.

        Raises:
            FileError: If it is the prediction for another recording, or its segments are invalid.
        """
        stored = self.find()
        if stored is None or stored.depends_on is None:
            return None

        if stored.depends_on.source != needed.source:
            raise FileError(
                f"{self.path}: for another recording (found {stored.depends_on.source}, expected {needed.source})"
                "; use overwrite to replace it, or out=OTHER_FOLDER to keep it"
            )

        return stored if stored.depends_on.satisfies(needed) else None


@dataclass(frozen=True)
class OutputFolder(Folder):
    """Output folder of a classification: the run, one folder per recording, and combined files.

    Args:
        path: Output folder.
    """

    run = FolderFile("run.json")
    """An `InferenceRun`."""
    predictions = FolderFile("predictions.jsonl")
    """A `Prediction` per line; predictions.csv has its columns."""
    scores = FolderFile("scores.json")
    """`TimeScores` over all recordings, if there are labels."""
    report = FolderFile("report.html")
    """HTML page of all recordings."""

    def of(self, name: str | Path) -> RecordingFolder:
        """Return the folder of a recording, by its name below the output folder."""
        return RecordingFolder(self.path / name)

    def check(self, run: InferenceRun) -> None:
        """Check that the folder can store predictions of a run, besides existing ones.

        Raises:
            FileError: If it stores predictions of another network or with other settings.
        """
        if not self.run.exists():
            return

        before = InferenceRun.find(self.run)
        if before is None:
            raise FileError(f"{self.run}: not a valid record of a classification; use overwrite to replace it")

        if difference := before.difference(run):
            raise FileError(
                f"{self.path}: stores predictions with other settings ({difference})"
                "; use overwrite to replace it, or out=OTHER_FOLDER to keep it"
            )

    def write_run(self, run: InferenceRun) -> None:
        """Write run.json, unless the folder already has the same one.

        Raises:
            FileError: If the folder cannot be written to.
        """
        if InferenceRun.find(self.run) != run:
            run.write(self.run)

    def write_predictions(self, predictions: list[Prediction]) -> None:
        """Write predictions.jsonl and predictions.csv, one row per recording.

        Raises:
            FileError: If the folder cannot be written to.
        """
        write_rows(predictions, Prediction, self.predictions)

    def find_predictions(self, run: InferenceRun) -> list[Prediction]:
        """Read the predictions of a run for all recordings below the folder, sorted by folder name.

        Raises:
            FileError: If segments are invalid.
        """
        stored = (RecordingFolder(path.parent).find() for path in self.path.rglob("answer.json"))
        of_run = (one for one in stored if one and one.depends_on and one.depends_on.run == run.digest)
        return sorted(of_run, key=lambda prediction: prediction.folder)
