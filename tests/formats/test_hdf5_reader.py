from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import SENSOR, random_events
from facts import mentions, raises

from dvspipe.base.errors import CorruptionError, DvspipeError, FormatError
from dvspipe.events import Events, concatenate
from dvspipe.formats import Hints, info, iterate, open_recording, read, write
from dvspipe.formats.hdf5 import storage

EVENTS = random_events(5, 2000)


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


def prophesee(file: h5py.File, **stored: Any) -> None:
    dtype = np.dtype(
        {
            "names": ["x", "y", "p", "t"],
            "formats": ["<u2", "<u2", "<i2", "<i8"],
            "offsets": [0, 2, 4, 8],
            "itemsize": 16,
        }
    )
    table = np.zeros(len(EVENTS), dtype)
    for name in "xytp":
        table[name] = getattr(EVENTS, name)
    file.create_dataset("CD/events", data=table, chunks=(256,), **stored)
    file.attrs["geometry"] = b"12x7"


def prophesee_gzip(file: h5py.File) -> None:
    prophesee(file, compression="gzip", shuffle=True)


def event_utils(file: h5py.File) -> None:
    columns(file, "events", "xs ys ts ps", x=EVENTS.x.astype(np.int16), t=EVENTS.t / 1e6, p=EVENTS.p)
    file.attrs["sensor_resolution"] = (7, 12)


def raw_events(file: h5py.File) -> None:
    columns(file, "raw_events", x=EVENTS.x.astype(np.int32), t=EVENTS.t / 1e6)


def v2e(file: h5py.File) -> None:
    table = np.stack([EVENTS.t, EVENTS.x, EVENTS.y, EVENTS.p], axis=1).astype(np.uint32)
    file.create_dataset("events", data=table, maxshape=(None, 4), compression="gzip")


def mvsec(file: h5py.File) -> None:
    file["davis/left/events"] = np.stack([EVENTS.x, EVENTS.y, EVENTS.t / 1e6, EVENTS.p * 2.0 - 1], axis=1)


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    def make(*fill: Callable[[h5py.File], None]) -> Path:
        path = tmp_path / "a.h5"
        with h5py.File(path, "w") as file:
            for each in fill:
                each(file)
        return path

    return make


@pytest.mark.parametrize("fill", [dsec, m3ed, prophesee, prophesee_gzip, event_utils, raw_events, v2e, mvsec])
def test_every_layout_is_read_back(made: Callable[..., Path], fill: Callable[..., None]) -> None:
    path = made(fill)
    assert read(path, hints=Hints(sensor=str(SENSOR))) == EVENTS
    recording = open_recording(path, hints=Hints(sensor=str(SENSOR)))
    assert recording.attributes["layout"] == fill.__name__.removesuffix("_gzip")
    assert recording.sensor_source == ("file" if fill in (dsec, m3ed, prophesee, prophesee_gzip) else "given")
    extent = recording.extent()
    assert extent == (len(EVENTS), EVENTS.t[0], EVENTS.t[-1])
    for start, stop in ((0, 1), (10_000, 10_001), (25_123, 77_456), (99_000, 10**9), (-(2**40), 2**40), (70, 60)):
        assert read(path, start, stop, hints=Hints(sensor=str(SENSOR))) == EVENTS.slice_time(start, stop)


@pytest.mark.parametrize("offset", [0, 51_648_500_652, -(2**40), 2**62])
@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.uint32, np.int32, ">i8"])
def test_t_offset_is_added_for_every_type(made: Callable[..., Path], offset: int, dtype: type) -> None:
    def fill(file: h5py.File) -> None:
        columns(file, "events", t=EVENTS.t.astype(dtype))
        file["t_offset"] = np.array([offset])

    expected = EVENTS.shift_time(offset)
    path = made(fill)
    assert read(path, hints=Hints(sensor=str(SENSOR))) == expected
    start, stop = offset + 40_000, offset + 50_001
    assert read(path, start, stop, hints=Hints(sensor=str(SENSOR))) == expected.slice_time(start, stop)


