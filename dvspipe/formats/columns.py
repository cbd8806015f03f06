"""Columns of NumPy files, text and HDF5: their names, and their numbers of any type as microseconds and pixels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import FormatError
from ..events import TIME_LIMIT_US
from .hints import TimeUnit
from .source import StoredColumns

UNIT_EXPONENTS: dict[TimeUnit, int] = {"s": 6, "ms": 3, "us": 0, "ns": -3}
"""Exponent e per unit: time in microseconds = stored time * 10^e."""
MAX_PLAUSIBLE_US = 10**17  # the year 5138; larger integers are nanoseconds since 1970
COLUMN_NAME = re.compile(r"[\s\"']*([^\W_]+)(?:\s*[_\[(]\s*([^\W_]+)[\])]*)?[\s\"']*")
"""Name, and the unit of a time: time_us, time [us], time (us)."""

_SYNONYMS = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "x": ("x", "xs", "col", "column"),
    "y": ("y", "ys", "row"),
    "p": ("p", "ps", "pol", "pols", "polarity", "polarities", "on"),
}
_COLUMNS = {synonym: column for column, synonyms in _SYNONYMS.items() for synonym in synonyms}
_UNITS: dict[str, TimeUnit] = {
    "s": "s",
    "sec": "s",
    "seconds": "s",
    "ms": "ms",
    "us": "us",
    "usec": "us",
    "µs": "us",
    "ns": "ns",
}


def parse_column_name(name: str) -> tuple[str | None, TimeUnit | None]:
    """Parse a column name: return the column (t, x, y or p) and the time unit, each None if absent.

    Example:
        >>> parse_column_name("time [us]"), parse_column_name("pol"), parse_column_name("id")
        (('t', 'us'), ('p', None), (None, None))
    """
    match = COLUMN_NAME.fullmatch(name.lower())
    word, unit = match.groups() if match else ("", None)
    column = _COLUMNS.get(word)

    if unit is None:
        return column, None
    return ("t", _UNITS[unit]) if column == "t" and unit in _UNITS else (None, None)


def match_names(names: Iterable[str]) -> dict[str, str] | None:
    """Map columns to names if each of t, x, y and p has exactly one name; otherwise return None."""
    pairs = [(column, name) for name in names if (column := parse_column_name(name)[0])]
    return dict(pairs) if sorted(column for column, _ in pairs) == sorted("txyp") else None


def unknown_unit(path: Path, found: object) -> FormatError:
    """Return the error for times of unknown unit."""
    return FormatError(
        f"{path}: unknown time unit (found times such as {found}); use time_unit=UNIT to set it: s, ms, us or ns"
    )


def unknown_columns(path: Path, found: str) -> FormatError:
    """Return the error for columns of unknown order."""
    return FormatError(f"{path}: {found}; use columns=txyp to list them in order (- for an unused one)")


def convert_columns(
    values: Mapping[str, NDArray[Any]], unit: TimeUnit, offset_us: int = 0, *, first: int = 0
) -> StoredColumns:
    """Convert the stored columns t, x, y and p.

    Args:
        values: Stored columns, [N] each.
        unit: Unit of the stored times.
        offset_us: Offset of all times in microseconds.
        first: Number of the first event, for messages.

    Raises:
        FormatError: If a time is not finite or too large, a pixel is not an integer, or polarities are neither 0 and 1
            nor -1 and 1.
    """
    t = convert_times(values["t"], unit, offset_us, first=first)
    x, y = (_to_pixels(name, values[name], first) for name in "xy")
    return StoredColumns(t, x, y, _to_polarities(values["p"], first))


def convert_times(t: NDArray[Any], unit: TimeUnit, offset_us: int = 0, *, first: int = 0) -> NDArray[np.int64]:
    """Convert the stored times to microseconds, rounded; see `convert_columns`."""
    exponent = UNIT_EXPONENTS[unit]
    limit = TIME_LIMIT_US // 10 ** max(exponent, 0)
    if len(t) and not -limit < t.min() <= t.max() < limit:  # also NaN
        _refuse("t", t, (t > -limit) & (t < limit), "a finite time", first)

    if t.dtype.kind == "f":
        nearest: NDArray[np.float64] = np.rint(t.astype(np.float64) * 10.0**exponent)
        return nearest.astype(np.int64) + offset_us

    # In place: each pass over new memory takes as long as reading the times.
    divisor = 10 ** max(-exponent, 0)
    times: NDArray[np.int64] = t.astype(np.int64)
    times += divisor // 2
    times //= divisor
    times *= 10 ** max(exponent, 0)
    times += offset_us
    return times


def _to_pixels(name: str, column: NDArray[Any], first: int) -> NDArray[Any]:
    if column.dtype.kind in "iu":
        return column

    is_integer = (column == np.rint(column)) & (np.abs(column) < 2**31)
    if not is_integer.all():
        _refuse(name, column, is_integer, "an integer", first)
    return column.astype(np.int64)


def _to_polarities(p: NDArray[Any], first: int) -> NDArray[Any]:
    """Return whether events are ON; OFF is 0 or -1, the same in all rows."""
    if p.dtype.kind in "ub":
        return p  # `Events` checks them

    off = -1 if (p < 0).any() else 0
    is_on: NDArray[np.bool_] = p == 1
    is_valid = is_on | (p == off)
    if not is_valid.all():
        _refuse("p", p, is_valid, "0 and 1, or -1 and 1 throughout", first)
    return is_on


def _refuse(name: str, column: NDArray[Any], is_valid: NDArray[np.bool_], expected: str, first: int) -> None:
    row = int(np.argmin(is_valid))
    raise FormatError(f"event {first + row} has {name} = {column[row]}, expected {expected}")
