"""Edit recordings: parts, noise filters, merging."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import SENSOR, random_events
from facts import raises

from dvspipe.base.errors import ConfigError, EventError, FileError
from dvspipe.events import Events, concatenate
from dvspipe.events.filter_config import FilterConfig
from dvspipe.events.filters import count_pixels, filter_stream, find_hot_pixels
from dvspipe.formats import open_recording, read, write
from dvspipe.recordings.editing import cut, filter, merge, select_part, write_filtered  # noqa: A004

EVENTS = random_events(1, 3000, span_us=3_000_000)
SETTINGS = {"pos_thres": 0.2}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Recording of EVENTS with settings."""
    write(tmp_path / "a.h5", EVENTS, settings=SETTINGS)
    return tmp_path / "a.h5"


def test_cut_keeps_times_and_settings(path: Path, tmp_path: Path) -> None:
    done = cut(path, tmp_path / "b.h5", start_s=1.0, stop_s=2.0, region="5x4+3+2")
    start_us = EVENTS.t[0] + 1_000_000
    inside = (EVENTS.x >= 3) & (EVENTS.x < 8) & (EVENTS.y >= 2) & (EVENTS.y < 6)
    inside &= (EVENTS.t >= start_us) & (EVENTS.t < start_us + 1_000_000)
    part = read(tmp_path / "b.h5")
    assert (done.events, str(done.sensor)) == (inside.sum(), "5x4")
    assert np.array_equal(part.t, EVENTS.t[inside])
    assert np.array_equal(part.x, EVENTS.x[inside] - 3)
    assert open_recording(tmp_path / "b.h5").attributes["settings"] == SETTINGS


def test_filter_removes_what_the_filters_of_a_stream_remove(path: Path, tmp_path: Path) -> None:
    hot = find_hot_pixels(count_pixels(EVENTS, SENSOR))
    for config in (FilterConfig(refractory_us=20_000), FilterConfig(hot_pixels=True, activity_us=5_000)):
        done, counts = write_filtered(select_part(open_recording(path)), tmp_path / "b.h5", config, overwrite=True)
        expected = concatenate(filter_stream(EVENTS, config, hot=hot if config.hot_pixels else None))
        assert read(tmp_path / "b.h5") == expected
        assert done.events == counts.kept == len(expected) < len(EVENTS)
        stored = open_recording(tmp_path / "b.h5").attributes["settings"]
        assert stored == {**SETTINGS, "filter": config.model_dump()}
    with raises(ConfigError, "filter"):
        filter(path, tmp_path / "c.h5")


def test_recordings_are_merged_by_time_or_in_sequence(path: Path, tmp_path: Path) -> None:
    progress: list[tuple[float, float]] = []
    merge([path, path], tmp_path / "b.h5", progress=lambda *numbers: progress.append(numbers))
    assert np.array_equal(read(tmp_path / "b.h5").t, np.repeat(EVENTS.t, 2))
    assert progress[-1][1] == 2
    assert open_recording(tmp_path / "b.h5").attributes["settings"] == SETTINGS
    done = merge([path, EVENTS], tmp_path / "c.h5", gap_us=100)
    assert (done.events, done.duration_us) == (2 * len(EVENTS), 2 * EVENTS.duration_us + 100)
    assert open_recording(tmp_path / "c.h5").attributes.get("settings", {}) == {}


def test_wrong_edits_are_errors_and_write_nothing(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.h5"
    with raises(EventError, "a.h5", "no events"):
        cut(path, out, start_s=10)
    with raises(ConfigError, "a.h5", "2", "1"):
        cut(path, out, start_s=2, stop_s=1)
    with raises(EventError, "9x9+30+0", str(SENSOR)):
        cut(path, out, region="9x9+30+0")
    with raises(EventError, "a.h5", "34x34"):
        merge([Events.empty("34x34"), path], out)
    with raises(EventError, "no recordings"):
        merge([], out)
    with raises(ConfigError, "gap_us"):
        merge([path, path], out, gap_us=-1)
    assert list(tmp_path.iterdir()) == [path]
    with raises(FileError, "a.h5", "overwrite"):
        cut(path, path, stop_s=1)
    cut(path, path, stop_s=1, overwrite=True)
    assert len(read(path)) < len(EVENTS)
