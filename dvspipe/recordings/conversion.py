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
from functools import cached_property
from pathlib import Path
from typing import cast

from numpy.typing import ArrayLike

from ..base.errors import ConfigError, FileError, FormatError, VideoError, brief
from ..base.pool import ALL, Outcome, Shard, collect, map_items, prefetch
from ..base.progress import Progress, ignore_progress
from ..base.texts import warn_once
from ..events import LATEST_US, Events, SensorSize, concatenate
from ..formats import WriteOptions, create_writer, open_recording, written_suffixes
from ..formats.hints import Images
from ..formats.recordings import count_events
from ..video.config import VideoSettings
from ..video.frames import Frame
from ..video.names import camera_of, is_images
from ..video.opening import open_video
from ..video.video import Video
from .config import FOR_RECORDINGS, FOR_VIDEOS, ConvertConfig, FilmConfig
from .output import Conversion, write_stream
from .sources import as_paths, find_sources, is_video, require_film

DEFAULT_SUFFIX = ".h5"
FRAMES_AHEAD = 8  # decoded in a thread

log = logging.getLogger(__name__)


def convert_video(
    source: str | Path | int,
    path: str | Path,
    config: ConvertConfig = ConvertConfig(),
    *,
    overwrite: bool = False,
    progress: Progress = ignore_progress,
    origin: str = "",
) -> Conversion:
    """Convert a video to an event file in the format of its suffix.

    Memory does not grow with the length of the video; a thread decodes frames. The file is complete or absent: after an
    interruption, the video is converted again from its start.

    Args:
        source: Video file, image folder, or the number of a camera, which needs `config.stop_s`.
        path: Output file. Only HDF5 stores settings.
        config: Settings of the conversion.
        overwrite: Whether to replace an existing file.
        progress: Called with the number of frames done and the total after each frame.
        origin: Additional description of the source, stored in HDF5 after the name of the video.

    Raises:
        VideoError: If the video cannot be read, is truncated, has fewer than two frames, or its frames are
            inconsistent.
        FileError: If the file already exists or cannot be written, or a folder is not one film.
        EventError: If the format cannot store the events.
    """
    from ..simulator import simulate

    path = Path(path)
    require_film(Path(str(source)), config.images)
    video = open_for_sensor(source, config)
    is_camera = camera_of(source) is not None  # its recordings have no name but the output's
    config = config.for_recording(path.name if is_camera else _name_of(source))
    config = config.model_copy(update=dict(video.settings))  # with the crop and size for the sensor
    options = WriteOptions(
        source=Path(video.name).name + (f" ({origin})" if origin else ""),
        settings=config.part(FilmConfig).to_record(),
        overwrite=overwrite,
    )

    total = video.estimate_selected()
    times_us: list[int] = []

    def read_frames() -> Iterator[Frame]:
        for frame in prefetch(video.frames(), FRAMES_AHEAD):
            times_us.append(frame.t_us)
            yield frame
            progress(len(times_us), max(len(times_us), total))

    with create_writer(path, video.size, options) as writer:
        try:
            for events in simulate(read_frames(), config, upsample=config.upsample):
                writer.append(events)
        except VideoError as error:
            raise error.named(video.name) from error

    return Conversion(path, video.size, len(times_us), writer.count, times_us[-1] - times_us[0])


def open_for_sensor(source: str | Path | int | ArrayLike, config: FilmConfig) -> Video:
    """Open a video at the size of the simulated sensor; see `SimulatorConfig.sensor_size`.

    Raises:
        ConfigError: If it is a camera, and nothing ends it.
    """
    if isinstance(source, str | Path | int) and camera_of(source) is not None and config.stop_s is None:
        raise ConfigError(f"camera {source}: no end; use stop_s=SECONDS")
    if config.sensor_size == "keep":
        return open_video(source, config)

    complete = open_video(source, config.model_copy(update={"resize": None}))
    video = complete.shown_on(SensorSize.parse(config.resize or config.sensor_size))
    if video.settings.crop != config.crop:
        warn_once(
            f"videos of {complete.size} are cropped to {video.settings.crop}, the shape of the sensor, and scaled to "
            f"{video.size}; use sensor_size=keep for all pixels"
        )

    return video


