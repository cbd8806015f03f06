"""Find, check and read datasets of untrusted HDF5 files, in bounded memory.

Only data in the file itself is read. Hard links are followed; soft and external links, external storage and virtual
datasets are not, because the author of the file controls their target. HDF5 reads rows that were never stored as zeros;
here they are an error.
"""

from __future__ import annotations

import math
import zlib
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ...base.errors import FormatError
from .planes import decompress_chunk

MAX_CHUNK_BYTES = 1 << 27  # chunk of one column; HDF5 keeps complete chunks in memory
MAX_ROW_BYTES = 256
JOB_ROWS = 1 << 18  # rows per decompression job of a thread: a job takes about a millisecond
MAX_ROWS = 1 << 48
CACHE_SLOTS = 521  # HDF5's default
EVICT_READ_FIRST = 1.0  # policy of the cache: chunks that were read completely are evicted first

H5PY_ERRORS: tuple[type[BaseException], ...] = (  # raised by h5py for corrupted files
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    ArithmeticError,
    MemoryError,
    SystemError,
    zlib.error,
)

ECF = 0x8ECF  # 36559, assigned by Prophesee: https://docs.prophesee.ai/stable/data/file_formats/hdf5.html
OWN_FILTERS = frozenset(
    (
        h5py.h5z.FILTER_DEFLATE,
        h5py.h5z.FILTER_SHUFFLE,
        h5py.h5z.FILTER_FLETCHER32,
        h5py.h5z.FILTER_SZIP,
        h5py.h5z.FILTER_NBIT,
        h5py.h5z.FILTER_SCALEOFFSET,
        h5py.h5z.FILTER_LZF,
    )
)
PLUGIN_FILTERS = MappingProxyType(
    {  # filters of hdf5plugin, by registered number (HDF Group)
        307: "bzip2",
        32001: "blosc",
        32004: "lz4",
        32008: "bitshuffle",
        32013: "zfp",
        32015: "zstd",
        32017: "sz",
        32018: "fcidecomp",
        32024: "sz3",
        32026: "blosc2",
        32028: "sperr",
    }
)
INFLATED = (
    (h5py.h5z.FILTER_DEFLATE,),
    (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE),
)
"""Filter sequences decoded by dvspipe itself: HDF5 lets a chunk grow a thousandfold, and takes 3 times as long."""


def find_dataset(file: h5py.File, name: str) -> h5py.Dataset | None:
    """Return the dataset with the path `name`; None if it is missing or only reachable by a soft or external link."""
    item: Any = file

    for part in name.split("/"):
        links = item.id.links if isinstance(item, h5py.Group) else None
        if links is None or not links.exists(part.encode()):  # `part in item` would follow links
            return None
        if links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD:
            return None
        item = item[part]

    return item if isinstance(item, h5py.Dataset) else None


