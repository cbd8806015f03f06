"""Rounding of weights in training, for networks that are compiled to integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..base.errors import ConfigError
from .models import Convolution, Linear, Memory, SpikingNetwork
from .neurons import LIF, CountReadout

CLIP_SHARES = np.linspace(0.5, 1.0, 26)  # tried shares of the largest weight of a channel
MIN_WEIGHT = 1e-12  # weights of 0 have a scale, too


@dataclass(frozen=True, eq=False)
class Stage:
    """Part of a network that becomes one integer layer.

    Args:
        name: Name in messages.
        layer: Module with the weights.
        lif: Its neurons.
        run: Returns the spikes [T*B, M, H, W], average-pooled, for an input.
        pool: Side of the squares that are pooled.
    """

    name: str
    layer: Convolution | Linear | SpikingNetwork
    lif: LIF
    run: Callable[[Tensor, Memory], Tensor]
    pool: int


def check_layers(network: nn.Module) -> SpikingNetwork:
    """Return a network whose layers can all be compiled."""
    if not isinstance(network, SpikingNetwork):
        raise ConfigError(
            f"{type(network).__name__}: cannot be compiled to integers"
            "; use network=csnn to train a network that can be compiled"
        )

    list_stages(network)
    return network


def list_stages(network: SpikingNetwork) -> list[Stage]:
    """Return the stages of a network: its spiking layers."""
    stages: list[Stage] = []
    for number, layer in enumerate(network.layers):
        name = f"layers.{number} ({type(layer).__name__})"
        if not isinstance(layer, Convolution | Linear):
            raise ConfigError(
                f"{name}: cannot be compiled to integers; use network=csnn to train a network that can be compiled"
            )
        stages.append(Stage(name, layer, layer.lif, layer.forward, layer.lif.settings.pool))

    readout = network.readout
    if isinstance(readout, CountReadout):
        # A readout that counts spikes is a spiking layer, too.
        def count(x: Tensor, memory: Memory) -> Tensor:
            currents = network.linear(x.flatten(1).unflatten(0, (memory.steps, -1)))
            return memory.run(readout.lif, currents).flatten(0, 1)[..., None, None]

        stages.append(Stage("readout (CountReadout)", network, readout.lif, count, 1))

    return stages


@contextmanager
def round_weights(network: nn.Module, bits: int | None) -> Iterator[None]:
    """Round the weights of a network to the grid of integers inside the block, and restore them at its end.

    Gradients that are computed inside the block belong to the restored weights (straight-through estimator; Jacob et
    al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-only inference").

    Args:
        network: Network; see `check_layers`.
        bits: Number of bits of a weight, from 2 to 8; None: no rounding.

    Example:
        >>> from dvspipe.networks import NetworkConfig
        >>> config = NetworkConfig(network="mlp", channels=(2,))
        >>> network = SpikingNetwork(config, grid=(2, 1), classes=2, dt=1e-3, inputs=1)
        >>> with round_weights(network, 2):  # -1, 0 or 1 times the scale of a row
        ...     rounded = network.layers[0].linear.weight.detach().clone()
        >>> [len(row.abs().unique()) <= 2 for row in rounded], torch.equal(rounded, network.layers[0].linear.weight)
        ([True, True], False)
    """
    originals: list[tuple[Tensor, Tensor]] = []
    if bits is not None:
        network = check_layers(network)
        for stage in list_stages(network):
            layer = stage.layer
            parameter = layer.convolution.weight if isinstance(layer, Convolution) else layer.linear.weight
            originals.append((parameter, parameter.data))
            parameter.data = _round_rows(parameter.data.flatten(1), bits).view_as(parameter)

        # All classes have one scale, to compare their scores.
        if not isinstance(network.readout, CountReadout):
            last = network.linear.weight
            originals.append((last, last.data))
            last.data = _round_rows(last.data.view(1, -1), bits).view_as(last)

    try:
        yield
    finally:
        for parameter, weight in originals:
            parameter.data = weight


def _round_rows(rows: Tensor, bits: int) -> Tensor:
    """Round each row [M, N] to integers times the scale that minimises its mean square error."""
    levels = 2 ** (bits - 1) - 1
    largest = rows.abs().amax(1, keepdim=True).clamp(min=MIN_WEIGHT)
    best = rows
    least = torch.full_like(largest, torch.inf)

    for share in CLIP_SHARES.tolist():
        scale = share * largest / levels
        rounded = (rows / scale).round().clamp(-levels, levels) * scale

        error = (rounded - rows).square().sum(1, keepdim=True)
        best = torch.where(error < least, rounded, best)
        least = torch.minimum(error, least)

    return best
