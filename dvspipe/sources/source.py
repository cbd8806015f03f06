"""What is classified: a recording, a video that is simulated while it is read, or events in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from ..conversion import FRAMES_AHEAD, ConvertConfig, is_video
from ..errors import CorruptionError, DataError, EventError, FormatError, Remedy, VideoError
from ..events import Events, Region, SensorSize
from ..formats import NO_HINTS, Hints, Recording, open_recording
from ..parallel import prefetch
from ..simulator import simulate, upsample
from ..video import Video, camera_of, open_video
from .config import SourceConfig
from .fitting import Fit, find_region, fit_stream, plan_fit, resize_region, scaled_size, widen_region

log = logging.getLogger(__name__)

PREFETCHED_CHUNKS = 2
MAX_EVENTS = 1 << 17  # that are processed together, which limits the size of intermediate results
FIT_REMEDIES = Remedy("config.fit", "scale", "scale it"), Remedy("config.fit", "crop", "take its middle")

Parts = Callable[[], Iterator[Events]]
"""Starts to read a recording and yields consecutive parts of it; can be called again."""


@dataclass(frozen=True)
class EventSource:
    """Events that can be read any number of times.

    Args:
        name: Their name in messages.
        sensor: The sensor that they come from; of a video, the one that it is simulated for.
        parts: Starts to read them, and yields consecutive parts.
        fit: How they become events of the network's sensor.
        span_us: Times of the first and the last event, estimated for a video; None if unknown. For the progress.
        is_video: Whether they are simulated.
    """

    name: str
    sensor: SensorSize
    parts: Parts
    fit: Fit
    span_us: tuple[int, int] | None = None
    is_video: bool = False

    def read_fitted(self, on_part: Callable[[Events], object] = lambda _: None) -> Iterator[Events]:
        """Yield the events of the network's sensor; they are decoded in a separate thread.

        Args:
            on_part: Called with each part as recorded, before it is fitted.
        """
        return fit_stream(self._read(on_part), self.fit)

    def _read(self, on_part: Callable[[Events], object]) -> Iterator[Events]:
        for chunk in prefetch(self.parts(), PREFETCHED_CHUNKS):
            for first in range(0, len(chunk), MAX_EVENTS):
                part = chunk.slice_events(first, first + MAX_EVENTS)
                on_part(part)
                yield part


def open_source(
    given: Path | Events,
    target: SensorSize,
    config: SourceConfig,
    *,
    sensor: SensorSize | None,
    hints: Hints = NO_HINTS,
) -> EventSource:
    """Open a recording, a video or events for a network.

    Args:
        given: What to classify.
        target: The network's sensor.
        config: Region, fit, and how videos become events.
        sensor: The sensor of a recording that does not name it.
        hints: What else its file does not say.

    Raises:
        FileError: It is missing or cannot be read.
        DataError: It comes from another sensor and the configuration does not say how to fit it, or it is a camera.
    """
    if isinstance(given, Events):
        name, parts = "the events", partial(_iterate_once, given)
        fit = _plan_fit(name, given.sensor, parts, target, config)
        return EventSource(name, given.sensor, parts, fit, (int(given.t[0]), int(given.t[-1])) if len(given) else None)
    if camera_of(given) is not None:
        raise DataError(f"{given}: is a camera, expected a recording or video; record it first with dvspipe convert")
    if is_video(given):
        return _open_video(given, target, config)
    recording = _open_recording(given, target, config, sensor=sensor, hints=hints)
    extent = recording.extent()
    parts = partial(_read_recording, recording)
    fit = _plan_fit(str(given), recording.sensor, parts, target, config)
    span_us = (extent.first_us or 0, extent.last_us or 0) if extent else None
    return EventSource(str(given), recording.sensor, parts, fit, span_us)


def _iterate_once(events: Events) -> Iterator[Events]:
    yield events


def _open_recording(
    path: Path, target: SensorSize, config: SourceConfig, *, sensor: SensorSize | None, hints: Hints
) -> Recording:
    """Open a recording; if its sensor is unknown, it is the network's, provided that this has all events."""
    recording = open_recording(path, sensor=sensor, hints=hints)
    if recording.sensor_source == "guessed" and config.fit is None:
        if _is_inside(target, recording):
            if recording.sensor != target:
                log.warning(
                    "%s: does not name its sensor, which is taken as the network's %s, although %s has all its events; "
                    "if it is %s, set sensor to %s and fit to scale",
                    path, target, recording.sensor, recording.sensor, recording.sensor,
                )  # fmt: skip
            return open_recording(path, sensor=target, hints=hints)
        if config.roi is None:
            raise DataError(
                f"{path}: does not name its sensor, and has events outside the network's {target}",
                Remedy("sensor", "WIDTHxHEIGHT", "name it"),
                *FIT_REMEDIES,
            )
    return recording


