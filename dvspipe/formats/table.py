"""The table of formats, for reading and writing."""

from __future__ import annotations

from pathlib import Path

from .aedat2 import AEDAT2
from .aedat3 import AEDAT3
from .aedat4 import AEDAT4
from .bin40 import BIN40
from .dat import DAT
from .event_stream import EVENT_STREAM
from .evt import EVT2, EVT3, EVT21
from .hdf5 import HDF5
from .interface import Format
from .numpy_file import NUMPY
from .rosbag import ROSBAG
from .text import TEXT
from .writers import Encoder, has_suffix

FORMATS: dict[str, Format] = {
    known.name: known
    for known in (HDF5, EVT3, EVT2, EVT21, DAT, AEDAT4, AEDAT3, AEDAT2, EVENT_STREAM, ROSBAG, NUMPY, BIN40, TEXT)
}
"""By name. The first that recognises a file reads it, so formats without a signature come last, and
`.evt3.raw` before `.raw`."""


def find_encoder(path: Path) -> Encoder | None:
    """Return what writes a file by its suffix, None if no format does."""
    encoders = (known.encoder for known in FORMATS.values() if known.encoder)
    return next((encoder for encoder in encoders if has_suffix(path, encoder.suffixes)), None)


def written_suffixes() -> tuple[str, ...]:
    """Return the suffixes of all files that are written."""
    return tuple(suffix for known in FORMATS.values() if known.encoder for suffix in known.encoder.suffixes)
