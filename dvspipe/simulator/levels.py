"""From the values of a frame to the log intensity that a pixel sees."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError
from ..video import Frame, Transfer


def linear_intensity(values: NDArray[np.float64], transfer: Transfer) -> NDArray[np.float64]:
    """Light in proportion to the scene's, from coded values, both with 1.0 as white.

    Args:
        values: Coded values, >= 0.
        transfer: The curve to undo; `srgb` is the inverse of IEC 61966-2-1, section 5.2.
    """
    if transfer == "linear":
        return values
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def code_levels(dtype: np.dtype[Any], transfer: Transfer, log_offset: float) -> NDArray[np.float64]:
    """The level ln(I + log_offset) of every code of an integer image.

    Returns:
        float64 [256] for uint8, [65536] for uint16, strictly increasing.
    """
    white = np.iinfo(dtype).max
    return np.log(linear_intensity(np.arange(white + 1) / white, transfer) + log_offset)


def float_levels(frame: Frame, log_offset: float) -> NDArray[np.float64]:
    """The level ln(I + log_offset) of every pixel of a float image, float64 [H, W].

    Raises:
        VideoError: A pixel is negative or not a finite number.
    """
    values = frame.image.astype(np.float64)
    wrong = ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        y, x = np.argwhere(wrong)[0]
        raise VideoError(
            f"the frame at {frame.t_us} us has {values[y, x]} at ({x}, {y}), expected a finite intensity >= 0"
        )
    return np.log(linear_intensity(values, frame.transfer) + log_offset)
