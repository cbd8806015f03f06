"""`Events`: the type that passes between all stages of dvspipe.

An event (t, x, y, p): at time t (integer microseconds), the pixel in column x and row y (counted downwards) became
brighter (p is True, ON) or darker (p is False, OFF) by its contrast threshold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import EventError
from .sensor import SensorSize, SensorSizeLike

EARLIEST_US, LATEST_US = -(2**63), 2**63 - 1
DTYPES: tuple[type, ...] = (np.int64, np.int16, np.int16, np.bool_)  # t, x, y, p
STRUCTURED_DTYPE = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.bool_)])


class Events:
    """Events of one sensor, sorted by time. Checked once at construction, then read-only.

    Args:
        t: Times in microseconds, non-decreasing, [N].
        x: Columns, 0 to width - 1, [N].
        y: Rows, downwards, 0 to height - 1, [N].
        p: Polarities, True (or 1) = ON, False (or 0) = OFF, [N].
        sensor: Sensor size; also (width, height) or a string such as "346x260".

    Attributes:
        t: int64 [N].
        x: int16 [N].
        y: int16 [N].
        p: bool [N].
        sensor: Sensor size.

    Raises:
        EventError: If lengths differ, a type is wrong, times decrease, or a pixel is outside the sensor.

    Example:
        >>> events = Events(t=[0, 5], x=[3, 4], y=[1, 1], p=[True, False], sensor=SensorSize(width=12, height=7))
        >>> len(events), events.duration_us
        (2, 5)
    """

    __slots__ = ("p", "sensor", "t", "x", "y")

    t: NDArray[np.int64]
    x: NDArray[np.int16]
    y: NDArray[np.int16]
    p: NDArray[np.bool_]
    sensor: SensorSize

    def __init__(self, t: ArrayLike, x: ArrayLike, y: ArrayLike, p: ArrayLike, sensor: SensorSizeLike) -> None:
        sensor = SensorSize.of(sensor)
        t, x, y, p = _checked_columns(t, x, y, p, sensor)
        self._set(t.astype(np.int64), x.astype(np.int16), y.astype(np.int16), p.astype(np.bool_), sensor)

    def _set(
        self,
        t: NDArray[np.int64],
        x: NDArray[np.int16],
        y: NDArray[np.int16],
        p: NDArray[np.bool_],
        sensor: SensorSize,
    ) -> None:
        for column in (t, x, y, p):
            column.setflags(write=False)
        set_attribute = object.__setattr__  # this class refuses to set attributes
        set_attribute(self, "t", t)
        set_attribute(self, "x", x)
        set_attribute(self, "y", y)
        set_attribute(self, "p", p)
        set_attribute(self, "sensor", sensor)

    @classmethod
    def wrap_unchecked(
        cls,
        t: NDArray[np.int64],
        x: NDArray[np.int16],
        y: NDArray[np.int16],
        p: NDArray[np.bool_],
        sensor: SensorSize,
    ) -> Events:
        """Create events without checking or copying the arrays.

        Use it only for arrays with types, order and range that are correct by construction, such as selections from
        other events, and that nothing else writes to. The arrays become read-only.
        """
        events = cls.__new__(cls)
        events._set(t, x, y, p, sensor)
        return events

    @classmethod
    def wrap(cls, t: NDArray[Any], x: NDArray[Any], y: NDArray[Any], p: NDArray[Any], sensor: SensorSize) -> Events:
        """Create checked events without copying arrays that already have the right types.

        Use it only for arrays that nothing else writes to. The arrays become read-only.
        """
        t, x, y, p = map(_as_type, _checked_columns(t, x, y, p, sensor), DTYPES)
        return cls.wrap_unchecked(t, x, y, p, sensor)

    @classmethod
    def empty(cls, sensor: SensorSizeLike) -> Events:
        """Create a recording without events."""
        return cls([], [], [], [], sensor)

    @classmethod
    def from_structured(cls, array: NDArray[np.void], sensor: SensorSizeLike, *, sort: bool = False) -> Events:
        """Create events from a structured array, the format of Tonic's data sets and transforms.

        Args:
            array: Structured array [N] or [N, 1] with fields t and x, and optionally y (default: row 0) and p (default:
                ON), in any order. Integer times are microseconds; floating-point times are seconds, and are rounded.
                Polarities are bool, 0 and 1, or -1 and 1. All other numbers are integers of any type.
            sensor: Sensor size.
            sort: Whether to sort events by time; otherwise unsorted events are an error.

        Raises:
            EventError: If fields are missing, or the events break a rule of `Events`.

        Example:
            >>> spikes = np.array([(0.25, 3), (0.5, 699)], [("t", float), ("x", int)])
            >>> Events.from_structured(spikes, SensorSize(width=700, height=1))
            Events(2 events, sensor 700x1, t 250000 to 500000 us)
        """
        names = getattr(getattr(array, "dtype", None), "names", None) or ()
        if not {"t", "x"} <= set(names):
            raise EventError(f"structured events: missing fields (found {names}, expected x, y, t and p)")
        rows = array.reshape(-1) if array.size == len(array) else array
        if sort and (rows["t"][1:] < rows["t"][:-1]).any():
            rows = rows[np.argsort(rows["t"], kind="stable")]
        t, x = _integer_times(rows["t"]), _integers("x", rows["x"])
        y = _integers("y", rows["y"]) if "y" in names else np.zeros(x.shape, np.int16)
        p = _zero_or_one(_integers("p", rows["p"])) if "p" in names else np.ones(x.shape, np.bool_)
        return cls(t, x, y, p, sensor)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Events are read-only: {name} cannot be set")

    def __len__(self) -> int:
        return len(self.t)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Events):
            return NotImplemented
        return self.sensor == other.sensor and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in "txyp"
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        span = f", t {self.t[0]} to {self.t[-1]} us" if len(self) else ""
        return f"Events({len(self)} events, sensor {self.sensor}{span})"

    def __getstate__(self) -> tuple[object, ...]:
        return self.t, self.x, self.y, self.p, self.sensor

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self._set(*state)  # type: ignore[arg-type]

    @property
    def duration_us(self) -> int:
        """Time from the first to the last event in microseconds; 0 if there are no events."""
        return int(self.t[-1]) - int(self.t[0]) if len(self) else 0

    def structured(self) -> NDArray[np.void]:
        """Return the events as Tonic's structured array, with fields x int16, y int16, t int64, p bool."""
        array = np.empty(len(self), dtype=STRUCTURED_DTYPE)
        for name in "xytp":
            array[name] = getattr(self, name)
        return array

    def slice_time(self, start_us: int, stop_us: int) -> Events:
        """Return the events with start_us <= t < stop_us, as a view."""
        first, last = np.searchsorted(self.t, (start_us, stop_us), side="left")
        return self.slice_events(int(first), max(int(first), int(last)))

    def slice_events(self, first: int, stop: int) -> Events:
        """Return the events `first` to `stop` - 1, as a view."""
        part = slice(first, stop)
        return Events.wrap_unchecked(self.t[part], self.x[part], self.y[part], self.p[part], self.sensor)

    def shift_time(self, offset_us: int) -> Events:
        """Return the events with `offset_us` added to every time."""
        return Events.wrap_unchecked(self.t + offset_us, self.x.view(), self.y.view(), self.p.view(), self.sensor)

    def crop(self, left: int, top: int, sensor: SensorSize) -> Events:
        """Return the events in a rectangle; its upper left corner becomes the origin.

        Args:
            left: First column of the rectangle.
            top: First row of the rectangle.
            sensor: Size of the rectangle, which is the new sensor size.

        Raises:
            EventError: If the rectangle is not inside the sensor.
        """
        if left < 0 or top < 0 or left + sensor.width > self.sensor.width or top + sensor.height > self.sensor.height:
            raise EventError(f"crop {sensor} at ({left}, {top}): not inside the sensor (found {self.sensor})")
        x, y = self.x - np.int16(left), self.y - np.int16(top)
        keep = (x >= 0) & (x < sensor.width) & (y >= 0) & (y < sensor.height)
        return Events.wrap_unchecked(self.t[keep], x[keep], y[keep], self.p[keep], sensor)


