"""Division of a data set into parts: at random by groups, in time, or as in the split.json of an earlier run."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from ..base.errors import DataError, DvspipeError, FormatError, count_noun, escape_controls
from ..base.progress import Progress, ignore_progress
from ..formats import FORMATS, open_recording
from ..results.splits import PARTS, Part
from ..results.tables import Record
from .config import OWN_KINDS, DataConfig
from .samples import DataSet, Sample, is_synthetic


def divide_parts(data: DataSet, config: DataConfig) -> DataSet:
    """Draw the parts that a data set lacks from its training part, or divide it as in a split.json.

    Raises:
        DataError: If a group is in two parts, or a part would be empty.
    """
    if config.root is not None:
        tested = config.test_root or config.root
        data = replace(
            data,
            synthetic=data.synthetic or is_synthetic(config.root),
            synthetic_test=data.synthetic_test or is_synthetic(tested),
        )

    # Recordings of a group, or the windows of a recording, stay together if there are enough groups for all parts.
    few: set[int] = set()
    if config.data in OWN_KINDS and config.group is None and data.split is None:
        parts = 1 + (not data.test) + (not data.validation and config.validation > 0)
        train, few = _separate_few(data.train, parts)
        data = data.with_parts({**data.parts, "train": train})
    if isinstance(config.split, Path):
        divided = _divide_as(config.split, read_split(config.split), _name_all(data.samples, config.root))
        data = data.with_parts(divided)
        _check_groups(data)
        return data

    # A published split is used as it is.
    if data.split is None:
        _check_groups(data)
    elif shared := _find_shared((*data.train, *data.validation), data.test):
        tested_groups = count_noun(len({sample.group for sample in data.test}), "test group")
        warning = (
            f"{data.title} has {len(shared):,} of {tested_groups} in its training part, too, such as {min(shared)}; "
            "the published split is used as it is"
        )
        data = replace(data, warnings=(*data.warnings, warning))

    in_time = tuple(data.classes[label] for label in sorted(few))
    data = replace(data, fixed_test=bool(data.test), in_time=in_time)
    return data.with_parts(draw_missing(data.parts, config, few))


def draw_missing(
    parts: Mapping[Part, Sequence[Sample]], config: DataConfig, in_time: Collection[int] = ()
) -> Mapping[Part, Sequence[Sample]]:
    """Draw the test part and the validation part from the training part, unless they have samples.

    Args:
        parts: Samples of each part.
        config: Shares of the parts, and the seed.
        in_time: Labels whose last groups are held out, instead of groups drawn at random.

    Raises:
        DataError: If there are too few groups.
    """
    train, validation, test = (parts[part] for part in PARTS)
    if not test:
        train, test = _divide(train, config.test, config.seed + 1, in_time)
    if not validation:
        train, validation = _divide(train, config.validation, config.seed, in_time)
    return {"train": train, "validation": validation, "test": test}


def _divide(
    samples: Sequence[Sample], share: float, seed: int, in_time: Collection[int]
) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """Divide samples into two parts; the second has a fraction `share` of the groups, none if it is 0.

    If the samples of each group have the same label, groups are drawn class by class, and at least one group of each
    class stays in the first part.
    """
    if not share:
        return samples, ()

    labels: defaultdict[str, set[int]] = defaultdict(set)
    for sample in samples:
        labels[sample.group].add(sample.label)

    # If each group has one label, the division is stratified: a pool for each class, otherwise one pool.
    pools: defaultdict[int, list[str]] = defaultdict(list)
    is_stratified = all(len(group_labels) == 1 for group_labels in labels.values())
    for group, group_labels in labels.items():
        pools[min(group_labels) if is_stratified else -1].append(group)

    rng = np.random.default_rng(seed)
    second: set[str] = set()
    for label, pool in sorted(pools.items()):
        held_out = max(0, min(max(1, round(share * len(pool))), len(pool) - 1))
        if label in in_time:
            second.update(pool[len(pool) - held_out :])
        else:
            second.update(rng.permutation(sorted(pool))[:held_out].tolist())

    if not second:
        raise DataError(
            f"{samples[0].name} and others: too few recordings for three parts, training, validation and test "
            "(expected three recordings of a class, or recordings of three people with group)"
        )

    return [one for one in samples if one.group not in second], [one for one in samples if one.group in second]


def _separate_few(samples: Sequence[Sample], parts: int) -> tuple[list[Sample], set[int]]:
    """Make each sample its own group in classes with fewer groups than parts; return these labels, too.

    Classes that have fewer samples than parts, too, are left as they are.
    """
    groups: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        groups[sample.label][sample.group] += 1

    few = {label for label, counts in groups.items() if len(counts) < parts <= max(counts.values())}
    return [replace(sample, group=sample.name) if sample.label in few else sample for sample in samples], few


def _find_shared(first: Iterable[Sample], second: Iterable[Sample]) -> set[str]:
    """Return the groups of both."""
    return {sample.group for sample in first} & {sample.group for sample in second}


def _check_groups(data: DataSet) -> None:
    """Check that no group is in two parts."""
    for pair in combinations(data.parts.values(), 2):
        for group in sorted(_find_shared(*pair)):
            first, second = (next(one for one in samples if one.group == group) for samples in pair)
            raise DataError(
                f"{second.name}: is in another part than {first.name}, but both belong to {group!r} (expected each "
                "person or source in only one part)"
            )


def leave_out_copies(data: DataSet, progress: Progress = ignore_progress) -> DataSet:
    """Leave out validation and test samples with the same content as a sample of an earlier part.

    Args:
        data: Data set; images are not compared.
        progress: Called with the number of samples done and the total.

    Raises:
        DataError: If a sample cannot be read, or a part has no samples left.
    """
    if data.inputs is not None:
        return data

    first: dict[str, str] = {}
    copies: dict[str, str] = {}
    remaining: dict[Part, list[Sample]] = {}
    count = 0

    # Copies within a part are kept; only a copy in another part would be tested on what was trained.
    for part, samples in data.parts.items():
        versions: dict[str, str] = {}
        for sample in samples:
            versions[sample.name] = sample.read_version()
            count += 1
            progress(count, len(data.samples))

        copies |= {name: first[content] for name, content in versions.items() if content in first}
        remaining[part] = [sample for sample in samples if sample.name not in copies]
        if samples and not remaining[part]:
            raise DataError(
                f"{data.title}: all {len(samples)} {part} recordings have the same content as others, such as "
                f"{samples[0].name} and {copies[samples[0].name]}"
            )
        for name, content in versions.items():
            first.setdefault(content, name)

    return replace(data.with_parts(remaining), copies=copies)


def find_pieces(data: DataSet) -> DataSet:
    """Find the test files that may be cut from a recording that training files are cut from, too.

    Such files store the same source, and share no time. Recordings of two cameras whose files have one name do so, too,
    if the clocks of the cameras differ.
    """
    trained = list(_list_sources(data.train))
    pieces = [
        source
        for source, first_us, last_us in _list_sources(data.test)
        if any(source == other and (last_us < start_us or first_us > end_us) for other, start_us, end_us in trained)
    ]
    return replace(data, pieces=tuple(pieces))


def _list_sources(samples: Iterable[Sample]) -> Iterator[tuple[str, int, int]]:
    """Yield the source that each HDF5 file of samples stores, and its first and last time."""
    for file in {sample.file for sample in samples if sample.file}:
        if file.suffix.lower() not in FORMATS["hdf5"].suffixes:
            continue

        # Files of other programs may need hints; they store no source.
        with suppress(DvspipeError):
            recording = open_recording(file)
            if source := recording.attributes.get("source"):
                yield source, recording.find_first_us(), recording.find_last_us()


class Split(Record):
    """Names of the samples of each part, with paths relative to the folder of the data set: content of split.json."""

    train: tuple[str, ...]
    """Names of the training samples."""
    validation: tuple[str, ...]
    """Names of the validation samples."""
    test: tuple[str, ...]
    """Names of the test samples."""
    copies: tuple[str, ...] = ()
    """Names of samples left out because their content is in an earlier part."""

    @classmethod
    def of(cls, data: DataSet) -> Split:
        """Return the division of a data set."""
        names = {part: tuple(_name_all(samples, data.root)) for part, samples in data.parts.items()}
        return cls(**names, copies=tuple(_name(name, data.root) for name in data.copies))

    @property
    def parts(self) -> dict[Part, tuple[str, ...]]:
        """Names by part, in the order of PARTS."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def names(self) -> tuple[str, ...]:
        """All names in the order of PARTS, then the copies."""
        return (*self.train, *self.validation, *self.test, *self.copies)


