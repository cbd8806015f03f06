"""The predictions of a network over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Timeline:
    """The predictions of a network over time.

    Args:
        t_start_us: int64 [N], start of the events that each prediction is made from.
        t_end_us: int64 [N], their end, exclusive; the prediction is known then.
        events: int64 [N], number of events in that time.
        nearby_events: int64 [N], number of events in the quarter of a window around `center_us`.
        probabilities: float32 [N, K].
        familiar: bool [N], whether what each prediction is made from is like the training (`ClassifierConfig`).
        hop_us: Time from one prediction to the next; None if windows are made by number of events.
        lag_us: Time from `center_us` to `t_end_us`: half a window; with a running mean, ln 2 of its time constant.
        stateful: Whether the network's state is kept from each prediction to the next, except over pauses.
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
        """Median length of the time that a prediction is made from."""
        return int(np.median(self.t_end_us - self.t_start_us)) if len(self) else 0

    @property
    def labels(self) -> NDArray[np.int64]:
        """int64 [N], the most probable classes."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def entropies(self) -> NDArray[np.float64]:
        """float64 [N], entropy in bits: 0 if one class is certain, log2 K if all classes are equally probable."""
        p = np.maximum(self.probabilities.astype(np.float64), 1e-300)
        return np.asarray(np.maximum(0.0, -(p * np.log2(p)).sum(axis=1)))

    @property
    def center_us(self) -> NDArray[np.int64]:
        """int64 [N], the time that each prediction stands for: half of what it depends on was seen by then."""
        return find_centers(self.t_start_us, self.t_end_us, hop_us=self.hop_us, lag_us=self.lag_us)

    def intervals_us(self, t_first_us: int, t_end_us: int) -> NDArray[np.int64]:
        """Return the times that predictions stand for, start and end: half a hop on each side of `center_us`.

        The first interval starts with the recording and the last one ends with it. With `stateful`, the intervals next
        to a pause reach its edges. A pause, in which there is no prediction, is a gap.

        Args:
            t_first_us: Start of the recording.
            t_end_us: Its end.

        Returns:
            int64 [N, 2].
        """
        if self.hop_us is None:
            intervals = np.stack([self.t_start_us, self.t_end_us], axis=1)
        else:
            start_us = self.center_us - self.hop_us // 2
            intervals = np.stack([start_us, start_us + self.hop_us], axis=1)
            intervals[1:, 0] = np.maximum(intervals[1:, 0], intervals[:-1, 1])
            if self.stateful:
                resumed = np.flatnonzero(np.diff(self.t_end_us) > self.hop_us) + 1
                intervals[resumed, 0] = self.t_start_us[resumed]
                intervals[resumed - 1, 1] = self.t_end_us[resumed - 1]
        if len(intervals):
            intervals[0, 0], intervals[-1, 1] = t_first_us, t_end_us
        intervals = np.clip(intervals, t_first_us, t_end_us)
        return np.maximum(intervals, intervals[:, :1])

    def smooth(self, length_us: int) -> NDArray[np.float64]:
        """Return the moving mean of the probabilities, float64 [N, K].

        Args:
            length_us: Predictions whose centers are at most half of this away are averaged.
        """
        at_us = self.center_us
        first = np.searchsorted(at_us, at_us - length_us / 2, "left")
        stop = np.searchsorted(at_us, at_us + length_us / 2, "right")
        sums = np.pad(self.probabilities.cumsum(axis=0, dtype=np.float64), ((1, 0), (0, 0)))
        return np.asarray((sums[stop] - sums[first]) / (stop - first)[:, None])


def find_centers(
    start_us: NDArray[np.int64], end_us: NDArray[np.int64], *, hop_us: int | None, lag_us: int
) -> NDArray[np.int64]:
    """Return the times that predictions stand for, int64 [N]; the arguments are those of `Timeline`."""
    return (start_us + end_us) // 2 if hop_us is None else np.maximum(end_us - lag_us, start_us)


_NONE = np.zeros(0, np.int64)
NO_TIMELINE = Timeline(_NONE, _NONE, _NONE, _NONE, np.zeros((0, 1), np.float32), np.zeros(0, np.bool_), None, 0)
"""That of a prediction whose windows are not in memory."""
