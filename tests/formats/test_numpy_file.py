"""NumPy files: detection of columns and units, wrong headers, and no unpickling."""

from __future__ import annotations

import gzip
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SENSOR, random_events
from decoding import joined, part, until_corruption, write
from facts import raises
from hypothesis import given, settings
from hypothesis import strategies as st

from dvspipe.base.errors import CorruptionError, FormatError
from dvspipe.events import Events, SensorSize
from dvspipe.formats import numpy_file
from dvspipe.formats.hints import NO_HINTS, Hints
from dvspipe.formats.npz_writer import NPZ_ENCODER
from dvspipe.formats.numpy_file import NUMPY

EVENTS = random_events(5, 300)


def structured(events: Events = EVENTS, names: str = "t x y p", types: str = "i8 u2 u2 ?") -> np.ndarray:
    array = np.zeros(len(events), list(zip(names.split(), types.split(), strict=True)))
    for name, column in zip(names.split(), (events.t, events.x, events.y, events.p), strict=True):
        array[name] = column
    return array


def table(events: Events = EVENTS, dtype: type = np.int64) -> np.ndarray:
    return np.stack([events.t, events.x, events.y, events.p], axis=1).astype(dtype)


def read(path: Path, hints: Hints = NO_HINTS, sensor: SensorSize = SENSOR) -> Events:
    return joined(NUMPY.open(path, hints).chunks(), sensor)


def saved(path: Path, *arrays: Any, **columns: Any) -> Path:
    if arrays:
        np.save(path, arrays[0], allow_pickle=True)
    else:
        np.savez(path, **columns)
    return path


@pytest.fixture
def npy(tmp_path: Path) -> Path:
    return tmp_path / "clip.npy"


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    return tmp_path / "clip.npz"


@pytest.mark.parametrize("names", ["t x y p", "timestamp x y polarity", "ts x y pol", "T X Y on"])
@pytest.mark.parametrize("types", ["i8 u2 u2 ?", ">u4 >i2 i4 i1", "u8 u1 u1 u1", "i8 f4 f8 f4"])
@pytest.mark.parametrize("chunk", [7, 1 << 20])
def test_structured_arrays(npy: Path, names: str, types: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_file, "CHUNK_EVENTS", chunk)
    saved(npy, structured(names=names, types=types))
    assert read(npy) == EVENTS
    packed = npy.with_suffix(".npy.gz")
    packed.write_bytes(gzip.compress(npy.read_bytes()))
    assert read(packed) == EVENTS


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("columns", ["txyp", "pyxt", "x-typ-"])
def test_table_needs_a_hint_for_the_order_of_columns(
    npy: Path, order: str, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numpy_file, "CHUNK_EVENTS", 7)
    parts = dict(zip("txyp", table().T, strict=True)) | {"-": np.full(300, 9)}
    saved(npy, np.asarray(np.stack([parts[name] for name in columns], axis=1), order=order))
    with raises(FormatError, f"[300, {len(columns)}]", "columns="):
        read(npy)
    assert read(npy, Hints(columns=columns)) == EVENTS
    packed = npy.with_suffix(".npy.gz")
    packed.write_bytes(gzip.compress(npy.read_bytes()))
    assert read(packed, Hints(columns=columns)) == EVENTS
    with raises(FormatError, 5):
        read(npy, Hints(columns="txyp-"))


@pytest.mark.parametrize("polarity", [np.uint8, np.int8, np.float32, np.bool_])
def test_columns_of_an_archive(npz: Path, polarity: type) -> None:
    columns = {"t": EVENTS.t, "x": EVENTS.x, "y": EVENTS.y, "p": EVENTS.p.astype(polarity)}
    saved(npz, **columns)
    assert read(npz) == EVENTS
    assert NUMPY.open(npz).sensor is None
    np.savez_compressed(npz, **columns, width=12, height=np.int16(7), remarks=np.zeros(3))
    assert read(npz) == EVENTS
    assert NUMPY.open(npz).sensor == SENSOR


def test_one_array_in_an_archive(npz: Path) -> None:
    assert read(saved(npz, events=structured())) == EVENTS
    assert read(saved(npz, arr_0=table()), Hints(columns="txyp")) == EVENTS


def test_polarity_minus_one_is_off_throughout(npy: Path) -> None:
    signed = table()
    signed[:, 3] = 2 * signed[:, 3] - 1
    assert read(saved(npy, signed), Hints(columns="txyp")) == EVENTS
    row = int(np.flatnonzero(signed[:, 3] == -1)[1])
    signed[row, 3] = 0
    with raises(CorruptionError, row, "p = 0"):
        read(saved(npy, signed), Hints(columns="txyp"))


@pytest.mark.parametrize(
    ("unit", "scale", "name"), [("s", 1e-6, "time_s"), ("ms", 1e-3, "t_ms"), ("us", 1.0, "t_us"), ("ns", 1e3, "ts_ns")]
)
def test_units_come_from_hints_or_names(npy: Path, npz: Path, unit: Any, scale: float, name: str) -> None:
    array = table(dtype=float)
    array[:, 0] *= scale
    assert read(saved(npy, array), Hints(columns="txyp", time_unit=unit)) == EVENTS
    assert read(saved(npz, **{name: array[:, 0]}, x=EVENTS.x, y=EVENTS.y, p=EVENTS.p)) == EVENTS
    if unit == "ns":
        assert read(saved(npy, array.astype(np.int64)), Hints(columns="txyp", time_unit=unit)) == EVENTS


