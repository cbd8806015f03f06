"""Spiking networks: spike tensors to one output per class and step.

Convolution, batch norm, pooling and linear layers run once over all steps, channels last; only the neurons are scanned
over time. Each layer gets its input and a `Memory`, which hands it the state of its neurons and collects the new one.
`_Builder` appends the layers of a kind of network; `SpikingNetwork` runs them, and the readout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..base.errors import ConfigError, DataError, count_noun
from ..events import SensorSize, SensorSizeLike
from .config import CONVOLUTION_KINDS, GRADIENT_KINDS, NetworkConfig
from .inputs import check_positive, check_tensor
from .integrate_and_fire import IntegrateAndFire
from .neurons import LIF, CountReadout, LeakyReadout, LinearReadout, as_number
from .sparse import SpikeConvolution

State = Sequence[Tensor]
"""Neuron states after the last step: one tensor per spiking layer in order, then the readout state."""


class Memory:
    """States of a network's layers during a forward pass of some steps, in the order of execution."""

    def __init__(self, before: State | None, steps: int) -> None:
        self._before = before
        self.after: list[Tensor] = []
        self.steps = steps

    def run(self, neurons: nn.Module, currents: Tensor) -> Tensor:
        """Return the output [T, ...] of the next neurons for currents [T, ...]."""
        output: Tensor
        if self._before is not None and len(self._before) <= len(self.after):
            raise DataError(f"wrong state (found {count_noun(len(self._before), 'tensor')}, expected more)")

        before = None if self._before is None else self._before[len(self.after)]
        output, state = neurons(currents, before)
        self.after.append(state)

        return output

    def run_pixels(self, neurons: nn.Module, currents: Tensor) -> Tensor:
        """Return the output [T*B, C, H, W] of the next neurons for currents [T*B, C, H, W], channels last in memory."""
        pixels = currents.permute(0, 2, 3, 1).unflatten(0, (self.steps, -1))
        return self.run(neurons, pixels).flatten(0, 1).permute(0, 3, 1, 2)


