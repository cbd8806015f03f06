"""Arms of rendered people as the pose network would track them in films.

The errors of the pose network are drawn: their ranges cover the tracks of films of strangers, but are not fitted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from joint_training import JointWindows
from numpy.typing import NDArray

from dvspipe.people import JOINTS, OUTWARDS, Track, make_track
from dvspipe.people.films import JOINT_LOOKS
from dvspipe.people.joints import JOINT_WINDOW_US, sample_curves
from dvspipe.people.tracking import ON_TIME
from dvspipe.synthesis import Repertoire, draw_person, plan_clip, pose_person

Floats = NDArray[np.float64]

# Exact tracks of rendered people
TRACK_US = 1_800_000  # length in microseconds
TRACK_MARGIN_US = 100_000  # after the end of the gesture
TRACK_HZ = 30

# Film of a person
MAX_LOG_PACE = 0.25  # natural logarithm of the pace: 0.78 to 1.28 times as fast
FPS = (8, 30)  # range of pictures per second of a film
STILL_SHARE = 0.4  # share of windows in which the tracker skips pictures while nothing moves
STILL_M = 0.015  # movement of a joint that the tracker sees
GAP_SHARE = 0.1  # share of windows in which the person is lost for some pictures

# Errors of the pose network, in the ranges of tracks of films
YAW_STD_RAD = 0.4  # error of the direction that the person faces
MAX_YAW_RAD = 1.2  # maximum of this error
DEPTH_LOG_RANGE = (-0.7, 0.75)  # logarithm of the factor of the depth: raised wrists are up to 0.9 arm lengths in front
DEPTH_TILT_STD = 0.5  # change of a joint's depth with its place
JITTER_STD_M = (0.002, 0.02)  # range of the noise that changes between pictures; its logarithm is uniform
LOST_JITTER_M = 0.06  # the same of a joint that is not visible
MAX_BLUR = 0.35  # noise of a moving joint, relative to its way between two pictures
LOST_OFFSET_M = 0.2  # maximum spread of the constant error of a joint that is not visible
JITTER_DEPTH_FACTOR = 2.5  # depth is less certain than the place in the picture
JITTER_NORM = 1.7  # about sqrt(3): the sum of three pictures has the spread of one
MAX_OFFSET_STD_M = 0.05  # error of a joint that is constant in a window
OFFSET_DEPTH_FACTOR = 1.5
STIFF_HANDS = (0.05, 1.0)  # the network turns hands less than people do
DOUBT_STD = 0.03  # how much the confidence of a visible joint is below 1
DOUBTFUL_SHARE = 0.3  # share of windows with doubtful joints
CUT_SHARE = 0.5  # share of windows that show only the upper part of the body
CUT_M = (-0.6, -0.1)  # lower edge of such a picture, from the shoulders
CUT_WIDTH_M = 0.04
FROZEN_SHARE = 0.25  # share of windows with lost joints
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
        plan = plan_clip(label, rng, TRACK_US)
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
    looks_us, points = _film(track, rng)

    yaw_error = float(np.clip(rng.normal(0, YAW_STD_RAD), -MAX_YAW_RAD, MAX_YAW_RAD))
    points = _distort_depth(rotate(_stiffen_hands(points, rng), yaw_error), rng)
    confidence = _draw_confidence(points, rng)
    points = _add_noise(points, confidence, rng)
    if rng.random() < FROZEN_SHARE:
        points, confidence = _freeze_joints(points, confidence, rng)

    return make_track(looks_us.astype(np.int64), points, confidence)


def _film(track: Track, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Film a track at a random pace and frame rate: return the times of the looks and the joints, [N, J, 3]."""
    pace = float(np.exp(rng.uniform(-MAX_LOG_PACE, MAX_LOG_PACE)))
    period_us = 1e6 / rng.uniform(*FPS)
    period_us *= np.ceil(ON_TIME * 1e6 / JOINT_LOOKS.max_fps / period_us)
    count = int(JOINT_WINDOW_US / period_us) + 2  # the last look is after the end of the window
    looks_us = np.arange(count) * period_us - rng.uniform(0, period_us)

    # Begin at a random time of the track. A track shorter than the film is played back and forth.
    track_us = track.times_us - track.times_us[0]
    length_us = int(track_us[-1])
    start_us = rng.uniform(0, max(0.0, length_us - pace * JOINT_WINDOW_US))
    played_us = start_us + pace * looks_us
    sampled_us = length_us - np.abs(length_us - np.abs(played_us) % (2 * length_us))

    coordinates = track.points_m.reshape(len(track_us), -1).T
    sampled = [np.interp(sampled_us, track_us, coordinate) for coordinate in coordinates]
    points: Floats = np.stack(sampled, axis=-1).reshape(count, -1, 3)

    looked = _select_looks(points, rng)
    return looks_us[looked], points[looked]


