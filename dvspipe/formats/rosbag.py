"""ROS bags: ROS 1 (`.bag`), ROS 2 (`.db3`, `.mcap`, or the folder of a bag), read by rosbags (the extra `ros`).

Event messages are decoded here, because rosbags makes a Python object of every event. They are of two kinds:

    arrays    dvs_msgs/EventArray, prophesee_event_msgs/EventArray: header, height, width, events (x, y, ts, polarity)
    packets   event_camera_msgs/EventPacket (once event_array_msgs/EventArray): header, height, width, seq, time_base,
              encoding, is_bigendian, events (bytes)

The time of an event is the camera's own, in an array or a packet `mono` since the epoch that its driver took, in a
packet `evt3` since the camera was started; a packet's time_base says nothing of the latter. A recording of `evt3` that
begins in the middle of the camera's stream has no times up to the first TIME_LOW after a TIME_HIGH; the words ahead of
that are left out, as by event_camera_codecs. Lost messages (gaps in seq) are not told.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptionError, EventError, FormatError
from ..events import SensorSize
from .evt import (
    ADDR_Y,
    ENCODINGS,
    EVT3_HIGH_BITS,
    LARGEST_SIDE_PX,
    TIME_HIGH,
    TIME_LOW,
    VECT_8,
    VECT_12,
    VECT_BASE_X,
)  # fmt: skip
from .hints import NO_HINTS, Hints
from .source import CHUNK_EVENTS, Columns, Format, Source

ARRAYS = ("dvs_msgs/msg/EventArray", "prophesee_event_msgs/msg/EventArray")
PACKETS = ("event_camera_msgs/msg/EventPacket", "event_array_msgs/msg/EventArray")
BAG_MAGIC = b"#ROSBAG V"
METADATA = "metadata.yaml"
LONGEST_LEAD_BYTES = 1 << 24  # of evt3 without a time
LATEST_NS = 2**63 - 2**33
EVT3 = next(encoding for encoding in ENCODINGS if encoding.name == "EVT3")

ROS1_EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("s", "<u4"), ("ns", "<u4"), ("p", "u1")])
# In ROS 2 numbers stand at multiples of their size. That makes events 16 bytes apart, each with its x in the last two
# bytes of the one ahead; only the first is led by its own x, which moves its y too.
ROS2_EVENT = np.dtype(
    {
        "names": ["y", "first_y", "s", "ns", "p", "next_x"],
        "formats": ["<u2", "<u2", "<i4", "<u4", "u1", "<u2"],
        "offsets": [0, 2, 4, 8, 12, 14],
        "itemsize": 16,
    }
)
ROS2_LAST_EVENT_BYTES = 13


class _MessageError(Exception):
    """A message is not what its type requires; says how."""


@dataclass
class _Message:
    """Reads a serialized message from front to back.

    Args:
        data: Its bytes.
        ros2: Whether numbers stand at multiples of their size, counted from the fifth byte, and texts end in a zero.
    """

    data: bytes
    ros2: bool
    place: int = 0

    def __post_init__(self) -> None:
        if self.ros2:
            self.place = 4
            if self.data[:2] != b"\x00\x01":
                raise _MessageError(f"begins with the bytes {self.data[:4].hex()}, expected little-endian CDR, 0001")

    def number(self, code: str) -> int:
        """The next number, of a type that struct knows."""
        size = struct.calcsize(code)
        if self.ros2:
            self.place += -(self.place - 4) % size
        if self.place + size > len(self.data):
            raise _MessageError(f"ends after {len(self.data)} bytes")
        (value,) = struct.unpack_from("<" + code, self.data, self.place)
        self.place += size
        return int(value)

    def text(self) -> str:
        """The next text."""
        return self.bytes_().rstrip(b"\0").decode("utf-8", "replace")

    def bytes_(self) -> bytes:
        """The next sequence of bytes."""
        size = self.number("I")
        if self.place + size > len(self.data):
            raise _MessageError(f"ends after {len(self.data)} bytes, {size} expected from byte {self.place} on")
        self.place += size
        return self.data[self.place - size : self.place]

    def head(self) -> tuple[int, int]:
        """Width and height, behind the header that all event messages begin with."""
        for code in "II" if self.ros2 else "III":
            self.number(code)
        self.text()
        height, width = self.number("I"), self.number("I")
        return width, height

    def end(self) -> None:
        """Checks that nothing follows; ROS 2 fills up to a multiple of four bytes."""
        left_over = len(self.data) - self.place
        if left_over > (3 if self.ros2 else 0):
            raise _MessageError(f"{left_over} bytes follow after its end")


@dataclass(frozen=True)
class _Topic:
    """The events of a bag."""

    path: Path
    name: str
    type: str
    sensor: SensorSize | None


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(BAG_MAGIC) or path.suffix.lower() in ROSBAG.suffixes


def is_ros2_folder(path: Path) -> bool:
    """Whether a folder is a ROS 2 bag."""
    return path.is_dir() and (path / METADATA).is_file()


def _open(path: Path, hints: Hints = NO_HINTS) -> Source:
    with _reader(path) as reader, _damage_as(path, FormatError):
        topic = _choose(path, reader, hints.topic)
        attributes = {"topic": topic.name, "message_type": topic.type}
    return Source(topic.sensor, lambda: _chunks(topic), attributes)


@contextmanager
def _reader(path: Path) -> Iterator[Any]:
    """The opened bag.

    Raises:
        FormatError: It cannot be opened, or rosbags is missing.
    """
    try:
        from rosbags import rosbag1, rosbag2
    except ImportError as error:
        raise FormatError(
            f"{path}: ROS bags are read by rosbags, which is missing; pip install dvspipe[ros]"
        ) from error
    with _damage_as(path, FormatError):
        reader = rosbag1.Reader(path) if path.suffix.lower() == ".bag" else rosbag2.Reader(path)
        reader.open()
    try:
        yield reader
    finally:
        reader.close()


@contextmanager
def _damage_as(path: Path, kind: type[FormatError]) -> Iterator[None]:
    """Raises what rosbags and those below it raise on damage, as an error of ours."""
    import apsw
    from backports import zstd
    from rosbags import rosbag1, rosbag2
    from ruamel.yaml.error import YAMLError

    try:
        yield
    except (
        rosbag1.ReaderError, rosbag2.ReaderError, apsw.Error, zstd.ZstdError, YAMLError, struct.error, AssertionError,
        OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError,
        RuntimeError, _MessageError,
    ) as error:  # fmt: skip
        message = f"{path}: damaged: {error or type(error).__name__}"
        raise (CorruptionError(message, lost="what follows") if kind is CorruptionError else kind(message)) from error


def _choose(path: Path, reader: Any, wanted: str | None) -> _Topic:
    of_topics = sum(each.msgcount for each in reader.connections)
    if of_topics != reader.message_count:
        raise FormatError(f"{path}: damaged: {of_topics} messages on its topics, {reader.message_count} expected")
    found = {each.topic: each.msgtype for each in reader.connections if each.msgtype in ARRAYS + PACKETS}
    if not found:
        others = ", ".join(sorted({f"{each.topic} ({each.msgtype})" for each in reader.connections})[:20]) or "none"
        raise FormatError(
            f"{path}: no topic with events, expected one of {', '.join(ARRAYS + PACKETS)}; topics: {others}"
        )
    filled = [topic for topic in found if any(c.msgcount for c in reader.connections if c.topic == topic)]
    names = [wanted] if wanted else filled or list(found)[:1]
    if len(names) > 1 or names[0] not in found:
        many = ", ".join(sorted(found))
        raise FormatError(f"{path}: events on the topics {many}; say which with --hint topic=NAME")
    (name,) = names
    for connection in _connections(reader, name):
        _check_definition(path, connection)
    _, _, data = next(iter(reader.messages(_connections(reader, name))), (None, None, None))
    sensor = _sensor(_Message(data, path.suffix.lower() != ".bag").head()) if data is not None else None
    return _Topic(path, name, found[name], sensor)


def _connections(reader: Any, topic: str) -> list[Any]:
    return [each for each in reader.connections if each.topic == topic and each.msgtype in ARRAYS + PACKETS]


def _check_definition(path: Path, connection: Any) -> None:
    """Checks that the message type has the fields that are decoded here; old ROS 2 bags do not say."""
    from rosbags.interfaces import MessageDefinitionFormat
    from rosbags.typesys import TypesysError, get_types_from_idl, get_types_from_msg

    name, text = connection.msgtype, connection.msgdef.data
    if connection.msgdef.format == MessageDefinitionFormat.NONE:
        return
    event = f"{name.split('/')[0]}/msg/Event"
    fields = "Header header\nuint32 height\nuint32 width\n"
    expected = get_types_from_msg("uint16 x\nuint16 y\ntime ts\nbool polarity", event)
    if name in ARRAYS:
        expected |= get_types_from_msg(f"{fields}Event[] events", name)
    else:
        packet = "uint64 seq\nuint64 time_base\nstring encoding\nbool is_bigendian\nuint8[] events"
        expected = get_types_from_msg(fields + packet, name)
    try:
        if connection.msgdef.format == MessageDefinitionFormat.MSG:
            given = get_types_from_msg(text, name)
        else:
            given = get_types_from_idl(text)
    except TypesysError as error:
        raise FormatError(f"{path}: {connection.topic}: its definition of {name} is damaged ({error})") from error
    for known, (_, its_fields) in expected.items():
        if known not in given or _names(given[known][1]) != _names(its_fields):
            raise FormatError(f"{path}: {connection.topic}: its messages {known} have other fields than dvspipe knows")


def _names(fields: Any) -> list[tuple[str, str]]:
    """Names and types of fields, the latter alike for ROS 1 and 2."""
    return [(name, str(node).replace("std_msgs/msg/Time", "builtin_interfaces/msg/Time")) for name, node in fields]


def _sensor(sides: tuple[int, int]) -> SensorSize | None:
    try:
        return SensorSize(*sides) if all(sides) else None
    except EventError as error:
        raise _MessageError(f"names no usable sensor ({error})") from error


def _chunks(topic: _Topic) -> Iterator[Columns]:
    """The events of messages, put together to chunks."""
    waiting: list[Columns] = []
    count = 0
    try:
        for columns in _messages(topic):
            waiting.append(columns)
            count += len(columns.t)
            if count >= CHUNK_EVENTS // 4:
                yield _together(waiting)
                waiting, count = [], 0
    except CorruptionError:
        if waiting:
            yield _together(waiting)
        raise
    if waiting:
        yield _together(waiting)


def _together(parts: list[Columns]) -> Columns:
    return Columns(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _messages(topic: _Topic) -> Iterator[Columns]:
    ros2, number = topic.path.suffix.lower() != ".bag", 0
    decode = _array if topic.type in ARRAYS else _Packets(topic.sensor)
    with _reader(topic.path) as reader, _damage_as(topic.path, CorruptionError):
        for _, _, data in reader.messages(_connections(reader, topic.name)):
            try:
                message = _Message(data, ros2)
                sensor = _sensor(message.head())
                if sensor != topic.sensor:
                    raise _MessageError(f"names a sensor of {sensor}, expected {topic.sensor}")
                yield from decode(message)
                number += 1
            except _MessageError as error:
                where = f"{topic.path}: {topic.name}: message {number}"
                raise CorruptionError(f"{where} {error}", lost="its events and what follows") from error
        expected = reader.topics[topic.name].msgcount
        if number != expected:
            found = f"{topic.path}: {topic.name}: {number} messages found, {expected} expected"
            raise CorruptionError(found, lost=f"{abs(expected - number)} messages")


def _array(message: _Message) -> Iterator[Columns]:
    """The events of an array."""
    count = message.number("I")
    size = count * ROS1_EVENT.itemsize
    if message.ros2:
        size = (count - 1) * ROS2_EVENT.itemsize + ROS2_LAST_EVENT_BYTES if count else 0
    content = message.data[message.place : message.place + size]
    if len(content) < size:
        raise _MessageError(f"ends after {len(message.data)} bytes, too short for its {count} events")
    message.place += size
    message.end()
    if not count:
        return
    if message.ros2:
        rows = np.frombuffer(content + bytes(ROS2_EVENT.itemsize - ROS2_LAST_EVENT_BYTES), ROS2_EVENT)
        x, y = np.roll(rows["next_x"], 1), rows["y"].copy()
        x[0], y[0] = rows["y"][0], rows["first_y"][0]
    else:
        rows = np.frombuffer(content, ROS1_EVENT)
        x, y = rows["x"], rows["y"]
    if (rows["ns"] >= 10**9).any():
        event = int((rows["ns"] >= 10**9).argmax())
        raise _MessageError(f"has event {event} at {rows['ns'][event]} ns after a full second")
    t = rows["s"].astype(np.int64) * 1_000_000 + (rows["ns"].astype(np.int64) + 500) // 1000
    yield Columns(t, x, y, rows["p"])


class _Packets:
    """Decodes packets, whose encoding `evt3` goes on from one to the next."""

    def __init__(self, sensor: SensorSize | None) -> None:
        sides = (sensor.width, sensor.height) if sensor else (LARGEST_SIDE_PX, LARGEST_SIDE_PX)
        self._width, self._height = (min(side, LARGEST_SIDE_PX) for side in sides)
        self._state: NDArray[np.int64] | None = None
        self._lead = b""

    def __call__(self, message: _Message) -> Iterator[Columns]:
        """The events of the next packet."""
        message.number("Q")
        base_ns = message.number("Q")
        encoding, is_bigendian, content = message.text(), message.number("B"), message.bytes_()
        message.end()
        if is_bigendian:
            raise _MessageError("is big-endian, expected little-endian")
        if encoding == "mono":
            yield from _mono(content, base_ns)
        elif encoding == "evt3":
            yield from self._evt3(content)
        else:
            raise _MessageError(f"is of the encoding {encoding[:40]!r}, expected evt3 or mono")

    def _evt3(self, content: bytes) -> Iterator[Columns]:
        if len(content) % 2:
            raise _MessageError(f"has {len(content)} bytes of evt3, no whole words of 2 bytes")
        words = np.frombuffer(content, "<u2")
        if self._state is None:
            self._lead += content
            words = self._begin()
        while self._state is not None and len(words):
            capacity = min(CHUNK_EVENTS, EVT3.events_per_word * len(words)) + 32
            t, on = np.empty(capacity, np.int64), np.empty(capacity, np.uint8)
            x, y = np.empty(capacity, np.int16), np.empty(capacity, np.int16)
            self._state, used, count, damaged = EVT3.decode(words, self._state, self._width, self._height, t, x, y, on)
            if count:
                yield Columns(t[:count], x[:count], y[:count], on[:count].view(np.bool_))
            if damaged:
                why = EVT3.explain(int(words[used]), self._state, self._width, self._height, name=EVT3.name)
                raise _MessageError(f"has {why}")
            words = words[used:]

    def _begin(self) -> NDArray[np.uint16]:
        """The words from the first with a time on; what those ahead of it set becomes the state."""
        words = np.frombuffer(self._lead, "<u2")
        kinds = words >> 12
        highs = np.flatnonzero(kinds == TIME_HIGH)
        lows = np.flatnonzero(kinds == TIME_LOW)
        lows = lows[lows > highs[0]] if len(highs) else lows[:0]
        if not len(lows):
            if len(self._lead) > LONGEST_LEAD_BYTES:
                raise _MessageError(f"has no time after {len(self._lead)} bytes of evt3")
            return words[:0]
        first, self._lead = int(lows[0]), b""
        ahead, kinds = words[:first], kinds[:first]
        state = EVT3.begin()
        state[0] = int(ahead[highs[highs < first][-1]]) & ((1 << EVT3_HIGH_BITS) - 1)
        for place, kind in ((2, ADDR_Y), (3, VECT_BASE_X)):
            set_by = np.flatnonzero(kinds == kind)
            if len(set_by):
                state[place] = int(ahead[set_by[-1]]) & 0x7FF
                if kind == VECT_BASE_X:
                    after = kinds[set_by[-1] :]
                    state[place] += 12 * np.count_nonzero(after == VECT_12) + 8 * np.count_nonzero(after == VECT_8)
                    state[4] = int(ahead[set_by[-1]]) >> 11 & 1
        self._state = state
        return words[first:]


def _mono(content: bytes, base_ns: int) -> Iterator[Columns]:
    if len(content) % 8:
        raise _MessageError(f"has {len(content)} bytes of mono, no whole events of 8 bytes")
    if base_ns > LATEST_NS:
        raise _MessageError(f"has time_base {base_ns}, beyond 64 bits")
    words = np.frombuffer(content, "<u8")
    t_ns = base_ns + (words & np.uint64(0xFFFFFFFF)).astype(np.int64)
    x, y = (words >> np.uint64(32)).astype(np.uint16), (words >> np.uint64(48)).astype(np.uint16) & np.uint16(0x7FFF)
    if len(words):
        yield Columns((t_ns + 500) // 1000, x, y, (words >> np.uint64(63)).astype(np.bool_))


ROSBAG = Format("rosbag", (".bag", ".mcap", ".db3"), _recognises, _open)
