"""Header of Prophesee's files (lines `% key value`), and DAT version 2 (`.dat`), decoded events.

A DAT file has the header, a byte with the event type, a byte with the event size, then little-endian records of 8
bytes: 32 bits time in microseconds; from the top bit down 4 bits polarity (1 = ON), 14 bits y, 14 bits x. Event types
are 0x0C (contrast detection) and 0x00 (its older name, `2d`). Definition: docs.prophesee.ai, DAT File Format.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ..base.errors import FormatError
from ..events import Events, SensorSize
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
from .writers import WriteOptions, check_range

EVENT_TYPES = (0x00, 0x0C)
RECORD = np.dtype([("t", "<u4"), ("address", "<u4")])
VERSION = "2"
SIDE_BITS = 14
SIDE_MASK = (1 << SIDE_BITS) - 1
END_US = 1 << 32
HEADER = "% Data file containing CD events.\n% Version 2\n% Height {height}\n% Width {width}\n% end\n"


class Header(NamedTuple):
    """Header: fields (names in lower case), and its size in bytes."""

    fields: dict[str, str]
    size: int

    def parse_start(self, path: Path) -> int:
        """Return the field `t0`, a time in microseconds to add to every time; 0 if missing. Only faery writes it."""
        text = self.fields.get("t0", "0")
        if not (text.isascii() and text.isdecimal() and len(text) <= 18):
            raise FormatError(f"{path}: wrong time in the header (found t0 = {text!r}, expected microseconds)")
        return int(text)


def parse_header(file: BinaryIO) -> Header:
    r"""Parse a header; it ends at `% end`, or before the first line that is not `% key value`.

    Example:
        >>> parse_header(io.BytesIO(b"% Version 2\n% Width 12\n% end\n"))
        Header(fields={'version': '2', 'width': '12', 'end': ''}, size=29)
    """
    lines, size = read_header(file, b"% ", "end")
    return Header(parse_fields(lines, " "), size)


def _recognises(path: Path, head: bytes) -> bool:
    fields, size = parse_header(io.BytesIO(head))
    has_records = head[size + 1 : size + 2] == bytes([RECORD.itemsize])
    named = path.suffix.lower() == ".dat" or ("version" in fields and has_records)
    return named and bool(fields) and not fields.keys() & {"evt", "format"}


def _open(path: Path, _hints: Hints) -> Source:
    with path.open("rb") as file:
        header = parse_header(file)
        file.seek(header.size)
        kind, size = file.read(2).ljust(2, b"\xff")

    version = header.fields.get("version", "missing")
    if version != VERSION:
        raise FormatError(f"{path}: wrong DAT version (found {version}, expected {VERSION})")
    if kind not in EVENT_TYPES or size != RECORD.itemsize:
        raise FormatError(
            f"{path}: wrong events (found type 0x{kind:02X} of {size} bytes, expected type 0x00 or 0x0C of "
            f"{RECORD.itemsize} bytes)"
        )

    width = header.fields.get("width")
    height = header.fields.get("height")
    sensor = None if width is None or height is None else parse_sensor(path, width, height)
    return Source(sensor, partial(_chunks, path, header.size + 2, header.parse_start(path)), dict(header.fields))


def _chunks(path: Path, begin: int, start_us: int) -> Iterator[StoredColumns]:
    last_us: int | None = None
    for _, records in read_records(path, begin, RECORD):
        t = unwrap_times(records["t"], last_us)
        last_us = int(t[-1])

        address = records["address"]
        x = (address & SIDE_MASK).astype(np.int16)
        y = (address >> SIDE_BITS & SIDE_MASK).astype(np.int16)
        yield StoredColumns(t + start_us, x, y, address >> 2 * SIDE_BITS)


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


DAT = Format("dat", (".dat",), _recognises, _open, _write, (".dat",))
