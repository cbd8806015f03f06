"""Data sets from folders of recordings and videos: one folder per class, or a label file beside each recording.

A `RecordingFile` reads one recording or video, framed for the network, and caches what takes long. Samples are complete
files, windows of them, or spans of a label file. `open_folder`, `open_gestures` and `open_labelled` list them, and
`divide_parts` divides them into training, validation and test.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.errors import DataError, DvspipeError, count_noun, escape_controls
from ..base.files import is_internal
from ..base.gestures import GESTURES
from ..base.yaml_files import shipped_configs
from ..events import GESTURE_SENSOR, Events, SensorSize, concatenate
from ..formats import (
    FORMATS,
    Hints,
    has_plugin,
    is_recording_folder,
    is_unrelated_text,
    open_recording,
    read,
    write,
)
from ..framing import FramingConfig, find_guess, open_source
from ..recordings.config import ConvertConfig, FilmConfig
from ..recordings.conversion import convert_video, events_from_video, open_for_sensor
from ..recordings.sources import is_video
from ..results.labels import SUFFIX, LabelRow, read_labels
from ..results.splits import PARTS, SPLITS, Part, SplitRow, Splits, find_splits
from ..video.names import VIDEO_SUFFIXES, is_image_folder
from .cache import Cache, DecodedEvents
from .config import (
    OWN_KINDS,
    DataConfig,
)
from .samples import DataSet, Sample, check_groups, divide, find_in_time, is_synthetic, version_of_file
from .source import DataSource
from .split import apply_split

log = logging.getLogger(__name__)

MAX_GUESSED = 4  # recordings examined for missing sensors; guessing reads all their events
SAMPLE_SUFFIXES = tuple(dict.fromkeys(suffix for known in FORMATS.values() for suffix in known.suffixes))


@dataclass(frozen=True)
class FramedKey:
    """Cache key of the events of a framed recording or video.

    Args:
        target: Sensor that the events are fitted to; None: the recording's own sensor.
    """

    version: str
    framing: FramingConfig
    target: SensorSize | None


@dataclass(frozen=True)
class WindowsKey:
    """Cache key of the windows of a recording.

    Args:
        window_us: Window length in microseconds.
    """

    version: str
    window_us: int


@dataclass(frozen=True)
class RecordingFile:
    """Recording or video that is a sample, or that samples are cut from.

    Args:
        target: Sensor that the events are fitted to; None: the recording's own sensor.
        cache: Cache for events that take long to compute; None: no cache.
        decoded: Decoded events in memory; None: keep none.
    """

    path: Path
    framing: FramingConfig
    target: SensorSize | None
    cache: Cache | None
    decoded: DecodedEvents | None = None

    @classmethod
    def of(cls, source: DataSource, path: Path, sensor: SensorSize | None) -> RecordingFile:
        """Create a file of a data set."""
        config = source.config
        framing = config.framing.for_recording(source.name_of(path).as_posix())
        if sensor is not None:
            framing = framing.model_copy(update={"sensor": str(sensor)})
        return cls(path, framing, config.input_size, source.cache, source.decoded)

    @cached_property
    def is_video(self) -> bool:
        """Whether the file is a video."""
        return is_video(self.path)

    def load(self) -> Events:
        """Load all events, framed for the network."""
        return self._keep(self._load)

    def _keep(self, decode: Callable[[], Events], *span_us: int) -> Events:
        """Return all events, or the events of a span, from memory if possible."""
        if self.decoded is None:
            return decode()

        # A file that is missing has no version; decoding it raises a clear error.
        try:
            version = self.version(*span_us)
        except OSError:
            return decode()

        return self.decoded.load(version, decode)

    def _load(self) -> Events:
        """Return all events, framed for the network, from the cache if they take long to compute."""
        if self.cache is None or not (self.is_video or self.framing.roi == "auto"):
            return self._make()

        version = version_of_file(self.path, self.framing.part(Hints))
        digest = self.cache.digest(FramedKey(version, self.framing, self.target))
        return self.cache.load(digest, ".h5", make=self._write, read=read)

    def _make(self) -> Events:
        """Compute all events, framed for the network, without the cache."""
        if self.target is not None:
            source = open_source(self.path, self.target, self.framing)
            return concatenate(source.read_fitted(), self.target)
        if self.is_video:
            return events_from_video(self.path, self.framing)
        return self._read()

    def _write(self, path: Path) -> None:
        """Write all events, framed for the network."""
        if self.target is not None:
            write(path, self._make())
            return

        convert_video(self.path, path, ConvertConfig(**self.framing.part(FilmConfig).given))

    def load_span(self, start_us: int, end_us: int) -> Events:
        """Return the events from `start_us` (inclusive) to `end_us` (exclusive)."""
        # Videos, framed recordings and recordings in memory have all events anyway; of others, only the span is read.
        if self.is_video or self.target is not None or (self.decoded is not None and self.version() in self.decoded):
            return self.load().between(start_us, end_us)
        return self._keep(partial(self._read, start_us, end_us), start_us, end_us)

    def _read(self, start_us: int | None = None, stop_us: int | None = None) -> Events:
        """Return events of a recording that is not framed."""
        return read(self.path, start_us, stop_us, hints=self.framing)

    def windows(self, window_us: int, *span_us: int) -> list[tuple[int, int]]:
        """Divide the recording, or a span of it, into windows; return the start and end of each in microseconds.

        The first window starts at the first event. Windows without events are left out, and so is a remainder at the
        end shorter than half a window, unless it is the only window. The windows are cached.
        """
        digest = "" if self.cache is None else self.cache.digest(WindowsKey(self.version(*span_us), window_us))
        stored = None if self.cache is None else self.cache.read(digest)
        if stored is None:
            events = self.load_span(*span_us) if span_us else self.load()
            stored = {"starts_us": _window_starts(events.t, window_us)}
            if self.cache is not None:
                self.cache.write(digest, **stored)
        return [(start_us, start_us + window_us) for start_us in stored["starts_us"].tolist()]

    def version(self, *more: object) -> str:
        """Return a digest of the content, of how it is framed, and of what else a sample depends on."""
        framing = self.framing.model_dump_json() if self.is_video or self.target is not None else ""
        return version_of_file(self.path, framing, self.target, self.framing.part(Hints), *more)


def _window_starts(t: NDArray[np.int64], window_us: int) -> NDArray[np.int64]:
    """Return the start of each window with events; see `RecordingFile.windows`."""
    # The error of an empty recording is raised when it is loaded.
    if not len(t):
        return np.zeros(1, np.int64)

    numbers = (t - t[0]) // window_us  # window of each event
    remainder_us = int(t[-1] - t[0]) % window_us

    # A remainder shorter than half a window is left out, unless it is all there is.
    last = numbers[-1]
    if last and remainder_us < window_us // 2:
        numbers = numbers[numbers < last]

    starts: NDArray[np.int64] = t[0] + np.unique(numbers) * window_us
    return starts


def find_folder(source: str | Path) -> Path:
    """Return a folder of recordings.

    Raises:
        DataError: If the folder does not exist. For the name of a configuration, the message says how to read it.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder

    is_config = str(source) in shipped_configs() or folder.suffix in (".yaml", ".yml")
    hint = f"; as a configuration: TrainConfig.read({str(source)!r})" if is_config else ""
    raise DataError(f"{source}: no such folder of recordings{hint}")


