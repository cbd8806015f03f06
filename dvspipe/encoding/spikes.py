"""Static values and signals to spike trains, and back if the code can be decoded.

A code is a frozen model of its parameters; `CODES` lists all of them. Values are numbers from 0 to 1; uint8 and uint16
are divided by 255 and 65535. Spikes are uint8 [T, C, ...], 0 or 1, with C trains per value: one per polarity (0 OFF,
1 ON) of `delta` and `step_forward`, one per receptive field of `population`, else a single one.

Codes of signals encode [T, ...], one value per step. To them a static value is a step function: 0 before step 0, then
the value.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from ..config import Settings
from ..errors import ConfigError, DataError

CodeName = Literal[
    "poisson", "latency", "log_latency", "rank_order", "population", "delta", "step_forward", "hsa", "bsa"
]
WHITE = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}

Floats = NDArray[np.float64]
Spikes = NDArray[np.uint8]


class SpikeCode(Settings):
    """How values become spike trains."""

    steps: int = Field(default=50, ge=1, le=10_000)
    """T, the number of time steps; a signal has its own length."""
    step_us: int = Field(default=1000, ge=1, le=10**9)
    """Length of a step in microseconds."""

    @property
    def channels(self) -> int:
        """C, the number of trains per value."""
        return 1

    def encode(self, values: ArrayLike, rng: np.random.Generator | None = None) -> Spikes:
        """Return the spike trains of static values.

        Args:
            values: [...], 0 to 1, uint8 or uint16.
            rng: Needed by random codes (`poisson`); others do not use it.

        Returns:
            uint8 [T, C, ...].

        Raises:
            DataError: A value is not a number from 0 to 1, or a random code has no generator.

        Example:
            >>> Latency(steps=4).encode([0.0, 0.3, 1.0])[:, 0]
            array([[0, 0, 1],
                   [0, 0, 0],
                   [0, 1, 0],
                   [0, 0, 0]], dtype=uint8)
        """
        return self._encode(unit_values(values), rng)

    def decode(self, spikes: Spikes) -> Floats:
        """Return the values [...] of spike trains [T, C, ...], as far as they can be decoded.

        Raises:
            ConfigError: The code cannot be decoded.
            DataError: The spikes have another T or C.
        """
        _check_shape(self, spikes, self.steps)
        return self._decode(spikes)

    def _decode(self, _spikes: Spikes) -> Floats:
        raise ConfigError(f"{_name(self)}: the spike trains of this code cannot be decoded")

    @abstractmethod
    def _encode(self, values: Floats, rng: np.random.Generator | None) -> Spikes:
        """Return the spike trains of values from 0 to 1."""


class SignalCode(SpikeCode):
    """How signals become spike trains."""

    def encode_signal(self, signal: ArrayLike) -> Spikes:
        """Return the spike trains uint8 [T, C, ...] of a signal [T, ...].

        Raises:
            DataError: A value is not a number from 0 to 1.
        """
        return self._encode_signal(unit_values(signal))

    def decode_signal(self, spikes: Spikes) -> Floats:
        """Return the signal [T, ...] of spike trains [T, C, ...], as far as it can be decoded.

        Raises:
            ConfigError: The code cannot be decoded.
            DataError: The spikes have another C.
        """
        _check_shape(self, spikes, len(spikes))
        return self._decode_signal(spikes)

    def _decode(self, _spikes: Spikes) -> Floats:
        raise ConfigError(f"{_name(self)}: is a code of signals, which decode_signal decodes")

    def _decode_signal(self, _spikes: Spikes) -> Floats:
        raise ConfigError(f"{_name(self)}: the spike trains of this code cannot be decoded to a signal")

    def _encode(self, values: Floats, _rng: np.random.Generator | None) -> Spikes:
        return self._encode_signal(np.broadcast_to(values, (self.steps, *values.shape)))

    @abstractmethod
    def _encode_signal(self, signal: Floats) -> Spikes:
        """Return the spike trains of a signal from 0 to 1."""


class Poisson(SpikeCode):
    """Rate code: in each step a spike with the probability value * max_rate_hz * step, independent of all others.

    This is a Poisson process with at most one spike per step; the mean rate is exactly value * max_rate_hz. The decoded
    value is the mean rate / max_rate_hz.
    """

    max_rate_hz: float | None = Field(default=None, gt=0)
    """Spikes per second of the value 1, at most one per step; None: one per step."""

    @model_validator(mode="after")
    def _one_spike_per_step(self) -> Poisson:
        if self.max_rate_hz is not None and self.max_rate_hz * self.step_us > 1e6:
            raise ValueError(
                f"max_rate_hz = {self.max_rate_hz:g} is more than one spike per step of {self.step_us} us (expected at "
                f"most {1e6 / self.step_us:g}, or a smaller step_us)"
            )
        return self

    @property
    def probability(self) -> float:
        """Probability of a spike in a step of the value 1."""
        return 1.0 if self.max_rate_hz is None else self.max_rate_hz * self.step_us / 1e6

    def _decode(self, spikes: Spikes) -> Floats:
        return np.asarray(spikes[:, 0].mean(axis=0) / self.probability)

    def _encode(self, values: Floats, rng: np.random.Generator | None) -> Spikes:
        if rng is None:
            raise DataError("poisson: is a random code and needs a generator (found rng=None)")
        drawn = rng.random((self.steps, 1, *values.shape)) < values * self.probability
        return drawn.astype(np.uint8)


class Latency(SpikeCode):
    """Time to first spike: one spike, in step round((1 - value) * (T - 1)); none for the value 0.

    The decoded value is 1 - step / (T - 1), with an error of at most half a step.
    """

    steps: int = Field(default=50, ge=2, le=10_000)

    def _decode(self, spikes: Spikes) -> Floats:
        step, fired = _first(spikes[:, 0])
        return np.where(fired, 1 - step / (self.steps - 1), 0.0)

    def _encode(self, values: Floats, _rng: np.random.Generator | None) -> Spikes:
        return _at_steps(np.rint((1 - values) * (self.steps - 1)), values > 0, self.steps)


class LogLatency(SpikeCode):
    """Time to first spike of a leaky integrator that a constant value charges to its threshold.

    The spike is in the step that contains t = tau ln(value / (value - threshold)); there is none if t is after the last
    step or the value does not exceed the threshold. The decoded value is threshold / (1 - exp(-t / tau)), at most 1,
    with t in the middle of the step.
    """

    tau_us: float | None = Field(default=None, gt=0, le=1e12)
    """Time constant of the integrator in microseconds; None: 0.4 of all steps, in which all values fire except those
    less than 9 % above the threshold."""
    threshold: float = Field(default=0.1, gt=0, lt=1)
    """Potential at which the integrator fires, in the unit of the values."""

    @property
    def tau_steps(self) -> float:
        """Time constant in steps."""
        return 0.4 * self.steps if self.tau_us is None else self.tau_us / self.step_us

    def _decode(self, spikes: Spikes) -> Floats:
        step, fired = _first(spikes[:, 0])
        reached = -np.expm1(-(step + 0.5) / self.tau_steps)
        return np.where(fired, np.minimum(1, self.threshold / reached), 0.0)

    def _encode(self, values: Floats, _rng: np.random.Generator | None) -> Spikes:
        fires = values > self.threshold
        step = np.zeros(values.shape)
        step[fires] = -np.log1p(-self.threshold / values[fires]) * self.tau_steps // 1
        return _at_steps(step, fires & (step < self.steps), self.steps)


class RankOrder(SpikeCode):
    """Rank order code: one spike per value, the largest value first, one rank per step.

    Equal values share a rank, and 0 never fires. With more ranks than steps, rank r of R is in step r T // R. All
    values encoded together are ranked together. Source: Thorpe and Gautrais, "Rank order coding", in Computational
    Neuroscience: Trends in Research (1998).
    """

    def _encode(self, values: Floats, _rng: np.random.Generator | None) -> Spikes:
        levels, rising = np.unique(values, return_inverse=True)
        ranks = len(levels) - 1 - rising.reshape(values.shape)
        count = np.count_nonzero(levels > 0)
        step = ranks if count <= self.steps else ranks * self.steps // count
        return _at_steps(step, values > 0, self.steps)


class Population(SpikeCode):
    """Population code: a group of neurons with Gaussian receptive fields per value; a larger response fires earlier.

    Neuron i = 1..M has its centre at (2i - 3) / 2 / (M - 2) and the width 1 / (beta (M - 2)). For the response r, 0 to
    1, the spike is in step round((1 - r) (T - 1)); there is none if r is below `least`. Source: Bohte, La Poutré and
    Kok, "Unsupervised clustering with spiking neurons by sparse temporal coding and multilayer RBF networks", IEEE
    Trans. Neural Networks 13 (2002). The decoded value is the one that gives the responses of the two earliest neurons,
    with an error of less than 1.2 / (T - 1) / (M - 2) if two fire.
    """

    steps: int = Field(default=50, ge=2, le=10_000)
    neurons: int = Field(default=8, ge=3, le=1000)
    """M, the number of neurons per value."""
    beta: float = Field(default=1.5, ge=1, le=2)
    """Narrowness of the receptive fields."""
    least: float = Field(default=0.1, ge=0, lt=0.3)
    """The smallest response that fires."""

    @property
    def channels(self) -> int:
        """C, the number of neurons per value."""
        return self.neurons

    @property
    def centres(self) -> Floats:
        """The centres of the receptive fields, [M]."""
        return (2 * np.arange(1, self.neurons + 1) - 3) / 2 / (self.neurons - 2)

    @property
    def width(self) -> float:
        """Standard deviation of a receptive field."""
        return 1 / (self.beta * (self.neurons - 2))

    def _decode(self, spikes: Spikes) -> Floats:
        step, fired = _first(spikes)
        response = np.where(fired, 1 - step / (self.steps - 1), 0)
        first, second = np.argsort(-response, axis=0, kind="stable")[:2]
        # A spike in the last step belongs to a response between 0 and half a step.
        log = np.log(np.maximum(response, 0.25 / (self.steps - 1)))
        a, b = (np.take_along_axis(log, neuron[None], axis=0)[0] for neuron in (first, second))
        centre_a, centre_b = self.centres[first], self.centres[second]
        value = (centre_a + centre_b) / 2 + self.width**2 * (a - b) / (centre_a - centre_b)
        return np.asarray(np.where(fired.sum(axis=0) > 1, value, centre_a).clip(0, 1))

    def _encode(self, values: Floats, _rng: np.random.Generator | None) -> Spikes:
        centres = self.centres.reshape(-1, *[1] * values.ndim)
        response = np.exp(-(((values - centres) / self.width) ** 2) / 2)
        step = np.rint((1 - response) * (self.steps - 1))
        spikes = _at_steps(step, response >= self.least, self.steps)
        return spikes[:, 0]


class Delta(SignalCode):
    """Temporal difference: ON if the signal rose by the threshold or more since the previous step, OFF if it fell.

    Slower changes are not encoded, so that the signal cannot be decoded. Before step 0 it is 0.
    """

    threshold: float = Field(default=0.1, gt=0, le=1)
    """The smallest change that fires."""

    @property
    def channels(self) -> int:
        """C = 2, a train per polarity."""
        return 2

    def _encode_signal(self, signal: Floats) -> Spikes:
        change = np.diff(signal, axis=0, prepend=np.zeros((1, *signal.shape[1:])))
        return np.stack([change <= -self.threshold, change >= self.threshold], axis=1).astype(np.uint8)


class StepForward(SignalCode):
    """Send on delta: ON if the signal is the threshold or more above its reference, OFF if it is as far below.

    The reference starts at 0 and moves by the threshold per spike, with at most one spike per step, as in a pixel of an
    event camera. The decoded signal is the reference; its error is less than the threshold as long as the signal
    changes by at most the threshold per step. Source: Kasabov et al., "Evolving spatio-temporal data machines based on
    the NeuCube neuromorphic framework", Neural Networks 78 (2016).
    """

    threshold: float = Field(default=0.1, gt=0, le=1)
    """How far a spike moves the reference."""

    @property
    def channels(self) -> int:
        """C = 2, a train per polarity."""
        return 2

    def _decode_signal(self, spikes: Spikes) -> Floats:
        counted = spikes.astype(np.int64)
        return np.asarray((counted[:, 1] - counted[:, 0]).cumsum(axis=0) * self.threshold)

    def _encode_signal(self, signal: Floats) -> Spikes:
        spikes = np.zeros((len(signal), 2, *signal.shape[1:]), np.uint8)
        net = np.zeros(signal.shape[1:], np.int64)
        for t, now in enumerate(signal):
            off, on = now <= (net - 1) * self.threshold, now >= (net + 1) * self.threshold
            spikes[t] = off, on
            net += on
            net -= off
        return spikes


class FilterCode(SignalCode):
    """A code whose decoded signal is the convolution of its spikes with a filter."""

    taps: int = Field(default=24, ge=3, le=1000)
    """Length of the filter in steps."""
    cutoff: float = Field(default=0.1, gt=0, le=1)
    """Cutoff frequency of the filter, as a share of half the step rate."""

    @property
    def filter(self) -> Floats:
        """Low-pass filter [taps] with sum 1: a sinc in a Hann window."""
        taps = np.arange(self.taps) - (self.taps - 1) / 2
        low_pass = np.sinc(self.cutoff * taps) * np.hanning(self.taps)
        return np.asarray(low_pass / low_pass.sum())

    def _decode_signal(self, spikes: Spikes) -> Floats:
        trains = spikes[:, 0]
        signal = np.zeros(trains.shape)
        for k, weight in enumerate(self.filter[: len(trains)]):
            signal[k:] += weight * trains[: len(trains) - k]
        return signal

    def _encode_signal(self, signal: Floats) -> Spikes:
        rest = signal.copy()
        spikes = np.zeros((len(signal), 1, *signal.shape[1:]), np.uint8)
        for t in range(len(signal)):
            window = rest[t : t + self.taps]
            copy = self.filter[: len(window)].reshape(-1, *[1] * (signal.ndim - 1))
            fires = self._fires(window, copy)
            window -= copy * fires
            spikes[t, 0] = fires
        return spikes

    @abstractmethod
    def _fires(self, window: Floats, copy: Floats) -> NDArray[np.bool_]:
        """Return whether [...] the filter is subtracted from the rest of the signal: both [taps or fewer, ...]."""


class HoughSpiker(FilterCode):
    """HSA: a spike wherever a complete copy of the filter fits below the rest of the signal, and is subtracted from it.

    Source: Hough, de Garis, Korkin, Gers and Nawa, "SPIKER: analog waveform to digital spiketrain conversion in ATR's
    artificial brain (CAM-Brain) project", Int. Conf. on Robotics and Artificial Life (1999).
    """

    def _fires(self, window: Floats, copy: Floats) -> NDArray[np.bool_]:
        if len(window) < self.taps:
            return np.zeros(window.shape[1:], np.bool_)
        return np.asarray((window >= copy).all(axis=0))


class BensSpiker(FilterCode):
    """BSA: a spike wherever subtracting a copy of the filter makes the error smaller, by the threshold or more.

    The error is the sum of absolute values over the filter's length: sum abs(s - h) <= sum abs(s) - threshold. Source:
    Schrauwen and Van Campenhout, "BSA, a fast and accurate spike train encoding scheme", IJCNN (2003).
    """

    threshold: float = Field(default=0.95, ge=0, le=1)
    """By how much the error must decrease; the sum of the filter is 1."""

    def _fires(self, window: Floats, copy: Floats) -> NDArray[np.bool_]:
        error = np.abs(window - copy).sum(axis=0)
        return np.asarray(error <= np.abs(window).sum(axis=0) - self.threshold)


CODES: Mapping[str, type[SpikeCode]] = {
    "poisson": Poisson,
    "latency": Latency,
    "log_latency": LogLatency,
    "rank_order": RankOrder,
    "population": Population,
    "delta": Delta,
    "step_forward": StepForward,
    "hsa": HoughSpiker,
    "bsa": BensSpiker,
}
"""Every code, by its name, a CodeName."""


def unit_values(values: ArrayLike) -> Floats:
    """Return values as float64 from 0 to 1; uint8 and uint16 are divided by 255 and 65535.

    Raises:
        DataError: A value is not a number from 0 to 1.
    """
    array = np.asarray(values)
    if array.dtype in WHITE:
        return np.asarray(array / WHITE[array.dtype])
    if array.dtype.kind not in "biuf":
        raise DataError(f"values are {array.dtype} (expected numbers from 0 to 1, uint8 or uint16)")
    floats = array.astype(np.float64)
    if floats.size and not (floats.min() >= 0 and floats.max() <= 1):  # nor are they NaN
        raise DataError(
            f"values are out of range (found {floats.min():g} to {floats.max():g}, expected 0 to 1, uint8 or uint16)"
        )
    return floats


def _name(code: SpikeCode) -> str:
    return next(name for name, kind in CODES.items() if kind is type(code))


def _check_shape(code: SpikeCode, spikes: Spikes, steps: int) -> None:
    if spikes.ndim < 2 or spikes.shape[:2] != (steps, code.channels):
        raise DataError(
            f"{_name(code)}: spikes have another shape (found {spikes.shape}, expected ({steps}, {code.channels}, ...))"
        )


def _at_steps(step: NDArray[Any], fires: NDArray[np.bool_], steps: int) -> Spikes:
    """Return trains [T, 1, ...] with one spike in the given step [...] where `fires` is true."""
    now = np.arange(steps).reshape(-1, 1, *[1] * step.ndim)
    return np.asarray((now == step) & fires, np.uint8)


def _first(trains: Spikes) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the step of the first spike of trains [T, ...], and whether there is one."""
    return np.asarray(trains.argmax(axis=0)), np.asarray(trains.any(axis=0))
