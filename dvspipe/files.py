"""Outputs that are either complete or absent, and locks on folders."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import FileError, Remedy

LOCK_NAME = ".lock"
TEMPORARY = ".dvspipe-"  # begins the names of temporary files
UNFINISHED = ".part"  # ends the names of folders that hold an unfinished file
MANIFEST = ".manifest"  # the folder in an output folder that says what became of each input
REPLACE = Remedy("overwrite", True, "replace it")


def claim_output(path: Path, *, overwrite: bool) -> None:
    """Check that an output may be written.

    Raises:
        FileError: It is a folder, or it exists and `overwrite` is false.
    """
    if path.is_dir():
        raise FileError(f"{path}: is a folder, expected the name of a file to write")
    if path.exists() and not overwrite:
        raise FileError(f"{path}: already exists", REPLACE)


def require_suffix(path: Path, suffix: str, what: str) -> None:
    """Check that an output has the suffix of what it holds.

    Raises:
        FileError: It has not.
    """
    if path.suffix.lower() != suffix:
        raise FileError(f"{path}: wrong suffix for {what} (found {path.suffix or 'none'}, expected {suffix})")


def require_space(path: Path, size: int) -> None:
    """Check that the disk of an output has room for `size` more bytes.

    Raises:
        FileError: It has not.
    """
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise FileError(f"{path}: cannot be written (no space: {free / 1e6:.0f} MB left, {size / 1e6:.0f} MB needed)")


@contextmanager
def write_beside(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the same folder that replaces `path` when the block ends without an error.

    Makes the folder if it does not exist. What killed processes left in it is removed.

    Args:
        path: The file.
        durable: Whether it must survive a loss of power, which then leaves it or what was there before; takes some ms.

    Raises:
        FileError: The folder cannot be written to, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        handle, beside = _create_locked(path)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror})") from error
    try:
        yield beside
        beside.chmod(0o666 & ~_umask())
        move_into_place(beside, path) if durable else beside.replace(path)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        beside.unlink(missing_ok=True)
        os.close(handle)


def move_into_place(beside: Path, path: Path) -> None:
    """Rename a complete file in the same folder, so that a loss of power leaves it or what was there before.

    Raises:
        OSError: The disk cannot be written to.
    """
    _sync(beside)
    beside.replace(path)
    if sys.platform != "win32":  # where a folder cannot be opened
        _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if sys.platform != "win32" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@lru_cache
def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed processes from a folder, once in this process."""
    for path in folder.glob(f"{TEMPORARY}*"):
        with suppress(OSError):
            handle = os.open(path, os.O_RDWR)
            try:
                if _lock(handle):
                    path.unlink()
            finally:
                os.close(handle)


def is_internal(path: Path) -> bool:
    """Return whether a path is hidden, as temporary files and manifests are, or in the folder of an unfinished file."""
    return any(name.startswith(".") or name.endswith(UNFINISHED) for name in path.parts)


def _create_locked(path: Path) -> tuple[int, Path]:
    """Create a temporary file that no other process removes while it is open."""
    while True:
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, suffix=path.suffix, dir=path.parent)
        if _lock(handle) and os.path.exists(name):  # otherwise removed before it was locked
            return handle, Path(name)
        os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open file for this process until it is closed; return whether no other process has locked it."""
    if sys.platform == "win32":  # where an open file cannot be removed
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, complete or not at all; bytes of file names outside UTF-8 are escaped.

    Raises:
        FileError: The file cannot be written.
    """
    with write_beside(path) as beside:
        beside.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """Return the content of a file.

    Args:
        path: The file.
        most: Number of bytes that it may have; None: any. A device may have no end.

    Raises:
        FileError: It is missing, cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(-1 if most is None else most + 1)
        if most is not None and len(content) > most:
            raise FileError(f"{path}: is too large (expected at most {most:,} bytes)")
        return content
    except FileNotFoundError as error:
        raise FileError(f"{path}: no such file") from error
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from error


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Make a folder, keep other processes from locking it during the block, and remove it afterwards if it is empty.

    The lock is the file `.lock` in the folder, which is removed with it. The lock of a killed process is released.

    Raises:
        FileError: The folder cannot be made, or another process holds the lock.
    """
    path = folder / LOCK_NAME
    lock = FileLock(path, blocking=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise FileError(f"{folder}: another process is writing to it") from error
    except OSError as error:
        raise FileError(f"{folder}: cannot be written ({error.strerror})") from error
    try:
        yield
    finally:
        if sys.platform != "win32":  # where it would be open; filelock removes it there
            path.unlink(missing_ok=True)
        lock.release()
        if not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def wait_for_lock(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock of a file, hold it during the block, and leave the file.

    Raises:
        FileError: The file cannot be made.
    """
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(poll_interval=0.1)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror})") from error
    try:
        yield
    finally:
        lock.release()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
