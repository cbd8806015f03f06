"""How many bytes compressed frames can decompress to, found from the sizes of their blocks without decompressing.

Libraries return only the size that a frame claims, which may be absent or wrong. Definitions: RFC 8878 (Zstandard), and
lz4_Frame_format.md in the repository lz4/lz4.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

ZSTD_MAGIC, LZ4_MAGIC = b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"
ZSTD_BLOCK_BYTES = 1 << 17  # of the largest block, decompressed
ZSTD_RLE = 1  # type of a block that is one byte, repeated
LZ4_RATIO = 255  # a byte continues a match by 255 bytes at most


def bound_size(file: BinaryIO, start: int, stop: int) -> int:
    """Return the largest size of what the bytes `start` to `stop` - 1 of a file decompress to.

    Bytes that are no frame count as they are. Whether the frames are valid is for their decoder to find.
    """
    most = 0
    while start < stop:
        file.seek(start)
        magic = file.read(len(ZSTD_MAGIC))
        if magic not in (ZSTD_MAGIC, LZ4_MAGIC):
            return most + stop - start
        blocks = _zstd_blocks if magic == ZSTD_MAGIC else _lz4_blocks
        size, start = blocks(file, start + len(magic), stop)
        most += size
    return most


def _zstd_blocks(file: BinaryIO, position: int, stop: int) -> tuple[int, int]:
    """Return the largest size of the blocks of a frame, and where it ends."""
    (flags,) = file.read(1) or b"\0"
    one_segment = flags >> 5 & 1
    position += 2 - one_segment + (0, 1, 2, 4)[flags & 3] + (one_segment, 2, 4, 8)[flags >> 6]
    most = is_last = 0
    while not is_last and position < stop:
        file.seek(position)
        head = int.from_bytes(file.read(3), "little")
        is_last, kind, size = head & 1, head >> 1 & 3, head >> 3
        most += min(size, ZSTD_BLOCK_BYTES) if kind == ZSTD_RLE else ZSTD_BLOCK_BYTES
        position += 3 + (1 if kind == ZSTD_RLE else size)
    return most, position + (flags & 4)


def _lz4_blocks(file: BinaryIO, position: int, stop: int) -> tuple[int, int]:
    """Return the largest size of the blocks of a frame, and where it ends."""
    flags, limits = file.read(2).ljust(2, b"\0")
    most_of_block = 1 << 8 + 2 * (limits >> 4 & 7)
    position += 3 + (flags & 8) + 4 * (flags & 1)
    most = 0
    while position < stop:
        file.seek(position)
        (head,) = struct.unpack("<I", file.read(4).ljust(4, b"\0"))
        position += 4
        if not head:
            break
        size = head & 0x7FFFFFFF
        most += min(most_of_block, LZ4_RATIO * size)
        position += size + (flags >> 2 & 4)
    return most, position + (flags & 4)
