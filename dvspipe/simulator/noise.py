"""Noise events: leak, shot noise and hot pixels.

The cost is proportional to the number of noise events, not to the number of pixels. Random numbers are counter-based
(output function of SplitMix64: Steele, Lea and Flood 2014): the numbers for a row or pixel in an interval depend only
on the seeds, the frame number, and the row or pixel. The events are therefore the same for any number of threads and
any division of the video into batches.

Hot pixels belong to the sensor (`seed`). All events, and the phase of the leak, belong to the recording (`seed` and
`noise_seed`): a recording starts at an arbitrary time, long after the last leak event of each pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief
from ..base.kernels import njit
from ..events import SensorSize
from .config import SimulatorConfig
from .words import COLUMN_SHIFT, NOISE_SHIFT, ROW_SHIFT, TIME_SHIFT, Interval, Words, grow

SHOT_NOISE_AT_WHITE = 0.25  # fraction of the rate in the dark; SHOT_NOISE_INTEN_FACTOR of v2e
MIN_LEAK_PERIOD = 0.1  # minimum interval between leak events, as a fraction of the mean

NOISE_BLOCK_PX = 8  # pixels of a row that are skipped together if none of them leaks
MAX_EXPECTED = 256.0  # larger expected counts are drawn in several stretches
MAX_DEVIATIONS = 12.0  # Poisson counts farther from the mean have a probability below 1e-15
PLACE_BITS = 40  # bit fields of a random number; the last bit is the polarity
THINNING_BITS = 23
# Separate random sequences.
SHOT = 1
LEAK = 2
HOT = 3
LONGEST_US = 2**63 - 1
WEYL_STEP = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, odd: multiples of small integers are far apart


@dataclass(repr=False)
class NoiseState(Brief):
    """State of the noise sources between two frames.

    Args:
        next_leak_us: Time of each pixel's next leak event, int64 [H, W]; [0, 0] without leak.
        block_leak_us: Earliest of these times in each block of a row, int64 [H, W / NOISE_BLOCK_PX].
        hot: Flat indices of the hot pixels, ascending, int32.
    """

    next_leak_us: NDArray[np.int64]
    block_leak_us: NDArray[np.int64]
    hot: NDArray[np.int32]

    def band(self, first_row: int, stop_row: int, width: int) -> NoiseState:
        """Return the state of a band of rows: views of the arrays, and hot pixel indices relative to `first_row`."""
        rows = slice(first_row, stop_row)
        first = first_row * width
        low, high = np.searchsorted(self.hot, (first, stop_row * width))

        return NoiseState(self.next_leak_us[rows], self.block_leak_us[rows], self.hot[low:high] - np.int32(first))


def start_noise(
    config: SimulatorConfig, sensor: SensorSize, t_us: int, *, phases: np.random.Generator, places: np.random.Generator
) -> NoiseState:
    """Create the initial state: `phases` draws the leak phases of the recording, `places` the sensor's hot pixels."""
    pixels = sensor.width * sensor.height

    # A recording starts at an arbitrary time between two leak events of a pixel: the phase is uniform.
    first_us = np.zeros((0, 0), np.int64)
    if config.leak_rate_hz:
        waiting_us = phases.random((sensor.height, sensor.width)) * (1e6 / config.leak_rate_hz)
        first_us = t_us + np.ceil(waiting_us).astype(np.int64)
    blocks = np.arange(0, first_us.shape[1], NOISE_BLOCK_PX)
    block_us = np.minimum.reduceat(first_us, blocks, axis=1) if blocks.size else first_us.copy()

    count = round(config.hot_pixel_fraction * pixels)
    hot = places.permutation(pixels)[:count] if count else np.empty(0, np.int64)  # 10 ms for 1280 x 720
    return NoiseState(first_us, block_us, np.sort(hot).astype(np.int32))


