"""Events that are kept from one opening of a data set to the next."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dvspipe.datasets import DataConfig, DataSet, DecodedEvents, cache, open_dataset
from dvspipe.datasets.config import DataKind
from dvspipe.events import Events, SensorSize
from dvspipe.formats import read, write

SENSOR = SensorSize(width=12, height=7)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is read from files: paths and times."""
    calls: list[Any] = []

    def spy(*given: Any, **named: Any) -> Events:
        calls.append(given)
        return read(*given, **named)

    monkeypatch.setattr("dvspipe.datasets.folders.read", spy)
    return calls


def write_folder(root: Path, labels: bool = False) -> DataConfig:
    """Writes six recordings of half a second; with labels, each has a label file with two classes."""
    rng = np.random.default_rng(0)
    for number in range(6):
        t = np.sort(rng.integers(0, 500_000, 300))
        path = root / ("a" if labels or number % 2 else "b") / f"clip{number}x.h5"
        write(path, Events(t, rng.integers(0, 12, 300), rng.integers(0, 7, 300), rng.integers(0, 2, 300), SENSOR))
        if labels:
            path.with_name(f"{path.stem}_labels.csv").write_text(
                "class,startTime_usec,endTime_usec\nleft,0,200000\nright,200000,400000\n"
            )
    kind: DataKind = "labelled" if labels else "folder"
    return DataConfig(data=kind, root=root, cache="none", validation=0.3, test=0.3)


def load(data: DataSet) -> dict[str, list[Any]]:
    contents = {sample.name: sample.read_content() for sample in data.samples}
    return {
        name: [found.t.tolist(), found.x.tolist(), found.p.tolist()]
        for name, found in contents.items()
        if isinstance(found, Events)
    }


@pytest.mark.parametrize("labels", [False, True])
def test_a_recording_is_decoded_once_for_several_data_sets(labels: bool, tmp_path: Path, reads: list[Any]) -> None:
    config, kept = write_folder(tmp_path, labels), DecodedEvents()
    first = load(open_dataset(config, decoded=kept))
    assert len(reads) == len(first) == (12 if labels else 6)
    assert load(open_dataset(config.model_copy(update={"group": r"clip\d"}), decoded=kept)) == first
    assert len(reads) == len(first)
    assert load(open_dataset(config)) == first
    assert len(reads) == 2 * len(first)


def test_windows_are_parts_of_decoded_recordings(tmp_path: Path, reads: list[Any]) -> None:
    config, kept = write_folder(tmp_path), DecodedEvents()
    load(open_dataset(config, decoded=kept))
    windows = config.model_copy(update={"window_us": 100_000})
    found = load(open_dataset(windows, decoded=kept))
    assert len(reads) == 6
    assert len(found) == 30
    assert found == load(open_dataset(windows))


def test_other_recordings_are_decoded_again(tmp_path: Path, reads: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    config = write_folder(tmp_path)
    monkeypatch.setattr(cache, "MAX_DECODED_BYTES", 2 * 300 * 13)  # two recordings
    kept = DecodedEvents()
    first = load(open_dataset(config, decoded=kept))
    assert load(open_dataset(config, decoded=kept)) == first
    assert len(reads) == 6 + 4
    kept.clear()
    load(open_dataset(config, decoded=kept))
    assert len(reads) == 6 + 4 + 6


def test_a_changed_recording_is_decoded_again(tmp_path: Path, reads: list[Any]) -> None:
    config, kept = write_folder(tmp_path), DecodedEvents()
    load(open_dataset(config, decoded=kept))
    write(tmp_path / "a" / "clip1x.h5", Events([1], [2], [3], [True], SENSOR), overwrite=True)
    assert load(open_dataset(config, decoded=kept)) == load(open_dataset(config))
    assert len(reads) == 6 + 1 + 6


def test_processes_start_without_events(tmp_path: Path, reads: list[Any]) -> None:
    data = open_dataset(write_folder(tmp_path), decoded=DecodedEvents())
    load(data)
    packed = pickle.dumps(data.train[0])
    assert len(packed) < 300 * 13
    pickle.loads(packed).read_content()
    assert len(reads) == 6 + 1
