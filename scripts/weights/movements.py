"""Movements of the tracks that train the joint network, in addition to the movements of rendered people.

Places are in arm lengths: outwards, up and forwards from the shoulder. Their ranges cover the tracks of films of
strangers. In these films, the hand of a wave is 0.3 below to 0.7 above the shoulder and 0.2 to 0.9 in front of it; it
moves by 0.01 to 0.35 to each side, often with a still wrist.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dvspipe.base.gestures import OTHER
from dvspipe.synthesis import Repertoire
from dvspipe.synthesis.motion import (
    DOWN,
    OUT,
    TO_CAMERA,
    Arm,
    Motion,
    Movement,
    draw_beat,
    draw_phase,
    reach_for,
    sides,
    smooth_step,
    wander,
)
from dvspipe.synthesis.movements import MOVEMENTS, draw_rest
from dvspipe.synthesis.people import LEFT, RIGHT, Floats, Person, unit

UP = -DOWN
DRAWN_SHARE = 0.7  # share of claps and waves by this module
DRAWN_OTHER_SHARE = 0.5  # the same of other gestures
FEW_STROKES = 0.3  # share of movements with one to three strokes
STILL = 0.12  # share of waves whose wrist and hand do not move: fingers fold, or pictures are too few
HANDS = np.array([[-0.8, -0.6, -0.2], [0.6, 1.0, 1.0]])  # directions of hands


def draw_size(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a size; its logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def draw_strokes(t: Floats, person: Person, rng: np.random.Generator, fastest_s: float, slowest_s: float) -> Floats:
    """Draw a repeated movement, -1 to 1, [T]; sometimes one to three strokes, before and after which the hand waits."""
    period_s = draw_size(rng, fastest_s, slowest_s)
    beat = draw_beat(draw_phase(t, person, rng, period_s, period_s), rng)
    if rng.random() >= FEW_STROKES:
        return beat

    start_s = rng.uniform(t[0], t[-1])
    stop_s = start_s + rng.integers(1, 4) * period_s
    return beat * smooth_step(t, start_s, start_s + 0.1) * (1 - smooth_step(t, stop_s, stop_s + 0.1))


def draw_wave(t: Floats, person: Person, rng: np.random.Generator) -> Arm:
    """Wave with a hand beside the head or in front of the shoulder: the hand moves sideways, or hardly at all."""
    low = rng.random() < 0.7
    place = rng.uniform([-0.2, -0.4, 0.2], [0.5, 0.2, 0.9]) if low else rng.uniform([-0.1, 0.1, 0.0], [0.7, 0.75, 0.7])

    beat = draw_strokes(t, person, rng, 0.17, 1.3)
    still = rng.random() < STILL
    size = 0.0 if still else draw_size(rng, 0.01, 0.35)
    flick = 0.0 if still else draw_size(rng, 0.03, 0.9)

    # The hand moves on an arc about the elbow: it is highest in the middle.
    across = unit(OUT + rng.normal(0, 0.25, 3))
    drop = rng.uniform(0, 1.2) * size**2
    wrist = place + size * beat[:, None] * across + drop * (beat**2)[:, None] * DOWN
    drift = rng.uniform(0, 0.05) * np.stack([wander(t, rng) for _ in range(3)], axis=-1)

    hand = UP + rng.normal(0, 0.3, 3) + flick * beat[:, None] * OUT
    arm = reach_for(person, person.reach_m * (wrist + drift), DOWN + rng.uniform(-0.1, 1.2) * OUT, hand, TO_CAMERA)
    return replace(arm, bend=0.1)


def clap(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """Clap anywhere before the body: the wrists approach each other, mostly sideways, up to the width of a hand."""
    if rng.random() >= DRAWN_SHARE:
        return MOVEMENTS["hand_clapping"](t, person, rng)

    beat = draw_strokes(t, person, rng, 0.17, 1.2)
    opening = np.maximum(0.5 - 0.5 * beat, 0) ** draw_size(rng, 0.5, 1.5) * draw_size(rng, 0.12, 2.5)
    opening *= 1 + rng.uniform(0, 0.5) * wander(2 * t, rng)  # strokes differ
    least = rng.uniform(0.04, 0.15)
    share = np.clip(rng.normal(0.5, 0.2), 0, 1)
    rising = rng.normal(0, 0.5)  # both hands rise or sink while they part

    # Many hands part on another way than they meet: a loop follows the speed of the opening.
    looping = rng.normal(0, 1.3) if rng.random() < 0.4 else 0.0
    speed = np.gradient(opening, t)
    loop = looping * speed / (np.abs(speed).max() + 1e-9) * opening.max() / 2

    middle = rng.uniform([-0.15, -0.8, 0.2], [0.15, 0.2, 0.95])
    drift = rng.uniform(0, 0.06) * np.stack([wander(t, rng) for _ in range(3)], axis=-1)
    elbows = DOWN + rng.uniform(0, 1.5) * OUT
    hand = unit(rng.uniform([-0.6, -0.2, 0.2], [0.1, 1, 1]))

    # The right hand travels `share` of the opening, the left hand the rest.
    half = person.shoulders_m / person.reach_m / 2
    arms = []
    for sign, part in ((-1.0, share), (1.0, 1 - share)):
        away = OUT + rng.normal([0, rising, 0], [0, 0.25, 0.35])
        wrist = (middle + drift) * (sign, 1, 1) + part * opening[:, None] * away + (least - half) * OUT
        wrist = wrist + part * loop[:, None] * UP
        arms.append(reach_for(person, person.reach_m * wrist, elbows + rng.normal(0, 0.15, 3), hand))

    return Motion(arms[RIGHT], arms[LEFT], beat, follow=rng.uniform(0, 2))


def wave_with(side: int) -> Movement:
    """Return a wave with a hand."""

    def movement(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
        if rng.random() >= DRAWN_SHARE:
            return MOVEMENTS["right_hand_wave" if side == RIGHT else "left_hand_wave"](t, person, rng)
        return Motion(*sides(side, draw_wave(t, person, rng), draw_rest(t, person, rng)), follow=rng.uniform(0.5, 2))

    return movement


def draw_path(t: Floats, rng: np.random.Generator, box: Floats, hold_s: tuple[float, float], move_s: float) -> Floats:
    """Draw a path between random points of a box [2, 3], with a stay at each point, [T, 3]."""
    point = rng.uniform(*box)
    path = np.tile(point, (len(t), 1))
    now_s = t[0] + rng.uniform(0, hold_s[1])

    while now_s < t[-1]:
        following = rng.uniform(*box)
        path += smooth_step(t, now_s, now_s + move_s)[:, None] * (following - point)
        now_s += move_s + rng.uniform(*hold_s)
        point = following
    return path


BOXES = {
    "chest": [[-0.5, -0.6, 0.25], [0.3, 0.0, 0.8]],
    "face": [[-0.45, -0.1, 0.1], [0.1, 0.55, 0.5]],
    "side": [[0.1, -0.5, 0.0], [0.95, 0.6, 0.6]],
    "high": [[-0.4, 0.3, 0.0], [0.6, 0.95, 0.7]],
    "low": [[-0.4, -1.0, 0.0], [0.4, -0.45, 0.7]],
    "all": [[-0.6, -1.0, 0.0], [0.9, 0.95, 0.9]],
}
"""Where hands move from place to place."""
KINDS = {"one": 0.45, "mirrored": 0.1, "meeting": 0.08, "touching": 0.07, "apart": 0.15, "near": 0.15}
"""Share of movements with one hand, both hands mirrored, mirrored and meeting once, mirrored and touching, both hands
independent, and one hand near the other."""
HANDS_TOGETHER = np.array([[-0.38, -0.6, 0.3], [-0.3, 0.15, 0.8]])  # both hands touch in front of the body
HANDS_APART = np.array([[0.05, -0.9, 0.0], [0.9, 0.9, 0.8]])  # both hands at a distance of half an arm or more


def draw_other(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """Move hands from place to place, with small strokes in between: signs, work, sports, exercise, talk; see KINDS."""
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    hold_s = (0.8, 2.5) if kind == "meeting" else ((0.0, 0.3), (0.2, 0.8), (0.6, 2.5))[rng.integers(3)]
    move_s = draw_size(rng, 0.12, 1.2)

    box = np.array(BOXES[str(rng.choice(list(BOXES), p=[0.27, 0.25, 0.13, 0.1, 0.1, 0.15]))])
    mirrored = kind in ("mirrored", "meeting", "touching")
    if mirrored:
        box = HANDS_TOGETHER if kind == "touching" else HANDS_APART
    if rng.random() < 0.3:
        middle = rng.uniform(*box)
        box = middle + draw_size(rng, 0.02, 0.5) * (box - middle)  # short ways

    # Strokes at the places. Raised hands that move sideways would be a wave, hands that meet a clap.
    direction = unit(rng.normal(size=3) * ((0.3, 1, 1) if mirrored or kind == "one" else 1))
    size = draw_size(rng, 0.01, 0.35) if rng.random() < 0.6 else 0.0
    stroke = size * draw_strokes(t, person, rng, 0.2, 1.6)[:, None] * direction
    path = draw_path(t, rng, box, hold_s, move_s)
    if kind == "meeting":  # once; a clap is repeated
        start_s = rng.uniform(t[0], t[-1])
        part_s = start_s + move_s + rng.uniform(*hold_s)
        together = smooth_step(t, start_s, start_s + move_s) * (1 - smooth_step(t, part_s, part_s + move_s))
        way = rng.uniform([0.2, -0.5, -0.4], [1.2, 0.6, 0.3])
        path = rng.uniform(*HANDS_TOGETHER) + (1 - together)[:, None] * way
    wrist = path + stroke
    hand = draw_path(t, rng, HANDS, hold_s, move_s)

    leading = int(rng.integers(2))
    elbows = DOWN + rng.uniform(-0.2, 1.5, 3) * OUT
    arm = reach_for(person, person.reach_m * wrist, elbows, hand)
    if kind == "one":
        other = draw_rest(t, person, rng)
    elif mirrored:
        shift = rng.normal(0, 0.03, 3)
        turned = rng.choice([1, 1, -1]) * stroke - stroke  # together, or in turn
        other = reach_for(person, person.reach_m * (wrist + turned + shift), elbows, hand)
    else:
        box = np.array(BOXES["chest"]) if kind == "near" else box
        still = (1.0, 3.0) if kind == "near" else hold_s
        place = draw_path(t, rng, box, still, move_s)
        other = reach_for(person, person.reach_m * place, elbows, draw_path(t, rng, HANDS, still, move_s))

    bob = rng.choice([0.0, 0.0, 0.1]) * draw_strokes(t, person, rng, 0.4, 1.5)
    return Motion(*sides(leading, arm, other), follow=rng.uniform(0, 2), bow=rng.uniform(0, 0.3), bob_m=bob)


def perform_other(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """Perform a movement outside the ten gestures."""
    movement = draw_other if rng.random() < DRAWN_OTHER_SHARE else MOVEMENTS[OTHER]
    return movement(t, person, rng)


REPERTOIRE: Repertoire = {
    **MOVEMENTS,
    "hand_clapping": clap,
    "right_hand_wave": wave_with(RIGHT),
    "left_hand_wave": wave_with(LEFT),
    OTHER: perform_other,
}
