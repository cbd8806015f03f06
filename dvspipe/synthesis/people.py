"""People: identity, pose and joint limits.

Coordinates of a person are in metres: x to the right of the picture, y up, z towards the camera. The origin is midway
between the resting shoulders. The person faces the camera: side 0, the right arm, is on the left of the picture.
Coordinates of an arm, the same for both sides, point outwards, up and forwards from its shoulder. Brightness is linear
reflectance, 0 (black) to 1 (white).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Pattern = Literal["plain", "stripes", "checks", "print"]

RIGHT, LEFT = 0, 1  # sides of the performer
SHOULDER, ELBOW, WRIST, KNUCKLES = range(4)
NECK_M = 0.09  # distance from the shoulder line to the chin
TORSO_M = 0.52  # distance from the shoulder line to the hips; the torso rotates about the hips
PALM = 0.5  # fraction of the hand from the wrist to the knuckles

# Joint limits as cones: maximum angles between two directions. Elbow 150 degrees, wrist 80 degrees of flexion and 70 of
# extension, shoulder 60 degrees backwards (American Academy of Orthopaedic Surgeons, Joint Motion, 1965).
SHOULDER_AXIS = np.array([0.43, 0.10, 0.90]) / np.linalg.norm([0.43, 0.10, 0.90])
SHOULDER_LIMIT, ELBOW_LIMIT, WRIST_LIMIT = np.radians([118.0, 150.0, 75.0])


@dataclass(frozen=True)
class Person:
    """Identity of a person: the properties shared by all their clips.

    Args:
        head_m: Height of the head.
        shoulders_m: Distance between the shoulder joints.
        upper_arm_m: Length from shoulder to elbow.
        forearm_m: Length from elbow to wrist.
        hand_m: Length from wrist to fingertip.
        arm_radius_m: Radius of the bare upper arm; all other radii are proportional to it.
        skin: Brightness of the skin.
        hair: Brightness of the hair.
        hair_length: 0 (bald), 0.3 (short) to 1 (reaches the shoulders).
        beard: Whether the person has a beard.
        glasses: Whether the person wears glasses.
        clothes: Brightness of the clothes.
        trousers: Brightness of the trousers.
        pattern: Pattern of the clothes.
        pattern_contrast: Brightness of the pattern relative to the clothes.
        pattern_m: Period of the pattern.
        folds: Contrast of the folds, in log brightness.
        sleeve: End of the sleeve: 0 at the shoulder, 0.5 at the elbow, 1 at the wrist.
        sleeve_width: Radius of the sleeve relative to the arm.
        pace: Pace of movements: 0 (fastest) to 1 (slowest that a gesture allows).
        size: Factor on the size of movements, about 1.
        left_handed: Whether the left hand leads in gestures that allow either hand.
        seed: Random seed of the details of clothes, skin and face.
    """

    head_m: float
    shoulders_m: float
    upper_arm_m: float
    forearm_m: float
    hand_m: float
    arm_radius_m: float
    skin: float
    hair: float
    hair_length: float
    beard: bool
    glasses: bool
    clothes: float
    trousers: float
    pattern: Pattern
    pattern_contrast: float
    pattern_m: float
    folds: float
    sleeve: float
    sleeve_width: float
    pace: float
    size: float
    left_handed: bool
    seed: int

    @property
    def reach_m(self) -> float:
        """Length of the stretched arm from shoulder to wrist."""
        return self.upper_arm_m + self.forearm_m


def draw_person(rng: np.random.Generator) -> Person:
    """Draw a new identity. Clothes and skin differ in brightness, to make hands visible in front of the chest."""
    skin = rng.uniform(0.14, 0.55)
    build = rng.normal(1.0, 0.05)  # tall people have long arms
    patterns: tuple[Pattern, ...] = ("plain", "stripes", "checks", "print")
    clothes = contrasting_tone(skin, rng, 0.025, 0.8)

    return Person(
        head_m=rng.uniform(0.21, 0.25),
        shoulders_m=build * rng.uniform(0.32, 0.40),
        upper_arm_m=build * rng.uniform(0.26, 0.30),
        forearm_m=build * rng.uniform(0.22, 0.26),
        hand_m=build * rng.uniform(0.165, 0.20),
        arm_radius_m=rng.uniform(0.036, 0.055),
        skin=skin,
        hair=rng.choice([0.03, 0.05, 0.10, 0.25]) * rng.uniform(0.8, 1.2),
        hair_length=rng.choice([0.0, 0.3, 0.5, 1.0], p=[0.1, 0.35, 0.25, 0.3]),
        beard=bool(rng.random() < 0.2),
        glasses=bool(rng.random() < 0.3),
        clothes=clothes,
        trousers=float(np.exp(rng.uniform(np.log(0.03), np.log(0.4)))),
        pattern=patterns[rng.choice(4, p=[0.45, 0.2, 0.15, 0.2])],
        pattern_contrast=rng.uniform(0.45, 0.8) if rng.random() < 0.5 else rng.uniform(1.25, 2.2),
        pattern_m=rng.uniform(0.04, 0.14),
        folds=rng.uniform(0.08, 0.40),
        sleeve=rng.uniform(0.25, 0.45) if rng.random() < 0.5 else rng.uniform(0.55, 0.98),
        sleeve_width=rng.uniform(1.1, 1.5),
        pace=rng.uniform(0.0, 1.0),
        size=rng.uniform(0.8, 1.2),
        left_handed=bool(rng.random() < 0.25),  # also people in mirrored films
        seed=int(rng.integers(2**31)),
    )


def contrasting_tone(tone: float, rng: np.random.Generator, darkest: float, brightest: float) -> float:
    """Draw a brightness from `darkest` to `brightest` that differs from `tone` by a factor of 1.6 to 3.5."""
    darker = brightest < 2 * tone or (darkest < tone / 2 and rng.random() < 0.5)
    low, high = (max(darkest, tone / 3.5), tone / 1.6) if darker else (1.6 * tone, min(brightest, 3.5 * tone))
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


@dataclass(frozen=True)
class Pose:
    """Joints of a person over T times, in the person's coordinates.

    Args:
        arms: Joints of the arms, [T, 2, 4, 3]: side, joint (shoulder, elbow, wrist, knuckles), coordinate.
        palms: Unit normal vectors of the palms, perpendicular to the hand of an upright body, [T, 2, 3].
        bend: Bend of the fingers, 0 (stretched) to 1 (fist), [T, 2].
        spread: Angle between neighbouring fingers in radians, [T, 2].
        torso: Right shoulder, left shoulder and hips, [T, 3, 3].
        head: Chin, crown, and a point one head height to the right of the chin, [T, 3, 3].
    """

    arms: Floats
    palms: Floats
    bend: Floats
    spread: Floats
    torso: Floats
    head: Floats

    def at(self, moments: slice | NDArray[np.int64]) -> Pose:
        """Select times."""
        return Pose(*(getattr(self, name)[moments] for name in self.__dataclass_fields__))


def rest_body(person: Person) -> tuple[Floats, Floats]:
    """Return `Pose.torso` and `Pose.head` of a person at rest, [3, 3] each."""
    half = person.shoulders_m / 2
    head = person.head_m
    torso = [[-half, 0, 0], [half, 0, 0], [0, -TORSO_M, 0]]
    return np.array(torso, float), np.array([[0, NECK_M, 0], [0, NECK_M + head, 0], [head, NECK_M, 0]], float)


def unit(vectors: Floats) -> Floats:
    """Normalize vectors [..., 3] to length 1."""
    return np.asarray(vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9))


def within_cone(direction: Floats, axis: Floats, limit: float) -> Floats:
    """Rotate directions [T, 3] to at most `limit` radians from the unit vector `axis`; return unit vectors."""
    direction = unit(direction)
    cosine = (direction * axis).sum(axis=-1, keepdims=True)
    aside = unit(direction - cosine * axis)

    return np.where(cosine < np.cos(limit), np.cos(limit) * axis + np.sin(limit) * aside, direction)


def solve_arm(person: Person, wrist: Floats, pole: Floats) -> tuple[Floats, Floats]:
    """Solve the two-link inverse kinematics of an arm; return elbow and wrist, [T, 3] each, in arm coordinates.

    Args:
        person: Owner of the arm.
        wrist: Target of the wrist, [T, 3]; moved within joint limits and reach.
        pole: Direction in which the elbow points, [3] or [T, 3].
    """
    upper = person.upper_arm_m
    fore = person.forearm_m

    # The arm reaches distances from the elbow's limit to almost straight; a straight arm leaves the elbow undefined.
    distance = np.linalg.norm(wrist, axis=-1, keepdims=True)
    nearest = np.sqrt(upper**2 + fore**2 + 2 * upper * fore * np.cos(ELBOW_LIMIT))
    within = np.clip(distance, nearest, 0.995 * (upper + fore))

    axis = wrist / (distance + 1e-9)
    along = (upper**2 - fore**2 + within**2) / (2 * within)  # law of cosines
    aside = unit(pole - (pole * axis).sum(axis=-1, keepdims=True) * axis)
    elbow = along * axis + np.sqrt(np.maximum(upper**2 - along**2, 0)) * aside

    # Joint limits come last, so a limit at the shoulder moves the elbow, and one at the elbow the wrist.
    bone = within_cone(elbow, SHOULDER_AXIS, SHOULDER_LIMIT)
    elbow = upper * bone

    return elbow, elbow + fore * within_cone(within * axis - elbow, bone, ELBOW_LIMIT)
