"""Study films of gestures: track the person, and find the part that shows the gesture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..base.errors import DvspipeError, count_noun
from ..base.gestures import GESTURES, OTHER
from ..datasets.samples import version_of_file
from ..people import (
    GesturePart,
    Track,
    TrackSettings,
    check_brightness,
    find_movement,
    track_film,
    write_refusal_picture,
)
from ..people.joints import find_joints
from ..synthesis import FilmedGesture, FilmedGestures, mirror_class
from .films import ExampleFilm, check_distinct

BASE = "gesture"
"""Included network; fine-tuning starts from its weights. All its sources allow use in products."""
ALIKE_SHARE = 0.3  # minimum probability by joints of a known gesture that a film resembles

StageProgress = Callable[[str, int, int], object]
"""Called with the stage, the amount done and the total."""


@dataclass(frozen=True, eq=False)
class StudiedFilm:
    """Film of a gesture with its track.

    Args:
        film: Film.
        track: Joints of the person over time.
        file: CSV file of the track, relative to the folder of tracks.
        part: Part that shows the gesture.
        alike: Gestures of DVS128 Gesture that the part resembles, by the joints of the arms.
    """

    film: ExampleFilm
    track: Track
    file: Path
    part: GesturePart
    alike: tuple[str, ...]

    def __str__(self) -> str:
        part = self.part
        repeated = "once"
        if part.period_us is not None:
            repeated = f"{count_noun(part.repetitions, 'time')}, every {part.period_us / 1e6:.2f} s"
        hands = "both hands" if len(part.sides) == 2 else f"{part.sides[0]} hand"
        times = f"{part.start_us / 1e6:.2f} to {part.stop_us / 1e6:.2f} s"
        alike = f"; resembles {', '.join(self.alike)}" if self.alike else ""
        return "; ".join((f"{self.film.path}: {self.film.name}, {times}, {hands}, {repeated}{alike}", *part.warnings))

    def describe(self) -> FilmedGesture:
        """Return the record of the film for `FilmedGestures`."""
        return FilmedGesture(
            name=self.film.name,
            film=str(self.film.path),
            track=self.file,
            start_us=self.part.start_us,
            stop_us=self.part.stop_us,
            repeat="once" if self.part.period_us is None else "cycle",
        )


@dataclass(frozen=True, eq=False)
class Study:
    """Studied films of all gestures.

    Args:
        films: Films of the gestures.
        other: Tracks of films without any of the gestures, relative to the folder of tracks.
        mirror: Whether the mirrored movement is the same gesture.
    """

    films: tuple[StudiedFilm, ...]
    other: tuple[Path, ...]
    mirror: bool

    def describe(self) -> FilmedGestures:
        """Return the record of the gestures, to render them."""
        # Without repetitions, in the order of the films.
        alike: dict[str, None] = {}
        for film in self.films:
            alike |= dict.fromkeys(film.alike)
        mirrored = [mirror_class(name) for name in alike] if self.mirror else []

        return FilmedGestures(
            gestures=tuple(film.describe() for film in self.films),
            other=self.other,
            mirror=self.mirror,
            alike=tuple(dict.fromkeys([*alike, *mirrored])),
        )


def study_films(
    films: Sequence[ExampleFilm],
    other: Sequence[Path],
    folder: Path,
    *,
    mirror: bool = False,
    progress: StageProgress,
) -> Study:
    """Track the person in each film, and find the part that shows the gesture.

    Tracks are stored in the folder, and reused if the film is unchanged.

    Args:
        films: Films of the gestures.
        other: Films without any of the gestures.
        folder: Folder of tracks.
        mirror: Whether the mirrored movement, with the other hand, is the same gesture.
        progress: Called with the stage, the number of finished pictures and the total.

    Raises:
        DataError: If a film shows no arms, no movement or too short a movement, or two gestures have the same film.
        VideoError: If a film cannot be read or shows no person.
        FileError: If the folder cannot be written.
    """
    check_distinct(films)

    # Look at all films first: tracking one takes minutes.
    for number, film in enumerate(films):
        progress("looking at the films", number, len(films) + len(other))
        try:
            _look_at(film.path, film.name, folder)
        except DvspipeError as error:
            raise _show_refusal(error, film, None, folder) from error

    for number, path in enumerate(other, len(films)):
        progress("looking at the films", number, len(films) + len(other))
        _look_at(path, OTHER, folder)

    studied = tuple(_study(film, folder, progress) for film in films)
    tracks = tuple(_track(path, OTHER, folder, progress)[1] for path in other)
    return Study(studied, tracks, mirror)


def refusal_picture(folder: Path, name: str) -> Path:
    """Return the path of the picture that shows why `study_films` refused the film of a gesture."""
    return folder / f"{name}-refused.png"


def _study(film: ExampleFilm, folder: Path, progress: StageProgress) -> StudiedFilm:
    start_us, stop_us = (None if time_s is None else round(time_s * 1e6) for time_s in (film.start_s, film.stop_s))
    track = None
    try:
        track, file = _track(film.path, film.name, folder, progress)
        part = find_movement(track, name=str(film.path), start_us=start_us, stop_us=stop_us)
    except DvspipeError as error:
        raise _show_refusal(error, film, track, folder) from error

    # Gestures of DVS128 Gesture that the film resembles are not rendered as examples of other gestures.
    joints = find_joints(BASE)
    assert joints is not None
    shares = joints.classify_part(track, part.start_us, part.stop_us).tolist()
    alike = [name for name, share in zip(GESTURES, shares, strict=True) if share >= ALIKE_SHARE and name != OTHER]

    return StudiedFilm(film, track, file, part, tuple(alike))


def _show_refusal(error: DvspipeError, film: ExampleFilm, track: Track | None, folder: Path) -> DvspipeError:
    """Return the error with the name of a picture that shows its reason, if the film can be read at all."""
    reason = str(error).replace(str(film.path), film.path.name)
    try:
        picture = write_refusal_picture(film.path, track, reason, refusal_picture(folder, film.name))
    except DvspipeError:
        return error

    return type(error)(f"{error}; see {picture}")


def _look_at(path: Path, name: str, folder: Path) -> None:
    """Check that a film can be read and is not too dark, unless it was tracked before."""
    if not (folder / _name_track(path, name)).is_file():
        check_brightness(path)


def _name_track(path: Path, name: str) -> Path:
    """Return the file of a film's track, relative to the folder of tracks; it depends on the content of the film."""
    return Path(name, f"{path.stem}-{version_of_file(path, TrackSettings())[:12]}.csv")


def _track(path: Path, name: str, folder: Path, progress: StageProgress) -> tuple[Track, Path]:
    """Return the track of a film and its file in the folder, from an earlier run if the film is unchanged."""
    file = _name_track(path, name)
    if not (folder / file).is_file():
        tracked = track_film(path, TrackSettings(), progress=partial(progress, f"tracking {path.name}"))
        (folder / name).mkdir(parents=True, exist_ok=True)
        tracked.write(folder / file)

    return Track.read(folder / file), file
