"""Encoder of spike tensors: one value per pixel and time step, from a recording in parts.

Steps are half-open. With `by = time`, step k of a recording that begins at `start` contains the events with

    start + k * step_us <= t < start + (k + 1) * step_us.

With `by = recording`, T equal steps reach from the first event to the last event, inclusive:

    k <= (t - start) * T / (last + 1 - start) < k + 1.

With `by = events`, step k contains the events k * step_events to (k + 1) * step_events - 1, counted from 0.

`_encode_block` finds the events of each step, as indices into the sorted events, and a kernel adds them in the form of
`BinConfig.form`. The steps do not depend on the division into parts. A stream has as many steps as the recording lasts;
with `by = recording` it has T.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief, ConfigError, EventError
from ..events import LATEST_US, Events, SensorSize, checked_parts
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
MAX_BLOCK_STEPS = 64  # steps that are encoded together; bounds the memory for long pauses
MAX_BLOCK_BYTES = 1 << 24


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


@dataclass(frozen=True, eq=False, repr=False)
class EncoderState(Brief):
    """State of an encoder between two parts of a recording.

    Args:
        sensor: Sensor of all events.
        config: Steps, form and polarity.
        clock: Times of the steps; None for `by = events`, and before the first event for `by = time`.
        begun: Partial values of the current step (and of the next step for `voxel`), [S, C * H * W]; S is 1, or 2 for
            `voxel`.
        last_us: Time of each pixel's last event for `surface`, int64 [C * H * W]; otherwise [0].
        done: Number of complete steps.
        held: Number of events in the current step.
        counts: Numbers of events inside and outside the steps so far.
    """

    sensor: SensorSize
    config: BinConfig
    clock: Clock | None
    begun: NDArray[Any]
    last_us: NDArray[np.int64]
    done: int = 0
    held: int = 0
    counts: BinCounts = field(default_factory=BinCounts)

    def limit(self, steps: int) -> int:
        """Return how many of the next `steps` exist: with `by = recording`, there are T in all."""
        return min(steps, self.config.steps - self.done) if self.config.by == "recording" else steps


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
    clock = None
    if config.by == "recording":
        if start_us is None or last_us is None:
            raise ConfigError("by = recording: a stream needs start_us and last_us, the start and end of the recording")
        clock = Clock.of(config, start_us, last_us)
    elif config.by == "time" and start_us is not None:
        clock = Clock.of(config, start_us, start_us)

    places = int(np.prod(config.shape(sensor)))
    begun = np.zeros((2 if config.form == "voxel" else 1, places), config.dtype)
    return EncoderState(sensor, config, clock, begun, start_surface(config, places))


def encode_part(
    events: Events, state: EncoderState, *, until_us: int | None = None
) -> tuple[NDArray[Any], EncoderState]:
    """Encode the next part of a recording; return the completed steps and the new state.

    Args:
        events: Next part.
        state: State after the previous part, or from `start_encoding`; it is not changed.
        until_us: Time before which no further events will arrive; default: time of the part's last event. Live sources
            pass it to complete steps without events.

    Returns:
        Completed steps [S, C, H, W] (S may be 0) as in `encode`, and the state.

    Raises:
        EventError: If the sensor of the events differs from previous parts.
    """
    blocks = []
    steps, remaining, state = _encode_block(events, state, until_us=until_us)
    while len(steps) or len(remaining):
        blocks.append(steps)
        steps, remaining, state = _encode_block(remaining, state, until_us=until_us)
    return np.concatenate([*blocks, steps]), state


def finish_encoding(state: EncoderState) -> NDArray[Any]:
    """Return the unfinished step at the end of a recording, [0 or 1, C, H, W].

    For `voxel` up to 2 steps, since events reach into the next step.
    """
    reached = np.flatnonzero(np.any(state.begun, axis=1))  # steps with values, of which the last one counts
    unfinished = max(int(state.held > 0), *(reached + 1).tolist(), 0)

    steps, _ = encode_at_once(Events.empty(state.sensor), state, state.limit(unfinished))
    return steps


def encode_at_once(events: Events, state: EncoderState, steps: int) -> tuple[NDArray[Any], BinCounts]:
    """Return the next steps [T, C, H, W], the last of the recording, and the numbers of events."""
    encoded, remaining, after = _encode_block(events, state, most=steps, is_last=True)
    counts = after.counts
    return encoded, replace(counts, events=counts.events + len(remaining), beyond=counts.beyond + len(remaining))


def encode_stream(
    parts: Events | Iterable[Events],
    config: BinConfig = BinConfig(),
    *,
    start_us: int | None = None,
    last_us: int | None = None,
    callback: Callable[[BinCounts], object] | None = None,
) -> Iterator[NDArray[Any]]:
    """Yield the steps of a recording as soon as they are complete, for any division into parts.

    Args:
        parts: Events, or consecutive parts of one recording.
        config: Steps, form and polarity.
        start_us: Start of step 0; default for `by = time`: time of the first event. Required for `by = recording`.
        last_us: Time of the last event of the recording. Required for `by = recording`.
        callback: Called after each part with the numbers of events inside and outside the steps so far.

    Yields:
        Each step [C, H, W], including empty steps; at the end the steps of `finish_encoding`.

    Raises:
        ConfigError: If `start_us` or `last_us` is missing for `by = recording`.
        EventError: If parts have different sensors, or one is not `Events`.
    """
    state = None
    for part in checked_parts(parts):
        state = state or start_encoding(part.sensor, config, start_us=start_us, last_us=last_us)
        steps, remaining, state = _encode_block(part, state)
        while len(steps) or len(remaining):
            yield from steps
            steps, remaining, state = _encode_block(remaining, state)

        if callback is not None:
            callback(state.counts)

    if state is not None:
        yield from finish_encoding(state)


def _encode_block(
    events: Events,
    state: EncoderState,
    *,
    most: int | None = None,
    until_us: int | None = None,
    is_last: bool = False,
) -> tuple[NDArray[Any], Events, EncoderState]:
    """Return the next complete steps, at most `most`, the remaining events, and the next state.

    With `is_last`, the recording ends, so `most` steps are complete.
    """
    config = state.config
    if events.sensor != state.sensor:
        raise EventError(f"wrong sensor of a part (found {events.sensor}, expected {state.sensor})")

    # Without a given start, step 0 begins at the first event.
    if config.by == "time" and state.clock is None and len(events):
        state = replace(state, clock=Clock.of(config, int(events.t[0]), int(events.t[0])))

    if most is None:
        most = min(MAX_BLOCK_STEPS, max(1, MAX_BLOCK_BYTES // state.begun[0].nbytes))
    most = state.limit(most)
    if most == 0:  # all steps are complete
        counts = state.counts
        counts = replace(counts, events=counts.events + len(events), beyond=counts.beyond + len(events))
        return _reshape(state.begun[:0], state), Events.empty(state.sensor), replace(state, counts=counts)

    # Step k of the block contains the events index[k] to index[k + 1]; the step after the complete ones is begun.
    index, ends_us, complete = _find_steps(events, state, most, until_us)
    complete = most if is_last else complete
    index = index[: min(most, complete + 1) + 1]
    steps = np.zeros((complete + len(state.begun), state.begun.shape[1]), config.dtype)
    steps[: len(state.begun)] = state.begun
    last_us = state.last_us

    saturated = 0
    if config.form == "surface":
        last_us = last_us.copy()
        _write_surfaces(events, index, ends_us[:complete], state.held, config, last_us, steps)
    elif config.form == "voxel" and state.clock is not None:
        _add_voxels(events, index, config, state.clock, state.done, steps)
    else:
        places = create_places(events.sensor, config)
        saturated = int(add_counts(index, events.x, events.y, events.p, places, np.uint8(config.max_count), steps))

    taken = int(index[-1])
    counts = replace(
        state.counts,
        events=state.counts.events + taken,
        before=state.counts.before + int(index[0]),
        saturated=state.counts.saturated + saturated,
    )
    begun_events = taken - int(index[complete])
    after = replace(
        state,
        begun=steps[complete:],
        last_us=last_us,
        done=state.done + complete,
        held=begun_events if complete else state.held + begun_events,
        counts=counts,
    )
    return _reshape(steps[:complete], state), events.slice_events(taken, len(events)), after


def _reshape(steps: NDArray[Any], state: EncoderState) -> NDArray[Any]:
    return steps.reshape(-1, *state.config.shape(state.sensor))


def _find_steps(
    events: Events, state: EncoderState, most: int, until_us: int | None
) -> tuple[NDArray[np.int64], list[int | None], int]:
    """Return the events of the next `most` steps, int64 [most + 1], the ends of the steps, and how many are complete.

    With `by = events`, a step ends with its last event.
    """
    if state.config.by == "events":
        index = (np.arange(most + 1) * state.config.step_events - state.held).clip(0, len(events))
        complete = (state.held + len(events)) // state.config.step_events
        return index, [None] * most, min(most, complete)
    if state.clock is None:
        return np.zeros(most + 1, np.int64), [None] * most, 0

    # An event after a step proves that it is complete, and so does a source that promises no earlier event.
    begins_us = [min(state.clock.begin_us(state.done + number), LATEST_US) for number in range(most + 1)]
    seen_us = [*events.t[-1:].tolist(), *([] if until_us is None else [until_us])]
    complete = sum(end_us <= max(seen_us) for end_us in begins_us[1:]) if seen_us else 0
    return np.searchsorted(events.t, begins_us), [*begins_us[1:]], complete


def _write_surfaces(
    events: Events,
    index: NDArray[np.int64],
    ends_us: Sequence[int | None],
    held: int,
    config: BinConfig,
    last_us: NDArray[np.int64],
    steps: NDArray[np.float32],
) -> None:
    """Write the surface at the end of each complete step, and note the last times of the begun step, too."""
    for number, (first, stop) in enumerate(pairwise(index.tolist())):
        note_last_times(events.slice_events(first, stop), config, last_us)
        if number == len(ends_us):
            break

        # A step that ends with its last event has no end without one.
        end_us = ends_us[number]
        if end_us is not None or stop > first or (number == 0 and held):
            write_surface(last_us, last_us.max() if end_us is None else end_us, config.tau_us, steps[number])


def _add_voxels(
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


def start_surface(config: BinConfig, places: int) -> NDArray[np.int64]:
    """Return the last event times of places without events; empty if the form needs none."""
    return np.full(places if config.form == "surface" else 0, NO_EVENT_US)


def note_last_times(events: Events, config: BinConfig, last_us: NDArray[np.int64]) -> None:
    """Update the last event time of each place."""
    places = create_places(events.sensor, config)
    note_times(events.t, events.x, events.y, events.p, places, last_us)


def create_places(sensor: SensorSize, config: BinConfig) -> Places:
    """Create the index computation of the places of a spike tensor."""
    return Places.of(config.grid(sensor), config.downsample, separate=config.input_channels == 2)