@pytest.mark.parametrize(("content", "found"), [(b"one\ntwo\n", "text"), (b"\0\1\2", "other data")])
def test_file_without_signature_is_not_hdf5(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "a.h5").write_bytes(content)
    with raises(FormatError, "a.h5", "not an HDF5 file", found):
        read(tmp_path / "a.h5")


def test_columns_of_different_lengths_raise(made: Callable[..., Path]) -> None:
    path = made(lambda file: columns(file, "events", x=EVENTS.x[1:]))
    with raises(FormatError, path.name, f"{len(EVENTS):,} t, {len(EVENTS) - 1:,} x"):
        read(path, hints=Hints(sensor=str(SENSOR)))


def test_times_beyond_64_bits_are_corruption_at_their_event(made: Callable[..., Path]) -> None:
    t = EVENTS.t.astype(np.uint64)
    t[1500:] += np.uint64(2**63)
    with raises(CorruptionError, 1500):
        read(made(lambda file: columns(file, "events", t=t)))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e300])
def test_invalid_float_times_are_corruption_at_their_event(made: Callable[..., Path], wrong: float) -> None:
    t = EVENTS.t / 1e6
    t[700:] = wrong
    path = made(lambda file: columns(file, "events", "xs ys ts ps", t=t))
    good: list[Events] = []
    with raises(CorruptionError, 700, "t"):
        good.extend(iterate(path, hints=Hints(sensor=str(SENSOR))))
    assert concatenate(good, SENSOR).t.tolist() == EVENTS.t[:700].tolist()


@pytest.mark.parametrize(
    ("p", "good"),
    [
        ([1, -1, 1, -1], 4),
        ([1, 0, 1, 0], 4),
        ([1, -1, 0, 1], 2),
        ([1, 0, -1, 1], 2),
        ([1, 1, 2, 0], 2),
        ([1, -2, 1, 1], 1),
    ],
)
@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32])
def test_off_is_0_or_minus_1_throughout(made: Callable[..., Path], p: list[int], good: int, dtype: type) -> None:
    def fill(file: h5py.File) -> None:
        for name, column in (("x", [0] * 4), ("y", [0] * 4), ("t", range(4)), ("p", np.array(p, dtype))):
            file[f"events/{name}"] = column

    path = made(fill)
    if good == 4:
        assert read(path, hints=Hints(sensor=str(SENSOR))).p.tolist() == [value == 1 for value in p]
        return
    found: list[Events] = []
    with raises(CorruptionError, good, "p"):
        found.extend(iterate(path, hints=Hints(sensor=str(SENSOR))))
    assert sum(map(len, found)) == good


def test_fractional_pixels_are_corruption(made: Callable[..., Path]) -> None:
    x = EVENTS.x.astype(np.float64)
    x[33] = 1.5
    with raises(CorruptionError, "event 33", "x = 1.5"):
        read(made(lambda file: columns(file, "events", x=x)), hints=Hints(sensor=str(SENSOR)))


def test_unknown_unit_or_order_needs_a_hint(made: Callable[..., Path]) -> None:
    path = made(lambda file: columns(file, "events", t=EVENTS.t / 1e3))
    with raises(FormatError, "float64", "dsec", "time_unit"):
        read(path, hints=Hints(sensor=str(SENSOR)))
    assert read(path, hints=Hints(time_unit="ms", sensor=str(SENSOR))) == EVENTS
    path = made(lambda file: columns(file, "events", "xs ys ts ps", t=EVENTS.t * 1000 + 499))
    with raises(FormatError, "int64", "event_utils", "time_unit"):
        read(path, hints=Hints(sensor=str(SENSOR)))
    assert read(path, hints=Hints(time_unit="ns", sensor=str(SENSOR))) == EVENTS
    path = made(lambda file: file.create_dataset("events", data=np.stack([EVENTS.x, EVENTS.y, EVENTS.p, EVENTS.t], 1)))
    with raises(FormatError, "int64", "v2e", "columns"):
        read(path, hints=Hints(sensor=str(SENSOR)))
    with raises(FormatError, "time_unit"):
        read(path, hints=Hints(columns="xypt", sensor=str(SENSOR)))
    assert read(path, hints=Hints(columns="xypt", time_unit="us", sensor=str(SENSOR))) == EVENTS


