from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import random_events

from dvspipe.datasets import DataConfig, DataSet, encode_samples, open_dataset
from dvspipe.encoding import BinConfig, encode_events
from dvspipe.errors import DataError
from dvspipe.events import Events, SensorSize
from dvspipe.formats import write
from dvspipe.synthesis import GESTURES, record_gesture

BINS = BinConfig(steps=3, step_us=40_000)


def save_folder(root: Path, classes: tuple[str, ...] = ("b", "a"), people: int = 5, each: int = 2) -> None:
    for label, name in enumerate(classes):
        for person in range(people):
            for clip in range(each):
                write(root / name / f"user{person:02}_{clip}.h5", random_events(100 * label + 10 * person + clip, 50))


def save_nmnist(root: Path, part: str, digits: range, each: int) -> None:
    for digit in digits:
        folder = root / part / str(digit)
        folder.mkdir(parents=True)
        for number in range(each):
            content = bytes([digit, number, 0x80, 0, digit]) * 3
            (folder / f"{10 * digit + number:05}.bin").write_bytes(content)


def names(data: DataSet) -> list[set[str]]:
    return [{sample.name for sample in part} for part in (data.train, data.validation, data.test)]


def test_nmnist_is_read_in_part_with_the_digits_as_labels(tmp_path: Path) -> None:
    save_nmnist(tmp_path, "Train", range(10), 4)
    save_nmnist(tmp_path, "Test", range(3), 2)
    data = open_dataset(DataConfig(kind="nmnist", root=tmp_path), seed=0)
    assert data.classes == tuple("0123456789")
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 10, 6)
    assert not data.synthetic
    for sample in (*data.train, *data.validation, *data.test):
        assert sample.label == int(Path(sample.name).parent.name)
    assert "Test" in data.test[0].name
    events = data.train[0].load()
    assert events.sensor == SensorSize(width=34, height=34)
    assert len(events) == 3


def test_tonics_folder_of_nmnist_is_found(tmp_path: Path) -> None:
    save_nmnist(tmp_path / "NMNIST", "Train", range(10), 3)
    data = open_dataset(DataConfig(kind="nmnist", root=tmp_path), seed=0)
    assert (len(data.train), len(data.validation), len(data.test)) == (
        10,
        10,
        10,
    )  # a share, but at least one of each class


def test_the_classes_of_a_folder_are_its_names_in_order(tmp_path: Path) -> None:
    save_folder(tmp_path)
    data = open_dataset(DataConfig(root=tmp_path), seed=0)
    assert data.classes == ("a", "b")
    assert all(data.classes[sample.label] == Path(sample.name).parent.name for sample in data.train)
    assert data.sensor == SensorSize(width=12, height=7)


def test_no_group_is_in_two_parts_and_the_division_is_seeded(tmp_path: Path) -> None:
    save_folder(tmp_path)
    config = DataConfig(root=tmp_path, group=r"^user\d+")
    data = open_dataset(config, seed=1)
    groups = [{sample.group for sample in part} for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in groups] == [3, 1, 1]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    assert names(open_dataset(config, seed=1)) == names(data)
    assert any(names(open_dataset(config, seed=seed)) != names(data) for seed in range(2, 6))


def test_a_test_folder_is_the_test_part(tmp_path: Path) -> None:
    save_folder(tmp_path / "train")
    save_folder(tmp_path / "test", people=1)
    data = open_dataset(DataConfig(root=tmp_path), seed=0)
    assert len(data.test) == 4
    assert all("/test/" in sample.name for sample in data.test)


def test_an_unknown_class_folder_is_named(tmp_path: Path) -> None:
    save_folder(tmp_path / "train")
    save_folder(tmp_path / "test", classes=("a", "zebra"))
    with pytest.raises(DataError, match="zebra: an unknown class folder, expected one of a, b"):
        open_dataset(DataConfig(root=tmp_path), seed=0)
    save_folder(tmp_path / "gestures", classes=("hand_clapping", "juggling"))
    with pytest.raises(DataError, match="juggling: an unknown class folder, expected one of hand_clapping"):
        open_dataset(DataConfig(kind="gestures", root=tmp_path / "gestures"), seed=0)


