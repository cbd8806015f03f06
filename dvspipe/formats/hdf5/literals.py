"""Deflate blocks of literals: bytes in a Huffman code, without references to earlier bytes (RFC 1951).

Columns of events have planes with few values in an almost random order: polarities, the upper bytes of x and y. For
these, blocks of literals have 0.8 to 0.92 of the size of ISA-L's blocks, take 0.2 to 0.4 of the time to compress, and
0.55 to 0.8 of the time to decompress.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...numba_cache import njit

BYTES, END_OF_BLOCK = 256, 256  # number of literals; symbol after the last one
MIN_SHARE = 9  # 2^-9: symbols count as at least this share, so codes have at most MAX_CODE_BITS bits
MAX_CODE_BITS = 14  # a code of depth d needs weights in the ratio of Fibonacci numbers: F(16) > 1.5 * 2^9
LENGTH_CODE_BITS, LENGTH_CODES, SKIPPED_LENGTH_CODES = 4, 19, 3  # all code lengths in 4 bits; no run lengths
BLOCK_HEADER, HEADER_BITS = 0b100 | 1 << 8 | (LENGTH_CODES - 4) << 13, 17  # dynamic codes: 257 symbols, 2 distances
DISTANCES = 2  # unused; zlib expects a complete code
MAX_OVERHEAD_BYTES = 256  # header and end of a block
EMPTY_BLOCK = (0, 0, 0xFF, 0xFF)  # a stored block without its type
SAMPLE_BYTES = 2048
MATCH_BITS, MIN_MATCH, HASH_BITS = 12, 4, 11  # fitted to ISA-L, level 1; the choice adds at most 1.5 % to a file
HASH_FACTOR = 0x9E3779B1


@njit(cache=True, nogil=True, error_model="numpy")
def estimate_bits(data: NDArray[np.uint8]) -> tuple[float, float]:
    """Estimate the bits per byte of compressed data, by its first bytes: as literals, and with references."""
    size = min(data.size, SAMPLE_BYTES)
    counts, costs, literal_bits = np.zeros(BYTES, np.int64), np.zeros(BYTES), 0.0
    for k in range(size):
        counts[data[k]] += 1
    for value in range(BYTES):
        if counts[value]:
            costs[value] = max(1.0, math.log2(size / counts[value]))
            literal_bits += counts[value] * costs[value]
    latest, referring_bits, place = np.zeros(1 << HASH_BITS, np.int64), 0.0, 0
    while place < size:
        length = 0
        if place + MIN_MATCH <= size:
            key = np.uint32(0)
            for k in range(MIN_MATCH):
                key = key << np.uint32(8) | np.uint32(data[place + k])
            key = np.uint32(key * np.uint32(HASH_FACTOR)) >> np.uint32(32 - HASH_BITS)
            earlier, latest[key] = latest[key], place
            while earlier < place and place + length < size and data[earlier + length] == data[place + length]:
                length += 1
        referring_bits += MATCH_BITS if length >= MIN_MATCH else costs[data[place]]
        place += length if length >= MIN_MATCH else 1
    return literal_bits / size, referring_bits / size


@njit(cache=True, nogil=True, error_model="numpy")
def encode_literals(data: NDArray[np.uint8], out: NDArray[np.uint8]) -> int:
    """Compress bytes to one block of literals and an empty block that ends at a byte boundary; return their size.

    Args:
        data: Bytes, [N].
        out: Output, with room for 2 N + MAX_OVERHEAD_BYTES bytes.
    """
    used_bits = np.uint8(0)
    for value in data:
        used_bits |= value
    value_bits = 1 if used_bits < 2 else 2 if used_bits < 4 else 4 if used_bits < 16 else 8
    words = _pack(data, value_bits)  # the codes of several small values are joined in a table
    counts = _count_values(words, value_bits)
    for value in data[words.size * (8 // value_bits) :]:
        counts[value] += 1
    lengths = find_code_lengths(counts)
    codes = _assign_codes(lengths)
    position, bits, count = _write_header(lengths, out)
    word_codes, word_lengths = _tabulate(codes, lengths, value_bits)
    place, size, one, two = np.uintp(0), np.uintp(words.size), np.uintp(1), np.uintp(2)
    while place + two <= size:
        a, b = words[place], words[place + one]
        bits |= (word_codes[a] | word_codes[b] << word_lengths[a]) << count
        position, bits, count = _flush(out, position, bits, count + word_lengths[a] + word_lengths[b])
        place += two
    if place < size:
        a = words[place]
        position, bits, count = _flush(out, position, bits | word_codes[a] << count, count + word_lengths[a])
    for value in data[words.size * (8 // value_bits) :]:
        bits |= codes[value] << count
        position, bits, count = _flush(out, position, bits, count + np.uint64(lengths[value]))
    bits |= codes[END_OF_BLOCK] << count
    count += np.uint64(lengths[END_OF_BLOCK]) + np.uint64(3 + 7)  # type of a stored block; rounded up to bytes
    position, _, _ = _flush(out, position, bits, count)
    for k, byte in enumerate(EMPTY_BLOCK):
        out[position + np.uintp(k)] = byte
    return int(position) + len(EMPTY_BLOCK)


@njit(cache=True, nogil=True, error_model="numpy")
def _pack(data: NDArray[np.uint8], value_bits: int) -> NDArray[np.uint8]:
    """Return words of 8 bits with as many values as fit, the first one lowest; a rest of `data` is left."""
    words = data
    while value_bits < 8:
        pairs = words[: words.size // 2 * 2].view(np.uint16)
        words = np.empty(pairs.size, np.uint8)
        for k in range(pairs.size):
            words[k] = pairs[k] | pairs[k] >> np.uint16(8 - value_bits)
        value_bits *= 2
    return words


@njit(cache=True, nogil=True, error_model="numpy")
def _count_values(words: NDArray[np.uint8], value_bits: int) -> NDArray[np.int64]:
    """Return how often each symbol occurs, int64 [257]: the values in words, and one END_OF_BLOCK."""
    turns = np.zeros((4, BYTES), np.uint32)  # counting the same word twice in a row would wait for memory
    one, four, place, size = np.uintp(1), np.uintp(4), np.uintp(0), np.uintp(words.size)
    while place + four <= size:
        turns[0, words[place]] += np.uint32(1)
        turns[1, words[place + one]] += np.uint32(1)
        turns[2, words[place + one + one]] += np.uint32(1)
        turns[3, words[place + one + one + one]] += np.uint32(1)
        place += four
    while place < size:
        turns[0, words[place]] += np.uint32(1)
        place += one
    counts = np.zeros(END_OF_BLOCK + 1, np.int64)
    counts[END_OF_BLOCK] = 1
    for word in range(BYTES):
        times = np.int64(turns[0, word]) + turns[1, word] + turns[2, word] + turns[3, word]
        for shift in range(0, 8, value_bits):
            counts[word >> shift & (1 << value_bits) - 1] += times
    return counts


@njit(cache=True, nogil=True, error_model="numpy")
def _tabulate(
    codes: NDArray[np.uint64], lengths: NDArray[np.uint8], value_bits: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the joined codes of the values of each word, and their lengths."""
    word_codes, word_lengths = np.zeros(BYTES, np.uint64), np.zeros(BYTES, np.uint64)
    for word in range(BYTES):
        for shift in range(0, 8, value_bits):
            value = word >> shift & (1 << value_bits) - 1
            word_codes[word] |= codes[value] << word_lengths[word]
            word_lengths[word] += np.uint64(lengths[value])
    return word_codes, word_lengths


