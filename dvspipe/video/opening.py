"""Open videos, image folders, arrays and cameras."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike, NDArray

from ..base.errors import VideoError
from ..base.files import explain_missing
from .arrays import open_array, stack_images
from .config import VideoSettings
from .files import open_file
from .folders import open_folder
from .frames import check_transfer
from .names import camera_of, check_address
from .opencv import SILENT_OPENCV, cv2, silence_stderr
from .pictures import FramePass
from .video import Video, read_size


def open_video(
    source: str | Path | int | ArrayLike,
    settings: VideoSettings = VideoSettings(),
) -> Video:
    """Open a video file, image folder, array or camera as a source of frames.

    Args:
        source: Video file that OpenCV or an installed ffmpeg decodes; folder of images, ordered by the numbers in
            their names; array or list of grey images [T, H, W] (see `Frame`) or RGB images [T, H, W, 3]; or camera
            number, also as a string if no file has that name. Arrays need `settings.fps` or `settings.timestamps`;
            float64 is read as float32. Camera times come from the monotonic clock, starting at 0; a camera ends at
            `settings.stop_s`.
        settings: Settings for reading.

    Raises:
        VideoError: If the source does not exist, cannot be decoded or has no frames, or the settings do not fit it.

    Example:
        >>> import numpy as np
        >>> video = open_video(np.zeros((5, 7, 12), np.uint8), VideoSettings(fps=50))
        >>> [frame.t_us for frame in video.frames()]
        [0, 20000, 40000, 60000, 80000]
    """
    settings = settings.part(VideoSettings)
    check_transfer(settings.transfer)
    if settings.fps is not None and settings.timestamps is not None:
        raise VideoError(f"{settings.timestamps}: timestamps and fps cannot be combined (found fps = {settings.fps:g})")

    if not isinstance(source, str | Path | int):
        return open_array(stack_images(source), settings)

    camera = None if isinstance(source, bool) else camera_of(source)  # a bool is an int, but no camera
    if camera is not None:
        return _open_camera(camera, settings)

    path = Path(str(source))
    if not path.exists():
        check_address(str(source))
        raise VideoError(f"{path}: {explain_missing(path)}")
    return open_folder(path, settings) if path.is_dir() else open_file(path, settings)


def _open_camera(index: int, settings: VideoSettings) -> Video:
    """Open a camera as a video; see `open_video`."""
    name = f"camera {index}"
    unused = [setting for setting in ("fps", "timestamps", "time_unit") if getattr(settings, setting) is not None]
    if unused:
        raise VideoError(f"{name}: frames are timed by the clock (found {', '.join(unused)}); remove it")

    ended = threading.Event()
    start_pass = partial(_pass_over_camera, index, ended)
    size = read_size(name, start_pass, settings, "not a camera that OpenCV can open, or it delivers no frames")
    return Video(name, size, 0, settings, start_pass, ended=ended)


def _pass_over_camera(index: int, ended: threading.Event) -> FramePass:
    with SILENT_OPENCV, silence_stderr():
        capture = cv2.VideoCapture(index)

    first_ns = 0
    last_us = -1

    def decode() -> NDArray[Any]:
        is_decoded, image = capture.retrieve()
        if not is_decoded:
            raise VideoError(f"camera {index}: the frame at {last_us} us cannot be decoded")
        return image  # type: ignore[no-any-return]

    try:
        while not ended.is_set() and capture.grab():
            now_ns = time.monotonic_ns()
            first_ns = first_ns or now_ns

            # Times increase, also if two frames arrive within a microsecond.
            last_us = max((now_ns - first_ns) // 1000, last_us + 1)
            yield last_us, decode
    finally:
        capture.release()
