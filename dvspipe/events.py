"""Events and their sensor: the type that every stage of dvspipe passes on.

An event is (t, x, y, p): at time t (integer microseconds) the pixel in column x and row y (y counts downwards)
became brighter (p is True, ON) or darker (p is False, OFF) by its contrast threshold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import EventError

MAX_SIDE_PX = 32767  # x and y are int16
EARLIEST_US, LATEST_US = -(2**63), 2**63 - 1

STRUCTURED_DTYPE = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.bool_)])


@dataclass(frozen=True)
class SensorSize:
    """The size of a sensor's pixel array.

    Args:
        width: Columns, 1 to 32767.
        height: Rows, 1 to 32767.

    Raises:
        EventError: A side is outside that range.
    """

    width: int
    height: int

    def __post_init__(self) -> None:
        for name, side in (("width", self.width), ("height", self.height)):
            if not 1 <= side <= MAX_SIDE_PX:
                raise EventError(f"a sensor of {self}: its {name} is {side}, expected 1 to {MAX_SIDE_PX} pixels")

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @classmethod
    def parse(cls, text: str) -> SensorSize:
        """The size written as WIDTHxHEIGHT, such as 346x260.

        Raises:
            EventError: The text has another form.
        """
        width, _, height = text.lower().partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            raise EventError(f"sensor size {text!r} is not of the form WIDTHxHEIGHT, such as 346x260")
        return cls(width=int(width), height=int(height))


class Events:
    """Events of one sensor, sorted by time; checked when built and read-only from then on.

    Args:
        t: [N] times in microseconds, non-decreasing.
        x: [N] columns, 0 to width - 1.
        y: [N] rows, downwards, 0 to height - 1.
        p: [N] polarities, True (or 1) = ON, False (or 0) = OFF.
        sensor: The pixel array that they come from.

    Attributes:
        t: int64 [N].
        x: int16 [N].
        y: int16 [N].
        p: bool [N].
        sensor: As given.

    Raises:
        EventError: Lengths differ, a value is not of its kind, times go back, or a pixel lies outside the sensor.

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

    def __init__(self, t: ArrayLike, x: ArrayLike, y: ArrayLike, p: ArrayLike, sensor: SensorSize) -> None:
        columns = {name: np.asarray(column) for name, column in zip("txyp", (t, x, y, p), strict=True)}
        for name, column in columns.items():
            if column.ndim != 1 or len(column) != len(columns["t"]):
                raise EventError(
                    f"{name} has shape {column.shape}, expected one value for each of the {columns['t'].size} times"
                )
            if len(column) and column.dtype.kind not in "iub":
                raise EventError(f"{name} has dtype {column.dtype}, expected integers")
        check_columns(**columns, sensor=sensor)
        self._set(
            columns["t"].astype(np.int64),
            columns["x"].astype(np.int16),
            columns["y"].astype(np.int16),
            columns["p"].astype(np.bool_),
            sensor,
        )

    def _set(
        self,
        t: NDArray[np.int64],
        x: NDArray[np.int16],
        y: NDArray[np.int16],
        p: NDArray[np.bool_],
        sensor: SensorSize,
    ) -> None:
        columns: dict[str, NDArray[Any]] = {"t": t, "x": x, "y": y, "p": p}
        for name, column in columns.items():
            column.flags.writeable = False
            object.__setattr__(self, name, column)
        object.__setattr__(self, "sensor", sensor)

    @classmethod
    def _trusted(
        cls,
        t: NDArray[np.int64],
        x: NDArray[np.int16],
        y: NDArray[np.int16],
        p: NDArray[np.bool_],
        sensor: SensorSize,
    ) -> Events:
        """Events from arrays that are right by construction and that nobody else writes to."""
        events = cls.__new__(cls)
        events._set(t, x, y, p, sensor)
        return events

    @classmethod
    def empty(cls, sensor: SensorSize) -> Events:
        """No events."""
        return cls([], [], [], [], sensor)

    @classmethod
    def from_structured(cls, array: NDArray[np.void], sensor: SensorSize) -> Events:
        """Events from a structured array with fields x, y, t and p, as Tonic's loaders and transforms give them.

        Raises:
            EventError: A field is missing, or the events break a rule of `Events`.
        """
        names = array.dtype.names or ()
        missing = [name for name in "xytp" if name not in names]
        if missing:
            raise EventError(f"structured events have the fields {names}, expected x, y, t and p")
        return cls(array["t"], array["x"], array["y"], array["p"], sensor)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Events are read-only; make new ones instead of setting {name}")

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
        """Time from the first event to the last, 0 where there are none."""
        return int(self.t[-1] - self.t[0]) if len(self) else 0

    def structured(self) -> NDArray[np.void]:
        """The events as Tonic's structured array: fields x int16, y int16, t int64, p bool."""
        array = np.empty(len(self), dtype=STRUCTURED_DTYPE)
        for name in "xytp":
            array[name] = getattr(self, name)
        return array

    def slice_time(self, start_us: int, stop_us: int) -> Events:
        """The events with start_us <= t < stop_us, without copying."""
        first, last = np.searchsorted(self.t, (start_us, stop_us), side="left")
        return self.slice_events(int(first), max(int(first), int(last)))

    def slice_events(self, first: int, stop: int) -> Events:
        """The events number `first` to `stop` - 1, counted from 0, as far as there are any, without copying."""
        part = slice(first, stop)
        return Events._trusted(self.t[part], self.x[part], self.y[part], self.p[part], self.sensor)

    def shift_time(self, offset_us: int) -> Events:
        """The events with offset_us added to every time."""
        return Events._trusted(self.t + offset_us, self.x.view(), self.y.view(), self.p.view(), self.sensor)

    def crop(self, left: int, top: int, sensor: SensorSize) -> Events:
        """The events inside a rectangle of the given size whose upper left corner (left, top) becomes the origin.

        Raises:
            EventError: The rectangle does not lie inside the sensor.
        """
        if left < 0 or top < 0 or left + sensor.width > self.sensor.width or top + sensor.height > self.sensor.height:
            raise EventError(f"a crop of {sensor} at ({left}, {top}) does not lie inside the sensor of {self.sensor}")
        x, y = self.x - np.int16(left), self.y - np.int16(top)
        keep = (x >= 0) & (x < sensor.width) & (y >= 0) & (y < sensor.height)
        return Events._trusted(self.t[keep], x[keep], y[keep], self.p[keep], sensor)


