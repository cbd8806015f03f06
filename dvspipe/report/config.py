"""Settings of previews and of data sets of frames, and the resolutions of charts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..base.errors import ConfigError
from ..base.settings import Settings
from ..encoding.config import FrameConfig
from ..formats import Hints

PREVIEW_SUFFIXES = (".webm", ".mp4", ".gif", ".png")
DPI = 200  # charts written to files: twice matplotlib's density
CSS_DPI = 100  # charts in pages; text is a little larger than in print
SHARPNESS = 2  # screen pixels per CSS pixel assumed for pictures in notebooks
MIN_PLAY_S = 2.0  # shorter recordings are played slower

EventColours = Literal["light", "dark", "colour-blind"]
"""Colour schemes for ON and OFF events."""
ColourMap = Literal["viridis", "inferno", "grey"]
"""Colour maps for the number of events, ON and OFF alike."""

PlotKind = Literal["xyt", "raster", "rate"]
"""Charts of events."""
PreviewMode = Literal["count", "surface", "decay"]
"""What the brightness of a pixel shows."""
PreviewColours = Literal[EventColours, ColourMap]
"""Colours of a preview."""
FrameFormat = Literal["png", "npy"]


class PreviewSettings(Settings):
    """Settings for previews of events.

    Example:
        >>> PreviewSettings(window_us=20_000, speed=0.5).picture_s
        0.04
    """

    window_us: int = Field(default=33_333, ge=100, le=10**9)
    """Time shown per picture in microseconds; time constant of the modes that fade."""
    speed: float = Field(default=1.0, ge=0.001, le=1000)
    """Playback speed of a video or GIF, relative to real time."""
    fps: float | None = Field(default=None, ge=1, le=120)
    """Pictures per second of playback; default: one picture per window."""
    mode: PreviewMode = "count"
    """`count`: ON minus OFF events of the window. `surface`: last event of each pixel, fading by exp(-age / window).
    `decay`: sum of events, each adding 1 (ON) or -1 (OFF) and fading in the same way, shown as 1 - exp(-abs(sum))."""
    colours: PreviewColours = "light"
    """`light` (ON red, OFF blue, on white), `dark` (ON white, OFF blue, on dark blue) or `colour-blind` (ON vermilion,
    OFF blue, on white); the colour maps `viridis`, `inferno` and `grey` show ON and OFF alike."""
    min_side_px: int = Field(default=320, ge=1, le=4096)
    """Minimum size: smaller sensors are enlarged by the smallest integer factor that gives their longer side this."""
    scale: int | None = Field(default=None, ge=1, le=32)
    """Enlargement of the sensor in a picture; default: the factor of `min_side_px`."""
    max_side_px: int = Field(default=2048, ge=16, le=4096)
    """Maximum size: sensors with a longer side are reduced by merging blocks of pixels, to limit memory."""
    skip_pauses: bool = False
    """Shorten pauses longer than a second of playing time."""

    @property
    def step_us(self) -> float:
        """Recording time between two pictures, in microseconds."""
        return self.window_us if self.fps is None else 1e6 * self.speed / self.fps

    @property
    def picture_s(self) -> float:
        """Display time of a picture, in seconds."""
        return self.step_us / self.speed * 1e-6


class FrameSettings(Hints, FrameConfig):
    """Settings of the frames of a data set, and metadata that recordings lack.

    They are stored in the output folder, in frames.json.
    """

    format: FrameFormat = "png"
    """`png`: picture in the colours of `dvspipe view`, a pixel per pixel of the sensor; `npy`: array of the values."""
    colours: PreviewColours = "light"
    """Colours of pictures: a pair for ON and OFF, or a colour map."""

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
    duration_s: float, *, max_play_s: float, fps: float, sides_px: tuple[int, int], colours: PreviewColours = "light"
) -> PreviewSettings:
    """Return settings to play a recording in real time, or slower or faster to last `MIN_PLAY_S` to `max_play_s`.

    Example:
        >>> plan_playback(120.0, max_play_s=60.0, fps=25.0, sides_px=(256, 480)).speed
        2.0
    """
    play_s = min(max_play_s, max(MIN_PLAY_S, duration_s))
    speed = max(0.001, min(1000.0, duration_s / play_s))  # the limits of the setting
    min_side_px, max_side_px = sides_px
    return PreviewSettings(
        window_us=max(100, round(1e6 * speed / fps)),
        speed=speed,
        fps=fps,
        skip_pauses=True,
        colours=colours,
        min_side_px=min_side_px,
        max_side_px=max_side_px,
    )
