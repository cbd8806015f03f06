"""Compilers and emulated machines for exported C code, and random networks to export."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import nn

from dvspipe.checkpoints.checkpoint import ClassifierConfig
from dvspipe.encoding import BinConfig
from dvspipe.integers.c_code import export_c
from dvspipe.integers.classifier import IntegerClassifier
from dvspipe.integers.compilation import compile_network
from dvspipe.networks import NetworkConfig

FLAGS = ("-O1", "-Wall", "-Wextra", "-Werror", "-std=c99", "-pedantic")
NETWORKS: dict[str, dict[str, Any]] = {
    "zero": {"channels": (4, 6), "kernel": 3, "threshold": 0.3333},
    "subtract": {
        "channels": (4, 6, 5),
        "kernel": 3,
        "padded": (True, False, True),
        "threshold": 0.3333,
        "reset": "subtract",
    },
    "mlp": {"network": "mlp", "channels": (30, 20), "threshold": 0.25},
    "synapses": {"channels": (4, 6), "kernel": 3, "threshold": 0.5, "tau_syn_s": 0.004},
    "standardised": {"channels": (4, 6), "kernel": 3, "threshold": 0.1667, "norm": "weight"},
}


class Target(NamedTuple):
    """Compiler of a machine, and the program that runs its executables."""

    compiler: tuple[str, ...]
    runner: tuple[str, ...] = ()

    def build(self, folder: Path, program: str) -> tuple[str | Path, ...]:
        """Compile a program of an exported folder; return the command that runs it."""
        sources = [folder / f"{program}.c", folder / "dvspipe_network.c"]
        subprocess.run([*self.compiler, *FLAGS, *sources, "-o", folder / program], check=True)
        return (*self.runner, folder / program)

    @property
    def problem(self) -> str | None:
        """Reason why the target cannot be used on this machine; None if a small program runs."""
        return _find_problem(self)


@cache
def _find_problem(target: Target) -> str | None:
    for program in (target.compiler[0], *target.runner[:1]):
        if not shutil.which(program):
            return f"{program} is not installed"
    with TemporaryDirectory() as folder:
        source = Path(folder, "a.c")
        source.write_text("#include <stdio.h>\n#include <string.h>\nint main(void) { return 0; }\n")
        done = subprocess.run(
            [*target.compiler, source, "-o", source.with_suffix("")], capture_output=True, check=False
        )
        return f"{' '.join(target.compiler)} finds no libraries" if done.returncode else None


TARGETS = {
    "gcc": Target(("gcc",)),
    "clang": Target(("clang",)),
    "32 bit": Target(("gcc", "-m32")),
    "big endian": Target(("powerpc-linux-gnu-gcc", "-static"), ("qemu-ppc",)),
    "arm64": Target(("aarch64-linux-gnu-gcc", "-static"), ("qemu-aarch64",)),
    "cortex-m4": Target(
        ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "--specs=rdimon.specs"), ("qemu-arm", "-cpu", "cortex-m4")
    ),
}
C_COMPILER = next((target for name in ("gcc", "clang") if not (target := TARGETS[name]).problem), None)


def make_network(*, bins: BinConfig | None = None, **settings: Any) -> tuple[ClassifierConfig, nn.Module]:
    """Draw a network on 24 x 14 pixels, binned to 12 x 7, with batch statistics that are not the default."""
    config = ClassifierConfig(
        classes=('a "quoted" one', "b??/", "hände"),
        width=24,
        height=14,
        bins=bins or BinConfig(steps=6, step_us=1000, downsample=2, form="binary"),
        network=NetworkConfig.model_validate({"tau_mem_s": 0.003, "tau_readout_s": 0.004} | settings),
    )
    torch.manual_seed(0)
    network = config.build_network().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_var is not None
            module.running_var.uniform_(0.2, 0.6)
            nn.init.normal_(module.bias, 0.2, 0.2)
    return config, network


def make_classifier(*, bins: BinConfig | None = None, **settings: Any) -> IntegerClassifier:
    """Quantise a random network."""
    config, network = make_network(bins=bins, **settings)
    counts = torch.randint(0, 4, (config.bins.steps, 3, *config.shape), dtype=torch.uint8)
    return IntegerClassifier(config, compile_network(network, counts))


def export_classifier(classifier: IntegerClassifier, folder: Path) -> Path:
    """Write a classifier and its C code into a folder, and return the folder."""
    classifier.save(folder / "a8.safetensors")
    export_c(folder / "a8.safetensors", folder)
    return folder
