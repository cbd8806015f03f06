"""What dvspipe needs to know of a file format: one `Format`, for reading and writing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .hints import NO_HINTS, Hints
from .source import Source
from .writers import Encoder


class Opener(Protocol):
    """Opens a file for decoding."""

    def __call__(self, path: Path, hints: Hints = NO_HINTS, /) -> Source:
        """Return the opened file; hints are what the file does not say."""


@dataclass(frozen=True)
class Format:
    """A file format.

    Args:
        name: Its name, as `describe` returns it.
        suffixes: Suffixes of files that are read, lower case, with the dot.
        recognises: Whether a file has this format, from its path (without `.gz`) and its first HEAD_BYTES, unpacked.
        open: Opens a file for decoding.
        encoder: Writes files; None if the format is only read.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[Path, bytes], bool]
    open: Opener
    encoder: Encoder | None = None
