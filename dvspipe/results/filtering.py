"""Scores of noise filters on events with noise labels."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import computed_field

from .tables import Record

FilterName = Literal["hot_pixels", "refractory", "activity"]
"""Names of the filters, in the order in which they run."""


class EventCounts(Record):
    """Numbers of signal and noise events."""

    signal: int
    """Number of signal events."""
    noise: int
    """Number of noise events."""


class FilterPoint(Record):
    """A setting of a filter, and the events that it keeps."""

    setting: float
    """Setting: microseconds for `refractory` and `activity`, the factor of `find_hot_pixels` for `hot_pixels`."""
    kept: EventCounts
    """Events that pass this filter alone."""


class FilterScore(Record):
    """Score of a filter, alone or together with others."""

    filter: FilterName | Literal["all"]
    """Name of the filter; `all`: the filters that are on, one after the other."""
    setting: float | None
    """Setting, as in `FilterPoint`; None: the filter is off, or `all`."""
    total: EventCounts
    """Events before filtering."""
    kept: EventCounts
    """Events that pass; all of them if the filter is off."""
    curve: tuple[FilterPoint, ...] = ()
    """Events that pass this filter alone, for each setting of a sweep."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def precision(self) -> float | None:
        """Share of signal in the kept events; None if no events are kept."""
        kept_events = self.kept.signal + self.kept.noise
        return self.kept.signal / kept_events if kept_events else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def recall(self) -> float:
        """Share of the signal events that is kept."""
        return self.kept.signal / self.total.signal

    @computed_field  # type: ignore[prop-decorator]
    @property
    def noise_kept(self) -> float:
        """Share of the noise events that is kept."""
        return self.kept.noise / self.total.noise

    @computed_field  # type: ignore[prop-decorator]
    @property
    def auroc(self) -> float | None:
        """Area under the curve of `recall` over `noise_kept`; 0.5: chance; None without a curve.

        The curve has straight lines between the settings of the sweep, (0, 0) and (1, 1), so the area is exact
        to about 0.01.
        """
        if not self.curve:
            return None

        shares = [(point.kept.noise / self.total.noise, point.kept.signal / self.total.signal) for point in self.curve]
        noise_kept, recall = np.array(sorted([(0.0, 0.0), *shares, (1.0, 1.0)])).T
        return float(np.trapezoid(recall, noise_kept))


class FilterScores(Record):
    """Output of `dvspipe filter --score --json`: scores of all filters on a recording."""

    recording: str
    """Name of the recording."""
    filters: tuple[FilterScore, ...]
    """Score of each filter alone."""
    together: FilterScore
    """Score of the filters that are on, one after the other."""
