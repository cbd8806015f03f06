from __future__ import annotations

import pytest
import torch
from norse.torch.functional.leaky_integrator_box import LIBoxState, li_box_step
from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters, lif_box_feed_forward_step
from torch import Tensor

from dvspipe.errors import ConfigError
from dvspipe.events import SensorSize
from dvspipe.networks import LIF, LeakyReadout, NetworkConfig, SpikingNetwork, watch_rates
from dvspipe.networks.neurons import SuperSpike, lif_step

GRID = SensorSize(width=12, height=8)


def norse_scan(currents: Tensor, factor: float, start: Tensor) -> tuple[Tensor, Tensor]:
    """Norse's own cell, step by step; its surrogate is ours with slope 1."""
    p = LIFBoxParameters(tau_mem_inv=torch.tensor(factor / 1e-3, dtype=torch.float64))
    state, steps = LIFBoxFeedForwardState(start), []
    for current in currents.unbind(0):
        spikes, state = lif_box_feed_forward_step(current, state, p, dt=1e-3)
        steps.append(spikes)
    return torch.stack(steps), state.v


@pytest.mark.parametrize("shape", [(9, 3, 5, 7, 11), (4, 2, 5000)])
def test_the_fused_scan_equals_norses_cell(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    currents = (2 * torch.randn(shape, dtype=torch.float64) + 0.5).requires_grad_()
    start = torch.randn(shape[1:], dtype=torch.float64).requires_grad_()
    weights, last_weights = torch.randn(shape, dtype=torch.float64), torch.randn(shape[1:], dtype=torch.float64)
    results = []
    for scan in (LIF(tau_mem_s=2e-3, slope=1.0, dt=1e-3), lambda c, v: norse_scan(c, 0.5, v)):
        spikes, last = scan(currents, start)
        gradients = torch.autograd.grad((spikes * weights).sum() + (last * last_weights).sum(), [currents, start])
        results.append((spikes, last, *gradients))
    assert 0.05 < results[0][0].mean() < 0.5
    assert torch.equal(results[0][0], results[1][0])
    for ours, norses in zip(results[0][1:], results[1][1:], strict=True):
        torch.testing.assert_close(ours, norses, rtol=0, atol=1e-12)


def test_the_fused_scan_equals_the_steps_at_any_slope() -> None:
    torch.manual_seed(1)
    currents = (2 * torch.randn(12, 4, 30, dtype=torch.float64)).requires_grad_()
    weights = torch.randn(12, 4, 30, dtype=torch.float64)
    neuron = LIF(tau_mem_s=5e-3, slope=7.5, dt=2e-3)
    fused, _ = neuron(currents, None)
    state, steps = LIFBoxFeedForwardState(torch.zeros(4, 30, dtype=torch.float64)), []
    for current in currents.unbind(0):
        spikes, state = lif_step(current, state, neuron.neuron, neuron.dt)
        steps.append(spikes)
    plain = torch.stack(steps)
    assert torch.equal(fused, plain)
    ours, theirs = (torch.autograd.grad((z * weights).sum(), currents)[0] for z in (fused, plain))
    # the parameters are float32 numbers, so that a factor may differ in its last bits
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_a_constant_current_charges_the_membrane_in_closed_form() -> None:
    """Below threshold v after n steps is i * (1 - (1 - dt/tau)^n)."""
    spikes, v = LIF(tau_mem_s=4e-3, slope=5.0, dt=1e-3)(torch.full((6, 1), 0.9, dtype=torch.float64), None)
    assert spikes.sum() == 0
    assert v.item() == pytest.approx(0.9 * (1 - 0.75**6), rel=1e-6)


def test_the_surrogate_is_superspikes() -> None:
    x = torch.tensor([-0.5, 0.0, 0.25], dtype=torch.float64, requires_grad=True)
    spikes = SuperSpike.apply(x, 4.0)
    assert spikes.tolist() == [0, 0, 1]
    spikes.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([1 / 9, 1, 1 / 4])


def test_the_readout_is_norses_leaky_integrator() -> None:
    torch.manual_seed(0)
    currents, readout = torch.randn(7, 3, 5), LeakyReadout(tau_mem_s=1e-2, dt=1e-3)
    potentials, last = readout(currents, None)
    state = LIBoxState(torch.zeros(3, 5))
    for current, potential in zip(currents, potentials, strict=True):
        expected, state = li_box_step(current, state, torch.eye(5), readout.neuron, dt=1e-3)
        torch.testing.assert_close(potential, expected)
    assert torch.equal(last, potentials[-1])


def network() -> SpikingNetwork:
    torch.manual_seed(0)
    config = NetworkConfig(channels=(4, 6), kernel=3)
    built = SpikingNetwork(config, grid=GRID, classes=5, dt=0.015)
    built.train()
    built(torch.randint(0, 4, (10, 8, 2, 8, 12)))  # fills the batch statistics
    return built.eval()


def test_a_recording_in_pieces_gives_the_same_as_the_whole() -> None:
    net = network()
    spikes = torch.randint(0, 4, (10, 3, 2, 8, 12), dtype=torch.uint8)
    with torch.no_grad():
        whole, last = net(spikes)
        state, parts = None, []
        for piece in spikes.split([1, 4, 5]):
            potentials, state = net(piece, state)
            parts.append(potentials)
    assert whole.shape == (10, 3, 5)
    torch.testing.assert_close(torch.cat(parts), whole)
    for ours, theirs in zip(state, last, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_every_weight_gets_a_gradient() -> None:
    net = network().train()
    potentials, _ = net(torch.randint(0, 4, (10, 3, 2, 8, 12)))
    potentials.mean(0)[:, 1].sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_fresh_network_spikes() -> None:
    torch.manual_seed(0)
    net = SpikingNetwork(NetworkConfig(), grid=SensorSize(width=34, height=34), classes=10, dt=0.015).train()
    with watch_rates(net) as rates:
        net((torch.rand(20, 4, 2, 34, 34) < 0.05).float())
    assert set(rates) == {"lif1", "lif2"}
    assert all(0.005 < rate < 0.5 for rate in rates.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel": 4}, "expected an odd number"),
        ({"tau_mem_s": 0.01}, "tau_mem_s = 0.01: shorter than a time step of 0.015 s"),
        ({"tau_readout_s": 0.01}, "tau_readout_s = 0.01: shorter"),
        ({"channels": (2, 2, 2, 2)}, "a grid of 12x8 is too small .* needs 16 pixels"),
    ],
)
def test_a_network_that_cannot_be_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SpikingNetwork(NetworkConfig.model_validate(settings), grid=GRID, classes=3, dt=0.015)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_what_the_cpu_does() -> None:
    net, spikes = network(), torch.randint(0, 4, (10, 3, 2, 8, 12))
    with torch.no_grad():
        on_cpu, _ = net(spikes)
        on_gpu, _ = net.cuda()(spikes.cuda())
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=1e-3, atol=1e-3)
