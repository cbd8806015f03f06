"""Compiled decoders of EVT 2.0, EVT 2.1 and EVT 3.0, and the encoder of EVT 3.0; `evt` describes the formats.

A decoder takes words, the state set by earlier words, the sensor size, and arrays for the events. It decodes until the
words end, the arrays are full, or a word is invalid, and returns its progress and the new state.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..numba_cache import njit
from .word_masks import MASK_WORDS, find_words, highest_bit, lowest_bit

MAX_EVT_SIDE_PX = 1 << 11  # x and y have 11 bits

# Types of EVT 2.0 and 2.1 words; CD_OFF and CD_ON equal the polarity
CD_OFF = 0x0  # OFF event or vector of OFF events
CD_ON = 0x1  # ON event or vector of ON events
# Types of EVT 3.0 words
ADDR_Y = 0x0  # sets the row
ADDR_X = 0x2  # event: column and polarity
VECT_BASE_X = 0x3  # sets the first column and the polarity of vectors
VECT_12 = 0x4  # vector: one bit for each of 12 columns; the next vector begins after them
VECT_8 = 0x5  # vector of 8 columns
TIME_LOW = 0x6  # sets the lower 12 bits of the time
# Types of both
TIME_HIGH = 0x8  # sets the upper bits of the time, and clears the lower bits
EXT_TRIGGER = 0xA  # not an event
OTHERS = 0xE  # not an event
CONTINUED = 0xF  # not an event
PADDING = 0x9999  # added by Lucid cameras: https://github.com/ros-event-camera/event_camera_renderer/issues/8
TYPE, TYPE_BITS = 0xF000, 12
PAYLOAD, LOW = 0x7FF, 0xFFF  # row or column; lower bits of the time

EVT2_LOW_BITS, EVT2_HIGH_BITS = 6, 28
EVT3_LOW_BITS, EVT3_HIGH_BITS = 12, 12
MAX_EVT21_EVENTS, MAX_EVT3_EVENTS = 32, 12  # events per word
MAX_BLOCK_EVENTS = MASK_WORDS * MAX_EVT3_EVENTS  # room that decoders need
MAX_EVT3_WORDS = 3  # words per event, besides TIME_HIGH
MIN_VECTOR_EVENTS = 3  # fewer events take no more words than a vector with its VECT_BASE_X


class Evt2State(NamedTuple):
    """State of EVT 2.0 and 2.1 decoding: TIME_HIGH including overflows; -1 before the first."""

    high: int = -1


class Evt3State(NamedTuple):
    """State of EVT 3.0 decoding; -1 if not set yet.

    Args:
        high: TIME_HIGH including overflows.
        low: TIME_LOW; 0 after a new TIME_HIGH.
        row: Row from ADDR_Y.
        base: First column of the next vector, from VECT_BASE_X and later vectors.
        base_on: Polarity of vectors, 0 or 1.
    """

    high: int = -1
    low: int = 0
    row: int = -1
    base: int = -1
    base_on: int = 0


class EventArrays(NamedTuple):
    """Arrays of equal length for decoded events; `on` is 0 or 1."""

    t: NDArray[np.int64]
    x: NDArray[np.int16]
    y: NDArray[np.int16]
    on: NDArray[np.uint8]

    @classmethod
    def allocate(cls, size: int) -> EventArrays:
        """Allocate uninitialised arrays."""
        return cls(
            np.empty(size, np.int64), np.empty(size, np.int16), np.empty(size, np.int16), np.empty(size, np.uint8)
        )


class Decoded(NamedTuple):
    """Result of a decoder.

    Args:
        state: State after the decoded words.
        words: Number of decoded words.
        events: Number of events written.
        is_invalid: Whether the next word is invalid.
    """

    state: Any
    words: int
    events: int
    is_invalid: bool


@njit(cache=True, nogil=True, error_model="numpy")
def _next_high(high: int, bits: int, value: int) -> int:
    """Return TIME_HIGH including overflows for a new `value` of `bits` bits, given the previous one (-1: none)."""
    if high < 0:
        return value
    span = 1 << bits
    before = high & (span - 1)
    wrapped = before >= value + span // 2
    return high - before + value + (span if wrapped else 0)


@njit(cache=True, nogil=True, error_model="numpy")
def decode_evt2(words: NDArray[np.uint32], state: Evt2State, width: int, height: int, out: EventArrays) -> Decoded:
    """Decode EVT 2.0 words, with at most one event each."""
    t, x, y, on = out
    high = state.high
    base_us = high << EVT2_LOW_BITS
    columns, rows = np.uint32(width), np.uint32(height)
    has_time = high >= 0
    count, one, index = np.uintp(0), np.uintp(1), np.uintp(0)
    size, is_invalid = np.uintp(min(words.size, t.size)), False
    while index < size:
        word = np.uint32(words[index])
        kind = np.uint32(word >> np.uint32(28))
        if kind <= CD_ON:
            column, row = (word >> np.uint32(11)) & np.uint32(0x7FF), word & np.uint32(0x7FF)
            if (column >= columns) | (row >= rows) | (not has_time):
                is_invalid = True
                break
            t[count] = base_us + np.int64((word >> np.uint32(22)) & np.uint32(0x3F))
            x[count] = column
            y[count] = row
            on[count] = kind
            count += one
        elif kind == TIME_HIGH:
            high = _next_high(high, EVT2_HIGH_BITS, np.int64(word & np.uint32(0x0FFFFFFF)))
            base_us, has_time = high << EVT2_LOW_BITS, True
        elif kind not in (EXT_TRIGGER, OTHERS, CONTINUED):
            is_invalid = True
            break
        index += one
    return Decoded(Evt2State(high), int(index), int(count), is_invalid)


@njit(cache=True, nogil=True, error_model="numpy")
def decode_evt21(words: NDArray[np.uint64], state: Evt2State, width: int, height: int, out: EventArrays) -> Decoded:
    """Decode EVT 2.1 words with their halves in the defined order.

    A word is decoded only while the arrays have room for MAX_EVT21_EVENTS more events.
    """
    t, x, y, on = out
    high = state.high
    count, index, is_invalid = np.uintp(0), np.uintp(0), False
    while index < words.size and t.size - count >= MAX_EVT21_EVENTS and not is_invalid:
        word = np.uint64(words[index])
        kind = np.int64(word >> np.uint64(60))
        if kind <= CD_ON:
            base, row = np.int64((word >> np.uint64(43)) & np.uint64(0x7FF)), np.int64(word >> np.uint64(32)) & 0x7FF
            t_us = (high << EVT2_LOW_BITS) + np.int64((word >> np.uint64(54)) & np.uint64(0x3F))
            mask = word & np.uint64(0xFFFFFFFF)
            is_invalid = bool(high < 0 or row >= height)
            while mask and not is_invalid:
                column = base + np.int64(lowest_bit(mask))
                is_invalid = bool(column >= width)
                if not is_invalid:
                    t[count], x[count], y[count], on[count] = t_us, column, row, kind
                    count += np.uintp(1)
                mask &= mask - np.uint64(1)
        elif kind == TIME_HIGH:
            high = _next_high(high, EVT2_HIGH_BITS, np.int64((word >> np.uint64(32)) & np.uint64(0x0FFFFFFF)))
        else:
            is_invalid = kind not in (EXT_TRIGGER, OTHERS, CONTINUED)
        index += np.uintp(not is_invalid)
    return Decoded(Evt2State(high), int(index), int(count), is_invalid)


@njit(cache=True, nogil=True, error_model="numpy")
def decode_evt3(words: NDArray[np.uint16], state: Evt3State, width: int, height: int, out: EventArrays) -> Decoded:
    """Decode EVT 3.0 words.

    Words are decoded only while the arrays have room for MAX_BLOCK_EVENTS more events.
    """
    found: Decoded = _decode_blocks(words, words.size - MASK_WORDS + 1, state, width, height, out, 0)
    size = words.size - found.words
    if found.is_invalid or size == 0 or size >= MASK_WORDS:
        return found
    rest = np.full(2 * MASK_WORDS, OTHERS << TYPE_BITS, np.uint16)
    for k in range(size):  # numba takes 2 s to compile the assignment of a slice
        rest[k] = words[found.words + k]
    last = _decode_blocks(rest, size, found.state, width, height, out, found.events)
    return Decoded(last.state, found.words + min(last.words, size), last.events, last.is_invalid)


@njit(cache=True, nogil=True, error_model="numpy")
def _decode_blocks(
    words: NDArray[np.uint16], stop: int, state: Evt3State, width: int, height: int, out: EventArrays, events: int
) -> Decoded:
    """Decode blocks of MASK_WORDS words that begin before word `stop`, after the first `events` events of the arrays.

    Word types follow one another almost at random, so a branch per word would be mispredicted. Masks say which words of
    a block are events or vectors, rows, and times; each event has the last row and time before it. Blocks end before a
    new TIME_HIGH and before invalid words, since these change how later words are decoded.
    """
    high, low, row, base, base_on = state
    high_word = np.uint16(TIME_HIGH << TYPE_BITS | high & 0xFFF if high >= 0 else 0)
    count, index, is_invalid = np.uintp(events), np.uintp(0), False
    while np.int64(index) < stop and out.t.size - np.int64(count) >= MAX_BLOCK_EVENTS and not is_invalid:
        end = lowest_bit(_find_limits(words, index, high_word, width, height))
        known = _bits_below(end)
        single, vectors = (
            known & _find_types(words, index, ADDR_X, 1),
            known & _find_types(words, index, VECT_BASE_X, 3),
        )
        rows, lows = known & _find_types(words, index, ADDR_Y, 1), known & _find_types(words, index, TIME_LOW, 1)
        while True:
            place = min(lowest_bit(vectors), end)
            before = _bits_below(place)
            first = lowest_bit(single & before)
            if first < place and (high < 0 or _latest(words, index, rows & _bits_below(first), row, PAYLOAD) < 0):
                place, is_invalid = first, True
                break
            masks = single & before, rows, lows
            count = _decode_single(words, index, masks, Evt3State(high, low, row, base, base_on), out, count)
            if place == end:
                break
            now = _latest(words, index, lows & before, low, LOW), _latest(words, index, rows & before, row, PAYLOAD)
            latest = Evt3State(high, now[0], now[1], base, base_on)
            base, base_on, count, is_invalid = _decode_vector(words[index + np.uintp(place)], latest, width, out, count)
            if is_invalid:
                break
            single, vectors = single & ~before, vectors & (vectors - np.uint64(1))
        before = _bits_below(place)
        row, low = _latest(words, index, rows & before, row, PAYLOAD), _latest(words, index, lows & before, low, LOW)
        index += np.uintp(place)
        is_limit = place < MASK_WORDS and not is_invalid
        while is_limit:
            word = words[index]
            if word >> np.uint16(TYPE_BITS) == TIME_HIGH:
                high, low, high_word = _next_high(high, EVT3_HIGH_BITS, np.int64(word & np.uint16(LOW))), 0, word
            else:
                is_invalid = bool(word != PADDING)
            index += np.uintp(not is_invalid)
            is_limit = index < words.size and not is_invalid and words[index] >> np.uint16(TYPE_BITS) == TIME_HIGH
    return Decoded(Evt3State(high, low, row, base, base_on), int(np.int64(index)), int(np.int64(count)), is_invalid)


@njit(cache=True, nogil=True, error_model="numpy")
def _decode_single(
    words: NDArray[np.uint16],
    start: int,
    masks: tuple[np.uint64, np.uint64, np.uint64],
    state: Evt3State,
    out: EventArrays,
    count: np.uintp,
) -> np.uintp:
    """Decode the events of a block that are not in vectors; return the new number of events.

    Args:
        words: Words.
        start: First word of the block.
        masks: Words of the block that are events, rows and times.
        state: State before the block.
        out: Arrays for events.
        count: Number of events in the arrays.
    """
    t, x, y, on = out
    events, rows, lows = masks
    row, low, base_us = state.row, state.low, state.high << EVT3_LOW_BITS
    while events:
        place = lowest_bit(events)
        before = (np.uint64(1) << place) - np.uint64(1)
        row = _latest(words, start, rows & before, row, PAYLOAD)
        low = _latest(words, start, lows & before, low, LOW)
        word = words[start + np.uintp(place)]
        t[count] = base_us + low
        x[count] = word & np.uint16(PAYLOAD)
        y[count] = row
        on[count] = word >> np.uint16(11) & np.uint16(1)
        count += np.uintp(1)
        events &= events - np.uint64(1)
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _decode_vector(
    word: np.uint16, state: Evt3State, width: int, out: EventArrays, count: np.uintp
) -> tuple[int, int, np.uintp, bool]:
    """Decode a word of a vector; return base, base_on, the new number of events, and whether the word is invalid."""
    t, x, y, on = out
    high, low, row, base, base_on = state
    kind = word >> np.uint16(TYPE_BITS)
    if kind == VECT_BASE_X:
        return (
            int(np.int64(word & np.uint16(PAYLOAD))),
            int(np.int64(word >> np.uint16(11) & np.uint16(1))),
            count,
            False,
        )
    if high < 0 or row < 0 or base < 0:
        return base, base_on, count, True
    columns, t_us = 12 if kind == VECT_12 else 8, (high << EVT3_LOW_BITS) + low
    mask = np.uint64(word) & np.uint64((1 << columns) - 1)
    while mask:
        column = base + np.int64(lowest_bit(mask))
        if column >= width:
            return base, base_on, count, True
        t[count], x[count], y[count], on[count] = t_us, column, row, base_on
        count += np.uintp(1)
        mask &= mask - np.uint64(1)
    return base + columns, base_on, count, False


@njit(cache=True, nogil=True, error_model="numpy")
def _bits_below(place: np.uint64) -> np.uint64:
    """Return a mask of the bits below a place, 0 to 64."""
    return (np.uint64(1) << place) - np.uint64(1) if place < np.uint64(MASK_WORDS) else ~np.uint64(0)


@njit(cache=True, nogil=True, error_model="numpy")
def _latest(words: NDArray[np.uint16], start: int, mask: np.uint64, previous: int, field: int) -> int:
    """Return a field of the last word in a mask, or `previous` if the mask is empty; without a branch."""
    found = int(np.int64(words[start + np.uintp(highest_bit(mask | np.uint64(1)))] & np.uint16(field)))
    return found if mask else previous


@njit(cache=True, nogil=True, error_model="numpy")
def _find_types(words: NDArray[np.uint16], start: int, first: int, count: int) -> np.uint64:
    """Find the words of `count` types, starting at `first`."""
    kinds = np.uint16(first << TYPE_BITS), np.uint16(count << TYPE_BITS)
    found: np.uint64 = find_words(words, start, np.uint16(TYPE), kinds[0], kinds[1])
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def _find_limits(words: NDArray[np.uint16], start: int, high_word: np.uint16, width: int, height: int) -> np.uint64:
    """Find other values of TIME_HIGH than `high_word`, and invalid words; types 0x7, 0xA, 0xE and 0xF are valid."""
    address, every, unit = np.uint16(TYPE | PAYLOAD), np.uint16(0xFFFF), 1 << TYPE_BITS
    rows = find_words(words, start, address, np.uint16(height), np.uint16(ADDR_X * unit - height))
    columns = find_words(words, start, address, np.uint16(ADDR_X * unit + width), np.uint16(unit - width))
    same_high = find_words(words, start, every, high_word, np.uint16(1))
    highs = _find_types(words, start, TIME_HIGH, EXT_TRIGGER - TIME_HIGH) & ~same_high
    found: np.uint64 = rows | columns | highs | _find_types(words, start, EXT_TRIGGER + 1, OTHERS - EXT_TRIGGER - 1)
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def encode_evt3(events: EventArrays, state: Evt3State, words: NDArray[np.uint16]) -> tuple[Evt3State, int]:
    """Encode events as EVT 3.0 words; return the new state and the number of words.

    Every value of TIME_HIGH, starting at 0, is written, so decoders see each overflow. Events of equal time, row and
    polarity with increasing columns become vectors of 12, 12 and 8 columns, as sent by cameras; evutils 0.3 misreads
    other sequences.

    Args:
        events: Sorted events, not before events encoded earlier.
        state: State set by earlier words; `base` and `base_on` are not used.
        words: Output, with room for MAX_EVT3_WORDS per event plus all values of TIME_HIGH.
    """
    t, x, y, on = events
    high, low, row = state.high, state.low, state.row
    count = event = 0
    while event < t.size:
        while high < t[event] >> EVT3_LOW_BITS:
            high, low = high + 1, -1
            words[count] = TIME_HIGH << 12 | high & 0xFFF
            count += 1
        if t[event] & 0xFFF != low:
            low = t[event] & 0xFFF
            words[count] = TIME_LOW << 12 | low
            count += 1
        if y[event] != row:
            row = y[event]
            words[count] = ADDR_Y << 12 | row
            count += 1
        polarity = np.int64(on[event]) << 11
        stop = event + 1
        while (
            stop < t.size and t[stop] == t[event] and y[stop] == row and on[stop] == on[event] and x[stop] > x[stop - 1]
        ):
            stop += 1
        base, place = 0, 0  # first column of the next vector, and its index after VECT_BASE_X; 0: no vector before
        while event < stop:
            kind, width = (VECT_12, 12) if place < 2 else (VECT_8, 8)
            continues = place > 0 and x[event] < base + width
            if not continues:
                base, place, kind, width = int(x[event]), 0, VECT_12, 12
            mask, after = 0, event
            while after < stop and x[after] < base + width:
                mask |= 1 << (x[after] - base)
                after += 1
            if not continues and after - event < MIN_VECTOR_EVENTS:
                words[count] = ADDR_X << 12 | polarity | base
                count, event = count + 1, event + 1
                continue
            if not continues:
                words[count] = VECT_BASE_X << 12 | polarity | base
                count += 1
            words[count] = kind << 12 | mask
            count, event, base, place = count + 1, after, base + width, (place + 1) % 3
    return Evt3State(high, low, row), count
