"""Events that no change of light causes: leak, shot noise, hot pixels.

The cost goes with the number of noise events, not with the number of pixels. Random numbers come from counters (the
output function of SplitMix64: Steele, Lea and Flood 2014): what a row or pixel draws in an interval depends on the
seed, the number of the frame, and the row or pixel, so that any chunking and any number of threads give the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..events import SensorSize
from .config import SimulatorConfig
from .words import COLUMN_SHIFT, NOISE_SHIFT, ROW_SHIFT, TIME_SHIFT, Words, grown

SHOT_NOISE_AT_WHITE = 0.25  # of the rate in the dark; v2e's SHOT_NOISE_INTEN_FACTOR
LEAST_LEAK_PERIOD = 0.1  # of the mean time between two leak events, however they jitter

BLOCK_PX = 64  # of a row, of which most are not due to leak

MOST_EXPECTED = 16.0  # events whose number is drawn at once, by adding up its distribution
MOST_DRAWN = 200  # of them; more have a probability of 1e-130, and rounding could make the search endless

SHOT, LEAK, HOT = 1, 2, 3
"""What random numbers are drawn for."""


@dataclass
class NoiseState:
    """What the noise remembers between two frames.

    Args:
        next_leak_us: int64 [H, W], time of each pixel's next leak event; [0, 0] where nothing leaks.
        block_leak_us: int64 [H, W / BLOCK_PX], the earliest of these of each block of a row: most are not due.
        hot: int32, the hot pixels in ascending order.
    """

    next_leak_us: NDArray[np.int64]
    block_leak_us: NDArray[np.int64]
    hot: NDArray[np.int32]

    def band(self, first_row: int, stop_row: int, width: int) -> NoiseState:
        """The state of some rows, a view of this one but for the hot pixels, which count from 0."""
        rows, first = slice(first_row, stop_row), first_row * width
        low, high = np.searchsorted(self.hot, (first, stop_row * width))
        return NoiseState(self.next_leak_us[rows], self.block_leak_us[rows], self.hot[low:high] - np.int32(first))


def start_noise(config: SimulatorConfig, sensor: SensorSize, t_us: int, rng: np.random.Generator) -> NoiseState:
    """The state before the first interval: every pixel somewhere in its first leak period, hot pixels chosen."""
    pixels = sensor.width * sensor.height
    first_us = np.zeros((0, 0), np.int64)
    if config.leak_rate_hz:
        waiting_us = rng.random((sensor.height, sensor.width)) * (1e6 / config.leak_rate_hz)
        first_us = t_us + np.ceil(waiting_us).astype(np.int64)
    blocks = range(0, first_us.shape[1], BLOCK_PX)
    earliest = [first_us[:, begin : begin + BLOCK_PX].min(axis=1) for begin in blocks]
    hot = rng.permutation(pixels)[: round(config.hot_pixel_fraction * pixels)]
    block_us = np.stack(earliest, axis=1) if earliest else first_us.copy()
    return NoiseState(first_us, block_us, np.sort(hot).astype(np.int32))


def emit_noise(
    config: SimulatorConfig, state: NoiseState, number: int, t0_us: int, interval_us: int, first_row: int, width: int,
    values: NDArray[Any], light: NDArray[np.float64],
) -> list[Words]:  # fmt: skip
    """The noise events of a band of rows in an interval.

    Args:
        config: The rates.
        state: Changed in place.
        number: The number of the frame that ends the interval.
        t0_us: Time of the frame before it.
        interval_us: The interval.
        first_row: The band's first row.
        width: The number of columns.
        values: The band's pixels, as indices into `light`.
        light: I in [0, 1].
    """
    seed, events = np.uint64(config.seed), []
    if config.leak_rate_hz:
        jitter, period_us = config.leak_jitter_fraction, 1e6 / config.leak_rate_hz
        leaks = state.next_leak_us, state.block_leak_us
        events.append(_leak(seed, jitter, period_us, *leaks, t0_us, interval_us, first_row, width))
    if config.shot_noise_rate_hz:
        per_us = config.shot_noise_rate_hz * 1e-6
        events.append(_shot(seed, per_us, number, interval_us, first_row, width, values, light))
    if config.hot_pixel_rate_hz and state.hot.size:
        events.append(_hot(seed, 1e6 / config.hot_pixel_rate_hz, number, state.hot, interval_us, first_row, width))
    return events


@njit(inline="always")
def _mixed(counter: np.uint64) -> np.uint64:
    """SplitMix64's output for a counter."""
    z = counter * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(inline="always")
def _key(seed: np.uint64, purpose: int, major: int, minor: int) -> np.uint64:
    """Where a sequence of counters begins."""
    key: np.uint64 = _mixed(_mixed(_mixed(seed + np.uint64(purpose)) + np.uint64(major)) + np.uint64(minor))
    return key


@njit(inline="always")
def _share(drawn: np.uint64) -> float:
    """A number between 0 and 1, neither of them, from the upper 53 bits."""
    return (np.int64(drawn >> np.uint64(11)) + 0.5) * 2.0**-53


