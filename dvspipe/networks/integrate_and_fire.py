"""Convolutional layers of neurons that do not leak and spike at most once (Kheradpisheh et al. 2018).

The potential of a neuron is the sum of the weights of the input spikes that have arrived. The first neuron of a pixel
that reaches the threshold spikes, of several in the same step the one with the largest potential, and inhibits the
other neurons of its pixel. Each input spike adds its weights to the potentials that it reaches, so that the cost is
that of the spikes, not of the steps.

In the kernels channels are last and weights are [kernel, kernel, C, K], so that inner loops are contiguous.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor, nn

FIRED = -1.0  # in place of the potential of a neuron that has spiked; potentials are not negative
WEIGHT_MEAN, WEIGHT_DEVIATION = 0.8, 0.05  # before learning, of Kheradpisheh et al. 2018
SCAN_FASTMATH = {"contract", "nsz", "nnan"}  # without "nnan" the largest of some numbers is not vectorised

Singles = NDArray[np.float32]


class Geometry(NamedTuple):
    """The geometry of a layer.

    Args:
        padding: Pixels around the input.
        pool: Side of the squares of pixels, of which the first spike, or the largest potential, is kept.
    """

    padding: int
    pool: int


class IntegrateAndFire(nn.Module):
    """A convolutional layer of neurons that do not leak and spike at most once, with maximum pooling.

    Args:
        before: C, channels of the input.
        channels: K, channels of the layer.
        kernel: Side of each of the kernels.
        threshold: Potential at which a neuron spikes; None: it does not spike, and its potential is the output.
        padding: Pixels around the input.
        pool: Side of the squares of pixels pooled.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> layer = IntegrateAndFire(2, 3, kernel=3, threshold=4.0, padding=1)
        >>> spikes, state = layer(torch.ones(2, 1, 4, 5, 2), None)
        >>> spikes.shape, int(spikes.sum(0).max())
        (torch.Size([2, 1, 4, 5, 3]), 1)
    """

    def __init__(
        self, before: int, channels: int, *, kernel: int, threshold: float | None, padding: int = 0, pool: int = 1
    ) -> None:
        super().__init__()
        drawn = WEIGHT_MEAN + WEIGHT_DEVIATION * torch.randn(channels, before, kernel, kernel)
        self.weight = nn.Parameter(drawn.clamp(0, 1), requires_grad=False)
        self.threshold = threshold
        self.geometry = Geometry(padding, pool)

    def forward(self, spikes: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the output over time, and the state after the last step.

        Args:
            spikes: Input [T, B, H, W, C]; a value of n counts as n spikes.
            state: The state that the previous call returned; None to start.

        Returns:
            Spikes, or potentials without a threshold, [T, B, H' // pool, W' // pool, K]; and the potentials
            [B, H', W', K], FIRED in place of those of neurons that have spiked.
        """
        T, B, *image, _ = spikes.shape
        K, _, side, _ = self.weight.shape
        padding, pool = self.geometry
        H, W = (length + 2 * padding - side + 1 for length in image)
        potentials = spikes.new_zeros((B, H, W, K), device="cpu") if state is None else state.cpu().clone()
        output = torch.zeros((T, B, H // pool, W // pool, K))
        arrays = tuple(
            tensor.detach().float().cpu().contiguous().numpy()
            for tensor in (spikes, self.weight.permute(2, 3, 1, 0), potentials, output)
        )
        limit = np.float32(np.inf if self.threshold is None else self.threshold)
        _run_in_threads(B, lambda first, last: _integrate(*arrays, limit, self.geometry, first, last))
        _, _, after, _ = arrays
        return output.to(spikes.device), torch.from_numpy(after).to(spikes.device)


def _run_in_threads(recordings: int, work: Callable[[int, int], None]) -> None:
    """Call a function with ranges of recordings, in as many threads as torch uses."""
    threads = min(torch.get_num_threads(), recordings)
    edges = [recordings * part // max(1, threads) for part in range(threads + 1)]
    if threads <= 1:
        return work(0, recordings)
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, edges, edges[1:]):
            pass
    return None


@njit(cache=True, nogil=True, fastmath=SCAN_FASTMATH, error_model="numpy")
def add_spikes(step: Singles, weights: Singles, potentials: Singles, closed: NDArray[np.bool_], padding: int) -> None:
    """Add the weights of the input spikes of a step to the potentials that they reach.

    Args:
        step: [H, W, C].
        weights: [kernel, kernel, C, K].
        potentials: [H', W', K].
        closed: bool [H', W'], pixels whose potentials do not matter any more.
        padding: Pixels around the input.
    """
    H, W, C = step.shape
    side, K = weights.shape[0], weights.shape[3]
    for y in range(H):
        for x in range(W):
            for c in range(C):
                value = step[y, x, c]
                if value == 0:
                    continue
                for dy in range(max(0, y + padding - potentials.shape[0] + 1), min(side, y + padding + 1)):
                    for dx in range(max(0, x + padding - potentials.shape[1] + 1), min(side, x + padding + 1)):
                        row, column = y + padding - dy, x + padding - dx
                        if closed[row, column]:
                            continue
                        own, into = weights[dy, dx, c], potentials[row, column]
                        for k in range(K):
                            into[k] += value * own[k]


@njit(cache=True, nogil=True, fastmath=SCAN_FASTMATH, error_model="numpy")
def _integrate(
    spikes: Singles,
    weights: Singles,
    potentials: Singles,
    output: Singles,
    limit: np.float32,
    geometry: Geometry,
    first: int,
    last: int,
) -> None:
    """Write the output [T, B, H' // pool, W' // pool, K] of some recordings, and their last potentials."""
    T, pool = spikes.shape[0], geometry.pool
    for b in range(first, last):
        own = potentials[b]
        closed, fired = _find_fired(own, pool, output.shape[2:])
        for t in range(T):
            add_spikes(spikes[t, b], weights, own, closed, geometry.padding)
            if limit == np.inf:
                _pool_potentials(own, pool, output[t, b])
            else:
                _fire(own, limit, closed, fired, pool, output[t, b])


@njit(cache=True, nogil=True, fastmath=SCAN_FASTMATH, error_model="numpy")
def _find_fired(
    potentials: Singles, pool: int, pooled: tuple[int, int, int]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which pixels [H', W'] and which neurons of squares [H' // pool, W' // pool, K] have spiked."""
    H, W, K = potentials.shape
    closed, fired = np.zeros((H, W), np.bool_), np.zeros(pooled, np.bool_)
    for y in range(H):
        for x in range(W):
            for k in range(K):
                if potentials[y, x, k] < 0:
                    closed[y, x] = True
                    if y // pool < pooled[0] and x // pool < pooled[1]:
                        fired[y // pool, x // pool, k] = True
    return closed, fired


@njit(cache=True, nogil=True, fastmath=SCAN_FASTMATH, error_model="numpy")
def _fire(
    potentials: Singles,
    limit: np.float32,
    closed: NDArray[np.bool_],
    fired: NDArray[np.bool_],
    pool: int,
    output: Singles,
) -> None:
    """Let the largest potential of each pixel that is not closed spike if it reaches the limit."""
    for y in range(potentials.shape[0]):
        for x in range(potentials.shape[1]):
            if closed[y, x]:
                continue
            own = potentials[y, x]
            largest = own[0]
            for k in range(own.size):
                largest = max(largest, own[k])
            if largest < limit:
                continue
            k = own.argmax()
            own[k] = FIRED
            closed[y, x] = True
            row, column = y // pool, x // pool
            if row < output.shape[0] and column < output.shape[1] and not fired[row, column, k]:
                fired[row, column, k] = True
                output[row, column, k] = 1


@njit(cache=True, nogil=True, fastmath=SCAN_FASTMATH, error_model="numpy")
def _pool_potentials(potentials: Singles, pool: int, output: Singles) -> None:
    for row in range(output.shape[0]):
        for column in range(output.shape[1]):
            into = output[row, column]
            for y in range(row * pool, (row + 1) * pool):
                for x in range(column * pool, (column + 1) * pool):
                    own = potentials[y, x]
                    for k in range(own.size):
                        into[k] = max(into[k], own[k])
