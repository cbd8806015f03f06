"""The wheel in a new environment, and a short run of the complete demo."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import write_digits
from hatchling.build import build_wheel

from dvspipe.base.gestures import GESTURES
from dvspipe.checkpoints.checkpoint import load_checkpoint
from dvspipe.datasets import open_dataset
from dvspipe.encoding import BinConfig
from dvspipe.recordings.info import info
from dvspipe.synthesis.demo import CLASSIFIER, SHOWN, choose_training, demo
from dvspipe.training import TrainConfig
from dvspipe.training.run import train
from dvspipe.video.frames import frames_from_arrays
from dvspipe.video.writing import write_video

ROOT = Path(__file__).parents[2]
RUN_ALL = """
import shlex, sys
import dvspipe.base.settings
from dvspipe.cli.app import main

print(dvspipe.base.settings.__file__)
for command in sys.argv[1:]:
    sys.argv = ["dvspipe", *shlex.split(command)]
    try:
        main()
    except SystemExit as stop:
        if stop.code:
            raise
"""
"""Print the place of the package, and run commands: importing torch takes longer than this training."""


def lend_compiled(installed: Path) -> None:
    """Copy bytecode and kernels to another installation; the caches fit, as the sources have the same dates."""
    for path in (ROOT / "dvspipe").rglob("*"):
        other = installed / path.relative_to(ROOT)
        if path.suffix in (".pyc", ".nbi", ".nbc"):
            other.parent.mkdir(exist_ok=True)
            shutil.copy(path, other)
        elif path.suffix == ".py":
            shutil.copystat(path, other)


@pytest.mark.slow
def test_installed_wheel_converts_and_trains_in_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installs only the wheel, with the dependencies of the test environment."""
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(ROOT)
    wheel = tmp_path / build_wheel(str(tmp_path))
    sources = [*(ROOT / "dvspipe").rglob("*"), *(ROOT / "configs").rglob("*")]
    expected = {
        path.relative_to(ROOT).as_posix() for path in sources if path.is_file() and "__pycache__" not in path.parts
    }
    assert {re.sub("^configs", "dvspipe/configs", name) for name in expected} <= set(zipfile.ZipFile(wheel).namelist())

    def call(*command: object) -> str:
        environment = os.environ | {"PYTHONPATH": str(site)}
        done = subprocess.run([*map(str, command)], cwd=empty, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    call(sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-compile", "--target", site, wheel)
    lend_compiled(site)
    dvspipe = site / "bin" / "dvspipe"
    write_video(
        empty / "clip.webm",
        frames_from_arrays(np.random.default_rng(0).integers(0, 256, (20, 34, 34), np.uint8), fps=50),
    )
    call(dvspipe, "convert", "clip.webm", "-o", "clip.h5")
    write_digits(empty / "digits", range(2), 4)
    short = ["epochs=1", "channels=[2, 2]", "views=1", "jobs=1"]
    best = "runs/train/nmnist/weights/best.safetensors"
    train = shlex.join(["train", "nmnist", "root=digits", *short])
    printed = call(sys.executable, "-c", RUN_ALL, train, f"infer {best} clip.h5")
    assert Path(printed.splitlines()[0]).is_relative_to(site)
    assert (empty / best).is_file()


def test_demo_writes_its_files_and_marks_them_synthetic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = TrainConfig(**choose_training(20).given | {"train_people": 2, "test_people": 1, "epochs": 1, "jobs": 1})
    monkeypatch.setattr("dvspipe.synthesis.demo.choose_training", lambda _: few)
    done = demo(out=tmp_path / "run", minutes=1)
    (first,) = done.first
    assert (first.class_name, first.synthetic) == (GESTURES[SHOWN.label], True)
    assert done.run is not None
    assert done.run.test.synthetic
    assert "(synthetic)" in done.run.test.data
    assert str(done).count("synthetic") >= 3
    assert info(tmp_path / "run" / "gesture.h5").events > 10_000
    names = {"first", "gesture.h5", "gesture.webm", "report.html", "test.json", "weights"}
    assert names <= {path.name for path in (tmp_path / "run").iterdir()}


def test_demo_people_are_not_in_the_training_data_of_its_network() -> None:
    """According to its card, the included network was trained on rendered people of seed 0."""
    config = choose_training(180)
    assert config.init == CLASSIFIER
    assert config.seed != 0
    bins = config.part(BinConfig)
    data = open_dataset(config, bins)
    groups = [{sample.group for sample in part} for part in data.parts.values()]
    assert all(first.isdisjoint(second) for first, second in itertools.combinations(groups, 2))
    assert load_checkpoint(CLASSIFIER)[0].bins == bins


@pytest.mark.slow
def test_nmnist_is_learned_from_real_recordings(test_data: Path, tmp_path: Path) -> None:
    """Trains a smaller network for a few epochs; BENCHMARKS.md has the complete training."""
    config = TrainConfig(root=test_data / "nmnist", views=1, channels=(8, 16), epochs=2)
    run = train("nmnist", config, tmp_path / "run")
    assert run.test.samples == 50
    assert run.test.accuracy >= 0.5
