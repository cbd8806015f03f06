"""Framing of live streams: events and pictures to the network's sensor, from the past alone.

A recording is searched completely before it is framed (`open_source`). A live stream cannot be: `LiveFinder` locates
the moving person from the last seconds, and follows the person with a delay. In videos, a `Watcher` may find also a
still person. Until the person is located, the network sees the complete picture.

There are four framers, each with a method `add` that returns events on the network's sensor: of events or of frames
(`frame_live_events`, `frame_live_video`), with a region that is fixed or that follows the person.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import VideoError
from ..events import Events, Region, SensorSize
from ..framing.config import FramingConfig
from ..framing.fitting import Fit, fit_events, plan_fit, start_fit
from ..framing.framing import (
    CONTEXT_SLICES,
    DEAD_BAND,
    MAX_ZOOM,
    SMOOTH_SLICES,
    ActivityMaps,
    Framing,
    find_square,
    follow_events,
    smooth_centers,
)
from ..framing.opening import coarse_size, is_larger, map_region, plan_picture, plan_region
from ..hooks import Watcher
from ..recordings.config import FilmConfig
from ..video.config import VideoSettings
from ..video.frames import Frame
from ..video.pictures import fit_picture
from ..video.video import Video

if TYPE_CHECKING:
    from ..simulator import SimulatorState

LOCATING_SLICES = 4  # slices with motion before the zoom is decided: 2 s
SMOOTHED_SLICES = 3 * SMOOTH_SLICES  # centres that the smoothing uses


class _Slice(NamedTuple):
    """Number of a slice since its maps started, and the activity of each of its cells."""

    number: int
    activity: NDArray[np.float32]


class LiveFinder:
    """Locate and follow the moving person in a stream; see `find_framing` for recordings.

    The zoom is decided once, from the median of the first `LOCATING_SLICES` squares.

    Args:
        sensor: Sensor of the events.
        original: Size of the pictures before they were scaled to the sensor.
        target: Sensor of the network.
        zoom: Scale in target pixels per pixel of the original; None: scale the person to the size in training clips.

    Attributes:
        framing: Region of interest now; None: not located, or the complete picture.
    """

    def __init__(
        self, sensor: SensorSize, original: SensorSize, target: SensorSize, *, zoom: float | None = None
    ) -> None:
        self._original = original
        self._target = target
        self._zoom = zoom
        self.framing: Framing | None = None
        self._is_complete = False  # the complete picture is framed, without a search

        # The search on the present sensor; `resize` starts it again.
        self._maps = ActivityMaps(sensor)
        self._scale = original.width / sensor.width
        self._near = deque[_Slice]()
        self._first = 0  # number of the first slice of the maps

        # What it has found so far. Numbers and centres are those that the smoothing uses.
        self._sides = list[float]()  # sides of the squares, until the zoom is decided
        self._numbers = deque[int](maxlen=SMOOTHED_SLICES)
        self._centers = deque[tuple[float, float]](maxlen=SMOOTHED_SLICES)
        self._center: NDArray[np.float64] | None = None  # centre of the region now

    def resize(self, sensor: SensorSize) -> None:
        """Continue with events of another sensor size, from pictures of the same original."""
        self._maps = ActivityMaps(sensor)
        self._scale = self._original.width / sensor.width
        self._near.clear()

        # New maps count their slices from 0 again; the numbers of the smoothed centres continue.
        self._first = self._numbers[-1] + 1 if self._numbers else 0

    def add(self, events: Events) -> None:
        """Add the next events, and update `framing`."""
        if self._is_complete:
            return

        for number, activity in self._maps.add(events):
            self._near.append(_Slice(number, activity))
            # A slice is averaged with those before it; a stream has none after it yet.
            while self._near[0].number < number - CONTEXT_SLICES:
                self._near.popleft()
            mean = np.mean([near.activity for near in self._near], axis=0)
            square = find_square(mean, self._maps.cell_px)
            if square is None:
                continue

            person = square.scaled(self._scale)
            self._numbers.append(self._first + number)
            self._centers.append((person.x, person.y))
            if self.framing is not None or self._locate(person.side):
                self._follow(int(events.t[-1]))

    def _locate(self, side: float) -> bool:
        """Decide the zoom once there are enough squares; return whether a region of interest is needed."""
        self._sides.append(side)
        if len(self._sides) < LOCATING_SLICES:
            return False

        # A picture that is smaller than the target at the zoom of the person needs no region of interest.
        if self._zoom is None:
            zoom = min(MAX_ZOOM, self._target_side / float(np.median(self._sides)))
            width = zoom * self._original.width
            height = zoom * self._original.height
            self._is_complete = width <= self._target.width and height <= self._target.height
            if self._is_complete:
                return False
            self._zoom = zoom

        return True

    @property
    def _target_side(self) -> int:
        """Shorter side of the target."""
        return min(self._target.width, self._target.height)

    def _follow(self, t_us: int) -> None:
        """Move the region of interest to the person."""
        assert self._zoom is not None
        person = smooth_centers(np.array(self._numbers), np.array(self._centers))[-1]
        play = DEAD_BAND * self._target_side / self._zoom

        # The centre moves only as far as needed to stay within `play` of the person; see `follow_centers`.
        self._center = person if self._center is None else np.clip(self._center, person - play, person + play)
        self.framing = Framing(
            self._original, self._target, self._zoom, np.array([t_us], np.int64), np.array([self._center])
        )


class FixedEvents:
    """Framer of events with a region of interest that does not move.

    Args:
        fit: Mapping to the network's sensor.
    """

    def __init__(self, fit: Fit) -> None:
        self._fit = fit
        self._state = start_fit(fit)

    def add(self, events: Events) -> Events:
        """Return the next events on the network's sensor."""
        fitted, self._state = fit_events(events, self._fit, self._state)
        return fitted


