"""DVS128 Gesture in both common layouts, and N-MNIST, from small files in their native formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import random_events
from encoders import encode_aedat3
from facts import mentions, raises

from dvspipe.base.errors import DataError
from dvspipe.base.gestures import GESTURES
from dvspipe.datasets import DataConfig, open_dataset
from dvspipe.datasets.config import DataKind
from dvspipe.events import SensorSize

SENSOR = SensorSize(width=128, height=128)


def save_ibm(root: Path, users: tuple[int, ...], lists: bool = True) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for user in users:
        name = f"user{user:02}_led"
        (root / f"{name}.aedat").write_bytes(encode_aedat3(random_events(user, 900, SENSOR, 1_100_000)))
        rows = "".join(f"{k},{(k - 1) * 100_000},{k * 100_000}\n" for k in range(1, 12))
        (root / f"{name}_labels.csv").write_text(f"class,startTime_usec,endTime_usec\n{rows}")
    if lists:
        for file, chosen in (("trials_to_train.txt", users[:-1]), ("trials_to_test.txt", users[-1:])):
            (root / file).write_text("".join(f"user{user:02}_led.aedat\n" for user in chosen))


def save_tonic(root: Path, users: tuple[int, ...], part: str = "ibmGestureTrain") -> None:
    for user in users:
        folder = root / part / f"user{user:02}_led"
        folder.mkdir(parents=True)
        for label in range(11):
            events = random_events(100 * user + label, 60, SENSOR, 1_500_000)
            t_ms = events.t / 1000 + 0.0004
            np.save(folder / f"{label}.npy", np.stack([events.x, events.y, events.p, t_ms], axis=1))


def test_ibm_recordings_are_cut_by_labels_and_divided_by_lists(tmp_path: Path) -> None:
    save_ibm(tmp_path / "DvsGesture", (1, 2, 3, 24))
    for root in (tmp_path, tmp_path / "DvsGesture"):
        data = open_dataset(DataConfig(data="dvsgesture", root=root))
        assert (data.classes, data.sensor) == (GESTURES, SENSOR)
        assert [len({sample.group for sample in part}) for part in data.parts.values()] == [2, 1, 1]
        assert mentions(data.title, "IBM", "11 test clips", 1)
    for sample in data.test:
        start_us = 100_000 * sample.label
        assert sample.load() == random_events(24, 900, SENSOR, 1_100_000).between(start_us, start_us + 100_000)


def test_users_after_23_are_tested_without_lists(tmp_path: Path) -> None:
    save_ibm(tmp_path, (1, 23, 24, 29), lists=False)
    data = open_dataset(DataConfig(data="dvsgesture", root=tmp_path))
    assert {sample.group for sample in data.test} == {"user24", "user29"}


def test_tonic_times_are_fractions_of_milliseconds(tmp_path: Path) -> None:
    save_tonic(tmp_path / "DVSGesture", (1, 2, 3))
    config = DataConfig(data="dvsgesture", root=tmp_path)
    divided = open_dataset(config)  # without a folder of test recordings
    assert [len({sample.group for sample in part}) for part in divided.parts.values()] == [1, 1, 1]
    assert "test clips" not in divided.title
    save_tonic(tmp_path / "DVSGesture", (24,), "ibmGestureTest")
    data = open_dataset(config)
    assert mentions(data.title, "Tonic", "11 test clips", 1)
    assert [len({sample.group for sample in part}) for part in data.parts.values()] == [2, 1, 1]
    for sample in data.test:
        assert sample.load() == random_events(2400 + sample.label, 60, SENSOR, 1_500_000)


def test_invalid_labels_and_names_are_reported(tmp_path: Path) -> None:
    save_ibm(tmp_path / "ibm", (1, 2, 24))
    (tmp_path / "ibm" / "user01_led_labels.csv").write_text("class,startTime_usec,endTime_usec\n12,1,2\n")
    with raises(DataError, "user01_led_labels.csv", "12", "1", "11"):
        open_dataset(DataConfig(data="dvsgesture", root=tmp_path / "ibm"))
    save_tonic(tmp_path / "tonic", (1,))
    (tmp_path / "tonic" / "ibmGestureTrain" / "user01_led" / "11.npy").write_bytes(b"")
    with raises(DataError, "11.npy", "0", "10"):
        open_dataset(DataConfig(data="dvsgesture", root=tmp_path / "tonic"))


def test_where_nothing_is_the_places_are_named(tmp_path: Path) -> None:
    with raises(DataError, "DvsGesture/user01_fluorescent.aedat", "ibmGestureTrain", "download"):
        open_dataset(DataConfig(data="dvsgesture", root=tmp_path))
    with raises(DataError, "Train/0/00002.bin", "download"):
        open_dataset(DataConfig(data="nmnist", root=tmp_path))


@pytest.mark.parametrize(("kind", "name"), [("nmnist", "NMNIST"), ("dvsgesture", "DVSGesture")])
def test_download_uses_tonic_and_its_failure_names_file_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: DataKind, name: str
) -> None:
    from tonic import datasets

    requested: list[tuple[str, bool]] = []

    def refuse(self: Any) -> None:
        requested.append((self.location_on_system, self.train))
        raise OSError("no route to host")

    monkeypatch.setattr(getattr(datasets, name), "download", refuse)
    folder = tmp_path / "new"
    with raises(DataError, name, "downloaded", "new/"):
        open_dataset(DataConfig(data=kind, root=folder, download=True))
    assert requested == [(str(folder / name), True)]
