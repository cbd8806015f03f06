"""The settings of an experiment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..config import Settings
from ..datasets import AugmentConfig, DataConfig
from ..encoding import BinConfig
from ..networks import NetworkConfig


class OptimiserConfig(Settings):
    """How the weights are learned."""

    kind: Literal["adamw", "sgd"] = "adamw"
    """AdamW (Loshchilov and Hutter 2019), or stochastic gradient descent with momentum."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of `sgd`."""
    epochs: int = Field(default=20, ge=1)
    """Passes over the training recordings."""
    batch: int = Field(default=32, ge=1)
    """Recordings per step, over all processes."""
    accumulate: int = Field(default=1, ge=1)
    """Parts in which a batch is done one after another, to need less memory; batch norm sees one part at a time."""
    learning_rate: float = Field(default=3e-3, gt=0, le=1000)
    """Peak learning rate."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """How the learning rate goes on behind the warm-up: to 0 by a cosine, or not at all."""
    warm_up: float = Field(default=1.0, ge=0)
    """Epochs in which the learning rate rises to its peak."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """Decoupled with AdamW, as a part of the gradient with `sgd`."""
    loss: Literal["mean", "each_step", "count"] = "mean"
    """`mean`: cross-entropy of the mean over the steps. `each_step`: mean cross-entropy over the steps (TET, Deng et
    al. 2022). `count`: mean squared distance of the mean from 1 for the right class and 0 (Fang et al. 2021)."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target that is spread over all classes."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    truncate: int | None = Field(default=None, ge=1)
    """Steps after which gradients through time are cut off, for long recordings; None goes through all."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay per step of an exponential moving average of the weights, which is then evaluated and kept; 0 is none. In
    step n it is n / (n + 9) where that is less, so that the first weights are soon forgotten."""
    patience: int | None = Field(default=None, ge=1)
    """Epochs without a better validation result after which training ends."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of convolutions and linear layers on a GPU; the neurons are float32 in any case."""


class TrainConfig(Settings):
    """A whole experiment."""

    name: str = Field(default="run", pattern=r"^\w[\w.-]*$")
    """Names the run folder."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Of the division into parts, the weights, the order of batches, and rendered clips."""
    init: str | None = None
    """A checkpoint whose weights are learned on from: of the same sensor, bins and network; for other classes the last
    linear layer begins anew."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs; `auto` takes a GPU where there is one."""
    jobs: int = Field(default=2, ge=1)
    """Processes that make spike tensors where that takes long."""
    baseline: bool = False
    """Whether a ReLU network of the same shape also learns, from the sum of the steps, in the same way: what is better
    than that comes from time."""
    tensorboard: bool = False
    """Whether metrics are also written for TensorBoard, into the run folder."""
    data: DataConfig = DataConfig()
    bins: BinConfig = BinConfig()
    network: NetworkConfig = NetworkConfig()
    augment: AugmentConfig = AugmentConfig()
    optimiser: OptimiserConfig = OptimiserConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> TrainConfig:
        if self.augment.flip_polarity and self.bins.polarity == "merged":
            raise ValueError("augment.flip_polarity = true: bins.polarity = merged has no polarities")
        return self
