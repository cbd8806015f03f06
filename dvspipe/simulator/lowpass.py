"""Where the output of a pixel's low-pass crosses its thresholds: the compiled inner loops.

Behind one or two equal stages of time constant tau, the response to a straight line start + slope * x is

    start + slope * (x - order) + (a + b * x) * exp(-x),

with a and b from the stages' outputs at time 0 (b = 0 with one stage); it solves du/dx = input - u and, with two,
dv/dx = u - v. Times x and rates are in units of tau here. Pixels and thresholds are as in `crossings`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .crossings import BLOCK_PX, CHUNK_PX, reference_after, set_quiet
from .words import COLUMN_SHIFT, ROW_SHIFT, TIME_SHIFT, Words, grown

PRECISION_US = 1e-3
MOST_STEPS = 60  # of a search; halving alone reaches the precision in as many
QUEUE = 256  # crossings that are solved together: 14 arrays of them stay in the first-level cache
LARGEST_EXPONENT = 700.0  # exp(-700) is 1e-304: nothing is left, and all is still a normal number
ROUNDING = 1.5 * 2.0**52  # added and taken away, it rounds; between, the lowest bits are the whole number
SERIES = tuple(1 / math.factorial(k) for k in range(12, -1, -1))
LOG2_E, LN2_HIGH, LN2_LOW = 1.4426950408889634, 0.6931471803691238, 1.9082149292705877e-10


@njit(inline="always")
def _transient(order: int, start: float, slope: float, u: float, v: float) -> tuple[float, float, float]:
    """The offset of the response's line, and a and b."""
    offset = start - order * slope
    a = v - offset
    return offset, a, (u - v + a - slope if order == 2 else 0.0)


@njit(inline="always")
def _response(x: float, offset: float, slope: float, a: float, b: float) -> float:
    return offset + slope * x + (a + b * x) * math.exp(-x)


@njit(cache=True, nogil=True, error_model="numpy")
def _zero_of_rate(left: float, right: float, precision: float, slope: float, a: float, b: float) -> float:
    """The time in [left, right] at which slope + (b - a - b x) * exp(-x) is 0, or right if there is none.

    The rate is monotone there; Newton's steps, halving the interval where they leave it.
    """
    at_left = slope + (b - a - b * left) * math.exp(-left)
    at_right = slope + (b - a - b * right) * math.exp(-right)
    if not at_left * at_right < 0:
        return right
    x = 0.5 * (left + right)
    for _ in range(MOST_STEPS):
        fade = math.exp(-x)
        rate = slope + (b - a - b * x) * fade
        if at_left * rate > 0:
            left = x
        else:
            right = x
        bend = (a + b * x - 2 * b) * fade
        better = x - rate / bend if bend != 0 else left
        if not left < better < right:
            better = 0.5 * (left + right)
        if abs(better - x) < precision:
            return better
        x = better
    return x


@njit(cache=True, nogil=True, error_model="numpy")
def _turning_points(
    interval: float, precision: float, order: int, slope: float, a: float, b: float, points: NDArray[np.float64]
) -> int:  # fmt: skip
    """Writes 0, the times at which the response turns, and the interval to `points`; returns how many."""
    count = 1
    if order == 1:
        fade = slope / a if a != 0 else 0.0  # exp(-x) where the rate is 0
        turn = -math.log(fade) if fade > 0 else interval
        if 0 < turn < interval:
            points[count] = turn
            count += 1
    else:
        bend = 2 - a / b if b != 0 else interval  # where the rate itself turns
        bend = bend if 0 < bend < interval else interval
        turn = _zero_of_rate(0.0, bend, precision, slope, a, b)
        if turn < bend:
            points[count] = turn
            count += 1
        turn = _zero_of_rate(bend, interval, precision, slope, a, b) if bend < interval else interval
        if turn < interval:
            points[count] = turn
            count += 1
    points[0], points[count] = 0.0, interval
    return count + 1


@njit(inline="always")
def _exponential(r: float) -> float:
    """exp(-r) for |r| <= ln(2) / 2, by its series to the 13th power: right to the last bit or two."""
    y = -r
    series = 1 / 6227020800
    for coefficient in SERIES:
        series = series * y + coefficient
    return series