def test_seconds_are_detected_if_unambiguous(npy: Path) -> None:
    array = structured(types="f8 u2 u2 ?")
    array["t"] *= 1e-6
    assert read(saved(npy, array)) == EVENTS
    array["t"] += 1_589_163_147
    assert read(saved(npy, array)) == EVENTS.shift_time(1_589_163_147_000_000)


@pytest.mark.parametrize(
    "times", [[1.0, 2.0], [0.001, 0.5], [0.1234567, 0.2], np.array([100.000001, 100.1], np.float32), [10**17, 10**17]]
)
def test_ambiguous_units_need_a_hint(npz: Path, times: Any) -> None:
    with raises(FormatError, "clip.npz", "time_unit="):
        read(saved(npz, t=times, x=[1, 2], y=[1, 2], p=[0, 1]))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("t", np.nan, ("row 2", "t = nan")),
        ("t", np.inf, ("row 2", "t = inf")),
        ("t", 1e300, "row 2"),
        ("x", 1.5, ("row 2", "x = 1.5")),
        ("y", 1e12, ("row 2", "y = 1000000000000")),
        ("p", 2, ("row 2", "p = 2.0")),
    ],
)
def test_invalid_value_is_corruption_after_previous_events(
    npy: Path, column: str, value: float, message: object
) -> None:
    array = structured(types="f8 f8 f8 f8")
    array["t"] *= 1e-6
    array[column][2] = value
    chunks = NUMPY.open(saved(npy, array), Hints(time_unit="s")).chunks()
    assert len(next(chunks).t) == 2
    with raises(CorruptionError, message):
        next(chunks)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3, object), "Python"),
        (np.zeros(3, [("t", object), ("x", "i4"), ("y", "i4"), ("p", "?")]), "Python"),
        (np.zeros(3), "float64[3]"),
        (np.zeros((3, 4, 2)), "float64[3, 4, 2]"),
        (np.zeros((3, 100)), "float64[3, 100]"),
        (np.zeros(3, [("t", "i8"), ("x", "i4"), ("y", "i4")]), "t, x, y"),
        (np.zeros(3, [("t", "i8"), ("ts", "i8"), ("x", "i4"), ("y", "i4"), ("p", "?")]), "t, ts, x"),
        (
            np.zeros(3, [("t", "i8"), ("x", "S4"), ("y", "i4"), ("p", "?")]),
            ("column x", "|S4"),
        ),
        (np.zeros(3, [("t", "i8", 2), ("x", "i4"), ("y", "i4"), ("p", "?")]), "column t"),
        (np.zeros(3, [("t", "M8[us]"), ("x", "i4"), ("y", "i4"), ("p", "?")]), "column t"),
    ],
)
def test_other_arrays_are_rejected(npy: Path, array: np.ndarray, message: object) -> None:
    with raises(FormatError, message):
        read(saved(npy, array))


def test_other_archives_are_rejected(npz: Path) -> None:
    for columns, message in (
        ({"a": EVENTS.t, "b": EVENTS.x}, ("clip.npz", "a, b")),
        ({"t": EVENTS.t, "x": EVENTS.x, "y": EVENTS.y, "p": EVENTS.p[:-1]}, ("columns", 299)),
        ({"t": EVENTS.t, "x": EVENTS.x, "y": EVENTS.y, "p": table()}, ("clip.npz", "int64[300, 4]")),
        ({"events": structured(), "width": 0, "height": 5}, ("sensor", "width", 0)),
        ({"events": structured(), "width": 1.5, "height": 5}, ("width", "float64[]")),
    ):
        with raises(FormatError, message):
            read(saved(npz, **columns))
    npz.write_bytes(b"nothing")
    with raises(FormatError, "clip.npz", ".npy"):
        read(npz)
    data = bytearray(saved(npz, events=structured()).read_bytes())
    data[-6:-2] = (int.from_bytes(data[-6:-2], "little") + 10).to_bytes(4, "little")  # the first array is at byte -10
    npz.write_bytes(data)
    with raises(CorruptionError, "clip.npz"):
        read(npz)
    npz.with_suffix(".npy").write_bytes(b"\x93NUMPY\x09\x00" + bytes(200))
    with raises(FormatError, "clip.npy"):
        read(npz.with_suffix(".npy"))


