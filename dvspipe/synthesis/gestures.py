"""Rendered videos of the eleven gestures of IBM's DVS128 Gesture data set, single or in sequence.

The classes are those of Amir et al., "A Low Power, Fully Event-Based Gesture Recognition System", CVPR 2017. "Right"
and "clockwise" are seen from the performer, who faces the camera: the right hand is on the left of the picture, and a
clockwise circle goes up, left and down in the picture.

A movement is a function of time. It returns the arms in the space of each arm: metres outwards, up and forwards from
the shoulder, so that both sides share the code. Angles are radians, times seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..events import SensorSize
from ..frames import Frame
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
)  # fmt: skip
from .rendering import render
from .scenes import LIGHTS, LightKind, draw_scene

GESTURE_SENSOR = SensorSize(width=128, height=128)
CLIP_US = 1_500_000

_DOWN, _OUT, _FORWARD = np.array([0.0, -1, 0]), np.array([1.0, 0, 0]), np.array([0.0, 0, 1])
_TO_CAMERA, _INWARD = np.array([0.0, 0, 1]), np.array([-1.0, 0, 0])
_TREMOR_M = 0.002  # at 1.5 to 9 Hz
_RISE_S = (0.25, 0.6)  # from rest to a gesture
_PAUSES_HZ = 0.08  # of a gesture in progress


@dataclass(frozen=True)
class _Arm:
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
class _Motion:
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
    """

    right: _Arm
    left: _Arm
    beat: Floats | float = 0.0
    follow: float = 1.0
    lean: Floats | float = 0.0
    bow: Floats | float = 0.0
    bob_m: Floats | float = 0.0
    lift_m: Floats | float = 0.0


Movement = Callable[[Floats, Person, np.random.Generator], _Motion]


def _wander(t: Floats, rng: np.random.Generator) -> Floats:
    """Return a slow random curve [T] around 0, mostly within -1..1."""
    rates, starts = rng.uniform(0.15, 0.9, 3), rng.uniform(0, 2 * np.pi, 3)
    return np.asarray(np.sin(2 * np.pi * rates * t[:, None] + starts).sum(axis=1) / 1.7)


def _smooth_step(t: Floats, start_s: float, end_s: float) -> Floats:
    """Return 0 until the start, 1 from the end on, and a smooth transition between them."""
    share = np.clip((t - start_s) / (end_s - start_s), 0, 1)
    return share * share * (3 - 2 * share)


def _phase(t: Floats, person: Person, rng: np.random.Generator, fastest_s: float, slowest_s: float) -> Floats:
    """Return the phase [T] of a repeated movement: random start, the person's pace, a drifting rate, maybe a pause."""
    pace = np.clip(person.pace + rng.normal(0, 0.25), 0, 1)
    period_s = fastest_s + pace * (slowest_s - fastest_s)
    rate = (1 + 0.15 * _wander(t, rng)) / period_s
    for _ in range(rng.poisson(_PAUSES_HZ * (t[-1] - t[0]))):
        stop_s, length_s, slow_s = rng.uniform(t[0], t[-1]), rng.uniform(0.1, 0.5), rng.uniform(0.05, 0.2)
        resume_s = stop_s + slow_s + length_s
        rate *= 1 - _smooth_step(t, stop_s, stop_s + slow_s) * (1 - _smooth_step(t, resume_s, resume_s + slow_s))
    turns = np.concatenate([[0], np.cumsum((rate[1:] + rate[:-1]) / 2 * np.diff(t))])
    return np.asarray(2 * np.pi * (rng.random() + turns))


def _size(t: Floats, person: Person, rng: np.random.Generator, low: float, high: float) -> Floats:
    """Return an amplitude [T] within the range, scaled by the person's, that drifts from cycle to cycle."""
    return person.size * rng.uniform(low, high) * (1 + 0.12 * _wander(t, rng))


def _ease(phase: Floats, sharp: float) -> Floats:
    """Return a cosine that is flat (sharp > 0) or steep (sharp < 0) at its ends; monotonic for |sharp| <= 0.4."""
    return np.cos(phase + sharp * np.sin(2 * phase))