class FollowedEvents:
    """Framer of events that follows the moving person.

    Args:
        sensor: Sensor of the events.
        target: Sensor of the network.
        zoom: As in `LiveFinder`.
    """

    def __init__(self, sensor: SensorSize, target: SensorSize, *, zoom: float | None = None) -> None:
        self._sensor = sensor
        self._finder = LiveFinder(sensor, sensor, target, zoom=zoom)
        self._complete = FixedEvents(plan_fit(sensor, target, "scale"))
        self._zoomed: FixedEvents | None = None

    def add(self, events: Events) -> Events:
        """Return the next events on the network's sensor."""
        self._finder.add(events)
        framing = self._finder.framing
        if framing is None:
            return self._complete.add(events)

        # The zoom is decided once, so the mapping is, too; only the centre moves.
        if self._zoomed is None:
            size = framing.zoomed(Region.full(self._sensor))
            self._zoomed = FixedEvents(plan_fit(self._sensor, size, "scale"))
        return follow_events(self._zoomed.add(events), framing.track(framing.zoom))


class FixedFrames:
    """Framer of frames with a region of interest that does not move.

    Args:
        name: Name of the video in messages.
        settings: Crop and size of the frames, and their conversion.
        fit: Mapping from the converted frames to the network's sensor.
    """

    def __init__(self, name: str, settings: FilmConfig, fit: Fit) -> None:
        self._pixels = _Pixels(name, settings)
        self._fitted = FixedEvents(fit)

    def add(self, frame: Frame) -> Events:
        """Return the events since the previous frame."""
        return self._fitted.add(self._pixels.step(frame))


