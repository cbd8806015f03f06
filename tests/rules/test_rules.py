"""Backpropagation through time and online rules, compared with each other, with autograd and with their formulas."""

from __future__ import annotations

import copy
from typing import Any, get_args

import norse.torch as norse
import pytest
import torch
from facts import raises
from torch import Tensor, nn

from dvspipe.base.errors import ConfigError
from dvspipe.networks import NetworkConfig, build_network, list_layers, run_network, watch_rates
from dvspipe.rules import OTTT, Bptt, Decolle, EProp, Rule, build_rule, find_unmet_needs
from dvspipe.training import OptimiserConfig
from dvspipe.training.schedule import find_losses

SHAPE = (2, 7, 12)
T, B, K = 13, 2, 3
MLP = {"network": "mlp", "channels": (8, 6, 7)}
CSNN = {"network": "csnn", "norm": "weight", "channels": (4, 5), "kernel": 3, "padded": (True, False)}
NETWORKS = pytest.mark.parametrize("settings", [MLP, CSNN], ids=["mlp", "csnn"])
ONE_LAYER = pytest.mark.parametrize(
    "settings",
    [
        MLP | {"channels": (9,)},
        CSNN | {"channels": (4,), "padded": None},
        CSNN | {"channels": (3,), "padded": (False,)},
    ],
    ids=["mlp", "csnn", "unpadded"],
)


def build(settings: dict[str, Any], **over: Any) -> nn.Module:
    """Network with firing rates of 1 to 70 % in each layer."""
    torch.manual_seed(0)
    common = {"tau_mem_s": 3e-3, "tau_readout_s": 5e-3, "threshold": 0.1, "reset": "subtract", "detach_reset": True}
    config = NetworkConfig.model_validate(common | settings | over)
    network = build_network(config, SHAPE, classes=K, dt=1e-3).double()
    with watch_rates(network) as rates:
        run_network(network, spikes())
    assert all(0.01 < rate < 0.7 for rate in rates.values()), rates
    return network


def spikes(steps: int = T) -> Tensor:
    drawn = torch.rand(steps, B, *SHAPE, generator=torch.Generator().manual_seed(1))
    return (drawn < 0.2).to(torch.uint8)


def loss(outputs: Tensor) -> Tensor:
    targets = torch.eye(K, dtype=outputs.dtype)[torch.arange(B)]
    return find_losses(outputs, targets, OptimiserConfig(loss="each_step", label_smoothing=0.1)).sum()


def gradients(network: nn.Module, rule: Any, steps: int = T) -> dict[str, Tensor]:
    """Return the gradients of a rule, created with a copy of the network."""
    copied = copy.deepcopy(network)
    outputs = rule(copied).update(spikes(steps), loss)
    torch.testing.assert_close(outputs, run_network(network, spikes(steps))[0])
    return {name: weight.grad for name, weight in copied.named_parameters() if weight.grad is not None}


def assert_equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, their in theirs.items():
        assert their.abs().max() > 0, name
        assert (ours[name] - their).norm() <= 1e-12 * their.norm(), name


@NETWORKS
@pytest.mark.parametrize("segment", [1, 5, 13, 20])
def test_segments_have_the_gradients_of_one_graph(settings: dict[str, Any], segment: int) -> None:
    network = build(settings, reset="zero", detach_reset=False)
    assert_equal(gradients(network, lambda copied: Bptt(copied, segment)), gradients(network, Bptt))


def test_segments_count_once_in_the_running_statistics() -> None:
    networks = []
    for segment in (None, T):
        torch.manual_seed(0)
        network = build_network(NetworkConfig(channels=(4,), kernel=3), SHAPE, classes=K, dt=1e-3)
        Bptt(network, segment).update(spikes(), loss)
        networks.append(network)
    before, after = (network.state_dict() for network in networks)
    torch.testing.assert_close(dict(after), dict(before))


def test_segments_keep_memory_bounded() -> None:
    """The graph keeps the states between segments, not what a step computes."""

    inputs = spikes(400).double()

    def measure(segment: int | None) -> int:
        network = build(MLP)
        kept: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        rule = Bptt(network, segment)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), pytest.raises(InterruptedError):
            rule.update(inputs, interrupt)
        return sum(kept.values()) - inputs.untyped_storage().nbytes()

    assert measure(10) < measure(None) / 2


def interrupt(_: Tensor) -> Tensor:
    raise InterruptedError


@NETWORKS
def test_ottt_equals_bptt_for_one_step(settings: dict[str, Any]) -> None:
    network = build(settings, tau_mem_s=1.2e-3)
    assert_equal(gradients(network, OTTT, 1), gradients(network, Bptt, 1))


