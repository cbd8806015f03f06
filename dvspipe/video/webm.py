"""Duration of WebM files that browsers record: they lack it, so players show no length.

Format: https://www.rfc-editor.org/rfc/rfc8794 (EBML), https://www.rfc-editor.org/rfc/rfc9559 (Matroska). A file is a
tree of elements, each with a name, a size and its content; names and sizes have a variable number of bytes (`walk`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path
from typing import NamedTuple

from ..base.files import write_beside

# Names of elements, with the marker of their length.
EBML = 0x1A45DFA3
SEGMENT = 0x18538067
INFO = 0x1549A966
TIMESTAMP_SCALE = 0x2AD7B1
DURATION = 0x4489
SEEK_HEAD = 0x114D9B74
CUES = 0x1C53BB6B
CLUSTER = 0x1F43B675
TIMESTAMP = 0xE7
SIMPLE_BLOCK = 0xA3
BLOCK_GROUP = 0xA0
BLOCK = 0xA1

DEFAULT_SCALE_NS = 1_000_000  # unit of times, if TIMESTAMP_SCALE is missing
DURATION_SIZE = 0x88  # a size of 8, with the marker of a length of one byte
LONG_SIZE = 1 << 56  # marker of a size of 8 bytes
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
    timing = _find_timing(data)
    if timing is None:
        return None

    # The last frame lasts as long as the mean of the others.
    info, scale_ns, times = timing
    gap = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0
    duration = max(times) + gap

    # Info gets a new head with a size of 8 bytes, and the duration at its end: a float of 8 bytes.
    added = struct.pack(">HBd", DURATION, DURATION_SIZE, duration)
    size = info.stop - info.start + len(added)
    head = INFO.to_bytes(4) + (size | LONG_SIZE).to_bytes(8)
    with write_beside(path) as temporary:
        temporary.write_bytes(data[: info.head] + head + data[info.start : info.stop] + added + data[info.stop :])
    return duration * scale_ns * 1e-9


class _Timing(NamedTuple):
    """Element that lacks the duration, unit of time in ns, and times of all blocks in this unit."""

    info: _Element
    scale_ns: int
    times: list[int]


def _find_timing(data: bytes) -> _Timing | None:
    """Return the times of a file; None if its duration is not missing, or cannot be added."""
    # A segment of known size would have to grow, too; browsers leave it open.
    top = {element.name: element for element in walk(data, 0, len(data))}
    if EBML not in top or SEGMENT not in top or not top[SEGMENT].is_open:
        return None

    info = None
    scale_ns = DEFAULT_SCALE_NS
    times = list[int]()
    cluster_time = 0
    for element in walk(data, top[SEGMENT].start, top[SEGMENT].stop, into=(INFO, CLUSTER, BLOCK_GROUP)):
        if element.name == INFO:
            info = element
        elif element.name in (DURATION, SEEK_HEAD, CUES):  # the latter have positions in the file
            return None
        elif element.name == TIMESTAMP_SCALE:
            scale_ns = int.from_bytes(data[element.start : element.stop])
        elif element.name == TIMESTAMP:
            cluster_time = int.from_bytes(data[element.start : element.stop])
        elif element.name in (SIMPLE_BLOCK, BLOCK) and element.stop - element.start >= MIN_BLOCK_BYTES:
            # The time of a block is relative to its cluster.
            offset = int.from_bytes(data[element.start + 1 : element.start + 3], signed=True)
            times.append(cluster_time + offset)
    return _Timing(info, scale_ns, times) if info is not None and times else None


def walk(data: bytes | mmap, start: int, stop: int, into: tuple[int, ...] = ()) -> Iterator[_Element]:
    """Yield the elements in a part of a file; the content of those in `into` follows them.

    The last element of a truncated file ends after `stop`.
    """
    while start < stop:
        name_bytes = _count_bytes(data, start)
        size_bytes = _count_bytes(data, start + name_bytes)
        if not name_bytes or not size_bytes or start + name_bytes + size_bytes > stop:
            return

        # A size has 7 bits per byte; with all of them set, it is unknown, and the element reaches to the end.
        name = int.from_bytes(data[start : start + name_bytes])
        content = start + name_bytes + size_bytes
        unknown = (1 << 7 * size_bytes) - 1
        size = int.from_bytes(data[start + name_bytes : content]) & unknown
        end = stop if size == unknown else content + size
        yield _Element(name, start, content, end, is_open=size == unknown)

        start = content if name in into else end


def _count_bytes(data: bytes | mmap, start: int) -> int:
    """Return the length of a number of variable length; 0: there is none."""
    if start >= len(data):
        return 0

    # The leading 1 bit marks the length: a number of one byte begins with it.
    first = data[start]
    return 9 - first.bit_length() if first else 0
