"""Framing of live streams: events and pictures to the network's sensor, from the past alone.

A recording is searched completely before it is framed (`open_source`). A live stream cannot be: `LiveFinder` locates
the moving person from the last seconds, and follows the person with a delay. In videos, a `Watcher` may find also a
still person. Until the person is located, the network sees the complete picture.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..base.errors import VideoError
from ..events import Events, Region, SensorSize
from ..framing.config import FramingConfig
from ..framing.fitting import Fit, fit_events, plan_fit, start_fit
from ..framing.framing import (
    CONTEXT_SLICES,
    DEAD_BAND,
    SMOOTH_SLICES,
    ActivityMaps,
    Framing,
    SquareFinder,
    choose_zoom,
    follow_events,
    smooth_centers,
)
from ..framing.opening import SEVERAL, coarse_size, is_larger, map_region, plan_picture, plan_region
from ..hooks import Watcher
from ..recordings.config import FilmConfig
from ..video.config import VideoSettings
from ..video.frames import Frame
from ..video.pictures import fit_picture
from ..video.video import Video

if TYPE_CHECKING:
    from ..simulator import SimulatorState

log = logging.getLogger(__name__)

LOCATING_SLICES = 4  # slices with motion before the zoom is decided: 2 s
SMOOTHED_SLICES = 3 * SMOOTH_SLICES  # centres that the smoothing uses

Framer = Callable[[Events | Frame], Events]
"""Function that maps the next events or frame of a stream to events of one sensor; it keeps the state between calls."""


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
        self._is_complete = False  # the complete picture is framed, without a search
        self._finder = SquareFinder()
        self.framing: Framing | None = None

        # Squares of the last slices with motion: numbers of the slices, centres [x, y], and sides.
        self._numbers = deque[int](maxlen=SMOOTHED_SLICES)
        self._centers = deque[tuple[float, float]](maxlen=SMOOTHED_SLICES)
        self._sides = deque[float](maxlen=SMOOTHED_SLICES)
        self.resize(sensor)

    def resize(self, sensor: SensorSize) -> None:
        """Start or continue with events of a sensor size, from pictures of the same original."""
        self._maps = ActivityMaps(sensor)
        self._scale = self._original.width / sensor.width
        self._recent = deque[NDArray[np.float32]](maxlen=CONTEXT_SLICES + 1)

        # New maps count their slices from 0 again; the numbers of the smoothed centres continue.
        self._first = self._numbers[-1] + 1 if self._numbers else 0

    def add(self, events: Events) -> None:
        """Add the next events, and update `framing`."""
        if self._is_complete:
            return

        for number, activity in self._maps.add(events):
            # A slice is averaged with those before it; a stream has none after it yet.
            self._recent.append(activity)
            had_choice = self._finder.has_choice
            person = self._finder.find(np.mean(self._recent, axis=0), self._maps.cell_px * self._scale)
            if person is None:
                continue

            if self._finder.has_choice and not had_choice:
                log.warning(SEVERAL)
            self._numbers.append(self._first + number)
            self._centers.append((person.x, person.y))
            self._sides.append(person.side)
            if len(self._sides) >= LOCATING_SLICES:
                self._follow(int(events.t[-1]))

    def _follow(self, t_us: int) -> None:
        """Move the region of interest to the person; decide its zoom first."""
        self._zoom = self._zoom or choose_zoom(float(np.median(self._sides)), self._original, self._target)
        if self._zoom is None:
            self._is_complete = True
            return

        # The centre moves only as far as needed to stay within `play` of the person; see `follow_centers`.
        center = smooth_centers(np.array(self._numbers), np.array(self._centers))[-1]
        play = DEAD_BAND * min(self._target.width, self._target.height) / self._zoom
        if self.framing is not None:
            center = np.clip(self.framing.center[0], center - play, center + play)
        self.framing = Framing(self._original, self._target, self._zoom, np.array([t_us]), center[None])


class LiveFollower:
    """Framer that follows the moving person.

    Until the person is located, the network sees the complete picture. Then the stream is scaled by the zoom: simulated
    pixels start again.

    Args:
        start: Returns a framer of the complete stream, scaled to a size.
        first: Size until the person is located.
        size: Size of the stream.
        target: Sensor of the network.
        zoom: As in `LiveFinder`.
        watcher: Follow its region as long as it finds one; None: by motion.

    Attributes:
        framing: Region of interest now; None: the complete picture.
    """

    def __init__(
        self,
        start: Callable[[SensorSize], Framer],
        first: SensorSize,
        size: SensorSize,
        target: SensorSize,
        *,
        zoom: float | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self._start = start
        self._scaled = start(first)
        self._complete = _Fitter(plan_fit(first, target, "scale"))
        self._finder = LiveFinder(first, size, target, zoom=zoom)
        self._size = size
        self._target = target
        self._watcher = watcher
        self.framing: Framing | None = None

    def __call__(self, content: Events | Frame) -> Events:
        """Return the next events on the network's sensor."""
        events = self._scaled(content)
        self._finder.add(content if isinstance(content, Events) else events)
        square = None if self._watcher is None else self._watcher.region
        framing = self._finder.framing if square is None else Framing.of(square, self._size, self._target)

        # Located just now: new pixels get their references, so the events of a frame are still of the complete picture.
        if self.framing is None and framing is not None:
            zoomed = framing.zoomed(Region.full(self._size))
            self.framing = framing
            self._scaled = self._start(zoomed)
            first = self._scaled(content)
            if isinstance(content, Frame):
                self._finder.resize(zoomed)
                return self._complete(events)
            events = first

        if self.framing is None:
            return self._complete(events)

        # The zoom is decided once. A region stays where it is while nobody is found.
        if framing is not None:
            self.framing = replace(framing, zoom=self.framing.zoom)
        return follow_events(events, self.framing.track(self.framing.zoom))


