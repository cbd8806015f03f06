"""Backpropagation through time: over all steps, truncated, or exact with the memory of a few steps.

The memory of a graph grows with T. `backpropagate_segments` first runs the network without a graph and keeps the state
before each segment of n steps, and all outputs. The loss gives the gradients of the outputs. Then it recomputes the
segments with a graph, last to first, and propagates the gradients of each segment's outputs and final state to the
weights and to the segment's initial state.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..base.errors import ConfigError
from ..networks import State, freeze_statistics
from ..networks.inputs import check_positive, check_tensor

Forward = Callable[[Tensor, State | None], tuple[Tensor, State]]
"""Network: maps spikes [T, B, C, H, W] and the state before them to outputs [T, B, K] and the state after them."""
Loss = Callable[[Tensor], Tensor]
"""Scalar loss of outputs [T, B, K]."""
STATES_PER_STEP = 3
"""States kept for each step of a segment; together they need less memory than the segment's graph."""
BACKWARD_MEMORY = 1.5
"""Peak memory of BPTT relative to the memory of its graph (measured: 1.5 for three blocks at 64 x 64)."""


def backpropagate(network: Forward, spikes: Tensor, loss: Loss, *, truncate: int | None = None) -> Tensor:
    """Accumulate the gradients of a loss in the `grad` of the weights, by backpropagation through time.

    Args:
        network: Network in training mode.
        spikes: Spike tensor [T, B, C, H, W], any dtype.
        loss: Loss of the outputs.
        truncate: Number of steps between truncations; the loss is then the mean over windows of that length. None: no
            truncation.

    Returns:
        Outputs [T, B, K], without a graph.

    Raises:
        ConfigError: If `truncate` is not above 0.
        DataError: If there is no step.
    """
    check_tensor(backpropagate, "spikes", spikes, "T B ...")
    truncate = len(spikes) if truncate is None else truncate
    check_positive("backpropagate", truncate=truncate)

    state: State | None = None
    outputs = []

    for window in spikes.split(truncate):
        output, state = network(window, state)

        # A window's loss is a mean over its steps, so it counts by its share of all steps.
        (loss(output) * (len(window) / len(spikes))).backward()
        state = [tensor.detach() for tensor in state]

        outputs.append(output.detach())

    return torch.cat(outputs)


def backpropagate_segments(
    network: nn.Module, spikes: Tensor, loss: Loss, *, steps: int, forward: Forward | None = None
) -> Tensor:
    """Accumulate the same gradients as `backpropagate`, with the memory of a few steps.

    The gradients equal the gradients of one graph over all segments. All segments use the same dropout masks. Batch
    norm normalises each segment by its own statistics, as with truncated gradients; statistics over all T steps would
    need one forward and one backward run over the recording per layer. The running statistics are updated once per
    segment.

    The states before at most 3 * `steps` segments are kept. With more segments S, only the states before sqrt(S) groups
    are kept, plus the states of one group at a time; the network then runs forward once more.

    Args:
        network: Network in training mode.
        spikes: Spike tensor [T, B, C, H, W], any dtype.
        loss: Loss of all outputs; not necessarily a sum over steps.
        steps: Length n of a segment in steps.
        forward: Function that calls the network, for example with autocast; default: the network itself.

    Returns:
        Outputs [T, B, K], without a graph.

    Raises:
        ConfigError: If `steps` is not above 0.
        DataError: If there is no step.

    Example:
        >>> from dvspipe import SensorSize
        >>> from dvspipe.networks import NetworkConfig, SpikingNetwork
        >>> config = NetworkConfig(network="mlp", channels=(8,), reset="subtract")
        >>> network = SpikingNetwork(config, grid=SensorSize(width=4, height=3), classes=2, dt=1e-3)
        >>> spikes = torch.randint(0, 2, (1000, 5, 2, 3, 4), dtype=torch.uint8)
        >>> outputs = backpropagate_segments(network, spikes, lambda y: y.mean(0)[:, 0].sum(), steps=20)
        >>> outputs.shape, network.linear.weight.grad.shape
        (torch.Size([1000, 5, 2]), torch.Size([2, 8]))
    """
    check_tensor(backpropagate_segments, "spikes", spikes, "T B ...")
    check_positive("backpropagate_segments", steps=steps)

    run = _Repeatable(forward or network, spikes.device)
    segments = spikes.split(steps)
    *earlier, last = segments

    # With many segments, keep the state before each group of about sqrt(S) segments, and recompute the others.
    group = 1 if len(segments) <= STATES_PER_STEP * steps else math.isqrt(len(segments) - 1) + 1
    states: list[State | None] = []
    state = None
    outputs = []

    with torch.no_grad():
        for number, segment in enumerate(earlier):
            if number % group == 0:
                states.append(state)
            output, state = run(segment, state)
            outputs.append(output)

    # The loss needs all outputs, but only the graph of the last segment.
    graph = _Graph(run, last, state)
    leaf = torch.cat([*outputs, graph.outputs.detach()]).requires_grad_()
    loss(leaf).backward()
    assert leaf.grad is not None

    to_outputs = leaf.grad.split(steps)
    to_state = graph.propagate(to_outputs[-1], [])

    # The forward run has updated the running statistics, so recomputed segments must not.
    with freeze_statistics(network):
        for first in reversed(range(0, len(earlier), group)):
            before = _states_before(run, earlier[first : first + group], states.pop())
            for number in reversed(range(first, first + len(before))):
                to_state = _Graph(run, earlier[number], before.pop()).propagate(to_outputs[number], to_state)

    return leaf.detach()


