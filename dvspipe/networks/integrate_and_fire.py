"""Convolutional layers of non-leaky neurons that spike at most once (Kheradpisheh et al. 2018).

A neuron's potential is the sum of the weights of all input spikes so far. The first neuron of a pixel to reach the
threshold spikes and inhibits the other neurons of its pixel; within a step, the largest potential wins. Each input
spike adds its weights to the potentials that it reaches, so cost grows with spikes, not steps.

The kernels keep channels last and weights as [kernel, kernel, C, K]; inner loops are contiguous.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..base.errors import DataError
from ..base.kernels import njit
from .inputs import check_positive, check_tensor
from .scan import run_in_threads

FIRED = -1.0  # marks a neuron that has spiked; potentials are never negative
WEIGHT_MEAN = 0.8  # initial weights (Kheradpisheh et al. 2018)
WEIGHT_DEVIATION = 0.05
SCAN_FASTMATH = {"contract", "nsz", "nnan"}  # "nnan" lets maxima vectorise

Singles = NDArray[np.float32]


class Geometry(NamedTuple):
    """Geometry of a layer.

    Args:
        padding: Pixels of zero padding around the input.
        pool: Pooling size; each square keeps its first spike or its largest potential.
    """

    padding: int
    pool: int


class IntegrateAndFire(nn.Module):
    """Convolutional layer of non-leaky neurons that spike at most once, with max pooling.

    Args:
        before: Input channels C.
        channels: Output channels K.
        kernel: Side of the kernels in pixels.
        threshold: Potential at which a neuron spikes; None: no spikes, the output is the potential.
        padding: Pixels of zero padding around the input.
        pool: Pooling size.

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
        check_positive("IntegrateAndFire", before=before, channels=channels, kernel=kernel, pool=pool)
        drawn = WEIGHT_MEAN + WEIGHT_DEVIATION * torch.randn(channels, before, kernel, kernel)
        self.weight = nn.Parameter(drawn.clamp(0, 1), requires_grad=False)
        self.threshold = threshold
        self.geometry = Geometry(padding, pool)

    def extra_repr(self) -> str:
        """Return the sizes and constants of the layer."""
        K, C, side, _ = self.weight.shape
        padding, pool = self.geometry
        return f"{C}, {K}, kernel={side}, threshold={self.threshold}, padding={padding}, pool={pool}"

    def forward(self, spikes: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the output over time, and the state after the last step.

        Args:
            spikes: Input [T, B, H, W, C]; a value n counts as n spikes.
            state: State returned by the previous call; None to start.

        Returns:
            Spikes (potentials if there is no threshold), [T, B, H' // pool, W' // pool, K]; and the state: potentials
            [B, H', W', K], FIRED for neurons that have spiked.
        """
        K, C, side, _ = self.weight.shape
        check_tensor(self, "spikes", spikes, "T B H W C", {"C": C})
        T, B, rows, columns, _ = spikes.shape
        padding, pool = self.geometry
        H = rows + 2 * padding - side + 1
        W = columns + 2 * padding - side + 1

        if min(H, W) < pool:
            sizes = f"found {columns}x{rows}, a kernel of {side} and a pool of {pool}"
            raise DataError(f"IntegrateAndFire: images are too small ({sizes})")

        # The kernel changes the potentials and writes the output.
        if state is not None:
            check_tensor(self, "state", state, "B H' W' K", {"B": B, "H'": H, "W'": W, "K": K})

        potentials = spikes.new_zeros((B, H, W, K), device="cpu") if state is None else state.cpu().clone()
        output = torch.zeros((T, B, H // pool, W // pool, K))

        arrays = tuple(
            tensor.detach().float().cpu().contiguous().numpy()
            for tensor in (spikes, self.weight.permute(2, 3, 1, 0), potentials, output)
        )

        limit = np.float32(np.inf if self.threshold is None else self.threshold)
        run_in_threads(B, lambda first, last: _integrate(*arrays, limit, self.geometry, first, last))

        _, _, after, _ = arrays
        return output.to(spikes.device), torch.from_numpy(after).to(spikes.device)


@njit(cache=True, nogil=True, fastmath=SCAN_FASTMATH, error_model="numpy")
def add_spikes(step: Singles, weights: Singles, potentials: Singles, closed: NDArray[np.bool_], padding: int) -> None:
    """Add the weights of one step's input spikes to the potentials.

    Args:
        step: Input spikes [H, W, C].
        weights: Weights [kernel, kernel, C, K].
        potentials: Potentials [H', W', K]; updated in place.
        closed: Inhibited pixels, bool [H', W']; their potentials are not updated.
        padding: Pixels of zero padding around the input.
    """
    # potentials[row, column, k] += value * weights[dy, dx, c, k] for each spike at y, x of channel c; dy and dx are
    # limited so that row and column are inside the image.
    H, W, C = step.shape
    height, width, K = potentials.shape
    side = len(weights)

    for y in range(H):
        for x in range(W):
            for c in range(C):
                value = step[y, x, c]
                if value == 0:
                    continue
                for dy in range(max(0, y + padding - height + 1), min(side, y + padding + 1)):
                    for dx in range(max(0, x + padding - width + 1), min(side, x + padding + 1)):
                        row = y + padding - dy
                        column = x + padding - dx
                        if closed[row, column]:
                            continue

                        # A pixel that has spiked accepts no more spikes.
                        kernel = weights[dy, dx, c]
                        neurons = potentials[row, column]
                        for k in range(K):
                            neurons[k] += value * kernel[k]


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
    """Write output [T, B, H' // pool, W' // pool, K] and last potentials for a range of recordings."""
    # For recordings b and steps t: add the spikes to the potentials, then pool them or, with a finite limit, fire.
    T = len(spikes)
    pool = geometry.pool

    for b in range(first, last):
        neurons = potentials[b]
        closed, fired = _find_fired(neurons, pool, output.shape[2:])
        for t in range(T):
            add_spikes(spikes[t, b], weights, neurons, closed, geometry.padding)

            # Without a threshold, the output is the pooled potentials.
            if limit == np.inf:
                _pool_potentials(neurons, pool, output[t, b])
            else:
                _fire(neurons, limit, closed, fired, pool, output[t, b])


@njit(cache=True, nogil=True, fastmath=SCAN_FASTMATH, error_model="numpy")
def _find_fired(
    potentials: Singles, pool: int, pooled: tuple[int, int, int]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the pixels [H', W'] and the pooled neurons [H' // pool, W' // pool, K] that have spiked."""
    # A neuron that has spiked has the potential `FIRED` < 0. Incomplete squares of pixels y, x have no output.
    H, W, K = potentials.shape
    rows, columns, _ = pooled
    closed = np.zeros((H, W), np.bool_)
    fired = np.zeros(pooled, np.bool_)

    for y in range(H):
        for x in range(W):
            for k in range(K):
                if potentials[y, x, k] < 0:
                    closed[y, x] = True
                    if y // pool < rows and x // pool < columns:
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
    """Fire the neuron with the largest potential of each open pixel, if it reaches the limit."""
    # For each pixel y, x: the largest potential wins, spikes if it reaches the limit, and closes the pixel.
    H, W, _ = potentials.shape
    rows, columns, _ = output.shape
    for y in range(H):
        for x in range(W):
            if closed[y, x]:
                continue
            neurons = potentials[y, x]

            # The maximum vectorises (see `SCAN_FASTMATH`); its channel matters only if it reaches the limit.
            largest = neurons[0]
            for k in range(neurons.size):
                largest = max(largest, neurons[k])
            if largest < limit:
                continue

            # A pooled neuron spikes once: with the first pixel of its square.
            k = neurons.argmax()
            neurons[k] = FIRED
            closed[y, x] = True
            row = y // pool
            column = x // pool
            if row < rows and column < columns and not fired[row, column, k]:
                fired[row, column, k] = True
                output[row, column, k] = 1


@njit(cache=True, nogil=True, fastmath=SCAN_FASTMATH, error_model="numpy")
def _pool_potentials(potentials: Singles, pool: int, output: Singles) -> None:
    # pooled[k], 0 at first, becomes the maximum over the pixels y, x of the square; potentials are never negative.
    rows, columns, _ = output.shape
    for row in range(rows):
        for column in range(columns):
            pooled = output[row, column]
            for y in range(row * pool, (row + 1) * pool):
                for x in range(column * pool, (column + 1) * pool):
                    neurons = potentials[y, x]
                    for k in range(neurons.size):
                        pooled[k] = max(pooled[k], neurons[k])
