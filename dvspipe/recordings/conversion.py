"""Conversion of videos and recordings to event files."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from ..config import Settings, as_settings
from ..errors import CorruptionError, EventError, FileError, FormatError, Remedy, TruncatedVideoError, VideoError
from ..events import Events, SensorSize, concatenate
from ..files import claim_output, is_internal
from ..formats import (
    FORMATS,
    NO_HINTS,
    STANDARD,
    Compression,
    EventWriter,
    Hints,
    WriteOptions,
    Writer,
    create_writer,
    describe,
    discard_saved,
    is_ros2_folder,
    is_unrelated_text,
    open_recording,
    recognise,
    write,
    written_suffixes,
)
from ..parallel import ALL, Engine, Outcome, Processes, Progress, Shard, map_items, prefetch
from ..results import Manifest, ManifestRow, name_input
from ..simulator import EventSimulator, SimulatorConfig, SimulatorState, batches, simulate
from ..video.config import VideoSettings
from ..video.files import is_video_content
from ..video.frames import Frame
from ..video.names import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    camera_of,
    check_address,
    is_image_folder,
    is_images,
    is_video_name,
)
from ..video.opening import open_video
from ..video.video import Video

FRAMES_AHEAD = 8
SAVE_EVERY_S = 10.0
SIMULATOR_PREFIX = "simulator."
RECORDING_SUFFIXES = frozenset(
    suffix for known in FORMATS.values() if known.name != "text" for suffix in known.suffixes
)  # without text, which is often something else

log = logging.getLogger(__name__)


Upsampling = Literal["off", "auto"] | Annotated[int, Field(ge=2, le=256)]


class ConvertConfig(Settings):
    """Settings of a conversion from video to events; stored in the event file."""

    video: VideoSettings = VideoSettings()
    simulator: SimulatorConfig = SimulatorConfig()
    upsample: Upsampling = "off"
    """Motion-compensated steps per pair of frames: `off`, `auto` (depending on the motion) or a number."""
    label_noise: bool = False
    """Whether to write a column /events/noise that is 1 for noise events and 0 for signal events."""
    compression: Compression = "gzip"
    """Compression of the HDF5 file: gzip, which all programs read, or blosc, which is faster and needs hdf5plugin."""


@dataclass(frozen=True)
class Conversion:
    """The result of a conversion.

    Args:
        path: The event file.
        sensor: Its sensor.
        frames: Number of frames read; 0 for a recording.
        events: Number of events written.
        duration_us: Time from the first frame or event to the last in microseconds.
        lost: Description of what is missing from a corrupted recording; None if complete.
    """

    path: Path
    sensor: SensorSize
    frames: int
    events: int
    duration_us: int
    lost: str | None = None

    def to_record(self) -> dict[str, Any]:
        """Return the result for JSON, with the names that `describe` has."""
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
) -> Conversion:
    """Write the events of a video to a file whose format follows from its suffix; decode and compress in threads.

    Memory does not grow with the length of the video. If the process is interrupted or killed, or the disk is full, the
    next call for the same HDF5 file resumes from the last saved state, in the folder `path`.part, and writes the same
    events as without the interruption. Other formats start from the beginning.

    Args:
        source: A video file or image folder, or the number of a camera, which Ctrl-C ends.
        path: The file to write; `-`: standard output, as CSV. Only HDF5 keeps the settings and which events are noise.
        config: Settings of the conversion, also as plain keys and values.
        overwrite: Whether to replace an existing file; a saved state is then not used.
        progress: Called after each frame with the numbers of frames done and in all, and once before the first frame
            when resuming.
        threads: Number of threads that simulate, in addition to those that decode and compress. The events do not
            depend on it.
        origin: What the video is, which an HDF5 file says after the name of the video.

    Raises:
        VideoError: The video cannot be read, has fewer than two frames, or they do not fit together.
        TruncatedVideoError: The video ends early. The events of its readable frames are in the file, which is complete;
            HDF5 has the attribute `truncated_at_us`.
        FileError: The file already exists or cannot be written, or its format cannot hold which events are noise.
        EventError: The format cannot hold the events.
    """
    config = as_settings(ConvertConfig, config)
    video, path = open_video(source, config.video), Path(path)
    claim_output(path, overwrite=overwrite)
    config = config.model_copy(update={"video": video.settings})
    log.info("%s: %s, %d frames", video.name, video.size, video.frame_count)
    truncated: TruncatedVideoError | None = None
    with (
        _open_writer(path, video, config, _version(Path(str(source)), video), origin, overwrite=overwrite) as writer,
        video.ended_by_interrupt(),
    ):
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
        message = f"{truncated.message}; {path} has the events up to there"
        raise TruncatedVideoError(message, at_us=truncated.at_us) from truncated
    return Conversion(path, video.size, count.frames, writer.count, count.last_us - count.first_us)


def _open_writer(
    path: Path, video: Video, config: ConvertConfig, version_of_source: str | None, origin: str, *, overwrite: bool
) -> Writer:
    """Return the writer for the events of a video; that of HDF5 keeps how they were made, and can resume."""
    name, settings = Path(video.name).name + (f" ({origin})" if origin else ""), config.model_dump()
    if path.suffix.lower() in FORMATS["hdf5"].suffixes:
        return EventWriter(
            path,
            video.size,
            source=name,
            settings=settings,
            overwrite=overwrite,
            labelled=config.label_noise,
            version_of_source=version_of_source,
            compression=config.compression,
        )
    if config.label_noise:
        raise FileError(f"{path}: cannot hold which events are noise (found label_noise = True, expected a file .h5)")
    return create_writer(path, video.size, WriteOptions(name, settings, config.compression, overwrite))


def _describe_span(settings: VideoSettings) -> str:
    """Return the part of a video that is read, in words; empty if it is everything."""
    stop = "" if settings.stop_s is None else f" before {settings.stop_s:g} s"
    return f"{f' from {settings.start_s:g} s on' if settings.start_s else ''}{stop}"


@dataclass
class _Count:
    """Number of source frames so far, and the times of the first and the last."""

    frames: int = 0
    first_us: int = 0
    last_us: int = 0

    def count(self, frames: Iterable[Frame], total: int, progress: Progress | None) -> Iterator[Frame]:
        """Yield the frames and count them."""
        for frame in frames:
            self.first_us = self.first_us if self.frames else frame.t_us
            self.frames, self.last_us = self.frames + 1, frame.t_us
            yield frame
            if progress:
                progress(self.frames, max(self.frames, total))


def _restore(video: Video, saved: dict[str, NDArray[Any]] | None) -> tuple[_Count, SimulatorState | None]:
    """Return the count and state with which a conversion begins: those that `_save` saved, if there are any."""
    if saved is None:
        return _Count(), None
    count = _Count(*saved.pop("count").tolist())
    log.warning("%s: resuming at frame %d of %d", video.name, count.frames, max(count.frames, video.frame_count))
    return count, SimulatorState.from_arrays({name.removeprefix(SIMULATOR_PREFIX): a for name, a in saved.items()})


def _save(writer: Writer, count: _Count, state: SimulatorState) -> None:
    simulator = {SIMULATOR_PREFIX + name: array for name, array in state.arrays().items()}
    writer.save({"count": np.array([count.frames, count.first_us, count.last_us]), **simulator})


def _convert(
    video: Video,
    config: ConvertConfig,
    writer: Writer,
    count: _Count,
    state: SimulatorState | None,
    progress: Progress | None,
    threads: int,
) -> None:
    """Write the events of the frames that are not counted yet, and count them."""
    simulator = EventSimulator(config.simulator, upsample=config.upsample, threads=threads)
    frames = count.count(prefetch(video.frames(count.frames), FRAMES_AHEAD), video.frame_count, progress)
    save_s = time.monotonic() + SAVE_EVERY_S
    for batch in batches(frames, threads):
        stepped, state = simulator.steps(batch, state)
        for events, noise in stepped:
            writer.append(events, noise if config.label_noise else None)
        del stepped, events, noise  # frees up to 100 MB for a frame of 720p before the next step
        if time.monotonic() >= save_s and batch[-1].t_us == count.last_us and video.ended is None:
            _save(writer, count, state)
            save_s = time.monotonic() + SAVE_EVERY_S


def _version(source: Path, video: Video) -> str | None:
    """Return a text that changes with the content of a video; None for a camera, which cannot be read twice."""
    if video.ended is not None:
        return None
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    facts = [(file.name, os.stat(file).st_size, os.stat(file).st_mtime_ns) for file in files]
    return hashlib.sha256(repr((facts, video.times_us)).encode()).hexdigest()


@dataclass(frozen=True)
class RecordingConfig:
    """Settings of a conversion from one recording format to another.

    Args:
        sensor: The sensor, if the file does not contain it.
        hints: Other facts that the file does not contain.
        sort: Whether to sort events by time, which holds all of them in memory.
        salvage: Whether to write the events before a corruption; otherwise it is an error.
        compression: Compression of an HDF5 file, as in `ConvertConfig`.
    """

    sensor: SensorSize | None = None
    hints: Hints = NO_HINTS
    sort: bool = False
    salvage: bool = False
    compression: Compression = "gzip"


def convert_recording(
    source: str | Path,
    path: str | Path,
    config: RecordingConfig | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    format_name: str | None = None,
) -> Conversion:
    """Write the events of a recording to a file whose format follows from its suffix, in bounded memory.

    Args:
        source: A recording in any known format.
        path: The file to write.
        config: Settings of the conversion.
        overwrite: Whether to replace an existing file.
        progress: Called with the numbers of events done and in all (0 if unknown).
        format_name: The format of the recording, if it was recognised before.

    Raises:
        FileError: The recording cannot be read, or the file already exists or cannot be written.
        EventError: The target format cannot store the events.
    """
    source, path = Path(source), Path(path)
    config = config or RecordingConfig()
    if source.exists():  # otherwise opening it says so
        claim_output(path, overwrite=overwrite)
    check_address(source)
    recording = open_recording(source, sensor=config.sensor, hints=config.hints, format_name=format_name)
    extent = recording.extent()
    damage: list[CorruptionError] = []
    total = extent.events if extent else 0
    events = first_us = last_us = 0

    def counted(parts: Iterable[Events]) -> Iterator[Events]:
        nonlocal events, first_us, last_us
        for part in parts:
            if len(part):
                first_us = first_us if events else int(part.t[0])
                events, last_us = events + len(part), int(part.t[-1])
            yield part
            if progress:
                progress(events, max(events, total))

    on_damage = damage.append if config.salvage else None
    parts = [recording.sorted()] if config.sort else recording.chunks(on_corruption=on_damage)
    labels, kept = recording.noise, recording.attributes.get("settings")
    noise = None if labels is None else [labels.sorted()] if config.sort else labels.chunks()
    settings = kept if isinstance(kept, dict) else None
    try:
        write(
            path,
            counted(parts),
            recording.sensor,
            source=source.name,
            settings=settings,
            compression=config.compression,
            overwrite=overwrite,
            noise=noise,
        )
    except CorruptionError as error:
        raise error.with_remedies([*error.remedies, *_find_remedies(error)]) from error.__cause__
    lost = f"{damage[0]}; lost: {damage[0].lost}" if damage else None
    return Conversion(path, recording.sensor, 0, events, last_us - first_us, lost)


def _find_remedies(error: CorruptionError) -> list[Remedy]:
    """Return the settings of a conversion with which a corrupted or unsorted recording can be converted."""
    cause = error.__cause__
    sort = [Remedy("config.sort", True, "sort its events by time")]
    unsorted = sort if isinstance(cause, EventError) and cause.is_unsorted else []
    return [*unsorted, Remedy("config.salvage", True, "keep the events before this place")]


class SourceKind(NamedTuple):
    """Whether a source is a video, an image folder or a camera, and otherwise the format of the recording, if known."""

    is_video: bool
    format_name: str | None = None


@dataclass(frozen=True)
class ConversionTask:
    """A video or recording, and the event file to write.

    Args:
        source: The video or recording.
        target: The event file.
        out: The output folder, whose manifest says what became of the source; None: there is none.
    """

    source: Path
    target: Path
    out: Path | None = None

    def __str__(self) -> str:
        return str(self.source)

    @cached_property
    def kind(self) -> SourceKind:
        """What the source is; found once, and sent to other processes with the task."""
        return identify(Path(self.source))

    @property
    def camera(self) -> int | None:
        """The number of the camera, if the source is one."""
        return camera_of(self.source)


def convert_task(
    task: ConversionTask,
    progress: Progress | None = None,
    *,
    video: ConvertConfig | None = None,
    recording: RecordingConfig | None = None,
    overwrite: bool = False,
    threads: int = 1,
) -> Conversion:
    """Convert a video or a recording; arguments and errors are those of `convert_video` and `convert_recording`.

    Args:
        task: The source and its target.
        progress: Called with the numbers of frames, or of events, done and in all.
        video: Settings for a video.
        recording: Settings for a recording.
        overwrite: Whether to replace an existing target.
        threads: Number of threads that simulate a video.
    """
    source, target = Path(task.source), Path(task.target)
    if task.kind.is_video:
        return convert_video(source, target, video, overwrite=overwrite, progress=progress, threads=threads)
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
    video: ConvertConfig | None = None,
    recording: RecordingConfig | None = None,
    engine: Engine = Processes(),
    overwrite: bool = False,
    waiting: Sequence[ConversionTask] | None = None,
    progress: Progress | None = None,
) -> Iterator[Outcome[ConversionTask, Conversion]]:
    """Convert the videos and recordings whose target does not exist, and yield the outcome of each as it is done.

    Args:
        tasks: Conversions, as `plan_conversions` returns them.
        video: Settings for videos.
        recording: Settings for recordings.
        engine: Where they are converted.
        overwrite: Whether to convert all, and replace existing targets.
        waiting: The tasks without targets, which `find_unconverted` returned; None: it is called.
        progress: Called with the numbers of files done and in all.

    Yields:
        The outcome of each task. A file that cannot be converted completely has an error that names it, and does not
        stop the others.

    Raises:
        WorkerError: A worker was killed; finished files stay.

    Example:
        >>> tasks = plan_conversions([Path("videos")], Path("events"))  # doctest: +SKIP
        >>> events = sum(done.result().events for done in convert_many(tasks, engine=Processes(2)))  # doctest: +SKIP
    """
    if waiting is None and not overwrite:
        waiting = find_unconverted(tasks)
    work = _Convert(video, recording, overwrite)
    return map_items(work, tasks if waiting is None else waiting, engine=engine, progress=progress)


def find_unconverted(tasks: Sequence[ConversionTask]) -> list[ConversionTask]:
    """Return the tasks whose target does not exist; of the others, remove the saved state and complete the manifest."""
    waiting = [task for task in tasks if not Path(task.target).exists()]
    finished: dict[Path, list[Path]] = {}
    for task in tasks if len(waiting) < len(tasks) else ():
        if Path(task.target).exists():
            discard_saved(Path(task.target))
            if task.out is not None:
                finished.setdefault(task.out, []).append(task.source)
    for out, sources in finished.items():
        Manifest(out).finish(sources)
    return waiting


class Review(NamedTuple):
    """What is wrong with each incomplete target, and the tasks whose target was made with other settings."""

    incomplete: tuple[str, ...]
    outdated: tuple[ConversionTask, ...]


def review_finished(
    tasks: Sequence[ConversionTask], *, video: ConvertConfig | None = None, recording: RecordingConfig | None = None
) -> Review:
    """Return which conversions the manifest of their folder calls incomplete or made with other settings.

    Args:
        tasks: Conversions whose targets exist.
        video: Settings for videos.
        recording: Settings for recordings.
    """
    rows, settings = list(_rows_of(tasks)), _digest(video, recording)
    return Review(
        incomplete=tuple(row.error or "" for _, row in rows if row.status == "failed"),
        outdated=tuple(task for task, row in rows if row.status == "done" and row.settings != settings),
    )


def _rows_of(tasks: Sequence[ConversionTask]) -> Iterator[tuple[ConversionTask, ManifestRow]]:
    """Yield the tasks that a manifest knows, with their last rows."""
    manifests = {task.out: Manifest(task.out) for task in tasks if task.out is not None}
    rows = {out: manifest.read() for out, manifest in manifests.items() if manifest.folder.is_dir()}
    for task in tasks:
        if task.out is not None and (row := rows.get(task.out, {}).get(name_input(task.source))) is not None:
            yield task, row


@dataclass(frozen=True)
class _Convert:
    """Convert a task and note it in the manifest; picklable."""

    video: ConvertConfig | None
    recording: RecordingConfig | None
    overwrite: bool

    def __call__(self, task: ConversionTask, progress: Progress) -> Conversion:
        if Path(task.target).exists() and not self.overwrite:  # by a worker that was killed before it could say so
            if task.out is not None:
                Manifest(task.out).finish([task.source])
            found = describe(task.target)
            return Conversion(task.target, SensorSize(found.width, found.height), 0, found.events, found.duration_us)
        if task.out is None:
            return self._convert(task, progress)
        with Manifest(task.out).record(task.source, task.target, _digest(self.video, self.recording)) as entry:
            done = self._convert(task, progress)
            entry.events = done.events
            return done

    def _convert(self, task: ConversionTask, progress: Progress) -> Conversion:
        return convert_task(task, progress, video=self.video, recording=self.recording, overwrite=self.overwrite)


def _digest(video: ConvertConfig | None, recording: RecordingConfig | None) -> str:
    """Return a digest of settings, by which the manifest knows with which an output was made."""
    return hashlib.blake2b(repr((video, recording)).encode(), digest_size=8).hexdigest()


def plan_conversions(
    sources: str | Path | Sequence[str | Path], out: str | Path, suffix: str = ".h5", *, shard: Shard = ALL
) -> list[ConversionTask]:
    """Plan the conversion of videos and recordings to event files.

    Args:
        sources: Videos, image folders, recordings, or folders that contain some at any depth; files in such folders
            that already have the suffix are skipped.
        out: An event file, or `-`, for a single source, otherwise a folder, which mirrors the layout of source folders.
            Sources of one folder that differ only in their suffix keep it: `a.mp4.h5`.
        suffix: Suffix of the files in that folder.
        shard: Which of several sources to convert, by their paths in the source folders.

    Raises:
        FileError: A folder contains no videos or recordings, the output is no folder, or two sources have the same
            target.
    """
    sources, out, suffix = as_paths(sources), Path(out), f".{suffix.lower().removeprefix('.')}"
    if suffix not in written_suffixes():
        raise FileError(f"cannot write events as {suffix!r} (expected {', '.join(written_suffixes())})")
    if len(sources) == 1 and _is_one(sources[0]) and (out.suffix or out == STANDARD):
        return [ConversionTask(sources[0], out)]
    found = list(find_sources(sources, lambda path: path.is_file() and path.name.lower().endswith(suffix)))
    is_file_name = out == STANDARD or out.suffix.lower() in written_suffixes()
    if not out.is_dir() and (out.exists() or is_file_name):
        raise FileError(
            f"{out}: is {'the name of an event file' if is_file_name else 'a file'}, expected a folder for "
            f"{sources[0] if len(sources) == 1 else f'{len(sources)} sources'}"
        )
    names = Counter(name.with_suffix(suffix) for _, name in found)
    plan: dict[Path, Path] = {}
    for path, name in found:
        clashes = names[name.with_suffix(suffix)] > 1
        target = out / (name.with_name(name.name + suffix) if clashes else name.with_suffix(suffix))
        if target in plan:
            raise FileError(f"{target}: target of two sources (found {plan[target]} and {path}, expected one)")
        if name in shard:
            plan[target] = path
    return [ConversionTask(path, target, out) for target, path in plan.items()]


def as_paths(sources: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return sources as paths; a single one may be given without a list."""
    return [Path(source) for source in ([sources] if isinstance(sources, str | Path) else sources)]


