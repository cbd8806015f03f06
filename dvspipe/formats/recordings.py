"""Reading, streaming, describing and writing recordings, whatever their format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import EventError, FileError, FormatError
from ..events import Events, SensorSize, concatenate
from .aedat4 import AEDAT4
from .bin40 import BIN40
from .hdf5 import HDF5, EventWriter
from .source import HEAD_BYTES, Columns, Format, Source, open_binary

FORMATS: dict[str, Format] = {known.name: known for known in (HDF5, AEDAT4, BIN40)}

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

    def chunks(self) -> Iterator[Events]:
        """The events in consecutive chunks of about a million, checked.

        Raises:
            FormatError: The file is damaged, or an event breaks a rule of `Events`; the message names the event.
        """
        seen, last_us = 0, None
        for columns in self._source.chunks():
            try:
                events = Events(*columns, sensor=self.sensor)
                if last_us is not None and len(events) and events.t[0] < last_us:
                    raise EventError(f"event 0 has t = {events.t[0]} us, before the event ahead of it at {last_us} us")
            except EventError as error:
                after = f" after the first {seen}" if seen else ""
                raise FormatError(f"{self.path}: {error}{after}") from error
            seen += len(events)
            last_us = int(events.t[-1]) if len(events) else last_us
            yield events


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
        on_fraction: Share of ON events, None where there is none.
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


def open_recording(path: str | Path, *, sensor: SensorSize | None = None) -> Recording:
    """A recording of any known format, recognised by content first and then by suffix.

    Args:
        path: The file.
        sensor: The sensor, for files that do not name it. Without it, the smallest known sensor that holds every
            event.

    Raises:
        FileError: There is no such file.
        FormatError: Its format is unknown, or its content is not what the format requires.
        EventError: It names another sensor than the one given.
    """
    path = Path(path)
    decoder, source = open_source(path, sensor)
    sensor_source: SensorSource = "file" if source.sensor else "given" if sensor else "guessed"
    sensor = source.sensor or sensor or _guess_sensor(path, source.chunks())
    return Recording(path, decoder.name, sensor, sensor_source, source.attributes, source)


def open_source(path: Path, sensor: SensorSize | None = None) -> tuple[Format, Source]:
    """The format of a file and its unchecked columns; arguments and errors as `open_recording`, but guesses nothing."""
    head = _head(path)
    if not head:
        raise FormatError(f"{path}: the file is empty")
    unpacked = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    decoder = next((known for known in FORMATS.values() if known.recognises(unpacked, head)), None)
    if decoder is None:
        suffixes = ", ".join(suffix for known in FORMATS.values() for suffix in known.suffixes)
        raise FormatError(f"{path}: not a recording of a known format ({suffixes})")
    source = decoder.open(path)
    if source.sensor is not None and sensor is not None and source.sensor != sensor:
        raise EventError(f"{path}: comes from a sensor of {source.sensor}, expected {sensor}")
    return decoder, source


def smallest_sensor(width: int, height: int) -> SensorSize | None:
    """The smallest known sensor with that many columns and rows, or None."""
    return next((known for known in KNOWN_SENSORS if width <= known.width and height <= known.height), None)


def read(path: str | Path, *, sensor: SensorSize | None = None) -> Events:
    """All events of a recording; arguments and errors as `open_recording`."""
    recording = open_recording(path, sensor=sensor)
    return concatenate(recording.chunks(), recording.sensor)


def iterate(path: str | Path, *, sensor: SensorSize | None = None) -> Iterator[Events]:
    """The events of a recording in consecutive chunks, in bounded memory; arguments and errors as `open_recording`."""
    return open_recording(path, sensor=sensor).chunks()


def write(
    path: str | Path,
    parts: Events | Iterable[Events],
    *,
    source: str = "",
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes a recording; the format is the one of the suffix.

    Args:
        path: The file to write: `.h5` or `.hdf5`.
        parts: The events, or consecutive parts of them (at least one, which may be empty).
        source: Where they come from.
        settings: The settings that made them.
        overwrite: Whether an existing file may be replaced.

    Raises:
        FileError: The file exists, cannot be written, or its suffix names no format that dvspipe writes.
    """
    iterator = iter([parts] if isinstance(parts, Events) else parts)
    first = next(iterator, None)
    if first is None:
        raise EventError(f"{path}: no events to write, not even an empty part that names the sensor")
    with EventWriter(path, first.sensor, source=source, settings=settings, overwrite=overwrite) as writer:
        writer.append(first)
        for part in iterator:
            writer.append(part)


def describe(path: str | Path, *, sensor: SensorSize | None = None) -> RecordingInfo:
    """What a recording holds, in numbers; arguments and errors as `open_recording`."""
    recording = open_recording(path, sensor=sensor)
    count = on = 0
    first_us = last_us = None
    for events in recording.chunks():
        if not len(events):
            continue
        first_us = int(events.t[0]) if first_us is None else first_us
        last_us = int(events.t[-1])
        count += len(events)
        on += int(np.count_nonzero(events.p))
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
        on_fraction=on / count if count else None,
        rate_hz=count / duration_us * 1e6 if duration_us else None,
        attributes=recording.attributes,
    )


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise FileError(f"{path}: is a folder, expected a recording")
    if not path.exists():
        raise FileError(f"{path}: no such recording")
    if not path.is_file():
        raise FileError(f"{path}: is not a regular file")
    with open_binary(path) as file:
        return file.read(HEAD_BYTES)


def _guess_sensor(path: Path, chunks: Iterable[Columns]) -> SensorSize:
    width = height = 1
    for columns in chunks:
        if len(columns.x):
            width = max(width, int(columns.x.max()) + 1)
            height = max(height, int(columns.y.max()) + 1)
    known = smallest_sensor(width, height)
    if known is None:
        raise FormatError(f"{path}: events up to {width}x{height} pixels, beyond every known sensor; give --sensor WxH")
    return known
