"""Shards of recordings: content, order, training, and errors of invalid shards."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import dvspipe
from conftest import random_events, write_bar_parts
from facts import raises

from dvspipe.base.errors import ConfigError, DataError, FileError
from dvspipe.datasets import Cache, DataSet, FolderConfig, open_dataset, parse_data, write_shards
from dvspipe.datasets.shards import ShardIndex
from dvspipe.events import Events
from dvspipe.formats import write
from dvspipe.parallel import Processes
from dvspipe.training import TrainConfig
from dvspipe.verbs.training import train


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Open a folder of HDF5 files, which are copied, and of other files, which are converted."""
    root = tmp_path_factory.mktemp("recordings")
    for label, name in enumerate(("a", "b")):
        for number in range(10):
            write(root / name / f"{number}{('.h5', '.raw')[label]}", random_events(100 * label + number, 50))
    return open_dataset(FolderConfig(root=root), seed=1)


@pytest.fixture(scope="module")
def folder(recordings: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shards") / "new"
    write_shards(place, recordings, root=root_of(recordings), size=100_000)
    return place


def root_of(data: DataSet) -> Path:
    return Path(data.samples[0].name).parents[1]


def opened(folder: Path, **settings: object) -> DataSet:
    return open_dataset(parse_data({"kind": "shards", "root": str(folder), **settings}))


def test_shards_have_the_parts_and_events_of_the_recordings(recordings: DataSet, folder: Path) -> None:
    packed = opened(folder)
    assert (packed.title, packed.classes, packed.sensor) == (recordings.title, recordings.classes, recordings.sensor)
    root = root_of(recordings)
    for part, samples in recordings.parts.items():
        expected = {Path(sample.name).relative_to(root).as_posix(): sample for sample in samples}
        assert {sample.name for sample in packed.parts[part]} == {sample.group for sample in packed.parts[part]}
        assert {sample.name for sample in packed.parts[part]} == set(expected)
        for sample in packed.parts[part]:
            assert sample.label == expected[sample.name].label
            assert sample.read_content() == expected[sample.name].read_content()
    order = [sample.name for sample in packed.train]
    assert order != sorted(order)  # classes are shuffled


def test_shards_are_framed_when_they_are_opened(folder: Path) -> None:
    framed = opened(folder, size="6x4", roi="full", fit="scale")
    complete = opened(folder)
    content = framed.train[0].read_content()
    assert isinstance(content, Events)
    assert str(content.sensor) == str(framed.sensor) == "6x4"
    assert framed.train[0].read_version() != complete.train[0].read_version()


def test_index_describes_each_shard(folder: Path) -> None:
    index = ShardIndex.read(folder / "index.json")
    assert len([shard for shard in index.shards if shard.part == "train"]) > 2
    for shard in index.shards:
        content = (folder / shard.file).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (shard.bytes, shard.sha256)
        assert sum(shard.classes.values()) == shard.count == len(shard.samples)
        listed = subprocess.run(["tar", "tf", folder / shard.file], capture_output=True, text=True, check=True).stdout
        assert listed.split() == [f"{sample.key}{suffix}" for sample in shard.samples for suffix in (".h5", ".json")]
    assert {path.name for path in folder.iterdir()} == {"index.json", *(shard.file for shard in index.shards)}


@pytest.mark.skipif(importlib.util.find_spec("webdataset") is None, reason="needs webdataset")
@pytest.mark.filterwarnings("ignore")
def test_webdataset_reads_the_same_recordings_in_order(folder: Path) -> None:
    import webdataset

    packed = opened(folder)
    urls = sorted(str(path) for path in folder.glob("train-*.tar"))
    samples = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))
    for sample, ours in zip(samples, packed.train, strict=True):
        facts = json.loads(sample["json"])
        assert (facts["name"], packed.classes[facts["label"]]) == (ours.name, facts["class"])
        events = ours.read_content()
        assert isinstance(events, Events)
        with h5py.File(io.BytesIO(sample["h5"])) as file:
            for name in "txyp":
                np.testing.assert_array_equal(file["events"][name][:], getattr(events, name))


def test_shards_are_byte_identical_for_any_number_of_processes(
    recordings: DataSet, folder: Path, tmp_path: Path
) -> None:
    write_shards(tmp_path, recordings, root=root_of(recordings), size=100_000, engine=Processes(2))
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def _change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[700] ^= 1
    path.write_bytes(content)


