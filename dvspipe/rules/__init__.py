"""Learning rules, one module each; `protocols` says how the rules of each kind are called."""

from ..networks import FirstSpikeLayer, first_spike_times
from .convolution import Competition, StdpConfig, convergence, train_convolution
from .decolle import Decolle
from .eprop import EProp
from .eventprop import EventPropLayer, eventprop
from .online import OnlineRule
from .ottt import OTTT
from .protocols import GradientRule, PlasticityRule, SpikeTimeLayer, Traces
from .rules import Rule, build_rule, find_unmet_needs
from .segments import Bptt, Forward, Loss, backpropagate, backpropagate_segments, choose_segment, measure_graph
from .spikeprop import SpikePropLayer, spikeprop_times
from .stdp import Bound, PairRule, apply_stdp
from .superspike import RMaxProp, SuperSpikeLayer, SuperSpikeResult, VanRossum

__all__ = [
    "OTTT",
    "Bound",
    "Bptt",
    "Competition",
    "Decolle",
    "EProp",
    "EventPropLayer",
    "FirstSpikeLayer",
    "Forward",
    "GradientRule",
    "Loss",
    "OnlineRule",
    "PairRule",
    "PlasticityRule",
    "RMaxProp",
    "Rule",
    "SpikePropLayer",
    "SpikeTimeLayer",
    "StdpConfig",
    "SuperSpikeLayer",
    "SuperSpikeResult",
    "Traces",
    "VanRossum",
    "apply_stdp",
    "backpropagate",
    "backpropagate_segments",
    "build_rule",
    "choose_segment",
    "convergence",
    "eventprop",
    "find_unmet_needs",
    "first_spike_times",
    "measure_graph",
    "spikeprop_times",
    "train_convolution",
]
