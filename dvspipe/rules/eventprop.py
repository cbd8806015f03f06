"""EventProp: exact gradients of all spikes of a neuron, by an adjoint system that runs from spike to spike.

Wunderlich and Pehle, "Event-based backpropagation can compute exact gradients for spiking neural networks", Scientific
Reports 11 (2021). Forward, an input spike of weight w increases the current I by w, and a spike at V = threshold sets V
to 0:

    tau_mem dV/dt = -V + I,   tau_syn dI/dt = -I.

Backward in time, with l the loss, ' the derivative against time, and + and - just after and just before a spike,

    tau_mem x' = -x,   tau_syn y' = -y + x,   x- = x+ + (threshold x+ + dl/dt_k) / (I(t_k) - threshold) at a spike t_k,
    dl/dw = -tau_syn sum over the input spikes of y,   dl/dt = w (x - y) for an input spike at t.

Memory and time grow with the number of spikes, not of steps. The gradients ignore that a spike could appear or vanish;
a neuron that never spikes has none.

Example:
    >>> times = torch.tensor([[[0.0, 5.0], [1.0, 6.0]]], dtype=torch.float64)  # two inputs, in ms
    >>> weights = torch.tensor([[4.0, 5.0]], dtype=torch.float64, requires_grad=True)
    >>> spike_times = eventprop(times, weights, tau_mem=20.0, tau_syn=5.0)
    >>> [round(time, 3) for time in spike_times[0, 0].tolist()]
    [3.931, 6.954, 10.089]
    >>> spike_times.sum().backward()  # sum of all spike times
    >>> bool((weights.grad < 0).all())  # larger weights, earlier spikes
    True
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..base.kernels import njit
from ..networks.inputs import check_positive, check_tensor

BISECTIONS = 64  # halvings of an interval that contains a spike; more change nothing in float64
MIN_CLIMB = 1e-9  # least I - threshold at a spike, in thresholds; rounding could make it 0
WEIGHT_SUM_MEAN = 2.0  # initial weights times N, in units of the sum that reaches the threshold
WEIGHT_SUM_DEVIATION = 1.0  # initial weights times sqrt(N), in the same units
Floats = NDArray[np.float64]


def eventprop(
    times: Tensor, weights: Tensor, *, tau_mem: float, tau_syn: float, threshold: float = 1.0, least_slope: float = 0.0
) -> Tensor:
    """Return all spike times of neurons, differentiable with respect to input times and weights.

    Args:
        times: Input spike times, [B, N, S], or [B, N] with one spike per input; infinite if missing.
        weights: Weights [M, N].
        tau_mem: Membrane time constant, in the unit of the times.
        tau_syn: Time constant of the synaptic current.
        threshold: Potential at which a neuron spikes.
        least_slope: Lower bound of the potential's slope dV/dt at a spike in gradients, which grow as 1 / slope; 0:
            exact gradients.

    Returns:
        Spike times [B, M, S'] in order, infinite if missing; S' is the largest number of spikes, at least 1. All times
        of a neuron are NaN if an input time or one of its weights is NaN.

    Raises:
        ConfigError: If a time constant or the threshold is not above 0.
        DataError: If shapes do not fit together.

    Example:
        >>> times = torch.zeros(1, 1, dtype=torch.float64)
        >>> weights = torch.full((1, 1), 16 / 3, dtype=torch.float64, requires_grad=True)
        >>> spike_times = eventprop(times, weights, tau_mem=2.0, tau_syn=1.0)
        >>> round(float(spike_times.detach()), 4)  # 2 ln(4 / 3)
        0.5754
        >>> spike_times.sum().backward()
        >>> round(float(weights.grad), 6)  # -3 / 16
        -0.1875
    """
    check_positive("eventprop", tau_mem=tau_mem, tau_syn=tau_syn, threshold=threshold)
    times = times[:, :, None] if times.ndim == 2 else times

    check_tensor(eventprop, "times", times, "B N S")
    check_tensor(eventprop, "weights", weights, "M N", {"N": times.shape[1]})

    least_climb = max(MIN_CLIMB * threshold, tau_mem * least_slope)
    constants = _Constants(tau_mem, tau_syn, threshold, least_climb)

    spike_times: Tensor = _EventProp.apply(times, weights, constants)  # type: ignore[no-untyped-call]
    return spike_times


class EventPropLayer(nn.Module):
    """Layer of neurons that spike any number of times; see `eventprop`.

    Initial weights are random. Their sum is twice the sum at which a neuron spikes if all inputs spike together.

    Args:
        inputs: Number of inputs N.
        neurons: Number of neurons M.
        tau_mem: Membrane time constant.
        tau_syn: Time constant of the synaptic current.
        threshold: Potential at which a neuron spikes.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> layers = nn.Sequential(EventPropLayer(3, 5), EventPropLayer(5, 2))
        >>> spikes = layers(torch.tensor([[[0.0, 2.0], [1.0, math.inf], [0.5, 0.7]]]))  # one recording
        >>> spikes.shape[:2], bool(spikes.isfinite().any(2).all())
        (torch.Size([1, 2]), True)
    """

    def __init__(
        self, inputs: int, neurons: int, *, tau_mem: float = 20.0, tau_syn: float = 5.0, threshold: float = 1.0
    ) -> None:
        super().__init__()
        check_positive(
            "EventPropLayer", inputs=inputs, neurons=neurons, tau_mem=tau_mem, tau_syn=tau_syn, threshold=threshold
        )
        self.constants = {"tau_mem": tau_mem, "tau_syn": tau_syn, "threshold": threshold}

        # Without the mean of the draws, the sum of a neuron's weights is exactly `WEIGHT_SUM_MEAN`.
        drawn = torch.randn(neurons, inputs)
        spread = WEIGHT_SUM_DEVIATION / math.sqrt(inputs) * (drawn - drawn.mean(1, keepdim=True))
        self.weight = nn.Parameter(threshold / largest_response(tau_mem, tau_syn) * (WEIGHT_SUM_MEAN / inputs + spread))

    def extra_repr(self) -> str:
        """Return the sizes and constants of the layer."""
        M, N = self.weight.shape
        return f"{N}, {M}, " + ", ".join(f"{name}={value:g}" for name, value in self.constants.items())

    def forward(self, times: Tensor) -> Tensor:
        """Return the spike times [B, M, S'] for input spike times [B, N, S] or [B, N]."""
        return eventprop(times, self.weight, **self.constants)


def largest_response(tau_mem: float, tau_syn: float) -> float:
    """Return the peak potential after an input spike of weight 1.

    Example:
        >>> round(largest_response(20.0, 5.0), 6)  # 4 ** (-4 / 3), 9.2 ms after the spike
        0.15749
    """
    ratio = tau_syn / tau_mem
    return math.exp(-1) if math.isclose(ratio, 1, rel_tol=1e-6) else ratio ** (1 / (1 - ratio))


class _Constants(NamedTuple):
    """Constants of the kernels.

    Args:
        tau_mem: Membrane time constant.
        tau_syn: Time constant of the synaptic current.
        threshold: Potential at which a neuron spikes.
        least_climb: Lower bound of I - threshold, which is tau_mem dV/dt, at a spike in gradients.
    """

    tau_mem: float
    tau_syn: float
    threshold: float
    least_climb: float


class _EventProp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, times: Tensor, weights: Tensor, constants: _Constants) -> Tensor:
        B, _, S = times.shape
        events, order = times.detach().cpu().double().flatten(1).sort(dim=1)
        w = weights.detach().cpu().double().contiguous()

        # NaN would keep the kernels from ending.
        undefined = events.isnan().any(1)[:, None] | ~w.isfinite().all(1)
        events = events.masked_fill(events.isnan(), math.inf)
        w = torch.where(w.isfinite(), w, 0)

        # The number of spikes is unknown before the run. If there is no room for all, run again with enough.
        inputs = order // S
        capacity = max(1, S)
        while True:
            spike_times = w.new_full((B, len(w), capacity), math.inf)
            currents = torch.zeros_like(spike_times)
            most = _forward(events.numpy(), inputs.numpy(), w.numpy(), constants, spike_times.numpy(), currents.numpy())
            if most <= capacity:
                break
            capacity = most

        count = max(1, most)
        spike_times = spike_times[:, :, :count].contiguous()
        currents = currents[:, :, :count].contiguous()

        ctx.save_for_backward(events, order, w, spike_times, currents)
        ctx.constants = constants
        ctx.shape = times.shape

        return spike_times.masked_fill(undefined[:, :, None], math.nan).to(times)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        events, order, w, spike_times, currents = ctx.saved_tensors
        (to_spike_times,) = gradients
        to_times = torch.zeros_like(events)
        to_w = torch.zeros_like(w)
        _, _, S = ctx.shape
        inputs = order // S

        _backward(
            events.numpy(),
            inputs.numpy(),
            w.numpy(),
            ctx.constants,
            (spike_times.numpy(), currents.numpy()),
            to_spike_times.cpu().double().contiguous().numpy(),
            to_times.numpy(),
            to_w.numpy(),
        )

        unsorted = torch.zeros_like(to_times).scatter_(1, order, to_times)
        return unsorted.reshape(ctx.shape).to(to_spike_times), to_w.to(to_spike_times), None


@njit(cache=True, nogil=True)
def _response(s: float, tau_mem: float, tau_syn: float) -> float:
    """Return the potential at a time s after an input spike of weight 1."""
    # The second form has the limit of the first at equal constants.
    if tau_mem == tau_syn:
        return s / tau_mem * math.exp(-s / tau_mem)
    return tau_syn / (tau_mem - tau_syn) * (math.exp(-s / tau_mem) - math.exp(-s / tau_syn))


@njit(cache=True, nogil=True)
def _potential(s: float, v: float, i: float, tau_mem: float, tau_syn: float) -> float:
    """Return the potential after a time s without input."""
    potential: float = v * math.exp(-s / tau_mem) + i * _response(s, tau_mem, tau_syn)
    return potential


@njit(cache=True, nogil=True)
def _peak_time(v: float, i: float, tau_mem: float, tau_syn: float) -> float:
    """Return the time of the peak potential if it rises now; else 0."""
    # The potential peaks where V = I, because tau_mem dV/dt = I - V.
    if i <= max(0.0, v):
        return 0.0

    if tau_mem == tau_syn:
        return tau_mem * (1 - v / i)

    ratio = (i * tau_mem / (tau_mem - tau_syn)) / (v + i * tau_syn / (tau_mem - tau_syn))
    return math.log(ratio) * tau_mem * tau_syn / (tau_mem - tau_syn)


@njit(cache=True, nogil=True)
def _next_spike(v: float, i: float, gap: float, tau_mem: float, tau_syn: float, threshold: float) -> float:
    """Return the time until the potential reaches the threshold within a gap, or infinity."""
    high: float = min(gap, _peak_time(v, i, tau_mem, tau_syn))
    if high <= 0 or _potential(high, v, i, tau_mem, tau_syn) < threshold:
        return math.inf

    # The potential rises from low to high, so they bracket the crossing.
    low = 0.0
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        if _potential(middle, v, i, tau_mem, tau_syn) < threshold:
            low = middle
        else:
            high = middle

    return high


@njit(cache=True, nogil=True)
def _forward(
    events: Floats,
    inputs: NDArray[np.int64],
    w: Floats,
    constants: _Constants,
    spike_times: Floats,
    currents: Floats,
) -> int:
    """Find the spikes of M neurons for B recordings; return the maximum number of spikes per neuron.

    Args:
        events: Times of all input spikes in order, [B, E]; infinite times are padding.
        inputs: Input number of each spike, [B, E].
        w: Weights [M, N].
        constants: Time constants and threshold.
        spike_times: Output: times of the first S' spikes, [B, M, S'].
        currents: Output: synaptic currents at these times, [B, M, S'].
    """
    # b is a recording, m a neuron, n an input spike in order of time; v and i are V and I at time `now`, and s is the
    # time to the next spike.
    tau_mem, tau_syn, threshold, _ = constants
    B, E = events.shape
    _, M, capacity = spike_times.shape
    most = 0
    for b in range(B):
        for m in range(M):
            v = 0.0
            i = 0.0
            count = 0
            for n in range(E):
                now = events[b, n]
                if not now < math.inf:
                    break

                i += w[m, inputs[b, n]]
                next_input = events[b, n + 1] if n + 1 < E else math.inf

                # The neuron may spike several times before the next input, each time from V = 0 on.
                while True:
                    s = _next_spike(v, i, next_input - now, tau_mem, tau_syn, threshold)
                    if s == math.inf:
                        break
                    now += s
                    i *= math.exp(-s / tau_syn)
                    v = 0.0

                    # Spikes without room are only counted.
                    if count < capacity:
                        spike_times[b, m, count] = now
                        currents[b, m, count] = i
                    count += 1

                if next_input < math.inf:
                    v = _potential(next_input - now, v, i, tau_mem, tau_syn)
                    i *= math.exp(-(next_input - now) / tau_syn)
            most = max(most, count)

    return most


@njit(cache=True, nogil=True)
def _backward(
    events: Floats,
    inputs: NDArray[np.int64],
    w: Floats,
    constants: _Constants,
    spikes: tuple[Floats, Floats],
    to_spike_times: Floats,
    to_times: Floats,
    to_w: Floats,
) -> None:
    """Accumulate the gradients of input times and weights.

    Args:
        events: As in `_forward`.
        inputs: As in `_forward`.
        w: As in `_forward`.
        constants: As in `_forward`.
        spikes: Spike times and the currents at these times, each [B, M, S'].
        to_spike_times: Gradient of the spike times, [B, M, S'].
        to_times: Gradient of the sorted input times, [B, E]; increased in place.
        to_w: Gradient of the weights, [M, N]; increased in place.
    """
    # The adjoint system of the module docstring, from the last spike to the first. b is a recording, m a neuron, k its
    # next spike, n the next input spike, and x and y are the adjoint variables at time `last`.
    tau_mem, tau_syn, threshold, least_climb = constants
    spike_times, currents = spikes
    B, E = events.shape
    _, M, capacity = spike_times.shape
    for b in range(B):
        for m in range(M):
            # Start at the last spike and the last input; later places are infinite.
            k = 0
            while k < capacity and spike_times[b, m, k] < math.inf:
                k += 1
            k -= 1
            n = E - 1
            while n >= 0 and not events[b, n] < math.inf:
                n -= 1

            x = 0.0
            y = 0.0
            last = spike_times[b, m, k] if k >= 0 else 0.0
            while n >= 0:
                # An input at the time of a spike came after it: in `_forward`, the neuron spikes first.
                is_spike = k >= 0 and spike_times[b, m, k] > events[b, n]
                now = spike_times[b, m, k] if is_spike else events[b, n]

                # Without spikes, x decays by itself, and y is driven by x.
                gap = max(0.0, last - now)
                driven = tau_mem / tau_syn * _response(gap, tau_mem, tau_syn)
                y = y * math.exp(-gap / tau_syn) + x * driven
                x *= math.exp(-gap / tau_mem)
                last = now

                if is_spike:
                    climb = max(currents[b, m, k] - threshold, least_climb)
                    x += (threshold * x + to_spike_times[b, m, k]) / climb
                    k -= 1
                else:
                    to_w[m, inputs[b, n]] -= tau_syn * y
                    to_times[b, n] += w[m, inputs[b, n]] * (x - y)
                    n -= 1
