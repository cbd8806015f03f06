"""Standard input as a recording, `-`: it is copied to a temporary file, because most are read more than once."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from ..errors import DvspipeError, FileError
from .text import STANDARD

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
