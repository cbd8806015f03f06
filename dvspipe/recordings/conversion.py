"""Convert videos and recordings to event files.

From the outside to the inside: `plan_conversions` finds the sources and gives each a target, a `ConversionTask`;
`convert_many` runs the tasks in parallel; `convert_task` chooses `convert_video` (the simulator) or `convert_recording`
(another format) by the kind of the source. `events_from_video` is the conversion of a video in memory.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.config import as_settings
from ..base.errors import (
    CorruptionError,
    EventError,
    FileError,
    FormatError,
    TruncatedVideoError,
    VideoError,
    brief,
    count_noun,
)
from ..base.files import is_internal
from ..base.texts import show_name
from ..events import LATEST_US, Events, SensorSize, concatenate
from ..formats import (
    FORMATS,
    WriteOptions,
    Writer,
    create_writer,
    discard_saved,
    find_encoder,
    has_plugin,
    info,
    is_recording_folder,
    is_unrelated_text,
    open_recording,
    recognise,
    written_suffixes,
)
from ..formats.writing import write_parts
from ..parallel import ALL, Engine, Outcome, Processes, Progress, Shard, map_items, prefetch
from ..simulator import as_settings_on_preset
from ..video.config import VideoSettings
from ..video.files import is_video_content
from ..video.frames import Frame
from ..video.names import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    camera_of,
    check_address,
    is_images,
    is_video_name,
)
from ..video.opening import open_video
from ..video.video import Video
from .config import (
    ConvertConfig,
    ConvertKeywords,
    RecordingConfig,
    RecordingKeywords,
)

if TYPE_CHECKING:
    from ..simulator import SimulatorState

FRAMES_AHEAD = 8  # decoded in a thread
SAVE_EVERY_S = 10.0
SIMULATOR_PREFIX = "simulator."  # prefix of the names of the simulator's arrays in a saved state

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
        lost: Description of the data lost from a corrupted recording; None if complete.
    """

    path: Path
    sensor: SensorSize
    frames: int
    events: int
    duration_us: int
    lost: str | None = None

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
            "lost": self.lost,
        }


def convert_video(
    source: str | Path | int,
    path: str | Path,
    config: ConvertConfig | Mapping[str, object] | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    threads: int = 1,
    origin: str = "",
    **named: Unpack[ConvertKeywords],
) -> Conversion:
    """Convert a video to an event file in the format of its suffix.

    Memory does not grow with the length of the video; threads decode frames and compress events. If the process is
    interrupted or killed, or the disk is full, the next call for the same HDF5 file resumes from the last saved state
    in the folder `path`.part, and writes the same events as without the interruption. Other formats start from the
    beginning.

    Args:
        source: Video file, image folder, or the number of a camera; Ctrl-C stops the camera.
        path: Output file. Only HDF5 stores settings.
        config: Settings of the conversion; also a mapping of keys and values.
        overwrite: Whether to replace an existing file; a saved state is then ignored.
        progress: Called with the number of frames done and the total after each frame, and once before the first frame
            when resuming.
        threads: Number of simulator threads, in addition to threads for decoding and compression. The events do not
            depend on it.
        origin: Additional description of the source, stored in HDF5 after the name of the video.
        named: Settings by name, such as `fps=30`; they take precedence over `config`.

    Raises:
        VideoError: If the video cannot be read, has fewer than two frames, or its frames are inconsistent.
        TruncatedVideoError: If the video ends early. The file is complete, with the events of all readable frames;
            HDF5 has the attribute `truncated_at_us`.
        FileError: If the file already exists or cannot be written.
        EventError: If the format cannot store the events.
    """
    config = as_settings(ConvertConfig, config, named, convert_video)
    path = Path(path)
    video = open_for_sensor(source, config)
    is_camera = video.ended is not None  # its recordings have no name but the output's
    config = config.for_recording(path.name if is_camera else _name_of(source))
    config = config.model_copy(update={"video": video.settings})

    log.info("%s: %s, %d frames", video.name, video.size, video.frame_count)
    options = WriteOptions(
        source=Path(video.name).name + (f" ({origin})" if origin else ""),
        settings=config.model_dump(),
        compression=config.compression,
        overwrite=overwrite,
        version_of_source=_fingerprint(Path(str(source)), video),
    )

    # The error of a video that ends early is raised after this block: the writer completes its file only if the block
    # ends without an error.
    truncated: TruncatedVideoError | None = None
    with create_writer(path, video.size, options) as writer, video.ended_by_interrupt():
        count, state = _restore(video, writer.saved)
        try:
            _convert(video, config, writer, count, state, progress, threads)
        except TruncatedVideoError as error:
            truncated = error
            writer.note("truncated_at_us", error.at_us)
        except VideoError as error:
            raise error.named(video.name) from error
        if count.frames < 2:
            span = _describe_span(config.video)
            raise VideoError(f"{video.name}: too few frames{span} (found {count.frames}, expected at least 2)")
    if truncated:
        message = f"{truncated}; {path} contains the events before this time"
        raise TruncatedVideoError(message, at_us=truncated.at_us) from truncated

    duration_us = count.last_us - count.first_us
    return Conversion(path, video.size, count.frames, writer.count, duration_us)


