"""Interface of file formats: a `Format` recognises, reads and writes files.

A `Source` yields unchecked columns in chunks, and holds the metadata of a file.

Decoders read blocks from `open_binary` (it decompresses gzip); memory is bounded whatever sizes a file claims. An
unusable header raises `FormatError` when the file is opened. Later corruption raises `CorruptionError` from the chunks,
after all valid events before it.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ..base.errors import CorruptionError, FileError, FormatError
from ..base.progress import Progress
from ..events import SensorSize
from .hints import NO_HINTS, Hints
from .writers import Encoder

CHUNK_EVENTS = 1 << 20
Packet = TypeVar("Packet")

GZIP_MAGIC = b"\x1f\x8b"
HEAD_BYTES = 4096  # read to recognise a format
UNPACKED_BYTES = 1 << 20  # decompressed at a time
BLOCK_BYTES = 1 << 20  # 262,144 EVT2 events, small enough for the cache: 10 % faster than 4 MiB


class StoredColumns(NamedTuple):
    """Unchecked events as stored: integer arrays [N] of any width."""

    t: NDArray[np.integer[Any]]
    x: NDArray[np.integer[Any]]
    y: NDArray[np.integer[Any]]
    p: NDArray[np.integer[Any]] | NDArray[np.bool_]


def join_columns(parts: Sequence[StoredColumns]) -> StoredColumns:
    """Concatenate the columns of at least one part."""
    return StoredColumns(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class Extent(NamedTuple):
    """Number of events, and first and last time in microseconds (None if there are no events)."""

    events: int
    first_us: int | None
    last_us: int | None


class Decoder(Protocol):
    """Function that decodes all events of a file; each call starts from the beginning."""

    def __call__(self, progress: Progress | None = None) -> Iterator[StoredColumns]:
        """Yield the events; call `progress` with the decoded amount and the total, in any unit."""


@dataclass(frozen=True)
class Source:
    """Opened file.

    Args:
        sensor: Sensor size stored in the file; None if there is none.
        chunks: Decodes all events.
        attributes: Settings and comments stored in the file.
        extent: Returns the extent without decoding; None if the format cannot.
        span: Decodes the events with start_us <= t < stop_us, possibly with some events before and after, without
            decoding everything before them; None if the format cannot.
    """

    sensor: SensorSize | None
    chunks: Decoder
    attributes: dict[str, Any] = field(default_factory=dict)
    extent: Callable[[], Extent] | None = None
    span: Callable[[int, int], Iterator[StoredColumns]] | None = None


class Opener(Protocol):
    """Function that opens a file for decoding."""

    def __call__(self, path: Path, hints: Hints = NO_HINTS, /) -> Source:
        """Open a file; `hints` supply metadata that the file lacks."""


@dataclass(frozen=True)
class Format:
    """File format.

    Args:
        name: Name, as returned by `info`.
        suffixes: Suffixes of readable files, lower case, with the dot.
        recognises: Decides from the path (without `.gz`) and the first HEAD_BYTES, decompressed, whether a file has
            this format.
        open: Opens a file for decoding.
        encoder: Writes files; None if the format is read-only.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[Path, bytes], bool]
    open: Opener
    encoder: Encoder | None = None


def group_packets(packets: Iterable[Packet], count: Callable[[Packet], int]) -> Iterator[list[Packet]]:
    """Yield packets in lists of CHUNK_EVENTS / 4 events or more; the last list, also before an error, has fewer."""
    pending: list[Packet] = []
    events = 0
    try:
        for packet in packets:
            pending.append(packet)
            events += count(packet)
            if events >= CHUNK_EVENTS // 4:
                yield pending
                pending = []
                events = 0
    except FormatError:
        if pending:
            yield pending
        raise

    if pending:
        yield pending


