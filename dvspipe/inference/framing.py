"""Which part of a recording shows the one who moves, over time, and the events of that part on another sensor.

The part has one size for a whole recording and only moves, by whole pixels of the target, so that its movement causes
no events. It is found by motion alone, in three steps:

1. `add_activity` counts in slices of half a second which pixels are active, in a coarse grid. A pixel counts once per
   slice, so that an outline that sways a little counts as much as a hand that waves, and only if one of its neighbours
   was active just before, as the edges of objects are and noise is not.
2. `find_place` finds the centre and the size of what moves in the sum of the slices of some seconds.
3. `find_framing` takes the median of all sizes, and follows the centres slowly.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..events import Events, Region, SensorSize, concatenate
from ..filters import check_pixels
from .fitting import Fit, fit_stream, plan_fit

SLICE_US = 500_000
SEEN_SLICES = 6  # on each side of a slice that show with it where the person is: 3 s
GRID_CELLS = 160  # of the longer side of a picture, at most
SUPPORT_US = 20_000  # after which an event supports those of its neighbours no more
MOST_ENLARGED = 4.0  # pixels of the target per pixel of the recording
SIDE_PER_SIZE = 2.8  # what is looked at, per size of what moves
SMOOTH_SLICES = 4  # standard deviation of the smoothing of the centres
PLAY = 0.06  # of the side that the centre may move before the part follows


class Place(NamedTuple):
    """Where something moves.

    Args:
        x: Column of its centre.
        y: Row of its centre.
        size: Its size in pixels.
        weight: How much of it moves.
    """

    x: float
    y: float
    size: float
    weight: float


@dataclass(frozen=True, eq=False)
class Track:
    """The place of a part of constant size in a picture, over time.

    Args:
        size: Size of the part.
        t_us: int64 [n], times from which the part is at a place; the first place also holds before its time.
        left: int64 [n], its first column; negative if the part reaches beyond the picture.
        top: int64 [n], its first row.
    """

    size: SensorSize
    t_us: NDArray[np.int64]
    left: NDArray[np.int64]
    top: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Framing:
    """Which part of a recording is looked at, over time, and how large it becomes.

    Args:
        source: Size of the recording's pictures.
        target: The sensor that the part is for.
        zoom: Pixels of the target per pixel of the source.
        t_us: int64 [n], times from which the part is at a place.
        center: float64 [n, 2], column and row of the centre of the part.
    """

    source: SensorSize
    target: SensorSize
    zoom: float
    t_us: NDArray[np.int64]
    center: NDArray[np.float64]

    def track(self, zoom: float = 1.0, origin: tuple[int, int] = (0, 0)) -> Track:
        """Return the place of the part in the recording's pictures, or in a part of them that is scaled by a zoom.

        Args:
            zoom: Factor by which the pictures are scaled.
            origin: Column and row of the source that are column and row 0 of the scaled picture.
        """
        width, height = (max(1, round(side * zoom / self.zoom)) for side in (self.target.width, self.target.height))
        left, top = np.round((self.center - origin) * zoom - np.array([width, height]) / 2).astype(np.int64).T
        moved = np.diff(left, prepend=left[0]).astype(bool) | np.diff(top, prepend=top[0]).astype(bool)
        moved[0] = True
        return Track(SensorSize(width=width, height=height), self.t_us[moved], left[moved], top[moved])

    def surroundings(self) -> Region:
        """Return the part of the source that has all that is looked at, at any time."""
        track, source = self.track(), self.source
        left, top = max(0, int(track.left.min()) - 1), max(0, int(track.top.min()) - 1)
        right = min(source.width, int(track.left.max()) + track.size.width + 1)
        bottom = min(source.height, int(track.top.max()) + track.size.height + 1)
        return Region(left, top, SensorSize(width=right - left, height=bottom - top))

    def zoomed(self, region: Region) -> SensorSize:
        """Return the size of a region of the source, scaled by the zoom."""
        width, height = (max(1, round(side * self.zoom)) for side in (region.size.width, region.size.height))
        return SensorSize(width=width, height=height)


class _Pixels(NamedTuple):
    """Times of each pixel: of its last event [H + 2, W + 2], with a border, and the slice that it was counted in."""

    last_us: NDArray[np.int64]
    counted: NDArray[np.int64]


class ActivityMaps:
    """How much of each cell of a coarse grid is active in each slice of time.

    Args:
        sensor: The sensor of the events.
    """

    def __init__(self, sensor: SensorSize) -> None:
        check_pixels(sensor)
        self.sensor = sensor
        self.cell_px = -(-max(sensor.width, sensor.height) // GRID_CELLS)
        self._shape = -(-sensor.height // self.cell_px), -(-sensor.width // self.cell_px)
        never = np.iinfo(np.int64).min // 2
        self._pixels = _Pixels(
            np.full((sensor.height + 2, sensor.width + 2), never), np.full((sensor.height, sensor.width), never)
        )

    def count(self, parts: Iterable[Events]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield the number of each slice that has events, counted from time 0, and its active pixels per cell."""
        number, counts = None, np.zeros(self._shape, np.float32)
        for part in parts:
            first = 0
            while first < len(part):
                now = int(part.t[first]) // SLICE_US
                if number is not None and now != number:
                    yield number, counts
                    counts = np.zeros(self._shape, np.float32)
                number = now
                stop = int(np.searchsorted(part.t, (now + 1) * SLICE_US))
                one = part.slice_events(first, stop)
                _count_active(one.t, one.x, one.y, number, self.cell_px, self._pixels, counts)
                first = stop
        if number is not None:
            yield number, counts


