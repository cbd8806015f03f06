"""The settings by which a recording becomes the events of another sensor."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..config import REGION_OR_AUTO_PATTERN, Settings
from ..conversion import ConvertConfig


class SourceConfig(Settings):
    """How recordings and videos become events of the sensor that a network is for."""

    fit: Literal["crop", "scale"] | None = None
    """What to do with recordings of another sensor: `crop` takes the middle, `scale` scales them. None: raise an error;
    videos are scaled before they are simulated."""
    roi: str | None = Field(default=None, pattern=REGION_OR_AUTO_PATTERN)
    """Part of the sensor to use, WIDTHxHEIGHT+LEFT+TOP, or `auto`: where the events are."""
    video: ConvertConfig = ConvertConfig()
    """How videos become events."""