def test_two_layouts_in_one_file_are_rejected_unless_equal(made: Callable[..., Path], tmp_path: Path) -> None:
    with raises(FormatError, "dsec", "m3ed"):
        read(made(dsec, m3ed))
    write(tmp_path / "b.h5", EVENTS)
    assert read(tmp_path / "b.h5") == EVENTS


def test_contradictory_sensor_sizes_are_rejected(made: Callable[..., Path]) -> None:
    def fill(file: h5py.File) -> None:
        dsec(file)
        file.attrs["width"], file.attrs["height"] = 12, 8

    with raises(FormatError, "12x8", "12x7"):
        read(made(fill))


def put(file: h5py.File, name: str, value: object) -> None:
    del file[name]
    file[name] = value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f["events/x"].resize((19,)), "columns"),
        (lambda f: put(f, "events/x", h5py.ExternalLink("b.h5", "/events/x")), ("x", "link")),
        (lambda f: put(f, "events/x", h5py.SoftLink("/events/y")), ("x", "link")),
        (lambda f: put(f, "events", h5py.ExternalLink("b.h5", "/events")), ("events", "link")),
        (lambda f: put(f, "events/x", [b"a"] * len(EVENTS)), ("events/x", "object")),
        (lambda f: put(f, "events/x", np.array(["a"] * len(EVENTS), object)), ("events/x", "object")),
        (lambda f: put(f, "events/x", np.zeros((len(EVENTS), 2), int)), "(2000, 2)"),
        (lambda f: put(f, "events/x", 1j * EVENTS.x), "complex128"),
        (lambda f: put(f, "t_offset", 2.5), ("t_offset", "2.5")),
        (lambda f: put(f, "events/width", 0), ("sensor", "width", "0")),
    ],
)
def test_files_without_recording_are_rejected(
    made: Callable[..., Path], change: Callable[..., None], message: object
) -> None:
    path = made(dsec)
    write(path.with_name("b.h5"), EVENTS)
    with h5py.File(path, "a") as file:
        change(file)
    with raises(FormatError, message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_links_to_other_files_are_not_followed(made: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(8 * len(EVENTS)))
    write(tmp_path / "b.h5", EVENTS)

    def external(file: h5py.File) -> None:
        dsec(file)
        del file["events/t"]
        file.create_dataset("events/t", (len(EVENTS),), "i8", external=[(tmp_path / "secret", 0, h5py.h5f.UNLIMITED)])

    def virtual(file: h5py.File) -> None:
        dsec(file)
        del file["events/t"]
        layout = h5py.VirtualLayout((len(EVENTS),), "i8")
        layout[:] = h5py.VirtualSource(tmp_path / "b.h5", "events/t", (len(EVENTS),))
        file.create_virtual_dataset("events/t", layout)

    for fill in (external, virtual):
        with raises(FormatError, "events/t"):
            read(made(fill))


def test_huge_sizes_are_rejected_or_read_in_blocks(made: Callable[..., Path]) -> None:
    def huge_chunks(file: h5py.File) -> None:
        for name in "xytp":
            file.create_dataset(f"events/{name}", (10,), np.int64, maxshape=(None,), chunks=(1 << 30,))

    with raises(FormatError, 1 << 33):
        read(made(huge_chunks))

    def endless(file: h5py.File) -> None:
        columns(file, "events")
        for name in "xytp":
            file[f"events/{name}"].resize((1792,))  # complete chunks
            file[f"events/{name}"].resize((10**12,))

    path = made(endless)
    good: list[Events] = []
    with raises(CorruptionError, "1792") as caught:
        good.extend(iterate(path, hints=Hints(sensor=str(SENSOR))))
    assert caught.value.lost == f"{10**12 - 1792} events"
    assert concatenate(good, SENSOR).t.tolist() == EVENTS.t[:1792].tolist()


@pytest.mark.parametrize("compression", ["gzip", "lzf", None])
def test_missing_chunk_is_corruption_not_zeros(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name in "xytp":
            column = file.create_dataset(f"events/{name}", (1000,), np.int64, chunks=(100,), compression=compression)
            column[: 300 if name == "y" else 1000] = 1
            column[400:] = 1
    good: list[Events] = []
    with raises(CorruptionError, "300"):
        good.extend(iterate(path, hints=Hints(sensor=str(SENSOR))))
    assert sum(map(len, good)) == 300
    with raises(CorruptionError, "300"):
        info(path, hints=Hints(sensor=str(SENSOR)))


def test_oversized_chunk_is_corruption(tmp_path: Path) -> None:
    import zlib

    path = tmp_path / "a.h5"
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(1 << 24)) for _ in range(32)) + packer.flush()
    write(path, EVENTS)
    with h5py.File(path, "a") as file:
        file["events/t"].id.write_direct_chunk((0,), bomb)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with raises(CorruptionError, "event 0", "524288"):
        read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize("stored", [{"compression": "gzip"}, {"fletcher32": True}, {"compression": "lzf"}])