def find_place(activity: NDArray[np.float32], cell_px: int) -> Place | None:
    """Return where something moves, None if nothing does.

    Args:
        activity: float32 [rows, columns], active pixels per cell in some slices.
        cell_px: Side of a cell in pixels.
    """
    floor = float(np.median(activity))
    weight = np.clip((activity - floor - 3 * math.sqrt(floor)) / cell_px, 0, 1)
    total = float(weight.sum())
    if total < 8:
        return None
    rows, columns = np.mgrid[: weight.shape[0], : weight.shape[1]] + 0.5
    x, y = float((weight * columns).sum() / total), float((weight * rows).sum() / total)
    for _ in range(10):  # what is far from it is something else
        spread = max(2.0, math.sqrt(float((weight * ((columns - x) ** 2 + (rows - y) ** 2)).sum() / weight.sum() / 2)))
        near = weight * (np.maximum(abs(columns - x), abs(rows - y)) < 2.5 * spread)
        x, y = float((near * columns).sum() / near.sum()), float((near * rows).sum() / near.sum())
        weight = near
    return Place(x * cell_px, y * cell_px, spread * cell_px, float(weight.sum()))


def find_framing(
    parts: Iterable[Events], sensor: SensorSize, target: SensorSize, *, zoom: float | None = None,
    original: SensorSize | None = None,
) -> Framing | None:  # fmt: skip
    """Return which part of a recording shows the one who moves, None if nothing moves or it fills the picture.

    Args:
        parts: Consecutive parts of the recording.
        sensor: Its sensor.
        target: The sensor that the part is for.
        zoom: Pixels of the target per pixel of the original; None: such that the one who moves is as large as in the
            pictures that networks are trained with.
        original: Size of the pictures that were scaled to that of the sensor; None: the same.

    Raises:
        EventError: The sensor has too many pixels.
    """
    original = original or sensor
    scale = original.width / sensor.width
    maps = ActivityMaps(sensor)
    numbers, places = _find_places(maps.count(parts), maps.cell_px)
    if not places:
        return None
    shorter = min(target.width, target.height)
    if zoom is None:
        side = scale * SIDE_PER_SIZE * float(np.median([place.size for place in places]))
        zoom = min(MOST_ENLARGED, shorter / side)
        if zoom * original.width <= target.width and zoom * original.height <= target.height:
            return None
    center = scale * np.array([(place.x, place.y) for place in places])
    t_us = np.array(numbers, np.int64) * SLICE_US
    followed = _follow(_smooth(np.array(numbers), center), PLAY * shorter / zoom)
    return Framing(original, target, zoom, t_us, followed)


