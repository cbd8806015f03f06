"""Repetitions in a path: find the part that repeats, and its period, by comparing the path with itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .network import Floats
from .track import cumulate, find_runs

MIN_PERIOD_S = 0.2
MAX_PERIOD_S = 4.0
MIN_SIMILARITY = 0.5  # 1: identical cycles; 0: noise
PERIOD_DRIFT = 0.15  # relative change of the period within a stretch
MIN_STRETCH = 2.25  # length of the stretch relative to the period; 2 cycles can be similar by chance
MIN_COUNT = 2
MAX_CHANGE = 3.0  # squared distance of samples one period apart, relative to the variance of a cycle; noise: 2
SHORTER_SHARE = 0.8  # a shorter period is preferred at this share of the best score; multiples of a period also fit


@dataclass(frozen=True)
class Cycles:
    """Repeated part of a path: its first and its last sample, and the number of complete cycles, 2 or more."""

    start: int
    stop: int
    count: int


def find_cycles(path: Floats, step_s: float, min_spread: float) -> Cycles | None:
    """Find the longest stretch of a path that repeats, cut to complete cycles.

    Neighbouring windows A and B of one lag each are compared at all places and lags: their similarity is
    1 - sum |B - A|^2 / sum |AB - mean(AB)|^2. It is 1 for identical cycles, 0 for noise, and negative for straight
    movement.

    The path has points at equal intervals, [T, D]; a smaller standard deviation in a cycle than `min_spread` is noise.

    Example:
        >>> t_s = np.arange(101) / 30
        >>> find_cycles(np.sin(2 * np.pi * 1.5 * t_s)[:, None], 1 / 30, 0.1)
        Cycles(start=0, stop=100, count=5)
    """
    T = len(path)
    lags = np.arange(max(2, round(MIN_PERIOD_S / step_s)), min(T // 2, round(MAX_PERIOD_S / step_s)) + 1)
    if len(lags) == 0:
        return None

    similarity = np.stack([_compare_windows(path, lag, min_spread) for lag in lags.tolist()])
    stretches = [_longest_stretch(similarity, lags, lag) for lag in lags.tolist()]
    scores = np.array([score for score, _, _ in stretches])
    if scores.max() <= 0:
        return None

    # The shortest good lag, and from there up to its peak: multiples of a period fit as well as the period itself.
    chosen = int(np.flatnonzero(scores >= SHORTER_SHARE * scores.max())[0])
    while chosen + 1 < len(lags) and scores[chosen + 1] > scores[chosen]:
        chosen += 1

    _, first, last = stretches[chosen]
    near = _near(lags, int(lags[chosen]))
    period = float(np.median(lags[near][np.argmax(similarity[near, first : last + 1], axis=0)]))

    start, stop = _trim(path, max(0, round(first - period)), min(T - 1, round(last + period)), round(period))
    return None if stop - start < (MIN_COUNT - 0.15) * period else _close_loop(path, start, stop, period)


def _compare_windows(path: Floats, lag: int, min_spread: float) -> Floats:
    """Return the similarity of the windows before and after each sample, [T]; -1 without two windows."""
    T = len(path)

    # Prefix sums give the sums of all windows at once, with sum |x - mean|^2 = sum |x|^2 - |sum x|^2 / n.
    square = cumulate((path**2).sum(axis=1))
    steps = cumulate(((path[lag:] - path[:-lag]) ** 2).sum(axis=1))
    total = cumulate(path)

    starts = np.arange(T - 2 * lag + 1)
    sums = total[starts + 2 * lag] - total[starts]
    spread = np.maximum(square[starts + 2 * lag] - square[starts] - (sums**2).sum(axis=1) / (2 * lag), 1e-12)

    similarity = np.full(T, -1.0)
    measured = 1 - (steps[starts + lag] - steps[starts]) / spread
    similarity[starts + lag] = np.where(spread / (2 * lag) >= min_spread**2, measured, -1)

    return similarity


def _near(lags: NDArray[np.int64], lag: int) -> NDArray[np.bool_]:
    return np.asarray(np.abs(lags - lag) <= PERIOD_DRIFT * lag)


def _longest_stretch(similarity: Floats, lags: NDArray[np.int64], lag: int) -> tuple[float, int, int]:
    """Return score, first and last sample of the best stretch at a lag; score 0: none."""
    similar = similarity[_near(lags, lag)].max(axis=0)
    best_stretch = (0.0, 0, 0)
    for first, stop in find_runs(similar >= MIN_SIMILARITY):
        length = stop - first - 1 + 2 * lag
        if length >= MIN_STRETCH * lag:
            # Similarity at the exact lag ranks the lags; the band only bridges changes of pace.
            score = length * float(np.clip(similarity[lags == lag, first:stop], 0, 1).mean())
            best_stretch = max(best_stretch, (score, first, stop - 1))

    return best_stretch


def _trim(path: Floats, start: int, stop: int, period: int) -> tuple[int, int]:
    """Trim samples at both ends that differ from the sample one period later or earlier, as while a hand is raised."""
    middle = path[start : stop + 1]
    apart = ((middle[period:] - middle[:-period]) ** 2).sum(axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(middle, period, axis=0)
    same = np.flatnonzero(apart <= MAX_CHANGE * np.median(windows.var(axis=-1).sum(axis=-1)))
    return (start, start) if len(same) == 0 else (start + int(same[0]), start + period + int(same[-1]))


def _close_loop(path: Floats, start: int, stop: int, period: float) -> Cycles:
    """Cut to complete cycles; the last sample is the one most similar to the first, in place and velocity."""
    count = max(MIN_COUNT, int((stop - start) / period + 0.15))

    # The velocity is scaled by 1 / (angular frequency), so in a circle it is as large as the distance from the centre.
    velocity = np.gradient(path, axis=0) * period / (2 * np.pi)

    end = start + count * period
    ends = np.arange(max(start + 1, round(end - 0.2 * period)), min(len(path) - 1, round(end + 0.2 * period)) + 1)
    apart = ((path[ends] - path[start]) ** 2 + (velocity[ends] - velocity[start]) ** 2).sum(axis=1)
    return Cycles(start, int(ends[np.argmin(apart)]), count)
