"""split.json: the division of a data set into parts, as a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from pathlib import Path

from ..base.errors import Brief, DataError, Remedy, escape_controls
from ..base.files import read_bytes, write_text
from ..results.splits import PARTS, Part
from .samples import DataSet, Sample, check_groups, version_of_file


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
    names = {part: tuple(sample.name for sample in samples) for part, samples in data.parts.items()}
    write_text(path, json.dumps(asdict(Split(**names, copies=tuple(data.copies))), indent=1))


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


def apply_split(path: Path, samples: Sequence[Sample]) -> dict[Part, tuple[Sample, ...]]:
    """Divide samples as in a split.json; leave out samples that it does not list."""
    split = read_split(path)
    parts = _divide(path, split, _match_samples(path, split.names, samples).by_name)
    check_groups(parts["train"], [*parts["validation"], *parts["test"]])
    check_groups(parts["validation"], parts["test"])
    return parts


def restore_split(path: Path, data: DataSet) -> DataSet | None:
    """Divide a data set as in a split.json; return None if the file lists none of its samples.

    Groups are not checked: the training accepted this division, also of films that it divided in time.

    Samples are found whatever the current folder: names are relative to it, or to a folder above the file. Recordings
    that were copied or moved are found by their paths below the data folder. Their content must be equal; if the listed
    recordings no longer exist, this cannot be checked, and the result has one more warning.

    Raises:
        FileError: If the file is missing or cannot be read.
        DataError: If the file lists only some of the samples, or samples that do not exist.
    """
    split = read_split(path)
    match = _match_samples(path, split.names, data.samples)
    if not match.by_name:
        return None

    matched = {sample.name for sample in match.by_name.values()}
    unnamed = [sample.name for sample in data.samples if sample.name not in matched]
    if unnamed:
        raise DataError(
            f"{path}: lists only {len(matched)} of {len(data.samples)} recordings of the data set, not {unnamed[0]}",
            Remedy("data.split", str(path), "leave out recordings that it does not list"),
        )

    parts = _divide(path, split, match.by_name)
    warnings = data.warnings

    if not match.verified:
        name, sample = next(iter(match.by_name.items()))
        warnings += (
            f"{data.title}: is divided as in {path} by the paths of its recordings alone, because the recordings of "
            f"the training were not found ({name} is assumed to be {sample.name}); if it has other recordings, "
            "evaluate all of them",
        )

    return replace(data, train=parts["train"], validation=parts["validation"], test=parts["test"], warnings=warnings)


def check_split(path: Path, data: DataSet) -> None:
    """Check that a data set is divided as in a split.json.

    Raises:
        FileError: If the file is missing or cannot be read.
        DataError: If a sample is in another part, new, or missing; the message names one such sample.
    """
    # Names may be relative to another folder now, so the samples are matched before they are compared.
    before = {name: part for part, names in read_split(path).parts.items() for name in names}
    now = {sample.name: part for part, samples in data.parts.items() for sample in samples}
    by_name = _match_samples(path, tuple(before), data.samples).by_name

    if before and not by_name:
        raise DataError(
            f"{path}: lists none of the recordings of {data.title} (found {data.samples[0].name}, expected recordings "
            f"such as {next(iter(before))}); resume with the recordings of the run, or start a new run"
        )

    # A recording that is new, or no longer there, moves from or to no part.
    listed = {sample.name for sample in by_name.values()}
    absent = "no part"
    moved: list[tuple[str, str, str]] = []
    for name, part in before.items():
        part_now = now[by_name[name].name] if name in by_name else absent
        if part_now != part:
            moved.append((name, part, part_now))
    moved += [(name, absent, new) for name, new in now.items() if name not in listed]

    if moved:
        name, old, new = moved[0]
        raise DataError(
            f"{path}: {len(moved)} recordings are no longer in the same part, such as {name} ({old} before, {new} "
            "now); restore the recordings, or start a new run (with init, from the weights of this one)"
        )


def _divide(path: Path, split: Split, by_name: Mapping[str, Sample]) -> dict[Part, tuple[Sample, ...]]:
    """Return the samples of each part of a split."""
    for name in split.names:
        if name not in by_name:
            raise DataError(f"{path}: lists {name}, but the data set has no such sample")

    if len(set(split.names)) < len(split.names):
        twice = next(name for name in split.names if split.names.count(name) > 1)
        raise DataError(f"{path}: lists {twice} more than once")

    return {part: tuple(by_name[name] for name in names) for part, names in split.parts.items()}


@dataclass(frozen=True)
class _Match:
    """Samples that a split.json lists.

    Args:
        by_name: Samples by their names in the file.
        verified: Whether their content was compared, where they are at another place.
    """

    by_name: Mapping[str, Sample]
    verified: bool = True


def _match_samples(path: Path, names: Sequence[str], samples: Sequence[Sample]) -> _Match:
    """Find the samples that a split.json lists.

    A name begins with a file path, absolute or relative to the folder in which the training ran. This is the current
    folder or, usually, one above the file.
    """
    by_path = {os.path.abspath(sample.name): sample for sample in samples}
    folders = {os.path.dirname(name) for name in by_path}
    listed = {os.path.dirname(name) for name in names}
    bases = (Path.cwd(), *Path(os.path.abspath(path)).parents)

    # Folders are compared before names, because there are far fewer of them.
    for base in bases:
        if not folders.isdisjoint(os.path.abspath(base / folder) for folder in listed):
            paths = {name: os.path.abspath(base / name) for name in names}
            matched = {name: by_path[absolute] for name, absolute in paths.items() if absolute in by_path}
            if matched:
                return _Match(matched)

    return _match_copies(bases, names, samples)


def _match_copies(bases: Sequence[Path], names: Sequence[str], samples: Sequence[Sample]) -> _Match:
    """Find the recordings that a split.json lists, at another place; see `restore_split`."""
    located = [(sample, Path(os.path.abspath(sample.name))) for sample in samples if sample.file is not None]
    if not located:
        return _Match({})

    # Below the folder that they share, copied recordings have the paths of the listed ones. So the listed names are
    # found by their last parts, as many as a recording has below this folder.
    shared = Path(os.path.commonpath([location.parent for _, location in located]))
    shared_depth = len(shared.parts)
    names_by_ending: dict[tuple[str, ...], list[str]] = {}
    for depth in {len(location.parts) - shared_depth for _, location in located}:
        for name in names:
            names_by_ending.setdefault(Path(name).parts[-depth:], []).append(name)

    matched = dict[str, Sample]()
    verified = True

    for sample, location in located:
        similar = names_by_ending.get(location.parts[shared_depth:])
        if similar is None:
            continue

        # If several names match, choose the name that agrees with most of the path.
        name = max(similar, key=lambda listed: _count_equal(reversed(Path(listed).parts), reversed(location.parts)))
        # A listed recording that no longer exists matches, too, but its content is not verified.
        is_equal = _compare_content(bases, name, sample)
        if is_equal is not False:
            matched[name] = sample
            verified = verified and is_equal is True

    return _Match(matched, verified)


def _count_equal(one: Iterable[str], other: Iterable[str]) -> int:
    """Return the number of equal items at the beginning."""
    equal = (a == b for a, b in zip(one, other, strict=False))
    return sum(takewhile(bool, equal))


def _compare_content(bases: Sequence[Path], name: str, sample: Sample) -> bool | None:
    """Return whether a listed recording has the content of a sample; None if it no longer exists or is unreadable."""
    assert sample.file is not None
    part_of_file = sample.name.removeprefix(escape_controls(str(sample.file)))
    file = name.removesuffix(part_of_file)
    location = next((base / file for base in bases if (base / file).exists()), None)

    try:
        return None if location is None else version_of_file(location) == version_of_file(sample.file)
    except OSError:
        return None


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
