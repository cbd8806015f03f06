"""Folders of recordings and videos: one folder per class, or a label file beside each recording."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..conversion import ConvertConfig, convert_video, events_from_video, is_video
from ..errors import DataError, DvspipeError, TruncatedVideoError
from ..events import Events, SensorSize
from ..formats import FORMATS, is_ros2_folder, open_recording, read
from ..synthesis import GESTURE_SENSOR, GESTURES
from ..video import VIDEO_SUFFIXES, is_image_folder, open_video
from .cache import Cache
from .config import DataConfig
from .labels import SUFFIX, read_labels
from .samples import DataSet, Sample, apply_split, check_groups, divide, version_of_file

log = logging.getLogger(__name__)

RECORDING_SUFFIXES = tuple(dict.fromkeys(suffix for known in FORMATS.values() for suffix in known.suffixes))


def open_folder(config: DataConfig, root: Path, cache: Cache | None, seed: int) -> DataSet:
    """ROOT/<class>/<recording or video>, or the same below ROOT/train and ROOT/test."""
    training, testing = _subfolder(root, "train"), _subfolder(root, "test")
    if testing and not training:
        raise DataError(f"{root}: holds a folder {testing.name} but no folder train")
    training = training or root
    classes = GESTURES
    if config.kind == "folder":
        classes = tuple(sorted(path.name for path in training.iterdir() if path.is_dir()))
    if len(classes) < 2:
        raise DataError(f"{training}: {len(classes)} class folders, expected at least 2 (ROOT/<class>/<recording>)")
    sensor = given_sensor(config) or (GESTURE_SENSOR if config.kind == "gestures" else None)
    train = class_folders(config, training, classes, sensor, cache)
    test = class_folders(config, testing, classes, sensor, cache) if testing else []
    if config.test_root is not None:
        test = class_folders(config, _subfolder(config.test_root, "test") or config.test_root, classes, sensor, cache)
    return in_parts(config, seed, f"recordings in {root.name}", classes, sensor or size_of(train, config), train, test)


def open_labelled(config: DataConfig, root: Path, cache: Cache | None, seed: int) -> DataSet:
    """Recordings anywhere below ROOT with NAME_labels.csv beside them; each span of a label is a sample."""
    found = _labelled(config, root, cache)
    test = _labelled(config, config.test_root, cache) if config.test_root is not None else []
    names = {name for name, _ in found}
    classes = tuple(sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))
    if len(classes) < 2:
        raise DataError(f"{root}: the label files name {len(classes)} class, expected at least 2")
    for name, sample in test:
        if name not in names:
            raise DataError(f"{sample.name}: class {name}, expected one of {', '.join(classes)}")
    train_samples, test_samples = (
        [Sample(s.name, classes.index(name), s.group, s.load, s.version) for name, s in part] for part in (found, test)
    )
    sensor = given_sensor(config) or size_of(train_samples, config)
    return in_parts(config, seed, f"labelled recordings in {root.name}", classes, sensor, train_samples, test_samples)


def _labelled(config: DataConfig, root: Path, cache: Cache | None) -> list[tuple[str, Sample]]:
    """The spans of all label files below a folder, each with the name of its class; labels are still 0."""
    found = []
    for labels in sorted(root.rglob(f"*{SUFFIX}")):
        file = recording_of(labels)
        found += [
            (span.name, sample_of_span(config, file, span.start_us, span.end_us, 0, given_sensor(config), cache))
            for span in read_labels(labels)
        ]
    if not found:
        raise DataError(f"{root}: holds no label file (NAME{SUFFIX} beside NAME.SUFFIX) with a label in it")
    return found


def recording_of(labels: Path) -> Path:
    """The recording or video that a label file stands beside.

    Raises:
        DataError: There is none, or more than one.
    """
    stem = labels.name.removesuffix(SUFFIX)
    found = [path for path in sorted(labels.parent.glob(f"{stem}.*")) if is_loadable(path)]
    if len(found) != 1:
        there = ", ".join(path.name for path in found) or "none"
        raise DataError(f"{labels}: labels one recording {stem}.SUFFIX beside it, found {there}")
    return found[0]


def sample_of_span(
    config: DataConfig, file: Path, start_us: int, end_us: int, label: int, sensor: SensorSize | None,
    cache: Cache | None,
) -> Sample:  # fmt: skip
    """A part in time of a recording or video."""
    return Sample(
        name=f"{file}@{start_us}-{end_us}us",
        label=label,
        group=group_of(config, file),
        load=partial(load_span, file, start_us, end_us, sensor, config.video, cache),
        version=partial(version_of, file, config, sensor, start_us, end_us),
    )


def load_span(
    file: Path, start_us: int, end_us: int, sensor: SensorSize | None, video: ConvertConfig, cache: Cache | None
) -> Events:
    """The events of a recording or video from `start_us` to before `end_us`."""
    if is_video(file):
        return load_events(file, sensor, video, cache).slice_time(start_us, end_us)
    return read(file, start_us, end_us, sensor=sensor)


def load_events(file: Path, sensor: SensorSize | None, video: ConvertConfig, cache: Cache | None) -> Events:
    """The events of a recording, or of a video, whose events are kept in the cache."""
    if not is_video(file):
        return read(file, sensor=sensor)
    if cache is None:
        return events_from_video(file, video)

    def convert(target: Path) -> None:
        try:
            convert_video(file, target, video)
        except TruncatedVideoError as error:  # its events up to the break are there
            log.warning("%s", error)

    return read(cache.file(cache.key("events", version_of_file(file), video.model_dump_json()), ".h5", convert))


def version_of(file: Path, config: DataConfig, *more: object) -> str:
    """What the sample of a file depends on: its content and, of a video, how it becomes events."""
    return version_of_file(file, config.video.model_dump_json() if is_video(file) else "", *more)


def size_of(samples: Sequence[Sample], config: DataConfig) -> SensorSize:
    """The sensor of the first sample that can be opened; names begin with that of the file.

    Raises:
        DvspipeError: None can; says why the first cannot.
    """
    first: DvspipeError | None = None
    for sample in samples:
        file = Path(sample.name.rpartition("@")[0] or sample.name)
        try:
            return open_video(file, config.video.video).size if is_video(file) else open_recording(file).sensor
        except DvspipeError as error:
            first = first or error
    raise first or DataError("no recordings")


def given_sensor(config: DataConfig) -> SensorSize | None:
    """The sensor of the configuration."""
    return SensorSize.parse(config.sensor) if config.sensor else None


def is_loadable(path: Path) -> bool:
    """Whether a file or folder has the looks of a recording or a video; hidden ones are nobody's."""
    if path.is_dir():
        return is_ros2_folder(path) or is_image_folder(path)
    unpacked = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    known = unpacked.suffix.lower() in (*RECORDING_SUFFIXES, *VIDEO_SUFFIXES)
    return known and not path.name.endswith(SUFFIX) and not path.name.startswith(".")


