"""Tonic data sets, read by Tonic from small files in their native layouts."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import encode_idx, random_events
from facts import raises

from dvspipe.base.errors import ConfigError, DataError
from dvspipe.base.gestures import GESTURES
from dvspipe.datasets import DataConfig, DataSet, open_dataset
from dvspipe.datasets.survey import survey
from dvspipe.datasets.tonic import TONIC_LAYOUTS
from dvspipe.events import Events, SensorSize
from dvspipe.formats import write

PER_CLASS = 3
Expected = list[tuple[str, Events]]
"""Class name and events of each recording."""


def make_events(number: int, width: int, height: int, span_us: int = 90_000) -> Events:
    events = random_events(number, 30, SensorSize(width=width, height=height), span_us)
    x, y = events.x.copy(), events.y.copy()
    x[0] = y[0] = 0  # Tonic shifts NCALTECH101 recordings to the origin
    return Events(events.t, x, y, events.p, events.sensor)


def write_speech(root: Path) -> Expected:
    """Write the Spiking Speech Commands."""
    (root / "SSC").mkdir()
    found: Expected = []
    for part in ("train", "valid", "test"):
        with h5py.File(root / "SSC" / f"ssc_{part}.h5", "w") as file:
            clips = [audio(10 * len(found) + number, 700) for number in range(6)]
            for key, column in (("times", [clip.t * 1e-6 for clip in clips]), ("units", [clip.x for clip in clips])):
                stored = file.create_dataset(f"spikes/{key}", (len(clips),), h5py.vlen_dtype(column[0].dtype))
                for number, values in enumerate(column):
                    stored[number] = values
            file["labels"] = np.arange(len(clips), dtype=np.uint16) % 2
            file["extra/keys"], file["extra/speaker"] = [b"null", b"eins"], np.zeros(len(clips), int)
            found += [(("null", "eins")[number % 2], clip) for number, clip in enumerate(clips)]
    return found


def columns(events: Events, order: str) -> np.ndarray:
    return np.stack([getattr(events, name) for name in order], axis=1, dtype=np.int64)


def write_each(
    folders: dict[str, Path], name: str, size: tuple[int, int], save: Callable[[Path, Events], object]
) -> Expected:
    """Write recordings into the folder of each class."""
    found: Expected = []
    for label, folder in folders.items():
        folder.mkdir(parents=True)
        for number in range(PER_CLASS):
            events = make_events(1000 * len(found) + len(str(folder)), *size)
            save(folder / name.format(number), events)
            found.append((label, events))
    return found


def write_cifar(root: Path) -> Expected:
    folders = {name: root / "CIFAR10DVS" / name for name in ("airplane", "frog")}
    return write_each(folders, "cifar10_{}.aedat4", (128, 128), write)


def write_gestures(root: Path) -> Expected:
    found: Expected = []
    for user in (1, 2, 24):
        folder = root / f"DVSGesture/ibmGesture{'Test' if user == 24 else 'Train'}/user{user:02}_led"
        folder.mkdir(parents=True)
        for label in (3, 10, 0):
            events = make_events(100 * user + label, 128, 128)
            events = Events(
                events.t // 1000 * 1000, events.x, events.y, events.p, events.sensor
            )  # Tonic reads them in ms
            np.save(folder / f"{label}.npy", columns(events, "xypt") / (1, 1, 1, 1000))
            found.append((GESTURES[label], events))
    return found


def write_caltech(root: Path) -> Expected:
    folders = {name: root / "NCALTECH101/Caltech101" / name for name in ("wrench", "accordion")}
    return write_each(folders, "image_{:04}.bin", (240, 180), write)


def write_nmnist(root: Path) -> Expected:
    found: Expected = []
    for part in ("Train", "Test"):
        folders = {name: root / "NMNIST" / part / name for name in ("0", "7")}
        found += write_each(folders, "{:05}.bin", (34, 34), write)
    return found


def audio(number: int, channels: int) -> Events:
    rng = np.random.default_rng(number)
    t = np.sort(rng.integers(0, 2**10, 20)) * 15625  # exactly representable in seconds
    return Events(t, rng.integers(0, channels, 20), np.zeros(20, int), np.ones(20, int), (channels, 1))


def write_digits(root: Path) -> Expected:
    (root / "NTIDIGITS18").mkdir()
    found: Expected = []
    with h5py.File(root / "NTIDIGITS18" / "n-tidigits.hdf5", "w") as file:
        for part, speakers in (("train", ("ae", "bd", "cm")), ("test", ("zz",))):
            names = [f"man-{speaker}-{digit}" for speaker in speakers for digit in ("o", "4", "z")]
            for name in names:
                events = audio(len(found), 64)
                file[f"{part}_addresses/{name}"], file[f"{part}_timestamps/{name}"] = events.x, events.t * 1e-6
                found.append((name[-1], events))
            file[f"{part}_addresses/man-two-4z"], file[f"{part}_timestamps/man-two-4z"] = [5], [0.5]
            file[f"{part}_labels"] = [name.encode() for name in [*names, "man-two-4z"]]
    return found


def write_images(root: Path) -> Expected:
    (root / "smnist").mkdir()
    for part, count in (("train", 6), ("t10k", 2)):
        images = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (root / "smnist" / f"{part}-images-idx3-ubyte").write_bytes(encode_idx(images))
        (root / "smnist" / f"{part}-labels-idx1-ubyte").write_bytes(encode_idx(np.arange(count, dtype=np.uint8) % 2))
    return []


WRITERS: dict[str, Callable[[Path], Expected]] = {
    "CIFAR10DVS": write_cifar,
    "DVSGesture": write_gestures,
    "NCALTECH101": write_caltech,
    "NMNIST": write_nmnist,
    "NTIDIGITS18": write_digits,
    "SMNIST": write_images,
    "SSC": write_speech,
}
OPTIONS = {"NTIDIGITS18": {"single_digits": True}}
SIZES = {"CIFAR10DVS": "128x128", "NTIDIGITS18": "64x1", "SSC": "700x1", "SMNIST": "99x1"}
HAS_TEST = set(WRITERS) - {"CIFAR10DVS", "NCALTECH101"}


def opened(name: str, root: Path, **more: Any) -> DataSet:
    config = DataConfig(data="tonic", tonic_name=name, root=root, tonic_options=OPTIONS.get(name, {}), **more)
    return open_dataset(config)


def keys(recordings: Expected) -> list[str]:
    return sorted(repr((name, [getattr(events, key).tolist() for key in "txyp"])) for name, events in recordings)


@pytest.mark.parametrize("name", WRITERS)
def test_tonic_data_set_is_read_from_its_layout(name: str, tmp_path: Path) -> None:
    expected = WRITERS[name](tmp_path)
    data = opened(name, tmp_path)
    assert list(tmp_path.glob(TONIC_LAYOUTS[name].replace("00002", "00000")))
    found = [(data.classes[sample.label], sample.load()) for sample in data.samples]
    if expected:
        assert keys(found) == keys(expected)
        assert {events.sensor for _, events in found} == {data.sensor} == {expected[0][1].sensor}
    assert str(data.sensor) == SIZES.get(name, str(data.sensor))
    assert data.fixed_test == (name in HAS_TEST)
    assert all(data.parts.values())
    assert all("no recordings of" in problem for problem in survey(data).problems)
    again = pickle.loads(pickle.dumps(data.test[0]))
    assert (again.load(), again.version()) == (data.test[0].load(), data.test[0].version())


def test_every_tonic_class_has_a_layout_or_no_classes() -> None:
    from tonic import datasets

    other = {"DAVISDATA", "DSEC", "EBSSA", "MVSEC", "NERDD", "ThreeET_Eyetracking", "TUMVIE", "VPR"}
    assert TONIC_LAYOUTS.keys() | other == set(datasets.__all__)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tonic_name": "NCARS"}, ("NCARS", "Tonic", "NCALTECH101")),
        ({}, ("tonic_name", "NMNIST")),
        ({"tonic_name": "DSEC"}, "DSEC"),
        (
            {"tonic_name": "NMNIST", "tonic_options": {"stabilise": True}},
            ("NMNIST", "stabilise"),
        ),
        ({"tonic_name": "NMNIST", "tonic_options": {"train": True}}, "tonic_options.train"),
        ({"tonic_name": "NMNIST"}, ("NMNIST/Train/0/00002.bin", "download")),
        ({"tonic_name": "SHD"}, ("SHD/shd_train.h5", "download")),
        ({"tonic_name": "DVSLip"}, ("accused", "download")),
        ({"tonic_name": "SMNIST", "tonic_options": {"num_neurons": 4}}, "SMNIST"),
    ],
)
def test_what_is_wrong_or_missing_is_named(
    settings: dict[str, Any], message: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tonic.dataset.Dataset.download", lambda _self: pytest.fail("downloads"))
    with raises((ConfigError, DataError), message):
        open_dataset(DataConfig(data="tonic", root=tmp_path, **settings))


def test_single_digits_require_an_option(tmp_path: Path) -> None:
    write_digits(tmp_path)
    with raises(DataError, "4z"):
        open_dataset(DataConfig(data="tonic", tonic_name="NTIDIGITS18", root=tmp_path))


def test_downloaded_files_are_read_and_prints_stay_off_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def download(self: Any) -> None:
        print("Downloading", self.url)
        write_caltech(tmp_path)

    monkeypatch.setattr("tonic.dataset.Dataset.download", download)
    assert len(opened("NCALTECH101", tmp_path, download=True).samples) == 2 * PER_CLASS
    assert capsys.readouterr().out == ""


def test_people_and_groups_stay_in_one_part(tmp_path: Path) -> None:
    write_gestures(tmp_path)
    data = opened("DVSGesture", tmp_path)
    assert [len({sample.group for sample in part}) for part in data.parts.values()] == [1, 1, 1]
    assert {sample.group for sample in data.test} == {"user 24"}
    assert data.classes == GESTURES
    for number in range(4):
        write_each({"a": tmp_path / f"ASLDVS/Yin{number}/a"}, "{}.mat", (240, 180), lambda path, _: path.touch())
    grouped = opened("ASLDVS", tmp_path, group=r"Yin\d")
    assert sorted(len({sample.group for sample in part}) for part in grouped.parts.values()) == [1, 1, 2]


def test_corrupted_recording_is_reported_by_name(tmp_path: Path) -> None:
    write_gestures(tmp_path)
    file = tmp_path / "DVSGesture/ibmGestureTest/user24_led/0.npy"
    file.write_bytes(b"\x93NUMPY")
    found = survey(opened("DVSGesture", tmp_path)).problems
    assert str(file) in found[0]
    assert "Tonic" in found[0]
