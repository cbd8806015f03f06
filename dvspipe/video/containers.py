"""Find truncated video files by the sizes that their containers store.

A number of frames is no evidence: most containers store none, and readers guess it from duration and frame rate, which
fails for a variable rate.
"""

from __future__ import annotations

import mmap
from pathlib import Path

SEGMENT = b"\x18\x53\x80\x67"
CLUSTER = b"\x1f\x43\xb6\x75"
MP4_FIRST = (b"ftyp", b"moov", b"mdat", b"wide")
MP4_MEDIA = (b"moov", b"moof", b"mdat")
RIFF_OPEN_SIZE = 0xFFFFFFFF  # written before the size is known
RIFF_SLACK_BYTES = 8  # some writers count the head, or padding
TAIL_BYTES = 64  # searched for the trailer; some writers pad it with zeros


def find_complete_bytes(path: Path) -> int | None:
    """Return the minimum size of the complete file if a video file is truncated; None if it seems complete.

    A file that was cut between two units of its container, or that has another container (MPEG, FLV), seems complete.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        expected = _measure(content)
        return expected if expected > len(content) else None


def is_gif(path: Path) -> bool:
    """Return whether a file is a GIF, whatever its name is."""
    with path.open("rb") as file:
        return file.read(3) == b"GIF"


def _measure(content: mmap.mmap) -> int:
    """Return the size of the complete file; 0 if its container is unknown."""
    head = content[:8]
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _measure_matroska(content)
    if head[4:] in MP4_FIRST:
        return _measure_mp4(content)
    if head[:4] == b"RIFF":
        return _measure_avi(content)
    if head[:3] == b"GIF":
        return _measure_gif(content)
    return _measure_trailer(content, b"IEND\xaeB`\x82") if head[1:4] == b"PNG" else 0


def _measure_matroska(content: mmap.mmap) -> int:
    """Return the end of the segment; if its size is unknown, as in streams, the end of its last element."""
    position = 0
    stop = 0
    while name_bytes := _count_bytes(content, position):
        size_at = position + name_bytes
        size_bytes = _count_bytes(content, size_at)
        start = size_at + size_bytes
        if not size_bytes or start > len(content):
            break

        # A size has 7 bits per byte. With all of them set, it is unknown, and the elements inside follow.
        name = content[position:size_at]
        unknown = (1 << 7 * size_bytes) - 1
        size = int.from_bytes(content[size_at:start]) & unknown
        if size == unknown:
            position = start if name in (SEGMENT, CLUSTER) else len(content)
            continue

        position = stop = start + size
        if name == SEGMENT:
            break
    return stop


def _count_bytes(content: mmap.mmap, position: int) -> int:
    """Return the length of a Matroska number, which its leading 1 bit marks; 0: there is none."""
    return (9 - content[position].bit_length()) % 9 if position < len(content) else 0


def _measure_mp4(content: mmap.mmap) -> int:
    """Return the end of the last box with media or their description; without the latter, more than the file has."""
    position = 0
    ends = {}
    while len(head := content[position : position + 16]) >= 8:
        size = int.from_bytes(head[:4])
        name = head[4:8]

        # Size 1: a size of 64 bits follows the name. Size 0: the box reaches to the end of the file.
        if size == 1:
            size = int.from_bytes(head[8:])
        if size == 0:
            size = len(content) - position
        if size < 8 or not name.isascii():
            break
        position += size
        ends[name] = position

    complete = max((ends[name] for name in MP4_MEDIA if name in ends), default=0)
    return complete if b"moov" in ends else max(complete, len(content) + 1)


def _measure_avi(content: mmap.mmap) -> int:
    """Return the end of the last RIFF chunk; files above 1 GB have several."""
    stop = 0
    while content[stop : stop + 4] == b"RIFF":
        size = int.from_bytes(content[stop + 4 : stop + 8], "little")
        stop += 8 + (0 if size == RIFF_OPEN_SIZE else size)
    return stop - RIFF_SLACK_BYTES


def _measure_gif(content: mmap.mmap) -> int:
    """Return the end of the last block: browsers play a file that lacks the trailer alone."""
    end = len(content)
    position = 13 + _count_colour_bytes(content, 10)
    while (mark := content[position : position + 1]) in (b"!", b","):
        position += 2 if mark == b"!" else 11 + _count_colour_bytes(content, position + 9)

        # The data are in blocks, each after its size; size 0 ends them.
        while position < end and (size := content[position]):
            position += size + 1
        position += 1

    # What follows a block that is none cannot be read: such a file needs its trailer.
    return position if mark in (b"", b";") else _measure_trailer(content, b";")


def _count_colour_bytes(content: mmap.mmap, flags_at: int) -> int:
    """Return the length of a colour table of a GIF, which flags describe."""
    flags = int.from_bytes(content[flags_at : flags_at + 1])
    return 6 << (flags & 7) if flags & 0x80 else 0


def _measure_trailer(content: mmap.mmap, trailer: bytes) -> int:
    """Return the size of the file, and one byte more if its trailer is missing."""
    has_trailer = content[-TAIL_BYTES:].rstrip(b"\0").endswith(trailer)
    return len(content) + (not has_trailer)
