"""Movements: arms over time, and how they are put together.

A movement is a function of time. It returns the arms in the space of each arm: metres outwards, up and forwards from
the shoulder, so that both sides share the code. Angles are radians, times seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .people import LEFT, RIGHT, Floats, Person, solve_arm, unit

DOWN, OUT, FORWARD = np.array([0.0, -1, 0]), np.array([1.0, 0, 0]), np.array([0.0, 0, 1])
TO_CAMERA, INWARD = np.array([0.0, 0, 1]), np.array([-1.0, 0, 0])
PAUSES_HZ = 0.08  # of a gesture in progress


@dataclass(frozen=True)
class Arm:
    """One arm over T moments, in its own space [T, 3]: outwards, up, forwards from the shoulder.

    Args:
        elbow: Position of the elbow.
        wrist: Position of the wrist.
        hand: Direction of the hand, of any length.
        palm: Normal vector of the palm, [3] or [T, 3].
        bend: Bend of the fingers, 0 stretched, 1 a fist; [T] or a constant.
        spread: Angle between neighbouring fingers; [T] or a constant.
    """

    elbow: Floats
    wrist: Floats
    hand: Floats
    palm: Floats
    bend: Floats | float = 0.15
    spread: Floats | float = 0.06


@dataclass(frozen=True)
class Motion:
    """A movement over T moments.

    Args:
        right: The performer's right arm.
        left: The performer's left arm.
        beat: [T] in -1..1, which the body follows slightly; or a constant.
        follow: How much the body follows, 1 on average.
        lean: [T] angle of the torso to the right of the picture, or a constant.
        bow: [T] angle of the torso towards the camera, or a constant.
        bob_m: [T] height of the body, or a constant.
        lift_m: [T] height of the shoulders, or a constant.
        aside_m: [T] place of the body to the right in the picture, or a constant.
    """

    right: Arm
    left: Arm
    beat: Floats | float = 0.0
    follow: float = 1.0
    lean: Floats | float = 0.0
    bow: Floats | float = 0.0
    bob_m: Floats | float = 0.0
    lift_m: Floats | float = 0.0
    aside_m: Floats | float = 0.0


Movement = Callable[[Floats, Person, np.random.Generator], Motion]


def wander(t: Floats, rng: np.random.Generator) -> Floats:
    """Return a slow random curve [T] around 0, mostly within -1..1."""
    rates, starts = rng.uniform(0.15, 0.9, 3), rng.uniform(0, 2 * np.pi, 3)
    return np.asarray(np.sin(2 * np.pi * rates * t[:, None] + starts).sum(axis=1) / 1.7)


def smooth_step(t: Floats, start_s: float, end_s: float) -> Floats:
    """Return 0 until the start, 1 from the end on, and a smooth transition between them."""
    share = np.clip((t - start_s) / (end_s - start_s), 0, 1)
    return share * share * (3 - 2 * share)


def draw_phase(t: Floats, person: Person, rng: np.random.Generator, fastest_s: float, slowest_s: float) -> Floats:
    """Return the phase [T] of a repeated movement: random start, the person's pace, a drifting rate, maybe a pause."""
    pace = np.clip(person.pace + rng.normal(0, 0.25), 0, 1)
    period_s = fastest_s + pace * (slowest_s - fastest_s)
    rate = (1 + 0.15 * wander(t, rng)) / period_s
    for _ in range(rng.poisson(PAUSES_HZ * (t[-1] - t[0]))):
        stop_s, length_s, slow_s = rng.uniform(t[0], t[-1]), rng.uniform(0.1, 0.5), rng.uniform(0.05, 0.2)
        resume_s = stop_s + slow_s + length_s
        rate *= 1 - smooth_step(t, stop_s, stop_s + slow_s) * (1 - smooth_step(t, resume_s, resume_s + slow_s))
    turns = np.concatenate([[0], np.cumsum((rate[1:] + rate[:-1]) / 2 * np.diff(t))])
    return np.asarray(2 * np.pi * (rng.random() + turns))


def draw_size(t: Floats, person: Person, rng: np.random.Generator, low: float, high: float) -> Floats:
    """Return an amplitude [T] within the range, scaled by the person's, that drifts from cycle to cycle."""
    return person.size * rng.uniform(low, high) * (1 + 0.12 * wander(t, rng))


def ease(phase: Floats, sharp: float) -> Floats:
    """Return a cosine that is flat (sharp > 0) or steep (sharp < 0) at its ends; monotonic for |sharp| <= 0.4."""
    return np.cos(phase + sharp * np.sin(2 * phase))


def track(t: Floats, *coordinates: Floats | float) -> Floats:
    """Return points [T, 3] from three coordinates, each constant or [T]."""
    return np.stack([np.broadcast_to(np.asarray(c, float), t.shape) for c in coordinates], axis=-1)


def reach_for(person: Person, wrist: Floats, pole: Floats, hand: Floats | None = None, palm: Floats = INWARD) -> Arm:
    """Return the arm with this wrist and the elbow on the side of `pole`; by default the hand is in line with it."""
    elbow, reached = solve_arm(person, wrist, pole)
    return Arm(elbow, reached, reached - elbow if hand is None else np.broadcast_to(hand, reached.shape), palm)


def swing_arm(person: Person, upper: Floats, fore: Floats) -> Arm:
    """Return the arm whose bones have these directions [T, 3], with the palm to the camera."""
    elbow = person.upper_arm_m * unit(upper)
    return reach_for(person, elbow + person.forearm_m * unit(fore), elbow, palm=TO_CAMERA)


def draw_rest(t: Floats, person: Person, rng: np.random.Generator) -> Arm:
    """Return an arm that does not take part: it hangs down, or is in front of the belly."""
    reach, sway = person.reach_m, 0.012 * wander(t, rng)
    if rng.random() < 0.8:
        wrist = track(t, rng.uniform(0.05, 0.25) * reach + sway, -0.97 * reach, rng.uniform(0.0, 0.25) * reach + sway)
        arm = reach_for(person, wrist, OUT - 0.5 * FORWARD)
    else:
        aside = -0.6 * person.shoulders_m * rng.uniform(0.2, 1)
        arm = reach_for(
            person, track(t, aside, rng.uniform(-0.75, -0.5) * reach + sway, 0.2), OUT + DOWN, palm=-TO_CAMERA
        )
    return replace(arm, bend=rng.uniform(0.1, 0.5))


def sides(side: int, leading: Arm, other: Arm) -> tuple[Arm, Arm]:
    """Return the right and the left arm."""
    return (leading, other) if side == RIGHT else (other, leading)


def leading(person: Person) -> int:
    """Return the side that leads where a gesture leaves it open."""
    return LEFT if person.left_handed else RIGHT
