"""`Frame`: a grey image with a time and a transfer curve."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief, VideoError
from ..events import SensorSize

TRANSFERS = ("srgb", "bt709", "gamma=x", "linear", "log")
FIXED_TRANSFERS = tuple(name for name in TRANSFERS if name != "gamma=x")
MIN_GAMMA = 0.1
MAX_GAMMA = 10
PIXEL_TYPES = (np.uint8, np.uint16, np.float32)


@dataclass(frozen=True, repr=False)
class Frame(Brief):
    """Grey video frame with its time.

    Args:
        t_us: Time in microseconds.
        image: Grey image [H, W]: full-range uint8 or uint16, or float32 with white = 1.0.
        transfer: Transfer curve of the values: `srgb`, `bt709`, `gamma=x` (intensity = value ** x, x from 0.1 to 10),
            `linear` (intensity = value) or, for float images only, `log` (value = natural logarithm of intensity).
    """

    t_us: int
    image: NDArray[Any]
    transfer: str = "srgb"

    @property
    def size(self) -> SensorSize:
        """Width and height of the image."""
        height, width = self.image.shape
        return SensorSize(width=width, height=height)


def frames_from_arrays(
    images: Iterable[NDArray[Any]], *, fps: float, start_us: int = 0, transfer: str = "srgb"
) -> Iterator[Frame]:
    """Create frames at a constant rate from images in memory.

    Args:
        images: Grey images [H, W], as in `Frame`.
        fps: Frames per second, > 0.
        start_us: Time of the first frame in microseconds.
        transfer: Transfer curve of the values, as in `Frame`.

    Raises:
        VideoError: If `fps` is not above 0.

    Example:
        >>> images = np.zeros((3, 7, 12), np.uint8)
        >>> [frame.t_us for frame in frames_from_arrays(images, fps=100)]
        [0, 10000, 20000]
    """
    if not fps > 0:
        raise VideoError(f"frames_from_arrays: wrong fps (found {fps:g}, expected a number above 0)")

    return (Frame(start_us + round(number * 1e6 / fps), image, transfer) for number, image in enumerate(images))


def checked_frames(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield `frames`, checking the type of each."""
    if not isinstance(frames, Iterable):
        raise VideoError(f"wrong type of frames (found {type(frames).__name__}, expected frames)")

    for frame in frames:
        if not isinstance(frame, Frame):
            raise VideoError(f"wrong type of a frame (found {type(frame).__name__}, expected Frame)")
        yield frame


def check_transfer(name: str) -> None:
    """Check the name of a transfer curve."""
    power = re.fullmatch(r"gamma=(?P<x>[0-9]+(\.[0-9]+)?)", name)
    is_gamma = power is not None and MIN_GAMMA <= float(power["x"]) <= MAX_GAMMA
    if not is_gamma and name not in FIXED_TRANSFERS:
        raise VideoError(f"unknown transfer curve {name!r} (expected {', '.join(TRANSFERS)}, with x from 0.1 to 10)")
