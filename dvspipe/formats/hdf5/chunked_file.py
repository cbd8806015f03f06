"""HDF5 files of growing columns. Chunks are compressed in threads, and writing can resume after a crash.

An unfinished file is kept in the folder `OUT.h5.part` beside it:

- `growing.h5`, with the chunks since the last `save`;
- `00000.h5`, ...: for each `save`, one file with its new complete chunks;
- `state.npz` of the last `save`: the rows after the last complete chunk, the checksums of all these files, and the
  state of the caller.

Each file is renamed into place, and is valid once a state lists it; the process may be killed at any moment. At the
end, the compressed chunks are copied into one file; this needs the same disk space again. Of 16 files whose process was
killed while appending and flushing (`libver="latest"`, half of them with SWMR), h5py opened none.
"""

from __future__ import annotations

import json
import logging
import os
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...base.errors import DvspipeError, FileError, FormatError
from ...base.files import UNFINISHED, lock_folder, move_into_place, require_space, write_beside
from ..writers import Compression, closing_bytes
from .planes import DEFLATE_LEVEL, compress_chunk

CHUNK_ROWS = 65536
MAX_ENCODERS = 4  # threads; one encodes 13 M events/s
MAX_PENDING_CHUNKS = 64  # chunks to be compressed and stored: a million events, about one 720p frame
STATE = "state.npz"
GROWING = "growing.h5"
STATE_ERRORS = (  # raised when a saved state is corrupted
    FormatError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)

log = logging.getLogger(__name__)


