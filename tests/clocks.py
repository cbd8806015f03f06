"""Clock of live streams that does not depend on time."""

from __future__ import annotations

import threading


class TickingClock:
    """Clock that advances 4 ms whenever it is read."""

    def __init__(self) -> None:
        self.time_s = 0.0

    def now_s(self) -> float:
        self.time_s += 0.004
        return self.time_s

    def wait_until(self, time_s: float, stop: threading.Event) -> None:
        raise NotImplementedError
