"""ROS bags: ROS 1 (`.bag`), ROS 2 (`.db3`, `.mcap`, or the folder of a bag), read by rosbags (the extra `ros`).

Event messages are decoded here, because rosbags creates a Python object for every event, which takes 134 times the CPU
time and 7 times the memory; packets it reads as fast. They are of two kinds:

    arrays    dvs_msgs/EventArray, prophesee_event_msgs/EventArray: header, height, width, events (x, y, ts, polarity)
    packets   event_camera_msgs/EventPacket (formerly event_array_msgs/EventArray): header, height, width, seq,
              time_base, encoding, is_bigendian, events (bytes)

Times are those of the camera: in an array and in a `mono`, `libcaer` or `libcaer_cmp` packet since the epoch that its
driver uses, in an `evt3` packet since the camera was started, which time_base does not tell. A recording of `evt3` that
begins in the middle of the stream has no times before the first TIME_LOW after a TIME_HIGH; earlier words are skipped,
as by event_camera_codecs. Lost messages (gaps in seq) are not reported.
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

from ..errors import CorruptionError, EventError, FormatError, Remedy
from ..events import SensorSize
from ..parallel import Progress
from .evt import EVT3_VERSION, EvtVersion, allocate_events
from .evt_kernels import (
    ADDR_Y,
    EVT3_HIGH_BITS,
    MAX_EVT_SIDE_PX,
    TIME_HIGH,
    TIME_LOW,
    VECT_8,
    VECT_12,
    VECT_BASE_X,
    Evt3State,
)
from .hints import NO_HINTS, Hints
from .interface import Format
from .libcaer import LIBCAER
from .source import CHUNK_EVENTS, Source, StoredColumns

ARRAY_TYPES = ("dvs_msgs/msg/EventArray", "prophesee_event_msgs/msg/EventArray")
PACKETS = ("event_camera_msgs/msg/EventPacket", "event_array_msgs/msg/EventArray")
BAG_SUFFIXES = (".bag", ".mcap", ".db3")
BAG_MAGIC = b"#ROSBAG V"
METADATA = "metadata.yaml"
MAX_UNTIMED_BYTES = 1 << 24  # of evt3 before the first time
MAX_PART_BYTES = 1 << 27  # of a message, or of a decompressed chunk of messages; 8 million events
SQLITE_MAGIC = b"SQLite format 3\0"
MCAP_MAGIC = b"\x89MCAP0\r\n"  # at the beginning and at the end: https://mcap.dev/spec
MCAP_HEADER = struct.Struct("<BQI")  # of the record after it: kind, bytes, and those of the profile's name
ROS2_PROFILE, MAX_PROFILE_BYTES = "ros2", 40
LATEST_NS = 2**63 - 2**33
IDL_HEADINGS = re.compile(r"^(=+$|IDL: |#).*$", re.MULTILINE)
"""What separates the definitions of several types in IDL, and #include; rosbags parses neither."""

ROS1_EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("s", "<u4"), ("ns", "<u4"), ("p", "u1")])
# In ROS 2, numbers are aligned to their size. So events are 16 bytes apart, each with its x in the last two bytes of
# the previous one; only the first is preceded by its own x, which moves its y too.
ROS2_EVENT = np.dtype(
    {
        "names": ["y", "first_y", "s", "ns", "p", "next_x"],
        "formats": ["<u2", "<u2", "<i4", "<u4", "u1", "<u2"],
        "offsets": [0, 2, 4, 8, 12, 14],
        "itemsize": 16,
    }
)
ROS2_LAST_EVENT_BYTES = 13
LIBCAER_EVENT = np.dtype([("address", "<u4"), ("t", "<i4")])
LIBCAER_TIME_BITS = 31


class _MessageError(Exception):
    """A message is not what its type requires."""


