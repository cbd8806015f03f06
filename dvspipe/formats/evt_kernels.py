"""Compiled decoders of EVT 2.0, EVT 2.1 and EVT 3.0, and the encoder of EVT 3.0; `evt` describes the formats.

A decoder takes words, the state set by earlier words, the sensor size, and arrays for the events. It decodes until the
words end, the arrays are full, or a word is invalid, and returns its progress and the new state.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.kernels import njit

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
TYPE_BITS = 12  # bits below the type
PAYLOAD = 0x7FF  # row or column
LOW = 0xFFF  # lower bits of the time

EVT2_LOW_BITS = 6
EVT2_HIGH_BITS = 28
EVT3_LOW_BITS = 12
EVT3_HIGH_BITS = 12
MAX_EVT21_EVENTS = 32  # events per word
MAX_EVT3_EVENTS = 12
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

    # The counter wraps at 2^bits: it did if it decreases by half of its range or more, as in OpenEB. A smaller decrease
    # is decoded as it is, and gives unsorted events.
    span = 1 << bits
    before = high & (span - 1)
    wrapped = before >= value + span // 2

    return high - before + value + (span if wrapped else 0)


@njit(cache=True, nogil=True, error_model="numpy")
def decode_evt2(words: NDArray[np.uint32], state: Evt2State, width: int, height: int, out: EventArrays) -> Decoded:
    """Decode EVT 2.0 words, with at most one event each."""
    # Word: bits 31-28 type, 27-22 lower bits of the time, 21-11 column, 10-0 row; TIME_HIGH: 27-0 upper bits.
    # An event's time in us is high << 6 | low, so base_us = high << 6 is computed once per TIME_HIGH.
    #
    # index is the next word, count the next free place of t, x, y and on. They are unsigned, because a signed index
    # costs a test for negative values; so are their steps, because unsigned + signed is float64 in numba.
    t, x, y, on = out
    high = state.high
    base_us = high << EVT2_LOW_BITS
    columns = np.uint32(width)
    rows = np.uint32(height)
    has_time = high >= 0

    count = np.uintp(0)
    one = np.uintp(1)
    index = np.uintp(0)
    size = np.uintp(min(words.size, t.size))  # a word has at most one event, so the arrays cannot overflow
    is_invalid = False
    while index < size:
        word = np.uint32(words[index])
        kind = np.uint32(word >> np.uint32(28))
        if kind <= CD_ON:
            column = (word >> np.uint32(11)) & np.uint32(0x7FF)
            row = word & np.uint32(0x7FF)
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
            base_us = high << EVT2_LOW_BITS
            has_time = True
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
    # Word: bits 63-60 type, 59-54 lower bits of the time, 53-43 first column, 42-32 row, 31-0 mask: an event in column
    # base + i for each bit i, all at time high << 6 | low. TIME_HIGH: 59-32 upper bits of the time.
    #
    # index is the next word, count the next free place of t, x, y and on; unsigned as in `decode_evt2`.
    t, x, y, on = out
    high = state.high
    count = np.uintp(0)
    index = np.uintp(0)
    is_invalid = False
    while index < words.size and t.size - count >= MAX_EVT21_EVENTS and not is_invalid:
        word = np.uint64(words[index])
        kind = np.int64(word >> np.uint64(60))
        if kind <= CD_ON:
            base = np.int64((word >> np.uint64(43)) & np.uint64(0x7FF))
            row = np.int64(word >> np.uint64(32)) & 0x7FF
            t_us = (high << EVT2_LOW_BITS) + np.int64((word >> np.uint64(54)) & np.uint64(0x3F))
            mask = word & np.uint64(0xFFFFFFFF)
            is_invalid = bool(high < 0 or row >= height)

            # From the lowest bit up; only the columns of events have to be inside the sensor.
            column = base
            while mask and not is_invalid:
                if mask & np.uint64(1):
                    is_invalid = bool(column >= width)
                    if not is_invalid:
                        t[count] = t_us
                        x[count] = column
                        y[count] = row
                        on[count] = kind
                        count += np.uintp(1)
                mask >>= np.uint64(1)
                column += 1
        elif kind == TIME_HIGH:
            high = _next_high(high, EVT2_HIGH_BITS, np.int64((word >> np.uint64(32)) & np.uint64(0x0FFFFFFF)))
        else:
            is_invalid = kind not in (EXT_TRIGGER, OTHERS, CONTINUED)
        index += np.uintp(not is_invalid)

    return Decoded(Evt2State(high), int(index), int(count), is_invalid)


@njit(cache=True, nogil=True, error_model="numpy")
def decode_evt3(words: NDArray[np.uint16], state: Evt3State, width: int, height: int, out: EventArrays) -> Decoded:
    """Decode EVT 3.0 words.

    A word sets a part of the state (row, first column of vectors, time), or it is one event (ADDR_X) or a vector of
    events with the row and time set before. Types that are not events are skipped. Words are decoded only while the
    arrays have room for MAX_EVT3_EVENTS more events.
    """
    # Word: bits 15-12 type, 11-0 payload: of ADDR_X, ADDR_Y and VECT_BASE_X, bit 11 is the polarity and 10-0 a column
    # or row; of vectors, a mask with column base + k in bit k; of times, 12 bits of the time, high << 12 | low.
    #
    # index is the next word, count the next free place of t, x, y and on; unsigned as in `decode_evt2`.
    t, x, y, on = out
    high, low, row, base, base_on = state
    count = np.uintp(0)
    index = np.uintp(0)
    is_invalid = False
    while index < words.size and t.size - count >= MAX_EVT3_EVENTS:
        word = words[index]
        kind = word >> np.uint16(TYPE_BITS)
        payload = int(np.int64(word & np.uint16(PAYLOAD)))
        polarity = int(np.int64(word >> np.uint16(11) & np.uint16(1)))

        if kind == ADDR_X:
            is_invalid = bool((payload >= width) | (high < 0) | (row < 0))
            if not is_invalid:
                t[count] = (high << EVT3_LOW_BITS) + low
                x[count] = payload
                y[count] = row
                on[count] = polarity
                count += np.uintp(1)
        elif kind == ADDR_Y:
            is_invalid = bool(payload >= height)
            row = payload
        elif kind == TIME_LOW:
            low = int(np.int64(word & np.uint16(LOW)))
        elif kind == VECT_BASE_X:
            base = payload
            base_on = polarity
        elif kind in (VECT_12, VECT_8):
            # All events of a vector have the current time and row.
            columns = 12 if kind == VECT_12 else 8
            is_invalid = bool((high < 0) | (row < 0) | (base < 0))

            # A loop over the columns of the vector; only columns with an event have to be inside the sensor.
            for k in range(columns):
                if is_invalid or not word >> np.uint16(k) & np.uint16(1):
                    continue
                is_invalid = bool(base + k >= width)
                if not is_invalid:
                    t[count] = (high << EVT3_LOW_BITS) + low
                    x[count] = base + k
                    y[count] = row
                    on[count] = base_on
                    count += np.uintp(1)
            base += 0 if is_invalid else columns  # an error reports the first column of its vector
        elif kind == TIME_HIGH:
            # Cameras repeat TIME_HIGH; only a new value clears the lower bits.
            value = int(np.int64(word & np.uint16(LOW)))
            if high < 0 or value != high & LOW:
                high = _next_high(high, EVT3_HIGH_BITS, value)
                low = 0
        else:
            is_known = kind in (EXT_TRIGGER, OTHERS, CONTINUED, CONTINUED_4)
            is_invalid = not is_known and word != PADDING

        if is_invalid:
            break
        index += np.uintp(1)

    return Decoded(Evt3State(high, low, row, base, base_on), int(index), int(count), is_invalid)


@njit(cache=True, nogil=True, error_model="numpy")
def encode_evt3(events: EventArrays, state: Evt3State, words: NDArray[np.uint16]) -> tuple[Evt3State, int]:
    """Encode sorted events as EVT 3.0 words; return the new state and the number of words.

    `words` has room for MAX_EVT3_WORDS words per event and for all values of TIME_HIGH.

    Every value of TIME_HIGH, starting at 0, is written, so decoders see each overflow. Events of equal time, row and
    polarity with increasing columns become vectors of 12, 12 and 8 columns, as sent by cameras; evutils 0.3 misreads
    other sequences.
    """
    # Words are made as `decode_evt3` reads them. event is the next event, count the number of words so far.
    # high, low and row are what a decoder knows; a word sets one only if it changes (-1: must be set).
    #
    # base is the first column of the next vector. vector is its index in a run of vectors of 12, 12 and 8 columns,
    # which together cover 32; 0: a run begins.
    t, x, y, on = events
    high, low, row, _, _ = state
    count = 0
    event = 0
    while event < t.size:
        while high < t[event] >> EVT3_LOW_BITS:
            high += 1
            low = -1
            words[count] = TIME_HIGH << TYPE_BITS | high & LOW
            count += 1
        if t[event] & LOW != low:
            low = t[event] & LOW
            words[count] = TIME_LOW << TYPE_BITS | low
            count += 1
        if y[event] != row:
            row = y[event]
            words[count] = ADDR_Y << TYPE_BITS | row
            count += 1

        # Events event to stop - 1 have the same time, row and polarity, and increasing columns.
        polarity = np.int64(on[event]) << 11
        stop = event + 1
        while (
            stop < t.size and t[stop] == t[event] and y[stop] == row and on[stop] == on[event] and x[stop] > x[stop - 1]
        ):
            stop += 1

        base = 0
        vector = 0
        while event < stop:
            kind = VECT_12 if vector < 2 else VECT_8
            width = 12 if vector < 2 else 8

            # A decoder places a vector directly after the previous one, so a run continues only with an event there.
            continues = vector > 0 and x[event] < base + width
            if not continues:
                base = int(x[event])
                vector = 0
                kind = VECT_12
                width = 12

            # The vector has the events event to after - 1.
            mask = 0
            after = event
            while after < stop and x[after] < base + width:
                mask |= 1 << (x[after] - base)
                after += 1

            if not continues and after - event < MIN_VECTOR_EVENTS:
                words[count] = ADDR_X << TYPE_BITS | polarity | base
                count += 1
                event += 1
                continue

            if not continues:
                words[count] = VECT_BASE_X << TYPE_BITS | polarity | base
                count += 1
            words[count] = kind << TYPE_BITS | mask
            count += 1
            event = after
            base += width
            vector = (vector + 1) % 3

    return Evt3State(high, low, row), count
