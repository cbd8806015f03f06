"""Training on a task that a network can learn in seconds."""

from __future__ import annotations

import csv
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import random_events, write_bars, write_digits, write_mnist
from facts import raises
from small_training import ONLINE, SMALL, Killed, config_for, same_weights, weights_of

from dvspipe import train
from dvspipe.base.errors import ConfigError, DataError, FileError
from dvspipe.base.gestures import GESTURES
from dvspipe.base.yaml_files import shipped_configs
from dvspipe.datasets import open_dataset
from dvspipe.events import GESTURE_SENSOR
from dvspipe.formats import write
from dvspipe.results import EpochRow, RunFolder, TrainingRun
from dvspipe.training import OptimiserConfig, TrainConfig
from dvspipe.training.config import check_settings
from dvspipe.training.schedule import build_average, build_schedule, find_losses

ONLINE_RULES = ("ottt", "eprop", "decolle")


@pytest.fixture(scope="module")
def run(train_bars: Callable[..., TrainingRun]) -> TrainingRun:
    return train_bars()


def test_network_learns_classes_that_differ_only_in_timing(run: TrainingRun) -> None:
    """Right and left differ only in the order of events."""
    assert run.test.accuracy >= 0.9
    assert run.test.samples == 24
    assert run.test.correct == sum(run.test.confusion[k][k] for k in range(3))
    assert not run.test.synthetic


def test_run_writes_its_records(run: TrainingRun, bars: Path) -> None:
    rows = list(csv.DictReader((run.folder.path / "results.csv").read_text().splitlines()))
    assert [int(row["epoch"]) for row in rows] == [row.epoch for row in run.epochs] == [1, 2, 3, 4]
    assert {"train_loss", "val_accuracy", "learning_rate", "rate_lif1"} <= set(rows[0])
    assert run.test.machine["Python"] == platform.python_version()
    assert TrainConfig.read(run.folder.path / "args.yaml") == config_for(bars)
    assert TrainingRun.read(RunFolder(run.folder.path)) == run


def test_run_records_network_activity(run: TrainingRun) -> None:
    first, _ = run.activity.layers
    assert (run.activity.steps, run.activity.step_us, run.activity.recordings) == (5, 20_000, 24)
    assert first.spikes_in == 24 * 400  # events of a bar
    assert first.operations == 24 * 400 * 6 * 3 * 3


@pytest.mark.parametrize("rule", ONLINE_RULES)
def test_online_rules_train_and_resume_to_the_same_weights(bars: Path, tmp_path: Path, rule: str) -> None:
    config = config_for(bars, **ONLINE, rule=rule, ema=0.9)
    run = train(config, out=tmp_path / "a")
    assert run.epochs[-1].train_loss < run.epochs[0].train_loss
    assert run.epochs[0].rates["lif1"] > 0.01

    with pytest.raises(KeyboardInterrupt):
        train(config, out=tmp_path / "b", progress=Killed(2))
    train(config, out=tmp_path / "b", resume=True)
    assert same_weights(tmp_path / "b", tmp_path / "a")


def test_bfloat16_trains_on_the_cpu(bars: Path, tmp_path: Path) -> None:
    assert train(config_for(bars, channels=[16, 16], precision="bfloat16"), out=tmp_path).test.accuracy >= 0.9


@pytest.mark.parametrize(("ema", "way"), [(0.999, 0.9), (0.02, 0.98)])
def test_average_follows_the_first_weights_faster(ema: float, way: float) -> None:
    """After one step, the average is nine tenths of the new weights; with a decay of 0.02, 98 %."""
    network = torch.nn.Linear(2, 3)
    average, fresh = build_average(network, ema), network.weight.detach().clone()
    with torch.no_grad():
        network.weight.add_(1)
    average.update_parameters(network)
    torch.testing.assert_close(average.module.weight, fresh + way)


def test_standardised_convolutions_start_like_batch_norm(bars: Path, tmp_path: Path) -> None:
    """The currents of each channel have mean 0 and variance 1, so no layer is silent."""
    still = {"learning_rate": 1e-12, "weight_decay": 0, "epochs": 1, "channels": [6, 8]}
    batch, weight = (train(config_for(bars, **still, norm=norm), out=tmp_path / norm) for norm in ("batch", "weight"))
    assert batch.epochs[0].rates == pytest.approx(weight.epochs[0].rates, rel=0.5)


def test_evaluation_mode_matches_training_mode(tmp_path: Path) -> None:
    """With one update per epoch, running statistics would still be mostly their initial values."""
    config = config_for(write_bars(tmp_path / "data", 6), epochs=20, batch=32, shift_px=0)
    run = train(config, out=tmp_path / "run")
    printed = run.epochs[run.test.chosen_epoch - 1].train_accuracy
    assert run.test.train_accuracy == pytest.approx(printed, abs=0.02)
    assert printed > 0.6


def test_only_one_run_writes_to_a_folder(bars: Path, tmp_path: Path) -> None:
    config = config_for(bars, epochs=1)

    def train_again(_row: EpochRow) -> None:
        for resume in (False, True):
            with raises(FileError, tmp_path / "a", "another process"):
                train(config, out=tmp_path / "a", resume=resume, overwrite=not resume)

    train(config, out=tmp_path / "a", on_epoch=train_again)
    train(config, out=tmp_path / "a", overwrite=True)