class StandardisedConvolution(SpikeConvolution):
    """Convolution with scaled weight standardisation: each channel's kernel has mean 0 and norm `gain`.

    w' = gain (w - mean(w)) / sqrt(sum((w - mean(w))^2) + eps); Brock et al. 2021, "Characterizing signal propagation to
    close the performance gap in unnormalized ResNets". Gain and offset per channel are trained.
    """

    EPS = 1e-8

    def __init__(self, before: int, channels: int, kernel: int, *, padding: int) -> None:
        super().__init__(before, channels, kernel, padding=padding, bias=False)
        self.gain = nn.Parameter(torch.ones(channels))
        self.offset = nn.Parameter(torch.zeros(channels))

    def standardised(self) -> Tensor:
        """Return the standardised kernels w' [channels, before, kernel, kernel]."""
        centred = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        scale = self.gain * torch.rsqrt(centred.square().sum((1, 2, 3)) + self.EPS)
        return centred * scale[:, None, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """Return the currents [N, channels, H, W] of an input [N, before, H, W]."""
        currents: Tensor = self._conv_forward(x, self.standardised(), self.offset)
        return currents


class Convolution(nn.Module):
    """Convolution, batch norm or weight standardisation, LIF neurons, and average pooling if `pool` > 1."""

    def __init__(
        self, before: int, channels: int, config: NetworkConfig, dt: float, *, padding: int, pool: int
    ) -> None:
        super().__init__()
        self.convolution: SpikeConvolution
        self.norm: nn.BatchNorm2d | None
        if config.norm == "weight":
            self.convolution = StandardisedConvolution(before, channels, config.kernel, padding=padding)
            self.norm = None
        else:
            self.convolution = SpikeConvolution(before, channels, config.kernel, padding=padding, bias=False)
            self.norm = nn.BatchNorm2d(channels)
        self.lif = LIF(config, dt, pool=pool, in_place=True)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """Return the spikes [T*B, C, H, W] for an input [T*B, C, H, W]."""
        # In evaluation, the norm is part of the weights of the convolution.
        if self.norm is None:
            currents = self.convolution(x)
        else:
            currents = self.norm(self.convolution(x)) if self.training else self.convolve_folded(x)
        return memory.run_pixels(self.lif, currents)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Fold the norm: return weight and bias of an equivalent convolution in evaluation mode."""
        norm = self.norm
        if isinstance(self.convolution, StandardisedConvolution):
            return self.convolution.standardised(), self.convolution.offset

        assert norm is not None
        assert norm.running_mean is not None
        assert norm.running_var is not None

        # norm(w * x) = scale * (w * x) + norm.bias - mean * scale.
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)

        weight = self.convolution.weight * scale[:, None, None, None]
        return weight, norm.bias - norm.running_mean * scale

    def convolve_folded(self, x: Tensor) -> Tensor:
        """Return the currents [N, channels, H, W] of an input [N, before, H, W] in evaluation mode."""
        weight, bias = self.folded()
        return nn.functional.conv2d(x, weight, bias, padding=self.convolution.padding)


class IntegrateAndFireConvolution(nn.Module):
    """`IntegrateAndFire` layer for images with channels first."""

    def __init__(self, neurons: IntegrateAndFire) -> None:
        super().__init__()
        self.neurons = neurons

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """Return the spikes or potentials [T*B, K, H, W] for an input [T*B, C, H, W]."""
        return memory.run_pixels(self.neurons, x).to(x.dtype)


class Linear(nn.Module):
    """Dropout with one mask for all steps, a linear layer, and LIF neurons."""

    def __init__(self, before: int, neurons: int, config: NetworkConfig, dt: float) -> None:
        super().__init__()
        self.linear = nn.Linear(before, neurons)
        self.lif = LIF(config, dt, in_place=True)
        self.dropout = config.dropout

    def extra_repr(self) -> str:
        """Return the dropout probability, if it is not 0."""
        return f"dropout={self.dropout:g}" if self.dropout else ""

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """Return the spikes [T*B, neurons, 1, 1] for an input [T*B, C, H, W]."""
        features = drop_features(x.flatten(1).unflatten(0, (memory.steps, -1)), self.dropout, self.training)
        return memory.run(self.lif, self.linear(features)).flatten(0, 1)[..., None, None]


def drop_features(features: Tensor, share: float, training: bool) -> Tensor:
    """Drop features [T, B, N] with one mask for all steps, in training only."""
    return features * draw_mask(features[0], share) if training and share else features


def draw_mask(features: Tensor, share: float) -> Tensor:
    """Draw a dropout mask [B, N]: 0 with probability `share`, else 1 / (1 - share)."""
    return nn.functional.dropout(torch.ones_like(features), share)


class _Builder:
    """Appends layers and tracks the shape between them."""

    def __init__(self, grid: SensorSize, channels: int, dt: float) -> None:
        self.dt = dt
        self.layers: list[nn.Module] = []
        self.channels = channels
        self.width = grid.width
        self.height = grid.height

    @property
    def features(self) -> int:
        return self.channels * self.width * self.height

    def convolve(self, channels: int, config: NetworkConfig, *, padded: bool) -> None:
        before = self.channels
        if config.norm == "weight" and before * config.kernel**2 == 1:
            raise ConfigError(
                "norm = weight: a kernel of one weight is always 0 (found kernel = 1 and one channel, "
                "expected kernel = 3 or more)"
            )

        padding, pool = self._convolved(channels, config.kernel, padded=padded, pool=config.pool)
        self.layers.append(Convolution(before, channels, config, self.dt, padding=padding, pool=pool))

    def integrate(self, channels: int, kernel: int, *, threshold: float | None, padded: bool, pool: int) -> None:
        before = self.channels
        padding, pool = self._convolved(channels, kernel, padded=padded, pool=pool)
        neurons = IntegrateAndFire(before, channels, kernel=kernel, threshold=threshold, padding=padding, pool=pool)
        self.layers.append(IntegrateAndFireConvolution(neurons))

    def connect(self, neurons: int, config: NetworkConfig) -> None:
        self.layers.append(Linear(self.features, neurons, config, self.dt))

        # Images of a linear layer have one pixel.
        self.channels = neurons
        self.width = 1
        self.height = 1

    def _convolved(self, channels: int, side: int, *, padded: bool, pool: int) -> tuple[int, int]:
        """Update the shape for a convolution and its pooling; return the padding, and the pool, 1 if it is skipped."""
        # A kernel of n pixels shortens images by n - 1, and padding lengthens them at both ends.
        padding = side // 2 if padded else 0
        self.width += 2 * padding - side + 1
        self.height += 2 * padding - side + 1
        if min(self.width, self.height) < 1:
            raise ConfigError(f"padded: no pixel remains after a convolution of {side} pixels without padding")

        self.channels = channels
        pool = pool if min(self.width, self.height) >= pool else 1
        self.width = self.width // pool
        self.height = self.height // pool

        return padding, pool


def _padded_blocks(config: NetworkConfig) -> tuple[bool, ...]:
    """Return whether the convolution of each block is padded."""
    padded = (True,) * len(config.channels) if config.padded is None else config.padded
    _check_number("padded", len(padded), len(config.channels))
    return padded


def _check_number(name: str, values: int, blocks: int) -> None:
    if values != blocks:
        raise ConfigError(f"network.{name}: wrong number of values (found {values}, expected {blocks} as blocks)")


def _stdp(build: _Builder, config: NetworkConfig) -> None:
    _check_number("thresholds", len(config.thresholds), len(config.channels))
    last = len(config.channels) - 1
    blocks = zip(config.channels, config.thresholds, _padded_blocks(config), strict=True)
    for number, (channels, threshold, padded) in enumerate(blocks):
        is_last = number == last
        pool = config.last_pool if is_last else config.pool

        build.integrate(channels, config.kernel, threshold=None if is_last else threshold, padded=padded, pool=pool)


def _add_layers(build: _Builder, config: NetworkConfig) -> None:
    """Append the layers before the readout; `FirstSpikeNetwork` builds its own."""
    if config.network == "csnn":
        for channels, padded in zip(config.channels, _padded_blocks(config), strict=True):
            build.convolve(channels, config, padded=padded)
    elif config.network == "mlp":
        for neurons in config.channels:
            build.connect(neurons, config)
    else:
        _stdp(build, config)


def _check_constants(config: NetworkConfig, dt: float) -> None:
    """Check time constants and readout of a network."""
    names = ["tau_mem_s", "tau_syn_s"]
    if config.readout == "leaky":
        names.append("tau_readout_s")

    for name in names:
        tau_s = getattr(config, name)
        if tau_s is not None and tau_s < dt:
            raise ConfigError(
                f"network.{name} = {tau_s:g}: is shorter than a time step (expected {dt:g} or more; step_us)"
            )


class Network(nn.Module):
    """Base of spiking networks: spike tensors to one output per class and step."""

    streams: bool = True
    """Whether a recording can be passed in parts, with explicit state."""
    of_classes: ClassVar[tuple[str, ...]] = ("linear.weight", "linear.bias")
    """Names of the weights with shapes that depend on the number of classes."""

    def forward(self, spikes: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the readout after every step, and the state after the last.

        Args:
            spikes: Spike tensor [T, B, C, H, W], any dtype.
            state: State returned by the previous call, to continue the same recordings; None to start.

        Returns:
            Outputs [T, B, K] (their means over T are the logits), and the state. In evaluation mode, parts of a
            recording give the same result as one call.
        """
        raise NotImplementedError


class SpikingNetwork(Network):
    """Spiking network: spike tensors to one output per class and step.

    Args:
        config: Kind, channels, kernels and time constants.
        grid: Width and height of the spike tensors.
        classes: Number of classes K, >= 2.
        dt: Length of a time step in seconds.
        inputs: Channels C of the spike tensors.

    Raises:
        ConfigError: If a setting is wrong, the kind has its own class, the kernel is even, a time constant is shorter
            than a step, or settings contradict each other.

    Example:
        >>> network = SpikingNetwork(NetworkConfig(channels=(4, 8)), grid=(12, 8), classes=3, dt=1e-3)
        >>> outputs, state = network(torch.randint(0, 2, (20, 5, 2, 8, 12), dtype=torch.uint8))
        >>> outputs.shape  # T, B, K; the mean over T gives the logits
        torch.Size([20, 5, 3])
    """

    def __init__(
        self,
        config: NetworkConfig = NetworkConfig(),
        *,
        grid: SensorSizeLike,
        classes: int,
        dt: float,
        inputs: int = 2,
    ) -> None:
        super().__init__()
        if config.network not in (*GRADIENT_KINDS, "stdp"):
            raise ConfigError(f"network = {config.network}: has its own class (expected csnn, mlp or stdp)")
        config.check_kinds(dict(config))

        dt = as_number("dt", dt)
        check_positive("SpikingNetwork", classes=classes, dt=dt, inputs=inputs)
        if config.network in CONVOLUTION_KINDS and config.kernel % 2 == 0:
            raise ConfigError(f"kernel = {config.kernel}: is even (expected an odd number)")

        if config.network in GRADIENT_KINDS:
            _check_constants(config, dt)

        width, height = SensorSize.of(grid)
        self.sizes = {"C": inputs, "H": height, "W": width}

        build = _Builder(SensorSize(width, height), inputs, dt)
        _add_layers(build, config)
        self.config = config
        self.layers = nn.ModuleList(build.layers)
        self.dropout = config.dropout

        self.linear = nn.Linear(build.features, classes)
        self.readout: LeakyReadout | CountReadout | LinearReadout = _build_readout(config, dt)

    def forward(self, spikes: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the readout's membrane potentials (`leaky`) or spikes (`count`); see `Network`.

        Raises:
            DataError: If the spikes or the state have another shape.
        """
        check_tensor(self, "spikes", spikes, "T B C H W", self.sizes)
        memory = Memory(state, len(spikes))
        x = self._run(spikes, memory, len(self.layers))
        features = drop_features(x.flatten(1).unflatten(0, (memory.steps, -1)), self.dropout, self.training)

        output = memory.run(self.readout, self.linear(features))
        return output, memory.after

    def run_layers(self, spikes: Tensor, count: int | None = None) -> Tensor:
        """Run the first layers on complete recordings.

        Args:
            spikes: Spike tensor [T, B, C, H, W], any dtype.
            count: Number of layers; None: all layers except the readout.

        Returns:
            Output of the last of these layers, [T, B, C, H, W].
        """
        chosen = len(self.layers) if count is None else count
        output: Tensor = self._run(spikes, Memory(None, len(spikes)), chosen).unflatten(0, spikes.shape[:2])
        return output

    def _run(self, spikes: Tensor, memory: Memory, count: int) -> Tensor:
        """Run the first layers; return their output [T*B, C, H, W]."""
        x = spikes.flatten(0, 1).to(self.linear.weight.dtype).contiguous(memory_format=torch.channels_last)
        for layer in self.layers[:count]:
            x = layer(x, memory)
        return x


def _build_readout(config: NetworkConfig, dt: float) -> LeakyReadout | CountReadout | LinearReadout:
    if config.network == "stdp":
        return LinearReadout()
    if config.readout == "leaky":
        return LeakyReadout(config.tau_readout_s, dt, gain=config.gain)
    return CountReadout(config, dt) if config.readout == "count" else LinearReadout()
