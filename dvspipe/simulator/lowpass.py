"""Compiled loops: filter pixel levels with a low-pass, and solve for the threshold crossings of the output.

With E = 1 - exp(-x), the response of one or two identical stages to a linear input, relative to the initial output, is

    y(x) = slope * x + a * E + b * x * exp(-x),

where the time x and the slope are in units of the time constant, and b = 0 for one stage. It solves du/dx = input - u
and, for two stages, dv/dx = u - v. With p = input - u and q = u - v at time 0, a = p - slope for one stage, and
a = p + q - 2 slope, b = slope - p for two.

A pixel stores the level of its next ON event; each event moves this level by a threshold. The thresholds and the
initial level are multiples of 2^-40. Sums are therefore exact below 2^12, and references do not drift.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.kernels import njit
from .config import SimulatorConfig
from .levels import LINLOG_KNEE
from .words import COLUMN_SHIFT, ROW_SHIFT, TIME_SHIFT, Interval, Words, grow

FILTER_BLOCK_PX = 256
STILL_PX = 32  # pixels skipped together; divides FILTER_BLOCK_PX; small, since a person covers parts of most rows
CHUNK_PX = 1 << 12  # pixels filtered and then searched for crossings while in the cache
LEVEL_GRID = 2.0**40
PRECISION_US = 1e-3
MAX_FILTER_STEPS = 60  # search steps; bisection alone reaches the precision in this many
QUEUE_LENGTH = 256  # crossings solved together: the 14 arrays of the queue stay in the first-level cache
MAX_EXPONENT = 700.0  # exp(-700) is 1e-304: practically 0, but still a normal number
ROUNDING = 1.5 * 2.0**52  # adding it rounds a float to an integer, stored in the lowest bits
SERIES = tuple(1 / math.factorial(k) for k in range(10, -1, -1))
EXPM1_SERIES = tuple(1 / math.factorial(k) for k in range(13, 0, -1))
LOG2_E, LN2_HIGH, LN2_LOW = 1.4426950408889634, 0.6931471803691238, 1.9082149292705877e-10
FASTMATH = {"contract", "nsz"}  # allows fused multiply-add


class Decay(NamedTuple):
    """Decay of the low-pass over an interval, per pixel value.

    Attributes:
        length: Length of the interval in units of tau.
        shares: Real part, 1 - exp(-length): fraction of the initial lag that is made up. Imaginary part, 1 - (real
            part) / length: fraction of an input change that is followed. complex128 halves the look-up time of two
            numbers.
    """

    length: NDArray[np.float64]
    shares: NDArray[np.complex128]


class Darkness(NamedTuple):
    """Constants of the low-pass, which is slower in the dark: intensity of a level, and cutoff frequency.

    Attributes:
        knee: Level below which the intensity is proportional to the level.
        slope: Intensity of a level below the knee, divided by the level and `scale`.
        scale: Above the knee, the intensity is scale * exp(level) - offset.
        offset: See `scale`.
        per_us: Time constants of a white pixel per microsecond.
    """

    knee: float
    slope: float
    scale: float
    offset: float
    per_us: float

    @classmethod
    def of(cls, config: SimulatorConfig) -> Darkness:
        """Return the constants of a sensor."""
        per_us = 1e-6 * 2 * math.pi * config.cutoff_hz
        if config.intensity_map == "log":
            return cls(-math.inf, 0.0, 1.0, config.log_offset, per_us)
        knee = math.log(LINLOG_KNEE)
        return cls(knee, LINLOG_KNEE / knee, 1 / 255, 0.0, per_us)


class Drive(NamedTuple):
    """Low-pass input of a band of pixels in an interval.

    Attributes:
        before: Value of each pixel at the start, as an index (such as a grey code) into `before_level`.
        after: Value of each pixel at the end, as an index into the other tables.
        before_level: Level of each value at the start.
        after_level: Level of each value at the end.
        length: See `Decay`.
        shares: See `Decay`.
        still: Per STILL_PX pixels, whether their stages have settled at the level of their values at the start, uint8;
            updated. Settled pixels are skipped while their values do not change. Empty: unknown (required if start
            and end use different level tables).
    """

    before: NDArray[Any]
    after: NDArray[Any]
    before_level: NDArray[np.float64]
    after_level: NDArray[np.float64]
    length: NDArray[np.float64]
    shares: NDArray[np.complex128]
    still: NDArray[np.uint8]


class FilteredPixels(NamedTuple):
    """State of a band of pixels with a low-pass; see `SimulatorState`.

    Attributes:
        stages: Outputs of the low-pass stages, [order, N].
        high: Level of the next ON event.
        pos: ON threshold of each pixel.
        neg: OFF threshold of each pixel.
    """

    stages: NDArray[np.float64]
    high: NDArray[np.float64]
    pos: NDArray[np.float64]
    neg: NDArray[np.float64]


class _Active(NamedTuple):
    """Pixels of a chunk whose output may have crossed a threshold.

    Attributes:
        pixel: Indices of the pixels.
        u: Outputs of the first stage at the start.
        v: Outputs of the last stage at the start.
    """

    pixel: NDArray[np.int32]
    u: NDArray[np.float64]
    v: NDArray[np.float64]


class _Response(NamedTuple):
    """Coefficients of the response slope * x + a * (1 - exp(-x)) + b * x * exp(-x)."""

    slope: float
    a: float
    b: float


class _Queue(NamedTuple):
    """Crossings whose times are still to be solved, one entry per crossing.

    Attributes:
        place: Word of the event without its time.
        level: Level to cross.
        left: Start of the monotone piece of the response that crosses `level`, in units of tau.
        right: End of the piece.
        at_left: Response at the start of the piece.
        at_right: Response at the end of the piece.
        rate: Rate of the response at the start of the piece.
        slope: Coefficient of the response; see `_Response`.
        a: Coefficient of the response.
        b: Coefficient of the response.
        length: Length of the interval in units of tau.
        x: Solution: time of the crossing.
        power: Work space: 2^-n in exp(-x) = 2^-n exp(-rest).
        rest: Work space: rest in the same equation.
        doubt: Work space: negative if x has converged.
    """

    place: Words
    level: NDArray[np.float64]
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    at_left: NDArray[np.float64]
    at_right: NDArray[np.float64]
    rate: NDArray[np.float64]
    slope: NDArray[np.float64]
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    length: NDArray[np.float64]
    x: NDArray[np.float64]
    power: NDArray[np.float64]
    rest: NDArray[np.float64]
    doubt: NDArray[np.float64]


def start_filtered(
    levels: NDArray[np.float64], order: int, pos: NDArray[np.float64], neg: NDArray[np.float64]
) -> FilteredPixels:
    """Create pixels with settled stages and no events. `pos` and `neg` have one threshold per pixel, or one for all."""
    pos, neg = (np.broadcast_to(np.rint(each * LEVEL_GRID) / LEVEL_GRID, levels.shape).copy() for each in (pos, neg))
    return FilteredPixels(np.tile(levels, (order, 1)), np.rint(levels * LEVEL_GRID) / LEVEL_GRID + pos, pos, neg)


def decay_of_light(light: NDArray[np.float64], length_us: int, cutoff_hz: float) -> Decay:
    """Return the decay over an interval for each intensity in [0, 1]; the low-pass is slower in the dark."""
    decay = Decay(np.empty(light.size), np.empty(light.size, np.complex128))
    write_decay(light, length_us * 1e-6 * 2 * math.pi * cutoff_hz, decay.length, decay.shares.view(np.float64))
    return decay


@njit(inline="always")
def _split_exponent(x: float) -> Any:
    """Return n and rest in exp(-x) = 2^-n exp(-rest), with |rest| <= ln(2) / 2; n for `_finish_powers`."""
    exponent = min(x, MAX_EXPONENT)
    rounded = exponent * LOG2_E + ROUNDING
    n = rounded - ROUNDING
    return rounded, exponent - n * LN2_HIGH - n * LN2_LOW


@njit(inline="always")
def _finish_powers(power: NDArray[np.float64], size: int) -> None:
    """Replace n by 2^-n in a loop of its own, which the compiler vectorizes."""
    bits = power.view(np.int64)
    for k in range(size):
        bits[k] = (1023 << 52) - (bits[k] << 52)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def write_decay(
    light: NDArray[np.float64], at_white: float, length: NDArray[np.float64], shares: NDArray[np.float64]
) -> None:
    """Compute `Decay` from the interval length at white, in three loops that the compiler vectorizes.

    1 - exp(-x) = 1 - 2^-n - 2^-n (exp(-rest) - 1), with |rest| <= ln(2) / 2. The last term is a power series; the
    result is accurate to two units in the last place, also for small x.
    """
    power, rest = np.empty(FILTER_BLOCK_PX), np.empty(FILTER_BLOCK_PX)
    for first in range(0, light.size, FILTER_BLOCK_PX):
        size = min(FILTER_BLOCK_PX, light.size - first)
        for k in range(size):
            x = at_white * (light[np.uintp(first + k)] + 0.1) / 1.1
            length[np.uintp(first + k)] = x
            power[k], rest[k] = _split_exponent(x)
        _finish_powers(power, size)
        for k in range(size):
            y, series = -rest[k], 0.0
            for coefficient in EXPM1_SERIES:
                series = (series + coefficient) * y
            settled = (1 - power[k]) - power[k] * series
            shares[np.uintp(2 * (first + k))] = settled
            shares[np.uintp(2 * (first + k) + 1)] = 1 - settled / length[np.uintp(first + k)]


@njit(error_model="numpy", fastmath=FASTMATH)
def write_light(
    levels: NDArray[np.float64],
    darkness: Darkness,
    light: NDArray[np.float64],
    power: NDArray[np.float64],
    rest: NDArray[np.float64],
) -> None:
    """Write the intensities of levels, in loops that the compiler vectorizes; `power` and `rest` are work space.

    exp(level) = 2^-n exp(-rest) with |rest| <= ln(2) / 2, as in `write_decay`.
    """
    for k in range(levels.size):
        power[k], rest[k] = _split_exponent(-levels[k])
    _finish_powers(power, levels.size)
    for k in range(levels.size):
        bright = darkness.scale * power[k] * _exponential(rest[k]) - darkness.offset
        dark = darkness.scale * darkness.slope * levels[k]
        light[k] = min(max(bright if levels[k] > darkness.knee else dark, 0.0), 1.0)


@njit(inline="always")
def _make_response(order: int, lag: float, second_lag: float, slope: float) -> _Response:
    """Return the response of one stage (ignoring `second_lag`) or two stages to a linear input."""
    if order == 1:
        return _Response(slope, lag - slope, 0.0)
    return _Response(slope, lag + second_lag - 2 * slope, slope - lag)


@njit(inline="always")
def _evaluate(x: float, response: _Response) -> float:
    return response.slope * x + response.a + (response.b * x - response.a) * math.exp(-x)


@njit(cache=True, nogil=True, error_model="numpy")
def _zero_of_rate(left: float, right: float, precision: float, slope: float, a: float, b: float) -> float:
    """Return the zero of the rate slope + (a + b - b x) * exp(-x) in [left, right], or `right` if there is no zero.

    The rate must be monotone in the interval. Uses Newton's method, with bisection if a step leaves the interval.
    """
    at_left = slope + (a + b - b * left) * math.exp(-left)
    at_right = slope + (a + b - b * right) * math.exp(-right)
    if not at_left * at_right < 0:
        return right
    x = 0.5 * (left + right)
    for _ in range(MAX_FILTER_STEPS):
        fade = math.exp(-x)
        rate = slope + (a + b - b * x) * fade
        if at_left * rate > 0:
            left = x
        else:
            right = x
        bend = (b * x - a - 2 * b) * fade
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
) -> int:
    """Write the turning points of the response in (0, length), then `length`, to `points`; return their number."""
    slope, a, b = response.slope, response.a, response.b
    count = 0
    if order == 1:
        fade = -slope / a if a != 0 else 0.0  # exp(-x) at zero rate
        turn = -math.log(fade) if fade > 0 else length
        if 0 < turn < length:
            points[count] = turn
            count += 1
    else:
        bend = 2 + a / b if b != 0 else length  # turning point of the rate
        bend = bend if 0 < bend < length else length
        turn = _zero_of_rate(0.0, bend, precision, slope, a, b)
        if turn < bend:
            points[count] = turn
            count += 1
        turn = _zero_of_rate(bend, length, precision, slope, a, b) if bend < length else length
        if turn < length:
            points[count] = turn
            count += 1
    points[count] = length
    return count + 1


@njit(inline="always")
def _exponential(r: float) -> float:
    """Return exp(-r) for |r| <= ln(2) / 2 by its power series, with an error below 1e-12."""
    y = -r
    series = 1 / 39916800
    for coefficient in SERIES:
        series = series * y + coefficient
    return series


@njit(cache=True, nogil=True, error_model="numpy")
def _solve_bracketed(
    level: float, left: float, right: float, rising: bool, precision: float, response: _Response
) -> float:
    """Return the time between `left` and `right` at which a monotone response reaches `level`.

    Uses Newton's method, with bisection if a step leaves the interval.
    """
    slope, a, b = response
    x = 0.5 * (left + right)
    for _ in range(MAX_FILTER_STEPS):
        fade = math.exp(-x)
        miss = slope * x + a + (b * x - a) * fade - level
        if (miss > 0) == rising:
            right = x
        else:
            left = x
        rate = slope + (a + b - b * x) * fade
        better = x - miss / rate if rate != 0 else left
        if not left < better < right:
            better = 0.5 * (left + right)
        if abs(better - x) < precision:
            return better
        x = better
    return x


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _guess_times(queue: _Queue, waiting: int) -> None:
    """Set the initial guess of x, from a hyperbola through both ends of the piece with its initial rate."""
    level, left, right, at_left, at_right = queue.level, queue.left, queue.right, queue.at_left, queue.at_right
    rates, x = queue.rate, queue.x
    for k in range(waiting):
        part, full, width = level[k] - at_left[k], at_right[k] - at_left[k], right[k] - left[k]
        rise = rates[k] * width
        x[k] = left[k] + width * min(max(part * full / (rise * full - (rise - full) * part), 0.0), 1.0)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _refine_times(queue: _Queue, waiting: int, precision: float) -> None:
    """Improve x by one step of Halley's method, and set `doubt` from the size of the step."""
    x, power, rest = queue.x, queue.power, queue.rest
    for k in range(waiting):
        power[k], rest[k] = _split_exponent(x[k])
    _finish_powers(power, waiting)
    level, left, right, slope, a, b = queue.level, queue.left, queue.right, queue.slope, queue.a, queue.b
    length, doubt = queue.length, queue.doubt
    for k in range(waiting):
        fade = power[k] * _exponential(rest[k])
        e, f = (b[k] * x[k] - a[k]) * fade, b[k] * fade
        miss, rate, bend = slope[k] * x[k] + a[k] + e - level[k], slope[k] + f - e, e - 2 * f
        squared = rate * rate
        halley = -2 * miss * rate / (2 * squared - miss * bend)
        x[k] = min(max(x[k] + halley, left[k]), right[k])
        doubt[k] = abs(halley * halley * halley) * (squared + bend * bend) - precision * length[k] * squared


