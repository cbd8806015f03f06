"""The prediction for a recording, its windows and segments, and the output folder of a classification."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, InstanceOf, JsonValue, computed_field, model_validator

from ..config import find_differences
from ..errors import FileError, Remedy
from ..files import REPLACE
from .activity import LayerActivity
from .scores import TimeScores
from .tables import FileText, Record, Row, read_rows, write_rows
from .timeline import NO_TIMELINE, Timeline

KEEP = Remedy("out", "OTHER_FOLDER", "keep it")

Basis = Literal["events", "joints and events"]
"""What an answer is made from."""


class InferenceRun(Record):
    """run.json: the network and the settings by which recordings are classified."""

    checkpoint: str
    """The checkpoint, as it was given."""
    network: str
    """SHA-256 of the network's configuration and weights."""
    trained_on: str
    """What the network was trained on."""
    classes: tuple[str, ...]
    """Names of the classes."""
    sensor: str
    """The network's sensor, WIDTHxHEIGHT."""
    window_us: int
    """Length of a window in microseconds; of a stateful run, the time constant of the mean of outputs."""
    step_us: int
    """Length of a time step in microseconds."""
    hop_us: int | None
    """Time from one window to the next in microseconds; None if windows follow one another."""
    stateful: bool
    """Whether the network's state is kept from the beginning to the end, without windows."""
    settings: dict[str, JsonValue]
    """The complete resolved settings."""
    sensor_given: str | None
    """The sensor that was given for recordings that do not name it."""
    hints: tuple[str, ...]
    """What else was given for recordings that do not say it, KEY=VALUE."""
    adapted_to: str | None = None
    """SHA-256 of the names, sizes and times of the recordings that the network was adapted to; None if it was not."""
    versions: dict[str, str]
    """Versions of dvspipe and of the libraries that decide its results."""

    @property
    def digest(self) -> str:
        """SHA-256 of what decides the answers."""
        return hashlib.sha256(json.dumps(self._decisive(), sort_keys=True).encode()).hexdigest()

    def difference(self, other: InferenceRun) -> str:
        """Return what decides the answers and differs in another run, in a few words; empty if nothing does."""
        differences = find_differences(self._decisive(), other._decisive())
        return "{}: {}, now {}".format(*differences[0]) if differences else ""

    def _decisive(self) -> dict[str, JsonValue]:
        decisive: dict[str, JsonValue] = {
            "network": self.network,
            "settings": self.settings,
            "sensor_given": self.sensor_given,
            "hints": list(self.hints),
        }
        return decisive if self.adapted_to is None else decisive | {"adapted_to": self.adapted_to}


class Dependencies(Record):
    """What the answer for a recording depends on; if that has changed, the recording is classified again."""

    source: FileText
    """Absolute path of the recording."""
    bytes: int
    """Its size."""
    mtime_ns: int
    """Time of its last change in nanoseconds."""
    run: str
    """Digest of the run."""
    labels: str | None
    """SHA-256 of its label file; None without one."""
    pictures: bool
    """Whether its timeline and overlay were made."""

    def satisfies(self, needed: Dependencies) -> bool:
        """Return whether an answer that depends on this can be used where one that depends on `needed` is asked for."""
        return self in (needed, needed.model_copy(update={"pictures": True}))


class WindowRow(Row):
    """A line of windows.jsonl and a row of windows.csv: one answer."""

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
    """The most probable class."""
    class_name: str = Field(validation_alias="class", serialization_alias="class")
    """Its name."""
    probability: float
    """Its probability, 0 to 1."""
    entropy: float
    """Entropy of the probabilities in bits: 0 if one class is certain, log2 K if all are equal."""
    events: int
    """Number of events in the window."""
    familiar: bool = True
    """Whether the window is like those of the training, as far as the checkpoint knows."""
    probabilities: tuple[float, ...]
    """Probability of each class."""
    t_from_us: int
    """Start of the time that the answer stands for, in microseconds."""
    t_to_us: int
    """End of that time, exclusive."""


class SegmentRow(Row):
    """A line of segments.jsonl and a row of segments.csv: a part of a recording that shows one class."""

    columns: ClassVar[tuple[str, ...]] = ("t_start_us", "t_end_us", "label", "class", "probability")

    t_start_us: int
    """Start in microseconds, inclusive."""
    t_end_us: int
    """End in microseconds, exclusive."""
    label: int | None
    """The class; None if no class is certain."""
    class_name: str = Field(validation_alias="class", serialization_alias="class")
    """Its name, or `uncertain`."""
    probability: float
    """Mean probability of the class over the answers in the segment; of the largest one if it is uncertain."""


