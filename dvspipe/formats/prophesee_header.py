"""The header of Prophesee's files, EVT and DAT: lines `% key value`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..errors import EventError, FormatError
from ..events import SensorSize
from .source import open_binary

LONGEST_HEADER_BYTES = 1 << 16


class Header(NamedTuple):
    """Keys (lower case) and values of a header, and its size in bytes."""

    fields: dict[str, str]
    size: int


def parse_header(head: bytes) -> Header:
    """Return the header at the beginning of some bytes; it ends at `% end` or before anything but a line `% key value`.

    Data that happens to begin with the bytes of `% ` is not taken for a line, because it has control characters.
    """
    fields: dict[str, str] = {}
    size = 0
    while head.startswith(b"% ", size) and (stop := head.find(b"\n", size)) >= 0:
        line = head[size + 2 : stop].removesuffix(b"\r")
        if any(byte < 0x20 and byte != 0x09 for byte in line):
            break
        size = stop + 1
        key, _, value = line.decode("utf-8", "replace").strip().partition(" ")
        if key.lower() == "end":
            break
        if key:
            fields[key.lower()] = value.strip()
    return Header(fields, size)


def read_header(path: Path) -> Header:
    """Return the header of a file.

    Raises:
        FormatError: It is longer than LONGEST_HEADER_BYTES.
    """
    head, header = bytearray(), Header({}, 0)
    with open_binary(path) as file:  # not beyond the header: corruption there is found when decoding
        while header.size == len(head) <= LONGEST_HEADER_BYTES and (mark := file.read(2)) == b"% ":
            head += mark + file.readline(LONGEST_HEADER_BYTES)
            header = parse_header(bytes(head))
    if header.size > LONGEST_HEADER_BYTES:
        raise FormatError(f"{path}: its header is longer than {LONGEST_HEADER_BYTES} bytes")
    return header


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
