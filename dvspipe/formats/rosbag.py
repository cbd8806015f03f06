"""ROS bags: ROS 1 (`.bag`) and ROS 2 (`.db3`, `.mcap`, or the folder of a bag), read with rosbags (the extra `ros`).

`rosbag_writer` writes `.mcap`.

Event messages are decoded here: rosbags creates a Python object per event of an array, with 134 times the CPU time and
7 times the memory. It reads packets equally fast. There are two kinds of messages:

    arrays    dvs_msgs/EventArray, prophesee_event_msgs/EventArray: header, height, width, events (x, y, ts, polarity)
    packets   event_camera_msgs/EventPacket (formerly event_array_msgs/EventArray): header, height, width, seq,
              time_base, encoding, is_bigendian, events (bytes)

Times are camera times. Arrays and packets with encoding `mono`, `libcaer` or `libcaer_cmp` use the epoch of the driver;
`evt3` packets count from the start of the camera, and time_base does not store this start. An `evt3` recording that
begins in mid-stream has no times before the first TIME_LOW after a TIME_HIGH; earlier words are skipped, as in
event_camera_codecs. Lost messages (gaps in seq) are not reported.
"""

from __future__ import annotations

import bz2
import re
import struct
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import CorruptionError, EventError, FormatError
from ..events import SensorSize
from ..parallel import Progress
from .evt import EVT3_VERSION, EvtVersion, allocate_events, limit_sides
from .evt_kernels import (
    ADDR_Y,
    EVT3_HIGH_BITS,
    PAYLOAD,
    TIME_HIGH,
    TIME_LOW,
    TYPE_BITS,
    VECT_8,
    VECT_12,
    VECT_BASE_X,
    Evt3State,
)
from .hints import NO_HINTS, Hints
from .libcaer import LIBCAER
from .rosbag_writer import NO_ROSBAGS, PACKET_TYPE, ROSBAG_ENCODER
from .source import CHUNK_EVENTS, Format, Source, StoredColumns, group_packets, join_columns

ARRAY_TYPES = ("dvs_msgs/msg/EventArray", "prophesee_event_msgs/msg/EventArray")
PACKETS = (PACKET_TYPE, "event_array_msgs/msg/EventArray")
EVENT_TYPES = ARRAY_TYPES + PACKETS
BAG_SUFFIXES = (".bag", ".mcap", ".db3")
BAG_MAGIC = b"#ROSBAG V"
METADATA = "metadata.yaml"
MAX_UNTIMED_BYTES = 1 << 24  # evt3 bytes before the first time
MAX_PART_BYTES = 1 << 27  # message, or decompressed chunk of messages; 8 million events
SQLITE_MAGIC = b"SQLite format 3\0"  # https://www.sqlite.org/fileformat.html
SQLITE_HEADER_BYTES = 100
SQLITE_PAGE_BYTES_AT = 16
SQLITE_PAGES_AT = 28
MCAP_MAGIC = b"\x89MCAP0\r\n"  # at start and end: https://mcap.dev/spec
MCAP_HEADER = struct.Struct("<BQI")  # first record: kind, size, length of the profile name
ROS2_PROFILE = "ros2"
MAX_PROFILE_BYTES = 40
LATEST_NS = 2**63 - 2**33
MAX_LISTED_TOPICS = 20
IDL_HEADINGS = re.compile(r"^(=+$|IDL: |#).*$", re.MULTILINE)
"""Separators between type definitions in IDL, and #include; rosbags parses neither."""

ROS1_EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("s", "<u4"), ("ns", "<u4"), ("p", "u1")])
# ROS 2 aligns numbers to their size. Events are 16 bytes apart, and each x is in the last two bytes of the previous
# event. Only the first event begins with its own x, and this also moves its y.
ROS2_EVENT = np.dtype(
    {
        "names": ["y", "first_y", "s", "ns", "p", "next_x"],
        "formats": ["<u2", "<u2", "<i4", "<u4", "u1", "<u2"],
        "offsets": [0, 2, 4, 8, 12, 14],
        "itemsize": 16,
    }
)
ROS2_LAST_EVENT_BYTES = 13
MONO_BYTES = 8
LIBCAER_EVENT = np.dtype([("address", "<u4"), ("t", "<i4")])
LIBCAER_TIME_BITS = 31