def class_folders(
    config: DataConfig, folder: Path, classes: Sequence[str], sensor: SensorSize | None, cache: Cache | None
) -> list[Sample]:
    """The recordings and videos of the class folders of a folder, in the order of their names.

    Raises:
        DataError: A class folder has a name that is no class, or nothing in it, or there is none.
    """
    samples = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        if place.name not in classes:
            raise DataError(f"{place}: an unknown class folder, expected one of {', '.join(classes)}")
        files = [path for path in sorted(place.iterdir()) if is_loadable(path)]
        if not files:
            raise DataError(f"{place}: holds no recording ({', '.join(RECORDING_SUFFIXES)}) and no video")
        samples += [
            Sample(
                name=str(file),
                label=classes.index(place.name),
                group=group_of(config, file),
                load=partial(load_events, file, sensor, config.video, cache),
                version=partial(version_of, file, config, sensor),
            )
            for file in files
        ]
    if not samples:
        raise DataError(f"{folder}: holds no class folders, expected <class>/<recording>")
    return samples


def group_of(config: DataConfig, file: Path) -> str:
    """What of a file's name stays together: all of it, or what the configuration's expression matches."""
    if config.group is None:
        return str(file)
    found = re.search(config.group, file.name)
    if not found:
        raise DataError(f"{file}: its name does not match data.group = {config.group!r}")
    return found.group()


def in_parts(
    config: DataConfig, seed: int, title: str, classes: tuple[str, ...], sensor: SensorSize,
    train: list[Sample], test: list[Sample],
) -> DataSet:  # fmt: skip
    """Divides off the validation part and, where the data set brings none, the test part; or as an earlier run did."""
    if config.split is not None:
        parts = apply_split(config.split, [*train, *test])
        train_part, validation_part, test_part = (tuple(part) for part in parts.values())
        return DataSet(title, classes, sensor, False, train_part, validation_part, test_part)
    check_groups(train, test)
    brings_test = bool(test)
    if not brings_test:
        train, test = divide(train, config.test, seed + 1)
    train, validation = divide(train, config.validation, seed)
    return DataSet(title, classes, sensor, False, tuple(train), tuple(validation), tuple(test), brings_test=brings_test)


def _subfolder(root: Path, name: str) -> Path | None:
    return next((path for path in root.iterdir() if path.is_dir() and path.name.lower() == name), None)