def folder_config(source: str | Path) -> DataConfig:
    """Return the settings of a folder of recordings: its kind and its path.

    Raises:
        DataError: If the folder does not exist.
    """
    root = find_folder(source)
    return DataConfig(data="labelled" if next(root.rglob(f"*{SUFFIX}"), None) else "folder", root=root)


def open_folder(source: DataSource) -> DataSet:
    """Return ROOT/<class>/<recording or video>, divided by ROOT/splits.csv; or the same in ROOT/train and ROOT/test."""
    splits = _find_published(source)
    if splits is not None:
        return _open_split(source, splits, splits.classes, source.config.given_sensor)

    training, testing = _find_parts(source.root)
    classes = tuple(path.name for path in _find_class_folders(training))
    return _open_class_folders(source, training, testing, classes, source.config.given_sensor)


def open_gestures(source: DataSource) -> DataSet:
    """Return a folder as `open_folder` does, with the classes of DVS128 Gesture in their order."""
    sensor = source.config.given_sensor or GESTURE_SENSOR
    splits = _find_published(source)
    if splits is not None:
        return _open_split(source, splits, GESTURES, sensor)

    training, testing = _find_parts(source.root)
    return _open_class_folders(source, training, testing, GESTURES, sensor)


def _find_published(source: DataSource) -> Splits | None:
    """Return the published splits of a folder; None if it has none, or is divided as an earlier run."""
    split = source.config.split
    if isinstance(split, Path):
        return None

    splits = find_splits(source.root)
    if splits is None and split is not None:
        raise DataError(f"{source.root}: no {SPLITS} for split = {split}; use split=null")
    return splits


