"""Convert images to grey or RGB, crop and resize them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import VideoError
from ..events import Region, SensorSize
from .config import VideoSettings
from .opencv import cv2

FramePass = Generator[tuple[int, Callable[[], NDArray[Any]]], None, None]
"""One pass over a video: the time of each frame in microseconds, and a function that decodes its image; call it before
the next frame."""


def fit_picture(name: str, image: NDArray[Any], settings: VideoSettings) -> NDArray[Any]:
    """Crop and resize an image: area averaging if a side shrinks, otherwise bilinear interpolation."""
    if settings.crop:
        crop = Region.parse(settings.crop)
        height, width = image.shape[:2]
        size = SensorSize(width=width, height=height)
        if not crop.is_inside(size):
            raise VideoError(f"{name}: crop {crop}: not inside the image (found {size})")
        image = image[crop.top : crop.top + crop.size.height, crop.left : crop.left + crop.size.width]

    if settings.resize:
        size = SensorSize.parse(settings.resize)
        height, width = image.shape[:2]
        shrinks = size.width < width or size.height < height
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = cv2.resize(image, (size.width, size.height), interpolation=method)
    return image


def to_grey(image: NDArray[Any]) -> NDArray[Any]:
    """Convert BGR or BGRA to grey in the same type: BT.601 luma of the coded values; OpenCV rounds integers."""
    if image.ndim == 2:
        return image

    order = cv2.COLOR_BGRA2GRAY if image.shape[-1] == 4 else cv2.COLOR_BGR2GRAY
    return np.asarray(cv2.cvtColor(image, order))


def to_colours(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert grey, BGR or BGRA images to RGB, uint8 [H, W, 3]."""
    if image.dtype == np.uint16:
        image = image >> 8
    elif image.dtype == np.float32:
        image = (255 * image.clip(0, 1)).round()
    image = np.asarray(image, np.uint8)

    channels = 1 if image.ndim == 2 else image.shape[-1]
    order = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}[channels]
    return np.asarray(cv2.cvtColor(image, order))
