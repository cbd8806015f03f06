"""Gestures that are learnt from films: which part of each track shows which gesture, and what counts as another one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from ..base.errors import DataError
from ..base.gestures import GESTURES, OTHER
from ..people import Track
from ..results.tables import Record
from .gestures import Repertoire
from .motion import Motion, Movement
from .movements import MOVEMENTS
from .people import Floats, Person, draw_person
from .tracked import Repeat, TrackedMovement

SETTINGS_NAME = "gestures.json"
TEN_SHARE = 0.35  # share of the gestures of DVS128 Gesture among other gestures
TRIES = 20  # movements drawn until one looks like none of the gestures to learn
SAMPLES = 60  # performances that describe a movement
SAMPLE_S = 1.5  # length of a performance
SAMPLE_STEP_S = 0.02
LIKE = 1.5  # maximum distance of a similar movement, relative to the distance between performances of one movement;
# movements of other people are at 0.95 to 1.5 of it, measured on five actions of UTD-MHAD


class FilmedGesture(Record):
    """Part of a track that shows a gesture."""

    name: str
    """Class of the gesture."""
    film: str
    """Film, for messages."""
    track: Path
    """CSV file of the track, relative to the folder."""
    start_us: int
    """Start of the part in the film, in microseconds."""
    stop_us: int
    """End of the part (exclusive) in microseconds."""
    repeat: Repeat = "cycle"
    """How the movement continues at its end."""


class FilmedGestures(Record):
    """Gestures to learn; stored as gestures.json in the folder of their tracks."""

    gestures: tuple[FilmedGesture, ...] = Field(min_length=1)
    """Gestures, one or more films per class."""
    other: tuple[Path, ...] = ()
    """Tracks of films without any of the gestures, relative to the folder."""
    mirror: bool = False
    """Whether the mirrored movement, with the other hand, is the same gesture."""
    alike: tuple[str, ...] = ()
    """Gestures of DVS128 Gesture that one of these gestures resembles; they are not performed as other gestures."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the gestures and of the class of other gestures, sorted as `open_dataset` sorts class folders."""
        return tuple(sorted({OTHER, *(gesture.name for gesture in self.gestures)}))

    def to_repertoire(self, folder: Path) -> Repertoire:
        """Return the movements of all gestures, from the tracks in `folder`.

        Raises:
            DataError: If a part shows no movement, or a gesture is called like the class of other gestures.
            FileError: If a track is missing or corrupted.
        """
        tracked: dict[str, tuple[TrackedMovement, ...]] = {}
        for gesture in self.gestures:
            if gesture.name == OTHER:
                raise DataError(f"{gesture.film}: a gesture cannot be called {OTHER} (found as the name of its class)")
            movement = cut_movement(Track.read(folder / gesture.track), gesture)
            movements = (movement, movement.mirrored()) if self.mirror else (movement,)
            tracked[gesture.name] = (*tracked.get(gesture.name, ()), *movements)

        # Random movements of the class of other gestures must differ from all of these.
        learnt = [_Manner.of(movement) for movements in tracked.values() for movement in movements]
        other = [TrackedMovement.from_track(Track.read(folder / track)) for track in self.other]
        tracked[OTHER] = (*other, *(movement.mirrored() for movement in other))
        ten = tuple(name for name in MOVEMENTS if name not in (*self.alike, OTHER))

        return Repertoire(self.classes, {OTHER: OtherThan(tuple(learnt), ten)}, tracked)


def cut_movement(track: Track, gesture: FilmedGesture) -> TrackedMovement:
    """Return the movement in the part of a track that shows a gesture."""
    inside = (track.times_us >= gesture.start_us) & (track.times_us < gesture.stop_us) & track.present
    if inside.sum() < 3:
        raise DataError(
            f"{gesture.film}: no person from {gesture.start_us / 1e6:g} to {gesture.stop_us / 1e6:g} s "
            f"(found {inside.sum()} pictures of a person, expected 3 or more)"
        )

    return TrackedMovement.from_track(track.select(inside), min_s=0.0).repeated(gesture.repeat)


@dataclass(frozen=True, eq=False)
class _Manner:
    """How a movement looks when many people perform it.

    Args:
        samples: Descriptions of performances, [K, 14]; see `_describe`.
        spread: Distance between a performance and the most similar other one.
    """

    samples: Floats
    spread: float

    @classmethod
    def of(cls, movement: Movement) -> _Manner:
        """Perform a movement by random people."""
        rng = np.random.default_rng(0)
        t = np.arange(0, SAMPLE_S, SAMPLE_STEP_S)
        samples = list[Floats]()

        for _ in range(SAMPLES):
            person = draw_person(rng)
            samples.append(_describe(movement(t, person, rng), person, t))

        # Movements within the distance of nearly all samples to their nearest neighbour count as the same.
        drawn = np.stack(samples)
        apart = np.linalg.norm(drawn[:, None] - drawn, axis=-1)
        np.fill_diagonal(apart, np.inf)

        return cls(drawn, float(np.quantile(apart.min(axis=1), 0.9)))

    def includes(self, description: Floats) -> bool:
        """Return whether a performance looks like this movement."""
        return bool(np.linalg.norm(self.samples - description, axis=1).min() < LIKE * self.spread)


def _describe(motion: Motion, person: Person, t: Floats) -> Floats:
    """Describe the wrists independent of phase, [14]: mean place, extent and speed of each, in comparable units."""
    parts: list[Floats] = []
    for arm in (motion.right, motion.left):
        wrist = arm.wrist / person.reach_m
        speed = np.sqrt((np.gradient(wrist, t, axis=0) ** 2).sum(axis=1).mean())
        parts += [wrist.mean(axis=0) / 0.15, wrist.std(axis=0) / 0.1, np.log([0.1 + speed]) / 0.4]

    return np.concatenate(parts)


@dataclass(frozen=True)
class OtherThan:
    """Random movement that looks like none of some gestures; see `motion.Movement`.

    Args:
        learnt: Gestures that the movement must not look like.
        ten: Gestures of DVS128 Gesture that are performed too.
    """

    learnt: tuple[_Manner, ...]
    ten: tuple[str, ...] = tuple(GESTURES[:-1])

    def __call__(self, t: Floats, person: Person, rng: np.random.Generator) -> Motion:
        """Perform a random movement at times t [T]."""
        for _ in range(TRIES):
            name = self.ten[rng.integers(len(self.ten))] if self.ten and rng.random() < TEN_SHARE else OTHER
            motion = MOVEMENTS[name](t, person, rng)
            description = _describe(motion, person, t)

            if not any(manner.includes(description) for manner in self.learnt):
                break
        return motion
