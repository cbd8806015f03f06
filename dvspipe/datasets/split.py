"""split.json: the division of a data set into parts, with paths relative to its folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..base.errors import Brief, DataError, escape_controls
from ..base.files import read_bytes, write_text
from ..results.splits import PARTS, Part
from .samples import DataSet, Sample, check_groups


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


def write_split(path: Path, data: DataSet) -> None:
    """Write the division of a data set as JSON.

    Raises:
        FileError: If the file cannot be written.
    """
    names = {part: tuple(_name(sample, data.root) for sample in samples) for part, samples in data.parts.items()}
    copies = tuple(_shorten(name, data.root) for name in data.copies)
    write_text(path, json.dumps(asdict(Split(**names, copies=copies)), indent=1))


def read_split(path: Path) -> Split:
    """Read a file from `write_split`.

    Raises:
        FileError: If the file is missing or cannot be read.
        DataError: If the file is not a split.json.
    """
    try:
        content = json.loads(read_bytes(path).decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: not the split.json of a run ({error})") from error

    keys = set(content) - {"copies"} if isinstance(content, dict) else set()
    if keys != set(PARTS) or not all(map(_is_list_of_texts, content.values())):
        raise DataError(f"{path}: not the split.json of a run (expected an object with the lists {', '.join(PARTS)})")

    return Split(**{part: tuple(names) for part, names in content.items()})


def apply_split(path: Path, samples: Sequence[Sample], root: Path) -> dict[Part, tuple[Sample, ...]]:
    """Divide samples as in a split.json; leave out samples that it does not list."""
    parts = _divide(path, read_split(path), {_name(sample, root): sample for sample in samples})
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

    parts = _divide(path, split, by_name)
    return replace(data, train=parts["train"], validation=parts["validation"], test=parts["test"])


def check_split(path: Path, data: DataSet) -> None:
    """Check that a data set is divided as in a split.json.

    Raises:
        FileError: If the file is missing or cannot be read.
        DataError: If a sample is in another part, new, or missing; the message names one such sample.
    """
    before = {name: part for part, names in read_split(path).parts.items() for name in names}
    now = {_name(sample, data.root): part for part, samples in data.parts.items() for sample in samples}

    if before and before.keys().isdisjoint(now):
        raise DataError(
            f"{path}: lists none of the recordings of {data.title} (found {next(iter(now))}, expected recordings "
            f"such as {next(iter(before))}); resume with the recordings of the run, or start a new run"
        )

    # A recording that is new, or no longer there, moves from or to no part.
    absent = "no part"
    moved = [
        (name, before.get(name, absent), now.get(name, absent))
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    if moved:
        name, old, new = moved[0]
        raise DataError(
            f"{path}: {len(moved)} recordings are no longer in the same part, such as {name} ({old} before, {new} "
            "now); restore the recordings, or start a new run (with init, from the weights of this one)"
        )


def name_samples(data: DataSet) -> dict[str, Sample]:
    """Return the samples of a data set by their names in a split.json."""
    return {_name(sample, data.root): sample for sample in data.samples}


def _name(sample: Sample, root: Path | None) -> str:
    return _shorten(sample.name, root)


def _shorten(name: str, root: Path | None) -> str:
    """Return the name of a sample with a path relative to its folder, with forward slashes."""
    prefix = escape_controls(f"{root}{os.sep}")
    if root is None or not name.startswith(prefix):
        return name
    return name.removeprefix(prefix).replace(os.sep, "/")


def _divide(path: Path, split: Split, by_name: Mapping[str, Sample]) -> dict[Part, tuple[Sample, ...]]:
    """Return the samples of each part of a split."""
    for name in split.names:
        if name not in by_name:
            raise DataError(
                f"{path}: lists {name}, but the data set has no such recording (expected paths relative to root, "
                "as dvspipe 0.3 writes them)"
            )

    if len(set(split.names)) < len(split.names):
        twice = next(name for name in split.names if split.names.count(name) > 1)
        raise DataError(f"{path}: lists {twice} more than once")

    return {part: tuple(by_name[name] for name in names) for part, names in split.parts.items()}


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
