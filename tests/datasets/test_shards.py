"""Shards of spike tensors: content, order among readers, and errors of invalid shards."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import shlex
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import dvspipe
from conftest import random_events, write_bar_parts
from facts import raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.base.config import build, parse_overrides
from dvspipe.base.errors import ConfigError, DataError, FileError
from dvspipe.checkpoints.checkpoint import load_checkpoint
from dvspipe.datasets import (
    AugmentConfig,
    BatchSettings,
    Cache,
    DataSet,
    FolderConfig,
    ShardsConfig,
    SpikeTensors,
    TensorPlan,
    TensorSettings,
    VaryConfig,
    encode_many,
    list_samples,
    open_dataset,
    order_shards,
    parse_data,
    training_batches,
    write_shards,
)
from dvspipe.datasets.shard_files import pack_spikes
from dvspipe.datasets.shards import ShardIndex
from dvspipe.encoding import BinConfig
from dvspipe.formats import write
from dvspipe.parallel import Processes
from dvspipe.results import RunFolder, TrainingRun
from dvspipe.torch import ShardSampler, SpikeDataset, loader
from dvspipe.training import TrainConfig, TrainingCallback, choose_settings
from dvspipe.verbs.training import train

BINS = BinConfig(steps=3, step_us=40_000)
SETTINGS = TensorSettings(BINS, views=2, vary=VaryConfig(drop=0.5), seed=1)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    root = tmp_path_factory.mktemp("recordings")
    for label, name in enumerate(("a", "b")):
        for number in range(15):
            write(root / name / f"{number}.raw", random_events(100 * label + number, 50))
    return open_dataset(FolderConfig(root=root), seed=1, bins=BINS)


@pytest.fixture(scope="module")
def folder(recordings: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of 4 samples with variants, or 8 without."""
    place = tmp_path_factory.mktemp("shards") / "new"
    write_shards(place, recordings, TensorPlan(SETTINGS, None), size=9_000)
    return place


def opened(folder: Path, **over: Any) -> DataSet:
    config = parse_data({"kind": "shards", "root": str(folder), **over})
    return open_dataset(config, seed=1, bins=BINS)


def test_shards_have_the_parts_and_spikes_of_the_recordings(recordings: DataSet, folder: Path) -> None:
    config = {"views": 2, "vary": {"drop": 0.5}}
    found = opened(folder, **config)
    assert (found.title, found.classes, found.sensor) == (recordings.title, recordings.classes, recordings.sensor)
    for part, samples in recordings.parts.items():
        views = SETTINGS.views if part == "train" else 1
        settings = TensorSettings(BINS, views, vary=SETTINGS.vary, seed=1)
        ours, theirs = SpikeTensors(found.parts[part], settings), SpikeTensors(samples, settings)
        places = {sample.name: number for number, sample in enumerate(samples)}
        assert {sample.name for sample in found.parts[part]} == set(places)
        for number, sample in enumerate(found.parts[part]):
            before = places[sample.name]
            assert (sample.label, sample.group) == (samples[before].label, samples[before].group)
            np.testing.assert_array_equal(ours[number], theirs[before])
            assert ours.counts()[number] == theirs.counts()[before]
    names = [sample.name for sample in found.train]
    assert names != [sample.name for sample in recordings.train]  # classes are shuffled
    assert SpikeTensors(found.train, TensorSettings(BINS))[0].shape[0] == 1  # without variants


def test_index_describes_each_shard(folder: Path) -> None:
    index = ShardIndex.read(folder / "index.json")
    assert len([shard for shard in index.shards if shard.part == "train"]) > 3
    for shard in index.shards:
        path = folder / shard.file
        assert (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()) == (shard.bytes, shard.sha256)
        assert sum(shard.classes.values()) == shard.count == len(shard.groups) == len(shard.samples)
    assert {path.name for path in folder.iterdir()} == {"index.json", *(shard.file for shard in index.shards)}


