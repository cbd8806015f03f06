"""SuperSpike: a three-factor rule for spike trains that descends the van Rossum loss.

Zenke and Ganguli, "SuperSpike: supervised learning in multilayer spiking neural networks", Neural Computation 30
(2018). The loss of a neuron with spikes S and target spikes Y is half the integral of e^2, with e = a * (Y - S). The
double exponential kernel a has a squared integral of 1, so one missing spike costs 1/2. The rule updates each weight
while spikes arrive, by the product of three factors,

    dw_ij / dt = r e_i(t) [a * (f(U_i) (k * S_j))](t),

the error e of the neuron, the surrogate derivative f of its spikes at potential U, and the effect k * S_j of the input
spikes on U, which a spike of the neuron resets. The last two, filtered by a, are the eligibility of the synapse. If the
reset is a constant in derivatives, the rule equals the gradient of the loss.

Example:
    >>> generator = torch.Generator().manual_seed(0)
    >>> layer = SuperSpikeLayer(100, 1, dt=1e-3, generator=generator)
    >>> inputs = (torch.rand(300, 1, 100, generator=generator) < 0.01).float()
    >>> targets = torch.zeros(300, 1, 1)
    >>> targets[[100, 200]] = 1
    >>> optimiser, losses = RMaxProp([layer.weight], lr=0.2), []
    >>> for _ in range(40):
    ...     result = layer.update(inputs, targets)
    ...     layer.weight.grad = result.gradient
    ...     optimiser.step()
    ...     losses.append(float(result.loss))
    >>> losses[-1] < losses[0]
    True
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from norse.torch.functional.leaky_integrator import LIState, li_feed_forward_step
from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, lif_feed_forward_step
from torch import Tensor, nn

from ..networks.inputs import check_positive, check_tensor

THRESHOLD_MV = 10.0  # from the resting potential; Norse's surrogate is f(U) = 1 / (1 + abs(U - threshold) / mV)^2
INITIAL_WEIGHT_MV = 20.0  # times sqrt(N)
SCALE = 1200**0.5  # the square of exp(-t / 10 ms) - exp(-t / 5 ms) has the integral 1 / (1200 Hz)


class VanRossum(NamedTuple):
    """Van Rossum loss. The kernel is Norse's leaky integrator, which rises in 5 ms and decays in 10 ms.

    Args:
        dt: Length of a step in seconds.

    Example:
        >>> targets = torch.zeros(3000, 1, 1)
        >>> targets[100] = 1  # a spike is missing
        >>> round(float(VanRossum(dt=1e-4).loss(torch.zeros_like(targets), targets)), 2)
        0.5
    """

    dt: float

    def step(self, signal: Tensor, state: LIState | None) -> tuple[Tensor, LIState]:
        """Filter one step of a signal; return the output and the next state, None at the start."""
        state = state or LIState(torch.zeros_like(signal), torch.zeros_like(signal))
        filtered, state = li_feed_forward_step(signal, state, dt=self.dt)
        return SCALE * filtered, state

    def loss(self, spikes: Tensor, targets: Tensor) -> Tensor:
        """Return half the time integral of the squared difference of filtered spikes [T, ...], summed over neurons."""
        errors = []
        state = None
        for difference in (targets - spikes).unbind(0):
            error, state = self.step(difference, state)
            errors.append(error)

        return 0.5 * self.dt * torch.stack(errors).square().sum()


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
    """Norse's LIF neurons, trained on spike trains by the three-factor rule.

    Potentials are in mV, with Norse's time constants of 10 ms for membranes and 5 ms for synapses, as in the paper.

    Args:
        inputs: Number of inputs N.
        neurons: Number of neurons M.
        dt: Length of a step in seconds.
        generator: Generator of the initial weights.

    Example:
        >>> layer = SuperSpikeLayer(3, 2, dt=1e-3)
        >>> layer(torch.ones(50, 4, 3)).shape
        torch.Size([50, 4, 2])
    """

    def __init__(self, inputs: int, neurons: int, *, dt: float, generator: torch.Generator | None = None) -> None:
        super().__init__()
        check_positive("SuperSpikeLayer", dt=dt)
        self.error = VanRossum(dt)
        self.p = LIFParameters(v_th=torch.tensor(THRESHOLD_MV))

        drawn = torch.randn(neurons, inputs, generator=generator)
        self.weight = nn.Parameter(INITIAL_WEIGHT_MV * drawn.abs() / inputs**0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the spikes [T, B, M] for input spikes [T, B, N]; in gradients, the reset is a constant."""
        check_tensor(self, "inputs", inputs, "T B N", {"N": self.weight.shape[1]})
        currents = inputs.to(self.weight) @ self.weight.T
        state = LIFFeedForwardState(v=torch.zeros_like(currents[0]), i=torch.zeros_like(currents[0]))

        trains = []
        for current in currents.unbind(0):
            spikes, state = self._step(current, state)
            trains.append(spikes)
        return torch.stack(trains)

    def _step(self, current: Tensor, state: LIFFeedForwardState) -> tuple[Tensor, LIFFeedForwardState]:
        """Return the spikes of a step, and the state after it."""
        # The state is reset by a spike without derivative.
        spikes, _ = lif_feed_forward_step(current, state, self.p, self.error.dt)
        _, state = lif_feed_forward_step(current, state, self.p._replace(method="heaviside"), self.error.dt)
        return spikes, state

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

        inputs = inputs.to(self.weight)
        state = LIFFeedForwardState(v=inputs.new_zeros(B, M), i=inputs.new_zeros(B, M))
        effect = LIState(v=inputs.new_zeros(B, M, N), i=inputs.new_zeros(B, 1, N))
        errors = eligibilities = None
        gradient = torch.zeros_like(self.weight.data)

        trains = []
        for arrived, target in zip(inputs.unbind(0), targets.unbind(0), strict=True):
            # The graph of a step begins at its currents: traces hold the past.
            current = (arrived @ self.weight.T).detach().requires_grad_()
            spikes, state = self._step(current, LIFFeedForwardState(v=state.v.detach(), i=state.i.detach()))
            (by_current,) = torch.autograd.grad(spikes.sum(), current)
            spikes = spikes.detach()

            # The effect of an input follows the equations of the membrane, and is reset with it.
            charged, effect = li_feed_forward_step(arrived[:, None], effect, dt=self.error.dt)
            effect = effect._replace(v=charged * (1 - spikes[:, :, None]))
            by_potential = by_current / (self.error.dt * self.p.tau_mem_inv)

            error, errors = self.error.step(target - spikes, errors)
            eligibility, eligibilities = self.error.step(by_potential[:, :, None] * charged, eligibilities)
            gradient -= self.error.dt * torch.einsum("bm,bmn->mn", error, eligibility)
            trains.append(spikes)

        all_spikes = torch.stack(trains)
        return SuperSpikeResult(all_spikes, self.error.loss(all_spikes, targets), gradient)


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
        super().__init__(params, {"lr": lr, "decay": decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update the weights from their gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue

                before = self.state[weight].get("g2", torch.zeros_like(weight))
                largest = torch.maximum(weight.grad**2, group["decay"] * before)
                self.state[weight]["g2"] = largest
                weight -= group["lr"] * weight.grad / largest.sqrt().clamp(min=torch.finfo(weight.dtype).tiny)
