"""Checks: files with one defect each, plain loops over generated columns, real recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import SENSOR, random_events
from facts import mentions, raises
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from dvspipe.base.errors import EventError, FileError, FormatError, PartialError
from dvspipe.events import Events, SensorSize
from dvspipe.formats import Hints, open_recording, read, write
from dvspipe.recordings.checking import CheckFinding, CheckReport, check

Row = tuple[int, int, int, int]
rows = st.lists(st.tuples(st.integers(-5, 30), st.integers(-1, 12), st.integers(-1, 7), st.integers(0, 2)), max_size=40)
STEADY_US = 1000 * np.arange(500)


def write_columns(
    path: Path, t: ArrayLike, x: ArrayLike, y: ArrayLike, p: ArrayLike, sensor: SensorSize | None = SENSOR
) -> Path:
    """Write a file of unchecked columns."""
    with h5py.File(path, "w") as file:
        for name, column in zip("txyp", (t, x, y, p), strict=True):
            column = np.asarray(column)
            file[f"events/{name}"] = column.astype(np.uint8 if name == "p" else np.int64)
        if sensor:
            file.attrs.update(width=sensor.width, height=sensor.height)
    return path


def steady(path: Path, **columns: ArrayLike) -> Path:
    """Write a valid file of 500 events, 1 ms apart, with some columns replaced."""
    n = np.arange(len(STEADY_US))
    good: dict[str, ArrayLike] = {"t": STEADY_US, "x": n % 12, "y": n // 12 % 7, "p": n % 2}
    return write_columns(path, **(good | columns))  # type: ignore[arg-type]


def replaced(column: np.ndarray, **values: int) -> np.ndarray:
    """Return the column with other values at the indices e0, e1, ..."""
    column = column.copy()
    for place, value in values.items():
        column[int(place[1:])] = value
    return column


def only(report: CheckReport) -> CheckFinding:
    (finding,) = report.findings
    return finding


def bin40(events: Events) -> bytes:
    words = events.p.astype(np.int64) << 23 | events.t
    return b"".join(
        bytes([x, y]) + word.to_bytes(3, "big")
        for x, y, word in zip(events.x.tolist(), events.y.tolist(), words.tolist(), strict=True)
    )


def test_valid_file_has_no_findings_and_correct_statistics(tmp_path: Path) -> None:
    report = check(steady(tmp_path / "a.h5"))
    assert report == CheckReport(
        file=str(tmp_path / "a.h5"),
        format="hdf5",
        width=12,
        height=7,
        sensor_source="file",
        events=500,
        t_first_us=0,
        t_last_us=499_000,
        duration_us=499_000,
        rate_hz=pytest.approx(500 / 0.499),  # type: ignore[arg-type]
        on_fraction=0.5,
        findings=(),
    )
    assert not report.wrong


@limits(max_examples=20)
@given(st.integers(0, 1000), st.integers(0, 300), st.sampled_from([0, -5000, 2**41]))
def test_written_files_have_no_wrong_findings(tmp_path: Path, seed: int, count: int, start: int) -> None:
    write(tmp_path / "a.h5", random_events(seed, count).shift_time(start), overwrite=True)
    assert not check(tmp_path / "a.h5").wrong


@given(rows, st.integers(1, 12))
def test_findings_equal_plain_loop_for_any_chunk_size(tmp_path: Path, values: list[Row], chunk: int) -> None:
    t, x, y, p = np.array(values, np.int64).reshape(-1, 4).T
    path = write_columns(tmp_path / "a.h5", t, x, y, p)
    expected: dict[str, list[int]] = {}
    last: dict[tuple[int, int, bool], int] = {}
    for event, row in enumerate(values):
        inside = 0 <= row[1] < 12 and 0 <= row[2] < 7
        address = (row[1], row[2], row[3] > 0)
        found = {
            "order": event > 0 and row[0] < values[event - 1][0],
            "range": not inside,
            "polarity": row[3] not in (0, 1),
            "duplicates": inside and last.get(address) == row[0],
            "negative_times": row[0] < 0,
            "gaps": event > 0 and row[0] - max(t[:event]) > 3,
        }
        last[address] = row[0]
        for kind in (kind for kind, is_so in found.items() if is_so):
            expected.setdefault(kind, []).append(event)
    whole = check(path, gap_us=3)
    found = {finding.kind: (finding.count, finding.first) for finding in whole.findings}
    others = {"hot_pixels", "one_polarity", "empty"}
    assert {kind: told for kind, told in found.items() if kind not in others} == {
        kind: (len(events), events[0]) for kind, events in expected.items()
    }
    assert whole.wrong == bool({"order", "range", "polarity"} & set(expected))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dvspipe.formats.hdf5.CHUNK_EVENTS", chunk)
        assert check(path, gap_us=3) == whole


@given(rows)
def test_findings_are_wrong_exactly_if_reading_fails(tmp_path: Path, values: list[Row]) -> None:
    path = write_columns(tmp_path / "a.h5", *np.array(values, np.int64).reshape(-1, 4).T)
    try:
        read(path)
        readable = True
    except FormatError:
        readable = False
    assert check(path).wrong != readable


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 2), st.integers(0, 1)), max_size=60))
def test_duplicates_are_all_events_equal_to_an_earlier_event(tmp_path: Path, values: list[Row]) -> None:
    values = sorted(values, key=lambda row: row[0])
    path = write_columns(tmp_path / "a.h5", *np.array(values, np.int64).reshape(-1, 4).T)
    counts = {finding.kind: finding.count for finding in check(path).findings}
    assert counts.get("duplicates", 0) == len(values) - len(set(values))


def test_decrease_in_time_is_reported_with_its_length(tmp_path: Path) -> None:
    finding = only(check(steady(tmp_path / "a.h5", t=replaced(STEADY_US, e9=5500, e300=299_999, e301=0))))
    assert (finding.kind, finding.severity, finding.count, finding.first) == ("order", "wrong", 2, 9)
    assert mentions(finding.message, "2 events", "event 9", "t = 5500 us", "8000 us", "299999 us")


def test_time_steps_do_not_overflow_int64(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "a.h5", [-(2**62) + 1, 2**62 - 1, -(2**62) + 1], [1, 2, 3], [1, 1, 1], [0, 1, 0])
    messages = {finding.kind: finding.message for finding in check(path).findings}
    assert mentions(messages["order"], f"{2**63 - 2} us")
    path = write_columns(tmp_path / "b.h5", [-(2**62) + 1, 2**62 - 1], [1, 2], [1, 1], [0, 1])
    (gap,) = [f for f in check(path, gap_us=5).findings if f.kind == "gaps"]
    assert mentions(gap.message, f"{2**63 - 2} us")


def test_pixel_outside_sensor_is_reported(tmp_path: Path) -> None:
    x = replaced(np.arange(500) % 12, e4=12, e7=60_000)
    finding = only(check(steady(tmp_path / "a.h5", x=x.astype(np.uint16))))
    assert (finding.kind, finding.severity, finding.count, finding.first) == ("range", "wrong", 2, 4)
    assert mentions(finding.message, "2 events", "12x7", "event 4", "x = 12, y = 0")


def test_invalid_polarity_is_reported(tmp_path: Path) -> None:
    finding = only(check(steady(tmp_path / "a.h5", p=np.arange(500) % 2 * 2)))
    assert (finding.kind, finding.severity, finding.count, finding.first) == ("polarity", "wrong", 250, 1)
    assert mentions(finding.message, "250 events", "event 1", "p = 2")


def test_bool_with_byte_other_than_0_or_1_is_invalid_polarity(tmp_path: Path) -> None:
    path = steady(tmp_path / "a.h5")
    n = np.arange(500)
    with h5py.File(path, "a") as file:
        del file["events/p"]
        file["events/p"] = np.where(n == 300, 2, n % 2).astype(np.uint8).view(np.bool_)
    finding = only(check(path))
    assert (finding.kind, finding.severity, finding.count, finding.first) == ("polarity", "wrong", 1, 300)
    with raises(FormatError, "event 300", "p = 2"):
        read(path)


def test_default_gap_is_relative_to_usual_steps(tmp_path: Path) -> None:
    t = STEADY_US + 50_000 * (np.arange(500) >= 200) + 70_000 * (np.arange(500) >= 400)
    finding = only(check(steady(tmp_path / "a.h5", t=t)))
    assert (finding.kind, finding.severity, finding.count, finding.first) == ("gaps", "odd", 2, 200)
    assert mentions(finding.message, "16384 us", "event 200", "71000 us")
    # Steps of 2 ms are within 2^11 us, and 16 times that is 32,768 us; of 4 ms, 65,536 us.
    assert only(check(steady(tmp_path / "b.h5", t=t + STEADY_US))).count == 2
    assert only(check(steady(tmp_path / "c.h5", t=t + 3 * STEADY_US))).count == 1


def test_slow_periodic_events_have_no_gap(tmp_path: Path) -> None:
    path = steady(tmp_path / "a.h5", t=STEADY_US // 10_000 * 330_000)  # 10 events every 0.33 s
    assert not check(path).findings


@pytest.mark.parametrize(("gap_us", "count"), [(999, 499), (1000, 1), (50_999, 1), (51_000, 0)])
def test_gap_us_sets_the_gap_threshold(tmp_path: Path, gap_us: int, count: int) -> None:
    path = steady(tmp_path / "a.h5", t=STEADY_US + 50_000 * (np.arange(500) >= 200))
    assert sum(f.count for f in check(path, gap_us=gap_us).findings) == count


def test_hot_pixels_are_counted_and_busiest_is_reported(tmp_path: Path) -> None:
    n = np.arange(500)
    x, y = np.where(n % 2, 3, n % 12), np.where(n % 2, 5, n // 12 % 7)
    finding = only(check(steady(tmp_path / "a.h5", x=x, y=y, p=n // 2 % 2)))
    assert (finding.kind, finding.severity, finding.count, finding.first) == ("hot_pixels", "odd", 1, None)
    assert mentions(finding.message, "x = 3, y = 5")


def test_single_polarity_is_odd(tmp_path: Path) -> None:
    finding = only(check(steady(tmp_path / "a.h5", p=np.ones(500, np.uint8))))
    assert (finding.kind, mentions(finding.message, 500, "ON")) == ("one_polarity", True)
    finding = only(check(steady(tmp_path / "b.h5", p=np.zeros(500, np.uint8))))
    assert mentions(finding.message, 500, "OFF")
    assert not check(write_columns(tmp_path / "c.h5", [0, 1], [2, 5], [0, 0], [1, 1])).findings


def test_empty_files_and_negative_times_are_odd(tmp_path: Path) -> None:
    report = check(write_columns(tmp_path / "a.h5", [], [], [], []))
    assert (only(report).kind, report.wrong, report.t_first_us, report.rate_hz) == ("empty", False, None, None)
    finding = only(check(steady(tmp_path / "b.h5", t=STEADY_US - 1500)))
    assert mentions(finding.message, "2 events", "event 0", "t = -1500 us")


def test_truncated_file_is_corruption(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bin40(random_events(0, 100))[:-2])
    finding = check(tmp_path / "a.bin").findings[0]
    assert (finding.kind, finding.severity, finding.first) == ("corruption", "wrong", 0)
    assert mentions(finding.message, "a.bin", "3 bytes")


def test_undecodable_chunk_is_corruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvspipe.formats.hdf5.CHUNK_EVENTS", 65536)
    path = tmp_path / "a.h5"
    write(path, random_events(0, 200_000, span_us=100_000_000))
    with h5py.File(path) as file:
        chunk = file["events/x"].id.get_chunk_info(1)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(bytes(chunk.size))
    report = check(path)
    assert (report.findings[0].kind, report.findings[0].first, report.events) == ("corruption", 65536, 65536)


def test_check_and_read_guess_the_same_sensor(tmp_path: Path) -> None:
    for number, (width, height) in enumerate([(12, 7), (128, 128), (129, 12), (640, 480), (12, 500)]):
        events = random_events(0, 3000, SensorSize(width=width, height=height))
        path = write_columns(tmp_path / f"{number}.h5", events.t, events.x, events.y, events.p, sensor=None)
        report = check(path)
        guessed = open_recording(path).sensor
        assert (report.width, report.height, report.sensor_source) == (guessed.width, guessed.height, "guessed")


def test_events_beyond_all_known_sensors_suggest_the_sensor_option(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "a.h5", [0, 1], [2000, 3], [0, 0], [1, 0], sensor=None)
    finding = only(check(path))
    assert mentions(finding.message, "1 event", "1280x720", "event 0", "x = 2000, y = 0", "sensor=WxH")
    assert not check(path, hints=Hints(sensor="2001x700")).findings


def test_report_converts_to_json(tmp_path: Path) -> None:
    report = check(steady(tmp_path / "a.h5", t=replaced(STEADY_US, e9=5500)))
    record = json.loads(json.dumps(report.to_record()))
    assert (record["wrong"], record["events"], record["findings"][0]["kind"]) == (True, 500, "order")


def test_files_that_cannot_be_opened_raise(tmp_path: Path) -> None:
    with raises(FileError, "a.h5"):
        check(tmp_path / "a.h5")
    with raises(EventError, "12x7", "5x5"):
        check(steady(tmp_path / "b.h5"), hints=Hints(sensor="5x5"))
    (tmp_path / "c.h5").write_bytes(b"")
    with raises(FormatError, "empty"):
        check(tmp_path / "c.h5")


@pytest.mark.parametrize(
    ("name", "events", "odd"),
    [
        ("davis/faery_davis346.aedat4", 78_830, {}),
        ("recordings/tonic_sample.aedat4", 111_954, {"hot_pixels": 53}),
        ("recordings/tonic_sample_nmnist.bin", 4_325, {"duplicates": 1}),
        ("recordings/evlibrary_faces_easy_0001.bin", 67_445, {"duplicates": 5, "hot_pixels": 24}),
        ("gesture/1.bs2", 63_471, {"duplicates": 2_599}),
        ("gesture/8.bs2", 101_288, {"duplicates": 3_548}),
    ],
)
def test_real_recordings_have_no_wrong_findings(test_data: Path, name: str, events: int, odd: dict[str, Any]) -> None:
    report = check(test_data / name)
    assert not report.wrong
    assert report.events == events
    assert {finding.kind: finding.count for finding in report.findings} == odd


def test_sensor_with_too_many_pixels_is_rejected(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "a.h5", [0], [0], [0], [0], SensorSize(width=28001, height=25976))
    with raises(EventError, "a.h5", "28001x25976"):
        check(path)


def test_several_recordings_give_a_report_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    events = random_events(7, 600)
    write(tmp_path / "a.h5", events)
    write(tmp_path / "b.h5", events[:100])
    assert check([tmp_path], jobs=2) == (check(tmp_path / "a.h5"), check(tmp_path / "b.h5"))
    assert check(events).findings == check(tmp_path / "a.h5").findings
    with raises(PartialError, "1 of 2") as caught:
        check([tmp_path / "a.h5", tmp_path / "none.h5"])
    assert caught.value.results == [check(tmp_path / "a.h5")]
    assert mentions(caplog.text, "none.h5")