class LabelRow(Record):
    """What a label file says of a part of a recording."""

    t_start_us: int
    """Start in microseconds, inclusive."""
    t_end_us: int
    """End in microseconds, exclusive."""
    class_name: str = Field(validation_alias="class", serialization_alias="class")
    """Name of the class."""


class EventRates(Record):
    """How many events a recording has over time."""

    start_us: int | None
    """Start of the first bin in microseconds; None without events."""
    bin_us: int
    """Length of a bin in microseconds."""
    counts: tuple[int, ...]
    """Number of events in each bin."""


class LookRow(Record):
    """The part of a recording's pictures that the network looks at, from a time on."""

    t_us: int | None
    """Time from which on it does, in microseconds; None: from the beginning."""
    left: int
    """First column; negative if the part reaches beyond the picture."""
    top: int
    """First row."""
    width: int
    """Columns."""
    height: int
    """Rows."""

    def __str__(self) -> str:
        """The part as WIDTHxHEIGHT+LEFT+TOP."""
        return f"{self.width}x{self.height}{self.left:+d}{self.top:+d}"


def describe_look(look: LookRow, picture: tuple[int, int], *, follows: bool) -> str:
    """Return a part of a picture in words.

    Args:
        look: The part.
        picture: Columns and rows of the picture.
        follows: Whether the part follows someone who moves.

    Example:
        >>> picture = 160, 120
        >>> describe_look(LookRow(t_us=None, left=53, top=4, width=82, height=82), picture, follows=True)
        'the person in the middle, 82 px high (82x82+53+4)'
        >>> describe_look(LookRow(t_us=None, left=0, top=0, width=160, height=120), picture, follows=False)
        'the complete picture (160x120+0+0)'
        >>> describe_look(LookRow(t_us=None, left=-20, top=-10, width=200, height=200), picture, follows=False)
        'the complete picture and beyond it (200x200-20-10)'
    """
    columns, rows = picture
    right, bottom = look.left + look.width, look.top + look.height
    is_beyond = look.left < 0 or look.top < 0 or right > columns or bottom > rows
    beyond = " and beyond it" if is_beyond else ""
    if look.left <= 0 and look.top <= 0 and right >= columns and bottom >= rows:
        return f"the complete picture{beyond} ({look})"
    beyond = ", partly outside the picture" if is_beyond else ""
    middle = (look.left + look.width / 2) / columns
    side = "at the left" if middle < 1 / 3 else "at the right" if middle > 2 / 3 else "in the middle"
    return f"the {'person' if follows else 'part'} {side}, {look.height} px high{beyond} ({look})"


