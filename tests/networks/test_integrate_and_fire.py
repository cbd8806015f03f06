"""Convolutional neurons that spike at most once, and winner-take-all STDP, compared with plain implementations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from facts import raises
from test_networks import check_pieces
from torch import Tensor
from torch.nn import functional

from dvspipe.base.errors import ConfigError, DataError
from dvspipe.events import SensorSize
from dvspipe.networks import IntegrateAndFire, NetworkConfig, SpikingNetwork, count_activity, watch_rates
from dvspipe.networks.integrate_and_fire import FIRED
from dvspipe.rules import Competition, StdpConfig, convergence, train_convolution

GRID = SensorSize(width=12, height=7)
CONFIG = NetworkConfig(network="stdp", channels=(4, 6), kernel=3, thresholds=(5, 9), last_pool=2)


def network() -> SpikingNetwork:
    torch.manual_seed(0)
    return SpikingNetwork(CONFIG, grid=GRID, classes=5, dt=0.01).eval()


def sample(recordings: int, steps: int = 8) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return (torch.rand(steps, recordings, 2, 7, 12, generator=draw) < 0.1).to(torch.uint8)


def plain_spikes(layer: IntegrateAndFire, spikes: Tensor) -> Tensor:
    """Spikes [T, B, H', W', K] without pooling, by convolution of the cumulative input spikes."""
    summed = spikes.float().cumsum(0).flatten(0, 1).permute(0, 3, 1, 2)
    potentials = functional.conv2d(summed, layer.weight, padding=layer.geometry.padding)
    potentials = potentials.permute(0, 2, 3, 1).unflatten(0, spikes.shape[:2])
    if layer.threshold is None:
        return potentials
    output, closed = torch.zeros_like(potentials), torch.zeros(potentials.shape[1:4], dtype=torch.bool)
    for now, into in zip(potentials, output, strict=True):
        top, k = now.max(-1)
        fires = (top >= layer.threshold) & ~closed
        into[fires] = functional.one_hot(k[fires], now.shape[-1]).float()
        closed |= fires
    return output


def pooled(values: Tensor, side: int) -> Tensor:
    return functional.max_pool2d(values.flatten(0, 1).permute(0, 3, 1, 2), side).permute(0, 2, 3, 1)


@pytest.mark.parametrize("threshold", [5.0, None])
def test_layer_equals_a_plain_convolution(threshold: float | None) -> None:
    torch.manual_seed(0)
    layer = IntegrateAndFire(2, 4, kernel=3, threshold=threshold, padding=1, pool=2)
    spikes = sample(3).permute(0, 1, 3, 4, 2)
    got, _ = layer(spikes, None)
    expected = plain_spikes(layer, spikes)
    if threshold is not None:  # pooling keeps the first spike of a square
        expected = expected.cumsum(0)
        expected = torch.diff(pooled(expected, 2).unflatten(0, (8, 3)), dim=0, prepend=torch.zeros(1, 3, 3, 6, 4))
        assert 0.1 < float(expected.sum() / 3 / 18) <= 4
    else:
        expected = pooled(expected, 2).unflatten(0, (8, 3))
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_outputs_in_pieces_equal_outputs_of_the_recording() -> None:
    check_pieces(network(), sample(3), [1, 4, 3])


def test_outputs_are_linear_in_the_features() -> None:
    net, spikes = network(), sample(2)
    with torch.no_grad():
        features = net.run_layers(spikes).flatten(2)
        torch.testing.assert_close(net(spikes)[0].mean(0), net.linear(features.mean(0)))


def test_rates_and_connections_count_neurons() -> None:
    net, spikes = network(), sample(3)
    with torch.no_grad(), count_activity(net) as layers, watch_rates(net) as rates:
        _, state = net(spikes)
    first, last, readout = layers
    assert (first.neurons, first.connections) == (4 * 7 * 12, 4 * 7 * 12 * 2 * 9)
    assert first.rate == pytest.approx(int((state[0] == FIRED).sum()) / first.neurons / 24)
    assert rates == {"lif1": pytest.approx(first.rate)}
    assert first.arrived == spikes.sum()
    assert (last.neurons, last.rate, readout.rate) == (6 * 3 * 6, None, None)
    assert (first.of_potentials, last.of_potentials, readout.of_potentials) == (False, False, True)


def plain_learning(weights: Tensor, spikes: Tensor, rates: np.ndarray, rules: Competition) -> Tensor:
    """Weights after training on recordings [B, T, C, H, W], with padded images and a dense search for winners."""
    w, side = weights.clone(), weights.shape[-1]
    for image, (up, down) in zip(spikes.float(), rates.tolist(), strict=True):
        padded = functional.pad(image, (rules.padding,) * 4)
        potentials = functional.conv2d(padded.cumsum(0), w)
        free, found = torch.ones(potentials.shape[1:], dtype=torch.bool), []
        for t, now in enumerate(potentials):
            while len(found) < rules.winners and ((now >= rules.threshold) & free).any():
                k, y, x = (int(i) for i in np.unravel_index(int(torch.where(free, now, -1).argmax()), now.shape))
                found.append((t, k, y, x))
                free[k] = False
                r = rules.radius
                free[:, max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1] = False
        for t, k, y, x in found:
            before = padded[: t + 1, :, y : y + side, x : x + side].sum(0) > 0
            w[k] += torch.where(before, up, -down) * w[k] * (1 - w[k])
    return w


@pytest.mark.parametrize("rules", [Competition(5.0, 3, 1, 1), Competition(9.0, 1, 0, 0)])
def test_winners_equal_a_plain_implementation(rules: Competition) -> None:
    torch.manual_seed(2)
    weights = (0.8 + 0.05 * torch.randn(4, 2, 3, 3)).clamp(0, 1)
    spikes, rates = sample(30).transpose(0, 1), StdpConfig(increase=0.1, doubled_after=10).rates(0, 30)
    learned, won = train_convolution(weights, spikes, rates, rules)
    torch.testing.assert_close(learned, plain_learning(weights, spikes, rates, rules), rtol=1e-4, atol=1e-5)
    assert 10 < won.sum() <= 30 * rules.winners
    assert (learned != weights).any()


def test_recordings_in_parts_train_the_same_weights() -> None:
    weights, rules, config = torch.full((4, 2, 3, 3), 0.8), Competition(5.0, 3, 1, 1), StdpConfig(doubled_after=7)
    spikes = sample(30).transpose(0, 1)
    complete, _ = train_convolution(weights, spikes, config.rates(0, 30), rules)
    half, _ = train_convolution(weights, spikes[:13], config.rates(0, 13), rules)
    half, _ = train_convolution(half, spikes[13:], config.rates(13, 17), rules)
    assert torch.equal(half, complete)
    assert (weights == 0.8).all()


def test_kernels_converge_to_the_input_patterns() -> None:
    """For bars of four orientations, weights end near 0 and 1, and channels prefer different bars."""
    rows, columns = (
        torch.zeros(2, 600, 1, 1, 9, 9),
        torch.randint(1, 8, (600,), generator=torch.Generator().manual_seed(0)),
    )
    rows[0, range(600), 0, 0, columns] = 1
    rows[1, range(600), 0, 0, :, columns] = 1
    bars = rows.transpose(0, 1).flatten(0, 1)
    torch.manual_seed(0)
    weights = (0.8 + 0.05 * torch.randn(4, 1, 5, 5)).clamp(0, 1)
    assert convergence(weights) > 0.1
    learned, won = train_convolution(
        weights, bars, StdpConfig(doubled_after=100).rates(0, 1200), Competition(4.0, 1, 2, 0)
    )
    assert convergence(learned) < 0.01
    assert float(((learned < 0.1) | (learned > 0.9)).float().mean()) > 0.9
    assert (won > 0).all()


def test_learning_rates_double_up_to_the_maximum() -> None:
    rates = StdpConfig(increase=0.01, largest=0.05, doubled_after=2).rates(1, 7)
    np.testing.assert_allclose(rates[:, 0], [0.01, 0.02, 0.02, 0.04, 0.04, 0.05, 0.05], rtol=1e-6)
    np.testing.assert_allclose(rates[:, 1], 0.75 * rates[:, 0])


def test_spikes_with_other_channels_are_rejected() -> None:
    with raises(DataError, "[1, 5, 3, 7, 12]", "[4, 2, 3, 3]"):
        train_convolution(
            torch.ones(4, 2, 3, 3), torch.ones(1, 5, 3, 7, 12), StdpConfig().rates(0, 1), Competition(5.0, 1, 0, 0)
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"thresholds": (5,)}, ("thresholds", "1", "2")),
        ({"readout": "leaky"}, ("readout", "network = csnn or mlp")),
        ({"padded": (True,)}, ("padded", "1", "2")),
    ],
)
def test_contradicting_settings_are_rejected(settings: dict[str, Any], message: object) -> None:
    with raises(ConfigError, message):
        SpikingNetwork(NetworkConfig.model_validate(CONFIG.given | settings), grid=GRID, classes=3, dt=0.01)
