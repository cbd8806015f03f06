"""Learning rules by name, and the networks they can train."""

from __future__ import annotations

from typing import Literal, Protocol

from pydantic import JsonValue
from torch import Tensor, nn

from ..networks import NetworkConfig
from .bptt import Bptt, Loss
from .online import OTTT, Decolle, EProp

Rule = Literal["bptt", "ottt", "eprop", "decolle"]
"""Name of a rule: backpropagation through time, or an online rule."""


class GradientRule(Protocol):
    """Rule that adds the gradients of a loss to the `grad` of all weights of a network, as `backward` does."""

    def update(self, spikes: Tensor, loss: Loss) -> Tensor:
        """Accumulate the gradients of a loss for spikes [T, B, C, H, W]; return the outputs [T, B, K]."""


def build_rule(name: Rule, network: nn.Module, *, segment: int | None = None, seed: int = 0) -> GradientRule:
    """Build a rule for a network.

    Args:
        name: Name of the rule.
        network: Network with no unmet needs (see `find_unmet_needs`).
        segment: Of `bptt`: number of steps with a stored graph; None: all.
        seed: Seed of the fixed random weights of `decolle`.

    Raises:
        ConfigError: If the network has unmet needs.
    """
    if name == "bptt":
        return Bptt(network, segment)
    if name == "decolle":
        return Decolle(network, seed=seed)
    return OTTT(network) if name == "ottt" else EProp(network)


def find_unmet_needs(name: Rule, network: NetworkConfig) -> dict[str, JsonValue]:
    """Return the values that a rule requires of all settings in which `network` differs, by setting name.

    Example:
        >>> find_unmet_needs("ottt", NetworkConfig(network="mlp"))
        {'reset': 'subtract'}
        >>> find_unmet_needs("bptt", NetworkConfig())
        {}
    """
    if name == "bptt":
        return {}

    is_mlp = network.network == "mlp"
    needs: dict[str, JsonValue] = {"network": "mlp" if is_mlp else "csnn", "reset": "subtract", "tau_syn_s": None}
    if not is_mlp:
        needs["norm"] = "weight"

    # E-prop trains one spiking layer: keep the first.
    if name == "eprop" and len(network.channels) > 1:
        needs["channels"] = [network.channels[0]]
        if network.padded is not None:
            needs["padded"] = [network.padded[0]]

    return {setting: value for setting, value in needs.items() if getattr(network, setting) != value}
