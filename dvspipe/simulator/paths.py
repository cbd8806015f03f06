"""Compiled loops that find crossings where the level of a pixel follows the motion between two frames.

`upsampling` says how the level at a time between two frames follows from their motion. Here it is computed pixel by
pixel, step by step, and each step is searched for crossings at once, so that no frames between are ever stored. Only
tiles in which something moves are processed, each with as many steps as its own motion needs; all other pixels follow
straight lines, and cost nothing here.
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
from .words import COLUMN_SHIFT, ROW_SHIFT, TIME_SHIFT, Interval, Words, grow

MOST_STEPS = 256
TILE_PX = 16  # side of the squares that are processed or not, with one number of steps each
ENTERING, LEAVING, UNEXPLAINED = 1, 2, 4  # bits of `Paths.kind`
# Cubic convolution half way between two pixels (Keys 1981), a = -1: sharper than the usual -0.5, to compensate for the
# bilinear interpolation after it. A value exceeds its two neighbours by LARGEST_OVERSHOOT at most: more causes ringing
# at hard edges and false events; none flattens peaks, and more true events are missed.
HALFWAY_NEAR, HALFWAY_FAR = np.float32(0.625), np.float32(-0.125)
LARGEST_OVERSHOOT = np.float32(0.004)  # of the level


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
        cell_px: Side of the square cells, 2 or 4.
        fine: float32 [2, 2, 2, H, W], in the tiles where they are needed: the levels of both frames at the pixels
            (place 0 of the second and third dimension) and half way to the next row (1, 0), column (0, 1) or both.
    """

    forward: NDArray[np.float32]
    disagreement: NDArray[np.float32]
    doubt: NDArray[np.float32]
    kind: NDArray[np.uint8]
    steps: NDArray[np.uint16]
    cell_px: int
    fine: NDArray[np.float32]


@njit(cache=True, nogil=True, error_model="numpy")
def reach_of_tiles(
    forward: NDArray[np.float32], backward: NDArray[np.float32], cell_px: int, tiles: NDArray[np.float32]
) -> None:  # fmt: skip
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
    return min(max(value, min(b, c) - LARGEST_OVERSHOOT), max(b, c) + LARGEST_OVERSHOOT)


@njit(cache=True, nogil=True, error_model="numpy")
def refine(levels: NDArray[np.float32], tiles: NDArray[np.bool_], fine: NDArray[np.float32]) -> None:
    """Write the levels at half the spacing, by cubic convolution, to `fine` in the marked tiles.

    `fine` is [2, 2, H, W], as a part of `Paths.fine`.

    Bilinear interpolation of these is as sharp as cubic interpolation of the levels, and costs little more than
    bilinear interpolation of the levels, which blurs: 2 % instead of 1 % of the events of a textured scene are missed.
    """
    height, width = levels.shape
    even, odd = np.empty(width + 3, np.float32), np.empty(width + 3, np.float32)
    for tile_row in range(tiles.shape[0]):
        stop = 0
        while stop < tiles.shape[1]:
            start = stop
            while start < tiles.shape[1] and not tiles[tile_row, start]:
                start += 1
            stop = start
            while stop < tiles.shape[1] and tiles[tile_row, stop]:
                stop += 1
            left, right = start * TILE_PX, min(stop * TILE_PX, width)
            if left >= right:
                break
            for y in range(tile_row * TILE_PX, min((tile_row + 1) * TILE_PX, height)):
                _halfway_down(levels, y, left, right, even, odd)
                for down, row in ((0, even), (1, odd)):
                    fine[down, 0, y, left:right] = row[1 : right - left + 1]
                    _halfway_across(row, fine[down, 1, y, left:right])


