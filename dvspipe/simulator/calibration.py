"""Fit the pixel model to a recording of frames and events by the same sensor, such as a DAVIS camera.

Between events, the level L of a pixel stays within a threshold of its reference. At the time of each frame,

    L = c + pos * (ON events so far) - neg * (OFF events so far) + u,    -neg < u < pos.

Counts are integers without error, and u does not grow with time. Least squares of L on the two counts gives the
thresholds of each pixel; their medians are the thresholds of the sensor. (Regressing the change from frame to frame has
an error as large as the signal; regressing counts on L is biased by the noise of the frames.)

Changes between two frames, such as an edge that comes and goes, fire events in the sensor but not in the simulator. The
thresholds are therefore refined: the recorded frames are simulated until the numbers of ON and OFF events match.

`calibrate_frames` does this in order: thresholds (`_fit_thresholds`) for each candidate of the log offset, noise from
pixels without change (`_estimate_noise`), mismatch, and a last refinement (`_refine_thresholds`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ..base.errors import Brief, DataError
from ..base.files import write_text
from ..base.texts import Described, TextTable
from ..events import Events, concatenate
from ..events.correlation import correlate
from ..video.frames import Frame, checked_frames
from ..video.opencv import cv2
from .config import SimulatorConfig
from .levels import code_levels, float_levels, intensity
from .noise import SHOT_NOISE_AT_WHITE
from .simulator import simulate

MIN_FRAMES = 10
MIN_EVENTS = 1000
MIN_PIXELS = 30
MIN_COUNT = 3  # minimum events of each polarity to fit a pixel
SEGMENT_FRAMES = 50  # frames with a common constant c per pixel; noise events accumulate in longer segments
MAX_COLLINEARITY = 0.99  # maximum squared correlation of the two counts to fit a pixel
BLUR_PX = 5
QUIET_REACH_PX = 9  # a pixel is not quiet if this box changes, also in the previous or next interval
QUIET_SHARE = 0.15  # maximum change of a quiet pixel, as a fraction of the smaller threshold
MAD_TO_SIGMA = 1.4826  # standard deviation / median absolute deviation of a normal distribution
LOG_OFFSETS: tuple[float, ...] = tuple(2**k / 255 for k in range(8))
NEAR_BEST = 0.02  # correlations this close count as equal; two halves of a DAVIS recording of 2.4 s differ by 0.01
MATCH_TOLERANCE = 0.01
MATCH_STEPS = 15
COUNT_SLOPE = 1.5  # initial d ln(events) / d -ln(thresholds)
BALANCE_SLOPE = 0.8  # initial d ln(ON / OFF) / d ln(neg / pos)
MIN_FITTED = 0.01  # range of the fitted thresholds
MIN_THRESHOLD = 0.001  # range of `SimulatorConfig.pos_thres`
MAX_THRESHOLD = 10.0


CALIBRATED = {
    "pos_thres": "ON threshold in log intensity",
    "neg_thres": "OFF threshold in log intensity",
    "sigma_thres": "standard deviation of thresholds between pixels",
    "leak_rate_hz": "leak events per pixel and second",
    "shot_noise_rate_hz": "shot noise events per pixel and second in darkness",
    "log_offset": "epsilon of ln(intensity + epsilon)",
    "transfer": "transfer curve of these frames; a property of the video, so only a comment in the file",
    "refined": "whether simulations adjusted the thresholds to match the number of events",
    "correlation": "correlation of brightness changes and events; best: 1",
    "simulated_correlation": "correlation of simulated and recorded events; best: 1",
    "rate_ratio": "simulated / recorded events; best: 1",
    "on_off_ratio": "simulated ON/OFF ratio / recorded ON/OFF ratio; best: 1",
    "pixels": "number of pixels with fitted thresholds",
    "intervals": "number of frame intervals",
}
"""Meaning of each value of a calibration, in its text."""


@dataclass(frozen=True, repr=False)
class Calibration(Described, Brief):
    """Fitted sensor parameters and the quality of the fit.

    Args:
        pos_thres: ON threshold in log intensity.
        neg_thres: OFF threshold in log intensity.
        sigma_thres: Standard deviation of the thresholds over the pixels, in log intensity.
        leak_rate_hz: Leak events per pixel and second.
        shot_noise_rate_hz: Noise events per pixel and second in the dark.
        log_offset: Epsilon in L = ln(I + epsilon).
        transfer: Transfer curve of the frames.
        refined: Whether the thresholds were refined until the simulated and recorded event counts matched.
        correlation: Correlation of the change of L from frame to frame with the net event count, both blurred over
            5 x 5 pixels; median over frame intervals.
        simulated_correlation: Correlation of simulated with recorded net event counts, computed likewise.
        rate_ratio: Number of simulated / recorded events.
        on_off_ratio: Simulated ON / OFF divided by recorded ON / OFF.
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
    refined: bool
    correlation: float
    simulated_correlation: float
    rate_ratio: float
    on_off_ratio: float
    pixels: int
    intervals: int

    def describe(self) -> Sequence[TextTable]:
        """Return a row for each value."""
        table = TextTable()
        for name, value in asdict(self).items():
            table.add_row(name, f"{value:.6g}" if isinstance(value, float) else str(value), CALIBRATED[name])
        return [table]

    def to_yaml_settings(self) -> dict[str, float]:
        """Return the settings of `SimulatorConfig` for this sensor, rounded to four significant digits."""
        names = ("pos_thres", "neg_thres", "sigma_thres", "leak_rate_hz", "shot_noise_rate_hz", "log_offset")
        return {name: float(f"{getattr(self, name):.4g}") for name in names}

    def write(self, path: str | Path, *, comment: str = "Fitted to a recording") -> None:
        """Write the settings as a YAML preset for `read_preset`. An existing file is replaced.

        Args:
            path: Output file.
            comment: Comment in the first line, such as the name of the recording.

        Raises:
            FileError: If the file cannot be written.
        """
        settings = yaml.safe_dump(self.to_yaml_settings(), sort_keys=False)
        curve = f"Its frames have the transfer curve {self.transfer}: a property of the video, not of the sensor."
        write_text(Path(path), f"# {comment}\n# {curve}\n{settings}")


