"""Data sets from recordings and videos: one folder per class, a label file beside each recording, or a list.

Samples are complete files, windows of them, or spans of a label file (`source.py`).
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..base.errors import DataError, DvspipeError, brief, count_noun
from ..base.files import is_internal
from ..events import Events, SensorSize, SensorSizeLike
from ..formats import FORMATS, has_plugin, is_recording_folder, is_unrelated_text, open_recording
from ..formats.hints import Images
from ..framing import FramingConfig
from ..recordings.conversion import open_for_sensor
from ..recordings.sources import is_film, is_video
from ..results.labels import SUFFIX, read_labels
from ..results.splits import PARTS, SPLITS, Part, Splits, find_splits
from ..video.names import VIDEO_SUFFIXES
from .cache import Cache, default_cache
from .config import DataConfig
from .samples import DataSet, Sample, find_label, name_classes, version_of_events
from .source import DataSource, RecordingFile, cut_samples

SAMPLE_SUFFIXES = tuple(dict.fromkeys(suffix for known in FORMATS.values() for suffix in known.suffixes))


def folder_config(source: str | Path) -> DataConfig:
    """Return the settings of a folder of recordings: its kind and its path."""
    root = Path(source).expanduser()
    return DataConfig(data="labelled" if _find_labels(root) else "folder", root=root)


def _find_labels(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob(f"*{SUFFIX}")) if not is_internal(path.relative_to(folder))]


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
    title = f"folder {source.root.name}"
    number = None
    parts: dict[Part, list[Sample]] = {}
    folders: dict[Part, Path] = {}

    if splits is not None:
        number = config.split if isinstance(config.split, int) else splits.numbers[0]
        title += f", split {number}"
        classes = classes or splits.classes
        parts = _list_split(source, splits, number, classes, sensor)
    elif isinstance(config.split, int):
        raise DataError(f"{source.root}: no {SPLITS} for split = {config.split}; use split=null")
    else:
        folders = _find_parts(source.root)
        classes = classes or _name_classes(folders["train"])

    # Another test folder replaces the test part.
    if config.test_root is not None:
        folders["test"] = _find_subfolder(config.test_root, "test") or config.test_root

    parts |= {part: list_class_folders(source, folder, classes, sensor) for part, folder in folders.items()}
    data = DataSet(title, classes, _find_size(source, sensor, parts), split=number)
    return _note_unread(source, data.with_parts(parts))


def _find_parts(root: Path) -> dict[Part, Path]:
    """Return the folders of the training and, if there is one, the test part."""
    training = _find_subfolder(root, "train")
    testing = _find_subfolder(root, "test")
    if testing is None:
        return {"train": training or root}
    if training is None:
        raise DataError(f"{root}: has a folder {testing.name} but no folder train")
    return {"train": training, "test": testing}


def _name_classes(folder: Path) -> tuple[str, ...]:
    """Return the names of the class folders of a folder."""
    classes = tuple(path.name for path in _list_folders(folder))
    if len(classes) < 2:
        loose = count_noun(sum(is_loadable(path) for path in folder.iterdir()), "file")
        found = f"found {len(classes)}, and {loose} beside them, expected 2 as <class>/<recording>"
        raise DataError(f"{folder}: too few class folders ({found})")
    return classes


def _find_size(source: DataSource, sensor: SensorSize | None, parts: Mapping[Part, Iterable[Sample]]) -> SensorSize:
    """Return the size that recordings are fitted to, or their sensor: the known one, or that of a training file."""
    files = (sample.file for sample in parts["train"])
    return source.config.input_size or sensor or find_sensor(files, source.config)


def find_sensor(files: Iterable[Path | None], config: DataConfig) -> SensorSize:
    """Find the sensor of the first readable file."""
    # The first error explains the problem, if no file can be read.
    first: DvspipeError | None = None
    for file in dict.fromkeys(filter(None, files)):
        try:
            return open_for_sensor(file, config).size if is_video(file) else open_recording(file, config).sensor
        except DvspipeError as error:
            first = first or error

    raise first or DataError("no recordings")


def _list_split(
    source: DataSource, splits: Splits, number: int, classes: tuple[str, ...], sensor: SensorSize | None
) -> dict[Part, list[Sample]]:
    """Return the recordings of each part of a published split."""
    path = source.root / SPLITS
    try:
        rows = splits.of(number)
    except DataError as error:
        raise error.named(str(path)) from error

    unknown = sorted({row.class_name for row in rows}.difference(classes))
    if unknown:
        raise DataError(f"{path}: unknown class {unknown[0]} (expected one of {', '.join(classes)})")

    missing = [row.file for row in rows if not (source.root / row.file).exists()]
    if missing:
        count = f"{len(missing):,} of {count_noun(len(rows), 'recording')} of split {number}"
        raise DataError(f"{path}: {count} are missing, such as {missing[0]}")

    # The group in the file is used unless `group` is set.
    parts: dict[Part, list[Sample]] = {part: [] for part in PARTS}
    for row in source.report(rows):
        recording = RecordingFile.of(source, source.root / row.file, sensor)
        for sample in cut_samples(source, recording, classes.index(row.class_name)):
            group = sample.group if source.config.group is not None else row.group or str(recording.path)
            parts[row.part].append(replace(sample, group=group))
    return parts


def list_class_folders(
    source: DataSource, folder: Path, classes: Sequence[str], sensor: SensorSize | None
) -> list[Sample]:
    """Return the samples in the class folders of a folder.

    Raises:
        DataError: If there are no class folders, or some are unknown or have no recordings.
    """
    files: list[tuple[Path, int]] = []
    unknown: list[str] = []
    empty: list[str] = []
    problems: list[str] = []
    for class_folder in _list_folders(folder):
        if class_folder.name not in classes:
            unknown.append(str(class_folder))
            continue

        # Images in a class folder are one film only on request: they may be pictures of many scenes.
        is_one = is_film(class_folder, source.config.images) and source.config.images == "frames"
        is_member = partial(is_loadable, images=source.config.images)
        inside = [class_folder] if is_one else sorted(filter(is_member, class_folder.iterdir()))

        # A video beside its recording, which `convert` names a.h5 or a.mp4.h5, shows the same scene.
        recorded = {path.stem for path in inside if _is_sample_suffix(path.suffix)}
        films = {path for path in inside if path.suffix.lower() in VIDEO_SUFFIXES and recorded & {path.stem, path.name}}
        chosen = [path for path in inside if path not in films]
        files += [(file, classes.index(class_folder.name)) for file in chosen]
        if not chosen:
            empty.append(str(class_folder))

        # Converted to two formats, a recording would be trained on and tested.
        stems = Counter(path.stem for path in chosen if _is_sample_suffix(path.suffix))
        for stem in (stem for stem, count in stems.items() if count > 1):
            twins = " and ".join(path.name for path in chosen if path.stem == stem)
            problems.append(f"{class_folder}: recordings of one name (found {twins}); remove or rename all but one")

    if unknown:
        problems.append(f"{', '.join(unknown)}: unknown class (expected one of {', '.join(classes)})")
    if empty:
        problems.append(f"{', '.join(empty)}: no recordings ({', '.join(SAMPLE_SUFFIXES)}) or videos found")
    if problems or not files:
        raise DataError("; ".join(problems) or f"{folder}: no class folders found (expected <class>/<recording>)")

    samples = []
    for file, label in source.report(files):
        samples += cut_samples(source, RecordingFile.of(source, file, sensor), label)
    return samples


def _note_unread(source: DataSource, data: DataSet) -> DataSet:
    """Return a data set with a warning for each folder that has files that are not in it."""
    samples = {sample.file for sample in data.samples}
    warnings = []
    for folder in filter(None, (source.root, source.config.test_root)):
        files = (path for path in folder.rglob("*") if path.is_file() and not samples & {path, path.parent})
        unread = [
            path
            for path in files
            if not is_internal(path.relative_to(folder)) and not path.name.endswith(SUFFIX)
            if path.parent != folder or is_loadable(path)  # lists and notes are beside the classes
        ]
        if unread:
            warnings.append(f"{folder}: {count_noun(len(unread), 'file')} not read, such as {min(unread)}")
    return replace(data, warnings=tuple(warnings))


def _list_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_internal(Path(path.name)))


def _find_subfolder(root: Path, name: str) -> Path | None:
    return next((path for path in root.iterdir() if path.is_dir() and path.name.lower() == name), None)


def is_loadable(path: Path, images: Images | None = None) -> bool:
    """Return whether a path is a recording or video by its name: not hidden, and not a text file of words."""
    if is_internal(Path(path.name)) or path.name.endswith(SUFFIX):
        return False
    if path.is_dir():
        return is_recording_folder(path) or is_film(path, images)

    is_known = _is_sample_suffix(path.suffix) or path.suffix.lower() in VIDEO_SUFFIXES
    return is_known and not is_unrelated_text(path)


def _is_sample_suffix(suffix: str) -> bool:
    return suffix.lower() in SAMPLE_SUFFIXES or has_plugin(suffix)


def open_labelled(source: DataSource) -> DataSet:
    """Return recordings anywhere below ROOT with NAME_labels.csv beside them; each span of a label is a sample."""
    test_root = source.config.test_root
    spans: dict[Part, list[tuple[str, Sample]]] = {"train": _list_spans(source, source.root)}
    if test_root is not None:
        spans["test"] = _list_spans(source, test_root)

    # Numbers sort by value, before words.
    names = {name for name, _ in spans["train"]}
    classes = tuple(sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))
    if len(classes) < 2:
        raise DataError(f"{source.root}: the label files name {len(classes)} class (expected at least 2)")

    parts = {
        part: [replace(sample, label=find_label(sample.name, name, classes)) for name, sample in labelled]
        for part, labelled in spans.items()
    }
    size = _find_size(source, source.config.given_sensor, parts)
    return _note_unread(source, DataSet(f"folder {source.root.name}", classes, size).with_parts(parts))


def _list_spans(source: DataSource, folder: Path) -> list[tuple[str, Sample]]:
    """Return the samples of all label files below a folder, each with the name of its class; all labels are 0."""
    samples = []
    for labels in source.report(_find_labels(folder)):
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


def from_recordings(
    recordings: Iterable[tuple[Events | str | Path, int | str]],
    *,
    classes: Sequence[str] | None = None,
    sensor: SensorSizeLike | None = None,
) -> DataSet:
    """Create a data set from recordings and labels; all are in the training part.

    Args:
        recordings: Pairs of a recording (events, or the path of a recording or video) and its label: the name of
            its class, or an integer >= 0.
        classes: Class names in the order of the labels. None: the given names, sorted; or "0", "1", ... for integers.
        sensor: Sensor of files that do not store it.

    Raises:
        DataError: If `recordings` is empty, or a label is not one of the classes.
        DvspipeError: If no file can be opened.

    Example:
        >>> events = Events([0, 10], [3, 4], [1, 1], [True, False], "12x7")
        >>> data = from_recordings([(events, 0), (events, 2)])
        >>> data.classes, str(data.sensor), len(data.train)
        (('0', '1', '2'), '12x7', 2)
        >>> from_recordings([(events, "wave"), (events, "clap")]).classes
        ('clap', 'wave')
    """
    pairs = list(recordings)
    wrong = [pair for pair in pairs if not isinstance(pair, tuple | list) or len(pair) != 2]
    if wrong or not pairs:
        raise DataError(f"recordings: found {brief(wrong[0]) if wrong else 'none'}, expected (recording, label)")

    known = None if sensor is None else SensorSize.of(sensor)
    labels = [label if isinstance(label, str) else operator.index(label) for _, label in pairs]  # also NumPy's
    names = name_classes(labels) if classes is None else tuple(classes)
    samples = tuple(
        _sample_of(number, recording, find_label(f"recording {number}", label, names), known)
        for number, ((recording, _), label) in enumerate(zip(pairs, labels, strict=True))
    )

    # Events in memory have a sensor; of files, the first readable one is asked.
    first, _ = pairs[0]
    if known is None and isinstance(first, Events):
        known = first.sensor
    known = known or find_sensor((sample.file for sample in samples), DataConfig())
    return DataSet(f"{len(samples)} recordings", names, known, train=samples)


def _sample_of(number: int, recording: Events | str | Path, label: int, sensor: SensorSize | None) -> Sample:
    if isinstance(recording, Events):
        name = f"recording {number}"
        load = partial(_identity, recording)
        return Sample(name, label, name, load, partial(version_of_events, load))

    framing = FramingConfig() if sensor is None else FramingConfig(sensor=str(sensor))
    file = RecordingFile(Path(recording), framing, None, Cache(default_cache()))
    return Sample(str(recording), label, str(recording), file.load, file.version, file=file.path)


def _identity(events: Events) -> Events:
    return events
