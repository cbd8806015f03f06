"""Where the level of a pixel crosses its thresholds, without a low-pass: the compiled inner loops.

Pixels are flat arrays here: a band of rows, one after another. A pixel's reference is ref0 + net * pos + off * (pos -
neg), where net counts ON minus OFF events and off the OFF events: it is computed from integers each time, so that it
never drifts, and with equal thresholds it returns to exactly the same value. The next crossing up or down is the
reference after that event, by the same formula: a grey value that returns to where a reference was fires, whatever the
rounding. Thresholds `pos` and `neg` are arrays of one value or of one per pixel; `off` is counted per pixel where the
two differ, else an array of one 0.

`low` and `high` hold, per pixel, the lowest and highest value (grey code, or level of a float image) that causes no
event. (Of levels, a hair less.) Most pixels of most frames are quiet, and that test is all they cost.

Indices are unsigned: a signed one costs a test for a negative index at each access, a fifth of the time here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .words import COLUMN_SHIFT, ROW_SHIFT, TIME_SHIFT, Words, grown

BLOCK_PX = 256  # tested together; a block without a change is left after one vectorised pass
HAIR = 2.0**-50
CHUNK_PX = 1 << 14  # searched, then followed up, while they are in the cache


@njit(inline="always")
def reference_after(ref0: float, net: int, off: int, plus: float, minus: float, step: int) -> float:
    """The level of the next ON (step 1) or OFF event (step -1), which is the reference after it."""
    return ref0 + (net + step) * plus + (off + (1 - step) // 2) * (plus - minus)


@njit(inline="always")
def set_quiet(i: int, upper: float, lower: float, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
    """Sets `low` and `high` of a pixel of levels: a hair inside its thresholds, wider than the spacing of numbers.

    (A pixel in that hair is looked at, and fires nothing; `nextafter` would be exact, and cost as much as an event.)
    """
    high[i] = upper - abs(upper) * HAIR - HAIR
    low[i] = lower + abs(lower) * HAIR + HAIR


@njit(inline="always")
def _set_quiet_codes(
    i: int, upper: float, lower: float,
    table: NDArray[np.float64], index: NDArray[np.int32], lowest: float, cells_per_level: float,
    low: NDArray[Any], high: NDArray[Any],
) -> None:  # fmt: skip
    """Sets `low` and `high` of a pixel of codes.

    One step without a branch from the index finds nearly every code; the loops are for tables finer than the index, and
    for rounding.
    """
    one, last_cell = np.uintp(1), float(index.size - 1)
    code = np.uintp(index[np.uintp(min(max((upper - lowest) * cells_per_level, 0.0), last_cell))])
    code += np.uintp(table[code] < upper)
    while table[code] < upper:
        code += one
    while table[code - one] >= upper:
        code -= one
    high[i] = code - np.uintp(2)
    code = np.uintp(index[np.uintp(min(max((lower - lowest) * cells_per_level, 0.0), last_cell))])
    code += np.uintp(table[code] <= lower)
    while table[code] <= lower:
        code += one
    while table[code - one] > lower:
        code -= one
    low[i] = code - one


@njit(cache=True, nogil=True, error_model="numpy")
def events_of_codes(
    before: NDArray[Any], after: NDArray[Any], table: NDArray[np.float64], index: NDArray[np.int32],
    low: NDArray[Any], high: NDArray[Any],
    code0: NDArray[Any], net: NDArray[np.int32], off: NDArray[np.int32],
    pos: NDArray[np.float64], neg: NDArray[np.float64], interval_us: int, first_row: int, width: int,
) -> Words:  # fmt: skip
    """Events of integer images, pixel by pixel, at the crossings of the straight line between two levels.

    Times are rounded to the nearest microsecond. Sets `low` and `high` anew.

    `table` holds the level of each code, with -inf before and inf behind them. `index` cuts the range of levels into
    equal cells and holds the place in `table` of the first level at or above each cell's lower edge, so that the search
    for a code begins next to it. code0 is the code whose level is ref0.
    """
    active = np.empty(CHUNK_PX + 1, np.int32)
    words, count = np.empty(after.size // 8 + 64, np.int64), 0
    for begin in range(0, after.size, CHUNK_PX):
        found, done = _find_active(begin, after, low, high, active), 0
        while done < found:
            done, count = _emit_codes(
                active[:found], done, words, count, before, after, table, index, low, high, code0, net, off, pos, neg,
                interval_us, first_row, width,
            )  # fmt: skip
            if done < found:
                words = grown(words)
    return words[:count]


@njit(cache=True, nogil=True, error_model="numpy")
def events_of_levels(
    before: NDArray[np.float64], after: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64],
    ref0: NDArray[np.float64], net: NDArray[np.int32], off: NDArray[np.int32],
    pos: NDArray[np.float64], neg: NDArray[np.float64], interval_us: int, first_row: int, width: int,
) -> Words:  # fmt: skip
    """As `events_of_codes`, of images of levels."""
    active = np.empty(CHUNK_PX + 1, np.int32)
    words, count = np.empty(after.size // 8 + 64, np.int64), 0
    for begin in range(0, after.size, CHUNK_PX):
        found, done = _find_active(begin, after, low, high, active), 0
        while done < found:
            done, count = _emit_levels(
                active[:found], done, words, count, before, after, low, high, ref0, net, off, pos, neg,
                interval_us, first_row, width,
            )  # fmt: skip
            if done < found:
                words = grown(words)
    return words[:count]


@njit(cache=True, nogil=True, error_model="numpy")
def quiet_codes(
    table: NDArray[np.float64], index: NDArray[np.int32], code0: NDArray[Any],
    pos: NDArray[np.float64], neg: NDArray[np.float64], low: NDArray[Any], high: NDArray[Any],
) -> None:  # fmt: skip
    """Sets `low` and `high` of all pixels of an integer image that have fired nothing yet."""
    own, one = -np.int64(pos.size > 1), np.uintp(1)
    lowest, cells_per_level = table[1], (index.size - 1) / (table[-2] - table[1])
    for i in range(code0.size):
        plus, minus, ref0 = pos[i & own], neg[i & own], table[np.uintp(code0[i]) + one]
        upper, lower = reference_after(ref0, 0, 0, plus, minus, 1), reference_after(ref0, 0, 0, plus, minus, -1)
        _set_quiet_codes(np.uintp(i), upper, lower, table, index, lowest, cells_per_level, low, high)


@njit(cache=True, nogil=True, error_model="numpy")
def _find_active(
    begin: int, values: NDArray[Any], low: NDArray[Any], high: NDArray[Any], active: NDArray[np.int32]
) -> Any:
    """Writes the indices of the pixels of a chunk that are outside [low, high]; returns how many they are."""
    count = np.uintp(0)
    flags = np.zeros(BLOCK_PX, np.uint8)
    words = flags.view(np.uint64)
    end = min(begin + CHUNK_PX, values.size)
    for start in range(begin, end, BLOCK_PX):
        stop = min(start + BLOCK_PX, end)
        value, lowest, highest = values[start:stop], low[start:stop], high[start:stop]
        for i in range(value.size):
            flags[i] = (value[i] < lowest[i]) | (value[i] > highest[i])
        flags[value.size :] = 0
        changed = np.uint64(0)
        for word in words:
            changed |= word
        if changed:
            for i in range(value.size):
                active[count] = start + i
                count += np.uintp(flags[np.uintp(i)])
    return np.int64(count)


@njit(cache=True, nogil=True, error_model="numpy")
def _emit_codes(
    active: NDArray[np.int32], first: int, words: Words, count: int, before: NDArray[Any], after: NDArray[Any],
    table: NDArray[np.float64], index: NDArray[np.int32], low: NDArray[Any], high: NDArray[Any],
    code0: NDArray[Any], net: NDArray[np.int32], off: NDArray[np.int32],
    pos: NDArray[np.float64], neg: NDArray[np.float64], interval_us: int, first_row: int, width: int,
) -> tuple[int, Any]:  # fmt: skip
    """The events of the active pixels from number `first` on, written to `words` from `count` on.

    Stops early where they are full; called again with more room and what it returned, it goes on with the next
    crossing.

    Returns:
        The active pixel to go on with, all are done when it is their number; and the number of words.
    """
    filled, room, one = np.uintp(count), np.uintp(words.size), np.uintp(1)
    own, counted = -np.int64(pos.size > 1), -np.int64(off.size == net.size)  # masks: all bits, or none
    row = active[first] // width
    row_end = (row + 1) * width
    lowest, cells_per_level = table[1], (index.size - 1) / (table[-2] - table[1])  # here: not once per pixel
    for k in range(first, active.size):
        pixel = np.int64(active[k])
        i = np.uintp(pixel)
        start, end = table[np.uintp(before[i]) + one], table[np.uintp(after[i]) + one]
        while pixel >= row_end:  # the pixels come in order: no division for each
            row += 1
            row_end += width
        rising = np.int64(end > start)  # a number, not a branch, which would be guessed wrong at every other edge
        step = 2 * rising - 1
        place = ((first_row + row) << ROW_SHIFT) | ((pixel - row_end + width) << COLUMN_SHIFT) | rising
        scale = interval_us / (end - start)
        plus, minus = pos[np.uintp(pixel & own)], neg[np.uintp(pixel & own)]
        base, net_i, off_i = table[np.uintp(code0[i]) + one], np.int64(net[i]), np.int64(off[np.uintp(pixel & counted)])
        crossing = reference_after(base, net_i, off_i, plus, minus, step)
        while step * crossing <= step * end:
            if filled == room:
                break
            words[filled] = (np.int64((crossing - start) * scale + 0.5) << TIME_SHIFT) | place
            filled += one
            net_i += step
            off_i += 1 - rising
            crossing = reference_after(base, net_i, off_i, plus, minus, step)
        net[i] = net_i
        if counted:
            off[i] = off_i
        if step * crossing <= step * end:
            return k, np.int64(filled)
        upper = reference_after(base, net_i, off_i, plus, minus, 1)
        lower = reference_after(base, net_i, off_i, plus, minus, -1)
        _set_quiet_codes(i, upper, lower, table, index, lowest, cells_per_level, low, high)
    return active.size, np.int64(filled)


@njit(cache=True, nogil=True, error_model="numpy")
def _emit_levels(
    active: NDArray[np.int32], first: int, words: Words, count: int,
    before: NDArray[np.float64], after: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64],
    ref0: NDArray[np.float64], net: NDArray[np.int32], off: NDArray[np.int32],
    pos: NDArray[np.float64], neg: NDArray[np.float64], interval_us: int, first_row: int, width: int,
) -> tuple[int, Any]:  # fmt: skip
    """As `_emit_codes`, for images of levels."""
    filled, room, one = np.uintp(count), np.uintp(words.size), np.uintp(1)
    own, counted = -np.int64(pos.size > 1), -np.int64(off.size == net.size)  # masks: all bits, or none
    for k in range(first, active.size):
        pixel = np.int64(active[k])
        i = np.uintp(pixel)
        start, end = before[i], after[i]
        rising = np.int64(end > start)
        step = 2 * rising - 1
        place = ((first_row + pixel // width) << ROW_SHIFT) | ((pixel % width) << COLUMN_SHIFT) | rising
        scale = interval_us / (end - start)
        plus, minus = pos[np.uintp(pixel & own)], neg[np.uintp(pixel & own)]
        base, net_i, off_i = ref0[i], np.int64(net[i]), np.int64(off[np.uintp(pixel & counted)])
        crossing = reference_after(base, net_i, off_i, plus, minus, step)
        while step * crossing <= step * end:
            if filled == room:
                break
            words[filled] = (np.int64((crossing - start) * scale + 0.5) << TIME_SHIFT) | place
            filled += one
            net_i += step
            off_i += 1 - rising
            crossing = reference_after(base, net_i, off_i, plus, minus, step)
        net[i] = net_i
        if counted:
            off[i] = off_i
        if step * crossing <= step * end:
            return k, np.int64(filled)
        upper = reference_after(base, net_i, off_i, plus, minus, 1)
        lower = reference_after(base, net_i, off_i, plus, minus, -1)
        set_quiet(i, upper, lower, low, high)
    return active.size, np.int64(filled)


@njit(cache=True, nogil=True, error_model="numpy")
def quiet_levels(
    ref0: NDArray[np.float64], pos: NDArray[np.float64], neg: NDArray[np.float64],
    low: NDArray[np.float64], high: NDArray[np.float64],
) -> None:  # fmt: skip
    """Sets `low` and `high` of all pixels of levels that have fired nothing yet."""
    own = -np.int64(pos.size > 1)
    for i in range(ref0.size):
        plus, minus = pos[i & own], neg[i & own]
        upper, lower = reference_after(ref0[i], 0, 0, plus, minus, 1), reference_after(ref0[i], 0, 0, plus, minus, -1)
        set_quiet(i, upper, lower, low, high)
