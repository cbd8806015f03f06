"""Plan a classification: recordings and the folders of their predictions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import FileError, escape_controls
from ..base.pool import ALL, Shard
from ..formats.hints import Images
from ..recordings.sources import as_paths, find_sources
from ..results import InferenceRun, OutputFolder, RecordingFolder
from ..results.labels import SUFFIX


@dataclass(frozen=True)
class Task:
    """A recording to classify.

    Args:
        source: Path of the recording or video.
        name: Path of its folder, relative to the output folder.
    """

    source: Path
    name: Path

    def __str__(self) -> str:
        return str(self.source)


def plan_tasks(
    sources: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    *,
    shard: Shard = ALL,
    images: Images | None = None,
) -> list[Task]:
    """Plan the classification of recordings; folders of predictions mirror the source folders.

    Args:
        sources: Recordings, videos, or folders that contain them, searched recursively.
        out: Output folder. Output folders are not searched for recordings.
        shard: Subset of the recordings to classify, selected by their paths in the source folders.
        images: As in `plan_conversions`.

    Raises:
        FileError: If the output folder is a file or contains a source folder, a source folder has no recordings, or two
            recordings would have the same folder of predictions.
    """
    sources = as_paths(sources)
    out = None if out is None else Path(out)
    if out is not None and out.exists() and not out.is_dir():
        raise FileError(f"{out}: found a file (expected a folder for the predictions)")

    out_path = None if out is None else out.resolve()
    for source in sources:
        if source.is_dir() and out_path in (source.resolve(), *source.resolve().parents):
            raise FileError(f"{out}: contains the recordings of {source}; use out=OTHER_FOLDER")

    def is_excluded(path: Path) -> bool:
        real_path = Path(os.path.realpath(path))  # Path.resolve fails for a link to itself
        is_inside = real_path == out_path or out_path in real_path.parents
        return path.name.endswith(SUFFIX) or is_inside or _is_output(path)

    tasks: dict[Path, Task] = {}
    for source, relative in find_sources(sources, is_excluded, images):
        name = Path(escape_controls(str(relative)))  # libraries that write pictures need UTF-8 names
        key = source if out is None else name
        if key in tasks and out is not None:
            raise FileError(f"{out / name}: for both {tasks[key].source} and {source}; give the folder that has both")
        if out is not None and (out / name).is_file():
            raise FileError(f"{out / name}: found a file (expected a folder for {source}); use out=OTHER_FOLDER")
        tasks[key] = Task(source, name)

    return shard.select([*tasks.values()], lambda task: task.name)


def _is_output(path: Path) -> bool:
    """Return whether a file or folder was written by a classification."""
    folders = RecordingFolder(path), RecordingFolder(path.parent)
    return any(folder.find() for folder in folders) or InferenceRun.find(OutputFolder(path.parent).run) is not None
