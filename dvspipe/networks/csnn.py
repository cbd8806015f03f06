"""A convolutional spiking network: blocks of convolution, batch norm, LIF and pooling; a leaky readout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ..config import Settings
from ..errors import ConfigError
from ..events import SensorSize
from .neurons import LIF, LeakyReadout

State = Sequence[Tensor]
"""Membrane potentials after the last step: one tensor per spiking layer, then the readout's."""


class NetworkConfig(Settings):
    """The shape of a convolutional spiking network and the constants of its neurons."""

    channels: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(default=(12, 64), min_length=1)
    """Channels of each block."""
    kernel: int = Field(default=5, ge=1, le=11)
    """Side of the convolutions in pixels, odd."""
    pool: int = Field(default=2, ge=1, le=8)
    """Side of the average pooling that ends each block."""
    tau_mem_s: float = Field(default=0.03, gt=0)
    """Membrane time constant of the spiking neurons in seconds; at least one time step."""
    tau_readout_s: float = Field(default=0.1, gt=0)
    """Membrane time constant of the readout in seconds; at least one time step."""
    slope: float = Field(default=5.0, gt=0)
    """Slope of the SuperSpike surrogate gradient."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the features dropped before the readout, while training; the same ones at every step."""


class Block(nn.Module):
    """Convolution, batch norm, LIF neurons and average pooling."""

    def __init__(self, before: int, channels: int, config: NetworkConfig, dt: float) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, channels, config.kernel, padding=config.kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.lif = LIF(config.tau_mem_s, config.slope, dt)
        self.pool = nn.AvgPool2d(config.pool)

    def forward(self, x: Tensor, steps: int, membrane: Tensor | None) -> tuple[Tensor, Tensor]:
        """Pooled spikes [T*B, C, H, W] of an input [T*B, C, H, W] of T steps, and the membrane after the last."""
        currents: Tensor = self.norm(self.convolution(x)).permute(0, 2, 3, 1)  # a view: channels are last in memory
        spikes, membrane = self.lif(currents.unflatten(0, (steps, -1)), membrane)
        return self.pool(spikes.flatten(0, 1).permute(0, 3, 1, 2)), membrane


class SpikingNetwork(nn.Module):
    """Spike tensors in, one membrane potential per class and step out.

    Convolution, batch norm and pooling run once over all steps, channels last; only the neurons are scanned over time.

    Args:
        config: Channels, kernels and time constants.
        grid: Width and height of the spike tensors.
        classes: K, number of classes, >= 2.
        dt: Length of a time step in seconds.
        inputs: C, channels of the spike tensors.

    Raises:
        ConfigError: The grid is too small for the blocks, or a time constant is shorter than the step.
    """

    def __init__(self, config: NetworkConfig, *, grid: SensorSize, classes: int, dt: float, inputs: int = 2) -> None:
        super().__init__()
        if config.kernel % 2 == 0:
            raise ConfigError(f"network.kernel = {config.kernel}: expected an odd number")
        for name, tau_s in (("tau_mem_s", config.tau_mem_s), ("tau_readout_s", config.tau_readout_s)):
            if tau_s < dt:
                raise ConfigError(f"network.{name} = {tau_s:g}: shorter than a time step of {dt:g} s (bins.step_us)")
        smallest = config.pool ** len(config.channels)
        if min(grid.width, grid.height) < smallest:
            raise ConfigError(f"a grid of {grid} is too small for network.channels: needs {smallest} pixels on a side")
        self.blocks = nn.ModuleList()
        before, width, height = inputs, grid.width, grid.height
        for channels in config.channels:
            self.blocks.append(Block(before, channels, config, dt))
            before, width, height = channels, width // config.pool, height // config.pool
        self.dropout = config.dropout
        self.linear = nn.Linear(before * width * height, classes)
        self.readout = LeakyReadout(config.tau_readout_s, dt)

    def forward(self, spikes: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """The readout after every step.

        Args:
            spikes: Counts [T, B, C, H, W], of any number type.
            state: What an earlier call returned, to go on with the same recordings; None to begin.

        Returns:
            Membrane potentials of the readout, float32 [T, B, K], whose mean over T are the logits; and the state. In
            evaluation mode a recording in pieces gives the same as the whole.
        """
        T = len(spikes)
        before = list(state) if state is not None else [None] * (len(self.blocks) + 1)
        after: list[Tensor] = []
        x = spikes.flatten(0, 1).to(self.linear.weight.dtype).contiguous(memory_format=torch.channels_last)
        for block, membrane in zip(self.blocks, before[:-1], strict=True):
            x, membrane = block(x, T, membrane)
            after.append(membrane)
        features = x.flatten(1).unflatten(0, (T, -1))
        if self.training and self.dropout:
            features = features * nn.functional.dropout(torch.ones_like(features[0]), self.dropout)
        potentials, membrane = self.readout(self.linear(features), before[-1])
        return potentials, [*after, membrane]


@contextmanager
def watch_rates(network: SpikingNetwork) -> Iterator[dict[str, float]]:
    """A dictionary that receives, at every pass of the network inside the block, the spikes per neuron and step.

    The keys are `lif1`, `lif2`, ... from the input on.
    """
    rates: dict[str, float] = {}

    def note(name: str, output: tuple[Tensor, Tensor]) -> None:
        rates[name] = float(output[0].detach().mean())

    layers = [module for module in network.modules() if isinstance(module, LIF)]
    hooks = [
        layer.register_forward_hook(lambda _, __, output, name=f"lif{number}": note(name, output))
        for number, layer in enumerate(layers, start=1)
    ]
    try:
        yield rates
    finally:
        for hook in hooks:
            hook.remove()
