"""HDF5 recordings: format, layouts, reader and writer."""

from pathlib import Path

from ..source import Format
from .chunked_file import discard_saved
from .layouts import SUFFIXES
from .reader import open_hdf5
from .writer import EventWriter, HDF5Encoder

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(HDF5_MAGIC) or path.suffix.lower() in SUFFIXES


HDF5 = Format("hdf5", SUFFIXES, _recognises, open_hdf5, HDF5Encoder())

__all__ = ["HDF5", "EventWriter", "discard_saved"]
