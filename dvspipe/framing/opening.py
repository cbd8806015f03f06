"""Open an input of a network: a recording, a video that is simulated while reading, or events in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

from ..base.errors import Brief, DataError, EventError, VideoError
from ..base.pool import prefetch
from ..base.progress import NamedStep, Progress, ignore_progress
from ..events import Events, Region, SensorSize
from ..formats import Recording, open_recording
from ..hooks import Film, SquarePath, plugins
from ..recordings.config import FilmConfig
from ..recordings.conversion import FRAMES_AHEAD, open_for_sensor
from ..recordings.sources import is_video, require_film
from ..results import LookRow
from ..video.config import VideoSettings
from ..video.containers import is_gif
from ..video.names import camera_of
from ..video.opening import open_video
from ..video.video import Video
from .config import FramingConfig
from .fitting import Fit, fit_events, plan_fit, scaled_size, start_fit
from .framing import Framing, RegionTrack, find_framing, follow_events, plan_following

PREFETCHED_CHUNKS = 2
MAX_EVENTS = 1 << 17  # events processed at once; bounds the size of intermediate results
COARSE_SIDE_PX = 256  # longer side of the pictures searched for motion in videos
COARSE = SensorSize(width=COARSE_SIDE_PX, height=COARSE_SIDE_PX)
SEVERAL = "several things move, and the region follows the one that moves most; use roi=WxH+LEFT+TOP to choose"
MIN_GIF_US = 3_000_000  # GIFs are repeated to last at least this long

Parts = Callable[[], Iterator[Events]]
"""Function that reads a recording from the start and yields consecutive parts; can be called repeatedly."""


@dataclass(frozen=True, repr=False)
class EventParts(Brief):
    """Events that can be read repeatedly.

    Args:
        sensor: Sensor of the events; for a video, the simulated sensor.
        parts: Function that reads the events from the start and yields consecutive parts.
    """

    sensor: SensorSize
    parts: Parts


@dataclass(frozen=True, repr=False)
class EventSource(Brief):
    """Events to classify.

    Args:
        name: Name in messages.
        events: Events to classify.
        overview: Events of the complete picture, for display; for a video, possibly at a smaller size.
        picture: Size of the recording's pictures.
        fit: Maps events to the network's sensor, or to the picture that contains `track`.
        track: Moving region of interest in that picture; None: the complete picture.
        looked_at: Region of interest in the recording's pictures, over time.
        span_us: Times of the first and the last event in microseconds (estimated for a video), for the progress; None:
            unknown.
        pictures: Function that opens the pictures of a video in which `looked_at` is measured; None: not a video.
        film: The film, for what plug-ins see in it; None: not a video.
        synthetic: Whether the file says that dvspipe rendered its content.
        warnings: Possible mistakes, a line each: a guessed sensor, several people, or a repeated GIF.
    """

    name: str
    events: EventParts
    overview: EventParts
    picture: SensorSize
    fit: Fit
    track: RegionTrack | None
    looked_at: tuple[LookRow, ...]
    span_us: tuple[int, int] | None = None
    pictures: Callable[[], Video] | None = None
    film: Film | None = None
    synthetic: bool = False
    warnings: tuple[str, ...] = ()

    def read_fitted(
        self,
        on_part: Callable[[Events], object] = lambda _: None,
    ) -> Iterator[Events]:
        """Yield the events on the network's sensor; decoding runs in a separate thread.

        Args:
            on_part: Called with each recorded part before fitting.
        """
        state = start_fit(self.fit)
        for chunk in prefetch(self.events.parts(), PREFETCHED_CHUNKS):
            for first in range(0, len(chunk), MAX_EVENTS):
                part = chunk[first : first + MAX_EVENTS]
                on_part(part)
                events, state = fit_events(part, self.fit, state)
                yield events if self.track is None else follow_events(events, self.track)


def open_source(
    data: Path | Events,
    target: SensorSize,
    config: FramingConfig,
    *,
    is_advised: bool = False,
    progress: Progress = ignore_progress,
) -> EventSource:
    """Open a recording, a video or events as the input of a network.

    Args:
        data: Path of a recording or video, or events.
        target: Sensor of the network.
        config: Region of interest, fit, conversion of videos, and metadata that recordings lack.
        is_advised: Whether the pictures of a video also advise on its gestures; see `Film`.
        progress: Called with the amount searched for the person and the total.

    Raises:
        FileError: If the file is missing or cannot be read.
        DataError: If the sensor differs from the network's and the configuration has no fit, or `data` is a camera.
    """
    if isinstance(data, Events):
        stream = EventParts(data.sensor, lambda: iter([data]))
        span_us = (int(data.t[0]), int(data.t[-1])) if len(data) else None
        return _plan_source("the events", stream, target, config, span_us, progress)

    if camera_of(data) is not None:
        raise DataError(f"{data}: is a camera (expected a recording or video); record it to a file first")
    if is_video(data):
        require_film(data, config.images)
        return _open_video(data, target, config, progress, is_advised=is_advised)

    recording, warnings = _open_recording(data, target, config)
    extent = recording.extent()
    stream = EventParts(recording.sensor, recording.chunks)
    span_us = (extent.first_us or 0, extent.last_us or 0) if extent else None
    source = _plan_source(str(data), stream, target, config, span_us, progress)
    return replace(source, synthetic=recording.is_synthetic, warnings=warnings + source.warnings)


def _open_recording(path: Path, target: SensorSize, config: FramingConfig) -> tuple[Recording, tuple[str, ...]]:
    """Open a recording; if its sensor is unknown, use the network's sensor, provided that all events are inside it.

    Return also a warning if the sensor guessed from its events is another one.
    """
    recording = open_recording(path, config)
    guess = recording.sensor
    if recording.sensor_source != "guessed" or config.fit is not None or guess == target:
        return recording, ()

    if _contains_all_events(target, recording):
        recording = open_recording(path, config.model_copy(update={"sensor": str(target)}))
    used = f"using {recording.sensor} (its events fit {guess})"
    return recording, (f"{path}: does not name its sensor; {used}; use sensor=WxH to set it",)


def _contains_all_events(target: SensorSize, recording: Recording) -> bool:
    """Return whether all events are inside the target sensor."""
    return not is_larger(recording.sensor, target) or all(
        int(part.x.max()) < target.width and int(part.y.max()) < target.height
        for part in recording.chunks()
        if len(part)
    )


def _plan_source(
    name: str,
    stream: EventParts,
    target: SensorSize,
    config: FramingConfig,
    span_us: tuple[int, int] | None,
    progress: Progress,
) -> EventSource:
    """Plan the fit and the region of interest of a recording."""
    sensor = stream.sensor
    framing = None

    if config.follows(by_default=is_larger(sensor, target)):
        parts = _report_parts(stream, span_us, progress)
        framing = find_framing(parts, sensor, target, zoom=config.zoom)

    if framing is not None:
        fit, track = plan_following(framing)
        positions = _list_positions(framing)
        return EventSource(name, stream, stream, sensor, fit, track, positions, span_us, warnings=_warn(name, framing))

    fit, seen = plan_region(name, sensor, target, config)
    return EventSource(name, stream, stream, sensor, fit, None, _fixed_position(seen), span_us)


def plan_region(name: str, own: SensorSize, target: SensorSize, config: FramingConfig) -> tuple[Fit, Region]:
    """Plan a region of interest that does not move, of the events of a sensor.

    Args:
        name: Name in messages.
        own: Sensor of the events.
        target: Sensor of the network.
        config: Region and fit.

    Returns:
        Mapping to the network's sensor, and the region that the network sees.
    """
    region = _parse_region(name, config, own, "sensor")
    mode = config.fit or ("crop" if region.size == target else "scale")
    if config.fit is None and config.roi != "auto" and region.size != target and not is_larger(region.size, target):
        actual = f"its region is {region}" if region.size != own else f"comes from a sensor of {own}"
        raise DataError(
            f"{name}: {actual} (expected the network's {target})"
            "; use fit=scale to scale it, or fit=crop to take its middle"
        )

    seen = region if mode == "scale" else _intersect_centered(region, target)
    return plan_fit(own, target, mode, region), seen


def is_larger(size: SensorSize, target: SensorSize) -> bool:
    """Return whether a side of `size` is longer than the target's."""
    return size.width > target.width or size.height > target.height


