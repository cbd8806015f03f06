"""Compiled loops: find the threshold crossings of pixels in an interval.

In an interval, the level L of a pixel follows a straight line with `slope`. Without a low-pass, the output V is L. With
one, dV/dt = rate * (L - V), and after the time t the output is

    V(t) = V0 + slope * t + a * (1 - exp(-rate * t)),   a = L0 - V0 - slope / rate.

It turns at most once, where exp(-rate * t) = -slope / (rate * a). On both sides of this time it is monotone, and
crosses the thresholds in one direction.

The reference of a pixel is ref0 + net * pos + off * (pos - neg), with net the number of ON minus OFF events and off
the number of OFF events. It is always computed from these integers: it never drifts, and with equal thresholds it
returns to exactly the same value. The next crossing up or down is the reference after that event, by the same formula.
A grey value that returns to a previous reference therefore fires, regardless of rounding.

Most pixels of most frames are quiet: their output stays between two levels, and this test is their only cost.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.kernels import njit

Words = NDArray[np.int64]
"""Events packed into 64-bit words; sorting the words sorts the events by time, row, column and polarity.

Bits, from the highest down: 0; 31 bits of microseconds; 0; 15 bits row; 15 bits column; 1 bit ON."""

MAX_INTERVAL_US = 2**31 - 1
TIME_SHIFT = 32
ROW_SHIFT = 16
COLUMN_SHIFT = 1
COORDINATE_MASK = 2**15 - 1

REF0, NET_COUNT, OFF_COUNT, POS, NEG = range(5)  # columns of `Pixels.references`

BLOCK_PX = 2048
PRECISION_US = 1.0
MAX_NEWTON_STEPS = 60


class Levels(NamedTuple):
    """Levels of N pixels: pixel i has the level table[codes[i]].

    Attributes:
        codes: Grey codes or, if each pixel has its own level, the numbers of the pixels, [N].
        table: Level of each code, float64.
    """

    codes: NDArray[Any]
    table: NDArray[np.float64]


class Decay(NamedTuple):
    """Low-pass in an interval, for each code of the levels at its end; float64.

    Attributes:
        rate: 1 / tau, per microsecond.
        settled: Fraction of the initial difference of input and output that is made up.
        followed: Fraction of the change of the input that is followed.
    """

    rate: NDArray[np.float64]
    settled: NDArray[np.float64]
    followed: NDArray[np.float64]


class Pixels(NamedTuple):
    """State of N pixels.

    Attributes:
        references: Columns ref0, net, off, pos and neg of the module, float64 [N, 5]. Only pixels that may fire need
            them: a row is in one or two cache lines.
        low: Level of the next OFF event, rounded to float32. Rounding keeps the order: a level that reaches the event
            also does so rounded, and the few others are found by the references.
        high: Level of the next ON event, likewise.
        output: Output of the low-pass, float64; unused without one.
        address: Row and column, packed as in `Words`, int32.
    """

    references: NDArray[np.float64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    output: NDArray[np.float64]
    address: NDArray[np.int32]


class _Block(NamedTuple):
    """Levels of a block of pixels at the start and end of the interval, and outputs at its start and end."""

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]


def start_pixels(levels: NDArray[np.float64], width: int, pos: NDArray[Any], neg: NDArray[Any]) -> Pixels:
    """Create pixels whose references are their levels; with a low-pass, its output has settled at the level."""
    rows = np.arange(levels.size // width, dtype=np.int32)[:, None]
    columns = np.arange(width, dtype=np.int32)
    address = ((rows << ROW_SHIFT) | (columns << COLUMN_SHIFT)).ravel()
    references = np.zeros((levels.size, 5))
    references[:, REF0] = levels
    references[:, POS] = pos
    references[:, NEG] = neg
    low, high = (levels - neg).astype(np.float32), (levels + pos).astype(np.float32)
    return Pixels(references, low, high, levels, address)


def number_pixels(levels: NDArray[np.float64]) -> Levels:
    """Return the levels of pixels that have a level of their own."""
    return Levels(np.arange(levels.size, dtype=np.int32), levels)


def select_pixels(levels: Levels, pixels: NDArray[np.int64]) -> Levels:
    """Return the levels of some pixels."""
    return number_pixels(levels.table[levels.codes[pixels]])


@njit(cache=True, nogil=True)
def look_up(table: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
    """Return table[codes]; 30 times as fast as numpy with grey codes."""
    values = np.empty(codes.size, table.dtype)
    for i in range(codes.size):
        values[i] = table[codes[i]]
    return values


@njit(inline="always")
def _next_level(ref0: float, net: Any, off: Any, pos: float, neg: float, step: Any) -> Any:
    """Return the level of the next ON (step 1) or OFF (step -1) event: the reference after this event."""
    # (1 - step) // 2 is 1 for an OFF event, else 0.
    return ref0 + (net + step) * pos + (off + (1 - step) // 2) * (pos - neg)


@njit(cache=True, nogil=True, error_model="numpy")
def find_crossings(before: Levels, after: Levels, decay: Decay | None, pixels: Pixels, length_us: int) -> Words:
    """Return the threshold crossings in an interval, pixel by pixel; updates `pixels`.

    Times count from the start of the interval, and are rounded to the nearest microsecond.

    Args:
        before: Levels at the start.
        after: Levels at the end.
        decay: Low-pass; None: the output is the level.
        pixels: State of the pixels.
        length_us: Length of the interval.
    """
    # Index k is a pixel of a block, base + k a pixel of the arrays. A pixel may fire if its output leaves (low, high):
    # these pixels are listed first, then processed one by one.
    start = np.empty(BLOCK_PX)
    end = np.empty(BLOCK_PX)
    block = _Block(start, end, start, end)
    if decay is not None:
        block = _Block(start, end, np.empty(BLOCK_PX), np.empty(BLOCK_PX))
    fires = np.empty(BLOCK_PX, np.bool_)
    active = np.empty(BLOCK_PX + 1, np.int64)
    words = np.empty(after.codes.size // 4 + BLOCK_PX, np.int64)
    count = np.int64(0)

    for begin in range(0, after.codes.size, BLOCK_PX):
        size = min(BLOCK_PX, after.codes.size - begin)
        base = np.uintp(begin)
        for k in range(size):
            start[k] = before.table[before.codes[base + np.uintp(k)]]
        for k in range(size):
            end[k] = after.table[after.codes[base + np.uintp(k)]]
        if decay is None:
            for k in range(size):
                pixel = base + np.uintp(k)
                level = np.float32(end[k])
                fires[k] = (level <= pixels.low[pixel]) | (level >= pixels.high[pixel])
        else:
            _filter(base, size, after.codes, decay, pixels, block, fires)

        # Each number is written, and overwritten by the next one unless its pixel may fire: needs no branch.
        listed = np.uintp(0)
        for k in range(size):
            active[listed] = k
            listed += np.uintp(fires[k])

        # An output stays within the range of its start and both levels, and turns at most once.
        room = 0.0
        for k in active[:listed]:
            span = abs(end[k] - start[k]) + abs(block.first[k] - start[k])
            room += 2 + 2 * span / min(pixels.references[begin + k, POS], pixels.references[begin + k, NEG])
        if count + room > words.size:
            more = np.empty(int(2 * words.size + room), np.int64)
            more[:count] = words[:count]
            words = more

        count = _fire(active[:listed], base, block, after.codes, decay, pixels, length_us, words, count)
    return words[:count]


@njit(error_model="numpy")
def _filter(
    base: Any, size: int, codes: NDArray[Any], decay: Decay, pixels: Pixels, block: _Block, fires: NDArray[np.bool_]
) -> None:
    """Advance the low-pass of a block to the end of the interval, and mark the pixels that may fire."""
    # Separate loops for look-up let the compiler vectorize the arithmetic.
    start, end, first, last = block
    output = pixels.output
    settled = np.empty(BLOCK_PX)
    followed = np.empty(BLOCK_PX)
    for k in range(size):
        first[k] = output[base + np.uintp(k)]
    for k in range(size):
        settled[k] = decay.settled[codes[base + np.uintp(k)]]
    for k in range(size):
        followed[k] = decay.followed[codes[base + np.uintp(k)]]

    for k in range(size):
        pixel = base + np.uintp(k)
        lag = start[k] - first[k]
        reached = first[k] + lag * settled[k] + (end[k] - start[k]) * followed[k]

        # The output turns if input - output changes sign.
        turns = lag * (end[k] - reached) < 0
        least = min(first[k], min(start[k], end[k]) if turns else reached)
        most = max(first[k], max(start[k], end[k]) if turns else reached)
        fires[k] = (np.float32(least) <= pixels.low[pixel]) | (np.float32(most) >= pixels.high[pixel])
        last[k] = reached
        output[pixel] = reached


@njit(error_model="numpy")
def _fire(
    active: NDArray[np.int64],
    base: Any,
    block: _Block,
    codes: NDArray[Any],
    decay: Decay | None,
    pixels: Pixels,
    length_us: int,
    words: Words,
    count: int,
) -> int:
    """Write the events of the active pixels of a block to `words`, starting at number `count`; return the number."""
    # Number k is a pixel of the block. Its output is monotone in one piece or two, from (left, at_left) to (right,
    # at_right). In a piece it crosses the next level, and the levels beyond it in the same direction.
    references, low, high, _, address = pixels
    slope = a = rate = 0.0
    for number in active:
        k = np.uintp(number)
        pixel = base + k
        ref0 = references[pixel, REF0]
        pos = references[pixel, POS]
        neg = references[pixel, NEG]
        net = references[pixel, NET_COUNT]
        off = references[pixel, OFF_COUNT]

        last = block.last[k]
        left = 0.0
        at_left = first = block.first[k]
        right = np.float64(length_us)
        at_right = last
        if decay is not None:
            lag = block.start[k] - first
            rate = decay.rate[codes[pixel]]
            slope = (block.end[k] - block.start[k]) / length_us
            a = lag - slope / rate
            turn = -math.log(-slope / (rate * a)) / rate if lag * (block.end[k] - last) < 0 else right
            if 0 < turn < length_us:
                right = turn
                at_right = first + slope * turn + a + slope / rate

        while True:
            rising = np.int64(at_right > at_left)
            step = 2 * rising - 1
            scale = (right - left) / (at_right - at_left)
            crossing = _next_level(ref0, net, off, pos, neg, step)
            while step * crossing <= step * at_right:
                t = left + (crossing - at_left) * scale
                if decay is not None:
                    t = _refine(t, left, right, crossing - first, slope, a, rate)
                words[count] = (np.int64(t + 0.5) << TIME_SHIFT) | address[pixel] | rising
                count += 1
                net += step
                off += 1 - rising
                crossing = _next_level(ref0, net, off, pos, neg, step)
            if decay is None or right >= length_us:
                break
            left, at_left = right, at_right
            right, at_right = np.float64(length_us), last

        references[pixel, NET_COUNT] = net
        references[pixel, OFF_COUNT] = off
        low[pixel] = _next_level(ref0, net, off, pos, neg, -1)
        high[pixel] = _next_level(ref0, net, off, pos, neg, 1)
    return count


@njit(error_model="numpy")
def _refine(t: float, left: float, right: float, rise: float, slope: float, a: float, rate: float) -> float:
    """Return the time in a monotone piece at which the output has risen by `rise`, by Newton's method from t."""
    # The response has no inflection, so after one step all times are on one side of the crossing and approach it; the
    # first step may leave the piece. After a step, the error is about step^2 * bend / (2 * speed).
    for _ in range(MAX_NEWTON_STEPS):
        fade = a * math.exp(-rate * t)
        miss = slope * t + a - fade - rise
        if miss == 0:
            break
        speed = slope + rate * fade
        step = miss / speed
        t = min(max(t - step, left), right)
        if step * step * abs(rate * rate * fade) < 2 * PRECISION_US * abs(speed):
            break
    return t
