"""HDF5 recordings: format, layouts, reader and writer."""

from pathlib import Path

from ..hints import NO_HINTS, Hints
from ..source import Format, Source
from .chunked_file import discard_saved
from .layouts import SUFFIXES
from .reader import open_hdf5
from .unfinished import is_unfinished, open_unfinished
from .writer import EventWriter, HDF5Encoder

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(HDF5_MAGIC) or path.suffix.lower() in SUFFIXES


def _open(path: Path, hints: Hints = NO_HINTS) -> Source:
    return open_unfinished(path) if is_unfinished(path) else open_hdf5(path, hints)


HDF5 = Format("hdf5", SUFFIXES, _recognises, _open, HDF5Encoder())

__all__ = ["HDF5", "EventWriter", "discard_saved", "is_unfinished"]
