"""Track a person: find the largest person in a video, follow that person, and smooth the joints over time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..base.arguments import checked
from ..base.config import Settings, as_settings
from ..base.errors import VideoError
from ..events import SensorSize
from ..parallel import Progress, ignore_progress
from ..video.config import VideoSettings
from ..video.names import camera_of
from ..video.opening import open_video
from .body import to_body_frame
from .network import JOINTS, Floats, InputSquare, Look, PoseNetwork, Sighting
from .track import PRESENT, Track, find_runs, shows_shoulders

SEARCH_EVERY_US = 500_000  # while no person is found; a search costs as much as about 16 pictures
SEARCH_SIDES = ((1.05, max), (1.0, min), (0.6, min))  # relative to the longer or shorter side of the picture
SEARCH_STEP = 0.5  # maximum distance between the centres of squares, relative to their side
SETTLING_LOOKS = 6  # looks until the square fits a person larger than the picture; measured on close-ups
MIN_RELATIVE_PRESENCE = 0.7  # relative to the maximum; the largest person above this presence is followed
MIN_FOREGROUND = 0.4  # side relative to the largest person; smaller people are in the background
MIN_APART = (
    0.2  # distance of the hips of two people, relative to the larger side; the network sees bodies inside bodies
)
SHOULDER_WIDTH = 0.17  # relative to the side of the square around the person
ON_TIME = 0.95  # relative to the picture interval; less than 1, because videos round their times
_NOSE = JOINTS.index("nose")

SMOOTHING_US = 70_000  # half width of the window: two pictures at 30 fps; preserves the amplitude of 5 Hz clapping
MIN_BRIGHTNESS = 0.02  # three films, darkened: joints are found down to 0.014 to 0.022, with noise of one grey level
BRIGHTNESS_EVERY_US = 500_000  # brightness changes slowly; other frames are decoded, but not averaged


class TrackSettings(Settings):
    """Settings of person tracking."""

    max_fps: float = Field(default=30.0, gt=0, le=1000)
    """Maximum number of processed pictures per second; others are skipped. Clapping at 3 to 5 Hz needs 15 or more."""
    smooth: bool = True
    """Whether to smooth the joints over time."""


class TrackKeywords(TypedDict, total=False):
    """Settings of `TrackSettings` by name."""

    max_fps: float
    smooth: bool


@dataclass(frozen=True)
class _Detection:
    """Tracking result of one picture."""

    sighting: Sighting | None
    presence: float
    people: int


@checked
def track(
    source: str | Path,
    settings: TrackSettings | Mapping[str, object] | None = None,
    *,
    video: VideoSettings | Mapping[str, object] | None = None,
    look: Look | None = None,
    progress: Progress = ignore_progress,
    **named: Unpack[TrackKeywords],
) -> Track:
    """Track the joints of the largest person in a video.

    Args:
        source: Video, GIF or image folder.
        settings: Settings of tracking; also a mapping.
        video: Settings for reading the video; also a mapping.
        look: Pose network; None: the network included in dvspipe.
        progress: Called with the number of pictures read and the total, 0 if unknown.
        named: Settings of tracking by name; they take precedence over `settings`.

    Raises:
        VideoError: If the video is missing, cannot be decoded or shows no person, or if it is a camera.
    """
    if camera_of(source) is not None:
        raise VideoError(f"{source}: cannot track a camera (expected a video file or a folder of images)")
    settings, film = as_settings(TrackSettings, settings, named, track), open_video(source, video).tolerant()
    count = film.estimate_selected()
    return track_pictures(
        film.pictures(), film.size, settings, name=film.name, look=look, progress=progress, count=count
    )


def check_brightness(path: str | Path, *, video: VideoSettings | Mapping[str, object] | None = None) -> float:
    """Return the mean brightness of a film, 0 to 1, and refuse a film that is too dark to find joints in it.

    Args:
        path: Video file or folder of images.
        video: Settings for reading the video; also a mapping of keys and values.

    Returns:
        Mean of the coded red, green and blue values of a frame per half second, relative to white.

    Raises:
        VideoError: If the mean brightness is below 0.02, or the video cannot be read.
    """
    film = open_video(path, video).tolerant()
    last_us, means = -BRIGHTNESS_EVERY_US, list[float]()
    for t_us, picture in film.pictures():
        if t_us - last_us >= BRIGHTNESS_EVERY_US:
            means.append(float(picture.mean()) / 255)
            last_us = t_us
    brightness = float(np.mean(means))
    if brightness < MIN_BRIGHTNESS:
        raise VideoError(
            f"{film.name}: too dark (found a mean brightness of {100 * brightness:.1f} %, expected "
            f"{100 * MIN_BRIGHTNESS:g} % or more)"
        )
    return brightness


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
    """Track the joints of the largest person in a sequence of pictures; see `track`.

    Args:
        pictures: Times in microseconds, and RGB pictures, uint8 [H, W, 3].
        size: Picture size.
        settings: Settings of tracking; also a mapping of keys and values.
        name: Name of the sequence in messages.
        look: Pose network; default: the network included in dvspipe.
        progress: Called with the number of pictures read and the total.
        count: Total number of pictures; 0: unknown.

    Raises:
        VideoError: If no picture shows a person.
    """
    settings = as_settings(TrackSettings, settings)
    tracker = _Tracker(look or PoseNetwork())
    times_us, found = list[int](), list[_Detection]()
    for number, (t_us, picture) in enumerate(pictures):
        progress(number, count)
        if not times_us or t_us - times_us[-1] >= ON_TIME * 1e6 / settings.max_fps:
            times_us.append(t_us)
            found.append(tracker(t_us, picture))
    if not any(each.sighting for each in found):
        raise VideoError(
            f"{name}: the pose network finds no person (found 0 in {len(found)} pictures, expected 1 or more)"
        )
    return _assemble(np.array(times_us, np.int64), found, size, settings)


def _assemble(times_us: NDArray[np.int64], found: list[_Detection], size: SensorSize, settings: TrackSettings) -> Track:
    present = np.array([each.sighting is not None for each in found])
    points_px = np.full((len(found), len(JOINTS), 2), np.nan)
    points_m = np.full((len(found), len(JOINTS), 3), np.nan)
    confidence = np.full((len(found), len(JOINTS)), np.nan)
    seen = [each.sighting for each in found if each.sighting]
    points_px[present] = [each.points_px for each in seen]
    points_m[present] = [each.points_m for each in seen]
    confidence[present] = [each.confidence for each in seen]

    if settings.smooth:
        points_px = smooth_runs(times_us, points_px, present)
        points_m = smooth_runs(times_us, points_m, present)
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


def smooth_runs(times_us: NDArray[np.int64], points: Floats, present: NDArray[np.bool_]) -> Floats:
    """Smooth points [N, ...] with a local quadratic fit (least squares) to the 140 ms around each picture.

    At equal intervals, this is the filter of Savitzky and Golay (Analytical Chemistry 36, 1964) with five values at 30
    fps. Points with at most three pictures in their window are returned unchanged. Windows do not cross gaps, where
    `present`, bool [N], is false.
    """
    smoothed = points.copy()
    for start, stop in find_runs(present):
        run_us = times_us[start:stop]
        firsts = start + np.searchsorted(run_us, run_us - SMOOTHING_US)
        lasts = start + np.searchsorted(run_us, run_us + SMOOTHING_US, side="right")
        for row, first, last in zip(range(start, stop), firsts, lasts, strict=True):
            if last - first > 3:
                since_s = (times_us[first:last] - times_us[row]) / 1e6
                weights = np.linalg.pinv(np.vander(since_s, 3, increasing=True))[0]
                smoothed[row] = np.tensordot(weights, points[first:last], axes=1)
    return smoothed


class _Tracker:
    """Follow a person from picture to picture; search for a person if there is none."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._square: InputSquare | None = None
        self._searched_us: int | None = None
        self._people = 0

    def __call__(self, t_us: int, picture: NDArray[np.uint8]) -> _Detection:
        lost = 0.0
        if self._square is not None:
            seen = self._look(picture, self._square)
            if seen.presence >= PRESENT:
                self._square = seen.square
                return _Detection(seen, seen.presence, self._people)
            self._square, self._searched_us, lost = None, None, seen.presence
        if self._searched_us is not None and t_us - self._searched_us < SEARCH_EVERY_US:
            return _Detection(None, lost, self._people)
        people = find_people(picture, self._look)
        self._people, self._searched_us = count_people(people), t_us
        if not people:
            return _Detection(None, lost, 0)
        self._square = people[0].square
        return _Detection(people[0], people[0].presence, self._people)


