"""Recordings to labels over time: sliding windows, segments, scores, and the records that are stored of them."""

from .adaptation import Adaptation, adapt, check_adaptable, refuse_module
from .classifier import Classifier, Prediction
from .config import InferConfig, SegmentConfig
from .labels import LabelledSpan, find_label_file, read_spans
from .many import ClassifyOptions, Draw, classify_many, find_finished, summarize_answers
from .readout_adaptation import ReadoutAdaptation, adapt_readout
from .records import record_answer, record_dependencies, record_run, record_windows
from .scores import score
from .segments import find_segments
from .tasks import Task, plan_tasks
from .timeline import Timeline

__all__ = [
    "Adaptation",
    "Classifier",
    "ClassifyOptions",
    "Draw",
    "InferConfig",
    "LabelledSpan",
    "Prediction",
    "ReadoutAdaptation",
    "SegmentConfig",
    "Task",
    "Timeline",
    "adapt",
    "adapt_readout",
    "check_adaptable",
    "classify_many",
    "find_finished",
    "find_label_file",
    "find_segments",
    "plan_tasks",
    "read_spans",
    "record_answer",
    "record_dependencies",
    "record_run",
    "record_windows",
    "refuse_module",
    "score",
    "summarize_answers",
]
