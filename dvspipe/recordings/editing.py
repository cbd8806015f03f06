"""Edit recordings: cut in time and space, filter noise, merge several into one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.arguments import checked
from ..base.config import as_settings
from ..base.errors import ConfigError, EventError
from ..events import Events, Region, SensorSize, TimeSpan, join_streams, merge_streams
from ..events.filters import FilterConfig, FilterCounts, check_pixels, count_pixels, filter_stream, find_hot_pixels
from ..formats import Recording, open_recording, write
from ..formats.recordings import count_events
from ..formats.source import Extent
from ..parallel import Progress

SHARE = 1000  # progress units per recording

_Transform = Callable[[Sequence[Recording], Sequence[Progress | None]], Iterator[Events]]


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

    def chunks(self, recording: Recording | None = None, progress: Progress | None = None) -> Iterator[Events]:
        """Yield the events of the part."""
        region, found = self.region, not self.start_s
        for part in (recording or self.recording).chunks(*self.span, progress=progress):
            found = found or len(part) > 0
            yield part if region.size == self.recording.sensor else part.crop(region.left, region.top, region.size)
        if not found and self.span.start_us > self.recording.find_last_us():
            length = _describe_length(self.recording)
            raise EventError(f"{self.recording.path}: no events after the start time {self.start_s:g} s; {length}")


@checked
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
        ArgumentError: If a time is not a number.
        ConfigError: If the stop time is not after the start time.
        EventError: If the region is not inside the sensor.
    """
    kept = region or Region.full(recording.sensor)
    if not kept.is_inside(recording.sensor):
        raise EventError(f"{recording.path}: region {kept} is not inside the sensor (found {recording.sensor})")
    if stop_s is not None and stop_s <= start_s:
        times = f"stop time {stop_s:g} s is not after start time {start_s:g} s"
        raise ConfigError(f"{recording.path}: {times}; {_describe_length(recording)}")
    return RecordingPart(recording, start_s, recording.find_span(start_s=start_s or None, stop_s=stop_s), kept)


@checked
def cut_recording(
    part: RecordingPart, out: str | Path, *, overwrite: bool = False, progress: Progress | None = None
) -> int:
    """Write a part of a recording with its noise labels and settings; return the number of events.

    Args:
        part: Part to write; event times do not change.
        out: Output file; `-`: standard output, as CSV.
        overwrite: Whether to replace an existing file.
        progress: Called with the amount done and the total.

    Raises:
        DvspipeError: As in `RecordingPart.chunks` and `write`.
    """

    def keep(recordings: Sequence[Recording], shown: Sequence[Progress | None]) -> Iterator[Events]:
        return part.chunks(recordings[0], shown[0])

    return _write_transformed(out, [part.recording], keep, size=part.sensor, overwrite=overwrite, progress=progress)


def locate_hot_pixels(part: RecordingPart, *, progress: Progress | None = None) -> NDArray[np.bool_]:
    """Read all events of a part, and return a mask of its hot pixels, bool [H, W]."""
    _check_pixels(part)
    return find_hot_pixels(count_pixels(part.chunks(progress=progress), part.sensor))


@checked
def filter_recording(
    part: RecordingPart,
    out: str | Path,
    config: FilterConfig | Mapping[str, object] | None = None,
    *,
    hot: NDArray[np.bool_] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **named: object,
) -> FilterCounts:
    """Filter noise from a part of a recording, write the rest, and return the numbers of dropped events by reason.

    Args:
        part: Part to filter; the output keeps its noise labels and settings.
        out: Output file; `-`: standard output, as CSV.
        config: Filter settings; also a mapping.
        hot: Mask of hot pixels to drop, bool [H, W], as returned by `locate_hot_pixels`.
        overwrite: Whether to replace an existing file.
        progress: Called with the amount done and the total.
        named: Settings of `FilterConfig` by name.

    Raises:
        DvspipeError: As in `RecordingPart.chunks` and `write`, or if the part has too many pixels.
    """
    _check_pixels(part)
    chosen = as_settings(FilterConfig, config, named, filter_recording)
    counts = [FilterCounts()]

    def keep(recordings: Sequence[Recording], shown: Sequence[Progress | None]) -> Iterator[Events]:
        callback = (
            counts.append if recordings[0] is part.recording else None
        )  # count events once, not again for the labels
        return filter_stream(part.chunks(recordings[0], shown[0]), chosen, hot=hot, callback=callback)

    settings = chosen.model_dump() | {"hot_pixels": hot is not None}
    _write_transformed(
        out, [part.recording], keep, size=part.sensor, overwrite=overwrite, progress=progress, filter=settings
    )
    return counts[-1]


@checked
def merge_recordings(
    recordings: Sequence[Recording | str | Path],
    out: str | Path,
    *,
    gap_us: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Merge several recordings of one sensor into one file; return the number of events.

    Args:
        recordings: One or more recordings, or files. Noise labels are kept if all recordings have them, settings if
            they are equal in all.
        out: Output file; `-`: standard output, as CSV.
        gap_us: Concatenate in sequence: shift each recording to begin this many microseconds after the end of the
            previous one, >= 0. None: keep all times, and merge by time.
        overwrite: Whether to replace an existing file.
        progress: Called with the amount done and the total.

    Raises:
        EventError: If the sensors differ.
        ConfigError: If `gap_us` is negative.
        DvspipeError: As in `Recording.chunks` and `write`.
    """
    opened = [open_recording(recording) for recording in recordings]
    size = find_common_sensor(opened)

    def transform(recordings: Sequence[Recording], shown: Sequence[Progress | None]) -> Iterator[Events]:
        return unite([one.chunks(progress=show) for one, show in zip(recordings, shown, strict=True)], gap_us)

    return _write_transformed(out, opened, transform, size=size, overwrite=overwrite, progress=progress)


def find_common_sensor(recordings: Sequence[Recording]) -> SensorSize:
    """Return the sensor of recordings."""
    if not recordings:
        raise EventError("merge: no recordings (expected one or more)")
    first = recordings[0]
    for one in recordings:
        if one.sensor != first.sensor:
            raise EventError(
                f"{one.path}: wrong sensor size (found {one.sensor}, expected {first.sensor} as in {first.path})"
            )
    return first.sensor


def unite(streams: Sequence[Iterator[Events]], gap_us: int | None) -> Iterator[Events]:
    """Merge streams by time (`gap_us` is None), or join them in sequence with this gap."""
    return merge_streams(streams) if gap_us is None else join_streams(streams, gap_us)


def _write_transformed(
    out: str | Path,
    recordings: Sequence[Recording],
    transform: _Transform,
    *,
    size: SensorSize,
    overwrite: bool,
    progress: Progress | None,
    **settings: object,
) -> int:
    """Transform recordings, and write the result; labels are kept if all have them, settings if all have the same.

    `transform` must not depend on polarities: it is also called with recordings that store noise labels as polarities.
    """
    labels = [recording.noise for recording in recordings]
    labelled = [noise for noise in labels if noise is not None]
    first, *others = (recording.attributes.get("settings") for recording in recordings)
    kept = first if isinstance(first, dict) and all(other == first for other in others) else {}
    return write(
        out,
        transform(recordings, _split_progress(progress, len(recordings))),
        size,
        source=", ".join(recording.path.name for recording in recordings),
        settings=kept | settings,
        overwrite=overwrite,
        noise=transform(labelled, [None] * len(labels)) if len(labelled) == len(labels) else None,
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
