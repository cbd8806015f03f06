"""Settings of noise filters."""

from __future__ import annotations

from typing import TypedDict

from pydantic import Field

from ..base.config import Settings

LONGEST_PERIOD_US = 1 << 40  # 13 days; times plus periods fit int64


class FilterConfig(Settings):
    """Filter settings; None disables a filter."""

    refractory_us: int | None = Field(default=None, ge=1, le=LONGEST_PERIOD_US)
    """Refractory period: minimum time between two kept events of a pixel (either polarity), in microseconds."""
    activity_us: int | None = Field(default=None, ge=1, le=LONGEST_PERIOD_US)
    """Background activity: time for which an event supports events of its neighbours, in microseconds; usually 1,000 to
    50,000."""


class FilterKeywords(TypedDict, total=False):
    """Settings of `FilterConfig` by name."""

    refractory_us: int | None
    activity_us: int | None
