"""AEDAT 2.0 of jAER (`.aedat`): pairs of a 32-bit address and a 32-bit time in microseconds, big-endian.

The bits of an address are defined only by jAER's class for the chip; some files store this class in their header
(docs.inivation.com, "AEDAT 2.0"; jAER's DVS128, DavisChip and DavisBaseCamera). jAER counts rows upwards, and these
chips number columns from right to left. The DVS128 encodes ON as 0, although the public documentation says 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.errors import FormatError
from ..events import SensorSize
from .hints import Hints
from .source import Format, Source, StoredColumns, parse_fields, read_header, read_records, unwrap_times

VERSION = "!AER-DAT2.0"
RECORD = np.dtype([("address", ">u4"), ("t", ">u4")])


class _Chip(NamedTuple):
    """Address bits of a chip.

    Args:
        name: Name of the chip.
        sensor: Sensor size.
        x_shift: Lowest bit of the column, counted from the right.
        y_shift: Lowest bit of the row, counted from the bottom.
        x_bits: Number of bits of the column.
        y_bits: Number of bits of the row.
        p_bit: Position of the polarity bit.
        on: Value of the polarity bit in ON events.
        other: Mask of non-events: external input, frames and IMU samples have one of these bits.
        never: Mask of bits that are always 0 in events.
    """

    name: str
    sensor: SensorSize
    x_shift: int = 12
    y_shift: int = 22
    x_bits: int = 10
    y_bits: int = 9
    p_bit: int = 11
    on: int = 1
    other: int = 1 << 31 | 1 << 10
    never: int = 0


DVS128 = _Chip(
    "DVS128",
    SensorSize(width=128, height=128),
    x_shift=1,
    y_shift=8,
    x_bits=7,
    y_bits=7,
    p_bit=0,
    on=0,
    other=1 << 31 | 1 << 15,
    never=0x7FFF0000,
)
DAVIS240 = _Chip("DAVIS240", SensorSize(width=240, height=180))
DAVIS346 = _Chip("DAVIS346", SensorSize(width=346, height=260))
CHIPS = (DVS128, DAVIS240, DAVIS346)


def _open(path: Path, hints: Hints) -> Source:
    lines, start = read_header(path, b"#", "end of ascii header")
    version = lines[0] if lines and lines[0].startswith("!AER-DAT") else "none: AEDAT 1.0 with 16-bit addresses"
    if version != VERSION:
        raise FormatError(f"{path}: wrong version in the header (found {version}, expected {VERSION})")

    fields = parse_fields(lines, ":")
    chip = _find_chip(path, fields, hints)
    named = {key: fields[key.lower()] for key in ("AEChip", "HardwareInterface") if fields.get(key.lower())}
    return Source(chip.sensor, partial(_chunks, path, chip, start), {"chip": chip.name} | named)


def _find_chip(path: Path, fields: dict[str, str], hints: Hints) -> _Chip:
    """Return the chip, from the header or from the hints; both may name jAER's class for it, such as DAVIS240C."""
    stored = fields.get("aechip", "").split(".")[-1] or fields.get("hardwareinterface", "")
    chip = _match_chip(hints.chip or stored)
    if chip is None or _match_chip(stored) not in (None, chip):
        names = ", ".join(chip.name for chip in CHIPS)
        found = f"found {stored or 'none'} in the header, {hints.chip or 'none'} given"
        raise FormatError(f"{path}: unknown chip ({found}, expected {names}); use chip=CHIP to name it")
    return chip


def _match_chip(name: str) -> _Chip | None:
    return next((chip for chip in CHIPS if name.upper().startswith(chip.name)), None)


def _chunks(path: Path, chip: _Chip, start: int) -> Iterator[StoredColumns]:
    last_us: int | None = None
    for position, records in read_records(path, start, RECORD):
        t = unwrap_times(records["t"].astype(np.uint32), last_us)
        last_us = int(t[-1])
        address = records["address"].astype(np.uint32)

        # Rows are counted upwards, and columns from right to left.
        from_right = address >> chip.x_shift & (1 << chip.x_bits) - 1
        from_bottom = address >> chip.y_shift & (1 << chip.y_bits) - 1
        x = chip.sensor.width - 1 - from_right.astype(np.int32)
        y = chip.sensor.height - 1 - from_bottom.astype(np.int32)
        on = (address >> chip.p_bit & 1) == chip.on

        is_event = address & np.uint32(chip.other) == 0
        is_wrong = is_event & (address & np.uint32(chip.never) != 0)
        if is_wrong.any():
            record = int(is_wrong.argmax())
            place = position + RECORD.itemsize * record
            raise FormatError(f"{path}: byte {place}: wrong address 0x{address[record]:08x} of {chip.name}")
        yield StoredColumns(t[is_event], x[is_event], y[is_event], on[is_event])


AEDAT2 = Format("aedat2", (".aedat", ".aedat2"), _open)
