"""Training and evaluation of a classifier: returns records and stores them in a run folder."""

from .callback import TrainingCallback
from .config import OptimiserConfig, TrainConfig
from .evaluation import Evaluation, evaluate, evaluate_checkpoint
from .run import choose_device, train

__all__ = [
    "Evaluation",
    "OptimiserConfig",
    "TrainConfig",
    "TrainingCallback",
    "choose_device",
    "evaluate",
    "evaluate_checkpoint",
    "train",
]