@dataclass
class _Message:
    """Reads a serialized message from the beginning to the end.

    Args:
        data: Its bytes.
        ros2: Whether numbers are aligned to their size, counted from the fifth byte, and texts end in a zero.
        position: The next byte.
    """

    data: bytes
    ros2: bool
    position: int = 0

    def __post_init__(self) -> None:
        if self.ros2:
            self.position = 4
            if self.data[:2] != b"\x00\x01":
                raise _MessageError(f"begins with the bytes {self.data[:4].hex()} (expected little-endian CDR, 0001)")

    def number(self, code: str) -> int:
        """Return the next number, of a type of `struct`."""
        size = struct.calcsize(code)
        if self.ros2:
            self.position += -(self.position - 4) % size
        if self.position + size > len(self.data):
            raise _MessageError(f"ends after {len(self.data)} bytes")
        (value,) = struct.unpack_from("<" + code, self.data, self.position)
        self.position += size
        return int(value)

    def text(self) -> str:
        """Return the next text."""
        return self.bytes_().rstrip(b"\0").decode("utf-8", "replace")

    def bytes_(self) -> bytes:
        """Return the next sequence of bytes."""
        size = self.number("I")
        if self.position + size > len(self.data):
            raise _MessageError(f"ends after {len(self.data)} bytes (expected {size} from byte {self.position})")
        self.position += size
        return self.data[self.position - size : self.position]

    def head(self) -> tuple[int, int]:
        """Return width and height, which follow the header of all event messages."""
        for code in "II" if self.ros2 else "III":
            self.number(code)
        self.text()
        height, width = self.number("I"), self.number("I")
        return width, height

    def end(self) -> None:
        """Check that the message ends here; ROS 2 fills it up to a multiple of four bytes."""
        left_over = len(self.data) - self.position
        if left_over > (3 if self.ros2 else 0):
            raise _MessageError(f"has {left_over} bytes after its end")


@dataclass(frozen=True)
class _Topic:
    """The events of a bag."""

    path: Path
    name: str
    type: str
    sensor: SensorSize | None


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(BAG_MAGIC) or path.suffix.lower() in BAG_SUFFIXES


def is_ros2_folder(path: Path) -> bool:
    """Return whether a path is the folder of a ROS 2 bag."""
    return path.is_dir() and (path / METADATA).is_file()


def _open(path: Path, hints: Hints = NO_HINTS) -> Source:
    with _reader(path) as reader, _raise_as(path, FormatError):
        topic = _choose_topic(path, reader, hints.topic)
        attributes = {"topic": topic.name, "message_type": topic.type}
    return Source(topic.sensor, partial(_chunks, topic), attributes)


@contextmanager
def _reader(path: Path) -> Iterator[Any]:
    """Yield the opened bag.

    Raises:
        FormatError: It cannot be opened, or rosbags is not installed.
    """
    try:
        from rosbags import rosbag1, rosbag2
    except ImportError as error:
        message = f"{path}: reading ROS bags needs rosbags, which is not installed; pip install 'dvspipe[ros]'"
        raise FormatError(message) from error
    _limit_decompression()
    with _raise_as(path, FormatError):
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
    """Check the profile at the beginning of an MCAP file, and that it has its end.

    Raises:
        FormatError: It holds messages of other systems than ROS 2, or is truncated.
    """
    if path.suffix.lower() != ".mcap":
        return
    with path.open("rb") as file:
        head = file.read(len(MCAP_MAGIC) + MCAP_HEADER.size + MAX_PROFILE_BYTES)
        file.seek(max(0, path.stat().st_size - len(MCAP_MAGIC)))
        tail = file.read()
    if not head.startswith(MCAP_MAGIC):
        raise FormatError(f"{path}: not an MCAP file (found {head[: len(MCAP_MAGIC)]!r}, expected {MCAP_MAGIC!r})")
    if len(head) >= len(MCAP_MAGIC) + MCAP_HEADER.size:
        _, _, profile_bytes = MCAP_HEADER.unpack_from(head, len(MCAP_MAGIC))
        profile = head[len(MCAP_MAGIC) + MCAP_HEADER.size :][:profile_bytes].decode("utf-8", "replace")
        if profile != ROS2_PROFILE:
            found = f"the profile {profile!r}" if profile else "no profile"
            raise FormatError(
                f"{path}: an MCAP file without messages of ROS 2 (found {found}, expected {ROS2_PROFILE})"
            )
    if tail != MCAP_MAGIC:
        raise FormatError(
            f"{path}: truncated, so that its index is missing; `mcap recover` makes a complete file of it"
        )


def _limit_decompression() -> None:
    """Replace the functions with which rosbags decompresses, because they have no limit."""
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
    """Return what a frame decompresses to."""
    content: bytes = decompressor.decompress(packed, max_length=MAX_PART_BYTES)
    if not decompressor.eof:
        why = "ends in it" if decompressor.needs_input else f"is larger than {MAX_PART_BYTES} bytes"
        raise ValueError(f"compressed data that {why}")
    return content


