"""Upper bounds for the decompressed size of compressed frames, computed from their block sizes without decompressing.

Libraries return only the size claimed by a frame; it may be missing or wrong. Definitions: RFC 8878 (Zstandard), and
lz4_Frame_format.md in the repository lz4/lz4.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
LZ4_MAGIC = b"\x04\x22\x4d\x18"
ZSTD_BLOCK_BYTES = 1 << 17  # maximum decompressed block
ZSTD_RLE = 1  # block type: one byte, repeated
LZ4_RATIO = 255  # maximum expansion: a byte extends a match by at most 255 bytes


def bound_size(file: BinaryIO, start: int, stop: int) -> int:
    """Return an upper bound for the decompressed size of the bytes `start` to `stop` - 1 of a file.

    Bytes outside frames count as stored. Frames are not validated; this is left to the decoder.
    """
    bound = 0
    while start < stop:
        file.seek(start)
        magic = file.read(len(ZSTD_MAGIC))
        if magic not in (ZSTD_MAGIC, LZ4_MAGIC):
            return bound + stop - start
        blocks = _zstd_blocks if magic == ZSTD_MAGIC else _lz4_blocks
        size, start = blocks(file, start + len(magic), stop)
        bound += size

    return bound


def _zstd_blocks(file: BinaryIO, position: int, stop: int) -> tuple[int, int]:
    """Return the maximum decompressed size of a frame, and its end position."""
    # Header, RFC 8878 section 3.1.1.1: flags; without the bit for one segment, a byte with the window size; 0 to 4
    # bytes with the number of a dictionary; 0 to 8 bytes with the size of the content.
    (flags,) = file.read(1) or b"\0"
    one_segment = flags >> 5 & 1
    dictionary_bytes = (0, 1, 2, 4)[flags & 3]
    size_bytes = (one_segment, 2, 4, 8)[flags >> 6]
    position += 2 - one_segment + dictionary_bytes + size_bytes

    # Block: 3 bytes with a bit for the last block, 2 bits with its kind, and its size. A block with one repeated byte
    # stores the decompressed size; the size of others is limited by the format.
    bound = 0
    is_last = 0
    while not is_last and position < stop:
        file.seek(position)
        head = int.from_bytes(file.read(3), "little")
        is_last = head & 1
        kind = head >> 1 & 3
        size = head >> 3

        bound += min(size, ZSTD_BLOCK_BYTES) if kind == ZSTD_RLE else ZSTD_BLOCK_BYTES
        position += 3 + (1 if kind == ZSTD_RLE else size)

    # With flag 2 (value 4), a checksum of 4 bytes follows.
    return bound, position + (flags & 4)


def _lz4_blocks(file: BinaryIO, position: int, stop: int) -> tuple[int, int]:
    """Return the maximum decompressed size of a frame, and its end position."""
    # Header, lz4_Frame_format.md: flags, limits, 8 bytes with the size of the content if flag 3 is set, 4 bytes with
    # the number of a dictionary if flag 0 is set, a checksum of one byte. The limit of blocks is 2^(8 + 2 * code).
    flags, limits = file.read(2).ljust(2, b"\0")
    max_block = 1 << 8 + 2 * (limits >> 4 & 7)
    position += 3 + (flags & 8) + 4 * (flags & 1)

    # Block: 4 bytes with its size (top bit: not compressed), the content, and a checksum if flag 4 is set. Size 0: the
    # end.
    bound = 0
    while position < stop:
        file.seek(position)
        (head,) = struct.unpack("<I", file.read(4).ljust(4, b"\0"))
        position += 4
        if not head:
            break

        size = head & 0x7FFFFFFF
        bound += min(max_block, LZ4_RATIO * size)
        position += size + (flags >> 2 & 4)

    return bound, position + (flags & 4)
