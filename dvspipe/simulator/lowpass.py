"""Compiled loops that find where the low-pass filtered level of a pixel crosses its thresholds.

The response of one or two equal stages with time constant tau to a straight line start + slope * x is

    offset + slope * x + (a + b * x) * exp(-x)    with offset = start - order * slope,

where a and b follow from the outputs of the stages at time 0 (b = 0 for one stage): it solves du/dx = input - u and,
for two stages, dv/dx = u - v. Times x and rates are in units of tau here. Pixels and thresholds are as in `crossings`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .crossings import BLOCK_PX, Pixels, Reference, hair_above, hair_below, move_reference, next_level
from .words import COLUMN_SHIFT, ROW_SHIFT, TIME_SHIFT, Interval, Words, grow

CHUNK_PX = 1 << 14  # as in `crossings`, but a pixel takes more memory
PRECISION_US = 1e-3
MOST_STEPS = 60  # of a search; halving alone reaches the precision in as many
QUEUE_LENGTH = 256  # crossings that are solved together: the queue's 15 arrays stay in the first-level cache
LARGEST_EXPONENT = 700.0  # exp(-700) is 1e-304: practically 0, and still a normal number
ROUNDING = 1.5 * 2.0**52  # adding it rounds a float to a whole number, which is then in the lowest bits
SERIES = tuple(1 / math.factorial(k) for k in range(12, -1, -1))
LOG2_E, LN2_HIGH, LN2_LOW = 1.4426950408889634, 0.6931471803691238, 1.9082149292705877e-10


class Drive(NamedTuple):
    """The input of the low-pass of a band of pixels in an interval.

    Attributes:
        before: Value of each pixel at the start, as an index (such as a grey code) into `before_level`.
        after: Value at the end, as an index into the other tables.
        before_level: Level of each value at the start.
        after_level: Level of each value at the end.
        length: Length of the interval in units of tau.
        decay: exp(-length).
    """

    before: NDArray[Any]
    after: NDArray[Any]
    before_level: NDArray[np.float64]
    after_level: NDArray[np.float64]
    length: NDArray[np.float64]
    decay: NDArray[np.float64]


class _Active(NamedTuple):
    """The pixels of a chunk whose output may have crossed a threshold, and their outputs at the start.

    Attributes:
        pixel: Their indices.
        u: Outputs of the first stage.
        v: Outputs of the last stage.
    """

    pixel: NDArray[np.int32]
    u: NDArray[np.float64]
    v: NDArray[np.float64]


class _Response(NamedTuple):
    """The coefficients of offset + slope * x + (a + b * x) * exp(-x)."""

    offset: float
    slope: float
    a: float
    b: float


class _Piece(NamedTuple):
    """A piece of a response between two turning points: its ends in units of tau, and the outputs there."""

    left: float
    right: float
    at_left: float
    at_right: float


class _Queue(NamedTuple):
    """Crossings whose times are not solved yet, one entry each.

    Attributes:
        place: Word of the event without its time.
        level: Level that the response crosses.
        left: Start of the piece of the response that crosses it, in units of tau.
        right: End of the piece.
        at_left: Output at the start of the piece.
        at_right: Output at its end.
        offset: Coefficients of the response, as in `_Response`.
        slope: Likewise.
        a: Likewise.
        b: Likewise.
        length: Length of the interval in units of tau.
        x: Time of the crossing, when solved.
        power: Work space: 2^-n of exp(-x) = 2^-n exp(-rest).
        rest: Work space: rest.
        doubt: Work space: negative if the time is settled.
    """

    place: Words
    level: NDArray[np.float64]
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    at_left: NDArray[np.float64]
    at_right: NDArray[np.float64]
    offset: NDArray[np.float64]
    slope: NDArray[np.float64]
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    length: NDArray[np.float64]
    x: NDArray[np.float64]
    power: NDArray[np.float64]
    rest: NDArray[np.float64]
    doubt: NDArray[np.float64]


@njit(inline="always")
def _respond(order: int, start: float, slope: float, u: float, v: float) -> _Response:
    """Return the response of stages with the outputs u (first) and v (last) to the line start + slope * x."""
    offset = start - order * slope
    a = v - offset
    return _Response(offset, slope, a, u - v + a - slope if order == 2 else 0.0)


@njit(inline="always")
def _output(x: float, response: _Response) -> float:
    return response.offset + response.slope * x + (response.a + response.b * x) * math.exp(-x)


@njit(cache=True, nogil=True, error_model="numpy")
def _zero_of_rate(left: float, right: float, precision: float, slope: float, a: float, b: float) -> float:
    """Return the time in [left, right] at which slope + (b - a - b x) * exp(-x) is 0, or `right` if there is none.

    The rate is monotone there. Newton's method, halving the interval if a step leaves it.
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
    length: float, precision: float, order: int, response: _Response, points: NDArray[np.float64]
) -> int:  # fmt: skip
    """Write 0, the times at which the response turns, and `length` to `points`; return their number."""
    slope, a, b = response.slope, response.a, response.b
    count = 1
    if order == 1:
        fade = slope / a if a != 0 else 0.0  # exp(-x) where the rate is 0
        turn = -math.log(fade) if fade > 0 else length
        if 0 < turn < length:
            points[count] = turn
            count += 1
    else:
        bend = 2 - a / b if b != 0 else length  # where the rate itself turns
        bend = bend if 0 < bend < length else length
        turn = _zero_of_rate(0.0, bend, precision, slope, a, b)
        if turn < bend:
            points[count] = turn
            count += 1
        turn = _zero_of_rate(bend, length, precision, slope, a, b) if bend < length else length
        if turn < length:
            points[count] = turn
            count += 1
    points[0], points[count] = 0.0, length
    return count + 1


