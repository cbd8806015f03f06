"""Video settings."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ..base.errors import ConfigError
from ..base.settings import Settings, UserPath
from ..events.sensor import REGION_PATTERN, SIZE_PATTERN

FOLDER_FPS = 30.0  # default frame rate of an image folder without times


class ClipSettings(Settings):
    """Frame rate of a video, and its part to read."""

    fps: float | None = Field(default=None, gt=0, le=1e6)
    """Frames per second, replacing the times in the video. Default: times in the video; 30 for an image folder without
    times."""
    start_s: float = Field(default=0.0, ge=0)
    """Start time in seconds (inclusive)."""
    stop_s: float | None = Field(default=None, gt=0)
    """Stop time in seconds (exclusive); default: end of the video."""

    @model_validator(mode="after")
    def _stop_after_start(self) -> Self:
        if self.stop_s is not None and self.stop_s <= self.start_s:
            raise ConfigError(
                f"wrong stop time (found {self.stop_s:g} s, expected more than the start {self.start_s:g} s)"
            )
        return self


class TimeSettings(Settings):
    """Unit of the times of a recording, or of frames."""

    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    """Unit of the times of a recording, or of a video's file `timestamps`: s, ms, us or ns. Takes precedence over the
    unit in the file. Default: the unit in the file; seconds if the times of frames have a decimal point."""


class VideoSettings(ClipSettings, TimeSettings):
    """Settings for reading a video: frame times, transfer curve, crop, size and time range."""

    timestamps: UserPath | None = None
    """File of frame times, replacing the times in the video. One line per frame: a time, optionally followed by the
    image name. Default for an image folder: its `timestamps.txt` or `images.csv`."""
    transfer: str = "srgb"
    """Transfer curve of the pixel values: `srgb` (ordinary video), `bt709`, `gamma=x` (x from 0.1 to 10), `linear`,
    or `log` for float images."""
    crop: str | None = Field(default=None, pattern=REGION_PATTERN)
    """Crop region, WIDTHxHEIGHT+LEFT+TOP in pixels of the video."""
    resize: str | None = Field(default=None, pattern=SIZE_PATTERN)
    """Output size after cropping, WIDTHxHEIGHT in pixels."""
