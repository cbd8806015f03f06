"""Compile a trained network to integers; `docs/concepts/integer.md` has the equations.

Each layer of a network (`list_layers`) becomes one integer layer. `compile_network` runs recordings through the float
network, and from the inputs and membranes of each layer chooses the scales of its weights and the
shift of its currents. `measure_changes` counts what the integers change.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..base.errors import ConfigError
from ..networks import LIF, LIBox, LIFBox, NetworkLayer, list_layers, run_network
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
    run_layer,
)

WEIGHT_BITS = 8  # int8; the smallest integer, such as -128, is not used
HEADROOM = 2.0  # range of int16 relative to the threshold, at least
PEAK_SHARE = 0.9  # share of the recordings of the calibration without limited membranes
ROUNDING = 1e-12  # relative
CLIP_SHARES = np.linspace(0.5, 1.0, 26)  # tried shares of the largest weight of a channel
MIN_WEIGHT = 1e-12  # weights of 0 have a scale, too
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


class _Signals(NamedTuple):
    """A layer of the float network, and what it gets in recordings."""

    layer: NetworkLayer
    inputs: Tensor  # [T, B, C, H, W], or [T, B, N]
    currents: Tensor  # [T, B, ...]


def _record_signals(network: nn.Module, counts: Tensor) -> list[_Signals]:
    """Run recordings [T, B, C, H, W] through a network, and record the inputs and currents of each layer."""
    layers = list_compilable(network)
    inputs: dict[str, Tensor] = {}
    currents: dict[str, Tensor] = {}

    with ExitStack() as hooks:
        for layer in layers:
            assert isinstance(network, nn.Sequential)
            assert layer.neurons is not None

            def note(_: nn.Module, x: tuple[Any, ...], name: str = layer.name) -> None:
                inputs[name] = x[0]

            def note_currents(_: nn.Module, x: tuple[Any, ...], name: str = layer.name) -> None:
                currents[name] = x[0]

            hooks.enter_context(network[layer.index].register_forward_pre_hook(note))
            hooks.enter_context(layer.neurons.register_forward_pre_hook(note_currents))
        run_network(network, counts)

    return [_Signals(layer, inputs[layer.name], currents[layer.name]) for layer in layers]


@torch.no_grad()
def list_compilable(network: nn.Module) -> list[NetworkLayer]:
    """Return the layers of a network that can be compiled to integers.

    Raises:
        ConfigError: If it cannot.
    """
    *spiking, last = list_layers(network)
    is_known = all(isinstance(layer.neurons, LIFBox | LIF) for layer in spiking)
    if not is_known or not isinstance(last.neurons, LIBox):
        raise ConfigError("the network cannot be compiled to integers (expected csnn or mlp, with a leaky readout)")
    return [*spiking, last]


def compile_network(network: nn.Module, counts: Tensor, bits: int = WEIGHT_BITS) -> IntegerNetwork:
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
        >>> from ..networks import NetworkConfig, build_network
        >>> network = build_network(NetworkConfig(channels=(4, 8)), (2, 8, 12), classes=3, dt=1e-3).eval()
        >>> counts = torch.randint(0, 2, (20, 5, 2, 8, 12), dtype=torch.uint8)
        >>> compile_network(network, counts).parameter_bytes  # 4 * 2 * 25 + 8 * 4 * 25 + 3 * 48 weights
        1252
    """
    if counts.dtype != torch.uint8:
        raise ConfigError(
            f"spike tensors: found {counts.dtype}, expected counts (uint8)"
            "; use form=count to train a network that can be compiled"
        )

    # The scales of a layer are chosen for the inputs that it really gets.
    *spiking, readout = _record_signals(network, counts)
    levels = 2 ** (bits - 1) - 1
    _, _, C, H, W = counts.shape
    shape = (C, H, W)
    divisor = 1
    layers: list[IntegerLayer] = []

    for signals in spiking:
        synapses = _scale_inputs(signals, shape, divisor, levels)
        layers.append(_quantise_layer(signals.layer, synapses, _measure_peaks(signals)))

        # The integers sum the spikes of a square, which the trained layer averages.
        divisor = signals.layer.pool**2
        shape = layers[-1].output_shape(shape)

    synapses = _scale_inputs(readout, shape, divisor, levels)
    largest = IntegerNetwork.bound_inputs(layers)[-1]
    assert isinstance(readout.layer.neurons, LIBox)
    return IntegerNetwork((C, H, W), tuple(layers), _quantise_readout(readout.layer.neurons, synapses, largest))