@dataclass
class _Column:
    """Column that grows.

    Args:
        buffer: Buffer of one chunk; begins with the rows after the last complete chunk.
        rows: Number of rows so far.
        stored: Number of chunks in files.
        checksum: CRC-32 of the chunks in the growing file.
    """

    buffer: NDArray[Any]
    rows: int = 0
    stored: int = 0
    checksum: int = 0

    @property
    def incomplete(self) -> NDArray[Any]:
        """Rows after the last complete chunk."""
        return self.buffer[: self.rows % len(self.buffer)]

    def add(self, rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """Add rows, and yield the completed chunks."""
        while len(rows):
            begin = len(self.incomplete)
            room = len(self.buffer) - begin
            piece = rows[:room]
            rows = rows[room:]
            self.rows += len(piece)

            # A complete chunk of the caller's rows is not copied: the caller does not modify them afterwards.
            if len(piece) == len(self.buffer):
                yield piece
                continue

            # The buffer of a chunk belongs to the thread that compresses it, so the next chunk gets a new one.
            self.buffer[begin : begin + len(piece)] = piece
            if not len(self.incomplete):
                chunk = self.buffer
                self.buffer = np.zeros_like(self.buffer)
                yield chunk


class ChunkedFile:
    """HDF5 file of columns, filled from one thread. It appears under its name only after `complete`.

    Args:
        path: Output file.
        types: Columns: dataset name -> dtype. They are stored in chunks of CHUNK_ROWS.
        key: Identifies the inputs of the rows; a state saved with another key is discarded.
        resume: Whether to resume from a saved state.
        compression: `gzip` with the shuffle filter, in several threads; or `blosc`, by HDF5 with hdf5plugin.

    Attributes:
        saved: Inside the `with` block, the last state saved by an interrupted process, or None.

    Raises:
        FileError: If the folder `OUT.h5.part` cannot be created, or another process uses it.
    """

    def __init__(
        self, path: Path, types: Mapping[str, type], key: str, *, resume: bool, compression: Compression = "gzip"
    ) -> None:
        self.path = path
        self.folder = path.with_name(path.name + UNFINISHED)
        self.saved: dict[str, NDArray[Any]] | None = None
        self._key = f"{compression} {key}"
        self._resume = resume
        self._filters = _filters(path, compression)
        self._is_encoded = compression == "gzip"

        self._columns = {name: _Column(np.zeros(CHUNK_ROWS, dtype)) for name, dtype in types.items()}
        self._parts: list[dict[str, list[int]]] = []  # per part: column -> cumulative number of chunks, checksum
        self._pending: deque[Future[None]] = deque()
        self._growing: h5py.File | None = None
        self._datasets: dict[str, h5py.Dataset] = {}
        self._stack = ExitStack()

    def __enter__(self) -> ChunkedFile:
        with ExitStack() as stack:
            stack.enter_context(lock_folder(self.folder))
            if self._resume:
                self._load()
            if self.saved is None:
                _clear(self.folder)
            self._encoders = ThreadPoolExecutor(min(MAX_ENCODERS, os.cpu_count() or 1))
            self._storer = ThreadPoolExecutor(1)
            self._stack = stack.pop_all()

        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._stack:
            for threads in (self._encoders, self._storer):
                threads.shutdown(cancel_futures=True)
            try:
                self._close()
            except FileError:  # closing also fails on a full disk; the file is removed
                if error is None:
                    raise

            # Resuming can succeed after a full disk, Ctrl-C or a bug, but not with the same invalid input
            can_resume = isinstance(error, FileError) or not isinstance(error, DvspipeError | None)
            if can_resume and (self.folder / STATE).exists():
                (self.folder / GROWING).unlink(missing_ok=True)
            else:
                _clear(self.folder)

    def append(self, name: str, rows: NDArray[Any]) -> None:
        """Add rows to a column, in its dtype; the array must not be modified afterwards."""
        for chunk in self._columns[name].add(rows):
            self._encode(name, chunk)

    def save(self, state: Mapping[str, ArrayLike]) -> None:
        """Save the rows so far and a state; another process can resume from them."""
        self._wait_pending(0)

        # A file of chunks is valid once the state lists it, so it is renamed into place before the state.
        if self._growing is not None:
            self._close()
            with self._writing():
                move_into_place(self.folder / GROWING, part_file(self.folder, len(self._parts)))
            self._parts.append({name: [column.stored, column.checksum] for name, column in self._columns.items()})
            for column in self._columns.values():
                column.checksum = 0

        # The rows after the last complete chunk are in no file, so they are saved with the state.
        arrays = {f"rest/{name}": column.incomplete for name, column in self._columns.items()}
        arrays |= {f"state/{name}": np.asarray(value) for name, value in state.items()}
        require_space(self.path, sum(array.nbytes for array in arrays.values()) + self._closing_bytes)

        about = json.dumps({"key": self._key, "parts": self._parts})
        with write_beside(self.folder / STATE) as beside, beside.open("wb") as file:
            np.savez(file, about=np.array(about), **arrays)  # type: ignore[arg-type]

    @contextmanager
    def complete(self) -> Iterator[h5py.File]:
        """Yield the file with all rows, to add metadata; rename it into place if the block ends without an error."""
        for name, column in self._columns.items():
            if len(column.incomplete):
                self._encode(name, column.incomplete)
        self._wait_pending(0)

        # Chunks of earlier `save`s are copied without decompression; chunks since then are in the growing file already.
        with self._writing():
            file = self._open_growing()
            for name, column in self._columns.items():
                self._datasets[name].resize((column.rows,))
            for name, number, mask, chunk in read_chunks(self.folder, self._parts):
                require_space(self.path, len(chunk) + self._closing_bytes)
                self._datasets[name].id.write_direct_chunk((number * CHUNK_ROWS,), chunk, mask)

            yield file
            self._close()
            move_into_place(self.folder / GROWING, self.path)

    def _encode(self, name: str, chunk: NDArray[Any]) -> None:
        """Compress and store the last chunk of a column in threads, after earlier chunks."""
        encoded = self._encoders.submit(compress_chunk, chunk, CHUNK_ROWS - len(chunk)) if self._is_encoded else chunk
        self._pending.append(self._storer.submit(self._store, name, encoded, self._columns[name].rows))
        self._wait_pending(MAX_PENDING_CHUNKS)

    def _wait_pending(self, most: int) -> None:
        """Wait until at most `most` chunks are pending; raise the first error of storing."""
        while self._pending and (len(self._pending) > most or self._pending[0].done()):
            self._pending[0].result()  # removed afterwards: the next call raises the error again
            self._pending.popleft()

    def _store(self, name: str, encoded: Future[bytes] | NDArray[Any], stop: int) -> None:
        """Store the chunk of a column that ends before row `stop`, as compressed bytes or as rows."""
        column = self._columns[name]
        begin = column.stored * CHUNK_ROWS
        content = encoded if isinstance(encoded, np.ndarray) else encoded.result()
        size = content.nbytes if isinstance(content, np.ndarray) else len(content)

        require_space(self.path, size + self._closing_bytes)
        with self._writing():
            self._open_growing()
            dataset = self._datasets[name]
            dataset.id.set_extent((stop,))
            if isinstance(content, np.ndarray):
                # HDF5 compresses these rows itself; the chunk is read back for its checksum.
                dataset[begin:stop] = content[: stop - begin]
                _mask, chunk = dataset.id.read_direct_chunk((begin,))
            else:
                chunk = content
                dataset.id.write_direct_chunk((begin,), chunk)

        column.checksum = zlib.crc32(chunk, column.checksum)
        column.stored += 1

    @property
    def _closing_bytes(self) -> int:
        return closing_bytes(max(column.rows for column in self._columns.values()))

    def _open_growing(self) -> h5py.File:
        if self._growing is None:
            self._growing = h5py.File(self.folder / GROWING, "w")
            for name, column in self._columns.items():
                self._datasets[name] = self._growing.create_dataset(
                    name, shape=(0,), maxshape=(None,), dtype=column.buffer.dtype, chunks=(CHUNK_ROWS,), **self._filters
                )

        return self._growing

    def _close(self) -> None:
        # Closing fails on a full disk; the file counts as closed then, too, so it is not closed twice.
        growing = self._growing
        self._growing = None
        if growing is not None:
            with self._writing():
                growing.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:  # RuntimeError: closing a file on a full disk
            number = error.errno if isinstance(error, OSError) else None
            reason = os.strerror(number) if number else error  # omits the details of HDF5
            raise FileError(f"{self.path}: cannot be written ({reason})") from error

    def _load(self) -> None:
        """Load the state of an interrupted process, if it is complete and has the same key."""
        if not (self.folder / STATE).exists():
            return

        try:
            saved = read_state(self.folder)
            if saved.key != self._key:
                log.warning(
                    "%s: restarting from the beginning: the saved state belongs to another video, settings or version",
                    self.path,
                )
                return
            for _ in read_chunks(self.folder, saved.parts):
                pass  # verifies the checksums
        except STATE_ERRORS as error:
            log.warning("%s: restarting from the beginning: the saved state is corrupted (%s)", self.path, error)
            return

        self.saved = saved.state
        self._parts = saved.parts
        for name, column in self._columns.items():
            if self._parts:
                column.stored, _checksum = self._parts[-1][name]
            column.rows = column.stored * CHUNK_ROWS + len(saved.rests[name])
            column.incomplete[:] = saved.rests[name]


def discard_saved(path: Path) -> None:
    """Remove the leftovers of a process that was killed after completing the file."""
    folder = path.with_name(path.name + UNFINISHED)
    if folder.is_dir():
        with suppress(FileError), lock_folder(folder):  # FileError: another process is writing the file again
            _clear(folder)


def _clear(folder: Path) -> None:
    for file in folder.iterdir():
        if file.suffix in (".h5", ".npz"):
            file.unlink()


def _filters(path: Path, compression: Compression) -> Mapping[str, Any]:
    """Return the h5py arguments of a compression."""
    if compression == "gzip":
        return {"compression": "gzip", "compression_opts": DEFLATE_LEVEL, "shuffle": True}
    try:
        import hdf5plugin
    except ImportError as error:
        raise FileError(
            f"{path}: cannot be written with compression = blosc, because hdf5plugin is not installed; "
            "pip install 'dvspipe[blosc]', or use compression = gzip"
        ) from error

    filters: Mapping[str, Any] = hdf5plugin.Blosc(cname="zstd", clevel=1, shuffle=hdf5plugin.Blosc.SHUFFLE)
    return filters


def part_file(folder: Path, number: int) -> Path:
    """Return the file with the chunks of a `save`."""
    return folder / f"{number:05}.h5"


def read_chunks(folder: Path, parts: list[dict[str, list[int]]]) -> Iterator[tuple[str, int, int, bytes]]:
    """Yield the compressed chunks of saved files: column, chunk number, mask of skipped filters, content."""
    # A part begins with the chunk at which the previous part of its column ended.
    first: dict[str, int] = {}
    for number, part in enumerate(parts):
        path = part_file(folder, number)
        with h5py.File(path) as file:
            for name, (stop, expected) in part.items():
                dataset = file[name]
                checksum = 0
                for chunk in range(first.get(name, 0), stop):
                    mask, content = dataset.id.read_direct_chunk((chunk * CHUNK_ROWS,))
                    checksum = zlib.crc32(content, checksum)
                    yield name, chunk, mask, content

                if checksum != expected:
                    raise FormatError(
                        f"{path}: corrupted: wrong checksum of {name} (found {checksum:08x}, expected {expected:08x})"
                    )
                first[name] = stop


@dataclass(frozen=True)
class SavedState:
    """State of an unfinished file at its last `save`.

    Args:
        key: Compression, a space, and the key of the file.
        parts: For each saved file, by column: cumulative number of chunks, and checksum.
        rests: Rows after the last complete chunk, by column.
        state: State of the caller.
    """

    key: str
    parts: list[dict[str, list[int]]]
    rests: dict[str, NDArray[Any]]
    state: dict[str, NDArray[Any]]


def read_state(folder: Path) -> SavedState:
    """Read the saved state of an unfinished file; raises one of STATE_ERRORS if it is corrupted."""
    path = folder / STATE
    with zipfile.ZipFile(path) as archive:
        if (member := archive.testzip()) is not None:
            raise FormatError(f"{path}: corrupted: wrong checksum of {member}")

    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)

    rests = {name.removeprefix("rest/"): rows for name, rows in arrays.items() if name.startswith("rest/")}
    state = {name.removeprefix("state/"): value for name, value in arrays.items() if name.startswith("state/")}

    about = json.loads(str(arrays["about"]))
    return SavedState(about["key"], about["parts"], rests, state)