def find_people(picture: NDArray[np.uint8], look: Look) -> list[Sighting]:
    """Find the people in an RGB picture, uint8 [H, W, 3].

    The network also finds small bodies in a face or in the chest of a large person. Repeated looks grow such a square
    to the complete person, or lose it.

    Returns:
        People sorted by size, largest first; people with a presence below 0.7 times the maximum come last. The first
        one is the person to follow.
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
    well = MIN_RELATIVE_PRESENCE * max((each.presence for each in found), default=0.0)
    return sorted(found, key=lambda each: (each.presence < well, -each.square.side_px))


def count_people(found: Sequence[Sighting]) -> int:
    """Count the people in the foreground of a picture whose joints are seen, of the result of `find_people`."""
    counted: list[InputSquare] = []
    for each in sorted(found, key=lambda each: -each.square.side_px):
        square, largest = each.square, (counted or [each.square])[0].side_px
        is_apart = all(
            math.dist((square.x_px, square.y_px), (other.x_px, other.y_px)) >= MIN_APART * other.side_px
            for other in counted
        )
        if is_apart and square.side_px >= MIN_FOREGROUND * largest and shows_shoulders(each.confidence):
            counted.append(square)
    return len(counted)


def _is_same(one: Sighting, other: Sighting) -> bool:
    """Return whether two sightings show the same person: the noses are less than a shoulder width apart."""
    apart = math.dist(one.points_px[_NOSE], other.points_px[_NOSE])
    return apart < SHOULDER_WIDTH * max(one.square.side_px, other.square.side_px)


def search_squares(width: int, height: int) -> Iterator[InputSquare]:
    """Yield overlapping squares that cover a picture, largest first."""
    for share, of in SEARCH_SIDES:
        side = share * of(width, height)
        for y in _space_evenly(height, side):
            for x in _space_evenly(width, side):
                yield InputSquare(x, y, side)


def _space_evenly(length: int, side: float) -> Floats:
    """Return the centres of evenly spaced squares along one axis of the picture."""
    if side >= length:
        return np.array([length / 2])
    steps = math.ceil((length - side) / (SEARCH_STEP * side))
    return np.linspace(side / 2, length - side / 2, steps + 1)
