"""HDF5: the layouts of other programs, the layout that is written, and corrupted files."""

from __future__ import annotations

import faulthandler
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import SENSOR, random_events
from facts import mentions, raises

from dvspipe.base.errors import FormatError
from dvspipe.events import Events, concatenate
from dvspipe.formats import Hints, open_recording, read, write

EVENTS = random_events(5, 2000)
HINTS = Hints(sensor=str(SENSOR))
Fill = Callable[[h5py.File], None]


def columns(file: h5py.File, group: str, names: str = "x y t p", **changed: Any) -> None:
    """Write the four columns of EVENTS; `changed` replaces columns by letter."""
    for letter, name in zip("xytp", names.split(), strict=True):
        column = changed.get(letter, getattr(EVENTS, letter))
        file.create_dataset(f"{group}/{name}", data=column, maxshape=(None,), chunks=(256,), compression="gzip")


def dsec(file: h5py.File) -> None:
    columns(file, "events", t=EVENTS.t.astype(np.uint32), p=EVENTS.p.astype(np.uint8))
    file["t_offset"] = np.int64(0)
    file["events/width"], file["events/height"] = 12, 7


def m3ed(file: h5py.File) -> None:
    columns(file, "prophesee/left", p=EVENTS.p.astype(np.int8))
    file["prophesee/left/calib/resolution"] = [12, 7]


