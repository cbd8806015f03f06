"""PyTorch data sets, loaders (with and without workers), and streams."""

from __future__ import annotations

import pickle
import warnings
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SENSOR, random_events
from facts import mentions, raises
from torch.utils.data import DataLoader

import dvspipe.datasets.loaders
import dvspipe.networks.neurons
from dvspipe.base.errors import ConfigError, DataError, DvspipeError, EventError, FileError
from dvspipe.datasets import Cache, DataConfig, SpikeTensors, TensorSettings, from_recordings, from_tonic, open_dataset
from dvspipe.datasets.augmentation import VaryConfig
from dvspipe.datasets.loaders import EventStream, PaddedBatch, SpikeDataset, collate, collate_padded, loader
from dvspipe.encoding import BinConfig, encode, encode_stream
from dvspipe.events import Events, SensorSize
from dvspipe.formats import Hints, write

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


@pytest.mark.parametrize("workers", [0, 2])
def test_recordings_longer_than_the_steps_are_reported_once(caplog: pytest.LogCaptureFixture, workers: int) -> None:
    short = BinConfig(steps=2, step_us=1000)
    data = from_recordings(zip(RECORDINGS, LABELS, strict=True))
    dataset = SpikeDataset(data, short)
    for _ in range(2):
        list(loader(dataset, 1, num_workers=workers))
    assert dataset._has_warned
    if not workers:  # a worker logs in its own process
        [record] = caplog.records
        assert mentions(record.message, data.samples[0].name, "2 steps of 1 ms", "by = recording", "complete = True")

    caplog.clear()
    complete = SpikeDataset(data, short, complete=True)
    assert len(complete[0][0]) > 2
    assert not caplog.records


def test_labels_may_be_class_names() -> None:
    names = ["wave", "clap", "wave"]
    data = from_recordings(zip(RECORDINGS, names, strict=False))
    assert (data.classes, [sample.label for sample in data.train]) == (("clap", "wave"), [1, 0, 1])
    for labels in (names, [0, 1, 0]):
        ordered = from_recordings(zip(RECORDINGS, labels, strict=False), classes=["wave", "clap", "rest"])
        assert (ordered.classes, [sample.label for sample in ordered.train]) == (("wave", "clap", "rest"), [0, 1, 0])


