"""Tonic data sets: all classes of `tonic.datasets` with labelled event recordings.

Tonic finds, downloads and decodes the files. Its recordings are converted to events and checked by `Events`.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ..base.errors import ConfigError, DataError
from ..base.gestures import GESTURES
from ..events import Events, SensorSize
from ..formats import read
from ..results.splits import PARTS, Part
from .mnist import DIGIT_CLASSES
from .samples import DataSet, Sample, find_label, name_classes, version_of_events, version_of_file
from .source import DataSource

TONIC_LAYOUTS: Mapping[str, str] = {
    "ASLDVS": "ASLDVS/**/a/*.mat",
    "CIFAR10DVS": "CIFAR10DVS/airplane/*.aedat4",
    "DVSGesture": "DVSGesture/ibmGestureTrain/user01_led/0.npy",
    "DVSLip": "DVSLip/DVS-Lip/train/accused/0.npy",
    "NCALTECH101": "NCALTECH101/Caltech101/accordion/*.bin",
    "NMNIST": "NMNIST/Train/0/00002.bin",
    "NTIDIGITS18": "NTIDIGITS18/n-tidigits.hdf5",
    "POKERDVS": "POKERDVS/pips_train/cl/*.npy",
    "SHD": "SHD/shd_train.h5",
    "SMNIST": "smnist/train-images-idx3-ubyte",
    "SSC": "SSC/ssc_train.h5",
}
"""Tonic data sets with class labels, and an example file of each, relative to the root."""

CLASSES: Mapping[str, tuple[str, ...]] = {"DVSGesture": GESTURES, "NMNIST": DIGIT_CLASSES, "SMNIST": DIGIT_CLASSES}
"""Class names shared with other kinds of data sets."""

SENSORS: Mapping[str, tuple[int, int]] = {"NCALTECH101": (240, 180)}
"""Sensor sizes that Tonic does not provide. Source: Gehrig et al., "End-to-end learning of representations for
asynchronous event-based data", ICCV (2019)."""


@dataclass(frozen=True)
class TonicRecipe:
    """Recipe for creating a Tonic data set; unlike the data set, it is small enough to send to other processes.

    Args:
        name: Name of the class in `tonic.datasets`.
        folder: Folder of its files; Tonic's name for it is the class.
        arguments: Arguments of the class, as JSON.
        download: Whether missing files are downloaded.
    """

    name: str
    folder: Path
    arguments: str
    download: bool

    def make(self) -> Any:
        """Create the Tonic data set, once in a process. What Tonic prints goes to standard error, like its progress."""
        return _make(self)

    def path(self, index: int) -> Path | None:
        """Return the file of a recording; None if it does not have its own file."""
        data = getattr(self.make(), "data", None)
        file = data[index] if isinstance(data, list) and data else None
        return Path(file) if isinstance(file, str) else None

    def load(self, sensor: SensorSize, index: int) -> Events:
        """Load a recording, sorted by time (SMNIST stores unsorted events)."""
        # Tonic would need another library for AEDAT 4.
        path = self.path(index)
        if path is not None and path.suffix == ".aedat4":
            return read(path)
        return Events.from_structured(self.item(index)[0], sensor, sort=True)

    def item(self, index: int) -> Any:
        """Return the events and the label of a recording."""
        try:
            return self.make()[index]
        except Exception as error:  # Tonic and its libraries raise anything
            raise DataError(f"Tonic cannot read it ({_explain(error)})") from error

    def version(self, sensor: SensorSize, index: int) -> str:
        """Return a digest of a recording's file; without a file, of its events."""
        path = self.path(index)
        if path is None:
            return version_of_events(partial(self.load, sensor, index))
        return version_of_file(path, self.name, self.arguments, sensor, version("tonic"))

    def read_labels(self) -> list[int | str]:
        """Return the label of each recording; recordings are loaded only if Tonic does not list the labels."""
        dataset = self.make()
        listed = (getattr(dataset, attribute, None) for attribute in ("targets", "label_data"))
        labels = next((one for one in listed if one is not None and len(one) == len(dataset)), None)
        if labels is None:
            labels = [self.item(index)[1] for index in range(len(dataset))]

        # Labels of arrays and bytes become integers and strings.
        plain = (label.item() if isinstance(label, np.generic | np.ndarray) else label for label in labels)
        return [label.decode() if isinstance(label, bytes) else label for label in plain]


