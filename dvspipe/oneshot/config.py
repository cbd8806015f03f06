"""Settings of learning gestures from films."""

from __future__ import annotations

from pydantic import Field

from ..base.settings import Settings


class LearnConfig(Settings):
    """Settings of learning gestures from films."""

    mirror: bool = False
    """Whether the mirrored movement, with the other hand, is the same gesture."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the training."""
