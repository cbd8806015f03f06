"""Spiking networks of Norse's neurons."""

from .activity import LayerActivity, LayerTrace, count_activity, summarize_layers, trace_layers
from .config import NetworkConfig, NetworkKind, Readout, Reset, Surrogate
from .models import SpikingNetwork, State, watch_rates
from .neurons import LIF, CountReadout, LeakyReadout
from .response import NeuronResponse, neuron_response

__all__ = [
    "LIF",
    "CountReadout",
    "LayerActivity",
    "LayerTrace",
    "LeakyReadout",
    "NetworkConfig",
    "NetworkKind",
    "NeuronResponse",
    "Readout",
    "Reset",
    "SpikingNetwork",
    "State",
    "Surrogate",
    "count_activity",
    "neuron_response",
    "summarize_layers",
    "trace_layers",
    "watch_rates",
]
