"""Noise events: leak, shot noise and hot pixels.

Hot pixels belong to the sensor (`sensor_seed`). All events, and the phase of the leak, belong to the recording
(`sensor_seed` and `noise_seed`): a recording starts at an arbitrary time, long after the last leak event of each pixel.
Each frame has a generator of its own, so the noise does not depend on how many frames are processed at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .config import SimulatorConfig
from .crossings import TIME_SHIFT, Levels, Words
from .levels import intensity

SHOT_NOISE_AT_WHITE = 0.25  # fraction of the rate in the dark; SHOT_NOISE_INTEN_FACTOR of v2e
MIN_LEAK_PERIOD = 0.1  # minimum interval between leak events, as a fraction of the mean
MISMATCH, LEAK_PHASES, HOT_PIXELS, FRAMES = range(4)  # independent random sequences of a seed


@dataclass(frozen=True)
class NoiseState:
    """State of the noise sources between two frames.

    Args:
        next_leak_us: Time of the next leak event of each pixel, int64 [N]; empty without leak.
        hot: Numbers of the hot pixels, ascending, [n].
    """

    next_leak_us: NDArray[np.int64]
    hot: NDArray[np.int64]


def start_generator(config: SimulatorConfig, sequence: int, *more: int) -> np.random.Generator:
    """Return the generator of a random sequence of the sensor or, with more numbers, of a recording or frame."""
    return np.random.default_rng([config.sensor_seed, sequence, *more])


def start_noise(config: SimulatorConfig, pixels: int, t_us: int) -> NoiseState:
    """Create the initial state at the time `t_us`."""
    # A recording starts at an arbitrary time between two leak events of a pixel: the phase is uniform.
    next_leak_us = np.zeros(0, np.int64)
    if config.leak_rate_hz:
        phases = start_generator(config, LEAK_PHASES, config.noise_seed or 0).random(pixels)
        next_leak_us = t_us + np.ceil(phases * (1e6 / config.leak_rate_hz)).astype(np.int64)

    count = round(config.hot_pixel_fraction * pixels)
    places = start_generator(config, HOT_PIXELS).permutation(pixels) if count else np.zeros(0, np.int64)
    return NoiseState(next_leak_us, np.sort(places[:count]))


def emit_noise(
    config: SimulatorConfig,
    state: NoiseState,
    rng: np.random.Generator,
    levels: Levels,
    address: NDArray[np.int32],
    span_us: tuple[int, int],
) -> list[Words]:
    """Return the noise events of an interval; updates `state`.

    Args:
        config: Noise rates.
        state: State of the noise sources.
        rng: Generator of the frame.
        levels: Levels of the pixels in the later frame.
        address: See `Pixels`.
        span_us: Start and end of the interval.
    """
    events = []
    start_us, stop_us = span_us
    length_us = stop_us - start_us
    if config.leak_rate_hz:
        events += _emit_leaks(config, state.next_leak_us, rng, address, span_us)

    # A random number below 0.75 I drops a shot; the range above it is divided between OFF and ON.
    if config.shot_noise_rate_hz:
        pixels, shot_us = _scatter(rng, config.shot_noise_rate_hz, address.size, length_us)
        light = np.clip(intensity(levels.table, config), 0, 1)
        dropped = ((1 - SHOT_NOISE_AT_WHITE) * light)[levels.codes[pixels]]
        chance = rng.random(pixels.size)
        words = (shot_us << TIME_SHIFT) | address[pixels] | (chance >= (1 + dropped) / 2)
        events.append(words[chance >= dropped])

    if state.hot.size:
        numbers, hot_us = _scatter(rng, config.hot_pixel_rate_hz, state.hot.size, length_us)
        events.append((hot_us << TIME_SHIFT) | address[state.hot[numbers]] | 1)
    return events


def _emit_leaks(
    config: SimulatorConfig,
    next_us: NDArray[np.int64],
    rng: np.random.Generator,
    address: NDArray[np.int32],
    span_us: tuple[int, int],
) -> list[Words]:
    """Return the leak events (ON); after each, draws the time of the next one, normal around the period."""
    events = []
    start_us, stop_us = span_us
    leaking = np.flatnonzero(next_us <= stop_us)
    while leaking.size:
        events.append(((next_us[leaking] - start_us) << TIME_SHIFT) | address[leaking] | 1)

        factors = 1 + config.leak_jitter_fraction * rng.standard_normal(leaking.size)
        periods_us = np.maximum(factors, MIN_LEAK_PERIOD) * (1e6 / config.leak_rate_hz)
        next_us[leaking] += np.maximum(np.rint(periods_us), 1).astype(np.int64)
        leaking = leaking[next_us[leaking] <= stop_us]
    return events


def _scatter(
    rng: np.random.Generator, rate_hz: float, count: int, length_us: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw a Poisson process per item: return the items of its events, and their times, 1 to `length_us`."""
    # Given their number, the events are independent and uniform. The integer part of one number is the item, the rest
    # the time: 53 bits are enough for both.
    places = rng.random(rng.poisson(rate_hz * 1e-6 * length_us * count)) * count
    items = places.astype(np.int64)
    return items, 1 + ((places - items) * length_us).astype(np.int64)
