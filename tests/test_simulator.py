from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np
import pytest
from conftest import SENSOR
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dvspipe.errors import VideoError
from dvspipe.events import Events, concatenate
from dvspipe.simulator import EventSimulator, SimulatorConfig, simulate
from dvspipe.simulator.levels import code_levels
from dvspipe.video import Frame, Transfer, frames_from_arrays


def level(value: float, white: float, transfer: Transfer, log_offset: float) -> float:
    """ln(I + log_offset), written anew from IEC 61966-2-1."""
    coded = value / white
    if transfer == "srgb":
        coded = coded / 12.92 if coded <= 0.04045 else ((coded + 0.055) / 1.055) ** 2.4
    return math.log(coded + log_offset)


def plain_loop(frames: list[Frame], config: SimulatorConfig) -> list[tuple[int, int, int, bool]]:
    """The pixel model as a loop over pixels in float64: (t, x, y, p), sorted by frame, time, row and column."""
    height, width = frames[0].image.shape
    white = 1.0 if frames[0].image.dtype.kind == "f" else float(np.iinfo(frames[0].image.dtype).max)
    events = []
    memory = {}
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
                    reference = ref0 + (on - off) * config.pos_thres + off * (config.pos_thres - config.neg_thres)
                    if reference + config.pos_thres <= end:
                        crossing, polarity = reference + config.pos_thres, True
                    elif reference - config.neg_thres >= end:
                        crossing, polarity = reference - config.neg_thres, False
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
    """Equal events of every pixel in order; numpy's and math's log may differ in the last bit, so times by 1 us."""

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
    """A random walk of grey values, so that there are quiet, busy and returning pixels."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0, 0.08, (count, SENSOR.height, SENSOR.width)), axis=0) + 0.4
    values = np.clip(walk, 0, 1)
    return list(values.astype(dtype) if dtype is np.float32 else (values * np.iinfo(dtype).max).astype(dtype))


def run(frames: list[Frame], config: SimulatorConfig) -> Events:
    return concatenate(simulate(frames, config), frames[0].size)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
    transfer=st.sampled_from(["srgb", "linear"]),
    thresholds=st.tuples(st.floats(0.02, 0.6), st.floats(0.02, 0.6)),
)
def test_events_equal_a_plain_loop(seed: int, dtype: type, transfer: Transfer, thresholds: tuple[float, float]) -> None:
    config = SimulatorConfig(pos_thres=thresholds[0], neg_thres=thresholds[1])
    frames = list(frames_from_arrays(random_images(seed, 6, dtype), fps=30, transfer=transfer))
    assert same_but_for_rounding(run(frames, config), plain_loop(frames, config))


def test_events_are_sorted_by_time_then_row_then_column() -> None:
    frames = list(frames_from_arrays(random_images(1, 5, np.uint8), fps=1000))
    for events in simulate(frames, SimulatorConfig(pos_thres=0.05, neg_thres=0.05)):
        keys = [(t, y, x) for t, x, y, _ in as_tuples(events)]
        assert len(keys) > 50
        assert keys == sorted(keys)


def test_a_step_fires_at_evenly_spread_crossings() -> None:
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


def test_a_level_exactly_on_the_threshold_fires_once() -> None:
    levels = code_levels(np.dtype(np.uint8), "linear", 1.0)
    config = SimulatorConfig(pos_thres=float(levels[255] - levels[0]), log_offset=1.0)
    images = [np.full((1, 1), value, np.uint8) for value in (0, 255, 255, 255)]
    events = run(list(frames_from_arrays(images, fps=1000, transfer="linear")), config)
    assert as_tuples(events) == [(1000, 0, 0, True)]


@given(seed=st.integers(0, 1000), threshold=st.floats(0.05, 0.5))
@settings(max_examples=20, deadline=None)
def test_after_every_frame_the_level_is_within_the_threshold(seed: int, threshold: float) -> None:
    config = SimulatorConfig(pos_thres=threshold, neg_thres=threshold)
    simulator, state = EventSimulator(config), None
    levels = code_levels(np.dtype(np.uint8), "srgb", config.log_offset)
    for frame in frames_from_arrays(random_images(seed, 6, np.uint8), fps=30):
        _, state = simulator.step(frame, state)
        reference = state.ref0 + state.net * threshold
        assert np.all(np.abs(levels[frame.image.ravel()] - reference) < threshold)


def test_an_inverted_video_swaps_on_and_off() -> None:
    """With log_offset 1 and intensity e^(2c) for code c, inverting the code mirrors the level exactly enough."""
    images = random_images(4, 6, np.float32)
    config = SimulatorConfig(pos_thres=0.11, neg_thres=0.11, log_offset=1e-9)
    plain, inverted = (
        run(list(frames_from_arrays([np.exp(sign * image) for image in images], fps=30, transfer="linear")), config)
        for sign in (1.0, -1.0)
    )
    assert len(plain) > 50
    assert np.array_equal(plain.p, ~inverted.p)
    assert np.abs(plain.t - inverted.t).max() <= 1


def test_integer_and_float_frames_of_the_same_values_agree() -> None:
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


def test_a_long_interval_is_sorted_too() -> None:
    images = random_images(7, 4, np.uint8)
    events = run(list(frames_from_arrays(images, fps=1 / 40)), SimulatorConfig(pos_thres=0.05, neg_thres=0.05))
    assert np.all(np.diff(events.t) >= 0)
    assert np.unique(events.t).size > 100


def test_a_still_video_is_silent() -> None:
    images = [random_images(8, 1, np.uint8)[0]] * 5
    assert len(run(list(frames_from_arrays(images, fps=30)), SimulatorConfig())) == 0


def test_a_frame_buffer_may_be_used_again() -> None:
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
        (Frame(10, np.zeros((5, 5), np.uint8)), "is 5x5, the frames before it 12x7"),
        (Frame(10, np.zeros((7, 12), np.uint16)), "dtype uint16"),
        (Frame(10, np.zeros((7, 12), np.uint8), "linear"), "is linear, the frames before it srgb"),
        (Frame(0, np.zeros((7, 12), np.uint8)), "follows one at 0 us"),
        (Frame(-5, np.zeros((7, 12), np.uint8)), "follows one at 0 us"),
        (Frame(2**33, np.zeros((7, 12), np.uint8)), "follows one at 0 us"),
    ],
)
def test_a_frame_that_does_not_fit_is_named(second: Frame, message: str) -> None:
    with pytest.raises(VideoError, match=message):
        list(simulate([Frame(0, np.zeros((7, 12), np.uint8)), second]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1])
def test_a_float_frame_must_be_finite_and_not_negative(value: float) -> None:
    image = np.ones((7, 12), np.float32)
    image[3, 5] = value
    with pytest.raises(VideoError, match=r"the frame at 7 us has .* at \(5, 3\)"):
        list(simulate([Frame(7, image), Frame(8, image)]))


@pytest.mark.parametrize("count", [0, 1])
def test_a_video_needs_two_frames(count: int) -> None:
    with pytest.raises(VideoError, match=f"{count} frame"):
        list(simulate([Frame(0, np.zeros((7, 12), np.uint8))] * count))
