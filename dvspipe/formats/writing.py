"""Functions that write recordings in the format of a suffix, at once or part by part.

A part is some consecutive events of a recording; it begins where the previous part ends.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import EventError
from ..events import Events, SensorSize, SensorSizeLike
from .added import list_added
from .reading import as_events
from .recognition import FORMATS
from .writers import Compression, Encoder, WriteOptions, Writer, has_suffix, unwritable


def write(
    path: str | Path,
    parts: Events | NDArray[np.void] | Iterable[Events],
    sensor: SensorSizeLike | None = None,
    *,
    source: str = "",
    settings: Mapping[str, Any] | None = None,
    compression: Compression = "gzip",
    overwrite: bool = False,
) -> int:
    """Write a recording in the format of the suffix; return the number of events.

    Args:
        path: Output file, with one of the suffixes `written_suffixes`.
        parts: Events, consecutive parts of a recording, or a structured array as in `Events.from_structured`.
        sensor: Sensor size; required only if `parts` may be empty. None for an array: the smallest known sensor that
            contains all events.
        source: Origin of the events, such as the name of a video; stored only in HDF5.
        settings: Settings that generated the events; stored only in HDF5.
        compression: HDF5 compression: `gzip` is readable by every library; `blosc` reads faster and needs hdf5plugin.
        overwrite: Whether to replace an existing file.

    Raises:
        FileError: If the file exists, cannot be written, or has a suffix that dvspipe does not write.
        EventError: If the format cannot store the events, or `parts` are not `Events`.

    Example:
        >>> import tempfile
        >>> from dvspipe import Hints, read
        >>> events = Events([0, 5], [3, 4], [1, 1], [True, False], "12x7")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(f"{folder}/two.csv", events)
        ...     len(read(f"{folder}/two.csv", start_us=5, hints=Hints(sensor="12x7")))
        2
        1
    """
    path = Path(path)
    if isinstance(parts, np.ndarray):
        parts = as_events(parts, sensor)

    # The sensor of a writer must be known before the first part is written, so the first part is taken out.
    iterator = _require_events(path, [parts] if isinstance(parts, Events) else parts)
    first = next(iterator, None)
    if first is not None:
        size = first.sensor
    elif sensor is not None:
        size = SensorSize.of(sensor)
    else:
        raise EventError(f"{path}: no events to write and no sensor; use sensor=WxH to write an empty recording")

    options = WriteOptions(source, settings or {}, compression, overwrite)
    return write_parts(path, itertools.chain(() if first is None else (first,), iterator), size, options)


def write_parts(path: Path, parts: Iterable[Events], sensor: SensorSize, options: WriteOptions) -> int:
    """Write parts of a recording, as in `write`; the output is checked before the first part."""
    with create_writer(path, sensor, options) as writer:
        for part in parts:
            writer.append(part)
    return writer.count


def _require_events(path: Path, parts: Iterable[Events]) -> Iterator[Events]:
    """Yield the parts; a part of another type is an error that names the output file."""
    for part in parts:
        if not isinstance(part, Events):
            raise EventError(f"{path}: cannot write this type (found {type(part).__name__}, expected Events)")
        yield part


def create_writer(path: Path, sensor: SensorSize, options: WriteOptions) -> Writer:
    """Create a writer that writes a recording part by part, in the format of the suffix.

    Raises:
        FileError: If dvspipe does not write files with this suffix.
    """
    encoder = find_encoder(path)
    if encoder is None:
        raise unwritable(path, written_suffixes())
    return encoder.create(path, sensor, options)


def find_encoder(path: Path) -> Encoder | None:
    """Return the encoder for the suffix of a path; None if dvspipe does not write such files."""
    for known in itertools.chain(FORMATS.values(), list_added()):
        if known.encoder and has_suffix(path, known.encoder.suffixes):
            return known.encoder
    return None


def written_suffixes() -> tuple[str, ...]:
    """Return the suffixes of all files that dvspipe writes without other packages."""
    encoders = (known.encoder for known in FORMATS.values() if known.encoder)
    return tuple(itertools.chain.from_iterable(encoder.suffixes for encoder in encoders))
