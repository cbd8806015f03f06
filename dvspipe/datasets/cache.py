"""Results kept on disk under a digest of everything that they depend on, so that none is ever out of date.

A file is either complete or absent, whichever processes write it; a corrupted one is made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from ..errors import FileError, Remedy
from ..files import LOCK_NAME, require_space, wait_for_lock, write_beside

CORRUPTIONS = (OSError, ValueError, TypeError, cast(type[Exception], isal_zlib.error))
LAYOUT = 2  # of the stored results; increment it to make all of them again
ARRAYS = ".arrays"  # suffix of files of named arrays
ZLIB_LEVEL = 1  # spikes are mostly 0: a fifteenth of their size, in a tenth of the time of the standard zlib's default
HEADER_BYTES = 1 << 12  # room for the names and shapes of arrays

Result = TypeVar("Result")

log = logging.getLogger(__name__)


def default_cache() -> Path:
    """Return the user's cache folder: $XDG_CACHE_HOME/dvspipe, or ~/.cache/dvspipe."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dvspipe"


class Cache:
    """A folder of results.

    Args:
        folder: Created if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def digest(self, key: object) -> str:
        """Return the digest of a key, a frozen dataclass with everything that a result depends on.

        The version of dvspipe is part of it. Keys are distinguished by their `repr`.
        """
        return hashlib.blake2b(repr((LAYOUT, _own_version(), key)).encode(), digest_size=20).hexdigest()

    def path(self, digest: str, suffix: str) -> Path:
        """Return the path at which the result of a digest is stored."""
        return self.folder / f"{digest[:2]}/{digest[2:]}{suffix}"

    def read(self, digest: str) -> dict[str, NDArray[Any]] | None:
        """Return the named arrays of a digest, or None if they are missing or corrupted."""
        path = self.path(digest, ARRAYS)
        try:
            return _unpack(path.read_bytes())
        except FileNotFoundError:
            return None
        except CORRUPTIONS as error:
            log.warning("%s: corrupted (%s), made again", path, error)
            return None

    def write(self, digest: str, **arrays: NDArray[Any]) -> None:
        """Store named arrays.

        Raises:
            FileError: The folder cannot be written to, or its disk is full.
        """
        path = self.path(digest, ARRAYS)
        try:
            with write_beside(path, durable=False) as beside:
                require_space(path, sum(array.nbytes for array in arrays.values()) + HEADER_BYTES)
                beside.write_bytes(_pack(arrays))
        except FileError as error:
            raise FileError(
                error.message,
                Remedy("data.cache", "DIR", "cache in another folder"),
                Remedy("data.cache", "none", "cache nothing"),
            ) from error

    def load(
        self, digest: str, suffix: str, *, make: Callable[[Path], object], read: Callable[[Path], Result]
    ) -> Result:
        """Return what `read` returns for the file of a digest.

        If the file is missing or corrupted, `make` is called with its path to write it. Of several processes, one
        makes it, and the others wait.
        """
        path = self.path(digest, suffix)
        found = _read_if_complete(path, read)
        if found is None:
            with wait_for_lock(path.with_name(LOCK_NAME)):
                found = _read_if_complete(path, read)  # another process may have made it
                if found is None:
                    path.unlink(missing_ok=True)
                    make(path)
                    found = read(path)
        return found

    def size(self) -> tuple[int, int]:
        """Return the number of files, and of bytes."""
        files = (path for path in self.folder.rglob("*") if path.is_file() and path.name != LOCK_NAME)
        sizes = [path.stat().st_size for path in files]
        return len(sizes), sum(sizes)

    def clear(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _read_if_complete(path: Path, read: Callable[[Path], Result]) -> Result | None:
    if not path.exists():
        return None
    try:
        return read(path)
    except FileError as error:
        log.warning("%s: corrupted (%s), made again", path, error)
        return None


@cache
def _own_version() -> str:
    return version("dvspipe")  # takes 0.4 ms


def _pack(arrays: dict[str, NDArray[Any]]) -> bytes:
    """Return named arrays as compressed bytes with a checksum: a line of JSON, then their contents.

    `np.load` takes three times as long to read an archive of small arrays.
    """
    shapes = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
    content = [json.dumps(shapes).encode(), b"\n", *(array.tobytes() for array in arrays.values())]
    return isal_zlib.compress(b"".join(content), ZLIB_LEVEL)


def _unpack(packed: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of `_pack`, which may be written to."""
    content: bytes = isal_zlib.decompress(packed)
    place = content.index(b"\n") + 1
    arrays = {}
    for name, (dtype, shape) in json.loads(content[:place]).items():
        count = math.prod(shape)
        array: NDArray[Any] = np.frombuffer(content, dtype, count, place)
        arrays[name] = array.reshape(shape).copy()
        place += array.nbytes
    return arrays
