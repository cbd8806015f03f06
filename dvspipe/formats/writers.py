"""Writers: a recording is written part by part, beside its place, and appears when it is complete.

A part is some consecutive events of a recording; it begins where the previous part ends.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from ..base.errors import EventError, FileError, join_names
from ..base.files import claim_output, require_space, write_beside
from ..events import Events, SensorSize, concatenate
from .source import Format, WriteOptions, errors_as_dvspipe

PART_EVENTS = 1 << 16  # events encoded at a time
RESERVED_BYTES = 32 * PART_EVENTS + (8 << 20)  # disk space of a part and of the end of a file


class Writer:
    """Context manager that writes a recording part by part. The file appears when the block ends without an error.

    Args:
        path: Output file.
        sensor: Sensor size of all events.
        known: Format to write.
        options: Origin of the events, and whether to replace an existing file.

    Attributes:
        count: Number of events so far.

    Raises:
        FileError: If the file exists or cannot be written, or the disk is full.
        EventError: If appended events have another sensor size, begin before the end of the previous part, or cannot
            be stored in the format.
    """

    def __init__(self, path: Path, sensor: SensorSize, known: Format, options: WriteOptions) -> None:
        self.path = path
        self.sensor = sensor
        self.count = 0
        self._format = known
        self._options = options
        self._last_us: int | None = None
        self._pending: list[Events] = []  # small parts, written together
        self._written = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        assert self._format.encoder is not None
        claim_output(self.path, overwrite=self._options.overwrite)
        with ExitStack() as stack, errors_as_dvspipe(self.path, "cannot be written", FileError):
            beside = stack.enter_context(write_beside(self.path))
            self._encode = stack.enter_context(self._format.encoder(beside, self.sensor, self._options))
            self._stack = stack.pop_all()
        return self

    def append(self, events: Events) -> None:
        """Write the next events, which must not be before the previous ones."""
        if events.sensor != self.sensor:
            raise EventError(f"{self.path}: wrong sensor size (found {events.sensor}, expected {self.sensor})")
        if not len(events):
            return
        if self._last_us is not None and events.t[0] < self._last_us:
            raise EventError(f"{self.path}: unsorted events (found {events.t[0]} us after {self._last_us} us)")

        self._last_us = int(events.t[-1])
        self.count += len(events)
        self._pending.append(events)
        if self.count - self._written >= PART_EVENTS:
            self._write_pending()

    def _write_pending(self) -> None:
        events = concatenate(self._pending, self.sensor)
        self._pending = []
        for start in range(0, len(events), PART_EVENTS):
            require_space(self.path, RESERVED_BYTES)
            with errors_as_dvspipe(self.path, "cannot be written", FileError):
                self._encode(events[start : start + PART_EVENTS])
        self._written += len(events)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            with errors_as_dvspipe(self.path, "cannot be written", FileError):
                self._stack.__exit__(kind, error, traceback)
            return

        with errors_as_dvspipe(self.path, "cannot be written", FileError), self._stack:
            self._write_pending()
            claim_output(self.path, overwrite=self._options.overwrite)  # another process may have written it meanwhile


def check_range(events: Events, suffix: str, **ends: int) -> None:
    """Check that columns of a part have values from 0 to their end, exclusive, which a format can store."""
    for name, end in ends.items():
        column = getattr(events, name)
        for value in (int(column.min()), int(column.max())):
            if not 0 <= value < end:
                raise EventError(f"event out of range (found {name} = {value}, {suffix} stores 0 to {end - 1})")


def has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Return whether a path ends in one of the suffixes."""
    return path.name.lower().endswith(suffixes)


def unwritable(path: Path, suffixes: tuple[str, ...]) -> FileError:
    """Return the error for an output file without one of the suffixes."""
    suffix = path.suffix or "none"
    return FileError(f"{path}: wrong suffix for events (found {suffix}, expected {join_names(suffixes)})")