@dataclass(frozen=True)
class _PixelFits:
    """Fitted thresholds of the pixels, [n] each."""

    pos: NDArray[np.float64]
    neg: NDArray[np.float64]

    def scatter(self) -> float:
        """Return a robust variance of the thresholds (from the median absolute deviation), mean of ON and OFF."""
        deviations = []
        for thresholds in (self.pos, self.neg):
            distances = abs(thresholds - np.median(thresholds))
            deviations.append(np.median(distances) * MAD_TO_SIGMA)

        return float(np.mean(np.square(deviations)))


@dataclass(frozen=True)
class _Simulation:
    """Simulation of the recorded frames, compared with the recorded events."""

    config: SimulatorConfig
    events: Events
    count: float  # ln(simulated / recorded events), mean of the polarities
    balance: float  # ln of the simulated ON / OFF ratio over the recorded ON / OFF ratio

    @property
    def deviation(self) -> float:
        """Largest deviation from the recorded event counts, as a logarithm."""
        return max(abs(self.count), abs(self.balance))


def calibrate_frames(
    frames: Sequence[Frame], events: Events, *, log_offset: float | None = None, refine: bool = True
) -> Calibration:
    """Fit the pixel model to frames and events of the same sensor.

    Args:
        frames: Frames in time order, timed at the middle of the exposure, on the clock of the events.
        events: Events of the same pixels.
        log_offset: Epsilon in L = ln(I + epsilon), if known. Default: the value of `LOG_OFFSETS` whose simulated net
            event counts correlate best with the recording; without `refine`, the smallest value whose changes of L
            correlate nearly as well as the best.
        refine: Whether to refine the least-squares thresholds until a simulation of the frames has as many ON and OFF
            events as the recording.

    Raises:
        DataError: If there are too few frames (< 10), events (< 1000) or pixels (< 30) with at least 3 events of both
            polarities, or the frame size differs from the sensor.
        VideoError: If consecutive frames do not fit.
    """
    frames, events = _select_overlap(frames, events)
    if log_offset is None and not refine:
        log_offset = _smallest_good_offset(frames, events)
    offsets = LOG_OFFSETS if log_offset is None else (log_offset,)

    # The thresholds are fitted for each offset: the simulation that is most like the recording has the best one.
    def correlation(candidate: tuple[_Simulation, _PixelFits]) -> float:
        simulation, _ = candidate
        return _net_correlation(frames, simulation.events, events)

    candidates = [_fit_thresholds(frames, events, offset, refine=refine) for offset in offsets]
    best, fits = max(candidates, key=correlation)
    config = best.config.model_copy(update=_estimate_noise(frames, events, best.config))

    # Fitted thresholds scatter even in a simulation without mismatch: only the rest is mismatch of the sensor.
    ideal = _fit_pixels(frames, best.events, best.config)
    sigma = math.sqrt(max(0.0, fits.scatter() - ideal.scatter()))
    config = config.model_copy(update={"sigma_thres": min(sigma, 1.0)})

    # Noise and mismatch change the numbers of events, so the thresholds are refined again.
    final = _refine_thresholds(frames, events, config) if refine else _simulate(frames, events, config)

    return Calibration(
        pos_thres=final.config.pos_thres,
        neg_thres=final.config.neg_thres,
        sigma_thres=final.config.sigma_thres,
        leak_rate_hz=final.config.leak_rate_hz,
        shot_noise_rate_hz=final.config.shot_noise_rate_hz,
        log_offset=final.config.log_offset,
        transfer=frames[0].transfer,
        refined=refine,
        correlation=_level_correlation(frames, events, final.config),
        simulated_correlation=_net_correlation(frames, final.events, events),
        rate_ratio=len(final.events) / len(events),
        on_off_ratio=math.exp(final.balance),
        pixels=len(fits.pos),
        intervals=len(frames) - 1,
    )


