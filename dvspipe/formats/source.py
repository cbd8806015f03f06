"""What a decoder gives: unchecked columns in chunks, and what the file says of itself. Private to this package."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..events import SensorSize

CHUNK_EVENTS = 1 << 20


class Columns(NamedTuple):
    """Events as a file holds them, not yet checked; integer arrays [N] of any width."""

    t: NDArray[np.integer[Any]]
    x: NDArray[np.integer[Any]]
    y: NDArray[np.integer[Any]]
    p: NDArray[np.integer[Any]] | NDArray[np.bool_]


@dataclass(frozen=True)
class Source:
    """An opened file.

    Args:
        sensor: The sensor that the file names, or None.
        chunks: Begins to decode; may be called again.
        attributes: Settings and remarks that the file holds.
    """

    sensor: SensorSize | None
    chunks: Callable[[], Iterator[Columns]]
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Format:
    """A file format.

    Args:
        name: As `dvspipe info` shows it.
        suffixes: Lower case, with the dot.
        recognises: Whether a file is of this format, from its path and its first bytes.
        open: Opens a file for decoding.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[Path, bytes], bool]
    open: Callable[[Path], Source]
