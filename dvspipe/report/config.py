"""Settings of previews."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..config import Settings
from .style import ColourMap, EventColours

PreviewMode = Literal["counts", "surface", "decay"]
"""Names of what the brightness of a pixel shows."""
PreviewColours = Literal[EventColours, ColourMap]
"""Names of the colours of a preview."""


class PreviewSettings(Settings):
    """How events are shown."""

    window_us: int = Field(default=33_333, ge=100, le=10**9)
    """Time shown in one picture in microseconds; the time constant of the modes that fade."""
    speed: float = Field(default=1.0, ge=0.001, le=1000)
    """How many times faster than real time a video or GIF plays."""
    fps: float | None = Field(default=None, ge=1, le=120)
    """Pictures per second of playing time; None for a picture per window."""
    mode: PreviewMode = "counts"
    """`counts`: ON minus OFF events of the window. `surface`: the last event of each pixel, which fades by
    exp(-age / window). `decay`: each event adds 1 (ON) or -1 (OFF), which fades in the same way; shown is
    1 - exp(-|sum|)."""
    colours: PreviewColours = "light"
    """`light` (ON red, OFF blue, on white), `dark` (ON white, OFF blue, on dark blue), or `colour-blind` (ON vermilion,
    OFF blue, on white); the colour maps `viridis`, `inferno` and `grey` show ON and OFF alike."""
    min_side_px: int = Field(default=320, ge=1, le=4096)
    """A sensor whose longer side is shorter is enlarged by the smallest integer factor that reaches this."""
    scale: int | None = Field(default=None, ge=1, le=32)
    """How many times as large as its sensor a picture is; None for the factor of `min_side_px`."""
    max_side_px: int = Field(default=2048, ge=16, le=4096)
    """A sensor whose longer side is longer is made smaller, blocks of pixels to one, so that memory is bounded."""
    skip_pauses: bool = False
    """Whether pauses longer than a second of playing time are cut short."""

    @property
    def step_us(self) -> float:
        """Time from one picture to the next in microseconds, on the recording's clock."""
        return self.window_us if self.fps is None else 1e6 * self.speed / self.fps

    @property
    def picture_s(self) -> float:
        """How long a picture is shown, in seconds."""
        return self.step_us / self.speed * 1e-6
