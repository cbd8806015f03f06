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


def test_cut_of_quiet_interval_is_empty(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", Events([0, 5_000_000], [1, 1], [1, 1], [1, 1], SENSOR))
    said = dvspipe("cut", "a.h5", "-o", "b.h5", "--start-s", 1, "--stop-s", 2, cwd=tmp_path)
    assert len(read(tmp_path / "b.h5")) == 0
    assert "b.h5: " in said.stdout + said.stderr


def test_sensor_is_not_guessed_without_events(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("# nothing\n", encoding="utf-8")
    assert "--sensor WIDTHxHEIGHT" in dvspipe("info", "a.txt", cwd=tmp_path, code=2).stderr
    assert "12 x 7 (given)" in dvspipe("info", "a.txt", "--sensor", "12x7", cwd=tmp_path).stdout
    (tmp_path / "b.txt").write_text("minutes of a meeting of ours\n", encoding="utf-8")
    said = dvspipe("info", "b.txt", "--columns", "txyp", cwd=tmp_path, code=2).stderr
    assert mentions(said, "b.txt", 6, 4)


@pytest.mark.parametrize("words", ["info", "filter -o b.h5 --hot-pixels"])
def test_sensor_of_a_billion_pixels_is_rejected(words: str, tmp_path: Path) -> None:
    large = SensorSize(width=32767, height=32767)
    write(tmp_path / "a.h5", Events([0, 10], [0, 32766], [0, 32766], [1, 0], large))
    said = dvspipe(*words.split(), "a.h5", cwd=tmp_path, code=2).stderr
    assert mentions(said, "a.h5", "32767x32767")


@pytest.mark.parametrize("suffix", [".h5", ".raw"])  # the second does not store its number of events
@pytest.mark.parametrize(
    "words",
    [
        "info",
        "compare a.h5",
        "cut -o b.h5",
        "cut -o b.h5 --start-s 1 --stop-s 2",
        "filter -o b.h5 --hot-pixels",
        "merge a.h5 -o b.h5",
        "view -o a.png",
    ],
)
def test_commands_report_done_and_total_and_results_in_json(
    suffix: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in {"a.h5", f"a{suffix}"}:
        write(tmp_path / name, EVENTS)
    calls: list[tuple[float, float]] = []
    monkeypatch.setattr(Display, "__call__", lambda _, done, total: calls.append((done, total)))
    monkeypatch.setattr(Display, "show_step", lambda _, done, total, _step: calls.append((done, total)))
    (line,) = dvspipe(*words.split(), f"a{suffix}", "--json", cwd=tmp_path).stdout.splitlines()
    assert json.loads(line)["events_a" if "compare" in words else "events"] > 0
    done, total = zip(*calls, strict=True)
    assert len(set(total)) == 1
    assert list(done) == sorted(done)
    if suffix == ".h5" and words in ("info", "cut -o b.h5", "filter -o b.h5 --hot-pixels", "merge a.h5 -o b.h5"):
        assert done[-1] == total[-1] > 0
