from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import SENSOR, divide, random_events, rows_of
from facts import raises
from hypothesis import given, settings
from hypothesis import strategies as st

from dvspipe.base.errors import ConfigError, EventError
from dvspipe.encoding import BinConfig, encode
from dvspipe.events import MAX_SIDE_PX, Events, Region, SensorSize, concatenate, join_streams, merge_streams, windows
from dvspipe.events.filters import count_pixels

EVENTS = random_events(1, 50, span_us=60)
SMALL = Events.empty("5x5")
cuts = st.lists(st.integers(0, 10**6), max_size=5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": [0, 12]}, ("event 1", "x = 12", "12")),
        ({"y": [0, -1]}, ("event 1", "y = -1", "7")),
        ({"y": [0, 7]}, ("event 1", "y = 7", "7")),
        ({"p": [0, 2]}, ("event 1", "p = 2")),
        ({"p": [-1, 0]}, ("event 0", "p = -1")),
        ({"t": [1, 0]}, ("event 1", "t = 0", "1")),
        ({"x": [0]}, ("(1,)", "(2,)")),
        ({"t": [0.5, 1]}, "float64"),
        ({"t": [[1, 2], [3]]}, ("t", "[[1, 2], [3]]")),
    ],
)
def test_invalid_columns_are_reported(changed: dict[str, Any], message: object) -> None:
    with raises(EventError, message):
        Events(**{"t": [0, 1], "x": [0, 0], "y": [0, 0], "p": [0, 1]} | changed, sensor=SENSOR)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.int64, np.uint64])
def test_integers_of_numpy_do_not_overflow(dtype: type) -> None:
    sensor = SensorSize(width=dtype(120), height=dtype(100))
    assert [type(side) for side in sensor] == [int, int]
    assert sensor.width * sensor.height == 12_000
    region = Region(dtype(100), dtype(90), SensorSize.of((dtype(20), dtype(10))))
    assert [type(side) for side in (region.left, region.top, *region.size)] == [int] * 4
    assert Region.of((dtype(100), dtype(90), dtype(20), dtype(10))) == region
    events = Events([40_000_000_000, 40_000_000_090], [110, 119], [95, 99], [1, 0], sensor)
    assert events.crop(dtype(100), dtype(90), region.size).x.tolist() == [10, 19]
    assert events.shift_time(dtype(100)).t.tolist() == [40_000_000_100, 40_000_000_190]
    assert [start for start, _ in windows(events, dtype(50))] == [40_000_000_000, 40_000_000_050]
    assert [*join_streams([[events], [events]], dtype(1))][1].t[0] == 40_000_000_091
    assert len(events.between(dtype(100), 2**70)) == 2
    assert count_pixels(events, sensor).sum() == encode(events, BinConfig(by="recording")).sum() == 2
    assert encode(events, BinConfig(steps=1, step_us=2**29), start_us=events.t[0]).sum() == 2


@pytest.mark.parametrize(
    "use",
    [
        lambda: SensorSize(width=3.5, height=7),  # type: ignore[arg-type]
        lambda: SensorSize.of((3.5, 7)),  # type: ignore[arg-type]
        lambda: Region(0.5, 0, SensorSize(width=3, height=7)),  # type: ignore[arg-type]
        lambda: EVENTS.shift_time(1e6),  # type: ignore[arg-type]
        lambda: EVENTS.between(0.5, 7),  # type: ignore[arg-type]
        lambda: EVENTS.crop(0.5, 0, "5x5"),  # type: ignore[arg-type]
        lambda: [*windows(EVENTS, 1e6)],  # type: ignore[arg-type]
        lambda: [*join_streams([[EVENTS]], 1e6)],  # type: ignore[arg-type]
        lambda: encode(EVENTS, start_us=1e6),  # type: ignore[arg-type]
    ],
)
def test_numbers_that_are_not_integers_are_errors(use: Callable[[], object]) -> None:
    with raises(EventError, "float"):
        use()


@pytest.mark.parametrize("t_us", [2**62, 2**63, 2**64 - 1, -(2**62), -(2**63)])
def test_times_that_do_not_fit_are_errors_and_never_wrap(t_us: int) -> None:
    t = np.array([t_us])
    rows = np.zeros(1, [("t", t.dtype), ("x", int)])
    rows["t"] = t
    for create in (
        lambda: Events(t, [0], [0], [1], SENSOR),
        lambda: Events.wrap(t, *np.zeros((3, 1), int), sensor=SENSOR),
        lambda: Events.from_structured(rows, SENSOR),
    ):
        with raises(EventError, t_us, "2^62"):
            create()
    with raises(EventError, t_us, "2^62"):
        Events(np.array(sorted([0, t_us]), t.dtype), [0, 0], [0, 0], [1, 1], SENSOR)
    late = Events([2**62 - 1], [0], [0], [1], SENSOR)
    assert [*merge_streams([[late], [EVENTS]])][-1][-1] == late[0]


