"""Settings that a learning rule or a kind of network requires for a folder of recordings.

`optimiser.rule` selects a rule that trains any network; `network.kind` selects a network with its own rule: `stdp` or
`first_spike`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from ..base.trees import SettingsTree, merge_settings
from ..events import SensorSize
from ..networks import CsnnConfig, MlpConfig
from ..rules import Rule, find_unmet_needs
from ..rules.rules import ONLINE

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
    """Settings that a rule or a kind of network requires."""

    settings: SettingsTree = field(default_factory=dict)
    reasons: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def apply(self, chosen: SettingsTree, reasons: Mapping[str, str]) -> tuple[SettingsTree, dict[str, str]]:
        """Merge the rule's settings and reasons into the chosen ones, and remove unused settings."""
        used: SettingsTree = {}
        for group, values in chosen.items():
            unused = self.unused.get(group, ())
            used[group] = values
            if isinstance(values, dict):
                used[group] = {name: value for name, value in values.items() if name not in unused}

        # The lines of the rule follow the reason of the choice, unless that reason is about settings that are not used.
        explained = dict(reasons)
        for group, lines in self.reasons.items():
            before = () if group in self.unused or group not in reasons else (reasons[group],)
            explained[group] = "\n".join((*before, *lines))

        return merge_settings(used, self.settings), explained


def choose_for_rule(given: SettingsTree) -> RuleChoice:
    """Return the settings that a rule or a kind of network requires, independent of the recordings."""
    network = group_of(given, "network")
    rule = group_of(given, "optimiser").get("rule")
    kind = network.get("kind", "csnn")
    if kind == "stdp":
        return _choose_stdp(network)
    if kind == "first_spike":
        return _choose_first_spike()

    online = next((name for name in ONLINE if name == rule), None)
    return RuleChoice() if online is None else _choose_online(online, kind)


def fit_to_data(
    choice: RuleChoice, given: SettingsTree, *, samples: int, window_us: int, grid: SensorSize
) -> RuleChoice:
    """Add the settings that also depend on the recordings."""
    kind = group_of(given, "network").get("kind")
    why = dict[str, tuple[str, ...]]()

    if kind == "first_spike":
        fitted: SettingsTree = {"network": _choose_constants(group_of(given, "network"), window_us)}
    elif kind == "stdp":
        layers = len(_list(group_of(choice.settings, "network").get("thresholds")))

        # Few recordings are repeated until the weights converge, unless the number of epochs is given.
        passes = min(MAX_PASSES, math.ceil(STDP_SEEN / samples))
        if isinstance(epochs := group_of(given, "optimiser").get("epochs"), int):
            passes = max(1, epochs // layers)

        side = min(grid.width, grid.height) >> (layers - 1)  # every layer before the last halves it
        seen = (
            f"passes: each layer sees {passes * samples:,} recordings; its weights converge after about {STDP_SEEN:,}"
        )
        why = {"stdp": (seen,)}
        fitted = {
            "network": {"last_pool": max(1, min(STDP_POOL, side))},
            "stdp": {"passes": passes, "doubled_after": max(1, passes * samples // STDP_DOUBLINGS)},
            "optimiser": {"epochs": layers * passes},
        }
    else:
        return choice

    return replace(choice, settings=merge_settings(choice.settings, fitted), reasons={**choice.reasons, **why})


def _choose_online(rule: Rule, kind: JsonValue) -> RuleChoice:
    base = (MlpConfig if kind == "mlp" else CsnnConfig)(channels=CHANNELS)
    needs = {name.removeprefix("network."): value for name, value in find_unmet_needs(rule, base).items()}

    return RuleChoice(
        {"network": needs, "optimiser": {"loss": "each_step"}},
        {
            "network": tuple(f"{name}: {WHY[name].format(rule=rule)}" for name in needs),
            "optimiser": (f"loss: {rule} needs the error of each step",),
        },
    )


def _choose_stdp(network: SettingsTree) -> RuleChoice:
    layers = len(_list(network.get("channels", list(STDP_CHANNELS))))

    return RuleChoice(
        {
            "bins": {"form": "binary"},
            "network": {
                "channels": list(STDP_CHANNELS),
                "kernel": 5,
                "thresholds": [STDP_THRESHOLD] * layers,
                "readout": "linear",
            },
            "stdp": {"winners": [STDP_WINNERS] * layers, "radius": [STDP_RADIUS] * layers},
        },
        {
            "bins": ("form: a pixel spikes at most once per step, because thresholds count spikes",),
            "network": ("readout: the last layer does not spike; a linear layer is fitted to its potentials",),
            "optimiser": ("epochs: stdp.passes per layer",),
        },
        {
            "network": ("tau_mem_s", "tau_readout_s", "dropout"),
            "optimiser": ("learning_rate", "ema"),
        },
    )


def _choose_first_spike() -> RuleChoice:
    return RuleChoice(
        {
            "network": {"channels": [FIRST_SPIKE_NEURONS], "leak": False},
            "optimiser": {"learning_rate": 0.003, "weight_decay": 0},
        },
        {
            "network": (
                "tau_syn_s: half of the tensor's duration; the order of first events matters, later events do not",
                "leak: without leak, spike times have a closed form for every tau_syn_s",
            ),
            "optimiser": ("weight_decay: weight decay would silence neurons, and silent neurons have no gradient",),
        },
        {"network": ("kernel", "tau_mem_s")},
    )


def _choose_constants(given: SettingsTree, window_us: int) -> SettingsTree:
    """Return the time constants of a first-spike network; membranes that leak get equal constants."""
    constants = (given.get("tau_syn_s"), given.get("tau_mem_s"))
    default_s = round(window_us / 2 * 1e-6, 9)
    tau_s = next((float(constant) for constant in constants if isinstance(constant, int | float)), default_s)

    chosen: SettingsTree = {"tau_syn_s": tau_s, "tau_readout_s": round(tau_s / STEEP, 9)}
    return chosen | {"tau_mem_s": tau_s} if given.get("leak") is True else chosen


def group_of(settings: SettingsTree, name: str) -> SettingsTree:
    """Return the settings of a group; none if they are missing or wrong."""
    values = settings.get(name)
    return values if isinstance(values, dict) else {}


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else [value]
