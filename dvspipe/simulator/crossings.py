"""Compiled loops: find the threshold crossings of pixel levels, without a low-pass.

Pixels are flat arrays: a band of rows in row-major order. The reference of a pixel is
ref0 + net * pos + off * (pos - neg), with net the number of ON minus OFF events and off the number of OFF events. It is
always computed from these integers: it never drifts, and with equal thresholds it returns to exactly the same value.
The next crossing up or down is the reference after that event, by the same formula. A grey value that returns to a
previous reference therefore fires, regardless of rounding.

Most pixels of most frames are quiet: a value within [low, high] fires no event, and this test is their only cost.

Indices are unsigned: signed indices cost a test for negative values at each access, a fifth of the time here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.kernels import njit
from .words import COLUMN_SHIFT, ROW_SHIFT, TIME_SHIFT, Interval, Words, grow

CROSSING_BLOCK_PX = 256  # tested together; a block without a change costs a single vectorized pass
ROUNDING_MARGIN = 2.0**-50
CHUNK_PX = 1 << 15  # pixels searched and then processed while in the cache
INITIAL_CAPACITY = 64  # initial capacity in words, plus one word per eight pixels


class Pixels(NamedTuple):
    """State of a band of pixels; see `SimulatorState`.

    Attributes:
        low: Lowest value (grey code, or level of a float image) that fires no event.
        high: Highest value that fires no event.
        ref0: Reference before the first event: a grey code or a level.
        net: ON minus OFF events so far.
        off: OFF events so far; a single 0 if both thresholds are equal.
        pos: ON thresholds: one per pixel, or one for all pixels.
        neg: OFF thresholds, like `pos`.
    """

    low: NDArray[Any]
    high: NDArray[Any]
    ref0: NDArray[Any]
    net: NDArray[np.int32]
    off: NDArray[np.int32]
    pos: NDArray[np.float64]
    neg: NDArray[np.float64]


class CodeTable(NamedTuple):
    """Levels of grey codes, with an index to find the code of a level.

    The index divides the range of levels into equal cells. The search for a level begins at the entry of its cell.

    Attributes:
        levels: Level of each code, with -inf before the first and inf after the last.
        cells: Index in `levels` of the first level at or above the lower edge of each cell.
        lowest: Level of code 0.
        cells_per_level: Number of cells per unit of level.
    """

    levels: NDArray[np.float64]
    cells: NDArray[np.int32]
    lowest: float
    cells_per_level: float


class Reference(NamedTuple):
    """Reference of a pixel (initial level and event counts), and its thresholds."""

    ref0: float
    net: int | np.int64
    off: int | np.int64
    pos: float
    neg: float


@njit(inline="always")
def next_level(reference: Reference, step: int) -> float:
    """Return the level of the next ON (step 1) or OFF (step -1) event: the reference after this event."""
    gap = reference.pos - reference.neg
    on_levels = (reference.net + step) * reference.pos

    # (1 - step) // 2 is 1 for an OFF event, else 0.
    return reference.ref0 + on_levels + (reference.off + (1 - step) // 2) * gap


@njit(inline="always")
def move_reference(reference: Reference, step: int) -> Reference:
    """Return the reference after an ON (step 1) or OFF (step -1) event."""
    return Reference(
        reference.ref0, reference.net + step, reference.off + (1 - step) // 2, reference.pos, reference.neg
    )


@njit(inline="always")
def slightly_below(level: float) -> float:
    """Lower a level by slightly more than the spacing of floating-point numbers.

    Quiet ranges end this far inside the thresholds. A pixel in the gap is processed but fires no event. `nextafter`
    would be exact, but costs as much as an event.
    """
    return level - abs(level) * ROUNDING_MARGIN - ROUNDING_MARGIN


@njit(inline="always")
def slightly_above(level: float) -> float:
    """Raise a level slightly; see `slightly_below`."""
    return level + abs(level) * ROUNDING_MARGIN + ROUNDING_MARGIN


@njit(inline="always")
def _find_cell(level: float, lowest: float, cells_per_level: float, last: float) -> Any:
    """Return the cell of a level in a code table; levels outside map to the nearest cell."""
    return np.uintp(min(max((level - lowest) * cells_per_level, 0.0), last))


@njit(inline="always")
def _highest_below(level: float, levels: NDArray[np.float64], near: int) -> Any:
    """Return the highest code with a level below `level`, searching from index `near`.

    One branch-free step finds nearly every code. The loops handle tables finer than the index, and rounding.
    """
    entry = np.uintp(near)
    one = np.uintp(1)

    entry += np.uintp(levels[entry] < level)
    while levels[entry] < level:
        entry += one
    while levels[entry - one] >= level:
        entry -= one

    # `entry` is the first entry at or above the level. Code c has entry c + 1, after the -inf.
    return entry - np.uintp(2)


@njit(inline="always")
def _lowest_above(level: float, levels: NDArray[np.float64], near: int) -> Any:
    """Return the lowest code with a level above `level`; see `_highest_below`."""
    entry = np.uintp(near)
    one = np.uintp(1)

    entry += np.uintp(levels[entry] <= level)
    while levels[entry] <= level:
        entry += one
    while levels[entry - one] > level:
        entry -= one
    return entry - one


@njit(cache=True, nogil=True, error_model="numpy")
def look_up(levels: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
    """Return the level of each code; twice as fast as `levels.take(codes)`."""
    values = np.empty(codes.size, levels.dtype)
    for i in range(codes.size):
        values[i] = levels[codes[i]]
    return values


@njit(cache=True, nogil=True, error_model="numpy")
def quiet_codes(upper: float, lower: float, table: CodeTable) -> tuple[Any, Any]:
    """Return the lowest and the highest code with levels between `lower` and `upper`."""
    levels, cells, lowest, cells_per_level = table
    last = float(cells.size - 1)
    cell_below = _find_cell(lower, lowest, cells_per_level, last)
    cell_above = _find_cell(upper, lowest, cells_per_level, last)
    low = _lowest_above(lower, levels, cells[cell_below])
    return low, _highest_below(upper, levels, cells[cell_above])


@njit(cache=True, nogil=True, error_model="numpy")
def events_of_lines(
    before: NDArray[Any], after: NDArray[Any], table: CodeTable | None, pixels: Pixels, interval: Interval
) -> Words:
    """Return the threshold crossings of straight lines between two levels, pixel by pixel; updates `pixels`.

    Times are rounded to the nearest microsecond.

    Args:
        before: Values of the band in the earlier frame: grey codes or levels.
        after: Values of the band in the later frame.
        table: Levels of grey codes; None if the values are levels.
        pixels: State of the pixels.
        interval: Time interval and band of rows.
    """
    # A line from L0 to L1 in an interval of length T reaches the level c at (c - L0) / (L1 - L0) * T. Most pixels stay
    # within [low, high]: they are found first, in chunks, and only the others are processed individually.
    active = np.empty(CHUNK_PX + 1, np.int32)
    words = np.empty(after.size // 8 + INITIAL_CAPACITY, np.int64)

    count = np.int64(0)  # a literal 0 would compile `_emit` twice
    for begin in range(0, after.size, CHUNK_PX):
        active_pixels = _find_active(begin, after, pixels.low, pixels.high, active)
        first = np.int64(0)
        while first < active_pixels:
            first, count = _emit(active[:active_pixels], first, words, count, before, after, table, pixels, interval)
            if first < active_pixels:
                words = grow(words)
    return words[:count]


@njit(cache=True, nogil=True, error_model="numpy")
def start_quiet(table: CodeTable | None, pixels: Pixels) -> None:
    """Set the initial `low` and `high` of all pixels; `table` as in `events_of_lines`."""
    per_pixel = -np.int64(pixels.pos.size > 1)  # mask: all bits with a threshold per pixel, none with one for all
    for i in range(pixels.ref0.size):
        # Entry c + 1 of the table has the level of code c.
        ref0 = pixels.ref0[i] if table is None else table.levels[np.uintp(pixels.ref0[i]) + np.uintp(1)]
        reference = Reference(ref0, 0, 0, pixels.pos[i & per_pixel], pixels.neg[i & per_pixel])

        upper = next_level(reference, 1)
        lower = next_level(reference, -1)
        if table is None:
            pixels.high[i] = slightly_below(upper)
            pixels.low[i] = slightly_above(lower)
        else:
            pixels.low[i], pixels.high[i] = quiet_codes(upper, lower, table)


@njit(cache=True, nogil=True, error_model="numpy")
def _find_active(
    begin: int, values: NDArray[Any], low: NDArray[Any], high: NDArray[Any], active: NDArray[np.int32]
) -> Any:
    """Write the indices of pixels outside [low, high] in a chunk to `active`; return their number."""
    # low, high and values have an entry per pixel of the band, [N]. A block of flags is tested as 64-bit words.
    count = np.uintp(0)
    flags = np.zeros(CROSSING_BLOCK_PX, np.uint8)
    words = flags.view(np.uint64)
    end = min(begin + CHUNK_PX, values.size)
    for start in range(begin, end, CROSSING_BLOCK_PX):
        stop = min(start + CROSSING_BLOCK_PX, end)
        value = values[start:stop]
        lowest = low[start:stop]
        highest = high[start:stop]
        for i in range(value.size):
            flags[i] = (value[i] < lowest[i]) | (value[i] > highest[i])
        flags[value.size :] = 0  # a shorter block leaves flags from the previous one

        changed = np.uint64(0)
        for word in words:
            changed |= word

        if changed:
            # Each index is written, and overwritten by the next one unless its flag is set: needs no branch.
            for i in range(value.size):
                active[count] = start + i
                count += np.uintp(flags[np.uintp(i)])
    return np.int64(count)


@njit(cache=True, nogil=True, error_model="numpy")
def _emit(
    active: NDArray[np.int32],
    first: int,
    words: Words,
    count: int,
    before: NDArray[Any],
    after: NDArray[Any],
    table: CodeTable | None,
    pixels: Pixels,
    interval: Interval,
) -> tuple[int, Any]:
    """Append the events of the active pixels, starting at number `first`, to `words` with `count` words.

    Stops if the words are full; call it again with more room and the returned numbers to resume at the next crossing.

    Returns:
        Number of the active pixel at which to resume (the number of all active pixels if done), and number of words.
    """
    # A pixel crosses its next level, and the levels beyond it in the same direction, up to its level at the end. Index
    # k is an active pixel; i, or `pixel`, is a pixel of the band; row and column are its place in the band.
    filled = np.uintp(count)
    room = np.uintp(words.size)
    one = np.uintp(1)
    # unpacked here: reading or passing a tuple of arrays in the loop costs a reference count each time
    low, high, ref0, net, off, pos, neg = pixels
    if table is not None:
        levels, cells, lowest, cells_per_level = table
        last_cell = float(cells.size - 1)
    per_pixel = -np.int64(pos.size > 1)  # masks: all bits, or none
    counted = -np.int64(off.size == net.size)

    row = active[first] // interval.width
    row_end = (row + 1) * interval.width
    for k in range(first, active.size):
        pixel = np.int64(active[k])
        i = np.uintp(pixel)
        if table is None:
            start = before[i]
            end = after[i]
            zero = ref0[i]
        else:
            start = levels[np.uintp(before[i]) + one]
            end = levels[np.uintp(after[i]) + one]
            zero = levels[np.uintp(ref0[i]) + one]
        while pixel >= row_end:  # pixels are in order: avoids a division per pixel
            row += 1
            row_end += interval.width
        rising = np.int64(end > start)  # a number: a branch would be mispredicted at every other edge
        step = 2 * rising - 1
        column = pixel - row_end + interval.width
        address = ((interval.first_row + row) << ROW_SHIFT) | (column << COLUMN_SHIFT) | rising

        scale = interval.length_us / (end - start)
        thresholds = pos[np.uintp(pixel & per_pixel)], neg[np.uintp(pixel & per_pixel)]
        counts = np.int64(net[i]), np.int64(off[np.uintp(pixel & counted)])
        reference = Reference(zero, *counts, *thresholds)
        crossing = next_level(reference, step)
        while step * crossing <= step * end:
            if filled == room:
                break
            words[filled] = (np.int64((crossing - start) * scale + 0.5) << TIME_SHIFT) | address
            filled += one
            reference = move_reference(reference, step)
            crossing = next_level(reference, step)

        # Stored also if the words are full: the events written so far are not repeated.
        net[i] = reference.net
        if counted:
            off[i] = reference.off
        if step * crossing <= step * end:
            return k, np.int64(filled)

        upper = next_level(reference, 1)
        lower = next_level(reference, -1)
        if table is None:
            high[i], low[i] = slightly_below(upper), slightly_above(lower)
            continue
        high[i] = _highest_below(upper, levels, cells[_find_cell(upper, lowest, cells_per_level, last_cell)])
        low[i] = _lowest_above(lower, levels, cells[_find_cell(lower, lowest, cells_per_level, last_cell)])
    return active.size, np.int64(filled)
