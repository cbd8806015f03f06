"""Properties of the files that predict the class: a network can learn them instead of the motion.

The properties are read into a `PropertyTable`; a decision tree predicts the class from them alone (`score_properties`).
If it is much better than chance, `find_properties` yields a finding.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import DvspipeError
from ..datasets import DataConfig, DataSet, FilesConfig
from ..formats import Hints
from ..formats.opening import open_source
from ..parallel import Progress
from ..recordings.conversion import is_video
from ..results import Finding, wilson_interval
from ..video.files import read_header

if TYPE_CHECKING:
    from sklearn.tree import DecisionTreeClassifier

PROPERTIES = ("width", "height", "frame rate", "duration", "codec", "event rate")
MAX_FILES = 300  # files examined; opening a video takes up to 30 ms
FOLDS = 10
MIN_GAIN = 0.5  # minimum gain; the event rate depends on the motion too, but seldom predicts that much


@dataclass(frozen=True)
class PropertyScore:
    """Cross-validated result of a classifier on properties of the files alone.

    Args:
        separated: Class that is separated from all others; None: all classes are.
    """

    correct: int
    files: int
    majority: float
    separated: str | None = None

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share of correct predictions."""
        return wilson_interval(self.correct, self.files)

    @property
    def gain(self) -> float:
        """Position of the lower end of the interval between the majority (0) and perfect predictions (1)."""
        low, _ = self.interval
        return (low - self.majority) / (1 - self.majority)

    def __str__(self) -> str:
        verb = "predict the class of" if self.separated is None else f"tell {self.separated} from other classes in"
        low, high = self.interval

        return (
            f"{verb} {self.correct / self.files:.0%} of {self.files} files (95 % interval {low:.0%} to {high:.0%}, "
            f"chance {self.majority:.0%})"
        )


def find_properties(
    data: DataSet, config: DataConfig, events: Mapping[str, int], progress: Progress
) -> Iterator[Finding]:
    """Yield a finding if properties of the files alone predict the class."""
    if not isinstance(config, FilesConfig) or data.in_time:
        return

    table = read_properties(data, config.hints, events, progress)
    score = score_properties(table, data.classes)
    if score is None or score.gain <= MIN_GAIN:
        return

    yield Finding(
        kind="properties",
        text=f"file properties alone ({', '.join(find_varied(table))}) {score}: the network can learn them instead of "
        "the motion; record all classes with the same camera and settings",
    )


class PropertyTable(NamedTuple):
    """Properties of N files.

    Args:
        values: Properties, float64 [N, len(PROPERTIES)]; unknown values are -1.
        labels: Class indices, int64 [N].
    """

    values: NDArray[np.float64]
    labels: NDArray[np.int64]
    groups: list[str]


def read_properties(data: DataSet, hints: Hints, events: Mapping[str, int], progress: Progress) -> PropertyTable:
    """Read the properties of one file of each group and class, because the others are similar.

    Arguments as in `find_properties`.
    """
    # The first sample of a group and class: later ones replace earlier ones, so read them in reverse.
    first = {(sample.group, sample.label): sample for sample in reversed(data.samples) if sample.file is not None}
    samples = list(first.values())[:: max(1, math.ceil(len(first) / MAX_FILES))]

    # A file with windows has several samples; its events are the sum of theirs.
    counts: Counter[Path | None] = Counter()
    for sample in data.samples:
        counts[sample.file] += events.get(sample.name, 0)

    values = np.full((len(samples), len(PROPERTIES)), -1.0)
    codecs: dict[str, int] = {}
    for row, sample in enumerate(samples):
        assert sample.file is not None
        progress(row, len(samples))
        try:
            width, height, fps, duration_s, codec = _read_file(sample.file, hints)
        except DvspipeError:
            continue  # raised when the file is loaded
        rate_hz = counts[sample.file] / duration_s if duration_s > 0 else -1.0
        codec_number = codecs.setdefault(codec, len(codecs))
        values[row] = width, height, fps, duration_s, codec_number, rate_hz

    labels = np.array([sample.label for sample in samples], np.int64)
    return PropertyTable(values, labels, [sample.group for sample in samples])


def find_varied(table: PropertyTable) -> list[str]:
    """Return the properties that differ between files and that a tree for all files uses, most important first."""
    importances = _make_tree().fit(table.values, table.labels).feature_importances_
    order = np.argsort(-importances, kind="stable").tolist()

    return [PROPERTIES[column] for column in order if importances[column] > 0]


def score_properties(table: PropertyTable, classes: Sequence[str]) -> PropertyScore | None:
    """Predict the class of files by a decision tree on their properties, cross-validated by group.

    Returns:
        The score for all classes, or, if it is low, the score of the class that is separated best; None if there are
        fewer than two groups or classes.
    """
    from sklearn.model_selection import GroupKFold, cross_val_predict

    labels = table.labels
    files = len(labels)
    folds = min(FOLDS, len(set(table.groups)))
    counts = np.bincount(labels, minlength=len(classes))
    if folds < 2 or np.count_nonzero(counts) < 2:
        return None
    predicted = cross_val_predict(_make_tree(), table.values, labels, groups=table.groups, cv=GroupKFold(folds))

    complete = PropertyScore(int(np.sum(predicted == labels)), files, float(counts.max() / files))
    if complete.gain > MIN_GAIN:
        return complete

    # One class may differ from others that are alike, such as a class that another camera recorded. Its majority is the
    # larger of "this class" and "another class".
    one_class = [
        PropertyScore(
            correct=int(np.sum((predicted == label) == (labels == label))),
            files=files,
            majority=float(max(counts[label], files - counts[label]) / files),
            separated=classes[label],
        )
        for label in np.flatnonzero(counts).tolist()
    ]

    return max(one_class, key=lambda score: score.gain)


def _make_tree() -> DecisionTreeClassifier:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(min_samples_leaf=2, random_state=0)


def _read_file(file: Path, hints: Hints) -> tuple[float, float, float, float, str]:
    """Return width, height, frame rate, duration in seconds, and codec or format; unknown numbers are -1."""
    if is_video(file):
        if file.is_dir():
            return -1.0, -1.0, -1.0, -1.0, "images"
        return read_header(file)

    format_name, source = open_source(file, None, hints)
    width, height = (-1, -1) if source.sensor is None else (source.sensor.width, source.sensor.height)

    extent = source.extent() if source.extent else None
    if extent is None or extent.first_us is None or extent.last_us is None:
        return width, height, -1.0, -1.0, format_name
    return width, height, -1.0, (extent.last_us - extent.first_us) * 1e-6, format_name
