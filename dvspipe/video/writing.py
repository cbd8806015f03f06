"""Write videos: VP8 (.webm) with OpenCV, H.264 (.mp4) with faery."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import VideoError
from ..base.files import write_beside
from ..events import SensorSize
from .files import decode_file
from .frames import Frame
from .opencv import cv2, silence_stderr


def write_video(path: Path, frames: Iterable[Frame]) -> None:
    """Write 8-bit frames as VP8 `.webm` (plays in browsers), at the frame rate of the first two frames."""
    iterator = iter(frames)
    first_two = list(itertools.islice(iterator, 2))
    if len(first_two) < 2:
        raise VideoError(f"{path}: too few frames to write (found {len(first_two)}, expected at least 2)")

    first, second = first_two
    with write_beside(path) as beside, open_webm(beside, first.size, 1e6 / (second.t_us - first.t_us)) as write:
        for frame in itertools.chain(first_two, iterator):
            write(cv2.cvtColor(frame.image, cv2.COLOR_GRAY2BGR))


@contextmanager
def open_webm(path: Path, size: SensorSize, fps: float) -> Iterator[Callable[[NDArray[Any]], Any]]:
    """Open a new VP8 video; yield a function that adds a BGR image, uint8 [H, W, 3] with even sides.

    OpenCV does not report a full disk: on exit, the file is read back and its frames are counted.
    """
    count = 0

    def write(image: NDArray[Any]) -> None:
        nonlocal count
        writer.write(image)
        count += 1

    with silence_stderr():
        writer = cv2.VideoWriter(
            str(path.absolute()), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"VP80"), fps, (size.width, size.height)
        )
    try:
        if not writer.isOpened():
            raise VideoError(f"{path}: the installed OpenCV cannot write VP8 video")
        yield write
    finally:
        writer.release()

    try:
        readable = sum(1 for _ in decode_file(path))
    except VideoError:
        readable = 0
    if readable < count:
        raise OSError(f"the disk may be full: not all of {count} frames can be read")


@contextmanager
def open_h264(path: Path, size: SensorSize, fps: float, crf: float) -> Iterator[Callable[[NDArray[Any]], Any]]:
    """Open a new H.264 video (`.mp4`); yield a function that adds a BGR image, uint8 [H, W, 3] with even sides."""
    from faery import mp4

    # without zerolatency, x264 reorders frames, and faery 0.7 writes their times in the wrong order
    dimensions = (size.width, size.height)
    settings = {"crf": crf, "preset": "veryfast", "tune": "zerolatency", "profile": "main"}
    try:
        with mp4.Encoder(path, dimensions, fps, **settings) as encoder:
            yield lambda image: encoder.write(np.ascontiguousarray(image[:, :, ::-1]))
    except RuntimeError as error:  # raised by faery
        raise OSError(str(error)) from error
