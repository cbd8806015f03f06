"""AEDAT 4, the container of iniVation's cameras (`.aedat4`), decoded by faery: events, a DAVIS's frames, and the IMU.

The file is a line, a FlatBuffer `IOHeader` behind its 32-bit length, packets (stream, length, compressed FlatBuffer),
and a table of the packets at the place that the header names, or nowhere (-1) where the recording was interrupted
(docs.inivation.com, "AEDAT 4.0"). What faery takes on trust is checked here first: a header that is not UTF-8 makes it
abort the process, and the end of a file at the end of a packet it takes for the end of the recording. Events ahead of
a break or of a damaged packet are given; a damaged table of packets, which faery wants first, loses all.
"""

from __future__ import annotations

import itertools
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptionError, EventError, FileError, FormatError
from ..events import SensorSize
from ..frames import Frame
from .hints import NO_HINTS, Hints
from .source import CHUNK_EVENTS, Columns, Format, Source

MAGIC = b"#!AER-DAT4.0"
HEADER_START = len(MAGIC) + 2  # after the line's end
FIELD_TABLE, FIELD_STREAMS = 1, 2  # of IOHeader: int64 dataTablePosition, string infoNode
NO_TABLE = -1
PACKET_HEAD_BYTES = 8  # int32 stream, int32 length of what follows
GREY = ("L", "I;16")
IMU_FIELDS = {"acceleration": "accelerometer", "rotation": "gyroscope", "magnetic_field": "magnetometer"}
IMU_DTYPE = np.dtype(
    [("t", np.int64), ("temperature", np.float32), *((field, np.float32, (3,)) for field in IMU_FIELDS)]
)
FAERY_ERRORS = (RuntimeError, ValueError, OSError, TypeError, OverflowError, MemoryError)


class _Container(NamedTuple):
    """How many whole packets there are, and what is wrong behind them (None: nothing)."""

    packets: int
    broken: str | None


def read_frames(path: str | Path) -> Iterator[Frame]:
    """The grey frames that a DAVIS camera recorded beside its events, from the file's first stream of frames.

    Args:
        path: The AEDAT 4 file.

    Returns:
        Frames of the size of the sensor in the order of the file, uint8 or uint16 as stored, in proportion to the
        light (`linear`), each at the middle of its exposure, or at its own time where the file holds no exposure.

    Raises:
        FileError: The file is missing or cannot be read.
        FormatError: It is damaged or cut, has no stream of frames, or holds others than grey ones of the whole sensor.
    """
    path = Path(path)
    container = _follow(path)
    if container.broken:
        raise FormatError(container.broken)
    track = _first(path, _tracks(path), "frame")
    number = 0
    with _damage_named(path), _decoder(path) as decoder:
        for own, packet in decoder:
            if own.id == track.id:
                yield _frame(path, number, packet, track.dimensions)
                number += 1


def read_imu(path: str | Path) -> NDArray[np.void]:
    """What the camera's inertial sensor measured, from the file's first stream of that kind.

    Args:
        path: The AEDAT 4 file.

    Returns:
        [N] of IMU_DTYPE in the order of the file: t in microseconds, temperature in degrees Celsius, and along x, y
        and z the acceleration in g, the rate of turn in degrees per second and the magnetic field in microtesla
        (docs.inivation.com, "AEDAT 4.0", IMU).

    Raises:
        FileError: The file is missing or cannot be read.
        FormatError: It is damaged or cut, or has no such stream.
    """
    path = Path(path)
    container = _follow(path)
    if container.broken:
        raise FormatError(container.broken)
    track = _first(path, _tracks(path), "imus")
    packets = [np.zeros(0, IMU_DTYPE), *map(_imu, _packets(path, track.id, container.packets))]
    return np.concatenate(packets)


def _imu(packet: NDArray[np.void]) -> NDArray[np.void]:
    samples = np.empty(len(packet), IMU_DTYPE)
    samples["t"], samples["temperature"] = packet["t"], packet["temperature"]
    for field, theirs in IMU_FIELDS.items():
        for number, axis in enumerate("xyz"):
            samples[field][:, number] = packet[f"{theirs}_{axis}"]
    return samples