def _select_looks(points: Floats, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which pictures the tracker looks at: not each one if nothing moves, none while the person is lost."""
    looked = np.ones(len(points), np.bool_)
    if rng.random() < STILL_SHARE:
        last = 0
        for picture in range(1, len(points) - 1):
            moved_m = np.abs(points[picture] - points[last]).max()
            looked[picture] = picture - last > 1 or moved_m > STILL_M
            last = picture if looked[picture] else last

    if rng.random() < GAP_SHARE:
        start = rng.integers(len(points))
        looked[start : start + rng.integers(1, 1 + len(points) // 3)] = False
        looked[0] = True
    return looked


def _stiffen_hands(points: Floats, rng: np.random.Generator) -> Floats:
    """Return the joints with hands that turn less."""
    points = points.copy()
    turned = rng.uniform(*STIFF_HANDS)
    for side in OUTWARDS:
        fingers = [JOINTS.index(f"{side}_{name}") for name in ("index", "pinky")]
        hand = points[:, fingers] - points[:, [JOINTS.index(f"{side}_wrist")]]
        points[:, fingers] -= (1 - turned) * (hand - hand.mean(axis=0))
    return points


def _distort_depth(points: Floats, rng: np.random.Generator) -> Floats:
    """Return the joints with the depth that a single camera estimates."""
    points = points.copy()
    points[..., 2] *= np.exp(rng.uniform(*DEPTH_LOG_RANGE))

    # A single camera does not see depth: in tracks, it follows the movement of a joint across the picture.
    tilt = rng.normal(0, DEPTH_TILT_STD, (2, points.shape[1]))
    across = points[..., :2] - points[..., :2].mean(axis=0)
    points[..., 2] += np.einsum("njk,kj->nj", across, tilt)
    return points


def _draw_confidence(points: Floats, rng: np.random.Generator) -> Floats:
    """Draw the confidence of the joints, [N, J]: low below the edge of the picture, and of doubtful joints."""
    confidence = 1 - np.abs(rng.normal(0, DOUBT_STD, points.shape[:2]))
    if rng.random() < DOUBTFUL_SHARE:
        confidence *= rng.uniform(0.2, 1, points.shape[1])
        confidence *= 1 - np.abs(rng.normal(0, 0.15, points.shape[:2]))

    if rng.random() < CUT_SHARE:
        above_m = points[..., 1] - rng.uniform(*CUT_M)
        visible = 1 / (1 + np.exp(-np.clip(above_m / CUT_WIDTH_M, -30, 30)))
        unseen = rng.uniform(0, 1) ** 2 * rng.uniform(0.3, 1, points.shape[1])
        confidence *= unseen + (1 - unseen) * visible

    return np.asarray(np.clip(confidence, 0, 1))


def _add_noise(points: Floats, confidence: Floats, rng: np.random.Generator) -> Floats:
    """Return the joints with noise that changes slowly between pictures, and an error that is constant for a joint."""
    # The sum of three consecutive random numbers: neighbouring pictures have similar errors.
    drawn = rng.normal(size=(len(points) + 2, *points.shape[1:]))
    slow = (drawn[:-2] + drawn[1:-1] + drawn[2:]) / JITTER_NORM
    jitter = slow if rng.random() < 0.5 else drawn[1:-1]

    sizes_m = np.exp(rng.uniform(*np.log(JITTER_STD_M))) + rng.uniform(0, LOST_JITTER_M) * (1 - confidence)
    speed_m = np.linalg.norm(np.gradient(points, axis=0), axis=-1)  # moving hands are blurred
    sizes_m = sizes_m + rng.uniform(0, MAX_BLUR) * speed_m
    points = points + jitter * sizes_m[..., None] * (1, 1, JITTER_DEPTH_FACTOR)

    # A joint that is not visible may be anywhere.
    offset = rng.normal(size=points.shape[1:])
    offsets_m = rng.uniform(0, MAX_OFFSET_STD_M) + rng.uniform(0, LOST_OFFSET_M) * (1 - confidence)
    return points + offset * offsets_m[..., None] * (1, 1, OFFSET_DEPTH_FACTOR)


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
