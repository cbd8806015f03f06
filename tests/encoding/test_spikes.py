"""Spike codes: laws, closed forms, plain loops, and comparison with Norse, snnTorch and spikify."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from facts import raises
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from numpy.typing import NDArray

from dvspipe.base.errors import ConfigError, DataError
from dvspipe.encoding import (
    CODES,
    BensSpiker,
    Delta,
    HoughSpiker,
    Latency,
    LogLatency,
    Poisson,
    Population,
    RankOrder,
    StepForward,
    spikes,
)

IMAGE = np.array([[255, 207, 3], [124, 48, 0]], np.uint8)
DECODED = ("poisson", "latency", "log_latency", "population")
RECONSTRUCTED = ("step_forward", "hsa", "bsa")

values = st.lists(st.floats(0, 1), min_size=1, max_size=12).map(np.array)
seeds = st.integers(0, 1000)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def first_steps(trains: NDArray[np.uint8]) -> list[int | None]:
    """Step of the only spike in each train of [T, 1, N]; None without a spike."""
    assert trains.sum(axis=0).max(initial=0) <= 1
    return [int(train.argmax()) if train.any() else None for train in trains[:, 0].reshape(len(trains), -1).T]


def slow_signal(seed: int, steps: int = 300) -> NDArray[np.float64]:
    """Sum of slow sines, [T, 3], between 0.1 and 0.9."""
    phases = rng(seed).random((2, 3)) * 2 * np.pi
    t = np.arange(steps)[:, None]
    return 0.5 + 0.3 * np.sin(t / 25 + phases[0]) + 0.1 * np.sin(t / 9 + phases[1])


@pytest.mark.parametrize("name", CODES)
def test_every_code_returns_binary_trains_with_time_first(name: str) -> None:
    code = CODES[name](steps=30)
    trains = code.encode(IMAGE, rng())
    assert trains.shape == (30, code.channels, *IMAGE.shape)
    assert trains.dtype == np.uint8
    assert set(np.unique(trains)) == {0, 1}
    for same in (IMAGE / 255, (IMAGE.astype(np.uint16) * 257), np.asarray(IMAGE / 255, np.float64).tolist()):
        assert np.array_equal(code.encode(same, rng()), trains)
    assert code.encode(0.5, rng()).shape == (30, code.channels)


@pytest.mark.parametrize("name", CODES)
def test_invalid_values_are_rejected(name: str) -> None:
    code = CODES[name]()
    for wrong in ([0.5, 1.1], [-0.1], [np.nan], np.array([7]), np.array([np.inf])):
        with raises(DataError, "0", "1"):
            code.encode(wrong, rng())
    with raises(DataError, "<U1"):
        code.encode(["a"], rng())


@pytest.mark.parametrize("name", CODES)
def test_code_is_decoded_or_raises_an_error(name: str) -> None:
    code = CODES[name](steps=200)
    trains = code.encode(IMAGE, rng())
    if name in DECODED:
        assert np.abs(code.decode(trains) - IMAGE / 255)[IMAGE > 30].max() < 0.1
        with raises(DataError, CODES[name].__name__, "(199,", f"(200, {code.channels},"):
            code.decode(trains[1:])
    else:
        with raises(ConfigError, CODES[name].__name__):
            code.decode(trains)
    if name == "delta":
        with raises(ConfigError, "Delta"):
            Delta().decode_signal(trains)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("poisson", {"steps": 0}, "steps = 0"),
        ("poisson", {"max_rate_hz": 2000}, "1000"),
        ("latency", {"steps": 1}, "steps = 1"),
        ("population", {"neurons": 2}, "neurons = 2"),
        ("delta", {"treshold": 0.1}, "treshold = 0.1"),
    ],
)
def test_wrong_settings_are_rejected(name: str, settings: dict[str, Any], message: object) -> None:
    with raises(ConfigError, message):
        CODES[name](**settings)


def test_poisson_uses_only_the_given_generator() -> None:
    with raises(DataError, "Poisson", "rng="):
        Poisson().encode(IMAGE)
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    first, again, other = (Poisson().encode(IMAGE, rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[index]  # noqa: NPY002


def test_poisson_rates_are_those_of_their_values() -> None:
    steps, intensities = 10_000, np.array([0, 0.1, 0.5, 1])
    code = Poisson(steps=steps, max_rate_hz=300)
    trains = code.encode(intensities, rng())
    expected = intensities * 0.3
    deviation = 5 * np.sqrt(expected * (1 - expected) / steps)
    assert (np.abs(trains.mean(axis=(0, 1)) - expected) <= deviation).all()
    assert (np.abs(code.decode(trains) - intensities) <= deviation / 0.3).all()


def test_poisson_spikes_are_independent_between_steps() -> None:
    train = Poisson(steps=10_000).encode(0.3, rng())[:, 0].astype(float) - 0.3
    for lag in (1, 2, 5):
        assert abs(np.mean(train[lag:] * train[:-lag])) < 5 * 0.21 / np.sqrt(10_000)


@given(values=values, steps=st.integers(2, 60))
def test_latency_is_linear_within_half_a_step(values: NDArray[np.float64], steps: int) -> None:
    code = Latency(steps=steps)
    trains = code.encode(values)
    assert first_steps(trains) == [round((1 - v) * (steps - 1)) if v > 0 else None for v in values.tolist()]
    assert (np.abs(code.decode(trains) - values) <= 0.5 / (steps - 1) + 1e-12).all()


@given(values=values, threshold=st.floats(0.01, 0.9))
def test_log_latency_is_the_charging_time(values: NDArray[np.float64], threshold: float) -> None:
    code = LogLatency(steps=100, step_us=10, tau_us=400, threshold=threshold)
    trains = code.encode(values)
    for value, step, decoded in zip(values.tolist(), first_steps(trains), code.decode(trains).tolist(), strict=True):
        charge = value * -np.expm1(-np.arange(102) * 10 / 400)  # at the start of each step
        if step is None:
            assert charge[100] <= threshold + 1e-9
            assert decoded == 0
        else:
            assert charge[step] <= threshold + 1e-9
            assert charge[step + 1] >= threshold - 1e-9
            assert threshold <= decoded <= 1


@given(values=values, steps=st.integers(1, 20))
def test_rank_order_depends_only_on_the_order(values: NDArray[np.float64], steps: int) -> None:
    code = RankOrder(steps=steps)
    trains = code.encode(values)
    fired = first_steps(trains)
    ranks = sorted({v for v in values.tolist() if v > 0}, reverse=True)
    assert [step is not None for step in fired] == [v > 0 for v in values.tolist()]
    for value, step in zip(values.tolist(), fired, strict=True):
        if step is not None:
            rank = ranks.index(value)
            assert step == (rank if len(ranks) <= steps else rank * steps // len(ranks))
    levels = np.unique(values)
    others = (np.searchsorted(levels, values) + (levels[0] > 0)) / (len(levels) + 1)  # other values in the same order
    assert np.array_equal(code.encode(others), trains)


def test_receptive_fields_equal_bohte() -> None:
    code = Population(steps=11, neurons=4, beta=1.5)
    assert code.centres.tolist() == [-0.25, 0.25, 0.75, 1.25]
    assert code.width == pytest.approx(1 / 3)
    response = np.exp(-((0.5 - code.centres) ** 2) / (2 * code.width**2))  # 0.08, 0.755, 0.755, 0.08
    (steps, neurons) = np.nonzero(code.encode(0.5))
    assert neurons.tolist() == [1, 2]  # the other neurons respond below 0.1
    assert steps.tolist() == np.rint((1 - response[1:3]) * 10).tolist()


@given(
    values=values, steps=st.integers(10, 200), neurons=st.integers(3, 30), beta=st.floats(1, 2), least=st.floats(0, 0.1)
)
def test_population_decodes_its_value_to_the_precision_of_its_steps(
    values: NDArray[np.float64], steps: int, neurons: int, beta: float, least: float
) -> None:
    code = Population(steps=steps, neurons=neurons, beta=beta, least=least)
    error = np.abs(code.decode(code.encode(values)) - values).max()
    assert error < 1.2 / (steps - 1) / (neurons - 2)


@pytest.mark.parametrize("name", ["delta", "step_forward", "hsa", "bsa"])
def test_static_values_are_encoded_as_constant_signals(name: str) -> None:
    code = CODES[name](steps=40)
    assert isinstance(code, spikes.SignalCode)
    held = np.broadcast_to(IMAGE / 255, (40, *IMAGE.shape))
    assert np.array_equal(code.encode(IMAGE), code.encode_signal(held))


@pytest.mark.parametrize("name", RECONSTRUCTED)
@pytest.mark.parametrize("seed", range(3))
def test_slow_signal_is_reconstructed(name: str, seed: int) -> None:
    code = CODES[name]()
    assert isinstance(code, spikes.SignalCode)
    signal = slow_signal(seed)
    error = (code.decode_signal(code.encode_signal(signal)) - signal)[30:-30]
    assert np.sqrt(np.mean(error**2)) < {"step_forward": 0.06, "hsa": 0.11, "bsa": 0.04}[name]


def test_delta_encodes_only_changes_between_adjacent_steps() -> None:
    signal = np.array([0.5, 0.5, 0.55, 0.66, 0.4, 0.5])
    off, on = Delta(threshold=0.1).encode_signal(signal).T
    assert on.tolist() == [1, 0, 0, 1, 0, 0]  # 0.5 - 0.4 is slightly less than 0.1 in floating point
    assert off.tolist() == [0, 0, 0, 0, 1, 0]


def test_signal_at_the_threshold_spikes() -> None:
    signal = np.array([0.5, 0.25, 0.5, 0.5])
    assert Delta(threshold=0.25).encode_signal(signal).tolist() == [[0, 1], [1, 0], [0, 1], [0, 0]]
    assert StepForward(threshold=0.25).encode_signal(signal).tolist() == [[0, 1], [0, 0], [0, 1], [0, 0]]


@pytest.mark.parametrize(("taps", "cutoff"), [(24, 0.1), (7, 0.35), (16, 1.0)])
def test_filter_equals_scipy_firwin(taps: int, cutoff: float) -> None:
    from scipy.signal import firwin

    expected = firwin(taps, cutoff, window="hann") if cutoff < 1 else None
    found = BensSpiker(taps=taps, cutoff=cutoff).filter
    assert found.sum() == pytest.approx(1)
    if expected is not None:
        np.testing.assert_allclose(found, expected, atol=1e-12)


@limits(max_examples=20)
@given(seed=seeds, taps=st.integers(3, 12), hough=st.booleans())
def test_hsa_and_bsa_equal_a_plain_loop(seed: int, taps: int, hough: bool) -> None:
    code = HoughSpiker(taps=taps) if hough else BensSpiker(taps=taps, threshold=0.6)
    signal = np.clip(slow_signal(seed, 40) + rng(seed).normal(0, 0.05, (40, 3)), 0, 1)
    trains, h = code.encode_signal(signal), code.filter.tolist()
    for column in range(3):
        left = signal[:, column].tolist()
        for t in range(40):
            inside = range(min(taps, 40 - t))
            if hough:
                fires = len(inside) == taps and all(left[t + j] >= h[j] for j in inside)
            else:
                with_it = sum(abs(left[t + j] - h[j]) for j in inside)
                fires = with_it <= sum(abs(left[t + j]) for j in inside) - 0.6
            assert fires == trains[t, 0, column]
            if fires:
                for j in inside:
                    left[t + j] -= h[j]
