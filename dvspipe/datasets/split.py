"""split.json: the division of a data set into parts, as a file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..arguments import checked
from ..errors import Brief, DataError, Remedy
from ..files import read_bytes, write_text
from .samples import PARTS, DataSet, Part, Sample, check_groups


@checked
@dataclass(frozen=True, repr=False)
class Split(Brief):
    """Names of the samples of each part: the content of split.json.

    Args:
        train: Names of the training samples.
        validation: Names of the validation samples.
        test: Names of the test samples.
        copies: Names of samples left out because their content is in an earlier part.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    copies: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[Part, tuple[str, ...]]:
        """Names by part, in the order of PARTS."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def names(self) -> tuple[str, ...]:
        """All names in the order of PARTS, then the copies."""
        return (*self.train, *self.validation, *self.test, *self.copies)


@checked
def write_split(path: Path, data: DataSet) -> None:
    """Write the division of a data set as JSON.

    Raises:
        FileError: If the file cannot be written.
    """
    names = {part: tuple(sample.name for sample in samples) for part, samples in data.parts.items()}
    write_text(path, json.dumps(asdict(Split(**names, copies=tuple(data.copies))), indent=1))


@checked
def read_split(path: Path) -> Split:
    """Read a file from `write_split`.

    Raises:
        FileError: If the file is missing or cannot be read.
        DataError: If the file is not a split.json.
    """
    try:
        found = json.loads(read_bytes(path).decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: not the split.json of a run ({error})") from error
    keys = set(found) - {"copies"} if isinstance(found, dict) else set()
    if keys != set(PARTS) or not all(map(_is_list_of_texts, found.values())):
        raise DataError(f"{path}: not the split.json of a run (expected an object with the lists {', '.join(PARTS)})")
    return Split(**{part: tuple(names) for part, names in found.items()})


def apply_split(path: Path, samples: Sequence[Sample]) -> dict[Part, tuple[Sample, ...]]:
    """Divide samples as in a split.json; leave out samples that it does not list.

    Raises:
        FileError: If the file is missing or cannot be read.
        DataError: If the file lists a sample that does not exist, lists a sample twice, or divides a group.
    """
    by_path = {_absolute(sample.name): sample for sample in samples}
    split = read_split(path)
    for name in split.names:
        if _absolute(name) not in by_path:
            raise DataError(f"{path}: lists {name}, but the data set has no such sample")
    if len(set(split.names)) < len(split.names):
        twice = next(name for name in split.names if split.names.count(name) > 1)
        raise DataError(f"{path}: lists {twice} more than once")
    parts = {part: tuple(by_path[_absolute(name)] for name in names) for part, names in split.parts.items()}
    check_groups(parts["train"], [*parts["validation"], *parts["test"]])
    check_groups(parts["validation"], parts["test"])
    return parts


@checked
def restore_split(path: Path, data: DataSet) -> DataSet | None:
    """Divide a data set as in a split.json; return None if the file lists none of its samples.

    Raises:
        FileError: If the file is missing or cannot be read.
        DataError: If the file lists only some of the samples, or samples that do not exist.
    """
    named = set(map(_absolute, read_split(path).names))
    unnamed = [sample.name for sample in data.samples if _absolute(sample.name) not in named]
    if len(unnamed) == len(data.samples):
        return None
    if unnamed:
        raise DataError(
            f"{path}: lists only {len(data.samples) - len(unnamed)} of {len(data.samples)} recordings of the data set, "
            f"not {unnamed[0]}",
            Remedy("data.split", str(path), "leave out recordings that it does not list"),
        )
    parts = apply_split(path, data.samples)
    return replace(data, train=parts["train"], validation=parts["validation"], test=parts["test"])


@checked
def check_split(path: Path, data: DataSet) -> None:
    """Check that a data set is divided as in a split.json.

    Raises:
        FileError: If the file is missing or cannot be read.
        DataError: If a sample is in another part, new, or missing; the message names one such sample.
    """
    before = {_absolute(name): (part, name) for part, names in read_split(path).parts.items() for name in names}
    now = {_absolute(sample.name): (part, sample.name) for part, samples in data.parts.items() for sample in samples}
    absent = ("no part", "")
    parts = {key: (before.get(key, absent)[0], now.get(key, absent)[0]) for key in {**before, **now}}
    moved = [key for key, (old, new) in parts.items() if old != new]
    if moved:
        old, new = parts[moved[0]]
        _, name = before.get(moved[0]) or now[moved[0]]
        raise DataError(
            f"{path}: {len(moved)} recordings are no longer in the same part, such as {name} ({old} before, {new} "
            "now); restore the recordings, or start a new run (with init, from the weights of this one)"
        )


def _absolute(name: str) -> str:
    """Make the name of a sample independent of the current folder; it begins with a file path."""
    return os.path.abspath(name)


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
