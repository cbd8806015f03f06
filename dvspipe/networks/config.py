"""The shape of a spiking network and the constants of its neurons."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..config import Settings


class NetworkConfig(Settings):
    """The shape of a spiking network and the constants of its neurons."""

    kind: Literal["csnn", "sew", "plif", "mlp"] = "csnn"
    """`csnn`: blocks of convolution, batch norm, LIF and average pooling. `sew`: blocks of spike-element-wise residuals
    of two convolutions and maximum pooling (Fang et al. 2021, "Deep residual learning in SNNs"). `plif`: convolutions
    with maximum pooling, then a linear spiking layer (Fang et al. 2021, "Incorporating learnable membrane time
    constant"). `mlp`: linear spiking layers of `channels` neurons each."""
    channels: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(default=(12, 64), min_length=1)
    """Channels of each block."""
    kernel: int = Field(default=5, ge=1, le=11)
    """Side of the convolutions in pixels, odd."""
    padded: tuple[bool, ...] | None = None
    """`csnn`: for each block, whether its convolution is padded, so that the picture keeps its size; None pads all."""
    pool: int = Field(default=2, ge=1, le=8)
    """Side of the pooling that ends each block; left out where no pixel would remain."""
    hidden: int = Field(default=512, ge=1, le=65536)
    """`plif`: neurons of the linear layer ahead of the readout."""
    tau_mem_s: float = Field(default=0.03, gt=0)
    """Membrane time constant of the spiking neurons in seconds; at least one time step."""
    tau_syn_s: float | None = Field(default=None, gt=0)
    """Time constant of the synaptic current in seconds, at least one time step; None is a current that lasts a step."""
    learn_tau: bool = False
    """Whether each layer learns its membrane time constant, from `tau_mem_s` on."""
    gain: float = Field(default=1.0, gt=0, le=1e4)
    """By which input currents are multiplied; tau_mem_s / dt makes a spike count in full, as in snnTorch's `Leaky`."""
    reset: Literal["zero", "subtract"] = "zero"
    """What a spike does to the membrane: sets it to 0, or takes the threshold, 1, from it."""
    surrogate: Literal["superspike", "arctan", "triangle"] = "superspike"
    """Kind of the surrogate gradient; see `Spike`."""
    slope: float = Field(default=5.0, gt=0)
    """Slope of the surrogate gradient."""
    readout: Literal["leaky", "count"] = "leaky"
    """`leaky`: a leaky integrator per class, whose mean potential is the answer. `count`: spiking neurons."""
    votes: int = Field(default=1, ge=1, le=100)
    """`count`: neurons that vote for each class."""
    tau_readout_s: float = Field(default=0.1, gt=0)
    """Membrane time constant of a leaky readout in seconds; at least one time step."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the features dropped ahead of linear layers, while training; the same ones at every step."""