@pytest.mark.parametrize("kind", ["structured", "table", "columns"])
def test_truncated_array_yields_all_complete_rows(npy: Path, kind: str) -> None:
    few = part(EVENTS, 0, 9)
    array = {"structured": structured(few), "table": table(few), "columns": np.asfortranarray(table(few))}[kind]
    data = saved(npy, array).read_bytes()
    begin = len(data) - array.nbytes
    hints = NO_HINTS if kind == "structured" else Hints(columns="txyp")
    for size in range(begin, len(data)):
        npy.write_bytes(data[:size])
        source = NUMPY.open(npy, hints)
        count = (size - begin) // (array.nbytes // 9) if kind != "columns" else max(0, size - begin - 9 * 24) // 8
        assert joined(until_corruption(source.chunks()), SENSOR) == part(few, 0, count)
        with raises(CorruptionError, "clip.npy", 9):
            list(source.chunks())
    for size in range(begin):
        npy.write_bytes(data[:size])
        with raises(FormatError, "clip.npy"):
            NUMPY.open(npy, hints)
    npy.write_bytes(data + b"x")
    source = NUMPY.open(npy, hints)
    assert joined(until_corruption(source.chunks()), SENSOR) == few
    with raises(CorruptionError, "clip.npy"):
        list(source.chunks())


@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_archive_raises(npz: Path, compressed: bool) -> None:
    columns = {"t": EVENTS.t[:9], "x": EVENTS.x[:9], "y": EVENTS.y[:9], "p": EVENTS.p[:9]}
    (np.savez_compressed if compressed else np.savez)(npz, **columns)
    data = npz.read_bytes()
    for size in range(1, len(data)):
        npz.write_bytes(data[:size])
        with raises(FormatError, "clip.npz"):
            read(npz)


def test_wrong_header_does_not_allocate_memory(npy: Path, npz: Path) -> None:
    short = saved(npy, structured()).read_bytes().replace(b"(300,), ", b"(3000000000000,), ")
    lying = [
        short[:8] + (len(short) - 300 * 13 - 10).to_bytes(2, "little") + short[10:],
        saved(npy, structured(types="i8 u2 u2 ?")).read_bytes().replace(b"'<u2'", b"'V9999999999'"),
    ]
    tracemalloc.start()
    for data in lying:
        npy.write_bytes(data)
        with pytest.raises(FormatError):
            read(npy)
        with zipfile.ZipFile(npz, "w") as archive:
            archive.writestr("events.npy", data)
        with pytest.raises(FormatError):
            read(npz)
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


def test_large_archive_is_read_in_blocks(npz: Path) -> None:
    count = 10_000_000
    with zipfile.ZipFile(npz, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, dtype in (("t", np.int64), ("x", np.int64), ("y", np.int64), ("p", np.int64)):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                described = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (count,)}
                np.lib.format.write_array_header_1_0(member, described)
                for _ in range(count // 100_000):
                    member.write(bytes(800_000))
    assert npz.stat().st_size < 1e6
    tracemalloc.start()
    assert sum(len(chunk.t) for chunk in NUMPY.open(npz).chunks()) == count
    assert tracemalloc.get_traced_memory()[1] < 250e6
    tracemalloc.stop()


def test_array_without_events_is_an_empty_recording(npy: Path) -> None:
    saved(npy, structured(Events.empty(SENSOR)))
    assert read(npy) == Events.empty(SENSOR)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 1000),
    count=st.sampled_from([0, 1, 2, 300]),
    start=st.sampled_from([0, 17, 2**41, -5_000]),
    span_us=st.sampled_from([1, 100_000, 2**42]),
    cuts=st.lists(st.integers(0, 300), max_size=3),
)
def test_archive_is_unchanged_by_writing_and_reading(
    tmp_path: Path, seed: int, count: int, start: int, span_us: int, cuts: list[int]
) -> None:
    sensor = SensorSize(2048, 1080)
    events = random_events(seed, count, sensor, span_us).shift_time(start)
    path = tmp_path / "clip.npz"
    write(path, events, NPZ_ENCODER, cuts)
    assert read(path, sensor=sensor) == events
    assert NUMPY.open(path).sensor == sensor
    with np.load(path, allow_pickle=False) as archive:
        assert {name: archive[name].dtype.str for name in "txyp"} == {"t": "<i8", "x": "<u2", "y": "<u2", "p": "|u1"}
        assert np.array_equal(archive["t"], events.t)
    assert [file.name for file in tmp_path.iterdir()] == ["clip.npz"]


def test_archive_has_valid_checksums(tmp_path: Path) -> None:
    sensor = SensorSize(2048, 1080)
    events = random_events(0, 30_000, sensor)
    path = tmp_path / "clip.npz"
    write(path, events, NPZ_ENCODER, [9_999, 20_000])
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        sizes = {member.filename: (member.file_size, member.compress_size) for member in archive.infolist()}
    assert sizes["t.npy"][0] == 128 + 8 * len(events)
    assert sizes["p.npy"][1] < sizes["p.npy"][0] / 4
    assert read(path, sensor=sensor) == events


def test_archive_has_types_readable_by_eventcv(npz: Path) -> None:
    """eventcv reads no other types: `cannot read type u64 with type-string '<i8'`."""
    write(npz, EVENTS, NPZ_ENCODER)
    with np.load(npz) as archive:
        types = {name: archive[name].dtype.str for name in archive}
    assert types == {"t": "<i8", "x": "<u2", "y": "<u2", "p": "|u1", "width": "<u8", "height": "<u8"}
    assert read(npz) == EVENTS
