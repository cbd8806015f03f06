"""Classifiers of moving bars with random weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from conftest import BAR_CLASSES, BAR_SENSOR
from torch import nn

from dvspipe.checkpoints.checkpoint import ClassifierConfig
from dvspipe.encoding import BinConfig
from dvspipe.events import SensorSize
from dvspipe.hooks import Adviser
from dvspipe.inference import Classifier
from dvspipe.networks import NetworkConfig


def untrained_config(
    bins: Mapping[str, object], sensor: SensorSize = BAR_SENSOR, classes: tuple[str, ...] = BAR_CLASSES
) -> ClassifierConfig:
    """Configuration of a small network."""
    return ClassifierConfig(
        classes=classes,
        width=sensor.width,
        height=sensor.height,
        bins=BinConfig.model_validate(dict(bins)),
        network=NetworkConfig(channels=(4,), kernel=3, tau_mem_s=0.04),
        trained_on="nothing",
    )


def untrained_network(config: ClassifierConfig, gain: float = 3.0) -> nn.Module:
    """Network with random weights; with the default gain, its spike rates are strictly between 0 and 1."""
    torch.manual_seed(0)
    network = config.build_network()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(gain)
    return network


def untrained_classifier(
    sensor: SensorSize = BAR_SENSOR,
    classes: tuple[str, ...] = BAR_CLASSES,
    *,
    gain: float = 3.0,
    adviser: Adviser | None = None,
    **bins: object,
) -> Classifier:
    """Classifier of five steps of 20 ms with random weights."""
    config = untrained_config({"steps": 5, "step_us": 20_000} | bins, sensor, classes)
    return Classifier(config, untrained_network(config, gain), adviser=adviser)
