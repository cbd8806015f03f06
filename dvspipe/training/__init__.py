"""Training and testing of a classifier; leaves plain records in a run folder and draws nothing."""

from .config import OptimiserConfig, TrainConfig
from .loop import Listener, Run, choose_device, evaluate_checkpoint, train
from .testing import Score, evaluate, score_record

__all__ = [
    "Listener",
    "OptimiserConfig",
    "Run",
    "Score",
    "TrainConfig",
    "choose_device",
    "evaluate",
    "evaluate_checkpoint",
    "score_record",
    "train",
]
