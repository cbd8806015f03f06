"""Edit recordings: parts, noise filters, merging."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import random_events
from facts import raises

from dvspipe.base.errors import ConfigError, EventError
from dvspipe.events import Events, Region
from dvspipe.events.filter_config import FilterConfig
from dvspipe.formats import Recording, open_recording, read, write
from dvspipe.recordings.editing import FilteredPart, MergedRecordings, select_part

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
