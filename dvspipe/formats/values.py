"""Convert stored numbers of any type to microseconds, pixels and polarities, for NumPy files, text and HDF5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import FormatError
from .source import StoredColumns

TIME_LIMIT_US = 2**62


def convert_columns(
    values: Mapping[str, NDArray[Any]], exponent: int, offset_us: int = 0, *, first: int = 0
) -> StoredColumns:
    """Convert the stored columns t, x, y and p.

    Args:
        values: Stored columns, [N] each.
        exponent: Time in microseconds = stored time * 10^exponent + offset_us.
        offset_us: Offset of all times in microseconds.
        first: Number of the first event, for messages.

    Raises:
        FormatError: If a time is not finite or too large, a pixel is not an integer, or polarities are neither 0 and 1
            nor -1 and 1.
    """
    t = _to_microseconds(values["t"], exponent, first) + offset_us
    x, y = (_to_pixels(name, values[name], first) for name in "xy")
    return StoredColumns(t, x, y, _to_polarities(values["p"], first))


def _to_microseconds(t: NDArray[Any], exponent: int, first: int) -> NDArray[np.int64]:
    """Return t * 10^exponent, rounded."""
    limit = TIME_LIMIT_US // 10 ** max(exponent, 0)
    if len(t) and not -limit < t.min() <= t.max() < limit:  # also NaN
        _refuse("t", t, (t > -limit) & (t < limit), "a finite time", first)

    if t.dtype.kind == "f":
        nearest: NDArray[np.float64] = np.rint(t.astype(np.float64) * 10.0**exponent)
        return nearest.astype(np.int64)

    times: NDArray[np.int64] = t.astype(np.int64)
    divisor = 10 ** max(-exponent, 0)
    scaled: NDArray[np.int64] = (times + divisor // 2) // divisor * 10 ** max(exponent, 0)
    return scaled


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
