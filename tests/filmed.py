"""Films of gestures with stored tracks, so no test needs the pose network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dvspipe.events import SensorSize
from dvspipe.people import JOINTS, Track
from dvspipe.people.joints import JointClassifier, find_joints
from dvspipe.video.frames import Frame
from dvspipe.video.writing import write_video

FPS, SECONDS = 20, 4.0
SIZE = SensorSize(width=160, height=120)


def included() -> JointClassifier:
    """Return the joint network of the included classifier."""
    joints = find_joints("gesture")
    assert joints is not None
    return joints


def make_film(path: Path, brightness: int = 90) -> Path:
    """Write a grey film of 4 s."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times_us = np.round(np.arange(0, SECONDS, 1 / FPS) * 1e6).astype(int)
    write_video(path, [Frame(int(t_us), np.full((120, 160), brightness, np.uint8)) for t_us in times_us])
    return path


def make_track(size: float, axis: int) -> Track:
    """Return a track of 4 s: the right hand moves at 1 Hz along an axis, by `size` metres."""
    t_s = np.arange(0, SECONDS, 1 / FPS)
    N, J = len(t_s), len(JOINTS)
    points = np.zeros((N, J, 3))
    moves = np.zeros((N, 3))
    moves[:, axis] = size * np.sin(2 * np.pi * t_s)
    for side, x, high in (("left", 0.17, -0.5), ("right", -0.17, 0.15)):
        points[:, JOINTS.index(f"{side}_shoulder")] = [x, 0, 0]
        points[:, JOINTS.index(f"{side}_elbow")] = [1.3 * x, -0.25, 0.05]
        for joint, further in (("wrist", 0.0), ("index", 0.08), ("pinky", 0.07), ("thumb", 0.05)):
            place = np.array([1.4 * x, high + further, 0.2]) + (moves if side == "right" else 0)
            points[:, JOINTS.index(f"{side}_{joint}")] = place
        points[:, JOINTS.index(f"{side}_hip")] = [x / 2, -0.5, 0]
    pixels = points[..., :2] * (60, -60) + (80, 60)
    seen = np.ones((N, J))
    times_us = np.round(t_s * 1e6).astype(np.int64)
    return Track(times_us, points, pixels, seen, np.ones(N), np.zeros(N), np.ones(N, np.int64), SIZE)


def without_person(track: Track, away: NDArray[np.bool_]) -> Track:
    """Return the track with a person who is missing in some pictures."""
    points_m, points_px, confidence, yaw = map(np.array, (track.points_m, track.points_px, track.confidence, track.yaw))
    for values in (points_m, points_px, confidence, yaw):
        values[away] = np.nan
    presence = np.where(away, 0.1, 1.0)
    return replace(track, presence=presence, points_m=points_m, points_px=points_px, confidence=confidence, yaw=yaw)