def _parse_region(name: str, config: FramingConfig, own: SensorSize, what: Literal["sensor", "picture"]) -> Region:
    """Return the configured region, or all of the sensor or picture."""
    if config.roi in (None, "auto", "full"):
        return Region.full(own)
    try:
        region = Region.parse(config.roi)
    except EventError as error:
        raise error.named(name) from error

    if region.overlap(own) is None:
        raise EventError(f"{name}: roi {region} is outside the {what} of {own}")
    return region


def _intersect_centered(region: Region, target: SensorSize) -> Region:
    """Intersect `region` with a box of size `target` centred on it."""
    width = min(region.size.width, target.width)
    height = min(region.size.height, target.height)

    left = region.left + max(0, -((target.width - region.size.width) // 2))
    top = region.top + max(0, -((target.height - region.size.height) // 2))
    return Region(left, top, SensorSize(width=width, height=height))


def _to_row(t_us: int | None, left: int, top: int, size: SensorSize) -> LookRow:
    return LookRow(t_us=t_us, left=left, top=top, width=size.width, height=size.height)


def _fixed_position(region: Region) -> tuple[LookRow, ...]:
    return (_to_row(None, region.left, region.top, region.size),)


def _list_positions(framing: Framing) -> tuple[LookRow, ...]:
    """List the positions of the region of interest in the recording's pictures; the first has no start time."""
    track = framing.track()
    places = zip([None, *track.t_us[1:].tolist()], track.left.tolist(), track.top.tolist(), strict=True)
    return tuple(_to_row(*position, track.size) for position in places)


def _open_video(
    path: Path, target: SensorSize, config: FramingConfig, progress: Progress, *, is_advised: bool
) -> EventSource:
    """Open a video and scale it before simulation: more exact and faster than scaling its events."""
    name = str(path)
    config = config.for_recording(path.absolute().name)
    if config.roi == "full" and config.sensor_size != "keep":
        config = config.model_copy(update=dict(open_for_sensor(path, config).settings))
    _check_geometry(name, config)

    # The complete pictures, for plug-ins, and the pictures in which the region of interest is measured.
    complete = partial(_open_repeated, path, config.model_copy(update={"crop": None, "resize": None}))
    film = Film(name, complete, NamedStep(progress, "person"), is_advised)
    span_us = _estimate_span(complete())
    pictures = config if config.roi in (None, "full") else config.model_copy(update={"resize": None})
    once = open_video(path, pictures)
    size = once.size

    # Search a small version of the video for the person, unless the settings select a part of the pictures.
    small = config.model_copy(update={"resize": str(coarse_size(size)), "upsample": "off"})
    overview = _simulate_video(path, _open_repeated(path, small), small)
    framing = None
    if config.follows(by_default=not (config.crop or config.resize)):
        square: SquarePath | None = plugins().hook.find_region(film=film) if config.zoom is None else None
        if square is not None:
            framing = Framing.of(square, size, target)
        else:
            parts = _report_parts(overview, span_us, progress)
            framing = find_framing(parts, overview.sensor, target, zoom=config.zoom, original=size)

    track: RegionTrack | None = None
    if framing is not None:
        region = framing.bounding_region()
        settings: FilmConfig = config.model_copy(update={"crop": str(region), "resize": str(framing.zoomed(region))})
        video = _open_repeated(path, settings)
        fit = plan_fit(video.size, video.size, "crop")
        track = framing.track(framing.zoom, (region.left, region.top))
        looked_at = _list_positions(framing)
    else:
        region, settings = plan_picture(path, size, target, config)
        video = _open_repeated(path, settings)
        fit = plan_fit(video.size, target, "crop", map_region(region, size, video.size))
        looked_at = _fixed_position(region if config.fit != "crop" else _intersect_centered(region, target))

    repeated = f"{name}: a GIF of {once.duration_s:.3g} s, repeated to {video.duration_s:.3g} s"
    return EventSource(
        name,
        events=_simulate_video(path, video, settings),
        overview=overview,
        picture=size,
        fit=fit,
        track=track,
        looked_at=looked_at,
        span_us=span_us,
        pictures=partial(_open_repeated, path, pictures),
        film=film,
        warnings=_warn(name, framing) + ((repeated,) if video.duration_s > once.duration_s else ()),
    )


def _warn(name: str, framing: Framing | None) -> tuple[str, ...]:
    return (f"{name}: {SEVERAL}",) if framing is not None and framing.has_choice else ()


def _check_geometry(name: str, config: FramingConfig) -> None:
    """Raise if both the region of interest and other settings select or scale the pictures of a video."""
    if config.roi not in (None, "full") and config.crop:
        raise DataError(f"{name}: both roi and crop = {config.crop} select a region (expected one of them)")
    if config.roi == "auto" and config.resize:
        raise DataError(f"{name}: both roi = auto and resize = {config.resize} scale the video (expected one of them)")


def plan_picture(path: Path, size: SensorSize, target: SensorSize, config: FramingConfig) -> tuple[Region, FilmConfig]:
    """Plan a region of a video that does not move; return it, and the conversion of its crop, scaled to the network."""
    region = _parse_region(str(path), config, size, "picture")
    return region, _crop_to_region(config, region, size, None if config.fit == "crop" else target)


def _open_repeated(path: Path, settings: VideoSettings) -> Video:
    """Open a video; repeat a GIF to last at least MIN_GIF_US, enough for a network's window."""
    video = open_video(path, settings)
    is_repeated = video.times_us is None and path.is_file() and is_gif(path)
    return video.repeated(MIN_GIF_US) if is_repeated else video


def _crop_to_region(settings: FilmConfig, region: Region, size: SensorSize, target: SensorSize | None) -> FilmConfig:
    """Return settings that crop a video to the visible part of a region, and scale it.

    The region is scaled to `target`, if the settings have no size; None: no scaling.
    """
    shown = region.overlap(size)
    assert shown is not None

    if shown.size != size:
        settings = settings.model_copy(update={"crop": str(shown)})
    if target is None or region.size == target or settings.resize:
        return settings

    scaled = scaled_size(region.size, target)
    width = max(1, round(scaled.width * shown.size.width / region.size.width))
    height = max(1, round(scaled.height * shown.size.height / region.size.height))
    return settings.model_copy(update={"resize": f"{width}x{height}"})


def map_region(region: Region, size: SensorSize, scaled: SensorSize) -> Region:
    """Map `region` from the source frame to the cropped and resized video."""
    shown = region.overlap(size)
    assert shown is not None

    across = scaled.width / shown.size.width
    down = scaled.height / shown.size.height

    return Region(
        round((region.left - shown.left) * across),
        round((region.top - shown.top) * down),
        SensorSize(width=round(region.size.width * across), height=round(region.size.height * down)),
    )


def coarse_size(size: SensorSize) -> SensorSize:
    """Return the size of the overview, used for search and display."""
    return size if max(size.width, size.height) <= COARSE_SIDE_PX else scaled_size(size, COARSE)


def _report_parts(events: EventParts, span_us: tuple[int, int] | None, progress: Progress) -> Iterator[Events]:
    """Yield the parts of events that are searched for motion, and report the time searched."""
    step = NamedStep(progress, "motion")
    first_us, last_us = span_us or (0, 0)
    for part in events.parts():
        if len(part):
            step(int(part.t[-1]) - first_us, last_us - first_us)
        yield part


def _simulate_video(path: Path, video: Video, settings: FilmConfig) -> EventParts:
    return EventParts(video.size, partial(_simulate, str(path), video, settings))


def _estimate_span(video: Video) -> tuple[int, int] | None:
    """Estimate the times of the first and the last frame of a video from the interval of the first two."""
    times_us = [frame.t_us for frame in islice(video.frames(), 2)]
    if len(times_us) < 2 or not video.frame_count:
        return None

    first_us, second_us = times_us
    last_us = (second_us - first_us) * video.frame_count
    stop_s = video.settings.stop_s
    return first_us, max(second_us, last_us if stop_s is None else min(last_us, round(stop_s * 1e6)))


def _simulate(name: str, video: Video, settings: FilmConfig) -> Iterator[Events]:
    from ..simulator import simulate  # recordings do not need its kernels

    frames = prefetch(video.frames(), FRAMES_AHEAD)
    try:
        yield from simulate(frames, settings, upsample=settings.upsample)
    except VideoError as error:
        raise error.named(name) from error