def _checked_columns(t: ArrayLike, x: ArrayLike, y: ArrayLike, p: ArrayLike, sensor: SensorSize) -> list[NDArray[Any]]:
    """Convert columns to arrays of integers, and check the rules of `Events`.

    Raises:
        EventError: If a rule is broken.
    """
    columns = {name: np.asarray(column) for name, column in zip("txyp", (t, x, y, p), strict=True)}
    for name, column in columns.items():
        if column.ndim != 1 or len(column) != len(columns["t"]):
            raise EventError(
                f"wrong shape of {name} (found {column.shape}, expected one value per time, ({columns['t'].size},))"
            )
        if len(column) and column.dtype.kind not in "iub":
            raise EventError(f"wrong type of {name} (found {column.dtype}, expected integers)")
    check_columns(**columns, sensor=sensor)
    return list(columns.values())


def _as_type(column: NDArray[Any], dtype: type) -> NDArray[Any]:
    """Convert integers within the range of `dtype` to a contiguous array of that type.

    The array is copied if its type differs, or if it is a view that would keep alive more than twice its own memory.
    """
    column = np.ascontiguousarray(column)
    fits = column.dtype.isnative and column.itemsize == np.dtype(dtype).itemsize
    is_small_part = isinstance(column.base, np.ndarray) and column.base.nbytes > 2 * column.nbytes
    return column.view(dtype) if fits and not is_small_part else column.astype(dtype)


