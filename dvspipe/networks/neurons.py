"""Leaky integrate-and-fire (LIF) neurons and readouts, equal to Norse's cells and scanned over time.

A step of dt seconds changes the membrane of a neuron with input current i by dt / tau * (v_leak - v + i). Above v_th
the neuron spikes and is reset. The optional synaptic current adds the input, then decays by the factor 1 - dt /
tau_syn. Parameters have Norse's names: tau_mem_inv is 1 / tau in 1/s, and `alpha` is the slope of the surrogate
gradient. Norse's cells do not run: the scans compute their equations, and tests compare both.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self, SupportsFloat

import torch
from torch import Tensor, nn

from ..base.errors import ConfigError, DataError
from .config import NeuronConfig, Surrogate
from .inputs import check_state, check_tensor
from .scan import ScanSettings, scan_lif, scan_membranes

if TYPE_CHECKING:  # Norse imports matplotlib (1.4 s, 50 MB); fused scans do not need its cell
    from norse.torch.functional.leaky_integrator_box import LIBoxParameters
    from norse.torch.functional.lif_box import LIFBoxParameters

NO_LEAK = 2.0**-64  # dt / tau without a leak: v + a (i / a - v) rounds to v + i
TAU_READOUT_S = 0.1  # default time constant of leaky readouts
STEP_S = 1.0  # for parameters given per step; only dt / tau matters


class Spike(torch.autograd.Function):
    """Heaviside step (1 if x > 0) with a surrogate gradient.

    `superspike`: 1 / (1 + slope * |x|)^2 (Zenke and Ganguli 2018, eq. 19). `arctan`: 1 / (1 + (pi / 2 * slope * x)^2)
    (Fang et al. 2021, scaled to 1 at x = 0). `triangle`: max(0, 1 - slope * |x|) (Esser et al. 2016).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, surrogate: Surrogate, slope: float) -> Tensor:
        """Return 1 where x > 0, else 0."""
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        ctx.slope = slope
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Return the surrogate gradient with respect to x."""
        (x,) = ctx.saved_tensors
        return gradients[0] * surrogate_derivative(x, ctx.surrogate, ctx.slope), None, None


def surrogate_derivative(x: Tensor, surrogate: Surrogate, slope: float) -> Tensor:
    """Return the surrogate derivative of a spike with respect to x, the distance from the threshold."""
    if surrogate == "superspike":
        return 1 / (1 + slope * x.abs()) ** 2
    if surrogate == "arctan":
        return 1 / (1 + (math.pi / 2 * slope * x) ** 2)
    return (1 - slope * x.abs()).clamp(min=0)


class Neurons(nn.Module):
    """Base of modules that run over time, called as `module(currents, state)` for all steps, or by `step` for one."""

    def step(self, currents: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the output of one time step, and the state after it: the form of a call of Norse and snnTorch.

        Args:
            currents: Input currents of the step [B, ...], without the axis of time.
            state: State returned by the previous call of `step` or of the module; None to start.

        Returns:
            Output [B, ...], and the state. Single steps give the same results as one call with all steps, but
            much slower.

        Example:
            >>> lif, state = LIF(beta=0.5), None
            >>> for current in torch.full((2, 1, 2), 1.5):  # 2 steps [B, N]
            ...     spikes, state = lif.step(current, state)
            >>> spikes
            tensor([[1., 1.]])
        """
        outputs, state = self(currents[None], state)
        return outputs[0], state

    def _check_currents(self, currents: Tensor) -> None:
        """Check that currents are [T, B, N, ...]; [B, N] would be taken as B steps of one recording."""
        if isinstance(currents, Tensor) and currents.ndim == 2:
            raise DataError(
                f"{type(self).__name__}: currents without time or batch (found {[*currents.shape]}, expected "
                "[T, B, N, ...]); step(currents, state) takes one step [B, N]"
            )

        check_tensor(self, "currents", currents, "T B N ...")


