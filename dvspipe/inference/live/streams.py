"""Streams of event cameras from other programs: EVT 2.0 words on standard input, and packets of AEStream over UDP.

AEStream packets consist of 32-bit little-endian words; from the top bit down:

    1 without time, x 15, polarity 1 (ON), y 15
    0 with time,    x 15, polarity 1 (ON), y 15; the next word is the time in microseconds, modulo 2^32

Source: `DVSToUDP` in AEStream (github.com/aestream/aestream, src/output/dvs_to_udp.cpp); the words have SPIF's format.
"""

from __future__ import annotations

import os
import re
import select
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...arguments import checked
from ...errors import ConfigError, DataError, FormatError
from ...events import Events, SensorSize, concatenate
from ...formats.evt import EVT2_VERSION, allocate_events
from ...formats.evt_kernels import Evt2State, decode_evt2
from ...formats.prophesee_header import MARK
from .chunks import Chunk, LiveClock

STANDARD_INPUT = "-"
ADDRESS = re.compile(r"udp://([^:/]*):([0-9]{1,5})")
WAIT_S = 0.05  # maximum time until a stop is noticed
BATCH_S = 0.01  # packets that arrive in this time are one chunk
MAX_PACKET_BYTES = 1 << 16
BLOCK_BYTES = 1 << 16
WORD_BYTES = 4


@checked
def is_stream(source: object) -> bool:
    """Return whether a source is standard input or a UDP address.

    Example:
        >>> is_stream("-"), is_stream("udp://127.0.0.1:3333"), is_stream("a.h5")
        (True, True, False)
    """
    return str(source) == STANDARD_INPUT or str(source).startswith("udp://")


def open_stream(source: str, sensor: SensorSize) -> WordSource | PacketSource:
    """Open standard input or a UDP address; see `is_stream`.

    Raises:
        ConfigError: If the address is not udp://HOST:PORT, or cannot be used.
    """
    if source == STANDARD_INPUT:
        return WordSource("standard input", sensor, sys.stdin.fileno())
    match = ADDRESS.fullmatch(source)
    if match is None or int(match[2]) >= 1 << 16:
        raise ConfigError(f"{source}: wrong address (expected udp://HOST:PORT, such as udp://0.0.0.0:3333)")
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        receiver.bind((match[1], int(match[2])))
    except OSError as error:
        receiver.close()
        raise ConfigError(f"{source}: cannot receive there ({error.strerror or error})") from error
    return PacketSource(source, sensor, receiver)


@dataclass(frozen=True)
class WordSource:
    """EVT 2.0 words from a file descriptor, with or without a header.

    Args:
        name: Name in messages.
        content: Sensor of the events.
        descriptor: Open file descriptor.
    """

    name: str
    content: SensorSize
    descriptor: int
    speed: float = 1.0

    def read(self, clock: LiveClock, stop: threading.Event) -> Iterator[Chunk]:
        """Yield events when their words arrive; see `LiveSource`.

        Raises:
            FormatError: If a word is invalid, or the stream ends within a word.
        """
        state, rest, last_us, position, is_header = Evt2State(), b"", 0, 0, True
        while not stop.is_set():
            if not select.select([self.descriptor], [], [], WAIT_S)[0]:
                continue
            block = os.read(self.descriptor, BLOCK_BYTES)
            if not block:
                break
            rest += block
            if is_header:
                size, is_header = _skip_header(rest)
                rest, position = rest[size:], position + size
            count = 0 if is_header else len(rest) // WORD_BYTES
            words, rest = np.frombuffer(rest, "<u4", count), rest[count * WORD_BYTES :]
            out = allocate_events(count)
            width, height = self.content.width, self.content.height
            state, used, found, is_invalid = decode_evt2(words, state, width, height, out)
            if is_invalid:
                why = EVT2_VERSION.explain(int(words[used]), state, width, height, name="EVT2")
                raise FormatError(f"{self.name}: byte {position + used * WORD_BYTES}: {why}")
            position += count * WORD_BYTES
            if found:
                t = np.maximum.accumulate(np.maximum(out.t[:found], last_us))
                last_us = int(t[-1])
                events = Events(t, out.x[:found], out.y[:found], out.on[:found], self.content)
                yield Chunk(events, last_us, clock.now_s())
        if rest and not stop.is_set():
            raise FormatError(f"{self.name}: truncated (found {len(rest)} of {WORD_BYTES} bytes of a word)")


