"""NumPy files (`.npy`, `.npz`): a structured array of events, separate arrays t, x, y and p, or a table [N, 4].

Integer times are microseconds; floating-point times need a hint, as does the order of the columns of a table. NumPy
reads and writes archives in memory.
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import FormatError
from ..events import Events, SensorSize, concatenate
from .columns import MAX_PLAUSIBLE_US, convert_columns, match_names, parse_column_name, unknown_columns, unknown_unit
from .hints import UNUSED, Hints, TimeUnit
from .source import CHUNK_EVENTS, Format, Source, StoredColumns, WriteOptions, parse_sensor

NPY_MAGIC = b"\x93NUMPY"
NUMPY_ERRORS = (ValueError, EOFError, RuntimeError, tokenize.TokenError, zipfile.BadZipFile, zlib.error)
SIDES = ("width", "height")
SIDE_TYPE = np.uint64  # type of width and height; eventcv 1.0 reads no other


def _open(path: Path, hints: Hints) -> Source:
    with path.open("rb") as file:
        if file.read(len(NPY_MAGIC)) == NPY_MAGIC:
            arrays: dict[str, NDArray[Any]] = {"": np.load(path, mmap_mode="r")}
        else:
            file.seek(0)
            arrays = dict(np.load(file))

    sensor = parse_sensor(path, *map(arrays.pop, SIDES)) if arrays.keys() >= {*SIDES} else None
    columns, unit = _find_columns(path, arrays, hints)
    t = columns["t"]
    for name, column in columns.items():
        if column.ndim != 1 or column.dtype.kind not in "iufb" or len(column) != len(t):
            found = f"{column.dtype}{list(column.shape)}"
            raise FormatError(f"{path}: wrong column {name} (found {found}, expected {len(t)} numbers)")

    if unit is None and (t.dtype.kind == "f" or (len(t) and t.max() >= MAX_PLAUSIBLE_US)):
        raise unknown_unit(path, t[-1] if len(t) else t.dtype)

    attributes = {"columns": {name: str(column.dtype) for name, column in columns.items()}}
    return Source(sensor, partial(_chunks, columns, unit or "us"), attributes)


def _find_columns(
    path: Path, arrays: Mapping[str, NDArray[Any]], hints: Hints
) -> tuple[dict[str, NDArray[Any]], TimeUnit | None]:
    """Return the columns t, x, y and p, and the time unit if a hint or a name contains it."""
    first: NDArray[Any] = next(iter(arrays.values()), np.empty(0))
    if len(arrays) == 1 and first.dtype.names is not None:
        arrays = {name: first[name] for name in first.dtype.names}
    elif len(arrays) == 1 and first.ndim == 2:
        # The columns of a table have no names, so a hint must give their order.
        if hints.columns is None or len(hints.columns) != first.shape[1]:
            raise unknown_columns(path, f"unknown order of columns (found a table {list(first.shape)} without names)")
        columns = zip(hints.columns, first.T, strict=True)
        return {name: column for name, column in columns if name != UNUSED}, hints.time_unit

    name_of = match_names(arrays)
    if name_of is None:
        found = ", ".join(arrays) or f"{first.dtype}{list(first.shape)}"
        raise FormatError(f"{path}: wrong content (found {found[:200]}, expected t, x, y and p once each)")
    unit = hints.time_unit or parse_column_name(name_of["t"])[1]
    return {column: arrays[name_of[column]] for column in "txyp"}, unit


def _chunks(columns: Mapping[str, NDArray[Any]], unit: TimeUnit) -> Iterator[StoredColumns]:
    for start in range(0, len(columns["t"]), CHUNK_EVENTS):
        part = {name: np.array(column[start : start + CHUNK_EVENTS]) for name, column in columns.items()}
        yield convert_columns(part, unit, first=start)


@contextmanager
def _write(path: Path, sensor: SensorSize, _options: WriteOptions) -> Iterator[Callable[[Events], None]]:
    parts: list[Events] = []
    yield parts.append

    events = concatenate(parts, sensor)
    sides = {name: SIDE_TYPE(side) for name, side in zip(SIDES, sensor, strict=True)}
    columns = {"t": events.t, "x": events.x.astype(np.uint16), "y": events.y.astype(np.uint16)}
    np.savez_compressed(path, p=events.p.astype(np.uint8), **columns, **sides)  # type: ignore[arg-type]


NUMPY = Format("numpy", (".npy", ".npz"), _open, NPY_MAGIC, _write, (".npz",), NUMPY_ERRORS)
