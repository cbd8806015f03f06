"""Folders of synthetic recordings: written by several processes, and gone on with where they were stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..errors import DataError, FileError
from ..files import lock_folder, write_beside
from ..parallel import Progress, map_in_processes

RECORD_NAME = "synthesis.json"
"""What says, in a folder, that the recordings below it are synthetic, and how they were made."""

SHOWN = 40  # characters of a setting in a message


def write_recordings(
    folder: Path,
    record: Mapping[str, Any],
    work: Mapping[Path, Callable[[Path], object]],
    *,
    jobs: int = 1,
    progress: Progress | None = None,
) -> int:
    """Writes synthetic recordings that are not there yet, and beside them a record of how they are made.

    Args:
        folder: Where; made where it is not there.
        record: What decides the content of the files, as JSON can hold it. The program's version is added.
        work: For each path below the folder what writes it, whole or not at all; may be sent to another process.
        jobs: Processes to share the work.
        progress: Told the number of files done, those that were there included, and in all.

    Returns:
        The number of files that were written.

    Raises:
        DataError: The folder holds something else, or recordings that were made in another way.
        FileError: It cannot be written to, or another process does.
    """
    with lock_folder(folder):
        _claim(folder, json.dumps({"synthetic": True, **record, "version": version("dvspipe")}, indent=1) + "\n")
        _remove_unfinished(folder, work)
        waiting = {folder / path: write for path, write in work.items() if not (folder / path).exists()}
        there = len(work) - len(waiting)

        def show(done: int, _: int) -> None:
            if progress:
                progress(there + done, len(work))

        for outcome in map_in_processes(_write, waiting.items(), jobs=jobs, progress=show):
            outcome.result()
        return len(waiting)


def is_synthetic(folder: Path) -> bool:
    """Whether a folder holds what `write_recordings` wrote."""
    return (folder / RECORD_NAME).is_file()


def _claim(folder: Path, record: str) -> None:
    """Leaves the record in an empty folder, or makes sure that the folder's is the same.

    Raises:
        DataError: It is another, or the folder holds something else.
    """
    path = folder / RECORD_NAME
    if path.exists():
        there = _read_record(path)
        for name, value in json.loads(record).items():
            if there.get(name) != value:
                raise DataError(
                    f"{folder}: holds recordings made with another {name} ({path.name} has {_short(there.get(name))}, "
                    f"now {_short(value)}); take another folder"
                )
    elif any(not path.name.startswith(".") for path in folder.iterdir()):
        raise DataError(f"{folder}: holds other files and no {RECORD_NAME}; take another folder")
    else:
        with write_beside(path) as beside:
            beside.write_text(record, encoding="utf-8")


def _read_record(path: Path) -> dict[str, Any]:
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(there, dict):
        raise FileError(f"{path}: holds no object, expected the record of synthetic recordings")
    return there


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _remove_unfinished(folder: Path, work: Mapping[Path, object]) -> None:
    """Removes what `write_beside` leaves where its process is killed: .NAME.xyz.SUFFIX beside NAME.SUFFIX."""
    for place in {folder / path.parent for path in work}:
        names = {(path.stem, path.suffix) for path in work if folder / path.parent == place}
        for left in place.glob(".*") if place.is_dir() else ():
            if (left.stem[1:].rpartition(".")[0], left.suffix) in names:
                left.unlink()


def _write(item: tuple[Path, Callable[[Path], object]], _: Progress) -> None:
    path, write = item
    write(path)