class _MessageError(Exception):
    """Error in the content of a message."""


@dataclass
class _Message:
    """Sequential reader of a serialised message.

    Args:
        data: Bytes of the message.
        ros2: Whether the message is from ROS 2: numbers are aligned to their size, counted from the fifth byte, and
            strings end in a zero byte.
        position: Next byte to read.
    """

    data: bytes
    ros2: bool
    position: int = 0

    def __post_init__(self) -> None:
        if self.ros2:
            self.position = 4
            if self.data[:2] != b"\x00\x01":
                raise _MessageError(
                    f"has wrong first bytes (found {self.data[:4].hex()}, expected little-endian CDR, 0001)"
                )

    def number(self, code: str) -> int:
        """Read the next number; `code` is a format character of `struct`."""
        size = struct.calcsize(code)
        if self.ros2:
            self.position += -(self.position - 4) % size

        if self.position + size > len(self.data):
            raise _MessageError(f"is truncated at byte {len(self.data)}")

        (value,) = struct.unpack_from("<" + code, self.data, self.position)
        self.position += size
        return int(value)

    def text(self) -> str:
        """Read the next string."""
        return self.bytes_().rstrip(b"\0").decode("utf-8", "replace")

    def bytes_(self) -> bytes:
        """Read the next byte sequence."""
        size = self.number("I")
        if self.position + size > len(self.data):
            raise _MessageError(
                f"is truncated at byte {len(self.data)} (expected {size} bytes from byte {self.position})"
            )

        self.position += size
        return self.data[self.position - size : self.position]

    def head(self) -> tuple[int, int]:
        """Read the header and the sides of the sensor, common to all event messages; return width and height."""
        # Header: in ROS 1 a sequence number (without it in ROS 2), seconds, nanoseconds, and the frame's name.
        for code in "II" if self.ros2 else "III":
            self.number(code)
        self.text()

        height = self.number("I")
        width = self.number("I")
        return width, height

    def end(self) -> None:
        """Check that the message ends here; ROS 2 pads messages to a multiple of four bytes."""
        left_over = len(self.data) - self.position
        if left_over > (3 if self.ros2 else 0):
            raise _MessageError(f"has {left_over} bytes after its end")


@dataclass(frozen=True)
class _Topic:
    """Topic with events: bag, name, message type and sensor size."""

    path: Path
    name: str
    type: str
    sensor: SensorSize | None


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(BAG_MAGIC) or path.suffix.lower() in BAG_SUFFIXES


def is_ros2_folder(path: Path) -> bool:
    """Return whether a path is the folder of a ROS 2 bag, with `metadata.yaml`."""
    return path.is_dir() and (path / METADATA).is_file()


def _open(path: Path, hints: Hints = NO_HINTS) -> Source:
    with _open_bag(path) as reader, _convert_errors(path, FormatError):
        topic = _choose_topic(path, reader, hints.topic)
        attributes = {"topic": topic.name, "message_type": topic.type}

    return Source(topic.sensor, partial(_chunks, topic), attributes)


@contextmanager
def _open_bag(path: Path) -> Iterator[Any]:
    """Open a bag."""
    try:
        from rosbags import rosbag1, rosbag2
    except ImportError as error:
        raise FormatError(f"{path}: {NO_ROSBAGS}") from error
    _limit_decompression()

    with _convert_errors(path, FormatError):
        for file in [path] if path.is_file() else sorted(path.glob("*.mcap")):
            _check_mcap(file)
        reader = rosbag1.Reader(path) if path.suffix.lower() == ".bag" else rosbag2.Reader(path)
        reader.open()
        _limit_rows(reader)

    try:
        yield reader
    finally:
        reader.close()


