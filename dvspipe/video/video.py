"""`Video`: a source of frames, which files, folders, arrays and cameras make by opening them.

A video decodes at each pass, and keeps no frame: `start_pass` begins a pass over times and functions that decode an
image. Each frame gets its time from the file of times, the rate or the video, and only the frames from start to stop
are decoded. A `Frame` is grey, with its time; a picture is an RGB image.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief, TruncatedVideoError, VideoError
from ..base.interrupts import end_on_interrupt
from ..events import Region, SensorSize
from .config import VideoSettings
from .frames import Frame
from .pictures import FramePass, fit_picture, to_colours, to_grey
from .times import wrong_count

EXAMPLE_FPS = 30  # shown in messages, as a number to replace
NO_FRAME = "not a video that OpenCV can read (no frame could be decoded)"


log = logging.getLogger(__name__)


def _explain_nothing(_: int) -> None:
    """Report a video as complete; see `Video.explain_end`."""


@dataclass(frozen=True, repr=False)
class Video(Brief):
    """Source of frames: a video file, image folder, array or camera. Create it with `open_video`.

    Args:
        name: Name in messages.
        size: Width and height of the frames, after cropping and resizing.
        frame_count: Number of frames; 0 if unknown. A guess for a file of variable frame rate.
        settings: Settings for reading.
        start_pass: Function that begins a new pass over all frames.
        times_us: Frame times from a file of times; None: times in the video, or a constant rate.
        ended: Event that stops a camera when set; None for other sources.
        duration_s: Duration in seconds from the header of a video file; 0 if unknown.
        explain_end: Function that returns why a video that ends after some frames is truncated; None: it is complete.
        is_tolerant: Whether a truncated video ends with a warning instead of an error; see `tolerant`.
    """

    name: str
    size: SensorSize
    frame_count: int
    settings: VideoSettings
    start_pass: Callable[[], FramePass] = field(repr=False, compare=False)
    times_us: tuple[int, ...] | None = field(default=None, repr=False)
    ended: threading.Event | None = field(default=None, repr=False, compare=False)
    duration_s: float = 0.0
    explain_end: Callable[[int], str | None] = field(default=_explain_nothing, repr=False, compare=False)
    is_tolerant: bool = field(default=False, repr=False)

    def frames(self, first: int = 0) -> Iterator[Frame]:
        """Yield grey frames (BT.601 luma, full range, in the type of the frame) with strictly increasing times."""
        return (Frame(t_us, image, self.settings.transfer) for t_us, image in self._read_frames(to_grey, first))

    @property
    def fps(self) -> float:
        """Frames per second: as set, or the mean; 0 if unknown."""
        return self.settings.fps or (self.frame_count / self.duration_s if self.duration_s else 0.0)

    def estimate_selected(self) -> int:
        """Estimate the number of frames from `settings.start_s` to `settings.stop_s`; 0 if unknown.

        The estimate is exact for arrays, image folders, files of times and constant frame rates.

        Example:
            >>> import numpy as np
            >>> from dvspipe.video.opening import open_video
            >>> settings = VideoSettings(fps=50, start_s=0.5, stop_s=0.7)
            >>> open_video(np.zeros((50, 7, 12), np.uint8), settings).estimate_selected()
            10
        """
        start_s = self.settings.start_s
        stop_s = math.inf if self.settings.stop_s is None else self.settings.stop_s
        if self.times_us is not None:
            return sum(start_s <= t_us / 1e6 < stop_s for t_us in self.times_us)

        if not self.fps:
            return self.frame_count

        first = _count_before(start_s, self.fps, self.frame_count)
        stop = _count_before(stop_s, self.fps, self.frame_count)
        return max(0, stop - first)

    def pictures(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield the time in microseconds and the RGB image of each frame, uint8 [H, W, 3].

        Times and errors are the same as in `frames`.
        """
        return self._read_frames(to_colours)

    def repeated(self, min_us: int) -> Video:
        """Loop the video, like a GIF, to a duration of at least `min_us` microseconds by the times in its file.

        Example:
            >>> from dvspipe.video.opening import open_video
            >>> video = open_video("short.gif").repeated(3_000_000)  # doctest: +SKIP
        """
        duration_us = round(self.duration_s * 1e6)
        rounds = max(1, math.ceil(min_us / duration_us)) if duration_us else 1

        return replace(
            self,
            start_pass=partial(_repeat, self.start_pass, min_us),
            frame_count=rounds * self.frame_count,
            duration_s=rounds * self.duration_s,
        )

    def shown_on(self, size: SensorSize) -> Video:
        """Crop the pictures to the shape of `size`, in their middle, and scale them to it, without distortion.

        The pictures must not be scaled already (`settings.resize`).

        Example:
            >>> import numpy as np
            >>> from dvspipe.video.opening import open_video
            >>> video = open_video(np.zeros((5, 90, 160), np.uint8), VideoSettings(fps=50))
            >>> video.shown_on(SensorSize(width=12, height=9)).settings.crop
            '120x90+20+0'
        """
        assert self.settings.resize is None
        scale = min(self.size.width / size.width, self.size.height / size.height)
        width = max(1, round(size.width * scale))
        height = max(1, round(size.height * scale))

        # The crop is in pixels of the video, so it is inside the crop that is set already.
        before = Region.full(self.size) if self.settings.crop is None else Region.parse(self.settings.crop)
        left = before.left + (self.size.width - width) // 2
        top = before.top + (self.size.height - height) // 2
        shown = Region(left, top, SensorSize(width=width, height=height))

        crop = self.settings.crop if shown.size == self.size else str(shown)
        resize = None if shown.size == size else str(size)
        settings = self.settings.model_copy(update={"crop": crop, "resize": resize})
        return replace(self, size=size, settings=settings)

    def tolerant(self) -> Video:
        """Return this video with a warning instead of an error at its end if it is truncated; once per process."""
        return replace(self, is_tolerant=True)

    def _read_frames(
        self, convert: Callable[[NDArray[Any]], NDArray[Any]], first: int = 0
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the time and converted image of the frames from start to stop, skipping the first `first`.

        Of several frames at one time, the first is used: browsers record times in milliseconds.
        """
        settings = self.settings
        start_us = round(settings.start_s * 1e6)
        stop_us = None if settings.stop_s is None else round(settings.stop_s * 1e6)
        has_own_times = self.times_us is not None or settings.fps is not None
        previous_us: int | None = None
        number = -1
        skipped = 0

        for number, (decoded_us, decode) in enumerate(self.start_pass()):
            t_us = self._time_us(number, decoded_us)
            if t_us == previous_us and not has_own_times:
                continue
            if previous_us is not None and t_us <= previous_us:
                raise VideoError(
                    f"{self.name}: wrong time of frame {number} (found {t_us} us, expected more than {previous_us} us)"
                    f"; use fps={EXAMPLE_FPS} to ignore the times in the file"
                )
            previous_us = t_us

            # Frames outside the selection are not decoded.
            if t_us < start_us:
                continue
            if stop_us is not None and t_us >= stop_us:
                return
            if skipped < first:
                skipped += 1
                continue

            image = fit_picture(self.name, convert(decode()), settings)
            height, width = image.shape[:2]
            if (width, height) != (self.size.width, self.size.height):
                raise VideoError(
                    f"{self.name}: wrong size of frame {number} (found {width}x{height}, expected {self.size})"
                )
            yield t_us, image

        self._check_end(number + 1, previous_us)

    def _check_end(self, frames: int, last_us: int | None) -> None:
        """Check a video that ended before its stop time, after a number of frames: it may be truncated, or too short.

        Args:
            frames: Number of frames in the video.
            last_us: Time of the last one; None: no frames.
        """
        if last_us is not None and (reason := self.explain_end(frames)):
            message = f"{self.name}: truncated at {last_us} us ({reason})"
            if not self.is_tolerant:
                raise TruncatedVideoError(message, at_us=last_us)
            warn_once(message)
        if self.times_us is not None and frames < len(self.times_us):
            raise wrong_count(self.settings, len(self.times_us), self.name, frames)
        if last_us is not None and last_us < round(self.settings.start_s * 1e6):
            raise VideoError(
                f"{self.name}: ends before the start time (found the last frame at {last_us / 1e6:.6g} s, expected "
                f"frames at or after {self.settings.start_s:g} s)"
            )

    def _time_us(self, number: int, decoded_us: int) -> int:
        if self.times_us is not None:
            if number == len(self.times_us):
                raise wrong_count(self.settings, number, self.name, f"at least {number + 1}")
            return self.times_us[number]

        return decoded_us if self.settings.fps is None else round(number * 1e6 / self.settings.fps)

    def ended_by_interrupt(self) -> AbstractContextManager[None]:
        """End the frames of a camera normally at the first Ctrl-C in the block; this has no effect on other sources."""
        return nullcontext() if self.ended is None else end_on_interrupt(self.ended.set)


def _count_before(time_s: float, fps: float, frame_count: int) -> int:
    """Return the number of frames before a time, at a constant rate."""
    # Rounded to 6 decimals: 0.07 * 100 is more than 7 in floating point.
    return math.ceil(round(min(time_s * fps, frame_count), 6))


def read_size(
    name: str, start_pass: Callable[[], FramePass], settings: VideoSettings, no_frame_message: str
) -> SensorSize:
    """Decode the first frame and return its size."""
    with closing(start_pass()) as frames:
        for _, decode in frames:
            image = fit_picture(name, to_grey(decode()), settings)
            return Frame(0, image).size
    raise VideoError(f"{name}: {no_frame_message}")


@lru_cache(maxsize=1024)  # a video is read several times: to find the person, and to classify
def warn_once(message: str) -> None:
    """Log a warning once per process."""
    log.warning("%s", message)


def _repeat(start_pass: Callable[[], FramePass], min_us: int) -> FramePass:
    """Repeat a video to a duration of at least `min_us`; its last frame lasts as long as the frame before it."""
    start_us = 0
    while start_us < min_us:
        last_us = None
        gap_us = 1
        with closing(start_pass()) as frames:
            for t_us, decode in frames:
                if last_us is not None:
                    gap_us = t_us - last_us
                last_us = t_us
                yield start_us + t_us, decode

        if not last_us:
            return  # a single frame: nothing to repeat
        start_us += last_us + gap_us
