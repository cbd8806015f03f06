"""The steps of a spike tensor one after another, from a recording that comes in parts.

However it is cut into parts, the first T steps are those that `encode_events` gives for the whole. A stream has as many
steps as the recording lasts; only by recording it ends with T.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, EventError
from ..events import LATEST_US, Events, SensorSize
from .bins import BinConfig, BinCounts, Clock, add_events, add_voxels, note_last
from .kernels import NEVER_US, write_surface


@dataclass(frozen=True, eq=False)
class EncoderState:
    """What an encoder remembers between two parts of a recording.

    Args:
        sensor: That all events come from.
        config: Steps, form and polarity.
        clock: When steps begin; None by events, and by time before the first event.
        begun: [S, C * H * W], what has come of the step in progress and, of the form `voxel`, of the one after it; S is
            1 or 2, and 0 of the form `surface`.
        last_us: int64 [C * H * W], the time of each pixel's last event; [0] of other forms.
        done: Number of complete steps.
        held: Number of events in the step in progress.
        counts: What became of the events so far.
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
        """Whether all steps there will be are complete."""
        return self.config.by == "recording" and self.done == self.config.steps


def start_encoding(
    sensor: SensorSize, config: BinConfig, *, start_us: int | None = None, last_us: int | None = None
) -> EncoderState:
    """The state before the first event.

    Args:
        sensor: That the events will come from.
        config: Steps, form and polarity.
        start_us: Begin of step 0, for steps by time and by recording; by time, the first event's time by default.
        last_us: Time of the recording's last event, which steps by recording need.

    Raises:
        ConfigError: Steps by recording without the times of its first and last event.
    """
    clock = None
    if config.by == "recording":
        if start_us is None or last_us is None:
            raise ConfigError("by = recording: a stream needs start_us and last_us, when the recording begins and ends")
        clock = Clock.of(config, start_us, last_us)
    elif config.by == "time" and start_us is not None:
        clock = Clock.of(config, start_us, start_us)
    places = int(np.prod(config.shape(sensor)))
    surface = config.form == "surface"
    return EncoderState(
        sensor=sensor,
        config=config,
        clock=clock,
        begun=np.zeros((0 if surface else 2 if config.form == "voxel" else 1, places), config.dtype),
        last_us=np.full(places if surface else 0, NEVER_US),
    )


def encode_part(
    events: Events, state: EncoderState, *, until_us: int | None = None
) -> tuple[NDArray[Any], EncoderState]:
    """The steps that a part of a recording completes, and the state after it; the given state stays as it is.

    Args:
        events: The next part.
        state: What the part before it left, or `start_encoding`.
        until_us: A time before which no more events will come, after those of this part; the last event's by default.
            By it steps without events are completed, as a live source needs.

    Returns:
        [steps, C, H, W] with 0 or more steps, as `encode_events` gives them; and the state.

    Raises:
        EventError: The events come from another sensor than the state was started for.
    """
    state = replace(state, begun=state.begun.copy(), last_us=state.last_us.copy())
    done, events, state = _next_step(events, state, until_us)
    steps = []
    while done is not None:
        steps.append(done)
        done, events, state = _next_step(events, state, until_us)
    return _stack(steps, state), state


def finish_encoding(state: EncoderState) -> NDArray[Any]:
    """The step that has begun when a recording ends, as if no more events came: [0 or 1, C, H, W].

    Of the form `voxel` up to 2, since events reach into the next step.
    """
    state = replace(state, begun=state.begun.copy())
    steps = []
    while not state.ended and (state.held or state.begun.any()):
        step, state = _complete(state)
        steps.append(step)
    return _stack(steps, state)


