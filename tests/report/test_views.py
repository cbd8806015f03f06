"""Views of recordings and parts of them: pictures and charts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import SENSOR, random_events
from facts import raises

from dvspipe.base.errors import DvspipeError, EventError, FileError
from dvspipe.events import Region
from dvspipe.formats import open_recording, write
from dvspipe.formats.source import Extent
from dvspipe.recordings.editing import select_part
from dvspipe.recordings.output import write_stream
from dvspipe.report import PreviewSettings, write_preview
from dvspipe.report.views import view

EVENTS = random_events(1, 3000, span_us=3_000_000)
SETTINGS = PreviewSettings(window_us=100_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "a.h5", EVENTS)
    return tmp_path / "a.h5"


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_view_of_a_complete_recording_is_its_preview(path: Path, tmp_path: Path, suffix: str) -> None:
    view(path, tmp_path / f"view{suffix}", SETTINGS)
    span_us = int(EVENTS.t[0]), int(EVENTS.t[-1])
    write_preview([EVENTS], SENSOR, tmp_path / f"preview{suffix}", SETTINGS, span_us=span_us)
    assert (tmp_path / f"view{suffix}").read_bytes() == (tmp_path / f"preview{suffix}").read_bytes()


def test_chart_of_a_part_is_the_chart_of_the_cut_file(path: Path, tmp_path: Path) -> None:
    part = select_part(open_recording(path), 1.0, 2.0, Region.parse("5x4+3+2"))
    write_stream(tmp_path / "cut" / "a.h5", part.chunks(), part.sensor, [part.recording])
    shown = view(path, tmp_path / "part.png", start_s=1.0, stop_s=2.0, region="5x4+3+2", chart="rate")
    assert (shown.part.span, shown.part.region, shown.extent) == (part.span, part.region, part.extent())
    view(tmp_path / "cut" / "a.h5", tmp_path / "file.png", chart="rate")
    assert (tmp_path / "part.png").read_bytes() == (tmp_path / "file.png").read_bytes()


def test_extent_of_a_part_counts_its_events(path: Path) -> None:
    recording = open_recording(path)
    part = select_part(recording, 1.0, 2.0)
    inside = EVENTS.t[(EVENTS.t >= EVENTS.t[0] + 1_000_000) & (EVENTS.t < EVENTS.t[0] + 2_000_000)]
    assert part.extent() == Extent(len(inside), int(inside[0]), int(inside[-1]))
    assert select_part(recording).extent() == recording.extent()


def test_part_without_events_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(EventError, match=r"a\.h5"):
        view(path, tmp_path / "a.gif", start_s=1.0, stop_s=1.000_000_1)
    assert not (tmp_path / "a.gif").exists()


@pytest.mark.parametrize(
    ("name", "arguments", "facts"),
    [
        ("a.gif", {"chart": "rate"}, ("a.gif", ".gif", ".png")),
        ("a.jpg", {}, ("a.jpg", ".webm", ".mp4", ".gif", ".png")),
        ("a.png", {"chart": "rate", "config": PreviewSettings(speed=2)}, ("speed", "chart")),
        ("a.gif", {"beside": "clip.mp4", "region": "3x3+0+0"}, ("beside", "region")),
        ("a.h5", {}, ("a.h5", ".webm")),
    ],
)
def test_arguments_that_do_not_apply_are_errors(
    path: Path, name: str, arguments: dict[str, Any], facts: tuple[str, ...]
) -> None:
    with raises(DvspipeError, *facts):
        view(path, path.with_name(name), **arguments)
    assert [each.name for each in path.parent.iterdir()] == ["a.h5"]


def test_existing_view_is_replaced_only_on_request(path: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with raises(FileError, "a.png", "overwrite"):
        view(path, tmp_path / "a.png")
    view(path, tmp_path / "a.png", overwrite=True)
    assert (tmp_path / "a.png").stat().st_size
