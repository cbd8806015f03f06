"""Networks: fused scans equal Norse's cell, pieces equal one call, shapes and parameters equal the papers."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from facts import raises
from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, lif_feed_forward_step
from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters, lif_box_feed_forward_step
from norse.torch.functional.reset import reset_subtract, reset_value
from torch import Tensor

from dvspipe.base.errors import ConfigError
from dvspipe.events import SensorSize
from dvspipe.networks import LIF, NetworkConfig, SpikingNetwork, watch_rates
from dvspipe.networks.models import Convolution, StandardisedConvolution
from dvspipe.networks.neurons import Spike, average_squares
from dvspipe.networks.scan import SURROGATES

GRID = SensorSize(width=12, height=8)
KINDS = {
    "csnn": {"channels": (4, 6), "kernel": 3},
    "count": {"channels": (4, 6), "kernel": 3, "readout": "count", "gain": 4.0},
    "standardised": {"channels": (4, 6), "kernel": 3, "norm": "weight", "gain": 3.0, "detach_reset": True},
    "mlp": {"network": "mlp", "channels": (30, 20), "gain": 3.0, "reset": "subtract", "tau_syn_s": 0.03},
}


def neuron(dt: float = 1e-3, **settings: Any) -> LIF:
    return LIF(NetworkConfig.model_validate({"tau_mem_s": 0.002, "slope": 1.0} | settings), dt)


def norse_scan(currents: Tensor, factor: float, start: Tensor, subtract: bool) -> tuple[Tensor, Tensor]:
    """Run Norse's cell step by step; its surrogate equals ours with slope 1."""
    p = LIFBoxParameters(
        tau_mem_inv=torch.tensor(factor / 1e-3, dtype=torch.float64),
        reset_method=reset_subtract if subtract else reset_value,
    )
    state, steps = LIFBoxFeedForwardState(start), []
    for current in currents.unbind(0):
        spikes, state = lif_box_feed_forward_step(current, state, p, dt=1e-3)
        steps.append(spikes)
    return torch.stack(steps), state.v


def gradients(outputs: tuple[Tensor, Tensor], inputs: list[Tensor]) -> list[Tensor]:
    """Gradients of a weighted sum of the outputs, with constant weights."""
    torch.manual_seed(7)
    total = sum((o * torch.randn(o.shape, dtype=torch.float64).to(o.dtype)).sum() for o in outputs)
    assert isinstance(total, Tensor)
    return list(torch.autograd.grad(total, inputs))


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("shape", [(9, 3, 5, 7, 11), (4, 2, 5000)])
def test_fused_scan_equals_norse_cell(shape: tuple[int, ...], reset: str) -> None:
    torch.manual_seed(0)
    currents = (2 * torch.randn(shape, dtype=torch.float64) + 0.5).requires_grad_()
    start = torch.randn(shape[1:], dtype=torch.float64).requires_grad_()
    spikes, last = neuron(reset=reset)(currents, start[None])
    norses, norses_last = norse_scan(currents, 0.5, start, reset == "subtract")
    assert 0.05 < spikes.mean() < 0.6
    assert torch.equal(spikes, norses)
    torch.testing.assert_close(last[0], norses_last, rtol=0, atol=1e-12)
    ours, theirs = (gradients(pair, [currents, start]) for pair in ((spikes, last[0]), (norses, norses_last)))
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        *({"surrogate": surrogate} for surrogate in SURROGATES),
        {"reset": "subtract", "gain": 1.7, "surrogate": "arctan"},
        {"gain": 0.6, "surrogate": "triangle"},
        {"detach_reset": True},
        {"detach_reset": True, "reset": "subtract"},
    ],
)
@pytest.mark.parametrize("pool", [1, 3])
def test_fused_scan_equals_single_steps(settings: dict[str, Any], pool: int) -> None:
    torch.manual_seed(1)
    config = NetworkConfig.model_validate({"tau_mem_s": 0.005, "slope": 1.5, "channels": (3,)} | settings)
    shape = (6, 2, 7, 8, 5) if pool > 1 else (6, 4, 30)
    layer = LIF(config, dt=2e-3, pool=pool).double()
    currents = (2 * torch.randn(shape, dtype=torch.float64)).requires_grad_()
    fused, last = layer(currents, None)
    plain, plain_last = layer.steps(currents, None)
    assert torch.equal(fused, plain) or pool == 3  # division by 9 is rounded
    torch.testing.assert_close(fused, plain)
    torch.testing.assert_close(last[0], plain_last)
    (ours,) = gradients((fused, last[0]), [currents])
    (theirs,) = gradients((plain, plain_last), [currents])
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


