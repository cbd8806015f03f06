from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from conftest import SENSOR, random_events
from facts import mentions, raises
from hypothesis import given, settings
from hypothesis import strategies as st

from dvspipe.base.errors import ConfigError, DvspipeError, EventError, FileError, FormatError
from dvspipe.events import Events, SensorSize, concatenate
from dvspipe.formats import EventWriter, Hints, info, iterate, open_recording, read, write
from dvspipe.formats.hdf5 import chunked_file
from dvspipe.formats.hdf5 import reader as hdf5_reader
from dvspipe.formats.hdf5 import writer as hdf5_writer
from dvspipe.formats.hdf5.planes import compress_chunk


def bin40(*events: tuple[int, int, int, int]) -> bytes:
    """Encode events (t, x, y, p) in the 40-bit format."""
    return b"".join(bytes([x, y]) + (p << 23 | t).to_bytes(3, "big") for t, x, y, p in events)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 1000),
    count=st.integers(0, 300),
    start=st.sampled_from([0, 17, 999_999, 1_000_000, 3_000_000_000, 2**41, -5_000]),
    cuts=st.lists(st.integers(0, 100_000), max_size=4),
)
def test_hdf5_is_unchanged_by_writing_and_reading(
    tmp_path: Path, seed: int, count: int, start: int, cuts: list[int]
) -> None:
    events = random_events(seed, count).shift_time(start)
    edges = [start, *sorted(start + cut for cut in cuts), start + 100_001]
    path = tmp_path / "events.h5"
    write(path, [events.slice_time(a, b) for a, b in pairwise(edges)], source="test", overwrite=True)
    assert read(path) == events
    assert read(path, hints=Hints(sensor=str(SENSOR))) == events


def test_hdf5_is_written_in_complete_chunks_for_any_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_file, "CHUNK_ROWS", 64)
    monkeypatch.setattr(hdf5_reader, "CHUNK_EVENTS", 100)
    events = random_events(2, 1000)
    for number, size in enumerate((1, 63, 64, 65, 200, 1000)):
        path = tmp_path / f"{number}.h5"
        edges = [*range(0, 1000, size), 1000]
        write(
            path,
            (Events(events.t[a:b], events.x[a:b], events.y[a:b], events.p[a:b], SENSOR) for a, b in pairwise(edges)),
        )
        assert read(path) == events
        assert len(list(iterate(path))) == 10


@pytest.mark.parametrize("low", [0, -(2**63), -1, 2**32 - 500, 2**62])
def test_chunks_are_readable_by_hdf5_filters(tmp_path: Path, low: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_file, "CHUNK_ROWS", 64)
    rows: dict[str, np.ndarray] = {
        "a/t": low + np.arange(1001),
        "a/x": np.arange(450, dtype=np.uint16)[::3],
        "p": np.zeros(64, np.uint8),
    }
    types = {name: column.dtype.type for name, column in rows.items()} | {"none": np.int64}
    with chunked_file.ChunkedFile(tmp_path / "a.h5", types, "", resume=False) as file:
        for name, column in rows.items():
            file.append(name, column[:70])
            file.append(name, column[70:])
        with file.complete():
            pass
    with h5py.File(tmp_path / "a.h5") as read_back:
        assert len(read_back["none"]) == 0
        for name, column in rows.items():
            assert read_back[name].dtype == column.dtype
            assert np.array_equal(read_back[name][:], column)
            filters = read_back[name].id.get_create_plist()
            assert [filters.get_filter(k)[0] for k in range(filters.get_nfilters())] == [
                h5py.h5z.FILTER_SHUFFLE,
                h5py.h5z.FILTER_DEFLATE,
            ]
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_number_of_pending_chunks_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_file, "CHUNK_ROWS", 64)
    encoded, pending = compress_chunk, []

    def watched(rows: np.ndarray, padding: int) -> bytes:
        pending.append(len(file._pending))
        return encoded(rows, padding)

    monkeypatch.setattr(chunked_file, "compress_chunk", watched)
    with chunked_file.ChunkedFile(tmp_path / "a.h5", {"t": np.int64}, "", resume=False) as file:
        file.append("t", np.arange(64 * 1000))
        with file.complete():
            pass
    assert len(pending) == 1000
    assert max(pending) <= chunked_file.MAX_PENDING_CHUNKS + 1


