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
from ..base.yaml_files import is_included, shipped_configs
from ..datasets import AugmentConfig, DataConfig, folder_config
from ..encoding import BinConfig
from ..networks import NetworkConfig
from ..rules import Rule, StdpConfig, find_unmet_needs


class OptimiserConfig(Settings):
    """Optimiser, loss and learning rule."""

    rule: Rule = "bptt"
    """`bptt`: backpropagation through time with surrogate gradients. `ottt`, `eprop`, `decolle`: online
    (forward-in-time) rules, with memory independent of the number of steps; see `dvspipe.rules`."""
    epochs: int = Field(default=20, ge=1)
    """Number of epochs: passes through the training recordings."""
    batch: int = Field(default=32, ge=1)
    """Recordings per optimiser step, over all processes."""
    learning_rate: float = Field(default=3e-3, gt=0, le=1000)
    """Peak learning rate."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate after the warm-up: cosine decay to 0, or constant."""
    warm_up: float = Field(default=1.0, ge=0)
    """Length of the linear warm-up of the learning rate, in epochs."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """Weight decay of AdamW (Loshchilov and Hutter 2019)."""
    loss: Literal["mean", "each_step"] = "mean"
    """`mean`: cross-entropy of the mean output over the steps. `each_step`: mean cross-entropy over the steps (TET,
    Deng et al. 2022)."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Label smoothing: share of the target spread over all classes, 0 to 1."""
    segment: int | None = Field(default=None, ge=1)
    """Number of time steps with a stored graph, to save memory: gradients are exact, but every step is computed twice,
    and batch norm normalises each segment. None: all steps. Rules other than `bptt` store one step."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay per step of an exponential moving average of the weights, used for evaluation and in the checkpoint; 0:
    off. In step n the decay is at most n / (n + 9), so the initial weights are soon forgotten."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of convolutions and linear layers; the neurons always use float32. On a CPU, `bfloat16` saves time with
    AVX-512 BF16 or AMX."""


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
    be the same. If there are other classes, the last linear layer is fitted to the recordings first."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the network; `auto`: GPU if available. Networks of kind `stdp` use the CPU."""
    jobs: int = Field(default=2, ge=1)
    """Number of processes that encode spike tensors, used if encoding takes long."""
    hop_us: int | None = Field(default=None, ge=1, le=10**12)
    """Default time between windows in inference, in microseconds; None: length of a window."""

    as_words: ClassVar[bool] = True
    """A terminal gives these settings as words KEY=VALUE: they are too many for options."""
    kinds: ClassVar[Mapping[str, tuple[str, Collection[str]]]] = {
        **DataConfig.kinds,
        **NetworkConfig.kinds,
        **dict.fromkeys(StdpConfig.model_fields, ("network", ("stdp",))),
        **{
            name: ("network", ("csnn", "mlp", "module"))
            for name in OptimiserConfig.model_fields
            if name not in ("epochs", "batch")  # STDP has its own rates and no loss
        },
    }


def read_experiment(source: str | Path, config: TrainConfig = TrainConfig()) -> TrainConfig:
    """Return the settings of a folder of recordings, a YAML file, or an included configuration by its name.

    Args:
        source: Folder, file or name.
        config: Settings that take precedence.

    Raises:
        ConfigError: If the source is none of them, or settings are unknown or wrong.
    """
    if is_data_folder(source):
        return TrainConfig(**folder_config(source).given | config.given)
    return TrainConfig.read(source, config.given)


def is_data_folder(source: str | Path) -> bool:
    """Return whether a source is a folder of recordings.

    Raises:
        ConfigError: If an included configuration has the same name.
    """
    is_folder = Path(source).expanduser().is_dir()
    return not is_included(source, shipped_configs(), is_here=is_folder) and is_folder


def check_settings(config: TrainConfig) -> None:
    """Check that settings do not contradict each other, before the training starts.

    Raises:
        ConfigError: If they do; the message names both settings.
    """
    config.check_kinds(dict(config))
    if config.flip_polarity and config.polarity == "merged":
        raise ConfigError("flip_polarity = true: polarity = merged has no polarities")
    if config.segment is not None and config.segment > config.steps:
        raise ConfigError(
            f"segment = {config.segment}: more steps than a recording has (expected at most steps = {config.steps})"
        )

    if config.network == "stdp":
        _check_stdp(config)

    # Online rules need a loss that exists at each step.
    needs: dict[str, JsonValue] = {}
    if config.network == "module":
        needs = {"rule": "bptt"}
    elif config.rule != "bptt":
        needs = find_unmet_needs(config.rule, config) | {"loss": "each_step", "precision": "float32"}

    unmet = {name: value for name, value in needs.items() if getattr(config, name) != value}
    if unmet:
        cause = "network = module" if config.network == "module" else f"rule = {config.rule}"
        raise ConfigError(f"{cause}: needs {show_settings(unmet)}")


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
            f"{config.passes})"
        )
