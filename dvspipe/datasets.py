"""Labelled recordings: N-MNIST in its native layout, folders of recordings, and rendered gestures."""

from __future__ import annotations

import logging
import multiprocessing
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from .config import Settings
from .encoding import BinConfig, count_events
from .errors import DataError, DvspipeError
from .events import Events, SensorSize
from .formats import FORMATS, open_recording, read
from .synthesis import GESTURE_SENSOR, GESTURES, is_synthetic, record_gesture

NMNIST_CLASSES = tuple(str(digit) for digit in range(10))
NMNIST_SENSOR = SensorSize(width=34, height=34)

Progress = Callable[[int, int], None]

log = logging.getLogger(__name__)


class DataConfig(Settings):
    """Which labelled recordings to learn from, and how they are divided."""

    kind: Literal["nmnist", "gestures", "folder"] = "folder"
    """`nmnist`: ROOT/Train/<digit>/*.bin and ROOT/Test; `folder`: ROOT/<class>/<recording>, or ROOT/train/<class> and
    ROOT/test/<class>; `gestures`: a folder with the classes of DVS128 Gesture, or, without a root, rendered ones."""
    root: Path | None = None
    """Folder of the data set."""
    download: bool = False
    """Lets Tonic download N-MNIST into the root where it is not there yet."""
    sensor: str | None = Field(default=None, pattern=r"^\d+x\d+$")
    """The sensor of a folder's recordings, WIDTHxHEIGHT, for files that do not name it."""
    group: str | None = None
    """Regular expression on file names; what it matches (such as a person) stays on one side of every split. Without
    it, each recording stands alone, and the parts are drawn class by class."""
    validation: float = Field(default=0.1, gt=0, lt=1)
    """Share of the training groups on which the best epoch is chosen."""
    test: float = Field(default=0.2, gt=0, lt=1)
    """Share of the groups that make the test part of a data set that has none."""
    views: int = Field(default=1, ge=1)
    """Variants of each training recording: the recording itself, the others with events dropped by Tonic's transforms
    DropEvent and DropEventByTime."""
    drop: float = Field(default=0.2, ge=0, lt=1)
    """Largest share of events, and of time, that is dropped in a variant."""
    train_people: int = Field(default=32, ge=2)
    """Rendered gestures: number of people to learn from."""
    test_people: int = Field(default=10, ge=1)
    """Rendered gestures: number of other people to test on."""
    clips: int = Field(default=2, ge=1)
    """Rendered gestures: clips per person and class."""

    @field_validator("root", mode="before")
    @classmethod
    def _root_is_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) else value  # a folder may be called 2024

    @field_validator("group")
    @classmethod
    def _group_compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression ({error})") from error
        return value


@dataclass(frozen=True)
class Sample:
    """A labelled recording that is not loaded yet.

    Args:
        name: The file, or what a rendered clip shows.
        label: The class's integer.
        group: Person or source; what shares it is never divided.
        load: Loads the events; may be sent to another process.
    """

    name: str
    label: int
    group: str
    load: Callable[[], Events]


@dataclass(frozen=True)
class DataSet:
    """Labelled recordings in three parts that share no group.

    Args:
        title: What they are, in a few words.
        classes: Names; a label is an index into them.
        sensor: The sensor of all recordings.
        synthetic: Whether they were rendered.
        train: What the network learns from.
        validation: What the best epoch is chosen on.
        test: What is measured once, at the end.
    """

    title: str
    classes: tuple[str, ...]
    sensor: SensorSize
    synthetic: bool
    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...]


def open_dataset(config: DataConfig, seed: int) -> DataSet:
    """The data set that a configuration describes, with nothing loaded yet.

    Args:
        config: Kind, folder, and shares of the parts.
        seed: Of the division into parts, and of rendered clips.

    Raises:
        DataError: The folder is not laid out as expected, a class folder is unknown, or a part would be empty.
    """
    if config.kind == "gestures" and config.root is None:
        return _rendered_gestures(config, seed)
    if config.root is None:
        raise DataError(f"data.root is missing: give the folder of the recordings, as in {config.kind} data.root=DIR")
    if config.kind == "nmnist":
        return _nmnist(config, config.root, seed)
    return _folder(config, config.root, seed)


