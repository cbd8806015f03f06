"""The rule of `integer.py`, compiled: equal results, driven by the nonzero inputs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.kernels import njit
from .network import LEAK_BITS, MAX_CURRENT, MAX_INT16, IntegerLayer, IntegerNetwork, Scores

HALF = 1 << (LEAK_BITS - 1)


class PackedLayer(NamedTuple):
    """Layer in the order of memory that the compiled rule needs; see `IntegerLayer` for the other fields.

    Args:
        weight: Weights per input channel and row, from the last column to the first, int8 [C, h, w * M].
        bias: Bias of each neuron of a row, int32 [W' * M].
        threshold: Threshold of each neuron of a row, int32 [W' * M].
        columns: Columns w of the weights.
        has_current: Whether the neurons have a synaptic current.
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    threshold: NDArray[np.int32]
    columns: int
    leak: int
    shift: int
    padding: int
    pool: int
    subtract: bool
    has_current: bool
    current_leak: int


def _pack(layer: IntegerLayer, width: int) -> PackedLayer:
    """Pack a layer whose rows have `width` columns of neurons."""
    _, C, rows, columns = layer.weight.shape

    # An input in column x reaches output column x - j by the weights of kernel column j. Reversed, the weights
    # are in the order of the outputs that they reach.
    reversed_columns = layer.weight.transpose(1, 2, 3, 0)[:, :, ::-1]
    return PackedLayer(
        weight=np.ascontiguousarray(reversed_columns).reshape(C, rows, -1),
        bias=np.tile(layer.bias, width),
        threshold=np.tile(layer.threshold, width),
        columns=columns,
        leak=layer.leak,
        shift=layer.shift,
        padding=layer.padding,
        pool=layer.pool,
        subtract=layer.subtract,
        has_current=layer.has_current,
        current_leak=layer.current_leak,
    )


class PackedReadout(NamedTuple):
    """Readout in the order of memory that the compiled rule needs; see `IntegerReadout` for the other fields.

    Args:
        weight: Weights, int8 [H * W * C, K].
        bias: Bias, int32 [K].
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    leak: int
    shift: int


def run_fast(network: IntegerNetwork, counts: NDArray[np.uint8]) -> Scores:
    """Return the scores after each step of a recording [T, C, H, W], int64 [T, K], as `integer.run` does."""
    x = np.ascontiguousarray(counts.transpose(0, 2, 3, 1))
    for layer, (C, H, W) in zip(network.layers, network.shapes, strict=False):
        _, height, width = layer.membrane_shape((C, H, W))
        x = _run_layer(_pack(layer, width), x.reshape(len(x), H, W, C), height, width)

    C, H, W = network.shapes[-1]
    weight = network.readout.weight.reshape(-1, C, H, W).transpose(2, 3, 1, 0).reshape(C * H * W, -1)
    readout = PackedReadout(
        np.ascontiguousarray(weight),
        np.ascontiguousarray(network.readout.bias),
        network.readout.leak,
        network.readout.shift,
    )
    integrators = _run_readout(readout, x.reshape(len(x), -1))
    return np.cumsum(integrators, axis=0, dtype=np.int64)


@njit(cache=True, nogil=True)
def _run_layer(layer: PackedLayer, x: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Run a layer, packed by `_pack`, from the start of a recording.

    Args:
        layer: Packed layer.
        x: Inputs, uint8 [T, H, W, C].
        height: Rows H' of neurons.
        width: Columns W' of neurons.

    Returns:
        Outputs, uint8 [T, H' // pool, W' // pool * M].
    """
    # In step t, an input adds its weights to the sums, the neurons spike, and squares are pooled. Rows have W'
    # columns of M neurons o.
    T, H, W, C = x.shape
    M = layer.weight.shape[-1] // layer.columns

    membrane = np.zeros((height, width * M), np.int32)
    synapse = np.zeros(membrane.shape, np.int32)  # synaptic currents, if the neurons have them
    sums = np.zeros(membrane.shape, np.int32)  # weights that arrive in a step
    spikes = np.empty(membrane.shape, np.uint8)
    pooled = np.zeros((T, height // layer.pool, width // layer.pool * M), np.uint8)

    for t in range(T):
        # Only inputs that are not 0 cost time: each adds its weights to the neurons that it reaches.
        for row in range(H):
            for column in range(W):
                for channel in range(C):
                    value = x[t, row, column, channel]
                    if value:
                        _add_input(layer, channel, value, row + layer.padding, column + layer.padding, sums)

        _step_neurons(layer, sums, membrane, synapse, spikes)
        _pool(layer, M, spikes, pooled[t])

    return pooled


@njit(cache=True, nogil=True)
def _add_input(
    layer: PackedLayer, channel: int, value: np.uint8, row: int, column: int, sums: NDArray[np.int32]
) -> None:
    """Add the weights of an input, at a place in the padded input, to the sums [H', W' * M] of the neurons it reaches.

    The neurons of a row that an input reaches are neighbours in memory.
    """
    weight = layer.weight
    factor = np.int32(value)
    height, width = sums.shape
    _, rows, columns_of_neurons = weight.shape
    M = columns_of_neurons // layer.columns

    # The input reaches the output columns from column - w + 1 to column, without those outside the image.
    first = (column - layer.columns + 1) * M
    start = max(0, first)
    stop = min(width, (column + 1) * M)

    for i in range(max(0, row - height + 1), min(rows, row + 1)):
        # Kernel row i reaches output row - i.
        source = weight[channel, i, start - first : stop - first]
        target = sums[row - i, start:stop]
        for o in range(len(target)):
            target[o] += np.int32(factor * np.int32(source[o]))


@njit(cache=True, nogil=True)
def _step_neurons(
    layer: PackedLayer,
    sums: NDArray[np.int32],
    membrane: NDArray[np.int32],
    synapse: NDArray[np.int32],
    spikes: NDArray[np.uint8],
) -> None:
    """Update membranes and spikes of all neurons [H', W' * M], and clear the sums.

    The casts keep all numbers in 32 bits, so the loop is vectorised. It is exact: |v| * leak is at most 2^30, and
    `IntegerNetwork` checks the currents.
    """
    # v = v - leak(v) + (sums << shift) + bias, limited to int16; z = [v > threshold]; then v = 0 or, if the
    # reset subtracts, v - threshold. leak(v) is |v| * leak / 2^15, rounded half away from zero, with v's sign.
    # With a synaptic current i = i - leak(i) + (sums << shift) + bias, limited: v = v - leak(v) + i.
    leak = np.int32(layer.leak)
    shift = np.int32(layer.shift)
    keep = np.int32(layer.subtract)

    low = np.int32(-MAX_INT16)
    high = np.int32(MAX_INT16)
    half = np.int32(HALF)
    bits = np.int32(LEAK_BITS)

    for row in range(len(membrane)):
        potentials = membrane[row]
        currents = sums[row]
        out = spikes[row]
        if layer.has_current:
            _update_currents(layer, currents, synapse[row])

        for o in range(len(potentials)):
            v = potentials[o]
            threshold = layer.threshold[o]
            size = np.int32(np.int32(np.int32(abs(v)) * leak + half) >> bits)
            leaked = size if v >= 0 else np.int32(-size)

            current = currents[o]
            if not layer.has_current:
                current = np.int32(np.int32(current << shift) + layer.bias[o])
            unlimited = np.int32(np.int32(v - leaked) + current)
            v = np.int32(min(max(unlimited, low), high))

            spike = v > threshold
            potentials[o] = np.int32(np.int32(v - threshold) * keep) if spike else v
            out[o] = spike
            currents[o] = 0


@njit(cache=True, nogil=True)
def _update_currents(layer: PackedLayer, sums: NDArray[np.int32], synapse: NDArray[np.int32]) -> None:
    """Update the synaptic currents of a row of neurons [W' * M], and replace the sums by them; in int64."""
    for o in range(len(synapse)):
        before = np.int64(synapse[o])
        size = (abs(before) * layer.current_leak + HALF) >> LEAK_BITS
        leaked = size if before >= 0 else -size

        current = before - leaked + (np.int64(sums[o]) << layer.shift) + layer.bias[o]
        synapse[o] = min(max(current, -MAX_CURRENT), MAX_CURRENT)
        sums[o] = synapse[o]


@njit(cache=True, nogil=True)
def _pool(layer: PackedLayer, M: int, spikes: NDArray[np.uint8], pooled: NDArray[np.uint8]) -> None:
    """Pool the spikes [H', W' * M] of complete squares, [H' // pool, W' // pool * M]."""
    # M neurons o of a pixel are innermost; rows and columns count pixels before pooling.
    pool = layer.pool
    pooled_rows, pooled_width = pooled.shape
    for row in range(pooled_rows * pool):
        for column in range(pooled_width // M * pool):
            start = column // pool * M
            first = column * M
            source = spikes[row, first : first + M]
            target = pooled[row // pool, start : start + M]

            for o in range(M):
                target[o] += source[o]


@njit(cache=True, nogil=True)
def _run_readout(readout: PackedReadout, x: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the integrators after each step, int32 [T, K], for inputs [T, H * W * C]."""
    # v = v - leak(v) + (sums << shift) + bias for each class k, in int64; only inputs that are not 0 cost time.
    T, features = x.shape
    K = len(readout.bias)
    integrators = np.zeros((T, K), np.int32)
    sums = np.zeros(K, np.int64)

    for t in range(T):
        sums[:] = 0
        for feature in range(features):
            value = x[t, feature]
            if value:
                for k in range(K):
                    sums[k] += np.int64(value) * readout.weight[feature, k]

        for k in range(K):
            v = np.int64(integrators[t - 1, k] if t else 0)
            size = (abs(v) * readout.leak + HALF) >> LEAK_BITS
            leaked = size if v >= 0 else -size
            integrators[t, k] = v - leaked + (sums[k] << readout.shift) + readout.bias[k]

    return integrators
