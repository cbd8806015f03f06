"""Architecture of a spiking network and constants of its neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, ClassVar, Literal, TypeAlias, TypedDict

from pydantic import BeforeValidator, Field, JsonValue

from ..base.config import Settings, as_settings, build
from ..base.groups import complete_kind
from ..base.patterns import TARGET_PATTERN

MAX_LAYERS = 64  # limit for configurations from untrusted files

NetworkKind = Literal["csnn", "mlp", "stdp", "first_spike", "module"]
"""Architecture; see `NetworkConfig`."""
Reset = Literal["zero", "subtract"]
"""Membrane reset; see `NeuronConfig.reset`."""
Norm = Literal["batch", "weight"]
"""Normalisation of convolutions; see `CsnnConfig.norm`."""
Surrogate = Literal["superspike", "arctan", "triangle"]
"""Surrogate gradient; see `dvspipe.networks.neurons.Spike`."""
ReadoutKind = Literal["leaky", "count", "linear"]
"""Readout; see `LayersConfig.readout`."""
ModuleCall = Literal["sequence", "sequence_state", "step_state", "step"]
"""Calling convention of a custom module; see `ModuleConfig.call`."""


class NeuronConfig(Settings):
    """Constants of leaky integrate-and-fire neurons."""

    tau_mem_s: float = Field(default=0.03, gt=0)
    """Membrane time constant in seconds, at least one time step."""
    tau_syn_s: float | None = Field(default=None, gt=0)
    """Synaptic time constant in seconds, at least one time step; None: no synaptic current."""
    gain: float = Field(default=1.0, gt=0, le=1e4)
    """Factor on input currents. With tau_mem_s / dt a spike adds its full weight, as in snnTorch's `Leaky`."""
    reset: Reset = "zero"
    """Reset after a spike: `zero` sets the membrane to 0, `subtract` subtracts the threshold, 1."""
    detach_reset: bool = False
    """Stop the gradient through the reset; a spike then has a gradient only through the next layer."""
    surrogate: Surrogate = "superspike"
    """Kind of surrogate gradient; see `Spike`."""
    slope: float = Field(default=5.0, gt=0)
    """Slope of the surrogate gradient."""


class NeuronKeywords(TypedDict, total=False):
    """Settings of `NeuronConfig` by name."""

    tau_mem_s: float
    tau_syn_s: float | None
    gain: float
    reset: Reset
    detach_reset: bool
    surrogate: Surrogate
    slope: float


class IntegratorConfig(Settings):
    """Constants of leaky integrators, neurons that do not spike."""

    tau_mem_s: float = Field(default=0.1, gt=0)
    """Membrane time constant in seconds, at least one time step."""
    gain: float = Field(default=1.0, gt=0, le=1e4)
    """Factor on input currents."""


class IntegratorKeywords(TypedDict, total=False):
    """Settings of `IntegratorConfig` by name."""

    tau_mem_s: float
    gain: float


Channels: TypeAlias = Annotated[
    tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1, max_length=MAX_LAYERS)
]


class KindConfig(Settings):
    """Base settings of all kinds of networks."""

    spikes_once: ClassVar[bool] = False
    """Whether a neuron spikes at most once in a recording."""

    @property
    def has_explicit_state(self) -> bool:
        """Whether the network takes and returns its state, so that recordings can be passed in parts."""
        return not self.spikes_once


class LayersConfig(KindConfig, NeuronConfig):
    """Layers of leaky integrate-and-fire neurons, and a readout."""

    channels: Channels = (12, 64)
    """Channels of each block."""
    readout: ReadoutKind = "leaky"
    """`leaky`: one leaky integrator per class; its mean potential is the logit. `count`: one spiking neuron per class.
    `linear`: the linear layer itself."""
    tau_readout_s: float = Field(default=0.1, gt=0)
    """Membrane time constant of a leaky readout in seconds, at least one time step."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout probability before linear layers in training, with one mask for all steps."""


class CsnnConfig(LayersConfig):
    """Blocks of convolution, batch norm, LIF and average pooling."""

    kernel: int = Field(default=5, ge=1, le=11)
    """Side of the convolution kernels in pixels, odd."""
    pool: int = Field(default=2, ge=1, le=8)
    """Pooling size at the end of each block; skipped if no pixel would remain."""
    norm: Norm = "batch"
    """`batch`: batch norm after each convolution. `weight`: scaled weight standardisation of the kernels; it is
    independent of the data, as online learning rules need."""
    kind: Literal["csnn"] = "csnn"
    padded: tuple[bool, ...] | None = None
    """Whether the convolution of each block is padded, which keeps the image size; None pads all."""


class MlpConfig(LayersConfig):
    """Linear spiking layers of `channels` neurons each."""

    kind: Literal["mlp"] = "mlp"


class StdpNetworkConfig(KindConfig):
    """Convolutions of neurons that spike at most once, trained without labels (Kheradpisheh et al. 2018)."""

    spikes_once: ClassVar[bool] = True
    kind: Literal["stdp"] = "stdp"
    channels: Channels = (12, 64)
    """Channels of each block."""
    kernel: int = Field(default=5, ge=1, le=11)
    """Side of the convolution kernels in pixels, odd."""
    padded: tuple[bool, ...] | None = None
    """Whether the convolution of each block is padded, which keeps the image size; None pads all."""
    pool: int = Field(default=2, ge=1, le=8)
    """Side of the pooling at the end of each block; left out if no pixel would remain."""
    thresholds: tuple[Annotated[float, Field(gt=0, le=1e6)], ...] = (10.0, 10.0)
    """Threshold of each block, in units of a weight of 1; the last block spikes only during training."""
    last_pool: int = Field(default=4, ge=1, le=64)
    """Pooling size of the potentials of the last block."""
    readout: Literal["linear"] = "linear"
    """Linear layer, fitted to the potentials of the last block."""


