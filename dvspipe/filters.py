"""Events without those that sensors make of themselves: hot pixels, too fast repeats, isolated noise.

Up to three filters, in this order, each seeing what the one before it left:

1. Hot pixels: every event of a given set of pixels goes. `find_hot_pixels` finds them in the counts of a first pass.
2. Refractory period: an event goes when it comes less than `refractory_us` after the last event that its pixel kept, as
   in a pixel that is held in reset after each event. What was dropped does not prolong the period.
3. Background activity: an event goes when none of its 8 neighbours fired within `activity_us` before it.
   Source: Delbruck, "Frame-free dynamic digital vision", Proc. Int. Symp. on Secure-Life Electronics (2008).

A filter sees only what is ahead of an event in the recording, so any cutting into parts gives the same events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field

from .config import Settings
from .errors import EventError
from .events import Events, SensorSize

HOT_PIXEL_FACTOR = 10.0
"""Finds what stands out to the eye in real recordings of a DVXplorer and of N-Caltech101, and nothing in the scenes of
a DAVIS346 and of N-MNIST; at 5, moving hands of DVS Gesture are taken for hot."""
LONGEST_PERIOD_US = 1 << 40  # 13 days; sums of times and periods stay inside int64
NEVER_US = np.iinfo(np.int64).min


class FilterConfig(Settings):
    """Which filters events pass; None leaves one out."""

    refractory_us: int | None = Field(default=None, ge=1, le=LONGEST_PERIOD_US)
    """The least time in microseconds between two events that a pixel keeps, of either polarity."""
    activity_us: int | None = Field(default=None, ge=1, le=LONGEST_PERIOD_US)
    """How long, in microseconds, an event supports those of its neighbours; 1,000 to 50,000 are usual."""


@dataclass(frozen=True)
class FilterCounts:
    """What became of the events.

    Attributes:
        events: How many came.
        hot_pixels: Of hot pixels.
        refractory: Inside a refractory period.
        background: Without a neighbour's support.
    """

    events: int = 0
    hot_pixels: int = 0
    refractory: int = 0
    background: int = 0

    @property
    def kept(self) -> int:
        """How many were left."""
        return self.events - self.hot_pixels - self.refractory - self.background


@dataclass(frozen=True, eq=False)
class FilterState:
    """What the filters remember between two parts of a recording.

    Args:
        sensor: That all events come from.
        config: The filters' settings.
        hot: bool [H, W], pixels whose events go; [0, 0] where there is no such filter.
        ready_us: int64 [H, W], when each pixel's refractory period ends; [0, 0] where there is no such filter.
        last_us: int64 [H + 2, W + 2], each pixel's last event, inside a border of pixels that never fire; [0, 0] where
            there is no such filter.
        counts: What became of the events so far.
    """

    sensor: SensorSize
    config: FilterConfig
    hot: NDArray[np.bool_]
    ready_us: NDArray[np.int64]
    last_us: NDArray[np.int64]
    counts: FilterCounts = FilterCounts()


def start_filter(sensor: SensorSize, config: FilterConfig, *, hot: NDArray[np.bool_] | None = None) -> FilterState:
    """The state before the first event.

    Args:
        sensor: That the events will come from.
        config: The filters' settings.
        hot: bool [H, W], the pixels whose events go; None: none.

    Raises:
        EventError: `hot` has another shape or type.
    """
    shape = (sensor.height, sensor.width)
    if hot is not None and (hot.shape != shape or hot.dtype != np.bool_):
        raise EventError(f"hot has shape {hot.shape} and dtype {hot.dtype}, expected {shape} and bool")
    width, height = sensor.width, sensor.height
    return FilterState(
        sensor=sensor,
        config=config,
        hot=np.zeros((0, 0), np.bool_) if hot is None else hot.copy(),
        ready_us=np.full((height, width) if config.refractory_us else (0, 0), NEVER_US),
        last_us=np.full((height + 2, width + 2) if config.activity_us else (0, 0), NEVER_US),
    )


def filter_events(events: Events, state: FilterState) -> tuple[Events, FilterState]:
    """The events that pass, and the state after them; the given state stays as it is.

    Raises:
        EventError: The events come from another sensor than the state was started for.
    """
    return _advance(events, replace(state, ready_us=state.ready_us.copy(), last_us=state.last_us.copy()))


def filter_stream(
    parts: Iterable[Events],
    config: FilterConfig,
    *,
    hot: NDArray[np.bool_] | None = None,
    tell: Callable[[FilterCounts], None] | None = None,
) -> Iterator[Events]:
    """The events that pass: for each part of a recording one, which may be empty; together the same for any parts.

    Args:
        parts: Consecutive parts of one recording.
        config: The filters' settings.
        hot: bool [H, W], the pixels whose events go; None: none.
        tell: Is told after each part what became of the events so far.

    Raises:
        EventError: The parts come from different sensors, or `hot` does not fit them.

    Example:
        >>> kept = list(filter_stream(iterate("clip.h5"), FilterConfig(refractory_us=500, activity_us=10_000)))
    """
    state = None
    for events in parts:
        state = state or start_filter(events.sensor, config, hot=hot)
        kept, state = _advance(events, state)
        if tell is not None:
            tell(state.counts)
        yield kept


def count_pixels(parts: Iterable[Events], sensor: SensorSize) -> NDArray[np.int64]:
    """The number of events of each pixel: int64 [H, W].

    Raises:
        EventError: A part comes from another sensor.
    """
    counts = np.zeros((sensor.height, sensor.width), np.int64)
    for events in parts:
        _check_sensor(events, sensor)
        _count(events.x, events.y, counts)
    return counts


def find_hot_pixels(counts: NDArray[np.int64], factor: float = HOT_PIXEL_FACTOR) -> NDArray[np.bool_]:
    """The pixels that fire far more often than what is around them.

    A pixel is hot when it has more than `factor` times the events of the second busiest of its 8 neighbours, and more
    than `factor` times those of the median pixel among the ones that fired at all. The neighbours tell a hot pixel from
    a busy place of the scene, which is larger than a pixel; the second of them, so that of two hot pixels side by side
    both are found. The median holds while less than half of the pixels that fired are hot. Of three that touch each
    other none is found; of a line one pixel thin in a steady scene, the two ends are.

    Args:
        counts: int64 [H, W], events per pixel over the whole recording, as `count_pixels` gives them.
        factor: How much is far more, > 1.

    Returns:
        bool [H, W].
    """
    fired = counts[counts > 0]
    if not fired.size:
        return np.zeros(counts.shape, np.bool_)
    return np.asarray(counts > factor * np.maximum(_second_busiest(counts), np.median(fired)))


def _second_busiest(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The second largest count among each pixel's neighbours: [H, W]; outside the sensor they count 0."""
    height, width = counts.shape
    padded = np.pad(counts, 1)
    first, second, smaller = np.zeros_like(counts), np.zeros_like(counts), np.empty_like(counts)
    for row, column in product(range(3), repeat=2):
        if (row, column) != (1, 1):
            neighbour = padded[row : row + height, column : column + width]
            np.maximum(second, np.minimum(first, neighbour, out=smaller), out=second)
            np.maximum(first, neighbour, out=first)
    return second


