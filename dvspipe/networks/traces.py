"""Traces: spikes and membranes of single neurons of a network on one recording."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..base.errors import Brief
from .activity import is_spiking
from .first_spike import FirstSpikeLayer, FirstSpikeNetwork
from .integrate_and_fire import IntegrateAndFire
from .models import Network
from .module import ModuleNetwork
from .neurons import LIF


@dataclass(frozen=True, repr=False)
class LayerTrace(Brief):
    """Spikes and membranes of selected neurons of a layer, for one recording.

    Args:
        name: Name of the layer; see `LayerCounts`.
        neurons: Number of neurons in the layer.
        spikes: Spikes, bool [T, n], of n neurons evenly spaced among the active neurons, or among all if none spikes.
        traced: Indices into the n neurons with a membrane trace: most, median and least active.
        membranes: Potentials before resets, in thresholds, float64 [T, len(traced)].
    """

    name: str
    neurons: int
    spikes: NDArray[np.bool_]
    traced: tuple[int, ...]
    membranes: NDArray[np.float64]


@torch.no_grad()
def trace_layers(network: Network, spikes: Tensor, shown: int) -> tuple[list[LayerTrace], NDArray[np.float64]]:
    """Return spikes and membranes of selected neurons of each spiking layer, and the readout, for one recording.

    Args:
        network: Network in evaluation mode.
        spikes: Spike tensor [T, 1, C, H, W].
        shown: Maximum number of neurons per layer.

    Returns:
        One trace per layer (none for custom modules), and the readout, float64 [T, K].
    """
    if isinstance(network, FirstSpikeNetwork):
        return _trace_first_spikes(network, spikes, shown)

    calls: list[tuple[nn.Module, Tensor]] = []
    layers = [] if isinstance(network, ModuleNetwork) else filter(is_spiking, network.modules())

    def note_call(layer: nn.Module, inputs: tuple[Tensor, Tensor | None]) -> None:
        received, _state = inputs
        calls.append((layer, received.clone()))  # the layers of a network overwrite their currents

    with ExitStack() as hooks:
        for layer in layers:
            hooks.enter_context(layer.register_forward_pre_hook(note_call))
        outputs, _ = network(spikes)

    traces = [_trace(f"lif{number}", layer, received, shown) for number, (layer, received) in enumerate(calls, start=1)]

    readout: NDArray[np.float64] = outputs[:, 0].double().cpu().numpy()
    return traces, readout


def _trace(name: str, layer: nn.Module, inputs: Tensor, shown: int) -> LayerTrace:
    """Trace a layer from its input currents [T, 1, ...], or from input spikes for `IntegrateAndFire`."""
    if isinstance(layer, IntegrateAndFire):
        raster, potentials = _trace_integrate_and_fire(layer, inputs)
    else:
        assert isinstance(layer, LIF)
        raster, potentials = _trace_lif(layer, inputs.flatten(2))

    chosen, traced = _choose_neurons(raster, shown)
    return LayerTrace(
        name=name,
        neurons=raster[0].size,
        spikes=raster[:, chosen],
        traced=tuple(traced),
        membranes=potentials(chosen[traced]),
    )


Potentials = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Function that returns the potentials [T, n] of selected neurons."""