@lru_cache
def _make(recipe: TonicRecipe) -> Any:
    from tonic import datasets

    kind = getattr(datasets, recipe.name)
    changes: dict[str, object] = {}

    # Tonic's classes refuse partial folders by `_check_exists`; see Traps in docs/concepts/architecture.md.
    if not recipe.download:
        changes["_check_exists"] = lambda _self: True

    try:
        # The name of the class is the name of the folder.
        with contextlib.redirect_stdout(sys.stderr):
            made = type(recipe.folder.name, (kind,), changes)
            return made(str(recipe.folder.parent), **json.loads(recipe.arguments))
    except (Exception, SystemExit) as error:  # Tonic and its libraries raise anything; DVSLip exits
        if isinstance(error, FileNotFoundError) and not recipe.download:
            raise
        verb = "downloaded" if recipe.download else "opened"
        expected = f"expected files such as {recipe.folder.parent / TONIC_LAYOUTS[recipe.name]}"
        raise DataError(f"{recipe.folder}: {recipe.name} cannot be {verb} ({_explain(error)}; {expected})") from error


def _explain(error: BaseException) -> str:
    """Format an error of another library in one line: type and message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def open_tonic(source: DataSource) -> DataSet:
    """Return a data set of Tonic, divided as Tonic divides it.

    Raises:
        ConfigError: If `tonic_name` or `tonic_options` is wrong.
        DataError: If the recordings have no classes, or the files are missing or cannot be downloaded.
    """
    name = source.config.tonic_name or ""
    if name not in TONIC_LAYOUTS:
        usable = ", ".join(TONIC_LAYOUTS)
        raise ConfigError(f"tonic_name = {name}: not a data set of Tonic with classes (expected one of {usable})")

    folder = source.root / name
    parts = _open_parts(source, name, folder)
    labels = {part: recipe.read_labels() for part, recipe in parts.items()}
    first = parts["train"].make()
    width, height = SENSORS.get(name) or first.sensor_size[:2]  # the third number is of the polarities
    sensor = source.config.given_sensor or SensorSize(width=width, height=height)
    classes = CLASSES.get(name) or _find_classes(first, [label for listed in labels.values() for label in listed])

    samples: dict[Part, list[Sample]] = {part: [] for part in PARTS}
    for part, recipe in parts.items():
        users = getattr(recipe.make(), "users", None) if source.config.group is None else None
        for index, label in enumerate(labels[part]):
            # Samples without files get names by part and number.
            path = recipe.path(index)
            place = path or folder / f"{part} {index + 1}"
            below = place.relative_to(folder.parent).as_posix()
            sample = Sample(
                name=str(place),
                label=find_label(str(place), label, classes),
                group=f"user {users[index]:02}" if users else source.group_of(place, below),
                load=partial(recipe.load, sensor, index),
                version=partial(recipe.version, sensor, index),
                file=path,
            )
            samples[part].append(sample)

        # Tonic does not sort files.
        if samples[part][0].file is not None:
            samples[part].sort(key=lambda sample: sample.name)

    return DataSet(f"{name} of Tonic", classes, sensor).with_parts(samples)


def _open_parts(source: DataSource, name: str, folder: Path) -> dict[Part, TonicRecipe]:
    """Return the parts that Tonic knows and whose files are there; the first has recordings."""
    from tonic import datasets

    # Tonic's classes name their parts by `train` or by `split`; the others have one part.
    parameters = inspect.signature(getattr(datasets, name).__init__).parameters
    part_arguments: dict[Part, dict[str, object]] = {"train": {}}
    if "train" in parameters:
        part_arguments = {"train": {"train": True}, "test": {"train": False}}
    elif "split" in parameters:
        part_arguments = {"train": {"split": "train"}, "validation": {"split": "valid"}, "test": {"split": "test"}}

    wrong = sorted(source.config.tonic_options.keys() & {"train", "split", "save_to"})
    if wrong:
        raise ConfigError(f"tonic_options.{wrong[0]}: is chosen by dvspipe (expected other arguments of {name})")

    parts: dict[Part, TonicRecipe] = {}
    for part, arguments in part_arguments.items():
        options = json.dumps({**source.config.tonic_options, **arguments}, sort_keys=True)
        recipe = TonicRecipe(name, folder, options, source.config.download)

        # A part without files is left out.
        with contextlib.suppress(FileNotFoundError):
            if len(recipe.make()):
                parts[part] = recipe

    if "train" not in parts:
        file = folder.parent / TONIC_LAYOUTS[name]
        found = f"no training recordings of {name} (expected files such as {file})"
        raise DataError(f"{folder}: {found}; use download=true to download them")
    return parts


def _find_classes(dataset: Any, labels: Sequence[int | str]) -> tuple[str, ...]:
    """Return the class names from Tonic, or else the labels themselves."""
    known = getattr(dataset, "classes", None)
    known = getattr(dataset, "class_map", None) if known is None else known
    if known is None:
        return name_classes(labels)

    names = sorted(known, key=known.__getitem__) if isinstance(known, Mapping) else known
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)
