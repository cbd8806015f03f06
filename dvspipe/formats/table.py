"""Table of all file formats."""

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
"""Formats by name. The first format that recognises a file reads it: formats without a signature come last, and
`.evt3.raw` comes before `.raw`."""


def find_encoder(path: Path) -> Encoder | None:
    """Return the encoder for the suffix of a path; None if dvspipe does not write such files."""
    encoders = (known.encoder for known in FORMATS.values() if known.encoder)
    return next((encoder for encoder in encoders if has_suffix(path, encoder.suffixes)), None)


def written_suffixes() -> tuple[str, ...]:
    """Return the suffixes of all files that dvspipe writes."""
    return tuple(suffix for known in FORMATS.values() if known.encoder for suffix in known.encoder.suffixes)
