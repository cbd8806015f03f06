from __future__ import annotations

import itertools
import pickle
from itertools import pairwise

import numpy as np
import pytest
from conftest import SENSOR, random_events, rows_of
from facts import raises
from hypothesis import given, settings
from hypothesis import strategies as st

from dvspipe.errors import EventError
from dvspipe.events import MAX_SIDE_PX, Events, Region, SensorSize, concatenate, join, merge, windows


def test_columns_have_their_types_and_are_read_only() -> None:
    events = random_events(0, 10)
    assert [column.dtype for column in (events.t, events.x, events.y, events.p)] == [np.int64, np.int16, np.int16, bool]
    with raises(ValueError, "read-only"):
        events.t[0] = 5
    with raises(AttributeError, "read-only"):
        events.t = events.t


def test_building_events_leaves_the_given_arrays_alone() -> None:
    t = np.arange(3)
    Events(t, [0, 0, 0], [0, 0, 0], [1, 0, 1], SENSOR)
    t[0] = -7
    assert t.flags.writeable


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([0, 1], [0, 12], [0, 0], [0, 1]), ("event 1", "x = 12", "12")),
        (([0, 1], [0, 0], [0, -1], [0, 1]), ("event 1", "y = -1", "7")),
        (([0, 1], [0, 0], [0, 0], [0, 2]), ("event 1", "p = 2")),
        (([0, 1], [0, 0], [0, 0], [-1, 1]), ("event 0", "p = -1")),
        (([1, 0], [0, 0], [0, 0], [0, 1]), ("event 1", "t = 0", "1")),
        (([0, 1], [0], [0, 0], [0, 1]), ("(1,)", "(2,)")),
        (([0.5, 1], [0, 0], [0, 0], [0, 1]), "float64"),
    ],
)
def test_a_broken_rule_is_named(columns: tuple[list[float], ...], message: object) -> None:
    with raises(EventError, message):
        Events(*columns, sensor=SENSOR)  # type: ignore[arg-type]


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, -1), (MAX_SIDE_PX + 1, 5)])
def test_a_sensor_has_sides_in_range(width: int, height: int) -> None:
    with raises(EventError, "1"):
        SensorSize(width=width, height=height)


def test_a_sensor_size_is_parsed_and_printed() -> None:
    assert str(SensorSize.parse("346x260")) == "346x260"
    for text in ("346", "346x", "ax5", "3.5x2"):
        with raises(EventError, "WIDTHxHEIGHT"):
            SensorSize.parse(text)


@given(st.integers(0, 50), st.integers(-10, 110_000), st.integers(-10, 110_000))
def test_slicing_keeps_just_the_half_open_interval(count: int, start: int, stop: int) -> None:
    events = random_events(count, count)
    kept = (events.t >= start) & (events.t < stop)
    assert np.array_equal(events.slice_time(start, stop).t, events.t[kept])


@given(st.lists(st.integers(0, 100_000), max_size=5))
def test_slices_put_together_are_the_whole(cuts: list[int]) -> None:
    events = random_events(3, 40)
    edges = [0, *sorted(cuts), 100_001]
    parts = [events.slice_time(a, b) for a, b in itertools.pairwise(edges)]
    assert concatenate(parts, SENSOR) == events


