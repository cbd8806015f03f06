"""Compile a trained network to integers; `docs/concepts/integer.md` has the equations."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..arguments import checked
from ..errors import ConfigError, Remedy
from .integer import (
    LEAK_BITS,
    MAX_INT16,
    MAX_INT32,
    MAX_SHIFT,
    IntegerLayer,
    IntegerNetwork,
    IntegerReadout,
    bound_current,
    convolve,
    step_layer,
    sum_squares,
)
from .models import Convolution, Linear, Memory, Network, SpikingNetwork
from .neurons import LIF, LeakyReadout, LinearReadout

LEVELS = 127  # largest int8 weight; -128 is not used
HEADROOM = 2.0  # largest membrane of the calibration, relative to the range of int16
CLIP_SHARES = np.linspace(0.5, 1.0, 26)  # tried shares of the largest weight of a channel
TRAINABLE = Remedy("network.kind", "csnn", "train a network that can be compiled")


class _Synapses(NamedTuple):
    """Weights of a layer for inputs that are sums of spikes, and moments of these inputs.

    Args:
        weight: Weights, float64 [M, C, h, w].
        bias: Bias, float64 [M].
        padding: Zero pixels around the input.
        mean: Mean of the inputs of each channel, float64 [C, 1, 1]; of each feature [C, h, w] in a linear layer.
        square: Mean square of the inputs, likewise.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    padding: int
    mean: NDArray[np.float64]
    square: NDArray[np.float64]


def check_layers(network: Network) -> SpikingNetwork:
    """Return a network whose layers can all be compiled.

    Raises:
        ConfigError: If a layer cannot be compiled; the message names it.
    """
    if not isinstance(network, SpikingNetwork):
        raise ConfigError(f"{type(network).__name__}: cannot be compiled to integers", TRAINABLE)
    for number, layer in enumerate(network.layers):
        name = f"layers.{number} ({type(layer).__name__})"
        if not isinstance(layer, Convolution | Linear):
            raise ConfigError(f"{name}: cannot be compiled to integers (expected Convolution or Linear)", TRAINABLE)
        if layer.lif.keep_current is not None:
            raise ConfigError(
                f"{name}: a synaptic current cannot be compiled to integers (found network.tau_syn_s)", TRAINABLE
            )
    if not isinstance(network.readout, LeakyReadout | LinearReadout):
        raise ConfigError(
            f"readout ({type(network.readout).__name__}): cannot be compiled to integers (expected LeakyReadout or "
            "LinearReadout)",
            Remedy("network.readout", "leaky", "train a network that can be compiled"),
        )
    return network


@checked
@torch.no_grad()
def quantise(network: Network, counts: Tensor) -> IntegerNetwork:
    """Compile a network to integers, with scales calibrated on recordings.

    Each channel of weights has the scale that minimises the error of the currents for the mean squares of its inputs,
    and each bias absorbs the mean error. The membranes of the calibration fill at most half of the range of int16.

    Args:
        network: Trained network in evaluation mode.
        counts: Spike tensors of recordings for the calibration, uint8 [T, B, C, H, W]. Labels are not needed.

    Raises:
        ConfigError: If a layer cannot be compiled, or the values of the spike tensors are not counts.

    Example:
        >>> from .config import CsnnConfig
        >>> from ..events import SensorSize
        >>> config = CsnnConfig(channels=(4, 8))
        >>> network = SpikingNetwork(config, grid=SensorSize(width=12, height=8), classes=3, dt=1e-3).eval()
        >>> counts = torch.randint(0, 2, (20, 5, 2, 8, 12), dtype=torch.uint8)
        >>> quantise(network, counts).parameter_bytes  # 4 * 2 * 25 + 8 * 4 * 25 + 3 * 48 weights
        1252
    """
    network = check_layers(network)
    if counts.dtype != torch.uint8:
        raise ConfigError(
            f"spike tensors: found {counts.dtype}, expected counts (uint8)",
            Remedy("bins.form", "count", "train a network that can be compiled"),
        )
    shape = (counts.shape[2], counts.shape[3], counts.shape[4])
    memory, x, pool = Memory(None, len(counts)), counts.flatten(0, 1).float(), 1
    layers = []
    for layer in network.layers:
        assert isinstance(layer, Convolution | Linear)
        synapses = _scale_inputs(layer, x, pool)
        peak = _measure_peaks(layer, x, len(counts))
        pool = layer.lif.settings.pool
        layers.append(_quantise_layer(layer.lif, synapses, peak, pool))
        x = layer(x, memory)
    return IntegerNetwork(shape, tuple(layers), _quantise_readout(network, x, pool))


