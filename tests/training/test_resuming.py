"""A stopped run continues with its own settings; a new run starts with the weights of a checkpoint."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import write_bars
from facts import raises
from small_training import Killed, config_for, contents, same_weights, weights_of

from dvspipe import train
from dvspipe.base.errors import CheckpointError, ConfigError, DataError, FileError
from dvspipe.checkpoints.checkpoint import load_checkpoint
from dvspipe.datasets import open_dataset
from dvspipe.results import RunFolder, TrainingRun
from dvspipe.training import TrainConfig


@pytest.fixture(scope="module")
def run(train_bars: Callable[..., TrainingRun]) -> TrainingRun:
    return train_bars()


def rows_of(folder: Path) -> list[dict[str, str]]:
    rows = csv.DictReader((folder / "results.csv").read_text().splitlines())
    return [{name: cell for name, cell in row.items() if "seconds" not in name} for row in rows]


@pytest.mark.parametrize("stop", [{"progress": Killed(1)}, {"progress": Killed(3)}, {"on_epoch": Killed(4).after}])
def test_killed_run_resumes_to_the_same_weights(
    run: TrainingRun, bars: Path, tmp_path: Path, stop: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["dvspipe", "train", "bars", "-o", str(tmp_path), "--resume"])
    with pytest.raises(KeyboardInterrupt):
        train(config_for(bars), out=tmp_path, **stop)
    with (tmp_path / "results.csv").open("a") as file:
        file.write("3,0.1,0.2\n")  # partial row of an interrupted epoch
    if "on_epoch" in stop:  # the rows are in the state, too
        for name in ("results.csv", "metrics.jsonl"):
            (tmp_path / name).write_text("")

    resumed = train(TrainConfig(), out=tmp_path, resume=True)
    assert same_weights(tmp_path, run.folder.path, "best")
    assert same_weights(tmp_path, run.folder.path, "last")
    assert resumed.test.confusion == run.test.confusion
    assert resumed.test.command == f"dvspipe train {tmp_path / 'args.yaml'}"
    assert rows_of(tmp_path) == rows_of(run.folder.path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]


def test_complete_run_is_unchanged_by_resuming(bars: Path, tmp_path: Path) -> None:
    """A missing test record is written again, and a corrupted checkpoint is an error."""
    before = train(config_for(bars, epochs=1), out=tmp_path)
    there = contents(tmp_path)
    assert train(bars, out=tmp_path, resume=True).test == before.test
    assert contents(tmp_path) == there

    (tmp_path / "test.json").unlink()
    train(bars, out=tmp_path, resume=True)
    assert contents(tmp_path).keys() == there.keys()
    assert same_weights(tmp_path, tmp_path, "best")
    assert (tmp_path / "weights/best.safetensors").read_bytes() == there["weights/best.safetensors"]

    before.folder.best.write_bytes(there["weights/best.safetensors"][:100])
    with raises(CheckpointError, before.folder.best):
        train(bars, out=tmp_path, resume=True)


def test_settings_that_differ_from_the_run_are_one_error(run: TrainingRun, bars: Path) -> None:
    there = contents(run.folder.path)
    with raises(ConfigError, "args.yaml", "epochs=9", "epochs=4", "seed=1", "channels=[7]"):
        train(config_for(bars, epochs=9, seed=1, channels=[7]), out=run.folder.path, resume=True)
    with raises(ConfigError, "args.yaml", "step_us=10000"):
        train(bars, TrainConfig(step_us=10_000), run.folder.path, resume=True)
    assert contents(run.folder.path) == there


def test_obstacles_to_resuming_are_explained(bars: Path, tmp_path: Path) -> None:
    config = config_for(bars, epochs=2)
    with raises(FileError, "nowhere", "args.yaml"):
        train(config, out=tmp_path / "nowhere", resume=True)
    with raises(ConfigError, "resume", "out="):
        train(config, resume=True)

    train(config, out=tmp_path / "a")
    state = RunFolder(tmp_path / "a").state
    state.write_bytes(state.read_bytes()[:-100])
    with raises(CheckpointError, "state.safetensors"):
        train(config, out=tmp_path / "a", resume=True)
    state.unlink()
    with raises(CheckpointError, "state.safetensors"):
        train(config, out=tmp_path / "a", resume=True)


def test_recordings_of_a_resumed_run_may_move_but_not_change(
    bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    shutil.copytree(bars, tmp_path / "in" / "data")
    monkeypatch.chdir(tmp_path / "in")
    with pytest.raises(KeyboardInterrupt):
        train(config_for(Path("data"), epochs=2), out="a", on_epoch=Killed(1).after)

    monkeypatch.chdir(tmp_path)
    write_bars(tmp_path / "other", 5, first=500)
    with raises(DataError, "in/a/split.json", "folder other"):
        train("other", out="in/a", resume=True)

    added = shutil.copy("in/data/train/right/00.raw", "in/data/train/right/99.raw")
    with raises(DataError, "in/a/split.json"):
        train("in/data", out="in/a", resume=True)
    Path(added).unlink()
    resumed = train("in/data", out="in/a", resume=True)
    assert [row.epoch for row in resumed.epochs] == [1, 2]
    assert TrainConfig.read(resumed.folder.config).root == Path("in/data")


def init_of(run: TrainingRun, **over: Any) -> dict[str, Any]:
    return {"init": str(run.folder.best), "epochs": 1, "learning_rate": 1e-12, "weight_decay": 0} | over


def test_fine_tuning_starts_from_the_checkpoint(run: TrainingRun, bars: Path, tmp_path: Path) -> None:
    """With almost no learning rate, predictions stay the same; classes are matched by name, in any order."""
    config = config_for(bars, **init_of(run))
    data = open_dataset(config, config)
    again = train(data.with_classes(data.classes[::-1]), config, tmp_path / "a")
    assert again.test.confusion == run.test.confusion
    trained_on = load_checkpoint(again.folder.best)[0].trained_on
    assert trained_on == "; then ".join(2 * [f"{run.test.title}, 54 recordings"])


def test_fine_tuning_learns_new_classes(run: TrainingRun, bars: Path, tmp_path: Path) -> None:
    """The other layers are loaded; the new last layer is fitted before the first update."""
    for part in ("train", "test"):
        for name in ("down", "left"):
            shutil.copytree(next((bars / part).glob(name)), tmp_path / "two" / part / name)

    fitted = train(config_for(tmp_path / "two", **init_of(run)), out=tmp_path / "still")
    assert fitted.test.train_accuracy >= 0.9
    before = weights_of(run.folder.path, "best")
    still = weights_of(tmp_path / "still")
    shapes = {name for name, tensor in before.items() if still[name].shape != tensor.shape}
    assert shapes == {name for name, tensor in before.items() if tensor.shape[:1] == (3,)}
    kernel = next(name for name, tensor in before.items() if tensor.ndim == 4)
    torch.testing.assert_close(still[kernel], before[kernel])

    tuned = train(config_for(tmp_path / "two", init=str(run.folder.path), epochs=2), out=tmp_path / "tuned")
    assert tuned.test.classes == ("down", "left")
    assert tuned.test.accuracy >= 0.9


def test_fine_tuning_requires_the_same_network_and_bins(run: TrainingRun, bars: Path, tmp_path: Path) -> None:
    with raises(ConfigError, "tau_mem_s", 0.04, 0.5, "steps", 5, 7):
        train(config_for(bars, **init_of(run, tau_mem_s=0.5, steps=7)), out=tmp_path / "a")
    with raises(CheckpointError, "nothing"):
        train(config_for(bars, init="nothing"), out=tmp_path / "a")
    assert not (tmp_path / "a").exists()
