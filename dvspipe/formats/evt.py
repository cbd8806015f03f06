"""Prophesee's raw camera streams (`.raw`): EVT 2.0, EVT 2.1, EVT 3.0.

The file has header lines `% key value`, then little-endian words with their type in the top four bits; from the top
bit down:

    EVT 2.0, 32 bits   type 4, time 6, x 11, y 11
    EVT 2.1, 64 bits   type 4, time 6, x 11, y 11, mask 32: an event at x + i for each bit i
    EVT 3.0, 16 bits   type 4, payload 12; time, row and base column keep their values until another word sets them

Definition: docs.prophesee.ai, Data Encoding Formats. Points left open there follow the manufacturer's decoder (OpenEB,
hal/decoders):

- A time consists of TIME_HIGH, above the six low bits in the word (EVT 2) or above the last TIME_LOW (EVT 3). A new
  value of TIME_HIGH sets the low bits to zero; a repeated value changes nothing (cameras repeat it every 16 us). All
  events of an EVT 3.0 vector have the current time.
- TIME_HIGH has overflowed (after 16.8 s, or 4 h 46 min) if it decreases by half of its range or more. Smaller
  decreases are decoded as they are, and give unsorted events.
- Triggers, OTHERS and CONTINUED contain no events, nor does the word 0x9999, the padding of Lucid cameras in EVT 3.0.
- Errors are reserved types, events outside the sensor, and events before the words that they need (time, row, base
  column). OpenEB drops such events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import FormatError
from ..base.kernels import njit
from ..events import Events, SensorSize
from .hints import Hints
from .source import (
    Format,
    Source,
    StoredColumns,
    WriteOptions,
    check_range,
    parse_fields,
    parse_sensor,
    read_header,
    read_records,
)

MAX_EVT_SIDE_PX = 1 << 11  # x and y have 11 bits
PAYLOAD = MAX_EVT_SIDE_PX - 1

# Types of EVT 2.0 and 2.1 words
CD_ON = 0x1  # (vector of) ON events; 0: OFF events
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
PADDING = 0x9999  # https://github.com/ros-event-camera/event_camera_renderer/issues/8
TYPE_BITS = 12  # bits below the type
EVENT = np.dtype([("t", np.int64), ("x", np.int16), ("y", np.int16), ("p", np.bool_)], align=True)

EVT2_LOW_BITS = 6
EVT2_HIGH_BITS = 28
EVT2_END_US = 1 << EVT2_LOW_BITS + EVT2_HIGH_BITS
EVT3_BITS = 12  # bits of TIME_LOW, and of TIME_HIGH
EVT2_HEADER = """\
% evt 2.0
% format EVT2;height={height};width={width}
% geometry {width}x{height}
% integrator_name Prophesee
% plugin_name hal_plugin_prophesee
% system_ID 49
% end
"""
"""Metavision and OpenEB select their reader by integrator_name, plugin_name and system_ID; 49 is the EVK4."""


class EvtState(NamedTuple):
    """State of decoding, set by earlier words; -1 if not set yet.

    Args:
        high: TIME_HIGH including overflows.
        low: TIME_LOW; 0 after a new TIME_HIGH.
        row: Row from ADDR_Y.
        base: First column of the next vector, from VECT_BASE_X and later vectors.
        base_on: Polarity of vectors.
    """

    high: int = -1
    low: int = 0
    row: int = -1
    base: int = -1
    base_on: int = 0


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
def _add_vector(
    events: NDArray[np.void], count: int, sides: tuple[int, int], mask: int, t: int, column: int, row: int, on: int
) -> int:
    """Add an event in `column` + k for each bit k of a mask, after `count` others; return the new number of events.

    Return -1 if a value is not set yet, or an event is outside the sensor; columns without events may be outside.
    """
    width, height = sides
    if min(t, column, row) < 0 or row >= height:
        return -1

    while mask:
        if mask & 1:
            if column >= width:
                return -1
            event = events[count]
            event.t = t
            event.x = column
            event.y = row
            event.p = on
            count += 1
        mask >>= 1
        column += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _decode_evt2(
    words: NDArray[np.int64], state: EvtState, sides: tuple[int, int], events: NDArray[np.void]
) -> tuple[EvtState, int, int]:
    """Decode EVT 2.1 words up to the first wrong one; return the new state, and the numbers of events and words."""
    # Word: bits 63-60 type, 59-54 lower bits of the time, 53-43 first column, 42-32 row, 31-0 mask: an event in column
    # base + i for each bit i, all at time high << 6 | low. TIME_HIGH: 59-32 upper bits of the time.
    high = state.high
    count = 0
    for index in range(words.size):
        word = words[index]
        kind = word >> 60 & 0xF
        if kind <= CD_ON:
            t_us = high << EVT2_LOW_BITS | (word >> 54 & 0x3F)
            column = word >> 43 & PAYLOAD
            row = word >> 32 & PAYLOAD
            count = _add_vector(events, count, sides, word & 0xFFFFFFFF, t_us, column, row, kind)
        elif kind == TIME_HIGH:
            high = _next_high(high, EVT2_HIGH_BITS, word >> 32 & 0x0FFFFFFF)
        elif kind not in (EXT_TRIGGER, OTHERS, CONTINUED):
            count = -1

        if count < 0:
            return EvtState(high), 0, index
    return EvtState(high), count, words.size


@njit(cache=True, nogil=True, error_model="numpy")
def _decode_evt3(
    words: NDArray[np.uint16], state: EvtState, sides: tuple[int, int], events: NDArray[np.void]
) -> tuple[EvtState, int, int]:
    """Decode EVT 3.0 words up to the first wrong one; return the new state, and the numbers of events and words."""
    # Word: bits 15-12 type, 11-0 payload: of ADDR_X, ADDR_Y and VECT_BASE_X, bit 11 is the polarity and 10-0 a column
    # or row; of vectors, a mask with column base + k in bit k; of times, 12 bits of the time, high << 12 | low.
    high, low, row, base, base_on = state
    count = 0
    for index in range(words.size):
        word = int(words[index])
        kind = word >> TYPE_BITS
        t_us = high << EVT3_BITS | low
        if kind == ADDR_X:
            count = _add_vector(events, count, sides, 1, t_us, word & PAYLOAD, row, word >> 11 & 1)
        elif kind == VECT_12:
            count = _add_vector(events, count, sides, word & 0xFFF, t_us, base, row, base_on)
            base += 12
        elif kind == VECT_8:
            count = _add_vector(events, count, sides, word & 0xFF, t_us, base, row, base_on)
            base += 8
        elif kind == VECT_BASE_X:
            base = word & PAYLOAD
            base_on = word >> 11 & 1
        elif kind == ADDR_Y:
            row = word & PAYLOAD
            count = count if row < sides[1] else -1
        elif kind == TIME_LOW:
            low = word & 0xFFF
        elif kind == TIME_HIGH:
            # Cameras repeat TIME_HIGH; only a new value clears the lower bits.
            if high < 0 or word & 0xFFF != high & 0xFFF:
                high = _next_high(high, EVT3_BITS, word & 0xFFF)
                low = 0
        elif kind not in (EXT_TRIGGER, OTHERS, CONTINUED, CONTINUED_4) and word != PADDING:
            count = -1

        if count < 0:
            return EvtState(high, low, row, base, base_on), 0, index
    return EvtState(high, low, row, base, base_on), count, words.size


class EvtVersion(NamedTuple):
    """EVT version: names in the header fields `format` and `evt`, type of words, maximum events per word, decoder."""

    name: str
    number: str
    word: str
    word_events: int
    decode: Callable[..., tuple[EvtState, int, int]]


EVT2_VERSION = EvtVersion("EVT2", "2.0", "<u4", 1, _decode_evt2)
EVT21_VERSION = EvtVersion("EVT21", "2.1", "<u8", 32, _decode_evt2)
EVT3_VERSION = EvtVersion("EVT3", "3.0", "<u2", 12, _decode_evt3)
VERSIONS = (EVT2_VERSION, EVT21_VERSION, EVT3_VERSION)


def decode_words(
    version: EvtVersion, words: NDArray[Any], state: EvtState, sensor: SensorSize | None
) -> tuple[StoredColumns, EvtState]:
    """Decode words: return the events, and the state after them.

    Raises:
        FormatError: If a word is wrong.
    """
    # An EVT 2.0 word is the upper half of an EVT 2.1 word with one event.
    uniform = words
    if version is EVT2_VERSION:
        uniform = words.astype(np.int64) << 32 | 1
    elif version is EVT21_VERSION:
        uniform = words.view(np.int64)

    events = np.empty(len(words) * version.word_events, EVENT)
    sides = (MAX_EVT_SIDE_PX, MAX_EVT_SIDE_PX) if sensor is None else (sensor.width, sensor.height)
    state, count, used = version.decode(uniform, state, sides, events)

    if used < len(words):
        size = f"{sides[0]}x{sides[1]}"
        raise FormatError(
            f"word {used}: wrong {version.name} word 0x{int(words[used]):X} (expected a known type, a time and a row "
            f"before events, and pixels of a {size} sensor)"
        )
    return StoredColumns(*(events[name][:count] for name in StoredColumns._fields)), state


def _open(path: Path, _hints: Hints) -> Source:
    lines, header_bytes = read_header(path, b"% ", "end")
    fields = parse_fields(lines, " ")

    # The field `format`, such as EVT3;height=720;width=1280, takes precedence over `evt` and `geometry`.
    name, *pairs = fields.get("format", "").split(";")
    options = dict(pair.partition("=")[::2] for pair in pairs)
    stored = name or fields.get("evt", "no EVT version")
    version = next((known for known in VERSIONS if stored in (known.name, known.number)), None)
    if version is None:
        expected = ", ".join(known.name for known in VERSIONS)
        raise FormatError(f"{path}: wrong version in the header (found {stored}, expected {expected})")
    if options.get("endianness", "little") != "little":
        raise FormatError(f"{path}: wrong word order (found endianness={options['endianness']}, expected little)")

    width, _, height = fields.get("geometry", "").partition("x")
    width = options.get("width", width)
    height = options.get("height", height)
    sensor = parse_sensor(path, width, height) if width or height else None
    return Source(sensor, partial(_chunks, path, version, header_bytes, sensor), fields)


def _chunks(path: Path, version: EvtVersion, begin: int, sensor: SensorSize | None) -> Iterator[StoredColumns]:
    state = EvtState()
    for position, words in read_records(path, begin, version.word, "word"):
        try:
            columns, state = decode_words(version, words, state, sensor)
        except FormatError as error:
            raise FormatError(f"{path}: in the words from byte {position}, {error}") from error
        yield columns


@contextmanager
def _write(path: Path, sensor: SensorSize, _options: WriteOptions) -> Iterator[Callable[[Events], None]]:
    """Write EVT 2.0."""
    last_high = -1
    with path.open("wb") as file:
        file.write(EVT2_HEADER.format(width=sensor.width, height=sensor.height).encode())

        def add(events: Events) -> None:
            nonlocal last_high
            check_range(events, ".raw", t=EVT2_END_US, x=MAX_EVT_SIDE_PX, y=MAX_EVT_SIDE_PX)
            high = events.t >> EVT2_LOW_BITS
            low = events.t & ((1 << EVT2_LOW_BITS) - 1)
            words = events.p.astype(np.int64) << 28 | low << 22 | events.x.astype(np.int64) << 11 | events.y

            # A TIME_HIGH stands before the events of each new value.
            changes = np.flatnonzero(np.diff(high, prepend=last_high))
            words = np.insert(words, changes, TIME_HIGH << 28 | high[changes])
            file.write(words.astype("<u4").data)
            last_high = int(high[-1])

        yield add


EVT = Format("evt", (".raw",), _open, encoder=_write, written=(".raw",))
