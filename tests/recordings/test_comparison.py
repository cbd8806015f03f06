"""Comparison of recordings: laws, plain loops and distances of scipy, on a sensor that is not square."""

from __future__ import annotations

import json
from dataclasses import asdict, fields

import numpy as np
import pytest
from conftest import SENSOR, random_events
from facts import raises
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, wasserstein_distance

from dvspipe.base.errors import EventError
from dvspipe.events import Events, SensorSize
from dvspipe.recordings import comparison
from dvspipe.recordings.comparison import INTERVAL_BINS, INTERVAL_BINS_PER_DECADE, Comparison, compare

EMPTY = Events.empty(SENSOR)
ONE = Events([5], [3], [2], [1], SENSOR)

rows = st.lists(
    st.tuples(st.integers(-500, 500), st.integers(0, 11), st.integers(0, 6), st.booleans()), min_size=0, max_size=60
)


def from_rows(values: list[tuple[int, int, int, bool]]) -> Events:
    t, x, y, p = np.array(sorted(values), np.int64).reshape(-1, 4).T
    return Events(t, x, y, p, SENSOR)


def swapped(events: Events) -> Events:
    return Events(events.t, events.x, events.y, ~events.p, events.sensor)


def events_by_address(events: Events) -> dict[tuple[int, int, bool], list[int]]:
    found: dict[tuple[int, int, bool], list[int]] = {}
    for t, x, y, p in zip(events.t.tolist(), events.x.tolist(), events.y.tolist(), events.p.tolist(), strict=True):
        found.setdefault((x, y, p), []).append(t)
    return found


def log_intervals(events: Events) -> np.ndarray:
    return np.concatenate(
        [
            np.log10(np.maximum(np.diff(events.t[(events.x == x) & (events.y == y)]), 1))
            for x in range(SENSOR.width)
            for y in range(SENSOR.height)
        ]
    )


def test_recording_equals_itself_in_all_figures() -> None:
    events = random_events(0, 3000)
    found = compare(events, events)
    assert asdict(found.ratios) == dict.fromkeys(("events", "duration", "rate", "on_share", "on_off_ratio"), 1)
    assert found.rate_correlation == pytest.approx(1, abs=1e-12)
    correlations = asdict(found.maps)
    assert correlations.pop("windows") == correlations.pop("windows_with_events") == 3
    assert list(correlations.values()) == pytest.approx([1] * 5, abs=1e-12)
    assert (found.voxels.precision, found.voxels.recall, found.voxels.f1) == (1, 1, 1)
    for nearest in (found.nearest_to_a, found.nearest_to_b):
        assert (nearest.median_us, nearest.p90_us, nearest.without_share) == (0, 0, 0)
    assert found.interval_distance == 0


def test_figures_follow_their_definitions() -> None:
    a = Events([100, 200, 20_100, 30_100], [0, 0, 0, 1], [0, 0, 0, 0], [1, 1, 0, 1], SENSOR)
    b = Events([10_100, 20_100], [0, 0], [0, 0], [1, 0], SENSOR)
    found = compare(a, b)
    assert (found.start_us, found.a.events, found.a.duration_us) == (100, 4, 30_000)
    assert (found.a.rate_hz, found.b.rate_hz) == pytest.approx((4 / 0.03, 2 / 0.01))
    assert (found.a.on_share, found.a.on_off_ratio) == (0.75, 3)
    assert found.a.bin_counts.tolist() == [2, 0, 1, 1]
    assert found.b.bin_counts.tolist() == [0, 1, 1, 0]
    assert found.ratios.on_off_ratio == pytest.approx(1 / 3)
    assert found.a.pixel_counts[:, 0, :2].tolist() == [[1, 0], [2, 1]]
    assert np.flatnonzero(found.a.interval_counts).tolist() == [200, 429]  # 100 us, and 19.9 ms = 10^4.2989 us


