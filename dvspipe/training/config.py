"""The settings of a training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from ..config import NAME_PATTERN, Settings, write_overrides
from ..datasets import AugmentConfig, DataConfig, FolderConfig
from ..encoding import BinConfig
from ..errors import ConfigError, Remedy
from ..learning import Rule, StdpConfig, find_unmet_needs
from ..networks import CsnnConfig, LayersConfig, ModuleConfig, NetworkConfig, StdpNetworkConfig


class OptimiserConfig(Settings):
    """How the weights are trained."""

    rule: Rule = "bptt"
    """`bptt`: backpropagation through time with surrogate gradients. `readout`: only the last linear layer of the
    network in `init` is fitted, by ridge regression, to few recordings of one user; the other settings of this group
    except `batch` change nothing then. `ottt`, `sltt`, `stllr`, `eprop`, `decolle`: rules that learn forward in time,
    in memory that does not grow with the steps; see `dvspipe.learning`."""
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
    update: Literal["end", "step"] = "end"
    """Rules that learn forward in time: whether the weights change after a batch or after each of its time steps."""
    truncate: int | None = Field(default=None, ge=1)
    """Number of time steps after which gradients through time are truncated; None: not truncated."""
    segment: Literal["auto"] | Annotated[int, Field(ge=1)] | None = "auto"
    """Number of time steps whose graph is kept at once, by computing them twice: the gradients are those of all steps,
    in the memory of few; batch norm normalises each segment. `auto`: all steps if they fit in half of the memory of the
    machine or GPU, else as many as do. None: all steps. Other rules than `bptt` only compute so many steps at once."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay per step of an exponential moving average of the weights, which is evaluated and kept; 0: no average. In
    step n the decay is at most n / (n + 9), so that the first weights are soon forgotten."""
    patience: int | None = Field(default=None, ge=1)
    """Number of epochs without a better validation result after which training stops; None: never."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of convolutions and linear layers on a GPU; the neurons always use float32."""

    @field_validator("rule", mode="before")
    @classmethod
    def _refuse_kind_as_rule(cls, rule: object) -> object:
        """Refuse rules that come with a network of their own."""
        if rule in ("stdp", "first_spike"):
            raise ConfigError(f"optimiser.rule = {rule}: is a kind of network", Remedy("network.kind", rule))
        return rule


