"""Atomic file output, and locks on folders.

An output is written to a temporary file or folder and renamed when it is complete, so others see all of it or nothing.
Every temporary file is locked by its process: a lock that can be taken shows that the process was killed, and that the
file can be removed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from uuid import uuid4

from .errors import FileError, join_names
from .texts import find_similar

if sys.platform != "win32":
    import fcntl

LOCK_NAME = ".lock"
TEMPORARY = ".dvspipe-"  # prefix of temporary files beside outputs
UNFINISHED = ".part"  # suffix of folders that contain an unfinished file
READ_AND_WRITE = 0o666  # permissions of a new file, before the umask


def claim_output(path: Path, *, overwrite: bool) -> None:
    """Check that an output file may be written.

    Raises:
        FileError: If the path is a folder, or the file exists and `overwrite` is false.
    """
    if path.is_dir():
        raise FileError(f"{path}: is a folder (expected an output file)")
    if path.exists() and not overwrite:
        raise FileError(f"{path}: already exists; use overwrite to replace it")


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, if they are missing.

    Raises:
        FileError: If one of them is a file.
        OSError: If they cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        for path in (folder, *folder.parents):
            if (path.is_symlink() or path.exists()) and not path.is_dir():
                raise FileError(f"{path}: is not a folder") from error
        raise


def check_output(out: str | Path | None, what: str, *suffixes: str, overwrite: bool) -> Path | None:
    """Return the path of an output that may be written, as in `require_suffix` and `claim_output`; None: no output."""
    if out is None:
        return None

    path = Path(out)
    require_suffix(path, what, *suffixes)
    claim_output(path, overwrite=overwrite)
    return path


def require_suffix(path: Path, what: str, *suffixes: str) -> None:
    """Check that an output file has one of the suffixes; `what` names its kind in the message.

    Raises:
        FileError: If the suffix is wrong.
    """
    if path.suffix.lower() not in suffixes:
        suffix = path.suffix or "none"
        raise FileError(f"{path}: wrong suffix for {what} (found {suffix}, expected {join_names(suffixes)})")


def require_space(path: Path, size: int) -> None:
    """Check that the disk of an output has `size` bytes of free space.

    Raises:
        FileError: If the free space is less.
    """
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise FileError(f"{path}: cannot be written (no space: {free:,} bytes left, {size:,} needed)")


@contextmanager
def write_beside(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it replaces `path` when the block ends without an error.

    The folder is created if needed, and removed after an error. Temporary files of killed processes in it are removed.

    Args:
        path: Output file.
        durable: Whether to sync to disk, so a power loss leaves either the new or the old file; takes some ms.

    Raises:
        FileError: If the folder cannot be written to, or the disk is full.

    Example:
        >>> with write_beside(tmp_path / "a.txt") as beside:
        ...     _ = beside.write_text("complete")
        >>> (tmp_path / "a.txt").read_text()
        'complete'
    """
    beside = path.with_name(f"{TEMPORARY}{uuid4().hex}{path.suffix}")
    new_folders = list(takewhile(lambda folder: not folder.exists(), path.parents))
    try:
        handle = _lock(beside, wait=True)
        try:
            remove_leftovers(path.parent)
            yield beside
            move_into_place(beside, path) if durable else beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
            os.close(handle)
            with suppress(OSError):  # not empty
                for folder in new_folders:
                    folder.rmdir()
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror or error})") from error


def move_into_place(beside: Path, path: Path) -> None:
    """Rename a complete file within its folder durably: a power loss leaves either the new or the old file.

    Raises:
        OSError: If the disk cannot be written to.
    """
    _sync(beside)
    beside.replace(path)
    if sys.platform != "win32":  # Windows cannot open a folder
        _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if sys.platform != "win32" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@lru_cache
def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of killed processes from a folder, once per process."""
    if sys.platform == "win32":  # without locks, they are not told from files in use
        return

    # The lock of a killed process is released, so a file that can be locked has no owner.
    for path in folder.glob(f"{TEMPORARY}*"):
        with suppress(OSError):
            handle = _lock(path, wait=False)
            path.unlink()
            os.close(handle)


def is_internal(path: Path) -> bool:
    """Return whether a path is hidden (a temporary file) or inside the folder of an unfinished file."""
    return any(name.startswith(".") or name.endswith(UNFINISHED) for name in path.parts)


def _lock(path: Path, *, wait: bool) -> int:
    """Lock a file, created if it is missing, until the returned handle is closed; Windows has no such locks.

    Raises:
        BlockingIOError: If another process holds the lock, and `wait` is false.
        OSError: If the file cannot be created.
    """
    while True:
        make_folder(path.parent)
        if sys.platform == "win32":
            return os.open(os.devnull, os.O_RDONLY)

        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, READ_AND_WRITE)
        except FileNotFoundError as error:  # another process has removed the empty folder, or the name is a link
            if path.is_symlink():
                raise OSError(error.errno, f"{path.name} is a link to a missing file") from error
            continue

        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise

        # The previous owner may have removed the file while this process waited.
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8 atomically; escape file name bytes outside UTF-8.

    Raises:
        FileError: If the file cannot be written.
    """
    with write_beside(path) as beside:
        beside.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """Read the content of a file.

    Args:
        path: Input file.
        most: Maximum size in bytes, for example because a device may be endless; None: no limit.

    Raises:
        FileError: If the file is missing, cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(-1 if most is None else most + 1)
        if most is not None and len(content) > most:
            raise FileError(f"{path}: too large (expected at most {most:,} bytes)")
        return content
    except FileNotFoundError as error:
        raise FileError(f"{path}: no such file") from error
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from error


def explain_missing(path: Path) -> str:
    """Return "no such file", and the file in the same folder whose name is similar, if any."""
    files = (file for file in path.parent.glob("*") if file != path and not is_internal(Path(file.name)))
    names = {file.stem: file.name for file in files}
    similar = find_similar(path.stem, names)
    return f"no such file; did you mean {path.with_name(names[similar])}?" if similar else "no such file"


def digest_file(path: Path) -> str:
    """Compute the SHA-256 of a file in hexadecimal digits.

    Raises:
        FileError: If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from error


@contextmanager
def lock_folder(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Create a folder and hold its lock during the block; remove the folder afterwards if it is empty.

    The lock is the file `.lock` in the folder, removed after the block. The lock of a killed process is released.

    Raises:
        FileError: If the folder cannot be created, or another process holds the lock and `wait` is false.
    """
    path = folder / LOCK_NAME
    try:
        handle = _lock(path, wait=wait)
    except BlockingIOError as error:
        raise FileError(f"{folder}: another process is writing to it") from error
    except OSError as error:
        # The folder of an unfinished file is named after the file, which is what the user knows.
        output = str(folder).removesuffix(UNFINISHED)
        raise FileError(f"{output}: cannot be written ({error.strerror})") from error

    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)
        with suppress(OSError):  # not empty
            folder.rmdir()
