"""split.json: the division of a data set into parts, with paths relative to its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..base.errors import DataError, FormatError, escape_controls
from ..results.splits import PARTS, Part
from ..results.tables import Record
from .samples import DataSet, Sample, check_groups


class Split(Record):
    """Names of the samples of each part: the content of split.json."""

    train: tuple[str, ...]
    """Names of the training samples."""
    validation: tuple[str, ...]
    """Names of the validation samples."""
    test: tuple[str, ...]
    """Names of the test samples."""
    copies: tuple[str, ...] = ()
    """Names of samples left out because their content is in an earlier part."""

    @property
    def parts(self) -> dict[Part, tuple[str, ...]]:
        """Names by part, in the order of PARTS."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def names(self) -> tuple[str, ...]:
        """All names in the order of PARTS, then the copies."""
        return (*self.train, *self.validation, *self.test, *self.copies)


def write_split(path: Path, data: DataSet) -> None:
    """Write the division of a data set as JSON.

    Raises:
        FileError: If the file cannot be written.
    """
    names = {part: tuple(_name(sample.name, data.root) for sample in samples) for part, samples in data.parts.items()}
    Split(**names, copies=tuple(_name(name, data.root) for name in data.copies)).write(path)


def read_split(path: Path) -> Split:
    """Read a file from `write_split`.

    Raises:
        FileError: If the file is missing or cannot be read.
        DataError: If the file is not a split.json.
    """
    try:
        return Split.read(path)
    except FormatError as error:
        expected = f"an object with the lists {', '.join(PARTS)}"
        raise DataError(f"{path}: not the split.json of a run (expected {expected}; {error})") from error


def apply_split(path: Path, samples: Sequence[Sample], root: Path) -> dict[Part, list[Sample]]:
    """Divide samples as in a split.json; leave out samples that it does not list."""
    parts = _divide(path, read_split(path), {_name(sample.name, root): sample for sample in samples})
    check_groups(parts["train"], [*parts["validation"], *parts["test"]])
    check_groups(parts["validation"], parts["test"])
    return parts


def restore_split(path: Path, data: DataSet) -> DataSet | None:
    """Divide a data set as in a split.json; return None if the file lists none of its samples.

    Groups are not checked: the training accepted this division, also of films that it divided in time.

    Raises:
        FileError: If the file is missing or cannot be read.
        DataError: If the file lists only some of the samples, or samples that do not exist.
    """
    split = read_split(path)
    by_name = name_samples(data)
    unlisted = [name for name in by_name if name not in set(split.names)]
    if len(unlisted) == len(by_name):
        return None
    if unlisted:
        listed = len(by_name) - len(unlisted)
        raise DataError(
            f"{path}: lists only {listed} of {len(by_name)} recordings of the data set, not {unlisted[0]}"
            f"; use split={path} to leave out recordings that it does not list"
        )

    return data.with_parts(_divide(path, split, by_name))


def check_split(path: Path, data: DataSet) -> None:
    """Check that a data set is divided as in a split.json.

    Raises:
        FileError: If the file is missing or cannot be read.
        DataError: If a sample is in another part, new, or missing; the message names one such sample.
    """
    absent = "no part"
    before = {name: part for part, names in read_split(path).parts.items() for name in names}
    now = {_name(sample.name, data.root): part for part, samples in data.parts.items() for sample in samples}

    for name in before | now:
        old, new = before.get(name, absent), now.get(name, absent)
        if old != new:
            raise DataError(
                f"{path}: the recordings of {data.title} are no longer in the same parts, such as {name} ({old} "
                f"before, {new} now); restore the recordings, or start a new run (with init, from the weights of "
                "this one)"
            )


def name_samples(data: DataSet) -> dict[str, Sample]:
    """Return the samples of a data set by their names in a split.json."""
    return {_name(sample.name, data.root): sample for sample in data.samples}


def _name(name: str, root: Path | None) -> str:
    """Return the name of a sample with a path relative to its folder, with forward slashes."""
    prefix = escape_controls(f"{root}{os.sep}")
    if root is None or not name.startswith(prefix):
        return name
    return name.removeprefix(prefix).replace(os.sep, "/")


def _divide(path: Path, split: Split, by_name: Mapping[str, Sample]) -> dict[Part, list[Sample]]:
    """Return the samples of each part of a split."""
    seen: set[str] = set()
    for name in split.names:
        if name not in by_name:
            raise DataError(f"{path}: lists {name}, but the data set has no such recording (expected paths below root)")
        if name in seen:
            raise DataError(f"{path}: lists {name} more than once")
        seen.add(name)

    return {part: [by_name[name] for name in names] for part, names in split.parts.items()}