class Bptt:
    """Backpropagation through time as a `GradientRule`, called like `OTTT` and the other online rules.

    Args:
        network: Network in training mode: (spikes, state) to (outputs, state).
        steps: Number of steps with a stored graph, see `backpropagate_segments`; None: all.
        truncate: Number of steps between truncations, see `backpropagate`; None: no truncation. Not with `steps`.
        forward: Function that calls the network, for example with autocast; default: the network itself.

    Raises:
        ConfigError: If `steps` and `truncate` are given.

    Example:
        >>> from dvspipe.networks import NetworkConfig, SpikingNetwork
        >>> config = NetworkConfig(network="mlp", channels=(8,))
        >>> network = SpikingNetwork(config, grid=(4, 3), classes=2, dt=1e-3)
        >>> spikes = torch.randint(0, 2, (20, 5, 2, 3, 4), dtype=torch.uint8)
        >>> Bptt(network).update(spikes, lambda outputs: outputs.mean(0)[:, 0].sum()).shape
        torch.Size([20, 5, 2])
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        steps: int | None = None,
        truncate: int | None = None,
        forward: Forward | None = None,
    ) -> None:
        if not isinstance(network, nn.Module):
            raise ConfigError(f"Bptt: found {type(network).__name__}, expected a network, a torch.nn.Module")
        if steps is not None and truncate is not None:
            raise ConfigError(f"Bptt: steps = {steps} contradicts truncate = {truncate} (expected one of them)")

        check_positive("Bptt", steps=1 if steps is None else steps, truncate=1 if truncate is None else truncate)
        self.network = network
        self.steps = steps
        self.truncate = truncate
        self.forward: Forward = forward or network

    def __repr__(self) -> str:
        return f"Bptt(steps={self.steps}, truncate={self.truncate})"

    def update(self, spikes: Tensor, loss: Loss) -> Tensor:
        """Accumulate the gradients of a loss in the `grad` of the weights; see `GradientRule`."""
        if self.steps is not None:
            return backpropagate_segments(self.network, spikes, loss, steps=self.steps, forward=self.forward)
        return backpropagate(self.forward, spikes, loss, truncate=self.truncate)


class _Repeatable:
    """Network that repeats the same random draws at each call."""

    def __init__(self, network: Forward, device: torch.device) -> None:
        self.network = network
        self.device = device
        self.cpu_state = torch.get_rng_state()
        self.cuda_state = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def __call__(self, spikes: Tensor, state: State | None) -> tuple[Tensor, State]:
        # Dropout must draw the same masks when a segment is recomputed.
        torch.set_rng_state(self.cpu_state)
        if self.cuda_state is not None:
            torch.cuda.set_rng_state(self.cuda_state, self.device)
        return self.network(spikes, state)


@torch.no_grad()
def _states_before(run: Forward, segments: Sequence[Tensor], state: State | None) -> list[State | None]:
    """Return the state before each of several consecutive segments, given the state before the first."""
    states = [state]
    for segment in segments[:-1]:
        _, state = run(segment, state)
        states.append(state)
    return states


class _Graph:
    """Graph of one segment, from the state before it."""

    def __init__(self, run: Forward, segment: Tensor, state: State | None) -> None:
        self._before = None if state is None else [tensor.detach().requires_grad_() for tensor in state]
        self.outputs, self._after = run(segment, self._before)

    def propagate(self, to_outputs: Tensor, to_state: list[Tensor]) -> list[Tensor]:
        """Accumulate the weight gradients; return the gradients of the initial state.

        `to_state` is empty after the last segment.
        """
        gradients = {self.outputs: to_outputs.to(self.outputs.dtype)} | dict(zip(self._after, to_state, strict=False))
        trained = [tensor for tensor in gradients if tensor.requires_grad]  # a linear readout has an empty state
        torch.autograd.backward(trained, [gradients[tensor] for tensor in trained])
        return [tensor.grad if tensor.grad is not None else torch.zeros_like(tensor) for tensor in self._before or ()]


def measure_graph(network: nn.Module, spikes: Tensor) -> int:
    """Measure the peak memory of backpropagation through time, in bytes per step.

    It is the memory that the graph of a second step keeps, in a copy of the network, times BACKWARD_MEMORY.

    Args:
        network: Network in training mode; not changed.
        spikes: [T, B, C, H, W] with at least one step.
    """
    # A second step shows what a step costs, without what the graph of any length needs.
    devices = [spikes.device] if spikes.device.type == "cuda" else []
    step = spikes[:1]
    with torch.random.fork_rng(devices=devices):
        of_one = _kept_bytes(copy.deepcopy(network), step)
        of_two = _kept_bytes(copy.deepcopy(network), step.expand(2, *step.shape[1:]))
    return round(BACKWARD_MEMORY * (of_two - of_one))


def _kept_bytes(network: nn.Module, spikes: Tensor) -> int:
    """Return the bytes of the tensors that the graph of a call keeps."""
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        # Tensors may share a storage, which counts once.
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        outputs, _ = network(spikes, None)  # keeps the graph, or its memory would be reused

    del outputs

    return sum(storages.values())


def choose_segment(steps: int, step_bytes: int, memory: int) -> int | None:
    """Return the segment length that fits in memory; None if all T steps fit.

    Args:
        steps: Number of steps T.
        step_bytes: Memory of the graph per step, in bytes.
        memory: Available memory in bytes.

    Example:
        >>> choose_segment(100, 10**6, 10**9), choose_segment(1600, 10**6, 10**9)
        (None, 800)
    """
    fitting = max(1, memory // max(1, step_bytes))
    return None if steps <= fitting else math.ceil(steps / math.ceil(steps / fitting))
