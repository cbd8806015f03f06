"""Brightness of a film: in the dark, the pose network finds no joints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..base.errors import VideoError
from ..video.config import VideoSettings
from ..video.opening import open_video

MIN_BRIGHTNESS = 0.02  # three films, darkened: joints are found down to 0.014 to 0.022, with noise of one grey level
EVERY_US = 500_000  # brightness changes slowly; other frames are decoded, but not averaged


def check_brightness(path: str | Path, *, video: VideoSettings | Mapping[str, object] | None = None) -> float:
    """Return the mean brightness of a film, 0 to 1, and refuse a film that is too dark to find joints in it.

    Args:
        path: Video file or folder of images.
        video: Settings for reading the video; also a mapping of keys and values.

    Returns:
        Mean of the coded red, green and blue values of a frame per half second, relative to white.

    Raises:
        VideoError: If the mean brightness is below 0.02, or the video cannot be read.
    """
    film = open_video(path, video).tolerant()
    last_us, means = -EVERY_US, list[float]()
    for t_us, picture in film.pictures():
        if t_us - last_us >= EVERY_US:
            means.append(float(picture.mean()) / 255)
            last_us = t_us
    brightness = float(np.mean(means))
    if brightness < MIN_BRIGHTNESS:
        raise VideoError(
            f"{film.name}: too dark (found a mean brightness of {100 * brightness:.1f} %, expected "
            f"{100 * MIN_BRIGHTNESS:g} % or more)"
        )
    return brightness
