"""Standard input and output as recordings."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SENSOR, random_events
from facts import raises

from dvspipe.base.errors import CorruptionError, DvspipeError, FileError, FormatError
from dvspipe.events import Events
from dvspipe.formats import STANDARD, info, open_recording, read, write
from dvspipe.verbs.inspection import check

EVENTS = random_events(0, 500)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Return a function that puts bytes on standard input."""
    return lambda content: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize("name", ["a.h5", "a.csv", "a.aedat4", "a.raw", "a.dat", "a.es"])
def test_standard_input_can_be_read_several_times(name: str, tmp_path: Path, given: Callable[[bytes], None]) -> None:
    write(tmp_path / name, EVENTS)
    given((tmp_path / name).read_bytes())
    assert read("-", sensor=SENSOR) == EVENTS
    assert read("-", 20_000, 30_000, sensor=SENSOR) == EVENTS.slice_time(20_000, 30_000)
    assert info("-", sensor=SENSOR).file == "-"
    assert not check("-", sensor=SENSOR).wrong


def test_gzip_on_standard_input_is_decompressed(given: Callable[[bytes], None]) -> None:
    given(gzip.compress(b"1,3,4,1\n2,3,4,0\n"))
    assert read("-", sensor=SENSOR) == Events([1, 2], [3, 3], [4, 4], [1, 0], SENSOR)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "-"),
        (b"1 2 3 4 5\n", ("-", "5 columns")),
        (b"1,3,4,1\nx,3,4,1\n", ("-", "line 2", "column 1")),
        (b"9,3,4,1\n1,3,4,1\n", ("-", "event 1", "t = 1")),
    ],
)
def test_errors_name_standard_input(content: bytes, message: object, given: Callable[[bytes], None]) -> None:
    given(content)
    with raises(FormatError, message):
        read("-", sensor=SENSOR)


def test_terminal_on_standard_input_is_rejected(
    monkeypatch: pytest.MonkeyPatch, given: Callable[[bytes], None]
) -> None:
    given(b"")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    with raises(FileError, "-", "terminal"):
        open_recording("-")


def test_standard_output_is_csv(monkeypatch: pytest.MonkeyPatch, given: Callable[[bytes], None]) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out))
    assert write(STANDARD, [EVENTS.slice_events(0, 200), EVENTS.slice_events(200, 500)]) == 500
    assert out.getvalue().startswith(b"t,x,y,p\n")
    given(out.getvalue())
    assert read("-", sensor=SENSOR) == EVENTS


def test_unsorted_events_do_not_reach_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out))
    with raises(DvspipeError, "-", 1):
        write(STANDARD, [Events([t], [3], [4], [1], SENSOR) for t in (5, 1)])
    assert out.getvalue().splitlines() == [b"t,x,y,p", b"# sensor 12x7", b"5,3,4,1"]


def test_corrupted_standard_input_yields_previous_events(given: Callable[[bytes], None]) -> None:
    given(b"1,3,4,1\n2,3,4,1\nx\n")
    found: list[CorruptionError] = []
    parts = list(open_recording("-", sensor=SENSOR).chunks(on_corruption=found.append))
    assert sum(map(len, parts)) == 2
    assert "-: line 3" in str(found[0])
