"""Spike codes: static values and signals to spike trains, and back where decoding is possible.

A code is a frozen model of its parameters; `CODES` lists all codes. Values are in [0, 1]; uint8 and uint16 are divided
by 255 and 65535. Spikes are uint8 [T, C, ...], 0 or 1, with C trains per value: one per polarity (0 OFF, 1 ON) for
`delta` and `step_forward`, one per receptive field for `population`, otherwise one.

Signal codes encode [T, ...], one value per step. For them, a static value is a step function: 0 before step 0, then the
value.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from ..base.errors import ConfigError, DataError, brief
from ..base.settings import Settings

CodeName = Literal[
    "poisson", "latency", "log_latency", "rank_order", "population", "delta", "step_forward", "hsa", "bsa"
]
WHITE = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}

Floats = NDArray[np.float64]
Spikes = NDArray[np.uint8]


class SpikeCode(Settings):
    """Base of all spike codes."""

    steps: int = Field(default=50, ge=1, le=10_000)
    """Number of time steps T; a signal has its own length."""
    step_us: int = Field(default=1000, ge=1, le=10**9)
    """Length of a step in microseconds."""

    @property
    def channels(self) -> int:
        """Number of trains C per value."""
        return 1

    def encode(self, values: ArrayLike, rng: np.random.Generator | None = None) -> Spikes:
        """Encode static values as spike trains.

        Args:
            values: Values [...]: numbers in [0, 1], uint8 or uint16.
            rng: Random generator, required by random codes (`poisson`) and ignored by others.

        Returns:
            Spikes, uint8 [T, C, ...].

        Raises:
            DataError: If a value is not in [0, 1], or a random code has no generator.

        Example:
            >>> Latency(steps=4).encode([0.0, 0.3, 1.0])[:, 0]
            array([[0, 0, 1],
                   [0, 0, 0],
                   [0, 1, 0],
                   [0, 0, 0]], dtype=uint8)
        """
        return self._encode(unit_values(values), rng)

    def decode(self, spikes: Spikes) -> Floats:
        """Decode spike trains [T, C, ...] to values [...].

        Raises:
            ConfigError: If the code cannot be decoded.
            DataError: If T or C of the spikes differ from the code's.
        """
        return self._decode(self._check_shape(spikes, self.steps))

    def _check_shape(self, spikes: Spikes, steps: int) -> Spikes:
        if spikes.ndim < 2 or spikes.shape[:2] != (steps, self.channels):
            raise DataError(
                f"{self._name}: wrong shape of spikes (found {spikes.shape}, expected ({steps}, {self.channels}, ...))"
            )
        return spikes

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _decode(self, _spikes: Spikes) -> Floats:
        raise ConfigError(f"{self._name}: the spike trains of this code cannot be decoded to values")

    @abstractmethod
    def _encode(self, values: Floats, rng: np.random.Generator | None) -> Spikes:
        """Encode values in [0, 1]."""


class SignalCode(SpikeCode):
    """Base of all signal codes."""

    def encode_signal(self, signal: ArrayLike) -> Spikes:
        """Encode a signal [T, ...] as spikes, uint8 [T, C, ...].

        Raises:
            DataError: If a value is not in [0, 1].
        """
        return self._encode_signal(unit_values(signal))

    def decode_signal(self, spikes: Spikes) -> Floats:
        """Decode spike trains [T, C, ...] to a signal [T, ...].

        Raises:
            ConfigError: If the code cannot be decoded.
            DataError: If C of the spikes differs from the code's.
        """
        return self._decode_signal(self._check_shape(spikes, len(spikes)))

    def _decode_signal(self, _spikes: Spikes) -> Floats:
        raise ConfigError(f"{self._name}: the spike trains of this code cannot be decoded to a signal")

    def _encode(self, values: Floats, _rng: np.random.Generator | None) -> Spikes:
        return self._encode_signal(np.broadcast_to(values, (self.steps, *values.shape)))

    @abstractmethod
    def _encode_signal(self, signal: Floats) -> Spikes:
        """Encode a signal in [0, 1]."""


class Poisson(SpikeCode):
    """Rate code: each step has a spike with probability value * max_rate_hz * step, independent of all others.

    This is a Poisson process with at most one spike per step. The mean rate is exactly value * max_rate_hz; decoding
    returns the mean rate / max_rate_hz.
    """

    max_rate_hz: float | None = Field(default=None, gt=0)
    """Spike rate for a value of 1 in Hz, at most one spike per step; None: one spike per step."""

    @model_validator(mode="after")
    def _check_rate(self) -> Poisson:
        if self.max_rate_hz is not None and self.max_rate_hz * self.step_us > 1e6:
            raise ConfigError(
                f"max_rate_hz = {self.max_rate_hz:g} is more than one spike per step of {self.step_us} us (expected at "
                f"most {1e6 / self.step_us:g}, or a smaller step_us)"
            )
        return self

    @property
    def probability(self) -> float:
        """Spike probability per step for a value of 1."""
        return 1.0 if self.max_rate_hz is None else self.max_rate_hz * self.step_us / 1e6

    def _decode(self, spikes: Spikes) -> Floats:
        return np.asarray(spikes[:, 0].mean(axis=0) / self.probability)

    def _encode(self, values: Floats, rng: np.random.Generator | None) -> Spikes:
        if rng is None:
            raise DataError(f"{self._name}: is a random code and needs a generator (found rng=None)")

        drawn = rng.random((self.steps, 1, *values.shape)) < values * self.probability
        return drawn.astype(np.uint8)


class Latency(SpikeCode):
    """Time to first spike: one spike in step round((1 - value) * (T - 1)), no spike for 0.

    Decoding returns 1 - step / (T - 1), with an error of at most half a step.
    """

    steps: int = Field(default=50, ge=2, le=10_000)

    def _decode(self, spikes: Spikes) -> Floats:
        step, fired = _first(spikes[:, 0])
        return np.where(fired, 1 - step / (self.steps - 1), 0.0)

    def _encode(self, values: Floats, _rng: np.random.Generator | None) -> Spikes:
        return _at_steps(np.rint((1 - values) * (self.steps - 1)), values > 0, self.steps)


class LogLatency(SpikeCode):
    """Time to first spike of a leaky integrator with constant input.

    The spike is in the step that contains t = tau ln(value / (value - threshold)). There is no spike if t is after the
    last step, or the value does not exceed the threshold. Decoding returns threshold / (1 - exp(-t / tau)), at most 1,
    with t in the middle of the step.
    """

    tau_us: float | None = Field(default=None, gt=0, le=1e12)
    """Time constant of the integrator in microseconds; None: 0.4 of all steps. Then all values fire that exceed the
    threshold by 9 % or more."""
    threshold: float = Field(default=0.1, gt=0, lt=1)
    """Threshold of the integrator, in units of the values."""

    @property
    def tau_steps(self) -> float:
        """Time constant in steps."""
        return 0.4 * self.steps if self.tau_us is None else self.tau_us / self.step_us

    def _decode(self, spikes: Spikes) -> Floats:
        step, fired = _first(spikes[:, 0])
        reached = -np.expm1(-(step + 0.5) / self.tau_steps)  # 1 - exp(-t / tau), with t in the middle of the step

        return np.where(fired, np.minimum(1, self.threshold / reached), 0.0)

    def _encode(self, values: Floats, _rng: np.random.Generator | None) -> Spikes:
        fires = values > self.threshold

        # t = tau ln(v / (v - threshold)) = -tau ln(1 - threshold / v)
        step = np.zeros(values.shape)
        step[fires] = -np.log1p(-self.threshold / values[fires]) * self.tau_steps // 1
        return _at_steps(step, fires & (step < self.steps), self.steps)


class RankOrder(SpikeCode):
    """Rank order code: one spike per value, largest value first, one rank per step.

    Equal values share a rank, and 0 never fires. With more ranks than steps, rank r of R fires in step r T // R. All
    values of one call are ranked together. Source: Thorpe and Gautrais, "Rank order coding", in Computational
    Neuroscience: Trends in Research (1998).
    """

    def _encode(self, values: Floats, _rng: np.random.Generator | None) -> Spikes:
        # Rank 0 is the largest value; equal values have one level, so one rank.
        levels, rising = np.unique(values, return_inverse=True)
        ranks = len(levels) - 1 - rising.reshape(values.shape)

        count = np.count_nonzero(levels > 0)
        step = ranks if count <= self.steps else ranks * self.steps // count
        return _at_steps(step, values > 0, self.steps)


class Population(SpikeCode):
    """Population code: neurons with Gaussian receptive fields per value; a larger response fires earlier.

    Neuron i = 1..M has its centre at (2i - 3) / 2 / (M - 2), and width 1 / (beta (M - 2)). A response r in [0, 1] fires
    in step round((1 - r) (T - 1)), or not at all if r is below `least`. Source: Bohte, La Poutré and Kok,
    "Unsupervised clustering with spiking neurons by sparse temporal coding and multilayer RBF networks", IEEE Trans.
    Neural Networks 13 (2002). Decoding finds the value from the responses of the two earliest neurons; its error is
    less than 1.2 / (T - 1) / (M - 2) if two neurons fire.
    """

    steps: int = Field(default=50, ge=2, le=10_000)
    neurons: int = Field(default=8, ge=3, le=1000)
    """Number of neurons M per value."""
    beta: float = Field(default=1.5, ge=1, le=2)
    """Narrowness of the receptive fields."""
    least: float = Field(default=0.1, ge=0, lt=0.3)
    """Minimum response that fires."""

    @property
    def channels(self) -> int:
        """Number of trains C: the neurons per value."""
        return self.neurons

    @property
    def centres(self) -> Floats:
        """Centres of the receptive fields, [M]."""
        return (2 * np.arange(1, self.neurons + 1) - 3) / 2 / (self.neurons - 2)

    @property
    def width(self) -> float:
        """Standard deviation of a receptive field."""
        return 1 / (self.beta * (self.neurons - 2))

    def _decode(self, spikes: Spikes) -> Floats:
        step, fired = _first(spikes)
        response = np.where(fired, 1 - step / (self.steps - 1), 0)
        first, second = np.argsort(-response, axis=0, kind="stable")[:2]

        # A spike in the last step means a response between 0 and half a step: a quarter step is its middle.
        log = np.log(np.maximum(response, 0.25 / (self.steps - 1)))
        (log_first,) = np.take_along_axis(log, first[None], axis=0)
        (log_second,) = np.take_along_axis(log, second[None], axis=0)

        # The logarithm of a response is -((v - centre) / width)^2 / 2: the difference of two is linear in the value v.
        centre_first = self.centres[first]
        centre_second = self.centres[second]
        middle = (centre_first + centre_second) / 2
        value = middle + self.width**2 * (log_first - log_second) / (centre_first - centre_second)

        # With a single spike, the value is near the centre of its neuron.
        return np.asarray(np.where(fired.sum(axis=0) > 1, value, centre_first).clip(0, 1))

    def _encode(self, values: Floats, _rng: np.random.Generator | None) -> Spikes:
        centres = self.centres.reshape(-1, *[1] * values.ndim)
        response = np.exp(-(((values - centres) / self.width) ** 2) / 2)

        step = np.rint((1 - response) * (self.steps - 1))
        spikes = _at_steps(step, response >= self.least, self.steps)
        return spikes[:, 0]


class ChangeCode(SignalCode):
    """Base of codes with ON and OFF spikes where the signal changes."""

    threshold: float = Field(default=0.1, gt=0, le=1)
    """Minimum change that fires."""

    @property
    def channels(self) -> int:
        """Number of trains C = 2, one per polarity."""
        return 2


class Delta(ChangeCode):
    """Temporal difference: ON if the signal rose by at least the threshold since the previous step, OFF if it fell.

    Slower changes are not encoded, so the signal cannot be decoded. Before step 0 the signal is 0.
    """

    def _encode_signal(self, signal: Floats) -> Spikes:
        change = np.diff(signal, axis=0, prepend=np.zeros((1, *signal.shape[1:])))
        return np.stack([change <= -self.threshold, change >= self.threshold], axis=1).astype(np.uint8)


class StepForward(ChangeCode):
    """Send on delta: ON if the signal is at least the threshold above its reference, OFF if it is as far below.

    As in an event-camera pixel, the reference starts at 0 and moves by the threshold per spike, with at most one spike
    per step. Decoding returns the reference; its error is less than the threshold while the signal changes by at most
    the threshold per step. Source: Kasabov et al., "Evolving spatio-temporal data machines based on
    the NeuCube neuromorphic framework", Neural Networks 78 (2016).
    """

    def _decode_signal(self, spikes: Spikes) -> Floats:
        off, on = np.moveaxis(spikes.astype(np.int64), 1, 0)
        return np.asarray((on - off).cumsum(axis=0) * self.threshold)

    def _encode_signal(self, signal: Floats) -> Spikes:
        spikes = np.zeros((len(signal), 2, *signal.shape[1:]), np.uint8)

        # The reference is a number of spikes times the threshold: a sum of thresholds would collect rounding errors.
        net = np.zeros(signal.shape[1:], np.int64)
        for t, values in enumerate(signal):
            off = values <= (net - 1) * self.threshold
            on = values >= (net + 1) * self.threshold
            spikes[t] = off, on
            net += on
            net -= off
        return spikes


class FilterCode(SignalCode):
    """Base of codes that decode by convolving the spikes with a filter."""

    taps: int = Field(default=24, ge=3, le=1000)
    """Length of the filter in steps."""
    cutoff: float = Field(default=0.1, gt=0, le=1)
    """Cutoff frequency of the filter, relative to half the step rate."""

    @property
    def filter(self) -> Floats:
        """Low-pass filter [taps] with sum 1: a sinc with Hann window."""
        taps = np.arange(self.taps) - (self.taps - 1) / 2
        low_pass = np.sinc(self.cutoff * taps) * np.hanning(self.taps)
        return np.asarray(low_pass / low_pass.sum())

    def _decode_signal(self, spikes: Spikes) -> Floats:
        trains = spikes[:, 0]
        signal = np.zeros(trains.shape)

        # Convolve with one tap of the filter at a time.
        for k, weight in enumerate(self.filter[: len(trains)]):
            signal[k:] += weight * trains[: len(trains) - k]
        return signal

    def _encode_signal(self, signal: Floats) -> Spikes:
        residual = signal.copy()
        spikes = np.zeros((len(signal), 1, *signal.shape[1:]), np.uint8)
        for t in range(len(signal)):
            # At the end of the signal, the filter is cut.
            window = residual[t : t + self.taps]
            weights = self.filter[: len(window)].reshape(-1, *[1] * (signal.ndim - 1))

            # `window` is a view: subtracting from it changes the residual.
            fires = self._fires(window, weights)
            window -= weights * fires
            spikes[t, 0] = fires
        return spikes

    @abstractmethod
    def _fires(self, window: Floats, weights: Floats) -> NDArray[np.bool_]:
        """Return whether to subtract the filter from a window of the residual signal; both [n, ...]."""


class HoughSpiker(FilterCode):
    """Hough spiker algorithm (HSA): spike if the filter fits below the rest of the signal, and subtract it.

    Source: Hough, de Garis, Korkin, Gers and Nawa, "SPIKER: analog waveform to digital spiketrain conversion in ATR's
    artificial brain (CAM-Brain) project", Int. Conf. on Robotics and Artificial Life (1999).
    """

    def _fires(self, window: Floats, weights: Floats) -> NDArray[np.bool_]:
        # A filter that is cut does not fit.
        if len(window) < self.taps:
            return np.zeros(window.shape[1:], np.bool_)

        return np.asarray((window >= weights).all(axis=0))


class BensSpiker(FilterCode):
    """Ben's spiker algorithm (BSA): spike if subtracting the filter reduces the error by at least the threshold.

    The error is the sum of absolute values over the filter length: sum abs(s - h) <= sum abs(s) - threshold. Source:
    Schrauwen and Van Campenhout, "BSA, a fast and accurate spike train encoding scheme", IJCNN (2003).
    """

    threshold: float = Field(default=0.95, ge=0, le=1)
    """Minimum decrease of the error; the filter sums to 1."""

    def _fires(self, window: Floats, weights: Floats) -> NDArray[np.bool_]:
        error = np.abs(window - weights).sum(axis=0)
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
"""All codes by name."""


def unit_values(values: ArrayLike) -> Floats:
    """Convert values to float64 in [0, 1]; uint8 and uint16 are divided by 255 and 65535.

    Raises:
        DataError: If a value is not in [0, 1].
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, tensors on a GPU or with a gradient
        raise DataError(f"values: not an array of numbers (found {brief(values)}; {error})") from error

    if array.dtype in WHITE:
        return np.asarray(array / WHITE[array.dtype])
    if array.dtype.kind not in "biuf":
        raise DataError(f"values are {array.dtype} (expected numbers from 0 to 1, uint8 or uint16)")

    floats = array.astype(np.float64)
    if floats.size and not (floats.min() >= 0 and floats.max() <= 1):  # also catches NaN
        raise DataError(
            f"values are out of range (found {floats.min():g} to {floats.max():g}, expected 0 to 1, uint8 or uint16)"
        )
    return floats


def _at_steps(step: NDArray[Any], fires: NDArray[np.bool_], steps: int) -> Spikes:
    """Return trains [T, 1, ...] with one spike in step [...] if `fires`."""
    now = np.arange(steps).reshape(-1, 1, *[1] * step.ndim)
    return np.asarray((now == step) & fires, np.uint8)


def _first(trains: Spikes) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the step of the first spike of each train [T, ...], and whether it exists."""
    return np.asarray(trains.argmax(axis=0)), np.asarray(trains.any(axis=0))
