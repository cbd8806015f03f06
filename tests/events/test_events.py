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

from dvspipe.base.errors import ConfigError, EventError
from dvspipe.events import MAX_SIDE_PX, Events, Region, SensorSize, concatenate, join_streams, merge_streams, windows


def test_columns_have_fixed_dtypes_and_are_read_only() -> None:
    events = random_events(0, 10)
    assert [column.dtype for column in (events.t, events.x, events.y, events.p)] == [np.int64, np.int16, np.int16, bool]
    with raises(ValueError, "read-only"):
        events.t[0] = 5
    with raises(AttributeError, "read-only"):
        events.t = events.t


def test_building_events_does_not_change_the_input_arrays() -> None:
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
        (([0, 1], [0, 0], [0, 0], [-1, 0]), ("event 0", "p = -1")),
        (([1, 0], [0, 0], [0, 0], [0, 1]), ("event 1", "t = 0", "1")),
        (([0, 1], [0], [0, 0], [0, 1]), ("(1,)", "(2,)")),
        (([0.5, 1], [0, 0], [0, 0], [0, 1]), "float64"),
    ],
)
def test_invalid_columns_are_reported(columns: tuple[list[float], ...], message: object) -> None:
    with raises(EventError, message):
        Events(*columns, sensor=SENSOR)  # type: ignore[arg-type]


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, -1), (MAX_SIDE_PX + 1, 5)])
def test_sensor_sides_out_of_range_are_rejected(width: int, height: int) -> None:
    with raises(EventError, "1"):
        SensorSize(width=width, height=height)


def test_sensor_size_is_parsed_and_printed() -> None:
    assert str(SensorSize.parse("346x260")) == "346x260"
    for text in ("346", "346x", "ax5", "3.5x2"):
        with raises(EventError, "WIDTHxHEIGHT"):
            SensorSize.parse(text)


@given(st.integers(0, 50), st.integers(-10, 110_000), st.integers(-10, 110_000))
def test_slice_keeps_the_half_open_interval(count: int, start: int, stop: int) -> None:
    events = random_events(count, count)
    kept = (events.t >= start) & (events.t < stop)
    assert np.array_equal(events.between(start, stop).t, events.t[kept])


INDICES = st.one_of(
    st.slices(50),
    st.lists(st.booleans(), min_size=50, max_size=50).map(np.array),
    st.lists(st.integers(-50, 49), max_size=10),
    st.lists(st.integers(-50, 49), max_size=10).map(lambda index: np.array(index, np.int16)),
)


@given(INDICES)
def test_indexing_equals_indexing_of_the_structured_array(index: slice | list[int] | np.ndarray) -> None:
    events = random_events(5, 50, span_us=30)
    rows = events.structured()[index]
    if (rows["t"][1:] < rows["t"][:-1]).any():
        with raises(EventError, "back in time"):
            events[index]
    else:
        selected = events[index]
        assert np.array_equal(selected.structured(), rows)
        assert selected.sensor == SENSOR
        assert all(column.flags.c_contiguous for column in (selected.t, selected.x, selected.y, selected.p))
        assert not selected.t.flags.writeable


def test_slices_are_views() -> None:
    events = random_events(0, 100)
    for part in (events[10:20], events[-10:], events[:]):
        assert all(np.shares_memory(getattr(part, name), getattr(events, name)) for name in "txyp")


def test_integer_index_returns_one_event() -> None:
    events = Events([5, 9], [3, 4], [1, 2], [True, False], SENSOR)
    assert events[0] == events[-2] == events[np.int64(0)] == events[np.array(0)] == (5, 3, 1, True)
    assert (events[1].t, events[1].x, events[1].y, events[1].p) == (9, 4, 2, False)
    assert [type(value) for value in events[1]] == [int, int, int, bool]


@pytest.mark.parametrize(
    ("index", "facts"),
    [
        (10, "10"),
        (-11, "-11"),
        (np.ones(9, bool), (9, 10)),
        (slice(None, None, -1), "back in time"),
        ([3, 1], "back in time"),
        ("t", "t"),
        (None, "None"),
        ([[1, 2]], "[[1, 2]]"),
        ([[1, 2], [3]], "[[1, 2], [3]]"),
        (np.array([0.5]), "float64"),
    ],
)
def test_wrong_index_is_reported(index: object, facts: object) -> None:
    events = Events(np.arange(10), np.zeros(10, int), np.zeros(10, int), np.ones(10, int), SENSOR)
    with raises(EventError, facts):
        events[index]  # type: ignore[call-overload]


