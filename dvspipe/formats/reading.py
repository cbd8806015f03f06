"""Functions that read recordings: `read` into memory, `iterate` in chunks, and `as_events` for arguments."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..events import Events, SensorSize, SensorSizeLike
from .hints import NO_HINTS, Hints, RecordingLike
from .opening import name_recording
from .recordings import open_recording
from .sensors import LARGEST_SENSOR, guess_sensor
from .source import StoredColumns


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
        return recording.sorted().slice_time(start_us, stop_us, start_s=start_s, stop_s=stop_s)
    return recording.read(recording.find_span(start_us, stop_us, start_s=start_s, stop_s=stop_s))


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
    columns = StoredColumns(events.t, events.x, events.y, events.p)
    guessed = guess_sensor(name_recording(events), [columns])
    return Events.wrap_unchecked(events.t, events.x, events.y, events.p, guessed)


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
