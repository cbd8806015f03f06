"""Writing the 40-bit layout of N-MNIST (`.bin`, `.bs2`), which `bin40` reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import EventError
from ..events import Events, SensorSize
from .bin40 import BIN40, EVENT_BYTES, OVERFLOW_ROW, OVERFLOW_US
from .writers import Encoding

HIGHEST_SIDE = 255
COUNTER_US = 1 << 23
LATEST_US = 1 << 36  # 19 hours, which take 42 MB of marks


def _marks(t: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many overflow marks come ahead of events at some times."""
    return np.maximum(0, -((COUNTER_US - 1 - t) // OVERFLOW_US))


@contextmanager
def _begin(path: Path, _sensor: SensorSize) -> Iterator[Callable[[Events], None]]:
    marked = 0
    with path.open("wb") as file:

        def add(events: Events) -> None:
            nonlocal marked
            marks = _marks(events.t)
            ahead = np.diff(marks, prepend=marked)
            rows = np.zeros((len(events) + int(ahead.sum()), EVENT_BYTES), np.uint8)
            place = np.arange(len(events)) + np.cumsum(ahead)
            rows[:, 1] = OVERFLOW_ROW
            word = (events.t - marks * OVERFLOW_US) | events.p.astype(np.int64) << 23
            rows[place, 0], rows[place, 1] = events.x, events.y
            for byte in range(3):
                rows[place, 2 + byte] = word >> (16 - 8 * byte) & 0xFF
            file.write(rows.tobytes())
            marked = int(marks[-1])

        yield add


def _size(events: Events, last_us: int | None) -> int:
    first, last = _marks(np.array([last_us or 0, events.t[-1]]))
    return EVENT_BYTES * (len(events) + int(last - first))


def _check(events: Events, _last_us: int | None) -> None:
    for name, wrong, expected in (
        ("x", events.x > HIGHEST_SIDE, f"at most {HIGHEST_SIDE}"),
        ("y", (events.y > HIGHEST_SIDE) | (events.y == OVERFLOW_ROW), f"at most {HIGHEST_SIDE} and not {OVERFLOW_ROW}"),
        ("t", (events.t < 0) | (events.t >= LATEST_US), f"0 to {LATEST_US - 1} us"),
    ):
        if wrong.any():
            event = int(np.argmax(wrong))
            value = getattr(events, name)[event]
            raise EventError(f"event {event} has {name} = {value}, where the 40-bit layout holds {expected}")


BIN40_ENCODING = Encoding(BIN40.suffixes, _begin, _size, _check)
