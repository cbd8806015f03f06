"""Records written by training and inference: frozen models that read and write their own files.

`training` stores the records of `training.py`, `inference` the records of `inference.py`; reports and the command line
read them. docs/reference/results.md lists every field with its unit.
"""

from .activity import (
    ENERGY_SOURCE,
    ActivityRecord,
    EventImage,
    ExampleRecord,
    KernelRecord,
    LayerActivity,
    TraceRecord,
    add_layers,
    operation_energy_pj,
)
from .adaptation import AdaptationRecord, NormShift
from .filtering import EventCounts, FilterName, FilterPoint, FilterScore, FilterScores
from .inference import (
    Basis,
    Dependencies,
    EventRates,
    InferenceRun,
    LabelRow,
    LookRow,
    OutputFolder,
    Playback,
    Prediction,
    RecordingFolder,
    RecordingResult,
    SegmentRow,
    WindowRow,
)
from .live import LiveAnswer
from .manifest import Entry, Manifest, ManifestRow, ManifestSummary, name_input
from .scores import Scores, TimeScores, WrongPrediction, add_scores, calibration_error, wilson_interval
from .shipped import ShippedRecord, ShippedScore
from .tables import Record, Row, read_rows, write_rows
from .timeline import Timeline
from .training import (
    CHECKPOINT_SUFFIX,
    BaselineResult,
    CorruptedAccuracy,
    CorruptionResult,
    EpochRow,
    EvaluationResult,
    Finding,
    FindingKind,
    RunFolder,
    TestResult,
    TrainingRun,
    find_best,
)

__all__ = [
    "CHECKPOINT_SUFFIX",
    "ENERGY_SOURCE",
    "ActivityRecord",
    "AdaptationRecord",
    "BaselineResult",
    "Basis",
    "CorruptedAccuracy",
    "CorruptionResult",
    "Dependencies",
    "Entry",
    "EpochRow",
    "EvaluationResult",
    "EventCounts",
    "EventImage",
    "EventRates",
    "ExampleRecord",
    "FilterName",
    "FilterPoint",
    "FilterScore",
    "FilterScores",
    "Finding",
    "FindingKind",
    "InferenceRun",
    "KernelRecord",
    "LabelRow",
    "LayerActivity",
    "LiveAnswer",
    "LookRow",
    "Manifest",
    "ManifestRow",
    "ManifestSummary",
    "NormShift",
    "OutputFolder",
    "Playback",
    "Prediction",
    "Record",
    "RecordingFolder",
    "RecordingResult",
    "Row",
    "RunFolder",
    "Scores",
    "SegmentRow",
    "ShippedRecord",
    "ShippedScore",
    "TestResult",
    "TimeScores",
    "Timeline",
    "TraceRecord",
    "TrainingRun",
    "WindowRow",
    "WrongPrediction",
    "add_layers",
    "add_scores",
    "calibration_error",
    "find_best",
    "name_input",
    "operation_energy_pj",
    "read_rows",
    "wilson_interval",
    "write_rows",
]
