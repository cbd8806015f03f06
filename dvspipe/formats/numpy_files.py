"""NumPy files (`.npy`, `.npz`): a structured array of events, separate arrays t, x, y and p, or a table [N, 4].

Integer times are microseconds; floating-point times need a hint, as does the order of the columns of a table. NumPy
reads and writes archives in memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import FormatError
from ..events import Events, SensorSize, concatenate
from .hints import (
    MAX_PLAUSIBLE_US,
    UNIT_EXPONENTS,
    UNUSED,
    Hints,
    TimeUnit,
    parse_column_name,
    unknown_columns,
    unknown_unit,
)
from .source import CHUNK_EVENTS, Format, Source, StoredColumns, WriteOptions, parse_sensor
from .values import convert_columns

NPY_MAGIC = b"\x93NUMPY"
SUFFIXES = (".npy", ".npz")
SIDES = ("width", "height")
SIDE_TYPE = np.uint64  # type of width and height; eventcv 1.0 reads no other


def _open(path: Path, hints: Hints) -> Source:
    with warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore", UserWarning)  # for headers written by Python 2
        if file.read(len(NPY_MAGIC)) == NPY_MAGIC:
            arrays: dict[str, Any] = {"": np.load(path, mmap_mode="r")}
        else:
            file.seek(0)
            arrays = dict(np.load(file))

    sensor = parse_sensor(path, *map(arrays.pop, SIDES)) if arrays.keys() >= {*SIDES} else None
    columns, unit = _find_columns(path, arrays, hints)
    for name, column in columns.items():
        if column.ndim != 1 or column.dtype.kind not in "iufb" or len(column) != len(columns["t"]):
            raise FormatError(
                f"{path}: wrong column {name} (found {column.dtype}{list(column.shape)}, expected {len(columns['t'])} "
                "numbers)"
            )

    unit = hints.time_unit or unit
    t = columns["t"]
    if unit is None and (t.dtype.kind == "f" or (len(t) and t.max() >= MAX_PLAUSIBLE_US)):
        raise unknown_unit(path, f"unknown time unit (found times such as {t[-1] if len(t) else t.dtype})")

    exponent = UNIT_EXPONENTS[unit or "us"]
    attributes = {"columns": {name: str(column.dtype) for name, column in columns.items()}}
    return Source(sensor, partial(_chunks, columns, exponent), attributes)


def _find_columns(
    path: Path, arrays: Mapping[str, NDArray[Any]], hints: Hints
) -> tuple[dict[str, NDArray[Any]], TimeUnit | None]:
    """Return the columns t, x, y and p, and the time unit if a name contains it."""
    first: Any = next(iter(arrays.values()), np.empty(0))
    if len(arrays) == 1 and first.dtype.names is not None:
        arrays = {name: first[name] for name in first.dtype.names}
    elif len(arrays) == 1 and first.ndim == 2:
        # The columns of a table have no names, so a hint must give their order.
        if hints.columns is None or len(hints.columns) != first.shape[1]:
            raise unknown_columns(path, f"unknown order of columns (found a table {list(first.shape)} without names)")
        return {name: first[:, number] for number, name in enumerate(hints.columns) if name != UNUSED}, None

    name_of = match_names(arrays)
    if name_of is None:
        found = ", ".join(arrays) or f"{first.dtype}{list(first.shape)}"
        raise FormatError(f"{path}: wrong content (found {found[:200]}, expected t, x, y and p once each)")
    return {column: arrays[name_of[column]] for column in "txyp"}, parse_column_name(name_of["t"])[1]


def match_names(names: Iterable[str]) -> dict[str, str] | None:
    """Map columns to names if each of t, x, y and p has exactly one name; otherwise return None."""
    pairs = [(column, name) for name in names if (column := parse_column_name(name)[0])]
    return dict(pairs) if sorted(column for column, _ in pairs) == sorted("txyp") else None


def _chunks(columns: Mapping[str, NDArray[Any]], exponent: int) -> Iterator[StoredColumns]:
    for start in range(0, len(columns["t"]), CHUNK_EVENTS):
        part = {name: np.array(column[start : start + CHUNK_EVENTS]) for name, column in columns.items()}
        yield convert_columns(part, exponent, first=start)


@contextmanager
def _write(path: Path, sensor: SensorSize, _options: WriteOptions) -> Iterator[Callable[[Events], None]]:
    parts: list[Events] = []
    yield parts.append

    events = concatenate(parts, sensor)
    sides = {name: SIDE_TYPE(side) for name, side in zip(SIDES, sensor, strict=True)}
    columns = {"t": events.t, "x": events.x.astype(np.uint16), "y": events.y.astype(np.uint16)}
    np.savez_compressed(path, p=events.p.astype(np.uint8), **columns, **sides)  # type: ignore[arg-type]


NUMPY = Format(
    "numpy",
    SUFFIXES,
    lambda path, head: head.startswith(NPY_MAGIC) or path.suffix.lower() in SUFFIXES,
    _open,
    _write,
    (".npz",),
)
