"""Recordings: spans, sensors, order, structured arrays, events in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import SENSOR, random_events
from facts import mentions, raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.base.errors import ConfigError, EventError, FileError, FormatError
from dvspipe.events import Events, concatenate
from dvspipe.formats import (
    FORMATS,
    Format,
    Hints,
    Source,
    StoredColumns,
    iterate,
    open_recording,
    read,
    write,
)
from dvspipe.recordings.info import info

HINTS = Hints(sensor=str(SENSOR))


def test_part_is_read_by_seconds_after_the_first_event(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    events = random_events(4, 300).shift_time(1_700_000_000_000_000)
    expected = events.between(int(events.t[0]) + 20_000, int(events.t[0]) + 50_000)
    for name in ("a.h5", "a.csv"):
        path = tmp_path / name
        write(path, events)
        assert read(path, start_s=0.02, stop_s=0.05) == expected
        assert read(path, start_s=0.02, stop_s=0.05, sort=True) == expected
        assert concatenate(iterate(path, start_s=0.02, stop_s=0.05), SENSOR) == expected
        assert read(path, int(events.t[0]), stop_s=0.05) == events.between(0, int(events.t[0]) + 50_000)
        with raises(ConfigError, "start_us", "start_s"):
            read(path, 0, start_s=0)
        assert not caplog.records
        assert not len(read(path, 0, 1000))
        assert mentions(caplog.text, name, "0 to 1000", int(events.t[0]), int(events.t[-1]), "start_s")
        caplog.clear()


def test_sensor_comes_from_file_hint_or_guess(tmp_path: Path) -> None:
    named, headerless = tmp_path / "a.h5", tmp_path / "a.bin"
    write(named, random_events(0, 50))
    write(headerless, Events([5], [33], [33], [1], "34x34"))
    assert info(named).sensor_source == "file"
    assert (info(headerless).sensor_source, info(headerless).width) == ("guessed", 34)
    assert info(headerless, hints=Hints(sensor="128x128")).sensor_source == "given"
    with raises(EventError, "a.h5", "12x7", "5x5"):
        read(named, hints=Hints(sensor="5x5"))
    with raises(FormatError, "a.bin", "event 0", "x = 33", "12"):
        read(headerless, hints=HINTS)
    np.save(tmp_path / "a.npy", Events([5], [3000], [3], [1], "4000x7").structured())
    with raises(FormatError, "a.npy", "3001x4", "WIDTHxHEIGHT"):
        read(tmp_path / "a.npy")


def test_unsorted_events_are_an_error_or_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text("5 1 2 1\n9 3 4 0\n7 5 6 1\n9 7 0 1\n")
    with raises(FormatError, "a.csv", "event 2", "t = 7", "9 us"):
        read(path, hints=HINTS)
    assert read(path, hints=HINTS, sort=True).x.tolist() == [1, 5, 3, 7]

    # Also between chunks; the last line of a file.
    monkeypatch.setattr("dvspipe.formats.source.MIN_CHUNK_EVENTS", 1)
    monkeypatch.setattr("dvspipe.formats.text.CHUNK_EVENTS", 2)
    with raises(FormatError, "a.csv", "event 2", "t = 7", "9 us", "sort"):
        read(path, hints=HINTS)
    path.write_text("1 1 1 1\n2 1 1 1\n5 1 2 1\n4 3 4 0\n")
    with raises(FormatError, "a.csv", "event 3", "t = 4", "5 us", "sort"):
        read(path, hints=HINTS)


def test_span_of_unsorted_hdf5_is_an_error_not_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvspipe.formats.hdf5.CHUNK_EVENTS", 4)
    path = tmp_path / "a.h5"
    times = np.array([0, 10, 20, 30, 40, 50, 60, 70, 80, 90])
    for order, event, back_us, last_us in (([5, 6, 7, 8, 9, 0, 1, 2, 3, 4], 5, 0, 90), ([0, 1, 2, 4, 3], 4, 30, 40)):
        columns = {"t": times[order], "x": np.zeros(len(order), int), "y": np.zeros(len(order), int)}
        with h5py.File(path, "w") as file:
            for name, column in (columns | {"p": columns["x"]}).items():
                file[f"events/{name}"] = column
        with raises(FormatError, "a.h5", f"event {event}", f"t = {back_us}", f"{last_us} us", "sort"):
            read(path, 25, 35, hints=HINTS)
        assert len(read(path, 25, 35, hints=HINTS, sort=True)) == 1


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(-1, 10), st.integers(-1, 10))
def test_span_of_another_programs_hdf5_has_all_its_events(
    tmp_path: Path, times: list[int], start_us: int, stop_us: int
) -> None:
    events = Events(sorted(times), [1] * len(times), [2] * len(times), [1] * len(times), SENSOR)
    write(tmp_path / "a.h5", events, overwrite=True)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file.attrs["settings"]  # only files of dvspipe have it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dvspipe.formats.hdf5.CHUNK_EVENTS", 4)
        assert read(tmp_path / "a.h5", start_us, stop_us) == events.between(start_us, stop_us)


def test_times_of_faery_are_sorted(tmp_path: Path) -> None:
    events = random_events(0, 300)
    write(tmp_path / "a.aedat4", events)  # read as uint64
    assert read(tmp_path / "a.aedat4", sort=True) == events


def test_sensor_of_a_writer_that_contradicts_the_events_is_an_error(tmp_path: Path) -> None:
    events = random_events(0, 30)
    for parts in (events, [events], events.structured()):
        with raises(EventError, "5x5" if not isinstance(parts, np.ndarray) else "5 pixels"):
            write(tmp_path / "a.h5", parts, "5x5")
    assert list(tmp_path.iterdir()) == []
    assert write(tmp_path / "a.h5", events, (np.int16(12), np.int16(7))) == 30  # type: ignore[arg-type]


class BadReader:
    """Reader of a plug-in that fails."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, _path: Path, _hints: Hints) -> Source:
        return Source(SENSOR, self.chunks)

    def chunks(self) -> Iterator[StoredColumns]:
        yield from ()
        raise self.error


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt(), AttributeError("a bug"), OSError("a bad disk")])
def test_only_errors_of_bad_files_are_called_corrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    (tmp_path / "a.raw").write_bytes(b"events")
    monkeypatch.setitem(FORMATS, "bad", Format("bad", (".raw",), BadReader(error), magic=b"events"))
    with pytest.raises(FormatError if isinstance(error, OSError) else type(error)):
        read(tmp_path / "a.raw")


