"""Events to spike tensors: number of events per time step, polarity and pixel.

Steps are half-open. With `by = time`, step k of a recording that begins at `start` contains the events with

    start + k * step_us <= t < start + (k + 1) * step_us.

With `by = recording`, T equal steps reach from the first event to the last event, inclusive:

    k <= (t - start) * T / (last + 1 - start) < k + 1.

There is one encoder, with an explicit state: `encode_part` adds a part of a recording, and returns the steps that it
completes. `encode` is the encoder over one part. For any division into parts, the steps are the same.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError
from ..events import (
    EARLIEST_US,
    LATEST_US,
    Events,
    SensorSize,
    SensorSizeLike,
    as_integer,
    check_part,
    checked_parts,
)
from ..formats import RecordingLike, as_events
from .config import BinConfig
from .kernels import Places, add_counts

MAX_OUTSIDE = 0.2  # share of the events outside the steps; above it, a warning says so
BLOCK_STEPS = 64  # steps of a stream that are counted at once
log = logging.getLogger(__name__)
_warned: set[BinConfig] = set()  # steps for which a warning was logged: one per data set, not one per recording


@dataclass(frozen=True)
class BinCounts:
    """Numbers of events inside and outside a spike tensor.

    Args:
        events: All events.
        before: Events before the first step.
        beyond: Events after the last step.
        saturated: Events inside the steps that are not counted because their pixel reached the maximum: 255 or 1.
    """

    events: int = 0
    before: int = 0
    beyond: int = 0
    saturated: int = 0

    @property
    def kept(self) -> int:
        """Number of events in the tensor: its sum."""
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

    def edges(self, first: int, steps: int) -> NDArray[np.int64]:
        """Return the first microsecond of each step from `first` on, and the end of the last step, [steps + 1]."""
        # The smallest t with (t - start) * parts >= step * span: a division that rounds up.
        begins_us = (self.start_us - (-step * self.span_us) // self.parts for step in range(first, first + steps + 1))
        return np.array([min(begin_us, LATEST_US) for begin_us in begins_us])


class EncoderState(NamedTuple):
    """State of an encoder between two parts of a recording.

    Args:
        sensor: Sensor of all events.
        config: Steps, form and polarity.
        clock: Times of the steps; None before the first event, which starts them.
        begun: Counts of the current step, uint8 [0 or 1, C * H * W].
        steps: Number of steps; None: as many as the recording lasts.
        done: Number of complete steps.
        counts: Numbers of events inside and outside the steps so far.
        last_us: Time of the last event.
    """

    sensor: SensorSize
    config: BinConfig
    clock: Clock | None
    begun: NDArray[np.uint8]
    steps: int | None = None
    done: int = 0
    counts: BinCounts = BinCounts()
    last_us: int = EARLIEST_US


def start_encoding(
    sensor: SensorSize, config: BinConfig, *, start_us: int | None = None, last_us: int | None = None
) -> EncoderState:
    """Return the initial state of an encoder.

    Args:
        sensor: Sensor of all events.
        config: Steps, form and polarity.
        start_us: Start of step 0; default for `by = time`: time of the first event. Required for `by = recording`.
        last_us: Time of the last event of the recording. Required for `by = recording`.

    Raises:
        ConfigError: If `start_us` or `last_us` is missing for `by = recording`.
    """
    start_us = None if start_us is None else as_integer("start_us", start_us)
    nothing = np.zeros((0, math.prod(config.shape(sensor))), np.uint8)
    if config.by == "time":
        clock = None if start_us is None else Clock(start_us, config.step_us)
        return EncoderState(sensor, config, clock, nothing)

    if start_us is None or last_us is None:
        raise ConfigError("by = recording: a stream needs start_us and last_us, the start and end of the recording")

    # One more microsecond puts the last event into the last step, not at its end.
    clock = Clock(start_us, max(1, as_integer("last_us", last_us) + 1 - start_us), config.steps)
    return EncoderState(sensor, config, clock, nothing, config.steps)


def encode_part(events: Events, state: EncoderState) -> tuple[NDArray[np.uint8], EncoderState]:
    """Encode the next part of a recording; return the completed steps and the new state.

    Args:
        events: Next part.
        state: State after the previous part, or from `start_encoding`; it is not changed.

    Returns:
        Completed steps [S, C, H, W] (S may be 0) as in `encode`, and the state.

    Raises:
        EventError: If the events are before the previous part, or have another sensor.
    """
    check_part(events, state.sensor, state.counts.events, state.last_us)
    blocks = list[NDArray[np.uint8]]()
    for steps, after in _encode_blocks(events, state):
        blocks.append(steps)
        state = after
    return np.concatenate(blocks), state


def finish_encoding(state: EncoderState) -> NDArray[np.uint8]:
    """Return the unfinished step at the end of a recording, [0 or 1, C, H, W]."""
    return state.begun[state.begun.any(axis=1)].reshape(-1, *state.config.shape(state.sensor))


def encode_stream(
    parts: Events | Iterable[Events],
    config: BinConfig = BinConfig(),
    *,
    start_us: int | None = None,
    last_us: int | None = None,
    callback: Callable[[BinCounts], object] | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Yield the steps of a recording as soon as they are complete, for any division into parts.

    Args:
        parts: Events, or consecutive parts of one recording.
        config: Steps, form and polarity.
        start_us: Start of step 0; default for `by = time`: time of the first event. Required for `by = recording`.
        last_us: Time of the last event of the recording. Required for `by = recording`.
        callback: Called after each part with the numbers of events inside and outside the steps so far.

    Yields:
        Each step [C, H, W], including empty steps; at the end the step of `finish_encoding`.

    Raises:
        ConfigError: If `start_us` or `last_us` is missing for `by = recording`.
        EventError: If parts are not consecutive `Events` of one sensor.
    """
    state = None
    for part in checked_parts(parts):
        state = state or start_encoding(part.sensor, config, start_us=start_us, last_us=last_us)
        for steps, after in _encode_blocks(part, state):
            state = after
            yield from steps

        if callback is not None:
            callback(state.counts)

    if state is not None:
        yield from finish_encoding(state)


