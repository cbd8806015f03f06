"""Smooth joints over time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .network import Floats

REACH_US = 70_000  # half width of the window: two pictures at 30 fps; preserves the amplitude of 5 Hz clapping


def smooth_runs(times_us: NDArray[np.int64], points: Floats, present: NDArray[np.bool_]) -> Floats:
    """Smooth points with a local quadratic fit (least squares) to the 140 ms around each picture.

    At equal intervals, this is the filter of Savitzky and Golay (Analytical Chemistry 36, 1964) with five values at 30
    fps. Points with at most three pictures in their window are returned unchanged. Windows do not cross gaps.

    Args:
        times_us: Increasing times in microseconds, [N].
        points: Points, [N, ...].
        present: Whether each point is known, bool [N].

    Returns:
        Smoothed points, [N, ...]; unknown points are unchanged.
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
