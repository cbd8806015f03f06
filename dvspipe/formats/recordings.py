"""Recordings: opened files whose events are checked and streamed in chunks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..base.errors import Brief, CorruptionError, EventError, FileError, FormatError
from ..base.progress import Progress
from ..events import EARLIEST_US, IN_SECONDS, LATEST_US, Events, SensorSize, TimeSpan, concatenate
from .hints import NO_HINTS, Hints, RecordingLike, SensorSource
from .opening import name_recording, open_source
from .sensors import find_sensor_source, guess_sensor
from .source import Extent, Source, StoredColumns, join_columns

log = logging.getLogger(__name__)
SYNTHETIC_GESTURES = "synthetic gestures"
"""Source attribute of files with events of rendered people."""


@dataclass(frozen=True, repr=False)
class Recording(Brief):
    """Opened recording; see `open_recording`.

    Args:
        path: File.
        format: Name of the file format.
        sensor: Sensor size.
        sensor_source: Source of the sensor size: `file`, `given` by the caller, or `guessed` from the events.
        attributes: Settings and comments stored in the file.
    """

    path: Path
    format: str
    sensor: SensorSize
    sensor_source: SensorSource
    attributes: dict[str, Any]
    _source: Source

    @property
    def is_synthetic(self) -> bool:
        """Whether the file stores that its events show people rendered by dvspipe."""
        return SYNTHETIC_GESTURES in str(self.attributes.get("source", ""))

    def chunks(
        self,
        start_us: int | None = None,
        stop_us: int | None = None,
        *,
        on_corruption: Callable[[CorruptionError], None] | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Events]:
        """Yield checked events in consecutive chunks of about a million.

        Args:
            start_us: Start time (inclusive) in microseconds on the clock of the file; None: start of the recording.
            stop_us: Stop time (exclusive); None: end of the recording.
            on_corruption: Called with the first corruption, and the recording ends there; None: raise it. In both
                cases, all valid events before it are yielded first.
            progress: Called with the amount read and the total, in events, bytes or other units.

        Raises:
            CorruptionError: If the file is corrupted or truncated, or an event breaks a rule of `Events`.
        """
        first_us = EARLIEST_US if start_us is None else start_us
        stop_us = LATEST_US if stop_us is None else stop_us

        try:
            for events in self._read_checked((first_us, stop_us), progress):
                inside = events.between(first_us, stop_us)
                if len(inside) or not len(events):
                    yield inside

                # Events are sorted, so later chunks are outside.
                if len(events) and events.t[-1] >= stop_us:
                    return
        except CorruptionError as error:
            if on_corruption is None:
                raise
            on_corruption(error)

    def _read_checked(self, span_us: tuple[int, int], progress: Progress | None) -> Iterator[Events]:
        """Yield checked events of a time span, or of all of the source: only some formats can read a span alone."""
        count = 0
        before_us = None
        read_span = self._source.span if span_us != (EARLIEST_US, LATEST_US) else None

        for columns in read_span(*span_us) if read_span else self._source.chunks(progress):
            try:
                events = _check_events(columns, before_us, self.sensor)
            except EventError as error:
                # The events before the invalid one are yielded before the error.
                if error.event:
                    valid = slice(error.event)
                    yield Events(columns.t[valid], columns.x[valid], columns.y[valid], columns.p[valid], self.sensor)
                after = f" after the first {count}" if count else ""
                message = f"{self.path}: {error}{after}"
                raise CorruptionError(message, lost="it and everything after it") from error

            count += len(events)
            before_us = int(events.t[-1]) if len(events) else before_us
            if progress and read_span:
                progress(*self._measure_progress(span_us, before_us))

            yield events

    def _measure_progress(self, span_us: tuple[int, int], read_us: int | None) -> tuple[int, int]:
        """Return how much of a time span was read, and the length of the span, in microseconds.

        Args:
            span_us: Start and stop time.
            read_us: Time of the last event that was read; None: no event yet.
        """
        _, first_us, last_us = self.extent() or Extent(0, None, None)
        if first_us is None or last_us is None or read_us is None:
            return 0, 0

        start_us, stop_us = span_us
        first_us = max(first_us, start_us)
        last_us = min(last_us, stop_us)
        return max(0, min(read_us, last_us) - first_us), max(0, last_us - first_us)

    def sorted(self) -> Events:
        """Read all events, and sort them by time; events at the same time keep their order.

        Raises:
            FormatError: If an event breaks another rule of `Events`.
        """
        # With an empty chunk, a recording without chunks can be joined, too.
        empty = StoredColumns(*[np.zeros(0, np.int64)] * 4)
        t, x, y, p = join_columns([empty, *self._source.chunks()])

        order = np.argsort(t, kind="stable")
        try:
            return Events(t[order], x[order], y[order], p[order], self.sensor)
        except EventError as error:
            raise FormatError(f"{self.path}: after sorting, {error}") from error

    def extent(self) -> Extent | None:
        """Return the number of events, and first and last time; None if this requires decoding the file."""
        return self._source.extent() if self._source.extent else None

    def find_first_us(self) -> int:
        """Return the time of the first event; 0 if there are no events."""
        extent = self.extent()
        if extent:
            return extent.first_us or 0
        return next((int(events.t[0]) for events in self.chunks() if len(events)), 0)

    def find_last_us(self) -> int:
        """Return the time of the last event; 0 if there are none. Reads all events if the file does not store it."""
        extent = self.extent()
        if extent:
            return extent.last_us or 0
        return count_events(self.chunks()).last_us or 0

    def find_span(
        self,
        start_us: float | None = None,
        stop_us: float | None = None,
        *,
        start_s: float | None = None,
        stop_s: float | None = None,
    ) -> TimeSpan:
        """Return a time span, given in microseconds or in seconds after the first event; see `TimeSpan.of`."""
        return TimeSpan.of(start_us, stop_us, start_s, stop_s, self.find_first_us)

    def read(self, span: TimeSpan) -> Events:
        """Read the events of a span into memory; warn if the span is outside the recording."""
        events = concatenate(self.chunks(*span), self.sensor)

        if not len(events):
            self._warn_outside(span)
        return events

    def _warn_outside(self, span: TimeSpan) -> None:
        """Warn if a span is outside the recording."""
        with suppress(FileError):  # a corruption outside the span
            first_us = self.find_first_us()
            last_us = self.find_last_us()
            outside = span.explain_outside(first_us, last_us) if first_us or last_us else ""
            if outside:
                log.warning("%s: %s; %s", self.path, outside, IN_SECONDS)


def open_recording(
    path: RecordingLike | Recording, hints: Hints = NO_HINTS, *, format_name: str | None = None
) -> Recording:
    """Open a recording of any known format, recognised first by content, then by suffix.

    Args:
        path: File; also events in memory, or an opened recording, which is returned unchanged.
        hints: Metadata that the file lacks, such as `Hints(sensor="346x260")` or `Hints(chip="DVS128")`.
        format_name: Name of the format in `FORMATS`, if already known from `recognise`.

    Raises:
        FileError: If the file does not exist.
        FormatError: If the format is unknown, or the content does not match the format.
        EventError: If the file stores a sensor size other than `hints.sensor`.
    """
    if isinstance(path, Recording):
        return path

    file = name_recording(path)
    name, source = open_source(path, hints, format_name)

    # A sensor size in the file takes precedence; guessing one means reading all events.
    sensor_source = find_sensor_source(source, hints)
    sensor = source.sensor or hints.given_sensor or guess_sensor(file, source.chunks())
    return Recording(file, name, sensor, sensor_source, source.attributes, source)


class EventTotals(NamedTuple):
    """Number of events and of ON events, and the first and the last time; None without events."""

    events: int
    on: int
    first_us: int | None
    last_us: int | None


def count_events(chunks: Iterable[Events]) -> EventTotals:
    """Count the events of a recording."""
    count = 0
    on = 0
    first_us = last_us = None
    for events in chunks:
        if len(events):
            first_us = int(events.t[0]) if first_us is None else first_us
            last_us = int(events.t[-1])
            count += len(events)
            on += int(np.count_nonzero(events.p))
    return EventTotals(count, on, first_us, last_us)


def _check_events(columns: StoredColumns, before_us: int | None, sensor: SensorSize) -> Events:
    """Return the checked events of a chunk that follows an event at `before_us`."""
    if before_us is not None and len(columns.t) and columns.t[0] < before_us:
        message = f"event 0 has t = {columns.t[0]} us, before the previous event at {before_us} us"
        raise EventError(message, event=0, is_unsorted=True)
    return Events.wrap(*columns, sensor=sensor)
