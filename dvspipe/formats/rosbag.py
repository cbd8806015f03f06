"""ROS bags: ROS 1 (`.bag`) and ROS 2 (`.db3`, `.mcap`, or the folder of a bag), read with rosbags (the extra `ros`).

There are two kinds of messages:

    arrays    dvs_msgs/EventArray, prophesee_event_msgs/EventArray: header, height, width, events (x, y, ts, polarity)
    packets   event_camera_msgs/EventPacket (formerly event_array_msgs/EventArray): header, height, width, seq,
              time_base, encoding, is_bigendian, events (bytes)

Arrays are decoded here from the bytes of a message: rosbags creates a Python object per event. Times are camera times;
`libcaer_cmp` packets use the epoch of the driver, `evt3` packets count from the start of the camera. An
`evt3` recording that begins in mid-stream has no rows and times before the first row after the first time; earlier
words are skipped, as in event_camera_codecs.
"""

from __future__ import annotations

import sqlite3
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import FormatError
from ..events import SensorSize
from .evt import (
    ADDR_X,
    ADDR_Y,
    EVT3_VERSION,
    TIME_HIGH,
    TIME_LOW,
    TYPE_BITS,
    VECT_8,
    VECT_BASE_X,
    EvtState,
    decode_words,
)
from .hints import Hints
from .source import Format, Source, StoredColumns, parse_sensor

SUFFIXES = (".bag", ".mcap", ".db3")
ROSBAGS_ERRORS = (ValueError, LookupError, AssertionError, RuntimeError, struct.error, sqlite3.Error)
"""What rosbags and its parsers raise for corrupted bags; its own errors become ValueError."""
METADATA = "metadata.yaml"
SQLITE_MAGIC = b"SQLite format 3\0"
SQLITE_HEADER = struct.Struct(">16xH10xI")  # bytes per page, number of pages: https://www.sqlite.org/fileformat.html
EVENT_FIELDS = "uint16 x\nuint16 y\ntime ts\nbool polarity"
ARRAY_FIELDS = "std_msgs/Header header\nuint32 height\nuint32 width\nEvent[] events"
PACKET_FIELDS = (
    "std_msgs/Header header\nuint32 height\nuint32 width\nuint64 seq\nuint64 time_base\nstring encoding\n"
    "bool is_bigendian\nuint8[] events"
)
ARRAY_TYPES = ("dvs_msgs/msg/EventArray", "prophesee_event_msgs/msg/EventArray")
PACKET_TYPES = ("event_camera_msgs/msg/EventPacket", "event_array_msgs/msg/EventArray")
HEADER = struct.Struct("<IIII")  # sequence number, seconds, nanoseconds, length of the name that follows
SIDES = struct.Struct("<II")  # height, width
PACKET = struct.Struct("<QQI")  # sequence number, time_base, length of the encoding that follows
COUNT = struct.Struct("<I")
EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("s", "<u4"), ("ns", "<u4"), ("p", "u1")])
RESERVED = 0xB  # type of no EVT 3.0 word
LIBCAER_TYPES = np.array([TIME_HIGH, TIME_LOW, ADDR_Y, ADDR_X, VECT_BASE_X, VECT_8, *[RESERVED] * 10])
"""EVT 3.0 types of the types of libcaer_driver, with x and y exchanged (event_camera_codecs, libcaer_cmp_types.h)."""


def is_recording_folder(path: Path) -> bool:
    """Return whether a path is the folder of a ROS 2 bag, with `metadata.yaml`."""
    return path.is_dir() and (path / METADATA).is_file()


@contextmanager
def _open_bag(path: Path) -> Iterator[tuple[Any, Callable[[bytes, str], bytes]]]:
    """Yield the opened reader of a bag, and the function that returns the bytes of a message in ROS 1, without gaps."""
    try:
        from rosbags import rosbag1, rosbag2
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    except ImportError as error:
        raise FormatError(f"{path}: rosbags is not installed, but needed; pip install 'dvspipe[ros]'") from error

    try:
        if path.suffix.lower() == ".bag":
            with rosbag1.Reader(path) as reader:
                yield reader, lambda data, _kind: data
                return

        # Messages are decoded by these definitions: those in a bag may be missing, or not be parsed by rosbags.
        store = get_typestore(Stores.ROS2_HUMBLE)
        for name in ARRAY_TYPES:
            store.register(get_types_from_msg(EVENT_FIELDS, name.replace("EventArray", "Event")))
            store.register(get_types_from_msg(ARRAY_FIELDS, name))
        for name in PACKET_TYPES:
            store.register(get_types_from_msg(PACKET_FIELDS, name))
        with rosbag2.Reader(path) as reader:
            yield reader, lambda data, kind: bytes(store.cdr_to_ros1(data, kind))
    except (rosbag1.ReaderError, rosbag2.ReaderError) as error:
        raise ValueError(str(error)) from error


def _check_size(path: Path) -> None:
    """Check that an SQLite file is complete: SQLite reads missing bytes of the last page as zeros."""
    with path.open("rb") as file:
        header = file.read(SQLITE_HEADER.size)
    if header.startswith(SQLITE_MAGIC) and len(header) == SQLITE_HEADER.size:
        page_bytes, pages = SQLITE_HEADER.unpack(header)
        size = path.stat().st_size
        if size < pages * page_bytes:
            raise FormatError(f"{path}: truncated (found {size} bytes, expected {pages * page_bytes})")


