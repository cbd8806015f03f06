"""Convert, cut, filter and merge as functions of files and of events in memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import SENSOR, random_events
from facts import raises

from dvspipe.base.errors import ConfigError, EventError, FileError, VideoError
from dvspipe.events import Events, SensorSize, concatenate
from dvspipe.events.filter_config import FilterConfig
from dvspipe.events.filters import count_pixels, find_hot_pixels
from dvspipe.formats import info, read, write
from dvspipe.parallel import Processes
from dvspipe.recordings.config import CheckSettings, CompareSettings, ConversionSettings
from dvspipe.recordings.conversion import ConversionTask, convert_many, events_from_video
from dvspipe.verbs.conversion import convert
from dvspipe.verbs.editing import cut, filter, merge  # noqa: A004
from dvspipe.verbs.inspection import check, compare
from dvspipe.video.frames import frames_from_arrays
from dvspipe.video.writing import write_video

EVENTS = random_events(7, 600).shift_time(1_700_000_000_000_000)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write(tmp_path / "a.h5", EVENTS)
    return tmp_path / "a.h5"


def test_file_and_events_in_memory_give_the_same_results(file: Path) -> None:
    for function in (
        lambda recording: cut(recording, 0.01, 0.06, "5x4+2+1"),
        lambda recording: filter(recording, activity_us=300, hot_pixels=True),
        lambda recording: merge([recording, recording]),
        lambda recording: compare(recording, EVENTS[:300]).ratios,
        lambda recording: check(recording).findings,
    ):
        assert function(file) == function(EVENTS)
    found, stored = info(EVENTS), info(file)
    assert (found.events, found.duration_us, found.on_fraction) == (
        stored.events,
        stored.duration_us,
        stored.on_fraction,
    )
    assert (found.format, found.file, found.width) == ("memory", "events", 12)


def test_cut_takes_infinite_times_and_refuses_nan(file: Path) -> None:
    for recording in (file, EVENTS):
        assert cut(recording, stop_s=float("inf")) == EVENTS
        for start_s, stop_s, name in ((float("nan"), None, "start_s"), (0.0, float("nan"), "stop_s")):
            with raises(ConfigError, "value", name, "nan"):
                cut(recording, start_s, stop_s)


def test_negative_gap_is_refused() -> None:
    with raises(ConfigError, "gap_us", "-5"):
        merge([EVENTS, EVENTS], gap_us=-5)


def test_edits_write_what_the_verbs_return(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    edits = (
        (cut.edit(file, 0.01, 0.06), cut(EVENTS, 0.01, 0.06)),
        (filter.edit(file, refractory_us=500, hot_pixels=True), filter(EVENTS, refractory_us=500, hot_pixels=True)),
        (merge.edit([file, file]), merge([EVENTS, EVENTS])),
        (merge.edit([file, file], gap_us=100), merge([EVENTS, EVENTS], gap_us=100)),
    )
    for edit, events in edits:
        assert edit.write(out, overwrite=True) == len(events)
        assert read(out) == events


def test_out_writes_what_is_returned_and_never_replaces_a_file_unasked(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    calls = (
        partial(cut, file, 0.01, 0.06),
        partial(cut.edit, file, 0.01, 0.06),
        partial(filter, file, refractory_us=500),
        partial(merge, [file, EVENTS], gap_us=100),
    )
    for call in calls:
        result = call(out=out)
        expected = concatenate(call().chunks(), SENSOR) if hasattr(result, "chunks") else result
        assert read(out) == expected
        with raises(FileError, "out.h5", "exists", "overwrite"):
            call(out=str(out))
        call(out=out, overwrite=True)
        out.unlink()
    with raises(FileError, "out.xyz"):
        cut(file, out=tmp_path / "out.xyz")


def test_recording_may_be_replaced_by_its_part(file: Path) -> None:
    expected = cut(EVENTS, 0.01, 0.06)
    assert cut(file, 0.01, 0.06, out=file, overwrite=True) == expected
    assert read(file) == expected


def test_several_files_give_a_result_each(file: Path, tmp_path: Path) -> None:
    write(tmp_path / "b.h5", EVENTS[:100])
    reports = check([tmp_path], jobs=2)
    assert reports == (check(file), check(tmp_path / "b.h5"))
    done = convert([tmp_path / "a.h5", str(tmp_path / "b.h5")], tmp_path / "out", suffix="csv")
    assert sorted((one.path.name, one.events) for one in done) == [("a.csv", 600), ("b.csv", 100)]
    assert convert([file], tmp_path / "out", suffix="csv") == ()
    for call in (partial(check, [file, "none.h5"]), partial(convert, ["none.h5", file], tmp_path / "more")):
        with raises(FileError, "none.h5"):
            call()
    assert (tmp_path / "more" / "a.h5").is_file()


def test_compare_writes_a_page(file: Path, tmp_path: Path) -> None:
    compared = compare(file, EVENTS, out=tmp_path / "page.html")
    assert compared.to_record() == compare(EVENTS, EVENTS).to_record()
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "a.h5" in page
    with raises(FileError, "page.html", "exists"):
        compare(file, EVENTS, out=tmp_path / "page.html")
    with raises(FileError, "page.txt", ".html"):
        compare(file, EVENTS, out=tmp_path / "page.txt")


def test_cut_keeps_times_and_refuses_parts_outside() -> None:
    assert cut(EVENTS) == EVENTS
    assert cut(EVENTS, stop_s=0.05).t[0] == EVENTS.t[0]
    with raises(EventError, "events", "5 s"):
        cut(EVENTS, 5)
    with raises(ConfigError, "0.5", "0.7"):
        cut(EVENTS, 0.7, 0.5)
    with raises(EventError, "12x7"):
        cut(EVENTS, region=(0, 0, 13, 7))


def test_hot_pixels_are_removed_in_memory() -> None:
    busy = np.full(400, 3)
    hot = Events(np.arange(400) * 200 + int(EVENTS.t[0]), busy, busy, np.ones(400, int), SENSOR)
    both = merge([EVENTS, hot])
    assert find_hot_pixels(count_pixels([both], SENSOR)).sum() == 1
    assert len(filter(both, hot_pixels=True)) == np.count_nonzero((EVENTS.x != 3) | (EVENTS.y != 3))


def test_filter_needs_a_filter() -> None:
    with raises(ConfigError, "refractory_us", "activity_us", "hot_pixels"):
        filter(EVENTS)
    assert filter(EVENTS, {"refractory_us": 500}) == filter(EVENTS, FilterConfig(refractory_us=500))
    assert filter(EVENTS, FilterConfig(refractory_us=500), activity_us=300) == filter(
        EVENTS, refractory_us=500, activity_us=300
    )
    with raises(ConfigError, "refractory"):
        filter(EVENTS, refractory=500)  # type: ignore[call-arg]


def test_merge_takes_recordings_of_one_sensor() -> None:
    with raises(EventError, "no recordings"):
        merge([])
    with raises(EventError, "5x5", "12x7"):
        merge([EVENTS, random_events(1, 5, SensorSize(width=5, height=5))])


def test_convert_takes_settings_by_name_and_a_preset(tmp_path: Path) -> None:
    images = [np.full((32, 48), 60 * number, np.uint8) for number in range(3)]
    write_video(tmp_path / "a.webm", frames_from_arrays(images, fps=30))
    done = convert(tmp_path / "a.webm", tmp_path / "a.h5", pos_thres=0.4, neg_thres=0.4)
    assert (done.frames, done.sensor) == (3, SensorSize(width=48, height=32))
    given = ConversionSettings(pos_thres=0.4)
    convert(tmp_path / "a.webm", tmp_path / "b.h5", given, neg_thres=0.4)
    assert read(tmp_path / "a.h5") == read(tmp_path / "b.h5")
    convert(tmp_path / "a.webm", tmp_path / "c.h5", preset="noisy", pos_thres=0.4)
    stored = info(tmp_path / "c.h5").attributes["settings"]["simulator"]
    assert (stored["pos_thres"], stored["shot_noise_rate_hz"] > 0) == (0.4, True)
    convert(tmp_path / "a.h5", tmp_path / "a.csv")
    assert read(tmp_path / "a.csv", sensor="48x32") == read(tmp_path / "a.h5")


def test_presets_give_the_same_events_in_every_function(tmp_path: Path) -> None:
    images = [np.full((32, 48), 60 * number, np.uint8) for number in range(3)]
    write_video(tmp_path / "a.webm", frames_from_arrays(images, fps=30))
    convert(tmp_path / "a.webm", tmp_path / "a.h5", preset="davis346", pos_thres=0.4)
    expected = read(tmp_path / "a.h5")
    assert events_from_video(tmp_path / "a.webm", preset="davis346", pos_thres=0.4) == expected
    assert events_from_video(tmp_path / "a.webm", pos_thres=0.4) != expected
    task = ConversionTask(tmp_path / "a.webm", tmp_path / "b.h5")
    (done,) = convert_many([task], preset="davis346", video={"pos_thres": 0.4}, engine=Processes(1))
    assert read(done.result().path) == expected
    with raises(ConfigError, "no_such_sensor"):
        events_from_video(tmp_path / "a.webm", preset="no_such_sensor")


def test_convert_explains_wrong_settings_and_sources(tmp_path: Path) -> None:
    with raises(ConfigError, "pos_thress"):
        convert(tmp_path / "a.webm", tmp_path / "a.h5", pos_thress=1)  # type: ignore[call-overload]
    with raises((VideoError, FileError), "a.webm"):
        convert(tmp_path / "a.webm", tmp_path / "a.h5")


def test_settings_of_check_and_compare_have_names(file: Path) -> None:
    assert check(file, gap_us=1000) == check(file, settings=CheckSettings(gap_us=1000))
    assert check(file, settings={"gap_us": 1000}) == check(file, gap_us=1000)
    part = EVENTS[::2]
    assert (
        compare(EVENTS, part, window_us=1000).to_record()
        == compare(EVENTS, part, CompareSettings(window_us=1000)).to_record()
    )
    with raises(ConfigError, "windows_us"):
        compare(EVENTS, part, windows_us=1000)  # type: ignore[call-arg]
