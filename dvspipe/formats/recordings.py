"""Read, stream, describe and write recordings of any format."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptionError, EventError, FileError, FormatError, Remedy
from ..events import EARLIEST_US, LATEST_US, Events, SensorSize, SensorSizeLike, concatenate
from ..parallel import Progress
from ..video.names import is_video_name
from .hints import NO_HINTS, Hints
from .interface import Format
from .rosbag import ROSBAG, is_ros2_folder
from .source import HEAD_BYTES, Extent, Source, StoredColumns, open_binary
from .standard import actual_path, named_as_given
from .table import FORMATS, find_encoder, written_suffixes
from .text import STANDARD, StandardOutputWriter
from .writers import Compression, WriteOptions, Writer, unwritable

SensorSource = Literal["file", "given", "guessed"]

KNOWN_SENSORS = tuple(
    SensorSize(width=width, height=height)
    for width, height in (
        (34, 34),  # N-MNIST
        (128, 128),  # DVS128
        (240, 180),  # DAVIS240
        (304, 240),  # ATIS
        (320, 240),  # DVXplorer Lite
        (346, 260),  # DAVIS346
        (640, 480),  # Gen 3, DVXplorer
        (1280, 720),  # Gen 4, IMX636
    )
)

SYNTHETIC_GESTURES = "synthetic gestures"
"""Where the events of rendered people come from, as files say it."""
MAX_COUNTED_EVENTS = 10_000_000  # whose polarities are read though the file says the rest, within a second

VIDEO_MARKS = (
    (4, b"ftyp"),  # MP4, MOV
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska, WebM
    (8, b"AVI "),
    (0, b"GIF8"),
)
"""Where a video has which bytes."""


@dataclass(frozen=True)
class Recording:
    """An opened recording.

    Args:
        path: The file.
        format: Name of its format.
        sensor: Its sensor.
        sensor_source: `file` if the file names the sensor, `given` by the caller, or `guessed` from the events.
        attributes: Settings and comments in the file.
    """

    path: Path
    format: str
    sensor: SensorSize
    sensor_source: SensorSource
    attributes: dict[str, Any]
    _source: Source

    @property
    def is_synthetic(self) -> bool:
        """Whether the file says that dvspipe rendered what it shows."""
        return SYNTHETIC_GESTURES in str(self.attributes.get("source", ""))

    def chunks(
        self,
        start_us: int | None = None,
        stop_us: int | None = None,
        *,
        on_corruption: Callable[[CorruptionError], None] | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Events]:
        """Yield the events in consecutive chunks of about a million, checked.

        Args:
            start_us: Time of the first event, in the time of the file; None: from the beginning.
            stop_us: Time before which the events end; None: to the end.
            on_corruption: Called with corruption, which then ends the recording. None: it is raised. In both cases, all
                good events before it come first.
            progress: Called with how much is read and how much there is to read, in events, bytes or other units.

        Raises:
            CorruptionError: The file is corrupted or truncated, or an event breaks a rule of `Events`.
        """
        first, last = start_us if start_us is not None else EARLIEST_US, stop_us if stop_us is not None else LATEST_US
        for events in self._until_corruption((first, last), on_corruption, progress):
            part = events.slice_time(first, last)
            if len(part) or not len(events):
                yield part
            if len(events) and events.t[-1] >= last:
                return

    def _until_corruption(
        self,
        span_us: tuple[int, int],
        on_corruption: Callable[[CorruptionError], None] | None,
        progress: Progress | None,
    ) -> Iterator[Events]:
        try:
            yield from self._checked(span_us, progress)
        except CorruptionError as error:
            if on_corruption is None:
                raise
            on_corruption(error)

    def _checked(self, span_us: tuple[int, int], progress: Progress | None) -> Iterator[Events]:
        seen, before_us = 0, None
        part = self._source.part if span_us != (EARLIEST_US, LATEST_US) else None
        for columns in part(*span_us) if part else self._source.chunks(progress):
            try:
                events = _events_after(columns, before_us, self.sensor)
            except EventError as error:
                if error.event:
                    t, x, y, p = (column[: error.event] for column in columns)
                    yield Events(t, x, y, p, self.sensor)
                after = f" after the first {seen}" if seen else ""
                message = f"{self.path}: {error.message}{after}"
                raise CorruptionError(message, *error.remedies, lost="it and everything after it") from error
            seen += len(events)
            before_us = int(events.t[-1]) if len(events) else before_us
            if progress and part:
                progress(*self._share(span_us, before_us))
            yield events

    def _share(self, span_us: tuple[int, int], done_us: int | None) -> tuple[int, int]:
        """Return how much of a span in time is done, and all of it, in microseconds."""
        _, first_us, last_us = self.extent() or Extent(0, None, None)
        if first_us is None or last_us is None or done_us is None:
            return 0, 0
        first_us, last_us = max(first_us, span_us[0]), min(last_us, span_us[1])
        return max(0, min(done_us, last_us) - first_us), max(0, last_us - first_us)

    def sorted(self) -> Events:
        """Return all events, sorted by time; events of the same time keep their order.

        Raises:
            FormatError: An event breaks another rule of `Events`.
        """
        parts = list(self._source.chunks())
        t, x, y, p = (np.concatenate([np.zeros(0, np.int64), *(part[i] for part in parts)]) for i in range(4))
        order = np.argsort(t, kind="stable")
        try:
            return Events(t[order], x[order], y[order], p[order], self.sensor)
        except EventError as error:
            raise FormatError(f"{self.path}: after sorting, {error}") from error

    @property
    def noise(self) -> Recording | None:
        """The same events, with whether each is labelled as noise in the place of its polarity; None without labels."""
        return None if self._source.noise is None else replace(self, _source=self._source.noise)

    def extent(self) -> Extent | None:
        """Return number of events, first and last time; None if they cannot be found without decoding the file."""
        return self._source.extent() if self._source.extent else None


@dataclass(frozen=True)
class RecordingInfo:
    """Facts about a recording.

    Args:
        file: Its path.
        format: Name of its format.
        width: Columns of its sensor.
        height: Rows of its sensor.
        sensor_source: `file`, `given` or `guessed`.
        events: Number of events.
        t_first_us: Time of the first event, None if there are none.
        t_last_us: Time of the last event, None if there are none.
        duration_us: Time from the first event to the last.
        on_fraction: Fraction of ON events, None if there are none or they were not read.
        rate_hz: Events per second, None if the duration is 0.
        attributes: Settings and comments in the file.
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
    attributes: dict[str, Any]


