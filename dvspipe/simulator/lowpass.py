"""Where the output of a pixel's low-pass crosses its thresholds: the compiled inner loops.

Behind one or two equal stages of time constant tau, the response to a straight line start + slope * t is

    start + slope * (t - order * tau) + (a + b * t) * exp(-t / tau),

with a and b from the stages' outputs at time 0 (b = 0 with one stage); it solves tau * du/dt = input - u and, with two,
tau * dv/dt = u - v. Times are in microseconds. Pixels and thresholds are as in `crossings`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .crossings import BLOCK_PX, CHUNK_PX, reference_after, set_quiet
from .words import COLUMN_SHIFT, ROW_SHIFT, TIME_SHIFT, Words, grown, sort_words

PRECISION_US = 1e-3
NEAR = 0.3  # of tau: the exponential's series to the 7th power is then right to 2e-9
MOST_STEPS = 60  # of a search; halving alone reaches the precision in as many


@njit(inline="always")
def _transient(order: int, tau: float, start: float, slope: float, u: float, v: float) -> tuple[float, float, float]:
    """The offset of the response's line, and a and b."""
    if order == 1:
        return start - slope * tau, v - start + slope * tau, 0.0
    a = v - start + 2 * slope * tau
    return start - 2 * slope * tau, a, (u - v + a) / tau - slope


@njit(inline="always")
def _response(t: float, tau: float, offset: float, slope: float, a: float, b: float) -> float:
    return offset + slope * t + (a + b * t) * math.exp(-t / tau)


@njit(cache=True, nogil=True, error_model="numpy")
def response(t: float, order: int, tau: float, start: float, slope: float, u: float, v: float) -> float:
    """The output at time t; u and v are those of the first and the last stage at time 0, the same with one stage."""
    offset, a, b = _transient(order, tau, start, slope, u, v)
    output: float = _response(t, tau, offset, slope, a, b)
    return output


@njit(cache=True, nogil=True, error_model="numpy")
def _zero_of_rate(left: float, right: float, tau: float, slope: float, a: float, b: float) -> float:
    """The time in [left, right] at which slope + (b - (a + b t) / tau) * exp(-t / tau) is 0, or right if there is none.

    The rate is monotone there; Newton's steps, halving the interval where they leave it.
    """
    at_left = slope + (b - (a + b * left) / tau) * math.exp(-left / tau)
    at_right = slope + (b - (a + b * right) / tau) * math.exp(-right / tau)
    if not at_left * at_right < 0:
        return right
    t = 0.5 * (left + right)
    for _ in range(MOST_STEPS):
        fade = math.exp(-t / tau)
        rate = slope + (b - (a + b * t) / tau) * fade
        if at_left * rate > 0:
            left = t
        else:
            right = t
        bend = ((a + b * t) / tau - 2 * b) / tau * fade
        better = t - rate / bend if bend != 0 else left
        if not left < better < right:
            better = 0.5 * (left + right)
        if abs(better - t) < PRECISION_US:
            return better
        t = better
    return t


@njit(cache=True, nogil=True, error_model="numpy")
def _turning_points(
    interval: float, order: int, tau: float, slope: float, a: float, b: float, points: NDArray[np.float64]
) -> int:  # fmt: skip
    """Writes 0, the times at which the response turns, and the interval to `points`; returns how many."""
    count = 1
    if order == 1:
        fade = slope * tau / a if a != 0 else 0.0  # exp(-t / tau) where the rate is 0
        turn = -tau * math.log(fade) if fade > 0 else interval
        if 0 < turn < interval:
            points[count] = turn
            count += 1
    else:
        bend = 2 * tau - a / b if b != 0 else interval  # where the rate itself turns
        bend = bend if 0 < bend < interval else interval
        turn = _zero_of_rate(0.0, bend, tau, slope, a, b)
        if turn < bend:
            points[count] = turn
            count += 1
        turn = _zero_of_rate(bend, interval, tau, slope, a, b) if bend < interval else interval
        if turn < interval:
            points[count] = turn
            count += 1
    points[0], points[count] = 0.0, interval
    return count + 1


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(
    level: float, left: float, right: float, at_left: float, at_right: float,
    tau: float, offset: float, slope: float, a: float, b: float,
) -> float:  # fmt: skip
    """The time in [left, right], where the response is monotone, at which it reaches a level.

    Each step evaluates one exponential, and the series of the response around that time: where the level is near, that
    gives the answer, else Newton's step, else the middle of what is left.
    """
    rising = at_right > at_left
    t = left + (level - at_left) / (at_right - at_left) * (right - left) if at_right != at_left else left
    per_tau, inverse = slope * tau, 1 / tau
    for _ in range(MOST_STEPS):
        fade = math.exp(-t * inverse)
        e, f = (a + b * t) * fade, b * tau * fade
        miss = offset + slope * t + e - level
        if (miss > 0) == rising:
            right = t
        else:
            left = t
        rate = per_tau + f - e  # per tau, as x below
        x = -2 * miss * rate / (2 * rate * rate - miss * (e - 2 * f))  # Halley's step, exact to the second order
        if abs(x) < NEAR:
            step = 1.0
            for _ in range(3):  # of Newton, on miss + per_tau x + (e + f x) exp(-x) - e
                decay = _exponential(x)
                part = (e + f * x) * decay
                step = (miss + per_tau * x + part - e) / (per_tau + f * decay - part)
                x -= step
                if step * step < 1e-9:  # the next step would be smaller than the precision, as its square
                    break
            if step * step < 1e-9 and abs(x) < NEAR:
                return min(max(t + x * tau, left), right)
        better = t + x * tau
        if not left < better < right:
            better = 0.5 * (left + right)
        if abs(better - t) < PRECISION_US:
            return better
        t = better
    return t


