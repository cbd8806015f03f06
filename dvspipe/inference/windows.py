"""Encode recordings of any length as spike tensors: time steps and sliding windows.

Time starts at the first event, `start_us`: step k starts at `start_us + k * step_us`, window k at
`start_us + k * hop_us`. Windows without events are skipped, therefore long pauses cost nothing.
Each window is encoded separately: sharing the steps of overlapping windows is not faster, because the network takes
most of the time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..encoding import BinConfig, EncoderState, encode, encode_part, finish_encoding, start_encoding
from ..events import Events, SensorSize, concatenate

MAX_STEPS = 64  # steps encoded together

WindowSpikes = NDArray[np.uint8]
"""Spike tensor."""


class Step(NamedTuple):
    """Time step of a recording.

    Args:
        number: Number of the step; step 0 starts at the first event.
        spikes: Spike tensor [C, H, W].
        is_first: Whether the step is the first of the recording, or the first after a pause.
    """

    number: int
    spikes: WindowSpikes
    is_first: bool


class Window(NamedTuple):
    """Window of a recording as a spike tensor.

    Args:
        start_us: Start time in microseconds, inclusive.
        end_us: End time in microseconds, exclusive.
        events: Number of events in the window, > 0.
        spikes: Spike tensor [T, C, H, W].
    """

    start_us: int
    end_us: int
    events: int
    spikes: WindowSpikes


def encode_steps(parts: Iterable[Events], bins: BinConfig, *, start_us: int, pause_steps: int) -> Iterator[Step]:
    """Yield the time steps of a recording, without pauses; step 0 starts at `start_us`.

    A pause is a sequence of more than `pause_steps` empty steps. The encoder is reset after a pause.
    """
    encoder = StepEncoder(bins, start_us, pause_steps)
    for part in parts:
        yield from encoder.add(part)
    yield from encoder.finish()


class StepEncoder:
    """Encoder of the time steps of a recording, part by part; arguments as in `encode_steps`."""

    def __init__(self, bins: BinConfig, start_us: int, pause_steps: int) -> None:
        self._bins = bins
        self._start_us = start_us
        self._pause_steps = pause_steps
        self._state: EncoderState | None = None
        self._number = 0  # number of the next step
        self._last = -1  # step of the last event
        self._is_first = True

    def add(self, part: Events) -> Iterator[Step]:
        """Add the next part of the recording, and yield the steps that it completes."""
        # Encode at most as many steps at once as a pause has: a longer pause is then between two heads, not inside one.
        step_us = self._bins.step_us
        together = min(MAX_STEPS, self._pause_steps)
        while len(part):
            first = self._step_at(int(part.t[0]))
            head, part = _split_at(part, self._start_us + (first + together) * step_us)

            if first - self._last - 1 > self._pause_steps:
                yield from self.finish()
            if self._state is None:
                self._state = self._start(head.sensor, first)

            self._last = self._step_at(int(head.t[-1]))
            complete, self._state = encode_part(head, self._state)
            yield from self._number_steps(complete)

    def finish(self) -> Iterator[Step]:
        """Yield the remaining, incomplete steps."""
        if self._state is not None:
            yield from self._number_steps(finish_encoding(self._state))
            self._state = None

    def _step_at(self, t_us: int) -> int:
        return (t_us - self._start_us) // self._bins.step_us

    def _start(self, sensor: SensorSize, first: int) -> EncoderState:
        self._number = first
        self._is_first = True
        return start_encoding(sensor, self._bins, start_us=self._start_us + first * self._bins.step_us)

    def _number_steps(self, encoded: Iterable[WindowSpikes]) -> Iterator[Step]:
        for spikes in encoded:
            yield Step(self._number, spikes, self._is_first)
            self._number += 1
            self._is_first = False


def _split_at(part: Events, at_us: int) -> tuple[Events, Events]:
    """Split events into events before `at_us` and the remaining events."""
    index = int(np.searchsorted(part.t, at_us))
    return part[:index], part[index:]


def slide(parts: Iterable[Events], bins: BinConfig, hop_us: int) -> Iterator[Window]:
    """Yield the windows of a recording that start every `hop_us` microseconds; windows without events are skipped."""
    start_us, stream = find_start(parts)
    number = 0

    pending = Events.empty(SensorSize(width=1, height=1))
    for part in itertools.chain(stream, [None]):
        if part is not None:
            pending = concatenate([pending, part], part.sensor) if len(pending) else part

        while len(pending):
            # Window k ends at start + k * hop + window; the next one ends after the first event that is left.
            number = max(number, (int(pending.t[0]) - start_us - bins.tensor_us) // hop_us + 1)
            begin_us = start_us + number * hop_us
            end_us = begin_us + bins.tensor_us
            _, pending = _split_at(pending, begin_us)

            # A window is complete once an event after its end was read, or the recording ends.
            if not len(pending) or (part is not None and pending.t[-1] < end_us):
                break
            inside = pending.between(begin_us, end_us)
            if len(inside):
                yield Window(begin_us, end_us, len(inside), encode(inside, bins, start_us=begin_us))
            number += 1


def find_start(parts: Iterable[Events]) -> tuple[int, Iterator[Events]]:
    """Return the time of the first event (0 without events), and the nonempty parts."""
    stream = (part for part in parts if len(part))
    first = next(stream, None)

    return (0, stream) if first is None else (int(first.t[0]), itertools.chain([first], stream))
