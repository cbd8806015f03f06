"""Recordings as folders of frames: pictures or arrays, a table of their times, and layouts for YOLO and COCO.

The frames of a recording are written to a folder `*.part`, moved to their places, and its table of times is written
last. So a recording with a table is complete, and no other one has frames after the work ends, also after Ctrl-C.

A `FramePlan` says what to write: a `FrameTask` per recording, planned by `frame_layouts.py`. A `FrameWriter` writes one
recording, in any process; `frame_sets.py` runs it over all of them.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ..base.errors import DataError, FileError
from ..base.files import UNFINISHED, write_beside
from ..encoding import EventFrame, FrameConfig, encode_frames
from ..encoding.frames import FrameKeywords
from ..events import SensorSize
from ..formats import NO_HINTS, Hints, open_recording
from ..formats.boxes import Boxes, read_boxes
from ..parallel import Progress, ignore_progress
from ..results.frames import FrameRow, write_frame_rows
from .config import PreviewColours, PreviewSettings
from .painter import make_palette, shade_counts, shade_fading, write_picture

FrameFormat = Literal["png", "npy"]
FrameLayout = Literal["folders", "classes", "yolo", "coco"]
"""Layout of the output folder; see `FrameSettings.layout`."""
TIMES = "times.csv"  # table beside the frames of a recording, in the layout `folders`
TIMES_FOLDER = "times"  # folder of all tables, in the others
SETTINGS = "frames.json"


class FrameSettings(FrameConfig):
    """Settings of the frames of a data set; they are stored in the output folder, in frames.json."""

    format: FrameFormat = "png"
    """`png`: picture in the colours of `dvspipe view`, a pixel per pixel of the sensor; `npy`: array of the values."""
    layout: FrameLayout = "folders"
    """`folders`: a folder per recording. `classes`: PART/CLASS/NAME_000000.png, the layout of YOLO for classification.
    `yolo`: images/PART, labels/PART and data.yaml; `coco`: PART and annotations/instances_PART.json. Both have a frame
    for each window with a labelled time, and its last boxes."""
    colours: PreviewColours = "light"
    """Colours of pictures: a pair for ON and OFF, or a colour map."""
    classes: tuple[str, ...] = ()
    """Names of the classes of boxes, from class 0; default: their numbers."""
    val: float = Field(default=0.0, ge=0, lt=1)
    """Share of the recordings for the part val, drawn per class, if the source has no folders train, val and test."""
    seed: int = Field(default=0, ge=0)
    """Seed of the draw."""

    @model_validator(mode="before")
    @classmethod
    def _has_windows_by_default(cls, given: object) -> object:
        if isinstance(given, dict) and not {"every_us", "every_events"} & given.keys():
            return given | {"every_us": PreviewSettings().window_us}
        return given

    @model_validator(mode="after")
    def _can_be_written(self) -> FrameSettings:
        if self.form == "voxel" and self.format == "png":
            raise ValueError("form = voxel: has no picture (expected format = npy)")
        if self.val and self.layout == "folders":
            raise ValueError(f"val = {self.val:g}: layout = folders has no parts (expected classes, yolo or coco)")
        return self


class FrameSetKeywords(FrameKeywords, total=False):
    """Settings of `FrameSettings` by name."""

    format: FrameFormat
    layout: FrameLayout
    colours: PreviewColours
    classes: Sequence[str]
    val: float
    seed: int


@dataclass(frozen=True)
class FrameTask:
    """Recording, and the places of its frames in the output folder.

    Args:
        source: Recording.
        folder: Folder of the frames, relative to the output folder.
        prefix: Start of the names of the frames.
        part: Part of the data set: train, val or test.
        times: Table of the times, relative to the output folder.
        boxes: File with the boxes; None if the layout has none.
    """

    source: Path
    folder: Path
    prefix: str
    part: str
    times: Path
    boxes: Path | None = None

    def __str__(self) -> str:
        return str(self.source)

    @property
    def staging(self) -> str:
        """Name of the folder of unfinished frames in the output folder, unique for each recording."""
        return hashlib.blake2b(bytes(self.times), digest_size=8).hexdigest() + UNFINISHED

    def label_file(self, frame: Path) -> Path:
        """Return the label file of a frame in YOLO's layout."""
        return Path("labels", self.part, frame.with_suffix(".txt").name)


@dataclass(frozen=True)
class FramePlan:
    """Frames to write; see `plan_frames`."""

    out: Path
    tasks: tuple[FrameTask, ...]
    settings: FrameSettings
    names: tuple[str, ...] = ()
    sensor: SensorSize | None = None
    hints: Hints = NO_HINTS

    def unwritten(self) -> list[FrameTask]:
        """Return the recordings without a table of times."""
        return [task for task in self.tasks if not (self.out / task.times).exists()]


class FrameCount(NamedTuple):
    """Numbers of frames and of their events, and the sensor."""

    frames: int
    events: int
    sensor: SensorSize


