"""Parts of recordings, recordings without noise, and several recordings as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, EventError
from ..events import Events, Region, SensorSize, join, merge
from ..events.filters import FilterConfig, FilterCounts, check_pixels, count_pixels, filter_stream, find_hot_pixels
from ..formats import Recording, write
from ..formats.recordings import count_events
from ..formats.source import Extent
from ..parallel import Progress

SHARE = 1000  # progress per recording

_Change = Callable[[Sequence[Recording], Sequence[Progress | None]], Iterator[Events]]


@dataclass(frozen=True)
class RecordingPart:
    """A part of a recording in time and space.

    Args:
        recording: The recording.
        start_s: Start time in seconds from the first event.
        first_us: Time of the first event of the recording; None if the part is complete.
        start_us: Start time in the time of the file; None: from the beginning.
        stop_us: Stop time; None: to the end.
        region: Region of the sensor.
    """

    recording: Recording
    start_s: float
    first_us: int | None
    start_us: int | None
    stop_us: int | None
    region: Region

    @property
    def sensor(self) -> SensorSize:
        """Size of the region."""
        return self.region.size

    @property
    def is_complete(self) -> bool:
        """Whether it has all events of the recording."""
        return self.first_us is None

    def extent(self, progress: Progress | None = None) -> Extent:
        """Return number of events, first and last time.

        Args:
            progress: Called with how much is read, unless the file of a complete recording has these numbers.
        """
        stored = self.recording.extent() if self.is_complete else None
        if stored is not None:
            return stored
        count, _, first_us, last_us = count_events(self.chunks(progress=progress))
        return Extent(count, first_us, last_us)

    def chunks(self, recording: Recording | None = None, progress: Progress | None = None) -> Iterator[Events]:
        """Yield the events of this part.

        Args:
            recording: What to read instead, with the same times, such as the labels of noise.
            progress: Called with how much of the recording is read.

        Raises:
            EventError: The recording ends before the part begins.
        """
        region, found = self.region, not self.start_s
        for part in (recording or self.recording).chunks(self.start_us, self.stop_us, progress=progress):
            found = found or len(part) > 0
            yield part if region.size == self.recording.sensor else part.crop(region.left, region.top, region.size)
        if not found and (self.start_us or 0) > _last_us(self.recording):
            length = _describe_length(self.recording)
            raise EventError(f"{self.recording.path}: no events after the start time {self.start_s:g} s; {length}")


def select_part(
    recording: Recording, start_s: float = 0.0, stop_s: float | None = None, region: Region | None = None
) -> RecordingPart:
    """Return a part of a recording.

    Args:
        recording: The recording.
        start_s: Start time in seconds from the first event.
        stop_s: Stop time (exclusive); None: to the end.
        region: Region of the sensor; None: all of it.

    Raises:
        ConfigError: The stop time is not after the start time.
        EventError: The region is outside the sensor.
    """
    kept = region or Region.full(recording.sensor)
    if not kept.is_inside(recording.sensor):
        raise EventError(f"{recording.path}: region {kept} is outside the sensor (found {recording.sensor})")
    if stop_s is not None and stop_s <= start_s:
        times = f"stop time {stop_s:g} s is not after start time {start_s:g} s"
        raise ConfigError(f"{recording.path}: {times}; {_describe_length(recording)}")
    if not start_s and stop_s is None and region is None:
        return RecordingPart(recording, start_s, None, None, None, kept)
    first_us = _first_us(recording)
    if not start_s and stop_s is None:
        return RecordingPart(recording, start_s, first_us, None, None, kept)
    stop_us = None if stop_s is None else first_us + round(stop_s * 1e6)
    return RecordingPart(recording, start_s, first_us, first_us + round(start_s * 1e6), stop_us, kept)


def cut_recording(
    part: RecordingPart, out: str | Path, *, overwrite: bool = False, progress: Progress | None = None
) -> int:
    """Write a part of a recording, with its labels of noise and its settings, and return the number of its events.

    Args:
        part: The part; the times of its events do not change.
        out: The file to write; `-`: standard output, as CSV.
        overwrite: Whether an existing file is replaced.
        progress: Called with how much is done and how much there is.

    Raises:
        DvspipeError: As in `RecordingPart.chunks` and `write`.
    """

    def keep(recordings: Sequence[Recording], shown: Sequence[Progress | None]) -> Iterator[Events]:
        return part.chunks(recordings[0], shown[0])

    return _write(out, [part.recording], keep, size=part.sensor, overwrite=overwrite, progress=progress)


def locate_hot_pixels(part: RecordingPart, *, progress: Progress | None = None) -> NDArray[np.bool_]:
    """Return which pixels of a part of a recording are hot, bool [H, W], by reading all its events.

    Raises:
        EventError: It has too many pixels.
    """
    _check_pixels(part)
    return find_hot_pixels(count_pixels(part.chunks(progress=progress), part.sensor))


def filter_recording(
    part: RecordingPart,
    out: str | Path,
    config: FilterConfig,
    *,
    hot: NDArray[np.bool_] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> FilterCounts:
    """Write a recording, or a part of one, without noise, and return how many events were dropped, and why.

    Args:
        part: What is filtered; the file keeps its labels of noise and its settings.
        out: The file to write; `-`: standard output, as CSV.
        config: Settings of the filters.
        hot: bool [H, W], pixels of the part whose events are dropped, as `locate_hot_pixels` returns them.
        overwrite: Whether an existing file is replaced.
        progress: Called with how much is done and how much there is.

    Raises:
        DvspipeError: As in `RecordingPart.chunks` and `write`, or there are too many pixels.
    """
    _check_pixels(part)
    counts = [FilterCounts()]

    def keep(recordings: Sequence[Recording], shown: Sequence[Progress | None]) -> Iterator[Events]:
        callback = counts.append if recordings[0] is part.recording else None  # not of the labels
        return filter_stream(part.chunks(recordings[0], shown[0]), config, hot=hot, callback=callback)

    settings = config.model_dump() | {"hot_pixels": hot is not None}
    _write(out, [part.recording], keep, size=part.sensor, overwrite=overwrite, progress=progress, filter=settings)
    return counts[-1]


def merge_recordings(
    recordings: Sequence[Recording],
    out: str | Path,
    *,
    gap_us: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write several recordings of one sensor as one, and return the number of its events.

    Args:
        recordings: At least one. Labels of noise are kept if all have them, settings if all have the same.
        out: The file to write; `-`: standard output, as CSV.
        gap_us: Time in microseconds from the last event of one to the first of the next, to which each is shifted;
            None: all keep their times.
        overwrite: Whether an existing file is replaced.
        progress: Called with how much is done and how much there is.

    Raises:
        EventError: Their sensors differ.
        DvspipeError: As in `Recording.chunks` and `write`.
    """
    first = recordings[0]
    for one in recordings:
        if one.sensor != first.sensor:
            raise EventError(f"{one.path}: has a sensor of {one.sensor}, expected {first.sensor} as {first.path}")

    def unite(recordings: Sequence[Recording], shown: Sequence[Progress | None]) -> Iterator[Events]:
        streams = [one.chunks(progress=show) for one, show in zip(recordings, shown, strict=True)]
        return merge(streams) if gap_us is None else join(streams, gap_us)

    return _write(out, recordings, unite, size=first.sensor, overwrite=overwrite, progress=progress)