def _track(t: Floats, *coordinates: Floats | float) -> Floats:
    """Return points [T, 3] from three coordinates, each constant or [T]."""
    return np.stack([np.broadcast_to(np.asarray(c, float), t.shape) for c in coordinates], axis=-1)


def _reach(person: Person, wrist: Floats, pole: Floats, hand: Floats | None = None, palm: Floats = _INWARD) -> _Arm:
    """Return the arm with this wrist and the elbow on the side of `pole`; by default the hand is in line with it."""
    elbow, reached = solve_arm(person, wrist, pole)
    return _Arm(elbow, reached, reached - elbow if hand is None else np.broadcast_to(hand, reached.shape), palm)


def _swing(person: Person, upper: Floats, fore: Floats) -> _Arm:
    """Return the arm whose bones have these directions [T, 3], with the palm to the camera."""
    elbow = person.upper_arm_m * unit(upper)
    return _reach(person, elbow + person.forearm_m * unit(fore), elbow, palm=_TO_CAMERA)


def _rest(t: Floats, person: Person, rng: np.random.Generator) -> _Arm:
    """Return an arm that does not take part: it hangs down, or is in front of the belly."""
    reach, sway = person.reach_m, 0.012 * _wander(t, rng)
    if rng.random() < 0.8:
        wrist = _track(t, rng.uniform(0.05, 0.25) * reach + sway, -0.97 * reach, rng.uniform(0.0, 0.25) * reach + sway)
        arm = _reach(person, wrist, _OUT - 0.5 * _FORWARD)
    else:
        aside = -0.6 * person.shoulders_m * rng.uniform(0.2, 1)
        arm = _reach(person, _track(t, aside, rng.uniform(-0.75, -0.5) * reach + sway, 0.2), _OUT + _DOWN,
                     palm=-_TO_CAMERA)  # fmt: skip
    return replace(arm, bend=rng.uniform(0.1, 0.5))


def _sides(side: int, leading: _Arm, other: _Arm) -> tuple[_Arm, _Arm]:
    """Return the right and the left arm."""
    return (leading, other) if side == RIGHT else (other, leading)


def _leading(person: Person) -> int:
    return LEFT if person.left_handed else RIGHT


