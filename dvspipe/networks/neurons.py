"""Norse's neurons over time: `LIFBox`, `LIF` and the readout `LIBox`, scanned in one compiled pass on the CPU.

They are Norse's `SNN` modules, with Norse's parameters and states. Time constants are inverse, in 1/s, and `dt` is in
seconds; a step changes a membrane by dt * tau_mem_inv * (v_leak - v + i). On a GPU, for parameters with several numbers
or a gradient, and for other surrogates, Norse's own loop runs; both give the same spikes and gradients.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from norse.torch.functional.leaky_integrator_box import LIBoxParameters, LIBoxState, li_box_feed_forward_step
from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, lif_feed_forward_step
from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters, lif_box_feed_forward_step
from norse.torch.functional.reset import reset_subtract, reset_value
from norse.torch.functional.threshold import threshold
from norse.torch.module.snn import SNN
from torch import Tensor, nn

from .scan import ScanConstants, filter_steps, scan_steps

SURROGATES = ("super", "superspike", "arctan")
"""Surrogate gradients with a fused scan; `super` is Norse's, of slope 1, the others are of `Spike`."""


class Spike(torch.autograd.Function):
    """Heaviside step (1 if x > 0) with a surrogate gradient of slope alpha, which Norse 1.1 fixes at 1.

    `superspike`: 1 / (1 + alpha abs(x))^2 (Zenke and Ganguli 2018, eq. 19). `arctan`: 1 / (1 + (pi / 2 alpha x)^2)
    (Fang et al. 2021, scaled to 1 at x = 0).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, method: str, alpha: float) -> Tensor:
        """Return 1 where x > 0, else 0."""
        ctx.save_for_backward(x)
        ctx.method = method
        ctx.alpha = alpha
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Return the surrogate gradient with respect to x."""
        (x,) = ctx.saved_tensors
        if ctx.method == "arctan":
            return gradients[0] / (1 + (math.pi / 2 * ctx.alpha * x) ** 2), None, None
        return gradients[0] / (1 + ctx.alpha * x.abs()) ** 2, None, None


def fire(x: Tensor, method: str, alpha: Tensor | float) -> Tensor:
    """Return the spikes for distances x from the threshold; `method` is one of `Spike`, or of Norse."""
    if method not in ("superspike", "arctan"):
        return threshold(x, method, alpha)  # type: ignore[no-any-return]
    spikes: Tensor = Spike.apply(x, method, float(alpha))  # type: ignore[no-untyped-call]
    return spikes


def reset_value_detached(z: Tensor, v: Tensor, reset: Tensor, th: Tensor) -> Tensor:
    """Reset to a value as Norse's `reset_value`, without a gradient through the spikes."""
    return reset_value(z.detach(), v, reset, th)  # type: ignore[no-any-return]


def reset_subtract_detached(z: Tensor, v: Tensor, reset: Tensor, th: Tensor) -> Tensor:
    """Subtract the threshold as Norse's `reset_subtract`, without a gradient through the spikes."""
    return reset_subtract(z.detach(), v, reset, th)  # type: ignore[no-any-return]


RESETS = {
    reset_value: (False, False),
    reset_subtract: (True, False),
    reset_value_detached: (False, True),
    reset_subtract_detached: (True, True),
}
"""Whether a `reset_method` with a fused scan subtracts the threshold, and whether it is detached."""


def _keep(_z: Tensor, v: Tensor, _reset: Tensor, _th: Tensor) -> Tensor:
    return v


def lif_box_step(
    x: Tensor, state: LIFBoxFeedForwardState, p: LIFBoxParameters, dt: float
) -> tuple[Tensor, LIFBoxFeedForwardState]:
    """Compute Norse's step of a box LIF neuron, also with the surrogate gradients of `Spike`."""
    # Norse integrates; the spikes and the reset follow with our surrogate.
    _, (h,) = lif_box_feed_forward_step(x, state, p._replace(method="heaviside", reset_method=_keep), dt)
    z = fire(h - p.v_th, p.method, p.alpha)
    return z, LIFBoxFeedForwardState(p.reset_method(z, h, p.v_reset, p.v_th))


def lif_step(x: Tensor, state: LIFFeedForwardState, p: LIFParameters, dt: float) -> tuple[Tensor, LIFFeedForwardState]:
    """Compute Norse's step of a LIF neuron, also with the surrogate gradients of `Spike`."""
    # Norse integrates, without a threshold; the spikes and the reset follow with our surrogate.
    _, (h, i) = lif_feed_forward_step(x, state, p._replace(method="heaviside", v_th=torch.inf), dt)
    z = fire(h - p.v_th, p.method, p.alpha)
    return z, LIFFeedForwardState(v=reset_value(z, h, p.v_reset, p.v_th), i=i)


