"""OTTT: errors pass down the layers within a step, and traces replace the history."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .online import Activity, OnlineLayer, OnlineRule
from .segments import Loss


class OTTT(OnlineRule):
    """Online training through time (Xiao et al. 2022, NeurIPS).

    At each step t, with the surrogate derivative s of the spikes z, the loss L[t] of the step, and the traces q and
    scales a g of `rules.online`,

        dW += a g e[t] q[t],    e[t] = dL[t]/dz[t] * s[t],    dL[t]/dx[t] = a g W^T e[t],

    where x are the spikes of the layer below. Errors pass down the layers within a step, never back in time. If T = 1
    or a = 1, this equals the gradient of backpropagation through time with a detached reset. Otherwise only the
    readout's gradient is exact; gradients of the spiking layers ignore the effect of earlier spikes through the
    membranes of the next layer.

    Example:
        >>> import torch
        >>> from dvspipe import SensorSize
        >>> from dvspipe.networks import NetworkConfig, SpikingNetwork
        >>> _ = torch.manual_seed(0)
        >>> config = NetworkConfig(network="mlp", channels=(8,), reset="subtract", detach_reset=True)
        >>> network = SpikingNetwork(config, grid=SensorSize(width=4, height=3), classes=2, dt=1e-3)
        >>> spikes = torch.randint(0, 2, (200, 5, 2, 3, 4), dtype=torch.uint8)
        >>> optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
        >>> outputs = OTTT(network).update(spikes, lambda y: y.mean(0)[:, 0].sum())  # any mean over the steps
        >>> optimiser.step()
        >>> after, _ = network(spikes)
        >>> bool(after.mean(0)[:, 0].sum() < outputs.mean(0)[:, 0].sum())
        True
    """

    def add_hidden(
        self, layers: Sequence[OnlineLayer], activities: Sequence[Activity], errors: Tensor, _loss: Loss
    ) -> None:
        """Accumulate the gradients of the spiking layers for n steps."""
        # Errors pass from the last layer to the first within these steps.
        for number in reversed(range(len(layers))):
            layer = layers[number]
            activity = activities[number]
            to_currents = layer.to_currents(errors, activity.derivative)
            layer.synapses.add(to_currents, activity.traced, activity.ones)

            # Below the first layer are only the inputs, which need no error.
            if number:
                errors = layer.to_outputs_below(to_currents, activity, activities[number - 1].outputs)