def test_error_of_storing_is_raised_by_every_later_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_file, "CHUNK_ROWS", 64)

    def full(path: Path, size: int) -> None:
        raise FileError(f"{path}: no space for {size} bytes")

    file = chunked_file.ChunkedFile(tmp_path / "a.h5", {"t": np.int64}, "", resume=False)
    with raises(FileError, "space"), file:
        file.append("t", np.arange(64))
        monkeypatch.setattr(chunked_file, "require_space", full)
        file.append("t", np.arange(64))
        for _ in range(2):
            with raises(FileError, "space"):
                file.save({})
        with file.complete():
            pass
    assert list(tmp_path.iterdir()) == []


def test_blosc_keeps_events_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hdf5plugin", reason="the extra blosc is not installed")
    monkeypatch.setattr(chunked_file, "CHUNK_ROWS", 64)
    events, path = random_events(2, 1000), tmp_path / "a.h5"
    halves = [events.slice_time(0, 40_000), events.slice_time(40_000, 10**6)]

    def writer() -> EventWriter:
        return EventWriter(path, SENSOR, version_of_source="1", compression="blosc")

    with pytest.raises(KeyboardInterrupt), writer() as first:
        first.append(halves[0])
        first.save({"half": 1})
        raise KeyboardInterrupt
    with writer() as second:
        assert second.saved is not None
        second.append(halves[1])
    assert read(path) == events
    with h5py.File(path) as file:
        assert file["events/x"].id.get_create_plist().get_filter(0)[0] == 32001  # registered filter number of Blosc


def save_and_fail(path: Path, parts: list[Events], *, unsaved: Events) -> Path:
    """Write parts with a save after each, fail after events that are not saved, and return the folder that remains."""
    with pytest.raises(KeyboardInterrupt), EventWriter(path, SENSOR, source="camera") as writer:
        for part in parts:
            writer.append(part)
            writer.save({})
        writer.append(unsaved)
        raise KeyboardInterrupt
    return path.with_name(path.name + ".part")


@pytest.mark.parametrize("offset_us", [0, 5 * 10**9])
def test_unfinished_file_is_a_recording_until_its_last_save(
    tmp_path: Path, offset_us: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunked_file, "CHUNK_ROWS", 64)
    drawn = random_events(3, 500)
    events = Events(drawn.t + offset_us, drawn.x, drawn.y, drawn.p, SENSOR)
    parts = [events.slice_events(a, b) for a, b in pairwise((0, 10, 200, 210, 400))]
    folder = save_and_fail(tmp_path / "a.h5", parts, unsaved=events.slice_events(400, 500))
    assert read(folder) == events.slice_events(0, 400)
    assert info(folder).attributes["source"] == "camera"
    with raises(FileError, "a.h5.part"):
        read(tmp_path / "a.h5")


def test_saved_events_are_only_discarded_on_request(tmp_path: Path) -> None:
    events = random_events(3, 100)
    folder = save_and_fail(tmp_path / "a.h5", [events], unsaved=Events.empty(SENSOR))
    with raises(FileError, "a.h5.part", "overwrite"):
        write(tmp_path / "a.h5", read(folder))
    assert read(folder) == events
    write(tmp_path / "a.h5", events.slice_events(0, 50), overwrite=True)
    assert len(read(tmp_path / "a.h5")) == 50
    assert not folder.exists()


@pytest.mark.parametrize("name", ["state.npz", "00000.h5"])
def test_corrupted_or_unsaved_unfinished_file_is_an_error(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunked_file, "CHUNK_ROWS", 64)
    folder = save_and_fail(tmp_path / "a.h5", [random_events(3, 100)], unsaved=Events.empty(SENSOR))
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with raises(FormatError, "a.h5.part"):
        read(folder)
    (folder / "state.npz").unlink()
    with raises(FileError, "a.h5.part", "save"):
        read(folder)


def test_blosc_without_hdf5plugin_suggests_installing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with raises(FileError, "a.h5", "hdf5plugin", "dvspipe[blosc]"):
        write(tmp_path / "a.h5", random_events(0, 10), compression="blosc")
    assert list(tmp_path.iterdir()) == []


def test_file_cannot_be_written_by_two_writers(tmp_path: Path) -> None:
    events = random_events(0, 10)
    with EventWriter(tmp_path / "a.h5", SENSOR) as writer:
        writer.append(events)
        with raises(FileError, "a.h5.part"):
            write(tmp_path / "a.h5", random_events(1, 20))
    assert read(tmp_path / "a.h5") == events


