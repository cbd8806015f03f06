"""AEDAT 2.0 of jAER (`.aedat`): pairs of a 32-bit address and a 32-bit time in microseconds, big-endian.

The bits of an address are defined only by jAER's class for the chip; some files store this class in their header
(docs.inivation.com, "AEDAT 2.0"; jAER's DVS128, DavisChip and DavisBaseCamera). jAER counts rows upwards, and these
chips number columns from right to left. The DVS128 encodes ON as 0, although the public documentation says 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..base.errors import FormatError
from ..events import SensorSize
from ..parallel import Progress
from .hints import NO_HINTS, Hints
from .source import Format, Source, StoredColumns, invalid_record, open_binary, read_records

AEDAT2_MAGIC = b"#!AER-DAT2.0"
AEDAT_MAGIC = b"#!AER-DAT"
AEDAT2_HEADER_END = b"#end of ascii header"
AEDAT2_BYTES = 8  # address and time
MAX_AEDAT2_HEADER_BYTES = 16 << 20  # jAER stores all its settings in the header, up to a few MB
MAX_HEADER_LINES = 1 << 18
CONTROLS = bytes(set(range(32)) - set(b"\t\r\n"))  # never part of text


@dataclass(frozen=True)
class _Chip:
    """Address bits of a chip.

    Args:
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

    sensor: SensorSize
    x_shift: int
    y_shift: int
    x_bits: int
    y_bits: int
    p_bit: int
    on: int
    other: int
    never: int


def _davis_chip(width: int, height: int) -> _Chip:
    return _Chip(
        sensor=SensorSize(width=width, height=height),
        x_shift=12,
        y_shift=22,
        x_bits=10,
        y_bits=9,
        p_bit=11,
        on=1,
        other=1 << 31 | 1 << 10,
        never=0,
    )


CHIPS = {
    "DVS128": _Chip(
        sensor=SensorSize(width=128, height=128),
        x_shift=1,
        y_shift=8,
        x_bits=7,
        y_bits=7,
        p_bit=0,
        on=0,
        other=1 << 31 | 1 << 15,
        never=0x7FFF0000,
    ),
    "DAVIS240": _davis_chip(240, 180),
    "DAVIS346": _davis_chip(346, 260),
}
JAER_CLASSES = {
    "DVS128": "DVS128",
    "DAVIS240A": "DAVIS240",
    "DAVIS240B": "DAVIS240",
    "DAVIS240C": "DAVIS240",
    "DAVIS346B": "DAVIS346",
    "DAVIS346BLUE": "DAVIS346",
    "DAVIS346RED": "DAVIS346",
}


def _recognises(path: Path, head: bytes) -> bool:
    newer = head.startswith((AEDAT_MAGIC + b"3", AEDAT_MAGIC + b"4"))
    return head.startswith(AEDAT2_MAGIC) or (path.suffix.lower() in AEDAT2.suffixes and not newer)


def _open(path: Path, hints: Hints = NO_HINTS) -> Source:
    with open_binary(path) as file:
        lines, start = _read_header(path, file)

    if not lines or not lines[0].startswith(AEDAT2_MAGIC.decode()):
        has_version = lines and lines[0].startswith(AEDAT_MAGIC.decode())
        version = lines[0].strip() if has_version else "none: AEDAT 1.0 with 16-bit addresses"
        raise FormatError(f"{path}: wrong version in the header (found {version}, expected AEDAT 2.0)")

    named = {key: _find_value(lines, key) for key in ("AEChip", "HardwareInterface")}
    name = _find_chip(path, named, hints)
    attributes = {"chip": name} | {key: value for key, value in named.items() if value}
    return Source(CHIPS[name].sensor, partial(_chunks, path, name, start), attributes)


def _find_value(lines: list[str], key: str) -> str:
    for line in lines:
        name, _, value = line.lstrip("# ").partition(":")
        if name == key:
            return value.strip()
    return ""


def _find_chip(path: Path, named: dict[str, str], hints: Hints) -> str:
    """Return the key in CHIPS, from the header or from the hints."""
    jaer_class = named["AEChip"].split(".")[-1]  # without its package
    stored = JAER_CLASSES.get(jaer_class.upper())
    if stored is None and not jaer_class and named["HardwareInterface"].startswith("DVS128"):
        stored = "DVS128"

    # A hint may also name a class of jAER.
    hinted = hints.chip.upper() if hints.chip else None
    hinted = JAER_CLASSES.get(hinted, hinted) if hinted else None
    if hinted is not None and hinted not in CHIPS:
        raise FormatError(f"{path}: unknown chip {hints.chip!r} (expected {', '.join(CHIPS)})")
    if stored and hinted and stored != hinted:
        raise FormatError(f"{path}: wrong chip (found {jaer_class or stored} in the header, expected {hinted})")
    if stored or hinted:
        return stored or hinted or ""

    header = f"unknown chip {jaer_class} in the header" if jaer_class else "no chip in the header"
    purpose = f"name the chip ({', '.join(CHIPS)})"
    raise FormatError(f"{path}: {header}; use chip=DVS128 to {purpose}")


