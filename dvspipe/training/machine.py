"""The machine that computes a result: its description, memory and speed."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import torch

from ..checkpoints.checkpoint import ClassifierConfig
from ..encoding import BinConfig
from ..events import SensorSize
from ..networks import NetworkConfig
from ..rules import Bptt
from .config import TrainConfig

REPEATS = 3  # measured steps; the first one also compiles
SPIKE_SHARE = 0.05  # spikes in the random inputs of a measured step
CPUINFO = Path("/proc/cpuinfo")  # Linux's description of the processor


def describe_machine(device: torch.device) -> dict[str, str]:
    """Describe Python, the system, processor, threads, and the GPU if one is used."""
    gpu = {"GPU": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}

    return {
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
    } | gpu


def measure_step(config: TrainConfig, sensor: SensorSize, classes: tuple[str, ...]) -> float:
    """Measure the training time per recording, in seconds.

    Args:
        config: Configuration; a batch of its size with random spikes is measured.
        sensor: Sensor of the recordings.
        classes: Class names.
    """
    classifier = ClassifierConfig(
        classes=classes,
        width=sensor.width,
        height=sensor.height,
        bins=config.part(BinConfig),
        network=config.part(NetworkConfig),
    )
    network = classifier.build_network()
    batch = config.batch
    spikes = (torch.rand(config.steps, batch, *classifier.shape) < SPIKE_SHARE).float()

    taken_s = []
    for _ in range(REPEATS):
        start_s = time.perf_counter()
        Bptt(network).update(spikes, lambda outputs: outputs.square().mean())
        taken_s.append(time.perf_counter() - start_s)

    # Other programs disturbed the shortest step least.
    return min(taken_s) / batch


def _processor() -> str:
    if CPUINFO.is_file():
        for line in CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.startswith("model name"):
                return value.strip()

    return platform.processor() or platform.machine()
