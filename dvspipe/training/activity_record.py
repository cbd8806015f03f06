"""Activity of a trained network on the test recordings: spikes, operations, examples.

`record_activity` makes the record that the page of a run draws: the example of some classes step by step, pictures of
wrong predictions, and kernels of layers trained by STDP. Numbers are rounded, since the record is a JSON file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..datasets import DataSet, SpikeTensors
from ..datasets.augmentation import SpikeTensor
from ..encoding import BinConfig
from ..networks import IntegrateAndFire, LayerTrace, Network, trace_layers
from ..results import (
    ActivityRecord,
    EventImage,
    ExampleRecord,
    KernelRecord,
    LayerActivity,
    TraceRecord,
    WrongPrediction,
)

Item = TypeVar("Item")
MAX_EXAMPLES = 3
MAX_LAYERS = 4  # layers per example, evenly spaced from the first to the last
MAX_WRONG = 10
MAX_SIDE = 64  # maximum side of the image of a wrong prediction, in pixels
SHOWN_NEURONS = 48  # neurons of a layer in the raster of an example
MAX_KERNELS = 64  # kernels stored per layer


def record_activity(
    layers: Sequence[LayerActivity],
    network: Network,
    tensors: SpikeTensors,
    data: DataSet,
    bins: BinConfig,
    wrong: Sequence[WrongPrediction],
) -> ActivityRecord:
    """Record the activity of a network on the test recordings."""
    # The first recording of some classes; and the wrong predictions, which are stored by name.
    labels = _sample_evenly(np.unique(tensors.labels).tolist(), MAX_EXAMPLES)
    numbers = [int(np.argmax(tensors.labels == label)) for label in labels]
    number_of_name = {sample.name: number for number, sample in enumerate(data.test)}
    wrong_numbers = [number_of_name[prediction.name] for prediction in wrong[:MAX_WRONG]]

    return ActivityRecord(
        step_us=bins.step_us,
        steps=bins.steps,
        recordings=len(tensors),
        layers=tuple(layers),
        examples=tuple(_example(network, tensors, data, number) for number in numbers),
        wrong=tuple(_image(_only_view(tensors, number)) for number in wrong_numbers),
        kernels=tuple(_kernels(network)),
    )


def _only_view(tensors: SpikeTensors, number: int) -> SpikeTensor:
    """Return the spike tensor of a recording, [T, C, H, W]; test recordings have no augmented views."""
    (view,) = tensors[number]
    spikes: SpikeTensor = view
    return spikes


def _kernels(network: Network) -> Iterator[KernelRecord]:
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

        stride *= layer.geometry.pool


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


def _example(network: Network, tensors: SpikeTensors, data: DataSet, number: int) -> ExampleRecord:
    """Run a recording, and record what each layer does."""
    spikes = _only_view(tensors, number)
    device = next(network.parameters()).device
    traces, readout = trace_layers(network, torch.tensor(spikes)[:, None].to(device), SHOWN_NEURONS)

    return ExampleRecord(
        name=data.test[number].name,
        label=int(tensors.labels[number]),
        predicted=int(readout.mean(axis=0).argmax()),
        arrived=_rows(spikes.sum(axis=(2, 3), dtype=np.float64).T),
        layers=tuple(_trace(trace) for trace in _sample_evenly(traces, MAX_LAYERS)),
        readout=_rounded(readout),
    )


def _trace(trace: LayerTrace) -> TraceRecord:
    return TraceRecord(
        name=trace.name,
        neurons=trace.neurons,
        spikes=tuple(tuple(np.flatnonzero(train).tolist()) for train in trace.spikes.T),
        traced=trace.traced,
        membranes=_rounded(trace.membranes.T),
    )


def _sample_evenly(items: Sequence[Item], limit: int) -> list[Item]:
    """Return at most `limit` items, evenly spaced from the first to the last."""
    numbers = np.linspace(0, len(items) - 1, min(limit, len(items))).round().astype(int)
    return [items[number] for number in numbers]


def _rows(values: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, values.tolist()))


def _rounded(values: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(f"{value:.4g}") for value in row) for row in values.tolist())
