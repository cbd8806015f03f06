"""Read tracks from files: people who were tracked in films, or by motion capture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ..base.errors import FormatError
from .acclaim import read_amc
from .bvh import read_bvh
from .track import Track

TRACK_READERS: Mapping[str, Callable[[Path], Track]] = {".csv": Track.read, ".bvh": read_bvh, ".amc": read_amc}
"""Function that reads a track, for each suffix in lower case."""


def find_tracks(folder: Path) -> list[Path]:
    """Return the files FOLDER/<class>/<file> that `read_track` reads, sorted."""
    return sorted(path for path in folder.glob("*/*") if path.suffix.lower() in TRACK_READERS)


def read_track(path: Path) -> Track:
    """Read a track from a CSV file of `dvspipe track`, or from motion capture: BVH, or AMC with its ASF file beside it.

    Raises:
        FileError: If the file is missing or cannot be read.
        FormatError: If the suffix is another, or the file is not valid.
    """
    reader = TRACK_READERS.get(path.suffix.lower())
    if reader is None:
        raise FormatError(f"{path}: not a track (found {path.suffix!r}, expected {', '.join(TRACK_READERS)})")
    return reader(path)
