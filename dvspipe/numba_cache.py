"""Where numba keeps compiled kernels if neither the package nor the user's cache folder can be written to."""

from __future__ import annotations

import os
import stat
import sys

VARIABLE = "NUMBA_CACHE_DIR"


def ensure_cache(package: str) -> None:
    """Set numba's cache to a temporary folder of this user if its own choices cannot be written to.

    Otherwise numba, which reads the variable when it is imported, refuses to load any kernel.

    Args:
        package: The folder of the package.
    """
    if VARIABLE not in os.environ and not os.access(package, os.W_OK) and not _can_create_in(_user_cache()):
        os.environ[VARIABLE] = _temporary_cache()


def _user_cache() -> str:
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "numba")


def _can_create_in(folder: str) -> bool:
    """Return whether a file can be created in a folder, which is made, as numba does."""
    import tempfile  # here, as pathlib nowhere, because importing dvspipe has to be quick

    try:
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _temporary_cache() -> str:
    """Return a folder that only this user can write to, because numba runs what it finds there."""
    import tempfile

    if sys.platform == "win32":  # where the folder of temporary files belongs to the user
        return os.path.join(tempfile.gettempdir(), "dvspipe-kernels")
    folder = os.path.join(tempfile.gettempdir(), f"dvspipe-kernels-{os.getuid()}")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    found = os.lstat(folder)
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022:
        return folder
    return tempfile.mkdtemp(prefix="dvspipe-kernels-")
