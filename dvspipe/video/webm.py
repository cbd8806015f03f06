"""Duration of WebM files that browsers record: they lack it, so players show no length.

Format: https://www.rfc-editor.org/rfc/rfc8794 (EBML), https://www.rfc-editor.org/rfc/rfc9559 (Matroska).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path
from typing import NamedTuple

from ..base.files import write_beside

EBML, SEGMENT, INFO, TIMESTAMP_SCALE, DURATION = 0x1A45DFA3, 0x18538067, 0x1549A966, 0x2AD7B1, 0x4489
SEEK_HEAD, CUES = 0x114D9B74, 0x1C53BB6B
CLUSTER, TIMESTAMP, SIMPLE_BLOCK, BLOCK_GROUP, BLOCK = 0x1F43B675, 0xE7, 0xA3, 0xA0, 0xA1
DEFAULT_SCALE_NS = 1_000_000
MIN_BLOCK_BYTES = 4  # track number, time and flags


class _Element(NamedTuple):
    """Element of a file: its name, where its head, content and end are, and whether its size is unknown."""

    name: int
    head: int
    start: int
    stop: int
    is_open: bool


def write_duration(path: Path) -> float | None:
    """Write the duration into a WebM file that has none, and return it in seconds.

    Other files, and files with a duration, are not changed; the result is then None.
    """
    data = path.read_bytes()
    found = _find_times(data)
    if found is None:
        return None
    info, scale_ns, times = found
    gap = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0
    duration = max(times) + gap
    added = struct.pack(">HBd", DURATION, 0x88, duration)
    size = info.stop - info.start + len(added)
    head = INFO.to_bytes(4) + (size | 1 << 56).to_bytes(8)
    with write_beside(path) as temporary:
        temporary.write_bytes(data[: info.head] + head + data[info.start : info.stop] + added + data[info.stop :])
    return duration * scale_ns * 1e-9


def _find_times(data: bytes) -> tuple[_Element, int, list[int]] | None:
    """Return the Info element, the unit of time in ns, and the times of all blocks; None if nothing is missing."""
    top = {each.name: each for each in walk(data, 0, len(data))}
    if EBML not in top or SEGMENT not in top or not top[SEGMENT].is_open:
        return None
    info, scale_ns, times, base = None, DEFAULT_SCALE_NS, list[int](), 0
    for each in walk(data, top[SEGMENT].start, top[SEGMENT].stop, into=(INFO, CLUSTER, BLOCK_GROUP)):
        if each.name == INFO:
            info = each
        elif each.name in (DURATION, SEEK_HEAD, CUES):  # the latter have positions in the file
            return None
        elif each.name == TIMESTAMP_SCALE:
            scale_ns = int.from_bytes(data[each.start : each.stop])
        elif each.name == TIMESTAMP:
            base = int.from_bytes(data[each.start : each.stop])
        elif each.name in (SIMPLE_BLOCK, BLOCK) and each.stop - each.start >= MIN_BLOCK_BYTES:
            times.append(base + int.from_bytes(data[each.start + 1 : each.start + 3], signed=True))
    return (info, scale_ns, times) if info is not None and times else None


def walk(data: bytes | mmap, start: int, stop: int, into: tuple[int, ...] = ()) -> Iterator[_Element]:
    """Yield the elements in a part of a file; the content of those in `into` follows them.

    The last element of a truncated file ends after `stop`.
    """
    while start < stop:
        name_bytes = _count_bytes(data, start)
        size_bytes = _count_bytes(data, start + name_bytes)
        if not name_bytes or not size_bytes or start + name_bytes + size_bytes > stop:
            return
        name = int.from_bytes(data[start : start + name_bytes])
        content = start + name_bytes + size_bytes
        unknown = (1 << 7 * size_bytes) - 1
        size = int.from_bytes(data[start + name_bytes : content]) & unknown
        end = stop if size == unknown else content + size
        yield _Element(name, start, content, end, size == unknown)
        start = content if name in into else end


def _count_bytes(data: bytes | mmap, at: int) -> int:
    """Return the length of a number of variable length; 0: there is none."""
    return 9 - data[at].bit_length() if at < len(data) and data[at] else 0