@njit(nogil=True, error_model="numpy")
def _halfway_down(
    levels: NDArray[np.float32], y: int, left: int, right: int, even: NDArray[np.float32], odd: NDArray[np.float32]
) -> None:
    """Write the columns left - 1 to right + 1 of a row to `even`, and half way to the next row to `odd`."""
    height, width = levels.shape
    begin, end = max(left - 1, 0), min(right + 2, width)
    above, here = levels[max(y - 1, 0), begin:end], levels[y, begin:end]
    below, further = levels[min(y + 1, height - 1), begin:end], levels[min(y + 2, height - 1), begin:end]
    shift = begin - (left - 1)
    inner_even, inner_odd = even[shift:], odd[shift:]
    for k in range(here.size):
        inner_odd[k] = _halfway(above[k], here[k], below[k], further[k])
    inner_even[: here.size] = here
    for row in (even, odd):
        row[:shift] = row[shift]
        row[shift + here.size : right - left + 3] = row[shift + here.size - 1]


@njit(nogil=True, error_model="numpy")
def _halfway_across(row: NDArray[np.float32], halfway: NDArray[np.float32]) -> None:
    """Write the levels half way from the second and later columns of a row to the next to `halfway`."""
    count = halfway.size
    before, here, after, further = row[0:count], row[1 : count + 1], row[2 : count + 2], row[3 : count + 3]
    for k in range(count):
        halfway[k] = _halfway(before[k], here[k], after[k], further[k])


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
    """Work space for the pixels of a cell.

    Attributes:
        edges_us: int64 [MOST_STEPS + 1], times at which the steps end.
        fractions: float32, the same as fractions of the interval.
        ends: float64 [2, N], levels in the earlier and the later frame.
        levels: float32 [MOST_STEPS + 1, N], levels at the edges.
        scratch: float32 [4, N].
    """

    edges_us: NDArray[np.int64]
    fractions: NDArray[np.float32]
    ends: NDArray[np.float64]
    levels: NDArray[np.float32]
    scratch: NDArray[np.float32]


