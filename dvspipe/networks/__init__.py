"""Spiking networks on Norse's neurons."""

from .activity import LayerActivity, LayerTrace, count_activity, summarize_layer, trace_layers
from .config import NetworkConfig
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
    "NeuronResponse",
    "SpikingNetwork",
    "State",
    "count_activity",
    "neuron_response",
    "summarize_layer",
    "trace_layers",
    "watch_rates",
]