def _check_mcap(path: Path) -> None:
    """Check that an MCAP file has the ROS 2 profile and is complete."""
    if path.suffix.lower() != ".mcap":
        return

    profile_start = len(MCAP_MAGIC) + MCAP_HEADER.size
    with path.open("rb") as file:
        head = file.read(profile_start + MAX_PROFILE_BYTES)
        file.seek(max(0, path.stat().st_size - len(MCAP_MAGIC)))
        tail = file.read()

    if not head.startswith(MCAP_MAGIC):
        raise FormatError(f"{path}: not an MCAP file (found {head[: len(MCAP_MAGIC)]!r}, expected {MCAP_MAGIC!r})")

    # Other programs also store their messages in MCAP files; the profile of the first record says whose they are.
    if len(head) >= profile_start:
        _, _, profile_bytes = MCAP_HEADER.unpack_from(head, len(MCAP_MAGIC))
        profile = head[profile_start:][:profile_bytes].decode("utf-8", "replace")
        if profile != ROS2_PROFILE:
            stored = f"the profile {profile!r}" if profile else "no profile"
            raise FormatError(f"{path}: an MCAP file without ROS 2 messages (found {stored}, expected {ROS2_PROFILE})")

    if tail != MCAP_MAGIC:
        raise FormatError(f"{path}: truncated: the index at its end is missing; repair the file with `mcap recover`")


def _limit_decompression() -> None:
    """Replace the decompression functions of rosbags by functions with a size limit."""
    from backports import zstd
    from lz4.frame import LZ4FrameDecompressor
    from rosbags.rosbag1 import reader as rosbag1
    from rosbags.rosbag2 import reader as rosbag2
    from rosbags.rosbag2 import storage_mcap

    def limited(decompressor: Callable[[], Any]) -> Callable[..., bytes]:
        return lambda packed, *_size: _decompress(decompressor(), packed)

    rosbag1.decompressors.update(bz2=limited(bz2.BZ2Decompressor), lz4=limited(LZ4FrameDecompressor))
    storage_mcap.DECOMPRESSORS.update(lz4=limited(LZ4FrameDecompressor), zstd=limited(zstd.ZstdDecompressor))
    rosbag2.zstd = SimpleNamespace(decompress=limited(zstd.ZstdDecompressor), open=zstd.open)


def _decompress(decompressor: Any, packed: bytes) -> bytes:
    """Decompress a frame of at most MAX_PART_BYTES."""
    content: bytes = decompressor.decompress(packed, max_length=MAX_PART_BYTES)
    if not decompressor.eof:
        why = "is truncated" if decompressor.needs_input else f"is larger than {MAX_PART_BYTES} bytes"
        raise ValueError(f"compressed data {why}")

    return content


def _limit_rows(reader: Any) -> None:
    """Limit the size of values from SQLite: a computed column can be larger than the file."""
    import apsw

    storage = getattr(reader, "storage", None)
    for part in getattr(storage, "storages", [storage]):
        if (database := getattr(part, "dbconn", None)) is not None:
            database.limit(apsw.SQLITE_LIMIT_LENGTH, MAX_PART_BYTES)


@contextmanager
def _convert_errors(path: Path, kind: type[FormatError]) -> Iterator[None]:
    """Convert errors of rosbags and its dependencies to a `FormatError`."""
    import apsw
    from backports import zstd
    from rosbags import rosbag1, rosbag2
    from ruamel.yaml.error import YAMLError

    try:
        yield
    except (
        rosbag1.ReaderError,
        rosbag2.ReaderError,
        apsw.Error,
        zstd.ZstdError,
        YAMLError,
        struct.error,
        AssertionError,
        OSError,
        EOFError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        MemoryError,
        RuntimeError,
        _MessageError,
    ) as error:
        message = f"{path}: corrupted: {error or type(error).__name__}"
        if kind is CorruptionError:
            raise CorruptionError(message, lost="everything after it") from error
        raise kind(message) from error


