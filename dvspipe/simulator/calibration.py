"""The pixel model's parameters from a recording that holds frames and events of one sensor, as a DAVIS camera makes.

Between events a pixel's level L stays within a threshold of its reference, so that at the time of every frame

    L = c + pos * (ON events so far) - neg * (OFF events so far) + u,    -neg < u < pos.

Counts are whole numbers without error and u does not grow with time: least squares of L on the two counts, pixel by
pixel, gives each pixel's thresholds, and the median over pixels the sensor's. (Regressing the change from frame to
frame instead has an error as large as the signal; regressing counts on L is biased by the noise of the frames.)

What happens between two frames, such as an edge that comes and goes, makes events in the sensor and none in the
simulator. The thresholds are therefore refined by simulating the recording's own frames until the numbers of ON and
OFF events are those of the recording.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..events import Events, concatenate
from ..frames import Frame
from ..opencv import cv2
from .config import SimulatorConfig
from .levels import code_levels, float_levels, intensity
from .noise import SHOT_NOISE_AT_WHITE
from .simulator import simulate

LEAST_FRAMES = 10
LEAST_EVENTS = 1000
LEAST_PIXELS = 30
LEAST_COUNT = 3  # events of each polarity that a pixel needs for a fit of its own
SEGMENT_FRAMES = 50  # share one constant c per pixel; noise events add up over longer ones
LARGEST_COLLINEARITY = 0.99  # squared correlation of the two counts of a pixel that can still be told apart
BLUR_PX = 5
QUIET_REACH_PX = 9  # a change within this box, or in the interval before or after, is not quiet
QUIET_SHARE = 0.15  # of the smaller threshold: the largest change of a quiet pixel
MAD_TO_SIGMA = 1.4826  # of a normal distribution
LOG_OFFSETS: tuple[float, ...] = tuple(2**k / 255 for k in range(8))
NEAR_BEST = 0.02  # correlation; the two halves of the DAVIS recording of 2.4 s differ by 0.01
MATCH_TOLERANCE = 0.01
MATCH_STEPS = 15
COUNT_SLOPE = 1.5  # d ln(events) / d -ln(thresholds) to begin with
BALANCE_SLOPE = 0.8  # d ln(ON / OFF) / d ln(neg / pos) to begin with


@dataclass(frozen=True)
class Calibration:
    """The parameters of a sensor, and how well they describe the recording that they come from.

    Args:
        pos_thres: ON threshold in log intensity.
        neg_thres: OFF threshold in log intensity.
        sigma_thres: Standard deviation of the thresholds from pixel to pixel, in log intensity.
        leak_rate_hz: Leak events per pixel and second.
        shot_noise_rate_hz: Noise events per pixel and second in the dark.
        log_offset: Epsilon in L = ln(I + epsilon).
        transfer: Transfer curve of the frames.
        refined: Whether simulations matched the thresholds to the numbers of events.
        correlation: Of the change of L from frame to frame with the net event count, both blurred by 5 x 5 pixels;
            the median over frame intervals.
        simulated_correlation: The same of simulated with recorded net counts.
        rate_ratio: Simulated events divided by recorded ones.
        on_off_ratio: Simulated ON / OFF divided by recorded ON / OFF.
        pixels: Number of pixels that the thresholds come from.
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

    def to_yaml_settings(self) -> dict[str, float]:
        """The settings of `SimulatorConfig` that make this sensor, rounded to four digits."""
        names = ("pos_thres", "neg_thres", "sigma_thres", "leak_rate_hz", "shot_noise_rate_hz", "log_offset")
        return {name: float(f"{getattr(self, name):.4g}") for name in names}


@dataclass(frozen=True)
class _PixelFits:
    """Thresholds of single pixels, [n] each."""

    pos: NDArray[np.float64]
    neg: NDArray[np.float64]

    def scatter(self) -> float:
        """The mean square deviation of thresholds from their median, insensitive to outliers."""
        deviations = [np.median(abs(each - np.median(each))) * MAD_TO_SIGMA for each in (self.pos, self.neg)]
        return float(np.mean(np.square(deviations)))


