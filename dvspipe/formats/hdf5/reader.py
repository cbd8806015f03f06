"""Reader of HDF5 recordings in all LAYOUTS, recognised by the content of the file.

A file with different events in two layouts is an error. Times are absolute: t_offset is added if the layout has it, and
nothing else is shifted. Integers are microseconds and floats are seconds if the layout defines this; otherwise a hint
must set the unit. A hint takes precedence over the layout. OFF is 0 or -1, whichever comes first.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
from numpy.typing import NDArray

from ...base.errors import CorruptionError, FileError, FormatError
from ...base.progress import Progress
from ..hints import NO_HINTS, Hints
from ..source import CHUNK_EVENTS, GZIP_MAGIC, Extent, Source, StoredColumns, describe_content
from ..values import convert_columns, to_microseconds
from .layouts import find_layout
from .metadata import Metadata, read_attributes, read_metadata, read_sensor
from .storage import H5PY_ERRORS, StoredRows, get_dataset

MAX_DECODERS = 4  # threads; one decodes 160 M events/s


def open_hdf5(path: Path, hints: Hints = NO_HINTS) -> Source:
    """Open an HDF5 recording.

    Args:
        path: HDF5 file.
        hints: Time unit, and columns of a table; they take precedence over the layout.

    Raises:
        FileError: If the file cannot be read.
        FormatError: If the header is corrupted, the file has no known layout or several, or its storage is not
            supported.
    """
    _refuse_gzip(path)
    with open_file(path) as file:
        layout = find_layout(path, file)
        metadata = read_metadata(path, file, layout, hints)
        sensor = read_sensor(path, file, layout)
        attributes = read_attributes(path, file) | {"layout": layout.name}

    return Source(
        sensor,
        lambda progress=None: _chunks(metadata, progress=progress),
        attributes,
        extent=lambda: _extent(metadata),
        span=lambda start_us, stop_us: _span(metadata, start_us, stop_us),
    )


def _refuse_gzip(path: Path) -> None:
    try:
        with path.open("rb") as file:
            packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from error

    if packed:
        raise FormatError(f"{path}: cannot read an HDF5 file inside gzip; decompress it first")


@contextmanager
def open_file(path: Path) -> Iterator[h5py.File]:
    """Open a file, and convert h5py's errors about its content to FormatError."""
    try:
        file = h5py.File(path, "r")
    except H5PY_ERRORS as error:
        if not h5py.is_hdf5(path):
            raise FormatError(f"{path}: not an HDF5 file (found {describe_content(path)})") from error
        message = f"{path}: not a complete HDF5 file ({error}); truncated HDF5 files cannot be read"
        raise FormatError(message) from error

    try:
        with file:
            yield file
    except H5PY_ERRORS as error:
        raise FormatError(f"{path}: corrupted: {error}") from error


