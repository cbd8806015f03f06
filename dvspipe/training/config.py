"""Training settings: `TrainConfig`, with its groups, and checks of settings that contradict each other.

A field is described by the text below it, which is also its help on the command line. The classes `...Keywords` list
the same settings for editors and type checkers.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypedDict, cast

from pydantic import Field, JsonValue, field_validator, model_validator

from ..base.config import Settings, build, plain_settings
from ..base.errors import ConfigError
from ..base.groups import find_unions
from ..base.overrides import show_value, write_overrides
from ..base.patterns import NAME_PATTERN
from ..base.trees import SettingsTree, find_left_out, merge_settings
from ..base.yaml_files import read_yaml
from ..datasets import AugmentConfig, DataConfig, FolderConfig
from ..datasets.augmentation import AugmentKeywords
from ..datasets.config import UniqueDataKeywords
from ..encoding import BinConfig
from ..encoding.config import BinKeywords
from ..networks import CsnnConfig, LayersConfig, ModuleConfig, NetworkConfig, StdpNetworkConfig
from ..networks.config import UniqueNetworkKeywords
from ..rules import Rule, StdpConfig, find_unmet_needs
from ..rules.convolution import StdpKeywords

log = logging.getLogger(__name__)


class OptimiserConfig(Settings):
    """Optimiser, loss and learning rule."""

    rule: Rule = "bptt"
    """`bptt`: backpropagation through time with surrogate gradients. `ottt`, `eprop`, `decolle`: online
    (forward-in-time) rules, with memory independent of the number of steps; see `dvspipe.rules`."""
    kind: Literal["adamw", "sgd"] = "adamw"
    """AdamW (Loshchilov and Hutter 2019), or stochastic gradient descent with momentum."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of `sgd`."""
    epochs: int = Field(default=20, ge=1)
    """Number of epochs: passes through the training recordings."""
    batch: int = Field(default=32, ge=1)
    """Recordings per optimiser step, over all processes."""
    accumulate: int = Field(default=1, ge=1)
    """Number of parts that a batch is split into, to save memory; batch norm uses the statistics of each part."""
    learning_rate: float = Field(default=3e-3, gt=0, le=1000)
    """Peak learning rate."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate after the warm-up: cosine decay to 0, or constant."""
    warm_up: float = Field(default=1.0, ge=0)
    """Length of the linear warm-up of the learning rate, in epochs."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """Weight decay: decoupled with AdamW, added to the gradient with `sgd`."""
    loss: Literal["mean", "each_step", "count"] = "mean"
    """`mean`: cross-entropy of the mean output over the steps. `each_step`: mean cross-entropy over the steps (TET,
    Deng et al. 2022). `count`: mean squared error of the mean output, with targets 1 and 0 (Fang et al. 2021)."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Label smoothing: share of the target spread over all classes, 0 to 1."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Maximum norm of the gradient; larger gradients are scaled down."""
    truncate: int | None = Field(default=None, ge=1)
    """Truncate gradients through time after this many steps; None: no truncation."""
    segment: Literal["auto"] | Annotated[int, Field(ge=1)] | None = "auto"
    """Number of time steps with a stored graph, to save memory: gradients are exact, but every step is computed twice,
    and batch norm normalises each segment. `auto`: all steps if they fit in half of the memory of the machine or GPU,
    otherwise as many as fit. None: all steps. Rules other than `bptt` only process this many steps at a time."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay per step of an exponential moving average of the weights, used for evaluation and in the checkpoint; 0:
    off. In step n the decay is at most n / (n + 9), so the initial weights are soon forgotten."""
    patience: int | None = Field(default=None, ge=1)
    """Early stopping: number of epochs without a better validation result; None: off."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of convolutions and linear layers; the neurons always use float32. `float16` needs a GPU. On a CPU,
    `bfloat16` saves time with AVX-512 BF16 or AMX; convolutions of sparse spikes use it only for the gradients of their
    inputs."""
    weight_bits: int | None = Field(default=None, ge=2, le=8)
    """Train for `dvspipe quantise`: round the weights to this many bits in each step and in the checkpoint, with
    straight-through gradients. None: no rounding."""

    @field_validator("rule", mode="before")
    @classmethod
    def _refuse_kind_as_rule(cls, rule: object) -> object:
        """Refuse rules that are a kind of network."""
        if rule in ("stdp", "first_spike"):
            raise ConfigError(f"optimiser.rule = {rule}: this is a kind of network; use kind={rule}")
        return rule


class UniqueOptimiserKeywords(TypedDict, total=False):
    """Settings of `OptimiserConfig` by name, without `kind`, which data sets and networks have, too."""

    rule: Rule
    momentum: float
    epochs: int
    batch: int
    accumulate: int
    learning_rate: float
    schedule: Literal["cosine", "constant"]
    warm_up: float
    weight_decay: float
    loss: Literal["mean", "each_step", "count"]
    label_smoothing: float
    clip_norm: float
    truncate: int | None
    segment: Literal["auto"] | int | None
    ema: float
    patience: int | None
    precision: Literal["float32", "bfloat16", "float16"]
    weight_bits: int | None


class TrainConfig(Settings):
    """Complete training configuration: data, spike tensors, network, augmentation and optimiser."""

    name: str = Field(default="run", pattern=NAME_PATTERN)
    """Name of the run folder."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the split, the weights, the order of batches, and rendered clips."""
    init: str | None = None
    """Checkpoint to fine-tune: file, name of an included classifier, or `hf://USER/NAME`. Sensor, bins and network must
    be the same. The last linear layer starts from random weights if the classes differ, except in their order."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the network; `auto`: GPU if available."""
    jobs: int = Field(default=2, ge=1)
    """Number of processes that encode spike tensors, used if encoding takes long."""
    hop_us: int | None = Field(default=None, ge=1, le=10**12)
    """Default time between windows in inference, in microseconds; None: length of a window."""
    tensorboard: bool = False
    """Also write metrics for TensorBoard to the run folder; requires the extra `tensorboard`."""
    data: DataConfig = FolderConfig()
    bins: BinConfig = BinConfig()
    network: NetworkConfig = CsnnConfig()
    augment: AugmentConfig = AugmentConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    stdp: StdpConfig = StdpConfig()

    @classmethod
    def read(cls, source: str | Path, settings: Mapping[str, object] | None = None) -> TrainConfig:
        """Read a YAML file, or an included configuration.

        Args:
            source: File, or name of an included configuration.
            settings: Settings that take precedence, with names as in `dvspipe.train`.

        Raises:
            ConfigError: If the file cannot be read, or settings are unknown or wrong.

        Example:
            >>> TrainConfig.read("nmnist", {"epochs": 5}).optimiser.epochs
            5
        """
        stored = read_yaml(source)
        over = plain_settings(cls, settings)
        unions = find_unions(cls)

        # Settings can select another kind, which has none of some settings in the file: say so instead of failing.
        for group, names in find_left_out(stored, over, unions).items():
            listed = ", ".join(f"{group}.{name}" for name in names)
            kind = cast("SettingsTree", over[group]).get("kind")
            log.warning("%s.kind = %s: has no %s; not used from %s", group, kind, listed, source)

        return build(cls, merge_settings(stored, over, unions), str(source))

    @property
    def segment_steps(self) -> int | None:
        """`optimiser.segment` if it is a number, else None."""
        return self.optimiser.segment if isinstance(self.optimiser.segment, int) else None

    @model_validator(mode="after")
    def _check_combination(self) -> TrainConfig:
        if self.augment.flip_polarity and self.bins.polarity == "merged":
            raise ConfigError("augment.flip_polarity = true: bins.polarity = merged has no polarities")

        if self.optimiser.patience is not None and not self.data.validation:
            raise ConfigError(
                f"optimiser.patience = {self.optimiser.patience}: needs a validation part (found data.validation = 0)"
            )
        if self.network.kind == "first_spike":
            self._check_first_spike()
        if isinstance(self.network, StdpNetworkConfig):
            self._check_stdp(self.network)
        if isinstance(self.network, ModuleConfig):
            self._check_module(self.network)

        self._check_rule()
        if self.optimiser.weight_bits is not None:
            self._check_rounding()

        # Segments keep gradients through time exact, truncation does not: they contradict each other.
        segment = self.segment_steps
        if segment is not None and self.optimiser.truncate is not None:
            raise ConfigError(
                f"optimiser.segment = {segment}: contradicts optimiser.truncate = "
                f"{self.optimiser.truncate}; set one of them to null"
            )

        if segment is not None and segment > self.bins.steps:
            raise ConfigError(
                f"optimiser.segment = {segment}: longer than a recording (expected at most bins.steps = "
                f"{self.bins.steps}, or auto)"
            )

        return self

    def _check_rule(self) -> None:
        """Check that the rule can train this network with these settings."""
        optimiser = self.optimiser
        if optimiser.rule == "bptt":
            return

        # Online rules need a loss that exists at each step, and keep the past in traces instead of a graph.
        others: dict[str, JsonValue] = {"loss": "each_step", "truncate": None, "precision": "float32"}
        needs = find_unmet_needs(optimiser.rule, self.network)
        needs |= {f"optimiser.{name}": value for name, value in others.items() if getattr(optimiser, name) != value}
        if needs:
            raise ConfigError(f"optimiser.rule = {optimiser.rule}: needs {write_overrides(needs)}")

    def _check_rounding(self) -> None:
        """Check that the weights can be rounded in training."""
        name = f"optimiser.weight_bits = {self.optimiser.weight_bits}"

        if not isinstance(self.network, LayersConfig):
            raise ConfigError(f"{name}: network.kind = {self.network.kind} cannot be compiled to integers")
        if isinstance(self.network, CsnnConfig) and self.network.norm == "weight":
            raise ConfigError(f"{name}: needs network.norm = batch (found weight)")

    def _check_first_spike(self) -> None:
        kind = "kind = first_spike"
        _require("optimiser.rule", self.optimiser.rule, "bptt", kind)
        _require("optimiser.truncate", self.optimiser.truncate, None, kind)
        _require("optimiser.segment", self.segment_steps, None, kind)
        _require("optimiser.loss", self.optimiser.loss, "mean", kind)

    def _check_module(self, network: ModuleConfig) -> None:
        """Check that no setting requires known layers, or a state that the network does not expose."""
        kind = "kind = module"
        call = f"call = {network.call}"
        _require("optimiser.rule", self.optimiser.rule, "bptt", kind)

        if not network.has_explicit_state:
            _require("optimiser.truncate", self.optimiser.truncate, None, call)
            _require("optimiser.segment", self.segment_steps, None, call)
        if network.call == "step":
            _require("optimiser.ema", self.optimiser.ema, 0, call)

    def _check_stdp(self, network: StdpNetworkConfig) -> None:
        layers = len(network.channels)
        for name, values in (("winners", self.stdp.winners), ("radius", self.stdp.radius)):
            if len(values) != layers:
                raise ConfigError(
                    f"stdp.{name}: wrong number of values (found {len(values)}, expected {layers} as network.channels)"
                )

        # Layers are trained one after the other: each previous layer for `passes` epochs, the last for at least one.
        min_epochs = (layers - 1) * self.stdp.passes + 1
        if self.optimiser.epochs < min_epochs:
            raise ConfigError(
                f"optimiser.epochs = {self.optimiser.epochs}: too few for the last layer (expected {min_epochs} or "
                f"more, with stdp.passes = {self.stdp.passes} for each previous layer)"
            )

        if self.bins.polarity == "signed":
            raise ConfigError("bins.polarity = signed: network.kind = stdp needs values of 0 or more; use separate")


