"""Automatic region of interest: locate and track the moving person, and cut out the region's events.

The region has a constant size and moves by integer pixels of the target, so its movement causes no events. It is found
from motion alone, in three steps:

1. `ActivityMaps` counts active pixels on a coarse grid, in slices of half a second. A pixel counts at most once per
   slice, so a slightly swaying outline counts as much as a waving hand. It counts only if a neighbour was active just
   before: true for edges of objects, rarely for noise.
2. `find_squares` finds, in the average of some seconds, the square that shows the person as in training clips. It
   starts at the square with the most activity for its size. A small network, trained on cartoons of the synthetic
   people, then refines the square in a few steps: outlines of head and body reveal which side of the body moves, and
   how large the body is.
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
from numpy.typing import NDArray

from ..base.errors import Brief
from ..base.kernels import njit
from ..events import Events, Region, SensorSize
from ..events.filters import check_pixels
from ..hooks import SquarePath
from ..video.opencv import cv2
from .fitting import Fit, plan_fit

SLICE_US = 500_000
CONTEXT_SLICES = 6  # slices averaged on each side of a slice: 3 s
GRID_CELLS = 160  # maximum number of cells along the longer side of the picture
SUPPORT_US = 20_000  # time for which an event supports events of its neighbours
MAX_ZOOM = 4.0  # maximum zoom, in target pixels per source pixel
NOISE_SIGMAS = 2.0  # noise level: standard deviations above the median activity
FULL_ACTIVITY_QUANTILE = 0.997  # quantile that defines full activity; a person may fill only 1 % of the picture
ZERO_WEIGHT_ACTIVITY = 0.1  # fractions of full activity with weight 0 and 1
FULL_WEIGHT_ACTIVITY = 0.4
MIN_ACTIVITY = 0.02  # minimum full activity, beyond noise
MIN_CELLS = 12.0  # minimum total weight of moving cells
PART_SHARE = 0.5  # minimum weight of a second thing that moves, relative to the first
SIDE_POWER = 0.65  # start squares maximize weight / side ** SIDE_POWER
MIN_SIDE = 10  # side of the smallest start square in cells
SIDE_STEP = 1.2  # factor to the next start square
PERSON_SIDE = 1.5  # enlarge and raise the moving square to show the person
PERSON_RAISE = 0.2
MODEL = Path(__file__).with_name("framing.npz")
MODEL_CELLS = 20  # input cells per side
MODEL_VIEW = 1.5  # side of the view relative to the square
REFINEMENTS = 4  # steps of the network
MAX_SIDE_FACTOR = 2.5  # maximum factor on the side by refinement
SMOOTH_SLICES = 4  # standard deviation of the centre smoothing
DEAD_BAND = 0.08  # dead band of the centre, as a fraction of the side

SIGMA_PER_MAD = 1.4826  # standard deviation per median absolute deviation


class Square(NamedTuple):
    """Square region of a picture: column and row of its centre, and its side."""

    x: float
    y: float
    side: float

    def scaled(self, factor: float) -> Square:
        """Return the same square in a picture scaled by a factor."""
        return Square(*(factor * value for value in self))

    def moved(self, x: float, y: float) -> Square:
        """Return the square moved to the right and down."""
        return Square(self.x + x, self.y + y, self.side)

    def overlaps(self, other: Square) -> bool:
        """Return whether two squares overlap."""
        return max(abs(self.x - other.x), abs(self.y - other.y)) < (self.side + other.side) / 2


@dataclass(frozen=True, eq=False, repr=False)
class RegionTrack(Brief):
    """Position over time of a region of constant size.

    Args:
        size: Size of the region.
        t_us: Start time of each position in microseconds, int64 [n]. The first position also applies before its time.
        left: First column at each position, int64 [n]; negative if the region extends beyond the picture.
        top: First row at each position, int64 [n].
    """

    size: SensorSize
    t_us: NDArray[np.int64]
    left: NDArray[np.int64]
    top: NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class Framing(Brief):
    """Region of interest over time, with its zoom.

    Args:
        source: Size of the recording's pictures.
        target: Sensor of the network.
        zoom: Scale in target pixels per source pixel.
        t_us: Start time of each position in microseconds, int64 [n].
        center: Column and row of the region's centre at each position, float64 [n, 2].
        has_choice: Whether several things move; the region follows one of them.
    """

    source: SensorSize
    target: SensorSize
    zoom: float
    t_us: NDArray[np.int64]
    center: NDArray[np.float64]
    has_choice: bool = False

    @classmethod
    def of(cls, path: SquarePath, source: SensorSize, target: SensorSize) -> Framing:
        """Scale a square that moves in pictures of a size to the target."""
        zoom = min(MAX_ZOOM, min(target.width, target.height) / path.side)
        return cls(source, target, zoom, path.t_us, path.center)

    def track(self, zoom: float = 1.0, origin: tuple[int, int] = (0, 0)) -> RegionTrack:
        """Track the region in the recording's pictures, scaled by `zoom`; `origin` is their upper left corner."""
        width, height = (max(1, round(side * zoom / self.zoom)) for side in (self.target.width, self.target.height))
        left, top = np.round((self.center - origin) * zoom - np.array([width, height]) / 2).astype(np.int64).T

        # List only the times at which the region moves.
        moved = np.diff(left, prepend=left[0]).astype(bool) | np.diff(top, prepend=top[0]).astype(bool)
        moved[0] = True

        return RegionTrack(SensorSize(width=width, height=height), self.t_us[moved], left[moved], top[moved])

    def bounding_region(self) -> Region:
        """Return the smallest region of the source that contains the region of interest at all times, plus a margin."""
        track = self.track()
        source = self.source

        left = max(0, int(track.left.min()) - 1)
        top = max(0, int(track.top.min()) - 1)
        right = min(source.width, int(track.left.max()) + track.size.width + 1)
        bottom = min(source.height, int(track.top.max()) + track.size.height + 1)

        return Region(left, top, SensorSize(width=right - left, height=bottom - top))

    def zoomed(self, region: Region) -> SensorSize:
        """Return the size of a source region scaled by the zoom."""
        width, height = (max(1, round(side * self.zoom)) for side in (region.size.width, region.size.height))
        return SensorSize(width=width, height=height)