@njit(inline="always")
def _exponential(r: float) -> float:
    """Return exp(-r) for |r| <= ln(2) / 2 by its series to the 13th power, correct to the last bit or two."""
    y = -r
    series = 1 / 6227020800
    for coefficient in SERIES:
        series = series * y + coefficient
    return series


@njit(cache=True, nogil=True, error_model="numpy")
def _solve_safely(level: float, piece: _Piece, precision: float, response: _Response) -> float:
    """Return the time at which a monotone piece of a response reaches a level.

    Newton's method, halving the interval if a step leaves it.
    """
    left, right, rising = piece.left, piece.right, piece.at_right > piece.at_left
    offset, slope, a, b = response
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


@njit(inline="always")
def _reduce_exponents(queue: _Queue, waiting: int) -> None:
    """Write exp(-x) = 2^-n exp(-rest), with |rest| <= ln(2) / 2, to `power` (2^-n) and `rest`."""
    x, power, rest, bits = queue.x, queue.power, queue.rest, queue.power.view(np.int64)
    for k in range(waiting):
        exponent = min(x[k], LARGEST_EXPONENT)
        rounded = exponent * LOG2_E + ROUNDING
        power[k] = rounded
        n = rounded - ROUNDING
        rest[k] = exponent - n * LN2_HIGH - n * LN2_LOW
    for k in range(waiting):
        bits[k] = (1023 << 52) - (bits[k] << 52)


@njit(inline="always")
def _guess(queue: _Queue, waiting: int) -> None:
    """Set x to where a hyperbola with both ends and the first rate of each response reaches the level."""
    level, left, right, at_left, at_right = queue.level, queue.left, queue.right, queue.at_left, queue.at_right
    slope, a, b, x, power, rest = queue.slope, queue.a, queue.b, queue.x, queue.power, queue.rest
    for k in range(waiting):
        fade = power[k] * _exponential(rest[k])
        rate = slope[k] + (b[k] - a[k] - b[k] * x[k]) * fade
        part, full = level[k] - at_left[k], at_right[k] - at_left[k]
        width = right[k] - left[k]
        guess = x[k] + part / (rate - (rate - full / width) * part / full)
        x[k] = min(max(guess, left[k]), right[k])


@njit(inline="always")
def _improve(queue: _Queue, waiting: int, precision: float) -> None:
    """Improve x by a step of Halley's method, and set `doubt`, from the size of the step."""
    level, left, right, offset, slope = queue.level, queue.left, queue.right, queue.offset, queue.slope
    a, b, x, power, rest, length, doubt = queue.a, queue.b, queue.x, queue.power, queue.rest, queue.length, queue.doubt
    for k in range(waiting):
        fade = power[k] * _exponential(rest[k])
        e, f = (a[k] + b[k] * x[k]) * fade, b[k] * fade
        miss, rate, bend = offset[k] + slope[k] * x[k] + e - level[k], slope[k] + f - e, e - 2 * f
        squared = rate * rate
        halley = -2 * miss * rate / (2 * squared - miss * bend)
        x[k] = min(max(x[k] + halley, left[k]), right[k])
        doubt[k] = abs(halley * halley * halley) * (squared + bend * bend) - precision * length[k] * squared


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(queue: _Queue, waiting: int, words: Words, count: int, length_us: int) -> tuple[Words, int]:
    """Solve for the times at which the waiting responses reach their levels, and append the events to `words`.

    A first guess and two of Halley's steps, of third order: loops without branches, which the compiler vectorizes. What
    they do not settle, one crossing in a thousand, is next to a turning point, and is bracketed.
    """
    precision = PRECISION_US / length_us
    for k in range(waiting):
        queue.x[k] = queue.left[k]
    for step in range(3):
        _reduce_exponents(queue, waiting)
        if step == 0:
            _guess(queue, waiting)
        else:
            _improve(queue, waiting, precision)
    if count + waiting > words.size:
        words = grow(words)
    for k in range(waiting):
        x = queue.x[k]
        if not queue.doubt[k] < 0:
            piece = _Piece(queue.left[k], queue.right[k], queue.at_left[k], queue.at_right[k])
            response = _Response(queue.offset[k], queue.slope[k], queue.a[k], queue.b[k])
            x = _solve_safely(queue.level[k], piece, precision * queue.length[k], response)
        since_us = np.int64(min(x / queue.length[k], 1.0) * length_us + 0.5)
        words[count + k] = queue.place[k] | (since_us << TIME_SHIFT)
    return words, count + waiting


