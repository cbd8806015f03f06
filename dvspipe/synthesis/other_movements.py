"""Movements of the class `other_gestures`: other gestures, and what people do between gestures."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from .motion import (
    DOWN,
    INWARD,
    OUT,
    Arm,
    Motion,
    Movement,
    draw_phase,
    draw_rest,
    draw_stroke,
    leading,
    reach_for,
    smooth_step,
    swing_arm,
    track,
    wander,
)
from .movements import circling_arm, waving_arm
from .people import LEFT, RIGHT, Floats, Person


def _both_circle(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    phase = draw_phase(t, person, rng, 0.7, 1.2) * rng.choice([-1, 1])
    other = phase + rng.choice([0, np.pi]) if rng.random() < 0.6 else -phase

    arms = [circling_arm(t, person, rng, turn) for turn in (phase, other)]
    return Motion(arms[0], arms[1], np.cos(phase))


def _both_wave(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    phase = draw_phase(t, person, rng, 0.4, 0.8)
    arms = [waving_arm(t, person, rng, phase + shift) for shift in (0, rng.choice([0, np.pi]))]
    return Motion(arms[0], arms[1], np.cos(phase))


_PhaseShift = Literal["none", "half", "either", "independent"]
"""Shift between the hands: none (together), half a cycle (in turn), either of both, or each hand at its own rate."""
_LEADING_SHARE = 0.7  # share of the performances with one hand in which the leading hand moves
_WAITING_SHARE = 0.3  # share in which the other hand waits near the start of the movement; otherwise it rests


class _Cycle(NamedTuple):
    """Movement of the wrists from a start to an end and back: outwards, up, forwards in units of the reach.

    A shoulder is about 0.34 from the middle of the body.
    """

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    period_s: tuple[float, float] = (0.6, 1.5)  # period of the fastest and the slowest person
    around: tuple[float, float, float] = (0, 0, 0)  # offset between start and end; its negative on the way back
    phase_shift: _PhaseShift = "either"
    both_hands_share: float = 0.5  # share of performances with both hands
    place_sd: float = 0.07  # standard deviation of start and end
    hand_direction: tuple[float, float, float] | None = None  # with the palm inwards; None: any palm
    max_bow: float = 0.2  # angle of the torso
    max_bob_m: float = 0.01  # height by which the body moves


_CYCLES = {
    "push": _Cycle((0.0, -0.25, 0.35), (0.0, -0.1, 0.95)),
    "raise": _Cycle((0.2, -0.95, 0.1), (0.35, 0.9, 0.2)),
    "spread": _Cycle((0.1, -0.3, 0.6), (0.95, 0.0, 0.2)),  # if the hands met, it would be a clap
    "cross": _Cycle((0.5, -0.3, 0.5), (-0.75, -0.2, 0.45)),
    "flap": _Cycle((0.75, -0.6, 0.1), (0.9, 0.35, 0.15)),
    "punch_up": _Cycle((0.1, -0.2, 0.3), (0.15, 0.95, 0.2)),
    "salute": _Cycle((0.2, -0.9, 0.15), (-0.05, 0.42, 0.3)),
    "point": _Cycle((0.25, -0.6, 0.3), (0.7, 0.1, 0.65)),
    "pull": _Cycle((0.0, 0.1, 0.9), (0.1, -0.5, 0.3)),
    "lift": _Cycle((0.0, -0.75, 0.4), (0.0, 0.1, 0.5)),
    "chop": _Cycle((0.1, 0.3, 0.5), (-0.5, -0.5, 0.5)),
    "swim": _Cycle((-0.1, 0.3, 0.8), (0.6, -0.7, 0.3)),
    # Hands together, or near each other, in front of the body.
    "wash": _Cycle(
        (-0.22, -0.55, 0.45),
        (-0.28, -0.48, 0.6),
        period_s=(0.3, 1.0),
        around=(0.0, 0.06, 0.03),
        phase_shift="half",
        both_hands_share=1,
        place_sd=0.04,
        hand_direction=(-0.7, 0, 0.6),
    ),
    "rub": _Cycle(
        (-0.28, -0.42, 0.42),
        (-0.29, -0.28, 0.6),
        period_s=(0.2, 0.8),
        phase_shift="half",
        both_hands_share=1,
        place_sd=0.03,
        hand_direction=(-0.2, 0.5, 0.8),
    ),
    "knead": _Cycle(
        (-0.2, -0.5, 0.4),
        (-0.25, -0.6, 0.65),
        period_s=(0.5, 1.2),
        around=(0, 0.05, 0),
        phase_shift="none",
        both_hands_share=1,
        place_sd=0.05,
        hand_direction=(-0.3, -0.3, 1),
    ),
    "type": _Cycle(
        (-0.15, -0.62, 0.6),
        (-0.17, -0.56, 0.6),
        period_s=(0.15, 0.6),
        around=(0.03, 0, 0),
        phase_shift="independent",
        both_hands_share=1,
        place_sd=0.05,
        hand_direction=(0, -0.2, 1),
    ),
    "piano": _Cycle(
        (0.15, -0.50, 0.6),
        (-0.25, -0.42, 0.6),
        period_s=(0.5, 2.0),
        around=(0, 0.05, 0),
        phase_shift="independent",
        both_hands_share=1,
    ),
    "text": _Cycle(
        (-0.27, -0.32, 0.5),
        (-0.28, -0.30, 0.5),
        period_s=(0.2, 1.0),
        around=(0.01, 0, 0),
        phase_shift="independent",
        both_hands_share=1,
        place_sd=0.05,
        hand_direction=(-0.5, 0.4, 0.6),
    ),
    "drive": _Cycle(
        (0.05, -0.15, 0.7),
        (-0.1, -0.4, 0.7),
        period_s=(0.8, 2.5),
        around=(0.08, 0, 0),
        phase_shift="half",
        both_hands_share=1,
    ),
    "namaste": _Cycle(
        (-0.28, -0.22, 0.40),
        (-0.28, -0.35, 0.5),
        period_s=(0.8, 3.0),
        phase_shift="none",
        both_hands_share=1,
        place_sd=0.03,
        hand_direction=(-0.15, 1, 0.3),
    ),
    "heart": _Cycle(
        (-0.20, -0.1, 0.50),
        (-0.20, -0.25, 0.7),
        period_s=(0.7, 3.0),
        phase_shift="none",
        both_hands_share=1,
        place_sd=0.04,
        hand_direction=(-0.6, 0.7, 0.2),
    ),
    "beg": _Cycle(
        (-0.28, -0.35, 0.5),
        (-0.28, -0.15, 0.5),
        period_s=(0.3, 0.9),
        around=(0, 0, 0.05),
        phase_shift="none",
        both_hands_share=1,
        place_sd=0.03,
        hand_direction=(-0.15, 0.8, 0.6),
    ),
    "talk": _Cycle(
        (-0.05, -0.50, 0.45),
        (0.2, -0.25, 0.55),
        period_s=(0.4, 1.8),
        around=(0.1, 0.05, 0.1),
        phase_shift="independent",
        both_hands_share=0.8,
        place_sd=0.12,
    ),
    "weigh": _Cycle(
        (0.05, -0.50, 0.5), (0.05, -0.15, 0.5), period_s=(0.7, 1.8), phase_shift="half", both_hands_share=1
    ),
    "stir": _Cycle(
        (-0.30, -0.45, 0.5),
        (-0.05, -0.45, 0.5),
        period_s=(0.5, 1.2),
        around=(0, 0, 0.1),
        phase_shift="none",
        both_hands_share=0.1,
    ),
    "shake_hands": _Cycle(
        (-0.1, -0.45, 0.7), (-0.1, -0.30, 0.7), period_s=(0.25, 0.6), phase_shift="none", both_hands_share=0.2
    ),
    "knock": _Cycle((0.0, 0.0, 0.5), (0.0, 0.0, 0.75), period_s=(0.2, 0.6), phase_shift="none", both_hands_share=0.1),
    "wipe": _Cycle(
        (-0.45, -0.25, 0.75),
        (0.3, -0.25, 0.75),
        period_s=(0.5, 1.5),
        around=(0, 0.1, 0),
        phase_shift="none",
        both_hands_share=0.1,
    ),
    # Hands at the face.
    "eat": _Cycle(
        (-0.15, -0.65, 0.5),
        (-0.33, 0.12, 0.3),
        period_s=(1.0, 3.0),
        around=(0, 0, 0.1),
        phase_shift="half",
        both_hands_share=0.3,
    ),
    "drink": _Cycle(
        (-0.1, -0.5, 0.5), (-0.30, 0.18, 0.32), period_s=(1.5, 4.0), phase_shift="none", both_hands_share=0.2
    ),
    "phone": _Cycle(
        (-0.05, 0.25, 0.12),
        (-0.07, 0.30, 0.18),
        period_s=(0.8, 3.0),
        around=(0.02, 0, 0),
        phase_shift="none",
        both_hands_share=0,
    ),
    "hair": _Cycle(
        (-0.20, 0.62, 0.15), (-0.10, 0.35, -0.05), period_s=(0.4, 1.6), around=(0, 0, 0.1), both_hands_share=0.6
    ),
    "cat": _Cycle((-0.2, 0.12, 0.35), (0.1, 0.12, 0.32), period_s=(0.35, 1.2), both_hands_share=0.7, place_sd=0.04),
    "paws": _Cycle((-0.1, 0.05, 0.4), (-0.1, -0.1, 0.5), period_s=(0.4, 1.2), both_hands_share=1),
    "greet_both": _Cycle(
        (0.3, 0.45, 0.4), (0.6, 0.40, 0.4), period_s=(0.35, 1.0), around=(0, 0.03, 0), both_hands_share=1
    ),
    # The body moves too.
    "breast_stroke": _Cycle(
        (-0.3, -0.1, 0.8),
        (0.5, -0.3, 0.3),
        period_s=(0.9, 2.2),
        around=(0.2, -0.1, 0.15),
        phase_shift="none",
        both_hands_share=1,
        max_bow=0.5,
    ),
    "crawl": _Cycle(
        (0.1, 0.45, 0.5),
        (0.2, -0.6, 0.2),
        period_s=(0.8, 2.0),
        around=(0, 0.2, 0.45),
        phase_shift="half",
        both_hands_share=1,
        max_bow=0.5,
    ),
    "throw": _Cycle(
        (0.35, 0.45, -0.05),
        (-0.1, -0.1, 0.85),
        period_s=(0.7, 1.8),
        around=(0, 0.25, 0),
        phase_shift="none",
        both_hands_share=0.1,
    ),
    "dance": _Cycle(
        (0.3, -0.35, 0.4),
        (-0.05, -0.1, 0.45),
        period_s=(0.4, 1.1),
        around=(0.1, 0.1, 0.1),
        both_hands_share=1,
        place_sd=0.15,
        max_bob_m=0.06,
    ),
    "dance_high": _Cycle(
        (0.4, 0.6, 0.2),
        (0.0, 0.8, 0.2),
        period_s=(0.4, 1.2),
        around=(0, 0.1, 0.1),
        both_hands_share=0.8,
        place_sd=0.12,
        max_bob_m=0.06,
    ),
    "small_circles": _Cycle(
        (0.93, 0.15, 0.1), (0.93, -0.1, 0.1), period_s=(0.4, 1.3), around=(0, 0, 0.12), both_hands_share=0.9
    ),
    "arm_circles": _Cycle(
        (0.2, 0.95, 0.1), (0.3, -0.9, 0.1), period_s=(0.8, 2.2), around=(0.3, 0, 0.7), both_hands_share=0.9
    ),
    "squat": _Cycle(
        (0.1, -0.9, 0.2),
        (0.0, -0.05, 0.9),
        period_s=(1.0, 2.5),
        phase_shift="none",
        both_hands_share=1,
        max_bow=0.5,
        max_bob_m=0.4,
    ),
    "jumping_jack": _Cycle(
        (0.85, -0.5, 0.1),
        (-0.1, 0.95, 0.1),
        period_s=(0.6, 1.3),
        phase_shift="none",
        both_hands_share=1,
        max_bob_m=0.12,
    ),
}
"""Everyday movements."""


def _cycling(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """Perform one of the everyday movements."""
    return _cycle(_CYCLES[str(rng.choice(list(_CYCLES)))], t, person, rng)


def _cycle(cycle: _Cycle, t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """Move one hand or both to and fro."""
    phases = _draw_phases(cycle, t, person, rng)

    # Both hands share start and end: hands that touch still do.
    start = np.array(cycle.start) + rng.normal(0, cycle.place_sd, 3)
    end = np.array(cycle.end) + rng.normal(0, cycle.place_sd, 3)
    around = np.array(cycle.around) * rng.uniform(0.5, 1.5)
    elbows = DOWN + rng.uniform(0.1, 1.2) * OUT
    bend = rng.choice([0.1, 0.5, 1.0])
    hand = None if cycle.hand_direction is None else cycle.hand_direction + rng.normal(0, 0.15, 3)
    palm = rng.normal(0, 1, 3) if hand is None else INWARD

    arms = []
    for phase in phases:
        stroke = draw_stroke(phase, rng, size=person.size)[:, None]
        place = start + stroke * (end - start) + np.sin(phase)[:, None] * around + rng.normal(0, 0.02, 3)
        arm = reach_for(person, person.reach_m * place, elbows, hand)
        arms.append(replace(arm, bend=bend, palm=palm + rng.normal(0, 0.3, 3)))

    moves_both_hands = rng.random() < cycle.both_hands_share
    if not moves_both_hands:
        unused_side = _draw_unused_side(person, rng)
        arms[unused_side] = _draw_unused_arm(t, person, rng, start, elbows)

    bob_m = -rng.uniform(0.2, 1.0) * cycle.max_bob_m * (0.5 - 0.5 * np.cos(phases[RIGHT]))
    bow = rng.uniform(0, cycle.max_bow) + 0.03 * wander(t, rng)
    return Motion(arms[RIGHT], arms[LEFT], np.cos(phases[RIGHT]), follow=rng.uniform(0.5, 2), bow=bow, bob_m=bob_m)


def _draw_phases(cycle: _Cycle, t: Floats, person: Person, rng: np.random.Generator) -> list[Floats]:
    """Draw the phases of the right and the left hand, [T] each."""
    # Both phases are drawn, used or not: the later draws of a seed do not depend on the phase shift.
    right = draw_phase(t, person, rng, *cycle.period_s)
    independent = draw_phase(t, person, rng, *cycle.period_s)

    match cycle.phase_shift:
        case "none":
            return [right, right]
        case "half":
            return [right, right + np.pi]
        case "either":
            return [right, right + rng.choice([0, np.pi])]
        case "independent":
            return [right, independent]


def _draw_unused_side(person: Person, rng: np.random.Generator) -> int:
    """Draw the side of the arm that does not take part in a movement of one hand."""
    leading_side = leading(person)
    other_side = 1 - leading_side
    return other_side if rng.random() < _LEADING_SHARE else leading_side


def _draw_unused_arm(t: Floats, person: Person, rng: np.random.Generator, start: Floats, elbows: Floats) -> Arm:
    """Draw an arm that waits near the start of the movement (in units of the reach), or rests."""
    place = np.broadcast_to(start + rng.normal(0, 0.05, 3), (len(t), 3))
    waiting = reach_for(person, person.reach_m * place, elbows)
    return waiting if rng.random() < _WAITING_SHARE else draw_rest(t, person, rng)


def _shrug(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    stroke = draw_stroke(draw_phase(t, person, rng, 0.5, 1.1), rng)
    arms = [_between(person, rng, stroke, [0.2, -0.75, 0.3], [0.6, -0.45, 0.5]) for _ in (RIGHT, LEFT)]
    return Motion(arms[0], arms[1], stroke, lift_m=0.06 * stroke, follow=0.5)


def _bowing(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    stroke = draw_stroke(draw_phase(t, person, rng, 1.2, 2.0), rng)
    arms = [draw_rest(t, person, rng) for _ in (RIGHT, LEFT)]
    return Motion(arms[0], arms[1], stroke, bow=rng.uniform(0.3, 0.7) * stroke, lean=rng.normal(0, 0.15) * stroke)


def _between(person: Person, rng: np.random.Generator, stroke: Floats, start: list[float], end: list[float]) -> Arm:
    """Return an arm whose wrist moves from `start` to `end` (in units of the reach) as the stroke goes from 0 to 1."""
    a, b = (np.array(point) + rng.normal(0, 0.07, 3) for point in (start, end))
    arm = reach_for(person, person.reach_m * (a + stroke[:, None] * (b - a)), DOWN + rng.uniform(0.2, 1.0) * OUT)
    return replace(arm, bend=rng.choice([0.1, 0.5, 1.0]), palm=rng.normal(0, 1, 3))


def _roaming(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """Hands on independent curves, as if drawing in the air or explaining something."""
    phase = draw_phase(t, person, rng, 0.6, 1.6)
    arms = []

    for _ in (RIGHT, LEFT):
        middle = np.array([rng.uniform(-0.3, 0.5), rng.uniform(-0.5, 0.5), rng.uniform(0.35, 0.6)])
        turns = rng.choice([0.5, 1, 1, 2], 3)
        starts = rng.uniform(0, 2 * np.pi, 3)
        ways = rng.uniform(0.05, 0.4, 3)

        wrist = person.reach_m * (middle + ways * np.sin(phase[:, None] * turns + starts))
        arm = reach_for(person, wrist, DOWN + rng.uniform(0.0, 1.2) * OUT, palm=rng.normal(0, 1, 3))
        arms.append(replace(arm, bend=np.clip(0.4 + 0.4 * wander(t, rng), 0, 1), spread=rng.uniform(0.03, 0.25)))

    if rng.random() < 0.3:
        arms[rng.integers(2)] = draw_rest(t, person, rng)

    return Motion(arms[0], arms[1], np.cos(phase), follow=1.5)


def _stations(t: Floats, rng: np.random.Generator, box: Floats, hold_s: tuple[float, float]) -> Floats:
    """Draw a path between random points in a box [2, 3], with a random stay at each point; return positions [T, 3]."""
    path = np.empty((len(t), 3))
    path[:] = point = rng.uniform(*box)
    now_s = t[0] - rng.uniform(*hold_s)

    while now_s < t[-1]:
        next_point = rng.uniform(*box)
        move_s = rng.uniform(0.15, 0.45)
        path += smooth_step(t, now_s, now_s + move_s)[:, None] * (next_point - point)
        now_s = now_s + move_s + rng.uniform(*hold_s)
        point = next_point

    return path


def _hands_at(person: Person, rng: np.random.Generator, t: Floats, box: Floats, hold_s: tuple[float, float]) -> Arm:
    """Return an arm whose wrist moves between points in a box (in units of the reach) while the hand changes shape."""
    wrist = person.reach_m * _stations(t, rng, box, hold_s)
    hand = _stations(t, rng, np.array([[-0.8, -0.3, 0.0], [0.5, 1.0, 1.0]]), hold_s)
    shape = _stations(t, rng, np.array([[0.0, 0.02, 0.0], [1.0, 0.3, 1.0]]), hold_s)

    arm = reach_for(person, wrist, DOWN + rng.uniform(0.0, 1.2) * OUT, hand, rng.normal(0, 1, 3))
    return replace(arm, bend=shape[:, 0], spread=shape[:, 1])


def _signing(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """Hands move from place to place in front of chest and face and change shape, as in sign language."""
    box = np.array([[-0.5, -0.6, 0.35], [0.25, 0.45, 0.7]])
    arms = [_hands_at(person, rng, t, box, (0.05, 0.4)) for _ in (RIGHT, LEFT)]

    if rng.random() < 0.35:
        arms[rng.integers(2)] = draw_rest(t, person, rng)

    return Motion(arms[0], arms[1], wander(3 * t, rng), follow=0.7)


def _fidgeting(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """Hands occasionally touch face or clothes, and the body shifts its weight."""
    box = np.array([[-0.4, -0.7, 0.2], [0.2, 0.5, 0.5]])
    arms = [draw_rest(t, person, rng), draw_rest(t, person, rng)]

    for side in (RIGHT, LEFT):
        if rng.random() < 0.5:
            arms[side] = _hands_at(person, rng, t, box, (0.4, 2.0))

    return Motion(arms[0], arms[1], lean=0.06 * wander(t, rng), aside_m=rng.uniform(0, 0.06) * wander(0.6 * t, rng))


def _idle(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """The person stands still and breathes."""
    return Motion(
        draw_rest(t, person, rng),
        draw_rest(t, person, rng),
        lean=rng.uniform(0, 0.03) * wander(t, rng),
        lift_m=0.004 * np.sin(2 * np.pi * rng.uniform(0.2, 0.35) * t),
    )


def _walking(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """The person walks through the picture with swinging arms."""
    speed = rng.uniform(0.5, 1.5) * rng.choice([-1, 1])
    step = 2 * np.pi * rng.uniform(0.8, 1.1) * t + rng.uniform(0, 2 * np.pi)

    arms = []
    for turn in (step, step + np.pi):
        fore = 0.4 * np.sin(turn)
        arms.append(replace(swing_arm(person, track(t, 0.12, -1.0, fore), track(t, 0.05, -1.0, fore + 0.25)), bend=0.4))

    aside = speed * (t - rng.uniform(t[0], t[-1]))
    return Motion(arms[0], arms[1], np.cos(2 * step), bob_m=0.02 * np.cos(2 * step), aside_m=aside, lean=0.03 * speed)


def _sitting(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """The person sits down or stands up."""
    start_s = rng.uniform(t[0], t[-1])
    length_s = rng.uniform(0.6, 1.2)
    low_m = rng.uniform(0.25, 0.45)

    seated = smooth_step(t, start_s, start_s + length_s)
    height = seated if rng.random() < 0.5 else 1 - seated
    arms = [draw_rest(t, person, rng), draw_rest(t, person, rng)]
    bow = rng.uniform(0.2, 0.6) * 4 * seated * (1 - seated)

    return Motion(arms[0], arms[1], bow=bow, bob_m=-low_m * height, aside_m=0.05 * wander(t, rng))


def _boxing(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """Fists punch in turn, forwards, sideways or upwards, from a guard in front of the face."""
    phase = draw_phase(t, person, rng, 0.4, 1.0)
    target = [rng.uniform(-0.5, 0.6), rng.uniform(-0.1, 0.3), rng.uniform(0.5, 0.95)]
    guard = [rng.uniform(-0.3, 0.0), rng.uniform(-0.2, 0.15), rng.uniform(0.3, 0.45)]
    sharp = rng.uniform(1.5, 5)
    punches = [np.exp(sharp * (np.cos(turn) - 1)) for turn in (phase, phase + np.pi)]

    if rng.random() < 0.2:  # one hand only
        punches[rng.integers(2)] = np.zeros_like(phase)

    arms = [replace(_between(person, rng, punch, guard, target), bend=1.0) for punch in punches]
    return Motion(arms[0], arms[1], punches[0] - punches[1], follow=rng.uniform(1, 3), lean=0.05 * wander(t, rng))


KINDS: dict[Movement, float] = {
    _cycling: 0.46,
    _both_circle: 0.06,
    _both_wave: 0.06,
    _shrug: 0.03,
    _bowing: 0.03,
    _roaming: 0.09,
    _signing: 0.09,
    _fidgeting: 0.05,
    _idle: 0.03,
    _walking: 0.04,
    _sitting: 0.02,
    _boxing: 0.04,
}
"""Share of each kind of movement."""


def other_movement(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
    """Perform a random movement outside the ten gestures."""
    kinds = list(KINDS)
    return kinds[rng.choice(len(kinds), p=list(KINDS.values()))](t, person, rng)
