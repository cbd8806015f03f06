"""Settings of noise filters, and what messages and forms show of each filter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

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


class FilterFacts(NamedTuple):
    """What messages and forms show of a filter.

    Attributes:
        text: Name of the filter in words.
        example: Value that turns it on.
        unit: Unit in which the setting is shown.
        per_unit: Setting that is one of these units.
    """

    text: str
    example: int
    unit: str
    per_unit: float

    @property
    def is_switch(self) -> bool:
        """Whether the setting is only on or off."""
        return isinstance(self.example, bool)

    def read(self, value: float) -> float:
        """Return the setting that is shown as `value`, rounded to an integer."""
        return round(value * self.per_unit)


FILTERS: Mapping[str, FilterFacts] = {
    "hot_pixels": FilterFacts("hot pixels", True, "times", 1),
    "refractory_us": FilterFacts("refractory period", 1000, "ms", 1000),
    "activity_us": FilterFacts("background activity", 20_000, "ms", 1000),
}
"""The filters by the names of their settings, in the order in which they run."""