def _integers(name: str, column: NDArray[Any]) -> NDArray[Any]:
    """Return a contiguous column; convert floating-point numbers to int64.

    Raises:
        EventError: If a number is not an integer.
    """
    if column.dtype.kind != "f":
        return np.ascontiguousarray(column)
    if not (np.isfinite(column).all() and (column == np.rint(column)).all()):
        raise EventError(f"{name} has numbers that are not integers (found {column.dtype})")
    return column.astype(np.int64)


def _integer_times(t: NDArray[Any]) -> NDArray[Any]:
    """Return integer times in microseconds; floating-point times are in seconds.

    Raises:
        EventError: If a time is not finite, or too large.
    """
    if t.dtype.kind != "f":
        return np.ascontiguousarray(t)
    times_us = np.rint(t.astype(np.float64) * 1e6)
    if not (np.abs(times_us) < LATEST_US).all():
        raise EventError("t has times that are not finite, or too large (expected seconds)")
    return times_us.astype(np.int64)


def _zero_or_one(p: NDArray[Any]) -> NDArray[Any]:
    """Map polarities -1 and 1 to False and True; return others unchanged."""
    return p > 0 if p.dtype.kind == "i" and p.size and p.min() < 0 and (np.abs(p) == 1).all() else p


def check_columns(
    t: NDArray[Any],
    x: NDArray[Any],
    y: NDArray[Any],
    p: NDArray[Any],
    sensor: SensorSize,
) -> None:
    """Check the order, range and polarity of event columns of equal length.

    Raises:
        EventError: If an event breaks a rule; the message names the first such event.
    """
    wrong: list[tuple[int, str]] = []
    for name, column, side, word in (("x", x, sensor.width, "wide"), ("y", y, sensor.height, "high")):
        if len(column) and (column.min() < 0 or column.max() >= side):
            event = int(np.flatnonzero((column < 0) | (column >= side))[0])
            wrong.append((event, f"has {name} = {column[event]}, outside a sensor {side} pixels {word}"))
    if p.dtype == np.bool_:
        p = p.view(np.uint8)  # bools read from a file may have bytes other than 0 and 1
    if len(p) and (p.min() < 0 or p.max() > 1):
        event = int(np.flatnonzero((p < 0) | (p > 1))[0])
        wrong.append((event, f"has p = {p[event]}, expected 0 (OFF) or 1 (ON)"))
    back = t[1:] < t[:-1]
    if back.any():
        event = int(np.flatnonzero(back)[0]) + 1
        wrong.append((event, f"has t = {t[event]} us, before the previous event at {t[event - 1]} us"))
    if wrong:
        event, message = min(wrong)
        raise EventError(f"event {event} {message}", event=event, is_unsorted=message.startswith("has t"))