def _scale_inputs(layer: Convolution | Linear | SpikingNetwork, x: Tensor, pool: int) -> _Synapses:
    """Return the synapses of a layer for inputs multiplied by pool^2: sums instead of averages."""
    sums = (x * pool**2).double()
    if isinstance(layer, Convolution):
        weight, bias = layer.folded()
        padding, mean, square = int(layer.convolution.padding[0]), sums.mean((0, 2, 3)), sums.square().mean((0, 2, 3))
        mean, square = mean[:, None, None], square[:, None, None]
    else:
        weight, bias, padding = layer.linear.weight.unflatten(1, x.shape[1:]), layer.linear.bias, 0
        mean, square = sums.mean(0), sums.square().mean(0)
    return _Synapses(_array(weight) / pool**2, _array(bias), padding, _array(mean), _array(square))


def _array(tensor: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return array


def _measure_peaks(layer: Convolution | Linear, x: Tensor, steps: int) -> NDArray[np.float64]:
    """Return the largest absolute membrane of each channel before a reset, float64 [M]."""
    lif = layer.lif
    v, peak = torch.zeros(()), torch.zeros(())
    for each in x.unflatten(0, (steps, -1)):
        current = _find_currents(layer, each)
        h = v + lif.leak() * (lif.settings.gain * current - v)
        peak = torch.maximum(peak, h.abs().amax((0, 2, 3)))
        v = lif.settings.after(h, (h > lif.settings.threshold).to(h.dtype))
    return _array(peak)


def _find_currents(layer: Convolution | Linear, x: Tensor) -> Tensor:
    """Return the currents [B, M, H, W] for inputs [B, C, H, W]."""
    if isinstance(layer, Convolution):
        weight, bias = layer.folded()
        return nn.functional.conv2d(x, weight, bias, padding=layer.convolution.padding)
    currents: Tensor = layer.linear(x.flatten(1))[..., None, None]
    return currents


def _quantise_layer(lif: LIF, synapses: _Synapses, peak: NDArray[np.float64], pool: int) -> IntegerLayer:
    """Return a layer of integers.

    A membrane of 1 has the size 2^shift / (leak * gain * scale), so a channel whose weights are tiny for its membranes
    gets a coarser scale than its weights need.
    """
    leak = round(float(lif.leak()) * (1 << LEAK_BITS))
    factor = max(leak, 1) / (1 << LEAK_BITS) * lif.settings.gain
    room = MAX_INT16 / (HEADROOM * np.maximum(peak, lif.settings.threshold))  # size of a membrane of 1 that fits
    scale = np.maximum(_find_scales(synapses), 1 / (factor * room))
    shift = int(np.clip(np.floor(np.log2((room * factor * scale).min() * (1 + 1e-12))), 0, MAX_SHIFT))
    weight, bias = _round_weights(synapses, scale)
    size = 2.0**shift / (factor * scale)
    limit = MAX_INT32 // 4
    return IntegerLayer(
        weight,
        np.rint(bias / scale * 2.0**shift).clip(-limit, limit).astype(np.int32),
        np.floor(lif.settings.threshold * size).clip(1, MAX_INT16 - 1).astype(np.int32),
        max(leak, 1),
        shift,
        synapses.padding,
        pool,
        lif.settings.subtract,
    )


def _quantise_readout(network: SpikingNetwork, x: Tensor, pool: int) -> IntegerReadout:
    """Return the readout in integers; all classes have one scale, so scores can be compared."""
    synapses, readout = _scale_inputs(network, x, pool), network.readout
    leaky = isinstance(readout, LeakyReadout)
    leak = max(round(readout.factor * (1 << LEAK_BITS)), 1) if isinstance(readout, LeakyReadout) else 1 << LEAK_BITS
    gain = readout.gain if isinstance(readout, LeakyReadout) and leaky else 1.0
    whole = synapses._replace(weight=synapses.weight.reshape(1, -1, 1, 1), mean=np.ones((1, 1, 1)))
    squares = np.broadcast_to(synapses.square, synapses.weight.shape).reshape(-1, 1, 1)
    scale = np.repeat(_find_scales(whole._replace(square=squares)), len(synapses.weight))
    weight, bias = _round_weights(synapses, scale)
    weight = weight.reshape(len(weight), -1)
    for shift in range(MAX_SHIFT, -1, -1):
        rounded = np.rint(bias / scale * 2.0**shift).astype(np.int32)
        if bound_current(weight, rounded, shift, max(pool**2, 1)) * ((1 << LEAK_BITS) / leak + 1) < MAX_INT32 / 2:
            break
    unit = float(scale[0]) * leak / (1 << LEAK_BITS) * gain / 2.0**shift
    return IntegerReadout(weight, rounded, leak, shift, unit)


def _find_scales(synapses: _Synapses) -> NDArray[np.float64]:
    """Return the scale of each channel that minimises the mean square error of its currents, float64 [M]."""
    weight, importance = synapses.weight, synapses.square + 1e-9  # inputs that never spike must not vanish
    largest = np.maximum(np.abs(weight).max((1, 2, 3)), 1e-12)
    scales = CLIP_SHARES[:, None] * largest / LEVELS
    errors = [
        (((weight - _round(weight, scale) * scale[:, None, None, None]) ** 2) * importance).sum((1, 2, 3))
        for scale in scales
    ]
    best: NDArray[np.float64] = scales[np.argmin(errors, axis=0), np.arange(len(weight))]
    return best


def _round(weight: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    rounded: NDArray[np.float64] = np.rint(weight / scale[:, None, None, None]).clip(-LEVELS, LEVELS)
    return rounded


def _round_weights(synapses: _Synapses, scale: NDArray[np.float64]) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Return the rounded weights, and the bias plus the mean error of the currents (Nagel et al. 2019)."""
    rounded = _round(synapses.weight, scale)
    lost = ((synapses.weight - rounded * scale[:, None, None, None]) * synapses.mean).sum((1, 2, 3))
    return rounded.astype(np.int8), synapses.bias + lost


@torch.no_grad()
def measure_changes(network: Network, compiled: IntegerNetwork, counts: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Return, for each spiking layer, how many of its spikes its own integers change in a recording.

    Each layer gets the exact inputs, so errors of earlier layers do not count.

    Args:
        network: Trained network in evaluation mode.
        compiled: The same network in integers.
        counts: Spike tensor of the recording, uint8 [T, C, H, W].

    Returns:
        Number of pixels (after pooling) and steps with another number of spikes, and number of spikes, for each layer.
    """
    network = check_layers(network)
    memory, x, changes = Memory(None, len(counts)), torch.from_numpy(counts).float(), []
    inputs = counts
    for layer, integer in zip(network.layers, compiled.layers, strict=True):
        x = layer(x, memory)
        expected = np.rint(x.numpy() * integer.pool**2).astype(np.uint8)
        membrane = np.zeros_like(convolve(integer.weight, inputs[0], integer.padding), dtype=np.int16)
        changed = 0
        for each, spikes in zip(inputs, expected, strict=True):
            done, membrane = step_layer(integer, each, membrane)
            changed += int(np.count_nonzero(sum_squares(done.spikes, integer.pool) != spikes))
        changes.append((changed, int(expected.sum())))
        inputs = expected
    return changes
