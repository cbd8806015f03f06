"""Sources of live streams: webcams, and videos and recordings replayed at their own pace.

`open_live` opens the source that a name means. A thread of a `LiveSession` reads its chunks.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError, FileError, VideoError
from ..base.files import explain_missing
from ..events import Events, SensorSize
from ..formats import Recording, open_recording
from ..recordings.sources import SEPARATE, is_film, is_video
from ..video.config import VideoSettings
from ..video.frames import Frame
from ..video.names import camera_of
from ..video.opening import open_video
from ..video.pictures import FramePass
from ..video.video import Video

CHUNK_US = 10_000  # length of the chunks of a replayed recording


@dataclass(frozen=True, eq=False)
class Chunk:
    """Part of a live stream.

    Args:
        content: Events, or one frame of a video.
        t_us: End of the chunk on the clock of the stream in microseconds.
        due_s: Time at which it ended, in seconds on the clock of the machine.
        start_us: Start of the chunk: its first event, or the previous frame.
    """

    content: Events | Frame
    t_us: int
    due_s: float
    start_us: int


class LiveSource:
    """Source of a live stream.

    Args:
        name: Name in messages.
        content: Sensor of the events, or the video that the frames come from.
        parts: Yields nonempty events, or frames, in order of time, and may wait for them.
        speed: Speed of a replay, > 0; None: parts are due when they come, such as the frames of a webcam.
    """

    def __init__(
        self,
        name: str,
        content: SensorSize | Video,
        parts: Callable[[], Iterator[Events] | Iterator[Frame]],
        speed: float | None = None,
    ) -> None:
        self.name = name
        self.content = content
        self.speed = speed
        self._parts = parts

    def read(self, stop: threading.Event) -> Iterator[Chunk]:
        """Yield chunks when they are due, until the end or `stop` is set. Called in a thread of its own."""
        begin: tuple[int, float] | None = None
        previous_us: int | None = None
        for part in self._parts():
            if isinstance(part, Frame):
                last_us = part.t_us
                start_us = last_us if previous_us is None else previous_us
            else:
                start_us, last_us = part.t[[0, -1]].tolist()
            due_s = time.monotonic()

            # The time of the first event or frame of a replay is now.
            if self.speed is not None:
                begin = begin or (start_us, due_s)
                due_s = begin[1] + (last_us - begin[0]) * 1e-6 / self.speed
                stop.wait(due_s - time.monotonic())

            if stop.is_set():
                return
            yield Chunk(part, last_us, due_s, start_us)
            previous_us = last_us


class PushedSource(LiveSource):
    """Pictures that another program takes, such as a browser; `push` may be called in any thread.

    Args:
        name: Name in messages.
        size: Size of the pictures.
        settings: Settings for reading them, such as `live_settings`; without crop and resize.

    Example:
        >>> source = PushedSource("webcam", SensorSize(width=12, height=7))
        >>> source.push(40_000, np.zeros((7, 12, 3), np.uint8))
        >>> source.end()
        >>> [chunk.t_us for chunk in source.read(threading.Event())]
        [40000]
    """

    def __init__(self, name: str, size: SensorSize, settings: VideoSettings = VideoSettings()) -> None:
        self._pushed = queue.SimpleQueue[tuple[int, NDArray[np.uint8]] | None]()
        video = Video(name, size, 0, settings, self._pass_over_pushed)
        super().__init__(name, video, video.frames)

    def push(self, t_us: int, picture: NDArray[np.uint8]) -> None:
        """Add a picture.

        Args:
            t_us: Time in microseconds, after the previous picture.
            picture: BGR picture, uint8 [H, W, 3].
        """
        self._pushed.put((t_us, picture))

    def end(self) -> None:
        """End the stream after the pictures so far. Call it when no more pictures come: `read` waits for them."""
        self._pushed.put(None)

    def _pass_over_pushed(self) -> FramePass:
        while (pushed := self._pushed.get()) is not None:
            t_us, picture = pushed
            yield t_us, partial(np.asarray, picture)


def _read_camera(video: Video) -> Iterator[Frame]:
    yield from video.frames()
    if video.settings.stop_s is None:
        raise VideoError(f"{video.name}: delivers no more frames; is it still connected?")


def _read_recording(recording: Recording) -> Iterator[Events]:
    """Yield the events of a recording, divided at multiples of CHUNK_US after its first event."""
    first_us: int | None = None
    for part in recording.chunks():
        rest = part
        while len(rest):
            start_us = int(rest.t[0])
            first_us = start_us if first_us is None else first_us
            stop = int(rest.t.searchsorted(start_us + CHUNK_US - (start_us - first_us) % CHUNK_US))
            yield rest[:stop]
            rest = rest[stop:]


def open_live(source: str | Path | int, video: VideoSettings = VideoSettings(), *, speed: float = 1.0) -> LiveSource:
    """Open the source of a live stream.

    Args:
        source: Number of a webcam; or a video or recording, which is replayed.
        video: Settings for reading videos and webcams.
        speed: Speed of the replay, > 0; 1: as recorded.

    Raises:
        ConfigError: If the speed is not positive, or a webcam has a speed.
        FileError: If a file is missing or cannot be read.
        VideoError: If the webcam or video cannot be opened.
    """
    if not 0 < speed < float("inf"):
        raise ConfigError(f"speed: wrong value (found {speed:g}, expected more than 0)")

    if camera_of(source) is not None:
        if speed != 1:
            raise ConfigError(f"camera {source}: cannot be replayed (found speed = {speed:g}, expected 1)")
        camera = open_video(source, video)
        return LiveSource(camera.name, camera, partial(_read_camera, camera))

    path = Path(str(source))
    if not path.exists():
        raise FileError(f"{path}: not a webcam, and {explain_missing(path)}")
    if is_video(path):
        if path.is_dir() and not is_film(path, advice=SEPARATE):
            raise FileError(f"{path}: a folder without images (expected a video, a recording or one film)")
        film = open_video(path, video)
        return LiveSource(film.name, film, film.frames, speed)

    recording = open_recording(path)
    return LiveSource(str(path), recording.sensor, partial(_read_recording, recording), speed)
