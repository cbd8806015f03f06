"""What a data set holds and what is wrong with it, found by loading all of it once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import DataError, DvspipeError
from ..events import Events, SensorSize
from .samples import DataSet, Sample

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Figures:
    """The recordings of a class, or all.

    Args:
        name: Of the class; `all` for all together.
        train: Recordings in the training part.
        validation: And in the validation part.
        test: And in the test part.
        groups: Number of people or sources.
        events: Median number of events, None where none could be loaded; likewise below.
        fewest: Smallest number of events.
        most: Largest number of events.
        duration_s: Median time from the first event to the last.
        rate_hz: Median events per second.
        on_fraction: Share of ON events, the mean over recordings.
    """

    name: str
    train: int
    validation: int
    test: int
    groups: int
    events: float | None
    fewest: int | None
    most: int | None
    duration_s: float | None
    rate_hz: float | None
    on_fraction: float | None


@dataclass(frozen=True)
class Survey:
    """What a data set holds.

    Args:
        title: Of the data set.
        sensor: WIDTHxHEIGHT.
        synthetic: Whether it was rendered.
        figures: Of each class that has recordings, and of all together at the end.
        problems: A line for each recording or class that is not as it should be.
    """

    title: str
    sensor: str
    synthetic: bool
    figures: tuple[Figures, ...]
    problems: tuple[str, ...]

    def to_record(self) -> dict[str, Any]:
        """All of it as dicts, lists, numbers, texts and None."""
        return asdict(self)


@dataclass(frozen=True)
class _Measured:
    """A recording that could be loaded."""

    label: int
    version: str
    sensor: SensorSize
    events: int
    duration_us: int
    on: int


def survey(data: DataSet, progress: Progress | None = None) -> Survey:
    """What a data set holds, from loading every recording.

    A recording that cannot be loaded, is empty, comes from another sensor or is there twice is a problem, and so is a
    class that the training part lacks.

    Args:
        data: The data set.
        progress: Told the number of recordings done and in all.

    Raises:
        DataError: It holds pictures.
    """
    everything = [(part, sample) for part, samples in data.parts.items() for sample in samples]
    measured, problems = [], []
    seen: dict[str, str] = {}
    for number, (part, sample) in enumerate(everything, start=1):
        found = _measure(sample)
        if isinstance(found, str):
            problems.append(found)
        else:
            measured.append(found)
            problems += _odd(sample, found, data.sensor)
            where = f"{sample.name} ({part})"
            if found.version in seen:
                problems.append(f"{where}: the same content as {seen[found.version]}")
            seen.setdefault(found.version, where)
        if progress:
            progress(number, len(everything))
    lacking = sorted(set(range(len(data.classes))) - {sample.label for sample in data.train})
    if lacking:
        names = ", ".join(data.classes[label] for label in lacking)
        problems.append(f"{data.title}: the training part has no recordings of {names}")
    groups = [[k] for k in sorted({sample.label for _, sample in everything})]
    figures = [_figures(data.classes[labels[0]], labels, everything, measured) for labels in groups]
    figures.append(_figures("all", range(len(data.classes)), everything, measured))
    return Survey(data.title, str(data.sensor), data.synthetic, tuple(figures), tuple(problems))


def _measure(sample: Sample) -> _Measured | str:
    """The figures of a recording, or why there are none."""
    try:
        events, version = sample.load(), sample.version()
    except (DvspipeError, OSError) as error:
        message = str(error)
        return message if message.startswith(sample.name) else f"{sample.name}: {message}"
    if not isinstance(events, Events):
        raise DataError(f"{sample.name}: a picture, and only recordings are counted")
    on = int(np.count_nonzero(events.p))
    return _Measured(sample.label, version, events.sensor, len(events), events.duration_us, on)


def _odd(sample: Sample, found: _Measured, sensor: SensorSize) -> Iterator[str]:
    if not found.events:
        yield f"{sample.name}: holds no events"
    if found.sensor != sensor:
        yield f"{sample.name}: comes from a sensor of {found.sensor}, the data set is of {sensor}"


def _figures(
    name: str, labels: Sequence[int], everything: Sequence[tuple[str, Sample]], measured: Sequence[_Measured]
) -> Figures:
    """The figures of the recordings with one of some labels."""
    own = [(part, sample) for part, sample in everything if sample.label in labels]
    parts = Counter(part for part, _ in own)
    filled = [each for each in measured if each.label in labels and each.events]
    counts = [each.events for each in filled]
    rates = [each.events / each.duration_us * 1e6 for each in filled if each.duration_us]
    return Figures(
        name=name,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        groups=len({sample.group for _, sample in own}),
        events=float(np.median(counts)) if counts else None,
        fewest=min(counts, default=None),
        most=max(counts, default=None),
        duration_s=float(np.median([each.duration_us for each in filled])) * 1e-6 if filled else None,
        rate_hz=float(np.median(rates)) if rates else None,
        on_fraction=float(np.mean([each.on / each.events for each in filled])) if filled else None,
    )
