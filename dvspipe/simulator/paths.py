"""Compiled loops: find threshold crossings of levels that follow the motion between two frames.

`upsampling` defines the level at a time between two frames. The loops compute it pixel by pixel and step by step, and
search each step for crossings immediately; intermediate frames are never stored. Only moving tiles are processed, each
with the number of steps that its motion needs. All other pixels follow straight lines and cost nothing here. A cell of
a moving tile is skipped if no level on its paths can fire: half of the cells for people in front of a still background.

`upsampling` prepares the pictures (`refine`, `find_extremes`) and the `Paths`. For each cell, `events_of_paths` reads
its pixels (`_read_cell`), computes their levels at all steps (`compute_levels`), and fires their events (`_emit_cell`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.kernels import njit
from .crossings import (
    INITIAL_CAPACITY,
    CodeTable,
    Pixels,
    Reference,
    move_reference,
    next_level,
    quiet_codes,
    slightly_above,
    slightly_below,
)
from .words import COLUMN_SHIFT, ROW_SHIFT, TIME_SHIFT, Interval, Words, grow

MAX_PATH_STEPS = 256
TILE_PX = 16  # side of a tile: the unit that is processed or skipped, with its own number of steps
# Bits of `Paths.kind`.
ENTERING = 1
LEAVING = 2
UNEXPLAINED = 4
# Cubic convolution halfway between two pixels (Keys 1981), a = -1: sharper than the usual -0.5, to compensate for the
# bilinear interpolation after it. A value exceeds its two neighbours by at most MAX_OVERSHOOT: more causes ringing at
# hard edges and false events; none flattens peaks, and more true events are missed.
HALFWAY_NEAR = np.float32(0.625)
HALFWAY_FAR = np.float32(-0.125)
MAX_OVERSHOOT = np.float32(0.004)  # in units of the level
BLOCK_PX = 4  # side of the blocks in `Picture.extremes`
MAX_ROUNDING = np.float32(1e-4)  # error of an interpolated level
EXTREMES_MARGIN = 2 * MAX_OVERSHOOT + MAX_ROUNDING  # widens the extremes: the overshoot is in both directions


class Picture(NamedTuple):
    """Levels of a frame, valid only in the tiles that need them.

    Attributes:
        fine: Levels at half-pixel spacing, float32 [2, 2, H, W]: at the pixels [0, 0], halfway to the next row [1, 0],
            to the next column [0, 1], or both [1, 1].
        extremes: Lowest [0] and highest [1] level in each block, including the row and column after it, float32
            [2, H / BLOCK_PX, W / BLOCK_PX].
    """

    fine: NDArray[np.float32]
    extremes: NDArray[np.float32]


class Paths(NamedTuple):
    """Motion between two frames, per cell of 2 x 2 or 4 x 4 pixels, and the pictures of the frames.

    Attributes:
        forward: F01, flow from the earlier to the later frame in pixels, float32 [H / cell_px, W / cell_px, 2].
        disagreement: F01 + F10, difference from the reversed backward flow, float32 [H / cell_px, W / cell_px, 2].
        doubt: Reduction of the distance by which a level leaves the range of its straight line, float32
            [H / cell_px, W / cell_px].
        kind: Bit field, uint8 [H / cell_px, W / cell_px]: ENTERING or LEAVING if the path begins or ends outside the
            picture, UNEXPLAINED if the level follows a straight line.
        steps: Number of equal steps per tile, uint16 [H / TILE_PX, W / TILE_PX]; 1: straight lines.
        square: Tuple of cell_px zeros (2 or 4): makes the side of the cells a compile-time constant.
        before: Picture of the earlier frame.
        after: Picture of the later frame.
    """

    forward: NDArray[np.float32]
    disagreement: NDArray[np.float32]
    doubt: NDArray[np.float32]
    kind: NDArray[np.uint8]
    steps: NDArray[np.uint16]
    square: tuple[int, ...]
    before: Picture
    after: Picture

    def moving(self, first_row: int, pixels: int) -> NDArray[np.bool_]:
        """Return whether each pixel of a band is in a moving tile, [pixels]; the band begins at a row of tiles."""
        _, _, _, width = self.before.fine.shape
        first = first_row // TILE_PX
        rows = pixels // width
        tiles = self.steps[first : first + -(-rows // TILE_PX)] > 1

        # Tiles at the edges of the picture are cut there.
        columns = tiles.repeat(TILE_PX, axis=0)[:rows].repeat(TILE_PX, axis=1)
        return columns[:, :width].ravel()


@njit(cache=True, nogil=True, error_model="numpy")
def reach_of_tiles(
    forward: NDArray[np.float32], backward: NDArray[np.float32], cell_px: int, tiles: NDArray[np.float32]
) -> None:
    """Write the length in pixels of the longest flow in each tile, of both directions, to `tiles`."""
    # forward and backward [H / cell_px, W / cell_px, 2] have a flow per cell (i, j), and tiles [H / TILE_PX,
    # W / TILE_PX] a length per tile. Squares are compared, so each tile needs a single root.
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
    """Return the tiles that reach a marked tile or, with `towards`, the tiles that a marked tile reaches."""
    # marked, reach and the result have an entry per tile (i, j); a tile reaches the square around it that its longest
    # flow can touch, in complete tiles.
    spread = np.zeros_like(marked)
    rows, columns = marked.shape
    for i in range(rows):
        for j in range(columns):
            if towards and not marked[i, j]:
                continue

            tiles = int(np.ceil(reach[i, j] / TILE_PX))
            top = max(0, i - tiles)
            bottom = min(rows, i + tiles + 1)
            left = max(0, j - tiles)
            right = min(columns, j + tiles + 1)
            if towards:
                spread[top:bottom, left:right] = True
            else:
                spread[i, j] = marked[top:bottom, left:right].any()
    return spread


@njit(inline="always")
def _cubic_midpoint(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Interpolate halfway between b and c, the second and third of four neighbours."""
    value = HALFWAY_NEAR * (b + c) + HALFWAY_FAR * (a + d)

    # A cubic overshoots at hard edges; see MAX_OVERSHOOT.
    return min(max(value, min(b, c) - MAX_OVERSHOOT), max(b, c) + MAX_OVERSHOOT)