def test_columns_are_copies_of_fixed_types_and_read_only() -> None:
    t = np.arange(3)
    events = Events(t, [0, 0, 0], [0, 0, 0], [-1, 1, -1], SENSOR)
    t[0] = -7
    assert events.t.tolist() == [0, 1, 2]
    assert events.p.tolist() == [False, True, False]
    assert [getattr(events, name).dtype for name in "txyp"] == [np.int64, np.int16, np.int16, bool]
    with raises(ValueError, "read-only"):
        events.t[0] = 5
    with raises(AttributeError, "read-only"):
        events.t = t


@pytest.mark.parametrize(
    ("parse", "text", "wrong"),
    [
        (SensorSize.parse, "346x260", ["346", "346x", "ax5", "3.5x2", "0x5", f"5x{MAX_SIDE_PX + 1}"]),
        (Region.parse, "4x3+5+2", ["4x3", "0x3+1+1", f"{MAX_SIDE_PX + 1}x3+0+0"]),
        (Region.parse, "4x3-1+2", ["4x3-1"]),
    ],
)
def test_sizes_and_regions_are_parsed_and_printed(parse: Callable[[str], Any], text: str, wrong: list[str]) -> None:
    assert str(parse(text)) == text
    for other in wrong:
        with raises(EventError, other):
            parse(other)


def test_region_overlaps_a_sensor() -> None:
    region = Region(5, 2, SensorSize(width=4, height=3))
    assert region == Region.parse("4x3+5+2")
    assert [region.is_inside(SensorSize.parse(text)) for text in ("9x5", "8x5", "9x4")] == [True, False, False]
    beyond = Region.parse("4x3-1+2")
    assert not beyond.is_inside(SensorSize(width=9, height=9))
    assert beyond.overlap(SensorSize(width=9, height=4)) == Region.parse("3x2+0+2")
    assert beyond.overlap(SensorSize(width=9, height=2)) is None


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
    rows = np.asarray(EVENTS)[index]
    if (rows["t"][1:] < rows["t"][:-1]).any():
        with raises(EventError, "events[", "before the previous event"):
            EVENTS[index]
    else:
        selected = EVENTS[index]
        assert np.array_equal(selected.structured(), rows)
        assert selected.sensor == SENSOR
        assert all(column.flags.c_contiguous for column in (selected.t, selected.x, selected.y, selected.p))
        assert not selected.t.flags.writeable


def test_integer_index_returns_one_event() -> None:
    events = Events([5, 9], [3, 4], [1, 2], [True, False], SENSOR)
    assert events[0] == events[-2] == events[np.int64(0)] == events[np.array(0)] == (5, 3, 1, True)
    assert [type(value) for value in events[1]] == [int, int, int, bool]
    assert [*events] == [events[0], events[1]]


@pytest.mark.parametrize(
    ("index", "facts"),
    [
        (50, "50"),
        (-51, "-51"),
        (np.ones(9, bool), (9, 50)),
        (slice(None, None, -1), ("slice", "event 2", EVENTS.t[-2], EVENTS.t[-3])),
        ("t", "t"),
        (None, "None"),
        ([[1, 2]], "[[1, 2]]"),
        (np.array([0.5]), "float64"),
    ],
)
def test_wrong_index_is_reported(index: object, facts: object) -> None:
    with raises(EventError, facts):
        EVENTS[index]  # type: ignore[call-overload]


def test_equal_events_have_equal_hashes() -> None:
    again = pickle.loads(pickle.dumps(EVENTS))
    assert again == EVENTS == EVENTS[:]
    assert hash(EVENTS) == hash(EVENTS[:]) == hash(again)
    assert len({EVENTS, EVENTS[:], EVENTS[:-1], Events.empty(SENSOR), SMALL}) == 4


def test_owned_columns_are_checked_and_not_copied() -> None:
    t, x, y, p = EVENTS.t.copy(), EVENTS.x.astype(np.uint16), EVENTS.y.astype(">i2"), EVENTS.p.view(np.uint8).copy()
    owned = Events.wrap(t, x, y, p, SENSOR)
    assert owned == EVENTS
    assert all(np.shares_memory(*pair) for pair in ((owned.t, t), (owned.x, x), (owned.p, p)))
    few = Events.wrap(t[:20], x[:20], y[:20], p[:20], SENSOR)  # it would keep all in memory
    assert few == EVENTS[:20]
    assert not np.shares_memory(few.t, t)
    with raises(EventError, "event 49", "x = 12"):
        Events.wrap(t, np.where(np.arange(50) == 49, 12, x), y, p, SENSOR)


def test_crop_moves_the_origin_and_drops_outside_events() -> None:
    events = Events([0, 1, 2], [3, 4, 8], [2, 6, 3], [1, 0, 1], SENSOR)
    cropped = events.crop(3, 2, SensorSize(width=5, height=4))
    assert (cropped.x.tolist(), cropped.y.tolist(), cropped.t.tolist()) == ([0], [0], [0])
    with raises(EventError, "5x4", "(10, 0)", "12x7"):
        events.crop(10, 0, SensorSize(width=5, height=4))


