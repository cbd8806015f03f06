"""Counting of structured arrays, compared with `encode` of the same events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import SENSOR, random_events, rows_of
from facts import raises
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dvspipe.encoding import BinConfig, ToSpikes, encode
from dvspipe.encoding.rows import BLOCK_ROWS, RowCounter
from dvspipe.errors import EventError
from dvspipe.events import Events

BINS = BinConfig(steps=5, step_us=20_000)
COUNTER = RowCounter.of(BINS, SENSOR)
configs = st.builds(
    BinConfig,
    steps=st.integers(1, 9),
    by=st.sampled_from(["time", "recording", "events"]),
    step_us=st.sampled_from([7, 800, 3_333, 30_000]),
    step_events=st.sampled_from([1, 60, BLOCK_ROWS, 300]),
    downsample=st.integers(1, 5),
    form=st.sampled_from(["count", "binary", "clipped"]),
    polarity=st.sampled_from(["separate", "merged"]),
)


def count(rows: NDArray[np.void]) -> NDArray[np.uint8]:
    spikes = COUNTER.count(rows)
    assert spikes is not None
    return spikes


@given(
    config=configs,
    size=st.sampled_from([BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 3 * BLOCK_ROWS]) | st.integers(1, 1000),
    span_us=st.sampled_from([1, 40, 100_000]),
    origin_us=st.sampled_from([0, -50_000, -(2**60), 2**60]),
)
@settings(max_examples=60)
def test_counts_equal_encode(config: BinConfig, size: int, span_us: int, origin_us: int) -> None:
    events = random_events(3, size, span_us=span_us).shift_time(origin_us)
    spikes = RowCounter.of(config, SENSOR).count(events.structured())
    assert spikes is not None
    assert np.array_equal(spikes, encode(events, config))


@pytest.mark.parametrize(
    "dtypes",
    [
        {"t": "u4", "x": "u1", "y": "u1", "p": "u1"},  # 9 rows per vector
        {"x": "i8", "y": "u8", "t": "i8", "p": "i8"},
        {"p": "?", "t": "i4", "x": "i4", "y": "i1", "weight": "f8", "more": "S46"},  # as large as a vector
    ],
)
def test_counts_do_not_depend_on_the_layout(dtypes: dict[str, str]) -> None:
    events = random_events(1, 2 * BLOCK_ROWS + 3)
    rows = np.zeros(len(events), list(dtypes.items()))
    for name in "txyp":
        rows[name] = getattr(events, name)
    for part in (slice(0, None), slice(7, None), slice(0, 3)):
        assert np.array_equal(count(rows[part]), encode(events[part], BINS))


def test_arrays_of_other_classes_are_counted(tmp_path: Path) -> None:
    rows = random_events(1, 300).structured()
    np.save(tmp_path / "rows.npy", rows)
    for other in (rows.view(np.recarray), np.load(tmp_path / "rows.npy", mmap_mode="r")):
        assert np.array_equal(count(other), count(rows))


@pytest.mark.parametrize("index", [0, 1, BLOCK_ROWS - 1, BLOCK_ROWS, 2 * BLOCK_ROWS + 2])
def test_broken_rules_are_found_in_every_block(index: int) -> None:
    rows = random_events(1, 2 * BLOCK_ROWS + 3).structured()
    for name, value in (("x", 12), ("x", -1), ("y", 7), ("y", -(2**15))):
        wrong = rows.copy()
        wrong[name][index] = value
        assert COUNTER.count(wrong) is None
    wrong = rows.copy()
    wrong["t"][index] = -1 if index else 100_000
    assert COUNTER.count(wrong) is None
    for value in (2, -1, 2**32):
        wide = rows_of(Events.from_structured(rows, SENSOR), t="i8", x="i8", y="i8", p="i8")
        wide["p"][index] = value
        assert COUNTER.count(wide) is None


def test_other_bytes_than_0_and_1_are_wrong_polarities() -> None:
    rows = random_events(1, 30).structured()
    rows["p"].view(np.uint8)[4] = 2
    assert COUNTER.count(rows) is None
    with raises(EventError, "event 4", "p = 2"):
        ToSpikes(BINS, SENSOR)(rows)


def test_unsuitable_rows_are_encoded_as_events() -> None:
    events = random_events(1, 300)
    rows = events.structured()
    unsuitable = [np.repeat(rows, 2)[::2], rows[:, None]]
    for dtypes in (
        {"t": ">i8", "x": "i2", "y": "i2", "p": "?"},
        {"t": "u8", "x": "i2", "y": "i2", "p": "?"},
        {"t": "i8", "x": "f4", "y": "i2", "p": "?"},
        {"t": "i8", "x": "i2", "y": "i2", "p": "?", "longer": "S52"},
        {"t": "i8", "x": "i2", "y": "i2", "p": "?", "date": "M8[us]"},
    ):
        other = np.zeros(len(rows), list(dtypes.items()))
        for name in "txyp":
            other[name] = rows[name]
        unsuitable.append(other)
    for rows in unsuitable:
        assert COUNTER.count(rows) is None
        assert np.array_equal(ToSpikes(BINS, SENSOR)(rows), encode(events, BINS))


def test_extreme_times_are_encoded_as_events() -> None:
    for t in ([-(2**63), 2**63 - 1], [-(2**62) - 1, 5], [0, 2**50], [2**63 - 2, 2**63 - 1]):
        events = Events(t, [1, 2], [3, 4], [1, 0], SENSOR)
        for config in (BINS, BINS.model_copy(update={"by": "recording"})):
            assert RowCounter.of(config, SENSOR).count(events.structured()) is None
    with raises(EventError, 2**63 - 1):
        ToSpikes(BINS, SENSOR)(events.structured()[::-1])