def find_sources(
    sources: Sequence[Path], is_skipped: Callable[[Path], bool] = lambda _: False
) -> Iterator[tuple[Path, Path]]:
    """Yield videos and recordings, each with its name, or its path relative to the folder that was searched.

    Args:
        sources: Videos, image folders, recordings, or folders that contain some at any depth, where
            videos are found by their suffix.
        is_skipped: Whether to skip something that was found in a folder.

    A text without events, such as notes.txt, is left out with a warning. A folder without any, which is one of several
    sources, is yielded itself: opening it is an error of its own.

    Raises:
        FileError: The only source is a folder that contains no videos or recordings.
    """
    for source in sources:
        if _is_one(source):
            yield source, Path(source.name)
            continue
        found = [
            path
            for path in sorted(source.rglob("*"))
            if not is_internal(path.relative_to(source)) and not is_skipped(path) and _is_convertible(path)
        ]
        if not found and len(sources) == 1:
            raise FileError(f"{source}: contains no videos or recordings")
        if not found:
            yield source, Path(source.resolve().name)
        for path in found:
            yield path, path.relative_to(source)


def find_recordings(sources: Sequence[Path], *, shard: Shard = ALL) -> list[Path]:
    """Return recordings, and those of folders at any depth, without the videos there.

    Args:
        sources: Recordings, or folders that contain some.
        shard: Which of several to return, by their paths in the folders.

    Raises:
        FileError: The only source is a folder that contains no recordings.
    """
    given = set(sources)
    found = [
        (path, name)
        for path, name in find_sources(sources)
        if path in given or not (is_video_name(path) or (path.is_dir() and not is_ros2_folder(path)))
    ]
    if not found:
        raise FileError(f"{sources[0]}: contains no recordings (found videos)")
    return [path for path, name in found if len(found) == 1 or name in shard]


