"""Header of Prophesee's files (lines `% key value`), and DAT version 2 (`.dat`), decoded events.

A DAT file has the header, a byte with the event type, a byte with the event size, then little-endian records of 8
bytes: 32 bits time in microseconds; from the top bit down 4 bits polarity (1 = ON), 14 bits y, 14 bits x. Event types
are 0x0C (contrast detection) and 0x00 (its older name, `2d`). Definition: docs.prophesee.ai, DAT File Format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from ..base.errors import FormatError
from ..events import Events, SensorSize
from .hints import Hints
from .source import (
    Format,
    Source,
    StoredColumns,
    WriteOptions,
    parse_fields,
    parse_sensor,
    read_header,
    read_records,
    unwrap_times,
)
from .writers import check_range

EVENT_TYPES = (0x00, 0x0C)
RECORD = np.dtype([("t", "<u4"), ("address", "<u4")])
VERSION = "2"
SIDE_BITS = 14
SIDE_MASK = (1 << SIDE_BITS) - 1
END_US = 1 << 32
HEADER = "% Data file containing CD events.\n% Version 2\n% Height {height}\n% Width {width}\n% end\n"


def read_fields(path: Path) -> tuple[dict[str, str], int]:
    """Read a header: return its fields (names in lower case), and its size in bytes.

    A header ends at `% end`, or before the first line that is not `% key value`.
    """
    with path.open("rb") as file:
        lines, size = read_header(file, b"% ", "end")
    return parse_fields(lines, " "), size


def _open(path: Path, _hints: Hints) -> Source:
    fields, header_bytes = read_fields(path)
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
    return Source(sensor, partial(_chunks, path, header_bytes + 2), dict(fields))


def _chunks(path: Path, begin: int) -> Iterator[StoredColumns]:
    last_us: int | None = None
    for _, records in read_records(path, begin, RECORD):
        t = unwrap_times(records["t"], last_us)
        last_us = int(t[-1])

        address = records["address"]
        x = (address & SIDE_MASK).astype(np.int16)
        y = (address >> SIDE_BITS & SIDE_MASK).astype(np.int16)
        yield StoredColumns(t, x, y, address >> 2 * SIDE_BITS)


@contextmanager
def _write(path: Path, sensor: SensorSize, _options: WriteOptions) -> Iterator[Callable[[Events], None]]:
    with path.open("wb") as file:
        file.write(HEADER.format(width=sensor.width, height=sensor.height).encode())
        file.write(bytes([EVENT_TYPES[1], RECORD.itemsize]))

        def add(events: Events) -> None:
            check_range(events, ".dat", t=END_US, x=1 << SIDE_BITS, y=1 << SIDE_BITS)
            records = np.empty(len(events), RECORD)
            records["t"] = events.t
            records["address"] = (
                events.p.astype("<u4") << 2 * SIDE_BITS | events.y.astype("<u4") << SIDE_BITS | events.x
            )
            file.write(records.data)

        yield add


DAT = Format("dat", (".dat",), lambda path, _head: path.suffix.lower() == ".dat", _open, _write, (".dat",))
