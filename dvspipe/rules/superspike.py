"""SuperSpike: a three-factor rule for spike trains that descends the van Rossum loss.

Zenke and Ganguli, "SuperSpike: supervised learning in multilayer spiking neural networks", Neural Computation 30
(2018). The loss of a neuron with spikes S and target spikes Y is half the integral of e^2, with e = a * (Y - S). The
double exponential kernel a is scaled to a squared integral of 1, so one missing spike costs 1/2. The rule updates each
weight while spikes arrive, by the product of three factors,

    dw_ij / dt = r e_i(t) [a * (f(U_i) (k * S_j))](t),

the error e of the neuron, the surrogate derivative f of its spikes at potential U, and the effect k * S_j of the input
spikes on U. The last two, filtered by a, are the eligibility of the synapse. If the reset has no derivative, the rule
equals the gradient of the loss.

Example:
    >>> generator = torch.Generator().manual_seed(0)
    >>> layer = SuperSpikeLayer(100, 1, dt=1e-3, generator=generator)
    >>> inputs = (torch.rand(300, 1, 100, generator=generator) < 0.01).float()
    >>> targets = torch.zeros(300, 1, 1)
    >>> targets[[100, 200]] = 1
    >>> optimiser, losses = RMaxProp([layer.weight], lr=2e-2), []
    >>> for _ in range(40):
    ...     result = layer.update(inputs, targets)
    ...     layer.weight.grad = result.gradient
    ...     optimiser.step()
    ...     losses.append(float(result.loss))
    >>> losses[-1] < losses[0]
    True
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..base.errors import ConfigError, DataError
from ..networks.inputs import check_positive, check_tensor
from ..networks.neurons import Spike, surrogate_derivative


@dataclass(frozen=True)
class VanRossum:
    """Van Rossum loss with a double exponential kernel, in steps of dt.

    Args:
        dt: Length of a step in seconds.
        rise_s: Rise time constant of the kernel, in seconds.
        decay_s: Decay time constant of the kernel, in seconds; different from `rise_s`.

    Raises:
        ConfigError: If a time is not above 0, or both constants are equal.

    Example:
        >>> targets = torch.zeros(4000, 1, 1, dtype=torch.float64)
        >>> targets[100] = 1  # a spike is missing
        >>> round(float(VanRossum(dt=1e-4).loss(torch.zeros_like(targets), targets)), 2)
        0.5
    """

    dt: float
    rise_s: float = 0.005
    decay_s: float = 0.010

    def __post_init__(self) -> None:
        check_positive("VanRossum", dt=self.dt, rise_s=self.rise_s, decay_s=self.decay_s)
        if self.rise_s == self.decay_s:
            raise ConfigError(f"VanRossum: rise_s = decay_s = {self.decay_s:g}: expected different times")

    @property
    def scale(self) -> float:
        """Scale of the difference of two exponentials; gives the kernel a squared integral of 1."""
        # The integral of (exp(-t / a) - exp(-t / b))^2 is a / 2 + b / 2 - 2 a b / (a + b).
        a = self.decay_s
        b = self.rise_s
        return float((a / 2 + b / 2 - 2 * a * b / (a + b)) ** -0.5)

    @property
    def keeps(self) -> tuple[float, float]:
        """Decay per step of the slow and of the fast exponential."""
        slow = torch.exp(torch.tensor(-self.dt / self.decay_s, dtype=torch.float64))
        fast = torch.exp(torch.tensor(-self.dt / self.rise_s, dtype=torch.float64))
        return float(slow), float(fast)

    def start(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the initial filter state for signals shaped like `like`."""
        return torch.zeros_like(like), torch.zeros_like(like)

    def step(self, signal: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Filter one step of a signal; return the output and the next state."""
        keep_slow, keep_fast = self.keeps
        slow, fast = state
        slow = keep_slow * slow + signal
        fast = keep_fast * fast + signal
        return self.scale * (slow - fast), (slow, fast)

    def filter(self, signal: Tensor) -> Tensor:
        """Convolve a signal [T, ...] with the kernel.

        Raises:
            DataError: If there is no step.
        """
        check_tensor(self, "signal", signal, "T ...")
        state = self.start(signal[0])
        filtered = []
        for values in signal.unbind(0):
            output, state = self.step(values, state)
            filtered.append(output)
        return torch.stack(filtered)

    def loss(self, spikes: Tensor, targets: Tensor) -> Tensor:
        """Return half the time integral of the squared difference of filtered spikes [T, ...], summed over neurons.

        Raises:
            DataError: If the shapes differ.
        """
        if spikes.shape != targets.shape:
            raise DataError(f"VanRossum: shapes differ (found spikes {[*spikes.shape]}, targets {[*targets.shape]})")
        return 0.5 * self.dt * self.filter(targets - spikes).square().sum()


class SuperSpikeResult(NamedTuple):
    """Spikes, loss and weight gradient of a `SuperSpikeLayer`.

    Args:
        spikes: Output spikes [T, B, M].
        loss: Van Rossum loss, summed over recordings and neurons.
        gradient: Gradient of the loss by the three-factor rule, [M, N].
    """

    spikes: Tensor
    loss: Tensor
    gradient: Tensor


class SuperSpikeLayer(nn.Module):
    """LIF neurons with synaptic currents, trained on spike trains by the three-factor rule.

    In each step, I <- exp(-dt / tau_syn) I + w S, U <- exp(-dt / tau_mem) U + (1 - exp(-dt / tau_mem)) I, and a spike
    if U > 1, and the reset subtracts 1. The rule keeps two traces per synapse, for any number of steps.

    Args:
        inputs: Number of inputs N.
        neurons: Number of neurons M.
        dt: Length of a step in seconds.
        tau_mem_s: Membrane time constant in seconds.
        tau_syn_s: Time constant of the synaptic currents in seconds.
        slope: Slope of the surrogate derivative 1 / (1 + slope abs(U - 1))^2.
        generator: Generator of the initial weights.
    """

    def __init__(
        self,
        inputs: int,
        neurons: int,
        *,
        dt: float,
        tau_mem_s: float = 0.010,
        tau_syn_s: float = 0.005,
        slope: float = 5.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_positive(
            "SuperSpikeLayer", inputs=inputs, neurons=neurons, dt=dt, tau_mem_s=tau_mem_s, tau_syn_s=tau_syn_s
        )
        self.keep_mem = float(torch.tensor(-dt / tau_mem_s).exp())
        self.keep_syn = float(torch.tensor(-dt / tau_syn_s).exp())
        self.slope = slope
        self.error = VanRossum(dt)

        drawn = torch.randn(neurons, inputs, generator=generator)
        self.weight = nn.Parameter(2 * drawn.abs() / inputs**0.5)

    def extra_repr(self) -> str:
        """Return the sizes and constants of the layer."""
        M, N = self.weight.shape
        tau_mem_s = -self.error.dt / math.log(self.keep_mem)
        tau_syn_s = -self.error.dt / math.log(self.keep_syn)
        return f"{N}, {M}, dt={self.error.dt:g}, tau_mem_s={tau_mem_s:.4g}, tau_syn_s={tau_syn_s:.4g}"

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the spikes [T, B, M] for input spikes [T, B, N], with surrogate gradients and a detached reset.

        Raises:
            DataError: If the spikes have another shape.
        """
        M, N = self.weight.shape
        check_tensor(self, "inputs", inputs, "T B N", {"N": N})
        _, B, _ = inputs.shape
        inputs = inputs.to(self.weight.dtype)
        current = inputs.new_zeros(B, M)
        potential = current

        steps = []
        for arrived in inputs.unbind(0):
            current, potential = self._charge(arrived, current, potential)
            spikes: Tensor = Spike.apply(potential - 1, "superspike", self.slope)  # type: ignore[no-untyped-call]
            potential = potential - spikes.detach()

            steps.append(spikes)

        return torch.stack(steps)

    def _charge(self, arrived: Tensor, current: Tensor, potential: Tensor) -> tuple[Tensor, Tensor]:
        """Return the currents and potentials [B, M] of the next step, before its reset."""
        current = self.keep_syn * current + arrived @ self.weight.t()
        return current, self.keep_mem * potential + (1 - self.keep_mem) * current

    @torch.no_grad()
    def update(self, inputs: Tensor, targets: Tensor) -> SuperSpikeResult:
        """Return spikes, loss and weight gradient by the three-factor rule, computed forward in time.

        Args:
            inputs: Input spikes [T, B, N].
            targets: Target spikes [T, B, M].

        Raises:
            DataError: If the spikes have another shape.
        """
        M, N = self.weight.shape
        check_tensor(self, "inputs", inputs, "T B N", {"N": N})
        T, B, _ = inputs.shape
        check_tensor(self, "targets", targets, "T B M", {"T": T, "B": B, "M": M})

        inputs = inputs.to(self.weight.dtype)
        current = inputs.new_zeros(B, M)
        potential = current
        trace = inputs.new_zeros(B, N)  # filtered input spikes
        effect = trace  # effect k * S of the inputs on the potential
        error_state = self.error.start(current)
        eligibility_state = self.error.start(current[:, :, None] * effect[:, None])

        gradient = torch.zeros_like(self.weight)
        loss = inputs.new_zeros(())
        steps = []
        for arrived, target in zip(inputs.unbind(0), targets.unbind(0), strict=True):
            # I and U of the neurons, then the effect k * S of each input, by the same filters.
            current, potential = self._charge(arrived, current, potential)
            trace = self.keep_syn * trace + arrived
            effect = self.keep_mem * effect + (1 - self.keep_mem) * trace

            sensitive = surrogate_derivative(potential - 1, "superspike", self.slope)
            spikes = (potential > 1).to(potential)
            potential = potential - spikes

            error, error_state = self.error.step(target - spikes, error_state)
            influence = sensitive[:, :, None] * effect[:, None]
            eligibility, eligibility_state = self.error.step(influence, eligibility_state)

            gradient -= self.error.dt * torch.einsum("bm,bmn->mn", error, eligibility)
            loss += 0.5 * self.error.dt * error.square().sum()
            steps.append(spikes)

        return SuperSpikeResult(torch.stack(steps), loss, gradient)


class RMaxProp(torch.optim.Optimizer):
    """RMaxProp optimiser: steps lr * gradient / sqrt(g2), with g2 <- max(gradient^2, decay g2) per weight.

    Args:
        params: Weights to train.
        lr: Maximum step size.
        decay: Decay of g2 per step, in [0, 1].

    Example:
        >>> weight = torch.zeros(2, requires_grad=True)
        >>> weight.grad = torch.tensor([3.0, -0.1])
        >>> RMaxProp([weight], lr=0.5).step()
        >>> weight.tolist()
        [-0.5, 0.5]
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3, decay: float = 0.99) -> None:
        check_positive("RMaxProp", lr=lr)
        try:
            super().__init__(params, {"lr": lr, "decay": decay})
        except (TypeError, ValueError) as error:
            raise ConfigError(f"RMaxProp: wrong params ({error})") from error

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update the weights from their gradients; call `closure` first if given."""
        if closure is not None:
            with torch.enable_grad():
                closure()

        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue

                state = self.state[weight]
                largest = torch.maximum(weight.grad**2, group["decay"] * state.get("g2", torch.zeros_like(weight)))
                state["g2"] = largest
                weight -= group["lr"] * weight.grad / largest.sqrt().clamp(min=torch.finfo(weight.dtype).tiny)
