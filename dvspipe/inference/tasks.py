"""Which recordings are classified, and where their answers go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import FileError, Remedy, escape_controls
from ..labels import SUFFIX
from ..parallel import ALL, Shard
from ..recordings.conversion import as_paths, find_sources
from ..results import InferenceRun, OutputFolder, RecordingFolder

OTHER_FOLDER = Remedy("out", "OTHER_FOLDER", "write to another folder")


@dataclass(frozen=True)
class Task:
    """A recording to classify.

    Args:
        source: The recording or video.
        name: Its folder below the output folder.
        out: The output folder, whose manifest says what became of the recording; None: there is none.
    """

    source: Path
    name: Path
    out: Path | None = None

    def __str__(self) -> str:
        return str(self.source)


def plan_tasks(
    sources: str | Path | Sequence[str | Path], out: str | Path | None = None, *, shard: Shard = ALL
) -> list[Task]:
    """Return the recordings to classify, with the layout below each source folder.

    The manifest says what became of them, except of a recording that is the only source.

    Args:
        sources: Recordings, videos, or folders that have such somewhere below them.
        out: The output folder. Recordings are searched neither in it nor in other output folders.
        shard: Which of several recordings to classify, by their paths in the source folders.

    Raises:
        FileError: The output folder is a file, a folder has no recordings, or the answers for two recordings would go
            to one folder, or among recordings.
    """
    sources, out = as_paths(sources), None if out is None else Path(out)
    if out is not None and out.is_file():
        raise FileError(f"{out}: is a file, expected a folder for the answers", OTHER_FOLDER)
    own = None if out is None else out.resolve()
    for source in sources:
        if source.is_dir() and own in (source.resolve(), *source.resolve().parents):
            raise FileError(f"{out}: has the recordings of {source}", OTHER_FOLDER)

    def is_left_out(path: Path) -> bool:
        place = Path(os.path.realpath(path))  # pathlib raises an error for a link to itself
        return path.name.endswith(SUFFIX) or place == own or own in place.parents or _is_output(path)

    is_one = len(sources) == 1 and not sources[0].is_dir()
    noted = None if is_one else out
    tasks: dict[Path, Task] = {}
    for source, found in find_sources(sources, is_left_out):
        name = Path(escape_controls(str(found)))  # it names pictures, which libraries write that take UTF-8 alone
        if out is None:
            tasks[source] = Task(source, name)
            continue
        if name in tasks:
            raise FileError(
                f"{out / name}: the answers for both {tasks[name].source} and {source} would go there; give the folder "
                "that has both"
            )
        if (out / name).is_file():
            raise FileError(f"{out / name}: is a file, expected a folder for the answer for {source}", OTHER_FOLDER)
        tasks[name] = Task(source, name, noted)
    return [task for task in tasks.values() if is_one or task.name in shard]


def _is_output(path: Path) -> bool:
    """Return whether a file or folder is part of the output of a classification."""
    folders = RecordingFolder(path), RecordingFolder(path.parent)
    return any(folder.find() for folder in folders) or InferenceRun.find(OutputFolder(path.parent).run) is not None
