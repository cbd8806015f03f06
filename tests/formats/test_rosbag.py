from __future__ import annotations

import sqlite3
import struct
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SENSOR, random_events
from facts import mentions, raises

from dvspipe.base.errors import CorruptionError, DvspipeError, FileError, FormatError
from dvspipe.events import Events, SensorSize
from dvspipe.formats import Hints, info, open_recording, read, rosbag_writer, write
from dvspipe.formats.prophesee_header import read_header
from dvspipe.formats.rosbag import ROSBAG, is_ros2_folder
from dvspipe.formats.source import StoredColumns
from dvspipe.recordings.conversion import convert_recording, plan_conversions
from dvspipe.recordings.sources import is_video

pytest.importorskip("rosbags", reason="the extra ros is not installed")
from rosbags import rosbag1, rosbag2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

EVENTS = random_events(3, 1000).shift_time(1_700_000_000_000_000)
HEAD = "std_msgs/Header header\nuint32 height\nuint32 width\n"
EVENT = "uint16 x\nuint16 y\nbuiltin_interfaces/Time ts\nbool polarity"
PACKET = HEAD + "uint64 seq\nuint64 time_base\nstring encoding\nbool is_bigendian\nuint8[] events"
KINDS = ("ros1", "sqlite", "mcap")


class Bag:
    """Writer of a small bag."""

    def __init__(self, folder: Path, kind: str, *, event: str = EVENT) -> None:
        self.ros1 = kind == "ros1"
        self.store = get_typestore(Stores.ROS1_NOETIC if self.ros1 else Stores.ROS2_HUMBLE)
        for package in ("dvs_msgs", "prophesee_event_msgs"):
            array = f"{package}/msg/EventArray"
            self.store.register(get_types_from_msg(event, f"{package}/msg/Event"))
            self.store.register(get_types_from_msg(f"{HEAD}{package}/Event[] events", array))
        self.store.register(get_types_from_msg(PACKET, "event_camera_msgs/msg/EventPacket"))
        self.path = folder / ("a.bag" if self.ros1 else "bag")
        if self.ros1:
            self.writer: Any = rosbag1.Writer(self.path)
        else:
            plugin = getattr(rosbag2.StoragePlugin, "SQLITE3" if kind == "sqlite" else "MCAP")
            self.writer = rosbag2.Writer(self.path, version=9, storage_plugin=plugin)
        self.types = self.store.types
        self.connections: dict[str, Any] = {}
        self.written = 0

    def __enter__(self) -> Bag:
        self.writer.open()
        return self

    def __exit__(self, *error: object) -> None:
        self.writer.close()

    def header(self) -> Any:
        stamp = self.types["builtin_interfaces/msg/Time"](sec=1, nanosec=2)
        more = {"seq": 7} if self.ros1 else {}
        return self.types["std_msgs/msg/Header"](stamp=stamp, frame_id="cam" + "x" * self.written, **more)

    def add(self, topic: str, message: Any) -> None:
        name = message.__msgtype__
        if topic not in self.connections:
            self.connections[topic] = self.writer.add_connection(topic, name, typestore=self.store)
        serialize = self.store.serialize_ros1 if self.ros1 else self.store.serialize_cdr
        self.writer.write(self.connections[topic], 10**18 + self.written, serialize(message, name))
        self.written += 1

    def add_array(self, events: Events, topic: str = "/dvs/events", package: str = "dvs_msgs", **changed: Any) -> None:
        event, time = self.types[f"{package}/msg/Event"], self.types["builtin_interfaces/msg/Time"]
        rows = [
            event(x=x, y=y, ts=time(sec=t // 10**6, nanosec=t % 10**6 * 1000), polarity=p)
            for t, x, y, p in zip(*(getattr(events, name).tolist() for name in "txyp"), strict=True)
        ]
        fields = {"header": self.header(), "height": 7, "width": 12, "events": rows} | changed
        self.add(topic, self.types[f"{package}/msg/EventArray"](**fields))

    def add_packet(self, content: bytes, encoding: str, time_base: int = 0, **changed: Any) -> None:
        fields = {
            "header": self.header(),
            "height": 7,
            "width": 12,
            "seq": self.written,
            "time_base": time_base,
            "encoding": encoding,
            "is_bigendian": False,
            "events": np.frombuffer(content, np.uint8),
        } | changed
        self.add("/event_camera/events", self.types["event_camera_msgs/msg/EventPacket"](**fields))


def slices(events: Events, *edges: int) -> list[Events]:
    edges = (0, *edges, len(events))
    return [
        Events(events.t[a:b], events.x[a:b], events.y[a:b], events.p[a:b], events.sensor) for a, b in pairwise(edges)
    ]


def joined(chunks: Any) -> list[np.ndarray]:
    """Return the four columns of all chunks, and the corruption after them, if any."""
    parts: list[StoredColumns] = list(chunks)
    return [np.concatenate([part[k] for part in parts]) for k in range(4)] if parts else [np.zeros(0)] * 4


def assert_holds(path: Path, events: Events) -> None:
    source = ROSBAG.open(path)
    assert source.sensor == events.sensor
    for ours, name in zip(joined(source.chunks()), "txyp", strict=True):
        assert np.array_equal(ours, getattr(events, name)), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("package", ["dvs_msgs", "prophesee_event_msgs"])
def test_arrays_are_read_from_every_kind_of_bag(tmp_path: Path, kind: str, package: str) -> None:
    with Bag(tmp_path, kind) as bag:
        for part in slices(EVENTS, 1, 3, 3, 700, 999):
            bag.add_array(part, package=package)
    assert_holds(bag.path, EVENTS)
    assert is_ros2_folder(bag.path) == (kind != "ros1")
    for file in bag.path.glob("*.[md][cb]*") if kind != "ros1" else []:
        assert_holds(file, EVENTS)
        assert ROSBAG.recognises(file, file.read_bytes()[:100])


@pytest.mark.parametrize("compression", ["BZ2", "LZ4"])
def test_compressed_ros1_bag_is_read(tmp_path: Path, compression: str) -> None:
    bag = Bag(tmp_path, "ros1")
    bag.writer.set_compression(bag.writer.CompressionFormat[compression])
    with bag:
        for part in slices(EVENTS, 500):
            bag.add_array(part)
    assert_holds(bag.path, EVENTS)


def mono(events: Events, base_us: int) -> bytes:
    words = ((events.t - base_us) * 1000).astype(np.uint64) | events.x.astype(np.uint64) << np.uint64(32)
    return (words | events.y.astype(np.uint64) << np.uint64(48) | events.p.astype(np.uint64) << np.uint64(63)).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_mono_packets_are_read(tmp_path: Path, kind: str) -> None:
    with Bag(tmp_path, kind) as bag:
        for part in slices(EVENTS, 0, 1, 600):
            base_us = int(part.t[0]) - 5 if len(part) else 0
            bag.add_packet(mono(part, base_us), "mono", base_us * 1000)
    assert_holds(bag.path, EVENTS)


def test_written_bag_has_packets_that_rosbags_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rosbag_writer, "PACKET_EVENTS", 70)
    path = tmp_path / "clip.mcap"
    write(path, EVENTS)
    assert read(path) == EVENTS
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg(PACKET, "event_camera_msgs/msg/EventPacket"))
    content = b""
    with rosbag2.Reader(path) as reader:
        (connection,) = reader.connections
        for number, (_, time_ns, data) in enumerate(reader.messages()):
            message = store.deserialize_cdr(data, connection.msgtype)
            assert (message.seq, message.encoding, message.width, message.height) == (number, "mono", 12, 7)
            assert time_ns == message.time_base == message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            span_us = rosbag_writer.PACKET_US
            own = slices(EVENTS, len(content) // 8, len(content) // 8 + len(message.events) // 8)[1]
            assert 0 < len(own) <= 70
            assert own.t[0] // span_us == own.t[-1] // span_us
            assert message.events.tobytes() == mono(own, message.time_base // 1000)
            content += message.events.tobytes()
    assert len(content) == 8 * len(EVENTS)


@pytest.mark.parametrize("name", ["faery_evt3.raw", "faery_dvs.es", "tonic_sample.aedat4"])
def test_real_recording_is_written_as_a_bag_and_read_back(test_data: Path, tmp_path: Path, name: str) -> None:
    source = test_data / "recordings" / name
    convert_recording(source, tmp_path / "clip.mcap")
    assert read(tmp_path / "clip.mcap") == read(source)


def test_bag_without_events_keeps_its_sensor(tmp_path: Path) -> None:
    write(tmp_path / "clip.mcap", Events.empty(SENSOR))
    assert read(tmp_path / "clip.mcap") == Events.empty(SENSOR)


def test_missing_rosbags_suggests_installing_it_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rosbags.rosbag2", None)
    with raises(FileError, "clip.mcap", "dvspipe[ros]"):
        write(tmp_path / "clip.mcap", EVENTS)
    assert list(tmp_path.iterdir()) == []


def evt3(events: Events) -> bytes:
    words = []
    for t, x, y, p in zip(*(getattr(events, name).tolist() for name in "txyp"), strict=True):
        words += [0x8000 | t >> 12 & 0xFFF, 0x6000 | t & 0xFFF, y, 0x2000 | p << 11 | x]
    return struct.pack(f"<{len(words)}H", *words)


@pytest.mark.parametrize("kind", KINDS)
def test_evt3_state_continues_across_packets(tmp_path: Path, kind: str) -> None:
    events = random_events(3, 1000, span_us=40_000_000)  # two overflows
    content = evt3(events)
    with Bag(tmp_path, kind) as bag:
        for first in range(0, len(content), 1002):
            bag.add_packet(content[first : first + 1002], "evt3")
    assert_holds(bag.path, events)


def test_evt3_that_begins_in_mid_stream_is_read_from_its_first_time(tmp_path: Path) -> None:
    events = random_events(3, 10)
    lead = struct.pack("<7H", 0x6123, 0x2001, 0x2002, 3, 0x3004, 0x8000, 0xE000)
    after = struct.pack("<3H", 0x6005, 0x4003, 0x2801) + evt3(events)
    with Bag(tmp_path, "ros1") as bag:
        for content in (lead[:4], b"", lead[4:], after):
            bag.add_packet(content, "evt3")
    t, x, y, p = joined(ROSBAG.open(bag.path).chunks())
    assert list(zip(t[:3].tolist(), x[:3].tolist(), y[:3].tolist(), p[:3].tolist(), strict=True)) == [
        (5, 4, 3, False),
        (5, 5, 3, False),
        (5, 1, 3, True),
    ]
    assert t[3:].tolist() == events.t.tolist()


def test_real_evt3_equals_the_raw_file(test_data: Path, tmp_path: Path) -> None:
    raw = test_data / "recordings" / "faery_evt3.raw"
    content = raw.read_bytes()[read_header(raw).size :][: 1 << 20]
    with Bag(tmp_path, "mcap") as bag:
        for first in range(0, len(content), 65536):
            bag.add_packet(content[first : first + 65536], "evt3", width=1280, height=720)
    columns = joined(ROSBAG.open(bag.path).chunks())
    events = read(raw, hints=Hints(sensor="1280x720"))
    assert len(columns[0]) > 100_000
    for ours, name in zip(columns, "txyp", strict=True):
        assert np.array_equal(ours, getattr(events, name)[: len(ours)])


IDL = """{line}
IDL: event_camera_msgs/msg/EventPacket
// a comment
#include "std_msgs/msg/Header.idl"
module event_camera_msgs {{ module msg {{ struct EventPacket {{
  std_msgs::msg::Header header; uint32 height; uint32 {width}; uint64 seq; uint64 time_base;
  @verbatim (language="comment", text= "the encoding" "\\n" "of events")
  string encoding; boolean is_bigendian; sequence<uint8> events;
}}; }}; }};

{line}
IDL: std_msgs/msg/Header
#include "builtin_interfaces/msg/Time.idl"
module std_msgs {{ module msg {{ struct Header {{ builtin_interfaces::msg::Time stamp; string frame_id; }}; }}; }};
"""


@pytest.mark.parametrize(("width", "message"), [("width", None), ("columns", "fields"), ("{", "definition")])
def test_idl_definition_is_checked(tmp_path: Path, width: str, message: object) -> None:
    with Bag(tmp_path, "sqlite") as bag:
        bag.add_packet(mono(EVENTS, int(EVENTS.t[0])), "mono", int(EVENTS.t[0]) * 1000)
    text = IDL.format(line="=" * 80, width=width)
    with sqlite3.connect(bag.path / "bag.db3") as database:
        set_text = "UPDATE message_definitions SET encoding = 'ros2idl', encoded_message_definition = ?"
        database.execute(f"{set_text} WHERE topic_type LIKE 'event_camera%'", (text,))
    database.close()
    if message is None:
        assert_holds(bag.path, EVENTS)
        return
    with raises(FormatError, message) as caught:
        ROSBAG.open(bag.path)
    assert len(str(caught.value)) < 300


def libcaer(events: Events, base_us: int) -> bytes:
    words = []
    for t, x, y, p in zip(*(getattr(events, name).tolist() for name in "txyp"), strict=True):
        words += [t - base_us >> 12, 0x1000 | t - base_us & 0xFFF, 0x2000 | x, 0x3000 | p << 11 | y]
    return struct.pack(f"<{len(words)}H", *words)


@pytest.mark.parametrize("kind", KINDS)
def test_libcaer_packets_are_read(tmp_path: Path, kind: str) -> None:
    with Bag(tmp_path, kind) as bag:
        for part in slices(EVENTS, 0, 1, 600):
            base_us = int(part.t[0]) if len(part) else 0
            bag.add_packet(libcaer(part, base_us), "libcaer_cmp", base_us * 1000)
    assert_holds(bag.path, EVENTS)


def test_uncompressed_libcaer_packets_are_read_across_overflow(tmp_path: Path) -> None:
    base_us, first_us = int(EVENTS.t[0]), 2**31 - 500
    since = EVENTS.t - base_us + first_us
    words = np.zeros(len(EVENTS), [("address", "<u4"), ("t", "<i4")])
    words["address"] = EVENTS.x.astype(int) << 17 | EVENTS.y.astype(int) << 2 | EVENTS.p.astype(int) << 1 | 1
    words["t"] = since & (2**31 - 1)
    assert since[-1] >= 2**31
    with Bag(tmp_path, "mcap") as bag:
        bag.add_packet(words.tobytes(), "libcaer", (base_us - first_us) * 1000)
        bag.add_packet(b"", "libcaer", base_us * 1000)
    assert_holds(bag.path, EVENTS)


def test_libcaer_vector_has_one_event_per_bit_and_advances_base(tmp_path: Path) -> None:
    content = struct.pack("<6H", 0x2004, 0x4800, 0x5041, 0x2003, 0x4001, 0x5022)
    with Bag(tmp_path, "ros1") as bag:
        bag.add_packet(content + struct.pack("<3H", 0x0001, 0x1002, 0x3806), "libcaer_cmp", 7_000_499)
    t, x, y, p = (column.tolist() for column in joined(ROSBAG.open(bag.path).chunks()))
    assert (t, x, y) == ([7000] * 4 + [7000 + 4098], [4, 4, 3, 3, 3], [0, 6, 2, 6, 6])
    assert p == [True, True, False, False, True]


def test_real_libcaer_bag_has_as_many_events_as_its_words(test_data: Path) -> None:
    path = test_data / "recordings" / "event_camera_test_events_2.mcap"
    events = read(path)
    found = 0
    with rosbag2.Reader(path) as reader:
        for connection, _, data in reader.messages():
            content = get_typestore(Stores.ROS2_HUMBLE)
            content.register(get_types_from_msg(PACKET, connection.msgtype))
            words = content.deserialize_cdr(data, connection.msgtype).events.view("<u2")
            found += int(np.count_nonzero(words >> 12 == 3))
            found += sum(int(word & 0xFF).bit_count() for word in words[words >> 12 == 5])
    assert len(events) == found == 571_266
    assert events.sensor == SensorSize(width=346, height=260)
    assert (int(events.t[0]), events.duration_us) == (1_744_227_144_732_712, 999_996)


def test_single_event_topic_is_chosen_and_several_are_rejected(tmp_path: Path) -> None:
    with Bag(tmp_path, "ros1") as bag:
        bag.add("/text", bag.types["std_msgs/msg/String"](data="hello"))
        bag.add_array(EVENTS, "/left")
    assert ROSBAG.open(bag.path).attributes == {"topic": "/left", "message_type": "dvs_msgs/msg/EventArray"}
    (tmp_path / "two").mkdir()
    with Bag(tmp_path / "two", "ros1") as bag:
        bag.add_array(EVENTS, "/left")
        bag.add_array(EVENTS, "/right")
    with raises(FormatError, "/left", "/right"):
        ROSBAG.open(bag.path)
    (tmp_path / "none").mkdir()
    with Bag(tmp_path / "none", "ros1") as bag:
        bag.add("/text", bag.types["std_msgs/msg/String"](data="hello"))
    with raises(FormatError, "/text", "(std_msgs/msg/String)"):
        ROSBAG.open(bag.path)


@pytest.mark.parametrize("kind", KINDS)
def test_messages_with_other_fields_are_rejected(tmp_path: Path, kind: str) -> None:
    with Bag(tmp_path, kind, event="uint16 y\nuint16 x\nbuiltin_interfaces/Time ts\nbool polarity") as bag:
        bag.add_array(EVENTS)
    with raises(FormatError, "/dvs/events", "dvs_msgs/msg/Event"):
        ROSBAG.open(bag.path)


def test_old_ros2_bag_without_definitions_is_read(tmp_path: Path) -> None:
    with Bag(tmp_path, "sqlite") as bag:
        bag.add_array(EVENTS)
    with sqlite3.connect(bag.path / "bag.db3") as database:
        database.execute("DELETE FROM message_definitions")
    database.close()
    assert_holds(bag.path, EVENTS)


def read_until_corruption(path: Path) -> tuple[int, str]:
    """Return the number of events before the corruption, and its message."""
    parts: list[StoredColumns] = []
    with pytest.raises(CorruptionError) as caught:
        parts.extend(ROSBAG.open(path).chunks())
    return sum(len(part.t) for part in parts), str(caught.value)


@pytest.mark.parametrize(
    ("content", "encoding", "changed", "message"),
    [
        (b"abc", "evt3", {}, ("3 bytes", "evt3")),
        (bytes(12), "mono", {}, ("12 bytes", "mono")),
        (bytes(8), "mono", {"time_base": 2**63}, ("time_base", 2**63)),
        (bytes(8), "mono", {"is_bigendian": True}, "big-endian"),
        (bytes(8), "trigger", {}, "'trigger'"),
        (bytes(12), "libcaer", {}, ("12 bytes", "libcaer")),
        (struct.pack("<Ii", 1, -5), "libcaer", {}, "-5 us"),
        (struct.pack("<2H", 0x200C, 0x3001), "libcaer_cmp", {}, ("x = 12", "width 12")),
        (struct.pack("<2H", 0x2003, 0x3007), "libcaer_cmp", {}, ("y = 7", "height 7")),
        (struct.pack("<3H", 0x2003, 0x4006, 0x5002), "libcaer_cmp", {}, ("y = 6", "0x2", "height 7")),
        (struct.pack("<1H", 0x3001), "libcaer_cmp", {}, "ADDR_X"),
        (struct.pack("<2H", 0x2003, 0x5001), "libcaer_cmp", {}, "VECT_BASE_Y"),
        (struct.pack("<1H", 0x6000), "libcaer_cmp", {}, "0x6"),
        (bytes(8), "mono", {"width": 13}, ("13x7", "12x7")),
        (struct.pack("<4H", 0x8000, 0x6000, 9, 0), "evt3", {}, ("y = 9", "height 7")),
    ],
)
def test_invalid_packet_is_corruption_after_previous_packets(
    tmp_path: Path, content: bytes, encoding: str, changed: dict[str, Any], message: object
) -> None:
    with Bag(tmp_path, "ros1") as bag:
        bag.add_packet(mono(EVENTS, int(EVENTS.t[0])), "mono", int(EVENTS.t[0]) * 1000)
        bag.add_packet(content, encoding, **changed)
    count, says = read_until_corruption(bag.path)
    assert count == len(EVENTS)
    assert mentions(says, "message 1", message), says


@pytest.mark.parametrize("kind", KINDS)
def test_message_truncated_anywhere_is_corruption(tmp_path: Path, kind: str) -> None:
    with Bag(tmp_path, kind) as bag:
        bag.add_array(EVENTS)
        write, kept = bag.writer.write, []
        bag.writer.write = lambda *written: kept.append(bytes(written[2]))
        bag.add_array(slices(EVENTS, 3)[0])
        (complete,) = kept
        write(bag.connections["/dvs/events"], 10**18 + 9, complete[:-4])
    count, says = read_until_corruption(bag.path)
    assert count == len(EVENTS)
    assert mentions(says, "message 1")


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits_and_truncation_give_events_or_one_error(tmp_path: Path, kind: str) -> None:
    with Bag(tmp_path, kind) as bag:
        for part in slices(EVENTS, 500):
            bag.add_array(part)
    file = bag.path if kind == "ros1" else next(iter(bag.path.glob("bag*")))
    content = file.read_bytes()
    rng = np.random.default_rng(2)
    corrupted = tmp_path / f"b{file.suffix}"
    unnamed: list[str] = []
    for place in rng.integers(0, len(content), 60).tolist():
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        for content_now in (bytes(changed), content[:place]):
            corrupted.write_bytes(content_now)
            try:
                joined(ROSBAG.open(corrupted).chunks())
            except DvspipeError as error:
                unnamed += [str(error)] if str(corrupted) not in str(error) else []
    assert not unnamed


def mcap(profile: str, rest: bytes = b"", end: bytes = b"\x89MCAP0\r\n") -> bytes:
    """Return the first bytes of an MCAP file, and its end."""
    name = profile.encode()
    content = struct.pack("<I", len(name)) + name + struct.pack("<I", 0)
    return b"\x89MCAP0\r\n" + struct.pack("<BQ", 1, len(content)) + content + rest + end


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello, world", ("MCAP", "hello")),
        (mcap(""), "ROS 2"),
        (mcap("ros1"), ("ROS 2", "ros1")),
        (mcap("x" * 1000), "x" * 40),
        (mcap("ros2", bytes(100), b""), "mcap recover"),
        (mcap("ros2", bytes(100)), "corrupted"),
        (mcap("ros2")[:8], "corrupted"),
    ],
)
def test_other_or_truncated_mcap_raises_one_line(tmp_path: Path, content: bytes, message: object) -> None:
    path = tmp_path / "a.mcap"
    path.write_bytes(content)
    with raises(FormatError, message) as caught:
        open_recording(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_database_truncated_in_its_last_page_raises(tmp_path: Path) -> None:
    with Bag(tmp_path, "sqlite") as bag:
        for part in slices(EVENTS, 100, 500):
            bag.add_array(part)
    file = bag.path / "bag.db3"
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    for path in (file, bag.path):
        parts: list[StoredColumns] = []
        with raises(CorruptionError, "bag.db3", len(content) - 1):
            parts.extend(ROSBAG.open(path).chunks())
        assert sum(len(part.t) for part in parts) == len(EVENTS)


def compressed_bag(folder: Path, kind: str) -> Path:
    """Write a bag with a message of 5000 bytes that is compressed, or computed by the database."""
    bag = Bag(folder, {"messages": "sqlite", "computed": "sqlite"}.get(kind, kind))
    if kind == "ros1":
        bag.writer.set_compression(bag.writer.CompressionFormat["BZ2"])
    elif kind != "computed":
        mode = rosbag2.CompressionMode.STORAGE if kind == "mcap" else rosbag2.CompressionMode.MESSAGE
        bag.writer.set_compression(mode, rosbag2.CompressionFormat.ZSTD)
    with bag:
        bag.add_packet(bytes(5000), "mono")
    if kind == "computed":
        with sqlite3.connect(bag.path / "bag.db3") as database:
            database.execute("ALTER TABLE messages DROP COLUMN data")
            database.execute("ALTER TABLE messages ADD COLUMN data AS (zeroblob(5000))")
        database.close()
    return bag.path


@pytest.mark.parametrize("kind", ["ros1", "mcap", "messages", "computed"])
def test_content_above_the_decompression_limit_is_rejected(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = compressed_bag(tmp_path, kind)
    if kind != "computed":
        joined(ROSBAG.open(path).chunks())
    monkeypatch.setattr("dvspipe.formats.rosbag.MAX_PART_BYTES", 4000)
    with raises(FormatError, path.name):
        joined(ROSBAG.open(path).chunks())


def test_missing_rosbags_suggests_installing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Bag(tmp_path, "ros1") as bag:
        bag.add_array(EVENTS)
    monkeypatch.setitem(sys.modules, "rosbags", None)
    with raises(FormatError, "rosbags", "dvspipe[ros]"):
        ROSBAG.open(bag.path)


@pytest.mark.parametrize("kind", KINDS)
def test_bag_is_converted_alone_and_in_a_folder(tmp_path: Path, kind: str) -> None:
    with Bag(tmp_path, kind) as bag:
        bag.add_array(EVENTS)
    assert not is_video(bag.path)
    for sources, out in (([bag.path], tmp_path / "a.h5"), ([tmp_path], tmp_path / "out")):
        (task,) = plan_conversions(sources, out)
        assert task.source == bag.path
        convert_recording(task.source, task.target)
        assert read(task.target) == EVENTS


def test_topic_hint_selects_a_topic(tmp_path: Path) -> None:
    with Bag(tmp_path, "ros1") as bag:
        bag.add_array(EVENTS, "/left")
        bag.add_array(EVENTS.slice_time(0, int(EVENTS.t[9])), "/right")
    assert len(read(bag.path, hints=Hints(topic="/right"))) == 9
    with raises(FormatError, "/left", "/right"):
        read(bag.path, hints=Hints(topic="/middle"))


def test_bag_is_read_as_recording(tmp_path: Path) -> None:
    with Bag(tmp_path, "ros1") as bag:
        for part in slices(EVENTS, 500):
            bag.add_array(part)
    assert read(bag.path) == EVENTS
    start = int(EVENTS.t[300])
    assert read(bag.path, start, start + 100) == EVENTS.slice_time(start, start + 100)
    assert info(bag.path).sensor_source == "file"
    (tmp_path / "x").mkdir()
    with Bag(tmp_path / "x", "ros1") as bag:
        for part in reversed(slices(EVENTS, 500)):
            bag.add_array(part)
    with raises(CorruptionError, "event 500", "t = 1700000000000114"):
        read(bag.path, hints=Hints(sensor=str(SENSOR)))
