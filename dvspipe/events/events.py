"""`Events`: the type that passes between all stages of dvspipe.

An event (t, x, y, p): at time t (integer microseconds), the pixel in column x and row y (counted downwards) became
brighter (p is True, ON) or darker (p is False, OFF) by its contrast threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..base.errors import EventError, brief
from .sensor import Region, SensorSize, SensorSizeLike, as_integer
from .span import EARLIEST_US, LATEST_US, TIME_LIMIT_US

DTYPES: tuple[type, ...] = (np.int64, np.int16, np.int16, np.bool_)  # t, x, y, p
STRUCTURED_DTYPE = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.bool_)])


class Event(NamedTuple):
    """One event: `events[i]`.

    Args:
        t: Time in microseconds.
        x: Column.
        y: Row, downwards.
        p: Polarity, True = ON.
    """

    t: int
    x: int
    y: int
    p: bool


class Events:
    """Events of one sensor, sorted by time. Checked once at construction, then read-only.

    Events behave like an array of events: `events[:1000]` and other slices, masks (`events[events.p]`) and index arrays
    select events, `events[0]` is one `Event`, and `numpy.asarray(events)` is a structured array. Slices are views.
    A loop over events yields one `Event` after the other.

    Args:
        t: Times in microseconds, non-decreasing, less than 2^62 from 0, [N].
        x: Columns, 0 to width - 1, [N].
        y: Rows, downwards, 0 to height - 1, [N].
        p: Polarities, True (or 1) = ON, False (or 0, or -1 as in -1 and 1) = OFF, [N].
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
        >>> events[events.p]
        Events(1 events, sensor 12x7, t 0 to 0 us)
        >>> events[0]
        Event(t=0, x=3, y=1, p=True)
    """

    __slots__ = ("p", "sensor", "t", "x", "y")

    t: NDArray[np.int64]
    x: NDArray[np.int16]
    y: NDArray[np.int16]
    p: NDArray[np.bool_]
    sensor: SensorSize

    def __init__(self, t: ArrayLike, x: ArrayLike, y: ArrayLike, p: ArrayLike, sensor: SensorSizeLike) -> None:
        sensor = SensorSize.of(sensor)
        t, x, y, p = _checked_columns(t, x, y, _zero_or_one(_as_array("p", p)), sensor)
        self._set(t.astype(np.int64), x.astype(np.int16), y.astype(np.int16), p.astype(np.bool_), sensor)

    def _set(self, *values: object) -> None:
        """Set the attributes t, x, y, p and sensor; this class refuses to set them otherwise."""
        for name, value in zip("txyp", values, strict=False):
            assert isinstance(value, np.ndarray)
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        object.__setattr__(self, "sensor", values[-1])

    @classmethod
    def wrap_unchecked(
        cls, t: NDArray[Any], x: NDArray[Any], y: NDArray[Any], p: NDArray[Any], sensor: SensorSize
    ) -> Events:
        """Create events without checking or copying the arrays.

        Use it only for arrays with types, order and range that are correct by construction, such as selections from
        other events, and that nothing else writes to. The arrays become read-only.
        """
        events = cls.__new__(cls)
        events._set(t, x, y, p, sensor)
        return events

    @classmethod
    def wrap(
        cls,
        t: NDArray[Any],
        x: NDArray[Any],
        y: NDArray[Any],
        p: NDArray[Any],
        sensor: SensorSize,
        *,
        first: int = 0,
    ) -> Events:
        """Create checked events without copying arrays that already have the right types.

        Use it only for arrays that nothing else writes to. The arrays become read-only. `first` is the index of the
        first event in its recording, for messages.
        """
        t, x, y, p = map(_as_type, _checked_columns(t, x, y, p, sensor, first), DTYPES)
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
        if sort:
            rows = rows[np.argsort(rows["t"], kind="stable")]

        # Recordings of sound have no rows.
        t = _integer_times(rows["t"])
        x = _integers("x", rows["x"])
        y = _integers("y", rows["y"]) if "y" in names else np.zeros(x.shape, np.int16)
        p = _integers("p", rows["p"]) if "p" in names else np.ones(x.shape, np.bool_)
        return cls.wrap(t, x, y, _zero_or_one(p), SensorSize.of(sensor))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Events are read-only: {name} cannot be set")

    def __len__(self) -> int:
        return len(self.t)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Event: ...

    @overload
    def __getitem__(self, index: slice | ArrayLike) -> Events: ...

    def __getitem__(self, index: SupportsIndex | slice | ArrayLike) -> Event | Events:
        """Return one event, or the events that a slice, a mask or an array of indices selects.

        Slices without a step are views. Selected events must be in time order.

        Raises:
            EventError: If an index is out of range, a mask does not have one value per event, selected events go back
                in time, or `index` is none of these.
        """
        selection: Any = index  # numpy checks it
        try:
            t = self.t[selection]
            x = self.x[selection]
            y = self.y[selection]
            p = self.p[selection]
        except (IndexError, TypeError, ValueError, RuntimeError) as error:
            reason = str(error).replace("axis 0 with size", "the number of events")
            raise EventError(f"events[{brief(index)}]: wrong index ({reason})") from error

        if not t.ndim:
            return Event(t=t.item(), x=x.item(), y=y.item(), p=p.item())
        if t.ndim > 1:
            raise EventError(f"events[{brief(index)}]: wrong index (expected an integer, slice, mask or indices)")

        # A plain slice is a view in time order; kernels are compiled for contiguous columns.
        if not isinstance(index, slice) or index.step not in (None, 1):
            try:
                check_order(t)
            except EventError as error:
                raise error.named(f"events[{brief(index)}]") from error
            t, x, y, p = map(np.ascontiguousarray, (t, x, y, p))
        return Events.wrap_unchecked(t, x, y, p, self.sensor)

    def __iter__(self) -> Iterator[Event]:
        """Yield one `Event` after the other; the arrays `events.t`, `x`, `y` and `p` are hundreds of times faster.

        Example:
            >>> [(event.t, event.p) for event in Events([0, 5], [3, 4], [1, 1], [1, 0], "12x7")]
            [(0, True), (5, False)]
        """
        return map(Event, self.t.tolist(), self.x.tolist(), self.y.tolist(), self.p.tolist())

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the structured array for `numpy.asarray` and `numpy.array`.

        Raises:
            ValueError: If `copy` is False: events are stored as four arrays.
        """
        if copy is False:
            raise ValueError("Events are four arrays, so a structured array is a copy; expected copy=None or True")

        rows = self.structured()
        return rows if dtype is None else rows.astype(dtype)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Events):
            return NotImplemented

        return self.sensor == other.sensor and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in "txyp"
        )

    def __hash__(self) -> int:
        return hash((self.sensor, len(self), self.t[:1].tobytes(), self.t[-1:].tobytes()))

    def __repr__(self) -> str:
        span = f", t {self.t[0]} to {self.t[-1]} us" if len(self) else ""
        return f"Events({len(self)} events, sensor {self.sensor}{span})"

    def __getstate__(self) -> tuple[object, ...]:
        return self.t, self.x, self.y, self.p, self.sensor

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self._set(*state)

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

    def between(self, start_us: int, stop_us: int) -> Events:
        """Return the events with start_us <= t < stop_us, as a view; none if stop is before start.

        For seconds after the first event, see `dvspipe.read`, which takes events, too.

        Example:
            >>> events = Events([1_000_000, 1_200_000, 1_600_000], [3, 4, 5], [1, 1, 6], [1, 0, 1], "12x7")
            >>> events.between(1_100_000, 1_300_000)
            Events(1 events, sensor 12x7, t 1200000 to 1200000 us)
        """
        limits = {"start_us": start_us, "stop_us": stop_us}
        times_us = [min(max(as_integer(*limit), EARLIEST_US), LATEST_US) for limit in limits.items()]
        first, last = np.searchsorted(self.t, times_us)
        return self[first:last]

    def shift_time(self, offset_us: int) -> Events:
        """Return the events with `offset_us` added to every time.

        Raises:
            EventError: If the offset is not an integer, or a time would be out of range.
        """
        offset_us = as_integer("offset_us", offset_us)
        if not len(self):
            return self

        _check_range([self.t[0].item() + offset_us, self.t[-1].item() + offset_us])
        return Events.wrap_unchecked(self.t + offset_us, self.x.view(), self.y.view(), self.p.view(), self.sensor)

    def crop(self, left: int, top: int, size: SensorSizeLike) -> Events:
        """Return the events in a rectangle; its upper left corner becomes the origin.

        Args:
            left: First column of the rectangle.
            top: First row of the rectangle.
            size: Width and height of the rectangle; also (width, height) or a text such as "64x48".

        Raises:
            EventError: If the rectangle is not inside the sensor.

        Example:
            >>> Events([0, 5], [3, 11], [1, 6], [1, 0], "12x7").crop(2, 1, "5x4")
            Events(1 events, sensor 5x4, t 0 to 0 us)
        """
        size = SensorSize.of(size)
        region = Region(left, top, size)
        if not region.is_inside(self.sensor):
            raise EventError(f"crop {size} at ({left}, {top}): not inside the sensor (found {self.sensor})")

        x = self.x - np.int16(region.left)
        y = self.y - np.int16(region.top)
        is_inside = (x >= 0) & (x < size.width) & (y >= 0) & (y < size.height)
        return Events.wrap_unchecked(self.t[is_inside], x[is_inside], y[is_inside], self.p[is_inside], size)


