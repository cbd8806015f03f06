"""Samples: labelled recordings that load on demand, and their random division into parts."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from ..base.errors import Brief, DataError, DvspipeError, brief, count_noun
from ..base.progress import Progress
from ..encoding import SpikeCode
from ..events import Events, SensorSize, digest_events
from ..results.splits import PARTS, Part
from .config import DataConfig

Image = NDArray[np.uint8]
"""Image [H, W], encoded by a spike code."""

Result = TypeVar("Result")

SYNTHESIS = "synthesis.json"
"""File that marks the recordings in a folder as synthetic, with their settings."""


@dataclass(frozen=True, repr=False)
class Sample(Brief):
    """Labelled recording or image.

    Args:
        name: File, or description of a rendered clip; unique in a data set.
        label: Class index.
        group: Person or source; samples of a group are always in the same part.
        load: Function that loads the events or the image; picklable.
        version: Function that returns a string that changes with the content; picklable.
        code: Spike code of an image; None for events.
        file: Recording or video that contains the sample; None if it has no file.
    """

    name: str
    label: int
    group: str
    load: Callable[[], Events | Image]
    version: Callable[[], str]
    code: SpikeCode | None = None
    file: Path | None = None

    def __str__(self) -> str:
        return self.name

    def read_content(self) -> Events | Image:
        """Load the events or the image.

        Raises:
            DataError: If the content cannot be read; the message names the sample.
        """
        return self._call(self.load)

    def read_version(self) -> str:
        """Return a string that changes with the content.

        Raises:
            DataError: If the content cannot be read; the message names the sample.
        """
        return self._call(self.version)

    def _call(self, function: Callable[[], Result]) -> Result:
        try:
            return function()
        except DvspipeError as error:
            # An error of a decoder does not know which sample it is about.
            raise DataError(str(error.named(self.name))) from error
        except OSError as error:
            raise DataError(f"{self.name}: cannot be read ({error.strerror or error})") from error


@dataclass(frozen=True, repr=False)
class DataSet:
    """Labelled recordings in three parts that share no group.

    Args:
        title: Short description of the recordings and of the test set.
        classes: Class names; a label is an index into them.
        sensor: Sensor of all recordings.
        train: Samples to train on.
        validation: Samples for choosing the best epoch.
        test: Samples for measuring the result once, at the end.
        synthetic: Whether the training and validation parts are synthetic.
        synthetic_test: Whether the test part is synthetic.
        fixed_test: Whether the test part is given by the data set, not drawn.
        warnings: Content of its folders that is not in the data set, a line each.
        copies: Samples left out because their content is in an earlier part: their names, mapped to the earlier sample.
        in_time: Classes with too few groups to divide; they are divided in time, so the parts show the same films.
        split: Number of the published split (splits.csv) that gives the parts; None: no published split.
        root: Folder of the recordings; names in split.json are relative to it. None: no folder.
    """

    title: str
    classes: tuple[str, ...]
    sensor: SensorSize
    train: tuple[Sample, ...] = ()
    validation: tuple[Sample, ...] = ()
    test: tuple[Sample, ...] = ()
    synthetic: bool = False
    synthetic_test: bool = False
    fixed_test: bool = False
    warnings: tuple[str, ...] = ()
    copies: Mapping[str, str] = field(default_factory=dict)
    in_time: tuple[str, ...] = ()
    split: int | None = None
    root: Path | None = None

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(samples)} {part}" for part, samples in self.parts.items())
        return f"DataSet({brief(self.title)}, {counts}, {len(self.classes)} classes, sensor {self.sensor})"

    @property
    def parts(self) -> dict[Part, tuple[Sample, ...]]:
        """Parts by name, in the order of PARTS."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def with_parts(self, parts: Mapping[Part, Iterable[Sample]]) -> DataSet:
        """Return the data set with other samples."""
        train, validation, test = (tuple(parts[part]) for part in PARTS)
        return replace(self, train=train, validation=validation, test=test)

    def with_classes(self, classes: tuple[str, ...]) -> DataSet:
        """Return the data set with labels that are numbers in `classes`, which contain its own."""
        labels = [classes.index(name) for name in self.classes]
        parts = {
            part: [replace(sample, label=labels[sample.label]) for sample in samples]
            for part, samples in self.parts.items()
        }
        return replace(self.with_parts(parts), classes=classes)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All samples, in the order of PARTS."""
        return (*self.train, *self.validation, *self.test)

    @property
    def inputs(self) -> int | None:
        """Channels of the spike tensors of images; None for events: the bins define their channels."""
        code = self.train[0].code if self.train else None
        return None if code is None else code.channels

    def is_synthetic(self, part: str) -> bool:
        """Return whether a part is synthetic; for `all`, whether any part is synthetic."""
        return (part != "test" and self.synthetic) or (part in ("test", "all") and self.synthetic_test)


def name_classes(labels: Sequence[int | str]) -> tuple[str, ...]:
    """Return the sorted class names among labels, or the numbers up to the largest label.

    Example:
        >>> name_classes(["wave", "clap", "wave"]), name_classes([0, 2])
        (('clap', 'wave'), ('0', '1', '2'))
    """
    names = {label for label in labels if isinstance(label, str)}
    numbers = {label for label in labels if isinstance(label, int)}
    if names and numbers:
        raise DataError(f"labels: names and numbers (found {min(names)!r} and {min(numbers)}, expected one of both)")
    return tuple(sorted(names)) or tuple(str(label) for label in range(1 + max(numbers)))


def find_label(name: str, label: int | str, classes: Sequence[str]) -> int:
    """Return the index of the class of a sample, from its index or its name."""
    if isinstance(label, int) and 0 <= label < len(classes):
        return label
    if isinstance(label, str) and label in classes:
        return classes.index(label)
    raise DataError(f"{name}: unknown class (found {label!r}, expected one of {brief(list(classes))})")


def count_recordings(samples: Sequence[Sample], kind: str = "") -> str:
    """Describe the number of samples of a kind: `4 test recordings`, or `6 clips of 4 test recordings`."""
    files = {sample.file for sample in samples}
    recording = f"{kind} recording".lstrip()
    if len(files) == len(samples) or None in files:
        return count_noun(len(samples), recording)

    return f"{count_noun(len(samples), 'clip')} of {count_noun(len(files), recording)}"


def divide(
    samples: Sequence[Sample], share: float, seed: int, *, in_time: Collection[int] = ()
) -> tuple[list[Sample], list[Sample]]:
    """Divide samples into two parts; the second has a fraction `share` of the groups, none if it is 0.

    Groups are drawn at random. If the samples of each group have the same label, they are drawn class by class, and at
    least one group of each class stays in the first part.

    Args:
        samples: Samples to divide.
        share: Share of the second part.
        seed: Seed of the draw.
        in_time: Labels whose last groups are the second part, instead of groups drawn at random.

    Raises:
        DataError: If there are too few groups.
    """
    if not share:
        return list(samples), []

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


def draw_missing(
    parts: Mapping[Part, Sequence[Sample]], config: DataConfig, in_time: Collection[int] = ()
) -> Mapping[Part, Sequence[Sample]]:
    """Draw the test part and the validation part from the training part, unless they have samples; see `divide`."""
    train, validation, test = (parts.get(part, ()) for part in PARTS)
    if not test:
        train, test = divide(train, config.test, config.seed + 1, in_time=in_time)
    if not validation:
        train, validation = divide(train, config.validation, config.seed, in_time=in_time)
    return {"train": train, "validation": validation, "test": test}


def separate_few(samples: Sequence[Sample], parts: int) -> tuple[list[Sample], set[int]]:
    """Make each sample its own group in classes with fewer groups than parts; return these labels, too.

    Classes that have fewer samples than parts, too, are left as they are.
    """
    groups: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        groups[sample.label][sample.group] += 1

    few = {label for label, counts in groups.items() if len(counts) < parts <= max(counts.values())}
    return [replace(sample, group=sample.name) if sample.label in few else sample for sample in samples], few


def leave_out_copies(data: DataSet, progress: Progress | None = None) -> DataSet:
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
        versions = {}
        for sample in samples:
            versions[sample.name] = sample.read_version()
            count += 1
            if progress:
                progress(count, len(data.samples))

        copies |= {name: first[content] for name, content in versions.items() if content in first}
        remaining[part] = [sample for sample in samples if sample.name not in copies]
        if samples and not remaining[part]:
            raise DataError(
                f"{data.title}: all {len(samples)} {part} recordings have the same content as others, such as "
                f"{samples[0].name} and {copies[samples[0].name]}"
            )

        first = {content: name for name, content in reversed(versions.items())} | first

    return replace(data.with_parts(remaining), copies=copies)


def check_groups(train: Iterable[Sample], test: Iterable[Sample]) -> None:
    """Check that no group is in both parts."""
    by_group = {sample.group: sample for sample in train}
    for sample in test:
        if sample.group in by_group:
            raise DataError(
                f"{sample.name}: is in the test part and {by_group[sample.group].name} in the training part, but both "
                f"belong to {sample.group!r} (expected each person or source in only one part)"
            )


def version_of_file(path: Path, *more: object) -> str:
    """Return a digest of the content of a file or folder, and of `more`: other dependencies of a sample."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]

    # A digest is cached for a size and time of change, so the same file is hashed once per process.
    states = ((file, file.stat()) for file in files)
    content = [(str(file.relative_to(path)), _digest(file, state.st_size, state.st_mtime_ns)) for file, state in states]
    return hashlib.blake2b(to_json((content, *more)), digest_size=16).hexdigest()


def version_of_events(events: Events) -> str:
    """Return a digest of events in memory."""
    return digest_events(events, events.sensor).sha256


@lru_cache(maxsize=1 << 16)
def _digest(path: Path, _size: int, _mtime_ns: int) -> str:
    """Return a digest of a file's content, cached while its size and modification time stay the same."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=16)).hexdigest()


def is_synthetic(folder: Path) -> bool:
    """Return whether the recordings in a folder are synthetic."""
    return (folder / SYNTHESIS).is_file()
