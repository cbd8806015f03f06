"""The settings by which a recording becomes the events of another sensor."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..config import ROI_PATTERN, Settings
from ..conversion import ConvertConfig


class SourceConfig(Settings):
    """How recordings and videos become events of the sensor that a network is for."""

    fit: Literal["crop", "scale"] | None = None
    """What to do with recordings of another sensor: `crop` takes the middle, pixel on pixel, `scale` scales them. None:
    a larger one is scaled down, and a smaller one is an error; videos are scaled before they are simulated."""
    roi: str | None = Field(default=None, pattern=ROI_PATTERN)
    """Part of the picture to use: WIDTHxHEIGHT+LEFT+TOP, which may reach beyond it (128x128+40-8); `auto`, the one who
    moves, followed slowly and scaled to the size that networks are trained with (see `find_framing`); or `full`. None:
    `auto` for videos and for recordings of a larger sensor than the network's, `full` for others and if `fit`, or a
    crop or size of the video, is given."""
    video: ConvertConfig = ConvertConfig()
    """How videos become events."""