def _clapping(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
    """Palms that meet at a random point in front of the chest, along a random line, from random distances."""
    beat = _ease(_phase(t, person, rng, 0.27, 0.6), rng.uniform(-0.25, 0.3))
    gap = _size(t, person, rng, 0.06, 0.34) * (1 - beat) / 2
    tilt = rng.normal(0, 0.35) if rng.random() < 0.6 else rng.choice([-1, 1]) * rng.uniform(0.5, 1.4)
    share = rng.uniform(0.35, 0.65) if rng.random() < 0.5 else rng.choice([0.08, 0.92]) + rng.uniform(-0.06, 0.06)
    aside, height, before = rng.normal(0, 0.03), rng.uniform(-0.33, -0.01), rng.uniform(0.22, 0.36)
    turned, fingers_up = rng.uniform(-0.3, 0.3), rng.uniform(0.0, 0.9)
    arms = []
    for side, part, up in ((RIGHT, share, 1.0), (LEFT, 1 - share, -1.0)):
        from_ = unit(np.array([np.cos(tilt), up * np.sin(tilt), up * turned]))
        fingers = np.array([rng.uniform(-0.7, -0.2), fingers_up + rng.normal(0, 0.15), rng.uniform(0.3, 0.8)])
        fingers = unit(fingers - (fingers @ from_) * from_)
        middle = np.array([(1 if side == LEFT else -1) * aside - person.shoulders_m / 2, height, before])
        away = (0.07 * person.hand_m + part * gap)[:, None]
        hand = fingers + 1.2 * (away - 0.012) * from_  # opening turns the fingers outwards
        wrist = middle + away * from_ - PALM * person.hand_m * fingers
        arms.append(_reach(person, wrist, _DOWN + rng.uniform(0.3, 2.2) * _OUT, hand, -from_))
    bend, spread = rng.uniform(0.0, 0.2, 2), rng.uniform(0.02, 0.15, 2)
    right, left = (replace(arm, bend=bend[k], spread=spread[k]) for k, arm in enumerate(arms))
    return _Motion(right, left, beat, follow=rng.uniform(0.5, 1.5), bob_m=rng.uniform(0, 0.006) * beat)


def _waving_arm(t: Floats, person: Person, rng: np.random.Generator, phase: Floats) -> _Arm:
    """The forearm swings about the elbow, or the hand about the wrist, or the raised arm about the shoulder."""
    swing = _size(t, person, rng, 0.25, 0.65) * _ease(phase, rng.uniform(-0.1, 0.2))
    kind = rng.choice(3, p=[0.7, 0.15, 0.15])
    middle, raised, forward = rng.uniform(-0.35, 0.25), rng.uniform(-1.4, -0.2), rng.uniform(0.0, 0.7)
    if kind == 2:
        middle, raised = rng.uniform(-0.1, 0.4), rng.uniform(0.3, 1.2)
    fore_swing, upper_swing, flick = ((1.0, 0.05, rng.uniform(-0.2, 0.5)), (0.2, 0.02, 1.2), (0.8, 0.35, 0.2))[kind]
    upper = _track(t, np.cos(raised + upper_swing * swing), np.sin(raised + upper_swing * swing), forward)
    angle = middle + fore_swing * swing
    arm = _swing(person, upper, _track(t, np.sin(angle), np.cos(angle), rng.uniform(0.0, 0.6)))
    lag = flick * _ease(phase - (0.8 if kind != 1 else 0.0), 0.1)
    hand = unit(arm.hand) + (0.6 * lag if kind == 1 else lag)[:, None] * _OUT
    palm = _TO_CAMERA + rng.normal(0, 0.25, 3)
    return replace(arm, hand=hand, palm=palm, spread=rng.uniform(0.04, 0.3), bend=rng.uniform(0.0, 0.2))


def _wave(side: int) -> Movement:
    def movement(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
        phase = _phase(t, person, rng, 0.35, 0.7)
        arms = _sides(side, _waving_arm(t, person, rng, phase), _rest(t, person, rng))
        return _Motion(*arms, beat=np.cos(phase), follow=rng.uniform(0.5, 2.0))

    return movement


def _circling_arm(t: Floats, person: Person, rng: np.random.Generator, phase: Floats) -> _Arm:
    """A stretched arm on a cone: from above outwards as the phase grows, seen from the camera."""
    aside, above = rng.uniform(0.1, 0.8), rng.uniform(-0.15, 0.35)
    axis = np.array([np.sin(aside) * np.cos(above), np.sin(above), np.cos(aside) * np.cos(above)])
    outwards = unit(_OUT - axis[0] * axis)
    upwards = np.cross(axis, outwards)
    angle = np.clip(_size(t, person, rng, 0.8, 1.3), 0.5, 1.45)[:, None]
    turn = (phase + 0.15 * np.sin(phase + rng.uniform(0, 2 * np.pi)))[:, None]
    ring = np.cos(turn) * upwards + np.sin(turn) * outwards
    wrist = rng.uniform(0.9, 0.995) * person.reach_m * (np.cos(angle) * axis + np.sin(angle) * ring)
    palm = _TO_CAMERA if rng.random() < 0.3 else _DOWN + 0.4 * _TO_CAMERA
    return replace(_reach(person, wrist, _DOWN + 0.5 * _OUT, palm=palm), bend=rng.choice([0.1, 0.3, 0.9]))


def _circle(side: int, clockwise: bool) -> Movement:
    turn = 1 if clockwise == (side == RIGHT) else -1  # clockwise goes outwards on the right, inwards on the left

    def movement(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
        phase = _phase(t, person, rng, 0.7, 1.2)
        arms = _sides(side, _circling_arm(t, person, rng, turn * phase), _rest(t, person, rng))
        return _Motion(*arms, beat=np.cos(phase), follow=rng.uniform(1.0, 3.0))

    return movement


def _roll(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
    """Forearms across the chest that rotate about each other."""
    phase = _phase(t, person, rng, 0.38, 0.85) * rng.choice([-1, 1])
    radius = _size(t, person, rng, 0.06, 0.13)
    height, before, past = rng.uniform(-0.30, -0.08), rng.uniform(0.2, 0.3), rng.uniform(-0.04, 0.09)
    flat, elbows, slant = rng.uniform(0.7, 1.2), rng.uniform(0.2, 1.6), rng.normal(0, 0.15)
    bend, bent = rng.choice([0.1, 0.5, 0.95]), rng.uniform(-0.3, 0.3)
    arms = []
    for turn, sign in ((phase, 1), (phase + np.pi, -1)):
        up = height + radius * np.sin(turn)
        wrist = _track(t, -person.shoulders_m / 2 - past + sign * slant * radius * np.sin(turn), up,
                       before + flat * radius * np.cos(turn))  # fmt: skip
        arm = _reach(person, wrist, _OUT + elbows * _DOWN, palm=np.array([0.2, -0.5, -1.0]))
        arms.append(replace(arm, hand=unit(arm.hand) + bent * _DOWN, bend=bend))
    return _Motion(arms[0], arms[1], np.sin(2 * phase), rng.uniform(0.5, 2), bob_m=rng.uniform(0, 0.01) * np.sin(phase))


def _drums(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
    """Fists that strike, alternately or together, in front of the belly or the chest."""
    phase = _phase(t, person, rng, 0.28, 0.6)
    apart = np.pi if rng.random() < 0.75 else 0.0
    height, before, aside = rng.uniform(-0.30, -0.06), rng.uniform(0.22, 0.40), rng.uniform(-0.11, 0.10)
    sharp, tilt, roam, bend = rng.uniform(-0.3, 0.1), rng.normal(0, 0.25), rng.uniform(0.0, 0.06), rng.uniform(0.5, 1)
    inward, elbows = rng.uniform(-0.6, 0.0), rng.uniform(0.1, 0.8)
    arms = []
    for turn in (phase, phase + apart):
        stroke = _size(t, person, rng, 0.06, 0.16) * _ease(turn, sharp)
        x = aside + tilt * stroke + roam * _wander(t, rng)
        wrist = _track(t, x, height + stroke, before - 0.3 * stroke)
        hand = _track(t, inward, 0.2 + 3 * stroke, 1.0)
        arms.append(replace(_reach(person, wrist, _DOWN + elbows * _OUT, hand, palm=_DOWN), bend=bend))
    return _Motion(arms[0], arms[1], np.cos(phase), rng.uniform(0.5, 2.5), bow=rng.uniform(0.0, 0.12))


def _guitar(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
    """One hand strums in front of the belly, the other holds a neck, and its fingers move."""
    phase = _phase(t, person, rng, 0.25, 0.6)
    beat = _ease(phase, rng.uniform(-0.2, 0.2))
    stroke, slant = _size(t, person, rng, 0.05, 0.18) * beat, rng.uniform(-0.2, 0.6)
    x, y = rng.uniform(-0.24, -0.08), rng.uniform(-0.40, -0.20)
    strum = _reach(person, _track(t, x + slant * stroke, y + stroke, 0.20), _OUT + 0.3 * _DOWN - 0.2 * _FORWARD,
                   hand=_track(t, -1.0, -0.5 + 2 * stroke, 0.3), palm=-_TO_CAMERA)  # fmt: skip
    slide = rng.uniform(0.0, 0.05) * _wander(t, rng) + 0.015 * np.cos(phase / 2 + 1)
    neck = _track(t, rng.uniform(0.08, 0.32) + slide, rng.uniform(-0.28, 0.02) + 0.5 * slide, rng.uniform(0.12, 0.3))
    hold = _reach(person, neck, _DOWN + 0.3 * _OUT, hand=_track(t, 0.1, 1.0, 0.2), palm=_INWARD + _TO_CAMERA)
    fingering = np.clip(0.6 + rng.uniform(0, 0.2) * np.cos(0.5 * phase + 2), 0, 1)
    sway, bob = rng.uniform(0.0, 0.03), rng.uniform(0.0, 0.012)
    arms = _sides(_leading(person), replace(strum, bend=rng.uniform(0.3, 0.9)), replace(hold, bend=fingering))
    return _Motion(*arms, beat, lean=rng.normal(-0.04, 0.07) + sway * np.cos(phase / 2), bow=rng.uniform(0.0, 0.15),
                   bob_m=bob * np.cos(phase))  # fmt: skip


def _both_circle(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
    phase = _phase(t, person, rng, 0.7, 1.2) * rng.choice([-1, 1])
    other = phase + rng.choice([0, np.pi]) if rng.random() < 0.6 else -phase
    arms = [_circling_arm(t, person, rng, turn) for turn in (phase, other)]
    return _Motion(arms[0], arms[1], np.cos(phase))


def _both_wave(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
    phase = _phase(t, person, rng, 0.4, 0.8)
    arms = [_waving_arm(t, person, rng, phase + shift) for shift in (0, rng.choice([0, np.pi]))]
    return _Motion(arms[0], arms[1], np.cos(phase))


def _between(person: Person, rng: np.random.Generator, beat: Floats, start: list[float], end: list[float]) -> _Arm:
    """Return an arm whose wrist moves between two points, relative to its reach, as beat goes from 0 to 1."""
    a, b = (np.array(point) + rng.normal(0, 0.07, 3) for point in (start, end))
    arm = _reach(person, person.reach_m * (a + beat[:, None] * (b - a)), _DOWN + rng.uniform(0.2, 1.0) * _OUT)
    return replace(arm, bend=rng.choice([0.1, 0.5, 1.0]), palm=rng.normal(0, 1, 3))


_TO_AND_FRO = {  # start and end of the wrist of each arm; outwards, up, forwards relative to the reach
    "push": ([0.0, -0.25, 0.35], [0.0, -0.1, 0.95]),
    "raise": ([0.2, -0.95, 0.1], [0.35, 0.9, 0.2]),
    "spread": ([-0.25, -0.3, 0.6], [0.95, 0.0, 0.2]),
    "cross": ([0.5, -0.3, 0.5], [-0.75, -0.2, 0.45]),
    "flap": ([0.75, -0.6, 0.1], [0.9, 0.35, 0.15]),
    "punch_up": ([0.1, -0.2, 0.3], [0.15, 0.95, 0.2]),
    "salute": ([0.2, -0.9, 0.15], [-0.05, 0.42, 0.3]),
    "point": ([0.25, -0.6, 0.3], [0.7, 0.1, 0.65]),
    "pull": ([0.0, 0.1, 0.9], [0.1, -0.5, 0.3]),
    "lift": ([0.0, -0.75, 0.4], [0.0, 0.1, 0.5]),
    "chop": ([0.1, 0.3, 0.5], [-0.5, -0.5, 0.5]),
    "swim": ([-0.1, 0.3, 0.8], [0.6, -0.7, 0.3]),
}


def _to_and_fro(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
    start, end = _TO_AND_FRO[str(rng.choice(list(_TO_AND_FRO)))]
    phase = _phase(t, person, rng, 0.6, 1.5)
    beats = [0.5 - 0.5 * person.size * _ease(phase + shift, 0.2) for shift in (0, rng.choice([0, np.pi]))]
    arms = [_between(person, rng, beat, start, end) for beat in beats]
    still = rng.choice([RIGHT, LEFT, -1], p=[0.25, 0.25, 0.5])
    if still >= 0:
        arms[still] = _rest(t, person, rng)
    return _Motion(arms[0], arms[1], np.cos(phase), follow=1.5)


def _shrug(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
    beat = 0.5 - 0.5 * _ease(_phase(t, person, rng, 0.5, 1.1), 0.3)
    arms = [_between(person, rng, beat, [0.2, -0.75, 0.3], [0.6, -0.45, 0.5]) for _ in (RIGHT, LEFT)]
    return _Motion(arms[0], arms[1], beat, lift_m=0.06 * beat, follow=0.5)


def _bowing(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
    beat = 0.5 - 0.5 * _ease(_phase(t, person, rng, 1.2, 2.0), 0.2)
    arms = [_rest(t, person, rng) for _ in (RIGHT, LEFT)]
    return _Motion(arms[0], arms[1], beat, bow=rng.uniform(0.3, 0.7) * beat, lean=rng.normal(0, 0.15) * beat)


def _roaming(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
    """Hands on independent curves, as if the person drew in the air or explained something."""
    phase = _phase(t, person, rng, 0.6, 1.6)
    arms = []
    for _ in (RIGHT, LEFT):
        middle = np.array([rng.uniform(-0.3, 0.5), rng.uniform(-0.5, 0.5), rng.uniform(0.35, 0.6)])
        turns, starts, ways = rng.choice([0.5, 1, 1, 2], 3), rng.uniform(0, 2 * np.pi, 3), rng.uniform(0.05, 0.4, 3)
        wrist = person.reach_m * (middle + ways * np.sin(phase[:, None] * turns + starts))
        arm = _reach(person, wrist, _DOWN + rng.uniform(0.0, 1.2) * _OUT, palm=rng.normal(0, 1, 3))
        arms.append(replace(arm, bend=np.clip(0.4 + 0.4 * _wander(t, rng), 0, 1), spread=rng.uniform(0.03, 0.25)))
    if rng.random() < 0.3:
        arms[rng.integers(2)] = _rest(t, person, rng)
    return _Motion(arms[0], arms[1], np.cos(phase), follow=1.5)


def _other(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
    """One of many other movements, none of them one of the ten."""
    kinds: tuple[Movement, ...] = (_both_circle, _both_wave, _to_and_fro, _shrug, _bowing, _roaming)
    return kinds[rng.choice(len(kinds), p=[0.12, 0.1, 0.43, 0.08, 0.07, 0.2])](t, person, rng)


MOVEMENTS: dict[str, Movement] = {  # in IBM's order: the label is the index
    "hand_clapping": _clapping,
    "right_hand_wave": _wave(RIGHT),
    "left_hand_wave": _wave(LEFT),
    "right_arm_clockwise": _circle(RIGHT, clockwise=True),
    "right_arm_counter_clockwise": _circle(RIGHT, clockwise=False),
    "left_arm_clockwise": _circle(LEFT, clockwise=True),
    "left_arm_counter_clockwise": _circle(LEFT, clockwise=False),
    "arm_roll": _roll,
    "air_drums": _drums,
    "air_guitar": _guitar,
    "other_gestures": _other,
}

GESTURES: tuple[str, ...] = tuple(MOVEMENTS)


@dataclass(frozen=True)
class Performance:
    """A gesture in a video.

    Args:
        label: Index in `GESTURES`.
        start_us: When the person starts to move from rest.
        end_us: When the person is at rest again.
    """

    label: int
    start_us: int
    end_us: int


@dataclass(frozen=True)
class ClipSettings:
    """How a video is rendered.

    Args:
        duration_us: Largest time of a frame.
        fps: Frames per second; frame k is at round(k * 1e6 / fps) us.
        light: The kind of light; None: drawn at random.
    """

    duration_us: int = CLIP_US
    fps: float = 100.0
    light: LightKind | None = None


def plan_session(labels: Sequence[int], rng: np.random.Generator) -> tuple[Performance, ...]:
    """Return gestures one after another, of 3 to 6 s each, with 0.8 to 2.5 s of rest before each and after the last.

    Args:
        labels: Indices in `GESTURES`, in their order.
        rng: Draws the durations.
    """
    plan: list[Performance] = []
    for label in labels:
        start_us = (plan[-1].end_us if plan else 0) + int(rng.integers(800_000, 2_500_000))
        plan.append(Performance(label, start_us, start_us + int(rng.integers(3_000_000, 6_000_000))))
    return tuple(plan)


def render_gesture(
    label: int, person: Person, rng: np.random.Generator, settings: ClipSettings = ClipSettings()
) -> Iterator[Frame]:
    """Return a video of one gesture: frames of 128x128 uint16 proportional to the light, from time 0 on.

    Mostly the gesture is in progress all the time; one clip in five starts or ends at rest.

    Args:
        label: Index in `GESTURES`.
        person: Who performs it.
        rng: Draws all that varies from clip to clip: movement, camera, light and background.
        settings: Duration, frame rate and light.

    Raises:
        DataError: There is no such label, or no frame in that time.
    """
    start, end = -1_000_000, settings.duration_us + 1_000_000
    place = rng.random()
    if place < 0.1:
        start = int(rng.uniform(-0.15, 0.35) * settings.duration_us)
    elif place < 0.2:
        end = int(rng.uniform(0.65, 1.15) * settings.duration_us)
    return render_session((Performance(label, start, end),), person, rng, settings)


def render_session(
    plan: Sequence[Performance], person: Person, rng: np.random.Generator, settings: ClipSettings
) -> Iterator[Frame]:
    """Return a video of one person's gestures one after another, with rest between them.

    Args:
        plan: The gestures in the order of time, not overlapping; `plan_session` draws one.
        person: Who performs.
        rng: Draws all that varies from video to video.
        settings: Duration, frame rate and light.

    Raises:
        DataError: There is no such label, or no frame in that time, or performances overlap.
    """
    for performance, before in zip(plan, [None, *plan], strict=False):
        if not 0 <= performance.label < len(GESTURES):
            raise DataError(f"no gesture has the label {performance.label} (expected 0 to {len(GESTURES) - 1})")
        if performance.end_us <= performance.start_us or (before and performance.start_us < before.end_us):
            raise DataError(f"{performance} overlaps {before}, or ends before it starts")
    if settings.duration_us < 0 or settings.fps <= 0:
        raise DataError(
            f"a video has no frame (found {settings.duration_us} us at {settings.fps} frames per second, expected "
            "positive numbers)"
        )
    return _render_frames(plan, person, rng, settings)


def _render_frames(
    plan: Sequence[Performance], person: Person, rng: np.random.Generator, settings: ClipSettings
) -> Iterator[Frame]:
    frames = int(settings.duration_us * settings.fps / 1e6) + 1
    times = np.round(np.arange(frames) * 1e6 / settings.fps).astype(np.int64)
    scene = draw_scene(person, GESTURE_SENSOR, settings.light or LIGHTS[rng.integers(len(LIGHTS))], rng)
    pose = pose_person(plan, person, rng, times / 1e6)
    for t_us, image in zip(times, render(person, scene, pose, times / 1e6), strict=True):
        yield Frame(int(t_us), image, "linear")


def pose_person(plan: Sequence[Performance], person: Person, rng: np.random.Generator, t: Floats) -> Pose:
    """Return the joints of a person who performs a plan, at increasing times t [T] in seconds."""
    motion = _Motion(_rest(t, person, rng), _rest(t, person, rng))
    for performance in plan:
        start_s, end_s = performance.start_us / 1e6, performance.end_us / 1e6
        rise_s, fall_s = np.minimum(rng.uniform(*_RISE_S, 2), (end_s - start_s) / 2)
        now = np.flatnonzero((t >= start_s) & (t <= end_s))
        if len(now) < 2:
            continue
        weight = _smooth_step(t, start_s, start_s + rise_s) * (1 - _smooth_step(t, end_s - fall_s, end_s))
        performed = MOVEMENTS[GESTURES[performance.label]](t[now], person, rng)
        motion = _blend(motion, performed, now, weight[now])
    return _pose(motion, person, rng, t)


def _blend(rest: _Motion, performed: _Motion, now: NDArray[np.int64], weight: Floats) -> _Motion:
    """Return a motion blended with another at the indices `now`, by a weight from 0 to 1."""
    length = len(rest.right.wrist)

    def mixed(before: Floats | float, after: Floats | float, *axes: int) -> Floats:
        blend = np.array(np.broadcast_to(before, (length, *axes)), float)
        blend[now] += weight.reshape(-1, *[1] * len(axes)) * (after - blend[now])
        return blend

    def arm(before: _Arm, after: _Arm) -> _Arm:
        return _Arm(
            elbow=mixed(before.elbow, after.elbow, 3),
            wrist=mixed(before.wrist, after.wrist, 3),
            hand=mixed(unit(before.hand), unit(after.hand), 3),
            palm=mixed(unit(before.palm), unit(after.palm), 3),
            bend=mixed(before.bend, after.bend),
            spread=mixed(before.spread, after.spread),
        )

    return _Motion(
        right=arm(rest.right, performed.right),
        left=arm(rest.left, performed.left),
        beat=mixed(rest.beat, performed.follow * performed.beat),
        lean=mixed(rest.lean, performed.lean),
        bow=mixed(rest.bow, performed.bow),
        bob_m=mixed(rest.bob_m, performed.bob_m),
        lift_m=mixed(rest.lift_m, performed.lift_m),
    )


def _pose(motion: _Motion, person: Person, rng: np.random.Generator, t: Floats) -> Pose:
    """Return the joints of a motion, within the limits of the joints, on a body that also moves."""
    arms, palms = np.empty((len(t), 2, 4, 3)), np.empty((len(t), 2, 3))
    lifts = np.empty((len(t), 2))
    for side, arm in ((RIGHT, motion.right), (LEFT, motion.left)):
        mirror = np.array([-1.0 if side == RIGHT else 1.0, 1, 1])
        tremor = _TREMOR_M * np.stack([_wander(10 * t, rng) for _ in range(3)], axis=-1)
        elbow, wrist = solve_arm(person, arm.wrist + tremor, arm.elbow)
        hand = within_cone(arm.hand, unit(wrist - elbow), WRIST_LIMIT)
        collar_bone_m = 0.02 * (1 + elbow[:, 1] / person.upper_arm_m) ** 2  # moves with the upper arm
        lifts[:, side] = motion.lift_m + collar_bone_m
        shoulder = _track(t, person.shoulders_m / 2, lifts[:, side], 0.0)
        knuckles = wrist + PALM * person.hand_m * hand
        joints = np.stack([shoulder, *(shoulder + joint for joint in (elbow, wrist, knuckles))], axis=1)
        arms[:, side] = mirror * joints
        palms[:, side] = mirror * unit(arm.palm - (arm.palm * hand).sum(axis=-1, keepdims=True) * hand)
    torso, head = (np.repeat(part[None], len(t), axis=0) for part in rest_body(person))
    torso[:, :2, 1] += 0.5 * lifts
    nod = np.array([0, NECK_M, 0]) + _turn(head - [0, NECK_M, 0], 0.05 * _wander(t, rng), 0.05 * _wander(t, rng), 0.0)
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
    t: Floats, motion: _Motion, arms: Floats, person: Person, rng: np.random.Generator
) -> Callable[[Floats], Floats]:
    """Return the rigid movement of the body about the hips: the gesture's own, what follows from it, and a sway."""
    forward = (arms[:, RIGHT, 2, 2] - arms[:, LEFT, 2, 2]) / person.reach_m  # of the right wrist
    lively = rng.uniform(0.2, 1.3)
    lean = motion.lean + 0.015 * lively * _wander(t, rng) + rng.normal(0, 0.008) * motion.beat
    bow = motion.bow + 0.015 * lively * _wander(t, rng) + rng.normal(0, 0.008) * motion.beat
    twist = rng.uniform(0.0, 0.12) * forward + 0.03 * lively * _wander(t, rng)
    aside, up = 0.010 * lively * _wander(t, rng), motion.bob_m + rng.normal(0, 0.003) * motion.beat
    shift = _track(t, aside, up, 0.0)

    def move(points: Floats) -> Floats:
        hips = np.array([0, -TORSO_M, 0])
        turned = _turn(points - hips, lean, bow, twist)
        return np.asarray(turned + hips + shift.reshape(len(t), *[1] * (points.ndim - 2), 3))

    return move


def _turn(points: Floats, lean: Floats, bow: Floats, twist: Floats | float) -> Floats:
    """Return points [T, ..., 3] rotated by angles [T] about the vertical, towards the camera, and to the right."""
    angles = (np.broadcast_to(angle, len(points)) for angle in (lean, bow, twist))
    lean, bow, twist = (angle.reshape(-1, *[1] * (points.ndim - 2)) for angle in angles)
    x, y, z = np.moveaxis(points, -1, 0)
    x, z = x * np.cos(twist) + z * np.sin(twist), z * np.cos(twist) - x * np.sin(twist)
    y, z = y * np.cos(bow) - z * np.sin(bow), z * np.cos(bow) + y * np.sin(bow)
    return np.stack([x * np.cos(lean) + y * np.sin(lean), y * np.cos(lean) - x * np.sin(lean), z], axis=-1)
