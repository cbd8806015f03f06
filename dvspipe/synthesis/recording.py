"""Rendered gestures as recordings of a simulated sensor."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..events import Events, concatenate
from ..simulator import SimulatorConfig, simulate
from ..video import Frame
from .gestures import GESTURE_SENSOR, render_gesture
from .people import draw_person

THRESHOLDS = (0.12, 0.35)  # of the sensors that clips are recorded with; a DVS128's lie between


def gesture_frames(label: int, *, person: int, clip: int, seed: int) -> Iterator[Frame]:
    """The rendered video of a gesture.

    Args:
        label: The class, 0 to 10, an index into `GESTURES`.
        person: Number of the identity: the same number and seed give the same person in every clip.
        clip: Number of the clip; another number gives another scene and movement.
        seed: Of everything.

    Raises:
        DataError: There is no such class.
    """
    identity = draw_person(np.random.default_rng([seed, person]))
    return render_gesture(label, identity, np.random.default_rng([seed, person, label + 1, clip]))


def record_gesture(label: int, *, person: int, clip: int, seed: int) -> Events:
    """The events of that video on a sensor whose contrast thresholds are drawn per clip; arguments as there."""
    rng = np.random.default_rng([seed, person, label + 1, clip, 1])
    middle = np.exp(rng.uniform(*np.log(THRESHOLDS)))
    thresholds = middle * rng.uniform(0.9, 1.1, 2)
    config = SimulatorConfig(pos_thres=float(thresholds[0]), neg_thres=float(thresholds[1]))
    return concatenate(simulate(gesture_frames(label, person=person, clip=clip, seed=seed), config), GESTURE_SENSOR)