def identify(source: Path) -> SourceKind:
    """Return what a source is.

    A file that is no recording is a video if its suffix says so, or if OpenCV opens it.

    Raises:
        FileError: It cannot be read.
    """
    if not is_ros2_folder(source) and not source.is_file():
        return SourceKind(source.is_dir() or camera_of(source) is not None or source.suffix.lower() in VIDEO_SUFFIXES)
    if (known := recognise(source)) is not None:
        return SourceKind(is_video=False, format_name=known.name)
    return SourceKind(is_video_name(source) or is_video_content(source))


def is_video(source: Path) -> bool:
    """Return whether a source is a video, an image folder or a camera, as `identify` finds."""
    return identify(source).is_video


def _is_one(source: Path) -> bool:
    """Return whether a source is one video or recording, as opposed to a folder that may contain some."""
    return not source.is_dir() or _is_frames(source) or is_ros2_folder(source)


def _is_frames(folder: Path) -> bool:
    """Return whether a folder is one video: it has images, and more of them than videos and recordings."""
    if not is_image_folder(folder):
        return False
    suffixes = [path.suffix.lower() for path in folder.iterdir()]
    others = sum(suffix in VIDEO_SUFFIXES or suffix in RECORDING_SUFFIXES for suffix in suffixes)
    return sum(suffix in IMAGE_SUFFIXES for suffix in suffixes) > others


