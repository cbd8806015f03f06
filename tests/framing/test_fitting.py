"""Events on the sensor of a network: cropped, scaled, and cut to a region."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from conftest import SENSOR, random_events
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.events import Events, Region, SensorSize, concatenate
from dvspipe.framing.fitting import Fit, fit_events, plan_fit, start_fit


def cut(events: Events, places: list[int]) -> Iterator[Events]:
    edges = [0, *sorted(place % (len(events) + 1) for place in places), len(events)]
    return (events[first:stop] for first, stop in pairwise(edges))


def fit_slowly(events: Events, target: SensorSize, factor: int) -> list[tuple[int, int, int, bool]]:
    """Reference: blocks of factor x factor pixels; each event moves the block mean by 1 / factor^2 thresholds."""
    moved: dict[tuple[int, int], int] = {}
    out = []
    for t, x, y, p in zip(events.t.tolist(), events.x.tolist(), events.y.tolist(), events.p.tolist(), strict=True):
        place = x // factor, y // factor
        moved[place] = moved.get(place, 0) + (1 if p else -1)
        if abs(moved[place]) == factor**2 and max(place[0] - target.width, place[1] - target.height) < 0:
            out.append((t, *place, p))
            moved[place] = 0
    return out


def rows_of(events: Events) -> list[tuple[int, int, int, bool]]:
    return list(zip(events.t.tolist(), events.x.tolist(), events.y.tolist(), events.p.tolist(), strict=True))


@given(seed=st.integers(0, 10**6), factor=st.integers(1, 3), places=st.lists(st.integers(0, 10**6), max_size=4))
def test_downscaled_pixel_fires_when_block_mean_crosses_threshold(seed: int, factor: int, places: list[int]) -> None:
    sensor = SensorSize(width=4 * factor, height=3 * factor)
    target = SensorSize(width=4, height=3)
    events = random_events(seed, 600, sensor)
    fit = plan_fit(sensor, target, "scale")
    state = start_fit(fit)
    parts = []
    for part in cut(events, places):
        fitted, state = fit_events(part, fit, state)
        parts.append(fitted)
    assert rows_of(concatenate(parts, target)) == fit_slowly(events, target, factor)


def test_upscaled_event_covers_all_its_pixels() -> None:
    sensor, target = SensorSize(width=4, height=3), SensorSize(width=12, height=7)
    events = random_events(0, 50, sensor)
    fit = plan_fit(sensor, target, "scale")  # scaled by 7 / 3 to 9 x 7 pixels, centred
    fitted, _ = fit_events(events, fit, start_fit(fit))
    covered = np.zeros((7, 12), int)
    for x in range(4):
        for y in range(3):
            one = Events([0], [x], [y], [1], sensor)
            own, _ = fit_events(one, fit, start_fit(fit))
            covered[own.y, own.x] += 1
    assert covered[:, 1:10].tolist() == np.ones((7, 9), int).tolist()
    assert covered.sum() == 63
    assert len(fitted) >= 4 * len(events)


@given(seed=st.integers(0, 10**6), width=st.integers(1, 20), height=st.integers(1, 20))
def test_crop_keeps_the_center(seed: int, width: int, height: int) -> None:
    target = SensorSize(width=width, height=height)
    events = random_events(seed, 100)
    fit = plan_fit(SENSOR, target, "crop")
    fitted, _ = fit_events(events, fit, start_fit(fit))
    left, top = (width - SENSOR.width) // 2, (height - SENSOR.height) // 2
    expected = [
        (t, x + left, y + top, p) for t, x, y, p in rows_of(events) if 0 <= x + left < width and 0 <= y + top < height
    ]
    assert rows_of(fitted) == expected


def test_region_equals_crop() -> None:
    region = Region.parse("4x3+5+2")
    assert str(region) == "4x3+5+2"
    events, target = random_events(0, 200), SensorSize(width=4, height=3)
    fit: Fit = plan_fit(SENSOR, target, "crop", region)
    assert rows_of(fit_events(events, fit, start_fit(fit))[0]) == rows_of(events.crop(5, 2, target))


def test_region_may_reach_beyond_the_sensor() -> None:
    events, target = random_events(0, 400), SensorSize(width=8, height=6)
    larger = SensorSize(width=SENSOR.width + 4, height=SENSOR.height + 4)
    moved = Events(events.t, events.x + 2, events.y + 2, events.p, larger)
    for mode in ("crop", "scale"):
        for region in (Region.parse("8x6-2-1"), Region.parse("4x3+10+5")):
            inside = Region(region.left + 2, region.top + 2, region.size)
            fit, same = plan_fit(SENSOR, target, mode, region), plan_fit(larger, target, mode, inside)
            fitted, _ = fit_events(events, fit, start_fit(fit))
            assert len(fitted) > 0
            assert rows_of(fitted) == rows_of(fit_events(moved, same, start_fit(same))[0])
