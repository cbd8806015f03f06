"""Compile a trained network to integers; `docs/concepts/integer.md` has the equations.

A network is a list of stages (`Stage`), each of which becomes one integer layer. `compile_network` runs recordings
through the float network, and from the inputs and membranes of each stage chooses the scales of its weights and the
shift of its currents. `measure_changes` counts what the integers change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..base.errors import ConfigError
from ..networks.models import Convolution, Linear, Memory, Network, SpikingNetwork
from ..networks.neurons import CountReadout, LeakyReadout, LinearReadout
from ..networks.rounding import CLIP_SHARES, MIN_WEIGHT, Stage, check_layers, list_stages
from .network import (
    LEAK_BITS,
    MAX_INT16,
    MAX_INT32,
    MAX_SHIFT,
    MEMORYLESS,
    IntegerLayer,
    IntegerNetwork,
    IntegerReadout,
    bound_current,
    pool_squares,
    step_layer,
)

WEIGHT_BITS = 8  # int8; the smallest integer, such as -128, is not used
HEADROOM = 2.0  # range of int16 relative to the threshold, at least
PEAK_SHARE = 0.9  # share of the recordings of the calibration without limited membranes
ROUNDING = 1e-12  # relative
MIN_IMPORTANCE = 1e-9  # inputs that never spike must not vanish


@dataclass(frozen=True, eq=False)
class _Synapses:
    """Weights of a layer for inputs that are sums of spikes, and moments of these inputs.

    Args:
        weight: Weights, float64 [M, C, h, w].
        bias: Bias, float64 [M].
        padding: Zero pixels around the input.
        mean: Mean of the inputs of each channel, float64 [C, 1, 1]; of each feature [C, h, w] in a linear layer.
        square: Mean square of the inputs, likewise.
        levels: Largest integer weight.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    padding: int
    mean: NDArray[np.float64]
    square: NDArray[np.float64]
    levels: int


@torch.no_grad()
def compile_network(network: Network, counts: Tensor, bits: int = WEIGHT_BITS) -> IntegerNetwork:
    """Compile a network to integers, with scales calibrated on recordings.

    Each channel of weights has the scale that minimises the error of the currents for the mean squares of its inputs,
    and each bias absorbs the mean error. The membranes of nine of ten recordings fit in int16.

    Args:
        network: Trained network in evaluation mode.
        counts: Spike tensors of recordings for the calibration, uint8 [T, B, C, H, W]. Labels are not needed.
        bits: Number of bits of a weight, from 2 to 8.

    Raises:
        ConfigError: If a layer cannot be compiled, or the values of the spike tensors are not counts.

    Example:
        >>> from ..networks import NetworkConfig, SpikingNetwork
        >>> from ..events import SensorSize
        >>> config = NetworkConfig(channels=(4, 8))
        >>> network = SpikingNetwork(config, grid=SensorSize(width=12, height=8), classes=3, dt=1e-3).eval()
        >>> counts = torch.randint(0, 2, (20, 5, 2, 8, 12), dtype=torch.uint8)
        >>> compile_network(network, counts).parameter_bytes  # 4 * 2 * 25 + 8 * 4 * 25 + 3 * 48 weights
        1252
    """
    network = check_layers(network)
    if counts.dtype != torch.uint8:
        raise ConfigError(
            f"spike tensors: found {counts.dtype}, expected counts (uint8)"
            "; use form=count to train a network that can be compiled"
        )

    T, _, C, H, W = counts.shape
    shape = (C, H, W)
    levels = 2 ** (bits - 1) - 1

    # Send the recordings through the float network, stage by stage: the scales of a stage
    # are chosen for the inputs that it really gets.
    memory = Memory(None, T)
    x = counts.flatten(0, 1).float()
    divisor = 1
    layers = []
    for stage in list_stages(network):
        synapses = _scale_inputs(stage.layer, x, divisor, levels)
        peaks = _measure_peaks(stage, x, T)
        layers.append(_quantise_layer(stage, synapses, peaks))

        # The integers sum the spikes of a square, which the trained layer averages.
        x = stage.run(x, memory)
        divisor = stage.pool**2

    readout = network.readout
    if isinstance(readout, CountReadout):
        return IntegerNetwork(shape, tuple(layers), _count_spikes(len(network.linear.weight)))

    synapses = _scale_inputs(network, x, divisor, levels)
    largest = IntegerNetwork.bound_inputs(layers)[-1]

    return IntegerNetwork(shape, tuple(layers), _quantise_readout(readout, synapses, largest))


