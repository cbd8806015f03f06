"""Data sets from folders of recordings and videos: one folder per class, or a label file beside each recording.

Samples are complete files, windows of them, or spans of a label file (`recording_file.py`). `open_folder` and
`open_labelled` list them, and `divide_parts` divides them into training, validation and test.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..base.errors import DataError, DvspipeError, count_noun
from ..base.files import is_internal
from ..base.yaml_files import shipped_configs
from ..events import SensorSize
from ..formats import FORMATS, has_plugin, is_recording_folder, is_unrelated_text, open_recording
from ..recordings.conversion import open_for_sensor
from ..recordings.sources import is_video
from ..results.labels import SUFFIX, read_labels
from ..results.splits import PARTS, SPLITS, Part, Splits, find_splits
from ..video.names import VIDEO_SUFFIXES, is_image_folder
from .config import OWN_KINDS, DataConfig
from .recording_file import RecordingFile, cut_samples
from .samples import DataSet, Sample, check_groups, draw_missing, is_synthetic, separate_few
from .source import DataSource
from .split import apply_split

SAMPLE_SUFFIXES = tuple(dict.fromkeys(suffix for known in FORMATS.values() for suffix in known.suffixes))


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


def open_folder(source: DataSource, classes: tuple[str, ...] = (), sensor: SensorSize | None = None) -> DataSet:
    """Return ROOT/<class>/<recording or video>, divided by ROOT/splits.csv; or the same in ROOT/train and ROOT/test.

    Args:
        source: Source of the data set.
        classes: Class names; empty: the names of the folders, or those in splits.csv.
        sensor: Sensor of files that do not store it, unless the configuration has one.
    """
    config = source.config
    sensor = config.given_sensor or sensor
    splits = None if isinstance(config.split, Path) else find_splits(source.root)
    if splits is not None:
        return _open_split(source, splits, classes or splits.classes, sensor)
    if isinstance(config.split, int):
        raise DataError(f"{source.root}: no {SPLITS} for split = {config.split}; use split=null")

    training = _find_subfolder(source.root, "train")
    testing = _find_subfolder(source.root, "test")
    if testing and not training:
        raise DataError(f"{source.root}: has a folder {testing.name} but no folder train")

    training = training or source.root
    classes = classes or tuple(path.name for path in _find_class_folders(training))
    if len(classes) < 2:
        loose = sum(is_loadable(path) for path in training.iterdir())
        beside = f", and {count_noun(loose, 'file')} beside them" if loose else ""
        counts = f"found {len(classes)}{beside}, expected 2 as <class>/<recording>"
        raise DataError(f"{training}: too few class folders ({counts})")

    if config.test_root is not None:
        testing = _find_subfolder(config.test_root, "test") or config.test_root
    train, warnings = list_class_folders(source, training, classes, sensor)
    test, more = list_class_folders(source, testing, classes, sensor) if testing else ([], [])

    data = _describe(source, "", classes, sensor, train)
    data = replace(data, warnings=(*warnings, *more, *data.warnings))
    return divide_parts(source, data, train, test)


def _describe(
    source: DataSource, suffix: str, classes: tuple[str, ...], sensor: SensorSize | None, samples: Sequence[Sample]
) -> DataSet:
    """Return a data set of a folder that has no samples yet; the sensor is known, or that of some samples."""
    size = source.config.input_size or sensor or find_sensor(source, samples)
    warnings = tuple(_warn_of_missing_sensor(source, samples, sensor))
    return DataSet(f"folder {source.root.name}{suffix}", classes, size, warnings=warnings)


def _open_split(source: DataSource, splits: Splits, classes: tuple[str, ...], sensor: SensorSize | None) -> DataSet:
    """Return the recordings of a published split; a part that it lacks is drawn from its training part."""
    root = source.root
    config = source.config
    number = config.split if isinstance(config.split, int) else splits.numbers[0]
    try:
        rows = splits.of(number)
    except DataError as error:
        raise error.named(str(root / SPLITS)) from error

    unknown = sorted({row.class_name for row in rows}.difference(classes))
    if unknown:
        raise DataError(f"{root / SPLITS}: unknown class {unknown[0]} (expected one of {', '.join(classes)})")

    missing = [row.file for row in rows if not (root / row.file).exists()]
    if missing:
        count = f"{len(missing):,} of {count_noun(len(rows), 'recording')} of split {number}"
        raise DataError(f"{root / SPLITS}: {count} are missing, such as {missing[0]}")

    # The group in the file is used unless `group` is set.
    parts: dict[Part, list[Sample]] = {part: [] for part in PARTS}
    for row in source.report(rows):
        recording = RecordingFile.of(source, root / row.file, sensor)
        for sample in cut_samples(source, recording, classes.index(row.class_name)):
            group = sample.group if config.group is not None else row.group or str(recording.path)
            parts[row.part].append(replace(sample, group=group))

    # Another test folder replaces the published test part.
    if config.test_root is not None:
        testing = _find_subfolder(config.test_root, "test") or config.test_root
        parts["test"], _ = list_class_folders(source, testing, classes, sensor)

    listed = [sample for samples in parts.values() for sample in samples]
    data = _describe(source, f", split {number}", classes, sensor, listed)
    warnings = (*data.warnings, *_warn_of_shared_groups(root, number, parts))
    data = replace(data, warnings=warnings, split=number)
    return divide_parts(source, data, parts["train"], parts["test"], parts["validation"])


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


def open_labelled(source: DataSource) -> DataSet:
    """Return recordings anywhere below ROOT with NAME_labels.csv beside them; each span of a label is a sample."""
    root = source.root
    test_root = source.config.test_root
    train = _list_spans(source, root)
    test = _list_spans(source, test_root) if test_root is not None else []

    # Numbers sort by value, before words.
    names = {name for name, _ in train}
    classes = tuple(sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))
    if len(classes) < 2:
        raise DataError(f"{root}: the label files name {len(classes)} class (expected at least 2)")

    for name, sample in test:
        if name not in names:
            raise DataError(f"{sample.name}: unknown class {name} (expected one of {', '.join(classes)})")

    parts = [[replace(sample, label=classes.index(name)) for name, sample in spans] for spans in (train, test)]
    return divide_parts(source, _describe(source, "", classes, source.config.given_sensor, parts[0]), *parts)


def _list_spans(source: DataSource, folder: Path) -> list[tuple[str, Sample]]:
    """Return the samples of all label files below a folder, each with the name of its class; all labels are 0."""
    samples = []
    for labels in source.report(sorted(folder.rglob(f"*{SUFFIX}"))):
        recording = RecordingFile.of(source, find_recording(labels), source.config.given_sensor)
        for label in read_labels(labels):
            spans = cut_samples(source, recording, 0, label.t_start_us, label.t_end_us)
            samples += [(label.class_name, sample) for sample in spans]

    if not samples:
        raise DataError(f"{folder}: no labels found (expected NAME{SUFFIX} beside NAME.SUFFIX)")
    return samples


def find_recording(labels: Path) -> Path:
    """Find the recording or video beside a label file."""
    stem = labels.name.removesuffix(SUFFIX)
    recordings = [path for path in sorted(labels.parent.glob(f"{stem}.*")) if is_loadable(path)]
    if len(recordings) != 1:
        names = ", ".join(path.name for path in recordings) or "none"
        raise DataError(f"{labels}: no single recording for the labels (found {names}, expected one {stem}.SUFFIX)")
    return recordings[0]


def find_sensor(source: DataSource, samples: Iterable[Sample]) -> SensorSize:
    """Find the sensor of the first readable file."""
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
    """Yield a warning if the first recording is fitted to a size, but does not store its sensor."""
    config = source.config
    file = samples[0].file
    if config.input_size is None or config.fit is not None or sensor is not None or file is None or is_video(file):
        return

    try:
        recording = open_recording(file, config)
    except DvspipeError:
        return  # the error is raised when all recordings are read
    if recording.sensor_source == "guessed" and recording.sensor != config.input_size:
        yield (
            f"{file}: does not name its sensor; its events fit {recording.sensor} (size = {config.input_size}); set "
            f"the sensor of the recordings, such as sensor={recording.sensor} fit=scale"
        )


def is_loadable(path: Path) -> bool:
    """Return whether a path is a recording or video by its name: not hidden, and not a text file of words."""
    if is_internal(Path(path.name)):
        return False
    if path.is_dir():
        return is_recording_folder(path) or is_image_folder(path)

    is_known = is_sample_suffix(path.suffix) or path.suffix.lower() in VIDEO_SUFFIXES
    is_hidden = path.name.startswith(".") or path.name.endswith(SUFFIX)
    return is_known and not is_hidden and not is_unrelated_text(path)


def is_sample_suffix(suffix: str) -> bool:
    """Return whether files with a suffix are recordings that can be samples."""
    return suffix.lower() in SAMPLE_SUFFIXES or has_plugin(suffix)


def list_class_folders(
    source: DataSource, folder: Path, classes: Sequence[str], sensor: SensorSize | None
) -> tuple[list[Sample], list[str]]:
    """Return the samples in the class folders of a folder, and a warning about recordings that are not read.

    Raises:
        DataError: If there are no class folders, or some are unknown or have no recordings.
    """
    labelled: list[tuple[Path, int]] = []
    problems = []
    nested: list[Path] = []
    for class_folder in _find_class_folders(folder):
        if class_folder.name not in classes:
            problems.append(f"{class_folder}: unknown class folder (expected one of {', '.join(classes)})")
            continue

        inside = sorted(class_folder.iterdir())
        files = [path for path in inside if is_loadable(path)]
        for path in set(inside).difference(files):
            # A link may lead back to a folder that contains it, or to another class.
            if path.is_dir() and not path.is_symlink() and not is_internal(Path(path.name)):
                nested += filter(is_loadable, path.rglob("*"))

        # A video beside a recording of the same name shows the same scene.
        recorded = {path.stem for path in files if is_sample_suffix(path.suffix)}
        files = [path for path in files if path.stem not in recorded or path.suffix.lower() not in VIDEO_SUFFIXES]
        if not files:
            problems.append(f"{class_folder}: no recordings ({', '.join(SAMPLE_SUFFIXES)}) or videos found")
        labelled += [(file, classes.index(class_folder.name)) for file in files]

    if problems or not labelled:
        raise DataError("; ".join(problems) or f"{folder}: no class folders found (expected <class>/<recording>)")

    samples = []
    for file, label in source.report(labelled):
        samples += cut_samples(source, RecordingFile.of(source, file, sensor), label)

    unread = f"{folder}: folders below class folders are not read: {len(nested)} recordings, such as "
    return samples, [f"{unread}{min(nested)}"] if nested else []


def _find_class_folders(folder: Path) -> list[Path]:
    """List the folders in a folder, without links to the folder itself or its ancestors."""
    ancestors = {folder.resolve(), *folder.resolve().parents}
    folders = (path for path in folder.iterdir() if path.is_dir() and not is_internal(Path(path.name)))
    return sorted(path for path in folders if path.resolve() not in ancestors)


def _find_subfolder(root: Path, name: str) -> Path | None:
    return next((path for path in root.iterdir() if path.is_dir() and path.name.lower() == name), None)


def divide_parts(
    source: DataSource,
    data: DataSet,
    train: Sequence[Sample],
    test: Sequence[Sample],
    validation: Sequence[Sample] = (),
) -> DataSet:
    """Divide a data set into parts: as in the split.json of an earlier run, or at random."""
    config = source.config
    tested = config.test_root or source.root
    data = replace(data, synthetic=is_synthetic(source.root), synthetic_test=is_synthetic(tested))

    # Recordings of a group, or the windows of a recording, stay together if there are enough groups for all parts.
    few: set[int] = set()
    if config.data in OWN_KINDS and config.group is None and data.split is None:
        train, few = separate_few(train, 1 + (not test) + (not validation and config.validation > 0))
    if isinstance(config.split, Path):
        return data.with_parts(apply_split(config.split, [*train, *validation, *test], source.root))

    # A published split is used as it is; its data set has a warning instead.
    if data.split is None:
        check_groups([*train, *validation], test)
        check_groups(train, validation)

    in_time = tuple(data.classes[label] for label in sorted(few))
    data = replace(data, fixed_test=bool(test), in_time=in_time)
    parts: dict[Part, Sequence[Sample]] = {"train": train, "validation": validation, "test": test}
    return data.with_parts(draw_missing(parts, config, few))
