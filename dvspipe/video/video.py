"""`Video`: a source of frames, which files, folders, arrays and cameras make by opening them.

A video decodes at each pass, and keeps no frame: `start_pass` begins a pass over times and functions that decode an
image. Each frame gets its time from the file of times, the rate or the video, and only the frames from start to stop
are decoded. A `Frame` is grey, with its time; a picture is an RGB image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief, VideoError
from ..events import Region, SensorSize
from .config import VideoSettings
from .frames import Frame
from .pictures import FramePass, fit_picture, to_colours, to_grey
from .times import read_times

EXAMPLE_FPS = 30  # shown in messages, as a number to replace


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
        duration_s: Duration in seconds from the header of a video file; 0 if unknown.
    """

    name: str
    size: SensorSize
    frame_count: int
    settings: VideoSettings
    start_pass: Callable[[], FramePass] = field(repr=False, compare=False)
    times_us: tuple[int, ...] | None = field(default=None, repr=False)
    duration_s: float = 0.0

    def frames(self) -> Iterator[Frame]:
        """Yield grey frames (BT.601 luma, full range, in the type of the frame) with strictly increasing times.

        Raises:
            VideoError: If a frame cannot be decoded, the times do not increase, or the video is truncated.
        """
        return (Frame(t_us, image, self.settings.transfer) for t_us, image in self._read_frames(to_grey))

    def pictures(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield the time in microseconds and the RGB image of each frame, uint8 [H, W, 3].

        Times and errors are the same as in `frames`.
        """
        return self._read_frames(to_colours)

    def estimate_selected(self) -> int:
        """Estimate the number of frames from `settings.start_s` to `settings.stop_s`; 0 if unknown.

        Example:
            >>> import numpy as np
            >>> from dvspipe.video.opening import open_video
            >>> settings = VideoSettings(fps=50, start_s=0.5, stop_s=0.7)
            >>> open_video(np.zeros((50, 7, 12), np.uint8), settings).estimate_selected()
            10
        """
        settings = self.settings
        fps = settings.fps or (self.frame_count / self.duration_s if self.duration_s else 0.0)
        if not fps:
            return self.frame_count

        stop_s = min(self.frame_count / fps, math.inf if settings.stop_s is None else settings.stop_s)
        return max(0, round((stop_s - settings.start_s) * fps))

    def repeated(self, min_us: int) -> Video:
        """Loop the video, like a GIF, to a duration of at least `min_us` microseconds by the times in its file.

        Example:
            >>> from dvspipe.video.opening import open_video
            >>> video = open_video("short.gif").repeated(3_000_000)  # doctest: +SKIP
        """
        rounds = max(1, math.ceil(min_us * 1e-6 / self.duration_s)) if self.duration_s else 1

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

    def _read_frames(self, convert: Callable[[NDArray[Any]], NDArray[Any]]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the time and converted image of the frames from start to stop.

        Of several frames at one time, the first is used: browsers record times in milliseconds.
        """
        settings = self.settings
        start_us = round(settings.start_s * 1e6)
        stop_us = math.inf if settings.stop_s is None else round(settings.stop_s * 1e6)
        size = None if settings.crop or settings.resize else self.size  # before both, all frames have one size
        has_own_times = self.times_us is not None or settings.fps is not None
        previous_us = -1
        number = -1

        for number, (decoded_us, decode) in enumerate(self.start_pass()):
            t_us = self._time_us(number, decoded_us)
            if 0 <= t_us == previous_us and not has_own_times:
                continue
            if t_us <= previous_us:
                raise VideoError(
                    f"{self.name}: wrong time of frame {number} (found {t_us} us, expected more than {previous_us} us)"
                    f"; use fps={EXAMPLE_FPS} to ignore the times in the file"
                )
            previous_us = t_us

            # Frames outside the selection are not decoded.
            if t_us < start_us:
                continue
            if t_us >= stop_us:
                return

            image = convert(decode())
            height, width = image.shape[:2]
            size = size or SensorSize(width, height)
            if (width, height) != (size.width, size.height):
                raise VideoError(f"{self.name}: wrong size of frame {number} (found {width}x{height}, expected {size})")
            yield t_us, fit_picture(self.name, image, settings)

        # The video has ended before its stop time.
        if self.times_us is not None and number + 1 < len(self.times_us):
            raise _wrong_count(self.name, settings, len(self.times_us), number + 1)
        if 0 <= previous_us < start_us:
            raise VideoError(
                f"{self.name}: ends before the start time (found the last frame at {previous_us / 1e6:.6g} s, expected "
                f"frames at or after {settings.start_s:g} s)"
            )

    def _time_us(self, number: int, decoded_us: int) -> int:
        if self.times_us is not None:
            if number == len(self.times_us):
                raise _wrong_count(self.name, self.settings, number, f"at least {number + 1}")
            return self.times_us[number]

        return decoded_us if self.settings.fps is None else round(number * 1e6 / self.settings.fps)


def create_video(
    name: str,
    start_pass: Callable[[], FramePass],
    settings: VideoSettings,
    count: int,
    *,
    images: Sequence[Path] | None = None,
    duration_s: float = 0.0,
) -> Video:
    """Create a video: read its file of times, and decode its first frame to find the size.

    Args:
        name: As in `Video`, and likewise the others.
        start_pass: Function that begins a new pass.
        settings: Settings.
        count: Number of frames.
        images: Image files of the frames; None: `count` may be a guess.
        duration_s: Duration.
    """
    times_us = None
    if settings.timestamps is not None:
        times_us = read_times(settings.timestamps, settings.time_unit, images or ())
        if images is not None and len(times_us) != count:
            raise _wrong_count(name, settings, len(times_us), count)
    elif settings.time_unit is not None:
        raise VideoError(f"{name}: time_unit = {settings.time_unit} without times; use timestamps=FILE to give them")

    with closing(start_pass()) as frames:
        for _, decode in frames:
            size = Frame(0, fit_picture(name, to_grey(decode()), settings)).size
            return Video(name, size, count, settings, start_pass, times_us, duration_s)
    raise VideoError(f"{name}: no frame can be read")


def _wrong_count(name: str, settings: VideoSettings, times: int, frames: int | str) -> VideoError:
    return VideoError(f"{settings.timestamps}: wrong number of times (found {times}, expected {frames} as in {name})")


def _repeat(start_pass: Callable[[], FramePass], min_us: int) -> FramePass:
    """Repeat a video to a duration of at least `min_us`; its last frame lasts as long as the frame before it."""
    start_us = 0
    while start_us < min_us:
        last_us = 0
        gap_us = 1
        with closing(start_pass()) as frames:
            for t_us, decode in frames:
                gap_us = t_us - last_us
                last_us = t_us
                yield start_us + t_us, decode

        if not last_us:
            return  # a single frame: nothing to repeat
        start_us += last_us + gap_us
