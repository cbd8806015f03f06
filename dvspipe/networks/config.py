"""Architecture of a spiking network and constants of its neurons."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from ..base.settings import Settings

MAX_LAYERS = 64  # limit for configurations from untrusted files

NetworkKind = Literal["csnn", "mlp", "stdp", "first_spike", "module"]
"""Architecture; see `NetworkConfig.network`."""
Reset = Literal["zero", "subtract"]
"""Membrane reset; see `NeuronConfig.reset`."""
Norm = Literal["batch", "weight"]
"""Normalisation of convolutions; see `NetworkConfig.norm`."""
Surrogate = Literal["superspike", "arctan", "triangle"]
"""Surrogate gradient; see `dvspipe.networks.neurons.Spike`."""
ReadoutKind = Literal["leaky", "count", "linear"]
"""Readout; see `NetworkConfig.readout`."""
ModuleCall = Literal["sequence", "sequence_state", "step_state", "step"]
"""Calling convention of a custom module; see `NetworkConfig.call`."""

GRADIENT_KINDS: tuple[NetworkKind, ...] = ("csnn", "mlp")
CONVOLUTION_KINDS: tuple[NetworkKind, ...] = ("csnn", "stdp")
LAYER_KINDS: tuple[NetworkKind, ...] = ("csnn", "mlp", "stdp", "first_spike")
TIMED_KINDS: tuple[NetworkKind, ...] = ("csnn", "mlp", "first_spike")
"""Kinds of networks: trained by surrogate gradients, with convolutions, with layers of ours, with time constants."""


class NeuronConfig(Settings):
    """Constants of leaky integrate-and-fire neurons."""

    tau_mem_s: float = Field(default=0.03, gt=0)
    """Membrane time constant in seconds, at least one time step."""
    tau_syn_s: float | None = Field(default=None, gt=0)
    """Synaptic time constant in seconds, at least one time step; None: no synaptic current. Required by first_spike."""
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


class NetworkConfig(NeuronConfig):
    """Architecture of a network and constants of its neurons.

    Example:
        >>> NetworkConfig(network="mlp", channels=(100,)).channels
        (100,)
    """

    network: NetworkKind = "csnn"
    """Architecture.

    `csnn`: blocks of convolution, batch norm, LIF and average pooling.
    `mlp`: linear spiking layers.
    `stdp`: convolutions of neurons that spike at most once, trained without labels, and a linear layer fitted to the
    potentials of the last block (Kheradpisheh et al. 2018).
    `first_spike`: linear layers of neurons that spike at most once, at times in closed form (Mostafa 2017; Göltz et al.
    2021).
    `module`: your own network, created by `target`."""
    channels: Annotated[
        tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1, max_length=MAX_LAYERS)
    ] = (12, 64)
    """Channels of each block, or neurons of each layer."""
    readout: ReadoutKind = "leaky"
    """`leaky`: one leaky integrator per class; its mean potential is the logit. `count`: one spiking neuron per class.
    `linear`: the linear layer itself."""
    tau_readout_s: float = Field(default=0.1, gt=0)
    """Membrane time constant of a leaky readout in seconds, at least one time step. Of first_spike: change of spike
    time that changes a logit by 1, in seconds."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout probability before linear layers in training, with one mask for all steps. Of first_spike: dropout
    probability of the input spikes of each layer."""
    kernel: int = Field(default=5, ge=1, le=11)
    """Side of the convolution kernels in pixels, odd."""
    pool: int = Field(default=2, ge=1, le=8)
    """Pooling size at the end of each block; skipped if no pixel would remain."""
    norm: Norm = "batch"
    """`batch`: batch norm after each convolution. `weight`: scaled weight standardisation of the kernels; it is
    independent of the data, as online learning rules need."""
    padded: tuple[bool, ...] | None = None
    """Whether the convolution of each block is padded, which keeps the image size; None pads all."""
    thresholds: tuple[Annotated[float, Field(gt=0, le=1e6)], ...] = (10.0, 10.0)
    """Of stdp: threshold of each block, in units of a weight of 1; the last block spikes only during training."""
    last_pool: int = Field(default=4, ge=1, le=64)
    """Of stdp: pooling size of the potentials of the last block."""
    leak: bool = True
    """Of first_spike: leaky membranes with `tau_mem_s` equal to `tau_syn_s` or twice as long (Göltz et al. 2021);
    otherwise membranes only integrate the synaptic current (Mostafa 2017)."""
    keep_alive: float = Field(default=0.0, ge=0)
    """Of first_spike: weight of the penalty on each neuron with a weight sum too small to spike even if all inputs
    spike together (Mostafa 2017 uses 100); 0: no penalty."""
    target: str | None = Field(default=None, pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")
    """PACKAGE.MODULE:NAME of the function or class that creates the network, such as `my_package.nets:make_net`. It is
    imported only if you trust its package. None: pass the network in Python."""
    target_options: dict[str, JsonValue] = Field(default_factory=dict)
    """Arguments of the target. Parameters named `shape` (C, H, W of the spike tensors), `classes` (number of classes),
    `dt` (length of a time step in seconds) and `steps` are filled in if not given."""
    call: ModuleCall = "sequence"
    """Calling convention of a module, and where the state is kept.

    `sequence`: called with all steps [T, B, C, H, W], returns [T, B, K] or [B, K], as SpikingJelly's multi-step
    modules; internal state is reset before each call.
    `sequence_state`: called with all steps and the previous state or None, returns output and state, as Norse's `LIF`.
    `step_state`: called with each step [B, C, H, W] and the state, returns the output [B, K] and the state, as Norse's
    `SequentialState` of cells.
    `step`: called with each step; internal state is reset before each recording, as snnTorch's
    `Leaky(init_hidden=True)`. If there are several outputs and no state, the first output counts."""

    kinds: ClassVar[Mapping[str, tuple[str, Collection[str]]]] = {
        **dict.fromkeys(("tau_mem_s", "tau_syn_s", "gain", "tau_readout_s", "dropout"), ("network", TIMED_KINDS)),
        **dict.fromkeys(("reset", "detach_reset", "surrogate", "slope", "readout"), ("network", GRADIENT_KINDS)),
        **dict.fromkeys(("kernel", "pool", "padded"), ("network", CONVOLUTION_KINDS)),
        **dict.fromkeys(("thresholds", "last_pool"), ("network", ("stdp",))),
        **dict.fromkeys(("leak", "keep_alive"), ("network", ("first_spike",))),
        **dict.fromkeys(("target", "target_options", "call"), ("network", ("module",))),
        "channels": ("network", LAYER_KINDS),
        "norm": ("network", ("csnn",)),
    }

    @property
    def spikes_once(self) -> bool:
        """Whether a neuron spikes at most once in a recording."""
        return self.network in ("stdp", "first_spike")

    @property
    def has_explicit_state(self) -> bool:
        """Whether the network takes and returns its state, so that recordings can be passed in parts."""
        return self.call.endswith("_state") if self.network == "module" else not self.spikes_once
