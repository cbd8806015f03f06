from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from conftest import SENSOR

from dvspipe.events import Events, concatenate
from dvspipe.simulator import EventSimulator, SimulatorConfig
from dvspipe.simulator.crossings import NEG, POS, Pixels
from dvspipe.video.frames import Frame, frames_from_arrays

CELLS = 3000  # cells per interval; the response is assumed monotone in each


def clip_of(seed: int, frames: int, step: float) -> list[Frame]:
    """Random walk of levels, as frames with the transfer curve `log`."""
    walk = np.cumsum(np.random.default_rng(seed).normal(0, step, (frames, SENSOR.height, SENSOR.width)), axis=0)
    return [*frames_from_arrays([*np.clip(walk - 1.5, -5, 0)], fps=30, transfer="log")]


def run(frames: list[Frame], config: SimulatorConfig) -> tuple[Events, Pixels]:
    """Return the events, and the pixels at the end."""
    simulator, state, parts = EventSimulator(config), None, []
    for frame in frames:
        events, state = simulator.step(frame, state)
        parts.append(events)
    assert state is not None
    return concatenate(parts, frames[0].size), state.pixels


class SlowPixel:
    """Reference pixel with a low-pass: finds crossings by bisection in float64."""

    def __init__(self, level: float, config: SimulatorConfig, thresholds: tuple[float, float]) -> None:
        self.config, self.reference, self.v = config, level, level
        self.pos, self.neg = thresholds

    def output(self, x: Any, start: float, slope: float) -> Any:
        """Return the output at the time x in units of tau."""
        return start + slope * (x - 1) + (self.v - start + slope) * np.exp(-x)

    def cross(self, start: float, end: float, interval_us: int) -> list[tuple[float, bool]]:
        """Return the times in us and polarities of the crossings in an interval."""
        light = min(max(math.exp(end) - self.config.log_offset, 0), 1)
        length = interval_us * 1e-6 * 2 * math.pi * self.config.cutoff_hz * (light + 0.1) / 1.1
        slope, fired = (end - start) / length, []
        x = np.linspace(0, length, CELLS + 1)
        v = self.output(x, start, slope)
        cell = 0
        while True:
            reached = (v[cell:] >= self.reference + self.pos) | (v[cell:] <= self.reference - self.neg)
            if not reached.any():
                break
            cell += int(np.argmax(reached))
            on = bool(v[cell] >= self.reference + self.pos)
            self.reference += self.pos if on else -self.neg
            low, high = float(x[cell - 1]), float(x[cell])
            for _ in range(50):
                middle = (low + high) / 2
                before = (self.output(middle, start, slope) < self.reference) == on
                low, high = (middle, high) if before else (low, middle)
            fired.append((high / length * interval_us, on))
        self.v = float(v[-1])
        return fired


@pytest.mark.parametrize(("cutoff_hz", "step"), [(5, 0.6), (30, 0.1), (300, 0.3)])
def test_crossing_times_match_bisection(cutoff_hz: float, step: float) -> None:
    frames = clip_of(1, 8, step)
    config = SimulatorConfig(cutoff_hz=cutoff_hz, sigma_thres=0.03, pos_thres=0.1, neg_thres=0.13)
    events, pixels = run(frames, config)
    apart_us = []
    for pixel in range(pixels.references.shape[0]):
        levels = [float(frame.image.ravel()[pixel]) for frame in frames]
        slow = SlowPixel(levels[0], config, (pixels.references[:, POS][pixel], pixels.references[:, NEG][pixel]))
        truth = []
        for (before, after), (start, end) in zip(itertools.pairwise(frames), itertools.pairwise(levels), strict=True):
            crossed = slow.cross(start, end, after.t_us - before.t_us)
            truth += [(before.t_us + t_us, on) for t_us, on in crossed]
        here = events.y.astype(int) * SENSOR.width + events.x == pixel
        assert events.p[here].tolist() == [on for _, on in truth]
        apart_us += [*(events.t[here] - [t_us for t_us, _ in truth])]
    assert len(apart_us) > 100
    assert np.abs(apart_us).max() <= 1.5  # the search stops within a microsecond; rounding adds half of one


def test_thousands_of_crossings_of_one_pixel() -> None:
    images = np.full((3, 2, 3), -5.0)
    images[1, 1, 1] = -0.1
    events, pixels = run(
        [*frames_from_arrays(images, fps=10, transfer="log")],
        SimulatorConfig(cutoff_hz=300, pos_thres=0.002, neg_thres=0.002),
    )
    assert set(zip(events.x.tolist(), events.y.tolist(), strict=True)) == {(1, 1)}
    assert events.p.sum() > 2000
    assert abs(2 * int(events.p.sum()) - len(events) - (pixels.output[4] + 5) / 0.002) <= 1
