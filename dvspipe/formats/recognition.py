"""Recognition of the format of a file, first by content, then by suffix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from ..base.errors import FileError, FormatError
from ..base.files import explain_missing
from ..hooks import FileFormat, plugins
from ..video.names import is_video_name
from .aedat2 import AEDAT2
from .aedat3 import AEDAT3
from .bin40 import BIN40
from .dat import DAT
from .evt import EVT
from .faery_files import AEDAT4, EVENT_STREAM
from .hdf5 import HDF5
from .hints import Hints
from .numpy_files import NUMPY
from .rosbag import ROSBAG, is_recording_folder
from .source import HEAD_BYTES, Format, Source, StoredColumns
from .text import TEXT

FORMATS: dict[str, Format] = {
    known.name: known for known in (HDF5, EVT, DAT, AEDAT4, AEDAT2, AEDAT3, EVENT_STREAM, ROSBAG, NUMPY, BIN40, TEXT)
}
"""Formats by name. A file whose content no format claims has the first format with its suffix."""


def recognise(path: Path) -> Format | None:
    """Return the format of a file, recognised first by content, then by suffix; None if it is unknown or empty.

    Raises:
        FileError: If the file does not exist or cannot be read.
    """
    if is_recording_folder(path):
        return ROSBAG
    if path.is_dir():
        raise FileError(f"{path}: is a folder (expected a recording)")
    if not path.exists():
        raise FileError(f"{path}: {explain_missing(path)}")
    if not path.is_file():
        raise FileError(f"{path}: not a regular file")

    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from error

    if not head:
        return None
    by_content = (known for known in FORMATS.values() if known.magic and head.startswith(known.magic))
    by_suffix = (known for known in FORMATS.values() if _has_suffix(path, known.suffixes))
    added = (_adapt(one) for one in _list_added() if _has_suffix(path, one.suffixes) and one.recognises(head))
    return next(chain(by_content, by_suffix, added), None)


def find_writer(path: Path) -> Format | None:
    """Return the format that writes files with the suffix of a path; None if dvspipe does not write such files."""
    formats = chain(FORMATS.values(), map(_adapt, _list_added()))
    return next((known for known in formats if known.encoder and _has_suffix(path, known.written)), None)


def written_suffixes() -> tuple[str, ...]:
    """Return the suffixes of all files that dvspipe writes without other packages."""
    return tuple(suffix for known in FORMATS.values() for suffix in known.written)


def has_plugin(suffix: str) -> bool:
    """Return whether a plug-in has a format for files with a suffix, such as `.evx`."""
    return any(suffix.lower() in added.suffixes for added in _list_added())


def unknown_format(path: Path) -> FormatError:
    """Return the error for a file that no format recognises."""
    if not path.stat().st_size:
        return FormatError(f"{path}: the file is empty")
    if is_video_name(path):
        return FormatError(f"{path}: is a video, not a recording of events; convert it to events first")

    formats = chain(FORMATS.values(), map(_adapt, _list_added()))
    expected = ", ".join(dict.fromkeys(suffix for known in formats for suffix in known.suffixes))
    return FormatError(f"{path}: not a recording of a known format (expected the content of {expected})")


def _has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.name.lower().endswith(suffixes)


def _list_added() -> Iterator[FileFormat]:
    """Return the formats that plug-ins add."""
    return chain.from_iterable(plugins().hook.formats())


def _adapt(added: FileFormat) -> Format:
    def open_file(path: Path, _hints: Hints) -> Source:
        sensor, read = added.read(path)
        return Source(
            sensor, lambda: (StoredColumns(*(rows[name] for name in StoredColumns._fields)) for rows in read())
        )

    known = Format(added.name, added.suffixes, open_file, errors=(ValueError,))
    if (write := added.write) is None:
        return known
    return replace(known, encoder=lambda path, sensor, _options: write(path, sensor), written=added.suffixes)
