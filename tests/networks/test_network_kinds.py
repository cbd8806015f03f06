"""Kinds of networks, and the settings of each kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from facts import mentions, raises

from dvspipe.base.errors import ConfigError
from dvspipe.networks import NetworkConfig
from dvspipe.results import RunFolder
from dvspipe.training import TrainConfig
from dvspipe.training.resuming import check_config


def test_network_without_kind_is_a_csnn() -> None:
    assert NetworkConfig(channels=(3,)) == NetworkConfig(network="csnn", channels=(3,))
    assert TrainConfig().part(NetworkConfig) == NetworkConfig(network="csnn")


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({"network": "mlp", "kernel": 3}, ("kernel", "network = csnn or stdp", "found mlp")),
        ({"network": "csnn", "last_pool": 3}, ("last_pool", "network = stdp", "found csnn")),
        ({"network": "snn"}, ("network = 'snn'", "'first_spike'", "'module'")),
        ({"network": ["csnn"]}, ("network = ", "'first_spike'", "'module'")),
        ({"network": "stdp", "last_pol": 3}, ("last_pol",)),
    ],
)
def test_wrong_setting_of_a_kind_is_explained_in_one_line(settings: dict[str, Any], facts: tuple[str, ...]) -> None:
    with raises(ConfigError, *facts) as raised:
        TrainConfig.model_validate(settings)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["mlp", "module"])
def test_selected_kind_drops_settings_of_the_configuration_with_a_note(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = TrainConfig.read("nmnist", {"network": kind})
    assert (config.network, "kernel" in config.given) == (kind, False)
    assert any(mentions(line, "nmnist", "kernel = ", kind) for line in caplog.messages)


def test_explicit_setting_of_another_kind_is_rejected() -> None:
    with raises(ConfigError, "kernel", "mlp"):
        TrainConfig.read("nmnist", {"network": "mlp", "kernel": 3})


def test_resume_needs_the_stored_settings(tmp_path: Path) -> None:
    config = TrainConfig(network="mlp", channels=(4,))
    stored = config.to_record()
    run = RunFolder(tmp_path)
    run.config.write_text(yaml.safe_dump(stored))
    check_config(config, run, changed=False)
    with raises(ConfigError, "channels = [4]", "[5]"):
        check_config(TrainConfig(network="mlp", channels=(5,)), run, changed=True)
