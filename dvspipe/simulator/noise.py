"""Events that no change of light causes: leak, shot noise, hot pixels.

The cost goes with the number of noise events, not with the number of pixels. What is drawn in an interval depends on
the seed and on the number of the frame alone, so that any chunking gives the same events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..video import Frame
from . import kernels
from .config import SimulatorConfig
from .kernels import Columns

SHOT_NOISE_AT_WHITE = 0.25  # of the rate in the dark; v2e's SHOT_NOISE_INTEN_FACTOR
LEAST_LEAK_PERIOD = 0.1  # of the mean time between two leak events, however they jitter


@dataclass
class NoiseState:
    """What the noise remembers between two frames.

    Args:
        next_leak_us: int64, time of each pixel's next leak event; empty where nothing leaks.
        hot: int32, the hot pixels.
    """

    next_leak_us: NDArray[np.int64]
    hot: NDArray[np.int32]


class Noise:
    """The sources of noise events of a pixel array."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config

    def start(self, pixels: int, t_us: int) -> NoiseState:
        """The state before the first interval: every pixel somewhere in its first leak period, hot pixels chosen."""
        config, rng = self.config, self._generator(0)
        leaking = pixels if config.leak_rate_hz else 0
        first = t_us + rng.random(leaking) * (1e6 / config.leak_rate_hz if leaking else 0)
        hot = rng.permutation(pixels)[: round(config.hot_pixel_fraction * pixels)]
        return NoiseState(np.ceil(first).astype(np.int64), np.sort(hot).astype(np.int32))

    def events(
        self, state: NoiseState, number: int, t0_us: int, frame: Frame, values: NDArray[Any],
        intensity: Callable[[NDArray[Any], str], NDArray[np.float64]],
    ) -> list[Columns]:  # fmt: skip
        """The noise events from t0_us up to a frame, as a list of columns.

        Args:
            state: Changed in place.
            number: The number of the frame.
            t0_us: Time of the frame before it.
            frame: The frame.
            values: Its flat values.
            intensity: Turns some of them into I in [0, 1].
        """
        rng, interval_us = self._generator(number), frame.t_us - t0_us
        sources = (
            self._leak(state, rng, t0_us, frame.t_us),
            self._shot(rng, interval_us, frame, values, intensity),
            self._hot(state, rng, interval_us),
        )
        width = frame.size.width
        return [
            (
                since.astype(np.uint32),
                (pixels % width).astype(np.int16),
                (pixels // width).astype(np.int16),
                kind.astype(np.uint8) | np.uint8(kernels.NOISE),
            )
            for since, pixels, kind in sources
            if since.size
        ]

    def _generator(self, number: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=self.config.seed, counter=[0, 0, 0, number]))

    def _leak(
        self, state: NoiseState, rng: np.random.Generator, t0_us: int, t1_us: int
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """ON events at the leak times that have come, pixel by pixel; each draws its pixel's next time."""
        since, pixels = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
        times, config = state.next_leak_us, self.config
        buffer = np.empty(times.size, np.int32)
        while count := kernels.find_due(times, t1_us, buffer):
            due = buffer[:count].copy()
            since.append(times[due] - t0_us)
            pixels.append(due)
            factor = np.maximum(1 + config.leak_jitter_fraction * rng.standard_normal(count), LEAST_LEAK_PERIOD)
            times[due] += np.maximum(1, np.rint(factor * 1e6 / config.leak_rate_hz)).astype(np.int64)
        joined = np.concatenate(pixels)
        return np.concatenate(since), joined, np.full(joined.size, kernels.ON)

    def _shot(
        self, rng: np.random.Generator, interval_us: int, frame: Frame, values: NDArray[Any],
        intensity: Callable[[NDArray[Any], str], NDArray[np.float64]],
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:  # fmt: skip
        """A Poisson process over all pixels at the rate of the dark, thinned where there is light."""
        rate_hz = self.config.shot_noise_rate_hz
        candidates = rng.poisson(rate_hz * values.size * interval_us * 1e-6) if rate_hz else 0
        pixels = rng.integers(0, values.size, candidates, dtype=np.int32)
        drawn = rng.integers(
            0, 2**32, candidates, dtype=np.uint32
        )  # thinning in the upper bits, polarity in the lowest
        light = np.clip(intensity(values[pixels], frame.transfer), 0, 1) if candidates else np.empty(0)
        kept = drawn < (1 - (1 - SHOT_NOISE_AT_WHITE) * light) * 2.0**32
        since = rng.integers(1, interval_us + 1, candidates, dtype=np.uint32)
        return since[kept], pixels[kept], drawn[kept] & kernels.ON

    def _hot(
        self, state: NoiseState, rng: np.random.Generator, interval_us: int
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """ON events of the hot pixels, a Poisson process each."""
        mean = state.hot.size * self.config.hot_pixel_rate_hz * interval_us * 1e-6
        count = rng.poisson(mean) if mean else 0
        pixels = state.hot[rng.integers(0, max(1, state.hot.size), count)]
        return rng.integers(1, interval_us + 1, count), pixels, np.full(count, kernels.ON)
