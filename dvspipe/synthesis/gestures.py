"""Short rendered videos of the eleven gestures of IBM's DVS128 Gesture data set.

The classes are those of Amir et al., "A Low Power, Fully Event-Based Gesture Recognition System", CVPR 2017. "Right"
and "clockwise" are the performer's, who faces the camera: the right hand is on the left of the picture, and a clockwise
circle goes up, left and down there.

A movement is a function of time in a table. It says where the arms are in the space of each arm: metres outwards, up
and forwards from the shoulder, so that both sides share everything. Angles are radians, times seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..errors import DataError
from ..events import SensorSize
from ..video import Frame
from .people import LEFT, NECK_M, RIGHT, TORSO_M, Floats, Person, Pose, draw_person, draw_scene, render, rest_body

__all__ = ["GESTURES", "GESTURE_SENSOR", "Person", "draw_person", "render_gesture"]

GESTURE_SENSOR = SensorSize(width=128, height=128)

_DOWN, _OUT, _FORWARD = np.array([0.0, -1, 0]), np.array([1.0, 0, 0]), np.array([0.0, 0, 1])
_TO_CAMERA, _INWARD = np.array([0.0, 0, 1]), np.array([-1.0, 0, 0])


@dataclass(frozen=True)
class _Arm:
    """One arm over T moments, in its own space [T, 3]: outwards, up, forwards from the shoulder.

    Args:
        elbow: Position.
        wrist: Position.
        hand: Direction of the hand, of any length.
        palm: Direction out of the palm, [3] or [T, 3].
        spread: Angle between neighbouring fingers.
        curl: 1 for stretched fingers, less for a fist.
    """

    elbow: Floats
    wrist: Floats
    hand: Floats
    palm: Floats
    spread: float = 0.06
    curl: float = 0.9


@dataclass(frozen=True)
class _Motion:
    """A movement over T moments.

    Args:
        right: The performer's right arm.
        left: The other one.
        beat: [T] in -1..1, what the whole body follows a little.
        follow: How much it does, 1 is usual.
        lean: [T] angle of the torso to the right of the picture, or one for all.
        bow: [T] angle of the torso towards the camera.
        bob_m: [T] height of the body.
        lift_m: [T] height of the shoulders.
    """

    right: _Arm
    left: _Arm
    beat: Floats
    follow: float = 1.0
    lean: Floats | float = 0.0
    bow: Floats | float = 0.0
    bob_m: Floats | float = 0.0
    lift_m: Floats | float = 0.0


Movement = Callable[[Floats, Person, np.random.Generator], _Motion]


def _wander(t: Floats, rng: np.random.Generator) -> Floats:
    """A slow random curve [T] around 0, mostly within -1..1."""
    rates, starts = rng.uniform(0.15, 0.9, 3), rng.uniform(0, 2 * np.pi, 3)
    return np.asarray(np.sin(2 * np.pi * rates * t[:, None] + starts).sum(axis=1) / 1.7)


def _phase(t: Floats, person: Person, rng: np.random.Generator, fastest_s: float, slowest_s: float) -> Floats:
    """The angle [T] of a repeated movement: a random start, the person's pace, a rate that drifts."""
    pace = np.clip(person.pace + rng.normal(0, 0.25), 0, 1)
    period = fastest_s + pace * (slowest_s - fastest_s)
    return np.asarray(2 * np.pi * (t / period + rng.random() + 0.05 * _wander(t, rng)))


def _size(t: Floats, person: Person, rng: np.random.Generator, low: float, high: float) -> Floats:
    """An amplitude [T] within the range, the person's way, drifting from cycle to cycle."""
    return person.size * rng.uniform(low, high) * (1 + 0.12 * _wander(t, rng))


def _ease(phase: Floats, sharp: float) -> Floats:
    """A cosine that lingers at its ends (sharp > 0) or hits (sharp < 0); |sharp| <= 0.4 keeps its direction."""
    return np.cos(phase + sharp * np.sin(2 * phase))


