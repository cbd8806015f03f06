"""Standard input and output as recordings: `-`.

Standard input is copied to a temporary file, because most recordings are read more than once or not in order. Standard
output is CSV.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import DvspipeError, FileError
from ..events import Events, SensorSize
from .text import begin_csv
from .writers import Writer

STANDARD = Path("-")
COPY_NAME = "standard-input.csv"  # what has no signature is read as CSV


def actual_path(path: Path) -> Path:
    """Return the file to read for a path: for `-`, a copy of standard input, which is deleted when the process ends.

    Raises:
        FileError: Standard input is a terminal, or cannot be copied.
    """
    if path != STANDARD:
        return path
    if sys.stdin.isatty():
        raise FileError("-: standard input is a terminal (expected events from a file or another program)")
    return Path(_copy_of(sys.stdin.buffer).name) / COPY_NAME


@contextmanager
def named_as_given(path: Path) -> Iterator[None]:
    """Raise errors that name the copy of standard input as errors that name `-`."""
    try:
        yield
    except DvspipeError as error:
        if path == STANDARD:
            error.message = error.message.replace(str(actual_path(path)), str(path))
        raise


@cache
def _copy_of(stream: BinaryIO) -> TemporaryDirectory[str]:
    """Return a folder with a copy of a stream; its content can be read only once."""
    folder = TemporaryDirectory(prefix="dvspipe-")
    try:
        with (Path(folder.name) / COPY_NAME).open("wb") as file:
            shutil.copyfileobj(stream, file)
    except OSError as error:
        raise FileError(f"-: standard input cannot be copied ({error.strerror or error})") from error
    return folder


class StandardOutput(Writer):
    """Writes events to standard output as CSV."""

    def __init__(self, sensor: SensorSize) -> None:
        super().__init__(STANDARD, sensor, (STANDARD.suffix,), overwrite=True)

    def _begin(self, _stack: ExitStack) -> None:
        self._write_lines = begin_csv(sys.stdout.buffer)

    def _write(self, events: Events, _noise: NDArray[np.bool_] | None) -> None:
        self._write_lines(events)
        self.count += len(events)
        self._last_us = int(events.t[-1])

    def _finish(self) -> None:
        sys.stdout.buffer.flush()
