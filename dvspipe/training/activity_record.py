"""Activity of a trained network on the test recordings: spikes, operations, pictures.

`record_activity` makes the record that the page of a run draws: pictures of wrong predictions, and kernels of layers
trained by STDP. Numbers are rounded, since the record is a JSON file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..datasets import DataSet, SpikeTensors
from ..datasets.augmentation import SpikeTensor
from ..encoding import BinConfig
from ..networks import IntegrateAndFire
from ..results import (
    ActivityRecord,
    EventImage,
    KernelRecord,
    LayerActivity,
    WrongPrediction,
)

MAX_WRONG = 10
MAX_SIDE = 64  # maximum side of the image of a wrong prediction, in pixels
MAX_KERNELS = 64  # kernels stored per layer


def record_activity(
    layers: Sequence[LayerActivity],
    network: nn.Module,
    tensors: SpikeTensors,
    data: DataSet,
    bins: BinConfig,
    wrong: Sequence[WrongPrediction],
) -> ActivityRecord:
    """Record the activity of a network on the test recordings."""
    # Wrong predictions are stored by name.
    number_of_name = {sample.name: number for number, sample in enumerate(data.test)}
    wrong_numbers = [number_of_name[prediction.name] for prediction in wrong[:MAX_WRONG]]

    return ActivityRecord(
        step_us=bins.step_us,
        steps=bins.steps,
        recordings=len(tensors),
        layers=tuple(layers),
        wrong=tuple(_image(_only_view(tensors, number)) for number in wrong_numbers),
        kernels=tuple(_kernels(network)),
    )


def _only_view(tensors: SpikeTensors, number: int) -> SpikeTensor:
    """Return the spike tensor of a recording, [T, C, H, W]; test recordings have no augmented views."""
    (view,) = tensors[number]
    spikes: SpikeTensor = view
    return spikes


def _kernels(network: nn.Module) -> Iterator[KernelRecord]:
    """Yield the kernels of layers trained by STDP, in input pixels."""
    layers = [module for module in network.modules() if isinstance(module, IntegrateAndFire)]
    stride = 1
    shown = torch.empty(0)
    for number, layer in enumerate(layers, start=1):
        weight = layer.weight.detach().cpu()

        # A kernel of a later layer is a sum of the shown kernels of the layer before it, weighted by its own weights
        # and shifted by the stride of that layer in input pixels.
        shown = weight if number == 1 else nn.functional.conv_transpose2d(weight, shown, stride=stride)
        kernels = tuple(
            tuple(_rounded(channel.double().numpy()) for channel in kernel) for kernel in shown[:MAX_KERNELS]
        )
        yield KernelRecord(name=f"lif{number}", channels=len(shown), kernels=kernels)

        stride *= layer.pool


def _image(spikes: SpikeTensor) -> EventImage:
    """Sum a spike tensor [T, C, H, W] over time, and over blocks of pixels if it is large."""
    summed = spikes.sum(axis=0, dtype=np.float64)
    _, height, width = summed.shape
    side = -(-max(height, width) // MAX_SIDE)  # side of a block, rounded up
    columns = np.add.reduceat(summed, np.arange(0, height, side), axis=1)
    blocks = np.add.reduceat(columns, np.arange(0, width, side), axis=2)

    # With a single channel, there are no ON events.
    off = blocks[0]
    on = blocks[1] if len(blocks) > 1 else np.zeros_like(off)
    return EventImage(off=_rounded(off), on=_rounded(on))


def _rounded(values: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(f"{value:.4g}") for value in row) for row in values.tolist())
