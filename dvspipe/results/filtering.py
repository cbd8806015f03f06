"""Scores of noise filters on events with noise labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import computed_field

from ..base.texts import TextTable, show_name
from .tables import Record


class EventCounts(Record):
    """Numbers of signal and noise events."""

    signal: int
    """Number of signal events."""
    noise: int
    """Number of noise events."""


class FilterPoint(Record):
    """A setting of a filter, and the events that it keeps."""

    setting: float
    """Setting of the filter; for hot pixels, the factor of `find_hot_pixels`."""
    kept: EventCounts
    """Events that pass this filter alone."""


class FilterScore(Record):
    """Score of a filter, alone or together with others."""

    filter: str
    """Name of the filter's setting in `FilterConfig`; `all`: the filters that are on, one after the other."""
    text: str
    """Name of the filter in words."""
    setting: float | None
    """Setting, as in `FilterPoint`; None: the filter is off, or `all`."""
    setting_text: str
    """Setting with its unit, such as `20 ms`; `off` if the filter is off, and empty for `all`."""
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

    def describe_kept(self) -> tuple[str, str, str, str]:
        """Return precision, recall, noise kept and events kept as texts; empty if the filter is off."""
        if self.setting is None and self.filter != "all":
            return "", "", "", ""

        precision = "" if self.precision is None else f"{self.precision:.1%}"
        return precision, f"{self.recall:.1%}", f"{self.noise_kept:.1%}", f"{self.kept.signal + self.kept.noise:,}"


class FilterScores(Record):
    """Output of `dvspipe filter --score --json`: scores of all filters on a recording."""

    recording: str
    """Name of the recording."""
    filters: tuple[FilterScore, ...]
    """Score of each filter alone."""
    together: FilterScore
    """Score of the filters that are on, one after the other."""

    def describe(self) -> Sequence[str | TextTable]:
        """Return the numbers of events, and a row for each filter."""
        total = self.together.total
        events = total.signal + total.noise

        headings = ("precision", "recall", "noise kept", "events kept", "AUROC")
        table = TextTable("filter", "setting", *headings, right=headings)
        for score in (*self.filters, self.together):
            auroc = "" if score.auroc is None else f"{score.auroc:.3f}"
            table.add_row(score.text, score.setting_text, *score.describe_kept(), auroc)

        return f"{show_name(self.recording)}: {events:,} events, {total.noise:,} of them noise", table
