from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from conftest import SENSOR
from facts import raises
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dvspipe.base.errors import VideoError
from dvspipe.base.yaml_files import shipped_configs
from dvspipe.events import Events, concatenate
from dvspipe.simulator import EventSimulator, SimulatorConfig, simulate
from dvspipe.simulator.crossings import NEG, NET_COUNT, POS, REF0
from dvspipe.simulator.levels import code_levels, intensity, level_of, linear_intensity
from dvspipe.video.frames import Frame, frames_from_arrays


def level(value: float, white: float, transfer: str, log_offset: float) -> float:
    """Return ln(I + log_offset): an independent implementation of IEC 61966-2-1."""
    coded = value / white
    if transfer == "srgb":
        coded = coded / 12.92 if coded <= 0.04045 else ((coded + 0.055) / 1.055) ** 2.4
    return math.log(coded + log_offset)


def plain_loop(frames: list[Frame], config: SimulatorConfig) -> list[tuple[int, int, int, bool]]:
    """Reference pixel model: a float64 loop over pixels; returns (t, x, y, p) sorted by frame, time, row and column."""
    height, width = frames[0].image.shape
    white = 1.0 if frames[0].image.dtype.kind == "f" else float(np.iinfo(frames[0].image.dtype).max)
    events = []
    memory: dict[Any, Any] = {}
    for before, after in itertools.pairwise(frames):
        fired = []
        for y in range(height):
            for x in range(width):
                start, end = (
                    level(float(frame.image[y, x]), white, frame.transfer, config.log_offset)
                    for frame in (before, after)
                )
                ref0, on, off = memory.setdefault((x, y), (start, 0, 0))
                while True:
                    # the reference after the next event, ON or OFF
                    above = ref0 + (on - off + 1) * config.pos_thres + off * (config.pos_thres - config.neg_thres)
                    below = ref0 + (on - off - 1) * config.pos_thres + (off + 1) * (config.pos_thres - config.neg_thres)
                    if above <= end:
                        crossing, polarity = above, True
                    elif below >= end:
                        crossing, polarity = below, False
                    else:
                        break
                    share = (crossing - start) / (end - start)
                    fired.append((before.t_us + math.floor(share * (after.t_us - before.t_us) + 0.5), x, y, polarity))
                    on, off = on + polarity, off + (not polarity)
                memory[x, y] = ref0, on, off
        events += sorted(fired, key=lambda event: (event[0], event[2], event[1]))
    return events


def as_tuples(events: Events) -> list[tuple[int, int, int, bool]]:
    return list(zip(events.t.tolist(), events.x.tolist(), events.y.tolist(), events.p.tolist(), strict=True))


def same_but_for_rounding(ours: Events, truth: list[tuple[int, int, int, bool]]) -> bool:
    """Compare the events of each pixel in order. Times may differ by 1 us: the logarithms of numpy and math differ."""

    def by_pixel(events: Iterable[tuple[int, int, int, bool]]) -> dict[tuple[int, int], list[tuple[int, bool]]]:
        pixels: dict[tuple[int, int], list[tuple[int, bool]]] = {}
        for t, x, y, p in events:
            pixels.setdefault((x, y), []).append((t, p))
        return pixels

    a, b = by_pixel(as_tuples(ours)), by_pixel(truth)
    return a.keys() == b.keys() and all(
        len(a[k]) == len(b[k]) and all(abs(s - t) <= 1 and p == q for (s, p), (t, q) in zip(a[k], b[k], strict=True))
        for k in a
    )


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
    thresholds=st.tuples(st.floats(0.02, 0.6), st.floats(0.02, 0.6)),
)
def test_events_match_a_plain_python_loop(
    seed: int, dtype: type, transfer: str, thresholds: tuple[float, float]
) -> None:
    config = SimulatorConfig(pos_thres=thresholds[0], neg_thres=thresholds[1])
    frames = list(frames_from_arrays(random_images(seed, 6, dtype), fps=30, transfer=transfer))
    assert same_but_for_rounding(run(frames, config), plain_loop(frames, config))


def test_events_are_sorted_by_time_then_row_then_column() -> None:
    frames = list(frames_from_arrays(random_images(1, 5, np.uint8), fps=1000))
    for events in simulate(frames, SimulatorConfig(pos_thres=0.05, neg_thres=0.05)):
        keys = [(t, y, x) for t, x, y, _ in as_tuples(events)]
        assert len(keys) > 50
        assert keys == sorted(keys)


def test_linear_ramp_fires_at_equal_intervals() -> None:
    config = SimulatorConfig(pos_thres=0.25, neg_thres=0.25, log_offset=0.5)
    dark, bright = 0.5, float(np.exp(1.0) * 1.0 - 0.5)  # L from ln 1 = 0 to 1: crossings at 1/4, 2/4, 3/4 (and 4/4)
    frames = [
        Frame(1000, np.full((1, 1), dark), "linear"),
        Frame(5000, np.full((1, 1), bright * (1 + 1e-9)), "linear"),
        Frame(9000, np.full((1, 1), dark * (1 - 1e-9)), "linear"),
    ]
    events = run(frames, config)
    assert events.t.tolist() == [2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000]
    assert events.p.tolist() == [True] * 4 + [False] * 4


def test_level_exactly_on_the_threshold_fires_once() -> None:
    levels = code_levels(np.dtype(np.uint8), "linear", SimulatorConfig(log_offset=1.0))
    config = SimulatorConfig(pos_thres=float(levels[255] - levels[0]), log_offset=1.0)
    images = [np.full((1, 1), value, np.uint8) for value in (0, 255, 255, 255)]
    events = run(list(frames_from_arrays(images, fps=1000, transfer="linear")), config)
    assert as_tuples(events) == [(1000, 0, 0, True)]


