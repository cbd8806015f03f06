"""Samples, labelled recordings that load on demand, and data sets of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from ..base.errors import Brief, DataError, DvspipeError, brief, count_noun
from ..encoding import SpikeCode
from ..events import Events, SensorSize, digest_events
from ..results.splits import PARTS, Part

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
        pieces: Names of the sources that test files and training files may be cut from, one for each such test file.
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
    pieces: tuple[str, ...] = ()
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
        """Return the data set with other samples; parts that are not given are empty."""
        train, validation, test = (tuple(parts.get(part, ())) for part in PARTS)
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
    if bool(names) == bool(numbers):
        raise DataError(f"labels: not classes (found {brief(labels)}, expected either names or integers >= 0)")
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


def version_of_file(path: Path, *more: object) -> str:
    """Return a digest of the content of a file or folder, and of `more`: other dependencies of a sample."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]

    # A digest is cached for a size and time of change, so the same file is hashed once per process.
    states = ((file, file.stat()) for file in files)
    content = [(str(file.relative_to(path)), _digest(file, state.st_size, state.st_mtime_ns)) for file, state in states]
    return hashlib.blake2b(to_json((content, *more)), digest_size=16).hexdigest()


@lru_cache(maxsize=1 << 16)
def _digest(path: Path, _size: int, _mtime_ns: int) -> str:
    """Return a digest of a file's content, cached while its size and modification time stay the same."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=16)).hexdigest()


def version_of_events(load: Callable[[], Events]) -> str:
    """Return a digest of the events that a function loads."""
    events = load()
    return digest_events(events, events.sensor).sha256


def is_synthetic(folder: Path) -> bool:
    """Return whether the recordings in a folder are synthetic."""
    return (folder / SYNTHESIS).is_file()