class LIF(Neurons):
    """Leaky integrate-and-fire neurons, scanned over time.

    For an input current i, a step of dt seconds is

        h = v + dt / tau_mem_s * (v_leak + gain * i - v),    z = 1 if h > v_th else 0,

    and then v = v_reset if z else h or, with `reset = subtract`, v = h - z * v_th. All steps run in one compiled pass
    over memory, forward and backward; on a GPU, torch operations compute one step after the other.

    Args:
        config: Time constants, surrogate, gain and reset.
        dt: Length of a time step in seconds.
        beta: Decay of the membrane per step, 1 - dt / tau_mem_s, in [0, 1], instead of `dt` and `tau_mem_s`.
        pool: Side of the squares over which spikes are average-pooled; 1: no pooling.
        in_place: Whether the scan may overwrite the memory of the currents; see `ScanSettings`.

    Raises:
        ConfigError: If a setting is wrong, `dt` is missing, or the time constant is shorter than a step.

    Example:
        >>> lif = LIF(NeuronConfig(tau_mem_s=0.02, reset="subtract"), dt=0.005)
        >>> lif, LIF(beta=0.9)
        (LIF(tau_mem_s=0.02, dt=0.005, subtract=True), LIF(beta=0.9))
        >>> currents = torch.full((4, 1, 3), 3.0)  # [T, B, ...]
        >>> spikes, state = lif(currents)
        >>> spikes[:, 0, 0], state.shape
        (tensor([0., 1., 0., 1.]), torch.Size([1, 1, 3]))
        >>> more, state = lif(currents, state)  # next steps of the same recordings
        >>> one, state = lif.step(currents[0], state)  # one step [B, ...]
    """

    def __init__(
        self,
        config: NeuronConfig = NeuronConfig(),
        dt: Tensor | float | None = None,
        *,
        beta: Tensor | float | None = None,
        pool: int = 1,
        in_place: bool = False,
    ) -> None:
        super().__init__()
        self.dt, self.factor = _find_step(config.tau_mem_s, dt, beta, is_given="tau_mem_s" in config.model_fields_set)
        self.keep_current = None if config.tau_syn_s is None else 1 - self.dt / config.tau_syn_s
        self.v_leak = 0.0  # the scan computes v - v_leak

        self.settings = ScanSettings(
            gain=config.gain,
            surrogate=config.surrogate,
            slope=config.slope,
            subtract=config.reset == "subtract",
            detach=config.detach_reset,
            pool=pool,
            in_place=in_place,
        )

        # All spikes pass through it, for hooks.
        self.spikes = nn.Identity()

    @classmethod
    def from_norse(cls, p: LIFBoxParameters, dt: float = 0.001) -> Self:
        """Create neurons equal to Norse's `LIFBoxCell(p, dt)`, step by step.

        A call takes all steps [T, B, ...]; write `lif.step(x, state)` where Norse's code has `cell(x, state)`.

        Args:
            p: Norse's parameters, one number each: `tau_mem_inv` in 1/s, `v_leak`, `v_th` and `v_reset`. `alpha` is the
                slope of the surrogate gradient, if the installed Norse uses it (Norse 1.1 has slope 1 for any `alpha`).
                `method` must be `super`, and `reset_method` one of Norse's two. As in Norse, a subtracting reset
                subtracts `v_th` for any `v_leak`.
            dt: Length of a time step in seconds; default: Norse's.

        Raises:
            ConfigError: If a parameter has several numbers, a method is unsupported, or the time constant is below dt.

        Example:
            >>> from norse.torch import LIFBoxParameters
            >>> lif = LIF.from_norse(LIFBoxParameters(tau_mem_inv=torch.tensor(200.0)))
            >>> lif(torch.full((3, 1, 1), 3.0))[0].flatten()
            tensor([0., 1., 0.])
        """
        from norse.torch import LIFBoxParameters
        from norse.torch.functional.reset import reset_subtract, reset_value

        if not isinstance(p, LIFBoxParameters):
            raise ConfigError(f"parameters: found {type(p).__name__}, expected LIFBoxParameters of Norse")
        if p.method != "super":
            raise ConfigError(f"method = {p.method}: not supported (expected super)")
        if p.reset_method not in (reset_value, reset_subtract):
            raise ConfigError(
                f"reset_method = {p.reset_method}: not supported (expected reset_value or reset_subtract of Norse)"
            )

        config = NeuronConfig(
            tau_mem_s=1 / as_number("tau_mem_inv", p.tau_mem_inv),
            reset="subtract" if p.reset_method is reset_subtract else "zero",
            slope=_measure_slope(as_number("alpha", p.alpha)),
        )

        threshold, reset, leak_potential = (as_number(name, getattr(p, name)) for name in ("v_th", "v_reset", "v_leak"))
        lif = cls(config, dt)
        lif.v_leak = leak_potential
        lif.settings = lif.settings._replace(
            threshold=threshold - leak_potential, reset=reset - leak_potential, drop=threshold
        )
        return lif

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"  # without the identity for hooks

    def extra_repr(self) -> str:
        """Return the time constants, and the other constants that differ from their defaults."""
        times = _describe_step(self.dt, self.factor)
        if self.keep_current is not None:
            times += f", tau_syn_s={self.dt / (1 - self.keep_current):.6g}"

        defaults = ScanSettings()._asdict() | {"in_place": self.settings.in_place}
        changed = [f"{name}={value}" for name, value in self.settings._asdict().items() if value != defaults[name]]
        return ", ".join([times, *changed])

    def norse_parameters(self, dtype: torch.dtype = torch.float32) -> LIFBoxParameters:
        """Return the equivalent Norse parameters, for potentials relative to the leak potential."""
        from norse.torch.functional.lif_box import LIFBoxParameters

        settings = self.settings

        def reset(spikes: Tensor, potentials: Tensor, *_: Tensor) -> Tensor:
            return settings.after(potentials, spikes.detach() if settings.detach else spikes)

        return LIFBoxParameters(
            tau_mem_inv=torch.tensor(self.factor, dtype=dtype) / self.dt,
            alpha=settings.slope,
            # A second ONNX export would not find the value of the shared default.
            v_leak=torch.tensor(0.0, dtype=dtype),
            v_th=torch.tensor(settings.threshold, dtype=dtype),
            v_reset=torch.tensor(settings.reset, dtype=dtype),
            reset_method=reset,
        )

    def forward(self, currents: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the spikes over time, and the state after the last step.

        Args:
            currents: Input currents [T, B, N, ...]; [T, B, H, W, C] if spikes are pooled. Computed in float32 or
                float64; integers, such as event counts, become float32.
            state: State returned by the previous call; None to start.

        Returns:
            Spikes with the shape of the currents, or pooled [T, B, H // pool, W // pool, C]; and the state: membrane
            potential [1, ...], or membrane potential and synaptic current [2, ...].

        Raises:
            DataError: If the currents have no step, or the state has another shape.
        """
        self._check_currents(currents)
        check_state(self, state, currents, 1 if self.keep_current is None else 2)
        if not currents.is_floating_point():
            currents = currents.float()

        # The scan works relative to the leak potential.
        membrane, synapse = (None, None) if state is None else (state[0] - self.v_leak, state[-1])

        if self.keep_current is None:
            spikes, last = self._scan(currents, membrane)
            return self.spikes(spikes), (last + self.v_leak)[None]

        currents, synapse = leak(currents, synapse, self.keep_current)
        spikes, last = self._scan(currents, membrane)

        return self.spikes(spikes), torch.stack([last + self.v_leak, synapse])

    @torch.no_grad()
    def differentiate(self, currents: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the surrogate derivatives of the spikes [T, ...], and the results of `forward`, without a graph.

        It does not support neurons with a synaptic current or a leak potential.
        """
        membrane = torch.zeros_like(currents[0]) if state is None else state[0]
        settings = self.settings

        if currents.device.type == "cpu":
            derivatives, spikes, last = scan_membranes(currents, membrane, self.factor, settings, derived=True)
            return derivatives, self.spikes(spikes), last[None]

        steps = []

        for current in currents.unbind(0):
            # The same steps as the kernel, by operations of torch: h before the reset, then v after it.
            potential = membrane + self.factor * (settings.gain * current - membrane)
            fired = (potential > settings.threshold).to(currents.dtype)
            membrane = settings.after(potential, fired)
            steps.append(potential)

        potentials = torch.stack(steps)
        spikes = average_squares((potentials > settings.threshold).to(currents.dtype), settings.pool)
        derivatives = surrogate_derivative(potentials - settings.threshold, settings.surrogate, settings.slope)

        return derivatives, self.spikes(spikes), membrane[None]

    def _scan(self, currents: Tensor, membrane: Tensor | None) -> tuple[Tensor, Tensor]:
        on_cpu = currents.device.type == "cpu"
        if not on_cpu or torch.compiler.is_compiling():  # torch cannot export the kernel
            return self.steps(currents, membrane)

        if currents.dtype not in (torch.float32, torch.float64):
            spikes, last = self._scan(currents.float(), membrane)
            return spikes.to(currents.dtype), last

        return scan_lif(currents, membrane, self.factor, self.settings)

    def steps(self, currents: Tensor, membrane: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return spikes and the last membrane potential, computed by torch operations step by step.

        A step has the equations of Norse's `lif_box_feed_forward_step`, and the surrogate gradient of `Spike`.
        """
        p = self.norse_parameters(currents.dtype)
        membrane = torch.zeros_like(currents[0]) if membrane is None else membrane

        steps = []
        for current in currents.unbind(0):
            # The scan's step, with tensors: the potential before the reset, then the membrane after it.
            drive = self.settings.gain * current + p.v_leak - membrane
            potential = membrane + self.dt * p.tau_mem_inv * drive
            spikes = Spike.apply(potential - p.v_th, self.settings.surrogate, self.settings.slope)  # type: ignore[no-untyped-call]

            membrane = p.reset_method(spikes, potential)
            steps.append(spikes)

        return average_squares(torch.stack(steps), self.settings.pool), membrane


def _measure_slope(alpha: float) -> float:
    """Return the slope of the installed Norse's surrogate gradient, from its value 1 / (1 + slope)^2 at x = 1."""
    from norse.torch.functional.threshold import threshold

    with torch.enable_grad():
        x = torch.ones((), dtype=torch.float64, requires_grad=True)
        (derivative,) = torch.autograd.grad(threshold(x, "super", alpha), x)
    return float(derivative.item() ** -0.5 - 1)


def average_squares(spikes: Tensor, pool: int) -> Tensor:
    """Average-pool [T, B, H, W, C] to [T, B, H // pool, W // pool, C]."""
    if pool == 1:
        return spikes

    pooled: Tensor = nn.functional.avg_pool2d(spikes.flatten(0, 1).permute(0, 3, 1, 2), pool)
    averages: Tensor = pooled.permute(0, 2, 3, 1).unflatten(0, spikes.shape[:2])
    return averages


def leak(inputs: Tensor, state: Tensor | None, keep: float) -> tuple[Tensor, Tensor]:
    """Norse's synaptic current: return y[t] = keep * y[t - 1] + x[t] for inputs x [T, ...], and keep * y[T - 1]."""
    # The current decays after it has driven the membrane, so it starts with the full input.
    y = torch.zeros_like(inputs[0]) if state is None else state
    steps = []

    for x in inputs.unbind(0):
        total = y + x
        steps.append(total)
        y = keep * total

    return torch.stack(steps), y


def _find_step(
    tau_mem_s: float, dt: Tensor | float | None, beta: Tensor | float | None, *, is_given: bool
) -> tuple[float, float]:
    """Return the length of a step in seconds, and dt / tau; `is_given`: whether the user gives `tau_mem_s`."""
    if beta is not None:
        beta = as_number("beta", beta)
        if dt is not None or is_given:
            raise ConfigError(f"beta = {beta:g}: replaces tau_mem_s and dt (expected beta alone, or both others)")
        if not 0 <= beta <= 1:
            raise ConfigError(f"beta = {beta:g}: out of range (expected 0 to 1)")

        return STEP_S, max(1 - beta, NO_LEAK)
    if dt is None:
        raise ConfigError("dt: missing (expected the length of a time step in seconds, such as dt=1e-3, or beta)")

    dt = as_number("dt", dt)
    if not dt > 0:
        raise ConfigError(f"dt = {dt:g}: expected a time above 0")
    if dt > tau_mem_s:
        raise ConfigError(f"tau_mem_s = {tau_mem_s:g}: is shorter than a time step (expected {dt:g} or more)")

    return dt, dt / tau_mem_s


def _describe_step(dt: float, factor: float) -> str:
    return f"beta={1 - factor:.6g}" if dt == STEP_S else f"tau_mem_s={dt / factor:.6g}, dt={dt:g}"


class LeakyReadout(Neurons):
    """Leaky integrator per class, without spikes (Norse's `li_box_step`).

    Args:
        tau_mem_s: Membrane time constant in seconds, at least one time step. None: 0.1.
        dt: Length of a time step in seconds.
        gain: Factor on input currents.
        beta: Decay of the membrane per step, 1 - dt / tau_mem_s, in [0, 1], instead of `dt` and `tau_mem_s`.
        v_leak: Leak potential, also the initial potential.

    Raises:
        ConfigError: If a setting is wrong, `dt` is missing, or the time constant is shorter than a step.

    Example:
        >>> potentials, state = LeakyReadout(tau_mem_s=0.1, dt=0.05)(torch.ones(3, 1, 2))
        >>> potentials[:, 0, 0]
        tensor([0.5000, 0.7500, 0.8750])
    """

    def __init__(
        self,
        tau_mem_s: float | None = None,
        dt: Tensor | float | None = None,
        *,
        gain: float = 1.0,
        beta: Tensor | float | None = None,
        v_leak: float = 0.0,
    ) -> None:
        super().__init__()
        tau_s = TAU_READOUT_S if tau_mem_s is None else tau_mem_s
        self.dt, self.factor = _find_step(tau_s, dt, beta, is_given=tau_mem_s is not None)
        self.gain = gain
        self.v_leak = v_leak

    def extra_repr(self) -> str:
        """Return the constants of the integrators."""
        gain = "" if self.gain == 1 else f", gain={self.gain:g}"
        return _describe_step(self.dt, self.factor) + gain + (f", v_leak={self.v_leak:g}" if self.v_leak else "")

    @classmethod
    def from_norse(cls, p: LIBoxParameters, dt: float = 0.001) -> Self:
        """Create integrators equal to Norse's `LIBoxCell(p, dt)`, step by step.

        A call takes all steps [T, B, ...]; write `readout.step(x, state)` where Norse's code has `cell(x, state)`.

        Args:
            p: Norse's parameters, one number each: `tau_mem_inv` in 1/s, and `v_leak`.
            dt: Length of a time step in seconds; default: Norse's.

        Raises:
            ConfigError: If `p` is something else, or a parameter has several numbers.
        """
        from norse.torch.functional.leaky_integrator_box import LIBoxParameters

        if not isinstance(p, LIBoxParameters):
            raise ConfigError(f"parameters: found {type(p).__name__}, expected LIBoxParameters of Norse")
        tau_mem_s = 1 / as_number("tau_mem_inv", p.tau_mem_inv)
        return cls(tau_mem_s, dt, v_leak=as_number("v_leak", p.v_leak))

    def forward(self, currents: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the membrane potentials [T, B, K] for currents [T, B, K], and the last potential [1, B, K].

        Raises:
            DataError: If the currents have no step, or the state has another shape.
        """
        self._check_currents(currents)
        check_state(self, state, currents, 1)
        # Relative to the leak potential, which is added at the end.
        potential = torch.zeros_like(currents[0]) if state is None else state[0] - self.v_leak

        steps = []
        for current in currents.unbind(0):
            potential = potential + self.factor * (self.gain * current - potential)
            steps.append(potential)

        potentials = torch.stack(steps)
        if self.v_leak:
            potentials = potentials + self.v_leak

        return potentials, potentials[-1:]


def as_number(name: str, value: Tensor | float) -> float:
    """Return a scalar parameter as a float."""
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ConfigError(f"{name}: neurons of a layer have one (found {value.numel()} numbers, expected 1)")
    if not isinstance(value, SupportsFloat):
        raise ConfigError(f"{name} = {value!r}: expected a number")
    return float(value)


class CountReadout(Neurons):
    """One LIF neuron per class.

    Args:
        config: Neuron constants.
        dt: Length of a time step in seconds.
    """

    def __init__(self, config: NeuronConfig, dt: float) -> None:
        super().__init__()
        self.lif = LIF(config, dt)

    def forward(self, currents: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the spikes [T, B, K] for currents [T, B, K], and the state."""
        result: tuple[Tensor, Tensor] = self.lif(currents, state)
        return result


class LinearReadout(Neurons):
    """Readout without neurons: the currents themselves."""

    def forward(self, currents: Tensor, _state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the currents [T, B, K], and an empty state."""
        self._check_currents(currents)
        return currents, currents.new_empty(0)