def _is_convertible(path: Path) -> bool:
    if is_video_name(path):
        return True
    if path.is_dir():
        return _is_one(path)
    if not path.is_file() or is_ros2_folder(path.parent):
        return False
    try:
        if is_unrelated_text(path):
            log.warning("%s: is a text without events, left out", path)
            return False
        return recognise(path) is not None or _is_empty_recording(path)
    except FileError:  # raised again by opening it, as the error of this file alone
        return True


def _is_empty_recording(path: Path) -> bool:
    """Return whether a file is empty and has the suffix of a recording; opening it raises an error that says so."""
    return path.suffix.lower() in RECORDING_SUFFIXES and not path.stat().st_size


def events_from_video(
    source: str | Path | int | ArrayLike | Iterable[Frame],
    config: ConvertConfig | Mapping[str, object] | None = None,
) -> Events:
    """Return the events of a video, all in memory: those that `convert_video` writes with the same settings.

    Args:
        source: A source of `open_video`: a video file, an image folder, an array [T, H, W] or list of grey images, or
            of colours [T, H, W, 3] in the order red, green, blue (which needs `config.video.fps`), or the number of a
            camera, which ends with Ctrl-C or at `config.video.stop_s`. Or frames, which have their own times and
            transfer curve.
        config: Settings of the conversion, also as plain keys and values.

    Raises:
        VideoError: The video cannot be read, has fewer than two frames, or they do not fit together; or frames were
            given together with settings for reading a video.
        TruncatedVideoError: The video ends early; `simulate` returns the events before that.

    Example:
        >>> array = np.random.default_rng(0).integers(0, 256, (5, 7, 12), np.uint8)
        >>> events = events_from_video(array, ConvertConfig(video=VideoSettings(fps=30)))
        >>> events.sensor
        SensorSize(width=12, height=7)
    """
    config = as_settings(ConvertConfig, config)
    if isinstance(source, str | Path | int) or is_images(source):
        video = open_video(source, config.video)
        with video.ended_by_interrupt():
            return _all_events(prefetch(video.frames(), FRAMES_AHEAD), config)
    if config.video != VideoSettings():
        raise VideoError("config.video applies to videos only (found frames, which have their own times and size)")
    return _all_events(cast(Iterable[Frame], source), config)


def _all_events(frames: Iterable[Frame], config: ConvertConfig) -> Events:
    chunks = list(simulate(frames, config.simulator, upsample=config.upsample))
    return concatenate(chunks, chunks[0].sensor)
