"""Recordings to labels over time: classification in sliding windows, segments, scores and adaptation."""

from ..results import Prediction, Timeline
from .adaptation import Adaptation, adapt, check_adaptable, refuse_module
from .classifier import Classifier
from .config import InferConfig, SegmentConfig
from .labels import LabelledSpan, find_label_file, read_spans
from .many import classify_many, find_finished, summarize_answers
from .options import ClassifyOptions, Draw
from .readout_adaptation import ReadoutAdaptation, adapt_readout
from .scores import score
from .segments import find_segments
from .single import infer
from .tasks import Task, plan_tasks

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
    "infer",
    "plan_tasks",
    "read_spans",
    "refuse_module",
    "score",
    "summarize_answers",
]