@contextmanager
def open_binary(path: Path, progress: Progress | None = None) -> Iterator[BinaryIO]:
    """Open a binary file, and decompress it if it is gzip.

    A corrupted or truncated gzip stream seems to end before the corruption; the end of the `with` block reports it.
    """
    try:
        with _open_raw(path, progress) as raw:
            packed = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            raw.seek(0)
            if not packed:
                yield raw
                return

            # An error of the stream looks like its end, so everything before it is read first.
            unpacked = _GzipReader(raw)
            yield cast(BinaryIO, io.BufferedReader(unpacked, UNPACKED_BYTES))
            if unpacked.error:
                raise CorruptionError(
                    f"{path}: its gzip stream is corrupted ({unpacked.error})", lost="everything after it"
                )
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from error


def _open_raw(path: Path, progress: Progress | None) -> io.BufferedReader:
    return path.open("rb") if progress is None else io.BufferedReader(_ProgressFile(path, progress))


def describe_content(path: Path) -> str:
    """Describe the content of a file of another format: `text` or `other data`."""
    with open_binary(path) as file:
        head = file.read(HEAD_BYTES)

    try:
        text = head.decode()
    except UnicodeDecodeError:
        return "other data"
    return "text" if all(letter.isprintable() or letter in "\t\r\n" for letter in text) else "other data"


def read_records(
    path: Path,
    start: int,
    record_bytes: int,
    progress: Progress | None = None,
    *,
    record: str = "an event",
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield position and content of blocks of complete records, uint8 [N, record_bytes], N > 0.

    If the file ends within a record, this is an error after all complete records; `record` is its name in the message.
    """
    position = start
    block_bytes = max(BLOCK_BYTES // record_bytes, 1) * record_bytes
    with open_binary(path, progress) as file:
        if file.seekable():
            file.seek(start)
        else:
            file.read(start)

        # `readinto` fills the block except at the end of the file, so only the last block can end within a record.
        block = np.empty(block_bytes, np.uint8)
        while filled := cast(io.BufferedIOBase, file).readinto(block.data):
            if count := filled // record_bytes:
                yield position, block[: count * record_bytes].reshape(count, record_bytes)
            position += filled

            block = np.empty(block_bytes, np.uint8)  # the caller may keep a part of the previous one

    if left_over := (position - start) % record_bytes:  # the end of `with` reports a corrupted gzip stream first
        raise truncated_record(path, position, left_over, record_bytes, record)


def truncated_record(
    path: Path, size: int, left_over: int, record_bytes: int, record: str = "an event"
) -> CorruptionError:
    """Return the error for a file of `size` bytes that ends after `left_over` bytes of a record."""
    message = f"{path}: truncated after {size} bytes (found {left_over} of {record_bytes} bytes of {record})"
    return CorruptionError(message, lost=f"{left_over} bytes")


def invalid_record(path: Path, position: int, problem: str) -> CorruptionError:
    """Return the error for an invalid record at byte `position`."""
    return CorruptionError(f"{path}: byte {position}: {problem}", lost="everything after it")


class _ProgressFile(io.FileIO):
    """File that reports the amount read, about once per BLOCK_BYTES."""

    def __init__(self, path: Path, progress: Progress) -> None:
        super().__init__(path)
        self._progress = progress
        self._size = os.fstat(self.fileno()).st_size
        self._reported = 0

    def readinto(self, buffer: Any) -> int | None:
        count = super().readinto(buffer)
        position = self.tell()

        if position - self._reported >= BLOCK_BYTES or not count:
            self._reported = position
            self._progress(position, self._size)
        return count


class _GzipReader(io.RawIOBase):
    """Decompressed bytes of a gzip stream, up to its end or the first error."""

    def __init__(self, raw: BinaryIO) -> None:
        self.error: Exception | None = None
        self._stream = gzip.GzipFile(fileobj=raw)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            piece = b"" if self.error else self._stream.read1(len(buffer))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self.error = error
            piece = b""

        buffer[: len(piece)] = piece
        return len(piece)
