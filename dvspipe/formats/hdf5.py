"""Writes HDF5 recordings in the column layout of DSEC (Gehrig et al. 2021), which most event libraries read.

/events/{x, y, t, p}, /events/{width, height}, /ms_to_idx, /t_offset, and the same columns under /prophesee/left. Times
in the file count from /t_offset; in memory they are absolute again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import EventError, FileError
from ..events import Events, SensorSize
from ..files import claim_output
from .chunks import ChunkedFile, Compression
from .hdf5_reader import HDF5 as HDF5

INDEX_PIECE = 1 << 20
NEAR_ZERO_US = 1_000_000  # a first event in the first second keeps its time; a later one is moved by t_offset
COLUMN_TYPES = {"x": np.uint16, "y": np.uint16, "t": np.int64, "p": np.uint8}


class EventWriter:
    """Writes a recording in pieces; the file appears under its name only when the `with` block ends well.

    Args:
        path: The HDF5 file to write.
        sensor: The sensor of all events.
        source: Where the events come from, such as the name of a video.
        settings: The settings that made them; kept in the attribute `settings` as JSON.
        overwrite: Whether an existing file may be replaced; then nothing that was saved is taken up either.
        labelled: Whether a column /events/noise, uint8 {0, 1}, is written too.
        version_of_source: What else the events depend on, such as the date of the video. Where it, the source, the
            settings and dvspipe's version are those of a writer that was interrupted, this one goes on from the last
            `save` of that one. None never does.

        compression: `gzip`, which everything reads, or `blosc`, which is faster to read and takes hdf5plugin.

    Attributes:
        count: Number of events so far.
        saved: Inside the `with` block, what that `save` was given, or None.

    Raises:
        FileError: The file exists, cannot be written, or has another suffix than .h5 or .hdf5; or another process is
            writing it.
        EventError: Appended events come from another sensor or begin before the end of those before them.
    """

    def __init__(
        self,
        path: Path | str,
        sensor: SensorSize,
        *,
        source: str = "",
        settings: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        labelled: bool = False,
        version_of_source: str | None = None,
        compression: Compression = "gzip",
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in HDF5.suffixes:
            suffixes, own = " or ".join(HDF5.suffixes), self.path.suffix
            raise FileError(f"{self.path}: dvspipe writes events as {suffixes}, not as {own!r}")
        self.sensor = sensor
        self.count = 0
        self.saved: dict[str, NDArray[Any]] | None = None
        self._attributes: dict[str, int | str] = {
            "width": sensor.width,
            "height": sensor.height,
            "format": "dsec",
            "version": version("dvspipe"),
            "t_unit": "us",
            "source": source,
            "settings": json.dumps(dict(settings or {})),
        }
        self._overwrite = overwrite
        self._types = COLUMN_TYPES | ({"noise": np.uint8} if labelled else {})
        self._file = ChunkedFile(
            self.path,
            {f"events/{name}": dtype for name, dtype in self._types.items()} | {"ms_to_idx": np.uint64},
            json.dumps([self._attributes, labelled, version_of_source]),
            anew=overwrite or version_of_source is None,
            compression=compression,
        )
        self._last_us = self._offset_us = self._next_ms = 0
        self._stack = ExitStack()

    def __enter__(self) -> EventWriter:
        claim_output(self.path, overwrite=self._overwrite)
        self._stack.enter_context(self._file)
        self.saved = self._file.saved
        if self.saved is not None:
            self.count, self._last_us, self._offset_us, self._next_ms = self.saved.pop("writer").tolist()
        return self

    def note(self, name: str, value: int | str) -> None:
        """Adds an attribute to the file; `save` does not keep it."""
        self._attributes[name] = value

    def save(self, state: Mapping[str, ArrayLike]) -> None:
        """Keeps the events so far, and a state that tells how to go on, should the writing be interrupted."""
        writer = np.array([self.count, self._last_us, self._offset_us, self._next_ms], np.int64)
        self._file.save({"writer": writer, **state})

    def append(self, events: Events, noise: NDArray[np.bool_] | None = None) -> None:
        """Adds events that are no earlier than those before them, and their noise labels where those are written."""
        if events.sensor != self.sensor:
            raise EventError(f"{self.path}: events of a sensor of {events.sensor}, expected {self.sensor}")
        if not len(events):
            return
        first_us = int(events.t[0])
        if not self.count:
            self._offset_us = 0 if 0 <= first_us < NEAR_ZERO_US else first_us - first_us % 1000
        elif first_us < self._last_us:
            raise EventError(f"{self.path}: events from {first_us} us on, after events up to {self._last_us} us")
        self._last_us = int(events.t[-1])
        t = events.t - self._offset_us if self._offset_us else events.t
        columns: dict[str, NDArray[Any]] = {"x": events.x, "y": events.y, "t": t, "p": events.p}
        for name, column in (columns if noise is None else columns | {"noise": noise}).items():
            self._file.append(f"events/{name}", column.view(self._types[name]))
        self._index_milliseconds(t, int(t[-1]) // 1000 + 1)
        self.count += len(events)

    def _index_milliseconds(self, t: NDArray[np.int64], stop_ms: int) -> None:
        """Notes the first event at or after each millisecond before `stop_ms`, from the times of the next events."""
        while self._next_ms < stop_ms:  # in pieces: a gap of days has a milliard of milliseconds
            until_ms = min(stop_ms, self._next_ms + INDEX_PIECE)
            first = np.searchsorted(t, np.arange(self._next_ms, until_ms) * 1000, side="left") + self.count
            self._file.append("ms_to_idx", first.astype(np.uint64))
            self._next_ms = until_ms

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, traceback)
            return
        with self._stack:
            self._index_milliseconds(np.empty(0, np.int64), self._next_ms + 1)
            with self._file.finished() as file:
                file.attrs.update(self._attributes)
                group, left = file["events"], file.create_group("prophesee/left")
                group["width"], group["height"] = self.sensor.width, self.sensor.height
                for name in self._types:
                    left[name] = group[name]
                file["t_offset"] = np.int64(self._offset_us)