@njit(inline="always")
def _exponential(x: float) -> float:
    """exp(-x) near 0, by its series."""
    return 1 - x * (
        1 - x * (1 / 2 - x * (1 / 6 - x * (1 / 24 - x * (1 / 120 - x * (1 / 720 - x * (1 / 5040 - x * (1 / 40320)))))))
    )


@njit(cache=True, nogil=True, error_model="numpy")
def events_of_filtered(
    before: NDArray[Any], after: NDArray[Any],
    before_level: NDArray[np.float64], after_level: NDArray[np.float64],
    tau_us: NDArray[np.float64], decay: NDArray[np.float64], stages: NDArray[np.float64],
    low: NDArray[np.float64], high: NDArray[np.float64],
    ref0: NDArray[np.float64], net: NDArray[np.int32], off: NDArray[np.int32],
    pos: NDArray[np.float64], neg: NDArray[np.float64], interval_us: int, first_row: int, width: int,
) -> Words:  # fmt: skip
    """As `crossings.events_of_levels`, behind the low-pass, whose stages [order, N] go on to the interval's end.

    `before` and `after` are indices (such as grey codes) into the levels; tau_us and decay = exp(-interval / tau) are
    indexed by `after`.
    """
    active, old_u, old_v = np.empty(CHUNK_PX + 1, np.int32), np.empty(CHUNK_PX + 1), np.empty(CHUNK_PX + 1)
    words, count = np.empty(after.size // 8 + 64, np.int64), 0
    for begin in range(0, after.size, CHUNK_PX):
        found, done = _filter_chunk(
            begin, interval_us, before, after, before_level, after_level, tau_us, decay, stages, low, high,
            active, old_u, old_v,
        ), 0  # fmt: skip
        while done < found:
            done, count = _emit_filtered(
                active[:found], done, words, count, old_u, old_v, stages, before, after, before_level, after_level,
                tau_us, low, high, ref0, net, off, pos, neg, interval_us, first_row, width,
            )  # fmt: skip
            if done < found:
                words = grown(words)
    ordered: Words = sort_words(words[:count], interval_us)
    return ordered


@njit(cache=True, nogil=True, error_model="numpy")
def _filter_chunk(
    begin: int, interval_us: int, before: NDArray[Any], after: NDArray[Any],
    before_level: NDArray[np.float64], after_level: NDArray[np.float64],
    tau_us: NDArray[np.float64], decay: NDArray[np.float64], stages: NDArray[np.float64],
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
    start, end, tau, fade = np.empty(BLOCK_PX), np.empty(BLOCK_PX), np.empty(BLOCK_PX), np.empty(BLOCK_PX)
    was_u, was_v, outside = np.empty(BLOCK_PX), np.empty(BLOCK_PX), np.empty(BLOCK_PX, np.int64)
    inverse, count, chunk_end = 1 / interval_us, np.uintp(0), min(begin + CHUNK_PX, before.size)
    for block in range(begin, chunk_end, BLOCK_PX):
        stop = min(block + BLOCK_PX, chunk_end)
        code0, code1, lowest, highest = before[block:stop], after[block:stop], low[block:stop], high[block:stop]
        u, v = first_stage[block:stop], last_stage[block:stop]
        for i in range(v.size):  # looking up apart from computing, which is then vectorised: four times as fast
            start[i] = before_level[code0[i]]
        for i in range(v.size):
            end[i] = after_level[code1[i]]
        for i in range(v.size):
            tau[i] = tau_us[code1[i]]
        for i in range(v.size):
            fade[i] = decay[code1[i]]
        if one_stage:
            for i in range(v.size):
                slope_tau = (end[i] - start[i]) * inverse * tau[i]
                last = end[i] - slope_tau + (v[i] - start[i] + slope_tau) * fade[i]
                turns = (start[i] - v[i]) * (end[i] - last) < 0
                smallest = min(v[i], min(start[i], end[i]) if turns else last)
                largest = max(v[i], max(start[i], end[i]) if turns else last)
                outside[i] = (smallest < lowest[i]) | (largest > highest[i])
                was_v[i] = v[i]
                v[i] = last
        else:
            for i in range(v.size):
                slope = (end[i] - start[i]) * inverse
                a = v[i] - start[i] + 2 * slope * tau[i]
                b = (u[i] - v[i] + a) / tau[i] - slope
                smallest, largest = min(start[i], end[i], u[i], v[i]), max(start[i], end[i], u[i], v[i])
                outside[i] = (smallest < lowest[i]) | (largest > highest[i])
                was_u[i], was_v[i] = u[i], v[i]
                u[i] = end[i] - slope * tau[i] + (u[i] - start[i] + slope * tau[i]) * fade[i]
                v[i] = end[i] - 2 * slope * tau[i] + (a + b * interval_us) * fade[i]
        for at in range(np.uintp(v.size)):
            active[count], old_u[count], old_v[count] = block + np.int64(at), was_u[at], was_v[at]
            count += np.uintp(outside[at])
    return np.int64(count)


@njit(cache=True, nogil=True, error_model="numpy")
def _emit_filtered(
    active: NDArray[np.int32], first: int, words: Words, count: int,
    old_u: NDArray[np.float64], old_v: NDArray[np.float64], stages: NDArray[np.float64],
    before: NDArray[Any], after: NDArray[Any],
    before_level: NDArray[np.float64], after_level: NDArray[np.float64], tau_us: NDArray[np.float64],
    low: NDArray[np.float64], high: NDArray[np.float64],
    ref0: NDArray[np.float64], net: NDArray[np.int32], off: NDArray[np.int32],
    pos: NDArray[np.float64], neg: NDArray[np.float64], interval_us: int, first_row: int, width: int,
) -> tuple[int, Any]:  # fmt: skip
    """As `crossings._emit_codes`, behind the low-pass: crossings of its output, which may turn within the interval."""
    filled, room, one = np.uintp(count), np.uintp(words.size), np.uintp(1)
    own, counted = -np.int64(pos.size > 1), -np.int64(off.size == net.size)  # masks: all bits, or none
    order, last_stage = stages.shape[0], stages[-1]
    interval = float(interval_us)
    points = np.empty(4)
    row = active[first] // width
    row_end = (row + 1) * width
    for k in range(first, active.size):
        pixel = np.int64(active[k])
        i = np.uintp(pixel)
        while pixel >= row_end:
            row += 1
            row_end += width
        begun, base, net_i, off_i = filled, ref0[i], np.int64(net[i]), np.int64(off[np.uintp(pixel & counted)])
        place = ((first_row + row) << ROW_SHIFT) | ((pixel - row_end + width) << COLUMN_SHIFT)
        plus, minus = pos[np.uintp(pixel & own)], neg[np.uintp(pixel & own)]
        level, final, tau = before_level[before[i]], after_level[after[i]], tau_us[after[i]]
        slope = (final - level) / interval
        offset, a, b = _transient(order, tau, level, slope, old_u[k], old_v[k])
        points[0], points[1], turns = 0.0, interval, 2
        if order == 2 or (level - old_v[k]) * (final - last_stage[i]) < 0:
            turns = _turning_points(interval, order, tau, slope, a, b, points)
        end = old_v[k]
        for piece in range(1, turns):
            left, right, start = points[piece - 1], points[piece], end
            end = _response(right, tau, offset, slope, a, b) if piece < turns - 1 else last_stage[i]
            rising = np.int64(end > start)
            step = 2 * rising - 1
            crossing = reference_after(base, net_i, off_i, plus, minus, step)
            while step * crossing <= step * end:
                if filled == room:  # this pixel begins anew next time
                    return k, np.int64(begun)
                t = _solve(crossing, left, right, start, end, tau, offset, slope, a, b)
                words[filled] = (np.int64(t + 0.5) << TIME_SHIFT) | place | rising
                filled += one
                net_i += step
                off_i += 1 - rising
                crossing = reference_after(base, net_i, off_i, plus, minus, step)
        net[i] = net_i
        if counted:
            off[i] = off_i
        upper = reference_after(base, net_i, off_i, plus, minus, 1)
        lower = reference_after(base, net_i, off_i, plus, minus, -1)
        set_quiet(i, upper, lower, low, high)
    return active.size, np.int64(filled)
