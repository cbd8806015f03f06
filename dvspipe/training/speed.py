"""How long a training takes on this machine."""

from __future__ import annotations

import time

import torch

from ..checkpoints.checkpoint import ClassifierConfig
from ..events import SensorSize
from ..learning import backpropagate
from .config import TrainConfig

REPEATS = 3  # of which the first one also compiles


def measure_step(config: TrainConfig, sensor: SensorSize, classes: tuple[str, ...]) -> float:
    """Return the seconds that this machine needs to train the network of an experiment on one recording once.

    Args:
        config: The experiment; its batch is what is measured, with random spikes.
        sensor: The sensor of the recordings.
        classes: Names of the classes.
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