class _PixelState(NamedTuple):
    """Per-pixel state: time of the last event [H + 2, W + 2], with a border, and slice of the last count [H, W]."""

    last_us: NDArray[np.int64]
    counted: NDArray[np.int64]


class ActivityMaps:
    """Activity of the cells of a coarse grid in each time slice."""

    def __init__(self, sensor: SensorSize) -> None:
        check_pixels(sensor)
        self.start_us = 0  # start of the first slice
        self.cell_px = -(-max(sensor.width, sensor.height) // GRID_CELLS)
        self._shape = -(-sensor.height // self.cell_px), -(-sensor.width // self.cell_px)
        self._number: int | None = None  # index of the current slice
        self._counts = np.zeros(self._shape, np.float32)

        # A border of one pixel around the times spares the kernel a test for the edges of the picture.
        never = np.iinfo(np.int64).min // 2
        self._pixels = _PixelState(
            np.full((sensor.height + 2, sensor.width + 2), never), np.full((sensor.height, sensor.width), never)
        )

    def count(self, parts: Iterable[Events]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield all slices of a recording; see `add`."""
        for part in parts:
            yield from self.add(part)
        yield from self.finish()

    def add(self, part: Events) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Count the next part, and yield the slices with events that it completes: their index and activity.

        The activity, float32 [rows, columns] from 0 to 1, is the number of active pixels of a cell relative to the
        pixels that a crossing edge activates (one side of the cell); it saturates at 1.
        """
        first = 0
        while first < len(part):
            self.start_us = int(part.t[first]) if self._number is None else self.start_us
            number = (int(part.t[first]) - self.start_us) // SLICE_US
            if number != self._number:
                yield from self.finish()
            self._number = number

            # One slice at a time, because the counts belong to the current slice.
            stop = int(np.searchsorted(part.t, self.start_us + (number + 1) * SLICE_US))
            one = part[first:stop]
            _count_active(one.t, one.x, one.y, number, self.cell_px, self._pixels, self._counts)
            first = stop

    def finish(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield the current slice, if it has events."""
        if self._number is not None:
            yield self._number, np.minimum(self._counts / self.cell_px, 1)
        self._counts = np.zeros(self._shape, np.float32)


def find_squares(activity: NDArray[np.float32], cell_px: float) -> list[Square]:
    """Find the square that shows the moving person, in pixels, from activity [rows, columns]; empty: nothing moves.

    If it does not show everything that moves much, a square for each other thing follows.
    """
    weight = weigh_cells(activity)
    if weight.sum() < MIN_CELLS:
        return []

    whole = _locate(weight)
    _, parts, _, centers = cv2.connectedComponentsWithStats((weight > 0).astype(np.uint8))
    totals = np.bincount(parts.ravel(), weight.ravel())
    order = np.argsort(-totals)
    large = order[totals[order] >= PART_SHARE * totals.max()].tolist()

    # Between two people who are alike and far apart, the square may show nobody.
    unseen = [part for part in large if not whole.overlaps(Square(centers[part, 0], centers[part, 1], 0))]
    squares = [] if unseen == large else [whole]
    for part in unseen:
        others = [other for other in large if other != part]
        squares.append(_locate(np.where(np.isin(parts, others), 0, weight)))
    return [square.scaled(cell_px) for square in squares]


class SquareFinder:
    """Finds the square of one person in slice after slice.

    Attributes:
        square: Square in the last slice with motion, in pixels; None: nothing has moved.
        has_choice: Whether several things have moved; the square stays with one of them.
    """

    def __init__(self) -> None:
        self.square: Square | None = None
        self.has_choice = False

    def find(self, activity: NDArray[np.float32], cell_px: float) -> Square | None:
        """Return the square that overlaps the previous one, or else the first one; see `find_squares`."""
        squares = find_squares(activity, cell_px)
        if not squares:
            return None

        last = self.square
        self.square = next((square for square in squares if last and square.overlaps(last)), squares[0])
        self.has_choice |= len(squares) > 1
        return self.square


def _locate(weight: NDArray[np.float64]) -> Square:
    return refine_square(weight, find_start(weight))


def weigh_cells(activity: NDArray[np.float32]) -> NDArray[np.float64]:
    """Weigh the activity of each cell and its neighbours beyond noise, 0 to 1; 1 is the activity of a moving edge."""
    density = _box_mean(activity, 3)

    # Subtract the activity of noise, estimated by the median and its absolute deviation: a person is a small part.
    median = float(np.median(density))
    density -= median + NOISE_SIGMAS * SIGMA_PER_MAD * float(np.median(np.abs(density - median)))

    busiest = float(np.quantile(density, FULL_ACTIVITY_QUANTILE))
    if busiest < MIN_ACTIVITY:
        return np.zeros_like(density)

    return np.asarray(
        np.clip((density / busiest - ZERO_WEIGHT_ACTIVITY) / (FULL_WEIGHT_ACTIVITY - ZERO_WEIGHT_ACTIVITY), 0, 1),
        np.float64,
    )


def find_start(weight: NDArray[np.float64]) -> Square:
    """Find the approximate square of the moving person from weights of cells, float64 [rows, columns].

    The square maximizes its weight divided by side ** SIDE_POWER: a larger square would add little weight.
    """
    best = 0.0
    busiest = Square(0.0, 0.0, 1.0)
    side = float(MIN_SIDE)

    # Box sums of growing side; the exponent makes a larger square win only if it adds enough activity.
    while side <= 1.3 * max(weight.shape):
        cells = int(side) // 2 * 2 + 1
        sums = _box_mean(weight, cells) * cells ** (2 - SIDE_POWER)
        if sums.max() > best:
            best = float(sums.max())

            # The centre of the plateau around the maximum, not its first cell.
            y, x = np.argwhere(sums >= 0.98 * best).mean(axis=0) + 0.5
            busiest = Square(float(x), float(y), float(cells))

        side *= SIDE_STEP

    return Square(busiest.x, busiest.y - PERSON_RAISE * PERSON_SIDE * busiest.side, PERSON_SIDE * busiest.side)


def refine_square(weight: NDArray[np.float64], start: Square) -> Square:
    """Refine a square with the network, to show the moving person as in training clips."""
    model = _load_model()
    sums = sum_weights(weight)
    square = start

    # Average with the mirrored view: the network then treats both sides alike.
    for _ in range(REFINEMENTS):
        view = sample_square(sums, square)
        right, down, growth = model.apply(view)
        left, mirrored_down, mirrored_growth = model.apply(view[:, ::-1])

        x = square.x + (right - left) / 2 * square.side
        y = square.y + (down + mirrored_down) / 2 * square.side
        side = square.side * math.exp((growth + mirrored_growth) / 2)

        # Stay near the start: the network only refines it.
        square = Square(
            min(max(x, start.x - start.side / 2), start.x + start.side / 2),
            min(max(y, start.y - start.side / 2), start.y + start.side / 2),
            min(max(side, start.side / MAX_SIDE_FACTOR), start.side * MAX_SIDE_FACTOR),
        )

    return square


def sum_weights(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the summed-area table of weights, float64 [rows + 1, columns + 1]."""
    return np.asarray(np.pad(weight, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1), np.float64)


def sample_square(sums: NDArray[np.float64], square: Square) -> NDArray[np.float64]:
    """Sample a square and its surroundings, MODEL_VIEW times as large: the mean weights of MODEL_CELLS^2 cells.

    `sums` is the table of `sum_weights`; weights beyond the picture are zero.
    """
    rows = sums.shape[0] - 1
    columns = sums.shape[1] - 1

    # Bilinear interpolation of the summed-area table at the edges of the cells gives exact means of partial cells.
    edges = (np.arange(MODEL_CELLS + 1) / MODEL_CELLS - 0.5) * MODEL_VIEW * square.side
    y = np.clip(square.y + edges, 0, rows)
    x = np.clip(square.x + edges, 0, columns)

    i = np.minimum(y.astype(int), rows - 1)
    j = np.minimum(x.astype(int), columns - 1)
    down = (y - i)[:, None]
    right = x - j

    between = sums[i] * (1 - down) + sums[i + 1] * down
    corners = between[:, j] * (1 - right) + between[:, j + 1] * right

    area = (MODEL_VIEW * square.side / MODEL_CELLS) ** 2
    return np.asarray(np.diff(np.diff(corners, axis=0), axis=1) / area, np.float64)


class _Model(NamedTuple):
    """Network with one hidden layer, trained by scripts/weights/framing.py."""

    hidden: NDArray[np.float64]
    hidden_bias: NDArray[np.float64]
    out: NDArray[np.float64]
    out_bias: NDArray[np.float64]

    def apply(self, view: NDArray[np.float64]) -> tuple[float, float, float]:
        """Predict the shift of a square to the right and down, in sides, and the logarithm of its growth."""
        right, down, growth = np.tanh(view.ravel() @ self.hidden + self.hidden_bias) @ self.out + self.out_bias
        return float(right), float(down), float(growth)


@cache
def _load_model() -> _Model:
    with np.load(MODEL) as file:
        return _Model(**{name: file[name].astype(np.float64) for name in file.files})


def _box_mean(values: NDArray[np.float32 | np.float64], side: int) -> NDArray[np.float64]:
    """Average over the square of odd side around each cell; cells outside are zero."""
    sums = sum_weights(np.pad(np.asarray(values, np.float64), side // 2))
    return (sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]) / side**2


def find_framing(
    parts: Iterable[Events],
    sensor: SensorSize,
    target: SensorSize,
    *,
    zoom: float | None = None,
    original: SensorSize | None = None,
) -> Framing | None:
    """Find the region of interest that follows the moving person; None if nothing moves, or it fills the picture.

    `zoom` is the scale in target pixels per pixel of the original; None scales the person to the size in training
    clips. `original` is the size of the pictures before they were scaled to the sensor.
    """
    original = original or sensor
    scale = original.width / sensor.width
    maps = ActivityMaps(sensor)
    finder = SquareFinder()
    numbers, squares = _follow_squares(maps.count(parts), maps.cell_px, finder)
    if not squares:
        return None

    side = scale * float(np.median([square.side for square in squares]))
    zoom = zoom or choose_zoom(side, original, target)
    if zoom is None:
        return None

    center = scale * np.array([(square.x, square.y) for square in squares])
    t_us = maps.start_us + np.array(numbers, np.int64) * SLICE_US

    play = DEAD_BAND * min(target.width, target.height) / zoom
    followed = follow_centers(smooth_centers(np.array(numbers), center), play)
    return Framing(original, target, zoom, t_us, followed, finder.has_choice)


def choose_zoom(side: float, original: SensorSize, target: SensorSize) -> float | None:
    """Return the zoom at which a square of this side shows the person as in training clips.

    None: a picture of the original size is then not larger than the target, which shows all of it.
    """
    zoom = min(MAX_ZOOM, min(target.width, target.height) / side)
    is_complete = zoom * original.width <= target.width and zoom * original.height <= target.height
    return None if is_complete else zoom


def _follow_squares(
    slices: Iterable[tuple[int, NDArray[np.float32]]], cell_px: int, finder: SquareFinder
) -> tuple[list[int], list[Square]]:
    """Return the indices of slices with motion, and the square of each from the mean of all slices near it."""
    numbers = list[int]()
    squares = list[Square]()
    recent = deque[tuple[int, NDArray[np.float32]]]()
    waiting = deque[int]()

    def flush_until(last: int | None) -> None:
        while waiting and (last is None or waiting[0] + CONTEXT_SLICES < last):
            now = waiting.popleft()

            # A slice is averaged with those up to CONTEXT_SLICES before and after it.
            while recent[0][0] < now - CONTEXT_SLICES:
                recent.popleft()
            mean = np.mean([activity for number, activity in recent if number <= now + CONTEXT_SLICES], axis=0)
            if (square := finder.find(mean, cell_px)) is not None:
                numbers.append(now)
                squares.append(square)

    for number, activity in slices:
        flush_until(number)
        recent.append((number, activity))
        waiting.append(number)

    flush_until(None)
    return numbers, squares


def smooth_centers(numbers: NDArray[np.int64], center: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth centres [n, 2] at integer times `numbers` [n] with a Gaussian of standard deviation SMOOTH_SLICES."""
    smooth = np.empty_like(center)
    for index, number in enumerate(numbers):
        first, stop = np.searchsorted(numbers, [number - 3 * SMOOTH_SLICES, number + 3 * SMOOTH_SLICES + 1])
        weight = np.exp(-(((numbers[first:stop] - number) / SMOOTH_SLICES) ** 2) / 2)
        smooth[index] = weight @ center[first:stop] / weight.sum()
    return smooth


def follow_centers(center: NDArray[np.float64], play: float) -> NDArray[np.float64]:
    """Return centres [n, 2] that move only as far as needed to stay within `play` of the given centres, per axis."""
    # Stand still if a single position is good enough for the complete recording.
    middle = np.median(center, axis=0)
    position = middle if (abs(center - middle) <= play).all() else center[0]

    followed = np.empty_like(center)
    for index, target in enumerate(center):
        position = np.clip(position, target - play, target + play)
        followed[index] = position

    return followed


def follow_events(part: Events, track: RegionTrack) -> Events:
    """Crop one part of a recording to a moving region; any division into parts gives the same events."""
    position = np.maximum(np.searchsorted(track.t_us, part.t, side="right") - 1, 0)
    x = part.x - track.left[position]
    y = part.y - track.top[position]

    inside = (x >= 0) & (x < track.size.width) & (y >= 0) & (y < track.size.height)
    x = x[inside].astype(np.int16)
    y = y[inside].astype(np.int16)

    return Events.wrap_unchecked(part.t[inside], x, y, part.p[inside], track.size)


def plan_following(framing: Framing) -> tuple[Fit, RegionTrack]:
    """Plan a moving region: the fit that scales the source, and the track of the region in the scaled picture."""
    region = framing.bounding_region()
    fit = plan_fit(framing.source, framing.zoomed(region), "scale", region)
    return fit, framing.track(framing.zoom, (region.left, region.top))


@njit(cache=True, nogil=True, error_model="numpy")
def _count_active(
    t: NDArray[np.int64],
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    number: int,
    cell_px: int,
    pixels: _PixelState,
    counts: NDArray[np.float32],
) -> None:
    """Add newly active pixels to the counts of their cells."""
    # Law: a pixel counts once per slice, at its first event with a neighbour that was active in the last SUPPORT_US.
    # last_us [H + 2, W + 2] has a border of one pixel, so the neighbours of (row, column) are last_us[row:row + 3,
    # column:column + 3]; counted [H, W]: slice of the last count; counts: cells of cell_px x cell_px pixels.
    # event: index of the event; i, j: row and column of the neighbour.
    last_us, counted = pixels
    one = np.uintp(1)

    for event in range(t.size):
        column = np.uintp(x[event])
        row = np.uintp(y[event])
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
