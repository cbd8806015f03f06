"""Results kept on disk under a digest of all that they depend on, so that none is ever out of date.

A file appears whole or not at all, whichever processes make it; one that is damaged is made anew.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FileError
from ..files import require_space, write_beside

DAMAGES = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)
LAYOUT = 1  # of what is stored; another number makes all of it anew
CLOSING_BYTES = 1 << 20

log = logging.getLogger(__name__)


def default_cache() -> Path:
    """The user's cache folder: $XDG_CACHE_HOME/dvspipe, or ~/.cache/dvspipe."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dvspipe"


class Cache:
    """A folder of results.

    Args:
        folder: Made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def key(self, *parts: object) -> str:
        """The digest of what a result depends on, of dvspipe's version too; parts are told apart by their `repr`."""
        return hashlib.blake2b(repr((LAYOUT, version("dvspipe"), parts)).encode(), digest_size=20).hexdigest()

    def path(self, key: str, suffix: str) -> Path:
        """Where the result of a key is, or is to be."""
        return self.folder / key[:2] / f"{key[2:]}{suffix}"

    def read(self, key: str) -> dict[str, NDArray[Any]] | None:
        """The arrays of a key by their names, or None where there are none that are whole."""
        path = self.path(key, ".npz")
        if not path.exists():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return dict(stored)
        except DAMAGES as error:
            log.warning("%s: damaged (%s), is made anew", path, error)
            return None

    def write(self, key: str, arrays: dict[str, NDArray[Any]]) -> None:
        """Keeps arrays.

        Raises:
            FileError: The folder cannot be written to, or its disk is full; says how to do without.
        """
        path = self.path(key, ".npz")
        try:
            with write_beside(path) as beside, beside.open("wb") as file:
                require_space(path, sum(array.nbytes for array in arrays.values()) + CLOSING_BYTES)
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        except FileError as error:
            raise FileError(
                f"{error}; another folder for what is kept: data.cache=DIR, none: data.cache=none"
            ) from error

    def file(self, key: str, suffix: str, make: Callable[[Path], object]) -> Path:
        """The file of a key; where there is none, `make` writes it, beside and then renamed as all writers here do."""
        path = self.path(key, suffix)
        if not path.exists():
            make(path)
        return path

    def size(self) -> tuple[int, int]:
        """Number of files and of bytes."""
        sizes = [path.stat().st_size for path in self.folder.rglob("*") if path.is_file()]
        return len(sizes), sum(sizes)

    def clear(self) -> None:
        """Removes all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)
