"""AEDAT 4 of iniVation's cameras (`.aedat4`) and Event Stream 2.0 (`.es`), read by faery.

faery shifts times to begin at 0, unless told not to. Of its faults, this module checks for these: it aborts the process
if the header of an AEDAT 4 file is not UTF-8 or too short, and reads an AEDAT 4 file without its end and an Event
Stream file that ends within an event as complete.

An AEDAT 4 file has a line of text, a FlatBuffer `IOHeader` after its 32-bit length, packets, and a table of packets.
The header stores the position of the table, -1 if the recording was interrupted (docs.inivation.com, "AEDAT 4.0").

An Event Stream file has a header of 20 bytes, then five bytes per event. The first byte has the time since the previous
event above the flags: the polarity, and for the ATIS whether the event is one of exposure; these are skipped. A first
byte with the maximum time stands alone (neuromorphic-paris/event_stream).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import FormatError
from ..base.kernels import njit
from ..events import Events, SensorSize
from ..video.frames import Frame
from .hints import Hints
from .source import (
    Format,
    Source,
    StoredColumns,
    WriteOptions,
    check_range,
    errors_as_dvspipe,
    parse_sensor,
    read_records,
)

AEDAT4_MAGIC = b"#!AER-DAT4.0"
HEADER_START = len(AEDAT4_MAGIC) + 2  # after the line end
FIELD_TABLE = 6  # in the list of fields of IOHeader: int64 dataTablePosition
FIELD_STREAMS = 8  # string infoNode
NO_TABLE = -1
GREY_FORMATS = ("L", "I;16")
PACKET_EVENTS = 1 << 13  # events per AEDAT 4 packet; readers decompress complete packets
END_US = 1 << 62

ES_MAGIC = b"Event Stream"
ES_HEADER_BYTES = 20
ES_EVENT_BYTES = 5
FLAG_BITS = {"dvs": 1, "atis": 2}

FAERY_ERRORS = (RuntimeError, ValueError)
FAERY_EVENT = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])


def _open_aedat4(path: Path, _hints: Hints) -> Source:
    _check_aedat4(path)
    with _decode(path, "aedat") as decoder:
        tracks = decoder.tracks()

    kinds = [track.data_type for track in tracks]
    if "events" not in kinds:
        raise FormatError(f"{path}: no stream of events (found {', '.join(kinds) or 'none'})")
    track = tracks[kinds.index("events")]
    sensor = parse_sensor(path, *track.dimensions) if track.dimensions else None
    return Source(sensor, partial(_read_aedat4, path, track.id), {"streams": kinds})


@contextmanager
def _decode(path: Path, name: str, **options: int) -> Iterator[Any]:
    """Open a file with a decoder of faery; a panic of its Rust code, which is not an Exception, becomes one."""
    import faery  # imported late: takes 0.2 s, and has no py.typed

    try:
        with getattr(faery, name).Decoder(path, **options) as decoder:
            yield decoder
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # pyo3 does not export the type
            raise RuntimeError(str(error)) from error
        raise


def _read_aedat4(path: Path, track_id: int) -> Iterator[StoredColumns]:
    with _decode(path, "aedat") as decoder:
        for track, packet in decoder:
            if track.id == track_id:
                yield StoredColumns(packet["t"], packet["x"], packet["y"], packet["on"])


def read_frames(path: str | Path) -> Iterator[Frame]:
    """Read the greyscale frames of a DAVIS camera from an AEDAT 4 file, at the middle of their exposures.

    Raises:
        FormatError: If the file is corrupted or truncated, or a frame is not greyscale.
    """
    path = Path(path)
    with errors_as_dvspipe(path, FAERY_ERRORS):
        _check_aedat4(path)
        with _decode(path, "aedat") as decoder:
            for packet in (packet for track, packet in decoder if track.data_type == "frame"):
                if packet.format not in GREY_FORMATS:
                    raise FormatError(f"wrong format of a frame (found {packet.format}, expected greyscale)")
                begin_us = packet.exposure_start_t
                end_us = packet.exposure_end_t
                t_us = (begin_us + end_us) // 2 if 0 < begin_us <= end_us else packet.t
                yield Frame(t_us, packet.pixels, "linear")


def _check_aedat4(path: Path) -> None:
    """Check that the header is UTF-8, and that the file reaches to the table of packets."""
    with path.open("rb") as file:
        start = file.read(HEADER_START + 4)
        header = file.read(int.from_bytes(start[HEADER_START:], "little"))

    def number(code: str, place: int) -> int:
        return int(struct.unpack_from(code, header, place)[0])

    # A FlatBuffer begins with the position of its root table. The table begins with the distance back to the list of
    # its fields, which has the place of each field in the table after two sizes. The field of a string has the distance
    # to its length, before its bytes.
    try:
        root = number("<I", 0)
        fields = root - number("<i", root)
        table = number("<H", fields + FIELD_TABLE)
        position = number("<q", root + table) if table else NO_TABLE
        text = root + number("<H", fields + FIELD_STREAMS)
        text += number("<I", text)
        (content,) = struct.unpack_from(f"{number('<I', text)}s", header, text + 4)
        content.decode()
    except (struct.error, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: corrupted header ({error})") from error

    size = path.stat().st_size
    if position >= size:
        raise FormatError(f"{path}: truncated after {size} bytes (expected a table of packets at byte {position})")


def _open_es(path: Path, _hints: Hints) -> Source:
    with _decode(path, "es", t0=0) as decoder:
        kind = decoder.event_type
        if kind not in FLAG_BITS:
            raise FormatError(f"{path}: wrong stream type (found {kind}, expected dvs or atis)")
        sensor = parse_sensor(path, *decoder.dimensions)

    return Source(sensor, partial(_read_es, path, sensor.height, FLAG_BITS[kind]), {"stream": kind})


def _read_es(path: Path, height: int, flag_bits: int) -> Iterator[StoredColumns]:
    position = 0
    for _, block in read_records(path, ES_HEADER_BYTES, np.uint8):
        position = _find_end(block, 256 - (1 << flag_bits), position) - len(block)
    if position:
        raise FormatError(f"{path}: truncated within an event (expected {position} more bytes)")

    with _decode(path, "es", t0=0) as decoder:
        for packet in decoder:
            events = packet[~packet["e"]] if "e" in packet.dtype.fields else packet
            yield StoredColumns(events["t"], events["x"], height - 1 - events["y"].astype(np.int32), events["p"])


@njit(cache=True, nogil=True, error_model="numpy")
def _find_end(block: NDArray[np.uint8], longest: int, position: int) -> int:
    """Return the end of the last event that begins in a block, whose first event begins at `position`.

    A first byte of at least `longest` stands alone.
    """
    while position < len(block):
        position += 1 if block[position] >= longest else ES_EVENT_BYTES
    return position


@contextmanager
def _write_aedat4(path: Path, sensor: SensorSize, _options: WriteOptions) -> Iterator[Callable[[Events], None]]:
    """Write one stream of events, described like the files of DV."""
    from faery import aedat

    def describe(name: str, place: str, nodes: list[Any], **attributes: str | int) -> Any:
        described = {
            key: aedat.DescriptionAttribute("int" if isinstance(value, int) else "string", value)
            for key, value in attributes.items()
        }
        return aedat.DescriptionNode(name, place, described, nodes)

    # A tree of three nodes, built from its leaf: outInfo, stream 0, properties of the stream.
    root = "/mainloop/Recorder/outInfo/"
    info = describe("info", f"{root}0/info/", [], sizeX=sensor.width, sizeY=sensor.height, source="dvspipe")
    stream = describe("0", f"{root}0/", [info], compression="LZ4", originalOutputName="events", typeIdentifier="EVTS")
    description = [describe("outInfo", root, [stream])]
    with aedat.Encoder(path, description=description, compression=("lz4", 1)) as encoder:

        def add(events: Events) -> None:
            check_range(events, ".aedat4", t=END_US)
            packet = np.empty(len(events), FAERY_EVENT)
            for name, column in zip(FAERY_EVENT.names or (), (events.t, events.x, events.y, events.p), strict=True):
                packet[name] = column
            for start in range(0, len(packet), PACKET_EVENTS):
                encoder.write(0, packet[start : start + PACKET_EVENTS])

        yield add


AEDAT4 = Format("aedat4", (".aedat4",), _open_aedat4, AEDAT4_MAGIC, _write_aedat4, (".aedat4",), FAERY_ERRORS)
EVENT_STREAM = Format("event_stream", (".es",), _open_es, ES_MAGIC, errors=FAERY_ERRORS)
