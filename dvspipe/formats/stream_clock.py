"""Times of live event streams: continuous, also if the clock of the camera jumps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_STEP_BACK_US = 100_000  # packets can overtake each other; a longer step back is a new start of the clock
MAX_STEP_AHEAD_US = 1_000_000  # beyond the time that passed on this machine
START_US = 1_000_000  # data that waited for the start may have a gap, because a pipe or socket was full


class StreamClock:
    """Continuous times of a stream.

    A step of the camera's clock that is longer than the limits above is a jump: the event after it has the time of the
    event before it, and later times follow from there. Times that decrease without a jump are set to the latest time.

    Attributes:
        jumps: Number of jumps so far.
        jump_us: Length of the first jump in microseconds.

    Example:
        >>> clock = StreamClock()
        >>> clock.continue_times(np.array([2_000_000, 2_000_010, 500, 520]), arrived_us=0).tolist()
        [2000000, 2000010, 2000010, 2000030]
        >>> clock.jumps, clock.jump_us
        (1, -1999510)
    """

    def __init__(self) -> None:
        self.jumps = 0
        self.jump_us = 0
        self._camera_us: int | None = None  # time of the previous event on the camera's clock
        self._offset_us = 0  # from the camera's clock to the stream
        self._first_us = 0  # first time in the stream
        self._last_us = 0  # latest time in the stream

    def continue_times(self, t: NDArray[np.int64], *, arrived_us: int) -> NDArray[np.int64]:
        """Return times of the stream that never decrease.

        Args:
            t: Next times on the camera's clock in microseconds, [N].
            arrived_us: Time since the start of the stream at which they arrived, on the clock of this machine.
        """
        if not len(t):
            return t
        if self._camera_us is None:
            self._camera_us = self._first_us = self._last_us = max(0, int(t[0]))

        steps = np.diff(t, prepend=self._camera_us)
        self._camera_us = int(t[-1])
        is_jump = (steps < -MAX_STEP_BACK_US) | (steps > self._max_ahead_us(arrived_us))
        moved = t + self._offset_us

        # A jump is taken out: it is subtracted from the times after it, in this call and in later ones.
        if is_jump.any():
            jumps = np.where(is_jump, steps, 0)
            first = is_jump.argmax()
            self.jump_us = self.jump_us or int(steps[first])
            self.jumps += int(is_jump.sum())
            self._offset_us -= int(jumps.sum())
            moved -= np.cumsum(jumps)

        # Packets that overtake each other decrease times without a jump.
        if moved[0] < self._last_us or steps.min() < 0:
            moved = np.maximum.accumulate(np.maximum(moved, self._last_us))
        self._last_us = int(moved[-1])
        return moved

    def _max_ahead_us(self, arrived_us: int) -> float:
        """Return the longest step ahead that is no jump: the stream catches up with the clock of this machine."""
        if arrived_us < START_US:
            return float("inf")

        behind_us = arrived_us - (self._last_us - self._first_us)
        return MAX_STEP_AHEAD_US + max(0, behind_us)
