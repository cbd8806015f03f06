"""ROS bags: ROS 1 (`.bag`) and ROS 2 (`.db3`, `.mcap`, or the folder of a bag), read with rosbags (the extra `ros`).

There are two kinds of messages:

    arrays    dvs_msgs/EventArray, prophesee_event_msgs/EventArray: header, height, width, events (x, y, ts, polarity)
    packets   event_camera_msgs/EventPacket (formerly event_array_msgs/EventArray): header, height, width, seq,
              time_base, encoding, is_bigendian, events (bytes)

Arrays are decoded here from the bytes of a message: rosbags creates a Python object per event. Times are camera times;
`mono` and `libcaer_cmp` packets use the epoch of the driver, `evt3` packets count from the start of the camera. An
`evt3` recording that begins in mid-stream has no rows and times before the first row after the first time; earlier
words are skipped, as in event_camera_codecs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
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
MAGIC = b"#ROSBAG V"
METADATA = "metadata.yaml"
EVENT_FIELDS = "uint16 x\nuint16 y\ntime ts\nbool polarity"
ARRAY_FIELDS = "std_msgs/Header header\nuint32 height\nuint32 width\nEvent[] events"
PACKET_FIELDS = (
    "std_msgs/Header header\nuint32 height\nuint32 width\nuint64 seq\nuint64 time_base\nstring encoding\n"
    "bool is_bigendian\nuint8[] events"
)
ARRAYS = ("dvs_msgs/msg/EventArray", "prophesee_event_msgs/msg/EventArray")
PACKETS = ("event_camera_msgs/msg/EventPacket", "event_array_msgs/msg/EventArray")
ROS1_HEADER = struct.Struct("<IIII")  # sequence number, seconds, nanoseconds, length of the name that follows
ROS1_SIDES = struct.Struct("<III")  # height, width, number of events
ROS1_EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("s", "<u4"), ("ns", "<u4"), ("p", "u1")])
MAX_BASE_NS = 2**62
RESERVED = 0xB  # type of no EVT 3.0 word
LIBCAER_TYPES = np.array([TIME_HIGH, TIME_LOW, ADDR_Y, ADDR_X, VECT_BASE_X, VECT_8, *[RESERVED] * 10])
"""EVT 3.0 types of the types of libcaer_driver, with x and y exchanged (event_camera_codecs, libcaer_cmp_types.h)."""


def is_recording_folder(path: Path) -> bool:
    """Return whether a path is the folder of a ROS 2 bag, with `metadata.yaml`."""
    return path.is_dir() and (path / METADATA).is_file()


class _Bag:
    """Opened bag."""

    def __init__(self, path: Path) -> None:
        try:
            from rosbags import rosbag1, rosbag2
            from rosbags.typesys import Stores, get_types_from_msg, get_typestore
        except ImportError as error:
            raise FormatError(f"{path}: rosbags is not installed, but needed; pip install 'dvspipe[ros]'") from error

        # Messages are decoded by these definitions: those in a bag may be missing, or not be parsed by rosbags.
        self.is_ros1 = path.suffix.lower() == ".bag"
        self.store = get_typestore(Stores.ROS1_NOETIC if self.is_ros1 else Stores.ROS2_HUMBLE)
        for name in ARRAYS:
            self.store.register(get_types_from_msg(EVENT_FIELDS, name.replace("EventArray", "Event")))
            self.store.register(get_types_from_msg(ARRAY_FIELDS, name))
        for name in PACKETS:
            self.store.register(get_types_from_msg(PACKET_FIELDS, name))

        self.reader: Any = rosbag1.Reader(path) if self.is_ros1 else rosbag2.Reader(path)

    def connections(self, topic: str | None = None) -> list[Any]:
        """Return the connections with events, of one topic or all: one per topic and program that wrote to it."""
        return [
            each for each in self.reader.connections if each.msgtype in ARRAYS + PACKETS and topic in (None, each.topic)
        ]

    def deserialise(self, data: bytes, kind: str) -> Any:
        """Return a message."""
        return self.store.deserialize_ros1(data, kind) if self.is_ros1 else self.store.deserialize_cdr(data, kind)

    def to_ros1(self, data: bytes, kind: str) -> bytes:
        """Return the bytes of a message in ROS 1: they have no gaps."""
        return data if self.is_ros1 else bytes(self.store.cdr_to_ros1(data, kind))


def _open(path: Path, hints: Hints) -> Source:
    bag = _Bag(path)
    with bag.reader:
        topics = {each.topic for each in bag.connections()}
        names = [hints.topic] if hints.topic else [each.topic for each in bag.connections() if each.msgcount]
        if len({*names}) != 1 or not topics.issuperset(names):
            listed = ", ".join(sorted(topics)) or "none"
            raise FormatError(f"{path}: unknown topic (found events on {listed}); use topic=NAME to choose one")

        # The sensor is in each message, so the first message decides.
        topic = names[0]
        connection, _, data = next(bag.reader.messages(bag.connections(topic)))
        message = bag.deserialise(data, connection.msgtype)
        sensor = parse_sensor(path, message.width, message.height) if message.width and message.height else None

    attributes = {"topic": topic, "message_type": connection.msgtype}
    return Source(sensor, partial(_chunks, path, topic, sensor), attributes)


def _chunks(path: Path, topic: str, sensor: SensorSize | None) -> Iterator[StoredColumns]:
    bag = _Bag(path)
    decode_packet = _PacketDecoder(sensor)
    number = 0
    with bag.reader:
        for connection, _, data in bag.reader.messages(bag.connections(topic)):
            try:
                if connection.msgtype in PACKETS:
                    yield decode_packet(bag.deserialise(data, connection.msgtype))
                else:
                    yield _decode_array(bag.to_ros1(data, connection.msgtype))
            except (FormatError, ValueError, struct.error) as error:
                raise FormatError(f"{path}: {topic}: message {number}: {error}") from error
            number += 1

        expected = sum(each.msgcount for each in bag.connections(topic))
        if number != expected:
            raise FormatError(f"{path}: {topic}: truncated (found {number} messages, expected {expected})")


def _decode_array(message: bytes) -> StoredColumns:
    *_, name_bytes = ROS1_HEADER.unpack_from(message)
    position = ROS1_HEADER.size + name_bytes
    *_, count = ROS1_SIDES.unpack_from(message, position)
    events = np.frombuffer(message, ROS1_EVENT, count, position + ROS1_SIDES.size)

    # Nanoseconds are rounded to the nearest microsecond.
    t = events["s"].astype(np.int64) * 1_000_000 + (events["ns"].astype(np.int64) + 500) // 1000
    return StoredColumns(t, events["x"], events["y"], events["p"])


class _PacketDecoder:
    """Decoder of packets; the state of `evt3` continues from packet to packet."""

    def __init__(self, sensor: SensorSize | None) -> None:
        self._sensor = sensor
        self._state = EvtState()

    def __call__(self, message: Any) -> StoredColumns:
        """Decode the next packet."""
        if message.is_bigendian or message.time_base > MAX_BASE_NS:
            raise FormatError(f"wrong packet (found time_base {message.time_base}, big-endian {message.is_bigendian})")
        if message.encoding == "mono":
            return _decode_mono(message.events.view("<u8"), message.time_base)
        if message.encoding == "libcaer_cmp":
            return _decode_libcaer(message.events.view("<u2"), message.time_base, self._sensor)
        if message.encoding != "evt3":
            raise FormatError(f"wrong encoding (found {message.encoding[:40]!r}, expected evt3, libcaer_cmp or mono)")

        words = message.events.view("<u2")
        if self._state.high < 0:
            words = _skip_untimed(words)
        columns, self._state = decode_words(EVT3_VERSION, words, self._state, self._sensor)
        return columns


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


def _decode_mono(words: NDArray[np.uint64], base_ns: int) -> StoredColumns:
    """Decode words of 64 bits: 63 polarity, 62-48 y, 47-32 x, 31-0 time in nanoseconds."""
    t_ns = base_ns + (words & 0xFFFFFFFF).astype(np.int64)
    x = (words >> 32).astype(np.uint16)
    y = (words >> 48).astype(np.uint16) & 0x7FFF
    return StoredColumns((t_ns + 500) // 1000, x, y, words >> 63 == 1)


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


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(MAGIC) or path.suffix.lower() in SUFFIXES


ROSBAG = Format("rosbag", SUFFIXES, _recognises, _open)
