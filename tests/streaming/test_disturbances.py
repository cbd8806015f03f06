"""Reasons against a gesture in the events of a stream."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from dvspipe.events import Events, SensorSize, concatenate
from dvspipe.simulator import simulate
from dvspipe.streaming.disturbances import MIN_DEPTH, Disturbance, DisturbanceWatch, measure_flicker
from dvspipe.video.frames import frames_from_arrays

SENSOR = SensorSize(width=96, height=64)
CHUNK_US = 10_000


def watch(events: Events) -> list[Disturbance | None]:
    """Return what is found after each chunk."""
    found = DisturbanceWatch(events.sensor)
    results = []
    for start_us in range(0, int(events.t[-1]), CHUNK_US):
        found.add(events.slice_time(start_us, start_us + CHUNK_US))
        results.append(found.find())
    return results


def record(pictures: Sequence[NDArray[np.uint8]], fps: float) -> Events:
    return concatenate(list(simulate(frames_from_arrays(pictures, fps=fps))), SENSOR)


def film(shift_px: float, width: int, fps: float = 100) -> Events:
    """Events of a rough texture, `width` pixels wide, that sways by `shift_px` before a still background."""
    rng = np.random.default_rng(0)
    rough = np.kron(rng.integers(40, 216, (16, 40)), np.ones((4, 4))).astype(np.uint8)
    pictures = []
    for number in range(150):
        shift = 20 + round(shift_px * np.sin(2 * np.pi * 1.5 * number / fps))
        picture = rough[:, 20 : 20 + SENSOR.width].copy()
        picture[:, :width] = rough[:, shift : shift + width]
        pictures.append(picture)
    return record(pictures, fps)


def test_camera_moves_if_all_of_the_picture_does() -> None:
    found = watch(film(8, SENSOR.width))
    assert found[-1] == "camera moves"
    assert found[20] is None  # half a second is needed


def test_moving_part_and_noise_are_no_moving_camera() -> None:
    assert set(watch(film(8, SENSOR.width // 2))) == {None}

    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 1_500_000, 1500))  # 0.16 Hz per pixel
    x, y = rng.integers(0, SENSOR.width, 1500), rng.integers(0, SENSOR.height, 1500)
    assert set(watch(Events(t, x, y, t % 2 == 0, SENSOR))) == {None}


def test_camera_that_stops_is_calm_after_half_a_second() -> None:
    moving = film(8, SENSOR.width)
    later = moving.slice_events(0, 1).shift_time(int(moving.t[-1]) + 600_000 - int(moving.t[0]))
    found = DisturbanceWatch(SENSOR)
    found.add(moving)
    assert found.find() == "camera moves"
    found.add(later)
    assert found.find() is None


@pytest.mark.parametrize("hz", [100, 120])
def test_lamp_without_motion_flickers(hz: int) -> None:
    times_s = np.arange(1200) / 1000
    light = 120 * (1 + 0.4 * np.cos(2 * np.pi * hz * times_s))
    pictures = np.broadcast_to(light[:, None, None], (1200, SENSOR.height, SENSOR.width)).astype(np.uint8)
    assert watch(record(list(pictures), 1000))[-1] == "light flickers"


def test_depth_is_at_most_twice_the_share_of_the_lamp() -> None:
    rng = np.random.default_rng(0)
    lamp = 10_000 * rng.integers(0, 100, 3000)  # at the same phase of each period of 100 Hz
    others = rng.integers(0, 1_000_000, 3000)
    assert measure_flicker(np.sort(lamp)) == pytest.approx(2)
    assert measure_flicker(np.sort(np.concatenate([lamp, others]))) == pytest.approx(1, abs=0.05)
    assert measure_flicker(np.sort(others)) < 0.1 < MIN_DEPTH
    assert measure_flicker(lamp[:10]) == 0
