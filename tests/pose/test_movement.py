"""Part of a film that shows a gesture."""

from __future__ import annotations

import numpy as np
from facts import raises

from dvspipe.errors import DataError
from dvspipe.events import SensorSize
from dvspipe.pose import JOINTS, Track, find_movement, to_body_frame

SIZE = SensorSize(width=320, height=240)
REST = (0.05, -0.58, 0.05)  # right wrist below its shoulder: outwards, up, forwards in metres
RAISED = (0.15, 0.1, 0.25)


def filmed(wrist_m: np.ndarray, fps: float = 30.0, left_m: np.ndarray | None = None) -> Track:
    """Return a track of a person whose wrists move like this relative to the shoulders, [N, 3] in metres."""
    N, J = len(wrist_m), len(JOINTS)
    points_m = np.zeros((N, J, 3))
    for side, out, path in (("right", -1.0, wrist_m), ("left", 1.0, left_m)):
        shoulder = np.array([out * 0.18, 0.0, 0.0])
        wrist = shoulder + np.array([out, 1, 1]) * (np.array(REST) if path is None else path)
        points_m[:, JOINTS.index(f"{side}_shoulder")] = shoulder
        points_m[:, JOINTS.index(f"{side}_elbow")] = (shoulder + wrist) / 2
        for joint in ("wrist", "index", "pinky", "thumb"):
            points_m[:, JOINTS.index(f"{side}_{joint}")] = wrist
    points_m, yaw = to_body_frame(points_m)
    points_px = np.array([160, 100]) + points_m[..., :2] * (120, -120)
    return Track(
        times_us=np.round(np.arange(N) * 1e6 / fps).astype(np.int64),
        points_m=points_m,
        points_px=points_px,
        confidence=np.full((N, J), 0.95),
        presence=np.ones(N),
        yaw=yaw,
        people=np.ones(N, np.int64),
        size=SIZE,
    )


def move(t_s: np.ndarray, *stops: tuple[float, tuple[float, float, float]]) -> np.ndarray:
    """Return a path [N, 3] that visits places at times, at rest between equal places."""
    times, places = [time for time, _ in stops], np.array([place for _, place in stops])
    return np.stack([np.interp(t_s, times, column) for column in places.T], axis=-1)


def test_wave_is_cut_to_its_periods() -> None:
    t_s = np.arange(180) / 30
    wrist = move(t_s, (1.0, REST), (1.5, RAISED), (4.5, RAISED), (5.0, REST))
    wrist[:, 0] += np.where((t_s >= 1.5) & (t_s <= 4.5), 0.1 * np.sin(2 * np.pi * 2 * (t_s - 1.5)), 0)
    part = find_movement(filmed(wrist), name="wave.mp4")
    assert part.sides == ("right",)
    assert abs(part.period_us - 500_000) < 20_000
    assert part.repetitions in (5, 6)
    assert 1_400_000 <= part.start_us < part.stop_us <= 4_600_000


def test_person_at_rest_is_refused() -> None:
    with raises(DataError, "still.mp4"):
        find_movement(filmed(np.tile(REST, (90, 1))), name="still.mp4")
