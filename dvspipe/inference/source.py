"""What is judged: a recording, a video that is simulated on the way, or events in memory, at the network's sensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..conversion import FRAMES_AHEAD, ConvertConfig, is_video
from ..errors import CorruptionError, DataError, EventError, FormatError, VideoError
from ..events import Events, SensorSize
from ..formats import NO_HINTS, Hints, Recording, open_recording
from ..parallel import prefetch
from ..simulator import simulate, upsample
from ..video import camera_of, open_video
from .config import InferConfig
from .fitting import Fit, Region, around, find_region, fit_stream, in_shape, plan_fit, scaled_size

CHUNKS_AHEAD = 2
MOST_EVENTS = 1 << 17  # that are worked on together, so that what is made of them on the way stays small


@dataclass(frozen=True)
class EventSource:
    """Events that can be gone through again and again.

    Args:
        name: What messages call them.
        sensor: The sensor that they come from; of a video, the one that it is simulated for.
        parts: Begins a new pass over them, in consecutive parts.
        fit: How they become events of the network's sensor.
        events: Their number, 0 where it is not known.
        is_video: Whether they are simulated.
    """

    name: str
    sensor: SensorSize
    parts: Callable[[], Iterator[Events]]
    fit: Fit
    events: int = 0
    is_video: bool = False

    def fitted(self, see: Callable[[Events], object]) -> Iterator[Events]:
        """The events of the network's sensor, decoded in a thread of their own; `see` is shown them as they come."""

        def seen() -> Iterator[Events]:
            for chunk in prefetch(self.parts(), CHUNKS_AHEAD):
                for first in range(0, len(chunk), MOST_EVENTS):
                    part = chunk.slice_events(first, first + MOST_EVENTS)
                    see(part)
                    yield part

        return fit_stream(seen(), self.fit)


def open_source(
    given: Path | Events, target: SensorSize, config: InferConfig, *, sensor: SensorSize | None, hints: Hints = NO_HINTS
) -> EventSource:
    """A recording, video or events, for a network of some sensor.

    Args:
        given: What to judge.
        target: The network's sensor.
        config: Region, fit, and how videos become events.
        sensor: The sensor of a recording that does not name it.
        hints: What else its file does not say.

    Raises:
        FileError: It is missing, or not readable.
        DataError: It comes from another sensor, and the configuration does not say what to do; or it is a camera.
    """
    if isinstance(given, Events):
        return _fitted("the events", given.sensor, lambda: iter([given]), target, config, len(given))
    if camera_of(given) is not None:
        raise DataError(f"{given}: a camera has no end; record it first, dvspipe convert {given} -o events.h5")
    if is_video(given):
        return _open_video(given, target, config)
    recording = open_recording(given, sensor=sensor, hints=hints)
    if recording.sensor_source == "guessed" and config.fit is None:
        if _holds_all(target, recording):
            recording = open_recording(given, sensor=target, hints=hints)
        elif config.roi is None:
            raise DataError(
                f"{given}: does not name its sensor, and has events outside the network's {target}; say it with "
                "--sensor WxH, and with --fit scale or --fit crop what to do"
            )
    extent = recording.extent()
    parts = lambda: _advised(recording)  # noqa: E731
    return _fitted(str(given), recording.sensor, parts, target, config, extent.events if extent else 0)


def _holds_all(target: SensorSize, recording: Recording) -> bool:
    """Whether every event of a recording has a pixel of the target."""
    own = recording.sensor
    if own.width <= target.width and own.height <= target.height:
        return True
    return all(
        int(part.x.max()) < target.width and int(part.y.max()) < target.height
        for part in _advised(recording)
        if len(part)
    )


def _advised(recording: Recording) -> Iterator[Events]:
    try:
        yield from recording.chunks()
    except CorruptionError as error:
        raise FormatError(
            f"{error}; dvspipe convert --salvage keeps what is ahead of the damage, --sort puts events in order"
        ) from error


def _fitted(
    name: str, own: SensorSize, parts: Callable[[], Iterator[Events]], target: SensorSize, config: InferConfig,
    events: int,
) -> EventSource:  # fmt: skip
    region = _region(name, own, parts, target, config)
    if region.size != target and config.fit is None:
        found = f"its region {region}" if config.roi else f"comes from a sensor of {own}"
        raise DataError(
            f"{name}: {found}, the network is for {target}; --fit scale, --fit crop, or --roi {target}+LEFT+TOP fit it"
        )
    return EventSource(name, own, parts, plan_fit(own, target, config.fit or "crop", region), events)


def _region(
    name: str, own: SensorSize, parts: Callable[[], Iterator[Events]], target: SensorSize, config: InferConfig
) -> Region:
    """The part of the sensor to look at."""
    if config.roi is None:
        return Region.whole(own)
    if config.roi != "auto":
        region = Region.parse(config.roi)
        if region.left + region.size.width > own.width or region.top + region.size.height > own.height:
            raise EventError(f"{name}: --roi {region} does not lie inside the sensor of {own}")
        return region
    found = find_region(parts(), own) or Region.whole(own)
    return in_shape(found, own, target) if config.fit == "scale" else around(found, own, target)


def _open_video(path: Path, target: SensorSize, config: InferConfig) -> EventSource:
    """A video, scaled before it is simulated, which is more exact and takes less than scaling its events."""
    video = config.video
    name = str(path)
    if config.roi == "auto":
        whole = open_video(path, video.video).size
        coarse = _open_video(path, target, config.model_copy(update={"roi": None, "fit": "scale"}))
        seen = find_region(coarse.parts(), coarse.sensor) or Region.whole(coarse.sensor)
        region = _enlarged(seen, coarse.sensor, whole)
        region = around(region, whole, target) if config.fit == "crop" else in_shape(region, whole, target)
        return _open_video(path, target, config.model_copy(update={"roi": str(region)}))
    if config.roi is not None:
        if video.video.crop:
            raise DataError(f"{name}: --roi and video.crop = {video.video.crop} both say what part to look at")
        video = _read_with(video, crop=config.roi)
    size = open_video(path, video.video).size
    if config.fit != "crop" and size != target and not video.video.resize:
        video = _read_with(video, resize=str(scaled_size(size, target)))
    opened = open_video(path, video.video)

    def parts() -> Iterator[Events]:
        frames = prefetch(opened.frames(), FRAMES_AHEAD)
        steps = frames if video.upsample == "off" else upsample(frames, video.upsample, config=video.simulator)
        try:
            yield from simulate(steps, video.simulator)
        except VideoError as error:
            raise error if str(error).startswith(name) else VideoError(f"{name}: {error}") from error

    return EventSource(name, opened.size, parts, plan_fit(opened.size, target, "crop"), is_video=True)


def _read_with(video: ConvertConfig, **settings: str) -> ConvertConfig:
    return video.model_copy(update={"video": video.video.model_copy(update=settings)})


def _enlarged(region: Region, sensor: SensorSize, whole: SensorSize) -> Region:
    """A region of a scaled picture as one of the whole picture."""
    x, y = whole.width / sensor.width, whole.height / sensor.height
    left, top = int(region.left * x), int(region.top * y)
    width = min(whole.width - left, round(region.size.width * x))
    height = min(whole.height - top, round(region.size.height * y))
    return Region(left, top, SensorSize(width=max(1, width), height=max(1, height)))