@ONE_LAYER
def test_eprop_equals_bptt_for_one_layer(settings: dict[str, Any]) -> None:
    network = build(settings)
    assert_equal(gradients(network, EProp), gradients(network, Bptt))


def test_ottt_has_its_formula() -> None:
    """dW = sum over t of a e[t] q[t], and errors pass down within a step: e = W^T e (above) * s."""
    network = build(MLP, tau_readout_s=4e-3)
    found = gradients(network, OTTT)
    *hidden, readout = list_layers(network)

    # Inputs of all layers and surrogate derivatives, from a run of the network.
    inputs: dict[str, Tensor] = {}
    derivatives: dict[str, Tensor] = {}
    x = spikes().double().flatten(2)
    for layer in hidden:
        inputs[layer.name] = x
        p = layer.neurons.p
        state = None
        steps = []
        slopes = []
        for current in nn.functional.linear(x, layer.synapses.weight, layer.synapses.bias):
            potential = (torch.zeros_like(current) if state is None else state) * (2 / 3) + current / 3
            fired = (potential > p.v_th).double()
            state = potential - p.v_th * fired
            steps.append(fired)
            slopes.append(1 / (1 + p.alpha * (potential - p.v_th).abs()) ** 2)
        x = torch.stack(steps)
        derivatives[layer.name] = torch.stack(slopes)
    inputs["readout"] = x

    outputs, _ = run_network(network, spikes())
    leaf = outputs.detach().requires_grad_()
    (errors,) = torch.autograd.grad(loss(leaf), leaf)
    above = 0.25 * errors
    for layer in reversed([*hidden, readout]):
        keep = 0.75
        if layer.name != "readout":
            keep = 2 / 3
            above = above * derivatives[layer.name] / 3
        traced = torch.zeros_like(inputs[layer.name][0])
        gradient = torch.zeros_like(layer.synapses.weight)
        for step, error in zip(inputs[layer.name], above, strict=True):
            traced = keep * traced + step
            gradient += error.T @ traced
        name = f"{layer.index}.weight"
        assert (found[name] - gradient).norm() <= 1e-12 * gradient.norm(), name
        above = above @ layer.synapses.weight


@NETWORKS
def test_decolle_learns_from_local_losses_alone(settings: dict[str, Any]) -> None:
    """The gradient of a layer does not depend on the layers above, and is that of its own loss in one step."""
    network = build(settings)
    first = gradients(network, Decolle)
    above = list_layers(network)[1].synapses
    with torch.no_grad():
        for parameter in above.parameters():
            parameter.mul_(1.5)
    changed = gradients(network, Decolle)
    index = list_layers(network)[0].index
    of_first = [name for name in first if name.startswith(f"{index}.")]
    assert of_first
    for name in of_first:
        assert torch.equal(first[name], changed[name])

    rule = Decolle(copy.deepcopy(network), seed=3)
    rule.update(spikes(1), loss)
    copied = norse.SequentialState(*[*copy.deepcopy(network)][: index + 2])
    outputs, _ = copied(spikes(1).double())
    readout = rule.readouts[index + 1]
    loss(outputs.flatten(2) @ readout.T).backward()
    for name, weight in copied.named_parameters():
        assert weight.grad is not None
        own = dict(rule.network.named_parameters())[name].grad
        assert own is not None
        assert (own - weight.grad).norm() <= 1e-12 * weight.grad.norm()


def test_dropout_has_one_mask_for_all_steps() -> None:
    network = build(MLP | {"channels": (60,)}, dropout=0.5)
    copied = copy.deepcopy(network)
    for name in ("ottt", "eprop"):
        torch.manual_seed(1)
        constant = torch.ones(T, 1, *SHAPE)
        outputs = build_rule(name, copied).update(constant, lambda y: y.mean())
        torch.manual_seed(1)
        expected, _ = run_network(network, constant)
        torch.testing.assert_close(outputs, expected.detach())


@pytest.mark.parametrize("name", [rule for rule in get_args(Rule) if rule != "bptt"])
def test_unmet_needs_make_a_network_that_fits(name: Rule) -> None:
    config = NetworkConfig(channels=(4, 5), kernel=3, padded=(True, False))
    with raises(ConfigError, "norm", "reset"):
        build_rule(name, build_network(config, SHAPE, classes=K, dt=1e-3))

    needs = find_unmet_needs(name, config)
    fitting = NetworkConfig.model_validate(config.given | needs)
    assert find_unmet_needs(name, fitting) == {}
    build_rule(name, build_network(fitting, SHAPE, classes=K, dt=1e-3)).update(spikes(), loss)
