"""What is classified: a recording, a video that is simulated while it is read, or events in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Literal

from ..errors import CorruptionError, DataError, EventError, FormatError, Remedy, VideoError
from ..events import Events, Region, SensorSize, concatenate
from ..formats import NO_HINTS, Hints, Recording, open_recording
from ..parallel import prefetch
from ..recordings.conversion import FRAMES_AHEAD, ConvertConfig, is_video
from ..results import LookRow
from ..simulator import simulate
from ..video.config import VideoSettings
from ..video.names import camera_of
from ..video.opening import open_video
from ..video.video import Video
from .config import FramingConfig
from .fitting import Fit, fit_stream, plan_fit, scaled_size
from .framing import MAX_ENLARGED, Framing, RegionTrack, find_framing, follow_stream, plan_following
from .person import find_person

log = logging.getLogger(__name__)

PREFETCHED_CHUNKS = 2
MAX_EVENTS = 1 << 17  # that are processed together, which limits the size of intermediate results
COARSE_SIDE_PX = 256  # longer side of a video's pictures in which is searched for what moves
COARSE = SensorSize(width=COARSE_SIDE_PX, height=COARSE_SIDE_PX)
REPEATED_US = 3_000_000  # for which a GIF is shown at least
MIN_INSIDE = 0.25  # share of a region, below which it is hardly meant
FIT_REMEDIES = Remedy("config.fit", "scale", "scale it"), Remedy("config.fit", "crop", "take its middle")

Parts = Callable[[], Iterator[Events]]
"""Starts to read a recording and yields consecutive parts of it; can be called again."""


@dataclass(frozen=True)
class EventParts:
    """Events that can be read any number of times.

    Args:
        sensor: The sensor that they come from; of a video, the one that it is simulated for.
        parts: Starts to read them, and yields consecutive parts.
    """

    sensor: SensorSize
    parts: Parts


@dataclass(frozen=True)
class EventSource:
    """Events to be classified.

    Args:
        name: Their name in messages.
        events: Those that are classified.
        overview: Those of the complete picture, to look at; of a video, perhaps smaller.
        picture: Size of the recording's pictures.
        fit: How the events become those of the network's sensor, or of the picture that `track` is in.
        track: Where the part that is looked at is, if it is less than that picture.
        looked_at: The part of the recording's pictures that is looked at, over time.
        span_us: Times of the first and the last event, estimated for a video; None if unknown. For the progress.
        film: Opens the complete pictures of a video; None if they are not simulated.
        synthetic: Whether the file says that dvspipe rendered what they show.
        warnings: What may not be as meant, a line each: the sensor was guessed, or the region is mostly outside the
            picture.
    """

    name: str
    events: EventParts
    overview: EventParts
    picture: SensorSize
    fit: Fit
    track: RegionTrack | None
    looked_at: tuple[LookRow, ...]
    span_us: tuple[int, int] | None = None
    film: Callable[[], Video] | None = None
    synthetic: bool = False
    warnings: tuple[str, ...] = ()

    def read_fitted(self, on_part: Callable[[Events], object] = lambda _: None) -> Iterator[Events]:
        """Yield the events of the network's sensor; they are decoded in a separate thread.

        Args:
            on_part: Called with each part as recorded, before it is fitted.
        """
        fitted = fit_stream(self._read(on_part), self.fit)
        return fitted if self.track is None else follow_stream(fitted, self.track)

    def _read(self, on_part: Callable[[Events], object]) -> Iterator[Events]:
        for chunk in prefetch(self.events.parts(), PREFETCHED_CHUNKS):
            for first in range(0, len(chunk), MAX_EVENTS):
                part = chunk.slice_events(first, first + MAX_EVENTS)
                on_part(part)
                yield part


def open_source(
    given: Path | Events,
    target: SensorSize,
    config: FramingConfig,
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
        stream = EventParts(given.sensor, partial(_iterate_once, given))
        span_us = (int(given.t[0]), int(given.t[-1])) if len(given) else None
        return _plan_source("the events", stream, target, config, span_us)
    if camera_of(given) is not None:
        raise DataError(f"{given}: is a camera, expected a recording or video; record it to a file first")
    if is_video(given):
        return _open_video(given, target, config)
    recording, guess = _open_recording(given, target, config, sensor=sensor, hints=hints)
    extent = recording.extent()
    stream = EventParts(recording.sensor, partial(_read_recording, recording))
    span_us = (extent.first_us or 0, extent.last_us or 0) if extent else None
    planned = _plan_source(str(given), stream, target, config, span_us)
    source = replace(planned, synthetic=recording.is_synthetic)
    if guess is None or guess == target:
        return source
    warning = f"{given}: does not name its sensor, which is taken as "
    if guess == recording.sensor:
        warning += str(guess)
    else:
        warning += (
            f"the network's {target}, although {guess} has all its events; if it is {guess}, set sensor to {guess} and "
            "fit to scale"
        )
    return replace(source, warnings=(warning, *source.warnings))


def find_guess(path: Path, target: SensorSize, *, hints: Hints = NO_HINTS) -> tuple[SensorSize, SensorSize] | None:
    """Return the sensor that a recording is guessed to come from, and the one that is used; None if it names it."""
    recording, guess = _open_recording(path, target, FramingConfig(), sensor=None, hints=hints)
    return None if guess is None else (guess, recording.sensor)


def frame_events(events: Events, target: SensorSize) -> Events:
    """Return the events of the one who moves, as `FramingConfig.roi = "auto"` shows them to a network.

    Args:
        events: The events of a recording, from a sensor of any size.
        target: The network's sensor.

    Returns:
        Events of the target. If nothing moves, or what moves fills the picture, this is the complete picture, scaled.
    """
    source = open_source(events, target, FramingConfig(roi="auto"), sensor=None)
    return concatenate(source.read_fitted(), target)


def _iterate_once(events: Events) -> Iterator[Events]:
    yield events


def _open_recording(
    path: Path, target: SensorSize, config: FramingConfig, *, sensor: SensorSize | None, hints: Hints
) -> tuple[Recording, SensorSize | None]:
    """Open a recording; if its sensor is unknown, it is the network's, provided that this has all events.

    Returns:
        The recording, and the sensor that was guessed from its events; None if the sensor is known, or will be scaled.
    """
    recording = open_recording(path, sensor=sensor, hints=hints)
    if recording.sensor_source != "guessed" or config.fit is not None:
        return recording, None
    guess = recording.sensor
    return open_recording(path, sensor=target, hints=hints) if _is_inside(target, recording) else recording, guess


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


def _plan_source(
    name: str, stream: EventParts, target: SensorSize, config: FramingConfig, span_us: tuple[int, int] | None
) -> EventSource:
    """Return a recording with the part of it that is looked at."""
    own = stream.sensor
    framing = None
    if config.roi == "auto" or (config.roi is None and config.fit is None and _is_larger(own, target)):
        framing = find_framing(stream.parts(), own, target, zoom=1.0 if config.fit == "crop" else None)
    if framing is not None:
        fit, track = plan_following(framing)
        return EventSource(name, stream, stream, own, fit, track, _follow_rows(framing), span_us)
    region = _parse_region(name, config, own, "sensor")
    mode = config.fit or ("crop" if region.size == target else "scale")
    if config.fit is None and config.roi != "auto" and region.size != target and not _is_larger(region.size, target):
        found = f"its region is {region}" if region.size != own else f"comes from a sensor of {own}"
        raise DataError(f"{name}: {found}, the network is for {target}", *FIT_REMEDIES)
    fit = plan_fit(own, target, mode, region)
    seen = region if mode == "scale" else _cropped(region, target)
    warnings = _find_outside(name, region, own, "sensor")
    return EventSource(name, stream, stream, own, fit, None, _still_row(seen), span_us, warnings=warnings)


def _find_outside(name: str, region: Region, own: SensorSize, what: Literal["sensor", "picture"]) -> tuple[str, ...]:
    """Return a warning if little of a region is inside the sensor or picture."""
    inside = region.overlap(own)
    assert inside is not None
    share = inside.size.width * inside.size.height / (region.size.width * region.size.height)
    if share >= MIN_INSIDE:
        return ()
    return (f"{name}: only {share:.1%} of the region {region} is inside the {what} of {own}",)


def _is_larger(size: SensorSize, target: SensorSize) -> bool:
    return size.width > target.width or size.height > target.height


def _parse_region(name: str, config: FramingConfig, own: SensorSize, what: Literal["sensor", "picture"]) -> Region:
    """Return the region that is given, or all of a sensor or picture."""
    if config.roi in (None, "auto", "full"):
        return Region.full(own)
    try:
        region = Region.parse(config.roi)
    except EventError as error:
        raise error.named(name) from error
    if region.overlap(own) is None:
        raise EventError(f"{name}: roi {region} is outside the {what} of {own}")
    return region


def _cropped(region: Region, target: SensorSize) -> Region:
    """Return the part of a region that is inside a target on whose centre its own is."""
    width, height = min(region.size.width, target.width), min(region.size.height, target.height)
    left = region.left + max(0, -((target.width - region.size.width) // 2))
    top = region.top + max(0, -((target.height - region.size.height) // 2))
    return Region(left, top, SensorSize(width=width, height=height))


def _still_row(region: Region) -> tuple[LookRow, ...]:
    size = region.size
    return (LookRow(t_us=None, left=region.left, top=region.top, width=size.width, height=size.height),)


def _follow_rows(framing: Framing) -> tuple[LookRow, ...]:
    """Return where the part that is looked at is in the recording's pictures; the first time is open."""
    track = framing.track()
    width, height = track.size.width, track.size.height
    places = zip([None, *track.t_us[1:].tolist()], track.left.tolist(), track.top.tolist(), strict=True)
    return tuple(LookRow(t_us=t_us, left=left, top=top, width=width, height=height) for t_us, left, top in places)


