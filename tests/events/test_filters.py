"""Filters: laws and a plain loop."""

from __future__ import annotations

import numpy as np
from conftest import SENSOR, divide, random_events
from facts import raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.base.errors import ConfigError, EventError
from dvspipe.events import Events, SensorSize, concatenate
from dvspipe.events.filter_config import FilterConfig
from dvspipe.events.filters import (
    FilterCounts,
    count_pixels,
    filter_stream,
    find_hot_pixels,
)

Row = tuple[int, int, int, bool]
rows = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 11), st.integers(0, 6), st.booleans()), max_size=60)
starts = st.sampled_from([0, -30, -(2**41), 2**41, 2**60])
periods = st.none() | st.integers(1, 40)
configs = st.builds(FilterConfig, refractory_us=periods, activity_us=periods)
masks = st.none() | st.lists(st.sampled_from([False, False, True]), min_size=84, max_size=84).map(
    lambda hot: np.array(hot).reshape(7, 12)
)


def from_rows(values: list[Row], start: int = 0) -> Events:
    t, x, y, p = np.array(sorted(values, key=lambda row: row[0]), np.int64).reshape(-1, 4).T
    return Events(t + start, x, y, p, SENSOR)


def filtered(
    events: Events, config: FilterConfig = FilterConfig(), hot: np.ndarray | None = None
) -> tuple[Events, FilterCounts]:
    counts: list[FilterCounts] = []
    (kept,) = filter_stream([events], config, hot=hot, callback=counts.append)
    return kept, counts[0]


def loop(events: Events, config: FilterConfig, hot: np.ndarray | None) -> tuple[list[int], FilterCounts]:
    """Filter event by event; return the indices of the kept events and the counts."""
    names = [*config.active, *(["hot_pixels"] if hot is not None else [])]
    kept, removed = [], dict.fromkeys(names, 0)
    kept_by_refractory: dict[tuple[int, int], int] = {}
    last: dict[tuple[int, int], int] = {}
    for event, (t, x, y) in enumerate(zip(events.t.tolist(), events.x.tolist(), events.y.tolist(), strict=True)):
        if hot is not None and hot[y, x]:
            removed["hot_pixels"] += 1
            continue
        before = kept_by_refractory.get((x, y))
        if config.refractory_us and before is not None and t - before < config.refractory_us:
            removed["refractory_us"] += 1
            continue
        kept_by_refractory[x, y] = t
        around = [(x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
        newest = max((last[place] for place in around if place in last), default=None)
        last[x, y] = t
        if config.activity_us and (newest is None or t - newest > config.activity_us):
            removed["activity_us"] += 1
            continue
        kept.append(event)
    return kept, FilterCounts(len(events), removed)


@given(rows, starts, configs, masks)
def test_filters_equal_a_plain_loop(
    values: list[Row], start: int, config: FilterConfig, hot: np.ndarray | None
) -> None:
    events = from_rows(values, start)
    kept, counts_seen = filtered(events, config, hot)
    expected, counts = loop(events, config, hot)
    assert kept == events[expected]
    assert counts_seen == counts
    assert counts.kept == len(kept)


@given(rows, configs, masks, st.lists(st.integers(0, 60), max_size=5))
def test_filter_result_does_not_depend_on_the_parts(
    values: list[Row], config: FilterConfig, hot: np.ndarray | None, cuts: list[int]
) -> None:
    events = from_rows(values)
    counts: list[FilterCounts] = []
    streamed = list(filter_stream(divide(events, cuts), config, hot=hot, callback=counts.append))
    assert len(streamed) == len(cuts) + 1
    assert (concatenate(streamed, SENSOR), counts[-1]) == filtered(events, config, hot)


def test_pixels_are_counted_in_any_parts() -> None:
    events = random_events(0, 500)
    expected, *_ = np.histogram2d(events.y, events.x, bins=(range(8), range(13)))
    assert np.array_equal(count_pixels(divide(events, [100]), SENSOR), expected)


def test_hot_pixels_exceed_ten_times_the_median_and_their_second_busiest_neighbour() -> None:
    counts = np.ones((7, 12), np.int64)
    counts[2:4, 5:7] = 1000  # a busy part of the scene
    counts[0, 10:12] = 50  # two neighbours in a corner
    for count, hot in ((10, 2), (11, 3)):
        counts[5, 1] = count
        assert find_hot_pixels(counts).sum() == hot
    assert find_hot_pixels(counts)[[0, 0, 5], [10, 11, 1]].all()
    assert not find_hot_pixels(np.zeros((7, 12), np.int64)).any()


@given(st.lists(st.integers(0, 40), min_size=84, max_size=84), st.integers(2, 9))
def test_hot_pixels_do_not_depend_on_duration_or_orientation(values: list[int], times: int) -> None:
    counts = np.array(values, np.int64).reshape(7, 12)
    hot = find_hot_pixels(counts, 2)
    assert np.array_equal(find_hot_pixels(counts * times, 2), hot)
    assert np.array_equal(find_hot_pixels(counts.T, 2), hot.T)
    assert np.array_equal(find_hot_pixels(counts[::-1], 2), hot[::-1])


def test_filters_reject_other_sensor_sizes() -> None:
    other = Events.empty(SensorSize(width=5, height=5))
    with raises(EventError, "5x5", "12x7"):
        list(filter_stream([random_events(0, 3), other], FilterConfig()))
    with raises(EventError, "5x5", "12x7"):
        count_pixels([other], SENSOR)
    with raises(EventError, "hot", "(12, 7)", "bool", "(7, 12)"):
        filtered(random_events(0, 3), hot=np.zeros((12, 7), bool))
    with raises(ConfigError, "hot_pixels", "find_hot_pixels"):
        filtered(random_events(0, 3), FilterConfig(hot_pixels=True))
