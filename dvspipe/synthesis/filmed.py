"""Gestures that are learnt from films: which part of each track shows which gesture, and what counts as another one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field, ValidationError

from ..config import Settings
from ..errors import DataError, FormatError
from ..files import read_bytes, write_text
from ..pose import Track
from .gestures import MOVEMENTS, OTHER, Repertoire
from .motion import Motion
from .movements import TEN_GESTURES
from .people import Floats, Person
from .tracked import Repeat, TrackedMovement

SETTINGS_NAME = "gestures.json"
TEN_SHARE = 0.35  # share of the gestures of DVS128 Gesture among other gestures


class FilmedGesture(Settings):
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


class FilmedGestures(Settings):
    """Gestures to learn; stored as gestures.json in the folder of their tracks."""

    gestures: tuple[FilmedGesture, ...] = Field(min_length=1)
    """Gestures, one or more films per class."""
    other: tuple[Path, ...] = ()
    """Tracks of films without any of the gestures, relative to the folder."""
    mirror: bool = False
    """Whether the mirrored movement, with the other hand, is the same gesture."""
    alike: tuple[str, ...] = ()
    """Gestures of DVS128 Gesture that are like one of the gestures, so they are not other gestures."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the gestures, in order, and the class of other gestures."""
        return (*dict.fromkeys(each.name for each in self.gestures), OTHER)

    def write(self, folder: Path) -> None:
        """Write gestures.json to the folder of the tracks.

        Raises:
            FileError: If the file cannot be written.
        """
        write_text(folder / SETTINGS_NAME, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read gestures.json in a folder.

        Raises:
            FileError: If the file is missing or cannot be read.
            FormatError: If the file is not valid.
        """
        path = folder / SETTINGS_NAME
        try:
            return cls.model_validate_json(read_bytes(path))
        except ValidationError as error:
            raise FormatError(f"{path}: not a list of filmed gestures ({' '.join(str(error).split())})") from error

    def to_repertoire(self, folder: Path) -> Repertoire:
        """Return the movements of all gestures, from the tracks in `folder`.

        Raises:
            DataError: If a part shows no movement, or a gesture is called like the class of other gestures.
            FileError: If a track is missing or corrupted.
        """
        tracked: dict[str, tuple[TrackedMovement, ...]] = {}
        for each in self.gestures:
            if each.name == OTHER:
                raise DataError(f"{each.film}: a gesture cannot be called {OTHER} (found as the name of its class)")
            movement = cut_movement(Track.read(folder / each.track), each)
            movements = (movement, movement.mirrored()) if self.mirror else (movement,)
            tracked[each.name] = (*tracked.get(each.name, ()), *movements)
        other = [TrackedMovement.from_track(Track.read(folder / track)) for track in self.other]
        tracked[OTHER] = (*other, *(movement.mirrored() for movement in other))
        ten = tuple(name for name in TEN_GESTURES if name not in self.alike)
        return Repertoire(self.classes, {OTHER: OtherThan(ten)}, tracked)


def cut_movement(track: Track, gesture: FilmedGesture) -> TrackedMovement:
    """Return the movement in the part of a track that shows a gesture.

    Raises:
        DataError: If the part shows a person in fewer than three pictures.
    """
    inside = (track.times_us >= gesture.start_us) & (track.times_us < gesture.stop_us) & track.present
    if inside.sum() < 3:
        raise DataError(
            f"{gesture.film}: no person from {gesture.start_us / 1e6:g} to {gesture.stop_us / 1e6:g} s "
            f"(found {inside.sum()} pictures of a person, expected 3 or more)"
        )
    return TrackedMovement.from_track(track.select(inside)).repeated(gesture.repeat)


@dataclass(frozen=True)
class OtherThan:
    """Random movement: one of some gestures of DVS128 Gesture, or none of its ten gestures; see `motion.Movement`.

    Args:
        ten: Names of gestures of DVS128 Gesture that may be performed.
    """

    ten: tuple[str, ...]

    def __call__(self, t: Floats, person: Person, rng: np.random.Generator) -> Motion:
        """Perform a random movement at times t [T]."""
        name = OTHER
        if self.ten and rng.random() < TEN_SHARE:
            name = self.ten[rng.integers(len(self.ten))]
        return MOVEMENTS[name](t, person, rng)
