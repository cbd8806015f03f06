"""Streaming encoder: yield the steps of a spike tensor from a recording in parts.

For any division into parts, the first T steps equal the result of `encode` for the complete recording. A stream
has as many steps as the recording lasts; with `by = recording` it has T.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief, ConfigError, EventError
from ..events import LATEST_US, Events, SensorSize, checked_parts
from .bins import BinCounts, Clock, add_events, add_voxels, note_last_times
from .config import BinConfig
from .kernels import NO_EVENT_US, write_surface


@dataclass(frozen=True, eq=False, repr=False)
class EncoderState(Brief):
    """State of an encoder between two parts of a recording.

    Args:
        sensor: Sensor of all events.
        config: Steps, form and polarity.
        clock: Times of the steps; None for `by = events`, and before the first event for `by = time`.
        begun: Partial values of the current step (and of the next step for `voxel`), [S, C * H * W]; S is 1, 2 for
            `voxel`, 0 for `surface`.
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

    @property
    def ended(self) -> bool:
        """Whether the last step is complete."""
        return self.config.by == "recording" and self.done == self.config.steps


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

    # Events of a voxel step reach into the next one; a surface is computed from the last times.
    begun_steps = {"surface": 0, "voxel": 2}.get(config.form, 1)

    return EncoderState(
        sensor=sensor,
        config=config,
        clock=clock,
        begun=np.zeros((begun_steps, places), config.dtype),
        last_us=np.full(places if config.form == "surface" else 0, NO_EVENT_US),
    )


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
    # The arrays are copied once: `_next_step` writes to them.
    state = replace(state, begun=state.begun.copy(), last_us=state.last_us.copy())

    complete, events, state = _next_step(events, state, until_us)
    steps = []
    while complete is not None:
        steps.append(complete)
        complete, events, state = _next_step(events, state, until_us)
    return _stack(steps, state), state


def finish_encoding(state: EncoderState) -> NDArray[Any]:
    """Return the unfinished step at the end of a recording, [0 or 1, C, H, W].

    For `voxel` up to 2 steps, since events reach into the next step.
    """
    state = replace(state, begun=state.begun.copy())

    steps = []
    while not state.ended and (state.held or state.begun.any()):
        step, state = _complete(state)
        steps.append(step)
    return _stack(steps, state)


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
    return _encode_parts(checked_parts(parts), config, start_us=start_us, last_us=last_us, callback=callback)


def _encode_parts(
    parts: Iterable[Events],
    config: BinConfig,
    *,
    start_us: int | None,
    last_us: int | None,
    callback: Callable[[BinCounts], object] | None,
) -> Iterator[NDArray[Any]]:
    state = None
    for part in checked_parts(parts):
        state = state or start_encoding(part.sensor, config, start_us=start_us, last_us=last_us)
        step, remaining, state = _next_step(part, state, None)
        while step is not None:
            yield step
            step, remaining, state = _next_step(remaining, state, None)

        if callback is not None:
            callback(state.counts)

    if state is not None:
        yield from finish_encoding(state)


def _stack(steps: list[NDArray[Any]], state: EncoderState) -> NDArray[Any]:
    shape = state.config.shape(state.sensor)
    return np.stack(steps) if steps else np.zeros((0, *shape), state.config.dtype)


def _next_step(
    events: Events, state: EncoderState, until_us: int | None
) -> tuple[NDArray[Any] | None, Events, EncoderState]:
    """Return the current step if it is now complete (else None), the remaining events, and the next state.

    Writes to the arrays of `state`.
    """
    if events.sensor != state.sensor:
        raise EventError(f"wrong sensor of a part (found {events.sensor}, expected {state.sensor})")

    before = state.counts
    if state.ended:
        counts = replace(before, events=before.events + len(events), beyond=before.beyond + len(events))
        return None, Events.empty(state.sensor), replace(state, counts=counts)

    # Without a given start, step 0 begins at the first event.
    if state.config.by == "time" and state.clock is None and len(events):
        state = replace(state, clock=Clock.of(state.config, int(events.t[0]), int(events.t[0])))

    # The events before `first` are before step 0: an earlier step would have taken them.
    first, stop, complete = _find_step(events, state, until_us)
    step_events = events.slice_events(first, stop)
    saturated = _add(step_events, state)
    counts = replace(
        before,
        events=before.events + stop,
        before=before.before + first,
        saturated=before.saturated + saturated,
    )
    state = replace(state, held=state.held + len(step_events), counts=counts)
    remaining = events.slice_events(stop, len(events))
    if not complete:
        return None, remaining, state

    step, state = _complete(state)
    return step, remaining, state


def _find_step(events: Events, state: EncoderState, until_us: int | None) -> tuple[int, int, bool]:
    """Return the range of events, first to stop, of the current step, and whether the step is complete."""
    if state.config.by == "events":
        room = state.config.step_events - state.held
        return 0, min(room, len(events)), room <= len(events)
    if state.clock is None:
        return 0, 0, False

    # An event after the step proves that it is complete, and so does a source that promises no earlier event.
    begin_us = min(state.clock.begin_us(state.done), LATEST_US)
    end_us = min(state.clock.begin_us(state.done + 1), LATEST_US)
    first, stop = np.searchsorted(events.t, (begin_us, end_us)).tolist()
    return first, stop, stop < len(events) or (until_us is not None and until_us >= end_us)


def _add(events: Events, state: EncoderState) -> int:
    """Add events to the current step; return the number of saturated events."""
    config = state.config
    index = np.array([0, len(events)])

    if config.form == "surface":
        note_last_times(events, config, state.last_us)
    elif state.clock is not None and config.form == "voxel":
        add_voxels(events, index, config, state.clock, state.done, state.begun)
    else:
        return add_events(events, index, config, state.begun)
    return 0


def _complete(state: EncoderState) -> tuple[NDArray[Any], EncoderState]:
    """Return the current step [C, H, W], and the state at the start of the next step; writes to `begun`."""
    config = state.config
    if config.form == "surface":
        step = np.zeros(state.last_us.size, config.dtype)
        end_us = state.last_us.max() if state.clock is None else min(state.clock.begin_us(state.done + 1), LATEST_US)
        write_surface(state.last_us, end_us, config.tau_us, step)
    else:
        # With two begun steps, the second one becomes the first.
        step = state.begun[0].copy()
        state.begun[:-1] = state.begun[1:]
        state.begun[-1] = 0

    return step.reshape(config.shape(state.sensor)), replace(state, done=state.done + 1, held=0)
