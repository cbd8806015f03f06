"""Events to frames: an array per time window, or per number of events, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..events import LATEST_US, Events, checked_parts, concatenate, windows
from .bins import encode_counted
from .config import BinConfig, FrameConfig

NO_EVENT_US = np.iinfo(np.int64).min


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

    Sources: Lagorce et al., "HOTS: a hierarchy of event-based time-surfaces for pattern recognition", IEEE TPAMI 39
    (2017), equation 3 (`surface`); Zhu et al., "Unsupervised event-based learning of optical flow, depth, and
    egomotion", CVPR (2019), equations 1 and 2 (`voxel`).

    Args:
        parts: Events, or consecutive parts of one recording.
        config: Windows and values.

    Raises:
        EventError: If parts are not consecutive `Events` of one sensor.

    Example:
        >>> events = Events([0, 4, 25], [3, 3, 5], [1, 1, 2], [1, 1, 0], "12x7")
        >>> frames = encode_frames(events, FrameConfig(every_us=10))
        >>> [(frame.start_us, frame.end_us, frame.events, frame.values[1, 1, 3]) for frame in frames]
        [(0, 10, 2, np.uint8(2)), (20, 30, 1, np.uint8(0))]
    """
    last_us = np.zeros((2, 0, 0), np.int64)
    values: NDArray[np.uint8 | np.float32]

    for start_us, events in _cut_windows(parts, config):
        end_us = int(events.t[-1]) + 1
        if config.every_us is not None:
            end_us = min(start_us + config.every_us, LATEST_US)

        if config.form == "surface":
            # The last times carry over from window to window; the sensor is known from the first one.
            width, height = events.sensor
            last_us = last_us if last_us.size else np.full((2, height, width), NO_EVENT_US)
            values = _update_surface(events, last_us, end_us, config.tau_us)
        elif config.form == "voxel":
            values = _divide_events(events, config.bins)
        else:
            (values,), _ = encode_counted(events, BinConfig(steps=1, by="recording"))

        yield EventFrame(start_us, end_us, len(events), values)


def _cut_windows(parts: Events | Iterable[Events], config: FrameConfig) -> Iterator[tuple[int, Events]]:
    """Yield the start and the events of consecutive windows; the last one may be partial."""
    if config.every_us is not None:
        yield from windows(parts, config.every_us)
        return

    size = config.every_events
    assert size is not None
    waiting: Events | None = None
    for part in checked_parts(parts):
        waiting = part if waiting is None else concatenate([waiting, part])
        while len(waiting) >= size:
            yield int(waiting.t[0]), waiting[:size]
            waiting = waiting[size:]

    if waiting is not None and len(waiting):
        yield int(waiting.t[0]), waiting


def _update_surface(events: Events, last_us: NDArray[np.int64], end_us: int, tau_us: float) -> NDArray[np.float32]:
    """Return exp(-(end - last) / tau) with the last event of each polarity and pixel, after noting it in `last_us`."""
    # Of events at the same place, numpy keeps the last one.
    last_us[events.p.astype(np.intp), events.y, events.x] = events.t
    fired = last_us != NO_EVENT_US

    surface = np.zeros(last_us.shape, np.float32)
    surface[fired] = np.exp((last_us[fired] - end_us) / tau_us)
    return surface


def _divide_events(events: Events, bins: int) -> NDArray[np.float32]:
    """Divide each event, ON 1 and OFF -1, between the two nearest of the steps from the first to the last event."""
    width, height = events.sensor
    position = (events.t - events.t[0]) * (bins - 1) / max(1, events.duration_us)
    step = position.astype(np.int64)
    share = position - step

    # The last event is at the last step, and has no share in the step after it.
    plane = height * width
    size = (bins + 1) * plane
    place = step * plane + events.y * np.int64(width) + events.x
    sign = np.where(events.p, 1.0, -1.0)
    voxels = np.bincount(place, sign * (1 - share), size)
    voxels += np.bincount(place + plane, sign * share, size)
    return voxels.reshape(bins + 1, height, width)[:bins].astype(np.float32)