def test_progress_counts_events(tmp_path: Path) -> None:
    events = random_events(0, 500)
    for name, total in (("a.h5", 500), ("a.raw", 0)):
        write(tmp_path / name, events)
        calls: list[tuple[float, float]] = []
        recording = open_recording(tmp_path / name)
        assert len(list(recording.chunks(progress=lambda *done: calls.append(done)))) == 1  # noqa: B023
        assert calls == [(500, total)]


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.bin", b"", "empty"),
        ("a.h5", b"not hdf5 at all", "a.h5"),
        ("a.xyz", b"something", "known format"),
        ("a.mp4", b"something", "video"),
        ("a.raw.gz", b"\x1f\x8b\x08", "known format"),
    ],
)
def test_file_without_events_is_an_error(tmp_path: Path, name: str, content: bytes, found: str) -> None:
    (tmp_path / name).write_bytes(content)
    with raises(FormatError, name, found):
        read(tmp_path / name)


def test_missing_files_and_folders_are_errors(tmp_path: Path) -> None:
    with raises(FileError, "a.h5", "no such file"):
        read(tmp_path / "a.h5")
    with raises(FileError, tmp_path.name, "folder"):
        read(tmp_path)
    with raises(FileError, ".h5", ".hdf5", "found .aedat"):
        write(tmp_path / "a.aedat", random_events(0, 10))


def test_structured_array_is_written_like_events(tmp_path: Path) -> None:
    events = random_events(4, 50)
    for name, sensor, expected in (("a.h5", SENSOR, "12x7"), ("b.h5", None, "34x34")):
        assert write(tmp_path / name, events.structured(), sensor) == 50
        assert read(tmp_path / name) == Events(events.t, events.x, events.y, events.p, expected)
    for wrong, kind, found in ((np.zeros((5, 4)), EventError, "x, y, t and p"), (events[:0], FormatError, "sensor")):
        with raises(kind, found):
            write(tmp_path / "c.h5", np.asarray(wrong))


def test_events_in_memory_are_a_recording(caplog: pytest.LogCaptureFixture) -> None:
    events = random_events(4, 300).shift_time(1_700_000_000_000_000)
    recording = open_recording(events)
    assert (recording.sensor, recording.format, str(recording.path)) == (SENSOR, "memory", "events")
    assert recording.extent() == (300, events.t[0], events.t[-1])
    assert concatenate(recording.chunks()) == read(events) == events
    assert read(events, start_s=0.05) == events[events.t >= events.t[0] + 50_000]
    assert np.shares_memory(next(recording.chunks()).t, events.t)
    assert read(Events.empty(SENSOR), 0, 5) == Events.empty(SENSOR)
    assert not caplog.records
    with raises(EventError, "events", "12x7", "5x5"):
        open_recording(events, hints=Hints(sensor="5x5"))


@pytest.mark.parametrize("wrong", [[1, 2], 3, None, [np.zeros((2, 4))]])
def test_writing_other_types_raises(wrong: object, tmp_path: Path) -> None:
    with pytest.raises((TypeError, EventError)):
        write(tmp_path / "a.h5", wrong)  # type: ignore[arg-type]
    with raises(EventError, "a.h5", "Events"):
        write(tmp_path / "a.h5", [random_events(0, 5), []])  # type: ignore[list-item]
    assert not list(tmp_path.iterdir())
