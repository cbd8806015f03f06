"""Open cameras as videos."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

from numpy.typing import NDArray

from ..base.errors import VideoError
from .config import VideoSettings
from .opencv import SILENT_OPENCV, cv2, silence_stderr
from .pictures import Images
from .video import Video, read_size


def open_camera(index: int, settings: VideoSettings) -> Video:
    """Open a camera as a video; see `open_video`."""
    name, ended = f"camera {index}", threading.Event()
    unused = [each for each in ("fps", "timestamps", "time_unit") if getattr(settings, each) is not None]
    if unused:
        raise VideoError(f"{name}: frames are timed by the clock (found {', '.join(unused)}); remove it")
    images = partial(_camera_images, index, ended)
    size = read_size(name, images, settings, "not a camera that OpenCV can open, or it delivers no frames")
    return Video(name, size, 0, settings, images, ended=ended)


def _camera_images(index: int, ended: threading.Event) -> Images:
    with SILENT_OPENCV, silence_stderr():
        capture = cv2.VideoCapture(index)

    def decode() -> NDArray[Any]:
        ok, image = capture.retrieve()
        if not ok:
            raise VideoError(f"camera {index}: the frame at {last_us} us cannot be decoded")
        return image  # type: ignore[no-any-return]

    first_ns, last_us = 0, -1
    try:
        while not ended.is_set() and capture.grab():
            now_ns = time.monotonic_ns()
            first_ns = first_ns or now_ns
            last_us = max((now_ns - first_ns) // 1000, last_us + 1)
            yield last_us, decode
    finally:
        capture.release()
