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


def test_missing_limits_contain_all_times_and_fractions_are_rounded_up() -> None:
    assert span() == span(-np.inf, 1e30) == span(start_s=-np.inf, stop_s=np.inf) == (EARLIEST_US, LATEST_US)
    assert TimeSpan(*span()).is_unlimited
    assert span(stop_us=5) == (EARLIEST_US, 5)
    assert span(1.5, 3.0) == (2, 3)
    assert span(np.float64(FIRST_US), np.int32(7)) == (FIRST_US, 7)
    assert span(np.int64(2**60 + 1), np.uint64(2**61 + 1)) == (2**60 + 1, 2**61 + 1)
    assert span(start_s=np.int16(3), stop_s=np.float32(4.5)) == (FIRST_US + 3_000_000, FIRST_US + 4_500_000)


def test_time_is_given_once_and_is_a_number() -> None:
    with raises(ConfigError, "start_us = 5", "start_s = 1"):
        span(5, start_s=1)
    for name in ("start_us", "stop_us", "start_s", "stop_s"):
        with pytest.raises(TypeError):
            span(**{name: "5"})
        with raises(ConfigError, "value", name, "nan"):
            span(**{name: np.nan})


times = st.integers(0, 6)


@given(times | st.just(EARLIEST_US), times | st.just(LATEST_US), times, times)
def test_span_without_times_of_the_recording_is_described(start: int, stop: int, first: int, duration: int) -> None:
    last = first + duration
    text = TimeSpan(start, stop).explain_outside(first, last)
    assert bool(text) == (not any(start <= t < stop for t in range(first, last + 1)))
    assert not text or mentions(text, first, last)