def read_split(path: Path) -> Split:
    """Read a split.json.

    Raises:
        FileError: If the file is missing or cannot be read.
        DataError: If the file is not a split.json.
    """
    try:
        return Split.read(path)
    except FormatError as error:
        expected = f"an object with the lists {', '.join(PARTS)}"
        raise DataError(f"{path}: not the split.json of a run (expected {expected}; {error})") from error


def restore_split(path: Path, data: DataSet) -> DataSet | None:
    """Divide a data set as in a split.json; return None if the file lists none of its samples.

    Groups are not checked: the training accepted this division, also of films that it divided in time.

    Raises:
        FileError: If the file is missing or cannot be read.
        DataError: If the file lists only some of the samples, or samples that do not exist.
    """
    split = read_split(path)
    by_name = name_samples(data)
    unlisted = sorted(by_name.keys() - split.names)
    if len(unlisted) == len(by_name):
        return None
    if unlisted:
        count = f"{len(by_name) - len(unlisted)} of {len(by_name)}"
        raise DataError(
            f"{path}: lists only {count} recordings of {data.title}, not {unlisted[0]}; remove the others, or start "
            f"with split={path} to leave them out"
        )

    return data.with_parts(_divide_as(path, split, by_name))


def name_samples(data: DataSet) -> dict[str, Sample]:
    """Return the samples of a data set by their names in a split.json."""
    return _name_all(data.samples, data.root)


def _name_all(samples: Iterable[Sample], root: Path | None) -> dict[str, Sample]:
    return {_name(sample.name, root): sample for sample in samples}


def _name(name: str, root: Path | None) -> str:
    """Return the name of a sample with a path relative to its folder, with forward slashes."""
    prefix = escape_controls(f"{root}{os.sep}")
    if root is None or not name.startswith(prefix):
        return name
    return name.removeprefix(prefix).replace(os.sep, "/")


def _divide_as(path: Path, split: Split, by_name: Mapping[str, Sample]) -> dict[Part, list[Sample]]:
    """Return the samples of each part of a split; samples that it does not list are left out."""
    for name, count in Counter(split.names).items():
        if count > 1:
            raise DataError(f"{path}: lists {name} more than once")
        if name not in by_name and name not in split.copies:
            raise DataError(f"{path}: lists {name}, but the data set has no such recording (expected paths below root)")

    return {part: [by_name[name] for name in names] for part, names in split.parts.items()}