def check_order(t: NDArray[Any], *, first: int = 0, last_us: int = EARLIEST_US) -> None:
    """Check that times do not decrease, also after `last_us`; `first` is the index of the first time.

    Raises:
        EventError: If they do; it has the index and both times.
    """
    back = np.concatenate([t[:1] < last_us, t[1:] < t[:-1]])
    if back.any():
        event = int(back.argmax())
        before_us = t[event - 1] if event else last_us
        raise EventError(
            f"event {first + event} has t = {t[event]} us, before the previous event at {before_us} us",
            is_unsorted=True,
        )


def _check_range(times_us: Sequence[int]) -> None:
    """Check that times, in Python's integers, are less than 2^62 from 0."""
    for t_us in times_us:
        if abs(t_us) >= TIME_LIMIT_US:
            raise EventError(f"time out of range (found t = {t_us} us, expected less than 2^62 from 0)")


def _checked_columns(
    t: ArrayLike, x: ArrayLike, y: ArrayLike, p: ArrayLike, sensor: SensorSize, first: int = 0
) -> list[NDArray[Any]]:
    """Convert columns to arrays of integers, and check the rules of `Events`."""
    columns = {name: _as_array(name, column) for name, column in zip("txyp", (t, x, y, p), strict=True)}
    for name, column in columns.items():
        if column.ndim != 1 or len(column) != len(columns["t"]):
            raise EventError(
                f"wrong shape of {name} (found {column.shape}, expected one value per time, ({columns['t'].size},))"
            )
        if len(column) and column.dtype.kind not in "iub":
            raise EventError(f"wrong type of {name} (found {column.dtype}, expected integers)")

    _check_columns(**columns, sensor=sensor, first=first)
    return list(columns.values())