def encode(
    events: RecordingLike | NDArray[np.void],
    config: BinConfig = BinConfig(),
    *,
    sensor: SensorSizeLike | None = None,
    start_us: int | None = None,
    callback: Callable[[BinCounts], object] | None = None,
) -> NDArray[np.uint8]:
    """Encode a recording as a spike tensor.

    Images and signals are encoded by the spike codes of `dvspipe.encoding`: `Poisson(steps=50).encode(values, rng)`.

    Args:
        events: Events of a recording, may be empty; also a file, or a structured array as in `Events.from_structured`.
        config: Steps, downsampling, form and polarity.
        sensor: Sensor size, for files that do not store it, and arrays. None: the smallest known sensor that contains
            all events.
        start_us: Start of step 0; default: time of the first event.
        callback: Called with the numbers of events inside and outside the tensor. Without `callback` and `start_us`, a
            warning is logged if more than 20 % of the events are outside, once per `config`.

    Returns:
        Spike tensor [T, C, H, W] with C, H and W of `config.shape`: uint8, number of events per step, polarity and
        (downsampled) pixel, at most 255, or 1 for `binary`. The sum is `BinCounts.kept`.

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


def encode_counted(
    events: Events, config: BinConfig, start_us: int | None = None
) -> tuple[NDArray[np.uint8], BinCounts]:
    """Return the spike tensor of `encode`, and the numbers of events inside and outside."""
    first_us, last_us = (int(events.t[0]), int(events.t[-1])) if len(events) else (0, 0)
    first_us = first_us if start_us is None else start_us
    state = start_encoding(events.sensor, config, start_us=first_us, last_us=last_us)

    # No event arrives after this part, so all T steps are complete.
    steps, _, state = _encode_block(events, state._replace(steps=config.steps), config.steps, LATEST_US)
    return steps, state.counts


def _encode_blocks(events: Events, state: EncoderState) -> Iterator[tuple[NDArray[np.uint8], EncoderState]]:
    """Yield the completed steps and the state, block by block: a pause may have any number of steps."""
    is_full = True
    while is_full:
        known_us = int(events.t[-1]) if len(events) else EARLIEST_US
        state = state._replace(last_us=max(state.last_us, known_us))
        steps, events, state = _encode_block(events, state, BLOCK_STEPS, known_us)
        yield steps, state
        is_full = len(steps) == BLOCK_STEPS


def _encode_block(
    events: Events, state: EncoderState, limit: int, known_us: int
) -> tuple[NDArray[np.uint8], Events, EncoderState]:
    """Return at most `limit` completed steps [S, C, H, W], the remaining events, and the next state.

    No event before `known_us` will follow.
    """
    config = state.config
    shape = config.shape(state.sensor)
    clock = state.clock
    if clock is None:
        if not len(events):
            return np.zeros((0, *shape), np.uint8), events, state
        clock = Clock(int(events.t[0]), config.step_us)

    # Events index[k] to index[k + 1] are in step k of the block.
    limit = limit if state.steps is None else min(limit, state.steps - state.done)
    edges_us = clock.edges(state.done, limit)
    complete = int(np.searchsorted(edges_us[1:], known_us, side="right"))
    index = np.searchsorted(events.t, edges_us)[: complete + 2]

    # The step after the complete ones has begun.
    counted = np.zeros((min(complete + 1, limit), state.begun.shape[1]), np.uint8)
    counted[: len(state.begun)] = state.begun
    places = Places.of(state.sensor, config)
    saturated = add_counts(index, events.x, events.y, events.p, places, np.uint8(config.max_count), counted)

    # Events before the first edge are before step 0: an earlier step would have taken them.
    before = int(index[0])
    used = int(index[-1])
    done = state.done + complete
    beyond = len(events) - used if done == state.steps else 0
    counts = BinCounts(
        events=state.counts.events + used + beyond,
        before=state.counts.before + before,
        beyond=state.counts.beyond + beyond,
        saturated=state.counts.saturated + int(saturated),
    )

    state = state._replace(clock=clock, begun=counted[complete:].copy(), done=done, counts=counts)
    rest = events[used + beyond :]
    return counted[:complete].reshape(-1, *shape), rest, state
