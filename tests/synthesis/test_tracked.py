"""Rendered people perform tracked movements of real people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from facts import raises

from dvspipe.base.errors import DataError
from dvspipe.base.gestures import GESTURES
from dvspipe.events import SensorSize
from dvspipe.people import JOINTS, Track
from dvspipe.synthesis import GesturesPlan, write_gestures
from dvspipe.synthesis.people import draw_person
from dvspipe.synthesis.tracked import SIZES, TrackedMovement, mirror_class, read_movements


def track_of(wrist_hz: float = 1.0, seconds: float = 3.0, *, rest_s: float = 0.0, gap: slice | None = None) -> Track:
    """Return a track: after a rest, the right hand moves up and down beside the shoulder; the left arm hangs."""
    t_s = np.arange(0, seconds, 1 / 15)
    N, J = len(t_s), len(JOINTS)
    points = np.zeros((N, J, 3))
    swing = 0.2 * np.sin(2 * np.pi * wrist_hz * (t_s - rest_s)) * (t_s >= rest_s)
    for side, x, high in (("left", 0.17, -0.5), ("right", -0.17, 0.1)):
        moves = swing if side == "right" else np.zeros(N)
        points[:, JOINTS.index(f"{side}_shoulder")] = [x, 0, 0]
        points[:, JOINTS.index(f"{side}_elbow")] = [1.3 * x, -0.25, 0.05]
        for joint, further in (("wrist", 0.0), ("index", 0.08), ("pinky", 0.07), ("thumb", 0.05)):
            points[:, JOINTS.index(f"{side}_{joint}")] = np.stack(
                [np.full(N, 1.4 * x), high + moves + further, np.full(N, 0.2)], axis=-1
            )
        points[:, JOINTS.index(f"{side}_hip")] = [x / 2, -0.5, 0]
    presence = np.ones(N)
    nan = np.zeros(N, bool)
    if gap is not None:
        nan[gap] = True
    presence[nan] = 0.1
    points[nan] = np.nan
    px, confidence, yaw = points[..., :2] * 100 + 100, np.where(nan[:, None], np.nan, np.ones((N, J))), np.zeros(N)
    yaw[nan] = np.nan
    size = SensorSize(width=320, height=240)
    return Track(
        np.round(t_s * 1e6).astype(np.int64), points, px, confidence, presence, yaw, np.ones(N, np.int64), size
    )


def test_tracked_hand_path_is_performed_with_varying_pace_and_size() -> None:
    movement, person = TrackedMovement.from_track(track_of()), draw_person(np.random.default_rng(0))
    t = np.arange(0, 1.5, 0.01)
    for seed in range(8):
        motion = movement(t, person, np.random.default_rng(seed))
        high = motion.right.wrist[:, 1] / person.reach_m
        swing = np.ptp(movement.arms[:, 0, 1, 1])
        assert np.ptp(high) <= 1.25 * SIZES[1] * swing  # rotated slightly
        assert np.ptp(high) >= 0.4 * SIZES[0] * swing
        assert np.ptp(motion.left.wrist, axis=0).max() < 0.1
        lengths = np.linalg.norm(motion.right.wrist - motion.right.elbow, axis=-1)
        np.testing.assert_allclose(lengths, person.forearm_m, rtol=1e-6)  # the performer's length, not the tracked one


def test_mirroring_swaps_arms_and_class() -> None:
    movement, person, t = (
        TrackedMovement.from_track(track_of()),
        draw_person(np.random.default_rng(1)),
        np.arange(0, 1, 0.02),
    )
    mirrored = movement.mirrored()(t, person, np.random.default_rng(0))
    assert np.ptp(mirrored.left.wrist[:, 1]) > 5 * np.ptp(mirrored.right.wrist[:, 1])
    assert {mirror_class(name) for name in GESTURES} == set(GESTURES)
    assert mirror_class("left_arm_counter_clockwise") == "right_arm_clockwise"


def test_active_movement_excludes_rest() -> None:
    movement = TrackedMovement.from_track(track_of(seconds=4.0, rest_s=2.0))
    assert movement.t_s[-1] == pytest.approx(4.0, abs=0.1)
    assert movement.active().t_s[-1] == pytest.approx(2.0, abs=0.4)


def test_longest_run_with_a_person_is_used() -> None:
    movement = TrackedMovement.from_track(track_of(seconds=4.0, gap=slice(10, 25)))
    assert movement.t_s[-1] == pytest.approx(4.0 - 25 / 15, abs=0.1)
    with raises(DataError, "4", "0.4"):
        TrackedMovement.from_track(track_of(seconds=4 / 15))


def test_tracks_in_class_folders_are_performed_by_rendered_people(tmp_path: Path) -> None:
    for name in ("right_hand_wave", "juggling"):
        (tmp_path / "tracks" / name).mkdir(parents=True)
        track_of().write(tmp_path / "tracks" / name / "a.csv")
    found = read_movements(tmp_path / "tracks", GESTURES, "other_gestures")
    assert {name: len(each) for name, each in found.items()} == {
        "right_hand_wave": 1,
        "left_hand_wave": 1,
        "other_gestures": 2,
    }
    plan = GesturesPlan(people=1, clips=1, duration_us=100_000, tracks=tmp_path / "tracks", other=1)
    assert write_gestures(tmp_path / "made", plan) == len(GESTURES)
    with raises(DataError, "made", "tracks"):  # clips depend on the tracks
        write_gestures(tmp_path / "made", GesturesPlan(people=1, clips=1, duration_us=100_000))
    with raises(DataError, "nothing", "tracks"):
        read_movements(tmp_path / "nothing", GESTURES, "other_gestures")