@njit(cache=True, nogil=True, error_model="numpy")
def _solve_safely(
    level: float, left: float, right: float, rising: bool, precision: float,
    offset: float, slope: float, a: float, b: float,
) -> float:  # fmt: skip
    """The time in [left, right], where the response is monotone, at which it reaches a level.

    Newton's steps, halving what is left of the interval where they leave it.
    """
    x = 0.5 * (left + right)
    for _ in range(MOST_STEPS):
        fade = math.exp(-x)
        e = (a + b * x) * fade
        miss = offset + slope * x + e - level
        if (miss > 0) == rising:
            right = x
        else:
            left = x
        rate = slope + b * fade - e
        better = x - miss / rate if rate != 0 else left
        if not left < better < right:
            better = 0.5 * (left + right)
        if abs(better - x) < precision:
            return better
        x = better
    return x


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(
    words: Words, count: int, queue: NDArray[np.float64], places: Words, waiting: int, interval_us: int
) -> tuple[Words, int]:  # fmt: skip
    """Solves for the times at which the waiting responses reach their levels, and appends the events to `words`.

    Two of Halley's steps, of third order, from the hyperbola that has both ends and the first rate of the response:
    loops without branches, which the compiler vectorises. What they do not settle, one in a thousand, lies next to a
    turning point, and is bracketed.
    """
    level, left, right, at_left, at_right = queue[0], queue[1], queue[2], queue[3], queue[4]
    offset, slope, a, b, span = queue[5], queue[6], queue[7], queue[8], queue[9]
    x, power, rest, doubt = queue[10], queue[11], queue[12], queue[13]
    bits, precision = power.view(np.int64), PRECISION_US / interval_us
    for k in range(waiting):
        x[k] = left[k]
    for step in range(3):
        for k in range(waiting):  # exp(-x) = 2^-n exp(-rest)
            exponent = min(x[k], LARGEST_EXPONENT)
            rounded = exponent * LOG2_E + ROUNDING
            power[k] = rounded
            n = rounded - ROUNDING
            rest[k] = exponent - n * LN2_HIGH - n * LN2_LOW
        for k in range(waiting):
            bits[k] = (1023 << 52) - (bits[k] << 52)
        if step == 0:
            for k in range(waiting):
                fade = power[k] * _exponential(rest[k])
                rate = slope[k] + (b[k] - a[k] - b[k] * x[k]) * fade
                part, whole = level[k] - at_left[k], at_right[k] - at_left[k]
                width = right[k] - left[k]
                guess = x[k] + part / (rate - (rate - whole / width) * part / whole)
                x[k] = min(max(guess, left[k]), right[k])
        else:
            for k in range(waiting):
                fade = power[k] * _exponential(rest[k])
                e, f = (a[k] + b[k] * x[k]) * fade, b[k] * fade
                miss, rate, bend = offset[k] + slope[k] * x[k] + e - level[k], slope[k] + f - e, e - 2 * f
                squared = rate * rate
                halley = -2 * miss * rate / (2 * squared - miss * bend)
                x[k] = min(max(x[k] + halley, left[k]), right[k])
                doubt[k] = abs(halley * halley * halley) * (squared + bend * bend) - precision * span[k] * squared
    if count + waiting > words.size:
        words = grown(words)
    for k in range(waiting):
        since = x[k]
        if not doubt[k] < 0:
            rising, within = at_right[k] > at_left[k], precision * span[k]
            since = _solve_safely(level[k], left[k], right[k], rising, within, offset[k], slope[k], a[k], b[k])
        since_us = np.int64(min(since / span[k], 1.0) * interval_us + 0.5)
        words[count + k] = places[k] | (since_us << TIME_SHIFT)
    return words, count + waiting


