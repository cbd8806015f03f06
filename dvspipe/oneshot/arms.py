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

# Exact tracks of rendered people
TRACK_US = 1_800_000  # length in microseconds
TRACK_MARGIN_US = 100_000  # after the end of the gesture
TRACK_HZ = 30

# Film of a person
MAX_LOG_PACE = 0.25  # natural logarithm of the pace: 0.78 to 1.28 times as fast
FPS = (10, 30)  # range of pictures per second

# Errors of the pose network, drawn by eye
YAW_STD_RAD = 0.5  # error of the direction that the person faces
MAX_YAW_RAD = 1.3  # maximum of this error
DEPTH_SCALE = (0.5, 1.2)  # depth is mostly underestimated
DEPTH_TILT_STD = 0.45  # change of a joint's depth with its place
NOISY_SHARE = 0.8  # share of windows with noise
JITTER_STD_M = (0.003, 0.02)  # range of the noise that changes between pictures
JITTER_DEPTH_FACTOR = 2.5  # depth is less certain than the place in the picture
JITTER_NORM = 1.7  # about sqrt(3): the sum of three pictures has the spread of one
MAX_OFFSET_STD_M = 0.05  # error of a joint that is constant in a window
OFFSET_DEPTH_FACTOR = 1.5
DOUBT_STD = 0.12  # how much the confidence is below 1
FROZEN_SHARE = 0.35  # share of windows with lost joints
MAX_FROZEN_JOINTS = 2  # lost joints in such a window
FROZEN_STD_M = 0.05  # noise of a lost joint around its last place
MAX_LOST_CONFIDENCE = 0.5

ARM_JOINTS = ("shoulder", "elbow", "wrist", "index", "pinky")
POSE_JOINTS = (0, 1, 2, 3, 3)  # indices in `Pose.arms`; index and little finger both use the knuckles
ELBOWS_AND_WRISTS = tuple(itertools.product(("right", "left"), ("elbow", "wrist")))


def draw_tracks(repertoire: Repertoire, labels: Iterable[int], rng: np.random.Generator) -> Iterator[tuple[Track, int]]:
    """Yield the exact track of a random person for each label, and the label."""
    times_us = np.arange(0, TRACK_US + TRACK_MARGIN_US, 1_000_000 // TRACK_HZ)
    for label in labels:
        plan = plan_clip(label, rng, TRACK_US, repertoire)
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
    """Simulate the output of a pose network for a window of a film that shows part of an exact track."""
    pictures_us, points = _film(track, rng)

    yaw_error = float(np.clip(rng.normal(0, YAW_STD_RAD), -MAX_YAW_RAD, MAX_YAW_RAD))
    points = _distort_depth(rotate(points, yaw_error), rng)
    if rng.random() < NOISY_SHARE:
        points = _add_noise(points, rng)

    confidence = np.clip(1 - np.abs(rng.normal(0, DOUBT_STD, points.shape[:2])), 0, 1)
    if rng.random() < FROZEN_SHARE:
        points, confidence = _freeze_joints(points, confidence, rng)

    return make_track(pictures_us.astype(np.int64), points, confidence)


def _film(track: Track, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Film a track at a random pace and frame rate: return the times of the pictures and their joints [N, J, 3]."""
    pace = float(np.exp(rng.uniform(-MAX_LOG_PACE, MAX_LOG_PACE)))
    fps = rng.uniform(*FPS)
    count = int(JOINT_WINDOW_US * 1e-6 * fps) + 2  # the last picture is after the end of the window
    pictures_us = np.arange(count, dtype=np.float64) * 1e6 / fps

    # Begin at a random time of the track. A track shorter than the film is played back and forth.
    track_us = track.times_us - track.times_us[0]
    length_us = int(track_us[-1])
    start_us = rng.uniform(0, max(0.0, length_us - pace * JOINT_WINDOW_US))
    played_us = start_us + pace * pictures_us
    sampled_us = length_us - np.abs(length_us - played_us % (2 * length_us))

    coordinates = track.points_m.reshape(len(track_us), -1).T
    sampled = [np.interp(sampled_us, track_us, coordinate) for coordinate in coordinates]
    points: Floats = np.stack(sampled, axis=-1).reshape(count, -1, 3)
    return pictures_us, points


def _distort_depth(points: Floats, rng: np.random.Generator) -> Floats:
    """Return the joints with the depth that a single camera estimates."""
    points = points.copy()
    points[..., 2] *= rng.uniform(*DEPTH_SCALE)

    # A single camera does not see depth: in tracks, it follows the movement of a joint across the picture.
    tilt = rng.normal(0, DEPTH_TILT_STD, (2, points.shape[1]))
    across = points[..., :2] - points[..., :2].mean(axis=0)
    points[..., 2] += np.einsum("njk,kj->nj", across, tilt)
    return points


def _add_noise(points: Floats, rng: np.random.Generator) -> Floats:
    """Return the joints with noise that changes slowly between pictures, and an error that is constant for a joint."""
    # The sum of three consecutive random numbers: neighbouring pictures have similar errors.
    drawn = rng.normal(size=(len(points) + 2, *points.shape[1:]))
    jitter = (drawn[:-2] + drawn[1:-1] + drawn[2:]) / JITTER_NORM
    points = points + jitter * rng.uniform(*JITTER_STD_M) * (1, 1, JITTER_DEPTH_FACTOR)

    offset = rng.normal(size=points.shape[1:])
    return points + offset * rng.uniform(0, MAX_OFFSET_STD_M) * (1, 1, OFFSET_DEPTH_FACTOR)


def _freeze_joints(points: Floats, confidence: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Freeze one or two elbows or wrists (with their hands) for some time, with low confidence."""
    points = points.copy()
    confidence = confidence.copy()
    for number in rng.choice(len(ELBOWS_AND_WRISTS), rng.integers(1, MAX_FROZEN_JOINTS + 1), replace=False):
        side, joint = ELBOWS_AND_WRISTS[number]
        index = JOINTS.index(f"{side}_{joint}")
        start = rng.integers(len(points))
        frozen = slice(start, start + rng.integers(2, len(points)))

        # A lost joint stays where it was when it was lost, and the hand stays at its wrist.
        lost = points[start, index] + rng.normal(0, FROZEN_STD_M, points[frozen, index].shape)
        shift = lost - points[frozen, index]
        fingers = ("index", "pinky") if joint == "wrist" else ()
        for name in (joint, *fingers):
            points[frozen, JOINTS.index(f"{side}_{name}")] += shift
        confidence[frozen, index] = rng.uniform(0, MAX_LOST_CONFIDENCE)

    return points, confidence


def rotate(points: Floats, angle: float) -> Floats:
    """Rotate points [N, J, 3] about the vertical axis by an angle in radians."""
    x, y, z = np.moveaxis(points, -1, 0)
    cos = np.cos(angle)
    sin = np.sin(angle)
    return np.stack([x * cos + z * sin, y, z * cos - x * sin], axis=-1)
