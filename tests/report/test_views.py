"""Views of recordings and parts of them: pictures and charts."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import SENSOR, random_events
from facts import raises

from dvspipe.base.errors import FileError
from dvspipe.formats import write
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


def test_existing_view_is_replaced_only_on_request(path: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with raises(FileError, "a.png", "overwrite"):
        view(path, tmp_path / "a.png")
    view(path, tmp_path / "a.png", overwrite=True)
    assert (tmp_path / "a.png").stat().st_size