@njit(cache=True, nogil=True, error_model="numpy")
def events_of_filtered(
    before: NDArray[Any], after: NDArray[Any],
    before_level: NDArray[np.float64], after_level: NDArray[np.float64],
    span: NDArray[np.float64], decay: NDArray[np.float64], stages: NDArray[np.float64],
    low: NDArray[np.float64], high: NDArray[np.float64],
    ref0: NDArray[np.float64], net: NDArray[np.int32], off: NDArray[np.int32],
    pos: NDArray[np.float64], neg: NDArray[np.float64], interval_us: int, first_row: int, width: int,
) -> Words:  # fmt: skip
    """As `crossings.events_of_levels`, behind the low-pass, whose stages [order, N] go on to the interval's end.

    `before` and `after` are indices (such as grey codes) into the levels; span = interval / tau and decay = exp(-span)
    are indexed by `after`.
    """
    active, old_u, old_v = np.empty(CHUNK_PX + 1, np.int32), np.empty(CHUNK_PX + 1), np.empty(CHUNK_PX + 1)
    words, count = np.empty(after.size // 8 + QUEUE, np.int64), 0
    queue, places, waiting = np.empty((14, QUEUE)), np.empty(QUEUE, np.int64), 0
    for begin in range(0, after.size, CHUNK_PX):
        filtered = _filter_chunk(
            begin, before, after, before_level, after_level, span, decay, stages, low, high,
            active, old_u, old_v,
        )  # fmt: skip
        words, count, waiting = _queue_crossings(
            active[:filtered], words, count, queue, places, waiting, old_u, old_v, stages, before, after, before_level,
            after_level, span, low, high, ref0, net, off, pos, neg, interval_us, first_row, width,
        )  # fmt: skip
    words, count = _solve(words, count, queue, places, waiting, interval_us)
    found: Words = words[:count]
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def _filter_chunk(
    begin: int, before: NDArray[Any], after: NDArray[Any],
    before_level: NDArray[np.float64], after_level: NDArray[np.float64],
    span: NDArray[np.float64], decay: NDArray[np.float64], stages: NDArray[np.float64],
    low: NDArray[np.float64], high: NDArray[np.float64],
    active: NDArray[np.int32], old_u: NDArray[np.float64], old_v: NDArray[np.float64],
) -> Any:  # fmt: skip
    """Takes the stages of a chunk of pixels to the end of an interval.

    Writes the pixels whose output may have crossed a threshold to `active`, the first and last outputs that they had
    to old_u and old_v, and returns how many they are. One stage turns only where input - output changes its sign, and
    otherwise stays between its two ends; two stay between the smallest and the largest of their first values and the
    input's ends.
    """
    first_stage, last_stage, one_stage = stages[0], stages[-1], stages.shape[0] == 1
    start, end, length, fade = np.empty(BLOCK_PX), np.empty(BLOCK_PX), np.empty(BLOCK_PX), np.empty(BLOCK_PX)
    was_u, was_v, outside = np.empty(BLOCK_PX), np.empty(BLOCK_PX), np.empty(BLOCK_PX, np.int64)
    count, chunk_end = np.uintp(0), min(begin + CHUNK_PX, before.size)
    for block in range(begin, chunk_end, BLOCK_PX):
        stop = min(block + BLOCK_PX, chunk_end)
        code0, code1, lowest, highest = before[block:stop], after[block:stop], low[block:stop], high[block:stop]
        u, v = first_stage[block:stop], last_stage[block:stop]
        for i in range(v.size):  # looking up apart from computing, which is then vectorised: four times as fast
            start[i] = before_level[code0[i]]
        for i in range(v.size):
            end[i] = after_level[code1[i]]
        for i in range(v.size):
            length[i] = span[code1[i]]
        for i in range(v.size):
            fade[i] = decay[code1[i]]
        if one_stage:
            for i in range(v.size):
                slope = (end[i] - start[i]) / length[i]
                last = end[i] - slope + (v[i] - start[i] + slope) * fade[i]
                turns = (start[i] - v[i]) * (end[i] - last) < 0
                smallest = min(v[i], min(start[i], end[i]) if turns else last)
                largest = max(v[i], max(start[i], end[i]) if turns else last)
                outside[i] = (smallest < lowest[i]) | (largest > highest[i])
                was_v[i] = v[i]
                v[i] = last
        else:
            for i in range(v.size):
                slope = (end[i] - start[i]) / length[i]
                a = v[i] - start[i] + 2 * slope
                b = u[i] - v[i] + a - slope
                smallest, largest = min(start[i], end[i], u[i], v[i]), max(start[i], end[i], u[i], v[i])
                outside[i] = (smallest < lowest[i]) | (largest > highest[i])
                was_u[i], was_v[i] = u[i], v[i]
                u[i] = end[i] - slope + (u[i] - start[i] + slope) * fade[i]
                v[i] = end[i] - 2 * slope + (a + b * length[i]) * fade[i]
        first = count
        for at in range(np.uintp(v.size)):
            active[count] = block + np.int64(at)
            count += np.uintp(outside[at])
        for k in range(first, count):
            place = np.uintp(active[k] - block)
            old_u[k], old_v[k] = was_u[place], was_v[place]
    return np.int64(count)


@njit(cache=True, nogil=True, error_model="numpy")
def _queue_crossings(
    active: NDArray[np.int32], words: Words, count: int, queue: NDArray[np.float64], places: Words, waiting: int,
    old_u: NDArray[np.float64], old_v: NDArray[np.float64], stages: NDArray[np.float64],
    before: NDArray[Any], after: NDArray[Any],
    before_level: NDArray[np.float64], after_level: NDArray[np.float64], span: NDArray[np.float64],
    low: NDArray[np.float64], high: NDArray[np.float64],
    ref0: NDArray[np.float64], net: NDArray[np.int32], off: NDArray[np.int32],
    pos: NDArray[np.float64], neg: NDArray[np.float64], interval_us: int, first_row: int, width: int,
) -> tuple[Words, int, int]:  # fmt: skip
    """Queues the crossings of the active pixels' outputs, which may turn within the interval.

    A full queue is solved and appended to `words`. Returns these, their number, and that of the crossings that wait.
    """
    own, counted = -np.int64(pos.size > 1), -np.int64(off.size == net.size)  # masks: all bits, or none
    order, last_stage = stages.shape[0], stages[-1]
    level_, left_, right_, at_left_, at_right_ = queue[0], queue[1], queue[2], queue[3], queue[4]
    offset_, slope_, a_, b_, span_ = queue[5], queue[6], queue[7], queue[8], queue[9]
    points, precision = np.empty(4), PRECISION_US / interval_us
    row = active[0] // width if active.size else 0
    row_end = (row + 1) * width
    for k in range(active.size):
        pixel = np.int64(active[k])
        i = np.uintp(pixel)
        while pixel >= row_end:
            row += 1
            row_end += width
        base, net_i, off_i = ref0[i], np.int64(net[i]), np.int64(off[np.uintp(pixel & counted)])
        place = ((first_row + row) << ROW_SHIFT) | ((pixel - row_end + width) << COLUMN_SHIFT)
        plus, minus = pos[np.uintp(pixel & own)], neg[np.uintp(pixel & own)]
        level, final, interval = before_level[before[i]], after_level[after[i]], span[after[i]]
        slope = (final - level) / interval
        offset, a, b = _transient(order, level, slope, old_u[k], old_v[k])
        points[0], points[1], turns = 0.0, interval, 2
        if order == 2 or (level - old_v[k]) * (final - last_stage[i]) < 0:
            turns = _turning_points(interval, precision * interval, order, slope, a, b, points)
        end = old_v[k]
        for piece in range(1, turns):
            left, right, start = points[piece - 1], points[piece], end
            end = _response(right, offset, slope, a, b) if piece < turns - 1 else last_stage[i]
            rising = np.int64(end > start)
            step = 2 * rising - 1
            crossing = reference_after(base, net_i, off_i, plus, minus, step)
            while step * crossing <= step * end:
                if waiting == QUEUE:
                    words, count = _solve(words, count, queue, places, waiting, interval_us)
                    waiting = 0
                at = np.uintp(waiting)
                places[at] = place | rising
                level_[at], left_[at], right_[at], at_left_[at], at_right_[at] = crossing, left, right, start, end
                offset_[at], slope_[at], a_[at], b_[at], span_[at] = offset, slope, a, b, interval
                waiting += 1
                net_i += step
                off_i += 1 - rising
                crossing = reference_after(base, net_i, off_i, plus, minus, step)
        net[i] = net_i
        if counted:
            off[i] = off_i
        upper = reference_after(base, net_i, off_i, plus, minus, 1)
        lower = reference_after(base, net_i, off_i, plus, minus, -1)
        set_quiet(i, upper, lower, low, high)
    return words, count, waiting