def _select_overlap(frames: Sequence[Frame], events: Events) -> tuple[list[Frame], Events]:
    """Select the frames during the events, and the events during these frames."""
    for frame in checked_frames(frames):
        if frame.size != events.sensor:
            raise DataError(f"frame at {frame.t_us} us: wrong size (found {frame.size}, expected {events.sensor})")

    # Both intervals at the ends may have events in a part of them: they are kept.
    selected = list(frames)
    if len(events):
        first_us = int(events.t[0])
        last_us = int(events.t[-1])
        begin = max(0, sum(frame.t_us < first_us for frame in selected) - 1)
        end = len(selected) - max(0, sum(frame.t_us >= last_us for frame in selected) - 1)
        selected = selected[begin:end]
    if len(selected) < MIN_FRAMES:
        raise DataError(f"too few frames during the events (found {len(selected)}, expected {MIN_FRAMES} or more)")

    # An event at the time of a frame belongs to the interval before it.
    inside = events.between(selected[0].t_us + 1, selected[-1].t_us + 1)
    if len(inside) < MIN_EVENTS:
        raise DataError(f"too few events during the frames (found {len(inside)}, expected {MIN_EVENTS} or more)")
    if inside.p.all() or not inside.p.any():
        polarity = "ON" if inside.p[0] else "OFF"
        raise DataError(f"events of only one polarity (found {polarity}, expected both ON and OFF)")

    return selected, inside


def _levels(frame: Frame, config: SimulatorConfig) -> NDArray[np.float64]:
    """Return the level L of each pixel, [H, W]."""
    if frame.image.dtype.kind == "f":
        return float_levels(frame, config)

    levels: NDArray[np.float64] = code_levels(frame.image.dtype, frame.transfer, config)[frame.image]
    return levels


def _unsaturated(frame: Frame) -> NDArray[np.bool_]:
    """Return whether the level of each pixel is known, bool [H, W]: black and white of integers may be clipped."""
    if frame.image.dtype.kind == "f":
        return np.ones(frame.image.shape, np.bool_)

    unsaturated: NDArray[np.bool_] = (frame.image > 0) & (frame.image < np.iinfo(frame.image.dtype).max)
    return unsaturated


