"""Encoders of formats that dvspipe reads but does not write, for `fuzz_formats.py` and `bench.py`."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvspipe.events import Events

AEDAT3_PACKET_EVENTS = 256
ROS_MESSAGE_EVENTS = 50
ROS_EVENT = "uint16 x\nuint16 y\nbuiltin_interfaces/Time ts\nbool polarity"
ROS_ARRAY = "std_msgs/Header header\nuint32 height\nuint32 width\ndvs_msgs/Event[] events"
ROS_TYPES = ("std_msgs/msg/Header", "builtin_interfaces/msg/Time", "dvs_msgs/msg/Event", "dvs_msgs/msg/EventArray")
VECTORS_EVERY = 4  # EVT3: every fourth event is written as a vector of length 1


def encode_evt3(events: Events) -> bytes:
    """Return an EVT3 file: TIME_HIGH, TIME_LOW and ADDR_Y when they change, then ADDR_X or a vector per event."""
    t, x, y, p = _wide(events)
    high = t >> 12
    low = t & 0xFFF
    vector = np.arange(len(t)) % VECTORS_EVERY == 0
    address = np.where(vector, 0x3000, 0x2000) | p << 11 | x
    words = np.stack([0x8000 | high & 0xFFF, 0x6000 | low, y, address, np.full_like(t, 0x5001)], axis=1)
    keep = np.stack([_changes(high), _changes(t), _changes(y), np.ones_like(vector), vector], axis=1)
    return _header("evt 3.0", "EVT3", events) + words[keep].astype("<u2").tobytes()


def encode_evt21(events: Events) -> bytes:
    """Return an EVT2.1 file: TIME_HIGH when it changes, then a vector of length 1 per event."""
    t, x, y, p = _wide(events)
    high = t >> 6
    words = np.stack([(0x8 << 28 | high) << 32, (p << 28 | (t & 63) << 22 | x << 11 | y) << 32 | 1], axis=1)
    keep = np.stack([_changes(high), np.ones(len(t), np.bool_)], axis=1)
    return _header("evt 2.1", "EVT21", events) + words[keep].astype("<u8").tobytes()


def encode_aedat2(events: Events) -> bytes:
    """Return an AEDAT 2.0 file as jAER writes it for a DVS128: x from the right, y from the bottom, 0 for ON."""
    t, x, y, p = _wide(events)
    words = np.stack([(127 - y) << 8 | (127 - x) << 1 | 1 - p, t], axis=1)
    return b"#!AER-DAT2.0\r\n# AEChip: DVS128\r\n" + words.astype(">u4").tobytes()


def encode_aedat3(events: Events) -> bytes:
    """Return an AEDAT 3.1 file with event packets of a DVS128."""
    t, x, y, p = _wide(events)
    words = np.stack([x << 17 | y << 2 | p << 1 | 1, t], axis=1).astype("<u4")
    packets = [words[start : start + AEDAT3_PACKET_EVENTS] for start in range(0, len(t), AEDAT3_PACKET_EVENTS)]
    body = b"".join(struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, *[len(part)] * 3) + part.tobytes() for part in packets)
    return b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n" + body


def _wide(events: Events) -> tuple[NDArray[np.int64], ...]:
    return tuple(column.astype(np.int64) for column in (events.t, events.x, events.y, events.p))


def _changes(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a mask of the values that differ from the previous value."""
    return np.diff(column, prepend=-1) != 0


def _header(version: str, name: str, events: Events) -> bytes:
    size = events.sensor
    return f"% {version}\n% format {name};width={size.width};height={size.height}\n% end\n".encode()


def encode_ros1(events: Events, path: Path) -> None:
    """Write a ROS 1 bag of event arrays; requires rosbags."""
    from rosbags import rosbag1
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC)
    store.register(get_types_from_msg(ROS_EVENT, "dvs_msgs/msg/Event"))
    store.register(get_types_from_msg(ROS_ARRAY, "dvs_msgs/msg/EventArray"))
    header, stamp, event, array = (store.types[name] for name in ROS_TYPES)
    rows = list(zip(*(column.tolist() for column in (events.t, events.x, events.y, events.p)), strict=True))

    with rosbag1.Writer(path) as writer:
        connection = writer.add_connection("/dvs/events", array.__msgtype__, typestore=store)
        for start in range(0, len(rows), ROS_MESSAGE_EVENTS):
            part = [
                event(x=x, y=y, ts=stamp(sec=t // 10**6, nanosec=t % 10**6 * 1000), polarity=p)
                for t, x, y, p in rows[start : start + ROS_MESSAGE_EVENTS]
            ]
            head = header(seq=start, stamp=stamp(sec=0, nanosec=0), frame_id="")
            message = array(header=head, height=events.sensor.height, width=events.sensor.width, events=part)
            writer.write(connection, start, store.serialize_ros1(message, array.__msgtype__))
