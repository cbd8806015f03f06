"""Movements of rendered people: the eleven gestures of DVS128 Gesture, and the kinds of other gestures.

The geometry is here; movements.yaml has everything that is random. Each movement draws its values in a fixed order, and
this order determines the movement of a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from ..base.gestures import OTHER
from .draws import Draw, read_movements
from .motion import (
    DOWN,
    INWARD,
    OUT,
    TO_CAMERA,
    Arm,
    Motion,
    Movement,
    draw_beat,
    draw_stroke,
    leading,
    reach_for,
    sides,
    smooth_step,
    swing_arm,
    track,
    wander,
)
from .people import LEFT, PALM, RIGHT, Floats, Person, unit


def draw_rest(t: Floats, person: Person, rng: np.random.Generator) -> Arm:
    """Draw an arm at rest: hanging down, in front of the belly, or on a lap, armrest or table."""
    return _rest(Draw(read_movements()["rest"], t, person, rng))


def _rest(draw: Draw) -> Arm:
    draw = draw.of("rest")
    t = draw.t
    person = draw.person
    reach = person.reach_m
    sway = 0.012 * wander(t, draw.rng)
    kind = draw.pick()

    if kind == "hanging":
        wrist = track(t, draw("hanging_aside") * reach + sway, -0.97 * reach, draw("hanging_before") * reach + sway)
        arm = reach_for(person, wrist, OUT - 0.5 * TO_CAMERA)
    elif kind == "belly":
        aside = -0.6 * person.shoulders_m * draw("belly_inside")
        wrist = track(t, aside, draw("belly_height") * reach + sway, 0.2)
        arm = reach_for(person, wrist, OUT + DOWN, palm=-TO_CAMERA)
    else:
        wrist = draw("place") * reach + sway[:, None] * draw("swaying")
        arm = reach_for(person, wrist, OUT + DOWN - 0.5 * TO_CAMERA, palm=DOWN)

    return replace(arm, bend=draw("bend"))


def _clap(draw: Draw) -> Motion:
    """Clap: palms meet at a random point, along a random line, from random distances, and may stay together."""
    draw = draw.like(draw.pick())
    person = draw.person
    beat = draw_beat(draw("phase"), draw.rng)
    stay = draw("stay")
    opening = np.maximum((1 - beat) / 2 - stay, 0) / (1 - stay)
    linger = np.exp(draw("linger"))
    gap = draw("gap") * opening**linger

    tilt = draw("sign") * draw("slant") if draw("slanted") else draw("tilt")
    arc = np.array([0.0, draw("arc_up"), draw("arc_forwards")])
    share = draw("resting_share") + draw("resting_error") if draw("one_hand") else draw("right_share")

    aside = np.clip(draw("aside"), -0.28, 0.28)  # within reach of both hands
    height = draw("height")
    before = draw("before")
    turned = draw("turned")
    fingers_up = draw("fingers_up")
    arms = []

    # The right hand travels `share` of the gap between the palms, the left hand the rest.
    for side, part, up in ((RIGHT, share, 1.0), (LEFT, 1 - share, -1.0)):
        from_ = unit(np.array([np.cos(tilt), up * np.sin(tilt), up * turned]))
        fingers = np.array([draw("fingers_in"), fingers_up + draw("fingers_error"), draw("fingers_forwards")])
        fingers = unit(fingers - (fingers @ from_) * from_)

        middle = np.array([(1 if side == LEFT else -1) * aside - person.shoulders_m / 2, height, before])
        away = (0.07 * person.hand_m + part * gap)[:, None]

        hand = fingers + 1.2 * (away - 0.012) * from_  # fingers turn outwards when the hands open
        wrist = middle + away * (from_ + arc) - PALM * person.hand_m * fingers
        arms.append(reach_for(person, wrist, DOWN + draw("elbow_out") * OUT, hand, -from_))

    bend = draw("bend")
    spread = draw("spread")
    right, left = (replace(arm, bend=bend[k], spread=spread[k]) for k, arm in enumerate(arms))
    return Motion(right, left, beat, follow=draw("follow"), bob_m=draw("bob") * beat)


def _waving_arm(draw: Draw, phase: Floats) -> Arm:
    """Wave: forearm about the elbow, hand about the wrist, arm about the shoulder, or bending fingers."""
    draw = draw.of("wave")
    draw = draw.like(draw.pick())
    t = draw.t

    swing = draw("swing") * draw_beat(phase, draw.rng)
    raised = draw("raised") + draw("upper_arm") * swing
    angle = draw("middle") + draw("forearm") * swing
    upper = track(t, np.cos(raised), np.sin(raised), draw("upper_arm_before"))
    arm = swing_arm(draw.person, upper, track(t, np.sin(angle), np.cos(angle), draw("forearm_before")))

    flick = draw("flick") * draw("flick_size") * np.cos(phase + draw("flick_late"))
    hand = unit(arm.hand) + flick[:, None] * OUT

    palm = TO_CAMERA + draw("palm")
    bend = draw("bend")
    fold = draw("fold") * draw("fold_size") * (1 - np.cos(phase)) / 2
    return replace(arm, hand=hand, palm=palm, spread=draw("spread"), bend=bend + (1 - bend) * fold)


def _wave(side: int, draw: Draw) -> Motion:
    phase = draw("phase")
    arms = sides(side, _waving_arm(draw, phase), _rest(draw))
    return Motion(*arms, beat=np.cos(phase), follow=draw("follow"))


def _circling_arm(draw: Draw, phase: Floats) -> Arm:
    """Circle with a stretched arm on a cone: with growing phase, from the top outwards, as seen from the camera."""
    draw = draw.of("circle")
    person = draw.person
    aside = draw("axis_aside")
    above = draw("axis_above")
    axis = np.array([np.sin(aside) * np.cos(above), np.sin(above), np.cos(aside) * np.cos(above)])
    outwards = unit(OUT - axis[0] * axis)
    upwards = np.cross(axis, outwards)
    angle = np.clip(draw("opening"), 0.5, 1.45)[:, None]

    turn = (phase + 0.15 * np.sin(phase + 2 * np.pi * draw.rng.random()))[:, None]
    ring = np.cos(turn) * upwards + np.sin(turn) * outwards
    wrist = draw("reach") * person.reach_m * (np.cos(angle) * axis + np.sin(angle) * ring)

    palm = TO_CAMERA if draw("palm_to_camera") else DOWN + 0.4 * TO_CAMERA
    return replace(reach_for(person, wrist, DOWN + 0.5 * OUT, palm=palm), bend=draw("bend"))


def _circle(side: int, clockwise: bool, draw: Draw) -> Motion:
    turn = 1 if clockwise == (side == RIGHT) else -1  # clockwise goes outwards on the right, inwards on the left
    phase = draw("phase")
    arms = sides(side, _circling_arm(draw, turn * phase), _rest(draw))
    return Motion(*arms, beat=np.cos(phase), follow=draw("follow"))


def _roll(draw: Draw) -> Motion:
    """Arm roll: forearms in front of the chest rotate about each other, at random distance, radius and rate."""
    person = draw.person
    small = draw("small")
    phase = draw("phase") * draw("sign")
    radius = draw("small_radius" if small else "radius")

    height = draw("height")
    before = draw("before")
    past = draw("past")
    flat = draw("flat")
    elbows = draw("elbow_down")
    slant = draw("slant")
    bend = draw("bend")
    hand_down = draw("hand_down")
    apart = np.pi + draw("apart_error")

    # Both forearms are on one circle, half a turn apart.
    arms = []
    for turn, sign in ((phase, 1), (phase + apart, -1)):
        size = radius * draw("radius_of_arm")
        up = height + size * np.sin(turn)
        across = -person.shoulders_m / 2 - past + sign * slant * size * np.sin(turn)
        wrist = track(draw.t, across, up, before + flat * size * np.cos(turn))

        arm = reach_for(person, wrist, OUT + elbows * DOWN, palm=np.array([0.2, -0.5, -1.0]))
        arms.append(replace(arm, hand=unit(arm.hand) + hand_down * DOWN, bend=bend))

    return Motion(arms[RIGHT], arms[LEFT], np.sin(2 * phase), draw("follow"), bob_m=draw("bob") * np.sin(phase))


def _drum(draw: Draw) -> Motion:
    """Air drums: fists strike or circle: in turn, together, at half rate, or independently."""
    phase = draw("phase")
    draw = draw.like(draw.pick())
    right = draw("right") * phase
    left = draw("other_phase") if draw("independent") else draw("left") * phase + np.pi * draw("apart")

    high = draw("high")
    height = draw("high_height" if high else "height")
    before = draw("before")
    tilt = draw("tilt")
    bend = draw("bend")
    hand_in = draw("hand_in")
    elbows = draw("elbow_out")
    roundness = draw("roundness") * draw("sign") if draw("round") else 0.0
    inwards = draw("inwards")

    roam = draw("roam")
    drum = draw("drum") + roam * wander(draw.t, draw.rng)
    aside = draw("aside")

    arms = []
    for turn, outwards in ((right, -1.0), (left, 1.0)):
        size = draw("high_stroke" if high else "stroke")
        stroke = size * draw_beat(turn, draw.rng)
        forth = size * roundness * np.sin(turn)
        x = aside + outwards * drum + draw("aside_of_hand") + tilt * stroke + inwards * forth
        y = height + draw("height_of_hand") + stroke
        wrist = track(draw.t, x, y, before + draw("before_of_hand") - 0.3 * stroke + forth)

        hand = track(draw.t, hand_in, 0.2 + 3 * stroke, 1.0)
        arms.append(replace(reach_for(draw.person, wrist, DOWN + elbows * OUT, hand, palm=DOWN), bend=bend))

    return Motion(arms[RIGHT], arms[LEFT], np.cos(phase), draw("follow"), bow=draw("bow"))


def _strum(draw: Draw) -> Motion:
    """Air guitar: one hand strums, from wrist or elbow; the other holds the neck, nearly still."""
    t = draw.t
    person = draw.person
    phase = draw("phase")
    beat = draw_beat(phase, draw.rng)

    from_wrist = draw("from_wrist")
    travel = draw("travel_from_wrist" if from_wrist else "travel")
    stroke = travel * beat
    slant = draw("slant")
    forth = draw("forth")

    wrist = track(t, draw("x") + slant * stroke, draw("y") + stroke, draw("z") + forth * stroke)
    turned = (0.8 if from_wrist else 2 * travel) * beat
    hand = track(t, -1.0, -0.5 + turned, 0.3)
    strum = reach_for(person, wrist, OUT + 0.3 * DOWN - 0.2 * TO_CAMERA, hand, palm=-TO_CAMERA)

    slide = draw("slide") * wander(t, draw.rng) + 0.015 * np.cos(phase / 2 + 1)
    neck = track(t, draw("neck_x") + slide, draw("neck_y") + 0.5 * slide, draw("neck_z"))
    hold = reach_for(person, neck, DOWN + 0.3 * OUT, hand=track(t, 0.1, 1.0, 0.2), palm=INWARD + TO_CAMERA)
    fingering = np.clip(0.6 + draw("fingering") * np.cos(0.5 * phase + 2), 0, 1)

    sway = draw("sway")
    bob = draw("bob")
    arms = sides(leading(person), replace(strum, bend=draw("bend")), replace(hold, bend=fingering))
    lean = draw("lean") + sway * np.cos(phase / 2)
    return Motion(*arms, beat, lean=lean, bow=draw("bow"), bob_m=bob * np.cos(phase))


def _both_circle(draw: Draw) -> Motion:
    phase = draw("phase") * draw("sign")
    other = phase + np.pi * draw("half_turns") if draw("same_way") else -phase
    return Motion(_circling_arm(draw, phase), _circling_arm(draw, other), np.cos(phase))


def _both_wave(draw: Draw) -> Motion:
    phase = draw("phase")
    other = phase + np.pi * draw("half_turns")
    return Motion(_waving_arm(draw, phase), _waving_arm(draw, other), np.cos(phase))


def _to_and_fro(draw: Draw) -> Motion:
    return move_to_and_fro(draw.like(draw.pick()))


def move_to_and_fro(draw: Draw) -> Motion:
    """Move one hand or both from a start to an end and back."""
    person = draw.person
    rng = draw.rng
    phases = _draw_phases(draw)

    # Both hands share start and end: hands that touch still do.
    start = draw("start") + rng.normal(0, draw("place_sd"), 3)
    end = draw("end") + rng.normal(0, draw("place_sd"), 3)
    around = draw("around") * draw("around_size")
    elbows = DOWN + draw("elbow_out") * OUT
    bend = draw("bend")
    direction = draw("hand_direction")
    hand = None if direction is None else direction + draw("hand_error")
    palm = draw("any_palm") if hand is None else INWARD

    arms = []
    for phase in phases:
        stroke = draw_stroke(phase, rng, size=person.size)[:, None]
        place = start + stroke * (end - start) + np.sin(phase)[:, None] * around + draw("hand_place_error")
        arm = reach_for(person, person.reach_m * place, elbows, hand)
        arms.append(replace(arm, bend=bend, palm=palm + draw("palm_error")))

    if not draw("both_hands"):
        unused = 1 - leading(person) if draw("leads") else leading(person)
        place = np.broadcast_to(start + draw("waiting_error"), (len(draw.t), 3))
        waiting = reach_for(person, person.reach_m * place, elbows)
        arms[unused] = waiting if draw("waits") else _rest(draw)

    beat = np.cos(phases[RIGHT])
    bob_m = -draw("bob_share") * draw("max_bob") * (0.5 - 0.5 * beat)
    bow = draw("bow") + 0.03 * wander(draw.t, rng)
    return Motion(arms[RIGHT], arms[LEFT], beat, follow=draw("follow"), bow=bow, bob_m=bob_m)


def _draw_phases(draw: Draw) -> tuple[Floats, Floats]:
    """Draw the phases of the right and the left hand, [T] each."""
    # Both phases are drawn, used or not: the later draws of a seed do not depend on the shift.
    right = draw("phase")
    independent = draw("phase")
    match draw("shift"):
        case "together":
            return right, right
        case "in_turn":
            return right, right + np.pi
        case "either":
            return right, right + np.pi * draw("half_turns")
    return right, independent


def _move_between(draw: Draw, stroke: Floats, start: Floats, end: Floats) -> Arm:
    """Return an arm whose wrist moves from `start` to `end` (in units of the reach) as the stroke goes from 0 to 1."""
    draw = draw.of("between")
    a, b = (point + draw("place_error") for point in (start, end))
    wrist = draw.person.reach_m * (a + stroke[:, None] * (b - a))
    arm = reach_for(draw.person, wrist, DOWN + draw("elbow_out") * OUT)
    return replace(arm, bend=draw("bend"), palm=draw("palm"))


def _shrug(draw: Draw) -> Motion:
    stroke = draw_stroke(draw("phase"), draw.rng)
    arms = [_move_between(draw, stroke, draw("start"), draw("end")) for _ in (RIGHT, LEFT)]
    return Motion(arms[RIGHT], arms[LEFT], stroke, lift_m=0.06 * stroke, follow=0.5)


def _bow(draw: Draw) -> Motion:
    stroke = draw_stroke(draw("phase"), draw.rng)
    return Motion(_rest(draw), _rest(draw), stroke, bow=draw("bow") * stroke, lean=draw("lean") * stroke)


def _roam(draw: Draw) -> Motion:
    phase = draw("phase")
    arms = []
    for _ in (RIGHT, LEFT):
        middle = draw("middle")
        turns = np.array([draw("turns") for _ in range(3)])
        starts = 2 * np.pi * draw.rng.random(3)
        ways = np.array([draw("way") for _ in range(3)])

        wrist = draw.person.reach_m * (middle + ways * np.sin(phase[:, None] * turns + starts))
        arm = reach_for(draw.person, wrist, DOWN + draw("elbow_out") * OUT, palm=draw("palm"))
        bend = np.clip(0.4 + 0.4 * wander(draw.t, draw.rng), 0, 1)
        arms.append(replace(arm, bend=bend, spread=draw("spread")))

    if draw("rests"):
        arms[draw("resting")] = _rest(draw)
    return Motion(arms[RIGHT], arms[LEFT], np.cos(phase), follow=1.5)


def _draw_stations(draw: Draw, name: str) -> Floats:
    """Draw a path between random points, with a random stay at each point; return positions [T, 3]."""
    point = draw(name)
    path = np.tile(point, (len(draw.t), 1))
    now_s = draw.t[0] - draw("hold_s")

    while now_s < draw.t[-1]:
        next_point = draw(name)
        move_s = draw("move_s")
        path += smooth_step(draw.t, now_s, now_s + move_s)[:, None] * (next_point - point)
        now_s = now_s + move_s + draw("hold_s")
        point = next_point

    return path


def _move_hand(draw: Draw) -> Arm:
    """Return an arm whose wrist moves between places (in units of the reach) while the hand changes shape."""
    wrist = draw.person.reach_m * _draw_stations(draw, "place")
    hand = _draw_stations(draw, "hand")
    shape = _draw_stations(draw, "shape")

    arm = reach_for(draw.person, wrist, DOWN + draw("elbow_out") * OUT, hand, draw("palm"))
    return replace(arm, bend=shape[:, 0], spread=shape[:, 1])


def _sign(draw: Draw) -> Motion:
    arms = [_move_hand(draw) for _ in (RIGHT, LEFT)]
    if draw("rests"):
        arms[draw("resting")] = _rest(draw)
    return Motion(arms[RIGHT], arms[LEFT], wander(3 * draw.t, draw.rng), follow=0.7)


def _fidget(draw: Draw) -> Motion:
    arms = [_rest(draw), _rest(draw)]
    for side in (RIGHT, LEFT):
        if draw("moves"):
            arms[side] = _move_hand(draw)

    lean = 0.06 * wander(draw.t, draw.rng)
    return Motion(arms[RIGHT], arms[LEFT], lean=lean, aside_m=draw("aside") * wander(0.6 * draw.t, draw.rng))


def _idle(draw: Draw) -> Motion:
    return Motion(
        _rest(draw),
        _rest(draw),
        lean=draw("lean") * wander(draw.t, draw.rng),
        lift_m=0.004 * np.sin(2 * np.pi * draw("breath_hz") * draw.t),
    )


def _walk(draw: Draw) -> Motion:
    t = draw.t
    speed = draw("speed") * draw("sign")
    step = 2 * np.pi * draw("step_hz") * t + 2 * np.pi * draw.rng.random()

    arms = []
    for turn in (step, step + np.pi):
        fore = 0.4 * np.sin(turn)
        arm = swing_arm(draw.person, track(t, 0.12, -1.0, fore), track(t, 0.05, -1.0, fore + 0.25))
        arms.append(replace(arm, bend=0.4))

    aside = speed * (t - draw.rng.uniform(t[0], t[-1]))
    return Motion(
        arms[RIGHT], arms[LEFT], np.cos(2 * step), bob_m=0.02 * np.cos(2 * step), aside_m=aside, lean=0.03 * speed
    )


def _sit(draw: Draw) -> Motion:
    t = draw.t
    start_s = draw.rng.uniform(t[0], t[-1])
    length_s = draw("length_s")
    low_m = draw("low")

    seated = smooth_step(t, start_s, start_s + length_s)
    height = seated if draw("sits_down") else 1 - seated
    return Motion(
        _rest(draw),
        _rest(draw),
        bow=draw("bow") * 4 * seated * (1 - seated),
        bob_m=-low_m * height,
        aside_m=0.05 * wander(t, draw.rng),
    )


def _box(draw: Draw) -> Motion:
    phase = draw("phase")
    target = draw("target")
    guard = draw("guard")
    sharp = draw("sharp")
    punches = [np.exp(sharp * (np.cos(turn) - 1)) for turn in (phase, phase + np.pi)]
    if draw("one_hand"):
        punches[draw("still")] = np.zeros_like(phase)

    arms = [replace(_move_between(draw, punch, guard, target), bend=1.0) for punch in punches]
    return Motion(
        arms[RIGHT], arms[LEFT], punches[0] - punches[1], follow=draw("follow"), lean=0.05 * wander(draw.t, draw.rng)
    )


def _other(draw: Draw) -> Motion:
    kind = draw.pick()
    return OTHER_KINDS[kind](draw.of(kind))


OTHER_KINDS: Mapping[str, Callable[[Draw], Motion]] = {
    "to_and_fro": _to_and_fro,
    "both_circle": _both_circle,
    "both_wave": _both_wave,
    "shrug": _shrug,
    "bow": _bow,
    "roam": _roam,
    "sign": _sign,
    "fidget": _fidget,
    "idle": _idle,
    "walk": _walk,
    "sit": _sit,
    "box": _box,
}
"""Movements outside the ten gestures."""


def _movement(name: str, form: Callable[[Draw], Motion]) -> Movement:
    def perform(t: Floats, person: Person, rng: np.random.Generator) -> Motion:
        return form(Draw(read_movements()[name], t, person, rng))

    return perform


MOVEMENTS: Mapping[str, Movement] = {  # in the order of IBM's labels
    "hand_clapping": _movement("hand_clapping", _clap),
    "right_hand_wave": _movement("wave", partial(_wave, RIGHT)),
    "left_hand_wave": _movement("wave", partial(_wave, LEFT)),
    "right_arm_clockwise": _movement("circle", partial(_circle, RIGHT, True)),
    "right_arm_counter_clockwise": _movement("circle", partial(_circle, RIGHT, False)),
    "left_arm_clockwise": _movement("circle", partial(_circle, LEFT, True)),
    "left_arm_counter_clockwise": _movement("circle", partial(_circle, LEFT, False)),
    "arm_roll": _movement("arm_roll", _roll),
    "air_drums": _movement("air_drums", _drum),
    "air_guitar": _movement("air_guitar", _strum),
    OTHER: _movement(OTHER, _other),
}
"""Movements of the classes of DVS128 Gesture."""
