"""Survey of a data set: load each sample once, and report figures and problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from ..base.errors import DataError
from ..base.pool import map_items
from ..base.progress import Progress, ignore_progress
from ..base.texts import TextTable, show_name
from ..events import Events, SensorSize
from ..results.tables import Record, Row, write_csv
from .samples import DataSet, Sample

EVERYTHING = "all"
"""Class and part of sums."""


class SurveyRow(Row):
    """Recordings and events of a class in a part of a data set; `all` stands for all classes, and for all parts."""

    columns: ClassVar[tuple[str, ...]] = (
        *("class", "part", "recordings", "groups", "seconds", "events", "rate_hz", "on_fraction"),
    )

    class_name: str = Field(alias="class")
    """Name of the class."""
    part: str
    """Part: `train`, `validation` or `test`."""
    recordings: int
    """Number of recordings."""
    groups: int
    """Number of groups, such as people or films."""
    seconds: float
    """Total time from the first to the last event of each recording, in seconds."""
    events: int
    """Total number of events."""
    rate_hz: float | None
    """Events per second of the total time; None without time."""
    on_fraction: float | None
    """Share of ON events; None without events."""


class Survey(Record):
    """Content and problems of a data set."""

    title: str
    sensor: str
    synthetic: bool
    rows: tuple[SurveyRow, ...]
    problems: tuple[str, ...]

    @property
    def problem(self) -> str:
        """Number of problems; empty: none."""
        return f"{self.title}: problems: {len(self.problems)}" if self.problems else ""

    def describe(self) -> list[str | TextTable]:
        """Return a row for each class and part, and the problems."""
        headings = ("class", "part", "recordings", "groups", "s", "events", "events/s", "ON")
        table = TextTable(*headings, right=headings[2:], optional=("ON", "s", "groups", "events/s"))
        for row in self.rows:
            rate = "–" if row.rate_hz is None else f"{row.rate_hz:,.0f}"
            share = "–" if row.on_fraction is None else f"{row.on_fraction:.1%}"
            figures = (f"{row.seconds:,.1f}", f"{row.events:,}", rate, share)
            table.add_row(row.class_name, row.part, row.recordings, row.groups, *figures)

        title = f"{self.title}{' (synthetic)' if self.synthetic else ''}, sensor {self.sensor}"
        return [title, table, *map(show_name, self.problems)]

    def write_rows(self, path: Path) -> None:
        """Write the rows as a CSV file."""
        write_csv(path, SurveyRow.columns, (row.cells() for row in self.rows))


@dataclass(frozen=True)
class Measurement:
    """Figures of one recording.

    Args:
        version: Digest of its content; empty: it cannot be loaded.
        duration_us: Time from the first to the last event in microseconds.
        on: Number of ON events.
        problem: Why it cannot be used; empty: it can.
    """

    sensor: SensorSize
    version: str = ""
    events: int = 0
    duration_us: int = 0
    on: int = 0
    problem: str = ""


def survey(data: DataSet, progress: Progress = ignore_progress, *, jobs: int | str = 1) -> Survey:
    """Load each recording of a data set, and summarize its content and problems.

    Problems are recordings that cannot be loaded, are empty, come from another sensor, are duplicates or are in folders
    that are not read; and classes without training recordings.
    """
    groups: dict[tuple[str, str], list[tuple[Sample, Measurement]]] = {}
    problems = [*data.warnings]
    first: dict[str, str] = {}
    parts = [part for part, samples in data.parts.items() for _ in samples]
    measured = measure(data, progress, jobs=jobs)
    for sample, part, found in zip(data.samples, parts, measured, strict=True):
        for key in product((data.classes[sample.label], EVERYTHING), (part, EVERYTHING)):
            groups.setdefault(key, []).append((sample, found))

        if found.problem:
            problems.append(found.problem)
        name = f"{sample.name} ({part})"
        if found.version and first.setdefault(found.version, name) != name:
            problems.append(f"{name}: the same content as {first[found.version]}")

    missing = [name for name in data.classes if (name, "train") not in groups]
    if missing:
        problems.append(f"{data.title}: the training part has no recordings of {', '.join(missing)}")

    order = product((*data.classes, EVERYTHING), (*data.parts, EVERYTHING))
    return Survey(
        title=data.title,
        sensor=str(data.sensor),
        synthetic=data.synthetic,
        rows=tuple(_sum_up(*key, groups[key]) for key in order if key in groups),
        problems=tuple(dict.fromkeys(problems)),  # samples of one file have the same problems
    )


def _sum_up(class_name: str, part: str, measured: Sequence[tuple[Sample, Measurement]]) -> SurveyRow:
    """Return the row of some recordings."""
    events = sum(found.events for _, found in measured)
    seconds = sum(found.duration_us for _, found in measured) / 1e6
    return SurveyRow(
        class_name=class_name,
        part=part,
        recordings=len(measured),
        groups=len({sample.group for sample, _ in measured}),
        seconds=seconds,
        events=events,
        rate_hz=events / seconds if seconds else None,
        on_fraction=sum(found.on for _, found in measured) / events if events else None,
    )


def measure(data: DataSet, progress: Progress = ignore_progress, *, jobs: int | str = 1) -> list[Measurement]:
    """Load each recording of a data set, and return its figures."""
    work = partial(_measure, sensor=data.sensor)
    outcomes = map_items(work, data.samples, jobs=jobs, ordered=True, progress=progress)
    return [outcome.result() for outcome in outcomes]


def _measure(sample: Sample, _progress: Progress, *, sensor: SensorSize) -> Measurement:
    try:
        events = sample.read_content()
        version = sample.read_version()
    except DataError as error:
        return Measurement(sensor, problem=str(error))

    if not isinstance(events, Events):
        raise DataError(f"{sample.name}: is an image (expected recordings of events)")

    problem = "" if len(events) else f"{sample.name}: contains no events"
    if events.sensor != sensor:
        problem = f"{sample.name}: comes from a sensor of {events.sensor} (expected {sensor})"
    on = int(np.count_nonzero(events.p))
    return Measurement(events.sensor, version, len(events), events.duration_us, on, problem)