def test_numpy_reads_events_as_structured_array() -> None:
    events = random_events(3, 30)
    for array in (np.asarray(events), np.array(events), np.array(events, copy=True)):
        assert np.array_equal(array, events.structured())
    assert np.asarray(events, dtype=object)[0] == (events[0].x, events[0].y, events[0].t, events[0].p)
    with raises(ValueError, "copy"):
        np.array(events, copy=False)


def test_loop_over_events_yields_events() -> None:
    events = random_events(3, 30)
    assert [*events] == [events[number] for number in range(30)]
    assert events[7] in events
    assert 5 not in events


def test_equal_events_have_equal_hashes() -> None:
    events = random_events(3, 30)
    assert hash(events) == hash(events[:]) == hash(pickle.loads(pickle.dumps(events)))
    assert len({events, events[:], events[:-1], Events.empty(SENSOR), Events.empty("5x5")}) == 4
    assert (bool(events), bool(events[:0])) == (True, False)


def test_size_of_the_sensor_is_unpacked() -> None:
    events = random_events(0, 3)
    width, height = events.sensor
    assert (width, height) == tuple(events.sensor) == (12, 7)
    for wrong in ("12", 12.0, None):
        with pytest.raises(TypeError):
            SensorSize(wrong, 7)  # type: ignore[arg-type]


def test_polarities_may_be_minus_one_and_one() -> None:
    signed = Events([0, 5, 5], [0, 0, 0], [0, 0, 0], [-1, 1, -1], SENSOR)
    assert signed.p.tolist() == [False, True, False]
    for wrong in ([-1, 0, 1], [1, 2, -1], [0, 2, 1]):
        with raises(EventError, "event", "p ="):
            Events([0, 5, 5], [0, 0, 0], [0, 0, 0], wrong, SENSOR)


def test_columns_that_are_no_arrays_are_reported() -> None:
    with raises(EventError, "t", "[[1, 2], [3]]"):
        Events([[1, 2], [3]], [0, 0], [0, 0], [0, 0], SENSOR)


@given(st.lists(st.integers(0, 100_000), max_size=5))
def test_concatenated_slices_equal_the_recording(cuts: list[int]) -> None:
    events = random_events(3, 40)
    edges = [0, *sorted(cuts), 100_001]
    parts = [events.between(a, b) for a, b in itertools.pairwise(edges)]
    assert concatenate(parts, SENSOR) == events


def test_owned_columns_are_checked_and_not_copied() -> None:
    events = random_events(0, 100)
    t, x, y, p = events.t.copy(), events.x.astype(np.uint16), events.y.astype(">i2"), events.p.view(np.uint8).copy()
    owned = Events.wrap(t, x, y, p, SENSOR)
    assert owned == events
    assert np.shares_memory(owned.t, t)
    assert np.shares_memory(owned.x, x)
    assert np.shares_memory(owned.p, p)
    few = Events.wrap(t[:40], x[:40], y[:40], p[:40], SENSOR)
    assert few == events[:40]
    assert not np.shares_memory(few.t, t)
    with raises(EventError, "event 99", "x = 12"):
        Events.wrap(t, np.where(np.arange(100) == 99, 12, x), y, p, SENSOR)


def test_overlapping_parts_and_other_sensors_are_rejected() -> None:
    events = random_events(0, 10)
    assert concatenate([events[:4], events[4:]]) == events
    with raises(EventError, "sensor"):
        concatenate([])
    with raises(EventError, "int64[10]", "Events"):
        concatenate([events, events.t])  # type: ignore[list-item]
    with raises(EventError, events.t[0], events.t[-1]):
        concatenate([events, events], SENSOR)
    with raises(EventError, "12x7", "5x5"):
        concatenate([events], SensorSize(width=5, height=5))


def test_crop_moves_the_origin_and_drops_outside_events() -> None:
    events = Events([0, 1, 2], [3, 4, 8], [2, 6, 3], [1, 0, 1], SENSOR)
    cropped = events.crop(3, 2, SensorSize(width=5, height=4))
    assert (cropped.x.tolist(), cropped.y.tolist(), cropped.t.tolist()) == ([0], [0], [0])
    with raises(EventError, "5x4", "(10, 0)", "12x7"):
        events.crop(10, 0, SensorSize(width=5, height=4))


