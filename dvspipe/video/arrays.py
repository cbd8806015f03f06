"""Open arrays as videos."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.errors import VideoError
from .config import VideoSettings
from .frames import PIXEL_TYPES
from .pictures import FramePass
from .times import find_times_us
from .video import EXAMPLE_FPS, NO_FRAME, Video, read_size

MAX_WHITE = 2.0  # larger float values are a mistake (such as 0 to 255), unless they are linear light


def stack_images(images: ArrayLike) -> NDArray[Any]:
    """Stack images of NumPy or another library into one array."""
    try:
        if isinstance(images, list | tuple):
            return np.stack([np.asarray(image) for image in images])
        return np.asarray(images)
    except (TypeError, ValueError, RuntimeError) as error:  # NumPy and other libraries raise any of these
        raise VideoError(f"the array: cannot be read as images [T, H, W] ({error})") from error


def open_array(array: NDArray[Any], settings: VideoSettings) -> Video:
    """Open an array of images as a video; see `open_video`."""
    name = "the array"
    is_colour = array.ndim == 4 and array.shape[-1] == 3
    if not (array.ndim == 3 or is_colour) or not array.size or array.dtype not in (*PIXEL_TYPES, np.float64):
        raise VideoError(
            f"{name}: wrong type or shape (found {array.dtype} {array.shape}, expected grey images [T, H, W] or "
            "colour images [T, H, W, 3] of uint8, uint16, float32 or float64)"
        )
    if array.dtype.kind == "f" and settings.transfer != "linear":
        largest = np.fmax.reduce(array, axis=None)  # ignores NaN
        if largest > MAX_WHITE:
            raise VideoError(f"{name}: wrong range of values (found up to {largest:g}, expected 0 to 1)")
    if settings.fps is None and settings.timestamps is None:
        raise VideoError(f"{name}: has no frame times; use fps={EXAMPLE_FPS} to set the frames per second")

    start_pass = partial(_pass_over_array, array)
    size = read_size(name, start_pass, settings, NO_FRAME)
    times_us = find_times_us(settings, name, len(array))
    return Video(name, size, len(array), settings, start_pass, times_us)


def _pass_over_array(array: NDArray[Any]) -> FramePass:
    for image in array:  # time 0: the rate, or a file, gives the times
        yield 0, partial(_to_opencv, image)


def _to_opencv(image: NDArray[Any]) -> NDArray[Any]:
    """Convert an image to the types and colour order of images decoded by OpenCV: float32 for float64, BGR for RGB."""
    picture = image.astype(np.float32) if image.dtype == np.float64 else image
    return picture if picture.ndim == 2 else np.ascontiguousarray(picture[:, :, ::-1])
