"""Writing recordings in other people's formats: one writer, and per format what begins a file and adds events to it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ..errors import EventError, FileError
from ..events import Events, SensorSize
from ..files import claim_output, require_space, write_beside
from .source import CHUNK_EVENTS

CLOSING_BYTES = 8 << 20  # room for what an encoder writes when it closes, such as a table of contents


@dataclass(frozen=True)
class Encoding:
    """How a format is written.

    Args:
        suffixes: Lower case, with the dot.
        begin: Begins a file of a sensor; what it yields adds events, and the end of the block ends the file.
        size: How many bytes events take at most, after an event at the given time (None where they are the first).
        check: Raises EventError where the format cannot hold events, given that time too.
    """

    suffixes: tuple[str, ...]
    begin: Callable[[Path, SensorSize], AbstractContextManager[Callable[[Events], None]]]
    size: Callable[[Events, int | None], int]
    check: Callable[[Events, int | None], None]


class RecordingWriter:
    """Writes a recording in pieces; the file appears under its name only when the `with` block ends well.

    Args:
        path: The file to write.
        sensor: The sensor of all events.
        encoding: How.
        overwrite: Whether an existing file may be replaced.

    Attributes:
        count: Number of events so far.

    Raises:
        FileError: The file exists, cannot be written, has another suffix than those of the format, or the disk is full.
        EventError: Appended events come from another sensor, begin before the end of those before them, or the format
            cannot hold them.
    """

    def __init__(self, path: Path | str, sensor: SensorSize, encoding: Encoding, *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.sensor = sensor
        self.count = 0
        if self.path.suffix.lower() not in encoding.suffixes:
            raise FileError(
                f"{self.path}: has the suffix {self.path.suffix!r}, expected {' or '.join(encoding.suffixes)}"
            )
        self._encoding = encoding
        self._overwrite = overwrite
        self._last_us: int | None = None
        self._stack = ExitStack()

    def __enter__(self) -> RecordingWriter:
        claim_output(self.path, overwrite=self._overwrite)
        with ExitStack() as stack:
            beside = stack.enter_context(write_beside(self.path))
            try:
                self._add = stack.enter_context(self._encoding.begin(beside, self.sensor))
            except EventError as error:
                raise EventError(f"{self.path}: {error}") from error
            self._stack = stack.pop_all()
        return self

    def append(self, events: Events) -> None:
        """Adds events that are no earlier than those before them."""
        if events.sensor != self.sensor:
            raise EventError(f"{self.path}: events of a sensor of {events.sensor}, expected {self.sensor}")
        if len(events) and self._last_us is not None and events.t[0] < self._last_us:
            raise EventError(f"{self.path}: events from {events.t[0]} us on, after events up to {self._last_us} us")
        for start in range(0, len(events), CHUNK_EVENTS):
            part = _part(events, start)
            try:
                self._encoding.check(part, self._last_us)
            except EventError as error:
                raise EventError(f"{self.path}: {error}, after {self.count} events") from error
            require_space(self.path, self._encoding.size(part, self._last_us) + CLOSING_BYTES)
            self._add(part)
            self.count += len(part)
            self._last_us = int(part.t[-1])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)


def _part(events: Events, start: int) -> Events:
    if len(events) <= CHUNK_EVENTS:
        return events
    part = slice(start, start + CHUNK_EVENTS)
    return Events.from_checked(events.t[part], events.x[part], events.y[part], events.p[part], events.sensor)
