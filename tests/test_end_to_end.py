"""The wheel in a fresh environment, and the whole way of the demo, shortened."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dvspipe.config import build, merge_settings, read_yaml
from dvspipe.demo import run_demo
from dvspipe.formats import describe
from dvspipe.synthesis import GESTURES, gesture_frames
from dvspipe.training import TrainConfig, TrainingCallback
from dvspipe.video import write_video

ROOT = Path(__file__).parents[1]
SHORT = ["data.train_people=2", "data.test_people=1", "data.clips=1", "optimiser.epochs=1"]


@pytest.mark.slow
def test_an_installed_wheel_converts_and_trains_in_an_empty_folder(tmp_path: Path) -> None:
    """A fresh venv gets the wheel itself; what it depends on is lent by this one."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def call(*command: object) -> None:
        done = subprocess.run(
            [*map(str, command)], cwd=tmp_path / "empty", env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    (tmp_path / "empty").mkdir()
    call(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").iterdir()
    assert {
        "dvspipe/configs/nmnist.yaml",
        "dvspipe/py.typed",
        "dvspipe/__init__.pyi",
        "dvspipe/report/templates/answers.html",
    } <= set(zipfile.ZipFile(wheel).namelist())
    call(sys.executable, "-m", "venv", tmp_path / "venv")
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    (site / "lent.pth").write_text(next(path for path in sys.path if path.endswith("site-packages")) + "\n")
    call(tmp_path / "venv" / "bin" / "python", "-m", "pip", "install", "--no-deps", "--force-reinstall", wheel)
    dvspipe = tmp_path / "venv" / "bin" / "dvspipe"
    write_video(tmp_path / "empty" / "clip.webm", gesture_frames(0, person=0, clip=0, seed=0))
    call(dvspipe, "convert", "clip.webm", "-o", "clip.h5")
    call(dvspipe, "train", "gesture", *SHORT)
    assert (site / "dvspipe" / "configs").is_dir()
    assert (tmp_path / "empty" / "runs" / "train" / "gesture" / "weights" / "best.safetensors").is_file()
    call(dvspipe, "infer", "runs/train/gesture/weights/best.safetensors", "clip.h5")


def test_the_demo_leaves_everything_it_names(tmp_path: Path) -> None:
    over = {"data": {"train_people": 2, "test_people": 1, "clips": 1}, "optimiser": {"epochs": 1}}
    config = build(TrainConfig, merge_settings(read_yaml("gesture"), over), "gesture")
    done = run_demo(tmp_path, TrainingCallback(), config)
    assert {path.name for path in tmp_path.iterdir()} == {
        "activity.json", "args.yaml", "baseline", "confusion_matrix.png", "curves.png", "examples.png", "gesture.h5",
        "gesture.webm", "metrics.jsonl", "prediction.png", "predictions.csv", "predictions.jsonl", "preview.gif",
        "report.html", "results.csv", "split.json", "test.json", "weights", "wrong.png",
    }  # fmt: skip
    assert done.run.test.synthetic
    assert "(synthetic)" in done.run.test.data
    (row,) = csv.DictReader((tmp_path / "predictions.csv").read_text().splitlines())
    assert row["class"] == GESTURES[int(row["label"])] == done.answer.class_name
    assert describe(tmp_path / "gesture.h5").events > 10_000
    page = (tmp_path / "report.html").read_text()
    assert page.lower().count("synthetic") >= 5
    assert "data:video/webm" in page


@pytest.mark.slow
def test_nmnist_is_learned_from_real_recordings(test_data: Path, tmp_path: Path) -> None:
    """A few epochs of a smaller network; the whole training is in BENCHMARKS.md."""
    from dvspipe.training import train

    over = {
        "baseline": False,
        "data": {"root": str(test_data / "nmnist"), "views": 1},
        "network": {"channels": [8, 16]},
        "optimiser": {"epochs": 4},
    }
    run = train(build(TrainConfig, merge_settings(read_yaml("nmnist"), over), "nmnist"), tmp_path / "run")
    assert run.test.samples == 50
    assert run.test.accuracy >= 0.5
