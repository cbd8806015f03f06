"""Blend motions, and convert a motion to the joints of a body, within joint limits.

All values are over T times. The arms of a motion are in arm coordinates, the same for both sides: outwards, up and
forwards from the shoulder. A pose is in the person's coordinates: x to the right of the picture, y up, z towards the
camera; see `people`. In between, the right arm is mirrored: its outwards is -x.

Random curves are drawn in a fixed order, which determines the pose of a seed. Their sizes are chosen by eye.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .motion import Arm, Motion, track, wander
from .people import (
    LEFT,
    PALM,
    RIGHT,
    TORSO_M,
    WRIST,
    WRIST_LIMIT,
    Floats,
    Person,
    Pose,
    rest_body,
    solve_arm,
    unit,
    within_cone,
)

_UP, _FORWARDS = 1, 2  # coordinates of arms and of persons; the first is outwards or to the right

_TREMOR_M = 0.002
_TREMOR_PACE = 10  # times as fast as other curves: 1.5 to 9 Hz
_COLLAR_BONE_M = 0.02  # rise of the shoulder with a horizontal arm; 4 times as much with the arm overhead
_TORSO_RISE = 0.5  # rise of the torso's upper corners, relative to the shoulder joints
_HEAD_RAD = 0.05

# Motion of the body: random sway, a part in the beat of the gesture, and reaction to the wrists.
_SWAY_SCALES = (0.2, 1.3)  # calm to restless people
_SWAY_RAD = 0.015  # lean and bow
_SWAY_TWIST_RAD = 0.03
_SWAY_M = 0.010
_BEAT_RAD = 0.008
_BEAT_M = 0.003
_MAX_TWIST_RAD = 0.12  # when one wrist is an arm's length in front of the other


def blend(rest: Motion, performed: Motion, now: NDArray[np.int64], weight: Floats) -> Motion:
    """Blend `performed` into `rest` at the time indices `now` [N], with weights from 0 to 1, [N]."""
    T = len(rest.right.wrist)

    def mix(before: Floats | float, after: Floats | float, *axes: int) -> Floats:
        mixed = np.array(np.broadcast_to(before, (T, *axes)), float)
        mixed[now] += _add_axes(weight, len(axes)) * (after - mixed[now])
        return mixed

    def mix_arms(before: Arm, after: Arm) -> Arm:
        # Directions may have any length; as unit vectors, they mix by the weight alone.
        return Arm(
            elbow=mix(before.elbow, after.elbow, 3),
            wrist=mix(before.wrist, after.wrist, 3),
            hand=mix(unit(before.hand), unit(after.hand), 3),
            palm=mix(unit(before.palm), unit(after.palm), 3),
            bend=mix(before.bend, after.bend),
            spread=mix(before.spread, after.spread),
        )

    return Motion(
        right=mix_arms(rest.right, performed.right),
        left=mix_arms(rest.left, performed.left),
        beat=mix(rest.beat, performed.follow * performed.beat),
        lean=mix(rest.lean, performed.lean),
        bow=mix(rest.bow, performed.bow),
        bob_m=mix(rest.bob_m, performed.bob_m),
        lift_m=mix(rest.lift_m, performed.lift_m),
        aside_m=mix(rest.aside_m, performed.aside_m),
    )


def pose(motion: Motion, person: Person, rng: np.random.Generator, t: Floats) -> Pose:
    """Return the joints of a motion at the times `t` [T] in seconds, within joint limits.

    Joints move with the body. Palms do not: they keep their direction on an upright body, since most motions turn the
    body by a few degrees only.
    """
    T = len(t)
    arms = np.empty((T, 2, 4, 3))  # side, joint, coordinate (x, y, z)
    palms = np.empty((T, 2, 3))  # side, coordinate
    bend = np.empty((T, 2))
    spread = np.empty((T, 2))
    lifts_m = np.empty((T, 2))  # rise of each shoulder

    for side, arm in ((RIGHT, motion.right), (LEFT, motion.left)):
        # Elbow, wrist and knuckles are relative to the shoulder.
        tremor = _TREMOR_M * np.stack([wander(_TREMOR_PACE * t, rng) for _ in range(3)], axis=-1)
        elbow, wrist = solve_arm(person, arm.wrist + tremor, arm.elbow)
        hand = within_cone(arm.hand, unit(wrist - elbow), WRIST_LIMIT)
        knuckles = wrist + PALM * person.hand_m * hand

        # The collar bone rises with the upper arm: the share is 0 hanging down, 1 horizontal, 2 overhead.
        raised = 1 + elbow[:, _UP] / person.upper_arm_m
        lifts_m[:, side] = motion.lift_m + _COLLAR_BONE_M * raised**2

        # The shoulder is relative to the middle between the resting shoulders, and so are all joints of the pose.
        shoulder = track(t, person.shoulders_m / 2, lifts_m[:, side], 0.0)
        joints = np.stack([shoulder, shoulder + elbow, shoulder + wrist, shoulder + knuckles], axis=1)
        normal = arm.palm - (arm.palm * hand).sum(axis=-1, keepdims=True) * hand

        mirror = np.array([-1.0 if side == RIGHT else 1.0, 1, 1])
        arms[:, side] = mirror * joints
        palms[:, side] = mirror * unit(normal)
        bend[:, side] = arm.bend
        spread[:, side] = arm.spread

    # The torso stretches when shoulders rise.
    rest_torso, rest_head = rest_body(person)
    torso = np.repeat(rest_torso[None], T, axis=0)
    torso[:, [RIGHT, LEFT], _UP] += _TORSO_RISE * lifts_m

    # The head turns on its own, about the chin.
    chin = rest_head[0]
    head_lean = _HEAD_RAD * wander(t, rng)
    head_bow = _HEAD_RAD * wander(t, rng)
    head = chin + _turn(np.repeat(rest_head[None] - chin, T, axis=0), head_lean, head_bow, 0.0)

    move = _draw_body_motion(t, motion, arms, person, rng)
    return Pose(arms=move(arms), palms=palms, bend=bend, spread=spread, torso=move(torso), head=move(head))


def _draw_body_motion(
    t: Floats, motion: Motion, arms: Floats, person: Person, rng: np.random.Generator
) -> Callable[[Floats], Floats]:
    """Draw the rigid motion of the body about the hips: motion of the gesture, reaction to the arms, and sway.

    Returns:
        Function that moves points [T, ..., 3].
    """
    # The shoulder of the wrist in front moves forwards, too.
    right_ahead = (arms[:, RIGHT, WRIST, _FORWARDS] - arms[:, LEFT, WRIST, _FORWARDS]) / person.reach_m

    sway_scale = rng.uniform(*_SWAY_SCALES)
    lean = motion.lean + _SWAY_RAD * sway_scale * wander(t, rng) + rng.normal(0, _BEAT_RAD) * motion.beat
    bow = motion.bow + _SWAY_RAD * sway_scale * wander(t, rng) + rng.normal(0, _BEAT_RAD) * motion.beat
    twist = rng.uniform(0.0, _MAX_TWIST_RAD) * right_ahead + _SWAY_TWIST_RAD * sway_scale * wander(t, rng)
    aside_m = motion.aside_m + _SWAY_M * sway_scale * wander(t, rng)
    up_m = motion.bob_m + rng.normal(0, _BEAT_M) * motion.beat

    hips = np.array([0, -TORSO_M, 0])
    shift = track(t, aside_m, up_m, 0.0)

    def move(points: Floats) -> Floats:
        turned = _turn(points - hips, lean, bow, twist)
        return np.asarray(turned + hips + _add_axes(shift, points.ndim - 2))

    return move


def _turn(points: Floats, lean: Floats, bow: Floats, twist: Floats | float) -> Floats:
    """Rotate points [T, ..., 3] about the origin by angles, each [T] or a constant: twist, then bow, then lean."""

    def over_points(angle: Floats | float) -> Floats:
        return _add_axes(np.broadcast_to(angle, len(points)), points.ndim - 2)

    # The twist is about the body's own axis, so it comes first, while this axis is vertical: front goes to the right.
    # A bow takes the top to the camera. The lean is in the plane of the picture, so it is last: top goes to the right.
    x, y, z = np.moveaxis(points, -1, 0)
    x, z = _rotate(x, z, over_points(twist))
    z, y = _rotate(z, y, over_points(bow))
    x, y = _rotate(x, y, over_points(lean))
    return np.stack([x, y, z], axis=-1)


def _rotate(a: Floats, b: Floats, angle: Floats) -> tuple[Floats, Floats]:
    """Rotate in the plane of two coordinates: the axis of `b` turns towards the axis of `a`."""
    return a * np.cos(angle) + b * np.sin(angle), b * np.cos(angle) - a * np.sin(angle)


def _add_axes(values: Floats, axes: int) -> Floats:
    """Insert axes after the first, time: NumPy would align the last axes of values and points."""
    return np.expand_dims(values, tuple(range(1, 1 + axes)))
