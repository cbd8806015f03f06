"""Settings that a learning rule or a kind of network needs for a folder of recordings.

`optimiser.rule` names the rules that train any network, `network.kind` those that come with a network: `stdp` and
`first_spike`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from ..config import SettingsTree, merge_settings
from ..events import SensorSize
from ..learning import Rule, find_unmet_needs
from ..learning.rules import ONLINE
from ..networks import CsnnConfig, MlpConfig

CHANNELS = (16, 32, 64)
SEW_CHANNELS = (32, 32, 32)
STDP_CHANNELS = (32, 150)  # as Kheradpisheh et al. 2018
STDP_THRESHOLD, STDP_RADIUS, STDP_WINNERS, STDP_POOL = 10, 2, 5, 4
STDP_SEEN = 1350  # recordings that a layer sees until its weights have converged, as in configs/nmnist-stdp.yaml
STDP_DOUBLINGS = 9  # of its rates in this time
MAX_PASSES = 20  # each one also fits the readout, to all varied forms of the recordings
FIRST_SPIKE_NEURONS = 100
STEEP = 5  # how much shorter the time that changes a logit by 1 is than the synaptic time constant
WHY = {
    "norm": "batch norm mixes steps, and {rule} learns at each of them",
    "reset": "with it, one trace per input has all that {rule} needs of the past",
    "detach_reset": "a reset without gradient leaves that trace exact",
    "channels": "{rule} trains one spiking layer; ottt trains several",
}
"""Why a rule that learns forward in time needs a setting of the network."""


@dataclass(frozen=True)
class RuleChoice:
    """What a rule or a kind of network needs.

    Args:
        settings: In place of those that are chosen without it.
        reasons: A line for each decision, by group of settings.
        unused: Chosen settings that it does not read, by group.
    """

    settings: SettingsTree = field(default_factory=dict)
    reasons: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def apply(self, chosen: SettingsTree, reasons: Mapping[str, str]) -> tuple[SettingsTree, dict[str, str]]:
        """Return chosen settings and reasons with those of the rule, and without what it does not use."""
        kept: SettingsTree = {}
        for group, values in chosen.items():
            unused = self.unused.get(group, ())
            kept[group] = {k: v for k, v in values.items() if k not in unused} if isinstance(values, dict) else values
        explained = dict(reasons)
        for group, lines in self.reasons.items():
            before = () if group in self.unused or group not in reasons else (reasons[group],)
            explained[group] = "\n".join((*before, *lines))
        return merge_settings(kept, self.settings), explained


def choose_for_rule(given: SettingsTree) -> RuleChoice:
    """Return what the rule or the kind of network in some settings needs, whatever the recordings are."""
    optimiser, network = (_group(given, name) for name in ("optimiser", "network"))
    rule, kind = optimiser.get("rule"), network.get("kind", "csnn")
    if kind == "stdp":
        return _choose_stdp(network)
    if kind == "first_spike":
        return _choose_first_spike()
    if kind == "sew":
        why = "channels: equal in all blocks, as its residuals need"
        return RuleChoice({"network": {"channels": list(SEW_CHANNELS)}}, {"network": (why,)})
    known = next((each for each in ONLINE if each == rule), None)
    return RuleChoice() if known is None else _choose_online(known, kind)


def fit_to_data(
    choice: RuleChoice, given: SettingsTree, *, samples: int, window_us: int, grid: SensorSize
) -> RuleChoice:
    """Return a choice with what also depends on the recordings.

    Args:
        choice: Of `choose_for_rule` for the same settings.
        given: The settings.
        samples: Number of training recordings.
        window_us: Time that a spike tensor covers.
        grid: Width and height of a spike tensor.
    """
    kind, why = _group(given, "network").get("kind"), dict[str, tuple[str, ...]]()
    if kind == "first_spike":
        fitted: SettingsTree = {"network": _choose_constants(_group(given, "network"), window_us)}
    elif kind == "stdp":
        layers = len(_list(_group(choice.settings, "network").get("thresholds")))
        passes = min(MAX_PASSES, math.ceil(STDP_SEEN / samples))
        if isinstance(epochs := _group(given, "optimiser").get("epochs"), int):
            passes = max(1, epochs // layers)
        side = min(grid.width, grid.height) >> (layers - 1)  # every layer before the last halves it
        seen = f"passes: each layer sees {passes * samples:,} recordings; about {STDP_SEEN:,} let its weights converge"
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
            "bins": ("form: a pixel spikes at most once in a step, as thresholds count spikes",),
            "network": ("readout: the last layer does not spike, and a linear layer is fitted to its potentials",),
            "optimiser": ("epochs: stdp.passes for each layer",),
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
                "tau_syn_s: half of the tensor, so that the order of first events counts; later events do not",
                "leak: without it, spike times have a closed form for every tau_syn_s",
            ),
            "optimiser": ("weight_decay: would silence neurons, and a silent one has no gradient",),
        },
        {"network": ("kernel", "tau_mem_s")},
    )


def _choose_constants(given: SettingsTree, window_us: int) -> SettingsTree:
    """Return the time constants of a first-spike network, with equal ones for membranes that leak."""
    constants = (given.get("tau_syn_s"), given.get("tau_mem_s"))
    tau_s = next((float(each) for each in constants if isinstance(each, int | float)), round(window_us / 2 * 1e-6, 9))
    chosen: SettingsTree = {"tau_syn_s": tau_s, "tau_readout_s": round(tau_s / STEEP, 9)}
    return chosen | {"tau_mem_s": tau_s} if given.get("leak") is True else chosen


def _group(settings: SettingsTree, name: str) -> SettingsTree:
    values = settings.get(name)
    return values if isinstance(values, dict) else {}


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else [value]
