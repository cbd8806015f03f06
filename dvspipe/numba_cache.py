"""Where numba keeps compiled kernels if neither the package nor the user's cache folder can be written to."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress

VARIABLE = "NUMBA_CACHE_DIR"


def ensure_cache(package: str) -> None:
    """Set numba's cache to a temporary folder of this user if its own choices cannot be written to.

    Otherwise numba, which reads the variable when it is imported, refuses to load any kernel.

    Args:
        package: The folder of the package.
    """
    if VARIABLE not in os.environ and not _is_writable(package) and not _is_writable(_user_cache()):
        os.environ[VARIABLE] = _temporary_cache()


def _user_cache() -> str:
    return os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")


def _is_writable(folder: str) -> bool:
    """Return whether a folder can be written to, or made."""
    while not os.path.exists(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return os.access(folder, os.W_OK)


def _temporary_cache() -> str:
    """Return a folder that only this user can write to, because numba runs what it finds there."""
    import tempfile  # here, as pathlib nowhere, because importing dvspipe has to be quick

    if sys.platform == "win32":  # where the folder of temporary files belongs to the user
        return os.path.join(tempfile.gettempdir(), "dvspipe-kernels")
    folder = os.path.join(tempfile.gettempdir(), f"dvspipe-kernels-{os.getuid()}")
    with suppress(FileExistsError):
        os.mkdir(folder, mode=0o700)
    found = os.lstat(folder)
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022:
        return folder
    return tempfile.mkdtemp(prefix="dvspipe-kernels-")
