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

import numpy as np
from numpy.typing import NDArray

from ..base.errors import FormatError
from ..events import SensorSize
from .hints import Hints
from .source import Format, Source, StoredColumns, read_header

VERSION = "!AER-DAT3.1"
HEADER_END = "!END-HEADER"
PACKET_HEADER = struct.Struct("<hhiiiiii")
POLARITY = 1  # type of packets with events
EVENT = np.dtype([("data", "<u4"), ("t", "<i4")])
SENSORS = {
    "DVS128": (128, 128),
    "DAVIS128": (128, 128),
    "DAVIS208": (208, 192),
    "DAVIS240": (240, 180),
    "DAVIS346": (346, 260),
    "DAVIS640": (640, 480),
}


def _open(path: Path, _hints: Hints) -> Source:
    lines, start = read_header(path, b"#", HEADER_END.lower())
    found = lines[0] if lines else "none"
    if found != VERSION or "Format: RAW" not in lines:
        stored = next((line for line in lines if line.startswith("Format")), "no format")
        raise FormatError(f"{path}: wrong version (found {found}, {stored}, expected {VERSION}, Format: RAW)")
    if lines[-1] != HEADER_END:
        raise FormatError(f"{path}: header without end (found byte {start}, expected the line #{HEADER_END})")

    # The sensor is known if the file has exactly one camera, of a known type.
    cameras = [line.partition(":")[2].strip() for line in lines if line.startswith("Source")]
    sensors = [SensorSize(*sides) for name, sides in SENSORS.items() if "".join(cameras).upper().startswith(name)]
    sensor = sensors[0] if sensors and len(cameras) == 1 else None
    return Source(sensor, partial(_chunks, path, start), {"sources": cameras})


def _chunks(path: Path, start: int) -> Iterator[StoredColumns]:
    camera: int | None = None
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(start)
        while head := file.read(PACKET_HEADER.size):
            position = file.tell() - len(head)
            if len(head) < PACKET_HEADER.size:
                raise FormatError(f"{path}: truncated in the header of the packet at byte {position}")

            # Packet: type, camera, bytes per event, position of the time, overflows of the 31-bit clock, room, events,
            # valid events.
            kind, source, event_bytes, time_at, overflow, room, count, valid = PACKET_HEADER.unpack(head)
            is_polarity = kind == POLARITY
            is_valid = min(kind, overflow, valid) >= 0 and event_bytes > 0 and room == count >= valid
            if not is_valid or (is_polarity and (event_bytes, time_at) != (EVENT.itemsize, 4)):
                raise FormatError(f"{path}: corrupted header of the packet at byte {position}")
            if file.tell() + count * event_bytes > size:
                raise FormatError(f"{path}: truncated in the packet at byte {position}, at byte {size}")

            if not is_polarity:
                file.seek(count * event_bytes, 1)
                continue
            if camera not in (None, source):
                raise FormatError(
                    f"{path}: events of another camera at byte {position} (found {source}, expected {camera})"
                )
            camera = source
            yield _decode(path, np.fromfile(file, EVENT, count), overflow, position)


def _decode(path: Path, events: NDArray[np.void], overflow: int, position: int) -> StoredColumns:
    """Return the valid events of a packet."""
    events = events[events["data"] & 1 == 1]
    if (events["t"] < 0).any():
        raise FormatError(f"{path}: negative time in the packet at byte {position}")

    # The overflow counter of a packet is above the 31 bits of a time.
    data = events["data"]
    t = (overflow << 31) + events["t"].astype(np.int64)
    return StoredColumns(t, (data >> 17).astype(np.int32), (data >> 2 & 0x7FFF).astype(np.int32), data >> 1 & 1)


AEDAT3 = Format("aedat3", (".aedat", ".aedat3"), _open, b"#!AER-DAT3.")
