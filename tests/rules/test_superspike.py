"""SuperSpike: norm of the kernel, comparison with autograd, and the optimiser."""

from __future__ import annotations

import pytest
import torch
from facts import raises
from norse.torch.functional.threshold import superspike_fn

from dvspipe.base.errors import DataError
from dvspipe.rules import RMaxProp, SuperSpikeLayer, VanRossum
from dvspipe.rules.superspike import THRESHOLD_MV

F64 = torch.float64


@pytest.mark.parametrize("dt", [1e-3, 1e-4, 1e-5])
def test_missing_spike_costs_one_half(dt: float) -> None:
    targets = torch.zeros(round(0.2 / dt), 1, 1, dtype=F64)
    targets[round(0.05 / dt)] = 1
    loss = VanRossum(dt).loss(torch.zeros_like(targets), targets)
    assert float(loss) == pytest.approx(0.5, abs=45 * dt)  # Euler's method is of order 1
    assert float(VanRossum(dt).loss(targets, targets)) == 0


@pytest.mark.parametrize("seed", range(3))
def test_rule_equals_the_gradient_of_the_loss(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    inputs = (torch.rand(80, 2, 7, generator=generator) < 0.1).double()
    targets = (torch.rand(80, 2, 3, generator=generator) < 0.05).double()
    layer = SuperSpikeLayer(7, 3, dt=1e-3, generator=generator).double()
    layer.weight.data *= 2

    # Backpropagation through the equations, with steps of 1/10 and 1/5 of the time constants.
    v = i = torch.zeros(2, 3, dtype=F64)
    trains = []
    by_membrane, by_synapse = (
        float(layer.error.dt * inverse) for inverse in (layer.p.tau_mem_inv, layer.p.tau_syn_inv)
    )
    for arrived in inputs:
        i = i + arrived @ layer.weight.T
        h = v + by_membrane * (i - v)
        i = (1 - by_synapse) * i
        trains.append(superspike_fn(h - THRESHOLD_MV))
        v = h * (1 - trains[-1].detach())
    spikes = torch.stack(trains)
    loss = layer.error.loss(spikes, targets)
    (expected,) = torch.autograd.grad(loss, layer.weight)

    found = layer.update(inputs, targets)
    assert 10 < spikes.sum() < 300
    assert torch.equal(found.spikes, spikes.detach())
    assert torch.equal(layer(inputs), spikes)
    assert float(found.loss) == pytest.approx(float(loss.detach()), rel=1e-12)
    assert float((found.gradient - expected).abs().max() / expected.abs().max()) < 1e-12


def test_rmaxprop_remembers_large_gradients() -> None:
    weight = torch.zeros(1, requires_grad=True)
    optimiser = RMaxProp([weight], lr=1.0, decay=0.25)
    for gradient, expected in ((4.0, -1.0), (1.0, -1.5), (1.0, -2.5), (0.0, -2.5)):
        weight.grad = torch.tensor([gradient])
        optimiser.step()
        assert float(weight.detach()) == pytest.approx(expected)


def test_targets_of_another_length_are_an_error() -> None:
    with raises(DataError, "targets", "T = 5"):
        SuperSpikeLayer(7, 3, dt=1e-3).update(torch.zeros(5, 2, 7), torch.zeros(4, 2, 3))