def _open_video(path: Path, target: SensorSize, config: FramingConfig) -> EventSource:
    """Open a video, scaled before it is simulated, which is more exact and faster than scaling its events."""
    settings, roi = config.video, config.roi
    film = partial(_open_repeated, path, _set_video(settings, crop=None, resize=None).video)
    given = settings.video.crop or settings.video.resize
    if roi not in (None, "full") and settings.video.crop:
        raise DataError(f"{path}: both roi and video.crop = {settings.video.crop} select a part, expected one")
    if roi == "auto" and settings.video.resize:
        raise DataError(f"{path}: both roi = auto and video.resize = {settings.video.resize} scale, expected one")
    pictures = settings if roi in (None, "full") else _set_video(settings, resize=None)
    size = open_video(path, pictures.video).size
    small = _set_video(settings, resize=str(_coarse_size(size))).model_copy(update={"upsample": "off"})
    overview = _simulate_video(path, _open_repeated(path, small.video), small)
    framing = None
    if roi == "auto" or (roi is None and config.fit is None and not given):
        zoom = 1.0 if config.fit == "crop" else None
        framing = find_person(path, settings.video, size, target) if zoom is None else None
        if framing is None:
            framing = find_framing(overview.parts(), overview.sensor, target, zoom=zoom, original=size)
    if framing is not None:
        region = framing.surroundings()
        settings = _set_video(settings, crop=str(region), resize=str(framing.zoomed(region)))
        track: RegionTrack | None = framing.track(framing.zoom, (region.left, region.top))
        warnings: tuple[str, ...] = ()
        looked_at = _follow_rows(framing)
    else:
        region = _parse_region(str(path), config, size, "picture")
        if config.fit is None and roi is not None:
            _warn_of_enlarged(path, region, target)
        settings = _show_region(settings, region, size, None if config.fit == "crop" else target)
        track = None
        warnings = _find_outside(str(path), region, size, "picture")
        looked_at = _still_row(region if config.fit != "crop" else _cropped(region, target))
    video = _open_repeated(path, settings.video)
    place = _place_of(region, size, video.size) if track is None else None
    fit = plan_fit(video.size, target if track is None else video.size, "crop", place)
    stream, span_us = _simulate_video(path, video, settings), _estimate_span(video)
    return EventSource(str(path), stream, overview, size, fit, track, looked_at, span_us, film, warnings=warnings)


