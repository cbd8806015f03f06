from __future__ import annotations

import numpy as np
import pytest
from conftest import as_tuples
from scipy import stats

from dvspipe.events import Events, concatenate
from dvspipe.simulator import EventSimulator, SimulatorConfig, simulate
from dvspipe.simulator.crossings import NEG, POS
from dvspipe.simulator.levels import linear_intensity
from dvspipe.video.frames import Frame, frames_from_arrays

WIDTH, HEIGHT, FRAMES = 60, 40, 25


def shoot(rate_hz: float, fps: float, value: int = 0, frames: int = FRAMES) -> Events:
    images = [np.full((HEIGHT, WIDTH), value, np.uint8)] * frames
    return record([*frames_from_arrays(images, fps=fps)], SimulatorConfig(shot_noise_rate_hz=rate_hz, sensor_seed=7))


def record(frames: list[Frame], config: SimulatorConfig) -> Events:
    return concatenate(simulate(frames, config), frames[0].size)


@pytest.mark.parametrize(("rate_hz", "fps"), [(2, 30), (50, 30), (800, 5)])
def test_shot_noise_is_uniform_over_time_and_pixels(rate_hz: float, fps: float) -> None:
    """From 0.07 to 160 expected events per pixel and frame: rows have up to 38 stretches of 256."""
    frames = 4 if rate_hz > 100 else FRAMES
    events = shoot(rate_hz, fps, frames=frames)
    expected = rate_hz * (frames - 1) / fps * WIDTH * HEIGHT
    assert abs(len(events) - expected) < 4 * np.sqrt(expected)
    pixels = events.y.astype(int) * WIDTH + events.x
    for places, count in ((pixels, WIDTH * HEIGHT), (events.x, WIDTH)):
        assert stats.chisquare(np.bincount(places, minlength=count)).pvalue > 1e-3
    assert stats.kstest(events.t / ((frames - 1) / fps * 1e6), "uniform").pvalue > 1e-3
    assert stats.binomtest(int(events.p.sum()), len(events), 0.5).pvalue > 1e-3
    # polarity and thinning share a random number, and so do place and time
    assert np.abs(np.corrcoef([events.p, events.x, events.t])[0, 1:]).max() < 4 / np.sqrt(len(events))


@pytest.mark.parametrize("value", [0, 128, 255])
def test_shot_noise_rate_decreases_with_intensity(value: int) -> None:
    events = shoot(50, 30, value)
    light = float(linear_intensity(np.array([value / 255]), "srgb")[0])
    expected = 50 * (FRAMES - 1) / 30 * WIDTH * HEIGHT * (1 - 0.75 * light)
    assert abs(len(events) - expected) < 4 * np.sqrt(expected)
    assert stats.kstest(events.t / ((FRAMES - 1) / 30 * 1e6), "uniform").pvalue > 1e-3


def test_leak_intervals_are_normal() -> None:
    images = [np.full((HEIGHT, WIDTH), 90, np.uint8)] * 120
    config = SimulatorConfig(leak_rate_hz=2, leak_jitter_fraction=0.1, sensor_seed=1)
    events = record([*frames_from_arrays(images, fps=10)], config)
    assert events.p.all()
    z = np.concatenate([np.diff(times) for times in _by_pixel(events).values()]) / 50_000 - 10
    assert z.size > 40_000
    assert np.quantile(z, [0.025, 0.16, 0.5, 0.84, 0.975]) == pytest.approx(
        stats.norm.ppf([0.025, 0.16, 0.5, 0.84, 0.975]), abs=0.05
    )  # the end of the video (24 periods) hides some long intervals


def test_hot_pixels_have_the_set_fraction_and_rate() -> None:
    frames = [*frames_from_arrays([np.full((HEIGHT, WIDTH), 100, np.uint8)] * 40, fps=8)]
    events = record(frames, SimulatorConfig(hot_pixel_fraction=0.01, hot_pixel_rate_hz=50))
    pixels = np.unique(events.y.astype(int) * WIDTH + events.x)
    expected = pixels.size * 50 * 39 / 8
    assert pixels.size == round(0.01 * WIDTH * HEIGHT)
    assert events.p.all()
    assert abs(len(events) - expected) < 4 * np.sqrt(expected)


def test_refractory_period_drops_signal_and_noise_events() -> None:
    rng = np.random.default_rng(2)
    images = [*rng.integers(0, 256, (12, HEIGHT, WIDTH)).astype(np.uint8)]
    config = SimulatorConfig(
        cutoff_hz=100, sigma_thres=0.03, shot_noise_rate_hz=60, leak_rate_hz=5, refractory_period=0.004
    )
    frames = [*frames_from_arrays(images, fps=100)]
    held = _by_pixel(record(frames, config))
    free = _by_pixel(record(frames, config.model_copy(update={"refractory_period": 0.0})))
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
        sigma_thres=0.03, leak_rate_hz=1, shot_noise_rate_hz=2, hot_pixel_fraction=0.01, hot_pixel_rate_hz=50
    )
    recordings = []
    for seeds in ({"noise_seed": 0}, {"noise_seed": 1}, {"sensor_seed": 1}, {}):
        seeded = config.model_copy(update=seeds)
        _, state = EventSimulator(seeded).step(frames[0], None)
        assert state.noise is not None
        recordings.append((record(frames, seeded), state.noise.hot, state.pixels.references))

    (first, hot, references), (second, same_hot, same), (_, other_hot, other), (default, *_) = recordings
    assert first == default  # noise_seed = 0
    assert hot.size == 24
    assert np.array_equal(hot, same_hot)
    assert not np.array_equal(hot, other_hot)
    assert np.array_equal(references, same)
    for threshold in (POS, NEG):
        drawn = references[:, threshold]
        assert not np.array_equal(drawn, other[:, threshold])
        assert (drawn.mean(), drawn.std()) == (pytest.approx(0.2, abs=0.003), pytest.approx(0.03, rel=0.1))

    # by chance, an event of one recording meets an event of the same pixel and polarity in the same microsecond
    assert min(len(first), len(second)) > 30_000
    assert len({*as_tuples(first)} & {*as_tuples(second)}) < 20


def _by_pixel(events: Events) -> dict[tuple[int, int], list[int]]:
    times: dict[tuple[int, int], list[int]] = {}
    for t_us, x, y, _ in as_tuples(events):
        times.setdefault((x, y), []).append(t_us)
    return times
