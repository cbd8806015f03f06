"""Figures of two recordings of a scene."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import random_events
from facts import raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.base.errors import EventError
from dvspipe.events import Events, SensorSize
from dvspipe.recordings.comparison import REACH_US, compare

SENSOR = SensorSize(width=12, height=7)
RECORDINGS = st.builds(
    lambda seed, count, span_us: random_events(seed, count, SENSOR, span_us=span_us),
    st.integers(0, 2**32 - 1),
    st.integers(0, 200),
    st.sampled_from([1_000, 300_000, 20_000_000]),
)


def find_distances(events: Events, others: Events) -> list[float]:
    """Return the time from each event to the nearest other at its pixel and polarity, by a plain loop."""
    distances = []
    for t_us, x, y, p in zip(events.t, events.x, events.y, events.p, strict=True):
        near = others.t[(others.x == x) & (others.y == y) & (others.p == p)]
        distances.append(float(np.abs(near - t_us).min()) if len(near) else np.inf)
    return distances


@given(RECORDINGS, RECORDINGS)
def test_figures_follow_their_definitions(a: Events, b: Events) -> None:
    result = compare(a, b)
    assert (result.events_a, result.events_b) == (len(a), len(b))
    pairs = ((a, b, result.nearest_to_a_us, result.alone_a), (b, a, result.nearest_to_b_us, result.alone_b))
    for events, others, nearest_us, alone in pairs:
        distances = find_distances(events, others)
        near = [distance for distance in distances if distance <= REACH_US]
        assert nearest_us == (np.median(near) if near else None)
        assert alone == (pytest.approx(1 - len(near) / len(distances)) if distances else None)


@given(RECORDINGS)
def test_recording_equals_itself(events: Events) -> None:
    told: list[float] = []
    result = compare(events, events, progress=lambda done, _: told.append(done))
    assert told == sorted(told)
    assert not len(events) or max(told) >= 4
    if len(events):
        figures = (result.events_ratio, result.nearest_to_a_us, result.alone_a, result.alone_b)
        assert figures == (1, 0, 0, 0)
        assert result.map_correlation is None or result.map_correlation == pytest.approx(1)
        assert result.on_share_a == result.on_share_b == pytest.approx(events.p.mean())


def test_recordings_that_do_not_fit_are_errors() -> None:
    events = random_events(0, 20, SENSOR)
    with raises(EventError, "12x7", "34x34"):
        compare(events, random_events(0, 20, SensorSize(width=34, height=34)))
    with raises(EventError, "clock"):
        compare(events, events.shift_time(2**60))
