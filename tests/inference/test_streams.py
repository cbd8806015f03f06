"""Streams of other programs: EVT 2.0 words on standard input, and packets of AEStream over UDP."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import SENSOR, random_events
from facts import raises

from dvspipe.errors import ConfigError, DataError, DvspipeError, FormatError
from dvspipe.events import Events, concatenate
from dvspipe.formats import write
from dvspipe.formats.prophesee_header import parse_header
from dvspipe.inference.live import Chunk, LiveSource, open_live
from dvspipe.inference.live.streams import PacketSource, WordSource, decode_packet, open_stream

OFF_BIT, ON_BIT, NO_TIME_BIT = 0, 1 << 15, 1 << 31


class TickingClock:
    """Clock that advances 4 ms whenever it is read."""

    def __init__(self) -> None:
        self.time_s = 0.0

    def now_s(self) -> float:
        self.time_s += 0.004
        return self.time_s

    def wait_until(self, time_s: float, stop: threading.Event) -> None:
        raise NotImplementedError


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
def test_words_give_the_events_of_the_file(evt2: tuple[Events, bytes, bytes], with_header: bool) -> None:
    events, header, words = evt2
    with piped(header * with_header + words) as reader:
        assert_same(read_events(WordSource("pipe", SENSOR, reader)), events)


def test_words_may_arrive_in_any_pieces(evt2: tuple[Events, bytes, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    events, header, words = evt2
    monkeypatch.setattr("dvspipe.inference.live.streams.BLOCK_BYTES", 7)
    with piped(header + words) as reader:
        assert_same(read_events(WordSource("pipe", SENSOR, reader)), events)


def test_invalid_and_truncated_words_are_reported(evt2: tuple[Events, bytes, bytes]) -> None:
    _, header, words = evt2
    with piped(header + words[:8] + b"\xff\xff\xff\x3f") as reader, raises(FormatError, "pipe", len(header) + 8):
        read_events(WordSource("pipe", SENSOR, reader))
    with piped(words[:-1]) as reader, raises(FormatError, "pipe", 3, 4):
        read_events(WordSource("pipe", SENSOR, reader))


# AEStream


def packet_of(events: Events, *, timed: bool) -> bytes:
    """Encode events as AEStream does."""
    words = events.x.astype(np.uint32) << 16 | events.p.astype(np.uint32) << 15 | events.y.astype(np.uint32)
    if not timed:
        return (words | np.uint32(NO_TIME_BIT)).astype("<u4").tobytes()
    return np.stack([words, events.t % (1 << 32)], axis=1).astype("<u4").tobytes()


def test_packet_with_times_keeps_them() -> None:
    events = random_events(1, 64)
    assert_same(decode_packet(packet_of(events, timed=True), SENSOR, arrived_us=5), events)


def test_packet_without_times_has_the_time_of_arrival() -> None:
    events = random_events(1, 128)
    found = decode_packet(packet_of(events, timed=False), SENSOR, arrived_us=5)
    assert set(found.t.tolist()) == {5}
    np.testing.assert_array_equal(found.x, events.x)
    np.testing.assert_array_equal(found.p, events.p)


def test_words_are_those_of_aestream() -> None:
    """Two words written by hand: ON at x = 3, y = 2, without time; OFF at x = 11, y = 6, at 70,000 us."""
    assert str(decode_packet(bytes([2, 0x80, 3, 0x80]), SENSOR, arrived_us=9).p[0]) == "True"
    off = decode_packet(bytes([6, 0, 11, 0, 0x70, 0x11, 1, 0]), SENSOR, arrived_us=9)
    assert (int(off.t[0]), int(off.x[0]), int(off.y[0]), bool(off.p[0])) == (70_000, 11, 6, False)


def test_times_continue_beyond_32_bits_and_never_decrease() -> None:
    t = np.array([(1 << 32) - 5, (1 << 32) + 5])
    events = Events(t, [1, 2], [1, 2], [0, 1], SENSOR)
    packet = packet_of(events, timed=True)
    assert decode_packet(packet, SENSOR, arrived_us=0).t.tolist() == t.tolist()
    assert decode_packet(packet, SENSOR, arrived_us=0, last_us=int(t[0]) + 2).t.tolist() == [t[0] + 2, t[1]]


@pytest.mark.parametrize(("packet", "fact"), [(b"", 0), (b"\0" * 6, 6), (b"\0" * 4, 4), (b"\0\0\x0c\x80", 12)])
def test_wrong_packets_are_reported(packet: bytes, fact: int) -> None:
    with raises(DataError, fact):
        decode_packet(packet, SENSOR, arrived_us=0)


def test_packets_over_the_loopback_give_the_events() -> None:
    events = random_events(2, 200)
    source = open_stream("udp://127.0.0.1:0", SENSOR)
    assert isinstance(source, PacketSource)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for first in range(0, 200, 64):
            packet = packet_of(events.slice_events(first, min(first + 64, 200)), timed=True)
            sender.sendto(packet, source.receiver.getsockname())
    assert_same(read_events(source, count=200), events)
    assert source.receiver.fileno() == -1  # closed by its thread


@pytest.mark.parametrize("address", ["udp://localhost", "udp://127.0.0.1:70000", "udp://127.0.0.1:x"])
def test_wrong_addresses_are_reported(address: str) -> None:
    with raises(ConfigError, address):
        open_live(address, sensor=SENSOR)


def test_streams_need_a_sensor_and_cannot_be_replayed() -> None:
    with raises(ConfigError, "sensor"):
        open_live("udp://127.0.0.1:0")
    with raises(DvspipeError, "loop"):
        open_live("-", sensor=SENSOR, loops=True)
