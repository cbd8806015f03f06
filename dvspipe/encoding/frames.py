"""Events to frames: an array per time window, or per number of events, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..events import LATEST_US, Events, checked_parts
from .bins import cut_windows, encode
from .config import BinConfig, FrameConfig
from .encoder import note_last_times, start_surface
from .kernels import write_surface


class EventFrame(NamedTuple):
    """Frame of events.

    Args:
        start_us: Start of the window in microseconds; with `every_events`, the time of the first event.
        end_us: End of the window (exclusive) in microseconds.
        events: Number of events in the window.
        values: Values: `count` uint8 [2, H, W] and `surface` float32 [2, H, W], channel 0 OFF and 1 ON; `voxel`
            float32 [bins, H, W].
    """

    start_us: int
    end_us: int
    events: int
    values: NDArray[np.uint8 | np.float32]


def encode_frames(parts: Events | Iterable[Events], config: FrameConfig) -> Iterator[EventFrame]:
    """Yield the frames of a recording; memory is bounded by the busiest window.

    The values are as from `encode` for the events of the window: `form = count` with one step, `surface` with
    the events before the window too, and `voxel` with signed polarity and steps from the first to the last event.

    Args:
        parts: Events, or consecutive parts of one recording.
        config: Windows and values.

    Raises:
        EventError: If a part is not `Events`.

    Example:
        >>> events = Events([0, 4, 25], [3, 3, 5], [1, 1, 2], [1, 1, 0], "12x7")
        >>> frames = encode_frames(events, FrameConfig(every_us=10))
        >>> [(frame.start_us, frame.end_us, frame.events, frame.values[1, 1, 3]) for frame in frames]
        [(0, 10, 2, np.uint8(2)), (20, 30, 1, np.uint8(0))]
    """
    return _encode_frames(checked_parts(parts), config)


def _encode_frames(parts: Iterable[Events], config: FrameConfig) -> Iterator[EventFrame]:
    surface = BinConfig(form="surface")
    last_us = np.zeros(0, np.int64)
    values: NDArray[np.uint8 | np.float32]

    for start_us, events in cut_windows(parts, config.windows):
        end_us = int(events.t[-1]) + 1
        if config.every_us is not None:
            end_us = min(start_us + config.every_us, LATEST_US)

        if config.form == "surface":
            # The last times carry over from window to window; the sensor is known from the first one.
            shape = surface.shape(events.sensor)
            last_us = last_us if last_us.size else start_surface(surface, int(np.prod(shape)))
            note_last_times(events, surface, last_us)

            ages = np.zeros(last_us.size, np.float32)
            write_surface(last_us, end_us, config.tau_us, ages)
            values = ages.reshape(shape)
        elif config.form == "voxel":
            voxels = BinConfig(steps=config.bins, by="recording", form="voxel", polarity="signed")
            values = encode(events, voxels)[:, 0]
        else:
            values = encode(events, BinConfig(steps=1, by="recording"))[0]

        yield EventFrame(start_us, end_us, len(events), values)