def _skip_header(head: bytes) -> tuple[int, bool]:
    """Return the size of the complete header lines, and whether more may follow."""
    size = 0
    while head.startswith(MARK, size):
        stop = head.find(b"\n", size)
        if stop < 0:
            return size, True
        line, size = head[size:stop], stop + 1
        if line.strip() == b"% end":
            return size, False
    return size, len(head) - size < len(MARK)


@dataclass(frozen=True)
class PacketSource:
    """Packets of AEStream over UDP.

    Args:
        name: Name in messages.
        content: Sensor of the events.
        receiver: Bound socket; `read` closes it.
    """

    name: str
    content: SensorSize
    receiver: socket.socket = field(repr=False)
    speed: float = 1.0

    def read(self, clock: LiveClock, stop: threading.Event) -> Iterator[Chunk]:
        """Yield the events of each `BATCH_S`; see `LiveSource`. Events without time have their time of arrival.

        Raises:
            DataError: If a packet is not in the format of AEStream, or an event is outside the sensor.
        """
        begin_s = clock.now_s()
        last_us: int | None = None
        with self.receiver as receiver:
            receiver.settimeout(WAIT_S)
            while not stop.is_set():
                try:
                    packets = [receiver.recv(MAX_PACKET_BYTES)]
                    due_s = clock.now_s() + BATCH_S
                    while clock.now_s() < due_s and select.select([receiver], [], [], BATCH_S)[0]:
                        packets.append(receiver.recv(MAX_PACKET_BYTES))
                except TimeoutError:
                    continue
                now_s, parts = clock.now_s(), []
                for packet in packets:
                    arrived_us = round(1e6 * (now_s - begin_s))
                    parts.append(
                        decode_packet(packet, self.content, arrived_us=arrived_us, last_us=last_us, name=self.name)
                    )
                    last_us = int(parts[-1].t[-1])
                yield Chunk(concatenate(parts, self.content), last_us or 0, now_s)


def decode_packet(
    packet: bytes, sensor: SensorSize, *, arrived_us: int, last_us: int | None = None, name: str = "packet"
) -> Events:
    """Decode a packet of AEStream.

    Args:
        packet: One or more words.
        sensor: Sensor of the events.
        arrived_us: Time of events without time, in microseconds.
        last_us: Time of the previous event, where times continue, also beyond 2^32 microseconds; None: first packet.
        name: Name in messages.

    Raises:
        DataError: If the size of the packet is wrong, or an event is outside the sensor.

    Example:
        >>> packet = np.array([3 << 16 | 1 << 15 | 2, 1000], "<u4").tobytes()
        >>> events = decode_packet(packet, SensorSize(width=12, height=7), arrived_us=0)
        >>> int(events.t[0]), int(events.x[0]), int(events.y[0]), bool(events.p[0])
        (1000, 3, 2, True)
    """
    if not packet or len(packet) % WORD_BYTES:
        raise DataError(f"{name}: wrong size of a packet (found {len(packet)} bytes, expected a multiple of 4)")
    words = np.frombuffer(packet, "<u4")
    t: NDArray[np.int64] = np.full(len(words), arrived_us, np.int64)
    if not words[0] >> 31:
        if len(words) % 2:
            raise DataError(f"{name}: wrong size of a packet (found {len(packet)} bytes, expected a multiple of 8)")
        words, stamps = words[::2], words[1::2].astype(np.int64)
        before_us = int(stamps[0]) if last_us is None else last_us
        t = before_us + ((stamps - before_us + (1 << 31)) % (1 << 32) - (1 << 31))
    t = np.maximum.accumulate(t if last_us is None else np.maximum(t, last_us))
    x, y = (words >> 16 & 0x7FFF).astype(np.int64), (words & 0x7FFF).astype(np.int64)
    outside = np.flatnonzero((x >= sensor.width) | (y >= sensor.height))
    if len(outside):
        first = outside[0]
        raise DataError(f"{name}: event at x = {x[first]}, y = {y[first]}, outside the sensor of {sensor}")
    return Events(t, x, y, words >> 15 & 1, sensor)
