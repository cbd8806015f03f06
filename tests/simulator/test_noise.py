from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from dvspipe.events import Events, concatenate
from dvspipe.simulator import EventSimulator, SimulatorConfig
from dvspipe.simulator.levels import linear_intensity
from dvspipe.simulator.noise import _poisson_cdf
from dvspipe.video.frames import Frame, frames_from_arrays

WIDTH, HEIGHT, FRAMES = 60, 40, 25


def shoot(rate_hz: float, fps: float, value: int = 0, frames: int = FRAMES) -> Events:
    images = [np.full((HEIGHT, WIDTH), value, np.uint8)] * frames
    parts, _ = EventSimulator(SimulatorConfig(shot_noise_rate_hz=rate_hz, sensor_seed=7)).steps(
        [*frames_from_arrays(images, fps=fps)], None
    )
    return concatenate([events for events, _ in parts], parts[0][0].sensor)


@pytest.mark.parametrize("expected", [1e-6, 0.3, 16.0, 255.0])
def test_poisson_table_matches_scipy(expected: float) -> None:
    below = _poisson_cdf(expected)
    np.testing.assert_allclose(below, stats.poisson.cdf(np.arange(below.size), expected), atol=1e-12)
    assert stats.poisson.sf(below.size - 1, expected) < 1e-15


@pytest.mark.parametrize(("rate_hz", "fps"), [(2, 30), (50, 30), (800, 5)])
def test_shot_noise_is_uniform_over_time_and_pixels(rate_hz: float, fps: float) -> None:
    """From 0.07 to 160 expected events per pixel and frame: rows have up to 38 stretches of 256."""
    frames = 4 if rate_hz > 100 else FRAMES
    events = shoot(rate_hz, fps, frames=frames)
    expected = rate_hz * (frames - 1) / fps * WIDTH * HEIGHT
    assert abs(len(events) - expected) < 4 * np.sqrt(expected)
    per_pixel = np.bincount(events.y.astype(int) * WIDTH + events.x, minlength=WIDTH * HEIGHT)
    assert stats.chisquare(per_pixel).pvalue > 1e-3
    assert abs(per_pixel.var() / per_pixel.mean() - 1) < 4 * np.sqrt(2 / per_pixel.size) + 1 / per_pixel.mean() / 20
    assert stats.chisquare(np.bincount(events.x, minlength=WIDTH)).pvalue > 1e-3
    assert stats.kstest(events.t / ((frames - 1) / fps * 1e6), "uniform").pvalue > 1e-3
    assert stats.binomtest(int(events.p.sum()), len(events), 0.5).pvalue > 1e-3
    # polarity and thinning use other bits of the same random number as place and time
    assert abs(np.corrcoef(events.p, events.x)[0, 1]) < 4 / np.sqrt(len(events))
    assert abs(np.corrcoef(events.p, events.t)[0, 1]) < 4 / np.sqrt(len(events))


@pytest.mark.parametrize("value", [0, 128, 255])
def test_shot_noise_rate_decreases_with_intensity(value: int) -> None:
    events = shoot(50, 30, value)
    light = float(linear_intensity(np.array([value / 255]), "srgb")[0])
    expected = 50 * (FRAMES - 1) / 30 * WIDTH * HEIGHT * (1 - 0.75 * light)
    assert abs(len(events) - expected) < 4 * np.sqrt(expected)
    assert stats.kstest(events.t / ((FRAMES - 1) / 30 * 1e6), "uniform").pvalue > 1e-3