def open_for_sensor(source: str | Path | int | ArrayLike, config: ConvertConfig) -> Video:
    """Open a video at the size of the simulated sensor; see `SimulatorConfig.sensor_size`."""
    sensor_size = config.simulator.sensor_size
    if sensor_size == "keep":
        return open_video(source, config.video)

    complete = open_video(source, config.video.model_copy(update={"resize": None}))
    video = complete.shown_on(SensorSize.parse(config.video.resize or sensor_size))
    if video.settings.crop != config.video.crop:
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


def _restore(video: Video, saved: dict[str, NDArray[Any]] | None) -> tuple[_FrameCounter, SimulatorState | None]:
    """Return the initial count and simulator state, from the arrays saved by `_save` if there are any."""
    if saved is None:
        return _FrameCounter(), None

    frames, first_us, last_us = saved.pop("count").tolist()
    count = _FrameCounter(frames, first_us, last_us)
    total = max(count.frames, video.estimate_selected())
    log.warning("%s: resuming at frame %d of %d", video.name, count.frames, total)

    from ..simulator import SimulatorState

    arrays = {name.removeprefix(SIMULATOR_PREFIX): array for name, array in saved.items()}
    return count, SimulatorState.from_arrays(arrays)


def _save(writer: Writer, count: _FrameCounter, state: SimulatorState) -> None:
    simulator = {SIMULATOR_PREFIX + name: array for name, array in state.arrays().items()}
    writer.save({"count": np.array([count.frames, count.first_us, count.last_us]), **simulator})


def _convert(
    video: Video,
    config: ConvertConfig,
    writer: Writer,
    count: _FrameCounter,
    state: SimulatorState | None,
    progress: Progress | None,
    threads: int,
) -> None:
    """Simulate and write the remaining frames of a video, and count them."""
    from ..simulator import EventSimulator, batches

    simulator = EventSimulator(config.simulator, upsample=config.upsample, threads=threads)
    decoded = prefetch(video.frames(count.frames), FRAMES_AHEAD)
    frames = count.count(decoded, video.estimate_selected(), progress)

    save_s = time.monotonic() + SAVE_EVERY_S
    for batch in batches(frames, threads):
        stepped, state = simulator.steps(batch, state)
        for events, _noise in stepped:
            writer.append(events)
        del stepped, events, _noise  # free up to 100 MB per 720p frame before the next step

        # Count and state must belong to the same frame, or a resumed conversion would skip frames. A camera cannot
        # be resumed.
        if time.monotonic() >= save_s and batch[-1].t_us == count.last_us and video.ended is None:
            _save(writer, count, state)
            save_s = time.monotonic() + SAVE_EVERY_S


def _fingerprint(source: Path, video: Video) -> str | None:
    """Return a digest of names, sizes, dates and frame times of a video; None for a camera."""
    if video.ended is not None:
        return None

    files = sorted(source.iterdir()) if source.is_dir() else [source]
    status = [(file.name, os.stat(file)) for file in files]
    facts = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in status]
    return hashlib.sha256(repr((facts, video.times_us)).encode()).hexdigest()


