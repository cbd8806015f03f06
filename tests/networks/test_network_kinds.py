"""Kinds of networks, and the settings of each kind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from facts import raises

from dvspipe.base.config import build, keep_own
from dvspipe.base.errors import ConfigError
from dvspipe.checkpoints.checkpoint import (
    ClassifierConfig,
    load_checkpoint,
    read_tensors,
    save_checkpoint,
    write_tensors,
)
from dvspipe.cli.options import read_config
from dvspipe.encoding import BinConfig
from dvspipe.networks import CsnnConfig, MlpConfig, ModuleConfig, StdpNetworkConfig, parse_network
from dvspipe.training import TrainConfig
from dvspipe.training.resuming import check_config

VERSION_0_1_0: dict[str, Any] = {
    "tau_mem_s": 0.03,
    "tau_syn_s": None,
    "learn_tau": False,
    "gain": 1.0,
    "reset": "zero",
    "detach_reset": False,
    "surrogate": "superspike",
    "slope": 5.0,
    "target": None,
    "options": {},
    "call": "sequence",
    "channels": [12, 64],
    "kernel": 5,
    "padded": None,
    "pool": 2,
    "hidden": 512,
    "thresholds": [10.0, 10.0],
    "last_pool": 4,
    "leak": True,
    "keep_alive": 0.0,
    "norm": "batch",
    "readout": "leaky",
    "votes": 1,
    "tau_readout_s": 0.1,
    "dropout": 0.0,
}
"""Settings of all kinds of networks in version 0.1.0, with their defaults."""


@pytest.mark.parametrize("kind", ["csnn", "sew", "plif", "mlp", "first_spike", "module"])
def test_complete_configuration_of_version_0_1_0_is_read(kind: str) -> None:
    assert parse_network(VERSION_0_1_0 | {"kind": kind}) == parse_network({"kind": kind})


def test_complete_stdp_configuration_of_version_0_1_0_is_read() -> None:
    before = VERSION_0_1_0 | {"kind": "stdp", "readout": "linear", "thresholds": [5.0, 6.0]}
    assert parse_network(before) == StdpNetworkConfig(thresholds=(5.0, 6.0))


def test_network_without_kind_is_a_csnn() -> None:
    assert parse_network({"channels": [3]}) == CsnnConfig(channels=(3,))
    assert build(TrainConfig, {}, "test").network == CsnnConfig()


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({"kind": "mlp", "kernel": 3}, ("network.kernel = 3", "network.kind = csnn, sew, plif or stdp", "found mlp")),
        ({"hidden": 300}, ("network.hidden = 300", "network.kind = plif", "found csnn")),
        ({"kind": "snn"}, ("network.kind = 'snn'", "first_spike, module", "csnn?")),
        ({"kind": ["csnn"]}, ("network.kind = ", "csnn", "first_spike, module")),
        ({"kind": "plif", "hiden": 3}, ("network.hiden", "did you mean network.hidden?")),
    ],
)
def test_wrong_setting_of_a_kind_is_explained_in_one_line(settings: dict[str, Any], facts: tuple[str, ...]) -> None:
    with raises(ConfigError, *facts) as raised:
        build(TrainConfig, {"network": settings}, "mine.yaml")
    message = str(raised.value)
    assert message.startswith("mine.yaml: ")
    assert "\n" not in message


def test_stored_settings_of_other_kinds_are_dropped() -> None:
    stored: dict[str, Any] = {"seed": 1, "network": {"kind": "mlp", "kernel": 3, "channels": [5]}}
    assert keep_own(TrainConfig, stored) == {"seed": 1, "network": {"kind": "mlp", "channels": [5]}}
    assert keep_own(TrainConfig, {"seed": 1}) == {"seed": 1}


def test_checkpoint_with_settings_of_another_kind_loads(tmp_path: Path) -> None:
    network = MlpConfig(channels=(4,))
    config = ClassifierConfig(classes=("a", "b"), width=12, height=7, bins=BinConfig(steps=2), network=network)
    path = tmp_path / "before.safetensors"
    save_checkpoint(path, config, config.build_network())
    texts, tensors = read_tensors(path, "a checkpoint")
    content = json.loads(texts["config"])
    content["network"] = VERSION_0_1_0 | {"kernel": 3, "hidden": 300} | content["network"]
    write_tensors(path, texts | {"config": json.dumps(content)}, tensors)
    assert load_checkpoint(path)[0] == config


@pytest.mark.parametrize(("kind", "network"), [("mlp", MlpConfig), ("module", ModuleConfig)])
def test_selected_kind_drops_settings_of_the_configuration_with_a_note(
    kind: str, network: type[MlpConfig | ModuleConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = read_config("nmnist", [f"network.kind={kind}", "baseline=false"])
    assert isinstance(build(TrainConfig, settings, "nmnist").network, network)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(rf"network.kind = {kind}: .*network.kernel.*nmnist", line)


def test_explicit_setting_of_another_kind_is_rejected() -> None:
    settings = read_config("nmnist", ["network.kind=mlp", "network.kernel=3"])
    with raises(ConfigError, "network.kernel = 3", "mlp"):
        build(TrainConfig, settings, "nmnist")


def test_resume_ignores_stored_settings_of_another_kind(tmp_path: Path) -> None:
    config = TrainConfig(network=MlpConfig(channels=(4,)))
    stored = config.model_dump(mode="json")
    stored["network"] = VERSION_0_1_0 | {"kernel": 3} | stored["network"]
    path = tmp_path / "args.yaml"
    path.write_text(yaml.safe_dump(stored))
    check_config(config, path, changed=False)
    with raises(ConfigError, "network.channels = [4]", "[5]"):
        check_config(TrainConfig(network=MlpConfig(channels=(5,))), path, changed=True)
