"""Videos to event files."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from .config import Settings
from .errors import FileError, VideoError
from .events import SensorSize
from .files import claim_output
from .formats import EventWriter
from .simulator import EventSimulator, SimulatorConfig, upsample
from .video import Frame, TruncatedVideoError, VideoSettings, is_image_folder, is_video_name, open_video

FRAMES_AHEAD = 16

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with the number of frames done and in all (0 where unknown)."""

Item = TypeVar("Item")


class ConvertConfig(Settings):
    """How a video becomes an event file; what the file's settings record."""

    video: VideoSettings = VideoSettings()
    simulator: SimulatorConfig = SimulatorConfig()
    upsample: Literal["off", "auto"] | Annotated[int, Field(ge=2, le=256)] = "off"
    """Motion-compensated steps between two frames: none, as many as the motion asks for, or a number."""
    label_noise: bool = False
    """Whether the column /events/noise tells noise events from signal events."""


@dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    Args:
        path: The event file.
        sensor: Its sensor.
        frames: Number of frames read.
        events: Number of events written.
        duration_us: Time from the first frame to the last.
    """

    path: Path
    sensor: SensorSize
    frames: int
    events: int
    duration_us: int


def convert_video(
    source: Path,
    path: Path,
    config: ConvertConfig | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Conversion:
    """Writes the events of a video to an HDF5 file, decoding in a thread of its own; memory does not grow with length.

    Args:
        source: A video file or image folder.
        path: The file to write, `.h5` or `.hdf5`.
        config: How.
        overwrite: Whether an existing file may be replaced.
        progress: Told after every frame.

    Raises:
        VideoError: The video cannot be read, has fewer than two frames, or they do not fit together.
        TruncatedVideoError: The video breaks off; what was read of it stands in the file, which is complete and has the
            attribute `truncated_at_us`.
        FileError: The file exists or cannot be written.
    """
    config = config or ConvertConfig()
    claim_output(path, overwrite=overwrite)
    video = open_video(source, config.video)
    config = config.model_copy(update={"video": video.settings})
    log.info("%s: %s, %d frames", source, video.size, video.frame_count)
    simulator, state = EventSimulator(config.simulator), None
    truncated: TruncatedVideoError | None = None
    frames = first_us = last_us = 0

    def counted(decoded: Iterator[Frame]) -> Iterator[Frame]:
        nonlocal frames, first_us, last_us
        for frame in decoded:
            frames, last_us = frames + 1, frame.t_us
            first_us = first_us if frames > 1 else last_us
            yield frame
            if progress:
                progress(frames, max(frames, video.frame_count))

    with EventWriter(
        path, video.size, source=source.name, settings=config.model_dump(), overwrite=overwrite,
        labelled=config.label_noise,
    ) as writer:  # fmt: skip
        try:
            steps: Iterator[Frame] = counted(_read_ahead(video.frames()))
            if config.upsample != "off":
                steps = upsample(steps, config.upsample, config=config.simulator)
            for frame in steps:
                events, noise, state = simulator.step_labelled(frame, state)
                writer.append(events, noise if config.label_noise else None)
        except TruncatedVideoError as error:
            truncated = error
            writer.note("truncated_at_us", error.at_us)
        except VideoError as error:
            raise error if str(error).startswith(str(source)) else VideoError(f"{source}: {error}") from error
        if frames < 2:
            raise VideoError(f"{source}: {frames} frame{'' if frames == 1 else 's'}, expected at least 2")
    if truncated:
        raise truncated
    return Conversion(path, video.size, frames, writer.count, last_us - first_us)


def plan_conversions(sources: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Which video goes to which event file.

    Args:
        sources: Video files, image folders, or folders that hold videos somewhere below them.
        out: An event file for a single video, else a folder, in which the layout below a source folder is mirrored.

    Raises:
        FileError: A folder holds no videos, several videos would go to one file, or one is missing.
    """
    single = len(sources) == 1 and (not sources[0].is_dir() or is_image_folder(sources[0]))
    if single and out.suffix:
        return [(sources[0], out)]
    plan: dict[Path, Path] = {}
    for source in sources:
        found = [source]
        if source.is_dir() and not is_image_folder(source):
            found = [path for path in sorted(source.rglob("*")) if is_video_name(path) or is_image_folder(path)]
            if not found:
                raise FileError(f"{source}: holds no videos")
        base = source if source.is_dir() and found != [source] else source.parent
        for video in found:
            target = out / video.relative_to(base).with_suffix(".h5")
            if target in plan:
                raise FileError(f"{target}: both {plan[target]} and {video} would go there")
            plan[target] = video
    return [(video, target) for target, video in plan.items()]


def _read_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items, made in a thread a few ahead of their use; an error of the maker is raised here."""
    end = object()
    waiting: queue.Queue[object] = queue.Queue(maxsize=FRAMES_AHEAD)
    stopped = threading.Event()
    failure: list[BaseException] = []

    def hand_over(item: object) -> None:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def make() -> None:
        try:
            for item in items:
                hand_over(item)
                if stopped.is_set():
                    return
        except BaseException as error:  # raised again in the thread that uses the items
            failure.append(error)
        hand_over(end)

    maker = threading.Thread(target=make, daemon=True)
    maker.start()
    try:
        while (item := waiting.get()) is not end:
            yield item  # type: ignore[misc]
        if failure:
            raise failure[0]
    finally:
        stopped.set()
        maker.join()
