"""Public data sets in their native layouts, complete or in part: N-MNIST and DVS128 Gesture.

Tonic's own classes refuse partial copies and download instead; they are used for the download alone.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, FormatError
from ..events import Events, SensorSize
from ..synthesis import GESTURE_SENSOR, GESTURES
from .cache import Cache
from .config import DataConfig
from .folders import class_folders, in_parts, recording_of, sample_of_span
from .labels import SUFFIX, read_labels
from .samples import DataSet, Sample, version_of_file

NMNIST_CLASSES = tuple(str(digit) for digit in range(10))
NMNIST_SENSOR = SensorSize(width=34, height=34)
TONIC_FOLDERS = {"train": "ibmGestureTrain", "test": "ibmGestureTest"}
IBM_LISTS = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}
TONIC_TIME_US = 1000  # Tonic's copy of DVS Gesture has times of a millisecond


def open_nmnist(config: DataConfig, root: Path, cache: Cache | None, seed: int) -> DataSet:
    """N-MNIST (Orchard et al. 2015) in its native folders, or below NMNIST/ as Tonic puts it."""
    root = _nmnist_root(config, root)
    train = class_folders(config, root / "Train", NMNIST_CLASSES, NMNIST_SENSOR, cache)
    test = _nmnist_part(config, root / "Test", cache)
    if config.test_root is not None:
        other = _nmnist_root(config, config.test_root)
        _check_images(root, other)
        test = [*_nmnist_part(config, other / "Train", cache), *_nmnist_part(config, other / "Test", cache)]
    return in_parts(config, seed, "N-MNIST", NMNIST_CLASSES, NMNIST_SENSOR, train, test)


def _check_images(root: Path, test_root: Path) -> None:
    """Makes sure that no image of MNIST is learned from in one recording and tested on in another.

    Raises:
        DataError: One is.
    """
    files = ({path.stem.lstrip("0"): path for path in (at / "Train").glob("*/*.bin")} for at in (root, test_root))
    learned, tested = files
    for image in tested.keys() & learned.keys():
        raise DataError(
            f"{tested[image]}: shows the image of MNIST that {learned[image]} does, which is learned from; "
            f"dvspipe synth nmnist --exclude {test_root} leaves such images out"
        )


def _nmnist_part(config: DataConfig, folder: Path, cache: Cache | None) -> list[Sample]:
    return class_folders(config, folder, NMNIST_CLASSES, NMNIST_SENSOR, cache) if folder.is_dir() else []


def _nmnist_root(config: DataConfig, root: Path) -> Path:
    def found() -> Path | None:
        return next((place for place in (root, root / "NMNIST") if (place / "Train").is_dir()), None)

    place = found()
    if place is None and config.download:
        _download("NMNIST", root)
        place = found()
    if place is None:
        raise DataError(
            f"{root}: holds no folder Train with the digits 0 to 9. Unpack train.zip and test.zip of N-MNIST "
            f"(https://www.garrickorchard.com/datasets/n-mnist) there, so that {root / 'Train' / '0' / '00002.bin'} is "
            "one of the files, or set data.download=true"
        )
    return place


def open_dvs_gesture(config: DataConfig, root: Path, cache: Cache | None, seed: int) -> DataSet:
    """DVS128 Gesture (Amir et al. 2017): IBM's recordings with their label files, or the clips that Tonic offers."""
    parts, title = _gesture_parts(config, root, cache)
    if config.test_root is not None:
        other, _ = _gesture_parts(config, config.test_root, cache)
        parts["test"] = [*other["train"], *other["test"]]
    users = sorted({sample.group for sample in parts["test"]})
    tested = f"test clips of {len(users)} users" if users else "no test part of its own"
    count = len(parts["test"])
    title = f"DVS128 Gesture, {title}; {f'{count} ' if count else ''}{tested}"
    return in_parts(config, seed, title, GESTURES, GESTURE_SENSOR, parts["train"], parts["test"])