class _Reader:
    """Open columns of a recording.

    Attributes:
        available: Number of events before the first event that was never stored.
        off: Stored value of OFF; None while unknown.
    """

    def __init__(self, metadata: Metadata, file: h5py.File, threads: Executor) -> None:
        self._metadata = metadata
        self._threads = threads

        size = metadata.path.stat().st_size
        self._stored = {
            name: StoredRows(get_dataset(file, name), size)
            for name in dict.fromkeys(location.dataset for location in metadata.locations.values())
        }

        self.available = min(stored.available for stored in self._stored.values())
        self.off: int | None = None

    def columns(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Read the stored values of the events `start` to `stop` - 1."""
        rows = {name: stored.read(start, stop, self._threads) for name, stored in self._stored.items()}
        return {name: _select_part(rows[where.dataset], where.part) for name, where in self._metadata.locations.items()}

    def time_us(self, event: int) -> int:
        """Return the time of an event in microseconds.

        Raises:
            CorruptionError: If the event was never stored, or its time is invalid.
        """
        metadata = self._metadata
        location = self._metadata.locations["t"]

        if event >= self.available:
            raise _missing_error(metadata, self.available)
        try:
            value = _select_part(self._stored[location.dataset].read(event, event + 1), location.part)
        except H5PY_ERRORS as error:
            raise _unreadable_error(metadata, event, error) from error

        t, valid = to_microseconds(value, metadata.exponent, metadata.offset_us)
        if not valid.all():
            raise _invalid_error(metadata, event, "t", value[0])
        return int(t[0])


def _select_part(rows: NDArray[Any], part: str | int | None) -> NDArray[Any]:
    if part is None:
        return rows
    return rows[part] if isinstance(part, str) else rows[:, part]


def _chunks(
    metadata: Metadata,
    start: int = 0,
    stop: int | None = None,
    *,
    progress: Progress | None = None,
) -> Iterator[StoredColumns]:
    stop = metadata.events if stop is None else stop
    with _open_reader(metadata) as reader:
        until = min(stop, reader.available)
        for first in range(start, until, CHUNK_EVENTS):
            if progress:
                progress(min(first + CHUNK_EVENTS, until) - start, stop - start)
            yield from _read(metadata, reader, first, min(first + CHUNK_EVENTS, until))

        if until < stop:
            raise _missing_error(metadata, until)


@contextmanager
def _open_reader(metadata: Metadata) -> Iterator[_Reader]:
    with ThreadPoolExecutor(min(MAX_DECODERS, os.cpu_count() or 1)) as threads:
        try:
            file = h5py.File(metadata.path, "r")
            reader = _Reader(metadata, file, threads)
        except H5PY_ERRORS as error:
            raise CorruptionError(f"{metadata.path}: corrupted: {error}", lost="everything") from error
        with file:
            yield reader


def _read(metadata: Metadata, reader: _Reader, start: int, stop: int) -> Iterator[StoredColumns]:
    """Yield events; find the first unreadable event by bisection."""
    try:
        values = reader.columns(start, stop)
    except H5PY_ERRORS as error:
        if stop - start == 1:
            raise _unreadable_error(metadata, start, error) from error

        middle = (start + stop) // 2
        yield from _read(metadata, reader, start, middle)
        yield from _read(metadata, reader, middle, stop)
        return
    yield from _convert(metadata, reader, start, values)


def _convert(
    metadata: Metadata, reader: _Reader, start: int, values: dict[str, NDArray[Any]]
) -> Iterator[StoredColumns]:
    """Convert values to integers, and yield them up to the first invalid event."""
    columns, invalid, reader.off = convert_columns(values, metadata.exponent, metadata.offset_us, reader.off)
    stop = len(columns.t)
    if stop:
        yield columns

    if invalid:
        raise _invalid_error(metadata, start + stop, invalid, values[invalid][stop])


def _missing_error(metadata: Metadata, event: int) -> CorruptionError:
    message = f"{metadata.path}: events were never stored, starting at event {event}"
    return CorruptionError(message, lost=f"{metadata.events - event} events")


def _unreadable_error(metadata: Metadata, event: int, error: BaseException) -> CorruptionError:
    message = f"{metadata.path}: corrupted at event {event}: {error}"
    return CorruptionError(message, lost=f"{metadata.events - event} events")


def _invalid_error(metadata: Metadata, event: int, name: str, value: object) -> CorruptionError:
    expected = {"t": "a finite time", "p": "0 and 1, or -1 and 1 throughout"}.get(name, "an integer")
    message = f"{metadata.path}: wrong event {event} (found {name} = {value}, expected {expected})"
    return CorruptionError(message, lost=f"{metadata.events - event} events")


def _extent(metadata: Metadata) -> Extent:
    if not metadata.events:
        return Extent(0, None, None)
    with _open_reader(metadata) as reader:
        return Extent(metadata.events, reader.time_us(0), reader.time_us(metadata.events - 1))


def _span(metadata: Metadata, start_us: int, stop_us: int) -> Iterator[StoredColumns]:
    """Yield the events with start_us <= t < stop_us; yield all events if corruption prevents the search."""
    start = 0
    stop = metadata.events
    with suppress(CorruptionError), _open_reader(metadata) as reader:
        # Times are sorted; an event is decoded for each step of the bisection.
        events = range(metadata.events)
        first = bisect_left(events, start_us, key=reader.time_us)
        after = bisect_left(events, stop_us, key=reader.time_us)
        if first <= after:
            start = first
            stop = after

    yield from _chunks(metadata, start, stop)
