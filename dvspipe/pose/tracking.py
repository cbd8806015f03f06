"""Films to tracks: the largest person is found, and followed from picture to picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..config import Settings, as_settings
from ..errors import VideoError
from ..events import SensorSize
from ..parallel import Progress, ignore_progress
from ..video.config import VideoSettings
from ..video.names import camera_of
from ..video.opening import open_video
from .body import to_body_frame
from .network import JOINTS, Floats, InputSquare, Look, PoseNetwork, Sighting
from .smoothing import smooth_runs
from .track import PRESENT, Track

SEARCH_EVERY_US = 500_000  # of a film without a person: a search costs as much as about 16 pictures
SEARCH_SIDES = ((1.05, max), (1.0, min), (0.6, min))  # relative to the longer or the shorter side of the picture
SEARCH_STEP = 0.5  # between the centres of squares, at most, relative to their side
SETTLING_LOOKS = 6  # until the square fits a person who is larger than the picture; measured on close-ups
ALMOST = 0.7  # of the largest presence: of people found so well, the largest one is followed
SHOULDERS = 0.17  # width of a person's shoulders, relative to the side of the square about the person
ON_TIME = 0.95  # of the interval of pictures, after which the next one is looked at: films round their times
_NOSE = JOINTS.index("nose")


class TrackSettings(Settings):
    """Settings for tracking a person."""

    max_fps: float = Field(default=30.0, gt=0, le=1000)
    """Pictures per second that are looked at, at most; others are skipped. Applause of 3 to 5 Hz needs 15 or more."""
    smooth: bool = True
    """Whether the joints are smoothed over time."""


@dataclass(frozen=True)
class _Found:
    """What is known about one picture."""

    sighting: Sighting | None
    presence: float
    people: int


def track_film(
    path: str | Path,
    settings: TrackSettings | Mapping[str, object] | None = None,
    *,
    video: VideoSettings | Mapping[str, object] | None = None,
    look: Look | None = None,
    progress: Progress = ignore_progress,
) -> Track:
    """Return the joints of the largest person in a film over time.

    Args:
        path: A video file or a folder of images.
        settings: How it is tracked, also as plain keys and values.
        video: How it is read.
        look: The pose network; default: the one that dvspipe includes.
        progress: Called with the number of pictures read and in all, the latter 0 if unknown.

    Raises:
        VideoError: The film is missing, truncated or cannot be decoded, is a camera, or shows no person.
    """
    if camera_of(path) is not None:
        raise VideoError(f"{path}: is a camera, expected a film")
    film = open_video(path, video)
    return track_pictures(
        film.pictures(), film.size, settings, name=film.name, look=look, progress=progress, count=film.frame_count
    )


def track_pictures(
    pictures: Iterator[tuple[int, NDArray[np.uint8]]],
    size: SensorSize,
    settings: TrackSettings | Mapping[str, object] | None = None,
    *,
    name: str = "the pictures",
    look: Look | None = None,
    progress: Progress = ignore_progress,
    count: int = 0,
) -> Track:
    """Return the joints of the largest person in pictures over time, as `track_film`.

    Args:
        pictures: Times in microseconds and pictures, uint8 [H, W, 3] in the order red, green, blue.
        size: Their size.
        settings: How they are tracked.
        name: Their name in messages.
        look: The pose network.
        progress: Called with the number of pictures read and in all.
        count: Number of pictures in all; 0: unknown.
    """
    settings = as_settings(TrackSettings, settings)
    follow = _Follower(look or PoseNetwork())
    times_us, found = list[int](), list[_Found]()
    for number, (t_us, picture) in enumerate(pictures):
        progress(number, count)
        if not times_us or t_us - times_us[-1] >= ON_TIME * 1e6 / settings.max_fps:
            times_us.append(t_us)
            found.append(follow(t_us, picture))
    if not any(each.sighting for each in found):
        raise VideoError(f"{name}: shows no person that the pose network finds (looked at {len(found)} pictures)")
    return _assemble(np.array(times_us, np.int64), found, size, settings)


def _assemble(times_us: NDArray[np.int64], found: list[_Found], size: SensorSize, settings: TrackSettings) -> Track:
    N, J = len(found), len(JOINTS)
    points_px, points_m = np.full((N, J, 2), np.nan), np.full((N, J, 3), np.nan)
    confidence = np.full((N, J), np.nan)
    for row, each in enumerate(found):
        if each.sighting:
            points_px[row], points_m[row] = each.sighting.points_px, each.sighting.points_m
            confidence[row] = each.sighting.confidence
    if settings.smooth:
        present = np.array([each.sighting is not None for each in found])
        points_px, points_m = (smooth_runs(times_us, points, present) for points in (points_px, points_m))
    points_m, yaw = to_body_frame(points_m)
    return Track(
        times_us=times_us,
        points_m=points_m,
        points_px=points_px,
        confidence=confidence,
        presence=np.array([each.presence for each in found]),
        yaw=yaw,
        people=np.array([each.people for each in found], np.int64),
        size=size,
    )


class _Follower:
    """Follows a person from picture to picture, and searches for one if there is none."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._square: InputSquare | None = None
        self._searched_us: int | None = None
        self._people = 0

    def __call__(self, t_us: int, picture: NDArray[np.uint8]) -> _Found:
        lost = 0.0
        if self._square is not None:
            seen = self._look(picture, self._square)
            if seen.presence >= PRESENT:
                self._square = seen.square
                return _Found(seen, seen.presence, self._people)
            self._square, self._searched_us, lost = None, None, seen.presence
        if self._searched_us is not None and t_us - self._searched_us < SEARCH_EVERY_US:
            return _Found(None, lost, self._people)
        people = find_people(picture, self._look)
        self._people, self._searched_us = len(people), t_us
        if not people:
            return _Found(None, lost, 0)
        self._square = people[0].square
        return _Found(people[0], people[0].presence, len(people))


