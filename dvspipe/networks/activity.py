"""Network activity on recordings: spikes and connections per layer, counted by hooks while a network runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from norse.torch.module.snn import SNN
from torch import Tensor, nn

from ..base.errors import ConfigError
from ..results import LayerActivity
from .integrate_and_fire import IntegrateAndFire
from .layers import NetworkLayer, list_layers
from .neurons import LIBox


@contextmanager
def watch_rates(network: nn.Module) -> Iterator[dict[str, float]]:
    """Yield a dictionary of spikes per neuron and step: means over the forward passes inside the block so far.

    Keys are `lif1`, `lif2`, ... from input to output.
    """
    rates: dict[str, float] = {}
    passes: Counter[str] = Counter()
    with ExitStack() as hooks:
        for number, neurons in enumerate(filter(_is_spiking, network.modules()), start=1):

            def note(_: nn.Module, _inputs: object, output: Any, name: str = f"lif{number}") -> None:
                spikes = output[0] if isinstance(output, tuple) else output
                passes[name] += 1
                before = rates.get(name, 0.0)
                rates[name] = before + (float(spikes.detach().mean()) - before) / passes[name]

            hooks.enter_context(neurons.register_forward_hook(note))
        yield rates


def _is_spiking(module: nn.Module) -> bool:
    is_once = isinstance(module, IntegrateAndFire) and module.threshold is not None
    return is_once or (isinstance(module, SNN) and not isinstance(module, LIBox))


class _Counter:
    """Counts of a layer, summed over forward passes.

    Args:
        layer: NetworkLayer.
        pool: Average pooling before the layer, which forwards each spike as a share of a mean.
        multiplies: Whether the inputs are not counts.
    """

    def __init__(self, layer: NetworkLayer, pool: int, *, multiplies: bool) -> None:
        self.layer = layer
        self.pool = pool
        self.multiplies = multiplies
        self.inputs = 0
        self.neurons = 0
        self.steps = 0
        self.arrived = 0.0
        self.fired = 0.0

    def note_inputs(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        x: Tensor = inputs[0]  # [T, B, C, H, W], or [T, B, N]
        T, B = x.shape[:2]
        self.steps += T * B
        self.inputs = x[0, 0].numel()
        spikes = x.count_nonzero() if self.multiplies else x.sum(dtype=torch.float64) * self.pool**2
        self.arrived += float(spikes)

    def note_outputs(self, _: nn.Module, inputs: tuple[Any, ...], output: tuple[Tensor, object]) -> None:
        currents: Tensor = inputs[0]
        T, B = currents.shape[:2]
        self.neurons = currents[0, 0].numel()
        self.fired += float(output[0].detach().mean(dtype=torch.float64)) * T * B

    def summarize(self) -> LayerActivity:
        connections = self.neurons * self.layer.synapses.weight[0].numel()
        return LayerActivity(
            name=self.layer.name,
            neurons=self.neurons,
            connections=connections,
            fan_out=connections / max(1, self.inputs),
            steps=self.steps,
            spikes_in=self.arrived,
            rate=None if isinstance(self.layer.neurons, LIBox) else self.fired / max(1, self.steps),
            multiplies=self.multiplies,
        )


@contextmanager
def count_activity(network: nn.Module, *, counted: bool) -> Iterator[Callable[[], tuple[LayerActivity, ...]]]:
    """Yield a function that returns the activity of each layer in the forward passes inside the block so far.

    Networks whose layers are unknown have none (see `list_layers`).

    Args:
        network: Network.
        counted: Whether the inputs are event counts; otherwise, the first layer multiplies.
    """
    try:
        layers = [layer for layer in list_layers(network) if layer.neurons is not None]
    except ConfigError:
        layers = []

    counters: list[_Counter] = []
    with ExitStack() as hooks:
        pool = 1
        for number, layer in enumerate(layers):
            counter = _Counter(layer, pool, multiplies=number == 0 and not counted)
            assert isinstance(network, nn.Sequential)
            assert layer.neurons is not None
            hooks.enter_context(network[layer.index].register_forward_pre_hook(counter.note_inputs))
            hooks.enter_context(layer.neurons.register_forward_hook(counter.note_outputs))
            counters.append(counter)
            pool = layer.pool

        yield lambda: tuple(counter.summarize() for counter in counters if counter.steps)
