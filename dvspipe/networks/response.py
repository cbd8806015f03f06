"""How one LIF neuron answers a spike train, beside the closed form of its membrane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import ConfigError
from .config import NetworkConfig
from .neurons import LIF

MOST_STEPS = 100_000


@dataclass(frozen=True)
class NeuronResponse:
    """What a neuron did in T steps.

    Args:
        tau_s: Its membrane time constant in seconds.
        weight: Input current of a spike, in thresholds.
        dt: Length of a step in seconds.
        arrived: int64 [T], spikes that came in.
        membrane: float64 [T], its potential after each step, in thresholds; 0 after a spike of its own.
        fired: bool [T], its own spikes.
        closed_form: float64 [T], what the membrane would be by `closed_form`, up to the first own spike, whose step
            shows what was reset; NaN behind it, where it no longer holds.
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
    """The response of one of our LIF neurons to spikes at some times.

    Args:
        spikes_s: Times in seconds from 0 to the duration, in any order; those in the same step add up.
        tau_s: Membrane time constant in seconds, >= dt.
        weight: Input current of a spike, in thresholds; below 0 for an inhibiting one.
        dt: Length of a step in seconds.
        duration_s: Of the whole, in seconds.

    Raises:
        ConfigError: A number is out of its range.
    """
    if not dt <= tau_s < float("inf"):
        raise ConfigError(f"a time constant of {1000 * tau_s:g} ms: expected at least a step, {1000 * dt:g} ms")
    if not np.isfinite(weight):
        raise ConfigError(f"a weight of {weight:g}: expected a finite number")
    if not 0 < duration_s <= MOST_STEPS * dt:
        raise ConfigError(f"{duration_s:g} s: expected more than 0 and at most {MOST_STEPS * dt:g} s")
    outside = [time for time in spikes_s if not 0 <= time < duration_s]
    if outside:
        raise ConfigError(f"a spike at {1000 * outside[0]:g} ms: expected one from 0 to {1000 * duration_s:g} ms")
    T = int(np.ceil(duration_s / dt - 1e-9))
    steps = np.floor(np.asarray(spikes_s, np.float64) / dt + 1e-9).astype(np.int64)
    arrived = np.bincount(steps, minlength=T)
    currents = torch.from_numpy(weight * arrived.astype(np.float64))[:, None]
    neuron, state = LIF(NetworkConfig(tau_mem_s=tau_s), dt).double(), None
    membrane, fired = np.empty(T), np.empty(T, np.bool_)
    with torch.no_grad():
        for step, current in enumerate(currents.split(1)):
            spikes, state = neuron(current, state)
            membrane[step], fired[step] = state.item(), bool(spikes.item())
    expected = closed_form(arrived, weight, dt / tau_s)
    if fired.any():
        expected[fired.argmax() + 1 :] = np.nan
    return NeuronResponse(tau_s, weight, dt, arrived, membrane, fired, expected)


def closed_form(arrived: NDArray[np.int64], weight: float, factor: float) -> NDArray[np.float64]:
    """The membrane of a LIF neuron that does not spike: v[n] = sum over k of w a (1 - a)^(n - n_k), for n >= n_k.

    Args:
        arrived: int64 [T], how many spikes k came at each step n_k.
        weight: w, the input current of a spike.
        factor: a = dt / tau.

    Returns:
        float64 [T]. As the step becomes short, it is that of the differential equation,
        sum of w dt / tau exp(-(t - t_k) / tau).
    """
    since = np.arange(len(arrived))[:, None] - np.flatnonzero(arrived)[None]
    decayed: NDArray[Any] = np.where(since >= 0, (1 - factor) ** np.maximum(since, 0), 0.0)
    return weight * factor * (decayed @ arrived[arrived > 0].astype(np.float64))
