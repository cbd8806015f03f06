"""Layers of a `SequentialState`: `Fold` runs layers without state once for all steps, `fuse` does so to any network.

Norse's `Lift` calls a layer once per step. A layer without state gives the same outputs if the steps are folded into
the batch; only batch norm in training then normalises over all steps at once, and dropout draws all masks together.
`list_layers` finds the synapses and neurons of a network, for everything that has to know them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import norse.torch as norse
import torch
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrentCell
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..base.errors import ConfigError
from .neurons import LIF, LIBox, LIFBox, average_squares
from .sparse import convolve


class Fold(nn.Sequential):
    """Layers without state, run once for all steps [T, B, ...]: Norse's `Lift` without its loop.

    In evaluation, a batch norm after a convolution is part of its weights.

    Example:
        >>> fold = Fold(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4))
        >>> fold(torch.ones(5, 1, 2, 8, 6)).shape
        torch.Size([5, 1, 4, 8, 6])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the output [T, B, ...] for an input [T, B, ...]."""
        y: Tensor = x.flatten(0, 1)
        if y.ndim == 4:
            y = y.contiguous(memory_format=torch.channels_last)

        for layer, norm in self.pairs():
            if not isinstance(layer, nn.Conv2d):
                y = layer(y)
                continue

            weight = layer.weight
            bias = layer.bias
            if norm is not None and not norm.training:
                weight, bias = fold_norm(layer, norm)
            y = convolve(layer, y, weight, bias)
            if norm is not None and norm.training:
                y = norm(y)

        steps: Tensor = y.unflatten(0, x.shape[:2])
        return steps

    def pairs(self) -> Iterator[tuple[nn.Module, nn.BatchNorm2d | None]]:
        """Yield each layer, and a convolution together with the batch norm after it."""
        layers = [*self]
        number = 0
        while number < len(layers):
            layer = layers[number]
            after = layers[number + 1] if number + 1 < len(layers) else None
            is_pair = isinstance(layer, nn.Conv2d) and isinstance(after, nn.BatchNorm2d) and after.track_running_stats
            yield layer, after if is_pair else None
            number += 2 if is_pair else 1


def fold_norm(layer: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a convolution that equals a convolution and its norm in evaluation."""
    mean = norm.running_mean
    variance = norm.running_var
    assert mean is not None
    assert variance is not None
    return fuse_conv_bn_weights(layer.weight, layer.bias, mean, variance, norm.eps, norm.weight, norm.bias)


class Pooled(nn.Module):
    """Neurons, and average pooling of their spikes [T, B, C, H, W].

    The fused scan averages spikes while they are in the cache. Other neurons may replace `neurons`.

    Example:
        >>> layer = Pooled(LIFBox(dt=0.001), nn.AvgPool2d(2))
        >>> spikes, state = layer(torch.ones(5, 1, 3, 8, 6))
        >>> spikes.shape, state.v.shape
        (torch.Size([5, 1, 3, 4, 3]), torch.Size([1, 3, 8, 6]))
    """

    def __init__(self, neurons: SNN, pool: nn.AvgPool2d) -> None:
        super().__init__()
        self.neurons = neurons
        self.pool = pool

    @property
    def side(self) -> int:
        """Side of the squares in pixels."""
        side = self.pool.kernel_size
        return side if isinstance(side, int) else side[0]

    def forward(self, currents: Tensor, state: object = None) -> tuple[Tensor, object]:
        """Return the pooled spikes, and the state of the neurons after the last step."""
        if isinstance(self.neurons, LIFBox | LIF):
            pooled, after = self.neurons(currents, state, pool=self.side)
            return pooled, after

        spikes, after = self.neurons(currents, state)
        return average_squares(spikes, self.side), after


class SharedDropout(nn.Dropout):
    """Dropout of features [T, B, N] with one mask for all steps."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, some of which are 0 in all steps."""
        return x * super().forward(torch.ones_like(x[0])) if self.training else x


FOLLOWERS: dict[type[SNNCell], type[SNN]] = {norse.LIFBoxCell: LIFBox, norse.LIFCell: LIF, norse.LIBoxCell: LIBox}
"""Neurons over time for Norse's neurons of one step."""


def fuse(network: norse.SequentialState) -> norse.SequentialState:
    """Return a network with the same weights that computes a time axis fast.

    `Lift` becomes `Fold`, or neurons over time for a cell; Norse's LIF becomes `LIF`; average pooling after neurons is
    computed with them. Other modules stay as they are, such as `LIFAdEx`, which runs in Norse's own loop.

    Args:
        network: Network for inputs [T, B, ...], time first.

    Returns:
        Network with the same outputs as `network` in evaluation, and in training without batch norm and dropout.

    Raises:
        ConfigError: If a neuron has no time axis: a `...Cell` outside of `Lift` would take the steps for a batch.

    Example:
        >>> slow = norse.SequentialState(norse.Lift(nn.Conv2d(2, 4, 3)), norse.LIF(), nn.Flatten(2), nn.Linear(24, 3))
        >>> fast = fuse(slow)
        >>> [type(layer).__name__ for layer in fast]
        ['Fold', 'LIF', 'Flatten', 'Linear']
        >>> spikes = torch.ones(5, 1, 2, 5, 4)
        >>> torch.allclose(fast(spikes)[0], slow(spikes)[0])
        True
    """
    layers: list[nn.Module] = []
    for module in network:
        fused = _fuse_layer(module)
        pool = _find_pooling(fused)
        previous = layers[-1] if layers else None

        # A batch norm joins its convolution, and average pooling its neurons.
        if isinstance(previous, Fold) and isinstance(fused, Fold):
            layers[-1] = Fold(*previous, *fused)
        elif isinstance(previous, LIFBox | LIF) and pool is not None:
            layers[-1] = Pooled(previous, pool)
        else:
            layers.append(fused)

    return norse.SequentialState(*layers)


