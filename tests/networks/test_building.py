"""Networks built from settings, and the one way to call a network."""

from __future__ import annotations

from typing import Any

import norse.torch as norse
import pytest
import torch
from facts import raises
from torch import Tensor, nn

from dvspipe.base.errors import ConfigError
from dvspipe.networks import NetworkConfig, build_network, run_in_pieces, run_network, streams

SHAPE = (2, 7, 12)
DT = 1e-3
KINDS: list[dict[str, Any]] = [
    {"network": "csnn", "channels": (4, 5), "kernel": 3},
    {"network": "csnn", "channels": (4,), "norm": "weight", "reset": "subtract", "detach_reset": True},
    {"network": "csnn", "channels": (4, 5), "kernel": 3, "padded": (True, False), "dropout": 0.2},
    {"network": "mlp", "channels": (8, 6), "dropout": 0.2, "surrogate": "arctan", "slope": 2.0},
    {"network": "mlp", "channels": (8,), "tau_syn_s": 0.005, "threshold": 0.2},
    {"network": "stdp", "channels": (4, 5), "kernel": 3},
]


def build(settings: dict[str, Any], classes: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return build_network(NetworkConfig.model_validate(settings), SHAPE, classes=classes, dt=DT)


def draw_spikes(steps: int = 9) -> Tensor:
    drawn = torch.rand(steps, 2, *SHAPE, generator=torch.Generator().manual_seed(1))
    return (drawn < 0.4).to(torch.uint8)


@pytest.mark.parametrize("settings", KINDS)
def test_network_runs_in_parts_as_in_one_call(settings: dict[str, Any]) -> None:
    network = build(settings).eval()
    outputs, _ = run_network(network, draw_spikes())
    assert outputs.shape == (9, 2, 3)
    assert streams(network) == (settings["network"] != "stdp")
    torch.testing.assert_close(run_in_pieces(network, draw_spikes(), 4), outputs)


def test_state_is_not_changed() -> None:
    network = build(KINDS[0]).eval()
    _, state = run_network(network, draw_spikes())
    assert state is not None
    before = [*state]
    run_network(network, draw_spikes(), state)
    assert all(ours is theirs for ours, theirs in zip(state, before, strict=True))


def test_threshold_scales_inputs() -> None:
    """A threshold of 1 / g is a gain of g on the weights."""
    low = build({"network": "mlp", "channels": (8,), "threshold": 0.1}).eval()
    scaled = build({"network": "mlp", "channels": (8,)}).eval()
    with torch.no_grad():
        for number in (1, 3):  # the readout's are scaled when built
            for parameter in scaled[number].parameters():  # type: ignore[index]
                parameter.mul_(10)
    torch.testing.assert_close(run_network(low, draw_spikes())[0], run_network(scaled, draw_spikes())[0])


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({"kernel": 4}, ("kernel", 4)),
        ({"tau_mem_s": 1e-4}, ("tau_mem_s", 0.0001, 0.001)),
        ({"padded": (True,)}, ("padded", 1, 2)),
        ({"kernel": 9, "padded": (False, False)}, ("padded", 9)),
        ({"tau_syn_s": 0.01, "reset": "subtract"}, ("tau_syn_s", "reset")),
        ({"network": "stdp", "thresholds": (1.0,)}, ("thresholds", 1, 2)),
        ({"network": "module"}, ("module",)),
        ({"network": "mlp", "kernel": 3}, ("kernel", "mlp")),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], facts: tuple[object, ...]) -> None:
    with raises(ConfigError, *facts):
        build(settings)


def test_a_time_constant_may_be_one_step() -> None:
    build({"tau_mem_s": 1e-3})


class Mean(nn.Module):
    """Network without a state, which returns [B, K]."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(168, 3)

    def forward(self, spikes: Tensor) -> Tensor:
        return self.linear(spikes.flatten(2)).mean(0)


def test_networks_of_users_are_called_alike() -> None:
    outputs, state = run_network(Mean(), draw_spikes())
    assert outputs.shape == (9, 2, 3)
    assert state is None

    network = norse.SequentialState(nn.Flatten(2), nn.Linear(168, 3), norse.LIF(dt=DT))
    outputs, state = run_network(network, draw_spikes())
    assert outputs.shape == (9, 2, 3)
    assert state is not None
    assert type(state[2]).__name__ == "LIFFeedForwardState"


def test_wrong_outputs_are_named() -> None:
    with raises(ConfigError, "Linear", 9, 2):
        run_network(nn.Linear(12, 3), draw_spikes())
