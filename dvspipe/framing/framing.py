"""Which part of a recording shows the one who moves, over time, and the events of that part on another sensor.

The part has one size for a whole recording and only moves, by whole pixels of the target, so that its movement causes
no events. It is found by motion alone, in three steps:

1. `add_activity` counts in slices of half a second which pixels are active, in a coarse grid. A pixel counts once per
   slice, so that an outline that sways a little counts as much as a hand that waves, and only if one of its neighbours
   was active just before, as the edges of objects are and noise is not.
2. `find_place` finds in the mean of the slices of some seconds the square that shows the person as training clips do:
   first the square with the most activity for its size, and from there, in a few steps, by a small network that is
   trained on cartoons of the synthetic people. The outlines of head and body that show there tell it which side of the
   body moves, and how large it is.
3. `find_framing` takes the median of all sides, and follows the centres slowly.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..events import Events, Region, SensorSize
from ..events.filters import check_pixels
from .fitting import Fit, plan_fit

SLICE_US = 500_000
SEEN_SLICES = 6  # on each side of a slice that show with it where the person is: 3 s
GRID_CELLS = 160  # of the longer side of a picture, at most
SUPPORT_US = 20_000  # after which an event supports those of its neighbours no more
MAX_ENLARGED = 4.0  # pixels of the target per pixel of the recording
NOISE_SPREADS = 2.0  # standard deviations above the median activity, which is noise
BUSIEST = 0.997  # quantile of the activity, in a picture of which a person can take as little as a hundredth
FAINTEST, STRONGEST_ACTIVITY = 0.1, 0.4  # of the activity there: weight 0 and 1
MIN_ACTIVITY = 0.02  # there, beyond noise
MIN_CELLS = 12.0  # of what moves
SIDE_POWER = 0.65
MIN_SIDE, SIDE_STEP = 10, 1.2  # of the squares that are tried, in cells
START_SIDE, START_RAISE = 1.5, 0.2  # from the square that moves to one that shows the person
MODEL = Path(__file__).with_name("framing.npz")
MODEL_CELLS, MODEL_VIEW = 20, 1.5
REFINEMENTS = 4
MAX_CHANGED = 2.5  # a side by refinement
SMOOTH_SLICES = 4  # standard deviation of the smoothing of the centres
PLAY = 0.08  # of the side that the centre may move before the part follows

SPREAD_OF_NORMAL = 1.4826  # standard deviation per median absolute deviation


class Square(NamedTuple):
    """A square of a picture.

    Args:
        x: Column of its centre.
        y: Row of its centre.
        side: Its side.
    """

    x: float
    y: float
    side: float

    def scaled(self, factor: float) -> Square:
        """Return the square in a picture that is larger by a factor."""
        return Square(*(factor * each for each in self))


@dataclass(frozen=True, eq=False)
class RegionTrack:
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

    def track(self, zoom: float = 1.0, origin: tuple[int, int] = (0, 0)) -> RegionTrack:
        """Return the place of the part in the recording's pictures, or in a part of them that is scaled by a zoom.

        Args:
            zoom: Factor by which the pictures are scaled.
            origin: Column and row of the source that are column and row 0 of the scaled picture.
        """
        width, height = (max(1, round(side * zoom / self.zoom)) for side in (self.target.width, self.target.height))
        left, top = np.round((self.center - origin) * zoom - np.array([width, height]) / 2).astype(np.int64).T
        moved = np.diff(left, prepend=left[0]).astype(bool) | np.diff(top, prepend=top[0]).astype(bool)
        moved[0] = True
        return RegionTrack(SensorSize(width=width, height=height), self.t_us[moved], left[moved], top[moved])

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
        self.start_us = 0  # of the first slice
        self.cell_px = -(-max(sensor.width, sensor.height) // GRID_CELLS)
        self._shape = -(-sensor.height // self.cell_px), -(-sensor.width // self.cell_px)
        never = np.iinfo(np.int64).min // 2
        self._pixels = _Pixels(
            np.full((sensor.height + 2, sensor.width + 2), never), np.full((sensor.height, sensor.width), never)
        )

    def count(self, parts: Iterable[Events]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield the number of each slice that has events, counted from the first event, and the activity of its cells.

        The activity is 1 if as many pixels of a cell are active as one edge crosses, or more.
        """
        number, counts = None, np.zeros(self._shape, np.float32)
        for part in parts:
            first = 0
            while first < len(part):
                self.start_us = int(part.t[first]) if number is None else self.start_us
                now = (int(part.t[first]) - self.start_us) // SLICE_US
                if number is not None and now != number:
                    yield number, np.minimum(counts / self.cell_px, 1)
                    counts = np.zeros(self._shape, np.float32)
                number = now
                stop = int(np.searchsorted(part.t, self.start_us + (now + 1) * SLICE_US))
                one = part.slice_events(first, stop)
                _count_active(one.t, one.x, one.y, number, self.cell_px, self._pixels, counts)
                first = stop
        if number is not None:
            yield number, np.minimum(counts / self.cell_px, 1)


