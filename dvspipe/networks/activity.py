"""Network activity on recordings: spikes and connections per layer.

Hooks count, while a network runs as usual. PyTorch calls them with a module, the tuple of its arguments and its output;
a hook before the call has no output. Arguments and output by module:

- network: spike tensor [T, B, C, H, W], and more;
- `Convolution`, `IntegrateAndFireConvolution`, `Linear`: input [T*B, C, H, W] and memory; output [T*B, ...];
- linear layer of the readout: features [T, B, N]; currents;
- `LIF` and readouts: currents [T, B, ...] and state; spikes or values [T, B, ...] and the next state;
- `IntegrateAndFire`: spikes [T, B, H, W, C] and state; pooled spikes or potentials [T, B, ...] and the next state;
- `FirstSpikeLayer`: spike times [B, N]; spike times [B, M], infinite without a spike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..base.errors import Brief, ConfigError
from ..results import LayerActivity
from .first_spike import FirstSpikeLayer, FirstSpikeNetwork
from .integrate_and_fire import FIRED, IntegrateAndFire
from .models import Convolution, IntegrateAndFireConvolution, Linear, Network, SpikingNetwork
from .module import ModuleNetwork
from .neurons import LIF, CountReadout

NeuronInputs = tuple[Tensor, Tensor | None]
"""Arguments of neurons: currents or spikes [T, B, ...], and the state before."""
NeuronOutput = tuple[Tensor, Tensor]
"""Output of neurons: spikes or values [T, B, ...], and the state after."""


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
        arrived: Number of input spikes, counted before average pooling, which forwards each spike.
        nonzero: Number of nonzero input values.
        spikes_out: Number of output spikes per neuron; None if the neurons do not spike.
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
    spikes_out: float | None = None
    of_potentials: bool = False

    @property
    def fan_out(self) -> float:
        """Mean number of neurons per input; padding reduces it."""
        return self.connections / self.inputs

    @property
    def rate(self) -> float | None:
        """Spikes per neuron and step; None if the neurons do not spike."""
        return None if self.spikes_out is None else self.spikes_out / self.steps

    def _count_steps(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        T, B = inputs[0].shape[:2]
        self.steps += T * B

    def _count_inputs(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        x: Tensor = inputs[0]  # [T*B, C, H, W], or [T, B, features]
        self.inputs = x[0].numel() if x.ndim == 4 else x.shape[-1]
        self.arrived += float(x.sum(dtype=torch.float64)) * self.pool**2
        self.nonzero += int(x.count_nonzero())

    def _count_connections(
        self, weight: Tensor, neurons: nn.Module, inputs: NeuronInputs, output: NeuronOutput
    ) -> None:
        # There is a current for each neuron. `IntegrateAndFire` receives spikes; its state has a potential per neuron.
        currents, _ = inputs
        _, state = output
        self.neurons = state[0].numel() if isinstance(neurons, IntegrateAndFire) else currents[0, 0].numel()
        self.connections = self.neurons * weight[0].numel()

    def _count_outputs(self, neurons: nn.Module, inputs: NeuronInputs, output: NeuronOutput) -> None:
        if isinstance(neurons, IntegrateAndFire):
            rate = _integrate_and_fire_rate(inputs, output)
        else:
            spikes, _ = output
            rate = float(spikes.detach().mean(dtype=torch.float64))

        # A rate is per step, and a call has T steps of B recordings.
        currents, _ = inputs
        T, B = currents.shape[:2]
        self.spikes_out = (self.spikes_out or 0.0) + rate * T * B

    def _count_times(self, layer: FirstSpikeLayer, inputs: tuple[Tensor], output: Tensor) -> None:
        arrived = int(inputs[0].isfinite().sum())
        self.neurons, self.inputs = layer.weight.shape
        self.connections = layer.weight.numel()
        self.arrived += arrived
        self.nonzero += arrived

        # With a horizon, silent neurons of the readout have finite times, too.
        if layer.horizon is None:
            self.spikes_out = (self.spikes_out or 0.0) + float(output.isfinite().sum()) / self.neurons


@contextmanager
def watch_rates(network: nn.Module) -> Iterator[dict[str, float]]:
    """Yield a dictionary of spikes per neuron and step, updated by every forward pass inside the block.

    Keys are `lif1`, `lif2`, ... from input to output.
    """
    rates: dict[str, float] = {}

    with ExitStack() as hooks:

        def watch(number: int, module: nn.Module, measure: Callable[[Any, Any], float]) -> None:
            def note(_: nn.Module, inputs: Any, output: Any) -> None:
                rates[f"lif{number}"] = measure(inputs, output)

            hooks.enter_context(module.register_forward_hook(note))

        if isinstance(network, FirstSpikeNetwork):
            for number, layer in enumerate(network.layers, start=1):
                watch(number, layer, partial(_first_spike_rate, network))
        else:
            for number, layer in enumerate(filter(is_spiking, network.modules()), start=1):
                if isinstance(layer, LIF):
                    watch(number, layer.spikes, _lif_rate)
                else:
                    watch(number, layer, _integrate_and_fire_rate)

        yield rates


def is_spiking(module: nn.Module) -> bool:
    """Return whether a module is a layer of spiking neurons."""
    return isinstance(module, LIF) or (isinstance(module, IntegrateAndFire) and module.threshold is not None)


def _first_spike_rate(network: FirstSpikeNetwork, _inputs: tuple[Tensor], times: Tensor) -> float:
    """Return the spikes per neuron and step of a `FirstSpikeLayer`: at most one in all steps of the network."""
    return float((times.isfinite() / network.steps).mean())


def _lif_rate(_inputs: tuple[Tensor], spikes: Tensor) -> float:
    """Return the spikes per neuron and step from `LIF.spikes`, which receives the spikes before pooling."""
    return float(spikes.detach().mean())


def _integrate_and_fire_rate(inputs: NeuronInputs, output: NeuronOutput) -> float:
    """Return the spikes per neuron and step in one call of `IntegrateAndFire`."""
    # The output is pooled, so spikes are counted in the state, where they stay.
    input_spikes, state_before = inputs
    _, state = output
    count = int((state == FIRED).sum())
    if state_before is not None:
        count -= int((state_before == FIRED).sum())
    return count / state.numel() / len(input_spikes)


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
    """Return the counts of each layer and of the readout, updated by hooks."""
    all_counts = []
    for number, layer in enumerate((*network.layers, network.readout), start=1):
        counts = LayerCounts("readout" if layer is network.readout else f"lif{number}", pool=1)
        hooks.enter_context(network.register_forward_pre_hook(counts._count_steps))
        hooks.enter_context(layer.register_forward_hook(counts._count_times))
        all_counts.append(counts)
    return all_counts


class _LayerParts(NamedTuple):
    """Parts of a layer.

    Args:
        synapses: Module that receives the inputs of the layer.
        weight: Weights of the synapses; `weight[0]` are the weights of one output channel or neuron.
        neurons: Module that receives the currents; for `IntegrateAndFire`, the inputs.
    """

    synapses: nn.Module
    weight: Tensor
    neurons: nn.Module


def _count_spikes(network: Network, hooks: ExitStack) -> list[LayerCounts]:
    """Return the counts of each layer and of the readout, updated by hooks."""
    if not isinstance(network, SpikingNetwork):
        raise ConfigError(f"count_activity: found {type(network).__name__}, expected a network of dvspipe.networks")

    layers = [parts for module in network.modules() if (parts := _find_parts(module)) is not None]
    layers.append(_LayerParts(network.linear, network.linear.weight, network.readout))

    all_counts = []
    pool = 1
    of_potentials = False
    for number, (synapses, weight, neurons) in enumerate(layers, start=1):
        name = f"lif{number}" if number < len(layers) else "readout"
        counts = LayerCounts(name, pool, of_potentials=of_potentials)
        hooks.enter_context(network.register_forward_pre_hook(counts._count_steps))
        hooks.enter_context(synapses.register_forward_pre_hook(counts._count_inputs))
        hooks.enter_context(neurons.register_forward_hook(partial(counts._count_connections, weight)))
        if is_spiking(neurons) or isinstance(neurons, CountReadout):
            hooks.enter_context(neurons.register_forward_hook(counts._count_outputs))
        all_counts.append(counts)

        # The pooling of a layer changes what the next layer counts.
        pool = neurons.settings.pool if isinstance(neurons, LIF) else 1
        of_potentials = isinstance(neurons, IntegrateAndFire) and not is_spiking(neurons)

    return all_counts


def _find_parts(module: nn.Module) -> _LayerParts | None:
    """Return the parts of a layer; None for other modules."""
    if isinstance(module, Convolution):
        return _LayerParts(module, module.convolution.weight, module.lif)
    if isinstance(module, Linear):
        return _LayerParts(module, module.linear.weight, module.lif)
    if isinstance(module, IntegrateAndFireConvolution):
        return _LayerParts(module, module.neurons.weight, module.neurons)
    return None


def summarize_layers(all_counts: Sequence[LayerCounts], *, counted: bool) -> tuple[LayerActivity, ...]:
    """Convert the counts of `count_activity` to records.

    Args:
        all_counts: Counts of all layers, in order.
        counted: Whether the network's inputs are event counts; inputs of later layers are always spikes.
    """
    records = []
    for number, counts in enumerate(all_counts):
        multiplies = counts.of_potentials or (number == 0 and not counted)
        records.append(
            LayerActivity(
                name=counts.name,
                neurons=counts.neurons,
                connections=counts.connections,
                fan_out=counts.fan_out,
                steps=counts.steps,
                spikes_in=counts.nonzero if multiplies else counts.arrived,
                rate=counts.rate,
                multiplies=multiplies,
            )
        )

    return tuple(records)
