"""SuperSpike: norm of the kernel, comparison with autograd, and training on a spike train."""

from __future__ import annotations

import pytest
import torch

from dvspipe.rules import RMaxProp, SuperSpikeLayer, VanRossum

F64 = torch.float64


def layer(inputs: int = 7, neurons: int = 3, scale: float = 2.0) -> SuperSpikeLayer:
    built = SuperSpikeLayer(inputs, neurons, dt=1e-3, generator=torch.Generator().manual_seed(0)).double()
    built.weight.data *= scale
    return built


@pytest.mark.parametrize("dt", [1e-3, 1e-4])
def test_missing_spike_costs_one_half(dt: float) -> None:
    targets = torch.zeros(round(0.3 / dt), 1, 1, dtype=F64)
    targets[round(0.1 / dt)] = 1
    loss = VanRossum(dt).loss(torch.zeros_like(targets), targets)
    assert float(loss) == pytest.approx(0.5, abs=10 * dt)
    assert float(VanRossum(dt).loss(targets, targets)) == 0


def test_rule_equals_the_gradient_of_the_loss() -> None:
    generator = torch.Generator().manual_seed(1)
    inputs = (torch.rand(80, 2, 7, generator=generator) < 0.1).double()
    targets = (torch.rand(80, 2, 3, generator=generator) < 0.05).double()
    neurons = layer()
    spikes = neurons(inputs)
    assert 10 < spikes.sum() < 300
    loss = neurons.error.loss(spikes, targets)
    (expected,) = torch.autograd.grad(loss, neurons.weight)
    found = neurons.update(inputs, targets)
    assert torch.equal(found.spikes, spikes.detach())
    assert float(found.loss) == pytest.approx(float(loss.detach()), rel=1e-12)
    assert float((found.gradient - expected).abs().max() / expected.abs().max()) < 1e-12


def test_rmaxprop_remembers_large_gradients() -> None:
    weight = torch.zeros(1, requires_grad=True)
    optimiser = RMaxProp([weight], lr=1.0, decay=0.25)
    for gradient, expected in ((4.0, -1.0), (1.0, -1.5), (1.0, -2.5), (0.0, -2.5)):
        weight.grad = torch.tensor([gradient])
        optimiser.step()
        assert float(weight.detach()) == pytest.approx(expected)