def test_float32_gradients_have_relative_errors_below_1e_5() -> None:
    torch.manual_seed(0)
    exact = (2 * torch.randn(40, 3, 500, dtype=torch.float64)).requires_grad_()
    rounded = exact.detach().float().requires_grad_()
    layer = neuron(slope=5.0)
    pairs = []
    for currents, run in ((rounded, layer), (exact, layer.double().steps)):
        spikes, _ = run(currents, None)
        pairs.append((spikes, gradients((spikes,), [currents])[0]))
    same = (pairs[0][0] == pairs[1][0]).all(dim=0)  # a few spikes are exactly at the threshold
    assert same.double().mean() > 0.99
    difference = (pairs[0][1] - pairs[1][1]).abs()[:, same].max()
    assert difference <= 1e-5 * pairs[1][1].abs().max()


def test_in_place_scan_invalidates_the_currents() -> None:
    layer = LIF(NetworkConfig(tau_mem_s=0.002), 1e-3, in_place=True)
    weight = torch.randn(5, 3, 4, requires_grad=True)
    currents = weight * 2
    before = currents.detach().clone()
    expected, _ = neuron(slope=5.0)(before, None)
    spikes, _ = layer(currents, None)
    assert torch.equal(spikes, expected)
    assert not torch.equal(currents.detach(), before)
    spikes.sum().backward()
    assert weight.grad is not None
    needed = weight.exp()  # its gradient needs its result
    spikes, _ = layer(needed, None)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        spikes.sum().backward()


def test_synaptic_current_equals_norse() -> None:
    torch.manual_seed(0)
    currents = torch.randn(12, 3, 40, dtype=torch.float64)
    layer = neuron(tau_syn_s=4e-3).double()
    spikes, state = layer(currents, None)
    p = LIFParameters(tau_syn_inv=torch.tensor(250.0), tau_mem_inv=torch.tensor(500.0), alpha=torch.tensor(1.0))
    theirs, steps = LIFFeedForwardState(v=torch.zeros(3, 40).double(), i=torch.zeros(3, 40).double()), []
    for current in currents.unbind(0):
        z, theirs = lif_feed_forward_step(current, theirs, p, dt=1e-3)
        steps.append(z)
    assert torch.equal(spikes, torch.stack(steps))
    torch.testing.assert_close(state, torch.stack([theirs.v, theirs.i]), rtol=1e-6, atol=1e-6)
    assert spikes.mean() > 0.02


@pytest.mark.parametrize(
    ("surrogate", "expected"),
    [
        ("superspike", [1 / 9, 1, 1 / 4]),
        ("arctan", [1 / (1 + torch.pi**2), 1, 1 / (1 + (torch.pi / 2) ** 2)]),
        ("triangle", [0, 1, 0]),
    ],
)
def test_surrogates_equal_the_papers(surrogate: str, expected: list[float]) -> None:
    x = torch.tensor([-0.5, 0.0, 0.25], dtype=torch.float64, requires_grad=True)
    spikes = Spike.apply(x, surrogate, 4.0)
    assert spikes.tolist() == [0, 0, 1]
    spikes.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx(expected)


