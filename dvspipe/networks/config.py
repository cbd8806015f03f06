"""Architecture of a spiking network and constants of its neurons."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ..base.settings import Settings

MAX_LAYERS = 64  # limit for configurations from untrusted files

NetworkKind = Literal["csnn", "mlp", "stdp", "module"]
"""Architecture; see `NetworkConfig.network`."""
GRADIENT_KINDS: tuple[NetworkKind, ...] = ("csnn", "mlp")
CONVOLUTION_KINDS: tuple[NetworkKind, ...] = ("csnn", "stdp")
"""Kinds of networks: trained by gradients, with convolutions."""


class NetworkConfig(Settings):
    """Architecture of a network and constants of its neurons; `build_network` builds it.

    Example:
        >>> NetworkConfig(network="mlp", channels=(100,)).channels
        (100,)
    """

    network: NetworkKind = "csnn"
    """`csnn`: blocks of convolution, batch norm, LIF neurons and average pooling. `mlp`: linear spiking layers. `stdp`:
    convolutions of neurons that spike at most once, trained without labels, and a linear layer fitted to the potentials
    of the last block (Kheradpisheh et al. 2018). `module`: your own network, passed in Python."""
    channels: Annotated[
        tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1, max_length=MAX_LAYERS)
    ] = (12, 64)
    """Channels of each block, or neurons of each layer."""
    kernel: int = Field(default=5, ge=1, le=11)
    """Side of the convolution kernels in pixels, odd."""
    padded: tuple[bool, ...] | None = None
    """Whether the convolution of each block is padded, which keeps the image size; None pads all."""
    norm: Literal["batch", "weight"] = "batch"
    """`batch`: batch norm after each convolution. `weight`: scaled weight standardisation of the kernels; it is
    independent of the data, as online learning rules need."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout probability before linear layers in training, with one mask for all steps."""
    tau_mem_s: float = Field(default=0.03, gt=0)
    """Membrane time constant in seconds, at least one time step."""
    tau_syn_s: float | None = Field(default=None, gt=0)
    """Synaptic time constant in seconds, at least one time step; None: no synaptic current."""
    tau_readout_s: float = Field(default=0.1, gt=0)
    """Time constant of the leaky readout in seconds, at least one time step; its mean potential is the logit."""
    threshold: float = Field(default=1.0, gt=0, le=1e4)
    """Membrane potential above which a neuron spikes. With dt / tau_mem_s, a spike adds its full weight relative to the
    threshold, as in snnTorch's `Leaky`."""
    reset: Literal["zero", "subtract"] = "zero"
    """Reset after a spike: `zero` sets the membrane to 0, `subtract` subtracts the threshold."""
    detach_reset: bool = False
    """Stop the gradient through the reset; a spike then has a gradient only through the next layer."""
    surrogate: Literal["superspike", "arctan"] = "superspike"
    """Kind of surrogate gradient; see `dvspipe.networks.Spike`."""
    slope: float = Field(default=5.0, gt=0)
    """Slope of the surrogate gradient, alpha of Norse."""
    thresholds: tuple[Annotated[float, Field(gt=0, le=1e6)], ...] = (10.0, 10.0)
    """Of stdp: threshold of each block, in units of a weight of 1; the last block spikes only during training."""

    kinds: ClassVar[Mapping[str, tuple[str, Collection[str]]]] = {
        **dict.fromkeys(
            (
                *("tau_mem_s", "tau_syn_s", "tau_readout_s", "threshold", "reset", "detach_reset"),
                *("surrogate", "slope", "dropout"),
            ),
            ("network", GRADIENT_KINDS),
        ),
        **dict.fromkeys(("kernel", "padded"), ("network", CONVOLUTION_KINDS)),
        "channels": ("network", ("csnn", "mlp", "stdp")),
        "norm": ("network", ("csnn",)),
        "thresholds": ("network", ("stdp",)),
    }
