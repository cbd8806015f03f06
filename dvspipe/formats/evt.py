"""Prophesee's raw camera streams (`.raw`): EVT 2.0, EVT 2.1 in both word orders, EVT 3.0.

The file has header lines `% key value`, then little-endian words with their type in the top four bits; from the top
bit down:

    EVT 2.0, 32 bits   type 4, time 6, x 11, y 11
    EVT 2.1, 64 bits   type 4, time 6, x 11, y 11, mask 32: an event at x + i for each bit i
    EVT 3.0, 16 bits   type 4, payload 12; time, row and base column keep their values until another word sets them

Definition: docs.prophesee.ai, Data Encoding Formats. Points left open there follow the manufacturer's decoder (OpenEB,
hal/decoders):

- A time consists of TIME_HIGH, above the six low bits in the word (EVT 2) or above the last TIME_LOW (EVT 3). A new
  value of TIME_HIGH sets the low bits to zero; a repeated value changes nothing (cameras repeat it every 16 us). All
  events of an EVT 3.0 vector have the current time. On an EVT3 file and the DAT converted from it by OpenEB, all
  1,218,618 events agree (OpenEB alone counts times from the TIME_HIGH before the first event); faery 0.7.1 agrees too.
- TIME_LOW may decrease by a few us if a stream has several sources; faery repeats the latest time instead.
- TIME_HIGH has overflowed (after 16.8 s, or 4 h 46 min) if it decreases by half of its range or more. Smaller
  decreases are decoded as they are, and give unsorted events.
- The IMX636 swaps the two halves of EVT 2.1 words; its header has `endianness=legacy`. Older headers lack this field:
  the order is then the one with valid first words, by default the defined order.
- Triggers, OTHERS and CONTINUED contain no events, nor does the word 0x9999, the padding of Lucid cameras in EVT 3.0.
- Errors are reserved types, events outside the sensor, and events before the words that they need (time, row, base
  column). OpenEB drops such events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import FormatError
from ..base.progress import Progress
from ..events import SensorSize
from .evt3_writer import EVT3_ENCODER
from .evt_kernels import (
    ADDR_X,
    ADDR_Y,
    CD_ON,
    MAX_EVT21_EVENTS,
    MAX_EVT_SIDE_PX,
    PAYLOAD,
    TYPE_BITS,
    VECT_8,
    VECT_12,
    Decoded,
    EventArrays,
    Evt2State,
    Evt3State,
    decode_evt2,
    decode_evt3,
    decode_evt21,
)
from .faery_writers import EVT2_ENCODER
from .hints import NO_HINTS, Hints
from .prophesee_header import Header, parse_header, parse_sensor, parse_start, read_header
from .source import CHUNK_EVENTS, Format, Source, StoredColumns, invalid_record, read_records

EVT2_TYPE_SHIFT = 28  # the type of an EVT 2.0 word is in its bits 31-28
ORDER_PROBE_WORDS = 512  # words decoded to detect the order of EVT 2.1


def _explain_evt2(word: int, state: Evt2State, width: int, height: int, *, name: str) -> str:
    """Describe why an EVT 2.0 word is invalid."""
    kind = word >> EVT2_TYPE_SHIFT
    x = word >> 11 & PAYLOAD
    y = word & PAYLOAD

    if kind > CD_ON:
        return f"a word of type 0x{kind:X}, reserved in {name}"
    if state.high < 0:
        return "an event before the first TIME_HIGH: unknown time"
    what = "an event at" if name == "EVT2" else "a vector from"
    return f"{what} x = {x}, y = {y}, outside the sensor ({width}x{height} pixels)"


def _explain_evt21(word: int, state: Evt2State, width: int, height: int, *, name: str) -> str:
    """Describe why an EVT 2.1 word is invalid; its upper half is as in EVT 2.0."""
    return _explain_evt2(word >> 32, state, width, height, name=name)


def _explain_evt3(word: int, state: Evt3State, width: int, height: int, *, name: str) -> str:
    """Describe why an EVT 3.0 word is invalid."""
    kind = word >> TYPE_BITS
    payload = word & PAYLOAD

    if kind == ADDR_Y:
        return f"row y = {payload}, outside the sensor (height {height})"
    if kind not in (ADDR_X, VECT_12, VECT_8):
        return f"a word of type 0x{kind:X}, reserved in {name}"
    if state.high < 0:
        return "an event before the first TIME_HIGH: unknown time"
    if state.row < 0:
        return "an event before the first ADDR_Y: unknown row"
    if kind == ADDR_X:
        return f"an event at x = {payload}, outside the sensor (width {width})"
    if state.base < 0:
        return "a vector before the first VECT_BASE_X: unknown columns"
    return f"a vector from x = {state.base} with mask 0x{word & 0xFFF:X}, outside the sensor (width {width})"


@dataclass(frozen=True)
class EvtVersion:
    """Decoder of one EVT version.

    Args:
        name: Name in the header field `format`.
        number: Number in the header field `evt`.
        word: NumPy type of a word.
        decode: Decodes words; see `evt_kernels`.
        start: State before the first word.
        explain: Describes why a word is invalid.
    """

    name: str
    number: str
    word: str
    decode: Callable[..., Decoded]
    start: Any
    explain: Callable[..., str]


EVT2_VERSION = EvtVersion("EVT2", "2.0", "<u4", decode_evt2, Evt2State(), _explain_evt2)
EVT21_VERSION = EvtVersion("EVT21", "2.1", "<u8", decode_evt21, Evt2State(), _explain_evt21)
EVT3_VERSION = EvtVersion("EVT3", "3.0", "<u2", decode_evt3, Evt3State(), _explain_evt3)
VERSIONS = (EVT2_VERSION, EVT21_VERSION, EVT3_VERSION)


class _Stream(NamedTuple):
    """Layout of the words after a header; `swapped` is None if it must be detected from the words."""

    version: EvtVersion
    begin: int
    sensor: SensorSize | None
    swapped: bool | None
    start_us: int


def _format_field(header: Header) -> tuple[str, dict[str, str]]:
    """Return name and options of the header field `format`, such as EVT3;height=720;width=1280."""
    name, *options = header.fields.get("format", "").split(";")
    pairs = (option.partition("=") for option in options)
    return name.strip(), {key.strip(): value.strip() for key, _, value in pairs}


def find_version(header: Header) -> EvtVersion | None:
    """Return the EVT version of a header, by the field `format`, or else `evt`; None if it is not in VERSIONS."""
    name, _ = _format_field(header)
    number = header.fields.get("evt", "")

    for known in VERSIONS:
        if known.name == name if name else known.number == number:
            return known
    return None


def _open(path: Path, _hints: Hints = NO_HINTS) -> Source:
    header = read_header(path)
    version = find_version(header)
    name, options = _format_field(header)
    if version is None:
        stored = name or header.fields.get("evt") or "no EVT version"
        expected = ", ".join(known.name for known in VERSIONS)
        raise FormatError(f"{path}: wrong version in the header (found {stored}, expected {expected})")

    # Sides of the sensor in the field `format` take precedence over `geometry`.
    size = header.fields.get("geometry")
    if {"width", "height"} <= options.keys():
        size = f"{options['width']}x{options['height']}"
    sensor = parse_sensor(path, size)

    # Older headers of EVT 2.1 do not store the order of the halves: the first words decide (None).
    order = options.get("endianness", "little" if version is not EVT21_VERSION else "")
    if order not in ("", "little", "legacy") or (order == "legacy" and version is not EVT21_VERSION):
        raise FormatError(
            f"{path}: wrong order in the header (found endianness={order}, expected little, or legacy for EVT21)"
        )

    swapped = order == "legacy" if order else None
    stream = _Stream(version, header.size, sensor, swapped, parse_start(path, header))
    return Source(sensor=sensor, chunks=partial(_chunks, path, stream), attributes=dict(header.fields))


def _is_swapped(words: NDArray[np.uint64]) -> bool:
    """Return whether EVT 2.1 words are valid only with swapped halves."""
    out = allocate_events(words.size * MAX_EVT21_EVENTS)
    is_valid = [
        not decode_evt21(order, Evt2State(), MAX_EVT_SIDE_PX, MAX_EVT_SIDE_PX, out).is_invalid
        for order in (words, _swap_halves(words))
    ]

    return is_valid == [False, True]


def _swap_halves(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return (words << np.uint64(32)) | (words >> np.uint64(32))


def limit_sides(sensor: SensorSize | None) -> tuple[int, int]:
    """Return the width and height that words can address; the largest for an unknown sensor."""
    if sensor is None:
        return MAX_EVT_SIDE_PX, MAX_EVT_SIDE_PX
    return min(sensor.width, MAX_EVT_SIDE_PX), min(sensor.height, MAX_EVT_SIDE_PX)


def allocate_events(capacity: int) -> EventArrays:
    """Allocate arrays with room for `capacity` events plus the room that decoders need after them."""
    return EventArrays.allocate(capacity + MAX_EVT21_EVENTS)


def _chunks(path: Path, stream: _Stream, progress: Progress | None = None) -> Iterator[StoredColumns]:
    version, begin, sensor, swapped, start_us = stream
    width, height = limit_sides(sensor)
    state = version.start
    word_bytes = np.dtype(version.word).itemsize

    for position, block in read_records(path, begin, word_bytes, progress, record="a word"):
        words = block.view(version.word).ravel()
        swapped = _is_swapped(words[:ORDER_PROBE_WORDS]) if swapped is None else swapped
        words = _swap_halves(words) if swapped else words

        start = 0
        is_invalid = False
        while start < len(words) and not is_invalid:
            # Vectors have several events per word, so a block may need several turns.
            out = allocate_events(min(CHUNK_EVENTS, 2 * (len(words) - start)))
            state, used, count, is_invalid = version.decode(words[start:], state, width, height, out)
            start += used

            if start_us:
                out.t[:count] += start_us
            if count:
                yield StoredColumns(out.t[:count], out.x[:count], out.y[:count], out.on[:count].view(np.bool_))

        if is_invalid:
            why = version.explain(int(words[start]), state, width, height, name=version.name)
            raise invalid_record(path, position + start * word_bytes, why)


def _recognises(version: EvtVersion, path: Path, head: bytes) -> bool:
    header = parse_header(head)
    if (known := find_version(header)) is not None:
        return known is version

    # EVT2 also accepts other raw files, to report the version in their header
    return (
        version is EVT2_VERSION
        and path.suffix.lower() == ".raw"
        and not header.fields.keys().isdisjoint(("evt", "format", "geometry", "plugin_name", "system_id"))
    )


EVT2 = Format("evt2", (".raw",), partial(_recognises, EVT2_VERSION), _open, EVT2_ENCODER)
EVT21 = Format("evt21", (".raw",), partial(_recognises, EVT21_VERSION), _open)
EVT3 = Format("evt3", (".raw",), partial(_recognises, EVT3_VERSION), _open, EVT3_ENCODER)
