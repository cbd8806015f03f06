"""Time spans in microseconds and seconds."""

from __future__ import annotations

import numpy as np
import pytest
from facts import mentions, raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.base.errors import ConfigError
from dvspipe.events import EARLIEST_US, LATEST_US, TimeSpan

FIRST_US = 1_700_000_000_000_000


def span(
    start_us: object = None, stop_us: object = None, start_s: object = None, stop_s: object = None
) -> tuple[int, int]:
    return TimeSpan.of(start_us, stop_us, start_s, stop_s, lambda: FIRST_US)  # type: ignore[arg-type]


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_seconds_are_relative_to_the_first_event(start_s: float, stop_s: float) -> None:
    assert span(start_s=start_s, stop_s=stop_s) == (
        FIRST_US + round(start_s * 1e6),
        FIRST_US + round(stop_s * 1e6),
    )


def test_missing_limits_contain_all_times() -> None:
    assert span() == (EARLIEST_US, LATEST_US)
    assert TimeSpan(*span()).is_unlimited
    assert span(stop_us=5) == (EARLIEST_US, 5)
    assert span(start_s=1) == (FIRST_US + 1_000_000, LATEST_US)


def test_fractions_of_microseconds_are_rounded_up() -> None:
    assert span(1.5, 3.0) == (2, 3)
    assert span(np.float64(FIRST_US), np.int32(7)) == (FIRST_US, 7)
    assert span(-np.inf, np.inf) == span(-1e30, 1e30) == span(start_s=-np.inf, stop_s=np.inf) == span()


def test_time_is_given_once_and_is_a_number() -> None:
    with raises(ConfigError, "start_us = 5", "start_s = 1"):
        span(5, start_s=1)
    for name in ("start_us", "stop_us", "start_s", "stop_s"):
        for wrong in ("5", [5]):
            with pytest.raises(TypeError):
                span(**{name: wrong})
        with raises(ConfigError, "value", name, "nan"):
            span(**{name: np.nan})


@pytest.mark.parametrize("limits", [(0, 1000), (1000, 2000), (5001, 9000), (3000, 3000), (4000, 3000)])
def test_span_without_events_is_described(limits: tuple[int, int]) -> None:
    assert mentions(TimeSpan(*limits).explain_outside(2000, 5000), limits, 2000, 5000)


@pytest.mark.parametrize("limits", [(0, 2001), (5000, 6000), (3000, 3001), (EARLIEST_US, LATEST_US)])
def test_span_inside_the_recording_is_not_described(limits: tuple[int, int]) -> None:
    assert not TimeSpan(*limits).explain_outside(2000, 5000)
