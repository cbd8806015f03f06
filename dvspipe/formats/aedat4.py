"""AEDAT 4 of iniVation's cameras (`.aedat4`), decoded with faery: events, DAVIS frames and IMU samples.

The file has a line of text, a FlatBuffer `IOHeader` after its 32-bit length, packets (stream, length, compressed
FlatBuffer), and a table of packets. The header stores the position of the table, -1 if the recording was interrupted
(docs.inivation.com, "AEDAT 4.0"). This module first checks what faery does not: faery aborts the process if the header
is not UTF-8, and reads a file truncated after a packet as complete. Events before a truncation or a corrupted packet
are read. If the table of packets is corrupted, nothing is read, because faery reads it first.
"""

from __future__ import annotations

import itertools
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import CorruptionError, EventError, FileError, FormatError
from ..events import SensorSize
from ..parallel import Progress
from ..video.frames import Frame
from .compressed_frames import bound_size
from .faery_writers import AEDAT4_ENCODER, is_faery_error
from .hints import NO_HINTS, Hints
from .source import Format, Source, StoredColumns, group_packets

AEDAT4_MAGIC = b"#!AER-DAT4.0"
HEADER_START = len(AEDAT4_MAGIC) + 2  # after the line end
FIELD_TABLE = 1  # field in IOHeader: int64 dataTablePosition
FIELD_STREAMS = 2  # string infoNode
NO_TABLE = -1
PACKET_HEAD_BYTES = 8  # int32 stream, int32 length of the content
MAX_PACKET_BYTES = 1 << 27  # decompressed: 8 million events
GREY_FORMATS = ("L", "I;16")
IMU_FIELDS = {"acceleration": "accelerometer", "rotation": "gyroscope", "magnetic_field": "magnetometer"}
IMU_DTYPE = np.dtype(
    [("t", np.int64), ("temperature", np.float32), *((field, np.float32, (3,)) for field in IMU_FIELDS)]
)


class _Container(NamedTuple):
    """Number of complete packets, and a message on the corruption after them (None: no corruption)."""

    packets: int
    error: str | None


def read_frames(path: str | Path) -> Iterator[Frame]:
    """Read the greyscale frames of a DAVIS camera, from the first stream of frames.

    Args:
        path: AEDAT 4 file.

    Yields:
        Frames in file order, in the size of the sensor, uint8 or uint16 as stored. Values are proportional to the light
        (`linear`). Times are the middle of the exposure, or the frame time if the file has no exposure.

    Raises:
        FileError: If the file is missing or cannot be read.
        FormatError: If the file is corrupted or truncated, has no stream of frames, or a frame is not greyscale or not
            in the size of the sensor.
    """
    path = Path(path)
    container = _scan(path)
    if container.error:
        raise FormatError(container.error)
    track = _find_track(path, _read_tracks(path), "frame")

    number = 0
    with _as_format_errors(path), _open_decoder(path) as decoder:
        for stream, packet in decoder:
            if stream.id == track.id:
                yield _to_frame(path, number, packet, track.dimensions)
                number += 1


def read_imu(path: str | Path) -> NDArray[np.void]:
    """Read the samples of the camera's inertial measurement unit, from the first IMU stream.

    Args:
        path: AEDAT 4 file.

    Returns:
        Samples in file order, [N] of IMU_DTYPE: t in microseconds, temperature in degrees Celsius, and along x, y, z
        acceleration in g, angular velocity in degrees per second and magnetic field in microtesla
        (docs.inivation.com, "AEDAT 4.0", IMU).

    Raises:
        FileError: If the file is missing or cannot be read.
        FormatError: If the file is corrupted or truncated, or has no IMU stream.
    """
    path = Path(path)
    container = _scan(path)
    if container.error:
        raise FormatError(container.error)

    track = _find_track(path, _read_tracks(path), "imus")
    packets = [np.zeros(0, IMU_DTYPE), *map(_imu_samples, _read_packets(path, track.id, container.packets))]
    return np.concatenate(packets)


def _imu_samples(packet: NDArray[np.void]) -> NDArray[np.void]:
    samples = np.empty(len(packet), IMU_DTYPE)
    samples["t"] = packet["t"]
    samples["temperature"] = packet["temperature"]

    for field, theirs in IMU_FIELDS.items():
        for number, axis in enumerate("xyz"):
            samples[field][:, number] = packet[f"{theirs}_{axis}"]
    return samples