@njit(cache=True, nogil=True, error_model="numpy")
def refine(levels: NDArray[np.float32], tiles: NDArray[np.bool_], fine: NDArray[np.float32]) -> None:
    """Interpolate the levels of marked tiles to half-pixel spacing by cubic convolution; write them to `Picture.fine`.

    Bilinear interpolation of fine levels is as sharp as cubic interpolation of the levels, and costs little more than
    bilinear interpolation. The latter alone blurs: it misses 2 % instead of 1 % of the events of a textured scene.
    """
    # Cubic convolution is separable: `odd` is halfway between this row and the next, from four rows; then both rows
    # are interpolated halfway between columns, from four columns. levels [H, W]; fine [2, 2, H, W]; y is a row, x a
    # column, and k a column of a run of marked tiles.
    height, width = levels.shape
    one = np.uintp(1)
    two = np.uintp(2)
    three = np.uintp(3)
    # padded rows, index x + 1 for column x; the edges repeat once on the left and twice on the right
    even = np.empty(width + 3, np.float32)
    odd = np.empty(width + 3, np.float32)
    for y in range(height):
        marked = tiles[y // TILE_PX]
        here = levels[y]  # slices of parts of rows would cost a reference count each
        above = levels[max(y - 1, 0)]
        below = levels[min(y + 1, height - 1)]
        further = levels[min(y + 2, height - 1)]
        plain = fine[0, 0, y]
        down = fine[1, 0, y]
        across = fine[0, 1, y]
        both = fine[1, 1, y]
        stop = 0
        while stop < marked.size:
            # Find the next run of marked tiles.
            start = stop
            while start < marked.size and not marked[start]:
                start += 1
            stop = start
            while stop < marked.size and marked[stop]:
                stop += 1
            left = max(start * TILE_PX, 0)
            right = min(stop * TILE_PX, width)

            # The columns of the run, one to the left and two to the right, as the cubic midpoint needs them.
            begin = max(left - 1, 0)
            end = min(right + 2, width)
            for k in range(end - begin):
                x = np.uintp(begin) + np.uintp(k)
                even[x + one] = here[x]
                odd[x + one] = _cubic_midpoint(above[x], here[x], below[x], further[x])
            even[0] = even[1]
            odd[0] = odd[1]
            for beyond in range(width + 1, right + 3):
                even[beyond] = even[width]
                odd[beyond] = odd[width]

            for k in range(right - left):
                x = np.uintp(left) + np.uintp(k)
                plain[x] = even[x + one]
                down[x] = odd[x + one]
            for k in range(right - left):
                x = np.uintp(left) + np.uintp(k)
                across[x] = _cubic_midpoint(even[x], even[x + one], even[x + two], even[x + three])
            for k in range(right - left):
                x = np.uintp(left) + np.uintp(k)
                both[x] = _cubic_midpoint(odd[x], odd[x + one], odd[x + two], odd[x + three])


@njit(cache=True, nogil=True, error_model="numpy")
def find_extremes(levels: NDArray[np.float32], tiles: NDArray[np.bool_], extremes: NDArray[np.float32]) -> None:
    """Write the lowest and highest level of each block in marked tiles to `Picture.extremes`."""
    # levels [H, W]; extremes [2, H / BLOCK_PX, W / BLOCK_PX] has a block (i, j) of pixels (y, x), with the row and
    # column after it: a position between the pixels of two blocks is interpolated from both.
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
                    lowest = min(lowest, levels[y, x])
                    highest = max(highest, levels[y, x])

            extremes[0, i, j] = lowest
            extremes[1, i, j] = highest


class _Cell(NamedTuple):
    """Cell: column x and row y of its first pixel, and its flow, disagreement, doubt and kind (see `Paths`)."""

    x: int
    y: int
    forward_x: Any
    forward_y: Any
    apart_x: Any
    apart_y: Any
    doubt: Any
    kind: Any


class _Workspace(NamedTuple):
    """Work space for the N pixels of a cell, in flat arrays.

    Attributes:
        edges_us: Start and end times of the steps in microseconds, int64 [MAX_PATH_STEPS + 1].
        fractions: The same times as fractions of the interval, float32 [MAX_PATH_STEPS + 1].
        levels: Levels at these times, float32 [(MAX_PATH_STEPS + 1) * N].
        spread: Lowest, then highest level of each pixel, float32 [2 * N].
        ends: Levels in the earlier, then in the later frame, float64 [2 * N].
        zeros: Levels of `Pixels.ref0`, float64 [N].
        bounds: Levels of the next OFF, then of the next ON event, float64 [2 * N].
        numbers: Indices of the pixels, int64 [N]; -1 for pixels outside the picture.
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
def _make_workspace(area: int) -> _Workspace:
    return _Workspace(
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
    """Locate the four neighbours of a position inside a flat fine picture of `shape` (rows, columns), with weights.

    Returns:
        Indices of the upper left, upper right, lower left and lower right neighbour, then the fractional position to
        the right and down.
    """
    # The fine picture is [2, 2, H, W]: an odd fine row or column is in the second half of its axis.
    height, width = shape
    size = height * width
    across = np.int64(np.float32(2) * x)
    down = np.int64(np.float32(2) * y)
    part_x = np.float32(2) * x - np.float32(across)
    part_y = np.float32(2) * y - np.float32(down)

    top = (down & 1) * 2 * size + (down >> 1) * width
    bottom = ((down + 1) & 1) * 2 * size + ((down + 1) >> 1) * width
    left = (across & 1) * size + (across >> 1)
    right = ((across + 1) & 1) * size + ((across + 1) >> 1)
    return (
        np.uintp(top + left),
        np.uintp(top + right),
        np.uintp(bottom + left),
        np.uintp(bottom + right),
        part_x,
        part_y,
    )


@njit(inline="always")
def _bilinear(upper_left: Any, upper_right: Any, lower_left: Any, lower_right: Any, across: Any, down: Any) -> Any:
    """Interpolate bilinearly between four neighbours."""
    upper = upper_left + across * (upper_right - upper_left)
    lower = lower_left + across * (lower_right - lower_left)
    return upper + down * (lower - upper)


@njit(inline="always")
def _sample_corners(fine: Any, corners: Any, offset: Any) -> Any:
    """Interpolate the pixel of a cell at an offset from its first one, whose neighbours are at `corners`."""
    upper_left, upper_right, lower_left, lower_right, part_x, part_y = corners
    return _bilinear(
        fine[upper_left + offset],
        fine[upper_right + offset],
        fine[lower_left + offset],
        fine[lower_right + offset],
        part_x,
        part_y,
    )


@njit(error_model="numpy")
def _sample_clamped(fine: NDArray[np.float32], shape: tuple[int, int], x: Any, y: Any) -> Any:
    """Interpolate a flat fine picture at any position; positions outside have the level of the edge."""
    height, width = shape
    size = height * width
    last_x = 2 * width - 1
    last_y = 2 * height - 1
    fine_x = min(max(np.float32(2) * x, np.float32(0)), np.float32(last_x))
    fine_y = min(max(np.float32(2) * y, np.float32(0)), np.float32(last_y))
    across = np.int64(fine_x)
    down = np.int64(fine_y)
    after = min(int(across + 1), last_x)
    below = min(int(down + 1), last_y)

    # Indices as in `_corners`.
    row = (down & 1) * 2 * size + (down >> 1) * width
    row_below = (below & 1) * 2 * size + (below >> 1) * width
    column = (across & 1) * size + (across >> 1)
    next_column = (after & 1) * size + (after >> 1)
    return _bilinear(
        fine[np.uintp(row + column)],
        fine[np.uintp(row + next_column)],
        fine[np.uintp(row_below + column)],
        fine[np.uintp(row_below + next_column)],
        fine_x - np.float32(across),
        fine_y - np.float32(down),
    )


@njit(inline="always")
def _combine(first: Any, second: Any, rest: Any, t: Any, last: Any, end: Any, doubt: Any) -> Any:
    """Return the level of a pixel at t = 1 - rest, as defined in `upsampling`.

    `first` and `second` are the levels of the earlier and the later frame on the path, `last` the level at the previous
    step, and `end` the level of the pixel in the later frame.
    """
    # The level stays between `last` and `end`, the levels of its straight line, unless both frames are beyond them.
    least = min(max(first, second) + doubt, min(last, end))
    most = max(min(first, second) - doubt, max(last, end))
    return min(max(first * rest + second * t, least), most)


@njit(inline="always")
def _is_inside(x: Any, y: Any, shape: tuple[int, int], side: int) -> Any:
    """Return whether all pixels of a cell at (x, y) have four neighbours."""
    height, width = shape
    return (x >= np.float32(0)) & (x < width - side) & (y >= np.float32(0)) & (y < height - side)


@njit(error_model="numpy")
def compute_levels(
    cell: _Cell,
    square: tuple[int, ...],
    earlier: NDArray[np.float32],
    later: NDArray[np.float32],
    shape: tuple[int, int],
    t: Any,
    levels: NDArray[np.float32],
    steps: tuple[int, int, int],
) -> None:
    """Compute the levels of a cell at the fraction t of the interval, and write them to `levels`.

    Args:
        cell: Cell to compute.
        square: See `Paths`.
        earlier: Fine picture of the earlier frame, flat.
        later: Fine picture of the later frame, flat.
        shape: Rows and columns of the frames.
        t: Fraction of the interval, 0 to 1.
        levels: Levels of the cell at all steps, flat [..., side * side].
        steps: Index of the first level at the previous step, in the later frame, and at this step.
    """
    # The pixel x moves by D = F01 - t (F01 + F10) in the interval. Its level is (1 - t) L0(x - t D) + t L1(x +
    # (1 - t) D), limited by `_combine`. `rest` is 1 - t, (x0, y0) and (x1, y1) are both ends of the path; r and k are a
    # row and a column of the cell.
    side = len(square)
    rest = np.float32(1) - t
    last_step, later_frame, this_step = steps
    last = np.uintp(last_step)
    end = np.uintp(later_frame)
    now = np.uintp(this_step)

    shift_x = cell.forward_x - t * cell.apart_x
    shift_y = cell.forward_y - t * cell.apart_y
    x = np.float32(cell.x)
    y = np.float32(cell.y)
    _, width = shape
    x0, y0 = x - t * shift_x, y - t * shift_y
    x1, y1 = x + rest * shift_x, y + rest * shift_y

    # All pixels of a cell move alike, so inside the picture they share the weights of their four neighbours.
    if (cell.kind == 0) & _is_inside(x0, y0, shape, side) & _is_inside(x1, y1, shape, side):
        before = _corners(shape, x0, y0)
        after = _corners(shape, x1, y1)
        for r in range(side):
            for k in range(side):
                offset = np.uintp(r * width + k)
                pixel = np.uintp(r * side + k)
                first = _sample_corners(earlier, before, offset)
                second = _sample_corners(later, after, offset)
                level = _combine(first, second, rest, t, levels[last + pixel], levels[end + pixel], cell.doubt)
                levels[now + pixel] = level
        return

    for r in range(side):
        for k in range(side):
            pixel = np.uintp(r * side + k)
            column = np.float32(k)
            row = np.float32(r)
            first = _sample_clamped(earlier, shape, x0 + column, y0 + row)
            second = _sample_clamped(later, shape, x1 + column, y1 + row)

            # Only one frame shows the level of a path that begins or ends outside the picture.
            if cell.kind & ENTERING:
                first = second
            if cell.kind & LEAVING:
                second = first

            last_level = levels[last + pixel]
            end_level = levels[end + pixel]
            levels[now + pixel] = _combine(first, second, rest, t, last_level, end_level, cell.doubt)


@njit(inline="always")
def cell_at(paths: Paths, x: int, y: int) -> _Cell:
    """Return the cell at the first pixel (x, y); partial cells at the edge move like the last complete cell."""
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
    """Return the lowest and the highest level of a frame (`way` -1: earlier, 1: later) on the paths of a cell.

    Without ringing. The positions are within the bounding box of the displacements 0, F01 and -F10; `extremes` are
    `Picture.extremes`.
    """
    _, rows, columns = extremes.shape
    lowest = np.float32(np.inf)
    highest = np.float32(-np.inf)
    zero = np.float32(0)

    ahead_x = way * cell.forward_x
    ahead_y = way * cell.forward_y
    back_x = way * (cell.forward_x - cell.apart_x)
    back_y = way * (cell.forward_y - cell.apart_y)
    left = cell.x + min(zero, ahead_x, back_x)
    right = cell.x + side - 1 + max(zero, ahead_x, back_x)
    top = cell.y + min(zero, ahead_y, back_y)
    bottom = cell.y + side - 1 + max(zero, ahead_y, back_y)

    # Positions outside the picture have the levels of its edge: the blocks there.
    first_row = max(int(top) // BLOCK_PX, 0)
    first_column = max(int(left) // BLOCK_PX, 0)
    last_row = max(min(int(bottom) // BLOCK_PX, rows - 1), 0)
    last_column = max(min(int(right) // BLOCK_PX, columns - 1), 0)
    for i in range(min(first_row, rows - 1), last_row + 1):
        for j in range(min(first_column, columns - 1), last_column + 1):
            lowest = min(lowest, extremes[0, i, j])
            highest = max(highest, extremes[1, i, j])
    return lowest, highest


@njit(inline="always")
def _reference(number: Any, zero: float, pixels: Pixels) -> Reference:
    """Return the reference of a pixel from its index and the level of its `Pixels.ref0`."""
    per_pixel = -np.int64(pixels.pos.size > 1)  # masks: all bits, or none
    counted = -np.int64(pixels.off.size == pixels.net.size)

    thresholds = pixels.pos[np.uintp(number & per_pixel)], pixels.neg[np.uintp(number & per_pixel)]
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
    work: _Workspace,
) -> bool:
    """Read the pixels of a cell; return whether any of them can fire.

    `compute_levels` stays within the range of the levels of both frames on the path and of the pixel in both frames.
    If this range is within the bounds of all pixels, the cell cannot fire. `band` is the number of columns, the first
    row and the last row (exclusive) of the values.
    """
    ends = work.ends
    zeros = work.zeros
    bounds = work.bounds
    numbers = work.numbers
    side = len(square)
    one = np.uintp(1)
    can_fire = False
    area = side * side
    width, first_row, last_row = band

    earlier, later = extremes
    lowest0, highest0 = _range_of_paths(cell, side, np.float32(-1), earlier)
    lowest1, highest1 = _range_of_paths(cell, side, np.float32(1), later)
    lowest = min(lowest0, lowest1) - EXTREMES_MARGIN
    highest = max(highest0, highest1) + EXTREMES_MARGIN

    for k in range(area):
        column = cell.x + k % side
        row = cell.y + k // side

        # Pixels outside the picture have the values of its edge, but no number, so they never fire.
        inside = (column < width) & (row < last_row)
        pixel = np.uintp((min(row, last_row - 1) - first_row) * width + min(column, width - 1))
        numbers[k] = pixel if inside else -1
        if table is None:
            ends[k] = before[pixel]
            ends[area + k] = after[pixel]
            zeros[k] = pixels.ref0[pixel]
        else:
            ends[k] = table.levels[before[pixel] + one]
            ends[area + k] = table.levels[after[pixel] + one]
            zeros[k] = table.levels[pixels.ref0[pixel] + one]

        if inside:
            reference = _reference(numbers[k], zeros[k], pixels)
            bounds[k] = next_level(reference, -1)
            bounds[area + k] = next_level(reference, 1)
            least = min(lowest, ends[k], ends[area + k])
            most = max(highest, ends[k], ends[area + k])
            can_fire |= (least <= bounds[k]) | (bounds[area + k] <= most)
    return can_fire


@njit(error_model="numpy")
def _emit_cell(
    cell: _Cell,
    first: int,
    square: tuple[int, ...],
    steps: int,
    table: CodeTable | None,
    pixels: Pixels,
    work: _Workspace,
    words: Words,
    filled: Any,
) -> tuple[int, Any]:
    """Append the events of a cell, starting at its pixel number `first`, to `words`.

    Stops before a pixel whose events do not fit; call it again with more room and the returned numbers to resume there.
    (Growing the words in the loop over steps would cost a reference count per step.)

    Returns:
        Number of the pixel at which to resume (the number of all pixels if done), and number of events in the buffer.
    """
    # Between two steps, the level is a straight line, and crossings are found as in `crossings`. Index k is a pixel of
    # the cell, and `pixel` the same pixel of the band; entry step * area + k of levels is its level after a step.
    edges_us, _, levels, spread, ends, zeros, bounds, numbers = work
    side = len(square)
    area = side * side
    low = pixels.low
    high = pixels.high
    net = pixels.net
    off = pixels.off
    room = np.uintp(words.size)
    for k in range(first, area):
        pixel = np.uintp(numbers[k])
        if numbers[k] < 0:
            continue

        # Most pixels stay within their bounds at all steps.
        lower, upper = bounds[k], bounds[area + k]
        if (lower < min(spread[k], ends[k], ends[area + k])) & (max(spread[area + k], ends[k], ends[area + k]) < upper):
            continue

        address = ((cell.y + k // side) << ROW_SHIFT) | ((cell.x + k % side) << COLUMN_SHIFT)
        level = ends[k]
        reference = _reference(numbers[k], zeros[k], pixels)
        fired = filled
        for step in range(1, steps + 1):
            last = level
            level = np.float64(levels[np.uintp(step * area + k)]) if step < steps else ends[area + k]
            if (lower < level) & (level < upper):
                continue

            rising = np.int64(level > last)
            since_us = edges_us[step - 1]
            way = 2 * rising - 1
            scale = (edges_us[step] - since_us) / (level - last)
            crossing = upper if rising else lower
            while way * crossing <= way * level:
                if filled == room:
                    return k, fired
                at_us = since_us + np.int64((crossing - last) * scale + 0.5)
                words[filled] = (at_us << TIME_SHIFT) | address | rising
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
            high[pixel] = slightly_below(upper)
            low[pixel] = slightly_above(lower)
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
    """Return the events of moving tiles, unsorted; updates `pixels`.

    Pixels in other tiles, and pixels whose change the motion does not explain, are not changed: `events_of_lines`
    returns their events. `before` and `after` are the grey codes or levels of the band, which begins at a row of tiles.
    """
    # Levels are kept for one cell at a time: entry step * area + k of `levels` is pixel k after a step, so step 0 is
    # the earlier frame and step `steps` the later one. Index x and y are the first pixel of a cell in the frame.
    words = np.empty(after.size // 8 + INITIAL_CAPACITY, np.int64)
    filled = np.uintp(0)
    square = paths.square
    extremes = paths.before.extremes, paths.after.extremes
    earlier = paths.before.fine.reshape(-1)
    later = paths.after.fine.reshape(-1)
    width = interval.width
    first_row = interval.first_row
    shape = paths.before.fine.shape[2:]
    last_row = first_row + after.size // width
    side = len(square)
    known_steps = 0  # steps that the times in the work space are for
    area = side * side
    band = width, first_row, last_row
    work = _make_workspace(side * side)
    edges_us, fractions, levels, spread, ends, _, _, _ = work

    for y in range(first_row, last_row, side):
        for x in range(0, width, side):
            steps = int(paths.steps[y // TILE_PX, x // TILE_PX])
            if steps < 2:
                continue
            cell = cell_at(paths, x, y)
            if cell.kind & UNEXPLAINED:
                continue
            if not _read_cell(cell, square, before, after, table, pixels, extremes, band, work):
                continue

            if steps != known_steps:  # neighbours have the same number of steps
                for step in range(steps + 1):
                    edges_us[step] = (2 * step * interval.length_us + steps) // (2 * steps)  # rounded
                    fractions[step] = edges_us[step] / interval.length_us
                known_steps = steps

            for k in range(area):
                levels[k] = ends[k]
                levels[steps * area + k] = ends[area + k]
            for k in range(area):
                spread[k] = levels[k]
                spread[area + k] = levels[k]
            for step in range(1, steps):
                first_levels = (step - 1) * area, steps * area, step * area
                compute_levels(cell, square, earlier, later, shape, fractions[step], levels, first_levels)
                for k in range(area):
                    level = levels[step * area + k]
                    spread[k] = min(spread[k], level)
                    spread[area + k] = max(spread[area + k], level)

            pixel = 0
            while pixel < area:
                pixel, filled = _emit_cell(cell, pixel, square, steps, table, pixels, work, words, filled)
                if pixel < area:
                    words = grow(words)
    return words[:filled]
