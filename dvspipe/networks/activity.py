"""Network activity on recordings: spikes, connections, and traces of single neurons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..base.errors import Brief, ConfigError
from ..results import LayerActivity as LayerRecord
from .first_spike import FirstSpikeLayer, FirstSpikeNetwork
from .integrate_and_fire import FIRED, IntegrateAndFire
from .models import Convolution, IntegrateAndFireConvolution, Linear, Network, SpikingNetwork
from .module import ModuleNetwork
from .neurons import LIF, CountReadout


@dataclass(repr=False)
class LayerCounts(Brief):
    """Activity of a layer (synapses and neurons), summed over forward passes.

    Args:
        name: `lif1`, `lif2`, ... as in `watch_rates`, or `readout`.
        pool: Size of the average pooling before the layer.
        inputs: Number of input values per step.
        neurons: Number of neurons.
        connections: Number of connections between inputs and neurons: the multiply-accumulates of one dense step.
        steps: Number of steps of all recordings.
        arrived: Number of input spikes, counted before average pooling, which forwards each spike. A sum of n spikes,
            as in a residual, counts n.
        nonzero: Number of nonzero input values.
        fired: Number of output spikes per neuron; None if the neurons do not spike.
        of_potentials: Whether the inputs are potentials of non-spiking neurons.
    """

    name: str
    pool: int
    inputs: int = 0
    neurons: int = 0
    connections: int = 0
    steps: int = 0
    arrived: float = 0.0
    nonzero: int = 0
    fired: float | None = None
    of_potentials: bool = False

    @property
    def fan_out(self) -> float:
        """Mean number of neurons per input; padding reduces it."""
        return self.connections / self.inputs

    @property
    def rate(self) -> float | None:
        """Spikes per neuron and step; None if the neurons do not spike."""
        return None if self.fired is None else self.fired / self.steps

    def _count_steps(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        T, B = inputs[0].shape[:2]
        self.steps += T * B

    def _count_inputs(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        x: Tensor = inputs[0]  # [T*B, C, H, W], or [T, B, features]
        self.inputs = x[0].numel() if x.ndim == 4 else x.shape[-1]
        self.arrived += float(x.sum(dtype=torch.float64)) * self.pool**2
        self.nonzero += int(x.count_nonzero())

    def _count_connections(
        self, weight: Tensor, neurons: nn.Module, inputs: Any, output: tuple[Tensor, Tensor]
    ) -> None:
        # `IntegrateAndFire` receives spikes, and its state has one potential per neuron; others receive currents.
        _, state = output
        currents, *_ = inputs
        self.neurons = state[0].numel() if isinstance(neurons, IntegrateAndFire) else currents[0, 0].numel()
        self.connections = self.neurons * weight[0].numel()

    def _count_outputs(self, neurons: nn.Module, inputs: Any, output: tuple[Tensor, Tensor]) -> None:
        T, B = inputs[0].shape[:2]
        self.fired = (self.fired or 0.0) + _spike_rate(neurons, inputs, output) * T * B

    def _count_times(self, layer: FirstSpikeLayer, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        arrived = int(inputs[0].isfinite().sum())
        self.neurons, self.inputs = layer.weight.shape
        self.connections = layer.weight.numel()
        self.arrived += arrived
        self.nonzero += arrived
        if layer.horizon is None:
            self.fired = (self.fired or 0.0) + float(output.isfinite().sum()) / self.neurons


@contextmanager
def watch_rates(network: nn.Module) -> Iterator[dict[str, float]]:
    """Yield a dictionary of spikes per neuron and step, updated by every forward pass inside the block.

    Keys are `lif1`, `lif2`, ... from input to output.
    """
    rates: dict[str, float] = {}

    def watch(name: str, layer: nn.Module) -> RemovableHandle:
        def note(spikes: Tensor) -> None:
            rates[name] = float(spikes.detach().mean())

        def note_first(*call: Any) -> None:
            rates[name] = _spike_rate(*call)

        if isinstance(network, FirstSpikeNetwork):
            return layer.register_forward_hook(lambda _layer, _inputs, times: note(times.isfinite() / network.steps))
        if isinstance(layer, LIF):
            return layer.spikes.register_forward_hook(lambda _layer, _inputs, output: note(output))

        return layer.register_forward_hook(note_first)

    layers = network.layers if isinstance(network, FirstSpikeNetwork) else filter(_is_spiking, network.modules())
    with ExitStack() as hooks:
        for number, layer in enumerate(layers, start=1):
            hooks.enter_context(watch(f"lif{number}", layer))
        yield rates


def _is_spiking(module: nn.Module) -> bool:
    """Return whether a module is a layer of spiking neurons."""
    return isinstance(module, LIF) or (isinstance(module, IntegrateAndFire) and module.threshold is not None)


def _spike_rate(neurons: nn.Module, inputs: Any, output: tuple[Tensor, Tensor]) -> float:
    """Return the spikes per neuron and step in one call of a layer, from its arguments, and its output and state."""
    output_spikes, state = output
    if not isinstance(neurons, IntegrateAndFire):
        return float(output_spikes.detach().mean(dtype=torch.float64))

    # The output of `IntegrateAndFire` is pooled, so its spikes are counted in the state, where they stay.
    input_spikes, state_before = inputs
    fired = int((state == FIRED).sum())
    if state_before is not None:
        fired -= int((state_before == FIRED).sum())
    return fired / state.numel() / len(input_spikes)


@contextmanager
def count_activity(network: Network) -> Iterator[list[LayerCounts]]:
    """Yield the layers of a network in order; every forward pass inside the block adds to their counts.

    Custom modules yield an empty list, since their layers are unknown.
    """
    with ExitStack() as hooks:
        if isinstance(network, FirstSpikeNetwork):
            yield _count_first_spikes(network, hooks)
        elif isinstance(network, ModuleNetwork):
            yield []
        else:
            yield _count_spikes(network, hooks)


def _count_first_spikes(network: FirstSpikeNetwork, hooks: ExitStack) -> list[LayerCounts]:
    layers = []
    for number, synapses in enumerate((*network.layers, network.readout), start=1):
        layer = LayerCounts("readout" if synapses is network.readout else f"lif{number}", pool=1)
        hooks.enter_context(network.register_forward_pre_hook(layer._count_steps))
        hooks.enter_context(synapses.register_forward_hook(layer._count_times))
        layers.append(layer)
    return layers


def _count_spikes(network: Network, hooks: ExitStack) -> list[LayerCounts]:
    if not isinstance(network, SpikingNetwork):
        raise ConfigError(f"count_activity: found {type(network).__name__}, expected a network of dvspipe.networks")

    parts = [part for module in network.modules() if (part := _find_parts(module)) is not None]
    parts.append((network.linear, network.linear.weight, network.readout))

    layers = []
    pool = 1
    of_potentials = False
    for number, (synapses, weight, neurons) in enumerate(parts, start=1):
        layer = LayerCounts(f"lif{number}" if number < len(parts) else "readout", pool, of_potentials=of_potentials)
        hooks.enter_context(network.register_forward_pre_hook(layer._count_steps))
        hooks.enter_context(synapses.register_forward_pre_hook(layer._count_inputs))
        hooks.enter_context(neurons.register_forward_hook(partial(layer._count_connections, weight)))
        if _is_spiking(neurons) or isinstance(neurons, CountReadout):
            hooks.enter_context(neurons.register_forward_hook(layer._count_outputs))
        layers.append(layer)

        # The pooling of a layer changes what the next layer counts.
        pool = neurons.settings.pool if isinstance(neurons, LIF) else 1
        of_potentials = isinstance(neurons, IntegrateAndFire) and not _is_spiking(neurons)

    return layers


def _find_parts(module: nn.Module) -> tuple[nn.Module, Tensor, nn.Module] | None:
    """Return synapses, weights and neurons of a layer; None for other modules."""
    if isinstance(module, Convolution):
        return module, module.convolution.weight, module.lif
    if isinstance(module, Linear):
        return module, module.linear.weight, module.lif
    return (module, module.neurons.weight, module.neurons) if isinstance(module, IntegrateAndFireConvolution) else None


@dataclass(frozen=True, repr=False)
class LayerTrace(Brief):
    """Spikes and membranes of selected neurons of a layer, for one recording.

    Args:
        name: Name of the layer; see `LayerCounts`.
        neurons: Number of neurons in the layer.
        spikes: Spikes, bool [T, n], of n neurons evenly spaced among the active neurons, or among all if none spikes.
        traced: Indices into the n neurons with a membrane trace: most, median and least active.
        membranes: Potentials before resets, in thresholds, float64 [T, len(traced)].
    """

    name: str
    neurons: int
    spikes: NDArray[np.bool_]
    traced: tuple[int, ...]
    membranes: NDArray[np.float64]


def trace_layers(network: Network, spikes: Tensor, shown: int) -> tuple[list[LayerTrace], NDArray[np.float64]]:
    """Return spikes and membranes of selected neurons of each spiking layer, and the readout, for one recording.

    Args:
        network: Network in evaluation mode.
        spikes: Spike tensor [T, 1, C, H, W].
        shown: Maximum number of neurons per layer.

    Returns:
        One trace per layer (none for custom modules), and the readout, float64 [T, K].
    """
    if isinstance(network, FirstSpikeNetwork):
        return _trace_first_spikes(network, spikes, shown)

    inputs: list[tuple[nn.Module, Tensor]] = []
    layers = [] if isinstance(network, ModuleNetwork) else filter(_is_spiking, network.modules())

    with torch.no_grad(), ExitStack() as hooks:
        for layer in layers:
            hook = layer.register_forward_pre_hook(lambda layer, call: inputs.append((layer, call[0].clone())))
            hooks.enter_context(hook)
        outputs, _ = network(spikes)

    with torch.no_grad():
        traces = [
            _trace(f"lif{number}", layer, received, shown) for number, (layer, received) in enumerate(inputs, start=1)
        ]

    readout: NDArray[np.float64] = outputs[:, 0].double().cpu().numpy()
    return traces, readout


def _trace(name: str, layer: nn.Module, inputs: Tensor, shown: int) -> LayerTrace:
    """Trace a layer from its input currents [T, 1, ...], or from input spikes for `IntegrateAndFire`."""
    if isinstance(layer, IntegrateAndFire):
        fired, potentials = _trace_integrate_and_fire(layer, inputs)
    else:
        assert isinstance(layer, LIF)
        fired, potentials = _trace_lif(layer, inputs.flatten(2))

    chosen, traced = _choose_neurons(fired, shown)
    return LayerTrace(
        name=name,
        neurons=fired[0].size,
        spikes=fired[:, chosen],
        traced=tuple(traced),
        membranes=potentials(chosen[traced]),
    )


Potentials = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Function that returns the potentials [T, n] of selected neurons."""


