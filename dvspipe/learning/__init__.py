"""Rules that change weights, a module for each."""

from .convolution import Competition, StdpConfig, convergence, learn_convolution
from .decolle import Decolle
from .eprop import EProp
from .online import OnlineRule
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
from .rules import Rule, build_rule, find_unmet_needs
from .segments import Forward, Loss, backpropagate, backpropagate_segments, choose_segment, measure_graph
from .stdp import Bound, PairRule, Traces, TripletRule, apply_stdp
from .traces import OTTT, SLTT, STLLR

__all__ = [
    "OTTT",
    "SLTT",
    "STLLR",
    "Bound",
    "Competition",
    "Decolle",
    "EProp",
    "Forward",
    "Loss",
    "OnlineRule",
    "PairRule",
    "ReadoutFit",
    "Rule",
    "StdpConfig",
    "Traces",
    "TripletRule",
    "apply_stdp",
    "backpropagate",
    "backpropagate_segments",
    "build_rule",
    "choose_segment",
    "convergence",
    "find_features",
    "find_readout",
    "find_unmet_needs",
    "fit_readout",
    "is_linear",
    "learn_convolution",
    "measure_graph",
    "read_features",
    "readout_gradient",
    "replace_readout",
    "require_linear",
]
