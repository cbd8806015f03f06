"""Labelled recordings that are not loaded yet, and their division into parts."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..encoding import SpikeCode
from ..errors import DataError, FileError
from ..events import Events, SensorSize
from ..files import write_beside

Image = NDArray[np.uint8]
"""A picture [H, W], which a code turns into spikes."""

PARTS = ("train", "validation", "test")
HASH_PIECE = 1 << 20


@dataclass(frozen=True)
class Sample:
    """A labelled recording or picture.

    Args:
        name: The file, or what a rendered clip shows; no two samples of a data set have the same.
        label: The class's integer.
        group: Person or source; what shares it is never divided.
        load: Loads the events, or the picture; may be sent to another process.
        version: A text that is another one when the content is; may be sent to another process.
        code: How a picture becomes spikes; None for events.
    """

    name: str
    label: int
    group: str
    load: Callable[[], Events | Image]
    version: Callable[[], str]
    code: SpikeCode | None = None


@dataclass(frozen=True)
class DataSet:
    """Labelled recordings in three parts that share no group.

    Args:
        title: What they are, in a few words, and which test set the test part is.
        classes: Names; a label is an index into them.
        sensor: The sensor of all recordings.
        synthetic: Whether what the network learns from was made on the machine.
        train: What the network learns from.
        validation: What the best epoch is chosen on.
        test: What is measured once, at the end.
        synthetic_test: Whether the test part was made on the machine.
        brings_test: Whether the data set itself says what the test part is, and no draw.
    """

    title: str
    classes: tuple[str, ...]
    sensor: SensorSize
    synthetic: bool
    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...]
    synthetic_test: bool = False
    brings_test: bool = False

    @property
    def parts(self) -> dict[str, tuple[Sample, ...]]:
        """The parts by name, in the order of PARTS."""
        return {name: getattr(self, name) for name in PARTS}

    @property
    def inputs(self) -> int | None:
        """Channels of the spike tensors of images; None if the samples are events, which have those of the bins."""
        code = self.train[0].code if self.train else None
        return None if code is None else code.channels

    def is_synthetic(self, part: str) -> bool:
        """Whether recordings of a part, or of `all`, were made on the machine."""
        made = {"test": self.synthetic_test, "all": self.synthetic or self.synthetic_test}
        return made.get(part, self.synthetic)


def divide(samples: Sequence[Sample], share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Samples in two parts, the second with about that share of the groups, by a seeded draw.

    Where every recording stands alone it is drawn class by class, and a class keeps at least one in the first part.

    Raises:
        DataError: There are too few of them.
    """
    rng = np.random.default_rng(seed)
    groups = sorted({sample.group for sample in samples})
    pools = [groups]
    if len(groups) == len(samples):
        labels = sorted({sample.label for sample in samples})
        pools = [sorted(sample.group for sample in samples if sample.label == label) for label in labels]
    drawn: set[str] = set()
    for pool in pools:
        count = min(max(1, round(share * len(pool))), len(pool) - 1)
        drawn.update(rng.permutation(pool)[:count].tolist())
    if not drawn:
        raise DataError(
            f"{samples[0].name}: too few recordings to divide; expected three people (data.group), or three recordings "
            "of some class"
        )
    return (
        [sample for sample in samples if sample.group not in drawn],
        [sample for sample in samples if sample.group in drawn],
    )


def check_groups(train: Iterable[Sample], test: Iterable[Sample]) -> None:
    """Makes sure that no group is both learned from and tested on.

    Raises:
        DataError: One is; names a recording of each part.
    """
    learned = {sample.group: sample for sample in train}
    for sample in test:
        if sample.group in learned:
            other = learned[sample.group].name
            raise DataError(
                f"{sample.name}: belongs to {sample.group!r}, as {other} does, which is learned from; a group (a "
                "person, a source) is either in the training or in the test part"
            )


