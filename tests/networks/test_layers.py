"""`fuse`, compared with Norse over generated networks, and the layers of a network."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import norse.torch as norse
import pytest
import torch
from facts import raises
from hypothesis import given, settings
from steps import Steps
from torch import Tensor, nn

from dvspipe.base.errors import ConfigError
from dvspipe.networks import (
    LIF,
    Fold,
    LIBox,
    LIFBox,
    NetworkConfig,
    Pooled,
    SharedDropout,
    build_network,
    fuse,
    list_layers,
)

DT = 1e-3
SLOW = settings(max_examples=15, deadline=None)


def box(draw: st.DrawFn) -> Steps:
    """Neurons that spike."""
    p = norse.LIFBoxParameters(
        tau_mem_inv=torch.tensor(draw(st.floats(0.2, 1.0)) / DT, dtype=torch.float64),
        v_th=torch.tensor(draw(st.floats(0.02, 0.2)), dtype=torch.float64),
    )
    return Steps(norse.LIFBoxCell(p, DT))


@st.composite
def networks(draw: st.DrawFn, *, norms: bool = False) -> norse.SequentialState:
    """Norse networks for images of 2 channels, 7 x 12 pixels, with float64 weights."""
    torch.manual_seed(draw(st.integers(0, 999)))
    layers: list[nn.Module] = []
    before, height, width = 2, 7, 12
    for _ in range(draw(st.integers(0, 2))):
        channels = draw(st.integers(1, 4))
        layers.append(norse.Lift(nn.Conv2d(before, channels, 3, padding=1, bias=draw(st.booleans()))))
        if norms and draw(st.booleans()):
            norm = nn.BatchNorm2d(channels)
            nn.init.uniform_(norm.running_mean, -0.1, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(norm.running_var, 0.5, 2.0)  # type: ignore[arg-type]
            layers.append(norse.Lift(norm))
        layers.append(draw(st.sampled_from([box(draw), norse.LIF(draw_lif(draw)), norse.LIFAdEx()])))
        if draw(st.booleans()):
            layers.append(norse.Lift(nn.AvgPool2d(2)))
            height, width = height // 2, width // 2
        before = channels

    linear, readout = nn.Linear(before * height * width, 3), Steps(norse.LIBoxCell(dt=DT))
    return norse.SequentialState(*layers, nn.Flatten(2), linear, readout).double()


def draw_lif(draw: st.DrawFn) -> norse.LIFParameters:
    return norse.LIFParameters(v_th=torch.tensor(draw(st.floats(0.02, 0.2))))


def as_lifted(network: norse.SequentialState) -> norse.SequentialState:
    """Replace `Steps` by Norse's `Lift` of its cell, which `fuse` knows."""
    layers = [norse.Lift(layer.cell) if isinstance(layer, Steps) else layer for layer in network]
    return norse.SequentialState(*layers)


def draw_spikes(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(6, 2, 2, 7, 12, generator=generator) < 0.3).double()


@SLOW
@given(network=networks(), seed=st.integers(0, 99))
def test_fused_network_trains_like_norses(network: norse.SequentialState, seed: int) -> None:
    spikes = draw_spikes(seed)
    fused = fuse(as_lifted(network))
    expected, _ = network(spikes)
    outputs, _ = fused(spikes)
    torch.testing.assert_close(outputs, expected, rtol=1e-12, atol=1e-12)

    ours = torch.autograd.grad(outputs.square().sum(), [*fused.parameters()])
    theirs = torch.autograd.grad(expected.square().sum(), [*network.parameters()])
    for gradient, reference in zip(ours, theirs, strict=True):
        assert (gradient - reference).norm() <= 1e-12 * max(1.0, float(reference.norm()))


@SLOW
@given(network=networks(norms=True), seed=st.integers(0, 99))
def test_fused_network_evaluates_like_norses(network: norse.SequentialState, seed: int) -> None:
    spikes = draw_spikes(seed)
    expected, _ = network.eval()(spikes)
    outputs, _ = fuse(as_lifted(network)).eval()(spikes)
    torch.testing.assert_close(outputs, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (norse.LIFCell(), "dvspipe.networks.LIF"),
        (norse.LIFBoxCell(), "dvspipe.networks.LIFBox"),
        (norse.LIFAdExCell(), "norse.torch.LIFAdEx"),
        (norse.LIFRecurrentCell(3, 3), "norse.torch.LIFRecurrent"),
    ],
)
def test_cell_without_time_axis_is_refused(cell: nn.Module, expected: str) -> None:
    with raises(ConfigError, type(cell).__name__, expected):
        fuse(norse.SequentialState(nn.Linear(3, 3), cell))