@dataclass(frozen=True)
class _Simulated:
    """A simulation of the recording's frames, compared with its events."""

    config: SimulatorConfig
    events: Events
    count: float  # ln of the ratio of simulated to recorded events, mean of the polarities
    balance: float  # ln of simulated ON / OFF over recorded ON / OFF

    @property
    def miss(self) -> float:
        """How far the numbers of events are from the recorded ones."""
        return max(abs(self.count), abs(self.balance))


def calibrate(
    frames: Sequence[Frame], events: Events, *, log_offset: float | None = None, refine: bool = True
) -> Calibration:
    """The pixel model of the sensor that recorded both frames and events.

    Args:
        frames: Frames in the order of their times, each at the middle of its exposure, on the clock of the events.
        events: Events of the same pixels.
        log_offset: Epsilon in L = ln(I + epsilon), if it is known; otherwise that of `LOG_OFFSETS` whose simulated
            net counts correlate best with the recorded ones, or without `refine`, the smallest one whose change of L
            correlates nearly as well as any.
        refine: Whether to search for the thresholds with which a simulation of the frames has as many ON and OFF
            events as the recording; without it they are those of the least squares.

    Raises:
        DataError: There are too few frames, events, or pixels with events of both polarities, or the frames are not of
            the size of the sensor.
        VideoError: The frames do not fit together.
    """
    frames, events = _overlapping(frames, events)
    if log_offset is None and not refine:
        log_offset = _smallest_good_offset(frames, events)
    offsets = LOG_OFFSETS if log_offset is None else (log_offset,)
    tried = [_threshold_fit(frames, events, offset, refine=refine) for offset in offsets]
    best, fits = max(tried, key=lambda pair: _net_correlation(frames, pair[0].events, events))
    config = best.config.model_copy(update=_noise_rates(frames, events, best.config))
    ideal = _pixel_fits(frames, best.events, best.config)
    sigma = math.sqrt(max(0.0, fits.scatter() - ideal.scatter()))
    config = config.model_copy(update={"sigma_thres": min(sigma, 1.0)})
    final = _match(frames, events, config) if refine else _try(frames, events, config)
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


def _overlapping(frames: Sequence[Frame], events: Events) -> tuple[list[Frame], Events]:
    """The frames whose intervals touch the events, and the events inside these intervals."""
    for frame in frames:
        if frame.size != events.sensor:
            raise DataError(f"the frame at {frame.t_us} us is {frame.size}, the events' sensor {events.sensor}")
    kept = list(frames)
    if len(events):
        first_us, last_us = int(events.t[0]), int(events.t[-1])
        begin = max(0, sum(frame.t_us < first_us for frame in kept) - 1)
        end = len(kept) - max(0, sum(frame.t_us >= last_us for frame in kept) - 1)
        kept = kept[begin:end]
    if len(kept) < LEAST_FRAMES:
        raise DataError(f"{len(kept)} frames at the time of the events, calibrating takes {LEAST_FRAMES} or more")
    inside = events.slice_time(kept[0].t_us + 1, kept[-1].t_us + 1)
    if len(inside) < LEAST_EVENTS:
        raise DataError(f"{len(inside)} events at the time of the frames, calibrating takes {LEAST_EVENTS} or more")
    if inside.p.all() or not inside.p.any():
        raise DataError(f"all events are {'ON' if inside.p[0] else 'OFF'}, calibrating takes both polarities")
    return kept, inside


def _levels(frame: Frame, config: SimulatorConfig) -> NDArray[np.float64]:
    if frame.image.dtype.kind == "f":
        return float_levels(frame, config)
    levels: NDArray[np.float64] = code_levels(frame.image.dtype, frame.transfer, config)[frame.image]
    return levels


def _unsaturated(frame: Frame) -> NDArray[np.bool_]:
    if frame.image.dtype.kind == "f":
        return np.ones(frame.image.shape, np.bool_)
    unsaturated: NDArray[np.bool_] = (frame.image > 0) & (frame.image < np.iinfo(frame.image.dtype).max)
    return unsaturated