def _count_spikes(classes: int) -> IntegerReadout:
    """Return a readout that counts the spikes of each class: without memory, with weights of 1."""
    return IntegerReadout(np.eye(classes, dtype=np.int8), np.zeros(classes, np.int32), 1 << LEAK_BITS, 0, 1.0)


def _scale_inputs(layer: Convolution | Linear | SpikingNetwork, x: Tensor, divisor: int, levels: int) -> _Synapses:
    """Return the synapses of a layer for inputs multiplied by `divisor`: sums instead of averages."""
    sums = (x * divisor).double()
    pixels: tuple[int, ...] = (0,)
    if isinstance(layer, Convolution):
        weight, bias = layer.folded()
        padding = int(layer.convolution.padding[0])
        pixels = (0, 2, 3)  # a channel has the same weights at each pixel
    else:
        weight = layer.linear.weight.unflatten(1, x.shape[1:])
        bias = layer.linear.bias
        padding = 0

    mean = sums.mean(pixels)
    square = sums.square().mean(pixels)
    if mean.ndim == 1:
        mean = mean[:, None, None]
        square = square[:, None, None]

    return _Synapses(_array(weight) / divisor, _array(bias), padding, _array(mean), _array(square), levels)


def _array(tensor: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return array


def _measure_peaks(stage: Stage, x: Tensor, steps: int) -> NDArray[np.float64]:
    """Return the membrane of each channel that nine of ten recordings do not exceed, float64 [M].

    Rare larger membranes are limited to int16: room for them would leave too few levels for the others. A membrane
    above the threshold does not matter if a spike sets it to 0.
    """
    lif = stage.lif
    settings = lif.settings

    state = torch.zeros(())
    synapse = torch.zeros(())
    peak = torch.zeros(())
    for inputs in x.unflatten(0, (steps, -1)):
        # h = v + a * (g * i - v), as in the scan.
        current = _find_currents(stage.layer, inputs)
        if lif.keep_current is not None:
            current = current + lif.keep_current * synapse
            synapse = current
        potential = state + lif.factor * (settings.gain * current - state)
        size = potential.abs() if settings.subtract else -potential
        peak = torch.maximum(peak, size.amax((2, 3)))
        state = settings.after(potential, (potential > settings.threshold).to(potential.dtype))

    return _array(peak.quantile(PEAK_SHARE, dim=0))


def _find_currents(layer: Convolution | Linear | SpikingNetwork, x: Tensor) -> Tensor:
    """Return the currents [B, M, H, W] for inputs [B, C, H, W]."""
    if isinstance(layer, Convolution):
        return layer.convolve_folded(x)
    currents: Tensor = layer.linear(x.flatten(1))[..., None, None]
    return currents


def _quantise_layer(stage: Stage, synapses: _Synapses, peak: NDArray[np.float64]) -> IntegerLayer:
    """Return a layer of integers.

    A membrane of 1 has the size 2^shift / (leak * gain * scale), so a channel whose weights are tiny for its membranes
    gets a coarser scale than its weights need.
    """
    settings = stage.lif.settings
    leak = round(stage.lif.factor * (1 << LEAK_BITS))
    factor = max(leak, 1) / (1 << LEAK_BITS) * settings.gain

    # A synaptic current sums its inputs over 1 / leak steps: the factor makes up for the rounding of its leak.
    current_leak = MEMORYLESS
    if stage.lif.keep_current is not None:
        share = 1 - stage.lif.keep_current
        current_leak = max(round(share * MEMORYLESS), 1)
        factor *= current_leak / MEMORYLESS / share

    # Choose the largest shift with which the membranes of all channels fit in int16.
    room = MAX_INT16 / np.maximum(peak, HEADROOM * settings.threshold)  # size of a membrane of 1 that fits
    scale = np.maximum(_find_scales(synapses), 1 / (factor * room))
    bits = np.floor(np.log2((room * factor * scale).min() * (1 + ROUNDING)))  # an exact power may be rounded down
    shift = int(np.clip(bits, 0, MAX_SHIFT))

    weight, bias = _round_weights(synapses, scale)
    limit = MAX_INT32 // 4
    size = 2.0**shift / (factor * scale)

    return IntegerLayer(
        weight,
        bias=np.rint(bias / scale * 2.0**shift).clip(-limit, limit).astype(np.int32),
        threshold=np.floor(settings.threshold * size).clip(1, MAX_INT16 - 1).astype(np.int32),
        leak=max(leak, 1),
        shift=shift,
        padding=synapses.padding,
        pool=stage.pool,
        subtract=settings.subtract,
        current_leak=current_leak,
    )


def _quantise_readout(readout: LeakyReadout | LinearReadout, synapses: _Synapses, largest: int) -> IntegerReadout:
    """Return the readout in integers for inputs up to `largest`; all classes have one scale, to compare scores."""
    leak = 1 << LEAK_BITS
    gain = 1.0
    if isinstance(readout, LeakyReadout):
        leak = max(round(readout.factor * (1 << LEAK_BITS)), 1)
        gain = readout.gain

    # All classes have one scale, so the weights count as one channel.
    squares = np.broadcast_to(synapses.square, synapses.weight.shape).reshape(-1, 1, 1)
    one_channel = replace(synapses, weight=synapses.weight.reshape(1, -1, 1, 1), square=squares)

    # The integrators of the bias must fit as well: it may be much larger than the weights, for example if they are 0.
    sum_of_leaks = (1 << LEAK_BITS) / leak + 1
    finest = np.abs(synapses.bias).max() * sum_of_leaks / (MAX_INT32 // 4)
    scale = np.repeat(np.maximum(_find_scales(one_channel), finest), len(synapses.weight))

    weight, bias = _round_weights(synapses, scale)
    weight = weight.reshape(len(weight), -1)

    # Choose the largest shift with which no integrator can leave int32.
    for shift in range(MAX_SHIFT, -1, -1):
        rounded = np.rint(bias / scale * 2.0**shift).clip(-MAX_INT32, MAX_INT32).astype(np.int32)
        if bound_current(weight, rounded, shift, largest) * sum_of_leaks < MAX_INT32 / 2:
            break

    unit = float(scale[0]) * leak / (1 << LEAK_BITS) * gain / 2.0**shift
    return IntegerReadout(weight, rounded, leak, shift, unit)


def _find_scales(synapses: _Synapses) -> NDArray[np.float64]:
    """Return the scale of each channel that minimises the mean square error of its currents, float64 [M]."""
    weight = synapses.weight
    importance = synapses.square + MIN_IMPORTANCE

    largest = np.maximum(np.abs(weight).max((1, 2, 3)), MIN_WEIGHT)
    scales = CLIP_SHARES[:, None] * largest / synapses.levels
    errors = []
    for scale in scales:
        lost = weight - _round(synapses, scale) * scale[:, None, None, None]
        errors.append((lost**2 * importance).sum((1, 2, 3)))

    chosen = np.argmin(errors, axis=0)
    best: NDArray[np.float64] = scales[chosen, np.arange(len(weight))]
    return best


def _round(synapses: _Synapses, scale: NDArray[np.float64]) -> NDArray[np.float64]:
    rounded = np.rint(synapses.weight / scale[:, None, None, None])
    clipped: NDArray[np.float64] = rounded.clip(-synapses.levels, synapses.levels)
    return clipped


def _round_weights(synapses: _Synapses, scale: NDArray[np.float64]) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Return the rounded weights, and the bias plus the mean error of the currents (Nagel et al. 2019)."""
    rounded = _round(synapses, scale)
    lost = ((synapses.weight - rounded * scale[:, None, None, None]) * synapses.mean).sum((1, 2, 3))
    return rounded.astype(np.int8), synapses.bias + lost


@torch.no_grad()
def measure_changes(network: Network, compiled: IntegerNetwork, counts: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Return, for each spiking layer, how many of its outputs its own integers change in a recording.

    Each layer gets the exact inputs, so errors of earlier layers do not count.

    Args:
        network: Trained network in evaluation mode.
        compiled: The same network in integers.
        counts: Spike tensor of the recording, uint8 [T, C, H, W].

    Returns:
        Number of pixels (after pooling) and steps with another output, and sum of the outputs, for each layer.
    """
    stages = list_stages(check_layers(network))
    memory = Memory(None, len(counts))
    x = torch.from_numpy(counts).float()
    inputs = counts
    changes = []

    for stage, layer in zip(stages, compiled.layers, strict=True):
        x = stage.run(x, memory)
        expected = np.rint(x.numpy() * stage.pool**2).astype(np.uint8)

        membrane = np.zeros(layer.membrane_shape(inputs.shape[1:]), np.int16)
        current = np.zeros(membrane.shape, np.int32)
        changed = 0
        for step_input, step_expected in zip(inputs, expected, strict=True):
            step, membrane, current = step_layer(layer, step_input, membrane, current)
            changed += int(np.count_nonzero(pool_squares(step.spikes, layer.pool) != step_expected))
        changes.append((changed, int(expected.sum())))

        inputs = expected

    return changes
