"""splits.csv: the published splits of a data set, side by side.

The file is in the root of a folder of recordings, CLASS/NAME.h5. Each row puts a recording into a part of one split. A
split does not have to list all recordings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal, get_args

from pydantic import Field, field_validator

from ..base.errors import DataError
from ..base.files import write_text
from .tables import Row, format_csv, read_table

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
EvaluatedPart = Literal["test", "validation", "train", "all"]
"""Part of a data set to evaluate."""
SPLITS = "splits.csv"
MAX_SPLITS_BYTES = 1 << 30  # Kinetics-700 has 650,000 clips, about 80 MB


class SplitRow(Row):
    """A row of splits.csv: the part of a recording in a split."""

    columns: ClassVar[tuple[str, ...]] = ("split", "file", "class", "part", "group")

    split: int = Field(ge=1)
    """Number of the split, from 1."""
    file: str
    """Path of the recording in the folder, with `/` between the names."""
    class_name: str = Field(alias="class", min_length=1)
    """Name of the class."""
    part: Part
    """Part of the recording in this split."""
    group: str = ""
    """Film or person that the recording shows; empty: unknown."""

    @field_validator("file")
    @classmethod
    def _check_file(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ValueError("is not a path in the folder")
        return value


@dataclass(frozen=True)
class Splits:
    """Content of splits.csv.

    Args:
        rows: Rows of all splits.
    """

    rows: tuple[SplitRow, ...]

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the splits, sorted."""
        return tuple(sorted({row.split for row in self.rows}))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, sorted."""
        return tuple(sorted({row.class_name for row in self.rows}))

    def of(self, number: int) -> tuple[SplitRow, ...]:
        """Return the rows of a split.

        Raises:
            DataError: If there is no such split.
        """
        if number not in self.numbers:
            raise DataError(f"split {number}: no such split (expected {', '.join(map(str, self.numbers))})")

        return tuple(row for row in self.rows if row.split == number)


def write_splits(folder: Path, rows: Iterable[SplitRow]) -> None:
    """Write splits.csv into a folder of recordings, sorted by split and file.

    Names are written as they are, because `read_splits` needs them unchanged.

    Raises:
        FileError: If the file cannot be written.
    """
    in_order = sorted(rows, key=lambda row: (row.split, row.file))
    write_text(folder / SPLITS, format_csv(SplitRow.columns, (row.cells() for row in in_order)))


def read_splits(folder: Path) -> Splits:
    """Read splits.csv from a folder of recordings.

    Raises:
        FileError: If the file is missing or cannot be read.
        DataError: If the file is not such a table, or lists a recording twice in a split or with two classes.
    """
    path = folder / SPLITS
    rows = tuple(read_table(path, SplitRow, SplitRow.columns, MAX_SPLITS_BYTES))
    _check_rows(path, rows)
    return Splits(rows)


def find_splits(folder: Path) -> Splits | None:
    """Read splits.csv from a folder of recordings; return None if there is none."""
    return read_splits(folder) if (folder / SPLITS).is_file() else None


def _check_rows(path: Path, rows: tuple[SplitRow, ...]) -> None:
    """Check that a recording has one class, and one part in each split."""
    if not rows:
        raise DataError(f"{path}: lists no recordings")

    [((split, file), count)] = Counter((row.split, row.file) for row in rows).most_common(1)
    if count > 1:
        raise DataError(f"{path}: lists {file} twice in split {split}")

    [(file, count)] = Counter(file for file, _ in {(row.file, row.class_name) for row in rows}).most_common(1)
    if count > 1:
        raise DataError(f"{path}: lists {file} with {count} classes")
