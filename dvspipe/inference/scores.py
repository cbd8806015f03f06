"""Labels of recordings, compared with predictions over time: accuracy, segments and delays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..base.errors import DataError
from ..results import LabelRow, SegmentRow, Timeline, TimeScores
from ..results.labels import SUFFIX
from ..results.scores import count_confusion
from .segments import SegmentConfig, is_certain

MIN_OVERLAP = 0.5  # minimum intersection over union of a segment and the label that it matches


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
    certain = is_certain(timeline, config)
    truth = np.full(len(timeline), -1, np.int64)
    delays_us: list[int | None] = []
    for label in labels:
        number = classes.index(label.class_name)

        # Predictions are compared with the label at the centre of their window; unlabelled times do not count.
        truth[(timeline.center_us >= label.t_start_us) & (timeline.center_us < label.t_end_us)] = number

        # A prediction is known at the end of its window.
        inside = (timeline.t_end_us > label.t_start_us) & (timeline.t_end_us <= label.t_end_us)
        correct_us = timeline.t_end_us[certain & inside & (timeline.labels == number)]
        delays_us.append(int(correct_us[0]) - label.t_start_us if len(correct_us) else None)

    labelled = truth >= 0
    certain_segments = [segment for segment in segments if segment.label is not None]
    return TimeScores(
        confusion=count_confusion(truth[labelled], timeline.labels[labelled], len(classes)),
        segments_found=_count_matched(certain_segments, labels),
        segments=len(certain_segments),
        labels=len(labels),
        delays_us=tuple(delays_us),
    )


def _count_matched(segments: Sequence[SegmentRow], labels: Sequence[LabelRow]) -> int:
    # Numbers of the labels: a label counts once, even if several segments match it.
    matched: set[int] = set()
    for segment in segments:
        overlaps = [_overlap(segment, label) for label in labels]
        if max(overlaps, default=0.0) >= MIN_OVERLAP:
            matched.add(int(np.argmax(overlaps)))

    return len(matched)


def _overlap(segment: SegmentRow, label: LabelRow) -> float:
    """Return the intersection over union of the time of a segment and a label of its class, otherwise 0."""
    if segment.class_name != label.class_name:
        return 0.0
    intersection_us = min(segment.t_end_us, label.t_end_us) - max(segment.t_start_us, label.t_start_us)
    union_us = max(segment.t_end_us, label.t_end_us) - min(segment.t_start_us, label.t_start_us)
    return max(0, intersection_us) / union_us
