"""Datasets of HDF5 files that others made: found, checked, and read in pieces of bounded memory.

Only what is stored in the file itself is read. Links to other places, external storage and virtual datasets are not
followed, because they name files that whoever made this one chose; only hard links are. Rows that were never stored
read as zeros in HDF5; here they are damage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from ..errors import FormatError

LARGEST_CHUNK_BYTES = 1 << 27  # of one column; HDF5 holds chunks whole in memory
LARGEST_ROW_BYTES = 256
MOST_ROWS = 1 << 48

DAMAGES: tuple[type[BaseException], ...] = (  # what h5py raises on damaged files
    OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, OverflowError, ArithmeticError,
    MemoryError, SystemError, cast(type[Exception], isal_zlib.error),
)  # fmt: skip

ECF = 0x8ECF
OWN_FILTERS = frozenset(
    (
        h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_SZIP,
        h5py.h5z.FILTER_NBIT, h5py.h5z.FILTER_SCALEOFFSET, h5py.h5z.FILTER_LZF,
    )
)  # fmt: skip
PLUGIN_FILTERS = MappingProxyType(
    {  # hdf5plugin's, by the numbers that the HDF Group registered
        307: "bzip2", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp", 32015: "zstd", 32017: "sz",
        32018: "fcidecomp", 32024: "sz3", 32026: "blosc2", 32028: "sperr",
    }
)  # fmt: skip
INFLATED = (
    (h5py.h5z.FILTER_DEFLATE,),
    (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE),
)
"""Filters that are undone here: HDF5 lets a chunk grow to a thousand times its size, and takes 3 times as long."""


def find_dataset(file: h5py.File, name: str) -> h5py.Dataset | None:
    """The dataset with that path, None where there is none or a link that is not followed leads there."""
    found: Any = file
    for part in name.split("/"):
        links = found.id.links if isinstance(found, h5py.Group) else None
        if links is None or not links.exists(part.encode()):  # `part in found` would follow links
            return None
        if links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD:
            return None
        found = found[part]
    return found if isinstance(found, h5py.Dataset) else None


def get_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """The dataset that `find_dataset` found before."""
    dataset = find_dataset(file, name)
    if dataset is None:
        raise ValueError(f"{name} is gone")
    return dataset


def find_number(path: Path, file: h5py.File, name: str) -> int | None:
    """The whole number in a dataset of one value, None where there is no such dataset."""
    dataset = find_dataset(file, name)
    if dataset is None or dataset.size != 1 or dataset.dtype.kind not in "iuf":
        return None
    check_storage(f"{path}: {name}", dataset)
    value = np.asarray(dataset[()]).item()
    if value != int(value):
        raise FormatError(f"{path}: {name} is {value}, expected a whole number")
    return int(value)


def list_datasets(file: h5py.File, most: int = 12) -> str:
    """The names of the first datasets and links, for people."""
    names: list[str] = []

    def visit(name: str, link: Any) -> bool | None:
        followed = isinstance(link, h5py.HardLink)
        if not followed or isinstance(file[name], h5py.Dataset):
            names.append(name if followed else f"{name} (a link, not followed)")
        return True if len(names) == most else None

    file.visititems_links(visit)
    return ", ".join(names) or "nothing"


def filters_of(dataset: h5py.Dataset) -> tuple[int, ...]:
    """The numbers of its filters, in the order in which they were applied."""
    properties = dataset.id.get_create_plist()
    return tuple(properties.get_filter(k)[0] for k in range(properties.get_nfilters()))


def is_guarded(dataset: h5py.Dataset) -> bool:
    """Whether it is decoded by a plugin that the user brought, which may end the process on damage."""
    return not set(filters_of(dataset)) <= OWN_FILTERS | PLUGIN_FILTERS.keys()


def check_storage(where: str, dataset: h5py.Dataset) -> None:
    """Checks that a dataset stands in the file itself, in a form that can be read in bounded memory.

    Raises:
        FormatError: It does not.
    """
    if dataset.is_virtual or dataset.external:
        raise FormatError(f"{where} is stored in other files, which dvspipe does not open")
    dtype = dataset.dtype
    if dtype.hasobject or dtype.itemsize > LARGEST_ROW_BYTES:
        raise FormatError(f"{where} holds {dtype}, expected numbers")
    if dataset.shape is None or max((*dataset.shape, 0)) > MOST_ROWS:
        raise FormatError(f"{where} has shape {dataset.shape}, expected at most {MOST_ROWS} rows")
    if dataset.chunks is not None:
        size = math.prod(dataset.chunks) * dtype.itemsize
        if size > LARGEST_CHUNK_BYTES:
            raise FormatError(f"{where} has chunks of {size} bytes, expected at most {LARGEST_CHUNK_BYTES}")
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
            raise FormatError(f"{where} is compressed by {name}, which h5py lacks; pip install hdf5plugin") from error
    if not h5py.h5z.filter_avail(number):
        what = name or ("Prophesee's ECF" if number == ECF else f"the HDF5 filter {number}")
        way_out = "install https://github.com/prophesee-ai/hdf5_ecf" if number == ECF else "install its HDF5 plugin"
        raise FormatError(f"{where} is compressed by {what}, which is missing; {way_out} and set HDF5_PLUGIN_PATH")


@dataclass
class Stored:
    """A dataset opened for reading pieces of rows.

    Args:
        dataset: Checked by `check_storage`, of one or two dimensions.
        file_bytes: Size of the file.
    """

    dataset: h5py.Dataset
    file_bytes: int
    whole: int = field(init=False)
    """Rows ahead of the first that was never stored."""

    def __post_init__(self) -> None:
        dataset = self.dataset
        self.whole = int(dataset.shape[0])
        self._last = (-1, np.empty(0, dataset.dtype))
        self._row_shape = dataset.shape[1:]
        self._inflated = False
        if dataset.chunks is None:
            if not dataset.id.get_storage_size():
                self.whole = 0
            return
        as_in_memory = dataset.id.get_type().equal(h5py.h5t.py_create(dataset.dtype, logical=True))
        whole_rows = dataset.chunks[1:] == self._row_shape
        self._inflated = as_in_memory and whole_rows and filters_of(dataset) in INFLATED
        self.whole = min(self.whole, self._stored_rows())
        if not self._inflated:
            self._cache_a_chunk()

    def _stored_rows(self) -> int:
        """Rows ahead of the first missing chunk, or of the first that is larger than the file."""
        chunks = self.dataset.chunks
        firsts: list[int] = []
        broken: list[int] = []

        def visit(chunk: Any) -> None:
            (firsts if chunk.size <= self.file_bytes else broken).append(chunk.chunk_offset[0])
            self._inflated &= chunk.filter_mask == 0

        self.dataset.id.chunk_iter(visit)
        numbers, counts = np.unique(np.array(firsts, np.int64) // int(chunks[0]), return_counts=True)
        numbers = numbers[counts >= self._chunks_across]
        numbers = numbers[~np.isin(numbers, np.array(broken, np.int64) // chunks[0])]
        gaps = np.flatnonzero(numbers != np.arange(len(numbers)))
        return int(gaps[0] if len(gaps) else len(numbers)) * int(chunks[0])

    @property
    def _chunks_across(self) -> int:
        return math.prod(
            -(-side // chunk) for side, chunk in zip(self._row_shape, self.dataset.chunks[1:], strict=True)
        )

    def _cache_a_chunk(self) -> None:
        """Opens the dataset again with a cache for one row of chunks, so that none is decoded for each piece anew."""
        dataset = self.dataset
        size = math.prod(dataset.chunks) * dataset.dtype.itemsize * self._chunks_across
        access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
        access.set_chunk_cache(521, min(size, LARGEST_CHUNK_BYTES), 1.0)
        self.dataset = h5py.Dataset(h5py.h5d.open(dataset.file.id, dataset.name.encode(), access))

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to ahead of `stop`."""
        if not self._inflated or stop <= start:
            return np.asarray(self.dataset[start:stop])
        size = self.dataset.chunks[0]
        pieces = [
            self._chunk(number)[max(start - number * size, 0) : stop - number * size]
            for number in range(start // size, -(-stop // size))
        ]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _chunk(self, number: int) -> NDArray[Any]:
        if number != self._last[0]:
            self._last = (number, self._inflate(number))
        return self._last[1]

    def _inflate(self, number: int) -> NDArray[Any]:
        dataset, dtype = self.dataset, self.dataset.dtype
        first = number * dataset.chunks[0]
        _, content = dataset.id.read_direct_chunk((first, *(0 for _ in self._row_shape)))
        values = math.prod(dataset.chunks)
        size = values * dtype.itemsize
        inflater = isal_zlib.decompressobj()
        data = inflater.decompress(content, size + 1)
        if len(data) != size or not inflater.eof:
            raise ValueError(f"the chunk from row {first} on does not unpack to {size} bytes")
        rows: NDArray[Any]
        if h5py.h5z.FILTER_SHUFFLE in filters_of(dataset) and dtype.itemsize > 1:
            # the first bytes of all values, then the second, ...
            mixed = np.frombuffer(data, np.uint8).reshape(dtype.itemsize, values)
            plain = np.empty((values, dtype.itemsize), np.uint8)
            for byte, column in enumerate(mixed):
                plain[:, byte] = column
            rows = plain.reshape(-1).view(dtype)
        else:
            rows = np.frombuffer(data, np.uint8 if dtype.kind == "b" else dtype)
        return rows.reshape(-1, *self._row_shape)