class _Fitter:
    """Framer of events by a mapping that does not change."""

    def __init__(self, fit: Fit) -> None:
        self._fit = fit
        self._state = start_fit(fit)

    def __call__(self, events: Events | Frame) -> Events:
        assert isinstance(events, Events)
        fitted, self._state = fit_events(events, self._fit, self._state)
        return fitted


class _Pixels:
    """Framer of frames: simulated pixels that see the cropped and scaled frames."""

    def __init__(self, name: str, settings: FilmConfig) -> None:
        from ..simulator import EventSimulator  # only videos need its kernels

        self._name = name
        self._settings = settings
        self._simulator = EventSimulator(settings, upsample=settings.upsample)
        self._state: SimulatorState | None = None

    def __call__(self, frame: Events | Frame) -> Events:
        assert isinstance(frame, Frame)
        image = fit_picture(self._name, frame.image, self._settings)
        try:
            events, self._state = self._simulator.step(Frame(frame.t_us, image, frame.transfer), self._state)
        except VideoError as error:
            raise error.named(self._name) from error

        return events


def frame_live(
    name: str, content: SensorSize | Video, target: SensorSize, config: FramingConfig, watcher: Watcher | None = None
) -> Framer:
    """Return the framer of a live stream.

    Args:
        name: Name in messages.
        content: Sensor of the events, or the video opened with `live_settings`.
        target: Sensor of the network.
        config: Region of interest, fit, and conversion of videos.
        watcher: As in `LiveFollower`.

    Example:
        >>> sensor, target = SensorSize(width=24, height=14), SensorSize(width=12, height=7)
        >>> framer = frame_live("camera", sensor, target, FramingConfig(roi="full"))
        >>> framer(Events.empty(sensor)).sensor
        SensorSize(width=12, height=7)
    """
    if isinstance(content, SensorSize):
        if not config.follows(by_default=is_larger(content, target)):
            fit, _ = plan_region(name, content, target, config)
            return _Fitter(fit)

        def scale(size: SensorSize) -> Framer:
            return _Fitter(plan_fit(content, size, "scale"))

        return LiveFollower(scale, content, content, target, zoom=config.zoom)

    # The frames are cropped already; scaling them to their own size again has no effect.
    size = content.size
    config = config.for_recording(Path(name).name)
    plain = config.model_copy(update={"crop": None, "resize": live_settings(config).resize})
    if config.follows(by_default=config.crop is None and config.resize is None):

        def simulate(seen: SensorSize) -> Framer:
            return _Pixels(name, plain.model_copy(update={"resize": str(seen)}))

        return LiveFollower(simulate, coarse_size(size), size, target, zoom=config.zoom, watcher=watcher)

    # An empty picture gives the size after crop and resize.
    region, settings = plan_picture(Path(name), size, target, plain)
    height, width = fit_picture(name, np.zeros((size.height, size.width), np.uint8), settings).shape
    seen = SensorSize(width=width, height=height)

    pixels = _Pixels(name, settings)
    fitter = _Fitter(plan_fit(seen, target, "crop", map_region(region, size, seen)))
    return lambda frame: fitter(pixels(frame))


def live_settings(config: FramingConfig) -> VideoSettings:
    """Return the settings to open a live video with: crop and size as given, except for a region of interest."""
    if config.roi in (None, "full"):
        return config

    return config.model_copy(update={"crop": None, "resize": None})
