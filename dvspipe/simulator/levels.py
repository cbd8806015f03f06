"""Convert frame values to levels: the log intensity seen by a DVS pixel.

A value is first converted to an intensity (`linear_intensity`, by the transfer curve of the frame), and this to a level
(`level_of`, by the intensity map of the sensor). Integer images have few values, so they get a table (`code_levels`).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import VideoError
from ..video.frames import Frame
from .config import SimulatorConfig

LINLOG_KNEE = 20.0  # on a scale of 255: lin-log maps of v2e are linear below, logarithmic above (Hu et al. 2021)


def linear_intensity(values: NDArray[np.float64], transfer: str) -> NDArray[np.float64]:
    """Undo a transfer curve: convert coded values to intensities. White is 1.0 in both.

    Args:
        values: Coded values, >= 0.
        transfer: Curve to undo: `srgb` (IEC 61966-2-1), `bt709` (ITU-R BT.709-6, item 1.2), `gamma=x`
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
    """Convert intensities I >= 0 to levels, with the intensity map of `config`."""
    if config.intensity_map == "log":
        return np.log(light + config.log_offset)

    scaled = 255 * light
    above = np.log(np.maximum(scaled, 1))  # at least 1: both branches are computed, and the logarithm of 0 would warn
    return np.where(scaled > LINLOG_KNEE, above, scaled * math.log(LINLOG_KNEE) / LINLOG_KNEE)


def intensity(levels: NDArray[np.float64], config: SimulatorConfig) -> NDArray[np.float64]:
    """Convert levels to intensities: the inverse of `level_of`."""
    if config.intensity_map == "log":
        return np.exp(levels) - config.log_offset

    knee = math.log(LINLOG_KNEE)
    return np.where(levels > knee, np.exp(levels), levels * LINLOG_KNEE / knee) / 255


@lru_cache(maxsize=4)
def code_levels(dtype: np.dtype[Any], transfer: str, config: SimulatorConfig) -> NDArray[np.float64]:
    """Return the level of each grey code of an integer image.

    Returns:
        float64 [256] for uint8, [65536] for uint16, strictly increasing.
    """
    if transfer == "log":
        raise VideoError(f"wrong type of frames for the transfer curve log (found {dtype}, expected float)")

    white = np.iinfo(dtype).max
    return level_of(linear_intensity(np.arange(white + 1) / white, transfer), config)


def float_levels(frame: Frame, config: SimulatorConfig) -> NDArray[np.float64]:
    """Return the level of each pixel of a float image, float64 [H, W]. With the curve `log`, values are levels."""
    values = frame.image.astype(np.float64)
    is_level = frame.transfer == "log"

    wrong = ~np.isfinite(values) if is_level else ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        y, x = np.argwhere(wrong)[0]  # the first wrong pixel
        expected = "a finite level" if is_level else "a finite intensity >= 0"
        raise VideoError(
            f"frame at {frame.t_us} us: wrong value at ({x}, {y}) (found {values[y, x]}, expected {expected})"
        )

    return values if is_level else level_of(linear_intensity(values, frame.transfer), config)


def frame_levels(frame: Frame, config: SimulatorConfig) -> NDArray[np.float64]:
    """Return the level of each pixel of a frame, float64 [H, W]."""
    if frame.image.dtype.kind == "f":
        return float_levels(frame, config)

    levels: NDArray[np.float64] = code_levels(frame.image.dtype, frame.transfer, config)[frame.image]
    return levels