def _limit_rows(reader: Any) -> None:
    """Limit what SQLite returns: a column can be computed, and so be larger than the file."""
    import apsw

    storage = getattr(reader, "storage", None)
    for one in getattr(storage, "storages", [storage]):
        if (database := getattr(one, "dbconn", None)) is not None:
            database.limit(apsw.SQLITE_LIMIT_LENGTH, MAX_PART_BYTES)


@contextmanager
def _raise_as(path: Path, kind: type[FormatError]) -> Iterator[None]:
    """Raise the errors of rosbags and its dependencies for corrupted bags as an error of dvspipe's."""
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
    count = sum(each.msgcount for each in reader.connections)
    if count != reader.message_count:
        raise FormatError(f"{path}: corrupted: {count} messages on its topics (expected {reader.message_count})")
    found = {each.topic: each.msgtype for each in reader.connections if each.msgtype in ARRAY_TYPES + PACKETS}
    if not found:
        others = ", ".join(sorted({f"{each.topic} ({each.msgtype})" for each in reader.connections})[:20]) or "none"
        expected = ", ".join(ARRAY_TYPES + PACKETS)
        raise FormatError(f"{path}: no topic with events (found {others}, expected one of {expected})")
    filled = [topic for topic in found if any(c.msgcount for c in reader.connections if c.topic == topic)]
    names = [hinted] if hinted else filled or list(found)[:1]
    if len(names) > 1 or names[0] not in found:
        topics = ", ".join(sorted(found))
        remedy = Remedy("hints.topic", sorted(found)[0], "choose one")
        raise FormatError(f"{path}: events on the topics {topics}" + (f", not on {hinted}" if hinted else ""), remedy)
    (name,) = names
    for connection in _connections(reader, name):
        _check_definition(path, connection)
    _, _, data = next(iter(reader.messages(_connections(reader, name))), (None, None, None))
    sensor = _sensor(_Message(data, path.suffix.lower() != ".bag").head()) if data is not None else None
    return _Topic(path, name, found[name], sensor)


def _connections(reader: Any, topic: str) -> list[Any]:
    return [each for each in reader.connections if each.topic == topic and each.msgtype in ARRAY_TYPES + PACKETS]


def _check_definition(path: Path, connection: Any) -> None:
    """Check that a message type has the fields that are decoded here; old ROS 2 bags have no definition."""
    from rosbags.interfaces import MessageDefinitionFormat
    from rosbags.typesys import TypesysError, get_types_from_idl, get_types_from_msg

    name, text = connection.msgtype, connection.msgdef.data
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
            given = get_types_from_msg(text, name)
        else:
            given = get_types_from_idl(IDL_HEADINGS.sub("", text))
    except TypesysError as error:
        raise FormatError(f"{path}: {connection.topic}: its definition of {name} cannot be parsed") from error
    for known, (_, its_fields) in expected.items():
        if known not in given or _names(given[known][1]) != _names(its_fields):
            raise FormatError(f"{path}: {connection.topic}: its messages {known} have other fields than expected")


def _names(fields: Any) -> list[tuple[str, str]]:
    """Return names and types of fields, with the same types for ROS 1 and 2."""
    return [(name, str(node).replace("std_msgs/msg/Time", "builtin_interfaces/msg/Time")) for name, node in fields]


def _sensor(sides: tuple[int, int]) -> SensorSize | None:
    try:
        return SensorSize(*sides) if all(sides) else None
    except EventError as error:
        raise _MessageError(f"has an invalid sensor size ({error})") from error


def _chunks(topic: _Topic, progress: Progress | None = None) -> Iterator[StoredColumns]:
    """Yield the events of messages, combined to chunks."""
    waiting: list[StoredColumns] = []
    count = 0
    try:
        for columns in _messages(topic, progress):
            waiting.append(columns)
            count += len(columns.t)
            if count >= CHUNK_EVENTS // 4:
                yield _combine(waiting)
                waiting, count = [], 0
    except CorruptionError:
        if waiting:
            yield _combine(waiting)
        raise
    if waiting:
        yield _combine(waiting)


