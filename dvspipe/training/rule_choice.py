"""Settings that a learning rule or a kind of network requires for a folder of recordings.

`rule` selects a rule that trains any network; `network` selects a network with its own rule: `stdp` or
`first_spike`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from ..events import SensorSize
from ..networks import NetworkConfig, NetworkKind
from ..rules import Rule, find_unmet_needs
from ..rules.rules import ONLINE
from .config import TrainConfig

CHANNELS = (16, 32, 64)
STDP_CHANNELS = (32, 150)  # Kheradpisheh et al. 2018
STDP_THRESHOLD = 10
STDP_RADIUS = 2
STDP_WINNERS = 5
STDP_POOL = 4
STDP_SEEN = 1350  # recordings per layer until its weights converge, as in configs/nmnist-stdp.yaml
STDP_DOUBLINGS = 9  # doublings of the STDP rates in this time
MAX_PASSES = 20  # each pass also fits the readout, to all augmented views of the recordings
FIRST_SPIKE_NEURONS = 100
STEEP = 5  # synaptic time constant / time that changes a logit by 1
WHY = {
    "norm": "batch norm mixes steps, but {rule} learns at each step",
    "reset": "then one trace per input contains all that {rule} needs of the past",
    "detach_reset": "without a gradient of the reset, this trace is exact",
    "channels": "{rule} trains one spiking layer; ottt trains several",
}
"""Reasons why an online (forward-in-time) rule needs a network setting."""


@dataclass(frozen=True)
class RuleChoice:
    """Settings that a rule or a kind of network requires, reasons by setting, and chosen settings without use."""

    settings: dict[str, JsonValue] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()

    def apply(
        self, chosen: Mapping[str, JsonValue], reasons: Mapping[str, str]
    ) -> tuple[dict[str, JsonValue], dict[str, str]]:
        """Merge the rule's settings and reasons into the chosen ones, and remove unused settings."""
        used = {name: value for name, value in chosen.items() if name not in self.unused}
        explained = {name: reason for name, reason in reasons.items() if name not in self.unused}
        return used | self.settings, explained | dict(self.reasons)


def choose_for_rule(given: TrainConfig) -> RuleChoice:
    """Return the settings that a rule or a kind of network requires, independent of the recordings."""
    if given.network == "stdp":
        return _choose_stdp(_count_layers(given))
    if given.network == "first_spike":
        return _choose_first_spike()
    return _choose_online(given.rule, given.network) if given.rule in ONLINE else RuleChoice()


def fit_to_data(
    choice: RuleChoice, given: TrainConfig, *, samples: int, window_us: int, grid: SensorSize
) -> RuleChoice:
    """Add the settings that also depend on the recordings."""
    if given.network == "first_spike":
        return replace(choice, settings=choice.settings | _choose_constants(given, window_us))
    if given.network != "stdp":
        return choice

    # Few recordings are repeated until the weights converge, unless the number of epochs is given.
    layers = _count_layers(given)
    passes = min(MAX_PASSES, math.ceil(STDP_SEEN / samples))
    if "epochs" in given.given:
        passes = max(1, given.epochs // layers)

    side = min(grid.width, grid.height) >> (layers - 1)  # every layer before the last halves it
    fitted = {
        "last_pool": max(1, min(STDP_POOL, side)),
        "passes": passes,
        "doubled_after": max(1, passes * samples // STDP_DOUBLINGS),
        "epochs": layers * passes,
    }
    seen = f"each layer sees {passes * samples:,} recordings; its weights converge after about {STDP_SEEN:,}"
    return replace(choice, settings=choice.settings | fitted, reasons={**choice.reasons, "passes": seen})


def _count_layers(given: TrainConfig) -> int:
    """Return the number of layers of a network of kind `stdp`."""
    return len(given.channels if "channels" in given.given else STDP_CHANNELS)


def _choose_online(rule: Rule, kind: NetworkKind) -> RuleChoice:
    needs = find_unmet_needs(rule, NetworkConfig(network="mlp" if kind == "mlp" else "csnn", channels=CHANNELS))
    why = {name: WHY[name].format(rule=rule) for name in needs}
    return RuleChoice(needs | {"loss": "each_step"}, why | {"loss": f"{rule} needs the error of each step"})


def _choose_stdp(layers: int) -> RuleChoice:
    return RuleChoice(
        {
            "form": "binary",
            "channels": list(STDP_CHANNELS),
            "kernel": 5,
            "thresholds": [STDP_THRESHOLD] * layers,
            "winners": [STDP_WINNERS] * layers,
            "radius": [STDP_RADIUS] * layers,
        },
        {
            "form": "a pixel spikes at most once per step, because thresholds count spikes",
            "epochs": "passes per layer",
        },
        ("tau_mem_s", "tau_readout_s", "dropout", "learning_rate", "ema"),
    )


def _choose_first_spike() -> RuleChoice:
    return RuleChoice(
        {"channels": [FIRST_SPIKE_NEURONS], "leak": False, "learning_rate": 0.003, "weight_decay": 0},
        {
            "tau_syn_s": "half of the tensor's duration; the order of first events matters, later events do not",
            "leak": "without leak, spike times have a closed form for every tau_syn_s",
            "weight_decay": "weight decay would silence neurons, and silent neurons have no gradient",
        },
        ("kernel", "tau_mem_s"),
    )


def _choose_constants(given: TrainConfig, window_us: int) -> dict[str, JsonValue]:
    """Return the time constants of a first-spike network; membranes that leak get equal constants."""
    tau_s = given.tau_syn_s or given.given.get("tau_mem_s") or round(window_us / 2 * 1e-6, 9)
    chosen: dict[str, JsonValue] = {"tau_syn_s": tau_s, "tau_readout_s": round(tau_s / STEEP, 9)}
    return chosen | {"tau_mem_s": tau_s} if given.given.get("leak") else chosen
