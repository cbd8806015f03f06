"""The network chosen for a folder and a rule can be trained by the rule."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import dvspipe
from conftest import BAR_CLASSES, moving_bar, random_events
from facts import raises

from dvspipe import train
from dvspipe.base.errors import ConfigError
from dvspipe.base.settings import parse_overrides
from dvspipe.checkpoints.checkpoint import ClassifierConfig
from dvspipe.encoding import BinConfig
from dvspipe.events import Events, SensorSize
from dvspipe.formats import write
from dvspipe.networks import NetworkConfig
from dvspipe.training import TrainConfig, choose_settings

SHORT: dict[str, Any] = {"jobs": 1, "views": 1, "epochs": 2}
WAYS: dict[str, Any] = {
    **{rule: f"rule={rule}" for rule in ("bptt", "ottt", "eprop", "decolle")},
    **{kind: f"network={kind}" for kind in ("stdp", "first_spike")},
}
"""Settings that select each rule."""

SENSOR = SensorSize(width=20, height=14)


def settings_of(*overrides: str, **others: Any) -> TrainConfig:
    """Return a configuration with settings as on the command line, and others."""
    return TrainConfig.model_validate({**others, **parse_overrides(overrides)})


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rules") / "bars"
    for label, name in enumerate(BAR_CLASSES[:2]):
        for number in range(5):
            write(folder / name / f"{2 * number}.raw", moving_bar(label, number))
    return folder


@pytest.mark.parametrize("rule", WAYS)
def test_every_rule_trains_a_folder(rule: str, bars: Path, tmp_path: Path) -> None:
    choice = choose_settings(bars, settings_of(WAYS[rule], **SHORT))
    run = train(choice.config, out=tmp_path / "run")
    assert len(run.epochs) == 2
    assert run.test.samples == 2
    lines = choice.to_yaml().splitlines()
    comments = " ".join(line.removeprefix("# ") for line in lines if line.startswith("# "))
    for group, reason in choice.reasons.items():
        assert all(line in comments for line in reason.splitlines()), group
    assert max(map(len, lines)) < 80


@pytest.mark.parametrize("rule", ["ottt", "eprop", "decolle"])
def test_each_setting_required_by_a_rule_has_a_reason(rule: str, bars: Path) -> None:
    choice = choose_settings(bars, settings_of(WAYS[rule]))
    lines = choice.to_yaml().splitlines()
    for setting in ("norm", "reset", "detach_reset", *(["channels"] if rule == "eprop" else []), "loss"):
        [number] = [number for number, line in enumerate(lines) if line.startswith(f"{setting}:")]
        assert setting in choice.reasons
        assert lines[number - 1].startswith("# "), setting
    assert len(choice.config.channels) == (1 if rule == "eprop" else 3)


def test_setting_unsupported_by_a_rule_suggests_overrides(bars: Path) -> None:
    given = ["rule=eprop", "reset=zero", "channels=[8,8]", "padded=[true,false]"]
    given += ["loss=mean"]
    with raises(ConfigError, "rule = eprop") as raised:
        choose_settings(bars, settings_of(*given))
    line = re.sub(".*: needs ", "", str(raised.value))
    assert shlex.split(line) == [
        "reset=subtract",
        "channels=[8]",
        "padded=[true]",
        "loss=each_step",
    ]
    config = choose_settings(bars, settings_of(*given, *shlex.split(line))).config
    assert config.padded == (True,)


@pytest.mark.parametrize("kind", ["stdp", "first_spike"])
def test_network_kind_given_as_a_rule_is_an_error(kind: str) -> None:
    with raises(ConfigError, "rule", kind):
        TrainConfig(rule=kind)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        ["network=stdp", "channels=[6]"],
        ["network=stdp", "channels=[6,7,8]", "epochs=4"],
        ["network=first_spike", "leak=true"],
        ["network=first_spike", "leak=true", "tau_mem_s=0.02"],
        ["network=mlp", "rule=ottt"],
    ],
    ids=" ".join,
)
def test_chosen_settings_follow_given_ones(settings: list[str], bars: Path, tmp_path: Path) -> None:
    config = choose_settings(bars, settings_of(*settings, jobs=1, views=1, epochs=3)).config
    assert len(train(config, out=tmp_path / "run").epochs) == config.epochs


def test_stdp_layers_share_the_epochs(bars: Path) -> None:
    config = choose_settings(bars, TrainConfig(network="stdp", epochs=7)).config
    assert (config.passes, len(config.channels)) == (3, 2)
    chosen = choose_settings(bars, TrainConfig(network="stdp")).config
    assert chosen.epochs == 2 * chosen.passes


@pytest.fixture(scope="module", params=[2e-6, 0.7, 8.0], ids="{:g}s".format)
def lasting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write recordings of one duration, some with many events and some with few."""
    folder = tmp_path_factory.mktemp("lasting")
    for number in range(6):
        events = random_events(number, 40 if number % 3 else 3000, SENSOR, round(request.param * 1e6))
        write(folder / "ab"[number % 2] / f"{2 * number}.raw", events)
    return folder


@pytest.mark.parametrize("kind", ["csnn", "mlp", "stdp", "first_spike"])
@pytest.mark.parametrize("bins", [{}, {"steps": 1}, {"step_us": 90_000}], ids=str)
def test_choice_is_consistent_for_any_duration(kind: str, bins: dict[str, Any], lasting: Path) -> None:
    config = choose_settings(lasting, TrainConfig.model_validate({"network": kind, **bins})).config
    chosen = ClassifierConfig(
        classes=("a", "b"),
        width=SENSOR.width,
        height=SENSOR.height,
        bins=config.part(BinConfig),
        network=config.part(NetworkConfig),
    )
    output, _ = chosen.build_network()(torch.zeros(config.steps, 1, *chosen.task.shape))
    assert output.shape == (config.steps, 1, 2)


@pytest.mark.parametrize("settings", [["tau_mem_s=1e-6"], ["kernel=4"]])
def test_settings_in_conflict_with_the_choice_are_refused_before_training(
    settings: list[str], bars: Path, tmp_path: Path
) -> None:
    done = dvspipe("train", bars, *settings, cwd=tmp_path, code=2)
    assert settings[0].partition("=")[0] in done.stderr
    assert "run:" not in done.stdout


def test_stdp_trains_with_steps_longer_than_the_default_time_constant(tmp_path: Path) -> None:
    for label, name in enumerate(BAR_CLASSES[:2]):
        for number in range(5):
            bar = moving_bar(label, number)
            slow = Events.wrap_unchecked(5 * bar.t, bar.x, bar.y, bar.p, bar.sensor)
            write(tmp_path / "slow" / name / f"{2 * number}.raw", slow)
    given = TrainConfig(network="stdp", step_us=50_000, **SHORT)
    assert len(train(choose_settings(tmp_path / "slow", given).config, out=tmp_path / "run").epochs) == 2
