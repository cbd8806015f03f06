"""Neurons that spike at most once, trained by exact gradients: Mostafa 2017 (leak = 0), Göltz et al. 2021 (0.5 or 1).

See `dvspipe.networks.spike_times` for the equations. Any loss of spike times trains the layers.

Example:
    >>> _ = torch.manual_seed(0)
    >>> times = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])  # XOR, and a bias
    >>> labels = torch.tensor([0, 1, 1, 0])
    >>> network = nn.Sequential(FirstSpikeLayer(3, 20, leak=0.5), FirstSpikeLayer(20, 2, leak=0.5, horizon=4.0))
    >>> optimiser = torch.optim.Adam(network.parameters(), lr=0.05)
    >>> for _ in range(100):
    ...     optimiser.zero_grad()
    ...     nn.functional.cross_entropy(-network(times) / 0.2, labels).backward()
    ...     optimiser.step()
    >>> network(times).argmin(1).tolist()  # the neuron that spikes first
    [0, 1, 1, 0]
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..base.errors import ConfigError
from ..events import SensorSize, SensorSizeLike
from .config import NetworkConfig
from .inputs import check_positive, check_tensor
from .models import Network, State
from .spike_times import MAX_RESPONSE, first_spike_times

MIN_SLOPE = 0.1  # thresholds per synaptic time constant; see `first_spike_times`
MEAN = 4.0  # initial weights times N, in units of the sum that reaches the threshold
DEVIATION = 2.5  # initial weights times sqrt(N), in the same units
READOUT_DELAY = 1.0  # synaptic time constants from the last step to the time of a barely silent neuron


class FirstSpikeLayer(nn.Module):
    """Layer of neurons that spike at most once: spike times [B, N] to spike times [B, M]; see `first_spike_times`.

    Times are in units of the synaptic time constant, infinite without a spike.

    Args:
        inputs: Number of inputs N.
        neurons: Number of neurons M.
        leak: tau_syn / tau_mem: 0 (Mostafa 2017), 0.5 or 1 (Göltz et al. 2021).
        gain: Factor on the weights.
        dropout: Dropout probability of input spikes in training; weights are scaled up to compensate.
        horizon: See `first_spike_times`.
        least_slope: See `first_spike_times`; 0: exact gradients.

    Example:
        >>> layers = nn.Sequential(FirstSpikeLayer(3, 20), FirstSpikeLayer(20, 2))
        >>> layers(torch.tensor([[0.0, 0.4, math.inf], [0.3, 0.2, 0.0]])).shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        inputs: int,
        neurons: int,
        *,
        leak: float = 1.0,
        gain: float = 1.0,
        dropout: float = 0.0,
        horizon: float | None = None,
        least_slope: float = 0.0,
    ) -> None:
        super().__init__()
        check_positive("FirstSpikeLayer", inputs=inputs, neurons=neurons)
        if leak not in MAX_RESPONSE:
            raise ConfigError(f"leak = {leak:g}: has no closed form (expected 0, 0.5 or 1)")

        self.leak = leak
        self.gain = gain
        self.dropout = dropout
        self.horizon = horizon
        self.least_slope = least_slope

        # The mean weight sum of a neuron is above the smallest sum that makes it spike.
        reached = self.least_sum()
        drawn = reached * (MEAN / inputs + DEVIATION / math.sqrt(inputs) * torch.randn(neurons, inputs))
        self.weight = nn.Parameter(drawn)

    def extra_repr(self) -> str:
        """Return the sizes and constants of the layer."""
        M, N = self.weight.shape
        horizon = "" if self.horizon is None else f", horizon={self.horizon:g}"
        return f"{N}, {M}, leak={self.leak:g}, gain={self.gain:g}, dropout={self.dropout:g}{horizon}"

    def least_sum(self) -> float:
        """Return the weight sum above which simultaneous spikes of all inputs make a neuron spike."""
        return 1 / MAX_RESPONSE[self.leak]

    def forward(self, times: Tensor) -> Tensor:
        """Return the spike times [B, M] for input spike times [B, N].

        Raises:
            DataError: If the times have another shape.
        """
        _, N = self.weight.shape
        check_tensor(self, "times", times, "B N", {"N": N})
        weights = self.gain * self.weight
        if self.training and self.dropout:
            times = times.masked_fill(torch.rand_like(times) < self.dropout, math.inf)

            # Dropped spikes never arrive; the weights of the others make up for them.
            weights = weights / (1 - self.dropout)

        return first_spike_times(times, weights, leak=self.leak, horizon=self.horizon, least_slope=self.least_slope)


