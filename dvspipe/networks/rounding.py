"""Rounding of weights in training, for networks that are compiled to integers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from ..base.errors import ConfigError
from .layers import NetworkLayer, list_layers
from .neurons import LIF, LIBox, LIFBox

CLIP_SHARES = np.linspace(0.5, 1.0, 26)  # tried shares of the largest weight of a channel
MIN_WEIGHT = 1e-12  # weights of 0 have a scale, too


def list_compilable(network: nn.Module) -> list[NetworkLayer]:
    """Return the layers of a network that can be compiled to integers.

    Raises:
        ConfigError: If it cannot.
    """
    *spiking, last = list_layers(network)
    is_known = all(isinstance(layer.neurons, LIFBox | LIF) for layer in spiking)
    if not is_known or not isinstance(last.neurons, LIBox):
        raise ConfigError("the network cannot be compiled to integers (expected csnn or mlp, with a leaky readout)")
    return [*spiking, last]


@contextmanager
def round_weights(network: nn.Module, bits: int | None) -> Iterator[None]:
    """Round the weights of a network to the grid of integers inside the block, and restore them at its end.

    Gradients that are computed inside the block belong to the restored weights (straight-through estimator; Jacob et
    al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-only inference").

    Args:
        network: Network; see `list_compilable`.
        bits: Number of bits of a weight, from 2 to 8; None: no rounding.

    Example:
        >>> from dvspipe.networks import NetworkConfig, build_network
        >>> network = build_network(NetworkConfig(network="mlp", channels=(2,)), (1, 2, 1), classes=2, dt=1e-3)
        >>> with round_weights(network, 2):  # -1, 0 or 1 times the scale of a row
        ...     rounded = network[1].weight.detach().clone()
        >>> [len(row.abs().unique()) <= 2 for row in rounded], torch.equal(rounded, network[1].weight)
        ([True, True], False)
    """
    originals: list[tuple[Tensor, Tensor]] = []
    for layer in list_compilable(network) if bits is not None else ():
        assert bits is not None
        parameter = layer.synapses.weight
        originals.append((parameter, parameter.data))

        # All classes have one scale, to compare their scores.
        rows = parameter.data.view(1, -1) if isinstance(layer.neurons, LIBox) else parameter.data.flatten(1)
        parameter.data = _round_rows(rows, bits).view_as(parameter)

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
