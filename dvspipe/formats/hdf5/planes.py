"""Chunks in the format of HDF5's shuffle and gzip filters: the first bytes of all values, then the second, ..."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEFLATE_LEVEL = 1


def compress_chunk(rows: NDArray[Any], padding: int = 0) -> bytes:
    """Compress numbers, followed by zeros, in the format of HDF5's shuffle and gzip filters.

    Args:
        rows: Numbers, [N].
        padding: Number of zeros after them in the chunk.

    Example:
        >>> rows, copy = np.arange(5, dtype=np.int64), np.empty(5, np.int64)
        >>> decompress_chunk(compress_chunk(rows), copy, shuffled=True)
        >>> copy.tolist()
        [0, 1, 2, 3, 4]
    """
    planes = np.zeros((rows.itemsize, len(rows) + padding), np.uint8)
    planes[:, : len(rows)] = np.ascontiguousarray(rows).view(np.uint8).reshape(-1, rows.itemsize).T
    return zlib.compress(planes.tobytes(), DEFLATE_LEVEL)


def decompress_chunk(content: bytes, rows: NDArray[Any], *, shuffled: bool) -> None:
    """Decompress a chunk into `rows`.

    Raises:
        ValueError: If it has another size.
        zlib.error: If it is corrupted.
    """
    inflater = zlib.decompressobj()
    data = np.frombuffer(inflater.decompress(content, rows.nbytes + 1), np.uint8)  # a chunk can grow a thousandfold
    if len(data) != rows.nbytes or not inflater.eof:
        raise ValueError(f"a chunk does not decompress to {rows.nbytes} bytes")

    size = rows.itemsize if shuffled else 1
    rows.reshape(-1).view(np.uint8).reshape(-1, size)[:] = data.reshape(size, -1).T