def _is_inside(target: SensorSize, recording: Recording) -> bool:
    """Return whether the target has the pixels of all events."""
    own = recording.sensor
    if own.width <= target.width and own.height <= target.height:
        return True
    return all(
        int(part.x.max()) < target.width and int(part.y.max()) < target.height
        for part in _read_recording(recording)
        if len(part)
    )


def _read_recording(recording: Recording) -> Iterator[Events]:
    try:
        yield from recording.chunks()
    except CorruptionError as error:
        raise FormatError(
            f"{error.message}; convert it first, with salvage to keep the events before, or with sort to order them"
        ) from error


def _plan_fit(name: str, own: SensorSize, parts: Parts, target: SensorSize, config: SourceConfig) -> Fit:
    region = _find_region(name, own, parts, target, config)
    if region.size != target and config.fit is None:
        found = f"its region is {region}" if config.roi else f"comes from a sensor of {own}"
        fits = own.width >= target.width and own.height >= target.height
        regions = (Remedy("config.roi", f"{target}+LEFT+TOP", "select a region"),) if fits else ()
        raise DataError(
            f"{name}: {found}, the network is for {target}",
            *FIT_REMEDIES,
            *regions,
        )
    return plan_fit(own, target, config.fit or "crop", region)


def _find_region(name: str, own: SensorSize, parts: Parts, target: SensorSize, config: SourceConfig) -> Region:
    if config.roi is None:
        return Region.full(own)
    if config.roi != "auto":
        region = Region.parse(config.roi)
        if not region.is_inside(own):
            raise EventError(f"{name}: roi {region} is outside the sensor of {own}")
        return region
    found = find_region(parts(), own) or Region.full(own)
    return widen_region(found, own, target) if config.fit == "scale" else resize_region(found, own, target)


def _open_video(path: Path, target: SensorSize, config: SourceConfig) -> EventSource:
    """Open a video, scaled before it is simulated, which is more exact and faster than scaling its events."""
    settings = config.video
    if config.roi is not None:
        if settings.video.crop:
            raise DataError(f"{path}: both roi and video.crop = {settings.video.crop} select a part, expected one")
        crop = str(_find_video_region(path, target, config)) if config.roi == "auto" else config.roi
        settings = _set_video(settings, crop=crop)
    size = open_video(path, settings.video).size
    if config.fit != "crop" and size != target and not settings.video.resize:
        settings = _set_video(settings, resize=str(scaled_size(size, target)))
    video = open_video(path, settings.video)
    parts = partial(_simulate, str(path), video, settings)
    fit = plan_fit(video.size, target, "crop")
    return EventSource(str(path), video.size, parts, fit, _estimate_span(video), is_video=True)


def _estimate_span(video: Video) -> tuple[int, int] | None:
    """Return about when the first and the last frame of a video are, by the interval of the first two."""
    times_us = [frame.t_us for frame in islice(video.frames(), 2)]
    if len(times_us) < 2 or not video.frame_count:
        return None
    first_us, second_us = times_us
    last_us, stop_s = (second_us - first_us) * video.frame_count, video.settings.stop_s
    return first_us, max(second_us, last_us if stop_s is None else min(last_us, round(stop_s * 1e6)))


def _set_video(settings: ConvertConfig, **update: str) -> ConvertConfig:
    return settings.model_copy(update={"video": settings.video.model_copy(update=update)})


def _find_video_region(path: Path, target: SensorSize, config: SourceConfig) -> Region:
    """Return the part of the images in which a coarse simulation has events."""
    full = open_video(path, config.video.video).size
    coarse = _open_video(path, target, config.model_copy(update={"roi": None, "fit": "scale"}))
    found = find_region(coarse.parts(), coarse.sensor) or Region.full(coarse.sensor)
    region = _scale_up(found, coarse.sensor, full)
    return resize_region(region, full, target) if config.fit == "crop" else widen_region(region, full, target)


def _scale_up(region: Region, sensor: SensorSize, full: SensorSize) -> Region:
    """Return the region of an image of size `full` that became `region` when the image was scaled to `sensor`."""
    x, y = full.width / sensor.width, full.height / sensor.height
    left, top = int(region.left * x), int(region.top * y)
    width = min(full.width - left, round(region.size.width * x))
    height = min(full.height - top, round(region.size.height * y))
    return Region(left, top, SensorSize(width=max(1, width), height=max(1, height)))


def _simulate(name: str, video: Video, settings: ConvertConfig) -> Iterator[Events]:
    frames = prefetch(video.frames(), FRAMES_AHEAD)
    steps = frames if settings.upsample == "off" else upsample(frames, settings.upsample, config=settings.simulator)
    try:
        yield from simulate(steps, settings.simulator)
    except VideoError as error:
        raise error.named(name) from error
