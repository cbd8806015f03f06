"""HDF5 recordings in the column layout of DSEC (Gehrig et al. 2021), which most event libraries read.

/events/{x, y, t, p}, /events/{width, height}, /ms_to_idx, /t_offset, and the same columns under /prophesee/left. Times
in the file count from /t_offset; in memory they are absolute again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import EventError, FileError, FormatError
from ..events import Events, SensorSize
from ..files import claim_output, require_space, write_beside
from .source import CHUNK_EVENTS, Columns, Format, Source

CHUNK_ROWS = 65536
INDEX_PIECE = 1 << 20
NEAR_ZERO_US = 1_000_000  # a first event in the first second keeps its time; a later one is moved by t_offset
CLOSING_BYTES = 8 << 20  # room for what HDF5 holds back until a file is closed: chunk caches and metadata
COLUMN_TYPES = {"x": np.uint16, "y": np.uint16, "t": np.int64, "p": np.uint8}


class EventWriter:
    """Writes a recording in pieces; the file appears under its name only when the `with` block ends well.

    Args:
        path: The HDF5 file to write.
        sensor: The sensor of all events.
        source: Where the events come from, such as the name of a video.
        settings: The settings that made them; kept in the attribute `settings` as JSON.
        overwrite: Whether an existing file may be replaced.
        labelled: Whether a column /events/noise, uint8 {0, 1}, is written too.

    Raises:
        FileError: The file exists, cannot be written, or has another suffix than .h5 or .hdf5.
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
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in HDF5.suffixes:
            suffixes, own = " or ".join(HDF5.suffixes), self.path.suffix
            raise FileError(f"{self.path}: dvspipe writes events as {suffixes}, not as {own!r}")
        self.sensor = sensor
        self.count = 0
        self._attributes = {
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
        self._pending: list[dict[str, NDArray[Any]]] = []
        self._pending_count = 0
        self._last_us: int | None = None
        self._offset_us = 0
        self._next_ms = 0
        self._stack = ExitStack()

    def __enter__(self) -> EventWriter:
        claim_output(self.path, overwrite=self._overwrite)
        beside = self._stack.enter_context(write_beside(self.path))
        self._file = self._stack.enter_context(h5py.File(beside, "w"))
        self._file.attrs.update(self._attributes)
        group = self._file.create_group("events")
        self._columns = {name: _resizable(group, name, dtype) for name, dtype in self._types.items()}
        group["width"], group["height"] = self.sensor.width, self.sensor.height
        self._ms_to_idx = _resizable(self._file, "ms_to_idx", np.uint64)
        left = self._file.create_group("prophesee/left")
        for name, column in self._columns.items():
            left[name] = column
        return self

    def note(self, name: str, value: int | str) -> None:
        """Adds an attribute to the file."""
        self._file.attrs[name] = value

    def append(self, events: Events, noise: NDArray[np.bool_] | None = None) -> None:
        """Adds events that are no earlier than those before them, and their noise labels where those are written."""
        if events.sensor != self.sensor:
            raise EventError(f"{self.path}: events of a sensor of {events.sensor}, expected {self.sensor}")
        if not len(events):
            return
        first_us = int(events.t[0])
        if self._last_us is None:
            self._offset_us = 0 if 0 <= first_us < NEAR_ZERO_US else first_us - first_us % 1000
        elif first_us < self._last_us:
            raise EventError(f"{self.path}: events from {first_us} us on, after events up to {self._last_us} us")
        self._last_us = int(events.t[-1])
        columns: dict[str, NDArray[Any]] = {name: getattr(events, name) for name in COLUMN_TYPES}
        self._pending.append(columns if noise is None else columns | {"noise": noise})
        self._pending_count += len(events)
        if self._pending_count >= CHUNK_ROWS:
            self._flush(self._pending_count - self._pending_count % CHUNK_ROWS)

    def _flush(self, count: int) -> None:
        """Writes the first `count` pending events; all but the last time whole chunks, which are compressed once."""
        columns = {name: np.concatenate([part[name] for part in self._pending]) for name in self._types}
        # HDF5 cannot close a file that it could not write, and brings the process down: never let it come to that.
        require_space(self.path, sum(column.nbytes for column in columns.values()) + CLOSING_BYTES)
        columns["t"] -= self._offset_us
        for name, column in self._columns.items():
            column.resize((self.count + count,))
            column[self.count :] = columns[name][:count].astype(self._types[name])
        self._index_milliseconds(columns["t"][:count])
        self.count += count
        rest = {name: column[count:] for name, column in columns.items()}
        rest["t"] = rest["t"] + self._offset_us
        self._pending = [rest]
        self._pending_count = len(rest["t"])

    def _index_milliseconds(self, t: NDArray[np.int64], stop_ms: int | None = None) -> None:
        """Notes the first event at or after each millisecond up to that of the last of these times."""
        stop_ms = int(t[-1]) // 1000 + 1 if stop_ms is None else stop_ms
        while self._next_ms < stop_ms:  # in pieces: a gap of days has a milliard of milliseconds
            until_ms = min(stop_ms, self._next_ms + INDEX_PIECE)
            first = np.searchsorted(t, np.arange(self._next_ms, until_ms) * 1000, side="left") + self.count
            self._ms_to_idx.resize((until_ms,))
            self._ms_to_idx[self._next_ms :] = first.astype(np.uint64)
            self._next_ms = until_ms

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, traceback)
            return
        with self._stack:
            if self._pending_count:
                self._flush(self._pending_count)
            self._index_milliseconds(np.empty(0, np.int64), self._next_ms + 1)
            self._file["t_offset"] = np.int64(self._offset_us)


