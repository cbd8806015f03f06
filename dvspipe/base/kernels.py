"""Compiled kernels: choose a writable cache folder for numba, refuse its settings files, measure compilation time.

`import dvspipe` imports this module, so it imports little itself, and numba only when a kernel is decorated.
"""

from __future__ import annotations

import functools
import os
import stat
import sys
import time

TYPE_CHECKING = False  # importing `typing` takes longer than this module
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

VARIABLE = "NUMBA_CACHE_DIR"
SETTINGS_FILE = ".numba_config.yaml"  # numba reads it from the current folder, when imported and at each compilation
COMPILING = "compiling kernels for this command, 5 to 30 s (first use only)"


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a kernel as `numba.njit` does.

    Raises:
        ConfigError: If the current folder contains settings of numba.
    """
    refuse_settings()
    import numba

    _refuse_later_settings()
    decorate: Callable[[Callable[..., Any]], Any] = numba.njit(**options)
    return decorate


def refuse_settings() -> None:
    """Raise a ConfigError if the current folder contains settings of numba.

    The folder may contain data of strangers, and the settings name a folder of kernels that numba executes. numba has
    no option to ignore them, and environment variables only replace some of them.
    """
    if os.path.isfile(SETTINGS_FILE):
        from .errors import ConfigError  # imported here to keep `import dvspipe` fast

        raise ConfigError(
            f"{os.path.abspath(SETTINGS_FILE)}: settings of numba in the current folder could run code of strangers; "
            "change to another folder, or use environment variables (NUMBA_...) instead"
        )


@functools.cache
def _refuse_later_settings() -> None:
    """Call `refuse_settings` also before each compilation: the current folder or its files may have changed."""
    from numba.core import event

    class Refusal(event.Listener):  # type: ignore[misc]  # numba has no types
        def on_start(self, _: object) -> None:
            refuse_settings()

        def on_end(self, _: object) -> None:
            """Do nothing; numba requires the method."""

    event.register("numba:compile", Refusal())


class _Compilation:
    """Compilation state of this process."""

    is_watched = False
    is_logged = False
    seconds = 0.0


def watch_compilation() -> None:
    """Log once per process when numba compiles a kernel missing from its cache, and measure the compilation time.

    It has no effect before numba is imported, or when called again.
    """
    if _Compilation.is_watched or "numba" not in sys.modules:
        return
    from numba.core import event

    depth = 0  # compiling a kernel also compiles the kernels that it calls
    begin_s = 0.0

    class Watch(event.Listener):  # type: ignore[misc]  # numba has no types
        def on_start(self, _: object) -> None:
            nonlocal depth, begin_s
            depth += 1
            if depth == 1:
                begin_s = time.monotonic()
                _log_compilation()

        def on_end(self, _: object) -> None:
            nonlocal depth
            if depth == 0:
                return  # a refused compilation ends without a start

            depth -= 1
            if depth == 0:
                _Compilation.seconds += time.monotonic() - begin_s

    event.register("numba:compile", Watch())
    _Compilation.is_watched = True


def compiled_s() -> float:
    """Return the compilation time of this process since `watch_compilation`, in seconds."""
    return _Compilation.seconds


def _log_compilation() -> None:
    import logging  # imported here to keep `import dvspipe` fast

    if not _Compilation.is_logged:
        logging.getLogger(__name__).warning(COMPILING)
    _Compilation.is_logged = True


def ensure_cache(package: str) -> None:
    """Set numba's cache to a temporary folder of this user if numba's default folders are not writable.

    Without a writable folder, numba refuses to load any kernel. It reads the variable when it is imported.

    Args:
        package: Folder of the package.
    """
    if VARIABLE not in os.environ and not os.access(package, os.W_OK) and not is_writable(_user_cache()):
        os.environ[VARIABLE] = _temporary_cache()


def cache_folder(package: str) -> str:
    """Return the folder that contains compiled kernels, possibly in its folders, after `ensure_cache`.

    Args:
        package: Folder of the package.
    """
    return os.environ.get(VARIABLE) or (package if os.access(package, os.W_OK) else _user_cache())


def _user_cache() -> str:
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "numba")


def is_writable(folder: str) -> bool:
    """Create a folder like numba does, and return whether files can be created in it."""
    import tempfile  # imported here, without pathlib, to keep `import dvspipe` fast

    try:
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _temporary_cache() -> str:
    """Create a folder that only this user can write to, because numba executes files in it."""
    import tempfile

    if sys.platform == "win32":  # the folder of temporary files belongs to the user
        return os.path.join(tempfile.gettempdir(), "dvspipe-kernels")

    folder = os.path.join(tempfile.gettempdir(), f"dvspipe-kernels-{os.getuid()}")
    os.makedirs(folder, mode=0o700, exist_ok=True)

    # A folder of another user with this name could contain files that numba would execute.
    status = os.lstat(folder)
    is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    is_writable_by_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if is_own and not is_writable_by_others:
        return folder

    return tempfile.mkdtemp(prefix="dvspipe-kernels-")
