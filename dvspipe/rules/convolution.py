"""Convolutional STDP with winner-take-all (Kheradpisheh et al., Neural Networks 99 (2018)).

Neurons integrate input spikes without leak. The first neurons to reach the threshold win; within a step, the largest
potential wins. A winner inhibits its own channel everywhere and all channels around it. For a winner that spikes at
time t, each weight of its channel changes by

    increase * w * (1 - w)               if its input spiked, at t or before,
    -DEPRESSION * increase * w * (1 - w) otherwise.

Only the order of spikes matters. Weights stay in [0, 1] and converge to near 0 or 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import conv2d, pad

from ..base.settings import Settings
from ..networks.inputs import check_tensor

# Kheradpisheh et al. 2018, section 2.3
INCREASE = 0.004  # initial learning rate of potentiation
MAX_INCREASE = 0.15
MAX_DOUBLINGS = 6  # 0.004 * 2^6 is above the maximum
DEPRESSION = 0.75  # learning rate of depression, relative to potentiation

Count = Annotated[int, Field(ge=1, le=4096)]
Radius = Annotated[int, Field(ge=0, le=4096)]


class StdpConfig(Settings):
    """Training of a network of kind `stdp`: its layers by STDP, then its readout.

    Example:
        >>> StdpConfig(doubled_after=2).rates(1, 4)
        [0.004, 0.008, 0.008, 0.016]
    """

    passes: int = Field(default=1, ge=1)
    """Epochs for each layer except the last, trained in order; the last layer trains in all remaining epochs."""
    winners: tuple[Count, ...] = (5, 8)
    """Maximum number of neurons per layer that change their weights for a recording."""
    radius: tuple[Radius, ...] = (2, 1)
    """Radius in pixels around a winner, per layer, in which no other neuron wins."""
    doubled_after: int = Field(default=500, ge=1)
    """Number of recordings after which a layer doubles its learning rate, up to 0.15."""

    def rates(self, seen: int, count: int) -> list[float]:
        """Return the learning rates of the next `count` recordings, after `seen` ones."""
        doublings = [number // self.doubled_after for number in range(seen, seen + count)]
        return [min(MAX_INCREASE, INCREASE * 2.0 ** min(n, MAX_DOUBLINGS)) for n in doublings]


class Competition(NamedTuple):
    """Winner-take-all competition of a layer.

    Args:
        threshold: Potential at which a neuron can win, > 0.
        winners: Maximum number of winners per recording.
        radius: Radius in pixels around a winner in which no other neuron wins.
        padding: Pixels of zero padding around the input.
    """

    threshold: float
    winners: int
    radius: int
    padding: int = 0


def train_convolution(weights: Tensor, spikes: Tensor, rates: Sequence[float], competition: Competition) -> Tensor:
    """Return the weights of a layer after STDP on each recording in order.

    Args:
        weights: Kernels [K, C, kernel, kernel], 0 to 1.
        spikes: Recordings [T, B, C, H, W], any dtype; a value n counts as n spikes.
        rates: Learning rate of potentiation for each recording; see `StdpConfig.rates`.
        competition: Threshold, winners and radius.

    Returns:
        New kernels, with the shape and dtype of `weights`.

    Raises:
        DataError: If spikes and weights differ in channels.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> rows = torch.eye(5)[torch.randint(5, (2000,))]
        >>> bars = rows[None, :, None, :, None].expand(1, 2000, 1, 5, 5)  # each image has a horizontal bar
        >>> weights = 0.8 + 0.05 * torch.randn(2, 1, 5, 5)
        >>> learned = train_convolution(weights, bars, StdpConfig().rates(0, 2000), Competition(3.0, 1, 0))
        >>> convergence(weights) > 0.1 > convergence(learned)
        True
    """
    _, C, side, _ = weights.shape
    check_tensor(train_convolution, "spikes", spikes, "T B C H W", {"B": len(rates), "C": C})

    learned = weights.detach().clone()
    for recording, rate in zip(spikes.unbind(1), rates, strict=True):
        # Weights change after the recording, so a winner does not affect the next one.
        arrived = pad(recording.to(learned), [competition.padding] * 4).cumsum(0)
        for t, k, y, x in _find_winners(conv2d(arrived, learned), competition):
            w = learned[k]
            is_causal = arrived[t, :, y : y + side, x : x + side] > 0
            learned[k] = w + rate * torch.where(is_causal, 1.0, -DEPRESSION) * w * (1 - w)

    return learned


def _find_winners(potentials: Tensor, competition: Competition) -> list[tuple[int, int, int, int]]:
    """Return step, channel, row and column of the winners, from potentials [T, K, H, W], which are overwritten."""
    winners: list[tuple[int, int, int, int]] = []
    for t, now in enumerate(potentials):
        while len(winners) < competition.winners and now.max() >= competition.threshold:
            k, y, x = (int(index) for index in torch.unravel_index(now.argmax(), now.shape))
            winners.append((t, k, y, x))

            # Inhibit the channel everywhere and all channels around the winner, until the end of the recording.
            top, left = max(0, y - competition.radius), max(0, x - competition.radius)
            potentials[t:, k] = 0
            potentials[t:, :, top : y + competition.radius + 1, left : x + competition.radius + 1] = 0

    return winners


def convergence(weights: Tensor) -> float:
    """Return the mean of w * (1 - w), in [0, 0.25]; below 0.01 the weights are near 0 or 1.

    Example:
        >>> convergence(torch.tensor([0.5, 1.0]))
        0.125
    """
    return float((weights * (1 - weights)).mean())