def _resizable(group: h5py.Group, name: str, dtype: type) -> h5py.Dataset:
    return group.create_dataset(
        name, shape=(0,), maxshape=(None,), dtype=dtype, chunks=(CHUNK_ROWS,), compression="gzip", compression_opts=1,
        shuffle=True,
    )  # fmt: skip


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(b"\x89HDF\r\n\x1a\n") or path.suffix.lower() in HDF5.suffixes


def _open(path: Path) -> Source:
    try:
        with h5py.File(path, "r") as file:
            sizes = {name: _column_length(path, file, name) for name in COLUMN_TYPES}
            if len(set(sizes.values())) > 1:
                raise FormatError(f"{path}: columns of different lengths: {sizes}")
            sensor = _sensor(path, file)
            attributes = {name: _plain(value) for name, value in file.attrs.items()}
            offset_us = int(np.int64(file["t_offset"][()])) if "t_offset" in file else 0
    except OSError as error:
        raise FormatError(f"{path}: not a complete HDF5 file ({error})") from error
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise FormatError(f"{path}: damaged: {error}") from error
    settings = attributes.get("settings")
    if isinstance(settings, str):
        try:
            attributes["settings"] = json.loads(settings)
        except json.JSONDecodeError as error:
            raise FormatError(f"{path}: the attribute settings is not JSON ({error})") from error
    return Source(sensor, lambda: _chunks(path, sizes["t"], offset_us), attributes)


def _column_length(path: Path, file: h5py.File, name: str) -> int:
    column = file.get(f"events/{name}")
    if not isinstance(column, h5py.Dataset) or column.ndim != 1 or column.dtype.kind not in "iub":
        raise FormatError(f"{path}: holds no integer column /events/{name}, expected the layout of DSEC")
    return int(column.shape[0])


def _sensor(path: Path, file: h5py.File) -> SensorSize | None:
    for holder in (file.attrs, file["events"]):
        if "width" in holder and "height" in holder:
            try:
                return SensorSize(width=int(holder["width"][()]), height=int(holder["height"][()]))
            except (EventError, TypeError, ValueError) as error:
                raise FormatError(f"{path}: names no usable sensor size ({error})") from error
    return None


def _plain(value: Any) -> Any:
    """An attribute as something that JSON can hold."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    value = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)
    return value


def _chunks(path: Path, count: int, offset_us: int) -> Iterator[Columns]:
    try:
        with h5py.File(path, "r") as file:
            columns = {name: file[f"events/{name}"] for name in COLUMN_TYPES}
            for start in range(0, count, CHUNK_EVENTS):
                part = {name: column[start : start + CHUNK_EVENTS] for name, column in columns.items()}
                yield Columns(part["t"].astype(np.int64) + offset_us, part["x"], part["y"], part["p"])
    except (OSError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise FormatError(f"{path}: damaged: {error}") from error


HDF5 = Format("hdf5", (".h5", ".hdf5"), _recognises, _open)