class _Neurons(SNN):  # type: ignore[misc]  # Norse has no types
    """Norse's neurons over time, which print their parameters in one line, and can be sent to other processes."""

    Parameters: type[Any]

    @property
    def factor(self) -> float:
        """Share a = dt / tau by which a step moves a membrane to its input."""
        return float(self.dt * self.p.tau_mem_inv)

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes, with a dictionary of the parameters: Norse's tuples cannot be pickled."""
        return self.__dict__ | {"p": self.p._asdict()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the attributes."""
        super().__setstate__(state | {"p": self.Parameters(**state["p"])})

    def extra_repr(self) -> str:
        """Return the parameters and the time step."""
        values = []
        for name, value in self.p._asdict().items():
            shown = value.__name__ if callable(value) and not isinstance(value, Tensor) else value
            if isinstance(value, Tensor | float) and torch.as_tensor(value).numel() == 1:
                shown = f"{float(value):.6g}"
            values.append(f"{name}={shown}")
        return ", ".join([*values, f"dt={self.dt:g}"])


class _SpikingNeurons(_Neurons):
    """Neurons whose spikes come from the fused scan of `_scan`, or from Norse's loop."""

    @property
    def subtracts(self) -> bool:
        """Whether the reset subtracts the threshold."""
        return find_reset(self.p) in ((True, False), (True, True))

    def forward(self, currents: Tensor, state: Any = None, *, pool: int = 1) -> tuple[Tensor, Any]:
        """Return the spikes over time, averaged over squares of `pool` pixels, and the state after the last step."""
        currents = _as_numbers(currents)
        constants = find_constants(self, currents)
        if constants is not None:
            return self._scan(currents, state, constants, pool)

        spikes, after = super().forward(currents, state)
        return average_squares(spikes, pool), after

    def _scan(self, currents: Tensor, state: Any, constants: ScanConstants, pool: int) -> tuple[Tensor, Any]:
        raise NotImplementedError


class LIFBox(_SpikingNeurons):
    """Box LIF neurons over time: Norse's `LIFBoxCell`, which has no class with a time axis.

    Called with currents [T, B, ...] and a `LIFBoxFeedForwardState` or None; returns the spikes [T, B, ...] and the
    state after the last step.

    Args:
        p: Norse's parameters. `method` may also be `superspike` or `arctan`, with the slope `alpha` (Norse 1.1 has
            slope 1 for any `alpha` of `super`); `reset_method` may also be one of the detached resets.
        dt: Length of a time step in seconds.

    Example:
        >>> lif = LIFBox(LIFBoxParameters(tau_mem_inv=torch.tensor(100.0)), dt=0.005)
        >>> spikes, state = lif(torch.full((4, 1, 3), 3.0))  # [T, B, N]
        >>> spikes[:, 0, 0], state.v.shape
        (tensor([1., 1., 1., 1.]), torch.Size([1, 3]))
        >>> more, state = lif(torch.full((2, 1, 3), 0.5), state)  # the next steps of the same recordings
    """

    Parameters = LIFBoxParameters

    def __init__(self, p: LIFBoxParameters = LIFBoxParameters(), dt: float = 0.001) -> None:
        super().__init__(lif_box_step, self._rest, p, dt)

    def _rest(self, currents: Tensor) -> LIFBoxFeedForwardState:
        return LIFBoxFeedForwardState(v=_at_leak(currents, self.p))

    def _scan(
        self, currents: Tensor, state: LIFBoxFeedForwardState | None, constants: ScanConstants, pool: int
    ) -> tuple[Tensor, LIFBoxFeedForwardState]:
        (v,) = state or self._rest(currents)
        spikes, v = scan_steps(currents, v.expand_as(currents[0]), constants, pool)
        return spikes, LIFBoxFeedForwardState(v)


class LIF(_SpikingNeurons):
    """LIF neurons with a synaptic current over time: Norse's `LIF`, also with the surrogates of `Spike`.

    Args:
        p: Norse's parameters; `method` as in `LIFBox`.
        dt: Length of a time step in seconds.

    Example:
        >>> lif = LIF(LIFParameters(tau_mem_inv=torch.tensor(100.0)), dt=0.005)
        >>> spikes, state = lif(torch.full((4, 1, 3), 2.0))
        >>> spikes[:, 0, 0], state.i.shape
        (tensor([0., 1., 0., 1.]), torch.Size([1, 3]))
    """

    Parameters = LIFParameters

    def __init__(self, p: LIFParameters = LIFParameters(), dt: float = 0.001) -> None:
        super().__init__(lif_step, self._rest, p, dt)

    def _rest(self, currents: Tensor) -> LIFFeedForwardState:
        return LIFFeedForwardState(v=_at_leak(currents, self.p), i=torch.zeros_like(currents[0]))

    def _scan(
        self, currents: Tensor, state: LIFFeedForwardState | None, constants: ScanConstants, pool: int
    ) -> tuple[Tensor, LIFFeedForwardState]:
        # The current decays after it has driven the membrane, so it starts with the full input.
        v, i = state or self._rest(currents)
        keep = 1 - float(self.dt * self.p.tau_syn_inv)
        driven = filter_steps(currents, i.expand_as(currents[0]), keep, 1.0)
        spikes, v = scan_steps(driven, v.expand_as(currents[0]), constants, pool)
        return spikes, LIFFeedForwardState(v, keep * driven[-1])


class LIBox(_Neurons):
    """Leaky readout over time: Norse's `LIBoxCell`, which has no class with a time axis.

    Args:
        p: Norse's parameters.
        dt: Length of a time step in seconds.

    Example:
        >>> readout = LIBox(LIBoxParameters(tau_mem_inv=torch.tensor(10.0)), dt=0.05)
        >>> potentials, state = readout(torch.ones(3, 1, 2))
        >>> potentials[:, 0, 0]
        tensor([0.5000, 0.7500, 0.8750])
    """

    Parameters = LIBoxParameters

    def __init__(self, p: LIBoxParameters = LIBoxParameters(), dt: float = 0.001) -> None:
        super().__init__(li_box_feed_forward_step, self._rest, p, dt)

    def _rest(self, currents: Tensor) -> LIBoxState:
        return LIBoxState(v=_at_leak(currents, self.p))

    def forward(self, currents: Tensor, state: LIBoxState | None = None) -> tuple[Tensor, LIBoxState]:
        """Return the potentials over time, and the state after the last step."""
        currents = _as_numbers(currents)
        if not _is_plain(currents, self.p.tau_mem_inv, self.p.v_leak):
            return super().forward(currents, state)  # type: ignore[no-any-return]

        # Relative to the leak potential, a step is v += a * (i - v).
        (v,) = state or self._rest(currents)
        leak = float(self.p.v_leak)
        keep = 1 - self.factor
        start = keep * (v.expand_as(currents[0]) - leak)
        potentials = filter_steps(currents, start, keep, self.factor) + leak
        return potentials, LIBoxState(potentials[-1])


def _as_numbers(currents: Tensor) -> Tensor:
    """Return counts, and currents of half precision, in float32, which potentials need."""
    return currents if currents.dtype in (torch.float32, torch.float64) else currents.float()


def _at_leak(currents: Tensor, p: Any) -> Tensor:
    """Return membranes of a step [B, ...] at the leak potential."""
    return torch.zeros_like(currents[0]) + torch.as_tensor(p.v_leak).to(currents)


def _is_plain(currents: Tensor, *parameters: Tensor | float) -> bool:
    """Return whether a scan can run: on the CPU, in floats, with one number without gradient per parameter."""
    return (
        currents.device.type == "cpu"
        and currents.dtype in (torch.float32, torch.float64)
        and not torch.compiler.is_compiling()  # torch cannot export the kernel
        and all(torch.as_tensor(value).numel() == 1 and not _is_trained(value) for value in parameters)
    )


def _is_trained(value: Tensor | float) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def find_reset(p: LIFBoxParameters | LIFParameters) -> tuple[bool, bool] | None:
    """Return whether the reset of neurons subtracts, and whether it is detached; None if it is another function."""
    return RESETS.get(getattr(p, "reset_method", reset_value))


def find_constants(neurons: _SpikingNeurons, currents: Tensor) -> ScanConstants | None:
    """Return the constants of a fused scan; None if Norse's loop has to run."""
    p = neurons.p
    reset = find_reset(p)
    synapse = getattr(p, "tau_syn_inv", 0.0)
    if reset is None or p.method not in SURROGATES:
        return None
    if not _is_plain(currents, p.tau_mem_inv, p.v_leak, p.v_th, p.v_reset, synapse):
        return None

    subtract, detach = reset
    return ScanConstants(
        factor=neurons.factor,
        leak=float(p.v_leak),
        threshold=float(p.v_th),
        reset=float(p.v_reset),
        subtract=subtract,
        detach=detach,
        arctan=p.method == "arctan",
        slope=1.0 if p.method == "super" else float(p.alpha),
    )


def average_squares(spikes: Tensor, pool: int) -> Tensor:
    """Average-pool spikes [T, B, C, H, W] over squares of `pool` pixels."""
    if pool == 1:
        return spikes
    pooled = nn.functional.avg_pool2d(spikes.flatten(0, 1), pool)
    steps: Tensor = pooled.unflatten(0, spikes.shape[:2])
    return steps
