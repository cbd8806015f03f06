"""Events between two frames as one 64-bit word each, whose order is the order of events.

From the highest bit down: 0; 31 bits of microseconds since the earlier frame; 1 bit noise; 15 bits row; 15 bits column;
0; 1 bit ON. One word is one store where a pixel fires, and one load and store in each pass of the sort.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Words = NDArray[np.int64]

LONGEST_INTERVAL_US = 2**31 - 1
TIME_SHIFT, NOISE_SHIFT, ROW_SHIFT, COLUMN_SHIFT = 32, 31, 16, 1
LARGEST_COORDINATE = 2**15 - 1
DIGIT_BITS = 8  # of the radix sort: 256 counters stay in the first-level cache
DIGITS = 1 << DIGIT_BITS


@njit(cache=True, nogil=True, error_model="numpy")
def grown(words: Words) -> Words:
    """The same words with room for twice as many, and 64 more."""
    more = np.empty(2 * words.size + 64, np.int64)
    more[: words.size] = words
    return more


@njit(cache=True, nogil=True, error_model="numpy")
def sort_words(words: Words, longest: int) -> Words:
    """The words in ascending order; by a stable radix sort of their times, 0 to `longest`, then of equal times."""
    ascending = 1
    while ascending < words.size and words[ascending - 1] <= words[ascending]:
        ascending += 1
    if ascending >= words.size:
        return words
    counts = np.zeros((4, DIGITS), np.uint32)
    digits = 0
    while longest >> (digits * DIGIT_BITS):
        digits += 1
    digit_mask, one = np.uint64(DIGITS - 1), np.uint32(1)
    for digit in range(digits):
        count, shift = counts[digit], np.uint64(TIME_SHIFT + digit * DIGIT_BITS)
        for word in words:
            count[np.uintp((np.uint64(word) >> shift) & digit_mask)] += one
    unsorted, target = words, np.empty_like(words)
    for digit in range(digits):
        place, shift = counts[digit], np.uint64(TIME_SHIFT + digit * DIGIT_BITS)
        before = np.uint32(0)
        for value in range(DIGITS):
            before, place[value] = before + place[value], before
        for word in unsorted:
            at = np.uintp((np.uint64(word) >> shift) & digit_mask)
            target[np.uintp(place[at])] = word
            place[at] += one
        unsorted, target = target, (np.empty_like(words) if digit == 0 and digits > 1 else unsorted)
    for index in range(1, unsorted.size):  # few are out of order now: noise beside signal in one microsecond
        word, to = unsorted[index], index
        while to > 0 and unsorted[to - 1] > word:
            unsorted[to] = unsorted[to - 1]
            to -= 1
        unsorted[to] = word
    return unsorted


@njit(cache=True, nogil=True, error_model="numpy")
def events_in_order(
    words: Words, t0_us: int, interval_us: int
) -> tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.int16], NDArray[np.bool_], NDArray[np.bool_]]:  # fmt: skip
    """The columns t (from t0_us on), x, y, p and noise of the events of an interval, in order.

    A loop for each column, which the compiler then vectorises.
    """
    ordered = sort_words(words, interval_us)
    t, x, y = np.empty(ordered.size, np.int64), np.empty(ordered.size, np.int16), np.empty(ordered.size, np.int16)
    on, noise = np.empty(ordered.size, np.bool_), np.empty(ordered.size, np.bool_)
    for event in range(ordered.size):
        t[event] = t0_us + (ordered[event] >> TIME_SHIFT)
    for event in range(ordered.size):
        x[event] = (ordered[event] >> COLUMN_SHIFT) & LARGEST_COORDINATE
    for event in range(ordered.size):
        y[event] = (ordered[event] >> ROW_SHIFT) & LARGEST_COORDINATE
    for event in range(ordered.size):
        on[event] = ordered[event] & 1
    for event in range(ordered.size):
        noise[event] = (ordered[event] >> NOISE_SHIFT) & 1
    return t, x, y, on, noise


@njit(cache=True, nogil=True, error_model="numpy")
def drop_refractory(
    words: Words, t0_us: int, period_us: int, first_row: int, width: int, last_us: NDArray[np.int64]
) -> Words:  # fmt: skip
    """The sorted words without those within `period_us` of their pixel's last event; notes these times in last_us."""
    count = 0
    for word in words:
        row = ((word >> ROW_SHIFT) & LARGEST_COORDINATE) - first_row
        pixel = np.uintp(row * width + ((word >> COLUMN_SHIFT) & LARGEST_COORDINATE))
        t_us = t0_us + (word >> TIME_SHIFT)
        if t_us - last_us[pixel] >= period_us:
            last_us[pixel] = t_us
            words[count] = word
            count += 1
    return words[:count]
