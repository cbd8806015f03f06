"""Online learning rules, compared with backpropagation, autograd and their own formulas."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, cast, get_args

import pytest
import torch
from facts import raises
from torch import Tensor, nn

from dvspipe import rules as learning
from dvspipe.base.errors import ConfigError
from dvspipe.events import SensorSize
from dvspipe.networks import NetworkConfig, SpikingNetwork, watch_rates
from dvspipe.networks.models import draw_mask
from dvspipe.networks.neurons import Spike
from dvspipe.rules import (
    OTTT,
    Decolle,
    EProp,
    OnlineRule,
    Rule,
    backpropagate,
    build_rule,
    find_unmet_needs,
)
from dvspipe.rules.rules import ONLINE
from dvspipe.training.schedule import LOSSES

GRID = SensorSize(width=12, height=7)
T, B, K = 13, 2, 3
GAIN = 10.0
MLP = {"network": "mlp", "channels": (8, 6, 7)}
CSNN = {"network": "csnn", "norm": "weight", "channels": (4, 5), "kernel": 3, "padded": (True, False)}
NETWORKS = pytest.mark.parametrize("settings", [MLP, CSNN], ids=["mlp", "csnn"])
RULES = cast(tuple[Rule, ...], tuple(ONLINE))


def build(settings: dict[str, Any], **over: Any) -> SpikingNetwork:
    """Network with firing rates of 5 to 50 % in each layer."""
    torch.manual_seed(0)
    common = {"tau_mem_s": 3e-3, "tau_readout_s": 5e-3, "gain": GAIN, "reset": "subtract", "detach_reset": True}
    network = SpikingNetwork(
        NetworkConfig.model_validate(common | settings | over), grid=GRID, classes=K, dt=1e-3
    ).double()
    with watch_rates(network) as rates:
        network(spikes())
    assert all(0.02 < rate < 0.7 for rate in rates.values()), rates
    return network.train()


def spikes(steps: int = T) -> Tensor:
    drawn = torch.rand(steps, B, 2, GRID.height, GRID.width, generator=torch.Generator().manual_seed(1))
    return (drawn < 0.2).to(torch.uint8)


def test_every_rule_is_listed_wherever_rules_are_listed() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "concepts" / "learning-rules.md").read_text(encoding="utf-8")
    settings = (root / "dvspipe" / "training" / "config.py").read_text(encoding="utf-8")
    for name, kind in ONLINE.items():
        assert name in get_args(Rule), f"add {name!r} to Rule in dvspipe/rules/rules.py"
        assert kind.__name__ in learning.__all__, f"add {kind.__name__} to dvspipe/rules/__init__.py"
        assert f"\n| `{name}` |" in page, f"add {name} to the table of rules in docs/concepts/learning-rules.md"
        assert f"`{name}`" in settings, f"add {name} to the docstring of rule in dvspipe/training/config.py"
    assert set(get_args(Rule)) == {"bptt", *ONLINE}, "add each name of Rule to ONLINE in dvspipe/rules/rules.py"


def loss(outputs: Tensor) -> Tensor:
    targets = torch.eye(K, dtype=outputs.dtype)[torch.arange(B)]
    return LOSSES["each_step"](outputs, targets, 0.1).sum()


def gradients(network: SpikingNetwork) -> dict[str, Tensor]:
    return {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}


def by_bptt(network: SpikingNetwork, steps: int = T) -> dict[str, Tensor]:
    copied = copy.deepcopy(network)
    backpropagate(copied, spikes(steps), loss)
    return gradients(copied)


def by_rule(network: SpikingNetwork, rule: type[OnlineRule], steps: int = T) -> dict[str, Tensor]:
    copied = copy.deepcopy(network)
    rule(copied).update(spikes(steps), loss)
    return gradients(copied)


def assert_equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, their in theirs.items():
        assert their.abs().max() > 0, name
        assert (ours[name] - their).norm() <= 1e-12 * their.norm(), name


@NETWORKS
def test_ottt_equals_bptt_for_one_step(settings: dict[str, Any]) -> None:
    network = build(settings, tau_mem_s=1.2e-3)
    assert_equal(by_rule(network, OTTT, 1), by_bptt(network, 1))


@NETWORKS
def test_ottt_equals_bptt_without_memory(settings: dict[str, Any]) -> None:
    """The factor a is 1 in the neurons and in the readout."""
    network = build(settings, tau_mem_s=1e-3, tau_readout_s=1e-3)
    assert_equal(by_rule(network, OTTT), by_bptt(network))


@pytest.mark.parametrize(
    "settings",
    [
        MLP | {"channels": (9,)},
        CSNN | {"channels": (4,), "padded": None},
        CSNN | {"channels": (3,), "padded": (False,), "pool": 3},
    ],
    ids=["mlp", "csnn", "unpadded"],
)
@pytest.mark.parametrize("steps", [1, T])
def test_eprop_equals_bptt_for_one_layer(settings: dict[str, Any], steps: int) -> None:
    network = build(settings)
    assert_equal(by_rule(network, EProp, steps), by_bptt(network, steps))


@NETWORKS
def test_readout_gradient_equals_bptt(settings: dict[str, Any]) -> None:
    network = build(settings)
    ours, theirs = by_rule(network, OTTT), by_bptt(network)
    for name in ("linear.weight", "linear.bias"):
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-12, atol=1e-15)


def run_detached(network: SpikingNetwork) -> dict[str, Tensor]:
    """Compute OTTT by autograd at each step, as its authors and SpikingJelly do.

    Membranes are detached between steps. Values come from spikes, weight gradients from traces.
    """
    copied = copy.deepcopy(network)
    layers: list[Any] = list(copied.layers)
    readout: Any = copied.readout
    state: list[Any] = [0.0] * len(layers)
    traces: list[Any] = [(0.0, 0.0)] * (len(layers) + 1)
    v: Any = 0.0

    def synapses(number: int, x: Tensor, run: Any, decay: float) -> Tensor:
        """W x + b, where W and b get the gradient of the trace, and x the gradient of the spikes."""
        q, r = traces[number]
        q, r = decay * q + x.detach(), decay * r + 1
        traces[number] = q, r
        value = run(x, False, 1.0)
        with_trace = run(q, True, r)
        return cast(Tensor, value + with_trace - with_trace.detach())

    def linear(module: nn.Linear, x: Tensor, trains: bool, one: float) -> Tensor:
        weight, bias = (p if trains else p.detach() for p in (module.weight, module.bias))
        return x @ weight.T + one * bias

    def convolve(module: Any, x: Tensor, trains: bool, one: float) -> Tensor:
        weight, offset = module.standardised(), module.offset
        weight, offset = (weight, offset) if trains else (weight.detach(), offset.detach())
        return nn.functional.conv2d(x, weight, one * offset, padding=module.padding)

    for step in spikes().double():
        x = step
        for number, layer in enumerate(layers):
            a = layer.lif.factor
            decay = 1 - a
            if hasattr(layer, "linear"):
                x = x.flatten(1)
                currents = synapses(number, x, lambda *given, m=layer.linear: linear(m, *given), decay)
            else:
                currents = synapses(number, x, lambda *given, m=layer.convolution: convolve(m, *given), decay)
            settings = layer.lif.settings
            h = state[number] + a * (settings.gain * currents - state[number])
            z = cast(Any, Spike).apply(h - 1, settings.surrogate, settings.slope)
            state[number] = (h - z).detach()
            x = nn.functional.avg_pool2d(z, settings.pool) if settings.pool > 1 else z
        currents = synapses(len(layers), x.flatten(1), lambda *given: linear(copied.linear, *given), 1 - readout.factor)
        y = v + readout.factor * (readout.gain * currents - v)
        v = y.detach()
        (loss(y[None]) / T).backward()
    return gradients(copied)


@NETWORKS
def test_ottt_equals_autograd_with_detached_membranes(settings: dict[str, Any]) -> None:
    network = build(settings)
    assert_equal(by_rule(network, OTTT), run_detached(network))


def local_losses(network: SpikingNetwork, readouts: list[Tensor]) -> list[dict[str, Tensor]]:
    """Gradients of each layer's own loss by autograd, with detached spikes between layers."""
    found, outputs = [], list[Tensor]()

    def cut(_module: nn.Module, _inputs: Any, result: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        outputs.append(result[0])
        return result[0].detach(), result[1]

    for chosen in range(len(network.layers) + 1):
        copied = copy.deepcopy(network)
        outputs.clear()
        for layer in cast(Any, copied.layers):
            layer.lif.register_forward_hook(cut)
        y, _ = copied(spikes())
        if chosen == len(network.layers):
            total = loss(y)
        else:
            z = outputs[chosen]
            z = z.permute(0, 1, 4, 2, 3) if z.ndim == 5 else z
            total = loss(z.flatten(2) @ readouts[chosen].T)
        total.backward()
        found.append(gradients(copied))
    return found


@NETWORKS
def test_decolle_equals_autograd_of_local_losses(settings: dict[str, Any]) -> None:
    """A layer has no gradient from the loss of another layer."""
    network = build(settings)
    copied = copy.deepcopy(network)
    rule = Decolle(copied, seed=3)
    rule.update(spikes(), loss)
    ours, each = gradients(copied), local_losses(network, rule.readouts)
    for number, alone in enumerate(each):
        prefix = f"layers.{number}." if number < len(network.layers) else "linear."
        own = {name: gradient for name, gradient in ours.items() if name.startswith(prefix)}
        assert alone.keys() == own.keys()
        assert_equal(own, alone)
    again = Decolle(network, seed=3)
    again.update(spikes(), loss)
    assert all(torch.equal(one, other) for one, other in zip(rule.readouts, again.readouts, strict=True))


def cosine(ours: dict[str, Tensor], theirs: dict[str, Tensor], name: str) -> float:
    return float(nn.functional.cosine_similarity(ours[name].flatten(), theirs[name].flatten(), dim=0))


@pytest.mark.parametrize(("layers", "minimum"), [(2, 0.95), (3, 0.89)])
def test_gradients_of_deep_networks_align_with_bptt(layers: int, minimum: float) -> None:
    """Checks the first layer for two seeds."""
    for seed in range(2):
        torch.manual_seed(seed)
        config = NetworkConfig(
            network="mlp",
            channels=(20,) * layers,
            tau_mem_s=0.002,
            tau_readout_s=0.005,
            gain=4.0,
            slope=2.0,
            reset="subtract",
            detach_reset=True,
        )
        network = SpikingNetwork(config, grid=GRID, classes=K, dt=1e-3).double().train()
        theirs = by_bptt(network, 40)
        assert cosine(by_rule(network, OTTT, 40), theirs, "layers.0.linear.weight") > minimum


@pytest.mark.parametrize("rule", RULES)
def test_gradients_do_not_depend_on_the_steps_computed_together(rule: Rule) -> None:
    network = build(CSNN if rule != "eprop" else CSNN | {"channels": (4,), "padded": None}, dropout=0.4)
    found = []
    for steps in (1, 5, 100):
        copied = copy.deepcopy(network)
        built = build_rule(rule, copied, steps=steps)
        assert built is not None
        torch.manual_seed(5)
        built.update(spikes(), loss)
        found.append(gradients(copied))
    assert_equal(found[1], found[0])
    assert_equal(found[2], found[0])


def test_dropout_masks_are_constant_over_time_and_equal_bptt() -> None:
    network = build(MLP, dropout=0.5)
    copied = copy.deepcopy(network)
    torch.manual_seed(5)
    expected = backpropagate(network, spikes(), loss)
    drawn = torch.get_rng_state()
    torch.manual_seed(5)
    torch.testing.assert_close(OTTT(copied, steps=4).update(spikes(), loss), expected)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert set(draw_mask(torch.ones(2, 50), 0.5).unique().tolist()) == {0, 2}


def test_rates_are_recorded_by_hooks() -> None:
    network = build(CSNN)
    with watch_rates(network) as expected:
        network(spikes())
    with watch_rates(network) as rates:
        OTTT(network, steps=100).update(spikes(), loss)
    assert rates == pytest.approx(expected)


def test_networks_unsuitable_for_a_rule_are_rejected() -> None:
    assert find_unmet_needs("eprop", NetworkConfig(tau_syn_s=0.1, readout="count")) == {
        "norm": "weight",
        "reset": "subtract",
        "detach_reset": True,
        "readout": "leaky",
        "tau_syn_s": None,
        "channels": [12],
    }
    assert find_unmet_needs("ottt", NetworkConfig(reset="subtract", detach_reset=True)) == {"norm": "weight"}
    assert find_unmet_needs("ottt", NetworkConfig(network="mlp", reset="subtract", detach_reset=True)) == {}
    assert find_unmet_needs("bptt", NetworkConfig(network="stdp")) == {}


@pytest.mark.parametrize(
    ("rule", "settings", "needed"),
    [
        (OTTT, {"norm": "batch"}, "norm=weight"),
        (OTTT, {"norm": "weight", "detach_reset": False}, "detach_reset=true"),
        (EProp, {"norm": "weight", "channels": (3, 4)}, "channels=[3]"),
    ],
)
def test_rule_lists_the_settings_that_it_needs(
    rule: type[OnlineRule], settings: dict[str, Any], needed: object
) -> None:
    of_rules: dict[str, Any] = {"channels": (3,), "kernel": 3, "reset": "subtract", "detach_reset": True}
    config = NetworkConfig.model_validate(of_rules | settings)
    network = SpikingNetwork(config, grid=SensorSize(width=12, height=7), classes=3, dt=0.01)
    with raises(ConfigError, needed):
        rule(network)
