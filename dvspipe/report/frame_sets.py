"""Plan the frames of a folder of recordings, and write them to a folder; an interrupted run is resumed.

The settings of an unfinished run are stored in its folder (SETTINGS), so a run with other settings is refused. A
recording is finished when its table of times exists.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..base.errors import ConfigError, DataError, FileError, FormatError, count_noun, escape_controls
from ..base.files import is_internal, lock_folder, write_text
from ..base.pool import Outcome, collect, map_items
from ..base.progress import Progress
from ..base.settings import find_differences
from ..recordings.sources import find_recordings
from ..results.tables import read_csv
from .config import FrameSettings
from .frames import (
    SETTINGS,
    TIMES,
    FrameCount,
    FramePlan,
    FrameRow,
    FrameTask,
    FrameWriter,
)

log = logging.getLogger(__name__)
MAX_TABLE_BYTES = 1 << 30  # 20 million frames


def plan_frames(source: Path, out: Path, settings: FrameSettings) -> FramePlan:
    """Plan the frames of a recording, or of all recordings in a folder.

    Args:
        source: Recording, or folder that is searched recursively; the output folder has the same folders.
        out: Output folder.
        settings: Settings of the frames.
    """
    # Outputs of an earlier run may be below the source: they are no recordings.
    resolved = out.resolve()
    is_inside = source.resolve() in resolved.parents
    recordings = find_recordings([source])
    if is_inside:
        recordings = [path for path in recordings if not path.resolve().is_relative_to(resolved)]
    if not recordings:
        raise FileError(f"{source}: contains no recordings (found only frames)")

    if recordings == [source]:
        return FramePlan(out, (FrameTask(source, Path()),), settings)

    tasks: dict[Path, FrameTask] = {}
    counts = Counter(path.with_suffix("") for path in recordings)
    for path in recordings:
        # Recordings that differ only in their suffix keep it: a.raw and a.dat.
        name = path if counts[path.with_suffix("")] > 1 else path.with_suffix("")
        folder = Path(*map(escape_controls, name.relative_to(source).parts))
        if folder in tasks:
            raise DataError(f"{path}: has the same folder in the output as {tasks[folder]} ({folder})")
        tasks[folder] = FrameTask(path, folder)

    return FramePlan(out, tuple(tasks.values()), settings)


def write_frames(
    plan: FramePlan, *, jobs: int | str = 1, overwrite: bool = False, progress: Progress | None = None
) -> Iterator[Outcome[FrameTask, FrameCount]]:
    """Write the frames of recordings; yield the outcome of each recording.

    Recordings with a table of times are skipped. Memory is bounded by the busiest window.
    """
    if plan.out.is_file():
        raise FileError(f"{plan.out}: is a file (expected an output folder)")

    with lock_folder(plan.out):
        _claim_folder(plan, overwrite=overwrite)
        waiting = plan.unwritten()
        write_text(plan.out / SETTINGS, plan.settings.model_dump_json(indent=1) + "\n")

        try:
            yield from map_items(FrameWriter(plan), waiting, jobs=jobs, progress=progress)
        finally:
            # A stopped worker may leave the folder of its unfinished frames.
            for task in waiting:
                shutil.rmtree(plan.out / task.staging, ignore_errors=True)

            # Without any frames, the folder is free for other settings.
            if len(plan.unwritten()) == len(plan.tasks):
                (plan.out / SETTINGS).unlink()


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
            raise FileError(f"{plan.out}: has frames with other settings ({listed}); use overwrite to replace it")


def _read_settings(path: Path) -> FrameSettings:
    try:
        return FrameSettings.model_validate_json(path.read_bytes())
    except (OSError, ValueError, ConfigError) as error:
        raise FileError(
            f"{path}: not the settings of frames ({type(error).__name__}); use overwrite to replace it"
        ) from error


def _remove_frames(out: Path) -> None:
    """Remove the frames of all tables in a folder, and the tables."""
    root = out.resolve()
    for table in list(out.rglob(TIMES)):
        header, rows = read_csv(table, MAX_TABLE_BYTES)
        if tuple(header) != FrameRow._fields:
            raise FormatError(f"{table}: not a table of frames (expected {','.join(FrameRow._fields)})")

        for _, cells in rows:
            path = out / cells["file"]
            if path.resolve().is_relative_to(root):  # a table from elsewhere may name files outside the folder
                path.unlink(missing_ok=True)

        table.unlink()


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
        config: Settings of the frames, and metadata that recordings lack. Without `every_us` and `every_events`:
            windows of 33,333 us.
        jobs: Number of worker processes, or the address of a Ray cluster: ray, or ray://HOST:PORT.
        overwrite: Remove the frames of earlier runs first.
        progress: Called with the number of recordings done and the total.

    Returns:
        Numbers of frames and events of each recording that was written now.

    Raises:
        DvspipeError: As in `plan_frames` and `write_frames`; or the first error of a recording, after all others.

    Example:
        >>> frames("recordings", "frames", FrameSettings(every_us=10_000))  # doctest: +SKIP
        (FrameCount(frames=601, events=149629, sensor=SensorSize(width=128, height=128)),)
    """
    plan = open_frames(source, out, config)
    done = 0 if overwrite else len(plan.tasks) - len(plan.unwritten())
    if done:
        log.info("%d of %s already written", done, count_noun(len(plan.tasks), "recording"))
    outcomes = write_frames(plan, jobs=jobs, overwrite=overwrite, progress=progress)
    return collect(outcomes, len(plan.tasks), "recordings could not be written")


def open_frames(source: str | Path, out: str | Path, config: FrameSettings = FrameSettings()) -> FramePlan:
    """Plan what `frames` writes, from its arguments."""
    out = Path(out)
    if out.suffix in (".npy", ".png") and not out.is_dir():
        raise FileError(
            f"{out}: the output is a folder (expected a name such as {out.stem}); use format={out.suffix[1:]} to "
            "select the format"
        )

    return plan_frames(Path(source), out, config)
