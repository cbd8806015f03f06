"""Spike tensors of complete recordings, and the windows of a recording that each become one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..events import Events, SensorSizeLike, concatenate, windows
from ..formats import RecordingLike, as_events
from .config import BinConfig
from .encoder import BinCounts, encode_at_once, start_encoding

log = logging.getLogger(__name__)
_warned: set[BinConfig] = set()  # steps for which a warning was logged: one per data set, not one per recording


def encode(
    events: RecordingLike | NDArray[np.void],
    config: BinConfig = BinConfig(),
    *,
    sensor: SensorSizeLike | None = None,
    start_us: int | None = None,
    callback: Callable[[BinCounts], object] | None = None,
) -> NDArray[Any]:
    """Encode a recording as a spike tensor.

    Images and signals are encoded by the spike codes of `dvspipe.encoding`: `Poisson(steps=50).encode(values, rng)`.

    Args:
        events: Events of a recording, may be empty; also a file, or a structured array as in `Events.from_structured`.
        config: Steps, downsampling, form and polarity.
        sensor: Sensor size, for files that do not store it, and arrays. None: the smallest known sensor that contains
            all events.
        start_us: Start of step 0 for `by = time` and `by = recording`; default: time of the first event.
        callback: Called with the numbers of events inside and outside the tensor. Without `callback` and `start_us`, a
            warning is logged if more than 20 % of the events are outside, once per `config`.

    Returns:
        Spike tensor [T, C, H, W] with C, H and W of `config.shape`; 0 without events.

        `count`, `binary` and `clipped`: uint8, number of events per step, polarity and (downsampled) pixel, at most
        255, 1 or `clip`. The sum is `BinCounts.kept`.

        `voxel`: float32, sum of max(0, 1 - abs(k - t')) over the events of a pixel. t' is (t - start) / step_us or, for
        `by = recording`, (T - 1) (t - start) / (last - start). OFF events count -1 if the polarity is `signed`. For
        `by = time`, the share of the last step's events that belongs to step T is dropped. Source: Zhu et al.,
        "Unsupervised event-based learning of optical flow, depth, and egomotion", CVPR (2019), equations 1 and 2.

        `surface`: float32, exp(-(end - last) / tau_us), 0 to 1, with the time `last` of the pixel's last event before
        the end of the step. For `by = events`, the end is the time of the step's last event. Source: Lagorce et al.,
        "HOTS: a hierarchy of event-based time-surfaces for pattern recognition", IEEE TPAMI 39 (2017), equation 3.

    Example:
        >>> from dvspipe.events import SensorSize
        >>> events = Events([0, 10, 30], [0, 0, 2], [0, 0, 1], [1, 1, 0], SensorSize(width=3, height=2))
        >>> spikes = encode(events, BinConfig(steps=2, step_us=20))
        >>> spikes.shape, spikes[0, 1, 0, 0], spikes[1, 0, 1, 2]
        ((2, 2, 2, 3), np.uint8(2), np.uint8(1))
    """
    config = config.part(BinConfig)
    spikes, counts = encode_counted(as_events(events, sensor), config, start_us)

    if callback is not None:
        callback(counts)
    elif start_us is None and config not in _warned:
        lost = counts.explain_outside(config)
        if lost is not None:
            _warned.add(config)
            log.warning("encode: %s; by = recording divides the complete recording into steps", lost)
    return spikes


def encode_counted(events: Events, config: BinConfig, start_us: int | None = None) -> tuple[NDArray[Any], BinCounts]:
    """Return the spike tensor of `encode`, and the numbers of events inside and outside."""
    if not len(events):
        return np.zeros((config.steps, *config.shape(events.sensor)), config.dtype), BinCounts()

    first_us, last_us = int(events.t[0]), int(events.t[-1])
    state = start_encoding(events.sensor, config, start_us=first_us if start_us is None else start_us, last_us=last_us)
    return encode_at_once(events, state, config.steps)


def cut_windows(parts: Iterable[Events], config: BinConfig) -> Iterator[tuple[int, Events]]:
    """Yield the consecutive windows of a recording; each window becomes one spike tensor.

    Args:
        parts: Consecutive parts of one recording.
        config: Defines a window: T * step_us (`by = time`), T * step_events events (`by = events`), or the complete
            recording (`by = recording`).

    Yields:
        Start time of a window (`start_us` of `encode`), and its events. For `by = time`, empty windows are
        skipped.
    """
    if config.by == "time":
        yield from windows(parts, config.tensor_us)
        return

    waiting: list[Events] = []
    room = config.tensor_events
    for part in parts:
        while config.by == "events" and len(part) >= room:
            window = concatenate([*waiting, part.slice_events(0, room)], part.sensor)
            yield int(window.t[0]), window
            part = part.slice_events(room, len(part))
            waiting = []
            room = config.tensor_events

        if len(part):
            waiting.append(part)
            room -= len(part)

    # The last window may be partial; a complete recording is one window.
    if waiting:
        window = concatenate(waiting, waiting[0].sensor)
        yield int(window.t[0]), window
