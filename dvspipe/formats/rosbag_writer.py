"""Writer of ROS 2 bags (`.mcap`): messages `event_camera_msgs/EventPacket` with the encoding `mono`.

A packet has the events of at most PACKET_US microseconds. An event is eight bytes: nanoseconds since `time_base` (32
bits), x (16), y (15) and the polarity (1). So every event is read back exactly. The times of messages are the times of
their first events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import FileError
from ..events import Events, SensorSize
from .writers import StreamEncoder, check_times

NO_ROSBAGS = "rosbags is not installed, but needed for ROS bags; pip install 'dvspipe[ros]'"
BAG_SUFFIX = ".mcap"
TOPIC = "/event_camera/events"
PACKET_TYPE = "event_camera_msgs/msg/EventPacket"
PACKET_FIELDS = """\
std_msgs/Header header
uint32 height
uint32 width
uint64 seq
uint64 time_base
string encoding
bool is_bigendian
uint8[] events
"""
PACKET_US = 10_000
PACKET_EVENTS = 1 << 16
EVENT_BYTES = 8
PACKET_BYTES = 300  # a packet without events, with its entry in the index
BAG_END_US = 2**31 * 10**6  # the stamp of a header counts seconds in int32
BAG_NAME = "events.mcap"  # name in the metadata inside the file


@contextmanager
def _begin(path: Path, sensor: SensorSize) -> Iterator[Callable[[Events], None]]:
    try:
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    except ImportError as error:
        raise FileError(NO_ROSBAGS) from error

    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg(PACKET_FIELDS, PACKET_TYPE))
    with TemporaryDirectory() as folder:  # for the metadata beside the bag, also inside the file
        bag = Writer(Path(folder, "bag"), version=9, storage_plugin=StoragePlugin.MCAP)
        bag.STORAGE_PLUGINS = {StoragePlugin.MCAP: partial(_open_storage, path)}
        with bag:
            packets = _PacketWriter(bag, store, sensor)
            yield packets.add
            if not packets.count:  # a message without events keeps the sensor size
                packets.write(Events.empty(sensor))


def _open_storage(path: Path, _folder: Path, compression: Any) -> Any:
    """Open the MCAP storage of a bag at `path`; rosbags itself chooses a path in a new folder."""
    from rosbags.rosbag2.storage_mcap import McapWriter

    with TemporaryDirectory() as folder:
        storage = McapWriter(Path(folder), compression)
        storage.bio.close()
        head = storage.path.read_bytes()
    storage.path = Path(BAG_NAME)
    storage.bio = path.open("wb")
    storage.bio.write(head)

    return storage


class _PacketWriter:
    """Writer of packets to an open bag."""

    def __init__(self, bag: Any, store: Any, sensor: SensorSize) -> None:
        self.count = 0
        self._bag = bag
        self._store = store
        self._sensor = sensor
        self._connection = bag.add_connection(TOPIC, PACKET_TYPE, typestore=store)

    def add(self, events: Events) -> None:
        """Write events in packets."""
        # A packet ends with its period of PACKET_US on the clock of the camera, and has at most PACKET_EVENTS events.
        later = np.flatnonzero(np.diff(events.t // PACKET_US)) + 1
        for first, stop in pairwise([0, *later.tolist(), len(events)]):
            for start in range(first, stop, PACKET_EVENTS):
                self.write(events.slice_events(start, min(start + PACKET_EVENTS, stop)))

    def write(self, events: Events) -> None:
        """Write one packet."""
        types = self._store.types
        base_us = int(events.t[0]) if len(events) else 0
        seconds, fraction_us = divmod(base_us, 10**6)
        stamp = types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=fraction_us * 1000)

        message = types[PACKET_TYPE](
            header=types["std_msgs/msg/Header"](stamp=stamp, frame_id="event_camera"),
            height=self._sensor.height,
            width=self._sensor.width,
            seq=self.count,
            time_base=base_us * 1000,
            encoding="mono",
            is_bigendian=False,
            events=_encode_mono(events, base_us),
        )

        self._bag.write(self._connection, base_us * 1000, self._store.serialize_cdr(message, PACKET_TYPE))
        self.count += 1


def _encode_mono(events: Events, base_us: int) -> NDArray[np.uint8]:
    """Encode events as words of 64 bits: 63 polarity, 62-48 y, 47-32 x, 31-0 nanoseconds since `base_us`."""
    words = ((events.t - base_us) * 1000).astype("<u8")
    for column, bit in ((events.x, 32), (events.y, 48), (events.p, 63)):
        words |= column.astype("<u8") << np.uint64(bit)

    return words.view(np.uint8)


def _size(events: Events, _last_us: int | None) -> int:
    packets = np.count_nonzero(np.diff(events.t // PACKET_US)) + len(events) // PACKET_EVENTS + 2
    return EVENT_BYTES * len(events) + PACKET_BYTES * int(packets)


def _check(events: Events, _last_us: int | None) -> None:
    check_times(events, BAG_SUFFIX, BAG_END_US)


ROSBAG_ENCODER = StreamEncoder((BAG_SUFFIX,), _begin, _size, _check)