def _to_frame(path: Path, number: int, packet: Any, dimensions: tuple[int, int] | None) -> Frame:
    if packet.format not in GREY_FORMATS:
        raise FormatError(f"{path}: wrong format of frame {number} (found {packet.format}, expected greyscale)")

    begin_us = packet.exposure_start_t
    end_us = packet.exposure_end_t
    frame = Frame((begin_us + end_us) // 2 if 0 < begin_us <= end_us else packet.t, packet.pixels, "linear")

    width, height = dimensions or (frame.size.width, frame.size.height)
    if frame.size != SensorSize(width=width, height=height):
        raise FormatError(
            f"{path}: wrong size of frame {number} (found {frame.size}, expected the sensor size {width}x{height})"
        )

    return frame


def _recognises(_path: Path, head: bytes) -> bool:
    return head.startswith(AEDAT4_MAGIC)


def _open(path: Path, _hints: Hints = NO_HINTS) -> Source:
    container = _scan(path)
    tracks = _read_tracks(path)
    track = _find_track(path, tracks, "events")

    try:
        sensor = SensorSize(*track.dimensions) if track.dimensions else None
    except EventError as error:
        raise FormatError(f"{path}: invalid sensor size ({error})") from error

    return Source(
        sensor, partial(_chunks, path, track.id, container), {"streams": [track.data_type for track in tracks]}
    )


def _chunks(
    path: Path, track_id: int, container: _Container, progress: Progress | None = None
) -> Iterator[StoredColumns]:
    try:
        packets = _read_packets(path, track_id, container.packets, progress)
        yield from map(_join_packets, group_packets(packets, len))
        if container.error:
            raise FormatError(container.error)
    except FormatError as error:
        raise CorruptionError(str(error), lost="everything after it") from error


def _read_packets(
    path: Path, track_id: int, count: int, progress: Progress | None = None
) -> Iterator[NDArray[np.void]]:
    """Yield the packets of a stream among the first `count`, all complete: faery would allocate an incomplete one."""
    with _as_format_errors(path), _open_decoder(path) as decoder:
        for number, (track, packet) in enumerate(itertools.islice(decoder, count)):
            if progress:
                progress(number + 1, count)
            if track.id == track_id:
                yield packet


def _join_packets(packets: list[NDArray[np.void]]) -> StoredColumns:
    """Join the events of packets. Copies column by column: concatenating structured arrays is as slow as decoding."""
    count = sum(map(len, packets))
    start = 0
    t = np.empty(count, np.int64)
    x = np.empty(count, np.uint16)
    y = np.empty(count, np.uint16)
    on = np.empty(count, np.bool_)

    for packet in packets:
        part = slice(start, start + len(packet))
        t[part] = packet["t"]
        x[part] = packet["x"]
        y[part] = packet["y"]
        on[part] = packet["on"]
        start += len(packet)

    return StoredColumns(t, x, y, on)


def _open_decoder(path: Path) -> Any:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise FileError(f"{path}: the file name is not UTF-8, so faery cannot open it; rename the file") from error

    from faery import aedat  # imported late: takes 0.2 s, and has no py.typed

    return aedat.Decoder(path)


def _read_tracks(path: Path) -> list[Any]:
    with _as_format_errors(path), _open_decoder(path) as decoder:
        return list(decoder.tracks())


def _find_track(path: Path, tracks: list[Any], kind: str) -> Any:
    for track in tracks:
        if track.data_type == kind:
            return track

    kinds = ", ".join(track.data_type for track in tracks) or "none"
    raise FormatError(f"{path}: no stream of kind {kind!r} (found {kinds})")


@contextmanager
def _as_format_errors(path: Path) -> Iterator[None]:
    """Convert errors of faery to FormatError."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, OSError) or is_faery_error(error):
            raise FormatError(f"{path}: corrupted: {error}") from error
        raise


def _scan(path: Path) -> _Container:
    """Read the header and the lengths of all packets."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(HEADER_START + 4)
            if not start.startswith(AEDAT4_MAGIC):
                raise FormatError(f"{path}: not an AEDAT 4 file")

            header_size = int.from_bytes(start[HEADER_START:], "little")
            header = file.read(min(header_size, size))
            if len(start) < HEADER_START + 4 or len(header) < header_size:
                raise FormatError(f"{path}: truncated in the header, at byte {size}")
            return _scan_packets(path, file, size, _find_table(path, header))
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from error


def _scan_packets(path: Path, file: BinaryIO, size: int, table: int) -> _Container:
    # Without a table, packets reach to the end of the file.
    end = size if table == NO_TABLE else table
    position = file.tell()
    number = 0
    while position < end:
        file.seek(position)
        head = file.read(PACKET_HEAD_BYTES)
        length = int.from_bytes(head[4:], "little", signed=True)
        position += PACKET_HEAD_BYTES + length

        if len(head) < PACKET_HEAD_BYTES or length < 0 or position > size:
            return _Container(number, f"{path}: truncated in packet {number}, at byte {size}, or corrupted before")

        # faery allocates what a packet decompresses to, so a small file could fill the memory.
        unpacked = bound_size(file, position - length, position)
        if unpacked > MAX_PACKET_BYTES:
            what = f"packet {number} of {length} bytes decompresses to up to {unpacked} bytes"
            return _Container(number, f"{path}: {what} (expected at most {MAX_PACKET_BYTES})")

        number += 1

    if position != end or position == table == size:
        return _Container(number, f"{path}: truncated after packet {number}, at byte {size}, or corrupted before")

    return _Container(number, None)


def _find_table(path: Path, header: bytes) -> int:
    """Return the position of the table of packets, after checking all header fields that faery reads."""
    try:
        # A FlatBuffer begins with the position of its root table. The table begins with the distance back to its
        # fields: the size of this list, the size of the table, then for each field its offset in the table (0 or
        # missing: not stored).
        (root,) = struct.unpack_from("<I", header)
        (back,) = struct.unpack_from("<i", header, root)
        fields = root - back
        table_offset = _find_field(header, fields, FIELD_TABLE)
        streams_offset = _find_field(header, fields, FIELD_STREAMS)

        position = NO_TABLE
        if table_offset:
            (position,) = struct.unpack_from("<q", header, root + table_offset)

        # The field of a string has the distance to its length, before its bytes.
        text = root + streams_offset
        (distance,) = struct.unpack_from("<I", header, text)
        text += distance
        (length,) = struct.unpack_from("<I", header, text)
        header[text + 4 : text + 4 + length].decode("utf-8")
    except (struct.error, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: corrupted header ({error})") from error

    return int(position)


def _find_field(header: bytes, fields: int, field: int) -> int:
    """Return the offset of a field in its table, from the list of fields at `fields`; 0: not stored."""
    (size,) = struct.unpack_from("<H", header, fields)
    start = 4 + 2 * field  # after the size of the list and the size of the table
    if start + 2 > size:
        return 0

    (offset,) = struct.unpack_from("<H", header, fields + start)
    return int(offset)


AEDAT4 = Format("aedat4", (".aedat4",), _recognises, _open, AEDAT4_ENCODER)
