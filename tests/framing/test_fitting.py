"""Events on the sensor of a network: cropped, scaled, and cut to a region."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from conftest import SENSOR, as_tuples, divide, random_events
from facts import raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.base.errors import EventError
from dvspipe.events import Events, Region, SensorSize, concatenate
from dvspipe.framing.fitting import Fit, fit_events, plan_fit, start_fit


def fit_slowly(events: Events, target: SensorSize, factor: int) -> list[tuple[int, int, int, bool]]:
    """Reference: blocks of factor x factor pixels; each event moves the block mean by 1 / factor^2 thresholds."""
    moved: dict[tuple[int, int], int] = {}
    out = []
    for t, x, y, p in as_tuples(events):
        place = x // factor, y // factor
        moved[place] = moved.get(place, 0) + (1 if p else -1)
        if abs(moved[place]) == factor**2 and max(place[0] - target.width, place[1] - target.height) < 0:
            out.append((t, *place, p))
            moved[place] = 0
    return out


def fitted(events: Events, fit: Fit) -> Events:
    return fit_events(events, fit, start_fit(fit))[0]


@given(seed=st.integers(0, 10**6), factor=st.integers(1, 3), places=st.lists(st.integers(0, 10**6), max_size=4))
def test_downscaled_pixel_fires_when_block_mean_crosses_threshold(seed: int, factor: int, places: list[int]) -> None:
    sensor = SensorSize(width=4 * factor, height=3 * factor)
    target = SensorSize(width=4, height=3)
    events = random_events(seed, 600, sensor)
    fit = plan_fit(sensor, target, "scale")
    state = start_fit(fit)
    parts = []
    for part in divide(events, places):
        few, state = fit_events(part, fit, state)
        parts.append(few)
    assert as_tuples(concatenate(parts, target)) == fit_slowly(events, target, factor)


def test_upscaled_event_covers_all_its_pixels() -> None:
    sensor, target = SensorSize(width=4, height=3), SensorSize(width=12, height=7)
    every = Events(np.arange(12), np.arange(12) % 4, np.arange(12) // 4, np.ones(12, int), sensor)
    found = fitted(every, plan_fit(sensor, target, "scale"))  # scaled by 7 / 3 to 9 x 7 pixels, centred
    assert len(found) == 9 * 7
    source = np.full((7, 12), -1)
    source[found.y, found.x] = found.t
    x, y = np.meshgrid((np.arange(9) * 4) // 9, (np.arange(7) * 3) // 7)
    assert np.array_equal(source[:, 1:10], 4 * y + x)


@given(seed=st.integers(0, 10**6), width=st.integers(1, 20), height=st.integers(1, 20))
def test_crop_keeps_the_center(seed: int, width: int, height: int) -> None:
    events = random_events(seed, 100)
    left, top = (width - SENSOR.width) // 2, (height - SENSOR.height) // 2
    moved = [(t, x + left, y + top, p) for t, x, y, p in as_tuples(events)]
    found = fitted(events, plan_fit(SENSOR, SensorSize(width=width, height=height), "crop"))
    assert as_tuples(found) == [row for row in moved if 0 <= row[1] < width and 0 <= row[2] < height]


def test_region_equals_crop() -> None:
    events, target = random_events(0, 200), SensorSize(width=4, height=3)
    assert fitted(events, plan_fit(SENSOR, target, "crop", Region.parse("4x3+5+2"))) == events.crop(5, 2, target)
    with raises(EventError, "4x3+12+0", "12x7"):
        plan_fit(SENSOR, target, "crop", Region.parse("4x3+12+0"))
    with raises(EventError, "12x7", "4x3"):
        fitted(events, plan_fit(target, SENSOR, "crop"))


@pytest.mark.parametrize("mode", ["crop", "scale"])
@pytest.mark.parametrize("text", ["8x6-2-1", "4x3+10+5"])
def test_region_may_reach_beyond_the_sensor(mode: Literal["crop", "scale"], text: str) -> None:
    events, target, region = random_events(0, 400), SensorSize(width=8, height=6), Region.parse(text)
    larger = SensorSize(width=SENSOR.width + 4, height=SENSOR.height + 4)
    moved = Events(events.t, events.x + 2, events.y + 2, events.p, larger)
    inside = Region(region.left + 2, region.top + 2, region.size)
    found = fitted(events, plan_fit(SENSOR, target, mode, region))
    assert len(found) > 0
    assert found == fitted(moved, plan_fit(larger, target, mode, inside))
