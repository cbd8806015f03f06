"""Spike-timing-dependent plasticity (STDP) by pairs of spikes, computed with traces.

A trace jumps by 1 at each spike of its neuron and decays with its time constant. In each step the traces decay, then
the weights change by the traces, then the spikes of the step are added to the traces. So changes sum over all pairs of
spikes, and a pair within one step changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from ..base.errors import ConfigError, DataError
from ..base.kernels import njit
from ..base.settings import Settings
from ..networks.inputs import check_tensor
from .protocols import PlasticityRule, Traces


class StdpConstants(NamedTuple):
    """Constants of a rule for the compiled kernel.

    Args:
        keep_pre: Decay per step of the traces of pre spikes.
        keep_post: Decay per step of the traces of post spikes.
        increase: Change at a post spike.
        decrease: Change at a pre spike.
        is_multiplicative: Whether changes scale with the distance from the limits of the weight.
        lowest: Lowest weight.
        highest: Highest weight.
    """

    keep_pre: float
    keep_post: float
    increase: float
    decrease: float
    is_multiplicative: bool
    lowest: float
    highest: float


Bound = Literal["none", "additive", "multiplicative"]
"""Weight bound; see `PairRule.bound`."""
LIMITS: Mapping[Bound, tuple[float, float]] = {
    "none": (-math.inf, math.inf),
    "additive": (0.0, 1.0),
    "multiplicative": (-math.inf, math.inf),
}
"""Lowest and highest weight, by bound."""


class PairRule(Settings):
    """Pair rule (Song, Miller and Abbott, Nature Neuroscience 3 (2000); Morrison et al. 2008).

    A pre spike at time d before a post spike adds increase * exp(-d / tau_plus_s). A pre spike at time d after a post
    spike subtracts decrease * exp(-d / tau_minus_s).

    Example:
        >>> import torch
        >>> from dvspipe.rules import PairRule, apply_stdp
        >>> pre, post = torch.zeros(31, 1), torch.zeros(31, 1)
        >>> pre[0], post[10] = 1, 1
        >>> weights = torch.full((1, 1), 0.5, dtype=torch.float64)
        >>> changed, _ = apply_stdp(weights, pre, post, PairRule(), dt_s=1e-3)
        >>> round(float(changed - weights), 7)  # 0.01 exp(-10 ms / 20 ms)
        0.0060653
        >>> changed, _ = apply_stdp(weights, post, pre, PairRule(), dt_s=1e-3)
        >>> round(float(changed - weights), 7)
        -0.0063686
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
    scale with 1 - w and decreases with w; weights approach an equilibrium. `none`: no bound."""

    def apply(
        self, weights: Tensor, pre: Tensor, post: Tensor, *, dt_s: float, traces: Traces | None = None
    ) -> tuple[Tensor, Traces]:
        """Apply the rule to spike trains; see `apply_stdp`."""
        if not dt_s > 0:
            raise ConfigError(f"dt_s = {dt_s:g}: expected a time above 0")

        _check(self, weights, pre, post, traces)
        M, N = weights.shape

        before = traces or Traces(torch.zeros(N, dtype=torch.float64), torch.zeros(M, dtype=torch.float64))

        # The kernel changes weights and traces in place, so it gets copies.
        changed = weights.detach().to("cpu", copy=True).contiguous()
        after = Traces(
            pre=before.pre.to("cpu", torch.float64, copy=True),
            post=before.post.to("cpu", torch.float64, copy=True),
        )
        pre_spikes = pre.detach().cpu().numpy() != 0
        post_spikes = post.detach().cpu().numpy() != 0
        _apply(changed.numpy(), pre_spikes, post_spikes, after.pre.numpy(), after.post.numpy(), self._constants(dt_s))

        return changed.to(weights.device), after

    def _constants(self, dt_s: float) -> StdpConstants:
        """Return the constants of the rule for steps of `dt_s` seconds."""
        lowest, highest = LIMITS[self.bound]
        return StdpConstants(
            keep_pre=math.exp(-dt_s / self.tau_plus_s),
            keep_post=math.exp(-dt_s / self.tau_minus_s),
            increase=self.increase,
            decrease=self.decrease,
            is_multiplicative=self.bound == "multiplicative",
            lowest=lowest,
            highest=highest,
        )


def apply_stdp(
    weights: Tensor,
    pre: Tensor,
    post: Tensor,
    rule: PlasticityRule,
    *,
    dt_s: float,
    traces: Traces | None = None,
) -> tuple[Tensor, Traces]:
    """Apply a rule to spike trains; return the new weights and the traces after the last step.

    Args:
        weights: Weights from N pre to M post neurons, float32 or float64 [M, N].
        pre: Presynaptic spikes [T, N], 0 or 1.
        post: Postsynaptic spikes [T, M], 0 or 1.
        rule: `PairRule` or your own `PlasticityRule`.
        dt_s: Length of a step in seconds, > 0.
        traces: Traces returned by the previous call, to continue; None to start.

    Returns:
        New weights [M, N], and traces. Several calls on consecutive parts give the result of one call.

    Raises:
        DataError: If shapes do not fit together, spikes are not 0 or 1, or a weight or trace is NaN or infinite.
        ConfigError: If `dt_s` is not above 0.
    """
    return rule.apply(weights, pre, post, dt_s=dt_s, traces=traces)


def _check(rule: PairRule, weights: Tensor, pre: Tensor, post: Tensor, traces: Traces | None) -> None:
    """Check that shapes fit together, spikes are 0 or 1, and weights and traces are finite."""
    check_tensor(rule, "pre", pre, "steps N")
    T, N = pre.shape
    check_tensor(rule, "post", post, "T M", {"T": T})
    _, M = post.shape
    check_tensor(rule, "weights", weights, "M N", {"M": M, "N": N})
    for name, train in (("pre", pre), ("post", post)):
        if not ((train == 0) | (train == 1)).all():
            raise DataError(f"STDP: {name} holds another number (expected spikes, 0 or 1)")

    numbers = {"weights": weights}
    if traces is not None:
        check_tensor(rule, "traces.pre", traces.pre, "N", {"N": N})
        check_tensor(rule, "traces.post", traces.post, "M", {"M": M})
        numbers |= traces._asdict()
    for name, tensor in numbers.items():
        if not tensor.isfinite().all():
            raise DataError(f"STDP: NaN or infinity in the {name} (expected finite numbers)")


@njit(cache=True, nogil=True, error_model="numpy")
def _apply(
    weights: NDArray[np.float64],
    pre: NDArray[np.bool_],
    post: NDArray[np.bool_],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    rule: StdpConstants,
) -> None:
    """Update weights [M, N] and the traces x [N] and y [M] in place, for spikes [T, N] and [T, M]."""
    # At step t: the traces x of pre and y of post spikes decay, the weights change, and the spikes are added. n is an
    # input, m a neuron.
    M, N = weights.shape
    for t in range(len(pre)):
        x *= rule.keep_pre
        y *= rule.keep_post

        # Only synapses with a spike change: all of a neuron that spikes, else from inputs that spike.
        arrived = np.flatnonzero(pre[t])
        for m in range(M):
            if post[t, m]:
                for n in range(N):
                    _change(weights, m, n, pre[t, n], True, x, y, rule)
            else:
                for source in arrived:
                    _change(weights, m, source, True, False, x, y, rule)

        x += pre[t]
        y += post[t]


@njit(inline="always")
def _change(
    weights: NDArray[np.float64],
    m: int,
    n: int,
    is_pre: bool,
    is_post: bool,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    rule: StdpConstants,
) -> None:
    # A post spike adds A+ x, a pre spike subtracts A- y; a multiplicative bound scales them by 1 - w and w.
    w = weights[m, n]
    change = 0.0

    if is_post:
        scale = 1 - w if rule.is_multiplicative else 1.0
        change += scale * x[n] * rule.increase

    if is_pre:
        scale = w if rule.is_multiplicative else 1.0
        change -= scale * y[m] * rule.decrease

    weights[m, n] = min(max(w + change, rule.lowest), rule.highest)
