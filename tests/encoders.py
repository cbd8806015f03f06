"""Encoders of formats that dvspipe reads but does not write, and bags."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvspipe.events import Events

AEDAT3_PACKET_EVENTS = 256
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


def encode_dat(events: Events) -> bytes:
    """Return a DAT file."""
    t, x, y, p = _wide(events)
    words = np.stack([t, p << 28 | y << 14 | x], axis=1)
    size = events.sensor
    head = f"% Version 2\n% Height {size.height}\n% Width {size.width}\n% end\n".encode()
    return head + bytes([0x0C, 8]) + words.astype("<u4").tobytes()


def encode_es(events: Events) -> bytes:
    """Return an Event Stream: a byte 0xFF for each 127 us, then the rest of the time, the polarity, and x and y."""
    t, x, y, p = _wide(events)
    gaps = np.diff(t, prepend=0)
    size = events.sensor
    rows = zip(gaps.tolist(), x.tolist(), (size.height - 1 - y).tolist(), p.tolist(), strict=True)
    body = b"".join(b"\xff" * (gap // 127) + struct.pack("<BHH", gap % 127 << 1 | on, *at) for gap, *at, on in rows)
    return b"Event Stream" + bytes([2, 0, 0, 1]) + struct.pack("<HH", *size) + body


def _wide(events: Events) -> tuple[NDArray[np.int64], ...]:
    return tuple(column.astype(np.int64) for column in (events.t, events.x, events.y, events.p))


def _changes(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a mask of the values that differ from the previous value."""
    return np.diff(column, prepend=-1) != 0


def _header(version: str, name: str, events: Events) -> bytes:
    size = events.sensor
    return f"% {version}\n% format {name};width={size.width};height={size.height}\n% end\n".encode()
