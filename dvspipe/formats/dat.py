"""Prophesee's decoded events (`.dat`, version 2): the layout of N-CARS, Gen1 and 1 Mpx, among others.

A header of lines `% key value`, a byte for the type of event, a byte for its size, then records of 8 little-endian
bytes: 32 bits of microseconds; from the top bit down 4 bits polarity (1 = ON), 14 bits y, 14 bits x. Types are 0x0C
(contrast detection) and 0x00 (the same under its older name, `2d`). Definition: docs.prophesee.ai, DAT File Format.

The time runs over after 71.6 min; a fall by more than half of that is read so, a smaller one as a time that goes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..errors import CorruptionError, FormatError
from ..events import SensorSize
from .evt import Header, encoding_of, parse_header, pieces, read_header, sensor_of, start_of
from .hints import NO_HINTS, Hints
from .source import Columns, Extent, Format, Source, open_binary

KNOWN_TYPES = (0x00, 0x0C)
RECORD_BYTES = 8
VERSION = "2"
LARGEST_SIDE_PX = 1 << 14
OVERFLOW_US = 1 << 32

# Every how many records a time is read ahead of decoding. A file that is silent for a whole overflow within so many
# events (fewer than 15 a second) would be placed wrongly; decoding sees every time.
MARK_RECORDS = 1 << 16


class Place(NamedTuple):
    """Where records begin: their byte, the time of the record before as stored, and what to add to stored times."""

    byte: int
    stored_us: int
    passed_us: int


def _recognises(path: Path, head: bytes) -> bool:
    header = parse_header(head)
    sized = head[header.size + 1 : header.size + 2] == bytes([RECORD_BYTES])
    named = path.suffix.lower() == ".dat" or ("version" in header.fields and sized)
    return named and bool(header.fields) and encoding_of(header) is None


def _open(path: Path, _hints: Hints = NO_HINTS) -> Source:
    header = read_header(path)
    if header.fields.get("version") != VERSION:
        found = header.fields.get("version", "missing")
        raise FormatError(f"{path}: its DAT version is {found}, expected {VERSION}")
    begin = Place(header.size + 2, 0, start_of(path, header))
    _check_types(path, header)
    sides = header.fields.get("width"), header.fields.get("height")
    sensor = sensor_of(path, None if None in sides else f"{sides[0]}x{sides[1]}")
    with open_binary(path) as file:
        seekable = file.seekable()  # not where it is packed
    return Source(
        sensor=sensor,
        chunks=partial(_chunks, path, begin, None, sensor),
        attributes=dict(header.fields),
        extent=partial(_extent, path, begin) if seekable else None,
        part=partial(_part, path, begin, sensor) if seekable else None,
    )


def _check_types(path: Path, header: Header) -> None:
    with open_binary(path) as file:
        found = file.read(header.size + 2)[header.size :]
    if len(found) < 2:
        raise FormatError(f"{path}: ends after its header, expected type and size of its events")
    if found[0] not in KNOWN_TYPES or found[1] != RECORD_BYTES:
        raise FormatError(
            f"{path}: holds events of type 0x{found[0]:02X} and {found[1]} bytes, "
            f"expected type 0x00 or 0x0C and {RECORD_BYTES} bytes"
        )


@njit(cache=True, nogil=True, error_model="numpy")
def _decode(
    words: NDArray[np.uint32], stored_us: int, passed_us: int,
    t: NDArray[np.int64], x: NDArray[np.int16], y: NDArray[np.int16], p: NDArray[np.uint8],
) -> tuple[int, int, int, int, int]:  # fmt: skip
    """Fills the columns with at least one record, of two words each; a loop for each, which the compiler vectorises.

    Returns:
        The last time as stored, what was added to it, and the largest x, y and p.
    """
    for event in range(t.size):
        t[event] = words[2 * event]
    wrapped = stored_us - t[0] > OVERFLOW_US // 2
    for event in range(1, t.size):
        wrapped |= t[event - 1] - t[event] > OVERFLOW_US // 2
    last_us = t[t.size - 1]
    if wrapped:
        for event in range(t.size):
            time_us = t[event]
            passed_us += OVERFLOW_US if stored_us - time_us > OVERFLOW_US // 2 else 0
            stored_us = time_us
            t[event] += passed_us
    elif passed_us:
        for event in range(t.size):
            t[event] += passed_us
    largest_x, largest_y, largest_p = np.int16(0), np.int16(0), np.uint8(0)
    for event in range(t.size):
        x[event] = words[2 * event + 1] & 0x3FFF
        largest_x = max(largest_x, x[event])
    for event in range(t.size):
        y[event] = (words[2 * event + 1] >> 14) & 0x3FFF
        largest_y = max(largest_y, y[event])
    for event in range(t.size):
        p[event] = words[2 * event + 1] >> 28
        largest_p = max(largest_p, p[event])
    return last_us, passed_us, int(largest_x), int(largest_y), int(largest_p)


def _chunks(path: Path, begin: Place, records: int | None, sensor: SensorSize | None) -> Iterator[Columns]:
    """The events from a place on: so many records, or (None) all."""
    width, height = (sensor.width, sensor.height) if sensor else (LARGEST_SIDE_PX, LARGEST_SIDE_PX)
    byte, stored_us, passed_us = begin
    with open_binary(path) as file:
        if file.seekable():
            file.seek(byte)
        else:
            file.read(byte)
        for piece in pieces(file, RECORD_BYTES):
            whole = len(piece) // RECORD_BYTES
            count = whole if records is None else min(whole, records)
            if count:
                words = np.frombuffer(piece, "<u4", 2 * count)
                t, p = np.empty(count, np.int64), np.empty(count, np.uint8)
                x, y = np.empty(count, np.int16), np.empty(count, np.int16)
                stored_us, passed_us, *largest = _decode(words, stored_us, passed_us, t, x, y, p)
                good = count
                if largest[0] >= width or largest[1] >= height or largest[2] > 1:
                    good = int(np.flatnonzero((x >= width) | (y >= height) | (p > 1))[0])
                if good:
                    yield Columns(t[:good], x[:good], y[:good], p[:good].view(np.bool_))
                if good < count:
                    raise CorruptionError(
                        f"{path}: byte {byte + good * RECORD_BYTES} begins an event at x = {x[good]}, y = {y[good]} "
                        f"with p = {p[good]}, expected p = 0 or 1 and a pixel of a sensor of {width}x{height}",
                        lost="what follows",
                    )
            if records is not None:
                records -= count
                if records == 0:
                    return
            byte += len(piece)
    if left_over := (byte - begin.byte) % RECORD_BYTES:  # behind the block, which names a damaged gzip stream first
        raise CorruptionError(
            f"{path}: {byte} bytes, the last {left_over} are no whole event of {RECORD_BYTES} bytes",
            lost=f"{left_over} bytes",
        )


def _stored_times(path: Path, byte: int, records: NDArray[np.int64]) -> NDArray[np.int64]:
    """The times of records, as stored."""
    times = np.empty(len(records), np.int64)
    with open_binary(path) as file:
        for index, record in enumerate(records.tolist()):
            file.seek(byte + record * RECORD_BYTES)
            times[index] = int.from_bytes(file.read(4), "little")
    return times


def _passed_us(stored_us: NDArray[np.int64], begin: Place) -> NDArray[np.int64]:
    """What to add to stored times, each of which follows the one ahead of it by less than half an overflow."""
    falls = np.diff(stored_us, prepend=begin.stored_us) < -(OVERFLOW_US // 2)
    return begin.passed_us + OVERFLOW_US * np.cumsum(falls)


def _count(path: Path, begin: Place) -> int:
    return max(path.stat().st_size - begin.byte, 0) // RECORD_BYTES


def _extent(path: Path, begin: Place) -> Extent:
    count = _count(path, begin)
    if not count:
        return Extent(0, None, None)
    stored_us = _stored_times(path, begin.byte, np.append(np.arange(0, count, MARK_RECORDS), count - 1))
    times_us = stored_us + _passed_us(stored_us, begin)
    return Extent(count, int(times_us[0]), int(times_us[-1]))


def _part(path: Path, begin: Place, sensor: SensorSize | None, start_us: int, stop_us: int) -> Iterator[Columns]:
    records = np.arange(0, _count(path, begin), MARK_RECORDS)
    stored_us = _stored_times(path, begin.byte, records)
    passed_us = _passed_us(stored_us, begin)
    times_us = stored_us + passed_us
    if not len(records) or (np.diff(times_us) < 0).any():
        yield from _chunks(path, begin, None, sensor)
        return
    first = max(int(np.searchsorted(times_us, start_us)) - 1, 0)
    behind = int(np.searchsorted(times_us, stop_us))
    place = Place(begin.byte + first * MARK_RECORDS * RECORD_BYTES, int(stored_us[first]), int(passed_us[first]))
    count = None if behind == len(records) else (behind - first) * MARK_RECORDS
    if count != 0:
        yield from _chunks(path, place, count, sensor)


DAT = Format("dat", (".dat",), _recognises, _open)
