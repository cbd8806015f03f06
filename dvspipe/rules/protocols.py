"""Protocols of the learning rules: rules of one kind are called the same way, so one line exchanges a rule."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from .segments import Loss


@runtime_checkable
class GradientRule(Protocol):
    """Rule that computes the gradients of a loss for all weights of a network: `Bptt` and each `OnlineRule`.

    It is created with the network; `update` adds the gradients to the `grad` of the weights, as `backward` does.

    Example:
        >>> import torch
        >>> from dvspipe.rules import OTTT, Bptt
        >>> from dvspipe.networks import NetworkConfig, SpikingNetwork
        >>> config = NetworkConfig(network="mlp", channels=(8,), reset="subtract", detach_reset=True)
        >>> network = SpikingNetwork(config, grid=(4, 3), classes=2, dt=1e-3)
        >>> spikes = torch.randint(0, 2, (20, 5, 2, 3, 4))
        >>> for kind in (Bptt, OTTT):
        ...     outputs = kind(network).update(spikes, lambda outputs: outputs.square().mean())
    """

    def update(self, spikes: Tensor, loss: Loss) -> Tensor:
        """Accumulate the gradients of a loss.

        Args:
            spikes: Spike tensor [T, B, C, H, W], any dtype.
            loss: Scalar loss of the outputs; online rules need a mean over the steps.

        Returns:
            Outputs [T, B, K], without a graph.
        """


class Traces(NamedTuple):
    """Traces after a step.

    Args:
        pre: Traces of the pre neurons, float64 [N].
        post: Traces of the post neurons, float64 [M].
    """

    pre: Tensor
    post: Tensor


@runtime_checkable
class PlasticityRule(Protocol):
    """Rule that changes weights by the spikes of two groups of neurons alone, as `PairRule` does."""

    def apply(
        self, weights: Tensor, pre: Tensor, post: Tensor, *, dt_s: float, traces: Traces | None = None
    ) -> tuple[Tensor, Traces]:
        """Return the new weights, and the traces after the last step; see `apply_stdp`."""


@runtime_checkable
class SpikeTimeLayer(Protocol):
    """Layer from spike times to spike times, differentiable: `FirstSpikeLayer`, `SpikePropLayer`, `EventPropLayer`.

    Its gradients are exact, and PyTorch's `backward` computes them for any loss of the times.
    """

    weight: nn.Parameter
    """Weights [M, N], or [M, N, D] with D delays."""

    def __call__(self, times: Tensor) -> Tensor:
        """Return the spike times [B, M], infinite if a neuron is silent, for input spike times [B, N].

        An `EventPropLayer` returns all spikes of each neuron, [B, M, S], in order.
        """