def _scale_inputs(signals: _Signals, shape: Sequence[int], divisor: int, levels: int) -> _Synapses:
    """Return the synapses of a layer for inputs of a shape multiplied by `divisor`: sums instead of averages."""
    x = signals.inputs.flatten(0, 1)
    sums = (x.reshape(len(x), *shape) * divisor).double()
    weight, bias = signals.layer.folded()
    module = signals.layer.synapses

    pixels: tuple[int, ...] = (0,)
    padding = 0
    if isinstance(module, nn.Conv2d):
        padding = int(module.padding[0])
        pixels = (0, 2, 3)  # a channel has the same weights at each pixel
    else:
        weight = weight.unflatten(1, tuple(shape))

    mean = sums.mean(pixels)
    square = sums.square().mean(pixels)
    if mean.ndim == 1:
        mean = mean[:, None, None]
        square = square[:, None, None]

    return _Synapses(_array(weight) / divisor, _array(bias), padding, _array(mean), _array(square), levels)


def _array(tensor: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return array


def _measure_peaks(signals: _Signals) -> NDArray[np.float64]:
    """Return the membrane of each channel that nine of ten recordings do not exceed, float64 [M].

    Rare larger membranes are limited to int16: room for them would leave too few levels for the others. A membrane
    above the threshold does not matter if a spike sets it to 0.
    """
    neurons = signals.layer.neurons
    assert neurons is not None
    state = neurons.state_fallback(signals.currents)
    peak = torch.zeros_like(signals.currents[0])

    for currents in signals.currents:
        spikes, state = neurons.activation(currents, state, neurons.p, neurons.dt)
        size = (state.v + spikes * neurons.p.v_th).abs() if neurons.subtracts else -state.v
        peak = torch.maximum(peak, size)

    channels = peak.flatten(2).amax(2) if peak.ndim == 4 else peak
    return _array(channels.quantile(PEAK_SHARE, dim=0))


def _quantise_layer(trained: NetworkLayer, synapses: _Synapses, peak: NDArray[np.float64]) -> IntegerLayer:
    """Return a layer of integers.

    A membrane of 1 has the size 2^shift / (leak * scale), so a channel whose weights are tiny for its membranes gets a
    coarser scale than its weights need.
    """
    neurons = trained.neurons
    assert neurons is not None
    threshold = float(neurons.p.v_th)
    leak = max(round(neurons.factor * (1 << LEAK_BITS)), 1)
    factor = leak / (1 << LEAK_BITS)

    # A synaptic current sums its inputs over 1 / leak steps: the factor makes up for the rounding of its leak.
    current_leak = MEMORYLESS
    if isinstance(neurons, LIF):
        share = float(neurons.dt * neurons.p.tau_syn_inv)
        current_leak = max(round(share * MEMORYLESS), 1)
        factor *= current_leak / MEMORYLESS / share

    # Choose the largest shift with which the membranes of all channels fit in int16.
    room = MAX_INT16 / np.maximum(peak, HEADROOM * threshold)  # size of a membrane of 1 that fits
    scale = np.maximum(_find_scales(synapses), 1 / (factor * room))
    bits = np.floor(np.log2((room * factor * scale).min() * (1 + ROUNDING)))  # an exact power may be rounded down
    shift = int(np.clip(bits, 0, MAX_SHIFT))

    weight, bias = _round_weights(synapses, scale)
    limit = MAX_INT32 // 4
    size = 2.0**shift / (factor * scale)

    return IntegerLayer(
        weight,
        bias=np.rint(bias / scale * 2.0**shift).clip(-limit, limit).astype(np.int32),
        threshold=np.floor(threshold * size).clip(1, MAX_INT16 - 1).astype(np.int32),
        leak=leak,
        shift=shift,
        padding=synapses.padding,
        pool=trained.pool,
        subtract=neurons.subtracts,
        current_leak=current_leak,
    )


def _quantise_readout(readout: LIBox, synapses: _Synapses, largest: int) -> IntegerReadout:
    """Return the readout in integers for inputs up to `largest`; all classes have one scale, to compare scores."""
    leak = max(round(readout.factor * (1 << LEAK_BITS)), 1)

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

    unit = float(scale[0]) * leak / (1 << LEAK_BITS) / 2.0**shift
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
def measure_changes(network: nn.Module, compiled: IntegerNetwork, counts: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Return, for each spiking layer, how many of its outputs its own integers change in a recording.

    Each layer gets the exact inputs, so errors of earlier layers do not count.

    Args:
        network: Trained network in evaluation mode.
        compiled: The same network in integers.
        counts: Spike tensor of the recording, uint8 [T, C, H, W].

    Returns:
        Number of pixels (after pooling) and steps with another output, and sum of the outputs, for each layer.
    """
    signals = _record_signals(network, torch.from_numpy(counts)[:, None])
    inputs = counts
    changes = []

    for trained, after, layer in zip(signals, signals[1:], compiled.layers, strict=False):
        # The outputs of a layer are the inputs of the next.
        shape = layer.output_shape(inputs.shape[1:])
        outputs = after.inputs[:, 0].reshape(len(counts), *shape).numpy() * trained.layer.pool**2
        expected = np.rint(outputs).astype(np.uint8)
        changed = np.count_nonzero(run_layer(layer, inputs).outputs != expected)
        changes.append((int(changed), int(expected.sum())))

        inputs = expected

    return changes
