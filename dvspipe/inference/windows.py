"""A recording of any length as spike tensors: steps one after another, and windows that slide over them.

Everything stands on one clock: step k begins `start_us + k * step_us`, where `start_us` is the time of the first event,
and window k begins k hops after it. Windows without events are left out, and pauses cost nothing, however long.

Where a step holds nothing but the counts of its own events, and hops are whole steps, each step is encoded once and
windows share it; else each window is encoded by itself. The tensors are the same.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..encoding import (
    BinConfig,
    EncoderState,
    cut_windows,
    encode_events,
    encode_part,
    encode_stream,
    finish_encoding,
    start_encoding,
)
from ..events import Events, concatenate

MOST_STEPS = 64  # that are encoded together


@dataclass(frozen=True, eq=False)
class Step:
    """One time step of a recording.

    Args:
        number: On the recording's clock.
        spikes: [C, H, W].
        events: Number of events in it.
        begins: Whether it is the first, or the first after a pause.
    """

    number: int
    spikes: NDArray[Any]
    events: int
    begins: bool


@dataclass(frozen=True, eq=False)
class Window:
    """A part of a recording as a spike tensor.

    Args:
        start_us: Its begin.
        end_us: Its end, which does not belong to it.
        events: Number of events in it, at least one.
        spikes: [T, C, H, W].
    """

    start_us: int
    end_us: int
    events: int
    spikes: NDArray[Any]


def encode_steps(parts: Iterable[Events], bins: BinConfig, start_us: int, pause_steps: int) -> Iterator[Step]:
    """The steps of a recording by time, those of a pause left out.

    Args:
        parts: Consecutive parts of a recording.
        bins: By time; steps, form and polarity.
        start_us: When step 0 begins, no later than the first event.
        pause_steps: More empty steps than that are a pause; after one the encoder begins anew.
    """
    together = min(MOST_STEPS, pause_steps)
    state: EncoderState | None = None
    waiting: deque[int] = deque()  # numbers of events of the steps from `number` on
    number, last, begins = 0, -1, True

    def numbered(complete: Iterable[NDArray[Any]]) -> Iterator[Step]:
        nonlocal number, begins
        for spikes in complete:
            yield Step(number, spikes, waiting.popleft() if waiting else 0, begins)
            number, begins = number + 1, False

    for part in parts:
        while len(part):
            first = (int(part.t[0]) - start_us) // bins.step_us
            head, part = _divide(part, start_us + (first + together) * bins.step_us)
            if state is not None and first - last - 1 > pause_steps:
                yield from numbered(finish_encoding(state))
                state = None
            if state is None:
                state = start_encoding(head.sensor, bins, start_us=start_us + first * bins.step_us)
                number, begins = first, True
                waiting.clear()
            last = (int(head.t[-1]) - start_us) // bins.step_us
            edges_us = start_us + np.arange(number + len(waiting), last + 1) * bins.step_us
            own = np.diff(np.searchsorted(head.t, edges_us), prepend=0, append=len(head)).tolist()
            if waiting:
                waiting[-1] += own[0]
            waiting.extend(own[1:])
            complete, state = encode_part(head, state)
            yield from numbered(complete)
    if state is not None:
        yield from numbered(finish_encoding(state))


def _divide(part: Events, at_us: int) -> tuple[Events, Events]:
    """The events before a time, and the others."""
    place = int(np.searchsorted(part.t, at_us))
    return part.slice_events(0, place), part.slice_events(place, len(part))


def slide(parts: Iterable[Events], bins: BinConfig, hop_us: int) -> Iterator[Window]:
    """The windows of a recording by time, each `bins.window_us` long, that hold events.

    Args:
        parts: Consecutive parts of a recording.
        bins: By time.
        hop_us: From the begin of one window to that of the next.

    Yields:
        Of all k >= 0, in order, the window from start_us + k * hop_us on, up to the last event's; `encode_events` gives
        the same tensor.
    """
    start_us, stream = begin_of(parts)
    alone = bins.form in ("count", "binary", "clipped") and hop_us % bins.step_us == 0
    yield from (_slide_steps if alone else _slide_events)(stream, bins, start_us, hop_us)


def begin_of(parts: Iterable[Events]) -> tuple[int, Iterator[Events]]:
    """The time of the first event, 0 where there is none, and the parts that have any, from the first on."""
    stream = (part for part in parts if len(part))
    first = next(stream, None)
    return (0, stream) if first is None else (int(first.t[0]), itertools.chain([first], stream))


def _slide_steps(parts: Iterator[Events], bins: BinConfig, start_us: int, hop_us: int) -> Iterator[Window]:
    """Windows that share their steps."""
    hop, T = hop_us // bins.step_us, bins.steps
    kept: deque[Step] = deque()
    k = 0

    def window() -> Window | None:
        while kept and kept[0].number < k * hop:
            kept.popleft()
        inside = [step for step in kept if step.number < k * hop + T]
        events = sum(step.events for step in inside)
        if not events:
            return None
        spikes = np.zeros((T, *inside[0].spikes.shape), bins.dtype)
        for step in inside:
            spikes[step.number - k * hop] = step.spikes
        begin_us = start_us + k * hop_us
        return Window(begin_us, begin_us + bins.window_us, events, spikes)

    for step in encode_steps(parts, bins, start_us, T):
        if step.begins:
            while kept and k * hop <= kept[-1].number:  # those that reach into the pause
                if found := window():
                    yield found
                k += 1
            kept.clear()
            k = max(k, -((T - 1 - step.number) // hop))  # the first that reaches this step
        if step.number >= k * hop:
            kept.append(step)
        while step.number >= k * hop + T - 1:
            if found := window():
                yield found
            k += 1
    while kept and k * hop <= kept[-1].number:
        if found := window():
            yield found
        k += 1


def _slide_events(parts: Iterator[Events], bins: BinConfig, start_us: int, hop_us: int) -> Iterator[Window]:
    """Windows that are encoded one by one."""
    kept: Events | None = None
    k = 0

    def encoded(events: Events) -> Window:
        begin_us = start_us + k * hop_us
        inside = events.slice_time(begin_us, begin_us + bins.window_us)
        spikes = encode_events(inside, bins, start_us=begin_us)
        return Window(begin_us, begin_us + bins.window_us, len(inside), spikes)

    def skip(events: Events) -> int:
        """The first window from the k-th on that holds any of the events."""
        return max(k, (int(events.t[0]) - start_us - bins.window_us) // hop_us + 1)

    for part in parts:
        kept = part if kept is None or not len(kept) else concatenate([kept, part], part.sensor)
        while len(kept):
            k = skip(kept)
            begin_us = start_us + k * hop_us
            _, kept = _divide(kept, begin_us)
            if not len(kept) or kept.t[-1] < begin_us + bins.window_us:
                break
            if kept.t[0] < begin_us + bins.window_us:
                yield encoded(kept)
            k += 1
    while kept is not None and len(kept):
        k = skip(kept)
        _, kept = _divide(kept, start_us + k * hop_us)
        if len(kept) and kept.t[0] < start_us + k * hop_us + bins.window_us:
            yield encoded(kept)
        k += 1


def divide_by_events(parts: Iterable[Events], bins: BinConfig) -> Iterator[Window]:
    """The windows of a recording by number of events, one after another; the last may hold fewer."""
    for start_us, events in cut_windows(parts, bins):
        spikes = encode_events(events, bins, start_us=start_us)
        yield Window(start_us, int(events.t[-1]) + 1, len(events), spikes)


def take_whole(parts: Callable[[], Iterable[Events]], bins: BinConfig) -> Iterator[Window]:
    """A recording as one window, gone through twice: steps by recording need the times of its first and last event."""
    count, first_us, last_us = 0, 0, 0
    for part in parts():
        if len(part):
            first_us = int(part.t[0]) if not count else first_us
            count, last_us = count + len(part), int(part.t[-1])
    if count:
        steps = list(encode_stream(parts(), bins, start_us=first_us, last_us=last_us))
        yield Window(first_us, last_us + 1, count, np.stack(steps))


class StepCounts:
    """How many events each step of a recording holds.

    Args:
        step_us: Length of a step; the first begins with the first event.
    """

    def __init__(self, step_us: int) -> None:
        self.step_us = step_us
        self.start_us: int | None = None
        self._steps: list[NDArray[np.int64]] = []  # those that hold events, and how many
        self._counts: list[NDArray[np.int64]] = []

    def add(self, events: Events) -> None:
        """Counts the next part of a recording."""
        if not len(events):
            return
        self.start_us = int(events.t[0]) if self.start_us is None else self.start_us
        steps = (events.t - self.start_us) // self.step_us
        begins = np.flatnonzero(np.diff(steps, prepend=-1))
        self._steps.append(steps[begins])
        self._counts.append(np.diff(begins, append=len(steps)))

    def between(self, begin_us: NDArray[np.int64], end_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of events between times [N], which are taken as the nearest begins of steps, at least one step."""
        steps = np.concatenate([np.zeros(0, np.int64), *self._steps])
        until = np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(0, np.int64), *self._counts]))])
        zero_us = (self.start_us or 0) - self.step_us // 2
        first, last = ((times_us - zero_us) // self.step_us for times_us in (begin_us, end_us))
        before, beyond = np.searchsorted(steps, first), np.searchsorted(steps, np.maximum(last, first + 1))
        return np.asarray(until[beyond] - until[before])
