"""Writing of videos."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError
from ..events import SensorSize
from ..files import write_beside
from .files import decode_file
from .frames import Frame
from .opencv import cv2, silence_stderr


def write_video(path: Path, frames: Iterable[Frame]) -> None:
    """Write 8-bit frames as VP8 `.webm`, which browsers play, at the constant rate of the first two frames.

    Raises:
        VideoError: There are fewer than two frames, or this OpenCV cannot write VP8.
        FileError: The file cannot be written.
    """
    iterator = iter(frames)
    first, second = next(iterator, None), next(iterator, None)
    if first is None or second is None:
        raise VideoError(f"{path}: too few frames to write (found {int(first is not None)}, expected at least 2)")
    with write_beside(path) as beside, open_webm(beside, first.size, 1e6 / (second.t_us - first.t_us)) as write:
        for frame in itertools.chain((first, second), iterator):
            write(cv2.cvtColor(frame.image, cv2.COLOR_GRAY2BGR))


@contextmanager
def open_webm(path: Path, size: SensorSize, fps: float) -> Iterator[Callable[[NDArray[Any]], Any]]:
    """Yield a function that adds a BGR image, uint8 [H, W, 3] with even sides, to a new VP8 video.

    Raises:
        VideoError: This OpenCV cannot write VP8.
        OSError: Frames are missing in the end. OpenCV says nothing about a full disk, so the file is read again.
    """
    count = 0

    def write(image: NDArray[Any]) -> None:
        nonlocal count
        writer.write(image)
        count += 1

    with silence_stderr():
        writer = cv2.VideoWriter(
            str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"VP80"), fps, (size.width, size.height)
        )
    try:
        if not writer.isOpened():
            raise VideoError(f"{path}: this OpenCV cannot write VP8 video")
        yield write
    finally:
        writer.release()
    if (found := sum(1 for _ in decode_file(path))) < count:
        raise OSError(f"the disk may be full: found {found} frames, expected {count}")


@contextmanager
def open_h264(path: Path, size: SensorSize, fps: float, crf: float) -> Iterator[Callable[[NDArray[Any]], Any]]:
    """Yield a function that adds a BGR image, uint8 [H, W, 3] with even sides, to a new H.264 video (`.mp4`).

    Args:
        path: The file.
        size: Size of the images.
        fps: Frames per second.
        crf: Constant rate factor of x264, 0 to 51: less is better and larger, 18 hardly differs from the original.

    Raises:
        VideoError: This faery cannot write H.264.
        OSError: The file cannot be written.
    """
    try:
        from faery import mp4
    except ImportError as error:
        raise VideoError(f"{path}: this faery cannot write H.264; write .webm") from error
    dimensions = (size.width, size.height)
    # without zerolatency, x264 reorders frames, whose times faery 0.7 then writes in the wrong order
    settings = {"crf": crf, "preset": "veryfast", "tune": "zerolatency", "profile": "main"}
    try:
        with mp4.Encoder(path, dimensions, fps, **settings) as encoder:
            yield lambda image: encoder.write(np.ascontiguousarray(image[:, :, ::-1]))
    except RuntimeError as error:  # faery's
        raise OSError(str(error)) from error
