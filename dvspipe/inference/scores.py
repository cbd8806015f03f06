"""Answers against labels: how many are right, how soon, and how sure they should be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.labels import SUFFIX, Span, read_labels
from ..errors import DataError
from .answers import Answers, Segment
from .config import SegmentConfig

OVERLAP = 0.5  # of a segment and a label, from which on the one has found the other
CALIBRATION_BINS = 15
ANYTIME_POINTS = 40
ANYTIME_WINDOWS = 3  # how far the anytime curve goes, in windows


@dataclass(frozen=True, eq=False)
class Scores:
    """How right the answers for some recordings are; sums, so that those of several can be added.

    Args:
        confusion: int64 [K, K], number of answers by true class (row) and answered class. An answer counts where the
            time that it stands for is labelled.
        found: Segments that lie on a label of their class with an overlap of at least 0.5.
        segments: Segments of a class in all.
        labels: Labels in all.
        delays_us: For each label from its start to the end of the first certain answer that is right and comes while it
            lasts; None where there is none.
        calibration: int64 or float64 [3, 15]: number of answers by their probability, sum of the probabilities, number
            of right ones.
        seen_us: int64 [P], times since the start of a label.
        seen: int64 [2, P], how many labels last as long, and how many of them have the right answer then.
    """

    confusion: NDArray[np.int64]
    found: int
    segments: int
    labels: int
    delays_us: tuple[int | None, ...]
    calibration: NDArray[np.float64]
    seen_us: NDArray[np.int64]
    seen: NDArray[np.int64]

    @property
    def accuracy(self) -> float | None:
        """Share of right answers among those where there is a label."""
        total = int(self.confusion.sum())
        return float(np.trace(self.confusion)) / total if total else None

    @property
    def f1(self) -> float | None:
        """Segment F1 at an overlap of 0.5: 2 found / (segments + labels).

        Segments of a class are matched with labels of the same class, each with the one that it overlaps most;
        overlap is intersection over union, and a label is found once. So a class that breaks into pieces, and a
        segment where there is nothing, both cost. Source: Lea et al., "Temporal convolutional networks for action
        segmentation and detection", CVPR (2017), F1@50.
        """
        total = self.segments + self.labels
        return 2 * self.found / total if total else None

    @property
    def median_delay_us(self) -> float | None:
        """The median over the labels that got a right answer."""
        answered = [delay for delay in self.delays_us if delay is not None]
        return float(np.median(answered)) if answered else None

    @property
    def calibration_error(self) -> float | None:
        """The expected calibration error in 15 bins (Naeini, Cooper and Hauskrecht 2015)."""
        count, sure, right = self.calibration
        return float(np.abs(sure - right).sum() / count.sum()) if count.sum() else None

    def __add__(self, other: Scores) -> Scores:
        """Of the recordings of both, judged by the same network with the same settings."""
        return Scores(
            self.confusion + other.confusion,
            self.found + other.found,
            self.segments + other.segments,
            self.labels + other.labels,
            self.delays_us + other.delays_us,
            self.calibration + other.calibration,
            self.seen_us,
            self.seen + other.seen,
        )

    def to_record(self) -> dict[str, Any]:
        """As plain numbers, the sums and what follows from them."""
        return {
            "answers": int(self.confusion.sum()),
            "accuracy": self.accuracy,
            "segment_f1": self.f1,
            "segments_found": self.found,
            "segments": self.segments,
            "labels": self.labels,
            "median_delay_us": self.median_delay_us,
            "labels_answered": sum(delay is not None for delay in self.delays_us),
            "delays_us": list(self.delays_us),
            "calibration_error": self.calibration_error,
            "confusion": self.confusion.tolist(),
            "calibration": self.calibration.tolist(),
            "seen_us": self.seen_us.tolist(),
            "seen": self.seen.tolist(),
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Scores:
        """What `to_record` made."""
        return cls(
            np.array(record["confusion"], np.int64),
            record["segments_found"],
            record["segments"],
            record["labels"],
            tuple(record["delays_us"]),
            np.array(record["calibration"], np.float64),
            np.array(record["seen_us"], np.int64),
            np.array(record["seen"], np.int64),
        )


def score(
    answers: Answers, segments: Sequence[Segment], spans: Sequence[tuple[Span, int]], config: SegmentConfig,
    window_us: int,
) -> Scores:  # fmt: skip
    """How right the answers for a recording are.

    Args:
        answers: What the network says.
        segments: What was made of them.
        spans: The labels in the order of their times, each with its class's integer.
        config: Thresholds, which say what answers are certain.
        window_us: Length of a window.
    """
    K = answers.probabilities.shape[1]
    truth = _truth(answers.middle_us, spans)
    labelled = truth >= 0
    labels, sure = answers.labels, answers.probabilities.max(axis=1, initial=0).astype(np.float64)
    confusion = np.zeros((K, K), np.int64)
    np.add.at(confusion, (truth[labelled], labels[labelled]), 1)
    bins = np.minimum((sure[labelled] * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    right = (truth == labels)[labelled]
    calibration = [np.bincount(bins, weights, CALIBRATION_BINS) for weights in (None, sure[labelled], right)]
    seen_us = np.arange(1, ANYTIME_POINTS + 1) * (ANYTIME_WINDOWS * window_us) // ANYTIME_POINTS
    shown = [segment for segment in segments if segment.label is not None]
    return Scores(
        confusion=confusion,
        found=_count_found(shown, spans),
        segments=len(shown),
        labels=len(spans),
        delays_us=_delays_us(answers, spans, answers.certain(config)),
        calibration=np.array(calibration, np.float64),
        seen_us=seen_us,
        seen=_seen(answers, spans, seen_us),
    )


def _truth(times_us: NDArray[np.int64], spans: Sequence[tuple[Span, int]]) -> NDArray[np.int64]:
    """The label at each time, -1 where there is none."""
    truth = np.full(len(times_us), -1, np.int64)
    for span, label in spans:
        truth[(times_us >= span.start_us) & (times_us < span.end_us)] = label
    return truth


def _count_found(segments: Sequence[Segment], spans: Sequence[tuple[Span, int]]) -> int:
    taken: set[int] = set()
    for segment in segments:
        overlaps = [_overlap(segment, span) if label == segment.label else 0.0 for span, label in spans]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best >= 0 and overlaps[best] >= OVERLAP:
            taken.add(best)
    return len(taken)


def _overlap(segment: Segment, span: Span) -> float:
    """Intersection over union of two times."""
    both = min(segment.end_us, span.end_us) - max(segment.start_us, span.start_us)
    either = max(segment.end_us, span.end_us) - min(segment.start_us, span.start_us)
    return max(0, both) / either


def _delays_us(
    answers: Answers, spans: Sequence[tuple[Span, int]], certain: NDArray[np.bool_]
) -> tuple[int | None, ...]:
    delays = []
    for span, label in spans:
        inside = certain & (answers.end_us > span.start_us) & (answers.end_us <= span.end_us)
        right = np.flatnonzero(inside & (answers.labels == label))
        delays.append(int(answers.end_us[right[0]]) - span.start_us if len(right) else None)
    return tuple(delays)


def _seen(answers: Answers, spans: Sequence[tuple[Span, int]], seen_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each time since the start of a label, how many labels last as long, and how many are answered right then."""
    seen = np.zeros((2, len(seen_us)), np.int64)
    labels = answers.labels
    for span, label in spans:
        lasts = seen_us <= span.end_us - span.start_us
        newest = np.searchsorted(answers.end_us, span.start_us + seen_us, side="right") - 1
        right = (newest >= 0) & (labels[newest] == label) if len(labels) else np.zeros(len(seen_us), bool)
        seen += np.stack([lasts, lasts & right])
    return seen


