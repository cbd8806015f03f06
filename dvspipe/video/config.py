"""Settings for reading a video."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ..config import REGION_PATTERN, SIZE_PATTERN, Settings

FOLDER_FPS = 30.0  # default for an image folder without times


class VideoSettings(Settings):
    """Settings for reading a video."""

    fps: float | None = Field(default=None, gt=0, le=1e6)
    """Frames per second, instead of the video's own times; default for an image folder without times: 30."""
    timestamps: str | None = None
    """A file of times to use instead, one line per frame: a time, optionally followed by the name of the image. Default
    for an image folder: its `timestamps.txt` or `images.csv`."""
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    """Unit of the times in that file. Default: the unit in its heading (such as `timestamp_ns`), otherwise seconds if
    the numbers have a decimal point; integers without a unit are an error."""
    transfer: str = "srgb"
    """Transfer curve of the values, as in `Frame`; ordinary video is `srgb`."""
    crop: str | None = Field(default=None, pattern=REGION_PATTERN)
    """Region of the picture to keep, WIDTHxHEIGHT+LEFT+TOP."""
    resize: str | None = Field(default=None, pattern=SIZE_PATTERN)
    """Size to which the (cropped) picture is scaled, WIDTHxHEIGHT."""
    start_s: float = Field(default=0.0, ge=0)
    """Start time in seconds; earlier frames are skipped."""
    stop_s: float | None = Field(default=None, gt=0)
    """Stop time in seconds (exclusive); default: end of the video."""

    @model_validator(mode="after")
    def _stop_after_start(self) -> Self:
        if self.stop_s is not None and self.stop_s <= self.start_s:
            raise ValueError(
                f"wrong stop time (found {self.stop_s:g} s, expected more than the start {self.start_s:g} s)"
            )
        return self