@pytest.mark.parametrize("few", [0, 10, 300, 5000])
def test_concatenating_does_not_depend_on_what_is_reserved(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvspipe.events.joining.FEW_EVENTS", few)
    monkeypatch.setattr("dvspipe.events.joining.RESERVED_EVENTS", 2 * few)
    events = random_events(0, 1000)
    for cuts in ([], [500], range(0, 1000, 7), [1, 2, 999]):
        joined = concatenate(iter(in_parts(events, [*cuts])), SENSOR)
        assert joined == events


def test_owned_columns_are_checked_and_not_copied() -> None:
    events = random_events(0, 100)
    t, x, y, p = events.t.copy(), events.x.astype(np.uint16), events.y.astype(">i2"), events.p.view(np.uint8).copy()
    owned = Events.wrap(t, x, y, p, SENSOR)
    assert owned == events
    assert np.shares_memory(owned.t, t)
    assert np.shares_memory(owned.x, x)
    assert np.shares_memory(owned.p, p)
    few = Events.wrap(t[:40], x[:40], y[:40], p[:40], SENSOR)
    assert few == events.slice_events(0, 40)
    assert not np.shares_memory(few.t, t)
    with raises(EventError, "event 99", "x = 12"):
        Events.wrap(t, np.where(np.arange(100) == 99, 12, x), y, p, SENSOR)


def test_parts_must_follow_one_another() -> None:
    events = random_events(0, 10)
    with raises(EventError, events.t[0], events.t[-1]):
        concatenate([events, events], SENSOR)
    with raises(EventError, "12x7", "5x5"):
        concatenate([events], SensorSize(width=5, height=5))


def test_crop_moves_the_origin_and_drops_what_is_outside() -> None:
    events = Events([0, 1, 2], [3, 4, 8], [2, 6, 3], [1, 0, 1], SENSOR)
    cropped = events.crop(3, 2, SensorSize(width=5, height=4))
    assert (cropped.x.tolist(), cropped.y.tolist(), cropped.t.tolist()) == ([0], [0], [0])
    with raises(EventError, "5x4", "(10, 0)", "12x7"):
        events.crop(10, 0, SensorSize(width=5, height=4))


def test_structured_and_pickled_events_come_back_equal() -> None:
    events = random_events(1, 20)
    array = events.structured()
    assert array.dtype == np.dtype([("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")])
    assert Events.from_structured(array, SENSOR) == events
    assert pickle.loads(pickle.dumps(events)) == events
    with raises(EventError, "x", "y", "t", "p"):
        Events.from_structured(array[["x", "y"]], SENSOR)


def test_structured_arrays_of_other_types_are_the_same_events() -> None:
    events = random_events(1, 20)
    for dtypes in (
        {"t": "u8", "x": "u2", "y": "u2", "p": "?"},
        {"p": "i8", "t": "i4", "y": "f4", "x": "f8"},
        {"x": "i8", "y": "i8", "t": "i8", "p": "f8"},
    ):
        rows = rows_of(events, **dtypes)
        assert Events.from_structured(rows, SENSOR) == events
        assert Events.from_structured(rows[:, None], SENSOR) == events
    signed = rows_of(events, x="i2", y="i2", t="i8", p="i1")
    signed["p"] = 2 * signed["p"] - 1
    assert Events.from_structured(signed, SENSOR) == events
    seconds = rows_of(events, x="i2", y="i2", t="f8", p="?")
    seconds["t"] *= 1e-6
    assert Events.from_structured(seconds, SENSOR) == events
    assert Events.from_structured(signed[::-1], SENSOR, sort=True).t.tolist() == events.t.tolist()


def test_structured_arrays_without_rows_and_polarities_are_on_events_of_one_row() -> None:
    events = random_events(1, 20, SensorSize(width=12, height=1))
    spikes = Events.from_structured(rows_of(events, t="i8", x="i2"), (12, 1))
    assert (spikes.x.tolist(), spikes.y.any(), spikes.p.all()) == (events.x.tolist(), False, True)
    assert len(Events.from_structured(rows_of(events, t="f8", x="i2")[:0], (12, 1))) == 0


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("x", 0.5, "x"),
        ("x", 12, ("event 1", "x = 12")),
        ("y", np.nan, "y"),
        ("p", -1, ("event 1", "p = -1", "0")),
        ("p", 2, ("event 1", "p = 2")),
        ("t", np.inf, "t"),
        ("t", 1e300, "t"),
        ("t", -1, ("event 1", "t = -1000000")),
    ],
)
def test_a_wrong_value_of_a_structured_array_is_named(field: str, value: float, message: object) -> None:
    rows = np.zeros(3, [(name, float) for name in "xytp"])
    rows[field][1] = value
    with raises(EventError, message):
        Events.from_structured(rows, SENSOR)


