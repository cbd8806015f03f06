"""Spiking networks in integers: the rule that the generated C code also computes, bit by bit.

`docs/concepts/integer.md` derives it. `IntegerNetwork` checks that no number of a network can overflow; `run_layer`
runs a layer over time, and `run_integers` all layers and the readout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError

LEAK_BITS = 15  # a leak of 2^15 is 1
MAX_SHIFT = 8  # fraction bits of currents
MAX_INT16 = (1 << 15) - 1
MEMBRANE_BYTES = 2  # int16 per neuron
CURRENT_BYTES = 4  # int32 per neuron with a synaptic current
INTEGRATOR_BYTES = 12  # each class in the readout: an integrator, int32, and a score, int64
MAX_INT32 = (1 << 31) - 1
MAX_EXACT = 1 << 24  # float32 represents all integers up to it
MAX_CURRENT = 1 << 30  # synaptic currents are limited to it
MEMORYLESS = 1 << LEAK_BITS  # leak of a current that is the input of the step alone
MAX_COUNT_IN = 255  # counts are uint8
MAX_POOL = 15  # the sum of a square of spikes fits in uint8
MAX_UNIT = 1e20  # logits fit in float32, also divided by the temperature

Scores = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """Convolution of integers, leaky integrate-and-fire neurons, and pooling.

    A linear layer is a convolution without padding whose kernel covers the input.

    Args:
        weight: Weights, int8 [M, C, h, w].
        bias: Bias with the folded batch norm, in units of the membrane, int32 [M].
        threshold: Threshold of each channel, int32 [M], from 1 to 32,766; a neuron spikes above it.
        leak: Leak per step in units of 2^-15, from 1 to 2^15.
        shift: Number of bits by which the sum of weights is shifted to the left, from 0 to 8.
        padding: Zero pixels around the input.
        pool: Side of the squares whose spikes are summed; 1: no pooling.
        subtract: Whether a spike subtracts the threshold; otherwise it sets the membrane to 0.
        current_leak: Leak of the synaptic current per step in units of 2^-15, from 1 to 2^15; 2^15: no synaptic
            current, a membrane gets the input of the step alone.
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    threshold: NDArray[np.int32]
    leak: int
    shift: int
    padding: int
    pool: int
    subtract: bool
    current_leak: int = MEMORYLESS

    @property
    def has_current(self) -> bool:
        """Whether the neurons have a synaptic current."""
        return self.current_leak < MEMORYLESS

    @property
    def neuron_bytes(self) -> int:
        """Bytes of the state of a neuron."""
        return MEMBRANE_BYTES + CURRENT_BYTES * self.has_current

    def membrane_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the shape [M, H, W] of the neurons for the shape of the input."""
        M, _, rows, columns = self.weight.shape
        _, H, W = shape
        return M, H + 2 * self.padding - rows + 1, W + 2 * self.padding - columns + 1

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the shape of the pooled spikes for the shape of the input."""
        M, H, W = self.membrane_shape(shape)
        return M, H // self.pool, W // self.pool


@dataclass(frozen=True, eq=False)
class IntegerReadout:
    """Linear layer and one leaky integrator per class.

    Args:
        weight: Weights, int8 [K, C * H * W].
        bias: Bias in units of the integrator, int32 [K].
        leak: Leak per step in units of 2^-15, from 1 to 2^15.
        shift: Number of bits by which the sum of weights is shifted to the left, from 0 to 8.
        unit: Logit of one unit of an integrator, > 0. The logits are unit * scores / steps.
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    leak: int
    shift: int
    unit: float


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """Spiking network with 8-bit weights, 16-bit membranes and a 32-bit readout.

    Args:
        shape: Shape C, H, W of the counts.
        layers: Spiking layers in order.
        readout: Readout.
    """

    shape: tuple[int, int, int]
    layers: tuple[IntegerLayer, ...]
    readout: IntegerReadout

    def __post_init__(self) -> None:
        for n, layer in enumerate(self.layers):
            if not 1 <= layer.pool <= MAX_POOL:
                raise ConfigError(f"lif{n + 1}: pooling out of range (found {layer.pool}, expected 1 to {MAX_POOL})")

        shapes = self.shapes
        bounds = self.bound_inputs(self.layers)
        for n, layer in enumerate(self.layers):
            _check_layer(f"lif{n + 1}", layer, shapes[n], bounds[n])

        _check_readout(self.readout, shapes[-1], bounds[-1])

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """Shapes C, H, W of the input of each layer, then of the readout."""
        shapes = [self.shape]
        for layer in self.layers:
            shapes.append(layer.output_shape(shapes[-1]))
        return tuple(shapes)

    @staticmethod
    def bound_inputs(layers: Sequence[IntegerLayer]) -> tuple[int, ...]:
        """Return the largest possible input of each layer, then of a readout after them."""
        return (MAX_COUNT_IN, *(layer.pool**2 for layer in layers))

    @property
    def classes(self) -> int:
        """Number of classes K."""
        return len(self.readout.weight)

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all weights, biases and thresholds."""
        arrays = [array for layer in self.layers for array in (layer.weight, layer.bias, layer.threshold)]
        return sum(array.nbytes for array in (*arrays, self.readout.weight, self.readout.bias))

    @property
    def state_bytes(self) -> int:
        """Bytes of all membranes, synaptic currents, integrators and scores."""
        sizes = [
            layer.neuron_bytes * int(np.prod(layer.membrane_shape(shape)))
            for layer, shape in zip(self.layers, self.shapes, strict=False)
        ]
        return sum(sizes) + INTEGRATOR_BYTES * self.classes