def test_time_shift_of_sparse_events_equals_median_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    t = np.arange(84) * 3000
    a = Events(t, np.arange(84) % 12, np.arange(84) // 12, np.arange(84) % 2, SENSOR)  # one event per pixel
    found = compare(a, a.shift_time(1234))
    for nearest in (found.nearest_to_a, found.nearest_to_b):
        assert (nearest.median_us, nearest.p90_us, nearest.without_share) == (1234, 1234, 0)
    monkeypatch.setattr(comparison, "REACH_US", 1233)
    out_of_reach = compare(a, a.shift_time(1234)).nearest_to_a
    assert (out_of_reach.median_us, out_of_reach.p90_us, out_of_reach.without_share) == (None, None, 1)


def test_swapped_polarity_negates_signed_maps_and_shares_no_voxels() -> None:
    events = random_events(1, 500)
    of_pixel = (events.x + events.y) % 2 == 0  # one polarity per pixel: no voxel coincides by chance
    a = Events(events.t, events.x, events.y, of_pixel, SENSOR)
    found = compare(a, swapped(a))
    maps = found.maps
    assert [maps.unsigned, maps.unsigned_blurred] == pytest.approx([1, 1])
    assert [maps.signed, maps.signed_blurred, maps.signed_blurred_per_window] == pytest.approx([-1, -1, -1])
    assert found.voxels.f1 == 0
    assert found.nearest_to_a.without_share == 1


@given(rows, rows, st.integers(0, 400))
def test_nearest_distances_equal_plain_loop(
    rows_a: list[tuple[int, int, int, bool]], rows_b: list[tuple[int, int, int, bool]], reach_us: int
) -> None:
    # a quarter of the sensor: several events per pixel
    a, b = (from_rows([(t, x % 3, y % 2, p) for t, x, y, p in values]) for values in (rows_a, rows_b))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "REACH_US", reach_us)
        found = compare(a, b)
    for own, other, nearest in ((a, b, found.nearest_to_a), (b, a, found.nearest_to_b)):
        others = events_by_address(other)
        distances = [
            min((abs(t - t_other) for t_other in others.get(address, [])), default=reach_us + 1)
            for address, times in events_by_address(own).items()
            for t in times
        ]
        near = [distance for distance in distances if distance <= reach_us]
        without_share = (len(distances) - len(near)) / len(distances) if distances else None
        assert nearest.without_share == without_share
        assert nearest.median_us == (np.median(near) if near else None)
        assert nearest.p90_us == (np.percentile(near, 90) if near else None)


