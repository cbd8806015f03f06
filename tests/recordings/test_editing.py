"""Edit recordings: parts, noise filters, merging."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import SENSOR, random_events
from facts import raises

from dvspipe.base.errors import ConfigError, EventError, FileError
from dvspipe.events import Events, Region
from dvspipe.events.filter_config import FilterConfig
from dvspipe.events.filters import count_pixels, find_hot_pixels
from dvspipe.formats import Recording, open_recording, read, write
from dvspipe.recordings.editing import FilteredPart, MergedRecordings, cut, filter, merge, select_part  # noqa: A004

EVENTS = random_events(1, 3000, span_us=3_000_000)
SETTINGS = {"simulator": {"pos_thres": 0.2}}


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """Return a recording of EVENTS with settings."""
    write(tmp_path / "a.h5", EVENTS, settings=SETTINGS)
    return open_recording(tmp_path / "a.h5")


def test_part_keeps_times_and_settings(recording: Recording, tmp_path: Path) -> None:
    part = select_part(recording, 1.0, 2.0, Region.parse("5x4+3+2"))
    count = part.write(tmp_path / "b.h5")
    start_us = EVENTS.t[0] + 1_000_000
    inside = (EVENTS.x >= 3) & (EVENTS.x < 8) & (EVENTS.y >= 2) & (EVENTS.y < 6)
    inside &= (EVENTS.t >= start_us) & (EVENTS.t < start_us + 1_000_000)
    assert count == inside.sum()
    assert np.array_equal(read(tmp_path / "b.h5").t, EVENTS.t[inside])
    assert open_recording(tmp_path / "b.h5").attributes["settings"] == SETTINGS


def test_filtering_a_part_equals_filtering_its_file(recording: Recording, tmp_path: Path) -> None:
    part = select_part(recording, 0.5, region=Region.parse("9x6+1+0"))
    config = FilterConfig(hot_pixels=True, refractory_us=20_000)
    filtered = FilteredPart(part, config)
    assert filtered.write(tmp_path / "b.h5") == filtered.counts.kept
    part.write(tmp_path / "c.h5")
    complete = FilteredPart(select_part(open_recording(tmp_path / "c.h5")), config)
    complete.write(tmp_path / "d.h5")
    assert complete.counts == filtered.counts
    assert filtered.counts.removed["refractory_us"] > 0
    assert read(tmp_path / "b.h5") == read(tmp_path / "d.h5")
    written = open_recording(tmp_path / "b.h5").attributes["settings"]["filter"]
    assert written == {"refractory_us": 20_000, "activity_us": None, "hot_pixels": True}


def test_recordings_are_merged_by_time_or_in_sequence(recording: Recording, tmp_path: Path) -> None:
    done: list[tuple[float, float]] = []
    MergedRecordings([recording, recording]).write(tmp_path / "b.h5", progress=lambda *numbers: done.append(numbers))
    assert np.array_equal(read(tmp_path / "b.h5").t, np.repeat(EVENTS.t, 2))
    assert done[-1] == (2000, 2000)
    MergedRecordings([recording, recording], gap_us=500).write(tmp_path / "c.h5")
    t = read(tmp_path / "c.h5").t
    assert t[3000] - t[2999] == 500


def test_part_outside_the_recording_raises(recording: Recording, tmp_path: Path) -> None:
    with raises(ConfigError, "a.h5", "1", "2"):
        select_part(recording, 2.0, 1.0)
    with raises(EventError, "a.h5", "99x99+0+0", "12x7"):
        select_part(recording, region=Region.parse("99x99+0+0"))
    with raises(EventError, "a.h5", "100 s", "2.99909 s"):
        select_part(recording, 100.0).write(tmp_path / "b.h5")


def test_merging_different_sensors_raises(recording: Recording, tmp_path: Path) -> None:
    write(tmp_path / "b.h5", Events.empty((34, 34)))
    with raises(EventError, "b.h5", "34x34", "12x7"):
        MergedRecordings([recording, open_recording(tmp_path / "b.h5")])


def test_file_and_events_in_memory_give_the_same_events(recording: Recording) -> None:
    config = FilterConfig(activity_us=9000, hot_pixels=True)
    for edit in (
        lambda recording: cut(recording, start_s=0.01, stop_s=0.06, region="5x4+2+1"),
        lambda recording: filter(recording, config=config),
        lambda recording: merge([recording, recording]),
    ):
        assert edit(recording.path).read() == edit(EVENTS).read()


def test_cut_keeps_times_and_refuses_parts_outside(recording: Recording) -> None:
    assert cut(EVENTS).read() == cut(EVENTS, stop_s=float("inf")).read() == EVENTS
    assert cut(EVENTS, stop_s=0.05).read().t[0] == EVENTS.t[0]
    with raises(EventError, "events", "5 s"):
        cut(EVENTS, start_s=5).read()
    with raises(ConfigError, "0.5", "0.7"):
        cut(EVENTS, start_s=0.7, stop_s=0.5)
    with raises(EventError, "12x7"):
        cut(EVENTS, region=(0, 0, 13, 7))
    with raises(ConfigError, "value", "start_s", "nan"):
        cut(recording.path, start_s=float("nan"))
    with raises(ConfigError, "value", "stop_s", "nan"):
        cut(recording.path, stop_s=float("nan"))


def test_out_is_written_and_never_replaced_without_overwrite(recording: Recording, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    for edit in (
        partial(cut, recording.path, start_s=0.01, stop_s=0.06),
        partial(filter, recording.path, config=FilterConfig(refractory_us=500)),
        partial(merge, [recording.path, EVENTS], gap_us=100),
    ):
        assert edit(out=out).written == (out, len(read(out)))
        assert read(out) == edit().read()
        with raises(FileError, "out.h5", "exists", "overwrite"):
            edit(out=str(out))
        edit(out=out, overwrite=True)
        out.unlink()
    with raises(FileError, "out.xyz"):
        cut(recording.path, tmp_path / "out.xyz")


def test_recording_may_be_replaced_by_its_part(recording: Recording) -> None:
    cut(recording.path, recording.path, start_s=0.01, stop_s=0.06, overwrite=True)
    assert read(recording.path) == cut(EVENTS, start_s=0.01, stop_s=0.06).read()


def test_hot_pixels_are_removed_in_memory() -> None:
    busy = np.full(2000, 3)
    hot = Events(np.arange(2000) * 200 + int(EVENTS.t[0]), busy, busy, np.ones(2000, int), SENSOR)
    both = merge([EVENTS, hot]).read()
    assert find_hot_pixels(count_pixels([both], SENSOR)).sum() == 1
    filtered = filter(both, config=FilterConfig(hot_pixels=True)).read()
    assert len(filtered) == np.count_nonzero((EVENTS.x != 3) | (EVENTS.y != 3))


def test_filter_needs_a_filter() -> None:
    with raises(ConfigError, "refractory_us", "activity_us", "hot_pixels"):
        filter(EVENTS)
    with raises(ConfigError, "refractory"):
        filter(EVENTS, config=FilterConfig(refractory=500))  # type: ignore[call-arg]


def test_merge_refuses_no_recordings_and_negative_gaps() -> None:
    with raises(EventError, "no recordings"):
        merge([])
    with raises(ConfigError, "gap_us", "-5"):
        merge([EVENTS, EVENTS], gap_us=-5).read()
