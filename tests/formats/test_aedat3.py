"""AEDAT 3.1: files of an encoder written from the public definition are read back; corruption is reported."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
from conftest import random_events
from decoding import joined, part, until_corruption
from facts import raises

from dvspipe.base.errors import CorruptionError, FormatError
from dvspipe.events import Events, SensorSize
from dvspipe.formats import aedat3
from dvspipe.formats.aedat3 import AEDAT3

DVS128 = SensorSize(128, 128)
HEADER = (
    b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n"
    b"#Start-Time: 2016-09-05 09:56:15 (TZ-0700)\r\n#!END-HEADER\r\n"
)


def packet(
    events: Events, overflow: int = 0, *, invalid: tuple[int, ...] = (), source: int = 1, capacity: int | None = None
) -> bytes:
    body = b""
    for k in range(len(events)):
        x, y, p, t = (int(column[k]) for column in (events.x, events.y, events.p, events.t))
        body += struct.pack("<II", x << 17 | y << 2 | p << 1 | (k not in invalid), t - (overflow << 31))
    count = len(events)
    return struct.pack("<hhiiiiii", 1, source, 8, 4, overflow, capacity or count, count, count - len(invalid)) + body


def other_packet(kind: int, event_bytes: int, count: int) -> bytes:
    return struct.pack("<hhiiiiii", kind, 1, event_bytes, 4, 0, count, count, count) + bytes(event_bytes * count)


def read(path: Path) -> Events:
    source = AEDAT3.open(path)
    assert source.sensor == DVS128
    return joined(list(source.chunks()), DVS128)


@pytest.mark.parametrize("chunk", [10, 1 << 20])
def test_packets_are_joined_to_one_stream(tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvspipe.formats.source.CHUNK_EVENTS", 4 * chunk)
    events = random_events(1, 500, DVS128)
    path = tmp_path / "user01.aedat"
    body = b"".join(packet(part(events, k, k + 50)) + other_packet(3, 36, 3) for k in range(0, 500, 50))
    path.write_bytes(HEADER + other_packet(0, 8, 2) + body)
    assert read(path) == events
    packed = tmp_path / "user01.aedat.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read(packed) == events


def test_invalid_events_are_skipped(tmp_path: Path) -> None:
    events = random_events(1, 10, DVS128)
    path = tmp_path / "a.aedat"
    path.write_bytes(HEADER + packet(events, invalid=(0, 3, 4, 5, 6, 7, 8, 9)))
    assert read(path) == part(events, 1, 3)


def test_clock_overflow_is_added_to_times(tmp_path: Path) -> None:
    events = random_events(1, 10, DVS128)
    late = events.shift_time(3 << 31)
    path = tmp_path / "a.aedat"
    path.write_bytes(HEADER + packet(events) + packet(late, 3))
    assert read(path).t.tolist() == [*events.t, *late.t]


def test_large_packets_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aedat3, "PACKET_BLOCK_BYTES", 64)
    events = random_events(1, 100, DVS128)
    path = tmp_path / "a.aedat"
    path.write_bytes(HEADER + packet(events) + other_packet(2, 1000, 3) + packet(events.shift_time(10**6)))
    assert read(path).t.tolist() == [*events.t, *(events.t + 10**6)]


def test_truncation_anywhere_yields_all_complete_events(tmp_path: Path) -> None:
    events = random_events(1, 12, DVS128)
    first = packet(part(events, 0, 6))
    data = first + other_packet(3, 36, 1) + packet(part(events, 6, 12))
    ends = {0, len(first), len(first) + 28 + 36, len(data)}
    path = tmp_path / "cut.aedat"
    for size in range(len(data) + 1):
        path.write_bytes(HEADER + data[:size])
        source = AEDAT3.open(path)
        if size not in ends:
            with raises(CorruptionError, "cut.aedat"):
                list(source.chunks())
        second = size - len(first) - 28 - 36 - 28
        count = min(6, max(0, size - 28) // 8) if size < len(first) else 6 + max(0, second) // 8
        assert sum(len(chunk.t) for chunk in until_corruption(source.chunks())) == count
    for size in range(len(HEADER) - 1):
        path.write_bytes(HEADER[:size])
        with raises(FormatError, "cut.aedat"):
            AEDAT3.open(path)


@pytest.mark.parametrize(
    ("corrupted", "message"),
    [
        (struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, 9, 1, 1), "_Packet(kind=1"),
        (struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, 1, 1, 2), "_Packet(kind=1"),
        (struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, -1, -1, -1), "_Packet(kind=1"),
        (struct.pack("<hhiiiiii", 1, 1, 16, 4, 0, 1, 1, 1), ("event_bytes=16", "8")),
        (struct.pack("<hhiiiiii", 3, 1, 0, 4, 0, 1, 1, 1), ()),
        (struct.pack("<hhiiiiii", -32767, 1, 8, 4, 0, 1, 1, 1), ()),
        (struct.pack("<hhiiiiii", 1, 1, 8, 4, -1, 1, 1, 1), ()),
        (struct.pack("<hhiiiiii", 3, 1, 2**31 - 1, 4, 0, 2**31 - 1, 2**31 - 1, 1), ()),
        (struct.pack("<hhiiiiii", 1, 2, 8, 4, 0, 1, 1, 1), ("camera 2", "camera 1")),
        (struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, 1, 1, 1) + b"\1\0\0\0\xff\xff\xff\xff", "-1"),
    ],
)
def test_corrupted_packet_is_corruption_after_previous_events(
    tmp_path: Path, corrupted: bytes, message: object
) -> None:
    events = random_events(1, 10, DVS128)
    path = tmp_path / "a.aedat"
    path.write_bytes(HEADER + packet(events) + corrupted)
    chunks = AEDAT3.open(path).chunks()
    assert next(chunks).t.tolist() == events.t.tolist()
    with raises(CorruptionError, message):
        next(chunks)


def test_other_versions_and_formats_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    for old, new, message in (
        (b"DAT3.1", b"DAT3.0", ("#!AER-DAT3.0", "#!AER-DAT3.1")),
        (b"RAW", b"Serial-TS", ("Serial-TS", "RAW")),
    ):
        path.write_bytes(HEADER.replace(old, new))
        with raises(FormatError, message):
            AEDAT3.open(path)


def test_sensor_is_known_for_a_single_known_camera(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    two = b"DVS128\r\n#Source 2: DVS128"
    for source, sensor in ((b"DAVIS240C", SensorSize(240, 180)), (b"Dynapse", None), (two, None)):
        path.write_bytes(HEADER.replace(b"DVS128", source))
        assert AEDAT3.open(path).sensor == sensor
