"""Records of what trainings and classifications leave: frozen models that read and write themselves.

`training` returns and stores the records of `training.py`, `inference` those of `inference.py`; reports and the command
line take them. Every field, with its unit, is listed in docs/reference/results.md.
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
from .manifest import Entry, Manifest, ManifestRow, ManifestSummary, name_input
from .scores import Scores, TimeScores, WrongPrediction, add_scores, calibration_error, wilson_interval
from .shipped import ShippedRecord, ShippedScore
from .tables import Record, Row, read_rows, write_rows
from .timeline import Timeline
from .training import (
    BaselineResult,
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
    "ENERGY_SOURCE",
    "ActivityRecord",
    "AdaptationRecord",
    "BaselineResult",
    "Basis",
    "Dependencies",
    "Entry",
    "EpochRow",
    "EvaluationResult",
    "EventImage",
    "EventRates",
    "ExampleRecord",
    "Finding",
    "FindingKind",
    "InferenceRun",
    "KernelRecord",
    "LabelRow",
    "LayerActivity",
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