@pytest.mark.parametrize(
    "dtypes",
    [
        {"x": "i2", "y": "i2", "t": "i8", "p": "?"},
        {"t": "u8", "x": "u2", "y": "u2", "p": "?"},
        {"p": "i8", "t": "f8", "y": "f4", "x": "f8"},
        {"x": "i8", "y": "i8", "t": "i8", "p": "f8"},
    ],
)
def test_structured_arrays_of_all_dtypes_give_the_same_events(dtypes: dict[str, str]) -> None:
    rows = rows_of(EVENTS, **dtypes)
    if dtypes["t"] == "f8":
        rows["t"] *= 1e-6
        rows["p"] = 2 * rows["p"] - 1
    assert Events.from_structured(rows, SENSOR) == Events.from_structured(rows[:, None], SENSOR) == EVENTS
    assert np.array_equal(Events.from_structured(rows[::-1], SENSOR, sort=True).t, EVENTS.t)
    with raises(EventError, "x", "y", "t", "p"):
        Events.from_structured(rows[["x", "y"]], SENSOR)


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
    moved = EVENTS.shift_time(-7)
    assert np.array_equal(moved.t, EVENTS.t - 7)
    assert moved.duration_us == EVENTS.t[-1] - EVENTS.t[0]
    assert SMALL.duration_us == 0
    assert SMALL.shift_time(2**70) == SMALL
    for offset_us in (2**62, -(2**63), 2**70):
        with raises(EventError, "2^62"):
            EVENTS.shift_time(offset_us)


@given(seeds=st.lists(st.integers(0, 1000), max_size=4), cuts=cuts, span_us=st.sampled_from([3, 100, 10_000]))
def test_merged_recordings_are_sorted_by_time_then_by_their_number(
    seeds: list[int], cuts: list[int], span_us: int
) -> None:
    recordings = [random_events(seed, seed % 60, span_us=span_us) for seed in seeds]
    merged = concatenate(merge_streams([divide(events, cuts) for events in recordings]), SENSOR)
    columns = {name: np.concatenate([np.zeros(0), *(getattr(e, name) for e in recordings)]) for name in "txyp"}
    order = np.argsort(columns["t"], kind="stable")
    for name, column in columns.items():
        assert np.array_equal(getattr(merged, name), column[order])


def test_joined_recordings_are_consecutive() -> None:
    first, second = random_events(1, 20), random_events(2, 30)
    joined = concatenate(join_streams([divide(first, [7]), [], divide(second, [0, 9])], gap_us=500))
    assert joined[:20] == first
    assert joined[20:] == second.shift_time(int(first.t[-1] - second.t[0]) + 500)
    with raises(ConfigError, "gap_us", -1):
        next(join_streams([[first]], gap_us=-1))


@settings(max_examples=30)
@given(seed=st.integers(0, 100), cuts=cuts, window=st.integers(500, 200_000))
def test_windows_do_not_depend_on_the_parts(seed: int, cuts: list[int], window: int) -> None:
    events = random_events(seed, seed)
    found = list(windows(divide(events, cuts), window))
    assert found == list(windows(events, window))
    assert concatenate([part for _, part in found], SENSOR) == events
    for start, part in found:
        assert not (start - events.t[0]) % window
        assert part == events.between(start, start + window)
        assert len(part)


def test_windows_exclude_their_end_and_skip_a_long_gap_without_a_loop() -> None:
    events = Events([0, 5, 10, 10**15], [0] * 4, [0] * 4, [1] * 4, SENSOR)
    parts = [events[:3], events[3:]]  # the first part ends exactly at the end of a window, which is exclusive
    assert [(start, len(part)) for start, part in windows(parts, 10)] == [(0, 2), (10, 1), (10**15, 1)]
    with raises(ConfigError, "window_us", "0"):
        next(windows(events, 0))


@pytest.mark.parametrize(
    ("join", "facts"),
    [
        (lambda: concatenate([]), "sensor"),
        (lambda: concatenate([EVENTS, EVENTS.t]), ("int64[50]", "Events")),  # type: ignore[list-item]
        (lambda: concatenate([EVENTS, EVENTS]), ("event 50", EVENTS.t[0], EVENTS.t[-1])),
        (lambda: concatenate([EVENTS], "5x5"), ("12x7", "5x5")),
        (lambda: [*merge_streams([[EVENTS], [random_events(1, 5, SMALL.sensor)]])], ("12x7", "5x5")),
        (lambda: [*windows([EVENTS, 3], 10)], ("3", "Events")),  # type: ignore[list-item]
    ],
)
def test_parts_that_do_not_fit_are_errors(join: Callable[[], object], facts: object) -> None:
    with raises(EventError, facts):
        join()