@njit(cache=True, nogil=True, error_model="numpy")
def events_of_filtered(drive: Drive, stages: NDArray[np.float64], pixels: Pixels, interval: Interval) -> Words:
    """Return the events of filtered levels, as `events_of_codes`; updates `stages` [order, N] and `pixels`."""
    active = _Active(np.empty(CHUNK_PX + 1, np.int32), np.empty(CHUNK_PX + 1), np.empty(CHUNK_PX + 1))
    words, count = np.empty(drive.after.size // 8 + QUEUE_LENGTH, np.int64), 0
    queue, waiting = _empty_queue(), 0
    for begin in range(0, drive.after.size, CHUNK_PX):
        found = _filter_chunk(begin, drive, stages, pixels, active)
        words, count, waiting = _queue_crossings(
            active, found, drive, stages, pixels, interval, queue, waiting, words, count
        )
    words, count = _solve(queue, waiting, words, count, interval.length_us)
    found_words: Words = words[:count]
    return found_words


@njit(inline="always")
def _empty_queue() -> _Queue:
    place, rows = np.empty(QUEUE_LENGTH, np.int64), np.empty((14, QUEUE_LENGTH))
    return _Queue(
        place, rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7], rows[8], rows[9], rows[10],
        rows[11], rows[12], rows[13],
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _filter_chunk(begin: int, drive: Drive, stages: NDArray[np.float64], pixels: Pixels, active: _Active) -> Any:
    """Advance the stages of a chunk of pixels to the end of an interval.

    Writes the pixels whose output may have crossed a threshold to `active`, and returns their number. A single stage
    turns only if input - output changes its sign, and otherwise stays between its two ends. Two stages stay between the
    smallest and the largest of their first values and the input's ends.

    All in one function: a helper that is inlined costs a counted reference for each array that it is given, per block.
    """
    before, after, before_level, after_level, lengths, decays = drive
    low, high, active_pixel, active_u, active_v = pixels.low, pixels.high, active.pixel, active.u, active.v
    first_stage, last_stage, one_stage = stages[0], stages[-1], stages.shape[0] == 1
    start, end, length, decay = np.empty(BLOCK_PX), np.empty(BLOCK_PX), np.empty(BLOCK_PX), np.empty(BLOCK_PX)
    old_u, old_v, outside = np.empty(BLOCK_PX), np.empty(BLOCK_PX), np.empty(BLOCK_PX, np.int64)
    count, chunk_end = np.uintp(0), min(begin + CHUNK_PX, after.size)
    for first in range(begin, chunk_end, BLOCK_PX):
        stop = min(first + BLOCK_PX, chunk_end)
        value0, value1, lowest, highest = before[first:stop], after[first:stop], low[first:stop], high[first:stop]
        u, v = first_stage[first:stop], last_stage[first:stop]
        for i in range(v.size):  # looking up separately from computing, which is then vectorized: four times as fast
            start[i] = before_level[value0[i]]
        for i in range(v.size):
            end[i] = after_level[value1[i]]
        for i in range(v.size):
            length[i] = lengths[value1[i]]
        for i in range(v.size):
            decay[i] = decays[value1[i]]
        if one_stage:
            for i in range(v.size):
                slope = (end[i] - start[i]) / length[i]
                last = end[i] - slope + (v[i] - start[i] + slope) * decay[i]
                turns = (start[i] - v[i]) * (end[i] - last) < 0
                smallest = min(v[i], min(start[i], end[i]) if turns else last)
                largest = max(v[i], max(start[i], end[i]) if turns else last)
                outside[i] = (smallest < lowest[i]) | (largest > highest[i])
                old_v[i] = v[i]
                v[i] = last
        else:
            for i in range(v.size):
                slope = (end[i] - start[i]) / length[i]
                a = v[i] - start[i] + 2 * slope
                b = u[i] - v[i] + a - slope
                smallest, largest = min(start[i], end[i], u[i], v[i]), max(start[i], end[i], u[i], v[i])
                outside[i] = (smallest < lowest[i]) | (largest > highest[i])
                old_u[i], old_v[i] = u[i], v[i]
                u[i] = end[i] - slope + (u[i] - start[i] + slope) * decay[i]
                v[i] = end[i] - 2 * slope + (a + b * length[i]) * decay[i]
        known = count
        for at in range(np.uintp(v.size)):
            active_pixel[count] = first + np.int64(at)
            count += np.uintp(outside[at])
        for k in range(known, count):
            place = np.uintp(active_pixel[k] - first)
            active_u[k], active_v[k] = old_u[place], old_v[place]
    return np.int64(count)


@njit(cache=True, nogil=True, error_model="numpy")
def _queue_crossings(
    active: _Active,
    found: int,
    drive: Drive,
    stages: NDArray[np.float64],
    pixels: Pixels,
    interval: Interval,
    queue: _Queue,
    waiting: int,
    words: Words,
    count: int,
) -> tuple[Words, int, int]:
    """Queue the crossings of the first `found` active pixels, whose outputs may turn within the interval.

    A full queue is solved and its events are appended to `words`.

    Returns:
        The words, their number, and the number of crossings that wait in the queue.
    """
    before, after, before_level, after_level, lengths, _ = drive  # here, as in `crossings`
    low, high, ref0, net, off, pos, neg = pixels
    own, counted = -np.int64(pos.size > 1), -np.int64(off.size == net.size)  # masks: all bits, or none
    order, last_stage = stages.shape[0], stages[-1]
    points, precision = np.empty(4), PRECISION_US / interval.length_us
    row = active.pixel[0] // interval.width if found else 0
    row_end = (row + 1) * interval.width
    for k in range(found):
        pixel = np.int64(active.pixel[k])
        i = np.uintp(pixel)
        while pixel >= row_end:  # the pixels are in order: no division for each
            row += 1
            row_end += interval.width
        column = pixel - row_end + interval.width
        place = ((interval.first_row + row) << ROW_SHIFT) | (column << COLUMN_SHIFT)
        thresholds = pos[np.uintp(pixel & own)], neg[np.uintp(pixel & own)]
        counts = np.int64(net[i]), np.int64(off[np.uintp(pixel & counted)])
        reference = Reference(ref0[i], *counts, *thresholds)
        start, end, length = before_level[before[i]], after_level[after[i]], lengths[after[i]]
        old, new = active.v[k], last_stage[i]
        response = _respond(order, start, (end - start) / length, active.u[k], old)
        points[0], points[1], turns = 0.0, length, 2
        if order == 2 or (start - old) * (end - new) < 0:
            turns = _turning_points(length, precision * length, order, response, points)
        at_right = old
        for number in range(1, turns):
            at_left, at_right = at_right, _output(points[number], response) if number < turns - 1 else new
            piece = _Piece(points[number - 1], points[number], at_left, at_right)
            rising = np.int64(at_right > at_left)
            step = 2 * rising - 1
            crossing = next_level(reference, step)
            while step * crossing <= step * at_right:
                if waiting == QUEUE_LENGTH:
                    words, count = _solve(queue, waiting, words, count, interval.length_us)
                    waiting = 0
                _put(queue, waiting, place | rising, crossing, piece, response, length)
                waiting += 1
                reference = move_reference(reference, step)
                crossing = next_level(reference, step)
        net[i] = reference.net
        if counted:
            off[i] = reference.off
        high[i], low[i] = hair_below(next_level(reference, 1)), hair_above(next_level(reference, -1))
    return words, count, waiting


@njit(inline="always")
def _put(
    queue: _Queue, number: int, place: int, level: float, piece: _Piece, response: _Response, length: float
) -> None:
    """Write a crossing to a place of the queue."""
    k = np.uintp(number)
    queue.place[k], queue.level[k], queue.length[k] = place, level, length
    queue.left[k], queue.right[k] = piece.left, piece.right
    queue.at_left[k], queue.at_right[k] = piece.at_left, piece.at_right
    queue.offset[k], queue.slope[k], queue.a[k], queue.b[k] = response.offset, response.slope, response.a, response.b
