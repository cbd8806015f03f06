"""Classification with one continuous network state, step by step: complete recordings and live streams."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ..encoding import BinConfig
from .windows import Step

if TYPE_CHECKING:
    from .torch_runner import TorchRunner
    from .windows import WindowSpikes

LIVE_HOP_US = 100_000  # about the time between predictions of a live stream


def live_hop(bins: BinConfig) -> int:
    """Return the number of steps between predictions of a live stream, about `LIVE_HOP_US`."""
    return max(1, round(LIVE_HOP_US / bins.step_us))


class InputSpan(NamedTuple):
    """Time span of the input of a prediction, and its number of events."""

    start_us: int
    end_us: int
    events: int


class StepOutput(NamedTuple):
    """Running mean of the network's outputs, float32 [K], over a span; the prediction is known at its end."""

    span: InputSpan
    logits: NDArray[np.float32]


class _RunningMean:
    """Mean of the first T outputs, then an exponential moving average: output n has the weight max(1 / n, 1 / T)."""

    def __init__(self, bins: BinConfig, classes: int, start_us: int) -> None:
        self._bins = bins
        self._start_us = start_us
        self._recent: deque[int] = deque(maxlen=bins.steps)  # number of events in each of the last T steps
        self.value = np.zeros(classes, np.float32)
        self.steps = 0

    def add(self, output: NDArray[np.float32], events: int) -> None:
        """Add the output of the next step, and its number of events."""
        self.steps += 1
        weight = np.float32(max(1 / self.steps, 1 / self._bins.steps))
        self.value = self.value + weight * (output - self.value)
        self._recent.append(events)

    @property
    def end_us(self) -> int:
        return self._start_us + self.steps * self._bins.step_us

    @property
    def output(self) -> StepOutput:
        span = InputSpan(max(self._start_us, self.end_us - self._bins.tensor_us), self.end_us, sum(self._recent))
        return StepOutput(span, self.value)


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
        classes: Number of classes K.
        start_us: Start of step 0 in microseconds.
        hop: Number of steps between outputs, > 0.
        copies: Equal copies of the stream that the network processes; 2 if blocks may have a single step.
    """

    def __init__(
        self,
        runner: TorchRunner,
        bins: BinConfig,
        classes: int,
        *,
        start_us: int,
        hop: int,
        copies: int = 1,
    ) -> None:
        self._runner = runner
        self._bins = bins
        self._classes = classes
        self._start_us = start_us
        self._hop = hop
        self._copies = copies
        self._state: object = None
        self._mean = _RunningMean(bins, classes, start_us)
        self._last_end_us: int | None = None  # end of the last output

    def add(self, block: Sequence[Step]) -> list[StepOutput]:
        """Classify consecutive steps, of which only the first may follow a pause; return the outputs they complete."""
        if block[0].is_first:
            start_us = self._start_us + block[0].number * self._bins.step_us
            self._state = None
            self._mean = _RunningMean(self._bins, self._classes, start_us)

        # A step between two pauses is processed twice for equal rounding. Its state is not needed: a next step would be
        # the first after a pause.
        is_single = len(block) == 1 and self._copies == 1 and block[0].is_first
        spikes = cast("WindowSpikes", np.stack([step.spikes for step in block]))
        outputs, state = self._runner.run(spikes, self._state, copies=2 if is_single else self._copies)
        self._state = None if is_single else state

        outputs_of_hops = []
        for step, output in zip(block, outputs, strict=True):
            self._mean.add(output, step.events)
            if (step.number + 1) % self._hop == 0:
                outputs_of_hops.append(self._take_output())
        return outputs_of_hops

    def finish(self) -> list[StepOutput]:
        """Return the output of the last steps, if they are not the end of a hop."""
        is_returned = self._last_end_us is not None and self._last_end_us >= self._mean.end_us
        return [self._take_output()] if self._mean.steps and not is_returned else []

    def _take_output(self) -> StepOutput:
        self._last_end_us = self._mean.end_us
        return self._mean.output


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
