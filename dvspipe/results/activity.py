"""Spikes, synaptic operations and an estimate of energy, per layer of a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import computed_field

from .tables import Record

ADD_PJ = 0.9
"""Energy of adding 32-bit floats at 45 nm, in picojoules; `ENERGY_SOURCE`, figure 1.1.9."""
MULTIPLY_ADD_PJ = 4.6
"""Energy of multiplying (3.7 pJ) and adding 32-bit floats; the same source."""
ENERGY_SOURCE = 'Horowitz, "Computing\'s energy problem (and what we can do about it)", ISSCC 2014'


def operation_energy_pj(operations: float, *, multiplies: bool) -> float:
    """Return the energy of arithmetic operations in picojoules, without that of memory.

    Args:
        operations: Number of additions, or of multiplications with addition.
        multiplies: Whether they are multiplications with addition.
    """
    return operations * (MULTIPLY_ADD_PJ if multiplies else ADD_PJ)


class LayerActivity(Record):
    """What a layer of synapses and the neurons after it did, summed over recordings and steps."""

    name: str
    """`lif1`, `lif2`, ... from the input to the output, or `readout`."""
    neurons: int
    """Number of neurons."""
    connections: int
    """Multiply-accumulates of one dense pass: weights times the places where they are used."""
    fan_out: float
    """Mean number of neurons that an input reaches, padding included."""
    steps: int
    """Number of time steps, of all recordings together."""
    spikes_in: float
    """Spikes that arrived; other nonzero values if the inputs are no counts."""
    rate: float | None
    """Spikes per neuron and step; None if the neurons do not spike."""
    multiplies: bool
    """Whether inputs are numbers other than counts, so that a synaptic operation is a multiplication."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def operations(self) -> float:
        """Synaptic operations: spikes that reach a neuron, `spikes_in * fan_out`."""
        return self.spikes_in * self.fan_out

    @computed_field  # type: ignore[prop-decorator]
    @property
    def dense_operations(self) -> float:
        """Multiply-accumulates without skipping zeros, `connections * steps`."""
        return float(self.connections * self.steps)

    @property
    def energy_pj(self) -> float:
        """Energy of the synaptic operations in picojoules."""
        return operation_energy_pj(self.operations, multiplies=self.multiplies)

    @property
    def dense_energy_pj(self) -> float:
        """Energy of the dense operations in picojoules."""
        return operation_energy_pj(self.dense_operations, multiplies=True)

    def __add__(self, other: LayerActivity) -> LayerActivity:
        """Return the activity of the same layer over the recordings of both."""
        steps = self.steps + other.steps
        rate = None
        if self.rate is not None and other.rate is not None:
            rate = (self.rate * self.steps + other.rate * other.steps) / max(1, steps)
        update = {"steps": steps, "spikes_in": self.spikes_in + other.spikes_in, "rate": rate}
        return self.model_copy(update=update)


def add_layers(networks: Iterable[Sequence[LayerActivity]]) -> tuple[LayerActivity, ...]:
    """Return the activity of each layer over all recordings.

    Args:
        networks: For each recording or group of them the layers of the same network.
    """
    total: tuple[LayerActivity, ...] = ()
    for layers in networks:
        total = tuple(a + b for a, b in zip(total, layers, strict=True)) if total else tuple(layers)
    return total


class TraceRecord(Record):
    """Spikes and membrane potentials of some neurons of a layer."""

    name: str
    """The layer."""
    neurons: int
    """Number of neurons in it."""
    spikes: tuple[tuple[int, ...], ...]
    """For each shown neuron the steps at which it spikes."""
    traced: tuple[int, ...]
    """Which of the shown neurons have a potential below."""
    membranes: tuple[tuple[float, ...], ...]
    """Potential of each traced neuron at each step before the reset, in thresholds."""


class ExampleRecord(Record):
    """What the network did with one test recording."""

    name: str
    """The recording."""
    label: int
    """Its label."""
    predicted: int
    """The predicted label."""
    arrived: tuple[tuple[float, ...], ...]
    """Events of each channel at each step."""
    layers: tuple[TraceRecord, ...]
    """Traces of some layers."""
    readout: tuple[tuple[float, ...], ...]
    """Output of each step for each class."""


class EventImage(Record):
    """The events of a recording as an image."""

    off: tuple[tuple[float, ...], ...]
    """[H, W], OFF events of each block of pixels, summed over the steps; of merged polarities, all events."""
    on: tuple[tuple[float, ...], ...]
    """[H, W], ON events."""


class KernelRecord(Record):
    """The kernels of a layer that STDP trained."""

    name: str
    """The layer."""
    channels: int
    """Number of its channels, the first of which have a kernel below."""
    kernels: tuple[tuple[tuple[tuple[float, ...], ...], ...], ...]
    """[n, C, h, w], the weight of each pixel of the network's input for n channels; those of later layers are sums of
    the kernels of the layers before, by their weights."""


class ActivityRecord(Record):
    """activity.json: what the network did with the test recordings."""

    step_us: int
    """Length of a time step in microseconds."""
    steps: int
    """Time steps of a recording."""
    recordings: int
    """Number of test recordings."""
    layers: tuple[LayerActivity, ...]
    """Each layer, summed over all test recordings."""
    examples: tuple[ExampleRecord, ...]
    """The first test recording of some classes."""
    wrong: tuple[EventImage, ...] = ()
    """The first of the wrong predictions that test.json lists."""
    kernels: tuple[KernelRecord, ...] = ()
    """The layers that STDP trained; none in other networks."""

    @property
    def neurons(self) -> int:
        """Number of neurons of the network."""
        return sum(layer.neurons for layer in self.layers)

    @property
    def operations(self) -> float:
        """Synaptic operations per recording."""
        return sum(layer.operations for layer in self.layers) / self.recordings

    @property
    def synapse_energy_pj(self) -> float:
        """Energy of the synaptic operations per recording, in picojoules."""
        return sum(layer.energy_pj for layer in self.layers) / self.recordings

    @property
    def membrane_updates(self) -> int:
        """Updates of a membrane potential per recording: neurons times steps."""
        return self.neurons * self.steps

    @property
    def spiking_energy_pj(self) -> float:
        """Energy of synapses and membranes per recording, in picojoules."""
        return self.synapse_energy_pj + operation_energy_pj(self.membrane_updates, multiplies=True)

    @property
    def frame_operations(self) -> int:
        """Multiply-accumulates of the same network with ReLU on the sum of the steps."""
        return sum(layer.connections for layer in self.layers)

    @property
    def frame_energy_pj(self) -> float:
        """Their energy in picojoules."""
        return operation_energy_pj(self.frame_operations, multiplies=True)
