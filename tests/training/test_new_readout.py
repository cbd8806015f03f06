"""The last layer for new classes: features and ridge regression."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dvspipe.events import SensorSize
from dvspipe.networks import NetworkConfig, SpikingNetwork
from dvspipe.training import new_readout as module
from dvspipe.training.new_readout import fit_readout, is_linear, read_features

GRID = SensorSize(width=12, height=7)
T, B, K = 6, 9, 4


def network_of(**settings: Any) -> SpikingNetwork:
    torch.manual_seed(0)
    kernel = {} if settings.get("network") == "mlp" else {"kernel": 3}
    config = NetworkConfig.model_validate(
        {"channels": [5, 6], "tau_mem_s": 0.02, "tau_readout_s": 0.05, "gain": 3.0} | kernel | settings
    )
    return SpikingNetwork(config, grid=GRID, classes=K, dt=0.01).double().eval()


def draw_samples(count: int = 12) -> tuple[Tensor, Tensor]:
    """Draw features [N, 31] that tell something about the labels, and labels."""
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(count) % K
    features = torch.rand(count, 31, dtype=torch.float64, generator=generator)
    return features + nn.functional.one_hot(labels, 31), labels


def fit(features: Tensor, labels: Tensor) -> Tensor:
    return fit_readout(features, labels, torch.arange(len(labels)), classes=K)


@pytest.mark.parametrize("kind", ["csnn", "mlp"])
def test_logits_are_a_linear_map_of_the_features(kind: str) -> None:
    network = network_of(network=kind, dropout=0.5)
    spikes = (torch.rand(T, B, 2, GRID.height, GRID.width, generator=torch.Generator().manual_seed(1)) < 0.4).double()
    features = read_features(network, spikes)
    readout = torch.cat([network.linear.weight, network.linear.bias[:, None]], dim=1).detach()
    assert features.any()
    torch.testing.assert_close(features @ readout.T, network(spikes)[0].mean(0).detach(), rtol=1e-12, atol=1e-12)


def test_spiking_readout_is_not_linear() -> None:
    assert is_linear(network_of())
    assert not is_linear(network_of(readout="count"))


def test_gradient_is_zero_at_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = draw_samples()
    monkeypatch.setattr(module, "PENALTIES", (0.1,))
    readout = fit(features, labels).requires_grad_()
    loss = nn.functional.cross_entropy(features @ readout.T, labels, reduction="sum")
    shrunk = 0.1 / 2 * features.square().sum(1).mean() * readout.square().sum()
    parts = [torch.autograd.grad(part, readout)[0] for part in (4 * loss, shrunk)]
    assert float(torch.stack(parts).sum(0).abs().max()) < 0.02 * float(parts[0].abs().max())


def test_samples_of_a_recording_count_once() -> None:
    features, labels = draw_samples()
    recordings = torch.cat([torch.arange(12), torch.arange(3), torch.arange(1)])
    again = fit_readout(features[recordings], labels[recordings], recordings, classes=K)
    torch.testing.assert_close(again, fit(features, labels))


def test_readout_is_zero_if_the_features_predict_nothing() -> None:
    _, labels = draw_samples()
    assert not fit(torch.ones(12, 3, dtype=torch.float64), labels).any()
