"""Camera model of webcams and phones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from facts import raises
from numpy.typing import NDArray

from dvspipe.base.errors import DataError
from dvspipe.base.gestures import GESTURES
from dvspipe.events import GESTURE_SENSOR, SensorSize
from dvspipe.formats import read
from dvspipe.synthesis import (
    GestureClip,
    draw_person,
    film_gesture,
    gesture_frames,
    record_film,
    write_gestures,
)
from dvspipe.synthesis.gestures import plan_clip, pose_person
from dvspipe.synthesis.webcam import Webcam, compress, draw_webcam, film
from dvspipe.video.config import VideoSettings
from dvspipe.video.frames import Frame
from dvspipe.video.opening import open_video

STILL = Webcam(
    size=SensorSize(width=64, height=48),
    fps=25.0,
    exposure_s=0.01,
    readout_s=0.0,
    drift=0.0,
    shot=0.0,
    read=0.0,
    contrast=1.0,
    sharpen=0.0,
    shake_px=0.0,
    crf=20.0,
)
SPEED_PX_S = 500.0
DENSE_S = np.arange(200) / 1000


def bar(time_s: float) -> NDArray[np.uint16]:
    """White bar, 4 pixels wide, moving to the right."""
    x = np.arange(64) - SPEED_PX_S * time_s
    return np.broadcast_to(np.where((x >= 0) & (x < 4), 65535, 0).astype(np.uint16), (48, 64))


def shoot(
    webcam: Webcam,
    scene: Callable[[float], NDArray[np.uint16]],
    duration_us: int,
    times_s: NDArray[np.float64] | None = None,
) -> list[Frame]:
    """Film a scene, rendered at these times or those that the camera needs."""
    times_s = webcam.picture_times(duration_us) if times_s is None else times_s
    return list(film(map(scene, times_s), times_s, duration_us, webcam, np.random.default_rng(0)))


def column_of(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the centre column of the bar in each row, [H]."""
    light = np.where(image <= 10, image / 12.92 / 255, ((image / 255 + 0.055) / 1.055) ** 2.4)
    return np.asarray((light * (np.arange(image.shape[1]) + 0.5)).sum(axis=1) / light.sum(axis=1))


def test_frame_is_the_mean_light_during_the_exposure() -> None:
    for exposure_s in (0.004, 0.02):
        first = shoot(replace(STILL, exposure_s=exposure_s), bar, 120_000, DENSE_S)[1].image
        lit = np.flatnonzero(first[0])
        assert len(lit) == pytest.approx(4 + SPEED_PX_S * exposure_s, abs=1.5)
        middle = SPEED_PX_S * (1 / STILL.fps + exposure_s / 2) + 2
        assert column_of(first)[0] == pytest.approx(middle, abs=0.6)


def test_lower_rows_are_exposed_later() -> None:
    first = shoot(replace(STILL, readout_s=0.02), bar, 120_000, DENSE_S)[0].image
    columns = column_of(first)
    assert columns[-1] - columns[0] == pytest.approx(SPEED_PX_S * 0.02, abs=0.8)
    assert (np.diff(columns) >= -1e-6).all()