def _trace_lif(lif: LIF, currents: Tensor) -> tuple[NDArray[np.bool_], Potentials]:
    """Return the raster of unpooled spikes [T, N] for currents [T, 1, N], and the potentials before resets."""
    # The copy traces all neurons, not the pooled spikes, and keeps its currents for the potentials.
    unpooled = copy(lif)
    unpooled.settings = lif.settings._replace(pool=1, in_place=False)
    spikes, _ = unpooled(currents, None)
    raster = spikes[:, 0].cpu().numpy() > 0

    def trace_potentials(chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        selected = torch.from_numpy(chosen).to(currents.device)
        return _potentials(unpooled, currents[..., selected])

    return raster, trace_potentials


def _trace_integrate_and_fire(layer: IntegrateAndFire, spikes: Tensor) -> tuple[NDArray[np.bool_], Potentials]:
    """Return the raster of unpooled spikes [T, N] of a layer, and its potentials (0 after a spike of the pixel)."""
    assert layer.threshold is not None

    # One copy gives the spikes of all neurons, without pooling. The other has no threshold and integrates all input
    # spikes; its potentials are valid until the pixel's first spike.
    unpooled = copy(layer)
    unpooled.geometry = layer.geometry._replace(pool=1)
    integrating = copy(unpooled)
    integrating.threshold = None

    output_spikes, _ = unpooled(spikes, None)
    output_potentials, _ = integrating(spikes, None)
    is_spike = output_spikes.cpu().numpy() > 0
    potentials = output_potentials.cpu().numpy()

    # A spike closes its pixel for all channels, from the next step on.
    pixel_spikes = is_spike.any(-1, keepdims=True)
    closed = np.cumsum(pixel_spikes, axis=0) - pixel_spikes > 0

    T = len(is_spike)
    in_thresholds = np.where(closed, 0, potentials.astype(np.float64) / layer.threshold).reshape(T, -1)

    def trace_potentials(chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        return in_thresholds[:, chosen]

    return is_spike.reshape(T, -1), trace_potentials


def _trace_first_spikes(
    network: FirstSpikeNetwork, spikes: Tensor, shown: int
) -> tuple[list[LayerTrace], NDArray[np.float64]]:
    """Trace a network of neurons that spike at most once; potentials are 0 after the spike."""
    T = len(spikes)
    traces = []
    outputs, _ = network(spikes)
    times = network.first_times(spikes)
    ends = network.step * torch.arange(1, T + 1, device=times.device)

    for number, layer in enumerate(network.layers, start=1):
        assert isinstance(layer, FirstSpikeLayer)
        output_times: Tensor = layer(times)[0]

        # A layer's neuron has its potential until it spikes, and a spike in the step that contains its time.
        is_before = output_times >= ends[:, None]
        raster = (~is_before & (output_times >= ends[:, None] - network.step)).cpu().numpy()

        chosen, traced = _choose_neurons(raster, shown)
        potentials = layer.potentials(times[0], ends) * is_before
        membranes = potentials.double().cpu().numpy()[:, chosen[traced]]
        traces.append(LayerTrace(f"lif{number}", len(output_times), raster[:, chosen], tuple(traced), membranes))

        # The spike times of a layer are the inputs of the next.
        times = output_times[None]

    readout: NDArray[np.float64] = outputs[:, 0].double().cpu().numpy()
    return traces, readout


def _choose_neurons(raster: NDArray[np.bool_], shown: int) -> tuple[NDArray[np.int64], list[int]]:
    """Choose the neurons to show from spikes [T, N], and which of them to trace."""
    _, N = raster.shape
    active = np.flatnonzero(raster.any(0))
    candidates = active if active.size else np.arange(N)
    positions = np.linspace(0, candidates.size - 1, min(shown, candidates.size)).round().astype(int)
    chosen = candidates[positions]

    # Trace the most active neuron, the median, and the least active.
    order = np.argsort(-raster[:, chosen].sum(0), kind="stable")
    ranks = dict.fromkeys((0, order.size // 2, order.size - 1))  # each once

    return chosen, [int(order[rank]) for rank in ranks]


def _potentials(lif: LIF, currents: Tensor) -> NDArray[np.float64]:
    """Return the potentials [T, n] before resets: the sums of state and spike under a subtracting reset."""
    # Only a subtracting reset keeps the potential before the reset: it is the state plus the spike.
    subtracting = copy(lif)
    subtracting.settings = lif.settings._replace(subtract=True)

    state = None
    potentials = []

    for current in currents:
        spikes, state = subtracting.step(current, state)
        potentials.append((state[0] + spikes)[0].double().cpu().numpy())

        # The neurons are reset to 0: clear the membranes that spiked.
        if not lif.settings.subtract:
            state = torch.cat([state[:1] * (1 - spikes), state[1:]])

    return np.stack(potentials)