@njit(inline="always")
def _waiting(counter: np.uint64, mean: float) -> float:
    """An exponentially distributed number."""
    return -mean * math.log(_share(_mixed(counter)))


@njit(inline="always")
def _word(since: int, row: int, column: int, on: int) -> int:
    return (since << TIME_SHIFT) | (1 << NOISE_SHIFT) | (row << ROW_SHIFT) | (column << COLUMN_SHIFT) | on


@njit(cache=True, nogil=True, error_model="numpy")
def _leak(
    seed: np.uint64, jitter: float, period_us: float, next_us: NDArray[np.int64], block_us: NDArray[np.int64],
    t0_us: int, interval_us: int, first_row: int, width: int,
) -> Words:  # fmt: skip
    """ON events at the leak times that have come; each draws its pixel's next time, normal around the period."""
    words, count = np.empty(64, np.int64), 0
    until_us, due = t0_us + interval_us, np.empty(BLOCK_PX + 1, np.int64)
    for row in range(next_us.shape[0]):
        for block in range(block_us.shape[1]):
            if block_us[row, block] > until_us:
                continue
            begin = block * BLOCK_PX
            times = next_us[row, begin : begin + BLOCK_PX]
            found, one = np.uintp(0), np.uintp(1)
            for place in range(times.size):
                due[found] = place
                found += one if times[place] <= until_us else np.uintp(0)
            for place in due[:found]:
                while times[place] <= until_us:
                    if count == words.size:
                        words = grown(words)
                    words[count] = _word(times[place] - t0_us, first_row + row, begin + place, 1)
                    count += 1
                    key = _key(seed, LEAK, (first_row + row) * width + begin + place, times[place])
                    radius = math.sqrt(_waiting(key, 2.0))  # Box and Muller 1958
                    angle = 2 * math.pi * _share(_mixed(key + np.uint64(1)))
                    factor = max(1 + jitter * radius * math.cos(angle), LEAST_LEAK_PERIOD)
                    times[place] += max(1, round(factor * period_us))
            block_us[row, block] = times.min()
    return words[:count]


@njit(cache=True, nogil=True, error_model="numpy")
def _shot(
    seed: np.uint64, per_us: float, number: int, interval_us: int, first_row: int, width: int,
    values: NDArray[Any], light: NDArray[np.float64],
) -> Words:  # fmt: skip
    """A Poisson process along each row's pixels and their times, at the dark's rate, thinned where there is light.

    Given their number, the events of a Poisson process are independent and uniform: so only the number takes an
    exponential, and it is drawn for stretches with MOST_EXPECTED events each.
    """
    words, count = np.empty(64 + int(1.2 * per_us * interval_us * values.size), np.int64), 0
    one, length, inverse = np.uint64(1), float(width) * interval_us, 1 / interval_us
    stretches = math.ceil(per_us * length / MOST_EXPECTED)
    expected = per_us * length / stretches
    none = math.exp(-expected)
    for row in range(values.size // width):
        counter, drawn = _key(seed, SHOT, number, first_row + row), 0
        for _ in range(stretches):
            drawn += _poisson(_share(_mixed(counter)), expected, none)
            counter += one
        while count + drawn > words.size:
            words = grown(words)
        for _ in range(drawn):
            place = _share(_mixed(counter)) * length
            column = np.int64(min(place * inverse, width - 1.0))
            since = np.int64(min(max(place - float(column) * interval_us, 0.0), interval_us - 1.0)) + 1
            thinning = _mixed(counter + one)  # in the upper bits; the polarity is in the lowest
            bright = light[np.uintp(values[np.uintp(row * width + column)])]
            words[count] = _word(since, first_row + row, column, np.int64(thinning & one))
            count += _share(thinning) >= (1 - SHOT_NOISE_AT_WHITE) * bright
            counter += np.uint64(2)
    return words[:count]


@njit(inline="always")
def _poisson(share: float, expected: float, none: float) -> int:
    """The Poisson-distributed number at a share of its distribution; `none` = exp(-expected) is that of 0."""
    number, probability = 0, none
    share -= probability
    while share > 0 and number < MOST_DRAWN:
        number += 1
        probability *= expected / number
        share -= probability
    return number


@njit(cache=True, nogil=True, error_model="numpy")
def _hot(
    seed: np.uint64, mean_us: float, number: int, hot: NDArray[np.int32], interval_us: int, first_row: int, width: int
) -> Words:  # fmt: skip
    """ON events of the hot pixels, a Poisson process each."""
    words, count = np.empty(64, np.int64), 0
    for pixel in hot:
        row, column = first_row + pixel // width, pixel % width
        counter = _key(seed, HOT, number, row * width + column)
        since = _waiting(counter, mean_us)
        while since < interval_us:
            if count == words.size:
                words = grown(words)
            words[count] = _word(np.int64(since) + 1, row, column, 1)
            count += 1
            counter += np.uint64(1)
            since += _waiting(counter, mean_us)
    return words[:count]
