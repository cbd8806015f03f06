"""Films of gestures: which film shows which gesture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import DataError, FileError, count_noun
from ..base.files import explain_missing, is_internal
from ..recordings.sources import SEPARATE, is_film, is_video


@dataclass(frozen=True)
class ExampleFilm:
    """Film of one gesture.

    Args:
        path: Video, GIF or folder of images.
        name: Name of the gesture, the class to learn; `other_gestures` if the film shows none of the gestures.
        start_s: Start of the part that shows the gesture, in seconds of the film.
        stop_s: End of this part (exclusive); None: end of the film.
    """

    path: Path
    name: str
    start_s: float = 0.0
    stop_s: float | None = None


Films = str | Path | ExampleFilm | Sequence[str | Path | ExampleFilm]
"""Videos, named after the gesture that they show (wave.mp4), folders DIR/<gesture>/<video>, or films with names."""


def list_films(films: Films) -> tuple[ExampleFilm, ...]:
    """Return films with the names of their gestures.

    Raises:
        DataError: If a folder contains no films.
        FileError: If a path is missing or is not a video.

    Example:
        >>> list_films([])
        ()
    """
    examples: list[ExampleFilm] = []
    for film in [films] if isinstance(films, str | Path | ExampleFilm) else films:
        path = film.path if isinstance(film, ExampleFilm) else Path(film)
        if not path.exists():
            raise FileError(f"{path}: {explain_missing(path)}")

        # A folder of images is a film, unless its folders have films.
        members = [member for member in sorted(path.glob("*")) if not is_internal(Path(member.name))]
        nested = [found for member in members if member.is_dir() for found in _list_gesture(member)]
        if not nested and _is_film(path):
            examples.append(film if isinstance(film, ExampleFilm) else ExampleFilm(path, path.stem))
            continue

        if not path.is_dir():
            raise FileError(f"{path}: not a video (found suffix {path.suffix or 'none'}, expected .mp4, .gif, ...)")
        loose = sum(member.is_file() and is_video(member) for member in members)
        if loose or not nested:
            found = f"found {count_noun(len(nested), 'film')} in folders, {count_noun(loose, 'file')} beside them"
            raise DataError(f"{path}: does not contain only films in folders of gestures ({found})")
        examples += nested

    return tuple(examples)


def _list_gesture(folder: Path) -> list[ExampleFilm]:
    """Return the films in the folder of a gesture; its images are one film."""
    films = [folder] if _is_film(folder) else filter(_is_film, sorted(folder.glob("*")))
    return [ExampleFilm(film, folder.name) for film in films if not is_internal(Path(film.name))]


def _is_film(path: Path) -> bool:
    return is_film(path, advice=SEPARATE) if path.is_dir() else path.is_file() and is_video(path)
