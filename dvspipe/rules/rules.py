"""Learning rules by name, and the networks they can train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from pydantic import JsonValue

from ..base.errors import ConfigError
from ..networks import NetworkConfig, SpikingNetwork
from .decolle import Decolle
from .eprop import EProp
from .online import STEPS, OnlineRule
from .ottt import OTTT

Rule = Literal["bptt", "ottt", "eprop", "decolle"]
"""Name of a rule: backpropagation through time, or an online rule."""


ONLINE: Mapping[Rule, type[OnlineRule]] = {
    "ottt": OTTT,
    "eprop": EProp,
    "decolle": Decolle,
}
"""Online (forward-in-time) rules."""


def build_rule(name: Rule, network: SpikingNetwork, *, steps: int | None = None, seed: int = 0) -> OnlineRule | None:
    """Build an online rule for a network; return None for `bptt`.

    Args:
        name: Name of the rule.
        network: Network with no unmet needs (see `find_unmet_needs`).
        steps: Number of steps computed together; None: STEPS.
        seed: Seed of the fixed random weights of `decolle`.

    Raises:
        ConfigError: If the name is unknown, or the network has unmet needs.
    """
    steps = steps or STEPS
    kind = _find_kind(name)
    if kind is None:
        return None
    return Decolle(network, seed=seed, steps=steps) if kind is Decolle else kind(network, steps=steps)


def find_unmet_needs(name: Rule, network: NetworkConfig) -> dict[str, JsonValue]:
    """Return the values that a rule requires of all settings in which `network` differs, by setting name.

    Example:
        >>> from dvspipe.networks import NetworkConfig
        >>> find_unmet_needs("ottt", NetworkConfig(network="mlp", reset="subtract"))
        {'detach_reset': True}
        >>> find_unmet_needs("bptt", NetworkConfig())
        {}
    """
    kind = _find_kind(name)
    return kind.find_unmet_needs(network) if kind else {}


def _find_kind(name: Rule) -> type[OnlineRule] | None:
    """Return the class of an online rule; None for other rules."""
    if name not in get_args(Rule):
        raise ConfigError(f"{name}: unknown learning rule (expected {', '.join(get_args(Rule))})")
    return ONLINE.get(name)
