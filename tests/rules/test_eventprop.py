"""EventProp: spikes by numerical integration, gradients by finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from facts import raises
from torch import Tensor

from dvspipe import DvspipeError
from dvspipe.rules import EventPropLayer, eventprop

F64 = torch.float64


def draw(tau_mem: float, tau_syn: float) -> tuple[Tensor, Tensor, Tensor]:
    """Draw input times of two recordings, and the weights of two layers."""
    generator = torch.Generator().manual_seed(3)
    times = 20 * torch.rand(2, 4, 3, generator=generator, dtype=F64)
    first = tau_mem / tau_syn / 2 * (5 * torch.rand(5, 4, generator=generator, dtype=F64) - 0.5)
    second = tau_mem / tau_syn * 2 * torch.rand(3, 5, generator=generator, dtype=F64)
    return times, first, second


@pytest.mark.parametrize(("tau_mem", "tau_syn"), [(20.0, 5.0), (5.0, 5.0), (4.0, 9.0)])
def test_gradients_of_two_layers_equal_finite_differences(tau_mem: float, tau_syn: float) -> None:
    def weighted(times: Tensor, first: Tensor, second: Tensor) -> Tensor:
        hidden = eventprop(times, first, tau_mem=tau_mem, tau_syn=tau_syn)
        output = eventprop(hidden, second, tau_mem=tau_mem, tau_syn=tau_syn)[:, :, :8]
        return torch.where(output.isfinite(), output, 0) * torch.arange(1, output.shape[2] + 1)

    tensors = tuple(tensor.requires_grad_() for tensor in draw(tau_mem, tau_syn))
    hidden = eventprop(*tensors[:2], tau_mem=tau_mem, tau_syn=tau_syn)
    assert hidden.isfinite().sum(2).max() > 1
    assert torch.autograd.gradcheck(weighted, tensors, eps=1e-6, atol=1e-6)


def test_spikes_equal_numerical_integration() -> None:
    times, weights, _ = draw(20.0, 5.0)
    found = eventprop(times, weights, tau_mem=20.0, tau_syn=5.0)[0, 0]
    dt, v, i, expected = 1e-3, 0.0, 0.0, []
    arrivals = sorted((round(float(time) / dt), float(weights[0, n])) for n in range(4) for time in times[0, n])
    for step in range(100_000):
        while arrivals and arrivals[0][0] == step:
            i += arrivals.pop(0)[1]
        v += dt / 20 * (i - v)
        i *= math.exp(-dt / 5)
        if v >= 1:
            expected.append(step * dt)
            v = 0.0
    assert found[found.isfinite()].tolist() == pytest.approx(expected, abs=0.02)


def test_silent_neuron_has_no_time_and_no_gradient() -> None:
    weights = torch.full((1, 2), 1e-3, dtype=F64, requires_grad=True)
    spiked = eventprop(torch.zeros(1, 2, dtype=F64), weights, tau_mem=20.0, tau_syn=5.0)
    assert spiked.tolist() == [[[math.inf]]]
    spiked.sum().backward()
    assert weights.grad is not None
    assert not weights.grad.any()


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_non_finite_input_gives_nan_and_terminates(wrong: float) -> None:
    times, weights, _ = draw(20.0, 5.0)
    times[1, 0, 0] = math.nan
    weights[2, 0] = wrong
    spiked = eventprop(times, weights, tau_mem=20.0, tau_syn=5.0)
    assert spiked.isnan().all(2).tolist() == [[neuron == 2 for neuron in range(5)], [True] * 5]


def test_wrong_constants_and_shapes_are_errors() -> None:
    times, weights, _ = draw(20.0, 5.0)
    with raises(DvspipeError, "tau_syn = 0"):
        eventprop(times, weights, tau_mem=20.0, tau_syn=0.0)
    with raises(DvspipeError, "weights", "[4, 5]", "N = 4"):
        eventprop(times, weights.T, tau_mem=20.0, tau_syn=5.0)


@pytest.mark.parametrize("seed", range(4))
def test_stacked_layers_learn_a_spike_time_from_any_initialisation(seed: int) -> None:
    """Silent neurons have no gradient and would never be trained."""
    torch.manual_seed(seed)
    layers = torch.nn.Sequential(EventPropLayer(2, 5), EventPropLayer(5, 1))
    optimiser = torch.optim.Adam(layers.parameters(), lr=0.05)
    times = torch.tensor([[[0.0, 5.0], [1.0, math.inf]]])
    errors = []
    for _ in range(25):
        optimiser.zero_grad()
        error = (layers(times)[0, 0, 0] - 5.0).square()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    assert math.isfinite(errors[0])
    assert errors[-1] < max(0.1, 0.5 * errors[0])