def _fuse_layer(module: Any) -> nn.Module:
    """Return a fast layer for a layer of a `SequentialState`, or itself."""
    fused: nn.Module = module
    lifted = module.lifted_module if isinstance(module, norse.Lift) else None

    if isinstance(module, norse.SequentialState):
        fused = fuse(module)
    elif type(module) is norse.LIF and module.p.method != "adjoint" and not module.record_states:
        fused = LIF(module.p, module.dt)
    elif isinstance(lifted, SNNCell) and type(lifted) in FOLLOWERS:
        fused = FOLLOWERS[type(lifted)](lifted.p, lifted.dt)
    elif isinstance(lifted, SNNCell):
        fused = SNN(lifted.activation, lifted.state_fallback, lifted.p, lifted.dt)
    elif lifted is not None and not module.is_stateful:
        fused = Fold(*lifted) if type(lifted) is nn.Sequential else Fold(lifted)
    elif isinstance(module, SNNCell | SNNRecurrentCell):
        name = type(module).__name__
        over_time = FOLLOWERS.get(type(module))
        known = f"dvspipe.networks.{over_time.__name__}" if over_time else f"norse.torch.{name.removesuffix('Cell')}"
        raise ConfigError(f"{name}: has no time axis, and would take steps for recordings (expected {known})")

    return fused


def _find_pooling(module: nn.Module) -> nn.AvgPool2d | None:
    """Return the pooling of a layer that only averages over complete squares; None for other layers."""
    pool = module[0] if isinstance(module, Fold) and len(module) == 1 else None
    if not isinstance(pool, nn.AvgPool2d) or not isinstance(pool.kernel_size, int):
        return None

    is_plain = pool.stride == pool.kernel_size and pool.padding == 0 and not pool.ceil_mode
    return pool if is_plain and pool.divisor_override is None else None


@dataclass(frozen=True, eq=False)
class NetworkLayer:
    """Synapses of a network and the neurons that they drive.

    Args:
        name: `lif1`, `lif2`, ..., or `readout` for a leaky readout.
        index: Place of the module with the synapses in the network.
        synapses: Convolution or linear layer.
        norm: Batch norm after it.
        neurons: Spiking neurons, or a readout; None: the outputs are the currents.
        pool: Side of the squares over which its spikes are averaged; 1: none.
    """

    name: str
    index: int
    synapses: nn.Conv2d | nn.Linear
    norm: nn.BatchNorm2d | None
    neurons: SNN | None
    pool: int

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return the weight, and the bias [K], with the batch norm in evaluation."""
        weight = self.synapses.weight
        bias = self.synapses.bias
        if self.norm is not None:
            assert isinstance(self.synapses, nn.Conv2d)
            weight, bias = fold_norm(self.synapses, self.norm)
        return weight, weight.new_zeros(len(weight)) if bias is None else bias


def list_layers(network: nn.Module) -> list[NetworkLayer]:
    """Return the layers of a fused network, from input to output.

    Raises:
        ConfigError: If the network is not a `SequentialState` of convolutions, linear layers, neurons and pooling.
    """
    if not isinstance(network, norse.SequentialState):
        raise ConfigError(f"{type(network).__name__}: its layers are unknown (expected a SequentialState)")

    layers: list[NetworkLayer] = []
    waiting: tuple[int, nn.Conv2d | nn.Linear, nn.BatchNorm2d | None] | None = None
    for index, module in enumerate(network):
        parts = [*module.pairs()] if isinstance(module, Fold) else [(module, None)]
        for part, norm in parts:
            if isinstance(part, nn.Conv2d | nn.Linear):
                waiting = (index, part, norm)
            elif isinstance(part, SNN | Pooled) and waiting is not None:
                neurons = part.neurons if isinstance(part, Pooled) else part
                pool = part.side if isinstance(part, Pooled) else 1
                name = "readout" if isinstance(neurons, LIBox) else f"lif{len(layers) + 1}"
                layers.append(NetworkLayer(name, *waiting, neurons, pool))
                waiting = None
            elif not isinstance(part, nn.Flatten | nn.Dropout):
                raise ConfigError(f"layer {index} ({type(part).__name__}): its synapses or neurons are unknown")

    if waiting is not None:
        layers.append(NetworkLayer("readout", *waiting, None, 1))
    return layers