class TrainConfig(Settings):
    """A complete experiment: data, spike tensors, network, augmentation and optimiser."""

    name: str = Field(default="run", pattern=NAME_PATTERN)
    """Name of the run folder."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the split, the weights, the order of batches, and rendered clips."""
    init: str | None = None
    """Checkpoint to fine-tune: a file, the name of a shipped one, or `hf://USER/NAME`, with the same sensor, bins and
    network; for other classes the last linear layer starts from random weights."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the network; `auto`: a GPU if there is one."""
    jobs: int = Field(default=2, ge=1)
    """Number of processes that make spike tensors, if that takes long."""
    hop_us: int | None = Field(default=None, ge=1, le=10**12)
    """Time from one window to the next in inference, unless that says otherwise; None: the length of a window."""
    baseline: bool = False
    """Whether to also train a ReLU network of the same shape on the sum of the steps: what is better than that comes
    from time."""
    tensorboard: bool = False
    """Whether metrics are also written for TensorBoard, into the run folder; needs the extra `tensorboard`."""
    data: DataConfig = FolderConfig()
    bins: BinConfig = BinConfig()
    network: NetworkConfig = CsnnConfig()
    augment: AugmentConfig = AugmentConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    stdp: StdpConfig = StdpConfig()

    @property
    def segment_steps(self) -> int | None:
        """`optimiser.segment` if it is a number."""
        return self.optimiser.segment if isinstance(self.optimiser.segment, int) else None

    @model_validator(mode="after")
    def _fits_together(self) -> TrainConfig:
        if self.augment.flip_polarity and self.bins.polarity == "merged":
            raise ValueError("augment.flip_polarity = true: bins.polarity = merged has no polarities")
        if self.augment.tonic and self.data.kind == "mnist":
            raise ValueError("augment.tonic: changes events, and data.kind = mnist has images")
        if self.augment.tonic and self.data.views > 1:
            raise ValueError(
                "augment.tonic: changes the events of each recording again in every epoch, and needs data.views = 1 "
                f"(found data.views = {self.data.views})"
            )
        if self.network.kind == "first_spike":
            self._check_first_spike()
        if self.optimiser.rule == "readout":
            self._check_readout()
        if isinstance(self.network, StdpNetworkConfig):
            self._check_stdp(self.network)
        if isinstance(self.network, ModuleConfig):
            self._check_module(self.network)
        self._check_rule()
        segment = self.segment_steps
        if segment is not None and self.optimiser.truncate is not None:
            raise ValueError(
                f"optimiser.segment = {segment}: computes the gradients that optimiser.truncate = "
                f"{self.optimiser.truncate} cuts; set one of them to null"
            )
        if segment is not None and segment > self.bins.steps:
            raise ValueError(
                f"optimiser.segment = {segment}: is longer than a recording (expected at most bins.steps = "
                f"{self.bins.steps}, or auto)"
            )
        return self

    def _check_rule(self) -> None:
        """Check that a rule can train this network with these settings."""
        optimiser = self.optimiser
        if optimiser.update == "step" and (optimiser.rule in ("bptt", "readout") or optimiser.accumulate > 1):
            found = f"optimiser.rule = {optimiser.rule}, optimiser.accumulate = {optimiser.accumulate}"
            raise ValueError(
                f"optimiser.update = step: needs a rule that learns forward in time and accumulate = 1 (found {found})"
            )
        if optimiser.rule in ("bptt", "readout"):
            return
        others: dict[str, JsonValue] = {"loss": "each_step", "truncate": None, "precision": "float32"}
        needs = find_unmet_needs(optimiser.rule, self.network)
        needs |= {f"optimiser.{name}": value for name, value in others.items() if getattr(optimiser, name) != value}
        if needs:
            raise ValueError(f"optimiser.rule = {optimiser.rule}: needs {write_overrides(needs)}")

    def _check_readout(self) -> None:
        if self.init is None:
            raise ValueError("optimiser.rule = readout: needs a trained network to fit (found no init = CHECKPOINT)")
        if isinstance(self.network, LayersConfig) and self.network.readout == "count":
            raise ValueError(
                "network.readout = count: cannot be fitted by optimiser.rule = readout (expected leaky or linear)"
            )
        if self.baseline:
            raise ValueError("baseline = true: trains all weights, and optimiser.rule = readout does not; use false")

    def _check_first_spike(self) -> None:
        for name, value, expected in (
            ("optimiser.rule", self.optimiser.rule, "bptt"),
            ("optimiser.truncate", self.optimiser.truncate, None),
            ("optimiser.segment", self.segment_steps, None),
            ("optimiser.loss", self.optimiser.loss, "mean"),
            ("baseline", self.baseline, False),
        ):
            _require(name, value, expected, "kind = first_spike")

    def _check_module(self, network: ModuleConfig) -> None:
        """Check that nothing needs to know the layers of a network, or a state that it does not show."""
        kind, call = "kind = module", f"call = {network.call}"
        for name, value, expected, setting in (
            ("optimiser.rule", self.optimiser.rule, "bptt", kind),
            ("baseline", self.baseline, False, kind),
            *(
                (f"optimiser.{name}", value, None, call)
                for name, value in (("truncate", self.optimiser.truncate), ("segment", self.segment_steps))
                if not network.has_explicit_state
            ),
            *((("optimiser.ema", self.optimiser.ema, 0, call),) if network.call == "step" else ()),
        ):
            _require(name, value, expected, setting)

    def _check_stdp(self, network: StdpNetworkConfig) -> None:
        layers = len(network.channels)
        for name, found in (("winners", self.stdp.winners), ("radius", self.stdp.radius)):
            if len(found) != layers:
                raise ValueError(
                    f"stdp.{name}: wrong number of values (found {len(found)}, expected {layers} as network.channels)"
                )
        least = (layers - 1) * self.stdp.passes + 1
        if self.optimiser.epochs < least:
            raise ValueError(
                f"optimiser.epochs = {self.optimiser.epochs}: the last layer never learns (expected {least} or more, "
                f"with stdp.passes = {self.stdp.passes} for each layer before it)"
            )
        if self.bins.polarity == "signed":
            raise ValueError("bins.polarity = signed: network.kind = stdp needs values of 0 or more; use separate")
        if self.baseline:
            raise ValueError("baseline = true: network.kind = stdp has no gradients; use a network.kind that has")


def _require(name: str, value: object, expected: object, setting: str) -> None:
    """Refuse a value of a setting that a setting of the network does not allow."""
    if value != expected:
        found, needed = ("null" if each is None else str(each).lower() for each in (value, expected))
        raise ValueError(f"{name} = {found}: network.{setting} needs {needed}")
