"""Writing recordings part by part: what all writers check, and the writer of formats that are a stream of events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import EventError, FileError
from ..events import Events, SensorSize
from ..files import claim_output, require_space, write_beside

PART_EVENTS = 1 << 20  # encoded at a time
MIN_CLOSING_BYTES, CLOSING_BYTES = 256 << 10, 8 << 20  # as `closing_bytes` returns, for no event and for many

Compression = Literal["gzip", "blosc"]


@dataclass(frozen=True)
class WriteOptions:
    """How a file is written.

    Args:
        source: Where the events come from, such as the name of a video; only HDF5 keeps it.
        settings: The settings that made the events; only HDF5 keeps them.
        compression: Of HDF5: `gzip`, which every library reads, or `blosc`, which reads faster and needs hdf5plugin.
        overwrite: Whether an existing file is replaced.
        labelled: Whether each event has a label of noise; only HDF5 keeps it.
    """

    source: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    compression: Compression = "gzip"
    overwrite: bool = False
    labelled: bool = False


class Encoder(Protocol):
    """How a format is written."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of the files, lower case, with the dot."""

    def create(self, path: Path, sensor: SensorSize, options: WriteOptions) -> Writer:
        """Return a writer for a file; raises as `Writer` does."""


class Writer(ABC):
    """Writes a recording part by part; the file appears under its name when the `with` block ends without an error.

    Args:
        path: The file to write.
        sensor: The sensor of all events.
        suffixes: Suffixes that the file may have.
        overwrite: Whether an existing file is replaced.

    Attributes:
        count: Number of events so far.
        saved: Inside the `with` block, the state given to the last `save` of an interrupted writer; None if the format
            cannot resume.

    Raises:
        FileError: The file exists, cannot be written, or has another suffix, or the disk is full.
        EventError: Appended events come from another sensor or begin before the end of the previous part, or the format
            cannot hold them.
    """

    def __init__(self, path: Path | str, sensor: SensorSize, suffixes: tuple[str, ...], *, overwrite: bool) -> None:
        self.path = Path(path)
        self.sensor = sensor
        self.count = 0
        self.saved: dict[str, NDArray[Any]] | None = None
        if not has_suffix(self.path, suffixes):
            raise unwritable(self.path, suffixes)
        self._overwrite = overwrite
        self._last_us: int | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        claim_output(self.path, overwrite=self._overwrite)
        with ExitStack() as stack:
            self._begin(stack)
            self._stack = stack.pop_all()
        return self

    def append(self, events: Events, noise: NDArray[np.bool_] | None = None) -> None:
        """Write the next events, which are no earlier than those before them.

        Args:
            events: N events.
            noise: [N] whether each is noise; only HDF5 keeps it.
        """
        self._check(events)
        if len(events):
            self._write(events, noise)

    def note(self, name: str, value: int | str) -> None:  # noqa: B027  most formats have no attributes
        """Add an attribute to the file, if its format has any; `save` does not keep it."""

    def save(self, state: Mapping[str, ArrayLike]) -> None:  # noqa: B027  most formats cannot resume
        """Save the events so far and a state, from which another writer can resume, if the format allows that."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, traceback)
            return
        with self._stack:
            claim_output(self.path, overwrite=self._overwrite)  # another process may have written it since
            self._finish()

    def _check(self, events: Events) -> None:
        """Check that events come from the sensor and do not begin before the end of the previous part."""
        if events.sensor != self.sensor:
            raise EventError(f"{self.path}: events of a sensor of {events.sensor} (expected {self.sensor})")
        if len(events) and self._last_us is not None and events.t[0] < self._last_us:
            raise EventError(f"{self.path}: events from {events.t[0]} us after events up to {self._last_us} us")

    @abstractmethod
    def _begin(self, stack: ExitStack) -> None:
        """Open the file; the stack closes it."""

    @abstractmethod
    def _write(self, events: Events, noise: NDArray[np.bool_] | None) -> None:
        """Write checked events, at least one, and update `count` and `_last_us`."""

    def _finish(self) -> None:  # noqa: B027  most formats need none
        """Write the end of the file."""


@dataclass(frozen=True)
class StreamEncoder:
    """How a format that is a stream of events is written.

    Args:
        suffixes: Suffixes of the files, lower case, with the dot.
        begin: Begins a file; what it yields writes events, and the end of the block completes the file.
        size: Largest number of bytes that events need, given the time of the event before them (None: they are first).
        check: Raises EventError if the format cannot hold events, given the same time.
    """

    suffixes: tuple[str, ...]
    begin: Callable[[Path, SensorSize], AbstractContextManager[Callable[[Events], object]]]
    size: Callable[[Events, int | None], int]
    check: Callable[[Events, int | None], None]

    def create(self, path: Path, sensor: SensorSize, options: WriteOptions) -> StreamWriter:
        """Return a writer for a file; source, settings and compression are not used."""
        return StreamWriter(path, sensor, self, overwrite=options.overwrite)


class StreamWriter(Writer):
    """Writes a recording in a format that is a stream of events; arguments and errors as `Writer`."""

    def __init__(
        self, path: Path | str, sensor: SensorSize, encoder: StreamEncoder, *, overwrite: bool = False
    ) -> None:
        super().__init__(path, sensor, encoder.suffixes, overwrite=overwrite)
        self._encoder = encoder

    def _begin(self, stack: ExitStack) -> None:
        beside = stack.enter_context(write_beside(self.path))
        try:
            self._encode = stack.enter_context(self._encoder.begin(beside, self.sensor))
        except EventError as error:
            raise error.named(str(self.path)) from error

    def _write(self, events: Events, _noise: NDArray[np.bool_] | None) -> None:
        for start in range(0, len(events), PART_EVENTS):
            part = events if len(events) <= PART_EVENTS else events.slice_events(start, start + PART_EVENTS)
            try:
                self._encoder.check(part, self._last_us)
            except EventError as error:
                message = f"{self.path}: {error.message}, after {self.count} events"
                raise EventError(message, *error.remedies) from error
            require_space(self.path, self._encoder.size(part, self._last_us) + closing_bytes(self.count))
            self._encode(part)
            self.count += len(part)
            self._last_us = int(part.t[-1])


def closing_bytes(events: int) -> int:
    """Return the room to keep for what is written when a file of so many events is closed: metadata, an index."""
    return min(CLOSING_BYTES, MIN_CLOSING_BYTES + events)


def accept_all(_events: Events, _last_us: int | None) -> None:
    """Check nothing: the format can hold all events."""


def has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Return whether a file has one of some suffixes, of which some consist of two: `.evt3.raw`."""
    return "".join(path.suffixes).lower().endswith(suffixes)


def unwritable(path: Path, suffixes: tuple[str, ...]) -> FileError:
    """Return the error for a file to write that has none of some suffixes."""
    *others, last = suffixes
    expected = f"{', '.join(others)} or {last}" if others else last
    return FileError(f"{path}: dvspipe writes events as {expected}, not as {path.suffix!r}")