def test_noise_drift_and_shake_change_the_frames() -> None:
    board = np.where(np.indices((48, 64)).sum(axis=0) // 8 % 2, 40_000, 20_000).astype(np.uint16)

    def filmed(**changes: float) -> NDArray[np.float64]:
        frames = shoot(replace(STILL, **changes), lambda _: board, 800_000)
        assert [frame.t_us for frame in frames] == [40_000 * k for k in range(21)]
        return np.stack([frame.image.astype(float) for frame in frames])

    assert filmed().std(axis=0).max() == 0
    assert filmed(read=0.02).std(axis=0).min() > 0.5
    assert filmed(drift=0.2).mean(axis=(1, 2)).std() > 1
    assert filmed(shake_px=2.0).std(axis=0).max() > 10


@pytest.mark.parametrize("crf", [20.0, None])
def test_film_can_be_decoded(crf: float | None, tmp_path: Path) -> None:
    webcam = replace(STILL, crf=crf)
    path = tmp_path / f"film{webcam.suffix}"
    compress(path, shoot(webcam, lambda t_s: bar(t_s / 10), 400_000), webcam)
    video = open_video(path, VideoSettings())
    frames = list(video.frames())
    assert (video.size, len(frames)) == (webcam.size, 11)
    assert frames[-1].t_us == pytest.approx(400_000, abs=1000)
    assert float(frames[5].image.max()) > 100


def test_webcams_differ() -> None:
    webcams = [draw_webcam(np.random.default_rng(seed)) for seed in range(200)]
    assert len({webcam.size for webcam in webcams}) >= 6
    assert {webcam.suffix for webcam in webcams} == {".mp4", ".webm"}
    assert all(webcam.exposure_s < 1 / webcam.fps and webcam.readout_s < 1 / webcam.fps for webcam in webcams)


def test_filmed_gesture_is_deterministic_and_fits_the_gesture_sensor(tmp_path: Path) -> None:
    clip = {"person": 3, "clip": 0, "seed": 1, "duration_us": 600_000}
    first, again = (film_gesture(tmp_path / name, GestureClip(1, **clip)) for name in "ab")
    videos = [[frame.image for frame in open_video(path, VideoSettings()).frames()] for path in (first, again)]
    assert np.array_equal(*videos)
    events = record_film(GestureClip(1, **clip))
    assert events.sensor == GESTURE_SENSOR
    assert len(events) > 100


@pytest.mark.parametrize("label", [-2, -1, 11])
def test_label_out_of_range_is_an_error(label: int) -> None:
    with raises(DataError, "gesture", "label", label, "0", "10"):
        gesture_frames(GestureClip(label, person=0, clip=0, seed=0))


@pytest.mark.parametrize("name", ["person", "clip", "seed"])
def test_negative_number_of_a_clip_is_an_error(name: str) -> None:
    with raises(DataError, name, -1):
        GestureClip(0, **{"person": 0, "clip": 0, "seed": 0, name: -1})


def test_clip_that_starts_with_another_gesture_has_finite_joints() -> None:
    plans = [plan_clip(4, np.random.default_rng(seed), 1_500_000) for seed in range(100)]
    assert {plan[-1].label for plan in plans} == {4}
    before = [plan for plan in plans if len(plan) == 2]
    assert 2 <= len(before) <= 25
    for plan in before:
        assert all(one.end_us == following.start_us for one, following in pairwise(plan))
        t = np.arange(0, 1.5, 0.05)
        pose = pose_person(plan, draw_person(np.random.default_rng(0)), np.random.default_rng(0), t)
        assert np.isfinite(pose.arms).all()


def test_folder_of_both_cameras_has_one_clip_of_each(tmp_path: Path) -> None:
    few: dict[str, Any] = {"people": 1, "clips": 1, "duration_us": 100_000, "camera": "both", "jobs": 1}
    assert write_gestures(tmp_path, **few).new == 2 * (len(GESTURES) + 2)  # three clips of other gestures
    for name in GESTURES[:-1]:
        recordings = sorted((tmp_path / name).glob("*.h5"))
        assert [read(path).sensor for path in recordings] == [GESTURE_SENSOR] * 2
        assert ["webcam" in path.name for path in recordings].count(True) == 1
    assert write_gestures(tmp_path, **few).new == 0


def test_frame_matches_transfer_curve_and_sharpening() -> None:
    webcam = replace(STILL, contrast=0.8, sharpen=0.6)
    picture = np.random.default_rng(0).integers(0, 65536, (48, 64)).astype(np.uint16)
    frames = shoot(webcam, lambda _: picture, 40_000)
    light = picture / 65535
    grey = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) ** 0.8
    sharp = grey + 0.6 * (grey - cv2.GaussianBlur(grey, (0, 0), 1.0))
    assert len(frames) == 2
    for frame in frames:
        assert abs(frame.image - 255 * np.clip(sharp, 0, 1)).max() < 0.51  # rounding, and a piecewise linear curve
