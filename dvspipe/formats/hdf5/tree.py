"""Read a small HDF5 file as nested mappings of arrays and texts, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from ...base.errors import FileError, FormatError
from .reader import open_file
from .storage import check_storage

Tree: TypeAlias = Mapping[str, "Tree | NDArray[Any] | str"]
"""Groups, arrays and texts by name. Several texts are an array of str."""

MAX_TREE_BYTES = 1 << 28  # file size, and size of all arrays together
MAX_TREE_ITEMS = 10_000
MAX_TREE_DEPTH = 16  # a group may contain itself
MAX_TEXT = 100_000  # characters


def read_tree(path: Path) -> Tree:
    """Read all groups and datasets of an HDF5 file. Links to other places are not followed, attributes are not read.

    Raises:
        FileError: If the file does not exist or is too large.
        FormatError: If it is corrupted, or its content is too large.
    """
    if not path.is_file():
        raise FileError(f"{path}: no such file")
    size = path.stat().st_size
    if size > MAX_TREE_BYTES:
        raise FileError(f"{path}: too large (found {size:,} bytes, expected at most {MAX_TREE_BYTES:,})")

    with open_file(path) as file:
        return _Walk(path).read_group(file, "", 0)


class _Walk:
    """Reads the groups of a file, and counts what it reads: a small file may describe arrays of any size."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.items = 0
        self.bytes = 0

    def read_group(self, group: h5py.Group, name: str, depth: int) -> Tree:
        if depth > MAX_TREE_DEPTH:
            raise FormatError(f"{self.path}: {name}: nested too deeply (expected at most {MAX_TREE_DEPTH} groups)")

        tree: dict[str, Tree | NDArray[Any] | str] = {}
        for key in group:
            where = f"{name}/{key}"
            self.items += 1
            if self.items > MAX_TREE_ITEMS:
                raise FormatError(f"{self.path}: too many items (expected at most {MAX_TREE_ITEMS:,})")
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise FormatError(f"{self.path}: {where}: a link, which is not followed")

            item = group[key]
            if isinstance(item, h5py.Group):
                tree[key] = self.read_group(item, where, depth + 1)
            elif isinstance(item, h5py.Dataset):
                tree[key] = self._read_dataset(item, where)

        return tree

    def _read_dataset(self, dataset: h5py.Dataset, where: str) -> NDArray[Any] | str:
        if h5py.check_string_dtype(dataset.dtype) is not None:
            return self._read_texts(dataset, where)

        check_storage(f"{self.path}: {where}", dataset)
        self._count(dataset.nbytes, where)
        return np.asarray(dataset[()])

    def _read_texts(self, dataset: h5py.Dataset, where: str) -> NDArray[Any] | str:
        if dataset.is_virtual or dataset.external or dataset.shape is None or dataset.size > MAX_TREE_ITEMS:
            raise FormatError(f"{self.path}: {where}: wrong storage of texts")

        # Each on its own: all may refer to the same long text.
        texts = []
        for index in np.ndindex(dataset.shape):
            content = dataset[index]
            if len(content) > MAX_TEXT:
                raise FormatError(f"{self.path}: {where}: text too long (found {len(content):,} bytes)")
            self._count(len(content), where)
            texts.append(content.decode(errors="replace") if isinstance(content, bytes) else str(content))

        return np.array(texts).reshape(dataset.shape) if dataset.shape else texts[0]

    def _count(self, size: int, where: str) -> None:
        self.bytes += size
        if self.bytes > MAX_TREE_BYTES:
            raise FormatError(f"{self.path}: {where}: too large (expected at most {MAX_TREE_BYTES:,} bytes in total)")