def _as_array(name: str, column: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(column)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, tensors on a GPU or with a gradient
        raise EventError(f"wrong type of {name} (found {brief(column)}, expected integers)") from error


def _as_type(column: NDArray[Any], dtype: type) -> NDArray[Any]:
    """Convert integers within the range of `dtype` to a contiguous array of that type.

    The array is copied if its type differs, or if it is a view that would keep alive more than twice its own memory.
    """
    column = np.ascontiguousarray(column)

    # Integers of the same size in the machine's byte order differ only in their sign: a view is enough.
    fits = column.dtype.isnative and column.itemsize == np.dtype(dtype).itemsize
    is_small_part = isinstance(column.base, np.ndarray) and column.base.nbytes > 2 * column.nbytes
    return column.view(dtype) if fits and not is_small_part else column.astype(dtype)


def _integers(name: str, column: NDArray[Any]) -> NDArray[Any]:
    """Copy a column; convert floating-point numbers to int64."""
    if column.dtype.kind != "f":
        return column.copy()

    if not (np.isfinite(column).all() and (column == np.rint(column)).all()):
        raise EventError(f"{name} has numbers that are not integers (found {column.dtype})")
    return column.astype(np.int64)


def _integer_times(t: NDArray[Any]) -> NDArray[Any]:
    """Copy integer times in microseconds; floating-point times are in seconds."""
    if t.dtype.kind != "f":
        return t.copy()

    times_us = np.rint(t.astype(np.float64) * 1e6)
    if not (np.abs(times_us) < TIME_LIMIT_US).all():
        raise EventError("t has times that are not finite, or too large (expected seconds)")
    return times_us.astype(np.int64)


def _zero_or_one(p: NDArray[Any]) -> NDArray[Any]:
    """Map polarities -1 and 1 to False and True; return others unchanged."""
    return p > 0 if p.dtype.kind == "i" and p.size and p.min() < 0 and (np.abs(p) == 1).all() else p


def _check_columns(
    t: NDArray[Any], x: NDArray[Any], y: NDArray[Any], p: NDArray[Any], sensor: SensorSize, first: int
) -> None:
    """Check the order, range and polarity of event columns of equal length."""
    # Find the first event that breaks each rule, and report the earliest of them.
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

    if wrong:
        event, message = min(wrong)
        raise EventError(f"event {first + event} {message}")

    check_order(t, first=first)
    _check_range([*t[:1].tolist(), *t[-1:].tolist()])
