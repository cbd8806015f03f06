"""Functions that write recordings in the format of a suffix, at once or part by part."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import EventError
from ..events import Events, SensorSize, SensorSizeLike, checked_parts
from .recognition import find_encoder, written_suffixes
from .recordings import as_events
from .source import WriteOptions
from .writers import Writer, unwritable


def write(
    path: str | Path,
    parts: Events | NDArray[np.void] | Iterable[Events],
    sensor: SensorSizeLike | None = None,
    *,
    source: str = "",
    settings: Mapping[str, Any] | None = None,
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
    iterator = checked_parts(parts)
    try:
        first = next(iterator, None)
        if first is None and sensor is None:
            raise EventError("no events to write and no sensor; use sensor=WxH to write an empty recording")

        size = first.sensor if first is not None else SensorSize.of(sensor)  # type: ignore[arg-type]
        with create_writer(path, size, WriteOptions(source, settings or {}, overwrite)) as writer:
            for part in itertools.chain([] if first is None else [first], iterator):
                writer.append(part)
    except EventError as error:
        raise error.named(str(path)) from error
    return writer.count


def create_writer(path: Path, sensor: SensorSize, options: WriteOptions) -> Writer:
    """Create a writer that writes a recording part by part, in the format of the suffix.

    Raises:
        FileError: If dvspipe does not write files with this suffix.
    """
    known = find_encoder(path)
    if known is None:
        raise unwritable(path, written_suffixes())
    return Writer(path, sensor, known, options)
