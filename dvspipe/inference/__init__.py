"""Recordings to labels over time: windows that slide, segments, scores, and plain records of them all."""

from .answers import Answers, RateCurve, Segment, find_segments
from .classifier import Classifier, Prediction
from .config import InferConfig, SegmentConfig
from .records import (
    Task,
    check_run,
    collect_answers,
    find_answer,
    finish_answer,
    plan_tasks,
    prediction_record,
    rests_on,
    run_record,
    write_answers,
    write_predictions,
    write_run,
    write_scores,
)
from .scores import Scores, add_up, find_labels, read_spans, score
from .source import EventSource

__all__ = [
    "Answers",
    "Classifier",
    "EventSource",
    "InferConfig",
    "Prediction",
    "RateCurve",
    "Scores",
    "Segment",
    "SegmentConfig",
    "Task",
    "add_up",
    "check_run",
    "collect_answers",
    "find_answer",
    "find_labels",
    "find_segments",
    "finish_answer",
    "plan_tasks",
    "prediction_record",
    "read_spans",
    "rests_on",
    "run_record",
    "score",
    "write_answers",
    "write_predictions",
    "write_run",
    "write_scores",
]
