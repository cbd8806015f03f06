from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from conftest import SENSOR, random_events
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dvspipe.encoding import BinConfig, count_events, windows
from dvspipe.errors import DataError
from dvspipe.events import Events, SensorSize, concatenate


def plain_count(events: Events, config: BinConfig, start_us: int) -> NDArray[np.int64]:
    grid = config.grid(events.sensor)
    counts = np.zeros((config.steps, 2, grid.height, grid.width), np.int64)
    for t, x, y, p in zip(events.t.tolist(), events.x.tolist(), events.y.tolist(), events.p.tolist(), strict=True):
        step = (t - start_us) // config.step_us
        if 0 <= step < config.steps:
            counts[step, int(p), y // config.downsample, x // config.downsample] += 1
    return np.minimum(counts, 255 if config.form == "count" else 1)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    count=st.integers(0, 400),
    steps=st.integers(1, 9),
    step_us=st.integers(1, 30_000),
    downsample=st.integers(1, 5),
    form=st.sampled_from(["count", "binary"]),
)
def test_counts_equal_a_plain_loop(seed: int, count: int, steps: int, step_us: int, downsample: int, form: str) -> None:
    events = random_events(seed, count)
    config = BinConfig(steps=steps, step_us=step_us, downsample=downsample, form=form)
    start = int(events.t[0]) if count else 0
    assert np.array_equal(count_events(events, config), plain_count(events, config, start))
    assert np.array_equal(count_events(events, config, start_us=start - 77), plain_count(events, config, start - 77))


def test_no_event_is_lost_at_the_end() -> None:
    events = random_events(0, 1000, span_us=100_000)
    config = BinConfig(steps=4, step_us=events.duration_us // 4 + 1)
    assert count_events(events, config).sum() == 1000


def test_intervals_are_half_open() -> None:
    events = Events([0, 9, 10, 19, 20], [0] * 5, [0] * 5, [1] * 5, SENSOR)
    assert count_events(events, BinConfig(steps=2, step_us=10))[:, 1, 0, 0].tolist() == [2, 2]


def test_counts_saturate_and_never_wrap() -> None:
    events = Events(np.zeros(100_000, int), np.ones(100_000, int), np.ones(100_000, int), np.ones(100_000, int), SENSOR)
    assert count_events(events, BinConfig(steps=1))[0, 1, 1, 1] == 255


def test_a_partial_block_counts_as_a_block() -> None:
    assert BinConfig(downsample=4).grid(SENSOR) == SensorSize(width=3, height=2)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 100), cuts=st.lists(st.integers(0, 100_000), max_size=5), window=st.integers(500, 200_000))
def test_windows_are_the_recording_however_it_is_cut(seed: int, cuts: list[int], window: int) -> None:
    events = random_events(seed, 60)
    edges = [0, *sorted(cuts), 100_001]
    parts = [events.slice_time(a, b) for a, b in pairwise(edges)]
    found = list(windows(parts, window))
    assert all((start - events.t[0]) % window == 0 and len(part) for start, part in found)
    assert concatenate([part for _, part in found], SENSOR) == events
    for start, part in found:
        assert part == events.slice_time(start, start + window)


def test_windows_of_nothing_are_an_error() -> None:
    with pytest.raises(DataError, match="holds no events"):
        list(windows([Events.empty(SENSOR)], 10))


def test_a_long_gap_is_passed_over_at_once() -> None:
    events = Events([0, 5, 10**15], [0] * 3, [0] * 3, [1] * 3, SENSOR)
    assert [(start, len(part)) for start, part in windows([events], 10)] == [(0, 2), (10**15, 1)]
