"""Spike-timing-dependent plasticity (STDP) by pairs of spikes, computed with traces.

A trace jumps by 1 at each spike of its neuron and decays with its time constant. In each step the traces decay, then
the weights change by the traces, then the spikes of the step are added to the traces. So changes sum over all pairs of
spikes, and a pair within one step changes nothing.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from ..base.settings import Settings
from ..networks.inputs import check_positive, check_tensor

Bound = Literal["additive", "multiplicative"]
"""Weight bound; see `PairRule.bound`."""


class Traces(NamedTuple):
    """Traces after a step.

    Args:
        pre: Traces of the pre neurons, [N].
        post: Traces of the post neurons, [M].

    Example:
        >>> Traces(pre=torch.zeros(3), post=torch.zeros(2)).post.shape
        torch.Size([2])
    """

    pre: Tensor
    post: Tensor


class PairRule(Settings):
    """Pair rule (Song, Miller and Abbott, Nature Neuroscience 3 (2000); Morrison et al. 2008).

    A pre spike at time d before a post spike adds increase * exp(-d / tau_plus_s). A pre spike at time d after a post
    spike subtracts decrease * exp(-d / tau_minus_s).

    Example:
        >>> PairRule(bound="multiplicative").decrease
        0.0105
    """

    increase: float = Field(default=0.01, ge=0, le=1)
    """A+: weight change for a pre spike just before a post spike."""
    decrease: float = Field(default=0.0105, ge=0, le=1)
    """A-: weight change for a pre spike just after a post spike."""
    tau_plus_s: float = Field(default=0.02, gt=0)
    """Time constant of the traces of pre spikes in seconds."""
    tau_minus_s: float = Field(default=0.02, gt=0)
    """Time constant of the traces of post spikes in seconds."""
    bound: Bound = "additive"
    """`additive`: changes are independent of the weight; weights are clipped to [0, 1]. `multiplicative`: increases
    scale with 1 - w and decreases with w; weights approach an equilibrium."""


def apply_stdp(
    weights: Tensor, pre: Tensor, post: Tensor, rule: PairRule, *, dt_s: float, traces: Traces | None = None
) -> tuple[Tensor, Traces]:
    """Apply a pair rule to spike trains; return the new weights and the traces after the last step.

    Args:
        weights: Weights from N pre to M post neurons, float32 or float64 [M, N].
        pre: Presynaptic spikes [T, N]; a value n counts as n spikes.
        post: Postsynaptic spikes [T, M].
        rule: Constants of the rule.
        dt_s: Length of a step in seconds, > 0.
        traces: Traces returned by the previous call, to continue; None to start.

    Returns:
        New weights [M, N], and traces. Several calls on consecutive parts give the result of one call.

    Raises:
        DataError: If shapes do not fit together.
        ConfigError: If `dt_s` is not above 0.

    Example:
        >>> spikes = torch.zeros(31, 2)
        >>> spikes[0, 0] = spikes[10, 1] = 1
        >>> weights = torch.full((1, 1), 0.5, dtype=torch.float64)
        >>> changed, _ = apply_stdp(weights, spikes[:, :1], spikes[:, 1:], PairRule(), dt_s=1e-3)
        >>> round(float(changed - weights), 7)  # 0.01 exp(-10 ms / 20 ms)
        0.0060653
        >>> changed, _ = apply_stdp(weights, spikes[:, 1:], spikes[:, :1], PairRule(), dt_s=1e-3)
        >>> round(float(changed - weights), 7)
        -0.0063686
    """
    check_positive("apply_stdp", dt_s=dt_s)
    check_tensor(apply_stdp, "weights", weights, "M N")
    M, N = weights.shape
    check_tensor(apply_stdp, "pre", pre, "steps N", {"N": N})
    check_tensor(apply_stdp, "post", post, "steps M", {"steps": len(pre), "M": M})

    keep_pre = math.exp(-dt_s / rule.tau_plus_s)
    keep_post = math.exp(-dt_s / rule.tau_minus_s)
    w = weights.detach()
    x, y = traces or (w.new_zeros(N), w.new_zeros(M))

    for arrived, fired in zip(pre.to(w), post.to(w), strict=True):
        x = keep_pre * x
        y = keep_post * y

        growth = rule.increase * torch.outer(fired, x)
        shrinkage = rule.decrease * torch.outer(y, arrived)
        if rule.bound == "multiplicative":
            w = w + (1 - w) * growth - w * shrinkage
        else:
            w = (w + growth - shrinkage).clamp(0, 1)

        x = x + arrived
        y = y + fired

    return w, Traces(x, y)
