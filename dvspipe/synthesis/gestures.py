"""Render videos of the eleven gestures of IBM's DVS128 Gesture data set, single or in sequence.

The classes are defined in Amir et al., "A Low Power, Fully Event-Based Gesture Recognition System", CVPR 2017. "Right"
and "clockwise" are from the perspective of the performer, who faces the camera: the right hand is on the left of the
picture, and a clockwise circle goes up, left and down in the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..base.errors import DataError
from ..base.gestures import GESTURES
from ..events import GESTURE_SENSOR
from ..video.frames import Frame
from .motion import Motion, Movement, smooth_step
from .movements import MOVEMENTS, draw_rest
from .people import Floats, Person, Pose
from .posing import blend, pose
from .rendering import render
from .scenes import LIGHTS, LightKind, draw_scene

CLIP_US = 1_500_000
RENDERING = 5  # version of the rendering; increment it if the clips of a seed change, to invalidate stored clips
STEADY_FPS = 200.0  # the fastest point of the body moves 1 pixel per frame in the median clip, 3 to 6 in fast clips
FLICKER_FPS = 360.0  # three frames per period of fluorescent flicker
_TRANSITION_S = (0.25, 0.6)  # transition from rest to a gesture, or between gestures
BRIEF_SHARE = 0.2  # share of clips with a gesture of about 1 s between rests

Repertoire = Mapping[str, Movement]
"""Movements that rendered people perform, by class in the order of `GESTURES`."""


def check_label(label: int) -> None:
    """Check that a label is the index of a class.

    Raises:
        DataError: If the label is out of range.
    """
    if not 0 <= label < len(GESTURES):
        raise DataError(f"wrong gesture label (found {label}, expected 0 to {len(GESTURES) - 1})")


@dataclass(frozen=True)
class Performance:
    """Gesture in a video.

    Args:
        label: Class, an index in `Repertoire.classes`.
        start_us: Time at which the person starts to move from rest, in microseconds.
        end_us: Time at which the person is at rest again, in microseconds.
    """

    label: int
    start_us: int
    end_us: int


def plan_session(labels: Sequence[int], rng: np.random.Generator) -> tuple[Performance, ...]:
    """Plan consecutive gestures of 3 to 6 s, each after 0.8 to 2.5 s of rest.

    Args:
        labels: Classes in order of performance.
        rng: Random generator for the durations.
    """
    plan: list[Performance] = []
    for label in labels:
        start_us = (plan[-1].end_us if plan else 0) + int(rng.integers(800_000, 2_500_000))
        plan.append(Performance(label, start_us, start_us + int(rng.integers(3_000_000, 6_000_000))))

    return tuple(plan)


def plan_clip(label: int, rng: np.random.Generator, duration_us: int) -> tuple[Performance, ...]:
    """Plan the performances in a clip of a gesture.

    In most clips, the gesture is in progress all the time. 20 % of the clips start or end at rest, 20 % show a gesture
    of about 1 s between rests, and 10 % start with another gesture.
    """
    # Most clips show a gesture in progress: it starts before the clip and ends after it.
    start = -1_000_000
    end = duration_us + 1_000_000

    # A tenth starts late, a tenth ends early, some show a brief gesture, and a tenth starts with another one.
    chance = rng.random()
    if chance < 0.1:
        start = int(rng.uniform(-0.15, 0.35) * duration_us)
    elif chance < 0.2:
        end = int(rng.uniform(0.65, 1.15) * duration_us)
    elif chance < 0.2 + BRIEF_SHARE:
        start = int(rng.uniform(-0.1, 0.4) * duration_us)
        end = start + int(rng.uniform(0.8e6, 1.4e6))
    elif chance < 0.3 + BRIEF_SHARE:
        change = int(rng.uniform(-0.2, 0.25) * duration_us)
        return Performance(int(rng.integers(len(GESTURES))), start, change), Performance(label, change, end)

    return (Performance(label, start, end),)


def render_session(
    plan: Sequence[Performance],
    person: Person,
    rng: np.random.Generator,
    *,
    duration_us: int = CLIP_US,
    fps: float | None = 100.0,
    light: LightKind | None = None,
    repertoire: Repertoire = MOVEMENTS,
) -> Iterator[Frame]:
    """Render a video of one person: frames 128x128, uint16, proportional to light, starting at time 0.

    Args:
        plan: Gestures in time order, without overlap, with rest in between; see `plan_clip` and `plan_session`.
        person: Performer.
        rng: Random generator for the differences between videos: movement, camera, light and background.
        duration_us: Maximum frame time in microseconds.
        fps: Frames per second; frame k is at round(k * 1e6 / fps) us. None: STEADY_FPS, or FLICKER_FPS if the light
            flickers.
        light: Kind of light; None: random.
        repertoire: Movements of the classes.

    Raises:
        DataError: If a label is out of range, the duration is negative, the frame rate is not positive, or performances
            overlap.
    """
    for performance, before in zip(plan, [None, *plan], strict=False):
        check_label(performance.label)
        if performance.end_us <= performance.start_us or (before and performance.start_us < before.end_us):
            raise DataError(f"{performance} overlaps {before}, or ends before it starts")

    if duration_us < 0 or (fps is not None and fps <= 0):
        raise DataError(
            f"no frames to render (found {duration_us} us at {fps} frames per second, expected positive numbers)"
        )

    scene = draw_scene(person, GESTURE_SENSOR, light or LIGHTS[rng.integers(len(LIGHTS))], rng)
    fps = fps or (FLICKER_FPS if scene.light.flicker else STEADY_FPS)
    times = np.round(np.arange(int(duration_us * fps / 1e6) + 1) * 1e6 / fps).astype(np.int64)

    pose = pose_person(plan, person, rng, times / 1e6, repertoire)
    pictures = zip(times, render(person, scene, pose, times / 1e6), strict=True)
    return (Frame(int(t_us), image, "linear") for t_us, image in pictures)


def pose_person(
    plan: Sequence[Performance],
    person: Person,
    rng: np.random.Generator,
    t: Floats,
    repertoire: Repertoire = MOVEMENTS,
) -> Pose:
    """Return the joints of a person who performs a plan.

    If a performance ends when the next one starts, the person changes to the next gesture without rest.

    Args:
        plan: Gestures in time order.
        person: Performer.
        rng: Random generator for the movements.
        t: Increasing times in seconds, [T].
        repertoire: Movements of the classes.
    """
    movements = tuple(repertoire.values())
    motion = Motion(draw_rest(t, person, rng), draw_rest(t, person, rng))
    for performance, following in zip(plan, [*plan[1:], None], strict=True):
        start_s, end_s = performance.start_us / 1e6, performance.end_us / 1e6
        rise_s, fall_s = np.minimum(rng.uniform(*_TRANSITION_S, 2), (end_s - start_s) / 2)

        # Movements without rest between them overlap while the first fades into the next.
        weight = smooth_step(t, start_s, start_s + rise_s)
        if following and following.start_us == performance.end_us:
            end_s += _TRANSITION_S[1]
        else:
            weight *= 1 - smooth_step(t, end_s - fall_s, end_s)

        now = np.flatnonzero((t >= start_s) & (t <= end_s))
        if len(now) < 2:
            continue

        performed = movements[performance.label](t[now], person, rng)
        motion = blend(motion, performed, now, weight[now])

    return pose(motion, person, rng, t)
