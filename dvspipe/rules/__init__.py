"""Learning rules, one module each."""

from .bptt import Bptt, Loss
from .convolution import Competition, StdpConfig, convergence, train_convolution
from .eventprop import EventPropLayer, eventprop
from .online import OTTT, Decolle, EProp
from .rules import GradientRule, Rule, build_rule, find_unmet_needs
from .spikeprop import SpikePropLayer, spikeprop_times
from .stdp import Bound, PairRule, Traces, apply_stdp
from .superspike import RMaxProp, SuperSpikeLayer, SuperSpikeResult, VanRossum

__all__ = [
    "OTTT",
    "Bound",
    "Bptt",
    "Competition",
    "Decolle",
    "EProp",
    "EventPropLayer",
    "GradientRule",
    "Loss",
    "PairRule",
    "RMaxProp",
    "Rule",
    "SpikePropLayer",
    "StdpConfig",
    "SuperSpikeLayer",
    "SuperSpikeResult",
    "Traces",
    "VanRossum",
    "apply_stdp",
    "build_rule",
    "convergence",
    "eventprop",
    "find_unmet_needs",
    "spikeprop_times",
    "train_convolution",
]