def test_structured_and_pickled_events_round_trip() -> None:
    events = random_events(1, 20)
    array = events.structured()
    assert array.dtype == np.dtype([("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")])
    assert Events.from_structured(array, SENSOR) == events
    assert pickle.loads(pickle.dumps(events)) == events
    with raises(EventError, "x", "y", "t", "p"):
        Events.from_structured(array[["x", "y"]], SENSOR)


def test_structured_arrays_of_other_dtypes_give_the_same_events() -> None:
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


def test_structured_array_without_y_and_p_is_one_row_of_on_events() -> None:
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
def test_invalid_value_in_a_structured_array_is_reported(field: str, value: float, message: object) -> None:
    rows = np.zeros(3, [(name, float) for name in "xytp"])
    rows[field][1] = value
    with raises(EventError, message):
        Events.from_structured(rows, SENSOR)


def test_shift_time_moves_every_event() -> None:
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
def test_merged_recordings_are_sorted_by_time(seeds: list[int], cuts: list[int], span_us: int) -> None:
    recordings = [random_events(seed, seed % 60, span_us=span_us) for seed in seeds]
    merged = concatenate(merge_streams([in_parts(events, cuts) for events in recordings]), SENSOR)
    rows = [(t, k) for k, events in enumerate(recordings) for t in events.t.tolist()]
    assert merged.t.tolist() == [t for t, _ in sorted(rows)]
    order = np.argsort(np.concatenate([events.t for events in recordings]), kind="stable")
    for name in "xyp":
        assert np.array_equal(getattr(merged, name), np.concatenate([getattr(e, name) for e in recordings])[order])


def test_merging_nothing_is_empty_and_sensors_must_agree() -> None:
    assert list(merge_streams([])) == []
    assert list(merge_streams([[], [Events.empty(SENSOR)]])) == []
    other = random_events(1, 5, SensorSize(width=5, height=5))
    with raises(EventError, "5x5", "12x7"):
        list(merge_streams([[random_events(2, 5)], [other]]))


def test_joined_recordings_are_consecutive() -> None:
    first, second = random_events(1, 20), random_events(2, 30)
    joined = concatenate(join_streams([in_parts(first, [7]), [], in_parts(second, [0, 9])], gap_us=500), SENSOR)
    assert np.array_equal(joined.t[:20], first.t)
    assert np.array_equal(joined.t[20:], second.t - second.t[0] + first.t[-1] + 500)
    assert np.array_equal(joined.x, np.concatenate([first.x, second.x]))


@settings(max_examples=30)
@given(seed=st.integers(0, 100), cuts=st.lists(st.integers(0, 100_000), max_size=5), window=st.integers(500, 200_000))
def test_windows_do_not_depend_on_the_parts(seed: int, cuts: list[int], window: int) -> None:
    events = random_events(seed, 60)
    edges = [0, *sorted(cuts), 100_001]
    parts = [events.between(a, b) for a, b in pairwise(edges)]
    found = list(windows(parts, window))
    assert all((start - events.t[0]) % window == 0 and len(part) for start, part in found)
    assert concatenate([part for _, part in found], SENSOR) == events
    for start, part in found:
        assert part == events.between(start, start + window)


def test_events_are_one_part() -> None:
    events = random_events(5, 60)
    assert list(windows(events, 10_000)) == list(windows([events], 10_000))
    assert concatenate(events) == events
    with raises(EventError, "3", "Events"):
        list(windows([events, 3], 10_000))  # type: ignore[list-item]


def test_windows_have_a_positive_length() -> None:
    with raises(ConfigError, "window_us", "0"):
        next(windows([random_events(0, 3)], 0))


def test_recording_without_events_has_no_windows() -> None:
    assert list(windows([Events.empty(SENSOR)], 10)) == []


def test_long_gap_is_skipped_without_a_loop() -> None:
    events = Events([0, 5, 10**15], [0] * 3, [0] * 3, [1] * 3, SENSOR)
    assert [(start, len(part)) for start, part in windows([events], 10)] == [(0, 2), (10**15, 1)]


def test_region_is_parsed_and_printed() -> None:
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
