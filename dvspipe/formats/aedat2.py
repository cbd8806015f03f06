"""AEDAT 2.0, the files of jAER (`.aedat`): pairs of a 32-bit address and a 32-bit time in microseconds, big endian.

The meaning of the bits of an address is defined only by jAER's class for the chip, which some files name in their
header (docs.inivation.com, "AEDAT 2.0"; jAER's DVS128, DavisChip and DavisBaseCamera). jAER counts rows upwards, and
these chips number their columns from right to left; the DVS128 has 0 for ON, although the public text says 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptionError, FormatError, Remedy
from ..events import SensorSize
from ..parallel import Progress
from .hints import NO_HINTS, Hints
from .interface import Format
from .source import CHUNK_EVENTS, Source, StoredColumns, open_binary

AEDAT2_MAGIC = b"#!AER-DAT2.0"
AEDAT_MAGIC = b"#!AER-DAT"
AEDAT2_HEADER_END = b"#end of ascii header"
AEDAT2_BYTES = 8  # of an address and a time
LONGEST_AEDAT2_HEADER_BYTES = 16 << 20  # jAER writes all its settings there, up to a few MB
MAX_HEADER_LINES = 1 << 18
CONTROLS = bytes(set(range(32)) - set(b"\t\r\n"))  # that no text has


@dataclass(frozen=True)
class _Chip:
    """The bits of the addresses of a chip.

    Args:
        sensor: Its size.
        x_shift: Lowest bit of the column, counted from the right.
        y_shift: Lowest bit of the row, counted from the bottom.
        x_bits: Number of bits of the column.
        y_bits: Number of bits of the row.
        p_bit: The bit of the polarity.
        on: Value of that bit in ON events.
        other: An address with one of these bits is not an event, but external input, a frame or an IMU sample.
        never: The address of an event has none of these bits.
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


def _davis(width: int, height: int) -> _Chip:
    return _Chip(SensorSize(width, height), 12, 22, 10, 9, 11, on=1, other=1 << 31 | 1 << 10, never=0)


