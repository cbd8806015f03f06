"""The rule of `integer.py`, compiled: equal results, driven by the nonzero inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .integer import LEAK_BITS, MAX_INT16, IntegerLayer, IntegerNetwork, Scores, leak_of, pool_squares, start_state

HALF = 1 << (LEAK_BITS - 1)


class LayerArrays(NamedTuple):
    """Constants of a layer for the kernel; see `IntegerLayer`.

    Args:
        weight: Weights with the output channels last, int32 [C, h, w, M].
        bias: Bias, int32 [M].
        threshold: Threshold, int32 [M].
        leak: Leak in units of 2^-15.
        shift: Shift of the sums.
        padding: Zero pixels around the input.
        pool: Side of the squares.
        subtract: Whether a spike subtracts the threshold.
    """

    weight: NDArray[np.int32]
    bias: NDArray[np.int32]
    threshold: NDArray[np.int32]
    leak: int
    shift: int
    padding: int
    pool: int
    subtract: bool


def _arrays(layer: IntegerLayer) -> LayerArrays:
    return LayerArrays(
        np.ascontiguousarray(layer.weight.transpose(1, 2, 3, 0).astype(np.int32)),
        layer.bias,
        layer.threshold,
        layer.leak,
        layer.shift,
        layer.padding,
        layer.pool,
        layer.subtract,
    )


def run_fast(network: IntegerNetwork, counts: NDArray[np.uint8]) -> Scores:
    """Return the scores after each step of a recording, as `integer.run` does.

    Args:
        network: Network of integers.
        counts: Number of events per step, channel and pixel, uint8 [T, C, H, W].

    Returns:
        Scores, int64 [T, K].
    """
    x = previous = np.ascontiguousarray(counts.transpose(0, 2, 3, 1))  # channels last
    for layer, membrane in zip(network.layers, start_state(network).membranes, strict=True):
        before, summed = x, layer.pooling == "sum" and not layer.residual
        arrays = _arrays(layer if summed else replace(layer, pool=1))
        x = _run_layer(arrays, x, np.zeros((*membrane.shape[1:], membrane.shape[0]), np.int32))
        if not summed:
            x = _pool(layer, x + previous if layer.residual else x)
        previous = before
    readout, v, scores = network.readout, np.zeros(network.classes, np.int32), []
    features = x.transpose(0, 3, 1, 2).reshape(len(x), -1).astype(np.float64)  # exact: sums are below 2^31
    sums = (features @ readout.weight.T.astype(np.float64)).astype(np.int32)
    for each in (sums << readout.shift) + readout.bias:
        v = v - leak_of(v, readout.leak) + each
        scores.append(v)
    return np.cumsum(np.stack(scores), axis=0, dtype=np.int64)


def _pool(layer: IntegerLayer, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pool x [T, H, W, M]."""
    return np.ascontiguousarray(pool_squares(x.transpose(0, 3, 1, 2), layer.pool, layer.pooling).transpose(0, 2, 3, 1))


@njit(cache=True, nogil=True)
def _run_layer(layer: LayerArrays, x: NDArray[np.uint8], membrane: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return the pooled spikes [T, H', W', M] of a layer for inputs [T, H, W, C]."""
    T, H, W, _ = x.shape
    height, width, M = membrane.shape
    pool = layer.pool
    pooled = np.zeros((T, height // pool, width // pool, M), np.uint8)
    for t in range(T):
        sums = np.zeros((height, width, M), np.int32)
        for row in range(H):
            for column in range(W):
                _add_pixel(layer, x[t, row, column], row + layer.padding, column + layer.padding, sums)
        for row in range(height):
            for column in range(width):
                y, z = row // pool, column // pool
                inside = y < pooled.shape[1] and z < pooled.shape[2]
                for o in range(M):
                    v = membrane[row, column, o]
                    leaked = (np.int64(abs(v)) * layer.leak + HALF) >> LEAK_BITS
                    full = v - (leaked if v >= 0 else -leaked) + (sums[row, column, o] << layer.shift) + layer.bias[o]
                    v = min(max(full, -MAX_INT16), MAX_INT16)
                    if v > layer.threshold[o]:
                        v = v - layer.threshold[o] if layer.subtract else 0
                        if inside:
                            pooled[t, y, z, o] += 1
                    membrane[row, column, o] = v
    return pooled


@njit(cache=True, nogil=True)
def _add_pixel(layer: LayerArrays, pixel: NDArray[np.uint8], row: int, column: int, sums: NDArray[np.int32]) -> None:
    """Add the weights of one input pixel, at a place in the padded input, to the sums of all neurons it reaches."""
    height, width, M = sums.shape
    _, rows, columns, _ = layer.weight.shape
    for channel in range(len(pixel)):
        value = np.int32(pixel[channel])
        if value:
            for i in range(max(0, row - height + 1), min(rows, row + 1)):
                for j in range(max(0, column - width + 1), min(columns, column + 1)):
                    weight, target = layer.weight[channel, i, j], sums[row - i, column - j]
                    for o in range(M):
                        target[o] += value * weight[o]