def prophesee(file: h5py.File) -> None:
    table = np.zeros(len(EVENTS), [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
    for name in "xytp":
        table[name] = getattr(EVENTS, name)
    file.create_dataset("CD/events", data=table, chunks=(256,))
    file.attrs["geometry"] = b"12x7"


def event_utils(file: h5py.File) -> None:
    columns(file, "events", "xs ys ts ps", x=EVENTS.x.astype(np.int16), t=EVENTS.t / 1e6, p=EVENTS.p)


def raw_events(file: h5py.File) -> None:
    columns(file, "raw_events", x=EVENTS.x.astype(np.int32), t=EVENTS.t / 1e6, p=2 * EVENTS.p.astype(np.int8) - 1)


def test_unit_is_read_or_needs_a_hint(tmp_path: Path) -> None:
    for scale, factor in ((1e3, 1e-6), (1.0, 1e-3), (1e-3, 1), (1e-6, 1e3)):  # the attribute of eventcv
        path = make(tmp_path / "a.h5", lambda f: columns(f, "events", t=EVENTS.t * factor))  # noqa: B023
        with h5py.File(path, "a") as file:
            file.attrs["timestamp_scale_ms"] = scale
        assert read(path, hints=HINTS) == EVENTS

    path = make(tmp_path / "a.h5", lambda file: columns(file, "events", t=EVENTS.t / 1e3))
    with raises(FormatError, "a.h5", "float64", "time_unit"):
        read(path, hints=HINTS)
    assert read(path, hints=Hints(time_unit="ms", sensor=str(SENSOR))) == EVENTS


@pytest.mark.parametrize(
    ("fill", "found"),
    [
        (lambda f: columns(f, "events", "xs ys ts ps", t=changed(EVENTS.t / 1e6, 700, np.nan)), ("event 700", "t")),
        (lambda f: columns(f, "events", "xs ys ts ps", t=changed(EVENTS.t / 1e6, 700, 1e300)), ("event 700", "t")),
        (lambda f: put_table(f, np.int64), ("int64", "uint32")),
        (lambda f: f.create_dataset("other", data=1), ("other", "dsec")),
    ],
)
def test_wrong_layout_is_an_error(tmp_path: Path, fill: Fill, found: object) -> None:
    with raises(FormatError, "a.h5", found):
        read(make(tmp_path / "a.h5", fill), hints=HINTS)


def put_table(file: h5py.File, dtype: type) -> None:
    table = np.stack([EVENTS.t, EVENTS.x, EVENTS.y, EVENTS.p], axis=1).astype(dtype)
    file.create_dataset("events", data=table, maxshape=(None, 4), compression="gzip")


def v2e(file: h5py.File) -> None:
    put_table(file, np.uint32)


def mvsec(file: h5py.File) -> None:
    file["davis/left/events"] = np.stack([EVENTS.x, EVENTS.y, EVENTS.t / 1e6, EVENTS.p * 2.0 - 1], axis=1)


def make(path: Path, *fill: Fill) -> Path:
    with h5py.File(path, "w") as file:
        for each in fill:
            each(file)
    return path


@pytest.mark.parametrize("fill", [dsec, m3ed, prophesee, event_utils, raw_events, v2e, mvsec])
def test_every_layout_is_read(tmp_path: Path, fill: Fill) -> None:
    path = make(tmp_path / "a.h5", fill)
    recording = open_recording(path, HINTS)
    assert concatenate(recording.chunks()) == EVENTS
    assert recording.attributes["layout"] == fill.__name__
    assert recording.sensor_source == ("file" if fill in (dsec, m3ed, prophesee) else "given")
    assert recording.extent() == (len(EVENTS), EVENTS.t[0], EVENTS.t[-1])
    for start, stop in ((0, 1), (10_000, 10_001), (25_123, 77_456), (99_000, 10**9), (-(2**40), 2**40), (70, 60)):
        assert read(path, start, stop, hints=HINTS) == EVENTS.between(start, stop)


@pytest.mark.parametrize("offset", [51_648_500_652, -(2**40)])
@pytest.mark.parametrize("dtype", [np.uint64, np.uint32, ">i8"])
def test_t_offset_is_added_for_every_type(tmp_path: Path, offset: int, dtype: type) -> None:
    def fill(file: h5py.File) -> None:
        columns(file, "events", t=EVENTS.t.astype(dtype))
        file["t_offset"] = np.int64(offset)

    assert read(make(tmp_path / "a.h5", fill), hints=HINTS) == EVENTS.shift_time(offset)


def put(file: h5py.File, name: str, value: object) -> None:
    del file[name]
    file[name] = value


def changed(column: np.ndarray, place: int, value: Any) -> np.ndarray:
    column = column.astype(np.result_type(column, type(value)))
    column[place] = value
    return column


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda f: f["events/x"].resize((19,)), "lengths"),
        (lambda f: f["events/t"].resize((10**12,)), "never stored"),
        (lambda f: put(f, "events/x", [b"a"] * len(EVENTS)), "events/x"),
        (lambda f: put(f, "events/x", np.zeros((len(EVENTS), 2), int)), "no events"),
        (lambda f: put(f, "events/x", 1j * EVENTS.x), "complex128"),
        (lambda f: put(f, "events/width", 0), "sensor"),
        (lambda f: put(f, "events/x", changed(EVENTS.x, 33, 1.5)), "x = 1.5"),
        (lambda f: put(f, "events/x", changed(EVENTS.x, 7, 400)), "x = 400"),
        (lambda f: put(f, "events/p", changed(EVENTS.p, 9, 2)), "p = 2"),
        (lambda f: put(f, "events/p", changed(changed(EVENTS.p, 9, -1), 10, 0)), "p = "),
        (lambda f: put(f, "events/t", changed(EVENTS.t, 1500, 0)), "event 1500"),
        (lambda f: put(f, "events/t", EVENTS.t.astype(np.uint64) + np.uint64(2**63)), "t = "),
        (lambda f: put(f, "t_offset", np.int64(2**63 - 1)), "t_offset"),
        (lambda f: put(f, "t_offset", np.float64(np.inf)), "infinity"),
        (m3ed, "several layouts"),
    ],
)
def test_wrong_file_is_an_error(tmp_path: Path, change: Fill, found: str) -> None:
    with raises(FormatError, "a.h5", found):
        read(make(tmp_path / "a.h5", dsec, change))


