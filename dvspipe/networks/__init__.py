"""Spiking networks: Norse's neurons, and neurons that spike at most once."""

from .activity import LayerActivity, LayerTrace, count_activity, summarize_layers, trace_layers, watch_rates
from .config import NetworkConfig, NetworkKind, Readout, Reset, Surrogate
from .first_spike import FirstSpikeLayer, FirstSpikeNetwork
from .models import Network, SpikingNetwork, State
from .neurons import LIF, CountReadout, LeakyReadout
from .norms import BatchNorm, ClassMoments, apply_norms, find_norms, measure_norms, mix_moments
from .response import NeuronResponse, neuron_response
from .spike_times import first_spike_times

__all__ = [
    "LIF",
    "BatchNorm",
    "ClassMoments",
    "CountReadout",
    "FirstSpikeLayer",
    "FirstSpikeNetwork",
    "LayerActivity",
    "LayerTrace",
    "LeakyReadout",
    "Network",
    "NetworkConfig",
    "NetworkKind",
    "NeuronResponse",
    "Readout",
    "Reset",
    "SpikingNetwork",
    "State",
    "Surrogate",
    "apply_norms",
    "count_activity",
    "find_norms",
    "first_spike_times",
    "measure_norms",
    "mix_moments",
    "neuron_response",
    "summarize_layers",
    "trace_layers",
    "watch_rates",
]