def emit_noise(
    config: SimulatorConfig,
    state: NoiseState,
    frame_number: int,
    interval: Interval,
    codes: NDArray[Any],
    light: NDArray[np.float64],
) -> list[Words]:
    """Return the noise events of a band of rows in an interval.

    Args:
        config: Noise rates.
        state: State of the band; updated in place.
        frame_number: Number of the frame at the end of the interval.
        interval: Time interval and band of rows.
        codes: Value of each pixel as an index into `light`, [N].
        light: Intensity in [0, 1] of each value.
    """
    # Both seeds in one number; recordings with consecutive noise seeds are far apart.
    seed = np.uint64((config.sensor_seed + WEYL_STEP * (config.noise_seed or 0)) % 2**64)

    events = []
    if config.leak_rate_hz:
        jitter = config.leak_jitter_fraction
        period_us = 1e6 / config.leak_rate_hz
        events.append(_emit_leaks(seed, jitter, period_us, state.next_leak_us, state.block_leak_us, interval))
    if config.shot_noise_rate_hz:
        events.append(_emit_shot_noise(seed, config.shot_noise_rate_hz * 1e-6, frame_number, interval, codes, light))
    if config.hot_pixel_rate_hz and state.hot.size:
        events.append(_emit_hot_pixels(seed, 1e6 / config.hot_pixel_rate_hz, frame_number, state.hot, interval))
    return events


@njit(inline="always")
def _mix(counter: np.uint64) -> np.uint64:
    """Return the SplitMix64 output for a counter."""
    z = counter * np.uint64(WEYL_STEP)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(inline="always")
def _key(seed: np.uint64, purpose: int, major: int, minor: int) -> np.uint64:
    """Return the first counter of a random sequence."""
    key: np.uint64 = _mix(_mix(_mix(seed + np.uint64(purpose)) + np.uint64(major)) + np.uint64(minor))
    return key


@njit(inline="always")
def _uniform(random: np.uint64) -> float:
    """Convert the upper 53 bits to a uniform number in (0, 1)."""
    return (np.int64(random >> np.uint64(11)) + 0.5) * 2.0**-53


@njit(inline="always")
def _exponential(counter: np.uint64, mean: float) -> float:
    """Draw an exponentially distributed number."""
    return -mean * math.log(_uniform(_mix(counter)))


@njit(inline="always")
def _nearly_normal(random: np.uint64) -> float:
    """Approximate a standard normal number by the sum of four uniform 16-bit numbers, centred and scaled."""
    bits = np.uint64(0xFFFF)
    total = np.int64(random & bits)
    for part in range(1, 4):
        total += np.int64((random >> np.uint64(16 * part)) & bits)
    return (total - 131070) / 37837.22  # the standard deviation of the sum is sqrt((2^32 - 1) / 3)


@njit(inline="always")
def _word(since_us: int, row: int, column: int, on: int) -> int:
    """Pack a noise event, `since_us` after the start of the interval; see `words`."""
    return (since_us << TIME_SHIFT) | (1 << NOISE_SHIFT) | (row << ROW_SHIFT) | (column << COLUMN_SHIFT) | on


@njit(cache=True, nogil=True, error_model="numpy")
def _emit_leaks(
    seed: np.uint64,
    jitter: float,
    period_us: float,
    next_us: NDArray[np.int64],
    block_us: NDArray[np.int64],
    interval: Interval,
) -> Words:
    """Return the leak events (ON) in the interval.

    After each event, the next leak time of its pixel is drawn: normal around the period. Updates `next_us` and
    `block_us`.
    """
    # The time between two leak events is period * max(0.1, 1 + jitter * z), with z nearly normal. Row and column are a
    # pixel of the band; a block is NOISE_BLOCK_PX pixels of a row. The random number of an event depends on its pixel
    # and time only, so it is the same for any division of the video into intervals.
    words = np.empty(64, np.int64)
    count = 0
    start_us = interval.start_us
    first_row = interval.first_row
    width = interval.width
    until_us = start_us + interval.length_us
    for row in range(next_us.shape[0]):
        for block in range(block_us.shape[1]):
            if block_us[row, block] > until_us:
                continue

            earliest = LONGEST_US
            for column in range(block * NOISE_BLOCK_PX, min((block + 1) * NOISE_BLOCK_PX, width)):
                t_us = next_us[row, column]
                while t_us <= until_us:
                    if count == words.size:
                        words = grow(words)
                    words[count] = _word(t_us - start_us, first_row + row, column, 1)
                    count += 1

                    random = _mix(_key(seed, LEAK, (first_row + row) * width + column, t_us))
                    factor = max(1 + jitter * _nearly_normal(random), MIN_LEAK_PERIOD)
                    t_us += max(1, np.int64(factor * period_us + 0.5))
                    next_us[row, column] = t_us
                earliest = min(earliest, t_us)
            block_us[row, block] = earliest
    return words[:count]