@given(threshold=st.floats(0.01, 0.5), low=st.integers(0, 255), high=st.integers(0, 255))
@settings(max_examples=100)
def test_returning_grey_value_cancels_its_events(threshold: float, low: int, high: int) -> None:
    images = [np.full((1, 1), value, np.uint8) for value in (low, high, low, high, low)]
    config = SimulatorConfig(pos_thres=threshold, neg_thres=threshold)
    events = run(list(frames_from_arrays(images, fps=100)), config)
    assert np.bincount((events.t - 1) // 10_000, events.p * 2.0 - 1, 4).sum() == 0
    counts = np.bincount((events.t - 1) // 10_000, minlength=4)
    assert np.all(counts == counts[0])


@given(seed=st.integers(0, 1000), threshold=st.floats(0.05, 0.5))
@settings(max_examples=20)
def test_level_is_within_threshold_after_every_frame(seed: int, threshold: float) -> None:
    config = SimulatorConfig(pos_thres=threshold, neg_thres=threshold)
    simulator, state = EventSimulator(config), None
    levels = code_levels(np.dtype(np.uint8), "srgb", config)
    for frame in frames_from_arrays(random_images(seed, 6, np.uint8), fps=30):
        _, state = simulator.step(frame, state)
        reference = state.pixels.references[:, REF0] + state.pixels.references[:, NET_COUNT] * threshold
        assert np.all(np.abs(levels[frame.image.ravel()] - reference) < threshold)


def test_integer_and_float_frames_have_equal_events() -> None:
    images = random_images(5, 6, np.uint8)
    config = SimulatorConfig()
    coded = run(list(frames_from_arrays(images, fps=30)), config)
    floats = run(list(frames_from_arrays([image / 255 for image in images], fps=30)), config)
    assert coded == floats


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
        for number, image in enumerate(images):
            buffer[:] = image
            yield Frame(number * 33_333, buffer)

    fresh = [Frame(number * 33_333, image) for number, image in enumerate(images)]
    assert concatenate(simulate(reused()), SENSOR) == run(fresh, SimulatorConfig())


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (Frame(10, np.zeros((5, 5), np.uint8)), ("10", "5x5", "12x7")),
        (Frame(10, np.zeros((7, 12), np.uint16)), ("10", "uint16", "uint8")),
        (Frame(10, np.zeros((7, 12), np.uint8), "linear"), ("10", "linear", "srgb")),
        (Frame(0, np.zeros((7, 12), np.uint8)), ("0 us", "2147483647 us")),
        (Frame(-5, np.zeros((7, 12), np.uint8)), ("0 us", "2147483647 us")),
        (Frame(2**33, np.zeros((7, 12), np.uint8)), ("0 us", "2147483647 us")),
    ],
)
def test_error_names_the_frame_that_does_not_fit(second: Frame, message: object) -> None:
    with raises(VideoError, message):
        list(simulate([Frame(0, np.zeros((7, 12), np.uint8)), second]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1])
def test_non_finite_or_negative_intensity_is_an_error(value: float) -> None:
    image = np.ones((7, 12), np.float32)
    image[3, 5] = value
    with raises(VideoError, "7", "(5, 3)"):
        list(simulate([Frame(7, image), Frame(8, image)]))


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_frames_is_an_error(count: int) -> None:
    with raises(VideoError, count, "2"):
        list(simulate([Frame(0, np.zeros((7, 12), np.uint8))] * count))


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


def test_each_pixel_uses_its_own_threshold() -> None:
    frames = clip_of(11)
    config = SimulatorConfig(sigma_thres=0.05, sensor_seed=5)
    simulator = EventSimulator(config)
    _, state = simulator.step(frames[0], None)
    assert state.pixels.references[:, POS].std() == pytest.approx(0.05, rel=0.2)
    events = run(frames, config)
    for pixel in range(SENSOR.width * SENSOR.height):
        x, y = pixel % SENSOR.width, pixel // SENSOR.width
        own = SimulatorConfig(
            pos_thres=state.pixels.references[:, POS][pixel], neg_thres=state.pixels.references[:, NEG][pixel]
        )
        alone = run([Frame(frame.t_us, frame.image[y : y + 1, x : x + 1]) for frame in frames], own)
        here = (events.x == x) & (events.y == y)
        assert np.array_equal(events.t[here], alone.t)
        assert np.array_equal(events.p[here], alone.p)


def test_low_pass_step_response_matches_closed_form() -> None:
    """At white, after a level step of d within 1 us, the output crosses c at tau * ln(d / (d - c))."""
    tau_us = 1e6 / (2 * math.pi * 20)
    images = [np.full((1, 1), value) for value in (-1.0, 0.0, 0.0)]
    frames = [Frame(t, image, "log") for t, image in zip((0, 1, 50_001), images, strict=True)]
    events = run(frames, SimulatorConfig(cutoff_hz=20, log_offset=1e-6))
    expected = [tau_us * math.log(1 / (1 - 0.2 * k)) for k in range(1, 5)]
    assert events.t[:4].tolist() == pytest.approx(expected, abs=2)


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
    with raises(VideoError, "log", "uint8", "float"):
        run([Frame(t, np.zeros((1, 1), np.uint8), "log") for t in (0, 1)], SimulatorConfig())


@pytest.mark.parametrize("name", shipped_configs("sensors"))
def test_every_shipped_sensor_preset_simulates(name: str) -> None:
    config = SimulatorConfig.read(name, kind="sensors")
    assert len(run(clip_of(17), config)) > 100
