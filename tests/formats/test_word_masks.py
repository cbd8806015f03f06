"""Masks of 16-bit words in compiled functions."""

from __future__ import annotations

import numpy as np
from numba import njit

from dvspipe.formats.word_masks import MASK_WORDS, find_words, highest_bit, lowest_bit


@njit
def find(words: np.ndarray, start: int, field: int, first: int, count: int) -> np.uint64:
    return find_words(words, np.uintp(start), np.uint16(field), np.uint16(first), np.uint16(count))


@njit
def find_bits(mask: np.uint64) -> tuple[np.uint64, np.uint64]:
    return lowest_bit(mask), highest_bit(mask)


def test_bit_k_is_for_word_k_after_the_start() -> None:
    words = np.random.default_rng(0).integers(0, 1 << 16, 300, np.uint16)
    for start, field, first, count in (
        (0, 0xFFFF, 0, 0x8000),
        (7, 0xF000, 0x2000, 0x1000),
        (236, 0xF7FF, 0xB001, 0x4FFF),
    ):
        value = words[start : start + MASK_WORDS] & field
        expected = (value >= first) & (value < first + count)
        mask = int(find(words, start, field, first, count))
        assert [mask >> k & 1 for k in range(MASK_WORDS)] == expected.tolist()


def test_lowest_and_highest_bit_of_a_mask() -> None:
    assert find_bits(np.uint64(0b101000)) == (3, 5)
    assert find_bits(np.uint64(1 << 63)) == (63, 63)
    assert find_bits(np.uint64(0)) == (64, 2**64 - 1)
