"""Write folders of synthetic recordings in parallel; an interrupted run resumes where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import Field

from ..base.errors import ConfigError, DataError, shorten
from ..base.files import lock_folder
from ..base.pool import map_items
from ..base.progress import Progress, ignore_progress
from ..base.texts import Described
from ..datasets.samples import SYNTHESIS
from ..results.tables import Record


class SynthesisRecord(Record):
    """Everything that determines the recordings in a folder: the content of synthesis.json."""

    synthetic: Literal[True] = True
    kind: str
    """Kind of recordings: digits or gestures."""
    seed: int
    """Random seed."""
    version: str = Field(default_factory=lambda: version("dvspipe"))
    """dvspipe version."""


@dataclass(frozen=True)
class Written(Described):
    """Written folder of synthetic recordings.

    Args:
        folder: Folder.
        recordings: Number of recordings in it, of all runs with these settings.
        new: Number of recordings written by this run.
    """

    folder: Path
    recordings: int
    new: int

    def describe(self) -> list[str]:
        """Return the numbers of recordings."""
        return [f"{self.folder}: synthetic recordings: {self.recordings}, new: {self.new}"]


def require_at_least(minimum: int, **values: int) -> None:
    """Check the values of options.

    Raises:
        ConfigError: If one is smaller.
    """
    for name, value in values.items():
        if value < minimum:
            raise ConfigError(f"{name} = {value}: out of range (expected at least {minimum})")


def write_recordings(
    folder: Path,
    record: SynthesisRecord,
    work: Mapping[Path, Callable[[Path], object]],
    *,
    jobs: int | str = 1,
    progress: Progress = ignore_progress,
) -> Written:
    """Write missing synthetic recordings, and a record of their settings.

    Args:
        folder: Output folder; created if it does not exist.
        record: Everything that determines the content of the files.
        work: Function that writes each file, by path relative to the folder. It must be picklable, and write the file
            completely or not at all.
        jobs: Number of local processes, or the address of a Ray cluster; see `map_items`.
        progress: Called with the number of finished files (existing files included) and the total.

    Raises:
        DataError: If the folder contains other files, or recordings with other settings.
        FileError: If the folder cannot be written, or another process is writing to it.
    """
    with lock_folder(folder):
        _claim_folder(folder, record)
        missing = [_File(folder / path, write) for path, write in work.items() if not (folder / path).exists()]
        existing = len(work) - len(missing)

        def count(done: float, _: float) -> None:
            progress(existing + done, len(work))

        for outcome in map_items(_write, missing, jobs=jobs, progress=count):
            outcome.result()
        return Written(folder, len(work), len(missing))


def _claim_folder(folder: Path, record: SynthesisRecord) -> None:
    """Write the record to a folder without files, or check that it has the same record."""
    path = folder / SYNTHESIS
    if not path.exists():
        if any(not file.name.startswith(".") for file in folder.iterdir()):
            raise DataError(f"{folder}: contains other files and no {SYNTHESIS}; write to another folder")
        record.write(path)

    stored = type(record).read(path)
    for name, value in record:
        found = getattr(stored, name)
        if found != value:
            raise DataError(
                f"{folder}: contains recordings with another {name} (found {shorten(str(found))} in {path.name}, "
                f"expected {shorten(str(value))}); write to another folder"
            )


@dataclass(frozen=True)
class _File:
    """File to write, and the function that writes it."""

    path: Path
    write: Callable[[Path], object]

    def __str__(self) -> str:
        return str(self.path)


def _write(file: _File, _: Progress) -> None:
    file.write(file.path)