def open_recording(
    path: str | Path,
    *,
    sensor: SensorSizeLike | None = None,
    hints: Hints = NO_HINTS,
    format_name: str | None = None,
) -> Recording:
    """Open a recording of any known format, recognised by content first and then by suffix.

    Args:
        path: The file, or `-` for standard input, which is copied to a temporary file.
        sensor: The sensor, for files that do not name it. None: the smallest known sensor that contains all events.
        hints: What else the file does not say.
        format_name: Its format in `FORMATS`, if `recognise` found it before.

    Raises:
        FileError: There is no such file.
        FormatError: Its format is unknown, or its content is not what the format requires.
        EventError: It names another sensor than the given one.
    """
    path, sensor = Path(path), None if sensor is None else SensorSize.of(sensor)
    known, source = open_source(path, sensor, hints, format_name)
    sensor_source: SensorSource = "file" if source.sensor else "given" if sensor else "guessed"
    sensor = source.sensor or sensor or _guess_sensor(path, source.chunks())
    return Recording(path, known.name, sensor, sensor_source, source.attributes, source)


def open_source(
    path: Path, sensor: SensorSize | None = None, hints: Hints = NO_HINTS, format_name: str | None = None
) -> tuple[Format, Source]:
    """Return the format of a file and its unchecked columns.

    Arguments and errors are those of `open_recording`; the sensor is not guessed.
    """
    actual = actual_path(path)
    known = recognise(actual) if format_name is None else FORMATS[format_name]
    if known is None:
        raise _unknown_format(path, _head(actual))
    with named_as_given(path):
        source = known.open(actual, hints)
    if source.sensor is not None and sensor is not None and source.sensor != sensor:
        raise EventError(f"{path}: comes from a sensor of {source.sensor} (expected {sensor})")
    if path == STANDARD:
        return known, replace(source, chunks=partial(_chunks_as_given, source, path))
    return known, source


def _chunks_as_given(source: Source, path: Path, progress: Progress | None = None) -> Iterator[StoredColumns]:
    with named_as_given(path):
        yield from source.chunks(progress)


def _unknown_format(path: Path, head: bytes) -> FormatError:
    """Return the error for a file that no format recognises, with its first bytes."""
    if not head:
        return FormatError(f"{path}: the file is empty")
    if is_video_name(path) or _is_video(head):
        return FormatError(f"{path}: is a video, not a recording of events; convert it to events first")
    suffixes = ", ".join(dict.fromkeys(suffix for one in FORMATS.values() for suffix in one.suffixes))
    return FormatError(f"{path}: not a recording of a known format (expected {suffixes})")