def _choose_topic(path: Path, reader: Any, hinted: str | None) -> _Topic:
    """Return the topic with events: the hinted one, or the only one that has messages.

    A bag has a connection for each topic and each program that wrote to it.
    """
    count = sum(connection.msgcount for connection in reader.connections)
    if count != reader.message_count:
        raise FormatError(
            f"{path}: corrupted: wrong number of messages (found {count}, expected {reader.message_count})"
        )

    of_events = [connection for connection in reader.connections if connection.msgtype in EVENT_TYPES]
    types = {connection.topic: connection.msgtype for connection in of_events}
    if not types:
        others = sorted({f"{connection.topic} ({connection.msgtype})" for connection in reader.connections})
        listed = ", ".join(others[:MAX_LISTED_TOPICS]) or "none"
        raise FormatError(f"{path}: no topic with events (found {listed}, expected one of {', '.join(EVENT_TYPES)})")

    # Without a hint, the topic must be the only one with messages; if all are empty, any will do.
    with_messages = {connection.topic for connection in reader.connections if connection.msgcount}
    filled = [topic for topic in types if topic in with_messages]
    names = [hinted] if hinted else filled or list(types)[:1]
    if len(names) > 1 or names[0] not in types:
        topics = ", ".join(sorted(types))
        unknown = f", not on {hinted}" if hinted else ""
        raise FormatError(f"{path}: events on the topics {topics}{unknown}; use topic={min(types)} to choose one")

    (name,) = names
    for connection in _connections(reader, name):
        _check_definition(path, connection)

    # The sensor is in each message, so the first message decides; without a message it is unknown.
    messages = reader.messages(_connections(reader, name))
    _, _, data = next(iter(messages), (None, None, None))
    sensor = None
    if data is not None:
        width, height = _Message(data, path.suffix.lower() != ".bag").head()
        sensor = _sensor(width, height)
    return _Topic(path, name, types[name], sensor)


def _connections(reader: Any, topic: str) -> list[Any]:
    """Return the connections of a topic that have events."""
    return [
        connection
        for connection in reader.connections
        if connection.topic == topic and connection.msgtype in EVENT_TYPES
    ]


def _check_definition(path: Path, connection: Any) -> None:
    """Check that a message type has the expected fields; old ROS 2 bags have no definition."""
    from rosbags.interfaces import MessageDefinitionFormat
    from rosbags.typesys import TypesysError, get_types_from_idl, get_types_from_msg

    name = connection.msgtype
    text = connection.msgdef.data

    if connection.msgdef.format == MessageDefinitionFormat.NONE:
        return

    event = f"{name.split('/')[0]}/msg/Event"
    fields = "Header header\nuint32 height\nuint32 width\n"
    expected = get_types_from_msg("uint16 x\nuint16 y\ntime ts\nbool polarity", event)
    if name in ARRAY_TYPES:
        expected |= get_types_from_msg(f"{fields}Event[] events", name)
    else:
        packet = "uint64 seq\nuint64 time_base\nstring encoding\nbool is_bigendian\nuint8[] events"
        expected = get_types_from_msg(fields + packet, name)

    try:
        if connection.msgdef.format == MessageDefinitionFormat.MSG:
            defined = get_types_from_msg(text, name)
        else:
            defined = get_types_from_idl(IDL_HEADINGS.sub("", text))
    except TypesysError as error:
        raise FormatError(f"{path}: {connection.topic}: cannot parse the definition of {name}") from error

    # A definition is a pair of constants and fields.
    for known, (_, expected_fields) in expected.items():
        _, defined_fields = defined.get(known, ((), ()))
        if _field_types(defined_fields) != _field_types(expected_fields):
            raise FormatError(f"{path}: {connection.topic}: wrong fields in messages {known}")


