"""Write folders of synthetic recordings in parallel; an interrupted run resumes where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import Field

from ..base.errors import DataError, FileError
from ..base.files import lock_folder, read_bytes
from ..base.pool import ALL, Shard, map_items
from ..base.progress import CurrentStep, Progress, ignore_progress, report_step
from ..datasets.samples import SYNTHESIS
from ..results.tables import Record

SHOWN_CHARACTERS = 40  # longer values are shortened in messages


class SynthesisRecord(Record):
    """Everything that determines the recordings in a folder: the content of synthesis.json."""

    synthetic: Literal[True] = True
    kind: str
    """Kind of recordings: digits or gestures."""
    seed: int
    """Random seed."""
    version: str = Field(default_factory=lambda: version("dvspipe"))
    """dvspipe version."""

    def check(self, folder: Path) -> None:
        """Check that the record in a folder is equal to this record.

        Raises:
            DataError: If a value differs; the message names it.
            FileError: If the record cannot be read.
        """
        path = folder / SYNTHESIS

        try:
            stored = json.loads(read_bytes(path))
        except ValueError as error:
            raise FileError(f"{path}: not a JSON file ({error})") from error

        if not isinstance(stored, dict):
            raise FileError(f"{path}: not the record of synthetic recordings (expected a JSON object)")

        for name, value in self.model_dump(mode="json").items():
            if stored.get(name) != value:
                raise DataError(
                    f"{folder}: contains recordings with another {name} (found {_shorten(stored.get(name))} in "
                    f"{path.name}, expected {_shorten(value)}); write to another folder"
                )


def write_recordings(
    folder: Path,
    record: SynthesisRecord,
    work: Mapping[Path, Callable[[Path], object]],
    *,
    jobs: int | str = 1,
    shard: Shard = ALL,
    progress: Progress | None = None,
) -> int:
    """Write missing synthetic recordings, and a record of their settings.

    Args:
        folder: Output folder; created if it does not exist.
        record: Everything that determines the content of the files.
        work: Function that writes each file, by path relative to the folder. It must be picklable, and write the file
            completely or not at all.
        jobs: Number of local processes, or the address of a Ray cluster; see `map_items`.
        shard: Part of the files to write, selected by path; other processes may write other parts at the same time.
        progress: Called with the number of finished files (existing files included) and the total.

    Returns:
        Number of files written.

    Raises:
        DataError: If the folder contains other files, or recordings with other settings.
        FileError: If the folder cannot be written, or another process is writing to it.
    """
    chosen = {path: write for path, write in work.items() if path in shard}
    with lock_folder(folder) if shard.count == 1 else _shared_folder(folder):
        _claim_folder(folder, record)
        missing = [WriteTask(folder / path, write) for path, write in chosen.items() if not (folder / path).exists()]

        count_all = _CountAll(progress or ignore_progress, len(chosen) - len(missing), len(chosen))
        for outcome in map_items(_write, missing, jobs=jobs, progress=count_all):
            outcome.result()

        return len(missing)


@dataclass(frozen=True)
class _CountAll:
    """Progress callback of the missing files that also counts the existing files."""

    progress: Progress
    existing: int
    files: int

    def __call__(self, done: float, _: float) -> None:
        self.progress(self.existing + done, self.files)

    def show_step(self, done: float, _: float, step: CurrentStep) -> None:
        report_step(self.progress, self.existing + done, self.files, step)


@contextmanager
def _shared_folder(folder: Path) -> Iterator[None]:
    """Create a folder without locking it: processes with other shards write to it too."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot be written ({error.strerror})") from error

    yield


@dataclass(frozen=True)
class WriteTask:
    """File to write.

    Args:
        path: Output file.
        write: Function that writes the file.
    """

    path: Path
    write: Callable[[Path], object]

    def __str__(self) -> str:
        """Return the path, for messages."""
        return str(self.path)


def _claim_folder(folder: Path, record: SynthesisRecord) -> None:
    has_files = any(not path.name.startswith(".") for path in folder.iterdir())  # before another process writes

    if (folder / SYNTHESIS).exists():
        record.check(folder)
    elif has_files:
        raise DataError(f"{folder}: contains other files and no {SYNTHESIS}; write to another folder")
    else:
        record.write(folder / SYNTHESIS)


def _shorten(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def _write(task: WriteTask, _: Progress) -> None:
    task.write(task.path)