def _gesture_parts(config: DataConfig, root: Path, cache: Cache | None) -> tuple[dict[str, list[Sample]], str]:
    """The samples of each part, and a few words on where they come from."""
    place = _gesture_folder(root)
    if place is None and config.download:
        _download("DVSGesture", root)
        place = _gesture_folder(root)
    if place is None:
        clip = root / "DVSGesture" / TONIC_FOLDERS["train"] / "user01_fluorescent" / "0.npy"
        raise DataError(
            f"{root}: holds no DVS128 Gesture. Unpack IBM's DvsGesture.tar.gz (https://research.ibm.com/dvsgesture) "
            f"there, so that {root / 'DvsGesture' / 'user01_fluorescent.aedat'} is one of the files, or Tonic's "
            f"ibmGestureTrain.tar.gz and ibmGestureTest.tar.gz, so that {clip} is; or set data.download=true"
        )
    if any((place / name).is_dir() for name in TONIC_FOLDERS.values()):
        return {part: _tonic_clips(place / name) for part, name in TONIC_FOLDERS.items()}, "Tonic's clips (1 ms)"
    config = config if config.group else config.model_copy(update={"group": r"^user\d+"})
    return _ibm_clips(config, place, cache), "IBM's recordings cut by its labels"


def _gesture_folder(root: Path) -> Path | None:
    """The folder that holds one of the two layouts: the root, or one in it."""
    for place in (root, root / "DVSGesture", root / "DvsGesture"):
        tonics = any((place / name).is_dir() for name in TONIC_FOLDERS.values())
        if tonics or (place.is_dir() and any(place.glob(f"user*{SUFFIX}"))):
            return place
    return None


def _tonic_clips(folder: Path) -> list[Sample]:
    """ibmGestureTrain/user01_fluorescent/<label>.npy, [N, 4] of x, y, p and t in milliseconds."""
    samples = []
    for file in sorted(folder.glob("*/*.npy")):
        if not (file.stem.isdecimal() and int(file.stem) < len(GESTURES)):
            raise DataError(f"{file}: its name is the label, expected 0 to {len(GESTURES) - 1}")
        user = file.parent.name.partition("_")[0]
        load, version = partial(load_tonic_clip, file), partial(version_of_file, file)
        samples.append(Sample(str(file), int(file.stem), user, load, version))
    return samples


def load_tonic_clip(file: Path) -> Events:
    """The events of a clip of Tonic's copy.

    Raises:
        FormatError: It is not an array of events.
    """
    try:
        rows = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FormatError(f"{file}: not a NumPy file, or damaged ({error})") from error
    if rows.ndim != 2 or rows.shape[1] != 4 or rows.dtype.kind not in "iuf":
        raise FormatError(f"{file}: holds {rows.dtype} {rows.shape}, expected rows of x, y, p and t in milliseconds")
    if rows.dtype.kind == "f" and not (np.isfinite(rows).all() and (rows == np.rint(rows)).all()):
        raise FormatError(f"{file}: holds numbers that are not whole")
    x, y, p, t = (rows[:, column].astype(np.int64) for column in range(4))
    return Events(t * TONIC_TIME_US, x, y, p, GESTURE_SENSOR)


def _ibm_clips(config: DataConfig, folder: Path, cache: Cache | None) -> dict[str, list[Sample]]:
    """The labelled spans of IBM's recordings, divided as its two lists say; users 1 to 23 train, where they are not."""
    listed = {part: _listed(folder / name) for part, name in IBM_LISTS.items()}
    parts: dict[str, list[Sample]] = {part: [] for part in IBM_LISTS}
    for labels in sorted(folder.glob(f"user*{SUFFIX}")):
        file = recording_of(labels)
        if listed["train"] is None or listed["test"] is None:
            digits = "".join(filter(str.isdecimal, file.name.partition("_")[0]))
            part = "train" if digits and int(digits) <= 23 else "test"
        else:
            part = next((part for part in IBM_LISTS if file.name in (listed[part] or ())), "")
        if not part:
            continue  # a trial that IBM lists in neither
        for span in read_labels(labels):
            if not (span.name.isdecimal() and 1 <= int(span.name) <= len(GESTURES)):
                raise DataError(f"{labels}: class {span.name}, expected 1 to {len(GESTURES)}")
            where = file, span.start_us, span.end_us
            parts[part].append(sample_of_span(config, *where, int(span.name) - 1, GESTURE_SENSOR, cache))
    return parts


def _listed(path: Path) -> set[str] | None:
    if not path.is_file():
        return None
    return {line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()}


def _download(name: str, root: Path) -> None:
    """Has Tonic download and unpack a data set, with its checksums."""
    from tonic import datasets

    kind: Any = getattr(datasets, name)
    for train in (True, False):
        try:
            kind(save_to=str(root), train=train)
        except (OSError, RuntimeError, ValueError) as error:
            url = kind.train_url if train else kind.test_url
            file = kind.train_filename if train else kind.test_filename
            raise DataError(
                f"{root}: {name} cannot be downloaded ({error}). Fetch {url} as {root / name / file} by other means, "
                "unpack it there, and start again"
            ) from error
