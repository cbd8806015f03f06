"""Atomic file output, and locks on folders.

An output is written to a temporary file or folder and renamed when it is complete, so others see all of it or nothing.
Every temporary file is locked by its process: a lock that can be taken shows that the process was killed, and that the
file can be removed.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import FileError, join_names

LOCK_NAME = ".lock"
TEMPORARY = ".dvspipe-"  # prefix of temporary files beside outputs
TEMPORARY_FOLDER = "dvspipe-folder-"  # prefix of folders in the system's folder of temporary files
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
        files = [path for path in (*reversed(folder.parents), folder) if path.exists() and not path.is_dir()]
        if not files:
            raise
        raise FileError(f"{files[0]}: is not a folder") from error


@contextmanager
def name_folder(folder: Path) -> Iterator[None]:
    """Name an output folder in errors about files inside, whose names the user does not know.

    Example:
        >>> with name_folder(Path("answers")):
        ...     raise FileError("answers/run.json: cannot be written (No space left on device)")
        Traceback (most recent call last):
        dvspipe.base.errors.FileError: answers: cannot be written (No space left on device)
    """
    try:
        yield
    except FileError as error:
        name, _, reason = str(error).partition(": ")
        if folder not in Path(name).parents or os.path.isdir(name):  # a folder in the way of a file is named itself
            raise
        raise FileError(f"{folder}: {reason}") from error


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
        left = _format_bytes(free, math.floor)
        needed = _format_bytes(size, math.ceil)
        raise FileError(f"{path}: cannot be written (no space: {left} left, {needed} needed)")


def _format_bytes(size: int, rounding: Callable[[float], int]) -> str:
    """Format a number of bytes in MB, or in kB below 10 MB."""
    return f"{rounding(size / 1e3):,} kB" if size < 10_000_000 else f"{rounding(size / 1e6):,} MB"


@contextmanager
def write_beside(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it replaces `path` when the block ends without an error.

    The folder is created if needed. Temporary files of killed processes in it are removed.

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
    try:
        make_folder(path.parent)
        remove_leftovers(path.parent)
        handle, beside = _create_locked(path)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror})") from error

    try:
        yield beside

        # Temporary files are created for this user alone; the output gets the usual permissions.
        beside.chmod(READ_AND_WRITE & ~_umask())
        move_into_place(beside, path) if durable else beside.replace(path)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        beside.unlink(missing_ok=True)
        os.close(handle)


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
    # The lock of a killed process is released, so a file that can be locked has no owner.
    for path in folder.glob(f"{TEMPORARY}*"):
        with suppress(OSError):
            handle = os.open(path, os.O_RDWR)
            try:
                if _lock(handle):
                    path.unlink()
            finally:
                os.close(handle)


class TemporaryFolder(tempfile.TemporaryDirectory[str]):
    """Temporary folder, removed after the block. Temporary folders of killed processes are removed before.

    Example:
        >>> with TemporaryFolder() as name:
        ...     (Path(name) / "a.txt").write_text("temporary")
        9
    """

    def __init__(self) -> None:
        _remove_abandoned_folders(tempfile.gettempdir())
        self._handle: int | None = None
        while self._handle is None:  # another process may remove it before the lock
            super().__init__(prefix=TEMPORARY_FOLDER)
            self._handle = _lock_folder(self.name)

    def cleanup(self) -> None:
        """Remove the folder."""
        super().cleanup()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


@lru_cache
def _remove_abandoned_folders(parent: str) -> None:
    """Remove temporary folders of killed processes of this user, once per process."""
    if sys.platform == "win32":  # cannot lock folders
        return

    for folder in Path(parent).glob(f"{TEMPORARY_FOLDER}*"):
        if (handle := _lock_folder(str(folder))) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)


def _lock_folder(name: str) -> int | None:
    """Lock a folder of this user until the returned handle is closed; None if it is missing, or in use."""
    if sys.platform == "win32":
        return os.open(os.devnull, os.O_RDONLY)

    try:
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None

    # Its process may have removed the folder before the lock.
    if os.fstat(handle).st_uid == os.getuid() and _lock(handle) and os.path.exists(name):
        return handle

    os.close(handle)
    return None


def is_internal(path: Path) -> bool:
    """Return whether a path is hidden (a temporary file) or inside the folder of an unfinished file."""
    return any(name.startswith(".") or name.endswith(UNFINISHED) for name in path.parts)


def _create_locked(path: Path) -> tuple[int, Path]:
    """Create a locked temporary file; other processes do not remove it while it is open."""
    while True:
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, suffix=path.suffix, dir=path.parent)
        if _lock(handle) and os.path.exists(name):  # else another process removed it before the lock
            return handle, Path(name)
        os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open file until it is closed; return False if another process holds the lock."""
    if sys.platform == "win32":  # Windows cannot remove an open file
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


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
    names = [name for name in _list_names(path.parent) if not is_internal(Path(name))]
    similar = difflib.get_close_matches(path.name, names, 1)
    return "; ".join(["no such file", *(f"did you mean {path.with_name(name)}?" for name in similar)])


def _list_names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


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
def lock_folder(folder: Path) -> Iterator[None]:
    """Create a folder and hold its lock during the block; remove the folder afterwards if it is empty.

    The lock is the file `.lock` in the folder, removed after the block. The lock of a killed process is released.

    Raises:
        FileError: If the folder cannot be created, or another process holds the lock.
    """
    path = folder / LOCK_NAME
    lock = FileLock(path, blocking=False)
    try:
        make_folder(folder)
        lock.acquire()
    except Timeout as error:
        raise FileError(f"{folder}: another process is writing to it") from error
    except OSError as error:
        # The folder of an unfinished file is named after the file, which is what the user knows.
        output = str(folder).removesuffix(UNFINISHED)
        raise FileError(f"{output}: cannot be written ({error.strerror})") from error

    try:
        yield
    finally:
        if sys.platform != "win32":  # on Windows it is still open, and filelock removes it
            path.unlink(missing_ok=True)
        lock.release()
        if not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def wait_for_lock(path: Path) -> Iterator[None]:
    """Wait for the lock of a file and hold it during the block; the lock file remains.

    Raises:
        FileError: If the file cannot be created.
    """
    lock = FileLock(path)
    try:
        make_folder(path.parent)
        lock.acquire(poll_interval=0.1)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror})") from error

    try:
        yield
    finally:
        lock.release()


def _umask() -> int:
    # The mask can only be read by setting another.
    mask = os.umask(0)
    os.umask(mask)
    return mask
