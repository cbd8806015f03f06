"""Facts of recordings, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import dvspipe
from conftest import random_events
from facts import mentions, raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.base.errors import FileError, FormatError, PartialError
from dvspipe.events import Events
from dvspipe.formats import Hints, write
from dvspipe.recordings.config import FilmConfig
from dvspipe.recordings.info import info


@given(st.integers(0, 300), st.integers(0, 2**32 - 1))
def test_facts_are_those_of_the_events(count: int, seed: int) -> None:
    events = random_events(seed, count)
    facts = info(events)
    assert (facts.events, facts.problem) == (count, "")
    if count:
        assert (facts.t_first_us, facts.t_last_us) == (events.t[0], events.t[-1])
        assert facts.on_fraction == pytest.approx(events.p.mean())
        assert facts.longest_gap_us == (np.diff(events.t).max() if count > 1 else 0)
    else:
        assert (facts.t_first_us, facts.on_fraction, facts.rate_hz) == (None, None, None)


def test_hot_pixels_are_counted() -> None:
    x = np.concatenate([np.full(500, 3), np.arange(84) % 12])
    y = np.concatenate([np.full(500, 2), np.arange(84) // 12])
    events = Events(np.arange(584) * 10, x, y, np.arange(584) % 2, "12x7")
    assert info(events).hot_pixels == 1


def test_corrupted_recordings_have_a_problem_and_an_exit_code(tmp_path: Path) -> None:
    write(tmp_path / "good.csv", random_events(0, 20))
    for name, text in (("back", "1,3,4,1\n5,3,4,0\n4,3,4,0\n"), ("outside", "1,3,4,1\n5,99,4,0\n")):
        (tmp_path / f"{name}.csv").write_text(f"t,x,y,p\n{text}", encoding="utf-8")
    files = [tmp_path / f"{name}.csv" for name in ("good", "back", "outside")]
    done = dvspipe("info", *files, "--sensor", "12x7", code=1)
    assert mentions(done.stderr, "back.csv", "outside.csv", 99)
    assert "good.csv" not in done.stderr
    assert mentions(done.stdout, "good.csv", "back.csv", "12 x 7", "not counted")
    assert "99" not in done.stdout  # the problem is said once
    (tmp_path / "wrong.h5").write_bytes(b"no events")
    for name, kind in (("wrong.h5", FormatError), ("missing.h5", FileError)):
        with raises(kind, name):
            info(tmp_path / name)
    with raises(PartialError, "1 of 2"):
        info([tmp_path / "good.csv", tmp_path / "missing.h5"], hints=Hints(sensor="12x7"))


def test_settings_that_are_not_defaults_are_shown(tmp_path: Path) -> None:
    settings = FilmConfig(pos_thres=0.35).to_record()
    write(tmp_path / "a.h5", random_events(0, 50), settings=settings, source="clip.mp4")
    text = str(info(tmp_path / "a.h5"))
    assert mentions(text, "pos_thres", 0.35, "clip.mp4")
    assert "neg_thres" not in text
