"""Rules that change weights, one module for each."""

from .convolution import Competition, StdpConfig, convergence, learn_convolution
from .stdp import Bound, PairRule, Traces, TripletRule, apply_stdp

__all__ = [
    "Bound",
    "Competition",
    "PairRule",
    "StdpConfig",
    "Traces",
    "TripletRule",
    "apply_stdp",
    "convergence",
    "learn_convolution",
]
