"""Fit the pixel model to a recording of frames and events by the same sensor, such as a DAVIS camera.

Between events, the level L of a pixel stays within a threshold of its reference. At the time of each frame,

    L = c + pos * (ON events so far) - neg * (OFF events so far) + u,    -neg < u < pos.

Counts are integers without error, and u does not grow with time. Least squares of L on the two counts gives the
thresholds of each pixel; their medians are the thresholds of the sensor. (Regressing the change from frame to frame has
an error as large as the signal; regressing counts on L is biased by the noise of the frames.)

Changes between two frames, such as an edge that comes and goes, fire events in the sensor but not in the simulator. The
thresholds are therefore refined: the recorded frames are simulated until the numbers of ON and OFF events match.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ..base.errors import Brief, DataError
from ..base.files import write_text
from ..base.texts import Described
from ..events import Events, concatenate
from ..events.correlation import correlate
from ..video.frames import Frame, checked_frames
from .config import SimulatorConfig
from .levels import frame_levels, intensity
from .noise import SHOT_NOISE_AT_WHITE
from .simulator import simulate

MIN_FRAMES = 10
MIN_PIXELS = 30
MIN_COUNT = 3  # minimum events of each polarity to fit a pixel
SEGMENT_FRAMES = 50  # frames with a common constant c per pixel; noise events accumulate in longer segments
MAX_COLLINEARITY = 0.99  # maximum squared correlation of the two counts to fit a pixel
BLUR = (1, 5, 5)  # intervals, rows, columns
QUIET_REACH = (3, 9, 9)  # a pixel is quiet if nothing changes in this box of intervals, rows and columns
QUIET_SHARE = 0.15  # maximum change of a quiet pixel, as a fraction of the smaller threshold
MAD_TO_SIGMA = 1.4826  # standard deviation / median absolute deviation of a normal distribution
LOG_OFFSETS: tuple[float, ...] = tuple(2**k / 255 for k in range(8))
THRESHOLDS = (0.01, 10.0)  # range of the fitted thresholds
COUNT_TOLERANCE = 0.01  # of ln(simulated / recorded events)
MAX_SIMULATIONS = 30

FITTED = ("pos_thres", "neg_thres", "sigma_thres", "leak_rate_hz", "shot_noise_rate_hz", "log_offset")
Counts = NDArray[np.int64]
"""ON and OFF events per frame interval and pixel, [2, T - 1, H, W]."""


@dataclass(frozen=True, repr=False)
class Calibration(Described, Brief):
    """Fitted sensor parameters and the quality of the fit, rounded to four significant digits.

    Args:
        pos_thres: ON threshold in log intensity.
        neg_thres: OFF threshold in log intensity.
        sigma_thres: Standard deviation of the thresholds over the pixels, in log intensity.
        leak_rate_hz: Leak events per pixel and second.
        shot_noise_rate_hz: Noise events per pixel and second in the dark.
        log_offset: Epsilon in L = ln(I + epsilon).
        transfer: Transfer curve of the frames; a property of the video, not of the sensor.
        correlation: Correlation of simulated with recorded net event counts, both blurred over 5 x 5 pixels; median
            over frame intervals.
        pixels: Number of fitted pixels.
        intervals: Number of frame intervals.
    """

    pos_thres: float
    neg_thres: float
    sigma_thres: float
    leak_rate_hz: float
    shot_noise_rate_hz: float
    log_offset: float
    transfer: str
    correlation: float
    pixels: int
    intervals: int

    def describe(self) -> Sequence[str]:
        """Return a line for each value."""
        return [f"{name}: {value}" for name, value in asdict(self).items()]

    def to_yaml_settings(self) -> dict[str, float]:
        """Return the settings of `SimulatorConfig` for this sensor."""
        return {name: value for name, value in asdict(self).items() if name in SimulatorConfig.model_fields}

    def write(self, path: str | Path, *, comment: str = "Fitted to a recording") -> None:
        """Write the settings as a YAML preset. An existing file is replaced.

        Args:
            path: Output file.
            comment: Comment in the first line, such as the name of the recording.

        Raises:
            FileError: If the file cannot be written.
        """
        settings = yaml.safe_dump(self.to_yaml_settings(), sort_keys=False)
        curve = f"Its frames have the transfer curve {self.transfer}: a property of the video, not of the sensor."
        write_text(Path(path), f"# {comment}\n# {curve}\n{settings}")


def calibrate_frames(frames: Sequence[Frame], events: Events, *, log_offset: float | None = None) -> Calibration:
    """Fit the pixel model to frames and events of the same sensor.

    Args:
        frames: Frames of the sensor in time order. Frames outside the time range of the events are not used.
        events: Events of the same pixels on the same clock.
        log_offset: Epsilon in L = ln(I + epsilon), if known. Default: fitted, too.

    Raises:
        DataError: If there are too few frames (< 10) or pixels (< 30) with at least 3 events of both polarities, or the
            frame size differs from the sensor.
        VideoError: If consecutive frames do not fit.
    """
    frames = _select_frames(frames, events)
    recorded = _count_events(frames, events)

    # The thresholds are fitted for each offset: the simulation that is most like the recording has the best one.
    candidates = []
    for offset in LOG_OFFSETS if log_offset is None else (log_offset,):
        config = SimulatorConfig(log_offset=offset)
        fits = _fit_pixels(frames, recorded, config)
        pos, neg = np.median(fits, axis=1).tolist()
        start = config.model_copy(update={"pos_thres": pos, "neg_thres": neg})
        config, ideal = _refine_thresholds(frames, recorded, start)
        candidates.append((_correlate_counts(ideal, recorded), config, fits, ideal))
    _, config, fits, ideal = max(candidates, key=lambda candidate: candidate[0])

    # Fitted thresholds scatter even in a simulation without mismatch: only the rest is mismatch of the sensor.
    excess = _scatter_of(fits) - _scatter_of(_fit_pixels(frames, ideal, config))
    estimates = {"sigma_thres": math.sqrt(max(0.0, excess)), **_estimate_noise(frames, recorded, config)}

    # Noise and mismatch change the numbers of events, so the thresholds are refined again.
    config, simulated = _refine_thresholds(frames, recorded, config.model_copy(update=estimates))
    fitted = {name: getattr(config, name) for name in FITTED} | {"correlation": _correlate_counts(simulated, recorded)}
    rounded: dict[str, Any] = {name: float(f"{value:.4g}") for name, value in fitted.items()}
    return Calibration(**rounded, transfer=frames[0].transfer, pixels=fits.shape[1], intervals=len(frames) - 1)


def _select_frames(frames: Sequence[Frame], events: Events) -> list[Frame]:
    """Return the frames during the events."""
    for frame in checked_frames(frames):
        if frame.size != events.sensor:
            raise DataError(f"frame at {frame.t_us} us: wrong size (found {frame.size}, expected {events.sensor})")

    selected = [frame for frame in frames if len(events) and events.t[0] <= frame.t_us <= events.t[-1]]
    if len(selected) < MIN_FRAMES:
        raise DataError(f"too few frames during the events (found {len(selected)}, expected {MIN_FRAMES} or more)")
    return selected


def _count_events(frames: Sequence[Frame], events: Events) -> Counts:
    """Count the events of each polarity and pixel in each interval (t_k, t_k+1]."""
    times_us = [frame.t_us for frame in frames]
    inside = events.between(times_us[0] + 1, times_us[-1] + 1)

    shape = 2, len(frames) - 1, events.sensor.height, events.sensor.width
    places = np.ravel_multi_index((1 - inside.p, np.searchsorted(times_us, inside.t) - 1, inside.y, inside.x), shape)
    return np.bincount(places, minlength=math.prod(shape)).reshape(shape)


def _stack_levels(frames: Sequence[Frame], config: SimulatorConfig) -> NDArray[np.float64]:
    """Return the levels of the frames, [T, H, W]."""
    return np.stack([frame_levels(frame, config) for frame in frames])


def _correlate_counts(a: Counts, b: Counts) -> float:
    """Return the median correlation of the blurred net counts of two recordings, over frame intervals."""
    from scipy.ndimage import uniform_filter

    nets = [uniform_filter((on - off).astype(np.float64), BLUR) for on, off in (a, b)]
    values = [correlate(*pair) for pair in zip(*nets, strict=True)]
    defined = [value for value in values if value is not None]
    return float(np.median(defined)) if defined else 0.0


def _fit_pixels(frames: Sequence[Frame], counts: Counts, config: SimulatorConfig) -> NDArray[np.float64]:
    """Return the ON and OFF thresholds [2, n] of pixels, by least squares of the level on the cumulative counts."""
    # Pixels with black or white values of integers are not used, since these may be clipped.
    usable = (counts.sum(axis=1) >= MIN_COUNT).all(axis=0)
    for frame in frames:
        if frame.image.dtype.kind != "f":
            usable &= (frame.image > 0) & (frame.image < np.iinfo(frame.image.dtype).max)

    # ON counts, minus OFF counts and levels, [3, segments, frames, n]; centring each segment removes c.
    on, off = np.cumsum(counts[:, :, usable], axis=1)
    values = np.stack([on, -off, _stack_levels(frames, config)[1:, usable]])
    length = min(values.shape[1], SEGMENT_FRAMES)
    segments = values.shape[1] // length
    values = values[:, : segments * length].reshape(3, segments, length, -1)
    values = values - values.mean(axis=2, keepdims=True)

    # If both counts grow together, their coefficients are not determined.
    products = np.einsum("istn,jstn->nij", values, values)
    determined = products[:, 0, 1] ** 2 < MAX_COLLINEARITY * products[:, 0, 0] * products[:, 1, 1]
    if np.count_nonzero(determined) < MIN_PIXELS:
        raise DataError(
            f"too few unsaturated pixels with at least {MIN_COUNT} events of each polarity "
            f"(found {np.count_nonzero(determined)}, expected {MIN_PIXELS} or more); record more motion"
        )
    normal = products[determined]
    fits: NDArray[np.float64] = np.linalg.solve(normal[:, :2, :2], normal[:, :2, 2:])[..., 0].T
    return fits


def _scatter_of(fits: NDArray[np.float64]) -> float:
    """Return a robust variance of the thresholds (from the median absolute deviation), mean of ON and OFF."""
    deviations = np.median(abs(fits - np.median(fits, axis=1, keepdims=True)), axis=1)
    return float(np.mean((deviations * MAD_TO_SIGMA) ** 2))


def _estimate_noise(frames: Sequence[Frame], counts: Counts, config: SimulatorConfig) -> dict[str, float]:
    """Estimate leak and shot noise rates from pixels and intervals without change.

    Shot noise has as many ON as OFF events; leak has only ON events. OFF events therefore give the shot noise rate, and
    the excess of ON events gives the leak rate.
    """
    from scipy.ndimage import maximum_filter, uniform_filter

    levels = _stack_levels(frames, config)
    change = abs(uniform_filter(np.diff(levels, axis=0), BLUR))
    quiet = maximum_filter(change, QUIET_REACH) < QUIET_SHARE * min(config.pos_thres, config.neg_thres)
    on, off = counts[:, quiet].sum(axis=1).tolist()

    # A pixel in the light counts for the shorter time in the dark that has as much shot noise.
    seconds = quiet * np.diff([frame.t_us * 1e-6 for frame in frames])[:, None, None]
    darkness = 1 - (1 - SHOT_NOISE_AT_WHITE) * np.clip(intensity(levels[:-1], config), 0, 1)
    leak_rate_hz = max(0, on - off) / max(seconds.sum(), 1e-6)
    return {"leak_rate_hz": leak_rate_hz, "shot_noise_rate_hz": 2 * off / max((seconds * darkness).sum(), 1e-6)}


def _refine_thresholds(
    frames: Sequence[Frame], recorded: Counts, config: SimulatorConfig
) -> tuple[SimulatorConfig, Counts]:
    """Search for the thresholds that give the recorded numbers of ON and OFF events; return them and a simulation."""
    from scipy.optimize import root

    def change(logarithms: NDArray[np.float64]) -> SimulatorConfig:
        pos, neg = np.clip(np.exp(logarithms), *THRESHOLDS).tolist()
        return config.model_copy(update={"pos_thres": pos, "neg_thres": neg})

    def count(changed: SimulatorConfig) -> Counts:
        return _count_events(frames, concatenate(simulate(frames, changed), frames[0].size))

    def compare(logarithms: NDArray[np.float64]) -> NDArray[np.float64]:
        ratio = np.maximum(count(change(logarithms)).sum(axis=(1, 2, 3)), 1) / recorded.sum(axis=(1, 2, 3))
        return np.asarray(-np.log(ratio))

    start = np.log(np.clip([config.pos_thres, config.neg_thres], *THRESHOLDS))
    best = change(
        root(compare, start, method="df-sane", options={"fatol": COUNT_TOLERANCE, "maxfev": MAX_SIMULATIONS}).x
    )
    return best, count(best)