def write_split(path: Path, data: DataSet) -> None:
    """Writes which sample is in which part, as JSON: the names of each part, for `apply_split`.

    Raises:
        FileError: The file cannot be written.
    """
    names = {part: [sample.name for sample in samples] for part, samples in data.parts.items()}
    with write_beside(path) as beside:
        beside.write_text(json.dumps(names, indent=1), encoding="utf-8")


def read_split(path: Path) -> dict[str, list[str]]:
    """What `write_split` wrote.

    Raises:
        FileError: There is no such file.
        DataError: It holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: not a division into parts as split.json of a run holds it ({error})") from error
    if not (isinstance(found, dict) and set(found) == set(PARTS) and all(map(_are_texts, found.values()))):
        raise DataError(f"{path}: expected an object with a list of names for each of {', '.join(PARTS)}")
    return found


def apply_split(path: Path, samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """The samples in the parts that a file of `write_split` gives; those that it does not name are left out.

    Raises:
        DataError: The file names a sample that there is not, or one twice, or divides a group.
    """
    by_place = {_place(sample.name): sample for sample in samples}
    named = read_split(path)
    everything = [name for part in PARTS for name in named[part]]
    for name in everything:
        if _place(name) not in by_place:
            raise DataError(f"{path}: names {name}, which the data set does not have")
    if len(set(everything)) < len(everything):
        twice = next(name for name in everything if everything.count(name) > 1)
        raise DataError(f"{path}: names {twice} more than once")
    parts = {part: [by_place[_place(name)] for name in named[part]] for part in PARTS}
    check_groups(parts["train"], [*parts["validation"], *parts["test"]])
    check_groups(parts["validation"], parts["test"])
    return parts


def divided_as(path: Path, data: DataSet) -> DataSet | None:
    """A data set in the parts that a file of `write_split` gives, or None where it names no sample of it.

    Raises:
        DataError: The file names but some of the samples, or others too.
    """
    samples = [sample for part in data.parts.values() for sample in part]
    named = {_place(name) for names in read_split(path).values() for name in names}
    unknown = [sample.name for sample in samples if _place(sample.name) not in named]
    if len(unknown) == len(samples):
        return None
    if unknown:
        raise DataError(
            f"{path}: does not name {unknown[0]}, in all {len(unknown)} of {len(samples)} recordings of the data set; "
            f"data.split={path} leaves them out"
        )
    train, validation, test = (tuple(part) for part in apply_split(path, samples).values())
    return replace(data, train=train, validation=validation, test=test)


def check_split(path: Path, data: DataSet) -> None:
    """Makes sure that a data set is divided as a file of `write_split` says.

    Raises:
        DataError: A sample is in another part, new, or gone; names one.
    """
    before = {_place(name): (part, name) for part, names in read_split(path).items() for name in names}
    now = {_place(sample.name): (part, sample.name) for part, samples in data.parts.items() for sample in samples}
    absent = ("no part", "")
    parts = {place: (before.get(place, absent)[0], now.get(place, absent)[0]) for place in {**before, **now}}
    moved = [place for place, (old, new) in parts.items() if old != new]
    if moved:
        old, new = parts[moved[0]]
        _, name = before.get(moved[0]) or now[moved[0]]
        raise DataError(
            f"{path}: {len(moved)} recordings are in another part now, such as {name} ({old} was, {new} is now); put "
            "the data back as they were, or begin a new run (init=CHECKPOINT learns on)"
        )


def _place(name: str) -> str:
    """The name of a sample, which begins with that of its file, as seen from anywhere."""
    return os.path.abspath(name)


def version_of_file(path: Path, *more: object) -> str:
    """A digest of the content of a file, or of the files in a folder, and of what else a sample depends on."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    states = ((file, file.stat()) for file in files)
    content = [(str(file.relative_to(path)), _digest(file, state.st_size, state.st_mtime_ns)) for file, state in states]
    return hashlib.blake2b(repr((content, more)).encode(), digest_size=16).hexdigest()


@lru_cache(maxsize=1 << 16)
def _digest(path: Path, _size: int, _mtime_ns: int) -> str:
    """A digest of a file's content, remembered while its size and date stay."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while piece := file.read(HASH_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
