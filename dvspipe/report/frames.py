"""Recordings as folders of frames: pictures or arrays, and a table of their times.

The frames of a recording are written to a folder `*.part`, moved to their places, and its table of times is written
last. So a recording with a table is complete, and no other one has frames after the work ends, also after Ctrl-C.

A `FramePlan` says what to write: a `FrameTask` per recording. A `FrameWriter` writes one recording, in any process;
`frame_sets.py` plans the tasks, and runs it over all of them.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import FileError, count_noun
from ..base.files import UNFINISHED, write_beside
from ..base.progress import Progress, ignore_progress
from ..base.texts import show_name
from ..encoding import EventFrame, FrameConfig, encode_frames
from ..events import SensorSize
from ..formats import open_recording
from .config import FrameSettings
from .painter import make_palette, shade_counts, shade_fading, write_picture

TIMES = "times.csv"  # table beside the frames of a recording
SETTINGS = "frames.json"


class FrameRow(NamedTuple):
    """A row of times.csv: a frame, by its file relative to the output folder, its window and number of events."""

    file: str
    start_us: int
    end_us: int
    events: int


@dataclass(frozen=True)
class FrameTask:
    """Recording, and the folder of its frames, relative to the output folder."""

    source: Path
    folder: Path

    def __str__(self) -> str:
        return str(self.source)

    @property
    def times(self) -> Path:
        """Table of the times, relative to the output folder."""
        return self.folder / TIMES

    @property
    def staging(self) -> str:
        """Name of the folder of unfinished frames in the output folder, unique for each recording."""
        return hashlib.blake2b(bytes(self.times), digest_size=8).hexdigest() + UNFINISHED


@dataclass(frozen=True)
class FramePlan:
    """Frames to write; see `plan_frames`."""

    out: Path
    tasks: tuple[FrameTask, ...]
    settings: FrameSettings

    def unwritten(self) -> list[FrameTask]:
        """Return the recordings without a table of times."""
        return [task for task in self.tasks if not (self.out / task.times).exists()]


class FrameCount(NamedTuple):
    """Numbers of frames and of their events, the sensor, and the table of the frames."""

    frames: int
    events: int
    sensor: SensorSize
    table: Path = Path()

    def describe(self) -> list[str]:
        """Return the table, and the numbers."""
        counts = f"{count_noun(self.frames, 'frame')} of {count_noun(self.events, 'event')}, {self.sensor}"
        return [f"{show_name(self.table)}: {counts}"]

    def to_record(self) -> dict[str, object]:
        """Return the numbers by name, for JSON."""
        return self._asdict()


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
        recording = open_recording(task.source, plan.settings)
        writer = _ImageWriter(task, plan.settings, staging)
        steady = _SteadyProgress(progress)
        (staging / task.folder).mkdir(parents=True)

        # Frame by frame: only the events of one window are in memory.
        table = staging / TIMES
        with table.open("w", encoding="utf-8", newline="") as file:
            frames = steady.watch(encode_frames(recording.chunks(progress=steady), plan.settings))
            rows = csv.writer(file)
            rows.writerow(FrameRow._fields)
            rows.writerows(map(writer.write, frames))

        # Move all files but the table, which says that the recording is complete.
        files = sorted(path for path in staging.rglob("*") if path.is_file() and path != table)
        for path in files:
            target = plan.out / path.relative_to(staging)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
        with write_beside(plan.out / task.times) as beside:
            shutil.copyfile(table, beside)

        return FrameCount(writer.count, writer.events, recording.sensor, self.plan.out / task.times)


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
    """Writer of the frames of a recording.

    Attributes:
        count: Number of frames written so far.
        events: Number of their events.
    """

    def __init__(self, task: FrameTask, settings: FrameSettings, staging: Path) -> None:
        self.count = 0
        self.events = 0

        self._task = task
        self._settings = settings
        self._staging = staging
        self._palette = make_palette(settings.colours)

    def write(self, frame: EventFrame) -> FrameRow:
        """Write a frame; return its row."""
        file = self._task.folder / f"{self.count:06}.{self._settings.format}"
        if self._settings.format == "npy":
            np.save(self._staging / file, frame.values, allow_pickle=False)
        else:
            write_picture(self._palette[shade_frame(frame, self._settings)], self._staging / file)

        self.count += 1
        self.events += frame.events
        return FrameRow(file=file.as_posix(), start_us=frame.start_us, end_us=frame.end_us, events=frame.events)


def shade_frame(frame: EventFrame, settings: FrameConfig) -> NDArray[np.uint8]:
    """Return the palette indices of the picture of a frame, uint8 [H, W]."""
    off, on = frame.values
    if settings.form == "count":
        return shade_counts(on.astype(np.int64) - off)
    return shade_fading(np.where(on >= off, on, -off))  # the polarity of the last event
