"""Settings of person tracking."""

from __future__ import annotations

from pydantic import Field

from ..base.settings import Settings
from ..video.config import VideoSettings


class TrackSettings(Settings):
    """Settings of person tracking."""

    max_fps: float = Field(default=30.0, gt=0, le=1000)
    """Maximum number of processed pictures per second; others are skipped. Clapping at 3 to 5 Hz needs 15 or more."""
    still_fps: float | None = Field(default=None, gt=0, le=1000)
    """Maximum number of processed pictures per second while nothing moves around the person; default: as `max_fps`."""


class FilmTrackSettings(VideoSettings, TrackSettings):
    """Settings for reading a video and tracking the person in it."""
