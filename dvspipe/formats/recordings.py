"""Recordings: opened files whose events are checked and streamed in chunks."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief, EventError, FormatError
from ..base.progress import Progress
from ..events import (
    EARLIEST_US,
    IN_SECONDS,
    LATEST_US,
    MAX_SIDE_PX,
    Events,
    SensorSize,
    SensorSizeLike,
    TimeSpan,
    checked_parts,
    concatenate,
)
from .hints import NO_HINTS, Hints, RecordingLike, SensorSource
from .recognition import recognise, unknown_format
from .source import Extent, Source, StoredColumns, errors_as_dvspipe, join_columns, join_small

log = logging.getLogger(__name__)
IN_MEMORY = "memory"
"""Name of the format of events in memory."""
NO_EVENTS = Extent(0, None, None)
SYNTHETIC_GESTURES = "synthetic gestures"
"""Source attribute of files with events of rendered people."""
KNOWN_SENSORS = (
    SensorSize(34, 34),  # N-MNIST
    SensorSize(128, 128),  # DVS128
    SensorSize(240, 180),  # DAVIS240
    SensorSize(304, 240),  # ATIS
    SensorSize(320, 240),  # DVXplorer Lite
    SensorSize(346, 260),  # DAVIS346
    SensorSize(640, 480),  # Gen 3, DVXplorer
    SensorSize(1280, 720),  # Gen 4, IMX636
)
LARGEST_SENSOR = SensorSize(MAX_SIDE_PX, MAX_SIDE_PX)


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
    _errors: tuple[type[Exception], ...] = ()

    @property
    def is_synthetic(self) -> bool:
        """Whether the file stores that its events show people rendered by dvspipe."""
        return SYNTHETIC_GESTURES in str(self.attributes.get("source", ""))

    def chunks(
        self, start_us: int | None = None, stop_us: int | None = None, *, progress: Progress | None = None
    ) -> Iterator[Events]:
        """Yield checked events in consecutive chunks of at most about a million.

        Args:
            start_us: Start time (inclusive) in microseconds on the clock of the file; None: start of the recording.
            stop_us: Stop time (exclusive); None: end of the recording.
            progress: Called with the number of events read and the total, 0 if it is unknown.

        Raises:
            FormatError: If the file is corrupted or truncated, or an event breaks a rule of `Events`.
        """
        first_us = EARLIEST_US if start_us is None else start_us
        stop_us = LATEST_US if stop_us is None else stop_us
        is_part = (first_us, stop_us) != (EARLIEST_US, LATEST_US)
        total = (self.extent() or NO_EVENTS).events if progress and not is_part else 0

        read_span = self._source.span
        stored = read_span(first_us, stop_us) if is_part and read_span else self._source.chunks()
        count = 0
        for events in self._check(stored):
            count += len(events)
            if progress:
                progress(count, total)

            inside = events.between(first_us, stop_us) if is_part else events
            if len(inside) or not len(events):
                yield inside

            # Events are sorted, so later chunks are outside.
            if len(events) and events.t[-1] >= stop_us:
                return

    def _check(self, stored: Iterator[StoredColumns]) -> Iterator[Events]:
        """Yield stored events as `Events`: they are checked here, and nowhere after."""
        try:
            yield from checked_parts(self._wrap(stored), self.sensor)
        except EventError as error:
            advice = "; use sort to sort the events by time" if error.is_unsorted else ""
            raise FormatError(f"{error.named(str(self.path))}{advice}") from error

    def _wrap(self, stored: Iterator[StoredColumns]) -> Iterator[Events]:
        count = 0
        for columns in _decode(self.path, self._errors, stored):
            yield Events.wrap(*columns, sensor=self.sensor, first=count)
            count += len(columns.t)

    def sorted(self) -> Events:
        """Read all events, and sort them by time; events at the same time keep their order.

        Raises:
            FormatError: If an event breaks another rule of `Events`.
        """
        stored = list(_decode(self.path, self._errors, self._source.chunks()))
        if not stored:
            return Events.empty(self.sensor)

        t, x, y, p = join_columns(stored)
        order = np.argsort(t, kind="stable")
        try:
            return Events.wrap(t[order], x[order], y[order], p[order], self.sensor)
        except EventError as error:
            raise FormatError(f"{self.path}: after sorting, {error}") from error

    def extent(self) -> Extent | None:
        """Return the number of events, and first and last time; None if this requires decoding the file."""
        with errors_as_dvspipe(self.path, self._errors):
            return self._source.extent() if self._source.extent else None

    def find_first_us(self) -> int:
        """Return the time of the first event; 0 if there are no events."""
        extent = self.extent()
        if extent:
            return extent.first_us or 0
        return next((int(events.t[0]) for events in self.chunks() if len(events)), 0)

    def find_last_us(self) -> int:
        """Return the time of the last event; 0 if there are none. Reads all events if the file does not store it."""
        return (self.extent() or count_events(self.chunks())).last_us or 0

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

        if not len(events) and (last_us := self.find_last_us()):
            outside = span.explain_outside(self.find_first_us(), last_us)
            if outside:
                log.warning("%s: %s; %s", self.path, outside, IN_SECONDS)
        return events


def open_recording(path: RecordingLike | Recording, hints: Hints = NO_HINTS) -> Recording:
    """Open a recording of any known format, recognised first by content, then by suffix.

    Args:
        path: File; also events in memory, or an opened recording, which is returned unchanged.
        hints: Metadata that the file lacks, such as `Hints(sensor="346x260")` or `Hints(chip="DVS128")`.

    Raises:
        FileError: If the file does not exist.
        FormatError: If the format is unknown, or the content does not match the format.
        EventError: If the file stores a sensor size other than `hints.sensor`.
    """
    if isinstance(path, Recording):
        return path
    errors: tuple[type[Exception], ...] = ()
    if isinstance(path, Events):
        file = Path("events")
        name = IN_MEMORY
        source = _wrap_events(path)
    else:
        file = Path(path)
        known = recognise(file)
        if known is None:
            raise unknown_format(file)
        name = known.name
        errors = known.errors
        with errors_as_dvspipe(file, errors):
            source = known.open(file, hints)

    # A sensor size in the file takes precedence; guessing one means reading all events.
    given = hints.given_sensor
    sensor_source: SensorSource = "file" if source.sensor else "given" if given else "guessed"
    if source.sensor and given and source.sensor != given:
        raise EventError(f"{file}: wrong sensor size (found {source.sensor}, expected {given})")
    sensor = source.sensor or given or _guess_sensor(file, _decode(file, errors, source.chunks()))
    return Recording(file, name, sensor, sensor_source, source.attributes, source, errors)


def _decode(
    path: Path, errors: tuple[type[Exception], ...], stored: Iterator[StoredColumns]
) -> Iterator[StoredColumns]:
    """Yield the events of a decoder in chunks that are not small; its errors name the file."""
    with errors_as_dvspipe(path, errors):
        yield from join_small(stored)


def _guess_sensor(path: Path, chunks: Iterable[StoredColumns]) -> SensorSize:
    """Return the smallest known sensor that contains all events."""
    width = height = 0
    for columns in chunks:
        if len(columns.x):
            width = max(width, int(columns.x.max()) + 1)
            height = max(height, int(columns.y.max()) + 1)

    known = next((known for known in KNOWN_SENSORS if width <= known.width and height <= known.height), None)
    if not width or known is None:
        found = f"events up to {width}x{height} pixels, larger than all known sensors" if width else "no events"
        raise FormatError(f"{path}: unknown sensor size (found {found}); use sensor=WIDTHxHEIGHT to set it")
    return known


def _wrap_events(events: Events) -> Source:
    """Return a source of events in memory."""

    def read_span(start_us: int, stop_us: int) -> Iterator[StoredColumns]:
        inside = events.between(start_us, stop_us)
        yield StoredColumns(inside.t, inside.x, inside.y, inside.p)

    return Source(
        events.sensor,
        lambda: read_span(EARLIEST_US, LATEST_US),
        extent=lambda: count_events([events]),
        span=read_span,
    )


def read(
    path: RecordingLike,
    start_us: float | None = None,
    stop_us: float | None = None,
    *,
    start_s: float | None = None,
    stop_s: float | None = None,
    hints: Hints = NO_HINTS,
    sort: bool = False,
) -> Events:
    """Read a recording of any known format, or a time span of it; warn if the span is outside the recording.

    Args:
        path: File; also events in memory.
        start_us: Start time (inclusive) in microseconds on the clock of the file; None: start of the recording.
        stop_us: Stop time (exclusive) on the same clock; None: end of the recording.
        start_s: Start time in seconds after the first event, instead of `start_us`.
        stop_s: Stop time (exclusive) in seconds after the first event, instead of `stop_us`.
        hints: Metadata that the file lacks; see `open_recording`.
        sort: Whether to sort unsorted events by time, in memory; otherwise they are an error.

    Raises:
        ConfigError: If a time is given in microseconds and in seconds.
        DvspipeError: As in `open_recording` and `Recording.chunks`.

    Example:
        >>> read("recording.aedat4", start_s=0.5, stop_s=1.5)  # doctest: +SKIP
        Events(24127 events, sensor 128x128, t 1718925185090632 to 1718925186090617 us)
    """
    recording = open_recording(path, hints)

    if sort:
        recording = open_recording(recording.sorted())
    return recording.read(recording.find_span(start_us, stop_us, start_s=start_s, stop_s=stop_s))


def iterate(
    path: RecordingLike,
    start_us: float | None = None,
    stop_us: float | None = None,
    *,
    start_s: float | None = None,
    stop_s: float | None = None,
    hints: Hints = NO_HINTS,
) -> Iterator[Events]:
    """Read a recording in consecutive chunks, in bounded memory; arguments and errors as in `read`."""
    recording = open_recording(path, hints)
    return recording.chunks(*recording.find_span(start_us, stop_us, start_s=start_s, stop_s=stop_s))


def as_events(recording: RecordingLike | NDArray[np.void], sensor: SensorSizeLike | None = None) -> Events:
    """Return events unchanged, read a file, or convert a structured array; without a sensor, it is guessed.

    Raises:
        EventError: If the rows of an array are not events, or events have another sensor than `sensor`.
        DvspipeError: If a file cannot be read, or the sensor of an array cannot be guessed.
    """
    if not isinstance(recording, np.ndarray):
        if sensor is None:
            return recording if isinstance(recording, Events) else read(recording)
        return read(recording, hints=Hints(sensor=str(SensorSize.of(sensor))))

    if sensor is not None:
        return Events.from_structured(recording, sensor)

    # The sensor is guessed from the largest coordinates, so they are first checked against the largest possible sensor.
    events = Events.from_structured(recording, LARGEST_SENSOR)
    guessed = _guess_sensor(Path("events"), _wrap_events(events).chunks())
    return Events.wrap_unchecked(events.t, events.x, events.y, events.p, guessed)


def count_events(chunks: Iterable[Events]) -> Extent:
    """Return the number of events of a recording, and the first and last time."""
    extent = NO_EVENTS
    for events in chunks:
        if len(events):
            first_us = int(events.t[0]) if extent.first_us is None else extent.first_us
            extent = Extent(extent.events + len(events), first_us, int(events.t[-1]))
    return extent
