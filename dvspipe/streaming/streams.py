"""Streams of event cameras from other programs: on standard input, or in packets over UDP.

`open_stream` returns a `WordSource` or a `PacketSource`. Both decode with `StreamDecoder`, and yield the events of each
`BATCH_S` as a chunk. Wrong bytes end a stream of words, since nothing after them is certain; a wrong packet is skipped.
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
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError, FormatError
from ..events import Events, SensorSize, concatenate
from ..formats.hints import StreamFormat
from ..formats.prophesee_header import MARK, MAX_EVT_HEADER_BYTES
from ..formats.standard import STANDARD
from ..formats.stream_words import StreamDecoder
from .chunks import BATCH_S, NOTICE_S, Chunk, LiveClock, Tally, describe_jump
from .receiver import PacketReceiver

ADDRESS = re.compile(r"udp://(?P<host>[^:/]*):(?P<port>[0-9]{1,5})")
MAX_PORTS = 1 << 16
BLOCK_BYTES = 1 << 16
MAX_BATCH_BYTES = 1 << 22


def is_stream(source: object) -> bool:
    """Return whether a source is standard input or a UDP address.

    Example:
        >>> is_stream("-"), is_stream("udp://127.0.0.1:3333"), is_stream("a.h5")
        (True, True, False)
    """
    return _is_standard_input(str(source)) or str(source).startswith("udp://")


def _is_standard_input(source: str) -> bool:
    """Return whether a source is -, which the command line passes as ./-."""
    return Path(source) == STANDARD


def open_stream(
    source: str, sensor: SensorSize, stream_format: StreamFormat | None = None
) -> WordSource | PacketSource:
    """Open standard input or a UDP address; see `is_stream`."""
    if _is_standard_input(source):
        if sys.stdin is None or sys.stdin.isatty():
            raise ConfigError("standard input: is a terminal or closed (expected the events of a camera program)")
        return WordSource("standard input", sensor, sys.stdin.fileno(), stream_format or "evt2")

    match = ADDRESS.fullmatch(source)
    if match is None or int(match["port"]) >= MAX_PORTS:
        raise ConfigError(f"{source}: wrong address (expected udp://HOST:PORT, such as udp://0.0.0.0:3333)")

    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        receiver.bind((match["host"], int(match["port"])))
    except OSError as error:
        receiver.close()
        raise ConfigError(f"{source}: cannot receive there ({error.strerror or error})") from error

    return PacketSource(source, sensor, receiver, stream_format or "aestream")


@dataclass(frozen=True)
class WordSource:
    """Events from a file descriptor, such as standard input; EVT 2.0 with or without a header.

    Args:
        name: Name in messages.
        content: Sensor of the events.
        descriptor: Open file descriptor.
        stream_format: Format of the bytes.
    """

    name: str
    content: SensorSize
    descriptor: int
    stream_format: StreamFormat = "evt2"
    speed: float = 1.0

    def read(self, clock: LiveClock, stop: threading.Event) -> Iterator[Chunk]:
        """Yield events when their bytes arrive; see `LiveSource`."""
        decoder = StreamDecoder(self.name, self.stream_format, self.content)
        rest = b""  # bytes of an incomplete event or header line
        is_header = self.stream_format == "evt2"
        begin_s = clock.now_s()
        jumps = Tally(self.name, "clock jump")

        for block in self._blocks(clock, stop):
            rest += block

            # The lines of a header come before the first event, possibly in several blocks.
            if is_header:
                size, is_header = _skip_header(rest)
                rest = rest[size:]
                decoder.position += size
            if is_header:
                if decoder.position + len(rest) > MAX_EVT_HEADER_BYTES:
                    raise FormatError(f"{self.name}: header too long (expected at most {MAX_EVT_HEADER_BYTES} bytes)")
                continue

            now_s = clock.now_s()
            events, used = decoder.decode(np.frombuffer(rest, np.uint8), arrived_us=round(1e6 * (now_s - begin_s)))
            rest = rest[used:]
            jumps.update(decoder.clock.jumps, describe_jump(self.name, decoder.clock))
            if len(events):
                yield Chunk(events, int(events.t[-1]), now_s)

        jumps.finish()
        if not (rest or decoder.position or stop.is_set()):
            raise FormatError(f"{self.name}: empty (found 0 bytes until its end)")
        if rest and not stop.is_set():
            where = f"byte {decoder.position}"
            raise FormatError(f"{self.name}: {where}: truncated (found {len(rest)} bytes of an event or header)")

    def _blocks(self, clock: LiveClock, stop: threading.Event) -> Iterator[bytes]:
        """Yield the bytes of each `BATCH_S`, until the end."""
        has_ended = False
        while not has_ended and not stop.is_set():
            # A short wait, so a stop is noticed.
            if not self._is_ready(NOTICE_S):
                continue

            # The batch ends when it is due, too large, or at the end of the stream.
            blocks = list[bytes]()
            size = 0
            due_s = clock.now_s() + BATCH_S
            while size < MAX_BATCH_BYTES and self._is_ready(max(0.0, due_s - clock.now_s())):
                block = os.read(self.descriptor, BLOCK_BYTES)
                has_ended = not block
                blocks.append(block)
                size += len(block)
                if has_ended or clock.now_s() >= due_s:
                    break

            yield b"".join(blocks)

    def _is_ready(self, timeout_s: float) -> bool:
        """Wait for bytes or the end; on Windows, where only sockets can be waited for, reading waits."""
        if sys.platform == "win32":
            return True

        readable, _, _ = select.select([self.descriptor], [], [], timeout_s)
        return bool(readable)


def _skip_header(head: bytes) -> tuple[int, bool]:
    """Return the size of the complete header lines, and whether more may follow."""
    size = 0
    while head.startswith(MARK, size):
        stop = head.find(b"\n", size)
        if stop < 0:
            return size, True

        line = head[size:stop]
        size = stop + 1
        if line.strip() == b"% end":
            return size, False

    # A rest shorter than the mark may be the beginning of another line.
    return size, len(head) - size < len(MARK)


@dataclass(frozen=True)
class PacketSource:
    """Events in packets over UDP.

    Args:
        name: Name in messages.
        content: Sensor of the events.
        receiver: Bound socket; `read` closes it.
        stream_format: Format of the packets.
    """

    name: str
    content: SensorSize
    receiver: socket.socket = field(repr=False)
    stream_format: StreamFormat = "aestream"
    speed: float = 1.0

    def read(self, clock: LiveClock, stop: threading.Event) -> Iterator[Chunk]:
        """Yield the events of each `BATCH_S`; see `LiveSource`. Wrong packets are skipped: anybody can send them."""
        decoder = StreamDecoder(self.name, self.stream_format, self.content)
        decoder.decode(np.zeros(0, np.uint8), arrived_us=0)  # compiled before packets arrive
        skipped = Tally(self.name, "skipped packet")
        jumps = Tally(self.name, "clock jump")
        wrong = 0  # packets so far
        lost_before = 0  # packets lost before the last chunk

        with PacketReceiver(self.receiver) as receiver:
            begin_s = clock.now_s()
            while not stop.wait(BATCH_S):
                data, sizes = receiver.take()
                now_s = clock.now_s()
                parts, errors = _decode(decoder, data, sizes, arrived_us=round(1e6 * (now_s - begin_s)))

                if errors:
                    wrong += len(errors)
                    skipped.update(wrong, f"{errors[0]}; packet skipped")
                jumps.update(decoder.clock.jumps, describe_jump(self.name, decoder.clock))

                events = concatenate(parts, self.content)
                if len(events):
                    lost = receiver.lost
                    yield Chunk(events, int(events.t[-1]), now_s, lost - lost_before)
                    lost_before = lost

        skipped.finish()
        jumps.finish()


def _decode(
    decoder: StreamDecoder, data: NDArray[np.uint8], sizes: NDArray[np.int64], *, arrived_us: int
) -> tuple[list[Events], list[FormatError]]:
    """Decode packets, and return an error for each wrong one: packets are halved until wrong ones are alone."""
    try:
        return [decoder.decode_packets(data, sizes, arrived_us=arrived_us)], []
    except FormatError as error:
        if len(sizes) == 1:
            return [], [error]

    middle = len(sizes) // 2
    first, second = np.split(data, [sizes[:middle].sum()])
    parts, errors = _decode(decoder, first, sizes[:middle], arrived_us=arrived_us)
    # A copy, because words that begin at an odd byte cannot be decoded.
    later, later_errors = _decode(decoder, second.copy(), sizes[middle:], arrived_us=arrived_us)
    return parts + later, errors + later_errors
