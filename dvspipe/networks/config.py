"""The shape of a spiking network and the constants of its neurons."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, JsonValue

from ..config import TARGET_PATTERN, Settings, build, complete_kind

MAX_LAYERS = 64  # a file of others may name any number

NetworkKind = Literal["csnn", "sew", "plif", "mlp", "stdp", "first_spike", "module"]
"""The architecture; see `NetworkConfig`."""
Reset = Literal["zero", "subtract"]
"""What a spike does to the membrane; see `NeuronConfig.reset`."""
Norm = Literal["batch", "weight"]
"""What normalises the currents of convolutions; see `ConvolutionConfig.norm`."""
Surrogate = Literal["superspike", "arctan", "triangle"]
"""The surrogate gradient of a spike; see `dvspipe.networks.neurons.Spike`."""
ReadoutKind = Literal["leaky", "count", "linear"]
"""What returns a number per class; see `LayersConfig.readout`."""
ModuleCall = Literal["sequence", "sequence_state", "step_state", "step"]
"""How a module of yours is called; see `ModuleConfig.call`."""


class NeuronConfig(Settings):
    """The constants of leaky integrate-and-fire neurons."""

    tau_mem_s: float = Field(default=0.03, gt=0)
    """Membrane time constant of the spiking neurons in seconds; at least one time step."""
    tau_syn_s: float | None = Field(default=None, gt=0)
    """Time constant of the synaptic current in seconds, at least one time step; None: no synaptic current."""
    learn_tau: bool = False
    """Whether the membrane time constant of each layer is trained, starting at `tau_mem_s`."""
    gain: float = Field(default=1.0, gt=0, le=1e4)
    """Factor on input currents; with tau_mem_s / dt a spike adds its full weight, as in snnTorch's `Leaky`."""
    reset: Reset = "zero"
    """What a spike does to the membrane: `zero` sets it to 0, `subtract` subtracts the threshold, 1."""
    detach_reset: bool = False
    """Whether the reset has no gradient: a spike then counts by what it does to the next layer only."""
    surrogate: Surrogate = "superspike"
    """Kind of the surrogate gradient; see `Spike`."""
    slope: float = Field(default=5.0, gt=0)
    """Slope of the surrogate gradient."""


Channels: TypeAlias = Annotated[
    tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1, max_length=MAX_LAYERS)
]


class KindConfig(Settings):
    """Base of the settings of each kind of network."""

    @property
    def spikes_once(self) -> bool:
        """Whether a neuron spikes at most once in a recording."""
        return False

    @property
    def has_explicit_state(self) -> bool:
        """Whether the network takes and returns its state, so that recordings can be passed in parts."""
        return not self.spikes_once


class LayersConfig(KindConfig, NeuronConfig):
    """Layers of leaky integrate-and-fire neurons and a readout."""

    channels: Channels = (12, 64)
    """Channels of each block."""
    readout: ReadoutKind = "leaky"
    """`leaky`: a leaky integrator per class, whose mean potential is its logit. `count`: spiking neurons. `linear`: the
    linear layer itself."""
    votes: int = Field(default=1, ge=1, le=100)
    """`readout = count`: number of neurons per class, whose spikes are averaged."""
    tau_readout_s: float = Field(default=0.1, gt=0)
    """Membrane time constant of a leaky readout in seconds; at least one time step."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the features dropped before linear layers during training; the same ones at every step."""


class ConvolutionConfig(LayersConfig):
    """Blocks of convolutions."""

    kernel: int = Field(default=5, ge=1, le=11)
    """Side of the convolution kernels in pixels, odd."""
    pool: int = Field(default=2, ge=1, le=8)
    """Side of the pooling at the end of each block; left out if no pixel would remain."""
    norm: Norm = "batch"
    """`batch`: batch norm after each convolution. `weight`: scaled weight standardisation of the kernels, which depends
    on no recording, so that rules that learn step by step can use it."""


class CsnnConfig(ConvolutionConfig):
    """Blocks of convolution, batch norm, LIF and average pooling."""

    kind: Literal["csnn"] = "csnn"
    padded: tuple[bool, ...] | None = None
    """Whether the convolution of each block is padded, which keeps the image size; None pads all."""


class SewConfig(ConvolutionConfig):
    """Blocks of spike-element-wise residuals of two convolutions and maximum pooling.

    Fang et al. 2021, "Deep residual learning in SNNs".
    """

    kind: Literal["sew"] = "sew"


class PlifConfig(ConvolutionConfig):
    """Convolutions with maximum pooling, then a linear spiking layer.

    Fang et al. 2021, "Incorporating learnable membrane time constant".
    """

    kind: Literal["plif"] = "plif"
    hidden: int = Field(default=512, ge=1, le=65536)
    """Number of neurons of the linear layer before the readout."""


