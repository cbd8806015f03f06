"""HDF5 recordings: read in all LAYOUTS, written in the layout of DSEC (Gehrig et al. 2021).

Most event libraries read what is written: the datasets /events/{x, y, t, p}, /events/{width, height}, /ms_to_idx,
/t_offset, and the same columns under /prophesee/left. Times in the file are relative to /t_offset; times in memory are
absolute. Integers are microseconds and floats are seconds if the layout defines this; otherwise a hint must set the
unit.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import re
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from ..base.errors import FormatError, escape_controls
from ..events import EARLIEST_US, TIME_LIMIT_US, Events, SensorSize, check_order
from .columns import convert_columns, convert_times, unknown_unit
from .hints import Hints, TimeUnit
from .source import CHUNK_EVENTS, Extent, Format, Source, StoredColumns, WriteOptions, parse_sensor

SUFFIXES = (".h5", ".hdf5")
CACHE_BYTES = 32 << 20  # per dataset: a chunk is decompressed once, although parts end within it
TRUNCATED = re.compile(r"\beof = (\d+), .*stored_eof = (\d+)")  # error of the HDF5 library
H5PY_ERRORS = (KeyError, RuntimeError, TypeError, ValueError, OverflowError)
"""h5py maps the errors of the HDF5 library to these and to OSError; a stored number may be infinite."""
TEXTS_MAGIC = b"GCOL\1\0\0\0"  # global heap collection (HDF5 File Format Specification, III.E)
TEXTS = struct.Struct("<8xQ")  # size of a collection with this header
TEXT = struct.Struct("<H6xQ")  # index and size of a text
MAX_LISTED = 12  # datasets in a message
ATTRIBUTES = (
    "width",
    "height",
    "geometry",  # from the Metavision SDK
    "timestamp_scale_ms",  # from EventCV
    "format",
    "version",
    "t_unit",
    "source",
    "settings",
)
"""Attributes that are read; HDF5 crashes or hangs on some corrupted values, so others are left alone."""
UNITS_BY_MS: dict[float, TimeUnit] = {1e3: "s", 1.0: "ms", 1e-3: "us", 1e-6: "ns"}

CHUNK_ROWS = 1 << 16
COLUMN_TYPES = {"x": np.uint16, "y": np.uint16, "t": np.int64, "p": np.uint8}
STORAGE: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
MAX_INDEX_MS = 1 << 26  # 18 hours; limited because one wrong time could fill the disk
NEAR_ZERO_US = 1_000_000  # recordings that begin later are stored relative to t_offset


class Layout(NamedTuple):
    """Layout: where a program stores the events and the sensor size.

    Args:
        name: Name, as shown by `dvspipe info`.
        datasets: Datasets of t, x, y and p.
        unit: Unit of the times: us for integers, s for floats; undefined for other types.
        parts: Indices of t, x, y and p in the rows of their datasets.
        sensor: Datasets of width and height, or one dataset with both.
        table_type: Type of the numbers of a table [N, 4] that this program writes. Tables of other types may have other
            columns.
    """

    name: str
    datasets: tuple[str, ...]
    unit: TimeUnit
    parts: tuple[Any, ...] = (..., ..., ..., ...)
    sensor: tuple[str, ...] = ()
    table_type: str | None = None


DSEC = Layout(  # also dvspipe, RVT, TUM-VIE, EventCV, evutils
    "dsec", ("events/t", "events/x", "events/y", "events/p"), "us", sensor=("events/width", "events/height")
)
LAYOUTS = (
    DSEC,
    Layout(
        "m3ed",
        ("prophesee/left/t", "prophesee/left/x", "prophesee/left/y", "prophesee/left/p"),
        "us",
        sensor=("prophesee/left/calib/resolution",),
    ),
    Layout("prophesee", ("CD/events",) * 4, "us", ("t", "x", "y", "p")),
    Layout("event_utils", ("events/ts", "events/xs", "events/ys", "events/ps"), "s"),
    Layout("raw_events", ("raw_events/t", "raw_events/x", "raw_events/y", "raw_events/p"), "s"),
    Layout("v2e", ("events",) * 4, "us", ((..., 0), (..., 1), (..., 2), (..., 3)), table_type="uint32"),
    Layout("mvsec", ("davis/left/events",) * 4, "s", ((..., 2), (..., 0), (..., 1), (..., 3)), table_type="float64"),
)


def _open(path: Path, hints: Hints) -> Source:
    with _open_file(path) as file:
        attributes = {name: _read_attribute(path, file, name) for name in ATTRIBUTES if name in file.attrs}
        layout = _find_layout(path, file)
        columns = _Columns.find(path, file, layout, attributes, hints)
        sensor = _read_sensor(path, file, layout, attributes)

    if columns.is_sorted:
        attributes["settings"] = json.loads(attributes["settings"])
    return Source(sensor, columns.read, attributes | {"layout": layout.name}, columns.extent, columns.read_span)


def _open_file(path: Path) -> h5py.File:
    with suppress(ImportError):
        import hdf5plugin  # noqa: F401  registers its filters, such as DSEC's Blosc
    try:
        return h5py.File(path, "r", rdcc_nbytes=CACHE_BYTES)
    except OSError as error:
        if (sizes := TRUNCATED.search(str(error))) is None:
            raise
        raise FormatError(f"{path}: truncated (found {sizes[1]} bytes, expected {sizes[2]})") from error


def _read_attribute(path: Path, file: h5py.File, name: str) -> Any:
    """Read an attribute as a JSON value."""
    # The HDF5 library follows the addresses in a sequence, and crashes if they are corrupted. Texts are not sequences.
    stored = file.attrs.get_id(name).get_type()
    if isinstance(stored, h5py.h5t.TypeStringID) and stored.is_variable_str():
        _check_texts(path)
    elif stored.detect_class(h5py.h5t.VLEN):
        raise FormatError(f"{path}: corrupted attribute {name} (found a sequence, expected a number or a text)")

    value = file.attrs[name]
    value = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _check_texts(path: Path) -> None:
    """Check the collections of texts of variable length: over corrupted ones, the HDF5 library may loop for ever."""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        begin = content.find(TEXTS_MAGIC)
        while begin >= 0:
            position = begin + TEXTS.size
            stop = min(begin + TEXTS.unpack_from(content, begin)[0], len(content)) - TEXT.size
            while position <= stop:
                # A text has an index above 0, and is padded. Free space has the index 0, and its size has the header.
                index, size = TEXT.unpack_from(content, position)
                if not index and not size:
                    raise FormatError(f"{path}: corrupted texts (found 0 bytes of free space at byte {position})")
                position += TEXT.size + -(-size // 8) * 8 if index else size
            begin = content.find(TEXTS_MAGIC, begin + 1)


def _find_layout(path: Path, file: h5py.File) -> Layout:
    """Return the only layout of a file."""
    datasets = {layout: _find_datasets(file, layout) for layout in LAYOUTS}
    matches = [layout for layout in LAYOUTS if datasets[layout]]
    if not matches:
        stored: list[str] = []
        file.visititems(lambda name, item: stored.append(name) if isinstance(item, h5py.Dataset) else None)
        known = ", ".join(f"{layout.name} ({layout.datasets[0]})" for layout in LAYOUTS)
        listed = ", ".join(stored[:MAX_LISTED]) or "nothing"
        raise FormatError(f"{path}: no events (found {listed}, expected one of the layouts {known})")

    first, *others = matches
    for other in others:
        if datasets[first] != datasets[other]:  # links to the same datasets are the same recording
            raise FormatError(f"{path}: events in several layouts (found {first.name} and {other.name}, expected one)")
    return first


def _find_datasets(file: h5py.File, layout: Layout) -> list[h5py.Dataset]:
    """Return the datasets of t, x, y and p; none if one is missing or has the wrong shape."""
    datasets = [file.get(name) for name in layout.datasets]
    row = (len(datasets),) if layout.table_type else ()
    for dataset, part in zip(datasets, layout.parts, strict=True):
        if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or dataset.shape[1:] != row:
            return []
        if isinstance(part, str) and part not in (dataset.dtype.names or ()):
            return []
    return datasets


def _read_sensor(path: Path, file: h5py.File, layout: Layout, attributes: dict[str, Any]) -> SensorSize | None:
    """Read the sensor size; None if the file does not store it."""
    if "width" in attributes and "height" in attributes:
        return parse_sensor(path, attributes["width"], attributes["height"])
    if layout.name == "prophesee" and "geometry" in attributes:
        width, _, height = str(attributes["geometry"]).partition("x")
        return parse_sensor(path, width, height)

    # The datasets are two numbers, or one array of both.
    sides = [side for name in layout.sensor if name in file for side in np.ravel(file[name][()]).tolist()]
    return parse_sensor(path, *sides) if len(sides) == len(("width", "height")) else None


@dataclass(frozen=True)
class _Columns:
    """Columns of events in a file.

    Args:
        path: HDF5 file.
        layout: Where the columns are.
        events: Number of events.
        unit: Unit of the stored times.
        offset_us: Offset to add to every time in microseconds.
        is_sorted: Whether dvspipe wrote the file, and so has checked its times.
    """

    path: Path
    layout: Layout
    events: int
    unit: TimeUnit
    offset_us: int
    is_sorted: bool

    @classmethod
    def find(cls, path: Path, file: h5py.File, layout: Layout, attributes: dict[str, Any], hints: Hints) -> _Columns:
        """Find the columns of a file, and check that they are stored."""
        types = []
        for name, part in zip(layout.datasets, layout.parts, strict=True):
            dtype = file[name].dtype[part] if isinstance(part, str) else file[name].dtype
            expected = layout.table_type or "numbers"
            if dtype.kind not in "iubf" or dtype != (layout.table_type or dtype):
                raise FormatError(f"{path}: wrong type of {name} (found {dtype}, expected {expected})")
            _check_stored(path, file[name])
            types.append(dtype)

        sizes = {name: len(file[name]) for name in layout.datasets}
        if len(set(sizes.values())) > 1:
            raise FormatError(f"{path}: columns of different lengths (found {sizes})")

        # A unit is stored by EventCV, as the milliseconds of a tick.
        unit = layout.unit if (types[0].kind == "f") == (layout.unit == "s") else None
        if "timestamp_scale_ms" in attributes and layout is DSEC:
            unit = UNITS_BY_MS.get(attributes["timestamp_scale_ms"])
        unit = hints.time_unit or unit
        if unit is None:
            raise unknown_unit(path, f"{types[0]}")

        offset_us = int(file["t_offset"][()]) if layout is DSEC and "t_offset" in file else 0
        if abs(offset_us) >= TIME_LIMIT_US:
            raise FormatError(f"{path}: wrong t_offset (found {offset_us} us, expected less than 2^62 from 0)")
        is_sorted = attributes.get("format") == DSEC.name and "settings" in attributes
        return cls(path, layout, len(file[layout.datasets[0]]), unit, offset_us, is_sorted)

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[StoredColumns]:
        """Yield the events `start` to `stop` - 1."""
        stop = self.events if stop is None else stop
        with _open_file(self.path) as file:
            for first in range(start, stop, CHUNK_EVENTS):
                yield self._convert(file, first, min(first + CHUNK_EVENTS, stop))

    def _convert(self, file: h5py.File, start: int, stop: int) -> StoredColumns:
        # Columns may be parts of the same dataset, which is then read once.
        rows = {name: file[name][start:stop] for name in set(self.layout.datasets)}
        places = zip("txyp", self.layout.datasets, self.layout.parts, strict=True)
        values = {column: rows[name][part] for column, name, part in places}
        return convert_columns(values, self.unit, self.offset_us, first=start)

    def extent(self) -> Extent:
        """Return the number of events, and the first and the last time."""
        if not self.events:
            return Extent(0, None, None)
        with _open_file(self.path) as file:
            return Extent(self.events, self._find_time(file, 0), self._find_time(file, self.events - 1))

    def _read_times(self, file: h5py.File, start: int, stop: int) -> NDArray[np.int64]:
        t = file[self.layout.datasets[0]][start:stop][self.layout.parts[0]]
        return convert_times(t, self.unit, self.offset_us, first=start)

    def _find_time(self, file: h5py.File, row: int) -> int:
        return int(self._read_times(file, row, row + 1)[0])

    def read_span(self, start_us: int, stop_us: int) -> Iterator[StoredColumns]:
        """Yield the events with start_us <= t < stop_us, found by bisection of the times, which are sorted."""
        with _open_file(self.path) as file:
            if not self.is_sorted:
                self._check_order(file)
            rows = range(self.events)
            start = bisect_left(rows, start_us, key=lambda row: self._find_time(file, row))
            stop = bisect_left(rows, stop_us, key=lambda row: self._find_time(file, row))
        yield from self.read(start, stop)

    def _check_order(self, file: h5py.File) -> None:
        """Check that the times are sorted, which only reading all of them shows."""
        last_us = EARLIEST_US
        for first in range(0, self.events, CHUNK_EVENTS):
            t = self._read_times(file, first, min(first + CHUNK_EVENTS, self.events))
            check_order(t, first=first, last_us=last_us)
            last_us = int(t[-1])


def _check_stored(path: Path, dataset: h5py.Dataset) -> None:
    """Check that all rows of a dataset are stored: HDF5 reads others as zeros; and that its filters are installed."""
    if dataset.chunks is None:
        is_stored = dataset.id.get_storage_size() >= dataset.nbytes
    else:
        chunks = [math.ceil(side / chunk) for side, chunk in zip(dataset.shape, dataset.chunks, strict=True)]
        is_stored = dataset.id.get_num_chunks() == math.prod(chunks)
    if not is_stored:
        raise FormatError(f"{path}: truncated: some events of {dataset.name} were never stored")

    properties = dataset.id.get_create_plist()
    for number, _, _, name in map(properties.get_filter, range(properties.get_nfilters())):
        if not h5py.h5z.filter_avail(number):
            what = f"the HDF5 filter {number} ({name.decode(errors='replace')})"
            raise FormatError(f"{path}: compressed with {what}, which is not installed; pip install 'dvspipe[blosc]'")


class _Disk(io.FileIO):
    """File that keeps the first error of writing for `check`: the HDF5 library crashes after a failed write."""

    _error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            if super().write(data) < len(data):
                self._error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        try:
            super().truncate(size)
        except OSError as error:
            self._error = error
        return size or 0

    def check(self) -> None:
        """Raise the error of an earlier write."""
        if self._error is not None:
            raise self._error


@contextmanager
def _write(path: Path, sensor: SensorSize, options: WriteOptions) -> Iterator[Callable[[Events], None]]:
    sides = {"width": sensor.width, "height": sensor.height}
    with _Disk(path, "w+") as disk, h5py.File(disk, "w") as file:
        texts = {
            "format": "dsec",
            "version": version("dvspipe"),
            "t_unit": "us",
            "source": escape_controls(options.source),
            "settings": json.dumps(dict(options.settings)),
        }
        # Texts of fixed length: HDF5 hangs on some corrupted texts of variable length.
        file.attrs.update(sides | {name: np.bytes_(text.encode()) for name, text in texts.items()})

        columns = {name: _create_column(file, f"events/{name}", dtype) for name, dtype in COLUMN_TYPES.items()}
        index = _create_column(file, "ms_to_idx", np.uint64)
        offset_us = 0

        def add(events: Events) -> None:
            # Times that begin late are stored relative to an offset: /ms_to_idx has a row per millisecond since 0.
            nonlocal offset_us
            count = len(columns["t"])
            first_us = int(events.t[0])
            if not count and not 0 <= first_us < NEAR_ZERO_US:
                offset_us = first_us - first_us % 1000

            t = events.t - offset_us
            for name, column in (("x", events.x), ("y", events.y), ("t", t), ("p", events.p)):
                _append(columns[name], column)
            _index_milliseconds(index, t, count)
            disk.check()

        yield add

        # The last row of the index is the end. Other libraries look for the columns under /prophesee/left: links.
        _append(index, np.array([len(columns["t"])]))
        file["t_offset"] = np.int64(offset_us)
        for name, side in sides.items():
            file[f"events/{name}"] = side
        for name, dataset in columns.items():
            file[f"prophesee/left/{name}"] = dataset
        file.flush()
        disk.check()


def _create_column(file: h5py.File, name: str, dtype: type) -> h5py.Dataset:
    return file.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(CHUNK_ROWS,), **STORAGE)


def _append(column: h5py.Dataset, values: NDArray[Any]) -> None:
    start = len(column)
    column.resize(start + len(values), axis=0)
    column[start:] = values


def _index_milliseconds(index: h5py.Dataset, t: NDArray[np.int64], count: int) -> None:
    """Index the first event at or after each millisecond; `t` are times of the next events, after `count` others."""
    stop_ms = min(int(t[-1]) // 1000 + 1, MAX_INDEX_MS)
    for start_ms in range(len(index), stop_ms, CHUNK_EVENTS):  # gaps may have millions of milliseconds
        milliseconds = np.arange(start_ms, min(start_ms + CHUNK_EVENTS, stop_ms))
        _append(index, np.searchsorted(t, milliseconds * 1000) + count)


HDF5 = Format("hdf5", SUFFIXES, _open, b"\x89HDF\r\n\x1a\n", _write, SUFFIXES, H5PY_ERRORS)