def convert_recording(
    source: str | Path,
    path: str | Path,
    config: RecordingConfig | Mapping[str, object] | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    format_name: str | None = None,
    **named: Unpack[RecordingKeywords],
) -> Conversion:
    """Convert a recording to an event file in the format of its suffix, in bounded memory.

    `progress` is called with the number of events done and the total (0 if unknown); `format_name` is the format of the
    recording, if already known from `recognise`. Other arguments as in `convert_video`.
    """
    source = Path(source)
    path = Path(path)
    config = as_settings(RecordingConfig, config, named, convert_recording)
    check_address(source)

    recording = open_recording(source, sensor=config.sensor, hints=config.hints, format_name=format_name)
    extent = recording.extent()
    total = extent.events if extent else 0
    corruptions: list[CorruptionError] = []
    events = 0
    first_us = 0
    last_us = 0

    def read() -> Iterator[Events]:
        if config.sort:
            yield recording.sorted()
        else:
            yield from recording.chunks(on_corruption=corruptions.append if config.salvage else None)

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
        compression=config.compression,
        overwrite=overwrite,
    )

    parts = counted(read())
    try:
        write_parts(path, parts, recording.sensor, options)
    except CorruptionError as error:
        message = f"{error}; use {advise_repair(error)}"
        raise CorruptionError(message, lost=error.lost) from error.__cause__
    lost = f"{corruptions[0]}; lost: {corruptions[0].lost}" if corruptions else None
    return Conversion(path, recording.sensor, 0, events, last_us - first_us, lost)


def advise_repair(error: CorruptionError) -> str:
    """Return the settings that allow converting a corrupted or unsorted recording."""
    salvage = "salvage to keep the events before this position"
    cause = error.__cause__
    is_unsorted = isinstance(cause, EventError) and cause.is_unsorted
    return f"sort to sort the events by time, or {salvage}" if is_unsorted else salvage


class SourceKind(NamedTuple):
    """Kind of source: a video (also image folder or camera), or a recording and the name of its format, if known."""

    is_video: bool
    format_name: str | None = None


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

    def settings_of(self, video: ConvertConfig) -> ConvertConfig:
        """Return the settings for this video: its name decides its noise, and its span the part that is read."""
        if self.name is not None:
            video = video.for_recording(self.name.as_posix())
        return video if self.span is None else video.for_span(self.span.start_s, self.span.stop_s)

    @property
    def camera(self) -> int | None:
        """Camera number; None if the source is not a camera."""
        return camera_of(self.source)


def convert_task(
    task: ConversionTask,
    progress: Progress | None = None,
    *,
    video: ConvertConfig | Mapping[str, object] | None = None,
    recording: RecordingConfig | Mapping[str, object] | None = None,
    overwrite: bool = False,
    threads: int = 1,
) -> Conversion:
    """Convert a video or a recording with the settings of its kind, as in `convert_video` and `convert_recording`."""
    source = Path(task.source)
    target = Path(task.target)
    if task.kind.is_video:
        video = task.settings_of(as_settings(ConvertConfig, video))
        return convert_video(source, target, video, overwrite=overwrite, progress=progress, threads=threads)

    if task.span is not None:
        raise FormatError(f"{task}: parts of recordings are not converted (found a recording, expected a video)")

    # An empty file of unknown format is opened as a recording, so the error says that it is empty.
    format_name = task.kind.format_name
    if format_name is None and source.is_file() and source.stat().st_size:
        raise FormatError(
            f"{source}: neither a video that OpenCV can read (expected .mp4, .webm, .gif, ...) nor a recording of a "
            "known format (expected .h5, .raw, .aedat4, ...)"
        )
    return convert_recording(source, target, recording, overwrite=overwrite, progress=progress, format_name=format_name)


def convert_many(
    tasks: Sequence[ConversionTask],
    *,
    video: ConvertConfig | Mapping[str, object] | None = None,
    recording: RecordingConfig | Mapping[str, object] | None = None,
    preset: str | Path | None = None,
    engine: Engine = Processes(),
    overwrite: bool = False,
    waiting: Sequence[ConversionTask] | None = None,
    progress: Progress | None = None,
) -> Iterator[Outcome[ConversionTask, Conversion]]:
    """Convert videos and recordings in parallel, and yield the outcomes in order of completion.

    Existing targets are skipped, unless `overwrite` is set.

    Args:
        tasks: Conversions, as returned by `plan_conversions`.
        video: Settings for videos; also a mapping.
        recording: Settings for recordings; also a mapping.
        preset: Name of a sensor preset for videos, or a YAML file; given settings take precedence.
        engine: Engine that runs the conversions; default: processes.
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
        >>> events = sum(done.result().events for done in convert_many(tasks, engine=Processes(2)))  # doctest: +SKIP
    """
    if waiting is None and not overwrite:
        waiting = find_unconverted(tasks)
    if preset is not None:
        video = as_settings_on_preset(ConvertConfig, preset, video, {}, convert_many)

    work = _ConversionWorker(as_settings(ConvertConfig, video), as_settings(RecordingConfig, recording), overwrite)
    return map_items(work, tasks if waiting is None else waiting, engine=engine, progress=progress)


