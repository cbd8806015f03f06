"""Compiled loops that find crossings where the level of a pixel follows the motion between two frames.

`upsampling` says how the level at a time between two frames follows from their motion. Here it is computed pixel by
pixel, step by step, and each step is searched for crossings at once, so that no frames between are ever stored. Only
tiles in which something moves are processed, each with as many steps as its own motion needs; all other pixels follow
straight lines, and cost nothing here. Of those tiles, a cell is left out if no level that its paths can meet would
fire: half of the cells where people move before a still background.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .crossings import (
    FIRST_ROOM,
    CodeTable,
    Pixels,
    Reference,
    hair_above,
    hair_below,
    move_reference,
    next_level,
    quiet_codes,
)
from .vectors import broadcast, load, store
from .words import COLUMN_SHIFT, ROW_SHIFT, TIME_SHIFT, Interval, Words, grow

MAX_PATH_STEPS = 256
TILE_PX = 16  # side of the squares that are processed or not, with one number of steps each
ENTERING, LEAVING, UNEXPLAINED = 1, 2, 4  # bits of `Paths.kind`
# Cubic convolution half way between two pixels (Keys 1981), a = -1: sharper than the usual -0.5, to compensate for the
# bilinear interpolation after it. A value exceeds its two neighbours by MAX_OVERSHOOT at most: more causes ringing
# at hard edges and false events; none flattens peaks, and more true events are missed.
HALFWAY_NEAR, HALFWAY_FAR = np.float32(0.625), np.float32(-0.125)
MAX_OVERSHOOT = np.float32(0.004)  # of the level
BLOCK_PX = 4  # side of the squares whose lowest and highest level are known
BEYOND = 2 * MAX_OVERSHOOT + np.float32(1e-4)  # of these: overshoot in both directions, and rounding


class Picture(NamedTuple):
    """The levels of a frame, in the tiles where they are needed.

    Attributes:
        fine: float32 [2, 2, H, W], the levels at the pixels (place 0 of the first and second dimension), half way to
            the next row (1, 0), column (0, 1) or both.
        extremes: float32 [2, H / BLOCK_PX, W / BLOCK_PX], the lowest (0) and highest (1) level in each block, including
            the row and the column after it.
    """

    fine: NDArray[np.float32]
    extremes: NDArray[np.float32]


class Paths(NamedTuple):
    """The motion between two frames, per cell of a few pixels, and their pictures.

    Attributes:
        forward: Flow from the earlier frame to the later one, float32 [H / cell_px, W / cell_px, 2] in pixels: F01.
        disagreement: Difference from the reversed backward flow, likewise: F01 + F10.
        doubt: float32 [H / cell_px, W / cell_px], reduction of the distance by which a level leaves the range of its
            straight line.
        kind: uint8 [H / cell_px, W / cell_px], bits: ENTERING, LEAVING if the path begins or ends outside the picture,
            UNEXPLAINED if the level follows a straight line.
        steps: uint16 [H / TILE_PX, W / TILE_PX], steps of equal length; 1 if the levels follow straight lines.
        square: As many zeros as the side of the square cells has pixels, 2 or 4: the compiler knows how many.
        before: The earlier frame.
        after: The later frame.
    """

    forward: NDArray[np.float32]
    disagreement: NDArray[np.float32]
    doubt: NDArray[np.float32]
    kind: NDArray[np.uint8]
    steps: NDArray[np.uint16]
    square: tuple[int, ...]
    before: Picture
    after: Picture


@njit(cache=True, nogil=True, error_model="numpy")
def reach_of_tiles(
    forward: NDArray[np.float32], backward: NDArray[np.float32], cell_px: int, tiles: NDArray[np.float32]
) -> None:
    """Write the length in pixels of the longest flow of either direction in each tile to `tiles`."""
    side = TILE_PX // cell_px
    tiles[:] = 0
    for i in range(forward.shape[0]):
        row = tiles[i // side]
        for j in range(forward.shape[1]):
            ahead = forward[i, j, 0] * forward[i, j, 0] + forward[i, j, 1] * forward[i, j, 1]
            back = backward[i, j, 0] * backward[i, j, 0] + backward[i, j, 1] * backward[i, j, 1]
            row[j // side] = max(row[j // side], ahead, back)
    for i in range(tiles.shape[0]):
        for j in range(tiles.shape[1]):
            tiles[i, j] = np.sqrt(tiles[i, j])


@njit(cache=True, nogil=True, error_model="numpy")
def spread_tiles(marked: NDArray[np.bool_], reach: NDArray[np.float32], towards: bool) -> NDArray[np.bool_]:
    """Return the tiles whose reach contains a marked tile or, `towards` them, those in the reach of a marked tile."""
    spread = np.zeros_like(marked)
    rows, columns = marked.shape
    for i in range(rows):
        for j in range(columns):
            if towards and not marked[i, j]:
                continue
            tiles = int(np.ceil(reach[i, j] / TILE_PX))
            top, bottom = max(0, i - tiles), min(rows, i + tiles + 1)
            left, right = max(0, j - tiles), min(columns, j + tiles + 1)
            if towards:
                spread[top:bottom, left:right] = True
            else:
                spread[i, j] = marked[top:bottom, left:right].any()
    return spread


@njit(inline="always")
def _halfway(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Return the value half way between b and c, the second and third of four neighbours."""
    value = HALFWAY_NEAR * (b + c) + HALFWAY_FAR * (a + d)
    return min(max(value, min(b, c) - MAX_OVERSHOOT), max(b, c) + MAX_OVERSHOOT)


