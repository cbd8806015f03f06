"""NumPy files (`.npy`, `.npz`): a structured array of events, separate arrays t, x, y and p, or a table [N, 4].

Integer times are microseconds. Floating-point times are seconds if they are then multiples of a microsecond, but not
all multiples of a millisecond; otherwise a hint must set the unit. A table also needs a hint for the order of its
columns: nothing in it distinguishes x from y. Nothing is unpickled, and memory is bounded whatever sizes a header
claims. `numpy.load` reads an archive in 0.9 times the time, but all at once, and nothing of a truncated file.
"""

from __future__ import annotations

import errno
import io
import lzma
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..base.errors import CorruptionError, EventError, FormatError
from ..base.progress import Progress
from ..events import SensorSize
from .hints import (
    MAX_PLAUSIBLE_US,
    NO_HINTS,
    UNIT_EXPONENTS,
    UNUSED,
    Hints,
    TimeUnit,
    parse_column_name,
    unknown_columns,
    unknown_unit,
)
from .npz_writer import NPZ_ENCODER
from .source import CHUNK_EVENTS, Format, Source, StoredColumns, open_binary
from .values import convert_columns

NPY_MAGIC = b"\x93NUMPY"
ZIP_MAGIC = b"PK\x03\x04"
NUMPY_SUFFIXES = (".npy", ".npz")
HEAD_ROWS = 1 << 16  # read to detect the time unit
MAX_ROW_BYTES = 1 << 12
MAX_COLUMNS = 64
MAX_NPY_HEADER = 10_000  # characters; NumPy's default limit
MAX_BLOCK_BYTES = 32 << 20
SKIP_BYTES = 1 << 20
INTEGER_TOLERANCE = 0.01  # maximum distance from an integer, in microseconds or milliseconds
MAX_INTEGER_TOLERANCE = 0.25  # a larger one would accept every number
MAX_TIME = 2.0**62
HEADER_ERRORS = (  # raised by NumPy for corrupted headers; tokenize raises SyntaxError or TokenError
    ValueError,
    TypeError,
    SyntaxError,
    tokenize.TokenError,
    RecursionError,
    MemoryError,
    OverflowError,
    LookupError,
)
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
)