def encode_samples(
    samples: Sequence[Sample],
    bins: BinConfig,
    *,
    views: int = 1,
    config: DataConfig | None = None,
    seed: int = 0,
    jobs: int = 1,
    progress: Progress | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Spike tensors and labels of samples.

    Args:
        samples: At least one.
        bins: Steps of the spike tensors, which begin with each recording's first event.
        views: Variants of each sample: the recording itself, then changed ones.
        config: Says how variants are changed; needed with more than one view.
        seed: Of the changes.
        jobs: Processes to share the work.
        progress: Told the number of samples done and in all.

    Returns:
        uint8 [samples, views, T, 2, H, W] and int64 [samples].

    Raises:
        DataError: A recording is empty or comes from another sensor than the first.
    """
    encode = partial(_encode, bins=bins, views=views, config=config, seed=seed)
    tensors: NDArray[np.uint8] | None = None
    log.info("encoding %d samples in %d process(es)", len(samples), jobs)
    with _mapper(jobs) as mapped:
        for number, tensor in enumerate(mapped(encode, samples)):
            if tensors is None:
                tensors = np.empty((len(samples), *tensor.shape), np.uint8)
            if tensor.shape != tensors.shape[1:]:
                raise DataError(
                    f"{samples[number].name}: comes from another sensor than {samples[0].name}; where the files do not "
                    "name it, data.sensor=WxH does"
                )
            tensors[number] = tensor
            if progress:
                progress(number + 1, len(samples))
    if tensors is None:
        raise DataError("no samples to encode")
    return tensors, np.array([sample.label for sample in samples], np.int64)


@contextmanager
def _mapper(jobs: int) -> Iterator[Callable[..., Iterator[Any]]]:
    if jobs <= 1:
        yield map
        return
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield partial(pool.map, chunksize=4)
    except BrokenProcessPool as error:
        raise DataError(
            "the processes that encode could not start or were killed; in a script, call train below "
            'if __name__ == "__main__":, or set jobs=1'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _encode(sample: Sample, *, bins: BinConfig, views: int, config: DataConfig | None, seed: int) -> NDArray[np.uint8]:
    try:
        events = sample.load()
    except DvspipeError as error:
        message = str(error)
        raise DataError(message if message.startswith(sample.name) else f"{sample.name}: {message}") from error
    if not len(events):
        raise DataError(f"{sample.name}: the recording holds no events")
    events = events.shift_time(-int(events.t[0]))  # Tonic's DropEventByTime takes 0 as the begin
    variants = [count_events(events, bins, start_us=0)]
    if views > 1:
        assert config is not None
        variants += [count_events(_change(events, config, seed + view), bins, start_us=0) for view in range(1, views)]
    return np.stack(variants)


def _change(events: Events, config: DataConfig, seed: int) -> Events:
    """A variant of a recording with a share of its events and a span of its time dropped, by Tonic."""
    from tonic import transforms

    state = np.random.get_state()  # noqa: NPY002 - Tonic draws from numpy's global generator
    np.random.seed([seed, len(events)])  # noqa: NPY002
    try:
        change = transforms.Compose(
            [transforms.DropEvent(p=(0.0, config.drop)), transforms.DropEventByTime(duration_ratio=(0.0, config.drop))]
        )
        return Events.from_structured(change(events.structured()), events.sensor)
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _nmnist(config: DataConfig, root: Path, seed: int) -> DataSet:
    """N-MNIST (Orchard et al. 2015) in its native folders, complete or in part, or below NMNIST/ as Tonic puts it."""
    if config.download and not (root / "Train").is_dir():
        from tonic.datasets import NMNIST

        for train in (True, False):
            NMNIST(save_to=str(root), train=train)
    if not (root / "Train").is_dir() and (root / "NMNIST" / "Train").is_dir():
        root = root / "NMNIST"
    if not (root / "Train").is_dir():
        raise DataError(
            f"{root}: holds no folder Train with the digits 0 to 9; unpack N-MNIST's train.zip and test.zip there "
            "or set data.download=true"
        )
    return _in_parts(
        config, seed, "N-MNIST", NMNIST_CLASSES, NMNIST_SENSOR,
        _samples(config, root / "Train", NMNIST_CLASSES, NMNIST_SENSOR),
        _samples(config, root / "Test", NMNIST_CLASSES, NMNIST_SENSOR) if (root / "Test").is_dir() else [],
    )  # fmt: skip


def _folder(config: DataConfig, root: Path, seed: int) -> DataSet:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    training, testing = _subfolder(root, "train"), _subfolder(root, "test")
    if testing and not training:
        raise DataError(f"{root}: holds a folder {testing.name} but no folder train")
    training = training or root
    classes = GESTURES
    if config.kind == "folder":
        classes = tuple(sorted(path.name for path in training.iterdir() if path.is_dir()))
    if len(classes) < 2:
        raise DataError(f"{training}: {len(classes)} class folders, expected at least 2 (ROOT/<class>/<recording>)")
    sensor = SensorSize.parse(config.sensor) if config.sensor else None
    if config.kind == "gestures":
        sensor = sensor or GESTURE_SENSOR
    train = _samples(config, training, classes, sensor)
    return _in_parts(
        config, seed, f"recordings in {root.name}", classes, sensor or open_recording(train[0].name).sensor,
        train, _samples(config, testing, classes, sensor) if testing else [],
    )  # fmt: skip


def _in_parts(
    config: DataConfig, seed: int, title: str, classes: tuple[str, ...], sensor: SensorSize,
    train: list[Sample], test: list[Sample],
) -> DataSet:  # fmt: skip
    """Divides off the validation part and, where the data set brings none, the test part."""
    if not test:
        train, test = _divide(train, config.test, seed + 1)
    train, validation = _divide(train, config.validation, seed)
    synthetic = config.root is not None and is_synthetic(config.root)
    return DataSet(title, classes, sensor, synthetic, tuple(train), tuple(validation), tuple(test))


def _subfolder(root: Path, name: str) -> Path | None:
    return next((path for path in root.iterdir() if path.is_dir() and path.name.lower() == name), None)


def _samples(config: DataConfig, folder: Path, classes: Sequence[str], sensor: SensorSize | None) -> list[Sample]:
    """The recordings of the class folders of a folder, in the order of their names."""
    suffixes = {suffix for known in FORMATS.values() for suffix in known.suffixes}
    samples = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        if place.name not in classes:
            raise DataError(f"{place}: an unknown class folder, expected one of {', '.join(classes)}")
        label = classes.index(place.name)
        files = sorted(path for path in place.iterdir() if path.suffix.lower() in suffixes)
        if not files:
            raise DataError(f"{place}: holds no recording ({', '.join(sorted(suffixes))})")
        samples += [
            Sample(str(file), label, _group(config, file), partial(read, file, sensor=sensor)) for file in files
        ]
    if not samples:
        raise DataError(f"{folder}: holds no class folders, expected <class>/<recording>")
    return samples


def _group(config: DataConfig, file: Path) -> str:
    if config.group is None:
        return str(file)
    found = re.search(config.group, file.name)
    if not found:
        raise DataError(f"{file}: its name does not match data.group = {config.group!r}")
    return found.group()


def _divide(samples: Sequence[Sample], share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Samples in two parts, the second with about that share of the groups, by a seeded draw.

    Where every recording stands alone it is drawn class by class, and a class keeps at least one in the first part.
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


def _rendered_gestures(config: DataConfig, seed: int) -> DataSet:
    """Rendered gestures; the people of the test part appear nowhere else."""
    people = range(config.train_people + config.test_people)
    samples = [
        Sample(
            name=f"person {person}, {GESTURES[label]}, clip {clip}",
            label=label,
            group=f"person {person}",
            load=partial(record_gesture, label, person=person, clip=clip, seed=seed),
        )
        for person in people
        for label in range(len(GESTURES))
        for clip in range(config.clips)
    ]
    per_person = len(GESTURES) * config.clips
    train, validation = _divide(samples[: config.train_people * per_person], config.validation, seed)
    test = samples[config.train_people * per_person :]
    return DataSet("rendered gestures", GESTURES, GESTURE_SENSOR, True, tuple(train), tuple(validation), tuple(test))