def test_archive_members_follow_the_order_of_the_index(folder: Path) -> None:
    for shard in ShardIndex.read(folder / "index.json").shards:
        listed = subprocess.run(["tar", "tf", folder / shard.file], capture_output=True, text=True, check=True).stdout
        assert listed.split() == [f"{sample.key}{suffix}" for sample in shard.samples for suffix in (".npz", ".json")]


@pytest.mark.skipif(importlib.util.find_spec("webdataset") is None, reason="needs webdataset")
@pytest.mark.filterwarnings("ignore")
def test_webdataset_reads_the_same_samples_in_order(folder: Path) -> None:
    import webdataset

    found = opened(folder, views=2, vary={"drop": 0.5})
    train = [shard for shard in ShardIndex.read(folder / "index.json").shards if shard.part == "train"]
    urls = [str(folder / shard.file) for shard in train]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False).decode())
    assert [sample["json"]["name"] for sample in samples] == [sample.name for sample in found.train]
    tensors = SpikeTensors(found.train, SETTINGS)
    for number, sample in enumerate(samples):
        np.testing.assert_array_equal(sample["npz"]["spikes"], tensors[number])
        assert found.classes[sample["json"]["label"]] == sample["json"]["class"]


def test_shards_are_byte_identical_for_any_number_of_processes(
    recordings: DataSet, folder: Path, tmp_path: Path
) -> None:
    write_shards(tmp_path, recordings, TensorPlan(SETTINGS, None), size=9_000, engine=Processes(2))
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.integers(1, 5), st.integers(1, 9), st.integers(0, 99))
def test_epoch_has_each_sample_once_and_readers_share_only_leftovers(
    shards: list[int], readers: int, size: int, seed: int
) -> None:
    owners = np.arange(sum(shards)) % size % readers
    order = order_shards(shards, owners, np.random.default_rng(seed))
    assert sorted(order) == list(range(sum(shards)))
    assert (order == order_shards(shards, owners, np.random.default_rng(seed))).all()
    ends = np.cumsum(shards)
    equal = len(set(shards)) == 1 and len(shards) % readers == 0 and size % readers == 0
    if equal:
        homes = [set(np.searchsorted(ends, order[owners == reader], side="right")) for reader in range(readers)]
        assert all(not homes[a] & homes[b] for a in range(readers) for b in range(a))


def test_processes_read_disjoint_shards_and_together_equal_one_process(folder: Path) -> None:
    tensors = SpikeTensors(opened(folder).train, TensorSettings(BINS))
    assert tensors.shards is not None
    assert len(set(tensors.shards[:-1])) == 1
    read: list[set[int]] = []
    labels = []
    for rank in range(2):
        seen: list[int] = []

        class Watched(SpikeTensors):
            def __getitem__(self, number: int, seen: list[int] = seen) -> Any:
                seen.append(number)
                return super().__getitem__(number)

        watched = Watched(opened(folder).train, TensorSettings(BINS))
        drawn = BatchSettings(8, AugmentConfig(), ("a", "b"), processes=2, rank=rank)
        labels += [label for batch in training_batches(watched, drawn, 3) for label in batch.labels.tolist()]
        read.append(set(seen))
    assert not read[0] & read[1]
    assert read[0] | read[1] == set(range(len(tensors)))
    assert sorted(labels) == sorted(tensors.labels.tolist())
    ends = np.cumsum(tensors.shards)
    homes = [np.searchsorted(ends, sorted(numbers), side="right").tolist() for numbers in read]
    shared = set(homes[0]) & set(homes[1])
    assert len(shared) <= 1  # with an odd number of shards


