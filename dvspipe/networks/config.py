"""The shape of a spiking network and the constants of its neurons."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from ..config import TARGET_PATTERN, Settings

MAX_LAYERS = 64  # a file of others may name any number

NetworkKind = Literal["csnn", "sew", "plif", "mlp", "stdp", "first_spike", "module"]
"""The architecture; see `NetworkConfig.kind`."""
Reset = Literal["zero", "subtract"]
"""What a spike does to the membrane; see `NeuronConfig.reset`."""
Norm = Literal["batch", "weight"]
"""What normalises the currents of convolutions; see `NetworkConfig.norm`."""
Surrogate = Literal["superspike", "arctan", "triangle"]
"""The surrogate gradient of a spike; see `dvspipe.networks.neurons.Spike`."""
ReadoutKind = Literal["leaky", "count", "linear"]
"""What returns a number per class; see `NetworkConfig.readout`."""
ModuleCall = Literal["sequence", "sequence_state", "step_state", "step"]
"""How a module of yours is called; see `NetworkConfig.call`."""


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


class NetworkConfig(NeuronConfig):
    """The shape of a spiking network and the constants of its neurons."""

    kind: NetworkKind = "csnn"
    """`csnn`: blocks of convolution, batch norm, LIF and average pooling. `sew`: blocks of spike-element-wise residuals
    of two convolutions and maximum pooling (Fang et al. 2021, "Deep residual learning in SNNs"). `plif`: convolutions
    with maximum pooling, then a linear spiking layer (Fang et al. 2021, "Incorporating learnable membrane time
    constant"). `mlp`: linear spiking layers of `channels` neurons each. `stdp`: convolutions of neurons that spike at
    most once, trained without labels (Kheradpisheh et al. 2018). `first_spike`: linear layers of neurons that spike at
    most once, at times in closed form (Mostafa 2017; Göltz et al. 2021). `module`: a network of yours, which `target`
    makes; of the other settings of this group it has `options` and `call` only."""
    target: str | None = Field(default=None, pattern=TARGET_PATTERN)
    """`module`: PACKAGE.MODULE:NAME of the function or class that makes the network, such as
    `my_package.nets:make_net`. It is imported only if you trust its package. None: the network is given in Python."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """`module`: arguments of the target. Without them, parameters of the names `shape` (C, H, W of the spike tensors),
    `classes` (their number), `dt` (length of a time step in seconds) and `steps` get these values."""
    call: ModuleCall = "sequence"
    """`module`: how the network is called, and where its state is. `sequence`: with all steps [T, B, C, H, W], and
    returns [T, B, K] or [B, K], as SpikingJelly's multi-step modules; a state inside is reset before each call.
    `sequence_state`: with all steps and the state before them or None, and returns the output and the state after them,
    as Norse's `LIF`. `step_state`: with each step [B, C, H, W] and the state, and returns the output [B, K] and the
    state, as Norse's `SequentialState` of cells. `step`: with each step, and has its state inside, which is reset
    before each recording, as snnTorch's `Leaky(init_hidden=True)`. Of several outputs without a state, the first
    counts."""
    channels: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        default=(12, 64), min_length=1, max_length=MAX_LAYERS
    )
    """Channels of each block."""
    kernel: int = Field(default=5, ge=1, le=11)
    """Side of the convolution kernels in pixels, odd."""
    padded: tuple[bool, ...] | None = None
    """`csnn`, `stdp`: whether the convolution of each block is padded, which keeps the image size; None pads all."""
    pool: int = Field(default=2, ge=1, le=8)
    """Side of the pooling at the end of each block; left out if no pixel would remain."""
    hidden: int = Field(default=512, ge=1, le=65536)
    """`plif`: number of neurons of the linear layer before the readout."""
    thresholds: tuple[Annotated[float, Field(gt=0, le=1e6)], ...] = (10.0, 10.0)
    """`stdp`: potential at which the neurons of each block spike, in weights of 1; those of the last block spike only
    while they learn."""
    last_pool: int = Field(default=4, ge=1, le=64)
    """`stdp`: side of the squares of pixels over which the potentials of the last block are pooled."""
    leak: bool = True
    """`first_spike`: whether membranes leak, with `tau_mem_s` once or twice `tau_syn_s` (Göltz et al. 2021), or only
    integrate the synaptic current (Mostafa 2017)."""
    keep_alive: float = Field(default=0.0, ge=0)
    """`first_spike`: weight of the penalty for each neuron whose weights sum to less than what makes it spike if all
    its inputs spike at once (Mostafa 2017, who has 100); 0: none."""
    norm: Norm = "batch"
    """`batch`: batch norm after each convolution. `weight`: scaled weight standardisation of the kernels, which depends
    on no recording, so that rules that learn step by step can use it."""
    readout: ReadoutKind = "leaky"
    """`leaky`: a leaky integrator per class, whose mean potential is its logit. `count`: spiking neurons. `linear`: the
    linear layer itself, the only one for `stdp`."""
    votes: int = Field(default=1, ge=1, le=100)
    """`count`: number of neurons per class, whose spikes are averaged."""
    tau_readout_s: float = Field(default=0.1, gt=0)
    """Membrane time constant of a leaky readout in seconds; at least one time step. `first_spike`: the time that
    changes a logit by 1."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the features dropped before linear layers during training; the same ones at every step."""

    @model_validator(mode="after")
    def _check_target(self) -> NetworkConfig:
        for name, value in (("target", self.target), ("options", self.options)):
            if value and self.kind != "module":
                raise ValueError(f"network.{name} = {value}: needs network.kind = module (found {self.kind})")
        return self

    @property
    def spikes_once(self) -> bool:
        """Whether a neuron spikes at most once in a recording."""
        return self.kind in ("stdp", "first_spike")

    @property
    def has_explicit_state(self) -> bool:
        """Whether the network takes and returns its state, so that recordings can be passed in parts."""
        if self.kind == "module":
            return self.call.endswith("_state")
        return not self.spikes_once
