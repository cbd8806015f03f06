"""Labelled recordings that are not loaded yet, and their random division into parts."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..encoding import SpikeCode
from ..errors import DataError, DvspipeError
from ..events import Events, SensorSize
from ..parallel import Progress
from .shard_files import StoredTensors

Image = NDArray[np.uint8]
"""An image [H, W], which a spike code turns into spikes."""

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
HASHED_BYTES = 1 << 20  # read at once


@dataclass(frozen=True)
class Sample:
    """A labelled recording or image.

    Args:
        name: The file, or what a rendered clip shows; unique in a data set.
        label: Integer of the class.
        group: Person or source; samples of the same group are always in the same part.
        load: Returns the events or the image; picklable.
        version: Returns a text that changes with the content; picklable.
        code: How an image becomes spikes; None for events.
        file: The recording or video that the sample is, or is a part of; None if there is none.
        stored: Where its spike tensors are in a shard, which has no events; None if it has events or is an image.
    """

    name: str
    label: int
    group: str
    load: Callable[[], Events | Image]
    version: Callable[[], str]
    code: SpikeCode | None = None
    file: Path | None = None
    stored: StoredTensors | None = None

    def __str__(self) -> str:
        return self.name

    def read_content(self) -> Events | Image:
        """Return the events or the image.

        Raises:
            DataError: They cannot be read; the message names the sample.
        """
        with self._named_errors():
            return self.load()

    def read_version(self) -> str:
        """Return a text that changes with the content.

        Raises:
            DataError: The content cannot be read; the message names the sample.
        """
        with self._named_errors():
            return self.version()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except DvspipeError as error:
            named = error.named(self.name)
            raise DataError(named.message, *named.remedies) from error
        except OSError as error:
            raise DataError(f"{self.name}: cannot be read ({error.strerror or error})") from error


@dataclass(frozen=True)
class DataSet:
    """Labelled recordings in three parts that share no group.

    Args:
        title: Short description of the recordings and of the test set.
        classes: Names of the classes; a label is an index into them.
        sensor: The sensor of all recordings.
        train: Samples to train on.
        validation: Samples on which the best epoch is chosen.
        test: Samples on which the result is measured once, at the end.
        synthetic: Whether the training and validation parts are synthetic.
        synthetic_test: Whether the test part is synthetic.
        fixed_test: Whether the test part is given by the data set, not drawn.
        problems: What is wrong with its folders, a line each; without a survey, it is an error.
        warnings: What is in its folders and not in the data set, a line each.
        copies: Samples in no part, since their content is in an earlier one, by their names: the name of the other.
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
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    copies: Mapping[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> dict[Part, tuple[Sample, ...]]:
        """The parts by name, in the order of PARTS."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All samples, in the order of PARTS."""
        return (*self.train, *self.validation, *self.test)

    @property
    def inputs(self) -> int | None:
        """Channels of the spike tensors of images; None if the samples are events, which have those of the bins."""
        code = self.train[0].code if self.train else None
        return None if code is None else code.channels

    def is_synthetic(self, part: str) -> bool:
        """Return whether recordings of a part, or of `all` parts, are synthetic."""
        known = {"test": self.synthetic_test, "all": self.synthetic or self.synthetic_test}
        return known.get(part, self.synthetic)


def divide(samples: Sequence[Sample], share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Return the samples in two parts, the second with about `share` of the groups, drawn at random; none if it is 0.

    If the samples of each group have the same label, the parts are drawn class by class, and at least one group of each
    class stays in the first part.

    Raises:
        DataError: There are too few groups.
    """
    if not share:
        return list(samples), []
    rng = np.random.default_rng(seed)
    labels: defaultdict[str, set[int]] = defaultdict(set)
    for sample in samples:
        labels[sample.group].add(sample.label)
    pools = [sorted(labels)]
    if all(len(found) == 1 for found in labels.values()):
        each = sorted({sample.label for sample in samples})
        pools = [sorted(group for group, found in labels.items() if label in found) for label in each]
    drawn: set[str] = set()
    for pool in pools:
        count = min(max(1, round(share * len(pool))), len(pool) - 1)
        drawn.update(rng.permutation(pool)[:count].tolist())
    if not drawn:
        raise DataError(
            f"{samples[0].name} and others: too few recordings for three parts, training, validation and test "
            "(expected three recordings of a class, or recordings of three people with data.group)"
        )
    return (
        [sample for sample in samples if sample.group not in drawn],
        [sample for sample in samples if sample.group in drawn],
    )


def leave_out_copies(data: DataSet, progress: Progress | None = None) -> DataSet:
    """Return a data set without the validation and test samples whose content is in an earlier part.

    Args:
        data: The data set; images are not compared.
        progress: Called with the number of samples done and in all.

    Raises:
        DataError: A sample cannot be read, or no sample of a part is left.
    """
    if data.inputs is not None:
        return data
    first: dict[str, str] = {}
    copies: dict[str, str] = {}
    kept: dict[Part, tuple[Sample, ...]] = {}
    done = 0
    for part, samples in data.parts.items():
        versions = []
        for sample in samples:
            versions.append(sample.read_version())
            done += 1
            if progress:
                progress(done, len(data.samples))
        copies |= {sample.name: first[found] for sample, found in zip(samples, versions, strict=True) if found in first}
        kept[part] = tuple(sample for sample in samples if sample.name not in copies)
        if samples and not kept[part]:
            raise DataError(
                f"{data.title}: all {len(samples)} {part} recordings have the same content as others, such as "
                f"{samples[0].name} and {copies[samples[0].name]}"
            )
        for sample, found in zip(samples, versions, strict=True):
            first.setdefault(found, sample.name)
    return replace(data, train=kept["train"], validation=kept["validation"], test=kept["test"], copies=copies)


def check_groups(train: Iterable[Sample], test: Iterable[Sample]) -> None:
    """Check that no group is in both parts.

    Raises:
        DataError: One is; the message names a recording of each part.
    """
    by_group = {sample.group: sample for sample in train}
    for sample in test:
        if sample.group in by_group:
            raise DataError(
                f"{sample.name}: is in the test part and {by_group[sample.group].name} in the training part, but both "
                f"belong to {sample.group!r} (expected each person or source in one part only)"
            )


def version_of_file(path: Path, *more: object) -> str:
    """Return a digest of the content of a file, or of the files in a folder, and of what else a sample depends on."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    states = ((file, file.stat()) for file in files)
    content = [(str(file.relative_to(path)), _digest(file, state.st_size, state.st_mtime_ns)) for file, state in states]
    return hashlib.blake2b(repr((content, more)).encode(), digest_size=16).hexdigest()


def version_of_events(events: Events) -> str:
    """Return a digest of events that are in memory only."""
    digest = hashlib.blake2b(repr(events.sensor).encode(), digest_size=16)
    for column in (events.t, events.x, events.y, events.p):
        digest.update(column.tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=1 << 16)
def _digest(path: Path, _size: int, _mtime_ns: int) -> str:
    """Return a digest of a file's content, remembered while its size and time of modification stay the same."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while piece := file.read(HASHED_BYTES):
            digest.update(piece)
    return digest.hexdigest()