def _find_connections(reader: Any, topic: str | None = None) -> list[Any]:
    """Return the connections with events, of one topic or all: one per topic and program that wrote to it."""
    return [
        connection
        for connection in reader.connections
        if connection.msgtype in ARRAY_TYPES + PACKET_TYPES and topic in (None, connection.topic)
    ]


def _open(path: Path, hints: Hints) -> Source:
    for file in path.glob("*.db3") if path.is_dir() else [path]:
        _check_size(file)

    with _open_bag(path) as (reader, to_ros1):
        counts: Counter[str] = Counter()
        for connection in _find_connections(reader):
            counts[connection.topic] += connection.msgcount

        # Without a hint, the topic is the only one with messages.
        names = [hints.topic] if hints.topic else [topic for topic, count in counts.items() if count]
        if len(names) != 1 or names[0] not in counts:
            listed = ", ".join(sorted(counts)) or "none"
            raise FormatError(f"{path}: unknown topic (found events on {listed}); use topic=TOPIC to select one")

        # The sensor is in each message, so the first message decides.
        topic = names[0]
        connection, _, data = next(reader.messages(_find_connections(reader, topic)))
        message = to_ros1(data, connection.msgtype)
        height, width = SIDES.unpack_from(message, _skip_header(message))

    sensor = parse_sensor(path, width, height) if width and height else None
    attributes = {"topic": topic, "message_type": connection.msgtype}
    return Source(sensor, partial(_chunks, path, topic, sensor), attributes)


def _chunks(path: Path, topic: str, sensor: SensorSize | None) -> Iterator[StoredColumns]:
    state = EvtState()
    number = 0
    with _open_bag(path) as (reader, to_ros1):
        for connection, _, data in reader.messages(_find_connections(reader, topic)):
            try:
                message = to_ros1(data, connection.msgtype)
                if connection.msgtype in ARRAY_TYPES:
                    yield _decode_array(message)
                else:
                    columns, state = _decode_packet(message, state, sensor)
                    yield columns
            except (FormatError, ValueError, struct.error) as error:
                raise FormatError(f"{path}: {topic}: message {number}: {error}") from error
            number += 1

        expected = sum(connection.msgcount for connection in _find_connections(reader, topic))
        if number != expected:
            raise FormatError(f"{path}: {topic}: truncated (found {number} messages, expected {expected})")


def _skip_header(message: bytes) -> int:
    """Return the position after the header of a message."""
    *_, name_bytes = HEADER.unpack_from(message)
    return HEADER.size + int(name_bytes)


def _decode_array(message: bytes) -> StoredColumns:
    position = _skip_header(message) + SIDES.size
    (count,) = COUNT.unpack_from(message, position)
    events = np.frombuffer(message, EVENT, count, position + COUNT.size)

    # Nanoseconds are rounded to the nearest microsecond.
    t = events["s"].astype(np.int64) * 1_000_000 + (events["ns"].astype(np.int64) + 500) // 1000
    return StoredColumns(t, events["x"], events["y"], events["p"])


def _decode_packet(message: bytes, state: EvtState, sensor: SensorSize | None) -> tuple[StoredColumns, EvtState]:
    """Decode a packet; return its events, and the state of `evt3`, which continues from packet to packet."""
    position = _skip_header(message) + SIDES.size
    _, base_ns, length = PACKET.unpack_from(message, position)
    position += PACKET.size
    encoding = message[position : position + length].decode()
    position += length + 1  # after is_bigendian, which is not used
    (count,) = COUNT.unpack_from(message, position)
    words = np.frombuffer(message, np.uint8, count, position + COUNT.size).view("<u2")

    if encoding == "libcaer_cmp":
        return _decode_libcaer(words, base_ns, sensor), state
    if encoding != "evt3":
        raise FormatError(f"wrong encoding (found {encoding[:40]!r}, expected evt3 or libcaer_cmp)")
    return decode_words(EVT3_VERSION, words if state.high >= 0 else _skip_untimed(words), state, sensor)


def _skip_untimed(words: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the words from the first row after a complete time, and the times before them; none without a time."""
    kinds = words >> TYPE_BITS
    start = 0
    for kind in (TIME_HIGH, TIME_LOW, ADDR_Y):
        found = np.flatnonzero(kinds[start:] == kind)
        if not len(found):
            return words[:0]
        start += int(found[0])

    is_time = np.isin(kinds[:start], (TIME_HIGH, TIME_LOW))
    return np.concatenate([words[:start][is_time], words[start:]])


def _decode_libcaer(words: NDArray[np.uint16], base_ns: int, sensor: SensorSize | None) -> StoredColumns:
    """Decode words of libcaer_driver: EVT 3.0 with other types, and x and y exchanged; a packet begins at time 0."""
    kinds = LIBCAER_TYPES[words >> TYPE_BITS]
    words = kinds << TYPE_BITS | words & 0xFFF

    # Here, TIME_HIGH does not clear the lower bits of the time, so they are repeated after it.
    places = np.where(kinds == TIME_LOW, np.arange(len(words)), -1)
    highs = np.flatnonzero(kinds == TIME_HIGH)
    last = np.maximum.accumulate(places)[highs]
    lows = np.where(last < 0, TIME_LOW << TYPE_BITS, words[last])
    words = np.insert(words, highs + 1, lows).astype(np.uint16)

    exchanged = None if sensor is None else SensorSize(width=sensor.height, height=sensor.width)
    (t, y, x, on), _ = decode_words(EVT3_VERSION, words, EvtState(high=0), exchanged)
    return StoredColumns(t + (base_ns + 500) // 1000, x, y, on)


ROSBAG = Format("rosbag", SUFFIXES, _open, errors=ROSBAGS_ERRORS)
