"""Kinds of networks, and the settings of each kind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from facts import raises

from dvspipe.base.config import build
from dvspipe.base.errors import ConfigError
from dvspipe.networks import CsnnConfig, MlpConfig, ModuleConfig, parse_network
from dvspipe.results import RunFolder
from dvspipe.training import TrainConfig
from dvspipe.training.resuming import check_config


def test_network_without_kind_is_a_csnn() -> None:
    assert parse_network({"channels": [3]}) == CsnnConfig(channels=(3,))
    assert build(TrainConfig, {}, "test").network == CsnnConfig()


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({"kind": "mlp", "kernel": 3}, ("MlpConfig", "kernel = 3")),
        ({"last_pool": 3}, ("CsnnConfig", "last_pool = 3")),
        ({"kind": "snn"}, ("'snn'", "'first_spike', 'module'")),
        ({"kind": ["csnn"]}, ("network = ", "'first_spike', 'module'")),
        ({"kind": "stdp", "last_pol": 3}, ("last_pol = 3",)),
    ],
)
def test_wrong_setting_of_a_kind_is_explained_in_one_line(settings: dict[str, Any], facts: tuple[str, ...]) -> None:
    with raises(ConfigError, *facts) as raised:
        build(TrainConfig, {"network": settings}, "mine.yaml")
    message = str(raised.value)
    assert message.startswith("mine.yaml: ")
    assert "\n" not in message


@pytest.mark.parametrize(("kind", "network"), [("mlp", MlpConfig), ("module", ModuleConfig)])
def test_selected_kind_drops_settings_of_the_configuration_with_a_note(
    kind: str, network: type[MlpConfig | ModuleConfig], caplog: pytest.LogCaptureFixture
) -> None:
    config = TrainConfig.read("nmnist", {"network.kind": kind})
    assert isinstance(config.network, network)
    (line,) = caplog.messages
    assert re.search(rf"network.kind = {kind}: .*network.kernel.*nmnist", line)


def test_explicit_setting_of_another_kind_is_rejected() -> None:
    with raises(ConfigError, "kernel = 3", "MlpConfig"):
        TrainConfig.read("nmnist", {"network.kind": "mlp", "network.kernel": 3})


def test_resume_needs_the_stored_settings(tmp_path: Path) -> None:
    config = TrainConfig(network=MlpConfig(channels=(4,)))
    stored = config.model_dump(mode="json")
    run = RunFolder(tmp_path)
    run.config.write_text(yaml.safe_dump(stored))
    check_config(config, run, changed=False)
    with raises(ConfigError, "network.channels = [4]", "[5]"):
        check_config(TrainConfig(network=MlpConfig(channels=(5,))), run, changed=True)
