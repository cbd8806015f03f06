"""Text: columns, separators and units are detected or need hints; exact numbers; invalid lines are reported."""

from __future__ import annotations

import gzip
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SENSOR, random_events
from decoding import joined, part, until_corruption, write
from facts import raises
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dvspipe import formats
from dvspipe.base.errors import ConfigError, CorruptionError, EventError, FileError, FormatError
from dvspipe.events import Events, SensorSize
from dvspipe.formats import text
from dvspipe.formats.hints import NO_HINTS, Hints
from dvspipe.formats.text import CSV_ENCODER, TEXT
from dvspipe.formats.writers import StreamWriter

EXPECTED = Events([1, 20, 300_000], [1, 2, 11], [6, 5, 0], [1, 0, 1], SENSOR)


def read(path: Path, hints: Hints = NO_HINTS, sensor: SensorSize = SENSOR) -> Events:
    return joined(TEXT.open(path, hints).chunks(), sensor)


def read_text(tmp_path: Path, content: str | bytes, hints: Hints = NO_HINTS) -> Events:
    path = tmp_path / "events.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(path, hints)


@pytest.mark.parametrize("separator", [" ", "\t", ",", ";", ", ", "   "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_and_line_ends(tmp_path: Path, separator: str, end: str) -> None:
    lines = [("1", "1", "6", "1"), ("20", "2", "5", "0"), ("300000", "11", "0", "1")]
    content = end.join(separator.join(line) for line in lines)
    assert read_text(tmp_path, content + end) == EXPECTED
    assert read_text(tmp_path, content) == EXPECTED
    assert read_text(tmp_path, b"\xef\xbb\xbf" + content.encode()) == EXPECTED


@pytest.mark.parametrize(
    "content",
    [
        "t,x,y,p\n1,1,6,1\n20,2,5,0\n300000,11,0,1\n",
        "x y polarity timestamp\n1 6 1 1\n2 5 -1 20\n11 0 1 300000\n",
        "# t x y p\n1 1 6 1\n20 2 5 0\n# a remark\n\n% another\n300000 11 0 1\n",
        "# made by a tool\n#x,y,p,t\n1,6,1,1\n2,5,0,20\n11,0,1,300000\n",
        "0.000001 1 6 1\n0.00002 2 5 0\n0.3 11 0 1\n",
        "0.000001400 1 6 1\n0.000019501 2 5 0\n0.300000499 11 0 1\n",
        "1e-06 1 6 1\n2.0e-05 2 5 0\n3e-1 11 0 1\n",
        "1.000000000000000000e-06 1.000e+00 6.0e0 1.0\n2e-05 2 5.0 0.0\n0.3 1.1e1 0 1.000000000000000000e+00\n",
        "time [s];x;y;on;label\n0.000001;1;6;1;dog\n0.00002;2;5;0;cat\n0.3;11;0;1;\n",
        '"t_ns","x","y","p"\n1000,1,6,1\n19500,2,5,0\n300000499,11,0,1\n',
        "timestamp_ms x y p\n0.001 1 6 1\n0.02 2 5 0\n300 11 0 1\n",
    ],
)
def test_columns_and_units_are_detected(tmp_path: Path, content: str) -> None:
    assert read_text(tmp_path, content) == EXPECTED


@pytest.mark.parametrize(
    ("content", "hints", "message"),
    [
        (
            "0.5 1 6 1\n",
            Hints(),
            ("0.5", "time_unit="),
        ),
        ("1.0 1 6 1\n2.0 1 6 1\n", Hints(), "1.0"),
        ("1000.000000 1 6 1\n2000.000000 1 6 1\n", Hints(), "1000.000000"),
        ("1.100000000000000089e+00 1 6 1\n", Hints(), ()),
        ("1.234560000000000000e+05 1 6 1\n", Hints(), ()),
        ("1589163147368868000 1 6 1\n", Hints(), "time_unit="),
        ("1 6 1\n", Hints(), ("3", "columns", "columns=")),
        ("a b c d\n1 6 1 1\n", Hints(), "a, b, c, d"),
        ("1 1 6 1 5\n", Hints(columns="txyp"), ("5", "columns", "4")),
        ("t x y p\n1 1 6 1 5\n", Hints(), ("5", "columns", "4")),
        ("0 128\n1 1 6 1\n", Hints(), ("line 1", "sensor", "width", "0")),
        ("1 1 6 1\n2 \0 6 1\n", Hints(), ("line 2", "zero")),
    ],
)
def test_unknown_columns_and_units_need_hints(tmp_path: Path, content: str, hints: Hints, message: object) -> None:
    with raises(FormatError, message):
        read_text(tmp_path, content, hints)


def test_hints_supply_columns_and_units(tmp_path: Path) -> None:
    assert read_text(tmp_path, "0.001 1 6 1\n.02 2 5 0\n300 11 0 1\n", Hints(time_unit="ms")) == EXPECTED
    assert read_text(tmp_path, "1 6 1 1\n2 5 0 20\n11 0 1 300000\n", Hints(columns="xypt")) == EXPECTED
    content = "a 1 6 b 1 1\nc 2 5 d 0 20\ne 11 0 f 1 300000\n"
    assert read_text(tmp_path, content.replace("a 1", "9 1"), Hints(columns="-xy-pt")) == EXPECTED
    assert read_text(tmp_path, "t x\n" + content, Hints(columns="-xy-pt")) == EXPECTED


@pytest.mark.parametrize("hints", [{"time_unit": "h"}, {"columns": "txy"}, {"columns": "txypp"}, {"columns": "txyq"}])
def test_invalid_hints_are_rejected(hints: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Hints(**hints)


def test_first_line_of_rpg_e2vid_is_the_sensor(tmp_path: Path) -> None:
    path = tmp_path / "events.txt"
    path.write_text("240 180\n1.3e-05 182 40 1\n")
    source = TEXT.open(path)
    assert source.sensor == SensorSize(240, 180)
    assert joined(source.chunks(), SensorSize(240, 180)).t.tolist() == [13]


@pytest.mark.parametrize("sensor", [SENSOR, SensorSize(160, 120), SensorSize(1280, 720)])
def test_written_sensor_is_read(tmp_path: Path, sensor: SensorSize) -> None:
    events = Events(EXPECTED.t, EXPECTED.x, EXPECTED.y, EXPECTED.p, sensor)
    path = tmp_path / "events.csv"
    write(path, events, CSV_ENCODER)
    assert formats.read(path) == events


def test_other_libraries_read_written_columns(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    write(path, EXPECTED, CSV_ENCODER)
    expected = np.stack([EXPECTED.t, EXPECTED.x, EXPECTED.y, EXPECTED.p], axis=1)

    skipped = np.loadtxt(path, np.int64, delimiter=",", skiprows=1)
    assert np.array_equal(skipped, expected)
    named = np.genfromtxt(path, np.int64, delimiter=",", names=True)
    assert named.tolist() == [tuple(row) for row in expected.tolist()]


@pytest.mark.parametrize("comment", ["# sensor DAVIS240", "# sensor 12x7 in the lab", "# the sensor 12x7"])
def test_other_comments_are_no_sensor(tmp_path: Path, comment: str) -> None:
    path = tmp_path / "events.csv"
    path.write_text(f"{comment}\nt,x,y,p\n{comment}\n1,1,6,1\n")
    assert TEXT.open(path).sensor is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("5 1 6", ("line 3", "columns", "found 3, expected 4")),
        ("5 1 6 1 7", ("line 3", "columns", "expected 4")),
        ("5 x 6 1", ("line 3", "column 2")),
        ("5,,6,1", ("line 3", "column 2")),
        ("- 1 6 1", ("line 3", "column 1")),
        ("5 1 6- 1", ("line 3", "column 3")),
        ("nan 1 6 1", ("line 3", "column 1")),
        ("5 1.5 6 1", ("line 3", "column 2")),
        ("5.5 1 6 1", ("line 3", "column 1", "time_unit=")),
        ("5 1 99999999999999999999999999 1", ("line 3", "column 3")),
        ("1e400 1 6 1", ("line 3", "column 1")),
        ("5 1 6 2", ("line 3", "polarity", "columns=")),
        ("5 1 6 -1", ("line 3", "polarity")),
        ("5 1 6 \xff", ("line 3", "column 4")),
    ],
)
def test_invalid_line_is_reported_after_previous_events(tmp_path: Path, line: str, message: object) -> None:
    path = tmp_path / "events.txt"
    path.write_text(f"1 1 6 1\n2 2 5 0\n{line}\n7 1 1 1\n", encoding="latin-1")
    chunks = TEXT.open(path).chunks()
    assert next(chunks).t.tolist() == [1, 2]
    with raises(CorruptionError, message):
        next(chunks)


@given(number=st.decimals(-(10**9), 10**9, places=9), form=st.sampled_from(["f", "e", "E", "+.3e", ".12f"]))
@example(number=Decimal("0.0000007654321098765432109"), form="f")  # 19 digits, below a microsecond
@settings(max_examples=100)
def test_times_are_rounded_like_exact_decimals(number: Decimal, form: str) -> None:
    printed = format(number, form)
    block = np.frombuffer(f"{printed} 1 2 1\n".encode(), np.uint8)
    t, columns = np.zeros(9, np.int64), np.zeros((4, 9), np.int32)
    assert text._parse(block, np.arange(4), 6, False, np.zeros(2, np.bool_), t, columns) == (1, 1, text.NO_PROBLEM, 0)
    exact = (abs(Decimal(printed)) * 10**6).to_integral_value(ROUND_HALF_UP)
    assert t[0] == exact.copy_sign(Decimal(printed))


@given(
    seed=st.integers(0, 1000),
    count=st.sampled_from([0, 1, 2, 300]),
    start=st.sampled_from([0, 17, 2**41, -5_000, 2**55]),
    span_us=st.sampled_from([1, 100_000, 2**42]),
    cuts=st.lists(st.integers(0, 300), max_size=3),
    block=st.sampled_from([40, 100, 1 << 20]),
)
def test_csv_is_unchanged_by_writing_and_reading(
    tmp_path: Path, seed: int, count: int, start: int, span_us: int, cuts: list[int], block: int
) -> None:
    sensor = SensorSize(2048, 1080)
    events = random_events(seed, count, sensor, span_us).shift_time(start)
    path = tmp_path / "events.csv"
    write(path, events, CSV_ENCODER, cuts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "TEXT_BLOCK_BYTES", block)
        assert read(path, sensor=sensor) == events
    assert path.read_bytes().startswith(b"t,x,y,p\n")
    packed = path.with_suffix(".csv.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read(packed, sensor=sensor) == events


def test_extreme_times_are_printed_in_full(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    write(path, Events([-(2**63), 2**63 - 1], [0, 1], [0, 1], [0, 1], SENSOR), CSV_ENCODER)
    assert path.read_text() == f"t,x,y,p\n# sensor 12x7\n{-(2**63)},0,0,0\n{2**63 - 1},1,1,1\n"
    with raises(FormatError, "events.csv"):
        read(path)


def test_truncation_anywhere_yields_all_complete_events(tmp_path: Path) -> None:
    events = random_events(1, 12)
    path = tmp_path / "events.csv"
    write(path, events, CSV_ENCODER)
    data = path.read_bytes()
    for size in range(len(b"t,x,y,p\n# sensor 12x7\n0,0,0,0\n") + 5, len(data)):  # the first line is complete
        path.write_bytes(data[:size])
        complete = data[:size].count(b"\n") - 2 + (data[size : size + 1] == b"\n" and data[size - 1 : size] != b"\n")
        source = TEXT.open(path)
        assert joined(until_corruption(source.chunks()), SENSOR) == part(events, 0, complete)


def test_last_line_without_end_is_truncated_if_its_number_may_continue(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("x,y,p,t\n1,6,1,1000\n2,5,0,10")
    source = TEXT.open(path)
    assert joined(until_corruption(source.chunks()), SENSOR).t.tolist() == [1000]
    with raises(CorruptionError, "line 3"):
        list(source.chunks())


def test_endless_line_is_rejected_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "TEXT_BLOCK_BYTES", 1000)
    path = tmp_path / "events.txt"
    path.write_bytes(b"1 1 6 1\n" * 300 + b"5" * 5000)
    with raises(CorruptionError, "1000"):
        read(path)
    path.write_bytes(b"5" * (1 << 17))
    with raises(FormatError, "line 1", "65536"):
        read(path)


def test_file_without_events_is_empty(tmp_path: Path) -> None:
    for content in ("t,x,y,p\n", "# nothing\n", "\n"):
        assert len(read_text(tmp_path, content)) == 0


def test_writer_rejects_invalid_events(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    events = random_events(1, 10)
    sensor = SensorSize(34, 34)
    with (
        raises(EventError, "12x7", "34x34"),
        StreamWriter(path, sensor, CSV_ENCODER) as writer,
    ):
        writer.append(events)
    with (
        raises(EventError, "events.csv"),
        StreamWriter(path, SENSOR, CSV_ENCODER) as writer,
    ):
        writer.append(events)
        writer.append(events)
    assert list(tmp_path.iterdir()) == []
    with raises(FileError, "a.txt", ".csv"):
        StreamWriter(tmp_path / "a.txt", SENSOR, CSV_ENCODER)
    write(path, events, CSV_ENCODER)
    with raises(FileError, path.name), StreamWriter(path, SENSOR, CSV_ENCODER):
        pass


def test_full_disk_is_detected_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, size: int) -> None:
        raise FileError(f"{path}: no space for {size} bytes")

    monkeypatch.setattr("dvspipe.formats.writers.require_space", full)
    with raises(FileError, "events.csv"):
        write(tmp_path / "events.csv", random_events(1, 10), CSV_ENCODER)
    assert list(tmp_path.iterdir()) == []


def test_real_recording(test_data: Path) -> None:
    events = read(test_data / "recordings/evlibrary_event.txt", sensor=SensorSize(240, 180))
    assert len(events) == 17
    assert (events.t[:4].tolist(), events.x[1], events.y[1], events.p.any()) == ([0, 780, 1706, 1724], 158, 59, False)