def _check_layer(name: str, layer: IntegerLayer, shape: tuple[int, int, int], largest: int) -> None:
    M, *sides = layer.membrane_shape(shape)
    _, C, _, _ = layer.weight.shape
    channels, _, _ = shape
    fits = layer.weight.dtype == np.int8 and channels == C and min(sides) >= layer.pool
    if not fits or layer.padding < 0 or layer.bias.shape != (M,) or layer.threshold.shape != (M,):
        raise ConfigError(f"{name}: wrong shapes (found weights {layer.weight.shape}, expected an input of {shape})")
    if not 1 <= layer.threshold.min() <= layer.threshold.max() < MAX_INT16:
        raise ConfigError(f"{name}: thresholds out of range (expected 1 to {MAX_INT16 - 1})")

    if not 1 <= layer.current_leak <= MEMORYLESS:
        raise ConfigError(f"{name}: current_leak out of range (found {layer.current_leak}, expected 1 to {MEMORYLESS})")

    _check_sums(name, layer, largest)


def _check_readout(readout: IntegerReadout, shape: tuple[int, int, int], largest: int) -> None:
    if readout.weight.dtype != np.int8 or readout.weight.shape != (len(readout.bias), int(np.prod(shape))):
        raise ConfigError(f"readout: wrong shapes (found weights {readout.weight.shape}, expected an input of {shape})")
    if not 0 < readout.unit <= MAX_UNIT:
        raise ConfigError(
            f"readout: unit out of range (found {readout.unit:g}, expected more than 0, up to {MAX_UNIT:g})"
        )

    _check_sums("readout", readout, largest)


def _check_sums(name: str, layer: IntegerLayer | IntegerReadout, largest: int) -> None:
    """Check that no current overflows int32, and no integrator of the readout for any number of steps."""
    if not (1 <= layer.leak <= 1 << LEAK_BITS and 0 <= layer.shift <= MAX_SHIFT):
        raise ConfigError(
            f"{name}: leak or shift out of range (found {layer.leak} and {layer.shift}, expected 1 to {1 << LEAK_BITS} "
            f"and 0 to {MAX_SHIFT})"
        )

    # The membrane before a step is in int16, and a synaptic current is limited, too. An integrator is at most
    # the sum of currents that leak away: its bound is that of the current, divided by the leak.
    current = bound_current(layer.weight, layer.bias, layer.shift, largest)
    if isinstance(layer, IntegerLayer):
        before = MAX_CURRENT if layer.has_current else MAX_INT16
    else:
        before = ((current + 1) << LEAK_BITS) // layer.leak + 1

    if current + before > MAX_INT32:
        raise ConfigError(f"{name}: sums may overflow (found up to {current + before}, expected up to {MAX_INT32})")


def bound_current(weight: NDArray[np.int8], bias: NDArray[np.int32], shift: int, largest: int) -> int:
    """Return the maximum absolute current for inputs from 0 to `largest`."""
    sums = np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(1) * largest
    return int(((sums << shift) + np.abs(bias.astype(np.int64))).max())


class LayerState(NamedTuple):
    """State of a spiking layer between steps.

    Args:
        membrane: Membranes in the range of int16, int32 [M, H', W'].
        current: Currents of the last step, int32 [M, H', W'].
    """

    membrane: NDArray[np.int32]
    current: NDArray[np.int32]


class LayerRun(NamedTuple):
    """Steps of a spiking layer.

    Args:
        outputs: Spikes, summed over the squares of the pooling, uint8 [T, M, H, W].
        saturated: Number of membranes that were limited to the range of int16 and not set to 0 by a spike.
        state: State after the last step.
    """

    outputs: NDArray[np.uint8]
    saturated: int
    state: LayerState


class IntegerRun(NamedTuple):
    """Steps of a network.

    Args:
        layers: Spiking layers in order.
        integrators: Integrators of the readout after each step, int32 [T, K].
    """

    layers: tuple[LayerRun, ...]
    integrators: NDArray[np.int32]


def leak_of(values: NDArray[np.int32], leak: int) -> NDArray[np.int32]:
    """Return values * leak / 2^15, rounded to the nearest integer, halves away from zero.

    Example:
        >>> leak_of(np.array([3, -3, 100], np.int32), 1 << 14).tolist()  # a leak of 1/2
        [2, -2, 50]
    """
    # The sign is added after the shift, which would round negative numbers down.
    size = (np.abs(values.astype(np.int64)) * leak + (1 << (LEAK_BITS - 1))) >> LEAK_BITS
    leaks: NDArray[np.int32] = (np.sign(values) * size).astype(np.int32)
    return leaks