def _open_repeated(path: Path, settings: VideoSettings) -> Video:
    """Return a video; a GIF is repeated until it lasts as long as a network may need."""
    video = open_video(path, settings)
    return video.repeated(REPEATED_US) if path.suffix.lower() == ".gif" and video.times_us is None else video


def _show_region(settings: ConvertConfig, region: Region, size: SensorSize, target: SensorSize | None) -> ConvertConfig:
    """Return the settings by which a video shows the pixels of a region that it has.

    Args:
        settings: Those of the complete video.
        region: The region.
        size: Size of the video's pictures.
        target: What the region is scaled to, if the settings do not say it; None: it is not scaled.
    """
    shown = region.overlap(size)
    assert shown is not None
    if shown.size != size:
        settings = _set_video(settings, crop=str(shown))
    if target is None or region.size == target or settings.video.resize:
        return settings
    scaled = scaled_size(region.size, target)
    width = max(1, round(scaled.width * shown.size.width / region.size.width))
    height = max(1, round(scaled.height * shown.size.height / region.size.height))
    return _set_video(settings, resize=str(SensorSize(width=width, height=height)))


def _place_of(region: Region, size: SensorSize, scaled: SensorSize) -> Region:
    """Return where a region is in a video that shows the pixels of it that pictures of a size have, scaled."""
    shown = region.overlap(size)
    assert shown is not None
    across, down = scaled.width / shown.size.width, scaled.height / shown.size.height
    return Region(
        round((region.left - shown.left) * across),
        round((region.top - shown.top) * down),
        SensorSize(width=round(region.size.width * across), height=round(region.size.height * down)),
    )


