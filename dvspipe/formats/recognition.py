"""Recognition of the format of a file, first by content, then by suffix."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from ..base.errors import FileError, FormatError
from ..base.files import explain_missing
from ..video.names import is_video_name
from .added import list_added
from .aedat2 import AEDAT2
from .aedat3 import AEDAT3
from .bin40 import BIN40
from .evt import EVT
from .faery_files import AEDAT4, EVENT_STREAM
from .hdf5 import HDF5
from .numpy_files import NUMPY
from .prophesee import DAT
from .rosbag import ROSBAG, is_recording_folder
from .source import HEAD_BYTES, Format
from .text import TEXT
from .writers import has_suffix

FORMATS: dict[str, Format] = {
    known.name: known for known in (HDF5, EVT, DAT, AEDAT4, AEDAT3, AEDAT2, EVENT_STREAM, ROSBAG, NUMPY, BIN40, TEXT)
}
"""Formats by name. The first format that recognises a file reads it: formats without a signature come last."""


def _list_formats() -> Iterator[Format]:
    """Yield all formats; formats of plug-ins come last."""
    return chain(FORMATS.values(), list_added())


def recognise(path: Path) -> Format | None:
    """Return the format of a file, recognised first by content, then by suffix; None if it is unknown.

    Raises:
        FileError: If the file does not exist or cannot be read.
    """
    if is_recording_folder(path):
        return ROSBAG

    head = read_head(path)
    if not head:
        return None
    return next((known for known in _list_formats() if known.recognises(path, head)), None)


def find_encoder(path: Path) -> Format | None:
    """Return the format that writes files with the suffix of a path; None if dvspipe does not write such files."""
    return next((known for known in _list_formats() if known.encoder and has_suffix(path, known.written)), None)


def written_suffixes() -> tuple[str, ...]:
    """Return the suffixes of all files that dvspipe writes without other packages."""
    return tuple(suffix for known in FORMATS.values() for suffix in known.written)


def unknown_format(path: Path) -> FormatError:
    """Return the error for a file that no format recognises."""
    if not read_head(path):
        return FormatError(f"{path}: the file is empty")
    if is_video_name(path):
        return FormatError(f"{path}: is a video, not a recording of events; convert it to events first")

    expected = ", ".join(dict.fromkeys(suffix for known in _list_formats() for suffix in known.suffixes))
    return FormatError(f"{path}: not a recording of a known format (expected the content of {expected})")


def read_head(path: Path) -> bytes:
    """Return the first bytes of a file, to recognise its format."""
    if path.is_dir():
        raise FileError(f"{path}: is a folder (expected a recording)")
    if not path.exists():
        raise FileError(f"{path}: {explain_missing(path)}")
    if not path.is_file():
        raise FileError(f"{path}: not a regular file")

    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from error