def test_hdf5_layout_is_dsec(tmp_path: Path) -> None:
    events = random_events(0, 500).shift_time(5_000_123)
    path = tmp_path / "events.h5"
    write(path, events, source="clip.mp4", settings={"pos_thres": 0.2})
    with h5py.File(path) as file:
        offset = int(file["t_offset"][()])
        assert offset == int(events.t[0]) // 1000 * 1000
        t = file["events/t"][:]
        assert np.array_equal(t + offset, events.t)
        types = {name: file[f"events/{name}"].dtype for name in "xytp"}
        assert types == {"x": np.uint16, "y": np.uint16, "t": np.int64, "p": np.uint8}
        assert set(np.unique(file["events/p"][:])) == {0, 1}
        for ms, index in enumerate(file["ms_to_idx"][:].tolist()):
            assert index == np.searchsorted(t, 1000 * ms)
        assert len(file["ms_to_idx"]) == t[-1] // 1000 + 2
        assert (file["events/width"][()], file["events/height"][()]) == (12, 7)
        assert np.array_equal(file["prophesee/left/x"][:], events.x)
        assert (file["events/x"].compression, file["events/x"].shuffle) == ("gzip", True)
        assert (file.attrs["width"], file.attrs["format"], file.attrs["t_unit"]) == (12, "dsec", "us")
    assert open_recording(path).attributes["settings"] == {"pos_thres": 0.2}
    assert open_recording(path).attributes["source"] == "clip.mp4"


def test_millisecond_index_has_a_maximum_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_writer, "MAX_INDEX_ROWS", 50)
    first = random_events(0, 500)
    wild = Events([99_999_999_999_999_999], [1], [1], [1], SENSOR)
    path = tmp_path / "events.h5"
    write(path, [first, wild])
    with h5py.File(path) as file:
        assert np.array_equal(file["ms_to_idx"][:], np.searchsorted(first.t, 1000 * np.arange(50)))
    assert read(path) == concatenate([first, wild], SENSOR)
    for start_us in (10_000, 49_999, 50_000, 80_000, 10**15):
        assert read(path, start_us, 10**16) == first.slice_time(start_us, 10**16)
    assert read(path, 10**16) == wild


def test_time_span_above_64_bits_is_rejected(tmp_path: Path) -> None:
    early, late = (Events([t], [1], [1], [1], SENSOR) for t in (-(2**62), 2**62 + 1000))
    with raises(EventError, "events.h5", "4611686018427388904"):
        write(tmp_path / "events.h5", [early, late])
    assert not list(tmp_path.iterdir())


def test_failed_write_leaves_no_files(tmp_path: Path) -> None:
    events = random_events(0, 10)
    with (
        raises(EventError, "a.h5"),
        EventWriter(tmp_path / "a.h5", SENSOR) as writer,
    ):
        writer.append(events)
        writer.append(events)
    small = SensorSize(width=5, height=5)
    with (
        raises(EventError, "12x7", "5x5"),
        EventWriter(tmp_path / "a.h5", small) as writer,
    ):
        writer.append(events)
    with pytest.raises(KeyboardInterrupt), EventWriter(tmp_path / "a.h5", SENSOR) as writer:
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_existing_file_is_kept_without_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write(path, random_events(0, 10))
    with raises(FileError, "a.h5", "overwrite"):
        write(path, random_events(1, 10))
    assert read(path) == random_events(0, 10)
    write(path, random_events(1, 10), overwrite=True)
    assert read(path) == random_events(1, 10)


def test_only_known_suffixes_are_written(tmp_path: Path) -> None:
    with raises(FileError, ".h5", ".hdf5", "found .aedat"):
        write(tmp_path / "a.aedat", random_events(0, 10))


def test_bin40_follows_the_published_definition(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bin40((5, 3, 6, 1), (8_388_607, 11, 0, 0)))
    assert read(path, hints=Hints(sensor=str(SENSOR))) == Events([5, 8_388_607], [3, 11], [6, 0], [True, False], SENSOR)


def test_bin40_overflow_marks_add_8192_us(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bin40((5, 3, 6, 1), (0, 0, 240, 0), (7, 1, 1, 1), (0, 0, 240, 0), (9, 2, 2, 0)))
    events = read(path, hints=Hints(sensor=str(SENSOR)))
    assert events.t.tolist() == [5, 8192 + 7, 2 * 8192 + 9]


