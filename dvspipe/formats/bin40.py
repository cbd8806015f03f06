"""The headerless 40-bit layout of N-MNIST and N-Caltech101 (`.bin`), which SLAYER's `.bs2` shares.

Five bytes an event: x, y, then polarity (1 = ON) in the top bit of a 24-bit big-endian word whose other 23 bits are
the time in microseconds (Orchard et al. 2015). An event with y = 240 is none: it marks that the 13-bit counter of the
camera's clock ran over, and adds 2^13 us to all times after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import CorruptionError
from .hints import NO_HINTS, Hints
from .source import CHUNK_EVENTS, Columns, Format, Source, open_binary

EVENT_BYTES = 5
OVERFLOW_ROW = 240
OVERFLOW_US = 1 << 13


def _recognises(path: Path, _head: bytes) -> bool:
    return path.suffix.lower() in BIN40.suffixes


def _open(path: Path, _hints: Hints = NO_HINTS) -> Source:
    return Source(sensor=None, chunks=lambda: _chunks(path))


def _chunks(path: Path) -> Iterator[Columns]:
    passed_us = read = 0
    with open_binary(path) as file:
        while block := file.read(EVENT_BYTES * CHUNK_EVENTS):
            left_over = len(block) % EVENT_BYTES
            data = np.frombuffer(block, np.uint8, len(block) - left_over).reshape(-1, EVENT_BYTES)
            x, y = data[:, 0], data[:, 1]
            word = data[:, 2:].astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
            t = passed_us + (word & 0x7FFFFF)
            overflow = y == OVERFLOW_ROW
            if overflow.any():
                t += OVERFLOW_US * np.cumsum(overflow)
                passed_us += OVERFLOW_US * int(overflow.sum())
                event = ~overflow
                t, x, y, word = t[event], x[event], y[event], word[event]
            yield Columns(t, x, y, (word >> 23).astype(np.bool_))
            read += len(block)
            if left_over:
                raise CorruptionError(
                    f"{path}: {read} bytes, the last {left_over} are no whole event of {EVENT_BYTES} bytes",
                    lost=f"{left_over} bytes",
                )


BIN40 = Format("bin40", (".bin", ".bs2"), _recognises, _open)
