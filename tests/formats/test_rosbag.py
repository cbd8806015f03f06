"""ROS bags: made by rosbags, and a real one."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SENSOR, as_tuples, divide, random_events
from encoders import encode_evt3
from facts import raises

from dvspipe.base.errors import DvspipeError, FormatError
from dvspipe.events import Events, SensorSize
from dvspipe.formats import Hints, is_recording_folder, read
from dvspipe.recordings.info import info

pytest.importorskip("rosbags", reason="the extra ros is not installed")
from rosbags import rosbag1, rosbag2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

EVENTS = random_events(3, 1000).shift_time(1_700_000_000_000_000)
HEAD = "std_msgs/Header header\nuint32 height\nuint32 width\n"
EVENT = "uint16 x\nuint16 y\nbuiltin_interfaces/Time ts\nbool polarity"
PACKET = HEAD + "uint64 seq\nuint64 time_base\nstring encoding\nbool is_bigendian\nuint8[] events"
KINDS = ("ros1", "sqlite", "mcap")
TOPIC = "/camera/events"


class Bag:
    """Writer of a small bag."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.ros1 = kind == "ros1"
        self.store = get_typestore(Stores.ROS1_NOETIC if self.ros1 else Stores.ROS2_HUMBLE)
        for package in ("dvs_msgs", "prophesee_event_msgs"):
            array = f"{package}/msg/EventArray"
            self.store.register(get_types_from_msg(EVENT, f"{package}/msg/Event"))
            self.store.register(get_types_from_msg(f"{HEAD}{package}/Event[] events", array))
        self.store.register(get_types_from_msg(PACKET, "event_camera_msgs/msg/EventPacket"))
        self.path = folder / ("a.bag" if self.ros1 else "bag")
        plugin = rosbag2.StoragePlugin.SQLITE3 if kind == "sqlite" else rosbag2.StoragePlugin.MCAP
        self.writer: Any = (
            rosbag1.Writer(self.path) if self.ros1 else rosbag2.Writer(self.path, version=9, storage_plugin=plugin)
        )
        self.types = self.store.types
        self.connections: dict[str, Any] = {}
        self.written = 0

    def __enter__(self) -> Bag:
        self.writer.open()
        return self

    def __exit__(self, *error: object) -> None:
        self.writer.close()

    def add(self, name: str, topic: str = TOPIC, **fields: Any) -> None:
        stamp = self.types["builtin_interfaces/msg/Time"](sec=1, nanosec=2)
        more = {"seq": 7} if self.ros1 else {}
        header = self.types["std_msgs/msg/Header"](stamp=stamp, frame_id="cam" + "x" * self.written, **more)
        message = self.types[name](**{"header": header, "height": 7, "width": 12} | fields)
        if topic not in self.connections:
            self.connections[topic] = self.writer.add_connection(topic, name, typestore=self.store)
        serialize = self.store.serialize_ros1 if self.ros1 else self.store.serialize_cdr
        self.writer.write(self.connections[topic], 10**18 + self.written, serialize(message, name))
        self.written += 1

    def add_array(self, events: Events, topic: str = TOPIC, package: str = "dvs_msgs") -> None:
        event, time = self.types[f"{package}/msg/Event"], self.types["builtin_interfaces/msg/Time"]
        rows = [
            event(x=x, y=y, ts=time(sec=t // 10**6, nanosec=t % 10**6 * 1000), polarity=p)
            for t, x, y, p in as_tuples(events)
        ]
        self.add(f"{package}/msg/EventArray", topic, events=rows)

    def add_packet(self, words: list[int], encoding: str, time_base: int = 0) -> None:
        content = np.frombuffer(struct.pack(f"<{len(words)}H", *words), np.uint8)
        fields: dict[str, Any] = {"seq": self.written, "time_base": time_base, "encoding": encoding}
        self.add("event_camera_msgs/msg/EventPacket", **fields, is_bigendian=False, events=content)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("package", ["dvs_msgs", "prophesee_event_msgs"])
def test_arrays_are_read_from_every_kind_of_bag(tmp_path: Path, kind: str, package: str) -> None:
    with Bag(tmp_path, kind) as bag:
        for part in divide(EVENTS, [1, 3, 3, 700, 999]):
            bag.add_array(part, package=package)
    assert read(bag.path) == EVENTS
    assert is_recording_folder(bag.path) == (kind != "ros1")
    for file in bag.path.glob("*.[md][cb]*"):
        assert read(file) == EVENTS


def evt3(events: Events) -> list[int]:
    body = encode_evt3(events).partition(b"% end\n")[2]
    return np.frombuffer(body, "<u2").tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_evt3_state_continues_across_packets(tmp_path: Path, kind: str) -> None:
    events = random_events(3, 1000, span_us=40_000_000)  # two overflows
    words = evt3(events)
    with Bag(tmp_path, kind) as bag:
        for first in range(0, len(words), 501):
            bag.add_packet(words[first : first + 501], "evt3")
    assert read(bag.path) == events


def test_evt3_that_begins_in_mid_stream_is_read_from_its_first_time(tmp_path: Path) -> None:
    events = random_events(3, 10).shift_time(10)
    with Bag(tmp_path, "ros1") as bag:
        bag.add_packet([0x6123, 0x2001, 0x2002], "evt3")
        bag.add_packet([3, 0x3004, 0x8000, 0xE000, 0x2001, 0x6005, 0x4003, 0x0004, 0x2801, *evt3(events)], "evt3")
    assert as_tuples(read(bag.path)) == [(5, 1, 4, True), *as_tuples(events)]


def libcaer(events: Events, base_us: int) -> list[int]:
    return [
        word
        for t, x, y, p in as_tuples(events.shift_time(-base_us))
        for word in (t >> 12, 0x1000 | t & 0xFFF, 0x2000 | x, 0x3000 | p << 11 | y)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_libcaer_packets_are_read(tmp_path: Path, kind: str) -> None:
    with Bag(tmp_path, kind) as bag:
        for part in divide(EVENTS, [1, 600]):
            bag.add_packet(libcaer(part, int(part.t[0])), "libcaer_cmp", int(part.t[0]) * 1000)
    assert read(bag.path) == EVENTS


def test_libcaer_vector_has_one_event_per_bit_and_times_keep_their_low_bits(tmp_path: Path) -> None:
    words = [0x2004, 0x4800, 0x5041, 0x2003, 0x4001, 0x5022, 0x1002, 0x0001, 0x3806]
    with Bag(tmp_path, "ros1") as bag:
        bag.add_packet(words, "libcaer_cmp", 7_000_499)
    expected = [(7000, 4, 0, True), (7000, 4, 6, True), (7000, 3, 2, False), (7000, 3, 6, False)]
    assert as_tuples(read(bag.path)) == [*expected, (7000 + 4098, 3, 6, True)]


def test_real_bag_has_its_known_events(test_data: Path) -> None:
    events = read(test_data / "recordings" / "event_camera_test_events_2.mcap")
    assert (len(events), events.sensor) == (571_266, SensorSize(width=346, height=260))
    assert (int(events.t[0]), events.duration_us) == (1_744_227_144_732_712, 999_996)


def test_topic_is_the_only_one_with_events_or_given(tmp_path: Path) -> None:
    with Bag(tmp_path, "mcap") as bag:
        bag.add_array(EVENTS, "/left")
        bag.add_array(EVENTS[:10], "/right")
    with raises(FormatError, "bag", "/left", "/right", "topic=TOPIC"):
        read(bag.path)
    assert read(bag.path, hints=Hints(topic="/right")) == EVENTS[:10]
    assert info(bag.path, hints=Hints(topic="/left")).attributes["topic"] == "/left"
    with raises(FormatError, "/left"):
        read(bag.path, hints=Hints(topic="/middle"))


@pytest.mark.parametrize(
    ("words", "encoding", "found"),
    [
        ([0x8000, 0x6000, 0, 0x200C], "evt3", "0x200C"),
        ([0x2000, 0x3007], "libcaer_cmp", "0x2007"),
        ([0x9000], "libcaer_cmp", "0xB000"),
        ([0], "mono", "'mono'"),
    ],
)
def test_wrong_packet_is_an_error(tmp_path: Path, words: list[int], encoding: str, found: str) -> None:
    with Bag(tmp_path, "ros1") as bag:
        bag.add_packet(words, encoding)
    with raises(FormatError, "a.bag", TOPIC, "message 0", found):
        read(bag.path)


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_bag_is_an_error(tmp_path: Path, kind: str) -> None:
    with Bag(tmp_path, kind) as bag:
        for part in divide(EVENTS, [500]):
            bag.add_array(part)
    (file,) = [bag.path] if bag.ros1 else bag.path.glob("*.[md][cb]*")
    content = file.read_bytes()
    for length in range(0, len(content), len(content) // 9):
        file.write_bytes(content[:length])
        with raises(DvspipeError, bag.path.name):
            read(bag.path, hints=Hints(sensor=str(SENSOR)))


def test_missing_rosbags_suggests_installing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.bag").write_bytes(b"#ROSBAG V2.0\n")
    monkeypatch.setitem(sys.modules, "rosbags", None)
    with raises(FormatError, "a.bag", "dvspipe[ros]"):
        read(tmp_path / "a.bag")
