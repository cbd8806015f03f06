"""Disk cache of results.

Keys are digests of all inputs, so entries are never out of date. A file is either complete or absent, even if several
processes write it. Corrupted files are recomputed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import zlib
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from ..base.errors import FileError
from ..base.files import LOCK_NAME, lock_folder, require_space, write_beside

CORRUPTIONS = (OSError, ValueError, SafetensorError, zlib.error)
LAYOUT = 3  # increment it when stored results change; all are then recomputed
ARRAYS = ".arrays"  # suffix of files of named arrays
ZLIB_LEVEL = 1  # spikes are mostly 0: a file is 11 to 21 times smaller; a compressed .npz takes 4 times as long
HEADER_BYTES = 1 << 12  # room for the names and shapes of arrays

Result = TypeVar("Result")

log = logging.getLogger(__name__)


def default_cache() -> Path:
    """Return the user's cache folder: $XDG_CACHE_HOME/dvspipe, default ~/.cache/dvspipe."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dvspipe"


class Cache:
    """Cache folder of named arrays and files.

    Args:
        folder: Cache folder; created if it does not exist.

    Example:
        >>> cache = Cache(tmp_path)
        >>> digest = cache.digest(("recording", 5))
        >>> cache.write(digest, starts_us=np.array([0, 5000]))
        >>> cache.read(digest)
        {'starts_us': array([   0, 5000])}
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"Cache({str(self.folder)!r})"

    def digest(self, key: object) -> str:
        """Return the digest of a key and of the version of dvspipe.

        Args:
            key: Frozen dataclass with everything that a result depends on.
        """
        return hashlib.blake2b(to_json((LAYOUT, _own_version(), key)), digest_size=20).hexdigest()

    def path(self, digest: str, suffix: str) -> Path:
        """Return the path of the result with a digest."""
        return self.folder / f"{digest[:2]}/{digest[2:]}{suffix}"

    def read(self, digest: str) -> dict[str, NDArray[Any]] | None:
        """Read the named arrays with a digest; return None if they are missing or corrupted."""
        path = self.path(digest, ARRAYS)
        try:
            arrays: dict[str, NDArray[Any]] = safetensors.load(zlib.decompress(path.read_bytes()))
            return arrays
        except FileNotFoundError:
            return None
        except CORRUPTIONS as error:
            log.warning("%s: corrupted (%s); recomputing it", path, error)
            return None

    def write(self, digest: str, **arrays: NDArray[Any]) -> None:
        """Store named arrays under a digest.

        Raises:
            FileError: If the folder cannot be written to, or its disk is full.
        """
        path = self.path(digest, ARRAYS)
        try:
            with write_beside(path, durable=False) as beside:
                require_space(path, sum(array.nbytes for array in arrays.values()) + HEADER_BYTES)

                # safetensors writes the wrong bytes of arrays with steps or in Fortran order, without an error
                dense = {name: np.asarray(array, order="C") for name, array in arrays.items()}
                beside.write_bytes(zlib.compress(safetensors.save(dense), ZLIB_LEVEL))
        except FileError as error:
            raise FileError(
                f"{error}; use cache=DIR to cache in another folder, or cache=none to disable the cache",
            ) from error

    def load(
        self, digest: str, suffix: str, *, make: Callable[[Path], object], read: Callable[[Path], Result]
    ) -> Result:
        """Read the file with a digest; write it first if it is missing or corrupted.

        Of several processes, one writes the file, and the others wait.

        Args:
            digest: Digest of the result.
            suffix: Suffix of the file.
            make: Function that writes the file to a path.
            read: Function that reads the file.
        """
        path = self.path(digest, suffix)
        result = _read_if_complete(path, read)

        if result is None:
            with lock_folder(path.parent, wait=True):
                # Another process may have made it while this one waited.
                result = _read_if_complete(path, read)
                if result is None:
                    path.unlink(missing_ok=True)
                    make(path)
                    result = read(path)

        return result

    def size(self) -> tuple[int, int]:
        """Return the number of files and their total size in bytes."""
        files = (path for path in self.folder.rglob("*") if path.is_file() and path.name != LOCK_NAME)
        sizes = [path.stat().st_size for path in files]
        return len(sizes), sum(sizes)

    def clear(self) -> None:
        """Remove the cache folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _read_if_complete(path: Path, read: Callable[[Path], Result]) -> Result | None:
    if not path.exists():
        return None

    try:
        return read(path)
    except FileError as error:
        log.warning("%s: corrupted (%s); recomputing it", path, error)
        return None


@cache
def _own_version() -> str:
    return version("dvspipe")  # takes 0.4 ms
