"""STDP by traces equals the sums over pairs of spikes, and reproduces figures of the papers."""

from __future__ import annotations

import pytest
import torch
from facts import raises
from torch import Tensor

from dvspipe.base.errors import ConfigError, DataError
from dvspipe.rules import PairRule, apply_stdp

F64 = torch.float64


def draw(steps: int, rate: float, *sizes: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.rand(steps, size, generator=generator) < rate).float() for size in sizes]


def test_traces_equal_the_double_sum_over_all_pairs() -> None:
    # Too little change to reach the bounds.
    rule = PairRule(increase=1e-4, decrease=1.05e-4, tau_plus_s=0.02, tau_minus_s=0.03)
    pre, post = draw(2000, 0.1, 3, 3)
    changed, _ = apply_stdp(torch.full((3, 3), 0.5, dtype=F64), pre, post, rule, dt_s=1e-3)
    for m in range(3):
        for n in range(3):
            arrived, fired = (torch.nonzero(spikes)[:, 0] for spikes in (pre[:, n], post[:, m]))
            lags_s = (fired[:, None] - arrived).double() * 1e-3
            up = 1e-4 * torch.exp(-lags_s / 0.02)[lags_s > 0].sum()
            down = 1.05e-4 * torch.exp(lags_s / 0.03)[lags_s < 0].sum()
            assert float(changed[m, n] - 0.5 - (up - down)) == pytest.approx(0, abs=1e-13)  # rounding
            assert float(up + down) > 0.05


def test_multiplicative_weights_reach_the_expected_equilibrium() -> None:
    """The mean drift is zero at w = A+ tau+ / (A+ tau+ + A- tau-)."""
    rule = PairRule(increase=0.01, decrease=0.005, bound="multiplicative")
    pre, post = draw(15_000, 0.03, 20, 20)
    weights, _ = apply_stdp(torch.full((20, 20), 0.3, dtype=F64), pre, post, rule, dt_s=1e-3)
    assert float(weights.mean()) == pytest.approx(2 / 3, abs=0.015)


def test_additive_weights_end_at_the_bounds() -> None:
    pre, post = torch.zeros(400, 1), torch.zeros(400, 1)
    pre[::40] = post[5::40] = 1
    rule, start = PairRule(increase=0.3, decrease=0.3), torch.full((1, 1), 0.5)
    assert float(apply_stdp(start, pre, post, rule, dt_s=1e-3)[0]) == 1
    assert float(apply_stdp(start, post, pre, rule, dt_s=1e-3)[0]) == 0


@pytest.mark.parametrize("rule", [PairRule(), PairRule(bound="multiplicative")])
def test_spikes_in_parts_equal_one_call(rule: PairRule) -> None:
    pre, post = draw(100, 0.2, 3, 2)
    start = torch.full((2, 3), 0.5, dtype=F64)
    expected, last = apply_stdp(start, pre, post, rule, dt_s=1e-3)
    weights, traces = start, None
    for before, after in zip(pre.split(33), post.split(33), strict=True):
        weights, traces = apply_stdp(weights, before, after, rule, dt_s=1e-3, traces=traces)
    assert traces is not None
    assert torch.equal(weights, expected)
    assert all(map(torch.equal, traces, last))
    assert (start == 0.5).all()


def test_wrong_shapes_and_steps_are_errors() -> None:
    pre, post = torch.zeros(5, 3), torch.zeros(5, 2)
    with raises(DataError, "pre", "[5, 3]", "N = 2"):
        apply_stdp(torch.zeros(3, 2), pre, post, PairRule(), dt_s=1e-3)
    with raises(DataError, "post", "steps = 5", "[4, 2]"):
        apply_stdp(torch.zeros(2, 3), pre, post[:4], PairRule(), dt_s=1e-3)
    with raises(ConfigError, "dt_s = -1"):
        apply_stdp(torch.zeros(2, 3), pre, post, PairRule(), dt_s=-1)
