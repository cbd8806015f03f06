"""Chunks of numbers in the format of HDF5's shuffle and gzip filters: the first bytes of all values, the second, ...

A plane is one such row of bytes. Each plane is compressed by ISA-L, or stored if that does not make it smaller. The
chunk is one zlib stream, readable by every HDF5 reader.
"""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from ...base.kernels import njit

DEFLATE_LEVEL = 1  # ISA-L level: 3 % larger than zlib, in a sixth of the time
MIN_SAVED_SHARE = 0.05  # planes that become less than this share smaller, such as the lowest bytes of x, are stored
MAX_STORED_BYTES = 0xFFFF
ZLIB_HEADER = b"\x78\x01"
CHECKSUM_BYTES = 4
END = b"\x03\x00"  # an empty last block
ADLER32_BASE = 65521  # RFC 1950: a zero byte adds the lower sum to the upper sum
BLOCK_VALUES = 4096  # values per block; small enough for the cache
UNSIGNED = {2: np.uint16, 4: np.uint32, 8: np.uint64}


def compress_chunk(rows: NDArray[Any], padding: int = 0) -> bytes:
    """Compress numbers of 1, 2, 4 or 8 bytes, followed by zeros, in the format of HDF5's shuffle and gzip filters.

    Args:
        rows: Numbers, [N].
        padding: Number of zeros after them in the chunk.

    Example:
        >>> rows, copy = np.arange(5, dtype=np.int64), np.empty(5, np.int64)
        >>> decompress_chunk(compress_chunk(rows), copy, shuffled=True)
        >>> copy.tolist()
        [0, 1, 2, 3, 4]
    """
    # The planes above the highest byte that is used contain only zeros, and are not split but compressed at once.
    values = np.ascontiguousarray(rows).view(UNSIGNED.get(rows.itemsize, np.uint8))
    used = -(-int(values.max(initial=0)).bit_length() // 8)
    count = len(rows) + padding
    planes = np.zeros((used, count), np.uint8)
    zeros = (rows.itemsize - used) * count
    _split(values, planes)

    blocks: list[bytes] = []
    for plane in planes:
        blocks += [_deflate_plane(plane[: len(rows)]), _deflate_zeros(padding)]

    return b"".join([ZLIB_HEADER, *blocks, _deflate_zeros(zeros), END, _find_checksum(planes, zeros)])


def decompress_chunk(content: bytes, rows: NDArray[Any], *, shuffled: bool) -> None:
    """Decompress a chunk into `rows`."""
    values = rows.reshape(-1)
    size = rows.dtype.itemsize
    if shuffled and size in UNSIGNED:
        used_planes = _decompress_planes(content, len(rows), size)
        if used_planes is not None:
            _join(used_planes, values.view(UNSIGNED[size]))
            return

    # Chunks of other programs, and chunks without planes of zeros.
    inflater = isal_zlib.decompressobj()
    data = inflater.decompress(content, rows.nbytes + 1)  # limited: HDF5 lets a chunk grow a thousandfold
    if len(data) != rows.nbytes or not inflater.eof:
        raise ValueError(f"a chunk does not decompress to {rows.nbytes} bytes")

    if not shuffled or size == 1:
        values.view(np.uint8)[:] = np.frombuffer(data, np.uint8)
        return

    planes = np.frombuffer(data, np.uint8).reshape(size, -1)
    if size in UNSIGNED:
        highest = max(np.flatnonzero(planes.max(axis=1, initial=0)), default=0)
        _join(planes[: highest + 1], values.view(UNSIGNED[size]))
    else:
        values.view(np.uint8).reshape(-1, size)[:] = planes.T


def _decompress_planes(content: bytes, count: int, size: int) -> NDArray[np.uint8] | None:
    """Decompress the planes before the planes of zeros, if `compress_chunk` wrote the chunk, or else return None."""
    # The number of planes is not stored, but a chunk with `used` planes ends in its planes of zeros, always the same
    # bytes. Only if the checksum fits are they not data that happen to be equal.
    for used in range(1, size):
        zeros = (size - used) * count
        end = _deflate_zeros(zeros) + END
        if content.endswith(end, 0, -CHECKSUM_BYTES) and content.startswith(ZLIB_HEADER):
            deflated = content[len(ZLIB_HEADER) : -CHECKSUM_BYTES - len(end)]
            data = isal_zlib.decompressobj(-zlib.MAX_WBITS).decompress(deflated, used * count + 1)
            if len(data) == used * count and _find_checksum(data, zeros) == content[-CHECKSUM_BYTES:]:
                return np.frombuffer(data, np.uint8).reshape(used, count)

    return None


def _find_checksum(data: Any, zeros: int) -> bytes:
    """Return the Adler-32 checksum of data and of zeros after it."""
    upper, lower = divmod(isal_zlib.adler32(data), 1 << 16)
    upper = (upper + zeros * lower) % ADLER32_BASE
    return (upper << 16 | lower).to_bytes(CHECKSUM_BYTES, "big")


def _deflate_plane(plane: NDArray[np.uint8]) -> bytes:
    """Compress a plane to deflate blocks that end at a byte boundary and do not refer to earlier data."""
    deflated = _deflate(isal_zlib, DEFLATE_LEVEL, plane)

    # Stored bytes are read by a copy.
    return deflated if len(deflated) < (1 - MIN_SAVED_SHARE) * len(plane) else _store(plane)


def _store(plane: NDArray[np.uint8]) -> bytes:
    """Return a plane in stored blocks."""
    pieces: list[Any] = []
    for first in range(0, len(plane), MAX_STORED_BYTES):
        piece = plane[first : first + MAX_STORED_BYTES]
        pieces += [struct.pack("<BHH", 0, len(piece), MAX_STORED_BYTES - len(piece)), piece]

    return b"".join(pieces)


@lru_cache
def _deflate_zeros(count: int) -> bytes:
    """Compress zeros to deflate blocks, with zlib level 1: they decompress six times faster than blocks of ISA-L."""
    return _deflate(zlib, 1, np.zeros(count, np.uint8))


def _deflate(library: Any, level: int, data: NDArray[np.uint8]) -> bytes:
    deflater = library.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    blocks: bytes = deflater.compress(data) + deflater.flush(zlib.Z_FULL_FLUSH)
    return blocks


@njit(cache=True, nogil=True, error_model="numpy")
def _split(values: NDArray[Any], planes: NDArray[np.uint8]) -> None:
    # Law: planes[byte, k] = byte number `byte` of values[k], from the lowest up; planes [used, N], values [N] unsigned.
    for byte in range(len(planes)):
        plane = planes[byte]
        for k in range(values.size):
            plane[k] = values[k] >> np.uint64(8 * byte)


@njit(cache=True, nogil=True, error_model="numpy")
def _join(planes: NDArray[np.uint8], values: NDArray[Any]) -> None:
    # Law: values[k] = sum over bytes of planes[byte, k] << 8 * byte; planes [used, N], values [N] unsigned.
    size = np.uintp(values.size)
    first = np.uintp(0)
    one = np.uintp(1)

    # Blocks of values stay in the cache while the loop over bytes adds one plane after the other.
    while first < size:
        stop = min(size, first + np.uintp(BLOCK_VALUES))
        for byte in range(len(planes)):
            plane = planes[byte]
            shift = np.uint64(8 * byte)
            k = first
            while k < stop:
                if byte == 0:
                    values[k] = plane[k]
                else:
                    values[k] |= np.uint64(plane[k]) << shift
                k += one
        first = stop
