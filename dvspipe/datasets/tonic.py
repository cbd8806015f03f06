"""Tonic data sets: all classes of `tonic.datasets` with labelled event recordings.

Tonic finds, downloads and decodes the files. Its recordings are converted to events and checked by `Events`.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ..base.errors import ConfigError, DataError
from ..base.gestures import GESTURES
from ..events import Events, SensorSize, SensorSizeLike
from ..formats import read
from ..results.splits import Part
from .folders import divide_parts
from .samples import DataSet, Sample, version_of_events, version_of_file
from .source import DataSource

UNCLASSIFIED: Mapping[str, str] = {
    "DAVISDATA": "poses of the camera",
    "DSEC": "disparity and optical flow",
    "EBSSA": "boxes around objects",
    "MVSEC": "depth and poses",
    "NERDD": "boxes around drones",
    "ThreeET_Eyetracking": "positions of the pupil",
    "TUMVIE": "poses of the camera",
    "VPR": "positions of a car",
}
"""Tonic data sets without class labels, and the labels that they have instead."""

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
"""Example file of each Tonic data set, relative to the root."""

CLASSES: Mapping[str, tuple[str, ...]] = {
    "DVSGesture": GESTURES,
    "NMNIST": tuple(str(digit) for digit in range(10)),
    "SMNIST": tuple(str(digit) for digit in range(10)),
}
"""Class names shared with other kinds of data sets."""

SENSORS: Mapping[str, SensorSize] = {"NCALTECH101": SensorSize(width=240, height=180)}
"""Sensor sizes that Tonic does not provide. Source: Gehrig et al., "End-to-end learning of representations for
asynchronous event-based data", ICCV (2019)."""

RESERVED_ARGUMENTS = ("self", "save_to", "root", "train", "split", "transform", "target_transform", "transforms")
"""Arguments that dvspipe sets; not allowed in `tonic_options`."""


@dataclass(frozen=True)
class TonicRecipe:
    """Recipe for creating a Tonic data set; unlike the data set, it is small enough to send to other processes.

    Args:
        name: Name of the class in `tonic.datasets`.
        root: Folder of the data set.
        arguments: Arguments of the class, as JSON.
        download: Whether missing files are downloaded.
    """

    name: str
    root: Path
    arguments: str
    download: bool

    @property
    def place(self) -> str:
        """Folder and class, for messages."""
        return f"{self.root}: {self.name}"

    def make(self) -> Any:
        """Create the Tonic data set. Output that Tonic prints goes to standard error, like its progress."""
        from tonic import datasets

        kind = getattr(datasets, self.name)
        arguments = json.loads(self.arguments)

        # Tonic's classes refuse partial folders by `_check_exists`; see Traps in docs/concepts/architecture.md. The
        # class name is also the folder name.
        if not self.download:
            kind = type(self.name, (kind,), {"_check_exists": _assume_exists})

        try:
            with contextlib.redirect_stdout(sys.stderr):
                return kind(str(self.root), **arguments)
        except FileNotFoundError as error:
            if not self.download:
                raise
            raise DataError(f"{self.place} cannot be downloaded ({error}){self._describe_download(kind)}") from error
        except (Exception, SystemExit) as error:  # Tonic and its libraries raise anything; DVSLip exits
            verb = "downloaded" if self.download else "opened"
            where = self._describe_download(kind) if self.download else ""
            raise DataError(f"{self.place} cannot be {verb} ({explain(error)}){where}") from error

    def _describe_download(self, kind: Any) -> str:
        """Describe the manual download, as far as Tonic provides the URL and file name."""
        # The parts may have their own URL and file, such as `train_url`.
        prefix = {True: "train_", False: "test_"}.get(json.loads(self.arguments).get("train"), "")
        file = getattr(kind, f"{prefix}filename", getattr(kind, "filename", None))
        url = getattr(kind, f"{prefix}url", getattr(kind, "url", None)) or getattr(kind, "base_url", "")
        if not isinstance(url, str) or not isinstance(file, str):
            return ""

        return f"; download {url} to {self.root / self.name / file} by other means, unpack it there, and try again"


