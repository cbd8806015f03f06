"""Sources of live streams: webcams, and videos and recordings replayed at their own pace.

`open_live` opens the source that a name means. Each source is a `LiveSource`: `read` yields chunks when they are due.
A webcam decides that itself; for replayed files, a `_Pace` waits.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError, FileError, VideoError
from ..base.files import explain_missing
from ..events import Events, SensorSize
from ..formats import NO_HINTS, Hints, Recording, open_recording
from ..recordings.sources import is_video
from ..video.config import VideoSettings
from ..video.names import camera_of
from ..video.opening import open_video
from ..video.pictures import FramePass
from ..video.video import Video
from .chunks import Chunk, LiveClock

CHUNK_US = 10_000  # length of the chunks of a replayed recording
DEFAULT_GAP_US = 33_333  # time between the last and first frame of a loop with one frame


class LiveSource(Protocol):
    """Source of a live stream."""

    @property
    def name(self) -> str:
        """Name in messages."""

    @property
    def content(self) -> SensorSize | Video:
        """Sensor of the events, or the video that its frames come from."""

    @property
    def speed(self) -> float:
        """Microseconds of the stream per microsecond of the clock."""

    def read(self, clock: LiveClock, stop: threading.Event) -> Iterator[Chunk]:
        """Yield chunks when they are due, until the end or `stop` is set. Called in a thread of its own."""


@dataclass(frozen=True)
class CameraSource:
    """Frames of a webcam.

    Args:
        content: Video of the camera.
    """

    content: Video
    speed: float = 1.0

    @property
    def name(self) -> str:
        """Name in messages."""
        return self.content.name

    def read(self, clock: LiveClock, stop: threading.Event) -> Iterator[Chunk]:
        """Yield frames when the camera delivers them; see `LiveSource`."""
        yield from _deliver(self.content, clock, stop)
        if not stop.is_set() and self.content.settings.stop_s is None:
            raise VideoError(f"{self.name}: delivers no more frames; is it still connected?")


class PushedSource:
    """Pictures that another program takes, such as a browser; `push` may be called in any thread.

    Args:
        name: Name in messages.
        size: Size of the pictures.
        settings: Settings for reading them, such as `live_settings`; without crop and resize.

    Example:
        >>> source = PushedSource("webcam", SensorSize(width=12, height=7))
        >>> source.push(40_000, np.zeros((7, 12, 3), np.uint8))
        >>> source.end()
        >>> from dvspipe.streaming import SystemClock
        >>> [chunk.t_us for chunk in source.read(SystemClock(), threading.Event())]
        [40000]
    """

    def __init__(self, name: str, size: SensorSize, settings: VideoSettings = VideoSettings()) -> None:
        self.name = name
        self.speed = 1.0
        self._pushed = queue.SimpleQueue[tuple[int, NDArray[np.uint8]] | None]()
        self.content = Video(name, size, 0, settings, self._pass_over_pushed)

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

    def read(self, clock: LiveClock, stop: threading.Event) -> Iterator[Chunk]:
        """Yield frames when they are pushed; see `LiveSource`."""
        yield from _deliver(self.content, clock, stop)

    def _pass_over_pushed(self) -> FramePass:
        while (pushed := self._pushed.get()) is not None:
            t_us, picture = pushed
            yield t_us, partial(np.asarray, picture)


@dataclass(frozen=True)
class FilmSource:
    """Frames of a video, replayed.

    Args:
        content: Video.
        speed: Speed of the replay, > 0.
        loops: Whether to start again at the end.
    """

    content: Video
    speed: float = 1.0
    loops: bool = False

    @property
    def name(self) -> str:
        """Name in messages."""
        return self.content.name

    def read(self, clock: LiveClock, stop: threading.Event) -> Iterator[Chunk]:
        """Yield frames when they are due; see `LiveSource`."""
        pace = _Pace(clock, self.speed)
        offset_us = 0  # offset of this round: times of the stream never go back
        while not stop.is_set():
            first_us = None
            last_us = 0
            gap_us = DEFAULT_GAP_US
            for frame in self.content.frames():
                if first_us is None:
                    first_us = frame.t_us
                else:
                    gap_us = frame.t_us - last_us
                last_us = frame.t_us

                moved = replace(frame, t_us=frame.t_us + offset_us)
                due_s = pace.wait(moved.t_us, stop)
                if stop.is_set():
                    return
                yield Chunk(moved, moved.t_us, due_s)

            if not self.loops or first_us is None:
                return

            # A frame interval lies between the last frame and the first one of the next round.
            offset_us += last_us - first_us + gap_us


@dataclass(frozen=True)
class RecordingSource:
    """Events of a recording, replayed in chunks of `CHUNK_US`.

    Args:
        name: Name in messages.
        recording: Recording.
        speed: Speed of the replay, > 0.
        loops: Whether to start again at the end.
    """

    name: str
    recording: Recording
    speed: float = 1.0
    loops: bool = False

    @property
    def content(self) -> SensorSize:
        """Sensor of the events."""
        return self.recording.sensor

    def read(self, clock: LiveClock, stop: threading.Event) -> Iterator[Chunk]:
        """Yield events when they are due; see `LiveSource`."""
        pace = _Pace(clock, self.speed)
        offset_us = 0
        while not stop.is_set():
            first_us = None
            last_us = 0
            for part in self.recording.chunks():
                # The stream begins with its first event, but a chunk is due with its last one.
                if len(part) and first_us is None:
                    first_us = int(part.t[0])
                    pace.begin(first_us + offset_us)

                for events in _cut(part, first_us or 0):
                    last_us = int(events.t[-1])
                    moved = _shift(events, offset_us)
                    due_s = pace.wait(last_us + offset_us, stop)
                    if stop.is_set():
                        return
                    yield Chunk(moved, last_us + offset_us, due_s)

            if not self.loops or first_us is None:
                return

            # The next round begins a chunk after the last event.
            offset_us += last_us - first_us + CHUNK_US


def _deliver(video: Video, clock: LiveClock, stop: threading.Event) -> Iterator[Chunk]:
    """Yield the frames of a video as they come, until `stop` is set."""
    for frame in video.frames():
        yield Chunk(frame, frame.t_us, clock.now_s())
        if stop.is_set():
            return


class _Pace:
    """Pace of a replay: the first time of the stream is now."""

    def __init__(self, clock: LiveClock, speed: float) -> None:
        self._clock = clock
        self._speed = speed
        self._begin: tuple[int, float] | None = None

    def begin(self, t_us: int) -> None:
        if self._begin is None:
            self._begin = t_us, self._clock.now_s()

    def wait(self, t_us: int, stop: threading.Event) -> float:
        """Wait until a time of the stream; return this time on the clock."""
        self.begin(t_us)
        assert self._begin is not None

        first_us, begin_s = self._begin
        due_s = begin_s + (t_us - first_us) * 1e-6 / self._speed
        self._clock.wait_until(due_s, stop)

        return due_s


def _cut(part: Events, first_us: int) -> Iterator[Events]:
    """Divide events at multiples of CHUNK_US after `first_us`."""
    start = 0
    while start < len(part):
        end_us = first_us + ((int(part.t[start]) - first_us) // CHUNK_US + 1) * CHUNK_US
        stop = int(part.t.searchsorted(end_us))

        yield part[start:stop]
        start = stop


def _shift(events: Events, offset_us: int) -> Events:
    if not offset_us:
        return events
    return Events.wrap_unchecked(events.t + offset_us, events.x, events.y, events.p, events.sensor)


def open_live(
    source: str | Path,
    video: VideoSettings = VideoSettings(),
    *,
    speed: float = 1.0,
    loops: bool = False,
    hints: Hints = NO_HINTS,
) -> LiveSource:
    """Open the source of a live stream.

    Args:
        source: Number of a webcam; or a video or recording, which is replayed.
        video: Settings for reading videos and webcams.
        speed: Speed of the replay, > 0; 1: as recorded.
        loops: Whether the replay starts again at the end.
        hints: Metadata that a recording lacks.

    Raises:
        ConfigError: If the speed is not positive, or a webcam has a speed or loop.
        FileError: If a file is missing or cannot be read.
        VideoError: If the webcam or video cannot be opened.
    """
    if not 0 < speed < float("inf"):
        raise ConfigError(f"speed: wrong value (found {speed:g}, expected more than 0)")

    if camera_of(source) is not None:
        if speed != 1 or loops:
            raise ConfigError(f"camera {source}: cannot be replayed (found speed = {speed:g}, loop = {loops})")
        return CameraSource(open_video(str(source), video))

    path = Path(source)
    if not path.exists():
        raise FileError(f"{path}: not a webcam, and {explain_missing(path)}")

    if is_video(path):
        return FilmSource(open_video(path, video), speed, loops)
    return RecordingSource(str(path), open_recording(path, hints), speed, loops)
