"""Settings of learning gestures from films."""

from __future__ import annotations

from pydantic import Field

from ..base.settings import Settings
from ..synthesis.config import CameraKind


class LearnConfig(Settings):
    """Settings of learning gestures from films."""

    people: int = Field(default=24, ge=4, le=1000)
    """Number of rendered people who perform each gesture; a third of them are only for validation and testing."""
    epochs: int = Field(default=8, ge=1, le=1000)
    """Number of passes through the rendered clips."""
    camera: CameraKind = "both"
    """Cameras that record the rendered people: `dvs`, `webcam`, or `both`."""
    mirror: bool = False
    """Whether the mirrored movement, with the other hand, is the same gesture."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the rendered people and of training."""
    jobs: int = Field(default=2, ge=1)
    """Number of rendering processes."""


THOROUGH = LearnConfig(people=96, epochs=16)
"""Settings for more people and longer training; takes about five times as long."""
STRANGERS = "with five gestures from one film each, 10 of 38 films of strangers were right; films of more people help"
"""What was measured on real films; see BENCHMARKS.md."""