def test_gestures_in_a_folder_keep_ibms_order(tmp_path: Path) -> None:
    save_folder(tmp_path, classes=("arm_roll", "hand_clapping"))
    data = open_dataset(DataConfig(kind="gestures", root=tmp_path), seed=0)
    assert {sample.label for sample in data.train} == {0, 7}
    assert data.classes == GESTURES


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "nmnist"}, "data.root is missing"),
        ({"kind": "nmnist", "root": "."}, "holds no folder Train"),
        ({"root": "nowhere"}, "no such folder"),
        ({"root": "."}, "0 class folders, expected at least 2"),
        ({"root": "empty"}, "a: holds no recording"),
        ({"root": "ungrouped", "group": r"^person"}, "does not match data.group"),
    ],
)
def test_a_folder_of_another_layout_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if config.get("root") == "empty":
        for name in "ab":
            (tmp_path / "empty" / name).mkdir(parents=True)
    if config.get("root") == "ungrouped":
        save_folder(tmp_path / "ungrouped")
    with pytest.raises(DataError, match=message):
        open_dataset(DataConfig.model_validate(config), seed=0)


def test_samples_are_encoded_as_they_are_counted(tmp_path: Path) -> None:
    save_folder(tmp_path)
    data = open_dataset(DataConfig(root=tmp_path), seed=0)
    spikes, labels = encode_samples(data.train, BINS)
    assert spikes.shape == (len(data.train), 1, 3, 2, 7, 12)
    for number, sample in enumerate(data.train):
        assert np.array_equal(spikes[number, 0], encode_events(sample.load(), BINS))
        assert labels[number] == sample.label


def test_further_views_have_fewer_events_and_the_first_is_untouched(tmp_path: Path) -> None:
    save_folder(tmp_path)
    config = DataConfig(root=tmp_path, views=3, drop=0.5)
    data = open_dataset(config, seed=0)
    plain, _ = encode_samples(data.train, BINS)
    spikes, _ = encode_samples(data.train, BINS, views=3, config=config, seed=5)
    again, _ = encode_samples(data.train, BINS, views=3, config=config, seed=5)
    assert np.array_equal(spikes[:, :1], plain)
    assert np.array_equal(spikes, again)
    assert np.all(spikes[:, 1:] <= plain)
    assert spikes[:, 1:].sum() < 2 * plain.sum()
    assert not np.array_equal(spikes[:, 1], spikes[:, 2])


def test_an_empty_or_foreign_recording_is_named(tmp_path: Path) -> None:
    save_folder(tmp_path)
    write(tmp_path / "a" / "zz.h5", Events.empty(SensorSize(width=12, height=7)))
    data = open_dataset(DataConfig(root=tmp_path, validation=0.01, test=0.01), seed=0)
    samples = [*data.train, *data.validation, *data.test]
    with pytest.raises(DataError, match="zz.h5: the recording holds no events"):
        encode_samples(samples, BINS)
    write(tmp_path / "a" / "zz.h5", random_events(0, 5, SensorSize(width=9, height=9)), overwrite=True)
    with pytest.raises(DataError, match="zz.h5: comes from another sensor than"):
        encode_samples(samples, BINS)


def test_rendered_gestures_divide_people() -> None:
    data = open_dataset(DataConfig(kind="gestures", train_people=4, test_people=2, clips=1), seed=0)
    assert data.synthetic
    assert (len(data.train), len(data.validation), len(data.test)) == (33, 11, 22)
    assert {sample.group for sample in data.test} == {"person 4", "person 5"}
    sample = data.test[3]
    assert sample.load() == record_gesture(3, person=4, clip=0, seed=0)


def test_processes_give_what_one_does() -> None:
    data = open_dataset(DataConfig(kind="gestures", train_people=2, test_people=1, clips=1), seed=0)
    bins = BinConfig(steps=4, step_us=300_000, downsample=8)
    alone, labels = encode_samples(data.test[:4], bins)
    together, same_labels = encode_samples(data.test[:4], bins, jobs=2)
    assert np.array_equal(alone, together)
    assert np.array_equal(labels, same_labels)
