"""Fit the pixel model to a recording of frames and events by the same sensor, such as a DAVIS camera.

The recorded frames are simulated, and the settings are chosen to make the simulation most like the recording, in order:

- The thresholds give the recorded numbers of ON and OFF events; the log offset, the highest correlation of the counts.
- Pixels whose level does not change have only noise: leak fires ON events, shot noise as many ON as OFF events.
- The numbers of events of the pixels, relative to a simulation without mismatch, scatter in proportion to the mismatch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
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
MIN_EVENTS = 500  # of each polarity
MIN_COUNT = 8  # minimum events of a pixel in a simulation without mismatch, to estimate mismatch
TRIAL_MISMATCH = 0.02  # standard deviation of the thresholds in a simulation with mismatch
BLUR = (1, 5, 5)  # intervals, rows, columns
QUIET_REACH = (3, 9, 9)  # a pixel is quiet if nothing changes in this box of intervals, rows and columns
QUIET_SHARE = 0.15  # maximum change of a quiet pixel, as a fraction of the smaller threshold
LOG_OFFSETS: tuple[float, ...] = tuple(2**k / 255 for k in range(8))
THRESHOLDS = (0.01, 10.0)  # range of the fitted thresholds
COUNT_TOLERANCE = 0.01  # of ln(simulated / recorded events)
MAX_SIMULATIONS = 30

FITTED = ("pos_thres", "neg_thres", "sigma_thres", "leak_rate_hz", "shot_noise_rate_hz", "log_offset")
Counts = NDArray[np.int64]
"""ON and OFF events per frame interval and pixel, [2, T - 1, H, W]."""


@dataclass(frozen=True, repr=False)
class Calibration(Described, Brief):
    """Fitted sensor parameters, rounded to four significant digits, and the quality of the fit.

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
    intervals: int

    def describe(self) -> Sequence[str]:
        """Return a line for each value."""
        return [f"{name}: {value}" for name, value in vars(self).items()]

    def to_yaml_settings(self) -> dict[str, float]:
        """Return the settings of `SimulatorConfig` for this sensor."""
        return {name: value for name, value in vars(self).items() if name in FITTED}

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
        DataError: If there are too few frames (< 10) or events of a polarity (< 500), or the frame size differs from
            the sensor.
        VideoError: If consecutive frames do not fit.
    """
    frames = _select_frames(frames, events)
    recorded = _count_events(frames, events)

    fewest = recorded.sum(axis=(1, 2, 3)).min()
    if fewest < MIN_EVENTS:
        raise DataError(f"too few events of a polarity (found {fewest}, expected {MIN_EVENTS} or more)")

    candidates = []
    for offset in LOG_OFFSETS if log_offset is None else (log_offset,):
        config, ideal = _refine_thresholds(frames, recorded, SimulatorConfig(log_offset=offset))
        candidates.append((_correlate_counts(ideal, recorded), config, ideal))
    _, config, ideal = max(candidates, key=lambda candidate: candidate[0])

    trial = config.model_copy(update={"sigma_thres": TRIAL_MISMATCH})
    share = _measure_scatter(recorded, ideal) / _measure_scatter(_count_events(frames, _simulate(frames, trial)), ideal)
    estimates = {"sigma_thres": min(share * TRIAL_MISMATCH, 1), **_estimate_noise(frames, recorded, config)}

    # Noise and mismatch change the numbers of events, so the thresholds are refined again.
    config, simulated = _refine_thresholds(frames, recorded, config.model_copy(update=estimates))
    fitted: dict[str, Any] = {name: float(f"{getattr(config, name):.4g}") for name in FITTED}
    correlation = _correlate_counts(simulated, recorded)
    return Calibration(**fitted, transfer=frames[0].transfer, correlation=correlation, intervals=len(frames) - 1)


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


def _correlate_counts(a: Counts, b: Counts) -> float:
    """Return the median correlation of the blurred net counts of two recordings, over frame intervals."""
    from scipy.ndimage import uniform_filter

    nets = [uniform_filter((on - off).astype(np.float64), BLUR) for on, off in (a, b)]
    return float(np.median([correlate(*pair) or 0.0 for pair in zip(*nets, strict=True)]))


def _measure_scatter(counts: Counts, ideal: Counts) -> float:
    """Return a robust deviation of the logarithm of the events per pixel, relative to a simulation without mismatch."""
    totals = ideal.sum(axis=(0, 1))
    usable = totals >= MIN_COUNT
    logarithms = np.log(np.maximum(counts.sum(axis=(0, 1)), 1)[usable] / totals[usable])
    return float(np.median(abs(logarithms - np.median(logarithms))))


def _estimate_noise(frames: Sequence[Frame], counts: Counts, config: SimulatorConfig) -> dict[str, float]:
    """Estimate leak and shot noise rates from pixels and intervals without change.

    Shot noise has as many ON as OFF events; leak has only ON events. OFF events therefore give the shot noise rate, and
    the excess of ON events gives the leak rate.
    """
    from scipy.ndimage import maximum_filter, uniform_filter

    levels = np.stack([frame_levels(frame, config) for frame in frames])
    change = abs(uniform_filter(np.diff(levels, axis=0), BLUR))
    quiet = maximum_filter(change, QUIET_REACH) < QUIET_SHARE * min(config.pos_thres, config.neg_thres)
    on, off = counts[:, quiet].sum(axis=1).tolist()

    # A pixel in the light counts for the shorter time in the dark that has as much shot noise.
    seconds = quiet * np.diff([frame.t_us * 1e-6 for frame in frames])[:, None, None]
    darkness = 1 - (1 - SHOT_NOISE_AT_WHITE) * np.clip(intensity(levels[:-1], config), 0, 1)
    leak_rate_hz = max(0, on - off) / max(seconds.sum(), 1e-6)
    return {"leak_rate_hz": leak_rate_hz, "shot_noise_rate_hz": 2 * off / max((seconds * darkness).sum(), 1e-6)}


def _simulate(frames: Sequence[Frame], config: SimulatorConfig) -> Events:
    return concatenate(simulate(frames, config), frames[0].size)


def _refine_thresholds(
    frames: Sequence[Frame], recorded: Counts, config: SimulatorConfig
) -> tuple[SimulatorConfig, Counts]:
    """Search for the thresholds that give the recorded numbers of ON and OFF events; return them and a simulation."""
    from scipy.optimize import root

    wanted = recorded.sum(axis=(1, 2, 3))

    def change(logarithms: NDArray[np.float64]) -> SimulatorConfig:
        pos, neg = np.clip(np.exp(logarithms), *THRESHOLDS).tolist()
        return config.model_copy(update={"pos_thres": pos, "neg_thres": neg})

    def compare(logarithms: NDArray[np.float64]) -> NDArray[np.float64]:
        simulated = np.bincount(1 - _simulate(frames, change(logarithms)).p, minlength=2)
        return np.asarray(np.log(wanted / np.maximum(simulated, 1)))

    options = {"fatol": COUNT_TOLERANCE, "maxfev": MAX_SIMULATIONS}
    best = change(root(compare, np.log([config.pos_thres, config.neg_thres]), method="df-sane", options=options).x)
    return best, _count_events(frames, _simulate(frames, best))