def check_columns(
    t: NDArray[Any],
    x: NDArray[Any],
    y: NDArray[Any],
    p: NDArray[Any],
    sensor: SensorSize,
) -> None:
    """Checks order, range and polarity of event columns of equal length.

    Raises:
        EventError: Names the first event that breaks a rule.
    """
    wrong: list[tuple[int, str]] = []
    for name, column, side, word in (("x", x, sensor.width, "wide"), ("y", y, sensor.height, "high")):
        if len(column) and (column.min() < 0 or column.max() >= side):
            event = int(np.flatnonzero((column < 0) | (column >= side))[0])
            wrong.append((event, f"has {name} = {column[event]}, outside a sensor {side} pixels {word}"))
    if p.dtype != np.bool_ and len(p) and (p.min() < 0 or p.max() > 1):
        event = int(np.flatnonzero((p < 0) | (p > 1))[0])
        wrong.append((event, f"has p = {p[event]}, expected 0 (OFF) or 1 (ON)"))
    back = t[1:] < t[:-1]
    if back.any():
        event = int(np.flatnonzero(back)[0]) + 1
        wrong.append((event, f"has t = {t[event]} us, before the event ahead of it at {t[event - 1]} us"))
    if wrong:
        event, message = min(wrong)
        raise EventError(f"event {event} {message}", event=event)


def concatenate(parts: Iterable[Events], sensor: SensorSize) -> Events:
    """Consecutive parts of one recording as one; each part begins no earlier than the one before it ends.

    Args:
        parts: Any number of parts, also none.
        sensor: The sensor that all parts come from.

    Raises:
        EventError: A part comes from another sensor or begins too early.
    """
    chunks = list(parts)
    for chunk in chunks:
        if chunk.sensor != sensor:
            raise EventError(f"a part comes from a sensor of {chunk.sensor}, expected {sensor}")
    filled = [chunk for chunk in chunks if len(chunk)] or [Events.empty(sensor)]
    if len(filled) == 1:
        return filled[0]
    for before, after in pairwise(filled):
        if after.t[0] < before.t[-1]:
            raise EventError(f"a part begins at {after.t[0]} us, before the part ahead of it ends at {before.t[-1]} us")
    t, x, y, p = (np.concatenate([getattr(chunk, name) for chunk in filled]) for name in "txyp")
    return Events._trusted(t, x, y, p, sensor)