def _write(
    out: str | Path,
    recordings: Sequence[Recording],
    change: _Change,
    *,
    size: SensorSize,
    overwrite: bool,
    progress: Progress | None,
    **settings: object,
) -> int:
    """Write what a function makes of recordings, with their labels of noise and their settings.

    Args:
        out: The file to write.
        recordings: Its sources; labels are kept if all have them, settings if all have the same.
        change: Returns the events to write, given recordings and their progress. It does not depend on polarities,
            because it is also called with the labels in their place.
        size: The sensor of these events.
        overwrite: Whether an existing file is replaced.
        progress: Called with how much is done.
        settings: What to add to the settings.
    """
    labels = [recording.noise for recording in recordings]
    labelled = [noise for noise in labels if noise is not None]
    first, *others = (recording.attributes.get("settings") for recording in recordings)
    kept = first if isinstance(first, dict) and all(other == first for other in others) else {}
    return write(
        out,
        change(recordings, _shares(progress, len(recordings))),
        size,
        source=", ".join(recording.path.name for recording in recordings),
        settings=kept | settings,
        overwrite=overwrite,
        noise=change(labelled, [None] * len(labels)) if len(labelled) == len(labels) else None,
    )


def _shares(progress: Progress | None, count: int) -> Sequence[Progress | None]:
    """Return a progress for each of several recordings, which have equal shares of one."""
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


def _first_us(recording: Recording) -> int:
    """Return the time of the first event, 0 without events."""
    extent = recording.extent()
    first_us = extent.first_us if extent else next((int(part.t[0]) for part in recording.chunks() if len(part)), None)
    return first_us or 0


def _last_us(recording: Recording) -> int:
    """Return the time of the last event, 0 without events; all are read if the file does not say it."""
    extent = recording.extent()
    if extent:
        return extent.last_us or 0
    return count_events(recording.chunks())[-1] or 0


def _describe_length(recording: Recording) -> str:
    return f"the recording lasts {(_last_us(recording) - _first_us(recording)) * 1e-6:.6g} s"
