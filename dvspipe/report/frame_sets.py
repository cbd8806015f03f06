"""Write the frames of a data set to a folder; an interrupted run is resumed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from ..config import find_differences
from ..errors import FileError
from ..files import REPLACE, is_internal, lock_folder, write_text
from ..parallel import Engine, Outcome, Processes, Progress, map_items
from ..results.frames import read_frame_rows
from .frame_layouts import write_index
from .frames import SETTINGS, TIMES, TIMES_FOLDER, FrameCount, FramePlan, FrameSettings, FrameTask, FrameWriter


def write_frames(
    plan: FramePlan, *, engine: Engine = Processes(), overwrite: bool = False, progress: Progress | None = None
) -> Iterator[Outcome[FrameTask, FrameCount]]:
    """Write the frames of recordings, and finally the files of the layout; yield the outcome of each recording.

    Recordings with a table of times are skipped. Memory is bounded by the busiest window.

    Args:
        plan: Recordings and settings, as returned by `plan_frames`.
        engine: Engine that runs the work.
        overwrite: Whether to remove the frames of earlier runs first.
        progress: Called with the number of recordings done and the total.

    Raises:
        FileError: If the folder contains other files or frames with other settings, or cannot be written to.
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
            for task in waiting:  # a stopped worker may leave it
                shutil.rmtree(plan.out / task.staging, ignore_errors=True)
            if len(plan.unwritten()) == len(plan.tasks):
                (plan.out / SETTINGS).unlink()
        write_index(plan)


def _claim_folder(plan: FramePlan, *, overwrite: bool) -> None:
    """Check that a folder is empty or has frames with the same settings, or remove the frames in it."""
    path = plan.out / SETTINGS
    others = [each for each in plan.out.iterdir() if not is_internal(Path(each.name))]
    if others and not path.is_file():
        raise FileError(
            f"{plan.out}: has other files (found {others[0].name}, expected a new folder, or one with {SETTINGS})"
        )
    if overwrite:
        _remove_frames(plan.out)
    elif path.is_file():
        stored = _read_settings(path)
        found = find_differences(stored.model_dump(mode="json"), plan.settings.model_dump(mode="json"))
        if found:
            listed = ", ".join(f"{key} = {old} there, {new} here" for key, old, new in found)
            raise FileError(f"{plan.out}: has frames with other settings ({listed})", REPLACE)


def _read_settings(path: Path) -> FrameSettings:
    try:
        return FrameSettings.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise FileError(f"{path}: not the settings of frames ({type(error).__name__})", REPLACE) from error


def _remove_frames(out: Path) -> None:
    """Remove the frames of all tables in a folder, their label files, and the tables."""
    root = out.resolve()
    for table in [*out.rglob(TIMES), *(out / TIMES_FOLDER).rglob("*.csv")]:
        for row in read_frame_rows(table):
            frame = Path(row.file)
            label = Path("labels", *frame.parts[1:]).with_suffix(".txt")  # images/PART/NAME.png
            for path in (out / frame, out / label):
                if path.resolve().is_relative_to(root):
                    path.unlink(missing_ok=True)
        table.unlink()
