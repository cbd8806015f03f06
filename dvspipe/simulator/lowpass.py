"""Compiled loops: filter pixel levels with a low-pass, and solve for the threshold crossings of the output.

With E = 1 - exp(-x), the response of one or two identical stages to a linear input, relative to the initial output, is

    y(x) = slope * x + a * E + b * x * exp(-x),

where the time x and the slope are in units of the time constant, and b = 0 for one stage. It solves du/dx = input - u
and, for two stages, dv/dx = u - v. With p = input - u and q = u - v at time 0, a = p - slope for one stage, and
a = p + q - 2 slope, b = slope - p for two.

A pixel stores the level of its next ON event; each event moves this level by a threshold. The thresholds and the
initial level are multiples of 2^-40. Sums are therefore exact below 2^12, and references do not drift.

`events_of_filtered` has three loops: `_filter_chunk` advances all pixels, and lists the few that may have crossed a
threshold; `_queue_crossings` lists their crossings; `_solve_queue` finds the times of these.
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
QUEUE_LENGTH = 256  # crossings solved together: the arrays of the queue stay in the first-level cache
MAX_EXPONENT = 700.0  # exp(-700) is 1e-304: practically 0, but still a normal number
ROUNDING = 1.5 * 2.0**52  # adding it rounds a float to an integer, stored in the lowest bits
SERIES = tuple(1 / math.factorial(k) for k in range(10, -1, -1))
EXPM1_SERIES = tuple(1 / math.factorial(k) for k in range(13, 0, -1))
LOG2_E = 1.4426950408889634
LN2_HIGH = 0.6931471803691238  # ln(2) in two parts; this one ends in 21 zero bits
LN2_LOW = 1.9082149292705877e-10
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
        address: Word of the event without its time.
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

    address: Words
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
    # On the grid, the sums of levels and thresholds are exact.
    pos = np.broadcast_to(_round_to_grid(pos), levels.shape).copy()
    neg = np.broadcast_to(_round_to_grid(neg), levels.shape).copy()
    reference = _round_to_grid(levels)

    return FilteredPixels(np.tile(levels, (order, 1)), reference + pos, pos, neg)


def _round_to_grid(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    rounded: NDArray[np.float64] = np.rint(levels * LEVEL_GRID) / LEVEL_GRID
    return rounded


def decay_of_light(light: NDArray[np.float64], length_us: int, cutoff_hz: float) -> Decay:
    """Return the decay over an interval for each intensity in [0, 1]; the low-pass is slower in the dark."""
    decay = Decay(np.empty(light.size), np.empty(light.size, np.complex128))
    at_white = length_us * 1e-6 * 2 * math.pi * cutoff_hz

    write_decay(light, at_white, decay.length, decay.shares.view(np.float64))
    return decay


@njit(inline="always")
def _split_exponent(x: float) -> Any:
    """Return n and rest in exp(-x) = 2^-n exp(-rest), with |rest| <= ln(2) / 2; n for `_finish_powers`."""
    exponent = min(x, MAX_EXPONENT)

    # The sum rounds x / ln(2) to an integer, and holds it in its lowest bits, where `_finish_powers` reads it.
    rounded = exponent * LOG2_E + ROUNDING
    n = rounded - ROUNDING

    # ln(2) in two parts: n * LN2_HIGH is exact, so little is lost in the difference of two nearly equal numbers.
    return rounded, exponent - n * LN2_HIGH - n * LN2_LOW


@njit(inline="always")
def _finish_powers(power: NDArray[np.float64], size: int) -> None:
    """Replace n by 2^-n in a loop of its own, which the compiler vectorizes."""
    bits = power.view(np.int64)
    for k in range(size):
        # A float64 has its exponent in the bits from 52 on, with a bias of 1023: these bits alone are 2^-n.
        bits[k] = (1023 << 52) - (bits[k] << 52)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def write_decay(
    light: NDArray[np.float64], at_white: float, length: NDArray[np.float64], shares: NDArray[np.float64]
) -> None:
    """Compute `Decay` from the interval length at white, in three loops that the compiler vectorizes.

    1 - exp(-x) = 1 - 2^-n - 2^-n (exp(-rest) - 1), with |rest| <= ln(2) / 2. The last term is a power series; the
    result is accurate to two units in the last place, also for small x.
    """
    # light [N] and length [N] have an entry per pixel value; shares [2 N] has the real and the imaginary part of each.
    # tau is 1.1 / (light + 0.1) of its value at white (Hu et al. 2021, section 3.3), so x = length / tau is
    # at_white * (light + 0.1) / 1.1. Entry first + k of the tables is entry k of the work space.
    power = np.empty(FILTER_BLOCK_PX)
    rest = np.empty(FILTER_BLOCK_PX)

    for first in range(0, light.size, FILTER_BLOCK_PX):
        size = min(FILTER_BLOCK_PX, light.size - first)
        for k in range(size):
            x = at_white * (light[np.uintp(first + k)] + 0.1) / 1.1
            length[np.uintp(first + k)] = x
            power[k], rest[k] = _split_exponent(x)

        _finish_powers(power, size)

        for k in range(size):
            y = -rest[k]

            # The series is exp(y) - 1 without its leading 1: subtracting the 1 afterwards would lose small x.
            series = 0.0
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
    # levels, light, power and rest have an entry per pixel, [N]. See `Darkness` for the law on both sides of the knee.
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

    # a and b of the module, with p = lag and q = second_lag.
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
        # Halve the bracket: the rate has the sign of its left end up to the zero.
        fade = math.exp(-x)
        rate = slope + (a + b - b * x) * fade
        if at_left * rate > 0:
            left = x
        else:
            right = x

        bend = (b * x - a - 2 * b) * fade  # derivative of the rate
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
    # The rate of the response is slope + (a + b - b x) * exp(-x): with one stage (b = 0), it has at most one zero, at
    # exp(-x) = -slope / a. With two, it is monotone on both sides of its own turning point x = 2 + a / b, so it has
    # at most one zero on each. points [3] has room for both zeros and the end of the interval.
    slope = response.slope
    a = response.a
    b = response.b
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
    series = 1 / 39916800  # 1 / 11!, the coefficient before SERIES
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

        # A monotone response is beyond the level on one side of the crossing only.
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
    # In a piece, let p be the share of its width, s = full * p / (p + (full / rise) * (1 - p)) the hyperbola with
    # s(0) = 0, s(1) = full and s'(0) = rise. It reaches `part` at p = part full / (rise full - (rise - full) part).
    level = queue.level
    left = queue.left
    right = queue.right
    at_left = queue.at_left
    at_right = queue.at_right
    rates = queue.rate
    x = queue.x

    for k in range(waiting):
        part = level[k] - at_left[k]
        full = at_right[k] - at_left[k]
        width = right[k] - left[k]
        rise = rates[k] * width

        share = part * full / (rise * full - (rise - full) * part)
        x[k] = left[k] + width * min(max(share, 0.0), 1.0)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _refine_times(queue: _Queue, waiting: int, precision: float) -> None:
    """Improve x by one step of Halley's method, and set `doubt` from the size of the step."""
    # Halley's step for the zero of f, here the response minus the level, is -2 f f' / (2 f'^2 - f f''). With
    # e = (b x - a) exp(-x) and f = b exp(-x): the response is slope x + a + e, its rate slope + f - e, and its bend
    # e - 2 f. All arrays have an entry per queued crossing k.
    x = queue.x
    power = queue.power
    rest = queue.rest
    for k in range(waiting):
        power[k], rest[k] = _split_exponent(x[k])

    _finish_powers(power, waiting)

    level = queue.level
    left = queue.left
    right = queue.right
    slope = queue.slope
    a = queue.a
    b = queue.b
    length = queue.length
    doubt = queue.doubt

    for k in range(waiting):
        fade = power[k] * _exponential(rest[k])
        e = (b[k] * x[k] - a[k]) * fade
        f = b[k] * fade
        miss = slope[k] * x[k] + a[k] + e - level[k]
        rate = slope[k] + f - e
        bend = e - 2 * f

        squared = rate * rate
        halley = -2 * miss * rate / (2 * squared - miss * bend)
        x[k] = min(max(x[k] + halley, left[k]), right[k])

        # The method is of third order: x has converged if |halley|^3 (1 + (bend / rate)^2) < precision * length. Both
        # sides are multiplied by rate^2, since the rate is 0 at a turning point.
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

    address = queue.address
    x = queue.x
    length = queue.length
    for k in range(waiting):
        if not queue.doubt[k] < 0:  # also if it is not a number
            rising = queue.at_right[k] > queue.at_left[k]
            response = _Response(queue.slope[k], queue.a[k], queue.b[k])
            precise = precision * length[k]
            x[k] = _solve_bracketed(queue.level[k], queue.left[k], queue.right[k], rising, precise, response)

    new = words[count : count + waiting]
    for k in range(new.size):
        new[k] = address[k] | (np.int64(min(x[k] / length[k], 1.0) * length_us + 0.5) << TIME_SHIFT)
    return words, count + waiting


