"""Summarise a recording: `info`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..base.arguments import checked
from ..base.errors import Brief, FileError
from ..events import Events, SensorSizeLike
from ..parallel import Progress
from .hints import NO_HINTS, HintsLike, RecordingLike, SensorSource

MAX_COUNTED_EVENTS = 10_000_000  # up to here, `info` counts polarities; this takes less than a second


@dataclass(frozen=True, repr=False)
class RecordingInfo(Brief):
    """Summary of a recording.

    Args:
        file: Path.
        format: Name of the file format.
        width: Sensor columns.
        height: Sensor rows.
        sensor_source: `file`, `given` or `guessed`.
        events: Number of events.
        t_first_us: Time of the first event in microseconds; None if there are no events.
        t_last_us: Time of the last event in microseconds; None if there are no events.
        duration_us: Time from the first to the last event in microseconds.
        on_fraction: Fraction of ON events; None if there are no events, or they were not read.
        rate_hz: Events per second; None if the duration is 0.
        attributes: Settings and comments stored in the file.
    """

    file: str
    format: str
    width: int
    height: int
    sensor_source: SensorSource
    events: int
    t_first_us: int | None
    t_last_us: int | None
    duration_us: int
    on_fraction: float | None
    rate_hz: float | None
    attributes: dict[str, Any]


@checked
def info(
    recording: RecordingLike,
    *,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    read_all: bool = False,
    progress: Progress | None = None,
) -> RecordingInfo:
    """Summarise a recording; errors as in `open_recording` and `Recording.chunks`.

    Args:
        recording: File, or `-` for standard input; also events in memory.
        sensor: Sensor size, for files that do not store it. None: the smallest known sensor that contains all events.
        hints: Other missing metadata; see `open_recording`.
        read_all: Read and check all events, even if their number and times are known without decoding. Otherwise, the
            fraction of ON events of such a file with more than 10 million events is unknown.
        progress: Called with the amount read and the total while events are read.
    """
    from .recordings import count_events, open_recording

    opened = open_recording(recording, sensor=sensor, hints=hints)
    extent = None if read_all else opened.extent()
    if extent and (extent.last_us or 0) < (extent.first_us or 0):  # unsorted; reading all events reports where
        extent = None

    # Counting polarities means decoding: a file that knows its extent is decoded only if this is fast.
    on: int | None = None
    if extent:
        count, first_us, last_us = extent
        if count <= MAX_COUNTED_EVENTS:
            with suppress(FileError):  # raised again when the events are read
                on = count_events(opened.chunks()).on
    else:
        count, on, first_us, last_us = count_events(opened.chunks(progress=progress))

    duration_us = 0 if first_us is None or last_us is None else last_us - first_us
    return RecordingInfo(
        file=str(opened.path if isinstance(recording, Events) else recording),
        format=opened.format,
        width=opened.sensor.width,
        height=opened.sensor.height,
        sensor_source=opened.sensor_source,
        events=count,
        t_first_us=first_us,
        t_last_us=last_us,
        duration_us=duration_us,
        on_fraction=on / count if count and on is not None else None,
        rate_hz=count / duration_us * 1e6 if duration_us else None,
        attributes=opened.attributes,
    )