def test_diverging_run_stops_and_replaces_an_earlier_one_only_if_told(bars: Path, tmp_path: Path) -> None:
    train(config_for(bars, epochs=1), out=tmp_path)
    files = sorted(tmp_path.rglob("*"))
    with raises(FileError, tmp_path, "not empty", "overwrite", "resume"):
        train(config_for(bars), out=tmp_path)
    assert sorted(tmp_path.rglob("*")) == files

    with raises(ConfigError, "NaN", "epoch 1", "learning_rate = 1000"):
        train(config_for(bars, learning_rate=1000, weight_decay=1e36), out=tmp_path, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"args.yaml", "split.json", "weights"}
    assert list((tmp_path / "weights").iterdir()) == []


def test_class_without_training_recordings_is_named(bars: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(bars, root)
    shutil.rmtree(root / "train" / "left")
    with raises(DataError, "left"):
        train(config_for(root), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"segment": 6}, ("segment = 6", "steps = 5")),
        ({"segment": "often"}, "segment = 'often'"),
        ({"rule": "ottt"}, ("rule = ottt", "norm=weight", "reset=subtract", "loss=each_step")),
        (ONLINE | {"rule": "eprop", "channels": [2, 3]}, ("rule = eprop", "channels=[2]")),
        ({"network": "stdp", "epochs": 1}, ("epochs = 1", 2)),
    ],
)
def test_contradicting_settings_are_an_error(over: dict[str, Any], message: object) -> None:
    with raises(ConfigError, message):
        check_settings(TrainConfig.model_validate({"steps": 5} | over))


def test_losses_match_their_definitions() -> None:
    torch.manual_seed(0)
    outputs, labels = torch.randn(4, 3, 5, dtype=torch.float64), torch.tensor([1, 4, 0])
    targets = torch.nn.functional.one_hot(labels, 5).double()
    rows = torch.arange(3)
    mean = -outputs.mean(0).log_softmax(1)[rows, labels]
    torch.testing.assert_close(find_losses(outputs, targets, OptimiserConfig()), mean)
    each = -outputs.log_softmax(2)[:, rows, labels].mean(0)
    torch.testing.assert_close(find_losses(outputs, targets, OptimiserConfig(loss="each_step")), each)

    smooth = find_losses(outputs, targets, OptimiserConfig(label_smoothing=0.1))
    torch.testing.assert_close(smooth, 0.9 * mean - 0.1 * outputs.mean(0).log_softmax(1).mean(1))


def test_learning_rate_rises_in_equal_steps_and_falls_as_a_cosine() -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)])
    schedule = build_schedule(OptimiserConfig(learning_rate=2.0, warm_up=0.4, epochs=2), optimiser, 10)
    rates = []
    for _ in range(20):
        rates += schedule.get_last_lr()
        optimiser.step()
        schedule.step()
    assert rates == pytest.approx([0.5, 1.0, 1.5, 2.0, *(1 + np.cos(np.pi * np.arange(16) / 16))])


@pytest.mark.slow
def test_every_optimiser_setting_affects_training(tmp_path: Path) -> None:
    """An unused setting would leave the weights after an epoch unchanged."""
    write_bars(tmp_path / "few", 12, ("right", "left"))

    def weights(name: str, **over: Any) -> torch.Tensor:
        with pytest.raises(KeyboardInterrupt):
            training = config_for(tmp_path / "few", epochs=1, **over)
            train(training, out=tmp_path / name, on_epoch=Killed(1).after, overwrite=True)
        return torch.cat([tensor.double().flatten() for tensor in weights_of(tmp_path / name).values()])

    plain = weights("plain")
    assert torch.equal(weights("again"), plain)
    for name, value in (
        ("label_smoothing", 0.3),
        ("schedule", "constant"),
        ("warm_up", 0.0),
        ("loss", "each_step"),
        ("ema", 0.5),
        ("tau_syn_s", 0.05),
        ("reset", "subtract"),
        ("surrogate", "arctan"),
        ("weight_decay", 3.0),
        ("batch", 5),
        ("dropout", 0.5),
        ("slope", 1.0),
        ("tau_readout_s", 0.03),
        ("shift_px", 0),
        ("flip_polarity", True),
        ("views", 2),
    ):
        assert not torch.equal(weights(name, **{name: value}), plain), name


@pytest.mark.parametrize("name", shipped_configs())
def test_every_included_configuration_trains(name: str, tmp_path: Path) -> None:
    """Shortened to little data and one epoch (or one per layer); network and bins are unchanged."""
    root = tmp_path / "data"
    config = TrainConfig.read(name)
    over: dict[str, Any] = {"epochs": 1, "root": root}
    if config.network == "stdp":
        over |= {"epochs": len(config.channels), "passes": 1}

    if config.data == "nmnist":
        write_digits(root, range(10), 3)
        over["views"] = 2
    if config.data == "gestures":
        for name_of_class in GESTURES:
            for user in range(3):
                events = random_events(user, 300, GESTURE_SENSOR, span_us=1_400_000)
                write(root / name_of_class / f"user{user}.raw", events)
    if config.data == "mnist":
        images = np.random.default_rng(0).integers(0, 256, (50, 28, 28), dtype=np.uint8)
        write_mnist(root, images[:40], images[40:])

    run = train(TrainConfig.read(name, over), out=tmp_path / "run")
    assert 0 <= run.test.accuracy <= 1
    assert run.checkpoint.is_file()


def test_data_set_without_some_classes_trains(tmp_path: Path) -> None:
    """A partial copy of N-MNIST may lack digits."""
    write_digits(tmp_path, (0, 1, 7), 4)
    config = TrainConfig.model_validate(SMALL | {"data": "nmnist", "root": str(tmp_path), "epochs": 1})
    assert len(open_dataset(config).classes) == len(train(config, out=tmp_path / "run").test.classes) == 10