def find_unconverted(tasks: Sequence[ConversionTask]) -> list[ConversionTask]:
    """Return the tasks without an existing target; remove saved states of the others."""
    waiting = []
    for task in tasks:
        if Path(task.target).exists():
            discard_saved(Path(task.target))
        else:
            waiting.append(task)

    return waiting


@dataclass(frozen=True)
class _ConversionWorker:
    """Convert a task; picklable."""

    video: ConvertConfig
    recording: RecordingConfig
    overwrite: bool

    def __call__(self, task: ConversionTask, progress: Progress) -> Conversion:
        # A worker that was killed before it replied may have written the target.
        if Path(task.target).exists() and not self.overwrite:
            stored = info(task.target)
            sensor = SensorSize(width=stored.width, height=stored.height)
            return Conversion(task.target, sensor, 0, stored.events, stored.duration_us)

        return convert_task(task, progress, video=self.video, recording=self.recording, overwrite=self.overwrite)


def plan_conversions(
    sources: str | Path | Sequence[str | Path], out: str | Path, suffix: str = ".h5", *, shard: Shard = ALL
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


def as_paths(sources: str | Path | Sequence[str | Path]) -> list[Path]:
    """Convert one source or several sources to a list of paths."""
    return [Path(source) for source in ([sources] if isinstance(sources, str | Path) else sources)]


def find_sources(
    sources: Sequence[Path], is_skipped: Callable[[Path], bool] = lambda _: False
) -> Iterator[tuple[Path, Path]]:
    """Yield videos and recordings: their path, and their name or their path relative to the searched folder.

    Text files without events, such as notes.txt, are skipped with a warning. A folder without videos or recordings is
    yielded itself if it is one of several sources: opening it then raises an error for this source only.
    """
    for source in sources:
        if is_single_source(source):
            yield source, Path(source.name)
            continue

        members = [
            path
            for path in sorted(source.rglob("*"))
            if not is_internal(path.relative_to(source)) and not is_skipped(path) and _is_convertible(path)
        ]

        if not members and len(sources) == 1:
            skipped = next((path.suffix for path in source.rglob("*") if path.is_file() and is_skipped(path)), None)
            if skipped:
                raise FileError(f"{source}: its recordings are already {skipped}; use suffix=.aedat4 to convert")
            raise FileError(f"{source}: contains no videos or recordings")

        # One of several sources: opening it raises an error for this source only.
        if not members:
            yield source, Path(source.resolve().name)
        for path in members:
            yield path, path.relative_to(source)


def find_recordings(sources: Sequence[Path], *, shard: Shard = ALL) -> list[Path]:
    """Find recordings, also in folders, but no videos there; `shard` selects some by their paths in the folders."""
    # A source that was named is kept, whatever it is: opening it reports what is wrong.
    named = set(sources)
    recordings = [(path, name) for path, name in find_sources(sources) if path in named or not _seems_video(path)]
    if not recordings:
        raise FileError(f"{sources[0]}: contains no recordings (found videos)")

    return [path for path, name in recordings if len(recordings) == 1 or name in shard]


def _seems_video(path: Path) -> bool:
    """Return whether a source is a video by its suffix, or an image folder."""
    return is_video_name(path) or (path.is_dir() and not is_recording_folder(path))


def identify(source: Path) -> SourceKind:
    """Detect the kind of a source; an unknown file is a video if its suffix says so, or if OpenCV can open it."""
    if not is_recording_folder(source) and not source.is_file():
        return SourceKind(source.is_dir() or camera_of(source) is not None or source.suffix.lower() in VIDEO_SUFFIXES)

    if (known := recognise(source)) is not None:
        return SourceKind(is_video=False, format_name=known.name)
    return SourceKind(is_video_name(source) or is_video_content(source))


def is_video(source: Path) -> bool:
    """Return whether a source is a video, an image folder or a camera; see `identify`."""
    return identify(source).is_video


def is_single_source(source: Path) -> bool:
    """Return whether a source is a single video or recording, not a folder to search."""
    return not source.is_dir() or _is_frames(source) or is_recording_folder(source)


def _is_frames(folder: Path) -> bool:
    """Return whether a folder is one video: it contains more images than videos and recordings."""
    suffixes = [path.suffix.lower() for path in folder.iterdir()]
    others = sum(suffix in VIDEO_SUFFIXES or is_recording_suffix(suffix) for suffix in suffixes)
    return sum(suffix in IMAGE_SUFFIXES for suffix in suffixes) > others


def _is_convertible(path: Path) -> bool:
    if is_video_name(path):
        return True
    if path.is_dir():
        return is_single_source(path)
    if not path.is_file() or is_recording_folder(path.parent):
        return False

    try:
        if is_unrelated_text(path):
            log.warning("%s: skipped, a text file without events", path)
            return False
        return recognise(path) is not None or _is_empty_recording(path)
    except FileError:  # opening raises it again, as an error of this file only
        return True


def is_recording_suffix(suffix: str) -> bool:
    """Return whether files with a suffix are recordings. Text is not included: most text files are not recordings."""
    formats = (known for known in FORMATS.values() if known.name != "text")
    return any(suffix.lower() in known.suffixes for known in formats) or has_plugin(suffix)


def _is_empty_recording(path: Path) -> bool:
    """Return whether a file is empty and has the suffix of a recording; it is kept so opening reports the error."""
    return is_recording_suffix(path.suffix) and not path.stat().st_size


def events_from_video(
    source: str | Path | int | ArrayLike | Iterable[Frame],
    config: ConvertConfig | Mapping[str, object] | None = None,
    *,
    preset: str | Path | None = None,
    **named: Unpack[ConvertKeywords],
) -> Events:
    """Convert a video to events in memory, with the same result as `convert_video`.

    Args:
        source: Any of

            - a video file or an image folder;
            - an array or list of images, greyscale [T, H, W] or RGB [T, H, W, 3]; needs `config.video.fps`;
            - the number of a camera; Ctrl-C or `config.video.stop_s` stops it;
            - an iterable of `Frame`, with their own times and transfer curve.
        config: Settings of the conversion; also a mapping of keys and values.
        preset: Name of a sensor preset, or a YAML file; given settings take precedence.
        named: Settings by name, such as `fps=30`; they take precedence over `config`.

    Raises:
        VideoError: If the video cannot be read, has fewer than two frames, or its frames are inconsistent; or if
            `source` are frames and `config.video` is set.
        TruncatedVideoError: If the video ends early; `simulate` yields the events before this time.

    Example:
        >>> array = np.random.default_rng(0).integers(0, 256, (5, 7, 12), np.uint8)
        >>> events = events_from_video(array, fps=30, pos_thres=0.3)
        >>> events.sensor
        SensorSize(width=12, height=7)
    """
    config = as_settings_on_preset(ConvertConfig, preset, config, named, events_from_video)

    if isinstance(source, str | Path | int) or is_images(source):
        video = open_for_sensor(source, config)
        # Arrays have no name to draw the noise from.
        if isinstance(source, str | Path | int):
            config = config.for_recording(_name_of(source))
        with video.ended_by_interrupt():
            return _all_events(prefetch(video.frames(), FRAMES_AHEAD), config)

    if not isinstance(source, Iterable):
        raise VideoError(f"wrong type of source (found {brief(source)}, expected a video, images or frames)")
    if config.video != VideoSettings():
        raise VideoError("config.video applies only to videos (found frames, with their own times and size)")

    return _all_events(cast(Iterable[Frame], source), config)


def _all_events(frames: Iterable[Frame], config: ConvertConfig) -> Events:
    from ..simulator import simulate

    chunks = list(simulate(frames, config.simulator, upsample=config.upsample))
    return concatenate(chunks, chunks[0].sensor)
