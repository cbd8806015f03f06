"""Reading, streaming, describing and writing recordings, whatever their format."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import CorruptionError, EventError, FileError, FormatError
from ..events import EARLIEST_US, LATEST_US, Events, SensorSize, concatenate
from .aedat2 import AEDAT2
from .aedat3 import AEDAT3
from .aedat4 import AEDAT4
from .bin40 import BIN40
from .bin40_writer import BIN40_ENCODING
from .chunks import Compression
from .dat import DAT
from .event_stream import EVENT_STREAM
from .evt import EVT2, EVT3, EVT21
from .faery_writers import AEDAT4_ENCODING, DAT_ENCODING, EVENT_STREAM_ENCODING, EVT2_ENCODING
from .hdf5 import HDF5, EventWriter
from .hints import NO_HINTS, Hints
from .numpy_file import NPZ_ENCODING, NUMPY
from .rosbag import ROSBAG, is_ros2_folder
from .source import HEAD_BYTES, Columns, Extent, Format, Source, open_binary
from .text import CSV_ENCODING, TEXT
from .writers import Encoding, RecordingWriter

FORMATS: dict[str, Format] = {
    known.name: known
    for known in (HDF5, EVT3, EVT2, EVT21, DAT, AEDAT4, AEDAT3, AEDAT2, EVENT_STREAM, ROSBAG, NUMPY, BIN40, TEXT)
}
"""In the order in which they are asked whether a file is theirs: those without a mark of their own last."""

WRITTEN: dict[str, Encoding] = {
    suffix: encoding
    for encoding in (
        AEDAT4_ENCODING, EVT2_ENCODING, DAT_ENCODING, EVENT_STREAM_ENCODING, CSV_ENCODING, NPZ_ENCODING, BIN40_ENCODING,
    )
    for suffix in encoding.suffixes
}  # fmt: skip
"""Besides HDF5, by suffix."""

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


@dataclass(frozen=True)
class Recording:
    """An opened recording.

    Args:
        path: The file.
        format: Name of its format.
        sensor: Its sensor.
        sensor_source: Whether the file says the sensor, the caller did, or it was guessed from the events.
        attributes: Settings and remarks that the file holds.
    """

    path: Path
    format: str
    sensor: SensorSize
    sensor_source: SensorSource
    attributes: dict[str, Any]
    _source: Source

    def chunks(
        self,
        start_us: int | None = None,
        stop_us: int | None = None,
        *,
        on_damage: Callable[[CorruptionError], None] | None = None,
    ) -> Iterator[Events]:
        """The events in consecutive chunks of about a million, checked.

        Args:
            start_us: Time of the first event to give, as the file counts.
            stop_us: Time from which on none are given.
            on_damage: Told of damage, which then ends the recording; without it, the damage is raised. Either way,
                all good events ahead of it come first.

        Raises:
            CorruptionError: The file is damaged, or an event breaks a rule of `Events`; the message names the place.
        """
        first, last = start_us if start_us is not None else EARLIEST_US, stop_us if stop_us is not None else LATEST_US
        for events in self._until_damage(first, last, on_damage):
            part = events.slice_time(first, last)
            if len(part) or not len(events):
                yield part
            if len(events) and events.t[-1] >= last:
                return

    def _until_damage(
        self, first_us: int, last_us: int, on_damage: Callable[[CorruptionError], None] | None
    ) -> Iterator[Events]:
        try:
            yield from self._checked(first_us, last_us)
        except CorruptionError as damage:
            if on_damage is None:
                raise
            on_damage(damage)

    def _checked(self, first_us: int, last_us: int) -> Iterator[Events]:
        seen, before_us = 0, None
        part = self._source.part if (first_us, last_us) != (EARLIEST_US, LATEST_US) else None
        for columns in part(first_us, last_us) if part else self._source.chunks():
            try:
                events = _events_after(columns, before_us, self.sensor)
            except EventError as error:
                if error.event:
                    t, x, y, p = (column[: error.event] for column in columns)
                    yield Events(t, x, y, p, self.sensor)
                after = f" after the first {seen}" if seen else ""
                raise CorruptionError(f"{self.path}: {error}{after}", lost="it and what follows") from error
            seen += len(events)
            before_us = int(events.t[-1]) if len(events) else before_us
            yield events

    def sorted(self) -> Events:
        """All events, those that are out of order put in order; those of one time stay as they stand."""
        parts = list(self._source.chunks())
        t, x, y, p = (np.concatenate([np.zeros(0, np.int64), *(part[i] for part in parts)]) for i in range(4))
        order = np.argsort(t, kind="stable")
        try:
            return Events(t[order], x[order], y[order], p[order], self.sensor)
        except EventError as error:
            raise FormatError(f"{self.path}: sorted, {error}") from error

    def extent(self) -> Extent | None:
        """Number of events, first and last time, where the file tells them without being decoded."""
        return self._source.extent() if self._source.extent else None


@dataclass(frozen=True)
class RecordingInfo:
    """What a recording holds, in numbers.

    Args:
        file: Its path.
        format: Name of its format.
        width: Columns of its sensor.
        height: Rows of its sensor.
        sensor_source: `file`, `given` or `guessed`.
        events: Number of events.
        t_first_us: Time of the first event, None where there is none.
        t_last_us: Time of the last event, None where there is none.
        duration_us: Time from the first event to the last.
        on_fraction: Share of ON events, None where there is none, or the events were not read.
        rate_hz: Events per second, None where they take no time.
        attributes: Settings and remarks that the file holds.
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