def recognise(path: Path) -> Format | None:
    """Return the format of a file, by its content and then by its suffix; None if it is not known.

    Raises:
        FileError: There is no such file, or it cannot be read.
    """
    path = actual_path(path)
    if is_ros2_folder(path):
        return ROSBAG
    head = _head(path)
    if _is_video(head):
        return None
    unpacked = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return next((known for known in FORMATS.values() if head and known.recognises(unpacked, head)), None)


def _is_video(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a video, whatever its suffix."""
    return any(head[place:].startswith(mark) for place, mark in VIDEO_MARKS)


def smallest_sensor(width: int, height: int) -> SensorSize | None:
    """Return the smallest known sensor with at least so many columns and rows; None if there is none."""
    return next((known for known in KNOWN_SENSORS if width <= known.width and height <= known.height), None)


def read(
    path: str | Path,
    start_us: int | None = None,
    stop_us: int | None = None,
    *,
    sensor: SensorSizeLike | None = None,
    hints: Hints = NO_HINTS,
    sort: bool = False,
) -> Events:
    """Return all events of a recording, or those with start_us <= t < stop_us.

    Args:
        path: The file.
        start_us: Time of the first event, in the time of the file; None: from the beginning.
        stop_us: Time before which the events end; None: to the end.
        sensor: As in `open_recording`.
        hints: As in `open_recording`.
        sort: Whether events are sorted by time, which needs memory for all; if false, events out of order are an error.

    Raises:
        DvspipeError: As in `open_recording` and `Recording.chunks`.
    """
    recording = open_recording(path, sensor=sensor, hints=hints)
    if not sort:
        return concatenate(recording.chunks(start_us, stop_us), recording.sensor)
    first, last = start_us if start_us is not None else EARLIEST_US, stop_us if stop_us is not None else LATEST_US
    return recording.sorted().slice_time(first, last)


def iterate(
    path: str | Path,
    start_us: int | None = None,
    stop_us: int | None = None,
    *,
    sensor: SensorSizeLike | None = None,
    hints: Hints = NO_HINTS,
) -> Iterator[Events]:
    """Return the events that `read` returns in consecutive chunks, in bounded memory."""
    return open_recording(path, sensor=sensor, hints=hints).chunks(start_us, stop_us)


def write(
    path: str | Path,
    parts: Events | Iterable[Events],
    sensor: SensorSizeLike | None = None,
    *,
    source: str = "",
    settings: Mapping[str, Any] | None = None,
    compression: Compression = "gzip",
    overwrite: bool = False,
    noise: Iterable[Events] | None = None,
) -> int:
    """Write a recording in the format of the suffix, and return the number of its events.

    Args:
        path: The file to write; its suffix is one of `written_suffixes`. `-`: standard output, as CSV.
        parts: The events, or consecutive parts of them.
        sensor: Their sensor; required if there may be no part at all.
        source: Where they come from; only HDF5 keeps it.
        settings: The settings that made them; only HDF5 keeps them.
        compression: Of HDF5: `gzip`, which every library reads, or `blosc`, which reads faster and needs hdf5plugin.
        overwrite: Whether an existing file is replaced.
        noise: The same events, with whether each is noise in the place of its polarity, as `Recording.noise` has them;
            only HDF5 keeps it.

    Raises:
        FileError: The file exists, cannot be written, or has a suffix that dvspipe does not write.
        EventError: The format cannot hold the events, or what is given are no events.
    """
    path = Path(path)
    if not isinstance(parts, Events | Iterable):
        raise _wrong_part(path, parts)
    iterator = _checked_parts(path, [parts] if isinstance(parts, Events) else parts)
    first = next(iterator, None)
    if first is not None:
        size = first.sensor
    elif sensor is not None:
        size = SensorSize.of(sensor)
    else:
        raise EventError(
            f"{path}: no events to write and no sensor", Remedy("sensor", "WxH", "write an empty recording")
        )
    options = WriteOptions(source, settings or {}, compression, overwrite, labelled=noise is not None)
    all_parts = itertools.chain(() if first is None else (first,), iterator)
    with create_writer(path, size, options) as writer:
        for part, is_noise in _labelled(all_parts, noise):
            writer.append(part, is_noise)
    return writer.count


def _checked_parts(path: Path, parts: Iterable[Events]) -> Iterator[Events]:
    for part in parts:
        if not isinstance(part, Events):
            raise _wrong_part(path, part)
        yield part


def _wrong_part(path: Path, part: object) -> EventError:
    return EventError(f"{path}: wrong type of what to write (found {type(part).__name__}, expected Events)")


def create_writer(path: Path, sensor: SensorSize, options: WriteOptions) -> Writer:
    """Return what writes a recording part by part, in the format of the suffix, or as CSV to standard output (`-`).

    Raises:
        FileError: The file has a suffix that dvspipe does not write.
    """
    if path == STANDARD:
        return StandardOutputWriter(sensor)
    encoder = find_encoder(path)
    if encoder is None:
        raise unwritable(path, written_suffixes())
    return encoder.create(path, sensor, options)


def _labelled(
    parts: Iterable[Events], noise: Iterable[Events] | None
) -> Iterator[tuple[Events, NDArray[np.bool_] | None]]:
    """Yield each part with the labels of its events, which may come in other parts."""
    if noise is None:
        yield from ((part, None) for part in parts)
        return
    more, waiting = iter(noise), np.zeros(0, np.bool_)
    for part in parts:
        while len(waiting) < len(part):
            labels = next(more, None)
            if labels is None:
                raise EventError(f"{len(part) - len(waiting)} events without a label of noise (expected one for each)")
            waiting = np.concatenate([waiting, labels.p])
        yield part, waiting[: len(part)]
        waiting = waiting[len(part) :]


def describe(
    path: str | Path,
    *,
    sensor: SensorSizeLike | None = None,
    hints: Hints = NO_HINTS,
    read_all: bool = False,
    progress: Progress | None = None,
) -> RecordingInfo:
    """Return facts about a recording; arguments and errors are those of `open_recording`.

    Args:
        path: The file.
        sensor: As in `open_recording`.
        hints: As in `open_recording`.
        read_all: Whether all events are read and checked even if the file has their number and times; only then the
            fraction of ON events is known for such a file if it has more than 10 million events.
        progress: Called as by `Recording.chunks` while events are read.
    """
    recording = open_recording(path, sensor=sensor, hints=hints)
    extent = None if read_all else recording.extent()
    if extent and (extent.last_us or 0) < (extent.first_us or 0):  # reading finds where time goes back
        extent = None
    on: int | None = None
    if extent:
        count, first_us, last_us = extent
        if count <= MAX_COUNTED_EVENTS:
            with suppress(FileError):  # which reading the events reports
                on = count_events(recording.chunks())[1]
    else:
        count, on, first_us, last_us = count_events(recording.chunks(progress=progress))
    duration_us = 0 if first_us is None or last_us is None else last_us - first_us
    return RecordingInfo(
        file=str(path),
        format=recording.format,
        width=recording.sensor.width,
        height=recording.sensor.height,
        sensor_source=recording.sensor_source,
        events=count,
        t_first_us=first_us,
        t_last_us=last_us,
        duration_us=duration_us,
        on_fraction=on / count if count and on is not None else None,
        rate_hz=count / duration_us * 1e6 if duration_us else None,
        attributes=recording.attributes,
    )


def count_events(chunks: Iterable[Events]) -> tuple[int, int, int | None, int | None]:
    """Return the number of events and of ON events, the first and the last time."""
    count = on = 0
    first_us = last_us = None
    for events in chunks:
        if len(events):
            first_us = int(events.t[0]) if first_us is None else first_us
            last_us = int(events.t[-1])
            count += len(events)
            on += int(np.count_nonzero(events.p))
    return count, on, first_us, last_us


def _events_after(columns: StoredColumns, before_us: int | None, sensor: SensorSize) -> Events:
    """Return the events of a chunk, checked, also against the time of the event before it."""
    if before_us is not None and len(columns.t) and columns.t[0] < before_us:
        message = f"event 0 has t = {columns.t[0]} us, before the previous event at {before_us} us"
        raise EventError(message, event=0, is_unsorted=True)
    return Events.wrap(*columns, sensor=sensor)


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise FileError(f"{path}: is a folder (expected a recording)")
    if not path.exists():
        raise FileError(f"{path}: no such file")
    if not path.is_file():
        raise FileError(f"{path}: not a regular file")
    head = b""
    with suppress(CorruptionError), open_binary(path) as file:  # raised again after the events before it
        head = file.read(HEAD_BYTES)
    return head


def _guess_sensor(path: Path, chunks: Iterable[StoredColumns]) -> SensorSize:
    width = height = events = 0
    corruption: CorruptionError | None = None
    try:
        for columns in chunks:
            if len(columns.x):
                events += len(columns.x)
                width = max(width, int(columns.x.max()) + 1)
                height = max(height, int(columns.y.max()) + 1)
    except CorruptionError as error:  # raised again when the events are read
        corruption = error
    if not events:
        message = f"{path}: has no events from which its sensor could be guessed"
        raise corruption or FormatError(message, Remedy("sensor", "WxH", "name the sensor"))
    known = smallest_sensor(width, height)
    if known is None:
        message = f"{path}: has events up to {width}x{height} pixels, which no known sensor contains"
        raise FormatError(message, Remedy("sensor", "WxH", "name the sensor"))
    return known
