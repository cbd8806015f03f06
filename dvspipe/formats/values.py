"""Convert stored values to microseconds, pixels and polarities, with masks of valid values.

For formats that store numbers of any type: NumPy files and HDF5. A value is invalid if it is not finite, not an integer
pixel or too large; `convert_columns` ends the columns before the first invalid row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .source import StoredColumns

MAX_INT64 = 2**63 - 1
MAX_FLOAT_TIME = 2.0**62  # microseconds
PIXEL_LIMIT = 2**31

Valid = NDArray[np.bool_] | np.bool_
"""Mask of valid values; a scalar if it is equal for all."""


def to_microseconds(t: NDArray[Any], exponent: int, offset_us: int = 0) -> tuple[NDArray[np.int64], Valid]:
    """Return t * 10^exponent + offset_us, rounded, and a mask of valid times; invalid times become 0 + offset_us."""
    if not len(t):
        return np.zeros(0, np.int64), np.True_
    if t.dtype.kind == "f":
        return _float_times(t, exponent, offset_us)

    valid: Valid = np.True_
    scale = 10 ** max(exponent, 0)
    low = int(t.min())
    high = int(t.max())

    # Most columns are checked by their extremes, in Python's integers; each time is only checked if one is wrong.
    too_low = min(low, 0) * scale + min(offset_us, 0) < -MAX_INT64
    if too_low or max(high, 0) * scale + max(offset_us, 0) > MAX_INT64:
        most = (MAX_INT64 - abs(offset_us)) // scale
        valid = (t <= min(most, np.iinfo(t.dtype).max)) & (t >= max(-most, np.iinfo(t.dtype).min))
        t = np.where(valid, t, t.dtype.type(0))

    times = t.astype(np.int64, copy=False)
    if exponent < 0:
        divisor = 10**-exponent
        times = (times // divisor) + (times % divisor * 2 >= divisor)
    elif scale > 1:
        times = times * scale

    if offset_us:
        times = times + offset_us

    return times, valid


def _float_times(t: NDArray[Any], exponent: int, offset_us: int) -> tuple[NDArray[np.int64], Valid]:
    with np.errstate(invalid="ignore", over="ignore"):
        nearest = np.rint(t.astype(np.float64) * 10.0**exponent)
        valid = np.abs(nearest) <= MAX_FLOAT_TIME - abs(offset_us)

    return np.where(valid, nearest, 0).astype(np.int64) + (offset_us if valid.any() else 0), valid


def to_pixels(column: NDArray[Any]) -> tuple[NDArray[Any], Valid]:
    """Return pixel coordinates as integers, and a mask of the values that are integers."""
    if column.dtype.kind in "iu":
        return column, np.True_
    if column.dtype.kind == "b":
        return column.astype(np.uint8), np.True_
    with np.errstate(invalid="ignore"):
        valid = (np.abs(column) < PIXEL_LIMIT) & (column == np.rint(column))

    return np.where(valid, column, 0).astype(np.int64), valid


def to_polarities(p: NDArray[Any], off: int | None) -> tuple[NDArray[Any], Valid, int | None]:
    """Return polarities, a mask of valid values, and the stored value of OFF.

    Args:
        p: Stored polarities, [N]; OFF is 0 or -1, whichever comes first in the file.
        off: Stored value of OFF in earlier rows; None while unknown.
    """
    if p.dtype.kind in "ub":
        return p, np.True_, off  # `Events` checks the range
    if off is None:
        zeros = p[(p == 0) | (p == -1)]
        off = int(zeros[0]) if len(zeros) else None

    on = p == 1
    is_off = p == (0 if off is None else off)
    return on, on | is_off, off


class Converted(NamedTuple):
    """Events before the first invalid one, the name of its invalid column (empty: all are valid), and the OFF value."""

    columns: StoredColumns
    invalid: str
    off: int | None


def convert_columns(
    values: Mapping[str, NDArray[Any]], exponent: int, offset_us: int = 0, off: int | None = None
) -> Converted:
    """Convert the stored columns t, x, y and p; arguments as in `to_microseconds` and `to_polarities`."""
    valid: dict[str, Valid] = {}
    t, valid["t"] = to_microseconds(values["t"], exponent, offset_us)
    x, valid["x"] = to_pixels(values["x"])
    y, valid["y"] = to_pixels(values["y"])
    p, valid["p"], off = to_polarities(values["p"], off)

    # The first invalid row ends the columns; if several are invalid there, the first name in the alphabet is reported.
    invalid = [(int(np.argmin(mask)), name) for name, mask in valid.items() if not mask.all()]
    stop, name = min(invalid, default=(len(t), ""))
    return Converted(StoredColumns(t[:stop], x[:stop], y[:stop], p[:stop]), name, off)
