"""Spiking networks: Norse's neurons, and neurons that spike at most once."""

from .activity import LayerCounts, LayerTrace, count_activity, summarize_layers, trace_layers, watch_rates
from .config import ModuleCall, NetworkConfig, NetworkKind, NeuronConfig, Norm, ReadoutKind, Reset, Surrogate
from .first_spike import FirstSpikeLayer, FirstSpikeNetwork
from .integrate_and_fire import IntegrateAndFire
from .models import Network, SpikingNetwork, State
from .module import NO_MODULES, ModuleNetwork, ModuleSource, ModuleTask
from .neurons import LIF, CountReadout, LeakyReadout, Levels, LinearReadout
from .norms import (
    BatchNorm,
    ClassMoments,
    apply_norms,
    find_norms,
    freeze_statistics,
    measure_norms,
    mix_moments,
    run_in_pieces,
)
from .response import NeuronResponse, neuron_response
from .spike_times import first_spike_times

__all__ = [
    "LIF",
    "NO_MODULES",
    "BatchNorm",
    "ClassMoments",
    "CountReadout",
    "FirstSpikeLayer",
    "FirstSpikeNetwork",
    "IntegrateAndFire",
    "LayerCounts",
    "LayerTrace",
    "LeakyReadout",
    "Levels",
    "LinearReadout",
    "ModuleCall",
    "ModuleNetwork",
    "ModuleSource",
    "ModuleTask",
    "Network",
    "NetworkConfig",
    "NetworkKind",
    "NeuronConfig",
    "NeuronResponse",
    "Norm",
    "ReadoutKind",
    "Reset",
    "SpikingNetwork",
    "State",
    "Surrogate",
    "apply_norms",
    "count_activity",
    "find_norms",
    "first_spike_times",
    "freeze_statistics",
    "measure_norms",
    "mix_moments",
    "neuron_response",
    "run_in_pieces",
    "summarize_layers",
    "trace_layers",
    "watch_rates",
]