def test_loader_workers_read_their_own_shards_and_epochs_resume(folder: Path) -> None:
    dataset = SpikeDataset({"kind": "shards", "root": str(folder), "views": 1}, BINS, part="train")
    sampler = ShardSampler(dataset, 2, workers=2, seed=4)
    first, second = list(sampler), list(sampler)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(len(dataset)))
    sampler.set_epoch(1, 6)
    assert len(sampler) == len(dataset) - 6
    assert list(sampler) == second[6:]
    batches = [second[start : start + 2] for start in range(0, len(second), 2)]
    assert dataset.shards is not None
    ends = np.cumsum(dataset.shards)
    homes = [{int(np.searchsorted(ends, n, side="right")) for batch in batches[w::2] for n in batch} for w in range(2)]
    assert len(homes[0] & homes[1]) <= 1
    processes = [list(ShardSampler(dataset, 2, rank=rank, processes=3)) for rank in range(3)]
    assert len({len(numbers) for numbers in processes}) == 1
    assert {number for numbers in processes for number in numbers} == set(range(len(dataset)))
    torch.manual_seed(0)
    labels = [label for batch in loader(dataset, 4, shuffle=True) for label in batch.labels.tolist()]
    assert sorted(labels) == sorted(dataset.labels.tolist())
    with raises(ConfigError, "shards"):
        ShardSampler(SpikeDataset(Path(dataset.samples[0].name).parents[1], BINS), 2)


def _truncate(_: Path, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def _change(_: Path, path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[700] ^= 1
    path.write_bytes(content)


def _replace(folder: Path, path: Path, members: dict[str, bytes], **over: Any) -> None:
    """Replace a shard by other members, with matching size and digest in the index."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    index = json.loads((folder / "index.json").read_text())
    shard = next(shard for shard in index["shards"] if shard["file"] == path.name)
    shard |= {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "count": 1}
    size = len(next(iter(members.values()), b"0"))
    shard["samples"] = [shard["samples"][0] | {"offset": 512, "bytes": size} | over]
    (folder / "index.json").write_text(json.dumps(index))


def _pickled(folder: Path, path: Path) -> None:
    content = io.BytesIO()
    np.savez(content, spikes=np.array([[{"a": 1}]], object))
    _replace(folder, path, {"0.npz": content.getvalue(), "0.json": b"{}"})


def _claims_more(folder: Path, path: Path) -> None:
    """Claim spikes of 134 million pixels in 1 kB, also in the index."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (1, 3, 2, 8192, 16384)}
    )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("spikes.npy", header.getvalue() + bytes(1000))
    _replace(folder, path, {"0.npz": content.getvalue(), "0.json": b"{}"})
    index = json.loads((folder / "index.json").read_text())
    index["sensor"] = "16384x8192"
    (folder / "index.json").write_text(json.dumps(index))


def _bzip2(folder: Path, path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("spikes.npy", b"")
    _replace(folder, path, {"0.npz": content.getvalue(), "0.json": b"{}"})


def _huge_header(folder: Path, path: Path) -> None:
    """Write a tar header that claims 2^62 bytes."""
    member = tarfile.TarInfo("a")
    member.type, member.size = tarfile.XHDTYPE, 2**62
    _replace(folder, path, {})
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(10240 - 512))
    index = json.loads((folder / "index.json").read_text())
    shard = next(shard for shard in index["shards"] if shard["file"] == path.name)
    shard |= {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    (folder / "index.json").write_text(json.dumps(index))


def _unpaired(folder: Path, path: Path) -> None:
    _replace(folder, path, {"0.npz": pack_spikes(np.zeros((1, 3, 2, 7, 12), np.uint8))})


def _other_shape(folder: Path, path: Path) -> None:
    _replace(folder, path, {"0.npz": pack_spikes(np.zeros((1, 4, 2, 7, 12), np.uint8)), "0.json": b"{}"})


@pytest.mark.parametrize(
    ("corrupt", "said"),
    [
        (_truncate, ("test-00000.tar", "truncated", "19,480", "20,480")),
        (_change, ("test-00000.tar", "SHA-256")),
        (_pickled, ("test-00000.tar", "object")),
        (_bzip2, ("test-00000.tar", "12")),
        (_huge_header, "test-00000.tar"),
        (lambda folder, path: _replace(folder, path, {}, bytes=2**62), "test-00000.tar"),
        (lambda folder, path: _replace(folder, path, {}, bytes=-1), "test-00000.tar"),
        (lambda folder, path: _replace(folder, path, {}, offset=-512), "test-00000.tar"),
        (_unpaired, ("test-00000.tar", "0", ".npz")),
        (_other_shape, ("test-00000.tar", "uint8 [1, 4, 2, 7, 12]", "uint8 [1, 3,")),
        (lambda _, path: path.unlink(), "test-00000.tar"),
        (lambda folder, _: (folder / "index.json").unlink(), "index.json"),
        (lambda folder, _: (folder / "index.json").write_text("{}"), "index.json"),
    ],
)
def test_invalid_shards_are_reported_in_one_line(
    folder: Path, tmp_path: Path, corrupt: Callable[[Path, Path], object], said: object
) -> None:
    place = Path(shutil.copytree(folder, tmp_path / "shards"))
    corrupt(place, place / "test-00000.tar")
    with raises(DataError, said) as caught:
        SpikeTensors(opened(place).test, TensorSettings(BINS))[0]
    assert "\n" not in str(caught.value)
    settings = ["data.kind=shards", f"data.root={place}", "bins.steps=3", "bins.step_us=40000", "seed=1"]
    checked = dvspipe("data", "check", *settings, cwd=tmp_path, code=None)
    assert checked.returncode == 2 or (checked.returncode, len(checked.stdout.splitlines())) == (1, 1)


def test_sample_claiming_more_than_its_bytes_is_not_allocated(folder: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(folder, tmp_path / "shards"))
    _claims_more(place, place / "test-00000.tar")
    with raises(DataError, "test-00000.tar", "805306496"):
        SpikeTensors(opened(place).test, TensorSettings(BINS))[0]


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"views": 3, "vary": {"drop": 0.5}}, ("2", "data.views = 3")),
        ({"views": 2}, ("vary.drop = 0.5", "0.2")),
    ],
)
def test_settings_that_do_not_fit_the_shards_are_errors(folder: Path, over: dict[str, Any], said: object) -> None:
    with raises(DataError, said):
        opened(folder, **over)


