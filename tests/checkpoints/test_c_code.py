"""Classifiers of integers on disk, and as C code compiled with the C compiler of this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from facts import mentions, raises
from torch import nn

from dvspipe.checkpoints.c_code import FILES, export_c
from dvspipe.checkpoints.checkpoint import ClassifierConfig, save_checkpoint
from dvspipe.checkpoints.integer import IntegerClassifier
from dvspipe.encoding import BinConfig, encode
from dvspipe.errors import CheckpointError, ConfigError, FileError
from dvspipe.events import Events, SensorSize
from dvspipe.formats import write
from dvspipe.networks import parse_network
from dvspipe.networks.integer import run
from dvspipe.networks.quantisation import quantise

COMPILERS = [name for name in ("gcc", "clang", "cc") if shutil.which(name)]
FLAGS = ("-O1", "-Wall", "-Wextra", "-Werror", "-std=c99", "-pedantic")
NETWORKS: dict[str, dict[str, Any]] = {
    "zero": {"channels": (4, 6), "kernel": 3, "gain": 3.0},
    "subtract": {"channels": (4, 6, 5), "kernel": 3, "padded": (True, False, True), "gain": 3.0, "reset": "subtract"},
    "mlp": {"kind": "mlp", "channels": (30, 20), "gain": 4.0, "readout": "linear"},
}


def make_classifier(*, bins: BinConfig | None = None, **settings: Any) -> IntegerClassifier:
    """Quantise a random network on 24 x 14 pixels, binned to 12 x 7."""
    config = ClassifierConfig(
        classes=('a "quoted" one', "b??/", "hände"),
        width=24,
        height=14,
        bins=bins or BinConfig(steps=6, step_us=1000, downsample=2, form="clipped", clip=3),
        network=parse_network({"tau_mem_s": 0.003, "tau_readout_s": 0.004} | settings),
    )
    torch.manual_seed(0)
    network = config.build_network().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_var is not None
            module.running_var.uniform_(0.2, 0.6)
            nn.init.normal_(module.bias, 0.2, 0.2)
    counts = torch.randint(0, 4, (config.bins.steps, 3, *config.task.shape), dtype=torch.uint8)
    return IntegerClassifier(config, quantise(network, counts))


def draw_events(seed: int) -> Events:
    """Draw a recording that ends after the last step, with times beyond the camera's 13-bit clock."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(8_380_000, 8_380_000 + 7000 + 3000 * seed, 400))
    x, y = rng.integers(0, 24, 400), rng.integers(0, 14, 400)
    return Events(t=t, x=x, y=y, p=rng.random(400) < 0.5, sensor=SensorSize(width=24, height=14))


def test_classifier_is_read_as_it_was_written(tmp_path: Path) -> None:
    classifier = make_classifier(**NETWORKS["subtract"])
    classifier.save(tmp_path / "a8.safetensors")
    found = IntegerClassifier.load(tmp_path / "a8.safetensors")
    counts = np.random.default_rng(0).integers(0, 4, (6, *classifier.network.shape)).astype(np.uint8)
    assert found.config == classifier.config
    assert (run(found.network, counts) == run(classifier.network, counts)).all()
    with raises(FileError, "a8.safetensors"):
        classifier.save(tmp_path / "a8.safetensors")
    with raises(FileError, ".bin"):
        classifier.save(tmp_path / "a8.bin")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    with raises(CheckpointError, "net.safetensors"):
        IntegerClassifier.load(path)
    classifier = make_classifier(**NETWORKS["zero"])
    save_checkpoint(path, classifier.config, classifier.config.build_network())
    with raises(CheckpointError, "net.safetensors", "dvspipe-classifier-1"):
        IntegerClassifier.load(path)
    classifier.save(path, overwrite=True)
    path.write_bytes(path.read_bytes().replace(b'\\"pool\\":2', b'\\"pool\\":1'))
    with raises(CheckpointError, "net.safetensors"):
        IntegerClassifier.load(path)


def test_bins_of_complete_recordings_are_refused(tmp_path: Path) -> None:
    classifier = make_classifier(
        bins=BinConfig(steps=6, step_us=1000, by="recording", downsample=2), **NETWORKS["zero"]
    )
    classifier.save(tmp_path / "a8.safetensors")
    with raises(ConfigError, "a8.safetensors", "bins.by", "recording"):
        export_c(tmp_path / "a8.safetensors", tmp_path / "code")


def test_existing_code_is_kept(tmp_path: Path) -> None:
    make_classifier(**NETWORKS["zero"]).save(tmp_path / "a8.safetensors")
    export_c(tmp_path / "a8.safetensors", tmp_path / "code")
    with raises(FileError, FILES[0]):
        export_c(tmp_path / "a8.safetensors", tmp_path / "code")
    assert export_c(tmp_path / "a8.safetensors", tmp_path / "code", overwrite=True)


def test_network_uses_only_stdint_and_string(tmp_path: Path) -> None:
    make_classifier(**NETWORKS["zero"]).save(tmp_path / "a8.safetensors")
    header, code, *_ = (path.read_text() for path in export_c(tmp_path / "a8.safetensors", tmp_path / "code"))
    included = {line.split()[1] for line in (header + code).splitlines() if line.startswith("#include")}
    assert included == {"<stdint.h>", "<string.h>", '"dvspipe_network.h"'}
    assert not any(word in code for word in ("malloc", "float ", "double "))


@pytest.mark.skipif(not COMPILERS, reason="no C compiler is installed")
@pytest.mark.parametrize("name", NETWORKS)
def test_compiled_code_equals_the_reference(name: str, tmp_path: Path) -> None:
    """Golden scores of all steps are equal, and recordings from standard input have the label of the reference."""
    classifier = make_classifier(**NETWORKS[name])
    classifier.save(tmp_path / "a8.safetensors")
    export_c(tmp_path / "a8.safetensors", tmp_path)
    for compiler in COMPILERS[:1] if name != "zero" else COMPILERS:
        for program in ("check", "main"):
            sources = [tmp_path / f"{program}.c", tmp_path / "dvspipe_network.c"]
            subprocess.run([compiler, *FLAGS, *sources, "-o", tmp_path / program], check=True)
        checked = subprocess.run([tmp_path / "check"], capture_output=True, text=True, check=True)
        assert mentions(checked.stdout, 6)
    for seed in range(4):
        events = draw_events(seed)
        write(tmp_path / "events.bin", events, overwrite=True)
        scores = run(classifier.network, encode(events, classifier.bins))[-1]
        with (tmp_path / "events.bin").open("rb") as file:
            found = subprocess.run([tmp_path / "main"], stdin=file, capture_output=True, check=True)
        assert found.stdout.decode().strip() == classifier.config.classes[scores.argmax()]


@pytest.mark.skipif(not COMPILERS, reason="no C compiler is installed")
def test_program_names_what_is_wrong_with_its_input(tmp_path: Path) -> None:
    make_classifier(**NETWORKS["zero"]).save(tmp_path / "a8.safetensors")
    export_c(tmp_path / "a8.safetensors", tmp_path)
    sources = [tmp_path / "main.c", tmp_path / "dvspipe_network.c"]
    subprocess.run([COMPILERS[0], *FLAGS, *sources, "-o", tmp_path / "main"], check=True)
    for content, facts in ((b"", ("events",)), (bytes([30, 1, 0, 0, 0]), (30, "24x14"))):
        found = subprocess.run([tmp_path / "main"], input=content, capture_output=True, check=False)
        assert found.returncode == 2
        assert mentions(found.stderr.decode(), *facts)
