"""Write the frames of a data set to a folder; an interrupted run is resumed.

`frames` is the public function: it plans (`open_frames`), and writes (`write_frames`) by an engine. The settings of an
unfinished run are stored in its folder (SETTINGS), so a run with other settings is refused. A recording is finished
when its table of times exists.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Unpack

from ..base.arguments import checked
from ..base.config import as_settings, find_differences
from ..base.errors import FileError, Remedy
from ..base.files import REPLACE, is_internal, lock_folder, write_text
from ..events import SensorSize, SensorSizeLike
from ..formats import NO_HINTS, Hints, HintsLike
from ..parallel import Engine, Outcome, Processes, Progress, map_items
from ..results.frames import read_frame_rows
from .frame_layouts import plan_frames, write_index
from .frames import (
    SETTINGS,
    TIMES,
    TIMES_FOLDER,
    FrameCount,
    FramePlan,
    FrameSetKeywords,
    FrameSettings,
    FrameTask,
    FrameWriter,
)


@checked
def frames(
    source: str | Path,
    out: str | Path,
    settings: FrameSettings | Mapping[str, object] | None = None,
    *,
    engine: Engine = Processes(),
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    overwrite: bool = False,
    progress: Progress | None = None,
    **named: Unpack[FrameSetKeywords],
) -> tuple[FrameCount, ...]:
    """Write events as frames: a picture or array per time window or number of events, and a table of their times.

    A folder gives a data set, also in the layouts of YOLO and COCO. The same call resumes after an interruption.

    Args:
        source: Recording, or folder of recordings, searched recursively.
        out: Output folder.
        settings: Settings of the frames; also a mapping. Without `every_us` and `every_events`: windows of 33,333 us.
        engine: Engine that runs the work.
        sensor: Sensor size, for recordings that do not store it.
        hints: Other metadata that the recordings do not store.
        overwrite: Remove the frames of earlier runs first.
        progress: Called with the number of recordings done and the total.
        named: Settings of `FrameSettings` by name.

    Returns:
        Numbers of frames and events of each recording that was written now.

    Raises:
        DvspipeError: As in `plan_frames` and `write_frames`; or the first error of a recording, after all others.

    Example:
        >>> frames("recordings", "frames", every_us=10_000, layout="classes")  # doctest: +SKIP
        (FrameCount(frames=601, events=149629, sensor=SensorSize(width=128, height=128)),)
    """
    plan = open_frames(source, out, settings, sensor=sensor, hints=hints, named=named)
    outcomes = [*write_frames(plan, engine=engine, overwrite=overwrite, progress=progress)]
    return tuple(outcome.result() for outcome in outcomes)


def open_frames(
    source: str | Path,
    out: str | Path,
    settings: FrameSettings | Mapping[str, object] | None = None,
    *,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    named: Mapping[str, object] | None = None,
) -> FramePlan:
    """Plan what `frames` writes, from its arguments."""
    out = Path(out)
    if out.suffix in (".npy", ".png") and not out.is_dir():
        remedy = Remedy("format", out.suffix.removeprefix("."), "select the format")
        raise FileError(f"{out}: the output is a folder (expected a name such as {out.stem})", remedy)

    size = None if sensor is None else SensorSize.of(sensor)
    chosen = as_settings(FrameSettings, settings, named or {}, frames)
    return plan_frames(Path(source), out, chosen, sensor=size, hints=as_settings(Hints, hints))


def write_frames(
    plan: FramePlan, *, engine: Engine = Processes(), overwrite: bool = False, progress: Progress | None = None
) -> Iterator[Outcome[FrameTask, FrameCount]]:
    """Write the frames of recordings, and finally the files of the layout; yield the outcome of each recording.

    Recordings with a table of times are skipped. Memory is bounded by the busiest window.
    """
    if plan.out.is_file():
        raise FileError(f"{plan.out}: is a file (expected an output folder)")

    with lock_folder(plan.out):
        _claim_folder(plan, overwrite=overwrite)
        waiting = plan.unwritten()
        write_text(plan.out / SETTINGS, plan.settings.model_dump_json(indent=1) + "\n")

        try:
            yield from map_items(FrameWriter(plan), waiting, engine=engine, progress=progress)
        finally:
            # A stopped worker may leave the folder of its unfinished frames.
            for task in waiting:
                shutil.rmtree(plan.out / task.staging, ignore_errors=True)

            # Without any frames, the folder is free for other settings.
            if len(plan.unwritten()) == len(plan.tasks):
                (plan.out / SETTINGS).unlink()

        write_index(plan)


def _claim_folder(plan: FramePlan, *, overwrite: bool) -> None:
    """Check that a folder is empty or has frames with the same settings, or remove the frames in it."""
    settings_file = plan.out / SETTINGS
    names = [path.name for path in plan.out.iterdir() if not is_internal(Path(path.name))]
    if names and not settings_file.is_file():
        raise FileError(
            f"{plan.out}: has other files (found {names[0]}, expected a new folder, or one with {SETTINGS})"
        )

    if overwrite:
        _remove_frames(plan.out)
    elif settings_file.is_file():
        stored = _read_settings(settings_file)
        differences = find_differences(stored.model_dump(mode="json"), plan.settings.model_dump(mode="json"))
        if differences:
            listed = ", ".join(f"{key} = {old} there, {new} here" for key, old, new in differences)
            raise FileError(f"{plan.out}: has frames with other settings ({listed})", REPLACE)


def _read_settings(path: Path) -> FrameSettings:
    try:
        return FrameSettings.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise FileError(f"{path}: not the settings of frames ({type(error).__name__})", REPLACE) from error


def _remove_frames(out: Path) -> None:
    """Remove the frames of all tables in a folder, their label files, and the tables."""
    root = out.resolve()
    tables = [*out.rglob(TIMES), *(out / TIMES_FOLDER).rglob("*.csv")]
    for table in tables:
        for row in read_frame_rows(table):
            frame = Path(row.file)
            _, *part_and_name = frame.parts  # YOLO: images/PART/NAME.png
            labels = Path("labels", *part_and_name).with_suffix(".txt")

            # A table from elsewhere may name files outside the folder.
            for path in (out / frame, out / labels):
                if path.resolve().is_relative_to(root):
                    path.unlink(missing_ok=True)

        table.unlink()