@pytest.mark.parametrize("name", ["test_root", "split"])
def test_shards_have_no_settings_that_split_recordings(folder: Path, name: str) -> None:
    with raises(ConfigError, f"data.{name}", "found shards"):
        opened(folder, **{name: "split.json"})


def test_other_steps_than_the_experiment_are_an_error_that_names_them(folder: Path) -> None:
    config = ShardsConfig(root=folder)
    with raises(DataError, "bins.steps = 3", "20", "bins.step_us = 40000"):
        open_dataset(config, 1)


def test_shards_contain_no_events(folder: Path) -> None:
    found = opened(folder)
    with raises(DataError):
        found.train[0].read_content()
    with raises(DataError, "shard"):
        encode_many(list_samples(found), TensorPlan(SETTINGS, None))


def test_shards_are_replaced_only_on_request_or_if_incomplete(
    recordings: DataSet, folder: Path, tmp_path: Path
) -> None:
    plan = TensorPlan(SETTINGS, None)
    with raises(FileError, "index.json"):
        write_shards(folder, recordings, plan)
    (tmp_path / "train-00099.tar").write_bytes(b"")
    write_shards(tmp_path, recordings, plan)
    write_shards(tmp_path, recordings, plan, size=9_000, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in folder.iterdir()}


def test_failed_encoding_leaves_no_index(tmp_path: Path) -> None:
    for name in "ab":
        for number in range(4):
            write(tmp_path / "in" / name / f"{number}.raw", random_events(ord(name) + number, 50))
    data = open_dataset(FolderConfig(root=tmp_path / "in"), seed=0, bins=BINS)
    Path(data.train[-1].name).write_bytes(b"x")
    with raises(DataError, Path(data.train[-1].name).name):
        write_shards(tmp_path / "out", data, TensorPlan(TensorSettings(BINS), None))
    assert not (tmp_path / "out" / "index.json").exists()


