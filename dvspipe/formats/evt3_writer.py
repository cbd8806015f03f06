"""Writer of EVT 3.0 (`.evt3.raw`); `evt` describes the format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..events import Events, SensorSize
from .evt_kernels import (
    EVT3_LOW_BITS,
    MAX_EVT3_WORDS,
    MAX_EVT_SIDE_PX,
    EventArrays,
    Evt3State,
    encode_evt3,
)
from .writers import StreamEncoder, check_sides, check_times

EVT3_SUFFIX = ".evt3.raw"
EVT3_END_US = 1 << 34  # 4 h 46 min, with 8 MB of TIME_HIGH words; also the limit of EVT 2.0
HEADER = """\
% evt 3.0
% format EVT3;height={height};width={width}
% geometry {width}x{height}
% integrator_name Prophesee
% plugin_name hal_plugin_prophesee
% system_ID 49
% end
"""
"""Metavision and OpenEB select their reader by integrator_name, plugin_name and system_ID; 49 is the EVK4."""


@contextmanager
def _begin(path: Path, sensor: SensorSize) -> Iterator[Callable[[Events], None]]:
    check_sides(sensor, EVT3_SUFFIX, MAX_EVT_SIDE_PX)

    state = Evt3State()
    with path.open("wb") as file:
        file.write(HEADER.format(width=sensor.width, height=sensor.height).encode())

        def add(events: Events) -> None:
            nonlocal state
            # Every value of TIME_HIGH since the previous events is a word.
            highs = int(events.t[-1] >> EVT3_LOW_BITS) - state.high
            words = np.empty(MAX_EVT3_WORDS * len(events) + highs, "<u2")
            columns = EventArrays(events.t, events.x, events.y, events.p.view(np.uint8))
            state, count = encode_evt3(columns, state, words)
            file.write(words[:count].data)

        yield add


def _size(events: Events, last_us: int | None) -> int:
    highs = int(events.t[-1] - (last_us or 0) >> EVT3_LOW_BITS) + 2
    return 2 * (MAX_EVT3_WORDS * len(events) + highs)


def _check(events: Events, _last_us: int | None) -> None:
    check_times(events, EVT3_SUFFIX, EVT3_END_US, "; shift the times to begin near 0")


EVT3_ENCODER = StreamEncoder((EVT3_SUFFIX,), _begin, _size, _check)
