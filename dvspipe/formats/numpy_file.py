"""NumPy's files (`.npy`, `.npz`): structured events, one array with a column each for t, x, y and p, or a table [N, 4].

Whole times are microseconds, and others seconds where they are whole microseconds then and finer than milliseconds;
for the rest the unit must be said. The order of a table's columns must be said always: nothing in it tells x from y.
Nothing here is unpickled, and memory is bounded whatever a header says.
"""

from __future__ import annotations

import ast
import errno
import io
import lzma
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..errors import CorruptionError, EventError, FormatError
from ..events import Events, SensorSize
from .hints import (
    LATEST_US,
    NO_HINTS,
    UNIT_EXPONENTS,
    UNUSED,
    Hints,
    TimeUnit,
    column_of,
    require_columns,
    require_unit,
)
from .source import CHUNK_EVENTS, GZIP_MAGIC, Columns, Extent, Format, Source, open_binary
from .writers import Encoding

NPY_MAGIC = b"\x93NUMPY"
ZIP_MAGIC = b"PK\x03\x04"
HEAD_ROWS = 1 << 16
MOST_ROW_BYTES = 1 << 12
MOST_COLUMNS = 64
MOST_HEADER_BYTES = 10_000  # what NumPy reads
MOST_PIECE_BYTES = 32 << 20
SKIP_BYTES = 1 << 20
CLOSE_TO_WHOLE = 0.01  # of a microsecond, or millisecond: how far from a whole one a float may be that stands for one
MOST = 2.0**62
PYTHON_2_LONG = re.compile(r"(\d)L\b")
HEADER_DAMAGES = (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, OverflowError, LookupError)
ZIP_DAMAGES = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError, ValueError, LookupError,
)  # fmt: skip
NPZ_TYPES: dict[str, np.dtype[Any]] = {
    "t": np.dtype(np.int64),
    "x": np.dtype(np.uint16),
    "y": np.dtype(np.uint16),
    "p": np.dtype(np.uint8),
}
NPZ_EVENT_BYTES = 2 * 13  # once in files beside it, once in the archive; deflate makes nothing much longer

