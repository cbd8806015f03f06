"""Composition of a data set: the clips and events of each class and part, for the table of a paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field

from .tables import Row, write_csv

EVERYTHING = "all"
"""Class and part of sums."""


class CompositionRow(Row):
    """Clips and events of a class in a part of a data set; `all` stands for all classes, and for all parts."""

    columns: ClassVar[tuple[str, ...]] = ("class", "part", "clips", "seconds", "events", "rate_hz", "on_fraction")

    class_name: str = Field(alias="class")
    """Name of the class."""
    part: str
    """Part: `train`, `validation` or `test`."""
    clips: int
    """Number of clips with events."""
    seconds: float
    """Total time from the first to the last event of each clip, in seconds."""
    events: int
    """Total number of events."""
    rate_hz: float | None
    """Events per second of the total time; None without time."""
    on_fraction: float | None
    """Share of ON events; None without events."""

    @classmethod
    def of_totals(cls, class_name: str, part: str, *, clips: int, events: int, duration_us: int, on: int) -> Self:
        """Create a row from the totals of its clips; `on`: number of ON events."""
        return cls(
            class_name=class_name,
            part=part,
            clips=clips,
            seconds=duration_us / 1e6,
            events=events,
            rate_hz=1e6 * events / duration_us if duration_us else None,
            on_fraction=on / events if events else None,
        )


def write_composition(rows: Sequence[CompositionRow], path: Path) -> None:
    """Write the composition of a data set as a CSV file."""
    write_csv(path, CompositionRow.columns, (row.cells() for row in rows))
