"""Response of one LIF neuron to a spike train, and the closed form of its membrane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..base.errors import Brief, ConfigError
from .config import NeuronConfig
from .neurons import LIF

MAX_STEPS = 100_000
ROUNDING = 1e-9  # in steps


@dataclass(frozen=True, repr=False)
class NeuronResponse(Brief):
    """Response of a neuron in T steps.

    Args:
        tau_s: Membrane time constant in seconds.
        weight: Input current of a spike, in thresholds.
        dt: Length of a step in seconds.
        arrived: Number of input spikes, int64 [T].
        membrane: Potential after each step, in thresholds, float64 [T]; 0 after an output spike.
        fired: Output spikes, bool [T].
        closed_form: Membrane by `closed_form`, float64 [T], until the step of the first output spike (there, the
            potential before the reset); NaN afterwards.
    """

    tau_s: float
    weight: float
    dt: float
    arrived: NDArray[np.int64]
    membrane: NDArray[np.float64]
    fired: NDArray[np.bool_]
    closed_form: NDArray[np.float64]


def neuron_response(
    spikes_s: Sequence[float], *, tau_s: float, weight: float, dt: float, duration_s: float
) -> NeuronResponse:
    """Compute the response of a `LIF` neuron to input spikes.

    Args:
        spikes_s: Input spike times in seconds, in [0, duration_s), in any order; spikes in the same step add up.
        tau_s: Membrane time constant in seconds, >= dt.
        weight: Input current of a spike, in thresholds; negative if inhibitory.
        dt: Length of a step in seconds.
        duration_s: Duration in seconds.

    Raises:
        ConfigError: If a number is out of range.
    """
    if not dt <= tau_s < float("inf"):
        raise ConfigError(
            f"time constant of {1000 * tau_s:g} ms: is out of range (expected at least a step, {1000 * dt:g} ms)"
        )
    if not np.isfinite(weight):
        raise ConfigError(f"weight of {weight:g}: is out of range (expected a finite number)")
    if not 0 < duration_s <= MAX_STEPS * dt:
        raise ConfigError(f"duration of {duration_s:g} s: is out of range (expected 0 to {MAX_STEPS * dt:g} s)")

    outside = [time for time in spikes_s if not 0 <= time < duration_s]
    if outside:
        raise ConfigError(
            f"spike at {1000 * outside[0]:g} ms: is out of range (expected 0 to {1000 * duration_s:g} ms)"
        )

    # A time that is a multiple of dt up to rounding belongs to that step.
    T = int(np.ceil(duration_s / dt - ROUNDING))
    steps = np.floor(np.asarray(spikes_s, np.float64) / dt + ROUNDING).astype(np.int64)
    arrived = np.bincount(steps, minlength=T)
    currents = torch.from_numpy(weight * arrived.astype(np.float64))[:, None, None]

    neuron = LIF(NeuronConfig(tau_mem_s=tau_s), dt).double()
    state = None
    membrane = np.empty(T)
    fired = np.empty(T, np.bool_)
    with torch.no_grad():
        for step, current in enumerate(currents):
            spikes, state = neuron.step(current, state)
            membrane[step] = state.item()
            fired[step] = bool(spikes.item())

    # The closed form knows no reset, so it holds up to the first output spike.
    expected = closed_form(arrived, weight, dt / tau_s)
    if fired.any():
        expected[fired.argmax() + 1 :] = np.nan

    return NeuronResponse(
        tau_s=tau_s,
        weight=weight,
        dt=dt,
        arrived=arrived,
        membrane=membrane,
        fired=fired,
        closed_form=expected,
    )


def closed_form(arrived: NDArray[np.int64], weight: float, factor: float) -> NDArray[np.float64]:
    """Return the membrane of a LIF neuron before its first output spike.

    v[n] = sum over n_k <= n of w a (1 - a)^(n - n_k).

    Args:
        arrived: Number of input spikes k at each step n_k, int64 [T].
        weight: Input current w of a spike.
        factor: a = dt / tau.

    Returns:
        Membrane potential, float64 [T]. For short steps it approaches the solution of the differential equation, the
        sum of w dt / tau exp(-(t - t_k) / tau).
    """
    elapsed = np.arange(len(arrived))[:, None] - np.flatnonzero(arrived)[None]
    decayed: NDArray[Any] = np.where(elapsed >= 0, (1 - factor) ** np.maximum(elapsed, 0), 0.0)
    return weight * factor * (decayed @ arrived[arrived > 0].astype(np.float64))