def _trace_lif(lif: LIF, currents: Tensor) -> tuple[NDArray[np.bool_], Potentials]:
    """Return the unpooled spikes [T, N] for currents [T, 1, N], and the potentials before resets."""
    # The copy traces all neurons, not the pooled spikes, and keeps its currents for the potentials.
    unpooled = copy(lif)
    unpooled.settings = lif.settings._replace(pool=1, in_place=False)
    spikes, _ = unpooled(currents, None)
    fired = spikes[:, 0].cpu().numpy() > 0

    def trace_potentials(chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        selected = torch.from_numpy(chosen).to(currents.device)
        return _potentials(unpooled, currents[..., selected])

    return fired, trace_potentials


def _trace_integrate_and_fire(layer: IntegrateAndFire, spikes: Tensor) -> tuple[NDArray[np.bool_], Potentials]:
    """Return the unpooled spikes [T, N] of a layer, and its potentials (0 after a spike of the pixel)."""
    assert layer.threshold is not None

    # A copy without a threshold integrates all spikes; its potentials count until the pixel's first spike.
    unpooled = copy(layer)
    integrating = copy(layer)
    unpooled.geometry = integrating.geometry = layer.geometry._replace(pool=1)
    integrating.threshold = None

    output_spikes, _ = unpooled(spikes, None)
    output_potentials, _ = integrating(spikes, None)
    fired = output_spikes.cpu().numpy()
    potentials = output_potentials.cpu().numpy()

    # A spike closes its pixel for all channels, from the next step on.
    fires = fired.any(-1, keepdims=True)
    closed = np.cumsum(fires, axis=0) - fires > 0

    T = len(fired)
    shares = np.where(closed, 0, potentials.astype(np.float64) / layer.threshold)

    return fired.reshape(T, -1) > 0, lambda chosen: shares.reshape(T, -1)[:, chosen]


def _trace_first_spikes(
    network: FirstSpikeNetwork, spikes: Tensor, shown: int
) -> tuple[list[LayerTrace], NDArray[np.float64]]:
    """Trace a network of neurons that spike at most once; potentials are 0 after the spike."""
    T = len(spikes)
    traces = []
    with torch.no_grad():
        outputs, _ = network(spikes)
        times = network.first_times(spikes)
        ends = network.step * torch.arange(1, T + 1, device=times.device)

        for number, layer in enumerate(network.layers, start=1):
            assert isinstance(layer, FirstSpikeLayer)
            spiked: Tensor = layer(times)[0]

            # A layer's neuron has its potential until it spikes, and a spike in the step that contains its time.
            until = spiked >= ends[:, None]
            fired = (~until & (spiked >= ends[:, None] - network.step)).cpu().numpy()

            chosen, traced = _choose_neurons(fired, shown)
            potentials = layer.potentials(times[0], ends) * until
            membranes = potentials.double().cpu().numpy()[:, chosen[traced]]
            traces.append(LayerTrace(f"lif{number}", len(spiked), fired[:, chosen], tuple(traced), membranes))

            # The spike times of a layer are the inputs of the next.
            times = spiked[None]

    readout: NDArray[np.float64] = outputs[:, 0].double().cpu().numpy()
    return traces, readout


def _choose_neurons(fired: NDArray[np.bool_], shown: int) -> tuple[NDArray[np.int64], list[int]]:
    """Choose the neurons to show from spikes [T, N], and which of them to trace."""
    _, N = fired.shape
    active = np.flatnonzero(fired.any(0))
    candidates = active if active.size else np.arange(N)
    positions = np.linspace(0, candidates.size - 1, min(shown, candidates.size)).round().astype(int)
    chosen = candidates[positions]

    # Trace the most active neuron, the median, and the least active.
    order = np.argsort(-fired[:, chosen].sum(0), kind="stable")
    ranks = dict.fromkeys((0, order.size // 2, order.size - 1))  # each once

    return chosen, [int(order[rank]) for rank in ranks]


def _potentials(lif: LIF, currents: Tensor) -> NDArray[np.float64]:
    """Return the potentials [T, n] before resets: the sums of state and spike under a subtracting reset."""
    # Only a subtracting reset keeps the potential before the reset: it is the state plus the spike.
    subtracting = copy(lif)
    subtracting.settings = lif.settings._replace(subtract=True)

    state = None
    potentials = []

    for current in currents:
        spikes, state = subtracting.step(current, state)
        potentials.append((state[0] + spikes)[0].double().cpu().numpy())

        # The neurons are reset to 0: clear the membranes that spiked.
        if not lif.settings.subtract:
            state = torch.cat([state[:1] * (1 - spikes), state[1:]])

    return np.stack(potentials)


def summarize_layers(layers: Sequence[LayerCounts], *, counted: bool) -> tuple[LayerRecord, ...]:
    """Convert the counts of `count_activity` to records.

    Args:
        layers: Counts of all layers, in order.
        counted: Whether the network's inputs are event counts; inputs of later layers are always spikes.
    """
    records = []
    for number, layer in enumerate(layers):
        multiplies = layer.of_potentials or (number == 0 and not counted)
        records.append(
            LayerRecord(
                name=layer.name,
                neurons=layer.neurons,
                connections=layer.connections,
                fan_out=layer.fan_out,
                steps=layer.steps,
                spikes_in=layer.nonzero if multiplies else layer.arrived,
                rate=layer.rate,
                multiplies=multiplies,
            )
        )

    return tuple(records)