class UniqueTrainKeywords(
    UniqueDataKeywords,
    BinKeywords,
    UniqueNetworkKeywords,
    AugmentKeywords,
    UniqueOptimiserKeywords,
    StdpKeywords,
    total=False,
):
    """Settings of `TrainConfig` by name, without `root` and `network`, which are arguments of some functions."""

    name: str
    seed: int
    init: str | None
    device: Literal["auto", "cpu", "cuda"]
    jobs: int
    hop_us: int | None
    tensorboard: bool
    data: DataConfig | Mapping[str, object]
    bins: BinConfig | Mapping[str, object]
    augment: AugmentConfig | Mapping[str, object]
    optimiser: OptimiserConfig | Mapping[str, object]
    stdp: StdpConfig | Mapping[str, object]


class TrainKeywords(UniqueTrainKeywords, total=False):
    """Settings of `TrainConfig` by name, without `network`, an argument of `train`."""

    root: str | Path | None


class ChoiceKeywords(UniqueTrainKeywords, total=False):
    """Settings of `TrainConfig` by name, without `root`, an argument of `choose_settings`."""

    network: NetworkConfig | Mapping[str, object]


def _require(name: str, value: JsonValue, expected: JsonValue, setting: str) -> None:
    """Refuse a value of a setting that conflicts with a network setting."""
    if value != expected:
        raise ConfigError(f"{name} = {show_value(value)}: network.{setting} needs {show_value(expected)}")
