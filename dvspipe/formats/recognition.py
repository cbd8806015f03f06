"""Recognition of the format of a file, first by content, then by suffix."""

from __future__ import annotations

import itertools
from contextlib import suppress
from pathlib import Path

from ..base.errors import CorruptionError, FileError, FormatError
from ..base.files import UNFINISHED, explain_missing
from ..video.names import is_video_name
from .added import list_added
from .aedat2 import AEDAT2
from .aedat3 import AEDAT3
from .aedat4 import AEDAT4
from .bin40 import BIN40
from .dat import DAT
from .event_stream import EVENT_STREAM
from .evt import EVT2, EVT3, EVT21
from .hdf5 import HDF5, is_unfinished
from .numpy_file import NUMPY
from .rosbag import ROSBAG, is_ros2_folder
from .source import HEAD_BYTES, Format, describe_content, open_binary
from .text import TEXT

FORMATS: dict[str, Format] = {
    known.name: known
    for known in (HDF5, EVT3, EVT2, EVT21, DAT, AEDAT4, AEDAT3, AEDAT2, EVENT_STREAM, ROSBAG, NUMPY, BIN40, TEXT)
}
"""Formats by name. The first format that recognises a file reads it: formats without a signature come last, and
`.evt3.raw` comes before `.raw`."""

VIDEO_MARKS = (
    (4, b"ftyp"),  # MP4, MOV
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska, WebM
    (8, b"AVI "),
    (0, b"GIF8"),
)
"""Signatures of videos: offset and bytes."""


def recognise(path: Path) -> Format | None:
    """Return the format of a file, recognised first by content, then by suffix; None if it is unknown.

    Formats of plug-ins are asked last.

    Raises:
        FileError: If the file does not exist or cannot be read.
    """
    if is_ros2_folder(path):
        return ROSBAG
    if is_unfinished(path):
        return HDF5

    head = read_head(path)
    if is_video(head):
        return None

    unpacked = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    if not head:
        return None
    known = itertools.chain(FORMATS.values(), list_added())
    return next((one for one in known if one.recognises(unpacked, head)), None)


def load_format(name: str) -> Format:
    """Return a format by its name.

    Raises:
        FormatError: If it is the format of a plug-in that is not installed here, such as in a worker process.
    """
    for known in itertools.chain(FORMATS.values(), list_added()):
        if known.name == name:
            return known
    raise FormatError(f"format {name}: unknown (expected {', '.join(FORMATS)}, or a format of a plug-in)")


def is_recording_folder(path: Path) -> bool:
    """Return whether a path is a folder that is one recording: a ROS 2 bag, or an unfinished HDF5 file."""
    return is_ros2_folder(path) or is_unfinished(path)


def unknown_format(path: Path, head: bytes) -> FormatError:
    """Return the error for a file that no format recognises, given its first bytes."""
    if not head:
        return FormatError(f"{path}: the file is empty")
    if is_video_name(path) or is_video(head):
        return FormatError(f"{path}: is a video, not a recording of events; convert it to events first")

    known = itertools.chain(FORMATS.values(), list_added())
    suffixes = itertools.chain.from_iterable(one.suffixes for one in known)
    found = describe_content(path)
    expected = ", ".join(dict.fromkeys(suffixes))
    return FormatError(f"{path}: not a recording of a known format (found {found}, expected the content of {expected})")


def read_head(path: Path) -> bytes:
    """Return the first bytes of a file, decompressed, to recognise its format."""
    if path.is_dir():
        raise FileError(f"{path}: is a folder (expected a recording)")

    if not path.exists():
        unfinished = path.with_name(path.name + UNFINISHED)
        if is_unfinished(unfinished):
            raise FileError(f"{path}: no such file; read {unfinished}, its events until an interruption")
        raise FileError(f"{path}: {explain_missing(path)}")
    if not path.is_file():
        raise FileError(f"{path}: not a regular file")

    head = b""
    with suppress(CorruptionError), open_binary(path) as file:  # raised again after the events before it
        head = file.read(HEAD_BYTES)
    return head


def is_video(head: bytes) -> bool:
    """Return whether the first bytes of a file are the signature of a video."""
    return any(head[offset:].startswith(mark) for offset, mark in VIDEO_MARKS)