class FollowedFrames:
    """Framer of frames that follows the moving person.

    Until the person is located, the frames are scaled to a small overview. Then they are scaled by the zoom, and the
    pixels start again.

    Args:
        name: Name of the video in messages.
        settings: Conversion of the frames.
        size: Size of the frames.
        target: Sensor of the network.
        zoom: As in `LiveFinder`.
        watcher: Follow its region as long as it finds one; None: by motion.
    """

    def __init__(
        self,
        name: str,
        settings: FilmConfig,
        size: SensorSize,
        target: SensorSize,
        *,
        zoom: float | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self._name = name
        self._settings = settings
        self._size = size
        self._target = target

        overview = coarse_size(size)
        self._pixels = _Pixels(name, _resized(settings, overview))
        self._complete = FixedEvents(plan_fit(overview, target, "scale"))
        self._finder = LiveFinder(overview, size, target, zoom=zoom)
        self._watcher = watcher
        self.framing: Framing | None = None  # the last one

    def add(self, frame: Frame) -> Events:
        """Return the events since the previous frame."""
        events = self._pixels.step(frame)
        self._finder.add(events)
        square = None if self._watcher is None else self._watcher.region
        framing = self._finder.framing if square is None else Framing.of(square, self._size, self._target)

        # The zoom is decided once. A region stays where it is while nobody is found.
        if self.framing is not None:
            if framing is not None:
                self.framing = replace(framing, zoom=self.framing.zoom)
            return follow_events(events, self.framing.track(self.framing.zoom))

        # Located just now: the events of this frame still belong to the overview.
        if framing is not None:
            self.framing = framing
            zoomed = framing.zoomed(Region.full(self._size))
            self._pixels = _Pixels(self._name, _resized(self._settings, zoomed))
            self._pixels.step(frame)  # sets the reference of each pixel
            self._finder.resize(zoomed)

        return self._complete.add(events)


class _Pixels:
    """Simulated pixels that see cropped and scaled frames."""

    def __init__(self, name: str, settings: FilmConfig) -> None:
        from ..simulator import EventSimulator  # only videos need its kernels

        self._name = name
        self._settings = settings
        self._simulator = EventSimulator(settings, upsample=settings.upsample)
        self._state: SimulatorState | None = None

    def step(self, frame: Frame) -> Events:
        image = fit_picture(self._name, frame.image, self._settings)
        try:
            events, self._state = self._simulator.step(Frame(frame.t_us, image, frame.transfer), self._state)
        except VideoError as error:
            raise error.named(self._name) from error

        return events


def frame_live_events(
    name: str, sensor: SensorSize, target: SensorSize, config: FramingConfig
) -> FixedEvents | FollowedEvents:
    """Return the framer of a live stream of events.

    Example:
        >>> sensor, target = SensorSize(width=24, height=14), SensorSize(width=12, height=7)
        >>> framer = frame_live_events("camera", sensor, target, FramingConfig(roi="full"))
        >>> framer.add(Events.empty(sensor)).sensor
        SensorSize(width=12, height=7)
    """
    if config.follows(by_default=is_larger(sensor, target)):
        return FollowedEvents(sensor, target, zoom=config.zoom)
    fit, _ = plan_region(name, sensor, target, config)
    return FixedEvents(fit)


def frame_live_video(
    video: Video, target: SensorSize, config: FramingConfig, watcher: Watcher | None = None
) -> FixedFrames | FollowedFrames:
    """Return the framer of a live video; `watcher` as in `FollowedFrames`."""
    name = video.name
    size = video.size
    config = config.for_recording(Path(name).name)

    # A region of interest that follows the person replaces crop and size; given ones mean a fixed region.
    plain = config.model_copy(update={"crop": None, "resize": None})
    if config.follows(by_default=config.crop is None and config.resize is None):
        return FollowedFrames(name, plain, size, target, zoom=config.zoom, watcher=watcher)

    region = Region.full(size)
    shown: FilmConfig = plain
    if config.roi not in (None, "full") or config.resize is None:
        region, shown = plan_picture(Path(name), size, target, plain)

    # An empty picture gives the size after crop and resize.
    height, width = fit_picture(name, np.zeros((size.height, size.width), np.uint8), shown).shape
    seen = SensorSize(width=width, height=height)
    return FixedFrames(name, shown, plan_fit(seen, target, "crop", map_region(region, size, seen)))


def live_settings(config: FramingConfig) -> VideoSettings:
    """Return the settings to open a live video with: crop and size as given, except for a region of interest."""
    if config.roi in (None, "full"):
        return config

    return config.model_copy(update={"crop": None, "resize": None})


def _resized(settings: FilmConfig, size: SensorSize) -> FilmConfig:
    return settings.model_copy(update={"resize": str(size)})
