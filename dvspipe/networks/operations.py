"""What a network computes on a recording: spikes, synaptic operations, and what they would cost in energy.

A synaptic operation is one spike that arrives over one connection: a spike of a pixel counts once for every neuron of
the next layer that it reaches (its fan-out), at the edges of a picture as many as there are. This is the usual count of
event-driven hardware (Merolla et al., "A million spiking-neuron integrated circuit", Science 345 (2014); NeuroBench,
Yik et al., arXiv:2304.04640, effective accumulates). Where spikes are averaged over squares of pixels, each of them
reaches what the square reaches; behind a maximum only the one spike of a square goes on. The events of a pixel are
spikes too; input that is not a number of events is multiplied, and counts wherever it is not 0. What neurons compute
by themselves, and moving data, is not counted.

Energy: 0.9 pJ for an addition, 3.7 pJ for a multiplication, so 4.6 pJ for both, in 32-bit floating point at 45 nm
(Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014). It is an estimate for comparing
networks with each other, not what this computer takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .models import Convolution, Linear, SpikingNetwork
from .neurons import LIF

ADD_PJ = 0.9
MULTIPLY_ADD_PJ = 4.6


@dataclass
class LayerOperations:
    """What a layer did so far.

    Attributes:
        name: `lif1`, `lif2`, ... from the input on, and `readout`.
        arriving: Synaptic operations of what arrives at it.
        multiplied: Whether they are multiplications, not additions.
        dense: Multiplications with additions that the same connections take without looking for zeros.
        spikes: Number of spikes that it fired; 0 of a readout.
        neurons: Number of neurons times steps, in all recordings.
    """

    name: str
    arriving: float = 0.0
    multiplied: bool = False
    dense: float = 0.0
    spikes: float = 0.0
    neurons: int = 0

    @property
    def rate(self) -> float | None:
        """Spikes per neuron and step."""
        return self.spikes / self.neurons if self.neurons and self.name != "readout" else None

    @property
    def energy_uj(self) -> float:
        """Of its synaptic operations, in microjoules."""
        return self.arriving * (MULTIPLY_ADD_PJ if self.multiplied else ADD_PJ) * 1e-6

    @property
    def dense_energy_uj(self) -> float:
        """Of the same connections without looking for zeros, in microjoules."""
        return self.dense * MULTIPLY_ADD_PJ * 1e-6

    def to_record(self) -> dict[str, Any]:
        """As plain numbers."""
        return {
            "name": self.name,
            "operations": self.arriving,
            "dense_operations": self.dense,
            "rate": self.rate,
            "energy_uj": self.energy_uj,
            "dense_energy_uj": self.dense_energy_uj,
        }


@contextmanager
def count_operations(network: SpikingNetwork, *, counts: bool = True) -> Iterator[list[LayerOperations]]:
    """A list that is told, at every pass of the network inside the block, what its layers do.

    Args:
        network: In evaluation mode.
        counts: Whether the input is numbers of events.
    """
    layers: list[LayerOperations] = []
    hooks: list[Any] = []
    pool = 1  # of the spikes that arrive at the next layer
    for number, (arrival, lif) in enumerate(_connections(network), start=1):
        own = LayerOperations(f"lif{number}" if lif is not None else "readout", multiplied=number == 1 and not counts)
        layers.append(own)
        hooks.append(arrival.register_forward_pre_hook(_Arrivals(own, arrival, pool)))
        if lif is not None:
            pool = lif.settings.pool
            hooks.append(lif.register_forward_hook(_Fired(own, pool)))
    try:
        yield layers
    finally:
        for hook in hooks:
            hook.remove()


def _connections(network: SpikingNetwork) -> Iterator[tuple[nn.Module, LIF | None]]:
    """Every layer with connections, from the input on, with the neurons behind it; the readout's last."""
    for module in network.layers.modules():
        if isinstance(module, Convolution | Linear):
            yield module, module.lif
    yield network.linear, None


class _Arrivals:
    """Counts what arrives at a layer."""

    def __init__(self, own: LayerOperations, layer: nn.Module, pool: int) -> None:
        self.own, self.layer, self.spikes_each = own, layer, pool * pool
        self._reach: Tensor | None = None

    def __call__(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        x = inputs[0].detach()
        per_pixel = (x != 0).sum(dim=(0, 1)) if self.own.multiplied else x.sum(dim=(0, 1))
        if not isinstance(self.layer, Convolution):
            linear = self.layer.linear if isinstance(self.layer, Linear) else self.layer
            assert isinstance(linear, nn.Linear)
            out = linear.out_features
            self.own.arriving += float(per_pixel.sum()) * out * self.spikes_each
            self.own.dense += x.numel() * out
            return
        if self._reach is None:
            self._reach = reach_of(self.layer.convolution, x.shape[-2:]).to(x.device)
        self.own.arriving += float((per_pixel * self._reach).sum()) * self.spikes_each
        self.own.dense += float(self._reach.sum()) * x.shape[0] * x.shape[1]


class _Fired:
    """Counts the spikes of a layer of neurons."""

    def __init__(self, own: LayerOperations, pool: int) -> None:
        self.own, self.spikes_each = own, pool * pool

    def __call__(self, _: nn.Module, __: Any, output: tuple[Tensor, Tensor]) -> None:
        spikes = output[0].detach()
        self.own.spikes += float(spikes.sum()) * self.spikes_each
        self.own.neurons += spikes.numel() * self.spikes_each


def reach_of(convolution: nn.Conv2d, shape: tuple[int, ...]) -> Tensor:
    """How many neurons behind a convolution each pixel of its input reaches: float32 [H, W]."""
    (height, width), side, padding = shape, int(convolution.kernel_size[0]), int(convolution.padding[0])
    reached = torch.ones(1, 1, height + 2 * padding - side + 1, width + 2 * padding - side + 1)
    weights = torch.ones(1, 1, side, side)
    return nn.functional.conv_transpose2d(reached, weights, padding=padding)[0, 0] * convolution.out_channels