def _edit_index(path: Path, **values: object) -> None:
    """Change the entry of the first recording in a shard."""
    index = json.loads((path.parent / "index.json").read_text())
    shard = next(shard for shard in index["shards"] if shard["file"] == path.name)
    shard["samples"][0] |= values
    (path.parent / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("corrupt", "facts"),
    [
        (_truncate, ("test-00000.tar", "truncated")),
        (_change, ("test-00000.tar", "SHA-256")),
        (lambda path: _edit_index(path, offset=0), ("test-00000.tar", "byte 0")),
        (lambda path: _edit_index(path, bytes=2**62), "test-00000.tar"),
        (lambda path: _edit_index(path, bytes=-1), "test-00000.tar"),
        (lambda path: _edit_index(path, offset=-512), "test-00000.tar"),
        (lambda path: _edit_index(path, label=2), "test-00000.tar"),
        (lambda path: path.unlink(), "test-00000.tar"),
        (lambda path: (path.parent / "index.json").unlink(), "index.json"),
        (lambda path: (path.parent / "index.json").write_text("{}"), "index.json"),
    ],
)
def test_invalid_shards_are_reported_in_one_line(
    folder: Path, tmp_path: Path, corrupt: Callable[[Path], object], facts: object
) -> None:
    place = Path(shutil.copytree(folder, tmp_path / "shards"))
    corrupt(place / "test-00000.tar")
    with raises(DataError, facts) as caught:
        opened(place).test[0].read_content()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["test_root", "split"])
def test_shards_have_no_settings_that_split_recordings(folder: Path, name: str) -> None:
    with raises(ConfigError, f"data.{name}", "found shards"):
        opened(folder, **{name: "split.json"})


def test_shards_are_replaced_only_on_request_or_if_incomplete(
    recordings: DataSet, folder: Path, tmp_path: Path
) -> None:
    with raises(FileError, "index.json"):
        write_shards(folder, recordings)
    (tmp_path / "train-00099.tar").write_bytes(b"")
    write_shards(tmp_path, recordings)
    write_shards(tmp_path, recordings, size=100_000, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in folder.iterdir()}


def test_failed_packing_leaves_no_index(recordings: DataSet, tmp_path: Path) -> None:
    root = Path(shutil.copytree(root_of(recordings), tmp_path / "in"))
    (root / "b/3.raw").write_bytes(b"x")
    with raises((DataError, FileError), "3.raw"):
        write_shards(tmp_path / "out", open_dataset(FolderConfig(root=root), seed=1))
    assert not (tmp_path / "out" / "index.json").exists()


def test_packed_folder_trains_as_the_folder_does(tmp_path: Path) -> None:
    write_bar_parts(tmp_path / "in")
    packed = dvspipe("data", "pack", "in", "-o", "shards", "--size", "1MB", cwd=tmp_path)
    assert "train 54, validation 6, test 24" in packed.stdout
    assert packed.stdout.splitlines()[-1].split() == ["dvspipe", "train", "shards"]

    short = {"bins": {"steps": 5, "step_us": 20_000}, "network": {"channels": [6], "kernel": 3, "tau_mem_s": 0.04}}
    data = {"kind": "shards", "root": tmp_path / "shards"}
    training = {"optimiser": {"epochs": 3, "batch": 8, "learning_rate": 0.02}, "jobs": 1, **short}
    result = train(TrainConfig.model_validate({"data": data, **training}), tmp_path / "run")
    assert result.test.accuracy > 0.8

    settings = ["optimiser.epochs=1", "network.channels=[4]", "data.cache=none", "jobs=1"]
    dvspipe("train", "shards", *settings, "-o", "chosen", cwd=tmp_path)

    again = dvspipe("data", "pack", "in", "-o", "shards", cwd=tmp_path, code=None)
    assert (again.returncode, "already exists" in again.stderr) == (2, True)
    refused = dvspipe("data", "pack", "in", "-o", "other", "--size", "big", cwd=tmp_path, code=None)
    assert (refused.returncode, "big: not a size" in refused.stderr) == (2, True)


def test_command_fills_the_cache(tmp_path: Path) -> None:
    write_bar_parts(tmp_path / "in")
    settings = [f"data.root={tmp_path / 'in'}", f"data.cache={tmp_path / 'cache'}", "bins.steps=5"]

    def run(*typed: object) -> tuple[int, str]:
        done = dvspipe("data", "encode", "data.kind=folder", *settings, *typed, cwd=tmp_path, code=None)
        return done.returncode, done.output

    code, output = run("--shard", "1/2")
    assert (code, "shard 1/2: " in output) == (0, True), output
    some, _ = Cache(tmp_path / "cache").size()
    code, output = run("--shard", "2/2", "--jobs", 2)
    assert code == 0, output
    assert 0 < some < Cache(tmp_path / "cache").size()[0] == 84
    code, output = run("data.cache=none")
    assert (code != 0, "no cache to fill" in output) == (True, True), output
    (tmp_path / "in" / "test" / "0_right" / "00.raw").write_bytes(b"x")
    code, output = run()
    assert (code, "1 of 84 recordings" in output) == (1, True), output
