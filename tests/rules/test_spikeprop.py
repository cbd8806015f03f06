"""SpikeProp: closed form of one synapse, finite differences, and XOR."""

from __future__ import annotations

import math

import pytest
import torch
from facts import raises
from scipy.special import lambertw
from torch import Tensor

from dvspipe import DvspipeError
from dvspipe.rules import SpikePropLayer, spikeprop_times

F64 = torch.float64
DELAYS = torch.arange(1, 17, dtype=F64)
NO_DELAY = torch.zeros(1, dtype=F64)


def first_spikes(times: Tensor, weights: Tensor) -> Tensor:
    return spikeprop_times(times, weights, DELAYS, tau=7.0, threshold=50.0)


def test_one_synapse_equals_the_lambert_closed_form() -> None:
    weight = torch.tensor([[[3.0]]], dtype=F64, requires_grad=True)
    spiked = spikeprop_times(NO_DELAY[None], weight, NO_DELAY, tau=7.0, threshold=2.0)
    spiked.sum().backward()
    t = -7 * lambertw(-2 / (math.e * 3)).real
    effect, slope = t / 7 * math.exp(1 - t / 7), (1 - t / 7) / 7 * math.exp(1 - t / 7)
    assert float(spiked.detach()) == pytest.approx(t, abs=1e-12)
    assert float(weight.grad) == pytest.approx(-effect / (3 * slope), abs=1e-10)  # type: ignore[arg-type]


def test_potential_reaches_the_threshold_at_the_spike() -> None:
    torch.manual_seed(0)
    times, weights = 6 * torch.rand(1, 3, dtype=F64), 9 * torch.rand(4, 3, 16, dtype=F64)
    spiked = first_spikes(times, weights)
    for shift, expected in ((0, 50), (-1e-3, 49.95)):
        since = (spiked.T + shift)[:, :, None] - (times[0, :, None] + DELAYS)
        potential = (weights * (since / 7 * torch.exp(1 - since / 7)).clamp(min=0)).sum((1, 2))
        torch.testing.assert_close(potential, torch.full_like(potential, expected), atol=abs(shift) * 50 + 1e-9, rtol=0)
        assert (potential < 50 + 1e-9).all()


def test_gradients_equal_finite_differences() -> None:
    torch.manual_seed(1)
    times, weights = 6 * torch.rand(2, 3, dtype=F64), 9 * torch.rand(2, 3, 16, dtype=F64) - 1
    assert torch.autograd.gradcheck(first_spikes, (times.requires_grad_(), weights.requires_grad_()))


def test_minimum_slope_is_in_potential_per_time() -> None:
    weight = torch.full((1, 1, 1), 50.001, dtype=F64, requires_grad=True)
    spikeprop_times(NO_DELAY[None], weight, NO_DELAY, tau=7.0, threshold=50.0, least_slope=0.1).sum().backward()
    assert float(weight.grad) == pytest.approx(-1 / 0.1, rel=1e-2)  # type: ignore[arg-type]


XOR_INPUTS = ((0.0, 0.0, 0.0), (0.0, 6.0, 0.0), (6.0, 0.0, 0.0), (6.0, 6.0, 0.0))  # ms; the third input is a bias
XOR_TARGETS = (16.0, 10.0, 10.0, 16.0)  # ms
XOR_RATE = 2.0  # learning rate for weights of 1 to 10 and a threshold of 50
XOR_ERROR = 1.0  # ms^2, summed over the four patterns


def test_xor_is_learned() -> None:
    """Bohte et al. 2002: a summed squared error below 1 ms^2 in about 250 cycles, with one inhibitory neuron."""
    torch.manual_seed(0)
    hidden, output = (
        SpikePropLayer(inputs, neurons, delays=range(1, 17), tau=7.0, least_slope=1.0).double()
        for inputs, neurons in ((3, 5), (5, 1))
    )
    weights = (hidden.weight, output.weight)
    output.weight.data[:, -1] *= -1

    times, targets = torch.tensor(XOR_INPUTS, dtype=F64), torch.tensor(XOR_TARGETS, dtype=F64)
    for _ in range(250):
        squares = (output(hidden(times))[:, 0] - targets).square().sum()
        if squares < XOR_ERROR:
            return
        for weight, gradient in zip(weights, torch.autograd.grad(squares / 2, weights), strict=True):
            weight.data -= XOR_RATE * gradient
        output.weight.data[:, -1].clamp_(max=0)
    pytest.fail("not learned in 250 cycles")


def test_layer_without_delays_is_rejected() -> None:
    with raises(DvspipeError, "delays = []"):
        SpikePropLayer(3, 1, delays=[], tau=7.0)
