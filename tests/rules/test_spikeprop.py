"""SpikeProp: closed form of one synapse, finite differences, and XOR."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from facts import raises
from scipy.special import lambertw

from dvspipe import DvspipeError
from dvspipe.rules import SpikePropLayer, spikeprop_times

F64 = torch.float64
DELAYS = torch.arange(1, 17, dtype=F64)


def potential(at: float, times: torch.Tensor, weights: torch.Tensor) -> float:
    since = at - times[:, None] - DELAYS
    return float((weights * torch.where(since > 0, since / 7 * torch.exp(1 - since / 7), 0)).sum())


def test_one_synapse_equals_the_lambert_closed_form() -> None:
    weight = torch.tensor([[[3.0]]], dtype=F64, requires_grad=True)
    spiked = spikeprop_times(torch.zeros(1, 1, dtype=F64), weight, torch.zeros(1, dtype=F64), tau=7.0, threshold=2.0)
    t = -7 * lambertw(-2 / (math.e * 3)).real
    assert float(spiked.detach()) == pytest.approx(t, abs=1e-12)
    (gradient,) = torch.autograd.grad(spiked.sum(), weight)
    effect, slope = t / 7 * math.exp(1 - t / 7), (1 - t / 7) / 7 * math.exp(1 - t / 7)
    assert float(gradient) == pytest.approx(-effect / (3 * slope), abs=1e-10)


def test_potential_reaches_the_threshold_at_the_spike() -> None:
    torch.manual_seed(0)
    times, weights = torch.tensor([[0.0, 3.0, 6.0]], dtype=F64), 9 * torch.rand(4, 3, 16, dtype=F64)
    spiked = spikeprop_times(times, weights, DELAYS, tau=7.0, threshold=50.0)[0]
    for time, own in zip(spiked.tolist(), weights, strict=True):
        assert potential(time, times[0], own) == pytest.approx(50, abs=1e-9)
        assert potential(time - 1e-3, times[0], own) < 50


def test_gradients_equal_finite_differences() -> None:
    torch.manual_seed(1)
    times, weights = 6 * torch.rand(2, 3, dtype=F64), 9 * torch.rand(2, 3, 16, dtype=F64) - 1
    times.requires_grad_()
    weights.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda times, weights: spikeprop_times(times, weights, DELAYS, tau=7.0, threshold=50.0), (times, weights)
    )
    spiked = spikeprop_times(times, weights, DELAYS, tau=7.0, threshold=50.0)
    (gradient,) = torch.autograd.grad(spiked.sum(), times)
    assert gradient.sum(1).tolist() == pytest.approx([2, 2], abs=1e-9)


def test_minimum_slope_is_in_potential_per_time() -> None:
    times, delays = torch.zeros(1, 1, dtype=F64), torch.zeros(1, dtype=F64)
    weight = torch.full((1, 1, 1), 50.001, dtype=F64, requires_grad=True)
    spiked = spikeprop_times(times, weight, delays, tau=7.0, threshold=50.0, least_slope=0.1)
    (gradient,) = torch.autograd.grad(spiked.sum(), weight)
    assert float(gradient) == pytest.approx(-1 / 0.1, rel=1e-2)


XOR_INPUTS = ((0.0, 0.0, 0.0), (0.0, 6.0, 0.0), (6.0, 0.0, 0.0), (6.0, 6.0, 0.0))  # ms; the third input is a bias
XOR_TARGETS = (16.0, 10.0, 10.0, 16.0)  # ms
XOR_HIDDEN = 5
XOR_SYNAPSES: dict[str, Any] = {  # times in ms, potential per ms
    "delays": range(1, 17),
    "tau": 7.0,
    "threshold": 50.0,
    "least_slope": 1.0,
}
XOR_RATE = 2.0  # learning rate for weights of 1 to 10 and this threshold
XOR_ERROR = 1.0  # ms^2, summed over the four patterns


def train_xor(seed: int, cycles: int) -> float:
    """Train until the summed squared error is below XOR_ERROR, for at most `cycles`; return the last error.

    The last hidden neuron is inhibitory: its weights are at most 0.
    """
    torch.manual_seed(seed)
    hidden = SpikePropLayer(3, XOR_HIDDEN, **XOR_SYNAPSES).double()
    output = SpikePropLayer(XOR_HIDDEN, 1, **XOR_SYNAPSES).double()
    output.weight.data[:, -1] *= -1
    weights = (hidden.weight, output.weight)

    times = torch.tensor(XOR_INPUTS, dtype=F64)
    targets = torch.tensor(XOR_TARGETS, dtype=F64)
    error = math.inf
    for _ in range(cycles):
        squares = (output(hidden(times))[:, 0] - targets).square().sum()
        error = float(squares.detach())
        if error < XOR_ERROR:
            break
        for weight, gradient in zip(weights, torch.autograd.grad(squares / 2, weights), strict=True):
            weight.data -= XOR_RATE * gradient
        output.weight.data[:, -1].clamp_(max=0)
    return error


@pytest.mark.parametrize("seed", range(5))
def test_xor_is_learned(seed: int) -> None:
    """Bohte et al. 2002: a summed squared error below 1 ms^2 in about 250 cycles."""
    assert train_xor(seed, 250) < XOR_ERROR


def test_layer_without_delays_is_rejected() -> None:
    with raises(DvspipeError, "delays = []"):
        SpikePropLayer(3, 1, delays=[], tau=7.0)
