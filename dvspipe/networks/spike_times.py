"""Closed forms of a neuron's first-spike time, and their exact gradients, compiled by numba.

Time is in units of the synaptic time constant. With the leak a = tau_syn / tau_mem, an input spike of weight w
increases the current I by w, and until the neuron spikes, at V = 1,

    dI/dt = -I,   dV/dt = I - a V,

so a spike adds w e(s) to V after time s, with e(s) = (exp(-a s) - exp(-s)) / (1 - a). From V and I at an input, V
reaches 1 after

    a = 0     log(I / (I + V - 1))                               e(s) = 1 - exp(-s)                 Mostafa 2017
    a = 1/2   -2 log((b + sqrt(b^2 - 8 I)) / (4 I)), b = V + 2I  e(s) = 2 (exp(-s/2) - exp(-s))     Göltz et al. 2021
    a = 1     -V/I - W(-exp(-V/I) / I)                           e(s) = s exp(-s)                   Göltz et al. 2021

with Lambert's W, if V reaches 1 before the next input. Otherwise V and I are updated to the next input, and so on in
order. The inputs before the spike are its causal set. The papers sum over it; here V and I hold these sums, so no
exponential of an absolute time is needed and the result is independent of the time origin. At the spike time T, with
slope dV/dt, the implicit function theorem gives

    dT/dw = -e(T - t) / slope,   dT/dt = w e'(T - t) / slope.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..base.errors import ConfigError
from ..base.kernels import njit
from .inputs import check_tensor

Floats = NDArray[np.float64]

LEAKS = (0.0, 0.5, 1.0)
"""Ratios tau_syn / tau_mem with a closed form."""
HALLEY_STEPS = 12  # at most; usually four
ROUNDING = 1e-16  # relative; a smaller step changes nothing in float64
MAX_RESPONSE = {0.0: 1.0, 0.5: 0.5, 1.0: 1 / math.e}
"""Maximum of e(s) for each leak."""
MAX_EXPONENT = 700.0  # exp of it fits float64
GRAZING = 1e-9  # lower bound of the slope at a spike; > 0 marks a spike
NEAR_BRANCH = -0.3  # below it, the series about the branch point -1/e is the better initial guess


def first_spike_times(
    times: Tensor, weights: Tensor, *, leak: float = 1.0, horizon: float | None = None, least_slope: float = 0.0
) -> Tensor:
    """Return first-spike times of neurons, with exact gradients of times and weights.

    Args:
        times: Input spike times, [B, N], in units of the synaptic time constant; infinite if missing.
        weights: Weights [M, N], in thresholds.
        leak: tau_syn / tau_mem: 0, 0.5 or 1.
        horizon: Time of silent neurons: `horizon` + 1 - peak potential (at least 0), with the gradient of the peak.
            None: silent neurons have infinite times.
        least_slope: Lower bound of the potential's slope in gradients, which grow as 1 / slope; 0: exact gradients.

    Returns:
        Spike times [B, M]; infinite if a neuron is silent and `horizon` is None, NaN if a time or weight is NaN.

    Raises:
        ConfigError: If the leak has no closed form.
        DataError: If shapes do not fit together.

    Example:
        >>> times = torch.tensor([[0.2, 0.4, 0.9]], dtype=torch.float64)
        >>> weights = torch.tensor([[1.2, 1.5, 0.8]], dtype=torch.float64)
        >>> [round(float(first_spike_times(times, weights, leak=leak)), 6) for leak in (0.5, 1.0)]
        [0.883963, 1.002144]
    """
    if leak not in LEAKS:
        raise ConfigError(f"leak = {leak:g}: has no closed form (expected 0, 0.5 or 1)")

    check_tensor(first_spike_times, "times", times, "B N")
    check_tensor(first_spike_times, "weights", weights, "M N", {"N": times.shape[1]})

    spiked: Tensor = _FirstSpike.apply(times, weights, leak, horizon, least_slope)  # type: ignore[no-untyped-call]
    return spiked


def find_undefined(times: Tensor, weights: Tensor) -> Tensor:
    """Return which spike times [B, M] are undefined because an input time is NaN or a weight is not finite."""
    return times.flatten(1).isnan().any(1)[:, None] | ~weights.isfinite().all(1)


class _FirstSpike(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, times: Tensor, weights: Tensor, leak: float, horizon: float | None, least_slope: float
    ) -> Tensor:
        # The kernel needs the inputs in order of time, and the weights of an input side by side, in float64.
        sorted_times, order = times.detach().cpu().double().sort(dim=1)
        rows = weights.detach().cpu().double().t().contiguous()

        moments = rows.new_empty(len(times), len(weights))
        slopes = torch.empty_like(moments)
        peaks = torch.empty_like(moments)
        kernel_inputs = (sorted_times.numpy(), order.numpy(), rows.numpy(), leak)
        _forward(*kernel_inputs, horizon is not None, moments.numpy(), slopes.numpy(), peaks.numpy())

        # The slope at a spike is at least `GRAZING`, so a slope of 0 marks a silent neuron. Gradients of spikes are
        # divided by the slope, gradients of peaks are not: dT/dw = -e / slope, but dV/dw = e.
        fired = slopes > 0
        silent = torch.full_like(moments, math.inf) if horizon is None else horizon + 1 - peaks
        divisors = torch.where(fired, slopes.clamp(min=least_slope), 1)
        ctx.save_for_backward(sorted_times, order, rows, moments, divisors)
        ctx.leak = leak

        undefined = find_undefined(sorted_times, rows.t())
        return torch.where(fired, moments, silent).masked_fill_(undefined, math.nan).to(times)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        sorted_times, order, rows, moments, divisors = ctx.saved_tensors
        (to_spiked,) = gradients
        shares = to_spiked.cpu().double() / divisors
        to_rows = torch.zeros_like(rows)
        to_times = torch.zeros_like(sorted_times)
        wants_times = ctx.needs_input_grad[0]

        kernel_inputs = (sorted_times.numpy(), order.numpy(), rows.numpy(), ctx.leak, moments.numpy(), shares.numpy())
        _backward(*kernel_inputs, to_rows.numpy(), to_times.numpy(), wants_times)

        to_weights = to_rows.t().to(to_spiked)
        return to_times.to(to_spiked) if wants_times else None, to_weights, None, None, None


@njit(cache=True, nogil=True)
def lambert_w(x: float) -> float:
    """Return the principal branch of Lambert's W for -1/e <= x <= 0: w with w exp(w) = x and w >= -1."""
    # Start from the series in p = sqrt(2 (1 + e x)) about the branch point, or from the series about 0
    # (Corless et al. 1996, "On the Lambert W function", eq. 4.22 and 3.1).
    p = math.sqrt(max(0.0, 2 * (1 + math.e * x)))
    w = -1 + p - p * p / 3 + 11 / 72 * p * p * p if x < NEAR_BRANCH else x * (1 - x + 1.5 * x * x)

    # Halley's method (eq. 5.9) triples the number of correct digits in a step. It looks for the zero of w exp(w) - x.
    for _ in range(HALLEY_STEPS):
        exponential = math.exp(w)
        error = w * exponential - x
        if error == 0 or w <= -1:
            break
        step = error / (exponential * (w + 1) - (w + 2) * error / (2 * w + 2))
        w -= step
        if abs(step) <= ROUNDING * abs(w):
            break

    return max(w, -1.0)


