"""Training, checkpoints and inference on a task that a network can learn in seconds."""

from __future__ import annotations

import csv
import json
import platform
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import moving_bar, random_events, write_bar_parts
from facts import mentions, raises
from recorder import Recorder

from dvspipe import evaluate, train
from dvspipe.base.errors import CheckpointError, ConfigError, DataError, FileError
from dvspipe.base.gestures import GESTURES
from dvspipe.base.yaml_files import shipped_configs
from dvspipe.checkpoints.checkpoint import ClassifierConfig, energies, load_checkpoint, save_checkpoint
from dvspipe.datasets import DataConfig, from_recordings, open_dataset
from dvspipe.encoding import BinConfig
from dvspipe.events import GESTURE_SENSOR
from dvspipe.formats import write
from dvspipe.inference import Classifier
from dvspipe.networks import NetworkConfig
from dvspipe.results import EpochRow, RunFolder, TrainingRun, wilson_interval
from dvspipe.rules.rules import ONLINE as ONLINE_RULES
from dvspipe.training import TrainConfig, TrainingCallback
from dvspipe.training.calibration import find_least_energy, fit_temperature
from dvspipe.training.config import check_settings
from dvspipe.training.evaluation import TrainedNetwork, expected_calibration_error
from dvspipe.training.machine import memory_bytes
from dvspipe.training.resuming import TrainingState
from dvspipe.training.schedule import LOSSES