_Opener = Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True)
class _Array:
    """An array in a file, of one or two axes.

    Args:
        opener: Opens the bytes that it is read from, from their begin.
        where: What to call it in a message.
        dtype: Of its elements.
        shape: Rows, and columns where there is a second axis.
        start: Where its data begins in those bytes.
        stop: Where the data of all its columns ends.
        by_columns: Whether its columns stand one behind the other (Fortran's order).
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
        return self.dtype.itemsize * (self.shape[1] if len(self.shape) == 2 else 1)

    @property
    def rows(self) -> int:
        return self.shape[0]

    def pieces(self, first: int = 0) -> Generator[NDArray[Any], None, None]:
        """The rows from `first` on in pieces, as far as they are there; then what is wrong is raised."""
        most = max(1, min(CHUNK_EVENTS, MOST_PIECE_BYTES // self.row_bytes))
        with self.opener() as file:
            _skip(file, self.start + first * self.row_bytes)
            for row in range(first, self.rows, most):
                count = min(most, self.rows - row)
                data = file.read(count * self.row_bytes)
                whole = len(data) // self.row_bytes
                if whole:
                    yield np.frombuffer(data, self.dtype, whole * self.row_bytes // self.dtype.itemsize).reshape(
                        whole, *self.shape[1:]
                    )
                if whole < count:
                    raise CorruptionError(
                        f"{self.where}: holds {row + whole} rows, its header says {self.rows}",
                        lost="the rows after them",
                    )
            if self.start + self.rows * self.row_bytes == self.stop and file.read(1):
                raise CorruptionError(f"{self.where}: more bytes follow than its header says", lost="what follows")


@dataclass(frozen=True)
class _Column:
    """A column: of an array of one axis itself, a field of its structure, or one of its columns."""

    array: _Array
    field: str | None = None
    number: int | None = None

    def values(self, piece: NDArray[Any]) -> NDArray[Any]:
        """The column in a piece of the array."""
        if self.field is not None:
            return piece[self.field]
        return piece if self.number is None else piece[:, self.number]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype[self.field] if self.field is not None else self.array.dtype


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(NPY_MAGIC) or path.suffix.lower() in NUMPY.suffixes


def _open(path: Path, hints: Hints = NO_HINTS) -> Source:
    with open_binary(path) as file:
        head = file.read(len(NPY_MAGIC))
    if head == NPY_MAGIC:
        opener = partial(open_binary, path)
        array = _array(opener, str(path))
        columns, unit = _columns_of(path, array, hints)
        sensor = None
    elif head.startswith(ZIP_MAGIC):
        columns, unit, sensor = _members(path, hints)
    else:
        raise FormatError(f"{path}: neither an .npy nor an .npz file of NumPy")
    rows = {name: column.array.rows for name, column in columns.items()}
    if len(set(rows.values())) > 1:
        raise FormatError(f"{path}: columns of different lengths: {rows}")
    exponent = UNIT_EXPONENTS[hints.time_unit or unit or _unit(path, columns["t"])]
    source = Source(sensor, lambda: _read(path, columns, exponent, 0), {"columns": _describe(columns)})
    sought = columns["t"].array
    if head == NPY_MAGIC and _size(path) == sought.stop:
        return replace(
            source,
            extent=lambda: _extent(path, columns, exponent),
            part=lambda start_us, stop_us: _part(path, columns, exponent, start_us, stop_us),
        )
    return source


def _describe(columns: dict[str, _Column]) -> dict[str, str]:
    return {
        name: str(column.dtype) if column.field is None else f"{column.field} {column.dtype}"
        for name, column in columns.items()
    }


def _size(path: Path) -> int | None:
    """The size of a file that is not packed."""
    with path.open("rb") as file:
        return None if file.read(2) == GZIP_MAGIC else path.stat().st_size


def _array(opener: _Opener, where: str) -> _Array:
    """The array whose header begins some bytes."""
    with opener() as file:
        dtype, shape, by_columns, start = _header(file, where)
    if dtype.hasobject:
        raise FormatError(f"{where}: holds Python objects, which dvspipe does not unpickle")
    stop = start + math.prod(shape) * dtype.itemsize
    if not 1 <= dtype.itemsize <= MOST_ROW_BYTES or len(shape) > 2 or not 1 <= (*shape, 1, 1)[1] <= MOST_COLUMNS:
        raise FormatError(f"{where}: is an array {dtype}{list(shape)}, expected events [N] or a table [N, 4]")
    if stop >= MOST:
        raise FormatError(f"{where}: its header is damaged (shape {shape})")
    return _Array(opener, where, dtype, shape, start, stop, by_columns and len(shape) == 2)


def _header(file: BinaryIO, where: str) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    """Dtype and shape of an array, whether its columns stand one behind the other, and where its data begins.

    Parsed here, since what NumPy's own reader raises on damage is of no documented kind.
    """
    head = file.read(npy.MAGIC_LEN)
    size = file.read(2 if head[-2:-1] == b"\1" else 4)
    text = file.read(min(int.from_bytes(size, "little"), MOST_HEADER_BYTES))
    try:
        if npy.read_magic(io.BytesIO(head))[0] not in (1, 2, 3) or len(text) < int.from_bytes(size, "little"):
            raise ValueError(f"version {head[-2]}, {int.from_bytes(size, 'little')} bytes")
        described = ast.literal_eval(PYTHON_2_LONG.sub(r"\1", text.decode("utf-8" if head[-2] == 3 else "latin1")))
        dtype = npy.descr_to_dtype(described["descr"])
        shape, by_columns = described["shape"], described["fortran_order"]
        if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
            raise ValueError(f"shape {shape}")
    except HEADER_DAMAGES as error:
        raise FormatError(f"{where}: its header is damaged ({error})") from error
    return dtype, shape, by_columns is True, len(head) + len(size) + len(text)


def _columns_of(path: Path, array: _Array, hints: Hints) -> tuple[dict[str, _Column], TimeUnit | None]:
    """The columns of the only array of a file, and their unit where a name says it."""
    names = array.dtype.names
    if names is not None and len(array.shape) == 1:
        found = _found(names)
        if found is None:
            raise FormatError(
                f"{array.where}: has the fields {', '.join(names)[:200]}, expected t, x, y and p once each"
            )
        columns = {column: _Column(array, field=found[column]) for column in "txyp"}
        for name, column in columns.items():
            _check_kind(array.where, name, column)
        return columns, column_of(found["t"])[1]
    if len(array.shape) < 2 or names is not None:
        raise FormatError(f"{array.where}: is an array {array.dtype}{list(array.shape)}, expected events with fields")
    count = array.shape[1]
    if hints.columns is None:
        raise require_columns(path, f"is a table [{array.rows}, {count}] whose columns have no names")
    if len(hints.columns) != count:
        raise require_columns(path, f"is a table of {count} columns, not {len(hints.columns)}")
    columns = {name: _table_column(array, number) for number, name in enumerate(hints.columns) if name != UNUSED}
    for name, column in columns.items():
        _check_kind(array.where, name, column)
    return columns, None


def _found(names: Iterable[str]) -> dict[str, str] | None:
    """Column -> name, where each column has exactly one name."""
    found = [(column, name) for name in names if (column := column_of(name)[0])]
    return dict(found) if sorted(column for column, _ in found) == sorted("txyp") else None


def _table_column(array: _Array, number: int) -> _Column:
    if not array.by_columns:
        return _Column(array, number=number)
    start = array.start + number * array.rows * array.dtype.itemsize
    return _Column(replace(array, shape=array.shape[:1], start=start, by_columns=False))


def _check_kind(where: str, name: str, column: _Column) -> None:
    kinds = "iufb" if name == "p" else "iuf"
    if column.dtype.kind not in kinds or column.dtype.itemsize > 8:
        raise FormatError(f"{where}: its column {name} is of {column.dtype}, expected numbers")


def _members(path: Path, hints: Hints) -> tuple[dict[str, _Column], TimeUnit | None, SensorSize | None]:
    """The columns in an archive, their unit where a name says it, and the sensor."""
    with _archive(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
    arrays: dict[str, _Opener] = {name.removesuffix(".npy"): partial(_member, path, name) for name in names}
    found = _found(arrays)
    sensor = _sensor(path, arrays)
    if found is not None:
        columns = {}
        for column in "txyp":
            array = _array(arrays[found[column]], f"{path}: {found[column]}")
            if len(array.shape) != 1 or array.dtype.names is not None:
                raise FormatError(f"{array.where} is an array {array.dtype}{list(array.shape)}, expected a column [N]")
            columns[column] = _Column(array)
            _check_kind(str(path), column, columns[column])
        return columns, column_of(found["t"])[1], sensor
    others = [name for name in arrays if name not in ("width", "height")]
    if len(others) != 1:
        raise FormatError(
            f"{path}: holds {', '.join(arrays)[:200] or 'nothing'}, expected t, x, y and p once each, or one array"
        )
    array = _array(arrays[others[0]], f"{path}: {others[0]}")
    return *_columns_of(path, array, hints), sensor


def _sensor(path: Path, arrays: dict[str, _Opener]) -> SensorSize | None:
    """The sensor, where whole numbers `width` and `height` say it."""
    sides = []
    for name in ("width", "height"):
        if name not in arrays:
            return None
        array = _array(arrays[name], f"{path}: {name}")
        if array.shape != () or array.dtype.kind not in "iu":
            raise FormatError(f"{path}: {name} is an array {array.dtype}{list(array.shape)}, expected a whole number")
        with array.opener() as file:
            data = file.read(array.start + array.dtype.itemsize)[array.start :]
        if len(data) < array.dtype.itemsize:
            raise FormatError(f"{path}: {name} is cut off")
        sides.append(int(np.frombuffer(data, array.dtype)[0]))
    try:
        return SensorSize(*sides)
    except EventError as error:
        raise FormatError(f"{path}: names no usable sensor size ({error})") from error


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    with open_binary(path) as file:
        if not file.seekable():
            raise FormatError(f"{path}: an .npz file inside gzip, unpack it first")
        try:
            with zipfile.ZipFile(file) as archive:
                yield archive
        except ZIP_DAMAGES as error:
            raise CorruptionError(f"{path}: its archive is damaged ({error})", lost="what follows") from error
        except OSError as error:
            if error.errno != errno.EINVAL:  # which a place before the begin of the file is
                raise
            raise CorruptionError(
                f"{path}: its archive is damaged (it names a place outside of it)", lost="what follows"
            ) from error


@contextmanager
def _member(path: Path, name: str) -> Iterator[BinaryIO]:
    with _archive(path) as archive, archive.open(name) as file:
        yield file  # type: ignore[misc]


def _skip(file: BinaryIO, count: int) -> None:
    """Goes ahead by seeking where that costs nothing, and else by reading."""
    if isinstance(file, io.BufferedReader) and file.seekable():
        file.seek(count, io.SEEK_CUR)
        return
    while count and (data := file.read(min(count, SKIP_BYTES))):
        count -= len(data)


def _unit(path: Path, column: _Column) -> TimeUnit:
    """The unit of times, where the first of them show it beyond doubt; else it is asked for."""
    array = column.array
    head = replace(array, shape=(min(array.rows, HEAD_ROWS), *array.shape[1:]))
    times = np.empty(0)
    with suppress(CorruptionError):  # is found again when the events are read
        for piece in head.pieces():
            times = column.values(piece)
    if column.dtype.kind in "iu":
        if len(times) and int(np.abs(times.astype(np.float64)).max()) >= LATEST_US:
            raise require_unit(path, f"its times, such as {times[-1]}, are too large for microseconds")
        return "us"
    if not len(times):
        return "s"
    seconds = times[np.isfinite(times)].astype(np.float64)
    coarse = np.abs(seconds * 1e3 - np.round(seconds * 1e3)).max(initial=0) < CLOSE_TO_WHOLE
    resolution_us = float(np.spacing(np.abs(times[np.isfinite(times)])).max(initial=0)) * 1e6
    near = min(0.25, max(CLOSE_TO_WHOLE, resolution_us))
    fine = np.abs(seconds * 1e6 - np.round(seconds * 1e6)).max(initial=0) < near
    if coarse or not fine:
        raise require_unit(path, f"its times, such as {times[-1]}, may be of more than one unit")
    return "s"


def _read(path: Path, columns: dict[str, _Column], exponent: int, row: int) -> Iterator[Columns]:
    """The events from a row on."""
    arrays = {id(column.array): column.array for column in columns.values()}
    signed: list[bool] = []
    with ExitStack() as stack:
        streams = [stack.enter_context(closing(array.pieces(row))) for array in arrays.values()]
        for pieces in zip(*streams, strict=True):  # strictly, so that each is read to its end and what is wrong there
            piece_of = dict(zip(arrays, pieces, strict=True))
            values = {name: column.values(piece_of[id(column.array)]) for name, column in columns.items()}
            count = min(map(len, values.values()))
            yield from _checked(path, {name: column[:count] for name, column in values.items()}, exponent, row, signed)
            row += count


def _checked(
    path: Path, values: dict[str, NDArray[Any]], exponent: int, row: int, signed: list[bool]
) -> Iterator[Columns]:
    """The values as whole numbers up to the first that is wrong, which is then damage."""
    whole, stop, says = {}, len(values["t"]), ""
    for name, column in values.items():
        scale = exponent if name == "t" else 0
        whole[name], good = _whole(column, scale, 2.0**62 if name == "t" else 2.0**31, rounded=name == "t")
        if name == "p":
            good &= _polarities(whole[name], signed)
        wrong = int(np.argmin(good)) if not good.all() else len(good)
        if wrong < stop:
            stop, says = wrong, f"has {name} = {column[wrong]}"
    yield Columns(whole["t"][:stop], whole["x"][:stop], whole["y"][:stop], whole["p"][:stop] > 0)
    if says:
        expected = "finite times, whole pixels and polarities 0 and 1, or -1 and 1 throughout"
        raise CorruptionError(f"{path}: row {row + stop} {says}, expected {expected}", lost="what follows")


def _polarities(p: NDArray[np.int64], signed: list[bool]) -> NDArray[np.bool_]:
    """Which polarities are right: 1, and 0 or -1, whichever came first in the file."""
    off = np.flatnonzero((p == 0) | (p == -1))
    if not signed and len(off):
        signed.append(bool(p[off[0]] == -1))
    low = -1 if signed and signed[0] else 0
    return np.isin(p, (low, 1))


def _whole(
    column: NDArray[Any], exponent: int, most: float, *, rounded: bool
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Values times ten to the power `exponent` as whole numbers, and which of them are good."""
    if column.dtype.kind in "iub":
        scale = 10 ** abs(exponent)
        limit = int(most) // scale if exponent > 0 else int(most)
        good = (column < limit) & (column > -limit) if column.dtype.kind == "i" else column < limit
        values = np.where(good, column, 0).astype(np.int64)
        if exponent < 0:
            return (values + scale // 2) // scale, good
        return values * scale, good
    with np.errstate(invalid="ignore", over="ignore"):
        numbers = column.astype(np.float64) * 10.0**exponent
        nearest = np.round(numbers)
        good = np.isfinite(numbers) & (np.abs(nearest) < most) & (rounded | (nearest == numbers))
    return np.where(good, nearest, 0).astype(np.int64), good


def _time_at(path: Path, file: BinaryIO, columns: dict[str, _Column], exponent: int, row: int) -> int:
    array = columns["t"].array
    file.seek(array.start + row * array.row_bytes)
    data = file.read(array.row_bytes)
    if len(data) < array.row_bytes:
        raise CorruptionError(f"{path}: ends before row {row}", lost="what follows")
    piece = np.frombuffer(data, array.dtype).reshape(1, *array.shape[1:])
    return int(_whole(columns["t"].values(piece), exponent, MOST, rounded=True)[0][0])


def _extent(path: Path, columns: dict[str, _Column], exponent: int) -> Extent:
    rows = columns["t"].array.rows
    if not rows:
        return Extent(0, None, None)
    with open_binary(path) as file:
        first, last = (_time_at(path, file, columns, exponent, row) for row in (0, rows - 1))
    return Extent(rows, first, last)


def _part(path: Path, columns: dict[str, _Column], exponent: int, start_us: int, stop_us: int) -> Iterator[Columns]:
    low, high = 0, columns["t"].array.rows
    with open_binary(path) as file:
        while low < high:
            middle = (low + high) // 2
            if _time_at(path, file, columns, exponent, middle) < start_us:
                low = middle + 1
            else:
                high = middle
    for chunk in _read(path, columns, exponent, low):
        yield chunk
        if len(chunk.t) and chunk.t[-1] >= stop_us:
            return


@contextmanager
def _begin(path: Path, sensor: SensorSize) -> Iterator[Callable[[Events], None]]:
    """Columns grow in files of their own and are packed at the end: the header of each says how long it is."""
    count = 0
    with ExitStack() as stack:
        files = {}
        for name in NPZ_TYPES:
            beside = path.with_name(f"{path.name}.{name}")
            stack.callback(beside.unlink, missing_ok=True)
            files[name] = stack.enter_context(beside.open("w+b"))

        def add(events: Events) -> None:
            nonlocal count
            for name, dtype in NPZ_TYPES.items():
                files[name].write(np.ascontiguousarray(getattr(events, name), dtype).tobytes())
            count += len(events)

        yield add
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, dtype in NPZ_TYPES.items():
                files[name].seek(0)
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    described = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": (count,)}
                    npy.write_array_header_1_0(member, described)
                    while data := files[name].read(SKIP_BYTES):
                        member.write(data)
            for name, side in (("width", sensor.width), ("height", sensor.height)):
                with archive.open(f"{name}.npy", "w") as member:
                    npy.write_array(member, np.array(side), allow_pickle=False)


def _check(_events: Events, _last_us: int | None) -> None:
    """NumPy's files hold whatever events there are."""


NUMPY = Format("numpy", (".npy", ".npz"), _recognises, _open)
NPZ_ENCODING = Encoding((".npz",), _begin, lambda events, _: NPZ_EVENT_BYTES * len(events), _check)
