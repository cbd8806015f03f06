"""Logs for the rerun viewer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from commands import dvspipe
from conftest import SENSOR, random_events
from facts import raises

from dvspipe.base.errors import FileError
from dvspipe.events import Events
from dvspipe.formats import write
from dvspipe.report import PlotSource, Predictions, PreviewSettings, write_rerun
from dvspipe.results import EventRates, Prediction, RecordingFolder, SegmentRow, WindowRow

EVENTS = random_events(0, 1000, SENSOR, 99_000).shift_time(5_000_000)


def source(events: Events = EVENTS) -> PlotSource:
    span_us = (int(events.t[0]), int(events.t[-1])) if len(events) else (0, 0)
    return PlotSource([events], events.sensor, len(events), span_us)


def predictions() -> Predictions:
    common = {"label": 0, "class_name": "a/b c", "probability": 0.75}
    windows = tuple(
        WindowRow(
            t_start_us=start,
            t_end_us=start + 50_000,
            entropy=0.5,
            events=9,
            probabilities=(0.75, 0.25),
            t_from_us=start,
            t_to_us=start + 50_000,
            **common,
        )
        for start in (5_000_000, 5_050_000)
    )
    found = Prediction(
        file="a.h5",
        folder="a.h5",
        certain=True,
        probabilities=(0.75, 0.25),
        events=1000,
        windows=2,
        segments=(SegmentRow(t_start_us=5_000_000, t_end_us=5_100_000, **common),),
        t_first_us=5_000_000,
        t_last_us=5_099_000,
        rates=EventRates(start_us=None, bin_us=1, counts=()),
        classified_us=1,
        layers=(),
        trained_on="",
        **common,
    )
    return Predictions(found, windows)


def test_stored_predictions_are_read(tmp_path: Path) -> None:
    given, folder = predictions(), RecordingFolder(tmp_path / "a.h5")
    folder.path.mkdir()
    folder.write_rows(given.windows, given.prediction.segments)
    with raises(FileError, "a.h5"):
        Predictions.read(folder.path)
    given.prediction.write(folder.answer)
    assert Predictions.read(folder.path) == given


def test_wrong_suffix_and_missing_rerun_give_one_line_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with raises(FileError, "a.mp4", ".rrd"):
        write_rerun(source(), tmp_path / "a.mp4")
    with raises(FileError, "a.rrd", "dvspipe[rerun]"):
        write_rerun(source(), tmp_path / "a.rrd")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no output"),
        (["-o", "x.rrd", "--fps", "20"], "fps"),
        (["-o", "x.rrd", "--chart", "xyt"], "chart"),
        (["-o", "x.webm", "--predictions", "a"], "predictions"),
        (["-o", "x.rrd", "--predictions", "missing"], "missing: "),
    ],
)
def test_viewer_options_require_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    write(tmp_path / "a.h5", EVENTS)
    assert message in dvspipe("view", "a.h5", *options, cwd=tmp_path, code=2).stderr


def columns(path: Path) -> dict[str, Any]:
    """Return the values that a file has for each entity, in time order."""
    reader = pytest.importorskip("rerun.chunk", reason="the extra rerun is not installed, or is older than 0.41")
    found: dict[str, Any] = {}
    for chunk in reader.RrdReader(path).stream().to_chunks():
        found.setdefault(chunk.entity_path, []).append(chunk.to_record_batch())
    return found


def test_pictures_points_rates_and_predictions_are_on_one_timeline(tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="the extra rerun is not installed")
    path = tmp_path / "a.rrd"
    write_rerun(source(), path, PreviewSettings(window_us=10_000), predictions=predictions())
    assert [each.name for each in tmp_path.iterdir()] == ["a.rrd"]
    found = columns(path)
    assert {"/picture", "/events", "/rate/on", "/rate/off", "/segments"} <= set(found)
    rows = {name: sum(batch.num_rows for batch in batches) for name, batches in found.items()}
    assert rows["/picture"] == rows["/events"] == 10
    assert rows["/rate/on"] == 11  # one of them is its name
    points = sum(
        len(row)
        for batch in found["/events"]
        for name in batch.schema.names
        if name.endswith("positions")
        for row in batch.column(name).to_pylist()
    )
    assert points == len(EVENTS)
    times = [str(column[0]) for batch in found["/picture"] for column in [batch.column("time").to_pylist()]]
    assert times[0] == "0:00:00"
    assert sum(name.startswith("/probability/") for name in found) == 1


def test_recording_without_events_gives_a_file(tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="the extra rerun is not installed")
    write_rerun(source(Events.empty(SENSOR)), tmp_path / "a.rrd")
    assert (tmp_path / "a.rrd").stat().st_size > 100
