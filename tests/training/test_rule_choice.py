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
from pydantic import JsonValue

from dvspipe.base.errors import ConfigError
from dvspipe.base.overrides import parse_overrides
from dvspipe.base.trees import merge_settings
from dvspipe.checkpoints.checkpoint import ClassifierConfig
from dvspipe.events import Events, SensorSize
from dvspipe.formats import write
from dvspipe.training import TrainConfig, choose_settings
from dvspipe.verbs.training import train

SHORT: dict[str, Any] = {"jobs": 1, "data": {"views": 1}, "optimiser": {"epochs": 2}}
WAYS: dict[str, Any] = {
    **{rule: f"optimiser.rule={rule}" for rule in ("bptt", "ottt", "eprop", "decolle")},
    **{kind: f"network.kind={kind}" for kind in ("stdp", "first_spike")},
}
"""Settings that select each rule."""

SENSOR = SensorSize(width=20, height=14)


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rules") / "bars"
    for label, name in enumerate(BAR_CLASSES[:2]):
        for number in range(5):
            write(folder / name / f"{2 * number}.raw", moving_bar(label, number))
    return folder


@pytest.mark.parametrize("rule", WAYS)
def test_every_rule_trains_a_folder(rule: str, bars: Path, tmp_path: Path) -> None:
    choice = choose_settings(bars, merge_settings(SHORT, parse_overrides([WAYS[rule]])))
    run = train(choice.config, tmp_path / "run")
    assert len(run.epochs) == 2
    assert run.test.samples == 2
    lines = choice.to_yaml().splitlines()
    comments = " ".join(line.removeprefix("# ") for line in lines if line.startswith("# "))
    for group, reason in choice.reasons.items():
        assert all(line in comments for line in reason.splitlines()), group
    assert max(map(len, lines)) < 80


@pytest.mark.parametrize("rule", ["ottt", "eprop", "decolle"])
def test_each_setting_required_by_a_rule_has_a_reason(rule: str, bars: Path) -> None:
    choice = choose_settings(bars, parse_overrides([WAYS[rule]]))
    lines = choice.to_yaml().splitlines()
    for setting in ("norm", "reset", "detach_reset", *(["channels"] if rule == "eprop" else []), "loss"):
        assert sum(line.startswith(f"# {setting}: ") for line in lines) == 1, setting
    assert len(choice.config.network.channels) == (1 if rule == "eprop" else 3)


def test_setting_unsupported_by_a_rule_suggests_overrides(bars: Path) -> None:
    given = ["optimiser.rule=eprop", "network.reset=zero", "network.channels=[8,8]", "network.padded=[true,false]"]
    given += ["optimiser.loss=mean"]
    with raises(ConfigError, "rule = eprop") as raised:
        choose_settings(bars, parse_overrides(given))
    line = re.sub(".*: needs ", "", str(raised.value))
    assert shlex.split(line) == [
        "network.reset=subtract",
        "network.channels=[8]",
        "network.padded=[true]",
        "optimiser.loss=each_step",
    ]
    config = choose_settings(bars, parse_overrides([*given, *shlex.split(line)])).config
    assert config.network.padded == (True,)


@pytest.mark.parametrize("kind", ["stdp", "first_spike"])
def test_network_kind_given_as_a_rule_is_explained(kind: str, bars: Path) -> None:
    with raises(ConfigError, f"kind={kind}"):
        choose_settings(bars, {"optimiser": {"rule": kind}})
    with raises(ConfigError, f"kind={kind}"):
        TrainConfig(optimiser={"rule": kind})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        ["network.kind=stdp", "network.channels=[6]"],
        ["network.kind=stdp", "network.channels=[6,7,8]", "optimiser.epochs=4"],
        ["network.kind=first_spike", "network.leak=true"],
        ["network.kind=first_spike", "network.leak=true", "network.tau_mem_s=0.02"],
        ["network.kind=mlp", "optimiser.rule=ottt"],
    ],
    ids=" ".join,
)
def test_chosen_settings_follow_given_ones(settings: list[str], bars: Path, tmp_path: Path) -> None:
    short = {"jobs": 1, "data": {"views": 1}, "optimiser": {"epochs": 3}}
    config = choose_settings(bars, merge_settings(short, parse_overrides(settings))).config  # type: ignore[arg-type]
    assert len(train(config, tmp_path / "run").epochs) == config.optimiser.epochs


def test_stdp_layers_share_the_epochs(bars: Path) -> None:
    config = choose_settings(bars, parse_overrides(["network.kind=stdp", "optimiser.epochs=7"])).config
    assert (config.stdp.passes, len(config.network.channels)) == (3, 2)
    chosen = choose_settings(bars, parse_overrides(["network.kind=stdp"])).config
    assert chosen.optimiser.epochs == 2 * chosen.stdp.passes


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
def test_choice_is_consistent_for_any_duration(kind: str, bins: dict[str, JsonValue], lasting: Path) -> None:
    config = choose_settings(lasting, {"network": {"kind": kind}, "bins": bins}).config
    chosen = ClassifierConfig(
        classes=("a", "b"), width=SENSOR.width, height=SENSOR.height, bins=config.bins, network=config.network
    )
    output, _ = chosen.build_network()(torch.zeros(config.bins.steps, 1, *chosen.task.shape))
    assert output.shape == (config.bins.steps, 1, 2)


@pytest.mark.parametrize("settings", [["network.tau_mem_s=1e-6"], ["network.kernel=4"]])
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
    given = merge_settings(SHORT, parse_overrides(["network.kind=stdp", "bins.step_us=50000"]))
    assert len(train(choose_settings(tmp_path / "slow", given).config, tmp_path / "run").epochs) == 2