def test_events_before_a_corrupted_chunk_are_read(tmp_path: Path, stored: dict[str, Any]) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name in "xytp":
            column = getattr(EVENTS, name)
            file.create_dataset(f"events/{name}", data=column, chunks=(100,), shuffle=True, **stored)
        place = file["events/y"].id.get_chunk_info_by_coord((700,))
    content = bytearray(path.read_bytes())
    middle = slice(place.byte_offset + place.size // 2, place.byte_offset + place.size)
    content[middle] = bytes(255 - byte for byte in content[middle])
    path.write_bytes(content)
    good: list[Events] = []
    with raises(CorruptionError, "event 700"):
        good.extend(iterate(path, hints=Hints(sensor=str(SENSOR))))
    assert concatenate(good, SENSOR).t.tolist() == EVENTS.t[:700].tolist()


def global_heaps(content: bytes) -> list[range]:
    """Return positions of the global heaps (strings of variable length); HDF5 2.0 may hang on corruption there."""
    places = [match.start() for match in re.finditer(b"GCOL", content)]
    return [range(place, place + int.from_bytes(content[place + 8 : place + 16], "little")) for place in places]


def test_flipped_bits_give_events_or_one_error(tmp_path: Path) -> None:
    path, flipped = tmp_path / "a.h5", tmp_path / "b.h5"
    write(path, EVENTS)
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    heaps = global_heaps(content)
    places = [place for place in rng.integers(0, len(content), 70).tolist() if not any(place in h for h in heaps)]
    unnamed: list[str] = []
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        flipped.write_bytes(changed)
        try:
            concatenate(iterate(flipped, hints=Hints(sensor=str(SENSOR))), SENSOR)
            info(flipped, hints=Hints(sensor=str(SENSOR)))
            read(flipped, 40000, 50000, hints=Hints(sensor=str(SENSOR)))
        except DvspipeError as error:
            unnamed += [str(error)] if str(flipped) not in str(error) else []
    assert not unnamed


def test_sequence_as_an_attribute_is_corruption(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", random_events(0, 10))
    with h5py.File(tmp_path / "a.h5", "a") as file:  # from a text by one flipped bit
        del file.attrs["t_unit"]
        value = np.empty(1, object)
        value[0] = np.frombuffer(b"us", "u1")
        file.attrs.create("t_unit", value, (1,), h5py.vlen_dtype("u1"))
    with raises(FormatError, "a.h5", "t_unit", "sequence"):
        info(tmp_path / "a.h5")


def test_real_file_with_a_flipped_bit_does_not_end_the_process(test_data: Path) -> None:
    code = "import sys; from dvspipe.formats import info; info(sys.argv[1])"
    command = [sys.executable, "-c", code, str(test_data / "broken" / "attribute.h5")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert mentions(done.stderr.splitlines()[-1], "FormatError", "attribute.h5", "t_unit")


def test_part_is_found_without_reading_the_rest(made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path, chunks = made(dsec), []
    content = storage.StoredRows._read_content
    monkeypatch.setattr(storage.StoredRows, "_read_content", lambda stored, k: chunks.append(k) or content(stored, k))
    assert read(path, 90_000, 90_500) == EVENTS.slice_time(90_000, 90_500)
    assert set(chunks) <= {3, 5, 6, 7}  # of 8; times are found by bisection


def test_corrupted_time_during_search_of_a_part_raises(made: Callable[..., Path]) -> None:
    path = made(m3ed)
    with h5py.File(path, "a") as file:
        file["prophesee/left/t"].id.write_direct_chunk((1024,), b"damaged")
    assert len(read(path, 0, 5000)) == len(EVENTS.slice_time(0, 5000))
    with raises(CorruptionError, "event 1024"):
        read(path, 60_000, 90_000)


def test_missing_filter_suggests_installing_it(made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    hdf5plugin = pytest.importorskip("hdf5plugin", reason="the extra hdf5plugin is not installed")

    def fill(file: h5py.File) -> None:
        for name in "xytp":
            file.create_dataset(f"events/{name}", data=getattr(EVENTS, name), **hdf5plugin.Blosc(cname="zstd"))

    path = made(fill)
    assert read(path, hints=Hints(sensor=str(SENSOR))) == EVENTS
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with raises(FormatError, "events/t", "blosc", "hdf5plugin"):
        read(path)


@pytest.mark.skipif(h5py.h5z.filter_avail(storage.ECF), reason="Prophesee's plugin is installed")
def test_file_compressed_by_prophesee_names_the_plugin_to_install(made: Callable[..., Path]) -> None:
    def fill(file: h5py.File) -> None:
        prophesee(file)
        table = file["CD/events"]
        properties = table.id.get_create_plist()
        properties.set_filter(36559, h5py.h5z.FLAG_OPTIONAL)  # HDF5 refuses to write with a filter that is missing
        compressed = h5py.h5d.create(file["CD"].id, b"ecf", table.id.get_type(), table.id.get_space(), properties)
        compressed.write_direct_chunk((0,), b"compressed")
        file.move("CD/events", "plain")
        file.move("CD/ecf", "CD/events")

    path = made(fill)
    for use in (read, info):
        with raises(FormatError, "CD/events", "Prophesee", "ECF", "36559", "hdf5_ecf", "HDF5_PLUGIN_PATH") as caught:
            use(path)
        assert len(str(caught.value).splitlines()) == 1


def test_decompression_equals_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    rng = np.random.default_rng(0)
    types = [np.bool_, np.int8, "<u2", ">u2", ">i4", "<f4", ">f8", np.int64, np.dtype([("x", "<u2"), ("t", "<i8")])]
    with h5py.File(path, "w") as file:
        for number, dtype in enumerate(types):
            for shuffle in (False, True):
                data = np.frombuffer(rng.bytes(1000 * np.dtype(dtype).itemsize), dtype)  # type: ignore[call-overload]
                data = data.view(np.uint8) % 2 == 1 if dtype is np.bool_ else data
                file.create_dataset(f"{number}{shuffle}", data=data, chunks=(64,), compression="gzip", shuffle=shuffle)
        file.create_dataset("table", data=rng.integers(0, 99, (1000, 4)), chunks=(64, 4), compression="gzip")
        file.create_dataset("split", data=rng.integers(0, 99, (1000, 4)), chunks=(64, 2), compression="gzip")
    with h5py.File(path) as file:
        for name, dataset in file.items():
            stored = storage.StoredRows(dataset, os.path.getsize(path))
            assert stored.available >= 1000
            assert stored._inflated == (name != "split"), name
            for start, stop in ((0, 1000), (64, 128), (63, 65), (999, 1000), (5, 5)):
                ours, theirs = stored.read(start, stop), dataset[start:stop]
                assert ours.dtype.itemsize == theirs.dtype.itemsize
                with ThreadPoolExecutor(2) as threads:
                    assert stored.read(start, stop, threads).tobytes() == ours.tobytes()
                assert ours.astype(theirs.dtype).tobytes() == theirs.tobytes()


def test_hdf5_inside_gzip_is_rejected(tmp_path: Path) -> None:
    import gzip

    write(tmp_path / "a.h5", EVENTS)
    (tmp_path / "a.h5.gz").write_bytes(gzip.compress((tmp_path / "a.h5").read_bytes()))
    with raises(FormatError, "a.h5.gz", "gzip"):
        read(tmp_path / "a.h5.gz")


def test_real_file_equals_its_text_export(test_data: Path) -> None:
    folder = test_data / "recordings"
    rows = np.loadtxt(folder / "evlibrary_event.txt")
    events = read(folder / "evlibrary_event.hdf5", hints=Hints(sensor="346x260"))
    assert events.t.tolist() == np.rint(rows[:, 0] * 1e6).astype(int).tolist()
    assert np.array_equal(np.stack([events.y, events.x, events.p], 1), rows[:, 1:])


def test_written_file_is_readable_by_tonic(tmp_path: Path) -> None:
    from tonic.datasets import DSEC

    events = EVENTS.shift_time(51_648_500_652)
    folder = tmp_path / "DSEC" / "thun_00_a" / "events_left"
    folder.mkdir(parents=True)
    write(folder / "events.h5", events)
    dataset = DSEC.__new__(DSEC)  # its constructor starts a download
    dataset.location_on_system, dataset.recording_selection = str(tmp_path / "DSEC"), ["thun_00_a"]
    dataset.data_selection, dataset.target_selection = ["events_left"], []
    dataset.transform = dataset.target_transform = dataset.transforms = None
    (data, *_), *_ = dataset[0]
    theirs = data["events_left"]
    for name in "xytp":
        assert np.array_equal(theirs[name], getattr(events, name))


def test_files_are_exchanged_with_eventcv(tmp_path: Path) -> None:
    eventcv = pytest.importorskip("eventcv", reason="eventcv is not installed")
    table = np.stack([EVENTS.x, EVENTS.y, EVENTS.t, EVENTS.p], 1).astype(np.int64)
    eventcv.save(eventcv.from_numpy(table, time_unit="us", sensor_size=(12, 7)), str(tmp_path / "theirs.h5"))
    assert read(tmp_path / "theirs.h5") == EVENTS
    write(tmp_path / "ours.h5", EVENTS)
    theirs = eventcv.load(str(tmp_path / "ours.h5"), time_unit="us", sensor_size=(12, 7)).numpy()
    assert np.array_equal(np.asarray(theirs)[:, :3], table[:, :3])
    assert np.array_equal(np.asarray(theirs)[:, 3] > 0, EVENTS.p)


def test_files_are_exchanged_with_evutils(tmp_path: Path) -> None:
    evutils_io = pytest.importorskip("evutils.io", reason="evutils is not installed")
    pytest.importorskip("hdf5plugin", reason="evutils needs the extra hdf5plugin for HDF5; not installed")
    types = pytest.importorskip("evutils.types")
    events = EVENTS.shift_time(3_000_000)
    array = types.EventArray(
        events.t, events.x.astype(np.uint16), events.y.astype(np.uint16), events.p.astype(np.uint8)
    )
    with evutils_io.EventWriter(str(tmp_path / "theirs.h5"), width=12, height=7) as writer:
        writer.write(array)
    assert read(tmp_path / "theirs.h5") == events
    assert read(tmp_path / "theirs.h5", 3_040_000, 3_050_000) == events.slice_time(3_040_000, 3_050_000)
    write(tmp_path / "ours.h5", events)
    with evutils_io.EventReader(str(tmp_path / "ours.h5")) as reader:
        theirs = reader.read_all()
    for name in "xytp":
        assert np.array_equal(theirs[name], getattr(events, name))