@njit(cache=True, nogil=True)
def _crossing(v: float, i: float, leak: float) -> float:
    """Return the time until V reaches 1 from below without another input; infinite if it does not."""
    if i <= leak:  # a crossing needs slope i - leak > 0, and i only decreases
        return math.inf

    # The times of the table at the top. If the argument is out of range, V never reaches 1.
    if leak == 0:
        return max(0.0, math.log(i / (i + v - 1))) if i + v > 1 else math.inf

    if leak == 0.5:
        b = v + 2 * i
        square = b * b - 8 * i
        return max(0.0, -2 * math.log((b + math.sqrt(square)) / (4 * i))) if square >= 0 and b > 0 else math.inf

    x = -math.exp(min(MAX_EXPONENT, -v / i)) / i
    return max(0.0, -v / i - lambert_w(x)) if x >= -1 / math.e else math.inf


@njit(cache=True, nogil=True)
def _response(s: float, leak: float) -> float:
    """Return e(s), the potential at time s after an input spike of weight 1; s may be infinite."""
    if leak == 0:
        return -math.expm1(-s)
    if leak == 0.5:
        return 2 * (math.exp(-s / 2) - math.exp(-s))
    return s * math.exp(-s) if s < math.inf else 0.0


@njit(cache=True, nogil=True)
def _peak(v: float, i: float, leak: float) -> float:
    """Return the time to the peak potential if it lies ahead; else 0."""
    # A peak lies ahead only if the current and the slope i - leak * v are positive.
    if i <= max(0.0, leak * v):
        return 0.0

    if leak == 0:
        return math.inf
    return -2 * math.log((v + 2 * i) / (4 * i)) if leak == 0.5 else 1 - v / i