def _field_types(fields: Any) -> list[tuple[str, str]]:
    """Return names and types of fields, with equal types for ROS 1 and ROS 2."""
    return [(name, str(node).replace("std_msgs/msg/Time", "builtin_interfaces/msg/Time")) for name, node in fields]


def _sensor(width: int, height: int) -> SensorSize | None:
    """Return the sensor of a message; None if a side is 0."""
    try:
        return SensorSize(width=width, height=height) if width and height else None
    except EventError as error:
        raise _MessageError(f"has an invalid sensor size ({error})") from error


def _chunks(topic: _Topic, progress: Progress | None = None) -> Iterator[StoredColumns]:
    yield from map(join_columns, group_packets(_messages(topic, progress), lambda columns: len(columns.t)))


def _messages(topic: _Topic, progress: Progress | None = None) -> Iterator[StoredColumns]:
    """Yield the events of each message of a topic; then check that the bag is complete."""
    ros2 = topic.path.suffix.lower() != ".bag"
    number = 0
    decode = _decode_array if topic.type in ARRAY_TYPES else _PacketDecoder(topic.sensor)

    with _open_bag(topic.path) as reader, _convert_errors(topic.path, CorruptionError):
        for _, _, data in reader.messages(_connections(reader, topic.name)):
            try:
                message = _Message(data, ros2)
                width, height = message.head()
                sensor = _sensor(width, height)
                if sensor != topic.sensor:
                    raise _MessageError(f"has the wrong sensor size (found {sensor}, expected {topic.sensor})")
                yield from decode(message)

                number += 1
                if progress:
                    progress(number, reader.topics[topic.name].msgcount)
            except _MessageError as error:
                where = f"{topic.path}: {topic.name}: message {number}"
                raise CorruptionError(f"{where} {error}", lost="its events and everything after it") from error

        # A bag counts the messages of a topic, so missing ones are noticed.
        expected = reader.topics[topic.name].msgcount
        if number != expected:
            what = f"{topic.path}: {topic.name}: wrong number of messages (found {number}, expected {expected})"
            raise CorruptionError(what, lost=f"{abs(expected - number)} messages")

    for file in topic.path.glob("*.db3") if topic.path.is_dir() else [topic.path]:
        _check_size(file)


def _check_size(path: Path) -> None:
    """Check that an SQLite file is complete: SQLite reads missing bytes of the last page as zeros."""
    with path.open("rb") as file:
        header = file.read(SQLITE_HEADER_BYTES)

    if not header.startswith(SQLITE_MAGIC):
        return

    # The header stores the bytes per page (16 bits, so 1 stands for 2^16) and the number of pages.
    (page_bytes,) = struct.unpack_from(">H", header, SQLITE_PAGE_BYTES_AT)
    (pages,) = struct.unpack_from(">I", header, SQLITE_PAGES_AT)
    size = path.stat().st_size
    expected = pages * (1 << 16 if page_bytes == 1 else page_bytes)

    if size < expected:
        raise CorruptionError(
            f"{path}: truncated (found {size} bytes, expected {expected})", lost="events of the last page"
        )


