"""Read all events of recordings: facts, and what is wrong with the files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np

from ..base.errors import Brief, FormatError
from ..base.pool import collect, map_items
from ..base.progress import Progress
from ..base.texts import Described, TextTable, show_name
from ..events import Events
from ..events.filters import count_pixels, find_hot_pixels
from ..formats import NO_HINTS, Hints, RecordingLike, open_recording
from ..formats.hints import SensorSource
from .config import FilmConfig
from .editing import require_pixels
from .sources import find_recordings, is_film

SHOWN_ABOVE = ("width", "height", "format", "settings")  # attributes that other rows show


@dataclass(frozen=True, repr=False)
class RecordingInfo(Described, Brief):
    """Facts of a recording; of a corrupted one, the facts of the events before the corruption.

    Args:
        file: Path.
        format: Name of the file format.
        width: Sensor columns.
        height: Sensor rows.
        sensor_source: `file`, `given` or `guessed`.
        events: Number of events.
        t_first_us: Time of the first event in microseconds; None if there are no events.
        t_last_us: Time of the last event in microseconds; None if there are no events.
        duration_us: Time from the first to the last event in microseconds.
        on_fraction: Fraction of ON events; None if there are no events.
        rate_hz: Events per second; None if the duration is 0.
        longest_gap_us: Longest time without events in microseconds.
        hot_pixels: Number of pixels that fire far more often than their neighbours; see `find_hot_pixels`.
        attributes: Settings and comments stored in the file.
        problem: What is wrong with the file; empty: nothing.
    """

    file: str
    format: str
    width: int
    height: int
    sensor_source: SensorSource
    events: int
    t_first_us: int | None
    t_last_us: int | None
    duration_us: int
    on_fraction: float | None
    rate_hz: float | None
    longest_gap_us: int
    hot_pixels: int
    attributes: dict[str, Any]
    problem: str

    def describe(self) -> Sequence[str | TextTable]:
        """Return the file and its facts; of stored settings, those that are not defaults."""
        table = TextTable()
        table.add_row("format", self.format)
        table.add_row("sensor", f"{self.width} x {self.height} ({self.sensor_source})")
        complete = f"{self.events:,}"
        before = f"{self.events:,} before the problem" if self.events else "not counted"
        table.add_row("events", before if self.problem else complete)

        if self.on_fraction is not None:
            times = f"{self.t_first_us:,} to {self.t_last_us:,} us ({self.duration_us * 1e-6:.6g} s)"
            table.add_row("time", f"{times}; longest gap {self.longest_gap_us:,} us")
            table.add_row("polarity", f"{self.on_fraction:.1%} ON, {1 - self.on_fraction:.1%} OFF")
            table.add_row("hot pixels", f"{self.hot_pixels:,}")
        if self.rate_hz is not None:
            per_pixel = self.rate_hz / self.width / self.height
            table.add_row("rate", f"{self.rate_hz:,.0f} events/s, {per_pixel:,.3g} per pixel")

        stored = {name: value for name, value in self.attributes.items() if value and name not in SHOWN_ABOVE}
        settings = self.attributes.get("settings")
        if isinstance(settings, dict):
            defaults = FilmConfig().to_record()
            stored |= {name: value for name, value in settings.items() if value != defaults.get(name)}
        for name, value in stored.items():
            table.add_row(name, value if isinstance(value, str) else json.dumps(value, default=str))
        return show_name(self.file), table


@overload
def info(  # type: ignore[overload-overlap]  # a text is also a sequence of texts
    recordings: RecordingLike,
    *,
    jobs: int | str = 1,
    hints: Hints = NO_HINTS,
    progress: Progress | None = None,
) -> RecordingInfo: ...
@overload
def info(
    recordings: Sequence[str | Path],
    *,
    jobs: int | str = 1,
    hints: Hints = NO_HINTS,
    progress: Progress | None = None,
) -> tuple[RecordingInfo, ...]: ...
def info(
    recordings: RecordingLike | Sequence[str | Path],
    *,
    jobs: int | str = 1,
    hints: Hints = NO_HINTS,
    progress: Progress | None = None,
) -> RecordingInfo | tuple[RecordingInfo, ...]:
    """Read and check recordings: format, sensor, events, duration and settings, and what is wrong.

    Args:
        recordings: Recordings, or folders of recordings.
        jobs: Number of worker processes, or ray, or ray://HOST:PORT for a Ray cluster.
        hints: Metadata that the files do not store. Default for the sensor: the smallest known one that contains all
            events.
        progress: Called with the amount read and the total: of a single recording, or of recordings.

    Returns:
        The facts of a single recording; for a list, of each recording.

    Raises:
        DvspipeError: As in `open_recording`, if a single recording cannot be opened.
        PartialError: If some of several recordings could not be opened, after all others.

    Example:
        >>> facts = info(Events([0, 10, 60_010], [3, 4, 4], [1, 1, 6], [1, 0, 1], "12x7"))
        >>> facts.events, facts.longest_gap_us, facts.problem
        (3, 60000, '')
    """
    work = partial(_summarise, hints=hints)
    if isinstance(recordings, str | Path | Events):
        return work(recordings, progress)

    files = find_recordings([Path(recording) for recording in recordings], hints.images)
    outcomes = map_items(work, files, jobs=jobs, ordered=True, progress=progress)
    return collect(outcomes, len(files), "recordings could not be read")


def _summarise(recording: RecordingLike, progress: Progress | None, *, hints: Hints) -> RecordingInfo:
    """Return the facts of a recording."""
    if not isinstance(recording, Events) and Path(recording).is_dir():
        is_film(Path(recording), hints.images)  # an error of images beside recordings
    opened = open_recording(recording, hints)
    require_pixels(opened)
    sensor = opened.sensor
    counts = np.zeros((sensor.height, sensor.width), np.int64)
    on = 0
    first_us: int | None = None
    last_us = 0
    longest_gap_us = 0
    problem = ""
    try:
        for events in opened.chunks(progress=progress):
            if not len(events):
                continue

            first_us = int(events.t[0]) if first_us is None else first_us
            gaps_us = np.diff(events.t, prepend=last_us if counts.any() else first_us)
            longest_gap_us = max(longest_gap_us, int(gaps_us.max()))
            last_us = int(events.t[-1])
            counts += count_pixels(events, sensor)
            on += int(np.count_nonzero(events.p))
    except FormatError as error:
        problem = str(error)

    count = int(counts.sum())
    duration_us = 0 if first_us is None else last_us - first_us
    return RecordingInfo(
        file=str(opened.path if isinstance(recording, Events) else recording),
        format=opened.format,
        width=sensor.width,
        height=sensor.height,
        sensor_source=opened.sensor_source,
        events=count,
        t_first_us=first_us,
        t_last_us=last_us if count else None,
        duration_us=duration_us,
        on_fraction=on / count if count else None,
        rate_hz=count / duration_us * 1e6 if duration_us else None,
        longest_gap_us=longest_gap_us,
        hot_pixels=int(find_hot_pixels(counts).sum()),
        attributes=opened.attributes,
        problem=problem,
    )