def test_bin40_equals_tonic(test_data: Path) -> None:
    from tonic.io import read_mnist_file

    path = sorted((test_data / "nmnist" / "Test" / "3").iterdir())[0]
    theirs = read_mnist_file(str(path), dtype=np.dtype([("x", int), ("y", int), ("t", int), ("p", int)]))
    assert read(path) == Events.from_structured(theirs, SensorSize(width=34, height=34))


def test_sensor_comes_from_file_argument_or_guess(tmp_path: Path) -> None:
    named, headerless = tmp_path / "a.h5", tmp_path / "a.bin"
    write(named, random_events(0, 50))
    headerless.write_bytes(bin40((5, 33, 33, 1)))
    assert info(named).sensor_source == "file"
    assert (info(headerless).sensor_source, info(headerless).width) == ("guessed", 34)
    assert info(headerless, hints=Hints(sensor="128x128")).sensor_source == "given"
    headerless.write_bytes(bin40((5, 34, 0, 1)))
    assert info(headerless).width == 128
    with raises(EventError, "a.h5", "12x7", "5x5"):
        read(named, hints=Hints(sensor="5x5"))
    with raises(FormatError, "event 0", "x = 34", "12"):
        read(headerless, hints=Hints(sensor=str(SENSOR)))


def test_describe_counts_events(tmp_path: Path) -> None:
    events = random_events(0, 500)
    path = tmp_path / "a.h5"
    write(path, events)
    found = info(path, read_all=True)
    assert (found.events, found.duration_us, found.on_fraction) == (500, events.duration_us, events.p.mean())
    assert found.rate_hz == pytest.approx(500 / events.duration_us * 1e6)
    assert info(path) == found
    write(path, Events.empty(SENSOR), overwrite=True)
    assert info(path).t_first_us is None


def test_polarities_of_large_files_are_counted_only_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvspipe.formats.summary.MAX_COUNTED_EVENTS", 499)
    path = tmp_path / "a.h5"
    write(path, random_events(0, 500))
    found = info(path, read_all=True)
    assert info(path) == replace(found, on_fraction=None)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.bin", bin40((5, 3, 6, 1))[:-1], ("4", "5")),
        ("a.bin", b"", "a.bin"),
        ("a.bin", bin40((5, 0, 0, 1), (4, 0, 0, 1)), ("event 1", "t = 4")),
        ("a.h5", b"", "a.h5"),
        ("a.h5", b"not hdf5 at all", "HDF5"),
        ("a.xyz", b"something", "a.xyz"),
    ],
)
def test_corrupted_file_raises_with_file_name(tmp_path: Path, name: str, content: bytes, message: object) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with raises(FormatError, message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_missing_files_and_folders_raise(tmp_path: Path) -> None:
    with raises(FileError, "a.h5"):
        read(tmp_path / "a.h5")
    with raises(FileError, tmp_path.name):
        read(tmp_path)


def test_truncated_hdf5_file_raises(tmp_path: Path) -> None:
    path, cut = tmp_path / "a.h5", tmp_path / "cut.h5"
    events = random_events(0, 3000)
    write(path, events)
    content = path.read_bytes()
    for length in range(1, len(content), 397):
        cut.write_bytes(content[:length])
        with raises(DvspipeError, "cut.h5"):
            read(cut)


def test_hdf5_with_missing_or_invalid_columns_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["other"] = 1
    with raises(FormatError, "other", "dsec"):
        read(path)
    write(path, random_events(0, 20), overwrite=True)
    with h5py.File(path, "a") as file:
        file["events/x"][7] = 400
    with raises(FormatError, "event 7", "x = 400"):
        read(path)


def test_real_recordings_have_known_statistics(test_data: Path) -> None:
    for name, count, size in (
        ("recordings/tonic_sample_nmnist.bin", 4325, "34x34"),
        ("recordings/evlibrary_faces_easy_0001.bin", 67_445, "240x180"),
        ("gesture/1.bs2", 63_471, "128x128"),
    ):
        found = info(test_data / name)
        assert (found.events, f"{found.width}x{found.height}") == (count, size)


@pytest.mark.parametrize("name", ["out.csv", "out.npz", "out.h5"])
def test_file_written_by_another_process_meanwhile_is_kept(tmp_path: Path, name: str) -> None:
    path, events = tmp_path / name, random_events(0, 20)

    def parts() -> Iterator[Events]:
        yield events
        path.write_text("the other's")

    with raises(FileError, name):
        write(path, parts())
    assert path.read_text() == "the other's"
    write(path, parts(), overwrite=True)
    assert read(path, hints=Hints(sensor=str(events.sensor))) == events
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["out.csv", "out.h5", "out.bin"])
def test_small_file_needs_little_disk_space(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2 << 20))
    events = random_events(0, 1000)
    write(tmp_path / name, events)
    assert read(tmp_path / name, hints=Hints(sensor=str(events.sensor))) == events
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=200 << 10))
    with raises(FileError, "space"):
        write(tmp_path / f"other-{name}", events)


