"""Recordings as folders of frames: pictures or arrays, and a table of their times.

The table of a recording, times.csv, is written after all of its frames: a recording with a table is complete, and the
others are written again. The source and the settings are in frames.json of the output folder.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import DataError, FileError, count_noun, escape_controls
from ..base.files import is_internal, lock_folder, write_beside, write_text
from ..base.pool import collect, map_items
from ..base.progress import Progress, ignore_progress
from ..base.settings import find_differences
from ..base.texts import show_name
from ..encoding import EventFrame, FrameConfig, encode_frames
from ..events import SensorSize
from ..formats import open_recording
from ..recordings.sources import find_recordings
from .config import FrameSettings
from .painter import paint, shade_counts, write_picture
from .style import LIGHT

log = logging.getLogger(__name__)
TIMES = "times.csv"  # table beside the frames of a recording
COLUMNS = ("file", "start_us", "end_us", "events")
SETTINGS = "frames.json"
FRAME = re.compile(r"\d{6,}\.(png|npy)")


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


class _FrameTask(NamedTuple):
    """Recording, and the folder of its frames."""

    source: Path
    folder: Path

    def __str__(self) -> str:
        return str(self.source)


def frames(
    source: str | Path,
    out: str | Path,
    config: FrameSettings = FrameSettings(),
    *,
    jobs: int | str = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[FrameCount, ...]:
    """Write events as frames: a picture or array per time window or number of events, and a table of their times.

    A folder gives the same folders of pictures, such as one per class. The same call resumes after an interruption.

    Args:
        source: Recording, or folder of recordings, searched recursively.
        out: Output folder.
        config: Settings of the frames. Without `every_us` and `every_events`: windows of 33,333 us.
        jobs: Number of worker processes, or the address of a Ray cluster: ray, or ray://HOST:PORT.
        overwrite: Remove the frames of earlier runs first.
        progress: Called with the number of recordings done and the total.

    Returns:
        Numbers of frames and events of each recording that was written now.

    Raises:
        DataError: If two recordings have the same folder in the output.
        FileError: If the output folder has other files, or frames of another source or with other settings.
        DvspipeError: The first error of a recording, after all others are written.

    Example:
        >>> frames("recordings", "frames", FrameSettings(every_us=10_000))  # doctest: +SKIP
        (FrameCount(frames=601, events=149629, sensor=SensorSize(width=128, height=128)),)
    """
    out = Path(out)
    if out.is_file() or FRAME.fullmatch(f"000000{out.suffix}"):
        raise FileError(f"{out}: the name of a file (expected an output folder; use format to select png or npy)")

    tasks = _list_tasks(Path(source), out)
    with lock_folder(out):
        _claim_folder(out, Path(source), config, overwrite=overwrite)
        waiting = [task for task in tasks if not (task.folder / TIMES).exists()]
        if len(waiting) < len(tasks):
            log.info("%d of %s already written", len(tasks) - len(waiting), count_noun(len(tasks), "recording"))

        outcomes = map_items(_FrameWriter(out, config), waiting, jobs=jobs, progress=progress)
        try:
            return collect(outcomes, len(tasks), "recordings could not be written")
        finally:
            # Without any frames, the folder is free for other settings.
            if not any((task.folder / TIMES).exists() for task in tasks):
                (out / SETTINGS).unlink()


def _list_tasks(source: Path, out: Path) -> list[_FrameTask]:
    """Return the recordings, each with its folder: the same folders as in the source, and the name of the file."""
    # Outputs of an earlier run may be below the source: they are no recordings.
    recordings = find_recordings([source], "skip")
    if Path(os.path.realpath(source)) in out.resolve().parents:  # Path.resolve fails for a link to itself
        recordings = [path for path in recordings if out.resolve() not in path.resolve().parents]
    if recordings == [source]:
        return [_FrameTask(source, out)]
    if not recordings:
        raise FileError(f"{source}: contains no recordings (found only frames)")

    tasks: dict[Path, _FrameTask] = {}
    counts = Counter(path.with_suffix("") for path in recordings)
    for path in recordings:
        # Recordings that differ only in their suffix keep it: a.raw and a.dat.
        name = path if counts[path.with_suffix("")] > 1 else path.with_suffix("")
        folder = out / Path(*map(escape_controls, name.relative_to(source).parts))
        if folder in tasks:
            raise DataError(f"{path}: has the same folder in the output as {tasks[folder]} ({folder})")
        tasks[folder] = _FrameTask(path, folder)
    return list(tasks.values())


def _claim_folder(out: Path, source: Path, config: FrameSettings, *, overwrite: bool) -> None:
    """Check that a folder is empty or has frames of this source with these settings, or remove its frames."""
    run = {"source": os.path.realpath(source)} | config.model_dump(mode="json")
    settings_file = out / SETTINGS
    names = [path.name for path in out.iterdir() if not is_internal(Path(path.name))]
    if names and not settings_file.is_file():
        raise FileError(f"{out}: has other files (found {names[0]}, expected a new folder, or one with {SETTINGS})")

    if overwrite:
        for path in list(out.rglob("*")):
            if path.name == TIMES or FRAME.fullmatch(path.name):
                path.unlink()
    elif names:
        try:
            before = json.loads(settings_file.read_bytes())
        except (OSError, ValueError):
            before = None
        if not isinstance(before, dict):
            raise FileError(f"{settings_file}: not the settings of frames; use overwrite to replace it")

        if differences := find_differences(before, run):
            listed = ", ".join(f"{key} = {old} there, {new} here" for key, old, new in differences)
            raise FileError(f"{out}: has frames of another source or settings ({listed}); use overwrite to replace it")
    write_text(settings_file, json.dumps(run, indent=1) + "\n")


@dataclass(frozen=True)
class _FrameWriter:
    """Write the frames of a recording; picklable."""

    out: Path
    settings: FrameSettings

    def __call__(self, task: _FrameTask, progress: Progress = ignore_progress) -> FrameCount:
        """Write the frames of a recording, and then its table; an error leaves neither."""
        recording = open_recording(task.source)
        table = task.folder / TIMES
        done = 0.0, 0.0
        rows: list[tuple[str, int, int, int]] = []

        def note(*amounts: float) -> None:
            nonlocal done
            done = amounts[0], amounts[1]

        try:
            task.folder.mkdir(parents=True, exist_ok=True)
            for frame in encode_frames(recording.chunks(progress=note), self.settings):
                progress(*done)  # also within a chunk: one of a quiet recording has many frames
                path = task.folder / f"{len(rows):06}.{self.settings.format}"
                rows.append((path.relative_to(self.out).as_posix(), frame.start_us, frame.end_us, frame.events))
                if self.settings.format == "npy":
                    np.save(path, frame.values, allow_pickle=False)
                else:
                    write_picture(draw_frame(frame, self.settings), path)

            with write_beside(table) as beside, beside.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([COLUMNS, *rows])
        except BaseException as error:
            for name, *_ in rows:
                (self.out / name).unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise FileError(f"{task.folder}: cannot be written ({error.strerror or error})") from error
            raise

        return FrameCount(len(rows), sum(row[-1] for row in rows), recording.sensor, table)


def draw_frame(frame: EventFrame, settings: FrameConfig) -> NDArray[np.uint8]:
    """Return the picture of a frame, RGB uint8 [H, W, 3]."""
    off, on = frame.values
    if settings.form == "count":
        return paint(shade_counts(on.astype(np.int64) - off), LIGHT)
    return paint(np.where(on >= off, on, -off), LIGHT)  # the polarity of the last event