def test_leak_intervals_are_nearly_normal() -> None:
    images = [np.full((HEIGHT, WIDTH), 90, np.uint8)] * 120
    config = SimulatorConfig(leak_rate_hz=2, leak_jitter_fraction=0.1, sensor_seed=1)
    parts, _ = EventSimulator(config).steps([*frames_from_arrays(images, fps=10)], None)
    events = concatenate([events for events, _ in parts], parts[0][0].sensor)
    pixel = events.y.astype(int) * WIDTH + events.x
    order = np.lexsort((events.t, pixel))
    same = np.diff(pixel[order]) == 0
    z = (np.diff(events.t[order])[same] / 500_000 - 1) / 0.1
    assert z.size > 40_000
    # the end of the video (24 periods) hides some long intervals
    assert abs(z.mean()) < 0.02
    assert z.std() == pytest.approx(1, rel=0.02)
    assert abs(stats.skew(z)) < 0.05
    assert stats.kurtosis(z) == pytest.approx(-0.3, abs=0.1)  # kurtosis of a sum of four uniform numbers: -1.2 / 4
    quantiles = np.quantile(z, [0.025, 0.16, 0.84, 0.975])
    assert quantiles == pytest.approx(stats.norm.ppf([0.025, 0.16, 0.84, 0.975]), abs=0.05)


def test_refractory_period_drops_signal_and_noise_events() -> None:
    rng = np.random.default_rng(2)
    images = [*rng.integers(0, 256, (12, HEIGHT, WIDTH)).astype(np.uint8)]
    config = SimulatorConfig(
        cutoff_hz=100, sigma_thres=0.03, shot_noise_rate_hz=60, leak_rate_hz=5, refractory_period=0.004
    )
    frames = [*frames_from_arrays(images, fps=100)]
    held = _by_pixel(frames, config)
    free = _by_pixel(frames, config.model_copy(update={"refractory_period": 0.0}))
    dropped = 0
    for pixel, times in free.items():
        kept: list[int] = []
        for t_us in times:
            if not kept or t_us - kept[-1] >= 4000:
                kept.append(t_us)
        assert held[pixel] == kept
        dropped += len(times) - len(kept)
    assert dropped > 1000


def test_recordings_of_one_sensor_share_hot_pixels_and_thresholds_but_no_noise() -> None:
    frames = [*frames_from_arrays([np.full((HEIGHT, WIDTH), 60, np.uint8)] * 200, fps=20)]
    config = SimulatorConfig(
        sigma_thres=0.03,
        leak_rate_hz=1,
        shot_noise_rate_hz=2,
        hot_pixel_fraction=0.01,
        hot_pixel_rate_hz=50,
    )
    (first, first_hot, first_pos), (second, second_hot, second_pos) = (
        _record_noise(frames, config.model_copy(update={"noise_seed": noise_seed})) for noise_seed in (0, 1)
    )
    assert np.array_equal(first_hot, second_hot)
    assert np.array_equal(first_pos, second_pos)
    assert first_hot.size == 24

    # by chance, an event of one recording meets an event of the same pixel and polarity in the same microsecond
    assert min(len(first), len(second)) > 30_000
    assert len(first & second) < 20


def _record_noise(
    frames: list[Frame], config: SimulatorConfig
) -> tuple[set[tuple[int, ...]], NDArray[np.int32], NDArray[np.float64]]:
    """Return the set of events, the hot pixels, and the ON thresholds of a recording."""
    parts, state = EventSimulator(config).steps(frames, None)
    assert state.noise is not None
    events = concatenate([events for events, _ in parts], state.sensor)
    columns = (events.t.tolist(), events.x.tolist(), events.y.tolist(), events.p.tolist())
    return set(zip(*columns, strict=True)), state.noise.hot, state.pos


def test_noise_seed_zero_is_the_default_of_frames() -> None:
    frames = [*frames_from_arrays([np.full((HEIGHT, WIDTH), 60, np.uint8)] * 5, fps=20)]
    config = SimulatorConfig(leak_rate_hz=5, shot_noise_rate_hz=20)
    assert _by_pixel(frames, config) == _by_pixel(frames, config.model_copy(update={"noise_seed": 0}))
    assert _by_pixel(frames, config) != _by_pixel(frames, config.model_copy(update={"sensor_seed": 1}))


def _by_pixel(frames: list[Frame], config: SimulatorConfig) -> dict[int, list[int]]:
    parts, _ = EventSimulator(config).steps(frames, None)
    times: dict[int, list[int]] = {}
    for events in itertools.chain(events for events, _ in parts):
        for t_us, x, y in zip(events.t.tolist(), events.x.tolist(), events.y.tolist(), strict=True):
            times.setdefault(y * WIDTH + x, []).append(t_us)
    return times
