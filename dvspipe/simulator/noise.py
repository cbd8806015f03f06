"""Noise events: leak, shot noise and hot pixels.

Hot pixels belong to the sensor (`sensor_seed`). All events, and the phase of the leak, belong to the recording
(`sensor_seed` and `noise_seed`): a recording starts at an arbitrary time, long after the last leak event of each pixel.
Each frame has a generator of its own, so the noise does not depend on how many frames are processed at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.kernels import njit
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

    if config.shot_noise_rate_hz:
        places = _scatter(rng, config.shot_noise_rate_hz, address.size, length_us)
        dropped = (1 - SHOT_NOISE_AT_WHITE) * np.clip(intensity(levels.table, config), 0, 1)
        events.append(_thin_shots(places, rng.random(places.size), dropped, levels.codes, address, length_us))

    if state.hot.size:
        places = _scatter(rng, config.hot_pixel_rate_hz, state.hot.size, length_us)
        numbers = places.astype(np.int64)
        since_us = 1 + ((places - numbers) * length_us).astype(np.int64)
        events.append((since_us << TIME_SHIFT) | address[state.hot[numbers]] | 1)
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


def _scatter(rng: np.random.Generator, rate_hz: float, count: int, length_us: int) -> NDArray[np.float64]:
    """Draw a Poisson process per item: return the item of each event and, as the fraction, its time."""
    # Given their number, the events are independent and uniform. The 53 bits of a number are enough for item and time.
    return rng.random(rng.poisson(rate_hz * 1e-6 * length_us * count)) * count


@njit(cache=True, nogil=True)
def _thin_shots(
    places: NDArray[np.float64],
    chances: NDArray[np.float64],
    dropped: NDArray[np.float64],
    codes: NDArray[Any],
    address: NDArray[np.int32],
    length_us: int,
) -> Words:
    """Return the shots that are not dropped; `dropped` is the probability of each code of the levels."""
    words = np.empty(places.size, np.int64)
    count = 0
    for shot in range(places.size):
        pixel = int(places[shot])
        since_us = 1 + int((places[shot] - pixel) * length_us)

        # A number below the probability drops a shot; the range above it is divided between OFF and ON.
        least = dropped[codes[pixel]]
        on = chances[shot] >= (1 + least) / 2

        # Written in any case, and overwritten by the next shot if this one is dropped.
        words[count] = (since_us << TIME_SHIFT) | address[pixel] | on
        count += chances[shot] >= least
    return words[:count]