def find_place(activity: NDArray[np.float32], cell_px: int) -> Square | None:
    """Return the square that shows the one who moves, in pixels; None if nothing does.

    Args:
        activity: [rows, columns], what `ActivityMaps.count` yields, or the mean of some of it.
        cell_px: Side of a cell in pixels.
    """
    weight = weigh_cells(activity)
    if weight.sum() < MIN_CELLS:
        return None
    return refine_square(weight, find_start(weight)).scaled(cell_px)


def weigh_cells(activity: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how active each cell and its neighbours are beyond noise, 0 to 1; 1 is as active as a moving edge."""
    density = _mean_in_squares(activity, 3)
    median = float(np.median(density))
    density -= median + NOISE_SPREADS * SPREAD_OF_NORMAL * float(np.median(np.abs(density - median)))
    busiest = float(np.quantile(density, BUSIEST))
    if busiest < MIN_ACTIVITY:
        return np.zeros_like(density)
    return np.asarray(np.clip((density / busiest - FAINTEST) / (STRONGEST_ACTIVITY - FAINTEST), 0, 1), np.float64)


def find_start(weight: NDArray[np.float64]) -> Square:
    """Return about where the one who moves is.

    There, a square has the largest weight for its side to the power SIDE_POWER: more of it would add little.

    Args:
        weight: float64 [rows, columns], what `weigh_cells` returns.
    """
    best, found, side = 0.0, Square(0.0, 0.0, 1.0), float(MIN_SIDE)
    while side <= 1.3 * max(weight.shape):
        cells = int(side) // 2 * 2 + 1
        sums = _mean_in_squares(weight, cells) * cells ** (2 - SIDE_POWER)
        if sums.max() > best:
            best = float(sums.max())
            y, x = np.argwhere(sums >= 0.98 * best).mean(axis=0) + 0.5
            found = Square(float(x), float(y), float(cells))
        side *= SIDE_STEP
    return Square(found.x, found.y - START_RAISE * START_SIDE * found.side, START_SIDE * found.side)


def refine_square(weight: NDArray[np.float64], start: Square) -> Square:
    """Return the square near another that shows the one who moves as training clips show people.

    Args:
        weight: float64 [rows, columns], what `weigh_cells` returns.
        start: What `find_start` returns.
    """
    model, sums, now = _load_model(), sum_weights(weight), start
    for _ in range(REFINEMENTS):
        view = see_square(sums, now)
        right, down, growth = model.apply(view)
        left, mirrored_down, mirrored_growth = model.apply(view[:, ::-1])
        x, y = now.x + (right - left) / 2 * now.side, now.y + (down + mirrored_down) / 2 * now.side
        side = now.side * math.exp((growth + mirrored_growth) / 2)
        now = Square(
            min(max(x, start.x - start.side / 2), start.x + start.side / 2),
            min(max(y, start.y - start.side / 2), start.y + start.side / 2),
            min(max(side, start.side / MAX_CHANGED), start.side * MAX_CHANGED),
        )
    return now


def sum_weights(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of the weights above and left of each corner of a cell, [rows + 1, columns + 1]."""
    return np.asarray(np.pad(weight, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1), np.float64)


def see_square(sums: NDArray[np.float64], square: Square) -> NDArray[np.float64]:
    """Return the mean weight in MODEL_CELLS x MODEL_CELLS parts of a square and its surroundings.

    Args:
        sums: What `sum_weights` returns.
        square: The middle of what is seen, which is MODEL_VIEW times as large; beyond the picture are zeros.
    """
    rows, columns = sums.shape[0] - 1, sums.shape[1] - 1
    edges = (np.arange(MODEL_CELLS + 1) / MODEL_CELLS - 0.5) * MODEL_VIEW * square.side
    y, x = np.clip(square.y + edges, 0, rows), np.clip(square.x + edges, 0, columns)
    i, j = np.minimum(y.astype(int), rows - 1), np.minimum(x.astype(int), columns - 1)
    down, right = (y - i)[:, None], x - j
    between = sums[i] * (1 - down) + sums[i + 1] * down
    corners = between[:, j] * (1 - right) + between[:, j + 1] * right
    area = (MODEL_VIEW * square.side / MODEL_CELLS) ** 2
    return np.asarray(np.diff(np.diff(corners, axis=0), axis=1) / area, np.float64)


@dataclass(frozen=True, eq=False)
class _Model:
    """A network with one hidden layer, which scripts/studies/framing.py trains."""

    hidden: NDArray[np.float64]
    hidden_bias: NDArray[np.float64]
    out: NDArray[np.float64]
    out_bias: NDArray[np.float64]

    def apply(self, view: NDArray[np.float64]) -> tuple[float, float, float]:
        """Return how far a square must move to the right and down, in sides, and the logarithm of its growth."""
        right, down, growth = np.tanh(view.ravel() @ self.hidden + self.hidden_bias) @ self.out + self.out_bias
        return float(right), float(down), float(growth)


@cache
def _load_model() -> _Model:
    with np.load(MODEL) as file:
        return _Model(**{name: file[name].astype(np.float64) for name in file.files})


def _mean_in_squares(values: NDArray[np.float32 | np.float64], side: int) -> NDArray[np.float64]:
    """Return the mean in the square of an odd side around each cell, with zeros outside."""
    before, after = side // 2 + 1, side // 2
    sums = np.pad(np.asarray(values, np.float64), ((before, after), (before, after))).cumsum(axis=0).cumsum(axis=1)
    return np.asarray((sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]) / side**2)


