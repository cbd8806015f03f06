"""Convolutional neurons that spike at most once, and winner-take-all STDP, compared with loops over neurons."""

from __future__ import annotations

import itertools

import pytest
import torch
from facts import raises
from torch import Tensor
from torch.nn import functional

from dvspipe.base.errors import DataError
from dvspipe.networks import IntegrateAndFire
from dvspipe.rules import Competition, StdpConfig, convergence, train_convolution


def draw_spikes(recordings: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(8, recordings, 2, 7, 12, generator=generator) < 0.1).to(torch.uint8)


def draw_layer(threshold: float | None, pool: int) -> IntegrateAndFire:
    torch.manual_seed(0)
    return IntegrateAndFire(2, 4, kernel=3, threshold=threshold, padding=1, pool=pool)


def sum_potentials(weights: Tensor, padded: Tensor, t: int, y: int, x: int) -> Tensor:
    """Add up the weights [K, ...] of all spikes [T, C, H, W] until step t at a pixel."""
    side = weights.shape[-1]
    return (weights * padded[: t + 1, :, y : y + side, x : x + side].sum(0)).sum((1, 2, 3))


@pytest.mark.parametrize("pool", [1, 2, 3])
def test_first_neuron_of_a_pixel_spikes_once(pool: int) -> None:
    layer, spikes = draw_layer(5.0, pool), draw_spikes(2)
    expected = torch.zeros(8, 2, 4, 7 // pool, 12 // pool)
    for b, y, x in itertools.product(range(2), range(7 // pool * pool), range(12 // pool * pool)):
        padded = functional.pad(spikes[:, b].float(), (1,) * 4)
        for t in range(8):
            potentials = sum_potentials(layer.weight, padded, t, y, x)
            if potentials.max() >= 5:
                square = expected[:, b, potentials.argmax(), y // pool, x // pool]
                first = min(t, int(square.argmax())) if square.any() else t
                square[:] = 0
                square[first] = 1
                break
    assert expected.sum() > 5
    assert torch.equal(layer(spikes), expected)


def test_layer_without_threshold_returns_the_largest_potentials() -> None:
    layer, spikes = draw_layer(None, 2), draw_spikes(1)
    padded = functional.pad(spikes[:, 0].float(), (1,) * 4)
    pixels = [sum_potentials(layer.weight, padded, 5, y, x) for y in (2, 3) for x in (4, 5)]
    torch.testing.assert_close(layer(spikes)[5, 0, :, 1, 2], torch.stack(pixels).amax(0))


def train_slowly(weights: Tensor, spikes: Tensor, rates: list[float], rules: Competition) -> Tensor:
    """Return the weights after training, with a search over all neurons for each winner."""
    w, side = weights.clone(), weights.shape[-1]
    K, H, W = len(w), spikes.shape[3] + 2 * rules.padding - side + 1, spikes.shape[4] + 2 * rules.padding - side + 1
    for recording, rate in zip(spikes.float().unbind(1), rates, strict=True):
        padded = functional.pad(recording, (rules.padding,) * 4)
        winners: list[tuple[int, int, int, int]] = []
        for t in range(len(padded)):
            potentials = {(y, x): sum_potentials(w, padded, t, y, x) for y in range(H) for x in range(W)}
            while len(winners) < rules.winners:
                free = [
                    (float(potentials[y, x][k]), k, y, x)
                    for k, y, x in itertools.product(range(K), range(H), range(W))
                    if all(k != n and max(abs(y - i), abs(x - j)) > rules.radius for _, n, i, j in winners)
                ]
                best = max(free, default=(0.0, 0, 0, 0))
                if best[0] < rules.threshold:
                    break
                winners.append((t, *best[1:]))
        for t, k, y, x in winners:
            before = padded[: t + 1, :, y : y + side, x : x + side].sum(0) > 0
            w[k] += torch.where(before, rate, -0.75 * rate) * w[k] * (1 - w[k])
    return w


@pytest.mark.parametrize("rules", [Competition(5.0, 3, 1, 1), Competition(6.0, 1, 0, 0)])
def test_winners_equal_a_search_over_all_neurons(rules: Competition) -> None:
    weights, spikes = draw_layer(None, 1).weight, draw_spikes(6)
    rates = [0.1, 0.1, 0.2, 0.2, 0.4, 0.4]
    learned = train_convolution(weights, spikes, rates, rules)
    assert (learned != weights).any()
    torch.testing.assert_close(learned, train_slowly(weights, spikes, rates, rules), rtol=1e-5, atol=1e-6)

    half = train_convolution(weights, spikes[:, :2], rates[:2], rules)
    assert torch.equal(train_convolution(half, spikes[:, 2:], rates[2:], rules), learned)


def test_kernels_converge_to_the_input_patterns() -> None:
    """For bars of two orientations, weights end near 0 and 1, and kernels are bars."""
    torch.manual_seed(0)
    rows = torch.eye(9)[torch.randint(1, 8, (1200,))][:, None, :, None].expand(-1, 1, 9, 9)
    is_column = torch.arange(1200)[:, None, None, None] % 2 == 0
    bars = torch.where(is_column, rows.mT, rows)[None]
    weights = (0.8 + 0.05 * torch.randn(4, 1, 5, 5)).clamp(0, 1)
    learned = train_convolution(weights, bars, StdpConfig(doubled_after=100).rates(0, 1200), Competition(4.0, 1, 2))
    assert convergence(weights) > 0.1 > 0.01 > convergence(learned)
    assert ((learned > 0.5).sum((1, 2, 3)) == 5).all()


def test_learning_rates_double_up_to_the_maximum() -> None:
    assert StdpConfig(doubled_after=2).rates(1, 4) == [0.004, 0.008, 0.008, 0.016]
    assert StdpConfig(doubled_after=1).rates(9999, 1) == [0.15]


def test_spikes_with_other_channels_or_sizes_are_rejected() -> None:
    with raises(DataError, "[8, 1, 1, 7, 12]", "C = 2"):
        train_convolution(torch.ones(4, 2, 3, 3), draw_spikes(1)[:, :, :1], [0.1], Competition(5.0, 1, 0))
    with raises(DataError, "too small", "12x7", "pool of 8"):
        draw_layer(5.0, 8)(draw_spikes(1))