def get_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset that is known to exist."""
    dataset = find_dataset(file, name)
    if dataset is None:
        raise ValueError(f"{name} is missing")
    return dataset


def find_number(path: Path, file: h5py.File, name: str) -> int | None:
    """Return the integer in a dataset of one value; None if there is no such dataset."""
    dataset = find_dataset(file, name)
    if dataset is None or dataset.size != 1 or dataset.dtype.kind not in "iuf":
        return None
    check_storage(f"{path}: {name}", dataset)

    value = np.asarray(dataset[()]).item()
    if value != int(value):
        raise FormatError(f"{path}: wrong {name} (found {value}, expected an integer)")
    return int(value)


def list_datasets(file: h5py.File, most: int = 12) -> str:
    """Return the names of the first `most` datasets and links, for a message."""
    names: list[str] = []

    def visit(name: str, link: Any) -> bool | None:
        followed = isinstance(link, h5py.HardLink)
        if not followed or isinstance(file[name], h5py.Dataset):
            names.append(name if followed else f"{name} (a link, not followed)")
        return True if len(names) == most else None

    file.visititems_links(visit)
    return ", ".join(names) or "nothing"


def filters_of(dataset: h5py.Dataset) -> tuple[int, ...]:
    """Return the filter numbers of a dataset, in the order of application."""
    properties = dataset.id.get_create_plist()
    return tuple(properties.get_filter(k)[0] for k in range(properties.get_nfilters()))


def check_storage(where: str, dataset: h5py.Dataset) -> None:
    """Check that a dataset is stored in the file itself and can be read in bounded memory."""
    if dataset.is_virtual or dataset.external:
        raise FormatError(f"{where}: stored in other files; dvspipe does not open them")
    dtype = dataset.dtype
    if dtype.hasobject or dtype.itemsize > MAX_ROW_BYTES:
        raise FormatError(f"{where}: wrong type (found {dtype}, expected numbers)")
    if dataset.shape is None or max((*dataset.shape, 0)) > MAX_ROWS:
        raise FormatError(f"{where}: wrong shape (found {dataset.shape}, expected at most {MAX_ROWS} rows)")

    if dataset.chunks is not None:
        size = math.prod(dataset.chunks) * dtype.itemsize
        if size > MAX_CHUNK_BYTES:
            raise FormatError(f"{where}: chunks too large (found {size} bytes, expected at most {MAX_CHUNK_BYTES})")

    for number in filters_of(dataset):
        _check_filter(where, number)


def _check_filter(where: str, number: int) -> None:
    if number in OWN_FILTERS:
        return
    name = PLUGIN_FILTERS.get(number)
    if name is not None:
        try:
            import hdf5plugin  # noqa: F401  registers its filters
        except ImportError as error:
            message = f"{where}: compressed with {name}, not included in h5py; pip install hdf5plugin"
            raise FormatError(message) from error

    if not h5py.h5z.filter_avail(number):
        what = name or f"the HDF5 filter {number}"
        advice = "install its HDF5 plugin and set HDF5_PLUGIN_PATH"
        if number == ECF:
            what = f"Prophesee's ECF (HDF5 filter {ECF})"
            advice = (
                "build https://github.com/prophesee-ai/hdf5_ecf and set HDF5_PLUGIN_PATH to the folder of libH5Zecf"
            )
        raise FormatError(f"{where}: compressed with {what}, not installed; {advice}")


@dataclass
class StoredRows:
    """Rows of a dataset, opened for reading.

    Args:
        dataset: Dataset with one or two dimensions, checked by `check_storage`.
        file_bytes: File size in bytes.

    Attributes:
        available: Number of rows before the first row that was never stored.
    """

    dataset: h5py.Dataset
    file_bytes: int
    available: int = field(init=False)

    def __post_init__(self) -> None:
        dataset = self.dataset
        self.available = len(dataset)
        self._cached_number = -1  # chunk in `_cached_rows`; -1: none
        self._cached_rows = np.empty(0, dataset.dtype)
        self._row_shape = dataset.shape[1:]
        self._inflated = False
        self._shuffled = False
        self._chunk_rows = 0
        if dataset.chunks is None:
            if not dataset.id.get_storage_size():
                self.available = 0
            return

        # Chunks are decompressed by dvspipe itself if their bytes are complete rows, with numbers as in memory.
        self._chunk_rows = int(dataset.chunks[0])
        as_in_memory = dataset.id.get_type().equal(h5py.h5t.py_create(dataset.dtype, logical=True))
        complete_rows = dataset.chunks[1:] == self._row_shape
        self._inflated = as_in_memory and complete_rows and filters_of(dataset) in INFLATED
        self._shuffled = h5py.h5z.FILTER_SHUFFLE in filters_of(dataset)

        self.available = min(self.available, self._count_stored_rows())
        if not self._inflated:
            self._enlarge_cache()

    def _count_stored_rows(self) -> int:
        """Return the number of rows before the first chunk that is missing or larger than the file."""
        first_rows: list[int] = []
        first_rows_too_large: list[int] = []

        def visit(chunk: Any) -> None:
            fits = chunk.size <= self.file_bytes
            (first_rows if fits else first_rows_too_large).append(chunk.chunk_offset[0])
            self._inflated &= chunk.filter_mask == 0

        self.dataset.id.chunk_iter(visit)

        # A row of chunks is stored if it has as many chunks as the dataset is wide, and none is larger than the file.
        numbers, counts = np.unique(np.array(first_rows, np.int64) // self._chunk_rows, return_counts=True)
        numbers = numbers[counts >= self._chunks_across]
        numbers = numbers[~np.isin(numbers, np.array(first_rows_too_large, np.int64) // self._chunk_rows)]

        gaps = np.flatnonzero(numbers != np.arange(len(numbers)))
        stored = gaps[0] if len(gaps) else len(numbers)
        return int(stored) * self._chunk_rows

    @property
    def _chunks_across(self) -> int:
        """Number of chunks beside each other in a row of chunks."""
        return math.prod(
            -(-side // chunk) for side, chunk in zip(self._row_shape, self.dataset.chunks[1:], strict=True)
        )

    def _enlarge_cache(self) -> None:
        """Reopen the dataset with a cache for one row of chunks, so HDF5 decodes each chunk only once."""
        dataset = self.dataset
        size = math.prod(dataset.chunks) * dataset.dtype.itemsize * self._chunks_across
        access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
        access.set_chunk_cache(CACHE_SLOTS, min(size, MAX_CHUNK_BYTES), EVICT_READ_FIRST)
        self.dataset = h5py.Dataset(h5py.h5d.open(dataset.file.id, dataset.name.encode(), access))

    def read(self, start: int, stop: int, threads: Executor | None = None) -> NDArray[Any]:
        """Read the rows `start` to `stop` - 1; `threads`, if given, decompress complete chunks in parallel."""
        if not self._inflated or stop <= start:
            return np.asarray(self.dataset[start:stop])

        rows = np.empty((stop - start, *self._row_shape), self.dataset.dtype)
        size = self._chunk_rows
        complete: list[tuple[bytes, NDArray[Any]]] = []
        running: list[Future[None]] = []

        for number in range(start // size, -(-stop // size)):
            chunk_start = number * size
            first = max(chunk_start, start)
            after = min((number + 1) * size, stop)
            part = rows[first - start : after - start]

            # A chunk of which only some rows are needed is cached: the next call often needs other rows of it.
            if threads is None or len(part) < size:
                part[:] = self._read_chunk(number)[first - chunk_start : after - chunk_start]
                continue

            complete.append((self._read_content(number), part))
            if len(complete) * size >= JOB_ROWS:
                running.append(threads.submit(self._decompress, complete))
                complete = []

        self._decompress(complete)
        for job in running:
            job.result()
        return rows

    def _read_chunk(self, number: int) -> NDArray[Any]:
        """Return a decompressed chunk; the last one is cached."""
        if number != self._cached_number:
            rows = np.empty((self._chunk_rows, *self._row_shape), self.dataset.dtype)
            self._decompress([(self._read_content(number), rows)])
            self._cached_number = number
            self._cached_rows = rows
        return self._cached_rows

    def _read_content(self, number: int) -> bytes:
        """Read the compressed bytes of a chunk."""
        first = (number * self._chunk_rows, *(0 for _ in self._row_shape))
        content: bytes
        _mask, content = self.dataset.id.read_direct_chunk(first)
        return content

    def _decompress(self, chunks: list[tuple[bytes, NDArray[Any]]]) -> None:
        for content, rows in chunks:
            decompress_chunk(content, rows, shuffled=self._shuffled)