def _decode_array(message: _Message) -> Iterator[StoredColumns]:
    """Yield the events of an array message."""
    count = message.number("I")
    size = count * ROS1_EVENT.itemsize
    if message.ros2:
        size = (count - 1) * ROS2_EVENT.itemsize + ROS2_LAST_EVENT_BYTES if count else 0

    content = message.data[message.position : message.position + size]
    if len(content) < size:
        raise _MessageError(f"is truncated at byte {len(message.data)} (expected {count} events)")
    message.position += size
    message.end()

    if not count:
        return

    # An event of ROS 2 has its x in the last two bytes of the previous one; see ROS2_EVENT.
    if message.ros2:
        rows = np.frombuffer(content + bytes(ROS2_EVENT.itemsize - ROS2_LAST_EVENT_BYTES), ROS2_EVENT)
        x = np.roll(rows["next_x"], 1)
        y = rows["y"].copy()
        x[0] = rows["y"][0]
        y[0] = rows["first_y"][0]
    else:
        rows = np.frombuffer(content, ROS1_EVENT)
        x = rows["x"]
        y = rows["y"]

    is_wrong = rows["ns"] >= 10**9
    if is_wrong.any():
        event = int(is_wrong.argmax())
        raise _MessageError(f"has a wrong time in event {event} (found {rows['ns'][event]} ns, expected below 10^9)")

    # Nanoseconds are rounded to the nearest microsecond.
    t = rows["s"].astype(np.int64) * 1_000_000 + (rows["ns"].astype(np.int64) + 500) // 1000
    yield StoredColumns(t, x, y, rows["p"])