def _counts(frames: Sequence[Frame], events: Events) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the OFF and ON events of each pixel, int64 [H, W] each, for each frame interval (t_k, t_k+1]."""
    height = events.sensor.height
    width = events.sensor.width
    for before, after in pairwise(frames):
        inside = events.between(before.t_us + 1, after.t_us + 1)
        pixels = inside.y.astype(np.int64) * width + inside.x
        off = np.bincount(pixels[~inside.p], minlength=height * width)
        on = np.bincount(pixels[inside.p], minlength=height * width)
        yield off.reshape(height, width), on.reshape(height, width)


def _blur(values: NDArray[Any]) -> NDArray[np.float64]:
    blurred: NDArray[np.float64] = cv2.blur(values.astype(np.float64), (BLUR_PX, BLUR_PX))
    return blurred


def _median_correlation(pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]]) -> float:
    """Return the median correlation of pairs of blurred maps; 0 if no correlation is defined."""
    values = [correlate(_blur(a), _blur(b)) for a, b in pairs]
    defined = [value for value in values if value is not None]
    return float(np.median(defined)) if defined else 0.0


def _level_correlation(frames: Sequence[Frame], events: Events, config: SimulatorConfig) -> float:
    """Return the correlation of the change of the levels with the net event counts, over frame intervals."""
    changes = (_levels(after, config) - _levels(before, config) for before, after in pairwise(frames))
    pairs = zip(changes, _counts(frames, events), strict=True)
    return _median_correlation((change, on - off) for change, (off, on) in pairs)


def _net_correlation(frames: Sequence[Frame], a: Events, b: Events) -> float:
    """Return the correlation of the net event counts of two recordings, over frame intervals."""
    pairs = zip(_counts(frames, a), _counts(frames, b), strict=True)
    return _median_correlation((on_a - off_a, on_b - off_b) for (off_a, on_a), (off_b, on_b) in pairs)


def _smallest_good_offset(frames: Sequence[Frame], events: Events) -> float:
    """Return the smallest offset that correlates nearly as well as the best; larger offsets hide frame noise."""
    correlations = {
        offset: _level_correlation(frames, events, SimulatorConfig(log_offset=offset)) for offset in LOG_OFFSETS
    }
    best = max(correlations.values())
    return min(offset for offset, correlation in correlations.items() if correlation >= best - NEAR_BEST)


def _fit_thresholds(
    frames: Sequence[Frame], events: Events, log_offset: float, *, refine: bool
) -> tuple[_Simulation, _PixelFits]:
    """Fit the thresholds of the sensor for a log offset: the medians over the pixels, refined if `refine`."""
    config = SimulatorConfig(log_offset=log_offset)
    fits = _fit_pixels(frames, events, config)
    if len(fits.pos) < MIN_PIXELS:
        raise DataError(
            f"too few unsaturated pixels with at least {MIN_COUNT} events of each polarity "
            f"(found {len(fits.pos)}, expected {MIN_PIXELS} or more); record more motion"
        )

    medians = {
        "pos_thres": float(np.clip(np.median(fits.pos), MIN_FITTED, MAX_THRESHOLD)),
        "neg_thres": float(np.clip(np.median(fits.neg), MIN_FITTED, MAX_THRESHOLD)),
    }
    config = config.model_copy(update=medians)
    simulation = _refine_thresholds(frames, events, config) if refine else _simulate(frames, events, config)
    return simulation, fits


def _fit_pixels(frames: Sequence[Frame], events: Events, config: SimulatorConfig) -> _PixelFits:
    """Fit the level of each pixel to its cumulative ON and OFF counts by least squares; see the module.

    Only pixels with enough events of both polarities are fitted. Centring the regressors and the level in each segment
    removes the constant c.
    """
    shape = events.sensor.height, events.sensor.width
    on_so_far = np.zeros(shape)
    off_so_far = np.zeros(shape)
    moments = np.zeros((5, *shape))  # the terms of `_normal_terms`, summed over all segments

    # No events are before the first frame, so each frame has the counts since the frame before it.
    nothing = np.zeros(shape, np.int64)
    counts = chain([(nothing, nothing)], _counts(frames, events))

    for start in range(0, len(frames), SEGMENT_FRAMES):
        segment = frames[start : start + SEGMENT_FRAMES]
        origin = _levels(segment[0], config)  # differences from it are small, and their squares exact enough
        used_frames = np.zeros(shape)
        sums = np.zeros((3, *shape))
        products = np.zeros((5, *shape))
        for frame, (off, on) in zip(segment, counts, strict=False):  # segment first, or zip drops a count
            on_so_far = on_so_far + on
            off_so_far = off_so_far + off

            is_used = _unsaturated(frame)
            used_frames += is_used
            values = np.stack([on_so_far, -off_so_far, _levels(frame, config) - origin]) * is_used
            sums += values
            products += _normal_terms(values)

        # Centred moments: the sum of (x - mean) (y - mean) is the sum of x y, minus the sums' product over the frames.
        moments += products - _normal_terms(sums) / np.maximum(used_frames, 1)

    # If both counts grow together, their coefficients are not determined.
    on_on, off_off, on_off, on_level, off_level = moments
    has_counts = (on_so_far >= MIN_COUNT) & (off_so_far >= MIN_COUNT)
    is_determined = has_counts & (on_off * on_off < MAX_COLLINEARITY * on_on * off_off)

    # Cramer's rule for the two normal equations:
    # on_on * pos + on_off * neg = on_level, and on_off * pos + off_off * neg = off_level.
    on_on, off_off, on_off, on_level, off_level = (moment[is_determined] for moment in moments)
    determinant = on_on * off_off - on_off * on_off
    pos = (off_off * on_level - on_off * off_level) / determinant
    neg = (on_on * off_level - on_off * on_level) / determinant
    return _PixelFits(pos, neg)


def _normal_terms(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the terms of the normal equations of level = pos * on + neg * off; `off` is minus the OFF events."""
    on, off, level = values
    return np.stack([on * on, off * off, on * off, on * level, off * level])


