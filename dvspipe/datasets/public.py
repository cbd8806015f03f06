"""Public data sets in their original layouts, complete or partial: N-MNIST and DVS128 Gesture.

Tonic's own classes are used only for downloads, because they reject partial copies and download them again.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..base.errors import DataError
from ..base.gestures import GESTURES
from ..events import GESTURE_SENSOR, SensorSize
from ..formats import Hints, read
from ..results.labels import SUFFIX, read_labels
from .folders import divide_parts, find_recording, list_class_folders
from .mnist import DIGIT_CLASSES
from .recording_file import RecordingFile, cut_samples
from .samples import DataSet, Sample, version_of_file
from .source import DataSource
from .tonic import TonicRecipe

NMNIST_SENSOR = SensorSize(width=34, height=34)
TONIC_FOLDERS = {"train": "ibmGestureTrain", "test": "ibmGestureTest"}
IBM_LISTS = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}
LAST_TRAINING_USER = 23  # last training user of DVS128 Gesture, if IBM's lists are missing
TONIC_HINTS = Hints(columns="xypt", time_unit="ms", sensor=str(GESTURE_SENSOR))


def open_nmnist(source: DataSource) -> DataSet:
    """Return N-MNIST (Orchard et al. 2015) in its original folders, or in NMNIST/ as Tonic stores it."""
    root = _find_nmnist(source, source.root)
    train = _list_digits(source, root / "Train")
    test = _list_digits(source, root / "Test")

    if source.config.test_root is not None:
        other = _find_nmnist(source, source.config.test_root)
        _check_images(root, other)
        test = _list_digits(source, other / "Train") + _list_digits(source, other / "Test")

    return divide_parts(source, DataSet("N-MNIST", DIGIT_CLASSES, NMNIST_SENSOR), train, test)


def _check_images(root: Path, test_root: Path) -> None:
    """Check that no MNIST image is in both folders."""
    trained, tested = (
        {path.stem.lstrip("0"): path for path in (folder / "Train").glob("*/*.bin")} for folder in (root, test_root)
    )
    for image in tested.keys() & trained.keys():
        raise DataError(
            f"{tested[image]}: test recording of the same MNIST image as the training recording {trained[image]}"
            f"; use exclude={test_root} to record synthetic digits without such images"
        )


def _list_digits(source: DataSource, folder: Path) -> list[Sample]:
    return list_class_folders(source, folder, DIGIT_CLASSES, NMNIST_SENSOR)[0] if folder.is_dir() else []


def _find_nmnist(source: DataSource, root: Path) -> Path:
    """Return the folder with the folder Train, downloaded if it is missing and the settings say so."""
    tried = (root, root / "NMNIST")
    if source.config.download and not any((folder / "Train").is_dir() for folder in tried):
        _download("NMNIST", root)

    for folder in tried:
        if (folder / "Train").is_dir():
            return folder

    raise DataError(
        f"{root}: no folder Train with the digits 0 to 9 found; unpack train.zip and test.zip of N-MNIST "
        f"(https://www.garrickorchard.com/datasets/n-mnist) to create {root / 'Train' / '0' / '00002.bin'}"
        "; use download to download it"
    )


def open_dvs_gesture(source: DataSource) -> DataSet:
    """Return DVS128 Gesture (Amir et al. 2017): IBM's recordings cut by their label files, or Tonic's clips."""
    parts, title = _list_gesture_parts(source, source.root)
    if source.config.test_root is not None:
        other, _ = _list_gesture_parts(source, source.config.test_root)
        parts["test"] = [*other["train"], *other["test"]]

    users = {sample.group for sample in parts["test"]}
    tested = f"{len(parts['test'])} test clips of {len(users)} users" if users else "no test part of its own"
    data = DataSet(f"DVS128 Gesture, {title}; {tested}", GESTURES, GESTURE_SENSOR)
    return divide_parts(source, data, parts["train"], parts["test"])


def _list_gesture_parts(source: DataSource, root: Path) -> tuple[dict[str, list[Sample]], str]:
    """Return the samples of each part, and a short description of where they come from."""
    folder = _find_gestures(root)
    if folder is None and source.config.download:
        _download("DVSGesture", root)
        folder = _find_gestures(root)
    if folder is None:
        raise DataError(
            f"{root}: no DVS128 Gesture found; unpack IBM's DvsGesture.tar.gz (https://research.ibm.com/dvsgesture) "
            f"to create {root / 'DvsGesture' / 'user01_fluorescent.aedat'}, or Tonic's ibmGestureTrain.tar.gz to "
            f"create {root / 'DVSGesture' / TONIC_FOLDERS['train']}; use download to download it"
        )

    if any((folder / name).is_dir() for name in TONIC_FOLDERS.values()):
        return {part: _list_tonic_clips(folder / name) for part, name in TONIC_FOLDERS.items()}, "Tonic's clips"

    # All recordings of a user belong to one part: without `group`, the user's number is the group.
    if source.config.group is None:
        source = replace(source, config=source.config.model_copy(update={"group": r"^user\d+"}))
    return _list_ibm_clips(source, folder), "IBM's recordings cut by its labels"


def _find_gestures(root: Path) -> Path | None:
    """Find the folder with one of the two layouts: the root, or a folder in it."""
    for folder in (root, root / "DVSGesture", root / "DvsGesture"):
        tonics = any((folder / name).is_dir() for name in TONIC_FOLDERS.values())
        if tonics or (folder.is_dir() and any(folder.glob(f"user*{SUFFIX}"))):
            return folder
    return None


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


def _list_ibm_clips(source: DataSource, folder: Path) -> dict[str, list[Sample]]:
    """Return the labelled spans of IBM's recordings, divided as in its two lists or, without them, by user."""
    listed = {part: _read_list(folder / name) for part, name in IBM_LISTS.items()}
    parts: dict[str, list[Sample]] = {part: [] for part in IBM_LISTS}
    for labels in sorted(folder.glob(f"user*{SUFFIX}")):
        file = find_recording(labels)

        # Without the lists, the first 23 of 29 users train, as in them. A trial may be in neither list.
        part = next((part for part, names in listed.items() if file.name in names), None)
        if not all(listed.values()):
            digits = "".join(filter(str.isdecimal, file.name.partition("_")[0]))
            part = "train" if digits and int(digits) <= LAST_TRAINING_USER else "test"
        if part is None:
            continue

        recording = RecordingFile.of(source, file, GESTURE_SENSOR)
        for label in read_labels(labels):
            name = label.class_name
            if not (name.isdecimal() and 1 <= int(name) <= len(GESTURES)):
                raise DataError(f"{labels}: unknown class {name} (expected 1 to {len(GESTURES)})")
            parts[part] += cut_samples(source, recording, int(name) - 1, label.t_start_us, label.t_end_us)

    return parts


def _read_list(path: Path) -> set[str]:
    """Return the names in one of IBM's lists; none if the list is missing."""
    return set(path.read_text(encoding="utf-8", errors="replace").split()) if path.is_file() else set()


def _download(name: str, root: Path) -> None:
    """Download and unpack a data set with Tonic; Tonic verifies checksums."""
    # Tonic downloads training and test files separately.
    for train in (True, False):
        TonicRecipe(name, root / name, json.dumps({"train": train}), download=True).make()