def _find_places(
    slices: Iterable[tuple[int, NDArray[np.float32]]], cell_px: int
) -> tuple[list[int], list[Place]]:  # fmt: skip
    """Return the slices around which something moves, and where, from all slices near them."""
    numbers, places, near = list[int](), list[Place](), deque[tuple[int, NDArray[np.float32]]]()
    waiting = deque[int]()

    def place_until(last: int | None) -> None:
        while waiting and (last is None or waiting[0] + SEEN_SLICES < last):
            now = waiting.popleft()
            while near[0][0] < now - SEEN_SLICES:
                near.popleft()
            total = np.sum([counts for number, counts in near if number <= now + SEEN_SLICES], axis=0)
            if (place := find_place(total, cell_px)) is not None:
                numbers.append(now)
                places.append(place)

    for number, counts in slices:
        place_until(number)
        near.append((number, counts))
        waiting.append(number)
    place_until(None)
    return numbers, places


def _smooth(numbers: NDArray[np.int64], center: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return centers [n, 2] of slices, each the mean of those near it."""
    smooth = np.empty_like(center)
    for place, number in enumerate(numbers):
        first, stop = np.searchsorted(numbers, [number - 3 * SMOOTH_SLICES, number + 3 * SMOOTH_SLICES + 1])
        weight = np.exp(-(((numbers[first:stop] - number) / SMOOTH_SLICES) ** 2) / 2)
        smooth[place] = weight @ center[first:stop] / weight.sum()
    return smooth


def _follow(center: NDArray[np.float64], play: float) -> NDArray[np.float64]:
    """Return centers [n, 2] that move only as far as needed to stay within `play` of the given ones."""
    middle = np.median(center, axis=0)
    now = middle if (abs(center - middle) <= play).all() else center[0]
    followed = np.empty_like(center)
    for place, one in enumerate(center):
        now = np.clip(now, one - play, one + play)
        followed[place] = now
    return followed


def follow_stream(parts: Iterable[Events], track: Track) -> Iterator[Events]:
    """Yield the events of a part that moves; they do not depend on where the parts of the stream end."""
    size = track.size
    for part in parts:
        place = np.maximum(np.searchsorted(track.t_us, part.t, side="right") - 1, 0)
        x, y = part.x - track.left[place], part.y - track.top[place]
        inside = (x >= 0) & (x < size.width) & (y >= 0) & (y < size.height)
        x, y = x[inside].astype(np.int16), y[inside].astype(np.int16)
        yield Events.from_checked(part.t[inside], x, y, part.p[inside], size)


def plan_following(framing: Framing) -> tuple[Fit, Track]:
    """Return how events of the source are scaled, and where the part that is looked at then is."""
    region = framing.surroundings()
    fit = plan_fit(framing.source, framing.zoomed(region), "scale", region)
    return fit, framing.track(framing.zoom, (region.left, region.top))


def frame_events(events: Events, target: SensorSize) -> Events:
    """Return the events of the one who moves, as `InferConfig.roi = "auto"` shows them to a network.

    Args:
        events: The events of a recording, from a sensor of any size.
        target: The network's sensor.

    Returns:
        Events of the target. If nothing moves, or what moves fills the picture, this is the complete picture, scaled.
    """
    framing = find_framing([events], events.sensor, target)
    if framing is None:
        return concatenate(fit_stream([events], plan_fit(events.sensor, target, "scale")), target)
    fit, track = plan_following(framing)
    return concatenate(follow_stream(fit_stream([events], fit), track), target)


@njit(cache=True, nogil=True, error_model="numpy")
def _count_active(
    t: NDArray[np.int64], x: NDArray[np.int16], y: NDArray[np.int16], number: int, cell_px: int, pixels: _Pixels,
    counts: NDArray[np.float32],
) -> None:  # fmt: skip
    """Add the pixels that become active to the counts of their cells."""
    last_us, counted = pixels
    one = np.uintp(1)
    for event in range(t.size):
        column, row = np.uintp(x[event]), np.uintp(y[event])
        if counted[row, column] != number:
            since = t[event] - SUPPORT_US
            supported = False
            for i in range(3):
                for j in range(3):
                    supported |= (i != 1 or j != 1) and last_us[row + np.uintp(i), column + np.uintp(j)] >= since
            if supported:
                counted[row, column] = number
                counts[row // np.uintp(cell_px), column // np.uintp(cell_px)] += 1
        last_us[row + one, column + one] = t[event]
