"""Predictions of a network over time: one per window, or per hop of a network that keeps its state.

A prediction is known at the end of its window, but applies to the middle of it (`center_us`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief


@dataclass(frozen=True, eq=False, repr=False)
class Timeline(Brief):
    """Predictions of a network over time.

    Args:
        t_start_us: Start of the events of each prediction, int64 [N].
        t_end_us: End of these events, exclusive, int64 [N]; the prediction is known at this time.
        events: Number of events in this time, int64 [N].
        nearby_events: Number of events in the quarter of a window around `center_us`, int64 [N].
        probabilities: Class probabilities, float32 [N, K].
        familiar: Whether the input of each prediction resembles the training data (`ClassifierConfig`), bool [N].
        hop_us: Time between predictions; None if windows have a fixed number of events.
        lag_us: Time from `center_us` to `t_end_us`: half a window; with a running mean, ln 2 of its time constant.
        stateful: Whether the network keeps its state between predictions, except over pauses.
    """

    t_start_us: NDArray[np.int64]
    t_end_us: NDArray[np.int64]
    events: NDArray[np.int64]
    nearby_events: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    familiar: NDArray[np.bool_]
    hop_us: int | None
    lag_us: int
    stateful: bool = False

    def __len__(self) -> int:
        return len(self.t_end_us)

    @property
    def window_us(self) -> int:
        """Median duration of the input of a prediction."""
        return int(np.median(self.t_end_us - self.t_start_us)) if len(self) else 0

    @property
    def labels(self) -> NDArray[np.int64]:
        """Most probable classes, int64 [N]."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def entropies(self) -> NDArray[np.float64]:
        """Entropies in bits, float64 [N]: 0 if one class is certain, log2 K if all are equally probable."""
        from scipy.special import entr

        return np.asarray(entr(self.probabilities.astype(np.float64)).sum(axis=1) / np.log(2))

    @property
    def center_us(self) -> NDArray[np.int64]:
        """Time that each prediction applies to, int64 [N]: half of its input was seen by then."""
        return find_centers(self.t_start_us, self.t_end_us, hop_us=self.hop_us, lag_us=self.lag_us)

    def intervals_us(self, t_first_us: int, t_end_us: int) -> NDArray[np.int64]:
        """Return start and end of the time that each prediction applies to: half a hop on each side of `center_us`.

        The first interval starts with the recording, and the last one ends with it. If `stateful`, the intervals next
        to a pause extend to its edges. Pauses without predictions are gaps.

        Args:
            t_first_us: Start of the recording.
            t_end_us: End of the recording.

        Returns:
            int64 [N, 2].
        """
        if self.hop_us is None:
            intervals = np.stack([self.t_start_us, self.t_end_us], axis=1)
        else:
            start_us = self.center_us - self.hop_us // 2
            intervals = np.stack([start_us, start_us + self.hop_us], axis=1)

            # Where neighbours overlap, the later one starts at the end of the earlier one.
            intervals[1:, 0] = np.maximum(intervals[1:, 0], intervals[:-1, 1])

            # Intervals next to a pause extend to its edges; `resumed` are the first predictions after pauses.
            if self.stateful:
                resumed = np.flatnonzero(np.diff(self.t_end_us) > self.hop_us) + 1
                intervals[resumed, 0] = self.t_start_us[resumed]
                intervals[resumed - 1, 1] = self.t_end_us[resumed - 1]

        if len(intervals):
            intervals[0, 0] = t_first_us
            intervals[-1, 1] = t_end_us

        # Clipping keeps starts and ends inside the recording; no end is before its start.
        intervals = np.clip(intervals, t_first_us, t_end_us)
        return np.maximum(intervals, intervals[:, :1])

    def smooth(self, length_us: int) -> NDArray[np.float64]:
        """Return the moving mean of the probabilities, float64 [N, K].

        Args:
            length_us: Length of the average: predictions with centers within half of it are averaged.
        """
        center_us = self.center_us
        first = np.searchsorted(center_us, center_us - length_us / 2, "left")
        stop = np.searchsorted(center_us, center_us + length_us / 2, "right")

        # The sum of each average is a difference of two cumulative sums; row k is the sum of the first k predictions.
        sums = np.pad(self.probabilities.cumsum(axis=0, dtype=np.float64), ((1, 0), (0, 0)))
        return np.asarray((sums[stop] - sums[first]) / (stop - first)[:, None])


def find_centers(
    start_us: NDArray[np.int64], end_us: NDArray[np.int64], *, hop_us: int | None, lag_us: int
) -> NDArray[np.int64]:
    """Return `center_us` of predictions, int64 [N]; arguments as in `Timeline`."""
    return (start_us + end_us) // 2 if hop_us is None else np.maximum(end_us - lag_us, start_us)


_NONE = np.zeros(0, np.int64)
NO_TIMELINE = Timeline(_NONE, _NONE, _NONE, _NONE, np.zeros((0, 1), np.float32), np.zeros(0, np.bool_), None, 0)
"""Empty timeline of predictions without windows in memory."""
