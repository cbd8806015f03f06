"""Estimate of the remaining time."""

from __future__ import annotations

import pytest

from dvspipe.base.progress import estimate_left_s


def test_time_left_assumes_average_speed() -> None:
    assert estimate_left_s(30, 100, 6.0) == pytest.approx(14.0)
    assert estimate_left_s(80, 100, 6.0, begin=70) == pytest.approx(12.0)
    assert estimate_left_s(100, 100, 6.0) == 0.0


@pytest.mark.parametrize(("done", "total", "begin"), [(4, 100, 0), (5, 0, 0), (52, 100, 50), (0, 100, 0)])
def test_time_left_is_none_below_5_percent_or_for_unknown_total(done: float, total: float, begin: float) -> None:
    assert estimate_left_s(done, total, 6.0, begin=begin) is None
