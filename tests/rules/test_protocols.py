"""Rules of one kind are exchanged by one line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from facts import raises
from torch import Tensor

from dvspipe import rules as learning
from dvspipe.base.errors import ConfigError
from dvspipe.networks import NetworkConfig, SpikingNetwork
from dvspipe.rules import (
    Bptt,
    EventPropLayer,
    FirstSpikeLayer,
    GradientRule,
    PairRule,
    PlasticityRule,
    SpikePropLayer,
    SpikeTimeLayer,
    backpropagate,
)
from dvspipe.rules.online import OnlineRule
from dvspipe.rules.rules import ONLINE

GRADIENT_RULES: dict[str, Callable[[SpikingNetwork], GradientRule]] = {"bptt": Bptt, **ONLINE}  # type: ignore[dict-item]
LAYERS: dict[str, Callable[[], SpikeTimeLayer]] = {
    "first spike": lambda: FirstSpikeLayer(3, 2),
    "spikeprop": lambda: SpikePropLayer(3, 2, delays=[0.0, 1.0], tau=2.0, threshold=2.0),
    "eventprop": lambda: EventPropLayer(3, 2, tau_mem=2.0, tau_syn=1.0),
}


def small_network() -> SpikingNetwork:
    torch.manual_seed(0)
    config = NetworkConfig(network="mlp", channels=(6,), tau_mem_s=3e-3, gain=10.0, reset="subtract", detach_reset=True)
    return SpikingNetwork(config, grid=(4, 3), classes=2, dt=0.001)


def draw_spikes() -> Tensor:
    return torch.randint(0, 2, (8, 2, 2, 3, 4), generator=torch.Generator().manual_seed(1))


def mean_square(outputs: Tensor) -> Tensor:
    return outputs.square().mean()


@pytest.mark.parametrize("name", GRADIENT_RULES)
def test_gradient_rules_are_called_alike(name: str) -> None:
    network = small_network()
    rule = GRADIENT_RULES[name](network)  # the line that exchanges the rule
    assert isinstance(rule, GradientRule)
    outputs = rule.update(draw_spikes(), mean_square)
    assert outputs.shape == (8, 2, 2)
    assert not outputs.requires_grad
    assert all(each.grad is not None and each.grad.any() for each in network.parameters())
    assert "\n" not in repr(rule)


@pytest.mark.parametrize("name", GRADIENT_RULES)
def test_gradient_rule_of_something_else_is_reported(name: str) -> None:
    with raises(ConfigError, "str"):
        GRADIENT_RULES[name]("network")  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [None, 3])
def test_bptt_equals_backpropagate(steps: int | None) -> None:
    mine, theirs = small_network(), small_network()
    found = Bptt(mine, steps=steps).update(draw_spikes(), mean_square)
    torch.testing.assert_close(found, backpropagate(theirs, draw_spikes(), mean_square))
    for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_bptt_refuses_steps_with_truncation() -> None:
    with raises(ConfigError, "steps = 3", "truncate = 2"):
        Bptt(small_network(), steps=3, truncate=2)


def test_pair_rule_is_a_plasticity_rule() -> None:
    rule = PairRule()
    pre, post = torch.zeros(40, 3), torch.zeros(40, 2)
    pre[[0, 20], 0] = post[[5, 25], 1] = 1
    start = torch.full((2, 3), 0.5)
    weights, _ = rule.apply(start, pre, post, dt_s=1e-3)
    assert isinstance(rule, PlasticityRule)
    assert torch.equal(weights != start, torch.tensor([[False, False, False], [True, False, False]]))


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_spike_times_are_called_alike(name: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name]()
    assert isinstance(layer, SpikeTimeLayer)
    times = torch.tensor([[0.0, 0.2, 0.4]])
    spiked = layer(times).reshape(1, 2, -1)[..., 0]  # EventProp: all spikes of a neuron, in order
    assert spiked.isfinite().all()
    spiked.sum().backward()
    assert layer.weight.grad is not None
    assert (layer.weight.grad < 0).any()  # a larger weight, an earlier spike
    assert "3, 2" in repr(layer)


def test_every_rule_of_the_package_has_a_protocol() -> None:
    kinds = {kind for kind in vars(learning).values() if isinstance(kind, type)}
    rules = {kind for kind in kinds if issubclass(kind, OnlineRule) and kind is not OnlineRule}
    assert rules == set(ONLINE.values())
    layers = {kind.__name__ for kind in kinds if issubclass(kind, torch.nn.Module)}
    of_trains = {"SuperSpikeLayer"}  # its targets are spike trains
    assert layers - of_trains == {type(make()).__name__ for make in LAYERS.values()}
