"""Interface of file formats: a `Format` recognises, reads and writes files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .hints import NO_HINTS, Hints
from .source import Source
from .writers import Encoder


class Opener(Protocol):
    """Function that opens a file for decoding."""

    def __call__(self, path: Path, hints: Hints = NO_HINTS, /) -> Source:
        """Open a file; `hints` supply metadata that the file lacks."""


@dataclass(frozen=True)
class Format:
    """File format.

    Args:
        name: Name, as returned by `info`.
        suffixes: Suffixes of readable files, lower case, with the dot.
        recognises: Decides from the path (without `.gz`) and the first HEAD_BYTES, decompressed, whether a file has
            this format.
        open: Opens a file for decoding.
        encoder: Writes files; None if the format is read-only.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[Path, bytes], bool]
    open: Opener
    encoder: Encoder | None = None