def _counts(frames: Sequence[Frame], events: Events) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """OFF and ON events per pixel, int64 [H, W] each, in every frame interval (t_k, t_k+1]."""
    shape = events.sensor.height, events.sensor.width
    for before, after in pairwise(frames):
        part = events.slice_time(before.t_us + 1, after.t_us + 1)
        place = part.y.astype(np.int64) * shape[1] + part.x
        off, on = (np.bincount(place[part.p == p], minlength=shape[0] * shape[1]).reshape(shape) for p in (False, True))
        yield off, on


def _blur(values: NDArray[Any]) -> NDArray[np.float64]:
    blurred: NDArray[np.float64] = cv2.blur(values.astype(np.float64), (BLUR_PX, BLUR_PX))
    return blurred


def _correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Pearson's correlation of two maps, blurred; NaN where one is flat."""
    from_mean_a, from_mean_b = (blurred - blurred.mean() for blurred in (_blur(a), _blur(b)))
    # sums, not dot products: these took 3 ms each in BLAS threads while another process had the second core
    norm = math.sqrt(float(np.square(from_mean_a).sum()) * float(np.square(from_mean_b).sum()))
    return float((from_mean_a * from_mean_b).sum()) / norm if norm else math.nan


def _median_correlation(values: Iterator[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return float(np.median(defined)) if defined else 0.0


def _level_correlation(frames: Sequence[Frame], events: Events, config: SimulatorConfig) -> float:
    changes = (_levels(b, config) - _levels(a, config) for a, b in pairwise(frames))
    pairs = zip(changes, _counts(frames, events), strict=True)
    return _median_correlation(_correlation(change, on - off) for change, (off, on) in pairs)


def _net_correlation(frames: Sequence[Frame], a: Events, b: Events) -> float:
    pairs = zip(_counts(frames, a), _counts(frames, b), strict=True)
    return _median_correlation(_correlation(on_a - off_a, on_b - off_b) for (off_a, on_a), (off_b, on_b) in pairs)


def _smallest_good_offset(frames: Sequence[Frame], events: Events) -> float:
    """A larger offset hides more of the frames' noise, whatever the sensor's is: the least that nearly does as well."""
    found = {offset: _level_correlation(frames, events, SimulatorConfig(log_offset=offset)) for offset in LOG_OFFSETS}
    best = max(found.values())
    return min(offset for offset, correlation in found.items() if correlation >= best - NEAR_BEST)


def _threshold_fit(
    frames: Sequence[Frame], events: Events, log_offset: float, *, refine: bool
) -> tuple[_Simulated, _PixelFits]:
    config = SimulatorConfig(log_offset=log_offset)
    fits = _pixel_fits(frames, events, config)
    if len(fits.pos) < LEAST_PIXELS:
        raise DataError(
            f"{len(fits.pos)} pixels have {LEAST_COUNT} or more events of each polarity and are not saturated, "
            f"calibrating takes {LEAST_PIXELS} or more: record more motion"
        )
    pos, neg = (float(np.clip(np.median(each), 0.01, 10)) for each in (fits.pos, fits.neg))
    config = config.model_copy(update={"pos_thres": pos, "neg_thres": neg})
    return (_match(frames, events, config) if refine else _try(frames, events, config)), fits


def _pixel_fits(frames: Sequence[Frame], events: Events, config: SimulatorConfig) -> _PixelFits:
    """Least squares of the level on the numbers of ON and OFF events so far, for every pixel with enough of both.

    The regressors and the level are centred in each segment, which is the constant c of the segment.
    """
    shape = events.sensor.height, events.sensor.width
    on_so_far, off_so_far = np.zeros(shape), np.zeros(shape)
    moments = np.zeros((5, *shape))
    nothing = np.zeros(shape, np.int64)
    counts = chain([(nothing, nothing)], _counts(frames, events))  # none yet at the first frame
    for start in range(0, len(frames), SEGMENT_FRAMES):
        segment = frames[start : start + SEGMENT_FRAMES]
        origin = _levels(segment[0], config)
        weight, sums, products = np.zeros(shape), np.zeros((3, *shape)), np.zeros((5, *shape))
        for frame, (off, on) in zip(segment, counts, strict=False):  # the frames first: no count is lost
            on_so_far, off_so_far = on_so_far + on, off_so_far + off
            use = _unsaturated(frame)
            weight += use
            values = np.stack([on_so_far, -off_so_far, _levels(frame, config) - origin]) * use
            sums += values
            products += _products(values)
        moments += products - _products(sums) / np.maximum(weight, 1)
    aa, bb, ab, ay, by = moments
    enough = (on_so_far >= LEAST_COUNT) & (off_so_far >= LEAST_COUNT) & (ab * ab < LARGEST_COLLINEARITY * aa * bb)
    aa, bb, ab, ay, by = (moment[enough] for moment in moments)
    determinant = aa * bb - ab * ab
    return _PixelFits((bb * ay - ab * by) / determinant, (aa * by - ab * ay) / determinant)


def _products(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The products that the normal equations of y = pos * a + neg * b are made of."""
    a, b, y = values
    return np.stack([a * a, b * b, a * b, a * y, b * y])


def _noise_rates(frames: Sequence[Frame], events: Events, config: SimulatorConfig) -> dict[str, float]:
    """Leak and shot noise from pixels and intervals where nothing changes.

    Shot noise has as many ON as OFF events, and leaks make ON events only: OFF events show the one, what ON events are
    more the other.
    """
    limit = QUIET_SHARE * min(config.pos_thres, config.neg_thres)
    box = np.ones((QUIET_REACH_PX, QUIET_REACH_PX), np.uint8)
    still = []
    for before, after in pairwise(frames):
        change = abs(_blur(_levels(after, config) - _levels(before, config)))
        still.append(cv2.dilate(change, box) < limit)
    on = off = dark_s = quiet_s = 0.0
    for k, (count_off, count_on) in enumerate(_counts(frames, events)):
        quiet = still[max(k - 1, 0)] & still[k] & still[min(k + 1, len(still) - 1)]
        seconds = (frames[k + 1].t_us - frames[k].t_us) * 1e-6
        light = np.clip(intensity(_levels(frames[k], config)[quiet], config), 0, 1)
        quiet_s += light.size * seconds
        dark_s += float((1 - (1 - SHOT_NOISE_AT_WHITE) * light).sum()) * seconds
        on += int(count_on[quiet].sum())
        off += int(count_off[quiet].sum())
    if not quiet_s:
        return {"leak_rate_hz": 0.0, "shot_noise_rate_hz": 0.0}
    return {"leak_rate_hz": max(0.0, on - off) / quiet_s, "shot_noise_rate_hz": 2 * off / dark_s}


def _try(frames: Sequence[Frame], events: Events, config: SimulatorConfig) -> _Simulated:
    simulated = concatenate(simulate(frames, config), events.sensor)
    on, off = (
        math.log(max(1, int(np.count_nonzero(simulated.p == p))) / int(np.count_nonzero(events.p == p)))
        for p in (True, False)
    )
    return _Simulated(config, simulated, (on + off) / 2, on - off)


def _match(frames: Sequence[Frame], events: Events, config: SimulatorConfig) -> _Simulated:
    """The simulation with as many ON and OFF events as recorded, by secants.

    The common size of the thresholds moves the number of events, their ratio moves ON / OFF; the slope of each is taken
    from the last two simulations.
    """
    best = last = _try(frames, events, config)
    slopes = np.array([COUNT_SLOPE, BALANCE_SLOPE])
    for _ in range(MATCH_STEPS):
        if best.miss < MATCH_TOLERANCE:
            break
        step = np.array([last.count, last.balance]) / slopes
        pos = last.config.pos_thres * math.exp(step[0] + step[1] / 2)
        neg = last.config.neg_thres * math.exp(step[0] - step[1] / 2)
        moved = {"pos_thres": min(max(pos, 0.001), 10.0), "neg_thres": min(max(neg, 0.001), 10.0)}
        now = _try(frames, events, last.config.model_copy(update=moved))
        gained = np.array([last.count - now.count, last.balance - now.balance])
        told = abs(step) > MATCH_TOLERANCE  # a smaller step says little about the slope
        slopes = np.where(told, np.clip(gained / np.where(told, step, 1), slopes / 2, slopes * 2), slopes)
        best = min(best, now, key=lambda each: each.miss)
        last = now
    return best
