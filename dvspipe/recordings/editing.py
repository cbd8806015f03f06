"""Edit recordings: cut in time and space, filter noise, merge several into one.

`cut`, `filter` and `merge` return an `Edit` (`RecordingPart`, `FilteredPart`, `MergedRecordings`): it holds its
recordings, and does its work when its events are read or written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError, EventError, count_noun
from ..base.files import claim_output
from ..base.progress import Progress
from ..base.texts import Described, show_name
from ..events import (
    Events,
    Region,
    RegionLike,
    SensorSize,
    TimeSpan,
    concatenate,
    join_streams,
    merge_streams,
)
from ..events.filter_config import FilterConfig
from ..events.filters import FilterCounts, check_pixels, count_pixels, filter_stream, find_hot_pixels
from ..formats import NO_HINTS, Hints, Recording, RecordingLike, open_recording, write
from ..formats.recordings import count_events
from ..formats.source import Extent

SHARE = 1000  # progress units per recording

EditType = TypeVar("EditType", bound="Edit")


class Edit(Described, ABC):
    """Change of recordings that is applied when its events are read or written, in bounded memory.

    Attributes:
        recordings: Sources.
        sensor: Sensor size of the result.
        written: File that `write` has written, and its number of events; None: not written.
    """

    recordings: Sequence[Recording]
    sensor: SensorSize
    written: tuple[Path, int] | None = None

    @abstractmethod
    def chunks(self, progress: Progress | None = None) -> Iterator[Events]:
        """Yield the events of the result."""

    def read(self) -> Events:
        """Return all events of the result."""
        return concatenate(self.chunks(), self.sensor)

    def write(self, out: str | Path, *, overwrite: bool = False, progress: Progress | None = None) -> int:
        """Write the result with the settings of its recordings, if all have the same; return the number of events.

        Raises:
            DvspipeError: As in `chunks` and `dvspipe.write`.
        """
        first, *others = [recording.attributes.get("settings") for recording in self.recordings]
        common = first if isinstance(first, dict) and all(other == first for other in others) else {}
        count = write(
            out,
            self.chunks(progress),
            self.sensor,
            source=", ".join(recording.path.name for recording in self.recordings),
            settings=common | self.settings(),
            overwrite=overwrite,
        )
        self.written = (Path(out), count)
        return count

    def settings(self) -> dict[str, object]:
        """Return the settings of the edit, which are stored with those of its recordings."""
        return {}

    def describe(self) -> Sequence[str]:
        """Return the file and its number of events; without a file, the events are counted."""
        path, count = self.written or ("not written", self._count_events())
        return [f"{show_name(path)}: {count_noun(count, 'event')} of {self.sensor}{self.explain()}"]

    def to_record(self) -> dict[str, object]:
        """Return the result as a dict for JSON, with the same names as `Conversion`; `file` is None if not written."""
        path, count = self.written or (None, self._count_events())
        size = {"width": self.sensor.width, "height": self.sensor.height}
        return {"file": None if path is None else str(path), **size, "events": count}

    def _count_events(self) -> int:
        return sum(map(len, self.chunks()))

    def explain(self) -> str:
        """Return what the text of a written result says besides."""
        return ""


class RecordingPart(Edit):
    """Part of a recording in time and space; see `select_part`.

    Args:
        recording: Source recording.
        start_s: Start time in seconds after the first event.
        span: Times on the clock of the file.
        region: Region of the sensor; its upper left corner becomes the origin.
    """

    def __init__(self, recording: Recording, start_s: float, span: TimeSpan, region: Region) -> None:
        self.recording = recording
        self.recordings = (recording,)
        self.start_s = start_s
        self.span = span
        self.region = region
        self.sensor = region.size

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


class FilteredPart(Edit):
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
        self.recordings = part.recordings
        self.sensor = part.sensor
        self.counts = FilterCounts()
        self.hot: NDArray[np.bool_] | None = None
        self._part = part
        self._config = config

    def chunks(self, progress: Progress | None = None) -> Iterator[Events]:
        """Yield the events that remain."""
        reading = self._find_hot_pixels(progress)
        yield from filter_stream(self._part.chunks(reading), self._config, hot=self.hot, callback=self._count)

    def settings(self) -> dict[str, object]:
        """Return the settings of the filters."""
        return {"filter": self._config.model_dump()}

    def explain(self) -> str:
        """Return how many events each filter removed, and the number of hot pixels."""
        hot = "" if self.hot is None else f"; {count_noun(int(self.hot.sum()), 'hot pixel')} found"
        return f"; {self.counts}{hot}"

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


class MergedRecordings(Edit):
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
        self.recordings = recordings
        self._gap_us = gap_us

    def chunks(self, progress: Progress | None = None) -> Iterator[Events]:
        """Yield the events of all recordings."""
        reports = _split_progress(progress, len(self.recordings))
        streams = [opened.chunks(progress=report) for opened, report in zip(self.recordings, reports, strict=True)]
        return merge_streams(streams) if self._gap_us is None else join_streams(streams, self._gap_us)

    def explain(self) -> str:
        """Return the number of recordings."""
        return f" of {count_noun(len(self.recordings), 'recording')}"


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


def cut(
    recording: RecordingLike,
    out: str | Path | None = None,
    *,
    start_s: float = 0.0,
    stop_s: float | None = None,
    region: RegionLike | None = None,
    overwrite: bool = False,
    hints: Hints = NO_HINTS,
    progress: Progress | None = None,
) -> RecordingPart:
    """Cut a recording in time and in space; event times do not change.

    Args:
        recording: Recording.
        out: Output file; its suffix selects the format. Default: not written.
        start_s: Start time in seconds after the first event.
        stop_s: Stop time (exclusive) in seconds after the first event; default: end of the recording.
        region: Region of the sensor, such as 128x128+20+10; its upper left corner becomes the origin. Default: complete
            sensor.
        overwrite: Replace an existing file.
        hints: Metadata that the recording does not store.
        progress: Called with the amount done and the total.

    Raises:
        ConfigError: If the stop time is not after the start time.
        EventError: If the recording ends before the part begins, or the region is not inside the sensor.

    Example:
        >>> events = Events([500, 700_500], [3, 4], [1, 1], [True, False], "12x7")
        >>> cut(events, start_s=0.5, stop_s=1.0, region="5x4+2+1").read()
        Events(1 events, sensor 5x4, t 700500 to 700500 us)
    """
    opened = open_recording(recording, hints=hints)
    part = select_part(opened, start_s, stop_s, None if region is None else Region.of(region))
    return _write(part, out, overwrite=overwrite, progress=progress)


def filter(  # noqa: A001
    recording: RecordingLike,
    out: str | Path | None = None,
    config: FilterConfig = FilterConfig(),
    *,
    overwrite: bool = False,
    hints: Hints = NO_HINTS,
    progress: Progress | None = None,
) -> FilteredPart:
    """Remove noise: hot pixels, events in the refractory period, isolated background activity.

    Args:
        recording: Recording.
        out: Output file; its suffix selects the format. Default: not written.
        config: Settings of the filters.
        overwrite: Replace an existing file.
        hints: Metadata that the recording does not store.
        progress: Called with the amount done and the total.

    Raises:
        ConfigError: If no filter is on.
        EventError: If the sensor has more than 16 million pixels.

    Example:
        >>> events = Events([0, 100, 900], [3, 3, 3], [1, 1, 1], [True, True, True], "12x7")
        >>> filter(events, config=FilterConfig(refractory_us=500)).read().t.tolist()
        [0, 900]
    """
    if not config.active:
        raise ConfigError("no filter given (expected hot_pixels, refractory_us=1000 or activity_us=20000)")

    part = select_part(open_recording(recording, hints=hints))
    return _write(FilteredPart(part, config), out, overwrite=overwrite, progress=progress)


def merge(
    recordings: Sequence[RecordingLike],
    out: str | Path | None = None,
    *,
    gap_us: int | None = None,
    overwrite: bool = False,
    hints: Hints = NO_HINTS,
    progress: Progress | None = None,
) -> MergedRecordings:
    """Merge recordings of one sensor into one, by event times or one after another.

    Args:
        recordings: One or more recordings.
        out: Output file; its suffix selects the format. Default: not written.
        gap_us: One after another: shift each recording to begin this many microseconds after the end of the previous
            one, >= 0. Default: keep all times, and merge by time.
        overwrite: Replace an existing file.
        hints: Metadata that the recordings do not store.
        progress: Called with the amount done and the total.

    Raises:
        EventError: If the sensors differ, or there is no recording.
        ConfigError: If `gap_us` is negative.

    Example:
        >>> a = Events([0, 10], [3, 4], [1, 1], [True, False], "12x7")
        >>> b = Events([5], [6], [2], [True], "12x7")
        >>> merge([a, b]).read().t.tolist(), merge([a, b], gap_us=100).read().t.tolist()
        ([0, 5, 10], [0, 10, 110])
    """
    opened = [open_recording(recording, hints=hints) for recording in recordings]
    return _write(MergedRecordings(opened, gap_us), out, overwrite=overwrite, progress=progress)


def _write(edit: EditType, out: str | Path | None, *, overwrite: bool, progress: Progress | None) -> EditType:
    """Write an edit if there is an output, and return it."""
    if out is not None:
        claim_output(Path(out), overwrite=overwrite)
        edit.write(out, overwrite=overwrite, progress=progress)
    return edit
