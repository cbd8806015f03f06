"""Settings of person tracking."""

from __future__ import annotations

from pydantic import Field

from ..video.config import ClipSettings


class TrackSettings(ClipSettings):
    """Settings for reading a part of a video and tracking the person in it."""

    max_fps: float = Field(default=30.0, gt=0, le=1000)
    """Maximum number of processed pictures per second; others are skipped. Clapping at 3 to 5 Hz needs 15 or more."""
    still_fps: float | None = Field(default=None, gt=0, le=1000)
    """Maximum number of processed pictures per second while nothing moves around the person; default: as `max_fps`."""
