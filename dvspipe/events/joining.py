"""Join parts and recordings, merge recordings by time, and divide them into windows.

A recording is an iterable of parts, `Events` in time order, so none of these functions needs all of it in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError, EventError, brief
from .events import Events, check_order
from .sensor import SensorSize, SensorSizeLike, as_integer
from .span import EARLIEST_US, LATEST_US


def concatenate(parts: Events | Iterable[Events], sensor: SensorSizeLike | None = None) -> Events:
    """Join consecutive parts of a recording.

    Args:
        parts: Any number of parts in time order.
        sensor: Sensor of all parts; None: sensor of the first part.

    Raises:
        EventError: If the sensor of a part differs, a part begins before the previous part ends, a part is not
            `Events`, or there is neither a part nor a sensor.

    Example:
        >>> events = Events([0, 5, 9], [3, 4, 4], [1, 1, 6], [1, 0, 1], "12x7")
        >>> concatenate([events[:1], events[1:]]) == events
        True
    """
    consecutive = list(checked_parts(parts, sensor))
    if sensor is None:
        if not consecutive:
            raise EventError("concatenate: no parts and no sensor; use sensor=WxH to join no parts")
        sensor = consecutive[0].sensor
    return _join(consecutive, SensorSize.of(sensor))


def checked_parts(parts: Events | Iterable[Events], sensor: SensorSizeLike | None = None) -> Iterator[Events]:
    """Yield the parts of a recording, which continue each other; `Events` are one part.

    Every function that takes parts takes them from here: what follows needs no check.

    Args:
        parts: Events, or consecutive parts of a recording.
        sensor: Sensor of all parts; None: sensor of the first part.

    Raises:
        EventError: If a part is not `Events`, has another sensor, or begins before the previous part ends.
    """
    sensor = None if sensor is None else SensorSize.of(sensor)
    count = 0
    last_us = EARLIEST_US
    for part in [parts] if isinstance(parts, Events) else parts:
        sensor = check_part(part, sensor, count, last_us)
        yield part

        count += len(part)
        last_us = int(part.t[-1]) if len(part) else last_us


def check_part(part: Events, sensor: SensorSize | None, count: int, last_us: int) -> SensorSize:
    """Check the part of a recording that follows `count` events, the last one at `last_us`; return its sensor."""
    if not isinstance(part, Events):
        raise EventError(f"wrong type of a part (found {brief(part)}, expected Events)")
    if sensor not in (None, part.sensor):
        raise EventError(f"wrong sensor of a part (found {part.sensor}, expected {sensor})")

    check_order(part.t[:1], first=count, last_us=last_us)
    return part.sensor


def _join(parts: Sequence[Events], sensor: SensorSize) -> Events:
    """Join consecutive parts."""
    filled = list(filter(len, parts))
    if len(filled) == 1:
        return filled[0]

    # An empty part gives the columns their types if there are no others.
    t, x, y, p = _join_columns([Events.empty(sensor), *filled])
    return Events.wrap_unchecked(t, x, y, p, sensor)


def _join_columns(parts: Sequence[Events]) -> tuple[NDArray[Any], ...]:
    """Return the columns t, x, y and p of consecutive parts."""
    return tuple(np.concatenate([getattr(part, name) for part in parts]) for name in "txyp")


def merge_streams(streams: Sequence[Iterable[Events]]) -> Iterator[Events]:
    """Merge simultaneous recordings of one sensor by time, in bounded memory.

    Args:
        streams: Consecutive parts of each recording.

    Yields:
        All events, sorted by time; events at the same time keep the order of the streams.

    Raises:
        EventError: If the sensor of a part differs, or a part begins before the previous part ends.
    """
    known: list[Events] = []
    later: list[Iterator[Events]] = []
    for parts in streams:
        filled = filter(len, checked_parts(parts))
        first = next(filled, None)
        if first is not None:
            known.append(first)
            later.append(filled)

    for events in known:
        if events.sensor != known[0].sensor:
            raise EventError(f"wrong sensor of a recording (found {events.sensor}, expected {known[0].sensor})")

    # A stream is known before the time of its last known event; an ended stream, completely.
    horizons_us = [int(events.t[-1]) for events in known]
    while True:
        until_us = min(horizons_us, default=LATEST_US)
        ready = [events.between(EARLIEST_US, until_us) for events in known]
        if any(map(len, ready)):
            t, x, y, p = _join_columns(ready)
            order = np.argsort(t, kind="stable")
            yield Events.wrap_unchecked(t[order], x[order], y[order], p[order], known[0].sensor)

        if until_us == LATEST_US:
            return

        for k, events in enumerate(known):
            known[k] = events.between(until_us, LATEST_US)
            if horizons_us[k] == until_us:
                part = next(later[k], None)
                known[k] = known[k] if part is None else _join([known[k], part], part.sensor)
                horizons_us[k] = LATEST_US if part is None else int(part.t[-1])


def join_streams(streams: Iterable[Iterable[Events]], gap_us: int = 0) -> Iterator[Events]:
    """Yield recordings of one sensor in sequence, each shifted to begin `gap_us` after the end of the previous one.

    Args:
        streams: Consecutive parts of each recording; the first recording keeps its times.
        gap_us: Time between two recordings in microseconds, >= 0.

    Raises:
        ConfigError: If the time is negative.
        EventError: If the sensor of a part differs, or a part begins before the previous part ends.
    """
    gap_us = as_integer("gap_us", gap_us)
    if gap_us < 0:
        raise ConfigError(f"gap_us = {gap_us}: expected 0 or more")

    last_us: int | None = None
    sensor: SensorSize | None = None
    for stream in streams:
        # The first event of a recording determines its offset.
        offset_us: int | None = None
        for part in checked_parts(stream, sensor):
            sensor = part.sensor
            if len(part) and offset_us is None:
                offset_us = 0 if last_us is None else last_us + gap_us - int(part.t[0])
            moved = part.shift_time(offset_us or 0)
            last_us = int(moved.t[-1]) if len(moved) else last_us
            yield moved


def windows(parts: Events | Iterable[Events], window_us: int) -> Iterator[tuple[int, Events]]:
    """Yield consecutive windows of a recording, starting at its first event; memory is bounded by the busiest window.

    Args:
        parts: Events, or consecutive parts of a recording.
        window_us: Length of a window in microseconds, > 0.

    Yields:
        Start time in microseconds and events of each window that has events.

    Raises:
        ConfigError: If `window_us` is not positive.
        EventError: If parts are not consecutive `Events` of one sensor.

    Example:
        >>> events = Events([0, 5, 25], [3, 4, 4], [1, 1, 6], [1, 0, 1], "12x7")
        >>> [(start_us, len(window)) for start_us, window in windows(events, 10)]
        [(0, 2), (20, 1)]
    """
    window_us = as_integer("window_us", window_us)
    if window_us < 1:
        raise ConfigError(f"windows: window_us = {window_us}: out of range (expected 1 or more microseconds)")

    start_us: int | None = None
    waiting: list[Events] = []  # parts of the current window
    for part in checked_parts(parts):
        if not len(part):
            continue

        start_us = int(part.t[0]) if start_us is None else start_us
        while part.t[-1] >= start_us + window_us:
            waiting.append(part.between(start_us, start_us + window_us))
            window = _join(waiting, part.sensor)
            if len(window):
                yield start_us, window

            # Continue with the window of the next event: windows without events are skipped.
            part = part.between(start_us + window_us, int(part.t[-1]) + 1)
            waiting = []
            start_us += (int(part.t[0]) - start_us) // window_us * window_us
        waiting.append(part)

    if start_us is not None:
        yield start_us, _join(waiting, waiting[0].sensor)
