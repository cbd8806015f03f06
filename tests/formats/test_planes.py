"""HDF5 chunks of shuffled bytes."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from facts import raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.formats.hdf5.planes import compress_chunk, decompress_chunk

TYPES = (np.uint8, np.uint16, np.uint32, np.int64, np.uint64)


@given(dtype=st.sampled_from(TYPES), bits=st.integers(0, 64), rows=st.integers(0, 9000), seed=st.integers(0, 99))
def test_compressed_chunk_is_readable_by_zlib(dtype: type, bits: int, rows: int, seed: int) -> None:
    largest = 2 ** min(bits, 8 * np.dtype(dtype).itemsize) - 1
    values = np.random.default_rng(seed).integers(0, largest, rows, np.uint64, endpoint=True).astype(dtype)
    content = compress_chunk(values)
    assert zlib.decompress(content) == values.view(np.uint8).reshape(rows, values.itemsize).T.tobytes()
    found = np.empty_like(values)
    decompress_chunk(content, found, shuffled=True)
    assert np.array_equal(found, values)


def test_negative_values_and_strided_columns_are_kept() -> None:
    values = np.arange(-70_000, 70_000)[::2]
    found = np.empty(len(values), np.int64)
    decompress_chunk(compress_chunk(values), found, shuffled=True)
    assert np.array_equal(found, values)


@pytest.mark.parametrize("rows", [0, 1, 5000])
def test_padding_is_zeros_after_the_rows(rows: int) -> None:
    values = np.random.default_rng(0).integers(0, 1 << 20, rows)
    content, found = compress_chunk(values, 65536 - rows), np.ones(65536, np.int64)
    decompress_chunk(content, found, shuffled=True)
    assert np.array_equal(found[:rows], values)
    assert not found[rows:].any()
    assert len(content) < 3 * rows + 4000


def test_chunks_of_other_writers_are_decompressed() -> None:
    for values in (np.arange(5000), np.full(5000, 1 << 60), np.zeros(5000, np.int64)):
        found = np.empty(5000, np.int64)
        decompress_chunk(zlib.compress(values.view(np.uint8).reshape(-1, 8).T.tobytes()), found, shuffled=True)
        assert np.array_equal(found, values)


def test_corrupted_chunks_raise() -> None:
    values = np.random.default_rng(0).integers(0, 1000, 5000)
    content, found = compress_chunk(values), np.empty(5000, np.int64)
    for wrong in (content[:-1], zlib.compress(bytes(40_001)), zlib.compress(bytes(39_999))):
        with raises(ValueError, "40000"):
            decompress_chunk(wrong, found, shuffled=True)
    for place in (0, 2500, len(content) - 1):
        wrong = content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]
        with pytest.raises((ValueError, zlib.error)):
            decompress_chunk(wrong, found, shuffled=True)