@njit(cache=True, nogil=True, error_model="numpy")
def find_code_lengths(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the lengths of a Huffman code, uint8 like `counts`, at most MAX_CODE_BITS; 0: the symbol does not occur.

    Args:
        counts: Number of occurrences of each symbol; at least two are not 0.
    """
    least, leaves = counts.sum() >> MIN_SHARE, 0
    symbols, weight = np.zeros(len(counts), np.int64), np.zeros(2 * len(counts), np.int64)
    for symbol in range(len(counts)):
        if counts[symbol]:  # insert it: numba takes 3 s to compile a sort
            place, leaves = leaves, leaves + 1
            while place > 0 and weight[place - 1] > max(counts[symbol], least):
                symbols[place], weight[place] = symbols[place - 1], weight[place - 1]
                place -= 1
            symbols[place], weight[place] = symbol, max(counts[symbol], least)
    nodes, parent = 2 * leaves - 1, np.zeros(2 * len(counts), np.int64)
    leaf, node = 0, leaves  # next leaf and next node without a parent; both are sorted
    for new in range(leaves, nodes):
        for _ in range(2):
            if leaf < leaves and (node >= new or weight[leaf] <= weight[node]):
                child, leaf = leaf, leaf + 1
            else:
                child, node = node, node + 1
            parent[child] = new
            weight[new] += weight[child]
    depth, lengths = np.zeros(2 * len(counts), np.uint8), np.zeros(len(counts), np.uint8)
    for child in range(nodes - 2, -1, -1):
        depth[child] = depth[parent[child]] + 1
    for k in range(leaves):
        lengths[symbols[k]] = depth[k]
    return lengths


@njit(cache=True, nogil=True, error_model="numpy")
def _assign_codes(lengths: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the canonical codes, first bit lowest."""
    codes, following = np.zeros(len(lengths), np.uint64), 0
    for bits in range(1, MAX_CODE_BITS + 1):
        following <<= 1
        for symbol in range(len(lengths)):
            if lengths[symbol] == bits:
                codes[symbol] = _reverse(following, bits)
                following += 1
    return codes


@njit(cache=True, nogil=True, error_model="numpy")
def _reverse(code: int, count: int) -> np.uint64:
    found = 0
    for k in range(count):
        found |= (code >> k & 1) << (count - 1 - k)
    return np.uint64(found)


@njit(cache=True, nogil=True, error_model="numpy")
def _write_header(lengths: NDArray[np.uint8], out: NDArray[np.uint8]) -> tuple[np.uintp, np.uint64, np.uint64]:
    """Write the type of a block and its code lengths; return the output position, and the bits after it."""
    position, bits, count = np.uintp(0), np.uint64(BLOCK_HEADER), np.uint64(HEADER_BITS)
    for k in range(LENGTH_CODES):
        bits |= np.uint64(0 if k < SKIPPED_LENGTH_CODES else LENGTH_CODE_BITS) << count
        position, bits, count = _flush(out, position, bits, count + np.uint64(3))
    for k in range(len(lengths) + DISTANCES):
        length = int(lengths[k]) if k < len(lengths) else 1
        bits |= _reverse(length, LENGTH_CODE_BITS) << count
        position, bits, count = _flush(out, position, bits, count + np.uint64(LENGTH_CODE_BITS))
    return position, bits, count


@njit(cache=True, nogil=True, error_model="numpy")
def _flush(
    out: NDArray[np.uint8], position: np.uintp, bits: np.uint64, count: np.uint64
) -> tuple[np.uintp, np.uint64, np.uint64]:
    """Write `count` bits; return the position after their complete bytes, and the remaining bits, fewer than 8."""
    for k in range(8):  # compiled to one instruction
        out[position + np.uintp(k)] = bits >> np.uint64(8 * k)
    complete = count & np.uint64(0x78)
    return position + np.uintp(count >> np.uint64(3)), bits >> complete, count & np.uint64(7)
