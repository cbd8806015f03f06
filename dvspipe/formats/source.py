"""Interface of file formats: a `Format` opens and writes files; a `Source` is an opened file.

A decoder yields unchecked columns in chunks, in bounded memory; `Recording` checks them. A file that is truncated, or
not what its format requires, is an error that names the file, the place, and what was found and expected. Errors of
libraries become such errors in one place, `errors_as_dvspipe`; a format lists what its library raises for bad files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..base.errors import DvspipeError, EventError, FileError, FormatError, shorten
from ..events import Events, SensorSize
from .hints import Hints

CHUNK_EVENTS = 1 << 20
MIN_CHUNK_EVENTS = 1 << 16  # smaller chunks are joined
BLOCK_BYTES = 1 << 18  # read at a time; small enough for the cache
HEAD_BYTES = 4096  # read to recognise a format
MAX_HEADER_LINES = 1 << 18  # jAER stores all its settings in the header
MAX_LINE_BYTES = 1 << 16
CONTROLS = bytes(set(range(32)) - set(b"\t\r\n"))  # never part of text


class StoredColumns(NamedTuple):
    """Unchecked events as stored: arrays [N] of integers of any width, or of bool."""

    t: NDArray[Any]
    x: NDArray[Any]
    y: NDArray[Any]
    p: NDArray[Any]


class Extent(NamedTuple):
    """Number of events, and first and last time in microseconds (None if there are no events)."""

    events: int
    first_us: int | None
    last_us: int | None

    @property
    def duration_us(self) -> int:
        """Time from the first to the last event; 0 without events."""
        return (self.last_us or 0) - (self.first_us or 0)


@dataclass(frozen=True)
class Source:
    """Opened file.

    Args:
        sensor: Sensor size stored in the file; None if there is none.
        chunks: Decodes all events; each call starts from the beginning.
        attributes: Settings and comments stored in the file.
        extent: Returns the extent without decoding; None if the format cannot.
        span: Decodes the events with start_us <= t < stop_us without decoding everything before them; None if the
            format cannot.
    """

    sensor: SensorSize | None
    chunks: Callable[[], Iterator[StoredColumns]]
    attributes: dict[str, Any] = field(default_factory=dict)
    extent: Callable[[], Extent] | None = None
    span: Callable[[int, int], Iterator[StoredColumns]] | None = None


@dataclass(frozen=True)
class WriteOptions:
    """Options of a writer.

    Args:
        source: Origin of the events, such as the name of a video; stored only in HDF5.
        settings: Settings that generated the events; stored only in HDF5.
        overwrite: Whether to replace an existing file.
    """

    source: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    overwrite: bool = False


Encoder = Callable[[Path, SensorSize, WriteOptions], AbstractContextManager[Callable[[Events], object]]]
"""Context manager that opens a file, and gives the function that writes the next events; leaving it completes the file.
The function raises an EventError if the format cannot store the events."""


@dataclass(frozen=True)
class Format:
    """File format.

    Args:
        name: Name, as returned by `info`.
        suffixes: Suffixes of readable files, lower case, with the dot.
        open: Opens a file for decoding, with the metadata that it lacks.
        magic: First bytes of all files; empty if the suffix alone tells the format.
        encoder: Writes files; None if the format is read-only.
        written: Suffixes of written files.
        errors: What its library raises for bad files, besides OSError.
    """

    name: str
    suffixes: tuple[str, ...]
    open: Callable[[Path, Hints], Source]
    magic: bytes = b""
    encoder: Encoder | None = None
    written: tuple[str, ...] = ()
    errors: tuple[type[Exception], ...] = ()


@contextmanager
def errors_as_dvspipe(
    path: Path,
    errors: tuple[type[Exception], ...] = (),
    problem: str = "corrupted or truncated",
    kind: type[FileError] = FormatError,
) -> Iterator[None]:
    """Add the file to errors of dvspipe, and convert OSError and other `errors` to a `kind` of error in one line."""
    caught: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        yield
    except DvspipeError as error:
        raise error.named(str(path)) from error.__cause__
    except caught as error:
        text = (error.strerror if isinstance(error, OSError) else None) or str(error)
        reason = shorten(" ".join(text.split())) or type(error).__name__
        raise kind(f"{path}: {problem} ({reason})") from error


def read_records(path: Path, start: int, dtype: DTypeLike, name: str = "event") -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield position and content of blocks of records; a file that ends within a record is refused before the first."""
    dtype = np.dtype(dtype)
    size = path.stat().st_size
    left_over = (size - start) % dtype.itemsize
    if left_over:
        raise FormatError(
            f"{path}: truncated after {size} bytes (found {left_over} bytes of the last {name}, expected "
            f"{dtype.itemsize})"
        )

    with path.open("rb") as file:
        file.seek(start)
        while len(block := np.fromfile(file, dtype, BLOCK_BYTES // dtype.itemsize)):
            yield start, block
            start += block.nbytes


def read_header(path: Path, mark: bytes, last: str) -> tuple[list[str], int]:
    """Read the text before binary data: return its lines, and the position after them.

    Args:
        path: Input file.
        mark: Begin of each line. Data that begins with it, too, is no line of text.
        last: Begin of the last line, in lower case; without such a line, the text ends before the first other line.
    """
    lines: list[str] = []
    position = 0
    with path.open("rb") as file:
        while len(lines) < MAX_HEADER_LINES and (line := file.readline(MAX_LINE_BYTES)).startswith(mark):
            if not line.endswith(b"\n") or len(line.translate(None, CONTROLS)) < len(line):
                break

            position += len(line)
            lines.append(line.removeprefix(mark).decode("utf-8", "replace").strip())
            if lines[-1].lower().startswith(last):
                break
    return lines, position


def parse_fields(lines: Iterable[str], separator: str) -> dict[str, str]:
    """Return the values of header lines by their names, in lower case."""
    pairs = (line.partition(separator) for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def unwrap_times(stamps: NDArray[np.uint32], last_us: int | None) -> NDArray[np.int64]:
    """Unwrap the times of a 32-bit clock; successive times differ by less than 2^31 us.

    Args:
        stamps: Stored times, [N], N > 0.
        last_us: Time of the previous event; None if there is none.

    Returns:
        Times in microseconds, int64 [N].
    """
    # Law: t[n] = t[n - 1] + step, with the step modulo 2^32 in [-2^31, 2^31). The first step is from the previous
    # event, whose time may be larger than a stamp.
    first_us = int(stamps[0]) if last_us is None else last_us
    previous = np.uint32(first_us % 2**32)
    steps = np.diff(stamps, prepend=previous).view(np.int32)
    return first_us + np.cumsum(steps, dtype=np.int64)


def join_columns(parts: Sequence[StoredColumns]) -> StoredColumns:
    """Concatenate the columns of at least one part."""
    return parts[0] if len(parts) == 1 else StoredColumns(*map(np.concatenate, zip(*parts, strict=True)))


def join_small(chunks: Iterable[StoredColumns]) -> Iterator[StoredColumns]:
    """Join chunks until they have MIN_CHUNK_EVENTS."""
    pending: list[StoredColumns] = []
    for columns in chunks:
        pending.append(columns)
        if sum(len(part.t) for part in pending) >= MIN_CHUNK_EVENTS:
            yield join_columns(pending)
            pending = []

    if pending:
        yield join_columns(pending)


def check_range(events: Events, suffix: str, **ends: int) -> None:
    """Check that columns of a part have values from 0 to their end, exclusive, which a format can store."""
    for name, end in ends.items():
        column = getattr(events, name)
        for value in (int(column.min()), int(column.max())):
            if not 0 <= value < end:
                raise EventError(f"event out of range (found {name} = {value}, {suffix} stores 0 to {end - 1})")


def parse_sensor(path: Path, width: object, height: object) -> SensorSize:
    """Return the sensor size that a file stores as two integers, or their texts."""
    try:
        return SensorSize(width=int(width), height=int(height))  # type: ignore[call-overload]
    except (EventError, ValueError, TypeError, OverflowError) as error:
        raise FormatError(f"{path}: invalid sensor size (found {width} x {height})") from error