def _estimate_noise(frames: Sequence[Frame], events: Events, config: SimulatorConfig) -> dict[str, float]:
    """Estimate leak and shot noise rates from pixels and intervals without change.

    Shot noise has as many ON as OFF events; leak has only ON events. OFF events therefore give the shot noise rate, and
    the excess of ON events gives the leak rate.
    """
    limit = QUIET_SHARE * min(config.pos_thres, config.neg_thres)
    box = np.ones((QUIET_REACH_PX, QUIET_REACH_PX), np.uint8)
    still = []
    for before, after in pairwise(frames):
        change = abs(_blur(_levels(after, config) - _levels(before, config)))
        still.append(cv2.dilate(change, box) < limit)

    on = 0
    off = 0
    quiet_s = 0.0  # summed over pixels
    dark_s = 0.0
    for interval, (count_off, count_on) in enumerate(_counts(frames, events)):
        before = frames[interval]
        after = frames[interval + 1]
        seconds = (after.t_us - before.t_us) * 1e-6

        # Changes in the intervals beside it may fire events in this one.
        previous = max(interval - 1, 0)
        following = min(interval + 1, len(still) - 1)
        quiet = still[previous] & still[interval] & still[following]
        light = np.clip(intensity(_levels(before, config)[quiet], config), 0, 1)
        quiet_s += light.size * seconds

        # A pixel in the light counts for the shorter time in the dark that has as much shot noise.
        dark_s += float((1 - (1 - SHOT_NOISE_AT_WHITE) * light).sum()) * seconds
        on += int(count_on[quiet].sum())
        off += int(count_off[quiet].sum())

    if not quiet_s:
        return {"leak_rate_hz": 0.0, "shot_noise_rate_hz": 0.0}
    return {"leak_rate_hz": max(0.0, on - off) / quiet_s, "shot_noise_rate_hz": 2 * off / dark_s}


def _simulate(frames: Sequence[Frame], events: Events, config: SimulatorConfig) -> _Simulation:
    """Simulate the frames, and compare the numbers of events with the recorded ones."""
    simulated = concatenate(simulate(frames, config), events.sensor)

    def log_ratio(polarity: bool) -> float:
        recorded = int(np.count_nonzero(events.p == polarity))
        return math.log(max(1, int(np.count_nonzero(simulated.p == polarity))) / recorded)

    on = log_ratio(True)
    off = log_ratio(False)
    return _Simulation(config, simulated, (on + off) / 2, on - off)


def _refine_thresholds(frames: Sequence[Frame], events: Events, config: SimulatorConfig) -> _Simulation:
    """Search for the thresholds that give the recorded numbers of ON and OFF events, by the secant method.

    The size of the thresholds changes the number of events, and their ratio changes ON / OFF. Both slopes are estimated
    from the last two simulations.
    """
    best = last = _simulate(frames, events, config)
    slopes = np.array([COUNT_SLOPE, BALANCE_SLOPE])
    for _ in range(MATCH_STEPS):
        if best.deviation < MATCH_TOLERANCE:
            break

        # The first step scales both thresholds, the second one their ratio.
        step = np.array([last.count, last.balance]) / slopes
        scale_step, ratio_step = step.tolist()
        pos = last.config.pos_thres * math.exp(scale_step + ratio_step / 2)
        neg = last.config.neg_thres * math.exp(scale_step - ratio_step / 2)
        moved = {
            "pos_thres": min(max(pos, MIN_THRESHOLD), MAX_THRESHOLD),
            "neg_thres": min(max(neg, MIN_THRESHOLD), MAX_THRESHOLD),
        }
        now = _simulate(frames, events, last.config.model_copy(update=moved))

        # Secant: a slope is the change of the logarithm per step, but at most half or twice the previous one.
        gained = np.array([last.count - now.count, last.balance - now.balance])
        reliable = abs(step) > MATCH_TOLERANCE  # smaller steps do not determine the slope
        slopes = np.where(reliable, np.clip(gained / np.where(reliable, step, 1), slopes / 2, slopes * 2), slopes)

        best = min(best, now, key=lambda simulation: simulation.deviation)
        last = now
    return best
