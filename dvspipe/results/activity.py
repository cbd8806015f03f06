"""Spikes, synaptic operations and estimated energy per layer of a network.

`LayerActivity` is the activity of one layer, `ActivityRecord` (activity.json) the activity of a network on its test
recordings. Energies count arithmetic alone: an addition per spike that reaches a neuron, and a multiply-accumulate per
membrane update; memory access is left out.
"""

from __future__ import annotations

from pydantic import computed_field

from .tables import Record

ADD_PJ = 0.9
"""Energy of a 32-bit floating-point addition at 45 nm, in picojoules; `ENERGY_SOURCE`, figure 1.1.9."""
MULTIPLY_ADD_PJ = 4.6
"""Energy of a 32-bit floating-point multiplication (3.7 pJ) and addition, in picojoules; same source."""
ENERGY_SOURCE = 'Horowitz, "Computing\'s energy problem (and what we can do about it)", ISSCC 2014'


class LayerActivity(Record):
    """Activity of a layer of synapses and its neurons, summed over recordings and steps."""

    name: str
    """`lif1`, `lif2`, ... from the input to the output, or `readout`."""
    neurons: int
    """Number of neurons."""
    connections: int
    """Multiply-accumulates of one dense pass: weights times the positions where each is used."""
    fan_out: float
    """Mean number of neurons that an input reaches, including padding."""
    steps: int
    """Number of time steps, summed over all recordings."""
    spikes_in: float
    """Number of input spikes; if inputs are not counts, the number of nonzero values."""
    rate: float | None
    """Spikes per neuron and step; None if the neurons do not spike."""
    multiplies: bool
    """Whether inputs are not counts, and need a multiplication per synaptic operation."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def operations(self) -> float:
        """Synaptic operations (spikes that reach a neuron): `spikes_in * fan_out`."""
        return self.spikes_in * self.fan_out

    @computed_field  # type: ignore[prop-decorator]
    @property
    def dense_operations(self) -> float:
        """Multiply-accumulates without skipping zeros: `connections * steps`."""
        return float(self.connections * self.steps)

    @property
    def energy_pj(self) -> float:
        """Energy of the synaptic operations in picojoules."""
        return self.operations * (MULTIPLY_ADD_PJ if self.multiplies else ADD_PJ)

    @property
    def dense_energy_pj(self) -> float:
        """Energy of the dense operations in picojoules."""
        return self.dense_operations * MULTIPLY_ADD_PJ


class EventImage(Record):
    """Events of a recording as an image."""

    off: tuple[tuple[float, ...], ...]
    """OFF events per block of pixels, summed over the steps, [H, W]; all events if polarities are merged."""
    on: tuple[tuple[float, ...], ...]
    """ON events per block of pixels, [H, W]."""


class KernelRecord(Record):
    """Kernels of a layer trained by STDP."""

    name: str
    """Name of the layer."""
    channels: int
    """Number of channels of the layer; the first n have a kernel in `kernels`."""
    kernels: tuple[tuple[tuple[tuple[float, ...], ...], ...], ...]
    """Weights of n channels for each input pixel of the network, [n, C, h, w]. Kernels of later layers are weighted
    sums of the kernels of the previous layer."""


class ActivityRecord(Record):
    """activity.json: activity of the network on the test recordings."""

    step_us: int
    """Length of a time step in microseconds."""
    steps: int
    """Time steps per recording."""
    recordings: int
    """Number of test recordings."""
    layers: tuple[LayerActivity, ...]
    """Layers, summed over all test recordings."""
    wrong: tuple[EventImage, ...] = ()
    """Events of the first wrong predictions in test.json."""
    kernels: tuple[KernelRecord, ...] = ()
    """Layers trained by STDP; empty for other networks."""
