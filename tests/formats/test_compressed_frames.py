from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dvspipe.formats.compressed_frames import ZSTD_MAGIC, bound_size

lz4 = pytest.importorskip("lz4.frame", reason="the extra ros is not installed")
zstd = pytest.importorskip("backports.zstd", reason="the extra ros is not installed")


def stream(content: bytes) -> bytes:
    """Compress to a Zstandard frame without a content size."""
    compressor = zstd.ZstdCompressor()
    return bytes(compressor.compress(content) + compressor.flush())


CODERS: dict[str, Callable[[bytes], Any]] = {
    "zstd": zstd.compress,
    "zstd without a size": stream,
    "zstd with a checksum": lambda content: zstd.compress(
        content, options={zstd.CompressionParameter.checksum_flag: 1}
    ),
    "lz4": lz4.compress,
    "lz4 with checksums": lambda content: lz4.compress(
        content, content_checksum=True, block_checksum=True, store_size=False, block_size=lz4.BLOCKSIZE_MAX4MB
    ),
}


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("size", [0, 1, 1000, 300_000, 5_000_000])
def test_bound_exceeds_decompressed_size_by_at_most_one_block_per_frame(coder: str, size: int) -> None:
    noise = np.random.default_rng(0).bytes(size)
    for content in (bytes(size), noise, b"abcd" * (size // 4)):
        packed = CODERS[coder](content) * 2
        most = bound_size(io.BytesIO(b"head" + packed), 4, 4 + len(packed))
        block = 4 << 20 if "lz4" in coder else 1 << 17
        assert 2 * len(content) <= most <= 2 * (len(content) + block)


def test_decompression_bomb_is_bounded_by_its_blocks() -> None:
    block = (ord("a") << 24 | 131072 << 3 | 1 << 1).to_bytes(4, "little")
    frame = ZSTD_MAGIC + b"\x00\x38" + block * 1000 + (1).to_bytes(3, "little")
    assert bound_size(io.BytesIO(frame), 0, len(frame)) == 1001 << 17
    assert len(zstd.decompress(frame)) == 1000 << 17


def test_bytes_outside_frames_count_as_stored() -> None:
    assert bound_size(io.BytesIO(bytes(100)), 10, 90) == 80
    assert bound_size(io.BytesIO(ZSTD_MAGIC), 0, 4) <= 1 << 17
