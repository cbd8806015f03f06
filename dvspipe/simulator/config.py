"""The settings of the pixel model."""

from __future__ import annotations

from pydantic import Field

from ..config import Settings


class SimulatorConfig(Settings):
    """Settings of the pixel model; names and defaults are v2e's where it has them (Hu, Liu and Delbruck 2021)."""

    pos_thres: float = Field(default=0.2, gt=0, le=10)
    """ON contrast threshold: the rise of the log intensity that makes one ON event."""
    neg_thres: float = Field(default=0.2, gt=0, le=10)
    """OFF contrast threshold: the fall of the log intensity that makes one OFF event."""
    log_offset: float = Field(default=1 / 255, gt=0, le=1)
    """Epsilon in L = ln(I + epsilon), I in [0, 1]: the intensity that adds to the light, as a dark current does."""
