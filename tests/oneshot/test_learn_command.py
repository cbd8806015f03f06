"""Command `learn`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from commands import dvspipe
from filmed import make_film, make_gestures, make_track, store_track

from dvspipe.oneshot import PAGE, learning


def test_gestures_are_found_and_shown_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "learn_study", lambda *_, **__: None)
    make_gestures(tmp_path, tmp_path / "mine")
    done = dvspipe("learn", "up.webm", "aside.webm", "-o", "mine", "--stops.up", 3, cwd=tmp_path)
    up = next(line for line in done.stderr.splitlines() if line.startswith("up.webm: up"))
    assert "to 3.00 s" in up
    assert "right hand" in up
    assert f"mine/{PAGE}" in done.stderr


def test_trained_gestures_are_printed_and_classify_a_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "JOINT_PEOPLE", 4)
    monkeypatch.setattr(learning, "JOINT_BATCHES", 5)
    monkeypatch.setattr(learning, "JOINT_TESTED", 2)
    make_gestures(tmp_path, tmp_path / "mine")
    command = ("learn", "up.webm", "aside.webm", "-o", "mine", "--people", "4", "--camera", "dvs", "--jobs", "1")
    done = dvspipe(*command, cwd=tmp_path)
    assert re.search(r"test accuracy \(synthetic\) on videos.* of 6 movements", done.stdout)
    assert re.search(r"test accuracy \(synthetic\) on events", done.stdout)
    assert "views" not in done.stdout
    assert "10 of 38" in done.stdout
    page = (tmp_path / "mine" / PAGE).read_bytes()
    again = dvspipe(*command[:2], *command[3:], cwd=tmp_path, code=2)
    assert (tmp_path / "mine" / PAGE).read_bytes() == page
    assert "mine" in again.stderr
    assert "overwrite" in again.stderr


@pytest.mark.parametrize("given", [("--starts", 1), ("--starts.up", ""), ("--starts.up", -1), ("--stops.up", "nan")])
def test_wrong_times_are_errors(given: tuple[str, object], tmp_path: Path) -> None:
    make_gestures(tmp_path, tmp_path / "mine")
    done = dvspipe("learn", "up.webm", "-o", "mine", *given, cwd=tmp_path, code=2)
    assert given[0].strip("-") in done.stderr or done.stderr.startswith("dvspipe: up: wrong time")


def test_refused_film_is_one_line_with_its_picture(tmp_path: Path) -> None:
    store_track(make_film(tmp_path / "still.webm"), "still", tmp_path / "mine", make_track(0.0, 0))
    done = dvspipe("learn", "still.webm", "-o", "mine", cwd=tmp_path, code=2)
    assert "still.webm" in done.stderr
    assert "still-refused.png" in done.stderr


def test_missing_film_is_an_error(tmp_path: Path) -> None:
    assert "gone.mp4" in dvspipe("learn", "gone.mp4", "-o", "mine", cwd=tmp_path, code=2).stderr
