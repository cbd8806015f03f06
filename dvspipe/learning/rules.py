"""The rules by their names, and which networks they can train."""

from __future__ import annotations

from typing import Literal

from ..networks import NetworkConfig, SpikingNetwork
from .decolle import Decolle
from .eprop import EProp
from .online import STEPS, OnlineRule
from .traces import OTTT, SLTT, STLLR

Rule = Literal["bptt", "readout", "ottt", "sltt", "stllr", "eprop", "decolle"]
"""The name of a rule: backpropagation through time, a fit of the readout, or one that learns forward in time."""


def build_rule(name: Rule, network: SpikingNetwork, *, steps: int | None = None, seed: int = 0) -> OnlineRule | None:
    """Return a rule that learns forward in time; None for `bptt` and `readout`.

    Args:
        name: The rule.
        network: That `find_unmet_needs` finds nothing for.
        steps: Number of steps that are computed at once; None: STEPS.
        seed: Of the fixed weights of `decolle`.
    """
    steps = steps or STEPS
    match name:
        case "bptt" | "readout":
            return None
        case "ottt":
            return OTTT(network, steps=steps)
        case "sltt":
            return SLTT(network, steps=steps)
        case "stllr":
            return STLLR(network, steps=steps)
        case "eprop":
            return EProp(network, steps=steps)
        case "decolle":
            return Decolle(network, seed=seed, steps=steps)


def find_unmet_needs(name: Rule, network: NetworkConfig) -> list[str]:
    """Return what a network lacks for a rule, with the settings that it needs.

    Example:
        >>> find_unmet_needs("ottt", NetworkConfig(kind="mlp", reset="subtract"))
        ['network.detach_reset = true (found false)']
        >>> find_unmet_needs("bptt", NetworkConfig())
        []
    """
    if name in ("bptt", "readout"):
        return []
    needs = [
        ("kind", "csnn or mlp", network.kind, network.kind in ("csnn", "mlp")),
        ("norm", "weight", network.norm, network.norm == "weight" or network.kind != "csnn"),
        ("reset", "subtract", network.reset, network.reset == "subtract"),
        ("detach_reset", "true", str(network.detach_reset).lower(), network.detach_reset),
        ("readout", "leaky", network.readout, network.readout == "leaky"),
        ("tau_syn_s", "null", f"{network.tau_syn_s}", network.tau_syn_s is None),
        ("learn_tau", "false", str(network.learn_tau).lower(), not network.learn_tau),
    ]
    if name == "eprop":
        layers = len(network.channels)
        needs.append(("channels", "one layer, or rule ottt", f"{layers} layers", layers == 1))
    return [f"network.{setting} = {needed} (found {found})" for setting, needed, found, met in needs if not met]