def _name_of(source: str | Path | int) -> str:
    """Return the name of a single video, which decides its noise; the folder `.` has a name, too."""
    return Path(str(source)).absolute().name


def convert_recording(
    source: str | Path,
    path: str | Path,
    config: ConvertConfig = ConvertConfig(),
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Conversion:
    """Convert a recording to an event file in the format of its suffix, in bounded memory.

    Arguments and errors as in `convert_video`; `progress` is called with the amount read and the total.
    """
    recording = open_recording(Path(source), config)
    chunks = [recording.sorted()] if config.sort else recording.chunks(progress=progress)
    return write_stream(path, chunks, recording.sensor, [recording], overwrite=overwrite)


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
        return f"{self.source}" if self.span is None else f"{self.source}@{self.span}"

    @cached_property
    def is_video(self) -> bool:
        """Whether the source is a video, not a recording: reads its first bytes."""
        return is_video(Path(self.source))

    def settings_of(self, config: ConvertConfig) -> ConvertConfig:
        """Return the settings for this video: its name decides its noise, and its span the part that is read."""
        if self.name is not None:
            config = config.for_recording(self.name.as_posix())
        return config if self.span is None else config.model_copy(update=vars(self.span))


def convert_task(
    task: ConversionTask,
    progress: Progress = ignore_progress,
    *,
    config: ConvertConfig = ConvertConfig(),
    overwrite: bool = False,
) -> Conversion:
    """Convert a video or a recording, as `convert_video` or `convert_recording`."""
    if task.is_video:
        config = task.settings_of(config)
        return convert_video(task.source, task.target, config, overwrite=overwrite, progress=progress)

    if task.span is not None:
        raise FormatError(f"{task}: parts of recordings are not converted (found a recording, expected a video)")
    return convert_recording(task.source, task.target, config, overwrite=overwrite, progress=progress)


def convert_many(
    tasks: Sequence[ConversionTask],
    config: ConvertConfig = ConvertConfig(),
    *,
    jobs: int | str = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Iterator[Outcome[ConversionTask, Conversion]]:
    """Convert videos and recordings in parallel, and yield the outcomes in order of completion.

    Existing targets are skipped, unless `overwrite` is set.

    Args:
        tasks: Conversions, as returned by `plan_conversions`.
        config: Settings for videos and recordings.
        jobs: Number of worker processes, or a Ray cluster.
        overwrite: Whether to convert all, and replace existing targets.
        progress: Called with the number of files done and the total.

    Yields:
        Outcome of each task. Files that cannot be converted have an error that names the file; the other conversions
        continue.

    Raises:
        WorkerError: If a worker was killed; finished files stay.

    Example:
        >>> tasks = plan_conversions([Path("videos")], Path("events"))  # doctest: +SKIP
        >>> events = sum(done.result().events for done in convert_many(tasks, jobs=2))  # doctest: +SKIP
    """
    waiting = tasks if overwrite else find_unconverted(tasks)
    done = len(tasks) - len(waiting)
    if done:
        log.info("already converted: %d of %d; use overwrite to convert again", done, len(tasks))
    return map_items(_ConversionWorker(config, overwrite), waiting, jobs=jobs, progress=progress)


def find_unconverted(tasks: Sequence[ConversionTask]) -> list[ConversionTask]:
    """Return the tasks without an existing target."""
    return [task for task in tasks if not Path(task.target).exists()]


@dataclass(frozen=True)
class _ConversionWorker:
    """Convert a task; picklable."""

    config: ConvertConfig
    overwrite: bool

    def __call__(self, task: ConversionTask, progress: Progress) -> Conversion:
        # Another process may have converted the file meanwhile. If both convert it at the same time, the later one
        # replaces the file by an equal one.
        if Path(task.target).exists() and not self.overwrite:
            stored = open_recording(task.target)
            totals = count_events(stored.chunks())
            return Conversion(task.target, stored.sensor, 0, totals.events, totals.duration_us)

        return convert_task(task, progress, config=self.config, overwrite=True)


def plan_conversions(
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    suffix: str = DEFAULT_SUFFIX,
    *,
    shard: Shard = ALL,
    images: Images | None = None,
) -> list[ConversionTask]:
    """Plan the conversion of videos and recordings to event files.

    Args:
        sources: Videos, image folders, recordings, or folders that contain them, searched recursively. Files found in
            folders are skipped if they already have `suffix`.
        out: Event file for a single source; otherwise a folder that mirrors the layout of source folders.
            Sources in one folder that differ only in their suffix keep it: `a.mp4.h5`.
        suffix: Suffix of event files in the output folder.
        shard: Selection of the sources to convert, by their paths in the source folders.
        images: Use of images in a folder that also contains videos or recordings: `frames` (they are one film) or
            `skip`; None: an error.

    Raises:
        FileError: If a folder contains no videos or recordings, or images beside them, the output is not a folder, or
            two sources have the same target.

    Example:
        >>> [task] = plan_conversions("clip.mp4", "events.h5")
        >>> task.source.name, task.target.name
        ('clip.mp4', 'events.h5')
    """
    sources = as_paths(sources)
    out = Path(out)
    suffix = f".{suffix.lower().removeprefix('.')}"
    if not suffix.endswith(written_suffixes()):
        expected = ", ".join(written_suffixes())
        raise FileError(f"suffix = {suffix}: events cannot be written in this format (expected {expected})")

    def is_skipped(path: Path) -> bool:
        return path.is_file() and path.name.lower().endswith(suffix)

    named_sources = list(find_sources(sources, is_skipped, images))
    if [path for path, _ in named_sources] == sources and len(sources) == 1 and out.suffix:
        return shard.select([ConversionTask(sources[0], out)], lambda task: Path(task.source.name))
    if not named_sources:
        raise FileError(
            f"{sources[0]}: its recordings are already {suffix}; use suffix=SUFFIX to select another format"
        )

    # A folder or several sources need an output folder, which may not exist yet.
    if (out.exists() and not out.is_dir()) or out.name.lower().endswith(written_suffixes()):
        raise FileError(f"{out}: wrong output (found a file, expected a folder for several sources)")

    # Names that differ only in their suffix, such as a.mp4 and a.avi, keep it: a.mp4.h5 and a.avi.h5.
    names = Counter(name.with_suffix(suffix) for _, name in named_sources)
    plan: dict[Path, ConversionTask] = {}
    for path, name in named_sources:
        clashes = names[name.with_suffix(suffix)] > 1
        target = out / (name.with_name(name.name + suffix) if clashes else name.with_suffix(suffix))
        if target in plan:
            raise FileError(f"{target}: target of two sources (found {plan[target]} and {path}, expected one)")
        plan[target] = ConversionTask(path, target, name)

    return shard.select([*plan.values()], lambda task: task.name or task.source)


def events_from_video(
    source: str | Path | int | ArrayLike | Iterable[Frame],
    config: FilmConfig = FilmConfig(),
) -> Events:
    """Convert a video to events in memory, with the same result as `convert_video`.

    Args:
        source: Any of

            - a video file or an image folder;
            - an array or list of images, greyscale [T, H, W] or RGB [T, H, W, 3]; needs `config.fps`;
            - the number of a camera; needs `config.stop_s`;
            - an iterable of `Frame`, with their own times and transfer curve.
        config: Settings of the conversion.

    Raises:
        VideoError: If the video cannot be read, is truncated, has fewer than two frames, or its frames are
            inconsistent; or if `source` are frames and settings of videos are given.

    Example:
        >>> import numpy as np
        >>> array = np.random.default_rng(0).integers(0, 256, (5, 7, 12), np.uint8)
        >>> events = events_from_video(array, FilmConfig(fps=30, pos_thres=0.3))
        >>> events.sensor
        SensorSize(width=12, height=7)
    """
    from ..simulator import simulate

    if isinstance(source, str | Path | int) or is_images(source):
        frames = prefetch(open_for_sensor(source, config).frames(), FRAMES_AHEAD)
        # Arrays have no name to draw the noise from.
        if isinstance(source, str | Path | int):
            config = config.for_recording(_name_of(source))
    elif not isinstance(source, Iterable):
        raise VideoError(f"wrong type of source (found {brief(source)}, expected a video, images or frames)")
    elif given := [name for name in VideoSettings.model_fields if name in config.given]:
        raise VideoError(f"{', '.join(given)}: only for videos (found frames, with their own times and size)")
    else:
        frames = iter(cast(Iterable[Frame], source))

    return concatenate(simulate(frames, config, upsample=config.upsample))


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
    progress: Progress = ignore_progress,
) -> tuple[Conversion, ...]:
    """Convert videos to the events of a simulated event camera, or recordings to another format.

    The same call converts what is missing after an interruption.

    Args:
        sources: Videos, GIFs, image folders, recordings, folders of these, or a camera number: 0, 1, ...
        out: Event file, or a folder for several sources.
        config: Settings of the pixel model, the video and the file, and metadata that a recording lacks.
        preset: Sensor preset (listed by dvspipe configs), or a YAML file; given settings take precedence.
        suffix: Format (file suffix) in an output folder.
        share: Convert only share I/N of the sources, or auto: the share of the task in a SLURM array. Default: all.
        jobs: Number of worker processes, or ray, or ray://HOST:PORT for a Ray cluster.
        overwrite: Replace existing files; otherwise, the file of a single source is an error, and others are skipped.
        progress: Called with the amount done and the total: frames or events of a single source, or files.

    Returns:
        The conversions done now.

    Raises:
        DvspipeError: As in `convert_video` and `convert_recording`, if a single source cannot be converted.
        PartialError: If some of several sources could not be converted, after all others.

    Example:
        >>> lower = ConvertConfig(pos_thres=0.15)
        >>> convert("clip.mp4", "events.h5", lower, preset="noisy")  # doctest: +SKIP
        >>> len(convert(["videos"], "events", jobs=2))  # doctest: +SKIP
        120
    """
    config = config.with_preset(preset)
    tasks = plan_conversions(sources, out, suffix, shard=Shard.parse(share), images=config.images)
    _refuse_unused(tasks, config.model_fields_set)
    if config.timestamps and len(tasks) > 1:
        raise FileError(f"{config.timestamps}: timestamps are for a single video (found {len(tasks)} sources)")
    if len(tasks) == 1 and [tasks[0].source] == as_paths(sources):
        return (convert_task(tasks[0], progress, config=config, overwrite=overwrite),)

    outcomes = convert_many(tasks, config, jobs=jobs, overwrite=overwrite, progress=progress)
    return collect(outcomes, len(tasks), "sources could not be converted")


def _refuse_unused(tasks: Sequence[ConversionTask], given: Set[str]) -> None:
    """Refuse settings that apply only to videos, or only to recordings, if there are none."""
    for names, is_for_videos, kind in ((FOR_VIDEOS, True, "videos"), (FOR_RECORDINGS, False, "recordings")):
        unused = sorted(names & given)
        if unused and tasks and not any(task.is_video is is_for_videos for task in tasks):
            raise ConfigError(f"{tasks[0].source}: {', '.join(unused)}: only for {kind}")
