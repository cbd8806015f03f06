"""Building blocks of movements: arms over time, phases, amplitudes and rest.

A movement is a function of time. It returns each arm in its own coordinates: metres outwards, up and forwards from the
shoulder. Both sides therefore share the code. Angles are in radians, times in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .people import LEFT, RIGHT, Floats, Person, solve_arm, unit

DOWN = np.array([0.0, -1, 0])
OUT = np.array([1.0, 0, 0])
TO_CAMERA = np.array([0.0, 0, 1])
INWARD = np.array([-1.0, 0, 0])
PAUSES_HZ = 0.08  # mean rate of pauses during a gesture
HARMONICS = {2: 0.25, 3: 0.1}
"""Maximum amplitude of harmonics relative to the fundamental.

In tracks, the distance between clapping wrists has a second harmonic of 0.08 to 0.39, and a third of 0.01 to 0.19.
Angles of waving forearms have 0 to 0.1 and 0 to 0.03.
"""


@dataclass(frozen=True)
class Arm:
    """Arm over T times, in its own coordinates: outwards, up and forwards from the shoulder.

    Args:
        elbow: Position of the elbow, [T, 3].
        wrist: Position of the wrist, [T, 3].
        hand: Direction of the hand (any length), [T, 3].
        palm: Normal vector of the palm, [3] or [T, 3].
        bend: Bend of the fingers, 0 (stretched) to 1 (fist); [T] or a constant.
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
    """Movement of a person over T times. Each value except `follow` is [T] or a constant.

    Args:
        right: Performer's right arm.
        left: Performer's left arm.
        beat: Rhythm of the movement, -1 to 1; the body follows it slightly.
        follow: How strongly the body follows the beat; 1 on average.
        lean: Angle of the torso to the right of the picture.
        bow: Angle of the torso towards the camera.
        bob_m: Height of the body.
        lift_m: Height of the shoulders.
        aside_m: Position of the body to the right in the picture.
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
    """Draw a slow random curve around 0, mostly within -1 to 1, [T]."""
    rates = rng.uniform(0.15, 0.9, 3)
    starts = rng.uniform(0, 2 * np.pi, 3)

    return np.asarray(np.sin(2 * np.pi * rates * t[:, None] + starts).sum(axis=1) / 1.7)


def smooth_step(t: Floats, start_s: float, end_s: float) -> Floats:
    """Return 0 until the start, 1 after the end, with a smooth transition in between."""
    share = np.clip((t - start_s) / (end_s - start_s), 0, 1)
    return share * share * (3 - 2 * share)


def draw_phase(t: Floats, person: Person, rng: np.random.Generator, fastest_s: float, slowest_s: float) -> Floats:
    """Draw the phase of a repeated movement, [T]: random start, pace of the person, drifting rate, random pauses."""
    pace = np.clip(person.pace + rng.normal(0, 0.25), 0, 1)
    period_s = fastest_s + pace * (slowest_s - fastest_s)
    rate = (1 + 0.15 * wander(t, rng)) / period_s

    for _ in range(rng.poisson(PAUSES_HZ * (t[-1] - t[0]))):
        stop_s = rng.uniform(t[0], t[-1])
        length_s = rng.uniform(0.1, 0.5)
        slow_s = rng.uniform(0.05, 0.2)
        resume_s = stop_s + slow_s + length_s

        rate *= 1 - smooth_step(t, stop_s, stop_s + slow_s) * (1 - smooth_step(t, resume_s, resume_s + slow_s))

    # The phase is the integral of the rate, by the trapezoidal rule.
    turns = np.concatenate([[0], np.cumsum((rate[1:] + rate[:-1]) / 2 * np.diff(t))])
    return np.asarray(2 * np.pi * (rng.random() + turns))


def draw_size(t: Floats, person: Person, rng: np.random.Generator, low: float, high: float) -> Floats:
    """Draw an amplitude from `low` to `high`, scaled by `person.size`, that drifts from cycle to cycle, [T]."""
    return person.size * rng.uniform(low, high) * (1 + 0.12 * wander(t, rng))


def draw_beat(phase: Floats, rng: np.random.Generator) -> Floats:
    """Draw a periodic movement from 1 to -1 and back, with the Fourier terms of tracked hands, [T]."""
    cycle = np.linspace(0, 2 * np.pi, 64)
    shape = np.cos(cycle)
    beat = np.cos(phase)

    for order, largest in HARMONICS.items():
        share = rng.uniform(0, largest)
        start = rng.uniform(0, 2 * np.pi)
        shape += share * np.cos(order * cycle + start)
        beat = beat + share * np.cos(order * phase + start)

    # Scale the cycle to its extremes.
    low = shape.min()
    return np.asarray(2 * (beat - low) / (shape.max() - low) - 1)


def draw_stroke(phase: Floats, rng: np.random.Generator, *, size: float = 1.0) -> Floats:
    """Draw a periodic movement from 0 to 1 and back, [T]; `size` scales the deviation from 0.5."""
    return 0.5 - 0.5 * size * draw_beat(phase, rng)


def track(t: Floats, *coordinates: Floats | float) -> Floats:
    """Stack three coordinates, each constant or [T], to points [T, 3]."""
    return np.stack([np.broadcast_to(np.asarray(c, float), t.shape) for c in coordinates], axis=-1)


def reach_for(person: Person, wrist: Floats, pole: Floats, hand: Floats | None = None, palm: Floats = INWARD) -> Arm:
    """Return an arm that reaches for `wrist`, with the elbow towards `pole`; default: hand in line with the forearm."""
    elbow, reached = solve_arm(person, wrist, pole)
    return Arm(elbow, reached, reached - elbow if hand is None else np.broadcast_to(hand, reached.shape), palm)


def swing_arm(person: Person, upper: Floats, fore: Floats) -> Arm:
    """Return an arm with the given directions of upper arm and forearm, [T, 3], and the palm towards the camera."""
    elbow = person.upper_arm_m * unit(upper)
    return reach_for(person, elbow + person.forearm_m * unit(fore), elbow, palm=TO_CAMERA)


def sides(side: int, leading: Arm, other: Arm) -> tuple[Arm, Arm]:
    """Order two arms as (right, left); `side` is the side of the leading arm."""
    return (leading, other) if side == RIGHT else (other, leading)


def leading(person: Person) -> int:
    """Return the leading side of a person, for gestures that allow either."""
    return LEFT if person.left_handed else RIGHT
