"""Videos as frames with times: the only place that opens a video or reads an image."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from .config import Settings
from .errors import VideoError
from .events import SensorSize
from .files import write_beside

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: what is wrong with a video, our own errors say
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
try:
    import cv2
except ImportError as error:  # pragma: no cover - depends on the machine
    raise VideoError(
        f"OpenCV cannot be loaded ({error}); install the system's libGL (Debian: apt install libgl1) "
        "or, instead of opencv-python, opencv-python-headless"
    ) from error

TRANSFERS = ("srgb", "bt709", "gamma=x", "linear", "log")

IMAGE_SUFFIXES = frozenset({".bmp", ".hdr", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = frozenset(
    {".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv", ".y4m"}
)
FOLDER_FPS = 30.0  # of an image folder, which holds no times


@dataclass(frozen=True)
class Frame:
    """One grey image of a video and its time.

    Args:
        t_us: Time in microseconds.
        image: [H, W] uint8 or uint16 over their full range, or float32 with 1.0 as white.
        transfer: The curve by which light became the values of `image`: `srgb`, `bt709`, `gamma=x` (the value to the
            power x is the light), `linear` (they are proportional), or, in float images, `log` (they are the natural
            logarithm of light).
    """

    t_us: int
    image: NDArray[Any]
    transfer: str = "srgb"

    @property
    def size(self) -> SensorSize:
        """Width and height of the image."""
        height, width = self.image.shape
        return SensorSize(width=width, height=height)


class VideoSettings(Settings):
    """How a video is read."""

    fps: float | None = Field(default=None, gt=0)
    """Frames per second to use instead of the file's own times. An image folder has none: 30 by default."""
    transfer: str = "srgb"
    """The transfer curve of its values, as in `Frame`; ordinary video is `srgb`."""
    crop: str | None = Field(default=None, pattern=r"^\d+x\d+\+\d+\+\d+$")
    """Part of the picture to keep, WIDTHxHEIGHT+LEFT+TOP."""
    resize: str | None = Field(default=None, pattern=r"^\d+x\d+$")
    """Size to scale the (cropped) picture to, WIDTHxHEIGHT."""
    start_s: float = Field(default=0.0, ge=0)
    """Time of the first frame to keep, in seconds."""
    stop_s: float | None = Field(default=None, gt=0)
    """Time from which on frames are left out, in seconds."""


class TruncatedVideoError(VideoError):
    """A video breaks off before its end.

    Args:
        message: What was found and expected.
        at_us: Time of the last frame that could be decoded.
    """

    def __init__(self, message: str, at_us: int) -> None:
        super().__init__(message)
        self.at_us = at_us


@dataclass(frozen=True)
class Video:
    """A readable video: a file, or a folder of images in the order of their names.

    Args:
        path: The file or folder.
        size: Width and height of the frames that it gives.
        frame_count: Number of frames as far as the container tells; 0 where it does not.
        settings: How it is read.
    """

    path: Path
    size: SensorSize
    frame_count: int
    settings: VideoSettings

    def frames(self) -> Iterator[Frame]:
        """The frames one after another, grey (BT.601 luma, full range), with strictly increasing times.

        Raises:
            VideoError: A frame cannot be decoded, has another size, or is not later than the one before it.
            TruncatedVideoError: The video ended early; raised after the last frame.
        """
        settings = self.settings
        stop_us = None if settings.stop_s is None else round(settings.stop_s * 1e6)
        before_us: int | None = None
        number = -1
        for number, (own_us, image) in enumerate(_images(self.path)):
            t_us = own_us if settings.fps is None else round(number * 1e6 / settings.fps)
            if before_us is not None and t_us <= before_us:
                raise VideoError(
                    f"{self.path}: frame {number} is at {t_us} us, not after the frame before it at {before_us} us; "
                    "give the rate with --fps to use instead of the file's own times"
                )
            before_us = t_us
            if t_us < round(settings.start_s * 1e6):
                continue
            if stop_us is not None and t_us >= stop_us:
                return
            frame = Frame(t_us, _prepare(self.path, image, settings), settings.transfer)
            if frame.size != self.size:
                raise VideoError(f"{self.path}: frame {number} is {frame.size}, the frames before it {self.size}")
            yield frame
        if number + 2 < self.frame_count and before_us is not None:
            raise TruncatedVideoError(
                f"{self.path}: breaks off after {number + 1} of {self.frame_count} frames, at {before_us} us", before_us
            )


def open_video(path: str | Path, settings: VideoSettings | None = None) -> Video:
    """A video, ready to give its frames.

    Args:
        path: A video file that OpenCV decodes, or a folder of images.
        settings: How to read it.

    Raises:
        VideoError: It is missing, cannot be decoded, has not a single frame, or the settings do not fit it.
    """
    path, settings = Path(path), settings or VideoSettings()
    check_transfer(settings.transfer)
    if not path.exists():
        raise VideoError(f"{path}: no such video file or image folder")
    first = next(_images(path), None)
    if first is None:
        raise VideoError(f"{path}: not a video that OpenCV can read (no frame could be decoded)")
    if path.is_dir() and settings.fps is None:
        settings = settings.model_copy(update={"fps": FOLDER_FPS})
    size = Frame(0, _prepare(path, first[1], settings)).size
    return Video(path, size, _frame_count(path), settings)