def _read_header(path: Path, file: BinaryIO) -> tuple[list[str], int]:
    """Return the header lines and the position of the data. Like a header line, data may begin with #."""
    lines: list[str] = []
    start = 0
    while start < MAX_AEDAT2_HEADER_BYTES and len(lines) < MAX_HEADER_LINES:
        if lines and lines[-1][:40].lower().replace("# ", "#").startswith(AEDAT2_HEADER_END.decode()):
            return lines, start
        line = file.readline(MAX_AEDAT2_HEADER_BYTES)
        if not line.startswith(b"#") or not line.endswith(b"\n") or len(line.translate(None, CONTROLS)) < len(line):
            return lines, start
        lines.append(line.decode("utf-8", "replace").rstrip())
        start += len(line)

    raise FormatError(f"{path}: the header has no end (read {len(lines)} lines, {start} bytes)")


def _chunks(path: Path, name: str, start: int, progress: Progress | None = None) -> Iterator[StoredColumns]:
    last_us: int | None = None
    for position, block in read_records(path, start, AEDAT2_BYTES, progress):
        words = block.view(">u4").astype(np.uint32)
        t = _unwrap_times(np.ascontiguousarray(words[:, 1]), last_us)
        last_us = int(t[-1])
        yield from _decode_events(path, name, words[:, 0], t, position)


def _unwrap_times(stamps: NDArray[np.uint32], last_us: int | None) -> NDArray[np.int64]:
    """Unwrap 32-bit timestamps; successive times differ by less than 2^31 us.

    The public documentation calls timestamps signed; they would become negative after 36 minutes. As unsigned numbers,
    they count from the start of the camera, up to 71 minutes, and are never negative.

    Args:
        stamps: Stored timestamps, [N].
        last_us: Time of the previous event; None if there is none.

    Returns:
        Times in microseconds, int64 [N].
    """
    # Law: t[n] = t[n - 1] + step, with the step modulo 2^32 in [-2^31, 2^31). The first step is from the previous
    # event, computed in integers of Python, because `last_us` can be larger than a timestamp.
    signed = stamps.view(np.int32)
    first = int(stamps[0]) if last_us is None else last_us
    steps = np.empty(len(stamps), np.int32)
    steps[0] = (int(signed[0]) - first + (1 << 31)) % (1 << 32) - (1 << 31)
    np.subtract(signed[1:], signed[:-1], out=steps[1:])  # wraps like the timestamps

    times: NDArray[np.int64] = first + np.cumsum(steps, dtype=np.int64)
    return times


def _decode_events(
    path: Path, name: str, addresses: NDArray[np.uint32], t: NDArray[np.int64], position: int
) -> Iterator[StoredColumns]:
    """Yield the events in words that begin at byte `position`, up to the first invalid word."""
    chip = CHIPS[name]
    is_event = (addresses & np.uint32(chip.other)) == 0

    # Rows are counted upwards, and columns from right to left.
    from_right = addresses >> chip.x_shift & (1 << chip.x_bits) - 1
    from_bottom = addresses >> chip.y_shift & (1 << chip.y_bits) - 1
    x = chip.sensor.width - 1 - from_right.astype(np.int32)
    y = chip.sensor.height - 1 - from_bottom.astype(np.int32)
    p = (addresses >> chip.p_bit & 1) == chip.on

    is_wrong = is_event & ((x < 0) | (y < 0) | (addresses & np.uint32(chip.never) != 0))
    stop = int(np.argmax(is_wrong)) if is_wrong.any() else len(t)

    events = np.flatnonzero(is_event[:stop])
    yield StoredColumns(t[events], x[events], y[events], p[events])

    if stop < len(t):
        problem = f"wrong address (found 0x{int(addresses[stop]):08x}, expected a pixel of {name})"
        raise invalid_record(path, position + AEDAT2_BYTES * stop, problem)


AEDAT2 = Format("aedat2", (".aedat", ".aedat2"), _recognises, _open)
