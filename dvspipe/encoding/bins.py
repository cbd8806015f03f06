"""Events to spike tensors: one value per pixel and time step.

Steps are half-open. With `by = time`, step k of a recording that begins at `start` contains the events with

    start + k * step_us <= t < start + (k + 1) * step_us.

With `by = recording`, T equal steps reach from the first event to the last event, inclusive:

    k <= (t - start) * T / (last + 1 - start) < k + 1.

With `by = events`, step k contains the events k * step_events to (k + 1) * step_events - 1, counted from 0.

`encode` finds the events of each step, as indices into the sorted events, and a kernel adds them to the tensor in the
form of `BinConfig.form`. `stream` does the same for a recording in parts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..events import LATEST_US, Events, SensorSize, SensorSizeLike, concatenate, windows
from ..formats import RecordingLike, as_events
from .config import BinConfig
from .kernels import (
    NO_EVENT_US,
    Places,
    StepTimes,
    add_counts,
    add_weights,
    note_times,
    write_surface,
)

MAX_OUTSIDE = 0.2  # share of the events outside the steps; above it, a warning says so
log = logging.getLogger(__name__)
_warned: set[BinConfig] = set()  # steps for which a warning was logged: one per data set, not one per recording


@dataclass(frozen=True)
class BinCounts:
    """Numbers of events inside and outside a spike tensor.

    Args:
        events: All events.
        before: Events before the first step.
        beyond: Events after the last step.
        saturated: Events inside the steps that are not counted because their pixel reached the maximum: 255, `clip` or
            1.
    """

    events: int = 0
    before: int = 0
    beyond: int = 0
    saturated: int = 0

    @property
    def kept(self) -> int:
        """Number of events in the tensor; the sum of the tensor, if it counts events."""
        return self.events - self.before - self.beyond - self.saturated

    @property
    def outside(self) -> float:
        """Share of the events before the first or after the last step."""
        return (self.before + self.beyond) / max(1, self.events)

    def explain_outside(self, config: BinConfig, whose: str = "the events") -> str | None:
        """Return a sentence if more than `MAX_OUTSIDE` of the events are outside the steps; None if not."""
        if self.outside <= MAX_OUTSIDE:
            return None

        length = f" of {config.step_us / 1000:g} ms" if config.by == "time" else ""
        return f"{self.outside:.0%} of {whose} are outside the {config.steps} steps{length} and are not used"


@dataclass(frozen=True)
class Clock:
    """Steps of equal length: step k contains the times t with k <= (t - start_us) * parts / span_us < k + 1.

    Integer arithmetic: rounding never moves an event to another step.
    """

    start_us: int
    span_us: int
    parts: int = 1

    def begin_us(self, step: int) -> int:
        """Return the first microsecond of a step."""
        # The smallest t with (t - start) * parts >= step * span: a division that rounds up.
        return self.start_us - (-step * self.span_us) // self.parts

    @classmethod
    def of(cls, config: BinConfig, start_us: int, last_us: int) -> Clock:
        """Create the steps of a recording for `by = time` or `by = recording`."""
        if config.by == "time":
            return cls(start_us, config.step_us)
        if config.form == "voxel":  # the last step begins at the last event
            return cls(start_us, max(1, last_us - start_us), config.steps - 1)

        # One more microsecond puts the last event into the last step, not at its end.
        return cls(start_us, max(1, last_us + 1 - start_us), config.steps)


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
    channels, height, width = config.shape(events.sensor)
    steps = np.zeros((config.steps, channels * height * width), config.dtype)

    counts = BinCounts(events=len(events))
    if len(events):
        counts = _encode(events, config, start_us, steps)
    return steps.reshape(-1, channels, height, width), counts


def _event_steps(config: BinConfig, events: int) -> NDArray[np.int64]:
    """Return the first event of each step for `by = events`, and the end of the last step: int64 [steps + 1]."""
    return np.minimum(np.arange(config.steps + 1) * config.step_events, events)


def _encode(events: Events, config: BinConfig, start_us: int | None, steps: NDArray[Any]) -> BinCounts:
    """Fill the steps [T, C * H * W]; return the numbers of events inside and outside."""
    # Find the events of each step, index[k] to index[k + 1], and the end of each step.
    clock = None
    if config.by == "events":
        index = _event_steps(config, len(events))
        steps_with_events = np.count_nonzero(np.diff(index))
        ends_us = events.t[index[1:] - 1][:steps_with_events]
    else:
        clock = Clock.of(config, int(events.t[0]) if start_us is None else start_us, int(events.t[-1]))
        begins_us = clock_times(clock, config.steps)
        index = np.searchsorted(events.t, begins_us)
        ends_us = begins_us[1:]

    saturated = 0
    if config.form == "surface":
        # The last times carry over from step to step.
        last_us = np.full(steps[0].size, NO_EVENT_US)
        for step, first, stop, end_us in zip(steps, index, index[1:], ends_us, strict=False):
            note_last_times(events.slice_events(int(first), int(stop)), config, last_us)
            write_surface(last_us, end_us, config.tau_us, step)
    elif clock is not None and config.form == "voxel":
        add_voxels(events, index, config, clock, 0, steps)
    else:
        saturated = add_events(events, index, config, steps)

    return BinCounts(len(events), int(index[0]), len(events) - int(index[-1]), saturated)


def clock_times(clock: Clock, steps: int) -> NDArray[np.int64]:
    """Return the first microsecond of each step, and the end of the last step: int64 [steps + 1]."""
    return np.array([min(clock.begin_us(step), LATEST_US) for step in range(steps + 1)])


def add_events(events: Events, index: NDArray[np.int64], config: BinConfig, steps: NDArray[np.uint8]) -> int:
    """Count the events index[k] to index[k + 1] in steps[k]; return the number of saturated events."""
    largest = np.uint8(config.max_count)
    places = create_places(events.sensor, config)

    return int(add_counts(index, events.x, events.y, events.p, places, largest, steps))


def add_voxels(
    events: Events,
    index: NDArray[np.int64],
    config: BinConfig,
    clock: Clock,
    first_step: int,
    steps: NDArray[np.float32],
) -> None:
    """Divide the events index[k] to index[k + 1] between steps[k] and steps[k + 1]; steps[0] is step `first_step`."""
    begins_us = np.array([(first_step + k) * clock.span_us / clock.parts for k in range(len(index) - 1)])
    times = StepTimes(clock.start_us, begins_us, length_us=clock.span_us / clock.parts)
    places = create_places(events.sensor, config)
    signed = config.polarity == "signed"

    add_weights(index, times, events.t, events.x, events.y, events.p, places, signed, steps)


def note_last_times(events: Events, config: BinConfig, last_us: NDArray[np.int64]) -> None:
    """Update the last event time of each place."""
    places = create_places(events.sensor, config)
    note_times(events.t, events.x, events.y, events.p, places, last_us)


def create_places(sensor: SensorSize, config: BinConfig) -> Places:
    """Create the index computation of the places of a spike tensor."""
    return Places.of(config.grid(sensor), config.downsample, separate=config.input_channels == 2)


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
