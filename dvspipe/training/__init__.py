"""Train and evaluate a classifier; results are returned as records and stored in a run folder."""

from .callback import LogCallback, TrainingCallback
from .choice import Choice, choose_settings
from .config import OptimiserConfig, TrainConfig
from .evaluation import Evaluation, evaluate_network
from .machine import measure_step
from .robustness import evaluate_corrupted
from .run import RUNS, choose_device, run_training

__all__ = [
    "RUNS",
    "Choice",
    "Evaluation",
    "LogCallback",
    "OptimiserConfig",
    "TrainConfig",
    "TrainingCallback",
    "choose_device",
    "choose_settings",
    "evaluate_corrupted",
    "evaluate_network",
    "measure_step",
    "run_training",
]