def test_part_is_read_by_seconds_after_the_first_event(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    events = random_events(4, 300).shift_time(1_700_000_000_000_000)
    write(tmp_path / "a.h5", events)
    write(tmp_path / "a.csv", events)
    for path in (tmp_path / "a.h5", tmp_path / "a.csv"):
        expected = events.slice_time(start_s=0.02, stop_s=0.05)
        assert read(path, hints=Hints(sensor=str(SENSOR)), start_s=0.02, stop_s=0.05) == expected
        assert read(path, hints=Hints(sensor=str(SENSOR)), start_s=0.02, stop_s=0.05, sort=True) == expected
        assert (
            concatenate(iterate(path, hints=Hints(sensor=str(SENSOR)), start_s=0.02, stop_s=0.05), SENSOR) == expected
        )
        assert read(path, int(events.t[0]), hints=Hints(sensor=str(SENSOR)), stop_s=0.05) == events.slice_time(
            stop_s=0.05
        )
        with raises(ConfigError, "start_us", "start_s"):
            read(path, 0, start_s=0)
        assert not caplog.records
        assert not len(read(path, 0, 1000, hints=Hints(sensor=str(SENSOR))))
        assert mentions(caplog.text, path.name, "0 to 1000", int(events.t[0]), int(events.t[-1]), "start_s")
        caplog.clear()


def test_structured_array_is_written_like_events(tmp_path: Path) -> None:
    events = random_events(4, 50)
    for name, sensor, expected in (("a.h5", SENSOR, SENSOR), ("b.h5", None, SensorSize(width=34, height=34))):
        assert write(tmp_path / name, events.structured(), sensor) == 50
        found = read(tmp_path / name)
        assert found.sensor == expected
        assert np.array_equal(found.structured(), events.structured())
    with raises(EventError, "x, y, t and p"):
        write(tmp_path / "c.h5", np.zeros((5, 4)))
    with raises(FormatError, "sensor"):
        write(tmp_path / "c.h5", events[:0].structured())


def test_events_in_memory_are_a_recording(caplog: pytest.LogCaptureFixture) -> None:
    events = random_events(4, 300).shift_time(1_700_000_000_000_000)
    recording = open_recording(events)
    assert (recording.sensor, recording.format, str(recording.path)) == (SENSOR, "memory", "events")
    assert recording.extent() == (300, events.t[0], events.t[-1])
    assert concatenate(recording.chunks()) == read(events) == events
    assert read(events, start_s=0.05) == events.slice_time(start_s=0.05)
    assert np.shares_memory(next(recording.chunks()).t, events.t)
    assert not len(open_recording(Events.empty(SENSOR)).find_span().explain_outside(0, 0))
    assert (read(Events.empty(SENSOR), 0, 5), info(Events.empty(SENSOR)).events) == (Events.empty(SENSOR), 0)
    assert not caplog.records
    with raises(EventError, "events", "12x7", "5x5"):
        open_recording(events, hints=Hints(sensor="5x5"))


@pytest.mark.parametrize("wrong", [[1, 2], 3, None, [np.zeros((2, 4))]])
def test_writing_other_types_raises(wrong: object, tmp_path: Path) -> None:
    with pytest.raises((TypeError, EventError)):
        write(tmp_path / "a.h5", wrong)  # type: ignore[arg-type]
    with raises(EventError, "a.h5", "list", "Events"):
        write(tmp_path / "a.h5", [random_events(0, 5), []])  # type: ignore[list-item]
    assert not list(tmp_path.iterdir())
