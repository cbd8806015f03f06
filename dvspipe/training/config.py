"""Training settings: `TrainConfig`, and checks of settings that contradict each other.

A field is described by the text below it, which is also its help on the command line.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, JsonValue

from ..base.errors import ConfigError
from ..base.settings import Settings, show_settings
from ..datasets import AugmentConfig, DataConfig, folder_config
from ..encoding import BinConfig
from ..networks import NetworkConfig
from ..rules import Rule, StdpConfig, find_unmet_needs


class OptimiserConfig(Settings):
    """Optimiser, loss and learning rule."""

    rule: Rule = "bptt"
    """`bptt`: backpropagation through time with surrogate gradients. `ottt`, `eprop`, `decolle`: online
    (forward-in-time) rules, with memory independent of the number of steps; see `dvspipe.rules`."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """AdamW (Loshchilov and Hutter 2019), or stochastic gradient descent with a momentum of 0.9."""
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


class TrainConfig(StdpConfig, OptimiserConfig, AugmentConfig, NetworkConfig, BinConfig, DataConfig):
    """Complete training configuration: data, spike tensors, network, augmentation and optimiser.

    Example:
        >>> config = TrainConfig(channels=(16, 32), epochs=5)
        >>> config.part(BinConfig), config.part(NetworkConfig)
        (BinConfig(), NetworkConfig(channels=(16, 32)))
    """

    name: str = Field(default="run", pattern=r"^\w[\w.-]*$")
    """Name of the run folder."""
    init: Annotated[str, AfterValidator(os.path.expanduser)] | None = None
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

    as_words: ClassVar[bool] = True
    """A terminal gives these settings as words KEY=VALUE: they are too many for options."""
    kinds: ClassVar[Mapping[str, tuple[str, Collection[str]]]] = {
        **DataConfig.kinds,
        **NetworkConfig.kinds,
        **dict.fromkeys(StdpConfig.model_fields, ("network", ("stdp",))),
    }

    @property
    def segment_steps(self) -> int | None:
        """`segment` if it is a number, else None."""
        return self.segment if isinstance(self.segment, int) else None


def read_experiment(source: str | Path, config: TrainConfig = TrainConfig()) -> TrainConfig:
    """Return the settings of a folder of recordings, a YAML file, or an included configuration by its name.

    Args:
        source: Folder, file or name.
        config: Settings that take precedence.

    Raises:
        ConfigError: If the source is none of them, or settings are unknown or wrong.
    """
    if Path(source).expanduser().is_dir():
        return TrainConfig(**folder_config(source).given | config.given)
    return TrainConfig.read(source, config.given)


def check_settings(config: TrainConfig) -> None:
    """Check that settings do not contradict each other, before the training starts.

    Raises:
        ConfigError: If they do; the message names both settings.
    """
    config.check_kinds(dict(config))
    if config.flip_polarity and config.polarity == "merged":
        raise ConfigError("flip_polarity = true: polarity = merged has no polarities")
    if config.patience is not None and not config.validation:
        raise ConfigError(f"patience = {config.patience}: needs a validation part (found validation = 0)")

    # Segments keep gradients through time exact, truncation does not: they contradict each other.
    segment = config.segment_steps
    if segment is not None and config.truncate is not None:
        raise ConfigError(f"segment = {segment}: contradicts truncate = {config.truncate}; set one of them to null")
    if segment is not None and segment > config.steps:
        raise ConfigError(
            f"segment = {segment}: longer than a recording (expected at most steps = {config.steps}, or auto)"
        )

    if config.network == "stdp":
        _check_stdp(config)
    if config.weight_bits is not None:
        _check_rounding(config)
    if needs := _find_needs(config):
        causes = {"first_spike": "network = first_spike", "module": f"network = module with call = {config.call}"}
        cause = causes.get(config.network, f"rule = {config.rule}")
        raise ConfigError(f"{cause}: needs {show_settings(needs)}")


def _find_needs(config: TrainConfig) -> dict[str, JsonValue]:
    """Return the values that the rule and the kind of network need, of the settings that have others."""
    needs: dict[str, JsonValue] = {}
    if config.network == "first_spike":
        needs = {"rule": "bptt", "truncate": None, "segment": None, "loss": "mean"}
    elif config.network == "module":
        needs = {"rule": "bptt"}
        if not config.has_explicit_state:
            needs |= {"truncate": None, "segment": None}
        if config.call == "step":
            needs |= {"ema": 0}
    elif config.rule != "bptt":
        # Online rules need a loss that exists at each step, and keep the past in traces instead of a graph.
        needs = find_unmet_needs(config.rule, config)
        needs |= {"loss": "each_step", "truncate": None, "precision": "float32"}

    values = dict(config) | {"segment": config.segment_steps}
    return {name: value for name, value in needs.items() if values[name] != value}


def _check_rounding(config: TrainConfig) -> None:
    """Check that the weights can be rounded in training."""
    name = f"weight_bits = {config.weight_bits}"
    if config.network not in ("csnn", "mlp"):
        raise ConfigError(f"{name}: network = {config.network} cannot be compiled to integers")
    if config.network == "csnn" and config.norm == "weight":
        raise ConfigError(f"{name}: needs norm = batch (found weight)")


def _check_stdp(config: TrainConfig) -> None:
    layers = len(config.channels)
    for name, values in (("winners", config.winners), ("radius", config.radius)):
        if len(values) != layers:
            raise ConfigError(f"{name}: wrong number of values (found {len(values)}, expected {layers} as channels)")

    # Layers are trained one after the other: each previous layer for `passes` epochs, the last for at least one.
    min_epochs = (layers - 1) * config.passes + 1
    if config.epochs < min_epochs:
        raise ConfigError(
            f"epochs = {config.epochs}: too few for the last layer (expected {min_epochs} or more, with passes = "
            f"{config.passes} for each previous layer)"
        )

    if config.polarity == "signed":
        raise ConfigError("polarity = signed: network = stdp needs values of 0 or more; use separate")