class Prediction(Row):
    """answer.json, a line of predictions.jsonl and a row of predictions.csv: the prediction for a recording.

    `segments`, `timeline` and `classes` are in memory only, and empty in one that was read from a file.
    """

    columns: ClassVar[tuple[str, ...]] = (
        "file",
        "label",
        "class",
        "probability",
        "certain",
        "events",
        "windows",
        "segments",
        "duration_s",
        "region",
    )

    file: FileText
    """The recording."""
    folder: FileText = ""
    """Its folder below the output folder."""
    label: int
    """The most probable class."""
    class_name: str = Field(validation_alias="class", serialization_alias="class")
    """Its name."""
    probability: float
    """Its probability, 0 to 1."""
    certain: bool
    """Whether that reaches the setting `segments.enter`, and at least half of the windows are like the training's."""
    probabilities: tuple[float, ...]
    """Probability of each class: the mean over the windows with enough events."""
    events: int
    """Number of events on the network's sensor."""
    windows: int
    """Number of windows."""
    segment_count: int = Field(default=0, serialization_alias="segments")
    """Number of segments."""
    t_first_us: int
    """Time of the first event in microseconds."""
    t_last_us: int
    """Time of the last event in microseconds."""
    rates: EventRates
    """Events over time, as recorded."""
    picture: str = ""
    """Size of the recording's pictures, WIDTHxHEIGHT."""
    looked_at: tuple[LookRow, ...] = ()
    """The part of them that the network looked at, over time."""
    classified_us: int
    """Time that went through the network in microseconds; overlapping windows count each."""
    layers: tuple[LayerActivity, ...]
    """What each layer of the network did."""
    trained_on: str
    """What the network was trained on."""
    basis: Basis = "events"
    """What the answer is made from; `joints and events` used the pictures of the video too."""
    synthetic: bool = False
    """Whether the file of the recording says that dvspipe rendered it."""
    labels: tuple[LabelRow, ...] | None = None
    """The recording's labels; None without a label file."""
    scores: TimeScores | None = None
    """How right the answers are; None without a label file."""
    depends_on: Dependencies | None = None
    """What the answer depends on; None if it is not stored."""
    segments: tuple[SegmentRow, ...] = Field(default=(), exclude=True)
    """Which class is shown when."""
    timeline: InstanceOf[Timeline] = Field(default=NO_TIMELINE, exclude=True)
    """The predictions over time."""
    classes: tuple[str, ...] = Field(default=(), exclude=True)
    """Names of the classes."""

    @model_validator(mode="before")
    @classmethod
    def _count_segments(cls, values: object) -> object:
        """Return values with the number of segments, which files have under the name of the segments."""
        if not isinstance(values, dict):
            return values
        found = values.get("segments", ())
        stored = {"segment_count": found, "segments": ()}
        return values | (stored if isinstance(found, int) else {"segment_count": len(found)})

    @computed_field  # type: ignore[prop-decorator]
    @property
    def duration_s(self) -> float:
        """Time from the first event to the last in seconds."""
        return (self.t_last_us - self.t_first_us) * 1e-6

    @computed_field  # type: ignore[prop-decorator]
    @property
    def region(self) -> str:
        """The first part that the network looked at, WIDTHxHEIGHT+LEFT+TOP."""
        return str(self.looked_at[0]) if self.looked_at else ""

    @property
    def place(self) -> str:
        """The first part that the network looked at, in words, for tables; empty if it is not known."""
        if not self.looked_at or not self.picture:
            return self.region
        columns, rows = map(int, self.picture.split("x"))
        return describe_look(self.looked_at[0], (columns, rows), follows=len(self.looked_at) > 1)

    def as_stored(self) -> Prediction:
        """Return the prediction as its folder has it, without `timeline` and `classes`."""
        return self.model_copy(update={"timeline": NO_TIMELINE, "classes": ()})

    def to_windows(self) -> tuple[WindowRow, ...]:
        """Return a row for each of the predictions over time."""
        timeline, rows, entropies = (
            self.timeline,
            self.timeline.probabilities.tolist(),
            self.timeline.entropies.tolist(),
        )
        intervals_us = timeline.intervals_us(self.t_first_us, self.t_last_us + 1).tolist()
        return tuple(
            WindowRow(
                t_start_us=int(timeline.t_start_us[k]),
                t_end_us=int(timeline.t_end_us[k]),
                label=label,
                class_name=self.classes[label],
                probability=rows[k][label],
                entropy=entropies[k],
                events=int(timeline.events[k]),
                familiar=bool(timeline.familiar[k]),
                probabilities=tuple(rows[k]),
                t_from_us=intervals_us[k][0],
                t_to_us=intervals_us[k][1],
            )
            for k, label in enumerate(timeline.labels.tolist())
        )

    @property
    def is_complete(self) -> bool:
        """Whether the network looked at complete pictures, as far as is known."""
        return not self.looked_at or self.region == f"{self.picture}+0+0"


class RecordingResult(Record):
    """A line of `dvspipe infer --json`: the prediction for a recording and its segments."""

    answer: Prediction
    """The prediction."""
    segments: tuple[SegmentRow, ...]
    """Which class is shown when."""


class Playback(Record):
    """playback.json: where timeline.png and overlay.webm show which time of a recording."""

    axis_from: float
    """Left end of the time axis, as a share of the width of the timeline."""
    axis_to: float
    """Its right end."""
    clock_s: tuple[tuple[float, float], ...]
    """Playing times of the overlay, each with the time since the first event that is shown then, in seconds; both
    increase evenly from one to the next."""