@njit(cache=True, nogil=True, error_model="numpy")
def _solve_queue(queue: _Queue, waiting: int, words: Words, count: int, length_us: int) -> tuple[Words, int]:
    """Solve the queued crossings, and append their events to `words`.

    An initial guess and two steps of Halley's method (third order) run in branch-free loops that the compiler
    vectorizes. Crossings that do not converge, mostly next to a turning point, are solved by bracketing.
    """
    precision = PRECISION_US / length_us
    _guess_times(queue, waiting)
    _refine_times(queue, waiting, precision)
    _refine_times(queue, waiting, precision)
    while count + waiting > words.size:
        words = grow(words)
    place, x, length = queue.place, queue.x, queue.length
    for k in range(waiting):
        if not queue.doubt[k] < 0:
            rising = queue.at_right[k] > queue.at_left[k]
            response = _Response(queue.slope[k], queue.a[k], queue.b[k])
            precise = precision * length[k]
            x[k] = _solve_bracketed(queue.level[k], queue.left[k], queue.right[k], rising, precise, response)
    new = words[count : count + waiting]
    for k in range(new.size):
        new[k] = place[k] | (np.int64(min(x[k] / length[k], 1.0) * length_us + 0.5) << TIME_SHIFT)
    return words, count + waiting


@njit(cache=True, nogil=True, error_model="numpy")
def events_of_filtered(drive: Drive, pixels: FilteredPixels, interval: Interval) -> Words:
    """Return the events of low-pass filtered levels, unsorted; updates `pixels`."""
    active = _Active(np.empty(CHUNK_PX + 1, np.int32), np.empty(CHUNK_PX + 1), np.empty(CHUNK_PX + 1))
    words = np.empty(drive.after.size // 8 + QUEUE_LENGTH, np.int64)
    queue = _make_queue(QUEUE_LENGTH)

    count = waiting = np.int64(0)  # a literal 0 would compile the called kernels twice
    for begin in range(0, drive.after.size, CHUNK_PX):
        found = _filter_chunk(begin, drive, pixels, active)
        done = np.int64(0)
        while done < found:
            done, waiting = _queue_crossings(active, done, found, drive, pixels, interval, queue, waiting)
            if done < found:
                if waiting == 0:
                    queue = _make_queue(2 * queue.place.size)
                words, count = _solve_queue(queue, waiting, words, count, interval.length_us)
                waiting = np.int64(0)

    words, count = _solve_queue(queue, waiting, words, count, interval.length_us)
    found_words: Words = words[:count]
    return found_words


@njit(inline="always")
def _make_queue(length: int) -> _Queue:
    place, rows = np.empty(length, np.int64), np.empty((14, length))
    return _Queue(
        place,
        rows[0],
        rows[1],
        rows[2],
        rows[3],
        rows[4],
        rows[5],
        rows[6],
        rows[7],
        rows[8],
        rows[9],
        rows[10],
        rows[11],
        rows[12],
        rows[13],
    )


@njit(inline="always")
def _next_run(begin: int, end: int, before: NDArray[Any], after: NDArray[Any], still: NDArray[np.uint8]) -> Any:
    """Find the next run of moving pixels: its first pixel, its length (up to FILTER_BLOCK_PX), and where to resume."""
    if still.size == 0:
        size = min(FILTER_BLOCK_PX, end - begin)
        return begin, size, begin + size
    at, first, size = begin, begin, 0
    while at < end and size < FILTER_BLOCK_PX:
        part, passed = min(STILL_PX, end - at), still[np.uintp(at // STILL_PX)] != 0
        if passed:
            changes = False
            for i in range(part):
                pixel = np.uintp(at + i)
                changes |= before[pixel] != after[pixel]
            passed = not changes
        if not passed:
            first = at if size == 0 else first
            size += part
        elif size > 0:
            break
        at += part
    return first, size, at


@njit(inline="always")
def _update_still(
    first: int,
    size: int,
    before: NDArray[Any],
    after: NDArray[Any],
    first_stage: NDArray[np.float64],
    last_stage: NDArray[np.float64],
    level: NDArray[np.float64],
    still: NDArray[np.uint8],
) -> None:
    """Update `still` for pixels after their stages were advanced to inputs with the levels `level`."""
    if still.size > 0:
        for at in range(0, size, STILL_PX):
            moves = False
            for i in range(at, min(at + STILL_PX, size)):
                pixel = np.uintp(first + i)
                moves |= (before[pixel] != after[pixel]) | (last_stage[pixel] != level[i])
                moves |= first_stage[pixel] != level[i]
            still[np.uintp((first + at) // STILL_PX)] = not moves


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _filter_chunk(begin: int, drive: Drive, pixels: FilteredPixels, active: _Active) -> Any:
    """Advance the stages of a chunk of pixels to the end of an interval.

    Writes the pixels whose output may have crossed a threshold to `active`, and returns their number. A single stage
    has a turning point only if input - output changes sign; otherwise it stays between its start and end. Two stages
    stay within the range of their initial outputs and the input at both ends.

    One function without slices: each slice, and each array passed to another function, would cost a reference count
    per block.
    """
    before, after, before_level, after_level, _, shares, still = drive
    stages, highs, ons, offs = pixels
    active_pixel, active_u, active_v = active.pixel, active.u, active.v
    first_stage, last_stage, one_stage = stages[0], stages[-1], stages.shape[0] == 1
    start, end, pair = np.empty(FILTER_BLOCK_PX), np.empty(FILTER_BLOCK_PX), np.empty(FILTER_BLOCK_PX, np.complex128)
    share, old_u, old_v = pair.view(np.float64), np.empty(FILTER_BLOCK_PX), np.empty(FILTER_BLOCK_PX)
    outside = np.zeros(FILTER_BLOCK_PX, np.uint8)
    eights = outside.view(np.uint64)
    count, chunk_end = np.uintp(0), min(begin + CHUNK_PX, after.size)
    stop = begin
    while stop < chunk_end:
        first, size, stop = _next_run(stop, chunk_end, before, after, still)
        base = np.uintp(first)
        # separate loops for look-up let the compiler vectorize the arithmetic: 4 times faster
        for i in range(size):
            start[i] = before_level[before[base + np.uintp(i)]]
        for i in range(size):
            end[i] = after_level[after[base + np.uintp(i)]]
        for i in range(size):
            pair[i] = shares[after[base + np.uintp(i)]]
        if one_stage:
            for i in range(size):
                pixel = base + np.uintp(i)
                settled, followed, v = share[2 * i], share[2 * i + 1], last_stage[pixel]
                lag = start[i] - v
                last = v + lag * settled + (end[i] - start[i]) * followed
                turns = lag * (end[i] - last) < 0
                smallest = min(v, min(start[i], end[i]) if turns else last)
                largest = max(v, max(start[i], end[i]) if turns else last)
                outside[i] = (smallest <= highs[pixel] - ons[pixel] - offs[pixel]) | (largest >= highs[pixel])
                old_v[i] = v
                last_stage[pixel] = last
        else:
            for i in range(size):
                pixel = base + np.uintp(i)
                settled, followed, u, v = share[2 * i], share[2 * i + 1], first_stage[pixel], last_stage[pixel]
                lag, second_lag, change = start[i] - u, u - v, end[i] - start[i]
                smallest, largest = min(start[i], end[i], u, v), max(start[i], end[i], u, v)
                outside[i] = (smallest <= highs[pixel] - ons[pixel] - offs[pixel]) | (largest >= highs[pixel])
                old_u[i], old_v[i] = u, v
                # length * exp(-length), where length = settled / (1 - followed)
                fading = settled / (1 - followed) * (1 - settled)
                first_stage[pixel] += lag * settled + change * followed
                last_stage[pixel] += lag * (settled - fading) + second_lag * settled + change * (2 * followed - settled)
        outside[size:] = 0
        known = count
        for eight in range(eights.size):
            if eights[eight]:
                for at in range(8 * eight, 8 * eight + 8):
                    active_pixel[count] = first + at
                    count += np.uintp(outside[np.uintp(at)])
        for k in range(known, count):
            place = np.uintp(active_pixel[k] - first)
            active_u[k], active_v[k] = old_u[place], old_v[place]
        _update_still(first, size, before, after, first_stage, last_stage, end, still)
    return np.int64(count)


@njit(cache=True, nogil=True, error_model="numpy")
def _queue_crossings(
    active: _Active,
    first: int,
    found: int,
    drive: Drive,
    pixels: FilteredPixels,
    interval: Interval,
    queue: _Queue,
    waiting: int,
) -> tuple[int, int]:
    """Queue the crossings of the active pixels `first` to `found` - 1.

    Stops before a pixel whose crossings do not fit into the queue; call it again with more room to resume there.

    Returns:
        Index of the active pixel at which to resume, and the number of queued crossings.
    """
    before, after, before_level, after_level, lengths, _, _ = drive  # unpacked as in `crossings`
    active_pixel, active_u, active_v = active
    stages, high, pos, neg = pixels
    places, levels, lefts, rights, at_lefts, at_rights, rates, slopes, a, b, queue_lengths, _, _, _, _ = queue
    order, last_stage, room = stages.shape[0], stages[-1], places.size
    points, precision = np.empty(3), PRECISION_US / interval.length_us
    row = active_pixel[first] // interval.width
    row_end = (row + 1) * interval.width
    for k in range(first, found):
        pixel = np.int64(active_pixel[k])
        i = np.uintp(pixel)
        while pixel >= row_end:  # pixels are in order: avoids a division per pixel
            row += 1
            row_end += interval.width
        column = pixel - row_end + interval.width
        place = ((interval.first_row + row) << ROW_SHIFT) | (column << COLUMN_SHIFT)
        start, end, length = before_level[before[i]], after_level[after[i]], lengths[after[i]]
        on, off, u, v, last = pos[i], neg[i], active_u[k], active_v[k], last_stage[i]
        lag = start - u if order == 2 else start - v
        rate = u - v if order == 2 else lag
        response = _make_response(order, lag, rate, (end - start) / length)
        points[0], pieces = length, 1
        if order == 2 or lag * (end - last) < 0:
            pieces = _turning_points(length, precision * length, order, response, points)
        left, at_left, moved, q = 0.0, 0.0, 0.0, np.uintp(waiting)
        for number in range(pieces):
            right = points[number]
            at_right = _evaluate(right, response) if number < pieces - 1 else last - v
            rising = np.int64(at_right > at_left)
            step = 2 * rising - 1
            threshold = on if rising else -off
            crossing = (high[i] if rising else high[i] - on - off) - v + moved
            while step * crossing <= step * at_right:
                if q == room:
                    return k, waiting
                places[q], levels[q], queue_lengths[q] = place | rising, crossing, length
                lefts[q], rights[q], at_lefts[q], at_rights[q] = left, right, at_left, at_right
                rates[q], slopes[q], a[q], b[q] = rate, response.slope, response.a, response.b
                q += np.uintp(1)
                moved += threshold
                crossing += threshold
            left, at_left, rate = right, at_right, 0.0
        high[i] += moved
        waiting = np.int64(q)  # type: ignore[assignment]  # `int` would stay unsigned
    return found, waiting
