"""Conversion of the values of a frame to levels: the logarithm of intensity that a pixel watches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError
from ..video.frames import Frame
from .config import SimulatorConfig

LINLOG_KNEE = 20.0  # of 255: boundary between line and logarithm in v2e's lin-log map (Hu et al. 2021)


def linear_intensity(values: NDArray[np.float64], transfer: str) -> NDArray[np.float64]:
    """Return the intensity of coded values, both with 1.0 as white.

    Args:
        values: Coded values, >= 0.
        transfer: The curve to undo: `srgb` (IEC 61966-2-1), `bt709` (ITU-R BT.709-6, item 1.2), `gamma=x`
            (I = value^x), or `linear`.
    """
    if transfer == "srgb":
        return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    if transfer == "bt709":
        return np.where(values < 0.081, values / 4.5, ((values + 0.099) / 1.099) ** (1 / 0.45))
    if transfer.startswith("gamma="):
        return values ** float(transfer.removeprefix("gamma="))
    return values


def level_of(light: NDArray[np.float64], config: SimulatorConfig) -> NDArray[np.float64]:
    """Return the level of intensities I >= 0, by the configuration's intensity map."""
    if config.intensity_map == "log":
        return np.log(light + config.log_offset)
    scaled = 255 * light
    return np.where(scaled > LINLOG_KNEE, np.log(np.maximum(scaled, 1)), scaled * math.log(LINLOG_KNEE) / LINLOG_KNEE)


def intensity(levels: NDArray[np.float64], config: SimulatorConfig) -> NDArray[np.float64]:
    """Return the intensity of levels, the inverse of `level_of`."""
    if config.intensity_map == "log":
        return np.exp(levels) - config.log_offset
    knee = math.log(LINLOG_KNEE)
    return np.where(levels > knee, np.exp(levels), levels * LINLOG_KNEE / knee) / 255


def code_levels(dtype: np.dtype[Any], transfer: str, config: SimulatorConfig) -> NDArray[np.float64]:
    """Return the level of each code of an integer image.

    Returns:
        float64 [256] for uint8, [65536] for uint16, strictly increasing.

    Raises:
        VideoError: The curve is `log`, which needs float frames.
    """
    if transfer == "log":
        raise VideoError(f"wrong type of frames with the transfer curve log (found {dtype}, expected float)")
    white = np.iinfo(dtype).max
    return level_of(linear_intensity(np.arange(white + 1) / white, transfer), config)


def float_levels(frame: Frame, config: SimulatorConfig) -> NDArray[np.float64]:
    """Return the level of each pixel of a float image, float64 [H, W]; with the curve `log`, its values.

    Raises:
        VideoError: A value is not finite, or a negative intensity.
    """
    values = frame.image.astype(np.float64)
    is_level = frame.transfer == "log"
    wrong = ~np.isfinite(values) if is_level else ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        y, x = np.argwhere(wrong)[0]
        expected = "a finite level" if is_level else "a finite intensity >= 0"
        raise VideoError(
            f"frame at {frame.t_us} us: wrong value at ({x}, {y}) (found {values[y, x]}, expected {expected})"
        )
    return values if is_level else level_of(linear_intensity(values, frame.transfer), config)
