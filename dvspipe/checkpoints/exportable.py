"""Network to export, the metadata of its file, and a random sample to compare outputs."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..networks import SpikingNetwork
from .checkpoint import ClassifierConfig, versions

SAMPLE_RATES = (0.05, 0.5)  # fractions of entries with an event, one per recording of the compared sample


@dataclass(frozen=True)
class Exportable:
    """Trained network to export, with what its file needs.

    Args:
        config: Configuration of the classifier.
        network: Its network.
        sample: Spikes of recordings [T, B, C, H, W], on which ONNX traces the network.
        dt: NIR only: time step in seconds.
    """

    config: ClassifierConfig
    network: SpikingNetwork
    sample: Tensor
    dt: float

    def metadata(self) -> dict[str, str]:
        """Return the metadata for creating spike tensors and naming classes; some values are JSON."""
        config = self.config
        return {
            "classes": json.dumps(config.classes),
            "sensor": str(config.sensor),
            "bins": config.bins.model_dump_json(),
            "framing": config.framing.model_dump_json(exclude_unset=True),
            "step_us": str(config.bins.step_us),
            "temperature": str(config.temperature),
            "trained_on": config.trained_on,
            "versions": json.dumps(versions()),
        }


def draw_sample(config: ClassifierConfig) -> Tensor:
    """Draw a spike tensor [T, B, C, H, W] of a sparse and a dense random recording; the seed is fixed."""
    rng = np.random.default_rng(0)
    shape = (config.bins.steps, *config.bins.shape(config.sensor))
    recordings = [rng.random(shape, np.float32) < rate for rate in SAMPLE_RATES]
    return torch.from_numpy(np.stack(recordings, axis=1).astype(np.float32))
