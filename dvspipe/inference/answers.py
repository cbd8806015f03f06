"""Answer for a recording: the gesture that was found, or a first guess with the reason why nothing is certain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.gestures import OTHER
from ..results import SegmentRow, Timeline
from .segments import SegmentConfig, smooth_probabilities

MIN_GUESS = 0.3  # smoothed probability from which a gesture is a first guess; chosen on 117 films
FULL_SHARE = 0.75  # shorter recordings are shorter than a window; digits of N-MNIST end a little early
ALIKE = 0.15  # two classes are alike if their probabilities differ by less


class Answer(NamedTuple):
    """Answer for a recording."""

    label: int
    """Class of the longest certain segment; without one, the first guess."""
    probability: float
    """Its mean probability in this segment, or the probability of the first guess."""
    segment: SegmentRow | None
    """The segment; None: nothing is certain."""


def find_answer(
    timeline: Timeline, segments: Sequence[SegmentRow], classes: Sequence[str], used: NDArray[np.bool_]
) -> Answer:
    """Return the gesture that lasts longest, or a first guess.

    Other gestures are no gesture, so they are never certain. The first guess is the most probable class on average. If
    this is other gestures, it is the gesture with the highest smoothed probability, if that reaches MIN_GUESS: rest
    before and after a short gesture hides it in the average.

    Args:
        timeline: Predictions over time.
        segments: Segments of these predictions.
        classes: Class names, K.
        used: Predictions that count, at least one, bool [N].
    """
    certain = [one for one in segments if one.label is not None and one.class_name != OTHER]
    if certain:
        longest = max(certain, key=lambda one: one.t_end_us - one.t_start_us)
        assert longest.label is not None
        assert longest.probability is not None
        return Answer(longest.label, longest.probability, longest)

    mean = timeline.probabilities[used].mean(axis=0)
    label = int(mean.argmax())
    if classes[label] == OTHER:
        highest = smooth_probabilities(timeline)[used].max(axis=0)
        highest[label] = 0
        gesture = int(highest.argmax())
        if highest[gesture] >= MIN_GUESS:
            return Answer(gesture, float(highest[gesture]), None)

    return Answer(label, float(mean[label]), None)


def find_peak(timeline: Timeline, label: int, used: NDArray[np.bool_]) -> int:
    """Return the prediction, among those that count, in which a class is most probable."""
    return int(np.where(used, smooth_probabilities(timeline)[:, label], -1).argmax())


def find_peak_span(timeline: Timeline, label: int, used: NDArray[np.bool_]) -> tuple[int, int]:
    """Return start and end of the prediction, among those that count, in which a class is most probable."""
    peak = find_peak(timeline, label, used)
    return int(timeline.t_start_us[peak]), int(timeline.t_end_us[peak])


def find_reason(
    answer: Answer,
    timeline: Timeline,
    classes: Sequence[str],
    used: NDArray[np.bool_],
    config: SegmentConfig,
    *,
    duration_us: int,
) -> str:
    """Return why no segment is certain, from the predictions alone.

    Args:
        answer: First guess.
        timeline: Predictions over time.
        classes: Class names, K.
        used: Predictions that count, at least one, bool [N].
        config: Thresholds of segments.
        duration_us: Time from the first to the last event.
    """
    if duration_us < FULL_SHARE * timeline.window_us:
        return f"shorter than a window of {timeline.window_us / 1e6:.3g} s"
    if 2 * timeline.familiar[used].sum() < used.sum():
        return "unlike the training data"
    if classes[answer.label] == OTHER:
        return "other movements"

    row = smooth_probabilities(timeline)[find_peak(timeline, answer.label, used)]
    second = int(np.where(np.arange(len(classes)) == answer.label, 0, row).argmax())
    if abs(row[answer.label] - row[second]) < ALIKE:
        return f"{classes[answer.label]} and {classes[second]} are alike"

    return f"no class reaches {config.threshold:.0%} for {config.least(timeline) / 1e6:.2g} s"
