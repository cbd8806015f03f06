"""Films of gestures: which film shows which gesture."""

from __future__ import annotations

import filecmp
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..base.errors import DataError, FileError
from ..base.files import explain_missing
from ..base.gestures import OTHER
from ..recordings.sources import as_paths, is_video
from ..video.names import is_image_folder


@dataclass(frozen=True)
class ExampleFilm:
    """Film of one gesture.

    Args:
        path: Video, GIF or folder of images.
        name: Name of the gesture, the class to learn.
        start_s: Start of the part that shows the gesture, in seconds of the film; None: found automatically.
        stop_s: End of this part (exclusive); None: found automatically.
    """

    path: Path
    name: str
    start_s: float | None = None
    stop_s: float | None = None


def list_films(paths: str | Path | Sequence[str | Path]) -> tuple[ExampleFilm, ...]:
    """Return the films of some paths, with the names of their gestures.

    Args:
        paths: Videos, named after the gesture that they show (wave.mp4), or folders DIR/<gesture>/<video>.

    Raises:
        DataError: If a folder contains no films, or a gesture has the name of the class of other gestures.
        FileError: If a path is missing or is not a video.

    Example:
        >>> list_films([])
        ()
    """
    films: list[ExampleFilm] = []
    for path in as_paths(paths):
        films += _list_path(path)

    for film in films:
        if film.name == OTHER:
            raise DataError(f"{film.path}: a gesture cannot be called {OTHER}, the class of all other gestures")

    return tuple(films)


def list_videos(paths: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    """Return the videos of some paths: videos, and all videos below folders.

    Raises:
        DataError: If a folder contains no videos.
        FileError: If a path is missing or is not a video.
    """
    videos: list[Path] = []
    for path in as_paths(paths):
        films = [path] if _is_film(path) else list(filter(_is_film, sorted(path.rglob("*"))))
        if not films:
            raise _not_films(path, "videos")
        videos += films

    return tuple(videos)


def set_parts(
    films: Sequence[ExampleFilm], starts: Mapping[str, float], stops: Mapping[str, float]
) -> tuple[ExampleFilm, ...]:
    """Set the parts of films that show the gesture.

    Args:
        films: Films.
        starts: Start of the part in seconds, by the name of the gesture; if it has several films, by the name of the
            film without its suffix, as `wave/anna` or `anna`, with _ for a dot.
        stops: End of the part in seconds, likewise.

    Raises:
        DataError: If a name is unknown or belongs to several films, a time is wrong, or a part ends before it starts.
    """
    for name, time_s in (*starts.items(), *stops.items()):
        _check_name(films, name)
        if not time_s >= 0:  # also NaN
            raise DataError(f"{name}: wrong time (found {time_s:g}, expected 0 s or later)")

    with_parts = tuple(
        replace(film, start_s=_find_time(film, starts), stop_s=_find_time(film, stops)) for film in films
    )
    for film in with_parts:
        if film.start_s is not None and film.stop_s is not None and film.stop_s <= film.start_s:
            raise DataError(
                f"{film.path}: the part ends before it starts (found {film.start_s:g} to {film.stop_s:g} s)"
            )

    return with_parts


def _check_name(films: Sequence[ExampleFilm], name: str) -> None:
    """Check that a name belongs to one film."""
    found = [film for film in films if name in _names_of(film)]
    if not found:
        names = ", ".join(dict.fromkeys(film.name for film in films))
        raise DataError(f"{name}: no film of this gesture (expected one of {names})")
    if len(found) > 1:
        names = ", ".join(_names_of(film)[-1] for film in found)
        raise DataError(f"{name}: several films (found {len(found)}, expected the name of one of them: {names})")


def _names_of(film: ExampleFilm) -> tuple[str, str, str]:
    """Return the names of a film: its gesture, its file without suffix, and both."""
    stem = film.path.stem.replace(".", "_")  # a dot separates the words of an option
    return film.name, stem, f"{film.name}/{stem}"


def _find_time(film: ExampleFilm, times_s: Mapping[str, float]) -> float | None:
    return next((times_s[name] for name in _names_of(film) if name in times_s), None)


def check_distinct(films: Sequence[ExampleFilm]) -> None:
    """Check that no two films are the same part of the same film.

    Raises:
        DataError: If two films are.
    """
    for number, film in enumerate(films):
        for other in films[:number]:
            is_same_part = (film.start_s, film.stop_s) == (other.start_s, other.stop_s)
            if is_same_part and _have_same_content(film.path, other.path):
                raise DataError(
                    f"{film.path}: the same film as {other.path} (expected another film, or another part of it)"
                )


def _have_same_content(path: Path, other: Path) -> bool:
    """Whether two paths are one file or folder, or two files with the same bytes."""
    if path.is_file() and other.is_file():
        return filecmp.cmp(path, other, shallow=False)
    return path.resolve() == other.resolve()


def _list_path(path: Path) -> Iterator[ExampleFilm]:
    if _is_film(path):
        yield ExampleFilm(path, path.stem)
        return

    films = list(filter(_is_film, sorted(path.glob("*/*"))))
    if not films:
        raise _not_films(path, "<gesture>/<video>")

    yield from (ExampleFilm(film, film.parent.name) for film in films)


def _is_film(path: Path) -> bool:
    return is_image_folder(path) if path.is_dir() else path.is_file() and is_video(path)


def _not_films(path: Path, expected: str) -> DataError | FileError:
    if not path.exists():
        return FileError(f"{path}: {explain_missing(path)}")
    if path.is_dir():
        return DataError(f"{path}: contains no films (expected {expected})")

    return FileError(f"{path}: not a video (found suffix {path.suffix or 'none'}, expected .mp4, .webm, .gif, ...)")
