"""Settings of previews and of data sets of frames."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..base.errors import ConfigError
from ..base.settings import Settings
from ..encoding.config import FrameConfig

PREVIEW_SUFFIXES = (".webm", ".mp4", ".gif", ".png")
MIN_PLAY_S = 2.0  # shorter recordings are played slower

PlotKind = Literal["xyt", "rate"]
"""Charts of events."""
PreviewColours = Literal["light", "dark"]
"""Background of a preview; ON is red and OFF is blue on both."""


class PreviewSettings(Settings):
    """Settings for previews of events.

    Example:
        >>> PreviewSettings(window_us=20_000, speed=0.5).picture_s
        0.04
    """

    window_us: int = Field(default=33_333, ge=100, le=10**9)
    """Time shown per picture in microseconds."""
    speed: float = Field(default=1.0, ge=0.001, le=1000)
    """Playback speed of a video or GIF, relative to real time."""
    fps: float | None = Field(default=None, ge=1, le=120)
    """Pictures per second of playback; default: one picture per window."""
    colours: PreviewColours = "light"
    """Background: `light` or `dark`. ON is red and OFF is blue on both."""
    side_px: int = Field(default=640, ge=16, le=2048)
    """Longer side of a picture: sensors are enlarged by the smallest integer factor that reaches it, and reduced by
    the smallest that gives at most twice of it."""

    @property
    def step_us(self) -> float:
        """Recording time between two pictures, in microseconds."""
        return self.window_us if self.fps is None else 1e6 * self.speed / self.fps

    @property
    def picture_s(self) -> float:
        """Display time of a picture, in seconds."""
        return self.step_us / self.speed * 1e-6


class FrameSettings(FrameConfig):
    """Settings of the frames of a data set.

    They are stored in the output folder, in frames.json.
    """

    format: Literal["png", "npy"] = "png"
    """`png`: picture in the colours of `dvspipe view`, a pixel per pixel of the sensor; `npy`: array of the values."""

    @model_validator(mode="before")
    @classmethod
    def _has_windows_by_default(cls, given: object) -> object:
        if isinstance(given, dict) and not {"every_us", "every_events"} & given.keys():
            return given | {"every_us": PreviewSettings().window_us}
        return given

    @model_validator(mode="after")
    def _can_be_written(self) -> FrameSettings:
        if self.form == "voxel" and self.format == "png":
            raise ConfigError("form = voxel: has no picture (expected format = npy)")
        return self


def plan_playback(
    duration_s: float, *, max_play_s: float, fps: float, side_px: int, colours: PreviewColours = "light"
) -> PreviewSettings:
    """Return settings to play a recording in real time, or slower or faster to last `MIN_PLAY_S` to `max_play_s`.

    Example:
        >>> plan_playback(120.0, max_play_s=60.0, fps=25.0, side_px=320).speed
        2.0
    """
    play_s = min(max_play_s, max(MIN_PLAY_S, duration_s))
    speed = max(0.001, min(1000.0, duration_s / play_s))  # the limits of the setting
    window_us = max(100, round(1e6 * speed / fps))
    return PreviewSettings(window_us=window_us, speed=speed, fps=fps, colours=colours, side_px=side_px)