class MlpConfig(LayersConfig):
    """Linear spiking layers of `channels` neurons each."""

    kind: Literal["mlp"] = "mlp"


class StdpNetworkConfig(KindConfig):
    """Convolutions of neurons that spike at most once, trained without labels (Kheradpisheh et al. 2018)."""

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
    """Potential at which the neurons of each block spike, in weights of 1; those of the last block spike only while
    they learn."""
    last_pool: int = Field(default=4, ge=1, le=64)
    """Side of the squares of pixels over which the potentials of the last block are pooled."""
    readout: Literal["linear"] = "linear"
    """A linear layer is fitted to the potentials of the last block."""

    @property
    def spikes_once(self) -> bool:
        """Whether a neuron spikes at most once in a recording."""
        return True


class FirstSpikeConfig(KindConfig):
    """Linear layers of neurons that spike at most once, at times in closed form (Mostafa 2017; Göltz et al. 2021)."""

    kind: Literal["first_spike"] = "first_spike"
    tau_mem_s: float = Field(default=0.03, gt=0)
    """Membrane time constant of the spiking neurons in seconds, if membranes leak."""
    tau_syn_s: float | None = Field(default=None, gt=0)
    """Time constant of the synaptic current in seconds; a network cannot be built without it."""
    gain: float = Field(default=1.0, gt=0, le=1e4)
    """Factor on the weights."""
    channels: Channels = (12, 64)
    """Neurons of each layer."""
    leak: bool = True
    """Whether membranes leak, with `tau_mem_s` once or twice `tau_syn_s` (Göltz et al. 2021), or only integrate the
    synaptic current (Mostafa 2017)."""
    keep_alive: float = Field(default=0.0, ge=0)
    """Weight of the penalty for each neuron whose weights sum to less than what makes it spike if all its inputs spike
    at once (Mostafa 2017, who has 100); 0: none."""
    tau_readout_s: float = Field(default=0.1, gt=0)
    """Time that changes a logit by 1, in seconds."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the input spikes of each layer that are dropped during training."""

    @property
    def spikes_once(self) -> bool:
        """Whether a neuron spikes at most once in a recording."""
        return True


class ModuleConfig(KindConfig):
    """Your own network, which `target` makes."""

    kind: Literal["module"] = "module"
    target: str | None = Field(default=None, pattern=TARGET_PATTERN)
    """PACKAGE.MODULE:NAME of the function or class that makes the network, such as `my_package.nets:make_net`. It is
    imported only if you trust its package. None: the network is given in Python."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Arguments of the target. Without them, parameters of the names `shape` (C, H, W of the spike tensors), `classes`
    (their number), `dt` (length of a time step in seconds) and `steps` get these values."""
    call: ModuleCall = "sequence"
    """How the network is called, and where its state is. `sequence`: with all steps [T, B, C, H, W], and returns
    [T, B, K] or [B, K], as SpikingJelly's multi-step modules; a state inside is reset before each call.
    `sequence_state`: with all steps and the state before them or None, and returns the output and the state after them,
    as Norse's `LIF`. `step_state`: with each step [B, C, H, W] and the state, and returns the output [B, K] and the
    state, as Norse's `SequentialState` of cells. `step`: with each step, and has its state inside, which is reset
    before each recording, as snnTorch's `Leaky(init_hidden=True)`. Of several outputs without a state, the first
    counts."""

    @property
    def has_explicit_state(self) -> bool:
        """Whether the network takes and returns its state, so that recordings can be passed in parts."""
        return self.call.endswith("_state")


GradientConfig: TypeAlias = CsnnConfig | SewConfig | PlifConfig | MlpConfig
"""The kinds of networks that surrogate gradients train."""
_AnyConfig: TypeAlias = GradientConfig | StdpNetworkConfig | FirstSpikeConfig | ModuleConfig
NetworkConfig: TypeAlias = Annotated[
    _AnyConfig, Field(discriminator="kind"), BeforeValidator(partial(complete_kind, _AnyConfig))
]
"""The kind of a network, and its settings; without a kind, those of `csnn`."""


class _Group(Settings):
    """A group of settings with a network, as an experiment is."""

    network: NetworkConfig = CsnnConfig()


def parse_network(settings: Mapping[str, object]) -> NetworkConfig:
    """Return the kind of a network and its settings from plain keys and values.

    Raises:
        ConfigError: A key is unknown or belongs to another kind, or a value is wrong.

    Example:
        >>> parse_network({"kind": "mlp", "channels": [10]}).channels
        (10,)
    """
    return build(_Group, {"network": settings}, "NetworkConfig").network
