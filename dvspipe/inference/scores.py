"""Labels of recordings, compared with predictions over time: accuracy, segments and delays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import DataError
from ..results import LabelRow, SegmentRow, Timeline, TimeScores
from ..results.labels import SUFFIX
from .segments import SegmentConfig, is_certain

MIN_OVERLAP = 0.5  # minimum intersection over union of a segment and the label that it matches


class LabelledSpan(NamedTuple):
    """Time span of a recording with the number of its class."""

    t_start_us: int
    t_end_us: int
    label: int


def find_label_file(labels: Path, recording: Path, name: Path) -> Path:
    """Find the label file of a recording.

    Args:
        labels: Label file, or folder with NAME_labels.csv for NAME.SUFFIX. The file is searched at the recording's
            relative path `name` first, then directly in the folder.
        recording: Path of the recording.
        name: Path of the recording relative to the source folder, or its file name.

    Raises:
        DataError: If the folder has no label file for the recording.
    """
    if not labels.is_dir():
        return labels

    file = f"{recording.stem}{SUFFIX}"
    for path in (labels / name.with_name(file), labels / file):
        if path.is_file():
            return path
    raise DataError(f"{recording}: label file not found (expected {file} in {labels})")


def score(
    timeline: Timeline,
    segments: Sequence[SegmentRow],
    labels: Sequence[LabelRow],
    classes: Sequence[str],
    config: SegmentConfig,
) -> TimeScores:
    """Score the predictions for a recording against its labels.

    Args:
        timeline: Predictions over time.
        segments: Segments of these predictions.
        labels: Labels, sorted by time.
        classes: Class names of the network.
        config: Thresholds of certain predictions.
    """
    spans = [LabelledSpan(label.t_start_us, label.t_end_us, classes.index(label.class_name)) for label in labels]
    certain_segments = [segment for segment in segments if segment.label is not None]

    # Predictions are compared with the label at the centre of their window; unlabelled times do not count.
    truth = np.full(len(timeline), -1, np.int64)
    for span in spans:
        truth[(timeline.center_us >= span.t_start_us) & (timeline.center_us < span.t_end_us)] = span.label
    labelled = truth >= 0

    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (truth[labelled], timeline.labels[labelled]), 1)

    return TimeScores(
        confusion=tuple(map(tuple, confusion.tolist())),
        segments_found=_count_matched(certain_segments, spans),
        segments=len(certain_segments),
        labels=len(spans),
        delays_us=_measure_delays(timeline, spans, is_certain(timeline, config)),
    )


def _count_matched(segments: Sequence[SegmentRow], spans: Sequence[LabelledSpan]) -> int:
    # Numbers of the labels: a label counts once, even if several segments match it.
    matched: set[int] = set()
    for segment in segments:
        overlaps = [_overlap(segment, span) if span.label == segment.label else 0.0 for span in spans]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best >= 0 and overlaps[best] >= MIN_OVERLAP:
            matched.add(best)

    return len(matched)


def _overlap(segment: SegmentRow, span: LabelledSpan) -> float:
    """Return the intersection over union of two time spans."""
    intersection_us = min(segment.t_end_us, span.t_end_us) - max(segment.t_start_us, span.t_start_us)
    union_us = max(segment.t_end_us, span.t_end_us) - min(segment.t_start_us, span.t_start_us)

    return max(0, intersection_us) / union_us


def _measure_delays(
    timeline: Timeline, spans: Sequence[LabelledSpan], certain: NDArray[np.bool_]
) -> tuple[int | None, ...]:
    delays = []
    for span in spans:
        # A prediction is known at the end of its window.
        inside = certain & (timeline.t_end_us > span.t_start_us) & (timeline.t_end_us <= span.t_end_us)
        correct = np.flatnonzero(inside & (timeline.labels == span.label))
        delays.append(int(timeline.t_end_us[correct[0]]) - span.t_start_us if len(correct) else None)

    return tuple(delays)
