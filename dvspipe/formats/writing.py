"""Writers: a recording is written part by part, beside its place, and appears when it is complete.

A part is some consecutive events of a recording; it begins where the previous part ends.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..base.errors import EventError, FileError, join_names
from ..base.files import claim_output, require_space, write_beside
from ..events import EARLIEST_US, Events, SensorSize, SensorSizeLike, check_part, checked_parts, concatenate
from .recognition import find_writer, written_suffixes
from .recordings import as_events
from .source import Encoder, WriteOptions, errors_as_dvspipe

PART_EVENTS = 1 << 16  # events encoded at a time
RESERVED_BYTES = 32 * PART_EVENTS + (8 << 20)  # disk space of a part and of the end of a file


class Writer:
    """Context manager that writes a recording part by part. The file appears when the block ends without an error.

    Args:
        path: Output file.
        sensor: Sensor size of all events.
        encoder: Encoder of the format.
        options: Origin of the events, and whether to replace an existing file.
        errors: What the encoder raises besides OSError if it cannot write.

    Attributes:
        count: Number of events so far.

    Raises:
        FileError: If the file exists or cannot be written, or the disk is full.
        EventError: If appended events have another sensor size, begin before the end of the previous part, or cannot
            be stored in the format.
    """

    def __init__(
        self,
        path: Path,
        sensor: SensorSize,
        encoder: Encoder,
        options: WriteOptions,
        errors: tuple[type[Exception], ...] = (),
    ) -> None:
        self.path = path
        self.sensor = sensor
        self.count = 0
        self._encoder = encoder
        self._errors = partial(errors_as_dvspipe, path, errors, "cannot be written", FileError)
        self._options = options
        self._last_us = EARLIEST_US
        self._pending: list[Events] = []  # small parts, written together
        self._written = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        claim_output(self.path, overwrite=self._options.overwrite)
        with ExitStack() as stack, self._errors():
            beside = stack.enter_context(write_beside(self.path))
            self._encode = stack.enter_context(self._encoder(beside, self.sensor, self._options))
            self._stack = stack.pop_all()
        return self

    def append(self, events: Events) -> None:
        """Write the next events, which must not be before the previous ones."""
        try:
            check_part(events, self.sensor, self.count, self._last_us)
        except EventError as error:
            raise error.named(str(self.path)) from error
        if not len(events):
            return

        self._last_us = int(events.t[-1])
        self.count += len(events)
        self._pending.append(events)
        if self.count - self._written >= PART_EVENTS:
            self._write_pending()

    def _write_pending(self) -> None:
        events = concatenate(self._pending, self.sensor)
        self._pending = []
        for start in range(0, len(events), PART_EVENTS):
            require_space(self.path, RESERVED_BYTES)
            with self._errors():
                self._encode(events[start : start + PART_EVENTS])
        self._written += len(events)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._errors():
            if kind is not None:
                self._stack.__exit__(kind, error, traceback)
                return

            with self._stack:
                self._write_pending()
                claim_output(self.path, overwrite=self._options.overwrite)  # another process may have written it


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
        sensor: Sensor size of the events; required only if `parts` may be empty. None for an array: the smallest known
            sensor that contains all events.
        source: Origin of the events, such as the name of a video; stored only in HDF5.
        settings: Settings that generated the events; stored only in HDF5.
        overwrite: Whether to replace an existing file.

    Raises:
        FileError: If the file exists, cannot be written, or has a suffix that dvspipe does not write.
        EventError: If the format cannot store the events, they have another sensor, or `parts` are not consecutive
            `Events`.

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
    iterator = checked_parts(parts, sensor)
    try:
        first = next(iterator, None)
        if first is None and sensor is None:
            raise EventError("no events to write and no sensor; use sensor=WIDTHxHEIGHT to set it")

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
    known = find_writer(path)
    if known is None or known.encoder is None:
        suffix = path.suffix or "none"
        expected = join_names(written_suffixes())
        raise FileError(f"{path}: wrong suffix for events (found {suffix}, expected {expected})")
    return Writer(path, sensor, known.encoder, options, known.errors)
