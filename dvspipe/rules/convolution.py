"""Convolutional STDP with winner-take-all (Kheradpisheh et al., Neural Networks 99 (2018)).

Neurons integrate input spikes without leak. The first neurons to reach the threshold win; within a step, the largest
potential wins. A winner inhibits its own channel everywhere and all channels around it. For a winner that spikes at
time t, each weight of its channel changes by

    increase * w * (1 - w)   if its input spiked, at t or before,
    -decrease * w * (1 - w)  otherwise.

Only the order of spikes matters. Weights stay in [0, 1] and converge to near 0 or 1.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from ..base.errors import DataError
from ..base.kernels import njit
from ..base.settings import Settings
from ..networks.integrate_and_fire import SCAN_FASTMATH, Singles, add_spikes

NEVER = np.int32(2**31 - 1)

# Columns of the table of winners.
Y = 0
X = 1
CHANNEL = 2
STEP = 3

DEPRESSION = 0.75  # learning rate of depression, relative to potentiation (Kheradpisheh et al. 2018)

Count = Annotated[int, Field(ge=1, le=4096)]
Radius = Annotated[int, Field(ge=0, le=4096)]


class StdpConfig(Settings):
    """Training of a network of kind `stdp`: its layers by STDP, then its readout."""

    passes: int = Field(default=1, ge=1)
    """Epochs for each layer except the last, trained in order; the last layer trains in all remaining epochs."""
    winners: tuple[Count, ...] = (5, 8)
    """Maximum number of neurons per layer that change their weights for a recording."""
    radius: tuple[Radius, ...] = (2, 1)
    """Radius in pixels around a winner, per layer, in which no other neuron wins."""
    increase: float = Field(default=0.004, gt=0, le=1)
    """Initial learning rate of potentiation."""
    largest: float = Field(default=0.15, gt=0, le=1)
    """Final learning rate of potentiation."""
    doubled_after: int = Field(default=500, ge=1)
    """Number of recordings after which a layer doubles its learning rates, up to `largest`."""
    readout_c: float = Field(default=1e-2, gt=0)
    """Inverse regularisation strength C of the readout, a scikit-learn logistic regression."""

    def rates(self, seen: int, count: int) -> Singles:
        """Return the learning rates of potentiation and depression, float32 [count, 2], after `seen` recordings.

        Example:
            >>> StdpConfig(increase=0.125, largest=0.5, doubled_after=1).rates(0, 3).tolist()
            [[0.125, 0.09375], [0.25, 0.1875], [0.5, 0.375]]
        """
        # 2^60 is far above all limits, and fits in float64.
        doublings = np.minimum(np.arange(seen, seen + count) // self.doubled_after, 60)
        increase = np.minimum(self.largest, self.increase * 2.0**doublings)
        return np.stack([increase, DEPRESSION * increase], axis=1).astype(np.float32)


class Competition(NamedTuple):
    """Winner-take-all competition of a layer.

    Args:
        threshold: Potential at which a neuron can win.
        winners: Maximum number of winners per recording.
        radius: Radius in pixels around a winner in which no other neuron wins.
        padding: Pixels of zero padding around the input.
    """

    threshold: float
    winners: int
    radius: int
    padding: int


def train_convolution(
    weights: Tensor, spikes: Tensor, rates: Singles, competition: Competition
) -> tuple[Tensor, NDArray[np.int64]]:
    """Return the weights of a layer after STDP on each recording in order.

    Args:
        weights: [K, C, kernel, kernel], 0 to 1.
        spikes: [B, T, C, H, W], any dtype; a value n counts as n spikes.
        rates: Learning rates of potentiation and depression, float32 [B, 2]; see `StdpConfig.rates`.
        competition: Threshold, winners and radius.

    Returns:
        New weights, float32 [K, C, kernel, kernel], and the number of recordings that each channel won, int64 [K].

    Raises:
        DataError: If spikes and weights differ in channels, or the images are smaller than the kernels.

    Example:
        >>> import torch
        >>> from dvspipe.rules import Competition, StdpConfig, convergence, train_convolution
        >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
        <torch...>
        >>> rows = torch.nn.functional.one_hot(torch.randint(5, (2000,))).float().reshape(2000, 1, 1, 5, 1)
        >>> bars = rows.expand(2000, 1, 1, 5, 5)  # each image has a horizontal bar
        >>> weights, rules = 0.8 + 0.05 * torch.randn(2, 1, 5, 5), StdpConfig()
        >>> learned, won = train_convolution(weights, bars, rules.rates(0, 2000), Competition(3.0, 1, 0, 0))
        >>> convergence(weights) > 0.1 > convergence(learned)
        True
    """
    K, channels, side, _ = weights.shape
    fits = spikes.ndim == 5
    if fits:
        _, _, C, H, W = spikes.shape
        fits = channels == C and min(H, W) + 2 * competition.padding >= side

    if not fits:
        raise DataError(
            f"STDP: shapes do not fit (found spikes {list(spikes.shape)} and weights {list(weights.shape)}, expected "
            "[B, T, C, H, W] and [K, C, kernel, kernel])"
        )

    learned = weights.detach().float().cpu().permute(2, 3, 1, 0).contiguous().clone()
    events = spikes.detach().float().cpu().permute(0, 1, 3, 4, 2).contiguous()
    won = np.zeros(K, np.int64)

    _train(events.numpy(), learned.numpy(), rates, competition, won)
    return learned.permute(3, 2, 0, 1).contiguous().to(weights.device), won


def convergence(weights: Tensor) -> float:
    """Return the mean of w * (1 - w), in [0, 0.25]; below 0.01 the weights are near 0 or 1."""
    return float((weights * (1 - weights)).mean())


@njit(cache=True, nogil=True, fastmath=SCAN_FASTMATH, error_model="numpy")
def _train(spikes: Singles, weights: Singles, rates: Singles, competition: Competition, won: NDArray[np.int64]) -> None:
    """Update the weights [kernel, kernel, C, K] in place, recording by recording.

    Args:
        spikes: [B, T, H, W, C].
        weights: Updated in place.
        rates: Learning rates of potentiation and depression, float32 [B, 2].
        competition: Threshold, winners and radius.
        won: Number of recordings that each channel won, int64 [K]; increased in place.
    """
    B, T, H, W, C = spikes.shape
    side, _, _, K = weights.shape
    padding = competition.padding

    # b is a recording, t a step. Each recording starts with empty potentials; `arrived` is the step of each input's
    # first spike, and a row of `winners` is y, x, k, t of a winner (Y, X, CHANNEL, STEP).
    potentials = np.empty((H + 2 * padding - side + 1, W + 2 * padding - side + 1, K), np.float32)
    closed = np.empty(potentials.shape[:2], np.bool_)
    open_maps = np.empty(K, np.bool_)
    arrived = np.empty((H, W, C), np.int32)
    winners = np.empty((competition.winners, 4), np.int64)

    for b in range(B):
        potentials[:] = 0
        closed[:] = False
        open_maps[:] = True
        arrived[:] = NEVER
        count = 0

        for t in range(T):
            _note_arrivals(spikes[b, t], t, arrived)
            add_spikes(spikes[b, t], weights, potentials, closed, padding)

            # Several neurons may win in a step; each winner inhibits some of the others.
            while count < competition.winners:
                if not _find_winner(potentials, open_maps, closed, competition, winners[count]):
                    break
                winners[count, STEP] = t
                count += 1

            if count == competition.winners:
                break

        # All weights change after the recording, so a winner does not affect the next one.
        for winner in winners[:count]:
            won[winner[CHANNEL]] += 1
            _update(weights, arrived, winner, rates[b], padding)


@njit(cache=True, nogil=True, fastmath=SCAN_FASTMATH, error_model="numpy")
def _note_arrivals(step: Singles, t: int, arrived: NDArray[np.int32]) -> None:
    # y, x, c of one step [H, W, C].
    H, W, C = step.shape
    for y in range(H):
        for x in range(W):
            for c in range(C):
                if step[y, x, c] != 0 and arrived[y, x, c] == NEVER:
                    arrived[y, x, c] = t


@njit(cache=True, nogil=True, fastmath=SCAN_FASTMATH, error_model="numpy")
def _find_winner(
    potentials: Singles,
    open_maps: NDArray[np.bool_],
    closed: NDArray[np.bool_],
    competition: Competition,
    winner: NDArray[np.int64],
) -> bool:
    """Write row, column and channel of the next winner, and inhibit its channel and surroundings."""
    # The largest potential of an open channel at an open pixel y, x wins; of equal ones, the first in memory.
    largest = competition.threshold
    y0 = -1
    x0 = -1
    k0 = -1

    H, W = closed.shape
    for y in range(H):
        for x in range(W):
            if closed[y, x]:
                continue
            neurons = potentials[y, x]

            # Most pixels are too low: their maximum, which vectorises, shows it without a look at the channels.
            top = neurons[0]
            for k in range(neurons.size):
                top = max(top, neurons[k])
            if top < largest or (top == largest and k0 >= 0):
                continue

            for k in range(neurons.size):
                if open_maps[k] and neurons[k] >= largest and (neurons[k] > largest or k0 < 0):
                    largest = neurons[k]
                    y0 = y
                    x0 = x
                    k0 = k

    if k0 < 0:
        return False

    winner[Y] = y0
    winner[X] = x0
    winner[CHANNEL] = k0
    open_maps[k0] = False

    # Inhibit all channels of the square around the winner.
    radius = competition.radius
    for y in range(max(0, y0 - radius), min(H, y0 + radius + 1)):
        for x in range(max(0, x0 - radius), min(W, x0 + radius + 1)):
            closed[y, x] = True

    return True


@njit(cache=True, nogil=True, fastmath=SCAN_FASTMATH, error_model="numpy")
def _update(
    weights: Singles, arrived: NDArray[np.int32], winner: NDArray[np.int64], rates: Singles, padding: int
) -> None:
    # w += increase * w (1 - w) if the input spiked at t or before, else w -= decrease * w (1 - w), for kernel row dy,
    # column dx and input channel c. The input of the kernel's corner is y0, x0.
    y0 = winner[Y] - padding
    x0 = winner[X] - padding
    k = winner[CHANNEL]
    t = winner[STEP]
    increase = rates[0]
    decrease = rates[1]

    side, _, C, _ = weights.shape
    H, W, _ = arrived.shape

    for dy in range(side):
        for dx in range(side):
            y = y0 + dy
            x = x0 + dx

            # Padding never spikes.
            inside = 0 <= y < H and 0 <= x < W
            for c in range(C):
                before = inside and arrived[y, x, c] <= t
                w = weights[dy, dx, c, k]
                rate = increase if before else -decrease
                weights[dy, dx, c, k] = w + rate * w * (np.float32(1) - w)
