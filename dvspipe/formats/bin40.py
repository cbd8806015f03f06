"""Headerless 40-bit format of N-MNIST and N-Caltech101 (`.bin`), and of SLAYER (`.bs2`).

An event has five bytes: x, y, and a big-endian 24-bit word with polarity (1 = ON) in the top bit and time in
microseconds in the other 23 bits (Orchard et al. 2015). A record with y = 240 is not an event: it marks an overflow of
the camera's 13-bit clock, and adds 2^13 us to all later times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from ..base.errors import EventError
from ..events import Events, SensorSize
from .hints import Hints
from .source import Format, Source, StoredColumns, WriteOptions, check_range, read_records

SUFFIXES = (".bin", ".bs2")
RECORD = np.dtype([("x", "u1"), ("y", "u1"), ("high", "u1"), ("low", ">u2")])
OVERFLOW_ROW = 240
OVERFLOW_US = 1 << 13
POLARITY_BIT = 23
COUNTER_US = 1 << POLARITY_BIT
END_US = 1 << 36  # 19 hours; their overflow marks take 42 MB


def _open(path: Path, _hints: Hints) -> Source:
    return Source(sensor=None, chunks=partial(_chunks, path))


def _chunks(path: Path) -> Iterator[StoredColumns]:
    overflow_us = 0
    for _, records in read_records(path, 0, RECORD):
        word = records["high"].astype(np.int64) << 16 | records["low"]
        is_mark = records["y"] == OVERFLOW_ROW
        t = overflow_us + OVERFLOW_US * np.cumsum(is_mark) + word % COUNTER_US
        overflow_us += OVERFLOW_US * int(is_mark.sum())

        is_event = ~is_mark
        on = word >> POLARITY_BIT == 1
        yield StoredColumns(t[is_event], records["x"][is_event], records["y"][is_event], on[is_event])


@contextmanager
def _write(path: Path, _sensor: SensorSize, _options: WriteOptions) -> Iterator[Callable[[Events], None]]:
    marked = 0  # overflow marks so far
    with path.open("wb") as file:

        def add(events: Events) -> None:
            nonlocal marked
            check_range(events, "the 40-bit format", t=END_US, x=256, y=256)
            if (events.y == OVERFLOW_ROW).any():
                raise EventError(f"event out of range (found y = {OVERFLOW_ROW}, which marks overflows in this format)")

            # Before an event, there are as many marks as its time needs to fit the counter.
            marks = np.maximum(0, -((COUNTER_US - 1 - events.t) // OVERFLOW_US))
            word = (events.t - marks * OVERFLOW_US) | events.p.astype(np.int64) << POLARITY_BIT
            records = np.empty(len(events), RECORD)
            records["x"] = events.x
            records["y"] = events.y
            records["high"] = word >> 16
            records["low"] = word & 0xFFFF

            mark = np.array((0, OVERFLOW_ROW, 0, 0), RECORD)
            positions = np.repeat(np.arange(len(events)), np.diff(marks, prepend=marked))
            file.write(np.insert(records, positions, mark).tobytes())
            marked = int(marks[-1])

        yield add


BIN40 = Format("bin40", SUFFIXES, _open, encoder=_write, written=SUFFIXES)
