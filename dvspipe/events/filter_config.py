"""Settings of noise filters, and their names in words."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from ..base.settings import Settings

LONGEST_PERIOD_US = 1 << 40  # 13 days; times plus periods fit int64


class FilterConfig(Settings):
    """Filter settings; None or False disables a filter. The filters run in the order of their settings."""

    hot_pixels: bool = False
    """Remove all events of hot pixels, which are far more active than their neighbours."""
    refractory_us: int | None = Field(default=None, ge=1, le=LONGEST_PERIOD_US)
    """Refractory period: minimum time between two kept events of a pixel (either polarity), in microseconds."""
    activity_us: int | None = Field(default=None, ge=1, le=LONGEST_PERIOD_US)
    """Background activity: time for which an event supports events of its neighbours, in microseconds; usually 1,000 to
    50,000."""

    @property
    def active(self) -> dict[str, float]:
        """Settings of the filters that are on, by name."""
        return {name: value for name, value in self if value}


FILTERS: Mapping[str, str] = {
    "hot_pixels": "hot pixels",
    "refractory_us": "refractory period",
    "activity_us": "background activity",
}
"""The filters in words, by the names of their settings, in the order in which they run."""
