"""Events of one sensor as another sensor would record them: a region, moved, and scaled down or up.

Scaled down, a pixel stands for a block of n pixels, and its brightness for their mean. An event of one of them changes
that mean by 1 / n of a contrast threshold, up (ON) or down (OFF). The pixel has an event each time the mean has changed
by a full threshold, and keeps the remainder (Gruel et al., "Event data downscaling for embedded computer vision",
VISAPP 2022, the log-luminance method, in which pixels also sum the changes of their block). An edge that crosses the
block, and causes one event at each of its pixels, so causes one event. Scaled up, an event becomes one at each pixel
that its own pixel covers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..errors import EventError
from ..events import Events, Region, SensorSize


class PixelMap(NamedTuple):
    """Which pixels of the target each pixel of the source covers.

    Args:
        columns: int32 [2, width], for each column of the source the first column of the target and the one after the
            last; equal if there is none.
        rows: int32 [2, height], likewise.
        areas: int32 [H, W] of the target, number of source pixels that a pixel stands for.
    """

    columns: NDArray[np.int32]
    rows: NDArray[np.int32]
    areas: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Fit:
    """Where each pixel of a sensor goes on another.

    Args:
        source: The sensor that events come from.
        target: The sensor that they are for.
        region: The part of the source that is used.
        pixels: Which pixels of the target each pixel of the source covers.
    """

    source: SensorSize
    target: SensorSize
    region: Region
    pixels: PixelMap

    @property
    def is_identity(self) -> bool:
        """Whether events stay as they are."""
        return self.source == self.target and self.region == Region.full(self.source)


def plan_fit(
    source: SensorSize, target: SensorSize, mode: Literal["crop", "scale"], region: Region | None = None
) -> Fit:
    """Return where the pixels of a sensor go on another.

    Args:
        source: The sensor that events come from.
        target: The sensor that they are for.
        mode: `crop` puts the center of the region on the center of the target, pixel on pixel, without what does not
            fit; `scale` makes it as large as the target allows, at the same aspect ratio, centered.
        region: The part of the source to use; None: all of it. Where it reaches beyond the source, there are no events.

    Raises:
        EventError: The region is outside the source.
    """
    region = region or Region.full(source)
    if region.overlap(source) is None:
        raise EventError(f"region {region}: outside the sensor of {source}")
    size = scaled_size(region.size, target) if mode == "scale" else region.size
    columns, per_column = _map_axis(source.width, target.width, region.left, region.size.width, size.width)
    rows, per_row = _map_axis(source.height, target.height, region.top, region.size.height, size.height)
    return Fit(source, target, region, PixelMap(columns, rows, np.multiply.outer(per_row, per_column)))


def scaled_size(size: SensorSize, target: SensorSize) -> SensorSize:
    """Return the largest size inside a target with about the same aspect ratio."""
    factor = min(target.width / size.width, target.height / size.height)
    width, height = (max(1, round(side * factor)) for side in (size.width, size.height))
    return SensorSize(width=min(width, target.width), height=min(height, target.height))


def _map_axis(
    source: int, target: int, start: int, length: int, scaled: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return where the pixels of the source go along one axis, [2, source], and how many each of the target stands for.

    Pixel k of the `length` pixels from `start` covers k * scaled / length to (k + 1) * scaled / length. Scaled down, it
    goes to the pixel that it starts in; scaled up, to all pixels that start in it.
    """
    edges = np.arange(length + 1, dtype=np.int64) * scaled
    first, stop = edges[:-1] // length, edges[:-1] // length + 1
    if scaled > length:
        first, stop = -(-edges[:-1] // length), -(-edges[1:] // length)
    shift = (target - scaled) // 2
    places = np.zeros((2, source), np.int64)
    low, high = max(0, start), min(source, start + length)
    places[:, low:high] = np.clip([first + shift, stop + shift], 0, target)[:, low - start : high - start]
    areas = np.zeros(target, np.int32)
    for one, after in places.T.tolist():
        areas[one:after] += 1
    return places.astype(np.int32), areas


@dataclass(frozen=True, eq=False)
class FitState:
    """Change of the pixels of the target since their last event: int32 [H, W], in thresholds / area."""

    change: NDArray[np.int32]


def start_fit(fit: Fit) -> FitState:
    """Return the state before the first event."""
    return FitState(np.zeros(fit.pixels.areas.shape, np.int32))


def fit_events(events: Events, fit: Fit, state: FitState) -> tuple[Events, FitState]:
    """Return the events of the target, and the next state.

    Raises:
        EventError: The events come from another sensor than the source.
    """
    if events.sensor != fit.source:
        raise EventError(f"events come from a sensor of {events.sensor}, expected {fit.source}")
    if fit.is_identity:
        return events, state
    change = state.change.copy()
    columns, rows, _ = fit.pixels
    copies = int((columns[1] - columns[0]).max(initial=0) * (rows[1] - rows[0]).max(initial=0))
    room = len(events) * max(1, copies)
    out = _Columns(
        np.empty(room, np.int64), np.empty(room, np.int16), np.empty(room, np.int16), np.empty(room, np.bool_)
    )
    count = _fit(_Columns(events.t, events.x, events.y, events.p), fit.pixels, change, out)
    t, x, y, p = out.t[:count].copy(), out.x[:count].copy(), out.y[:count].copy(), out.p[:count].copy()
    return Events.wrap_unchecked(t, x, y, p, fit.target), FitState(change)


def fit_stream(parts: Iterable[Events], fit: Fit) -> Iterator[Events]:
    """Yield what `fit_events` returns for consecutive parts of a recording; it does not depend on where they end."""
    state = start_fit(fit)
    for part in parts:
        events, state = fit_events(part, fit, state)
        yield events


class _Columns(NamedTuple):
    t: NDArray[np.int64]
    x: NDArray[np.int16]
    y: NDArray[np.int16]
    p: NDArray[np.bool_]


@njit(cache=True, nogil=True, error_model="numpy")
def _fit(events: _Columns, pixels: PixelMap, change: NDArray[np.int32], out: _Columns) -> int:
    """Write the events of the target, update the change of its pixels, and return the number of events."""
    t, x, y, p = events
    columns, rows, areas = pixels
    to_t, to_x, to_y, to_p = out
    count = 0
    for event in range(t.size):
        column, row = np.uintp(x[event]), np.uintp(y[event])
        step = np.int32(1 if p[event] else -1)
        for to_row in range(rows[0, row], rows[1, row]):
            for to_column in range(columns[0, column], columns[1, column]):
                place = np.uintp(to_row), np.uintp(to_column)
                now, area = change[place] + step, areas[place]
                if abs(now) >= area:
                    to_t[count], to_x[count], to_y[count], to_p[count] = t[event], to_column, to_row, p[event]
                    count += 1
                    now -= step * area
                change[place] = now
    return count
