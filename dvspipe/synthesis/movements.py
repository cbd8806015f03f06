"""The ten gestures of DVS128 Gesture as movements.

Ranges of claps and waves come from films of people (`dvspipe track`). Claps: 1.0 to 4 Hz, hands opening by 0.4 to 3.5
shoulder widths. Waves: 0.9 to 3.5 Hz, over 0.2 to 1 shoulder width, from elbow, wrist or fingers.

Rates, sizes and positions of the other two-handed gestures are centred on motion capture at 60 frames per second, with
lengths relative to the arm from shoulder to wrist. Claps: 3.2 Hz, 0.16 to 0.20 per hand, horizontal. Drumming hands:
1.6 and 0.8 Hz, over 0.35. Guitar: strummed at 3.4 Hz over 0.25, with the hands 0.25 and 0.63 outside the shoulders. The
widths of the ranges are guesses.
"""

from __future__ import annotations

from dataclasses import replace

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
    draw_phase,
    draw_rest,
    draw_size,
    ease,
    leading,
    reach_for,
    sides,
    swing_arm,
    track,
    wander,
)
from .people import LEFT, PALM, RIGHT, Floats, Person, unit


def _clapping(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """Clap: palms meet at a random point in front of the chest, along a random line, from random distances.

    In wide claps, the arms open to the sides, moving down and back.
    """
    wide = rng.random() < 0.4
    beat = ease(draw_phase(t, person, rng, *((0.4, 1.3) if wide else (0.2, 0.7))), rng.uniform(-0.25, 0.3))
    gap = draw_size(t, person, rng, *((0.35, 1.25) if wide else (0.05, 0.34))) * (1 - beat) / 2
    tilt = rng.normal(0, 0.15) if wide or rng.random() < 0.85 else rng.choice([-1, 1]) * rng.uniform(0.3, 1.4)

    one_hand = not wide and rng.random() < 0.5
    share = rng.choice([0.08, 0.92]) + rng.uniform(-0.06, 0.06) if one_hand else rng.uniform(0.35, 0.65)
    arc = np.array([0.0, rng.uniform(-0.4, 0.15), rng.uniform(-0.8, -0.2)]) if wide else np.zeros(3)

    aside = rng.normal(0, 0.03 if wide else 0.07)
    height = rng.uniform(-0.25 if wide else -0.36, 0.03)
    before = rng.uniform(0.32, 0.50) if wide else rng.uniform(0.22, 0.36)
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


_WAVE_SHARES = ((1.0, 0.05, 0.0), (0.2, 0.02, 1.2), (0.8, 0.35, 0.2), (0.1, 0.02, 0.1))
"""Shares of forearm swing, upper arm swing and hand flick in waves from elbow, wrist, shoulder and fingers."""


def waving_arm(t: Floats, person: Person, rng: np.random.Generator, phase: Floats) -> Arm:
    """Wave: forearm about the elbow, hand about the wrist, arm about the shoulder, or bending fingers."""
    swing = draw_size(t, person, rng, 0.2, 0.65) * ease(phase, rng.uniform(-0.1, 0.2))
    kind = rng.choice(4, p=[0.52, 0.2, 0.14, 0.14])
    middle = rng.uniform(-0.35, 0.25)
    raised = rng.uniform(-1.4, -0.2)
    forward = rng.uniform(0.0, 0.7)

    # A wave from the shoulder has a raised arm.
    if kind == 2:
        middle = rng.uniform(-0.1, 0.4)
        raised = rng.uniform(0.3, 1.2)

    fore_swing, upper_swing, flick = _WAVE_SHARES[kind]
    if kind == 0:
        flick = rng.uniform(-0.2, 0.5)

    upper = track(t, np.cos(raised + upper_swing * swing), np.sin(raised + upper_swing * swing), forward)
    angle = middle + fore_swing * swing
    arm = swing_arm(person, upper, track(t, np.sin(angle), np.cos(angle), rng.uniform(0.0, 0.6)))

    # The hand follows the forearm with a delay, except in a wave from the wrist.
    lag = flick * ease(phase - (0.8 if kind != 1 else 0.0), 0.1)
    hand = unit(arm.hand) + (0.6 * lag if kind == 1 else lag)[:, None] * OUT

    palm = TO_CAMERA + rng.normal(0, 0.25, 3)
    bend = rng.uniform(0.0, 0.2) + (0.35 * (1 - np.cos(phase)) if kind == 3 else 0.0)
    return replace(arm, hand=hand, palm=palm, spread=rng.uniform(0.04, 0.3), bend=bend)


def _wave(side: int) -> Movement:
    def movement(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
        phase = draw_phase(t, person, rng, 0.28, 1.05)
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
    """Arm roll: forearms in front of the chest rotate about each other, at random distance, radius and rate."""
    phase = draw_phase(t, person, rng, 0.3, 1.0) * rng.choice([-1, 1])
    radius = draw_size(t, person, rng, 0.04, 0.14)

    height = rng.uniform(-0.38, -0.04)
    before = rng.uniform(0.16, 0.34)
    past = rng.uniform(-0.04, 0.14)
    flat = rng.uniform(0.6, 1.3)
    elbows = rng.uniform(0.0, 1.5)
    slant = rng.normal(0, 0.2)
    bend = rng.choice([0.1, 0.5, 0.95])
    bent = rng.uniform(-0.3, 0.3)

    # Both forearms are on one circle, half a turn apart.
    arms = []
    for turn, sign in ((phase, 1), (phase + np.pi, -1)):
        up = height + radius * np.sin(turn)
        wrist = track(
            t,
            -person.shoulders_m / 2 - past + sign * slant * radius * np.sin(turn),
            up,
            before + flat * radius * np.cos(turn),
        )

        arm = reach_for(person, wrist, OUT + elbows * DOWN, palm=np.array([0.2, -0.5, -1.0]))
        arms.append(replace(arm, hand=unit(arm.hand) + bent * DOWN, bend=bend))

    return Motion(arms[0], arms[1], np.sin(2 * phase), rng.uniform(0.5, 2), bob_m=rng.uniform(0, 0.01) * np.sin(phase))


_RATIOS = ((1.0, 1.0, np.pi), (1.0, 1.0, 0.0), (1.0, 0.5, 0.0), (0.5, 1.0, 0.0))
"""Rates of both drumming hands relative to the phase, and phase difference."""


def _drums(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """Air drums: fists strike or circle at belly or chest: in turn, together, at half rate, or independently."""
    phase = draw_phase(t, person, rng, 0.28, 0.65)
    kind = rng.choice(len(_RATIOS) + 1, p=[0.35, 0.1, 0.18, 0.12, 0.25])
    if kind < len(_RATIOS):
        right, left, apart = _RATIOS[kind]
        turns = [right * phase, left * phase + apart]
    else:
        turns = [phase, draw_phase(t, person, rng, 0.35, 1.2)]

    height = rng.uniform(-0.34, -0.02)
    before = rng.uniform(0.18, 0.40)
    aside = rng.uniform(-0.11, 0.12)
    sharp = rng.uniform(-0.3, 0.1)
    tilt = rng.normal(0, 0.25)
    roam = rng.uniform(0.0, 0.06)
    bend = rng.uniform(0.5, 1)
    inward = rng.uniform(-0.6, 0.0)
    elbows = rng.uniform(0.1, 0.9)
    round_ = rng.uniform(0.4, 1.0) * rng.choice([-1, 1]) if rng.random() < 0.35 else 0.0  # circles from the elbow
    inwards = rng.uniform(-0.5, 0.5)

    arms = []
    for turn in turns:
        size = draw_size(t, person, rng, 0.05, 0.18)
        stroke = size * ease(turn, sharp)
        forth = size * round_ * np.sin(turn)
        x = aside + rng.normal(0, 0.025) + tilt * stroke + roam * wander(t, rng) + inwards * forth
        wrist = track(t, x, height + rng.normal(0, 0.025) + stroke, before - 0.3 * stroke + forth)

        hand = track(t, inward, 0.2 + 3 * stroke, 1.0)
        arms.append(replace(reach_for(person, wrist, DOWN + elbows * OUT, hand, palm=DOWN), bend=bend))

    return Motion(arms[0], arms[1], np.cos(phase), rng.uniform(0.5, 2.5), bow=rng.uniform(0.0, 0.12))


def _guitar(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """Air guitar: one hand strums at or beside the belly, from wrist or elbow; the other holds the neck, nearly still.

    Both hands can be outside the shoulders; the hand on the neck, by half an arm.
    """
    phase = draw_phase(t, person, rng, 0.22, 0.6)
    beat = ease(phase, rng.uniform(-0.2, 0.2))

    from_wrist = rng.random() < 0.3
    travel = draw_size(t, person, rng, *((0.01, 0.03) if from_wrist else (0.04, 0.17)))
    stroke = travel * beat
    slant = rng.uniform(-0.2, 0.6)
    forth = rng.uniform(-0.5, 0.7)

    x = rng.uniform(-0.24, 0.13)
    y = rng.uniform(-0.42, -0.16)
    z = rng.uniform(0.14, 0.26)
    turned = (0.8 if from_wrist else 2 * travel) * beat

    wrist = track(t, x + slant * stroke, y + stroke, z + forth * stroke)
    strum = reach_for(
        person, wrist, OUT + 0.3 * DOWN - 0.2 * FORWARD, hand=track(t, -1.0, -0.5 + turned, 0.3), palm=-TO_CAMERA
    )

    slide = rng.uniform(0.0, 0.05) * wander(t, rng) + 0.015 * np.cos(phase / 2 + 1)
    neck = track(t, rng.uniform(0.05, 0.38) + slide, rng.uniform(-0.30, 0.04) + 0.5 * slide, rng.uniform(0.08, 0.3))
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
