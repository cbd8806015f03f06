"""Movements of real people, tracked in films and performed by rendered people.

A tracked movement stores joints relative to the shoulder, in units of the arm length: any person can perform it. Start
time, pace, size and small rotations vary at random from clip to clip; sides can be swapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dvspipe.base.errors import DataError
from dvspipe.base.gestures import GESTURES, OTHER
from dvspipe.people import OUTWARDS, Track, from_shoulder, measure_arms
from dvspipe.synthesis.motion import Arm, Motion, reach_for, wander
from dvspipe.synthesis.people import Floats, Person, unit

PACES = (0.7, 1.5)  # range of the pace relative to the film
SIZES = (0.85, 1.15)
TURN = 0.12  # standard deviation of the rotation of an arm path, in radians
MIN_GAP_US = 500_000  # a longer time without a person ends a run
MIN_RUN_S = 0.4
ACTIVE_S = 0.4  # averaging time of the speed
ACTIVE_SHARE = 0.3  # threshold of the speed, relative to its 90 % quantile
ARM_JOINTS = ("elbow", "wrist", "index", "pinky")


@dataclass(frozen=True, eq=False)
class TrackedMovement:
    """Arm movement of a person in a film; a `Movement` of rendered people.

    Args:
        t_s: Increasing times in seconds, [N].
        arms: Joints in units of the arm length, [N, 2, 4, 3]: side (right, left); elbow, wrist, index and little
            finger; outwards, up and forwards from the shoulder.
        swap_sides: Whether to swap the arms: a right hand wave becomes a left hand wave.
    """

    t_s: Floats
    arms: Floats
    swap_sides: bool = False

    @classmethod
    def from_track(cls, track: Track) -> TrackedMovement | None:
        """Return the longest run of pictures that show the person; None: it is too short."""
        present = np.flatnonzero(track.present)
        runs = np.split(present, np.flatnonzero(np.diff(track.times_us[present]) > MIN_GAP_US) + 1)
        run = max(runs, key=lambda part: np.ptp(track.times_us[part]) if len(part) else 0)

        t_s = track.times_us[run] * 1e-6
        if len(run) < 3 or t_s[-1] - t_s[0] < MIN_RUN_S:
            return None

        reach_m = measure_arms(track).arm_m
        arms = np.stack([from_shoulder(track, side, ARM_JOINTS) for side in OUTWARDS])[:, :, run] / reach_m
        return cls(t_s - t_s[0], np.moveaxis(arms, 2, 0))

    def active(self) -> TrackedMovement:
        """Trim rest: keep the movement from the first to the last time at which a hand moves."""
        hands = self.arms[:, :, 2]
        speed = np.linalg.norm(np.gradient(hands, self.t_s, axis=0), axis=-1).max(axis=1)

        # Average the speed over a window: otherwise, one picture with wrong joints would count as movement.
        near = np.abs(self.t_s[:, None] - self.t_s) <= ACTIVE_S / 2
        mean = (near * speed).sum(axis=1) / near.sum(axis=1)

        moving = np.flatnonzero(mean >= ACTIVE_SHARE * np.quantile(mean, 0.9))
        first = moving[0]
        last = moving[-1] + 1
        if self.t_s[last - 1] - self.t_s[first] < MIN_RUN_S:
            return self

        return replace(self, t_s=self.t_s[first:last] - self.t_s[first], arms=self.arms[first:last])

    def mirrored(self) -> TrackedMovement:
        """Swap the arms."""
        return replace(self, swap_sides=not self.swap_sides)

    def __call__(self, t: Floats, person: Person, rng: np.random.Generator) -> Motion:
        """Perform the movement at times t [T], back and forth, with random pace, size and rotations."""
        pace = float(np.exp(rng.uniform(*np.log(PACES))))
        length_s = float(self.t_s[-1])
        place_s = rng.uniform(0, 2 * length_s) + pace * (t - t[0]) + 0.05 * wander(t, rng)
        place_s = length_s - np.abs(length_s - place_s % (2 * length_s))

        flat = self.arms.reshape(len(self.t_s), -1)
        points = np.stack([np.interp(place_s, self.t_s, column) for column in flat.T], axis=-1)
        path = points.reshape(len(t), *self.arms.shape[1:])

        arms = [_perform(path[:, side], person, rng) for side in ((1, 0) if self.swap_sides else (0, 1))]
        return Motion(arms[0], arms[1], follow=0.0, lean=rng.uniform(0, 0.04) * wander(t, rng))


def _perform(points: Floats, person: Person, rng: np.random.Generator) -> Arm:
    turn = _rotation(rng.normal(0, TURN, 3))
    middle = points.mean(axis=0)
    points = middle + rng.uniform(*SIZES) * (points - middle)
    elbow, wrist, index, pinky = np.moveaxis(points @ turn.T, 1, 0)

    hand = (index + pinky) / 2 - wrist
    palm = np.cross(index - wrist, pinky - wrist)
    arm = reach_for(person, person.reach_m * wrist, unit(elbow), unit(hand), unit(palm))
    return replace(arm, bend=rng.uniform(0.0, 0.4), spread=rng.uniform(0.03, 0.2))


def _rotation(angles: Floats) -> Floats:
    """Return the rotation matrix of small angles about three axes."""
    x, y, z = angles

    # I + skew approximates a small rotation; the nearest rotation to it is the product of its singular vectors.
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    left, _, right = np.linalg.svd(np.eye(3) + skew)
    return np.asarray(left @ right)


def mirror_class(name: str) -> str:
    """Return the class of a gesture after mirroring.

    Example:
        >>> mirror_class("right_arm_clockwise"), mirror_class("hand_clapping")
        ('left_arm_counter_clockwise', 'hand_clapping')
    """
    sides = {"right": "left", "left": "right"}
    words = [sides.get(word, word) for word in name.split("_")]
    mirrored = "_".join(words)

    if mirrored == name or "clockwise" not in mirrored:
        return mirrored
    return mirrored.replace("counter_", "") if "counter_" in mirrored else mirrored.replace("clock", "counter_clock")


def read_movements(folder: Path) -> Mapping[str, tuple[TrackedMovement, ...]]:
    """Read the movements in FOLDER/<class>/<name>.csv of the ten gestures, each also mirrored."""
    by_class: dict[str, list[TrackedMovement]] = {}
    for path in sorted(folder.glob("*/*.csv")):
        name = path.parent.name
        if name not in GESTURES or name == OTHER:
            continue

        movement = TrackedMovement.from_track(Track.read(path))
        if movement is not None:
            active = movement.active()
            by_class.setdefault(name, []).append(active)
            by_class.setdefault(mirror_class(name), []).append(active.mirrored())

    if not by_class:
        raise DataError(f"{folder}: no tracks (expected <class>/<name>.csv, joints over time)")
    return {name: tuple(movements) for name, movements in by_class.items()}
