"""What a network does with recordings: spikes, synaptic operations, and the traces of single neurons."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..results import LayerActivity as LayerRecord
from .models import Convolution, Linear, SpikingNetwork
from .neurons import LIF, CountReadout


@dataclass
class LayerActivity:
    """What a layer of synapses and the neurons behind it did, added up over passes of the network.

    Args:
        name: `lif1`, `lif2`, ... as `watch_rates` names the neurons, or `readout`.
        pool: Side of the squares whose spikes are averaged on their way into the layer.
        inputs: Number of values that come in at a step.
        neurons: Number of neurons.
        connections: Weights times the places where they are used: the multiply-accumulates of one dense pass.
        recordings: Number of recordings.
        steps: Recordings times steps.
        arrived: Spikes that came in, n where layers that are added sent n; those ahead of an average pooling, which
            passes each of them on.
        nonzero: Values that came in and were not zero.
        fired: Spikes per neuron, added up over recordings and steps; None where the neurons do not spike.
    """

    name: str
    pool: int
    inputs: int = 0
    neurons: int = 0
    connections: int = 0
    recordings: int = 0
    steps: int = 0
    arrived: float = 0.0
    nonzero: int = 0
    fired: float | None = None

    @property
    def fan_out(self) -> float:
        """Neurons that a spike reaches, in the mean over the inputs, padding included."""
        return self.connections / self.inputs

    @property
    def rate(self) -> float | None:
        """Spikes per neuron and step."""
        return None if self.fired is None else self.fired / self.steps

    def _begin(self, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        T, B = given[0].shape[:2]
        self.recordings += B
        self.steps += T * B

    def _take(self, _: nn.Module, given: tuple[Any, ...]) -> None:
        x: Tensor = given[0]  # [T*B, C, H, W], or [T, B, features]
        self.inputs = x[0].numel() if x.ndim == 4 else x.shape[-1]
        self.arrived += float(x.sum(dtype=torch.float64)) * self.pool**2
        self.nonzero += int(x.count_nonzero())

    def _integrate(self, weight: Tensor, given: tuple[Tensor, ...]) -> None:
        self.neurons = given[0][0, 0].numel()
        self.connections = self.neurons * weight[0].numel()

    def _fire(self, _: nn.Module, given: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        T, B = given[0].shape[:2]
        self.fired = (self.fired or 0.0) + float(output[0].mean(dtype=torch.float64)) * T * B


@contextmanager
def count_activity(network: SpikingNetwork) -> Iterator[list[LayerActivity]]:
    """The layers of a network in their order, which add up what its passes inside the block do."""
    blocks = [module for module in network.modules() if isinstance(module, Convolution | Linear)]
    weights = [block.convolution.weight if isinstance(block, Convolution) else block.linear.weight for block in blocks]
    parts: list[tuple[nn.Module, Tensor, nn.Module]] = [
        *((block, weight, block.lif) for block, weight in zip(blocks, weights, strict=True)),
        (network.linear, network.linear.weight, network.readout),
    ]
    layers, hooks, pool = list[LayerActivity](), [], 1
    for number, (synapses, weight, neurons) in enumerate(parts, start=1):
        layer = LayerActivity(f"lif{number}" if number < len(parts) else "readout", pool)
        hooks += [
            network.register_forward_pre_hook(layer._begin),
            synapses.register_forward_pre_hook(layer._take),
            neurons.register_forward_pre_hook(lambda _, given, of=(layer, weight): of[0]._integrate(of[1], given)),
        ]
        if isinstance(neurons, LIF | CountReadout):
            hooks.append(neurons.register_forward_hook(layer._fire))
        pool = neurons.settings.pool if isinstance(neurons, LIF) else 1
        layers.append(layer)
    try:
        yield layers
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class LayerTrace:
    """What some neurons of a layer did with one recording.

    Args:
        name: As in `LayerActivity`.
        neurons: Number of neurons in the layer.
        spikes: bool [T, n], of n neurons that are spread evenly over those that spike, or over all where none does.
        traced: Which of the n have a membrane below: the busiest, the middle and the quietest.
        membranes: float64 [T, len(traced)], their potentials at each step, ahead of a reset, in thresholds.
    """

    name: str
    neurons: int
    spikes: NDArray[np.bool_]
    traced: tuple[int, ...]
    membranes: NDArray[np.float64]


def trace_layers(network: SpikingNetwork, spikes: Tensor, shown: int) -> tuple[list[LayerTrace], NDArray[np.float64]]:
    """Spikes and membranes of some neurons of each spiking layer, and the readout of one recording.

    Args:
        network: In evaluation mode.
        spikes: [T, 1, C, H, W].
        shown: Neurons of each layer, at most.

    Returns:
        A trace per layer, and the readout [T, K].
    """
    currents: list[tuple[LIF, Tensor]] = []
    layers = [module for module in network.modules() if isinstance(module, LIF)]
    hooks = [
        layer.register_forward_pre_hook(lambda lif, given: currents.append((lif, given[0].flatten(1).clone())))
        for layer in layers
    ]
    try:
        with torch.no_grad():
            outputs, _ = network(spikes)
    finally:
        for hook in hooks:
            hook.remove()
    with torch.no_grad():
        traces = [_trace(f"lif{number}", *pair, shown) for number, pair in enumerate(currents, start=1)]
    readout: NDArray[np.float64] = outputs[:, 0].double().cpu().numpy()
    return traces, readout


def _trace(name: str, lif: LIF, currents: Tensor, shown: int) -> LayerTrace:
    """The trace of a layer from its input currents [T, N]."""
    alone = copy(lif)
    alone.settings = lif.settings._replace(pool=1, in_place=False)
    fired = alone(currents, None)[0].cpu().numpy() > 0
    active = np.flatnonzero(fired.any(0))
    pool = active if active.size else np.arange(currents.shape[1])
    chosen = pool[np.linspace(0, pool.size - 1, min(shown, pool.size)).round().astype(int)]
    order = np.argsort(-fired[:, chosen].sum(0), kind="stable")
    traced = [int(order[place]) for place in dict.fromkeys((0, order.size // 2, order.size - 1))]
    membranes = _potentials(alone, currents[:, torch.from_numpy(chosen[traced]).to(currents.device)])
    return LayerTrace(name, currents.shape[1], fired[:, chosen], tuple(traced), membranes)


def _potentials(lif: LIF, currents: Tensor) -> NDArray[np.float64]:
    """The potentials [T, n] ahead of resets: where a reset subtracts, a step's spike and state tell both."""
    subtracting = copy(lif)
    subtracting.settings = lif.settings._replace(subtract=True)
    state, potentials = None, []
    for current in currents.split(1):
        spikes, state = subtracting(current, state)
        potentials.append((state[0] + spikes[0]).double().cpu().numpy())
        if not lif.settings.subtract:
            state = torch.cat([state[:1] * (1 - spikes), state[1:]])
    return np.stack(potentials)


def summarize_layer(layer: LayerActivity, *, multiplies: bool) -> LayerRecord:
    """Return what `count_activity` counted of a layer as a record.

    Args:
        layer: The counters of the layer.
        multiplies: Whether the inputs of the layer are numbers other than counts.
    """
    return LayerRecord(
        name=layer.name,
        neurons=layer.neurons,
        connections=layer.connections,
        fan_out=layer.fan_out,
        steps=layer.steps,
        spikes_in=layer.nonzero if multiplies else layer.arrived,
        rate=layer.rate,
        multiplies=multiplies,
    )
