"""The compiled inner loops of the pixel model.

Pixels are flat arrays here. A pixel's reference is ref0 + net * pos + off * (pos - neg), where net counts ON minus OFF
events and off the OFF events: it is computed from integers each time, so that it never drifts, and with equal
thresholds it returns to exactly the same value. The next crossing up or down is the reference after that event, by the
same formula: a grey value that returns to where a reference was fires, whatever the rounding. Thresholds are arrays of
one value, or of one per pixel; `mask` is 0 or -1 accordingly, and pixel i has pos[i & mask].

`low` and `high` hold, per pixel, the lowest and highest value (grey code, or level of a float image) that causes no
event. Most pixels of most frames are quiet, and that test is all they cost.

Events are written as (since, x, y, kind): microseconds from the earlier frame, and ON + 2 * NOISE.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Columns = tuple[NDArray[np.uint32], NDArray[np.int16], NDArray[np.int16], NDArray[np.uint8]]
"""Events since the earlier frame: (since, x, y, kind)."""

ON, NOISE = 1, 2
BLOCK_PX = 256  # tested together; a block without a change is left after one vectorised pass
DIGIT_BITS = 16  # of the radix sort by time: one pass for frames up to 65 ms apart


@njit(inline="always")
def _above(ref0: float, net: int, off: int, plus: float, minus: float) -> float:
    """The level of the next ON event."""
    return ref0 + (net + 1) * plus + off * (plus - minus)


@njit(inline="always")
def _below(ref0: float, net: int, off: int, plus: float, minus: float) -> float:
    """The level of the next OFF event."""
    return ref0 + (net - 1) * plus + (off + 1) * (plus - minus)


@njit(inline="always")
def _set_quiet(
    i: int, ref0: NDArray[np.float64], net: NDArray[np.int32], off: NDArray[np.int32], plus: float, minus: float,
    low: NDArray[np.float64], high: NDArray[np.float64],
) -> None:  # fmt: skip
    """Sets `low` and `high` of a pixel of levels: the numbers next to its thresholds, inside them."""
    low[i] = np.nextafter(_below(ref0[i], net[i], off[i], plus, minus), np.inf)
    high[i] = np.nextafter(_above(ref0[i], net[i], off[i], plus, minus), -np.inf)


@njit(cache=True, nogil=True, error_model="numpy")
def find_active(values: NDArray[Any], low: NDArray[Any], high: NDArray[Any], active: NDArray[np.int32]) -> int:
    """Writes the indices of the pixels outside [low, high] to `active` and returns how many they are.

    `active` has room for all pixels and 8 more.
    """
    count = 0
    flags = np.zeros(BLOCK_PX, np.uint8)
    words = flags.view(np.uint64)
    for start in range(0, values.size, BLOCK_PX):
        block = slice(start, min(start + BLOCK_PX, values.size))
        value, lowest, highest = values[block], low[block], high[block]
        changed = 0  # a sum, not a flag: sums of comparisons vectorise
        for i in range(value.size):
            outside = (value[i] < lowest[i]) | (value[i] > highest[i])
            flags[i] = outside
            changed += outside
        if changed:
            flags[value.size :] = 0
            for word in range((value.size + 7) // 8):
                if words[word]:
                    for i in range(8 * word, 8 * word + 8):
                        active[count] = start + i
                        count += flags[i]
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def find_due(times: NDArray[np.int64], until: int, due: NDArray[np.int32]) -> int:
    """Writes the indices of the times up to and including `until` to `due` and returns how many they are."""
    count = 0
    for start in range(0, times.size, BLOCK_PX):
        block = times[start : min(start + BLOCK_PX, times.size)]
        early = 0
        for i in range(block.size):
            early += block[i] <= until
        if early:
            for i in range(block.size):
                if block[i] <= until:
                    due[count] = start + i
                    count += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def emit_codes(
    active: NDArray[np.int32], first: int, before: NDArray[Any], after: NDArray[Any],
    table: NDArray[np.float64], index: NDArray[np.int32], low: NDArray[Any], high: NDArray[Any],
    ref0: NDArray[np.float64], net: NDArray[np.int32], off: NDArray[np.int32],
    pos: NDArray[np.float64], neg: NDArray[np.float64], mask: int, interval_us: int, width: int,
    since: NDArray[np.uint32], x: NDArray[np.int16], y: NDArray[np.int16], kind: NDArray[np.uint8],
) -> tuple[int, int]:  # fmt: skip
    """Events of the active pixels of an integer image, at the crossings of the straight line between two levels.

    Begins at active pixel `first` and stops early where the outputs are full; called again from there, with the
    outputs emptied or enlarged, it goes on with the next crossing. Sets `low` and `high` anew.

    `index` cuts the range of levels in `table` into equal cells and holds the first code at or above each cell's lower
    edge, so that the search for a code begins next to it.

    Returns:
        The active pixel to go on with (all are done when it equals the number of active pixels), and the number of
        events written; their times are rounded to the nearest microsecond.
    """
    count, room = 0, since.size
    row = active[first] // width if first < active.size else 0
    cells_per_level = (index.size - 1) / (table[-1] - table[0])
    last_cell, codes = index.size - 1, table.size
    for k in range(first, active.size):
        i = active[k]
        start, end = table[before[i]], table[after[i]]
        while i >= (row + 1) * width:  # the pixels come in order: no division for each
            row += 1
        column = i - row * width
        scale = interval_us / (end - start)
        plus, minus = pos[i & mask], neg[i & mask]
        base, net_i, off_i = ref0[i], net[i], off[i]
        if end > start:
            crossing = _above(base, net_i, off_i, plus, minus)
            while crossing <= end:
                if count == room:
                    net[i] = net_i
                    return k, count
                since[count] = np.uint32((crossing - start) * scale + 0.5)
                x[count] = column
                y[count] = row
                kind[count] = ON
                count += 1
                net_i += 1
                crossing = _above(base, net_i, off_i, plus, minus)
            net[i] = net_i
        else:
            crossing = _below(base, net_i, off_i, plus, minus)
            while crossing >= end:
                if count == room:
                    net[i], off[i] = net_i, off_i
                    return k, count
                since[count] = np.uint32((crossing - start) * scale + 0.5)
                x[count] = column
                y[count] = row
                kind[count] = 0
                count += 1
                net_i -= 1
                off_i += 1
                crossing = _below(base, net_i, off_i, plus, minus)
            net[i], off[i] = net_i, off_i
        upper = _above(base, net_i, off_i, plus, minus)
        lower = _below(base, net_i, off_i, plus, minus)
        code = index[min(max(int((upper - table[0]) * cells_per_level) - 1, 0), last_cell)]
        while code < codes and table[code] < upper:
            code += 1
        high[i] = code - 1
        code = index[min(max(int((lower - table[0]) * cells_per_level) - 1, 0), last_cell)]
        while table[code] <= lower:
            code += 1
        low[i] = code
    return active.size, count


@njit(cache=True, nogil=True, error_model="numpy")
def emit_levels(
    active: NDArray[np.int32], first: int, before: NDArray[np.float64], after: NDArray[np.float64],
    low: NDArray[np.float64], high: NDArray[np.float64],
    ref0: NDArray[np.float64], net: NDArray[np.int32], off: NDArray[np.int32],
    pos: NDArray[np.float64], neg: NDArray[np.float64], mask: int, interval_us: int, width: int,
    since: NDArray[np.uint32], x: NDArray[np.int16], y: NDArray[np.int16], kind: NDArray[np.uint8],
) -> tuple[int, int]:  # fmt: skip
    """As `emit_codes`, for images of levels; `low` and `high` are the numbers next to the thresholds, inside them."""
    count = 0
    for k in range(first, active.size):
        i = active[k]
        start, end = before[i], after[i]
        scale = interval_us / (end - start)
        plus, minus = pos[i & mask], neg[i & mask]
        rising = end > start
        while True:
            above = _above(ref0[i], net[i], off[i], plus, minus)
            below = _below(ref0[i], net[i], off[i], plus, minus)
            crossing = above if rising else below
            if (crossing > end) if rising else (crossing < end):
                break
            if count == since.size:
                return k, count
            since[count] = np.uint32((crossing - start) * scale + 0.5)
            x[count] = i % width
            y[count] = i // width
            kind[count] = ON if rising else 0
            count += 1
            net[i] += 1 if rising else -1
            off[i] += 0 if rising else 1
        _set_quiet(i, ref0, net, off, plus, minus, low, high)
    return active.size, count


@njit(cache=True, nogil=True, error_model="numpy")
def quiet_levels(
    pixels: NDArray[np.int32], ref0: NDArray[np.float64], net: NDArray[np.int32], off: NDArray[np.int32],
    pos: NDArray[np.float64], neg: NDArray[np.float64], mask: int, low: NDArray[np.float64], high: NDArray[np.float64],
) -> None:  # fmt: skip
    """Sets `low` and `high` of pixels of a float image from their references."""
    for i in pixels:
        _set_quiet(i, ref0, net, off, pos[i & mask], neg[i & mask], low, high)


@njit(cache=True, nogil=True, error_model="numpy")
def response(t: float, order: int, tau: float, start: float, slope: float, u: float, v: float) -> float:
    """The output at time t of one or two equal low-pass stages behind a straight line start + slope * t.

    Stage outputs at time 0 are u (first) and v (last); with one stage they are the same. Solves
    tau * du/dt = input - u and, with two, tau * dv/dt = u - v, in closed form.
    """
    if order == 1:
        return start + slope * (t - tau) + (v - start + slope * tau) * math.exp(-t / tau)
    a = v - start + 2 * slope * tau
    b = (u - v + a) / tau - slope
    return start + slope * (t - 2 * tau) + (a + b * t) * math.exp(-t / tau)


@njit(cache=True, nogil=True, error_model="numpy")
def _rate(t: float, order: int, tau: float, start: float, slope: float, u: float, v: float) -> float:
    """The time derivative of `response`."""
    if order == 1:
        return slope - (v - start + slope * tau) / tau * math.exp(-t / tau)
    a = v - start + 2 * slope * tau
    b = (u - v + a) / tau - slope
    return slope + (b - (a + b * t) / tau) * math.exp(-t / tau)


@njit(cache=True, nogil=True, error_model="numpy")
def _turning_points(
    interval: float, order: int, tau: float, start: float, slope: float, u: float, v: float, points: NDArray[np.float64]
) -> int:  # fmt: skip
    """Writes 0, the times at which `response` turns, and the interval to `points`; returns how many."""
    edges = np.empty(3)
    edges[0], pieces = 0.0, 1
    if order == 2:
        a = v - start + 2 * slope * tau
        b = (u - v + a) / tau - slope
        bend = 2 * tau - a / b if b != 0 else -1.0  # where the rate itself turns
        if 0 < bend < interval:
            edges[1], pieces = bend, 2
    edges[pieces] = interval
    points[0], count = 0.0, 1
    for piece in range(pieces):
        left, right = edges[piece], edges[piece + 1]
        at_left = _rate(left, order, tau, start, slope, u, v)
        if at_left * _rate(right, order, tau, start, slope, u, v) < 0:
            for _ in range(60):
                middle = 0.5 * (left + right)
                if at_left * _rate(middle, order, tau, start, slope, u, v) > 0:
                    left = middle
                else:
                    right = middle
            points[count] = 0.5 * (left + right)
            count += 1
    points[count] = interval
    return count + 1


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(
    level: float, left: float, right: float, at_left: float, at_right: float,
    order: int, tau: float, start: float, slope: float, u: float, v: float,
) -> float:  # fmt: skip
    """The time in [left, right], where `response` is monotone, at which it reaches a level; by guarded Newton steps."""
    rising = at_right > at_left
    t = left + (level - at_left) / (at_right - at_left) * (right - left) if at_right != at_left else left
    for _ in range(60):
        output = response(t, order, tau, start, slope, u, v)
        miss = output - level
        if (miss > 0) == rising:
            right = t
        else:
            left = t
        # with one stage the filter's own equation saves an exponential
        rate = (start + slope * t - output) / tau if order == 1 else _rate(t, order, tau, start, slope, u, v)
        better = t - miss / rate if rate != 0 else left
        if not left < better < right:
            better = 0.5 * (left + right)
        if abs(better - t) < 1e-3:  # microseconds
            return better
        t = better
    return t


@njit(cache=True, nogil=True, error_model="numpy")
def filter_values(
    order: int, interval_us: int, before: NDArray[Any], after: NDArray[Any],
    before_level: NDArray[np.float64], after_level: NDArray[np.float64],
    tau_us: NDArray[np.float64], decay: NDArray[np.float64],
    u: NDArray[np.float64], v: NDArray[np.float64], next_u: NDArray[np.float64], next_v: NDArray[np.float64],
    low: NDArray[np.float64], high: NDArray[np.float64], flags: NDArray[np.uint8],
) -> None:  # fmt: skip
    """The low-pass outputs at the end of an interval; flags the pixels whose output may have crossed a threshold.

    `before` and `after` are indices (such as grey codes) into the levels; tau_us and decay = exp(-interval / tau) are
    indexed by `after`. One stage turns only where input - output changes its sign, and otherwise stays between its two
    ends; two stay between the smallest and the largest of their first values and the input's ends.
    """
    inverse = 1 / interval_us
    for i in range(before.size):
        start, end = before_level[before[i]], after_level[after[i]]
        tau, fade = tau_us[after[i]], decay[after[i]]
        slope = (end - start) * inverse
        first = start + slope * (interval_us - tau) + (u[i] - start + slope * tau) * fade
        last = first
        smallest, largest = min(start, end), max(start, end)
        if order == 1:
            turns = (start - v[i]) * (end - last) < 0
            smallest = smallest if turns else last
            largest = largest if turns else last
        else:
            a = v[i] - start + 2 * slope * tau
            b = (u[i] - v[i] + a) / tau - slope
            last = start + slope * (interval_us - 2 * tau) + (a + b * interval_us) * fade
            smallest, largest = min(smallest, u[i]), max(largest, u[i])
        flags[i] = (min(smallest, v[i]) < low[i]) | (max(largest, v[i]) > high[i])
        next_u[i] = first
        next_v[i] = last


@njit(cache=True, nogil=True, error_model="numpy")
def emit_filtered(
    active: NDArray[np.int32], first: int, order: int, before: NDArray[Any], after: NDArray[Any],
    before_level: NDArray[np.float64], after_level: NDArray[np.float64], tau_us: NDArray[np.float64],
    u: NDArray[np.float64], v: NDArray[np.float64], next_v: NDArray[np.float64],
    low: NDArray[np.float64], high: NDArray[np.float64],
    ref0: NDArray[np.float64], net: NDArray[np.int32], off: NDArray[np.int32],
    pos: NDArray[np.float64], neg: NDArray[np.float64], mask: int, interval_us: int, width: int,
    since: NDArray[np.uint32], x: NDArray[np.int16], y: NDArray[np.int16], kind: NDArray[np.uint8],
) -> tuple[int, int]:  # fmt: skip
    """As `emit_levels`, behind the low-pass: crossings of its output, which may turn within the interval."""
    count = 0
    points = np.empty(4)
    for k in range(first, active.size):
        i = active[k]
        begun = count
        kept_net, kept_off = net[i], off[i]
        plus, minus = pos[i & mask], neg[i & mask]
        level, final, tau = before_level[before[i]], after_level[after[i]], tau_us[after[i]]
        slope = (final - level) / interval_us
        points[0], points[1], turns = 0.0, float(interval_us), 2
        if order == 2 or (level - v[i]) * (final - next_v[i]) < 0:
            turns = _turning_points(float(interval_us), order, tau, level, slope, u[i], v[i], points)
        for piece in range(turns - 1):
            left, right = points[piece], points[piece + 1]
            start = response(left, order, tau, level, slope, u[i], v[i]) if piece else v[i]
            end = response(right, order, tau, level, slope, u[i], v[i]) if piece < turns - 2 else next_v[i]
            rising = end > start
            while True:
                above = _above(ref0[i], net[i], off[i], plus, minus)
                below = _below(ref0[i], net[i], off[i], plus, minus)
                crossing = above if rising else below
                if (crossing > end) if rising else (crossing < end):
                    break
                if count == since.size:  # no room: this pixel begins anew next time
                    net[i], off[i] = kept_net, kept_off
                    return k, begun
                t = _solve(crossing, left, right, start, end, order, tau, level, slope, u[i], v[i])
                since[count] = np.uint32(t + 0.5)
                x[count] = i % width
                y[count] = i // width
                kind[count] = ON if rising else 0
                count += 1
                net[i] += 1 if rising else -1
                off[i] += 0 if rising else 1
        _set_quiet(i, ref0, net, off, plus, minus, low, high)
    return active.size, count


@njit(cache=True, nogil=True, error_model="numpy")
def sort_digit(
    shift: int, last: int, t0: int,
    since: NDArray[np.uint32], x: NDArray[np.int16], y: NDArray[np.int16], kind: NDArray[np.uint8],
    sorted_since: NDArray[Any], sorted_x: NDArray[np.int16], sorted_y: NDArray[np.int16],
    sorted_kind: NDArray[np.uint8],
) -> None:  # fmt: skip
    """One stable counting sort by the 16 bits of `since` above `shift`, at most `last`; adds t0 to the sorted times."""
    mask = np.uint32((1 << DIGIT_BITS) - 1)
    place = np.zeros(last + 2, np.int32)
    for event in range(since.size):
        place[((since[event] >> shift) & mask) + 1] += 1
    for digit in range(last + 1):
        place[digit + 1] += place[digit]
    for event in range(since.size):
        digit = (since[event] >> shift) & mask
        target = place[digit]
        place[digit] += 1
        sorted_since[target] = t0 + since[event]
        sorted_x[target] = x[event]
        sorted_y[target] = y[event]
        sorted_kind[target] = kind[event]


@njit(cache=True, nogil=True, error_model="numpy")
def drop_refractory(
    period_us: int, width: int, last: NDArray[np.int64],
    t: NDArray[np.int64], x: NDArray[np.int16], y: NDArray[np.int16], kind: NDArray[np.uint8],
) -> int:  # fmt: skip
    """Closes the gaps that events within `period_us` of their pixel's last event leave; returns how many remain."""
    count = 0
    for event in range(t.size):
        pixel = np.int64(y[event]) * width + x[event]
        if t[event] - last[pixel] >= period_us:
            last[pixel] = t[event]
            t[count], x[count], y[count], kind[count] = t[event], x[event], y[event], kind[event]
            count += 1
    return count