SMALL = {
    "jobs": 1,
    "bins": {"steps": 5, "step_us": 20_000},
    "network": {"channels": [6], "kernel": 3, "tau_mem_s": 0.04},
    "optimiser": {"epochs": 3, "batch": 8, "learning_rate": 0.02},
}


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write shards of moving bars."""
    place = tmp_path_factory.mktemp("bars")
    config = build(TrainConfig, SMALL | {"data": {"root": str(write_bar_parts(place / "in"))}}, "test")
    data = open_dataset(config.data, config.seed, config.bins)
    write_shards(place / "shards", data, TensorPlan(TensorSettings(config.bins), None), size=5_000)
    return place / "shards"


def config_of(shards: Path) -> TrainConfig:
    return build(TrainConfig, SMALL | {"data": {"kind": "shards", "root": str(shards)}}, "test")


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / "weights" / "last.safetensors")[1].state_dict()


class Stopped(TrainingCallback):
    """Stop a training in the middle of its second epoch."""

    def on_progress(self, stage: str, done: float, _total: int) -> None:
        if stage == "epochs" and 1 < done < 2:
            raise KeyboardInterrupt


def test_training_from_shards_resumes_to_the_same_weights(bars: Path, tmp_path: Path) -> None:
    config = config_of(bars)
    complete = train(config, tmp_path / "complete")
    assert complete.test.accuracy > 0.8
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "stopped", callback=Stopped())
    train(config, tmp_path / "stopped", resume=True)
    ours, theirs = weights_of(tmp_path / "stopped"), weights_of(tmp_path / "complete")
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_shards_of_a_folder_have_the_settings_that_training_chooses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    short = ["optimiser.epochs=1", "data.views=2", "network.channels=[4]", "data.cache=none", "jobs=1"]
    write_bar_parts(Path("in"))
    encoded = dvspipe("data", "encode", "in", *short, "--shards", "out", cwd=tmp_path)
    choice = choose_settings("in", parse_overrides(short))
    index = ShardIndex.read(Path("out/index.json"))
    assert (index.bins, index.views) == (choice.config.bins, 2)

    _, command, *words = shlex.split(encoded.stdout.splitlines()[-1])
    dvspipe(command, *words, "-o", "run", cwd=tmp_path)
    assert len(TrainingRun.read(RunFolder(Path("run"))).epochs) == 1


def test_command_fills_the_cache_and_writes_shards_from_it(tmp_path: Path) -> None:
    write_bar_parts(tmp_path / "in")
    settings = [f"data.root={tmp_path / 'in'}", f"data.cache={tmp_path / 'cache'}", "bins.steps=5"]

    def run(*typed: object) -> tuple[int, str]:
        done = dvspipe("data", "encode", "data.kind=folder", *settings, *typed, cwd=tmp_path, code=None)
        return done.returncode, f"{done.stdout}{done.stderr}"

    code, output = run("--shard", "1/2")
    assert (code, "shard 1/2: " in output) == (0, True), output
    some, _ = Cache(tmp_path / "cache").size()
    code, output = run("--shard", "2/2", "--jobs", 2)
    assert code == 0, output
    assert 0 < some < Cache(tmp_path / "cache").size()[0] == 84
    code, output = run("--shards", tmp_path / "shards", "--shard-size", "20KB")
    assert (code, "train 54, validation 6, test 24" in output) == (0, True), output
    assert len(list((tmp_path / "shards").glob("train-*.tar"))) > 2
    assert Cache(tmp_path / "cache").size()[0] == 84
    for typed, said in (
        (("--shards", tmp_path / "shards"), "already exists"),
        (("--shard-size", "1MB"), "--shard-size"),
        (("--shards", tmp_path / "x", "--shard", "1/2"), "--shard 1/2"),
        (("--shards", tmp_path / "x", "--shard-size", "big"), "big: not a size"),
        (("data.cache=none",), "no cache to fill"),
    ):
        code, output = run(*typed)
        assert (code != 0, said in output) == (True, True), output
    assert not (tmp_path / "x").exists()
    (tmp_path / "in" / "test" / "0_right" / "00.raw").write_bytes(b"x")
    code, output = run()
    assert (code, "1 of 84 recordings" in output) == (1, True), output
