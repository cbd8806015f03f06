"""Convert videos and recordings to event files.

From the outside to the inside: `plan_conversions` finds the sources and gives each a target, a `ConversionTask`;
`convert_many` runs the tasks in parallel; `convert_task` chooses `convert_video` (the simulator) or `convert_recording`
(another format) by the kind of the source. `events_from_video` is the conversion of a video in memory.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, cast, overload

from numpy.typing import ArrayLike

from ..base.errors import (
    ConfigError,
    FileError,
    FormatError,
    VideoError,
    brief,
    count_noun,
)
from ..base.pool import ALL, Outcome, Shard, collect, map_items, prefetch
from ..base.progress import Progress
from ..base.texts import show_name
from ..events import LATEST_US, Events, SensorSize, concatenate
from ..formats import (
    WriteOptions,
    Writer,
    create_writer,
    find_encoder,
    info,
    open_recording,
    written_suffixes,
)
from ..video.config import VideoSettings
from ..video.frames import Frame
from ..video.names import (
    camera_of,
    check_address,
    is_images,
)
from ..video.opening import open_video
from ..video.video import Video
from .config import FOR_RECORDINGS, FOR_VIDEOS, ConvertConfig, FilmConfig
from .sources import SourceKind, as_paths, find_sources, identify, is_single_source

DEFAULT_SUFFIX = ".h5"
FRAMES_AHEAD = 8  # decoded in a thread

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Conversion:
    """Result of a conversion.

    Args:
        path: Event file.
        sensor: Sensor size.
        frames: Number of frames read; 0 for a recording.
        events: Number of events written.
        duration_us: Time from the first to the last frame or event in microseconds.
    """

    path: Path
    sensor: SensorSize
    frames: int
    events: int
    duration_us: int

    def __str__(self) -> str:
        of_video = " of video" if self.frames else ""
        duration_s = self.duration_us * 1e-6
        rate = f", {self.events / duration_s:,.0f} per second{of_video}" if duration_s else ""
        origin = f"from {self.frames:,} frames of" if self.frames else "of"
        events = f"{count_noun(self.events, 'event')}{rate}"
        return f"{show_name(self.path)}: {events}, {origin} {self.sensor} in {duration_s:.2f} s"

    def to_record(self) -> dict[str, Any]:
        """Return the result as a dict for JSON, with the same names as `RecordingInfo`."""
        return {
            "file": str(self.path),
            "width": self.sensor.width,
            "height": self.sensor.height,
            "frames": self.frames,
            "events": self.events,
            "duration_us": self.duration_us,
        }


def convert_video(
    source: str | Path | int,
    path: str | Path,
    config: ConvertConfig = ConvertConfig(),
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    origin: str = "",
) -> Conversion:
    """Convert a video to an event file in the format of its suffix.

    Memory does not grow with the length of the video; a thread decodes frames. The file is complete or absent: after an
    interruption, the video is converted again from its start.

    Args:
        source: Video file, image folder, or the number of a camera; Ctrl-C stops the camera.
        path: Output file. Only HDF5 stores settings.
        config: Settings of the conversion.
        overwrite: Whether to replace an existing file.
        progress: Called with the number of frames done and the total after each frame.
        origin: Additional description of the source, stored in HDF5 after the name of the video.

    Raises:
        VideoError: If the video cannot be read, is truncated, has fewer than two frames, or its frames are
            inconsistent.
        FileError: If the file already exists or cannot be written.
        EventError: If the format cannot store the events.
    """
    path = Path(path)
    video = open_for_sensor(source, config)
    is_camera = video.ended is not None  # its recordings have no name but the output's
    config = config.for_recording(path.name if is_camera else _name_of(source))
    config = config.model_copy(update=dict(video.settings))  # with the crop and size for the sensor

    log.debug("%s: %s, %d frames", video.name, video.size, video.frame_count)
    options = WriteOptions(
        source=Path(video.name).name + (f" ({origin})" if origin else ""),
        settings=config.part(FilmConfig).to_record(),
        overwrite=overwrite,
    )

    count = _FrameCounter()
    with create_writer(path, video.size, options) as writer, video.ended_by_interrupt():
        try:
            _convert(video, config, writer, count, progress)
        except VideoError as error:
            raise error.named(video.name) from error
        if count.frames < 2:
            span = _describe_span(config)
            raise VideoError(f"{video.name}: too few frames{span} (found {count.frames}, expected at least 2)")
    duration_us = count.last_us - count.first_us
    return Conversion(path, video.size, count.frames, writer.count, duration_us)


def open_for_sensor(source: str | Path | int | ArrayLike, config: FilmConfig) -> Video:
    """Open a video at the size of the simulated sensor; see `SimulatorConfig.sensor_size`."""
    if config.sensor_size == "keep":
        return open_video(source, config)

    complete = open_video(source, config.model_copy(update={"resize": None}))
    video = complete.shown_on(SensorSize.parse(config.resize or config.sensor_size))
    if video.settings.crop != config.crop:
        _note_crop(complete.size, video.settings.crop, video.size)

    return video


@lru_cache(maxsize=64)
def _note_crop(size: SensorSize, crop: str | None, sensor: SensorSize) -> None:
    """Log once for all videos of a size what a sensor shows of them."""
    log.warning(
        "videos of %s are cropped to %s, the shape of the sensor, and scaled to %s; sensor_size=keep keeps all pixels",
        size,
        crop,
        sensor,
    )


def _name_of(source: str | Path | int) -> str:
    """Return the name of a single video, which decides its noise; the folder `.` has a name, too."""
    return Path(str(source)).absolute().name


def _describe_span(settings: VideoSettings) -> str:
    """Describe the selected time span of a video; empty if it is the complete video."""
    start = f" after {settings.start_s:g} s" if settings.start_s else ""
    stop = "" if settings.stop_s is None else f" before {settings.stop_s:g} s"
    return f"{start}{stop}"


@dataclass
class _FrameCounter:
    """Number of source frames so far, and the times of the first and last frame."""

    frames: int = 0
    first_us: int = 0
    last_us: int = 0

    def count(self, frames: Iterable[Frame], total: int, progress: Progress | None) -> Iterator[Frame]:
        """Yield and count the frames."""
        for frame in frames:
            self.first_us = self.first_us if self.frames else frame.t_us
            self.frames += 1
            self.last_us = frame.t_us
            yield frame
            if progress:
                progress(self.frames, max(self.frames, total))


def _convert(
    video: Video, config: ConvertConfig, writer: Writer, count: _FrameCounter, progress: Progress | None
) -> None:
    """Simulate and write the frames of a video, and count them."""
    from ..simulator import EventSimulator

    simulator = EventSimulator(config, upsample=config.upsample)
    decoded = prefetch(video.frames(), FRAMES_AHEAD)
    state = None
    for frame in count.count(decoded, video.estimate_selected(), progress):
        events, state = simulator.step(frame, state)
        writer.append(events)


def convert_recording(
    source: str | Path,
    path: str | Path,
    config: ConvertConfig = ConvertConfig(),
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Conversion:
    """Convert a recording to an event file in the format of its suffix, in bounded memory.

    `progress` is called with the number of events done and the total (0 if unknown). Other arguments as in
    `convert_video`.
    """
    source = Path(source)
    path = Path(path)
    check_address(source)

    recording = open_recording(source, config)
    extent = recording.extent()
    total = extent.events if extent else 0
    events = 0
    first_us = 0
    last_us = 0

    def read() -> Iterator[Events]:
        if config.sort:
            yield recording.sorted()
        else:
            yield from recording.chunks()

    def counted(parts: Iterable[Events]) -> Iterator[Events]:
        nonlocal events, first_us, last_us
        for part in parts:
            if len(part):
                first_us = first_us if events else int(part.t[0])
                events += len(part)
                last_us = int(part.t[-1])
            yield part
            if progress:
                progress(events, max(events, total))

    settings = recording.attributes.get("settings")
    options = WriteOptions(
        source=source.name,
        settings=settings if isinstance(settings, dict) else {},
        overwrite=overwrite,
    )

    with create_writer(path, recording.sensor, options) as writer:
        for part in counted(read()):
            writer.append(part)
    return Conversion(path, recording.sensor, 0, events, last_us - first_us)


@dataclass(frozen=True)
class FilmSpan:
    """Part of a video, from a start time (inclusive) to a stop time (exclusive; None: to its end) in seconds."""

    start_s: float
    stop_s: float | None = None

    @classmethod
    def check(cls, start_s: float, stop_s: float | None) -> FilmSpan:
        """Return a span, or raise a ValueError if it is empty, or has a time that microseconds cannot have."""
        for time_s in (start_s, stop_s):
            if time_s is not None and not abs(time_s) <= LATEST_US / 1e6:  # also NaN
                raise ValueError(f"wrong time (found {time_s:g} s, expected a time of a video)")

        if stop_s is not None and stop_s <= start_s:
            raise ValueError(f"wrong stop time (found {stop_s:g} s, expected more than the start {start_s:g} s)")
        return cls(start_s, stop_s)

    def __str__(self) -> str:
        """Return START_STOP in seconds with leading zeros, as in the file names of Kinetics."""
        times_s = [time_s for time_s in (self.start_s, self.stop_s) if time_s is not None]
        return "_".join(f"{time_s:.3f}".rstrip("0").rstrip(".").zfill(6) for time_s in times_s)


@dataclass(frozen=True)
class ConversionTask:
    """Video or recording, and the event file to write.

    Args:
        source: Video or recording.
        target: Event file.
        name: Path of the source relative to the folder that is converted, which decides the noise of a video; None: its
            file name.
        span: Part of the video to convert; None: the complete video.
    """

    source: Path
    target: Path
    name: Path | None = None
    span: FilmSpan | None = None

    def __str__(self) -> str:
        return f"{self.source}{self.part}"

    @property
    def part(self) -> str:
        """Part of the source in messages; empty for the complete source."""
        return "" if self.span is None else f"@{self.span}"

    @cached_property
    def kind(self) -> SourceKind:
        """Kind of the source; detected once, and sent to other processes with the task."""
        return identify(Path(self.source))

    def settings_of(self, config: ConvertConfig) -> ConvertConfig:
        """Return the settings for this video: its name decides its noise, and its span the part that is read."""
        if self.name is not None:
            config = config.for_recording(self.name.as_posix())
        return config if self.span is None else config.model_copy(update=vars(self.span))

    @property
    def camera(self) -> int | None:
        """Camera number; None if the source is not a camera."""
        return camera_of(self.source)


def convert_task(
    task: ConversionTask,
    progress: Progress | None = None,
    *,
    config: ConvertConfig = ConvertConfig(),
    overwrite: bool = False,
) -> Conversion:
    """Convert a video or a recording, as `convert_video` or `convert_recording`."""
    source = Path(task.source)
    target = Path(task.target)
    if task.kind.is_video:
        config = task.settings_of(config)
        return convert_video(source, target, config, overwrite=overwrite, progress=progress)

    if task.span is not None:
        raise FormatError(f"{task}: parts of recordings are not converted (found a recording, expected a video)")

    # An empty file of unknown format is opened as a recording, so the error says that it is empty.
    if task.kind.format_name is None and source.is_file() and source.stat().st_size:
        raise FormatError(
            f"{source}: neither a video that OpenCV can read (expected .mp4, .webm, .gif, ...) nor a recording of a "
            "known format (expected .h5, .raw, .aedat4, ...)"
        )
    return convert_recording(source, target, config, overwrite=overwrite, progress=progress)


def convert_many(
    tasks: Sequence[ConversionTask],
    config: ConvertConfig = ConvertConfig(),
    *,
    jobs: int | str = 1,
    overwrite: bool = False,
    waiting: Sequence[ConversionTask] | None = None,
    progress: Progress | None = None,
) -> Iterator[Outcome[ConversionTask, Conversion]]:
    """Convert videos and recordings in parallel, and yield the outcomes in order of completion.

    Existing targets are skipped, unless `overwrite` is set.

    Args:
        tasks: Conversions, as returned by `plan_conversions`.
        config: Settings for videos and recordings.
        jobs: Number of worker processes, or a Ray cluster.
        overwrite: Whether to convert all, and replace existing targets.
        waiting: Tasks without targets, if they are known; None: find them.
        progress: Called with the number of files done and the total.

    Yields:
        Outcome of each task. Files that cannot be converted completely have an error that names the file; the other
        conversions continue.

    Raises:
        WorkerError: If a worker was killed; finished files stay.

    Example:
        >>> tasks = plan_conversions([Path("videos")], Path("events"))  # doctest: +SKIP
        >>> events = sum(done.result().events for done in convert_many(tasks, jobs=2))  # doctest: +SKIP
    """
    if waiting is None and not overwrite:
        waiting = find_unconverted(tasks)

    work = _ConversionWorker(config, overwrite)
    return map_items(work, tasks if waiting is None else waiting, jobs=jobs, progress=progress)


def find_unconverted(tasks: Sequence[ConversionTask]) -> list[ConversionTask]:
    """Return the tasks without an existing target."""
    return [task for task in tasks if not Path(task.target).exists()]


@dataclass(frozen=True)
class _ConversionWorker:
    """Convert a task; picklable."""

    config: ConvertConfig
    overwrite: bool

    def __call__(self, task: ConversionTask, progress: Progress) -> Conversion:
        # A worker that was killed before it replied may have written the target.
        if Path(task.target).exists() and not self.overwrite:
            stored = info(task.target)
            sensor = SensorSize(width=stored.width, height=stored.height)
            return Conversion(task.target, sensor, 0, stored.events, stored.duration_us)

        return convert_task(task, progress, config=self.config, overwrite=self.overwrite)


def plan_conversions(
    sources: str | Path | Sequence[str | Path], out: str | Path, suffix: str = DEFAULT_SUFFIX, *, shard: Shard = ALL
) -> list[ConversionTask]:
    """Plan the conversion of videos and recordings to event files.

    Args:
        sources: Videos, image folders, recordings, or folders that contain them, searched recursively. Files found in
            folders are skipped if they already have `suffix`.
        out: Event file for a single source; otherwise a folder that mirrors the layout of source folders.
            Sources in one folder that differ only in their suffix keep it: `a.mp4.h5`.
        suffix: Suffix of event files in the output folder.
        shard: Selection of the sources to convert, by their paths in the source folders.

    Raises:
        FileError: If a folder contains no videos or recordings, the output is not a folder, or two sources have the
            same target.

    Example:
        >>> [task] = plan_conversions("clip.mp4", "events.h5")
        >>> task.source.name, task.target.name
        ('clip.mp4', 'events.h5')
    """
    sources = as_paths(sources)
    out = Path(out)
    suffix = f".{suffix.lower().removeprefix('.')}"
    if find_encoder(Path(f"events{suffix}")) is None:
        written = ", ".join(written_suffixes())
        raise FileError(f"suffix = {suffix}: events cannot be written in this format (expected {written})")

    if len(sources) == 1 and is_single_source(sources[0]) and out.suffix:
        if suffix not in (DEFAULT_SUFFIX, out.suffix.lower()):
            raise ConfigError(f"suffix = {suffix}: only for a folder (found {out}, whose suffix selects the format)")

        return [ConversionTask(sources[0], out)]

    # A folder or several sources need an output folder, which may not exist yet.
    named_sources = list(find_sources(sources, lambda path: path.is_file() and path.name.lower().endswith(suffix)))
    is_file_name = find_encoder(out) is not None
    if not out.is_dir() and (out.exists() or is_file_name):
        kind = "an event file name" if is_file_name else "a file"
        contents = sources[0] if len(sources) == 1 else f"{len(sources)} sources"
        raise FileError(f"{out}: wrong output (found {kind}, expected a folder for {contents})")

    # Names that differ only in their suffix, such as a.mp4 and a.avi, keep it: a.mp4.h5 and a.avi.h5.
    names = Counter(name.with_suffix(suffix) for _, name in named_sources)
    plan: dict[Path, ConversionTask] = {}
    for path, name in named_sources:
        clashes = names[name.with_suffix(suffix)] > 1
        target = out / (name.with_name(name.name + suffix) if clashes else name.with_suffix(suffix))
        if target in plan:
            raise FileError(f"{target}: target of two sources (found {plan[target]} and {path}, expected one)")
        if name in shard:
            plan[target] = ConversionTask(path, target, name)

    return list(plan.values())


def events_from_video(
    source: str | Path | int | ArrayLike | Iterable[Frame],
    config: FilmConfig = FilmConfig(),
) -> Events:
    """Convert a video to events in memory, with the same result as `convert_video`.

    Args:
        source: Any of

            - a video file or an image folder;
            - an array or list of images, greyscale [T, H, W] or RGB [T, H, W, 3]; needs `config.fps`;
            - the number of a camera; Ctrl-C or `config.stop_s` stops it;
            - an iterable of `Frame`, with their own times and transfer curve.
        config: Settings of the conversion.

    Raises:
        VideoError: If the video cannot be read, has fewer than two frames, or its frames are inconsistent; or if
            `source` are frames and settings of videos are given.

    Example:
        >>> import numpy as np
        >>> array = np.random.default_rng(0).integers(0, 256, (5, 7, 12), np.uint8)
        >>> events = events_from_video(array, FilmConfig(fps=30, pos_thres=0.3))
        >>> events.sensor
        SensorSize(width=12, height=7)
    """
    if isinstance(source, str | Path | int) or is_images(source):
        video = open_for_sensor(source, config)
        # Arrays have no name to draw the noise from.
        if isinstance(source, str | Path | int):
            config = config.for_recording(_name_of(source))
        with video.ended_by_interrupt():
            return _all_events(prefetch(video.frames(), FRAMES_AHEAD), config)

    if not isinstance(source, Iterable):
        raise VideoError(f"wrong type of source (found {brief(source)}, expected a video, images or frames)")
    if given := [name for name in VideoSettings.model_fields if name in config.given]:
        raise VideoError(f"{', '.join(given)}: only for videos (found frames, with their own times and size)")

    return _all_events(cast(Iterable[Frame], source), config)


def _all_events(frames: Iterable[Frame], config: FilmConfig) -> Events:
    from ..simulator import simulate

    chunks = list(simulate(frames, config, upsample=config.upsample))
    return concatenate(chunks, chunks[0].sensor)


@overload
def convert(  # type: ignore[overload-overlap]  # a text is also a sequence of texts
    sources: str | Path | int,
    out: str | Path,
    config: ConvertConfig = ConvertConfig(),
    *,
    preset: str | Path | None = None,
    suffix: str = DEFAULT_SUFFIX,
    share: str | None = None,
    jobs: int | str = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Conversion: ...
@overload
def convert(
    sources: Sequence[str | Path],
    out: str | Path,
    config: ConvertConfig = ConvertConfig(),
    *,
    preset: str | Path | None = None,
    suffix: str = DEFAULT_SUFFIX,
    share: str | None = None,
    jobs: int | str = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[Conversion, ...]: ...
def convert(
    sources: str | Path | int | Sequence[str | Path],
    out: str | Path,
    config: ConvertConfig = ConvertConfig(),
    *,
    preset: str | Path | None = None,
    suffix: str = DEFAULT_SUFFIX,
    share: str | None = None,
    jobs: int | str = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Conversion | tuple[Conversion, ...]:
    """Convert videos to the events of a simulated event camera, or recordings to another format.

    The same call converts what is missing after an interruption.

    Args:
        sources: Videos, GIFs, image folders, recordings, folders of these, or a camera number: 0, 1, ...
        out: Event file, or a folder for several sources.
        config: Settings of the pixel model, the video and the file, and metadata that a recording lacks.
        preset: Sensor preset (listed by dvspipe configs list), or a YAML file; given settings take precedence.
        suffix: Format (file suffix) in an output folder.
        share: Convert only share I/N of the sources; default: the share of the task in a SLURM array, otherwise all.
        jobs: Number of worker processes, or ray, or ray://HOST:PORT for a Ray cluster.
        overwrite: Replace existing files; otherwise, a single one is an error, and several are skipped.
        progress: Called with the amount done and the total: frames or events of a single source, or files.

    Returns:
        The conversion of a single source; for a list, the conversions done now.

    Raises:
        DvspipeError: As in `convert_video` and `convert_recording`, if a single source cannot be converted.
        PartialError: If some of several sources could not be converted, after all others.

    Example:
        >>> lower = ConvertConfig(pos_thres=0.15)
        >>> convert("clip.mp4", "events.h5", lower, preset="noisy").events  # doctest: +SKIP
        182930
        >>> len(convert(["videos"], "events", jobs=2))  # doctest: +SKIP
        120
    """
    config = config.with_preset(preset)
    listed = [sources] if isinstance(sources, str | Path | int) else sources
    tasks = plan_conversions([str(source) for source in listed], out, suffix, shard=Shard.of(share))
    _refuse_unused(tasks, config.model_fields_set)
    if config.timestamps and len(tasks) > 1:
        raise FileError(f"{config.timestamps}: timestamps are for a single video (found {len(tasks)} sources)")

    if len(tasks) == 1:
        done = convert_task(tasks[0], progress, config=config, overwrite=overwrite)
        return done if isinstance(sources, str | Path | int) else (done,)

    waiting = tasks if overwrite else find_unconverted(tasks)
    if len(waiting) < len(tasks):
        log.info("already converted: %d of %d; use overwrite to convert again", len(tasks) - len(waiting), len(tasks))
    outcomes = convert_many(waiting, config, jobs=jobs, overwrite=overwrite, progress=progress)
    return collect(outcomes, len(tasks), "sources could not be converted completely")


def _refuse_unused(tasks: Sequence[ConversionTask], given: Set[str]) -> None:
    """Refuse settings that apply only to videos or recordings if there are none."""
    existing = [task for task in tasks if task.source.exists() or task.camera is not None]  # others are reported later
    for names, is_video, kind in ((FOR_VIDEOS, True, "videos"), (FOR_RECORDINGS, False, "recordings")):
        unused = sorted(names & given)
        if unused and existing and not any(task.kind.is_video is is_video for task in existing):
            raise ConfigError(f"{existing[0]}: {', '.join(unused)}: only for {kind}")