def test_folder_settings_and_data_set_give_the_tensors_of_training(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    config = DataConfig(root=folder, cache=tmp_path / "cache")
    data = open_dataset(config, BINS)
    trained = SpikeTensors(data.train, TensorSettings(BINS), cache=Cache(tmp_path / "cache"))
    stored = Cache(tmp_path / "cache").size()
    for source in (folder, str(folder), config, data):
        dataset = SpikeDataset(source, BINS, part="train")
        assert dataset.samples == data.train or [str(sample) for sample in dataset.samples] == [*map(str, data.train)]
        for number, (spikes, label) in enumerate(dataset[each] for each in range(len(dataset))):
            assert np.array_equal(spikes.numpy(), trained[number][0])
            assert label == trained.labels[number]
    assert Cache(tmp_path / "cache").size() == stored  # both share one cache
    assert (
        len(SpikeDataset(config, BINS)) == 8 == sum(len(SpikeDataset(config, BINS, part=part)) for part in data.parts)
    )


def test_tonic_data_set_is_accepted() -> None:
    class Bars:
        sensor_size, classes = (12, 7, 2), ("a", "b", "c")

        def __len__(self) -> int:
            return len(RECORDINGS)

        def __getitem__(self, number: int) -> tuple[Any, int]:
            return RECORDINGS[number].structured(), LABELS[number]

    (batch,) = loader(SpikeDataset(from_tonic(Bars()), BINS), 8)
    (expected,) = loader(given(), 8)
    assert all(torch.equal(*pair) for pair in zip(batch, expected, strict=True))


def test_without_cache_nothing_is_written(tmp_path: Path) -> None:
    dataset = SpikeDataset(DataConfig(root=write_folder(tmp_path), cache="none"), BINS)
    assert torch.equal(dataset[3][0], dataset[3][0])
    assert sorted(path.suffix for path in tmp_path.rglob("*.*")) == [".h5"] * 8


def test_augmentation_uses_the_torch_generator(tmp_path: Path) -> None:
    config = DataConfig(root=write_folder(tmp_path), views=3, drop=0.5)
    dataset = SpikeDataset(config, BINS, part="train")
    expected = SpikeTensors(dataset.samples, TensorSettings(BINS, 3, vary=config.part(VaryConfig)))[0]
    drawn = set()
    for seed in range(12):
        torch.manual_seed(seed)
        spikes = dataset[0][0].numpy()
        drawn.add(next(view for view in range(3) if np.array_equal(spikes, expected[view])))
    assert drawn == {0, 1, 2}
    assert np.array_equal(SpikeDataset(config, BINS)[0][0], expected[0])


@pytest.mark.parametrize(
    "bins",
    [
        {"step_us": 7000},
        {"by": "recording", "steps": 6},
    ],
    ids=str,
)
def test_complete_tensors_equal_the_steps_of_a_stream(bins: dict[str, Any]) -> None:
    events, config = RECORDINGS[2], BinConfig.model_validate(bins)
    spikes, _ = SpikeDataset(from_recordings([(events, 0)]), config, complete=True)[0]
    span = {"start_us": int(events.t[0]), "last_us": int(events.t[-1])}
    stream = np.stack([*encode_stream([events], config, **span)])
    assert len(spikes) == len(stream)
    np.testing.assert_allclose(spikes.numpy(), stream, rtol=0, atol=1e-6)


def test_recording_with_too_many_steps_is_reported() -> None:
    long = Events([0, 10**9], [0, 0], [0, 0], [1, 1], SENSOR)
    with raises(DataError, "recording 0", "100001"):
        SpikeDataset(from_recordings([(long, 0)]), BinConfig(step_us=10_000), complete=True)[0]


@pytest.mark.parametrize("time_first", [True, False])
def test_batches_are_padded_and_include_lengths(time_first: bool) -> None:
    dataset = given(complete=True, transform=lambda spikes: 2 * spikes)
    (batch,) = loader(dataset, 8, time_first=time_first, collate_fn=collate_padded)
    assert isinstance(batch, PaddedBatch)
    assert batch.lengths.tolist() == [len(dataset[number][0]) for number in range(5)] == [2, 4, 6, 8, 10]
    assert batch.labels.tolist() == [*LABELS]
    spikes = batch.spikes if time_first else batch.spikes.transpose(0, 1)
    assert spikes.shape == (10, 5, 2, 7, 12)
    for number, length in enumerate(batch.lengths):
        expected = 2 * np.stack([*encode_stream([RECORDINGS[number]], BINS)])
        assert np.array_equal(spikes[:length, number].numpy(), expected)
        assert not spikes[length:, number].any()


@pytest.mark.parametrize("wrong", [5, None])
def test_wrong_dataset_is_reported(wrong: Any) -> None:
    with raises(DataError, type(wrong).__name__):
        loader(wrong)


def test_loader_yields_the_items_of_a_dataloader() -> None:
    dataset = given()
    for mine, theirs in zip(loader(dataset, 2, time_first=False), DataLoader(dataset, 2), strict=True):
        assert len(mine) == len(theirs) == 2
        assert all(torch.equal(*pair) for pair in zip(mine, theirs, strict=True))
    for mine, theirs in zip(loader(dataset, 2), DataLoader(dataset, 2, collate_fn=collate), strict=True):
        assert all(torch.equal(*pair) for pair in zip(mine, theirs, strict=True))


def test_workers_give_equal_items_and_hash_each_recording_once() -> None:
    dataset = given()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pinned memory without a GPU; fork of a process with threads
        found = [*loader(dataset, 2, num_workers=1, multiprocessing_context="fork", pin_memory=True)]
    for mine, theirs in zip(loader(given(), 2), found, strict=True):
        assert all(torch.equal(*pair) for pair in zip(mine, theirs, strict=True))
    assert dataset._digests.any(1).all()


def test_loader_works_with_spawned_workers() -> None:
    batches = loader(given(complete=True), 2)
    copied = ForkingPickler.loads(ForkingPickler.dumps((batches.dataset, batches.collate_fn)))
    mine, theirs = (
        collate_fn([dataset[0], dataset[3]]) for dataset, collate_fn in (copied, (batches.dataset, batches.collate_fn))
    )
    assert all(torch.equal(*pair) for pair in zip(mine, theirs, strict=True))
    assert copied[0].dataset._digests.is_shared()


def test_error_of_a_recording_is_the_same_in_a_worker(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    dataset = SpikeDataset(folder, BINS)
    path = Path(dataset.samples[3].name)
    path.write_bytes(path.read_bytes()[:700])
    errors = []
    for workers in (0, 1):
        with raises(DataError, path.name) as caught, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in loader(dataset, 2, num_workers=workers):
                pass
        errors.append(caught.value)
    assert str(errors[0]) == str(errors[1])
    assert "\n" not in str(errors[1])
    with raises(DataError, path.name):  # also with torch's own loader in this process
        [*DataLoader(dataset, collate_fn=collate)]


def test_distributed_sampler_divides_the_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, found = given(), []
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        for rank in range(2):
            monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
            monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
            batches = loader(dataset, 4, shuffle=True)
            orders = []
            for epoch in range(2):
                batches.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
                orders.append([*batches.sampler])
            assert orders[0] != orders[1]
            found.append(orders[0])
            assert sum(len(batch.labels) for batch in batches) == 3
    finally:
        monkeypatch.undo()
        torch.distributed.destroy_process_group()
    assert set(found[0]) | set(found[1]) == set(range(5))


def test_invalid_data_sets_are_reported(tmp_path: Path) -> None:
    for wrong, said in (
        (lambda: SpikeDataset(tmp_path / "nowhere"), "nowhere"),
        (lambda: given(part="test"), "part test"),
        (lambda: given(part="training"), "training"),
        (lambda: from_recordings([]), ()),
        (lambda: from_recordings(["a.h5"]), "'a.h5'"),  # type: ignore[list-item]
        (lambda: from_tonic("NMNIST"), "Tonic"),
        (lambda: from_tonic(None), "Tonic"),
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


def test_stream_windows_contain_its_steps_in_order(tmp_path: Path) -> None:
    events, config = RECORDINGS[4], BinConfig(steps=3, step_us=9000)
    write(tmp_path / "long.h5", events)
    stream = EventStream(tmp_path / "long.h5", config)
    windows, starts_us = zip(*stream, strict=True)
    steps = np.stack([*encode_stream([events], config)])
    together = torch.cat(windows).numpy()
    assert np.array_equal(together[: len(steps)], steps)
    assert not together[len(steps) :].any()
    assert len(together) - len(steps) < 3
    for spikes, start_us in zip(windows, starts_us, strict=True):
        assert np.array_equal(spikes.numpy(), encode(events.slice_time(start_us, 2**40), config, start_us=start_us))
    batches = [*loader(stream, 1)]
    assert [int(batch.labels) for batch in batches] == [*starts_us]
    assert batches[0].spikes.shape == (3, 1, 2, 7, 12)


def test_workers_read_stream_windows_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = EventStream(RECORDINGS[4], BinConfig(steps=2, step_us=9000))
    alone = [start_us for _, start_us in stream]

    class Worker:
        num_workers, id = 2, 0

    shares = []
    for Worker.id in range(2):
        monkeypatch.setattr(dvspipe.datasets.loaders, "get_worker_info", lambda: Worker)
        shares.append([start_us for _, start_us in stream])
    assert shares == [alone[::2], alone[1::2]]


def test_stream_of_a_corrupted_file_ends_with_its_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t,x,y,p\n0,1,1,1\n5,nonsense\n")
    with raises(FileError, "a.csv"):
        [*loader(EventStream(path, BINS, hints=Hints(sensor="12x7")), 1)]
    with raises(ConfigError, "recording"):
        EventStream(path, BinConfig(by="recording"))


def test_errors_are_passed_on_from_a_worker() -> None:
    for error in (DataError("a: b"), EventError("c", event=3)):
        copied = pickle.loads(pickle.dumps(error))
        assert (type(copied), str(copied), vars(copied)) == (type(error), str(error), vars(error))
