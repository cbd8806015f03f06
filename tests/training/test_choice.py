"""Settings chosen for a folder of recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from commands import dvspipe
from conftest import BAR_CLASSES, moving_bar, random_events
from facts import mentions, raises

from dvspipe import train
from dvspipe.base.errors import ConfigError, DataError, DvspipeError
from dvspipe.datasets import open_dataset
from dvspipe.datasets.lists import FILM_PATTERNS
from dvspipe.events import SensorSize
from dvspipe.formats import write
from dvspipe.inference import Classifier
from dvspipe.networks import NetworkConfig
from dvspipe.results import RunFolder, TestResult
from dvspipe.training import TrainConfig, choose_settings, run_training
from dvspipe.training.choice import GROUP_PATTERNS, find_group_pattern


def write_folder(root: Path, names: dict[str, list[str]], *, seconds: float = 0.1, side: int = 12) -> Path:
    """Write random recordings; `names` maps each class to its file names without suffix."""
    sensor = SensorSize(width=side, height=7)
    for label, (name, files) in enumerate(names.items()):
        for number, file in enumerate(files):
            events = random_events(100 * label + number, 400, sensor, round(seconds * 1e6))
            write(root / name / f"{file}.h5", events)
    return root


NUMBERED: dict[str, Any] = {"a": ["1", "2", "3"], "b": ["4", "5", "6"]}


def test_chosen_steps_cover_recordings_and_pixels_fit_the_network(tmp_path: Path) -> None:
    short = choose_settings(write_folder(tmp_path / "short", NUMBERED, seconds=0.3)).config
    assert 0.29e6 < short.tensor_us <= 0.36e6
    assert short.downsample == 1
    assert short.window_us is None
    large = choose_settings(write_folder(tmp_path / "large", NUMBERED, side=346)).config
    assert large.grid(SensorSize(width=346, height=260)) == SensorSize(width=39, height=29)


def test_training_reuses_events_decoded_for_the_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = TrainConfig(jobs=1, views=1, cache="none", channels=(2, 2, 2), epochs=1)
    choice = choose_settings(write_folder(tmp_path / "data", NUMBERED), given)
    before = train(choice.config, out=tmp_path / "before")
    monkeypatch.setattr("dvspipe.datasets.folders.read", None)
    run = run_training(choice.config, RunFolder(tmp_path / "run"), decoded=choice.decoded)
    assert Classifier.load(run.folder.best).digest == Classifier.load(before.folder.best).digest
    with pytest.raises(TypeError):  # the events were released
        run_training(choice.config, RunFolder(tmp_path / "again"), decoded=choice.decoded)


def test_given_settings_have_no_reasons(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", NUMBERED)
    chosen = choose_settings(root).reasons
    assert mentions(chosen["views"], "views")
    over: dict[str, Any] = {"views": 1, "tau_mem_s": 0.02, "tau_readout_s": 0.1, "flip_polarity": False, "epochs": 3}
    assert over.keys() <= chosen.keys()
    assert not over.keys() & choose_settings(root, TrainConfig(**over)).reasons.keys()
    assert "epochs" not in choose_settings(root, TrainConfig(batch=2)).reasons


def test_long_recordings_are_split_into_windows(tmp_path: Path) -> None:
    choice = choose_settings(write_folder(tmp_path / "long", NUMBERED, seconds=9.0))
    config = choice.config
    assert config.window_us == config.tensor_us == 1_500_000
    assert "9.0 s" in choice.reasons["window_us"]
    data = open_dataset(config)
    assert len(data.samples) == 36
    by_recording = [{sample.file for sample in part} for part in data.parts.values()]
    assert sum(map(len, by_recording)) == 6  # no recording is in two parts


def test_choice_is_saved_with_reasons_and_overridden_by_settings(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine", NUMBERED)
    choice = choose_settings(root, TrainConfig(step_us=50000, epochs=3))
    assert choice.config.steps == 2  # 2 x 50 ms cover 0.1 s
    assert choice.config.epochs == 3
    assert choice.config.name == "mine"
    text = choice.to_yaml()
    assert TrainConfig.model_validate(yaml.safe_load(text)) == choice.config
    assert mentions(text.splitlines()[0], "6 recordings", "2 classes")
    assert "step_us" not in choice.reasons
    with raises(ConfigError, "epoch"):
        choose_settings(root, TrainConfig(epoch=3))  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("files", "pattern"),
    [
        (["user01_0", "user02_0", "user03_0"], "^[^_\\W]+(?=[_-])"),
        (["p1x", "p2x", "p3x"], r"^[A-Za-z]+\d+"),
        (["v_g01_c01", "v_g02_c01", "v_g03_c01"], FILM_PATTERNS[0]),
        (["x-day1_1", "x-day2_1", "x-day3_1"], GROUP_PATTERNS[2]),
        (["rec_1", "rec_2", "rec_3"], None),  # one source
        (["1", "2", "3"], None),
    ],
)
def test_files_of_one_person_stay_in_one_part(files: list[str], pattern: str | None, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine", {"a": files, "b": files})
    config = choose_settings(root).config
    assert config.group == pattern
    if pattern is not None:
        parts = open_dataset(config).parts.values()
        assert all(len(part) == 2 for part in parts)  # both classes of one person


def test_clips_of_a_film_of_hmdb51_are_one_group(tmp_path: Path) -> None:
    tags = "f_cm_np1_ba_med"
    names = {name: [f"film{n % 3}_{name}_{tags}_{n}" for n in range(6)] for name in ("kick", "wave")}
    config = choose_settings(write_folder(tmp_path / "mine", names)).config
    assert config.group == FILM_PATTERNS[1]
    groups = {sample.group for sample in open_dataset(config).samples}
    assert groups == {f"film{n}_{name}" for n in range(3) for name in names}


def test_class_prefix_is_not_a_person(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine", {name: [f"{name}{n}_x" for n in range(3)] for name in ("wave", "clap")})
    assert find_group_pattern(open_dataset(root).samples) is None


def test_unnamed_sensor_becomes_the_largest_guess(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(3):
            far = 100 if number == 2 else 20
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{number}.csv").write_text(f"t,x,y,p\n0,1,1,1\n5,{far},{far},0\n")
    config = choose_settings(tmp_path).config
    assert config.sensor == "128x128"


def test_invalid_recordings_folder_is_named(tmp_path: Path) -> None:
    with raises(DataError, "nowhere"):
        choose_settings(tmp_path / "nowhere")
    (tmp_path / "one" / "a").mkdir(parents=True)
    with raises(DvspipeError, "1", "2"):
        choose_settings(tmp_path / "one")


def test_all_unusable_recordings_are_listed_in_one_error(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine", NUMBERED)
    (root / "a" / "torn.bin").write_bytes(bytes(1001))
    (root / "b" / "empty.csv").write_text("t,x,y,p\n")
    with raises(DataError, "2", "8", "torn.bin", "1001", "empty.csv"):
        choose_settings(root)


def test_folder_is_trained_from_the_command_line(tmp_path: Path) -> None:
    for label, name in enumerate(BAR_CLASSES):
        for number in range(5):
            write(tmp_path / "bars" / name / f"{2 * number}.h5", moving_bar(label, number))
    short = ["epochs=2", "jobs=1", "views=1", "channels=[4]"]
    first = RunFolder(tmp_path / "runs/train/bars")
    again = RunFolder(tmp_path / "again")
    dvspipe("train", "bars", *short, cwd=tmp_path)
    dvspipe("train", first.config, "-o", "again", cwd=tmp_path)
    assert TestResult.read(again.test).confusion == TestResult.read(first.test).confusion
    dvspipe("train", "bars", "-o", first.path, "--resume", cwd=tmp_path)  # the run is complete, and keeps its settings
    assert "accuracy" in dvspipe("evaluate", first.best, "bars", cwd=tmp_path).stdout


@pytest.mark.parametrize("call", ["sequence", "step_state", "step"])
def test_custom_network_gets_only_settings_it_supports(tmp_path: Path, call: str) -> None:
    network: dict[str, Any] = {"network": "module", "target": "package.nets:make", "call": call}
    choice = choose_settings(write_folder(tmp_path / "mine", NUMBERED), TrainConfig(**network))
    assert choice.config.part(NetworkConfig).given == network
    assert (choice.config.ema == 0) == (call == "step")


def test_reason_names_groups_of_numbered_files(tmp_path: Path) -> None:
    names = {"a": ["ant", "bee", "cat"], "b": ["dog", "elk", "fly"]}
    assert "separate group" in choose_settings(write_folder(tmp_path / "apart", names)).to_yaml()
    numbered = {label: [f"{animal}_{n}" for animal in animals for n in range(2)] for label, animals in names.items()}
    assert "only in a number" in choose_settings(write_folder(tmp_path / "numbered", numbered)).to_yaml()


def test_classes_with_different_sensor_sizes_give_a_warning(tmp_path: Path) -> None:
    """Event tables do not name their sensor, so nothing else refuses them."""
    assert not choose_settings(write_folder(tmp_path / "same", NUMBERED)).warnings
    root, rng = tmp_path / "mixed", np.random.default_rng(0)
    for name, side in (("digit", 34), ("gesture", 128)):
        for number in range(3):
            table = np.stack([np.arange(400) * 100, *rng.integers(0, side, (2, 400)), np.arange(400) % 2], axis=1)
            (root / name).mkdir(parents=True, exist_ok=True)
            np.savetxt(root / name / f"{number}.csv", table, "%d", ",", header="t,x,y,p", comments="")
    (warning,) = choose_settings(root).warnings
    assert "digit 34x34, gesture 128x128" in warning
    short = ["epochs=1", "jobs=1", "views=1", "channels=[4]"]
    assert "34x34" in dvspipe("train", root, *short, "-o", tmp_path / "run").stderr
