"""Survey of a data set: load each sample once, and report figures and problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..base.errors import DataError
from ..base.pool import map_items
from ..base.progress import Progress
from ..base.texts import Described, TextTable, show_name
from ..events import Events, SensorSize
from ..results.splits import PARTS, Part
from ..results.tables import Row, write_csv
from .samples import DataSet, Sample

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


class ClassFigures(BaseModel):
    """Figures of the recordings of one class, or of all classes.

    The figures of events are None if no recording could be loaded.

    Args:
        duration_s: Median time from the first to the last event, in seconds.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    train: int
    validation: int
    test: int
    groups: int
    events: float | None
    duration_s: float | None
    rate_hz: float | None
    on_fraction: float | None


class Survey(Described, BaseModel):
    """Content and problems of a data set."""

    model_config = ConfigDict(frozen=True)

    title: str
    sensor: str
    synthetic: bool
    figures: tuple[ClassFigures, ...]
    composition: tuple[CompositionRow, ...]
    problems: tuple[str, ...]

    @property
    def problem(self) -> str:
        """Number of problems; empty: none."""
        return f"{self.title}: problems: {len(self.problems)}" if self.problems else ""

    def describe(self) -> list[str | TextTable]:
        """Return a row for each class, and the problems."""
        headings = ("class", "train", "val", "test", "groups", "events each", "s each", "events/s", "ON")
        table = TextTable(*headings, right=headings[1:], optional=("s each", "events/s", "ON", "groups"))
        for row in self.figures:
            figures = ((row.events, ",.0f"), (row.duration_s, ".2f"), (row.rate_hz, ",.0f"), (row.on_fraction, ".1%"))
            texts = ("–" if value is None else format(value, form) for value, form in figures)
            table.add_row(row.name, row.train, row.validation, row.test, row.groups, *texts)

        title = f"{self.title}{' (synthetic)' if self.synthetic else ''}, sensor {self.sensor}"
        return [title, table, *map(show_name, self.problems)]


@dataclass(frozen=True)
class Measurement:
    """Figures of one recording.

    Args:
        duration_us: Time from the first to the last event in microseconds.
        on: Number of ON events.
    """

    label: int
    version: str
    sensor: SensorSize
    events: int
    duration_us: int
    on: int
    problems: tuple[str, ...]


def survey(data: DataSet, progress: Progress | None = None, *, jobs: int | str = 1) -> Survey:
    """Load each recording of a data set, and summarize its content and problems.

    Problems are recordings that cannot be loaded, are empty, come from another sensor, are duplicates or are in folders
    that are not read; unknown and empty class folders; and classes without training recordings.
    """
    measured = measure(data, progress, jobs=jobs)

    # Samples of one file have the same problems.
    problems_found = (problem for measurement in measured for problem in measurement.problems)
    problems = list(dict.fromkeys([*data.problems, *data.warnings, *problems_found]))

    missing = sorted(set(range(len(data.classes))) - {sample.label for sample in data.train})
    if missing:
        names = ", ".join(data.classes[label] for label in missing)
        problems.append(f"{data.title}: the training part has no recordings of {names}")

    samples = [(part, sample) for part, samples in data.parts.items() for sample in samples]
    labels = sorted({sample.label for _, sample in samples})
    figures = [_summarise(data.classes[label], [label], samples, measured) for label in labels]
    figures.append(_summarise("all", range(len(data.classes)), samples, measured))

    return Survey(
        title=data.title,
        sensor=str(data.sensor),
        synthetic=data.synthetic,
        figures=tuple(figures),
        composition=tuple(_compose(data, measured)),
        problems=tuple(problems),
    )


def _compose(data: DataSet, measured: Sequence[Measurement]) -> Iterator[CompositionRow]:
    """Yield a row for each class and part with clips, and the sums over parts and classes."""
    parts = [part for part, samples in data.parts.items() for _ in samples]
    filled = [(part, recording) for part, recording in zip(parts, measured, strict=True) if recording.events]
    labels = sorted({recording.label for _, recording in filled})

    for chosen in (*((label,) for label in labels), tuple(labels)):
        name = data.classes[chosen[0]] if chosen != tuple(labels) else EVERYTHING
        of_class = [(part, recording) for part, recording in filled if recording.label in chosen]
        for part in PARTS:
            of_part = [recording for name_of_part, recording in of_class if name_of_part == part]
            if of_part:
                yield _sum_up(name, part, of_part)
        yield _sum_up(name, EVERYTHING, [recording for _, recording in of_class])


def _sum_up(class_name: str, part: str, recordings: Sequence[Measurement]) -> CompositionRow:
    events = sum(recording.events for recording in recordings)
    seconds = sum(recording.duration_us for recording in recordings) / 1e6
    return CompositionRow(
        class_name=class_name,
        part=part,
        clips=len(recordings),
        seconds=seconds,
        events=events,
        rate_hz=events / seconds if seconds else None,
        on_fraction=sum(recording.on for recording in recordings) / events if events else None,
    )


def write_composition(rows: Sequence[CompositionRow], path: Path) -> None:
    """Write the composition of a data set as a CSV file."""
    write_csv(path, CompositionRow.columns, (row.cells() for row in rows))


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
        return Measurement(
            label=sample.label,
            version="",
            sensor=sensor,
            events=0,
            duration_us=0,
            on=0,
            problems=(str(error),),
        )

    if not isinstance(events, Events):
        raise DataError(f"{sample.name}: is an image (expected recordings of events)")

    problems = []
    if not len(events):
        problems.append(f"{sample.name}: contains no events")
    if events.sensor != sensor:
        problems.append(f"{sample.name}: comes from a sensor of {events.sensor} (expected {sensor})")

    return Measurement(
        label=sample.label,
        version=version,
        sensor=events.sensor,
        events=len(events),
        duration_us=events.duration_us,
        on=int(np.count_nonzero(events.p)),
        problems=tuple(problems),
    )


def _summarise(
    name: str, labels: Sequence[int], samples: Sequence[tuple[Part, Sample]], measured: Sequence[Measurement]
) -> ClassFigures:
    """Compute the figures of the recordings with the given labels."""
    chosen = [(part, sample) for part, sample in samples if sample.label in labels]
    parts = Counter(part for part, _ in chosen)

    # Recordings that could not be loaded, or are empty, have no figures of events.
    filled = [recording for recording in measured if recording.label in labels and recording.events]
    counts = [recording.events for recording in filled]
    rates = [recording.events / recording.duration_us * 1e6 for recording in filled if recording.duration_us]
    durations_us = [recording.duration_us for recording in filled]
    shares = [recording.on / recording.events for recording in filled]

    return ClassFigures(
        name=name,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        groups=len({sample.group for _, sample in chosen}),
        events=float(np.median(counts)) if counts else None,
        duration_s=float(np.median(durations_us)) * 1e-6 if durations_us else None,
        rate_hz=float(np.median(rates)) if rates else None,
        on_fraction=float(np.mean(shares)) if shares else None,
    )
