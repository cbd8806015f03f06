"""Rules by which the weights of a network learn, one module for each."""

from .eventprop import EventPropLayer, eventprop
from .first_spike import FirstSpikeLayer, first_spike_times
from .readout import (
    ReadoutFit,
    find_features,
    find_readout,
    fit_readout,
    is_linear,
    read_features,
    readout_gradient,
    replace_readout,
    require_linear,
)
from .spikeprop import SpikePropLayer, spikeprop_times
from .superspike import RMaxProp, SuperSpikeLayer, SuperSpikeResult, VanRossum

__all__ = [
    "EventPropLayer",
    "FirstSpikeLayer",
    "RMaxProp",
    "ReadoutFit",
    "SpikePropLayer",
    "SuperSpikeLayer",
    "SuperSpikeResult",
    "VanRossum",
    "eventprop",
    "find_features",
    "find_readout",
    "first_spike_times",
    "fit_readout",
    "is_linear",
    "read_features",
    "readout_gradient",
    "replace_readout",
    "require_linear",
    "spikeprop_times",
]
