"""Rules that change weights, one module for each."""

from .convolution import Competition, StdpConfig, convergence, learn_convolution
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
from .stdp import Bound, PairRule, Traces, TripletRule, apply_stdp

__all__ = [
    "Bound",
    "Competition",
    "PairRule",
    "ReadoutFit",
    "StdpConfig",
    "Traces",
    "TripletRule",
    "apply_stdp",
    "convergence",
    "find_features",
    "find_readout",
    "fit_readout",
    "is_linear",
    "learn_convolution",
    "read_features",
    "readout_gradient",
    "replace_readout",
    "require_linear",
]