@dataclass(frozen=True)
class RecordingFolder:
    """The files of one recording, below the output folder.

    Args:
        path: The folder.
    """

    path: Path

    @property
    def answer(self) -> Path:
        """A `Prediction`; written last, so that a recording that has one is complete."""
        return self.path / "answer.json"

    @property
    def windows(self) -> Path:
        """A `WindowRow` per line; windows.csv has its columns."""
        return self.path / "windows.jsonl"

    @property
    def segments(self) -> Path:
        """A `SegmentRow` per line; segments.csv has its columns."""
        return self.path / "segments.jsonl"

    @property
    def timeline(self) -> Path:
        """Probabilities, segments and event rate over time, a picture."""
        return self.path / "timeline.png"

    @property
    def overlay(self) -> Path:
        """The moving events with the prediction below them, a video."""
        return self.path / "overlay.webm"

    @property
    def playback(self) -> Path:
        """A `Playback`; in a folder with pictures."""
        return self.path / "playback.json"

    def write_rows(self, windows: tuple[WindowRow, ...], segments: tuple[SegmentRow, ...]) -> None:
        """Write windows and segments, JSON Lines and CSV.

        Raises:
            FileError: The folder cannot be written to.
        """
        for path, rows, kind in ((self.windows, windows, WindowRow), (self.segments, segments, SegmentRow)):
            write_rows(rows, kind, jsonl=path, csv_path=path.with_suffix(".csv"))

    def find(self) -> Prediction | None:
        """Return the prediction without its segments if the recording is complete, otherwise None."""
        found = Prediction.find(self.answer)
        complete = found is not None and found.depends_on and self.windows.is_file() and self.segments.is_file()
        return found if complete else None

    def find_current(self, needed: Dependencies) -> Prediction | None:
        """Return the prediction if it is complete and depends on what is needed, otherwise None.

        Raises:
            FileError: It is the prediction for another recording, or its segments are not as dvspipe writes them.
        """
        found = self.find()
        if found is None or found.depends_on is None:
            return None
        if found.depends_on.source != needed.source:
            raise FileError(
                f"{self.path}: holds the answer for {found.depends_on.source}, expected that for {needed.source}",
                REPLACE,
                KEEP,
            )
        return self.add_segments(found) if found.depends_on.satisfies(needed) else None

    def add_segments(self, found: Prediction) -> Prediction:
        """Return a prediction that was read from the folder with its segments.

        Raises:
            FileError: They are missing, or not as dvspipe writes them.
        """
        return found.model_copy(update={"segments": read_rows(self.segments, SegmentRow)})


@dataclass(frozen=True)
class OutputFolder:
    """The output folder of a classification: the run, a folder for each recording, and all of them together.

    Args:
        path: The folder.
    """

    path: Path

    @property
    def run(self) -> Path:
        """An `InferenceRun`."""
        return self.path / "run.json"

    @property
    def predictions(self) -> Path:
        """A `Prediction` per line; predictions.csv has its columns."""
        return self.path / "predictions.jsonl"

    @property
    def scores(self) -> Path:
        """The `TimeScores` of all recordings together, if there are labels."""
        return self.path / "scores.json"

    @property
    def report(self) -> Path:
        """The page that shows all recordings."""
        return self.path / "report.html"

    def of(self, name: str | Path) -> RecordingFolder:
        """Return the folder of a recording by its name below the output folder."""
        return RecordingFolder(self.path / name)

    def check(self, run: InferenceRun) -> None:
        """Check that the folder can hold the answers of a run beside those that it has.

        Raises:
            FileError: It holds answers of another network or with other settings.
        """
        if not self.run.exists():
            return
        before = InferenceRun.find(self.run)
        if before is None:
            raise FileError(f"{self.run}: not the record of a classification as dvspipe writes it", REPLACE)
        if difference := before.difference(run):
            raise FileError(f"{self.path}: holds answers with other settings ({difference})", REPLACE, KEEP)

    def write_run(self, run: InferenceRun) -> None:
        """Write the run unless the folder has the same.

        Raises:
            FileError: The folder cannot be written to.
        """
        if InferenceRun.find(self.run) != run:
            run.write(self.run)

    def write_predictions(self, predictions: list[Prediction]) -> None:
        """Write predictions.jsonl and predictions.csv, a row per recording.

        Raises:
            FileError: The folder cannot be written to.
        """
        write_rows(predictions, Prediction, jsonl=self.predictions, csv_path=self.predictions.with_suffix(".csv"))

    def find_predictions(
        self, run: InferenceRun, known: Iterable[Prediction] = (), *, with_segments: bool = True
    ) -> list[Prediction]:
        """Return the predictions for all recordings below that a run like this one classified, by the names of folders.

        Args:
            run: The run.
            known: Predictions that are in memory, which are not read again.
            with_segments: Whether those that are read get their segments.

        Raises:
            FileError: Segments are missing, or not as dvspipe writes them.
        """
        in_memory = {self.of(each.folder).answer: each for each in known}
        predictions = []
        for path in sorted(self.path.rglob("answer.json")):
            folder, found = RecordingFolder(path.parent), in_memory.get(path)
            if found is None:
                found = folder.find()
                if found is None or found.depends_on is None or found.depends_on.run != run.digest:
                    continue
                found = folder.add_segments(found) if with_segments else found
            predictions.append(found)
        return predictions