def _assume_exists(_self: object) -> bool:
    return True


def explain(error: BaseException) -> str:
    """Format an error of another library in one line: type and message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


@dataclass(frozen=True, eq=False)
class TonicRecordings:
    """Recordings of a Tonic data set.

    Args:
        recipe: Recipe for creating the data set in other processes; None: it is pickled instead.
    """

    dataset: Any
    sensor: SensorSize
    recipe: TonicRecipe | None = None

    def __reduce__(self) -> tuple[Callable[..., TonicRecordings], tuple[object, ...]]:
        if self.recipe is None:
            return TonicRecordings, (self.dataset, self.sensor)
        return _recreate_recordings, (self.recipe, self.sensor)

    def path(self, index: int) -> Path | None:
        """Return the file of a recording; None if it does not have its own file."""
        data = getattr(self.dataset, "data", None)
        file = data[index] if isinstance(data, list) and data else None
        return Path(file) if isinstance(file, str) else None

    def load(self, index: int) -> Events:
        """Load a recording, sorted by time (SMNIST stores unsorted events)."""
        # Tonic would need another library for AEDAT 4.
        path = self.path(index)
        if self.recipe is not None and path is not None and path.suffix == ".aedat4":
            return read(path)
        return Events.from_structured(self._item(index)[0], self.sensor, sort=True)

    def label(self, index: int) -> Any:
        """Load a recording and return its label."""
        return self._item(index)[1]

    def version(self, index: int) -> str:
        """Return a digest of a recording's file; without a file, load the events and return their digest."""
        path = self.path(index)
        if path is not None and self.recipe is not None:
            return version_of_file(path, self.recipe.name, self.recipe.arguments, self.sensor, version("tonic"))
        return version_of_events(self.load(index))

    def _item(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except Exception as error:  # Tonic and its libraries raise anything
            raise DataError(f"Tonic cannot read it ({explain(error)})") from error


@lru_cache
def _recreate_recordings(recipe: TonicRecipe, sensor: SensorSize) -> TonicRecordings:
    """Create the recordings in a worker process, once for all samples."""
    return TonicRecordings(recipe.make(), sensor, recipe)


@dataclass(frozen=True)
class TonicPart:
    """Part of a data set: recordings, and their labels in Tonic's form."""

    recordings: TonicRecordings
    labels: Sequence[int | str]


def from_tonic(dataset: Any, sensor: SensorSizeLike | None = None) -> DataSet:
    """Convert a Tonic data set, without loading recordings; all samples are in the training part.

    Args:
        dataset: Instance of a class of `tonic.datasets`, or a similar object. `dataset[k]` is a pair of a structured
            array (see `Events.from_structured`) and an integer or string; `len(dataset)` is the number of recordings;
            `sensor_size` is (width, height, polarities); `classes` (optional) has the class names.
        sensor: Sensor size, if the data set does not provide it.

    Raises:
        DataError: If labels are not classes, or the sensor is unknown.

    Example:
        >>> class Blinks:
        ...     sensor_size, classes = (12, 7, 2), ["on", "off"]
        ...     def __len__(self):
        ...         return 2
        ...     def __getitem__(self, index):
        ...         fields = [("x", int), ("y", int), ("t", int), ("p", int)]
        ...         return np.array([(3, 1, 0, 1 - 2 * index), (4, 1, 50, 1)], fields), index
        >>> data = from_tonic(Blinks())
        >>> data.samples[1].name, data.classes[data.samples[1].label], data.samples[1].load()
        ('Blinks 2', 'off', Events(2 events, sensor 12x7, t 0 to 50 us))
    """
    title = type(dataset).__name__
    if isinstance(dataset, str | Path) or not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise DataError(f"{title}: not a data set of Tonic (expected an object such as tonic.datasets.NMNIST(DIR))")

    known = SensorSize.of(sensor) if sensor is not None else _find_sensor(dataset, title)
    part = _read_part(TonicRecordings(dataset, known), title)
    classes = _find_classes(dataset, title, part.labels)

    samples = [
        Sample(
            name=f"{title} {index + 1}",
            label=_find_label(label, classes, title),
            group=f"{title} {index + 1}",
            load=partial(part.recordings.load, index),
            version=partial(part.recordings.version, index),
        )
        for index, label in enumerate(part.labels)
    ]

    return DataSet(title, classes, known, train=tuple(samples))


def open_tonic(source: DataSource) -> DataSet:
    """Return a data set of Tonic, divided as Tonic divides it.

    Raises:
        ConfigError: If `tonic_name` or `tonic_options` is wrong.
        DataError: If the recordings have no classes, or the files are missing or cannot be downloaded.
    """
    kind = _find_kind(source.config.tonic_name)
    name = str(source.config.tonic_name)

    parts = _open_parts(source, kind, source.root)

    # All recordings of the other root form the test part.
    if source.config.test_root is not None:
        other = _open_parts(source, kind, source.config.test_root)
        parts = {"train": parts["train"], "test": [part for tonic_parts in other.values() for part in tonic_parts]}

    first = parts["train"][0]
    labels = [label for part in itertools.chain(*parts.values()) for label in part.labels]
    classes = CLASSES.get(name) or _find_classes(first.recordings.dataset, name, labels)

    samples: dict[Part, list[Sample]] = {part: [] for part in parts}
    for part, tonic_parts in parts.items():
        for tonic_part in tonic_parts:
            samples[part] += _list_samples(source, tonic_part, classes)

    data = DataSet(f"{name} of Tonic", classes, first.recordings.sensor)
    return divide_parts(source, data, samples["train"], samples.get("test", []), samples.get("validation", []))


def _find_kind(name: str | None) -> Any:
    """Return the Tonic class with a name."""
    from tonic import datasets

    usable = ", ".join(sorted(set(datasets.__all__) - set(UNCLASSIFIED)))
    if name is None:
        raise ConfigError(f"data = tonic: tonic_name is missing (expected one of {usable}); use tonic_name=NAME")

    if name in UNCLASSIFIED:
        raise DataError(
            f"tonic_name = {name}: its labels are not classes (found {UNCLASSIFIED[name]}, expected one of {usable})"
        )

    if name not in datasets.__all__:
        raise ConfigError(f"tonic_name = {name}: not a data set of Tonic {version('tonic')} (expected one of {usable})")

    return getattr(datasets, name)


def _open_parts(source: DataSource, kind: Any, root: Path) -> dict[Part, list[TonicPart]]:
    """Return the parts that Tonic knows and whose files are there; the first has recordings."""
    name = kind.__name__
    parameters = inspect.signature(kind.__init__).parameters
    accepted = [key for key in parameters if key not in RESERVED_ARGUMENTS]
    unknown = next((key for key in source.config.tonic_options if key not in accepted), None)
    if unknown is not None:
        known = ", ".join(accepted) or "none"
        raise ConfigError(f"tonic_options.{unknown}: not an option of {name} (expected one of: {known})")

    # Tonic's classes name their parts by `train` or by `split`; the others have one part.
    part_arguments: dict[Part, dict[str, object]] = {"train": {}}
    if "train" in parameters:
        part_arguments = {"train": {"train": True}, "test": {"train": False}}
    elif "split" in parameters:
        part_arguments = {"train": {"split": "train"}, "validation": {"split": "valid"}, "test": {"split": "test"}}

    parts: dict[Part, list[TonicPart]] = {}
    for part, arguments in part_arguments.items():
        options = json.dumps({**source.config.tonic_options, **arguments}, sort_keys=True)
        recipe = TonicRecipe(name, root, options, source.config.download)

        # A part without files is left out.
        with contextlib.suppress(FileNotFoundError):
            dataset = recipe.make()
            if len(dataset):
                sensor = source.config.given_sensor or _find_sensor(dataset, name)
                parts[part] = [_read_part(TonicRecordings(dataset, sensor, recipe), recipe.place)]

    if "train" not in parts:
        expected = f" (expected files such as {root / TONIC_LAYOUTS[name]})" if name in TONIC_LAYOUTS else ""
        raise DataError(f"{root}: no training recordings of {name} found{expected}; use download to download it")

    return parts


def _find_sensor(dataset: Any, name: str) -> SensorSize:
    """Find the sensor size of a Tonic data set."""
    size = getattr(dataset, "sensor_size", None)
    if size is None and name in SENSORS:
        return SENSORS[name]
    if not isinstance(size, tuple | list) or len(size) < 2:
        raise DataError(f"{name}: unknown sensor size (found sensor_size = {size}); use sensor=WxH")
    width, height = size[:2]  # the third number is of the polarities
    return SensorSize.of((width, height))


def _read_part(recordings: TonicRecordings, place: str) -> TonicPart:
    """Read the labels of recordings; load the recordings only if Tonic does not list the labels."""
    # Tonic lists labels before `target_transform`, which may change them, so they are loaded if there is one.
    dataset = recordings.dataset
    changed = getattr(dataset, "target_transform", None) or getattr(dataset, "transforms", None)
    listed = (getattr(dataset, name, None) for name in ("targets", "label_data"))
    labels = next((listing for listing in listed if listing is not None and len(listing) == len(dataset)), None)

    if labels is None or changed:
        labels = [recordings.label(index) for index in range(len(dataset))]

    # Labels of arrays and bytes become integers and strings.
    plain = []
    for index, label in enumerate(labels):
        value = label.item() if isinstance(label, np.generic | np.ndarray) and label.size == 1 else label
        value = value.decode() if isinstance(value, bytes) else value
        if not isinstance(value, int | str):
            raise DataError(
                f"{place}: the label of recording {index + 1} is not a class (found {type(label).__name__}, expected "
                "an integer or a string)"
            )

        plain.append(value)

    return TonicPart(recordings, plain)


def _find_classes(dataset: Any, name: str, labels: Sequence[int | str]) -> tuple[str, ...]:
    """Return the class names from Tonic, or else the labels themselves."""
    known = getattr(dataset, "classes", None)
    known = getattr(dataset, "class_map", None) if known is None else known
    if isinstance(known, Mapping):
        return tuple(str(key) for key in sorted(known, key=known.__getitem__))
    if known is not None:
        return tuple(class_name.decode() if isinstance(class_name, bytes) else str(class_name) for class_name in known)

    if all(isinstance(label, str) for label in labels):
        return tuple(sorted({str(label) for label in labels}))

    numbers = [label for label in labels if isinstance(label, int)]
    if len(numbers) < len(labels) or min(numbers) < 0:
        raise DataError(f"{name}: labels are not classes (expected strings, or integers >= 0)")

    return tuple(str(label) for label in range(max(numbers) + 1))


def _find_label(label: int | str, classes: Sequence[str], name: str) -> int:
    """Return the class index of a Tonic label."""
    if isinstance(label, int) and 0 <= label < len(classes):
        return label

    if label not in classes:
        raise DataError(f"{name}: unknown class {label} (expected one of {', '.join(classes)})")
    return classes.index(str(label))


def _list_samples(source: DataSource, part: TonicPart, classes: Sequence[str]) -> list[Sample]:
    """Return the samples of a part, in the order of their names if they are files, which Tonic does not sort."""
    recordings = part.recordings
    samples = []
    recipe = recordings.recipe
    assert recipe is not None

    # Samples without files get names by part and number.
    split = json.loads(recipe.arguments)
    which = split.get("split") or ("train" if split.get("train", True) else "test")

    users = getattr(recordings.dataset, "users", None)
    for index, label in enumerate(part.labels):
        path = recordings.path(index)
        name = str(path) if path is not None else f"{recipe.root}/{recipe.name}/{which} {index + 1}"
        below = Path(name).relative_to(recipe.root).as_posix()
        group = f"user {users[index]}" if users and source.config.group is None else source.group_of(Path(name), below)

        samples.append(
            Sample(
                name=name,
                label=_find_label(label, classes, name),
                group=group,
                load=partial(recordings.load, index),
                version=partial(recordings.version, index),
                file=path,
            )
        )

    return samples if samples[0].file is None else sorted(samples, key=lambda sample: sample.name)