@pytest.mark.parametrize("compression", ["gzip", "lzf", None])
def test_missing_chunk_is_an_error_not_zeros(tmp_path: Path, compression: str | None) -> None:
    def fill(file: h5py.File) -> None:
        for name in "xytp":
            column = file.create_dataset(f"events/{name}", (1000,), np.int64, chunks=(100,), compression=compression)
            column[: 300 if name == "y" else 1000] = 1
            column[400:] = 1

    with raises(FormatError, "a.h5", "events/y", "never stored"):
        read(make(tmp_path / "a.h5", fill), hints=HINTS)


def test_corrupted_chunk_is_an_error(tmp_path: Path) -> None:
    path = make(tmp_path / "a.h5", dsec)
    with h5py.File(path, "a") as file:
        file["events/t"].id.write_direct_chunk((1024,), b"damaged")
    with raises(FormatError, "a.h5", "corrupted"):
        read(path)


def test_real_file_with_a_flipped_bit_does_not_end_the_process(test_data: Path) -> None:
    code = "import sys; from dvspipe.recordings.info import info; info(sys.argv[1])"
    command = [sys.executable, "-c", code, str(test_data / "broken" / "attribute.h5")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert mentions(ended.stderr.splitlines()[-1], "FormatError", "attribute.h5", "t_unit")


def test_corrupted_texts_of_other_programs_do_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write(path, EVENTS)
    with h5py.File(path, "a") as file:
        file.attrs["source"] = "a text of variable length"
        file.attrs["settings"] = "{}"
    assert open_recording(path).attributes["source"] == "a text of variable length"

    content = path.read_bytes()
    texts = content.index(b"GCOL")
    refused = 0
    faulthandler.dump_traceback_later(60, exit=True)  # only this ends a loop inside of the HDF5 library
    for bit in range(8 * 120):
        changed = bytearray(content)
        changed[texts + bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            assert read(path) == EVENTS
        except FormatError as error:
            refused += "free space" in str(error)
    faulthandler.cancel_dump_traceback_later()
    assert refused > 9


def test_missing_filter_suggests_installing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "a.h5", dsec)
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda _: False)
    with raises(FormatError, "a.h5", "dvspipe[blosc]"):
        read(path)


@pytest.mark.parametrize("start_us", [0, 999_999, 5_000_123, -7])
def test_written_layout_is_dsec(tmp_path: Path, start_us: int) -> None:
    events = random_events(0, 500)
    events = events.shift_time(start_us - int(events.t[0]))
    path = tmp_path / "events.h5"
    write(path, [events[:200], events[200:]], source="clip.mp4", settings={"pos_thres": 0.2})

    with h5py.File(path) as file:
        offset = int(file["t_offset"][()])
        assert offset == (0 if 0 <= start_us < 1_000_000 else start_us // 1000 * 1000)
        t = file["events/t"][:]
        assert np.array_equal(t + offset, events.t)
        types = {name: file[f"events/{name}"].dtype for name in "xytp"}
        assert types == {"x": np.uint16, "y": np.uint16, "t": np.int64, "p": np.uint8}
        index = np.searchsorted(t, 1000 * np.arange(t[-1] // 1000 + 1))
        assert file["ms_to_idx"][:].tolist() == [*index, len(events)]
        assert (file["events/width"][()], file["events/height"][()]) == (12, 7)
        assert file["prophesee/left/x"] == file["events/x"]
        assert (file["events/x"].compression, file["events/x"].shuffle) == ("gzip", True)
        assert (file.attrs["width"], file.attrs["format"]) == (12, b"dsec")
    found = open_recording(path).attributes
    assert (found["settings"], found["source"]) == ({"pos_thres": 0.2}, "clip.mp4")


def test_millisecond_index_has_a_maximum_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvspipe.formats.hdf5.MAX_INDEX_MS", 50)
    first = random_events(0, 500)
    wild = Events([99_999_999_999_999_999], [1], [1], [1], SENSOR)
    write(tmp_path / "events.h5", [first, wild])
    with h5py.File(tmp_path / "events.h5") as file:
        assert np.array_equal(file["ms_to_idx"][:-1], np.searchsorted(first.t, 1000 * np.arange(50)))
    assert read(tmp_path / "events.h5") == concatenate([first, wild], SENSOR)
