"""Edit recordings: cut in time and space, filter noise, merge several into one.

Each verb is a function on streams of events, which reads and writes in bounded memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..base.errors import Brief, ConfigError, EventError
from ..base.progress import NamedStep, Progress, ignore_progress
from ..events import Events, Region, RegionLike, SensorSize, TimeSpan, join_streams, merge_streams
from ..events.filter_config import FilterConfig
from ..events.filters import FilterCounts, check_pixels, count_pixels, filter_stream, find_hot_pixels
from ..formats import Recording, RecordingLike, open_recording
from ..formats.recordings import count_events
from ..formats.source import Extent
from .output import Conversion, write_stream

log = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class RecordingPart(Brief):
    """Part of a recording in time and space; see `select_part`.

    Args:
        recording: Source recording.
        span: Times on the clock of the file.
        region: Region of the sensor; its upper left corner becomes the origin.
    """

    recording: Recording
    span: TimeSpan
    region: Region

    @property
    def sensor(self) -> SensorSize:
        """Sensor size of the part."""
        return self.region.size

    @property
    def is_complete(self) -> bool:
        """Whether the part is the complete recording."""
        return self.span.is_unlimited and self.sensor == self.recording.sensor

    @property
    def first_us(self) -> int | None:
        """Time of the first event of the recording in microseconds; None if the part is the complete recording."""
        return None if self.is_complete else self.recording.find_first_us()

    def extent(self, progress: Progress | None = None) -> Extent:
        """Return the number of events, and the first and last time."""
        stored = self.recording.extent() if self.is_complete else None
        if stored is not None:
            return stored

        return count_events(self.chunks(progress))

    def chunks(self, progress: Progress | None = None) -> Iterator[Events]:
        """Yield the events of the part.

        Raises:
            EventError: If the part begins after the last event.
        """
        region = self.region
        is_empty = True
        for part in self.recording.chunks(*self.span, progress=progress):
            is_empty = is_empty and not len(part)
            yield part if self.sensor == self.recording.sensor else part.crop(region.left, region.top, region.size)

        last_us = self.recording.find_last_us() if is_empty else self.span.start_us
        if self.span.start_us > last_us:
            first_us = self.recording.find_first_us()
            start_s = (self.span.start_us - first_us) * 1e-6
            raise EventError(
                f"{self.recording.path}: no events after the start time {start_s:g} s (found the last at "
                f"{(last_us - first_us) * 1e-6:g} s)"
            )


def select_part(
    recording: Recording, start_s: float = 0.0, stop_s: float | None = None, region: RegionLike | None = None
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
    selected = Region.full(recording.sensor) if region is None else Region.of(region)
    if not selected.is_inside(recording.sensor):
        raise EventError(f"{recording.path}: region {selected} is not inside the sensor (found {recording.sensor})")
    if stop_s is not None and stop_s <= start_s:
        raise ConfigError(f"{recording.path}: wrong stop time (found {stop_s:g} s, expected more than {start_s:g} s)")

    return RecordingPart(recording, recording.find_span(start_s=start_s or None, stop_s=stop_s), selected)


def write_filtered(
    part: RecordingPart,
    out: str | Path,
    config: FilterConfig,
    *,
    overwrite: bool = False,
    progress: Progress = ignore_progress,
) -> tuple[Conversion, FilterCounts]:
    """Write a part of a recording without noise; return also how many events each filter removed."""
    require_pixels(part.recording)
    counts = FilterCounts()

    def note(so_far: FilterCounts) -> None:
        nonlocal counts
        counts = so_far

    # Hot pixels are known only after a pass over all events.
    hot = None
    if config.hot_pixels:
        chunks = part.chunks(NamedStep(progress, "hot pixels", 0, 2))
        hot = find_hot_pixels(count_pixels(chunks, part.sensor))
        progress = NamedStep(progress, "filter", 1, 2)

    kept = filter_stream(part.chunks(progress), config, hot=hot, callback=note)
    settings = {"filter": config.model_dump()}
    written = write_stream(out, kept, part.sensor, [part.recording], settings=settings, overwrite=overwrite)
    return written, counts


def require_pixels(recording: Recording) -> None:
    """Refuse a recording whose sensor is too large for a number per pixel, which a wrong file may claim."""
    try:
        check_pixels(recording.sensor)
    except EventError as error:
        raise error.named(str(recording.path)) from error


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


def _split_progress(progress: Progress, count: int) -> list[Progress]:
    """Return a callback for each of several recordings that are read at the same time; each is one unit of work."""
    shares = [0.0] * count

    def report(number: int, done: float, total: float) -> None:
        shares[number] = done / total if total else 0.0
        progress(sum(shares), count)

    return [partial(report, number) for number in range(count)]


def cut(
    recording: RecordingLike,
    out: str | Path,
    *,
    start_s: float = 0.0,
    stop_s: float | None = None,
    region: RegionLike | None = None,
    overwrite: bool = False,
    progress: Progress = ignore_progress,
) -> Conversion:
    """Cut a recording in time and in space; event times do not change.

    Args:
        recording: Recording.
        out: Output file; its suffix selects the format.
        start_s: Start time in seconds after the first event.
        stop_s: Stop time (exclusive) in seconds after the first event; default: end of the recording.
        region: Region of the sensor, such as 128x128+20+10; its upper left corner becomes the origin. Default: complete
            sensor.
        overwrite: Replace an existing file.
        progress: Called with the amount done and the total.

    Raises:
        ConfigError: If the stop time is not after the start time.
        EventError: If the recording ends before the part begins, or the region is not inside the sensor.

    Example:
        >>> events = Events([500, 700_500], [3, 4], [1, 1], [True, False], "12x7")
        >>> cut(events, tmp_path / "part.h5", start_s=0.5, stop_s=1.0, region="5x4+2+1").events
        1
    """
    part = select_part(open_recording(recording), start_s, stop_s, region)
    return write_stream(out, part.chunks(progress), part.sensor, [part.recording], overwrite=overwrite)


def filter(  # noqa: A001
    recording: RecordingLike,
    out: str | Path,
    config: FilterConfig = FilterConfig(),
    *,
    overwrite: bool = False,
    progress: Progress = ignore_progress,
) -> Conversion:
    """Remove noise with one filter or more: hot pixels, the refractory period, isolated background activity.

    Args:
        recording: Recording.
        out: Output file; its suffix selects the format.
        config: Settings of the filters.
        overwrite: Replace an existing file.
        progress: Called with the amount done and the total.

    Raises:
        ConfigError: If no filter is on.
        EventError: If the sensor has more than 16 million pixels.

    Example:
        >>> events = Events([0, 100, 900], [3, 3, 3], [1, 1, 1], [True, True, True], "12x7")
        >>> filter(events, tmp_path / "clean.h5", FilterConfig(refractory_us=500)).events
        2
    """
    if not config.active:
        raise ConfigError("no filter is on; use hot_pixels, or refractory_us=MICROSECONDS, or activity_us=MICROSECONDS")

    part = select_part(open_recording(recording))
    written, counts = write_filtered(part, out, config, overwrite=overwrite, progress=progress)
    log.info("%s: %s", part.recording.path, counts)
    return written


def merge(
    recordings: Sequence[RecordingLike],
    out: str | Path,
    *,
    gap_us: int | None = None,
    overwrite: bool = False,
    progress: Progress = ignore_progress,
) -> Conversion:
    """Merge recordings of one sensor into one, by event times or one after another.

    Args:
        recordings: One or more recordings.
        out: Output file; its suffix selects the format.
        gap_us: One after another: shift each recording to begin this many microseconds after the end of the previous
            one, >= 0. Default: keep all times, and merge by time.
        overwrite: Replace an existing file.
        progress: Called with the amount done and the total.

    Raises:
        EventError: If the sensors differ.

    Example:
        >>> a = Events([0, 10], [3, 4], [1, 1], [True, False], "12x7")
        >>> b = Events([5], [6], [2], [True], "12x7")
        >>> merge([a, b], tmp_path / "both.h5", gap_us=100).duration_us
        110
    """
    opened = [open_recording(recording) for recording in recordings]
    sensor = find_common_sensor(opened)
    steps = _split_progress(progress, len(opened))
    streams = [one.chunks(progress=step) for one, step in zip(opened, steps, strict=True)]
    join = merge_streams if gap_us is None else partial(join_streams, gap_us=gap_us)
    return write_stream(out, join(streams), sensor, opened, overwrite=overwrite)
