"""Activity counts of a network, and traces of its neurons."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from dvspipe.events import SensorSize
from dvspipe.networks import NetworkConfig, SpikingNetwork, count_activity, watch_rates
from dvspipe.networks.models import Convolution, Linear

GRID = SensorSize(width=12, height=8)
KINDS = {
    "csnn": {"channels": (4, 6), "kernel": 3, "gain": 6.0},
    "count": {"channels": (4, 6), "kernel": 3, "readout": "count", "gain": 8.0, "reset": "subtract"},
    "mlp": {"network": "mlp", "channels": (30, 20), "gain": 5.0, "tau_syn_s": 0.03},
}


def network(kind: str) -> SpikingNetwork:
    torch.manual_seed(0)
    built = SpikingNetwork(NetworkConfig.model_validate(KINDS[kind]), grid=GRID, classes=5, dt=0.015).train()
    with torch.no_grad():
        for _ in range(10):
            built(sample(8))
    return built.eval()


def sample(recordings: int) -> Tensor:
    return torch.poisson(torch.full((6, recordings, 2, 8, 12), 0.3)).to(torch.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_counts_of_batches_add_up(kind: str) -> None:
    net, spikes = network(kind), sample(5)
    with torch.no_grad():
        with count_activity(net) as complete, watch_rates(net) as rates:
            net(spikes)
        with count_activity(net) as parts:
            for part in spikes.split([1, 4], dim=1):
                net(part)
    for ours, theirs in zip(parts, complete, strict=True):
        assert (ours.name, ours.steps, ours.nonzero) == (theirs.name, 30, theirs.nonzero)
        assert ours.arrived == pytest.approx(theirs.arrived)
        assert ours.rate == (None if theirs.rate is None else pytest.approx(theirs.rate))
    for layer in complete[:-1]:
        assert layer.rate == pytest.approx(rates[layer.name])
        assert rates[layer.name] > 0.001
    assert (complete[-1].name, complete[-1].rate is None) == ("readout", kind != "count")
    assert complete[0].arrived == spikes.sum()
    assert complete[0].nonzero == spikes.count_nonzero()


def test_spikes_of_a_layer_arrive_in_the_next_layer() -> None:
    """Average pooling of complete squares conserves spikes; a linear layer receives all spikes."""
    for kind in ("csnn", "mlp"):
        net = network(kind)
        with torch.no_grad(), count_activity(net) as layers:
            net(sample(3))
        for before, after in itertools.pairwise(layers):
            assert before.spikes_out is not None
            assert after.arrived == pytest.approx(before.spikes_out * before.neurons)


@pytest.mark.parametrize("kind", KINDS)
def test_spike_reaches_fan_out_neurons(kind: str) -> None:
    """An additional spike in the middle of the input changes the currents of `fan_out` neurons."""
    net = network(kind)
    with torch.no_grad(), count_activity(net) as layers:
        net(sample(1))
    synapses = [layer for layer in net.modules() if isinstance(layer, Convolution | Linear)]
    for layer, synapse in zip(layers, synapses, strict=False):
        if isinstance(synapse, Convolution):
            x = torch.zeros(1, synapse.convolution.in_channels, 7, 9)
            x[0, 0, 3, 4] = 1
            changed = synapse.convolution(x).count_nonzero()
        else:
            x = torch.zeros(synapse.linear.in_features)
            x[3] = 1
            changed = (synapse.linear(x) - synapse.linear.bias).count_nonzero()
        assert layer.fan_out == changed
    assert layers[-1].fan_out == net.linear.out_features