def merge(streams: Sequence[Iterable[Events]]) -> Iterator[Events]:
    """Recordings of one sensor that ran at the same time, as one, in bounded memory.

    Args:
        streams: Consecutive parts of each recording.

    Yields:
        All events in the order of time; at the same time, those of an earlier stream first.

    Raises:
        EventError: A part comes from another sensor than the first, or begins before the part ahead of it ends.
    """
    running = [_Running(first, rest) for rest in map(iter, streams) if (first := next(rest, None)) is not None]
    for stream in running:
        if stream.sensor != running[0].sensor:
            raise EventError(f"a recording comes from a sensor of {stream.sensor}, expected {running[0].sensor}")
    while True:
        until_us = min((stream.horizon_us for stream in running), default=LATEST_US)
        ready = [stream.take(until_us) for stream in running]
        if any(map(len, ready)):
            t, x, y, p = (np.concatenate([getattr(part, name) for part in ready]) for name in "txyp")
            order = np.argsort(t, kind="stable")
            yield Events._trusted(t[order], x[order], y[order], p[order], running[0].sensor)
        if until_us == LATEST_US:
            return
        for stream in running:
            if stream.horizon_us == until_us:
                stream.extend(running[0].sensor)


class _Running:
    """A stream of parts, whose beginning can be taken as far as nothing can come before it any more."""

    def __init__(self, first: Events, rest: Iterator[Events]) -> None:
        self.sensor = first.sensor
        self.horizon_us = int(first.t[-1]) if len(first) else EARLIEST_US  # nothing earlier will come
        self._held = first
        self._rest = rest

    def take(self, until_us: int) -> Events:
        """The events before a time."""
        ready, self._held = (self._held.slice_time(*span) for span in ((EARLIEST_US, until_us), (until_us, LATEST_US)))
        return ready

    def extend(self, sensor: SensorSize) -> None:
        """Holds one more part."""
        part = next(self._rest, None)
        if part is None:
            self.horizon_us = LATEST_US
            return
        self._held = concatenate([self._held, part], sensor)
        self.horizon_us = int(part.t[-1]) if len(part) else self.horizon_us


def join(streams: Iterable[Iterable[Events]], gap_us: int = 0) -> Iterator[Events]:
    """Recordings of one sensor one after another, each moved to begin `gap_us` after the last event of the one before.

    Args:
        streams: Consecutive parts of each recording; the first keeps its times.
        gap_us: Microseconds between one and the next, >= 0.
    """
    last_us: int | None = None
    for stream in streams:
        offset_us: int | None = None
        for part in stream:
            if len(part) and offset_us is None:
                offset_us = 0 if last_us is None else last_us + gap_us - int(part.t[0])
            moved = part.shift_time(offset_us or 0)
            last_us = int(moved.t[-1]) if len(moved) else last_us
            yield moved


def windows(parts: Iterable[Events], window_us: int) -> Iterator[tuple[int, Events]]:
    """A recording in consecutive windows from its first event on, in memory bounded by the busiest window.

    Args:
        parts: Consecutive parts of one recording.
        window_us: Length of a window in microseconds, > 0.

    Yields:
        The time at which a window begins, and its events; windows without events are left out. Nothing where there are
        no events.
    """
    start_us: int | None = None
    kept: list[Events] = []
    for part in parts:
        if not len(part):
            continue
        start_us = int(part.t[0]) if start_us is None else start_us
        while part.t[-1] >= start_us + window_us:
            kept.append(part.slice_time(start_us, start_us + window_us))
            window = concatenate(kept, part.sensor)
            if len(window):
                yield start_us, window
            part = part.slice_time(start_us + window_us, int(part.t[-1]) + 1)
            kept = []
            start_us += (int(part.t[0]) - start_us) // window_us * window_us
        kept.append(part)
    if start_us is not None:
        yield start_us, concatenate(kept, kept[0].sensor)
