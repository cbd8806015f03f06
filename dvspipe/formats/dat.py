"""DAT version 2, Prophesee's decoded events (`.dat`): the format of N-CARS, Gen1 and 1 Mpx, among others.

The file has header lines `% key value`, a byte with the event type, a byte with the event size, then little-endian
records of 8 bytes: 32 bits time in microseconds; from the top bit down 4 bits polarity (1 = ON), 14 bits y, 14 bits x.
Event types are 0x0C (contrast detection) and 0x00 (its older name, `2d`). Definition: docs.prophesee.ai, DAT File
Format.

The time overflows after 71.6 min. A decrease by more than half of this is an overflow; a smaller decrease is an
unsorted event.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.errors import FormatError
from ..base.kernels import njit
from ..base.progress import Progress
from ..events import SensorSize
from .evt import find_version
from .faery_writers import DAT_ENCODER
from .hints import NO_HINTS, Hints
from .prophesee_header import Header, parse_header, parse_sensor, parse_start, read_header
from .source import Format, Source, StoredColumns, invalid_record, open_binary, read_records

EVENT_TYPES = (0x00, 0x0C)
RECORD_BYTES = 8
DAT_VERSION = "2"
DAT_SIDE_PX = 1 << 14
SIDE_MASK = DAT_SIDE_PX - 1
DAT_OVERFLOW_US = 1 << 32


def _recognises(path: Path, head: bytes) -> bool:
    header = parse_header(head)
    sized = head[header.size + 1 : header.size + 2] == bytes([RECORD_BYTES])
    named = path.suffix.lower() == ".dat" or ("version" in header.fields and sized)
    return named and bool(header.fields) and find_version(header) is None


def _open(path: Path, _hints: Hints = NO_HINTS) -> Source:
    header = read_header(path)
    if header.fields.get("version") != DAT_VERSION:
        stored = header.fields.get("version", "missing")
        raise FormatError(f"{path}: wrong DAT version (found {stored}, expected {DAT_VERSION})")

    start_us = parse_start(path, header)
    _check_types(path, header)
    width = header.fields.get("width")
    height = header.fields.get("height")
    sensor = parse_sensor(path, None if width is None or height is None else f"{width}x{height}")
    return Source(sensor, partial(_chunks, path, header.size + 2, start_us, sensor), dict(header.fields))


def _check_types(path: Path, header: Header) -> None:
    with open_binary(path) as file:
        stored = file.read(header.size + 2)[header.size :]

    if len(stored) < 2:
        raise FormatError(f"{path}: truncated after the header (expected type and size of events)")
    kind, size = stored
    if kind not in EVENT_TYPES or size != RECORD_BYTES:
        raise FormatError(
            f"{path}: wrong events (found type 0x{kind:02X} and {size} bytes, "
            f"expected type 0x00 or 0x0C and {RECORD_BYTES} bytes)"
        )


@njit(cache=True, nogil=True, error_model="numpy")
def _decode(
    words: NDArray[np.uint32],
    stored_us: int,
    overflow_us: int,
    t: NDArray[np.int64],
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    p: NDArray[np.uint8],
) -> tuple[int, int, int, int, int]:
    """Decode one or more records of two words; return the new clock, and the maximum x, y and p.

    Each column has its own loop, so the compiler vectorises it.

    Args:
        words: Records, [2 * N].
        stored_us: Stored time of the previous record.
        overflow_us: Time to add to stored times because of earlier overflows.
        t: Output times, [N].
        x: Output columns, [N].
        y: Output rows, [N].
        p: Output polarities, [N].
    """
    # Record: word 2 * event has the time, modulo 2^32; word 2 * event + 1 has bits 31-28 polarity, 27-14 y, 13-0 x.
    for event in range(t.size):
        t[event] = words[2 * event]

    # An overflow is a decrease by more than half of the span. Adding overflows is a sequence of dependent steps, so a
    # first loop looks whether there is one.
    has_overflow = stored_us - t[0] > DAT_OVERFLOW_US // 2
    for event in range(1, t.size):
        has_overflow |= t[event - 1] - t[event] > DAT_OVERFLOW_US // 2

    last_us = t[t.size - 1]
    if has_overflow:
        for event in range(t.size):
            time_us = t[event]
            overflow_us += DAT_OVERFLOW_US if stored_us - time_us > DAT_OVERFLOW_US // 2 else 0
            stored_us = time_us
            t[event] += overflow_us
    elif overflow_us:
        for event in range(t.size):
            t[event] += overflow_us

    # The largest values show whether all events are valid; the caller looks for the first invalid one.
    largest_x = np.int16(0)
    largest_y = np.int16(0)
    largest_p = np.uint8(0)
    for event in range(t.size):
        x[event] = words[2 * event + 1] & SIDE_MASK
        largest_x = max(largest_x, x[event])
    for event in range(t.size):
        y[event] = (words[2 * event + 1] >> 14) & SIDE_MASK
        largest_y = max(largest_y, y[event])
    for event in range(t.size):
        p[event] = words[2 * event + 1] >> 28
        largest_p = max(largest_p, p[event])

    return last_us, overflow_us, int(largest_x), int(largest_y), int(largest_p)


def _chunks(
    path: Path, start: int, overflow_us: int, sensor: SensorSize | None, progress: Progress | None = None
) -> Iterator[StoredColumns]:
    width, height = sensor or (DAT_SIDE_PX, DAT_SIDE_PX)
    stored_us = 0
    for position, block in read_records(path, start, RECORD_BYTES, progress):
        count = len(block)
        t = np.empty(count, np.int64)
        p = np.empty(count, np.uint8)
        x = np.empty(count, np.int16)
        y = np.empty(count, np.int16)

        words = block.view("<u4").ravel()
        stored_us, overflow_us, largest_x, largest_y, largest_p = _decode(words, stored_us, overflow_us, t, x, y, p)

        valid = count
        if largest_x >= width or largest_y >= height or largest_p > 1:
            valid = int(np.flatnonzero((x >= width) | (y >= height) | (p > 1))[0])

        if valid:
            yield StoredColumns(t[:valid], x[:valid], y[:valid], p[:valid].view(np.bool_))
        if valid < count:
            problem = (
                f"wrong event (found x = {x[valid]}, y = {y[valid]}, p = {p[valid]}, expected p = 0 or 1 and a pixel "
                f"of a {width}x{height} sensor)"
            )
            raise invalid_record(path, position + valid * RECORD_BYTES, problem)


DAT = Format("dat", (".dat",), _recognises, _open, DAT_ENCODER)
