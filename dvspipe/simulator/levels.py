"""From the values of a frame to the level that a pixel sees: the logarithm of its intensity."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError
from ..frames import Frame
from .config import SimulatorConfig

LINLOG_KNEE = 20.0  # of 255: where v2e's lin-log map turns from a line into the logarithm (Hu et al. 2021)


def linear_intensity(values: NDArray[np.float64], transfer: str) -> NDArray[np.float64]:
    """Light in proportion to the scene's, from coded values, both with 1.0 as white.

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
    """The level of intensities I >= 0, by the configuration's intensity map."""
    if config.intensity_map == "log":
        return np.log(light + config.log_offset)
    scaled = 255 * light
    return np.where(scaled > LINLOG_KNEE, np.log(np.maximum(scaled, 1)), scaled * math.log(LINLOG_KNEE) / LINLOG_KNEE)


def intensity(levels: NDArray[np.float64], config: SimulatorConfig) -> NDArray[np.float64]:
    """The inverse of `level_of`."""
    if config.intensity_map == "log":
        return np.exp(levels) - config.log_offset
    knee = math.log(LINLOG_KNEE)
    return np.where(levels > knee, np.exp(levels), levels * LINLOG_KNEE / knee) / 255


def code_levels(dtype: np.dtype[Any], transfer: str, config: SimulatorConfig) -> NDArray[np.float64]:
    """The level of every code of an integer image.

    Returns:
        float64 [256] for uint8, [65536] for uint16, strictly increasing.

    Raises:
        VideoError: The curve is `log`, which holds levels and needs float frames.
    """
    if transfer == "log":
        raise VideoError(f"frames of {dtype} with the transfer curve log: expected float frames that hold the level")
    white = np.iinfo(dtype).max
    return level_of(linear_intensity(np.arange(white + 1) / white, transfer), config)


def float_levels(frame: Frame, config: SimulatorConfig) -> NDArray[np.float64]:
    """The level of every pixel of a float image, float64 [H, W]; of the curve `log`, the values themselves.

    Raises:
        VideoError: A pixel is not a finite number, or a negative intensity.
    """
    values = frame.image.astype(np.float64)
    held = frame.transfer == "log"
    wrong = ~np.isfinite(values) if held else ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        y, x = np.argwhere(wrong)[0]
        expected = "a finite level" if held else "a finite intensity >= 0"
        raise VideoError(f"the frame at {frame.t_us} us has {values[y, x]} at ({x}, {y}), expected {expected}")
    return values if held else level_of(linear_intensity(values, frame.transfer), config)
