"""Header of Prophesee's EVT and DAT files: lines `% key value`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..base.errors import EventError, FormatError
from ..events import SensorSize
from .source import open_binary

MAX_EVT_HEADER_BYTES = 1 << 16
MARK = b"% "
MAX_START_DIGITS = 18  # every number of so many digits fits int64


class Header(NamedTuple):
    """Header: fields (keys in lower case), size in bytes, and whether the file ends within a line of it."""

    fields: dict[str, str]
    size: int
    is_truncated: bool = False


def parse_header(head: bytes) -> Header:
    r"""Parse a header; it ends at `% end`, or before the first line that is not `% key value`.

    Data that happens to begin with `% ` is not confused with a line, because it contains control characters.

    Example:
        >>> parse_header(b"% Version 2\n% Width 12\n% end\n")
        Header(fields={'version': '2', 'width': '12'}, size=29, is_truncated=False)
    """
    return _parse(io.BytesIO(head))


def read_header(path: Path) -> Header:
    """Read the header of a file."""
    with open_binary(path) as file:  # reads only the header: decoding reports later corruption
        header = _parse(file)
    if header.size > MAX_EVT_HEADER_BYTES:
        raise FormatError(f"{path}: header too long (expected at most {MAX_EVT_HEADER_BYTES} bytes)")
    if header.fields and header.is_truncated:
        raise FormatError(f"{path}: truncated in the header, in the line at byte {header.size}")

    return header


def _parse(file: BinaryIO) -> Header:
    """Read lines until the header ends or exceeds MAX_EVT_HEADER_BYTES."""
    fields: dict[str, str] = {}
    size = 0
    while size <= MAX_EVT_HEADER_BYTES and file.read(len(MARK)) == MARK:
        line = file.readline(MAX_EVT_HEADER_BYTES)
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        if any(byte < 0x20 and byte != 0x09 for byte in text):
            break

        # A line without its end is truncated text, unless it is binary data or longer than any line.
        if not line.endswith(b"\n"):
            return Header(fields, size, is_truncated=text.isascii() and len(line) < MAX_EVT_HEADER_BYTES)
        size += len(MARK) + len(line)

        key, _, value = text.decode("utf-8", "replace").strip().partition(" ")
        if key.lower() == "end":
            break
        if key:
            fields[key.lower()] = value.strip()

    return Header(fields, size)


def parse_sensor(path: Path, size: str | None) -> SensorSize | None:
    """Parse the sensor size WIDTHxHEIGHT of a header; None stays None."""
    if size is None:
        return None

    try:
        return SensorSize.parse(size[:100])
    except EventError as error:
        raise FormatError(f"{path}: invalid sensor size in the header ({error})") from error


def parse_start(path: Path, header: Header) -> int:
    """Return the header field `t0`, a time in microseconds to add to every time; 0 if missing. Only faery writes it."""
    text = header.fields.get("t0", "0")
    if not (text.isascii() and text.isdecimal()) or len(text) > MAX_START_DIGITS:
        raise FormatError(f"{path}: wrong time in the header (found t0 = {text!r}, expected microseconds)")

    return int(text)
