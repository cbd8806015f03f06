"""Commands info, cut, merge and filter, from arguments to exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import dvspipe
from conftest import SENSOR, random_events
from facts import mentions

from dvspipe.cli.screen import Display
from dvspipe.events import Events, SensorSize
from dvspipe.formats import read, write

EVENTS = random_events(1, 3000, span_us=3_000_000)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    write(tmp_path / "a.h5", EVENTS)
    return tmp_path / "a.h5"


def test_cut_of_quiet_interval_is_empty(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", Events([0, 5_000_000], [1, 1], [1, 1], [1, 1], SENSOR))
    said = dvspipe("cut", "a.h5", "-o", "b.h5", "--start-s", 1, "--stop-s", 2, cwd=tmp_path)
    assert len(read(tmp_path / "b.h5")) == 0
    assert "b.h5: " in said.stdout + said.stderr
    said = dvspipe("cut", "a.h5", "-o", "c.h5", "--region", "3x3+5+2", cwd=tmp_path)
    assert "c.h5: " in said.stdout + said.stderr


def test_sensor_is_not_guessed_without_events(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("# nothing\n", encoding="utf-8")
    assert "--sensor WIDTHxHEIGHT" in dvspipe("info", "a.txt", cwd=tmp_path, code=2).stderr
    assert "12 x 7 (given)" in dvspipe("info", "a.txt", "--sensor", "12x7", cwd=tmp_path).stdout
    (tmp_path / "b.txt").write_text("minutes of a meeting of ours\n", encoding="utf-8")
    said = dvspipe("info", "b.txt", "--columns", "txyp", cwd=tmp_path, code=2).stderr
    assert mentions(said, "b.txt", 6, 4)


@pytest.mark.parametrize("command", [["info"], ["filter", "-o", "b.h5", "--hot-pixels"]])
def test_sensor_of_a_billion_pixels_is_rejected(command: list[str], tmp_path: Path) -> None:
    large = SensorSize(width=32767, height=32767)
    write(tmp_path / "a.h5", Events([0, 10], [0, 32766], [0, 32766], [1, 0], large))
    said = dvspipe(*command, "a.h5", cwd=tmp_path, code=2).stderr
    assert mentions(said, "a.h5", "32767x32767")


@pytest.mark.parametrize("suffix", [".h5", ".raw"])  # the second does not store its number of events
def test_commands_report_done_and_total(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / f"a{suffix}", EVENTS)
    calls: list[tuple[float, float]] = []
    monkeypatch.setattr(Display, "__call__", lambda _, done, total: calls.append((done, total)))
    monkeypatch.setattr(Display, "show_step", lambda _, done, total, _step: calls.append((done, total)))
    for command in (
        ["info"],
        ["cut", "-o", "b.h5"],
        ["cut", "-o", "b.h5", "--start-s", "1", "--stop-s", "2"],
        ["filter", "-o", "b.h5", "--hot-pixels"],
        ["merge", f"a{suffix}", "-o", "b.h5"],
    ):
        calls.clear()
        dvspipe(*command, f"a{suffix}", *(["--overwrite"] if "-o" in command else []), cwd=tmp_path)
        done, total = zip(*calls, strict=True)
        assert len(set(total)) == 1
        assert list(done) == sorted(done)
        assert "--start-s" in command or suffix != ".h5" or done[-1] == total[-1] > 0


@pytest.mark.parametrize(
    "words", ["compare a.h5", "cut -o b.h5", "filter -o b.h5 --hot-pixels", "merge -o b.h5", "view -o a.png", "info"]
)
def test_results_are_json(words: str, recording: Path) -> None:
    done = dvspipe(*words.split(), "a.h5", "--json", cwd=recording.parent, code=None)
    (line,) = done.stdout.splitlines()
    figures = json.loads(line)
    assert figures.get("events", figures.get("events_a")) > 0
