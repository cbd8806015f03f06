"""Rules by which the weights of a network learn."""

from .decolle import Decolle
from .eprop import EProp
from .online import OnlineRule
from .rules import Rule, build_rule, find_unmet_needs
from .segments import Forward, Loss, backpropagate, backpropagate_segments, choose_segment, measure_graph
from .traces import OTTT, SLTT, STLLR

__all__ = [
    "OTTT",
    "SLTT",
    "STLLR",
    "Decolle",
    "EProp",
    "Forward",
    "Loss",
    "OnlineRule",
    "Rule",
    "backpropagate",
    "backpropagate_segments",
    "build_rule",
    "choose_segment",
    "find_unmet_needs",
    "measure_graph",
]