def test_shifting_time_moves_every_event() -> None:
    events = random_events(1, 20)
    assert np.array_equal(events.shift_time(-7).t, events.t - 7)
    assert events.shift_time(-7).duration_us == events.duration_us
    assert Events.empty(SENSOR).duration_us == 0


def in_parts(events: Events, cuts: list[int]) -> list[Events]:
    edges = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    return [
        Events(events.t[a:b], events.x[a:b], events.y[a:b], events.p[a:b], events.sensor) for a, b in pairwise(edges)
    ]


@given(
    seeds=st.lists(st.integers(0, 1000), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    span_us=st.sampled_from([3, 100, 10_000]),
)
def test_merged_recordings_are_their_events_in_order(seeds: list[int], cuts: list[int], span_us: int) -> None:
    recordings = [random_events(seed, seed % 60, span_us=span_us) for seed in seeds]
    merged = concatenate(merge([in_parts(events, cuts) for events in recordings]), SENSOR)
    rows = [(t, k) for k, events in enumerate(recordings) for t in events.t.tolist()]
    assert merged.t.tolist() == [t for t, _ in sorted(rows)]
    order = np.argsort(np.concatenate([events.t for events in recordings]), kind="stable")
    for name in "xyp":
        assert np.array_equal(getattr(merged, name), np.concatenate([getattr(e, name) for e in recordings])[order])


def test_merging_nothing_gives_nothing_and_sensors_must_agree() -> None:
    assert list(merge([])) == []
    assert list(merge([[], [Events.empty(SENSOR)]])) == []
    other = random_events(1, 5, SensorSize(width=5, height=5))
    with raises(EventError, "5x5", "12x7"):
        list(merge([[random_events(2, 5)], [other]]))


def test_joined_recordings_follow_each_other() -> None:
    first, second = random_events(1, 20), random_events(2, 30)
    joined = concatenate(join([in_parts(first, [7]), [], in_parts(second, [0, 9])], gap_us=500), SENSOR)
    assert np.array_equal(joined.t[:20], first.t)
    assert np.array_equal(joined.t[20:], second.t - second.t[0] + first.t[-1] + 500)
    assert np.array_equal(joined.x, np.concatenate([first.x, second.x]))


def test_events_are_sliced_by_number_as_far_as_there_are_any() -> None:
    events = random_events(0, 10)
    assert concatenate([events.slice_events(0, 4), events.slice_events(4, 99)], SENSOR) == events
    assert len(events.slice_events(10, 20)) == 0


@settings(max_examples=30)
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


def test_windows_of_nothing_are_none() -> None:
    assert list(windows([Events.empty(SENSOR)], 10)) == []


def test_a_long_gap_is_passed_over_at_once() -> None:
    events = Events([0, 5, 10**15], [0] * 3, [0] * 3, [1] * 3, SENSOR)
    assert [(start, len(part)) for start, part in windows([events], 10)] == [(0, 2), (10**15, 1)]


def test_a_region_is_parsed_and_printed() -> None:
    region = Region.parse("4x3+5+2")
    assert region == Region(5, 2, SensorSize(width=4, height=3))
    assert str(region) == "4x3+5+2"
    assert region.is_inside(SensorSize(width=9, height=5))
    assert not region.is_inside(SensorSize(width=8, height=5))
    beyond = Region.parse("4x3-1+2")
    assert beyond == Region(-1, 2, SensorSize(width=4, height=3))
    assert str(beyond) == "4x3-1+2"
    assert not beyond.is_inside(SensorSize(width=9, height=9))
    assert beyond.overlap(SensorSize(width=9, height=4)) == Region(0, 2, SensorSize(width=3, height=2))
    assert beyond.overlap(SensorSize(width=9, height=2)) is None
    with raises(EventError, "0x3+1+1"):
        Region.parse("0x3+1+1")
    with raises(EventError, "'4x3'", "WIDTHxHEIGHT+LEFT+TOP"):
        Region.parse("4x3")
