"""Inference frames recordings as in the training of the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import random_events
from facts import raises

from dvspipe import evaluate, train
from dvspipe.base.errors import ConfigError, DataError
from dvspipe.checkpoints.checkpoint import ClassifierConfig, load_config, save_checkpoint
from dvspipe.datasets import open_dataset
from dvspipe.encoding import BinConfig
from dvspipe.events import SensorSize
from dvspipe.formats import write
from dvspipe.framing import FramingConfig
from dvspipe.inference import Classifier
from dvspipe.networks import NetworkConfig
from dvspipe.training import TrainConfig, choose_settings
from dvspipe.video.frames import Frame
from dvspipe.video.writing import write_video

PICTURE = SensorSize(width=96, height=64)
SETTINGS: dict[str, Any] = {
    "device": "cpu",
    "jobs": 1,
    "steps": 6,
    "step_us": 100000,
    "downsample": 4,
    "channels": [4, 8],
    "tau_mem_s": 0.2,
    "tau_readout_s": 0.3,
    "epochs": 2,
    "batch": 4,
}


@pytest.fixture(autouse=True)
def _bars_show_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the search for a person, 2.5 s per video; test_framing.py tests that it finds none in a bar."""
    monkeypatch.setattr("dvspipe.people.films.track_person", lambda _: None)


def write_mover(path: Path, seed: int, *, across: bool, picture: SensorSize = PICTURE, moves: bool = True) -> None:
    """Write a video of a bar that moves to and fro, horizontally or vertically, in a part of the frame."""
    rng = np.random.default_rng(seed)
    left, top = int(rng.integers(4, picture.width - 40)), int(rng.integers(4, picture.height - 40))
    frames = []
    for number in range(18):
        image = np.full((picture.height, picture.width), 70, np.uint8)
        at = round(26 * abs((number + seed) % 12 / 6 - 1)) if moves else 0
        x, y = (left + at, top) if across else (left, top + at)
        image[y : y + (36 if across else 6), x : x + (6 if across else 36)] = 190
        frames.append(Frame(33_333 * number, image))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, frames)


def write_movers(root: Path, *, each: int = 4, classes: tuple[str, str] = ("across", "down")) -> Path:
    """Write a folder of videos of two classes."""
    for label, name in enumerate(classes):
        for number in range(each):
            write_mover(root / name / f"{number}.webm", 10 * label + number, across=label == 0)
    return root


@pytest.fixture(scope="module")
def movers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_movers(tmp_path_factory.mktemp("framing") / "movers")


def config_for(root: Path, **data: Any) -> TrainConfig:
    return TrainConfig.model_validate(SETTINGS | {"root": str(root), **data})


@pytest.mark.parametrize("data", [{"roi": "auto"}, {"roi": "60x50+20+4"}, {"size": "48x32", "roi": "full"}])
def test_inference_frames_recordings_as_in_the_test(data: dict[str, Any], movers: Path, tmp_path: Path) -> None:
    run = train(config_for(movers, **data), out=tmp_path / "run")
    classifier = Classifier.load(run.folder.path)
    assert classifier.config.framing.roi == data.get("roi", "full")
    tested = evaluate(run.folder.path, config_for(movers), part="all")
    wrong = {each.name: each.predicted for each in tested.wrong}
    for file in sorted(movers.rglob("*.webm")):
        prediction = classifier.predict(file)
        assert prediction.class_name == wrong.get(str(file), file.parent.name)
        assert prediction.windows == 1


def test_given_framing_replaces_the_training_framing_which_has_no_times() -> None:
    trained = FramingConfig(fit="crop", resize="64x48", pos_thres=0.3)
    assert FramingConfig().with_defaults(trained) == trained
    given = FramingConfig(roi="auto", upsample=4).with_defaults(trained)
    assert given == FramingConfig(roi="auto", upsample=4, pos_thres=0.3)
    timed = FramingConfig(start_s=1, stop_s=2, fps=30, crop="9x9+1+1")
    assert timed.for_checkpoint() == FramingConfig(crop="9x9+1+1")


def test_moving_person_is_framed_if_found_in_most_videos(movers: Path, tmp_path: Path) -> None:
    config = choose_settings(movers)
    assert (config.size, config.roi) == ("128x128", "auto")
    for number in range(6):
        moves, picture = number == 0, SensorSize(width=96 + 304 * (number % 2), height=64 + 136 * (number % 2))
        path = tmp_path / "still" / "ab"[number % 2] / f"{number}.webm"
        write_mover(path, number, across=False, picture=picture, moves=moves)
    with raises(DataError, "still"):  # nothing moves, so there are no events
        choose_settings(tmp_path / "still")


def test_fit_requires_a_size(movers: Path) -> None:
    with raises(ConfigError, "fit = scale"):
        open_dataset(config_for(movers, fit="scale"))
    assert open_dataset(config_for(movers, fit="scale", size="48x48")).sensor == SensorSize(width=48, height=48)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a network for other classes with 48x48 pixels around the moving person."""
    folder = tmp_path_factory.mktemp("base")
    settings = TrainConfig.model_validate(SETTINGS)
    config = ClassifierConfig(
        classes=("right", "left", "down"),
        width=48,
        height=48,
        bins=settings.part(BinConfig),
        network=settings.part(NetworkConfig),
        framing=FramingConfig(roi="auto", pos_thres=0.25),
    )
    save_checkpoint(folder / "base.safetensors", config, config.build_network())
    return folder / "base.safetensors"


def test_fine_tuning_accepts_other_videos_and_classes(base: Path, movers: Path, tmp_path: Path) -> None:
    given = TrainConfig(init=str(base), device="cpu", jobs=1, epochs=1)
    config = choose_settings(movers, given)
    assert (config.size, config.roi) == ("48x48", "auto")
    run = train(config, out=tmp_path / "run")
    tuned = load_config(run.folder.path)
    assert (tuned.classes, tuned.sensor, tuned.framing.roi) == (("across", "down"), load_config(base).sensor, "auto")
    assert tuned.framing.pos_thres == 0.25
    prediction = Classifier.load(run.folder.path).predict(next(movers.rglob("*.webm")))
    assert prediction.class_name in tuned.classes


def test_recordings_of_another_sensor_are_scaled_for_fine_tuning(base: Path, tmp_path: Path) -> None:
    for number in range(6):
        events = random_events(number, 4000, SensorSize(width=120, height=70), 600_000)
        write(tmp_path / "mine" / "ab"[number % 2] / f"{number}.h5", events)
    given = TrainConfig(init=str(base), device="cpu", jobs=1, epochs=1)
    run = train(choose_settings(tmp_path / "mine", given), out=tmp_path / "run")
    assert load_config(run.folder.path).sensor == SensorSize(width=48, height=48)


def test_wrong_sensor_of_recordings_is_an_error(movers: Path, tmp_path: Path) -> None:
    with raises(DataError, "24x16", "12x12", "48x48"):
        train(config_for(movers, sensor="48x48"), out=tmp_path / "run")
