"""Predictions over time compared with labels: how many are right, how early, and how well calibrated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..results import SegmentRow, Timeline, TimeScores
from ..results.scores import CALIBRATION_BINS
from .config import SegmentConfig
from .labels import LabelledSpan
from .segments import is_certain

MIN_OVERLAP = 0.5  # intersection over union at which a segment finds a label
SEEN_POINTS = 40
SEEN_WINDOWS = 3  # length of the curve over the time seen, in windows


def score(
    timeline: Timeline,
    segments: Sequence[SegmentRow],
    spans: Sequence[LabelledSpan],
    config: SegmentConfig,
    window_us: int,
) -> TimeScores:
    """Return how right the predictions for a recording are.

    Args:
        timeline: The predictions.
        segments: Their segments.
        spans: The labels, by their times.
        config: Thresholds that decide which predictions are certain.
        window_us: Length of a window in microseconds.
    """
    truth = _find_truth(timeline.center_us, spans)
    labelled = truth >= 0
    labels = timeline.labels
    K = timeline.probabilities.shape[1]
    confusion = np.zeros((K, K), np.int64)
    np.add.at(confusion, (truth[labelled], labels[labelled]), 1)
    probabilities = timeline.probabilities.max(axis=1, initial=0).astype(np.float64)[labelled]
    first, second, third = _calibration(probabilities, (truth == labels)[labelled])
    seen_us = np.arange(1, SEEN_POINTS + 1) * (SEEN_WINDOWS * window_us) // SEEN_POINTS
    lasting, right = _count_seen(timeline, spans, seen_us)
    shown = [segment for segment in segments if segment.label is not None]
    return TimeScores(
        confusion=tuple(map(tuple, confusion.tolist())),
        segments_found=_count_found(shown, spans),
        segments=len(shown),
        labels=len(spans),
        delays_us=_measure_delays(timeline, spans, is_certain(timeline, config)),
        calibration=(first, second, third),
        seen_us=tuple(seen_us.tolist()),
        seen=(tuple(lasting.tolist()), tuple(right.tolist())),
    )


def _find_truth(times_us: NDArray[np.int64], spans: Sequence[LabelledSpan]) -> NDArray[np.int64]:
    """Return the label at each time, -1 without one."""
    truth = np.full(len(times_us), -1, np.int64)
    for span in spans:
        truth[(times_us >= span.t_start_us) & (times_us < span.t_end_us)] = span.label
    return truth


def _calibration(probabilities: NDArray[np.float64], right: NDArray[np.bool_]) -> list[tuple[float, ...]]:
    """Return number, sum of probabilities and number of right predictions, by probability."""
    bins = np.minimum((probabilities * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    sums = [np.bincount(bins, weights, CALIBRATION_BINS) for weights in (None, probabilities, right)]
    return [tuple(each.astype(np.float64).tolist()) for each in sums]


def _count_found(segments: Sequence[SegmentRow], spans: Sequence[LabelledSpan]) -> int:
    found: set[int] = set()
    for segment in segments:
        overlaps = [_overlap(segment, span) if span.label == segment.label else 0.0 for span in spans]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best >= 0 and overlaps[best] >= MIN_OVERLAP:
            found.add(best)
    return len(found)


def _overlap(segment: SegmentRow, span: LabelledSpan) -> float:
    """Return the intersection over union of two times."""
    both_us = min(segment.t_end_us, span.t_end_us) - max(segment.t_start_us, span.t_start_us)
    either_us = max(segment.t_end_us, span.t_end_us) - min(segment.t_start_us, span.t_start_us)
    return max(0, both_us) / either_us


def _measure_delays(
    timeline: Timeline, spans: Sequence[LabelledSpan], certain: NDArray[np.bool_]
) -> tuple[int | None, ...]:
    delays = []
    for span in spans:
        inside = certain & (timeline.t_end_us > span.t_start_us) & (timeline.t_end_us <= span.t_end_us)
        right = np.flatnonzero(inside & (timeline.labels == span.label))
        delays.append(int(timeline.t_end_us[right[0]]) - span.t_start_us if len(right) else None)
    return tuple(delays)


def _count_seen(timeline: Timeline, spans: Sequence[LabelledSpan], seen_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many labels last as long as each time seen, and how many have a right prediction then, [2, P]."""
    counts = np.zeros((2, len(seen_us)), np.int64)
    labels = timeline.labels
    for span in spans:
        lasting = seen_us <= span.t_end_us - span.t_start_us
        latest = np.searchsorted(timeline.t_end_us, span.t_start_us + seen_us, side="right") - 1
        right = (latest >= 0) & (labels[latest] == span.label) if len(labels) else np.zeros(len(seen_us), bool)
        counts += np.stack([lasting, lasting & right])
    return counts
