"""E-prop (Bellec et al. 2020, Nature Communications) for one layer of spiking neurons below a leaky readout."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from ..networks import NetworkConfig
from ..networks.models import StandardisedConvolution
from .online import Activity, OnlineLayer, OnlineRule
from .segments import Loss


class EProp(OnlineRule):
    """Eligibility propagation with symmetric feedback; each synapse's trace includes the readout leak.

    With the readout's factor k, gain g and weights V, a neuron receives the error dL[t]/dy[t] within the same step. The
    eligibility traces of its synapses carry the history:

        e[t] = (1 - k) e[t-1] + s[t] q[t],    dW += a g * (k g V^T dL[t]/dy[t]) e[t]

    For feed-forward networks with one spiking layer this is the gradient of backpropagation through time with a
    detached reset. Memory: one number per recording and synapse; for convolutions, one per pooled pixel and weight.

    Example:
        >>> from dvspipe import SensorSize
        >>> from dvspipe.networks import NetworkConfig, SpikingNetwork
        >>> config = NetworkConfig(network="mlp", channels=(8,), reset="subtract", detach_reset=True)
        >>> network = SpikingNetwork(config, grid=SensorSize(width=4, height=3), classes=2, dt=1e-3)
        >>> spikes = torch.randint(0, 2, (100, 5, 2, 3, 4), dtype=torch.uint8)
        >>> outputs = EProp(network).update(spikes, lambda y: y.mean(0)[:, 0].sum())
        >>> network.layers[0].linear.weight.grad.shape
        torch.Size([8, 24])
    """

    @classmethod
    def find_unmet_needs(cls, network: NetworkConfig) -> dict[str, JsonValue]:
        """Return the required values of differing settings, by name; e-prop also needs exactly one spiking layer."""
        needs = super().find_unmet_needs(network)
        if network.network == "module" or len(network.channels) == 1:
            return needs

        # The rule keeps the first layer.
        needs |= {"channels": [network.channels[0]]}
        if network.network == "csnn" and network.padded is not None:
            needs |= {"padded": [network.padded[0]]}

        return needs

    def add_hidden(
        self, layers: Sequence[OnlineLayer], activities: Sequence[Activity], errors: Tensor, _loss: Loss
    ) -> None:
        """Accumulate the gradients of the only spiking layer for n steps."""
        (layer,) = layers
        (activity,) = activities

        # From [n * B, ...] to [n, B, ...]; the errors are [n, B, neurons, pooled pixels].
        n = len(activity.ones)
        derivatives = activity.derivative.unflatten(0, (n, -1))
        traced = activity.traced.unflatten(0, (n, -1))
        errors = errors.reshape(*errors.shape[:2], -1).unflatten(0, (n, -1))

        for step in range(n):
            eligible = _eligibility(layer, derivatives[step], traced[step], activity.ones[step])
            before = layer.eligibility
            layer.eligibility = eligible if before is None else eligible.add_(before, alpha=self.readout_keep)

            gradient = layer.scale * torch.einsum("bcp,bcpk->ck", errors[step], layer.eligibility)
            layer.synapses.to_weight += gradient[:, :-1].view_as(layer.synapses.weight)
            layer.synapses.to_bias += gradient[:, -1]


def _eligibility(layer: OnlineLayer, derivative: Tensor, traced: Tensor, one: Tensor) -> Tensor:
    """Return s q of one step for each synapse and bias, [B, neurons, pooled pixels, synapses + 1].

    Args:
        layer: Spiking layer.
        derivative: Surrogate derivative s, [B, C, H, W] or [B, neurons].
        traced: Input traces q, [B, C, H, W] or [B, inputs].
        one: Trace of the bias input.
    """
    synapses = layer.synapses.module
    pool = layer.lif.settings.pool
    if not isinstance(synapses, StandardisedConvolution):
        inputs = torch.cat([traced, one.expand(len(traced), 1)], dim=1)
        return derivative[:, :, None, None] * inputs[:, None, None]

    # patches: [B, synapses, H * W]
    B, _, H, W = derivative.shape
    patches = nn.functional.unfold(traced, synapses.kernel_size, padding=int(synapses.padding[0]))
    inputs = torch.cat([patches, one.expand(B, 1, H * W)], dim=1).unflatten(2, (H, W))

    eligible: Tensor = torch.einsum("bcps,bkps->bcpk", _squares(derivative, pool), _squares(inputs, pool)) / pool**2
    return eligible


def _squares(x: Tensor, pool: int) -> Tensor:
    """Group pixels [B, C, H, W] as [B, C, squares, pixels per square]; drop incomplete squares."""
    _, _, H, W = x.shape
    rows = H // pool * pool
    columns = W // pool * pool
    squares: Tensor = x[:, :, :rows, :columns].unflatten(3, (-1, pool)).unflatten(2, (-1, pool)).transpose(3, 4)
    return squares.flatten(4).flatten(2, 3)
