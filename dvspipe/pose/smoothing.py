"""Smoothing of joints over time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .network import Floats

REACH_US = 70_000  # before and after a picture: two pictures at 30 per second, so that claps of 5 Hz keep their size


def smooth_runs(times_us: NDArray[np.int64], points: Floats, present: NDArray[np.bool_]) -> Floats:
    """Return points smoothed over time: a parabola is fitted to the 140 ms about each picture (least squares).

    With equal intervals this is the filter of Savitzky and Golay (Analytical Chemistry 36, 1964), of five values at 30
    pictures per second. Where there are at most three pictures in 140 ms, nothing is smoothed. Gaps are not crossed.

    Args:
        times_us: [N] increasing times.
        points: [N, ...] points.
        present: [N] which of them are known.
    """
    smoothed = points.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], present, [False]]).astype(int)))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        run_us = times_us[start:stop]
        firsts = start + np.searchsorted(run_us, run_us - REACH_US)
        lasts = start + np.searchsorted(run_us, run_us + REACH_US, side="right")
        for row, first, last in zip(range(start, stop), firsts, lasts, strict=True):
            if last - first > 3:
                since_s = (times_us[first:last] - times_us[row]) / 1e6
                weights = np.linalg.pinv(np.stack([np.ones_like(since_s), since_s, since_s**2], axis=1))[0]
                smoothed[row] = np.tensordot(weights, points[first:last], axes=1)
    return smoothed
