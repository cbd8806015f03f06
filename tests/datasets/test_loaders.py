"""PyTorch data sets and loaders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SENSOR, random_events
from facts import mentions, raises
from torch.utils.data import DataLoader

from dvspipe.base.errors import DataError, DvspipeError
from dvspipe.datasets import Cache, DataConfig, SpikeTensors, TensorSettings, from_recordings, open_dataset
from dvspipe.datasets.augmentation import VaryConfig
from dvspipe.datasets.loaders import SpikeDataset, loader
from dvspipe.encoding import BinConfig, encode
from dvspipe.events import Events, SensorSize
from dvspipe.formats import write

BINS = BinConfig(steps=4, step_us=20_000)
RECORDINGS = [random_events(seed, 200, span_us=40_000 * (1 + seed)) for seed in range(5)]
LABELS = (0, 1, 1, 0, 2)


def given(**settings: Any) -> SpikeDataset:
    return SpikeDataset(from_recordings(zip(RECORDINGS, LABELS, strict=True)), BINS, **settings)


def write_folder(folder: Path) -> Path:
    for seed in range(8):
        write(folder / "ab"[seed % 2] / f"{seed}.h5", random_events(seed, 100))
    return folder


def test_items_are_tensors_and_labels_of_the_recordings() -> None:
    dataset = given()
    for number, (events, label) in enumerate(zip(RECORDINGS, LABELS, strict=True)):
        for _ in range(2):  # the second pass reads the cache
            spikes, found = dataset[number]
            assert np.array_equal(spikes.numpy(), encode(events, BINS))
            assert found == label
    assert (len(dataset), dataset.classes, dataset.labels.tolist()) == (5, ("0", "1", "2"), [*LABELS])
    with pytest.raises(IndexError):
        dataset[5]
    for (spikes, labels), (expected, wanted) in zip(loader(dataset, 2), DataLoader(dataset, 2), strict=True):
        assert torch.equal(spikes, expected.transpose(0, 1))
        assert torch.equal(labels, wanted)


def test_recordings_longer_than_the_steps_are_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    short = BinConfig(steps=2, step_us=1000)
    data = from_recordings(zip(RECORDINGS, LABELS, strict=True))
    dataset = SpikeDataset(data, short)
    for _ in range(2):
        list(loader(dataset, 1))
    [record] = caplog.records
    assert mentions(record.message, data.samples[0].name, "2 steps of 1 ms", "by = recording")


def test_labels_may_be_class_names() -> None:
    for labels, classes, order, numbers in (
        (["wave", "clap", "wave"], None, ("clap", "wave"), [1, 0, 1]),
        (["wave", "clap", "wave"], ["wave", "clap", "rest"], ("wave", "clap", "rest"), [0, 1, 0]),
        ([0, 1, 0], ["wave", "clap", "rest"], ("wave", "clap", "rest"), [0, 1, 0]),
    ):
        data = from_recordings(zip(RECORDINGS, labels, strict=False), classes=classes)
        assert (data.classes, [sample.label for sample in data.train]) == (order, numbers)


def test_folder_settings_and_data_set_give_the_tensors_of_training(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    config = DataConfig(root=folder, cache=tmp_path / "cache")
    data = open_dataset(config, BINS)
    trained = SpikeTensors(data.train, TensorSettings(BINS), cache=Cache(tmp_path / "cache"))
    stored = sorted((tmp_path / "cache").rglob("*"))
    for source in (folder, str(folder), config, data):
        dataset = SpikeDataset(source, BINS, part="train")
        assert [str(sample) for sample in dataset.samples] == [*map(str, data.train)]
        for number, (spikes, label) in enumerate(dataset[each] for each in range(len(dataset))):
            assert np.array_equal(spikes.numpy(), trained[number][0])
            assert label == trained.labels[number]
    assert sorted((tmp_path / "cache").rglob("*")) == stored  # both share one cache
    assert [len(SpikeDataset(config, BINS, part=part)) for part in (None, *data.parts)] == [8, 4, 2, 2]


def test_without_cache_nothing_is_written(tmp_path: Path) -> None:
    dataset = SpikeDataset(DataConfig(root=write_folder(tmp_path), cache="none"), BINS)
    assert torch.equal(dataset[3][0], dataset[3][0])
    assert {path.suffix for path in tmp_path.rglob("*.*")} == {".h5"}


def test_augmentation_uses_the_torch_generator(tmp_path: Path) -> None:
    config = DataConfig(root=write_folder(tmp_path), views=3)
    dataset = SpikeDataset(config, BINS, part="train")
    expected = SpikeTensors(dataset.samples, TensorSettings(BINS, 3, vary=config.part(VaryConfig)))[0]
    drawn = set()
    for seed in range(12):
        torch.manual_seed(seed)
        spikes = dataset[0][0].numpy()
        drawn.add(next(view for view in range(3) if np.array_equal(spikes, expected[view])))
    assert drawn == {0, 1, 2}
    assert np.array_equal(SpikeDataset(config, BINS)[0][0], expected[0])


def test_invalid_data_sets_are_reported(tmp_path: Path) -> None:
    for wrong, said in (
        (lambda: SpikeDataset(tmp_path / "nowhere"), "nowhere"),
        (lambda: given(part="test"), "part test"),
        (lambda: given(part="training"), "training"),
        (lambda: from_recordings([]), ()),
        (lambda: from_recordings(["a.h5"]), "'a.h5'"),  # type: ignore[list-item]
        (lambda: from_recordings([(RECORDINGS[0], -1)]), "-1"),
        (lambda: from_recordings([(RECORDINGS[0], "wave")], classes=["clap"]), ("recording 0", "'wave'", "'clap'")),
        (lambda: from_recordings([(RECORDINGS[0], "wave"), (RECORDINGS[1], 1)]), ("'wave'", 1)),
        (lambda: from_recordings([(tmp_path / "a.h5", 0)]), "a.h5"),
    ):
        with raises(DvspipeError, said):
            wrong()
    other = random_events(9, 20, SensorSize(width=9, height=9))
    mixed = SpikeDataset(from_recordings([(RECORDINGS[0], 0), (other, 1), (Events.empty(SENSOR), 1)]), BINS)
    with raises(DataError, "recording 1"):
        mixed[1]
    with raises(DataError, "recording 2"):
        mixed[2]