SMALL: dict[str, Any] = {
    "jobs": 1,
    "steps": 5,
    "step_us": 20000,
    "channels": [6],
    "kernel": 3,
    "tau_mem_s": 0.04,
    "shift_px": 1,
    "epochs": 4,
    "batch": 8,
    "learning_rate": 0.02,
}
COMMAND = ["dvspipe", "train", "bars"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bar_parts(tmp_path_factory.mktemp("bars"))


def config_for(folder: Path, **over: Any) -> TrainConfig:
    settings = SMALL | {"root": str(folder)} | over
    unused = TrainConfig.find_unused(settings).keys() - over
    return TrainConfig.model_validate({name: value for name, value in settings.items() if name not in unused})


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", COMMAND)
        return train(config_for(folder), out=tmp_path_factory.mktemp("run") / "a")


def test_network_learns_classes_that_differ_only_in_timing(run: TrainingRun) -> None:
    """Right and left differ only in the order of events."""
    assert run.test.accuracy >= 0.9
    assert run.test.samples == 24
    assert run.test.correct == sum(run.test.confusion[k][k] for k in range(3))
    assert run.test.event_count_accuracy <= 0.6
    assert not run.test.synthetic


def test_run_writes_its_records(run: TrainingRun, folder: Path) -> None:
    rows = list(csv.DictReader((run.folder.path / "results.csv").read_text().splitlines()))
    lines = [json.loads(line) for line in (run.folder.path / "metrics.jsonl").read_text().splitlines()]
    assert [int(row["epoch"]) for row in rows] == [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert {"train_loss", "val_accuracy", "learning_rate", "rate_lif1"} <= set(rows[0])
    best = max(lines, key=lambda line: (line["val_accuracy"], -line["val_loss"]))
    record = json.loads((run.folder.path / "test.json").read_text())
    assert (record["chosen_epoch"], record["command"]) == (best["epoch"], "dvspipe train bars")
    assert TrainConfig.read(run.folder.path / "args.yaml") == config_for(folder)


def test_run_records_network_activity(run: TrainingRun) -> None:
    activity = run.activity
    first, readout = activity.layers
    assert (activity.steps, activity.step_us, activity.recordings) == (5, 20_000, 24)
    assert first.spikes_in == 24 * 400  # events of a bar
    assert first.fan_out == 6 * 3 * 3
    assert first.operations == 24 * 400 * 54
    assert first.rate is not None
    assert readout.spikes_in == pytest.approx(first.rate * first.neurons * 5 * 24)
    assert first.connections == 2 * 3 * 3 * first.neurons == 2 * 3 * 3 * 6 * 12 * 16
    assert (readout.neurons, readout.connections, readout.rate) == (3, 6 * 6 * 8 * 3, None)
    assert run.test.machine["Python"] == platform.python_version()


def test_stored_records_equal_returned_ones(run: TrainingRun) -> None:
    assert TrainingRun.read(RunFolder(run.folder.path)) == run


def test_same_seed_gives_the_same_weights(run: TrainingRun, folder: Path, tmp_path: Path) -> None:
    again = train(config_for(folder), out=tmp_path / "b")
    for name in ("best", "last"):
        _, ours = load_checkpoint(run.folder.path / "weights" / f"{name}.safetensors")
        _, theirs = load_checkpoint(again.folder.path / "weights" / f"{name}.safetensors")
        for key, tensor in ours.state_dict().items():
            assert torch.equal(tensor, theirs.state_dict()[key]), key


def test_bfloat16_trains_on_the_cpu_and_is_recorded(folder: Path, tmp_path: Path) -> None:
    over = {"channels": [16, 16], "precision": "bfloat16"}
    trained = train(config_for(folder, **over), out=tmp_path / "run")
    assert trained.test.accuracy >= 0.9
    assert TrainConfig.read(trained.folder.config).precision == "bfloat16"
    with raises(ConfigError, "precision", "bfloat16", "float32"):
        train(config_for(folder, channels=over["channels"]), out=tmp_path / "run", resume=True)
    with raises(ConfigError, "precision = float16", "GPU"):
        train(config_for(folder, device="cpu", precision="float16"), out=tmp_path / "half")


def test_checkpoint_classifies_recordings(run: TrainingRun, folder: Path) -> None:
    classifier = Classifier.load(run.checkpoint)
    files = sorted((folder / "test").rglob("*.raw"))
    said = [classifier.predict(file) for file in files]
    right = sum(one.class_name == Path(one.file).parent.name for one in said)
    assert right == run.test.correct
    for one in said:
        assert sum(one.probabilities) == pytest.approx(1, abs=1e-5)
        assert one.probability == max(one.probabilities) == one.probabilities[one.label]


def test_class_without_recordings_is_named(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(folder, root)
    for file in (root / "train" / "1_left").iterdir():
        if file.name != "00.raw":
            file.unlink()
    for file in [*(root / "test").rglob("*.raw")]:
        file.rename(file.with_name(f"9{file.name}"))
    config = config_for(root, group=r"^\d+")  # the only one of its class may be drawn for validation
    configs = (config.model_copy(update={"seed": seed}) for seed in range(100))
    unlucky = next(c for c in configs if all(s.label != 1 for s in open_dataset(c).train))
    with raises(DataError, "1_left"):
        train(unlucky, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def write_digits(root: Path, digits: Sequence[int], each: int) -> None:
    """Write recordings in the layout of N-MNIST: `each` per digit for training, and one for the test."""
    for part, count in (("Train", each), ("Test", 1)):
        for digit in digits:
            place = root / part / str(digit)
            place.mkdir(parents=True)
            for number in range(count):
                (place / f"{number}.bin").write_bytes(bytes([digit, number + 9 * (part == "Test"), 0x80, 0, 9]) * 20)


def test_classes_missing_from_the_dataset_give_a_warning(tmp_path: Path) -> None:
    """A partial copy of N-MNIST may lack digits."""
    write_digits(tmp_path, (0, 1, 7), 4)
    texts: list[str] = []
    over = {"data": "nmnist", "root": str(tmp_path), "epochs": 1}
    train(TrainConfig.model_validate(SMALL | over), out=tmp_path / "run", callback=Recorder(texts))
    assert mentions(texts[0], "N-MNIST", "2, 3, 4, 5, 6, 8, 9")


def test_new_run_removes_results_of_the_previous_one_if_told(folder: Path, tmp_path: Path) -> None:
    train(config_for(folder, epochs=1), out=tmp_path)
    files = sorted(tmp_path.rglob("*"))
    with raises(FileError, tmp_path, "not empty", "overwrite", "resume"):
        train(config_for(folder), out=tmp_path)
    assert sorted(tmp_path.rglob("*")) == files
    over = {"learning_rate": 1000, "clip_norm": 1e38, "epochs": 3, "weight_decay": 1e30}
    with raises(ConfigError, "NaN", "epoch 1", "learning_rate = 1000"):
        train(config_for(folder, **over), out=tmp_path, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"args.yaml", "split.json", "weights"}
    assert list((tmp_path / "weights").iterdir()) == []


def test_silent_layer_gives_a_warning(folder: Path, tmp_path: Path) -> None:
    texts: list[str] = []

    over = {"tau_mem_s": 1000.0, "epochs": 1}
    train(config_for(folder, **over), out=tmp_path / "run", callback=Recorder(texts))
    assert texts == [texts[0]]
    assert mentions(texts[0], "lif1")


def test_checkpoint_contains_all_inference_settings(tmp_path: Path) -> None:
    config = ClassifierConfig(
        classes=("a", "b"), width=16, height=12, bins=BinConfig(steps=4), network=NetworkConfig(channels=(3,))
    )
    torch.manual_seed(0)
    network = config.build_network()
    save_checkpoint(tmp_path / "w.safetensors", config, network)
    loaded_config, loaded = load_checkpoint(tmp_path / "w.safetensors")
    assert loaded_config == config
    assert not loaded.training
    spikes = torch.randint(0, 3, (4, 2, 2, 12, 16))
    with torch.no_grad():
        torch.testing.assert_close(loaded(spikes)[0], network.eval()(spikes)[0])


def test_invalid_checkpoint_is_an_error(tmp_path: Path, run: TrainingRun) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "w.safetensors"
    with raises(CheckpointError, path.name):
        load_checkpoint(path)
    for content in (b"", b"nonsense", run.checkpoint.read_bytes()[:-10]):
        path.write_bytes(content)
        with raises(CheckpointError, "w.safetensors"):
            load_checkpoint(path)
    save_file({"x": torch.zeros(1)}, path)
    with raises(CheckpointError, "None", "'dvspipe-classifier-1'"):
        load_checkpoint(path)
    config, _ = load_checkpoint(run.checkpoint)
    other = ClassifierConfig.model_validate(config.model_dump() | {"network": NetworkConfig(channels=(7,))})
    save_checkpoint(path, config, other.build_network())
    with pytest.raises(CheckpointError, match="size mismatch"):
        load_checkpoint(path)
    changed = bytearray(run.checkpoint.read_bytes())
    for place in (-1, changed.index(b"0_right")):  # in the weights, and in the configuration
        changed[place] ^= 1
        path.write_bytes(changed)
        with raises(CheckpointError, "w.safetensors", "digest"):
            load_checkpoint(path)
        changed[place] ^= 1
    broken = config.build_network()
    with torch.no_grad():
        broken.linear.bias[1] = float("nan")
    save_checkpoint(path, config, broken)
    with raises(CheckpointError, "w.safetensors", "NaN", "linear.bias"):
        load_checkpoint(path)


@pytest.mark.parametrize("name", shipped_configs())
def test_every_included_configuration_trains(name: str, tmp_path: Path) -> None:
    """Shortened to little data and one epoch (or one per layer); network and bins are unchanged."""
    root = tmp_path / "data"
    root.mkdir()
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
        for part, count in (("train", 40), ("t10k", 10)):
            pixels = np.random.default_rng(0).integers(0, 256, count * 784, dtype=np.uint8)
            for kind, head, content in (
                ("images-idx3", [3, *count.to_bytes(4, "big"), 0, 0, 0, 28, 0, 0, 0, 28], pixels.tobytes()),
                ("labels-idx1", [1, *count.to_bytes(4, "big")], bytes(k % 10 for k in range(count))),
            ):
                (root / f"{part}-{kind}-ubyte").write_bytes(bytes([0, 0, 8, *head]) + content)
    run = train(TrainConfig.read(name, over), out=tmp_path / "run")
    assert 0 <= run.test.accuracy <= 1
    assert run.checkpoint.is_file()


@pytest.mark.slow
def test_every_optimiser_setting_affects_training(tmp_path: Path) -> None:
    """An unused setting would leave the weights after an epoch unchanged."""
    for label, name in enumerate(("right", "left")):
        for number in range(12):
            write(tmp_path / "few" / name / f"{2 * number}.raw", moving_bar(label, number))

    def weights(name: str, **over: Any) -> torch.Tensor:
        one_epoch = {"epochs": 1, "clip_norm": 100} | over
        with pytest.raises(KeyboardInterrupt):
            training = config_for(tmp_path / "few", **one_epoch)
            train(training, out=tmp_path / name, callback=Killed(1, after_row=True), overwrite=True)
        _, network = load_checkpoint(tmp_path / name / "weights" / "last.safetensors")
        return torch.cat([parameter.flatten() for parameter in network.parameters()])

    plain = weights("plain")
    assert torch.equal(weights("again"), plain)
    for name, value in (
        ("label_smoothing", 0.3),
        ("optimiser", "sgd"),
        ("accumulate", 2),
        ("schedule", "constant"),
        ("warm_up", 0.0),
        ("loss", "each_step"),
        ("truncate", 2),
        ("ema", 0.5),
        ("tau_syn_s", 0.05),
        ("gain", 2.0),
        ("reset", "subtract"),
        ("surrogate", "arctan"),
        ("readout", "count"),
        ("weight_decay", 3.0),
        ("clip_norm", 1e-6),
        ("batch", 5),
        ("dropout", 0.5),
        ("slope", 1.0),
        ("tau_readout_s", 0.03),
        ("shift_px", 0),
        ("flip_polarity", True),
        ("views", 2),
    ):
        assert not torch.equal(weights(name, **{name: value}), plain), name


def weights_of(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    _, network = load_checkpoint(folder / "weights" / f"{name}.safetensors")
    return network.state_dict()


class Killed(TrainingCallback):
    """Stop the run in the middle of an epoch, or right after an epoch's row is written."""

    def __init__(self, epoch: int, *, after_row: bool = False) -> None:
        self.where, self.after_row = epoch, after_row

    def on_progress(self, stage: str, done: float, _total: int) -> None:
        if stage == "epochs" and self.where - 1 < done < self.where and not self.after_row:
            raise KeyboardInterrupt

    def on_epoch(self, row: EpochRow) -> None:
        if row.epoch == self.where and self.after_row:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after_row", [False, True])
def test_killed_run_resumes_to_the_same_weights(
    run: TrainingRun, folder: Path, tmp_path: Path, after_row: bool
) -> None:
    where = tmp_path / "a"
    config = config_for(folder)
    with pytest.raises(KeyboardInterrupt):
        train(config, out=where, callback=Killed(2 + (not after_row), after_row=after_row))
    with (where / "results.csv").open("a") as file:
        file.write("3,0.1,0.2\n")  # partial row of an interrupted epoch
    resumed = train(config, out=where, resume=True)
    for name in ("best", "last"):
        ours, theirs = weights_of(where, name), weights_of(run.folder.path, name)
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs), name
    assert resumed.test.confusion == run.test.confusion
    rows, wanted = (
        [
            {k: v for k, v in row.items() if "seconds" not in k}
            for row in csv.DictReader((f / "results.csv").read_text().splitlines())
        ]
        for f in (where, run.folder.path)
    )
    assert rows == wanted
    lines = (where / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]


def test_training_with_rounded_weights_keeps_the_original_weights_in_its_state(folder: Path, tmp_path: Path) -> None:
    """The checkpoint has at most 3 values per channel, with the moving average of the weights, too."""
    train(config_for(folder, epochs=1, weight_bits=2, ema=0.5), out=tmp_path / "a")
    name = "layers.0.convolution.weight"
    kept = TrainingState.load(tmp_path / "a" / "weights" / "state.safetensors").network[name]
    assert all(len(channel.unique()) == channel.numel() for channel in kept)
    for part in ("best", "last"):
        assert all(2 <= len(channel.unique()) <= 3 for channel in weights_of(tmp_path / "a", part)[name])


@pytest.mark.parametrize(
    ("over", "facts"),
    [
        ({"norm": "weight"}, ("norm",)),
        ({"network": "stdp", "epochs": 9}, ("stdp",)),
    ],
)
def test_weights_are_rounded_only_if_they_can_be_compiled(over: dict[str, Any], facts: tuple[str, ...]) -> None:
    with raises(ConfigError, "weight_bits = 4", *facts):
        check_settings(TrainConfig.model_validate({"weight_bits": 4} | over))


def test_obstacles_to_resuming_are_explained(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", COMMAND)
    config = config_for(folder, epochs=1)
    with raises(FileError, "nowhere", "args.yaml"):
        train(config, out=tmp_path / "nowhere", resume=True)
    with raises(ConfigError, "resume", "out="):
        train(config, resume=True)
    train(config, out=tmp_path / "a")
    longer = config_for(folder, epochs=2, shift_px=0)
    with raises(ConfigError, "shift_px = 1", "0", "epochs = 1", "2", "changed"):
        train(longer, out=tmp_path / "a", resume=True)
    run = train(longer, out=tmp_path / "a", resume=True, changed=True)
    assert run.test.chosen_epoch in (1, 2)
    assert re.fullmatch("dvspipe train bars  # .*epochs=2 .1 before.*", run.test.command)
    state = tmp_path / "a" / "weights" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    with raises(CheckpointError, "state.safetensors"):
        train(longer, out=tmp_path / "a", resume=True)
    state.unlink()
    with raises(CheckpointError, "state.safetensors"):
        train(longer, out=tmp_path / "a", resume=True)


def test_message_names_few_of_many_changed_settings(run: TrainingRun, folder: Path) -> None:
    other = config_for(folder, channels=list(range(1, 60)), gain=2.0, steps=9, clip=2)
    other = other.model_copy(update={"seed": 7, "hop_us": 1000, "name": "other"})
    with raises(ConfigError, "args.yaml", "seed = 0", 7, "and 1 more") as caught:
        train(other, out=run.folder.path, resume=True)
    assert len(str(caught.value)) < 500 + len(str(run.folder.config))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_complete_run_is_unchanged_by_resuming(folder: Path, tmp_path: Path) -> None:
    """Whether it ended by epochs or patience; missing test files are written again."""
    over: dict[str, Any] = {"epochs": 50, "patience": 1, "learning_rate": 1e-09}
    config = config_for(folder, **over)
    before = train(config, out=tmp_path / "a")
    best = max(range(len(before.epochs)), key=lambda k: (before.epochs[k].val_accuracy, -before.epochs[k].val_loss))
    assert len(before.epochs) == best + 1 + 1 < 50
    there = contents(tmp_path / "a")
    less = config_for(folder, **over | {"epochs": 1})
    for again, changed in ((config, False), (less, True)):
        assert train(again, out=tmp_path / "a", resume=True, changed=changed).test == before.test
        assert contents(tmp_path / "a") == there
    (tmp_path / "a" / "test.json").unlink()
    assert train(config, out=tmp_path / "a", resume=True).test == before.test
    assert contents(tmp_path / "a") == there  # best.safetensors was rewritten with equal bytes
    best_checkpoint = RunFolder(tmp_path / "a").best
    best_checkpoint.write_bytes(best_checkpoint.read_bytes()[:100])
    with raises(CheckpointError, best_checkpoint):
        train(config, out=tmp_path / "a", resume=True)


@pytest.mark.parametrize(
    "over",
    [
        {"channels": [7]},
        {"step_us": 10000},
        {"seed": 1},
        {"sensor": "16x12"},
        {"optimiser": "sgd"},
        {"loss": "count"},
        {"label_smoothing": 0.1},
        {"ema": 0.9},
    ],
)
def test_settings_that_define_a_run_cannot_change(run: TrainingRun, folder: Path, over: dict[str, Any]) -> None:
    there = contents(run.folder.path)
    with raises(ConfigError, "args.yaml", *over):
        train(config_for(folder, **over), out=run.folder.path, resume=True, changed=True)
    assert contents(run.folder.path) == there


def test_folder_to_resume_with_is_compared_with_the_folder_of_the_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its recordings, not by its path: the current folder may be another one."""
    (tmp_path / "in").mkdir()
    shutil.copytree(folder, tmp_path / "in" / "data")
    monkeypatch.chdir(tmp_path / "in")
    with pytest.raises(KeyboardInterrupt):
        train(config_for(Path("data"), epochs=2), out="a", callback=Killed(1, after_row=True))
    monkeypatch.chdir(tmp_path)
    for label, name in enumerate(("0_right", "1_left")):
        for number in range(5):
            write(tmp_path / "other" / name / f"{2 * number:02}.raw", moving_bar(label, 500 + number))
    with raises(DataError, "in/a/split.json", "folder other", "train/0_right/"):
        train("other", out="in/a", resume=True)
    resumed = train("in/data", out="in/a", resume=True)
    assert [row.epoch for row in resumed.epochs] == [1, 2]
    assert TrainConfig.read(resumed.folder.config).root == Path("in/data")


def test_run_resumes_only_with_the_same_recordings(folder: Path, tmp_path: Path) -> None:
    """Other recordings would be split differently, and leak test recordings into the training part."""
    root = tmp_path / "data"
    shutil.copytree(folder / "train", root)
    config = config_for(root, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train(config, out=tmp_path / "a", callback=Killed(1, after_row=True))
    there = contents(tmp_path / "a")
    shutil.copy(root / "0_right" / "00.raw", root / "0_right" / "99.raw")
    for changed in (False, True):
        with raises(DataError, "a/split.json"):
            train(config, out=tmp_path / "a", resume=True, changed=changed)
    assert contents(tmp_path / "a") == there
    without = config_for(root, epochs=2, split=str(tmp_path / "a" / "split.json"))
    assert train(without, out=tmp_path / "a", resume=True, changed=True).test.samples == 12
    assert (tmp_path / "a" / "split.json").read_bytes() == there["split.json"]


def test_run_stopped_in_its_first_epoch_restarts(run: TrainingRun, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(config_for(folder), out=tmp_path / "a", callback=Killed(1))
    assert not (tmp_path / "a" / "results.csv").exists()
    train(config_for(folder), out=tmp_path / "a", resume=True)
    ours, theirs = weights_of(tmp_path / "a"), weights_of(run.folder.path)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_only_one_run_writes_to_a_folder(folder: Path, tmp_path: Path) -> None:
    config = config_for(folder, epochs=1)

    class Second(TrainingCallback):
        def on_epoch(self, _row: EpochRow) -> None:
            for resume in (False, True):
                with raises(FileError, tmp_path / "a", "another process"):
                    train(config, out=tmp_path / "a", resume=resume, overwrite=not resume)

    train(config, out=tmp_path / "a", callback=Second())
    train(config, out=tmp_path / "a", overwrite=True)
    (tmp_path / "file").touch()
    with raises(FileError, tmp_path / "file", "is not a folder"):
        train(config, out=tmp_path / "file" / "b")


def test_accumulated_batch_has_the_same_gradients(folder: Path, tmp_path: Path) -> None:
    """The linear network has no batch norm, the only layer that would differ."""
    plain = {"network": "mlp", "channels": [12], "epochs": 1}
    train(config_for(folder, **plain), out=tmp_path / "complete")
    train(config_for(folder, **plain | {"accumulate": 3}), out=tmp_path / "parts")
    complete, parts = weights_of(tmp_path / "complete"), weights_of(tmp_path / "parts")
    for key, tensor in complete.items():
        torch.testing.assert_close(parts[key], tensor, rtol=1e-4, atol=1e-5)


MLP: dict[str, Any] = {"network": "mlp", "channels": [12], "dropout": 0.3, "epochs": 2}
ONLINE: dict[str, Any] = {
    "norm": "weight",
    "reset": "subtract",
    "detach_reset": True,
    "dropout": 0.2,
    "gain": 3.0,
    "epochs": 3,
    "loss": "each_step",
}


def test_segmented_training_equals_training_over_all_steps(folder: Path, tmp_path: Path) -> None:
    """With dropout, weight averaging and partial batches; also after resuming."""
    plain = MLP | {"ema": 0.9, "accumulate": 2, "segment": None}
    segments = config_for(folder, **plain | {"segment": 2})
    train(config_for(folder, **plain), out=tmp_path / "complete")
    train(segments, out=tmp_path / "segments")
    with pytest.raises(KeyboardInterrupt):
        train(segments, out=tmp_path / "resumed", callback=Killed(2))
    train(segments, out=tmp_path / "resumed", resume=True)
    complete, ours, resumed = (weights_of(tmp_path / name) for name in ("complete", "segments", "resumed"))
    for key, tensor in complete.items():
        torch.testing.assert_close(ours[key], tensor, rtol=1e-4, atol=1e-5)
        assert torch.equal(resumed[key], ours[key])


def test_segments_are_chosen_if_all_steps_exceed_memory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []

    bytes_of_step = 8 * 4 * 16 * 12 * (2 + 2 * 6 + 6 / 4)  # the input, currents, membranes and pooled spikes
    monkeypatch.setattr("dvspipe.training.trainer.memory_bytes", lambda _: round(2 * 1.5 * 2.5 * bytes_of_step))
    train(config_for(folder, epochs=1), out=tmp_path / "a", callback=Recorder(texts))
    (text,) = [text for text in texts if "segment" in text]
    assert mentions(text, "segment = auto", "5 steps", "2 steps")


def test_machine_memory_is_known_on_linux() -> None:
    found = memory_bytes(torch.device("cpu"))
    assert found is not None or sys.platform != "linux"
    assert found is None or 2**27 < found < 2**50


@pytest.mark.parametrize("rule", ONLINE_RULES)
def test_online_rules_train(folder: Path, tmp_path: Path, rule: str) -> None:
    """An interrupted run ends with the same weights; the rates of its layers are recorded."""
    config = config_for(folder, **ONLINE | {"rule": rule})
    run = train(config, out=tmp_path / "a")
    assert run.epochs[-1].train_loss < run.epochs[0].train_loss
    assert run.epochs[0].rates["lif1"] > 0.01
    with pytest.raises(KeyboardInterrupt):
        train(config, out=tmp_path / "b", callback=Killed(2))
    train(config, out=tmp_path / "b", resume=True)
    ours, theirs = weights_of(tmp_path / "b"), weights_of(tmp_path / "a")
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_standardised_convolutions_start_like_batch_norm(folder: Path, tmp_path: Path) -> None:
    """The currents of each channel have mean 0 and variance 1, so no layer is silent."""
    still = {"learning_rate": 1e-12, "weight_decay": 0, "epochs": 1}
    rates = [
        train(
            config_for(folder, **still | {"norm": norm, "channels": [6, 8]}),
            out=tmp_path / norm,
        )
        .epochs[0]
        .rates
        for norm in ("batch", "weight")
    ]
    assert rates[0] == pytest.approx(rates[1], rel=0.5)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"segment": 6}, ("segment = 6", "steps = 5")),
        ({"segment": 2, "truncate": 2}, ("segment = 2", "truncate = 2")),
        ({"segment": "often"}, "segment = 'often'"),
        (
            {"rule": "ottt"},
            (
                "rule = ottt",
                "norm=weight",
                "reset=subtract",
                "detach_reset=true",
                "loss=each_step",
            ),
        ),
        (
            ONLINE | {"rule": "eprop", "channels": [2, 3]},
            ("rule = eprop", "channels=[2]"),
        ),
    ],
)
def test_rule_with_unsupported_settings_is_an_error(folder: Path, over: dict[str, Any], message: object) -> None:
    with raises(ConfigError, message):
        check_settings(config_for(folder, **over))


def test_numeric_overflow_of_a_rule_stops_the_run(folder: Path, tmp_path: Path) -> None:
    over = {"rule": "ottt", "learning_rate": 1000, "weight_decay": 1e30, "clip_norm": 1e38}
    with raises(ConfigError, "NaN", "epoch 1"):
        train(config_for(folder, **ONLINE | over), out=tmp_path / "run")


def test_averaged_weights_are_stored(folder: Path, tmp_path: Path) -> None:
    """After one step on all recordings, the average is nine tenths of the new weights; with a decay of 0.02, 98 %."""
    one = {"epochs": 1, "batch": 54, "schedule": "constant", "warm_up": 0}
    train(config_for(folder, **one), out=tmp_path / "plain")
    for ema in (0.999, 0.02):
        train(config_for(folder, **one | {"ema": ema}), out=tmp_path / str(ema))
    classifier, _ = load_checkpoint(tmp_path / "plain" / "weights" / "last.safetensors")
    torch.manual_seed(0)
    fresh = classifier.build_network().state_dict()
    key = "layers.0.convolution.weight"
    first, learned = fresh[key], weights_of(tmp_path / "plain")[key]
    for ema, way in ((0.999, 0.9), (0.02, 0.98)):
        average = weights_of(tmp_path / str(ema))[key]
        torch.testing.assert_close(average, first + way * (learned - first), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_truncation_after_all_steps_keeps_the_gradients(folder: Path, tmp_path: Path) -> None:
    """Truncation after all steps changes nothing; truncation after fewer steps still trains the network."""
    one = {"epochs": 1}
    train(config_for(folder, **one), out=tmp_path / "plain")
    train(config_for(folder, **one | {"truncate": 5}), out=tmp_path / "all")
    plain, all_steps = weights_of(tmp_path / "plain"), weights_of(tmp_path / "all")
    assert all(torch.equal(all_steps[key], plain[key]) for key in plain)
    run = train(config_for(folder, truncate=3, epochs=6), out=tmp_path / "cut")
    assert run.test.accuracy >= 0.6


def test_losses_match_their_definitions() -> None:
    torch.manual_seed(0)
    outputs, labels = torch.randn(4, 3, 5, dtype=torch.float64), torch.tensor([1, 4, 0])
    targets = torch.nn.functional.one_hot(labels, 5).double()
    rows = torch.arange(3)
    mean = -outputs.mean(0).log_softmax(1)[rows, labels]
    torch.testing.assert_close(LOSSES["mean"](outputs, targets, 0.0), mean)
    each = -outputs.log_softmax(2)[:, rows, labels].mean(0)
    torch.testing.assert_close(LOSSES["each_step"](outputs, targets, 0.0), each)
    torch.testing.assert_close(LOSSES["count"](outputs, targets, 0.0), (outputs.mean(0) - targets).square().mean(1))
    smooth = LOSSES["mean"](outputs, targets, 0.1)
    torch.testing.assert_close(smooth, 0.9 * mean - 0.1 * outputs.mean(0).log_softmax(1).mean(1))
    equal = outputs[:1].expand(4, 3, 5)
    torch.testing.assert_close(LOSSES["each_step"](equal, targets, 0.1), LOSSES["mean"](equal, targets, 0.1))


def test_temperature_matches_confidence_to_accuracy() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(0, 1.5, (4000, 4)).astype(np.float32)
    probabilities = np.exp(true) / np.exp(true).sum(1, keepdims=True)
    labels = np.array([rng.choice(4, p=row / row.sum()) for row in probabilities.astype(np.float64)])
    assert fit_temperature(3 * true, labels) == pytest.approx(3, rel=0.1)
    assert expected_calibration_error(probabilities, labels) < 0.03
    sharp = np.exp(3 * true) / np.exp(3 * true).sum(1, keepdims=True)
    assert expected_calibration_error(sharp, labels) > 0.1
    assert expected_calibration_error(np.array([[0.8, 0.2], [0.8, 0.2]]), np.array([0, 1])) == pytest.approx(0.3)


@pytest.mark.parametrize("count", [1, 3, 7, 20, 49])
def test_few_validation_recordings_limit_confidence(count: int) -> None:
    """All predictions are correct and certain, but one more recording might be wrong."""
    labels = np.arange(count) % 3
    logits = (20 * np.eye(3, dtype=np.float32))[labels]
    temperature = fit_temperature(logits, labels)
    probabilities = torch.from_numpy(logits / temperature).softmax(1).amax(1)
    assert float(probabilities.mean()) <= wilson_interval(count, count + 1)[1] + 1e-6 < 1
    assert fit_temperature(np.zeros((0, 3), np.float32), np.zeros(0, np.int64)) == 1


def test_energy_limit_is_two_percent_quantile_and_none_for_few_recordings() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (500, 4)).astype(np.float32)
    least = find_least_energy(logits)
    assert least is not None
    assert (energies(logits) < least).mean() == pytest.approx(0.02, abs=0.002)
    assert find_least_energy(logits[:49]) is None


def test_temperature_without_cross_validated_gain_stays_one() -> None:
    """One correct and one wrong prediction: the temperature fitted to each makes the other worse."""
    logits = np.array([[0.2, 0, 0], [0.2, 0, 0]], np.float32)
    assert fit_temperature(logits, np.array([0, 1])) == 1
    assert fit_temperature(logits[:1], np.array([0])) == 1  # nothing to fit to with one left out


def test_missing_tensorboard_is_reported_before_reading_data(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with raises(ConfigError, "TensorBoard"):
        train(config_for(folder, tensorboard=True), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_checkpoint_is_evaluated_on_a_dataset(run: TrainingRun, folder: Path, tmp_path: Path) -> None:
    data = config_for(folder)
    record = evaluate(run.checkpoint, data, part="test")
    assert record.confusion == run.test.confusion
    assert record.calibration_error == pytest.approx(run.test.calibration_error, abs=1e-6)
    assert record.temperature != 1
    assert evaluate(run.checkpoint, data, part="all").samples == 84
    with raises(ConfigError, "tset", "train", "validation", "test", "all"):
        evaluate(run.checkpoint, data, part="tset")
    for name in ("x", "y"):
        for number in range(4):
            write(tmp_path / name / f"{number}.raw", moving_bar(0, number))
    with raises(DataError, "x", "y", "0_right", "1_left", "2_down"):
        evaluate(run.checkpoint, DataConfig(root=tmp_path), part="test")


@pytest.mark.parametrize("classes", [("2_down", "0_right", "1_left"), ("2_down", "1_left")])
def test_classes_are_matched_by_name(run: TrainingRun, folder: Path, classes: tuple[str, ...]) -> None:
    """In another order, or only some of them."""
    data = open_dataset(config_for(folder))
    files = [(sample.file, data.classes[sample.label]) for sample in data.test]
    recordings = [(file, name) for file, name in files if file and name in classes]

    texts: list[str] = []
    record = evaluate(
        run.checkpoint, from_recordings(recordings, classes=classes), part="all", callback=Recorder(texts)
    )

    assert record.classes == run.test.classes
    for name, counts, expected in zip(record.classes, record.confusion, run.test.confusion, strict=True):
        assert counts == (expected if name in classes else (0, 0, 0))
    assert texts == []


def test_classes_of_a_folder_are_matched_before_and_after_its_split(
    run: TrainingRun, folder: Path, tmp_path: Path
) -> None:
    """A classifier with the names of its outputs reversed: the rows of the confusion are reversed, too."""
    alone = shutil.copy(run.checkpoint, tmp_path / "w.safetensors")
    config, network = load_checkpoint(alone)
    swapped = TrainedNetwork(str(alone), config.model_copy(update={"classes": config.classes[::-1]}), network)
    data = DataConfig(root=folder)
    for part in ("validation", "all"):
        found = evaluate(swapped, data, part=part)
        expected = evaluate(alone, data, part=part)
        assert found.classes == expected.classes[::-1]
        assert found.confusion == expected.confusion[::-1]


def test_evaluation_uses_the_split_of_the_training(run: TrainingRun, folder: Path, tmp_path: Path) -> None:
    """For any seed; a warning is given if the split is unknown."""
    texts: list[str] = []

    def confusion(checkpoint: Path, part: str, seed: int, root: Path = folder) -> Any:
        return evaluate(checkpoint, DataConfig(root=root, seed=seed), part=part, callback=Recorder(texts)).confusion

    def parts(root: Path, seed: int) -> list[str]:
        return [sample.name for sample in open_dataset(DataConfig(root=root, seed=seed)).validation]

    assert parts(folder, 0) != parts(folder, 1)
    assert confusion(run.checkpoint, "validation", 1) == confusion(run.checkpoint, "validation", 0)
    assert texts == []
    alone = shutil.copy(run.checkpoint, tmp_path / "w.safetensors")
    for part in ("test", "all"):  # the test part is its own folder
        confusion(alone, part, 1)
    for label, name in enumerate(run.test.classes):  # names of the training, other content
        for number in range(5):
            write(tmp_path / "other" / name / f"{2 * number:02}.raw", moving_bar(label, 500 + number))
    confusion(run.checkpoint, "train", 1, tmp_path / "other")
    confusion(alone, "validation", 1)
    assert [text.partition(":")[0] for text in texts] == ["folder other", f"folder {folder.name}"]
    lacking = tmp_path / "run" / "weights" / "best.safetensors"
    lacking.parent.mkdir(parents=True)
    shutil.copy(run.checkpoint, lacking)
    named = json.loads((run.folder.path / "split.json").read_text())
    (tmp_path / "run" / "split.json").write_text(json.dumps(named | {"test": named["test"][1:]}))
    with raises(DataError, "split.json", "83", "84", named["test"][0]):
        confusion(lacking, "test", 0)


@pytest.mark.parametrize("part", ["test", "all"])
def test_few_recordings_outside_the_run_are_all_evaluated(
    run: TrainingRun, folder: Path, tmp_path: Path, part: str
) -> None:
    """One recording per class cannot be split into three parts, and none belongs to the run."""
    for name in run.test.classes:
        (tmp_path / "other" / name).mkdir(parents=True)
        first = min((folder / "test" / name).iterdir())
        shutil.copy(first, tmp_path / "other" / name / f"new_{first.name}")
    texts: list[str] = []
    other = DataConfig(root=tmp_path / "other")
    record = evaluate(run.checkpoint, other, part=part, callback=Recorder(texts))
    assert record.samples == len(run.test.classes)
    assert record.data.startswith(f"{record.samples} recordings (all)")
    assert texts == []


def test_too_few_recordings_to_split_suggests_part_all(run: TrainingRun, folder: Path, tmp_path: Path) -> None:
    alone = shutil.copy(run.checkpoint, tmp_path / "w.safetensors")
    for name in run.test.classes:
        (tmp_path / "other" / name).mkdir(parents=True)
        shutil.copy(min((folder / "test" / name).iterdir()), tmp_path / "other" / name)
    with raises(DataError, "part=all"):
        evaluate(alone, DataConfig(root=tmp_path / "other"), part="test")


def test_fine_tuning_starts_from_the_checkpoint(run: TrainingRun, folder: Path, tmp_path: Path) -> None:
    """With almost no learning rate, predictions stay the same; for other classes the network can be trained again."""
    best = run.folder.path / "weights" / "best.safetensors"
    still = {"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0, "init": str(best)}
    again = train(config_for(folder, **still), out=tmp_path / "a")
    assert again.test.confusion == run.test.confusion
    config, _ = load_checkpoint(again.folder.path / "weights" / "best.safetensors")
    assert config.trained_on == "; then ".join(2 * [f"{run.test.title}, 54 recordings"])
    two = tmp_path / "two"
    for part in ("train", "test"):
        for name in ("right", "left"):
            shutil.copytree(next((folder / part).glob(f"?_{name}")), two / part / name)
    train(config_for(two, **still), out=tmp_path / "b")
    _, before = load_checkpoint(best)
    config, network = load_checkpoint(tmp_path / "b" / "weights" / "best.safetensors")
    assert config.classes == ("left", "right")
    assert network.linear.weight.shape[0] == 2
    torch.testing.assert_close(network.layers[0].convolution.weight, before.layers[0].convolution.weight)


def test_fine_tuning_matches_classes_by_name(run: TrainingRun, folder: Path, tmp_path: Path) -> None:
    """The same classes in another order keep the last layer, and the order of the checkpoint."""
    config = config_for(
        folder,
        epochs=1,
        learning_rate=1e-12,
        weight_decay=0,
        init=str(run.folder.path / "weights" / "best.safetensors"),
    )
    data = open_dataset(config, config)
    turned = data.with_classes(data.classes[::-1])
    again = train(turned, config, tmp_path / "a")
    assert again.test.confusion == run.test.confusion


def test_fine_tuning_requires_the_same_network(run: TrainingRun, folder: Path, tmp_path: Path) -> None:
    best = run.folder.path / "weights" / "best.safetensors"
    for over, message in (
        ({"tau_mem_s": 0.5}, ("tau_mem_s", 0.04, 0.5)),
        ({"steps": 7}, ("steps", 5, 7)),
    ):
        with raises(ConfigError, message):
            train(config_for(folder, init=str(best), **over), out=tmp_path / "a")
    with raises(CheckpointError, "nothing"):
        train(config_for(folder, init="nothing"), out=tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_lost_epoch_rows_are_restored_from_the_state(folder: Path, tmp_path: Path) -> None:
    config, where = config_for(folder), tmp_path / "a"
    with pytest.raises(KeyboardInterrupt):
        train(config, out=where, callback=Killed(3))
    (where / "results.csv").write_text("")
    (where / "metrics.jsonl").write_text("")
    train(config, out=where, resume=True)
    assert [json.loads(line)["epoch"] for line in (where / "metrics.jsonl").read_text().splitlines()] == [1, 2, 3, 4]
    (where / "metrics.jsonl").write_text("{")
    assert len(train(config, out=where, resume=True).epochs) == 4  # the run is complete
