"""Find truncated video files by the sizes that their containers store.

A number of frames is no evidence: most containers store none, and readers guess it from duration and frame rate, which
fails for a variable rate.

`CONTAINERS` is the table of containers: how to recognise one by its first bytes, and how to measure its complete size,
with 0 for unknown.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .webm import CLUSTER, EBML, SEGMENT, walk

Content = mmap.mmap | bytes

GIF_TAIL_BYTES = 64  # searched for the trailer; some writers pad it with zeros
MP4_STARTS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
MP4_SAMPLE_TABLES = (b"moov", b"trak", b"mdia", b"minf", b"stbl")  # from the outside to the inside
CHUNK_OFFSETS = {b"stco": ">u4", b"co64": ">u8"}
RIFF_HEAD_BYTES = 12
RIFF_OPEN_SIZES = (0, 0xFFFFFFFF)  # written before the size is known
RIFF_SLACK_BYTES = 8  # some writers count the head, or padding
FLV_TAG_HEAD_BYTES = 11
FLV_TAG_TAIL_BYTES = 4
FLV_TAG_KINDS = (8, 9, 18)  # sound, video, script
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
ASF_SIZE_AT = 40  # relative to the properties
ASF_FLAGS_AT = 88  # likewise
ASF_BROADCAST = 1  # flag: the size was unknown when the head was written
BOX_HEAD_BYTES = 8  # MP4: size and name
STCO_HEAD_BYTES = 8  # version, flags and number of entries; the same for co64
STSZ_HEAD_BYTES = 12  # version, flags, common size and number of entries


def find_complete_bytes(path: Path) -> int | None:
    """Return the minimum size of the complete file if a video file is truncated; None if it seems complete.

    A file that was cut between two units of its container, or whose container stores no sizes (MPEG), seems complete.
    """
    if not path.is_file() or not path.stat().st_size:
        return None

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        expected = max((measure(content) for starts, measure in CONTAINERS if starts(content)), default=0)
        return expected if expected > len(content) else None


def _measure_matroska(content: Content) -> int:
    """Return the end of the segment; if its size is unknown, as in streams, the end of its last element."""
    segment = next((element for element in walk(content, 0, len(content)) if element.name == SEGMENT), None)
    if segment is None or not segment.is_open:
        return 0 if segment is None else segment.stop

    # A cluster of a stream may be of unknown size, too: walk into clusters, to their blocks.
    elements = walk(content, segment.start, segment.stop, into=(CLUSTER,))
    return max((element.stop for element in elements), default=0)


def _measure_mp4(content: Content) -> int:
    """Return the end of the last box with media or their description, or of all samples if they follow each other."""
    ends = [0]
    offsets = list[int]()
    sample_bytes = 0
    for name, start, stop in _walk_boxes(content):
        if name in (b"moov", b"moof", b"mdat"):
            ends.append(stop)
        elif name in CHUNK_OFFSETS:
            chunk_offsets = _read_table(content[start + STCO_HEAD_BYTES : stop], CHUNK_OFFSETS[name])
            offsets += chunk_offsets[:1].tolist()
        elif name == b"stsz":
            sizes = _read_table(content[start + STSZ_HEAD_BYTES : stop], ">u4")
            sample_bytes += int(sizes.sum(dtype=np.uint64))

    # The samples begin at the first chunk of any track, and have at least their total size together.
    first = min(offsets, default=0)
    return max(*ends, first + sample_bytes)


def _read_table(table: bytes, kind: str) -> NDArray[np.unsignedinteger]:
    """Return the numbers of a table, without an incomplete one at its end."""
    size = np.dtype(kind).itemsize
    complete = len(table) // size * size
    return np.frombuffer(table[:complete], kind)


def _walk_boxes(content: Content) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, the start of the content and the end of each box, and of the boxes in MP4_SAMPLE_TABLES."""
    position = 0
    while position + BOX_HEAD_BYTES <= len(content):
        size = int.from_bytes(content[position : position + 4])
        name = content[position + 4 : position + 8]
        start = position + BOX_HEAD_BYTES

        # Size 1: a size of 64 bits follows the name. Size 0: the box reaches to the end of the file.
        if size == 1:
            size = int.from_bytes(content[start : start + 8])
            start += 8
        stop = position + size if size else len(content)
        if stop < start or not name.isascii():
            return

        yield name, start, stop
        position = start if name in MP4_SAMPLE_TABLES else stop


def _measure_avi(content: Content) -> int:
    """Return the end of the last RIFF chunk; files above 1 GB have several."""
    position = 0
    stop = 0
    while content[position : position + 4] == b"RIFF":
        size = int.from_bytes(content[position + 4 : position + 8], "little")
        if size in RIFF_OPEN_SIZES:
            return 0
        position = stop = position + 8 + size

    return stop if stop > len(content) + RIFF_SLACK_BYTES else 0


def _measure_flv(content: Content) -> int:
    """Return the end of the last tag."""
    # The head of the file stores its own size; every tag is followed by its size.
    position = int.from_bytes(content[5:9]) + FLV_TAG_TAIL_BYTES
    stop = 0
    while position + FLV_TAG_HEAD_BYTES <= len(content) and content[position] in FLV_TAG_KINDS:
        stop = position + FLV_TAG_HEAD_BYTES + int.from_bytes(content[position + 1 : position + 4])
        position = stop + FLV_TAG_TAIL_BYTES
    return stop


def _measure_asf(content: Content) -> int:
    """Return the size of the file in its properties."""
    start = content.find(ASF_PROPERTIES)
    if start < 0:
        return 0

    size_at = start + ASF_SIZE_AT
    flags_at = start + ASF_FLAGS_AT
    flags = int.from_bytes(content[flags_at : flags_at + 4], "little")
    return 0 if flags & ASF_BROADCAST else int.from_bytes(content[size_at : size_at + 8], "little")


def _measure_gif(content: Content) -> int:
    """Return the size of the file, and one byte more if its trailer is missing."""
    has_trailer = content[-GIF_TAIL_BYTES:].rstrip(b"\0").endswith(b";")
    return len(content) + (not has_trailer)


CONTAINERS: tuple[tuple[Callable[[Content], bool], Callable[[Content], int]], ...] = (
    (lambda content: content[:4] == EBML.to_bytes(4), _measure_matroska),
    (lambda content: content[4:8] in MP4_STARTS, _measure_mp4),
    (lambda content: content[:4] == b"RIFF" and content[8:RIFF_HEAD_BYTES] == b"AVI ", _measure_avi),
    (lambda content: content[:3] == b"FLV", _measure_flv),
    (lambda content: content[:4] == b"\x30\x26\xb2\x75", _measure_asf),
    (lambda content: content[:3] == b"GIF", _measure_gif),
)
"""How to recognise a container, and how to measure its complete size."""
