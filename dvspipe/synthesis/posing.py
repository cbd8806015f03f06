"""Convert a motion to the joints of a body, within joint limits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .motion import Arm, Motion, track, wander
from .people import (
    LEFT,
    NECK_M,
    PALM,
    RIGHT,
    TORSO_M,
    WRIST_LIMIT,
    Floats,
    Person,
    Pose,
    rest_body,
    solve_arm,
    unit,
    within_cone,
)

_TREMOR_M = 0.002  # amplitude of the tremor, at 1.5 to 9 Hz


def blend(rest: Motion, performed: Motion, now: NDArray[np.int64], weight: Floats) -> Motion:
    """Blend `performed` into `rest` at the time indices `now`, with a weight from 0 to 1."""
    length = len(rest.right.wrist)

    def mixed(before: Floats | float, after: Floats | float, *axes: int) -> Floats:
        blend = np.array(np.broadcast_to(before, (length, *axes)), float)
        blend[now] += weight.reshape(-1, *[1] * len(axes)) * (after - blend[now])
        return blend

    def arm(before: Arm, after: Arm) -> Arm:
        return Arm(
            elbow=mixed(before.elbow, after.elbow, 3),
            wrist=mixed(before.wrist, after.wrist, 3),
            hand=mixed(unit(before.hand), unit(after.hand), 3),
            palm=mixed(unit(before.palm), unit(after.palm), 3),
            bend=mixed(before.bend, after.bend),
            spread=mixed(before.spread, after.spread),
        )

    return Motion(
        right=arm(rest.right, performed.right),
        left=arm(rest.left, performed.left),
        beat=mixed(rest.beat, performed.follow * performed.beat),
        lean=mixed(rest.lean, performed.lean),
        bow=mixed(rest.bow, performed.bow),
        bob_m=mixed(rest.bob_m, performed.bob_m),
        lift_m=mixed(rest.lift_m, performed.lift_m),
        aside_m=mixed(rest.aside_m, performed.aside_m),
    )


def pose(motion: Motion, person: Person, rng: np.random.Generator, t: Floats) -> Pose:
    """Return the joints of a motion within joint limits; the body moves along."""
    arms = np.empty((len(t), 2, 4, 3))
    palms = np.empty((len(t), 2, 3))
    lifts = np.empty((len(t), 2))

    for side, arm in ((RIGHT, motion.right), (LEFT, motion.left)):
        mirror = np.array([-1.0 if side == RIGHT else 1.0, 1, 1])
        tremor = _TREMOR_M * np.stack([wander(10 * t, rng) for _ in range(3)], axis=-1)
        elbow, wrist = solve_arm(person, arm.wrist + tremor, arm.elbow)
        hand = within_cone(arm.hand, unit(wrist - elbow), WRIST_LIMIT)

        collar_bone_m = 0.02 * (1 + elbow[:, 1] / person.upper_arm_m) ** 2  # the collar bone moves with the upper arm
        lifts[:, side] = motion.lift_m + collar_bone_m

        shoulder = track(t, person.shoulders_m / 2, lifts[:, side], 0.0)
        knuckles = wrist + PALM * person.hand_m * hand
        joints = np.stack([shoulder, *(shoulder + joint for joint in (elbow, wrist, knuckles))], axis=1)
        arms[:, side] = mirror * joints
        palms[:, side] = mirror * unit(arm.palm - (arm.palm * hand).sum(axis=-1, keepdims=True) * hand)

    # The torso bends when shoulders rise, and the head nods on its own; then the body moves with everything on it.
    torso, head = (np.repeat(part[None], len(t), axis=0) for part in rest_body(person))
    torso[:, :2, 1] += 0.5 * lifts
    nod = np.array([0, NECK_M, 0]) + _turn(head - [0, NECK_M, 0], 0.05 * wander(t, rng), 0.05 * wander(t, rng), 0.0)
    move = _body_motion(t, motion, arms, person, rng)

    return Pose(
        arms=move(arms),
        palms=palms,
        bend=np.stack([np.broadcast_to(arm.bend, t.shape) for arm in (motion.right, motion.left)], axis=1),
        spread=np.stack([np.broadcast_to(arm.spread, t.shape) for arm in (motion.right, motion.left)], axis=1),
        torso=move(torso),
        head=move(nod),
    )


def _body_motion(
    t: Floats, motion: Motion, arms: Floats, person: Person, rng: np.random.Generator
) -> Callable[[Floats], Floats]:
    """Return the rigid motion of the body about the hips: motion of the gesture, reaction to the arms, and sway."""
    forward = (arms[:, RIGHT, 2, 2] - arms[:, LEFT, 2, 2]) / person.reach_m  # right wrist relative to the left
    lively = rng.uniform(0.2, 1.3)
    lean = motion.lean + 0.015 * lively * wander(t, rng) + rng.normal(0, 0.008) * motion.beat
    bow = motion.bow + 0.015 * lively * wander(t, rng) + rng.normal(0, 0.008) * motion.beat
    twist = rng.uniform(0.0, 0.12) * forward + 0.03 * lively * wander(t, rng)
    aside = motion.aside_m + 0.010 * lively * wander(t, rng)
    up = motion.bob_m + rng.normal(0, 0.003) * motion.beat
    shift = track(t, aside, up, 0.0)

    def move(points: Floats) -> Floats:
        hips = np.array([0, -TORSO_M, 0])
        turned = _turn(points - hips, lean, bow, twist)
        return np.asarray(turned + hips + shift.reshape(len(t), *[1] * (points.ndim - 2), 3))

    return move


def _turn(points: Floats, lean: Floats, bow: Floats, twist: Floats | float) -> Floats:
    """Rotate points [T, ..., 3]: twist about the vertical, bow towards the camera, and lean to the right, [T] each."""
    angles = (np.broadcast_to(angle, len(points)) for angle in (lean, bow, twist))
    lean, bow, twist = (angle.reshape(-1, *[1] * (points.ndim - 2)) for angle in angles)
    x, y, z = np.moveaxis(points, -1, 0)
    x, z = x * np.cos(twist) + z * np.sin(twist), z * np.cos(twist) - x * np.sin(twist)
    y, z = y * np.cos(bow) - z * np.sin(bow), z * np.cos(bow) + y * np.sin(bow)
    return np.stack([x * np.cos(lean) + y * np.sin(lean), y * np.cos(lean) - x * np.sin(lean), z], axis=-1)