@njit(cache=True, nogil=True, error_model="numpy")
def _emit_shot_noise(
    seed: np.uint64,
    per_us: float,
    frame_number: int,
    interval: Interval,
    codes: NDArray[Any],
    light: NDArray[np.float64],
) -> Words:
    """Return the shot noise events: per row, a Poisson process over pixels and time at the dark rate, thinned by light.

    Given their number, the events of a Poisson process are independent and uniform. Only the number of events
    requires an exponential (it is drawn for stretches with at most MAX_EXPECTED expected events); each event requires
    one random number.
    """
    # The pixels of a row and the times of the interval are one axis of length width * interval_us, with an event at a
    # uniform position for each random number. Its upper bits are the position, the next ones decide whether the event
    # is dropped, the last one is its polarity. An event of a pixel with intensity I stays with probability 1 - 0.75 I.
    interval_us = interval.length_us
    first_row = interval.first_row
    width = interval.width
    words = np.empty(64 + int(1.2 * per_us * interval_us * codes.size), np.int64)  # a fifth more than expected
    count = 0
    one = np.uint64(1)
    length = float(width) * interval_us
    inverse = 1 / interval_us
    place_shift = np.uint64(64 - PLACE_BITS)
    thinning_mask = np.uint64(2**THINNING_BITS - 1)

    stretches = math.ceil(per_us * length / MAX_EXPECTED)
    cumulative = _poisson_cdf(per_us * length / stretches)
    for row in range(codes.size // width):
        # Draw the number of events in the row.
        counter = _key(seed, SHOT, frame_number, first_row + row)
        events = 0
        for _ in range(stretches):
            events += np.searchsorted(cumulative, _uniform(_mix(counter)))
            counter += one

        while count + events > words.size:
            words = grow(words)

        for k in range(events):
            random = _mix(counter + np.uint64(k))
            position = (np.int64(random >> place_shift) + 0.5) * (length * 2.0**-PLACE_BITS)
            column = np.int64(min(position * inverse, width - 1.0))
            since_us = np.int64(min(max(position - float(column) * interval_us, 0.0), interval_us - 1.0)) + 1
            thinning = (np.int64((random >> one) & thinning_mask) + 0.5) * 2.0**-THINNING_BITS
            bright = light[np.uintp(codes[np.uintp(row * width + column)])]

            # Written in any case, and overwritten by the next event if this one is dropped.
            words[count] = _word(since_us, first_row + row, column, np.int64(random & one))
            count += thinning >= (1 - SHOT_NOISE_AT_WHITE) * bright
    return words[:count]


@njit(cache=True, nogil=True, error_model="numpy")
def _poisson_cdf(expected: float) -> NDArray[np.float64]:
    """Return the Poisson cumulative distribution at 0, 1, 2, ...; searching it for a uniform number draws a sample."""
    cumulative = np.empty(2 + int(expected + MAX_DEVIATIONS * (1 + math.sqrt(expected))))

    # P(n + 1) = P(n) * expected / (n + 1)
    total = 0.0
    probability = math.exp(-expected)
    for events in range(cumulative.size):
        total += probability
        cumulative[events] = total
        probability *= expected / (events + 1)
    return cumulative


@njit(cache=True, nogil=True, error_model="numpy")
def _emit_hot_pixels(
    seed: np.uint64, mean_us: float, frame_number: int, hot: NDArray[np.int32], interval: Interval
) -> Words:
    """Return the events (ON) of the hot pixels, a Poisson process each."""
    # The times between the events of a Poisson process are exponential, and have no memory: each interval can begin
    # without the last event of the previous one.
    words = np.empty(64, np.int64)
    count = 0
    for pixel in hot:
        row = interval.first_row + pixel // interval.width
        column = pixel % interval.width
        counter = _key(seed, HOT, frame_number, row * interval.width + column)

        since_us = _exponential(counter, mean_us)
        while since_us < interval.length_us:
            if count == words.size:
                words = grow(words)
            words[count] = _word(np.int64(since_us) + 1, row, column, 1)
            count += 1

            counter += np.uint64(1)
            since_us += _exponential(counter, mean_us)
    return words[:count]