@given(rows, rows, st.integers(1, 300))
def test_voxel_overlap_equals_set_intersection(
    rows_a: list[tuple[int, int, int, bool]], rows_b: list[tuple[int, int, int, bool]], voxel_us: int
) -> None:
    a, b = ([(t, x % 3, y % 2, p) for t, x, y, p in values] for values in (rows_a, rows_b))
    start_us = min((row[0] for row in a + b), default=0)
    of_a, of_b = ({((t - start_us) // voxel_us, x, y, p) for t, x, y, p in values} for values in (a, b))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "VOXEL_US", voxel_us)
        found = compare(from_rows(a), from_rows(b)).voxels
    assert (found.a, found.b, found.both) == (len(of_a), len(of_b), len(of_a & of_b))
    assert found.precision == (len(of_a & of_b) / len(of_b) if of_b else None)
    assert found.recall == (len(of_a & of_b) / len(of_a) if of_a else None)
    if found.precision and found.recall:
        assert found.f1 == pytest.approx(2 / (1 / found.precision + 1 / found.recall))
    else:
        assert found.f1 == (0 if of_a or of_b else None)


@pytest.mark.parametrize("sensor", [SENSOR, SensorSize(width=3, height=1), SensorSize(width=2, height=9)])
def test_map_correlations_equal_plain_loops_and_scipy(sensor: SensorSize) -> None:
    a, b = random_events(2, 400, sensor), random_events(3, 600, sensor)

    def blur(counts: np.ndarray) -> np.ndarray:
        means = np.zeros(counts.shape)
        for y, x in np.ndindex(counts.shape):
            means[y, x] = counts[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].mean()
        return means

    def expected(sign: int, blurred: bool, start_us: int, stop_us: int) -> float | None:
        maps = []
        for events in (a, b):
            counts = np.zeros((sensor.height, sensor.width))
            part = events.slice_time(start_us, stop_us)
            np.add.at(counts, (part.y, part.x), np.where(part.p, 1, sign))
            maps.append((blur(counts) if blurred else counts).ravel())
        return None if 0 in (np.ptp(maps[0]), np.ptp(maps[1])) else float(pearsonr(*maps).statistic)

    found = compare(a, b)
    start_us, maps = found.start_us or 0, found.maps
    whole = [expected(sign, blurred, 0, 100_000) for blurred in (False, True) for sign in (1, -1)]
    assert [maps.unsigned, maps.signed, maps.unsigned_blurred, maps.signed_blurred] == pytest.approx(whole, abs=1e-12)
    windows = [expected(-1, True, start, start + 40_000) for start in range(start_us, 100_000, 40_000)]
    defined = [value for value in windows if value is not None]
    assert maps.windows == len(defined)
    assert maps.signed_blurred_per_window == (pytest.approx(np.median(defined)) if defined else None)


def test_windows_with_events_in_one_recording_are_skipped_and_counted() -> None:
    a = random_events(4, 300, span_us=80_000)
    b = a.slice_time(0, int(a.t[0]) + 40_000)
    maps = compare(a, b).maps
    assert maps.signed_blurred_per_window == pytest.approx(1)
    assert (maps.windows, maps.windows_with_events) == (1, 2)


@pytest.mark.parametrize("scale", [1.0, 2.0, 300.0])
def test_interval_distance_equals_scipy_within_one_bin(scale: float) -> None:
    a, b = random_events(5, 4000), random_events(6, 1500)
    b = Events((b.t * scale).astype(np.int64), b.x, b.y, b.p, SENSOR)
    expected = wasserstein_distance(log_intervals(a), log_intervals(b))
    assert compare(a, b).interval_distance == pytest.approx(expected, abs=1 / INTERVAL_BINS_PER_DECADE)


def test_intervals_beyond_the_histogram_are_counted_in_outer_bins() -> None:
    events = Events([0, 0, 1_000_000_000], [1, 1, 1], [1, 1, 1], [0, 1, 1], SENSOR)
    assert np.flatnonzero(compare(events, events).a.interval_counts).tolist() == [0, INTERVAL_BINS - 1]


@pytest.mark.parametrize(("a", "b"), [(EMPTY, EMPTY), (EMPTY, ONE), (ONE, EMPTY), (ONE, ONE), (ONE, swapped(ONE))])
def test_undefined_figures_are_none_in_a_valid_record(a: Events, b: Events) -> None:
    found = compare(a, b)
    record = json.loads(json.dumps(found.to_record(), allow_nan=False))
    assert record["a"]["events"] == len(a)
    assert record["a"]["rate_hz"] is record["rate_correlation"] is record["interval_distance"] is None
    same = 1 if len(a) and a == b else 0
    assert record["voxels"]["f1"] == (same if len(a) + len(b) else None)
    assert record["nearest_to_a"]["median_us"] == (0 if same else None)
    assert record["nearest_to_a"]["without_share"] == (1 - same if len(a) else None)


def test_record_contains_everything_except_maps() -> None:
    found = compare(random_events(8, 300), random_events(9, 200))
    record = json.loads(json.dumps(found.to_record(), allow_nan=False))
    settings = {"bin_us": 10_000, "window_us": 40_000, "voxel_us": 10_000, "reach_us": 50_000}
    assert set(record) == {*(field.name for field in fields(Comparison)), *settings, "interval_edges_us"}
    assert "pixel_counts" not in record["a"]
    assert record["sensor"] == {"width": 12, "height": 7}
    assert settings.items() <= record.items()
    assert record["b"]["bin_counts"] == found.b.bin_counts.tolist()
    assert sum(record["b"]["bin_counts"]) == 200
    assert len(record["interval_edges_us"]) == len(record["a"]["interval_counts"]) + 1
    assert record["interval_edges_us"][-1] == pytest.approx(100e6)


def test_different_sensors_are_rejected_with_both_sizes() -> None:
    with raises(EventError, "13x7", "12x7"):
        compare(EMPTY, Events.empty(SensorSize(width=13, height=7)))


def test_recordings_without_shared_clock_are_rejected_with_remedy() -> None:
    with raises(EventError, "A", "B", 5):
        compare(ONE, ONE.shift_time(1_700_000_000_000_000))


def test_swapping_the_recordings_swaps_the_figures() -> None:
    a, b = random_events(10, 700), random_events(11, 900, span_us=150_000)
    there, back = compare(a, b), compare(b, a)
    assert there.nearest_to_a == back.nearest_to_b
    assert (there.voxels.precision, there.voxels.f1) == (back.voxels.recall, back.voxels.f1)
    assert there.interval_distance == pytest.approx(back.interval_distance)
    assert asdict(there.maps) == pytest.approx(asdict(back.maps))
    assert there.ratios.rate == pytest.approx(1 / (back.ratios.rate or 0))
