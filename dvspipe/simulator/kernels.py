"""The compiled inner loops of the pixel model.

Pixels are flat arrays here. A pixel's reference is ref0 + net * pos + off * (pos - neg), where net counts ON minus OFF
events and off the OFF events: it is computed from integers each time, so that it never drifts, and with equal
thresholds it returns to exactly the same value.

`low` and `high` hold, per pixel, the lowest and highest value (grey code, or level of a float image) that causes no
event. Most pixels of most frames are quiet, and that test is all they cost.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

SCAN_BLOCK_PX = 128  # tested together; a block without a change is left after one vectorised pass
DIGIT_BITS = 16  # of the radix sort by time: one pass for frames up to 65 ms apart


@njit(cache=True, nogil=True)
def find_active(values: NDArray[Any], low: NDArray[Any], high: NDArray[Any], active: NDArray[np.int32]) -> int:
    """Writes the indices of the pixels outside [low, high] to `active` and returns how many they are."""
    count = 0
    for start in range(0, values.size, SCAN_BLOCK_PX):
        block = slice(start, min(start + SCAN_BLOCK_PX, values.size))
        value, lowest, highest = values[block], low[block], high[block]
        changed = 0  # a sum, not a flag: sums of comparisons vectorise
        for i in range(value.size):
            changed += (value[i] < lowest[i]) | (value[i] > highest[i])
        if changed:
            for i in range(value.size):
                active[count] = start + i
                count += (value[i] < lowest[i]) | (value[i] > highest[i])
    return count


@njit(cache=True, nogil=True)
def emit_crossings(
    active: NDArray[np.int32],
    first: int,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    ref0: NDArray[np.float64],
    net: NDArray[np.int32],
    off: NDArray[np.int32],
    pos: float,
    neg: float,
    interval_us: int,
    width: int,
    since: NDArray[np.uint32],
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    p: NDArray[np.bool_],
) -> tuple[int, int]:
    """Events at every crossing of ref + pos or ref - neg on the straight lines from `before` to `after`.

    Begins at active pixel `first` and stops early where the outputs are full; called again from there, with the
    outputs emptied or enlarged, it goes on with the next crossing.

    Returns:
        The active pixel to go on with (all are done when it equals the number of active pixels), and the number of
        events written: `since` is the time from the earlier frame in microseconds, rounded to the nearest.
    """
    count = 0
    for k in range(first, active.size):
        i = active[k]
        start, end = before[k], after[k]
        row = i // width
        column = i - row * width
        scale = interval_us / (end - start)
        rising = end > start
        while True:
            reference = ref0[i] + net[i] * pos + off[i] * (pos - neg)
            crossing = reference + pos if rising else reference - neg
            if (crossing > end) if rising else (crossing < end):
                break
            if count == since.size:
                return k, count
            since[count] = np.uint32((crossing - start) * scale + 0.5)
            x[count] = column
            y[count] = row
            p[count] = rising
            count += 1
            if rising:
                net[i] += 1
            else:
                net[i] -= 1
                off[i] += 1
    return active.size, count


@njit(cache=True, nogil=True)
def quiet_codes(
    active: NDArray[np.int32],
    ref0: NDArray[np.float64],
    net: NDArray[np.int32],
    off: NDArray[np.int32],
    pos: float,
    neg: float,
    table: NDArray[np.float64],
    index: NDArray[np.int32],
    low: NDArray[Any],
    high: NDArray[Any],
) -> None:
    """Sets `low` and `high` of the active pixels of an integer image.

    `index` cuts the range of levels into equal cells and holds the first code at or above each cell's lower edge, so
    that the search for a code begins next to it.
    """
    cells_per_level = (index.size - 1) / (table[-1] - table[0])
    for k in range(active.size):
        i = active[k]
        reference = ref0[i] + net[i] * pos + off[i] * (pos - neg)
        upper = reference + pos
        code = index[min(max(int((upper - table[0]) * cells_per_level) - 1, 0), index.size - 1)]
        while code < table.size and table[code] < upper:
            code += 1
        high[i] = code - 1
        lower = reference - neg
        code = index[min(max(int((lower - table[0]) * cells_per_level) - 1, 0), index.size - 1)]
        while table[code] <= lower:
            code += 1
        low[i] = code


@njit(cache=True, nogil=True)
def quiet_levels(
    active: NDArray[np.int32],
    ref0: NDArray[np.float64],
    net: NDArray[np.int32],
    off: NDArray[np.int32],
    pos: float,
    neg: float,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> None:
    """Sets `low` and `high` of the active pixels of a float image: the numbers next to the thresholds, inside them."""
    for k in range(active.size):
        i = active[k]
        reference = ref0[i] + net[i] * pos + off[i] * (pos - neg)
        low[i] = np.nextafter(reference - neg, np.inf)
        high[i] = np.nextafter(reference + pos, -np.inf)


@njit(cache=True, nogil=True)
def sort_digit(
    count: int,
    shift: int,
    last: int,
    since: NDArray[np.uint32],
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    p: NDArray[np.bool_],
    sorted_since: NDArray[np.uint32],
    sorted_x: NDArray[np.int16],
    sorted_y: NDArray[np.int16],
    sorted_p: NDArray[np.bool_],
) -> None:
    """One stable counting sort of the first `count` events by the 16 bits of `since` above `shift`, at most `last`."""
    mask = (1 << DIGIT_BITS) - 1
    place = np.zeros(last + 2, np.int32)
    for event in range(count):
        place[((since[event] >> shift) & mask) + 1] += 1
    for digit in range(last + 1):
        place[digit + 1] += place[digit]
    for event in range(count):
        digit = (since[event] >> shift) & mask
        target = place[digit]
        place[digit] += 1
        sorted_since[target] = since[event]
        sorted_x[target] = x[event]
        sorted_y[target] = y[event]
        sorted_p[target] = p[event]
