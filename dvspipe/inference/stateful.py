"""Classification with one continuous network state, step by step: complete recordings and live streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ..encoding import BinConfig
from .windows import Step

if TYPE_CHECKING:
    from ..networks import State
    from .torch_runner import TorchRunner
    from .windows import WindowSpikes

LIVE_HOP_US = 100_000  # about the time between predictions of a live stream


def live_hop(bins: BinConfig) -> int:
    """Return the number of steps between predictions of a live stream, about `LIVE_HOP_US`."""
    return max(1, round(LIVE_HOP_US / bins.step_us))


class Output(NamedTuple):
    """Output of a network, float32 [K], for the time from `start_us` to `end_us`; it is known at the end.

    A window has its number of events; with one continuous state, the reader counts them.
    """

    start_us: int
    end_us: int
    logits: NDArray[np.float32]
    events: int = 0


class StatefulRun:
    """Run of a network over the steps of one recording or stream, with one continuous state.

    The state is reset only after pauses longer than a window. A prediction is a running mean of outputs. So the last
    prediction within the first window equals the prediction for that window, and with a window as long as the
    recording, the last prediction equals the prediction for the recording.

    The outputs do not depend on the division into blocks, to the last bit, provided that the network processes
    at least two images at once: libraries compute one image by another routine that rounds differently. So a block has
    at least two steps (`group_steps`), or there are two copies of the stream.

    Args:
        runner: Network.
        bins: Encoding; `bins.tensor_us` is the time constant of the running mean.
        start_us: Start of step 0 in microseconds.
        hop: Number of steps between outputs, > 0.
        copies: Equal copies of the stream that the network processes; 2 if blocks may have a single step.
    """

    def __init__(self, runner: TorchRunner, bins: BinConfig, *, start_us: int, hop: int, copies: int = 1) -> None:
        self._runner = runner
        self._bins = bins
        self._start_us = start_us
        self._hop = hop
        self._copies = copies
        self._last_end_us: int | None = None  # end of the last output
        self._begin(0)

    def _begin(self, step: int) -> None:
        """Reset the state of the network and the running mean before a step."""
        self._state: State | None = None
        self._begin_us = self._start_us + step * self._bins.step_us
        self._steps = 0
        self._mean: NDArray[np.float32] = np.zeros(1, np.float32)

    def add(self, block: Sequence[Step]) -> list[Output]:
        """Classify consecutive steps, of which only the first may follow a pause; return the outputs they complete."""
        if block[0].is_first:
            self._begin(block[0].number)

        # A step between two pauses is processed twice for equal rounding. Its state is not needed: a next step would be
        # the first after a pause.
        is_single = len(block) == 1 and self._copies == 1 and block[0].is_first
        spikes = cast("WindowSpikes", np.stack([step.spikes for step in block]))
        outputs, state = self._runner.run(spikes, self._state, copies=2 if is_single else self._copies)
        self._state = None if is_single else state

        completed = []
        for step, output in zip(block, outputs, strict=True):
            # The mean of the first T outputs, then an exponential moving average.
            self._steps += 1
            weight = np.float32(max(1 / self._steps, 1 / self._bins.steps))
            self._mean = self._mean + weight * (output - self._mean)
            if (step.number + 1) % self._hop == 0:
                completed.append(self._take_output())
        return completed

    def finish(self) -> list[Output]:
        """Return the output of the last steps, if they are not the end of a hop."""
        is_returned = self._last_end_us is not None and self._last_end_us >= self._end_us
        return [self._take_output()] if self._steps and not is_returned else []

    @property
    def _end_us(self) -> int:
        return self._begin_us + self._steps * self._bins.step_us

    def _take_output(self) -> Output:
        self._last_end_us = self._end_us
        start_us = max(self._begin_us, self._end_us - self._bins.tensor_us)
        return Output(start_us, self._end_us, self._mean)


def group_steps(steps: Iterable[Step], size: int) -> Iterator[list[Step]]:
    """Group consecutive steps, 2 to `size` + 1 per group (`size` >= 2); a step after a pause starts a new group.

    Only a step between two pauses is a group of its own.
    """
    group: list[Step] = []
    for step in steps:
        if group and step.is_first:
            yield group
            group = []
        group.append(step)

        # Keep two steps for the next group: it has at least two steps, even if the next one follows a pause.
        if len(group) == size + 2:
            yield group[:size]
            group = group[size:]

    if group:
        yield group
