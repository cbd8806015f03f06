"""Survey of a data set: load each sample once, and report figures and problems."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from ..base.errors import DataError
from ..base.pool import map_items
from ..base.progress import Progress
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
    """

    label: int
    sensor: SensorSize
    version: str = ""
    events: int = 0
    duration_us: int = 0
    on: int = 0
    problems: tuple[str, ...] = ()


def survey(data: DataSet, progress: Progress | None = None, *, jobs: int | str = 1) -> Survey:
    """Load each recording of a data set, and summarize its content and problems.

    Problems are recordings that cannot be loaded, are empty, come from another sensor, are duplicates or are in folders
    that are not read; and classes without training recordings.
    """
    measured = measure(data, progress, jobs=jobs)

    # Samples of one file have the same problems.
    problems = [*data.warnings, *(problem for measurement in measured for problem in measurement.problems)]
    missing = sorted(set(range(len(data.classes))) - {sample.label for sample in data.train})
    if missing:
        names = ", ".join(data.classes[label] for label in missing)
        problems.append(f"{data.title}: the training part has no recordings of {names}")

    return Survey(
        title=data.title,
        sensor=str(data.sensor),
        synthetic=data.synthetic,
        rows=tuple(_list_rows(data, measured)),
        problems=tuple(dict.fromkeys(problems)),
    )


def _list_rows(data: DataSet, measured: Sequence[Measurement]) -> Iterator[SurveyRow]:
    """Yield a row for each class and part with recordings, and the sums over parts and classes."""
    parts = [part for part, samples in data.parts.items() for _ in samples]
    labels = sorted({recording.label for recording in measured})
    for label in (*labels, None):
        for part in (*data.parts, EVERYTHING):
            chosen = [
                (sample, recording)
                for sample, part_of_sample, recording in zip(data.samples, parts, measured, strict=True)
                if label in (None, sample.label) and part in (EVERYTHING, part_of_sample)
            ]
            if not chosen:
                continue

            events = sum(recording.events for _, recording in chosen)
            seconds = sum(recording.duration_us for _, recording in chosen) / 1e6
            yield SurveyRow(
                class_name=EVERYTHING if label is None else data.classes[label],
                part=part,
                recordings=len(chosen),
                groups=len({sample.group for sample, _ in chosen}),
                seconds=seconds,
                events=events,
                rate_hz=events / seconds if seconds else None,
                on_fraction=sum(recording.on for _, recording in chosen) / events if events else None,
            )


def measure(data: DataSet, progress: Progress | None = None, *, jobs: int | str = 1) -> list[Measurement]:
    """Load each recording of a data set, and return its figures."""
    measurements: list[Measurement] = []
    first: dict[str, str] = {}

    parts = [part for part, samples in data.parts.items() for _ in samples]
    work = partial(_measure, sensor=data.sensor)
    for outcome in map_items(work, data.samples, jobs=jobs, ordered=True, progress=progress):
        measured = outcome.result()
        name = f"{outcome.item.name} ({parts[outcome.index]})"

        if measured.version in first:
            copy = f"{name}: the same content as {first[measured.version]}"
            measured = replace(measured, problems=(*measured.problems, copy))
        elif measured.version:
            first[measured.version] = name
        measurements.append(measured)

    return measurements


def _measure(sample: Sample, _progress: Progress, *, sensor: SensorSize) -> Measurement:
    try:
        events = sample.read_content()
        version = sample.read_version()
    except DataError as error:
        return Measurement(sample.label, sensor, problems=(str(error),))

    if not isinstance(events, Events):
        raise DataError(f"{sample.name}: is an image (expected recordings of events)")

    problems = []
    if not len(events):
        problems.append(f"{sample.name}: contains no events")
    if events.sensor != sensor:
        problems.append(f"{sample.name}: comes from a sensor of {events.sensor} (expected {sensor})")

    on = int(np.count_nonzero(events.p))
    return Measurement(sample.label, events.sensor, version, len(events), events.duration_us, on, tuple(problems))
