"""Opening of a recording for decoding: a file or events in memory becomes a `Source`.

A source decodes events in chunks, without checks; `recordings` checks them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..base.errors import EventError
from ..base.progress import Progress
from ..events import Events
from .hints import NO_HINTS, Hints, RecordingLike
from .recognition import load_format, read_head, recognise, unknown_format
from .source import Extent, Source, StoredColumns

IN_MEMORY = "memory"
"""Name of the format of events in memory."""


def open_source(
    recording: RecordingLike, hints: Hints = NO_HINTS, format_name: str | None = None
) -> tuple[str, Source]:
    """Open a recording for unchecked decoding: return the name of its format and its source.

    Arguments and errors as in `open_recording`, but the sensor is not guessed.
    """
    path = name_recording(recording)
    if isinstance(recording, Events):
        format_name = IN_MEMORY
        source = _wrap_events(recording)
    else:
        known = recognise(path) if format_name is None else load_format(format_name)
        if known is None:
            raise unknown_format(path, read_head(path))
        format_name = known.name
        source = known.open(path, hints)

    sensor = hints.given_sensor
    if source.sensor is not None and sensor is not None and source.sensor != sensor:
        raise EventError(f"{path}: wrong sensor size (found {source.sensor}, expected {sensor})")

    return format_name, source


def name_recording(recording: RecordingLike) -> Path:
    """Return the path of a recording for messages; `events` for events in memory."""
    return Path("events") if isinstance(recording, Events) else Path(recording)


def _wrap_events(events: Events) -> Source:
    """Return a source of events in memory."""

    def span(start_us: int, stop_us: int) -> Iterator[StoredColumns]:
        inside = events.between(start_us, stop_us)
        yield StoredColumns(inside.t, inside.x, inside.y, inside.p)

    def chunks(progress: Progress | None = None) -> Iterator[StoredColumns]:  # noqa: ARG001
        yield StoredColumns(events.t, events.x, events.y, events.p)

    limits_us = (int(events.t[0]), int(events.t[-1])) if len(events) else (None, None)
    return Source(events.sensor, chunks, extent=lambda: Extent(len(events), *limits_us), span=span)