def encode_stream(
    parts: Iterable[Events],
    config: BinConfig,
    *,
    start_us: int | None = None,
    last_us: int | None = None,
    tell: Callable[[BinCounts], object] | None = None,
) -> Iterator[NDArray[Any]]:
    """The steps of a recording, each as soon as it is complete; together the same for any parts.

    Args:
        parts: Consecutive parts of one recording.
        config: Steps, form and polarity.
        start_us: Begin of step 0, for steps by time and by recording; by time, the first event's time by default.
        last_us: Time of the recording's last event, which steps by recording need.
        tell: Is told after each part what became of the events so far.

    Yields:
        [C, H, W] per step, also those without events; at the end what `finish_encoding` gives.

    Raises:
        ConfigError: Steps by recording without the times of its first and last event.
        EventError: The parts come from different sensors.
    """
    state = None
    for part in parts:
        state = state or start_encoding(part.sensor, config, start_us=start_us, last_us=last_us)
        step, rest, state = _next_step(part, state, None)
        while step is not None:
            yield step
            step, rest, state = _next_step(rest, state, None)
        if tell is not None:
            tell(state.counts)
    if state is not None:
        yield from finish_encoding(state)


def _stack(steps: list[NDArray[Any]], state: EncoderState) -> NDArray[Any]:
    shape = state.config.shape(state.sensor)
    return np.stack(steps) if steps else np.zeros((0, *shape), state.config.dtype)


def _next_step(
    events: Events, state: EncoderState, until_us: int | None
) -> tuple[NDArray[Any] | None, Events, EncoderState]:
    """The step in progress if events or the time complete it, else None; the events behind it; the state after it.

    Writes to the arrays of the given state.
    """
    if events.sensor != state.sensor:
        raise EventError(f"a part comes from a sensor of {events.sensor}, expected {state.sensor}")
    if state.ended:
        counts = replace(
            state.counts, events=state.counts.events + len(events), beyond=state.counts.beyond + len(events)
        )
        return None, Events.empty(state.sensor), replace(state, counts=counts)
    if state.config.by == "time" and state.clock is None and len(events):
        state = replace(state, clock=Clock.of(state.config, int(events.t[0]), int(events.t[0])))
    first, stop, complete = _reach(events, state, until_us)
    own = events.slice_events(first, stop)
    saturated = _add(own, state)
    counts = replace(
        state.counts,
        events=state.counts.events + stop,
        before=state.counts.before + first,
        saturated=state.counts.saturated + saturated,
    )
    state = replace(state, held=state.held + len(own), counts=counts)
    rest = events.slice_events(stop, len(events))
    if not complete:
        return None, rest, state
    step, state = _complete(state)
    return step, rest, state


def _reach(events: Events, state: EncoderState, until_us: int | None) -> tuple[int, int, bool]:
    """Which events belong to the step in progress, from the number first up to stop, and whether it is complete."""
    if state.config.by == "events":
        room = state.config.step_events - state.held
        return 0, min(room, len(events)), room <= len(events)
    if state.clock is None:
        return 0, 0, False
    begin_us, end_us = (min(state.clock.begin_us(state.done + k), LATEST_US) for k in (0, 1))
    first, stop = np.searchsorted(events.t, (begin_us, end_us)).tolist()
    return first, stop, stop < len(events) or (until_us is not None and until_us >= end_us)


def _add(events: Events, state: EncoderState) -> int:
    """Adds events to the step in progress; returns how many found a count full."""
    config, index = state.config, np.array([0, len(events)])
    if config.form == "surface":
        note_last(events, config, state.last_us)
    elif state.clock is not None and config.form == "voxel":
        add_voxels(events, index, config, state.clock, state.done, state.begun)
    else:
        return add_events(events, index, config, state.begun)
    return 0


def _complete(state: EncoderState) -> tuple[NDArray[Any], EncoderState]:
    """The step in progress, [C, H, W], as it is, and the state in which the next one begins; writes to `begun`."""
    config = state.config
    if config.form == "surface":
        step = np.zeros(state.last_us.size, config.dtype)
        end_us = state.last_us.max() if state.clock is None else min(state.clock.begin_us(state.done + 1), LATEST_US)
        write_surface(state.last_us, end_us, config.tau_us, step)
    else:
        step = state.begun[0].copy()
        state.begun[:-1] = state.begun[1:]
        state.begun[-1] = 0
    return step.reshape(config.shape(state.sensor)), replace(state, done=state.done + 1, held=0)
