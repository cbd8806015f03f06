"""Common inputs of the functions that open data sets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..base.errors import DataError
from ..base.progress import Progress, ignore_progress
from ..encoding import BinConfig
from .cache import Cache
from .config import OWN_KINDS, DataConfig

NUMBERED = re.compile(r"(.+?)[ _-]+\(?[A-Za-z]*\d+\)?")  # NAME_01, NAME-2, NAME (3), NAME_c01

T = TypeVar("T")


@dataclass(frozen=True)
class DataSource:
    """Source of a data set.

    Args:
        config: Kind, folders, and fractions of the parts.
        bins: Steps of the spike tensors, also used by the spike code of images.
        cache: Cache for the events of videos; None: no cache.
        progress: Called with the number of files done and the total.
    """

    config: DataConfig
    bins: BinConfig
    cache: Cache | None
    progress: Progress = ignore_progress

    def report(self, files: Sequence[T]) -> Iterator[T]:
        """Yield files, and report how many are done: dividing videos into windows converts them."""
        for number, file in enumerate(files, start=1):
            yield file
            self.progress(number, len(files))

    @property
    def root(self) -> Path:
        """Folder of the data set.

        Raises:
            DataError: If the configuration has no folder.
        """
        if self.config.root is None:
            raise DataError(f"{self.config.data}: missing folder of recordings, root; use root=DIR")
        return self.config.root

    def name_of(self, file: Path) -> Path:
        """Return the name of a recording, which decides its simulated noise: its path relative to `root`.

        Names in `test_root` begin with the name of that folder, because it may have the same files as the root.
        """
        test_root = self.config.test_root
        if file.is_relative_to(self.root):
            return file.relative_to(self.root)
        if test_root is not None and file.is_relative_to(test_root):
            return test_root.absolute().name / file.relative_to(test_root)
        return Path(file.name)

    def group_of(self, file: Path, name: str | None = None) -> str:
        """Return the group of a recording: the match of `group` in its name, or its path without the last number.

        A number at the end of a name counts pieces of a film, or recordings of a person. Other names, and recordings
        that a split.json divides, are groups of their own.

        Args:
            file: Recording.
            name: Name to search; default: the file name.

        Raises:
            DataError: If the name does not match `group`.
        """
        if self.config.group is None:
            numbered = NUMBERED.fullmatch(file.stem)
            is_drawn = self.config.data in OWN_KINDS and not isinstance(self.config.split, Path)
            return str(file.with_name(numbered[1]) if numbered and is_drawn else file)

        match = re.search(self.config.group, name or file.name)
        if not match:
            raise DataError(
                f"{file}: the name does not match the regular expression group = {self.config.group!r} "
                "(expected a pattern such as '^[^_]+'); use group=null to make each recording its own group"
            )

        return match.group()