@njit(cache=True, nogil=True, error_model="numpy")
def events_of_filtered(drive: Drive, pixels: FilteredPixels, interval: Interval) -> Words:
    """Return the events of low-pass filtered levels, unsorted; updates `pixels`."""
    active = _Active(np.empty(CHUNK_PX + 1, np.int32), np.empty(CHUNK_PX + 1), np.empty(CHUNK_PX + 1))
    words = np.empty(drive.after.size // 8 + QUEUE_LENGTH, np.int64)
    queue = _make_queue(QUEUE_LENGTH)

    count = waiting = np.int64(0)  # a literal 0 would compile the called kernels twice
    for begin in range(0, drive.after.size, CHUNK_PX):
        active_pixels = _filter_chunk(begin, drive, pixels, active)
        first = np.int64(0)
        while first < active_pixels:
            first, waiting = _queue_crossings(active, first, active_pixels, drive, pixels, interval, queue, waiting)
            if first < active_pixels:
                # An empty queue is too small for a single pixel: only then it grows.
                if waiting == 0:
                    queue = _make_queue(2 * queue.address.size)
                words, count = _solve_queue(queue, waiting, words, count, interval.length_us)
                waiting = np.int64(0)

    words, count = _solve_queue(queue, waiting, words, count, interval.length_us)
    filled: Words = words[:count]
    return filled


@njit(inline="always")
def _make_queue(length: int) -> _Queue:
    """Return an empty queue; its fields, except the addresses, are rows of a single array."""
    addresses = np.empty(length, np.int64)
    rows = np.empty((14, length))
    return _Queue(
        addresses,
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

    position = begin
    first = begin
    size = 0
    while position < end and size < FILTER_BLOCK_PX:
        # A settled part is skipped unless one of its values changes.
        part = min(STILL_PX, end - position)
        skipped = still[np.uintp(position // STILL_PX)] != 0
        if skipped:
            changes = False
            for i in range(part):
                pixel = np.uintp(position + i)
                changes |= before[pixel] != after[pixel]
            skipped = not changes

        if not skipped:
            first = position if size == 0 else first
            size += part
        elif size > 0:
            break
        position += part
    return first, size, position


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
        for offset in range(0, size, STILL_PX):
            moves = False
            for i in range(offset, min(offset + STILL_PX, size)):
                pixel = np.uintp(first + i)
                moves |= (before[pixel] != after[pixel]) | (last_stage[pixel] != level[i])
                moves |= first_stage[pixel] != level[i]
            still[np.uintp((first + offset) // STILL_PX)] = not moves


@njit(inline="always")
def _make_block() -> Any:
    """Return work space for a block: inputs at the start and the end, shares in both views, old outputs, and flags."""
    pair = np.empty(FILTER_BLOCK_PX, np.complex128)
    outside = np.zeros(FILTER_BLOCK_PX, np.uint8)
    return (
        np.empty(FILTER_BLOCK_PX),
        np.empty(FILTER_BLOCK_PX),
        pair,
        pair.view(np.float64),
        np.empty(FILTER_BLOCK_PX),
        np.empty(FILTER_BLOCK_PX),
        outside,
        outside.view(np.uint64),
    )


@njit(inline="always")
def _look_up_inputs(
    before: NDArray[Any],
    after: NDArray[Any],
    before_level: NDArray[np.float64],
    after_level: NDArray[np.float64],
    shares: NDArray[np.complex128],
    base: Any,
    size: int,
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    pair: NDArray[np.complex128],
) -> None:
    """Write the levels of a block at the start and the end, and its shares (see `Decay`)."""
    # Separate loops for look-up let the compiler vectorize the arithmetic: 4 times faster.
    for i in range(size):
        start[i] = before_level[before[base + np.uintp(i)]]
    for i in range(size):
        end[i] = after_level[after[base + np.uintp(i)]]
    for i in range(size):
        pair[i] = shares[after[base + np.uintp(i)]]


@njit(inline="always")
def _list_active(
    first: int,
    old_u: NDArray[np.float64],
    old_v: NDArray[np.float64],
    outside: NDArray[np.uint8],
    eights: NDArray[np.uint64],
    active_pixel: NDArray[np.int32],
    active_u: NDArray[np.float64],
    active_v: NDArray[np.float64],
    count: Any,
) -> Any:
    """Append the flagged pixels of a block to the active ones, with their old outputs; return the number of all."""
    known = count
    for eight in range(eights.size):  # eight flags at a time: most are 0
        if eights[eight]:
            for i in range(8 * eight, 8 * eight + 8):
                # Written for every pixel and counted for flagged ones: needs no branch.
                active_pixel[count] = first + i
                count += np.uintp(outside[np.uintp(i)])

    for k in range(known, count):
        entry = np.uintp(active_pixel[k] - first)
        active_u[k] = old_u[entry]
        active_v[k] = old_v[entry]
    return count


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def _filter_chunk(begin: int, drive: Drive, pixels: FilteredPixels, active: _Active) -> Any:
    """Advance the stages of a chunk of pixels to the end of an interval.

    Writes the pixels whose output may have crossed a threshold to `active`, and returns their number. A single stage
    has a turning point only if input - output changes sign; otherwise it stays between its start and end. Two stages
    stay within the range of their initial outputs and the input at both ends.

    Without slices, and with inlined parts: each slice, and each array passed to another function, would cost a
    reference count per block.
    """
    # With the shares of `Decay` and the initial lags p = input - u and q = u - v, where u and v are the outputs of the
    # first and the last stage, an interval moves one stage by p * settled + (end - start) * followed. Index i is a
    # pixel of a block, `pixel` = first + i a pixel of the band.
    before, after, before_level, after_level, _, shares, still = drive
    stages, high, pos, neg = pixels
    active_pixel = active.pixel
    active_u = active.u
    active_v = active.v
    first_stage = stages[0]
    last_stage = stages[-1]
    one_stage = stages.shape[0] == 1
    start, end, pair, share, old_u, old_v, outside, eights = _make_block()

    count = np.uintp(0)
    chunk_end = min(begin + CHUNK_PX, after.size)
    stop = begin
    while stop < chunk_end:
        first, size, stop = _next_run(stop, chunk_end, before, after, still)
        base = np.uintp(first)
        _look_up_inputs(before, after, before_level, after_level, shares, base, size, start, end, pair)

        if one_stage:
            for i in range(size):
                pixel = base + np.uintp(i)
                settled = share[2 * i]
                followed = share[2 * i + 1]
                v = last_stage[pixel]
                lag = start[i] - v
                last = v + lag * settled + (end[i] - start[i]) * followed

                turns = lag * (end[i] - last) < 0
                smallest = min(v, min(start[i], end[i]) if turns else last)
                largest = max(v, max(start[i], end[i]) if turns else last)
                outside[i] = (smallest <= high[pixel] - pos[pixel] - neg[pixel]) | (largest >= high[pixel])
                old_v[i] = v
                last_stage[pixel] = last
        else:
            for i in range(size):
                pixel = base + np.uintp(i)
                settled = share[2 * i]
                followed = share[2 * i + 1]
                u = first_stage[pixel]
                v = last_stage[pixel]
                smallest = min(start[i], end[i], u, v)
                largest = max(start[i], end[i], u, v)
                outside[i] = (smallest <= high[pixel] - pos[pixel] - neg[pixel]) | (largest >= high[pixel])
                old_u[i] = u
                old_v[i] = v

                # length * exp(-length), where length = settled / (1 - followed)
                fading = settled / (1 - followed) * (1 - settled)
                lag = start[i] - u
                change = end[i] - start[i]
                first_stage[pixel] += lag * settled + change * followed
                last_stage[pixel] += lag * (settled - fading) + (u - v) * settled + change * (2 * followed - settled)

        outside[size:] = 0
        count = _list_active(first, old_u, old_v, outside, eights, active_pixel, active_u, active_v, count)
        _update_still(first, size, before, after, first_stage, last_stage, end, still)
    return np.int64(count)


@njit(cache=True, nogil=True, error_model="numpy")
def _queue_crossings(
    active: _Active,
    first: int,
    active_pixels: int,
    drive: Drive,
    pixels: FilteredPixels,
    interval: Interval,
    queue: _Queue,
    waiting: int,
) -> tuple[int, int]:
    """Queue the crossings of the active pixels `first` to `active_pixels` - 1.

    Stops before a pixel whose crossings do not fit into the queue; call it again with more room to resume there.

    Returns:
        Index of the active pixel at which to resume, and the number of queued crossings.
    """
    # The output moves monotonically between its turning points. In each such piece it crosses the next level, and the
    # levels beyond it in steps of a threshold, up to its level at the end of the piece. Levels are relative to the
    # initial output v. Index i, or `pixel`, is a pixel of the band; k an active pixel; q a crossing of the queue.
    before, after, before_level, after_level, lengths, _, _ = drive  # unpacked as in `crossings`
    active_pixel, active_u, active_v = active
    stages, high, pos, neg = pixels
    addresses, levels, lefts, rights, at_lefts, at_rights, rates, slopes, a, b, queue_lengths, _, _, _, _ = queue
    order = stages.shape[0]
    last_stage = stages[-1]
    points = np.empty(3)
    precision = PRECISION_US / interval.length_us
    row = active_pixel[first] // interval.width
    row_end = (row + 1) * interval.width
    for k in range(first, active_pixels):
        pixel = np.int64(active_pixel[k])
        i = np.uintp(pixel)
        while pixel >= row_end:  # pixels are in order: avoids a division per pixel
            row += 1
            row_end += interval.width
        column = pixel - row_end + interval.width
        address = ((interval.first_row + row) << ROW_SHIFT) | (column << COLUMN_SHIFT)

        start = before_level[before[i]]
        end = after_level[after[i]]
        length = lengths[after[i]]
        on_threshold, off_threshold = pos[i], neg[i]
        u = active_u[k]
        v = active_v[k]
        last = last_stage[i]
        lag = start - u if order == 2 else start - v
        rate = u - v if order == 2 else lag
        response = _make_response(order, lag, rate, (end - start) / length)
        points[0] = length
        pieces = 1
        if order == 2 or lag * (end - last) < 0:  # a single stage turns only if input - output changes sign
            pieces = _turning_points(length, precision * length, order, response, points)

        left = at_left = moved = 0.0
        q = np.uintp(waiting)
        for number in range(pieces):
            right = points[number]
            at_right = _evaluate(right, response) if number < pieces - 1 else last - v
            rising = np.int64(at_right > at_left)
            step = 2 * rising - 1
            threshold = on_threshold if rising else -off_threshold
            crossing = (high[i] if rising else high[i] - on_threshold - off_threshold) - v + moved
            while step * crossing <= step * at_right:
                if q == addresses.size:
                    return k, waiting
                addresses[q] = address | rising
                levels[q] = crossing
                queue_lengths[q] = length
                lefts[q], rights[q] = left, right
                at_lefts[q], at_rights[q] = at_left, at_right
                rates[q] = rate
                slopes[q], a[q], b[q] = response
                q += np.uintp(1)
                moved += threshold
                crossing += threshold
            left, at_left = right, at_right
            rate = 0.0  # a piece begins at a turning point

        high[i] += moved
        waiting = np.int64(q)  # type: ignore[assignment]  # `int` would stay unsigned
    return active_pixels, waiting