def test_fuse_shares_weights_and_keeps_other_modules() -> None:
    linear = nn.Linear(4, 3)
    adex = norse.LIFAdEx()
    fused = fuse(norse.SequentialState(linear, adex, norse.Lift(nn.Dropout(0.5)), norse.SequentialState(norse.LIF())))
    assert fused[0] is linear
    assert fused[1] is adex
    assert isinstance(fused[2], Fold)
    assert isinstance(fused[3][0], LIF)


def test_neurons_can_be_replaced_and_trained() -> None:
    """Whoever knows Norse takes the neurons out of a printed network, and puts others in."""
    network = build_network(NetworkConfig(channels=(4,), kernel=3), (2, 7, 12), classes=3, dt=DT)
    assert isinstance(network[1], Pooled)
    network[1].neurons = norse.LIFAdEx(dt=DT)
    outputs, state = network(draw_spikes(0).float())
    outputs.square().sum().backward()
    assert outputs.shape == (6, 2, 3)
    assert type(state[1]).__name__ == "LIFAdExFeedForwardState"
    assert all(weight.grad is not None for weight in network.parameters())


def test_dropout_has_one_mask_for_all_steps() -> None:
    torch.manual_seed(0)
    dropped = SharedDropout(0.5)(torch.ones(5, 2, 40))
    assert (dropped == dropped[0]).all()
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert (SharedDropout(0.5).eval()(torch.ones(5, 2, 40)) == 1).all()


@pytest.mark.parametrize("settings", [{"network": "mlp", "channels": (5, 4)}, {"channels": (3, 4), "dropout": 0.1}])
def test_layers_of_a_network(settings: dict[str, object]) -> None:
    network = build_network(NetworkConfig.model_validate(settings), (2, 7, 12), classes=3, dt=DT)
    layers = list_layers(network)
    assert [layer.name for layer in layers] == ["lif1", "lif2", "readout"]
    assert isinstance(layers[-1].neurons, LIBox)
    assert all(isinstance(layer.neurons, LIFBox) for layer in layers[:-1])

    # The folded weights of a layer compute its currents in evaluation.
    network.eval()
    x = draw_spikes(1).float()
    for layer, (weight, bias) in zip(layers, (layer.folded() for layer in layers), strict=True):
        inputs: list[Tensor] = []
        currents: list[Tensor] = []
        assert layer.neurons is not None
        with (
            network[layer.index].register_forward_pre_hook(lambda _, given, to=inputs: to.append(given[0])),
            layer.neurons.register_forward_pre_hook(lambda _, given, to=currents: to.append(given[0])),
        ):
            network(x)
        if weight.ndim == 4:
            expected = nn.functional.conv2d(inputs[0].flatten(0, 1), weight, bias, padding=2).unflatten(0, (6, 2))
        else:
            expected = nn.functional.linear(inputs[0], weight, bias)
        torch.testing.assert_close(currents[0], expected)


def test_unknown_layers_are_named() -> None:
    with raises(ConfigError, "Sequential"):
        list_layers(nn.Sequential())
    with raises(ConfigError, 1, "LSTM"):
        list_layers(norse.SequentialState(nn.Linear(3, 3), nn.LSTM(3, 3)))


@pytest.mark.parametrize(
    ("copied", "norm"),
    [
        (copy.deepcopy, "batch"),
        (copy.deepcopy, "weight"),
        (lambda network: pickle.loads(pickle.dumps(network)), "batch"),
    ],
)
def test_networks_are_copied_and_sent_with_their_neurons(copied: Callable[[nn.Module], nn.Module], norm: Any) -> None:
    """Norse's parameters cannot be pickled, but our neurons with them can."""
    config = NetworkConfig(channels=(4,), norm=norm, reset="subtract")
    network = build_network(config, (2, 7, 12), classes=3, dt=DT).eval()
    spikes = draw_spikes(0).float()
    assert torch.equal(network(spikes)[0], copied(network)(spikes)[0])