class _PacketDecoder:
    """Decoder of packets; the state of `evt3` continues from packet to packet."""

    def __init__(self, sensor: SensorSize | None) -> None:
        self._width, self._height = limit_sides(sensor)
        self._state: Evt3State | None = None  # before the first time
        self._untimed = b""

    def __call__(self, message: _Message) -> Iterator[StoredColumns]:
        """Decode the next packet."""
        message.number("Q")
        base_ns = message.number("Q")
        encoding = message.text()
        is_bigendian = message.number("B")
        content = message.bytes_()
        message.end()

        if is_bigendian:
            raise _MessageError("is big-endian (expected little-endian)")
        if encoding == "evt3":
            yield from self._decode_evt3(content)
        elif encoding not in ("mono", "libcaer", LIBCAER.name):
            raise _MessageError(
                f"has the wrong encoding (found {encoding[:40]!r}, expected evt3, libcaer, libcaer_cmp or mono)"
            )
        elif base_ns > LATEST_NS:
            raise _MessageError(f"has the wrong time_base (found {base_ns}, expected at most {LATEST_NS})")
        elif encoding == "mono":
            yield from _decode_mono(content, base_ns)
        elif encoding == "libcaer":
            yield from _decode_libcaer(content, base_ns)
        else:
            base_us = (base_ns + 500) // 1000
            for columns in self._decode(LIBCAER, _words(content, encoding), LIBCAER.start):
                yield columns._replace(t=columns.t + base_us)

    def _decode_evt3(self, content: bytes) -> Iterator[StoredColumns]:
        words = _words(content, "evt3")

        # Before the first time, events are skipped; words are collected until their time is known.
        if self._state is None:
            self._untimed += content
            words = self._find_first_time()

        if self._state is not None:
            self._state = yield from self._decode(EVT3_VERSION, words, self._state)

    def _decode(
        self, version: EvtVersion, words: NDArray[np.uint16], state: Any
    ) -> Generator[StoredColumns, None, Any]:
        """Decode words: yield their events, and return the new state."""
        while len(words):
            out = allocate_events(min(CHUNK_EVENTS, len(words)))
            state, used, count, is_invalid = version.decode(words, state, self._width, self._height, out)

            if count:
                yield StoredColumns(out.t[:count], out.x[:count], out.y[:count], out.on[:count].view(np.bool_))

            if is_invalid:
                why = version.explain(int(words[used]), state, self._width, self._height, name=version.name)
                raise _MessageError(f"has {why}")
            words = words[used:]

        return state

    def _find_first_time(self) -> NDArray[np.uint16]:
        """Return the words starting at the first TIME_LOW after a TIME_HIGH; set the state from the words before."""
        words = np.frombuffer(self._untimed, "<u2")
        kinds = words[: MAX_UNTIMED_BYTES // 2] >> TYPE_BITS
        highs = np.flatnonzero(kinds == TIME_HIGH)
        lows = np.flatnonzero(kinds == TIME_LOW)
        lows = lows[lows > highs[0]] if len(highs) else lows[:0]

        if not len(lows):
            if len(self._untimed) > MAX_UNTIMED_BYTES:
                raise _MessageError(
                    f"no time word in the first {len(self._untimed)} bytes of evt3 data (expected one near the start)"
                )
            return words[:0]

        first = int(lows[0])
        self._untimed = b""
        self._state = _state_after(words[:first])
        return words[first:]


def _words(content: bytes, encoding: str) -> NDArray[np.uint16]:
    """Return the 16-bit words of a packet."""
    if len(content) % 2:
        raise _MessageError(f"has the wrong size (found {len(content)} bytes of {encoding}, expected a multiple of 2)")
    return np.frombuffer(content, "<u2")


def _state_after(words: NDArray[np.uint16]) -> Evt3State:
    """Return the state after EVT 3.0 words that include a TIME_HIGH; their events are ignored."""
    kinds = words >> TYPE_BITS

    def last(kind: int) -> int | None:
        indices = np.flatnonzero(kinds == kind)
        return int(indices[-1]) if len(indices) else None

    high = last(TIME_HIGH)
    row = last(ADDR_Y)
    base = last(VECT_BASE_X)
    assert high is not None

    state = Evt3State(high=int(words[high]) & ((1 << EVT3_HIGH_BITS) - 1))
    if row is not None:
        state = state._replace(row=int(words[row]) & PAYLOAD)
    if base is not None:
        # A vector moves the first column of the next one by its width.
        after = kinds[base:]
        vectors = 12 * np.count_nonzero(after == VECT_12) + 8 * np.count_nonzero(after == VECT_8)
        word = int(words[base])
        state = state._replace(base=(word & PAYLOAD) + int(vectors), base_on=word >> 11 & 1)

    return state


def _decode_mono(content: bytes, base_ns: int) -> Iterator[StoredColumns]:
    """Yield events of words of 64 bits: 63 polarity, 62-48 y, 47-32 x, 31-0 time in nanoseconds."""
    if len(content) % MONO_BYTES:
        raise _MessageError(
            f"has the wrong size (found {len(content)} bytes of mono, expected a multiple of {MONO_BYTES})"
        )
    for start in range(0, len(content), MONO_BYTES * CHUNK_EVENTS):
        words = np.frombuffer(content[start : start + MONO_BYTES * CHUNK_EVENTS], "<u8")
        t_ns = base_ns + (words & np.uint64(0xFFFFFFFF)).astype(np.int64)
        x = (words >> np.uint64(32)).astype(np.uint16)
        y = (words >> np.uint64(48)).astype(np.uint16)
        on = (words >> np.uint64(63)).astype(np.bool_)  # the top bit, above the 15 bits of y
        yield StoredColumns((t_ns + 500) // 1000, x, y & np.uint16(0x7FFF), on)


def _decode_libcaer(content: bytes, base_ns: int) -> Iterator[StoredColumns]:
    """Yield polarity events of libcaer: a word with valid, polarity, y and x, and a word with 31 bits of time."""
    if len(content) % LIBCAER_EVENT.itemsize:
        raise _MessageError(
            f"has the wrong size (found {len(content)} bytes of libcaer, "
            f"expected a multiple of {LIBCAER_EVENT.itemsize})"
        )

    events = np.frombuffer(content, LIBCAER_EVENT)
    if len(events) and events["t"].min() < 0:
        raise _MessageError(f"has a wrong time (found {events['t'].min()} us, expected 0 or more)")

    overflows = np.cumsum(np.diff(events["t"], prepend=events["t"][:1]) < 0)  # overflows within this packet
    t = (base_ns + 500) // 1000 + events["t"].astype(np.int64) + (overflows << LIBCAER_TIME_BITS)

    address = events["address"]
    yield StoredColumns(t, address >> 17, address >> 2 & 0x7FFF, (address >> 1 & 1).astype(np.bool_))


ROSBAG = Format("rosbag", BAG_SUFFIXES, _recognises, _open, ROSBAG_ENCODER)