def test_average_pooling_drops_incomplete_squares() -> None:
    spikes = torch.arange(2 * 1 * 5 * 7 * 3).float().reshape(2, 1, 5, 7, 3)
    pooled = average_squares(spikes, 2)
    assert pooled.shape == (2, 1, 2, 3, 3)
    assert pooled[1, 0, 1, 2, 0] == spikes[1, 0, 2:4, 4:6, 0].mean()


def network(kind: str = "csnn") -> SpikingNetwork:
    torch.manual_seed(0)
    config = NetworkConfig.model_validate(KINDS[kind])
    built = SpikingNetwork(config, grid=GRID, classes=5, dt=0.015)
    built.train()
    with torch.no_grad():
        built(torch.randint(0, 4, (10, 8, 2, 8, 12)))  # initialises the batch statistics
    return built.eval()


def check_pieces(network: torch.nn.Module, spikes: torch.Tensor, steps: list[int]) -> None:
    """Check that outputs and state for a recording [T, ...] in pieces equal one call."""
    with torch.no_grad():
        whole, last = network(spikes)
        state, parts = None, []
        for piece in spikes.split(steps):
            output, state = network(piece, state)
            parts.append(output)
    assert whole.shape == (len(spikes), spikes.shape[1], 5)
    torch.testing.assert_close(torch.cat(parts), whole)
    assert state is not None
    for ours, theirs in zip(state, last, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_recording_in_pieces_equals_one_call(kind: str) -> None:
    check_pieces(network(kind), torch.randint(0, 4, (10, 3, 2, 8, 12), dtype=torch.uint8), [1, 4, 5])


@pytest.mark.parametrize("kind", KINDS)
def test_network_equals_step_by_step_computation(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compares outputs and gradients of the fused scans (in place, with pooling) with Norse's cell."""
    found = []
    net = network(kind).double().train()
    spikes = torch.randint(0, 4, (6, 3, 2, 8, 12))
    for fused in (True, False):
        copied = copy.deepcopy(net)
        if not fused:
            monkeypatch.setattr(LIF, "_scan", LIF.steps)
        output, _ = copied(spikes)
        output.mean(0)[:, 1].sum().backward()
        found.append((output, [parameter.grad for parameter in copied.parameters()]))
    torch.testing.assert_close(found[0][0], found[1][0])
    for (name, _), ours, theirs in zip(net.named_parameters(), found[0][1], found[1][1], strict=True):
        assert ours is not None, name
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)
        assert ours.abs().sum() > 0, name


def test_norm_is_folded_into_the_convolution_in_evaluation() -> None:
    torch.manual_seed(0)
    config = NetworkConfig(channels=(5,), kernel=3)
    layer = Convolution(2, 5, config, 0.015, padding=1, pool=1).double()
    layer.norm.weight.data.uniform_(0.5, 2)
    layer.norm.bias.data.normal_()
    x = torch.randn(6, 2, 8, 12, dtype=torch.float64)
    layer.norm(layer.convolution(x))
    layer.eval()
    torch.testing.assert_close(layer.convolve_folded(x), layer.norm(layer.convolution(x)))


def test_detached_reset_has_no_gradient_through_the_reset() -> None:
    """For two steps, dh[1]/dh[0] = (1 - a) dv/dh, with dv/dh = 1 or 1 - z."""
    for reset, kept in (("subtract", [0.5, 0.5]), ("zero", [0.5, 0.0])):
        currents = torch.tensor([[[1.9, 2.2]], [[9.0, 9.0]]], dtype=torch.float64, requires_grad=True)
        _, last = neuron(reset=reset, detach_reset=True)(currents, None)
        last.sum().backward()  # after the second step, with spikes that reset both neurons
        through_second = {"subtract": 1.0, "zero": 0.0}[reset]
        assert currents.grad is not None
        assert currents.grad[0, 0].tolist() == pytest.approx([0.5 * each * through_second for each in kept])
        spikes, _ = neuron(reset=reset, detach_reset=True)(currents, None)
        currents.grad = None
        spikes[1].sum().backward()
        distance = 0.5 * (0.95 + 9.0) - 1
        assert currents.grad[0, 0, 0].item() == pytest.approx(0.5 * 0.5 / (1 + distance) ** 2)


def test_standardised_kernels_have_zero_mean_and_norm_of_their_gain() -> None:
    torch.manual_seed(0)
    layer = Convolution(2, 5, NetworkConfig(channels=(5,), kernel=3, norm="weight"), 0.015, padding=1, pool=1).double()
    assert isinstance(layer.convolution, StandardisedConvolution)
    layer.convolution.gain.data.uniform_(0.5, 2)
    layer.convolution.offset.data.normal_()
    weight, offset = layer.folded()
    torch.testing.assert_close(weight.mean((1, 2, 3)), torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(weight.flatten(1).norm(dim=1), layer.convolution.gain, rtol=1e-6, atol=0)
    x = torch.randn(6, 2, 8, 12, dtype=torch.float64)
    torch.testing.assert_close(torch.nn.functional.conv2d(x, weight, offset, padding=1), layer.convolution(x))


def parameters(grid: SensorSize, classes: int, **settings: Any) -> int:
    built = SpikingNetwork(NetworkConfig.model_validate(settings), grid=grid, classes=classes, dt=0.015)
    return sum(parameter.numel() for parameter in built.parameters())


def test_networks_have_the_sizes_of_the_papers() -> None:
    digits = SensorSize(width=34, height=34)
    assert parameters(digits, 10, channels=(12, 64), padded=(True, False)) == pytest.approx(43_000, rel=0.01)
    assert parameters(
        SensorSize(width=28, height=28), 10, network="mlp", channels=(1000,)
    ) == 785 * 1000 + 1001 * 10 + (
        28 * 28 * 1000  # two polarities
    )


@pytest.mark.parametrize("kind", ["csnn", "mlp"])
def test_new_network_spikes(kind: str) -> None:
    torch.manual_seed(0)
    config = NetworkConfig.model_validate(KINDS[kind] | {"channels": (12, 12)})
    net = SpikingNetwork(config, grid=SensorSize(width=34, height=34), classes=10, dt=0.015).train()
    with watch_rates(net) as rates:
        net((torch.rand(20, 4, 2, 34, 34) < 0.05).float())
    assert len(rates) == 2
    assert all(0.002 < rate < 0.5 for rate in rates.values()), rates


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel": 4}, "kernel = 4"),
        ({"tau_mem_s": 0.01}, ("tau_mem_s = 0.01", "0.015")),
        ({"tau_syn_s": 0.01}, ("tau_syn_s = 0.01", "0.015")),
        ({"tau_readout_s": 0.01}, ("tau_readout_s = 0.01", "0.015")),
        ({"padded": (True,)}, ("padded", "1", "2")),
        ({"padded": (False, False)}, "padded"),
        ({"network": "mlp", "padded": (True, True)}, "padded"),
        ({"channels": (1, 1), "kernel": 1, "norm": "weight"}, ("norm = weight", "kernel = 1")),
    ],
)
def test_contradicting_settings_are_rejected(settings: dict[str, Any], message: object) -> None:
    with raises(ConfigError, message):
        SpikingNetwork(NetworkConfig.model_validate(settings), grid=GRID, classes=3, dt=0.015)


def test_pooling_stops_before_no_pixel_remains() -> None:
    config = NetworkConfig(channels=(2,) * 6, kernel=3)
    built = SpikingNetwork(config, grid=GRID, classes=3, dt=0.015)
    assert built.linear.in_features == 2 * 1 * 1
    assert built(torch.ones(2, 1, 2, 8, 12))[0].shape == (2, 1, 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_gpu_equals_cpu(kind: str) -> None:
    net, spikes = network(kind), torch.randint(0, 4, (10, 3, 2, 8, 12))
    with torch.no_grad():
        on_cpu, _ = net(spikes)
        on_gpu, _ = net.cuda()(spikes.cuda())
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=1e-3, atol=1e-3)