@njit(cache=True, nogil=True)
def _forward(
    times: Floats,
    order: NDArray[np.int64],
    rows: Floats,
    leak: float,
    wants_peaks: bool,
    moments: Floats,
    slopes: Floats,
    peaks: Floats,
) -> None:
    """Find the first spikes of M neurons for B recordings.

    Args:
        times: Sorted input times [B, N].
        order: Input index of each time, [B, N].
        rows: Weights per input, [N, M].
        leak: 0, 0.5 or 1.
        wants_peaks: Whether peak potentials are needed.
        moments: Output [B, M]: time of the first spike, or of the peak potential of silent neurons.
        slopes: Output [B, M]: slope of the potential at the spike; 0 if silent.
        peaks: Output [B, M]: peak potential of silent neurons.
    """
    # Between inputs, V(s) = V exp(-a s) + I e(s) and I(s) = I exp(-s), from V and I of each neuron at the
    # current input. b is a recording, n an input in order of time, row its index, m a neuron, and s the time since the
    # input.
    B, N = times.shape
    _, M = rows.shape
    v = np.zeros(M)
    i = np.zeros(M)

    for b in range(B):
        left = M  # neurons that have not spiked
        v[:] = 0
        i[:] = 0
        slopes[b] = 0
        peaks[b] = 0
        moments[b] = -np.inf

        for n in range(N):
            now = times[b, n]
            if not now < np.inf:
                break

            # The input n increases the currents of all neurons; simultaneous inputs are added together.
            row = order[b, n]
            for m in range(M):
                i[m] += rows[row, m]
            after = times[b, n + 1] if n + 1 < N else np.inf
            gap = after - now
            if gap == 0:
                continue

            # Find the neurons that spike, or reach their peak, before the next input.
            keep = math.exp(-leak * gap)
            add = _response(gap, leak)
            fall = math.exp(-gap)
            for m in range(M):
                if slopes[b, m] > 0:
                    continue
                at_end = v[m] * keep + i[m] * add
                rises = gap < np.inf and i[m] * fall >= leak * at_end  # to the end: it has at most one peak
                if not wants_peaks and (i[m] <= leak or (rises and at_end < 1)):
                    continue

                s = _crossing(v[m], i[m], leak)
                if s <= gap and s < np.inf:
                    moments[b, m] = now + s
                    slopes[b, m] = max(GRAZING, i[m] * math.exp(-s) - leak)
                    left -= 1
                elif wants_peaks:
                    # A silent neuron reports its peak potential, inside the gap or at its end.
                    s = min(gap, _peak(v[m], i[m], leak))
                    decay = math.exp(-leak * s) if leak > 0 else 1.0
                    largest = v[m] * decay + i[m] * _response(s, leak)
                    if largest > peaks[b, m]:
                        moments[b, m] = now + s
                        peaks[b, m] = largest

            if left == 0 or gap == np.inf:
                break

            # Update V and I to the next input.
            for m in range(M):
                v[m] = v[m] * keep + i[m] * add
                i[m] *= fall


@njit(cache=True, nogil=True)
def _backward(
    times: Floats,
    order: NDArray[np.int64],
    rows: Floats,
    leak: float,
    moments: Floats,
    shares: Floats,
    to_rows: Floats,
    to_times: Floats,
    wants_times: bool,
) -> None:
    """Accumulate the gradients of the weights and, if `wants_times`, of the times.

    Args:
        times: Sorted input times [B, N].
        order: Input index of each time, [B, N].
        rows: Weights per input, [N, M].
        leak: 0, 0.5 or 1.
        moments: Spike or peak time of each neuron, [B, M].
        shares: Negative gradient of the potential at that time, [B, M].
        to_rows: Gradient of the weights, [N, M]; increased in place.
        to_times: Output [B, N]: gradient of the times, in the original order of inputs.
        wants_times: Whether to compute `to_times`.
    """
    # An input at time t with weight w has dV/dw = e(T - t) and dV/dt = -w e'(T - t) at the spike or peak T.
    # b is a recording, n an input in order of time, row its index, and m a neuron.
    B, N = times.shape
    _, M = rows.shape
    by_weight = np.zeros(M)
    by_time = np.zeros(M)

    for b in range(B):
        # No neuron depends on inputs after its spike, so none after the last spike counts.
        last = -np.inf
        before = -np.inf
        for m in range(M):
            last = max(last, moments[b, m])

        for n in range(N):
            now = times[b, n]
            if not now < last:
                break

            # Inputs at the same time have the same derivatives.
            if now != before:
                by_weight[:] = 0
                by_time[:] = 0
                for m in range(M):
                    s = moments[b, m] - now
                    if s > 0:
                        response = _response(s, leak)
                        by_weight[m] = -shares[b, m] * response
                        if wants_times:  # e'(s) = exp(-s) - a e(s)
                            decay = math.exp(-s) if s < np.inf else 0.0
                            by_time[m] = shares[b, m] * (decay - leak * response)
                before = now

            row = order[b, n]
            for m in range(M):
                to_rows[row, m] += by_weight[m]

            if wants_times:
                total = 0.0
                for m in range(M):
                    total += rows[row, m] * by_time[m]
                to_times[b, row] = total