@dataclass(frozen=True)
class FrameWriter:
    """Write the frames of a recording; picklable."""

    plan: FramePlan

    def __call__(self, task: FrameTask, progress: Progress = ignore_progress) -> FrameCount:
        """Write the frames of a recording, and its table last."""
        staging = self.plan.out / task.staging
        shutil.rmtree(staging, ignore_errors=True)
        try:
            with _as_file_errors(self.plan.out):
                return self._write(task, staging, progress)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _write(self, task: FrameTask, staging: Path, progress: Progress) -> FrameCount:
        plan = self.plan
        recording = open_recording(task.source, sensor=plan.sensor, hints=plan.hints)
        writer = _ImageWriter(task, plan, recording.sensor, staging)
        steady = _SteadyProgress(progress)
        (staging / task.folder).mkdir(parents=True)

        # Frame by frame: only the events of one window are in memory.
        table = staging / TIMES
        with table.open("w", encoding="utf-8", newline="") as file:
            frames = steady.watch(encode_frames(recording.chunks(progress=steady), plan.settings))
            write_frame_rows(map(writer.write, filter(writer.is_labelled, frames)), file)

        # Move all files but the table, which says that the recording is complete.
        files = sorted(path for path in staging.rglob("*") if path.is_file() and path != table)
        for path in files:
            target = plan.out / path.relative_to(staging)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
        with write_beside(plan.out / task.times) as beside:
            shutil.copyfile(table, beside)

        return FrameCount(writer.count, writer.events, recording.sensor)


@contextmanager
def _as_file_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileError(f"{out}: cannot be written ({error.strerror or error})") from error


class _SteadyProgress:
    """Progress that is also called for each frame: a chunk of a quiet recording has many frames."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._done = 0.0
        self._total = 0.0

    def __call__(self, done: float, total: float) -> None:
        self._done = done
        self._total = total
        self._progress(done, total)

    def watch(self, frames: Iterator[EventFrame]) -> Iterator[EventFrame]:
        """Yield the frames unchanged, and repeat the last progress before each of them."""
        for frame in frames:
            self._progress(self._done, self._total)
            yield frame


class _ImageWriter:
    """Writer of the frames of a recording and of their labels.

    Attributes:
        count: Number of frames written so far.
        events: Number of their events.
    """

    def __init__(self, task: FrameTask, plan: FramePlan, sensor: SensorSize, staging: Path) -> None:
        self.count = 0
        self.events = 0

        self._task = task
        self._plan = plan
        self._sensor = sensor
        self._staging = staging
        self._palette = make_palette(plan.settings.colours)
        self._boxes = None if task.boxes is None else read_boxes(task.boxes)
        if self._boxes is not None:
            check_classes(task, self._boxes, plan.names)

    def is_labelled(self, frame: EventFrame) -> bool:
        """Return whether a frame has a labelled time, or no frame needs one."""
        return self._boxes is None or len(self._boxes.last_in(frame.start_us, frame.end_us)) > 0

    def write(self, frame: EventFrame) -> FrameRow:
        """Write a frame and its labels; return its row."""
        settings = self._plan.settings
        file = self._task.folder / f"{self._task.prefix}{self.count:06}.{settings.format}"
        if settings.format == "npy":
            np.save(self._staging / file, frame.values, allow_pickle=False)
        else:
            write_picture(self._palette[shade_frame(frame, settings)], self._staging / file)

        # YOLO has a file of labels per frame; the boxes of COCO are in one file, written last.
        if settings.layout == "yolo" and self._boxes is not None:
            labels = self._staging / self._task.label_file(file)
            labels.parent.mkdir(parents=True, exist_ok=True)
            boxes = self._boxes.last_in(frame.start_us, frame.end_us).clip(self._sensor)
            labels.write_text(format_yolo(boxes, self._sensor), encoding="utf-8")

        self.count += 1
        self.events += frame.events
        return FrameRow(file=file.as_posix(), start_us=frame.start_us, end_us=frame.end_us, events=frame.events)


def shade_frame(frame: EventFrame, settings: FrameConfig) -> NDArray[np.uint8]:
    """Return the palette indices of the picture of a frame, uint8 [H, W]."""
    off, on = frame.values
    if settings.form == "count":
        return shade_counts(on.astype(np.int64) - off)
    return shade_fading(np.where(on >= off, on, -off))  # the polarity of the last event


def check_classes(task: FrameTask, boxes: Boxes, names: Sequence[str]) -> None:
    """Check that each box has a named class."""
    largest = int(boxes.classes.max(initial=-1))
    if largest >= len(names):
        raise DataError(f"{task.boxes}: class {largest} has no name (found {len(names)} names, {', '.join(names)})")


def format_yolo(boxes: Boxes, sensor: SensorSize) -> str:
    """Return boxes in YOLO's format: class, centre, width and height, as shares of the picture; a line per box."""
    size = np.array([sensor.width, sensor.height])
    upper_left = boxes.corners[:, :2]
    lower_right = boxes.corners[:, 2:]
    centre = (upper_left + lower_right) / 2 / size
    sides = lower_right - upper_left
    shares = np.concatenate([centre, sides / size], axis=1)

    lines = []
    for label, row in zip(boxes.classes.tolist(), shares.tolist(), strict=True):
        values = " ".join(f"{value:.6f}" for value in row)
        lines.append(f"{label} {values}\n")
    return "".join(lines)
