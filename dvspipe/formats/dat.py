"""DAT version 2 of Prophesee (`.dat`): decoded events.

The file has header lines `% key value`, a byte with the event type, a byte with the event size, then little-endian
records of 8 bytes: 32 bits time in microseconds; from the top bit down 4 bits polarity (1 = ON), 14 bits y, 14 bits x.
Event types are 0x0C (contrast detection) and 0x00 (its older name, `2d`). Definition: docs.prophesee.ai, DAT File
Format.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ..base.errors import FormatError
from .hints import Hints
from .source import (
    Format,
    Source,
    StoredColumns,
    parse_fields,
    parse_sensor,
    read_header,
    read_records,
    unwrap_times,
)

EVENT_TYPES = (0x00, 0x0C)
RECORD = np.dtype([("t", "<u4"), ("address", "<u4")])
VERSION = "2"
SIDE_BITS = 14
SIDE_MASK = (1 << SIDE_BITS) - 1


def _open(path: Path, _hints: Hints) -> Source:
    lines, header_bytes = read_header(path, b"% ", "end")
    fields = parse_fields(lines, " ")
    with path.open("rb") as file:
        file.seek(header_bytes)
        kind, size = file.read(2).ljust(2, b"\xff")

    version = fields.get("version", "missing")
    if version != VERSION:
        raise FormatError(f"{path}: wrong DAT version (found {version}, expected {VERSION})")
    if kind not in EVENT_TYPES or size != RECORD.itemsize:
        raise FormatError(
            f"{path}: wrong events (found type 0x{kind:02X} of {size} bytes, expected type 0x00 or 0x0C of "
            f"{RECORD.itemsize} bytes)"
        )

    has_size = {"width", "height"} <= fields.keys()
    sensor = parse_sensor(path, fields["width"], fields["height"]) if has_size else None
    return Source(sensor, partial(_chunks, path, header_bytes + 2), fields)


def _chunks(path: Path, begin: int) -> Iterator[StoredColumns]:
    last_us: int | None = None
    for _, records in read_records(path, begin, RECORD):
        t = unwrap_times(records["t"], last_us)
        last_us = int(t[-1])

        address = records["address"]
        x = (address & SIDE_MASK).astype(np.int16)
        y = (address >> SIDE_BITS & SIDE_MASK).astype(np.int16)
        yield StoredColumns(t, x, y, address >> 2 * SIDE_BITS)


DAT = Format("dat", (".dat",), _open)
