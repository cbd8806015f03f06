from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from facts import raises

from dvspipe.base.errors import CheckpointError
from dvspipe.checkpoints.checkpoint import (
    INTEGER_FORMAT,
    ClassifierConfig,
    load_checkpoint,
    read_tensors,
    save_checkpoint,
    write_tensors,
)
from dvspipe.encoding import BinConfig
from dvspipe.networks import NetworkConfig

CONFIG = ClassifierConfig(
    classes=("a", "b"), width=12, height=7, bins=BinConfig(steps=2), network=NetworkConfig(channels=(2,))
)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "saved.safetensors", CONFIG, CONFIG.build_network())
    return tmp_path / "saved.safetensors"


def test_checkpoint_round_trip(saved: Path) -> None:
    config, network = load_checkpoint(saved)
    assert config == CONFIG
    assert not any(tensor.is_meta for tensor in network.state_dict().values())


def test_equal_checkpoints_have_equal_bytes(tmp_path: Path) -> None:
    """The library writes metadata in a random order."""
    path, texts = tmp_path / "a.safetensors", {name: f"\u00fc \n\x01 {name}" for name in ("b", "d", "a", "c")}
    tensors = {"y": torch.arange(3, dtype=torch.int8), "x": torch.arange(5.0)}
    found = set()
    for _ in range(8):
        write_tensors(path, texts, tensors)
        found.add(path.read_bytes())
    assert len(found) == 1
    read_texts, read = read_tensors(path, "a file")
    assert read_texts == texts
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("size", [100, -1])
def test_truncated_checkpoint_is_named_with_its_sizes(saved: Path, size: int) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[:size])
    expected = len(content) if size < 0 else 8 + int.from_bytes(content[:8], "little")
    with raises(CheckpointError, "saved.safetensors", "truncated", f"{len(content[:size]):,}", f"{expected:,}"):
        load_checkpoint(saved)


@pytest.mark.parametrize("content", [b"", b"12345678", b"not a file of tensors", b"\x02" + bytes(7) + b"{]"])
def test_file_of_another_kind_is_not_called_truncated(saved: Path, content: bytes) -> None:
    saved.write_bytes(content)
    with raises(CheckpointError, "saved.safetensors", "a dvspipe checkpoint") as caught:
        load_checkpoint(saved)
    assert "truncated" not in str(caught.value)


def test_longer_file_is_not_called_truncated(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes() + b"1")
    with raises(CheckpointError, "saved.safetensors", "a dvspipe checkpoint"):
        load_checkpoint(saved)


def test_folder_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with raises(CheckpointError, tmp_path, "folder"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["nmnist", "nmist", "nmnist-sintetic"])
def test_similar_name_of_an_included_classifier_is_suggested(name: str) -> None:
    with raises(CheckpointError, name, "nmnist-synthetic?"):
        load_checkpoint(name)


def test_network_in_integers_is_not_a_checkpoint(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a8.safetensors", {"format": INTEGER_FORMAT}, {})
    with raises(CheckpointError, "a8.safetensors", "integers", "export"):
        load_checkpoint(tmp_path / "a8.safetensors")


def test_checkpoint_of_an_earlier_version_names_both_versions(saved: Path) -> None:
    texts, tensors = read_tensors(saved, "a checkpoint")
    old = {
        "config": texts["config"].replace('"tau_mem_s"', '"votes":1,"tau_mem_s"'),
        "versions": json.dumps({"dvspipe": "0.2.0"}),
    }
    write_tensors(saved, texts | old, tensors)
    with raises(CheckpointError, "saved.safetensors", "0.2.0", "0.3"):
        load_checkpoint(saved)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e30, -1e30])
def test_non_finite_or_huge_weights_are_rejected(saved: Path, number: float) -> None:
    texts, tensors = read_tensors(saved, "a checkpoint")
    name = next(name for name in tensors if name.endswith("convolution.weight"))
    tensors[name].view(-1)[0] = number
    write_tensors(saved, texts, tensors)
    with raises(CheckpointError, "saved.safetensors", name):
        load_checkpoint(saved)


def test_negative_variance_is_rejected(saved: Path) -> None:
    texts, tensors = read_tensors(saved, "a checkpoint")
    name = next(name for name in tensors if name.endswith("running_var"))
    write_tensors(saved, texts, tensors | {name: -tensors[name]})
    with raises(CheckpointError, name):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    "change",
    [{"width": 32767, "height": 32767}, {"temperature": 1e-30}, {"classes": ["a", "b", "c"]}, {"inputs": 2**63}],
)
def test_mismatched_configuration_is_rejected_before_the_network_is_built(
    saved: Path, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, tensors = read_tensors(saved, "a checkpoint")
    write_tensors(saved, texts | {"config": json.dumps(json.loads(texts["config"]) | change)}, tensors)
    build, devices = ClassifierConfig.build_network, []

    def spy(config: ClassifierConfig) -> torch.nn.Module:
        devices.append(torch.get_default_device().type)
        return build(config)

    monkeypatch.setattr(ClassifierConfig, "build_network", spy)
    with raises(CheckpointError, "saved.safetensors"):
        load_checkpoint(saved)
    assert devices in ([], ["meta"])


@pytest.mark.parametrize(
    "texts",
    [
        {"config": "[" * 200_000},
        {"config": "1" * 5_000_000},
        {"config": json.dumps(CONFIG.model_dump(mode="json") | {"channels": [1] * 20000})},
        {"config": json.dumps(CONFIG.model_dump(mode="json") | {"classes": ["a", "b" * 1_000_000]})},
        {"config": json.dumps(CONFIG.model_dump(mode="json") | {"trained_on": "b" * 1_000_000})},
        {"config": json.dumps(CONFIG.model_dump(mode="json") | {f"k{n}": 1 for n in range(10_000)})},
        {"format": "b" * 1_000_000},
    ],
)
def test_oversized_settings_give_a_short_error(saved: Path, texts: dict[str, Any]) -> None:
    before, tensors = read_tensors(saved, "a checkpoint")
    write_tensors(saved, before | texts, tensors)
    with raises(CheckpointError, "saved.safetensors") as caught:
        load_checkpoint(saved)
    assert len(str(caught.value)) < 2000