@njit(cache=True, nogil=True, error_model="numpy")
def refine(levels: NDArray[np.float32], tiles: NDArray[np.bool_], fine: NDArray[np.float32]) -> None:
    """Write the levels at half the spacing, by cubic convolution, to `Picture.fine` in the marked tiles.

    Bilinear interpolation of these is as sharp as cubic interpolation of the levels, and costs little more than
    bilinear interpolation of the levels, which blurs: 2 % instead of 1 % of the events of a textured scene are missed.
    """
    (height, width), one, two, three = levels.shape, np.uintp(1), np.uintp(2), np.uintp(3)
    # each column after its left neighbour, with the edges repeated: one before the first, two after the last
    even, odd = np.empty(width + 3, np.float32), np.empty(width + 3, np.float32)
    for y in range(height):
        marked, here = tiles[y // TILE_PX], levels[y]  # slices of shorter rows would cost a counted reference for each
        above, below, further = levels[max(y - 1, 0)], levels[min(y + 1, height - 1)], levels[min(y + 2, height - 1)]
        plain, down, across, both = fine[0, 0, y], fine[1, 0, y], fine[0, 1, y], fine[1, 1, y]
        stop = 0
        while stop < marked.size:
            start = stop
            while start < marked.size and not marked[start]:
                start += 1
            stop = start
            while stop < marked.size and marked[stop]:
                stop += 1
            left, right = max(start * TILE_PX, 0), min(stop * TILE_PX, width)
            begin, end = max(left - 1, 0), min(right + 2, width)
            for k in range(end - begin):
                x = np.uintp(begin) + np.uintp(k)
                even[x + one], odd[x + one] = here[x], _halfway(above[x], here[x], below[x], further[x])
            even[0], odd[0] = even[1], odd[1]
            for beyond in range(width + 1, right + 3):
                even[beyond], odd[beyond] = even[width], odd[width]
            for k in range(right - left):
                x = np.uintp(left) + np.uintp(k)
                plain[x], down[x] = even[x + one], odd[x + one]
            for k in range(right - left):
                x = np.uintp(left) + np.uintp(k)
                across[x] = _halfway(even[x], even[x + one], even[x + two], even[x + three])
            for k in range(right - left):
                x = np.uintp(left) + np.uintp(k)
                both[x] = _halfway(odd[x], odd[x + one], odd[x + two], odd[x + three])


@njit(cache=True, nogil=True, error_model="numpy")
def find_extremes(levels: NDArray[np.float32], tiles: NDArray[np.bool_], extremes: NDArray[np.float32]) -> None:
    """Write the lowest and highest level of the blocks of the marked tiles to `Picture.extremes`."""
    height, width = levels.shape
    for i in range(extremes.shape[1]):
        bottom = min((i + 1) * BLOCK_PX, height - 1)
        for j in range(extremes.shape[2]):
            if not tiles[i * BLOCK_PX // TILE_PX, j * BLOCK_PX // TILE_PX]:
                continue
            right = min((j + 1) * BLOCK_PX, width - 1)
            lowest = highest = levels[i * BLOCK_PX, j * BLOCK_PX]
            for y in range(i * BLOCK_PX, bottom + 1):
                for x in range(j * BLOCK_PX, right + 1):
                    lowest, highest = min(lowest, levels[y, x]), max(highest, levels[y, x])
            extremes[0, i, j], extremes[1, i, j] = lowest, highest


class _Cell(NamedTuple):
    """A cell: its first pixel, and its flow, disagreement, doubt and kind, as in `Paths`."""

    x: int
    y: int
    forward_x: Any
    forward_y: Any
    apart_x: Any
    apart_y: Any
    doubt: Any
    kind: Any


class _Work(NamedTuple):
    """Work space for the pixels of a cell; all arrays are flat, and N is the number of pixels.

    Attributes:
        edges_us: int64 [MAX_STEPS + 1], times at which the steps begin and end.
        fractions: float32, the same as fractions of the interval.
        levels: float32 [(MAX_STEPS + 1) * N], levels at these times.
        spread: float32 [2 * N], the lowest and the highest of them.
        ends: float64 [2 * N], levels in the earlier and in the later frame.
        zeros: float64 [N], levels of `Pixels.ref0`.
        bounds: float64 [2 * N], levels of the next OFF and of the next ON event.
        numbers: int64 [N], indices of the pixels; -1 for one that is outside the picture.
    """

    edges_us: NDArray[np.int64]
    fractions: NDArray[np.float32]
    levels: NDArray[np.float32]
    spread: NDArray[np.float32]
    ends: NDArray[np.float64]
    zeros: NDArray[np.float64]
    bounds: NDArray[np.float64]
    numbers: NDArray[np.int64]


@njit(error_model="numpy")
def _make_work(area: int) -> _Work:
    return _Work(
        np.empty(MAX_PATH_STEPS + 1, np.int64),
        np.empty(MAX_PATH_STEPS + 1, np.float32),
        np.empty((MAX_PATH_STEPS + 1) * area, np.float32),
        np.empty(2 * area, np.float32),
        np.empty(2 * area),
        np.empty(area),
        np.empty(2 * area),
        np.empty(area, np.int64),
    )


@njit(error_model="numpy")
def _corners(shape: tuple[int, int], x: Any, y: Any) -> Any:
    """Return where the four neighbours of a position are in a flat fine picture, and the place between them.

    Args:
        shape: Rows and columns.
        x: Column, inside the picture.
        y: Row, likewise.

    Returns:
        Indices of the upper left, upper right, lower left and lower right neighbour, then the fractions of the way to
        the right and down.
    """
    size = shape[0] * shape[1]
    across, down = np.int64(np.float32(2) * x), np.int64(np.float32(2) * y)
    part_x, part_y = np.float32(2) * x - np.float32(across), np.float32(2) * y - np.float32(down)
    top = (down & 1) * 2 * size + (down >> 1) * shape[1]
    bottom = ((down + 1) & 1) * 2 * size + ((down + 1) >> 1) * shape[1]
    left, right = (across & 1) * size + (across >> 1), ((across + 1) & 1) * size + ((across + 1) >> 1)
    return (
        np.uintp(top + left),
        np.uintp(top + right),
        np.uintp(bottom + left),
        np.uintp(bottom + right),
        part_x,
        part_y,
    )


@njit(inline="always")
def _between(upper_left: Any, upper_right: Any, lower_left: Any, lower_right: Any, across: Any, down: Any) -> Any:
    """Return the level between four neighbours, by bilinear interpolation."""
    upper = upper_left + across * (upper_right - upper_left)
    lower = lower_left + across * (lower_right - lower_left)
    return upper + down * (lower - upper)


@njit(inline="always")
def _row_between(fine: Any, corners: Any, parts: Any, at: Any, square: Any) -> Any:
    """Return the levels of a row of a cell, each between four neighbours, `at` more than the indices of `corners`."""
    return _between(
        load(fine, corners[0] + at, square),
        load(fine, corners[1] + at, square),
        load(fine, corners[2] + at, square),
        load(fine, corners[3] + at, square),
        parts[0],
        parts[1],
    )


@njit(error_model="numpy")
def _level_near(fine: NDArray[np.float32], shape: tuple[int, int], x: Any, y: Any) -> Any:
    """Return the level of a flat fine picture at a position; one outside has the level of the edge."""
    height, width = shape
    size, last_x, last_y = height * width, 2 * width - 1, 2 * height - 1
    fine_x = min(max(np.float32(2) * x, np.float32(0)), np.float32(last_x))
    fine_y = min(max(np.float32(2) * y, np.float32(0)), np.float32(last_y))
    across, down = np.int64(fine_x), np.int64(fine_y)
    after, below = min(int(across + 1), last_x), min(int(down + 1), last_y)
    row, row_below = (down & 1) * 2 * size + (down >> 1) * width, (below & 1) * 2 * size + (below >> 1) * width
    column, next_one = (across & 1) * size + (across >> 1), (after & 1) * size + (after >> 1)
    return _between(
        fine[np.uintp(row + column)],
        fine[np.uintp(row + next_one)],
        fine[np.uintp(row_below + column)],
        fine[np.uintp(row_below + next_one)],
        fine_x - np.float32(across),
        fine_y - np.float32(down),
    )


@njit(inline="always")
def _follow(first: Any, second: Any, rest: Any, t: Any, last: Any, end: Any, doubt: Any) -> Any:
    """Return the level of a pixel, or of several, at the fraction t = 1 - rest of the interval, as `upsampling` says.

    `first` and `second` are those of the earlier and the later frame on its path, `last` that of the previous step,
    `end` that in the later frame.
    """
    least = min(max(first, second) + doubt, min(last, end))
    most = max(min(first, second) - doubt, max(last, end))
    return min(max(first * rest + second * t, least), most)


@njit(inline="always")
def _is_inside(x: Any, y: Any, shape: tuple[int, int], side: int) -> Any:
    """Return whether all pixels of a cell, the first of which is at (x, y), have four neighbours."""
    return (x >= np.float32(0)) & (x < shape[1] - side) & (y >= np.float32(0)) & (y < shape[0] - side)


@njit(error_model="numpy")
def _step(
    cell: _Cell,
    square: tuple[int, ...],
    earlier: NDArray[np.float32],
    later: NDArray[np.float32],
    shape: tuple[int, int],
    t: Any,
    levels: NDArray[np.float32],
    steps: tuple[int, int, int],
) -> None:
    """Write the levels of the pixels of a cell at the fraction t of the interval to `levels`.

    Args:
        cell: The cell.
        square: As in `Paths`.
        earlier: The fine picture of the earlier frame, flat.
        later: That of the later frame.
        shape: Rows and columns.
        t: The fraction.
        levels: [..., side * side], flat.
        steps: The first index of the levels at the previous step, in the later frame, and at this one.
    """
    side, rest = len(square), np.float32(1) - t
    last, end, now = np.uintp(steps[0]), np.uintp(steps[1]), np.uintp(steps[2])
    shift_x, shift_y = cell.forward_x - t * cell.apart_x, cell.forward_y - t * cell.apart_y
    x, y = np.float32(cell.x), np.float32(cell.y)
    x0, y0, x1, y1 = x - t * shift_x, y - t * shift_y, x + rest * shift_x, y + rest * shift_y
    if (cell.kind == 0) & _is_inside(x0, y0, shape, side) & _is_inside(x1, y1, shape, side):
        before, after = _corners(shape, x0, y0), _corners(shape, x1, y1)
        parts0 = broadcast(before[4], square), broadcast(before[5], square)
        parts1 = broadcast(after[4], square), broadcast(after[5], square)
        rests, times, doubts = broadcast(rest, square), broadcast(t, square), broadcast(cell.doubt, square)
        for r in range(side):
            at, place = np.uintp(r * shape[1]), np.uintp(r * side)
            first = _row_between(earlier, before, parts0, at, square)
            second = _row_between(later, after, parts1, at, square)
            lasts, ends = load(levels, last + place, square), load(levels, end + place, square)
            store(levels, now + place, _follow(first, second, rests, times, lasts, ends, doubts))
        return
    for r in range(side):
        for k in range(side):
            pixel, column, row = np.uintp(r * side + k), np.float32(k), np.float32(r)
            first = _level_near(earlier, shape, x0 + column, y0 + row)
            second = _level_near(later, shape, x1 + column, y1 + row)
            if cell.kind & ENTERING:
                first = second
            if cell.kind & LEAVING:
                second = first
            lasts, ends = levels[last + pixel], levels[end + pixel]
            levels[now + pixel] = _follow(first, second, rest, t, lasts, ends, cell.doubt)


@njit(inline="always")
def _cell_at(paths: Paths, x: int, y: int) -> _Cell:
    """Return the cell whose first pixel is (x, y); a pixel beside the last complete cell moves as that one."""
    i = np.uintp(min(y // len(paths.square), paths.forward.shape[0] - 1))
    j = np.uintp(min(x // len(paths.square), paths.forward.shape[1] - 1))
    return _Cell(
        x,
        y,
        paths.forward[i, j, 0],
        paths.forward[i, j, 1],
        paths.disagreement[i, j, 0],
        paths.disagreement[i, j, 1],
        paths.doubt[i, j],
        paths.kind[i, j],
    )


@njit(inline="always")
def _range_of_paths(cell: _Cell, side: int, way: Any, extremes: NDArray[np.float32]) -> tuple[Any, Any]:
    """Return the lowest and the highest level of a frame on the paths of a cell, apart from ringing.

    The positions are in the rectangle of the displacements 0, F01 and -F10.

    Args:
        cell: The cell.
        side: Its side.
        way: -1 for the earlier frame, 1 for the later one, as float32.
        extremes: Those of the frame.
    """
    rows, columns = extremes.shape[1], extremes.shape[2]
    lowest, highest, zero = np.float32(np.inf), np.float32(-np.inf), np.float32(0)
    ahead_x, ahead_y = way * cell.forward_x, way * cell.forward_y
    back_x, back_y = way * (cell.forward_x - cell.apart_x), way * (cell.forward_y - cell.apart_y)
    left, right = cell.x + min(zero, ahead_x, back_x), cell.x + side - 1 + max(zero, ahead_x, back_x)
    top, bottom = cell.y + min(zero, ahead_y, back_y), cell.y + side - 1 + max(zero, ahead_y, back_y)
    first_row, first_column = max(int(top) // BLOCK_PX, 0), max(int(left) // BLOCK_PX, 0)
    last_row = max(min(int(bottom) // BLOCK_PX, rows - 1), 0)
    last_column = max(min(int(right) // BLOCK_PX, columns - 1), 0)
    for i in range(min(first_row, rows - 1), last_row + 1):
        for j in range(min(first_column, columns - 1), last_column + 1):
            lowest, highest = min(lowest, extremes[0, i, j]), max(highest, extremes[1, i, j])
    return lowest, highest


@njit(inline="always")
def _reference(number: Any, zero: float, pixels: Pixels) -> Reference:
    """Return the reference of a pixel, by its index and the level of its `Pixels.ref0`."""
    own, counted = -np.int64(pixels.pos.size > 1), -np.int64(pixels.off.size == pixels.net.size)
    thresholds = pixels.pos[np.uintp(number & own)], pixels.neg[np.uintp(number & own)]
    counts = np.int64(pixels.net[np.uintp(number)]), np.int64(pixels.off[np.uintp(number & counted)])
    return Reference(zero, *counts, *thresholds)


@njit(inline="always")
def _read_cell(
    cell: _Cell,
    square: tuple[int, ...],
    before: NDArray[Any],
    after: NDArray[Any],
    table: CodeTable | None,
    pixels: Pixels,
    extremes: tuple[NDArray[np.float32], NDArray[np.float32]],
    band: tuple[int, int, int],
    work: _Work,
) -> bool:
    """Read the pixels of a cell; return whether one could fire, whatever the levels on its path.

    `_step` makes a level of one of either frame on the path and those of the pixel, and never leaves their range.

    Args:
        cell: The cell.
        square: As in `Paths`.
        before: Values in the earlier frame, as in `events_of_paths`.
        after: Those in the later frame.
        table: The levels of grey codes; None for levels.
        pixels: What the pixels remember.
        extremes: Those of the pictures of both frames.
        band: Columns, first row and last row (exclusive) of the values.
        work: Gets `ends`, `zeros`, `bounds` and `numbers`.
    """
    ends, zeros, bounds, numbers = work.ends, work.zeros, work.bounds, work.numbers
    side, one, can_fire = len(square), np.uintp(1), False
    area, (width, first_row, last_row) = side * side, band
    lowest0, highest0 = _range_of_paths(cell, side, np.float32(-1), extremes[0])
    lowest1, highest1 = _range_of_paths(cell, side, np.float32(1), extremes[1])
    lowest, highest = min(lowest0, lowest1) - BEYOND, max(highest0, highest1) + BEYOND
    for k in range(area):
        column, row = cell.x + k % side, cell.y + k // side
        inside = (column < width) & (row < last_row)
        pixel = np.uintp((min(row, last_row - 1) - first_row) * width + min(column, width - 1))
        numbers[k] = pixel if inside else -1
        if table is None:
            ends[k], ends[area + k], zeros[k] = before[pixel], after[pixel], pixels.ref0[pixel]
        else:
            ends[k], ends[area + k] = table.levels[before[pixel] + one], table.levels[after[pixel] + one]
            zeros[k] = table.levels[pixels.ref0[pixel] + one]
        if inside:
            reference = _reference(numbers[k], zeros[k], pixels)
            bounds[k], bounds[area + k] = next_level(reference, -1), next_level(reference, 1)
            least, most = min(lowest, ends[k], ends[area + k]), max(highest, ends[k], ends[area + k])
            can_fire |= (least <= bounds[k]) | (bounds[area + k] <= most)
    return can_fire


@njit(error_model="numpy")
def _cross(
    cell: _Cell,
    first: int,
    square: tuple[int, ...],
    steps: int,
    table: CodeTable | None,
    pixels: Pixels,
    work: _Work,
    words: Words,
    filled: Any,
) -> tuple[int, Any]:
    """Append the events of the pixels of a cell from number `first` on to `words`.

    Stops before a pixel whose events do not fit. Called again with more room and what it returned, it resumes there.
    (Words that grew in the loop over steps would cost a counted reference for each step.)

    Args:
        cell: The cell.
        first: The pixel.
        square: As in `Paths`.
        steps: Number of steps.
        table: The levels of grey codes; None for levels.
        pixels: What the pixels remember; updated.
        work: The levels.
        words: The events so far.
        filled: Their number.

    Returns:
        The number of the pixel at which to resume, or that of all pixels if all are done; and the number of events.
    """
    edges_us, _, levels, spread, ends, zeros, bounds, numbers = work
    side = len(square)
    area, low, high, net, off = side * side, pixels.low, pixels.high, pixels.net, pixels.off
    room = np.uintp(words.size)
    for k in range(first, area):
        pixel = np.uintp(numbers[k])
        if numbers[k] < 0:
            continue
        lower, upper = bounds[k], bounds[area + k]
        if (lower < min(spread[k], ends[k], ends[area + k])) & (max(spread[area + k], ends[k], ends[area + k]) < upper):
            continue
        place, level = ((cell.y + k // side) << ROW_SHIFT) | ((cell.x + k % side) << COLUMN_SHIFT), ends[k]
        reference, fired = _reference(numbers[k], zeros[k], pixels), filled
        for step in range(1, steps + 1):
            last, level = level, np.float64(levels[np.uintp(step * area + k)]) if step < steps else ends[area + k]
            if (lower < level) & (level < upper):
                continue
            rising, since_us = np.int64(level > last), edges_us[step - 1]
            way, scale = 2 * rising - 1, (edges_us[step] - since_us) / (level - last)
            crossing = upper if rising else lower
            while way * crossing <= way * level:
                if filled == room:
                    return k, fired
                at_us = since_us + np.int64((crossing - last) * scale + 0.5)
                words[filled] = (at_us << TIME_SHIFT) | place | rising
                filled += np.uintp(1)
                reference = move_reference(reference, way)
                crossing = next_level(reference, way)
            opposite = next_level(reference, -way)
            upper, lower = (crossing, opposite) if rising else (opposite, crossing)
        if filled == fired:
            continue
        net[pixel] = reference.net
        if off.size == net.size:
            off[pixel] = reference.off
        if table is None:
            high[pixel], low[pixel] = hair_below(upper), hair_above(lower)
        else:
            low[pixel], high[pixel] = quiet_codes(upper, lower, table)
    return area, filled


@njit(cache=True, nogil=True, error_model="numpy")
def events_of_paths(
    before: NDArray[Any],
    after: NDArray[Any],
    table: CodeTable | None,
    pixels: Pixels,
    paths: Paths,
    interval: Interval,
) -> Words:
    """Return the events of the pixels of moving tiles, in any order.

    The others are left as they are, and so are pixels whose change the motion does not explain: `events_of_lines` has
    their events. Updates `pixels`.

    Args:
        before: Values of the band's pixels in the earlier frame: grey codes, or levels.
        after: Those in the later frame.
        table: The levels of grey codes; None for levels.
        pixels: What the pixels remember.
        paths: The motion in the complete picture.
        interval: The time and the rows of the band, which begins with a row of tiles.
    """
    words, filled = np.empty(after.size // 8 + FIRST_ROOM, np.int64), np.uintp(0)
    square, extremes = paths.square, (paths.before.extremes, paths.after.extremes)
    earlier, later = paths.before.fine.reshape(-1), paths.after.fine.reshape(-1)
    width, first_row, shape = interval.width, interval.first_row, paths.before.fine.shape[2:]
    last_row, side, known = first_row + after.size // width, len(square), 0
    area, band, work = side * side, (width, first_row, last_row), _make_work(side * side)
    edges_us, fractions, levels, spread, ends = work[:5]
    for y in range(first_row, last_row, side):
        for x in range(0, width, side):
            steps = int(paths.steps[y // TILE_PX, x // TILE_PX])
            if steps < 2:
                continue
            cell = _cell_at(paths, x, y)
            if cell.kind & UNEXPLAINED:
                continue
            if not _read_cell(cell, square, before, after, table, pixels, extremes, band, work):
                continue
            if steps != known:  # neighbours have the same
                for step in range(steps + 1):
                    edges_us[step] = (2 * step * interval.length_us + steps) // (2 * steps)
                    fractions[step] = edges_us[step] / interval.length_us
                known = steps
            for k in range(area):
                levels[k], levels[steps * area + k] = ends[k], ends[area + k]
            for k in range(area):
                spread[k], spread[area + k] = levels[k], levels[k]
            for step in range(1, steps):
                places = (step - 1) * area, steps * area, step * area
                _step(cell, square, earlier, later, shape, fractions[step], levels, places)
                for row in range(0, area, side):
                    now = load(levels, np.uintp(step * area + row), square)
                    lowest, highest = np.uintp(row), np.uintp(area + row)
                    store(spread, lowest, min(load(spread, lowest, square), now))
                    store(spread, highest, max(load(spread, highest, square), now))
            done = 0
            while done < area:
                done, filled = _cross(cell, done, square, steps, table, pixels, work, words, filled)
                if done < area:
                    words = grow(words)
    return words[:filled]


@njit(cache=True, nogil=True, error_model="numpy")
def levels_of_paths(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    last: NDArray[np.float64],
    paths: Paths,
    first_row: int,
    t: float,
) -> NDArray[np.float64]:
    """Return the levels of a band of rows at the fraction t of the interval.

    Args:
        before: Levels in the earlier frame, [N].
        after: Levels in the later frame.
        last: Levels at the previous step.
        paths: The motion in the complete picture.
        first_row: First row of the band.
        t: The fraction, greater than at the previous step.
    """
    now = before + t * (after - before)
    square, shape = paths.square, paths.before.fine.shape[2:]
    earlier, later = paths.before.fine.reshape(-1), paths.after.fine.reshape(-1)
    side, width = len(square), shape[1]
    area, last_row = side * side, first_row + before.size // width
    levels, places = np.empty(3 * area, np.float32), (0, area, 2 * area)
    for y in range(first_row, last_row, side):
        for x in range(0, width, side):
            if paths.steps[y // TILE_PX, x // TILE_PX] < 2:
                continue
            cell = _cell_at(paths, x, y)
            if cell.kind & UNEXPLAINED:
                continue
            for k in range(area):
                column, row = min(x + k % side, width - 1), min(y + k // side, last_row - 1)
                pixel = (row - first_row) * width + column
                levels[k], levels[area + k] = last[pixel], after[pixel]
            _step(cell, square, earlier, later, shape, np.float32(t), levels, places)
            for k in range(area):
                column, row = x + k % side, y + k // side
                if column < width and row < last_row:
                    now[(row - first_row) * width + column] = levels[2 * area + k]
    return now
