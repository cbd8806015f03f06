"""What a trained network does with the test recordings, as a plain record: spikes, operations, examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from ..datasets import DataSet, SpikeTensors
from ..encoding import BinConfig
from ..networks import LayerActivity, LayerTrace, SpikingNetwork, trace_layers

Item = TypeVar("Item")
MOST_EXAMPLES = 3
MOST_LAYERS = 4  # of an example, spread evenly from the first to the last
SHOWN_NEURONS = 48  # of a layer, in the raster of an example


def activity_record(
    layers: Sequence[LayerActivity], network: SpikingNetwork, tensors: SpikeTensors, data: DataSet, bins: BinConfig
) -> dict[str, Any]:
    """What the report draws of a network's activity.

    Args:
        layers: What they did with all test recordings.
        network: The network, in evaluation mode.
        tensors: The test recordings.
        data: Their data set.
        bins: Of the spike tensors.

    Returns:
        `step_us`, `steps`, `recordings`; `layers`, each with the numbers of its neurons and connections, its rate, and
        per recording the spikes that came in and the operations that they cause: spikes times fan-out, additions, or
        multiplications where the inputs are not counts but other numbers; and `examples`: the first test recording of
        some classes, with the spikes and membranes of some neurons of some layers.
    """
    labels = _spread(np.unique(tensors.labels).tolist(), MOST_EXAMPLES)
    numbers = [int(np.flatnonzero(tensors.labels == label)[0]) for label in labels]
    return {
        "step_us": bins.step_us,
        "steps": bins.steps,
        "recordings": layers[0].recordings,
        "layers": [
            _layer_record(layer, multiplies=place == 0 and bins.dtype.kind == "f") for place, layer in enumerate(layers)
        ],
        "examples": [_example(network, tensors, data, number) for number in numbers],
    }


def _layer_record(layer: LayerActivity, *, multiplies: bool) -> dict[str, Any]:
    arrived = layer.nonzero if multiplies else layer.arrived
    return {
        "name": layer.name,
        "neurons": layer.neurons,
        "connections": layer.connections,
        "fan_out": layer.fan_out,
        "rate": layer.rate,
        "arrived": arrived / layer.recordings,
        "operations": arrived / layer.recordings * layer.fan_out,
        "multiplies": multiplies,
    }


def _example(network: SpikingNetwork, tensors: SpikeTensors, data: DataSet, number: int) -> dict[str, Any]:
    spikes = tensors[number][0]
    device = next(network.parameters()).device
    traces, readout = trace_layers(network, torch.tensor(spikes)[:, None].to(device), SHOWN_NEURONS)
    return {
        "name": data.test[number].name,
        "label": int(tensors.labels[number]),
        "predicted": int(readout.mean(axis=0).argmax()),
        "arrived": spikes.sum(axis=(2, 3), dtype=np.float64).T.tolist(),
        "layers": [_trace_record(trace) for trace in _spread(traces, MOST_LAYERS)],
        "readout": _rounded(readout),
    }


def _spread(items: Sequence[Item], most: int) -> list[Item]:
    """Some of the items, evenly from the first to the last."""
    return [items[place] for place in np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)]


def _trace_record(trace: LayerTrace) -> dict[str, Any]:
    return {
        "name": trace.name,
        "neurons": trace.neurons,
        "spikes": [np.flatnonzero(train).tolist() for train in trace.spikes.T],
        "traced": list(trace.traced),
        "membranes": _rounded(trace.membranes.T),
    }


def _rounded(values: np.ndarray[Any, Any]) -> Any:
    return [[float(f"{value:.4g}") for value in row] for row in values.tolist()]