def open_recording(path: str | Path, *, sensor: SensorSize | None = None, hints: Hints = NO_HINTS) -> Recording:
    """A recording of any known format, recognised by content first and then by suffix.

    Args:
        path: The file.
        sensor: The sensor, for files that do not name it. Without it, the smallest known sensor that holds every
            event.
        hints: What else the file does not say.

    Raises:
        FileError: There is no such file.
        FormatError: Its format is unknown, or its content is not what the format requires.
        EventError: It names another sensor than the one given.
    """
    path = Path(path)
    decoder, source = open_source(path, sensor, hints)
    sensor_source: SensorSource = "file" if source.sensor else "given" if sensor else "guessed"
    sensor = source.sensor or sensor or _guess_sensor(path, source.chunks())
    return Recording(path, decoder.name, sensor, sensor_source, source.attributes, source)


def open_source(path: Path, sensor: SensorSize | None = None, hints: Hints = NO_HINTS) -> tuple[Format, Source]:
    """The format of a file and its unchecked columns; arguments and errors as `open_recording`, but guesses nothing."""
    decoder = recognise(path)
    if decoder is None and not _head(path):
        raise FormatError(f"{path}: the file is empty")
    if decoder is None:
        suffixes = ", ".join(dict.fromkeys(suffix for known in FORMATS.values() for suffix in known.suffixes))
        raise FormatError(f"{path}: not a recording of a known format ({suffixes})")
    source = decoder.open(path, hints)
    if source.sensor is not None and sensor is not None and source.sensor != sensor:
        raise EventError(f"{path}: comes from a sensor of {source.sensor}, expected {sensor}")
    return decoder, source


def recognise(path: Path) -> Format | None:
    """The format of a file, by its content and then by its suffix, or None where it is not known.

    Raises:
        FileError: There is no such file, or it cannot be read.
    """
    if is_ros2_folder(path):
        return ROSBAG
    head = _head(path)
    unpacked = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return next((known for known in FORMATS.values() if head and known.recognises(unpacked, head)), None)


def smallest_sensor(width: int, height: int) -> SensorSize | None:
    """The smallest known sensor with that many columns and rows, or None."""
    return next((known for known in KNOWN_SENSORS if width <= known.width and height <= known.height), None)


