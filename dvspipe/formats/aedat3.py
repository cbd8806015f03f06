"""AEDAT 3.1 of cAER (`.aedat`), the original format of IBM's DVS Gesture (Amir et al. 2017), for example.

The file has lines of text up to `#!END-HEADER`, then little-endian packets: a header of 28 bytes and events of equal
size. A polarity event has two words: valid, polarity (1 = ON), y (15 bits) and x (15 bits), from the lowest bit up;
then the time. y counts downwards (docs.inivation.com, "AEDAT 3.1"; libcaer, events/polarity.h).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import CorruptionError, FormatError
from ..base.progress import Progress
from ..events import SensorSize
from .hints import NO_HINTS, Hints
from .source import Format, Source, StoredColumns, group_packets, open_binary

AEDAT3_MAGIC = b"#!AER-DAT3."
AEDAT3_VERSION = "#!AER-DAT3.1"
AEDAT3_HEADER_END = "#!END-HEADER"
HEADER_LINE_BYTES = 4096
MAX_HEADER_LINES = 4096
PACKET_HEADER = struct.Struct("<hhiiiiii")
POLARITY = 1
POLARITY_BYTES = 8
POLARITY_TIME_AT = 4
PACKET_BLOCK_BYTES = 1 << 20
AEDAT3_SENSORS = {
    "DVS128": (128, 128),
    "DAVIS128": (128, 128),
    "DAVIS208": (208, 192),
    "DAVIS240": (240, 180),
    "DAVIS346": (346, 260),
    "DAVIS640": (640, 480),
}


class _Packet(NamedTuple):
    """Packet header.

    Args:
        kind: Type of the events; POLARITY, or a type that is skipped.
        source: Number of the camera.
        event_bytes: Bytes per event.
        time_at: Position of the time in an event.
        overflow: Number of overflows of the 31-bit clock.
        capacity: Number of events for which the packet has room.
        events: Number of events.
        valid: Number of events that are marked as valid.
    """

    kind: int
    source: int
    event_bytes: int
    time_at: int
    overflow: int
    capacity: int
    events: int
    valid: int


def _recognises(_path: Path, head: bytes) -> bool:
    return head.startswith(AEDAT3_MAGIC)


def _open(path: Path, _hints: Hints = NO_HINTS) -> Source:
    with open_binary(path) as file:
        lines, start = _read_header(path, file)
    if lines[0] != AEDAT3_VERSION:
        raise FormatError(f"{path}: wrong version (found {lines[0]}, expected {AEDAT3_VERSION})")

    values = dict(line.lstrip("#").partition(":")[::2] for line in lines[1:])
    values = {key.strip(): value.strip() for key, value in values.items()}

    if values.get("Format") != "RAW":
        raise FormatError(f"{path}: wrong format (found {values.get('Format')}, expected RAW, uncompressed)")

    sources = [value for key, value in values.items() if key.startswith("Source")]
    return Source(_find_sensor(sources), partial(_chunks, path, start), {"sources": sources})


def _find_sensor(sources: list[str]) -> SensorSize | None:
    """Return the sensor if the file has exactly one camera, of a known type; otherwise None."""
    if len(sources) != 1:
        return None
    for name, (width, height) in AEDAT3_SENSORS.items():
        if sources[0].upper().startswith(name):
            return SensorSize(width=width, height=height)

    return None


def _read_header(path: Path, file: BinaryIO) -> tuple[list[str], int]:
    lines: list[str] = []
    start = 0
    while len(lines) < MAX_HEADER_LINES:
        line = file.readline(HEADER_LINE_BYTES)
        if not line.startswith(b"#") or not line.endswith(b"\n"):
            break
        start += len(line)
        lines.append(line.decode("utf-8", "replace").strip())
        if lines[-1] == AEDAT3_HEADER_END:
            return lines, start

    raise FormatError(f"{path}: header without end (found byte {start}, expected the line {AEDAT3_HEADER_END})")


def _chunks(path: Path, start: int, progress: Progress | None = None) -> Iterator[StoredColumns]:
    with open_binary(path, progress) as file:
        file.read(start)  # not seek: the file may be gzip
        packets = _read_polarity_packets(path, file, start)
        yield from map(_join_packets, group_packets(packets, lambda packet: len(packet.data) // POLARITY_BYTES))


class _PolarityEvents(NamedTuple):
    """Events of a packet, or of a part of it, and the number of clock overflows before them."""

    overflow: int
    data: bytes


def _read_polarity_packets(path: Path, file: BinaryIO, position: int) -> Iterator[_PolarityEvents]:
    """Yield the events of each polarity packet; large packets are yielded in blocks."""
    source = None
    while head := file.read(PACKET_HEADER.size):
        if len(head) < PACKET_HEADER.size:
            raise _truncation_error(path, position, len(head))

        packet = _Packet(*PACKET_HEADER.unpack(head))
        _check_packet(path, packet, position)
        if packet.kind == POLARITY and source not in (None, packet.source):
            raise CorruptionError(
                f"{path}: the packet at byte {position} has events of camera {packet.source} after events of camera "
                f"{source} (expected one camera)",
                lost="everything after it",
            )
        source = packet.source if packet.kind == POLARITY else source

        # Other packets are read, not skipped by seeking: the file may be gzip.
        size = packet.events * packet.event_bytes
        left = size
        while left:
            block = file.read(min(left, PACKET_BLOCK_BYTES))
            left -= len(block)
            complete = len(block) - len(block) % POLARITY_BYTES
            if packet.kind == POLARITY and complete:
                _check_times(path, block[:complete], position)
                yield _PolarityEvents(packet.overflow, block[:complete])
            if not block:
                raise _truncation_error(path, position, PACKET_HEADER.size + size - left)
        position += PACKET_HEADER.size + size


def _truncation_error(path: Path, position: int, present: int) -> CorruptionError:
    return CorruptionError(
        f"{path}: truncated in the packet at byte {position}, after {present} bytes", lost="the rest of the packet"
    )


def _check_times(path: Path, block: bytes, position: int) -> None:
    stamps = np.frombuffer(block, "<i4")[1::2]
    if (stamps < 0).any():
        first = np.argmax(stamps < 0)
        stamp = int(stamps[first])
        raise CorruptionError(
            f"{path}: wrong time in the packet at byte {position} (found {stamp} us, expected 0 or more)",
            lost="everything after it",
        )


def _check_packet(path: Path, packet: _Packet, position: int) -> None:
    expected = None
    if packet.kind < 0 or packet.event_bytes <= 0 or packet.overflow < 0:
        expected = "type and overflows >= 0, and events of 1 byte or more"
    elif not packet.capacity == packet.events >= packet.valid >= 0:
        expected = "capacity = events >= valid >= 0"
    elif packet.kind == POLARITY and (packet.event_bytes, packet.time_at) != (POLARITY_BYTES, POLARITY_TIME_AT):
        expected = f"polarity events of {POLARITY_BYTES} bytes with the time at byte {POLARITY_TIME_AT}"

    if expected:
        message = f"{path}: corrupted packet at byte {position} (found {packet}, expected {expected})"
        raise CorruptionError(message, lost="everything after it")


def _join_packets(packets: list[_PolarityEvents]) -> StoredColumns:
    """Decode the valid events of packets."""
    words: NDArray[np.uint32] = np.frombuffer(b"".join(packet.data for packet in packets), "<u4").reshape(-1, 2)
    overflow = np.repeat(
        np.array([packet.overflow for packet in packets], np.int64),
        [len(packet.data) // POLARITY_BYTES for packet in packets],
    )
    valid = np.flatnonzero(words[:, 0] & 1)
    data = words[valid, 0]
    stamps = words[valid, 1]

    # The overflow counter of a packet is above the 31 bits of a time.
    t = (overflow[valid] << 31) + stamps
    x = data >> 17
    y = data >> 2 & 0x7FFF
    on = data >> 1 & 1
    return StoredColumns(t, x.astype(np.int32), y.astype(np.int32), on == 1)


AEDAT3 = Format("aedat3", (".aedat", ".aedat3"), _recognises, _open)
