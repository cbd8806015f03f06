"""Streams of other programs on standard input and over UDP: EVT 2.0, AEStream and OpenMV."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from clocks import TickingClock
from conftest import SENSOR, random_events
from facts import mentions, raises

from dvspipe.base.errors import ConfigError, DvspipeError, FormatError
from dvspipe.events import Events, SensorSize, concatenate
from dvspipe.formats import write
from dvspipe.formats.hints import StreamFormat
from dvspipe.formats.prophesee_header import parse_header
from dvspipe.formats.stream_clock import StreamClock
from dvspipe.formats.stream_words import StreamDecoder
from dvspipe.streaming import Chunk, ChunkQueue, LiveSource, open_live
from dvspipe.streaming.receiver import PacketReceiver
from dvspipe.streaming.streams import PacketSource, WordSource, open_stream

NO_TIME_BIT = 1 << 31


def read_events(source: LiveSource, count: int | None = None) -> Events:
    """Read the events of a source until its end, or until `count` events."""
    stop, chunks = threading.Event(), list[Chunk]()
    parts = list[Events]()
    for chunk in source.read(TickingClock(), stop):
        chunks.append(chunk)
        assert isinstance(chunk.content, Events)
        parts.append(chunk.content)
        if count is not None and sum(map(len, parts)) >= count:
            stop.set()
    assert all(chunk.t_us == int(part.t[-1]) for chunk, part in zip(chunks, parts, strict=True))
    return concatenate(parts, SENSOR)


def assert_same(found: Events, expected: Events) -> None:
    for name in "txyp":
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@contextmanager
def piped(data: bytes) -> Iterator[int]:
    """Pipe that contains data, and then ends."""
    reader, writer = os.pipe()
    try:
        os.write(writer, data)
        os.close(writer)
        yield reader
    finally:
        os.close(reader)


@pytest.fixture
def evt2(tmp_path: Path) -> tuple[Events, bytes, bytes]:
    """Events, and their EVT 2.0 header and words."""
    events = random_events(0, 300)
    path = tmp_path / "events.evt2.raw"
    write(path, events)
    data = path.read_bytes()
    head = parse_header(data).size
    return events, data[:head], data[head:]


# EVT 2.0


@pytest.mark.parametrize("with_header", [False, True])
@pytest.mark.parametrize("block_bytes", [7, 1 << 16])
def test_words_give_the_events_of_the_file_in_any_pieces(
    evt2: tuple[Events, bytes, bytes], with_header: bool, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, header, words = evt2
    monkeypatch.setattr("dvspipe.streaming.streams.BLOCK_BYTES", block_bytes)
    with piped(header * with_header + words) as reader:
        assert_same(read_events(WordSource("pipe", SENSOR, reader)), events)


def test_invalid_truncated_and_missing_words_are_reported(evt2: tuple[Events, bytes, bytes]) -> None:
    _, header, words = evt2
    with piped(header + words[:8] + b"\xff\xff\xff\x3f") as reader, raises(FormatError, "pipe", len(header) + 8):
        read_events(WordSource("pipe", SENSOR, reader))
    with piped(b"") as reader, raises(FormatError, "pipe", "empty"):
        read_events(WordSource("pipe", SENSOR, reader))
    with piped(words[:-1]) as reader, raises(FormatError, "pipe", 3):
        read_events(WordSource("pipe", SENSOR, reader))


def test_events_before_the_first_time_are_skipped(evt2: tuple[Events, bytes, bytes]) -> None:
    events, _, words = evt2
    first = np.frombuffer(words, "<u4")
    assert (first[:2] >> 28).tolist() in ([8, 0], [8, 1])  # TIME_HIGH, event
    with piped(first[[1, 1]].tobytes() + words) as reader:
        assert_same(read_events(WordSource("pipe", SENSOR, reader)), events)


def test_endless_headers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvspipe.streaming.streams.MAX_EVT_HEADER_BYTES", 100)
    for head in (b"% " + b"a" * 200, b"% a\n" * 50):
        with piped(head) as reader, raises(FormatError, "pipe", 100):
            read_events(WordSource("pipe", SENSOR, reader))


# Formats


def encode_events(events: Events, stream_format: StreamFormat, *, timed: bool = True) -> bytes:
    """Encode events as AEStream and OpenMV do."""
    t, x, y, p = events.t, events.x.astype(np.uint32), events.y.astype(np.uint32), events.p
    if stream_format == "openmv":
        columns = p, t // 1_000_000, t // 1000 % 1000, t % 1000, x, y
        return (np.stack(columns, axis=1) % (1 << 16)).astype("<u2").tobytes()
    words = x << 16 | p.astype(np.uint32) << 15 | y
    if not timed:
        return (words | np.uint32(NO_TIME_BIT)).astype("<u4").tobytes()
    return np.stack([words, t % (1 << 32)], axis=1).astype("<u4").tobytes()


def decode(data: bytes, stream_format: StreamFormat = "aestream", *, arrived_us: int = 0) -> Events:
    """Decode one packet."""
    decoder, array = StreamDecoder("packet", stream_format, SENSOR), np.frombuffer(data, np.uint8)
    return decoder.decode_packets(array, np.array([len(data)]), arrived_us=arrived_us)


@pytest.mark.parametrize("stream_format", ["aestream", "openmv"])
def test_streams_may_arrive_in_any_pieces(stream_format: StreamFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    events = random_events(1, 64)
    monkeypatch.setattr("dvspipe.streaming.streams.BLOCK_BYTES", 7)
    with piped(encode_events(events, stream_format)) as reader:
        assert_same(read_events(WordSource("pipe", SENSOR, reader, stream_format)), events)
    with piped(encode_events(events, stream_format)[:-1]) as reader, raises(FormatError, "pipe", "truncated"):
        read_events(WordSource("pipe", SENSOR, reader, stream_format))


def test_packet_without_times_has_the_time_of_arrival() -> None:
    events = random_events(1, 128)
    found = decode(encode_events(events, "aestream", timed=False), arrived_us=5)
    assert set(found.t.tolist()) == {5}
    np.testing.assert_array_equal(found.x, events.x)
    np.testing.assert_array_equal(found.p, events.p)


def test_words_are_those_of_aestream() -> None:
    """Two words written by hand: ON at x = 3, y = 2, without time; OFF at x = 11, y = 6, at 70,000 us."""
    assert decode(bytes([2, 0x80, 3, 0x80]), arrived_us=9)[0] == (9, 3, 2, True)
    assert decode(bytes([6, 0, 11, 0, 0x70, 0x11, 1, 0]), arrived_us=9)[0] == (70_000, 11, 6, False)


def test_rows_are_those_of_openmv() -> None:
    """An ON event at x = 3, y = 2 after 1.002003 s, a trigger, and an OFF event at x = 11, y = 6 after 1.002004 s."""
    rows = np.array([[1, 1, 2, 3, 3, 2], [5, 1, 2, 3, 0, 0], [0, 1, 2, 4, 11, 6]], "<u2")
    found = decode(rows.tobytes(), "openmv")
    assert [found[0], found[1]] == [(1_002_003, 3, 2, True), (1_002_004, 11, 6, False)]


@pytest.mark.parametrize(("stream_format", "span_us"), [("aestream", 1 << 32), ("openmv", (1 << 16) * 1_000_000)])
def test_times_continue_after_an_overflow_and_never_decrease(stream_format: StreamFormat, span_us: int) -> None:
    t = np.array([span_us - 5, span_us + 5, span_us + 3])
    data = np.frombuffer(b"".join(encode_events(Events([us], [1], [1], [1], SENSOR), stream_format) for us in t), "u1")
    decoder = StreamDecoder("packet", stream_format, SENSOR)
    parts = [decoder.decode(part, arrived_us=0)[0] for part in np.split(data, 3)]
    assert concatenate(parts, SENSOR).t.tolist() == [t[0], t[1], t[1]]


@pytest.mark.parametrize("jump_us", [-1_000_000_000, 60_000_000])
@pytest.mark.parametrize("cut", [150, 200])
def test_times_continue_after_a_jump_of_the_clock(jump_us: int, cut: int) -> None:
    """The jump is within an array or between two arrays; all other steps are kept."""
    t = 2_000_000_000 + np.sort(np.random.default_rng(0).integers(0, 100_000, 300))
    steps = np.diff(t)
    steps[cut - 1] = 0
    jumped, clock = t + np.where(np.arange(300) < cut, 0, jump_us), StreamClock()
    found = [clock.continue_times(part, arrived_us=5_000_000) for part in np.split(jumped, 3)]
    np.testing.assert_array_equal(np.diff(np.concatenate(found)), steps)
    assert (clock.jumps, clock.jump_us) == (1, jump_us + t[cut] - t[cut - 1])


def test_pause_of_the_camera_is_not_a_jump_of_its_clock() -> None:
    clock = StreamClock()
    found = [clock.continue_times(np.array([t_us]), arrived_us=t_us)[0] for t_us in (5_000_000, 65_000_000)]
    assert (found, clock.jumps) == ([5_000_000, 65_000_000], 0)


@pytest.mark.parametrize(
    ("packet", "stream_format", "fact"),
    [
        (b"", "aestream", 0),
        (b"\0" * 6, "aestream", 6),
        (b"\0" * 4, "aestream", 4),
        (b"\0\0\x0c\x80", "aestream", 12),
        (b"\0" * 16, "openmv", 16),
        (b"\7" + b"\0" * 11, "openmv", 7),
        (b"\0" * 8 + b"\x0c\0\0\0", "openmv", 12),
        (b"\0" * 6, "evt2", 6),
        (b"\0\0\0\x30", "evt2", "0x3"),
    ],
)
def test_wrong_packets_are_reported(packet: bytes, stream_format: StreamFormat, fact: object) -> None:
    with raises(FormatError, "packet", fact):
        decode(packet, stream_format)


# UDP


@contextmanager
def sender_to(receiver: socket.socket) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(receiver.getsockname())
        yield sender


def bound_socket() -> socket.socket:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    return receiver


@pytest.mark.parametrize("stream_format", ["aestream", "openmv"])
def test_packets_over_the_loopback_give_the_events(stream_format: StreamFormat) -> None:
    events = random_events(2, 200)
    source = open_stream("udp://127.0.0.1:0", SENSOR, stream_format)
    assert isinstance(source, PacketSource)
    with sender_to(source.receiver) as sender:
        for first in range(0, 200, 64):
            sender.send(encode_events(events.slice_events(first, min(first + 64, 200)), stream_format))
    assert_same(read_events(source, 200), events)
    assert source.receiver.fileno() == -1  # closed by its thread


def test_wrong_packets_are_skipped_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    events = random_events(2, 200)
    source = open_stream("udp://127.0.0.1:0", SENSOR)
    assert isinstance(source, PacketSource)
    outside = encode_events(Events([0], [12], [0], [0], SensorSize(width=13, height=7)), "aestream")
    with sender_to(source.receiver) as sender:
        for number, wrong in enumerate([b"x", b"", outside, outside[:4]]):
            sender.send(wrong)
            sender.send(encode_events(events.slice_events(50 * number, 50 * number + 50), "aestream"))
    assert_same(read_events(source, 200), events)
    first, total = (record.getMessage() for record in caplog.records)
    assert mentions(first, source.name, "1 bytes")
    assert mentions(total, source.name, 4)


def test_receiver_keeps_order_and_counts_lost_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring for 4 packets gets 6: the last 2 are lost, and later packets follow the first 4."""
    monkeypatch.setattr("dvspipe.streaming.receiver.RING_PACKETS", 4)
    with bound_socket() as endpoint, sender_to(endpoint) as sender, PacketReceiver(endpoint) as receiver:
        for number in range(6):
            sender.send(bytes([number]) * (number + 1))
        while receiver.lost < 2:
            threading.Event().wait(0.001)
        data, sizes = receiver.take()
        assert sizes.tolist() == [1, 2, 3, 4]
        assert data.tolist() == [0, 1, 1, 2, 2, 2, 3, 3, 3, 3]
        sender.send(b"later")
        while not len(sizes := receiver.take()[1]):
            threading.Event().wait(0.001)
        assert (sizes.tolist(), receiver.lost) == ([5], 2)


def test_lost_packets_count_as_dropped() -> None:
    queue = ChunkQueue(4)
    queue.put(Chunk(Events.empty(SENSOR), 0, 0.0, lost=3))
    assert queue.dropped == 3


def test_used_ports_are_reported() -> None:
    with bound_socket() as other, raises(ConfigError, other.getsockname()[1]):
        open_live(f"udp://127.0.0.1:{other.getsockname()[1]}", sensor=SENSOR)


@pytest.mark.parametrize("address", ["udp://localhost", "udp://127.0.0.1:70000", "udp://127.0.0.1:x"])
def test_wrong_addresses_are_reported(address: str) -> None:
    with raises(ConfigError, address):
        open_live(address, sensor=SENSOR)


def test_streams_need_a_sensor_and_cannot_be_replayed() -> None:
    with raises(ConfigError, "sensor"):
        open_live("udp://127.0.0.1:0")
    with raises(DvspipeError, "loop"):
        open_live("-", sensor=SENSOR, loops=True)
    with raises(ConfigError, "openmv"):
        open_live("0", stream_format="openmv")
