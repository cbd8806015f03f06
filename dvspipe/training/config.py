"""The settings of a training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..config import NAME_PATTERN, Settings
from ..datasets import AugmentConfig, DataConfig
from ..encoding import BinConfig
from ..networks import NetworkConfig


class OptimiserConfig(Settings):
    """How the weights are trained."""

    rule: Literal["bptt", "readout"] = "bptt"
    """`bptt`: backpropagation through time with surrogate gradients. `readout`: only the last linear layer of the
    network in `init` is fitted, by ridge regression, to few recordings of one user; the other settings of this group
    except `batch` change nothing then."""
    kind: Literal["adamw", "sgd"] = "adamw"
    """AdamW (Loshchilov and Hutter 2019), or stochastic gradient descent with momentum."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of `sgd`."""
    epochs: int = Field(default=20, ge=1)
    """Passes over the training recordings."""
    batch: int = Field(default=32, ge=1)
    """Recordings per step of the optimiser, over all processes."""
    accumulate: int = Field(default=1, ge=1)
    """Number of parts in which a batch is processed, to use less memory; batch norm sees one part at a time."""
    learning_rate: float = Field(default=3e-3, gt=0, le=1000)
    """Peak learning rate."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate after the warm-up: a cosine to 0, or constant."""
    warm_up: float = Field(default=1.0, ge=0)
    """Number of epochs in which the learning rate rises to its peak."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """Weight decay: decoupled with AdamW, added to the gradient with `sgd`."""
    loss: Literal["mean", "each_step", "count"] = "mean"
    """`mean`: cross-entropy of the mean over the steps. `each_step`: mean cross-entropy over the steps (TET, Deng et
    al. 2022). `count`: mean squared distance of the mean from 1 for the right class and 0 (Fang et al. 2021)."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target that is spread over all classes, 0 to 1."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient; larger ones are scaled down."""
    truncate: int | None = Field(default=None, ge=1)
    """Number of time steps after which gradients through time are truncated; None: not truncated."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay per step of an exponential moving average of the weights, which is evaluated and kept; 0: no average. In
    step n the decay is at most n / (n + 9), so that the first weights are soon forgotten."""
    patience: int | None = Field(default=None, ge=1)
    """Number of epochs without a better validation result after which training stops; None: never."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of convolutions and linear layers on a GPU; the neurons always use float32."""


class TrainConfig(Settings):
    """A complete experiment: data, spike tensors, network, augmentation and optimiser."""

    name: str = Field(default="run", pattern=NAME_PATTERN)
    """Name of the run folder."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the split, the weights, the order of batches, and rendered clips."""
    init: str | None = None
    """Checkpoint to fine-tune: a file or the name of a shipped one, with the same sensor, bins and network; for other
    classes the last linear layer starts from random weights."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the network; `auto`: a GPU if there is one."""
    jobs: int = Field(default=2, ge=1)
    """Number of processes that make spike tensors, if that takes long."""
    baseline: bool = False
    """Whether to also train a ReLU network of the same shape on the sum of the steps: what is better than that comes
    from time."""
    tensorboard: bool = False
    """Whether metrics are also written for TensorBoard, into the run folder; needs the extra `tensorboard`."""
    data: DataConfig = DataConfig()
    bins: BinConfig = BinConfig()
    network: NetworkConfig = NetworkConfig()
    augment: AugmentConfig = AugmentConfig()
    optimiser: OptimiserConfig = OptimiserConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> TrainConfig:
        if self.augment.flip_polarity and self.bins.polarity == "merged":
            raise ValueError("augment.flip_polarity = true: bins.polarity = merged has no polarities")
        if self.network.kind == "first_spike":
            for name, value, expected in (
                ("optimiser.rule", self.optimiser.rule, "bptt"),
                ("optimiser.truncate", self.optimiser.truncate, None),
                ("optimiser.loss", self.optimiser.loss, "mean"),
                ("baseline", self.baseline, False),
            ):
                if value != expected:
                    found, needed = ("null" if each is None else str(each).lower() for each in (value, expected))
                    raise ValueError(f"{name} = {found}: network.kind = first_spike needs {needed}")
        if self.optimiser.rule == "readout":
            self._check_readout()
        return self

    def _check_readout(self) -> None:
        if self.init is None:
            raise ValueError("optimiser.rule = readout: needs a trained network to fit (found no init = CHECKPOINT)")
        if self.network.readout != "leaky":
            found = f"network.readout = {self.network.readout}"
            raise ValueError(f"{found}: cannot be fitted by optimiser.rule = readout (expected leaky)")
        if self.baseline:
            raise ValueError("baseline = true: trains all weights, and optimiser.rule = readout does not; use false")
