"""Neurons scanned over time: Norse's leaky integrate-and-fire, with and without synaptic current, and readouts.

A step of dt seconds changes the membrane of a neuron with input current i by dt / tau * (v_leak - v + i), where
tau_mem_inv is 1 / tau in 1/s; above v_th the neuron spikes and is reset. A synaptic current, if there is one, is
incremented by the input and then decays by the factor 1 - dt / tau_syn. These are Norse's parameters; `alpha` is the
slope of the surrogate gradient, which Norse 1.1.0 itself ignores for its default method. The fused scans equal Norse's
own cell, step by step.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .config import NetworkConfig, Surrogate
from .scan import ScanSettings, scan_lif, scan_membranes

if TYPE_CHECKING:  # Norse imports matplotlib (1.4 s and 50 MB), and fused scans do without its cell
    from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters


class Spike(torch.autograd.Function):
    """A spike if x > 0, with a surrogate gradient.

    `superspike`: 1 / (1 + slope * |x|)^2 (Zenke and Ganguli 2018, eq. 19). `arctan`: 1 / (1 + (pi / 2 * slope * x)^2)
    (Fang et al. 2021, scaled to 1 at x = 0). `triangle`: max(0, 1 - slope * |x|) (Esser et al. 2016).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, surrogate: Surrogate, slope: float) -> Tensor:
        """Return 1 where x > 0, else 0."""
        ctx.save_for_backward(x)
        ctx.surrogate, ctx.slope = surrogate, slope
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of x by the surrogate."""
        (x,) = ctx.saved_tensors
        return gradients[0] * surrogate_derivative(x, ctx.surrogate, ctx.slope), None, None


def surrogate_derivative(x: Tensor, surrogate: Surrogate, slope: float) -> Tensor:
    """Return the surrogate of the derivative of a spike with respect to x, its distance from the threshold."""
    if surrogate == "superspike":
        return 1 / (1 + slope * x.abs()) ** 2
    if surrogate == "arctan":
        return 1 / (1 + (math.pi / 2 * slope * x) ** 2)
    return (1 - slope * x.abs()).clamp(min=0)


def lif_step(
    current: Tensor, state: LIFBoxFeedForwardState, parameters: LIFBoxParameters, dt: float, surrogate: Surrogate
) -> tuple[Tensor, LIFBoxFeedForwardState]:
    """Return spikes and state after one step of Norse's `lif_box_feed_forward_step`, with our surrogate gradient.

    Args:
        current: Input current, any shape.
        state: Membrane potential v of the same shape.
        parameters: Norse's parameters; tau_mem_inv in 1/s.
        dt: Length of the step in s.
        surrogate: Kind of the surrogate gradient; its slope is `parameters.alpha`.

    Returns:
        Spikes (0 or 1) of the same shape, and the new state.
    """
    from norse.torch.functional.lif_box import LIFBoxFeedForwardState

    v = state.v + dt * parameters.tau_mem_inv * (current + parameters.v_leak - state.v)
    spikes = Spike.apply(v - parameters.v_th, surrogate, float(parameters.alpha))  # type: ignore[no-untyped-call]
    return spikes, LIFBoxFeedForwardState(parameters.reset_method(spikes, v, parameters.v_reset, parameters.v_th))


class LIF(nn.Module):
    """Leaky integrate-and-fire neurons, scanned over time.

    Args:
        config: Time constants, whether they are trained, surrogate, gain and reset.
        dt: Length of a time step in seconds.
        pool: Side of the squares of pixels whose spikes are averaged; 1 for none.
        in_place: Whether the memory of the currents may be overwritten, as in `ScanSettings`.
    """

    def __init__(self, config: NetworkConfig, dt: float, *, pool: int = 1, in_place: bool = False) -> None:
        super().__init__()
        factor = dt / config.tau_mem_s
        self.factor: Tensor
        if config.learn_tau:  # a = sigmoid(w), as Fang et al. 2021 do; infinite at a = 1
            self.weight = nn.Parameter(torch.logit(torch.tensor(min(factor, 0.99))))
        self.trains_tau = config.learn_tau
        self.register_buffer("factor", torch.tensor(factor), persistent=False)
        self.keep_current = None if config.tau_syn_s is None else 1 - dt / config.tau_syn_s
        self.dt = dt
        self.settings = ScanSettings(
            gain=config.gain, surrogate=config.surrogate, slope=config.slope, subtract=config.reset == "subtract",
            detach=config.detach_reset, pool=pool, in_place=in_place,
        )  # fmt: skip
        self.spikes = nn.Identity()  # all spikes pass through it, however they are computed, so that hooks see them

    def rate(self) -> Tensor:
        """Return dt / tau, the share of the membrane that leaks in a step, as one number."""
        return self.weight.sigmoid() if self.trains_tau else self.factor

    def norse_parameters(self) -> LIFBoxParameters:
        """Return the parameters of the neurons in Norse."""
        from norse.torch.functional.lif_box import LIFBoxParameters
        from norse.torch.functional.reset import reset_subtract, reset_value

        reset = reset_subtract if self.settings.subtract else reset_value

        def detached(spikes: Tensor, *others: Tensor) -> Tensor:
            after: Tensor = reset(spikes.detach(), *others)
            return after

        return LIFBoxParameters(
            tau_mem_inv=self.rate() / self.dt,
            alpha=torch.tensor(self.settings.slope),
            v_th=torch.tensor(1.0),
            reset_method=detached if self.settings.detach else reset,
        )

    def forward(self, currents: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the spikes over time, and the state after the last step.

        Args:
            currents: Input [T, ...]; [T, B, H, W, C] if spikes are pooled.
            state: The state that the previous call returned; None to start.

        Returns:
            Spikes with the shape of the currents, or their means [T, B, H // pool, W // pool, C]; and the state: the
            membrane potential [1, ...] or, with a synaptic current, both [2, ...].
        """
        membrane = None if state is None else state[0]
        if self.keep_current is None:
            spikes, last = self._scan(currents, membrane)
            return self.spikes(spikes), last[None]
        currents, synapse = leak(currents, None if state is None else state[1], self.keep_current)
        spikes, last = self._scan(currents, membrane)
        return self.spikes(spikes), torch.stack([last, synapse])

    @torch.no_grad()
    def differentiate(self, currents: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the surrogate derivatives of the spikes [T, ...], and spikes and state as `forward`, without a graph.

        Neurons with a synaptic current have none of this.
        """
        membrane = torch.zeros_like(currents[0]) if state is None else state[0]
        if currents.device.type == "cpu":
            rate = self.rate().to(currents.dtype)
            derivatives, spikes, last = scan_membranes(currents, membrane, rate, self.settings, derived=True)
            return derivatives, self.spikes(spikes), last[None]
        factor, steps = float(self.rate()), []
        for current in currents.unbind(0):
            steps.append(membrane + factor * (self.settings.gain * current - membrane))
            spikes = (steps[-1] > 1).to(currents.dtype)
            membrane = steps[-1] - spikes if self.settings.subtract else steps[-1] * (1 - spikes)
        potentials = torch.stack(steps)
        spikes = average_squares((potentials > 1).to(currents.dtype), self.settings.pool)
        derivatives = surrogate_derivative(potentials - 1, self.settings.surrogate, self.settings.slope)
        return derivatives, self.spikes(spikes), membrane[None]

    def _scan(self, currents: Tensor, membrane: Tensor | None) -> tuple[Tensor, Tensor]:
        if torch.compiler.is_compiling():  # torch.export too: it traces the plain steps
            return self.steps(currents, membrane)
        if currents.device.type == "cpu":
            return scan_lif(currents, membrane, self.rate().to(currents.dtype), self.settings)
        if currents.device.type == "cuda" and find_spec("triton"):
            from .scan_gpu import scan_lif_on_gpu

            spikes, last = scan_lif_on_gpu(currents, membrane, self.rate(), self.settings)
            return average_squares(spikes, self.settings.pool), last
        return self.steps(currents, membrane)

    def steps(self, currents: Tensor, membrane: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the spikes, and the membrane potential after the last step, by Norse's cell step by step."""
        from norse.torch.functional.lif_box import LIFBoxFeedForwardState

        parameters = self.norse_parameters()
        v, steps = LIFBoxFeedForwardState(torch.zeros_like(currents[0]) if membrane is None else membrane), []
        for current in currents.unbind(0):
            spikes, v = lif_step(self.settings.gain * current, v, parameters, self.dt, self.settings.surrogate)
            steps.append(spikes)
        stacked = torch.stack(steps)
        return average_squares(stacked, self.settings.pool), v.v


def average_squares(spikes: Tensor, pool: int) -> Tensor:
    """Return the means of squares of pixels, [T, B, H // pool, W // pool, C] for [T, B, H, W, C]."""
    if pool == 1:
        return spikes
    pooled: Tensor = nn.functional.avg_pool2d(spikes.flatten(0, 1).permute(0, 3, 1, 2), pool)
    averages: Tensor = pooled.permute(0, 2, 3, 1).unflatten(0, spikes.shape[:2])
    return averages


def leak(inputs: Tensor, state: Tensor | None, keep: float) -> tuple[Tensor, Tensor]:
    """Return y[t] = keep * y[t - 1] + x[t] for inputs x [T, ...], and keep * y[T - 1]: Norse's synaptic current."""
    y = torch.zeros_like(inputs[0]) if state is None else state
    steps = []
    for x in inputs.unbind(0):
        total = y + x
        steps.append(total)
        y = keep * total
    return torch.stack(steps), y


class LeakyReadout(nn.Module):
    """A leaky integrator per class, without spikes: Norse's `li_box_step`.

    Args:
        tau_mem_s: Membrane time constant in seconds, >= dt.
        dt: Length of a time step in seconds.
        gain: Factor on input currents.
    """

    def __init__(self, tau_mem_s: float, dt: float, gain: float = 1.0) -> None:
        super().__init__()
        self.factor, self.gain = dt / tau_mem_s, gain

    def forward(self, currents: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the membrane potentials [T, B, K] for currents [T, B, K], and the last of them [1, B, K]."""
        v = torch.zeros_like(currents[0]) if state is None else state[0]
        steps = []
        for current in currents.unbind(0):
            v = v + self.factor * (self.gain * current - v)
            steps.append(v)
        return torch.stack(steps), v[None]


class CountReadout(nn.Module):
    """LIF neurons whose spikes are averaged over the neurons of each class.

    Args:
        config: Constants of the neurons.
        dt: Length of a time step in seconds.
        votes: Number of neurons per class.
    """

    def __init__(self, config: NetworkConfig, dt: float, votes: int) -> None:
        super().__init__()
        self.votes = votes
        self.lif = LIF(config, dt)

    def forward(self, currents: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the mean spikes [T, B, K] of each class for currents [T, B, K * votes], and the state."""
        spikes, state = self.lif(currents, state)
        return spikes.unflatten(-1, (-1, self.votes)).mean(-1), state


class LinearReadout(nn.Module):
    """No neurons: the currents themselves."""

    def forward(self, currents: Tensor, _state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the currents [T, B, K], and an empty state."""
        return currents, currents.new_empty(0)
