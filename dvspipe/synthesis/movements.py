"""The ten gestures of DVS128 Gesture as movements.

Ranges come from films of people (`dvspipe track`), with lengths relative to the arm from shoulder to wrist:

- Claps: 0.9 to 4 Hz, wrists opening by 0.4 to 3.5 shoulder widths, 0.2 to 0.75 below the shoulders.
- Waves: 0.9 to 3.5 Hz, the forearm swinging over 0.3 to 1.1 rad, the wrist from 0.13 below the shoulder to 0.7 above it
  and 0.3 to 0.7 in front of it, from elbow, wrist, shoulder or fingers.
- Drums: hands travelling over up to 1.2 at 1.4 Hz.

Centres of the other ranges come from motion capture at 60 frames per second. Claps: 3.2 Hz, 0.16 to 0.20 per hand,
horizontal. Drumming hands: 1.6 and 0.8 Hz, over 0.35. Guitar: strummed at 3.4 Hz over 0.25, with the hands 0.25 and
0.63 outside the shoulders. The remaining widths are guesses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .motion import (
    DOWN,
    FORWARD,
    INWARD,
    OUT,
    TO_CAMERA,
    Arm,
    Motion,
    Movement,
    draw_beat,
    draw_phase,
    draw_rest,
    draw_size,
    leading,
    reach_for,
    sides,
    swing_arm,
    track,
    wander,
)
from .people import LEFT, PALM, RIGHT, Floats, Person, unit


class _Clap(NamedTuple):
    """Manner of clapping: ranges in seconds and metres, from midway between the shoulders."""

    share: float
    period_s: tuple[float, float]
    opening_m: tuple[float, float]
    height_m: tuple[float, float]
    before_m: tuple[float, float]
    aside_m: float = 0.07  # standard deviation of the place to the side
    arc: bool = False  # whether the arms open to the sides, moving down and back


_CLAPS = {
    "usual": _Clap(0.30, (0.2, 0.7), (0.06, 0.55), (-0.38, 0.03), (0.20, 0.40)),
    "soft": _Clap(0.14, (0.2, 0.7), (0.035, 0.10), (-0.42, 0.0), (0.16, 0.40)),
    "wide": _Clap(0.28, (0.4, 1.3), (0.35, 1.40), (-0.40, 0.05), (0.30, 0.50), 0.03, arc=True),
    "slow": _Clap(0.08, (0.8, 1.8), (0.08, 0.50), (-0.40, 0.03), (0.20, 0.45)),
    "aside": _Clap(0.08, (0.2, 0.8), (0.05, 0.30), (-0.35, 0.15), (0.20, 0.40), 0.18),
    "face": _Clap(0.06, (0.2, 0.8), (0.04, 0.30), (0.03, 0.25), (0.18, 0.38)),
    "overhead": _Clap(0.06, (0.3, 1.2), (0.08, 1.0), (0.32, 0.48), (0.02, 0.25), 0.04, arc=True),
}
"""Manners of clapping."""


def _clapping(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """Clap: palms meet at a random point, along a random line, from random distances, and may stay together."""
    manners = list(_CLAPS.values())
    clap = manners[rng.choice(len(manners), p=[manner.share for manner in manners])]

    beat = draw_beat(draw_phase(t, person, rng, *clap.period_s), rng)
    stay = rng.uniform(0.0, 0.35) if rng.random() < 0.5 else 0.0  # part of the way at whose end the palms already meet
    opening = np.maximum((1 - beat) / 2 - stay, 0) / (1 - stay)
    linger = np.exp(rng.uniform(-0.7, 0.4))  # below 1: the hands are apart for most of the time
    gap = draw_size(t, person, rng, *clap.opening_m) * opening**linger

    slanted = not clap.arc and rng.random() < 0.15
    tilt = rng.choice([-1, 1]) * rng.uniform(0.3, 1.4) if slanted else rng.normal(0, 0.15)
    arc = np.array([0.0, rng.uniform(-0.4, 0.15), rng.uniform(-0.8, -0.2)]) if clap.arc else np.zeros(3)

    # One hand may rest while the other claps on it.
    one_hand = not clap.arc and rng.random() < 0.5
    share = rng.choice([0.06, 0.94]) + rng.uniform(-0.06, 0.06) if one_hand else rng.uniform(0.35, 0.65)

    aside = np.clip(rng.normal(0, clap.aside_m), -0.28, 0.28)  # within reach of both hands
    height = rng.uniform(*clap.height_m)
    before = rng.uniform(*clap.before_m)
    turned = rng.uniform(-0.3, 0.3)
    fingers_up = rng.uniform(0.0, 0.9)
    arms = []

    # The right hand travels `share` of the gap between the palms, the left hand the rest.
    for side, part, up in ((RIGHT, share, 1.0), (LEFT, 1 - share, -1.0)):
        from_ = unit(np.array([np.cos(tilt), up * np.sin(tilt), up * turned]))
        fingers = np.array([rng.uniform(-0.7, -0.2), fingers_up + rng.normal(0, 0.15), rng.uniform(0.3, 0.8)])
        fingers = unit(fingers - (fingers @ from_) * from_)

        middle = np.array([(1 if side == LEFT else -1) * aside - person.shoulders_m / 2, height, before])
        away = (0.07 * person.hand_m + part * gap)[:, None]

        hand = fingers + 1.2 * (away - 0.012) * from_  # fingers turn outwards when the hands open
        wrist = middle + away * (from_ + arc) - PALM * person.hand_m * fingers
        arms.append(reach_for(person, wrist, DOWN + rng.uniform(0.3, 2.2) * OUT, hand, -from_))

    bend = rng.uniform(0.0, 0.2, 2)
    spread = rng.uniform(0.02, 0.15, 2)
    right, left = (replace(arm, bend=bend[k], spread=spread[k]) for k, arm in enumerate(arms))
    return Motion(right, left, beat, follow=rng.uniform(0.5, 1.5), bob_m=rng.uniform(0, 0.006) * beat)


class _Wave(NamedTuple):
    """Manner of waving: what swings, and where the arm is. Angles are in radians."""

    share: float
    forearm: float  # share of the swing at the elbow
    upper_arm: float  # share of the swing at the shoulder
    flick: float  # amplitude of the hand, in line with the swing if positive
    swing: tuple[float, float] = (0.12, 0.60)  # amplitude
    raised: tuple[float, float] = (-1.4, -0.2)  # angle of the upper arm above the horizontal
    middle: tuple[float, float] = (-0.35, 0.30)  # outward angle of the forearm
    before: tuple[float, float] = (0.0, 0.9)  # forward part of the upper arm; of the forearm, at most 0.8
    fold: float = 0.0  # bend of the fingers at the end of a fold


_WAVES = {
    "elbow": _Wave(0.40, 1.0, 0.05, 0.2),
    "wrist": _Wave(0.18, 0.2, 0.02, 0.7, swing=(0.1, 0.5)),
    "shoulder": _Wave(0.14, 0.8, 0.35, 0.2, raised=(0.3, 1.3), middle=(-0.2, 0.5)),
    "fingers": _Wave(0.14, 0.1, 0.02, 0.05, swing=(0.0, 0.4), fold=1.0),
    "low": _Wave(0.14, 1.0, 0.05, 0.3, swing=(0.1, 0.5), raised=(-1.5, -1.1), middle=(-0.6, 0.2), before=(0.2, 1.0)),
}
"""Manners of waving."""


def waving_arm(t: Floats, person: Person, rng: np.random.Generator, phase: Floats) -> Arm:
    """Wave: forearm about the elbow, hand about the wrist, arm about the shoulder, or bending fingers."""
    manners = list(_WAVES.values())
    wave = manners[rng.choice(len(manners), p=[manner.share for manner in manners])]

    swing = draw_size(t, person, rng, *wave.swing) * draw_beat(phase, rng)
    raised = rng.uniform(*wave.raised) + wave.upper_arm * swing
    angle = rng.uniform(*wave.middle) + wave.forearm * swing
    upper = track(t, np.cos(raised), np.sin(raised), rng.uniform(*wave.before))
    arm = swing_arm(person, upper, track(t, np.sin(angle), np.cos(angle), rng.uniform(0.0, 0.8)))

    # The hand follows the forearm, or leads it, by up to an eighth of a turn.
    flick = wave.flick * rng.uniform(0.5, 1.5) * np.cos(phase + rng.uniform(-0.8, 0.8))
    hand = unit(arm.hand) + flick[:, None] * OUT

    palm = TO_CAMERA + rng.normal(0, 0.3, 3)
    bend = rng.uniform(0.0, 0.3)
    fold = wave.fold * rng.uniform(0.4, 1.0) * (1 - np.cos(phase)) / 2
    return replace(arm, hand=hand, palm=palm, spread=rng.uniform(0.04, 0.3), bend=bend + (1 - bend) * fold)


def _wave(side: int) -> Movement:
    def movement(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
        phase = draw_phase(t, person, rng, 0.25, 1.1)
        arms = sides(side, waving_arm(t, person, rng, phase), draw_rest(t, person, rng))
        return Motion(*arms, beat=np.cos(phase), follow=rng.uniform(0.5, 2.0))

    return movement


def circling_arm(t: Floats, person: Person, rng: np.random.Generator, phase: Floats) -> Arm:
    """Circle with a stretched arm on a cone: with growing phase, from the top outwards, as seen from the camera."""
    aside = rng.uniform(0.1, 0.8)
    above = rng.uniform(-0.15, 0.35)
    axis = np.array([np.sin(aside) * np.cos(above), np.sin(above), np.cos(aside) * np.cos(above)])
    outwards = unit(OUT - axis[0] * axis)
    upwards = np.cross(axis, outwards)
    angle = np.clip(draw_size(t, person, rng, 0.8, 1.3), 0.5, 1.45)[:, None]

    turn = (phase + 0.15 * np.sin(phase + rng.uniform(0, 2 * np.pi)))[:, None]
    ring = np.cos(turn) * upwards + np.sin(turn) * outwards
    wrist = rng.uniform(0.9, 0.995) * person.reach_m * (np.cos(angle) * axis + np.sin(angle) * ring)

    palm = TO_CAMERA if rng.random() < 0.3 else DOWN + 0.4 * TO_CAMERA
    return replace(reach_for(person, wrist, DOWN + 0.5 * OUT, palm=palm), bend=rng.choice([0.1, 0.3, 0.9]))


def _circle(side: int, clockwise: bool) -> Movement:
    turn = 1 if clockwise == (side == RIGHT) else -1  # clockwise goes outwards on the right, inwards on the left

    def movement(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
        phase = draw_phase(t, person, rng, 0.7, 1.2)
        arms = sides(side, circling_arm(t, person, rng, turn * phase), draw_rest(t, person, rng))
        return Motion(*arms, beat=np.cos(phase), follow=rng.uniform(1.0, 3.0))

    return movement


def _roll(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """Arm roll: forearms in front of the chest rotate about each other, at random distance, radius and rate.

    Small rolls are circles of the fists about each other.
    """
    small = rng.random() < 0.35
    phase = draw_phase(t, person, rng, 0.25, 1.2) * rng.choice([-1, 1])
    radius = draw_size(t, person, rng, *((0.03, 0.07) if small else (0.05, 0.17)))

    height = rng.uniform(-0.40, 0.03)
    before = rng.uniform(0.16, 0.40)
    past = rng.uniform(-0.10, 0.14)  # how far each hand reaches past the middle; negative: hands apart
    flat = rng.uniform(0.6, 1.3)
    elbows = rng.uniform(0.0, 1.5)
    slant = rng.normal(0, 0.2)
    bend = rng.choice([0.1, 0.5, 0.95])
    bent = rng.uniform(-0.3, 0.3)
    apart = np.pi + rng.normal(0, 0.25)

    # Both forearms are on one circle, half a turn apart.
    arms = []
    for turn, sign in ((phase, 1), (phase + apart, -1)):
        size = radius * rng.uniform(0.85, 1.15)
        up = height + size * np.sin(turn)
        across = -person.shoulders_m / 2 - past + sign * slant * size * np.sin(turn)
        wrist = track(t, across, up, before + flat * size * np.cos(turn))

        arm = reach_for(person, wrist, OUT + elbows * DOWN, palm=np.array([0.2, -0.5, -1.0]))
        arms.append(replace(arm, hand=unit(arm.hand) + bent * DOWN, bend=bend))

    return Motion(arms[0], arms[1], np.sin(2 * phase), rng.uniform(0.5, 2), bob_m=rng.uniform(0, 0.01) * np.sin(phase))


_RATIOS = ((1.0, 1.0, np.pi), (1.0, 1.0, 0.0), (1.0, 0.5, 0.0), (0.5, 1.0, 0.0))
"""Rates of both drumming hands relative to the phase, and phase difference."""


def _drums(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """Air drums: fists strike or circle, from belly to face: in turn, together, at half rate, or independently.

    Drummers may raise their hands high, and move from drum to drum.
    """
    phase = draw_phase(t, person, rng, 0.25, 0.75)
    kind = rng.choice(len(_RATIOS) + 1, p=[0.40, 0.08, 0.15, 0.12, 0.25])
    if kind < len(_RATIOS):
        right, left, apart = _RATIOS[kind]
        turns = [right * phase, left * phase + apart]
    else:
        turns = [phase, draw_phase(t, person, rng, 0.35, 1.2)]

    high = rng.random() < 0.25
    travel_m = (0.15, 0.30) if high else (0.03, 0.18)  # half of the way of a stroke
    height = rng.uniform(-0.2, 0.05) if high else rng.uniform(-0.40, 0.0)
    before = rng.uniform(0.18, 0.42)
    tilt = rng.normal(0, 0.25)
    bend = rng.uniform(0.5, 1)
    inward = rng.uniform(-0.6, 0.0)
    elbows = rng.uniform(0.1, 0.9)
    round_ = rng.uniform(0.4, 1.0) * rng.choice([-1, 1]) if rng.random() < 0.35 else 0.0  # circles from the elbow
    inwards = rng.uniform(-0.5, 0.5)

    # Both hands move to drums on the same side.
    roam = rng.uniform(0.0, 0.14) if rng.random() < 0.4 else rng.uniform(0.0, 0.04)
    drum = rng.normal(0, 0.06) + roam * wander(t, rng)
    aside = rng.uniform(-0.11, 0.12)

    arms = []
    for turn, outwards in ((turns[RIGHT], -1.0), (turns[LEFT], 1.0)):
        size = draw_size(t, person, rng, *travel_m)
        stroke = size * draw_beat(turn, rng)
        forth = size * round_ * np.sin(turn)
        x = aside + outwards * drum + rng.normal(0, 0.03) + tilt * stroke + inwards * forth
        y = height + rng.normal(0, 0.04) + stroke
        wrist = track(t, x, y, before + rng.normal(0, 0.03) - 0.3 * stroke + forth)

        hand = track(t, inward, 0.2 + 3 * stroke, 1.0)
        arms.append(replace(reach_for(person, wrist, DOWN + elbows * OUT, hand, palm=DOWN), bend=bend))

    return Motion(arms[0], arms[1], np.cos(phase), rng.uniform(0.5, 2.5), bow=rng.uniform(0.0, 0.15))


def _guitar(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """Air guitar: one hand strums at or beside the belly, from wrist or elbow; the other holds the neck, nearly still.

    Both hands can be outside the shoulders; the hand on the neck, by half an arm.
    """
    phase = draw_phase(t, person, rng, 0.22, 0.75)
    beat = draw_beat(phase, rng)

    from_wrist = rng.random() < 0.3
    travel = draw_size(t, person, rng, *((0.01, 0.03) if from_wrist else (0.03, 0.20)))
    stroke = travel * beat
    slant = rng.uniform(-0.2, 0.6)
    forth = rng.uniform(-0.5, 0.7)

    x = rng.uniform(-0.24, 0.14)
    y = rng.uniform(-0.42, -0.12)
    z = rng.uniform(0.12, 0.30)
    turned = (0.8 if from_wrist else 2 * travel) * beat

    wrist = track(t, x + slant * stroke, y + stroke, z + forth * stroke)
    strum = reach_for(
        person, wrist, OUT + 0.3 * DOWN - 0.2 * FORWARD, hand=track(t, -1.0, -0.5 + turned, 0.3), palm=-TO_CAMERA
    )

    slide = rng.uniform(0.0, 0.05) * wander(t, rng) + 0.015 * np.cos(phase / 2 + 1)
    neck = track(t, rng.uniform(0.02, 0.40) + slide, rng.uniform(-0.32, 0.10) + 0.5 * slide, rng.uniform(0.08, 0.35))
    hold = reach_for(person, neck, DOWN + 0.3 * OUT, hand=track(t, 0.1, 1.0, 0.2), palm=INWARD + TO_CAMERA)
    fingering = np.clip(0.6 + rng.uniform(0, 0.2) * np.cos(0.5 * phase + 2), 0, 1)

    sway = rng.uniform(0.0, 0.03)
    bob = rng.uniform(0.0, 0.012)
    arms = sides(leading(person), replace(strum, bend=rng.uniform(0.3, 0.9)), replace(hold, bend=fingering))

    return Motion(
        *arms,
        beat,
        lean=rng.normal(-0.04, 0.07) + sway * np.cos(phase / 2),
        bow=rng.uniform(0.0, 0.15),
        bob_m=bob * np.cos(phase),
    )


TEN_GESTURES: dict[str, Movement] = {  # in the order of IBM's labels
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
}
