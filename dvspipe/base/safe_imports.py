"""What worker processes import: programs and installed packages, nothing from the current folder.

The current folder may contain data of strangers. Python searches it first in programs started with -c or -m and in
interactive sessions, and the processes that multiprocessing starts are such programs.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from multiprocessing.process import ORIGINAL_DIR  # type: ignore[attr-defined]  # the current folder at the start
from pathlib import Path
from types import ModuleType

PACKAGE_HOME = str(Path(__file__).resolve().parents[2])  # the folder that contains dvspipe


@dataclass(frozen=True)
class SessionModules:
    """Modules that a session has imported from its current folder, such as a file beside a notebook.

    Args:
        folder: The current folder when the session started.
        names: Names of the modules.
    """

    folder: str
    names: tuple[str, ...]

    def load(self) -> None:
        """Import these modules, so that their functions can be unpickled; the folder is searched only meanwhile."""
        if not self.names:
            return

        sys.path.append(self.folder)
        for name in self.names:
            with suppress(Exception):  # unpickling a function of a missing module names it
                importlib.import_module(name)
        sys.path.remove(self.folder)


@contextmanager
def safe_paths() -> Iterator[SessionModules]:
    """Remove the current folder from `sys.path`, which started workers inherit; yield the modules imported from there.

    It stays if PYTHONPATH names it, or if the program is in it.
    """
    before = sys.path
    sys.path = _list_safe_paths()
    try:
        yield SessionModules(ORIGINAL_DIR, () if ORIGINAL_DIR in sys.path else _find_session_modules())
    finally:
        sys.path = before


def find_program_folder() -> str:
    """Return the folder of the running script, or the folder that contains dvspipe if no script is running."""
    main = sys.modules["__main__"]
    script = getattr(main, "__file__", None) if getattr(main, "__spec__", None) is None else None
    return PACKAGE_HOME if script is None else str(Path(ORIGINAL_DIR, script).parent)


def _list_safe_paths() -> list[str]:
    """Return `sys.path` without the current folder, unless PYTHONPATH names it or the program is in it."""
    paths = [path for path in sys.path if path]  # "" is the current folder: python -c, interactive sessions
    main = sys.modules["__main__"]
    spec: ModuleSpec | None = getattr(main, "__spec__", None)  # only of python -m, which searches the current folder
    is_already_removed = spec is None or spec.parent == "dvspipe"  # by dvspipe/__main__.py
    if spec and not is_already_removed and ORIGINAL_DIR in paths and ORIGINAL_DIR not in _list_named_paths():
        paths.remove(ORIGINAL_DIR)
        package, _, _ = spec.name.partition(".")
        program = sys.modules.get(package, main)
        if _find_folder(program) == ORIGINAL_DIR:
            paths.append(ORIGINAL_DIR)

    if PACKAGE_HOME not in paths:  # dvspipe was imported from the current folder
        paths.append(PACKAGE_HOME)
    return paths


def _list_named_paths() -> list[str]:
    """Return the folders that PYTHONPATH names."""
    names = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [os.path.normpath(os.path.join(ORIGINAL_DIR, name)) for name in names if name]


def _find_session_modules() -> tuple[str, ...]:
    """Return the names of the top-level modules that were imported from the current folder."""
    names = [name for name in sys.modules if "." not in name and not name.startswith("__")]  # not __main__
    return tuple(name for name in names if _find_folder(sys.modules[name]) == ORIGINAL_DIR)


def _find_folder(module: ModuleType) -> str | None:
    """Return the folder from which a top-level module was imported; None if it is built in or was made by code."""
    spec: ModuleSpec | None = getattr(module, "__spec__", None)
    if spec is None:
        return None

    # A package has folders; of a module, the file says where it is.
    if spec.submodule_search_locations:
        return os.path.dirname(next(iter(spec.submodule_search_locations)))
    return os.path.dirname(spec.origin) if spec.has_location and spec.origin else None
