"""Read, stream, summarise and write recordings of any format.

`FORMATS` is the table of all formats. `recognise` finds the format of a file, and its `Source` decodes it in chunks
without checks; a `Recording` is an opened source whose events are checked. `read`, `iterate` and `write` are the
functions for users.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.arguments import checked
from ..base.config import as_settings
from ..base.errors import Brief, CorruptionError, EventError, FileError, FormatError, Remedy
from ..base.files import UNFINISHED
from ..events import (
    EARLIEST_US,
    IN_SECONDS,
    LATEST_US,
    MAX_SIDE_PX,
    Events,
    SensorSize,
    SensorSizeLike,
    TimeSpan,
    checked_parts,
    concatenate,
)
from ..parallel import Progress
from ..video.names import is_video_name
from .aedat2 import AEDAT2
from .aedat3 import AEDAT3
from .aedat4 import AEDAT4
from .bin40 import BIN40
from .dat import DAT
from .event_stream import EVENT_STREAM
from .evt import EVT2, EVT3, EVT21
from .hdf5 import HDF5, is_unfinished
from .hints import NO_HINTS, Hints, HintsLike, RecordingLike, SensorSource
from .numpy_file import NUMPY
from .rosbag import ROSBAG, is_ros2_folder
from .source import HEAD_BYTES, Extent, Format, Source, StoredColumns, join_columns, open_binary
from .standard import STANDARD, actual_path, named_as_given
from .text import TEXT, StandardOutputWriter
from .writers import Compression, Encoder, WriteOptions, Writer, has_suffix, unwritable

log = logging.getLogger(__name__)

IN_MEMORY = "memory"
"""Name of the format of events in memory."""

FORMATS: dict[str, Format] = {
    known.name: known
    for known in (HDF5, EVT3, EVT2, EVT21, DAT, AEDAT4, AEDAT3, AEDAT2, EVENT_STREAM, ROSBAG, NUMPY, BIN40, TEXT)
}
"""Formats by name. The first format that recognises a file reads it: formats without a signature come last, and
`.evt3.raw` comes before `.raw`."""

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
LARGEST_SENSOR = SensorSize(width=MAX_SIDE_PX, height=MAX_SIDE_PX)

SYNTHETIC_GESTURES = "synthetic gestures"
"""Source attribute of files with events of rendered people."""

VIDEO_MARKS = (
    (4, b"ftyp"),  # MP4, MOV
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska, WebM
    (8, b"AVI "),
    (0, b"GIF8"),
)
"""Signatures of videos: offset and bytes."""


def find_encoder(path: Path) -> Encoder | None:
    """Return the encoder for the suffix of a path; None if dvspipe does not write such files."""
    encoders = (known.encoder for known in FORMATS.values() if known.encoder)

    return next((encoder for encoder in encoders if has_suffix(path, encoder.suffixes)), None)


def written_suffixes() -> tuple[str, ...]:
    """Return the suffixes of all files that dvspipe writes."""
    encoders = (known.encoder for known in FORMATS.values() if known.encoder)
    return tuple(itertools.chain.from_iterable(encoder.suffixes for encoder in encoders))


@dataclass(frozen=True, repr=False)
class Recording(Brief):
    """Opened recording; see `open_recording`.

    Args:
        path: File.
        format: Name of the file format.
        sensor: Sensor size.
        sensor_source: Source of the sensor size: `file`, `given` by the caller, or `guessed` from the events.
        attributes: Settings and comments stored in the file.
    """

    path: Path
    format: str
    sensor: SensorSize
    sensor_source: SensorSource
    attributes: dict[str, Any]
    _source: Source

    @property
    def is_synthetic(self) -> bool:
        """Whether the file stores that its events show people rendered by dvspipe."""
        return SYNTHETIC_GESTURES in str(self.attributes.get("source", ""))

    def chunks(
        self,
        start_us: int | None = None,
        stop_us: int | None = None,
        *,
        on_corruption: Callable[[CorruptionError], None] | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Events]:
        """Yield checked events in consecutive chunks of about a million.

        Args:
            start_us: Start time (inclusive) in microseconds on the clock of the file; None: start of the recording.
            stop_us: Stop time (exclusive); None: end of the recording.
            on_corruption: Called with the first corruption, and the recording ends there; None: raise it. In both
                cases, all valid events before it are yielded first.
            progress: Called with the amount read and the total, in events, bytes or other units.

        Raises:
            CorruptionError: If the file is corrupted or truncated, or an event breaks a rule of `Events`.
        """
        first_us = EARLIEST_US if start_us is None else start_us
        stop_us = LATEST_US if stop_us is None else stop_us

        try:
            for events in self._read_checked((first_us, stop_us), progress):
                part = events.between(first_us, stop_us)
                if len(part) or not len(events):
                    yield part

                # Events are sorted, so later chunks are outside.
                if len(events) and events.t[-1] >= stop_us:
                    return
        except CorruptionError as error:
            if on_corruption is None:
                raise
            on_corruption(error)

    def _read_checked(self, span_us: tuple[int, int], progress: Progress | None) -> Iterator[Events]:
        """Yield checked events of a source, at least those of a span: only some formats can read a part."""
        count = 0
        before_us = None
        read_part = self._source.part if span_us != (EARLIEST_US, LATEST_US) else None

        for columns in read_part(*span_us) if read_part else self._source.chunks(progress):
            try:
                events = _check_events(columns, before_us, self.sensor)
            except EventError as error:
                # The events before the invalid one are yielded before the error.
                if error.event:
                    valid = slice(error.event)
                    yield Events(columns.t[valid], columns.x[valid], columns.y[valid], columns.p[valid], self.sensor)
                after = f" after the first {count}" if count else ""
                message = f"{self.path}: {error.message}{after}"
                raise CorruptionError(message, *error.remedies, lost="it and everything after it") from error

            count += len(events)
            before_us = int(events.t[-1]) if len(events) else before_us
            if progress and read_part:
                done_us, total_us = self._span_progress(span_us, before_us)
                progress(done_us, total_us)

            yield events

    def _span_progress(self, span_us: tuple[int, int], read_us: int | None) -> tuple[int, int]:
        """Return the completed part of a time span and its length, in microseconds.

        Args:
            span_us: Start and stop time.
            read_us: Time of the last event that was read; None: no event yet.
        """
        _, first_us, last_us = self.extent() or Extent(0, None, None)
        if first_us is None or last_us is None or read_us is None:
            return 0, 0

        start_us, stop_us = span_us
        first_us = max(first_us, start_us)
        last_us = min(last_us, stop_us)
        return max(0, min(read_us, last_us) - first_us), max(0, last_us - first_us)

    def sorted(self) -> Events:
        """Read all events, and sort them by time; events at the same time keep their order.

        Raises:
            FormatError: If an event breaks another rule of `Events`.
        """
        # With an empty part, a recording without parts can be joined, too.
        empty = StoredColumns(*[np.zeros(0, np.int64)] * 4)
        t, x, y, p = join_columns([empty, *self._source.chunks()])

        order = np.argsort(t, kind="stable")
        try:
            return Events(t[order], x[order], y[order], p[order], self.sensor)
        except EventError as error:
            raise FormatError(f"{self.path}: after sorting, {error}") from error

    @property
    def noise(self) -> Recording | None:
        """The same events with noise labels stored as polarities (True: noise); None if there are no labels."""
        return None if self._source.noise is None else replace(self, _source=self._source.noise)

    def extent(self) -> Extent | None:
        """Return the number of events, and first and last time; None if this requires decoding the file."""
        return self._source.extent() if self._source.extent else None

    def find_first_us(self) -> int:
        """Return the time of the first event; 0 if there are no events."""
        extent = self.extent()
        if extent:
            return extent.first_us or 0
        return next((int(part.t[0]) for part in self.chunks() if len(part)), 0)

    def find_last_us(self) -> int:
        """Return the time of the last event; 0 if there are none. Reads all events if the file does not store it."""
        extent = self.extent()
        if extent:
            return extent.last_us or 0
        return count_events(self.chunks()).last_us or 0

    def find_span(
        self,
        start_us: float | None = None,
        stop_us: float | None = None,
        *,
        start_s: float | None = None,
        stop_s: float | None = None,
    ) -> TimeSpan:
        """Return the span of a part, given in microseconds or in seconds after the first event; see `TimeSpan.of`."""
        return TimeSpan.of(start_us, stop_us, start_s, stop_s, self.find_first_us)

    def read(self, span: TimeSpan) -> Events:
        """Read the events of a span into memory; warn if the span is outside the recording."""
        events = concatenate(self.chunks(*span), self.sensor)

        if not len(events):
            self._warn_outside(span)
        return events

    def _warn_outside(self, span: TimeSpan) -> None:
        """Warn if a span is outside the recording."""
        with suppress(FileError):  # a corruption outside the span
            first_us = self.find_first_us()
            last_us = self.find_last_us()
            outside = span.explain_outside(first_us, last_us) if first_us or last_us else ""
            if outside:
                log.warning("%s: %s; %s", self.path, outside, IN_SECONDS)


@checked
def open_recording(
    path: RecordingLike | Recording,
    *,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    format_name: str | None = None,
) -> Recording:
    """Open a recording of any known format, recognised first by content, then by suffix.

    Args:
        path: File, or `-` for standard input (copied to a temporary file); also events in memory, or an opened
            recording, which is returned unchanged.
        sensor: Sensor size, for files that do not store it. None: the smallest known sensor that contains all events.
        hints: Other missing metadata: chip, columns, time unit, topic; also a mapping, such as `{"chip": "DVS128"}`.
        format_name: Name of the format in `FORMATS`, if already known from `recognise`.

    Raises:
        FileError: If the file does not exist.
        FormatError: If the format is unknown, or the content does not match the format.
        EventError: If the file stores a sensor size other than `sensor`.
    """
    if isinstance(path, Recording):
        return path

    file = name_recording(path)
    sensor = None if sensor is None else SensorSize.of(sensor)
    name, source = open_source(path, sensor, hints, format_name)

    # A sensor size in the file takes precedence; guessing one means reading all events.
    sensor_source = find_sensor_source(source, sensor)
    sensor = source.sensor or sensor or _guess_sensor(file, source.chunks())
    return Recording(file, name, sensor, sensor_source, source.attributes, source)


def find_sensor_source(source: Source, given: SensorSize | None) -> SensorSource:
    """Return where the sensor size of a recording comes from."""
    if source.sensor:
        return "file"
    return "given" if given else "guessed"


def name_recording(recording: RecordingLike) -> Path:
    """Return the path of a recording for messages; `events` for events in memory."""
    return Path("events") if isinstance(recording, Events) else Path(recording)


def open_source(
    recording: RecordingLike,
    sensor: SensorSize | None = None,
    hints: HintsLike = NO_HINTS,
    format_name: str | None = None,
) -> tuple[str, Source]:
    """Open a recording for unchecked decoding: return the name of its format and its source.

    Arguments and errors as in `open_recording`, but the sensor is not guessed.
    """
    path = name_recording(recording)
    if isinstance(recording, Events):
        format_name = IN_MEMORY
        source = _hold(recording)
    else:
        actual = actual_path(path)
        known = recognise(actual) if format_name is None else FORMATS[format_name]
        if known is None:
            raise _unknown_format(path, _read_head(actual))
        with named_as_given(path):
            format_name = known.name
            source = known.open(actual, as_settings(Hints, hints))

    if source.sensor is not None and sensor is not None and source.sensor != sensor:
        raise EventError(f"{path}: wrong sensor size (found {source.sensor}, expected {sensor})")

    # Standard input is copied to a temporary file; errors must name it as the caller did.
    if path == STANDARD:
        return format_name, replace(source, chunks=partial(_read_standard_input, source, path))

    return format_name, source


def _hold(events: Events) -> Source:
    """Return a source of events in memory."""

    def part(start_us: int, stop_us: int) -> Iterator[StoredColumns]:
        inside = events.between(start_us, stop_us)
        yield StoredColumns(inside.t, inside.x, inside.y, inside.p)

    def chunks(progress: Progress | None = None) -> Iterator[StoredColumns]:  # noqa: ARG001
        yield StoredColumns(events.t, events.x, events.y, events.p)

    limits_us = (int(events.t[0]), int(events.t[-1])) if len(events) else (None, None)
    return Source(events.sensor, chunks, extent=lambda: Extent(len(events), *limits_us), part=part)


def _read_standard_input(source: Source, path: Path, progress: Progress | None = None) -> Iterator[StoredColumns]:
    with named_as_given(path):
        yield from source.chunks(progress)


def _unknown_format(path: Path, head: bytes) -> FormatError:
    """Return the error for a file that no format recognises, given its first bytes."""
    if not head:
        return FormatError(f"{path}: the file is empty")
    if is_video_name(path) or _is_video(head):
        return FormatError(f"{path}: is a video, not a recording of events; convert it to events first")

    suffixes = ", ".join(dict.fromkeys(itertools.chain.from_iterable(known.suffixes for known in FORMATS.values())))
    return FormatError(f"{path}: not a recording of a known format (expected {suffixes})")


def recognise(path: Path) -> Format | None:
    """Return the format of a file, recognised first by content, then by suffix; None if it is unknown.

    Raises:
        FileError: If the file does not exist or cannot be read.
    """
    if is_ros2_folder(path):
        return ROSBAG
    if is_unfinished(path):
        return HDF5

    head = _read_head(path)
    if _is_video(head):
        return None

    unpacked = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return next((known for known in FORMATS.values() if head and known.recognises(unpacked, head)), None)


def is_recording_folder(path: Path) -> bool:
    """Return whether a path is a folder that is one recording: a ROS 2 bag, or an unfinished HDF5 file."""
    return is_ros2_folder(path) or is_unfinished(path)


def _is_video(head: bytes) -> bool:
    """Return whether the first bytes of a file are the signature of a video."""
    return any(head[offset:].startswith(mark) for offset, mark in VIDEO_MARKS)


def smallest_sensor(width: int, height: int) -> SensorSize | None:
    """Return the smallest known sensor with at least `width` columns and `height` rows; None if there is none.

    Example:
        >>> smallest_sensor(200, 100)
        SensorSize(width=240, height=180)
    """
    return next((known for known in KNOWN_SENSORS if width <= known.width and height <= known.height), None)


@checked
def read(
    path: RecordingLike,
    start_us: float | None = None,
    stop_us: float | None = None,
    *,
    start_s: float | None = None,
    stop_s: float | None = None,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    sort: bool = False,
) -> Events:
    """Read a recording of any known format, or a part of it; warn if the part is outside the recording.

    Args:
        path: File, or `-` for standard input; also events in memory.
        start_us: Start time (inclusive) in microseconds on the clock of the file; None: start of the recording.
        stop_us: Stop time (exclusive) on the same clock; None: end of the recording.
        start_s: Start time in seconds after the first event, instead of `start_us`.
        stop_s: Stop time (exclusive) in seconds after the first event, instead of `stop_us`.
        sensor: Sensor size, for files that do not store it; see `open_recording`.
        hints: Other missing metadata; see `open_recording`.
        sort: Whether to sort unsorted events by time, in memory; otherwise they are an error.

    Raises:
        ConfigError: If a time is given in microseconds and in seconds.
        DvspipeError: As in `open_recording` and `Recording.chunks`.

    Example:
        >>> read("recording.aedat4", start_s=0.5, stop_s=1.5)  # doctest: +SKIP
        Events(24127 events, sensor 128x128, t 1718925185090632 to 1718925186090617 us)
    """
    recording = open_recording(path, sensor=sensor, hints=hints)

    if sort:
        return recording.sorted().slice_time(start_us, stop_us, start_s=start_s, stop_s=stop_s)
    return recording.read(recording.find_span(start_us, stop_us, start_s=start_s, stop_s=stop_s))


def as_events(recording: RecordingLike | NDArray[np.void], sensor: SensorSizeLike | None = None) -> Events:
    """Return events unchanged, read a file, or convert a structured array; without a sensor, it is guessed.

    Raises:
        EventError: If the rows of an array are not events, or events have another sensor than `sensor`.
        DvspipeError: If a file cannot be read, or the sensor of an array cannot be guessed.
    """
    if not isinstance(recording, np.ndarray):
        return recording if isinstance(recording, Events) and sensor is None else read(recording, sensor=sensor)

    if sensor is not None:
        return Events.from_structured(recording, sensor)

    # The sensor is guessed from the largest coordinates, so they are first checked against the largest possible sensor.
    events = Events.from_structured(recording, LARGEST_SENSOR)
    columns = StoredColumns(events.t, events.x, events.y, events.p)
    guessed = _guess_sensor(name_recording(events), [columns])
    return Events.wrap_unchecked(events.t, events.x, events.y, events.p, guessed)


@checked
def iterate(
    path: RecordingLike,
    start_us: float | None = None,
    stop_us: float | None = None,
    *,
    start_s: float | None = None,
    stop_s: float | None = None,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
) -> Iterator[Events]:
    """Read a recording in consecutive chunks, in bounded memory; arguments and errors as in `read`."""
    recording = open_recording(path, sensor=sensor, hints=hints)
    return recording.chunks(*recording.find_span(start_us, stop_us, start_s=start_s, stop_s=stop_s))


@checked
def write(
    path: str | Path,
    parts: Events | NDArray[np.void] | Iterable[Events],
    sensor: SensorSizeLike | None = None,
    *,
    source: str = "",
    settings: Mapping[str, Any] | None = None,
    compression: Compression = "gzip",
    overwrite: bool = False,
    noise: Iterable[Events] | None = None,
) -> int:
    """Write a recording in the format of the suffix; return the number of events.

    Args:
        path: Output file, with one of the suffixes `written_suffixes`; `-`: standard output, as CSV.
        parts: Events, consecutive parts of a recording, or a structured array as in `Events.from_structured`.
        sensor: Sensor size; required only if `parts` may be empty. None for an array: the smallest known sensor that
            contains all events.
        source: Origin of the events, such as the name of a video; stored only in HDF5.
        settings: Settings that generated the events; stored only in HDF5.
        compression: HDF5 compression: `gzip` is readable by every library; `blosc` reads faster and needs hdf5plugin.
        overwrite: Whether to replace an existing file.
        noise: The same events with noise labels stored as polarities, as in `Recording.noise`; stored only in HDF5.

    Raises:
        FileError: If the file exists, cannot be written, or has a suffix that dvspipe does not write.
        EventError: If the format cannot store the events, or `parts` are not `Events`.

    Example:
        >>> import tempfile
        >>> events = Events([0, 5], [3, 4], [1, 1], [True, False], "12x7")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(f"{folder}/two.csv", events)
        ...     len(read(f"{folder}/two.csv", start_us=5, sensor="12x7"))
        2
        1
    """
    path = Path(path)
    if isinstance(parts, np.ndarray):
        parts = as_events(parts, sensor)

    # The sensor of a writer must be known before the first part is written, so the first part is taken out.
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
    return write_parts(path, itertools.chain(() if first is None else (first,), iterator), size, options, noise)


def write_parts(
    path: Path, parts: Iterable[Events], sensor: SensorSize, options: WriteOptions, noise: Iterable[Events] | None
) -> int:
    """Write parts of a recording and their noise labels, as in `write`; the output is checked before the first part."""
    with create_writer(path, sensor, options) as writer:
        for part, is_noise in _pair_labels(parts, noise):
            writer.append(part, is_noise)
    return writer.count


def _checked_parts(path: Path, parts: Iterable[Events]) -> Iterator[Events]:
    for part in parts:
        if not isinstance(part, Events):
            raise EventError(f"{path}: cannot write this type (found {type(part).__name__}, expected Events)")
        yield part


def create_writer(path: Path, sensor: SensorSize, options: WriteOptions) -> Writer:
    """Create a writer that writes a recording part by part, in the format of the suffix; `-`: CSV to standard output.

    Raises:
        FileError: If dvspipe does not write files with this suffix.
    """
    if path == STANDARD:
        return StandardOutputWriter(sensor)

    encoder = find_encoder(path)
    if encoder is None:
        raise unwritable(path, written_suffixes())
    return encoder.create(path, sensor, options)


def _pair_labels(
    parts: Iterable[Events], noise: Iterable[Events] | None
) -> Iterator[tuple[Events, NDArray[np.bool_] | None]]:
    """Yield each part with the noise labels of its events; the parts of `noise` may have other lengths."""
    if noise is None:
        yield from ((part, None) for part in parts)
        return

    # Parts and labels have chunks of other lengths: labels are collected until a part has all of its labels.
    label_parts = checked_parts(noise)
    pending = np.zeros(0, np.bool_)
    for part in parts:
        while len(pending) < len(part):
            labels = next(label_parts, None)
            if labels is None:
                raise EventError(
                    f"{len(part) - len(pending)} events without a noise label (expected one label per event)"
                )
            pending = np.concatenate([pending, labels.p])

        yield part, pending[: len(part)]
        pending = pending[len(part) :]


class EventTotals(NamedTuple):
    """Number of events and of ON events, and the first and the last time; None without events."""

    events: int
    on: int
    first_us: int | None
    last_us: int | None


def count_events(chunks: Iterable[Events]) -> EventTotals:
    """Count the events of a recording."""
    count = 0
    on = 0
    first_us = last_us = None
    for events in chunks:
        if len(events):
            first_us = int(events.t[0]) if first_us is None else first_us
            last_us = int(events.t[-1])
            count += len(events)
            on += int(np.count_nonzero(events.p))
    return EventTotals(count, on, first_us, last_us)


def _check_events(columns: StoredColumns, before_us: int | None, sensor: SensorSize) -> Events:
    """Return the checked events of a chunk that follows an event at `before_us`."""
    if before_us is not None and len(columns.t) and columns.t[0] < before_us:
        message = f"event 0 has t = {columns.t[0]} us, before the previous event at {before_us} us"
        raise EventError(message, event=0, is_unsorted=True)
    return Events.wrap(*columns, sensor=sensor)


def _read_head(path: Path) -> bytes:
    if path.is_dir():
        raise FileError(f"{path}: is a folder (expected a recording)")

    if not path.exists():
        unfinished = path.with_name(path.name + UNFINISHED)
        reason = f"; read {unfinished}, its events until an interruption" if is_unfinished(unfinished) else ""
        raise FileError(f"{path}: no such file{reason}")
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
        message = f"{path}: unknown sensor size (found no events to guess it from)"
        raise corruption or FormatError(message, Remedy("sensor", "WxH", "name the sensor"))

    known = smallest_sensor(width, height)
    if known is None:
        message = (
            f"{path}: unknown sensor size (found events up to {width}x{height} pixels, larger than all known sensors)"
        )
        raise FormatError(message, Remedy("sensor", "WxH", "name the sensor"))

    return known
