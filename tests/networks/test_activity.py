"""Activity counts of a network."""

from __future__ import annotations

import itertools
from typing import Any

import norse.torch as norse
import pytest
import torch
from torch import Tensor, nn

from dvspipe.networks import NetworkConfig, build_network, count_activity, run_network, watch_rates

KINDS: dict[str, dict[str, Any]] = {
    "csnn": {"channels": (4, 6), "kernel": 3, "threshold": 0.2},
    "mlp": {"network": "mlp", "channels": (30, 20), "threshold": 0.2, "tau_syn_s": 0.03},
}


def build(kind: str) -> nn.Module:
    torch.manual_seed(0)
    config = NetworkConfig.model_validate(KINDS[kind])
    network = build_network(config, (2, 8, 12), classes=5, dt=0.015)
    for _ in range(10):
        run_network(network, sample(8))
    return network.eval()


def sample(recordings: int) -> Tensor:
    return torch.poisson(torch.full((6, recordings, 2, 8, 12), 0.3)).to(torch.uint8)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_counts_of_batches_add_up(kind: str) -> None:
    network = build(kind)
    spikes = sample(5)
    with count_activity(network, counted=True) as complete, watch_rates(network) as rates:
        run_network(network, spikes)
        layers = complete()
    with count_activity(network, counted=True) as parts:
        for part in spikes.split([1, 4], dim=1):
            run_network(network, part)
        summed = parts()

    for ours, theirs in zip(summed, layers, strict=True):
        assert (ours.name, ours.steps, ours.neurons) == (theirs.name, 30, theirs.neurons)
        assert ours.spikes_in == pytest.approx(theirs.spikes_in)
        assert ours.rate == (None if theirs.rate is None else pytest.approx(theirs.rate))
    for layer in layers[:-1]:
        assert layer.rate == pytest.approx(rates[layer.name])
        assert rates[layer.name] > 0.001
    assert (layers[-1].name, layers[-1].rate) == ("readout", None)
    assert layers[0].spikes_in == spikes.sum()


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_spikes_of_a_layer_arrive_in_the_next_layer(kind: str) -> None:
    """Average pooling of complete squares conserves spikes; a linear layer receives all spikes."""
    network = build(kind)
    with count_activity(network, counted=True) as activity:
        run_network(network, sample(3))
        layers = activity()
    for before, after in itertools.pairwise(layers):
        assert before.rate is not None
        assert after.spikes_in == pytest.approx(before.rate * before.neurons * before.steps, rel=1e-5)


@torch.no_grad()
def test_spike_reaches_fan_out_neurons() -> None:
    with count_activity(network := build("csnn"), counted=False) as activity:
        run_network(network, sample(1))
        first, second, readout = activity()
    assert (first.fan_out, first.multiplies) == (4 * 9, True)
    assert (second.fan_out, second.multiplies) == (6 * 9, False)
    assert readout.fan_out == 5


@torch.no_grad()
def test_unknown_layers_have_rates_alone() -> None:
    network = norse.SequentialState(nn.Flatten(2), nn.LSTM(192, 3), norse.LIF())
    with count_activity(network, counted=True) as activity, watch_rates(network) as rates:
        run_network(network, sample(1))
        assert activity() == ()
    assert [*rates] == ["lif1"]
