"""Scores of predictions: for samples (`Scores`), and over time (`TimeScores`).

Both are counts and their ratios; scores over time can be added, so the score of a data set is the sum over recordings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from operator import add
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import computed_field, model_validator

from ..base.errors import ConfigError, count_noun
from .tables import FileText, Record

Z_95 = 1.959963984540054  # 97.5 % quantile of the normal distribution; importing scipy.stats for it takes 1.3 s
COUNTED = ("confusion", "segments_found", "segments", "labels")
"""Fields of `TimeScores` that are added."""
Counts = tuple[tuple[int, ...], ...]


def count_confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> Counts:
    """Count the samples of each true class (row) by their predicted class (column).

    Args:
        labels: True classes, int64 [N].
        predicted: Predicted classes, int64 [N].
        classes: Number of classes K.

    Example:
        >>> count_confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
        ((1, 1), (0, 1))
    """
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return tuple(map(tuple, counts.tolist()))


def wilson_interval(correct: int, samples: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share; (0, 1) without samples.

    Raises:
        ConfigError: If `correct` is not in 0 to `samples`.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).

    Example:
        >>> low, high = wilson_interval(49, 50)
        >>> round(low, 3), round(high, 3)
        (0.895, 0.996)
    """
    if not 0 <= correct <= samples:
        raise ConfigError(f"wilson_interval: wrong number of correct samples (found {correct} of {samples})")

    if samples == 0:
        return 0.0, 1.0

    # Wilson (1927): solve |share - p| = z * sqrt(p (1 - p) / samples) for p.
    share = correct / samples
    scale = 2 * (samples + Z_95**2)
    center = (2 * samples * share + Z_95**2) / scale
    delta = Z_95 / scale * math.sqrt(4 * samples * share * (1 - share) + Z_95**2)

    # Rounding would leave these ends slightly inside 0 to 1.
    low = 0.0 if correct == 0 else center - delta
    high = 1.0 if correct == samples else center + delta
    return low, high


class Share(Record):
    """Share of correct predictions."""

    correct: int
    """Number of correct predictions."""
    samples: int
    """Number of predictions."""

    @property
    def accuracy(self) -> float:
        """Share of correct predictions, 0 to 1."""
        return self.correct / self.samples

    def __str__(self) -> str:
        """Return the share with its counts and its 95 % confidence interval."""
        low, high = wilson_interval(self.correct, self.samples)
        return f"{self.accuracy:.1%}, {self.correct} of {self.samples} (95 % interval {low:.1%} to {high:.1%})"


class WrongPrediction(Record):
    """Recording with a wrong prediction."""

    name: FileText
    """Name of the recording, or of a part of it."""
    label: str
    """True class."""
    predicted: str
    """Predicted class."""
    probability: float
    """Probability of the predicted class, 0 to 1."""


class Scores(Record):
    """Scores of a classifier on samples."""

    classes: tuple[str, ...]
    """Names of the classes."""
    confusion: Counts
    """Number of samples by true class (row) and predicted class (column)."""
    calibration_error: float
    """Expected calibration error of the probabilities, 0 to 1."""
    temperature: float
    """Temperature: logits were divided by it before the softmax."""
    wrong: tuple[WrongPrediction, ...] = ()
    """Wrong predictions, most certain first."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(accuracy {self.share}, {len(self.classes)} classes)"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def samples(self) -> int:
        """Number of samples."""
        return sum(map(sum, self.confusion))

    @computed_field  # type: ignore[prop-decorator]
    @property
    def correct(self) -> int:
        """Number of correct predictions."""
        return sum(row[k] for k, row in enumerate(self.confusion))

    @computed_field  # type: ignore[prop-decorator]
    @property
    def accuracy(self) -> float:
        """Share of correct predictions, 0 to 1."""
        return self.correct / self.samples

    @property
    def share(self) -> Share:
        """Share of correct predictions."""
        return Share(correct=self.correct, samples=self.samples)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """95 % confidence interval of the accuracy (Wilson)."""
        return wilson_interval(self.correct, self.samples)

    @model_validator(mode="after")
    def _check_square(self) -> Self:
        K = len(self.classes)
        if K == 0 or [len(row) for row in self.confusion] != [K] * K:
            raise ValueError(f"confusion: wrong shape (expected {K} x {K}, a row and a column per class)")
        return self


class TimeScores(Record):
    """Scores of predictions over time, as counts; scores of several recordings can be added."""

    confusion: Counts
    """Number of predictions by true class (row) and predicted class (column), at labelled times."""
    segments_found: int
    """Number of segments that overlap a label of their class by at least 0.5 (intersection over union)."""
    segments: int
    """Number of predicted segments with a class."""
    labels: int
    """Number of labels."""
    delays_us: tuple[int | None, ...]
    """Per label, the time from its start to the end of the first certain and correct prediction within it."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def answers(self) -> int:
        """Number of predictions at labelled times."""
        return sum(map(sum, self.confusion))

    @computed_field  # type: ignore[prop-decorator]
    @property
    def accuracy(self) -> float | None:
        """Share of correct predictions at labelled times; None without any."""
        correct = sum(row[k] for k, row in enumerate(self.confusion))
        return correct / self.answers if self.answers else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def segment_f1(self) -> float | None:
        """Segment F1 at an overlap of 0.5: 2 found / (segments + labels).

        Each segment is matched with the label of its class that it overlaps most, and a label is found once. Source:
        Lea et al., "Temporal convolutional networks for action segmentation and detection", CVPR 2017, F1@50.
        """
        total = self.segments + self.labels
        return 2 * self.segments_found / total if total else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def labels_answered(self) -> int:
        """Number of labels with a certain and correct prediction."""
        return sum(delay is not None for delay in self.delays_us)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def median_delay_us(self) -> float | None:
        """Median delay over labels with a correct prediction, in microseconds."""
        answered = [delay for delay in self.delays_us if delay is not None]
        return float(np.median(answered)) if answered else None

    def describe(self) -> Sequence[str]:
        """Return a text for each score that is defined."""
        texts = []
        if self.accuracy is not None:
            texts.append(f"{self.accuracy:.1%} of {count_noun(self.answers, 'prediction')} correct")

        if self.segment_f1 is not None:
            labels = count_noun(self.labels, "label")
            segments = count_noun(self.segments, "segment")
            matched = f"{self.segments_found} of {labels} found, by {segments}"
            texts.append(f"segment F1 at an overlap of 0.5: {self.segment_f1:.3f} ({matched})")

        if self.median_delay_us is not None:
            labels = f"{self.labels_answered} of {count_noun(self.labels, 'label')}"
            delay = f"median delay to the first correct prediction {self.median_delay_us / 1000:,.0f} ms"
            texts.append(f"{delay} ({labels})")
        return texts or ["nothing is labelled"]

    def __add__(self, other: TimeScores) -> TimeScores:
        """Return the scores of both sets of recordings, classified by the same network with the same settings."""
        counts = {name: np.add(getattr(self, name), getattr(other, name)).tolist() for name in COUNTED}
        return TimeScores(**counts, delays_us=self.delays_us + other.delays_us)


def add_scores(scores: Iterable[TimeScores | None]) -> TimeScores | None:
    """Add the scores of all recordings, skipping None; None if there are none."""
    known = [one for one in scores if one is not None]
    return reduce(add, known) if known else None