@njit(error_model="numpy")
def _sample(
    fine: NDArray[np.float32], picture: int, shape: tuple[int, int], x: Any, y: Any, levels: NDArray[np.float32]
) -> None:
    """Write the levels of the pixels of a cell whose first pixel has moved to (x, y) to `levels` [side * side].

    By bilinear interpolation; a position outside has the level of the edge. All pixels of a cell have the same place
    between their neighbours, which are beside each other in each of the four pictures of `Paths.fine`.

    Args:
        fine: The fine pictures of both frames, flat.
        picture: 0 for those of the earlier frame, 1 for the later one.
        shape: Rows and columns.
        x: Column.
        y: Row.
        levels: The result, row by row.
    """
    height, width = shape
    size = height * width
    first, side = 4 * picture * size, 2 if levels.size == 4 else 4
    if (x >= np.float32(0)) & (x < width - side) & (y >= np.float32(0)) & (y < height - side):
        across, down = np.int64(np.float32(2) * x), np.int64(np.float32(2) * y)
        part_x, part_y = np.float32(2) * x - np.float32(across), np.float32(2) * y - np.float32(down)
        top = first + (down & 1) * 2 * size + (down >> 1) * width
        bottom = first + ((down + 1) & 1) * 2 * size + ((down + 1) >> 1) * width
        left, right = (across & 1) * size + (across >> 1), ((across + 1) & 1) * size + ((across + 1) >> 1)
        corners = np.uintp(top + left), np.uintp(top + right), np.uintp(bottom + left), np.uintp(bottom + right)
        if side == 4:
            for r in range(4):
                for k in range(4):
                    at = np.uintp(r * width + k)
                    upper_left, upper_right = fine[corners[0] + at], fine[corners[1] + at]
                    lower_left, lower_right = fine[corners[2] + at], fine[corners[3] + at]
                    upper = upper_left + part_x * (upper_right - upper_left)
                    lower = lower_left + part_x * (lower_right - lower_left)
                    levels[4 * r + k] = upper + part_y * (lower - upper)
        else:
            for r in range(2):
                for k in range(2):
                    at = np.uintp(r * width + k)
                    upper_left, upper_right = fine[corners[0] + at], fine[corners[1] + at]
                    lower_left, lower_right = fine[corners[2] + at], fine[corners[3] + at]
                    upper = upper_left + part_x * (upper_right - upper_left)
                    lower = lower_left + part_x * (lower_right - lower_left)
                    levels[2 * r + k] = upper + part_y * (lower - upper)
        return
    last_x, last_y = 2 * width - 1, 2 * height - 1
    for k in range(side * side):
        fine_x = min(max(np.float32(2) * (x + np.float32(k % side)), np.float32(0)), np.float32(last_x))
        fine_y = min(max(np.float32(2) * (y + np.float32(k // side)), np.float32(0)), np.float32(last_y))
        across, down = np.int64(fine_x), np.int64(fine_y)
        part_x, part_y = fine_x - np.float32(across), fine_y - np.float32(down)
        after, below = min(int(across + 1), last_x), min(int(down + 1), last_y)
        row, row_below = (down & 1) * 2 * size + (down >> 1) * width, (below & 1) * 2 * size + (below >> 1) * width
        column, next_one = first + (across & 1) * size + (across >> 1), first + (after & 1) * size + (after >> 1)
        upper = fine[row + column] + part_x * (fine[row + next_one] - fine[row + column])
        lower = fine[row_below + column] + part_x * (fine[row_below + next_one] - fine[row_below + column])
        levels[k] = upper + part_y * (lower - upper)


@njit(error_model="numpy")
def _step(
    cell: _Cell,
    fine: NDArray[np.float32],
    shape: tuple[int, int],
    t: Any,
    last: NDArray[np.float32],
    end: NDArray[np.float32],
    now: NDArray[np.float32],
    scratch: NDArray[np.float32],
) -> None:
    """Write the levels of the pixels of a cell at the fraction t of the interval to `now`, as `upsampling` says.

    `last` are those of the previous step, `end` those in the later frame.
    """
    rest, first, second = np.float32(1) - t, scratch[2], scratch[3]
    shift_x, shift_y = cell.forward_x - t * cell.apart_x, cell.forward_y - t * cell.apart_y
    x, y, doubt = np.float32(cell.x), np.float32(cell.y), cell.doubt
    _sample(fine, 0, shape, x - t * shift_x, y - t * shift_y, first)
    _sample(fine, 1, shape, x + rest * shift_x, y + rest * shift_y, second)
    if cell.kind & ENTERING:
        first[:] = second
    if cell.kind & LEAVING:
        second[:] = first
    for k in range(end.size):
        least = min(max(first[k], second[k]) + doubt, min(last[k], end[k]))
        most = max(min(first[k], second[k]) - doubt, max(last[k], end[k]))
        now[k] = min(max(first[k] * rest + second[k] * t, least), most)


@njit(error_model="numpy")
def _follow(cell: _Cell, fine: NDArray[np.float32], shape: tuple[int, int], steps: int, work: _Work) -> None:
    """Write the levels of the pixels of a cell at the edges of the steps to `work.levels`.

    The first two rows of `work.scratch` become the lowest and the highest of them.
    """
    _, fractions, ends, levels, scratch = work
    lowest, highest, end = scratch[0], scratch[1], levels[steps]
    for k in range(end.size):
        levels[0, k], end[k] = ends[0, k], ends[1, k]
    for k in range(end.size):
        lowest[k], highest[k] = min(levels[0, k], end[k]), max(levels[0, k], end[k])
    for step in range(1, steps):
        now = levels[step]
        _step(cell, fine, shape, fractions[step], levels[step - 1], end, now, scratch)
        for k in range(end.size):
            lowest[k], highest[k] = min(lowest[k], now[k]), max(highest[k], now[k])


@njit(error_model="numpy")
def _cell_at(paths: Paths, x: int, y: int) -> _Cell:
    """Return the cell whose first pixel is (x, y); a pixel beside the last complete cell moves as that one."""
    i = np.uintp(min(y // paths.cell_px, paths.forward.shape[0] - 1))
    j = np.uintp(min(x // paths.cell_px, paths.forward.shape[1] - 1))
    return _Cell(
        x, y, paths.forward[i, j, 0], paths.forward[i, j, 1], paths.disagreement[i, j, 0], paths.disagreement[i, j, 1],
        paths.doubt[i, j], paths.kind[i, j],
    )  # fmt: skip


@njit(error_model="numpy")
def _cross(
    cell: _Cell, zeros: NDArray[np.float64], numbers: NDArray[np.int64], steps: int, table: CodeTable | None,
    pixels: Pixels, work: _Work, words: Words, filled: Any,
) -> tuple[Words, Any]:  # fmt: skip
    """Append the events of the pixels of a cell, whose levels are in `work`, to `words`; return them and their number.

    Args:
        cell: The cell.
        zeros: Levels of `Pixels.ref0`.
        numbers: Indices of the pixels; -1 for one that is outside the picture.
        steps: Number of steps.
        table: The levels of grey codes; None for levels.
        pixels: What the pixels remember; updated.
        work: The levels.
        words: The events so far.
        filled: Their number.
    """
    low, high, _, net, off, pos, neg = pixels
    edges_us, _, ends, levels, scratch = work
    own, counted, side = -np.int64(pos.size > 1), -np.int64(off.size == net.size), 2 if numbers.size == 4 else 4
    for k in range(numbers.size):
        pixel = np.uintp(numbers[k])
        if numbers[k] < 0:
            continue
        thresholds = pos[np.uintp(numbers[k] & own)], neg[np.uintp(numbers[k] & own)]
        counts = np.int64(net[pixel]), np.int64(off[np.uintp(numbers[k] & counted)])
        reference = Reference(zeros[k], *counts, *thresholds)
        upper, lower = next_level(reference, 1), next_level(reference, -1)
        if (lower < min(scratch[0, k], ends[1, k])) & (max(scratch[1, k], ends[1, k]) < upper):
            continue
        place, level = ((cell.y + k // side) << ROW_SHIFT) | ((cell.x + k % side) << COLUMN_SHIFT), ends[0, k]
        for step in range(1, steps + 1):
            last, level = level, np.float64(levels[step, k]) if step < steps else ends[1, k]
            if (lower < level) & (level < upper):
                continue
            rising, since_us = np.int64(level > last), edges_us[step - 1]
            way, scale = 2 * rising - 1, (edges_us[step] - since_us) / (level - last)
            crossing = next_level(reference, way)
            while way * crossing <= way * level:
                if filled == words.size:
                    words = grow(words)
                at_us = since_us + np.int64((crossing - last) * scale + 0.5)
                words[filled] = (at_us << TIME_SHIFT) | place | rising
                filled += np.uintp(1)
                reference = move_reference(reference, way)
                crossing = next_level(reference, way)
            upper, lower = next_level(reference, 1), next_level(reference, -1)
        net[pixel] = reference.net
        if counted:
            off[pixel] = reference.off
        if table is None:
            high[pixel], low[pixel] = hair_below(upper), hair_above(lower)
        else:
            low[pixel], high[pixel] = quiet_codes(upper, lower, table)
    return words, filled


@njit(error_model="numpy")
def _make_work(cell_px: int) -> _Work:
    area = cell_px * cell_px
    edges_us, fractions = np.empty(MOST_STEPS + 1, np.int64), np.empty(MOST_STEPS + 1, np.float32)
    levels, scratch = np.empty((MOST_STEPS + 1, area), np.float32), np.empty((4, area), np.float32)
    return _Work(edges_us, fractions, np.empty((2, area)), levels, scratch)


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

    The others are left as they are, and so are pixels whose change the motion does not explain: `events_of_codes` or
    `events_of_levels` has their events. Updates `pixels`.

    Args:
        before: Values of the band's pixels in the earlier frame: grey codes, or levels.
        after: Those in the later frame.
        table: The levels of grey codes; None for levels.
        pixels: What the pixels remember.
        paths: The motion in the complete picture.
        interval: The time and the rows of the band, which begins with a row of tiles.
    """
    words, filled, one = np.empty(after.size // 8 + FIRST_ROOM, np.int64), np.uintp(0), np.uintp(1)
    cell_px, fine, ref0 = paths.cell_px, paths.fine.reshape(-1), pixels.ref0
    width, first_row, shape = interval.width, interval.first_row, (paths.fine.shape[3], paths.fine.shape[4])
    last_row, work = first_row + after.size // width, _make_work(cell_px)
    (edges_us, fractions, ends, _, _), known = work, 0
    zeros, numbers = np.empty(cell_px * cell_px), np.empty(cell_px * cell_px, np.int64)
    if table is not None:
        levels = table.levels  # here, as in `crossings`
    for y in range(first_row, last_row, cell_px):
        for x in range(0, width, cell_px):
            steps = int(paths.steps[y // TILE_PX, x // TILE_PX])
            if steps < 2:
                continue
            cell = _cell_at(paths, x, y)
            if cell.kind & UNEXPLAINED:
                continue
            if steps != known:  # neighbours have the same
                for step in range(steps + 1):
                    edges_us[step] = (2 * step * interval.length_us + steps) // (2 * steps)
                    fractions[step] = edges_us[step] / interval.length_us
                known = steps
            for k in range(numbers.size):
                column, row = x + k % cell_px, y + k // cell_px
                inside = (column < width) & (row < last_row)
                pixel = np.uintp((min(row, last_row - 1) - first_row) * width + min(column, width - 1))
                numbers[k] = pixel if inside else -1
                if table is None:
                    ends[0, k], ends[1, k], zeros[k] = before[pixel], after[pixel], ref0[pixel]
                else:
                    ends[0, k], ends[1, k] = levels[np.uintp(before[pixel]) + one], levels[np.uintp(after[pixel]) + one]
                    zeros[k] = levels[np.uintp(ref0[pixel]) + one]
            _follow(cell, fine, shape, steps, work)
            words, filled = _cross(cell, zeros, numbers, steps, table, pixels, work, words, filled)
    return words[:filled]


@njit(cache=True, nogil=True, error_model="numpy")
def levels_of_paths(
    before: NDArray[np.float64], after: NDArray[np.float64], last: NDArray[np.float64], paths: Paths, first_row: int,
    t: float,
) -> NDArray[np.float64]:  # fmt: skip
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
    cell_px, fine, shape = paths.cell_px, paths.fine.reshape(-1), (paths.fine.shape[3], paths.fine.shape[4])
    width, area = shape[1], cell_px * cell_px
    last_row, rows = first_row + before.size // width, np.empty((7, area), np.float32)
    for y in range(first_row, last_row, cell_px):
        for x in range(0, width, cell_px):
            if paths.steps[y // TILE_PX, x // TILE_PX] < 2:
                continue
            cell = _cell_at(paths, x, y)
            if cell.kind & UNEXPLAINED:
                continue
            for k in range(area):
                column, row = min(x + k % cell_px, width - 1), min(y + k // cell_px, last_row - 1)
                rows[0, k], rows[1, k] = (
                    last[(row - first_row) * width + column],
                    after[(row - first_row) * width + column],
                )
            _step(cell, fine, shape, np.float32(t), rows[0], rows[1], rows[2], rows[3:])
            for k in range(area):
                column, row = x + k % cell_px, y + k // cell_px
                if column < width and row < last_row:
                    now[(row - first_row) * width + column] = rows[2, k]
    return now
