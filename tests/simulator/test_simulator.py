from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from conftest import SENSOR, as_tuples
from facts import raises
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dvspipe.base.errors import VideoError
from dvspipe.events import Events, concatenate
from dvspipe.simulator import EventSimulator, SimulatorConfig, simulate
from dvspipe.simulator.crossings import NEG, POS
from dvspipe.simulator.levels import code_levels, intensity, level_of, linear_intensity
from dvspipe.video.frames import Frame, frames_from_arrays


def level(value: float, white: float, transfer: str, log_offset: float) -> float:
    """Return ln(I + log_offset): an independent implementation of IEC 61966-2-1."""
    coded = value / white
    if transfer == "srgb":
        coded = coded / 12.92 if coded <= 0.04045 else ((coded + 0.055) / 1.055) ** 2.4
    return math.log(coded + log_offset)


def plain_loop(
    frames: list[Frame], log_offset: float, thresholds: tuple[NDArray[Any], NDArray[Any]]
) -> list[tuple[float, int, int, bool]]:
    """Reference pixel model: a float64 loop over pixels; returns (t, x, y, p) pixel by pixel."""
    first = frames[0].image
    white = 1.0 if first.dtype.kind == "f" else float(np.iinfo(first.dtype).max)
    events = []
    for y, x in np.ndindex(first.shape):
        levels = [level(float(frame.image[y, x]), white, frame.transfer, log_offset) for frame in frames]
        pos, neg = (float(values[y, x]) for values in thresholds)
        on = off = 0
        for (before, after), (start, end) in zip(itertools.pairwise(frames), itertools.pairwise(levels), strict=True):
            while True:
                # the reference after the next event, ON or OFF
                above = levels[0] + (on - off + 1) * pos + off * (pos - neg)
                below = levels[0] + (on - off - 1) * pos + (off + 1) * (pos - neg)
                if not (end >= above or end <= below):
                    break
                on, off = on + (end >= above), off + (end < above)
                share = ((above if end >= above else below) - start) / (end - start)
                events.append((before.t_us + share * (after.t_us - before.t_us), x, y, end > start))
    return events


