"""Write the frames of a data set to a folder; an interrupted run is resumed.

The settings of an unfinished run are stored in its folder (SETTINGS), so a run with other settings is refused. A
recording is finished when its table of times exists.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from ..base.errors import FileError
from ..base.files import REPLACE, is_internal, lock_folder, write_text
from ..base.trees import find_differences
from ..parallel import Engine, Outcome, Processes, Progress, map_items
from ..results.frames import read_frame_rows
from .config import FrameSettings
from .frame_layouts import write_index
from .frames import (
    SETTINGS,
    TIMES,
    TIMES_FOLDER,
    FrameCount,
    FramePlan,
    FrameTask,
    FrameWriter,
)


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
