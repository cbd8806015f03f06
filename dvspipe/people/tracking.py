"""Track a person: find the largest person in a video, follow that person, and smooth the joints over time."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.errors import VideoError
from ..base.files import check_output
from ..base.progress import Progress, ignore_progress
from ..events import SensorSize
from ..video.config import ClipSettings, VideoSettings
from ..video.names import camera_of
from ..video.opencv import cv2
from ..video.opening import open_video
from .body import to_body_frame
from .config import TrackSettings
from .network import JOINTS, Floats, InputSquare, Look, PoseNetwork, Sighting
from .track import PRESENT, Track, find_runs, shows_shoulders

log = logging.getLogger(__name__)

SEARCH_EVERY_US = 500_000  # while no person is found; a search costs as much as about 16 pictures
MAX_SEARCH_EVERY_US = 5_000_000  # after a long time without a person
STEADY_US = 1_000_000  # a person who is followed for so long is searched for at once if lost
SEARCH_GROWTH = 0.5  # time to the next search, relative to the time without a person
SEARCH_SIDES = ((1.05, max), (1.0, min), (0.6, min))  # relative to the longer or shorter side of the picture
SEARCH_STEP = 0.5  # maximum distance between the centres of squares, relative to their side
SETTLING_LOOKS = 6  # looks until the square fits a person larger than the picture; measured on close-ups
SETTLED = 0.02  # change of a square that fits, relative to its side
STILL_CELLS = 32  # cells per side of the square around the person, about 6 cm each, compared to see whether it moves
STILL_LEVELS = 8.0  # change of a cell that shows movement, of 255
MIN_RELATIVE_PRESENCE = 0.7  # relative to the maximum; the largest person above this presence is followed
MIN_FOREGROUND = 0.4  # side relative to the largest person; smaller people are in the background
MIN_APART = (
    0.2  # distance of the hips of two people, relative to the larger side; the network sees bodies inside bodies
)
SHOULDER_WIDTH = 0.17  # relative to the side of the square around the person
ON_TIME = 0.95  # relative to the picture interval; less than 1, because videos round their times
_NOSE = JOINTS.index("nose")

SMOOTHING_US = 70_000  # half width of the window: two pictures at 30 fps; preserves the amplitude of 5 Hz clapping


@dataclass(frozen=True)
class _Detection:
    """Tracking result of one picture."""

    t_us: int
    sighting: Sighting | None
    presence: float
    people: int


def track_pictures(
    pictures: Iterator[tuple[int, NDArray[np.uint8]]],
    size: SensorSize,
    settings: TrackSettings = TrackSettings(),
    *,
    name: str = "the pictures",
    look: Look | None = None,
    progress: Progress = ignore_progress,
    count: int = 0,
) -> Track:
    """Track the joints of the largest person in a sequence of pictures; see `dvspipe.track`.

    Args:
        pictures: Times in microseconds, and RGB pictures, uint8 [H, W, 3].
        size: Picture size.
        settings: Settings of tracking.
        name: Name of the sequence in messages.
        look: Pose network; default: the network included in dvspipe.
        progress: Called with the number of pictures read and the total.
        count: Total number of pictures; 0: unknown.

    Raises:
        VideoError: If no picture shows a person.
    """
    tracker = PersonTracker(look or PoseNetwork(), settings)
    for number, (t_us, picture) in enumerate(pictures):
        progress(number, count)
        tracker.add(t_us, picture)

    track = tracker.track(size)
    if track is None:
        raise VideoError(
            f"{name}: the pose network finds no person (found 0 in {tracker.looks} pictures, expected 1 or more)"
        )
    return track


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

        # A parabola has three coefficients; only with four pictures or more does its fit smooth anything.
        for row, first, last in zip(range(start, stop), firsts, lasts, strict=True):
            if last - first > 3:
                since_s = (times_us[first:last] - times_us[row]) / 1e6

                # The row of the pseudo-inverse for the constant term: the value of the parabola at this picture.
                weights = np.linalg.pinv(np.vander(since_s, 3, increasing=True))[0]
                smoothed[row] = np.tensordot(weights, points[first:last], axes=1)
    return smoothed


class PersonTracker:
    """Follow a person from picture to picture; search for a person if there is none.

    Args:
        look: Pose network.
        settings: Settings of tracking.

    Attributes:
        looked_us: Time of the last processed picture in microseconds; None: there was none.
    """

    def __init__(self, look: Look, settings: TrackSettings) -> None:
        self._look = look
        self._settings = settings
        self._min_us = ON_TIME * 1e6 / settings.max_fps
        self._still_us = None if settings.still_fps is None else ON_TIME * 1e6 / settings.still_fps
        self._detections = deque[_Detection]()
        self._square: InputSquare | None = None
        self._people = 0
        self.looked_us: int | None = None
        self._cells: Floats | None = None  # last picture, if still ones are left out
        self._missing_us: int | None = None  # first search without shoulders, until a person is steadily seen
        self._search_us = 0  # time of the next search
        self._searched_us = 0  # last search

    def add(self, t_us: int, picture: NDArray[np.uint8]) -> None:
        """Process the next RGB picture, uint8 [H, W, 3], if it is due."""
        if self._is_due(t_us, picture):
            self.looked_us = t_us
            self._detections.append(self._detect(t_us, picture))
            if self._square is not None and self._still_us is not None:
                self._cells = _average_cells(picture, self._square)

    def forget(self, before_us: int) -> None:
        """Forget the pictures before a time; the person is still followed."""
        while self._detections and self._detections[0].t_us < before_us:
            self._detections.popleft()

    @property
    def looks(self) -> int:
        """Number of processed pictures."""
        return len(self._detections)

    def track(self, size: SensorSize) -> Track | None:
        """Return the joints in the processed pictures, of this size; None if no picture shows a person."""
        present = np.array([detection.sighting is not None for detection in self._detections], bool)
        if not present.any():
            return None

        times_us = np.array([detection.t_us for detection in self._detections], np.int64)

        # Pictures without a person keep NaN.
        points_px = np.full((len(present), len(JOINTS), 2), np.nan)
        points_m = np.full((len(present), len(JOINTS), 3), np.nan)
        confidence = np.full((len(present), len(JOINTS)), np.nan)

        sightings = [detection.sighting for detection in self._detections if detection.sighting]
        points_px[present] = [sighting.points_px for sighting in sightings]
        points_m[present] = [sighting.points_m for sighting in sightings]
        confidence[present] = [sighting.confidence for sighting in sightings]

        points_px = smooth_runs(times_us, points_px, present)
        points_m, yaw = to_body_frame(smooth_runs(times_us, points_m, present))
        return Track(
            times_us=times_us,
            points_m=points_m,
            points_px=points_px,
            confidence=confidence,
            presence=np.array([detection.presence for detection in self._detections]),
            yaw=yaw,
            people=np.array([detection.people for detection in self._detections], np.int64),
            size=size,
        )

    def _is_due(self, t_us: int, picture: NDArray[np.uint8]) -> bool:
        """Return whether to process the next picture: rarely, if nothing moves around the person."""
        if self.looked_us is None:
            return True

        since_us = t_us - self.looked_us
        if since_us < self._min_us or self._still_us is None or self._square is None or since_us >= self._still_us:
            return since_us >= self._min_us

        assert self._cells is not None  # the square comes from the last picture
        change = np.abs(_average_cells(picture, self._square) - self._cells)
        return bool(change.max() >= STILL_LEVELS)

    def _detect(self, t_us: int, picture: NDArray[np.uint8]) -> _Detection:
        lost = 0.0

        # As long as the person is found, each picture says where to look in the next one.
        if self._square is not None:
            seen = self._look(picture, self._square)
            if seen.presence >= PRESENT:
                self._square = seen.square
                if shows_shoulders(seen.confidence) and t_us - self._searched_us >= STEADY_US:
                    self._missing_us = None
                return _Detection(t_us, seen, seen.presence, self._people)

            # Lost: search at once, in this picture, unless it was a pattern or a person who is hard to see.
            self._square = None
            self._search_us = t_us if self._missing_us is None else self._search_us
            lost = seen.presence

        # A search looks at many squares, so it is repeated only now and then, and less often if it finds nobody.
        if t_us < self._search_us:
            return _Detection(t_us, None, lost, self._people)

        people = find_people(picture, self._look)
        self._people = count_people(people)
        self._searched_us = t_us
        if self._missing_us is None and not (people and shows_shoulders(people[0].confidence)):
            self._missing_us = t_us
        if self._missing_us is not None:
            wait_us = round(SEARCH_GROWTH * (t_us - self._missing_us))
            self._search_us = t_us + min(max(wait_us, SEARCH_EVERY_US), MAX_SEARCH_EVERY_US)

        if not people:
            return _Detection(t_us, None, lost, 0)

        self._square = people[0].square
        return _Detection(t_us, people[0], people[0].presence, self._people)


def _average_cells(picture: NDArray[np.uint8], square: InputSquare) -> Floats:
    """Return the mean grey values of a grid over the visible part of a square, [STILL_CELLS, STILL_CELLS]."""
    height, width = picture.shape[:2]
    half = square.side_px / 2
    rows = slice(int(np.clip(square.y_px - half, 0, height - 1)), math.ceil(np.clip(square.y_px + half, 1, height)))
    columns = slice(int(np.clip(square.x_px - half, 0, width - 1)), math.ceil(np.clip(square.x_px + half, 1, width)))

    cells = cv2.resize(picture[rows, columns], (STILL_CELLS, STILL_CELLS), interpolation=cv2.INTER_AREA)
    return np.asarray(cells.mean(axis=-1))


def find_people(picture: NDArray[np.uint8], look: Look) -> list[Sighting]:
    """Find the people in an RGB picture, uint8 [H, W, 3].

    The network also finds small bodies in a face or in the chest of a large person. Repeated looks grow such a square
    to the complete person, or lose it.

    Returns:
        People sorted by size, largest first; people with a presence below 0.7 times the maximum come last. The first
        one is the person to follow.
    """
    # The largest people first: the network also sees bodies inside bodies.
    looks = [look(picture, square) for square in search_squares(picture.shape[1], picture.shape[0])]
    people: list[Sighting] = []
    for sighting in sorted(looks, key=lambda sighting: -sighting.square.side_px):
        if sighting.presence < PRESENT or any(_is_same(sighting, other) for other in people):
            continue

        for _ in range(SETTLING_LOOKS):
            before = sighting.square
            sighting = look(picture, before)
            if sighting.presence < PRESENT or _fits(before, sighting.square):
                break

        if sighting.presence >= PRESENT and not any(_is_same(sighting, other) for other in people):
            people.append(sighting)

    well = MIN_RELATIVE_PRESENCE * max((sighting.presence for sighting in people), default=0.0)
    return sorted(people, key=lambda sighting: (sighting.presence < well, -sighting.square.side_px))


def count_people(found: Sequence[Sighting]) -> int:
    """Count the people in the foreground of a picture whose joints are seen, of the result of `find_people`."""
    counted: list[InputSquare] = []
    for sighting in sorted(found, key=lambda sighting: -sighting.square.side_px):
        square = sighting.square
        largest = (counted or [sighting.square])[0].side_px
        is_apart = all(
            math.dist((square.x_px, square.y_px), (other.x_px, other.y_px)) >= MIN_APART * other.side_px
            for other in counted
        )

        if is_apart and square.side_px >= MIN_FOREGROUND * largest and shows_shoulders(sighting.confidence):
            counted.append(square)
    return len(counted)


def _fits(before: InputSquare, after: InputSquare) -> bool:
    """Return whether a look did not move or resize the square: more looks would not either."""
    change = max(abs(after.x_px - before.x_px), abs(after.y_px - before.y_px), abs(after.side_px - before.side_px))
    return change < SETTLED * before.side_px


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


def track(
    source: str | Path,
    out: str | Path | None = None,
    config: TrackSettings = TrackSettings(),
    *,
    overwrite: bool = False,
    progress: Progress = ignore_progress,
) -> Track:
    """Track the joints of the largest person in a video.

    Args:
        source: Video, GIF or image folder.
        out: CSV file for the joints. Default: not written.
        config: Settings for reading the video and of tracking.
        overwrite: Replace existing files.
        progress: Called with the number of pictures read and the total, 0 if unknown.

    Raises:
        FileError: If the suffix is wrong, or the file exists or cannot be written.
        VideoError: If the video is missing, cannot be decoded or shows no person, or if it is a camera.

    Example:
        >>> track("clap.mp4", "joints.csv", TrackSettings(max_fps=15)).size  # doctest: +SKIP
    """
    table = check_output(out, "joints", ".csv", overwrite=overwrite)
    if camera_of(source) is not None:
        raise VideoError(f"{source}: cannot track a camera (expected a video file or a folder of images)")

    film = open_video(source, VideoSettings(**config.part(ClipSettings).given))
    count = film.estimate_selected()
    tracked = track_pictures(film.pictures(), film.size, config, name=film.name, progress=progress, count=count)
    if (people := int(tracked.people.max())) > 1:
        log.warning("%s: %d people in the video; the largest person is tracked", source, people)

    if table is not None:
        tracked.write(table)
    return tracked
