"""One sensor's events as another sensor would have them: a region of it, moved, made larger or smaller.

Scaled down, a pixel stands for a block of n pixels, and its brightness for the mean of theirs. An event of one of them
moves that mean by 1 / n of a contrast threshold, up (ON) or down (OFF); the pixel fires whenever the mean has moved by
a whole threshold, and keeps the rest (Gruel et al., "Event data downscaling for embedded computer vision", VISAPP 2022,
the log-luminance method, whose pixels also sum up the changes of their block). So an edge that crosses the block, and
makes each of its pixels fire once, makes it fire once. Scaled up, an event is one of each pixel that its own covers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..errors import EventError
from ..events import Events, SensorSize
from ..filters import count_pixels, find_hot_pixels

CENTRAL_SHARE = 0.98  # of the events of each axis that a region found by itself holds
MARGIN_SHARE = 0.05  # of its length that is added on either side


@dataclass(frozen=True)
class Region:
    """A rectangle of pixels."""

    left: int
    top: int
    size: SensorSize

    @classmethod
    def whole(cls, sensor: SensorSize) -> Region:
        """All of a sensor."""
        return cls(0, 0, sensor)

    @classmethod
    def parse(cls, text: str) -> Region:
        """The rectangle written as WIDTHxHEIGHT+LEFT+TOP."""
        width, height, left, top = map(int, re.split(r"[x+]", text))
        return cls(left, top, SensorSize(width=width, height=height))

    def __str__(self) -> str:
        return f"{self.size}+{self.left}+{self.top}"


@dataclass(frozen=True, eq=False)
class Fit:
    """Where each pixel of a sensor goes on another.

    Args:
        source: The sensor that events come from.
        target: The sensor that they shall have.
        region: The part of the source that is looked at.
        columns: int32 [2, width]: the first column of the target that a column of the source covers, and the one after
            the last; the same where it is not seen.
        rows: int32 [2, height], likewise.
        areas: int32 [H, W] of the target: number of source pixels that a pixel stands for; 0 where there is none.
    """

    source: SensorSize
    target: SensorSize
    region: Region
    columns: NDArray[np.int32]
    rows: NDArray[np.int32]
    areas: NDArray[np.int32]

    @property
    def changes_nothing(self) -> bool:
        """Whether every event stays what and where it is."""
        return self.source == self.target and self.region == Region.whole(self.source)


def plan_fit(
    source: SensorSize, target: SensorSize, how: Literal["crop", "scale"], region: Region | None = None
) -> Fit:
    """Where the pixels of a sensor go on another.

    Args:
        source: The sensor that events come from.
        target: The sensor that they shall have.
        how: `crop` puts the middle of the region on the middle of the target, pixel on pixel, and leaves out what lies
            beyond; `scale` makes it as large as the target allows, at the same ratio of its sides, in the middle.
        region: The part of the source that is looked at; all of it by default.

    Raises:
        EventError: The region does not lie inside the source.
    """
    region = region or Region.whole(source)
    if region.left + region.size.width > source.width or region.top + region.size.height > source.height:
        raise EventError(f"a region of {region} does not lie inside the sensor of {source}")
    size = scaled_size(region.size, target) if how == "scale" else region.size
    columns, per_column = _along(source.width, target.width, region.left, region.size.width, size.width)
    rows, per_row = _along(source.height, target.height, region.top, region.size.height, size.height)
    return Fit(source, target, region, columns, rows, np.multiply.outer(per_row, per_column))


def scaled_size(size: SensorSize, target: SensorSize) -> SensorSize:
    """The largest size inside a target at about the same ratio of the sides."""
    factor = min(target.width / size.width, target.height / size.height)
    width, height = (max(1, round(side * factor)) for side in (size.width, size.height))
    return SensorSize(width=min(width, target.width), height=min(height, target.height))


def _along(
    source: int, target: int, begin: int, length: int, scaled: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Of one axis: where the places of a source go, [2, source], and how many each place of the target takes.

    Place k of the `length` places from `begin` on covers k * scaled / length to (k + 1) * scaled / length: where they
    shrink, it goes to the place that it begins in; where they grow, to all places that begin in it.
    """
    edges = np.arange(length + 1, dtype=np.int64) * scaled
    first, stop = edges[:-1] // length, edges[:-1] // length + 1
    if scaled > length:
        first, stop = -(-edges[:-1] // length), -(-edges[1:] // length)
    shift = (target - scaled) // 2
    places = np.zeros((2, source), np.int64)
    places[:, begin : begin + length] = np.clip([first + shift, stop + shift], 0, target)
    taken = np.zeros(target, np.int32)
    for one, after in places.T.tolist():
        taken[one:after] += 1
    return places.astype(np.int32), taken


@dataclass(frozen=True, eq=False)
class FitState:
    """By how much of their area the pixels of the target have moved since they fired last: int32 [H, W]."""

    moved: NDArray[np.int32]


def start_fit(fit: Fit) -> FitState:
    """The state before the first event."""
    return FitState(np.zeros(fit.areas.shape, np.int32))


def fit_events(events: Events, fit: Fit, state: FitState) -> tuple[Events, FitState]:
    """The events that the target has, and the state after them; the given state stays as it is.

    Raises:
        EventError: The events come from another sensor than the source.
    """
    if events.sensor != fit.source:
        raise EventError(f"events come from a sensor of {events.sensor}, expected {fit.source}")
    if fit.changes_nothing:
        return events, state
    moved = state.moved.copy()
    grown = int((fit.columns[1] - fit.columns[0]).max(initial=0) * (fit.rows[1] - fit.rows[0]).max(initial=0))
    room = len(events) * max(1, grown)
    t, x, y, p = np.empty(room, np.int64), np.empty(room, np.int16), np.empty(room, np.int16), np.empty(room, np.bool_)
    count = _fit(events.t, events.x, events.y, events.p, fit.columns, fit.rows, fit.areas, moved, t, x, y, p)
    t, x, y, p = t[:count].copy(), x[:count].copy(), y[:count].copy(), p[:count].copy()
    return Events.from_checked(t, x, y, p, fit.target), FitState(moved)


def fit_stream(parts: Iterable[Events], fit: Fit) -> Iterator[Events]:
    """As `fit_events`, of consecutive parts of one recording; however it is cut, the events are the same."""
    state = start_fit(fit)
    for part in parts:
        events, state = fit_events(part, fit, state)
        yield events


def find_region(parts: Iterable[Events], sensor: SensorSize) -> Region | None:
    """The part of a sensor in which things happen, or None where there are no events.

    In each axis it holds the central 98 % of the events (hot pixels left out, see `find_hot_pixels`), and a twentieth
    of its length more on either side.
    """
    counts = count_pixels(parts, sensor)
    counts[find_hot_pixels(counts)] = 0
    if not counts.any():
        return None
    (left, width), (top, height) = _central(counts.sum(axis=0)), _central(counts.sum(axis=1))
    return Region(left, top, SensorSize(width=width, height=height))


def _central(counts: NDArray[np.int64]) -> tuple[int, int]:
    """The first place and the number of places of the central share of counts along an axis, and its margins."""
    below = counts.cumsum() / counts.sum()
    first = int(np.searchsorted(below, (1 - CENTRAL_SHARE) / 2, side="right"))
    last = int(np.searchsorted(below, (1 + CENTRAL_SHARE) / 2))
    margin = round(MARGIN_SHARE * (last + 1 - first))
    first, stop = max(0, first - margin), min(len(counts), last + 1 + margin)
    return first, stop - first


def around(region: Region, sensor: SensorSize, size: SensorSize) -> Region:
    """The rectangle of a size, or as much of it as the sensor has, whose middle is nearest to that of a region."""
    width, height = min(size.width, sensor.width), min(size.height, sensor.height)
    left = region.left + (region.size.width - width) // 2
    top = region.top + (region.size.height - height) // 2
    left, top = min(max(left, 0), sensor.width - width), min(max(top, 0), sensor.height - height)
    return Region(left, top, SensorSize(width=width, height=height))


def in_shape(region: Region, sensor: SensorSize, target: SensorSize) -> Region:
    """A region made wider or higher to the target's ratio of sides, as far as the sensor reaches."""
    width = max(region.size.width, round(region.size.height * target.width / target.height))
    height = max(region.size.height, round(region.size.width * target.height / target.width))
    return around(region, sensor, SensorSize(width=min(width, sensor.width), height=min(height, sensor.height)))


@njit(cache=True, nogil=True, error_model="numpy")
def _fit(
    t: NDArray[np.int64], x: NDArray[np.int16], y: NDArray[np.int16], p: NDArray[np.bool_],
    columns: NDArray[np.int32], rows: NDArray[np.int32], areas: NDArray[np.int32], moved: NDArray[np.int32],
    to_t: NDArray[np.int64], to_x: NDArray[np.int16], to_y: NDArray[np.int16], to_p: NDArray[np.bool_],
) -> int:  # fmt: skip
    """Writes the events of the target, and returns their number."""
    count = 0
    for event in range(t.size):
        column, row = np.uintp(x[event]), np.uintp(y[event])
        step = np.int32(1 if p[event] else -1)
        for to_row in range(rows[0, row], rows[1, row]):
            for to_column in range(columns[0, column], columns[1, column]):
                place = np.uintp(to_row), np.uintp(to_column)
                now, area = moved[place] + step, areas[place]
                if abs(now) >= area:
                    to_t[count], to_x[count], to_y[count], to_p[count] = t[event], to_column, to_row, p[event]
                    count += 1
                    now -= step * area
                moved[place] = now
    return count