def find_people(picture: NDArray[np.uint8], look: Look) -> list[Sighting]:
    """Return the people in a picture, uint8 [H, W, 3]: the one to follow first, the largest of those seen well.

    The network also sees a small body in a face, or in a large person's chest. Looked at again and again, such a square
    grows to the person, or ends without one.
    """
    seen = [look(picture, square) for square in search_squares(picture.shape[1], picture.shape[0])]
    found: list[Sighting] = []
    for each in sorted(seen, key=lambda each: -each.square.side_px):
        if each.presence < PRESENT or any(_is_same(each, other) for other in found):
            continue
        for _ in range(SETTLING_LOOKS):
            each = look(picture, each.square)
        if each.presence >= PRESENT and not any(_is_same(each, other) for other in found):
            found.append(each)
    well = ALMOST * max((each.presence for each in found), default=0.0)
    return sorted(found, key=lambda each: (each.presence < well, -each.square.side_px))


def _is_same(one: Sighting, other: Sighting) -> bool:
    """Return whether two sightings are of one person: their noses are less than a shoulder's width apart."""
    apart = math.dist(one.points_px[_NOSE], other.points_px[_NOSE])
    return apart < SHOULDERS * max(one.square.side_px, other.square.side_px)


def search_squares(width: int, height: int) -> Iterator[InputSquare]:
    """Yield squares that together cover a picture, the largest first."""
    for share, of in SEARCH_SIDES:
        side = share * of(width, height)
        for y in _spread(height, side):
            for x in _spread(width, side):
                yield InputSquare(x, y, side)


def _spread(length: int, side: float) -> Floats:
    """Return the centres of squares along an axis of the picture."""
    if side >= length:
        return np.array([length / 2])
    steps = math.ceil((length - side) / (SEARCH_STEP * side))
    return np.linspace(side / 2, length - side / 2, steps + 1)
