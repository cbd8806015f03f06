"""Deflate blocks of literals."""

from __future__ import annotations

import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib

from dvspipe.formats.hdf5.literals import (
    END_OF_BLOCK,
    MAX_CODE_BITS,
    MAX_OVERHEAD_BYTES,
    encode_literals,
    estimate_bits,
    find_code_lengths,
)


def encode(data: np.ndarray) -> bytes:
    out = np.empty(2 * len(data) + MAX_OVERHEAD_BYTES, np.uint8)
    return out[: encode_literals(data, out)].tobytes()


@given(values=st.integers(1, 256), rows=st.integers(1, 3000), scale=st.floats(0.05, 50), seed=st.integers(0, 99))
def test_literals_decompress_in_every_library(values: int, rows: int, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = (rng.exponential(scale, rows) % values).astype(np.uint8)
    for library in (zlib, isal_zlib):
        inflater = library.decompressobj(-zlib.MAX_WBITS)
        assert inflater.decompress(2 * encode(data)) == 2 * data.tobytes()


@given(seed=st.integers(0, 99), symbols=st.integers(1, 256), ratio=st.floats(1, 3))
def test_code_is_complete_and_its_length_limited(seed: int, symbols: int, ratio: float) -> None:
    counts = np.zeros(END_OF_BLOCK + 1, np.int64)
    counts[END_OF_BLOCK] = 1
    counts[np.random.default_rng(seed).permutation(256)[:symbols]] = np.minimum(ratio ** np.arange(symbols), 1e9)
    lengths = find_code_lengths(counts)
    assert np.array_equal(lengths > 0, counts > 0)
    assert lengths.max() <= MAX_CODE_BITS
    assert (2.0 ** -lengths[lengths > 0].astype(float)).sum() == 1


def test_literals_are_close_to_the_entropy() -> None:
    share = np.array([0.6, 0.2, 0.1, 0.05, 0.05])
    data = np.random.default_rng(0).choice(5, 65536, p=share).astype(np.uint8)
    entropy_bits = -(share * np.log2(share)).sum()
    assert entropy_bits < 8 * len(encode(data)) / 65536 < entropy_bits + 0.1


def test_estimate_tells_repeated_patterns_from_literals() -> None:
    rng = np.random.default_rng(0)
    literal_bits, referring_bits = estimate_bits(np.tile(rng.permutation(200), 300).astype(np.uint8))
    assert literal_bits > 7 > 2 > referring_bits
    literal_bits, referring_bits = estimate_bits(rng.integers(0, 2, 65536, np.uint8))
    assert 1 <= literal_bits < 1.1 < referring_bits
