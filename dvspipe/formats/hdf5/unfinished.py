"""Read `OUT.h5.part`, what an interrupted writer of `OUT.h5` saved, as a recording."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ...base.errors import FileError, FormatError
from ...base.files import UNFINISHED, lock_folder
from ...events import SensorSize
from ...parallel import Progress
from ..source import Source, StoredColumns
from .chunked_file import STATE, STATE_ERRORS, SavedState, part_file, read_chunks, read_state
from .layouts import SUFFIXES
from .storage import check_storage

COLUMNS = tuple(f"events/{name}" for name in "txyp")


def is_unfinished(path: Path) -> bool:
    """Return whether a path is the folder of an unfinished HDF5 file."""
    suffixes = tuple(suffix + UNFINISHED for suffix in SUFFIXES)
    return path.name.lower().endswith(suffixes) and path.is_dir()


def open_unfinished(path: Path) -> Source:
    """Open the folder of an unfinished HDF5 file; its recording ends at the last save.

    Raises:
        FileError: If nothing was saved.
        FormatError: If the saved events are corrupted.
    """
    if not (path / STATE).exists():
        raise FileError(f"{path}: contains no events (found an unfinished file before its first save)")

    try:
        saved = read_state(path)
        for _ in read_chunks(path, saved.parts):
            pass  # verifies the checksums

        attributes, *_ = _read_key(saved)
        attributes["settings"] = json.loads(attributes["settings"])
        sensor = SensorSize(width=attributes["width"], height=attributes["height"])
        _, _, offset_us, _ = saved.state["writer"].tolist()
    except STATE_ERRORS as error:
        raise FormatError(f"{path}: corrupted: {error}") from error

    def chunks(progress: Progress | None = None) -> Iterator[StoredColumns]:
        try:
            for t, x, y, p in _read_columns(path, saved, progress):
                yield StoredColumns(t + offset_us, x, y, p.astype(np.bool_))
        except OSError as error:
            raise FileError(f"{path}: cannot be read ({error})") from error

    return Source(sensor, chunks, attributes)


def refuse_discarding(folder: Path) -> None:
    """Refuse to discard saved events that cannot be made again, such as the events of a camera.

    Raises:
        FileError: If the folder has such events, or another process is writing to it.
    """
    if not (folder / STATE).exists():
        return
    try:
        with lock_folder(folder):
            *_, version_of_source = _read_key(read_state(folder))
    except STATE_ERRORS:  # corrupted: there is nothing to keep
        return

    if version_of_source is None:
        raise FileError(
            f"{folder}: contains the events of an interrupted recording; to keep them, convert it to a file of "
            "another name; use overwrite to replace it"
        )


def _read_key(saved: SavedState) -> tuple[dict[str, Any], str | None]:
    """Return what `EventWriter` stores in the key: attributes and version of the source."""
    _, _, key = saved.key.partition(" ")
    attributes, version_of_source = json.loads(key)
    return attributes, version_of_source


def _read_columns(path: Path, saved: SavedState, progress: Progress | None) -> Iterator[tuple[NDArray[Any], ...]]:
    """Yield t, x, y and p of the saved chunks, and of the rows after the last complete chunk."""
    first = 0
    for number, part in enumerate(saved.parts):
        stop, _ = part[COLUMNS[0]]
        with h5py.File(part_file(path, number)) as file:
            datasets = [file[name] for name in COLUMNS]
            for dataset in datasets:
                check_storage(f"{path}: {dataset.name}", dataset)

            (chunk_rows,) = datasets[0].chunks
            for chunk in range(first, stop):
                rows = slice(chunk * chunk_rows, (chunk + 1) * chunk_rows)
                yield tuple(dataset[rows] for dataset in datasets)
        first = stop
        if progress:
            progress(number + 1, len(saved.parts))

    yield tuple(saved.rests[name] for name in COLUMNS)
