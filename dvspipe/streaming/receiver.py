"""Receive UDP packets in a thread that never waits for Python.

A thread that needs the lock of the interpreter for each packet waits up to 5 ms for it whenever another thread
computes, and the socket overflows meanwhile. Here, the thread of a `PacketReceiver` runs a compiled loop (`_receive`)
that fills a ring without the lock, and `PacketReceiver.take` moves the packets out of the ring (`_take`).

Each of the two threads writes what the other one only reads: `_receive` the data and the number of lost packets,
`_take` the tail. Both write `sizes`, but `_receive` only slots that are empty, and `_take` only slots that are not.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numba import types
from numpy.typing import NDArray

from ..base.kernels import njit
from .chunks import NOTICE_S

MAX_PACKET_BYTES = 1 << 16
RING_BYTES = 1 << 24  # 0.4 s of 5 million events per second in AEStream's format
RING_PACKETS = 1 << 16  # 0.8 s in packets of 512 bytes
SOCKET_BYTES = 1 << 22  # the system may limit it further
WAIT_US = round(1e6 * NOTICE_S)
SO_MEMINFO = 55  # Linux, asm-generic/socket.h
MEMINFO = struct.Struct("=9I")  # SK_MEMINFO_VARS numbers, linux/sock_diag.h
DROPS = 8  # index SK_MEMINFO_DROPS

CURSOR_SIZE = 3
TAIL, LOST, IS_STOPPED = range(CURSOR_SIZE)  # indices into the cursor

_recv = types.ExternalFunction("recv", types.int32(types.intp, types.uintp, types.uintp, types.int32))


class PacketRing(NamedTuple):
    """Ring of packets between two threads.

    Args:
        data: uint8 [RING_BYTES]; a packet starts after the previous one, or at 0 if the end is near.
        sizes: int64 [RING_PACKETS]: size + 1 of a received packet; 0: not received yet.
        cursor: int64 [CURSOR_SIZE]: position up to which packets are taken, with the bytes skipped at the end of the
            ring; packets lost because the ring was full; whether to stop.
        packet: uint8 [MAX_PACKET_BYTES] for one packet.
    """

    data: NDArray[np.uint8]
    sizes: NDArray[np.int64]
    cursor: NDArray[np.int64]
    packet: NDArray[np.uint8]


@njit(cache=True, nogil=True, error_model="numpy")
def _find_start(position: int, ring_size: int) -> int:
    """Return where the packet after `position` starts: there, or at the next begin of the ring if its end is near."""
    fits = position % ring_size + MAX_PACKET_BYTES <= ring_size
    return position if fits else (position // ring_size + 1) * ring_size


@njit(cache=True, nogil=True, error_model="numpy")
def _receive(descriptor: int, ring: PacketRing) -> None:
    """Receive packets into a ring until the cursor says stop."""
    data, sizes, cursor, packet = ring
    # One thread writes and another one takes, without a lock: sizes[slot] is written after the data, so a packet is
    # complete when it is taken; processors of x86 keep this order. `position` counts bytes since the first packet;
    # modulo the size of the ring, it is an index.
    position = 0
    number = 0
    while cursor[IS_STOPPED] == 0:
        # Packets that do not fit must leave the socket, too, so each is received beside the ring first.
        size = _recv(descriptor, packet.ctypes.data, MAX_PACKET_BYTES, 0)
        if size < 0:  # no packet in time
            continue

        position = _find_start(position, data.size)
        slot = number % sizes.size
        is_full = sizes[slot] != 0 or position + MAX_PACKET_BYTES - cursor[TAIL] > data.size
        if is_full:
            cursor[LOST] += 1
            continue

        begin = position % data.size
        data[begin : begin + size] = packet[:size]
        sizes[slot] = size + 1
        position += size
        number += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _take(ring: PacketRing, number: int, out: NDArray[np.uint8], out_sizes: NDArray[np.int64]) -> tuple[int, int]:
    """Move received packets, starting with packet `number`, to arrays; return the numbers of packets and bytes."""
    data, sizes, cursor, _ = ring
    packets = 0
    total_bytes = 0
    position = cursor[TAIL]
    while packets < out_sizes.size:
        slot = (number + packets) % sizes.size
        size = sizes[slot] - 1
        if size < 0 or total_bytes + size > out.size:  # not received yet, or `out` is full
            break

        position = _find_start(position, data.size)
        begin = position % data.size
        out[total_bytes : total_bytes + size] = data[begin : begin + size]
        out_sizes[packets] = size
        sizes[slot] = 0  # empty again, after its data are copied

        position += size
        total_bytes += size
        packets += 1

    # `_receive` may write again where packets before the tail were.
    cursor[TAIL] = position
    return packets, total_bytes


class PacketReceiver:
    """Thread that receives the packets of a socket, in a `with` block.

    Args:
        receiver: Bound UDP socket; closed at the end of the block.
    """

    def __init__(self, receiver: socket.socket) -> None:
        self._receiver = receiver
        self._ring = PacketRing(
            np.empty(RING_BYTES, np.uint8),
            np.zeros(RING_PACKETS, np.int64),
            np.zeros(CURSOR_SIZE, np.int64),
            np.empty(MAX_PACKET_BYTES, np.uint8),
        )
        self._data = np.empty(RING_BYTES, np.uint8)
        self._sizes = np.empty(RING_PACKETS, np.int64)
        self._taken = 0  # packets taken so far
        self._overflows_before = 0  # packets that the socket lost before the thread started

        # Compile both kernels before packets arrive; a receiver that is stopped returns at once.
        self._ring.cursor[IS_STOPPED] = 1
        _receive(receiver.fileno(), self._ring)
        self.take()
        self._ring.cursor[IS_STOPPED] = 0

        self._thread = threading.Thread(target=_receive, args=(receiver.fileno(), self._ring), daemon=True)

    def __enter__(self) -> Self:
        # Without a timeout, the thread could not end before another packet arrives.
        timeout = struct.pack("L", WAIT_US // 1000) if sys.platform == "win32" else struct.pack("ll", 0, WAIT_US)
        self._receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        self._receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)

        self._overflows_before = self._overflows()
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._ring.cursor[IS_STOPPED] = 1
        self._thread.join()
        self._receiver.close()

    def take(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the packets received since the last call, uint8 [N], and their sizes; valid until the next call."""
        packets, total_bytes = _take(self._ring, self._taken, self._data, self._sizes)
        self._taken += packets
        return self._data[:total_bytes], self._sizes[:packets]

    @property
    def lost(self) -> int:
        """Number of packets lost so far: the ring was full, or (known on Linux) the buffer of the socket."""
        return int(self._ring.cursor[LOST]) + self._overflows() - self._overflows_before

    def _overflows(self) -> int:
        """Return the number of packets that did not fit into the buffer of the socket."""
        if sys.platform != "linux":
            return 0
        numbers = MEMINFO.unpack(self._receiver.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, MEMINFO.size))
        return int(numbers[DROPS])
