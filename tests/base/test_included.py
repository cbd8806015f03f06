"""Names of included files: a name that is also a file or folder of the user is an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from commands import dvspipe
from conftest import random_events
from facts import raises

from dvspipe.base.errors import ConfigError
from dvspipe.checkpoints.checkpoint import SHIPPED, find_checkpoint
from dvspipe.formats import write
from dvspipe.results import RunFolder
from dvspipe.simulator import SimulatorConfig
from dvspipe.training.config import TrainConfig, read_experiment


def make_folder(name: str) -> None:
    for class_name in ("clap", "wave"):
        write(Path(name, class_name, "a.h5"), random_events(0, 20))


def make_file(name: str) -> None:
    Path(name).write_text("neg_thres: 0.5\n" if name == "davis346" else "seed: 5\n")


def make_run(name: str) -> None:
    RunFolder(Path(name)).best.parent.mkdir(parents=True)
    RunFolder(Path(name)).best.write_bytes((SHIPPED / "gesture.safetensors").read_bytes())


@pytest.mark.parametrize(
    ("name", "make", "read"),
    [
        ("nmnist", make_folder, read_experiment),
        ("nmnist", make_file, read_experiment),
        ("davis346", make_file, SimulatorConfig().with_preset),
        ("gesture", make_run, find_checkpoint),
    ],
)
def test_name_of_an_included_file_and_of_an_own_one_is_an_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    make: Callable[[str], None],
    read: Callable[[str], object],
) -> None:
    monkeypatch.chdir(tmp_path)
    included = read(name)
    make(name)
    with raises(ConfigError, name, f"./{name}", "another folder"):
        read(name)
    assert read(f"./{name}") != included


def test_commands_refuse_a_name_with_two_meanings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_folder("nmnist")
    for words in ("train nmnist", "data stats nmnist"):
        assert "./nmnist" in dvspipe(*words.split(), cwd=tmp_path, code=2).stderr
    assert "nmnist/clap" in dvspipe("data", "stats", "./nmnist", cwd=tmp_path, code=2).stderr  # read, but too small


def test_unrelated_files_hide_no_included_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("gesture", "davis346"):
        make_folder(name)  # neither a checkpoint nor a preset
    assert find_checkpoint("gesture").parent == SHIPPED
    assert SimulatorConfig().with_preset("davis346") != SimulatorConfig()

    make_file("nmnist")  # the list of included files reads no others
    assert "nmnist" in dvspipe("configs", cwd=tmp_path).stdout
    assert "seed: 5" not in dvspipe("configs", "nmnist", cwd=tmp_path).stdout
    assert isinstance(read_experiment(Path("nmnist").absolute()), TrainConfig)
