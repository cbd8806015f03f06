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
from numpy.typing import NDArray

from ..base.errors import EventError
from ..base.progress import Progress
from ..events import Events, SensorSize
from .hints import NO_HINTS, Hints
from .source import Format, Source, StoredColumns, read_records
from .writers import StreamEncoder

BIN40_SUFFIXES = (".bin", ".bs2")
BIN40_BYTES = 5  # bytes per event
OVERFLOW_ROW = 240
OVERFLOW_US = 1 << 13
MAX_COORDINATE = 255
COUNTER_US = 1 << 23
COUNTER_MASK = COUNTER_US - 1
POLARITY_BIT = 23
END_US = 1 << 36  # 19 hours; their overflow marks take 42 MB


def _recognises(path: Path, _head: bytes) -> bool:
    return path.suffix.lower() in BIN40_SUFFIXES


def _open(path: Path, _hints: Hints = NO_HINTS) -> Source:
    return Source(sensor=None, chunks=partial(_chunks, path))


def _chunks(path: Path, progress: Progress | None = None) -> Iterator[StoredColumns]:
    overflow_us = 0

    # x and y are a byte each, then come the polarity and 23 bits of time, big-endian.
    for _, block in read_records(path, 0, BIN40_BYTES, progress):
        x = block[:, 0]
        y = block[:, 1]
        word = block[:, 2:].astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
        t = overflow_us + (word & COUNTER_MASK)

        # An overflow mark, an event in row 240, adds 2^13 us to the times after it; the mark itself is no event.
        is_mark = y == OVERFLOW_ROW
        if is_mark.any():
            t += OVERFLOW_US * np.cumsum(is_mark)
            overflow_us += OVERFLOW_US * int(is_mark.sum())
            is_event = ~is_mark
            t = t[is_event]
            x = x[is_event]
            y = y[is_event]
            word = word[is_event]

        yield StoredColumns(t, x, y, (word >> POLARITY_BIT).astype(np.bool_))


def _count_marks(t: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of overflow marks before events at times `t`."""
    return np.maximum(0, -((COUNTER_US - 1 - t) // OVERFLOW_US))


@contextmanager
def _begin(path: Path, _sensor: SensorSize) -> Iterator[Callable[[Events], None]]:
    marked = 0  # overflow marks so far
    with path.open("wb") as file:

        def add(events: Events) -> None:
            nonlocal marked
            marks = _count_marks(events.t)
            new_marks = np.diff(marks, prepend=marked)

            # The row of an event comes after all events and marks before it; other rows stay marks.
            rows = np.zeros((len(events) + int(new_marks.sum()), BIN40_BYTES), np.uint8)
            index = np.arange(len(events)) + np.cumsum(new_marks)
            rows[:, 1] = OVERFLOW_ROW
            word = (events.t - marks * OVERFLOW_US) | events.p.astype(np.int64) << POLARITY_BIT
            rows[index, 0] = events.x
            rows[index, 1] = events.y
            for byte in range(3):
                rows[index, 2 + byte] = word >> (16 - 8 * byte) & 0xFF

            file.write(rows.tobytes())
            marked = int(marks[-1])

        yield add


def _size(events: Events, last_us: int | None) -> int:
    first, last = _count_marks(np.array([last_us or 0, events.t[-1]]))
    return BIN40_BYTES * (len(events) + int(last - first))


def _check(events: Events, _last_us: int | None) -> None:
    """Check that events fit the format: a byte each for x and y, and no event in the row of the overflow marks."""
    limits = (
        ("x", events.x > MAX_COORDINATE, f"at most {MAX_COORDINATE}"),
        (
            "y",
            (events.y > MAX_COORDINATE) | (events.y == OVERFLOW_ROW),
            f"at most {MAX_COORDINATE} and not {OVERFLOW_ROW}",
        ),
        ("t", (events.t < 0) | (events.t >= END_US), f"0 to {END_US - 1} us"),
    )

    for name, is_wrong, expected in limits:
        if is_wrong.any():
            event = int(np.argmax(is_wrong))
            value = getattr(events, name)[event]
            raise EventError(
                f"event {event}: out of range (found {name} = {value}, expected {expected} in the 40-bit format)"
            )


BIN40_ENCODER = StreamEncoder(BIN40_SUFFIXES, _begin, _size, _check)
BIN40 = Format("bin40", BIN40_SUFFIXES, _recognises, _open, BIN40_ENCODER)