def add_up(scores: Iterable[Scores]) -> Scores | None:
    """The scores of all recordings together; None of none."""
    total: Scores | None = None
    for one in scores:
        total = one if total is None else total + one
    return total


def find_labels(labels: Path, recording: Path, below: Path) -> Path:
    """The label file of a recording.

    Args:
        labels: A label file, or a folder of them: NAME_labels.csv for NAME.SUFFIX, in the same place below the folder
            as the recording below its own, or in the folder itself.
        recording: The recording.
        below: The recording's path below the folder that was walked, or its name.

    Raises:
        DataError: There is none.
    """
    if not labels.is_dir():
        return labels
    name = f"{recording.name.removesuffix(''.join(recording.suffixes[-1:]))}{SUFFIX}"
    places = [labels / below.with_name(name), labels / name]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise DataError(f"{recording}: no label file {name} in {labels}")
    return found


def read_spans(path: Path, classes: Sequence[str]) -> list[tuple[Span, int]]:
    """The labels in a file, each with its class's integer.

    Raises:
        FileError: The file cannot be read.
        DataError: It is no label file, or names a class that the network does not know.
    """
    spans = read_labels(path)
    unknown = next((span.name for span in spans if span.name not in classes), None)
    if unknown is not None:
        raise DataError(f"{path}: class {unknown!r}, the network knows {', '.join(classes)}")
    return [(span, list(classes).index(span.name)) for span in spans]
