"""Outputs that are either complete or not there, and records that may not be there."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import FileError

if sys.platform != "win32":
    import fcntl


def claim_output(path: Path, *, overwrite: bool) -> None:
    """Makes sure that an output may be written.

    Raises:
        FileError: It is a folder, or exists and overwriting was not asked for.
    """
    if path.is_dir():
        raise FileError(f"{path}: is a folder, expected the name of a file to write")
    if path.exists() and not overwrite:
        raise FileError(f"{path}: exists already; --overwrite replaces it")


def require_space(path: Path, size: int) -> None:
    """Makes sure that the disk of an output has room for `size` more bytes.

    Raises:
        FileError: It has not.
    """
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise FileError(f"{path}: cannot be written (no space: {free / 1e6:.0f} MB left, {size / 1e6:.0f} MB needed)")


@contextmanager
def write_beside(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder that takes the place of `path` when the block ends without an error.

    Makes the folder where it is not there.

    Raises:
        FileError: The folder cannot be written to, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror})") from error
    beside = Path(name)
    try:
        yield beside
        beside.chmod(0o666 & ~_umask())
        beside.replace(path)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        beside.unlink(missing_ok=True)


def read_record(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Makes a folder, keeps other processes (not on Windows) from doing the same, and removes it if it is empty then.

    The lock of a process that is killed goes with it.

    Raises:
        FileError: The folder cannot be made, or another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot be written ({error.strerror})") from error
    if sys.platform != "win32":
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise FileError(f"{folder}: is being written by another process") from error
        except OSError:
            pass  # a file system without locks
    try:
        yield
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()
        if sys.platform != "win32":
            os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
