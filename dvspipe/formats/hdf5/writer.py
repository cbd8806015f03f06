"""Writer of HDF5 recordings in the column layout of DSEC (Gehrig et al. 2021), readable by most event libraries.

The datasets are /events/{x, y, t, p}, /events/{width, height}, /ms_to_idx, /t_offset, and the same columns under
/prophesee/left. Times in the file are relative to /t_offset; times in memory are absolute.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...base.errors import EventError, escape_controls
from ...events import LATEST_US, Events, SensorSize
from ..writers import Compression, WriteOptions, Writer
from .chunked_file import CHUNK_ROWS, ChunkedFile
from .layouts import SUFFIXES
from .unfinished import refuse_discarding

PART_ROWS = 4 * CHUNK_ROWS  # written at a time; their times fit in the cache
INDEX_BLOCK = 1 << 20
MAX_INDEX_ROWS = 1 << 26  # 18 hours; limited because one wrong time could fill the disk
NEAR_ZERO_US = 1_000_000  # recordings that begin later are stored relative to t_offset
COLUMN_TYPES = {"x": np.uint16, "y": np.uint16, "t": np.int64, "p": np.uint8}


class EventWriter(Writer):
    """Context manager that writes an HDF5 recording part by part; the file appears if no error occurs.

    Args:
        path: HDF5 file to write.
        sensor: Sensor size of all events.
        source: Origin of the events, such as the name of a video.
        settings: Settings that generated the events; stored as JSON in the attribute `settings`.
        overwrite: Whether to replace an existing file; if true, writing does not resume.
        version_of_source: Version of the source, such as the modification time of the video. The writer resumes from
            the last `save` of an interrupted writer if this value, source, settings and dvspipe version are equal.
            None: never resume.
        compression: `gzip` is readable by every library; `blosc` reads faster and needs hdf5plugin.

    Attributes:
        count: Number of events written so far.
        saved: Inside the `with` block, the state of the last `save` of an interrupted writer, or None.

    Raises:
        FileError: If the file exists, cannot be written, or has a suffix other than .h5 or .hdf5, or another process is
            writing it, or the folder beside it has saved events that cannot be made again.
        EventError: If appended events have another sensor size, or begin before the end of the previous part.
    """

    def __init__(
        self,
        path: Path | str,
        sensor: SensorSize,
        *,
        source: str = "",
        settings: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        version_of_source: str | None = None,
        compression: Compression = "gzip",
    ) -> None:
        super().__init__(path, sensor, SUFFIXES, overwrite=overwrite)
        self._attributes: dict[str, int | str] = {
            "width": sensor.width,
            "height": sensor.height,
            "format": "dsec",
            "version": version("dvspipe"),
            "t_unit": "us",
            "source": escape_controls(source),
            "settings": json.dumps(dict(settings or {})),
        }

        self._file = ChunkedFile(
            self.path,
            {f"events/{name}": dtype for name, dtype in COLUMN_TYPES.items()} | {"ms_to_idx": np.uint64},
            json.dumps([self._attributes, version_of_source]),
            resume=not overwrite and version_of_source is not None,
            compression=compression,
        )
        self._offset_us = 0
        self._next_ms = 0  # first millisecond without a row in ms_to_idx
        if not overwrite:
            refuse_discarding(self._file.folder)

    def _begin(self, stack: ExitStack) -> None:
        stack.enter_context(self._file)
        self.saved = self._file.saved
        if self.saved is not None:
            self.count, last_us, self._offset_us, self._next_ms = self.saved.pop("writer").tolist()
            self._last_us = last_us if self.count else None

    def note(self, name: str, value: int | str) -> None:
        """Add an attribute to the file."""
        self._attributes[name] = value

    def save(self, state: Mapping[str, ArrayLike]) -> None:
        """Save the events so far and a state; see `Writer.save`."""
        writer = np.array([self.count, self._last_us or 0, self._offset_us, self._next_ms], np.int64)
        self._file.save({"writer": writer, **state})

    def _write(self, events: Events) -> None:
        # Times that begin late are stored relative to an offset: /ms_to_idx has a row for each millisecond since 0.
        first_us = int(events.t[0])
        if not self.count:
            self._offset_us = 0 if 0 <= first_us < NEAR_ZERO_US else first_us - first_us % 1000
        self._last_us = int(events.t[-1])

        if self._last_us - self._offset_us > LATEST_US:
            raise EventError(
                f"{self.path}: time span too long (found {self._offset_us} to {self._last_us} us, expected 64 bits)"
            )

        columns: dict[str, NDArray[Any]] = {"x": events.x, "y": events.y, "t": events.t, "p": events.p}
        for start in range(0, len(events), PART_ROWS):
            self._write_part({name: column[start : start + PART_ROWS] for name, column in columns.items()})

    def _write_part(self, columns: dict[str, NDArray[Any]]) -> None:
        t = columns["t"] - self._offset_us if self._offset_us else columns["t"]
        for name, column in (columns | {"t": t}).items():
            self._file.append(f"events/{name}", column.view(COLUMN_TYPES[name]))

        self._index_milliseconds(t, int(t[-1]) // 1000 + 1)
        self.count += len(t)

    def _index_milliseconds(self, t: NDArray[np.int64], stop_ms: int) -> None:
        """Index the first event at or after each millisecond before `stop_ms`; `t` are the times of the next events."""
        stop_ms = min(stop_ms, MAX_INDEX_ROWS)
        while self._next_ms < stop_ms:  # in blocks: gaps may have millions of milliseconds
            until_ms = min(stop_ms, self._next_ms + INDEX_BLOCK)
            first = np.searchsorted(t, np.arange(self._next_ms, until_ms) * 1000, side="left") + self.count
            self._file.append("ms_to_idx", first.astype(np.uint64))
            self._next_ms = until_ms

    def _finish(self) -> None:
        self._index_milliseconds(np.empty(0, np.int64), self._next_ms + 1)
        with self._file.complete() as file:
            file.attrs.update(self._attributes)

            # Other libraries look for the same columns under /prophesee/left: hard links, without copies.
            group = file["events"]
            left = file.create_group("prophesee/left")
            group["width"] = self.sensor.width
            group["height"] = self.sensor.height
            for name in COLUMN_TYPES:
                left[name] = group[name]
            file["t_offset"] = np.int64(self._offset_us)


class HDF5Encoder:
    """Encoder of HDF5 recordings."""

    suffixes = SUFFIXES

    def create(self, path: Path, sensor: SensorSize, options: WriteOptions) -> EventWriter:
        """Create a writer for a file."""
        return EventWriter(
            path,
            sensor,
            source=options.source,
            settings=options.settings,
            overwrite=options.overwrite,
            compression=options.compression,
            version_of_source=options.version_of_source,
        )
