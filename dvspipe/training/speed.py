"""Measurement of the training time on this machine."""

from __future__ import annotations

import time

import torch

from ..checkpoints.checkpoint import ClassifierConfig
from ..events import SensorSize
from ..rules import backpropagate
from .config import TrainConfig

REPEATS = 3  # the first repetition also compiles


def measure_step(config: TrainConfig, sensor: SensorSize, classes: tuple[str, ...]) -> float:
    """Measure the training time per recording, in seconds.

    Args:
        config: Configuration; a batch of its size with random spikes is measured.
        sensor: Sensor of the recordings.
        classes: Class names.
    """
    classifier = ClassifierConfig(
        classes=classes, width=sensor.width, height=sensor.height, bins=config.bins, network=config.network
    )
    network, batch = classifier.build_network(), config.optimiser.batch
    spikes = (torch.rand(config.bins.steps, batch, *classifier.task.shape) < 0.05).float()
    taken_s = []
    for _ in range(REPEATS):
        start_s = time.perf_counter()
        backpropagate(network, spikes, lambda outputs: outputs.square().mean())
        taken_s.append(time.perf_counter() - start_s)
    return min(taken_s) / batch
