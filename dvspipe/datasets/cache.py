"""Disk cache of results.

Keys are digests of all inputs, so entries are never out of date. A file is either complete or absent, even if several
processes write it. Corrupted files are recomputed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from ..base.errors import FileError
from ..base.files import require_space, write_beside

CORRUPTIONS = (OSError, ValueError, SafetensorError, zlib.error)
LAYOUT = 3  # increment it when stored results change; all are then recomputed
ARRAYS = ".arrays"  # suffix of files of named arrays
ZLIB_LEVEL = 1  # spikes are mostly 0: a file is 11 to 21 times smaller; a compressed .npz takes 4 times as long
HEADER_BYTES = 1 << 12  # room for the names and shapes of arrays

log = logging.getLogger(__name__)


def default_cache() -> Path:
    """Return the user's cache folder: $XDG_CACHE_HOME/dvspipe, default ~/.cache/dvspipe."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dvspipe"


class Cache:
    """Cache folder of named arrays.

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

    def digest(self, key: object) -> str:
        """Return the digest of a key and of the version of dvspipe.

        Args:
            key: Everything that a result depends on, such as a tuple of frozen settings.
        """
        return hashlib.blake2b(to_json((LAYOUT, _own_version(), key)), digest_size=20).hexdigest()

    def path(self, digest: str) -> Path:
        """Return the path of the arrays with a digest."""
        return self.folder / f"{digest[:2]}/{digest[2:]}{ARRAYS}"

    def get(self, digest: str, make: Callable[[], Mapping[str, NDArray[Any]]]) -> Mapping[str, NDArray[Any]]:
        """Return the named arrays with a digest; if they are missing, make and store them."""
        stored = self.read(digest)
        if stored is not None:
            return stored

        made = make()
        self.write(digest, **made)
        return made

    def read(self, digest: str) -> dict[str, NDArray[Any]] | None:
        """Read the named arrays with a digest; return None if they are missing or corrupted."""
        path = self.path(digest)
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
        path = self.path(digest)
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


@cache
def _own_version() -> str:
    return version("dvspipe")  # takes 0.4 ms
