"""Spiking networks in integers: the rule that the compiled kernel and the generated C code also compute, bit by bit.

It is written for clarity, in plain numpy. `docs/concepts/integer.md` derives it. `IntegerNetwork` checks that no number
of a network can overflow; `step_layer` is one step of a layer, and `trace` runs all layers and the readout over time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


@dataclass(frozen=True, eq=False)
class IntegerState:
    """State of a network between steps.

    Args:
        membranes: Membranes of each spiking layer, int16 [M, H, W].
        currents: Currents of each spiking layer in the last step, int32 [M, H, W].
        integrators: Integrators of the readout, int32 [K].
        scores: Sum of the integrators over all steps, int64 [K].
    """

    membranes: tuple[NDArray[np.int16], ...]
    currents: tuple[NDArray[np.int32], ...]
    integrators: NDArray[np.int32]
    scores: Scores


@dataclass(frozen=True, eq=False)
class LayerStep:
    """Input and output of a spiking layer in one step.

    Args:
        inputs: Input, uint8 [C, H, W].
        spikes: Spikes before pooling, bool [M, H, W].
        saturated: Number of membranes that were limited to the range of int16 and not set to 0 by a spike.
    """

    inputs: NDArray[np.uint8]
    spikes: NDArray[np.bool_]
    saturated: int


class StepTrace(NamedTuple):
    """Everything that happens in one step."""

    layers: tuple[LayerStep, ...]
    """Spiking layers in order."""
    features: NDArray[np.uint8]
    """Input of the readout, uint8 [C, H, W]."""
    state: IntegerState
    """State after the step."""


def start_state(network: IntegerNetwork) -> IntegerState:
    """Return the state before the first step: zeros."""
    shapes = [layer.membrane_shape(shape) for layer, shape in zip(network.layers, network.shapes, strict=False)]
    K = network.classes
    return IntegerState(
        tuple(np.zeros(shape, np.int16) for shape in shapes),
        tuple(np.zeros(shape, np.int32) for shape in shapes),
        np.zeros(K, np.int32),
        np.zeros(K, np.int64),
    )


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
    """Return the sums of weights [M, C, h, w] times inputs [C, H, W], int32 [M, H', W'].

    The product is in float64, because numpy multiplies matrices of integers 20 times slower. It is exact: all sums are
    integers below 2^31.
    """
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    squares = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(1, 2))  # [C, H', W', h, w]
    sums = np.tensordot(weight.astype(np.float64), squares.astype(np.float64), axes=((1, 2, 3), (0, 3, 4)))

    rounded: NDArray[np.int32] = sums.astype(np.int32)
    return rounded


def pool_squares(x: NDArray[np.bool_], pool: int) -> NDArray[np.uint8]:
    """Return the number of spikes in each square of pool x pool pixels of x [..., H, W], without incomplete squares."""
    H = x.shape[-2] // pool
    W = x.shape[-1] // pool
    squares = x[..., : H * pool, : W * pool].reshape(*x.shape[:-2], H, pool, W, pool)
    return np.asarray(squares.sum(axis=(-3, -1)), np.uint8)


def step_layer(
    layer: IntegerLayer, x: NDArray[np.uint8], membrane: NDArray[np.int16], current: NDArray[np.int32]
) -> tuple[LayerStep, NDArray[np.int16], NDArray[np.int32]]:
    """Return a step of a layer with the input x, uint8 [C, H, W], and its membranes and currents [M, H', W'] after it.

    Args:
        layer: The layer.
        x: Input.
        membrane: Membranes before the step, int16.
        current: Currents of the previous step, int32.
    """
    # i = i - leak(i) + (sums << shift) + bias, limited; without a synaptic current, leak(i) = i.
    drive = (convolve(layer.weight, x, layer.padding) << layer.shift) + layer.bias[:, None, None]
    if layer.has_current:
        drive = (current - leak_of(current, layer.current_leak) + drive).clip(-MAX_CURRENT, MAX_CURRENT)

    # v = v - leak(v) + i, limited to int16.
    before = membrane.astype(np.int32)
    unlimited = before - leak_of(before, layer.leak) + drive
    potential = unlimited.clip(-MAX_INT16, MAX_INT16)

    # z = [v > threshold]; then v = 0 or, if the reset subtracts, v - threshold.
    threshold = layer.threshold[:, None, None]
    spikes = potential > threshold
    after = np.where(spikes, potential - threshold if layer.subtract else 0, potential)

    # Without subtraction, a limited membrane that spikes is set to 0 in any case.
    is_limited = unlimited != potential
    saturated = is_limited if layer.subtract else is_limited & ~spikes

    return LayerStep(x, spikes, int(np.count_nonzero(saturated))), after.astype(np.int16), drive


def trace(network: IntegerNetwork, counts: NDArray[np.uint8]) -> Iterator[StepTrace]:
    """Yield each step of a recording, uint8 [T, C, H, W], with its layers and the state after it."""
    state = start_state(network)
    readout = network.readout
    for x in counts:
        layers = list[LayerStep]()
        membranes = list[NDArray[np.int16]]()
        currents = list[NDArray[np.int32]]()
        for layer, membrane, current in zip(network.layers, state.membranes, state.currents, strict=True):
            step, membrane, current = step_layer(layer, x, membrane, current)
            x = pool_squares(step.spikes, layer.pool)
            layers.append(step)
            membranes.append(membrane)
            currents.append(current)

        # The readout has no threshold: its scores are the sums of the integrators.
        sums = readout.weight.astype(np.int32) @ x.reshape(-1).astype(np.int32)
        drive = (sums << readout.shift) + readout.bias
        integrators = state.integrators - leak_of(state.integrators, readout.leak) + drive
        state = IntegerState(tuple(membranes), tuple(currents), integrators, state.scores + integrators)
        yield StepTrace(tuple(layers), x, state)


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
    return np.stack([step.state.scores for step in trace(network, counts)])
