"""Compiled kernels: numba's `njit`, with a message while it compiles, and without settings of strangers."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from typing import Any

from .errors import ConfigError

SETTINGS_FILE = ".numba_config.yaml"  # numba reads it from the current folder, when imported and at each compilation
COMPILING = "compiling kernels for this command, 5 to 30 s (first use only)"

log = logging.getLogger(__name__)


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a kernel as `numba.njit` does; without a writable folder for its cache, it is compiled in each process.

    Raises:
        ConfigError: If the current folder contains settings of numba.
    """
    refuse_settings()
    import numba

    options["pipeline_class"] = _define_compiler()

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(**options)(function)
        except RuntimeError:  # neither the folder of the package nor the user's cache is writable
            return numba.njit(**options | {"cache": False})(function)

    return decorate


def refuse_settings() -> None:
    """Raise a ConfigError if the current folder contains settings of numba.

    The folder may contain data of strangers, and the settings name a folder of kernels that numba executes. numba has
    no option to ignore them, and environment variables only replace some of them.
    """
    if os.path.isfile(SETTINGS_FILE):
        raise ConfigError(
            f"{os.path.abspath(SETTINGS_FILE)}: settings of numba in the current folder could run code of strangers; "
            "change to another folder, or use environment variables (NUMBA_...) instead"
        )


@functools.cache
def _define_compiler() -> type:
    """Return numba's compiler with two more steps, for kernels of this package only.

    It refuses settings, because the current folder may have changed since the import, and logs its first use.
    """
    from numba.core.compiler import Compiler

    log_once = functools.cache(log.info)

    class KernelCompiler(Compiler):  # type: ignore[misc]  # numba has no types
        def __init__(self, *arguments: Any) -> None:
            refuse_settings()  # numba reads them next
            log_once(COMPILING)
            super().__init__(*arguments)

    return KernelCompiler