def _open_split(
    source: DataSource,
    splits: Splits,
    classes: tuple[str, ...],
    sensor: SensorSize | None,
) -> DataSet:
    """Return the recordings of a published split; a part that it lacks is drawn from its training part."""
    root = source.root
    number = splits.numbers[0] if source.config.split is None else int(str(source.config.split))
    try:
        rows = splits.of(number)
    except DataError as error:
        raise error.named(str(root / SPLITS)) from error

    unknown = sorted({row.class_name for row in rows}.difference(classes))
    if unknown:
        raise DataError(f"{root / SPLITS}: unknown class {unknown[0]} (expected one of {', '.join(classes)})")

    missing = [row.file for row in rows if not (root / row.file).exists()]
    if len(missing) == len(rows):
        raise DataError(f"{root}: has no recording of {SPLITS}, such as {missing[0]}")

    problems: tuple[str, ...] = ()
    if missing:
        count = f"{len(missing):,} of {count_noun(len(rows), 'recording')} of split {number}"
        problems = (f"{root / SPLITS}: {count} are missing, such as {missing[0]}",)
        rows = tuple(row for row in rows if (root / row.file).exists())

    parts: dict[Part, list[Sample]] = {part: [] for part in PARTS}
    for row in source.report(rows):
        parts[row.part] += _list_row(source, row, classes.index(row.class_name), sensor)

    # Another test folder replaces the published test part.
    if source.config.test_root is not None:
        test_root = _find_subfolder(source.config.test_root, "test") or source.config.test_root
        parts["test"] = [*list_class_folders(source, test_root, classes, sensor).samples]

    first = [sample for samples in parts.values() for sample in samples]
    data = DataSet(
        f"folder {root.name}, split {number}",
        classes,
        source.config.input_size or sensor or find_sensor(source, first),
        problems=problems,
        warnings=(*_warn_of_missing_sensor(source, first, sensor), *_warn_of_shared_groups(root, number, parts)),
        split=number,
    )
    return divide_parts(source, data, parts["train"], parts["test"], parts["validation"])


def _list_row(source: DataSource, row: SplitRow, label: int, sensor: SensorSize | None) -> list[Sample]:
    """Return the samples of a recording in splits.csv; the group in the file is used unless `group` is set."""
    recording = RecordingFile.of(source, source.root / row.file, sensor)
    samples = _list_samples(source, recording, label)
    if source.config.group is not None:
        return samples
    return [replace(sample, group=row.group or str(recording.path)) for sample in samples]


def _warn_of_shared_groups(root: Path, number: int, parts: Mapping[Part, Sequence[Sample]]) -> Iterator[str]:
    """Yield a warning if a published split has groups in both the training and the test part."""
    trained = {sample.group for sample in (*parts["train"], *parts["validation"])}
    tested = {sample.group for sample in parts["test"]}
    shared = sorted(trained & tested)
    if shared:
        yield (
            f"{root / SPLITS}: split {number} has {len(shared):,} of {count_noun(len(tested), 'test group')} in its "
            f"training part, too, such as {shared[0]}; the published split is used as it is"
        )


def _find_parts(root: Path) -> tuple[Path, Path | None]:
    """Return the folder of training recordings, and the folder of test recordings or None."""
    training = _find_subfolder(root, "train")
    testing = _find_subfolder(root, "test")
    if testing and not training:
        raise DataError(f"{root}: has a folder {testing.name} but no folder train")
    return training or root, testing


def _open_class_folders(
    source: DataSource,
    training: Path,
    testing: Path | None,
    classes: tuple[str, ...],
    sensor: SensorSize | None,
) -> DataSet:
    if len(classes) < 2:
        loose = sum(path.is_file() for path in training.iterdir())
        beside = f", and {count_noun(loose, 'file')} beside them" if loose else ""
        counts = f"found {len(classes)}{beside}, expected 2 as <class>/<recording>"
        raise DataError(f"{training}: too few class folders ({counts})")

    if source.config.test_root is not None:
        testing = _find_subfolder(source.config.test_root, "test") or source.config.test_root

    train = list_class_folders(source, training, classes, sensor)
    test = list_class_folders(source, testing, classes, sensor) if testing else Listing()
    listing = train + test

    data = DataSet(
        f"folder {source.root.name}",
        classes,
        source.config.input_size or sensor or find_sensor(source, train.samples),
        problems=listing.problems,
        warnings=(*listing.warnings, *_warn_of_missing_sensor(source, listing.samples, sensor)),
    )

    return divide_parts(source, data, train.samples, test.samples)


