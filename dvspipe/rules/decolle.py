"""DECOLLE (Kaiser, Mostafa and Neftci 2020, Frontiers in Neuroscience): a loss at each layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..networks import SpikingNetwork
from .online import STEPS, Activity, OnlineLayer, OnlineRule, gradient_of
from .segments import Loss


class Decolle(OnlineRule):
    """Deep continuous local learning: each layer has a fixed random readout and its own loss.

    With the fixed weights G of a layer, drawn uniformly from +-1 / sqrt(number of outputs), and the traces of
    `rules.online`,

        y[t] = G z[t],    dW += a g (G^T dL[t]/dy[t] * s[t]) q[t]

    No error passes between layers. The network's own readout is trained by the loss of its outputs, and passes no error
    down either.

    Args:
        network: See `OnlineRule`.
        seed: Seed of the fixed weights.
        steps: Number of steps computed together.

    Example:
        >>> from dvspipe import SensorSize
        >>> from dvspipe.networks import NetworkConfig
        >>> config = NetworkConfig(network="mlp", channels=(8, 6), reset="subtract", detach_reset=True)
        >>> network = SpikingNetwork(config, grid=SensorSize(width=4, height=3), classes=2, dt=1e-3)
        >>> spikes = torch.randint(0, 2, (100, 5, 2, 3, 4), dtype=torch.uint8)
        >>> rule = Decolle(network, seed=0)
        >>> rule.update(spikes, lambda y: y.mean(0)[:, 0].sum()).shape
        torch.Size([100, 5, 2])
    """

    def __init__(self, network: SpikingNetwork, *, seed: int = 0, steps: int = STEPS) -> None:
        super().__init__(network, steps=steps)
        self._seed = seed
        self.readouts: list[Tensor] = []

    def add_hidden(
        self, layers: Sequence[OnlineLayer], activities: Sequence[Activity], _errors: Tensor, loss: Loss
    ) -> None:
        """Accumulate the gradients of each spiking layer from its own loss, for n steps."""
        if not self.readouts:
            self.readouts = self._draw(activities)

        for layer, activity, readout in zip(layers, activities, self.readouts, strict=True):
            # The gradient of the layer's own loss passes back through its fixed readout.
            local = (activity.outputs.flatten(1) @ readout.T).unflatten(0, (len(activity.ones), -1))
            errors = (gradient_of(loss, local).flatten(0, 1) @ readout).reshape(activity.outputs.shape)

            to_currents = layer.to_currents(errors, activity.derivative)
            layer.synapses.add(to_currents, activity.traced, activity.ones)

    def _draw(self, activities: Sequence[Activity]) -> list[Tensor]:
        """Draw the fixed weights [K, outputs] of each layer from the seed."""
        generator = torch.Generator().manual_seed(self._seed)
        classes = self.network.linear.out_features
        drawn = []
        for activity in activities:
            outputs = activity.outputs[0].numel()
            uniform = 2 * torch.rand(classes, outputs, generator=generator) - 1
            drawn.append((uniform / math.sqrt(outputs)).to(activity.outputs))

        return drawn
