"""Spiking networks of Norse's neurons."""

from .activity import LayerActivity, LayerTrace, count_activity, summarize_layers, trace_layers
from .config import NetworkConfig, NetworkKind, Norm, Readout, Reset, Surrogate
from .first_spikes import FirstSpikes
from .models import SpikingNetwork, State, watch_rates
from .neurons import LIF, CountReadout, LeakyReadout, LinearReadout
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

__all__ = [
    "LIF",
    "BatchNorm",
    "ClassMoments",
    "CountReadout",
    "FirstSpikes",
    "LayerActivity",
    "LayerTrace",
    "LeakyReadout",
    "LinearReadout",
    "NetworkConfig",
    "NetworkKind",
    "NeuronResponse",
    "Norm",
    "Readout",
    "Reset",
    "SpikingNetwork",
    "State",
    "Surrogate",
    "apply_norms",
    "count_activity",
    "find_norms",
    "freeze_statistics",
    "measure_norms",
    "mix_moments",
    "neuron_response",
    "run_in_pieces",
    "summarize_layers",
    "trace_layers",
    "watch_rates",
]
