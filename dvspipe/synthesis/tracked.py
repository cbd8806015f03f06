"""Movements of real people, from the joints of a film, performed by rendered people.

A tracked movement keeps the shape of the arms' paths: joints relative to the shoulder in units of the arm's length, so
any person can perform it. What differs from clip to clip is drawn: the moment it starts at, its pace, its size, small
turns, and which side it is on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..pose import OUTWARDS, Track, from_shoulder, measure_arms
from .motion import Arm, Motion, reach_for, wander
from .people import Floats, Person, unit

PACES = (0.7, 1.5)  # relative to the film
SIZES = (0.85, 1.15)
TURN = 0.12  # standard deviation of the turn of an arm's path, in radians
MIN_GAP_US = 500_000  # longer times without a person end a run of pictures
MIN_RUN_S = 0.4
ACTIVE_S, ACTIVE_SHARE = 0.4, 0.3  # span of the mean speed, and share of its 90 % quantile from which a hand moves
ARM_JOINTS = ("elbow", "wrist", "index", "pinky")


@dataclass(frozen=True, eq=False)
class TrackedMovement:
    """The arms of a person in a film, as a movement (see `motion.Movement`).

    Args:
        t_s: [N] increasing times in seconds.
        arms: [N, 2, 4, 3] side (right, left); elbow, wrist, index and little finger; outwards, up and forwards from the
            shoulder, in units of the arm's length.
        swap_sides: Whether the arms are swapped: a right hand wave becomes a left hand wave.
    """

    t_s: Floats
    arms: Floats
    swap_sides: bool = False

    @classmethod
    def from_track(cls, track: Track) -> TrackedMovement:
        """Return the movement of the longest time in which the person is seen.

        Raises:
            DataError: That is less than 0.4 s.
        """
        present = np.flatnonzero(track.present)
        runs = np.split(present, np.flatnonzero(np.diff(track.times_us[present]) > MIN_GAP_US) + 1)
        run = max(runs, key=lambda each: np.ptp(track.times_us[each]) if len(each) else 0)
        t_s = track.times_us[run] * 1e-6
        if len(run) < 3 or t_s[-1] - t_s[0] < MIN_RUN_S:
            raise DataError(f"a track without a movement (found {len(run)} pictures, expected {MIN_RUN_S} s or more)")
        reach_m = measure_arms(track).arm_m
        arms = np.stack([from_shoulder(track, side, ARM_JOINTS) for side in OUTWARDS])[:, :, run] / reach_m
        return cls(t_s - t_s[0], np.moveaxis(arms, 2, 0))

    def active(self) -> TrackedMovement:
        """Return the movement without rest: from the first to the last moment at which a hand moves."""
        hands = self.arms[:, :, 2]
        speed = np.linalg.norm(np.gradient(hands, self.t_s, axis=0), axis=-1).max(axis=1)
        near = np.abs(self.t_s[:, None] - self.t_s) <= ACTIVE_S / 2
        mean = (near * speed).sum(axis=1) / near.sum(axis=1)
        moving = np.flatnonzero(mean >= ACTIVE_SHARE * np.quantile(mean, 0.9))
        first, last = moving[0], moving[-1] + 1
        if self.t_s[last - 1] - self.t_s[first] < MIN_RUN_S:
            return self
        return TrackedMovement(self.t_s[first:last] - self.t_s[first], self.arms[first:last], self.swap_sides)

    def mirrored(self) -> TrackedMovement:
        """Return the movement with the arms swapped."""
        return TrackedMovement(self.t_s, self.arms, not self.swap_sides)

    def __call__(self, t: Floats, person: Person, rng: np.random.Generator) -> Motion:
        """Return the movement at times t [T], to and fro if it is shorter, with random pace, size and turns."""
        pace = float(np.exp(rng.uniform(*np.log(PACES))))
        length_s = float(self.t_s[-1])
        place_s = rng.uniform(0, 2 * length_s) + pace * (t - t[0]) + 0.05 * wander(t, rng)
        place_s = length_s - np.abs(length_s - place_s % (2 * length_s))  # to and fro
        arms = []
        for side in (1, 0) if self.swap_sides else (0, 1):
            flat = self.arms[:, side].reshape(len(self.t_s), -1)
            points = np.stack([np.interp(place_s, self.t_s, column) for column in flat.T], axis=-1)
            arms.append(self._perform(points.reshape(len(t), len(ARM_JOINTS), 3), person, rng))
        return Motion(arms[0], arms[1], follow=0.0, lean=rng.uniform(0, 0.04) * wander(t, rng))

    def _perform(self, points: Floats, person: Person, rng: np.random.Generator) -> Arm:
        turn = _rotation(rng.normal(0, TURN, 3))
        middle = points.mean(axis=0)
        points = middle + rng.uniform(*SIZES) * (points - middle)
        elbow, wrist, index, pinky = np.moveaxis(points @ turn.T, 1, 0)
        hand = (index + pinky) / 2 - wrist
        palm = np.cross(index - wrist, pinky - wrist)
        arm = reach_for(person, person.reach_m * wrist, unit(elbow), unit(hand), unit(palm))
        bend, spread = rng.uniform(0.0, 0.4), rng.uniform(0.03, 0.2)
        return Arm(arm.elbow, arm.wrist, arm.hand, arm.palm, bend=bend, spread=spread)


def mirror_class(name: str) -> str:
    """Return the class of the mirror image of a gesture.

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


def _rotation(angles: Floats) -> Floats:
    """Return the matrix of a small rotation about three axes."""
    x, y, z = angles
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    left, _, right = np.linalg.svd(np.eye(3) + skew)
    return np.asarray(left @ right)


def read_movements(folder: Path, classes: Sequence[str], other: str) -> Mapping[str, tuple[TrackedMovement, ...]]:
    """Return the movements in FOLDER/<class>/<joints>.csv by class, each also mirrored.

    Args:
        folder: Tracks, as `dvspipe track` writes them. A folder that is no class belongs to `other`.
        classes: Names of the classes.
        other: The class of all others.

    Raises:
        DataError: The folder has no tracks.
        FileError: A track is corrupted.
    """
    found: dict[str, list[TrackedMovement]] = {}
    for path in sorted(folder.glob("*/*.csv")):
        try:
            movement = TrackedMovement.from_track(Track.read(path))
        except DataError:
            continue  # too short
        name = path.parent.name if path.parent.name in classes else other
        movement = movement if name == other else movement.active()
        found.setdefault(name, []).append(movement)
        found.setdefault(mirror_class(name), []).append(movement.mirrored())
    if not found:
        raise DataError(f"{folder}: no tracks (expected <class>/<joints>.csv, joints tracked over time)")
    return {name: tuple(movements) for name, movements in found.items()}