_Opener = Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True)
class _Array:
    """Array in a file, with one or two axes.

    Args:
        opener: Opens the file or archive member at its beginning.
        where: Name in messages.
        dtype: Type of the elements.
        shape: Rows, and columns if there is a second axis.
        start: Start position of the data.
        stop: End position of the data of all columns.
        by_columns: Whether columns are stored consecutively (Fortran order).
    """

    opener: _Opener
    where: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    stop: int
    by_columns: bool = False

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * self.columns

    @property
    def rows(self) -> int:
        return self.shape[0]

    @property
    def columns(self) -> int:
        """Number of columns; 1 if there is only one axis."""
        return self.shape[1] if len(self.shape) == 2 else 1

    def blocks(self) -> Generator[NDArray[Any], None, None]:
        """Yield the rows in blocks."""
        most = max(1, min(CHUNK_EVENTS, MAX_BLOCK_BYTES // self.row_bytes))

        with self.opener() as file:
            _skip(file, self.start)
            for row in range(0, self.rows, most):
                count = min(most, self.rows - row)
                data = file.read(count * self.row_bytes)
                complete = len(data) // self.row_bytes
                if complete:
                    values = np.frombuffer(data, self.dtype, complete * self.row_bytes // self.dtype.itemsize)
                    yield values.reshape(complete, *self.shape[1:])

                # Complete rows of a truncated file are read first.
                if complete < count:
                    message = f"{self.where}: truncated (found {row + complete} rows, expected {self.rows})"
                    raise CorruptionError(message, lost="the rows after them")

            # Only the last column of an array in Fortran order ends where the data end.
            if self.start + self.rows * self.row_bytes == self.stop and file.read(1):
                raise CorruptionError(f"{self.where}: more bytes than the header claims", lost="the additional bytes")


@dataclass(frozen=True)
class _Column:
    """Column: a one-dimensional array, or a field or column of an array."""

    array: _Array
    field: str | None = None
    number: int | None = None

    def values(self, block: NDArray[Any]) -> NDArray[Any]:
        """Select the column from a block of the array."""
        if self.field is not None:
            return block[self.field]
        return block if self.number is None else block[:, self.number]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype[self.field] if self.field is not None else self.array.dtype


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(NPY_MAGIC) or path.suffix.lower() in NUMPY_SUFFIXES


def _open(path: Path, hints: Hints = NO_HINTS) -> Source:
    with open_binary(path) as file:
        head = file.read(len(NPY_MAGIC))

    if head == NPY_MAGIC:
        opener = partial(open_binary, path)
        array = _read_array_header(opener, str(path))
        columns, unit = _array_columns(path, array, hints)
        sensor = None
    elif head.startswith(ZIP_MAGIC):
        columns, unit, sensor = _archive_columns(path, hints)
    else:
        raise FormatError(f"{path}: not a NumPy file (expected .npy or .npz)")

    rows = {name: column.array.rows for name, column in columns.items()}
    if len(set(rows.values())) > 1:
        raise FormatError(f"{path}: columns of different lengths: {rows}")

    time_unit = hints.time_unit or unit or _detect_unit(path, columns["t"])
    exponent = UNIT_EXPONENTS[time_unit]
    attributes = {"columns": _column_types(columns)}
    return Source(sensor, partial(_read, path, columns, exponent), attributes)


def _column_types(columns: dict[str, _Column]) -> dict[str, str]:
    return {
        name: str(column.dtype) if column.field is None else f"{column.field} {column.dtype}"
        for name, column in columns.items()
    }


def _read_array_header(opener: _Opener, where: str) -> _Array:
    """Read the header of an array."""
    with opener() as file:
        try:
            shape, by_columns, dtype, start = read_npy_header(file)
        except HEADER_ERRORS as error:
            raise FormatError(f"{where}: corrupted header ({error})") from error

    if dtype.hasobject:
        raise FormatError(f"{where}: contains Python objects; dvspipe does not unpickle them")

    stop = start + math.prod(shape) * dtype.itemsize
    array = _Array(opener, where, dtype, shape, start, stop, by_columns and len(shape) == 2)
    if not 1 <= dtype.itemsize <= MAX_ROW_BYTES or len(shape) > 2 or not 1 <= array.columns <= MAX_COLUMNS:
        raise FormatError(f"{where}: wrong array (found {dtype}{list(shape)}, expected events [N] or a table [N, 4])")
    if stop >= MAX_TIME:
        raise FormatError(f"{where}: corrupted header (shape {shape})")

    return array


def read_npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Read an `.npy` header with NumPy: return shape, whether in Fortran order, dtype, and position of the data."""
    head = io.BytesIO(file.read(npy.MAGIC_LEN + 4 + MAX_NPY_HEADER))  # NumPy itself would read any claimed size

    version = npy.read_magic(head)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"version {'.'.join(map(str, version))}")

    # Version 3.0 is 2.0 with field names in UTF-8 instead of Latin-1; field names of events are ASCII.
    reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # for headers written by Python 2
        shape, by_columns, dtype = reader(head, max_header_size=MAX_NPY_HEADER)

    if min(shape, default=0) < 0:
        raise ValueError(f"shape {shape}")
    return shape, by_columns, dtype, head.tell()


def _array_columns(path: Path, array: _Array, hints: Hints) -> tuple[dict[str, _Column], TimeUnit | None]:
    """Return the columns of a single array, and the time unit if a field name contains it."""
    names = array.dtype.names
    if names is not None and len(array.shape) == 1:
        name_of = _match_names(names)
        if name_of is None:
            fields = ", ".join(names)[:200]
            raise FormatError(f"{array.where}: wrong fields (found {fields}, expected t, x, y and p once each)")

        columns = {column: _Column(array, field=name_of[column]) for column in "txyp"}
        for name, column in columns.items():
            _check_kind(array.where, name, column)
        _, unit = parse_column_name(name_of["t"])
        return columns, unit

    if len(array.shape) < 2 or names is not None:
        raise FormatError(
            f"{array.where}: wrong array (found {array.dtype}{list(array.shape)}, expected events with fields)"
        )

    # The columns of a table have no names, so a hint must give their order.
    if hints.columns is None:
        raise unknown_columns(
            path, f"unknown order of columns (found a table [{array.rows}, {array.columns}] without names)"
        )
    if len(hints.columns) != array.columns:
        raise unknown_columns(path, f"wrong number of columns (found {array.columns}, expected {len(hints.columns)})")

    columns = {name: _table_column(array, number) for number, name in enumerate(hints.columns) if name != UNUSED}
    for name, column in columns.items():
        _check_kind(array.where, name, column)
    return columns, None


def _match_names(names: Iterable[str]) -> dict[str, str] | None:
    """Map columns to names if each of t, x, y and p has exactly one name; otherwise return None."""
    pairs = [(column, name) for name in names if (column := parse_column_name(name)[0])]
    return dict(pairs) if sorted(column for column, _ in pairs) == sorted("txyp") else None


def _table_column(array: _Array, number: int) -> _Column:
    if not array.by_columns:
        return _Column(array, number=number)

    # In Fortran order, a column is a part of the file, and is read as an array of its own.
    start = array.start + number * array.rows * array.dtype.itemsize
    return _Column(replace(array, shape=array.shape[:1], start=start, by_columns=False))


def _check_kind(where: str, name: str, column: _Column) -> None:
    kinds = "iufb" if name == "p" else "iuf"
    if column.dtype.kind not in kinds or column.dtype.itemsize > 8:
        raise FormatError(f"{where}: wrong type of column {name} (found {column.dtype}, expected numbers)")


def _archive_columns(path: Path, hints: Hints) -> tuple[dict[str, _Column], TimeUnit | None, SensorSize | None]:
    """Return the columns of an archive, the time unit if a name contains it, and the sensor."""
    with _open_archive(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]

    arrays: dict[str, _Opener] = {name.removesuffix(".npy"): partial(_open_member, path, name) for name in names}
    name_of = _match_names(arrays)
    sensor = _read_sensor(path, arrays)

    if name_of is not None:
        columns = {}
        for column in "txyp":
            array = _read_array_header(arrays[name_of[column]], f"{path}: {name_of[column]}")
            if len(array.shape) != 1 or array.dtype.names is not None:
                raise FormatError(
                    f"{array.where}: wrong array (found {array.dtype}{list(array.shape)}, expected a column [N])"
                )

            columns[column] = _Column(array)
            _check_kind(str(path), column, columns[column])
        _, unit = parse_column_name(name_of["t"])
        return columns, unit, sensor

    # Otherwise one array has all columns, beside the sensor size.
    others = [name for name in arrays if name not in ("width", "height")]
    if len(others) != 1:
        content = ", ".join(arrays)[:200] or "nothing"
        raise FormatError(f"{path}: wrong content (found {content}, expected t, x, y and p once each, or one array)")

    (name,) = others
    array = _read_array_header(arrays[name], f"{path}: {name}")
    columns, unit = _array_columns(path, array, hints)
    return columns, unit, sensor


def _read_sensor(path: Path, arrays: dict[str, _Opener]) -> SensorSize | None:
    """Return the sensor size if the archive has the integers `width` and `height`; otherwise None."""
    sides = []
    for name in ("width", "height"):
        if name not in arrays:
            return None

        array = _read_array_header(arrays[name], f"{path}: {name}")
        if array.shape != () or array.dtype.kind not in "iu":
            raise FormatError(
                f"{path}: wrong type of {name} (found {array.dtype}{list(array.shape)}, expected an integer)"
            )

        with array.opener() as file:
            data = file.read(array.start + array.dtype.itemsize)[array.start :]
        if len(data) < array.dtype.itemsize:
            raise FormatError(f"{path}: truncated {name}")
        sides.append(int(np.frombuffer(data, array.dtype)[0]))

    try:
        return SensorSize(*sides)
    except EventError as error:
        raise FormatError(f"{path}: invalid sensor size ({error})") from error


@contextmanager
def _open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    with open_binary(path) as file:
        if not file.seekable():
            raise FormatError(f"{path}: cannot read an .npz file inside gzip; decompress it first")
        try:
            with zipfile.ZipFile(file) as archive:
                yield archive
        except ZIP_ERRORS as error:
            raise CorruptionError(f"{path}: corrupted archive ({error})", lost="everything after it") from error
        except OSError as error:
            if error.errno != errno.EINVAL:  # raised by seeking before the start of the file
                raise
            message = f"{path}: corrupted archive (position outside the file)"
            raise CorruptionError(message, lost="everything after it") from error


@contextmanager
def _open_member(path: Path, name: str) -> Iterator[BinaryIO]:
    with _open_archive(path) as archive, archive.open(name) as file:
        yield file  # type: ignore[misc]


def _skip(file: BinaryIO, count: int) -> None:
    """Skip bytes: seek if that is cheap, otherwise read."""
    if isinstance(file, io.BufferedReader) and file.seekable():
        file.seek(count, io.SEEK_CUR)
        return
    while count and (data := file.read(min(count, SKIP_BYTES))):
        count -= len(data)


def _detect_unit(path: Path, column: _Column) -> TimeUnit:
    """Detect the time unit from the first times."""
    array = column.array
    head = replace(array, shape=(min(array.rows, HEAD_ROWS), *array.shape[1:]))
    times = np.empty(0)
    with suppress(CorruptionError):  # raised again when the events are read
        for block in head.blocks():
            times = column.values(block)

    if column.dtype.kind in "iu":
        if len(times) and int(np.abs(times.astype(np.float64)).max()) >= MAX_PLAUSIBLE_US:
            raise unknown_unit(path, f"unknown time unit (times such as {times[-1]} are too large for microseconds)")
        return "us"

    if not len(times):
        return "s"

    # Seconds have a resolution of microseconds: they are near integers in microseconds, but not in milliseconds. How
    # near also depends on the floating-point type, as large times have few decimals.
    finite = times[np.isfinite(times)]
    seconds = finite.astype(np.float64)
    are_milliseconds = _distance_from_integers(seconds * 1e3) < INTEGER_TOLERANCE
    resolution_us = float(np.spacing(np.abs(finite)).max(initial=0)) * 1e6
    tolerance = min(MAX_INTEGER_TOLERANCE, max(INTEGER_TOLERANCE, resolution_us))
    are_microseconds = _distance_from_integers(seconds * 1e6) < tolerance

    if are_milliseconds or not are_microseconds:
        raise unknown_unit(path, f"ambiguous time unit (times such as {times[-1]} fit several units)")
    return "s"


def _distance_from_integers(values: NDArray[np.float64]) -> float:
    """Return the maximum distance of values from the nearest integer."""
    return float(np.abs(values - np.round(values)).max(initial=0))


def _read(
    path: Path, columns: dict[str, _Column], exponent: int, progress: Progress | None = None
) -> Iterator[StoredColumns]:
    """Yield the events."""
    # Columns may be parts of the same array, which is then read once.
    row = 0
    arrays = {id(column.array): column.array for column in columns.values()}
    off: int | None = None
    with ExitStack() as stack:
        streams = [stack.enter_context(closing(array.blocks())) for array in arrays.values()]
        for blocks in zip(*streams, strict=True):  # strict: reads every array to its end, where it is checked
            block_of = dict(zip(arrays, blocks, strict=True))
            values = {name: column.values(block_of[id(column.array)]) for name, column in columns.items()}
            count = min(map(len, values.values()))
            values = {name: column[:count] for name, column in values.items()}
            if progress:
                progress(row + count, columns["t"].array.rows)

            converted, invalid, off = convert_columns(values, exponent, off=off)
            yield converted

            if invalid:
                stop = len(converted.t)
                expected = "finite times, integer pixels, and polarities 0 and 1, or -1 and 1 throughout"
                raise CorruptionError(
                    f"{path}: wrong row {row + stop} (found {invalid} = {values[invalid][stop]}, expected {expected})",
                    lost="everything after it",
                )

            row += count


NUMPY = Format("numpy", NUMPY_SUFFIXES, _recognises, _open, NPZ_ENCODER)
