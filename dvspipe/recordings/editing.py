"""Edit recordings: cut in time and space, filter noise, merge several into one.

Each `Edit` (`RecordingPart`, `FilteredPart`, `MergedRecordings`) holds its recordings and does its work when its events
are read or written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError, EventError
from ..events import Events, Region, SensorSize, TimeSpan, join_streams, merge_streams
from ..events.filter_config import FilterConfig
from ..events.filters import FilterCounts, check_pixels, count_pixels, filter_stream, find_hot_pixels
from ..formats import Recording, write
from ..formats.recordings import count_events
from ..formats.source import Extent
from ..parallel import Progress

SHARE = 1000  # progress units per recording


class Edit(Protocol):
    """Change of recordings that is applied when its events are read or written, in bounded memory."""

    @property
    def sensor(self) -> SensorSize:
        """Sensor size of the result."""

    def chunks(self, *, progress: Progress | None = None) -> Iterator[Events]:
        """Yield the events of the result."""

    def write(self, out: str | Path, *, overwrite: bool = False, progress: Progress | None = None) -> int:
        """Write the result to an event file; return the number of events."""


@dataclass(frozen=True)
class RecordingPart:
    """Part of a recording in time and space; see `select_part`.

    Args:
        recording: Source recording.
        start_s: Start time in seconds after the first event.
        span: Times on the clock of the file.
        region: Region of the sensor; its upper left corner becomes the origin.
    """

    recording: Recording
    start_s: float
    span: TimeSpan
    region: Region

    @property
    def sensor(self) -> SensorSize:
        """Sensor size of the part: the size of the region."""
        return self.region.size

    @property
    def is_complete(self) -> bool:
        """Whether the part is the complete recording."""
        return self.span.is_unlimited and self.region == Region.full(self.recording.sensor)

    @property
    def first_us(self) -> int | None:
        """Time of the first event of the recording in microseconds; None if the part is the complete recording."""
        return None if self.is_complete else self.recording.find_first_us()

    def extent(self, progress: Progress | None = None) -> Extent:
        """Return the number of events, and the first and last time."""
        stored = self.recording.extent() if self.is_complete else None
        if stored is not None:
            return stored

        count, _, first_us, last_us = count_events(self.chunks(progress=progress))
        return Extent(count, first_us, last_us)

    def chunks(self, progress: Progress | None = None) -> Iterator[Events]:
        """Yield the events of the part."""
        region = self.region
        is_valid = not self.start_s  # a start time after all events is an error
        for part in self.recording.chunks(*self.span, progress=progress):
            is_valid = is_valid or len(part) > 0
            yield part if region.size == self.recording.sensor else part.crop(region.left, region.top, region.size)

        if not is_valid and self.span.start_us > self.recording.find_last_us():
            length = _describe_length(self.recording)
            raise EventError(f"{self.recording.path}: no events after the start time {self.start_s:g} s; {length}")

    def write(self, out: str | Path, *, overwrite: bool = False, progress: Progress | None = None) -> int:
        """Write the part with the settings; return the number of events.

        Args:
            out: Output file.
            overwrite: Whether to replace an existing file.
            progress: Called with the amount done and the total.

        Raises:
            DvspipeError: As in `chunks` and `dvspipe.write`.
        """
        return _write_result(out, self.chunks(progress), [self.recording], sensor=self.sensor, overwrite=overwrite)


def select_part(
    recording: Recording, start_s: float = 0.0, stop_s: float | None = None, region: Region | None = None
) -> RecordingPart:
    """Select a part of a recording in time and space.

    Args:
        recording: Source recording.
        start_s: Start time in seconds after the first event.
        stop_s: Stop time (exclusive) in seconds after the first event; None: end of the recording.
        region: Region of the sensor; None: complete sensor.

    Raises:
        ConfigError: If the stop time is not after the start time.
        EventError: If the region is not inside the sensor.
    """
    selected = region or Region.full(recording.sensor)
    if not selected.is_inside(recording.sensor):
        raise EventError(f"{recording.path}: region {selected} is not inside the sensor (found {recording.sensor})")

    if stop_s is not None and stop_s <= start_s:
        times = f"stop time {stop_s:g} s is not after start time {start_s:g} s"
        raise ConfigError(f"{recording.path}: {times}; {_describe_length(recording)}")

    span = recording.find_span(start_s=start_s or None, stop_s=stop_s)
    return RecordingPart(recording, start_s, span, selected)


def locate_hot_pixels(part: RecordingPart, *, progress: Progress | None = None) -> NDArray[np.bool_]:
    """Read all events of a part, and return a mask of its hot pixels, bool [H, W]."""
    _check_pixels(part)
    return find_hot_pixels(count_pixels(part.chunks(progress=progress), part.sensor))


class FilteredPart:
    """Part of a recording without noise.

    Args:
        part: Part to filter.
        config: Filter settings; hot pixels are found in a first pass.

    Attributes:
        counts: Numbers of removed events by filter, up to the last event that was read.
        hot: Mask of hot pixels, bool [H, W]; None: not searched.
    """

    def __init__(self, part: RecordingPart, config: FilterConfig) -> None:
        _check_pixels(part)
        self._part = part
        self._config = config
        self.counts = FilterCounts()
        self.hot: NDArray[np.bool_] | None = None

    @property
    def sensor(self) -> SensorSize:
        """Sensor size of the part."""
        return self._part.sensor

    def chunks(self, progress: Progress | None = None) -> Iterator[Events]:
        """Yield the events that remain."""
        reading = self._find_hot_pixels(progress)
        yield from filter_stream(self._part.chunks(reading), self._config, hot=self.hot, callback=self._count)

    def write(self, out: str | Path, *, overwrite: bool = False, progress: Progress | None = None) -> int:
        """Write the events that remain, with the settings; return their number."""
        return _write_result(
            out,
            self.chunks(progress),
            [self._part.recording],
            sensor=self.sensor,
            overwrite=overwrite,
            filter=self._config.model_dump(),
        )

    def _find_hot_pixels(self, progress: Progress | None) -> Progress | None:
        """Find the hot pixels if they are filtered; return the progress callback for the pass after it."""
        if not self._config.hot_pixels:
            return progress

        finding, reading = _split_progress(progress, 2)
        if self.hot is None:
            self.hot = locate_hot_pixels(self._part, progress=finding)
        return reading

    def _count(self, counts: FilterCounts) -> None:
        self.counts = counts


class MergedRecordings:
    """Several recordings of one sensor as one.

    Args:
        recordings: One or more recordings. Settings are kept if they are equal in all.
        gap_us: Shift each recording to begin this many microseconds after the end of the previous one, >= 0. None: keep
            all times, and merge by time.

    Raises:
        EventError: If the sensors differ.
    """

    def __init__(self, recordings: Sequence[Recording], gap_us: int | None = None) -> None:
        self.sensor = find_common_sensor(recordings)
        self._recordings = recordings
        self._gap_us = gap_us

    def chunks(self, progress: Progress | None = None) -> Iterator[Events]:
        """Yield the events of all recordings."""
        reports = _split_progress(progress, len(self._recordings))
        streams = [opened.chunks(progress=report) for opened, report in zip(self._recordings, reports, strict=True)]
        return merge_streams(streams) if self._gap_us is None else join_streams(streams, self._gap_us)

    def write(self, out: str | Path, *, overwrite: bool = False, progress: Progress | None = None) -> int:
        """Write the events of all recordings; return their number."""
        return _write_result(out, self.chunks(progress), self._recordings, sensor=self.sensor, overwrite=overwrite)


def find_common_sensor(recordings: Sequence[Recording]) -> SensorSize:
    """Return the sensor of recordings."""
    if not recordings:
        raise EventError("merge: no recordings (expected one or more)")

    first = recordings[0]
    for other in recordings:
        if other.sensor != first.sensor:
            raise EventError(
                f"{other.path}: wrong sensor size (found {other.sensor}, expected {first.sensor} as in {first.path})"
            )

    return first.sensor


def _write_result(
    out: str | Path,
    parts: Iterator[Events],
    recordings: Sequence[Recording],
    *,
    sensor: SensorSize,
    overwrite: bool,
    **settings: object,
) -> int:
    """Write the events of an edit; the settings of the recordings are kept if all have the same."""
    first, *others = [recording.attributes.get("settings") for recording in recordings]
    common = first if isinstance(first, dict) and all(other == first for other in others) else {}

    return write(
        out,
        parts,
        sensor,
        source=", ".join(recording.path.name for recording in recordings),
        settings=common | settings,
        overwrite=overwrite,
    )


def _split_progress(progress: Progress | None, count: int) -> Sequence[Progress | None]:
    """Split a progress callback into one per recording, with equal shares."""
    if progress is None:
        return [None] * count

    shares = [0.0] * count

    def report(number: int, done: float, total: float) -> None:
        shares[number] = done / total if total else 0.0
        progress(round(SHARE * sum(shares)), SHARE * count)

    return [partial(report, number) for number in range(count)]


def _check_pixels(part: RecordingPart) -> None:
    try:
        check_pixels(part.sensor)
    except EventError as error:
        raise error.named(str(part.recording.path)) from error


def _describe_length(recording: Recording) -> str:
    return f"the recording lasts {(recording.find_last_us() - recording.find_first_us()) * 1e-6:.6g} s"