@lru_cache(maxsize=1024)  # a video is opened once to adapt to it and once to classify it
def _warn_of_enlarged(path: Path, region: Region, target: SensorSize) -> None:
    factor = min(target.width / region.size.width, target.height / region.size.height)
    if factor > MAX_ENLARGED:
        log.warning(
            "%s: the region %s has few pixels, and is enlarged %.3g times for the network, whose sensor is %s",
            path,
            region,
            factor,
            target,
        )


def _coarse_size(size: SensorSize) -> SensorSize:
    """Return the size at which a video is searched and shown."""
    return size if max(size.width, size.height) <= COARSE_SIDE_PX else scaled_size(size, COARSE)


def _simulate_video(path: Path, video: Video, settings: ConvertConfig) -> EventParts:
    return EventParts(video.size, partial(_simulate, str(path), video, settings))


def _estimate_span(video: Video) -> tuple[int, int] | None:
    """Return about when the first and the last frame of a video are, by the interval of the first two."""
    times_us = [frame.t_us for frame in islice(video.frames(), 2)]
    if len(times_us) < 2 or not video.frame_count:
        return None
    first_us, second_us = times_us
    last_us, stop_s = (second_us - first_us) * video.frame_count, video.settings.stop_s
    return first_us, max(second_us, last_us if stop_s is None else min(last_us, round(stop_s * 1e6)))


def _set_video(settings: ConvertConfig, **update: str | None) -> ConvertConfig:
    return settings.model_copy(update={"video": settings.video.model_copy(update=update)})


def _simulate(name: str, video: Video, settings: ConvertConfig) -> Iterator[Events]:
    frames = prefetch(video.frames(), FRAMES_AHEAD)
    try:
        yield from simulate(frames, settings.simulator, upsample=settings.upsample)
    except VideoError as error:
        raise error.named(name) from error
