"""Read the events of a recording for its classification, and count them over time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..base.errors import TruncatedVideoError
from ..base.progress import Progress
from ..events import Events
from ..framing import EventSource
from ..results import EventRates

MAX_RATE_BINS = 2048
MIN_RATE_BIN_US = 1000


class RateHistogram:
    """Histogram of events over time in at most 2048 bins; the bin length doubles as the recording grows.

    Attributes:
        start_us: Start of the first bin in microseconds; None before the first event.
        bin_us: Bin length in microseconds, 1000 * 2^n.
        counts: Number of events in each bin, int64 [2048].
    """

    def __init__(self) -> None:
        self.start_us: int | None = None
        self.bin_us = MIN_RATE_BIN_US
        self.counts = np.zeros(MAX_RATE_BINS, np.int64)

    def add(self, events: Events) -> None:
        """Count the next part of a recording."""
        if not len(events):
            return

        self.start_us = int(events.t[0]) if self.start_us is None else self.start_us
        # Twice the bin length in half as many bins: earlier counts are added in pairs.
        while events.t[-1] - self.start_us >= MAX_RATE_BINS * self.bin_us:
            self.counts = np.pad(self.counts.reshape(-1, 2).sum(axis=1), (0, MAX_RATE_BINS // 2))
            self.bin_us *= 2

        edges_us = self.start_us + np.arange(MAX_RATE_BINS + 1) * self.bin_us
        self.counts += np.diff(np.searchsorted(events.t, edges_us))

    def summarize(self) -> EventRates:
        """Convert to a record, without the bins after the last event."""
        used = int(np.flatnonzero(self.counts)[-1]) + 1 if self.counts.any() else 0

        return EventRates(start_us=self.start_us, bin_us=self.bin_us, counts=tuple(self.counts[:used].tolist()))


class StepCounts:
    """Number of events in each time step of a recording; step 0 starts at the first event."""

    def __init__(self, step_us: int) -> None:
        self.step_us = step_us
        self.start_us: int | None = None
        self._steps: list[NDArray[np.int64]] = []  # numbers of the nonempty steps, per part
        self._counts: list[NDArray[np.int64]] = []

    def add(self, events: Events) -> None:
        """Count the next part of a recording."""
        if not len(events):
            return

        self.start_us = int(events.t[0]) if self.start_us is None else self.start_us
        steps = (events.t - self.start_us) // self.step_us

        # Events are sorted, so a step has consecutive events; `first` is the index of each step's first event.
        first = np.flatnonzero(np.diff(steps, prepend=-1))
        self._steps.append(steps[first])
        self._counts.append(np.diff(first, append=len(steps)))

    def between(self, start_us: NDArray[np.int64], end_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of events in N time intervals, int64 [N], whose ends are rounded to steps, 1 at least."""
        # total[k] is the number of events in the first k nonempty steps.
        steps = np.concatenate([np.zeros(0, np.int64), *self._steps])
        total = np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(0, np.int64), *self._counts]))])

        # Half a step before the origin, a floor division rounds to the nearest step.
        origin_us = (self.start_us or 0) - self.step_us // 2
        first = (start_us - origin_us) // self.step_us
        stop = (end_us - origin_us) // self.step_us

        before = np.searchsorted(steps, first)
        through = np.searchsorted(steps, np.maximum(stop, first + 1))
        return np.asarray(total[through] - total[before])


class Reader:
    """Reads a recording and counts its events.

    Attributes:
        recorded: Number of events read so far, before fitting.
        rates: Rate of these events over time.
        events: Number of events on the network's sensor so far.
        first_us: Time of the first event on the network's sensor.
        last_us: Time of the last event on the network's sensor.
        steps: Number of events on the network's sensor per time step.
        classified_us: Time processed by the network; overlapping windows count individually.
        truncated_at_us: Time of the last frame of a truncated video; None: complete.
    """

    def __init__(self, source: EventSource, step_us: int, progress: Progress) -> None:
        self.source = source
        self._step_us = step_us
        self._progress = progress
        self.classified_us = 0
        self._start()

    def _start(self) -> None:
        self.recorded = 0
        self.rates = RateHistogram()
        self._done_us = 0
        self.events = 0
        self.first_us = 0
        self.last_us = 0
        self.steps = StepCounts(self._step_us)
        self.truncated_at_us: int | None = None

    def parts(self) -> Iterator[Events]:
        """Read the recording from its start, and yield its events on the network's sensor."""
        self._start()
        for part in self.source.read_fitted(self._count_recorded, self._note_truncation):
            self.steps.add(part)
            if len(part):
                self.first_us = self.first_us if self.events else int(part.t[0])
                self.events += len(part)
                self.last_us = int(part.t[-1])
            yield part

    def _count_recorded(self, part: Events) -> None:
        self.rates.add(part)
        self.recorded += len(part)

        first_us, last_us = self.source.span_us or (0, 0)
        self._done_us = int(part.t[-1]) - first_us if len(part) else self._done_us
        self._progress(self._done_us, last_us - first_us)

    def _note_truncation(self, error: TruncatedVideoError) -> None:
        self.truncated_at_us = error.at_us