CHIPS = {
    "DVS128": _Chip(SensorSize(128, 128), 1, 8, 7, 7, 0, on=0, other=1 << 31 | 1 << 15, never=0x7FFF0000),
    "DAVIS240": _davis(240, 180),
    "DAVIS346": _davis(346, 260),
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
        version = lines[0].strip() if has_version else "no version, which is AEDAT 1.0 with 16-bit addresses"
        raise FormatError(f"{path}: its header has {version} (expected AEDAT 2.0)")
    named = {key: _value(lines, key) for key in ("AEChip", "HardwareInterface")}
    name = _chip_name(path, named, hints)
    chip = CHIPS[name]
    attributes = {"chip": name} | {key: value for key, value in named.items() if value}
    return Source(chip.sensor, partial(_chunks, path, chip, name, start), attributes)


def _value(lines: list[str], key: str) -> str:
    for line in lines:
        name, _, value = line.lstrip("# ").partition(":")
        if name == key:
            return value.strip()
    return ""


def _chip_name(path: Path, named: dict[str, str], hints: Hints) -> str:
    """Return the key in CHIPS, from the header or the hints."""
    jaer_class = named["AEChip"].rpartition(".")[2]
    found = JAER_CLASSES.get(jaer_class.upper())
    if found is None and not jaer_class and named["HardwareInterface"].startswith("DVS128"):
        found = "DVS128"
    hinted = hints.chip.upper() if hints.chip else None
    hinted = JAER_CLASSES.get(hinted, hinted) if hinted else None
    if hinted is not None and hinted not in CHIPS:
        raise FormatError(f"{path}: unknown chip {hints.chip!r} (expected {', '.join(CHIPS)})")
    if found and hinted and found != hinted:
        raise FormatError(f"{path}: its header names the chip {jaer_class or found}, not {hinted}")
    if found or hinted:
        return found or hinted or ""
    header = f"names the unknown chip {jaer_class}" if jaer_class else "does not name the chip"
    purpose = f"name it ({', '.join(CHIPS)})"
    raise FormatError(f"{path}: its header {header}", Remedy("hints.chip", "DVS128", purpose))


def _read_header(path: Path, file: BinaryIO) -> tuple[list[str], int]:
    """Return the lines of the header, and where the data begins; data may begin with # like a header line."""
    lines: list[str] = []
    start = 0
    while start < LONGEST_AEDAT2_HEADER_BYTES and len(lines) < MAX_HEADER_LINES:
        if lines and lines[-1][:40].lower().replace("# ", "#").startswith(AEDAT2_HEADER_END.decode()):
            return lines, start
        line = file.readline(LONGEST_AEDAT2_HEADER_BYTES)
        if not line.startswith(b"#") or not line.endswith(b"\n") or len(line.translate(None, CONTROLS)) < len(line):
            return lines, start
        lines.append(line.decode("utf-8", "replace").rstrip())
        start += len(line)
    raise FormatError(f"{path}: its header does not end after {len(lines)} lines, {start} bytes")


def _chunks(
    path: Path, chip: _Chip, name: str, start: int, progress: Progress | None = None
) -> Iterator[StoredColumns]:
    last_us: int | None = None
    read = start
    with open_binary(path, progress) as file:
        file.read(start)  # not seek: it may be packed
        while block := file.read(AEDAT2_BYTES * CHUNK_EVENTS):
            left_over = len(block) % AEDAT2_BYTES
            words = np.frombuffer(block, ">u4", (len(block) - left_over) // 4).astype(np.uint32).reshape(-1, 2)
            if len(words):
                t = _unwrapped(np.ascontiguousarray(words[:, 1]), last_us)
                last_us = int(t[-1])
                yield from _events(path, chip, name, words[:, 0], t, read)
            read += len(block)
            if left_over:
                raise CorruptionError(
                    f"{path}: {read} bytes, the last {left_over} are not a complete event of {AEDAT2_BYTES} bytes",
                    lost=f"{left_over} bytes",
                )


def _unwrapped(stamps: NDArray[np.uint32], last_us: int | None) -> NDArray[np.int64]:
    """Return times in microseconds from stamps that continue with 0 after 2^32 - 1, in steps of less than 2^31.

    The public text calls the stamps signed, so that they would become negative after 36 minutes. Read as unsigned, they
    are the time since the camera started to count, up to 71 minutes, and times are never negative.

    Args:
        stamps: [N] as stored.
        last_us: Time of the previous event, None if there is none.
    """
    signed = stamps.view(np.int32)
    first = int(stamps[0]) if last_us is None else last_us
    steps = np.empty(len(stamps), np.int32)
    steps[0] = (int(signed[0]) - first + (1 << 31)) % (1 << 32) - (1 << 31)
    np.subtract(signed[1:], signed[:-1], out=steps[1:])  # wraps as the stamps do
    times: NDArray[np.int64] = first + np.cumsum(steps, dtype=np.int64)
    return times


def _events(
    path: Path, chip: _Chip, name: str, addresses: NDArray[np.uint32], t: NDArray[np.int64], position: int
) -> Iterator[StoredColumns]:
    """Yield the events among the words that begin at byte `position`, up to the first invalid word."""
    event = (addresses & np.uint32(chip.other)) == 0
    x = chip.sensor.width - 1 - (addresses >> chip.x_shift & (1 << chip.x_bits) - 1).astype(np.int32)
    y = chip.sensor.height - 1 - (addresses >> chip.y_shift & (1 << chip.y_bits) - 1).astype(np.int32)
    p = (addresses >> chip.p_bit & 1) == chip.on
    wrong = event & ((x < 0) | (y < 0) | (addresses & np.uint32(chip.never) != 0))
    stop = int(np.argmax(wrong)) if wrong.any() else len(t)
    keep = np.flatnonzero(event[:stop])
    yield StoredColumns(t[keep], x[keep], y[keep], p[keep])
    if stop < len(t):
        raise CorruptionError(
            f"{path}: the word at byte {position + AEDAT2_BYTES * stop} has the address 0x{int(addresses[stop]):08x}, "
            f"which is not a pixel of a {name}",
            lost="everything after it",
        )


AEDAT2 = Format("aedat2", (".aedat", ".aedat2"), _recognises, _open)
