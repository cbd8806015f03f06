"""Folders of synthetic recordings, written by an engine and resumed if they were interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import Field

from ..config import Settings
from ..errors import DataError, FileError
from ..files import lock_folder, read_bytes, write_text
from ..parallel import ALL, Engine, Processes, Progress, Shard, map_items

RECORD_NAME = "synthesis.json"
"""Marks the recordings below a folder as synthetic, and says how they were made."""

SHOWN_CHARACTERS = 40  # of a setting in a message


class SynthesisRecord(Settings):
    """Everything that the content of the recordings in a folder depends on: the content of synthesis.json."""

    synthetic: Literal[True] = True
    kind: str
    """What the recordings show."""
    seed: int
    """Seed of all random draws."""
    version: str = Field(default_factory=lambda: version("dvspipe"))
    """Version of dvspipe."""

    def write(self, folder: Path) -> None:
        """Write the record to a folder.

        Raises:
            FileError: The file cannot be written.
        """
        write_text(folder / RECORD_NAME, self.model_dump_json(indent=1) + "\n")

    def check(self, folder: Path) -> None:
        """Check that the record in a folder is the same.

        Raises:
            DataError: It is not; the message names a difference.
            FileError: It cannot be read.
        """
        path = folder / RECORD_NAME
        try:
            found = json.loads(read_bytes(path))
        except ValueError as error:
            raise FileError(f"{path}: not a JSON file ({error})") from error
        if not isinstance(found, dict):
            raise FileError(f"{path}: not the record of synthetic recordings (expected a JSON object)")
        for name, value in self.model_dump(mode="json").items():
            if found.get(name) != value:
                raise DataError(
                    f"{folder}: contains recordings made with another {name} (found {_shorten(found.get(name))} in "
                    f"{path.name}, expected {_shorten(value)}); write to another folder"
                )


def write_recordings(
    folder: Path,
    record: SynthesisRecord,
    work: Mapping[Path, Callable[[Path], object]],
    *,
    engine: Engine = Processes(),
    shard: Shard = ALL,
    progress: Progress | None = None,
) -> int:
    """Write the synthetic recordings that do not exist yet, and a record of how they are made.

    Args:
        folder: Output folder; created if it does not exist.
        record: Everything that the content of the files depends on.
        work: For each path below the folder, the function that writes it, complete or not at all; picklable.
        engine: Where they are made.
        shard: Which of them to write, by their paths; other processes may write others at the same time.
        progress: Called with the number of files done, including those that existed, and in all.

    Returns:
        The number of files that were written.

    Raises:
        DataError: The folder contains something else, or recordings that were made with other settings.
        FileError: It cannot be written to, or another process is writing to it.
    """
    chosen = {path: write for path, write in work.items() if path in shard}
    with lock_folder(folder) if shard.count == 1 else _shared_folder(folder):
        _claim_folder(folder, record)
        missing = [WriteTask(folder / path, write) for path, write in chosen.items() if not (folder / path).exists()]
        existing = len(chosen) - len(missing)

        def count_all(done: float, _: float) -> None:
            if progress:
                progress(existing + done, len(chosen))

        for outcome in map_items(_write, missing, engine=engine, progress=count_all):
            outcome.result()
        return len(missing)


@contextmanager
def _shared_folder(folder: Path) -> Iterator[None]:
    """Make a folder that processes with other shards write to as well.

    Raises:
        FileError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot be written ({error.strerror})") from error
    yield


def is_synthetic(folder: Path) -> bool:
    """Return whether a folder contains what `write_recordings` wrote."""
    return (folder / RECORD_NAME).is_file()


@dataclass(frozen=True)
class WriteTask:
    """A file to write.

    Args:
        path: The file.
        write: Writes it.
    """

    path: Path
    write: Callable[[Path], object]

    def __str__(self) -> str:
        """The file, for messages."""
        return str(self.path)


def _claim_folder(folder: Path, record: SynthesisRecord) -> None:
    has_files = any(not path.name.startswith(".") for path in folder.iterdir())  # before another process writes some
    if (folder / RECORD_NAME).exists():
        record.check(folder)
    elif has_files:
        raise DataError(f"{folder}: contains other files and no {RECORD_NAME}; write to another folder")
    else:
        record.write(folder)


def _shorten(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def _write(task: WriteTask, _: Progress) -> None:
    task.write(task.path)
