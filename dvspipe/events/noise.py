"""Random noise events."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .sensor import SensorSize


def draw_noise(
    sensor: SensorSize, first_us: int, last_us: int, rate_hz: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw noise events at random times, pixels and polarities; return rows t, x, y and p, int64 [4, N], not sorted."""
    span_us = last_us - first_us
    expected = rate_hz * sensor.width * sensor.height * span_us * 1e-6

    # The rows have different upper limits (exclusive): time, column, row and polarity.
    below = np.array([[span_us + 1], [sensor.width], [sensor.height], [2]])
    noise = rng.integers(0, below, (4, int(rng.poisson(expected))))
    noise[0] += first_us
    return noise