def _combine(parts: list[StoredColumns]) -> StoredColumns:
    return StoredColumns(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _messages(topic: _Topic, progress: Progress | None = None) -> Iterator[StoredColumns]:
    ros2, number = topic.path.suffix.lower() != ".bag", 0
    decode = _array if topic.type in ARRAY_TYPES else _Packets(topic.sensor)
    with _reader(topic.path) as reader, _raise_as(topic.path, CorruptionError):
        for _, _, data in reader.messages(_connections(reader, topic.name)):
            try:
                message = _Message(data, ros2)
                sensor = _sensor(message.head())
                if sensor != topic.sensor:
                    raise _MessageError(f"names a sensor of {sensor} (expected {topic.sensor})")
                yield from decode(message)
                number += 1
                if progress:
                    progress(number, reader.topics[topic.name].msgcount)
            except _MessageError as error:
                where = f"{topic.path}: {topic.name}: message {number}"
                raise CorruptionError(f"{where} {error}", lost="its events and everything after it") from error
        expected = reader.topics[topic.name].msgcount
        if number != expected:
            found = f"{topic.path}: {topic.name}: {number} messages (expected {expected})"
            raise CorruptionError(found, lost=f"{abs(expected - number)} messages")
    for file in topic.path.glob("*.db3") if topic.path.is_dir() else [topic.path]:
        _check_size(file)


def _check_size(path: Path) -> None:
    """Check that a file of SQLite has all bytes of its pages: SQLite reads missing bytes of the last as zeros."""
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(SQLITE_MAGIC):
        return
    page_bytes, pages = struct.unpack_from(">H", header, 16)[0], struct.unpack_from(">I", header, 28)[0]
    size, expected = path.stat().st_size, pages * (1 << 16 if page_bytes == 1 else page_bytes)
    if size < expected:
        raise CorruptionError(f"{path}: truncated: {size} bytes (expected {expected})", lost="events of its last page")


def _array(message: _Message) -> Iterator[StoredColumns]:
    """Yield the events of an array."""
    count = message.number("I")
    size = count * ROS1_EVENT.itemsize
    if message.ros2:
        size = (count - 1) * ROS2_EVENT.itemsize + ROS2_LAST_EVENT_BYTES if count else 0
    content = message.data[message.position : message.position + size]
    if len(content) < size:
        raise _MessageError(f"ends after {len(message.data)} bytes, too short for its {count} events")
    message.position += size
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
        raise _MessageError(f"has event {event} at {rows['ns'][event]} ns after a second (expected below 10^9)")
    t = rows["s"].astype(np.int64) * 1_000_000 + (rows["ns"].astype(np.int64) + 500) // 1000
    yield StoredColumns(t, x, y, rows["p"])


class _Packets:
    """Decodes packets; those of `evt3` continue from one to the next."""

    def __init__(self, sensor: SensorSize | None) -> None:
        sides = (sensor.width, sensor.height) if sensor else (MAX_EVT_SIDE_PX, MAX_EVT_SIDE_PX)
        self._width, self._height = (min(side, MAX_EVT_SIDE_PX) for side in sides)
        self._state: Evt3State | None = None  # None before the first time
        self._untimed = b""

    def __call__(self, message: _Message) -> Iterator[StoredColumns]:
        """Yield the events of the next packet."""
        message.number("Q")
        base_ns = message.number("Q")
        encoding, is_bigendian, content = message.text(), message.number("B"), message.bytes_()
        message.end()
        if is_bigendian:
            raise _MessageError("is big-endian (expected little-endian)")
        if encoding == "evt3":
            yield from self._evt3(content)
        elif encoding not in ("mono", "libcaer", LIBCAER.name):
            raise _MessageError(f"is of the encoding {encoding[:40]!r} (expected evt3, libcaer, libcaer_cmp or mono)")
        elif base_ns > LATEST_NS:
            raise _MessageError(f"has time_base {base_ns} (expected at most {LATEST_NS})")
        elif encoding == "mono":
            yield from _mono(content, base_ns)
        elif encoding == "libcaer":
            yield from _libcaer(content, base_ns)
        else:
            base_us = (base_ns + 500) // 1000
            for columns in self._decode(LIBCAER, _words(content, encoding), LIBCAER.start):
                yield columns._replace(t=columns.t + base_us)

    def _evt3(self, content: bytes) -> Iterator[StoredColumns]:
        words = _words(content, "evt3")
        if self._state is None:
            self._untimed += content
            words = self._find_first_time()
        if self._state is not None:
            self._state = yield from self._decode(EVT3_VERSION, words, self._state)

    def _decode(
        self, version: EvtVersion, words: NDArray[np.uint16], state: Any
    ) -> Generator[StoredColumns, None, Any]:
        """Yield the events of words, and return the state after them."""
        while len(words):
            out = allocate_events(min(CHUNK_EVENTS, version.events_per_word * len(words)))
            state, used, count, is_invalid = version.decode(words, state, self._width, self._height, out)
            if count:
                yield StoredColumns(out.t[:count], out.x[:count], out.y[:count], out.on[:count].view(np.bool_))
            if is_invalid:
                why = version.explain(int(words[used]), state, self._width, self._height, name=version.name)
                raise _MessageError(f"has {why}")
            words = words[used:]
        return state

    def _find_first_time(self) -> NDArray[np.uint16]:
        """Return the words from the first TIME_LOW after a TIME_HIGH on, and set the state from those before it."""
        words = np.frombuffer(self._untimed, "<u2")
        kinds = words[: MAX_UNTIMED_BYTES // 2] >> 12
        highs = np.flatnonzero(kinds == TIME_HIGH)
        lows = np.flatnonzero(kinds == TIME_LOW)
        lows = lows[lows > highs[0]] if len(highs) else lows[:0]
        if not len(lows):
            if len(self._untimed) > MAX_UNTIMED_BYTES:
                raise _MessageError(f"has no time in the first {len(self._untimed)} bytes of evt3")
            return words[:0]
        first, self._untimed = int(lows[0]), b""
        self._state = _state_after(words[:first])
        return words[first:]


def _words(content: bytes, encoding: str) -> NDArray[np.uint16]:
    """Return the words of a packet."""
    if len(content) % 2:
        raise _MessageError(f"has {len(content)} bytes of {encoding} (expected a multiple of 2)")
    return np.frombuffer(content, "<u2")


def _state_after(words: NDArray[np.uint16]) -> Evt3State:
    """Return what EVT 3.0 words have set, of which one is a TIME_HIGH and none an event that counts."""
    kinds = words >> 12

    def last(kind: int) -> int | None:
        found = np.flatnonzero(kinds == kind)
        return int(found[-1]) if len(found) else None

    high, row, base = last(TIME_HIGH), last(ADDR_Y), last(VECT_BASE_X)
    assert high is not None
    state = Evt3State(high=int(words[high]) & ((1 << EVT3_HIGH_BITS) - 1))
    if row is not None:
        state = state._replace(row=int(words[row]) & 0x7FF)
    if base is not None:
        after = kinds[base:]
        vectors = 12 * np.count_nonzero(after == VECT_12) + 8 * np.count_nonzero(after == VECT_8)
        word = int(words[base])
        state = state._replace(base=(word & 0x7FF) + int(vectors), base_on=word >> 11 & 1)
    return state


def _mono(content: bytes, base_ns: int) -> Iterator[StoredColumns]:
    if len(content) % 8:
        raise _MessageError(f"has {len(content)} bytes of mono (expected a multiple of 8)")
    for start in range(0, len(content), 8 * CHUNK_EVENTS):
        words = np.frombuffer(content[start : start + 8 * CHUNK_EVENTS], "<u8")
        t_ns = base_ns + (words & np.uint64(0xFFFFFFFF)).astype(np.int64)
        x, y = (words >> np.uint64(32)).astype(np.uint16), (words >> np.uint64(48)).astype(np.uint16)
        on = (words >> np.uint64(63)).astype(np.bool_)
        yield StoredColumns((t_ns + 500) // 1000, x, y & np.uint16(0x7FFF), on)


def _libcaer(content: bytes, base_ns: int) -> Iterator[StoredColumns]:
    """Yield the polarity events of libcaer: a word with valid, polarity, y and x, and one with 31 bits of the time."""
    if len(content) % LIBCAER_EVENT.itemsize:
        raise _MessageError(f"has {len(content)} bytes of libcaer (expected a multiple of {LIBCAER_EVENT.itemsize})")
    events = np.frombuffer(content, LIBCAER_EVENT)
    if len(events) and events["t"].min() < 0:
        raise _MessageError(f"has an event at {events['t'].min()} us (expected 0 or later)")
    overflows = np.cumsum(np.diff(events["t"], prepend=events["t"][:1]) < 0)  # inside this packet
    t = (base_ns + 500) // 1000 + events["t"].astype(np.int64) + (overflows << LIBCAER_TIME_BITS)
    address = events["address"]
    yield StoredColumns(t, address >> 17, address >> 2 & 0x7FFF, (address >> 1 & 1).astype(np.bool_))


ROSBAG = Format("rosbag", BAG_SUFFIXES, _recognises, _open)