def open_labelled(source: DataSource) -> DataSet:
    """Return recordings anywhere below ROOT with NAME_labels.csv beside them; each span of a label is a sample."""
    root = source.root
    test_root = source.config.test_root

    train = _list_spans(source, root)
    test = _list_spans(source, test_root) if test_root is not None else []
    names = {name for name, _ in train}

    # Numbers sort by value, before words.
    numbers = sorted((name for name in names if name.isdecimal()), key=lambda name: (int(name), name))
    words = sorted(name for name in names if not name.isdecimal())
    classes = (*numbers, *words)
    if len(classes) < 2:
        raise DataError(f"{root}: the label files name {len(classes)} class (expected at least 2)")

    for name, sample in test:
        if name not in names:
            raise DataError(f"{sample.name}: unknown class {name} (expected one of {', '.join(classes)})")

    train_samples = [replace(sample, label=classes.index(name)) for name, sample in train]
    test_samples = [replace(sample, label=classes.index(name)) for name, sample in test]
    sensor = source.config.input_size or source.config.given_sensor or find_sensor(source, train_samples)
    warnings = _warn_of_missing_sensor(source, [*train_samples, *test_samples], source.config.given_sensor)
    data = DataSet(f"folder {root.name}", classes, sensor, warnings=tuple(warnings))

    return divide_parts(source, data, train_samples, test_samples)


def _list_spans(source: DataSource, folder: Path) -> list[tuple[str, Sample]]:
    """Return the samples of all label files below a folder, each with the name of its class; all labels are 0."""
    samples = []
    for labels in source.report(sorted(folder.rglob(f"*{SUFFIX}"))):
        recording = RecordingFile.of(source, find_recording(labels), source.config.given_sensor)
        for label in read_labels(labels):
            samples += [(label.class_name, sample) for sample in _list_windows_of_label(source, recording, label)]

    if not samples:
        raise DataError(f"{folder}: no labels found (expected NAME{SUFFIX} beside NAME.SUFFIX)")

    return samples


def _list_windows_of_label(source: DataSource, recording: RecordingFile, label: LabelRow) -> Iterator[Sample]:
    """Yield the time of a label as a sample, or its windows if it is longer than `window_us`."""
    spans_us = [(label.t_start_us, label.t_end_us)]
    window_us = source.config.window_us
    if window_us is not None:
        windows = recording.windows(window_us, label.t_start_us, label.t_end_us)
        if len(windows) > 1:
            spans_us = [(start_us, min(end_us, label.t_end_us)) for start_us, end_us in windows]

    for start_us, end_us in spans_us:
        yield _sample_of_part(source, recording, start_us, end_us, 0)


def find_recording(labels: Path) -> Path:
    """Find the recording or video beside a label file."""
    stem = labels.name.removesuffix(SUFFIX)
    recordings = [path for path in sorted(labels.parent.glob(f"{stem}.*")) if is_loadable(path)]
    if len(recordings) != 1:
        names = ", ".join(path.name for path in recordings) or "none"
        raise DataError(f"{labels}: no single recording for the labels (found {names}, expected one {stem}.SUFFIX)")
    return recordings[0]


def sample_of_label(source: DataSource, file: Path, label: LabelRow, number: int, sensor: SensorSize | None) -> Sample:
    """Return the part of a recording or video that has a label, of the class with a number."""
    return _sample_of_part(source, RecordingFile.of(source, file, sensor), label.t_start_us, label.t_end_us, number)


def _sample_of_part(source: DataSource, recording: RecordingFile, start_us: int, end_us: int, label: int) -> Sample:
    return Sample(
        name=escape_controls(f"{recording.path}@{start_us}-{end_us}us"),
        label=label,
        group=source.group_of(recording.path),
        load=partial(recording.load_span, start_us, end_us),
        version=partial(recording.version, start_us, end_us),
        file=recording.path,
    )


