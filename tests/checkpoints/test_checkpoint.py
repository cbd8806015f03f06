from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from facts import raises
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from dvspipe.base.errors import CheckpointError, ConfigError
from dvspipe.checkpoints.checkpoint import (
    INTEGER_FORMAT,
    ClassifierConfig,
    load_checkpoint,
    load_config,
    read_arrays,
    read_tensors,
    save_checkpoint,
    write_arrays,
    write_tensors,
)
from dvspipe.encoding import BinConfig
from dvspipe.networks import NetworkConfig, run_network


def make_config(**network: Any) -> ClassifierConfig:
    return ClassifierConfig(
        classes=("a", "b"), width=12, height=7, bins=BinConfig(steps=2), network=NetworkConfig(**network)
    )


def make_own() -> nn.Module:
    return nn.Sequential(nn.Flatten(2), nn.Linear(2 * 7 * 12, 2))


CONFIG = make_config(channels=(2,))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "saved.safetensors", CONFIG, CONFIG.build_network())
    return tmp_path / "saved.safetensors"


def rewrite(path: Path, **texts: str) -> None:
    """Replace texts of a checkpoint, with a valid digest."""
    before, tensors = read_tensors(path, "a checkpoint")
    write_tensors(path, before | texts, tensors)


@pytest.mark.parametrize(
    "network",
    [
        {"channels": (2, 3), "kernel": 3, "dropout": 0.1},
        {"channels": (2, 3), "kernel": 3, "norm": "weight", "tau_syn_s": 0.05},
        {"network": "mlp", "channels": (5,), "reset": "subtract"},
        {"network": "stdp", "channels": (4, 6), "kernel": 3},
        {"network": "module"},
    ],
)
def test_loaded_network_computes_the_same(tmp_path: Path, network: dict[str, Any]) -> None:
    config = make_config(**network)
    is_own = config.network.network == "module"
    written = (make_own() if is_own else config.build_network()).eval()
    save_checkpoint(tmp_path / "a.safetensors", config, written)
    read = load_checkpoint(tmp_path / "a.safetensors", network=make_own() if is_own else None)
    assert read.config == load_config(tmp_path / "a.safetensors") == config
    assert not read.network.training
    with torch.no_grad():
        spikes = 3 * torch.rand(4, 2, 2, 7, 12)
        torch.testing.assert_close(
            run_network(read.network, spikes)[0], run_network(written, spikes)[0], rtol=0, atol=0
        )


def test_weights_of_an_own_network_need_that_network(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, make_config(network="module"), make_own())
    with raises(ConfigError, "a.safetensors", "network=NETWORK"):
        load_checkpoint(path)
    with raises(ConfigError, "a.safetensors", "1.weight"):
        load_checkpoint(path, network=nn.Sequential(nn.Flatten(2), nn.Linear(3, 2)))


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    """The library writes metadata in a random order."""
    path = tmp_path / "a.safetensors"
    texts = {name: f"\u00fc \n\x01 {name}" for name in ("b", "d", "a", "c")}
    arrays = {"y": np.arange(3, dtype=np.int8), "x": np.arange(5.0), "empty": np.zeros((0, 2), np.float32)}
    write_arrays(path, texts, arrays)
    content = path.read_bytes()
    for _ in range(8):
        with path.open("rb") as old:
            write_arrays(path, texts, arrays)
            assert old.read() == path.read_bytes() == content  # a new file takes the place of the old one
            assert os.fstat(old.fileno()).st_ino != path.stat().st_ino
    read_texts, read = read_arrays(path, "a file")
    assert read_texts == texts
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array, strict=True)


@given(place=st.integers(min_value=0), mask=st.integers(0, 255))
def test_truncated_or_changed_file_is_one_line(saved: Path, place: int, mask: int) -> None:
    """Cut the file at a place, or flip bits of a number."""
    content = bytearray(saved.read_bytes())
    changed = saved.with_name("changed.safetensors")
    if mask:
        first = 8 + int.from_bytes(content[:8], "little")
        content[first + place % (len(content) - first)] ^= mask
    else:
        del content[place % len(content) :]

    changed.write_bytes(content)
    with raises(CheckpointError, "changed.safetensors", "digest" if mask else "truncated") as caught:
        load_checkpoint(changed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.complex64])
def test_types_that_no_network_has_are_one_line(tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2, dtype=dtype)}, path)
    with raises(CheckpointError, "foreign.safetensors", "not a dvspipe checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("stored", "message"),
    [(INTEGER_FORMAT, "integers"), ("dvspipe-classifier-1", "earlier"), ("b" * 1_000_000, "dvspipe-classifier-2")],
)
def test_file_of_another_format_is_named(saved: Path, stored: str, message: str) -> None:
    rewrite(saved, format=stored)
    with raises(CheckpointError, "saved.safetensors", message) as caught:
        load_checkpoint(saved)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("part", "number"), [("0.weight", np.nan), ("0.weight", np.inf), ("0.weight", -1e30), ("running_var", -1.0)]
)
def test_numbers_that_no_training_gives_are_rejected(saved: Path, part: str, number: float) -> None:
    texts, tensors = read_tensors(saved, "a checkpoint")
    name = next(name for name in tensors if name.endswith(part))
    tensors[name].view(-1)[0] = number
    write_tensors(saved, texts, tensors)
    with raises(CheckpointError, "saved.safetensors", name):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    "config",
    [
        *(
            json.dumps(CONFIG.model_dump(mode="json") | change)
            for change in (
                {"width": 32767, "height": 32767},
                {"temperature": 1e-30},
                {"classes": ["a", "b", "c"]},
                {f"k{n}": 1 for n in range(10_000)},
            )
        ),
        "[" * 200_000,
    ],
    ids=["sensor", "temperature", "classes", "settings", "nested"],
)
def test_claimed_sizes_cost_no_memory(saved: Path, config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(saved, config=config)
    build = ClassifierConfig.build_network
    devices = []

    def spy(config: ClassifierConfig, device: str = "cpu") -> nn.Module:
        devices.append(device)
        return build(config, device)

    monkeypatch.setattr(ClassifierConfig, "build_network", spy)
    with raises(CheckpointError, "saved.safetensors") as caught:
        load_checkpoint(saved)
    assert len(str(caught.value)) < 2000
    assert devices in ([], ["meta"])


@pytest.mark.parametrize("logits", [[0.5, -1.0], [1e4, 0.0], [-2e4, -1e4]])
def test_probabilities_are_a_softmax_at_the_temperature(logits: list[float]) -> None:
    config = CONFIG.model_copy(update={"temperature": 2.0})
    wanted = (torch.tensor([logits]) / 2).softmax(1)
    np.testing.assert_allclose(config.probabilities(np.array([logits], np.float32)), wanted, rtol=1e-6)


def test_paths_without_a_checkpoint_are_named(tmp_path: Path) -> None:
    (tmp_path / "events.h5").touch()
    with raises(CheckpointError, tmp_path, "folder"):
        load_checkpoint(tmp_path)
    with raises(CheckpointError, "events.h5", "a .h5 file", ".safetensors"):
        load_checkpoint(tmp_path / "events.h5")
    with raises(CheckpointError, "unknown", "gesture", "nmnist-synthetic", "hf://USER/NAME"):
        load_checkpoint("unknown")