def _track(t: Floats, *coordinates: Floats | float) -> Floats:
    """Points [T, 3] from three coordinates, each fixed or over time."""
    return np.stack([np.broadcast_to(np.asarray(c, float), t.shape) for c in coordinates], axis=-1)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9))


def _reach(person: Person, wrist: Floats, pole: Floats, hand: Floats | None = None, palm: Floats = _INWARD) -> _Arm:
    """The arm whose wrist is there, with the elbow on the side of `pole` (two-link inverse kinematics).

    Args:
        person: Gives the lengths.
        wrist: [T, 3]; what is out of reach becomes the nearest that is within.
        pole: [3] or [T, 3] the direction in which the elbow points.
        hand: Direction of the hand; without one it continues the forearm.
        palm: Direction out of the palm.
    """
    upper, fore = person.upper_arm_m, person.forearm_m
    distance = np.linalg.norm(wrist, axis=-1, keepdims=True)
    within = np.clip(distance, 1.05 * abs(upper - fore) + 0.02, 0.995 * (upper + fore))
    axis = wrist / (distance + 1e-9)
    along = (upper**2 - fore**2 + within**2) / (2 * within)  # law of cosines
    aside = _unit(pole - (pole * axis).sum(axis=-1, keepdims=True) * axis)
    elbow = along * axis + np.sqrt(np.maximum(upper**2 - along**2, 0)) * aside
    reached = within * axis
    return _Arm(elbow, reached, reached - elbow if hand is None else np.broadcast_to(hand, reached.shape), palm)


def _swing(person: Person, upper: Floats, fore: Floats) -> _Arm:
    """The arm whose bones have these directions [T, 3], palm to the camera."""
    elbow = person.upper_arm_m * _unit(upper)
    wrist = elbow + person.forearm_m * _unit(fore)
    return _Arm(elbow, wrist, wrist - elbow, _TO_CAMERA)


def _rest(t: Floats, person: Person, rng: np.random.Generator) -> _Arm:
    """An arm that takes no part: it hangs down, or lies before the belly."""
    reach, sway = person.reach_m, 0.012 * _wander(t, rng)
    if rng.random() < 0.75:
        wrist = _track(t, rng.uniform(0.05, 0.25) * reach + sway, -0.97 * reach, rng.uniform(0.0, 0.25) * reach + sway)
        return _reach(person, wrist, _OUT - 0.5 * _FORWARD)
    wrist = _track(t, -0.6 * person.shoulders_m * rng.uniform(0.2, 1), rng.uniform(-0.75, -0.5) * reach + sway, 0.2)
    return _reach(person, wrist, _OUT + _DOWN, palm=-_TO_CAMERA)


def _sides(side: int, moving: _Arm, resting: _Arm) -> tuple[_Arm, _Arm]:
    """The right and the left arm."""
    return (moving, resting) if side == RIGHT else (resting, moving)