def find_framing(
    parts: Iterable[Events],
    sensor: SensorSize,
    target: SensorSize,
    *,
    zoom: float | None = None,
    original: SensorSize | None = None,
) -> Framing | None:
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
        side = scale * float(np.median([place.side for place in places]))
        zoom = min(MAX_ENLARGED, shorter / side)
        if zoom * original.width <= target.width and zoom * original.height <= target.height:
            return None
    center = scale * np.array([(place.x, place.y) for place in places])
    t_us = maps.start_us + np.array(numbers, np.int64) * SLICE_US
    followed = follow_centers(smooth_centers(np.array(numbers), center), PLAY * shorter / zoom)
    return Framing(original, target, zoom, t_us, followed)


def _find_places(slices: Iterable[tuple[int, NDArray[np.float32]]], cell_px: int) -> tuple[list[int], list[Square]]:
    """Return the slices around which something moves, and where, from all slices near them."""
    numbers, places, near = list[int](), list[Square](), deque[tuple[int, NDArray[np.float32]]]()
    waiting = deque[int]()

    def place_until(last: int | None) -> None:
        while waiting and (last is None or waiting[0] + SEEN_SLICES < last):
            now = waiting.popleft()
            while near[0][0] < now - SEEN_SLICES:
                near.popleft()
            mean = np.mean([activity for number, activity in near if number <= now + SEEN_SLICES], axis=0)
            if (place := find_place(mean, cell_px)) is not None:
                numbers.append(now)
                places.append(place)

    for number, activity in slices:
        place_until(number)
        near.append((number, activity))
        waiting.append(number)
    place_until(None)
    return numbers, places


def smooth_centers(numbers: NDArray[np.int64], center: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return centers [n, 2] at times counted by `numbers` [n], each the mean of those near it."""
    smooth = np.empty_like(center)
    for place, number in enumerate(numbers):
        first, stop = np.searchsorted(numbers, [number - 3 * SMOOTH_SLICES, number + 3 * SMOOTH_SLICES + 1])
        weight = np.exp(-(((numbers[first:stop] - number) / SMOOTH_SLICES) ** 2) / 2)
        smooth[place] = weight @ center[first:stop] / weight.sum()
    return smooth


def follow_centers(center: NDArray[np.float64], play: float) -> NDArray[np.float64]:
    """Return centers [n, 2] that move only as far as needed to stay within `play` of the given ones."""
    middle = np.median(center, axis=0)
    now = middle if (abs(center - middle) <= play).all() else center[0]
    followed = np.empty_like(center)
    for place, one in enumerate(center):
        now = np.clip(now, one - play, one + play)
        followed[place] = now
    return followed


def follow_stream(parts: Iterable[Events], track: RegionTrack) -> Iterator[Events]:
    """Yield the events of a part that moves; they do not depend on where the parts of the stream end."""
    size = track.size
    for part in parts:
        place = np.maximum(np.searchsorted(track.t_us, part.t, side="right") - 1, 0)
        x, y = part.x - track.left[place], part.y - track.top[place]
        inside = (x >= 0) & (x < size.width) & (y >= 0) & (y < size.height)
        x, y = x[inside].astype(np.int16), y[inside].astype(np.int16)
        yield Events.wrap_unchecked(part.t[inside], x, y, part.p[inside], size)


def plan_following(framing: Framing) -> tuple[Fit, RegionTrack]:
    """Return how events of the source are scaled, and where the part that is looked at then is."""
    region = framing.surroundings()
    fit = plan_fit(framing.source, framing.zoomed(region), "scale", region)
    return fit, framing.track(framing.zoom, (region.left, region.top))


@njit(cache=True, nogil=True, error_model="numpy")
def _count_active(
    t: NDArray[np.int64],
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    number: int,
    cell_px: int,
    pixels: _Pixels,
    counts: NDArray[np.float32],
) -> None:
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
