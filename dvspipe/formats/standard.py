"""Standard input as a recording (`-`): copied to a temporary file, because most recordings are read more than once."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

from ..base.errors import DvspipeError, FileError
from ..base.files import TemporaryFolder

STANDARD = Path("-")
COPY_NAME = "standard-input.csv"  # input without a signature is read as CSV


def actual_path(path: Path) -> Path:
    """Return the file to read for a path. For `-`, this is a copy of standard input, deleted when the process ends."""
    if path != STANDARD:
        return path
    if sys.stdin.isatty():
        raise FileError("-: standard input is a terminal (expected events from a file or another program)")

    return Path(_copy_stream(sys.stdin.buffer).name) / COPY_NAME


@contextmanager
def named_as_given(path: Path) -> Iterator[None]:
    """Replace the name of the copy of standard input by `-` in errors."""
    try:
        yield
    except DvspipeError as error:
        if path == STANDARD:
            error.message = error.message.replace(str(actual_path(path)), str(path))
        raise


@cache
def _copy_stream(stream: BinaryIO) -> TemporaryFolder:
    """Copy a stream to a temporary folder. Cached, because a stream can be read only once."""
    folder = TemporaryFolder()
    try:
        with (Path(folder.name) / COPY_NAME).open("wb") as file:
            shutil.copyfileobj(stream, file)
    except OSError as error:
        raise FileError(f"-: standard input cannot be copied ({error.strerror or error})") from error

    return folder
