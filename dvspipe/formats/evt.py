"""Prophesee's raw camera streams (`.raw`): EVT 2.0, EVT 2.1 in both word orders, EVT 3.0.

A header of lines `% key value`, then little-endian words whose top four bits are their type; from the top bit down:

    EVT 2.0, 32 bits   type 4, time 6, x 11, y 11
    EVT 2.1, 64 bits   type 4, time 6, x 11, y 11, mask 32: an event at x + i for each bit i
    EVT 3.0, 16 bits   type 4, payload 12; time, row and base column hold until a word sets them anew

Definition: docs.prophesee.ai, Data Encoding Formats; where it leaves a choice, the maker's own decoder (OpenEB,
hal/decoders) settles it:

- A time is TIME_HIGH's bits above the word's six (EVT 2) or above the last TIME_LOW (EVT 3). A TIME_HIGH that differs
  from the last sets the low bits to zero; one that repeats it, as cameras do every 16 us, changes nothing. The time of
  an EVT 3.0 vector is that of any event there. An EVT3 file and the DAT that OpenEB made of it (its times count from
  one TIME_HIGH ahead of the first, as only OpenEB's do) agree so in all of 1,218,618 events; so does faery 0.7.1.
- TIME_LOW may go back by some us, where a stream has several sources; faery repeats the latest time instead.
- TIME_HIGH ran over (after 16.8 s, or 4 h 46 min) where it falls by half of its range or more. A smaller fall is a
  time that goes back, as it stands.
- The IMX636 swaps the two halves of EVT 2.1 words; its header says `endianness=legacy`. Older headers say nothing: then
  the order counts in which the first words make sense, or else the defined one.
- Triggers, OTHERS, and CONTINUED carry no event. Types that the definition reserves are damage, as are events ahead of
  what they need (time, row, base column), which OpenEB drops, and events outside of the sensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..errors import CorruptionError, EventError, FormatError
from ..events import SensorSize
from .hints import NO_HINTS, Hints
from .source import CHUNK_EVENTS, Columns, Format, Source, open_binary

HEADER_BYTES = 1 << 16
PIECE_BYTES = 1 << 20  # a quarter of a million EVT2 events, whose columns stay in the cache: 10 % faster than 4 MiB
LARGEST_SIDE_PX = 1 << 11  # 11 bits of x and y
PROBED_WORDS = 512  # to tell the order of EVT 2.1

# Types of words, of EVT 2 and EVT 3
CD_OFF, CD_ON = 0x0, 0x1
ADDR_Y, ADDR_X, VECT_BASE_X, VECT_12, VECT_8, TIME_LOW, CONTINUED_4 = 0x0, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7
TIME_HIGH, EXT_TRIGGER, OTHERS, CONTINUED = 0x8, 0xA, 0xE, 0xF

EVT2_HIGH_BITS, EVT3_HIGH_BITS = 28, 12
EVT2_LOW_BITS, EVT3_LOW_BITS = 6, 12

NO_LIMIT = LARGEST_SIDE_PX

# Position of the only bit of a 32-bit number: its product with this de Bruijn sequence has 32 different top five bits
DE_BRUIJN = 0x077CB531
BIT_PLACES = np.array(
    [0, 1, 28, 2, 29, 14, 24, 3, 30, 22, 20, 15, 25, 17, 4, 8,
     31, 27, 13, 23, 21, 19, 16, 7, 26, 12, 18, 6, 11, 5, 10, 9], np.uint32,
)  # fmt: skip

State = NDArray[np.int64]
Decoded = tuple[State, int, int, bool]
"""The new state, words decoded, events written, and whether the next word is damaged."""


class Header(NamedTuple):
    """Keys (lower case) and values of a header, and its size in bytes."""

    fields: dict[str, str]
    size: int


def parse_header(head: bytes) -> Header:
    """The lines `% key value` that a file begins with; they end at `% end` or ahead of anything else.

    Data that begin with the bytes of `% ` are told from a line by the control characters in them.
    """
    fields: dict[str, str] = {}
    size = 0
    while head.startswith(b"% ", size) and (stop := head.find(b"\n", size)) >= 0:
        line = head[size + 2 : stop].removesuffix(b"\r")
        if any(byte < 0x20 and byte != 0x09 for byte in line):
            break
        size = stop + 1
        key, _, value = line.decode("utf-8", "replace").strip().partition(" ")
        if key.lower() == "end":
            break
        if key:
            fields[key.lower()] = value.strip()
    return Header(fields, size)


def read_header(path: Path) -> Header:
    """The header of a file.

    Raises:
        FormatError: It is longer than HEADER_BYTES.
    """
    head, header = bytearray(), Header({}, 0)
    with open_binary(path) as file:  # no further than the header: damage behind it is met when decoding
        while header.size == len(head) <= HEADER_BYTES and (mark := file.read(2)) == b"% ":
            head += mark + file.readline(HEADER_BYTES)
            header = parse_header(bytes(head))
    if header.size > HEADER_BYTES:
        raise FormatError(f"{path}: its header is longer than {HEADER_BYTES} bytes")
    return header


def sensor_of(path: Path, size: str | None) -> SensorSize | None:
    """The sensor that a header names as WIDTHxHEIGHT, None where it does not.

    Raises:
        FormatError: What it says is no size.
    """
    if size is None:
        return None
    try:
        return SensorSize.parse(size[:100])
    except EventError as error:
        raise FormatError(f"{path}: its header names no usable sensor ({error})") from error


def start_of(path: Path, header: Header) -> int:
    """What to add to every time: `t0`, a key of faery alone, whose reader does so; 0 where there is none.

    Raises:
        FormatError: It is no time.
    """
    start_us = header.fields.get("t0", "0")
    if not (start_us.isascii() and start_us.isdecimal()) or len(start_us) > 18:
        raise FormatError(f"{path}: its header names t0 {start_us!r}, expected microseconds")
    return int(start_us)


def pieces(file: BinaryIO, unit: int) -> Iterator[memoryview]:
    """The rest of a file in pieces of about PIECE_BYTES, whole multiples of `unit` bytes but for the last.

    A piece is good until the next is asked for.
    """
    source = cast(BufferedIOBase, file)
    buffer = memoryview(bytearray(max(PIECE_BYTES // unit, 1) * unit))
    while filled := source.readinto(buffer):
        yield buffer[:filled]


@njit(cache=True, nogil=True, error_model="numpy")
def _raised(high: int, bits: int, value: int) -> int:
    """TIME_HIGH with its overflows, after a word with `value` follows `high` (-1: the first)."""
    if high < 0:
        return value
    span = 1 << bits
    before = high & (span - 1)
    wrapped = before >= value + span // 2
    return high - before + value + (span if wrapped else 0)


@njit(cache=True, nogil=True, error_model="numpy")
def _decode_evt2(
    words: NDArray[np.uint32], state: State, width: int, height: int,
    t: NDArray[np.int64], x: NDArray[np.int16], y: NDArray[np.int16], on: NDArray[np.uint8],
) -> Decoded:  # fmt: skip
    """Columns of EVT 2.0 words; the state is TIME_HIGH, -1 ahead of the first. One event a word at most."""
    high = state[0]
    base_us = high << EVT2_LOW_BITS
    columns, rows = np.uint32(width), np.uint32(height)
    seen = high >= 0
    count, one, index = np.uintp(0), np.uintp(1), np.uintp(0)
    size, damaged = np.uintp(min(words.size, t.size)), False
    while index < size:
        word = np.uint32(words[index])
        kind = np.uint32(word >> np.uint32(28))
        if kind <= CD_ON:
            column, row = (word >> np.uint32(11)) & np.uint32(0x7FF), word & np.uint32(0x7FF)
            if (column >= columns) | (row >= rows) | (not seen):
                damaged = True
                break
            t[count] = base_us + np.int64((word >> np.uint32(22)) & np.uint32(0x3F))
            x[count] = column
            y[count] = row
            on[count] = kind
            count += one
        elif kind == TIME_HIGH:
            high = _raised(high, EVT2_HIGH_BITS, np.int64(word & np.uint32(0x0FFFFFFF)))
            base_us, seen = high << EVT2_LOW_BITS, True
        elif kind not in (EXT_TRIGGER, OTHERS, CONTINUED):
            damaged = True
            break
        index += one
    return np.array([high]), int(index), int(count), damaged


@njit(cache=True, nogil=True, error_model="numpy")
def _decode_evt21(
    words: NDArray[np.uint64], state: State, width: int, height: int,
    t: NDArray[np.int64], x: NDArray[np.int16], y: NDArray[np.int16], on: NDArray[np.uint8],
) -> Decoded:  # fmt: skip
    """Columns of EVT 2.1 words in the defined order; the state is TIME_HIGH, -1 ahead of the first.

    A word has 32 events at most: it is begun where the columns have room for them.
    """
    high = state[0]
    count, index, one, damaged = np.uintp(0), np.uintp(0), np.uintp(1), False
    while index < words.size and t.size - count >= 32 and not damaged:
        word = np.uint64(words[index])
        kind = np.int64(word >> np.uint64(60))
        if kind <= CD_ON:
            column, row = np.int64((word >> np.uint64(43)) & np.uint64(0x7FF)), np.int64(word >> np.uint64(32)) & 0x7FF
            t_us = (high << EVT2_LOW_BITS) + np.int64((word >> np.uint64(54)) & np.uint64(0x3F))
            mask = np.uint32(word & np.uint64(0xFFFFFFFF))
            damaged = bool(high < 0 or row >= height)
            while mask and not damaged:
                bit = mask & (~mask + np.uint32(1))
                place = np.int64(BIT_PLACES[np.uintp(np.uint32(bit * np.uint32(DE_BRUIJN)) >> np.uint32(27))])
                damaged = bool(column + place >= width)
                if not damaged:
                    t[count], x[count], y[count], on[count] = t_us, column + place, row, kind
                    count += one
                mask ^= bit
        elif kind == TIME_HIGH:
            high = _raised(high, EVT2_HIGH_BITS, np.int64((word >> np.uint64(32)) & np.uint64(0x0FFFFFFF)))
        else:
            damaged = kind not in (EXT_TRIGGER, OTHERS, CONTINUED)
        index += np.uintp(not damaged)
    return np.array([high]), int(index), int(count), damaged


@njit(cache=True, nogil=True, error_model="numpy")
def _decode_evt3(
    words: NDArray[np.uint16], state: State, width: int, height: int,
    t: NDArray[np.int64], x: NDArray[np.int16], y: NDArray[np.int16], on: NDArray[np.uint8],
) -> Decoded:  # fmt: skip
    """Columns of EVT 3.0 words; the state is what words have set (-1: none yet).

    Types follow one another as if by chance, so that branches would be guessed wrong: every word is written as an
    event, and the next one writes over it unless it was one. Only words beyond the limit of their type branch: those
    that are rare, come first, or are damaged. A word has 12 events at most; a block of words is no longer than the
    columns have room for, and for one event more.
    """
    high, low, row, base, base_on = state[0], state[1], np.int16(state[2]), state[3], np.uint8(state[4])
    base_us, high_word = high << EVT3_LOW_BITS, np.uint16(TIME_HIGH << 12 | high & 0xFFF if high >= 0 else 0)
    limits = np.zeros(16, np.uint16)
    for plain in (TIME_LOW, TIME_HIGH, CONTINUED_4, EXT_TRIGGER, OTHERS, CONTINUED):
        limits[plain] = NO_LIMIT
    limits[ADDR_Y] = height if row >= 0 else 0
    limits[ADDR_X] = width if row >= 0 and high >= 0 else 0
    count, index, one, damaged = np.uintp(0), np.uintp(0), np.uintp(1), False
    size, room, stop = np.uintp(words.size), np.uintp(t.size - 1), np.uintp(0)
    while not damaged:
        if index == stop:
            stop = min(size, index + (room - count) // np.uintp(12))
            if index == stop:
                break
        while index < stop:
            word = words[index]
            kind, low_bits = np.uintp(word >> 12), np.uint16(word & 0x7FF)
            if (low_bits >= limits[kind]) | ((kind == TIME_HIGH) & (word != high_word)):
                break
            low = np.int64(word & 0xFFF) if kind == TIME_LOW else low
            row = np.int16(low_bits) if kind == ADDR_Y else row
            t[count] = base_us + low
            x[count] = low_bits
            y[count] = row
            on[count] = (word >> 11) & 1
            count += np.uintp(kind == ADDR_X)
            index += one
        if index == stop:
            continue
        word = words[index]
        kind, place = np.uintp(word >> 12), np.int64(word & 0x7FF)
        if kind == VECT_BASE_X:
            base, base_on = place, np.uint8((word >> 11) & 1)
        elif kind in (VECT_12, VECT_8):
            mask = np.uint32(word & (0xFFF if kind == VECT_12 else 0xFF))
            damaged = bool(high < 0 or row < 0 or base < 0)
            while mask and not damaged:
                bit = mask & (~mask + np.uint32(1))
                column = base + np.int64(BIT_PLACES[np.uintp(np.uint32(bit * np.uint32(DE_BRUIJN)) >> np.uint32(27))])
                damaged = bool(column >= width)
                if not damaged:
                    t[count], x[count], y[count], on[count] = base_us + low, column, row, base_on
                    count += one
                mask ^= bit
            base += 0 if damaged else (12 if kind == VECT_12 else 8)
        elif kind == TIME_HIGH:
            high = _raised(high, EVT3_HIGH_BITS, np.int64(word & 0xFFF))
            base_us, low, high_word = high << EVT3_LOW_BITS, 0, word
        elif kind == ADDR_Y and place < height:
            row = np.int16(place)
            limits[ADDR_Y] = height
        else:
            damaged = True
        limits[ADDR_X] = width if row >= 0 and high >= 0 else 0
        index += np.uintp(not damaged)
    return np.array([high, low, np.int64(row), base, np.int64(base_on)]), int(index), int(count), damaged


def _explain_evt2(word: int, state: State, width: int, height: int, *, name: str) -> str:
    """Why an EVT 2 word, or the upper half of an EVT 2.1 one, is damage."""
    kind, x, y = word >> 28, word >> 11 & 0x7FF, word & 0x7FF
    if kind > CD_ON:
        return f"a word of type 0x{kind:X}, which {name} reserves"
    if state[0] < 0:
        return "an event ahead of the first TIME_HIGH, so that its time is unknown"
    what = "an event at" if name == "EVT2" else "a vector from"
    return f"{what} x = {x}, y = {y}, beyond a sensor of {width}x{height} pixels"


def _explain_evt3(word: int, state: State, width: int, height: int, *, name: str) -> str:
    """Why an EVT 3.0 word is damage."""
    kind, low_bits = word >> 12, word & 0x7FF
    if kind == ADDR_Y:
        return f"row y = {low_bits}, outside a sensor {height} pixels high"
    if kind not in (ADDR_X, VECT_12, VECT_8):
        return f"a word of type 0x{kind:X}, which {name} reserves"
    high, _, row, base, _ = state.tolist()
    if high < 0:
        return "an event ahead of the first TIME_HIGH, so that its time is unknown"
    if row < 0:
        return "an event ahead of the first ADDR_Y, so that its row is unknown"
    if kind == ADDR_X:
        return f"an event at x = {low_bits}, outside a sensor {width} pixels wide"
    if base < 0:
        return "a vector ahead of the first VECT_BASE_X, so that its columns are unknown"
    return f"a vector from x = {base} with mask 0x{word & 0xFFF:X}, beyond a sensor {width} pixels wide"


def _evt2_state() -> State:
    return np.array([-1], np.int64)


def _evt3_state() -> State:
    high, low, row, base, on = -1, 0, -1, -1, 0
    return np.array([high, low, row, base, on], np.int64)


@dataclass(frozen=True)
class Encoding:
    """How one of the encodings is decoded.

    Args:
        name: As a header's `format` names it.
        version: As its `evt` does.
        word: Type of a word.
        events_per_word: At most.
        decode: Decodes words from a state.
        begin: The state ahead of the first word.
        explain: Says why a word (of EVT 2.1: its upper half) is damage.
    """

    name: str
    version: str
    word: str
    events_per_word: int
    decode: Callable[..., Decoded]
    begin: Callable[[], State]
    explain: Callable[..., str]


ENCODINGS = (
    Encoding("EVT2", "2.0", "<u4", 1, _decode_evt2, _evt2_state, _explain_evt2),
    Encoding("EVT21", "2.1", "<u8", 32, _decode_evt21, _evt2_state, _explain_evt2),
    Encoding("EVT3", "3.0", "<u2", 12, _decode_evt3, _evt3_state, _explain_evt3),
)


class Stream(NamedTuple):
    """What a header says of the words behind it; `swapped` is None where that is left to the words."""

    encoding: Encoding
    begin: int
    sensor: SensorSize | None
    swapped: bool | None
    start_us: int


def _format_field(header: Header) -> tuple[str, dict[str, str]]:
    """Name and options of `format`, such as EVT3;height=720;width=1280."""
    name, *options = header.fields.get("format", "").split(";")
    return name.strip(), {key.strip(): value.strip() for key, _, value in (option.partition("=") for option in options)}


def encoding_of(header: Header) -> Encoding | None:
    """The encoding that a header names, `format` ahead of `evt`; None where it names none of these."""
    name, version = _format_field(header)[0], header.fields.get("evt", "")
    return next((known for known in ENCODINGS if (known.name == name if name else known.version == version)), None)


def _open(path: Path, _hints: Hints = NO_HINTS) -> Source:
    header = read_header(path)
    encoding = encoding_of(header)
    if encoding is None:
        found = _format_field(header)[0] or header.fields.get("evt") or "no encoding"
        raise FormatError(f"{path}: its header names {found}, expected {', '.join(known.name for known in ENCODINGS)}")
    options = _format_field(header)[1]
    size = header.fields.get("geometry")
    if {"width", "height"} <= options.keys():
        size = f"{options['width']}x{options['height']}"
    sensor = sensor_of(path, size)
    order = options.get("endianness", "little" if encoding.name != "EVT21" else "")
    if order not in ("", "little", "legacy") or (order == "legacy" and encoding.name != "EVT21"):
        raise FormatError(f"{path}: its header names endianness {order!r}, expected little, or legacy for EVT21")
    swapped = order == "legacy" if order else None
    stream = Stream(encoding, header.size, sensor, swapped, start_of(path, header))
    return Source(sensor=sensor, chunks=lambda: _chunks(path, stream), attributes=dict(header.fields))


def _is_swapped(words: NDArray[np.uint64]) -> bool:
    """Whether EVT 2.1 words make sense only with their halves swapped."""
    columns = _columns(words.size * 32)
    fits = [
        not _decode_evt21(order, _evt2_state(), LARGEST_SIDE_PX, LARGEST_SIDE_PX, *columns)[3]
        for order in (words, _swap_halves(words))
    ]
    return fits == [False, True]


def _swap_halves(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return (words << np.uint64(32)) | (words >> np.uint64(32))


def _columns(capacity: int) -> tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.int16], NDArray[np.uint8]]:
    """Room for at least so many events, and for one word more."""
    size = capacity + 32
    return np.empty(size, np.int64), np.empty(size, np.int16), np.empty(size, np.int16), np.empty(size, np.uint8)


def _chunks(path: Path, stream: Stream) -> Iterator[Columns]:
    encoding, begin, sensor, swapped, start_us = stream
    sides = (sensor.width, sensor.height) if sensor else (LARGEST_SIDE_PX, LARGEST_SIDE_PX)
    width, height = (min(side, LARGEST_SIDE_PX) for side in sides)
    state, unit, passed = encoding.begin(), np.dtype(encoding.word).itemsize, begin
    with open_binary(path) as file:
        file.read(begin)
        for piece in pieces(file, unit):
            words = np.frombuffer(piece, encoding.word, len(piece) // unit)
            swapped = _is_swapped(words[:PROBED_WORDS]) if swapped is None else swapped
            words = _swap_halves(words) if swapped else words
            done, damaged = 0, False
            while done < len(words) and not damaged:
                t, x, y, on = _columns(min(CHUNK_EVENTS, encoding.events_per_word * (len(words) - done)))
                state, used, count, damaged = encoding.decode(words[done:], state, width, height, t, x, y, on)
                done += used
                if start_us:
                    t[:count] += start_us
                if count:
                    yield Columns(t[:count], x[:count], y[:count], on[:count].view(np.bool_))
            if damaged:
                word = int(words[done]) >> (32 if unit == 8 else 0)
                why = encoding.explain(word, state, width, height, name=encoding.name)
                raise CorruptionError(f"{path}: byte {passed + done * unit} begins {why}", lost="what follows")
            passed += len(piece)
    if left_over := (passed - begin) % unit:  # behind the block, which names a damaged gzip stream first
        raise CorruptionError(
            f"{path}: {passed} bytes, the last {left_over} are no whole word of {unit} bytes", lost=f"{left_over} bytes"
        )


def _format(encoding: Encoding) -> Format:
    def recognises(path: Path, head: bytes) -> bool:
        header = parse_header(head)
        if (found := encoding_of(header)) is not None:
            return found is encoding
        # One of the formats takes other raw files, to say what their header names.
        return (
            encoding is ENCODINGS[0]
            and path.suffix.lower() == ".raw"
            and not header.fields.keys().isdisjoint(("evt", "format", "geometry", "plugin_name", "system_id"))
        )

    return Format(encoding.name.lower(), (".raw",), recognises, _open)


EVT2, EVT21, EVT3 = (_format(encoding) for encoding in ENCODINGS)
