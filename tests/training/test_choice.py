"""Settings chosen for a folder of recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import random_events
from facts import raises

from dvspipe.base.errors import DataError, DvspipeError
from dvspipe.base.settings import parse_overrides
from dvspipe.checkpoints.checkpoint import ClassifierConfig
from dvspipe.datasets import open_dataset
from dvspipe.datasets.lists import FILM_PATTERNS
from dvspipe.encoding import BinConfig
from dvspipe.events import SensorSize
from dvspipe.formats import write
from dvspipe.networks import NetworkConfig
from dvspipe.rules import find_unmet_needs
from dvspipe.training import TrainConfig, choose_settings
from dvspipe.training.choice import GROUP_PATTERNS
from dvspipe.training.config import check_settings

NUMBERED: dict[str, list[str]] = {"a": ["1", "2", "3"], "b": ["4", "5", "6"]}


def write_folder(root: Path, names: dict[str, list[str]] = NUMBERED, *, seconds: float = 0.1, side: int = 12) -> Path:
    """Write random recordings; `names` maps each class to its file names without suffix."""
    sensor = SensorSize(width=side, height=7)
    for label, (name, files) in enumerate(names.items()):
        for number, file in enumerate(files):
            events = random_events(100 * label + number, 400, sensor, round(seconds * 1e6))
            write(root / name / f"{file}.h5", events)
    return root


def settings_of(words: str, **others: Any) -> TrainConfig:
    """Return a configuration with settings as on the command line, and others."""
    return TrainConfig.model_validate({**others, **parse_overrides(words.split())})


def test_chosen_steps_cover_recordings_and_pixels_fit_the_network(tmp_path: Path) -> None:
    short = choose_settings(write_folder(tmp_path / "short", seconds=0.3))
    assert 0.29e6 < short.tensor_us <= 0.36e6
    assert short.downsample == 1
    assert short.window_us is None
    large = choose_settings(write_folder(tmp_path / "large", side=346))
    assert large.grid(SensorSize(width=346, height=260)) == SensorSize(width=39, height=29)


def test_formulas_for_batch_epochs_and_time_constants(tmp_path: Path) -> None:
    """12 recordings: 9 train, so the batch is 4; 60 epochs of 3 updates each."""
    names = {name: [str(2 * number) for number in range(6)] for name in "ab"}
    config = choose_settings(write_folder(tmp_path / "mine", names, seconds=0.4))
    assert (config.name, config.batch, config.epochs, config.validation, config.views) == ("mine", 4, 60, 0.2, 8)
    assert (config.steps, config.step_us) == (10, 40_000)
    assert (config.tau_mem_s, config.tau_readout_s) == (0.08, 0.2)


def test_long_recordings_are_split_into_windows(tmp_path: Path) -> None:
    config = choose_settings(write_folder(tmp_path / "long", seconds=9.0))
    assert config.window_us == config.tensor_us == 1_500_000
    data = open_dataset(config)
    assert len(data.samples) == 36
    by_recording = [{sample.file for sample in part} for part in data.parts.values()]
    assert sum(map(len, by_recording)) == 6  # no recording is in two parts


def test_given_settings_replace_chosen_ones_and_the_others_adapt(tmp_path: Path) -> None:
    config = choose_settings(write_folder(tmp_path / "mine"), TrainConfig(step_us=50_000, epochs=3))
    assert (config.steps, config.epochs, config.name) == (2, 3, "mine")  # 2 x 50 ms cover 0.1 s


@pytest.mark.parametrize(
    ("files", "pattern"),
    [
        (["user01_0", "user02_0", "user03_0"], "^[^_\\W]+(?=[_-])"),
        (["p1x", "p2x", "p3x"], r"^[A-Za-z]+\d+"),
        (["v_g01_c01", "v_g02_c01", "v_g03_c01"], FILM_PATTERNS[0]),
        (["x-day1_1", "x-day2_1", "x-day3_1"], GROUP_PATTERNS[2]),
        (["rec_1", "rec_2", "rec_3"], None),  # one source
        (["1", "2", "3"], None),
        (["CLASS1_x", "CLASS2_x", "CLASS3_x"], None),  # a class is no person
    ],
)
def test_files_of_one_person_stay_in_one_part(files: list[str], pattern: str | None, tmp_path: Path) -> None:
    names = {name: [file.replace("CLASS", name) for file in files] for name in ("clap", "wave")}
    config = choose_settings(write_folder(tmp_path / "mine", names))
    assert config.group == pattern
    if pattern is not None:
        parts = open_dataset(config).parts.values()
        assert all(len(part) == 2 for part in parts)  # both classes of one person


def test_clips_of_a_film_of_hmdb51_are_one_group(tmp_path: Path) -> None:
    names = {name: [f"film{n % 3}_{name}_f_cm_np1_ba_med_{n}" for n in range(6)] for name in ("kick", "wave")}
    config = choose_settings(write_folder(tmp_path / "mine", names))
    groups = {sample.group for sample in open_dataset(config).samples}
    assert groups == {f"film{n}_{name}" for n in range(3) for name in names}


def test_unnamed_sensor_becomes_the_largest_guess(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(3):
            far = 100 if number == 2 else 20
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{number}.csv").write_text(f"t,x,y,p\n0,1,1,1\n5,{far},{far},0\n")
    assert choose_settings(tmp_path).sensor == "128x128"


def test_unusable_folders_and_recordings_are_named(tmp_path: Path) -> None:
    with raises(DataError, "nowhere"):
        choose_settings(tmp_path / "nowhere")
    (tmp_path / "one" / "a").mkdir(parents=True)
    with raises(DvspipeError, "1", "2"):
        choose_settings(tmp_path / "one")

    root = write_folder(tmp_path / "mine")
    (root / "a" / "torn.bin").write_bytes(bytes(1001))
    (root / "b" / "empty.csv").write_text("t,x,y,p\n")
    with raises(DataError, "2", "8", "torn.bin", "1001", "empty.csv"):
        choose_settings(root)


@pytest.mark.parametrize("seconds", [2e-6, 0.7, 8.0])
@pytest.mark.parametrize(
    "words",
    ["", "rule=eprop", "rule=decolle", "network=mlp rule=ottt", "network=stdp channels=[6]", "network=stdp epochs=7"],
)
def test_choice_builds_a_network_for_any_rule_and_duration(words: str, seconds: float, tmp_path: Path) -> None:
    """With many events or few, and with given bins."""
    sensor = SensorSize(width=20, height=14)
    for number in range(6):
        events = random_events(number, 40 if number % 3 else 3000, sensor, round(seconds * 1e6))
        write(tmp_path / "ab"[number % 2] / f"{2 * number}.raw", events)

    for bins in ({}, {"steps": 1}, {"step_us": 90_000}):
        config = choose_settings(tmp_path, settings_of(words, **bins))
        check_settings(config)
        ClassifierConfig(
            classes=("a", "b"),
            width=sensor.width,
            height=sensor.height,
            bins=config.part(BinConfig),
            network=config.part(NetworkConfig),
        ).build_network()
        assert find_unmet_needs(config.rule, config.part(NetworkConfig)) == {}


def test_stdp_layers_share_the_epochs_and_own_networks_get_no_settings(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    config = choose_settings(folder, TrainConfig(network="stdp", epochs=7))
    assert (config.passes, len(config.channels)) == (3, 2)
    chosen = choose_settings(folder, TrainConfig(network="stdp"))
    assert chosen.epochs == 2 * chosen.passes
    own = choose_settings(folder, TrainConfig(network="module"))
    assert own.part(NetworkConfig).given == {"network": "module"}
