"""Events packed into 64-bit words: sorting the words sorts the events.

Bits, from the highest down: 0; 31 bits of microseconds since the earlier frame; 1 bit noise; 15 bits row; 15 bits
column; 0; 1 bit ON. With one word per event, firing costs one store, and each pass of the sort one load and one store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.kernels import njit

Words = NDArray[np.int64]

LONGEST_INTERVAL_US = 2**31 - 1
TIME_SHIFT = 32
NOISE_SHIFT = 31
ROW_SHIFT = 16
COLUMN_SHIFT = 1
MAX_COORDINATE = 2**15 - 1
DIGIT_BITS = 8  # radix sort digit: 256 counters stay in the first-level cache
DIGITS = 1 << DIGIT_BITS


class Interval(NamedTuple):
    """Time between two frames, and a band of rows: start and length in microseconds, first row, and width in pixels."""

    start_us: int
    length_us: int
    first_row: int
    width: int


@njit(inline="always")
def copy_values(values: NDArray[Any], target: NDArray[Any]) -> None:
    """Copy values to the start of `target`; numba takes 2 s to compile `target[: values.size] = values`."""
    for k in range(values.size):
        target[k] = values[k]


@njit(cache=True, nogil=True, error_model="numpy")
def grow(words: Words) -> Words:
    """Copy the words to a new array with twice the capacity plus 64."""
    more = np.empty(2 * words.size + 64, np.int64)
    copy_values(words, more)
    return more


@njit(cache=True, nogil=True, error_model="numpy")
def sort_words(words: Words, longest: int) -> Words:
    """Sort the words: a stable radix sort by time (0 to `longest`), then an insertion sort within equal times."""
    # A word orders events by time, then signal before noise, row and column. Within a microsecond, most words are in
    # this order already, so the radix sort needs only the digits of the time. Words that are sorted cost one pass.
    ascending = 1
    while ascending < words.size and words[ascending - 1] <= words[ascending]:
        ascending += 1
    if ascending >= words.size:
        return words

    counts = np.zeros((4, DIGITS), np.uint32)
    digits = 0
    while longest >> (digits * DIGIT_BITS):
        digits += 1

    digit_mask = np.uint64(DIGITS - 1)
    one = np.uint32(1)
    for first in range(0, digits, 2):  # one pass counts two digits
        low = counts[first]
        high = counts[first + 1]
        shift = np.uint64(TIME_SHIFT + first * DIGIT_BITS)
        next_shift = np.uint64(TIME_SHIFT + (first + 1) * DIGIT_BITS)
        for word in words:
            low[np.uintp((np.uint64(word) >> shift) & digit_mask)] += one
            high[np.uintp((np.uint64(word) >> next_shift) & digit_mask)] += one

    unsorted = words
    target = np.empty_like(words)
    for digit in range(digits):
        starts = counts[digit]
        shift = np.uint64(TIME_SHIFT + digit * DIGIT_BITS)

        # Turn the counts into the index at which the words of each value start.
        before = np.uint32(0)
        for value in range(DIGITS):
            before, starts[value] = before + starts[value], before

        for word in unsorted:
            bucket = np.uintp((np.uint64(word) >> shift) & digit_mask)
            target[np.uintp(starts[bucket])] = word
            starts[bucket] += one

        # The words of the caller are not overwritten: after the first digit, a second array takes their part.
        unsorted, target = target, (np.empty_like(words) if digit == 0 and digits > 1 else unsorted)

    for index in range(1, unsorted.size):  # few remain unsorted: noise and signal within a microsecond
        word = unsorted[index]
        to = index
        while to > 0 and unsorted[to - 1] > word:
            unsorted[to] = unsorted[to - 1]
            to -= 1
        unsorted[to] = word
    return unsorted


@njit(cache=True, nogil=True, error_model="numpy")
def _merge(first: Words, second: Words) -> Words:
    """Merge two sorted arrays, without data-dependent branches."""
    merged = np.empty(first.size + second.size, np.int64)
    one = np.uintp(1)
    i = np.uintp(0)
    j = np.uintp(0)
    size = np.uintp(first.size)
    other_size = np.uintp(second.size)
    while (i < size) & (j < other_size):
        word = first[i]
        other = second[j]
        merged[i + j] = min(word, other)

        # The comparison is a number, 0 or 1, that advances one of the two.
        taken = np.uintp(word <= other)
        i = i + taken
        j = j + (one - taken)

    # One of the two is used up.
    copy_values(second[j:], merged[i + j :])
    copy_values(first[i:], merged[i + other_size :])
    return merged


def merge_words(bands: Sequence[Words]) -> Words:
    """Merge the sorted words of bands."""
    # Neighbours are merged in pairs, so each word is copied once per doubling of the number of bands.
    while len(bands) > 1:
        merged = [_merge(first, second) for first, second in zip(bands[::2], bands[1::2], strict=False)]
        left_over = bands[-1:] if len(bands) % 2 else []
        bands = [*merged, *left_over]
    return bands[0]


def columns_of(
    words: Words, start_us: int
) -> tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.int16], NDArray[np.bool_], NDArray[np.bool_]]:
    """Unpack words to the columns t, x, y, p and noise; t starts at `start_us`."""
    t = np.empty(words.size, np.int64)
    x = np.empty(words.size, np.int16)
    y = np.empty(words.size, np.int16)
    on = np.empty(words.size, np.bool_)
    noise = np.empty(words.size, np.bool_)

    _unpack(words, start_us, t, x, y, on, noise)  # returning the arrays would cost a microsecond each
    return t, x, y, on, noise


@njit(cache=True, nogil=True, error_model="numpy")
def _unpack(
    words: Words,
    start_us: int,
    t: NDArray[np.int64],
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    on: NDArray[np.bool_],
    noise: NDArray[np.bool_],
) -> None:
    """Unpack words to columns; one loop per column lets the compiler vectorize each."""
    for event in range(words.size):
        t[event] = start_us + (words[event] >> TIME_SHIFT)
    for event in range(words.size):
        x[event] = (words[event] >> COLUMN_SHIFT) & MAX_COORDINATE
    for event in range(words.size):
        y[event] = (words[event] >> ROW_SHIFT) & MAX_COORDINATE
    for event in range(words.size):
        on[event] = words[event] & 1
    for event in range(words.size):
        noise[event] = (words[event] >> NOISE_SHIFT) & 1


def rest_type(period_us: int) -> type[np.unsignedinteger[Any]]:
    """Return the smallest type that holds a refractory period: small arrays stay in the cache."""
    return np.uint16 if period_us <= np.iinfo(np.uint16).max else np.uint32


def drop_refractory(words: Words, interval: Interval, period_us: int, rest_us: NDArray[Any]) -> Words:
    """Keep sorted words that are at least `period_us` after the previous event of their pixel.

    Args:
        words: Sorted events in the interval; overwritten.
        interval: Time interval and band of rows.
        period_us: Refractory period in microseconds.
        rest_us: Rest of the refractory period of each pixel, in microseconds, at the start of the interval; updated to
            its end.
    """
    # A word of the interval may set a period that ends up to length + period after its start.
    fits = interval.length_us + period_us <= np.iinfo(rest_us.dtype).max
    until_us = rest_us if fits else rest_us.astype(np.uint32)

    reported: Words = _drop_refractory(words, interval, period_us, until_us)

    if not fits:
        rest_us[:] = until_us
    return reported


@njit(cache=True, nogil=True, error_model="numpy")
def _drop_refractory(words: Words, interval: Interval, period_us: int, until_us: NDArray[Any]) -> Words:
    """See `drop_refractory`; `until_us` counts from the start of the interval until the end of each refractory period.

    Unsigned numbers and no branches: 4 times as fast in large frames.
    """
    # An event of a pixel at t is reported if t >= until_us[pixel]; then until_us[pixel] = t + period. Only reported
    # events start a period. words [N] are sorted by time; until_us has an entry per pixel of the band.
    count = np.uintp(0)
    coordinate = np.uint64(MAX_COORDINATE)
    first_row = np.uint64(interval.first_row)
    width = np.uint64(interval.width)
    for signed_word in words:
        word = np.uint64(signed_word)
        row = ((word >> np.uint64(ROW_SHIFT)) & coordinate) - first_row
        pixel = np.uintp(row * width + ((word >> np.uint64(COLUMN_SHIFT)) & coordinate))

        since_us = np.uint32(word >> np.uint64(TIME_SHIFT))
        free_us = np.uint32(until_us[pixel])
        fires = since_us >= free_us
        until_us[pixel] = since_us + np.uint32(period_us) if fires else free_us

        # Written in any case, and overwritten by the next word if this one is dropped.
        words[count] = signed_word
        count += np.uintp(fires)

    # The rest counts from the start of the next interval.
    for i in range(until_us.size):
        until_us[i] = max(np.int64(until_us[i]) - interval.length_us, 0)
    return words[: np.int64(count)]