def _check_sensor(events: Events, sensor: SensorSize) -> None:
    if events.sensor != sensor:
        raise EventError(f"a part comes from a sensor of {events.sensor}, expected {sensor}")


def _advance(events: Events, state: FilterState) -> tuple[Events, FilterState]:
    """As `filter_events`, but writes to the arrays of the given state."""
    _check_sensor(events, state.sensor)
    columns = (events.t, events.x, events.y, events.p)
    kept: list[NDArray[Any]] = [np.empty_like(column) for column in columns]
    config, counts = state.config, state.counts
    count, hot, refractory = _filter(
        *columns,
        *kept,
        state.sensor.width,
        state.hot.ravel(),
        state.ready_us.ravel(),
        config.refractory_us or 0,
        state.last_us.ravel(),
        config.activity_us or 0,
    )
    counts = FilterCounts(
        events=counts.events + len(events),
        hot_pixels=counts.hot_pixels + hot,
        refractory=counts.refractory + refractory,
        background=counts.background + len(events) - count - hot - refractory,
    )
    # Copies, so that a stream of which little is kept does not hold on to the room for all of it.
    t, x, y, p = (column[:count].copy() for column in kept)
    return Events._trusted(t, x, y, p, state.sensor), replace(state, counts=counts)


@njit(cache=True, nogil=True, error_model="numpy")
def _count(x: NDArray[np.int16], y: NDArray[np.int16], counts: NDArray[np.int64]) -> None:
    for event in range(x.size):
        counts[np.uintp(y[event]), np.uintp(x[event])] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _filter(
    t: NDArray[np.int64], x: NDArray[np.int16], y: NDArray[np.int16], p: NDArray[np.bool_],
    kept_t: NDArray[np.int64], kept_x: NDArray[np.int16], kept_y: NDArray[np.int16], kept_p: NDArray[np.bool_],
    width: int,
    hot: NDArray[np.bool_],
    ready_us: NDArray[np.int64], refractory_us: int,
    last_us: NDArray[np.int64], activity_us: int,
) -> tuple[int, int, int]:  # fmt: skip
    """Copies the events that pass; how many these are, and how many hot pixels and refractory periods took.

    Whether an event passes is a number and no branch, because noise makes branches unpredictable.
    """
    count = np.uintp(0)
    of_hot = of_refractory = 0
    columns, above = np.uintp(width), np.uintp(width + 2)
    one, two = np.uintp(1), np.uintp(2)
    for event in range(t.size):
        now_us, column, row = t[event], np.uintp(x[event]), np.uintp(y[event])
        pixel = row * columns + column
        passes = True
        if hot.size:
            passes = not hot[pixel]
            of_hot += not passes
        if refractory_us:
            ready = now_us >= ready_us[pixel]
            of_refractory += passes & (not ready)
            passes &= ready
            ready_us[pixel] = now_us + refractory_us if passes else ready_us[pixel]
        if activity_us:
            corner = row * above + column  # upper left neighbour, in the bordered array
            here = corner + above + one
            below = corner + above + above
            newest_us = max(
                max(max(last_us[corner], last_us[corner + one]), max(last_us[corner + two], last_us[here - one])),
                max(max(last_us[here + one], last_us[below]), max(last_us[below + one], last_us[below + two])),
            )
            last_us[here] = now_us if passes else last_us[here]
            passes &= newest_us >= now_us - activity_us
        kept_t[count], kept_x[count], kept_y[count], kept_p[count] = now_us, x[event], y[event], p[event]
        count += np.uintp(passes)
    return int(count), of_hot, of_refractory
