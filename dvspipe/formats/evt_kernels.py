"""Compiled decoders of EVT 2.0, EVT 2.1 and EVT 3.0, and the encoder of EVT 3.0; `evt` describes the formats.

A decoder takes words, the state set by earlier words, the sensor size, and arrays for the events. It decodes until the
words end, the arrays are full, or a word is invalid, and returns its progress and the new state.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..numba_cache import njit

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
CONTINUED_4 = 0x7  # not an event
# Types of both
TIME_HIGH = 0x8  # sets the upper bits of the time, and clears the lower bits
EXT_TRIGGER = 0xA  # not an event
OTHERS = 0xE  # not an event
CONTINUED = 0xF  # not an event
PADDING = 0x9999  # added by Lucid cameras: https://github.com/ros-event-camera/event_camera_renderer/issues/8
WITHOUT_LIMIT = (TIME_LOW, TIME_HIGH, CONTINUED_4, EXT_TRIGGER, OTHERS, CONTINUED)  # EVT 3.0 types with any payload

EVT2_LOW_BITS, EVT2_HIGH_BITS = 6, 28
EVT3_LOW_BITS, EVT3_HIGH_BITS = 12, 12
MAX_EVT21_EVENTS, MAX_EVT3_EVENTS = 32, 12  # events per word
MAX_EVT3_WORDS = 3  # words per event, besides TIME_HIGH
MIN_VECTOR_EVENTS = 3  # fewer events take no more words than a vector with its VECT_BASE_X

# Position of a single bit in a 32-bit number: the top five bits of its product with this de Bruijn sequence are unique
DE_BRUIJN = 0x077CB531
BIT_PLACES = np.array(
    [
        0,
        1,
        28,
        2,
        29,
        14,
        24,
        3,
        30,
        22,
        20,
        15,
        25,
        17,
        4,
        8,
        31,
        27,
        13,
        23,
        21,
        19,
        16,
        7,
        26,
        12,
        18,
        6,
        11,
        5,
        10,
        9,
    ],
    np.uint32,
)


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
def _lowest_bit(mask: np.uint32) -> tuple[np.uint32, int]:
    """Return the lowest set bit of a mask, and its position."""
    bit = mask & (~mask + np.uint32(1))
    return bit, int(BIT_PLACES[np.uintp(np.uint32(bit * np.uint32(DE_BRUIJN)) >> np.uint32(27))])


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
            mask = np.uint32(word & np.uint64(0xFFFFFFFF))
            is_invalid = bool(high < 0 or row >= height)
            while mask and not is_invalid:
                bit, place = _lowest_bit(mask)
                is_invalid = bool(base + place >= width)
                if not is_invalid:
                    t[count], x[count], y[count], on[count] = t_us, base + place, row, kind
                    count += np.uintp(1)
                mask ^= bit
        elif kind == TIME_HIGH:
            high = _next_high(high, EVT2_HIGH_BITS, np.int64((word >> np.uint64(32)) & np.uint64(0x0FFFFFFF)))
        else:
            is_invalid = kind not in (EXT_TRIGGER, OTHERS, CONTINUED)
        index += np.uintp(not is_invalid)
    return Decoded(Evt2State(high), int(index), int(count), is_invalid)


@njit(cache=True, nogil=True, error_model="numpy")
def decode_evt3(words: NDArray[np.uint16], state: Evt3State, width: int, height: int, out: EventArrays) -> Decoded:
    """Decode EVT 3.0 words.

    Word types follow one another almost at random, so branches would be mispredicted. The inner loop therefore writes
    every word as an event. If the word was not an event, the next word overwrites it. The loop stops only at payloads
    at or above a limit per word type: rare words, words before the first address, and invalid words. The arrays must
    have room for MAX_EVT3_EVENTS events per word of a block, plus one.
    """
    t, x, y, on = out
    high, low, row, base, base_on = state.high, state.low, np.int16(state.row), state.base, np.uint8(state.base_on)
    base_us, high_word = high << EVT3_LOW_BITS, np.uint16(TIME_HIGH << 12 | high & 0xFFF if high >= 0 else 0)
    limits = np.zeros(16, np.uint16)  # allocated here: an argument could alias the other arrays, and costs 4 %
    for kind_without_limit in WITHOUT_LIMIT:
        limits[kind_without_limit] = MAX_EVT_SIDE_PX
    limits[ADDR_Y] = height if row >= 0 else 0
    limits[ADDR_X] = width if row >= 0 and high >= 0 else 0
    count, index, one, is_invalid = np.uintp(0), np.uintp(0), np.uintp(1), False
    size, room, stop = np.uintp(words.size), np.uintp(t.size - 1), np.uintp(0)
    while not is_invalid:
        if index == stop:  # end of a block
            stop = min(size, index + (room - count) // np.uintp(MAX_EVT3_EVENTS))
            if index == stop:
                break
        while index < stop:
            word = words[index]
            kind, payload = np.uintp(word >> 12), np.uint16(word & 0x7FF)
            if (payload >= limits[kind]) | ((kind == TIME_HIGH) & (word != high_word)):
                break
            low = int(word & 0xFFF) if kind == TIME_LOW else low
            row = np.int16(payload) if kind == ADDR_Y else row
            t[count] = base_us + low
            x[count] = payload
            y[count] = row
            on[count] = (word >> 11) & 1
            count += np.uintp(kind == ADDR_X)
            index += one
        if index == stop:
            continue
        word = words[index]
        kind, column = np.uintp(word >> 12), int(word & 0x7FF)
        if kind == VECT_BASE_X:
            base, base_on = column, np.uint8((word >> 11) & 1)
        elif kind in (VECT_12, VECT_8):
            mask = np.uint32(word & (0xFFF if kind == VECT_12 else 0xFF))
            is_invalid = bool(high < 0 or row < 0 or base < 0)
            while mask and not is_invalid:
                bit, place = _lowest_bit(mask)
                is_invalid = bool(base + place >= width)
                if not is_invalid:
                    t[count], x[count], y[count], on[count] = base_us + low, base + place, row, base_on
                    count += one
                mask ^= bit
            base += 0 if is_invalid else (12 if kind == VECT_12 else 8)
        elif kind == TIME_HIGH:
            high = _next_high(high, EVT3_HIGH_BITS, np.int64(word & 0xFFF))
            base_us, low, high_word = high << EVT3_LOW_BITS, 0, word
        elif kind == ADDR_Y and column < height:
            row = np.int16(column)
            limits[ADDR_Y] = height
        elif word == PADDING:
            pass
        else:
            is_invalid = True
        limits[ADDR_X] = width if row >= 0 and high >= 0 else 0
        index += np.uintp(not is_invalid)
    after = Evt3State(high, low, int(row), base, int(base_on))
    return Decoded(after, int(index), int(count), is_invalid)


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