def _clapping(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
    beat = _ease(_phase(t, person, rng, 0.3, 0.6), rng.uniform(-0.1, 0.3))
    gap = 0.025 + _size(t, person, rng, 0.08, 0.17) * (1 - beat) / 2
    middle, tilt = person.shoulders_m / 2, rng.uniform(-1.0, 1.0)
    share = np.clip(0.5 + rng.normal(0, 0.25), 0.05, 0.95)  # of the gap that the right hand makes
    height, before = rng.uniform(-0.34, -0.04), rng.uniform(0.24, 0.38)
    arms = []
    for part, up in ((share, 1.0), (1 - share, -1.0)):
        away = 0.02 + 2 * part * gap
        wrist = _track(t, away * np.cos(tilt) - middle, height + up * away * np.sin(tilt), before)
        hand = np.array([-0.3, rng.uniform(0.0, 0.9), 0.5])
        palm = np.array([-np.cos(tilt), -up * np.sin(tilt), 0.3])
        arms.append(_reach(person, wrist, _DOWN + rng.uniform(0.1, 0.9) * _OUT, hand, palm))
    return _Motion(arms[0], arms[1], beat, follow=0.6)


def _waving_arm(t: Floats, person: Person, rng: np.random.Generator, phase: Floats) -> _Arm:
    swing = _size(t, person, rng, 0.3, 0.65) * _ease(phase, rng.uniform(-0.1, 0.2))
    middle, raised = rng.uniform(-0.25, 0.15), rng.uniform(-1.35, -0.2)
    upper = _track(t, np.cos(raised), np.sin(raised) + 0.05 * swing, rng.uniform(0.0, 0.7))
    fore = _track(t, np.sin(middle + swing), np.cos(middle + swing), rng.uniform(0.0, 0.5))
    arm = _swing(person, upper, fore)
    flick = rng.uniform(-0.2, 0.5) * np.cos(phase - 0.8)  # the hand lags behind
    return replace(arm, hand=_unit(arm.hand) + flick[:, None] * _OUT, spread=rng.uniform(0.05, 0.3), curl=1.0)


def _wave(side: int) -> Movement:
    def movement(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
        phase = _phase(t, person, rng, 0.35, 0.7)
        arms = _sides(side, _waving_arm(t, person, rng, phase), _rest(t, person, rng))
        return _Motion(*arms, beat=np.cos(phase), follow=0.7)

    return movement


def _circling_arm(t: Floats, person: Person, rng: np.random.Generator, phase: Floats) -> _Arm:
    """A stretched arm on a cone: from above outwards where the phase grows, seen from the camera."""
    aside, above = rng.uniform(0.1, 0.8), rng.uniform(-0.15, 0.35)
    axis = np.array([np.sin(aside) * np.cos(above), np.sin(above), np.cos(aside) * np.cos(above)])
    outwards = _unit(_OUT - axis[0] * axis)
    upwards = np.cross(axis, outwards)
    angle = np.clip(_size(t, person, rng, 0.8, 1.3), 0.5, 1.45)[:, None]
    turn = (phase + 0.15 * np.sin(phase + rng.uniform(0, 2 * np.pi)))[:, None]
    ring = np.cos(turn) * upwards + np.sin(turn) * outwards
    wrist = rng.uniform(0.95, 0.995) * person.reach_m * (np.cos(angle) * axis + np.sin(angle) * ring)
    palm = _TO_CAMERA if rng.random() < 0.3 else _DOWN + 0.4 * _TO_CAMERA
    return replace(_reach(person, wrist, _DOWN + 0.5 * _OUT, palm=palm), curl=rng.uniform(0.45, 1.0))


def _circle(side: int, clockwise: bool) -> Movement:
    turn = (
        1 if clockwise == (side == RIGHT) else -1
    )  # a clockwise circle goes outwards on the right, inwards on the left

    def movement(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
        phase = _phase(t, person, rng, 0.7, 1.2)
        arms = _sides(side, _circling_arm(t, person, rng, turn * phase), _rest(t, person, rng))
        return _Motion(*arms, beat=np.cos(phase), follow=1.5)

    return movement


def _roll(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
    phase = _phase(t, person, rng, 0.4, 0.8) * rng.choice([-1, 1])
    radius = _size(t, person, rng, 0.06, 0.11)
    height, before, past = rng.uniform(-0.25, -0.08), rng.uniform(0.2, 0.3), rng.uniform(-0.02, 0.08)
    arms = []
    for turn in (phase, phase + np.pi):
        wrist = _track(
            t, -person.shoulders_m / 2 - past, height + radius * np.sin(turn), before + radius * np.cos(turn)
        )
        arm = _reach(person, wrist, _OUT + rng.uniform(0.6, 1.6) * _DOWN, palm=_unit(np.array([0, -0.5, -1.0])))
        arms.append(replace(arm, curl=rng.uniform(0.4, 1.0)))
    return _Motion(arms[0], arms[1], np.sin(2 * phase), follow=0.6)


def _drums(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
    phase = _phase(t, person, rng, 0.3, 0.6)
    apart = np.pi if rng.random() < 0.75 else 0.0
    height, before, aside = rng.uniform(-0.26, -0.06), rng.uniform(0.22, 0.36), rng.uniform(-0.12, 0.08)
    sharp, tilt = rng.uniform(-0.3, 0.1), rng.normal(0, 0.25)
    arms = []
    for turn in (phase, phase + apart):
        stroke = _size(t, person, rng, 0.06, 0.14) * _ease(turn, sharp)
        wrist = _track(t, aside + tilt * stroke, height + stroke, before - 0.3 * stroke)
        hand = _track(t, -0.25, 0.3 + 3 * stroke, 1.0)
        arm = _reach(person, wrist, _DOWN + rng.uniform(0.1, 0.6) * _OUT, hand, palm=_DOWN)
        arms.append(replace(arm, curl=rng.uniform(0.35, 0.7)))
    return _Motion(arms[0], arms[1], np.cos(phase), bow=rng.uniform(0.0, 0.12))


def _guitar(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
    phase = _phase(t, person, rng, 0.3, 0.6)
    beat = _ease(phase, rng.uniform(-0.2, 0.2))
    stroke, slant = _size(t, person, rng, 0.06, 0.18) * beat, rng.uniform(-0.2, 0.6)
    x, y = rng.uniform(-0.22, -0.08), rng.uniform(-0.40, -0.22)
    strum = _reach(person, _track(t, x + slant * stroke, y + stroke, 0.22), _OUT + 0.3 * _DOWN - 0.2 * _FORWARD,
                   hand=_track(t, -1.0, -0.5 + 2 * stroke, 0.3), palm=-_TO_CAMERA)  # fmt: skip
    slide = rng.uniform(0.0, 0.05) * _wander(t, rng) + 0.015 * np.cos(phase / 2 + 1)
    neck = _track(t, rng.uniform(0.1, 0.32) + slide, rng.uniform(-0.28, 0.0) + 0.5 * slide, rng.uniform(0.15, 0.3))
    hold = _reach(person, neck, _DOWN + 0.3 * _OUT, hand=_track(t, 0.1, 1.0, 0.2), palm=_INWARD + _TO_CAMERA)
    sway, bob = rng.uniform(0.0, 0.03), rng.uniform(0.0, 0.012)
    return _Motion(replace(strum, curl=0.5), replace(hold, curl=0.6), beat, lean=rng.normal(-0.04, 0.07)
                   + sway * np.cos(phase / 2), bow=rng.uniform(0.0, 0.15), bob_m=bob * np.cos(phase))  # fmt: skip


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
    """An arm whose wrist goes to and fro between two points, in parts of its reach, as beat goes from 0 to 1."""
    a, b = (np.array(point) + rng.normal(0, 0.07, 3) for point in (start, end))
    return _reach(person, person.reach_m * (a + beat[:, None] * (b - a)), _DOWN + rng.uniform(0.2, 1.0) * _OUT)


_TO_AND_FRO = {  # for each arm: start, end of the wrist; outwards, up, forwards in parts of the reach
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
}


def _to_and_fro(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
    start, end = _TO_AND_FRO[str(rng.choice(list(_TO_AND_FRO)))]
    phase = _phase(t, person, rng, 0.7, 1.5)
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


def _other(t: Floats, person: Person, rng: np.random.Generator) -> _Motion:
    """One of many invented movements, none of them one of the ten."""
    kinds: tuple[Movement, ...] = (_both_circle, _both_wave, _to_and_fro, _shrug, _bowing)
    return kinds[rng.choice(len(kinds), p=[0.15, 0.1, 0.6, 0.08, 0.07])](t, person, rng)


_MOVEMENTS: dict[str, Movement] = {  # in IBM's order: the label is the place
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

GESTURES: tuple[str, ...] = tuple(_MOVEMENTS)


def render_gesture(
    label: int, person: Person, rng: np.random.Generator, *, duration_us: int = 1_450_000, fps: float = 100.0
) -> Iterator[Frame]:
    """A video of one gesture: frames of 128x128 uint8 in sRGB, from time 0 to the duration.

    Args:
        label: Place in `GESTURES`.
        person: Who performs it.
        rng: The source of all that varies from clip to clip: movement, camera, light and background.
        duration_us: Time of the last frame, at most.
        fps: Frames per second; frame k is at round(k * 1e6 / fps) us.

    Raises:
        DataError: There is no such label, or no frame in that time.
    """
    if not 0 <= label < len(GESTURES):
        raise DataError(f"label {label} is no gesture, expected 0 to {len(GESTURES) - 1}")
    if duration_us < 0 or fps <= 0:
        raise DataError(f"{duration_us} us at {fps} frames per second hold no frame, expected positive numbers")
    return _frames(label, person, rng, duration_us, fps)


def _frames(label: int, person: Person, rng: np.random.Generator, duration_us: int, fps: float) -> Iterator[Frame]:
    times = np.round(np.arange(int(duration_us * fps / 1e6) + 1) * 1e6 / fps).astype(np.int64)
    scene = draw_scene(person, GESTURE_SENSOR, rng)
    pose = _pose(label, person, rng, times / 1e6)
    for t_us, image in zip(times, render(person, scene, pose), strict=True):
        yield Frame(int(t_us), image, "srgb")


def _pose(label: int, person: Person, rng: np.random.Generator, t: Floats) -> Pose:
    """The joints of a person who performs a gesture, at times t [T]."""
    motion = _MOVEMENTS[GESTURES[label]](t, person, rng)
    arms, palms = np.empty((len(t), 2, 4, 3)), np.empty((len(t), 2, 3))
    for side, arm in ((RIGHT, motion.right), (LEFT, motion.left)):
        mirror = np.array([-1.0 if side == RIGHT else 1.0, 1, 1])
        shoulder = _track(t, person.shoulders_m / 2, motion.lift_m, 0.0)
        knuckles = arm.wrist + 0.5 * person.hand_m * _unit(arm.hand)
        joints = np.stack([shoulder, *(shoulder + joint for joint in (arm.elbow, arm.wrist, knuckles))], axis=1)
        arms[:, side] = mirror * joints
        palms[:, side] = mirror * _unit(arm.palm)
    torso, head = (np.broadcast_to(part, (len(t), 3, 3)) for part in rest_body(person))
    nod = np.array([0, NECK_M, 0]) + _turn(head - [0, NECK_M, 0], 0.03 * _wander(t, rng), 0.03 * _wander(t, rng))
    move = _body_motion(t, motion, rng)
    return Pose(
        arms=move(arms),
        palms=palms,
        spread=np.array([motion.right.spread, motion.left.spread]),
        curl=np.array([motion.right.curl, motion.left.curl]),
        torso=move(torso),
        head=move(nod),
    )


def _body_motion(t: Floats, motion: _Motion, rng: np.random.Generator) -> Callable[[Floats], Floats]:
    """The rigid movement of the body about the hips: the gesture's own, what follows from it, and a small sway."""
    follow = motion.follow * motion.beat
    lean = motion.lean + 0.012 * _wander(t, rng) + rng.normal(0, 0.008) * follow
    bow = motion.bow + 0.010 * _wander(t, rng) + rng.normal(0, 0.008) * follow
    shift = _track(t, 0.006 * _wander(t, rng), motion.bob_m + rng.normal(0, 0.003) * follow, 0.0)

    def move(points: Floats) -> Floats:
        hips = np.array([0, -TORSO_M, 0])
        return np.asarray(_turn(points - hips, lean, bow) + hips + shift.reshape(len(t), *[1] * (points.ndim - 2), 3))

    return move


def _turn(points: Floats, lean: Floats, bow: Floats) -> Floats:
    """Points [T, ..., 3] turned to the right of the picture by `lean` and towards the camera by `bow`, [T] each."""
    lean, bow = (angle.reshape(-1, *[1] * (points.ndim - 2)) for angle in (lean, bow))
    x, y, z = np.moveaxis(points, -1, 0)
    y, z = y * np.cos(bow) - z * np.sin(bow), z * np.cos(bow) + y * np.sin(bow)
    return np.stack([x * np.cos(lean) + y * np.sin(lean), y * np.cos(lean) - x * np.sin(lean), z], axis=-1)
