"""The header of Prophesee's files, EVT and DAT: lines `% key value`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..errors import EventError, FormatError
from ..events import SensorSize
from .source import open_binary

LONGEST_HEADER_BYTES = 1 << 16
MARK = b"% "


class Header(NamedTuple):
    """Keys (lower case) and values of a header, and its size in bytes."""

    fields: dict[str, str]
    size: int


def parse_header(head: bytes) -> Header:
    """Return the header at the beginning of some bytes; it ends at `% end` or before anything but a line `% key value`.

    Data that happens to begin with the bytes of `% ` is not taken for a line, because it has control characters.
    """
    return _parse(io.BytesIO(head))


def read_header(path: Path) -> Header:
    """Return the header of a file.

    Raises:
        FormatError: It is longer than LONGEST_HEADER_BYTES.
    """
    with open_binary(path) as file:  # not beyond the header: corruption there is found when decoding
        header = _parse(file)
    if header.size > LONGEST_HEADER_BYTES:
        raise FormatError(f"{path}: its header is longer than {LONGEST_HEADER_BYTES} bytes")
    return header


def _parse(file: BinaryIO) -> Header:
    """Read lines until the header ends or is longer than LONGEST_HEADER_BYTES."""
    fields: dict[str, str] = {}
    size = 0
    while size <= LONGEST_HEADER_BYTES and file.read(len(MARK)) == MARK:
        line = file.readline(LONGEST_HEADER_BYTES)
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        if not line.endswith(b"\n") or any(byte < 0x20 and byte != 0x09 for byte in text):
            break
        size += len(MARK) + len(line)
        key, _, value = text.decode("utf-8", "replace").strip().partition(" ")
        if key.lower() == "end":
            break
        if key:
            fields[key.lower()] = value.strip()
    return Header(fields, size)


def parse_sensor(path: Path, size: str | None) -> SensorSize | None:
    """Return the sensor that a header names as WIDTHxHEIGHT, None if it names none.

    Raises:
        FormatError: The size is not valid.
    """
    if size is None:
        return None
    try:
        return SensorSize.parse(size[:100])
    except EventError as error:
        raise FormatError(f"{path}: its header names an invalid sensor ({error})") from error


def parse_start(path: Path, header: Header) -> int:
    """Return what to add to every time: `t0` in microseconds, which only faery writes; 0 if there is none.

    Raises:
        FormatError: It is not a number of microseconds.
    """
    start_us = header.fields.get("t0", "0")
    if not (start_us.isascii() and start_us.isdecimal()) or len(start_us) > 18:
        raise FormatError(f"{path}: its header has t0 = {start_us!r} (expected microseconds)")
    return int(start_us)