def _list_samples(source: DataSource, recording: RecordingFile, label: int) -> list[Sample]:
    """Return a recording as a sample, or its windows if it is longer than `window_us`."""
    if source.config.window_us is not None:
        windows = recording.windows(source.config.window_us)
        if len(windows) > 1:
            return [_sample_of_part(source, recording, start_us, end_us, label) for start_us, end_us in windows]

    complete = Sample(
        name=escape_controls(str(recording.path)),
        label=label,
        group=source.group_of(recording.path),
        load=recording.load,
        version=recording.version,
        file=recording.path,
    )

    return [complete]


def find_sensor(source: DataSource, samples: Iterable[Sample]) -> SensorSize:
    """Find the sensor of samples: the size they are fitted to, or the sensor of the first readable file."""
    if source.config.input_size is not None:
        return source.config.input_size

    # The first error explains the problem, if no file can be read.
    first: DvspipeError | None = None

    for file in dict.fromkeys(sample.file for sample in samples if sample.file is not None):
        try:
            if is_video(file):
                return open_for_sensor(file, source.config).size
            return open_recording(file, source.config).sensor
        except DvspipeError as error:
            first = first or error

    raise first or DataError("no recordings")


def _warn_of_missing_sensor(source: DataSource, samples: Sequence[Sample], sensor: SensorSize | None) -> Iterator[str]:
    """Yield one warning if recordings that are fitted to a size do not store their sensor.

    At most MAX_GUESSED recordings are opened, because guessing a sensor reads all events.
    """
    config = source.config
    if config.input_size is None or config.fit is not None or sensor is not None:
        return

    files = [file for file in dict.fromkeys(sample.file for sample in samples) if file and not is_video(file)]
    step = max(1, len(files) // MAX_GUESSED)
    examined = []
    for file in files[::step][:MAX_GUESSED]:
        try:
            examined.append(find_guess(file, config.input_size, config))
        except DvspipeError:
            continue  # the error is raised when all recordings are read

    # A guess is a pair: the smallest sensor that fits the events, and the size that is used.
    guesses = [guess for guess in examined if guess is not None and guess[0] != config.input_size]
    if not guesses:
        return

    # The largest guess is the sensor that all examined recordings fit.
    guess, used = max(guesses, key=lambda pair: pair[0].width * pair[0].height)

    prefix = f"{source.root}: recordings do not name their sensor; using"
    if guess == used:
        yield f"{prefix} {guess}; if the sensor is another one, set sensor=WIDTHxHEIGHT"
    else:
        yield (
            f"{prefix} {used}, the size that they are fitted to, although events of the examined recordings also fit "
            f"{guess}; if the sensor is {guess}, set sensor={guess} fit=scale"
        )


def is_sample_suffix(suffix: str) -> bool:
    """Return whether files with a suffix are recordings that can be samples."""
    return suffix.lower() in SAMPLE_SUFFIXES or has_plugin(suffix)


def is_loadable(path: Path) -> bool:
    """Return whether a path is a recording or video by its name: not hidden, and not a text file of words."""
    if is_internal(Path(path.name)):
        return False

    if path.is_dir():
        return is_recording_folder(path) or is_image_folder(path)

    if not is_sample_suffix(path.suffix) and path.suffix.lower() not in VIDEO_SUFFIXES:
        return False

    is_label_file = path.name.endswith(SUFFIX)
    return not is_label_file and not path.name.startswith(".") and not is_unrelated_text(path)


@dataclass(frozen=True)
class Listing:
    """Content of class folders."""

    samples: tuple[Sample, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __add__(self, other: Listing) -> Listing:
        """Concatenate two listings."""
        return Listing(self.samples + other.samples, self.problems + other.problems, self.warnings + other.warnings)


def list_class_folders(source: DataSource, folder: Path, classes: Sequence[str], sensor: SensorSize | None) -> Listing:
    """Return what is in the class folders of a folder."""
    labelled: list[tuple[Path, int]] = []
    problems = []
    nested = []

    class_folders = _find_class_folders(folder)

    # Links may lead back to a folder that contains them, or to another class: no folder is searched twice.
    searched = {*_find_ancestors(folder), *(path.resolve() for path in class_folders)}

    for class_folder in class_folders:
        if class_folder.name not in classes:
            problems.append(f"{class_folder}: unknown class folder (expected one of {', '.join(classes)})")
            continue

        inside = sorted(class_folder.iterdir())
        files = _leave_out_converted([path for path in inside if is_loadable(path)])
        for path in inside:
            if not is_loadable(path):
                nested += _find_nested(path, searched)

        if not files:
            problems.append(f"{class_folder}: no recordings ({', '.join(SAMPLE_SUFFIXES)}) or videos found")

        labelled += [(file, classes.index(class_folder.name)) for file in files]

    samples: list[Sample] = []
    for file, label in source.report(labelled):
        samples += _list_samples(source, RecordingFile.of(source, file, sensor), label)

    warnings = []
    if nested:
        warnings = [
            f"{folder}: folders below class folders are not read: {len(nested)} recordings, such as {nested[0]}"
        ]

    if not samples:
        listed = [*problems, *warnings] or [f"{folder}: no class folders found (expected <class>/<recording>)"]
        raise DataError("; ".join(listed))

    return Listing(tuple(samples), tuple(problems), tuple(warnings))


def _leave_out_converted(files: Sequence[Path]) -> list[Path]:
    """Leave out videos beside a recording of the same name: the recording shows the same scene."""
    recorded = {path.stem for path in files if is_sample_suffix(path.suffix)}
    return [path for path in files if path.stem not in recorded or path.suffix.lower() not in VIDEO_SUFFIXES]


def _find_nested(folder: Path, searched: set[Path]) -> list[Path]:
    """List the recordings and videos below a folder, searched recursively; a file has none.

    `searched` has the folders already searched, to stop at links that form a loop; it is updated in place.
    """
    if not folder.is_dir() or is_internal(Path(folder.name)) or folder.resolve() in searched:
        return []

    searched.add(folder.resolve())
    recordings = list[Path]()
    for path in sorted(folder.iterdir()):
        recordings += [path] if is_loadable(path) else _find_nested(path, searched)

    return recordings


def divide_parts(
    source: DataSource,
    data: DataSet,
    train: Sequence[Sample],
    test: Sequence[Sample],
    validation: Sequence[Sample] = (),
) -> DataSet:
    """Divide a data set into parts: as in the split.json of an earlier run, or at random."""
    config = source.config
    assert config.root is not None
    data = replace(
        data, synthetic=is_synthetic(config.root), synthetic_test=is_synthetic(config.test_root or config.root)
    )

    # Recordings of a group, or the windows of a recording, stay together if there are enough groups for all parts.
    in_time: set[int] = set()
    if config.data in OWN_KINDS and config.group is None and data.split is None:
        parts_to_divide = 1 + (not test) + (not validation and config.validation > 0)
        in_time = find_in_time(train, parts_to_divide)
    if isinstance(config.split, Path):
        parts = apply_split(config.split, _separate_groups([*train, *validation, *test], in_time), config.root)
        return replace(data, train=parts["train"], validation=parts["validation"], test=parts["test"])

    # A published split is used as it is; its data set has a warning instead.
    if data.split is None:
        check_groups([*train, *validation], test)
        check_groups(train, validation)
    fixed_test = bool(test)
    hold_out = partial(divide, in_time=in_time)
    if not fixed_test:
        train, test = hold_out(train, config.test, source.config.seed + 1)
    if not validation:
        train, validation = hold_out(train, config.validation, source.config.seed)

    return replace(
        data,
        fixed_test=fixed_test,
        in_time=tuple(data.classes[label] for label in sorted(in_time)),
        train=_separate_groups(train, in_time),
        validation=_separate_groups(validation, in_time),
        test=_separate_groups(test, in_time),
    )


def _separate_groups(samples: Iterable[Sample], labels: Collection[int]) -> tuple[Sample, ...]:
    """Make each sample of some classes its own group."""
    return tuple(replace(sample, group=sample.name) if sample.label in labels else sample for sample in samples)


def _find_class_folders(folder: Path) -> list[Path]:
    """List the folders in a folder, without links to the folder itself or its ancestors."""
    folders = (path for path in folder.iterdir() if path.is_dir() and not is_internal(Path(path.name)))
    ancestors = _find_ancestors(folder)
    return sorted(path for path in folders if path.resolve() not in ancestors)


def _find_ancestors(folder: Path) -> set[Path]:
    """Return a folder and its ancestors, with links resolved."""
    return {folder.resolve(), *folder.resolve().parents}


def _find_subfolder(root: Path, name: str) -> Path | None:
    return next((path for path in root.iterdir() if path.is_dir() and path.name.lower() == name), None)
