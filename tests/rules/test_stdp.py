"""STDP by traces equals the sums over pairs of spikes, and reproduces figures of the papers."""

from __future__ import annotations

import math

import pytest
import torch
from facts import raises
from torch import Tensor

from dvspipe.base.errors import ConfigError, DataError
from dvspipe.rules import PairRule, Traces, apply_stdp

UNBOUNDED = PairRule(bound="none")


def train(steps: int, *times: int) -> Tensor:
    spikes = torch.zeros(steps, 1)
    spikes[list(times)] = 1
    return spikes


def change(rule: PairRule, pre: Tensor, post: Tensor) -> float:
    start = torch.zeros(1, 1, dtype=torch.float64)
    return float(apply_stdp(start, pre, post, rule, dt_s=1e-3)[0])


@pytest.mark.parametrize(("lag_ms", "expected"), [(10, 0.0060653), (-10, -0.0063686), (0, 0.0)])
def test_weight_change_depends_on_the_lag_of_a_pair(lag_ms: int, expected: float) -> None:
    pre, post = train(60, 30), train(60, 30 + lag_ms)
    assert change(UNBOUNDED, pre, post) == pytest.approx(expected, abs=5e-8)


def test_traces_equal_the_double_sum_over_all_pairs() -> None:
    draw = torch.Generator().manual_seed(0)
    pre, post = ((torch.rand(2000, 3, generator=draw) < 0.1).double() for _ in range(2))
    got, _ = apply_stdp(torch.zeros(3, 3, dtype=torch.float64), pre, post, UNBOUNDED, dt_s=1e-3)
    for m in range(3):
        for n in range(3):
            arrived, fired = (torch.nonzero(spikes)[:, 0] for spikes in (pre[:, n], post[:, m]))
            lags_s = (fired[:, None] - arrived).double() * 1e-3
            up = 0.01 * torch.exp(-lags_s / 0.02)[lags_s > 0].sum()
            down = 0.0105 * torch.exp(lags_s / 0.02)[lags_s < 0].sum()
            assert float(got[m, n] - (up - down)) == pytest.approx(0, abs=1e-13)  # rounding of sums of order 1
            assert float(up + down) > 5


def test_multiplicative_weights_reach_the_expected_equilibrium() -> None:
    """The mean drift is zero at w = A+ tau+ / (A+ tau+ + A- tau-)."""
    rule = PairRule(increase=0.004, decrease=0.002, bound="multiplicative")
    draw = torch.Generator().manual_seed(3)
    pre, post = ((torch.rand(60_000, n, generator=draw) < 0.03).float() for n in (10, 10))
    weights, _ = apply_stdp(torch.full((10, 10), 0.3, dtype=torch.float64), pre, post, rule, dt_s=1e-3)
    assert float(weights.mean()) == pytest.approx(2 / 3, abs=0.015)


def test_additive_weights_end_at_the_bounds() -> None:
    pre, post = train(400, *range(0, 400, 40)), train(400, *range(5, 400, 40))
    rule = PairRule(increase=0.3, decrease=0.3)
    up, _ = apply_stdp(torch.full((1, 1), 0.5), pre, post, rule, dt_s=1e-3)
    down, _ = apply_stdp(torch.full((1, 1), 0.5), post, pre, rule, dt_s=1e-3)
    assert (float(up), float(down)) == (1.0, 0.0)


@pytest.mark.parametrize("rule", [PairRule(), PairRule(bound="multiplicative")])
def test_spikes_in_parts_equal_one_call(rule: PairRule) -> None:
    draw = torch.Generator().manual_seed(4)
    pre, post = (torch.rand(100, n, generator=draw) < 0.2 for n in (3, 2))
    start = torch.full((2, 3), 0.5, dtype=torch.float64)
    expected, last = apply_stdp(start, pre, post, rule, dt_s=1e-3)
    weights, traces = start, None
    for before, after in zip(pre.split(33), post.split(33), strict=True):
        weights, traces = apply_stdp(weights, before, after, rule, dt_s=1e-3, traces=traces)
    assert traces is not None
    assert torch.equal(weights, expected)
    assert all(map(torch.equal, traces, last))
    assert (start == 0.5).all()


def test_response_to_a_repeated_pattern_in_noise_becomes_earlier() -> None:
    """Masquelier et al. 2008: STDP strengthens the earliest inputs, and the neuron fires earlier."""
    draw = torch.Generator().manual_seed(5)
    N, T = 200, 20
    pattern = torch.nn.functional.one_hot(torch.randint(T, (N,), generator=draw), T).T.float()  # each spikes once
    weights, rule = torch.full((1, N), 0.5), PairRule(increase=0.03, decrease=0.0255, tau_plus_s=0.01)
    latencies = []
    for _ in range(60):
        pre = ((pattern + (torch.rand(T, N, generator=draw) < 0.002)) > 0).float()
        potential = (pre @ weights.T).cumsum(0)
        fired = (potential > 0.2 * N).float().cumsum(0) == 1  # the first crossing
        latencies.append(int(fired.int().argmax(0)) if fired.any() else T)
        weights, _ = apply_stdp(weights, pre, fired.float(), rule, dt_s=1e-3)
    assert latencies[0] > latencies[10] >= latencies[-1]
    assert latencies[-1] < 0.7 * latencies[0]


@pytest.mark.parametrize(
    ("weights", "pre", "post", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(5, 3), torch.zeros(5, 3), ("[2, 3]", "[M = 3, N = 3]")),
        (torch.zeros(3, 3), torch.zeros(5, 3), torch.zeros(4, 3), ("post", "T = 5", "[4, 3]")),
        (torch.zeros(3, 3), torch.full((5, 3), 0.5), torch.zeros(5, 3), "pre"),
        (torch.full((3, 3), math.nan), torch.zeros(5, 3), torch.zeros(5, 3), ("NaN", "weights")),
    ],
)
def test_invalid_spikes_and_weights_are_rejected(weights: Tensor, pre: Tensor, post: Tensor, message: object) -> None:
    with raises(DataError, message):
        apply_stdp(weights, pre, post, PairRule(), dt_s=1e-3)


def test_wrong_traces_are_rejected() -> None:
    for pre, facts in ((torch.full((3,), math.nan), ("NaN", "pre")), (torch.zeros(4), ("traces.pre", "N = 3"))):
        traces = Traces(pre, torch.zeros(3))
        with raises(DataError, facts):
            apply_stdp(torch.zeros(3, 3), torch.zeros(5, 3), torch.zeros(5, 3), PairRule(), dt_s=1e-3, traces=traces)


def test_step_duration_must_be_positive() -> None:
    spikes = torch.zeros(3, 2)
    with raises(ConfigError, "dt_s = -1"):
        apply_stdp(torch.rand(2, 2), spikes, spikes, PairRule(), dt_s=-1)
