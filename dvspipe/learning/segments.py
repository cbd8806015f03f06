"""Backpropagation through time: over all steps at once, truncated, or the exact gradient in the memory of few steps.

The graph of T steps needs memory in proportion to T. `backpropagate_segments` runs the network without a graph first,
which leaves the state before each segment of n steps and all outputs; the loss of these gives their gradients. Only the
last segment has its graph at once. Then it computes the segments before again with a graph, the latest first, and
propagates the gradients of each one's outputs and of the state after it to the weights and to the state before it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..networks import State, freeze_statistics

Forward = Callable[[Tensor, State | None], tuple[Tensor, State]]
"""A network: outputs [T, B, K] and the state after them, for spikes [T, B, C, H, W] and the state before them."""
Loss = Callable[[Tensor], Tensor]
"""The loss of outputs [T, B, K]: one number."""
BACKWARD_MEMORY = 1.5
"""Peak of the memory of BPTT, relative to what its graph keeps (measured: three blocks at 64 x 64, 1.5)."""


def backpropagate(network: Forward, spikes: Tensor, loss: Loss, *, truncate: int | None = None) -> Tensor:
    """Add the gradients of a loss to those of the weights by backpropagation through time.

    Args:
        network: In training mode.
        spikes: [T, B, C, H, W], of any dtype.
        loss: Of the outputs.
        truncate: Number of steps after which the gradients are cut; the loss is then the mean over windows of so many
            steps. None: they are not cut.

    Returns:
        The outputs [T, B, K], without a graph.
    """
    state: State | None = None
    outputs = []
    for window in spikes.split(truncate or len(spikes)):
        output, state = network(window, state)
        (loss(output) * (len(window) / len(spikes))).backward()
        state = [tensor.detach() for tensor in state]
        outputs.append(output.detach())
    return torch.cat(outputs)


def backpropagate_segments(
    network: nn.Module, spikes: Tensor, loss: Loss, *, steps: int, forward: Forward | None = None
) -> Tensor:
    """Add the gradients of a loss to those of the weights as `backpropagate` does, in the memory of few steps.

    They are those of a graph over all segments. Dropout masks are the same in each segment. Batch norm normalises each
    segment by its own statistics, as with truncated gradients: those over all T steps would need a pass over the
    recording for each layer, forward and back. Its running statistics are updated once per segment.

    The states before at most `steps` segments are kept; if there are more segments, S, the states before each of
    sqrt(S) groups of them, and those of one group at a time, for which the network runs forward once more.

    Args:
        network: In training mode.
        spikes: [T, B, C, H, W], of any dtype.
        loss: Of all outputs; it need not be a sum over steps.
        steps: n, the length of a segment.
        forward: Calls the network, such as with autocast; default: the network itself.

    Returns:
        The outputs [T, B, K], without a graph.

    Example:
        >>> from dvspipe import SensorSize
        >>> from dvspipe.networks import MlpConfig, SpikingNetwork
        >>> config = MlpConfig(channels=(8,), reset="subtract")
        >>> network = SpikingNetwork(config, grid=SensorSize(width=4, height=3), classes=2, dt=1e-3)
        >>> spikes = torch.randint(0, 2, (1000, 5, 2, 3, 4), dtype=torch.uint8)
        >>> outputs = backpropagate_segments(network, spikes, lambda y: y.mean(0)[:, 0].sum(), steps=20)
        >>> outputs.shape, network.linear.weight.grad.shape
        (torch.Size([1000, 5, 2]), torch.Size([2, 8]))
    """
    run = _Repeatable(forward or network, spikes.device)
    segments = spikes.split(steps)
    *earlier, last = segments
    group = 1 if len(segments) <= steps else math.isqrt(len(segments) - 1) + 1
    states: list[State | None] = []
    state, outputs = None, []
    with torch.no_grad():
        for number, segment in enumerate(earlier):
            if number % group == 0:
                states.append(state)
            output, state = run(segment, state)
            outputs.append(output)
    graph = _Graph(run, last, state)
    leaf = torch.cat([*outputs, graph.outputs.detach()]).requires_grad_()
    loss(leaf).backward()
    assert leaf.grad is not None
    to_outputs = leaf.grad.split(steps)
    to_state = graph.propagate(to_outputs[-1], [])
    with freeze_statistics(network):
        for first in reversed(range(0, len(earlier), group)):
            before = _states_before(run, earlier[first : first + group], states.pop())
            for number in reversed(range(first, first + len(before))):
                to_state = _Graph(run, earlier[number], before.pop()).propagate(to_outputs[number], to_state)
    return leaf.detach()


class _Repeatable:
    """A network whose random draws are the same at each call."""

    def __init__(self, network: Forward, device: torch.device) -> None:
        self.network, self.device = network, device
        self.draws = self._generator_state()

    def _generator_state(self) -> list[Tensor]:
        return [torch.get_rng_state(), *([torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else [])]

    def __call__(self, spikes: Tensor, state: State | None) -> tuple[Tensor, State]:
        torch.set_rng_state(self.draws[0])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(self.draws[1], self.device)
        return self.network(spikes, state)


@torch.no_grad()
def _states_before(run: Forward, segments: Sequence[Tensor], state: State | None) -> list[State | None]:
    """Return the states before each of some consecutive segments, from that before the first."""
    states = [state]
    for segment in segments[:-1]:
        states.append(run(segment, states[-1])[1])
    return states


class _Graph:
    """The graph of one segment.

    Args:
        run: The network.
        segment: Its spikes.
        state: The state before it; None at the start.
    """

    def __init__(self, run: Forward, segment: Tensor, state: State | None) -> None:
        self._before = None if state is None else [tensor.detach().requires_grad_() for tensor in state]
        self.outputs, self._after = run(segment, self._before)

    def propagate(self, to_outputs: Tensor, to_state: list[Tensor]) -> list[Tensor]:
        """Add the gradients of the weights, and return those of the state before.

        Args:
            to_outputs: The gradient of the outputs.
            to_state: The gradients of the state after; none after the last segment.
        """
        reached = self._after[: len(to_state)]
        torch.autograd.backward([self.outputs, *reached], [to_outputs.to(self.outputs.dtype), *to_state])
        return [tensor.grad if tensor.grad is not None else torch.zeros_like(tensor) for tensor in self._before or ()]


def measure_graph(network: nn.Module, spikes: Tensor) -> int:
    """Return the number of bytes that backpropagation through time needs per step, at its peak.

    It is measured: what the graph of a second step of a copy of the network keeps, times BACKWARD_MEMORY.

    Args:
        network: In training mode; not changed.
        spikes: [T, B, C, H, W] with at least one step.
    """
    devices = [spikes.device] if spikes.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        one, two = (_kept_bytes(copy.deepcopy(network), spikes[:1].expand(T, *spikes.shape[1:])) for T in (1, 2))
    return round(BACKWARD_MEMORY * (two - one))


def _kept_bytes(network: nn.Module, spikes: Tensor) -> int:
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        outputs, _ = network(spikes, None)  # keeps the graph, so that no memory is used twice
    del outputs
    return sum(kept.values())


def choose_segment(steps: int, step_bytes: int, memory: int) -> int | None:
    """Return the length of segments with which gradients fit in memory; None if those of all steps do.

    Args:
        steps: T.
        step_bytes: Memory per step of the graph.
        memory: Bytes that may be used.

    Example:
        >>> choose_segment(100, 10**6, 10**9), choose_segment(1600, 10**6, 10**9)
        (None, 800)
    """
    fitting = max(1, memory // max(1, step_bytes))
    return None if steps <= fitting else math.ceil(steps / math.ceil(steps / fitting))