def _frame(path: Path, number: int, packet: Any, dimensions: tuple[int, int] | None) -> Frame:
    if packet.format not in GREY:
        raise FormatError(f"{path}: frame {number} is {packet.format}, expected a grey one")
    begin_us, end_us = packet.exposure_start_t, packet.exposure_end_t
    frame = Frame((begin_us + end_us) // 2 if 0 < begin_us <= end_us else packet.t, packet.pixels, "linear")
    width, height = dimensions or (frame.size.width, frame.size.height)
    if frame.size != SensorSize(width=width, height=height):
        raise FormatError(f"{path}: frame {number} is {frame.size}, expected the whole sensor of {width}x{height}")
    return frame


def _recognises(_path: Path, head: bytes) -> bool:
    return head.startswith(MAGIC)


def _open(path: Path, _hints: Hints = NO_HINTS) -> Source:
    container = _follow(path)
    tracks = _tracks(path)
    track = _first(path, tracks, "events")
    try:
        sensor = SensorSize(*track.dimensions) if track.dimensions else None
    except EventError as error:
        raise FormatError(f"{path}: names no usable sensor size ({error})") from error
    return Source(
        sensor, lambda: _chunks(path, track.id, container), {"streams": [track.data_type for track in tracks]}
    )


def _chunks(path: Path, track_id: int, container: _Container) -> Iterator[Columns]:
    pending: list[NDArray[np.void]] = []
    count, broken = 0, container.broken
    try:
        for packet in _packets(path, track_id, container.packets):
            pending.append(packet)
            count += len(packet)
            if count >= CHUNK_EVENTS:
                yield _columns(pending)
                pending, count = [], 0
    except FormatError as error:
        broken = str(error)
    if pending:
        yield _columns(pending)
    if broken:
        raise CorruptionError(broken, lost="what follows")


def _packets(path: Path, track_id: int, count: int) -> Iterator[NDArray[np.void]]:
    """A stream's packets among the first; faery believes what the next says of its length, and takes that memory."""
    with _damage_named(path), _decoder(path) as decoder:
        for track, packet in itertools.islice(decoder, count):
            if track.id == track_id:
                yield packet


def _columns(packets: list[NDArray[np.void]]) -> Columns:
    """The packets as one; each is copied to its place, because joining structured arrays takes as long as decoding."""
    count, place = sum(map(len, packets)), 0
    t, x, y = np.empty(count, np.int64), np.empty(count, np.uint16), np.empty(count, np.uint16)
    on = np.empty(count, np.bool_)
    for packet in packets:
        part = slice(place, place + len(packet))
        t[part], x[part], y[part], on[part] = packet["t"], packet["x"], packet["y"], packet["on"]
        place += len(packet)
    return Columns(t, x, y, on)


def _decoder(path: Path) -> Any:
    from faery import aedat  # takes 0.2 s, and has no py.typed

    return aedat.Decoder(path)


def _tracks(path: Path) -> list[Any]:
    with _damage_named(path), _decoder(path) as decoder:
        return list(decoder.tracks())


def _first(path: Path, tracks: list[Any], kind: str) -> Any:
    for track in tracks:
        if track.data_type == kind:
            return track
    kinds = ", ".join(track.data_type for track in tracks) or "none"
    raise FormatError(f"{path}: holds no stream of kind {kind!r} (its streams: {kinds})")


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turns whatever faery raises into a FormatError: a panic of its Rust code comes as a BaseException."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, FAERY_ERRORS) or type(error).__name__ == "PanicException":
            raise FormatError(f"{path}: damaged: {error}") from error
        raise


def _follow(path: Path) -> _Container:
    """Follows the header and the packets from the first to the last.

    Raises:
        FileError: The file is missing or cannot be read.
        FormatError: The header is damaged, or the file ends in it.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(HEADER_START + 4)
            if not start.startswith(MAGIC):
                raise FormatError(f"{path}: not an AEDAT 4 file")
            header_size = int.from_bytes(start[HEADER_START:], "little")
            header = file.read(min(header_size, size))
            if len(start) < HEADER_START + 4 or len(header) < header_size:
                raise FormatError(f"{path}: breaks off in its header, at byte {size}")
            return _follow_packets(path, file, size, _table_position(path, header))
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from error


def _follow_packets(path: Path, file: BinaryIO, size: int, table: int) -> _Container:
    end = size if table == NO_TABLE else table
    place, number = file.tell(), 0
    while place < end:
        file.seek(place)
        head = file.read(PACKET_HEAD_BYTES)
        length = int.from_bytes(head[4:], "little", signed=True)
        place += PACKET_HEAD_BYTES + length
        if len(head) < PACKET_HEAD_BYTES or length < 0 or place > size:
            return _Container(number, f"{path}: breaks off in packet {number}, at byte {size}, or is damaged before")
        number += 1
    if place != end or place == table == size:
        return _Container(number, f"{path}: breaks off after packet {number}, at byte {size}, or is damaged before")
    return _Container(number, None)


def _table_position(path: Path, header: bytes) -> int:
    """Where the table of packets begins, after a look at what faery reads of the header."""
    try:
        (table,) = struct.unpack_from("<I", header)
        (back,) = struct.unpack_from("<i", header, table)
        fields = table - back
        (fields_size,) = struct.unpack_from("<H", header, fields)
        offsets = [
            struct.unpack_from("<H", header, fields + 4 + 2 * field)[0] if 6 + 2 * field <= fields_size else 0
            for field in (FIELD_TABLE, FIELD_STREAMS)
        ]
        position = struct.unpack_from("<q", header, table + offsets[0])[0] if offsets[0] else NO_TABLE
        text = table + offsets[1]
        text += struct.unpack_from("<I", header, text)[0]
        (length,) = struct.unpack_from("<I", header, text)
        header[text + 4 : text + 4 + length].decode("utf-8")
    except (struct.error, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: its header is damaged ({error})") from error
    return int(position)


AEDAT4 = Format("aedat4", (".aedat4",), _recognises, _open)
