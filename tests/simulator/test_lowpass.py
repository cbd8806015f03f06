from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from conftest import SENSOR
from numpy.typing import NDArray

from dvspipe.events import Events, concatenate
from dvspipe.simulator import EventSimulator, SimulatorConfig, SimulatorState
from dvspipe.video.frames import Frame, frames_from_arrays

CELLS = 3000  # cells per interval; the response is assumed monotone in each


def clip_of(seed: int, frames: int, step: float) -> list[Frame]:
    """Random walk of levels, as frames with the transfer curve `log`."""
    walk = np.cumsum(np.random.default_rng(seed).normal(0, step, (frames, SENSOR.height, SENSOR.width)), axis=0)
    return [*frames_from_arrays([*np.clip(walk - 1.5, -5, 0)], fps=30, transfer="log")]


def run(frames: list[Frame], config: SimulatorConfig) -> tuple[Events, SimulatorState]:
    simulator = EventSimulator(config)
    parts, state = simulator.steps(frames, None)
    return concatenate([events for events, _ in parts], frames[0].size), state


class SlowPixel:
    """Reference pixel with a low-pass: finds crossings by bisection in float64."""

    def __init__(self, level: float, config: SimulatorConfig, thresholds: tuple[float, float]) -> None:
        self.config, self.reference, self.u, self.v = config, level, level, level
        self.pos, self.neg = thresholds

    def output(self, x: Any, start: float, slope: float) -> Any:
        """Return the output of the last stage at the time x in units of tau."""
        if self.config.cutoff_order == 1:
            return start + slope * (x - 1) + (self.v - start + slope) * np.exp(-x)
        return start + slope * (x - 2) + (self.v - start + 2 * slope + (self.u - start + slope) * x) * np.exp(-x)

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
        u = start + slope * (length - 1) + (self.u - start + slope) * math.exp(-length)
        self.u, self.v = u, float(v[-1])
        return fired


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("cutoff_hz", "step"), [(5, 0.6), (30, 0.1), (300, 0.3)])
def test_crossing_times_match_bisection(order: Any, cutoff_hz: float, step: float) -> None:
    frames = clip_of(order, 8, step)
    config = SimulatorConfig(cutoff_hz=cutoff_hz, cutoff_order=order, sigma_thres=0.03, pos_thres=0.1, neg_thres=0.13)
    events, state = run(frames, config)
    apart_us, pixels = [], state.pos.size
    for pixel in range(pixels):
        levels = [float(frame.image.ravel()[pixel]) for frame in frames]
        slow = SlowPixel(levels[0], config, (state.pos[pixel], state.neg[pixel]))
        truth = []
        for (before, after), (start, end) in zip(itertools.pairwise(frames), itertools.pairwise(levels), strict=True):
            crossed = slow.cross(start, end, after.t_us - before.t_us)
            truth += [(before.t_us + t_us, on) for t_us, on in crossed]
        here = events.y.astype(int) * SENSOR.width + events.x == pixel
        assert events.p[here].tolist() == [on for _, on in truth]
        apart_us += [*(events.t[here] - [t_us for t_us, _ in truth])]
    assert len(apart_us) > 100
    assert np.abs(apart_us).max() <= 0.51  # rounding adds up to half a microsecond


@pytest.mark.parametrize("order", [1, 2])
def test_references_do_not_drift(order: Any) -> None:
    """The level of the next ON event equals the initial level plus the thresholds of all events, exactly."""
    levels = np.random.default_rng(3).uniform(-4, 0, (60, SENSOR.height, SENSOR.width))
    frames = [*frames_from_arrays([*levels], fps=30, transfer="log")]
    config = SimulatorConfig(cutoff_hz=100, cutoff_order=order, sigma_thres=0.03, pos_thres=0.05, neg_thres=0.07)
    _, first = run(frames[:1], config)
    initial = first.high.copy()
    events, state = run(frames, config)
    pixel = events.y.astype(int) * SENSOR.width + events.x
    on, off = (np.bincount(pixel[events.p == p], minlength=initial.size) for p in (True, False))
    assert min(on.min(), off.min()) > 50
    exact = [
        Fraction(high) + int(n) * Fraction(pos) - int(m) * Fraction(neg)
        for high, n, m, pos, neg in zip(initial, on, off, state.pos, state.neg, strict=True)
    ]
    assert [Fraction(high) for high in state.high] == exact


def test_output_stays_within_thresholds() -> None:
    frames = clip_of(4, 20, 0.4)
    simulator, state = EventSimulator(SimulatorConfig(cutoff_hz=20, sigma_thres=0.03)), None
    for frame in frames:
        _, state = simulator.step(frame, state)
        assert state.filtered is not None
        assert np.all(state.filtered[-1] < state.high)
        assert np.all(state.filtered[-1] > state.high - state.pos - state.neg)


def test_crossings_of_one_pixel_may_exceed_the_queue() -> None:
    image: NDArray[np.float64] = np.full((2, 3), -5.0)
    bright = image.copy()
    bright[1, 1] = -0.1
    frames = [Frame(0, image, "log"), Frame(100_000, bright, "log"), Frame(200_000, image, "log")]
    events, state = run(frames, SimulatorConfig(cutoff_hz=300, pos_thres=0.002, neg_thres=0.002))
    assert set(zip(events.x.tolist(), events.y.tolist(), strict=True)) == {(1, 1)}
    assert state.filtered is not None
    reached = np.round((state.filtered[0, 4] + 5) / 0.002)
    assert events.p.sum() > 2000
    assert abs(int(events.p.sum()) - int((~events.p).sum()) - reached) <= 1
    assert np.all(np.diff(events.t[events.p]) >= 0)


@pytest.mark.parametrize("order", [1, 2])
def test_skipping_still_pixels_does_not_change_events(order: int) -> None:
    rng = np.random.default_rng(order)
    images = np.tile(rng.integers(0, 65536, (20, 90)).astype(np.uint16), (12, 1, 1))
    for number in range(12):  # a box moves, stops, and moves again in front of a still background
        column = 8 * min(number, 6) + (8 * (number - 9) if number > 9 else 0)
        images[number, 5:12, column : column + 9] //= 3
    frames = [*frames_from_arrays([*images], fps=200, transfer="linear")]
    config = SimulatorConfig(cutoff_hz=300, cutoff_order=order, sigma_thres=0.03)  # type: ignore[arg-type]
    together, _ = run(frames, config)
    simulator, state, parts = EventSimulator(config), None, []
    for frame in frames:
        events, state = simulator.step(frame, state)
        parts.append(events)
    assert together == concatenate(parts, frames[0].size)
    assert len(together) > 500
