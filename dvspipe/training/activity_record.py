"""Activity of a trained network on the test recordings: spikes, operations, pictures.

`record_activity` makes the record that the page of a run draws: pictures of wrong predictions, and kernels of layers
trained by STDP. Numbers are rounded, since the record is a JSON file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

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
    # Wrong predictions are stored by name; test recordings have no augmented views.
    number_of_name = {sample.name: number for number, sample in enumerate(data.test)}
    wrong_numbers = [number_of_name[prediction.name] for prediction in wrong[:MAX_WRONG]]

    return ActivityRecord(
        step_us=bins.step_us,
        steps=bins.steps,
        recordings=len(tensors),
        layers=tuple(layers),
        wrong=tuple(_sum_events(tensors[number][0]) for number in wrong_numbers),
        kernels=tuple(_kernels(network)),
    )


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
        kernels = tuple(tuple(map(_round, kernel)) for kernel in shown[:MAX_KERNELS])
        yield KernelRecord(name=f"lif{number}", channels=len(shown), kernels=kernels)

        stride *= layer.pool


def _sum_events(spikes: SpikeTensor) -> EventImage:
    """Sum a spike tensor [T, C, H, W] over time, and over blocks of pixels if it is large."""
    summed = torch.from_numpy(spikes).sum(0, dtype=torch.float64)
    side = -(-max(summed.shape[1:]) // MAX_SIDE)  # side of a block, rounded up
    blocks = nn.functional.avg_pool2d(summed, side, ceil_mode=True, divisor_override=1)

    # With a single channel, there are no ON events.
    on = blocks[1] if len(blocks) > 1 else torch.zeros_like(blocks[0])
    return EventImage(off=_round(blocks[0]), on=_round(on))


def _round(values: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(f"{value:.4g}") for value in row) for row in values.tolist())
