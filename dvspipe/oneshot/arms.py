"""Arms of rendered people as the pose network would track them in films.

The errors of the pose network are drawn by eye: their sizes were chosen to look like tracks of real films, not fitted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from ..inference.joint_training import JointWindows
from ..inference.joints import JOINT_WINDOW_US, sample_curves
from ..pose import JOINTS, Track, make_track
from ..synthesis import Repertoire, draw_person, plan_clip, pose_person

Floats = NDArray[np.float64]

DRAWN_US = 1_800_000
DRAWN_HZ = 30
PACE = 0.25  # logarithm of the pace
FPS = (10, 30)  # pictures per second

# Errors of the pose network, drawn by eye
TURN = 0.5  # error of the yaw in radians, standard deviation
MAX_TURN = 1.3  # and its maximum
DEPTH_SCALE = (0.5, 1.2)  # depth is mostly underestimated
DEPTH_TILT = 0.45  # change of a joint's depth with its place, standard deviation
NOISY_SHARE = 0.8  # share of windows with noise
JITTER_M = (0.003, 0.02)  # noise that changes between pictures
JITTER_DEPTH = 2.5  # its factor in depth
JITTER_NORM = 1.7  # about sqrt(3): the sum of three pictures has the spread of one
MAX_OFFSET_M = 0.05  # constant error of a joint
OFFSET_DEPTH = 1.5  # its factor in depth
DOUBT = 0.12  # standard deviation of the confidence below 1
FROZEN_SHARE = 0.35  # share of windows with lost joints
MAX_FROZEN = 2  # lost joints of such a window
FROZEN_NOISE_M = 0.05  # noise of a lost joint around its last place
MAX_LOST_CONFIDENCE = 0.5

ARM_JOINTS = ("shoulder", "elbow", "wrist", "index", "pinky")
POSE_JOINTS = (0, 1, 2, 3, 3)  # indices in `Pose.arms`; index and little finger both use the knuckles
ELBOWS_AND_WRISTS = tuple(itertools.product(("right", "left"), ("elbow", "wrist")))


def draw_tracks(repertoire: Repertoire, labels: Iterable[int], rng: np.random.Generator) -> Iterator[tuple[Track, int]]:
    """Yield the exact track of a random person for each label, and the label."""
    times_us = np.arange(0, DRAWN_US + 100_000, 1_000_000 // DRAWN_HZ)
    for label in labels:
        plan = plan_clip(label, rng, DRAWN_US, repertoire)
        pose = pose_person(plan, draw_person(rng), rng, times_us / 1e6, repertoire)

        # Only the arms have places; joints of other parts of the body stay at the origin.
        points = np.zeros((len(times_us), len(JOINTS), 3))
        for side, name in enumerate(("right", "left")):
            for joint, arm_joint in zip(ARM_JOINTS, POSE_JOINTS, strict=True):
                index = JOINTS.index(f"{name}_{joint}")
                points[:, index] = pose.arms[:, side, arm_joint]

        yield make_track(times_us, points), label


def sample_windows(tracks: Iterable[tuple[Track, int]], count: int, rng: np.random.Generator) -> JointWindows:
    """Sample `count` windows of each track, with its label, as the pose network would see them."""
    curves = list[NDArray[np.float32]]()
    labels = list[int]()
    for track, label in tracks:
        for _ in range(count):
            curves.append(cut_curves(simulate_pose(track, rng), 0))
            labels.append(label)

    return JointWindows(np.stack(curves), np.array(labels))


def cut_curves(track: Track, start_us: int) -> NDArray[np.float32]:
    """Return the curves of the window that starts at `start_us`, [JOINT_STEPS, CURVES]."""
    curves, _ = sample_curves(track, np.array([start_us]), np.array([start_us + JOINT_WINDOW_US]))
    return np.asarray(curves[0])


def simulate_pose(track: Track, rng: np.random.Generator) -> Track:
    """Simulate the output of a pose network for part of a track: lower frame rate, rotation, noise and lost joints."""
    # Choose the pace and the rate of the film, and play the track back and forth to fill it.
    pace = float(np.exp(rng.uniform(-PACE, PACE)))
    fps = rng.uniform(*FPS)
    count = max(4, int(JOINT_WINDOW_US * 1e-6 * fps) + 2)
    pictures_us = np.arange(count) * 1e6 / fps
    track_us = track.times_us - track.times_us[0]
    length_us = int(track_us[-1])
    sampled_us = rng.uniform(0, max(0.0, length_us - pace * JOINT_WINDOW_US)) + pace * pictures_us
    sampled_us = length_us - np.abs(length_us - sampled_us % (2 * length_us))

    # Sample the joints at the times of the pictures, and look at the person from another side.
    flat = track.points_m.reshape(len(track_us), -1)
    points = np.stack([np.interp(sampled_us, track_us, column) for column in flat.T], axis=-1).reshape(count, -1, 3)
    points = rotate(points, float(np.clip(rng.normal(0, TURN), -MAX_TURN, MAX_TURN)))
    points[..., 2] *= rng.uniform(*DEPTH_SCALE)

    # A single camera does not see depth: in tracks, it follows the movement of a joint across the picture.
    tilt = rng.normal(0, DEPTH_TILT, (2, points.shape[1]))
    across = points[..., :2] - points[..., :2].mean(axis=0)
    points[..., 2] += np.einsum("njk,kj->nj", across, tilt)

    # Noise changes from picture to picture, or is constant for a joint; depth is the least certain.
    if rng.random() < NOISY_SHARE:
        jitter = rng.normal(size=(count + 2, *points.shape[1:]))
        jitter = (jitter[:-2] + jitter[1:-1] + jitter[2:]) / JITTER_NORM
        points += jitter * rng.uniform(*JITTER_M) * (1, 1, JITTER_DEPTH)
        points += rng.normal(size=points.shape[1:]) * rng.uniform(0, MAX_OFFSET_M) * (1, 1, OFFSET_DEPTH)

    confidence = np.clip(1 - np.abs(rng.normal(0, DOUBT, points.shape[:2])), 0, 1)
    if rng.random() < FROZEN_SHARE:
        _freeze_joints(points, confidence, rng)
    return make_track(pictures_us.astype(np.int64), points, confidence)


def rotate(points: Floats, angle: float) -> Floats:
    """Rotate points [N, J, 3] about the vertical axis by an angle in radians."""
    x, y, z = np.moveaxis(points, -1, 0)
    cos = np.cos(angle)
    sin = np.sin(angle)
    return np.stack([x * cos + z * sin, y, z * cos - x * sin], axis=-1)


def _freeze_joints(points: Floats, confidence: Floats, rng: np.random.Generator) -> None:
    """Freeze one or two elbows or wrists (with their hands) for some time, with low confidence; in place."""
    for number in rng.choice(len(ELBOWS_AND_WRISTS), rng.integers(1, MAX_FROZEN + 1), replace=False):
        side, joint = ELBOWS_AND_WRISTS[number]
        index = JOINTS.index(f"{side}_{joint}")
        start = rng.integers(len(points))
        part = slice(start, start + rng.integers(2, len(points)))

        # A lost joint stays where it was when it was lost, and the hand stays at its wrist.
        lost = points[start, index] + rng.normal(0, FROZEN_NOISE_M, points[part, index].shape)
        moved = lost - points[part, index]
        fingers = ("index", "pinky") if joint == "wrist" else ()
        for name in (joint, *fingers):
            points[part, JOINTS.index(f"{side}_{name}")] += moved
        confidence[part, index] = rng.uniform(0, MAX_LOST_CONFIDENCE)
