"""Time span of a part of a recording, given in microseconds or in seconds after the first event."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ..base.errors import ConfigError

EARLIEST_US = -(2**63)
LATEST_US = 2**63 - 1
TIME_LIMIT_US = 2**62  # times of events are closer to 0, so differences fit in int64
US_PER_S = 1_000_000
IN_SECONDS = "start_s and stop_s are seconds after the first event"
"""Hint for times that were meant to be relative."""


class TimeSpan(NamedTuple):
    """Times start_us <= t < stop_us, on the clock of a recording."""

    start_us: int
    stop_us: int

    @classmethod
    def of(
        cls,
        start_us: float | None,
        stop_us: float | None,
        start_s: float | None,
        stop_s: float | None,
        find_first_us: Callable[[], int],
    ) -> TimeSpan:
        """Create a span from times in microseconds or in seconds after the first event; None: no limit.

        Args:
            start_us: Start time in microseconds on the clock of the recording; fractions are rounded up.
            stop_us: Stop time (exclusive) on the same clock.
            start_s: Start time in seconds after the first event.
            stop_s: Stop time (exclusive) in seconds after the first event.
            find_first_us: Returns the time of the first event; called only for times in seconds.

        Raises:
            ConfigError: If a time is given in microseconds and in seconds, or is NaN.

        Example:
            >>> TimeSpan.of(None, None, 0.5, None, lambda: 1000) == (501_000, LATEST_US)
            True
        """
        start = _find_time("start", start_us, start_s, EARLIEST_US, find_first_us)
        stop = _find_time("stop", stop_us, stop_s, LATEST_US, find_first_us)
        return cls(start, stop)

    @property
    def is_unlimited(self) -> bool:
        """Whether the span contains all times."""
        return self == (EARLIEST_US, LATEST_US)

    def explain_outside(self, first_us: int, last_us: int) -> str:
        """Describe a span that contains no time from `first_us` to `last_us`, the first and last event; else empty.

        Example:
            >>> TimeSpan(0, 1000).explain_outside(5_000_000, 6_000_000)
            'no events from 0 to 1000 us (found events from 5000000 to 6000000 us)'
        """
        if self.start_us <= last_us and self.stop_us > max(first_us, self.start_us):
            return ""

        limits = [f"from {self.start_us}"] if self.start_us != EARLIEST_US else []
        limits += [f"to {self.stop_us}"] if self.stop_us != LATEST_US else []
        return f"no events {' '.join(limits)} us (found events from {first_us} to {last_us} us)"


def _find_time(
    name: str, in_us: float | None, in_s: float | None, default_us: int, find_first_us: Callable[[], int]
) -> int:
    """Return a limit in microseconds, rounded up, within the range of int64."""
    if in_us is not None and in_s is not None:
        raise ConfigError(f"{name}_us = {in_us} and {name}_s = {in_s}: only one of them can be given")
    if in_us is None and in_s is None:
        return default_us

    unit = "us" if in_s is None else "s"
    time = in_us if in_s is None else in_s
    assert time is not None
    if math.isnan(time):
        raise ConfigError(f"wrong value of {name}_{unit} (found nan, expected a number)")

    # Microseconds stay integers: a float has 53 bits, so it is exact for seconds. Finding the first event may read a
    # file.
    if in_s is not None:
        time = float(in_s) * US_PER_S
        time = find_first_us() + round(time) if math.isfinite(time) else time
    limited = min(max(time, EARLIEST_US), LATEST_US)
    return math.ceil(limited) if isinstance(limited, float) else int(limited)
