"""Settings of conversions, from videos to events and from one event format to another."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..formats import Hints
from ..simulator import SimulatorConfig
from ..video.config import VideoSettings

Upsampling = Literal["off", "auto"] | Annotated[int, Field(ge=2, le=256)]


class FilmConfig(VideoSettings, SimulatorConfig):
    """Settings that decide the events of a video; an event file stores them."""

    upsample: Upsampling = "off"
    """Motion-compensated steps per pair of frames of a video: off, auto (depending on the motion) or a number."""


class ConvertConfig(Hints, FilmConfig):
    """Settings for reading a video or a recording, and the pixel model.

    Example:
        >>> config = ConvertConfig(fps=30, pos_thres=0.3, upsample="auto")
        >>> config.part(SimulatorConfig)
        SimulatorConfig(pos_thres=0.3)
    """

    sort: bool = False
    """Sort the events of an unsorted recording by time, in memory."""


FOR_RECORDINGS = frozenset({"sort", *Hints.model_fields} - {"time_unit", "images"})
"""Settings that apply to recordings only."""
FOR_VIDEOS = frozenset(FilmConfig.model_fields) - {"time_unit"}
"""Settings that apply to videos only."""