class FirstSpikeNetwork(Network):
    """Layers of neurons that spike at most once; the first neuron of the last layer to spike is the prediction.

    An input spikes at its first nonzero step; later values are ignored. The time of an output spike becomes the logit
    -time / `tau_readout_s`, the same at every step. A silent neuron of the last layer gets a time after the last step
    that depends on its peak potential, and therefore a gradient.

    Args:
        config: Neurons of each layer and time constants.
        grid: Width and height of the spike tensors.
        classes: Number of classes K, >= 2.
        dt: Length of a time step in seconds.
        inputs: Channels C of the spike tensors.

    Raises:
        ConfigError: If the time constants have no closed form.
    """

    streams = False
    of_classes: ClassVar[tuple[str, ...]] = ("readout.weight",)

    def __init__(
        self, config: NetworkConfig, *, grid: SensorSizeLike, classes: int, dt: float, inputs: int = 2
    ) -> None:
        super().__init__()
        check_positive("FirstSpikeNetwork", classes=classes, dt=dt, inputs=inputs)

        width, height = SensorSize.of(grid)
        self.sizes = {"C": inputs, "H": height, "W": width}
        leak = find_leak(config)
        assert config.tau_syn_s is not None

        self.step = dt / config.tau_syn_s
        self.steps = 1
        self.scale = config.tau_readout_s / config.tau_syn_s
        self.keep_alive = config.keep_alive

        sizes = (inputs * width * height, *config.channels)
        build = partial(FirstSpikeLayer, leak=leak, gain=config.gain, dropout=config.dropout, least_slope=MIN_SLOPE)
        self.layers = nn.ModuleList(itertools.starmap(build, itertools.pairwise(sizes)))
        self.readout = build(sizes[-1], classes)

    def forward(self, spikes: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the logits at every step, and an empty state; see `Network`.

        Raises:
            ConfigError: If a state is given; this network needs all steps of a recording.
            DataError: If the spikes have another shape.
        """
        check_tensor(self, "spikes", spikes, "T B C H W", self.sizes)
        if state is not None:
            raise ConfigError(
                f"network = first_spike: needs all steps of a recording (found a part of {len(spikes)} steps)"
            )

        self.steps = len(spikes)
        times = self.first_times(spikes)

        for layer in self.layers:
            times = layer(times)

        # A silent neuron of the readout must be later than all spikes, so it gets a time after the last step.
        self.readout.horizon = len(spikes) * self.step + READOUT_DELAY

        logits = -self.readout(times) / self.scale
        return logits.expand(len(spikes), -1, -1), []

    def first_times(self, spikes: Tensor) -> Tensor:
        """Return the first-spike times [B, C * H * W] of inputs [T, B, C, H, W]; infinite if silent."""
        T = len(spikes)

        # The nonzero input with the most steps left is the first; a pixel without one has 0 left, so step T.
        left = torch.arange(T, 0, -1, dtype=torch.int16, device=spikes.device)[:, None, None]
        steps = T - ((spikes.flatten(2) != 0) * left).amax(0)

        times = steps.to(self.readout.weight.dtype) * self.step
        return times.masked_fill(steps == T, math.inf)

    def penalty_gradients(self) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """Yield the weights of each layer, and the gradient of the penalty on silent neurons.

        The penalty is `keep_alive` times the sum over neurons of max(0, s - weight sum), where s is the smallest
        weight sum that makes a neuron spike (Mostafa 2017).
        """
        for layer in (*self.layers, self.readout):
            few = layer.gain * layer.weight.detach().sum(1, keepdim=True) < layer.least_sum()
            yield layer.weight, (-self.keep_alive * layer.gain * few).expand_as(layer.weight)


def find_leak(config: NetworkConfig) -> float:
    """Return tau_syn / tau_mem of a network of kind `first_spike`."""
    if config.tau_syn_s is None:
        raise ConfigError(
            "tau_syn_s = null: network = first_spike needs a synaptic current (expected tau_mem_s "
            f"= {config.tau_mem_s:g} or half of it)"
        )
    if not config.leak:
        return 0.0

    for leak in (0.5, 1.0):
        if math.isclose(config.tau_syn_s, leak * config.tau_mem_s, rel_tol=1e-9):
            return leak

    raise ConfigError(
        f"tau_mem_s = {config.tau_mem_s:g}: spike times have no closed form (expected tau_syn_s = "
        f"{config.tau_syn_s:g} or twice that, or leak = false)"
    )
