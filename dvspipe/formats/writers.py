"""Writers that write a recording part by part: the base class, and the writer of streaming formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from numpy.typing import ArrayLike, NDArray

from ..base.errors import EventError, FileError, join_names
from ..base.files import claim_output, require_space, write_beside
from ..events import Events, SensorSize

PART_EVENTS = 1 << 20  # events encoded at a time
MIN_CLOSING_BYTES = 256 << 10  # range of `closing_bytes`
CLOSING_BYTES = 8 << 20

Compression = Literal["gzip", "blosc"]


@dataclass(frozen=True)
class WriteOptions:
    """Options of a writer.

    Args:
        source: Origin of the events, such as the name of a video; stored only in HDF5.
        settings: Settings that generated the events; stored only in HDF5.
        compression: HDF5 compression: `gzip` is readable by every library; `blosc` reads faster and needs hdf5plugin.
        overwrite: Whether to replace an existing file.
        version_of_source: Version of the source, so that an interrupted writer can resume; used only by HDF5, see
            `EventWriter`.
    """

    source: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    compression: Compression = "gzip"
    overwrite: bool = False
    version_of_source: str | None = None


class Encoder(Protocol):
    """Factory of writers for one format."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """File suffixes, lower case, with the dot."""

    def create(self, path: Path, sensor: SensorSize, options: WriteOptions) -> Writer:
        """Create a writer for a file; errors as in `Writer`."""


class Writer(ABC):
    """Context manager that writes a recording part by part. The file appears when the block ends without an error.

    Args:
        path: Output file.
        sensor: Sensor size of all events.
        suffixes: Allowed suffixes.
        overwrite: Whether to replace an existing file.

    Attributes:
        count: Number of events written so far.
        saved: Inside the `with` block, the state of the last `save` of an interrupted writer; None if there is none, or
            the format cannot resume.

    Raises:
        FileError: If the file exists, cannot be written, or has another suffix, or if the disk is full.
        EventError: If appended events have another sensor size, begin before the end of the previous part, or cannot
            be stored in the format.
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

    def append(self, events: Events) -> None:
        """Write the next events, which must not be before the previous ones."""
        self._check(events)
        if len(events):
            self._write(events)

    def note(self, name: str, value: int | str) -> None:  # noqa: B027  most formats have no attributes
        """Add an attribute to the file, if the format has attributes. `save` does not keep it."""

    def save(self, state: Mapping[str, ArrayLike]) -> None:  # noqa: B027  most formats cannot resume
        """Save the events so far and a state; another writer can resume from them, if the format allows it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, traceback)
            return

        with self._stack:
            claim_output(self.path, overwrite=self._overwrite)  # another process may have written the file meanwhile
            self._finish()

    def _check(self, events: Events) -> None:
        """Check the sensor size of events, and that they do not begin before the end of the previous part."""
        if events.sensor != self.sensor:
            raise EventError(
                f"{self.path}: wrong sensor size of events (found {events.sensor}, expected {self.sensor})"
            )
        if len(events) and self._last_us is not None and events.t[0] < self._last_us:
            raise EventError(f"{self.path}: unsorted events (found {events.t[0]} us after {self._last_us} us)")

    @abstractmethod
    def _begin(self, stack: ExitStack) -> None:
        """Open the file, and register its closing with `stack`."""

    @abstractmethod
    def _write(self, events: Events) -> None:
        """Write one or more checked events, and update `count` and `_last_us`."""

    def _finish(self) -> None:  # noqa: B027  most formats need none
        """Write the end of the file."""


@dataclass(frozen=True)
class StreamEncoder:
    """Encoder of a streaming format.

    Args:
        suffixes: File suffixes, lower case, with the dot.
        begin: Context manager that opens a file and yields a function to write events; leaving it completes the file.
        size: Returns the maximum number of bytes of events, given the time of the previous event (None: no previous).
        check: Raises EventError if the format cannot store events, given the same time.
    """

    suffixes: tuple[str, ...]
    begin: Callable[[Path, SensorSize], AbstractContextManager[Callable[[Events], object]]]
    size: Callable[[Events, int | None], int]
    check: Callable[[Events, int | None], None]

    def create(self, path: Path, sensor: SensorSize, options: WriteOptions) -> StreamWriter:
        """Create a writer for a file; source, settings and compression are not used."""
        return StreamWriter(path, sensor, self, overwrite=options.overwrite)


class StreamWriter(Writer):
    """Writer of a streaming format; arguments and errors as in `Writer`."""

    def __init__(
        self, path: Path | str, sensor: SensorSize, encoder: StreamEncoder, *, overwrite: bool = False
    ) -> None:
        super().__init__(path, sensor, encoder.suffixes, overwrite=overwrite)
        self._encoder = encoder

    def _begin(self, stack: ExitStack) -> None:
        beside = stack.enter_context(write_beside(self.path))
        try:
            self._encode = stack.enter_context(self._encoder.begin(beside, self.sensor))
        except (EventError, FileError) as error:
            raise error.named(str(self.path)) from error

    def _write(self, events: Events) -> None:
        for start in range(0, len(events), PART_EVENTS):
            part = events if len(events) <= PART_EVENTS else events.slice_events(start, start + PART_EVENTS)
            try:
                self._encoder.check(part, self._last_us)
            except EventError as error:
                raise EventError(f"{self.path}: {error}, after {self.count} events") from error

            require_space(self.path, self._encoder.size(part, self._last_us) + closing_bytes(self.count))
            self._encode(part)
            self.count += len(part)
            self._last_us = int(part.t[-1])


def closing_bytes(events: int) -> int:
    """Return the disk space to reserve for closing a file of `events` events: metadata, an index."""
    return min(CLOSING_BYTES, MIN_CLOSING_BYTES + events)


def check_times(events: Events, suffix: str, end_us: int, advice: str = "") -> None:
    """Check that the times of sorted events are from 0 to `end_us` - 1."""
    for event in (0, len(events) - 1):
        if not 0 <= events.t[event] < end_us:
            raise EventError(
                f"event {event}: out of range (found t = {events.t[event]} us, {suffix} stores 0 to {end_us - 1} us)"
                f"{advice}"
            )


def check_sides(sensor: SensorSize, suffix: str, side: int) -> None:
    """Check that both sides of a sensor are at most `side` pixels."""
    if max(sensor) > side:
        raise EventError(f"sensor too large (found {sensor}, {suffix} stores at most {side}x{side})")


def accept_all(_events: Events, _last_us: int | None) -> None:
    """Accept all events: the format can store any."""


def has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Return whether a path ends in one of the suffixes; suffixes may be double, such as `.evt3.raw`.

    Example:
        >>> has_suffix(Path("clip.EVT3.raw"), (".evt3.raw",))
        True
    """
    return "".join(path.suffixes).lower().endswith(suffixes)


def unwritable(path: Path, suffixes: tuple[str, ...]) -> FileError:
    """Return the error for an output file without one of the suffixes."""
    suffix = path.suffix or "none"
    return FileError(f"{path}: wrong suffix for events (found {suffix}, expected {join_names(suffixes)})")
