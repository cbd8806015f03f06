"""What a decoder gives: unchecked columns in chunks, and what the file says of itself. Private to this package.

A decoder reads through `open_binary`, which looks through gzip, in pieces, so that memory stays bounded whatever the
file claims. It raises `FormatError` when a file is opened whose head is unusable; damage further on is a
`CorruptionError` from its chunks, after every good event ahead of the damage was given.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptionError, FileError
from ..events import SensorSize
from .hints import NO_HINTS, Hints

CHUNK_EVENTS = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
HEAD_BYTES = 4096
UNPACKED_BYTES = 1 << 20


class Columns(NamedTuple):
    """Events as a file holds them, not yet checked; integer arrays [N] of any width."""

    t: NDArray[np.integer[Any]]
    x: NDArray[np.integer[Any]]
    y: NDArray[np.integer[Any]]
    p: NDArray[np.integer[Any]] | NDArray[np.bool_]


class Extent(NamedTuple):
    """Number of events, and the times of the first and the last (None where there are none)."""

    events: int
    first_us: int | None
    last_us: int | None


@dataclass(frozen=True)
class Source:
    """An opened file.

    Args:
        sensor: The sensor that the file names, or None.
        chunks: Begins to decode; may be called again.
        attributes: Settings and remarks that the file holds.
        extent: Finds it without decoding, where the format allows that.
        part: As `chunks`, all events with start_us <= t < stop_us and perhaps others around them, found without
            decoding what is before them; None where the format does not allow that.
    """

    sensor: SensorSize | None
    chunks: Callable[[], Iterator[Columns]]
    attributes: dict[str, Any] = field(default_factory=dict)
    extent: Callable[[], Extent] | None = None
    part: Callable[[int, int], Iterator[Columns]] | None = None


class Opener(Protocol):
    """Opens a file for decoding."""

    def __call__(self, path: Path, hints: Hints = NO_HINTS, /) -> Source:
        """The opened file; hints are what the caller says of it."""


@dataclass(frozen=True)
class Format:
    """A file format.

    Args:
        name: As `dvspipe info` shows it.
        suffixes: Lower case, with the dot.
        recognises: Whether a file is of this format, from its path (without `.gz`) and its first HEAD_BYTES, unpacked.
        open: Opens a file for decoding, with what the caller says of it.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[Path, bytes], bool]
    open: Opener


@contextmanager
def open_binary(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked where it is gzip's.

    Raises:
        FileError: It cannot be read.
        CorruptionError: The gzip stream is corrupted or truncated; raised at the end of the block, since the bytes
            before it are given as if the file ended there.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            raw.seek(0)
            if not packed:
                yield raw
                return
            unpacked = _Unpacked(raw)
            yield cast(BinaryIO, io.BufferedReader(unpacked, UNPACKED_BYTES))
            if unpacked.damage:
                raise CorruptionError(f"{path}: its gzip stream is damaged ({unpacked.damage})", lost="what follows")
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from error


class _Unpacked(io.RawIOBase):
    """The unpacked bytes of a gzip stream up to its end, or up to damage."""

    def __init__(self, raw: BinaryIO) -> None:
        self.damage: Exception | None = None
        self._stream = gzip.GzipFile(fileobj=raw)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            piece = b"" if self.damage else self._stream.read1(len(buffer))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self.damage, piece = error, b""
        buffer[: len(piece)] = piece
        return len(piece)