def read(
    path: str | Path,
    start_us: int | None = None,
    stop_us: int | None = None,
    *,
    sensor: SensorSize | None = None,
    hints: Hints = NO_HINTS,
    sort: bool = False,
) -> Events:
    """All events of a recording, or those with start_us <= t < stop_us.

    Args:
        path: As in `open_recording`, and so are the errors.
        start_us: Time of the first event, as the file counts.
        stop_us: Time from which on there are none.
        sensor: As in `open_recording`.
        hints: As in `open_recording`.
        sort: Whether events that are out of order are put in order, those of one time as they stand; without it they
            are an error.
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
    sensor: SensorSize | None = None,
    hints: Hints = NO_HINTS,
) -> Iterator[Events]:
    """As `read`, in consecutive chunks, in bounded memory."""
    return open_recording(path, sensor=sensor, hints=hints).chunks(start_us, stop_us)


def write(
    path: str | Path,
    parts: Events | Iterable[Events],
    sensor: SensorSize | None = None,
    *,
    source: str = "",
    settings: Mapping[str, Any] | None = None,
    compression: Compression = "gzip",
    overwrite: bool = False,
) -> int:
    """Writes a recording in the format of the suffix, and returns the number of its events.

    Args:
        path: The file to write: `.h5`, `.hdf5`, or a suffix of WRITTEN.
        parts: The events, or consecutive parts of them.
        sensor: Their sensor, which must be given where there may be no part at all.
        source: Where they come from; only HDF5 keeps it.
        settings: The settings that made them; only HDF5 keeps them.
        compression: Of HDF5 alone, as in `EventWriter`.
        overwrite: Whether an existing file may be replaced.

    Raises:
        FileError: The file exists, cannot be written, or its suffix names no format that dvspipe writes.
        EventError: The format cannot hold the events.
    """
    path = Path(path)
    iterator = iter([parts] if isinstance(parts, Events) else parts)
    first = next(iterator, None)
    if first is None and sensor is None:
        raise EventError(f"{path}: no events to write, not even an empty part that names the sensor")
    sensor = first.sensor if first is not None else sensor
    assert sensor is not None
    suffix = path.suffix.lower()
    writer: EventWriter | RecordingWriter
    if suffix in HDF5.suffixes:
        writer = EventWriter(
            path, sensor, source=source, settings=settings, overwrite=overwrite, compression=compression
        )
    elif suffix in WRITTEN:
        writer = RecordingWriter(path, sensor, WRITTEN[suffix], overwrite=overwrite)
    else:
        known = ", ".join((*HDF5.suffixes, *WRITTEN))
        raise FileError(f"{path}: dvspipe writes events as {known}, not as {path.suffix!r}")
    with writer:
        for part in itertools.chain(() if first is None else (first,), iterator):
            writer.append(part)
    return writer.count


def describe(
    path: str | Path, *, sensor: SensorSize | None = None, hints: Hints = NO_HINTS, whole: bool = False
) -> RecordingInfo:
    """What a recording holds, in numbers; arguments and errors as `open_recording`.

    Args:
        path: The file.
        sensor: As in `open_recording`.
        hints: As in `open_recording`.
        whole: Whether all events are read and checked also where the file says how many they are, and when; only then
            the share of ON events is known of such a file.
    """
    recording = open_recording(path, sensor=sensor, hints=hints)
    extent = None if whole else recording.extent()
    on: int | None = None
    if extent:
        count, first_us, last_us = extent
    else:
        count, on, first_us, last_us = _count(recording.chunks())
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


def _count(chunks: Iterable[Events]) -> tuple[int, int, int | None, int | None]:
    """Number of events, number of ON events, first and last time."""
    count = on = 0
    first_us = last_us = None
    for events in chunks:
        if len(events):
            first_us = int(events.t[0]) if first_us is None else first_us
            last_us = int(events.t[-1])
            count += len(events)
            on += int(np.count_nonzero(events.p))
    return count, on, first_us, last_us


def _events_after(columns: Columns, before_us: int | None, sensor: SensorSize) -> Events:
    """The events of a chunk, checked, also against the time of the event ahead of it."""
    if before_us is not None and len(columns.t) and columns.t[0] < before_us:
        raise EventError(f"event 0 has t = {columns.t[0]} us, before the event ahead of it at {before_us} us", event=0)
    return Events(*columns, sensor=sensor)


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise FileError(f"{path}: is a folder, expected a recording")
    if not path.exists():
        raise FileError(f"{path}: no such recording")
    if not path.is_file():
        raise FileError(f"{path}: is not a regular file")
    head = b""
    with suppress(CorruptionError), open_binary(path) as file:  # damage is told when the events ahead of it were given
        head = file.read(HEAD_BYTES)
    return head


def _guess_sensor(path: Path, chunks: Iterable[Columns]) -> SensorSize:
    width = height = 1
    with suppress(CorruptionError):  # which is raised again, or told, when the events are read
        for columns in chunks:
            if len(columns.x):
                width = max(width, int(columns.x.max()) + 1)
                height = max(height, int(columns.y.max()) + 1)
    known = smallest_sensor(width, height)
    if known is None:
        raise FormatError(f"{path}: events up to {width}x{height} pixels, beyond every known sensor; give --sensor WxH")
    return known