def convolve(weight: NDArray[np.int8], x: NDArray[np.uint8], padding: int) -> NDArray[np.int32]:
    """Return the sums of weights [M, C, h, w] times inputs [T, C, H, W], int32 [T, M, H', W'].

    The product is in floating point, because numpy multiplies matrices of integers 20 times slower. It is exact: all
    partial sums are integers that the type represents.
    """
    bound = bound_current(weight, np.zeros(len(weight), np.int32), 0, int(x.max(initial=0)))
    dtype = np.float32 if bound <= MAX_EXACT else np.float64

    padded = np.pad(x.astype(dtype), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    squares = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(2, 3))  # [T, C, H', W', h, w]
    sums = np.tensordot(squares, weight.astype(dtype), axes=((1, 4, 5), (1, 2, 3)))

    rounded: NDArray[np.int32] = sums.astype(np.int32).transpose(0, 3, 1, 2)
    return rounded


def pool_squares(x: NDArray[np.bool_], pool: int) -> NDArray[np.uint8]:
    """Return the number of spikes in each square of pool x pool pixels of x [..., H, W], without incomplete squares."""
    H = x.shape[-2] // pool
    W = x.shape[-1] // pool
    squares = x[..., : H * pool, : W * pool].reshape(*x.shape[:-2], H, pool, W, pool)
    return np.asarray(squares.sum(axis=(-3, -1)), np.uint8)


def run_layer(layer: IntegerLayer, x: NDArray[np.uint8], state: LayerState | None = None) -> LayerRun:
    """Run a layer over the steps of inputs, uint8 [T, C, H, W], from a state; None: all zeros."""
    drives = (convolve(layer.weight, x, layer.padding) << layer.shift) + layer.bias[:, None, None]
    threshold = layer.threshold[:, None, None]
    membrane, current = state or LayerState(np.zeros_like(drives[0]), np.zeros_like(drives[0]))
    spikes = np.zeros(drives.shape, np.bool_)
    saturated = 0

    for t, drive in enumerate(drives):
        # i = i - leak(i) + (sums << shift) + bias, limited; without a synaptic current, leak(i) = i.
        if layer.has_current:
            drive = (current - leak_of(current, layer.current_leak) + drive).clip(-MAX_CURRENT, MAX_CURRENT)
        current = drive

        # v = v - leak(v) + i, limited to int16.
        unlimited = membrane - leak_of(membrane, layer.leak) + current
        potential = unlimited.clip(-MAX_INT16, MAX_INT16)

        # z = [v > threshold]; then v = 0 or, if the reset subtracts, v - threshold.
        spikes[t] = potential > threshold
        membrane = np.where(spikes[t], potential - threshold if layer.subtract else 0, potential)

        # Without subtraction, a limited membrane that spikes is set to 0 in any case.
        is_limited = unlimited != potential
        saturated += int(np.count_nonzero(is_limited if layer.subtract else is_limited & ~spikes[t]))

    return LayerRun(pool_squares(spikes, layer.pool), saturated, LayerState(membrane, current))


def run_integers(network: IntegerNetwork, counts: NDArray[np.uint8], before: IntegerRun | None = None) -> IntegerRun:
    """Run all layers over the steps of a recording, uint8 [T, C, H, W], or of its next part after `before`."""
    x = counts
    layers = list[LayerRun]()
    for number, layer in enumerate(network.layers):
        layers.append(run_layer(layer, x, before and before.layers[number].state))
        x = layers[-1].outputs

    # The readout has no threshold: its scores are the sums of the integrators.
    readout = network.readout
    sums = x.reshape(len(x), -1).astype(np.int32) @ readout.weight.T.astype(np.int32)
    integrators = (sums << readout.shift) + readout.bias
    last = np.zeros_like(integrators[0]) if before is None else before.integrators[-1]
    for drive in integrators:
        drive += last - leak_of(last, readout.leak)
        last = drive

    return IntegerRun(tuple(layers), integrators)


def run(network: IntegerNetwork, counts: NDArray[np.uint8]) -> Scores:
    """Return the scores after each step of a recording.

    Args:
        network: Network of integers.
        counts: Number of events per step, channel and pixel, uint8 [T, C, H, W].

    Returns:
        Scores, int64 [T, K]: sums of the integrators over all steps so far. The class with the highest score is the
        prediction. The logits of the recording are readout.unit * scores[-1] / T.

    Example:
        >>> layer = IntegerLayer(
        ...     np.ones((1, 1, 1, 1), np.int8), np.zeros(1, np.int32), np.array([3]), 1 << 14, 0, 0, 1, False
        ... )
        >>> readout = IntegerReadout(np.eye(2, dtype=np.int8)[:, :1], np.zeros(2, np.int32), 1 << 15, 0, 1.0)
        >>> run(IntegerNetwork((1, 1, 1), (layer,), readout), np.full((3, 1, 1, 1), 3, np.uint8))
        array([[0, 0],
               [1, 0],
               [1, 0]])
    """
    return np.cumsum(run_integers(network, counts).integrators, axis=0, dtype=np.int64)
