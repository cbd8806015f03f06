"""Videos to event files."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .errors import VideoError
from .events import SensorSize
from .files import claim_output
from .formats import EventWriter
from .simulator import SimulatorConfig, simulate
from .video import Frame, Video

FRAMES_AHEAD = 16

Progress = Callable[[int, int], None]
"""Called with the number of frames done and in all (0 where unknown)."""

Item = TypeVar("Item")


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
    video: Video,
    path: Path,
    config: SimulatorConfig | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Conversion:
    """Writes the events of a video to an HDF5 file, decoding in a thread of its own; memory does not grow with length.

    Args:
        video: The video.
        path: The file to write, `.h5` or `.hdf5`.
        config: The pixel model's settings.
        overwrite: Whether an existing file may be replaced.
        progress: Told after every frame.

    Raises:
        VideoError: The video has fewer than two frames, or they do not fit together.
        FileError: The file exists or cannot be written.
    """
    config = config or SimulatorConfig()
    claim_output(path, overwrite=overwrite)
    settings = {
        "simulator": config.model_dump(),
        "video": {"fps": video.fps, "transfer": video.transfer},
    }
    times: list[int] = []
    frames = 0

    def watched() -> Iterator[Frame]:
        nonlocal frames
        for frame in _read_ahead(video.frames()):
            frames += 1
            times[1:] = [frame.t_us] if times else []
            times[:1] = times[:1] or [frame.t_us]
            yield frame
            if progress:
                progress(frames, max(frames, video.frame_count))

    with EventWriter(path, video.size, source=video.path.name, settings=settings, overwrite=overwrite) as writer:
        try:
            for events in simulate(watched(), config):
                writer.append(events)
        except VideoError as error:
            raise error if str(error).startswith(str(video.path)) else VideoError(f"{video.path}: {error}") from error
    return Conversion(path, video.size, frames, writer.count, times[-1] - times[0])


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
