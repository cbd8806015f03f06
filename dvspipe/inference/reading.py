"""Read the events of a recording for its classification, and count them over time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..base.progress import Progress
from ..encoding import BinConfig, encode_stream
from ..events import Events
from ..framing import EventSource
from ..results import EventRates
from .windows import Window, slide

MIN_PART = 0.5  # a window counts if the recording covers this share of the time or events that it adds
MAX_RATE_BINS = 2048
MIN_RATE_BIN_US = 1000
NO_COUNTS = np.zeros(0, np.int64)


class EventCounts:
    """Number of events per time bin; bin 0 starts at the first event, and empty bins need no memory.

    Args:
        bin_us: Length of a bin in microseconds.
        max_bins: Maximum number of bins: the length of a bin doubles as the recording grows. None: no limit.

    Attributes:
        start_us: Time of the first event; None before it.
        total: Number of events.
    """

    def __init__(self, bin_us: int, max_bins: int | None = None) -> None:
        self.bin_us = bin_us
        self.start_us: int | None = None
        self.total = 0
        self._max_bins = max_bins
        self._bins = [NO_COUNTS]  # numbers of nonempty bins, in order; a bin may occur in several parts
        self._counts = [NO_COUNTS]

    def add(self, events: Events) -> None:
        """Count the next part of a recording."""
        if not len(events):
            return

        self.start_us = int(events.t[0]) if self.start_us is None else self.start_us
        self.total += len(events)

        # Twice the bin length in half as many bins: earlier counts are added in pairs.
        while self._max_bins is not None and events.t[-1] - self.start_us >= self._max_bins * self.bin_us:
            bins, counts = self._join()
            dense = np.bincount(bins // 2, counts).astype(np.int64)
            self._bins = [np.flatnonzero(dense)]
            self._counts = [dense[dense > 0]]
            self.bin_us *= 2

        # Events are sorted, so a bin has consecutive events; `first` is the index of the first event of each bin.
        numbers = (events.t - self.start_us) // self.bin_us
        first = np.flatnonzero(np.diff(numbers, prepend=-1))
        self._bins.append(numbers[first])
        self._counts.append(np.diff(first, append=len(numbers)))

    def _join(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return np.concatenate(self._bins), np.concatenate(self._counts)

    def summarize(self) -> EventRates:
        """Return the number of events in each bin until the last event."""
        bins, counts = self._join()
        dense = np.bincount(bins, counts).astype(int)
        return EventRates(start_us=self.start_us, bin_us=self.bin_us, counts=tuple(dense.tolist()))

    def between(self, start_us: NDArray[np.int64], end_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of events in N time intervals, int64 [N], whose ends are rounded to bins, 1 at least."""
        bins, counts = self._join()
        total = np.append(0, np.cumsum(counts))  # total[k]: events before entry k of `bins`

        # Half a bin before the origin, a floor division rounds to the nearest bin.
        origin_us = (self.start_us or 0) - self.bin_us // 2
        first = (start_us - origin_us) // self.bin_us
        stop = np.maximum((end_us - origin_us) // self.bin_us, first + 1)
        return np.asarray(total[np.searchsorted(bins, stop)] - total[np.searchsorted(bins, first)])


class Reader:
    """Reads a recording on the network's sensor, and counts its events.

    Attributes:
        rates: Number of events as recorded, before fitting.
        steps: Number of events on the network's sensor per time step.
        last_us: Time of the last event on the network's sensor.
        classified_us: Time that the network processed; overlapping windows count individually.
    """

    def __init__(self, source: EventSource, step_us: int, progress: Progress) -> None:
        self.source = source
        self.classified_us = 0
        self._step_us = step_us
        self._progress = progress
        self._start()

    def _start(self) -> None:
        self.rates = EventCounts(MIN_RATE_BIN_US, MAX_RATE_BINS)
        self.steps = EventCounts(self._step_us)
        self.last_us = 0
        self._done_us = 0

    @property
    def first_us(self) -> int:
        """Time of the first event on the network's sensor; 0 without events."""
        return self.steps.start_us or 0

    def parts(self) -> Iterator[Events]:
        """Read the recording from its start, and yield its events on the network's sensor."""
        self._start()
        for part in self.source.read_fitted(self._count_recorded):
            self.steps.add(part)
            self.last_us = int(part.t[-1]) if len(part) else self.last_us
            yield part

    def windows(self, bins: BinConfig, hop_us: int | None) -> Iterator[Window]:
        """Yield the windows of the recording that it covers sufficiently, see `MIN_PART`.

        Args:
            bins: Encoding of a window.
            hop_us: Time between windows; None if they are defined by events, or by the recording.
        """
        if hop_us is not None:
            for window in slide(self.parts(), bins, hop_us):
                # The first window adds all of its time, later ones only their hop: the rest was in the windows before.
                added_us = bins.tensor_us if window.start_us <= self.first_us else min(hop_us, bins.tensor_us)
                if self.last_us - window.start_us >= bins.tensor_us - MIN_PART * added_us:
                    yield window

        else:
            # A recording is read twice: its steps depend on the times of the first and the last event.
            for _ in self.parts():
                pass
            if self.steps.total:
                steps = encode_stream(self.parts(), bins, start_us=self.first_us, last_us=self.last_us)
                yield Window(self.first_us, self.last_us + 1, self.steps.total, np.stack(list(steps)))

    def _count_recorded(self, part: Events) -> None:
        self.rates.add(part)

        first_us, last_us = self.source.span_us or (0, 0)
        self._done_us = int(part.t[-1]) - first_us if len(part) else self._done_us
        self._progress(self._done_us, last_us - first_us)
