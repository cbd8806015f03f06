"""Public data sets in their original layouts, complete or partial: N-MNIST and DVS128 Gesture.

Tonic's own classes are used only for downloads, because they reject partial copies and download them again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..base.errors import DataError
from ..base.gestures import GESTURES
from ..events import GESTURE_SENSOR, SensorSize
from ..formats import Hints, read
from ..results.labels import SUFFIX, read_labels
from ..results.splits import Part
from .folders import find_recording, list_class_folders
from .mnist import DIGIT_CLASSES
from .samples import DataSet, Sample, version_of_file
from .source import DataSource, RecordingFile, cut_samples
from .tonic import TonicRecipe

Parts = dict[Part, list[Sample]]

DIGIT_FOLDERS: dict[Part, str] = {"train": "Train", "test": "Test"}
NMNIST_SENSOR = SensorSize(width=34, height=34)
TONIC_FOLDERS: dict[Part, str] = {"train": "ibmGestureTrain", "test": "ibmGestureTest"}
LAST_TRAINING_USER = 23  # last training user of DVS128 Gesture
TONIC_HINTS = Hints(columns="xypt", time_unit="ms", sensor=str(GESTURE_SENSOR))


def open_nmnist(source: DataSource) -> DataSet:
    """Return N-MNIST (Orchard et al. 2015) in its original folders, or in NMNIST/ as Tonic stores it."""
    parts = _list_digits(source, source.root)
    if source.config.test_root is not None:
        other = _list_digits(source, source.config.test_root)
        if source.config.group is None:
            parts["train"], other["train"] = (_group_by_image(listed["train"]) for listed in (parts, other))
        parts["test"] = [*other["train"], *other["test"]]
    return DataSet("N-MNIST", DIGIT_CLASSES, NMNIST_SENSOR).with_parts(parts)


def _list_digits(source: DataSource, root: Path) -> Parts:
    """Return the samples of each part; a part without a folder has none."""
    folder = _find_folder(source, "NMNIST", (root, root / "NMNIST"), ("Train",))
    if folder is None:
        raise DataError(
            f"{root}: no folder Train with the digits 0 to 9 found; unpack train.zip and test.zip of N-MNIST "
            f"(https://www.garrickorchard.com/datasets/n-mnist) to create {root / 'Train' / '0' / '00002.bin'}"
            "; use download=true to download it"
        )

    parts: Parts = {part: [] for part in DIGIT_FOLDERS}
    for part, name in DIGIT_FOLDERS.items():
        if (folder / name).is_dir():
            parts[part] = list_class_folders(source, folder / name, DIGIT_CLASSES, NMNIST_SENSOR)
    return parts


def _group_by_image(samples: list[Sample]) -> list[Sample]:
    """Return training recordings grouped by their MNIST image: synthetic digits may show the images of real ones."""
    return [replace(sample, group=f"image {Path(sample.name).stem.zfill(6)}") for sample in samples]


def open_dvs_gesture(source: DataSource) -> DataSet:
    """Return DVS128 Gesture (Amir et al. 2017): IBM's recordings cut by their label files, or Tonic's clips."""
    parts, title = _list_gestures(source, source.root)
    if source.config.test_root is not None:
        other, _ = _list_gestures(source, source.config.test_root)
        parts["test"] = [*other["train"], *other["test"]]

    users = {sample.group for sample in parts["test"]}
    tested = f"{len(parts['test'])} test clips of {len(users)} users" if users else "no test part of its own"
    return DataSet(f"DVS128 Gesture, {title}; {tested}", GESTURES, GESTURE_SENSOR).with_parts(parts)


def _list_gestures(source: DataSource, root: Path) -> tuple[Parts, str]:
    """Return the samples of each part, and a short description of where they come from."""
    tried = (root, root / "DVSGesture", root / "DvsGesture")
    folder = _find_folder(source, "DVSGesture", tried, (*TONIC_FOLDERS.values(), f"user*{SUFFIX}"))
    if folder is None:
        raise DataError(
            f"{root}: no DVS128 Gesture found; unpack IBM's DvsGesture.tar.gz (https://research.ibm.com/dvsgesture) "
            f"to create {root / 'DvsGesture' / 'user01_fluorescent.aedat'}, or Tonic's ibmGestureTrain.tar.gz to "
            f"create {root / 'DVSGesture' / TONIC_FOLDERS['train']}; use download=true to download it"
        )

    if any((folder / name).is_dir() for name in TONIC_FOLDERS.values()):
        return {part: _list_tonic_clips(folder / name) for part, name in TONIC_FOLDERS.items()}, "Tonic's clips"

    # All recordings of a user belong to one part: without `group`, the user's number is the group.
    if source.config.group is None:
        source = replace(source, config=source.config.model_copy(update={"group": r"^user\d+"}))
    return _list_ibm_clips(source, folder), "IBM's recordings cut by its labels"


def _list_tonic_clips(folder: Path) -> list[Sample]:
    """List the clips FOLDER/<user>_<light>/<label>.npy."""
    samples = []
    for file in sorted(folder.glob("*/*.npy")):
        if not (file.stem.isdecimal() and int(file.stem) < len(GESTURES)):
            raise DataError(f"{file}: the name is not a label (expected 0 to {len(GESTURES) - 1})")

        user = file.parent.name.partition("_")[0]
        load = partial(read, file, hints=TONIC_HINTS)
        samples.append(Sample(str(file), int(file.stem), user, load, partial(version_of_file, file)))
    return samples


def _list_ibm_clips(source: DataSource, folder: Path) -> Parts:
    """Return the labelled spans of IBM's recordings; as in its two lists, the first 23 of 29 users train."""
    parts: Parts = {"train": [], "test": []}
    for labels in sorted(folder.glob(f"user*{SUFFIX}")):
        file = find_recording(labels)
        digits = "".join(filter(str.isdecimal, file.name.partition("_")[0]))
        part: Part = "train" if digits and int(digits) <= LAST_TRAINING_USER else "test"

        recording = RecordingFile.of(source, file, GESTURE_SENSOR)
        for label in read_labels(labels):
            name = label.class_name
            if not (name.isdecimal() and 1 <= int(name) <= len(GESTURES)):
                raise DataError(f"{labels}: unknown class {name} (expected 1 to {len(GESTURES)})")
            parts[part] += cut_samples(source, recording, int(name) - 1, label.t_start_us, label.t_end_us)

    return parts


def _find_folder(source: DataSource, name: str, tried: Sequence[Path], patterns: Sequence[str]) -> Path | None:
    """Return the first folder that has one of the patterns, downloaded by Tonic if it is missing and may be."""

    def find() -> Path | None:
        found = (folder for folder in tried for pattern in patterns if next(folder.glob(pattern), None))
        return next(found, None)

    # Tonic downloads training and test files separately, and verifies their checksums.
    if find() is None and source.config.download:
        for train in (True, False):
            TonicRecipe(name, tried[0] / name, json.dumps({"train": train}), download=True).make()
    return find()
