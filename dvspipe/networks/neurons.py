"""Neurons scanned over time: Norse's leaky integrate-and-fire and leaky integrator, step by step.

A step of dt seconds moves the membrane of a neuron with input current i by dt / tau * (v_leak - v + i), tau_mem_inv
being 1 / tau in 1/s; above v_th it spikes and is reset. Norse's box parameters describe it; `alpha` is the surrogate's
slope, which Norse 1.1.0 itself ignores for its default method.
"""

from __future__ import annotations

from typing import Any

import torch
from norse.torch.functional.leaky_integrator_box import LIBoxParameters
from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters
from torch import Tensor, nn

from .scan import scan_lif


class SuperSpike(torch.autograd.Function):
    """A spike where x > 0; its gradient is replaced by 1 / (1 + slope * |x|)^2 (Zenke and Ganguli 2018, eq. 19)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        """1 where x > 0, else 0."""
        ctx.save_for_backward(x)
        ctx.slope = slope
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The surrogate's gradient."""
        (x,) = ctx.saved_tensors
        return gradients[0] / (1 + ctx.slope * x.abs()) ** 2, None


def lif_step(
    current: Tensor, state: LIFBoxFeedForwardState, parameters: LIFBoxParameters, dt: float
) -> tuple[Tensor, LIFBoxFeedForwardState]:
    """One step of Norse's `lif_box_feed_forward_step`, with a surrogate gradient that honours `alpha`.

    Args:
        current: Input current, any shape.
        state: Membrane potential v of the same shape.
        parameters: Norse's parameters; tau_mem_inv in 1/s.
        dt: Length of the step in s.

    Returns:
        Spikes (0 or 1) of the same shape, and the new state.
    """
    v = state.v + dt * parameters.tau_mem_inv * (current + parameters.v_leak - state.v)
    spikes = SuperSpike.apply(v - parameters.v_th, float(parameters.alpha))  # type: ignore[no-untyped-call]
    return spikes, LIFBoxFeedForwardState(parameters.reset_method(spikes, v, parameters.v_reset, parameters.v_th))


class LIF(nn.Module):
    """Leaky integrate-and-fire neurons without synaptic current, scanned over time.

    Args:
        tau_mem_s: Membrane time constant in seconds, >= dt.
        slope: Slope of the surrogate gradient.
        dt: Length of a time step in seconds.
    """

    def __init__(self, tau_mem_s: float, slope: float, dt: float) -> None:
        super().__init__()
        self.neuron = LIFBoxParameters(
            tau_mem_inv=torch.tensor(1 / tau_mem_s), alpha=torch.tensor(slope), v_th=torch.tensor(1.0)
        )
        self.dt = dt

    def forward(self, currents: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Spikes of the same shape as the currents [T, ...], and the membrane potential [...] after the last step."""
        if currents.device.type == "cpu":
            factor = float(self.dt * self.neuron.tau_mem_inv)
            return scan_lif(currents, state, factor, float(self.neuron.alpha))
        membrane = LIFBoxFeedForwardState(torch.zeros_like(currents[0]) if state is None else state)
        steps = []
        for current in currents.unbind(0):
            spikes, membrane = lif_step(current, membrane, self.neuron, self.dt)
            steps.append(spikes)
        return torch.stack(steps), membrane.v


class LeakyReadout(nn.Module):
    """A leaky integrator per class: Norse's `li_box_step` behind a linear layer, without spikes.

    Args:
        tau_mem_s: Membrane time constant in seconds, >= dt.
        dt: Length of a time step in seconds.
    """

    def __init__(self, tau_mem_s: float, dt: float) -> None:
        super().__init__()
        self.neuron = LIBoxParameters(tau_mem_inv=torch.tensor(1 / tau_mem_s))
        self.dt = dt

    def forward(self, currents: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Membrane potentials [T, B, K] after every step of the currents [T, B, K], and the last of them."""
        v = torch.zeros_like(currents[0]) if state is None else state
        steps = []
        for current in currents.unbind(0):
            v = v + self.dt * self.neuron.tau_mem_inv * (self.neuron.v_leak - v + current)
            steps.append(v)
        return torch.stack(steps), v