class FirstSpikeConfig(KindConfig):
    """Linear layers of neurons that spike at most once, at times in closed form (Mostafa 2017; Göltz et al. 2021)."""

    spikes_once: ClassVar[bool] = True
    kind: Literal["first_spike"] = "first_spike"
    tau_mem_s: float = Field(default=0.03, gt=0)
    """Membrane time constant in seconds, if membranes leak."""
    tau_syn_s: float | None = Field(default=None, gt=0)
    """Synaptic time constant in seconds; required to build a network."""
    gain: float = Field(default=1.0, gt=0, le=1e4)
    """Factor on the weights."""
    channels: Channels = (12, 64)
    """Neurons of each layer."""
    leak: bool = True
    """Leaky membranes with `tau_mem_s` equal to `tau_syn_s` or twice as long (Göltz et al. 2021); otherwise membranes
    only integrate the synaptic current (Mostafa 2017)."""
    keep_alive: float = Field(default=0.0, ge=0)
    """Weight of the penalty on each neuron with a weight sum too small to spike even if all inputs spike together
    (Mostafa 2017 uses 100); 0: no penalty."""
    tau_readout_s: float = Field(default=0.1, gt=0)
    """Change of spike time that changes a logit by 1, in seconds."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout probability of the input spikes of each layer in training."""


class ModuleConfig(KindConfig):
    """Your own network, created by `target`."""

    kind: Literal["module"] = "module"
    target: str | None = Field(default=None, pattern=TARGET_PATTERN)
    """PACKAGE.MODULE:NAME of the function or class that creates the network, such as `my_package.nets:make_net`. It is
    imported only if you trust its package. None: pass the network in Python."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Arguments of the target. Parameters named `shape` (C, H, W of the spike tensors), `classes` (number of classes),
    `dt` (length of a time step in seconds) and `steps` are filled in if not given."""
    call: ModuleCall = "sequence"
    """Calling convention, and where the state is kept.

    `sequence`: called with all steps [T, B, C, H, W], returns [T, B, K] or [B, K], as SpikingJelly's multi-step
    modules; internal state is reset before each call.
    `sequence_state`: called with all steps and the previous state or None, returns output and state, as Norse's `LIF`.
    `step_state`: called with each step [B, C, H, W] and the state, returns the output [B, K] and the state, as Norse's
    `SequentialState` of cells.
    `step`: called with each step; internal state is reset before each recording, as snnTorch's
    `Leaky(init_hidden=True)`. If there are several outputs and no state, the first output counts."""

    @property
    def has_explicit_state(self) -> bool:
        """Whether the network takes and returns its state, so that recordings can be passed in parts."""
        return self.call.endswith("_state")


GradientConfig: TypeAlias = CsnnConfig | MlpConfig
"""Networks trained by surrogate gradients."""
_AnyConfig: TypeAlias = GradientConfig | StdpNetworkConfig | FirstSpikeConfig | ModuleConfig
NetworkConfig: TypeAlias = Annotated[
    _AnyConfig, Field(discriminator="kind"), BeforeValidator(partial(complete_kind, _AnyConfig))
]
"""Kind of a network and its settings; default kind: `csnn`."""


class UniqueNetworkKeywords(NeuronKeywords, total=False):
    """Settings of `NetworkConfig` by name, without `kind` and `options`, which data sets have, too."""

    channels: Sequence[int]
    readout: ReadoutKind
    tau_readout_s: float
    dropout: float
    kernel: int
    pool: int
    norm: Norm
    padded: Sequence[bool] | None
    thresholds: Sequence[float]
    last_pool: int
    leak: bool
    keep_alive: float
    target: str | None
    call: ModuleCall


class NetworkKeywords(UniqueNetworkKeywords, total=False):
    """Settings of `NetworkConfig` by name."""

    kind: NetworkKind
    options: Mapping[str, JsonValue]


class _Group(Settings):
    """Group of settings with a network, like an experiment."""

    network: NetworkConfig = CsnnConfig()


def as_network(given: NetworkConfig | Mapping[str, object] | None, named: Mapping[str, object]) -> NetworkConfig:
    """Create the settings of a network like `as_settings`; default kind: `csnn`.

    Raises:
        ConfigError: If a name is unknown or belongs to another kind, or a value is wrong.

    Example:
        >>> as_network({"kind": "mlp"}, {"channels": [10]})
        MlpConfig(channels=(10,))
    """
    return as_settings(_Group, None if given is None else {"network": given}, {"network": named}).network


def parse_network(settings: Mapping[str, object]) -> NetworkConfig:
    """Parse a mapping into the settings of a kind of network.

    Raises:
        ConfigError: If a key is unknown or belongs to another kind, or a value is invalid.

    Example:
        >>> parse_network({"kind": "mlp", "channels": [10]}).channels
        (10,)
    """
    return build(_Group, {"network": settings}, "NetworkConfig").network
