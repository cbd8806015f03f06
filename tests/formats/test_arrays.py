"""NumPy files and text: names, order of columns, time units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SENSOR, random_events, rows_of
from facts import raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.base.errors import DvspipeError, FormatError
from dvspipe.events import Events
from dvspipe.formats import Hints, is_unrelated_text, open_recording, read, write

EVENTS = random_events(3, 200)
TABLE = np.stack([EVENTS.x, EVENTS.y, EVENTS.t, EVENTS.p], axis=1)


def hints(**given: Any) -> Hints:
    return Hints(sensor=str(SENSOR), **given)


@given(
    order=st.permutations(["t", "x", "y", "p"]),
    names=st.sampled_from([{}, {"t": "ts", "p": "polarity"}, {"t": "timestamp", "x": "xs", "y": "row", "p": "on"}]),
    types=st.sampled_from(["i8", "f4", "u2"]),
)
def test_columns_are_found_by_their_names(tmp_path: Path, order: list[str], names: dict[str, str], types: str) -> None:
    named = {names.get(name, name): getattr(EVENTS, name) for name in order}
    array = np.empty(len(EVENTS), [(name, "i8" if column is EVENTS.t else types) for name, column in named.items()])
    for name, column in named.items():
        array[name] = column

    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "columns.npz", **named)
    np.savez(tmp_path / "array.npz", array, width=12, height=7)
    table = np.column_stack([*named.values()])
    np.savetxt(tmp_path / "a.csv", table, "%d", ",", header=",".join(named), comments="")
    for name in ("a.npy", "columns.npz", "array.npz", "a.csv"):
        assert read(tmp_path / name, hints=hints()) == EVENTS


def test_table_needs_the_order_of_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for table in (TABLE, np.asfortranarray(TABLE)):
        np.save(path, table)
        with raises(FormatError, "a.npy", "columns=txyp"):
            read(path, hints=hints())
        assert read(path, hints=hints(columns="xytp")) == EVENTS
    np.save(path, np.column_stack([np.arange(200), TABLE]))
    assert read(path, hints=hints(columns="-xytp")) == EVENTS


@pytest.mark.parametrize(("unit", "factor"), [("s", 1e-6), ("ms", 1e-3), ("us", 1), ("ns", 1000)])
def test_floating_point_and_large_times_need_a_unit(tmp_path: Path, unit: str, factor: float) -> None:
    start_us = 1_700_000_000_000_000
    events = EVENTS.shift_time(start_us)
    named = {name: getattr(events, name) for name in "xyp"}
    np.savez(tmp_path / "a.npz", t=(events.t * factor if unit != "ns" else events.t * 1000 + 499), **named)
    if unit != "us":
        with raises(FormatError, "a.npz", "time_unit"):
            read(tmp_path / "a.npz", hints=hints())
    assert read(tmp_path / "a.npz", hints=hints(time_unit=unit)) == events

    np.savez(tmp_path / "b.npz", **(named | {f"t_{unit}": events.t * factor}))
    assert read(tmp_path / "b.npz", hints=hints()) == events


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros(5), "float64[5]"),
        (np.zeros((2, 3, 4)), "float64[2, 3, 4]"),
        (rows_of(EVENTS, t="i8", x="u2", y="u2"), "expected t, x, y and p"),
        (np.array([{"t": 1}], object), "a.npy"),
        (np.zeros(5, [("t", "U3"), ("x", "i4"), ("y", "i4"), ("p", "i4")]), "wrong column t"),
    ],
)
def test_array_without_events_is_an_error(tmp_path: Path, array: np.ndarray, found: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with raises(FormatError, "a.npy", found):
        read(tmp_path / "a.npy", hints=hints())


def test_archive_with_wrong_columns_is_an_error(tmp_path: Path) -> None:
    columns = {name: getattr(EVENTS, name) for name in "txyp"}
    for changed, found in (({"x": EVENTS.x[1:]}, "x"), ({"width": 0, "height": 7}, "sensor"), ({"ts": 1}, "once each")):
        np.savez(tmp_path / "a.npz", **columns | changed)
        with raises(FormatError, "a.npz", found):
            read(tmp_path / "a.npz", hints=hints())


def test_written_archive_is_read_by_numpy(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", EVENTS)
    with np.load(tmp_path / "a.npz") as found:
        assert {name: found[name].dtype for name in "txyp"} == {"t": "i8", "x": "u2", "y": "u2", "p": "u1"}
        assert (found["width"], found["height"], found["width"].dtype) == (12, 7, "u8")
        assert np.array_equal(found["t"], EVENTS.t)
    assert open_recording(tmp_path / "a.npz").sensor == SENSOR


@pytest.mark.parametrize(
    "text",
    [
        "0 1 2 1\n5 3 4 0\n",
        "0\t1\t2\t1\n5\t3\t4\t0",
        "0,1,2,1\r\n5,3,4,0\r\n",
        " 0 ; 1;2;1\n 5 ; 3;4;0\n",
        "\ufefft,x,y,p\n0,1,2,1\n5,3,4,0\n",
        "12 7\n0 1 2 1\n5 3 4 0\n",
        "# a comment\n# sensor 12x7\n% another\n\n0 1 2 1\n# more\n\n5 3 4 0\n",
        "# x y polarity time_us\n1 2 1 0\n3 4 -1 5\n".replace("-1", "0"),
        "x,y,p,time [ns]\n1,2,1,400\n3,4,0,5400\n",
        "id,t,x,y,p\n7,0,1,2,1\n8,5,3,4,0\n",
        "0.000000 1 2 1\n0.000005 3 4 -1\n",
        "0.0000001e+00 1 2 1\n5.0e-6 3 4 0\n",
        "0.0 1 2 1\n0.000005 3 4 0\n",
    ],
)
def test_text_is_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    expected = Events([0, 5], [1, 3], [2, 4], [True, False], SENSOR)
    assert read(tmp_path / "a.txt", hints=hints()) == expected
    assert not is_unrelated_text(tmp_path / "a.txt")
    stored = "12 7" in text or "12x7" in text
    assert (open_recording(tmp_path / "a.txt").sensor_source == "file") is stored


@given(st.integers(0, 2**32 - 1), st.integers(0, 999_999))  # until 2106; float64 is too coarse for later seconds
def test_seconds_since_1970_are_exact(tmp_path: Path, seconds: int, fraction_us: int) -> None:
    (tmp_path / "a.txt").write_text(f"{seconds}.{fraction_us:06d} 1 2 1\n")
    assert read(tmp_path / "a.txt", hints=hints(time_unit="s")).t.tolist() == [seconds * 10**6 + fraction_us]


@pytest.mark.parametrize(
    ("text", "given", "found"),
    [
        ("0.5 1 2 1\n", {}, "time_unit"),
        ("5.000000000000000000e+00 1 2 1\n", {}, "time_unit"),  # numpy.savetxt
        ("0 1 2 1\n" * 300 + "0.5 3 4 1\n", {}, "time_unit"),
        (f"{10**18} 1 2 1\n", {}, "time_unit"),
        ("0 1 2\n", {}, "columns=txyp"),
        ("0 1 2 1 5\n", {}, "columns=txyp"),
        ("0 1 2 1\n5 3\n", {}, "line"),
        ("0 1 2 1\n5 3 four 1\n", {}, "four"),
        ("0 1 2 1\n5 3.5 4 1\n", {}, "x = 3.5"),
        ("# a comment\n\nnan 1 2 1\n", {}, "line 3: found nan 1 2 1"),
        ("0.00001 1 2 1\n0.00002 3 inf 0\n", {}, "line 2: found"),
        ("0 1 2 1\n5 3 4 2\n", {}, "p = 2"),
        ("0 1 2 -1\n5 3 4 0\n", {}, "p = "),
        ("x,y,p,t\n1,2,1,0\n3,4,1,5", {}, "truncated"),
        ("1 2 1 0\n3 4 1 5", {"columns": "xypt"}, "truncated"),
        ("7" * 100_000, {}, "line 1"),
        ("0 1 2 1\0\n", {}, "line 1"),
        ("name,value\na,b\n", {}, "columns"),
    ],
)
def test_wrong_text_is_an_error(tmp_path: Path, text: str, given: dict[str, Any], found: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with raises(DvspipeError, "a.txt", found):
        read(tmp_path / "a.txt", hints=hints(**given))


def test_text_is_read_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvspipe.formats.text.CHUNK_EVENTS", 7)
    write(tmp_path / "a.csv", EVENTS)
    assert read(tmp_path / "a.csv") == EVENTS
    assert (tmp_path / "a.csv").read_text().startswith("t,x,y,p\n# sensor 12x7\n")


@pytest.mark.parametrize(
    ("name", "text", "is_unrelated"),
    [
        ("notes.txt", "Recorded on a sunny day.\n", True),
        ("splits.csv", "file,part\na.h5,train\n", True),
        ("empty.csv", "t,x,y,p\n# sensor 12x7\n", False),
        ("a.txt", "# hello\n1 2 3 1\n", False),
        ("empty.txt", "", False),
        ("a.h5", "text", False),
    ],
)
def test_text_without_events_is_unrelated(tmp_path: Path, name: str, text: str, is_unrelated: bool) -> None:
    (tmp_path / name).write_text(text)
    assert is_unrelated_text(tmp_path / name) is is_unrelated
