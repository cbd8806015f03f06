"""Constants fitted to N-MNIST: movement, size and sharpness of the picture, and the sensor.

The fit used only the pairs of image and recording with the ids 1 to 250 of the training set, in three steps. First, the
movement: least squares between the change of the picture's log luminance and the cumulative events (ON minus OFF) of
each pixel. Second, the other constants: random search on the figures of `recordings.comparison`. Third, the movement
again, until synthetic and real recordings gave the same estimate. Leak and shot noise were counted in areas without
ink. The values are in digits_fit.json.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ..results.tables import Record


class DigitsFit(Record):
    """Fitted constants; each spread is the standard deviation between recordings."""

    knot_us: int
    """Time between two points of the paths."""
    path_x: tuple[int, ...]
    """Displacement of the picture to the right since the start, in hundredths of a pixel."""
    path_y: tuple[int, ...]
    """Displacement of the picture downwards, likewise."""
    pauses_us: tuple[int, ...]
    """Start and end of the pauses between the legs."""
    delay_spreads_us: tuple[int, ...]
    """Maximum delay or advance of each leg: the display and the sensor had different clocks."""
    durations_us: tuple[int, int]
    """Minimum and maximum duration of a recording."""
    origin_px: tuple[float, float]
    """Sensor column and row of the image centre at the start."""
    origin_spread_px: float
    scale: float
    """Sensor pixels per image pixel."""
    scale_spread: float
    blur_px: float
    """Standard deviation of the point spread, in sensor pixels."""
    blur_spread: float
    display_gamma: float
    """Exponent of the display: luminance = grey value ** display_gamma, both from 0 to 1."""
    black: float
    """Luminance of black relative to white on the display, including stray light."""
    black_spread: float
    threshold: float
    """Contrast threshold: geometric mean of ON and OFF."""
    threshold_spread: float
    on_off_ratio: float
    """ON threshold / OFF threshold."""
    on_off_spread: float
    mismatch: float
    """Standard deviation of the thresholds over the pixels, relative to the threshold."""
    log_offset: float
    cutoff_hz: int
    refractory_s: float
    leak_rate_hz: float
    leak_jitter: float
    shot_noise_rate_hz: float
    """Rate in the dark; the bright background has a quarter of it."""


@cache
def read_fit() -> DigitsFit:
    """Return the fitted constants."""
    return DigitsFit.read(Path(__file__).with_suffix(".json"))
