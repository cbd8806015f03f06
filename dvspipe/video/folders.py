"""Read images, and open image folders as videos."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..base.errors import VideoError
from .config import FOLDER_FPS, VideoSettings
from .frames import PIXEL_TYPES
from .names import list_images
from .opencv import SILENT_OPENCV, cv2
from .pictures import FramePass, count_channels, fit_picture, to_grey
from .times import find_times_us
from .video import NO_FRAME, Video, read_size

IMAGE_CHANNELS = (1, 3, 4)  # grey, BGR, BGRA
FOLDER_TIMES = ("timestamps.txt", "images.csv")  # default files of frame times in an image folder


def read_image(path: Path, settings: VideoSettings = VideoSettings()) -> NDArray[Any]:
    """Read an image file as grey, [H, W], uint8, uint16 or float32, without undoing the transfer curve."""
    if not path.is_file():
        raise VideoError(f"{path}: no such image file")

    return fit_picture(str(path), to_grey(_read_image(path)), settings)


def open_folder(path: Path, settings: VideoSettings) -> Video:
    """Open an image folder as a video; see `open_video`."""
    # The times of the folder itself take precedence over the default rate, but not over settings.
    if settings.fps is None and settings.timestamps is None:
        times_file = next((path / name for name in FOLDER_TIMES if (path / name).is_file()), None)
        update = {"fps": FOLDER_FPS} if times_file is None else {"timestamps": str(times_file)}
        settings = settings.model_copy(update=update)

    files = list_images(path)
    if not files:
        raise VideoError(f"{path}: contains no images")

    start_pass = partial(_pass_over_files, files)
    size = read_size(str(path), start_pass, settings, NO_FRAME)
    times_us = find_times_us(settings, str(path), len(files), files)
    return Video(str(path), size, len(files), settings, start_pass, times_us)


def _pass_over_files(files: Sequence[Path]) -> FramePass:
    for file in files:  # time 0: the rate, or a file, gives the times
        yield 0, partial(_read_image, file)


def _read_image(file: Path) -> NDArray[Any]:
    with SILENT_OPENCV:
        image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)

    if image is None:
        raise VideoError(f"{file}: not an image that OpenCV can read")
    if image.dtype not in PIXEL_TYPES or count_channels(image) not in IMAGE_CHANNELS:
        raise VideoError(
            f"{file}: wrong pixel type or shape (found {image.dtype} {image.shape}, expected grey or colour, "
            "uint8, uint16 or float32)"
        )
    return image  # type: ignore[no-any-return]