def check_transfer(text: str) -> None:
    """Makes sure that a text names a transfer curve.

    Raises:
        VideoError: It does not.
    """
    power = text.removeprefix("gamma=")
    if text not in TRANSFERS[:2] + TRANSFERS[3:] and not (
        power != text and re.fullmatch(r"[0-9]+(\.[0-9]+)?", power) and 0.1 <= float(power) <= 10
    ):
        raise VideoError(f"transfer curve {text!r}: expected one of {', '.join(TRANSFERS)} with x from 0.1 to 10")


def frames_from_arrays(
    images: Iterable[NDArray[Any]], *, fps: float, start_us: int = 0, transfer: str = "srgb"
) -> Iterator[Frame]:
    """Frames at a constant rate from images in memory.

    Args:
        images: [H, W] grey images, as in `Frame`.
        fps: Frames per second, > 0.
        start_us: Time of the first frame.
        transfer: The transfer curve of the values.
    """
    for number, image in enumerate(images):
        yield Frame(start_us + round(number * 1e6 / fps), image, transfer)


def is_image_folder(path: Path) -> bool:
    """Whether a path is a folder that holds images."""
    return path.is_dir() and bool(_image_files(path))


def is_video_name(path: Path) -> bool:
    """Whether a path is a file with a suffix that videos have."""
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


def write_video(path: Path, frames: Iterable[Frame]) -> None:
    """Writes 8-bit frames at a constant rate, that of the first two, as VP8 `.webm`, which browsers play.

    Raises:
        VideoError: There are fewer than two frames, or this OpenCV cannot write VP8.
        FileError: The file cannot be written.
    """
    iterator = iter(frames)
    first, second = next(iterator, None), next(iterator, None)
    if first is None or second is None:
        raise VideoError(f"{path}: fewer than two frames to write")
    with write_beside(path) as beside, open_webm(beside, first.size, 1e6 / (second.t_us - first.t_us)) as write:
        for frame in itertools.chain((first, second), iterator):
            write(cv2.cvtColor(frame.image, cv2.COLOR_GRAY2BGR))


@contextmanager
def open_webm(path: Path, size: SensorSize, fps: float) -> Iterator[Callable[[NDArray[Any]], Any]]:
    """A function that adds a BGR image uint8 [H, W, 3] to a new VP8 video; sides are even, as VP8 wants them.

    Raises:
        VideoError: This OpenCV cannot write VP8.
    """
    with _quiet_stderr():
        writer = cv2.VideoWriter(
            str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"VP80"), fps, (size.width, size.height)
        )
    try:
        if not writer.isOpened():
            raise VideoError(f"{path}: this OpenCV cannot write VP8 video")
        yield writer.write
    finally:
        writer.release()


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Nothing from C code to stderr: OpenCV warns there of a wrong tag for every .webm, and cannot be told not to."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _images(path: Path) -> Iterator[tuple[int, NDArray[Any]]]:
    """Own time in microseconds (0 in a folder) and the decoded pixels of every frame."""
    if path.is_dir():
        for file in _image_files(path):
            image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            if image is None:
                raise VideoError(f"{file}: not an image that OpenCV can read")
            if image.dtype not in (np.uint8, np.uint16, np.float32) or (
                image.ndim == 3 and image.shape[2] not in (1, 3, 4)
            ):
                raise VideoError(
                    f"{file}: pixels of {image.dtype} and shape {image.shape}, expected grey or colour, uint8, uint16 "
                    "or float32"
                )
            yield 0, image
        return
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    last_us = -1
    try:
        while True:
            ok, image = capture.read()
            if not ok:
                return
            t_us = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1000)
            if t_us == 0 < last_us:  # the last frames of MPEG-1 and 2 come without a time
                t_us = last_us + round(1e6 / (capture.get(cv2.CAP_PROP_FPS) or FOLDER_FPS))
            last_us = t_us
            yield t_us, image
    finally:
        capture.release()


def _image_files(folder: Path) -> list[Path]:
    """The images of a folder, numbers in names in the order of their values."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(files, key=lambda path: [int(s) if s.isdecimal() else s for s in re.split(r"(\d+)", path.name)])


def _frame_count(path: Path) -> int:
    if path.is_dir():
        return len(_image_files(path))
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    capture.release()
    return max(0, int(count))


def _prepare(path: Path, image: NDArray[Any], settings: VideoSettings) -> NDArray[Any]:
    """The grey picture, cropped and resized (averaging areas where it shrinks)."""
    grey = _grey(image)
    if settings.crop:
        width, height, left, top = map(int, re.split(r"[x+]", settings.crop))
        full = SensorSize(width=grey.shape[1], height=grey.shape[0])
        grey = grey[top : top + height, left : left + width]
        if grey.shape != (height, width) or not grey.size:
            raise VideoError(f"{path}: a crop of {settings.crop} does not lie inside the picture of {full}")
    if settings.resize:
        size = SensorSize.parse(settings.resize)
        shrinks = size.width < grey.shape[1] or size.height < grey.shape[0]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        grey = cv2.resize(grey, (size.width, size.height), interpolation=method)
    return grey


def _grey(image: NDArray[Any]) -> NDArray[Any]:
    """Luma of the coded values; BT.601 weights, as OpenCV computes it."""
    if image.ndim == 2:
        return image
    channels = image.shape[2]
    if channels == 1:
        return image[:, :, 0]
    grey: NDArray[Any] = cv2.cvtColor(image, cv2.COLOR_BGRA2GRAY if channels == 4 else cv2.COLOR_BGR2GRAY)
    return grey