def random_images(seed: int, count: int, dtype: type) -> list[NDArray[np.generic]]:
    """Random walk of grey values, with quiet, busy and returning pixels."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0, 0.08, (count, SENSOR.height, SENSOR.width)), axis=0) + 0.4
    values = np.clip(walk, 0, 1)
    return list(values.astype(dtype) if dtype is np.float32 else (values * np.iinfo(dtype).max).astype(dtype))


def run(frames: list[Frame], config: SimulatorConfig) -> Events:
    return concatenate(simulate(frames, config), frames[0].size)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
    transfer=st.sampled_from(["srgb", "linear"]),
    pos=st.floats(0.02, 0.6),
    neg=st.floats(0.02, 0.6),
    sigma=st.sampled_from([0, 0.05]),
)
def test_events_match_a_plain_python_loop(
    seed: int, dtype: type, transfer: str, pos: float, neg: float, sigma: float
) -> None:
    config = SimulatorConfig(pos_thres=pos, neg_thres=neg, sigma_thres=sigma)
    frames = list(frames_from_arrays(random_images(seed, 6, dtype), fps=30, transfer=transfer))
    thresholds = np.full((7, 12), pos), np.full((7, 12), neg)
    if sigma:  # each pixel has its own
        _, state = EventSimulator(config).step(frames[0], None)
        pixels = state.pixels.references
        thresholds = pixels[:, POS].reshape(7, 12), pixels[:, NEG].reshape(7, 12)
    truth = np.reshape(plain_loop(frames, config.log_offset, thresholds), (-1, 4))
    ours = sorted(as_tuples(run(frames, config)), key=lambda event: (event[2], event[1]))  # keeps the order of times
    found = np.reshape(np.array(ours, float), (-1, 4))
    assert np.array_equal(found[:, 1:], truth[:, 1:])
    assert np.abs(found[:, 0] - truth[:, 0]).max(initial=0) <= 0.51  # the logarithms of numpy and math differ


def test_events_are_sorted_by_time_then_row_then_column() -> None:
    frames = list(frames_from_arrays(random_images(1, 5, np.uint8), fps=1000))
    for events in simulate(frames, SimulatorConfig(pos_thres=0.05, neg_thres=0.05)):
        keys = [(t, y, x) for t, x, y, _ in as_tuples(events)]
        assert len(keys) > 50
        assert keys == sorted(keys)


def test_level_exactly_on_the_threshold_fires_once() -> None:
    levels = code_levels(np.dtype(np.uint8), "linear", SimulatorConfig(log_offset=1.0))
    config = SimulatorConfig(pos_thres=float(levels[255] - levels[0]), log_offset=1.0)
    images = [np.full((1, 1), value, np.uint8) for value in (0, 255, 255, 255)]
    events = run(list(frames_from_arrays(images, fps=1000, transfer="linear")), config)
    assert as_tuples(events) == [(1000, 0, 0, True)]


def test_references_do_not_drift_over_many_cycles() -> None:
    images = [np.full((1, 1), value, np.uint8) for value in [40, 200] * 500]
    events = run(list(frames_from_arrays(images, fps=1000)), SimulatorConfig(pos_thres=0.1, neg_thres=0.1))
    counts = np.bincount((events.t - 1) // 1000)
    assert np.all(counts[1:] == counts[1])


def test_times_are_exact_after_twenty_hours() -> None:
    start_us = 20 * 3600 * 1_000_000
    images = random_images(6, 4, np.uint8)
    early, late = (run(list(frames_from_arrays(images, fps=30, start_us=s)), SimulatorConfig()) for s in (0, start_us))
    assert np.array_equal(early.t + start_us, late.t)


def test_frame_buffer_may_be_reused() -> None:
    images = random_images(9, 6, np.uint8)
    buffer = np.empty_like(images[0])

    def reused() -> Iterable[Frame]:
        for frame in frames_from_arrays(images, fps=30):
            buffer[:] = frame.image
            yield Frame(frame.t_us, buffer)

    expected = run(list(frames_from_arrays(images, fps=30)), SimulatorConfig())
    assert concatenate(simulate(reused()), SENSOR) == expected


BLACK = np.zeros((7, 12), np.uint8)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([Frame(0, BLACK), Frame(10, BLACK[:5, :5])], ("10", "5x5", "12x7")),
        ([Frame(0, BLACK), Frame(10, BLACK.astype(np.uint16))], ("10", "uint16", "uint8")),
        ([Frame(0, BLACK), Frame(10, BLACK, "linear")], ("10", "linear", "srgb")),
        *(([Frame(0, BLACK), Frame(t_us, BLACK)], ("0 us", "2147483647 us")) for t_us in (0, -5, 2**33)),
        ([Frame(0, BLACK.astype(np.int32))], "int32"),
        ([Frame(0, BLACK, "log")], ("log", "uint8", "float")),
        ([], (0, 2)),
        ([Frame(0, BLACK)], (1, 2)),
    ],
)
def test_error_names_the_frame_that_does_not_fit(frames: list[Frame], message: object) -> None:
    with raises(VideoError, message):
        list(simulate(frames))


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1])
def test_non_finite_or_negative_intensity_is_an_error(value: float) -> None:
    image = np.ones((7, 12), np.float32)
    image[3, 5] = value
    with raises(VideoError, "7", "(5, 3)"):
        list(simulate([Frame(7, image), Frame(8, image)]))


def clip_of(seed: int, count: int = 8, fps: float = 30, dtype: type = np.uint8) -> list[Frame]:
    return list(frames_from_arrays(random_images(seed, count, dtype), fps=fps))


NOISY = SimulatorConfig(
    sigma_thres=0.05,
    cutoff_hz=50,
    leak_rate_hz=5,
    shot_noise_rate_hz=20,
    hot_pixel_fraction=0.05,
    refractory_period=0.002,
    sensor_seed=3,
)


def test_seed_determines_events() -> None:
    frames = clip_of(15)
    assert run(frames, NOISY) == run(frames, NOISY)
    assert run(frames, NOISY) != run(frames, NOISY.model_copy(update={"sensor_seed": 4}))


def test_state_is_explicit() -> None:
    frames, parts, state = clip_of(16), [], None
    for frame in frames:
        events, state = EventSimulator(NOISY).step(frame, state)  # a new simulator for each frame
        parts.append(events)
    assert concatenate(parts, SENSOR) == run(frames, NOISY)


def test_noise_is_added_to_unchanged_signal() -> None:
    frames = clip_of(14)
    noisy = run(frames, SimulatorConfig(leak_rate_hz=5, shot_noise_rate_hz=20, hot_pixel_fraction=0.05))
    signal = Counter(as_tuples(run(frames, SimulatorConfig())))
    assert signal < Counter(as_tuples(noisy))


@pytest.mark.parametrize(
    ("transfer", "value", "light"),
    [
        ("linear", 0.3, 0.3),
        ("gamma=2", 0.3, 0.09),
        ("srgb", 0.5, 0.21404114),
        ("srgb", 0.02, 0.02 / 12.92),
        ("bt709", 0.5, ((0.5 + 0.099) / 1.099) ** (1 / 0.45)),
        ("bt709", 0.05, 0.05 / 4.5),
    ],
)
def test_linear_intensity_undoes_the_transfer_curve(transfer: str, value: float, light: float) -> None:
    assert linear_intensity(np.array([value]), transfer)[0] == pytest.approx(light, rel=1e-6)


@pytest.mark.parametrize("intensity_map", ["log", "linlog"])
def test_levels_increase_with_intensity_and_are_invertible(intensity_map: str) -> None:
    config = SimulatorConfig.model_validate({"intensity_map": intensity_map})
    light = np.linspace(0, 2, 500)
    levels = level_of(light, config)
    assert np.all(np.diff(levels) > 0)
    np.testing.assert_allclose(intensity(levels, config), light, atol=1e-12)


def test_log_frame_values_are_levels() -> None:
    frames = [Frame(0, np.full((1, 1), -3.0), "log"), Frame(1000, np.full((1, 1), -2.5), "log")]
    assert run(frames, SimulatorConfig(pos_thres=0.25)).t.tolist() == [500, 1000]
