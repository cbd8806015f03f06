"""The rules by their names, and which networks they can train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from ..networks import NetworkConfig, SpikingNetwork
from .decolle import Decolle
from .eprop import EProp
from .online import STEPS, OnlineRule
from .traces import OTTT, SLTT, STLLR

Rule = Literal["bptt", "readout", "ottt", "sltt", "stllr", "eprop", "decolle"]
"""The name of a rule: backpropagation through time, a fit of the readout, or one that learns forward in time."""


ONLINE: Mapping[Rule, type[OnlineRule]] = {
    "ottt": OTTT,
    "sltt": SLTT,
    "stllr": STLLR,
    "eprop": EProp,
    "decolle": Decolle,
}
"""The rules that learn forward in time."""


def build_rule(name: Rule, network: SpikingNetwork, *, steps: int | None = None, seed: int = 0) -> OnlineRule | None:
    """Return a rule that learns forward in time; None for `bptt` and `readout`.

    Args:
        name: The rule.
        network: That `find_unmet_needs` finds nothing for.
        steps: Number of steps that are computed at once; None: STEPS.
        seed: Of the fixed weights of `decolle`.
    """
    steps, kind = steps or STEPS, ONLINE.get(name)
    if kind is None:
        return None
    return Decolle(network, seed=seed, steps=steps) if kind is Decolle else kind(network, steps=steps)


def find_unmet_needs(name: Rule, network: NetworkConfig) -> dict[str, JsonValue]:
    """Return the settings that a rule needs where a network has others, by name.

    Example:
        >>> from dvspipe.networks import CsnnConfig, MlpConfig
        >>> find_unmet_needs("ottt", MlpConfig(reset="subtract"))
        {'network.detach_reset': True}
        >>> find_unmet_needs("bptt", CsnnConfig())
        {}
    """
    kind = ONLINE.get(name)
    return kind.find_unmet_needs(network) if kind else {}
